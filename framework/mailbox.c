/* Work handed to a loop from another thread. */
#include "mailbox.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <sys/eventfd.h>
#include <unistd.h>

enum { CAP_FIRST = 64, CAP_KEEP = 4096 };

int cw_mailbox_init(struct cw_mailbox *box, size_t max, size_t max_bytes)
{
    *box = (struct cw_mailbox){.max = max, .max_bytes = max_bytes, .asleep = true};
    box->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (box->wake_fd < 0) {
        return CW_EDESCRIPTORS;
    }
    pthread_mutex_init(&box->lock, NULL);
    return CW_OK;
}

void cw_mailbox_release(struct cw_mailbox *box)
{
    if (box->wake_fd >= 0) {
        close(box->wake_fd);
        pthread_mutex_destroy(&box->lock);
    }
    cw_release(box->waiting);
    cw_release(box->running);
    box->wake_fd = -1;
}

static int make_room(struct cw_mailbox *box)
{
    size_t cap = box->cap ? box->cap * 2 : CAP_FIRST;
    struct cw_mail *grown;

    if (box->count < box->cap) {
        return CW_OK;
    }
    grown = cw_resize(box->waiting, cap * sizeof *grown);
    if (!grown) {
        return CW_ENOMEM;
    }
    box->waiting = grown;
    box->cap = cap;
    return CW_OK;
}

static int put_locked(struct cw_mailbox *box, const struct cw_mail *mail, enum cw_mail_class how,
                      bool *wake)
{
    int error;

    if (box->closed) {
        return CW_ESTOPPED;
    }
    if (how == CW_MAIL_BOUNDED &&
        (box->count >= box->max ||
         mail->bytes >
             box->max_bytes - (box->bytes < box->max_bytes ? box->bytes : box->max_bytes))) {
        return CW_EFULL;
    }
    error = make_room(box);
    if (error < 0) {
        return error;
    }
    box->waiting[box->count++] = *mail;
    box->bytes += mail->bytes;
    *wake = box->asleep;
    box->asleep = false;
    return CW_OK;
}

int cw_mailbox_put(struct cw_mailbox *box, const struct cw_mail *mail, enum cw_mail_class how)
{
    bool wake = false;
    int error;

    pthread_mutex_lock(&box->lock);
    error = put_locked(box, mail, how, &wake);
    if (wake) {
        /* Under the lock: behind it, the loop could end and close the descriptor first. The counter cannot
         * overflow, there is one write per batch. */
        uint64_t one = 1;
        ssize_t written = write(box->wake_fd, &one, sizeof one);
        (void)written;
    }
    pthread_mutex_unlock(&box->lock);
    return error;
}

size_t cw_mailbox_run(struct cw_mailbox *box, struct cw_loop *loop)
{
    struct cw_mail *mail;
    size_t count;
    size_t cap;
    uint64_t ignored;
    ssize_t got = read(box->wake_fd, &ignored, sizeof ignored);

    (void)got;
    pthread_mutex_lock(&box->lock);
    mail = box->waiting;
    count = box->count;
    cap = box->cap;
    box->waiting = box->running;
    box->cap = box->running_cap;
    box->running = NULL;
    box->running_cap = 0;
    box->count = 0;
    box->bytes = 0;
    box->asleep = true;
    pthread_mutex_unlock(&box->lock);

    for (size_t i = 0; i < count; i++) {
        mail[i].fn(loop, &mail[i]);
    }
    if (cap > CAP_KEEP) {
        cw_release(mail);
        mail = NULL;
        cap = 0;
    }
    box->running = mail;
    box->running_cap = cap;
    return count;
}

size_t cw_mailbox_waiting(struct cw_mailbox *box)
{
    size_t waiting;

    pthread_mutex_lock(&box->lock);
    waiting = box->count;
    pthread_mutex_unlock(&box->lock);
    return waiting;
}

bool cw_mailbox_has_mail(struct cw_mailbox *box)
{
    return cw_mailbox_waiting(box) > 0;
}

void cw_mailbox_close(struct cw_mailbox *box)
{
    pthread_mutex_lock(&box->lock);
    box->closed = true;
    pthread_mutex_unlock(&box->lock);
}

/* Work handed to a loop from another thread: two arrays that change places under one short lock, and one eventfd
 * wake-up per batch. In steady state a post allocates nothing. */
#ifndef CW_MAILBOX_H
#define CW_MAILBOX_H

#include <causeway/types.h>

#include <pthread.h>

struct cw_mail {
    void (*fn)(struct cw_loop *loop, struct cw_mail *mail);
    uint64_t conn_id; /* 0: none */
    void *call;       /* what fn makes of the next two is its own business */
    void *arg;
    size_t bytes; /* charged against max_bytes */
};

struct cw_mailbox {
    pthread_mutex_t lock;
    struct cw_mail *waiting;
    size_t count;
    size_t cap;
    size_t bytes;
    size_t max;
    size_t max_bytes;
    struct cw_mail *running; /* the loop's own; handed back for `waiting` */
    size_t running_cap;
    bool closed;
    bool asleep; /* the loop has not been woken for what waits */
    int wake_fd;
};

enum cw_mail_class {
    CW_MAIL_BOUNDED, /* refused when the mailbox is full */
    CW_MAIL_MUST,    /* close, abort, stop, work that is done: taken all the same */
};

/* 0, CW_ENOMEM or CW_EDESCRIPTORS. */
int cw_mailbox_init(struct cw_mailbox *box, size_t max, size_t max_bytes);
void cw_mailbox_release(struct cw_mailbox *box);

/* 0, CW_EFULL, CW_ENOMEM or CW_ESTOPPED. thread: any */
int cw_mailbox_put(struct cw_mailbox *box, const struct cw_mail *mail, enum cw_mail_class how);

/* Runs what waits. Returns how much it was. */
size_t cw_mailbox_run(struct cw_mailbox *box, struct cw_loop *loop);

/* Whether something waits to be run. thread: any */
bool cw_mailbox_has_mail(struct cw_mailbox *box);

/* How much waits to be run. thread: any */
size_t cw_mailbox_waiting(struct cw_mailbox *box);

/* From here on puts are refused. */
void cw_mailbox_close(struct cw_mailbox *box);

#endif

/* A queue of batches and the one thread that empties it. */
#include "log_writer.h"

#include <causeway/log.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    FILE_MODE = 0640,
    PIPE_PIECE =
        4096, /* PIPE_BUF: what a pipe takes whole without blocking once poll says it is writable */
    LOOK_MS = 100,   /* between two looks whether the server goes */
    TELL_MS = 10000, /* between two complaints */
};

struct cw_log_writer {
    struct cw_log_sink sink;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Guarded by the lock. */
    struct cw_log_batch *first;
    struct cw_log_batch *last; /* NULL: none waits */
    struct cw_log_batch *unused;
    uint64_t waiting; /* bytes, that of the batch being written too */
    uint64_t lost;
    bool ending;
    uint64_t end_ms; /* when what waits is given up */
    /* The thread's own. */
    int fd; /* -1: none */
    bool piped;
    uint64_t told_ms;
    int error; /* errno of the last write that failed; 0: none since the last complaint */
};

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- the file ---- */

/* Files are always ready, and blocking on them is what the thread is for. */
static void look_at(struct cw_log_writer *writer)
{
    struct stat status;

    writer->piped = fstat(writer->fd, &status) == 0 && !S_ISREG(status.st_mode);
}

static int open_file(struct cw_log_writer *writer)
{
    writer->fd = open(writer->sink.path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, FILE_MODE);
    if (writer->fd < 0) {
        return cw_error_from_errno(errno);
    }
    look_at(writer);
    return CW_OK;
}

/* Opens it anew when its name means another file, or none. */
static void follow_name(struct cw_log_writer *writer)
{
    struct stat named;
    struct stat open_one;
    int old = writer->fd;

    if (!writer->sink.path) {
        return;
    }
    if (old >= 0 && fstat(old, &open_one) == 0 && stat(writer->sink.path, &named) == 0 &&
        named.st_ino == open_one.st_ino && named.st_dev == open_one.st_dev) {
        return;
    }
    if (open_file(writer) < 0) {
        writer->error = errno;
        writer->fd = old; /* lines go where they went */
    } else if (old >= 0) {
        close(old);
    }
}

/* ---- the thread ---- */

static bool has_to_give_up(struct cw_log_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    bool over = writer->ending && now_ms() >= writer->end_ms;
    pthread_mutex_unlock(&writer->lock);
    return over;
}

/* Says how many lines were lost, not too often. */
static void tell_lost(struct cw_log_writer *writer, bool now)
{
    uint64_t lost = 0;

    if (now || now_ms() - writer->told_ms >= TELL_MS) {
        pthread_mutex_lock(&writer->lock);
        lost = writer->lost;
        writer->lost = 0;
        pthread_mutex_unlock(&writer->lock);
    }
    if (lost > 0) {
        cw_log(CW_LOG_WARNING, 0, "access log: %" PRIu64 " lines are lost: %s", lost,
               writer->error != 0 ? strerror(writer->error) : "what takes them is too slow");
        writer->told_ms = now_ms();
        writer->error = 0;
    }
}

/* False: the server goes, and nobody reads. */
static bool wait_writable(struct cw_log_writer *writer)
{
    struct pollfd wanted = {.fd = writer->fd, .events = POLLOUT};

    while (poll(&wanted, 1, LOOK_MS) <= 0) {
        if (has_to_give_up(writer)) {
            return false;
        }
        tell_lost(writer, false);
    }
    return true;
}

/* How much of the batch goes out at once: whole lines where there are any. */
static size_t piece_of(const struct cw_log_writer *writer, const uint8_t *data, size_t len)
{
    const uint8_t *end;

    if (!writer->piped || len <= PIPE_PIECE) {
        return len;
    }
    end = memrchr(data, '\n', PIPE_PIECE);
    return end ? (size_t)(end - data) + 1 : PIPE_PIECE;
}

static bool write_file(struct cw_log_writer *writer, const uint8_t *data, size_t len)
{
    follow_name(writer);
    while (len > 0) {
        if (writer->fd < 0 || (writer->piped && !wait_writable(writer))) {
            return false;
        }
        ssize_t written = write(writer->fd, data, piece_of(writer, data, len));
        if (written < 0 && errno != EINTR && errno != EAGAIN) {
            writer->error = errno;
            return false;
        }
        if (written > 0) {
            data += written;
            len -= (size_t)written;
        }
    }
    return true;
}

static bool write_batch(struct cw_log_writer *writer, const struct cw_log_batch *batch)
{
    if (writer->sink.write) {
        writer->sink.write(cw_span_of(batch->bytes, batch->len), writer->sink.user);
        return true;
    }
    return write_file(writer, batch->bytes, batch->len);
}

/* NULL: there are no more, and none will come. */
static struct cw_log_batch *next_batch(struct cw_log_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    while (!writer->first && !writer->ending) {
        pthread_cond_wait(&writer->changed, &writer->lock);
    }
    struct cw_log_batch *batch = writer->first;
    if (batch) {
        writer->first = batch->next;
        writer->last = writer->first ? writer->last : NULL;
    }
    pthread_mutex_unlock(&writer->lock);
    return batch;
}

/* The lock is held. */
static void recycle(struct cw_log_writer *writer, struct cw_log_batch *batch)
{
    batch->len = 0;
    batch->lines = 0;
    batch->next = writer->unused;
    writer->unused = batch;
}

static void finish(struct cw_log_writer *writer, struct cw_log_batch *batch, bool written)
{
    pthread_mutex_lock(&writer->lock);
    writer->waiting -= batch->len;
    writer->lost += written ? 0 : batch->lines;
    recycle(writer, batch);
    pthread_mutex_unlock(&writer->lock);
}

static void *run(void *arg)
{
    struct cw_log_writer *writer = arg;
    struct cw_log_batch *batch;

    while ((batch = next_batch(writer)) != NULL) {
        finish(writer, batch, !has_to_give_up(writer) && write_batch(writer, batch));
        tell_lost(writer, false);
    }
    tell_lost(writer, true);
    return NULL;
}

/* ---- begin and end ---- */

static void release(struct cw_log_writer *writer)
{
    struct cw_log_batch *batch;

    while ((batch = writer->unused) != NULL) {
        writer->unused = batch->next;
        cw_release(batch);
    }
    if (writer->sink.path && writer->fd >= 0) {
        close(writer->fd);
    }
    pthread_cond_destroy(&writer->changed);
    pthread_mutex_destroy(&writer->lock);
    cw_release(writer);
}

/* Signals are for the threads of the application; a pipe that nobody reads is an error of write. */
static int start_thread(struct cw_log_writer *writer)
{
    sigset_t all;
    sigset_t before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&writer->thread, NULL, run, writer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return error == 0 ? CW_OK : cw_error_from_errno(error);
}

int cw_log_writer_start(struct cw_log_writer **result, const struct cw_log_sink *sink,
                        const char **step)
{
    struct cw_log_writer *writer = cw_alloc_zero(sizeof *writer);
    int error = CW_OK;

    *step = "memory";
    if (!writer) {
        errno = ENOMEM;
        return CW_ENOMEM;
    }
    writer->sink = *sink;
    writer->fd = sink->fd;
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->changed, NULL);
    if (sink->path) {
        *step = "open";
        error = open_file(writer);
    } else if (!sink->write) {
        look_at(writer);
    }
    if (error == CW_OK) {
        *step = "thread";
        error = start_thread(writer);
    }
    if (error < 0) {
        int os_errno = errno;
        release(writer);
        errno = os_errno;
        return error;
    }
    *result = writer;
    return CW_OK;
}

void cw_log_writer_end(struct cw_log_writer *writer)
{
    if (!writer) {
        return;
    }
    pthread_mutex_lock(&writer->lock);
    writer->ending = true;
    writer->end_ms = now_ms() + writer->sink.stop_ms;
    pthread_cond_signal(&writer->changed);
    pthread_mutex_unlock(&writer->lock);
    pthread_join(writer->thread, NULL);
    release(writer);
}

/* ---- for the loops ---- */

struct cw_log_batch *cw_log_writer_take(struct cw_log_writer *writer)
{
    struct cw_log_batch *batch = NULL;
    bool full;

    pthread_mutex_lock(&writer->lock);
    full = writer->waiting >= writer->sink.waiting_max_bytes;
    if (!full && writer->unused) {
        batch = writer->unused;
        writer->unused = batch->next;
    }
    pthread_mutex_unlock(&writer->lock);
    if (!batch && !full) {
        batch = cw_alloc(sizeof *batch);
        if (batch) {
            batch->len = 0;
            batch->lines = 0;
        }
    }
    return batch;
}

/* The lock is held. Behind a sink that is slow, batches of a few lines would take as much memory as full ones. */
static bool fits_into_last(const struct cw_log_writer *writer, const struct cw_log_batch *batch)
{
    return writer->last && batch->len <= CW_LOG_BATCH_BYTES - writer->last->len;
}

/* The lock is held. */
static void append(struct cw_log_writer *writer, struct cw_log_batch *batch)
{
    batch->next = NULL;
    *(writer->last ? &writer->last->next : &writer->first) = batch;
    writer->last = batch;
}

void cw_log_writer_put(struct cw_log_writer *writer, struct cw_log_batch *batch)
{
    pthread_mutex_lock(&writer->lock);
    writer->waiting += batch->len;
    if (batch->len == 0) {
        recycle(writer, batch);
    } else if (fits_into_last(writer, batch)) {
        memcpy(writer->last->bytes + writer->last->len, batch->bytes, batch->len);
        writer->last->len += batch->len;
        writer->last->lines += batch->lines;
        recycle(writer, batch);
    } else {
        append(writer, batch);
        pthread_cond_signal(&writer->changed);
    }
    pthread_mutex_unlock(&writer->lock);
}

void cw_log_writer_lost(struct cw_log_writer *writer, uint64_t lines)
{
    pthread_mutex_lock(&writer->lock);
    writer->lost += lines;
    pthread_mutex_unlock(&writer->lock);
}

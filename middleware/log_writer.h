#ifndef CW_LOG_WRITER_H
#define CW_LOG_WRITER_H

/* Lines on their way out: loops fill batches, a thread of the writer's own takes them away, in the order in which they were
 * handed over. */

#include <causeway/middleware/access_log.h>

enum { CW_LOG_BATCH_BYTES = 65536 };

struct cw_log_writer;

/* Lines of one loop. Whoever holds it fills it: `len` bytes of whole lines. */
struct cw_log_batch {
    struct cw_log_batch *next;
    size_t len;
    uint64_t lines;
    uint8_t bytes[CW_LOG_BATCH_BYTES];
};

/* Where lines go. The text is borrowed as long as the writer. */
struct cw_log_sink {
    const char *path; /* NULL: fd, if write is NULL too */
    int fd;           /* stays the caller's */
    cw_access_log_fn write;
    void *user;
    uint64_t waiting_max_bytes;
    uint64_t stop_ms;
};

/* Opens the file and starts the thread.
 *
 * returns  0; CW_ENOMEM; or another enum cw_error, with *step saying what failed and errno why */
int cw_log_writer_start(struct cw_log_writer **writer, const struct cw_log_sink *sink,
                        const char **step);

/* Writes what waits, within stop_ms, and ends the thread. NULL is allowed. */
void cw_log_writer_end(struct cw_log_writer *writer);

/* An empty batch; NULL: too much waits, or no memory.
 *
 * thread   any */
struct cw_log_batch *cw_log_writer_take(struct cw_log_writer *writer);

/* Hands a batch over, or back when it is empty.
 *
 * thread   any */
void cw_log_writer_put(struct cw_log_writer *writer, struct cw_log_batch *batch);

/* Counts lines that found no batch. They are told in the log.
 *
 * thread   any */
void cw_log_writer_lost(struct cw_log_writer *writer, uint64_t lines);

#endif

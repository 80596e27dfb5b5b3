/* Bodies of answers that are ranges of files. The descriptor is the application's; only bytes are read from it. */
#include "http_impl.h"

#include <causeway/log.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct file_pull {
    int fd;
    uint64_t at;
};

static ssize_t read_at(int fd, uint8_t *buffer, size_t cap, uint64_t at)
{
    ssize_t n;

    do {
        n = pread(fd, buffer, cap, (off_t)at);
    } while (n < 0 && errno == EINTR);
    return n;
}

static ptrdiff_t pull_file(uint8_t *buffer, size_t cap, void *user)
{
    struct file_pull *file = user;
    ssize_t n = read_at(file->fd, buffer, cap, file->at);

    if (n < 0) {
        return cw_error_from_errno(errno);
    }
    file->at += (uint64_t)n;
    return n;
}

static void close_file(int code, void *user)
{
    struct file_pull *file = user;

    close(file->fd);
}

static int reply_small_file(struct cw_http_exchange *x, int status, const char *type,
                            const struct cw_file_range *range)
{
    struct cw_http_shared *shared = x->shared;
    size_t got = 0;

    if (!shared->file) {
        shared->file = cw_alloc(CW_HTTP_FILE_WHOLE);
    }
    if (!shared->file) {
        return cw_http_judge_reply(x, CW_ENOMEM);
    }
    while (got < range->len) {
        ssize_t n =
            read_at(range->fd, shared->file + got, (size_t)range->len - got, range->offset + got);
        if (n <= 0) {
            return n < 0 ? cw_error_from_errno(errno) : CW_ETRUNCATED;
        }
        got += (size_t)n;
    }
    return cw_http_reply(x, status, type, cw_span_of(shared->file, got));
}

static int reply_filtered_file(struct cw_http_exchange *x, const struct cw_file_range *range)
{
    struct file_pull *file = cw_http_take(x, sizeof *file);
    struct cw_http_pull *pull = file ? cw_http_make_pull(x, pull_file, close_file, file) : NULL;
    int error;

    if (!pull) {
        return CW_ENOMEM;
    }
    *file = (struct file_pull){fcntl(range->fd, F_DUPFD_CLOEXEC, 3), range->offset};
    if (file->fd < 0) {
        return CW_EDESCRIPTORS;
    }
    pull->left = range->len;
    pull->chunked = x->answer.chunked;
    error = cw_http_follow(x, pull, CW_NO_LIMIT);
    if (error < 0) {
        close(file->fd);
    }
    return error;
}

static void file_is_over(int code, void *user)
{
    struct cw_http_exchange *x = user;

    x->answer.source_over = true;
}

static int reply_whole_file(struct cw_http_exchange *x, const struct cw_file_range *range)
{
    int error = cw_conn_send_file(x->conn, range, file_is_over, x);

    if (error == CW_OK) {
        x->answer.sent = range->len;
        x->answer.state = CW_REPLY_SOURCE;
    }
    return error;
}

int cw_http_reply_file(struct cw_http_exchange *http, int status, const char *type,
                       const struct cw_file_range *range)
{
    int spare;
    int error;

    if (!cw_http_may_reply(http)) {
        return CW_ESTATE;
    }
    if (range->len <= CW_HTTP_FILE_WHOLE && http->head.known_method != CW_METHOD_HEAD) {
        return reply_small_file(http, status, type, range);
    }
    /* Once the head has left, the only answer to "no descriptors" would be a reset: one is kept for the body. */
    spare = fcntl(range->fd, F_DUPFD_CLOEXEC, 3);
    if (spare < 0) {
        return CW_EDESCRIPTORS;
    }
    error = cw_http_start_reply(http, status, type, range->len);
    if (error < 0) {
        close(spare);
        return error;
    }
    cw_http_frame_reply(http);
    error = cw_http_write_head(http, cw_http_nothing());
    http->answer.type = NULL;
    close(spare);
    if (error >= 0 && http->answer.no_body) {
        cw_http_reply_is_over(http);
        return CW_OK;
    }
    if (error >= 0) {
        error = http->answer.filtered ? reply_filtered_file(http, range)
                                      : reply_whole_file(http, range);
    }
    error = cw_http_judge_reply(http, error);
    cw_http_settle_soon(http);
    return error;
}

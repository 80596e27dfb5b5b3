/* The lower seam over a plain non-blocking socket. */
#include "conn_impl.h"

#include <errno.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

/* A signal between two calls is no error; the loop asks again. */
static ptrdiff_t failure(struct cw_conn *conn)
{
    int error = errno;

    if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR) {
        return CW_STREAM_AGAIN;
    }
    conn->loop->os_errno = error;
    return cw_error_from_errno(error);
}

static ptrdiff_t plain_read(struct cw_conn *conn, const struct iovec *iov, int count)
{
    ssize_t n = count == 1 ? recv(cw_conn_fd_of(conn), iov->iov_base, iov->iov_len, 0)
                           : readv(cw_conn_fd_of(conn), iov, count);

    return n >= 0 ? n : failure(conn);
}

static ptrdiff_t plain_write(struct cw_conn *conn, const struct iovec *iov, int count)
{
    ssize_t n;

    if (count == 1) {
        n = send(cw_conn_fd_of(conn), iov->iov_base, iov->iov_len, MSG_NOSIGNAL);
    } else {
        struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)count};
        n = sendmsg(cw_conn_fd_of(conn), &msg, MSG_NOSIGNAL);
    }
    return n >= 0 ? n : failure(conn);
}

static ptrdiff_t plain_send_file(struct cw_conn *conn, int fd, uint64_t offset, uint64_t len)
{
    /* sendfile has no MSG_NOSIGNAL; loops run with SIGPIPE blocked. */
    off_t at = (off_t)offset;
    size_t most = len < (1u << 20) ? (size_t)len : (size_t)1 << 20;
    ssize_t n = sendfile(cw_conn_fd_of(conn), fd, &at, most);

    return n >= 0 ? n : failure(conn);
}

static void plain_end(struct cw_conn *conn)
{
    shutdown(cw_conn_fd_of(conn), SHUT_WR);
}

static void plain_close(struct cw_conn *conn, bool reset)
{
    if (reset) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        setsockopt(cw_conn_fd_of(conn), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    close(cw_conn_fd_of(conn));
}

static const struct cw_stream_ops plain_ops = {
    .name = "plain",
    .read = plain_read,
    .write = plain_write,
    .send_file = plain_send_file,
    .end = plain_end,
    .close = plain_close,
    .short_read_is_empty = true,
};

struct cw_stream cw_stream_plain = {.ops = &plain_ops};

int cw_stream_pending_error(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = 0};
    int error = 0;
    socklen_t len = sizeof error;

    if (poll(&poll_fd, 1, 0) <= 0 || !(poll_fd.revents & POLLERR)) {
        return 0;
    }
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : 0;
}

/* The lower seam over TLS, once the handshake is over: records in and out. */
#include "tls_stream_impl.h"

#include <causeway/log.h>

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* Exported by every version of the library, declared for users by none. */
int mbedtls_ssl_send_alert_message(mbedtls_ssl_context *ssl, unsigned char level,
                                   unsigned char message);

enum { ALERT_FATAL = 2, RECORD_ALERT = 21, RECORD_FULL = 16384 };

/* ---- bytes that wait ---- */

bool cw_tls_bytes_add(struct cw_tls_bytes *bytes, const uint8_t *data, size_t len)
{
    size_t need = bytes->len + len;

    if (bytes->start > 0 && bytes->len > 0) {
        memmove(bytes->data, bytes->data + bytes->start, bytes->len);
    }
    bytes->start = 0;
    if (need > bytes->cap) {
        size_t cap = need < 2 * bytes->cap ? 2 * bytes->cap : need;
        uint8_t *grown = cw_resize(bytes->data, cap);

        if (!grown) {
            return false;
        }
        bytes->data = grown;
        bytes->cap = cap;
    }
    memcpy(bytes->data + bytes->len, data, len);
    bytes->len = need;
    return true;
}

void cw_tls_bytes_release(struct cw_tls_bytes *bytes)
{
    cw_release(bytes->data);
    *bytes = (struct cw_tls_bytes){0};
}

void cw_tls_bytes_use(struct cw_tls_bytes *bytes, size_t len)
{
    bytes->start += len;
    bytes->len -= len;
    if (bytes->len == 0) {
        cw_tls_bytes_release(bytes);
    }
}

/* ---- the library's way in and out ---- */

int cw_tls_bio_recv(void *ctx, unsigned char *data, size_t len)
{
    struct cw_tls_stream *stream = ctx;
    size_t n = len < stream->feed_len ? len : stream->feed_len;

    if (n == 0) {
        return MBEDTLS_ERR_SSL_WANT_READ;
    }
    memcpy(data, stream->feed, n);
    stream->feed += n;
    stream->feed_len -= n;
    return (int)n;
}

/* Takes everything, always: a write that is put off and tried again with more bytes would lose some (mbedTLS 2.28). */
int cw_tls_bio_send(void *ctx, const unsigned char *data, size_t len)
{
    struct cw_tls_stream *stream = ctx;

    stream->alerted = stream->alerted || (len > 0 && data[0] == RECORD_ALERT);
    if (!stream->established && stream->session.group == 0) {
        cw_tls_note_sent(stream, data, len);
    }
    if (stream->sink && len <= CW_TLS_OUT_BYTES - stream->sink_len) {
        memcpy(stream->sink + stream->sink_len, data, len);
        stream->sink_len += len;
        return (int)len;
    }
    if (stream->sink || stream->out.len + len > CW_TLS_OWED_MAX ||
        !cw_tls_bytes_add(&stream->out, data, len)) {
        return MBEDTLS_ERR_SSL_ALLOC_FAILED;
    }
    return (int)len;
}

/* ---- the socket ---- */

static ptrdiff_t failure(struct cw_loop *loop)
{
    int error = errno;

    if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR) {
        return CW_STREAM_AGAIN;
    }
    loop->os_errno = error;
    return cw_error_from_errno(error);
}

static ptrdiff_t send_some(struct cw_conn *conn, const uint8_t *data, size_t len)
{
    ssize_t n = send(cw_conn_fd_of(conn), data, len, MSG_NOSIGNAL);

    return n >= 0 ? n : failure(conn->loop);
}

int cw_tls_flush(struct cw_conn *conn)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);

    while (stream->out.len > 0) {
        ptrdiff_t n = send_some(conn, stream->out.data + stream->out.start, stream->out.len);

        if (n < 0) {
            return (int)n;
        }
        cw_tls_bytes_use(&stream->out, (size_t)n);
    }
    stream->stream.owes = false;
    return 0;
}

void cw_tls_sink_open(struct cw_tls_stream *stream)
{
    stream->sink = stream->loop->tls->out;
    stream->sink_len = 0;
}

static int owe(struct cw_tls_stream *stream, const uint8_t *data, size_t len)
{
    stream->loop->os_errno = 0;
    if (len > CW_TLS_OWED_MAX || stream->out.len > CW_TLS_OWED_MAX - len) {
        return CW_EPIPE; /* it has us answer and reads no answer */
    }
    if (!cw_tls_bytes_add(&stream->out, data, len)) {
        return CW_ENOMEM;
    }
    stream->stream.owes = true;
    return 0;
}

int cw_tls_sink_close(struct cw_conn *conn)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    const uint8_t *data = stream->sink;
    size_t len = stream->sink_len;

    stream->sink = NULL;
    stream->sink_len = 0;
    if (len > 0 && stream->out.len == 0) {
        ptrdiff_t n = send_some(conn, data, len);

        if (n < 0 && n != CW_STREAM_AGAIN) {
            return (int)n;
        }
        data += n > 0 ? (size_t)n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return len > 0 ? owe(stream, data, len) : 0;
}

/* ---- failures ---- */

int cw_tls_fail(struct cw_conn *conn, int library_error)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    struct cw_tls_failure why = {.code = CW_ETLS, .alert = CW_NO_ALERT};

    cw_tls_explain(&stream->session, library_error, &why);
    if (!why.received && why.alert > 0 && !stream->alerted && !stream->dead) {
        cw_tls_sink_open(stream);
        mbedtls_ssl_send_alert_message(&stream->session.ssl, ALERT_FATAL, (unsigned char)why.alert);
        cw_tls_sink_close(conn);
    }
    stream->dead = true;
    conn->loop->os_errno = 0;
    cw_conn_fail(conn, why.code, "%s", why.text);
    if (conn->extra && why.alert > 0) {
        conn->extra->tls_alert = (int16_t)why.alert;
    }
    return why.code;
}

/* ---- reading ---- */

/* A ticket of TLS 1.3 is met in one call and taken in the next. Left there, it would make the next write fail. */
static bool keeps_ticket(const struct cw_tls_stream *stream)
{
#ifdef MBEDTLS_SSL_PROTO_TLS1_3
    return stream->session.ssl.MBEDTLS_PRIVATE(state) == MBEDTLS_SSL_TLS1_3_NEW_SESSION_TICKET;
#else
    (void)stream;
    return false;
#endif
}

/* The library has answered something else than bytes. Whether it is to be asked again; if not, what is to be told later is
 * noted. */
static bool goes_on(struct cw_tls_stream *stream, int answer)
{
    if (answer == 0) {
        return true; /* a record of nothing, which is allowed; the library counts them */
    }
    if (answer == MBEDTLS_ERR_SSL_WANT_READ || answer == MBEDTLS_ERR_SSL_WANT_WRITE) {
        return keeps_ticket(stream);
    }
#ifdef MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET
    if (answer == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
        cw_tls_session_keep(&stream->session);
        return true;
    }
#endif
    if (answer == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
        stream->peer_notified = true;
    } else {
        stream->failed = answer;
    }
    stream->feed_len = 0; /* nothing counts behind it (RFC 8446 §6.1) */
    return false;
}

/* What the library has of plaintext, into the iovecs. Stops where it wants more, or has something else to say. */
static size_t decrypt(struct cw_tls_stream *stream, const struct iovec *iov, int count)
{
    mbedtls_ssl_context *ssl = &stream->session.ssl;
    size_t total = 0;

    for (int i = 0; i < count; i++) {
        uint8_t *to = iov[i].iov_base;
        size_t room = iov[i].iov_len;

        while (room > 0) {
            int n;

            if (stream->feed_len == 0 && !mbedtls_ssl_check_pending(ssl)) {
                return total;
            }
            n = mbedtls_ssl_read(ssl, to, room);
            if (n > 0) {
                to += n;
                room -= (size_t)n;
                total += (size_t)n;
            } else if (!goes_on(stream, n)) {
                return total;
            }
        }
    }
    return total;
}

/* What the library or the connection has kept back, then what the socket has. n > 0: there is something to decrypt. */
static ptrdiff_t fetch(struct cw_conn *conn)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    struct cw_tls_loop *shared = conn->loop->tls;
    ssize_t n;

    if (mbedtls_ssl_get_bytes_avail(&stream->session.ssl) > 0) {
        return 1;
    }
    if (stream->in.len > 0) {
        stream->feed = stream->in.data + stream->in.start;
        stream->feed_len = stream->laid_out = stream->in.len;
        return 1;
    }
    n = recv(cw_conn_fd_of(conn), shared->in, sizeof shared->in, 0);
    if (n > 0) {
        stream->feed = shared->in;
        stream->feed_len = (size_t)n;
    }
    return n >= 0 ? n : failure(conn->loop);
}

/* What the library has not taken of that, as there was no room for more, stays with the connection. False: no memory. */
static bool keep_back(struct cw_tls_stream *stream)
{
    size_t left = stream->feed_len;

    stream->feed_len = 0;
    if (stream->laid_out > 0) {
        cw_tls_bytes_use(&stream->in, stream->laid_out - left);
        stream->laid_out = 0;
        return true;
    }
    return left == 0 || cw_tls_bytes_add(&stream->in, stream->feed, left);
}

/* Input that means nothing any more. */
static ptrdiff_t discard(struct cw_conn *conn, const struct iovec *iov)
{
    ssize_t n = recv(cw_conn_fd_of(conn), iov->iov_base, iov->iov_len, 0);

    return n >= 0 ? n : failure(conn->loop);
}

/* What the read before had to leave unsaid: the peer's end, or what is wrong. 1: nothing. */
static ptrdiff_t unsaid(struct cw_conn *conn)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    int failed = stream->failed;

    stream->stream.more = false;
    if (failed != 0) {
        stream->failed = 0;
        return cw_tls_fail(conn, failed);
    }
    return stream->peer_notified ? 0 : 1;
}

static ptrdiff_t tls_read(struct cw_conn *conn, const struct iovec *iov, int count)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    ptrdiff_t n = stream->dead || !stream->established ? 1 : unsaid(conn);
    size_t total;
    int error;

    if (n <= 0) {
        return n;
    }
    if (stream->dead || !stream->established) {
        return discard(conn, iov);
    }
    n = fetch(conn);
    if (n <= 0) {
        return n;
    }
    conn->last_in = conn->loop->now; /* a part of a record is life too */
    cw_tls_sink_open(stream);
    total = decrypt(stream, iov, count);
    error = cw_tls_sink_close(conn);
    if (!keep_back(stream)) {
        error = CW_ENOMEM;
    }
    stream->stream.more = stream->failed != 0 || stream->peer_notified || stream->in.len > 0 ||
                          mbedtls_ssl_get_bytes_avail(&stream->session.ssl) > 0;
    if (error < 0 && stream->failed == 0) {
        return error;
    }
    if (total > 0) {
        return (ptrdiff_t)total;
    }
    n = unsaid(conn);
    return n <= 0 ? n : CW_STREAM_AGAIN;
}

bool cw_tls_end_is_proven(const struct cw_conn *conn)
{
    return cw_tls_stream_of(conn)->peer_notified;
}

/* ---- writing ---- */

/* Small records at first: each can be used when its last packet is there. Large ones once it is clear that a lot is on its
 * way. */
static size_t record_size(struct cw_tls_stream *stream)
{
    const struct cw_tls_records *records = cw_tls_records(stream->session.tls);
    uint32_t now = stream->loop->now;

    if (now - stream->rested > records->rest) {
        stream->sent = 0;
    }
    stream->rested = now;
    return stream->sent < records->grow ? records->start : RECORD_FULL;
}

/* Encrypts until the loop's buffer is full. Returns the bytes taken, or the library's error when there are none. */
static ptrdiff_t encrypt(struct cw_tls_stream *stream, const struct iovec *iov, int count)
{
    size_t total = 0;

    for (int i = 0; i < count; i++) {
        const uint8_t *from = iov[i].iov_base;
        size_t left = iov[i].iov_len;

        while (left > 0) {
            size_t most = record_size(stream);
            int n;

            if (stream->sink_len + CW_TLS_RECORD_MAX > CW_TLS_OUT_BYTES) {
                return (ptrdiff_t)total;
            }
            n = mbedtls_ssl_write(&stream->session.ssl, from, left < most ? left : most);
            if (n <= 0) {
                stream->failed = n < 0 ? n : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
                return total > 0 ? (ptrdiff_t)total : -1;
            }
            stream->sent += (size_t)n;
            from += n;
            left -= (size_t)n;
            total += (size_t)n;
        }
    }
    return (ptrdiff_t)total;
}

static ptrdiff_t tls_write(struct cw_conn *conn, const struct iovec *iov, int count)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    ptrdiff_t total;
    int error = stream->stream.owes ? cw_tls_flush(conn) : 0;

    if (error != 0) {
        return error;
    }
    if (stream->dead || stream->notified) {
        conn->loop->os_errno = 0;
        return CW_ECLOSED;
    }
    cw_tls_sink_open(stream);
    total = encrypt(stream, iov, count);
    error = cw_tls_sink_close(conn);
    if (error < 0) {
        return error;
    }
    if (total < 0) {
        int failed = stream->failed;

        stream->failed = 0;
        return cw_tls_fail(conn, failed);
    }
    return total;
}

void cw_tls_goodbye(struct cw_conn *conn)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);

    if (stream->notified || stream->dead || !stream->established) {
        return;
    }
    stream->notified = true;
    cw_tls_sink_open(stream);
    mbedtls_ssl_close_notify(&stream->session.ssl);
    if (cw_tls_sink_close(conn) < 0) {
        stream->stream.owes = false;
    }
}

static void tls_end(struct cw_conn *conn)
{
    shutdown(cw_conn_fd_of(conn), SHUT_WR);
}

static void tls_close(struct cw_conn *conn, bool reset)
{
    cw_stream_plain.ops->close(conn, reset);
    cw_tls_stream_free(cw_tls_stream_of(conn));
}

const struct cw_stream_ops cw_tls_ops = {
    .name = "tls",
    .read = tls_read,
    .write = tls_write,
    .flush = cw_tls_flush,
    .handshake = cw_tls_handshake,
    .goodbye = cw_tls_goodbye,
    .end = tls_end,
    .end_is_proven = cw_tls_end_is_proven,
    .close = tls_close,
    .short_read_is_empty = true,
};

/* ---- what a connection can tell ---- */

static const struct cw_tls_session *session_of(const struct cw_conn *conn)
{
    const struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    bool is_ours = conn->stream->ops == &cw_tls_ops || conn->stream->ops == &cw_dtls_ops;

    return is_ours && stream->established ? &stream->session : NULL;
}

int cw_conn_tls(const struct cw_conn *conn, struct cw_tls_info *info)
{
    const struct cw_tls_session *session = session_of(conn);

    cw_loop_assert_thread(conn->loop);
    if (!session) {
        return CW_ENOTFOUND;
    }
    memset(info, 0, sizeof *info);
    cw_tls_describe(session, info);
    return CW_OK;
}

int cw_conn_peer_cert(const struct cw_conn *conn, struct cw_tls_peer_cert *cert)
{
    const struct cw_tls_session *session = session_of(conn);

    cw_loop_assert_thread(conn->loop);
    if (!session) {
        return CW_ENOTFOUND;
    }
    memset(cert, 0, sizeof *cert);
    return cw_tls_describe_peer(session, cert);
}

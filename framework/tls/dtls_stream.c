/* The lower seam over DTLS: a record is a message, each by itself (RFC 6347 §4.1). */
#include "dtls_impl.h"

#include "tls_library.h"

#include <causeway/log.h>

/* ---- made ---- */

static struct cw_tls_stream *make(struct cw_tls *tls, struct cw_loop *loop)
{
    struct cw_dtls *datagrams = cw_alloc_zero(sizeof *datagrams);
    struct cw_tls_stream *stream = datagrams ? cw_tls_stream_make(tls, loop) : NULL;

    if (!stream) {
        cw_release(datagrams);
        return NULL;
    }
    datagrams->timer.now = loop->now;
    stream->datagrams = datagrams;
    stream->stream.ops = &cw_dtls_ops;
    mbedtls_ssl_set_bio(&stream->session.ssl, stream, cw_dtls_bio_send, cw_dtls_bio_recv, NULL);
    mbedtls_ssl_set_timer_cb(&stream->session.ssl, stream, cw_dtls_timer_set, cw_dtls_timer_get);
    return stream;
}

struct cw_stream *cw_dtls_stream_new(struct cw_tls *tls, struct cw_loop *loop)
{
    struct cw_tls_stream *stream = make(tls, loop);

    if (!stream || cw_dtls_set_cid(&stream->session, 0) < 0) {
        if (stream) {
            cw_tls_stream_free(stream);
        }
        return NULL;
    }
    return &stream->stream;
}

struct cw_tls_stream *cw_dtls_accept(struct cw_tls *tls, struct cw_loop *loop,
                                     const struct cw_address *peer,
                                     const struct cw_dtls_hello *hello)
{
    struct cw_tls_stream *stream = make(tls, loop);

    if (!stream) {
        return NULL;
    }
    if (cw_dtls_set_peer(&stream->session, peer) < 0) {
        cw_tls_stream_free(stream);
        return NULL;
    }
    memcpy(stream->datagrams->random, hello->random, CW_DTLS_RANDOM_BYTES);
    stream->datagrams->counted = true;
    loop->tls->dtls_handshakes++;
    return stream;
}

static int dtls_handshake(struct cw_conn *conn)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);

    if (!stream->begun) {
        stream->begun = true;
        if (conn->origin->role == CW_SERVER &&
            cw_dtls_set_cid(&stream->session, cw_conn_id(conn)) < 0) {
            return CW_ENOMEM;
        }
    }
    return cw_tls_handshake(conn);
}

/* ---- in ---- */

enum { MESSAGE_MAX = 16384 + CW_SCRATCH_PAD };

/* Where a message is decrypted to: whoever looks at it may change bytes before and behind. */
static uint8_t *message_of(const struct cw_conn *conn)
{
    return conn->loop->tls->in + CW_SCRATCH_PAD;
}

static void end_by_peer(struct cw_conn *conn)
{
    cw_tls_stream_of(conn)->peer_notified = true;
    conn->flags |= CW_INPUT_ENDED;
    if (conn->flags & CW_CLOSING) {
        conn->flags &= ~(uint32_t)CW_AWAIT_FINISH;
        cw_conn_at_turn_end(conn, CW_TURN_END);
    } else {
        cw_conn_end_with(conn, CW_BY_PEER);
    }
}

static void fail(struct cw_conn *conn, int library_error)
{
    int code = cw_tls_fail(conn, library_error);

    if (!(conn->flags & CW_DISCARD)) {
        cw_conn_clear_out(conn);
        cw_conn_break(conn, code);
    }
}

/* What the library has said instead of a message. Whether it is to be asked again. */
static bool goes_on(struct cw_conn *conn, int answer)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);

    if (answer == MBEDTLS_ERR_SSL_WANT_READ || answer == MBEDTLS_ERR_SSL_WANT_WRITE) {
        return stream->feed_len > 0;
    }
    if (answer == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
        end_by_peer(conn);
    } else {
        fail(conn, answer);
    }
    return false;
}

static bool may_read(const struct cw_conn *conn)
{
    const struct cw_tls_stream *stream = cw_tls_stream_of(conn);

    return !stream->dead && !stream->peer_notified && conn->phase != CW_PHASE_CLOSED;
}

static bool is_new(const struct cw_tls_stream *stream)
{
    struct cw_tls_window now = cw_tls_window_of(&stream->session.ssl);
    const struct cw_tls_window *before = &stream->datagrams->window;

    return now.newest != before->newest || now.seen != before->seen;
}

/* RFC 9146 §6: by what is the peer's own and newer than all before it. What is said in answer goes there already. */
static void follow(struct cw_conn *conn)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    struct cw_dtls *datagrams = stream->datagrams;

    if (datagrams->from &&
        cw_tls_window_of(&stream->session.ssl).newest != datagrams->window.newest) {
        (void)cw_datagram_move(conn, datagrams->from);
        datagrams->from = NULL;
    }
}

static void hand_over(struct cw_conn *conn, size_t len)
{
    follow(conn);
    if (conn->phase != CW_PHASE_CLOSED) {
        cw_conn_feed_datagram(conn, message_of(conn), len);
    }
}

/* Hands over the messages of what the library has been given. Returns how many there were. */
static size_t read_messages(struct cw_conn *conn)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    size_t count = 0;

    while (may_read(conn)) {
        int n = mbedtls_ssl_read(&stream->session.ssl, message_of(conn), MESSAGE_MAX);

        if (n >= 0) {
            count++;
            hand_over(conn, (size_t)n);
        } else if (!goes_on(conn, n)) {
            break;
        }
    }
    return count;
}

/* One record. The library passes over an empty one without a word (unless it stands behind another); that it was there is
 * seen by its number. */
static void read_record(struct cw_conn *conn, struct cw_span record)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    mbedtls_ssl_context *ssl = &stream->session.ssl;
    size_t count;

    stream->datagrams->window = cw_tls_window_of(ssl);
    stream->feed = record.data;
    stream->feed_len = record.len;
    cw_tls_allow_empty(ssl);
    count = read_messages(conn);
    stream->feed_len = 0;
    if (count == 0 && may_read(conn) && cw_tls_last_is_data(ssl) && is_new(stream)) {
        hand_over(conn, 0);
    }
}

/* Nothing in the clear counts any more: what is repeated of a handshake has its end under the keys. */
static void read_records(struct cw_conn *conn, struct cw_span datagram)
{
    size_t cid_len = conn->origin->role == CW_SERVER ? CW_DTLS_CID_BYTES : 0;
    struct cw_dtls_record record;

    while (may_read(conn) && cw_dtls_next_record(&datagram, cid_len, &record)) {
        if (record.epoch != 0) {
            read_record(conn, record.bytes);
        }
    }
}

/* What came behind the handshake's last message, or before it and out of its order. The library has the first of it, the rest
 * is looked at as if it came now: a hello in it would make the library begin again. */
static void read_kept(struct cw_conn *conn)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    struct cw_dtls_piece *piece;

    if (!stream->established || !stream->datagrams->has_kept) {
        return;
    }
    stream->datagrams->has_kept = false;
    (void)read_messages(conn);
    while ((piece = cw_dtls_take_kept(stream)) != NULL) {
        read_records(conn, cw_span_of(piece->bytes, piece->len));
        cw_release(piece);
    }
}

/* ---- a hello to a connection that is there ---- */

static void answer_hello(struct cw_conn *conn, const struct cw_dtls_hello *hello)
{
    uint8_t verify[CW_DTLS_VERIFY_BYTES];
    struct cw_span bytes = cw_span_of(verify, sizeof verify);

    if (cw_dtls_make_verify(cw_tls_stream_of(conn)->session.tls, &conn->peer, hello, verify)) {
        cw_count(&conn->loop->datagram_counters.dtls_cookies, 1);
        (void)cw_datagram_send(conn, &bytes, 1);
    }
}

/* RFC 6347 §4.2.8: a peer that has lost its keys begins again from the same address. Its cookie shows that it is no other who
 * says so; a hello that has begun this very connection is one that was repeated or came late. False: the handshake's. */
static bool judge_hello(struct cw_conn *conn, uint8_t *data, size_t len)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    struct cw_dtls_hello hello;

    if (conn->origin->role != CW_SERVER || !cw_dtls_read_hello(cw_span_of(data, len), &hello)) {
        return false;
    }
    if (memcmp(hello.random, stream->datagrams->random, CW_DTLS_RANDOM_BYTES) == 0) {
        return stream->established;
    }
    if (!cw_dtls_cookie_is_good(stream->session.tls, &conn->peer, hello.cookie)) {
        answer_hello(conn, &hello);
    } else {
        (void)cw_conn_fail(conn, CW_BY_PEER, "the peer has begun again");
        cw_datagram_begin_again(conn, data, len);
    }
    return true;
}

static void dtls_receive(struct cw_conn *conn, uint8_t *data, size_t len)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);

    if (!may_read(conn) || judge_hello(conn, data, len)) {
        return;
    }
    read_kept(conn);
    if (stream->established) {
        read_records(conn, cw_span_of(data, len));
        return;
    }
    cw_dtls_put(stream, data, len);
    if (!stream->at_work) {
        cw_conn_handshake(conn);
        read_kept(conn);
    }
}

void cw_dtls_receive_from(struct cw_conn *conn, const struct cw_datagram *from, uint8_t *data,
                          size_t len)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);

    if (conn->stream->ops != &cw_dtls_ops || !stream->established || !may_read(conn)) {
        return; /* an id counts when there are keys */
    }
    read_kept(conn);
    stream->datagrams->from = from;
    read_records(conn, cw_span_of(data, len));
    stream->datagrams->from = NULL;
}

/* ---- out ---- */

/* One piece of memory for the library. data: NULL when it is too much for any record. */
static struct cw_span gather(struct cw_conn *conn, const struct cw_span *parts, size_t count)
{
    struct cw_tls_loop *shared = conn->loop->tls;
    size_t len = 0;

    if (count == 1) {
        return parts[0];
    }
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > sizeof shared->out - len) {
            return cw_span_of(NULL, SIZE_MAX);
        }
        if (parts[i].len > 0) {
            memcpy(shared->out + len, parts[i].data, parts[i].len);
            len += parts[i].len;
        }
    }
    return cw_span_of(shared->out, len);
}

static int too_big(struct cw_conn *conn)
{
    cw_count(&conn->loop->datagram_counters.dropped_too_big, 1);
    return CW_ETOOBIG;
}

static int dtls_send(struct cw_conn *conn, const struct cw_span *parts, size_t count)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    mbedtls_ssl_context *ssl = &stream->session.ssl;
    struct cw_span message;
    int most;
    int n;

    if (stream->dead || stream->notified || !stream->established) {
        return CW_ECLOSED;
    }
    message = gather(conn, parts, count);
    most = mbedtls_ssl_get_max_out_record_payload(ssl);
    if (most < 0 || message.len > (size_t)most) {
        return too_big(conn);
    }
    stream->datagrams->sent = CW_OK;
    n = mbedtls_ssl_write(ssl, message.len > 0 ? message.data : (const uint8_t *)"", message.len);
    if (n < 0) {
        int code = cw_tls_fail(conn, n);

        cw_conn_break(conn, code);
        return code;
    }
    return stream->datagrams->sent;
}

/* ---- time ---- */

static uint32_t dtls_due(const struct cw_conn *conn)
{
    const struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    const struct cw_dtls *datagrams = stream->datagrams;

    if (stream->dead || stream->at_work) {
        return 0;
    }
    if (stream->established) {
        return !datagrams->has_kept ? 0 : conn->loop->now != 0 ? conn->loop->now : 1;
    }
    return cw_dtls_timer_due(datagrams);
}

static int dtls_on_due(struct cw_conn *conn)
{
    if (conn->phase == CW_PHASE_HANDSHAKING) {
        cw_conn_handshake(conn);
    }
    read_kept(conn);
    return CW_OK;
}

/* ---- the end ---- */

static void dtls_end(struct cw_conn *conn)
{
    (void)conn; /* close_notify has said it */
}

static void dtls_close(struct cw_conn *conn, bool reset)
{
    cw_stream_datagram.ops->close(conn, reset);
    cw_tls_stream_free(cw_tls_stream_of(conn));
}

const struct cw_stream_ops cw_dtls_ops = {
    .name = "dtls",
    .handshake = dtls_handshake,
    .goodbye = cw_tls_goodbye,
    .end = dtls_end,
    .end_is_proven = cw_tls_end_is_proven,
    .close = dtls_close,
    .send = dtls_send,
    .receive = dtls_receive,
    .due = dtls_due,
    .on_due = dtls_on_due,
    .short_read_is_empty = true,
};

/* The handshake. The loop reads the hello; what costs milliseconds of arithmetic is done by a helper thread, which has
 * the connection's library context, its input and its output to itself meanwhile. */
#include "dtls_impl.h"

#include "../work.h"
#include "tls_hello.h"

#include <causeway/log.h>

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#ifndef MBEDTLS_PRIVATE
#define MBEDTLS_PRIVATE(member) member /* of 2.28, where they are public */
#endif

enum { QUIET_MS = 250, QUIET_READS_PER_SECOND = 200 };
enum { IN_MAX = 64 << 10, ALERT_PROTOCOL_VERSION = 70, ALERT_UNEXPECTED_MESSAGE = 10 };

/* ---- made and freed ---- */

static bool open_loop(struct cw_loop *loop)
{
    if (!loop->tls) {
        loop->tls = cw_alloc(sizeof *loop->tls);
        if (loop->tls) {
            loop->tls->spare_count = 0;
            loop->tls->dtls_handshakes = 0;
        }
    }
    return loop->tls != NULL;
}

static void release(struct cw_tls_stream *stream)
{
    cw_tls_session_close(&stream->session);
    cw_dtls_close(stream);
    cw_release(stream);
}

/* Everything of the connection is forgotten, its keys first of all. */
static bool keep_spare(struct cw_tls_stream *stream)
{
    struct cw_tls_loop *shared = stream->loop->tls;
    struct cw_tls_session session;

    if (!stream->established || shared->spare_count == CW_TLS_SPARES_MAX ||
        !cw_tls_session_reset(&stream->session)) {
        return false;
    }
    cw_dtls_close(stream);
    session = stream->session;
    memset(stream, 0, sizeof *stream);
    stream->session = session;
    shared->spares[shared->spare_count++] = stream;
    return true;
}

/* One that has served before: its buffers are there, and the kernel need not find and clear new pages for them. */
static struct cw_tls_stream *take_spare(struct cw_tls_loop *shared, const struct cw_tls *tls)
{
    for (size_t i = 0; i < shared->spare_count; i++) {
        struct cw_tls_stream *stream = shared->spares[i];

        if (stream->session.tls == tls) {
            shared->spares[i] = shared->spares[--shared->spare_count];
            if (cw_tls_session_is_newest(&stream->session)) {
                return stream;
            }
            release(stream);
            return NULL;
        }
    }
    return NULL;
}

static struct cw_tls_stream *make(struct cw_tls *tls)
{
    struct cw_tls_stream *stream = cw_alloc_zero(sizeof *stream);

    if (stream && cw_tls_session_open(&stream->session, tls) < 0) {
        cw_release(stream);
        return NULL;
    }
    return stream;
}

struct cw_tls_stream *cw_tls_stream_make(struct cw_tls *tls, struct cw_loop *loop)
{
    struct cw_tls_stream *stream = open_loop(loop) ? take_spare(loop->tls, tls) : NULL;

    if (!stream) {
        stream = loop->tls ? make(tls) : NULL;
    }
    if (stream) {
        stream->loop = loop;
        atomic_init(&stream->given_up, false);
    }
    return stream;
}

struct cw_stream *cw_tls_stream_new(struct cw_tls *tls, struct cw_loop *loop)
{
    struct cw_tls_stream *stream = cw_tls_stream_make(tls, loop);

    if (!stream) {
        return NULL;
    }
    stream->stream.ops = &cw_tls_ops;
    mbedtls_ssl_set_bio(&stream->session.ssl, stream, cw_tls_bio_send, cw_tls_bio_recv, NULL);
    return &stream->stream;
}

void cw_tls_stream_drop(struct cw_stream *stream)
{
    cw_tls_stream_free((struct cw_tls_stream *)(void *)stream);
}

void cw_tls_stream_free(struct cw_tls_stream *stream)
{
    bool failed = !stream->established || stream->dead;

    if (stream->conn && failed) {
        cw_tls_session_forget(&stream->session); /* or every new try could fail in the same way */
    }
    if (stream->at_work) {
        stream->conn = NULL;
        atomic_store(&stream->given_up, true);
        return;
    }
    stream->loop->put_off -= stream->put_off ? 1 : 0;
    cw_dtls_end_count(stream);
    cw_tls_bytes_release(&stream->in);
    cw_tls_bytes_release(&stream->out);
    if (!keep_spare(stream)) {
        release(stream);
    }
}

void cw_tls_loop_free(struct cw_loop *loop)
{
    while (loop->tls && loop->tls->spare_count > 0) {
        release(loop->tls->spares[--loop->tls->spare_count]);
    }
    cw_release(loop->tls);
    loop->tls = NULL;
}

/* ---- steps ---- */

static int state_of(const struct cw_tls_stream *stream)
{
    return (int)stream->session.ssl.MBEDTLS_PRIVATE(state);
}

static bool is_over(const struct cw_tls_stream *stream)
{
    return state_of(stream) == MBEDTLS_SSL_HANDSHAKE_OVER;
}

static bool is_tls_1_3(const struct cw_tls_stream *stream)
{
#ifdef MBEDTLS_SSL_PROTO_TLS1_3
    return mbedtls_ssl_get_version_number(&stream->session.ssl) == MBEDTLS_SSL_VERSION_TLS1_3;
#else
    (void)stream;
    return false;
#endif
}

static int step(struct cw_tls_stream *stream)
{
    int error = cw_tls_session_step(&stream->session);

    stream->seen_cert = stream->seen_cert || state_of(stream) == MBEDTLS_SSL_SERVER_CERTIFICATE;
    return error;
}

static bool has_input(const struct cw_tls_stream *stream)
{
    return stream->datagrams ? cw_dtls_has_input(stream) : stream->feed_len > 0;
}

static bool wants_input(int error)
{
    return error == MBEDTLS_ERR_SSL_WANT_READ || error == MBEDTLS_ERR_SSL_WANT_WRITE;
}

/* Whether there is a next step. A datagram is not read in the step that sends something once more. */
static bool goes_on(const struct cw_tls_stream *stream, int error)
{
    bool has_datagram = stream->datagrams && has_input(stream);

    return !is_over(stream) && (error == 0 || (wants_input(error) && has_datagram));
}

/* That says more than an error of the socket, which has an alert about it to take. */
static bool is_wrong(int error)
{
    return error < 0 && !wants_input(error);
}

/* Whether what comes next takes a helper. A server knows by the hello: what is resumed by TLS 1.2 takes next to
 * nothing. A client always has a chain to verify or a key to agree on. */
static bool is_costly(const struct cw_tls_stream *stream)
{
    int state = state_of(stream);

    if (stream->conn->origin->role == CW_CLIENT) {
        return state >= MBEDTLS_SSL_SERVER_HELLO && has_input(stream);
    }
    if (stream->urgent) {
        return has_input(stream);
    }
    return state == MBEDTLS_SSL_SERVER_CERTIFICATE ||
           (state == MBEDTLS_SSL_SERVER_HELLO && is_tls_1_3(stream));
}

/* ---- a helper's part ---- */

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* One that has waited for half of its time would not come to its end any more. */
static bool is_too_late(const struct cw_tls_stream *stream)
{
    return !stream->urgent && stream->late_ms != 0 && now_ms() > stream->late_ms;
}

static void help(void *arg)
{
    struct cw_tls_stream *stream = arg;

    stream->result = MBEDTLS_ERR_SSL_TIMEOUT;
    if (atomic_load(&stream->given_up) || is_too_late(stream)) {
        return;
    }
    do {
        stream->result = step(stream);
    } while (goes_on(stream, stream->result));
}

static void on_helped(struct cw_loop *loop, int code, void *arg)
{
    struct cw_tls_stream *stream = arg;

    cw_loop_wake(loop);
    stream->at_work = false;
    if (!stream->conn) {
        cw_tls_stream_free(stream);
        return;
    }
    stream->stream.resting = false;
    stream->helped = true;
    stream->urgent = true;
    if (code < 0) {
        stream->result = MBEDTLS_ERR_SSL_TIMEOUT;
    }
    cw_conn_handshake(stream->conn);
}

static int too_many(struct cw_tls_stream *stream)
{
    stream->loop->os_errno = 0;
    return cw_conn_fail(stream->conn, CW_EFULL, "too many handshakes wait (handshakes_max)");
}

/* 0: a helper has it; or an enum cw_error. */
static int call_helper(struct cw_tls_stream *stream)
{
    struct cw_work_call call = {help, on_helped, stream, stream->urgent};
    struct cw_loop *loop = stream->loop;
    uint32_t limit = stream->conn->origin->limits.handshake;
    int error;

    stream->late_ms = limit > 0 ? now_ms() + (uint64_t)limit * CW_TICK_MS / 2 : 0;
    stream->at_work = true;
    error = cw_work_on(loop->handshakes, loop, &call);
    if (error < 0) {
        stream->at_work = false;
        loop->os_errno = 0;
    }
    return error == CW_EFULL ? too_many(stream) : error;
}

/* ---- the loop's part ---- */

/* What is meant for somebody else: named, and answered where there is an answer. */
static int refuse(struct cw_conn *conn, const char *answer, size_t len)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);

    stream->dead = true;
    conn->loop->os_errno = 0;
    if (len > 0) {
        cw_tls_sink_open(stream);
        memcpy(stream->sink, answer, len);
        stream->sink_len = len;
        cw_tls_sink_close(conn);
    }
    return CW_EPLAIN;
}

static int refuse_http(struct cw_conn *conn)
{
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
                                 "Content-Length: 39\r\nConnection: close\r\n\r\n"
                                 "This port speaks TLS: use https here.\r\n";

    if (conn->origin->role == CW_CLIENT) {
        cw_conn_fail(conn, CW_EPLAIN, "that port speaks plain HTTP, no TLS: http:// or ws://");
        return refuse(conn, answer, 0);
    }
    cw_conn_fail(conn, CW_EPLAIN, "plain HTTP came to a port that speaks TLS");
    return refuse(conn, answer, sizeof answer - 1);
}

static int refuse_other(struct cw_conn *conn, int alert, const char *what)
{
    const struct cw_tls_bytes *in = &cw_tls_stream_of(conn)->in;
    const char answer[7] = {21, 3, 3, 0, 2, 2, (char)alert};
    char first[3 * 8 + 1] = "";

    for (size_t i = 0; i < 8 && i < in->len; i++) {
        snprintf(first + 3 * i, sizeof first - 3 * i, " %02x", in->data[in->start + i]);
    }
    cw_conn_fail(conn, CW_EPLAIN, "%s came where TLS is spoken:%s", what, first);
    if (conn->extra) {
        conn->extra->tls_alert = (int16_t)alert;
    }
    return refuse(conn, answer, sizeof answer);
}

/* 0: go on; CW_STREAM_AGAIN: too few bytes to say; CW_EPLAIN. */
static int judge_first(struct cw_conn *conn)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);

    if (stream->begun || stream->in.len == 0) {
        return 0;
    }
    switch (cw_tls_judge_first(cw_span_of(stream->in.data + stream->in.start, stream->in.len))) {
    case CW_FIRST_MORE:
        return CW_STREAM_AGAIN;
    case CW_FIRST_TLS:
        stream->begun = true;
        return 0;
    case CW_FIRST_HTTP:
        return refuse_http(conn);
    case CW_FIRST_SSL2:
        return refuse_other(conn, ALERT_PROTOCOL_VERSION, "a hello of SSL 2.0");
    default:
        return refuse_other(conn, ALERT_UNEXPECTED_MESSAGE, "plain bytes");
    }
}

/* n > 0: bytes have come; 0: the peer's end; CW_STREAM_AGAIN; or an enum cw_error. Datagrams come by themselves. */
static ptrdiff_t receive(struct cw_conn *conn)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    struct cw_loop *loop = conn->loop;
    ssize_t n;

    if (stream->in.len >= IN_MAX || stream->datagrams) {
        return CW_STREAM_AGAIN;
    }
    n = recv(cw_conn_fd_of(conn), loop->tls->in, IN_MAX / 4, 0);
    if (n < 0) {
        int error = errno;

        if (error == EAGAIN || error == EINTR) {
            return CW_STREAM_AGAIN;
        }
        loop->os_errno = error;
        return cw_error_from_errno(error);
    }
    loop->os_errno = 0;
    return n == 0 || cw_tls_bytes_add(&stream->in, loop->tls->in, (size_t)n) ? n : CW_ENOMEM;
}

static void note_group(struct cw_tls_stream *stream, const uint8_t *data, size_t len)
{
    if (!stream->group_over && !stream->established) {
        stream->session.group = cw_tls_find_group(cw_span_of(data, len), &stream->group_over);
    }
}

void cw_tls_note_sent(struct cw_tls_stream *stream, const uint8_t *data, size_t len)
{
    note_group(stream, data, len);
}

/* Gives the library the whole records that are there, and no others: a helper is not called for half of one. */
static size_t lay_out(struct cw_tls_stream *stream)
{
    if (stream->datagrams) {
        cw_dtls_lay_out(stream);
        return 0;
    }
    const uint8_t *data = stream->in.data ? stream->in.data + stream->in.start : NULL;
    size_t len = stream->in.len > 0 ? cw_tls_whole_records(cw_span_of(data, stream->in.len)) : 0;

    stream->feed = data;
    stream->feed_len = len;
    if (len > 0 && stream->conn->origin->role == CW_CLIENT) {
        note_group(stream, data, len);
    }
    return len;
}

static void take_in(struct cw_tls_stream *stream)
{
    size_t used = stream->laid_out - stream->feed_len;

    stream->feed_len = 0;
    stream->laid_out = 0;
    if (used > 0) {
        cw_tls_bytes_use(&stream->in, used);
    }
}

/* Takes the steps that cost little. 0, or the library's error. *costly: the next one does not. */
static int take_steps(struct cw_tls_stream *stream, bool *costly)
{
    bool helpers = stream->loop->handshakes != NULL;
    int error = 0;

    *costly = false;
    while (goes_on(stream, error)) {
        if (helpers && is_costly(stream)) {
            *costly = true;
            return 0;
        }
        error = step(stream);
    }
    return error;
}

/* Where there is one processor, a helper brings nothing but order among those who wait; and where nobody waits, the order
 * is not worth what the changing of threads costs. Nobody does when hardly anything is read beside handshakes, or not more
 * than they bring with them: somebody who waits for each of them is heard behind each of them. */
static bool does_it_itself(struct cw_loop *loop)
{
    uint64_t passed = loop->now_ms - loop->costly_since_ms;

    if (passed >= QUIET_MS) {
        uint64_t reads = loop->reads - loop->reads_before;

        loop->quiet = reads <= loop->costly_steps || reads * 1000 < QUIET_READS_PER_SECOND * passed;
        loop->costly_since_ms = loop->now_ms;
        loop->reads_before = loop->reads;
        loop->costly_steps = 0;
    }
    return loop->alone && loop->quiet;
}

enum turn { OWN, HELPERS, NEXT };

/* By itself a loop does one in each turn, and then it is the others'. Who is near the end comes first, then who has waited
 * longest. What a certificate costs is its owner's to choose (RSA of 8192 bits with an exponent as long: a second and
 * more), so those are always a helper's. */
static enum turn whose_turn(const struct cw_tls_stream *stream)
{
    struct cw_loop *loop = stream->loop;
    bool itself = !cw_tls_session_verifies(&stream->session) && does_it_itself(loop);
    bool first = stream->urgent || stream->put_off || loop->put_off == 0;

    if (itself && (loop->handshake_done || !first)) {
        return NEXT;
    }
    loop->costly_steps++;
    return itself ? OWN : HELPERS;
}

static int take_costly_steps(struct cw_tls_stream *stream)
{
    int error = 0;

    stream->loop->handshake_done = true;
    stream->urgent = true;
    while (goes_on(stream, error)) {
        error = step(stream);
    }
    return error;
}

static void set_put_off(struct cw_tls_stream *stream, bool put_off)
{
    if (put_off != stream->put_off) {
        stream->put_off = put_off;
        stream->loop->put_off += put_off ? 1 : (size_t)-1;
    }
}

/* 0, or CW_EFULL: as many wait as may. */
static int put_off(struct cw_tls_stream *stream)
{
    struct cw_loop *loop = stream->loop;

    if (!stream->put_off && !stream->urgent && loop->put_off >= cw_work_pool_max(loop->handshakes)) {
        return too_many(stream);
    }
    set_put_off(stream, true);
    cw_conn_at_turn_end(stream->conn, CW_TURN_READY);
    return 0;
}

static int go_on(struct cw_conn *conn)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    enum turn turn = OWN;
    bool costly;
    int error;
    int sent;

    stream->laid_out = lay_out(stream);
    cw_tls_sink_open(stream);
    error = take_steps(stream, &costly);
    if (costly) {
        turn = whose_turn(stream);
        error = turn == OWN ? take_costly_steps(stream) : 0;
    }
    sent = cw_tls_sink_close(conn);
    if (turn == HELPERS && sent == 0) {
        set_put_off(stream, false);
        return call_helper(stream);
    }
    take_in(stream);
    if (turn == NEXT && sent == 0) {
        return put_off(stream);
    }
    set_put_off(stream, false);
    return is_wrong(error) ? cw_tls_fail(conn, error) : sent;
}

/* What the helper has made of it. 0, or an enum cw_error. */
static int collect(struct cw_conn *conn)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    int flushed;

    stream->helped = false;
    take_in(stream);
    if (stream->datagrams) {
        cw_dtls_collect(stream);
    }
    stream->stream.owes = stream->out.len > 0;
    flushed = stream->stream.owes ? cw_tls_flush(conn) : 0;
    if (stream->result == MBEDTLS_ERR_SSL_TIMEOUT) {
        stream->dead = true;
        conn->loop->os_errno = 0;
        return cw_conn_fail(conn, CW_EHANDSHAKETIME, "no handshake thread was free in time");
    }
    if (is_wrong(stream->result)) {
        return cw_tls_fail(conn, stream->result);
    }
    return flushed == CW_STREAM_AGAIN ? 0 : flushed;
}

static int establish(struct cw_conn *conn)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    struct cw_loop_counters *counters = &conn->loop->counters;

    stream->established = true;
    stream->session.resumed = !stream->seen_cert;
    cw_tls_session_keep(&stream->session);
    cw_count(stream->session.resumed ? &counters->handshakes_resumed : &counters->handshakes_full,
             1);
    stream->stream.more = stream->in.len > 0;
    if (stream->datagrams) {
        cw_dtls_end_count(stream);
        stream->datagrams->has_kept = true;
    }
    return 0;
}

/* While it owes it is not read from: a peer that goes on talking would wake the loop for nothing, again and again. */
static void wait_for_room(struct cw_conn *conn)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    bool blocked = stream->stream.owes && !stream->at_work; /* the helper's output is its own */

    conn->flags = blocked ? conn->flags | CW_BLOCKED : conn->flags & ~(uint32_t)CW_BLOCKED;
    stream->stream.resting = blocked;
}

/* Over, failed, or for how long it rests. */
static int outcome(struct cw_conn *conn, int error, bool ended)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);

    if (error < 0) {
        return error;
    }
    if (!stream->at_work && is_over(stream)) {
        return establish(conn);
    }
    if (ended && !stream->at_work) {
        return cw_tls_fail(conn, MBEDTLS_ERR_SSL_CONN_EOF);
    }
    wait_for_room(conn);
    return CW_STREAM_AGAIN;
}

/* This turn has had its handshakes; those whose bytes wait in the socket are told of again in the next. */
static bool may_begin(struct cw_tls_stream *stream)
{
    struct cw_loop *loop = stream->loop;

    if (stream->helped || stream->conn->origin->role == CW_CLIENT) {
        return true;
    }
    if (loop->handshakes_begun >= loop->handshakes_per_turn) {
        if (stream->in.len > 0 || stream->put_off || stream->datagrams) {
            cw_conn_at_turn_end(stream->conn, CW_TURN_READY); /* the socket will not tell of these */
        }
        return false;
    }
    loop->handshakes_begun++;
    return true;
}

static int advance(struct cw_conn *conn)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    int error = stream->helped ? collect(conn) : 0;
    ptrdiff_t n;

    if (error < 0 || is_over(stream)) {
        return outcome(conn, error, false);
    }
    n = receive(conn);
    if (n < 0 && n != CW_STREAM_AGAIN) {
        return (int)n;
    }
    error = judge_first(conn);
    if (error == 0) {
        error = go_on(conn);
    } else if (error == CW_STREAM_AGAIN) {
        error = 0;
    }
    return outcome(conn, error, n == 0);
}

int cw_tls_handshake(struct cw_conn *conn)
{
    struct cw_tls_stream *stream = cw_tls_stream_of(conn);
    int error = 0;

    stream->conn = conn;
    if (stream->at_work) {
        stream->stream.resting =
            true; /* the peer goes on talking: not to be told again and again */
        return CW_STREAM_AGAIN;
    }
    stream->stream.resting = false;
    if (!may_begin(stream)) {
        return CW_STREAM_AGAIN;
    }
    if (stream->stream.owes && !stream->helped) {
        error = cw_tls_flush(conn);
    }
    if (error == CW_STREAM_AGAIN) {
        wait_for_room(conn);
        return CW_STREAM_AGAIN;
    }
    return error < 0 ? error : advance(conn);
}

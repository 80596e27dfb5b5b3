/* Bytes in: from the stream to the protocol, and what of them has to wait. */
#include "conn_impl.h"
#include "report.h"
#include "tls/tls_hello.h"

#include <causeway/log.h>

#include <assert.h>

enum {
    INBUF_TINY = 512,
    INBUF_SMALL = 4096,
    INBUF_MEDIUM = 16384,
    DIRECT_GROWTH = 4, /* a direct read makes room for so many times what has arrived */
};

/* ---- the turn's list ---- */

void cw_conn_at_turn_end(struct cw_conn *conn, unsigned what)
{
    if (conn->flags & CW_ENDING) {
        return;
    }
    if (!(conn->turn & CW_TURN_QUEUED)) {
        conn->turn_next = 0;
        *conn->loop->turn_tail = conn->slot + 1;
        conn->loop->turn_tail = &conn->turn_next;
    }
    conn->turn = (conn->turn | what | CW_TURN_QUEUED) & CW_TURN_ALL;
}

/* ---- what the event is registered for ---- */

static void on_event(evutil_socket_t fd, short events, void *arg)
{
    struct cw_loop *loop = arg;
    struct event *event = event_base_get_running_event(loop->base);

    (void)fd;
    cw_conn_on_event((struct cw_conn *)(void *)event, events);
}

void cw_conn_update_events(struct cw_conn *conn)
{
    uint32_t want = 0;
    uint32_t have = conn->flags & (CW_WATCHED_READ | CW_WATCHED_WRITE);
    bool reads = !(conn->flags & CW_STOP_MASK) || (conn->flags & CW_DISCARD) != 0 ||
                 (conn->flags & CW_AWAIT_FINISH) != 0;

    if (conn->phase == CW_PHASE_HANDSHAKING) {
        reads = true;
    }
    if (conn->phase != CW_PHASE_CLOSED) {
        reads = reads && !conn->stream->resting;
        want |= reads && !(conn->flags & CW_INPUT_ENDED) ? (uint32_t)CW_WATCHED_READ : 0u;
        want |= conn->flags & CW_BLOCKED ? (uint32_t)CW_WATCHED_WRITE : 0u;
    }
    if (want == have || conn->event.ev_fd < 0) {
        return;
    }
    if (have != 0) {
        event_del(&conn->event);
    }
    conn->flags = (conn->flags & ~(uint32_t)(CW_WATCHED_READ | CW_WATCHED_WRITE)) | want;
    if (want != 0) {
        short events = EV_PERSIST;
        events = (short)(events | (want & CW_WATCHED_READ ? EV_READ : 0));
        events = (short)(events | (want & CW_WATCHED_WRITE ? EV_WRITE : 0));
        event_assign(&conn->event, conn->loop->base, conn->event.ev_fd, events, on_event,
                     conn->loop);
        if (event_add(&conn->event, NULL) < 0) {
            conn->flags &= ~(uint32_t)(CW_WATCHED_READ | CW_WATCHED_WRITE);
            cw_conn_break_with(conn, CW_ENOMEM, 0, "watch: out of memory");
        }
    }
}

/* ---- input that waits ---- */

static struct cw_inbuf *inbuf_new(struct cw_loop *loop, size_t cap)
{
    struct cw_inbuf *in = loop->inbufs;

    if (in && in->cap >= cap) {
        loop->inbufs = in->next;
        loop->inbuf_count--;
    } else {
        in = cw_alloc(sizeof *in + cap + CW_SCRATCH_PAD);
        if (!in) {
            return NULL;
        }
        in->cap = cap;
    }
    in->start = 0;
    in->len = 0;
    return in;
}

/* Large ones are kept: they are what a stream of large messages needs again and again. */
static void inbuf_keep(struct cw_loop *loop, struct cw_inbuf *in)
{
    bool worth = in->cap >= CW_SCRATCH_BYTES && in->cap <= 2 * CW_SCRATCH_BYTES;

    if (worth && loop->inbuf_count < CW_INBUF_KEEP) {
        in->next = loop->inbufs;
        loop->inbufs = in;
        loop->inbuf_count++;
    } else {
        cw_release(in);
    }
}

void cw_conn_inbuf_free(struct cw_conn *conn)
{
    if (conn->in) {
        inbuf_keep(conn->loop, conn->in);
        conn->in = NULL;
    }
}

/* Few sizes, so that unused buffers fit the next need. */
static size_t inbuf_cap(size_t need)
{
    static const size_t caps[] = {INBUF_TINY, INBUF_SMALL, INBUF_MEDIUM, CW_SCRATCH_BYTES,
                                  2 * CW_SCRATCH_BYTES};

    for (size_t i = 0; i < sizeof caps / sizeof caps[0]; i++) {
        if (need <= caps[i]) {
            return caps[i];
        }
    }
    return need;
}

/* Makes room for `extra` bytes behind what waits. */
static bool inbuf_reserve(struct cw_conn *conn, size_t extra)
{
    struct cw_inbuf *in = conn->in;
    size_t need = extra + (in ? in->len : 0);
    size_t cap = inbuf_cap(need);
    struct cw_inbuf *grown;

    if (in && in->cap - in->start - in->len >= extra) {
        return true;
    }
    if (in && in->cap >= need) {
        memmove(in->bytes, in->bytes + in->start, in->len);
        in->start = 0;
        return true;
    }
    if (in && need > 2 * (size_t)CW_SCRATCH_BYTES && cap < in->cap * 2) {
        cap = in->cap * 2; /* or a trickle would copy it all each time */
    }
    grown = inbuf_new(conn->loop, cap);
    if (!grown) {
        return false;
    }
    if (in) {
        memcpy(grown->bytes, in->bytes + in->start, in->len);
        grown->len = in->len;
        inbuf_keep(conn->loop, in);
    }
    conn->in = grown;
    return true;
}

static bool inbuf_append(struct cw_conn *conn, const uint8_t *data, size_t len)
{
    if (len == 0) {
        return true;
    }
    if (!inbuf_reserve(conn, len)) {
        cw_conn_break_with(conn, CW_ENOMEM, 0, "input: out of memory");
        return false;
    }
    memcpy(conn->in->bytes + conn->in->start + conn->in->len, data, len);
    conn->in->len += len;
    return true;
}

static void inbuf_used(struct cw_conn *conn, size_t used)
{
    conn->in->start += used;
    conn->in->len -= used;
    if (conn->in->len == 0) {
        cw_conn_inbuf_free(conn);
    }
}

static size_t wanted(const struct cw_conn *conn)
{
    return conn->extra ? conn->extra->want : 0;
}

/* How much a protocol may leave unused. */
static size_t in_limit(const struct cw_conn *conn)
{
    size_t limit = conn->origin->limits.in_max;

    return wanted(conn) > limit ? wanted(conn) : limit;
}

/* ---- feeding the protocol ---- */

static void fail_from_protocol(struct cw_conn *conn, ptrdiff_t code)
{
    cw_conn_break(conn, code < INT16_MIN ? CW_EPROTO : (int)code);
}

/* Whether on_bytes may be called: nothing holds it, or the protocol waits for the peer's goodbye. */
static bool may_feed(const struct cw_conn *conn)
{
    return !(conn->flags & CW_STOP_MASK) ||
           (conn->flags & (CW_AWAIT_FINISH | CW_DISCARD)) == CW_AWAIT_FINISH;
}

/* Whether input still means something, now or later: who may wait for the peer's goodbye must not lose its place in the input. */
static bool is_heard(const struct cw_conn *conn)
{
    if (!(conn->flags & CW_CLOSING) || (conn->flags & CW_AWAIT_FINISH)) {
        return true;
    }
    return conn->phase != CW_PHASE_CLOSED && !(conn->flags & (CW_DISCARD | CW_SHUTDOWN_DONE)) &&
           conn->service->protocol->on_shutdown;
}

/* Feeds bytes until they are used up, held, or more are needed. Returns how many were used. */
static size_t feed(struct cw_conn *conn, uint8_t *data, size_t len)
{
    const struct cw_protocol *protocol = conn->service->protocol;
    size_t used = 0;

    while (used < len && may_feed(conn)) {
        ptrdiff_t n = protocol->on_bytes(conn, cw_conn_state_of(conn), data + used, len - used);

        if (n < 0) {
            fail_from_protocol(conn, n);
            break;
        }
        assert((size_t)n <= len - used);
        if (n > 0) {
            cw_poison(data + used, (size_t)n);
            used += (size_t)n;
            if (conn->extra) {
                conn->extra->want = 0;
            }
        }
        if (conn->flags & CW_SWITCHING) {
            cw_conn_do_switch(conn);
            protocol = conn->service->protocol;
        } else if (n == 0) {
            break;
        }
    }
    return used;
}

/* The protocol leaves more unused than it may. */
static void check_in_limit(struct cw_conn *conn)
{
    if (conn->in && conn->in->len >= in_limit(conn) && !cw_conn_stopped(conn) &&
        conn->in->len != wanted(conn)) {
        cw_conn_fail(conn, CW_ETOOBIG, "%zu bytes of input wait unused, in_max_bytes is %zu",
                     conn->in->len, conn->origin->limits.in_max);
        cw_conn_break(conn, CW_ETOOBIG);
    }
}

/* Lets go of a hold by the connection's own output, if that has gone in the meantime. */
static bool unhold_output(struct cw_conn *conn)
{
    uint32_t held = conn->flags & CW_STOP_MASK;

    if (held == CW_HELD_OUTPUT) {
        cw_conn_flush(conn);
    }
    return !(conn->flags & CW_STOP_MASK);
}

/* Feeds fresh bytes from the scratch buffer; what stays unused is copied, only now. */
static void feed_fresh(struct cw_conn *conn, uint8_t *data, size_t len)
{
    size_t used = 0;

    do {
        used += feed(conn, data + used, len - used);
    } while (used < len && !may_feed(conn) && unhold_output(conn));
    if (used < len && is_heard(conn)) {
        if (inbuf_append(conn, data + used, len - used)) {
            check_in_limit(conn);
        }
    } else if (used < len) {
        conn->flags |= CW_UNHEARD;
    }
    cw_poison(data, len);
}

/* Feeds what had been left over. */
static void feed_waiting(struct cw_conn *conn)
{
    while (conn->in && may_feed(conn) && conn->in->len >= wanted(conn)) {
        struct cw_inbuf *in = conn->in;
        size_t used = feed(conn, in->bytes + in->start, in->len);

        if (used > 0 && conn->in) {
            inbuf_used(conn, used);
        }
        if (!may_feed(conn)) {
            if (!unhold_output(conn)) {
                break;
            }
        } else if (used == 0) {
            break;
        }
    }
    check_in_limit(conn);
}

/* ---- reading ---- */

static void on_read_error(struct cw_conn *conn, int code)
{
    if (conn->flags & CW_DISCARD) {
        /* The end was settled already; the peer's reset adds nothing. */
        conn->flags |= CW_INPUT_ENDED | CW_RESET;
        cw_conn_at_turn_end(conn, CW_TURN_END);
        return;
    }
    if (cw_conn_is_of_tls(code)) {
        /* The socket is sound, and the peer has an alert to read. */
        cw_conn_clear_out(conn);
        cw_conn_break(conn, code);
        return;
    }
    cw_conn_break_with(conn, code, conn->loop->os_errno, NULL);
}

static void on_input_end(struct cw_conn *conn)
{
    const struct cw_protocol *protocol = conn->service->protocol;
    size_t left = conn->in ? conn->in->len : 0;
    uint8_t *data = left > 0 ? conn->in->bytes + conn->in->start : conn->loop->scratch;
    int answer = 0;

    assert(may_feed(conn) || (conn->flags & CW_DISCARD)); /* nothing is left that could be fed */
    conn->flags |= CW_INPUT_ENDED;
    if (conn->flags & CW_CLOSING) {
        conn->flags &= ~(uint32_t)CW_AWAIT_FINISH;
        cw_conn_at_turn_end(conn, CW_TURN_END);
        return;
    }
    if (protocol->on_end) {
        answer = protocol->on_end(conn, cw_conn_state_of(conn), data, left);
    } else if (left > 0) {
        answer = cw_conn_fail(conn, CW_ETRUNCATED, "input ended, %zu bytes make no message", left);
    }
    cw_conn_inbuf_free(conn);
    if (answer == 0 && !cw_conn_end_is_proven(conn)) {
        answer = cw_conn_fail(conn, CW_ETRUNCATED,
                              "the end came without close_notify: messages may be missing");
    }
    answer = answer == CW_END_IN_ORDER ? 0 : answer;
    if (answer < 0) {
        cw_conn_break(conn, answer);
    } else if (conn->flags & CW_CLOSING) {
        return;
    } else if (conn->origin->limits.half_open) {
        if (conn->service->hooks.on_end) {
            conn->service->hooks.on_end(conn, conn->service->user);
        } else if (answer == 0) {
            cw_conn_end_with(conn, CW_BY_PEER);
        }
    } else if (answer == 0) {
        cw_conn_end_with(conn, CW_BY_PEER);
    }
}

/* One read. Returns the stream's answer; the bytes that went into the scratch buffer come back in *fresh. */
static ptrdiff_t read_once(struct cw_conn *conn, size_t *fresh, size_t *asked)
{
    struct cw_loop *loop = conn->loop;
    struct iovec iov[2] = {{NULL, 0}, {loop->scratch, CW_SCRATCH_BYTES}};
    size_t want = wanted(conn);
    size_t direct = 0;
    ptrdiff_t n;

    if (conn->in && conn->in->len >= INBUF_MEDIUM && want > conn->in->len &&
        !(conn->flags & CW_DISCARD)) {
        /* Towards one message in one piece. Memory follows what has arrived, not what was announced. */
        size_t missing = want - conn->in->len;
        size_t most = conn->in->len * DIRECT_GROWTH;

        direct = missing < most ? missing : most;
        if (!inbuf_reserve(conn, direct)) {
            loop->os_errno = 0;
            return CW_ENOMEM;
        }
        iov[0].iov_base = conn->in->bytes + conn->in->start + conn->in->len;
        iov[0].iov_len = direct;
    }
    *asked = direct + CW_SCRATCH_BYTES;
    n = conn->stream->ops->read(conn, direct > 0 ? iov : iov + 1, direct > 0 ? 2 : 1);
    *fresh = 0;
    if (n > 0 && direct > 0) {
        size_t got = (size_t)n < direct ? (size_t)n : direct;
        conn->in->len += got;
        *fresh = (size_t)n - got;
    } else if (n > 0) {
        *fresh = (size_t)n;
    }
    return n;
}

/* The first bytes of a peer that speaks TLS to a port that does not. To a protocol of raw bytes they may be what it is
 * for; any other fails on them, and then this is why. */
static void judge_hello(struct cw_conn *conn)
{
    if (conn->flags & CW_FAILED) {
        cw_conn_fail(conn, CW_EISTLS, "a TLS hello came to a port without TLS");
        conn->code = CW_EISTLS;
    } else {
        cw_report_hello(conn);
    }
}

static void take(struct cw_conn *conn, size_t n, size_t fresh)
{
    struct cw_loop *loop = conn->loop;
    bool hello = conn->bytes_in == 0 && conn->stream == &cw_stream_plain &&
                 conn->origin->role == CW_SERVER &&
                 cw_tls_is_hello(cw_span_of(loop->scratch, fresh));

    loop->reads++;
    conn->last_in = loop->now;
    conn->bytes_in += n;
    cw_count(&loop->counters.bytes_in, n);
    if (conn->flags & CW_DISCARD) {
        conn->flags |= CW_UNHEARD;
        return;
    }
    if (conn->in) {
        if (n > fresh && conn->in->len >= wanted(conn)) {
            feed_waiting(conn);
        }
        if (fresh > 0 && conn->in && is_heard(conn)) {
            if (inbuf_append(conn, loop->scratch, fresh)) {
                feed_waiting(conn);
            }
            fresh = 0;
        }
    }
    if (fresh > 0 && is_heard(conn)) {
        feed_fresh(conn, loop->scratch, fresh);
    }
    if (hello) {
        judge_hello(conn);
    }
}

/* Whether reading may go on: open, or waiting for the peer's last words. */
static bool may_read(const struct cw_conn *conn)
{
    uint32_t flags = conn->flags;

    if (conn->phase == CW_PHASE_CLOSED || (flags & CW_INPUT_ENDED)) {
        return false;
    }
    return !(flags & CW_STOP_MASK) || (flags & (CW_DISCARD | CW_AWAIT_FINISH));
}

void cw_conn_read(struct cw_conn *conn)
{
    size_t budget = conn->origin->limits.reads_per_turn;

    conn->turn_messages = 0;
    while (may_read(conn)) {
        size_t fresh;
        size_t asked;
        ptrdiff_t n = read_once(conn, &fresh, &asked);

        if (n == CW_STREAM_AGAIN) {
            break;
        }
        if (n <= 0) {
            if (n == 0) {
                on_input_end(conn);
            } else {
                on_read_error(conn, (int)n);
            }
            break;
        }
        take(conn, (size_t)n, fresh);
        if ((size_t)n < asked && !cw_conn_has_more(conn)) {
            break;
        }
        if ((size_t)n >= budget) {
            if (cw_conn_has_more(conn)) {
                cw_conn_at_turn_end(conn, CW_TURN_READY);
            }
            break;
        }
        budget -= (size_t)n;
    }
}

void cw_conn_on_ready(struct cw_conn *conn)
{
    struct cw_loop *loop = conn->loop;

    if (conn->phase == CW_PHASE_HANDSHAKING) {
        cw_conn_handshake(conn);
        return;
    }
    loop->current = conn;
    conn->turn_messages = 0;
    if (conn->flags & CW_HELD_TURN) {
        conn->flags &= ~(uint32_t)CW_HELD_TURN;
        cw_conn_schedule(conn); /* a sweep may have passed it over meanwhile */
    }
    if (conn->in && may_feed(conn)) {
        feed_waiting(conn);
    }
    if (cw_conn_has_more(conn)) {
        cw_conn_read(conn);
    }
    loop->current = NULL;
    cw_conn_flush(conn);
}

void cw_conn_soon(struct cw_conn *conn)
{
    cw_loop_assert_thread(conn->loop);
    cw_conn_at_turn_end(conn, CW_TURN_SOON);
}

void cw_conn_on_soon(struct cw_conn *conn)
{
    const struct cw_protocol *protocol = conn->service->protocol;
    uint32_t open = conn->flags & (CW_PROTOCOL_OPEN | CW_CLOSING | CW_SWITCHING);
    int error = CW_OK;

    if (protocol->on_soon && open == CW_PROTOCOL_OPEN && conn->phase == CW_PHASE_OPEN) {
        error = protocol->on_soon(conn, cw_conn_state_of(conn));
    }
    if (error < 0) {
        cw_conn_break(conn, error);
    }
}

/* Whether a flush has something to do: a send inside of the read may have written all there was, and then nobody has been
 * told that it has drained. Whom the loop has refused, the loop tells. */
static bool owes_flush(const struct cw_conn *conn)
{
    uint32_t owed = CW_HELD_OUTPUT | CW_SOURCE_ENDED;

    owed |= conn->loop->refused_bytes == 0 ? CW_WANT_DRAIN : 0u;
    return conn->out || conn->stream->owes || (conn->flags & owed);
}

void cw_conn_on_event(struct cw_conn *conn, short events)
{
    struct cw_loop *loop = conn->loop;

    cw_loop_wake(loop);
    if (conn->phase == CW_PHASE_HANDSHAKING && conn->stream->ops->handshake) {
        cw_conn_handshake(conn);
        return;
    }
    if (events & EV_WRITE) {
        conn->flags &= ~(uint32_t)CW_BLOCKED;
        cw_conn_flush(conn);
    }
    if (events & EV_READ) {
        loop->current = conn;
        cw_conn_read(conn);
        loop->current = NULL;
        /* Its own replies leave now, while they are in the cache; what others send it leaves at the end of the
         * turn, gathered. */
        if (owes_flush(conn) && !(conn->turn & CW_TURN_FLUSH)) {
            cw_conn_flush(conn);
            if (conn->phase != CW_PHASE_CLOSED) {
                return; /* the flush has seen to its events */
            }
        }
    }
    cw_conn_update_events(conn);
}

/* Bytes of a connection: in from the stream to the protocol, out from the queue to the stream. */
#include "conn_impl.h"

#include <assert.h>
#include <causeway/log.h>
#include <unistd.h>

enum {
    IOV_MAX_GATHER = 64,
    INBUF_SMALL = 4096,
    DIRECT_MIN = 16384,       /* a write this large skips the queue when it can */
    FLUSH_PER_TURN = 1 << 20, /* bytes of one connection before the others' turn */
    CONTROL_OVER_MAX = 4096,  /* what control bytes may take above out_max */
    NODE_CHARGE = 64,         /* what a queued message costs beside its bytes */
};

/* ---- the turn's list ---- */

void cw_conn_at_turn_end(struct cw_conn *conn, unsigned what)
{
    if (conn->flags & CW_ENDING) {
        return;
    }
    if (!(conn->turn & CW_TURN_QUEUED)) {
        conn->turn_next = NULL;
        *conn->loop->turn_tail = conn;
        conn->loop->turn_tail = &conn->turn_next;
    }
    conn->turn |= (uint8_t)(what | CW_TURN_QUEUED);
}

/* ---- what the event is registered for ---- */

void cw_conn_update_events(struct cw_conn *conn)
{
    uint32_t want = 0;
    uint32_t have = conn->flags & (CW_WATCHED_READ | CW_WATCHED_WRITE);
    bool reads = !(conn->flags & CW_STOP_MASK) || (conn->flags & CW_DISCARD) != 0 ||
                 (conn->flags & CW_AWAIT_FINISH) != 0;

    if (conn->phase != CW_PHASE_CLOSED) {
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
        event_assign(&conn->event, conn->loop->base, conn->event.ev_fd, events, cw_conn_on_event,
                     conn);
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

/* Makes room for `extra` bytes behind what waits. */
static bool inbuf_reserve(struct cw_conn *conn, size_t extra)
{
    struct cw_inbuf *in = conn->in;
    size_t need = extra + (in ? in->len : 0);
    size_t cap = need <= INBUF_SMALL ? INBUF_SMALL : need <= 16384 ? 16384 : need;
    struct cw_inbuf *grown;

    if (in && in->cap - in->start - in->len >= extra) {
        return true;
    }
    if (in && in->cap >= need) {
        memmove(in->bytes, in->bytes + in->start, in->len);
        in->start = 0;
        return true;
    }
    if (need > 16384 && need <= 2 * CW_SCRATCH_BYTES) {
        cap = need <= CW_SCRATCH_BYTES ? CW_SCRATCH_BYTES : 2 * CW_SCRATCH_BYTES;
    } else if (in && need > 16384 && cap < in->cap * 2) {
        cap = in->cap * 2;
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

#ifdef CW_CHECKED
/* A span kept beyond its callback fails the same day. */
static void poison(uint8_t *data, size_t len)
{
    memset(data, 0xdb, len);
}
#else
static void poison(uint8_t *data, size_t len)
{
    (void)data;
    (void)len;
}
#endif

/* Whether on_bytes may be called: nothing holds it, or the protocol waits for the peer's goodbye. */
static bool may_feed(const struct cw_conn *conn)
{
    return !(conn->flags & CW_STOP_MASK) ||
           (conn->flags & (CW_AWAIT_FINISH | CW_DISCARD)) == CW_AWAIT_FINISH;
}

/* Whether input still means something, now or later. */
static bool is_heard(const struct cw_conn *conn)
{
    return (conn->flags & (CW_CLOSING | CW_AWAIT_FINISH)) != CW_CLOSING;
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
            poison(data + used, (size_t)n);
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
    }
    poison(data, len);
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
    cw_conn_break_with(conn, code, conn->loop->os_errno, NULL);
}

static void on_input_end(struct cw_conn *conn)
{
    const struct cw_protocol *protocol = conn->service->protocol;
    size_t left = conn->in ? conn->in->len : 0;
    uint8_t *data = left > 0 ? conn->in->bytes + conn->in->start : conn->loop->scratch;
    int answer = 0;

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

    if (conn->in && want > conn->in->len && !(conn->flags & CW_DISCARD)) {
        /* Towards one message in one piece. Memory follows what has arrived, not what was announced. */
        size_t missing = want - conn->in->len;
        size_t most = conn->in->len < CW_SCRATCH_BYTES ? CW_SCRATCH_BYTES : conn->in->len;

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

static void take(struct cw_conn *conn, size_t n, size_t fresh)
{
    struct cw_loop *loop = conn->loop;

    conn->last_in = loop->now;
    conn->bytes_in += n;
    cw_count(&loop->counters.bytes_in, n);
    if (conn->flags & CW_DISCARD) {
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
        if ((size_t)n < asked && conn->stream->ops->short_read_is_empty) {
            break;
        }
        if ((size_t)n >= budget) {
            if (!conn->stream->ops->short_read_is_empty) {
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

    loop->current = conn;
    conn->turn_messages = 0;
    conn->flags &= ~(uint32_t)CW_HELD_TURN;
    if (conn->in && may_feed(conn)) {
        feed_waiting(conn);
    }
    if (!conn->stream->ops->short_read_is_empty) {
        cw_conn_read(conn);
    }
    loop->current = NULL;
    cw_conn_flush(conn);
}

void cw_conn_on_event(evutil_socket_t fd, short events, void *arg)
{
    struct cw_conn *conn = arg;
    struct cw_loop *loop = conn->loop;

    (void)fd;
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
        if (conn->out && !(conn->turn & CW_TURN_FLUSH)) {
            cw_conn_flush(conn);
        }
    }
    cw_conn_update_events(conn);
}

/* ---- writing ---- */

static size_t own_bytes(const struct cw_conn *conn)
{
    return conn->out ? conn->out->bytes - conn->out->shared_bytes : 0;
}

static size_t charged(const struct cw_conn *conn)
{
    return conn->out ? conn->out->bytes + conn->out->shared_count * NODE_CHARGE : 0;
}

/* One offer to the stream. Returns bytes taken, 0 when it is blocked, or an enum cw_error. */
static ptrdiff_t write_bytes(struct cw_conn *conn)
{
    struct cw_loop *loop = conn->loop;
    struct iovec iov[IOV_MAX_GATHER];
    size_t total;
    int count = cw_outq_gather(conn->out, iov, IOV_MAX_GATHER, &total);
    ptrdiff_t n;

    if (count > 1 && total <= CW_OUT_GATHER_MAX) {
        uint8_t *to = loop->gather;
        for (int i = 0; i < count; i++) {
            memcpy(to, iov[i].iov_base, iov[i].iov_len);
            to += iov[i].iov_len;
        }
        iov[0] = (struct iovec){loop->gather, total};
        count = 1;
    }
    n = conn->stream->ops->write(conn, iov, count);
    if (n > 0) {
        if ((size_t)n < total) {
            conn->flags |= CW_BLOCKED;
        }
        cw_outq_advance(conn->out, &loop->out_pool, (size_t)n);
    }
    return n;
}

static ptrdiff_t pull_source(struct cw_conn *conn, struct cw_out_node *source)
{
    struct cw_loop *loop = conn->loop;
    struct cw_out_node *node;
    uint8_t buffer[CW_OUT_LARGE - 256];
    size_t cap =
        source->as.source.left < sizeof buffer ? (size_t)source->as.source.left : sizeof buffer;
    ptrdiff_t n = cap > 0 ? source->as.source.pull(buffer, cap, source->as.source.user) : 0;

    if (n > 0 && (size_t)n > cap) {
        return CW_EINVAL;
    }
    if (n > 0) {
        node = cw_outq_open_head(conn->out, &loop->out_pool);
        if (!node) {
            return CW_ENOMEM;
        }
        memcpy(node->as.bytes, buffer, (size_t)n);
        cw_outq_filled(conn->out, &loop->out_pool, node, (size_t)n);
        if (source->as.source.left != CW_NO_LIMIT) {
            source->as.source.left -= (uint64_t)n;
        }
        return n;
    }
    if (n == 0 && source->as.source.left != CW_NO_LIMIT && source->as.source.left > 0) {
        return CW_ETRUNCATED; /* it promised more */
    }
    return n;
}

static ptrdiff_t read_file(struct cw_conn *conn, struct cw_out_node *file)
{
    struct cw_loop *loop = conn->loop;
    struct cw_out_node *node;
    uint8_t buffer[CW_OUT_LARGE - 256];
    size_t cap = file->as.file.len < sizeof buffer ? (size_t)file->as.file.len : sizeof buffer;
    ssize_t n = cap > 0 ? pread(file->as.file.fd, buffer, cap, (off_t)file->as.file.offset) : 0;

    if (n < 0) {
        return CW_EOS;
    }
    if (n > 0) {
        node = cw_outq_open_head(conn->out, &loop->out_pool);
        if (!node) {
            return CW_ENOMEM;
        }
        memcpy(node->as.bytes, buffer, (size_t)n);
        cw_outq_filled(conn->out, &loop->out_pool, node, (size_t)n);
        file->as.file.offset += (uint64_t)n;
        file->as.file.len -= (uint64_t)n;
    } else if (file->as.file.len > 0) {
        return CW_ETRUNCATED;
    }
    return n;
}

static ptrdiff_t send_file(struct cw_conn *conn, struct cw_out_node *node)
{
    struct cw_out_file *file = &node->as.file;
    ptrdiff_t n;

    if (file->len == 0) {
        return 0;
    }
    if (!conn->stream->ops->send_file) {
        return read_file(conn, node);
    }
    n = conn->stream->ops->send_file(conn, file->fd, file->offset, file->len);
    if (n == 0) {
        return CW_ETRUNCATED;
    }
    if (n > 0) {
        file->offset += (uint64_t)n;
        file->len -= (uint64_t)n;
        conn->bytes_out += (uint64_t)n;
        cw_count(&conn->loop->counters.bytes_out, (uint64_t)n);
        conn->last_out = conn->loop->now;
        conn->out->since = conn->loop->now;
    }
    return n;
}

static void end_source(struct cw_conn *conn)
{
    cw_outq_pop(conn->out, &conn->loop->out_pool, CW_OK);
    conn->extra->sources--;
    conn->flags |= CW_SOURCE_ENDED;
}

/* The head is a source or a file. Returns > 0: go on; 0: nothing now; < 0: an enum cw_error. */
static ptrdiff_t write_source(struct cw_conn *conn, size_t *budget)
{
    struct cw_out_node *head = conn->out->head;
    bool is_file = head->kind == CW_OUT_FILE;
    ptrdiff_t n;

    if (!is_file && head->as.source.waiting) {
        return 0;
    }
    n = is_file ? send_file(conn, head) : pull_source(conn, head);
    if (n == CW_STREAM_AGAIN) {
        conn->flags |= CW_BLOCKED;
        return 0;
    }
    if (n == CW_EAGAIN && !is_file) {
        head->as.source.waiting = true;
        return 0;
    }
    if (n == 0) {
        end_source(conn);
        return 1;
    }
    if (n > 0) {
        *budget -= (size_t)n < *budget ? (size_t)n : *budget;
        return 1;
    }
    if (n == CW_ETRUNCATED) {
        cw_conn_fail(conn, CW_ETRUNCATED, "%s ended before its length", is_file ? "file" : "source");
    }
    return n;
}

void cw_conn_flush_quiet(struct cw_conn *conn)
{
    struct cw_loop *loop = conn->loop;
    size_t budget = FLUSH_PER_TURN;

    while (conn->out && conn->out->head && !(conn->flags & CW_BLOCKED)) {
        ptrdiff_t n;

        if (conn->phase == CW_PHASE_CLOSED || conn->phase == CW_PHASE_HANDSHAKING) {
            return;
        }
        if (budget == 0) {
            cw_conn_at_turn_end(conn, CW_TURN_FLUSH);
            return;
        }
        if (conn->out->head->kind > CW_OUT_PAYLOAD) {
            n = write_source(conn, &budget);
            if (n == 0) {
                break;
            }
        } else {
            n = write_bytes(conn);
            if (n > 0) {
                conn->last_out = loop->now;
                conn->out->since = loop->now;
                conn->bytes_out += (uint64_t)n;
                cw_count(&loop->counters.bytes_out, (uint64_t)n);
                budget -= (size_t)n < budget ? (size_t)n : budget;
            } else if (n == CW_STREAM_AGAIN) {
                conn->flags |= CW_BLOCKED;
            }
        }
        if (n < 0 && n != CW_STREAM_AGAIN) {
            cw_conn_break_with(conn, (int)n, n == CW_ETRUNCATED ? 0 : loop->os_errno, NULL);
            return;
        }
    }
    if (conn->flags & CW_BLOCKED) {
        cw_conn_schedule(conn);
    }
    cw_outq_settle(&conn->out, &loop->out_pool);
}

/* The queue has fallen low enough: whoever was told to wait may go on. */
static void tell_drained(struct cw_conn *conn)
{
    const struct cw_protocol *protocol = conn->service->protocol;

    conn->flags &= ~(uint32_t)(CW_WANT_DRAIN | CW_SOURCE_ENDED);
    if (conn->flags & CW_CLOSING) {
        return;
    }
    if (protocol->on_writable) {
        int error = protocol->on_writable(conn, cw_conn_state_of(conn));
        if (error < 0) {
            cw_conn_break(conn, error);
        }
    }
    if (!(conn->flags & CW_CLOSING) && (conn->flags & CW_OPENED) && conn->service->hooks.on_drain) {
        conn->service->hooks.on_drain(conn, conn->service->user);
    }
}

void cw_conn_flush(struct cw_conn *conn)
{
    const struct cw_limits *limits = &conn->origin->limits;

    cw_conn_flush_quiet(conn);
    if (conn->phase == CW_PHASE_CLOSED) {
        return;
    }
    if ((conn->flags & CW_HELD_OUTPUT) && own_bytes(conn) <= limits->out_low &&
        !(conn->extra && conn->extra->sources > 0)) {
        conn->flags &= ~(uint32_t)CW_HELD_OUTPUT;
        conn->last_in = conn->loop->now; /* the peer could not be heard meanwhile */
        if (conn->in) {
            cw_conn_at_turn_end(conn, CW_TURN_READY);
        }
    }
    if ((conn->flags & (CW_WANT_DRAIN | CW_SOURCE_ENDED)) &&
        (!conn->out || (conn->out->bytes <= limits->out_low && !(conn->flags & CW_HELD_OUTPUT)))) {
        tell_drained(conn);
    }
    if ((conn->flags & CW_CLOSING) && !conn->out) {
        cw_conn_at_turn_end(conn, CW_TURN_END);
    }
    cw_conn_update_events(conn);
}

/* ---- the calls that queue ---- */

static bool may_write(const struct cw_conn *conn, bool control)
{
    if (conn->phase == CW_PHASE_CLOSED || (conn->flags & CW_OUTPUT_ENDED)) {
        return false;
    }
    return control || !(conn->flags & CW_CLOSING);
}

static size_t total_of(const struct cw_span *parts, size_t count)
{
    size_t total = 0;

    for (size_t i = 0; i < count; i++) {
        total += parts[i].len;
    }
    return total;
}

/* 0, or why `len` more bytes are not taken. */
static int check_room(struct cw_conn *conn, size_t len, size_t max)
{
    size_t queued = charged(conn);

    if (len > max) {
        return CW_ETOOBIG;
    }
    if (queued > max || len > max - queued || len > conn->loop->buffered_max ||
        conn->loop->out_pool.bytes > conn->loop->buffered_max - len) {
        conn->flags |= CW_WANT_DRAIN;
        return CW_EFULL;
    }
    return CW_OK;
}

/* After bytes were queued: who has to know. Returns 0 or 1. */
static int queued(struct cw_conn *conn)
{
    const struct cw_limits *limits = &conn->origin->limits;

    if (conn != conn->loop->current && !(conn->flags & CW_BLOCKED)) {
        cw_conn_at_turn_end(conn, CW_TURN_FLUSH);
    }
    if (!conn->out || conn->out->bytes <= limits->out_high) {
        return 0;
    }
    conn->flags |= CW_WANT_DRAIN;
    if (own_bytes(conn) > limits->out_high && !limits->read_while_full) {
        conn->flags |= CW_HELD_OUTPUT;
        if (conn != conn->loop->current) {
            cw_conn_at_turn_end(conn, CW_TURN_FLUSH);
        }
    }
    return 1;
}

/* Offers a large write to the stream at once. Returns the bytes that are gone. */
static size_t write_direct(struct cw_conn *conn, const struct cw_span *parts, size_t count,
                           size_t total)
{
    struct iovec iov[8];
    ptrdiff_t n;

    if (conn->out || (conn->flags & CW_BLOCKED) || count > 8 ||
        conn->phase == CW_PHASE_HANDSHAKING) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        iov[i].iov_base = (void *)(uintptr_t)parts[i].data;
        iov[i].iov_len = parts[i].len;
    }
    n = conn->stream->ops->write(conn, iov, (int)count);
    if (n > 0) {
        conn->last_out = conn->loop->now;
        conn->bytes_out += (uint64_t)n;
        cw_count(&conn->loop->counters.bytes_out, (uint64_t)n);
        if ((size_t)n < total) {
            conn->flags |= CW_BLOCKED;
            cw_conn_at_turn_end(conn, CW_TURN_FLUSH);
        }
        return (size_t)n;
    }
    if (n == CW_STREAM_AGAIN) {
        conn->flags |= CW_BLOCKED;
        cw_conn_at_turn_end(conn, CW_TURN_FLUSH);
        return 0;
    }
    /* Told at the end of the turn; the bytes go the way of the connection. */
    cw_conn_break_with(conn, (int)n, conn->loop->os_errno, NULL);
    return total;
}

static int queue_parts(struct cw_conn *conn, const struct cw_span *parts, size_t count, size_t total)
{
    struct cw_loop *loop = conn->loop;
    size_t gone = 0;

    if (total >= DIRECT_MIN) {
        if (conn->out && !(conn->flags & CW_BLOCKED)) {
            cw_conn_flush_quiet(conn);
        }
        if (conn->phase != CW_PHASE_CLOSED) {
            gone = write_direct(conn, parts, count, total);
        }
        if (conn->phase == CW_PHASE_CLOSED || gone == total) {
            return 0;
        }
    }
    if (!cw_outq_ensure(&conn->out, &loop->out_pool, loop->now) ||
        !cw_outq_copy(conn->out, &loop->out_pool, parts, count, gone)) {
        cw_outq_settle(&conn->out, &loop->out_pool);
        if (gone > 0) {
            cw_conn_break_with(conn, CW_ENOMEM, 0, "output: out of memory");
        }
        return CW_ENOMEM;
    }
    return queued(conn);
}

int cw_conn_write(struct cw_conn *conn, const struct cw_span *parts, size_t count)
{
    size_t total = total_of(parts, count);
    int error;

    cw_loop_assert_thread(conn->loop);
    if (!may_write(conn, false)) {
        return CW_ECLOSED;
    }
    error = check_room(conn, total, conn->origin->limits.out_max);
    if (error < 0 || total == 0) {
        return error;
    }
    return queue_parts(conn, parts, count, total);
}

int cw_conn_write_control(struct cw_conn *conn, const struct cw_span *parts, size_t count)
{
    size_t total = total_of(parts, count);
    int error;

    cw_loop_assert_thread(conn->loop);
    if (!may_write(conn, true)) {
        return CW_ECLOSED;
    }
    error = check_room(conn, total, conn->origin->limits.out_max + CONTROL_OVER_MAX);
    if (error < 0 || total == 0) {
        return error;
    }
    return queue_parts(conn, parts, count, total);
}

int cw_conn_share(struct cw_conn *conn, struct cw_payload *payload, const void *room, size_t max)
{
    struct cw_loop *loop = conn->loop;
    int error;

    if (!may_write(conn, false)) {
        return CW_ECLOSED;
    }
    error = check_room(conn, cw_payload_span(payload).len, max);
    if (error < 0 || cw_payload_span(payload).len == 0) {
        return error;
    }
    if (!cw_outq_ensure(&conn->out, &loop->out_pool, loop->now) ||
        !cw_outq_share(conn->out, &loop->out_pool, payload, room)) {
        cw_outq_settle(&conn->out, &loop->out_pool);
        return CW_ENOMEM;
    }
    /* Not even the one whose read is under way flushes by itself now: others may have more for it in this turn. */
    if (!(conn->flags & CW_BLOCKED)) {
        cw_conn_at_turn_end(conn, CW_TURN_FLUSH);
    }
    return CW_OK;
}

int cw_conn_write_payload(struct cw_conn *conn, struct cw_span head, struct cw_payload *body)
{
    struct cw_loop *loop = conn->loop;
    size_t total = head.len + cw_payload_span(body).len;
    struct cw_payload *extra = NULL;
    int error;

    cw_loop_assert_thread(conn->loop);
    if (!may_write(conn, false)) {
        return CW_ECLOSED;
    }
    error = check_room(conn, total, conn->origin->limits.out_max);
    if (error < 0) {
        return error;
    }
    /* The head rides as a payload of its own, so that the queue takes both or none. */
    extra = head.len > 0 ? cw_payload_new(&head, 1) : NULL;
    if ((head.len > 0 && !extra) || !cw_outq_ensure(&conn->out, &loop->out_pool, loop->now) ||
        !cw_outq_share2(conn->out, &loop->out_pool, extra, body)) {
        cw_outq_settle(&conn->out, &loop->out_pool);
        cw_payload_drop(extra);
        return CW_ENOMEM;
    }
    cw_payload_drop(extra);
    return queued(conn);
}

/* ---- sources ---- */

static int check_source(struct cw_conn *conn, uint64_t len)
{
    const struct cw_protocol *protocol = conn->service->protocol;

    cw_loop_assert_thread(conn->loop);
    if (!may_write(conn, false)) {
        return CW_ECLOSED;
    }
    if (!cw_conn_extra(conn)) {
        return CW_ENOMEM;
    }
    if (conn->extra->sources >= CW_SOURCES_MAX) {
        conn->flags |= CW_WANT_DRAIN;
        return CW_EFULL;
    }
    if (!cw_outq_ensure(&conn->out, &conn->loop->out_pool, conn->loop->now)) {
        return CW_ENOMEM;
    }
    return protocol->send_raw ? protocol->send_raw(conn, cw_conn_state_of(conn), len) : CW_EKIND;
}

static void source_queued(struct cw_conn *conn)
{
    conn->extra->sources++;
    if (!conn->origin->limits.read_while_full) {
        conn->flags |= CW_HELD_OUTPUT;
    }
    cw_conn_at_turn_end(conn, CW_TURN_FLUSH);
}

int cw_conn_send_source(struct cw_conn *conn, uint64_t len, cw_source_fn pull,
                        cw_source_done_fn done, void *user)
{
    struct cw_out_source source = {
        .pull = pull, .done = done, .user = user, .left = len == CW_OFF ? 0 : len};
    struct cw_out_node *node = cw_outq_source_node(&conn->loop->out_pool);
    int error = node ? check_source(conn, len) : CW_ENOMEM;

    if (error < 0) {
        cw_outq_unused_node(&conn->loop->out_pool, node);
        cw_outq_settle(&conn->out, &conn->loop->out_pool);
        return error;
    }
    cw_outq_add_source(conn->out, node, &source);
    source_queued(conn);
    return CW_OK;
}

int cw_conn_send_file(struct cw_conn *conn, int fd, uint64_t offset, uint64_t len,
                      cw_source_done_fn done, void *user)
{
    struct cw_out_file file = {
        .fd = dup(fd), .offset = offset, .len = len, .done = done, .user = user};
    struct cw_out_node *node = cw_outq_source_node(&conn->loop->out_pool);
    int error = node ? CW_OK : CW_ENOMEM;

    if (error == CW_OK && file.fd < 0) {
        error = CW_EDESCRIPTORS;
    }
    if (error == CW_OK) {
        error = check_source(conn, len);
    }
    if (error < 0) {
        if (file.fd >= 0) {
            close(file.fd);
        }
        cw_outq_unused_node(&conn->loop->out_pool, node);
        cw_outq_settle(&conn->out, &conn->loop->out_pool);
        return error;
    }
    cw_outq_add_file(conn->out, node, &file);
    source_queued(conn);
    return CW_OK;
}

void cw_conn_source_ready(struct cw_conn *conn)
{
    cw_loop_assert_thread(conn->loop);
    if (conn->out && cw_outq_wake_sources(conn->out) && conn->phase != CW_PHASE_CLOSED) {
        cw_conn_at_turn_end(conn, CW_TURN_FLUSH);
    }
}

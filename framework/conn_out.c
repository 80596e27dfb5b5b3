/* Bytes out: from the calls that queue to the stream. */
#include "conn_impl.h"

#include <causeway/log.h>

#include <errno.h>
#include <unistd.h>

enum {
    IOV_MAX_GATHER = 64,
    DIRECT_MIN = 16384,       /* a write this large skips the queue when it can */
    FLUSH_PER_TURN = 1 << 20, /* bytes of one connection before the others' turn */
    APPEND_MAX = 1024,        /* bytes for which nothing but a fitting end is looked for */
    CONTROL_OVER_MAX = 4096,  /* what control bytes may take above out_max */
};

/* ---- to the stream ---- */

static size_t own_bytes(const struct cw_conn *conn)
{
    const struct cw_outq *queue = conn->out;
    size_t copied = queue ? queue->bytes - queue->shared_bytes : 0;

    return queue && copied > queue->copied_bytes ? copied - queue->copied_bytes : 0;
}

static size_t high_of(const struct cw_conn *conn)
{
    size_t own = conn->service->out_high;

    return own != 0 ? own : conn->origin->limits.out_high;
}

static size_t low_of(const struct cw_conn *conn)
{
    size_t own = conn->service->out_high;

    return own != 0 ? own / 2 : conn->origin->limits.out_low;
}

/* While one waits, the connection counts as above out_high. */
static bool has_source(const struct cw_conn *conn)
{
    return conn->extra && conn->extra->sources > 0;
}

static size_t charged(const struct cw_conn *conn)
{
    return conn->out ? cw_outq_charge(conn->out) : 0;
}

void cw_conn_settle(struct cw_conn *conn)
{
    if (!conn->stream->owes) {
        cw_outq_settle(&conn->out, &conn->loop->out_pool);
    }
}

void cw_conn_clear_out(struct cw_conn *conn)
{
    while (conn->out && conn->out->head) {
        cw_outq_pop(conn->out, &conn->loop->out_pool, conn->code < 0 ? conn->code : CW_ECLOSED);
    }
    if (conn->extra) {
        conn->extra->sources = 0;
    }
    cw_conn_settle(conn);
}

bool cw_conn_keep_out(struct cw_conn *conn)
{
    if (cw_outq_ensure(&conn->out, &conn->loop->out_pool, conn->loop->now)) {
        return true;
    }
    cw_conn_break_with(conn, CW_ENOMEM, 0, "output: out of memory");
    return false;
}

/* What the stream owes goes first. False: it has to wait, or it has failed. */
static bool pay(struct cw_conn *conn)
{
    int error = conn->stream->owes ? conn->stream->ops->flush(conn) : 0;

    if (error == CW_STREAM_AGAIN && cw_conn_keep_out(conn)) {
        conn->flags |= CW_BLOCKED;
    } else if (error < 0 && error != CW_STREAM_AGAIN) {
        cw_conn_break_with(conn, error, conn->loop->os_errno, NULL);
    } else if (conn->out) {
        conn->out->since = conn->loop->now;
    }
    return error == 0;
}

/* A stream that may owe takes a part for reasons of its own. */
static bool is_blocked_after(const struct cw_conn *conn, size_t taken, size_t offered)
{
    return conn->stream->ops->flush ? conn->stream->owes : taken < offered;
}

/* What most queues are. */
static ptrdiff_t write_single(struct cw_conn *conn)
{
    struct cw_out_node *node = conn->out->head;
    struct iovec iov = {node->as.bytes + node->start, node->len};
    ptrdiff_t n = conn->stream->ops->write(conn, &iov, 1);

    if (n > 0 && is_blocked_after(conn, (size_t)n, iov.iov_len)) {
        conn->flags |= CW_BLOCKED;
    }
    if (n == (ptrdiff_t)iov.iov_len) {
        cw_outq_end_single(conn->out, &conn->loop->out_pool);
    } else if (n > 0) {
        cw_outq_advance(conn->out, &conn->loop->out_pool, (size_t)n);
    }
    return n;
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
        if (is_blocked_after(conn, (size_t)n, total)) {
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
        loop->os_errno = errno;
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
        conn->out->in_kernel = 0;
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
    conn->loop->os_errno = 0; /* what fails here need not be the system */
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

    if (conn->phase == CW_PHASE_CLOSED || conn->phase == CW_PHASE_HANDSHAKING) {
        return;
    }
    if (conn->stream->owes && !(conn->flags & CW_BLOCKED) && !pay(conn) &&
        conn->phase == CW_PHASE_CLOSED) {
        return;
    }
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
            n = cw_outq_is_single(conn->out) ? write_single(conn) : write_bytes(conn);
            if (n > 0) {
                conn->last_out = loop->now;
                conn->out->since = loop->now;
                conn->out->in_kernel = 0;
                conn->bytes_out += (uint64_t)n;
                cw_count(&loop->counters.bytes_out, (uint64_t)n);
                budget -= (size_t)n < budget ? (size_t)n : budget;
            } else if (n == CW_STREAM_AGAIN) {
                conn->flags |= CW_BLOCKED;
            }
        }
        if (n < 0 && n != CW_STREAM_AGAIN) {
            cw_conn_break_with(conn, (int)n, loop->os_errno, NULL);
            return;
        }
    }
    if (conn->flags & CW_BLOCKED) {
        if (conn->out && conn->out->in_kernel == 0) {
            conn->out->in_kernel = cw_conn_in_kernel(conn);
        }
        cw_conn_schedule(conn);
    }
    cw_conn_settle(conn);
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
    size_t low = low_of(conn);

    cw_conn_flush_quiet(conn);
    if (conn->phase == CW_PHASE_CLOSED) {
        return;
    }
    if ((conn->flags & CW_HELD_OUTPUT) && own_bytes(conn) <= low &&
        !(conn->extra && conn->extra->sources > 0)) {
        conn->flags &= ~(uint32_t)CW_HELD_OUTPUT;
        conn->last_in = conn->loop->now; /* the peer could not be heard meanwhile */
        cw_conn_schedule(conn);
        if (conn->in || cw_conn_has_more(conn)) {
            cw_conn_at_turn_end(conn, CW_TURN_READY);
        }
    }
    if ((conn->flags & (CW_WANT_DRAIN | CW_SOURCE_ENDED)) &&
        (!conn->out ||
         (conn->out->bytes <= low && !has_source(conn) && !(conn->flags & CW_HELD_OUTPUT)))) {
        tell_drained(conn);
    }
    if ((conn->flags & CW_CLOSING) && !conn->out) {
        cw_conn_at_turn_end(conn, CW_TURN_END);
    }
    cw_conn_update_events(conn);
}

/* ---- the calls that queue ---- */

/* 0, or why `len` more bytes are not taken. */
static int check_room(struct cw_conn *conn, size_t len, size_t max)
{
    size_t queued = charged(conn);

    if (len > max || len > conn->loop->buffered_max) {
        return CW_ETOOBIG;
    }
    if (queued > max || len > max - queued) {
        conn->flags |= CW_WANT_DRAIN;
        return CW_EFULL;
    }
    if (conn->loop->out_pool.bytes > conn->loop->buffered_max - len) {
        /* Its own queue may be empty and never tell: the loop will. */
        conn->flags |= CW_WANT_DRAIN;
        conn->loop->refused_bytes =
            len > conn->loop->refused_bytes ? len : conn->loop->refused_bytes;
        return CW_EFULL;
    }
    return CW_OK;
}

void cw_conn_hold_by_output(struct cw_conn *conn)
{
    if (!(conn->flags & CW_HELD_OUTPUT)) {
        conn->flags |= CW_HELD_OUTPUT;
        cw_conn_schedule(conn);
    }
}

/* After bytes were queued: who has to know. Returns 0 or 1. */
static int queued(struct cw_conn *conn)
{
    size_t high = high_of(conn);

    if (conn != conn->loop->current && !(conn->flags & CW_BLOCKED)) {
        cw_conn_at_turn_end(conn, CW_TURN_FLUSH);
    }
    if (!conn->out || (conn->out->bytes <= high && !has_source(conn))) {
        return 0;
    }
    conn->flags |= CW_WANT_DRAIN;
    if (own_bytes(conn) > high && !conn->origin->limits.read_while_full) {
        cw_conn_hold_by_output(conn);
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
        if (is_blocked_after(conn, (size_t)n, total)) {
            conn->flags |= CW_BLOCKED;
            cw_conn_at_turn_end(conn, CW_TURN_FLUSH);
        }
        if (conn->stream->owes && !cw_conn_keep_out(conn)) {
            return total;
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
        cw_conn_settle(conn);
        if (gone > 0) {
            cw_conn_break_with(conn, CW_ENOMEM, 0, "output: out of memory");
        }
        return CW_ENOMEM;
    }
    return queued(conn);
}

/* What most messages come to: a few bytes for the end of this turn, and nobody has to be told. */
uint8_t *cw_conn_append(struct cw_conn *conn, size_t len)
{
    struct cw_loop *loop = conn->loop;
    size_t queued = charged(conn) + len;
    uint8_t *to;

    cw_loop_assert_thread(loop);
    if (conn->datagram || !cw_conn_may_write(conn, false) || len > APPEND_MAX || has_source(conn) ||
        loop->out_pool.bytes + len > loop->buffered_max || (conn->flags & CW_BLOCKED) ||
        queued > high_of(conn) || queued > conn->origin->limits.out_max ||
        (!conn->out && !cw_outq_begin(&conn->out, &loop->out_pool, loop->now))) {
        return NULL;
    }
    to = cw_outq_extend(conn->out, &loop->out_pool, len);
    if (to && conn != loop->current) {
        cw_conn_at_turn_end(conn, CW_TURN_FLUSH);
    }
    return to;
}

static bool append_parts(struct cw_conn *conn, const struct cw_span *parts, size_t count,
                         size_t total)
{
    uint8_t *to = total > 0 ? cw_conn_append(conn, total) : NULL;

    for (size_t i = 0; to && i < count; i++) {
        if (parts[i].len > 0) {
            memcpy(to, parts[i].data, parts[i].len);
            to += parts[i].len;
        }
    }
    return to != NULL;
}

int cw_conn_write(struct cw_conn *conn, const struct cw_span *parts, size_t count)
{
    size_t total = cw_spans_total(parts, count);
    int error;

    cw_loop_assert_thread(conn->loop);
    if (conn->datagram) {
        return cw_conn_write_datagram(conn, parts, count, false);
    }
    if (append_parts(conn, parts, count, total)) {
        return CW_OK;
    }
    if (!cw_conn_may_write(conn, false)) {
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
    size_t total = cw_spans_total(parts, count);
    int error;

    cw_loop_assert_thread(conn->loop);
    if (conn->datagram) {
        return cw_conn_write_datagram(conn, parts, count, true);
    }
    if (!cw_conn_may_write(conn, true)) {
        return CW_ECLOSED;
    }
    error = check_room(conn, total, conn->origin->limits.out_max + CONTROL_OVER_MAX);
    if (error < 0 || total == 0) {
        return error;
    }
    return queue_parts(conn, parts, count, total);
}

size_t cw_conn_excess(const struct cw_conn *conn, size_t len, size_t max)
{
    size_t out_max = conn->origin->limits.out_max;
    size_t queued = charged(conn);
    size_t soft = queued > max ? queued - max : 0;
    size_t hard = queued > out_max || len > out_max - queued ? queued + len - out_max : 0;

    return soft > hard ? soft : hard;
}

/* A small message is cheaper to copy than to point at. But a copy cannot be dropped any more, so only what the stream
 * takes at once is copied: not while it is blocked, and not more than a small part of what may wait. */
static bool is_worth_copying(struct cw_conn *conn, size_t len, size_t max)
{
    size_t limit = max / 4 < CW_OUT_GATHER_MAX ? max / 4 : CW_OUT_GATHER_MAX;

    if (len > CW_OUT_COPY_MAX || (conn->flags & CW_BLOCKED)) {
        return false;
    }
    if (conn->out && conn->out->bytes + len > CW_OUT_GATHER_MAX) {
        cw_conn_flush_quiet(conn);
    }
    return !(conn->flags & CW_BLOCKED) && len <= limit &&
           (!conn->out || conn->out->bytes <= limit - len);
}

static bool copy_for_room(struct cw_outq *queue, struct cw_outq_pool *pool,
                          const struct cw_span *bytes)
{
    if (!cw_outq_copy(queue, pool, bytes, 1, 0)) {
        return false;
    }
    cw_outq_count_copied(queue, bytes->len);
    return true;
}

static bool share(struct cw_conn *conn, struct cw_payload *payload, struct cw_out_mark *mark,
                  size_t max)
{
    struct cw_outq_pool *pool = &conn->loop->out_pool;
    struct cw_span bytes = cw_payload_span(payload);
    bool copies = is_worth_copying(conn, bytes.len, max);

    if (conn->phase == CW_PHASE_CLOSED) {
        return true; /* by what the stream said just now; told at the end of the turn */
    }
    if (!cw_outq_ensure(&conn->out, pool, conn->loop->now)) {
        return false;
    }
    return copies ? copy_for_room(conn->out, pool, &bytes)
                  : cw_outq_share(conn->out, pool, payload, mark);
}

int cw_conn_share(struct cw_conn *conn, struct cw_payload *payload, struct cw_out_mark *mark,
                  size_t max)
{
    struct cw_loop *loop = conn->loop;
    size_t len = cw_payload_span(payload).len;

    if (conn->datagram) {
        const struct cw_span bytes = cw_payload_span(payload);

        return cw_conn_write_datagram(conn, &bytes, 1, false);
    }
    if (!cw_conn_may_write(conn, false)) {
        return CW_ECLOSED;
    }
    if (len > conn->origin->limits.out_max) {
        return CW_ETOOBIG;
    }
    if (cw_conn_excess(conn, len, max) > 0 || len > loop->buffered_max ||
        loop->out_pool.bytes > loop->buffered_max - len) {
        return CW_EFULL;
    }
    if (len == 0) {
        return CW_OK;
    }
    if (!share(conn, payload, mark, max)) {
        cw_conn_settle(conn);
        return CW_ENOMEM;
    }
    /* Not even the one whose read is under way flushes by itself now: others may have more for it in this turn. */
    if (!(conn->flags & CW_BLOCKED)) {
        cw_conn_at_turn_end(conn, CW_TURN_FLUSH);
        loop->shared_to++;
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
    if (conn->datagram) {
        const struct cw_span parts[] = {head, cw_payload_span(body)};

        return cw_conn_write_datagram(conn, parts, 2, false);
    }
    if (!cw_conn_may_write(conn, false)) {
        return CW_ECLOSED;
    }
    error = check_room(conn, total, conn->origin->limits.out_max);
    if (error < 0 || total == 0) {
        return error;
    }
    /* The head rides as a payload of its own, so that the queue takes both or none. */
    extra = head.len > 0 ? cw_payload_new(&head, 1) : NULL;
    if ((head.len > 0 && !extra) || !cw_outq_ensure(&conn->out, &loop->out_pool, loop->now) ||
        !cw_outq_share2(conn->out, &loop->out_pool, extra, body)) {
        cw_conn_settle(conn);
        cw_payload_drop(extra);
        return CW_ENOMEM;
    }
    cw_payload_drop(extra);
    return queued(conn);
}

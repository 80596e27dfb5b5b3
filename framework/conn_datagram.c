/* A connection whose messages are datagrams: one comes, one goes, nothing waits. */
#include "datagram_socket_impl.h"

/* Nothing holds it, or the protocol waits for the peer's goodbye. */
static bool may_feed(const struct cw_conn *conn)
{
    if (conn->phase == CW_PHASE_DRAINING) {
        return (conn->flags & (CW_AWAIT_FINISH | CW_DISCARD)) == CW_AWAIT_FINISH;
    }
    return conn->phase == CW_PHASE_OPEN && !(conn->flags & CW_STOP_MASK);
}

static void count_unfed(struct cw_conn *conn)
{
    if ((conn->flags & CW_STOP_MASK) && !(conn->flags & CW_CLOSING)) {
        CW_DGRAM_COUNT(conn->loop, dropped_paused, 1);
        cw_conn_count_dropped(conn);
    }
}

void cw_conn_feed_datagram(struct cw_conn *conn, uint8_t *data, size_t len)
{
    const struct cw_protocol *protocol = conn->service->protocol;
    ptrdiff_t n;

    conn->last_in = conn->loop->now;
    conn->bytes_in += len;
    cw_count(&conn->loop->counters.bytes_in, len);
    if (!may_feed(conn)) {
        count_unfed(conn);
        return;
    }
    n = protocol->on_bytes(conn, cw_conn_state_of(conn), data, len);
    if (n < 0) {
        cw_conn_break(conn, n < INT16_MIN ? CW_EPROTO : (int)n);
    }
#ifdef CW_CHECKED
    memset(data, 0xdb, len); /* a span kept beyond its callback fails the same day */
#endif
    if (conn->flags & CW_SWITCHING) {
        cw_conn_do_switch(conn);
    }
}

int cw_conn_write_datagram(struct cw_conn *conn, const struct cw_span *parts, size_t count,
                           bool control)
{
    size_t total = cw_spans_total(parts, count);
    int error =
        cw_conn_may_write(conn, control) ? conn->stream->ops->send(conn, parts, count) : CW_ECLOSED;

    if (error == CW_OK) {
        conn->last_out = conn->loop->now;
        conn->bytes_out += total;
        cw_count(&conn->loop->counters.bytes_out, total);
    }
    return error;
}

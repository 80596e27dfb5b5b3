/* A connection whose messages are datagrams: one comes, one goes, nothing waits. */
#include "datagram_socket_impl.h"
#include "report.h"

#include <causeway/log.h>

#include <inttypes.h>
#include <stdio.h>

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

void cw_dgram_too_long(struct cw_loop *loop, const struct cw_dgram_excess *excess)
{
    struct cw_error_report report = {.code = CW_ETOOBIG,
                                     .tls_alert = CW_NO_ALERT,
                                     .address = excess->peer,
                                     .limit = excess->limit};

    CW_DGRAM_COUNT(loop, dropped_truncated, 1);
    snprintf(report.text, sizeof report.text,
             "a datagram of %s%zu bytes was dropped, the limit is %" PRIu64,
             excess->truncated ? "more than " : "", excess->len, excess->limit);
    cw_report_datagram(loop, excess->service, &report);
}

/* The socket has seen to it where it knows what the message is: not under keys, nor for a service that came later. */
static bool is_too_long(struct cw_conn *conn, size_t len)
{
    const struct cw_service_ref *service = conn->service;
    bool is_seen = conn->stream == &cw_stream_datagram && service == conn->origin->service;
    uint64_t limit = !is_seen && service->protocol->message_max
                         ? service->protocol->message_max(service->options)
                         : CW_NO_LIMIT;

    if (len > limit) {
        cw_dgram_too_long(conn->loop,
                          &(struct cw_dgram_excess){service, &conn->peer, len, limit, false});
    }
    return len > limit;
}

static void give(struct cw_conn *conn, uint8_t *data, size_t len)
{
    ptrdiff_t n = conn->service->protocol->on_bytes(conn, cw_conn_state_of(conn), data, len);

    if (n < 0) {
        cw_conn_break(conn, n < INT16_MIN ? CW_EPROTO : (int)n);
    }
    cw_poison(data, len);
    if (conn->flags & CW_SWITCHING) {
        cw_conn_do_switch(conn);
    }
}

void cw_conn_feed_datagram(struct cw_conn *conn, uint8_t *data, size_t len)
{
    conn->last_in = conn->loop->now;
    conn->bytes_in += len;
    cw_count(&conn->loop->counters.bytes_in, len);
    if (!may_feed(conn)) {
        count_unfed(conn);
    } else if (!is_too_long(conn, len)) {
        give(conn, data, len);
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

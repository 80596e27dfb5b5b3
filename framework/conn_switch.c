/* Another service takes over a connection; and the part of one that few need, among them those about to switch. */
#include "conn_impl.h"

#include "report.h"

#include <causeway/log.h>

/* ---- what few connections need ---- */

struct cw_conn_extra *cw_conn_extra(struct cw_conn *conn)
{
    if (!conn->extra) {
        conn->extra = cw_alloc_zero(sizeof *conn->extra);
        if (conn->extra) {
            conn->extra->idle = CW_TICKS_ORIGIN;
            conn->extra->read = CW_TICKS_ORIGIN;
        }
    }
    return conn->extra;
}

static bool holds_something(const struct cw_conn_extra *extra)
{
    return extra->state || extra->next_service || extra->middleware || extra->rooms ||
           extra->timers || extra->pause_timer || extra->sources > 0;
}

static bool says_something(const struct cw_conn_extra *extra)
{
    return extra->idle != CW_TICKS_ORIGIN || extra->read != CW_TICKS_ORIGIN || extra->want > 0 ||
           extra->messages_dropped > 0 || extra->peer_code != 0 || extra->tls_alert != 0 ||
           extra->os_errno != 0 || extra->text[0];
}

void cw_conn_trim(struct cw_conn *conn)
{
    /* Until it is open the time of the switch counts. */
    const uint32_t settled = CW_OPENED | CW_PROTOCOL_OPEN;
    const uint32_t busy = CW_SWITCHING | CW_SECURING | CW_HELD_RATE | CW_CLOSING | CW_ENDING;

    if (conn->extra && (conn->flags & (settled | busy)) == settled &&
        !holds_something(conn->extra) && !says_something(conn->extra)) {
        cw_release(conn->extra);
        conn->extra = NULL;
    }
}

/* ---- switching ---- */

int cw_conn_switch(struct cw_conn *conn, struct cw_service_ref *service, void *handover,
                   void (*drop)(void *handover))
{
    cw_loop_assert_thread(conn->loop);
    if (conn->flags & (CW_CLOSING | CW_SWITCHING)) {
        return CW_ECLOSED;
    }
    if (service->protocol->transport != conn->service->protocol->transport) {
        return CW_EKIND;
    }
    if (!cw_conn_extra(conn)) {
        return CW_ENOMEM;
    }
    conn->extra->next_service = cw_service_hold(service);
    conn->extra->handover = handover;
    conn->extra->drop = drop;
    conn->flags |= CW_SWITCHING;
    cw_conn_at_turn_end(conn, CW_TURN_READY);
    return CW_OK;
}

static void drop_handover(struct cw_conn_extra *extra)
{
    if (extra->handover && extra->drop) {
        extra->drop(extra->handover);
    }
    extra->handover = NULL;
}

void cw_conn_forget_switch(struct cw_conn *conn)
{
    struct cw_conn_extra *extra = conn->extra;

    if (extra->next_service) {
        drop_handover(extra);
        cw_service_drop(extra->next_service);
        extra->next_service = NULL;
    }
}

/* Behind the struct there is as much room as the first protocol asked for. */
static bool fits_behind(const struct cw_conn *conn, size_t size)
{
    return size <= conn->origin->service->protocol->state_size;
}

static void take_over(struct cw_conn *conn, struct cw_service_ref *service, void *outside)
{
    struct cw_conn_extra *extra = conn->extra;

    if (conn->flags & CW_STATE_OUTSIDE) {
        cw_release(extra->state);
    }
    cw_service_drop(conn->service);
    conn->service = service;
    extra->state = outside;
    extra->switched = conn->loop->now != 0 ? conn->loop->now : 1;
    conn->flags &= ~(uint32_t)CW_STATE_OUTSIDE;
    if (outside) {
        conn->flags |= CW_STATE_OUTSIDE;
    } else {
        memset(conn->state, 0, service->protocol->state_size);
    }
}

void cw_conn_do_switch(struct cw_conn *conn)
{
    struct cw_conn_extra *extra = conn->extra;
    struct cw_service_ref *next = extra->next_service;
    assert(next);
    bool fits = fits_behind(conn, next->protocol->state_size);
    void *outside = fits ? NULL : cw_alloc_zero(next->protocol->state_size);
    void *handover = extra->handover;
    void (*drop)(void *) = extra->drop;

    conn->flags &= ~(uint32_t)(CW_SWITCHING | CW_HELD_PROTOCOL | CW_HAS_DEADLINE | CW_MESSAGE_OPEN);
    extra->want = 0;
    if ((!fits && !outside) || (conn->flags & CW_CLOSING)) {
        cw_conn_forget_switch(conn);
        cw_release(outside);
        cw_conn_break(conn, CW_ENOMEM);
        return;
    }
    extra->next_service = NULL;
    cw_trace_switched(conn, next);
    cw_conn_tell_closed(conn, CW_SWITCHED);
    cw_conn_close_protocol(conn);
    take_over(conn, next, outside);
    if (conn->flags & CW_CLOSING) {
        drop_handover(extra); /* the old service's on_close has closed it */
        return;
    }
    extra->handover = NULL;
    cw_conn_open_protocol(conn, handover);
    if (handover && drop && (!next->protocol->open || !(conn->flags & CW_PROTOCOL_OPEN))) {
        drop(handover);
    }
    cw_conn_schedule(conn);
    cw_conn_trim(conn);
}

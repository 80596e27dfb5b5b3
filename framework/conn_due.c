/* When a connection has to be looked at again, and what is done then. */
#include "conn_impl.h"

#include <causeway/log.h>

#include <linux/sockios.h>
#include <sys/ioctl.h>

static uint32_t not_zero(uint32_t tick)
{
    return tick == 0 ? 1 : tick;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    if (a == 0 || b == 0) {
        return a == 0 ? b : a;
    }
    return (int32_t)(a - b) < 0 ? a : b;
}

static uint32_t idle_ticks(const struct cw_conn *conn)
{
    const struct cw_conn_extra *extra = conn->extra;

    if (extra && extra->idle != CW_TICKS_ORIGIN) {
        return extra->idle;
    }
    return conn->datagram ? cw_datagram_idle(conn) : conn->origin->limits.idle;
}

static uint32_t read_ticks(const struct cw_conn *conn)
{
    const struct cw_conn_extra *extra = conn->extra;

    return extra && extra->read != CW_TICKS_ORIGIN ? extra->read : conn->origin->limits.read;
}

static uint32_t last_activity(const struct cw_conn *conn)
{
    return (int32_t)(conn->last_in - conn->last_out) > 0 ? conn->last_in : conn->last_out;
}

/* While we do not read, the peer cannot be heard, and its deadlines stand still. */
static bool is_held(const struct cw_conn *conn)
{
    return (conn->flags & CW_STOP_MASK) != 0;
}

enum { HELD_CHECK = 312 }; /* ticks: look for a reset of a held peer every five seconds */

static uint32_t due_idle(const struct cw_conn *conn)
{
    uint32_t idle = idle_ticks(conn);

    return idle > 0 && (conn->datagram || !is_held(conn)) ? not_zero(last_activity(conn) + idle)
                                                          : 0;
}

static uint32_t due_read(const struct cw_conn *conn)
{
    uint32_t read = read_ticks(conn);

    return read > 0 && !is_held(conn) && !(conn->flags & CW_INPUT_ENDED)
               ? not_zero(conn->last_in + read)
               : 0;
}

/* A peer of datagrams may be sent to, by a room, long after it has gone. */
static uint32_t due_silent(const struct cw_conn *conn)
{
    uint32_t silent = conn->datagram ? cw_datagram_silent(conn) : 0;

    return silent > 0 ? not_zero(conn->last_in + silent) : 0;
}

static uint32_t due_write(const struct cw_conn *conn)
{
    uint32_t write = conn->origin->limits.write;

    return write > 0 && conn->out && (conn->flags & CW_BLOCKED) ? not_zero(conn->out->since + write)
                                                                : 0;
}

/* The stream's handshake and the first protocol's share one time; one that is switched to has its own. */
static uint32_t due_handshake(const struct cw_conn *conn)
{
    uint32_t handshake = conn->origin->limits.handshake;
    if (conn->flags & CW_SECURING) {
        return handshake > 0 ? not_zero(conn->extra->securing + handshake) : 0;
    }
    bool switched = conn->extra && conn->extra->switched != 0;
    uint32_t since = switched ? conn->extra->switched : conn->connected;

    return handshake > 0 && !(conn->flags & CW_OPENED) ? not_zero(since + handshake) : 0;
}

static uint32_t due_stream(const struct cw_conn *conn)
{
    return conn->stream->ops->due ? conn->stream->ops->due(conn) : 0;
}

static uint32_t due_at(const struct cw_conn *conn)
{
    uint32_t due = 0;

    if (conn->phase == CW_PHASE_HANDSHAKING) {
        return least(due_handshake(conn), due_stream(conn));
    }
    if (conn->phase == CW_PHASE_DRAINING) {
        return least(not_zero(conn->deadline), due_stream(conn));
    }
    due = least(least(due_idle(conn), due_read(conn)), due_write(conn));
    due = least(due, due_silent(conn));
    if (conn->flags & CW_HAS_DEADLINE) {
        due = least(due, not_zero(conn->deadline));
    }
    due = least(least(due, due_handshake(conn)), due_stream(conn));
    if (is_held(conn)) {
        due = least(due, not_zero(conn->loop->now + HELD_CHECK));
    }
    return due;
}

void cw_conn_schedule(struct cw_conn *conn)
{
    uint32_t due = due_at(conn);

    if (due != 0) {
        cw_slots_set_due(&conn->loop->slots, conn->slot, due);
        cw_loop_sweep_by(conn->loop, due);
    }
}

static bool passed(uint32_t due, uint32_t now)
{
    return due != 0 && cw_tick_reached(due, now);
}

uint32_t cw_conn_in_kernel(const struct cw_conn *conn)
{
    int waiting = 0;

    if (conn->event.ev_fd < 0 || ioctl(cw_conn_fd_of(conn), SIOCOUTQ, &waiting) < 0) {
        return 0;
    }
    return waiting > 0 ? (uint32_t)waiting : 0;
}

/* A full stream becomes writable only when a good part of the kernel's buffer has gone. A peer that takes less than
 * that in the time it has is slow, but takes bytes. */
static void look_for_progress(struct cw_conn *conn, uint32_t now)
{
    uint32_t before = conn->out->in_kernel;
    uint32_t waiting = before > 0 ? cw_conn_in_kernel(conn) : 0;

    if (waiting < before) {
        conn->out->in_kernel = waiting;
        conn->out->since = now;
    }
}

static void on_idle(struct cw_conn *conn, uint32_t now)
{
    const struct cw_hooks *hooks = &conn->service->hooks;

    if ((conn->flags & CW_OPENED) && hooks->on_idle &&
        hooks->on_idle(conn, conn->service->user) == CW_KEEP) {
        conn->last_out = now; /* asked again after another idle time */
        return;
    }
    if (conn->flags & CW_CLOSING) {
        return;
    }
    if (conn->datagram) {
        cw_datagram_expired(conn);
    } else {
        cw_conn_break(conn, CW_EIDLE);
    }
}

static void on_protocol_deadline(struct cw_conn *conn)
{
    const struct cw_protocol *protocol = conn->service->protocol;
    int error;

    conn->flags &= ~(uint32_t)CW_HAS_DEADLINE;
    error =
        protocol->on_deadline ? protocol->on_deadline(conn, cw_conn_state_of(conn)) : CW_EDEADLINE;
    if (error < 0) {
        cw_conn_break(conn, error);
    } else if (conn->flags & CW_SWITCHING) {
        cw_conn_do_switch(conn);
    }
}

/* A held connection is not watched, so its reset would go unseen. */
static void look_for_reset(struct cw_conn *conn)
{
    int error = conn->event.ev_fd >= 0 ? cw_stream_pending_error(cw_conn_fd_of(conn)) : 0;

    if (error != 0) {
        cw_conn_break_with(conn, cw_error_from_errno(error), error, NULL);
    }
}

static void check_open(struct cw_conn *conn, uint32_t now)
{
    if (is_held(conn)) {
        look_for_reset(conn);
    }
    if (conn->phase == CW_PHASE_OPEN && (conn->flags & CW_HAS_DEADLINE) &&
        passed(not_zero(conn->deadline), now)) {
        on_protocol_deadline(conn);
    }
    if (conn->phase != CW_PHASE_OPEN || (conn->flags & CW_CLOSING)) {
        return;
    }
    if (passed(due_handshake(conn), now)) {
        cw_conn_break(conn, CW_EHANDSHAKETIME);
        return;
    }
    if (passed(due_write(conn), now)) {
        look_for_progress(conn, now);
    }
    if (passed(due_write(conn), now)) {
        cw_conn_break_with(conn, CW_EWRITETIME, 0, NULL);
    } else if (passed(due_read(conn), now)) {
        cw_conn_break(conn, CW_EREADTIME);
    } else if (passed(due_silent(conn), now)) {
        cw_datagram_expired(conn);
    } else if (passed(due_idle(conn), now)) {
        on_idle(conn, now);
    }
}

static void check_draining(struct cw_conn *conn, uint32_t now)
{
    /* Progress buys time, except when everything has to stop. */
    uint32_t later;

    if (!passed(not_zero(conn->deadline), now)) {
        return;
    }
    if (conn->out) {
        look_for_progress(conn, now);
    }
    later = (conn->out ? conn->out->since : conn->connected) + conn->origin->limits.drain;
    if (conn->out && !passed(not_zero(later), now) && conn->loop->phase == CW_LOOP_RUNNING) {
        conn->deadline = later;
        return;
    }
    if (conn->out) {
        cw_conn_break_with(conn, CW_EDRAINTIME, 0, NULL);
        return;
    }
    conn->flags |= CW_INPUT_ENDED; /* it was given time for its own FIN; that is enough */
    conn->flags &= ~(uint32_t)CW_AWAIT_FINISH;
    cw_conn_at_turn_end(conn, CW_TURN_END);
}

static void check_stream(struct cw_conn *conn, uint32_t now)
{
    int error = passed(due_stream(conn), now) ? conn->stream->ops->on_due(conn) : CW_OK;

    if (error < 0) {
        cw_conn_break_with(conn, error, conn->loop->os_errno, NULL);
    }
}

uint32_t cw_conn_check_due(struct cw_conn *conn, uint32_t now)
{
    check_stream(conn, now);
    if (conn->phase == CW_PHASE_HANDSHAKING) {
        if (passed(due_handshake(conn), now)) {
            cw_conn_break_with(conn, CW_EHANDSHAKETIME, 0, NULL);
        }
    } else if (conn->phase == CW_PHASE_OPEN) {
        check_open(conn, now);
    } else if (conn->phase == CW_PHASE_DRAINING) {
        check_draining(conn, now);
    }
    return conn->phase == CW_PHASE_CLOSED || (conn->flags & CW_ENDING) ? 0 : due_at(conn);
}

void cw_conn_set_deadline(struct cw_conn *conn, uint64_t after_ms)
{
    cw_loop_assert_thread(conn->loop);
    if (conn->phase != CW_PHASE_OPEN) {
        return; /* draining has a deadline of its own */
    }
    if (after_ms == 0 || cw_ticks(after_ms) == 0) {
        conn->flags &= ~(uint32_t)CW_HAS_DEADLINE;
        return;
    }
    conn->flags |= CW_HAS_DEADLINE;
    conn->deadline = conn->loop->now + cw_ticks(after_ms);
    cw_conn_schedule(conn);
}

/* The life of a connection: made, opened, closed, told, freed. */
#include "conn_impl.h"

#include "connector_impl.h"
#include "report.h"
#include "rooms/room_impl.h"
#include "server_impl.h"

#include <causeway/log.h>

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>

/* ---- phases ---- */

static void enter(struct cw_conn *conn, enum cw_phase phase)
{
    assert((int)phase > (int)conn->phase); /* forward only; every phase may go straight to closed */
    conn->phase = phase & 3u;
}

/* ---- made and opened ---- */

struct cw_conn *cw_conn_new(struct cw_loop *loop, struct cw_origin *origin,
                            struct cw_stream *stream, int fd, const struct cw_address *peer)
{
    size_t state_size = origin->service->protocol->state_size;
    struct cw_conn *conn = cw_alloc(sizeof *conn + state_size);
    uint32_t slot;

    if (!conn) {
        return NULL;
    }
    memset(conn, 0, sizeof *conn + state_size);
    if (!cw_slots_take(&loop->slots, conn, &slot)) {
        cw_release(conn);
        return NULL;
    }
    conn->slot = slot & (CW_SLOTS_MAX - 1);
    conn->event.ev_fd = fd;
    conn->loop = loop;
    conn->origin = cw_origin_hold(origin);
    conn->service = cw_service_hold(origin->service);
    conn->stream = stream;
    conn->phase = CW_PHASE_HANDSHAKING;
    conn->connected = conn->last_in = conn->last_out = loop->now;
    if (peer) {
        conn->peer = *peer;
    }
    return conn;
}

void cw_conn_open_protocol(struct cw_conn *conn, void *handover)
{
    const struct cw_protocol *protocol = conn->service->protocol;
    int answer = 0;

    if (protocol->open) {
        answer = protocol->open(conn, cw_conn_state_of(conn), handover);
    }
    if (answer < 0) {
        cw_conn_break(conn, answer);
        return;
    }
    conn->flags |= CW_PROTOCOL_OPEN;
    if (answer == 0 && !(conn->flags & (CW_CLOSING | CW_SWITCHING))) {
        cw_conn_ready(conn);
    }
}

void cw_conn_open(struct cw_conn *conn)
{
    enter(conn, CW_PHASE_OPEN);
    if (conn->loop->server && cw_middleware_open(conn) < 0) {
        return;
    }
    cw_conn_open_protocol(conn, NULL);
    while (conn->flags & CW_SWITCHING) {
        cw_conn_do_switch(conn);
    }
    cw_conn_schedule(conn);
}

int cw_conn_ready(struct cw_conn *conn)
{
    const struct cw_hooks *hooks = &conn->service->hooks;

    if (conn->flags & (CW_OPENED | CW_CLOSING)) {
        return cw_conn_proceed(conn);
    }
    conn->flags |= CW_OPENED;
    cw_trace_opened(conn);
    cw_room_rekey(conn);
    if (conn->origin->role == CW_CLIENT) {
        cw_client_conn_opened(conn);
    }
    if (hooks->on_connection) {
        hooks->on_connection(conn, conn->service->user);
    }
    return cw_conn_proceed(conn);
}

void cw_conn_close_protocol(struct cw_conn *conn)
{
    if (conn->flags & CW_PROTOCOL_OPEN) {
        conn->flags &= ~(uint32_t)CW_PROTOCOL_OPEN;
        if (conn->service->protocol->close) {
            conn->service->protocol->close(conn, cw_conn_state_of(conn));
        }
    }
}

void cw_conn_tell_closed(struct cw_conn *conn, int code)
{
    const struct cw_hooks *hooks = &conn->service->hooks;
    struct cw_close_reason reason = {.code = code, .os_errno = cw_conn_os_errno(conn)};
    const char *text = conn->extra && conn->extra->text[0] ? conn->extra->text : cw_strerror(code);

    if (!(conn->flags & CW_OPENED)) {
        return;
    }
    conn->flags &= ~(uint32_t)CW_OPENED;
    if (code == CW_SWITCHED) {
        text = cw_strerror(code);
    } else {
        reason.peer_code = conn->extra && conn->extra->peer_code != 0
                               ? conn->extra->peer_code
                               : conn->service->protocol->lost_code;
    }
    snprintf(reason.text, sizeof reason.text, "%s", text);
    if (hooks->on_close) {
        hooks->on_close(conn, &reason, conn->service->user);
    }
}

/* ---- closing ---- */

int cw_conn_fail(struct cw_conn *conn, int code, const char *format, ...)
{
    va_list args;

    if (cw_conn_extra(conn)) {
        va_start(args, format);
        vsnprintf(conn->extra->text, sizeof conn->extra->text, format, args);
        va_end(args);
    }
    return code;
}

void cw_conn_note_code(struct cw_conn *conn, uint32_t peer_code)
{
    if (cw_conn_extra(conn)) {
        conn->extra->peer_code = peer_code;
    }
}

/* What is too long is cut behind a character: a peer may be told only whole ones. */
static void set_text(struct cw_conn *conn, const char *text)
{
    size_t len;

    if (!text || !cw_conn_extra(conn)) {
        return;
    }
    len = strnlen(text, CW_REASON_TEXT_MAX);
    if (len == CW_REASON_TEXT_MAX) {
        len--;
        while (len > 0 && ((uint8_t)text[len] & 0xc0) == 0x80) {
            len--;
        }
    }
    memcpy(conn->extra->text, text, len);
    conn->extra->text[len] = '\0';
}

/* Nothing is delivered or produced from here on. */
static void begin_closing(struct cw_conn *conn, int code)
{
    if (!(conn->flags & CW_CLOSING) && code < 0) {
        conn->flags |= CW_FAILED;
    }
    if (conn->code == 0) {
        conn->code = (int16_t)code;
    }
    conn->flags |= CW_CLOSING;
    if (!(conn->flags & CW_ENDING)) {
        cw_conn_at_turn_end(conn, CW_TURN_END);
    }
}

void cw_conn_break_with(struct cw_conn *conn, int code, int os_errno, const char *text)
{
    if (conn->phase == CW_PHASE_CLOSED) {
        return;
    }
    if (!(conn->flags & CW_CLOSING)) {
        set_text(conn, text);
    } else if (conn->code > 0 && conn->out) {
        /* A close in good order that lost accepted bytes was none. */
        conn->code = (int16_t)code;
        conn->flags |= CW_FAILED;
        set_text(conn, text);
    }
    if (os_errno != 0 && cw_conn_os_errno(conn) == 0 && cw_conn_extra(conn)) {
        conn->extra->os_errno = (int16_t)os_errno;
    }
    begin_closing(conn, code);
    conn->flags |= CW_RESET;
    enter(conn, CW_PHASE_CLOSED);
}

/* Whether the peer can still be told why. */
static bool may_say_why(const struct cw_conn *conn, int code)
{
    const struct cw_protocol *protocol = conn->service->protocol;

    return protocol->on_shutdown && !cw_conn_is_of_tls(code) &&
           (!(conn->flags & CW_MESSAGE_OPEN) || protocol->speaks_in_message);
}

/* What comes in place of the peer's goodbye cannot be read: it is not waited for any more. */
static void give_up_waiting(struct cw_conn *conn)
{
    conn->flags &= ~(uint32_t)CW_AWAIT_FINISH;
    conn->flags |= CW_DISCARD | CW_UNHEARD;
    cw_conn_at_turn_end(conn, CW_TURN_END);
}

/* The peer, or time, has ended it, but the socket is sound: what is queued is still sent, and input discarded. */
void cw_conn_break(struct cw_conn *conn, int code)
{
    if (conn->phase == CW_PHASE_CLOSED) {
        return;
    }
    if (conn->flags & CW_CLOSING) {
        if (conn->flags & CW_AWAIT_FINISH) {
            give_up_waiting(conn);
        }
        return;
    }
    conn->flags |= CW_DISCARD | (may_say_why(conn, code) ? 0u : (uint32_t)CW_SHUTDOWN_DONE);
    begin_closing(conn, code);
}

void cw_conn_end_with(struct cw_conn *conn, int code)
{
    if (conn->phase == CW_PHASE_CLOSED || (conn->flags & CW_CLOSING)) {
        return;
    }
    if ((conn->flags & CW_MESSAGE_OPEN) && !conn->service->protocol->speaks_in_message) {
        /* The peer would take what follows for the rest of the message. */
        set_text(conn, "closed in the middle of a message");
        conn->flags |= CW_RESET;
        cw_conn_cut(conn, code);
        return;
    }
    begin_closing(conn, code);
}

void cw_conn_close(struct cw_conn *conn)
{
    cw_loop_assert_thread(conn->loop);
    cw_conn_end_with(conn, CW_BY_APP);
}

void cw_conn_close_with(struct cw_conn *conn, uint32_t peer_code, const char *text)
{
    cw_loop_assert_thread(conn->loop);
    if (!(conn->flags & CW_CLOSING) && cw_conn_extra(conn)) {
        conn->extra->peer_code = peer_code;
        set_text(conn, text);
    }
    cw_conn_end_with(conn, CW_BY_APP);
}

void cw_conn_cut(struct cw_conn *conn, int code)
{
    begin_closing(conn, code);
    enter(conn, CW_PHASE_CLOSED);
}

void cw_conn_abort(struct cw_conn *conn)
{
    cw_loop_assert_thread(conn->loop);
    if (conn->phase != CW_PHASE_CLOSED) {
        conn->flags |= CW_RESET;
        cw_conn_cut(conn, CW_BY_ABORT);
    }
}

void cw_conn_finish(struct cw_conn *conn, uint32_t peer_code, struct cw_span text)
{
    cw_loop_assert_thread(conn->loop);
    if (conn->phase == CW_PHASE_CLOSED) {
        return;
    }
    if ((peer_code != 0 || text.len > 0) && cw_conn_extra(conn)) {
        size_t len = text.len < CW_REASON_TEXT_MAX ? text.len : CW_REASON_TEXT_MAX - 1;
        conn->extra->peer_code = peer_code;
        if (len > 0) { /* otherwise what we have said ourselves stays */
            memcpy(conn->extra->text, text.data, len);
            conn->extra->text[len] = '\0';
        }
    }
    begin_closing(conn,
                  peer_code != 0 || (conn->flags & CW_INPUT_ENDED) ? CW_BY_PEER : CW_BY_PROTOCOL);
    conn->flags |= CW_DISCARD | CW_SHUTDOWN_DONE;
    conn->flags &= ~(uint32_t)CW_AWAIT_FINISH;
}

/* ---- the end, at the end of a turn ---- */

static void say_goodbye(struct cw_conn *conn)
{
    const struct cw_protocol *protocol = conn->service->protocol;
    struct cw_close_reason reason = {.code = conn->code, .os_errno = cw_conn_os_errno(conn)};
    const char *text = conn->extra && conn->extra->text[0] ? conn->extra->text : "";

    conn->flags |= CW_SHUTDOWN_DONE;
    if (!protocol->on_shutdown || !(conn->flags & CW_PROTOCOL_OPEN)) {
        conn->flags |= CW_DISCARD;
        return;
    }
    snprintf(reason.text, sizeof reason.text, "%s", text);
    reason.peer_code = conn->extra ? conn->extra->peer_code : 0;
    if (protocol->on_shutdown(conn, cw_conn_state_of(conn), &reason) == 1 &&
        !(conn->flags & (CW_INPUT_ENDED | CW_DISCARD))) {
        conn->flags |= CW_AWAIT_FINISH;
    } else {
        conn->flags |= CW_DISCARD;
    }
}

/* Whether closing the socket now would reset it and so destroy, on the way or at the peer, what we sent last. */
static bool has_unread_input(const struct cw_conn *conn)
{
    int waiting = 0;

    if (conn->event.ev_fd < 0 || (conn->flags & CW_INPUT_ENDED)) {
        return false;
    }
    return ioctl(cw_conn_fd_of(conn), FIONREAD, &waiting) == 0 && waiting > 0;
}

static void free_timers(struct cw_conn *conn)
{
    while (conn->extra->timers) {
        struct cw_conn_timer *timer = conn->extra->timers;
        conn->extra->timers = timer->next;
        event_free(timer->event);
        cw_release(timer);
    }
    if (conn->extra->pause_timer) {
        event_free(conn->extra->pause_timer);
        conn->extra->pause_timer = NULL;
    }
}

static void free_conn(struct cw_conn *conn)
{
    struct cw_loop *loop = conn->loop;

    if (conn->extra) {
        cw_conn_forget_switch(conn);
        if (conn->flags & CW_STATE_OUTSIDE) {
            cw_release(conn->extra->state);
        }
        cw_release(conn->extra->middleware);
        cw_release(conn->extra);
    }
    cw_slots_give(&loop->slots, conn->slot);
    cw_service_drop(conn->service);
    cw_origin_drop(conn->origin);
    cw_release(conn);
}

/* Tells everybody, once. What may remain of it after that is a socket whose input is discarded. */
static void tell(struct cw_conn *conn)
{
    struct cw_loop *loop = conn->loop;

    conn->flags |= CW_ENDING | CW_CLOSING;
    if (conn->extra) {
        free_timers(conn);
    }
    cw_outq_clear(&conn->out, &loop->out_pool, conn->code);
    cw_conn_inbuf_free(conn);
    cw_room_leave_all(conn);
    cw_report_end(conn);
    cw_conn_tell_closed(conn, conn->code);
    if (conn->flags & CW_HAS_MIDDLEWARE) {
        cw_middleware_close(conn);
    }
    cw_conn_close_protocol(conn);
    if (conn->origin->role == CW_CLIENT) {
        cw_client_conn_ended(conn);
    }
    conn->flags = (conn->flags & ~(uint32_t)CW_ENDING) | CW_TOLD;
}

static void release(struct cw_conn *conn)
{
    conn->phase = CW_PHASE_CLOSED;
    cw_conn_update_events(conn);
    conn->stream->ops->close(conn, (conn->flags & CW_RESET) != 0);
    cw_conn_ended(conn);
    free_conn(conn);
}

/* A write that failed just now has put it into the list of the next turn, which ends it then. */
static void finish(struct cw_conn *conn)
{
    if (conn->turn & CW_TURN_QUEUED) {
        conn->turn |= CW_TURN_END;
        return;
    }
    if (!(conn->flags & CW_TOLD)) {
        tell(conn);
    }
    release(conn);
}

void cw_conn_end_now(struct cw_conn *conn, int code)
{
    conn->code = conn->code == 0 ? (int16_t)code : conn->code;
    conn->flags |= CW_CLOSING;
    conn->phase = CW_PHASE_CLOSED;
    finish(conn);
}

/* Whether the peer is likely to be in the middle of sending: a close now would answer it with a reset. */
static bool peer_sends(const struct cw_conn *conn)
{
    bool in_mid_message = conn->code < 0 && conn->code != CW_EIDLE && conn->code != CW_EREADTIME &&
                          conn->code != CW_EDEADLINE && conn->code != CW_EHANDSHAKETIME;

    return in_mid_message || (conn->flags & CW_UNHEARD) || has_unread_input(conn);
}

/* The queue is empty: end now, or, when that would reset the peer and so destroy what we sent last, tell the
 * application now and wait for the peer's FIN. */
static void end_or_linger(struct cw_conn *conn)
{
    if (conn->flags & CW_LINGER) {
        if (conn->flags & CW_INPUT_ENDED) {
            release(conn);
        }
        return;
    }
    if ((conn->flags & CW_INPUT_ENDED) || conn->datagram || !peer_sends(conn)) {
        finish(conn);
        return;
    }
    conn->flags |= CW_LINGER | CW_DISCARD;
    if (!conn->extra || !conn->extra->peer_ends) {
        conn->flags |= CW_OUTPUT_ENDED;
        conn->stream->ops->end(conn);
    }
    tell(conn);
    if (conn->phase == CW_PHASE_CLOSED) {
        release(conn); /* a hook has aborted it meanwhile */
        return;
    }
    cw_conn_schedule(conn);
    cw_conn_update_events(conn);
}

void cw_conn_step_end(struct cw_conn *conn)
{
    if (conn->phase == CW_PHASE_CLOSED || conn->phase == CW_PHASE_HANDSHAKING) {
        finish(conn);
        return;
    }
    if (conn->phase == CW_PHASE_OPEN) {
        enter(conn, CW_PHASE_DRAINING);
        conn->deadline = conn->loop->now + conn->origin->limits.drain;
    }
    if (!(conn->flags & CW_SHUTDOWN_DONE)) {
        bool broken = (conn->flags & CW_DISCARD) != 0;

        say_goodbye(conn);
        if (!broken && !(conn->flags & CW_AWAIT_FINISH)) {
            conn->flags |= conn->in ? (uint32_t)CW_UNHEARD : 0u;
            cw_conn_inbuf_free(conn);
        } else if (!broken && conn->in) {
            cw_conn_at_turn_end(conn, CW_TURN_READY);
        }
    }
    cw_conn_flush_quiet(conn);
    if (conn->phase == CW_PHASE_CLOSED) {
        finish(conn);
        return;
    }
    if (!conn->out && !(conn->flags & CW_AWAIT_FINISH) && conn->stream->ops->goodbye) {
        conn->stream->ops->goodbye(conn);
        if (conn->stream->owes && cw_conn_keep_out(conn)) {
            conn->flags |= CW_BLOCKED;
        }
    }
    if (conn->phase == CW_PHASE_CLOSED) {
        finish(conn);
        return;
    }
    if (!conn->out && !(conn->flags & CW_AWAIT_FINISH)) {
        end_or_linger(conn);
        return;
    }
    cw_conn_schedule(conn);
    cw_conn_update_events(conn);
}

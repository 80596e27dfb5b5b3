/* WebSocket's table: begin, deadlines, goodbye, end. */
#include "ws_impl.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <stdio.h>

static const struct cw_websocket_options *options_of(const struct cw_conn *conn)
{
    return cw_conn_options(conn);
}

/* ---- begin ---- */

static void wait_for_ping(struct cw_conn *conn)
{
    uint64_t interval = options_of(conn)->ping_interval_ms;

    cw_conn_set_deadline(conn, interval == CW_OFF ? 0 : interval);
}

int cw_ws_begin(struct cw_conn *conn, struct cw_ws_conn *ws, const struct cw_ws_agreed *agreed,
                char *subprotocol)
{
    ws->flags = CW_WS_BEGUN;
    if (agreed->on) {
        ws->flags |= CW_WS_AGREED | (agreed->keep ? (uint32_t)CW_WS_KEEP : 0u) |
                     (agreed->peer_keeps ? (uint32_t)CW_WS_PEER_KEEPS : 0u) |
                     (uint32_t)agreed->bits << CW_WS_BITS_SHIFT |
                     (uint32_t)agreed->peer_bits << CW_WS_PEER_BITS_SHIFT;
    }
    if (subprotocol && !cw_ws_more(conn, ws)) {
        cw_release(subprotocol);
        return CW_ENOMEM;
    }
    if (subprotocol) {
        ws->more->subprotocol = subprotocol;
    }
    wait_for_ping(conn);
    return CW_OK;
}

static int welcome(struct cw_conn *conn, struct cw_ws_conn *ws, struct cw_ws_welcome *found)
{
    int error = cw_ws_begin(conn, ws, &found->agreed, found->subprotocol);

    found->subprotocol = NULL;
    if (error < 0) {
        return error; /* the rest is not taken over */
    }
    if (found->conn_user) {
        cw_conn_set_user(conn, found->conn_user);
    }
    found->conn_user = NULL;
    found->drop = NULL;
    cw_ws_welcome_free(found);
    return CW_OK;
}

static int open_websocket(struct cw_conn *conn, void *state, void *handover)
{
    struct cw_ws_conn *ws = state;

    if (handover) {
        return welcome(conn, ws, handover);
    }
    return cw_conn_role(conn) == CW_CLIENT ? cw_ws_open_client(conn, ws) : cw_ws_open_server(conn);
}

struct cw_ws_dial *cw_ws_dial_of(const struct cw_ws_conn *ws)
{
    return ws->more ? ws->more->dial : NULL;
}

int cw_ws_set_dial(struct cw_conn *conn, struct cw_ws_conn *ws, struct cw_ws_dial *dial)
{
    struct cw_ws_more *more = cw_ws_more(conn, ws);

    if (!more) {
        return CW_ENOMEM;
    }
    more->dial = dial;
    ws->flags |= dial ? (uint32_t)CW_WS_DIALLING : 0u;
    cw_ws_less(conn, ws);
    return CW_OK;
}

static void close_websocket(struct cw_conn *conn, void *state)
{
    struct cw_ws_conn *ws = state;
    struct cw_loop *loop = cw_conn_loop(conn);
    struct cw_ws_more *more = ws->more;

    if (!more) {
        return;
    }
    cw_ws_forget_bytes(conn, more);
    cw_ws_drop_context(conn, more);
    cw_ws_inflater_free(loop, more->inflater);
    cw_ws_deflater_free(loop, more->deflater);
    if (more->dial) {
        cw_ws_dial_free(more->dial);
    }
    cw_release(more->subprotocol);
    cw_release(more->ping);
    memset(more, 0, sizeof *more);
    cw_ws_less(conn, ws);
}

/* ---- in ---- */

static ptrdiff_t take_bytes(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    struct cw_ws_conn *ws = state;

    if (ws->flags & CW_WS_DIALLING) {
        return cw_ws_dial_bytes(conn, ws, data, len);
    }
    return cw_ws_bytes(conn, ws, data, len);
}

static int take_end(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    const struct cw_ws_conn *ws = state;

    if (ws->flags & CW_WS_DIALLING) {
        return cw_ws_dial_end(conn, len);
    }
    if (len > 0 || (ws->more && ws->more->opcode != 0)) {
        return cw_conn_fail(conn, CW_ETRUNCATED, "the input ended in the middle of a message");
    }
    return CW_OK;
}

/* ---- time ---- */

static int no_pong(struct cw_conn *conn, struct cw_ws_conn *ws)
{
    char why[CW_REASON_TEXT_MAX];

    snprintf(why, sizeof why, "no pong within %llu ms",
             (unsigned long long)options_of(conn)->pong_timeout_ms);
    cw_ws_write_close(conn, ws, CW_WEBSOCKET_ERROR, cw_span_text(why));
    return cw_conn_fail(conn, CW_EDEADLINE, "%s", why);
}

static int on_deadline(struct cw_conn *conn, void *state)
{
    const struct cw_websocket_options *options = options_of(conn);
    struct cw_ws_conn *ws = state;

    if (ws->flags & CW_WS_DIALLING) {
        return CW_EDEADLINE;
    }
    if (ws->flags & CW_WS_AWAITS_PONG) {
        /* While we do not listen, silence says nothing. */
        if (cw_conn_proceed(conn) == CW_GO) {
            return no_pong(conn, ws);
        }
        cw_conn_set_deadline(conn, options->pong_timeout_ms);
        return CW_OK;
    }
    (void)cw_ws_write_stamp(conn, ws); /* without room for it: the queue's own time-out tells */
    if (options->pong_timeout_ms == CW_OFF) {
        wait_for_ping(conn);
        return CW_OK;
    }
    ws->flags |= CW_WS_AWAITS_PONG;
    cw_conn_set_deadline(conn, options->pong_timeout_ms);
    return CW_OK;
}

/* ---- goodbye ---- */

static uint32_t code_for(const struct cw_close_reason *reason)
{
    if (reason->peer_code != 0) {
        return cw_ws_close_code_is_sound(reason->peer_code) ? reason->peer_code
                                                            : CW_WEBSOCKET_NORMAL;
    }
    switch (reason->code) {
    case CW_BY_STOP:
    case CW_EIDLE:
    case CW_EREADTIME:
        return CW_WEBSOCKET_GOING_AWAY;
    case CW_ESLOW:
    case CW_ERATE:
        return CW_WEBSOCKET_POLICY;
    case CW_ETOOBIG:
        return CW_WEBSOCKET_TOO_BIG;
    default:
        return reason->code < 0 ? CW_WEBSOCKET_ERROR : CW_WEBSOCKET_NORMAL;
    }
}

static int say_goodbye(struct cw_conn *conn, void *state, const struct cw_close_reason *reason)
{
    struct cw_ws_conn *ws = state;

    if ((ws->flags & (CW_WS_DIALLING | CW_WS_CLOSE_SEEN)) || reason->code == CW_BY_PEER ||
        reason->code == CW_ETRUNCATED) {
        return 0;
    }
    if (!(ws->flags & CW_WS_CLOSE_SENT) &&
        cw_ws_write_close(conn, ws, code_for(reason), cw_span_text(reason->text)) < 0) {
        return 0;
    }
    return 1;
}

/* ---- questions ---- */

static const struct cw_ws_conn *state_of(const struct cw_conn *conn)
{
    bool is_websocket = cw_conn_protocol(conn) == &cw_websocket;

    return is_websocket ? cw_conn_state((struct cw_conn *)(uintptr_t)conn) : NULL;
}

uint64_t cw_websocket_round_trip_us(const struct cw_conn *conn)
{
    const struct cw_ws_conn *ws = state_of(conn);

    return ws ? ws->round_trip_us : 0;
}

const char *cw_websocket_subprotocol(const struct cw_conn *conn)
{
    const struct cw_ws_conn *ws = state_of(conn);

    return ws && ws->more && ws->more->subprotocol ? ws->more->subprotocol : "";
}

bool cw_websocket_is_compressed(const struct cw_conn *conn)
{
    const struct cw_ws_conn *ws = state_of(conn);

    return ws && (ws->flags & CW_WS_AGREED);
}

/* What a queue must hold: a message whole, with its head. */
static uint64_t longest_message(const void *memory)
{
    const struct cw_websocket_options *options = memory;
    uint64_t longest =
        options->stream_above_bytes != 0 ? options->stream_above_bytes : options->message_max_bytes;

    return longest > PTRDIFF_MAX ? 0 : longest + CW_WS_HEAD_MAX;
}

static uint64_t high_mark(const void *memory)
{
    const struct cw_websocket_options *options = memory;

    return options->out_high_bytes;
}

const struct cw_protocol cw_websocket = {
    .name = "websocket",
    .scheme = "ws",
    .scheme_tls = "wss",
    .state_size = sizeof(struct cw_ws_conn),
    .options_size = sizeof(struct cw_websocket_options),
    .configure = cw_ws_check_options,
    .release = cw_ws_release_options,
    .message_max = longest_message,
    .out_high = high_mark,
    .open = open_websocket,
    .on_bytes = take_bytes,
    .on_end = take_end,
    .on_deadline = on_deadline,
    .on_shutdown = say_goodbye,
    .close = close_websocket,
    .send = cw_ws_send,
    .encode = cw_ws_encode,
    .wire_key = cw_ws_wire_key,
    .lost_code = CW_WEBSOCKET_ABNORMAL,
    .speaks_in_message = true,
    .settings = cw_ws_settings,
};

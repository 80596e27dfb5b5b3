/* Frames in (RFC 6455 §5, §6.2). */
#include "ws_impl.h"

#include <causeway/error.h>
#include <causeway/log.h>

static const uint64_t second_ms = 1000;

static const struct cw_websocket_options *options_of(const struct cw_conn *conn)
{
    return cw_conn_options(conn);
}

/* ---- what breaks a rule ---- */

static int code_of(uint32_t close_code)
{
    switch (close_code) {
    case CW_WEBSOCKET_TOO_BIG:
        return CW_ETOOBIG;
    case CW_WEBSOCKET_POLICY:
        return CW_ERATE;
    case CW_WEBSOCKET_TRY_LATER:
        return CW_EFULL;
    case CW_WEBSOCKET_ERROR:
        return CW_ENOMEM;
    default:
        return CW_EPROTO;
    }
}

int cw_ws_fail(struct cw_conn *conn, struct cw_ws_conn *ws, uint32_t close_code, const char *why)
{
    if (ws->flags & CW_WS_CLOSE_SENT) {
        return code_of(close_code); /* why it ends has been said */
    }
    cw_ws_write_close(conn, ws, close_code, cw_span_text(why));
    cw_conn_note_code(conn, close_code);
    return cw_conn_fail(conn, code_of(close_code), "%s", why);
}

/* ---- control frames ---- */

static bool is_flood(const struct cw_conn *conn, struct cw_ws_conn *ws)
{
    uint32_t now = (uint32_t)(cw_loop_now_ms(cw_conn_loop(conn)) / second_ms);

    if (ws->second != now) {
        ws->second = now;
        ws->controls = 0;
    }
    ws->controls++;
    return ws->controls > options_of(conn)->pings_per_second_max;
}

/* A pong that finds no room is left out: the peer may be content with the answer to a later ping (§5.5.3). */
static int take_ping(struct cw_conn *conn, struct cw_ws_conn *ws, struct cw_span payload)
{
    if (!(ws->flags & CW_WS_CLOSE_SENT)) {
        (void)cw_ws_write_control(conn, CW_WS_PONG, payload);
    }
    return CW_GO;
}

static uint64_t stamp_of(struct cw_span payload)
{
    uint64_t stamp = 0;

    for (size_t i = 0; i < sizeof stamp; i++) {
        stamp = stamp << 8 | payload.data[i];
    }
    return stamp;
}

/* When the ping of this pong was sent; 0: it is for none of ours. */
static uint64_t sent_us(struct cw_conn *conn, struct cw_ws_conn *ws, struct cw_span payload,
                        uint64_t now)
{
    struct cw_ws_more *more = ws->more;
    struct cw_ws_shared *shared = cw_ws_shared(cw_conn_loop(conn));

    if (more && more->ping && cw_span_equal(payload, cw_span_of(more->ping, more->ping_len))) {
        uint64_t sent = more->ping_us;

        cw_release(more->ping);
        more->ping = NULL;
        cw_ws_less(conn, ws);
        return sent;
    }
    if ((ws->flags & CW_WS_STAMPED) && payload.len == sizeof(uint64_t) && shared) {
        uint64_t sent = stamp_of(payload) - shared->shift;

        if (sent <= now && now - sent < UINT32_MAX) {
            ws->flags &= ~(uint32_t)CW_WS_STAMPED;
            return sent;
        }
    }
    return 0;
}

static int take_pong(struct cw_conn *conn, struct cw_ws_conn *ws, struct cw_span payload)
{
    const struct cw_websocket_options *options = options_of(conn);
    uint64_t now = cw_ws_now_us();
    uint64_t sent = sent_us(conn, ws, payload, now);
    bool stamped = payload.len == sizeof(uint64_t) && sent != 0;

    if (sent == 0 || (ws->flags & CW_WS_CLOSE_SENT)) {
        return CW_GO;
    }
    ws->round_trip_us = now - sent > 0 ? (uint32_t)(now - sent) : 1;
    if (options->on_pong) {
        options->on_pong(conn, stamped ? cw_span_of(NULL, 0) : payload, ws->round_trip_us,
                         cw_conn_service_user(conn));
    }
    return cw_conn_proceed(conn);
}

static const char *judge_close(struct cw_span payload, uint32_t *code, uint32_t *refusal)
{
    struct cw_ws_utf8 utf8 = {0};

    *code = CW_WEBSOCKET_NO_CODE;
    *refusal = CW_WEBSOCKET_PROTOCOL;
    if (payload.len == 0) {
        return NULL;
    }
    if (payload.len == 1) {
        return "a close frame with half a code";
    }
    *code = (uint32_t)payload.data[0] << 8 | payload.data[1];
    if (!cw_ws_close_code_is_sound(*code)) {
        return "a close frame with a code that must not be sent";
    }
    if (!cw_ws_utf8_feed(&utf8, payload.data + 2, payload.len - 2) || !cw_ws_utf8_is_whole(&utf8)) {
        *refusal = CW_WEBSOCKET_INVALID;
        return "a close frame whose reason is not UTF-8";
    }
    return NULL;
}

/* The server ends the connection first; a client waits for that (§7.1.1). */
static int take_close(struct cw_conn *conn, struct cw_ws_conn *ws, struct cw_span payload)
{
    struct cw_span text = {NULL, 0};
    uint32_t code;
    uint32_t refusal;
    const char *why = judge_close(payload, &code, &refusal);

    if (why) {
        return cw_ws_fail(conn, ws, refusal, why);
    }
    if (payload.len > 2) {
        text = cw_span_of(payload.data + 2, payload.len - 2);
    }
    ws->flags |= CW_WS_CLOSE_SEEN;
    if (!(ws->flags & CW_WS_CLOSE_SENT)) {
        cw_ws_write_close(conn, ws, code, cw_span_of(NULL, 0));
    }
    if (cw_conn_role(conn) == CW_CLIENT) {
        cw_conn_let_peer_end(conn);
    }
    cw_conn_finish(conn, code, text);
    return CW_STOP;
}

static int take_control(struct cw_conn *conn, struct cw_ws_conn *ws, const struct cw_ws_head *head,
                        uint8_t *payload)
{
    struct cw_span span = {payload, (size_t)head->len};

    if (head->mask != 0) {
        cw_ws_mask(payload, span.len, head->mask, 0);
    }
    if (head->opcode == CW_WS_CLOSE) {
        return take_close(conn, ws, span);
    }
    if (is_flood(conn, ws)) {
        return cw_ws_fail(conn, ws, CW_WEBSOCKET_POLICY, "more pings and pongs than allowed");
    }
    return head->opcode == CW_WS_PING ? take_ping(conn, ws, span) : take_pong(conn, ws, span);
}

/* ---- data frames ---- */

static const char *judge_order(const struct cw_ws_conn *ws, const struct cw_ws_head *head)
{
    bool under_way = ws->more && ws->more->opcode != 0;

    if (head->opcode == CW_WS_CONTINUATION) {
        return under_way ? NULL : "a continuation of no message";
    }
    return under_way ? "a message inside of a message" : NULL;
}

/* A length that breaks the limit is judged before a byte of it is waited for. */
static bool is_too_big(const struct cw_conn *conn, const struct cw_ws_conn *ws,
                       const struct cw_ws_head *head)
{
    uint64_t max = options_of(conn)->message_max_bytes;
    const struct cw_ws_more *more = ws->more;
    bool compressed = more && more->opcode != 0 ? more->compressed : head->compressed;
    uint64_t before = more && more->opcode != 0 ? (more->streams ? more->total : more->len) : 0;

    if (max == CW_NO_LIMIT) {
        return false;
    }
    if (compressed) {
        /* What cannot be compressed grows by five bytes in thousands (RFC 1951 §3.2.4). */
        uint64_t more_max = max / 8 + 64;

        max = max > UINT64_MAX - more_max ? UINT64_MAX : max + more_max;
    }
    return before > max || head->len > max - before;
}

static int begin_frame(struct cw_conn *conn, struct cw_ws_conn *ws, const struct cw_ws_head *head)
{
    struct cw_ws_more *more = cw_ws_more(conn, ws);

    if (!more) {
        return CW_ENOMEM;
    }
    if (head->opcode != CW_WS_CONTINUATION) {
        more->opcode = head->opcode;
        more->compressed = head->compressed;
        more->streams = false;
        more->owes_gathered = false;
        more->owes = CW_WS_OWES_NOTHING;
        more->utf8 = (struct cw_ws_utf8){0};
        more->total = 0;
    }
    more->fin = head->fin;
    more->mask = head->mask;
    more->left = head->len;
    more->at = 0;
    return CW_OK;
}

/* The usual one: whole, in one frame. */
static int take_single(struct cw_conn *conn, struct cw_ws_conn *ws, const struct cw_ws_head *head,
                       uint8_t *payload)
{
    size_t len = (size_t)head->len;
    bool high = true;

    if (ws->flags & CW_WS_CLOSE_SENT) {
        return CW_GO;
    }
    if (head->mask != 0) {
        high = cw_ws_mask(payload, len, head->mask, 0);
    }

    struct cw_message msg = {.body = {payload, len},
                             .kind = head->opcode == CW_WS_TEXT ? CW_TEXT : CW_BINARY};

    return cw_ws_take_whole(conn, ws, &msg, head->compressed, !high);
}

/* Whether the frame's payload has come whole and is a whole message to be delivered whole. */
static bool is_single(const struct cw_conn *conn, const struct cw_ws_head *head, size_t there)
{
    const struct cw_websocket_options *options = options_of(conn);

    return head->fin && head->opcode != CW_WS_CONTINUATION && head->len <= there &&
           (options->stream_above_bytes == 0 ||
            (!head->compressed && head->len <= options->stream_above_bytes));
}

static ptrdiff_t take_data(struct cw_conn *conn, struct cw_ws_conn *ws,
                           const struct cw_ws_head *head, uint8_t *data, size_t len)
{
    const char *why = judge_order(ws, head);
    int error;

    if (why) {
        return cw_ws_fail(conn, ws, CW_WEBSOCKET_PROTOCOL, why);
    }
    if (is_too_big(conn, ws, head)) {
        return cw_ws_fail(conn, ws, CW_WEBSOCKET_TOO_BIG, "a message above message_max_bytes");
    }
    if (is_single(conn, head, len - head->size)) {
        error = take_single(conn, ws, head, data + head->size);
        return error < 0 ? error : (ptrdiff_t)(head->size + (size_t)head->len);
    }
    if (begin_frame(conn, ws, head) < 0) {
        return cw_ws_fail(conn, ws, CW_WEBSOCKET_ERROR, "out of memory");
    }
    if (head->len == 0) {
        error = cw_ws_take_empty(conn, ws);
        return error > 0 ? head->size : error;
    }
    return head->size;
}

/* ---- frame after frame ---- */

static ptrdiff_t take_frame(struct cw_conn *conn, struct cw_ws_conn *ws, uint8_t *data, size_t len)
{
    struct cw_ws_head head;
    const char *why = NULL;
    bool masked = cw_conn_role(conn) == CW_SERVER;
    bool extended = (ws->flags & CW_WS_AGREED) != 0;
    int n = cw_ws_read_head(cw_span_of(data, len), masked, extended, &head, &why);

    if (n < 0) {
        return cw_ws_fail(conn, ws, CW_WEBSOCKET_PROTOCOL, why);
    }
    if (n == 0) {
        return 0;
    }
    if (head.opcode < CW_WS_CLOSE) {
        return take_data(conn, ws, &head, data, len);
    }
    if (head.len > len - head.size) {
        return 0;
    }

    int error = take_control(conn, ws, &head, data + head.size);

    return error < 0 ? error : (ptrdiff_t)(head.size + (size_t)head.len);
}

/* ---- short messages ---- */

enum { SHORT_HEAD = 6, SHORT_MAX = 125, MASKED = 0x80 };

/* A message of up to 125 bytes of a client, whole and not compressed. */
static bool is_short(const uint8_t *data, size_t len)
{
    return len >= SHORT_HEAD &&
           (data[0] == (CW_WS_FIN | CW_WS_TEXT) || data[0] == (CW_WS_FIN | CW_WS_BINARY)) &&
           data[1] >= MASKED && data[1] <= (MASKED | SHORT_MAX) &&
           data[1] - (size_t)MASKED <= len - SHORT_HEAD;
}

/* Whether such ones break no rule here and are delivered whole. */
static bool takes_short(const struct cw_conn *conn, const struct cw_ws_conn *ws)
{
    const struct cw_websocket_options *options = options_of(conn);

    return cw_conn_role(conn) == CW_SERVER && !(ws->flags & CW_WS_CLOSE_SENT) &&
           !(ws->more && ws->more->opcode != 0) && options->message_max_bytes >= SHORT_MAX &&
           (options->stream_above_bytes == 0 || options->stream_above_bytes >= SHORT_MAX);
}

/* As many as come one behind the other: a busy peer sends little else. */
static ptrdiff_t take_short(struct cw_conn *conn, struct cw_ws_conn *ws, uint8_t *data, size_t len)
{
    size_t used = 0;
    int result;

    do {
        uint8_t *payload = data + used + SHORT_HEAD;
        struct cw_message msg = {.body = {payload, data[used + 1] - (size_t)MASKED},
                                 .kind = data[used] & CW_WS_TEXT ? CW_TEXT : CW_BINARY};
        uint32_t mask;

        memcpy(&mask, payload - sizeof mask, sizeof mask);
        used += SHORT_HEAD + msg.body.len;
        result = cw_ws_mask(payload, msg.body.len, mask, 0)
                     ? cw_ws_take_whole(conn, ws, &msg, false, false)
                     : cw_conn_deliver(conn, &msg);
    } while (result == CW_GO && is_short(data + used, len - used));
    return result < 0 ? result : (ptrdiff_t)used;
}

static ptrdiff_t take_next(struct cw_conn *conn, struct cw_ws_conn *ws, uint8_t *data, size_t len)
{
    if (ws->more && ws->more->left > 0) {
        return cw_ws_take_payload(conn, ws, data, len);
    }
    if (is_short(data, len) && takes_short(conn, ws)) {
        return take_short(conn, ws, data, len);
    }
    return take_frame(conn, ws, data, len);
}

/* A byte from the peer is a sign of life: the pong is waited for no longer, and the next ping is due in its time. */
static void note_life(struct cw_conn *conn, struct cw_ws_conn *ws)
{
    if (ws->flags & CW_WS_AWAITS_PONG) {
        ws->flags &= ~(uint32_t)CW_WS_AWAITS_PONG;
        cw_conn_set_deadline(conn, options_of(conn)->ping_interval_ms);
    }
}

ptrdiff_t cw_ws_bytes(struct cw_conn *conn, struct cw_ws_conn *ws, uint8_t *data, size_t len)
{
    size_t used = 0;

    note_life(conn, ws);
    do {
        ptrdiff_t n = take_next(conn, ws, data + used, len - used);

        if (n < 0) {
            return n;
        }
        if (n == 0) {
            break;
        }
        used += (size_t)n;
    } while (used < len && !(ws->flags & CW_WS_CLOSE_SEEN) &&
             (cw_conn_proceed(conn) == CW_GO || (ws->flags & CW_WS_CLOSE_SENT)));
    return (ptrdiff_t)(ws->flags & CW_WS_CLOSE_SEEN ? len : used);
}

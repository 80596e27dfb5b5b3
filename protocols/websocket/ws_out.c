/* Messages, pings and goodbyes out (RFC 6455 §5, §6.1). */
#include "ws_impl.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <causeway/payload.h>
#include <causeway/span.h>

enum {
    REASON_MAX = CW_WS_CONTROL_MAX - 2,
    SCRATCH_KEPT = 262144, /* of masked copies */
};

static const struct cw_websocket_options *options_of(const struct cw_conn *conn)
{
    return cw_conn_options(conn);
}

static unsigned own_bits(const struct cw_ws_conn *ws)
{
    return ws->flags >> CW_WS_BITS_SHIFT & 15;
}

/* ---- masked copies, for clients ---- */

static uint8_t *scratch_of(struct cw_ws_shared *shared, size_t len)
{
    if (!shared->scratch || shared->scratch_cap < len) {
        cw_release(shared->scratch);
        shared->scratch = cw_alloc(len + 16);
        shared->scratch_cap = shared->scratch ? len : 0;
    }
    return shared->scratch;
}

static void keep_scratch(struct cw_ws_shared *shared)
{
    if (shared->scratch_cap > SCRATCH_KEPT) {
        cw_release(shared->scratch);
        shared->scratch = NULL;
        shared->scratch_cap = 0;
    }
}

typedef int (*write_fn)(struct cw_conn *conn, const struct cw_span *parts, size_t count);

static int write_masked(struct cw_conn *conn, uint8_t first, struct cw_span payload, write_fn write)
{
    struct cw_ws_shared *shared = cw_ws_shared(cw_conn_loop(conn));
    uint8_t *copy = shared ? scratch_of(shared, payload.len) : NULL;
    uint8_t head[CW_WS_HEAD_MAX];
    uint32_t mask;
    int result;

    if (!copy) {
        return CW_ENOMEM;
    }
    mask = cw_ws_new_mask(shared);
    cw_ws_mask_to(copy, payload.data, payload.len, mask, 0);

    const struct cw_span parts[] = {{head, cw_ws_write_head(head, first, payload.len, true, mask)},
                                    {copy, payload.len}};

    result = write(conn, parts, 2);
    keep_scratch(shared);
    return result;
}

static int write_frame(struct cw_conn *conn, uint8_t first, struct cw_span payload, write_fn write)
{
    uint8_t head[CW_WS_HEAD_MAX];

    if (cw_conn_role(conn) == CW_CLIENT) {
        return write_masked(conn, first, payload, write);
    }

    const struct cw_span parts[] = {{head, cw_ws_write_head(head, first, payload.len, false, 0)},
                                    payload};

    return write(conn, parts, 2);
}

/* ---- control frames ---- */

int cw_ws_write_control(struct cw_conn *conn, uint8_t opcode, struct cw_span payload)
{
    return write_frame(conn, (uint8_t)(CW_WS_FIN | opcode), payload, cw_conn_write_control);
}

/* Up to a whole character: half of one would break a rule. */
static size_t reason_len(struct cw_span text)
{
    size_t len = text.len < REASON_MAX ? text.len : REASON_MAX;

    while (len > 0 && len < text.len && (text.data[len] & 0xc0) == 0x80) {
        len--;
    }
    return cw_span_is_utf8(cw_span_of(text.data, len)) ? len : 0;
}

int cw_ws_write_close(struct cw_conn *conn, struct cw_ws_conn *ws, uint32_t code,
                      struct cw_span text)
{
    uint8_t payload[CW_WS_CONTROL_MAX] = {(uint8_t)(code >> 8), (uint8_t)code};
    size_t len = reason_len(text);
    bool has_code = code != CW_WEBSOCKET_NO_CODE;

    if (ws->flags & (CW_WS_CLOSE_SENT | CW_WS_DIALLING)) {
        return CW_OK;
    }
    ws->flags |= CW_WS_CLOSE_SENT;
    if (len > 0) {
        memcpy(payload + 2, text.data, len);
    }
    return cw_ws_write_control(conn, CW_WS_CLOSE, cw_span_of(payload, has_code ? 2 + len : 0));
}

int cw_ws_write_stamp(struct cw_conn *conn, struct cw_ws_conn *ws)
{
    struct cw_ws_shared *shared = cw_ws_shared(cw_conn_loop(conn));
    uint8_t payload[sizeof(uint64_t)];
    uint64_t stamp;
    int error;

    if (!shared) {
        return CW_ENOMEM;
    }
    stamp = cw_ws_now_us() + shared->shift;
    for (size_t i = sizeof stamp; i > 0; i--) {
        payload[i - 1] = (uint8_t)stamp;
        stamp >>= 8;
    }
    error = cw_ws_write_control(conn, CW_WS_PING, cw_span_of(payload, sizeof payload));
    if (error >= 0) {
        ws->flags |= CW_WS_STAMPED;
    }
    return error;
}

static int ping_with(struct cw_conn *conn, struct cw_ws_conn *ws, struct cw_span payload)
{
    struct cw_ws_more *more = cw_ws_more(conn, ws);
    uint8_t *copy;
    int error;

    if (!more || more->ping) {
        return more ? CW_EFULL : CW_ENOMEM;
    }
    copy = cw_alloc(payload.len);
    if (!copy) {
        cw_ws_less(conn, ws);
        return CW_ENOMEM;
    }
    memcpy(copy, payload.data, payload.len);
    error = cw_ws_write_control(conn, CW_WS_PING, payload);
    if (error < 0) {
        cw_release(copy);
        cw_ws_less(conn, ws);
        return error;
    }
    more->ping = copy;
    more->ping_len = payload.len;
    more->ping_us = cw_ws_now_us();
    return CW_OK;
}

int cw_websocket_ping(struct cw_conn *conn, struct cw_span payload)
{
    struct cw_ws_conn *ws = cw_conn_state(conn);
    int error;

    if (cw_conn_protocol(conn) != &cw_websocket) {
        return CW_EKIND;
    }
    if (payload.len > CW_WS_CONTROL_MAX) {
        return CW_ETOOBIG;
    }
    /* No bytes at all tell whether it is closing. */
    if ((ws->flags & (CW_WS_DIALLING | CW_WS_CLOSE_SENT)) ||
        cw_conn_write(conn, NULL, 0) == CW_ECLOSED) {
        return CW_ECLOSED;
    }
    error = payload.len > 0 ? ping_with(conn, ws, payload) : cw_ws_write_stamp(conn, ws);
    return error < 0 ? error : CW_OK;
}

/* ---- messages ---- */

static uint8_t opcode_of(enum cw_kind kind)
{
    return kind == CW_TEXT ? CW_WS_TEXT : CW_WS_BINARY;
}

/* What is being delivered has just been checked. */
static bool is_checked(struct cw_loop *loop, struct cw_span text)
{
    const struct cw_ws_shared *shared = text.len >= CW_WS_CHECKED_ONCE ? cw_ws_shared(loop) : NULL;

    return shared && shared->checked && text.data == shared->checked &&
           text.len == shared->checked_len;
}

/* Text of the application may end where its memory does, and the wide steps of the check read past the end: the last bytes are
 * looked at in a place of our own. */
static bool feed(struct cw_ws_utf8 *utf8, struct cw_span text)
{
    enum { PAST_END = 16 };
    uint8_t tail[2 * PAST_END] = {0};
    size_t at = text.len > PAST_END ? text.len - PAST_END : 0;

    if (!cw_ws_utf8_feed(utf8, text.data, at)) {
        return false;
    }
    if (text.len > 0) {
        memcpy(tail, text.data + at, text.len - at);
    }
    return cw_ws_utf8_feed(utf8, tail, text.len - at);
}

static bool is_text(struct cw_loop *loop, struct cw_span text)
{
    struct cw_ws_utf8 utf8 = {0};

    if (text.len < CW_WS_CHECKED_ONCE && cw_ws_is_ascii(text.data, text.len)) {
        return true;
    }
    return is_checked(loop, text) || (feed(&utf8, text) && cw_ws_utf8_is_whole(&utf8));
}

static int deflate_kept(struct cw_conn *conn, struct cw_ws_conn *ws, struct cw_span in,
                        struct cw_span *out)
{
    const struct cw_websocket_options *options = options_of(conn);
    struct cw_loop *loop = cw_conn_loop(conn);
    struct cw_ws_more *more = cw_ws_more(conn, ws);

    if (!more) {
        return CW_ENOMEM;
    }
    if (!more->deflater) {
        more->deflater = cw_ws_deflater_new(loop, own_bits(ws), (unsigned)options->deflate.level);
    }
    if (!more->deflater) {
        cw_ws_less(conn, ws);
        return CW_ENOMEM;
    }
    return cw_ws_deflate_kept(loop, more->deflater, in, out);
}

/* The peer will not see what the context has seen: another one begins anew. */
static void forget_context(struct cw_conn *conn, struct cw_ws_conn *ws)
{
    if (ws->more && ws->more->deflater) {
        cw_ws_deflater_free(cw_conn_loop(conn), ws->more->deflater);
        ws->more->deflater = NULL;
        cw_ws_less(conn, ws);
    }
}

static int send_deflated(struct cw_conn *conn, struct cw_ws_conn *ws, const struct cw_message *msg,
                         uint8_t first)
{
    const struct cw_websocket_options *options = options_of(conn);
    struct cw_span out;
    int error;

    if (ws->flags & CW_WS_KEEP) {
        error = deflate_kept(conn, ws, msg->body, &out);
    } else {
        error = cw_ws_deflate(cw_conn_loop(conn), own_bits(ws), (unsigned)options->deflate.level,
                              msg->body, &out);
    }
    if (error == CW_EAGAIN) {
        return write_frame(conn, first, msg->body, cw_conn_write);
    }
    if (error < 0) {
        return error;
    }
    error = write_frame(conn, first | CW_WS_RSV1, out, cw_conn_write);
    if (error < 0) {
        forget_context(conn, ws);
    }
    return error;
}

static int send_whole(struct cw_conn *conn, struct cw_ws_conn *ws, const struct cw_message *msg)
{
    uint8_t first = (uint8_t)(CW_WS_FIN | opcode_of(msg->kind));

    if (ws->flags & CW_WS_SENDING) {
        return CW_ESTATE;
    }
    if (msg->kind == CW_TEXT && !is_text(cw_conn_loop(conn), msg->body)) {
        return CW_EKIND;
    }
    if ((ws->flags & CW_WS_AGREED) && msg->body.len >= options_of(conn)->deflate.above_bytes) {
        return send_deflated(conn, ws, msg, first);
    }
    return write_frame(conn, first, msg->body, cw_conn_write);
}

/* ---- messages in pieces ---- */

static int begin_pieces(struct cw_conn *conn, struct cw_ws_conn *ws, enum cw_kind kind)
{
    if (ws->flags & CW_WS_SENDING) {
        return CW_ESTATE;
    }
    ws->flags |= CW_WS_SENDING | (kind == CW_TEXT ? (uint32_t)CW_WS_SENDING_TEXT : 0u);
    cw_conn_set_message_open(conn, true);
    return CW_OK;
}

static uint8_t opcode_of_piece(const struct cw_ws_conn *ws)
{
    if (ws->flags & CW_WS_SENT_FIRST) {
        return CW_WS_CONTINUATION;
    }
    return ws->flags & CW_WS_SENDING_TEXT ? CW_WS_TEXT : CW_WS_BINARY;
}

static int send_chunk(struct cw_conn *conn, struct cw_ws_conn *ws, struct cw_span body)
{
    struct cw_ws_utf8 utf8 = ws->more ? ws->more->sent : (struct cw_ws_utf8){0};
    bool text = (ws->flags & CW_WS_SENDING_TEXT) != 0;
    int result;

    if (!(ws->flags & CW_WS_SENDING)) {
        return CW_ESTATE;
    }
    if (body.len == 0) {
        return CW_OK;
    }
    if (text && !feed(&utf8, body)) {
        return CW_EKIND;
    }
    if (text && !cw_ws_more(conn, ws)) {
        return CW_ENOMEM;
    }
    result = write_frame(conn, opcode_of_piece(ws), body, cw_conn_write);
    if (result >= 0) {
        ws->flags |= CW_WS_SENT_FIRST;
    }
    if (text) {
        ws->more->sent = result >= 0 ? utf8 : ws->more->sent;
        cw_ws_less(conn, ws);
    }
    return result;
}

static int end_pieces(struct cw_conn *conn, struct cw_ws_conn *ws)
{
    int result;

    if (!(ws->flags & CW_WS_SENDING)) {
        return CW_ESTATE;
    }
    if (ws->more && !cw_ws_utf8_is_whole(&ws->more->sent)) {
        return CW_EKIND;
    }
    result = write_frame(conn, (uint8_t)(CW_WS_FIN | opcode_of_piece(ws)), cw_span_of(NULL, 0),
                         cw_conn_write);
    if (result >= 0) {
        ws->flags &= ~(uint32_t)(CW_WS_SENDING | CW_WS_SENT_FIRST | CW_WS_SENDING_TEXT);
        cw_conn_set_message_open(conn, false);
    }
    return result;
}

/* What most messages are: short, whole, as they are, from a server. False: the long way. */
static bool send_short(struct cw_conn *conn, const struct cw_ws_conn *ws,
                       const struct cw_message *msg)
{
    const uint32_t others = CW_WS_DIALLING | CW_WS_CLOSE_SENT | CW_WS_SENDING | CW_WS_AGREED;
    size_t len = msg->body.len;
    uint8_t *to;

    if (len == 0 || len > CW_WS_CONTROL_MAX || msg->part != CW_WHOLE || (ws->flags & others) ||
        cw_conn_role(conn) != CW_SERVER ||
        (msg->kind == CW_TEXT && !cw_ws_is_ascii(msg->body.data, len))) {
        return false;
    }
    to = cw_conn_append(conn, 2 + len);
    if (to) {
        to[0] = (uint8_t)(CW_WS_FIN | opcode_of(msg->kind));
        to[1] = (uint8_t)len;
        memcpy(to + 2, msg->body.data, len);
    }
    return to != NULL;
}

int cw_ws_send(struct cw_conn *conn, void *state, const struct cw_message *msg)
{
    struct cw_ws_conn *ws = state;

    if (send_short(conn, ws, msg)) {
        return CW_OK;
    }
    if (ws->flags & (CW_WS_DIALLING | CW_WS_CLOSE_SENT)) {
        return ws->flags & CW_WS_DIALLING ? CW_ESTATE : CW_ECLOSED;
    }
    switch (msg->part) {
    case CW_WHOLE:
        return send_whole(conn, ws, msg);
    case CW_BEGIN:
        return begin_pieces(conn, ws, msg->kind);
    case CW_CHUNK:
        return send_chunk(conn, ws, msg->body);
    case CW_END:
        return end_pieces(conn, ws);
    }
    return CW_EINVAL;
}

/* ---- messages to many ---- */

/* Of a server's frames, which carry no mask: whether they may be compressed, how, and from which size on. */
uint64_t cw_ws_wire_key(struct cw_conn *conn, const void *state)
{
    const struct cw_websocket_options *options = options_of(conn);
    const struct cw_ws_conn *ws = state;

    if (cw_conn_role(conn) == CW_CLIENT || (ws->flags & (CW_WS_DIALLING | CW_WS_KEEP))) {
        return 0;
    }
    if (!(ws->flags & CW_WS_AGREED)) {
        return 1;
    }
    return 2 | (uint64_t)own_bits(ws) << 4 | options->deflate.level << 8 |
           (options->deflate.above_bytes << 16);
}

int cw_ws_encode(const struct cw_wire_format *format, const struct cw_message *msg,
                 struct cw_payload **payload)
{
    bool agreed = format->key != 1;
    uint64_t above = format->key >> 16;
    uint8_t first = (uint8_t)(CW_WS_FIN | opcode_of(msg->kind));
    uint8_t head[CW_WS_HEAD_MAX];
    struct cw_span body = msg->body;

    if (msg->kind == CW_TEXT && !is_text(format->loop, body)) {
        return CW_EKIND;
    }
    if (agreed && body.len >= above) {
        int error = cw_ws_deflate(format->loop, format->key >> 4 & 15,
                                  (unsigned)(format->key >> 8 & 15), msg->body, &body);

        if (error < 0 && error != CW_EAGAIN) {
            return error;
        }
        first |= error == CW_OK ? CW_WS_RSV1 : 0;
        body = error == CW_OK ? body : msg->body;
    }

    const struct cw_span parts[] = {{head, cw_ws_write_head(head, first, body.len, false, 0)}, body};

    *payload = cw_payload_new(parts, 2);
    return *payload ? CW_OK : CW_ENOMEM;
}

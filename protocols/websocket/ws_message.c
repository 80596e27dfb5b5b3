/* Messages out of frames: gathered, inflated, checked, and delivered whole or in pieces. */
#include "ws_impl.h"

#include <causeway/error.h>
#include <causeway/log.h>

enum {
    ROOM_AHEAD = 4, /* room is made for so many times what has come */
};

static const struct cw_websocket_options *options_of(const struct cw_conn *conn)
{
    return cw_conn_options(conn);
}

static unsigned peer_bits(const struct cw_ws_conn *ws)
{
    return ws->flags >> CW_WS_PEER_BITS_SHIFT & 15;
}

static int out_of_memory(struct cw_conn *conn, struct cw_ws_conn *ws)
{
    return cw_ws_fail(conn, ws, CW_WEBSOCKET_ERROR, "out of memory");
}

static int not_utf8(struct cw_conn *conn, struct cw_ws_conn *ws)
{
    return cw_ws_fail(conn, ws, CW_WEBSOCKET_INVALID, "text that is not UTF-8");
}

static int fail_inflating(struct cw_conn *conn, struct cw_ws_conn *ws, ptrdiff_t error)
{
    if (error == CW_ETOOBIG) {
        return cw_ws_fail(conn, ws, CW_WEBSOCKET_TOO_BIG,
                          "a message above message_max_bytes, inflated");
    }
    if (error == CW_ENOMEM) {
        return out_of_memory(conn, ws);
    }
    return cw_ws_fail(conn, ws, CW_WEBSOCKET_INVALID, "compressed bytes that are none");
}

static int fail_reserve(struct cw_conn *conn, struct cw_ws_conn *ws, int error)
{
    if (error == CW_EFULL) {
        return cw_ws_fail(conn, ws, CW_WEBSOCKET_TRY_LATER,
                          "too many unfinished messages (messages_max_bytes)");
    }
    return out_of_memory(conn, ws);
}

/* ---- delivering ---- */

/* Who sends on what was just checked need not have it checked again. */
static int deliver_text(struct cw_conn *conn, const struct cw_message *msg)
{
    struct cw_ws_shared *shared = cw_ws_shared(cw_conn_loop(conn));
    int result;

    if (!shared) {
        return cw_conn_deliver(conn, msg);
    }
    shared->checked = msg->body.data;
    shared->checked_len = msg->body.len;
    result = cw_conn_deliver(conn, msg);
    shared->checked = NULL;
    return result;
}

static int deliver(struct cw_conn *conn, const struct cw_message *msg)
{
    if (msg->kind == CW_TEXT && msg->body.len >= CW_WS_CHECKED_ONCE) {
        return deliver_text(conn, msg);
    }
    return cw_conn_deliver(conn, msg);
}

static int deliver_piece(struct cw_conn *conn, const struct cw_ws_more *more, enum cw_part part,
                         struct cw_span body, uint64_t total)
{
    const struct cw_message msg = {.body = body,
                                   .kind = more->opcode == CW_WS_TEXT ? CW_TEXT : CW_BINARY,
                                   .part = part,
                                   .total = total};

    return cw_conn_deliver(conn, &msg);
}

/* ---- whole ones ---- */

/* The context that the peer keeps, or one for this message. NULL: no memory. */
static struct cw_ws_inflater *own_inflater(struct cw_conn *conn, struct cw_ws_conn *ws)
{
    struct cw_ws_more *more = cw_ws_more(conn, ws);

    if (more && !more->inflater) {
        more->inflater = cw_ws_inflater_new(cw_conn_loop(conn), peer_bits(ws));
    }
    return more ? more->inflater : NULL;
}

static int inflate_whole(struct cw_conn *conn, struct cw_ws_conn *ws, struct cw_message *msg)
{
    struct cw_ws_inflater *inflater = NULL;
    int error;

    if (ws->flags & CW_WS_PEER_KEEPS) {
        inflater = own_inflater(conn, ws);
        if (!inflater) {
            return out_of_memory(conn, ws);
        }
    }
    error = cw_ws_inflate(cw_conn_loop(conn), inflater, msg->body,
                          options_of(conn)->message_max_bytes, &msg->body);
    return error < 0 ? fail_inflating(conn, ws, error) : CW_OK;
}

int cw_ws_take_whole(struct cw_conn *conn, struct cw_ws_conn *ws, struct cw_message *msg,
                     bool compressed, bool is_checked)
{
    if (compressed) {
        int error = inflate_whole(conn, ws, msg);

        if (error < 0) {
            return error;
        }
    }
    if (msg->kind == CW_TEXT && (compressed || !is_checked)) {
        struct cw_ws_utf8 utf8 = {0};

        if (!cw_ws_utf8_feed(&utf8, msg->body.data, msg->body.len) || !cw_ws_utf8_is_whole(&utf8)) {
            return not_utf8(conn, ws);
        }
    }
    return deliver(conn, msg);
}

/* ---- gathered ones ---- */

/* Memory follows what has come, not what was announced. */
static int reserve(struct cw_conn *conn, struct cw_ws_conn *ws, size_t n)
{
    struct cw_ws_more *more = ws->more;
    bool nearly = more->left <= (uint64_t)n * ROOM_AHEAD;
    int error = cw_ws_reserve(conn, more, more->len + (nearly ? (size_t)more->left : n));

    return error < 0 ? fail_reserve(conn, ws, error) : CW_OK;
}

static int append(struct cw_conn *conn, struct cw_ws_conn *ws, struct cw_span piece)
{
    struct cw_ws_more *more = ws->more;
    int error = cw_ws_reserve(conn, more, more->len + piece.len);

    if (error < 0) {
        return fail_reserve(conn, ws, error);
    }
    if (piece.len > 0) {
        memcpy(more->bytes + more->len, piece.data, piece.len);
        more->len += piece.len;
    }
    return CW_OK;
}

/* The message is over: nothing of it is left but, until the hook is back, its bytes. */
static void forget_message(struct cw_conn *conn, struct cw_ws_conn *ws)
{
    struct cw_ws_more *more = ws->more;

    more->opcode = 0;
    cw_ws_forget_bytes(conn, more);
    cw_ws_drop_context(conn, more);
    if (more->inflater && !(ws->flags & CW_WS_PEER_KEEPS)) {
        cw_ws_inflater_free(cw_conn_loop(conn), more->inflater);
        more->inflater = NULL;
    }
    cw_ws_less(conn, ws);
}

static int deliver_gathered(struct cw_conn *conn, struct cw_ws_conn *ws, bool compressed)
{
    struct cw_ws_more *more = ws->more;
    struct cw_message msg = {.body = {more->cap != 0 ? more->bytes : (const uint8_t *)"", more->len},
                             .kind = more->opcode == CW_WS_TEXT ? CW_TEXT : CW_BINARY};
    int result;

    if (more->opcode == CW_WS_TEXT && !compressed && !cw_ws_utf8_is_whole(&more->utf8)) {
        return not_utf8(conn, ws);
    }
    result = cw_ws_take_whole(conn, ws, &msg, compressed, true);
    forget_message(conn, ws);
    return result < 0 ? result : CW_OK;
}

static ptrdiff_t gather(struct cw_conn *conn, struct cw_ws_conn *ws, const uint8_t *data, size_t n)
{
    struct cw_ws_more *more = ws->more;
    int error = reserve(conn, ws, n);
    uint8_t *to;
    bool high;

    if (error < 0) {
        return error;
    }
    to = more->bytes + more->len;
    high = cw_ws_mask_to(to, data, n, more->mask, more->at);
    if (more->opcode == CW_WS_TEXT && !more->compressed && (high || more->utf8.left > 0) &&
        !cw_ws_utf8_feed(&more->utf8, to, n)) {
        return not_utf8(conn, ws);
    }
    more->len += n;
    more->at += n;
    more->left -= n;
    if (more->left == 0 && more->fin) {
        error = deliver_gathered(conn, ws, more->compressed);
    }
    return error < 0 ? error : (ptrdiff_t)n;
}

/* ---- streams ---- */

static int end_stream(struct cw_conn *conn, struct cw_ws_conn *ws)
{
    struct cw_ws_more *more = ws->more;

    if (more->opcode == CW_WS_TEXT && !cw_ws_utf8_is_whole(&more->utf8)) {
        return not_utf8(conn, ws);
    }
    (void)deliver_piece(conn, more, CW_END, cw_span_of(NULL, 0), 0);
    forget_message(conn, ws);
    return CW_OK;
}

static int deliver_owed(struct cw_conn *conn, struct cw_ws_more *more)
{
    int result = CW_GO;

    more->owes_gathered = false;
    if (more->len > 0) {
        result = deliver_piece(conn, more, CW_CHUNK, cw_span_of(more->bytes, more->len), 0);
    }
    cw_ws_forget_bytes(conn, more);
    return result;
}

/* CW_GO, or CW_STOP: what was gathered is still owed, or the hook wants no more. */
static int begin_stream(struct cw_conn *conn, struct cw_ws_more *more, uint64_t total)
{
    more->streams = true;
    more->owes_gathered = true;
    more->total = more->total > more->len ? more->total : more->len;
    if (deliver_piece(conn, more, CW_BEGIN, cw_span_of(NULL, 0), total) == CW_STOP) {
        return CW_STOP;
    }
    return deliver_owed(conn, more);
}

/* The last piece of a message has been told while the hook wanted no more: its last byte stays, to come again for CW_END. */
static ptrdiff_t keep_last_byte(struct cw_ws_more *more, size_t n)
{
    more->owes = CW_WS_OWES_END;
    more->left = 1;
    return (ptrdiff_t)n - 1;
}

static ptrdiff_t stream_plain(struct cw_conn *conn, struct cw_ws_conn *ws, uint8_t *data, size_t n)
{
    struct cw_ws_more *more = ws->more;
    bool high = cw_ws_mask(data, n, more->mask, more->at);
    int result;

    if (more->opcode == CW_WS_TEXT && (high || more->utf8.left > 0) &&
        !cw_ws_utf8_feed(&more->utf8, data, n)) {
        return not_utf8(conn, ws);
    }
    more->at += n;
    more->left -= n;
    more->total += n;
    result = deliver_piece(conn, more, CW_CHUNK, cw_span_of(data, n), 0);
    if (more->left > 0 || !more->fin) {
        return (ptrdiff_t)n;
    }
    if (result == CW_STOP) {
        return keep_last_byte(more, n);
    }
    result = end_stream(conn, ws);
    return result < 0 ? result : (ptrdiff_t)n;
}

/* What has come out of the inflater. CW_GO, CW_STOP or an enum cw_error. */
static int take_inflated(struct cw_conn *conn, struct cw_ws_conn *ws, struct cw_span piece)
{
    const struct cw_websocket_options *options = options_of(conn);
    struct cw_ws_more *more = ws->more;
    int error;

    if (piece.len > options->message_max_bytes - more->total) {
        return fail_inflating(conn, ws, CW_ETOOBIG);
    }
    more->total += piece.len;
    if (more->opcode == CW_WS_TEXT && !cw_ws_utf8_feed(&more->utf8, piece.data, piece.len)) {
        return not_utf8(conn, ws);
    }
    if (more->streams) {
        return deliver_piece(conn, more, CW_CHUNK, piece, 0);
    }
    error = append(conn, ws, piece);
    if (error < 0 || more->total <= options->stream_above_bytes) {
        return error;
    }
    return begin_stream(conn, more, CW_NO_LIMIT);
}

/* What the peer keeps anyway is no message's. */
static int hold_context(struct cw_conn *conn, struct cw_ws_conn *ws)
{
    int error = ws->flags & CW_WS_PEER_KEEPS ? CW_OK : cw_ws_hold_context(conn, ws->more);

    return error < 0 ? fail_reserve(conn, ws, error) : CW_OK;
}

/* CW_GO: the inflater has nothing more to give; CW_STOP: it may have; or an enum cw_error. */
static int drain_inflater(struct cw_conn *conn, struct cw_ws_conn *ws, struct cw_span *in, bool last)
{
    struct cw_ws_shared *shared = cw_ws_shared(cw_conn_loop(conn));
    int result = hold_context(conn, ws);
    struct cw_ws_inflater *inflater = result < 0 ? NULL : own_inflater(conn, ws);

    if (result < 0) {
        return result;
    }
    if (shared && !shared->inflated) {
        shared->inflated = cw_alloc(CW_WS_PIECE + 16);
    }
    if (!shared || !shared->inflated || !inflater) {
        return out_of_memory(conn, ws);
    }
    while (result == CW_GO) {
        ptrdiff_t n = cw_ws_inflate_some(inflater, in, last, shared->inflated, CW_WS_PIECE);

        if (n < 0) {
            return fail_inflating(conn, ws, n);
        }
        if (n == 0) {
            return CW_GO;
        }
        result = take_inflated(conn, ws, cw_span_of(shared->inflated, (size_t)n));
    }
    return result;
}

/* All of a message that is inflated piece by piece has come out. */
static int end_inflated(struct cw_conn *conn, struct cw_ws_conn *ws)
{
    return ws->more->streams ? end_stream(conn, ws) : deliver_gathered(conn, ws, false);
}

static ptrdiff_t stream_inflated(struct cw_conn *conn, struct cw_ws_conn *ws, uint8_t *data,
                                 size_t n)
{
    struct cw_ws_more *more = ws->more;
    size_t eaten = more->owes == CW_WS_OWES_REST ? 1 : 0;
    struct cw_span in = {data + eaten, n - eaten};
    size_t used = n;
    int result;

    cw_ws_mask(data + eaten, n - eaten, more->mask, more->at + eaten);
    result = drain_inflater(conn, ws, &in, more->fin && n == more->left);
    if (result < 0) {
        return result;
    }
    more->owes = CW_WS_OWES_NOTHING;
    if (result == CW_STOP && in.len > 0) {
        used = n - in.len;
        cw_ws_mask(data + used, in.len, more->mask, more->at + used); /* as it came */
    } else if (result == CW_STOP) {
        more->owes = CW_WS_OWES_REST;
        used = n - 1;
    }
    more->at += used;
    more->left -= used;
    if (more->left == 0 && more->fin) {
        result = end_inflated(conn, ws);
    }
    return result < 0 ? result : (ptrdiff_t)used;
}

/* Whether what comes is told in pieces from here on. */
static bool begins_stream(const struct cw_conn *conn, const struct cw_ws_more *more)
{
    return !more->compressed && !more->streams &&
           more->len + more->left > options_of(conn)->stream_above_bytes;
}

static ptrdiff_t take_streaming(struct cw_conn *conn, struct cw_ws_conn *ws, uint8_t *data, size_t n)
{
    struct cw_ws_more *more = ws->more;

    if (more->owes_gathered && deliver_owed(conn, more) == CW_STOP) {
        return 0;
    }
    if (more->owes == CW_WS_OWES_END) {
        int error;

        more->left = 0;
        error = end_stream(conn, ws);
        return error < 0 ? error : 1;
    }
    if (more->compressed) {
        return stream_inflated(conn, ws, data, n);
    }
    if (begins_stream(conn, more) &&
        begin_stream(conn, more, more->fin ? more->len + more->left : CW_NO_LIMIT) == CW_STOP) {
        return 0;
    }
    return more->streams ? stream_plain(conn, ws, data, n) : gather(conn, ws, data, n);
}

/* ---- payload ---- */

/* Nobody listens any more: we have said goodbye. */
static ptrdiff_t drop_payload(struct cw_conn *conn, struct cw_ws_conn *ws, size_t n)
{
    struct cw_ws_more *more = ws->more;

    more->left -= n;
    if (more->left == 0 && more->fin) {
        forget_message(conn, ws);
    }
    return (ptrdiff_t)n;
}

ptrdiff_t cw_ws_take_payload(struct cw_conn *conn, struct cw_ws_conn *ws, uint8_t *data, size_t len)
{
    size_t n = ws->more->left < len ? (size_t)ws->more->left : len;

    if (ws->flags & CW_WS_CLOSE_SENT) {
        return drop_payload(conn, ws, n);
    }
    if (options_of(conn)->stream_above_bytes != 0) {
        return take_streaming(conn, ws, data, n);
    }
    return gather(conn, ws, data, n);
}

int cw_ws_take_empty(struct cw_conn *conn, struct cw_ws_conn *ws)
{
    struct cw_ws_more *more = ws->more;
    bool inflates = more->compressed && options_of(conn)->stream_above_bytes != 0;
    struct cw_span nothing = {NULL, 0};
    int result = CW_GO;

    if (!more->fin) {
        return 1;
    }
    if (ws->flags & CW_WS_CLOSE_SENT) {
        forget_message(conn, ws);
        return 1;
    }
    if (more->owes_gathered && deliver_owed(conn, more) == CW_STOP) {
        return 0;
    }
    if (inflates) {
        result = drain_inflater(conn, ws, &nothing, true);
        if (result == CW_STOP) {
            return 0;
        }
        result = result < 0 ? result : end_inflated(conn, ws);
    } else if (more->streams) {
        result = end_stream(conn, ws);
    } else {
        result = deliver_gathered(conn, ws, more->compressed);
    }
    return result < 0 ? result : 1;
}

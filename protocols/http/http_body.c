/* The body of a request: collected into one piece, handed on piece by piece, or read for nothing. */
#include "http_impl.h"

#include <causeway/log.h>

bool cw_http_has_body(const struct cw_http_exchange *x)
{
    return x->head.chunked || x->head.content_length > 0;
}

bool cw_http_wants_input(const struct cw_http_exchange *x)
{
    switch ((enum cw_http_body_state)x->body.state) {
    case CW_BODY_COLLECT:
    case CW_BODY_DISCARD:
        return !x->body.whole;
    case CW_BODY_STREAM:
        return !x->body.whole && !x->body.paused;
    default:
        return false;
    }
}

static void say_continue(struct cw_http_exchange *x)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const struct cw_span part = cw_span_of(text, sizeof text - 1);

    if (x->head.expects_continue && !x->body.continued && x->answer.state == CW_REPLY_NONE) {
        cw_conn_write_control(x->conn, &part, 1);
    }
    x->body.continued = true;
}

void cw_http_begin_body(struct cw_http_exchange *x, enum cw_http_body_state state)
{
    x->body.state = (uint8_t)state;
    x->body.left = x->head.content_length;
    x->body.since_ms = cw_loop_now_ms(cw_conn_loop(x->conn));
    if (state != CW_BODY_DISCARD) {
        say_continue(x);
    }
    cw_http_wait_for(x->conn, x->http, CW_WAIT_BODY, x->body.body_ms);
}

int cw_http_read_body(struct cw_http_exchange *http, cw_http_body_fn fn, void *user)
{
    bool streams = http->match.route && http->match.route->options.stream;

    if (!streams || http->stage != CW_STAGE_HANDLED || http->body.fn || http->over) {
        return CW_ESTATE;
    }
    http->body.fn = fn;
    http->body.user = user;
    if (http->body.state == CW_BODY_NONE) {
        http->body.state = CW_BODY_STREAM;
    } else if (http->body.state == CW_BODY_UNREAD) {
        cw_http_begin_body(http, CW_BODY_STREAM);
    }
    cw_http_settle_soon(http);
    return CW_OK;
}

void cw_http_pause_body(struct cw_http_exchange *http)
{
    http->body.paused = true;
    cw_http_settle_soon(http);
}

void cw_http_resume_body(struct cw_http_exchange *http)
{
    http->body.paused = false;
    http->body.since_ms = cw_loop_now_ms(cw_conn_loop(http->conn));
    cw_http_settle_soon(http);
}

/* ---- collecting ---- */

static size_t next_cap(const struct cw_http_exchange *x, size_t need)
{
    size_t cap = x->body.cap > 0 ? x->body.cap : CW_HTTP_ROOM;

    while (cap < need) {
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    }
    /* What was told is not gone beyond; small ones are all alike, to be used again. */
    if (!x->head.chunked && need > CW_HTTP_ROOM && cap > x->head.content_length &&
        need <= x->head.content_length) {
        cap = (size_t)x->head.content_length;
    }
    return cap;
}

static int grow(struct cw_http_exchange *x, size_t need)
{
    struct cw_http_request_body *body = &x->body;
    uint64_t *held = &x->shared->bodies;
    size_t cap = next_cap(x, need);
    uint8_t *grown;

    if (cap - body->cap > x->options->bodies_max_bytes ||
        *held > x->options->bodies_max_bytes - (cap - body->cap)) {
        return CW_EFULL;
    }
    grown = body->bytes ? cw_resize(body->bytes, cap) : cw_http_body_room(x, &cap);
    if (!grown) {
        return CW_ENOMEM;
    }
    *held += cap - body->cap;
    body->bytes = grown;
    body->cap = cap;
    return CW_OK;
}

static void give_up(struct cw_http_exchange *x, int status, const char *why, int code);

static int collect(struct cw_http_exchange *x, struct cw_span piece)
{
    struct cw_http_request_body *body = &x->body;
    int error = piece.len > body->cap - body->len ? grow(x, body->len + piece.len) : CW_OK;

    if (error < 0) {
        give_up(x, 503, "too many bodies are held now", error);
        return CW_OK;
    }
    memcpy(body->bytes + body->len, piece.data, piece.len);
    body->len += piece.len;
    return CW_OK;
}

/* ---- pieces ---- */

static void too_much_for_nothing(struct cw_http_exchange *x)
{
    x->http->last = true;
    x->body.whole = true;
    x->body.state = CW_BODY_NONE;
}

static int take_piece(struct cw_http_exchange *x, struct cw_span piece)
{
    struct cw_http_request_body *body = &x->body;

    body->seen += piece.len;
    if (body->state == CW_BODY_COLLECT) {
        return collect(x, piece);
    }
    if (body->state == CW_BODY_STREAM) {
        body->fn(x, piece, false, body->user);
    } else {
        body->discarded += piece.len;
        if (body->discarded > x->options->discard_max_bytes) {
            too_much_for_nothing(x);
        }
    }
    return CW_OK;
}

static void note_arrival(struct cw_http_exchange *x)
{
    uint64_t now = cw_loop_now_ms(cw_conn_loop(x->conn));

    x->body.waited_ms += now - x->body.since_ms;
    x->body.since_ms = now;
}

/* Below the least rate, on average behind the first body_ms. */
static bool is_too_slow(const struct cw_http_exchange *x)
{
    uint64_t rate = x->options->body_rate_min;
    uint64_t waited = x->body.waited_ms;

    if (rate >= CW_PER_CORE || x->body.body_ms >= CW_PER_CORE || waited <= x->body.body_ms) {
        return false;
    }
    return x->body.seen / rate < (waited - x->body.body_ms) / 1000;
}

/* The request cannot go on: an answer if none has left, and the end of the connection. */
static void give_up(struct cw_http_exchange *x, int status, const char *why, int code)
{
    x->end_code = code;
    x->http->last = true;
    x->body.whole = true;
    x->body.state = CW_BODY_NONE;
    x->answer.close = true;
    if (x->answer.state == CW_REPLY_NONE) {
        cw_log(CW_LOG_INFO, cw_conn_id(x->conn), "http: %d: %s", status,
               why ? why : cw_http_status_text(status));
        cw_http_reply_error(x, status, why);
    } else if (x->answer.state != CW_REPLY_DONE) {
        cw_conn_abort(x->conn);
    }
}

/* The last byte is there. */
static void body_is_over(struct cw_http_exchange *x)
{
    enum cw_http_body_state state = x->body.state;

    x->body.whole = true;
    cw_http_wait_for(x->conn, x->http, CW_WAIT_NOTHING, 0);
    if (state == CW_BODY_STREAM) {
        return; /* told when nobody is inside of it */
    }
    x->body.state = CW_BODY_NONE;
    if (state == CW_BODY_COLLECT) {
        cw_http_body_is_whole(x);
    }
}

/* ---- in chunks ---- */

static ptrdiff_t take_trailers(struct cw_http_exchange *x, const uint8_t *data, size_t len)
{
    const struct cw_http_head_limits limits = {.head_max = (size_t)x->options->head_max_bytes,
                                               .target_max = (size_t)x->options->head_max_bytes,
                                               .fields_max = (size_t)x->options->fields_max};
    const char *why = NULL;
    ptrdiff_t n = cw_http_scan_trailers(data, len, &limits, &x->chunked.scan, &why);
    uint8_t *copy;
    int status;

    if (n == 0) {
        return 0;
    }
    if (n < 0) {
        give_up(x, (int)-n, why, CW_EPROTO);
        return (ptrdiff_t)len;
    }
    copy = cw_http_take(x, (size_t)n);
    x->chunked.trailers.fields = cw_http_take(x, x->head.fields_cap * sizeof(struct cw_http_line));
    if (!copy || !x->chunked.trailers.fields) {
        return CW_ENOMEM;
    }
    memcpy(copy, data, (size_t)n);
    x->chunked.trailer_data = copy;
    x->chunked.trailers.fields_cap = x->head.fields_cap;
    status = cw_http_parse_trailers(copy, (size_t)n, &x->chunked.trailers, &why);
    if (status != 0) {
        give_up(x, status, why, CW_EPROTO);
        return n;
    }
    x->chunked.chunks.step = CW_CHUNK_DONE;
    body_is_over(x);
    return n;
}

static ptrdiff_t take_chunks(struct cw_http_exchange *x, const uint8_t *data, size_t len)
{
    uint64_t max = x->body.state == CW_BODY_DISCARD ? CW_NO_LIMIT : x->body.max;
    struct cw_span piece = cw_http_nothing();
    const char *why = NULL;
    ptrdiff_t n;
    int error;

    if (x->chunked.chunks.step == CW_CHUNK_TRAILERS) {
        return take_trailers(x, data, len);
    }
    n = cw_http_chunks_next(&x->chunked.chunks, max, cw_span_of(data, len), &piece, &why);
    if (n < 0) {
        give_up(x, (int)-n, n == -413 ? NULL : why, n == -413 ? CW_ETOOBIG : CW_EPROTO);
        return (ptrdiff_t)len;
    }
    error = piece.len > 0 ? take_piece(x, piece) : CW_OK;
    if (error < 0) {
        return error;
    }
    if (n == 0 && x->chunked.chunks.step == CW_CHUNK_TRAILERS) {
        return take_trailers(x, data, len);
    }
    return n;
}

static ptrdiff_t take_length(struct cw_http_exchange *x, const uint8_t *data, size_t len)
{
    size_t n = len < x->body.left ? len : (size_t)x->body.left;
    int error;

    x->body.left -= n;
    error = take_piece(x, cw_span_of(data, n));
    if (error < 0) {
        return error;
    }
    if (x->body.left == 0 && !x->body.whole) {
        body_is_over(x);
    }
    return (ptrdiff_t)n;
}

ptrdiff_t cw_http_take_body(struct cw_http_exchange *x, const uint8_t *data, size_t len)
{
    ptrdiff_t n;

    note_arrival(x);
    if (is_too_slow(x)) {
        give_up(x, 408, NULL, CW_EDEADLINE);
        return (ptrdiff_t)len;
    }
    n = x->head.chunked ? take_chunks(x, data, len) : take_length(x, data, len);
    if (!x->body.whole) {
        cw_http_wait_for(x->conn, x->http, CW_WAIT_BODY, x->body.body_ms);
    }
    return n;
}

int cw_http_body_late(struct cw_http_exchange *x)
{
    /* It is us who do not read: the peer could not send. */
    if (x->http->held || x->body.paused || cw_conn_proceed(x->conn) == CW_STOP) {
        x->body.since_ms = cw_loop_now_ms(cw_conn_loop(x->conn));
        cw_http_wait_for(x->conn, x->http, CW_WAIT_BODY, x->body.body_ms);
        return CW_OK;
    }
    give_up(x, 408, NULL, CW_EDEADLINE);
    cw_http_settle_soon(x);
    return CW_OK;
}

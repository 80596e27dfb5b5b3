/* From a head to the handler: target, host, route, middleware, limits. */
#include "http_impl.h"

#include <causeway/log.h>

/* ---- before the middleware ---- */

/* They end with a zero byte. */
static bool copy_params(struct cw_http_exchange *x)
{
    for (size_t i = 0; i < x->match.param_count; i++) {
        struct cw_span value = x->match.params[i].value;
        uint8_t *copy = cw_http_take(x, value.len + 1);

        if (!copy) {
            return false;
        }
        if (value.len > 0) {
            memcpy(copy, value.data, value.len);
        }
        copy[value.len] = '\0';
        x->match.params[i].value = cw_span_of(copy, value.len);
    }
    return true;
}

static void use_options(struct cw_http_exchange *x)
{
    const struct cw_http_route_options *options = &x->match.route->options;

    if (options->body_max_bytes != 0) {
        x->body.max = options->body_max_bytes;
    }
    if (options->response_ms != 0) {
        x->response_ms = options->response_ms;
    }
}

static bool find_route(struct cw_http_exchange *x)
{
    static const struct cw_http_chain no_chain = {NULL, 0, 0};
    const struct cw_http_site *site = x->shared->site;

    if (x->matched) {
        if (x->match.route) {
            use_options(x);
        }
        return true;
    }
    if (!site) {
        x->match.route = NULL;
        x->match.status = 404;
        x->match.chain = &no_chain;
        x->match.param_count = 0;
        return true;
    }
    const struct cw_http_ask ask = {
        .site = x->options->site,
        .known = (enum cw_http_method_known)x->head.known_method,
        .method = cw_http_method(x),
        .host = x->host,
        .path = x->target.path,
    };
    cw_http_site_match(site, &ask, &x->match);
    if (x->match.route) {
        use_options(x);
    }
    return x->match.param_count == 0 || copy_params(x);
}

/* ---- the middleware, in order ---- */

static void answer_without_route(struct cw_http_exchange *x)
{
    int status = x->match.status;

    if (x->match.allow && (status == 405 || status == 204)) {
        cw_http_set_field(x, "Allow", x->match.allow);
    }
    if (status == 204) {
        cw_http_reply_empty(x, status);
    } else {
        cw_http_reply_error(x, status, NULL);
    }
}

static void call(struct cw_http_exchange *x, cw_http_fn fn, void *user, const char *name)
{
    x->stage = CW_STAGE_HANDLED;
    fn(x, user);
    if (x->answer.state == CW_REPLY_NONE && !x->id_taken && !x->body.fn) {
        cw_log(
            CW_LOG_ERROR, cw_conn_id(x->conn),
            "http: the handler of %s has returned without an answer, and has not taken the id to give it later",
            name);
        cw_http_reply_error(x, 500, NULL);
    }
}

static void call_handler(struct cw_http_exchange *x)
{
    call(x, x->match.route->fn, x->match.route->user, x->match.route->name);
}

static bool is_too_large(const struct cw_http_exchange *x)
{
    return !x->head.chunked && x->head.content_length > x->body.max;
}

static void go_to_handler(struct cw_http_exchange *x)
{
    const struct cw_http_fallback *fallback = x->http->tail->fallback;

    if (!x->match.route && x->match.status == 404 && fallback) {
        call(x, fallback->fn, fallback->user, "no route");
        return;
    }
    if (!x->match.route) {
        x->stage = CW_STAGE_HANDLED;
        answer_without_route(x);
        return;
    }
    if (is_too_large(x)) {
        x->stage = CW_STAGE_HANDLED;
        x->answer.close = true;
        cw_http_reply_error(x, 413, NULL);
        return;
    }
    if (x->match.route->options.stream || x->body.collected || !cw_http_has_body(x)) {
        call_handler(x);
        return;
    }
    x->stage = CW_STAGE_HANDLER_BODY;
    cw_http_begin_body(x, CW_BODY_COLLECT);
}

static int ask(struct cw_http_exchange *x)
{
    struct cw_http_middleware *middleware = x->match.chain->links[x->link].middleware;

    x->next_asked = false;
    x->entered = x->link + 1;
    return middleware->on_request ? middleware->on_request(middleware, x, cw_http_slot(x, x->link))
                                  : CW_HTTP_NEXT;
}

static void run_chain(struct cw_http_exchange *x)
{
    x->stage = CW_STAGE_CHAIN;
    while (x->link < x->match.chain->count) {
        int verdict = ask(x);

        if (x->answer.state != CW_REPLY_NONE) {
            x->stage = CW_STAGE_HANDLED;
            return;
        }
        if (verdict == CW_HTTP_LATER && !x->next_asked) {
            if (x->stage == CW_STAGE_CHAIN) {
                x->stage = CW_STAGE_LATER;
            }
            return;
        }
        verdict = verdict == CW_HTTP_LATER ? (int)CW_HTTP_NEXT : verdict;
        if (verdict != CW_HTTP_NEXT) {
            cw_log(CW_LOG_ERROR, cw_conn_id(x->conn), "http: %s said it had answered, and has not",
                   x->match.chain->links[x->link].middleware->name);
            cw_http_reply_error(x, 500, NULL);
            return;
        }
        x->link++;
    }
    go_to_handler(x);
}

void cw_http_begin_chain(struct cw_http_exchange *x)
{
    if (!find_route(x)) {
        cw_conn_abort(x->conn);
        return;
    }
    if (!x->matched) {
        cw_http_memo_remember(x);
    }
    if (x->match.chain->slots_size > 0) {
        x->slots = cw_http_take(x, x->match.chain->slots_size);
        if (!x->slots) {
            cw_conn_abort(x->conn);
            return;
        }
        memset(x->slots, 0, x->match.chain->slots_size);
    }
    if (x->match.chain->count > 0) {
        cw_http_exchange_time(x);
    }
    if (x->head.chunked) {
        x->chunked = (struct cw_http_chunked){0};
    }
    x->body.state = cw_http_has_body(x) ? CW_BODY_UNREAD : CW_BODY_NONE;
    x->body.whole = !cw_http_has_body(x);
    run_chain(x);
}

void cw_http_body_is_whole(struct cw_http_exchange *x)
{
    x->body.collected = true;
    if (x->stage == CW_STAGE_CHAIN_BODY) {
        run_chain(x);
    } else if (x->stage == CW_STAGE_HANDLER_BODY) {
        call_handler(x);
    }
}

/* ---- what middleware may ask for ---- */

int cw_http_next(struct cw_http_exchange *http, const struct cw_http_middleware *self)
{
    bool waits = http->stage == CW_STAGE_CHAIN || http->stage == CW_STAGE_LATER;

    if (!waits || http->over || http->answer.state != CW_REPLY_NONE ||
        http->match.chain->links[http->link].middleware != self) {
        return CW_ESTATE;
    }
    http->next_asked = true;
    if (http->stage == CW_STAGE_LATER) {
        cw_conn_soon(http->conn);
    }
    return CW_OK;
}

void cw_http_go_on(struct cw_http_exchange *x)
{
    if (x->stage == CW_STAGE_LATER && x->next_asked && x->answer.state == CW_REPLY_NONE) {
        x->link++;
        run_chain(x);
    }
}

int cw_http_need_body(struct cw_http_exchange *http)
{
    bool streams = http->match.route && http->match.route->options.stream;

    if (http->stage != CW_STAGE_CHAIN || streams || http->body.collected ||
        !cw_http_has_body(http)) {
        return CW_HTTP_NEXT;
    }
    if (is_too_large(http)) {
        http->answer.close = true;
        cw_http_reply_error(http, 413, NULL);
        return CW_HTTP_ANSWERED;
    }
    http->stage = CW_STAGE_CHAIN_BODY;
    cw_http_begin_body(http, CW_BODY_COLLECT);
    return CW_HTTP_LATER;
}

static bool is_being_read(const struct cw_http_exchange *x)
{
    return x->body.state != CW_BODY_UNREAD && x->body.state != CW_BODY_NONE;
}

int cw_http_set_body_max(struct cw_http_exchange *http, uint64_t bytes)
{
    if (is_being_read(http) || http->body.collected) {
        return CW_ESTATE;
    }
    http->body.max = bytes;
    return CW_OK;
}

int cw_http_set_times(struct cw_http_exchange *http, uint64_t body_ms, uint64_t response_ms)
{
    if (is_being_read(http)) {
        return CW_ESTATE;
    }
    http->body.body_ms = body_ms != 0 ? body_ms : http->body.body_ms;
    http->response_ms = response_ms != 0 ? response_ms : http->response_ms;
    return CW_OK;
}

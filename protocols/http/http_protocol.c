/* The protocol's table: bytes in, deadlines, ends. What a request means is in the other files. */
#include "http_impl.h"
#include "http_settings.h"

#include <causeway/log.h>

/* ---- the one deadline ---- */

void cw_http_wait_for(struct cw_conn *conn, struct cw_http_conn *http, enum cw_http_wait what,
                      uint64_t ms)
{
    struct cw_http_shared *shared;
    uint64_t now;

    if (what == CW_WAIT_NOTHING && http->waits == CW_WAIT_NOTHING) {
        return;
    }
    shared = http->tail->shared;
    now = cw_loop_now_ms(cw_conn_loop(conn));
    if (http->waits == what && shared->armed == http && shared->armed_ms == now) {
        return;
    }
    http->waits = (uint8_t)what;
    shared->armed = http;
    shared->armed_ms = now;
    cw_conn_set_deadline(conn, what == CW_WAIT_NOTHING || ms >= CW_PER_CORE ? 0 : ms);
}

/* ---- holding the input while an answer is owed ---- */

static void hold(struct cw_conn *conn, struct cw_http_conn *http)
{
    if (!http->held) {
        http->held = true;
        cw_conn_hold(conn);
    }
}

static void unhold(struct cw_conn *conn, struct cw_http_conn *http)
{
    if (http->held) {
        http->held = false;
        cw_conn_unhold(conn);
    }
}

/* ---- between requests ---- */

static void close_in_order(struct cw_conn *conn, struct cw_http_conn *http)
{
    http->last = true;
    cw_conn_finish(conn, 0, cw_span_of(NULL, 0));
}

static void wait_for_next(struct cw_conn *conn, struct cw_http_conn *http)
{
    const struct cw_http_options *options = cw_conn_options(conn);

    http->head_begun = false;
    cw_http_wait_for(conn, http, CW_WAIT_NEXT, options->keep_alive_ms);
}

/* ---- looking after the exchange when nobody is inside of it ---- */

/* What is left of its body is read for nothing, or the connection ends behind the answer. */
static bool body_is_settled(struct cw_http_exchange *x)
{
    const struct cw_http_options *options = x->options;

    if (x->body.whole || x->answer.close || x->http->last) {
        return true;
    }
    if ((x->head.expects_continue && !x->body.continued) || options->discard_max_bytes == CW_OFF) {
        x->http->last = true;
        return true;
    }
    if (x->body.state != CW_BODY_DISCARD) {
        bool begun = x->body.state == CW_BODY_STREAM || x->body.state == CW_BODY_COLLECT;

        if (begun) {
            x->body.state = CW_BODY_DISCARD;
        } else {
            cw_http_begin_body(x, CW_BODY_DISCARD);
        }
    }
    return false;
}

static void end_exchange(struct cw_http_exchange *x)
{
    struct cw_conn *conn = x->conn;
    struct cw_http_conn *http = x->http;
    bool ends = x->answer.close || http->last;

    cw_http_exchange_end(x, CW_OK);
    if (http->switched) {
        return;
    }
    cw_conn_count_message(conn);
    if (ends) {
        cw_conn_linger(conn);
        close_in_order(conn, http);
    } else {
        wait_for_next(conn, http);
        unhold(conn, http);
    }
}

static bool owes_last_piece(const struct cw_http_exchange *x)
{
    return x->body.state == CW_BODY_STREAM && x->body.whole && !x->body.paused &&
           x->answer.state != CW_REPLY_DONE;
}

static void give_last_piece(struct cw_http_exchange *x)
{
    x->body.state = CW_BODY_NONE;
    x->body.fn(x, cw_http_nothing(), true, x->body.user);
}

/* Which deadline runs while the exchange lasts: the answer's, the body's (which sets itself), or none. */
static void wait_for_answer(struct cw_http_exchange *x)
{
    bool reads = cw_http_wants_input(x) || x->body.state == CW_BODY_STREAM;
    bool owed = x->answer.state == CW_REPLY_NONE && !reads;

    if (owed && x->http->waits != CW_WAIT_ANSWER) {
        cw_http_wait_for(x->conn, x->http, CW_WAIT_ANSWER, x->response_ms);
    } else if (!reads && x->answer.is_events && x->answer.state == CW_REPLY_OPEN) {
        if (x->http->waits != CW_WAIT_EVENT) {
            cw_http_events_wait(x);
        }
    } else if (!owed && !reads) {
        cw_http_wait_for(x->conn, x->http, CW_WAIT_NOTHING, 0);
    }
}

static int settle(struct cw_conn *conn, struct cw_http_conn *http)
{
    struct cw_http_exchange *x = http->exchange;

    if (!x) {
        return CW_OK;
    }
    cw_http_go_on(x);
    if (owes_last_piece(x)) {
        give_last_piece(x);
    }
    if (x->answer.state == CW_REPLY_DONE && body_is_settled(x)) {
        end_exchange(x);
        return CW_OK;
    }
    if (!cw_http_detach(x)) {
        return cw_conn_fail(conn, CW_ENOMEM, "request: %s", cw_strerror(CW_ENOMEM));
    }
    wait_for_answer(x);
    if (cw_http_wants_input(x)) {
        unhold(conn, http);
    } else {
        hold(conn, http);
    }
    return CW_OK;
}

/* ---- a head ---- */

/* The host that was asked for: the target's, the field's, or what a trusted proxy says it was. */
static void find_host(struct cw_http_exchange *x)
{
    struct cw_span authority = x->target.authority;

    if (!authority.data && x->head.first[CW_KNOWN_HOST] != 0) {
        authority = cw_http_field(x, "host");
    }
    if (x->origin && x->origin->host.data) {
        x->host = x->origin->host;
        x->port = x->origin->port;
    } else if (authority.data && cw_http_parse_authority(authority, &x->host, &x->port) < 0) {
        x->host = cw_http_nothing();
        x->port = 0;
    }
}

enum { HOPS_MAX = 32 };

static size_t collect_values(const struct cw_http_exchange *x, const char *name,
                             struct cw_span *list)
{
    size_t count = 0;
    size_t at = 0;

    /* The last ones: a client that sends many must not crowd out what its proxy added behind them. */
    while ((list[count] = cw_http_field_next(x, name, &at)).data) {
        if (++count > HOPS_MAX) {
            memmove(list, list + 1, HOPS_MAX * sizeof *list);
            count = HOPS_MAX;
        }
    }
    return count;
}

static struct cw_span last_value(const struct cw_http_exchange *x, const char *name)
{
    struct cw_span last = cw_http_nothing();
    struct cw_span value;
    size_t at = 0;

    while ((value = cw_http_field_next(x, name, &at)).data) {
        last = value;
    }
    return last;
}

static bool is_trusted(const struct cw_address *address, void *user)
{
    return cw_server_trusts(user, address);
}

static bool find_origin(struct cw_http_exchange *x)
{
    enum cw_http_forwarded which = x->options->forwarded;
    struct cw_http_hop_fields fields = {0};
    struct cw_span list[HOPS_MAX + 1];

    if (!x->http->trusted || which == CW_HTTP_NOT_FORWARDED) {
        return true;
    }
    x->origin = cw_http_take(x, sizeof *x->origin);
    if (!x->origin) {
        return false;
    }
    if (which == CW_HTTP_FORWARDED) {
        fields.forwarded = list;
        fields.forwarded_count = collect_values(x, "forwarded", list);
    } else {
        fields.for_list = list;
        fields.for_count = collect_values(x, "x-forwarded-for", list);
        fields.proto = last_value(x, "x-forwarded-proto");
        if (which == CW_HTTP_X_FORWARDED_HOST) {
            fields.host = last_value(x, "x-forwarded-host");
        }
    }
    cw_http_find_origin(&fields, cw_conn_peer(x->conn), is_trusted, cw_conn_server(x->conn),
                        x->origin);
    return true;
}

/* RFC 9110 §7.4: what is meant to be secured is not served where it was not. A trusted gateway may have secured it. */
static int judge_scheme(const struct cw_http_exchange *x, const char **why)
{
    if (!x->target.is_https || cw_conn_is_encrypted(x->conn) || x->http->trusted) {
        return 0;
    }
    *why = "an https target on a connection without TLS";
    return 421;
}

/* 0, or the status of a refusal. */
static int read_head(struct cw_http_exchange *x, const uint8_t *data, size_t len, const char **why)
{
    int status = cw_http_parse_request(data, len, &x->head, why);
    struct cw_span raw;
    uint8_t *room;

    if (status != 0) {
        return status;
    }
    x->head_data = data;
    x->head_len = len;
    raw = cw_http_target(x);
    room = cw_http_take(x, CW_HTTP_TARGET_ROOM(raw.len));
    if (!room) {
        return 503;
    }
    status = cw_http_parse_target(x->head.known_method, raw, room, &x->target, why);
    if (status == 0) {
        status = judge_scheme(x, why);
    }
    if (status == 0 && !find_origin(x)) {
        return 503;
    }
    if (status == 0) {
        find_host(x);
    }
    return status;
}

static void begin_head(struct cw_conn *conn, struct cw_http_conn *http, size_t len)
{
    const struct cw_http_options *options = cw_conn_options(conn);

    if (!http->head_begun && len > 0) {
        http->head_begun = true;
        cw_http_wait_for(conn, http, CW_WAIT_HEAD, options->head_ms);
    }
}

/* It may have to be kept, if the handler answers later. */
static bool may_be_held(const struct cw_http_exchange *x, uint64_t length)
{
    uint64_t max = x->options->bodies_max_bytes;

    return length <= max && x->shared->bodies <= max - length;
}

/* Of a length that is there already: the body is looked at where it lies. */
static size_t view_body(struct cw_http_exchange *x, const uint8_t *data, size_t len)
{
    uint64_t length = x->head.content_length;
    bool there = (x->stage == CW_STAGE_HANDLER_BODY || x->stage == CW_STAGE_CHAIN_BODY) &&
                 x->body.state == CW_BODY_COLLECT && !x->head.chunked && length <= len &&
                 may_be_held(x, length);

    if (!there) {
        return 0;
    }
    x->body.viewed = true;
    x->body.bytes = (uint8_t *)(uintptr_t)data;
    x->body.len = (size_t)length;
    x->body.seen = length;
    x->body.left = 0;
    x->body.whole = true;
    x->body.state = CW_BODY_NONE;
    cw_http_body_is_whole(x);
    return (size_t)length;
}

static ptrdiff_t begin_exchange(struct cw_http_exchange *x, const uint8_t *data, size_t n,
                                size_t len)
{
    x->http->exchange = x;
    cw_http_begin_chain(x);
    return (ptrdiff_t)(n + view_body(x, data + n, len - n));
}

static ptrdiff_t take_known_head(struct cw_conn *conn, struct cw_http_conn *http,
                                 const struct cw_http_memo *memo, const uint8_t *data, size_t len)
{
    struct cw_http_exchange *x = cw_http_exchange_new(conn, http);

    if (!x || !cw_http_memo_recall(memo, x, data)) {
        if (x) {
            cw_http_exchange_free(x);
        }
        return cw_http_refuse(conn, http, 503, NULL);
    }
    return begin_exchange(x, data, cw_http_memo_len(memo), len);
}

static ptrdiff_t wait_for_head(struct cw_conn *conn, struct cw_http_conn *http,
                               const struct cw_http_scan *scan)
{
    return cw_http_keep_scan(http, scan) ? 0 : cw_http_refuse(conn, http, 503, NULL);
}

static ptrdiff_t take_new_head(struct cw_conn *conn, struct cw_http_conn *http, const uint8_t *data,
                               size_t len)
{
    const struct cw_http_options *options = cw_conn_options(conn);
    const struct cw_http_head_limits limits = {(size_t)options->head_max_bytes,
                                               (size_t)options->target_max_bytes,
                                               (size_t)options->fields_max};
    const char *why = NULL;
    struct cw_http_scan scan = http->tail->scan;
    ptrdiff_t n = cw_http_scan_head(data, len, &limits, &scan, &why);
    struct cw_http_exchange *x;
    int status;

    if (n <= 0) {
        begin_head(conn, http, len);
        return n < 0 ? cw_http_refuse(conn, http, (int)-n, why) : wait_for_head(conn, http, &scan);
    }
    cw_http_forget_scan(http);
    x = cw_http_exchange_new(conn, http);
    if (!x) {
        return cw_http_refuse(conn, http, 503, NULL);
    }
    status = read_head(x, data, (size_t)n, &why);
    if (status != 0) {
        cw_http_exchange_free(x);
        return cw_http_refuse(conn, http, status, why);
    }
    return begin_exchange(x, data, (size_t)n, len);
}

static ptrdiff_t take_head(struct cw_conn *conn, struct cw_http_conn *http, const uint8_t *data,
                           size_t len)
{
    const struct cw_http_memo *memo =
        http->tail->scan.at == 0 && !http->trusted
            ? cw_http_memo_find(http->tail->shared, cw_conn_options(conn), data, len)
            : NULL;

    return memo ? take_known_head(conn, http, memo, data, len)
                : take_new_head(conn, http, data, len);
}

/* ---- the table ---- */

static int open_http(struct cw_conn *conn, void *state, void *handover)
{
    const struct cw_http_options *options = cw_conn_options(conn);
    struct cw_http_conn *http = state;
    struct cw_http_shared *shared = cw_loop_part(cw_conn_loop(conn), &cw_http_loop_part);

    if (!shared) {
        return CW_ENOMEM;
    }
    if (!shared->made) {
        shared->made = true;
        shared->site = cw_http_site_of(cw_conn_server(conn));
    }
    shared->none.shared = shared;
    http->tail = &shared->none;
    if (handover && !cw_http_keep_fallback(http, handover)) {
        return CW_ENOMEM;
    }
    http->trusted = cw_conn_is_trusted(conn);
    cw_http_wait_for(conn, http, CW_WAIT_FIRST, options->head_ms);
    return CW_OK;
}

static ptrdiff_t take_bytes(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    struct cw_http_conn *http = state;
    ptrdiff_t n;
    int error;

    if (http->last && !http->exchange) {
        return (ptrdiff_t)len;
    }
    http->in_bytes = true;
    http->tail->shared->now_ns = 0;
    n = http->exchange ? cw_http_take_body(http->exchange, data, len)
                       : take_head(conn, http, data, len);
    error = n >= 0 ? settle(conn, http) : CW_OK;
    http->in_bytes = false;
    return error < 0 ? error : n;
}

static int take_end(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    struct cw_http_conn *http = state;
    struct cw_http_exchange *x = http->exchange;

    if (x && x->body.whole) {
        x->answer.close = x->answer.state == CW_REPLY_NONE ? true : x->answer.close;
        http->last = true;
        return 1; /* an answer is owed */
    }
    if (x) {
        x->end_code = CW_ETRUNCATED;
        return cw_conn_fail(conn, CW_ETRUNCATED, "the input ended in the middle of a body");
    }
    if (len > 0 && http->head_begun && http->tail->scan.skipped < len) {
        return cw_conn_fail(conn, CW_ETRUNCATED, "the input ended in the middle of a head");
    }
    return CW_END_IN_ORDER;
}

static int go_on(struct cw_conn *conn, void *state)
{
    return settle(conn, state);
}

static int on_writable(struct cw_conn *conn, void *state)
{
    struct cw_http_conn *http = state;

    return http->exchange ? cw_http_on_writable(http->exchange) : CW_OK;
}

static int no_answer(struct cw_http_exchange *x)
{
    cw_log(CW_LOG_WARNING, cw_conn_id(x->conn), "http: %s has not answered within %llu ms",
           x->match.route ? x->match.route->name : "the middleware",
           (unsigned long long)x->response_ms);
    x->answer.close = true;
    cw_http_reply_error(x, 503, "no answer was found in time");
    cw_http_settle_soon(x);
    return CW_OK;
}

static int on_deadline(struct cw_conn *conn, void *state)
{
    struct cw_http_conn *http = state;
    struct cw_http_exchange *x = http->exchange;
    enum cw_http_wait waited = http->waits;

    http->waits = CW_WAIT_NOTHING;
    switch (waited) {
    case CW_WAIT_FIRST:
    case CW_WAIT_NEXT:
        close_in_order(conn, http);
        return CW_OK;
    case CW_WAIT_HEAD:
        return cw_http_refuse(conn, http, 408, "the head was not whole in time");
    case CW_WAIT_BODY:
        return x ? cw_http_body_late(x) : CW_OK;
    case CW_WAIT_ANSWER:
        return x ? no_answer(x) : CW_OK;
    case CW_WAIT_EVENT:
        if (x) {
            cw_http_events_heartbeat(x);
        }
        return CW_OK;
    default:
        return CW_OK;
    }
}

static int on_stop(struct cw_conn *conn, void *state)
{
    struct cw_http_conn *http = state;
    struct cw_http_exchange *x = http->exchange;

    http->stopping = true;
    if (!x) {
        return 0;
    }
    if (x->answer.is_events) {
        cw_http_end(x);
    }
    x->answer.close = true;
    cw_http_settle_soon(x); /* answered already: what is left of its body is not waited for */
    return 1;
}

static void close_http(struct cw_conn *conn, void *state)
{
    struct cw_http_conn *http = state;

    if (http->exchange) {
        cw_http_exchange_end(http->exchange, http->switched ? CW_OK : CW_ECLOSED);
    }
    cw_http_tail_release(http);
}

static int send_nothing(struct cw_conn *conn, void *state, const struct cw_message *msg)
{
    return CW_EKIND;
}

/* Only we queue sources, and only for bodies. */
static int send_raw(struct cw_conn *conn, void *state, uint64_t len)
{
    const struct cw_http_conn *http = state;

    return http->exchange && http->exchange->answer.state != CW_REPLY_NONE ? CW_OK : CW_EKIND;
}

static uint64_t longest_head(const void *options)
{
    const struct cw_http_options *http = options;

    return http->head_max_bytes + 2;
}

int cw_http_configure(struct cw_server *server, const struct cw_http_options *options)
{
    return cw_server_set_protocol_options(server, &cw_http, options);
}

struct cw_service cw_http_service(const struct cw_http_options *options,
                                  const struct cw_hooks *hooks, void *user)
{
    return (struct cw_service){&cw_http, options, hooks, user};
}

const struct cw_protocol cw_http = {
    .name = "http",
    .scheme = "http",
    .scheme_tls = "https",
    .state_size = sizeof(struct cw_http_conn),
    .options_size = sizeof(struct cw_http_options),
    .configure = cw_http_check_options,
    .release = cw_http_release_options,
    .message_max = longest_head,
    .open = open_http,
    .on_bytes = take_bytes,
    .on_end = take_end,
    .on_writable = on_writable,
    .on_deadline = on_deadline,
    .on_soon = go_on,
    .on_stop = on_stop,
    .close = close_http,
    .send = send_nothing,
    .send_raw = send_raw,
    .settings = cw_http_settings,
};

/* The handshake of a server (RFC 6455 §4.2): a request of HTTP, judged, asked about, and answered. */
#include "http/http_bytes.h"
#include "http/http_fallback.h"
#include "http/http_target.h"
#include "ws_impl.h"

#include <causeway/log.h>
#include <causeway/span.h>
#include <stdio.h>

enum { SUBPROTOCOLS_MAX = 64 }; /* that one request may offer */

static const char shake_name[] = "causeway.websocket";

enum phase {
    IN_HOOK,  /* on_handshake is running */
    ACCEPTED, /* it is, and has been told to go on already */
    WAITS,    /* it has said CW_HTTP_LATER */
    OVER,     /* answered */
};

/* One handshake; hangs from its exchange. */
struct shake {
    struct cw_service_ref *service; /* the endpoint's, which lives longer */
    enum phase phase;
    void *conn_user;
    void (*drop)(void *conn_user);
    bool has_chosen; /* in place of the list */
    const char *chosen;
    struct cw_ws_agreed agreed;
    char accept[CW_WS_ACCEPT_TEXT];
    char extensions[CW_WS_EXTENSION_TEXT];
};

/* ---- what is handed over ---- */

static void drop_user(void (*drop)(void *conn_user), void *conn_user)
{
    if (drop) {
        drop(conn_user);
    }
}

void cw_ws_welcome_free(void *memory)
{
    struct cw_ws_welcome *welcome = memory;

    if (welcome) {
        drop_user(welcome->drop, welcome->conn_user);
        cw_release(welcome->subprotocol);
    }
    cw_release(welcome);
}

static void end_shake(void *memory)
{
    struct shake *shake = memory;

    drop_user(shake->drop, shake->conn_user);
}

static struct cw_ws_welcome *make_welcome(const struct shake *shake, const char *subprotocol)
{
    struct cw_ws_welcome *welcome = cw_alloc_zero(sizeof *welcome);
    size_t size = subprotocol ? strlen(subprotocol) + 1 : 0;

    if (!welcome) {
        return NULL;
    }
    welcome->agreed = shake->agreed;
    welcome->subprotocol = size > 0 ? cw_alloc(size) : NULL;
    if (size > 0 && !welcome->subprotocol) {
        cw_release(welcome);
        return NULL;
    }
    if (size > 0) {
        memcpy(welcome->subprotocol, subprotocol, size);
    }
    return welcome;
}

/* ---- fields ---- */

static size_t count_fields(const struct cw_http_exchange *http, const char *name)
{
    size_t count = 0;
    size_t at = 0;

    while (cw_http_field_next(http, name, &at).data) {
        count++;
    }
    return count;
}

/* Why a request does not ask for a WebSocket. */
static const char *what_is_missing(const struct cw_http_exchange *http)
{
    struct cw_span list;
    size_t at = 0;

    if (cw_http_version(http) < 11) {
        return "a WebSocket begins with HTTP/1.1; a proxy in between may have made 1.0 of it";
    }
    while ((list = cw_http_field_next(http, "upgrade", &at)).data) {
        if (cw_http_list_has(list, "websocket")) {
            return "Connection does not name Upgrade; a proxy in between may have taken it away";
        }
    }
    return "only WebSockets are served here";
}

/* RFC 6455 §4.2.1 wants GET; RFC 9110 §9.3.2 wants of HEAD what GET would say. */
static int judge_method(const struct cw_http_exchange *http, const char **why)
{
    struct cw_span method = cw_http_method(http);
    bool upgrades = cw_http_wants_upgrade(http, "websocket");

    if (cw_span_equal(method, cw_span_text("GET")) ||
        (cw_span_equal(method, cw_span_text("HEAD")) && !upgrades)) {
        return 0;
    }
    *why = "a WebSocket begins with GET";
    return 405;
}

static int judge_version(const struct cw_http_exchange *http, const char **why)
{
    struct cw_span version = cw_http_field(http, "sec-websocket-version");

    if (count_fields(http, "sec-websocket-version") > 1) {
        *why = "Sec-WebSocket-Version stands there twice";
        return 400;
    }
    if (!version.data || !cw_span_equal(version, cw_span_text("13"))) {
        *why = version.data ? "this version of WebSocket is not spoken here; 13 is"
                            : "Sec-WebSocket-Version is missing";
        return 426;
    }
    return 0;
}

static int judge_key(const struct cw_http_exchange *http, const char **why)
{
    size_t count = count_fields(http, "sec-websocket-key");

    if (count == 1 && cw_ws_key_is_sound(cw_http_field(http, "sec-websocket-key"))) {
        return 0;
    }
    *why = count == 0  ? "Sec-WebSocket-Key is missing"
           : count > 1 ? "Sec-WebSocket-Key stands there twice"
                       : "Sec-WebSocket-Key is not 16 bytes in base64";
    return 400;
}

/* RFC 6455 §4.1: tokens, no two the same. */
static int judge_subprotocols(struct cw_http_exchange *http, const char **why)
{
    struct cw_span rest = cw_http_field_list(http, "sec-websocket-protocol");
    struct cw_span seen[SUBPROTOCOLS_MAX];
    size_t count = 0;
    bool sound = true;

    if (!rest.data) {
        return 0;
    }
    while (sound && count < SUBPROTOCOLS_MAX && cw_http_list_next(&rest, &seen[count])) {
        sound = cw_http_is_token(seen[count]);
        for (size_t i = 0; i < count && sound; i++) {
            sound = !cw_span_equal(seen[i], seen[count]);
        }
        count++;
    }
    if (sound && count > 0 && rest.len == 0) {
        return 0;
    }
    *why = count == SUBPROTOCOLS_MAX
               ? "more than 64 subprotocols"
               : "Sec-WebSocket-Protocol is no list of tokens that are all different";
    return 400;
}

/* ---- origin ---- */

static bool equal_names(struct cw_span one, struct cw_span other)
{
    for (size_t i = 0; i < one.len && one.len == other.len; i++) {
        if (cw_http_lower(one.data[i]) != cw_http_lower(other.data[i])) {
            return false;
        }
    }
    return one.len == other.len;
}

/* Whether the page comes from the host that is asked for. A proxy that nobody trusts may have taken TLS off, so a page of https is let in
 * where no TLS is seen; one of http not where there is, because whoever can write that page is not who has the certificate. */
static bool is_own(const struct cw_http_exchange *http, struct cw_span origin)
{
    bool secure = cw_http_equal(cw_span_text(cw_http_scheme(http)), "https");
    bool is_https = cw_span_starts_with(origin, "https://");
    size_t scheme = strlen(is_https ? "https://" : "http://");
    uint16_t standard = is_https ? 443 : 80;
    uint16_t asked = cw_http_port(http);
    struct cw_span host;
    uint16_t port = 0;

    if ((!is_https && !cw_span_starts_with(origin, "http://")) || (secure && !is_https) ||
        cw_http_parse_authority(cw_span_of(origin.data + scheme, origin.len - scheme), &host,
                                &port) < 0) {
        return false;
    }
    return cw_http_host(http).data && equal_names(host, cw_http_host(http)) &&
           (port != 0 ? port : standard) == (asked != 0 ? asked : standard);
}

/* Peers can cause it as often as they like: one line a second. */
static void log_origin(const struct cw_http_exchange *http, struct cw_span origin, bool listed)
{
    struct cw_ws_shared *shared = cw_ws_shared(cw_http_loop(http));
    uint64_t now = cw_loop_now_ms(cw_http_loop(http));
    struct cw_span host = cw_http_host(http);
    char port[8] = "";

    if (!shared || (shared->told_ms != 0 && now - shared->told_ms < 1000)) {
        return;
    }
    shared->told_ms = now;
    if (cw_http_port(http) != 0) {
        snprintf(port, sizeof port, ":%u", (unsigned)cw_http_port(http));
    }
    cw_log(CW_LOG_INFO, cw_conn_id(cw_http_conn(http)),
           "websocket: a page of %.*s may not connect to %s://%.*s%s: it is not in `origins`%s",
           (int)(origin.len < 100 ? origin.len : 100), (const char *)origin.data,
           cw_http_scheme(http), (int)(host.len < 100 ? host.len : 100),
           host.data ? (const char *)host.data : "", port,
           listed ? "" : ", which by default are those of that host");
}

/* RFC 6455 §10.2. Programs that are no browsers send none. */
static int judge_origin(const struct cw_http_exchange *http,
                        const struct cw_websocket_options *options, const char **why)
{
    struct cw_span origin = cw_http_field(http, "origin");

    if (!origin.data) {
        return 0;
    }
    if (count_fields(http, "origin") > 1) {
        *why = "Origin stands there twice";
        return 400;
    }
    if (options->origins ? cw_http_origin_find(options->origins, origin) != CW_HTTP_ORIGIN_NOT_LISTED
                         : is_own(http, origin)) {
        return 0;
    }
    log_origin(http, origin, options->origins != NULL);
    *why = "pages of this origin may not connect; the option `origins` lists those that may";
    return 403;
}

/* ---- all of it ---- */

/* 0, or the status of a refusal. */
static int judge(struct cw_http_exchange *http, const struct cw_websocket_options *options,
                 const char **why)
{
    int status = judge_method(http, why);

    if (status == 0 && !cw_http_wants_upgrade(http, "websocket")) {
        *why = what_is_missing(http);
        return 426;
    }
    if (status == 0 && cw_http_body_length(http) != 0) {
        *why = "a handshake has no body";
        return 400;
    }
    status = status != 0 ? status : judge_version(http, why);
    status = status != 0 ? status : judge_key(http, why);
    status = status != 0 ? status : judge_subprotocols(http, why);
    return status != 0 ? status : judge_origin(http, options, why);
}

static void refuse(struct cw_http_exchange *http, int status, const char *why)
{
    if (status == 405) {
        cw_http_set_field(http, "Allow", "GET");
    } else if (status == 426) {
        cw_http_set_field(http, "Upgrade", "websocket");
        cw_http_set_field(http, "Sec-WebSocket-Version", "13"); /* RFC 6455 §4.4 */
    }
    cw_http_reply_error(http, status, why);
}

/* ---- the answer ---- */

static bool is_offered(struct cw_http_exchange *http, struct cw_span wanted)
{
    struct cw_span rest = cw_http_field_list(http, "sec-websocket-protocol");
    struct cw_span offered;

    while (rest.data && cw_http_list_next(&rest, &offered)) {
        if (cw_span_equal(offered, wanted)) {
            return true;
        }
    }
    return false;
}

/* With an end, in the memory of the exchange. NULL: no memory. */
static const char *keep(struct cw_http_exchange *http, struct cw_span text)
{
    char *copy = cw_http_alloc(http, text.len + 1);

    if (copy) {
        memcpy(copy, text.data, text.len);
    }
    return copy;
}

/* The first of ours that is offered. 0, CW_ENOMEM. */
static int pick_subprotocol(struct cw_http_exchange *http, const char *list, const char **picked)
{
    struct cw_span rest = cw_span_text(list ? list : "");
    struct cw_span word;

    *picked = NULL;
    while (cw_ws_next_word(&rest, &word)) {
        if (is_offered(http, word)) {
            *picked = keep(http, word);
            return *picked ? CW_OK : CW_ENOMEM;
        }
    }
    return CW_OK;
}

static int set_fields(struct cw_http_exchange *http, const struct shake *shake,
                      const char *subprotocol)
{
    const char *extensions = shake->extensions[0] ? shake->extensions : NULL;
    int error = cw_http_set_field(http, "Sec-WebSocket-Accept", shake->accept);

    if (error == CW_OK) {
        error = cw_http_set_field(http, "Sec-WebSocket-Protocol", subprotocol);
    }
    return error < 0 ? error : cw_http_set_field(http, "Sec-WebSocket-Extensions", extensions);
}

static void clear_fields(struct cw_http_exchange *http)
{
    cw_http_set_field(http, "Sec-WebSocket-Accept", NULL);
    cw_http_set_field(http, "Sec-WebSocket-Protocol", NULL);
    cw_http_set_field(http, "Sec-WebSocket-Extensions", NULL);
}

static int switch_over(struct cw_http_exchange *http, struct shake *shake, const char *subprotocol)
{
    struct cw_ws_welcome *welcome = make_welcome(shake, subprotocol);
    int error = welcome ? set_fields(http, shake, subprotocol) : CW_ENOMEM;

    if (error < 0) {
        cw_ws_welcome_free(welcome);
        return error;
    }
    welcome->conn_user = shake->conn_user;
    welcome->drop = shake->drop;
    error = cw_http_switch(http, "websocket", shake->service, welcome, cw_ws_welcome_free);
    if (error < 0) {
        welcome->drop = NULL; /* still the handshake's */
        cw_ws_welcome_free(welcome);
        return error;
    }
    shake->drop = NULL;
    return CW_OK;
}

/* Says 101, or why not. */
static int finish(struct cw_http_exchange *http, struct shake *shake)
{
    const struct cw_websocket_options *options = cw_service_options(shake->service);
    const char *subprotocol = shake->chosen;
    int error = CW_OK;

    shake->phase = OVER;
    if (!shake->has_chosen) {
        error = pick_subprotocol(http, options->subprotocols, &subprotocol);
    }
    if (error == CW_OK && options->subprotocol_required && !subprotocol) {
        refuse(http, 400, "none of the subprotocols that are spoken here is offered");
        return CW_EINVAL;
    }
    if (cw_http_server(http) && cw_server_is_stopping(cw_http_server(http))) {
        refuse(http, 503, "the server stops");
        return CW_ESTOPPED;
    }
    error = error < 0 ? error : switch_over(http, shake, subprotocol);
    if (error < 0) {
        clear_fields(http);
        refuse(http, 503, NULL);
    }
    return error;
}

/* ---- what the application says ---- */

static void ask(struct cw_http_exchange *http, struct shake *shake)
{
    const struct cw_websocket_options *options = cw_service_options(shake->service);
    int verdict = options->on_handshake
                      ? options->on_handshake(http, cw_service_user(shake->service))
                      : CW_HTTP_NEXT;

    if (cw_http_reply_status(http) != 0) {
        shake->phase = OVER;
    } else if (verdict == CW_HTTP_NEXT || (verdict == CW_HTTP_LATER && shake->phase == ACCEPTED)) {
        finish(http, shake);
    } else if (verdict == CW_HTTP_LATER) {
        shake->phase = WAITS;
        cw_http_id(http);
    } else {
        shake->phase = OVER;
        cw_log(CW_LOG_ERROR, cw_conn_id(cw_http_conn(http)),
               "websocket: on_handshake said it had answered, and has not");
        refuse(http, 500, NULL);
    }
}

/* 0, or the status of a refusal. */
static int agree(struct cw_http_exchange *http, struct shake *shake, const char **why)
{
    const struct cw_websocket_options *options = cw_service_options(shake->service);
    struct cw_span offers = cw_http_field_list(http, "sec-websocket-extensions");

    if (cw_ws_accept_key(cw_http_field(http, "sec-websocket-key"), shake->accept) < 0) {
        return 500;
    }
    if (offers.data && cw_ws_accept_offers(offers, &options->deflate, &shake->agreed,
                                           shake->extensions, why) < 0) {
        return 400;
    }
    if (!options->compress) {
        shake->agreed = (struct cw_ws_agreed){.on = false};
        shake->extensions[0] = '\0';
    }
    return 0;
}

void cw_ws_shake(struct cw_http_exchange *http, void *service)
{
    const char *why = NULL;
    int status = judge(http, cw_service_options(service), &why);
    struct shake *shake = status == 0 ? cw_http_alloc(http, sizeof *shake) : NULL;

    if (shake) {
        shake->service = service;
        status = agree(http, shake, &why);
    } else if (status == 0) {
        status = 503;
    }
    if (status == 0 && cw_http_set_value(http, shake_name, shake, end_shake) < 0) {
        status = 503;
    }
    if (status != 0) {
        refuse(http, status, why);
    } else {
        ask(http, shake);
    }
}

/* The handshake of an exchange that is not over; NULL: there is none. */
static struct shake *shake_of(struct cw_http_exchange *http)
{
    struct shake *shake = cw_http_value(http, shake_name);

    return shake && shake->phase != OVER && cw_http_reply_status(http) == 0 ? shake : NULL;
}

int cw_websocket_set_user(struct cw_http_exchange *http, void *conn_user,
                          void (*drop)(void *conn_user))
{
    struct shake *shake = shake_of(http);
    struct shake before;

    if (!shake) {
        return CW_ESTATE;
    }
    before = *shake;
    shake->conn_user = conn_user;
    shake->drop = drop;
    if (before.conn_user != conn_user) {
        drop_user(before.drop, before.conn_user);
    }
    return CW_OK;
}

int cw_websocket_choose(struct cw_http_exchange *http, const char *subprotocol)
{
    struct shake *shake = shake_of(http);
    const char *kept = NULL;

    if (!shake) {
        return CW_ESTATE;
    }
    if (subprotocol && !is_offered(http, cw_span_text(subprotocol))) {
        return CW_EINVAL;
    }
    if (subprotocol) {
        kept = keep(http, cw_span_text(subprotocol));
        if (!kept) {
            return CW_ENOMEM;
        }
    }
    shake->chosen = kept;
    shake->has_chosen = true;
    return CW_OK;
}

int cw_websocket_accept(struct cw_http_exchange *http)
{
    struct shake *shake = shake_of(http);

    if (!shake || shake->phase == ACCEPTED) {
        return CW_ESTATE;
    }
    if (shake->phase == IN_HOOK) {
        shake->phase = ACCEPTED;
        return CW_OK;
    }
    return finish(http, shake);
}

/* ---- bare connections ---- */

static void drop_service(void *service)
{
    cw_service_free(service);
}

int cw_ws_open_server(struct cw_conn *conn)
{
    struct cw_http_fallback *fallback = cw_alloc(sizeof *fallback);
    int error;

    if (!fallback) {
        return CW_ENOMEM;
    }
    *fallback = (struct cw_http_fallback){cw_ws_shake, cw_service_hold(cw_conn_service(conn)),
                                          drop_service};
    error = cw_conn_switch(conn, cw_ws_requests(cw_conn_options(conn)), fallback,
                           cw_http_fallback_free);
    if (error < 0) {
        cw_http_fallback_free(fallback);
        return error;
    }
    return 1; /* the handshake switches back */
}

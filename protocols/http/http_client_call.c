/* One request until its answer: copied, ended, redirected, told. */
#include "http_client_impl.h"

#include <causeway/error.h>
#include <causeway/http_fields.h>
#include <causeway/log.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

/* ---- memory that lives as long as a call ---- */

struct cw_http_keep {
    struct cw_http_keep *next;
    max_align_t bytes[];
};

static void *keep(struct cw_http_call *call, const void *data, size_t len)
{
    struct cw_http_keep *kept = cw_alloc(sizeof *kept + len);

    if (!kept) {
        return NULL;
    }
    kept->next = call->memory;
    call->memory = kept;
    if (data && len > 0) {
        memcpy(kept->bytes, data, len);
    }
    return kept->bytes;
}

/* A text, copied in place. NULL stays NULL. */
static bool keep_text(struct cw_http_call *call, const char **text)
{
    *text = *text ? keep(call, *text, strlen(*text) + 1) : NULL;
    return *text != NULL;
}

static bool keep_tls(struct cw_http_call *call)
{
    struct cw_tls_options *tls = &call->tls;
    const char **const texts[] = {
        &tls->cert, &tls->key,     &tls->passphrase, &tls->ca,          &tls->crl,
        &tls->alpn, &tls->ciphers, &tls->groups,     &tls->fingerprint, &tls->server_name};
    bool ok = true;

    if (call->request.tls) {
        *tls = *call->request.tls;
    }
    tls->alpn = tls->alpn ? tls->alpn : "http/1.1"; /* RFC 7301 §6 */
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ok = (!*texts[i] || keep_text(call, texts[i])) && ok;
    }
    call->request.tls = NULL;
    return ok;
}

static bool keep_fields(struct cw_http_call *call)
{
    const struct cw_http_pair *given = call->request.fields;
    struct cw_http_pair *copy;
    size_t count = 0;
    bool ok = true;

    while (given && given[count].name) {
        count++;
    }
    copy = keep(call, NULL, (count + 1) * sizeof *copy);
    for (size_t i = 0; copy && i < count; i++) {
        copy[i] = given[i];
        ok = keep_text(call, &copy[i].name) && ok;
        ok = keep_text(call, &copy[i].value) && ok;
    }
    if (copy) {
        copy[count] = (struct cw_http_pair){NULL, NULL};
    }
    call->request.fields = copy;
    return copy && ok;
}

static bool keep_request(struct cw_http_call *call)
{
    struct cw_http_request *request = &call->request;
    bool ok = keep_text(call, &request->url) && keep_text(call, &request->method);

    ok = ok && keep_text(call, &request->type) && keep_fields(call) && keep_tls(call);
    if (ok && request->body.len > 0) {
        request->body.data = keep(call, request->body.data, request->body.len);
        ok = request->body.data != NULL;
    }
    return ok;
}

/* ---- checks ---- */

static int refuse(const char **why, const char *sentence)
{
    *why = sentence;
    return CW_EINVAL;
}

/* Fields that frame the message or speak of the connection are ours. */
static bool is_ours(struct cw_span name)
{
    static const char *const names[] = {"content-length", "transfer-encoding", "connection",
                                        "keep-alive",     "proxy-connection",  "te",
                                        "trailer",        "upgrade",           "expect"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (cw_http_equal(name, names[i])) {
            return true;
        }
    }
    return false;
}

static int check_fields(const struct cw_http_pair *fields, const char **why)
{
    unsigned hosts = 0;

    for (const struct cw_http_pair *pair = fields; pair && pair->name; pair++) {
        struct cw_span name = cw_span_text(pair->name);

        if (!cw_http_is_token(name)) {
            return refuse(why, "fields: a name may hold letters, digits and !#$%&'*+-.^_`|~ alone");
        }
        if (!pair->value || !cw_http_is_value(cw_span_text(pair->value))) {
            return refuse(
                why, "fields: a value may hold no control characters, and no space at its ends");
        }
        if (is_ours(name)) {
            return refuse(why,
                          "fields: what frames the message or speaks of the connection (such as "
                          "Content-Length, Connection, Expect) is not the application's");
        }
        hosts += cw_http_equal(name, "host") ? 1u : 0u;
    }
    return hosts > 1 ? refuse(why, "fields: Host stands there twice") : CW_OK;
}

static int check_method(const struct cw_http_request *request, const char **why)
{
    bool has_body = request->pull || request->body.len > 0;

    if (!cw_http_is_token(cw_span_text(request->method))) {
        return refuse(why, "method: letters, digits and !#$%&'*+-.^_`|~ alone");
    }
    if (strcmp(request->method, "CONNECT") == 0) {
        return refuse(why, "method: CONNECT makes a tunnel, which this client does not");
    }
    if (strcmp(request->method, "TRACE") == 0 && has_body) {
        return refuse(why, "method: TRACE has no body (RFC 9110 §9.3.8)");
    }
    return CW_OK;
}

static int check_body(const struct cw_http_request *request, const char **why)
{
    if (request->body.len > 0 && request->pull) {
        return refuse(why, "body and pull exclude each other");
    }
    if (request->body.len > 0 && !request->body.data) {
        return refuse(why, "body: a length without data");
    }
    if (request->pull && request->body_len >= CW_OFF && request->body_len != CW_NO_LIMIT) {
        return refuse(why, "body_len: a number of bytes, or CW_NO_LIMIT");
    }
    if (!request->pull && request->pulled) {
        return refuse(why, "pulled goes with pull");
    }
    return cw_http_is_value(cw_span_text(request->type)) ? CW_OK
                                                         : refuse(why, "type: not a field's value");
}

/* ---- defaults ---- */

enum { IS_TIME = 1, MAY_OFF = 2, MAY_NO_LIMIT = 4 };

static bool fill(uint64_t *value, uint64_t standard, uint64_t max, unsigned may)
{
    *value = *value == 0 ? standard : *value;
    return *value <= max || ((may & MAY_OFF) && *value == CW_OFF) ||
           ((may & MAY_NO_LIMIT) && *value == CW_NO_LIMIT);
}

static int fill_limits(struct cw_http_request *request, const char **why)
{
    const uint64_t year = 31536000000ull;

    if (!fill(&request->timeout_ms, 30000, year, MAY_OFF)) {
        return refuse(why, "timeout_ms: at most a year, or CW_OFF");
    }
    if (!fill(&request->connect_ms, 10000, year, 0)) {
        return refuse(why, "connect_ms: at most a year");
    }
    if (!fill(&request->quiet_ms, 30000, year, MAY_OFF)) {
        return refuse(why, "quiet_ms: at most a year, or CW_OFF");
    }
    if (!fill(&request->redirects_max, 5, 100, MAY_OFF)) {
        return refuse(why, "redirects_max: at most 100, or CW_OFF");
    }
    if (!fill(&request->body_max_bytes, 16777216, 1ull << 60, MAY_NO_LIMIT)) {
        return refuse(why, "body_max_bytes: at most 2 to the 60th, or CW_NO_LIMIT");
    }
    return fill(&request->head_max_bytes, 65536, 16777216, 0)
               ? CW_OK
               : refuse(why, "head_max_bytes: at most 16777216");
}

static void fill_words(struct cw_http_request *request)
{
    bool has_body = request->pull || request->body.len > 0;

    request->method = request->method ? request->method : has_body ? "POST" : "GET";
    request->type = request->type ? request->type : "application/octet-stream";
}

static int check(struct cw_http_request *request, const char **why)
{
    if (!request->url) {
        return refuse(why, "url: there is none");
    }
    fill_words(request);
    if (check_method(request, why) < 0 || check_body(request, why) < 0 ||
        check_fields(request->fields, why) < 0) {
        return CW_EINVAL;
    }
    return fill_limits(request, why);
}

/* ---- making and freeing ---- */

static int parse_url(struct cw_http_call *call, const char **why)
{
    return cw_http_url_parse(cw_span_text(call->request.url), &call->url, why);
}

int cw_http_call_new(struct cw_http_client *client, const struct cw_http_request *request,
                     struct cw_http_call **result, const char **why)
{
    struct cw_http_request filled = *request;
    struct cw_http_call *call;
    int error = check(&filled, why);

    if (error < 0) {
        return error;
    }
    call = cw_alloc_zero(sizeof *call);
    if (!call) {
        return CW_ENOMEM;
    }
    call->client = client;
    call->request = filled;
    call->response.text = call->text;
    cw_http_ring_init(&call->home);
    cw_http_ring_init(&call->wait);
    error = keep_request(call) ? parse_url(call, why) : CW_ENOMEM;
    if (error < 0) {
        cw_http_call_free(call);
        return error;
    }
    call->response.url = call->request.url;
    *result = call;
    return CW_OK;
}

void cw_http_call_reset(struct cw_http_call *call)
{
    cw_http_inflate_free(call->inflate);
    cw_release(call->headers.bytes);
    cw_release(call->headers.lines);
    cw_release(call->body);
    call->inflate = NULL;
    call->headers = (struct cw_http_headers){0};
    call->body = NULL;
    call->body_cap = 0;
    call->decoded = 0;
    call->redirects = false;
    call->rests = false;
    call->response.headers = NULL;
    call->response.status = 0;
    call->response.body = cw_span_of(NULL, 0);
}

void cw_http_call_free(struct cw_http_call *call)
{
    cw_http_call_reset(call);
    cw_http_upload_leave(call);
    while (call->memory) {
        struct cw_http_keep *kept = call->memory;

        call->memory = kept->next;
        cw_release(kept);
    }
    cw_release(call);
}

/* ---- the end ---- */

static void be_over(struct cw_http_call *call)
{
    call->phase = CW_CALL_OVER;
    call->response.took_ms = cw_loop_now_ms(call->client->loop) - call->began_ms;
    cw_http_ring_join(&call->client->over, &call->home);
    cw_http_client_wake(call->client);
}

void cw_http_call_fail(struct cw_http_call *call, int code, const char *words)
{
    struct cw_conn *conn = call->conn;

    if (call->phase == CW_CALL_OVER) {
        return;
    }
    cw_http_upload_leave(call);
    if (conn) {
        cw_http_answer_forget(conn);
        cw_http_address_give_back(call, conn, CW_PART_ABORT);
    }
    cw_http_address_leave(call);
    call->response.error = code;
    snprintf(call->text, sizeof call->text, "%.20s %.160s: %s", call->request.method,
             call->request.url, words);
    be_over(call);
}

void cw_http_call_failf(struct cw_http_call *call, int code, const char *format, ...)
{
    char words[CW_REPORT_TEXT_MAX];
    va_list args;

    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    cw_http_call_fail(call, code, words);
}

void cw_http_call_tell(struct cw_http_call *call)
{
    const struct cw_http_request *request = &call->request;

    if (request->pulled && !call->pulled_told) {
        call->pulled_told = true;
        request->pulled(call->response.error < 0 ? call->response.error : CW_ECLOSED,
                        request->pull_user);
    }
    call->fn(&call->response, call->user);
    cw_http_call_free(call);
}

/* ---- sent again ---- */

/* RFC 9110 §9.2.2. */
static bool is_idempotent(const char *method)
{
    static const char *const names[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(method, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_gone(int code)
{
    return code == CW_ETRUNCATED || code == CW_ERESET || code == CW_EPIPE || code == CW_ECLOSED ||
           code == CW_BY_PEER;
}

static void join_or_fail(struct cw_http_call *call)
{
    const char *why = "";
    int error = cw_http_address_join(call, &why);

    if (error < 0) {
        cw_http_call_fail(call, error, why);
    }
}

void cw_http_call_lost(struct cw_http_call *call, int code, const char *words, bool dead)
{
    dead = dead && is_gone(code) && !call->retried;
    cw_http_upload_leave(call);
    if (dead && is_idempotent(call->request.method) && !call->request.pull) {
        /* RFC 9112 §9.3.1: the peer had ended the kept connection when the request was under way. */
        call->retried = true;
        cw_http_call_reset(call);
        join_or_fail(call);
        return;
    }
    code = code == CW_BY_STOP ? CW_ESTOPPED : code < 0 ? code : CW_ECLOSED;
    if (dead) {
        cw_http_call_fail(call, code,
                          "the peer ended the kept connection as the request was sent; it is "
                          "not sent twice, as it may have been carried out");
    } else {
        cw_http_call_fail(call, code, words);
    }
}

/* ---- redirects (RFC 9110 §15.4) ---- */

bool cw_http_call_is_redirect(const struct cw_http_call *call, int status)
{
    bool leads = status == 301 || status == 302 || status == 303 || status == 307 || status == 308;

    return leads && call->request.redirects_max != CW_OFF &&
           cw_http_response_field(&call->response, "location").data != NULL;
}

static void drop_fields(struct cw_http_call *call, bool (*goes)(struct cw_span name))
{
    /* The fields are a copy of our own; only the caller's are constant. */
    struct cw_http_pair *to = (struct cw_http_pair *)(uintptr_t)call->request.fields;

    for (const struct cw_http_pair *from = to; from->name; from++) {
        if (!goes(cw_span_text(from->name))) {
            *to++ = *from;
        }
    }
    *to = (struct cw_http_pair){NULL, NULL};
}

static bool is_for_one_host(struct cw_span name)
{
    return cw_http_equal(name, "authorization") || cw_http_equal(name, "cookie") ||
           cw_http_equal(name, "proxy-authorization") || cw_http_equal(name, "host");
}

static bool is_of_content(struct cw_span name)
{
    return name.len > 8 && cw_http_equal(cw_span_of(name.data, 8), "content-");
}

/* What was meant for the first host alone: its fields, the certificate we show, the name we expect. */
static void leave_origin(struct cw_http_call *call)
{
    drop_fields(call, is_for_one_host);
    call->tls.cert = NULL;
    call->tls.key = NULL;
    call->tls.passphrase = NULL;
    call->tls.server_name = NULL;
}

static void become_get(struct cw_http_call *call)
{
    struct cw_http_request *request = &call->request;

    if (strcmp(request->method, "HEAD") != 0) {
        request->method = "GET";
    }
    drop_fields(call, is_of_content);
    request->body = cw_span_of(NULL, 0);
    request->pull = NULL;
}

/* 303 asks for a GET; 301 and 302 are taken so for POST, as everybody does (§15.4.2, §15.4.3). */
static bool becomes_get(const struct cw_http_call *call)
{
    int status = call->response.status;

    return status == 303 ||
           ((status == 301 || status == 302) && strcmp(call->request.method, "POST") == 0);
}

static int check_step(const struct cw_http_call *call, const struct cw_http_url *to,
                      const char **why)
{
    enum cw_http_scheme from = call->url.scheme;

    if ((from == CW_SCHEME_UNIX) != (to->scheme == CW_SCHEME_UNIX) ||
        (from == CW_SCHEME_UNIX && !cw_http_url_same_origin(&call->url, to))) {
        *why = "a redirect does not lead to or from a unix socket";
        return CW_EPROTO;
    }
    if (from == CW_SCHEME_HTTPS && to->scheme == CW_SCHEME_HTTP) {
        *why = "a redirect from https to http is not followed";
        return CW_EPROTO;
    }
    if (!becomes_get(call) && call->request.pull) {
        *why = "the redirect wants the body again, and one that is pulled cannot be sent twice";
        return CW_ESTATE;
    }
    return CW_OK;
}

/* The URL that Location names, kept as *text. */
static int find_target(struct cw_http_call *call, struct cw_http_url *to, const char **text,
                       const char **why)
{
    struct cw_span location = cw_http_response_field(&call->response, "location");
    char buffer[CW_URL_MAX + 1];
    ptrdiff_t len = cw_http_url_resolve(&call->url, location, buffer);

    if (len < 0) {
        *why = "Location is too long, or holds control characters";
        return CW_EPROTO;
    }
    *text = keep(call, buffer, (size_t)len + 1);
    if (!*text) {
        *why = cw_strerror(CW_ENOMEM);
        return CW_ENOMEM;
    }
    return cw_http_url_parse(cw_span_text(*text), to, why) < 0 ? CW_EPROTO : CW_OK;
}

static void redirect(struct cw_http_call *call)
{
    struct cw_http_url to;
    const char *text = NULL;
    const char *why = "";
    int error;

    if (call->response.redirects >= call->request.redirects_max) {
        cw_http_call_failf(call, CW_ETOOBIG,
                           "redirected more than redirects_max (%" PRIu64 ") times",
                           call->request.redirects_max);
        return;
    }
    error = find_target(call, &to, &text, &why);
    error = error < 0 ? error : check_step(call, &to, &why);
    if (error < 0) {
        cw_http_call_failf(call, error, "redirect %d: %s", call->response.status, why);
        return;
    }
    if (becomes_get(call)) {
        become_get(call);
    }
    if (!cw_http_url_same_origin(&call->url, &to)) {
        leave_origin(call);
    }
    call->url = to;
    call->request.url = text;
    call->response.url = call->request.url;
    call->response.redirects++;
    call->retried = false;
    cw_http_call_reset(call);
    join_or_fail(call);
}

void cw_http_call_answered(struct cw_http_call *call)
{
    cw_http_upload_leave(call);
    if (call->redirects) {
        redirect(call);
    } else {
        be_over(call);
    }
}

/* The Fetch standard, section "CORS protocol", from the server's side. */
#include "options_text.h"

#include <causeway/log.h>
#include <causeway/middleware/http_cors.h>

#include <inttypes.h>
#include <stdio.h>

enum { MAX_AGE_S = 600, MAX_AGE_MOST_S = 86400 };

struct cors {
    struct cw_http_middleware table; /* first: self is both */
    char *origins;                   /* NULL: none of its own */
    cw_http_cors_fn allow;
    void *user;
    bool credentials;
    bool private_network;
    char *methods;
    char *headers; /* NULL: those that are asked for */
    char *exposed; /* NULL: none */
    char max_age[24];
};

/* What was found out about one request. */
struct asked {
    const char *origin; /* what the answer names; NULL: not allowed, or not asked */
    bool named;         /* it is the origin itself, not "*" */
    bool varies;        /* other origins get another answer */
    bool preflight;
};

/* ---- whether it is allowed ---- */

static const char *copy_span(struct cw_http_exchange *http, struct cw_span span)
{
    char *copy = cw_http_alloc(http, span.len + 1);

    return copy ? memcpy(copy, span.data, span.len) : NULL;
}

/* RFC 6454 §7.3: a client sends it once. Several are nobody's. */
static struct cw_span origin_of(const struct cw_http_exchange *http)
{
    size_t at = 0;
    struct cw_span origin = cw_http_field_next(http, "Origin", &at);

    return cw_http_field_next(http, "Origin", &at).data ? (struct cw_span){NULL, 0} : origin;
}

/* What is listed here; NULL: nothing. */
static const char *list_for(const struct cors *self, const struct cw_http_exchange *http)
{
    if (self->origins || self->allow) {
        return self->origins;
    }
    return cw_http_options_of(http)->cors_origin;
}

static void judge(const struct cors *self, struct cw_http_exchange *http, const char *list,
                  struct asked *asked)
{
    struct cw_span origin = origin_of(http);
    enum cw_http_origin_found found = cw_http_origin_find(list, origin);

    asked->varies = found != CW_HTTP_ORIGIN_ANY;
    if (!origin.data) {
        return;
    }
    if (found == CW_HTTP_ORIGIN_ANY) {
        asked->origin = "*";
    } else if (found == CW_HTTP_ORIGIN_LISTED ||
               (self->allow && self->allow(http, origin, self->user))) {
        asked->origin = copy_span(http, origin);
        asked->named = true;
    }
}

/* ---- the preflight ---- */

static bool is_preflight(const struct cw_http_exchange *http)
{
    return cw_span_equal(cw_http_method(http), cw_span_text("OPTIONS")) &&
           origin_of(http).data != NULL &&
           cw_http_field(http, "Access-Control-Request-Method").data != NULL;
}

/* NULL: none are asked for, or what is asked for are no names. */
static const char *wanted_headers(struct cw_http_exchange *http)
{
    struct cw_span list = cw_http_field_list(http, "Access-Control-Request-Headers");
    struct cw_span rest = list;
    struct cw_span name;
    bool good = list.len > 0;

    while (good && cw_http_list_next(&rest, &name)) {
        good = cw_http_is_token(name);
    }
    return good ? copy_span(http, list) : NULL;
}

static void allow_headers(const struct cors *self, struct cw_http_exchange *http)
{
    const char *headers = self->headers;

    if (!headers) {
        headers = wanted_headers(http);
        cw_http_add_to_list(http, "Vary", "Access-Control-Request-Headers");
    }
    if (headers) {
        cw_http_set_field(http, "Access-Control-Allow-Headers", headers);
    }
}

static int answer_preflight(const struct cors *self, struct cw_http_exchange *http,
                            struct asked *asked)
{
    asked->preflight = true;
    if (asked->origin) {
        cw_http_set_field(http, "Access-Control-Allow-Methods", self->methods);
        allow_headers(self, http);
        cw_http_set_field(http, "Access-Control-Max-Age", self->max_age);
    }
    if (asked->origin && self->private_network &&
        cw_http_equal(cw_http_field(http, "Access-Control-Request-Private-Network"), "true")) {
        cw_http_set_field(http, "Access-Control-Allow-Private-Network", "true");
    }
    cw_http_reply_empty(http, 204);
    return CW_HTTP_ANSWERED;
}

/* ---- the middleware ---- */

static int on_request(struct cw_http_middleware *table, struct cw_http_exchange *http, void *slot)
{
    const struct cors *self = (const struct cors *)table;
    const char *list = list_for(self, http);

    if (!list && !self->allow) {
        return CW_HTTP_NEXT;
    }
    judge(self, http, list, slot);
    return is_preflight(http) ? answer_preflight(self, http, slot) : (int)CW_HTTP_NEXT;
}

static void on_reply(struct cw_http_middleware *table, struct cw_http_exchange *http, void *slot)
{
    const struct cors *self = (const struct cors *)table;
    const struct asked *asked = slot;

    /* Also where nothing is allowed: a cache must not show that answer to an origin that is. */
    if (asked->varies) {
        cw_http_add_to_list(http, "Vary", "Origin");
    }
    if (!asked->origin) {
        return;
    }
    cw_http_set_field(http, "Access-Control-Allow-Origin", asked->origin);
    if (self->credentials && asked->named) {
        cw_http_set_field(http, "Access-Control-Allow-Credentials", "true");
    }
    if (self->exposed && !asked->preflight) {
        cw_http_set_field(http, "Access-Control-Expose-Headers", self->exposed);
    }
}

static void release(struct cw_http_middleware *table)
{
    struct cors *self = (struct cors *)table;

    cw_release(self->origins);
    cw_release(self->methods);
    cw_release(self->headers);
    cw_release(self->exposed);
    cw_release(self);
}

/* ---- making one ---- */

static bool complain(const char *what)
{
    cw_log(CW_LOG_ERROR, 0, "http_cors: %s", what);
    return false;
}

static bool is_list_of_tokens(const char *text)
{
    struct cw_span rest = cw_span_text(text);
    struct cw_span name;
    bool good = cw_http_is_value(rest);

    while (good && cw_http_list_next(&rest, &name)) {
        good = cw_http_is_token(name);
    }
    return good;
}

static bool check_names(const struct cw_http_cors_options *options)
{
    if (options->methods && !is_list_of_tokens(options->methods)) {
        return complain("methods is no list of methods, parted by commas");
    }
    if (options->headers && !is_list_of_tokens(options->headers)) {
        return complain("headers is no list of fields' names, parted by commas");
    }
    if (options->exposed && !is_list_of_tokens(options->exposed)) {
        return complain("exposed is no list of fields' names, parted by commas");
    }
    return true;
}

static bool check_origins(const struct cw_http_cors_options *options)
{
    struct cw_span word;
    const char *fault = options->origins ? cw_http_origins_fault(options->origins, &word) : NULL;

    if (fault) {
        cw_log(CW_LOG_ERROR, 0, "http_cors: %.*s %s", (int)(word.len < 64 ? word.len : 64),
               (const char *)word.data, fault);
        return false;
    }
    bool any =
        options->origins &&
        cw_http_origin_find(options->origins, (struct cw_span){NULL, 0}) == CW_HTTP_ORIGIN_ANY;
    if (any && options->allow) {
        return complain("origins is \"*\": allow would never be asked");
    }
    /* Fetch standard, "CORS protocol and credentials": browsers refuse the two together; and naming every origin that asks
     * would give all sites what the user alone may have. */
    if (any && options->credentials) {
        return complain("credentials are not for everybody: list the origins instead of \"*\"");
    }
    return true;
}

static bool check(const struct cw_http_cors_options *options)
{
    if (options->max_age_s > MAX_AGE_MOST_S && options->max_age_s != CW_OFF) {
        return complain("max_age_s is at most 86400");
    }
    return check_origins(options) && check_names(options);
}

static bool copy_text(char **to, const char *text)
{
    *to = cw_option_copy(text);
    return *to || !text;
}

static bool set_options(struct cors *self, const struct cw_http_cors_options *options)
{
    uint64_t max_age_s = options->max_age_s == 0 ? MAX_AGE_S : options->max_age_s;

    self->allow = options->allow;
    self->user = options->user;
    self->credentials = options->credentials;
    self->private_network = options->private_network;
    snprintf(self->max_age, sizeof self->max_age, "%" PRIu64, max_age_s == CW_OFF ? 0 : max_age_s);
    return copy_text(&self->origins, options->origins) &&
           copy_text(&self->methods,
                     options->methods ? options->methods : "GET, HEAD, PUT, PATCH, POST, DELETE") &&
           copy_text(&self->headers, options->headers) &&
           copy_text(&self->exposed, options->exposed);
}

struct cw_http_middleware *cw_http_cors(const struct cw_http_cors_options *options)
{
    static const struct cw_http_cors_options none = {0};
    struct cors *self;

    options = options ? options : &none;
    self = check(options) ? cw_alloc_zero(sizeof *self) : NULL;
    if (!self) {
        return NULL;
    }
    self->table = (struct cw_http_middleware){.name = "http_cors",
                                              .slot_size = sizeof(struct asked),
                                              .on_request = on_request,
                                              .on_reply = on_reply,
                                              .release = release};
    if (!set_options(self, options)) {
        release(&self->table);
        return NULL;
    }
    return &self->table;
}

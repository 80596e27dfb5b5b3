/* One table: which member is which field, and what the presets say. */
#include "options_text.h"

#include <causeway/log.h>
#include <causeway/middleware/http_security_headers.h>

#include <stddef.h>

enum { PRESETS = 3 };

/* A field and its value in each preset; NULL: it is left out. */
struct rule {
    const char *name;
    size_t member;
    bool tls_only;
    const char *values[PRESETS]; /* default, strict, api */
};

#define MEMBER(name) offsetof(struct cw_http_security_headers_options, name)

static const struct rule rules[] = {
    {"X-Content-Type-Options",
     MEMBER(content_type_options),
     false,
     {"nosniff", "nosniff", "nosniff"}},
    {"Referrer-Policy",
     MEMBER(referrer_policy),
     false,
     {"strict-origin-when-cross-origin", "no-referrer", "no-referrer"}},
    /* For browsers that do not know frame-ancestors. */
    {"X-Frame-Options", MEMBER(frame_options), false, {"SAMEORIGIN", "DENY", "DENY"}},
    {"Content-Security-Policy",
     MEMBER(content_security_policy),
     false,
     {"frame-ancestors 'self'; base-uri 'self'; object-src 'none'",
      "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src "
      "'none'",
      "default-src 'none'; frame-ancestors 'none'"}},
    {"Strict-Transport-Security",
     MEMBER(strict_transport_security),
     true,
     {"max-age=15552000", "max-age=63072000; includeSubDomains",
      "max-age=63072000; includeSubDomains"}},
    {"Cross-Origin-Opener-Policy",
     MEMBER(cross_origin_opener_policy),
     false,
     {"same-origin-allow-popups", "same-origin", NULL}},
    {"Cross-Origin-Embedder-Policy",
     MEMBER(cross_origin_embedder_policy),
     false,
     {NULL, "require-corp", NULL}},
    {"Cross-Origin-Resource-Policy",
     MEMBER(cross_origin_resource_policy),
     false,
     {"same-site", "same-origin", "same-origin"}},
    {"Permissions-Policy",
     MEMBER(permissions_policy),
     false,
     {NULL, "camera=(), geolocation=(), microphone=(), payment=(), usb=()", NULL}},
    {"Cache-Control", MEMBER(cache_control), false, {NULL, NULL, "no-store"}},
};

enum { RULES = sizeof rules / sizeof *rules };

struct security_headers {
    struct cw_http_middleware table; /* first: self is both */
    char *values[RULES];             /* NULL: left out */
};

static void on_reply(struct cw_http_middleware *table, struct cw_http_exchange *http, void *slot)
{
    const struct security_headers *self = (const struct security_headers *)table;
    /* RFC 6797 §7.2: not over plain HTTP, where anybody could have put it in. */
    bool secure = strcmp(cw_http_scheme(http), "https") == 0;

    for (size_t i = 0; i < RULES; i++) {
        if (self->values[i] && (secure || !rules[i].tls_only) &&
            !cw_http_reply_field(http, rules[i].name).data) {
            cw_http_set_field(http, rules[i].name, self->values[i]);
        }
    }
}

static void release(struct cw_http_middleware *table)
{
    struct security_headers *self = (struct security_headers *)table;

    for (size_t i = 0; i < RULES; i++) {
        cw_release(self->values[i]);
    }
    cw_release(self);
}

/* ---- making one ---- */

/* What a rule's value is; NULL: left out. */
static const char *value_of(const struct cw_http_security_headers_options *options,
                            const struct rule *rule)
{
    const char *own;

    memcpy(&own, (const char *)options + rule->member, sizeof own);
    if (!own) {
        return rule->values[options->preset];
    }
    return *own == '\0' ? NULL : own;
}

static bool is_allowed(const struct cw_http_security_headers_options *options)
{
    if ((unsigned)options->preset >= PRESETS) {
        cw_log(CW_LOG_ERROR, 0, "http_security_headers: there is no preset %d",
               (int)options->preset);
        return false;
    }
    for (size_t i = 0; i < RULES; i++) {
        const char *value = value_of(options, &rules[i]);
        if (value && !cw_http_is_value(cw_span_text(value))) {
            cw_log(CW_LOG_ERROR, 0,
                   "http_security_headers: %s must have no line ends, control characters or "
                   "spaces around it",
                   rules[i].name);
            return false;
        }
    }
    return true;
}

static bool copy_values(struct security_headers *self,
                        const struct cw_http_security_headers_options *options)
{
    for (size_t i = 0; i < RULES; i++) {
        const char *value = value_of(options, &rules[i]);
        self->values[i] = cw_option_copy(value);
        if (value && !self->values[i]) {
            return false;
        }
    }
    return true;
}

struct cw_http_middleware *cw_http_security_headers(
    const struct cw_http_security_headers_options *options)
{
    static const struct cw_http_security_headers_options none = {0};
    struct security_headers *self;

    options = options ? options : &none;
    self = is_allowed(options) ? cw_alloc_zero(sizeof *self) : NULL;
    if (!self) {
        return NULL;
    }
    self->table = (struct cw_http_middleware){
        .name = "http_security_headers", .on_reply = on_reply, .release = release};
    if (!copy_values(self, options)) {
        release(&self->table);
        return NULL;
    }
    return &self->table;
}

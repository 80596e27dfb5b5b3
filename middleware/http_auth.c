/* Both schemes are one machine: read the credentials, ask the application, let through or answer with the challenge. */
#include "credentials.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <causeway/middleware/http_auth.h>

#include <stdio.h>

enum { REALM_MAX = 128, SCOPE_MAX = 256, CHALLENGE_MAX = REALM_MAX + 64 };

struct auth {
    struct cw_http_middleware table; /* first: self is both */
    cw_http_basic_fn basic;          /* one of the two */
    cw_http_bearer_fn bearer;
    void *user;
    bool optional;
    char challenge[CHALLENGE_MAX];
    char scope[SCOPE_MAX + 1];
};

/* How one request stands. */
struct asked {
    struct auth *auth;
    const char *name;  /* Basic: who says to be asking */
    const char *error; /* of RFC 6750 §3.1; NULL: none to tell */
    bool waits;        /* for cw_http_auth_decide */
};

static const char user_name[] = "causeway.user";
static const char asked_name[] = "causeway.auth";

/* ---- who asks ---- */

const char *cw_http_user_of(const struct cw_http_exchange *http)
{
    return cw_http_value(http, user_name);
}

int cw_http_set_user(struct cw_http_exchange *http, const char *name)
{
    size_t size = name ? strlen(name) + 1 : 0;
    char *copy = name ? cw_http_alloc(http, size) : NULL;

    if (name && !copy) {
        return CW_ENOMEM;
    }
    return cw_http_set_value(http, user_name, copy ? memcpy(copy, name, size) : NULL, NULL);
}

bool cw_equal_secret(const char *given, const char *expected)
{
    volatile unsigned difference = 0;
    size_t at = 0;
    size_t len = given ? strlen(given) : 0;

    if (!given || !expected) {
        return false;
    }
    /* As many steps as `given` is long, its zero byte too. Where `expected` is shorter it stays at its end. */
    for (size_t i = 0; i <= len; i++) {
        unsigned byte = (unsigned char)expected[at];
        difference |= byte ^ (unsigned char)given[i];
        at += byte != 0;
    }
    return difference == 0;
}

/* ---- letting through and refusing ---- */

static int refuse(struct asked *asked, struct cw_http_exchange *http, int status, const char *error)
{
    asked->error = asked->auth->bearer ? error : NULL;
    cw_http_reply_error(http, status, NULL);
    return CW_HTTP_ANSWERED;
}

/* The check may have said who asks in its own words. */
static bool let_through(const struct asked *asked, struct cw_http_exchange *http)
{
    return !asked->name || cw_http_user_of(http) || cw_http_set_user(http, asked->name) == CW_OK;
}

/* Without a verdict that is known nobody gets in. */
static int act(struct asked *asked, struct cw_http_exchange *http, int verdict)
{
    switch (verdict) {
    case CW_AUTH_YES:
        if (let_through(asked, http)) {
            return CW_HTTP_NEXT;
        }
        cw_http_reply_error(http, 500, NULL);
        return CW_HTTP_ANSWERED;
    case CW_AUTH_FORBIDDEN:
        return refuse(asked, http, 403, "insufficient_scope");
    case CW_AUTH_NO:
    default:
        return refuse(asked, http, 401, "invalid_token");
    }
}

int cw_http_auth_decide(struct cw_http_exchange *http, int verdict)
{
    struct asked *asked = cw_http_value(http, asked_name);

    if (verdict < CW_AUTH_NO || verdict >= CW_AUTH_LATER) {
        return CW_EINVAL;
    }
    if (!asked || !asked->waits) {
        return CW_ESTATE;
    }
    asked->waits = false;
    if (act(asked, http, verdict) != CW_HTTP_NEXT) {
        return CW_OK;
    }
    return cw_http_next(http, &asked->auth->table);
}

/* ---- reading and asking ---- */

/* RFC 9110 §5.3: of a field that is no list there is one. */
static enum cw_credentials_found field_of(const struct cw_http_exchange *http, struct cw_span *field)
{
    size_t at = 0;

    *field = cw_http_field_next(http, "Authorization", &at);
    if (!field->data) {
        return CW_CREDENTIALS_NONE;
    }
    return cw_http_field_next(http, "Authorization", &at).data ? CW_CREDENTIALS_BAD
                                                               : CW_CREDENTIALS_GOOD;
}

static enum cw_credentials_found read_credentials(struct asked *asked, struct cw_http_exchange *http,
                                                  const char **password)
{
    struct cw_span field;
    struct cw_span token;
    enum cw_credentials_found found = field_of(http, &field);
    char *buffer = found == CW_CREDENTIALS_GOOD ? cw_http_alloc(http, field.len + 1) : NULL;

    if (found != CW_CREDENTIALS_GOOD || !buffer) {
        return found == CW_CREDENTIALS_GOOD ? CW_CREDENTIALS_BAD : found;
    }
    if (asked->auth->basic) {
        return cw_credentials_basic(field, buffer, &asked->name, password);
    }
    found = cw_credentials_bearer(field, &token);
    if (found == CW_CREDENTIALS_GOOD) {
        *password = memcpy(buffer, token.data, token.len);
    }
    return found;
}

static int ask(struct asked *asked, struct cw_http_exchange *http, const char *password)
{
    const struct auth *auth = asked->auth;
    int verdict;

    if (cw_http_user_of(http)) {
        cw_http_set_user(http, NULL); /* of an earlier check: this one decides */
    }
    asked->waits = true;
    verdict = auth->basic ? auth->basic(http, asked->name, password, auth->user)
                          : auth->bearer(http, password, auth->user);
    /* No longer: cw_http_auth_decide was called in there, and counts. */
    if (verdict == CW_AUTH_LATER || !asked->waits) {
        return CW_HTTP_LATER;
    }
    asked->waits = false;
    return act(asked, http, verdict);
}

static int on_request(struct cw_http_middleware *table, struct cw_http_exchange *http, void *slot)
{
    struct asked *asked = slot;
    const char *password = NULL;

    asked->auth = (struct auth *)table;
    if (cw_http_set_value(http, asked_name, asked, NULL) < 0) {
        cw_http_reply_error(http, 500, NULL);
        return CW_HTTP_ANSWERED;
    }
    switch (read_credentials(asked, http, &password)) {
    case CW_CREDENTIALS_GOOD:
        return ask(asked, http, password);
    case CW_CREDENTIALS_NONE:
        return asked->auth->optional ? (int)CW_HTTP_NEXT : refuse(asked, http, 401, NULL);
    case CW_CREDENTIALS_BAD:
    default:
        /* RFC 6750 §3.1: 400 with invalid_request. RFC 7617 knows 401 alone. */
        return asked->auth->bearer ? refuse(asked, http, 400, "invalid_request")
                                   : refuse(asked, http, 401, NULL);
    }
}

/* ---- the challenge ---- */

/* RFC 9110 §11.6.1: a 401 has one for each scheme; one that is there already is left. */
static bool is_challenged(const struct auth *auth, const struct cw_http_exchange *http)
{
    struct cw_span there = cw_http_reply_field(http, "WWW-Authenticate");
    size_t len = auth->basic ? strlen("Basic ") : strlen("Bearer ");

    return there.len >= len && memcmp(there.data, auth->challenge, len) == 0;
}

static void on_reply(struct cw_http_middleware *table, struct cw_http_exchange *http, void *slot)
{
    const struct auth *auth = (const struct auth *)table;
    const struct asked *asked = slot;
    bool scope = asked->error && auth->scope[0] != '\0' && cw_http_reply_status(http) == 403;
    char text[CHALLENGE_MAX + SCOPE_MAX + 64];

    if ((cw_http_reply_status(http) != 401 && !asked->error) || is_challenged(auth, http)) {
        return;
    }
    snprintf(text, sizeof text, "%s%s%s%s%s%s%s", auth->challenge, asked->error ? ", error=\"" : "",
             asked->error ? asked->error : "", asked->error ? "\"" : "", scope ? ", scope=\"" : "",
             scope ? auth->scope : "", scope ? "\"" : "");
    cw_http_add_field(http, "WWW-Authenticate", text);
}

static void release(struct cw_http_middleware *table)
{
    cw_release(table);
}

/* ---- making one ---- */

/* Printable, and needs no escapes between quotes. */
static bool is_quotable(const char *text, size_t max)
{
    size_t len = strnlen(text, max + 1);
    bool good = len <= max;

    for (size_t i = 0; i < len && good; i++) {
        good = text[i] >= 0x20 && text[i] < 0x7f && text[i] != '"' && text[i] != '\\';
    }
    return good;
}

static const char *fault_in(bool has_check, const char *realm, const char *scope)
{
    if (!has_check) {
        return "check is missing: who would decide?";
    }
    if (realm && !is_quotable(realm, REALM_MAX)) {
        return "realm is at most 128 printable characters of ASCII, without quotes and backslashes";
    }
    if (scope && !is_quotable(scope, SCOPE_MAX)) {
        return "scope is at most 256 printable characters of ASCII, without quotes and backslashes";
    }
    return NULL;
}

static struct auth *make(const char *name, const char *fault)
{
    struct auth *auth;

    if (fault) {
        cw_log(CW_LOG_ERROR, 0, "%s: %s", name, fault);
        return NULL;
    }
    auth = cw_alloc_zero(sizeof *auth);
    if (auth) {
        auth->table = (struct cw_http_middleware){.name = name,
                                                  .slot_size = sizeof(struct asked),
                                                  .on_request = on_request,
                                                  .on_reply = on_reply,
                                                  .release = release};
    }
    return auth;
}

static const char *realm_or_default(const char *realm)
{
    return realm ? realm : "Restricted";
}

struct cw_http_middleware *cw_http_basic_auth(const struct cw_http_basic_auth_options *options)
{
    const struct cw_http_basic_auth_options none = {0};
    struct auth *auth;

    options = options ? options : &none;
    auth = make("http_basic_auth", fault_in(options->check != NULL, options->realm, NULL));
    if (!auth) {
        return NULL;
    }
    auth->basic = options->check;
    auth->user = options->user;
    auth->optional = options->optional;
    snprintf(auth->challenge, sizeof auth->challenge, "Basic realm=\"%s\", charset=\"UTF-8\"",
             realm_or_default(options->realm));
    return &auth->table;
}

struct cw_http_middleware *cw_http_bearer_auth(const struct cw_http_bearer_auth_options *options)
{
    const struct cw_http_bearer_auth_options none = {0};
    struct auth *auth;

    options = options ? options : &none;
    auth =
        make("http_bearer_auth", fault_in(options->check != NULL, options->realm, options->scope));
    if (!auth) {
        return NULL;
    }
    auth->bearer = options->check;
    auth->user = options->user;
    auth->optional = options->optional;
    snprintf(auth->challenge, sizeof auth->challenge, "Bearer realm=\"%s\"",
             realm_or_default(options->realm));
    snprintf(auth->scope, sizeof auth->scope, "%s", options->scope ? options->scope : "");
    return &auth->table;
}

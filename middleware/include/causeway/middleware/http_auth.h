/* Who is asking: passwords (Basic, RFC 7617) and tokens (Bearer, RFC 6750). A function of yours decides, at once or later.
 *
 * ```text
 * static int check(struct cw_http_exchange *http, const char *name, const char *password, void *user)
 * {
 *     return strcmp(name, "ada") == 0 && cw_equal_secret(password, user) ? CW_AUTH_YES : CW_AUTH_NO;
 * }
 *
 * struct cw_http_group *admin = cw_http_group(server, "/admin", NULL);
 * cw_http_group_use(admin, cw_http_basic_auth(&(struct cw_http_basic_auth_options){
 *     .realm = "Admin", .check = check, .user = getenv("ADMIN_PASSWORD")}));
 * ```
 *
 * Handlers find the name in cw_http_user_of. Passwords and tokens are written to no log. Over plain TCP both can be read by
 * anybody on the way: use TLS. */
#ifndef CAUSEWAY_MIDDLEWARE_HTTP_AUTH_H
#define CAUSEWAY_MIDDLEWARE_HTTP_AUTH_H

#include <causeway/http_middleware.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a check answers. Zero refuses, so that a forgotten answer lets nobody in. */
enum cw_http_auth_verdict {
    CW_AUTH_NO = 0,        /* 401, with the challenge */
    CW_AUTH_YES = 1,       /* the next middleware, then the handler */
    CW_AUTH_FORBIDDEN = 2, /* known, but not allowed here: 403 */
    CW_AUTH_LATER = 3,     /* cw_http_auth_decide will tell */
};

/* Judges a name and a password. Both are UTF-8 as far as the client keeps to it, hold no control characters, and are good as
 * long as the exchange. */
typedef int (*cw_http_basic_fn)(struct cw_http_exchange *http, const char *name,
                                const char *password, void *user);

/* Judges a token; good as long as the exchange. Says whose it is with cw_http_set_user. */
typedef int (*cw_http_bearer_fn)(struct cw_http_exchange *http, const char *token, void *user);

/* Passwords. Texts are copied. */
struct cw_http_basic_auth_options {
    const char *realm; /* what the browser shows. NULL: "Restricted" */
    cw_http_basic_fn check;
    void *user; /* of check; outlives the server */
    bool optional; /* requests without Basic credentials pass, and have no user; wrong ones are refused all the same */
};

/* Tokens. Texts are copied. */
struct cw_http_bearer_auth_options {
    const char *realm; /* NULL: "Restricted" */
    const char *
        scope; /* what CW_AUTH_FORBIDDEN tells is needed: names parted by one space. NULL: nothing */
    cw_http_bearer_fn check;
    void *user; /* of check; outlives the server */
    bool optional; /* requests without a Bearer token pass, and have no user; wrong ones are refused all the same */
};

/* Makes the middleware, for cw_http_use, cw_http_group_use or a route, which take it over. A 401 of a handler behind it gets
 * the challenge too.
 *
 * options  copied
 * returns  NULL: memory ran out, there is no check, or a text holds what it must not (logged); cw_http_use keeps that as an
 *          error
 * thread   any */
struct cw_http_middleware *cw_http_basic_auth(const struct cw_http_basic_auth_options *options);
struct cw_http_middleware *cw_http_bearer_auth(const struct cw_http_bearer_auth_options *options);

/* Ends what a check put off with CW_AUTH_LATER: the request goes on, or is refused.
 *
 * verdict  any but CW_AUTH_LATER
 * returns  0; CW_EINVAL; CW_ESTATE: no check waits, or it was answered already
 * thread   loop thread (from others: cw_http_post) */
int cw_http_auth_decide(struct cw_http_exchange *http, int verdict);

/* The one who asks: the name that passed a check. NULL: nobody, or nobody knows.
 *
 * thread   loop thread */
const char *cw_http_user_of(const struct cw_http_exchange *http);

/* Says who asks, for checks of tokens and middleware of one's own.
 *
 * name     copied. NULL: nobody
 * returns  0, CW_ENOMEM
 * thread   loop thread */
int cw_http_set_user(struct cw_http_exchange *http, const char *name);

/* Compares secrets in a time that does not tell where they differ, nor how long the expected one is.
 *
 * given     by the peer; NULL is equal to nothing
 * expected  NULL: equal to nothing, so that a password that was never set lets nobody in
 * thread    any */
bool cw_equal_secret(const char *given, const char *expected);

#ifdef __cplusplus
}
#endif

#endif

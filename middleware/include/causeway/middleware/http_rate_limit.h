/* How many requests one client may make: 429 above, and fields that tell clients where they stand.
 *
 * ```text
 * cw_http_use(server, cw_http_rate_limit(&(struct cw_http_rate_limit_options){.requests = 100, .per_ms = 60000}));
 * ``` */
#ifndef CAUSEWAY_MIDDLEWARE_HTTP_RATE_LIMIT_H
#define CAUSEWAY_MIDDLEWARE_HTTP_RATE_LIMIT_H

#include <causeway/http_middleware.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A token bucket for each client. Zero means the default in every member. */
struct cw_http_rate_limit_options {
    uint64_t requests; /* in per_ms, refilled evenly. 0: 600 */
    uint64_t per_ms;   /* 0: 60000 */
    uint64_t burst;    /* at once after a rest. 0: requests */
    uint64_t keys_max; /* clients remembered, about 48 bytes each. 0: 65536 */

    /* When keys_max clients are known and a new one comes: false: the longest silent is forgotten, and would begin
     * anew; true: it is, if its bucket is full again, and otherwise the new one is answered with 503. */
    bool refuse_new;

    /* Who is counted: requests with the same bytes share a bucket; data NULL: this request is not counted. Runs on the
     * loops' threads. NULL: the client's address (cw_http_client), an IPv6 one by its /64, a unix socket not at all. */
    struct cw_span (*key)(struct cw_http_exchange *http, void *user);
    void *user; /* of key */

    const char *name; /* of the policy, in the fields. NULL: "default". Copied */
    bool quiet;       /* without the fields RateLimit-Policy and RateLimit; Retry-After stays */
};

/* Makes the middleware, for cw_http_use, cw_http_group_use or a route. Answers carry RateLimit-Policy and RateLimit
 * (draft-ietf-httpapi-ratelimit-headers), refusals also Retry-After.
 *
 * options  copied; NULL: the defaults
 * returns  NULL: memory ran out, or an option is not allowed (logged); cw_http_use keeps that as an error
 * thread   any */
struct cw_http_middleware *cw_http_rate_limit(const struct cw_http_rate_limit_options *options);

#ifdef __cplusplus
}
#endif

#endif

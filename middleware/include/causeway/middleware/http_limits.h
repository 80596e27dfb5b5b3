/* Limits for a server, a group or a route: how large, how long, how many at once.
 *
 * ```text
 * struct cw_http_group *reports = cw_http_group(server, "/reports", NULL);
 * cw_http_group_use(reports, cw_http_limits(&(struct cw_http_limits_options){
 *     .requests_max = 20, .per_client_max = 2, .response_ms = 300000}));
 * ```
 *
 * A request counts from its head to its last byte; streams of events count as long as they last. How many in a time is what
 * rate limits are for. */
#ifndef CAUSEWAY_MIDDLEWARE_HTTP_LIMITS_H
#define CAUSEWAY_MIDDLEWARE_HTTP_LIMITS_H

#include <causeway/http_middleware.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Limits. Zero means "as it is" in the first three members, otherwise the default. */
struct cw_http_limits_options {
    uint64_t body_max_bytes; /* above: 413. 0: the route's, or the connection's; CW_NO_LIMIT, for routes that stream */
    uint64_t body_ms;     /* without a byte of a body that is waited for; above: 408. CW_OFF */
    uint64_t response_ms; /* from the end of a request to the head of its answer; above: 503. CW_OFF */
    uint64_t requests_max; /* at once, on all loops; above: 503 with Retry-After. 0: no limit */
    uint64_t per_client_max; /* at once, of one IPv4 address or IPv6 /64 (cw_http_client); above: 429 with Retry-After.
                                 Trusted proxies and unix sockets are not counted. 0: no limit */
    uint64_t retry_after_s; /* what Retry-After says. 0: 1 */
};

/* Makes the middleware, for cw_http_use, cw_http_group_use or a route, which take it over.
 *
 * options  copied; NULL: no limits
 * returns  NULL: memory ran out, or a member is not allowed (logged); cw_http_use keeps that as an error
 * thread   any */
struct cw_http_middleware *cw_http_limits(const struct cw_http_limits_options *options);

#ifdef __cplusplus
}
#endif

#endif

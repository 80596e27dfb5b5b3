/* Figures for Prometheus: of the whole server, whatever it speaks, and of its HTTP requests.
 *
 * ```text
 * cw_http_use(server, cw_http_metrics(NULL)); // first, so that it counts what others refuse; serves GET /metrics
 * ``` */
#ifndef CAUSEWAY_MIDDLEWARE_HTTP_METRICS_H
#define CAUSEWAY_MIDDLEWARE_HTTP_METRICS_H

#include <causeway/http_middleware.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zero means the default in every member. */
struct cw_http_metrics_options {
    const char *
        path; /* where the figures are. NULL: "/metrics"; "": nowhere, see cw_http_metrics_reply. Copied */
    const char *
        site; /* answers only on listeners of that site (cw_http_options): an inner port. NULL: on all. Copied */
    const uint64_t *
        buckets_us; /* upper bounds of the histogram of latencies, ascending. NULL: 14 from 0.5 ms to 10 s. Copied */
    size_t bucket_count; /* of them, at most 32 */
};

/* Makes the middleware, for cw_http_use: added first it counts every request. Each worker counts for itself, and the sums
 * are made when the figures are asked for, in Prometheus' text format 0.0.4. Labels are bounded: route is a route's name or
 * "none", method one of RFC 9110's and PATCH or "other".
 *
 * options  copied; NULL: the defaults
 * returns  NULL: memory ran out, or an option is not allowed (logged); cw_http_use keeps that as an error
 * thread   any */
struct cw_http_middleware *cw_http_metrics(const struct cw_http_metrics_options *options);

/* Answers an exchange with the figures, for a route of one's own: behind authentication, say.
 *
 * metrics  made by cw_http_metrics and in use by the exchange's server
 * returns  as cw_http_reply
 * thread   loop thread */
int cw_http_metrics_reply(struct cw_http_middleware *metrics, struct cw_http_exchange *http);

#ifdef __cplusplus
}
#endif

#endif

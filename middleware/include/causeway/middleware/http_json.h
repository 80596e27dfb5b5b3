/* Bodies that are JSON.
 *
 * ```text
 * static void add(struct cw_http_exchange *http, void *user)
 * {
 *     const struct cJSON *body = cw_http_body_json(http, NULL);
 *
 *     if (body == NULL) {
 *         return; // it has been answered: 400, 413 or 415
 *     }
 *     cw_http_reply_text(http, 201, cw_json_text(body, "title"));
 * }
 * ```
 *
 * The type is `application/json` or any `…+json`, in UTF-8, not compressed; the text is RFC 8259 to the letter
 * (causeway/json.h). */
#ifndef CAUSEWAY_MIDDLEWARE_HTTP_JSON_H
#define CAUSEWAY_MIDDLEWARE_HTTP_JSON_H

#include <causeway/http_middleware.h>
#include <causeway/json.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The body as JSON, or an answer that says why it is none: 415 another type, 413 longer than limits->bytes_max, 400 not JSON or
 * deeper than limits->depth_max. For routes that do not stream. Read once: a second call returns the same value, whatever
 * its limits.
 *
 * limits   NULL: the defaults. The route's own limit, body_max_bytes, comes first
 * returns  the exchange's, good until it is done; NULL: it has been answered
 * thread   loop thread */
const struct cJSON *cw_http_body_json(struct cw_http_exchange *http,
                                      const struct cw_json_limits *limits);

/* Makes middleware that refuses what is not JSON before the handler is called; the handler's cw_http_body_json then returns
 * what was read. The type and the length are judged before the body is waited for. Requests without a body pass: a handler
 * that needs one gets its 400 from cw_http_body_json.
 *
 * limits   copied; NULL: the defaults
 * returns  for cw_http_use and its kin, which take it over; NULL: memory ran out (they keep that as an error)
 * thread   any */
struct cw_http_middleware *cw_http_json(const struct cw_json_limits *limits);

#ifdef __cplusplus
}
#endif

#endif

/* Bodies that are forms: application/x-www-form-urlencoded, what a browser sends for a `<form method="post">`.
 *
 * ```text
 * static void sign_up(struct cw_http_exchange *http, void *user)
 * {
 *     const struct cw_http_form *form = cw_http_body_form(http, NULL);
 *
 *     if (form == NULL) {
 *         return; // it has been answered: 400, 413 or 415
 *     }
 *     struct cw_span name = cw_http_form_value(form, "name");
 *     …
 * }
 * ```
 *
 * Names and values are decoded, and are UTF-8. Forms with files are in causeway/middleware/http_multipart.h. */
#ifndef CAUSEWAY_MIDDLEWARE_HTTP_FORM_H
#define CAUSEWAY_MIDDLEWARE_HTTP_FORM_H

#include <causeway/http_middleware.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cw_http_form;

/* Bounds of a form. Zero means the default in every member. The route's own limit, body_max_bytes, comes first. */
struct cw_http_form_limits {
    uint64_t bytes_max;       /* of the body; above: 413. 0: 65536 */
    uint64_t fields_max;      /* above: 413. 0: 256 */
    uint64_t name_max_bytes;  /* decoded; above: 413. 0: 256 */
    uint64_t value_max_bytes; /* decoded; above: 413. 0: as bytes_max */
};

/* The body as a form, or an answer that says why it is none: 415 another type or charset, 413 above a limit, 400 half an escape
 * or not UTF-8. For routes that do not stream. Read once: a second call returns the same, whatever its limits.
 *
 * limits   NULL: the defaults
 * returns  the exchange's, good until it is done; NULL: it has been answered
 * thread   loop thread */
const struct cw_http_form *cw_http_body_form(struct cw_http_exchange *http,
                                             const struct cw_http_form_limits *limits);

/* Makes middleware that refuses what is not a form before the handler is called; the handler's cw_http_body_form then returns
 * what was read. Requests without a body pass: they are an empty form.
 *
 * limits   copied; NULL: the defaults
 * returns  for cw_http_use and its kin, which take it over; NULL: memory ran out (they keep that as an error)
 * thread   any */
struct cw_http_middleware *cw_http_form(const struct cw_http_form_limits *limits);

/* The value of the first field of that name; data NULL: there is none. Ends with a zero byte that does not count. Names are
 * compared byte by byte.
 *
 * thread   loop thread */
struct cw_span cw_http_form_value(const struct cw_http_form *form, const char *name);

/* The next field of that name, for those that come several times (check boxes); data NULL: no more. *at: 0 at first.
 *
 * thread   loop thread */
struct cw_span cw_http_form_value_next(const struct cw_http_form *form, const char *name,
                                       size_t *at);

/* Field number `index`, in the order in which they came. False: there is none.
 *
 * thread   loop thread */
bool cw_http_form_at(const struct cw_http_form *form, size_t index, struct cw_span *name,
                     struct cw_span *value);

#ifdef __cplusplus
}
#endif

#endif

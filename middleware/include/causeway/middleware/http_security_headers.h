/* Fields that tell browsers to be careful with what they get.
 *
 * ```text
 * cw_http_use(server, cw_http_security_headers(NULL));
 * ```
 *
 * A field that a handler has set itself stays as it is. */
#ifndef CAUSEWAY_MIDDLEWARE_HTTP_SECURITY_HEADERS_H
#define CAUSEWAY_MIDDLEWARE_HTTP_SECURITY_HEADERS_H

#include <causeway/http_middleware.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where the values come from; docs/http-middleware-rules.md lists them. */
enum cw_http_security_preset {
    CW_SECURITY_DEFAULT = 0, /* breaks no ordinary site */
    CW_SECURITY_STRICT =
        1, /* pages that load everything from their own origin, and no inline scripts */
    CW_SECURITY_API = 2, /* answers that no browser shows as a page */
};

/* Changes to a preset. In each text NULL is the preset's own, and "" leaves the field out. All are copied. */
struct cw_http_security_headers_options {
    enum cw_http_security_preset preset;
    const char *content_type_options;
    const char *referrer_policy;
    const char *frame_options;
    const char *content_security_policy;
    const char *strict_transport_security; /* sent over TLS only (cw_http_scheme) */
    const char *cross_origin_opener_policy;
    const char *cross_origin_embedder_policy;
    const char *cross_origin_resource_policy;
    const char *permissions_policy;
    const char *cache_control;
};

/* Makes the middleware, for cw_http_use or cw_http_group_use, which take it over.
 *
 * options  copied; NULL: the defaults
 * returns  NULL: memory ran out, there is no such preset, or a text cannot be a field's value (logged); cw_http_use keeps that
 *          as an error
 * thread   any */
struct cw_http_middleware *cw_http_security_headers(
    const struct cw_http_security_headers_options *options);

#ifdef __cplusplus
}
#endif

#endif

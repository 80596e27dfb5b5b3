/* Cross-origin requests (CORS): which other sites' pages may call this server and read what it says.
 *
 * ```text
 * cw_http_use(server, cw_http_cors(&(struct cw_http_cors_options){
 *     .origins = "https://app.example, https://admin.example", .credentials = true}));
 * ```
 *
 * Preflights (OPTIONS with Origin and Access-Control-Request-Method) are answered here with 204, before any route is asked; add
 * it before middleware that asks who the client is, because preflights carry no credentials. A browser keeps to what it is
 * told, others need not: CORS opens a door for pages, it locks none.
 *
 * Origins are compared as they are written in the field Origin: scheme, host and port, nothing else. "null" (sandboxed pages,
 * files) is allowed only where it is listed. */
#ifndef CAUSEWAY_MIDDLEWARE_HTTP_CORS_H
#define CAUSEWAY_MIDDLEWARE_HTTP_CORS_H

#include <causeway/http_middleware.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whether pages of this origin are allowed. Runs on the loops' threads. */
typedef bool (*cw_http_cors_fn)(struct cw_http_exchange *http, struct cw_span origin, void *user);

/* What other origins may do. Zero means the default in every member. All texts are copied. */
struct cw_http_cors_options {
    const char *origins; /* "*" (any), or origins parted by spaces or commas. NULL, without `allow`: what
                              cw_http_options.cors_origin of the connection says */
    cw_http_cors_fn allow; /* asked for origins that are not listed. NULL: they are not allowed */
    void *user;            /* of allow; outlives the server */
    bool credentials;      /* cookies and logins may be sent along; not together with "*" */
    bool private_network;  /* public pages may call this server in a private network */
    const char *methods;   /* NULL: "GET, HEAD, PUT, PATCH, POST, DELETE" */
    const char *headers;   /* NULL: those the preflight asks for */
    const char *exposed; /* fields of the answer that the page may read. NULL: the usual ones alone */
    uint64_t max_age_s; /* how long a preflight's answer counts. 0: 600; CW_OFF: it is asked before each request */
};

/* Makes the middleware, for cw_http_use or cw_http_group_use, which take it over.
 *
 * options  copied; NULL: the defaults
 * returns  NULL: memory ran out, a text is not what it should be, or "*" with credentials (logged); cw_http_use keeps that as
 *          an error
 * thread   any */
struct cw_http_middleware *cw_http_cors(const struct cw_http_cors_options *options);

#ifdef __cplusplus
}
#endif

#endif

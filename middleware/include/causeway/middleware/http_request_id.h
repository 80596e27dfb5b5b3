/* A number for each request, that its answer, its log lines and its calls to other services carry.
 *
 * ```text
 * cw_http_use(server, cw_http_request_id(NULL));
 * …
 * cw_log(CW_LOG_INFO, 0, "%s: nobody has bought it", cw_http_request_id_of(http));
 * ```
 *
 * Ids that are made here are 128 bits that nobody can foretell, as 32 hexadecimal digits. */
#ifndef CAUSEWAY_MIDDLEWARE_HTTP_REQUEST_ID_H
#define CAUSEWAY_MIDDLEWARE_HTTP_REQUEST_ID_H

#include <causeway/http_middleware.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whose ids are taken over. */
enum cw_http_request_id_from {
    CW_REQUEST_ID_FROM_PROXIES = 0, /* of cw_server_options.trusted_proxies, and of unix sockets */
    CW_REQUEST_ID_FROM_ANYONE = 1,  /* clients may then choose what stands in the logs */
    CW_REQUEST_ID_FROM_NOBODY = 2,
};

/* Where ids come from. Zero means the default in every member. */
struct cw_http_request_id_options {
    const char *field; /* of the request and of its answer. NULL: "X-Request-Id". Copied */
    enum cw_http_request_id_from from;
    uint64_t len_max; /* of an id that is taken over; a longer one is replaced. 0: 128; at most 1024 */
};

/* Makes the middleware, for cw_http_use or cw_http_group_use, which take it over. An id is taken over if it is made of
 * letters, digits and `-._~:/+=@`, and the field came once; otherwise one is made.
 *
 * options  copied; NULL: the defaults
 * returns  NULL: memory ran out, or a member is not allowed (logged); cw_http_use keeps that as an error
 * thread   any */
struct cw_http_middleware *cw_http_request_id(const struct cw_http_request_id_options *options);

/* The id of a request, good as long as the exchange; "" without the middleware.
 *
 * thread   loop thread */
const char *cw_http_request_id_of(const struct cw_http_exchange *http);

#ifdef __cplusplus
}
#endif

#endif

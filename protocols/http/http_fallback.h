/* Who answers what no route does, on one connection: for a protocol that hands its connections to HTTP. */
#ifndef CW_HTTP_FALLBACK_H
#define CW_HTTP_FALLBACK_H

#include <causeway/http.h>

/* The handover of a switch to HTTP, made with cw_alloc. It is asked in the place of 404, behind the server's middleware and behind the
 * head alone: a body is read only if it asks. HTTP frees it with cw_http_fallback_free, which is the switch's `drop` too. */
struct cw_http_fallback {
    cw_http_fn fn;
    void *user;
    void (*drop)(void *user); /* when the connection leaves HTTP; may be NULL */
};

void cw_http_fallback_free(void *fallback); /* NULL is allowed */

#endif

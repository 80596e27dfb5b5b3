/* Method, host and path to a route. Knows no server and no connection; set up once, then only read, by any thread.
 *
 * Paths are a tree by segment. A node has its literal children in a hash table, one child for each kind of constraint, one
 * for `:name`, and up to three ends: where the path is over, where it is over behind a slash, and where `*name` takes the
 * rest. Names of parameters belong to the pattern, not to the node, so `/:a` and `/:b/x` share theirs.
 *
 * What a request leads to:
 * - The most specific path wins that has a route for the method: at each segment from the left, the literal before the
 *   constraints (uuid, int, hex, alpha, alnum, slug, in this order) before `:name` before `*name`. So a less specific path
 *   with the right method beats a more specific one without it: with `POST /users/new` and `GET /users/:id` there is an
 *   answer to `GET /users/new`.
 * - At the end of a path the method's own route comes first, then that for GET if HEAD is asked, then that for `*`.
 * - 405 comes only if some path fits and none of those that do has the method. Allow names the methods of all of them.
 * - Of the tables of a site, that of the host itself is asked first, then those of `*.` from the longest name to the
 *   shortest, then that of every host: until one has a route.
 * - `/users` and `/users/` are two paths. `/users/:id?` answers `/users` and `/users/7`; `*path` behind `/files/` answers
 *   `/files`, `/files/` and all below. `:name` is never empty.
 *
 * What it costs: a node is asked at most once for a path, since only one way leads to it, and of its children only those
 * that fit: one literal, however many there are, and at most seven others. So alternatives multiply only where a site's own
 * patterns put literal and parameter side by side on several levels, and never past the nodes there are; a path that the
 * peer makes longer than the longest pattern is not looked at behind it. Nothing is allocated. */
#ifndef CW_HTTP_ROUTER_H
#define CW_HTTP_ROUTER_H

#include "http_site.h"

#include <causeway/protocol.h>

enum {
    CW_HTTP_METHODS_OWN = 22, /* methods that are not in enum cw_http_method_known, of one router */
};

struct cw_http_router;

/* returns  yours; NULL: no memory */
struct cw_http_router *cw_http_router_new(void);
void cw_http_router_free(struct cw_http_router *router); /* not the routes. NULL is allowed */

/* Where a pattern counts; NULL: those without a site, any host. */
struct cw_http_place {
    const char *site;
    const char *host; /* `*.example`: all below it */
};

/* Adds a route under its method and path. It is borrowed, its name need not be set.
 *
 * returns  0, CW_ENOMEM, or CW_EINVAL with a sentence that begins with method and path; nothing was added then */
int cw_http_router_add(struct cw_http_router *router, const struct cw_http_place *place,
                       const struct cw_http_route *route, struct cw_complaint *complaint);

/* Adds a prefix. Of several equal ones the first counts.
 *
 * prefix   "" or what stands before a path
 * returns  as cw_http_router_add */
int cw_http_router_add_prefix(struct cw_http_router *router, const struct cw_http_place *place,
                              const char *prefix, struct cw_http_group *group,
                              struct cw_complaint *complaint);

/* What is found besides the match. */
struct cw_http_found {
    struct cw_http_group *group; /* of the longest prefix, of the first table that has one; NULL: none */
    const struct cw_http_route *other; /* 405, 204: the first route of another method; NULL: none */
    size_t steps;                      /* nodes asked and texts compared */
};

/* Finds it. match->chain is not set. */
void cw_http_router_find(const struct cw_http_router *router, const struct cw_http_ask *ask,
                         struct cw_http_match *match, struct cw_http_found *found);

#endif

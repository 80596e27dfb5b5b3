/* What a server serves: routes, groups, middleware, error pages; set up before it runs, then only read. */
#ifndef CW_HTTP_SITE_H
#define CW_HTTP_SITE_H

#include "http_parse.h"

#include <causeway/http_middleware.h>
#include <causeway/parts.h>

struct cw_http_router;

enum {
    CW_HTTP_PARAMS_MAX = 16, /* of a route */
    CW_HTTP_ALLOW_MAX = 320, /* all methods of a site, as Allow lists them */
};

/* One middleware in the chain of a route. */
struct cw_http_link {
    struct cw_http_middleware *middleware;
    uint32_t slot; /* offset into the exchange's slots, aligned for anything */
};

/* A chain: the server's, the group's, the route's, in this order. */
struct cw_http_chain {
    const struct cw_http_link *links;
    size_t count;
    size_t slots_size; /* of all of them */
};

struct cw_http_route {
    struct cw_http_route *next; /* in the order in which they were added */
    struct cw_http_group *group;
    cw_http_fn fn;
    void *user;
    struct cw_http_route_options options; /* zeros are still "as the connection says" */
    struct cw_http_chain chain;
    char *name;
    char *method; /* as the listing shows it: "GET", "GET|PUT", "*" */
    char *path;
};

/* What a request leads to. */
struct cw_http_match {
    const struct cw_http_route *route; /* NULL: status says why */
    int status; /* 404; 405; 204: OPTIONS that nobody answers otherwise. 0: a route */
    /* Never NULL. 405, 204: that of the group of the first route that has the path; 404: that of the group with the longest
     * prefix below which the path lies, or the server's. */
    const struct cw_http_chain *chain;
    const char *allow; /* 405, 204: value of Allow; in allow_text */
    struct {
        const char *name;
        struct cw_span value; /* a view of the path that was matched */
    } params[CW_HTTP_PARAMS_MAX];
    size_t param_count;
    char allow_text[CW_HTTP_ALLOW_MAX]; /* set where allow is */
};

struct cw_http_refused_hook {
    void (*fn)(struct cw_conn *conn, int status, void *user);
    void *user;
};

/* The part of the server that holds all of it. */
extern const struct cw_server_part cw_http_site_part;
struct cw_http_site;

/* The part's memory as a site. NULL: the server has none (it never had a route nor middleware). */
struct cw_http_site *cw_http_site_of(const struct cw_server *server);

/* What is asked. */
struct cw_http_ask {
    const char *site; /* of the listener; NULL: none */
    enum cw_http_method_known known;
    struct cw_span method;
    struct cw_span host; /* without the port, any case; data NULL: none */
    struct cw_span
        path; /* decoded and normalised; "*": OPTIONS *; empty: CONNECT, which is not served: 405 */
};

/* Finds what a request leads to. Costs as much as the path is long, whatever the number of routes (http_router.h).
 *
 * match  its spans are views of the path */
void cw_http_site_match(const struct cw_http_site *site, const struct cw_http_ask *ask,
                        struct cw_http_match *match);

/* The page for a status, or for all; NULL: none. */
cw_http_fn cw_http_site_error_page(const struct cw_http_site *site, int status, void **user);

/* Hooks of cw_http_on_refused. Returns how many. */
size_t cw_http_site_refused_hooks(const struct cw_http_site *site,
                                  const struct cw_http_refused_hook **hooks);

#endif

/* The tree of routes: http_router.c builds it, http_router_find.c reads it. */
#ifndef CW_HTTP_ROUTER_IMPL_H
#define CW_HTTP_ROUTER_IMPL_H

#include "http_map.h"
#include "http_pattern.h"
#include "http_router.h"

#include <assert.h>

/* A route under one place's path. In the leaves of both paths that an optional parameter makes. */
struct cw_route_entry {
    struct cw_route_entry *next; /* of the router */
    const struct cw_http_route *route;
    uint32_t methods; /* bits */
    size_t name_count;
    const char *names[]; /* of the parameters, from the left; their text stands behind */
};

/* Where a path may end. */
struct cw_route_leaf {
    struct cw_route_entry **entries;
    size_t count;
    uint32_t methods; /* of all entries */
};

enum cw_route_end { CW_ROUTE_END_PLAIN, CW_ROUTE_END_SLASH, CW_ROUTE_END_REST, CW_ROUTE_END_COUNT };

enum {
    CW_ROUTE_KIND_FIRST = CW_SEGMENT_UUID,
    CW_ROUTE_KIND_COUNT = CW_SEGMENT_ANY - CW_SEGMENT_UUID + 1
};

struct cw_route_node {
    struct cw_route_node *next; /* of the router */
    struct cw_http_map literals;
    struct cw_route_node *kinds[CW_ROUTE_KIND_COUNT];
    struct cw_route_leaf ends[CW_ROUTE_END_COUNT];
    struct cw_http_group *group; /* whose prefix ends here */
    char text[];                 /* of a literal */
};

/* The routes of one host. */
struct cw_route_table {
    struct cw_route_table *next; /* of the router */
    struct cw_route_node *root;
    struct cw_route_leaf asterisk; /* the path `*` */
    uint32_t methods;              /* of all routes */
    char host[];                   /* `*.example` as `.example`; "": every host */
};

/* The tables of one site. */
struct cw_route_site {
    struct cw_route_site *next;
    struct cw_route_table *open; /* of every host; NULL: none */
    struct cw_http_map hosts;
    bool has_wildcards;
    bool is_named;
    char name[];
};

struct cw_http_router {
    struct cw_route_site *sites;
    struct cw_route_table *tables;
    struct cw_route_node *nodes;
    struct cw_route_entry *entries;
    char *own[CW_HTTP_METHODS_OWN]; /* methods that are not known, in the order of their bits */
    size_t own_count;
    size_t own_bytes;
};

enum {
    CW_ROUTE_BIT_ANY = 1 << CW_METHOD_OTHER, /* `*` */
    CW_ROUTE_BIT_GET = 1 << CW_METHOD_GET,
    CW_ROUTE_BIT_HEAD = 1 << CW_METHOD_HEAD,
    CW_ROUTE_BIT_OPTIONS = 1 << CW_METHOD_OPTIONS,
    CW_ROUTE_OWN_FIRST = CW_METHOD_PATCH + 1,
    CW_ROUTE_HOST_MAX = 253, /* RFC 1035 §2.3.4, as text */
};

static_assert(CW_ROUTE_OWN_FIRST + CW_HTTP_METHODS_OWN <= 32, "a bit for each method");

/* The names of enum cw_http_method_known. */
extern const char *const cw_route_method_names[CW_ROUTE_OWN_FIRST];

/* NULL: there is none of that name. */
struct cw_route_site *cw_route_find_site(const struct cw_http_router *router, const char *name);

/* The bit of a method that is not known; 0: no route has it. */
uint32_t cw_route_own_bit(const struct cw_http_router *router, struct cw_span method);

/* to: room for from.len bytes */
void cw_route_lower_case(struct cw_span from, char *to);

#endif

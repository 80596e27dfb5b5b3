/* The way of a path through the tree: no allocation, no lock, by any thread. */
#include "http_router_impl.h"

#include <stdio.h>

/* ---- the way of a path ---- */

/* One search. */
struct search {
    struct cw_span path;
    uint32_t bit;     /* of the method; 0: nobody here knows it */
    uint32_t methods; /* of the routes that fit but for it */
    const struct cw_route_entry *entry;
    size_t params; /* captured for it */
    struct cw_http_match *match;
    struct cw_http_found *found;
    size_t group_depth; /* of found->group, plus one */
};

/* Where it stands: behind a segment. */
struct point {
    size_t at;    /* offset of the slash behind it, or of the path's end */
    size_t depth; /* segments so far */
    size_t params;
};

static const struct cw_route_entry *pick(const struct cw_route_leaf *leaf, uint32_t bit)
{
    for (size_t i = 0; i < leaf->count; i++) {
        if (leaf->entries[i]->methods & bit) {
            return leaf->entries[i];
        }
    }
    return NULL;
}

/* Whether a leaf answers; otherwise its methods are remembered for Allow. params: captured up to there. */
static bool try_leaf(struct search *search, const struct cw_route_leaf *leaf, size_t params)
{
    uint32_t bit = search->bit;

    if (leaf->count == 0) {
        return false;
    }
    if (!(leaf->methods & bit)) {
        bit = bit == CW_ROUTE_BIT_HEAD ? leaf->methods & CW_ROUTE_BIT_GET : 0;
        bit = bit ? bit : leaf->methods & CW_ROUTE_BIT_ANY;
    }
    search->entry = pick(leaf, bit);
    search->params = params;
    if (!search->entry) {
        search->methods |= leaf->methods;
        if (!search->found->other) {
            search->found->other = leaf->entries[0]->route;
        }
    }
    return search->entry != NULL;
}

static void capture(struct search *search, const struct point *point, struct cw_span value)
{
    assert(point->params < CW_HTTP_PARAMS_MAX);
    search->match->params[point->params].value = value;
}

static bool try_rest(struct search *search, const struct cw_route_node *node,
                     const struct point *point)
{
    size_t from = point->at < search->path.len ? point->at + 1 : point->at;

    if (!try_leaf(search, &node->ends[CW_ROUTE_END_REST], point->params + 1)) {
        return false;
    }
    capture(search, point, cw_span_of(search->path.data + from, search->path.len - from));
    return true;
}

static void note_group(struct search *search, const struct cw_route_node *node, size_t depth)
{
    if (node->group && depth + 1 > search->group_depth) {
        search->found->group = node->group;
        search->group_depth = depth + 1;
    }
}

static bool visit(struct search *search, const struct cw_route_node *node,
                  const struct point *point);

/* The children of a node that fit the segment behind the point. As deep as the longest pattern, not as the path. */
static bool visit_children(struct search *search, const struct cw_route_node *node,
                           const struct point *point)
{
    const uint8_t *text = search->path.data + point->at + 1;
    size_t left = search->path.len - point->at - 1;
    const uint8_t *slash = memchr(text, '/', left);
    struct cw_span segment = cw_span_of(text, slash ? (size_t)(slash - text) : left);
    struct point next = {point->at + 1 + segment.len, point->depth + 1, point->params};
    const struct cw_route_node *child =
        cw_http_map_find(&node->literals, segment, &search->found->steps);

    if (child && visit(search, child, &next)) {
        return true;
    }
    next.params++;
    for (size_t i = 0; i < CW_ROUTE_KIND_COUNT; i++) {
        child = node->kinds[i];
        if (child &&
            cw_http_segment_fits((enum cw_http_segment_kind)(CW_ROUTE_KIND_FIRST + i), segment)) {
            if (visit(search, child, &next)) {
                capture(search, point, segment);
                return true;
            }
        }
    }
    return false;
}

/* What lies behind a node. When it finds a route, the values are captured on the way back. */
static bool visit(struct search *search, const struct cw_route_node *node, const struct point *point)
{
    search->found->steps++;
    note_group(search, node, point->depth);
    if (point->at == search->path.len) {
        return try_leaf(search, &node->ends[CW_ROUTE_END_PLAIN], point->params) ||
               try_rest(search, node, point);
    }
    if (point->at + 1 == search->path.len) {
        return try_leaf(search, &node->ends[CW_ROUTE_END_SLASH], point->params) ||
               try_rest(search, node, point);
    }
    return visit_children(search, node, point) || try_rest(search, node, point);
}

/* ---- which tables ---- */

/* The server as a whole is asked: `OPTIONS *`, or CONNECT, which has no path. */
static bool is_whole(struct cw_span path)
{
    return path.len == 0 || path.data[0] == '*';
}

static bool search_table(struct search *search, const struct cw_route_table *table)
{
    struct cw_http_group *group = search->found->group;
    size_t depth = search->group_depth;
    bool found;

    if (is_whole(search->path)) {
        search->methods |= table->methods;
        note_group(search, table->root, 0);
        found = search->path.len > 0 && try_leaf(search, &table->asterisk, 0);
    } else {
        found = search->path.data[0] == '/' && visit(search, table->root, &(struct point){0, 0, 0});
    }
    if (group) {
        search->found->group = group;
        search->group_depth = depth;
    }
    return found;
}

static bool search_hosts(struct search *search, const struct cw_route_site *site,
                         struct cw_span host)
{
    char lower[CW_ROUTE_HOST_MAX];
    const struct cw_route_table *table;

    /* A name may end in a dot: the same one, said in full. */
    host.len -= host.len > 0 && host.data[host.len - 1] == '.';
    /* Names do not begin with one; in the table that is what wildcards look like. */
    if (host.len == 0 || host.len > CW_ROUTE_HOST_MAX || host.data[0] == '.') {
        return false;
    }
    cw_route_lower_case(host, lower);
    table = cw_http_map_find(&site->hosts, cw_span_of(lower, host.len), &search->found->steps);
    if (table && search_table(search, table)) {
        return true;
    }
    for (size_t i = 1; i < host.len && site->has_wildcards; i++) {
        if (lower[i] == '.') {
            table = cw_http_map_find(&site->hosts, cw_span_of(lower + i, host.len - i),
                                     &search->found->steps);
            if (table && search_table(search, table)) {
                return true;
            }
        }
    }
    return false;
}

static bool search_site(struct search *search, const struct cw_route_site *site, struct cw_span host)
{
    return (site->hosts.count > 0 && search_hosts(search, site, host)) ||
           (site->open && search_table(search, site->open));
}

/* ---- what is found ---- */

static void print_allow(const struct cw_http_router *router, uint32_t methods,
                        char text[CW_HTTP_ALLOW_MAX])
{
    size_t len = 0;

    methods |= CW_ROUTE_BIT_OPTIONS | (methods & CW_ROUTE_BIT_GET ? CW_ROUTE_BIT_HEAD : 0);
    for (size_t i = CW_METHOD_GET; i < CW_ROUTE_OWN_FIRST + router->own_count; i++) {
        const char *name =
            i < CW_ROUTE_OWN_FIRST ? cw_route_method_names[i] : router->own[i - CW_ROUTE_OWN_FIRST];

        if (methods & 1U << i) {
            len += (size_t)snprintf(text + len, CW_HTTP_ALLOW_MAX - len, "%s%s",
                                    len > 0 ? ", " : "", name);
        }
    }
}

static void tell_route(const struct search *search, struct cw_http_match *match)
{
    const struct cw_route_entry *entry = search->entry;

    match->route = entry->route;
    match->param_count = search->params;
    for (size_t i = 0; i < search->params; i++) {
        match->params[i].name = entry->names[i];
    }
}

static void tell_none(const struct cw_http_router *router, const struct search *search, bool fits,
                      struct cw_http_match *match)
{
    match->status = 404;
    if (fits) {
        match->status = search->bit == CW_ROUTE_BIT_OPTIONS ? 204 : 405;
        print_allow(router, search->methods, match->allow_text);
        match->allow = match->allow_text;
    }
}

void cw_http_router_find(const struct cw_http_router *router, const struct cw_http_ask *ask,
                         struct cw_http_match *match, struct cw_http_found *found)
{
    const struct cw_route_site *site = cw_route_find_site(router, ask->site);
    struct search search = {.path = ask->path, .match = match, .found = found};

    *found = (struct cw_http_found){NULL, NULL, 0};
    match->route = NULL;
    match->status = 0;
    match->allow = NULL;
    match->param_count = 0;
    search.bit =
        ask->known == CW_METHOD_OTHER ? cw_route_own_bit(router, ask->method) : 1U << ask->known;
    if (site && search_site(&search, site, ask->host)) {
        tell_route(&search, match);
    } else {
        tell_none(router, &search, site && (search.methods != 0 || is_whole(ask->path)), match);
    }
}

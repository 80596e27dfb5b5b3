/* The tree of routes: built while a server is set up, then read by all its loops. */
#include "http_router.h"

#include "http_pattern.h"

#include <assert.h>
#include <causeway/error.h>
#include <causeway/log.h>
#include <stdarg.h>
#include <stdio.h>

static_assert((int)CW_HTTP_PATTERN_PARAMS_MAX <= (int)CW_HTTP_PARAMS_MAX, "a match has them all");

/* ---- tables by text ---- */

struct slot {
    uint32_t hash;
    struct cw_span key; /* lives in the value */
    void *value;        /* NULL: free */
};

/* At most half full. Keys are the site's own: a peer chooses only what is looked up. */
struct map {
    struct slot *slots;
    size_t count;
    size_t cap; /* a power of two, or 0 */
    size_t longest;
};

/* FNV-1a, and a last step that brings the high bits down. */
static uint32_t hash_of(struct cw_span key)
{
    uint32_t hash = 2166136261U;

    for (size_t i = 0; i < key.len; i++) {
        hash = (hash ^ key.data[i]) * 16777619U;
    }
    return hash ^ hash >> 15;
}

/* The slot of the key, or the free one where it would be. */
static struct slot *map_slot(const struct map *map, struct cw_span key, size_t *steps)
{
    uint32_t hash = hash_of(key);
    size_t at = hash & (map->cap - 1);

    while (map->slots[at].value) {
        if (map->slots[at].hash == hash) {
            ++*steps;
            if (cw_span_equal(map->slots[at].key, key)) {
                break;
            }
        }
        at = (at + 1) & (map->cap - 1);
    }
    return &map->slots[at];
}

static void *map_find(const struct map *map, struct cw_span key, size_t *steps)
{
    return map->count == 0 || key.len > map->longest ? NULL : map_slot(map, key, steps)->value;
}

static int map_grow(struct map *map)
{
    struct map larger = {.cap = map->cap ? 2 * map->cap : 4, .longest = map->longest};

    larger.slots = cw_alloc_zero(larger.cap * sizeof *larger.slots);
    if (!larger.slots) {
        return CW_ENOMEM;
    }
    for (size_t i = 0; i < map->cap; i++) {
        if (map->slots[i].value) {
            size_t steps = 0;

            *map_slot(&larger, map->slots[i].key, &steps) = map->slots[i];
        }
    }
    larger.count = map->count;
    cw_release(map->slots);
    *map = larger;
    return CW_OK;
}

/* The key is not there yet. */
static int map_add(struct map *map, struct cw_span key, void *value)
{
    size_t steps = 0;

    if (2 * (map->count + 1) > map->cap && map_grow(map) < 0) {
        return CW_ENOMEM;
    }
    *map_slot(map, key, &steps) = (struct slot){hash_of(key), key, value};
    map->count++;
    map->longest = key.len > map->longest ? key.len : map->longest;
    return CW_OK;
}

/* ---- the tree ---- */

/* A route under one place's path. In the leaves of both paths that an optional parameter makes. */
struct entry {
    struct entry *next; /* of the router */
    const struct cw_http_route *route;
    uint32_t methods; /* bits */
    size_t name_count;
    const char *names[]; /* of the parameters, from the left; their text stands behind */
};

/* Where a path may end. */
struct leaf {
    struct entry **entries;
    size_t count;
    uint32_t methods; /* of all entries */
};

enum end { END_PLAIN, END_SLASH, END_REST, END_COUNT };

enum { KIND_FIRST = CW_SEGMENT_UUID, KIND_COUNT = CW_SEGMENT_ANY - CW_SEGMENT_UUID + 1 };

struct node {
    struct node *next; /* of the router */
    struct map literals;
    struct node *kinds[KIND_COUNT];
    struct leaf ends[END_COUNT];
    struct cw_http_group *group; /* whose prefix ends here */
    char text[];                 /* of a literal */
};

/* The routes of one host. */
struct table {
    struct table *next; /* of the router */
    struct node *root;
    struct leaf asterisk; /* the path `*` */
    uint32_t methods;     /* of all routes */
    char host[];          /* `*.example` as `.example`; "": every host */
};

/* The tables of one site. */
struct site {
    struct site *next;
    struct table *open; /* of every host; NULL: none */
    struct map hosts;
    bool has_wildcards;
    bool is_named;
    char name[];
};

struct cw_http_router {
    struct site *sites;
    struct table *tables;
    struct node *nodes;
    struct entry *entries;
    char *own[CW_HTTP_METHODS_OWN]; /* methods that are not known, in the order of their bits */
    size_t own_count;
    size_t own_bytes;
};

enum {
    BIT_ANY = 1 << CW_METHOD_OTHER, /* `*` */
    BIT_GET = 1 << CW_METHOD_GET,
    BIT_HEAD = 1 << CW_METHOD_HEAD,
    BIT_OPTIONS = 1 << CW_METHOD_OPTIONS,
    OWN_FIRST = CW_METHOD_PATCH + 1,
    HOST_MAX = 253,   /* RFC 1035 §2.3.4, as text */
    USUAL_BYTES = 64, /* of the known methods in Allow, with commas */
};

static_assert(OWN_FIRST + CW_HTTP_METHODS_OWN <= 32, "a bit for each method");

static const char *const method_names[] = {
    [CW_METHOD_GET] = "GET",         [CW_METHOD_HEAD] = "HEAD",     [CW_METHOD_POST] = "POST",
    [CW_METHOD_PUT] = "PUT",         [CW_METHOD_DELETE] = "DELETE", [CW_METHOD_OPTIONS] = "OPTIONS",
    [CW_METHOD_CONNECT] = "CONNECT", [CW_METHOD_TRACE] = "TRACE",   [CW_METHOD_PATCH] = "PATCH",
};

/* ---- life ---- */

struct cw_http_router *cw_http_router_new(void)
{
    return cw_alloc_zero(sizeof(struct cw_http_router));
}

static void free_nodes(struct cw_http_router *router)
{
    while (router->nodes) {
        struct node *node = router->nodes;

        router->nodes = node->next;
        cw_release(node->literals.slots);
        for (size_t i = 0; i < END_COUNT; i++) {
            cw_release(node->ends[i].entries);
        }
        cw_release(node);
    }
}

static void free_tables(struct cw_http_router *router)
{
    while (router->tables) {
        struct table *table = router->tables;

        router->tables = table->next;
        cw_release(table->asterisk.entries);
        cw_release(table);
    }
    while (router->sites) {
        struct site *site = router->sites;

        router->sites = site->next;
        cw_release(site->hosts.slots);
        cw_release(site);
    }
}

void cw_http_router_free(struct cw_http_router *router)
{
    if (!router) {
        return;
    }
    free_nodes(router);
    free_tables(router);
    while (router->entries) {
        struct entry *entry = router->entries;

        router->entries = entry->next;
        cw_release(entry);
    }
    for (size_t i = 0; i < router->own_count; i++) {
        cw_release(router->own[i]);
    }
    cw_release(router);
}

/* ---- set-up: what is wrong ---- */

__attribute__((format(printf, 2, 3))) static int complain(struct cw_complaint *complaint,
                                                          const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(complaint->text, sizeof complaint->text, format, args);
    va_end(args);
    return CW_EINVAL;
}

/* ---- set-up: places ---- */

static struct site *find_site(const struct cw_http_router *router, const char *name)
{
    struct site *site = router->sites;

    while (site && (site->is_named != (name != NULL) || (name && strcmp(site->name, name) != 0))) {
        site = site->next;
    }
    return site;
}

static struct site *make_site(struct cw_http_router *router, const char *name)
{
    struct site *site = find_site(router, name);
    size_t len = name ? strlen(name) : 0;

    if (site) {
        return site;
    }
    site = cw_alloc_zero(sizeof *site + len + 1);
    if (site) {
        memcpy(site->name, name ? name : "", len);
        site->is_named = name != NULL;
        site->next = router->sites;
        router->sites = site;
    }
    return site;
}

static struct node *make_node(struct cw_http_router *router, struct cw_span text)
{
    struct node *node = cw_alloc_zero(sizeof *node + text.len);

    if (node) {
        if (text.len > 0) {
            memcpy(node->text, text.data, text.len);
        }
        node->next = router->nodes;
        router->nodes = node;
    }
    return node;
}

static void lower_case(struct cw_span from, char *to)
{
    for (size_t i = 0; i < from.len; i++) {
        uint8_t c = from.data[i];

        to[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
}

static struct table *new_table(struct cw_http_router *router, struct cw_span host)
{
    struct table *table = cw_alloc_zero(sizeof *table + host.len + 1);

    if (!table) {
        return NULL;
    }
    lower_case(host, table->host);
    table->next = router->tables;
    router->tables = table;
    table->root = make_node(router, cw_span_of(NULL, 0));
    return table->root ? table : NULL;
}

static struct table *host_table(struct cw_http_router *router, struct site *site, const char *host)
{
    bool wildcard = host[0] == '*';
    struct cw_span name = cw_span_text(host + wildcard);
    char lower[HOST_MAX + 1] = "";
    size_t steps = 0;
    struct table *table;

    lower_case(name, lower);
    table = map_find(&site->hosts, cw_span_of(lower, name.len), &steps);
    if (table) {
        return table;
    }
    table = new_table(router, name);
    if (!table || map_add(&site->hosts, cw_span_of(table->host, name.len), table) < 0) {
        return NULL;
    }
    site->has_wildcards |= wildcard;
    return table;
}

static const char *wrong_host(const char *host)
{
    size_t skip = strncmp(host, "*.", 2) == 0 ? 2 : 0;
    size_t len = strlen(host);

    if (len == skip) {
        return "empty";
    }
    if (len > HOST_MAX) {
        return "longer than 253 characters";
    }
    if (host[0] == '[' ? host[len - 1] != ']' : strchr(host, ':') != NULL) {
        return "a port is no part of it";
    }
    for (size_t i = skip; i < len; i++) {
        if (host[i] <= ' ' || host[i] == 0x7f || strchr("*/?#@", host[i])) {
            return "not a name like api.example or *.example";
        }
    }
    return host[skip] == '.' || host[len - 1] == '.' ? "a dot at its start or end" : NULL;
}

/* The table of a place, made if it is not there. */
static int make_table(struct cw_http_router *router, const struct cw_http_place *place,
                      struct table **table, struct cw_complaint *complaint)
{
    const char *wrong = place->host ? wrong_host(place->host) : NULL;
    struct site *site;

    if (wrong) {
        return complain(complaint, "host \"%.60s\": %s", place->host, wrong);
    }
    site = make_site(router, place->site);
    if (!site) {
        return CW_ENOMEM;
    }
    if (place->host) {
        *table = host_table(router, site, place->host);
    } else {
        *table = site->open ? site->open : new_table(router, cw_span_of(NULL, 0));
        site->open = *table;
    }
    return *table ? CW_OK : CW_ENOMEM;
}

/* ---- set-up: nodes ---- */

static struct node *literal_child(struct cw_http_router *router, struct node *node,
                                  struct cw_span text)
{
    size_t steps = 0;
    struct node *child = map_find(&node->literals, text, &steps);

    if (child) {
        return child;
    }
    child = make_node(router, text);
    if (!child || map_add(&node->literals, cw_span_of(child->text, text.len), child) < 0) {
        return NULL;
    }
    return child;
}

static struct node *kind_child(struct cw_http_router *router, struct node *node,
                               enum cw_http_segment_kind kind)
{
    struct node **child = &node->kinds[kind - KIND_FIRST];

    if (!*child) {
        *child = make_node(router, cw_span_of(NULL, 0));
    }
    return *child;
}

/* The node behind the first `count` segments, a rest not counted. NULL: no memory. */
static struct node *make_way(struct cw_http_router *router, struct node *node,
                             const struct cw_http_pattern *pattern, size_t count)
{
    for (size_t i = 0; node && i < count; i++) {
        const struct cw_http_segment *segment = &pattern->segments[i];

        if (segment->kind == CW_SEGMENT_LITERAL) {
            node = literal_child(router, node, segment->text);
        } else {
            node = kind_child(router, node, segment->kind);
        }
    }
    return node;
}

/* ---- set-up: methods ---- */

static size_t known_method(struct cw_span method)
{
    size_t known = CW_METHOD_GET;

    while (known < OWN_FIRST && !cw_span_equal(method, cw_span_text(method_names[known]))) {
        known++;
    }
    return known;
}

static uint32_t own_bit(const struct cw_http_router *router, struct cw_span method)
{
    for (size_t i = 0; i < router->own_count; i++) {
        if (cw_span_equal(method, cw_span_text(router->own[i]))) {
            return 1U << (OWN_FIRST + i);
        }
    }
    return 0;
}

static int add_own(struct cw_http_router *router, struct cw_span method, char why[CW_HTTP_WHY_MAX])
{
    size_t bytes = router->own_bytes + method.len + 2;
    char *text;

    if (router->own_count == CW_HTTP_METHODS_OWN || bytes > CW_HTTP_ALLOW_MAX - USUAL_BYTES) {
        snprintf(why, CW_HTTP_WHY_MAX, "too many methods of its own; at most %d, and %d bytes",
                 CW_HTTP_METHODS_OWN, CW_HTTP_ALLOW_MAX - USUAL_BYTES);
        return CW_EINVAL;
    }
    text = cw_alloc_zero(method.len + 1);
    if (!text) {
        return CW_ENOMEM;
    }
    memcpy(text, method.data, method.len);
    router->own[router->own_count++] = text;
    router->own_bytes = bytes;
    return CW_OK;
}

static int method_bit(struct cw_http_router *router, struct cw_span method, uint32_t *bit,
                      char why[CW_HTTP_WHY_MAX])
{
    size_t known = known_method(method);
    int error = CW_OK;

    *bit = known < OWN_FIRST ? 1U << known : own_bit(router, method);
    if (*bit == 0) {
        error = add_own(router, method, why);
        *bit = own_bit(router, method);
    }
    return error;
}

static int read_methods(struct cw_http_router *router, const char *text, uint32_t *methods,
                        char why[CW_HTTP_WHY_MAX])
{
    struct cw_span rest = cw_span_text(text);
    int error = CW_OK;

    *methods = 0;
    if (cw_span_equal(rest, cw_span_text("*"))) {
        *methods = BIT_ANY;
        return CW_OK;
    }
    do {
        struct cw_span method;
        uint32_t bit = 0;

        error = cw_http_pattern_method(&rest, &method, why);
        if (error == CW_OK && cw_span_equal(method, cw_span_text("*"))) {
            snprintf(why, CW_HTTP_WHY_MAX, "`*` is every method and stands alone");
            return CW_EINVAL;
        }
        error = error < 0 ? error : method_bit(router, method, &bit, why);
        *methods |= bit;
    } while (error == CW_OK && rest.len > 0);
    return error;
}

/* ---- set-up: entries ---- */

static size_t names_size(const struct cw_http_pattern *pattern, size_t *count)
{
    size_t bytes = 0;

    *count = 0;
    for (size_t i = 0; i < pattern->count; i++) {
        if (pattern->segments[i].kind != CW_SEGMENT_LITERAL) {
            bytes += pattern->segments[i].text.len + 1;
            ++*count;
        }
    }
    return bytes;
}

static struct entry *make_entry(struct cw_http_router *router, const struct cw_http_route *route,
                                const struct cw_http_pattern *pattern, uint32_t methods)
{
    size_t count;
    size_t bytes = names_size(pattern, &count);
    struct entry *entry = cw_alloc_zero(sizeof *entry + count * sizeof entry->names[0] + bytes);

    if (!entry) {
        return NULL;
    }
    char *text = (char *)&entry->names[count];

    for (size_t i = 0; i < pattern->count; i++) {
        struct cw_span name = pattern->segments[i].text;

        if (pattern->segments[i].kind != CW_SEGMENT_LITERAL) {
            entry->names[entry->name_count++] = memcpy(text, name.data, name.len);
            text += name.len + 1;
        }
    }
    entry->route = route;
    entry->methods = methods;
    entry->next = router->entries;
    router->entries = entry;
    return entry;
}

/* Makes room for one more, so that nothing can fail once the first of two leaves is changed. */
static int leaf_reserve(struct leaf *leaf)
{
    struct entry **more = cw_resize(leaf->entries, (leaf->count + 1) * sizeof(struct entry *));

    if (!more) {
        return CW_ENOMEM;
    }
    leaf->entries = more;
    return CW_OK;
}

static int leaf_check(const struct leaf *leaf, const struct cw_http_route *route, uint32_t methods,
                      struct cw_complaint *complaint)
{
    for (size_t i = 0; i < leaf->count; i++) {
        const struct entry *entry = leaf->entries[i];

        if (entry->methods & methods) {
            return complain(complaint, "%.16s %.44s: %.16s %.44s is there already", route->method,
                            route->path, entry->route->method, entry->route->path);
        }
    }
    return CW_OK;
}

static void leaf_add(struct leaf *leaf, struct entry *entry)
{
    leaf->entries[leaf->count++] = entry;
    leaf->methods |= entry->methods;
}

/* Where a pattern ends: one leaf, or two if its last parameter may be missing. */
struct ends {
    struct leaf *leaves[2];
    size_t count;
};

static int find_ends(struct cw_http_router *router, struct table *table,
                     const struct cw_http_pattern *pattern, struct ends *ends)
{
    bool rest = pattern->count > 0 && pattern->segments[pattern->count - 1].kind == CW_SEGMENT_REST;
    size_t count = pattern->count - (rest || pattern->last_is_optional);
    struct node *node = make_way(router, table->root, pattern, count);
    enum end end = rest ? END_REST : pattern->ends_in_slash ? END_SLASH : END_PLAIN;

    ends->count = 0;
    if (!node) {
        return CW_ENOMEM;
    }
    /* `/:name?` may be missing in the path `/`, which has no other way to be written. */
    if (pattern->last_is_optional) {
        end = count == 0 ? END_SLASH : END_PLAIN;
    }
    ends->leaves[ends->count++] = &node->ends[end];
    if (pattern->last_is_optional) {
        node = kind_child(router, node, pattern->segments[count].kind);
        if (!node) {
            return CW_ENOMEM;
        }
        ends->leaves[ends->count++] = &node->ends[END_PLAIN];
    }
    return CW_OK;
}

static int add_entry(struct cw_http_router *router, const struct cw_http_route *route,
                     const struct cw_http_pattern *pattern, uint32_t methods, struct ends *ends,
                     struct cw_complaint *complaint)
{
    struct entry *entry;
    int error = CW_OK;

    for (size_t i = 0; i < ends->count && error == CW_OK; i++) {
        error = leaf_check(ends->leaves[i], route, methods, complaint);
        error = error < 0 ? error : leaf_reserve(ends->leaves[i]);
    }
    if (error < 0) {
        return error;
    }
    entry = make_entry(router, route, pattern, methods);
    if (!entry) {
        return CW_ENOMEM;
    }
    for (size_t i = 0; i < ends->count; i++) {
        leaf_add(ends->leaves[i], entry);
    }
    return CW_OK;
}

int cw_http_router_add(struct cw_http_router *router, const struct cw_http_place *place,
                       const struct cw_http_route *route, struct cw_complaint *complaint)
{
    struct cw_http_pattern pattern;
    char why[CW_HTTP_WHY_MAX] = "";
    uint32_t methods = 0;
    struct table *table = NULL;
    struct ends ends = {{NULL, NULL}, 0};
    int error = read_methods(router, route->method, &methods, why);

    error = error < 0 ? error : cw_http_pattern_parse(route->path, false, &pattern, why);
    if (error == CW_EINVAL) {
        return complain(complaint, "%.24s %.60s: %s", route->method, route->path, why);
    }
    error = error < 0 ? error : make_table(router, place, &table, complaint);
    if (error < 0) {
        return error;
    }
    if (pattern.is_asterisk) {
        ends.leaves[ends.count++] = &table->asterisk;
    } else {
        error = find_ends(router, table, &pattern, &ends);
    }
    error = error < 0 ? error : add_entry(router, route, &pattern, methods, &ends, complaint);
    table->methods |= error == CW_OK ? methods : 0;
    return error;
}

int cw_http_router_add_prefix(struct cw_http_router *router, const struct cw_http_place *place,
                              const char *prefix, struct cw_http_group *group,
                              struct cw_complaint *complaint)
{
    struct cw_http_pattern pattern;
    char why[CW_HTTP_WHY_MAX] = "";
    struct table *table = NULL;
    struct node *node;
    int error = cw_http_pattern_parse(prefix, true, &pattern, why);

    if (error < 0) {
        return complain(complaint, "%.80s: %s", prefix, why);
    }
    error = make_table(router, place, &table, complaint);
    node = error < 0 ? NULL : make_way(router, table->root, &pattern, pattern.count);
    if (!node) {
        return error < 0 ? error : CW_ENOMEM;
    }
    node->group = node->group ? node->group : group;
    return CW_OK;
}

/* ---- the way of a path ---- */

/* One search. */
struct search {
    struct cw_span path;
    uint32_t bit;     /* of the method; 0: nobody here knows it */
    uint32_t methods; /* of the routes that fit but for it */
    const struct entry *entry;
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

static const struct entry *pick(const struct leaf *leaf, uint32_t bit)
{
    for (size_t i = 0; i < leaf->count; i++) {
        if (leaf->entries[i]->methods & bit) {
            return leaf->entries[i];
        }
    }
    return NULL;
}

/* Whether a leaf answers; otherwise its methods are remembered for Allow. params: captured up to there. */
static bool try_leaf(struct search *search, const struct leaf *leaf, size_t params)
{
    uint32_t bit = search->bit;

    if (leaf->count == 0) {
        return false;
    }
    if (!(leaf->methods & bit)) {
        bit = bit == BIT_HEAD ? leaf->methods & BIT_GET : 0;
        bit = bit ? bit : leaf->methods & BIT_ANY;
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

static void capture(struct search *search, const struct point *point, struct cw_span value,
                    bool rest)
{
    assert(point->params < CW_HTTP_PARAMS_MAX);
    search->match->params[point->params].value = value;
    search->match->params[point->params].segment = (uint16_t)point->depth;
    search->match->params[point->params].rest = rest;
}

static bool try_rest(struct search *search, const struct node *node, const struct point *point)
{
    size_t from = point->at < search->path.len ? point->at + 1 : point->at;

    if (!try_leaf(search, &node->ends[END_REST], point->params + 1)) {
        return false;
    }
    capture(search, point, cw_span_of(search->path.data + from, search->path.len - from), true);
    return true;
}

static void note_group(struct search *search, const struct node *node, size_t depth)
{
    if (node->group && depth + 1 > search->group_depth) {
        search->found->group = node->group;
        search->group_depth = depth + 1;
    }
}

static bool visit(struct search *search, const struct node *node, const struct point *point);

/* The children of a node that fit the segment behind the point. As deep as the longest pattern, not as the path. */
static bool visit_children(struct search *search, const struct node *node, const struct point *point)
{
    const uint8_t *text = search->path.data + point->at + 1;
    size_t left = search->path.len - point->at - 1;
    const uint8_t *slash = memchr(text, '/', left);
    struct cw_span segment = cw_span_of(text, slash ? (size_t)(slash - text) : left);
    struct point next = {point->at + 1 + segment.len, point->depth + 1, point->params};
    const struct node *child = map_find(&node->literals, segment, &search->found->steps);

    if (child && visit(search, child, &next)) {
        return true;
    }
    next.params++;
    for (size_t i = 0; i < KIND_COUNT; i++) {
        child = node->kinds[i];
        if (child && cw_http_segment_fits((enum cw_http_segment_kind)(KIND_FIRST + i), segment)) {
            if (visit(search, child, &next)) {
                capture(search, point, segment, false);
                return true;
            }
        }
    }
    return false;
}

/* What lies behind a node. When it finds a route, the values are captured on the way back. */
static bool visit(struct search *search, const struct node *node, const struct point *point)
{
    search->found->steps++;
    note_group(search, node, point->depth);
    if (point->at == search->path.len) {
        return try_leaf(search, &node->ends[END_PLAIN], point->params) ||
               try_rest(search, node, point);
    }
    if (point->at + 1 == search->path.len) {
        return try_leaf(search, &node->ends[END_SLASH], point->params) ||
               try_rest(search, node, point);
    }
    return visit_children(search, node, point) || try_rest(search, node, point);
}

/* ---- which tables ---- */

static bool is_asterisk(struct cw_span path)
{
    return path.len == 0 || (path.len == 1 && path.data[0] == '*');
}

static bool search_table(struct search *search, const struct table *table)
{
    struct cw_http_group *group = search->found->group;
    size_t depth = search->group_depth;
    bool found;

    if (is_asterisk(search->path)) {
        search->methods |= table->methods;
        note_group(search, table->root, 0);
        found = table->asterisk.count > 0 && try_leaf(search, &table->asterisk, 0);
    } else {
        found = search->path.data[0] == '/' && visit(search, table->root, &(struct point){0, 0, 0});
    }
    if (group) {
        search->found->group = group;
        search->group_depth = depth;
    }
    return found;
}

static bool search_hosts(struct search *search, const struct site *site, struct cw_span host)
{
    char lower[HOST_MAX];
    const struct table *table;

    /* A name may end in a dot: the same one, said in full. */
    host.len -= host.len > 0 && host.data[host.len - 1] == '.';
    if (host.len == 0 || host.len > HOST_MAX) {
        return false;
    }
    lower_case(host, lower);
    table = map_find(&site->hosts, cw_span_of(lower, host.len), &search->found->steps);
    if (table && search_table(search, table)) {
        return true;
    }
    for (size_t i = 1; i < host.len && site->has_wildcards; i++) {
        if (lower[i] == '.') {
            table =
                map_find(&site->hosts, cw_span_of(lower + i, host.len - i), &search->found->steps);
            if (table && search_table(search, table)) {
                return true;
            }
        }
    }
    return false;
}

static bool search_site(struct search *search, const struct site *site, struct cw_span host)
{
    return (site->hosts.count > 0 && search_hosts(search, site, host)) ||
           (site->open && search_table(search, site->open));
}

/* ---- what is found ---- */

static void print_allow(const struct cw_http_router *router, uint32_t methods,
                        char text[CW_HTTP_ALLOW_MAX])
{
    size_t len = 0;

    methods |= BIT_OPTIONS | (methods & BIT_GET ? BIT_HEAD : 0);
    for (size_t i = CW_METHOD_GET; i < OWN_FIRST + router->own_count; i++) {
        const char *name = i < OWN_FIRST ? method_names[i] : router->own[i - OWN_FIRST];

        if (methods & 1U << i) {
            len += (size_t)snprintf(text + len, CW_HTTP_ALLOW_MAX - len, "%s%s",
                                    len > 0 ? ", " : "", name);
        }
    }
}

static void tell_route(const struct search *search, struct cw_http_match *match)
{
    const struct entry *entry = search->entry;

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
        match->status = search->bit == BIT_OPTIONS ? 204 : 405;
        print_allow(router, search->methods, match->allow_text);
        match->allow = match->allow_text;
    }
}

void cw_http_router_find(const struct cw_http_router *router, const struct cw_http_ask *ask,
                         struct cw_http_match *match, struct cw_http_found *found)
{
    const struct site *site = find_site(router, ask->site);
    struct search search = {.path = ask->path, .match = match, .found = found};

    *found = (struct cw_http_found){NULL, NULL, 0};
    match->route = NULL;
    match->status = 0;
    match->allow = NULL;
    match->param_count = 0;
    search.bit = ask->known == CW_METHOD_OTHER ? own_bit(router, ask->method) : 1U << ask->known;
    if (site && search_site(&search, site, ask->host)) {
        tell_route(&search, match);
    } else {
        tell_none(router, &search, site && (search.methods != 0 || is_asterisk(ask->path)), match);
    }
}

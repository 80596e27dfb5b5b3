/* Building the tree of routes, while a server is set up. */
#include "http_router_impl.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    USUAL_BYTES = 64, /* of the known methods in Allow, with commas */
};

static_assert((int)CW_HTTP_PATTERN_PARAMS_MAX <= (int)CW_HTTP_PARAMS_MAX, "a match has them all");

const char *const cw_route_method_names[CW_ROUTE_OWN_FIRST] = {
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
        struct cw_route_node *node = router->nodes;

        router->nodes = node->next;
        cw_release(node->literals.slots);
        for (size_t i = 0; i < CW_ROUTE_END_COUNT; i++) {
            cw_release(node->ends[i].entries);
        }
        cw_release(node);
    }
}

static void free_tables(struct cw_http_router *router)
{
    while (router->tables) {
        struct cw_route_table *table = router->tables;

        router->tables = table->next;
        cw_release(table->asterisk.entries);
        cw_release(table);
    }
    while (router->sites) {
        struct cw_route_site *site = router->sites;

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
        struct cw_route_entry *entry = router->entries;

        router->entries = entry->next;
        cw_release(entry);
    }
    for (size_t i = 0; i < router->own_count; i++) {
        cw_release(router->own[i]);
    }
    cw_release(router);
}

/* ---- set-up: what is wrong ---- */

__attribute__((format(printf, 2, 3))) static void complain(struct cw_complaint *complaint,
                                                           const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(complaint->text, sizeof complaint->text, format, args);
    va_end(args);
}

/* ---- set-up: places ---- */

struct cw_route_site *cw_route_find_site(const struct cw_http_router *router, const char *name)
{
    struct cw_route_site *site = router->sites;

    while (site && (site->is_named != (name != NULL) || (name && strcmp(site->name, name) != 0))) {
        site = site->next;
    }
    return site;
}

static struct cw_route_site *make_site(struct cw_http_router *router, const char *name)
{
    struct cw_route_site *site = cw_route_find_site(router, name);
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

static struct cw_route_node *make_node(struct cw_http_router *router, struct cw_span text)
{
    struct cw_route_node *node = cw_alloc_zero(sizeof *node + text.len);

    if (node) {
        if (text.len > 0) {
            memcpy(node->text, text.data, text.len);
        }
        node->next = router->nodes;
        router->nodes = node;
    }
    return node;
}

void cw_route_lower_case(struct cw_span from, char *to)
{
    for (size_t i = 0; i < from.len; i++) {
        uint8_t c = from.data[i];

        to[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
}

static struct cw_route_table *new_table(struct cw_http_router *router, struct cw_span host)
{
    struct cw_route_table *table = cw_alloc_zero(sizeof *table + host.len + 1);

    if (!table) {
        return NULL;
    }
    cw_route_lower_case(host, table->host);
    table->next = router->tables;
    router->tables = table;
    table->root = make_node(router, cw_span_of(NULL, 0));
    return table->root ? table : NULL;
}

static struct cw_route_table *host_table(struct cw_http_router *router, struct cw_route_site *site,
                                         const char *host)
{
    bool wildcard = host[0] == '*';
    struct cw_span name = cw_span_text(host + wildcard);
    char lower[CW_ROUTE_HOST_MAX + 1] = "";
    size_t steps = 0;
    struct cw_route_table *table;

    cw_route_lower_case(name, lower);
    table = cw_http_map_find(&site->hosts, cw_span_of(lower, name.len), &steps);
    if (table) {
        return table;
    }
    table = new_table(router, name);
    if (!table || cw_http_map_add(&site->hosts, cw_span_of(table->host, name.len), table) < 0) {
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
    if (len > CW_ROUTE_HOST_MAX) {
        return "longer than 253 characters";
    }
    if (host[0] == '[' ? host[len - 1] != ']' : strchr(host, ':') != NULL) {
        return "the name alone, without a scheme and a port";
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
                      struct cw_route_table **table, struct cw_complaint *complaint)
{
    const char *wrong = place->host ? wrong_host(place->host) : NULL;
    struct cw_route_site *site;

    if (wrong) {
        complain(complaint, "host \"%.60s\": %s", place->host, wrong);
        return CW_EINVAL;
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

static struct cw_route_node *literal_child(struct cw_http_router *router,
                                           struct cw_route_node *node, struct cw_span text)
{
    size_t steps = 0;
    struct cw_route_node *child = cw_http_map_find(&node->literals, text, &steps);

    if (child) {
        return child;
    }
    child = make_node(router, text);
    if (!child || cw_http_map_add(&node->literals, cw_span_of(child->text, text.len), child) < 0) {
        return NULL;
    }
    return child;
}

static struct cw_route_node *kind_child(struct cw_http_router *router, struct cw_route_node *node,
                                        enum cw_http_segment_kind kind)
{
    struct cw_route_node **child = &node->kinds[kind - CW_ROUTE_KIND_FIRST];

    if (!*child) {
        *child = make_node(router, cw_span_of(NULL, 0));
    }
    return *child;
}

/* The node behind the first `count` segments, a rest not counted. NULL: no memory. */
static struct cw_route_node *make_way(struct cw_http_router *router, struct cw_route_node *node,
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

    while (known < CW_ROUTE_OWN_FIRST &&
           !cw_span_equal(method, cw_span_text(cw_route_method_names[known]))) {
        known++;
    }
    return known;
}

uint32_t cw_route_own_bit(const struct cw_http_router *router, struct cw_span method)
{
    for (size_t i = 0; i < router->own_count; i++) {
        if (cw_span_equal(method, cw_span_text(router->own[i]))) {
            return 1U << (CW_ROUTE_OWN_FIRST + i);
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

    *bit = known < CW_ROUTE_OWN_FIRST ? 1U << known : cw_route_own_bit(router, method);
    if (*bit == 0) {
        error = add_own(router, method, why);
        *bit = cw_route_own_bit(router, method);
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
        *methods = CW_ROUTE_BIT_ANY;
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
        if (error == CW_OK && cw_span_equal(method, cw_span_text("CONNECT"))) {
            snprintf(why, CW_HTTP_WHY_MAX, "CONNECT is not served");
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

static struct cw_route_entry *make_entry(struct cw_http_router *router,
                                         const struct cw_http_route *route,
                                         const struct cw_http_pattern *pattern, uint32_t methods)
{
    size_t count;
    size_t bytes = names_size(pattern, &count);
    struct cw_route_entry *entry =
        cw_alloc_zero(sizeof *entry + count * sizeof entry->names[0] + bytes);

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
static int leaf_reserve(struct cw_route_leaf *leaf)
{
    struct cw_route_entry **more =
        cw_resize(leaf->entries, (leaf->count + 1) * sizeof(struct cw_route_entry *));

    if (!more) {
        return CW_ENOMEM;
    }
    leaf->entries = more;
    return CW_OK;
}

static int leaf_check(const struct cw_route_leaf *leaf, const struct cw_route_entry *entry,
                      struct cw_complaint *complaint)
{
    for (size_t i = 0; i < leaf->count; i++) {
        const struct cw_route_entry *there = leaf->entries[i];

        if (there->methods & entry->methods) {
            complain(complaint, "%.16s %.44s: %.16s %.44s is there already", entry->route->method,
                     entry->route->path, there->route->method, there->route->path);
            return CW_EINVAL;
        }
    }
    return CW_OK;
}

static void leaf_add(struct cw_route_leaf *leaf, struct cw_route_entry *entry)
{
    leaf->entries[leaf->count++] = entry;
    leaf->methods |= entry->methods;
}

/* Where a pattern ends: one leaf, or two if its last parameter may be missing. */
struct ends {
    struct cw_route_leaf *leaves[2];
    size_t count;
};

static int find_ends(struct cw_http_router *router, struct cw_route_table *table,
                     const struct cw_http_pattern *pattern, struct ends *ends)
{
    bool rest = pattern->count > 0 && pattern->segments[pattern->count - 1].kind == CW_SEGMENT_REST;
    size_t count = pattern->count - (rest || pattern->last_is_optional);
    struct cw_route_node *node = make_way(router, table->root, pattern, count);
    enum cw_route_end end = rest                     ? CW_ROUTE_END_REST
                            : pattern->ends_in_slash ? CW_ROUTE_END_SLASH
                                                     : CW_ROUTE_END_PLAIN;

    ends->count = 0;
    if (!node) {
        return CW_ENOMEM;
    }
    /* `/:name?` may be missing in the path `/`, which has no other way to be written. */
    if (pattern->last_is_optional) {
        end = count == 0 ? CW_ROUTE_END_SLASH : CW_ROUTE_END_PLAIN;
    }
    ends->leaves[ends->count++] = &node->ends[end];
    if (pattern->last_is_optional) {
        node = kind_child(router, node, pattern->segments[count].kind);
        if (!node) {
            return CW_ENOMEM;
        }
        ends->leaves[ends->count++] = &node->ends[CW_ROUTE_END_PLAIN];
    }
    return CW_OK;
}

static int add_entry(struct cw_route_entry *entry, struct ends *ends, struct cw_complaint *complaint)
{
    int error = CW_OK;

    for (size_t i = 0; i < ends->count && error == CW_OK; i++) {
        error = leaf_check(ends->leaves[i], entry, complaint);
        error = error < 0 ? error : leaf_reserve(ends->leaves[i]);
    }
    for (size_t i = 0; i < ends->count && error == CW_OK; i++) {
        leaf_add(ends->leaves[i], entry);
    }
    return error;
}

int cw_http_router_add(struct cw_http_router *router, const struct cw_http_place *place,
                       const struct cw_http_route *route, struct cw_complaint *complaint)
{
    struct cw_http_pattern pattern;
    char why[CW_HTTP_WHY_MAX] = "";
    uint32_t methods = 0;
    struct cw_route_table *table = NULL;
    struct ends ends = {{NULL, NULL}, 0};
    struct cw_route_entry *entry;
    int error = read_methods(router, route->method, &methods, why);

    error = error < 0 ? error : cw_http_pattern_parse(route->path, false, &pattern, why);
    if (error == CW_EINVAL) {
        complain(complaint, "%.24s %.60s: %s", route->method, route->path, why);
        return CW_EINVAL;
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
    entry = error < 0 ? NULL : make_entry(router, route, &pattern, methods);
    if (!entry) {
        return error < 0 ? error : CW_ENOMEM;
    }
    error = add_entry(entry, &ends, complaint);
    table->methods |= error == CW_OK ? methods : 0;
    return error;
}

int cw_http_router_add_prefix(struct cw_http_router *router, const struct cw_http_place *place,
                              const char *prefix, struct cw_http_group *group,
                              struct cw_complaint *complaint)
{
    struct cw_http_pattern pattern;
    char why[CW_HTTP_WHY_MAX] = "";
    struct cw_route_table *table = NULL;
    struct cw_route_node *node;
    int error = cw_http_pattern_parse(prefix, true, &pattern, why);

    if (error < 0) {
        complain(complaint, "%.80s: %s", prefix, why);
        return CW_EINVAL;
    }
    error = make_table(router, place, &table, complaint);
    node = error < 0 ? NULL : make_way(router, table->root, &pattern, pattern.count);
    if (!node) {
        return error < 0 ? error : CW_ENOMEM;
    }
    node->group = node->group ? node->group : group;
    return CW_OK;
}

/* Routes, groups and middleware of a server, and their chains. */
#include "http_site.h"

#include "http_router.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <causeway/protocol.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    STATUS_FIRST = 400,
    STATUS_LAST = 599,
    REFUSED_HOOKS_MAX = 16,
    SLOTS_MAX = 1 << 20, /* bytes of a chain */
};

struct cw_http_group {
    struct cw_http_group *next;
    struct cw_http_group *outer;
    struct cw_server *server;
    struct cw_http_middleware *uses;
    struct cw_http_chain chain;
    const char *prefix; /* whole */
    const char *host;   /* NULL: every one */
    const char *site;   /* NULL: none */
    char text[];        /* of these */
};

struct owned_route {
    struct cw_http_route route;
    struct cw_http_middleware *uses;
    char text[]; /* its name, method and path */
};

struct error_page {
    cw_http_fn fn;
    void *user;
};

struct cw_http_site {
    struct cw_http_router *router; /* NULL: no route, no group */
    struct cw_http_route *routes;
    struct cw_http_route **routes_tail;
    struct cw_http_group *groups;
    struct cw_http_group **groups_tail;
    struct cw_http_middleware *uses;
    struct cw_http_middleware *refused; /* belongs to calls that failed: only to be released */
    struct cw_http_chain chain;
    struct cw_http_refused_hook hooks[REFUSED_HOOKS_MAX];
    size_t hook_count;
    struct error_page page; /* of all that have none of their own */
    struct error_page pages[STATUS_LAST - STATUS_FIRST + 1];
};

/* ---- set-up: errors ---- */

static int out_of_memory(struct cw_server *server, const char *what)
{
    return cw_server_complain(server, CW_ENOMEM, "%s: %s", what, cw_strerror(CW_ENOMEM));
}

/* The site for a set-up call; NULL: *error says why not. */
static struct cw_http_site *site_for(struct cw_server *server, const char *call, int *error)
{
    struct cw_http_site *site = NULL;

    *error = cw_server_check_set_up(server, call);
    if (*error == CW_OK) {
        site = cw_server_part(server, &cw_http_site_part);
        *error = site ? CW_OK : CW_ENOMEM;
    }
    if (site && !site->routes_tail) {
        site->routes_tail = &site->routes;
        site->groups_tail = &site->groups;
    }
    return site;
}

static int router_for(struct cw_server *server, struct cw_http_site *site)
{
    if (!site->router) {
        site->router = cw_http_router_new();
    }
    return site->router ? CW_OK : out_of_memory(server, "routes");
}

/* ---- middleware: who owns it ---- */

static struct owned_route *owner_of(struct cw_http_route *route)
{
    return (struct owned_route *)route; /* its first member */
}

static bool is_in(const struct cw_http_middleware *list, const struct cw_http_middleware *one)
{
    while (list && list != one) {
        list = list->next;
    }
    return list != NULL;
}

static bool is_owned(const struct cw_http_site *site, const struct cw_http_middleware *one)
{
    bool owned = is_in(site->uses, one) || is_in(site->refused, one);

    for (const struct cw_http_group *at = site->groups; at && !owned; at = at->next) {
        owned = is_in(at->uses, one);
    }
    for (struct cw_http_route *at = site->routes; at && !owned; at = at->next) {
        owned = is_in(owner_of(at)->uses, one);
    }
    return owned;
}

static void release_one(struct cw_http_middleware *one)
{
    if (one->release) {
        one->release(one);
    }
}

static void release_list(struct cw_http_middleware **list)
{
    while (*list) {
        struct cw_http_middleware *one = *list;

        *list = one->next;
        release_one(one);
    }
}

static void append(struct cw_http_middleware **list, struct cw_http_middleware *one)
{
    while (*list) {
        list = &(*list)->next;
    }
    one->next = NULL;
    *list = one;
}

/* Nothing will come of the call it was given to. What a site owns already stays where it is. */
static void give_up_one(struct cw_server *server, struct cw_http_middleware *one)
{
    struct cw_http_site *site = cw_server_find_part(server, &cw_http_site_part);

    if (site && is_owned(site, one)) {
        return;
    }
    /* Kept as long as others may be given the same one again; only a server that runs has no place for it. */
    if (site && cw_server_check_set_up(server, "middleware") == CW_OK) {
        append(&site->refused, one);
    } else {
        release_one(one);
    }
}

static void give_up(struct cw_server *server, const struct cw_http_route_options *options)
{
    for (size_t i = 0; options->use && i < options->use_count; i++) {
        if (options->use[i]) {
            give_up_one(server, options->use[i]);
        }
    }
}

static int take(struct cw_server *server, struct cw_http_site *site,
                struct cw_http_middleware **list, struct cw_http_middleware *one)
{
    if (is_owned(site, one) || is_in(*list, one)) {
        return cw_server_complain(server, CW_EINVAL,
                                  "middleware %s: added before; each place needs one of its own",
                                  one->name ? one->name : "without a name");
    }
    append(list, one);
    return CW_OK;
}

static int not_made(struct cw_server *server)
{
    return cw_server_complain(server, CW_ENOMEM,
                              "use: the middleware could not be made (see the log)");
}

int cw_http_use(struct cw_server *server, struct cw_http_middleware *middleware)
{
    int error;
    struct cw_http_site *site = site_for(server, "cw_http_use", &error);

    if (!middleware) {
        return error < 0 ? error : not_made(server);
    }
    if (!site) {
        give_up_one(server, middleware);
        return error;
    }
    return take(server, site, &site->uses, middleware);
}

int cw_http_group_use(struct cw_http_group *group, struct cw_http_middleware *middleware)
{
    int error = CW_EINVAL;
    struct cw_http_site *site = group ? site_for(group->server, "cw_http_group_use", &error) : NULL;

    if (!middleware) {
        return error < 0 ? error : not_made(group->server);
    }
    if (!site) {
        give_up_one(group ? group->server : NULL, middleware);
        return error;
    }
    return take(group->server, site, &group->uses, middleware);
}

/* ---- groups ---- */

static size_t text_size(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

/* Copies a text to *room, and goes on behind it. */
static const char *put_text(char **room, const char *text)
{
    char *copy = *room;

    if (!text) {
        return NULL;
    }
    memcpy(copy, text, strlen(text) + 1);
    *room += strlen(text) + 1;
    return copy;
}

static struct cw_http_group *new_group(struct cw_server *server, struct cw_http_group *outer,
                                       const char *prefix,
                                       const struct cw_http_group_options *options)
{
    const char *before = outer ? outer->prefix : "";
    size_t size = strlen(before) + strlen(prefix) + 1;
    struct cw_http_group *group =
        cw_alloc_zero(sizeof *group + size + text_size(options->host) + text_size(options->site));
    char *room;

    if (!group) {
        return NULL;
    }
    snprintf(group->text, size, "%s%s", before, prefix);
    room = group->text + size;
    group->server = server;
    group->outer = outer;
    group->prefix = group->text;
    group->host = put_text(&room, options->host);
    group->site = put_text(&room, options->site);
    return group;
}

static int add_group(struct cw_http_site *site, struct cw_http_group *group)
{
    struct cw_http_place place = {group->site, group->host};
    struct cw_complaint complaint = {""};
    int error = router_for(group->server, site);

    error = error < 0
                ? error
                : cw_http_router_add_prefix(site->router, &place, group->prefix, group, &complaint);
    if (error == CW_EINVAL) {
        return cw_server_complain(group->server, error, "group %s", complaint.text);
    }
    if (error < 0) {
        return out_of_memory(group->server, "group");
    }
    *site->groups_tail = group;
    site->groups_tail = &group->next;
    return CW_OK;
}

static struct cw_http_group *make_group(struct cw_server *server, struct cw_http_group *outer,
                                        const char *prefix,
                                        const struct cw_http_group_options *options)
{
    int error;
    struct cw_http_site *site = site_for(server, "cw_http_group", &error);
    struct cw_http_group *group;

    prefix = prefix && strcmp(prefix, "/") != 0 ? prefix : "";
    if (!site) {
        return NULL;
    }
    if (options->site && options->site[0] == '\0') {
        cw_server_complain(server, CW_EINVAL, "group %.60s: the name of its site is empty", prefix);
        return NULL;
    }
    group = new_group(server, outer, prefix, options);
    if (!group) {
        out_of_memory(server, "group");
        return NULL;
    }
    if (add_group(site, group) < 0) {
        cw_release(group);
        return NULL;
    }
    return group;
}

struct cw_http_group *cw_http_group(struct cw_server *server, const char *prefix,
                                    const struct cw_http_group_options *options)
{
    static const struct cw_http_group_options none = {NULL, NULL};

    return make_group(server, NULL, prefix, options ? options : &none);
}

struct cw_http_group *cw_http_group_in(struct cw_http_group *group, const char *prefix)
{
    if (!group) {
        return NULL;
    }
    return make_group(group->server, group, prefix,
                      &(struct cw_http_group_options){group->host, group->site});
}

struct cw_server *cw_http_group_server(const struct cw_http_group *group)
{
    return group ? group->server : NULL;
}

/* ---- routes ---- */

/* The words of a pattern, with the group's prefix. */
struct words {
    struct cw_span method;
    const char *prefix;
    const char *path;
};

static int read_words(struct cw_server *server, const struct cw_http_group *group,
                      const char *pattern, struct words *words)
{
    const char *space = strchr(pattern, ' ');

    if (!space || space == pattern) {
        cw_server_complain(server, CW_EINVAL,
                           "route %.60s: not a method, a space and a path; write `GET /path`",
                           pattern);
        return CW_EINVAL;
    }
    words->method = cw_span_of(pattern, (size_t)(space - pattern));
    words->path = space + 1;
    words->prefix = group ? group->prefix : "";
    if (words->prefix[0] == '\0') {
        return CW_OK;
    }
    /* The path `/` of a group is its prefix, which has no slash at its end. */
    if (strcmp(words->path, "/") == 0) {
        words->path = "";
    } else if (words->path[0] != '/') {
        cw_server_complain(server, CW_EINVAL, "route %.60s: the path does not begin with a slash",
                           pattern);
        return CW_EINVAL;
    }
    return CW_OK;
}

static struct owned_route *new_route(const struct words *words, const char *name)
{
    size_t path = strlen(words->prefix) + strlen(words->path) + 1;
    size_t own_name = name ? strlen(name) + 1 : words->method.len + 1 + path;
    struct owned_route *owned =
        cw_alloc_zero(sizeof *owned + words->method.len + 1 + path + own_name);
    struct cw_http_route *route;

    if (!owned) {
        return NULL;
    }
    route = &owned->route;
    route->method = memcpy(owned->text, words->method.data, words->method.len);
    route->path = route->method + words->method.len + 1;
    snprintf(route->path, path, "%s%s", words->prefix, words->path);
    route->name = route->path + path;
    if (name) {
        memcpy(route->name, name, own_name);
    } else {
        memcpy(route->name, route->method, words->method.len);
        route->name[words->method.len] = ' ';
        memcpy(route->name + words->method.len + 1, route->path, path);
    }
    return owned;
}

static void drop_user(const struct cw_http_route *route)
{
    if (route->options.drop) {
        route->options.drop(route->user);
    }
}

static int route_in_tree(struct cw_server *server, struct cw_http_site *site,
                         const struct cw_http_route *route)
{
    const struct cw_http_group *group = route->group;
    struct cw_http_place place = {group ? group->site : NULL, group ? group->host : NULL};
    struct cw_complaint complaint = {""};
    int error = router_for(server, site);

    error = error < 0 ? error : cw_http_router_add(site->router, &place, route, &complaint);
    if (error == CW_EINVAL) {
        return cw_server_complain(server, error, "route %s", complaint.text);
    }
    return error < 0 ? out_of_memory(server, "route") : CW_OK;
}

static int check_options(struct cw_server *server, const char *pattern,
                         const struct cw_http_route_options *options)
{
    if ((options->use != NULL) != (options->use_count > 0)) {
        return cw_server_complain(server, CW_EINVAL, "route %.60s: use and use_count go together",
                                  pattern);
    }
    if (options->body_max_bytes >= CW_OFF && !options->stream) {
        return cw_server_complain(server, CW_EINVAL,
                                  "route %.60s: body_max_bytes: without a limit only with stream",
                                  pattern);
    }
    /* Without what its maker had no memory for, the route would stand unguarded. */
    for (size_t i = 0; i < options->use_count; i++) {
        if (!options->use[i]) {
            return not_made(server);
        }
    }
    return CW_OK;
}

static int add_route(struct cw_server *server, struct cw_http_site *site, struct owned_route *owned,
                     const struct cw_http_route_options *options)
{
    int error = CW_OK;

    for (size_t i = 0; i < options->use_count && error == CW_OK; i++) {
        error = take(server, site, &owned->uses, options->use[i]);
    }
    error = error < 0 ? error : route_in_tree(server, site, &owned->route);
    if (error < 0) {
        return error; /* its middleware is the caller's to give up */
    }
    *site->routes_tail = &owned->route;
    site->routes_tail = &owned->route.next;
    return CW_OK;
}

static struct owned_route *make_route(struct cw_server *server, struct cw_http_group *group,
                                      const char *pattern, const struct cw_http_route *wanted,
                                      int *error)
{
    struct words words = {.prefix = ""};
    struct owned_route *owned;

    *error = read_words(server, group, pattern, &words);
    if (*error < 0) {
        return NULL;
    }
    owned = new_route(&words, wanted->options.name);
    if (!owned) {
        *error = out_of_memory(server, "route");
        return NULL;
    }
    owned->route.group = group;
    owned->route.fn = wanted->fn;
    owned->route.user = wanted->user;
    owned->route.options = wanted->options;
    owned->route.options.name = owned->route.name;
    owned->route.options.use = NULL;
    owned->route.options.use_count = 0;
    return owned;
}

static int build_route(struct cw_server *server, struct cw_http_group *group, const char *pattern,
                       const struct cw_http_route *wanted)
{
    int error;
    struct cw_http_site *site = site_for(server, "cw_http_route", &error);
    struct owned_route *owned;

    pattern = pattern ? pattern : "";
    error = error < 0 ? error : check_options(server, pattern, &wanted->options);
    if (error < 0) {
        return error;
    }
    if (!wanted->fn) {
        return cw_server_complain(server, CW_EINVAL, "route %.60s: without a function", pattern);
    }
    owned = make_route(server, group, pattern, wanted, &error);
    if (!owned) {
        return error;
    }
    error = add_route(server, site, owned, &wanted->options);
    if (error < 0) {
        cw_release(owned);
    }
    return error;
}

static int route_for(struct cw_server *server, struct cw_http_group *group, const char *pattern,
                     const struct cw_http_route *wanted)
{
    int error = build_route(server, group, pattern, wanted);

    if (error < 0) {
        give_up(server, &wanted->options);
        drop_user(wanted);
    }
    return error;
}

static struct cw_http_route wanted_route(cw_http_fn fn, void *user,
                                         const struct cw_http_route_options *options)
{
    struct cw_http_route wanted = {.fn = fn, .user = user};

    if (options) {
        wanted.options = *options;
    }
    return wanted;
}

int cw_http_route(struct cw_server *server, const char *pattern, cw_http_fn fn, void *user)
{
    return cw_http_route_with(server, pattern, fn, user, NULL);
}

int cw_http_route_with(struct cw_server *server, const char *pattern, cw_http_fn fn, void *user,
                       const struct cw_http_route_options *options)
{
    struct cw_http_route wanted = wanted_route(fn, user, options);

    return route_for(server, NULL, pattern, &wanted);
}

int cw_http_group_route(struct cw_http_group *group, const char *pattern, cw_http_fn fn, void *user,
                        const struct cw_http_route_options *options)
{
    struct cw_http_route wanted = wanted_route(fn, user, options);

    if (!group) {
        give_up(NULL, &wanted.options);
        drop_user(&wanted);
        return CW_EINVAL;
    }
    return route_for(group->server, group, pattern, &wanted);
}

size_t cw_http_each_route(const struct cw_server *server,
                          void (*fn)(const struct cw_http_route_info *route, void *user), void *user)
{
    const struct cw_http_site *site = cw_http_site_of(server);
    size_t count = 0;

    for (const struct cw_http_route *at = site ? site->routes : NULL; at; at = at->next) {
        struct cw_http_route_info info = {at->method, at->path, at->name,
                                          at->group ? at->group->host : NULL,
                                          at->group ? at->group->site : NULL};

        fn(&info, user);
        count++;
    }
    return count;
}

/* ---- error pages, hooks ---- */

int cw_http_set_error_page(struct cw_server *server, int status, cw_http_fn fn, void *user)
{
    int error;
    struct cw_http_site *site = site_for(server, "cw_http_set_error_page", &error);

    if (!site) {
        return error;
    }
    if ((status != 0 && (status < STATUS_FIRST || status > STATUS_LAST)) || !fn) {
        return cw_server_complain(server, CW_EINVAL, "error page for %d: %s", status,
                                  fn ? "not 400 to 599, or 0 for all" : "without a function");
    }
    *(status == 0 ? &site->page : &site->pages[status - STATUS_FIRST]) =
        (struct error_page){fn, user};
    return CW_OK;
}

cw_http_fn cw_http_site_error_page(const struct cw_http_site *site, int status, void **user)
{
    const struct error_page *page = NULL;

    if (site && status >= STATUS_FIRST && status <= STATUS_LAST) {
        page = &site->pages[status - STATUS_FIRST];
        page = page->fn ? page : &site->page;
    }
    *user = page ? page->user : NULL;
    return page ? page->fn : NULL;
}

int cw_http_on_refused(struct cw_server *server,
                       void (*fn)(struct cw_conn *conn, int status, void *user), void *user)
{
    int error;
    struct cw_http_site *site = site_for(server, "cw_http_on_refused", &error);

    if (!site) {
        return error;
    }
    if (site->hook_count == REFUSED_HOOKS_MAX) {
        return cw_server_complain(server, CW_EFULL, "cw_http_on_refused: %d are set already",
                                  REFUSED_HOOKS_MAX);
    }
    site->hooks[site->hook_count++] = (struct cw_http_refused_hook){fn, user};
    return CW_OK;
}

size_t cw_http_site_refused_hooks(const struct cw_http_site *site,
                                  const struct cw_http_refused_hook **hooks)
{
    *hooks = site ? site->hooks : NULL;
    return site ? site->hook_count : 0;
}

/* ---- the start: middleware, chains ---- */

static int start_list(struct cw_server *server, struct cw_http_middleware *list, const char *prefix)
{
    for (struct cw_http_middleware *at = list; at; at = at->next) {
        int error = at->start ? at->start(at, server, prefix) : CW_OK;

        if (error < 0) {
            return cw_server_complain(server, error, "middleware %s: %s",
                                      at->name ? at->name : "without a name", cw_strerror(error));
        }
    }
    return CW_OK;
}

static int start_all(struct cw_server *server, struct cw_http_site *site)
{
    int error = start_list(server, site->uses, NULL);

    for (struct cw_http_group *at = site->groups; at && error == CW_OK; at = at->next) {
        error = start_list(server, at->uses, at->prefix);
    }
    for (struct cw_http_route *at = site->routes; at && error == CW_OK; at = at->next) {
        error = start_list(server, owner_of(at)->uses, at->path);
    }
    return error;
}

static size_t count_list(const struct cw_http_middleware *list)
{
    size_t count = 0;

    for (; list; list = list->next) {
        count++;
    }
    return count;
}

static size_t aligned(size_t size)
{
    return (size + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
}

static int link_slots(struct cw_server *server, struct cw_http_middleware *list,
                      struct cw_http_link *links, struct cw_http_chain *chain)
{
    for (struct cw_http_middleware *at = list; at; at = at->next) {
        if (at->slot_size > SLOTS_MAX || aligned(at->slot_size) > SLOTS_MAX - chain->slots_size) {
            return cw_server_complain(server, CW_EINVAL,
                                      "middleware %s: over 1 MiB of slots in one chain",
                                      at->name ? at->name : "without a name");
        }
        links[chain->count++] = (struct cw_http_link){at, (uint32_t)chain->slots_size};
        chain->slots_size += aligned(at->slot_size);
    }
    return CW_OK;
}

/* A chain without links of its own shares those of the outer one. */
static int make_chain(struct cw_server *server, const struct cw_http_chain *outer,
                      struct cw_http_middleware *list, struct cw_http_chain *chain)
{
    size_t own = count_list(list);
    struct cw_http_link *links;

    *chain = *outer;
    if (own == 0) {
        return CW_OK;
    }
    links = cw_alloc((outer->count + own) * sizeof *links);
    if (!links) {
        chain->links = NULL;
        return out_of_memory(server, "middleware");
    }
    if (outer->count > 0) {
        memcpy(links, outer->links, outer->count * sizeof *links);
    }
    chain->links = links;
    return link_slots(server, list, links, chain);
}

static int make_chains(struct cw_server *server, struct cw_http_site *site)
{
    static const struct cw_http_chain none = {NULL, 0, 0};
    int error = make_chain(server, &none, site->uses, &site->chain);

    /* An outer group comes before its inner ones: it had to be made first. */
    for (struct cw_http_group *at = site->groups; at && error == CW_OK; at = at->next) {
        error =
            make_chain(server, at->outer ? &at->outer->chain : &site->chain, at->uses, &at->chain);
    }
    for (struct cw_http_route *at = site->routes; at && error == CW_OK; at = at->next) {
        error = make_chain(server, at->group ? &at->group->chain : &site->chain, owner_of(at)->uses,
                           &at->chain);
    }
    return error;
}

static int start(struct cw_server *server, void *memory)
{
    int error = start_all(server, memory);

    return error < 0 ? error : make_chains(server, memory);
}

/* ---- the end ---- */

static void release_chain(struct cw_http_chain *chain, struct cw_http_middleware **uses)
{
    if (*uses) {
        cw_release((void *)(uintptr_t)chain->links);
    }
    release_list(uses);
}

static void release(void *memory)
{
    struct cw_http_site *site = memory;

    while (site->routes) {
        struct owned_route *owned = owner_of(site->routes);

        site->routes = site->routes->next;
        release_chain(&owned->route.chain, &owned->uses);
        drop_user(&owned->route);
        cw_release(owned);
    }
    while (site->groups) {
        struct cw_http_group *group = site->groups;

        site->groups = group->next;
        release_chain(&group->chain, &group->uses);
        cw_release(group);
    }
    release_chain(&site->chain, &site->uses);
    release_list(&site->refused);
    cw_http_router_free(site->router);
}

const struct cw_server_part cw_http_site_part = {
    .size = sizeof(struct cw_http_site),
    .start = start,
    .release = release,
};

/* ---- what a request leads to ---- */

struct cw_http_site *cw_http_site_of(const struct cw_server *server)
{
    return cw_server_find_part(server, &cw_http_site_part);
}

void cw_http_site_match(const struct cw_http_site *site, const struct cw_http_ask *ask,
                        struct cw_http_match *match)
{
    struct cw_http_found found = {NULL, NULL, 0};

    if (site->router) {
        cw_http_router_find(site->router, ask, match, &found);
    } else {
        match->route = NULL;
        match->status = 404;
        match->allow = NULL;
        match->param_count = 0;
    }
    if (match->route) {
        match->chain = &match->route->chain;
    } else if (found.other) {
        match->chain = found.other->group ? &found.other->group->chain : &site->chain;
    } else {
        match->chain = found.group ? &found.group->chain : &site->chain;
    }
}

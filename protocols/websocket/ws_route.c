/* What a server was told of WebSockets: its routes, and the options of its own. */
#include "ws_impl.h"

#include <causeway/log.h>
#include <stdio.h>

/* What a route was given, and what it has become. The server's: `start` fills in what a file says. */
struct endpoint {
    struct endpoint *next;
    struct cw_service_ref *service;
    struct cw_websocket_options given; /* its texts are those of the service */
    struct cw_hooks hooks;
    char path[];
};

struct endpoints {
    struct endpoint *first;
    struct cw_service_ref *own; /* has the texts of cw_websocket_configure. NULL: it was not called */
};

/* ---- the start: members that were left zero take what the server was told ---- */

static void take_member(const struct cw_setting *setting, void *into, const void *from)
{
    void *member = (char *)into + setting->offset;
    const void *said = (const char *)from + setting->offset;

    if (setting->kind == CW_SETTING_SWITCH) {
        bool *on = member;

        *on = *on || *(const bool *)said;
    } else if (setting->kind == CW_SETTING_TEXT) {
        const char **text = member;

        *text = *text ? *text : *(const char *const *)said;
    } else {
        uint64_t *number = member;

        *number = *number != 0 ? *number : *(const uint64_t *)said;
    }
}

static void free_endpoint(void *memory)
{
    struct endpoint *endpoint = memory;

    cw_service_free(endpoint->service);
    cw_release(endpoint);
}

static struct cw_service_ref *make_service(struct cw_server *server, const char *path,
                                           const struct cw_websocket_options *options,
                                           const struct cw_hooks *hooks)
{
    struct cw_service service = cw_websocket_service(options, hooks, options->user);
    struct cw_complaint complaint;
    struct cw_service_ref *made = cw_service_new(&service, &complaint);

    if (made) {
        cw_server_expect_message(server, cw_websocket.message_max(cw_service_options(made)));
    } else {
        cw_server_complain(server, CW_EINVAL, "websocket %.60s: %s", path, complaint.text);
    }
    return made;
}

static int start_one(struct cw_server *server, struct endpoint *endpoint,
                     const struct cw_websocket_options *said)
{
    struct cw_websocket_options merged = endpoint->given;
    struct cw_service_ref *made;

    for (const struct cw_setting *at = cw_ws_settings; at->key; at++) {
        take_member(at, &merged, said);
    }
    made = make_service(server, endpoint->path, &merged, &endpoint->hooks);
    if (!made) {
        return CW_EINVAL;
    }
    cw_service_free(endpoint->service);
    endpoint->service = made;
    return CW_OK;
}

/* Set-ups that are no error and still serve nothing. */
static void warn(const struct cw_server *server, const struct endpoint *endpoint)
{
    bool can_come = cw_server_speaks(server, &cw_http) || cw_server_speaks(server, &cw_websocket);
    char where[80];

    snprintf(where, sizeof where, "websocket %.60s", endpoint->path);
    if (!can_come) {
        cw_log(CW_LOG_WARNING, 0, "%s: no listener speaks http, so nobody can get there", where);
    }
    cw_server_warn_hooks(server, where, &endpoint->hooks);
}

static int start(struct cw_server *server, void *memory)
{
    struct endpoints *endpoints = memory;
    const struct cw_websocket_options *said = cw_server_options_of(server, &cw_websocket);
    int error = CW_OK;

    for (struct endpoint *at = endpoints->first; at && error == CW_OK; at = at->next) {
        warn(server, at);
        error = said ? start_one(server, at, said) : CW_OK;
    }
    return error;
}

/* The routes free their endpoints. */
static void release(void *memory)
{
    struct endpoints *endpoints = memory;

    cw_service_free(endpoints->own);
}

static const struct cw_server_part part = {
    .size = sizeof(struct endpoints),
    .start = start,
    .release = release,
};

/* ---- set-up ---- */

static void answer(struct cw_http_exchange *http, void *user)
{
    const struct endpoint *endpoint = user;

    cw_ws_shake(http, endpoint->service);
}

/* Texts that have a copy already. */
static void point_at_copies(struct cw_websocket_options *given,
                            const struct cw_websocket_options *filled)
{
    given->subprotocols = filled->subprotocols;
    given->origins = filled->origins;
    given->host = filled->host;
    given->target = filled->target;
    given->fields = filled->fields;
}

/* NULL: an error, kept. */
static struct endpoint *make_endpoint(struct cw_server *server, const char *path,
                                      const struct cw_hooks *hooks,
                                      const struct cw_websocket_options *options)
{
    struct endpoint *endpoint = cw_alloc_zero(sizeof *endpoint + strlen(path) + 1);

    if (!endpoint) {
        cw_server_complain(server, CW_ENOMEM, "websocket: %s", cw_strerror(CW_ENOMEM));
        return NULL;
    }
    memcpy(endpoint->path, path, strlen(path) + 1);
    if (options) {
        endpoint->given = *options;
    }
    endpoint->hooks = *hooks;
    endpoint->given.http = NULL; /* the server's own count */
    endpoint->service = make_service(server, path, &endpoint->given, &endpoint->hooks);
    if (!endpoint->service) {
        cw_release(endpoint);
        return NULL;
    }
    point_at_copies(&endpoint->given, cw_service_options(endpoint->service));
    return endpoint;
}

/* group NULL: the server's own. */
static int install(struct cw_server *server, struct cw_http_group *group, struct endpoint *endpoint)
{
    const struct cw_http_route_options options = {.stream = true, .drop = free_endpoint};
    size_t size = strlen("GET ") + strlen(endpoint->path) + 1;
    char *pattern = cw_alloc(size);
    int error;

    if (!pattern) {
        free_endpoint(endpoint);
        return cw_server_complain(server, CW_ENOMEM, "websocket: %s", cw_strerror(CW_ENOMEM));
    }
    snprintf(pattern, size, "GET %s", endpoint->path);
    error = group ? cw_http_group_route(group, pattern, answer, endpoint, &options)
                  : cw_http_route_with(server, pattern, answer, endpoint, &options);
    cw_release(pattern);
    return error;
}

static int add(struct cw_server *server, struct cw_http_group *group, struct endpoint *endpoint)
{
    struct endpoints *endpoints = cw_server_part(server, &part);
    int error;

    if (!endpoints) {
        free_endpoint(endpoint);
        return CW_ENOMEM;
    }
    error = install(server, group, endpoint);
    if (error == CW_OK) {
        endpoint->next = endpoints->first;
        endpoints->first = endpoint;
        cw_server_expect_protocol(server, &cw_websocket);
    }
    return error;
}

static int add_route(struct cw_server *server, struct cw_http_group *group, const char *path,
                     const struct cw_hooks *hooks, const struct cw_websocket_options *options)
{
    int error = cw_server_check_set_up(server, "cw_websocket_route");
    struct endpoint *endpoint;
    const char *foreign;

    if (error < 0) {
        return error;
    }
    path = path ? path : "";
    if (strchr(path, ' ')) {
        return cw_server_complain(server, CW_EINVAL,
                                  "websocket %.60s: a path without a method; write `/path`", path);
    }
    foreign = options ? cw_ws_foreign_member(options, CW_SERVER) : NULL;
    if (foreign || !hooks) {
        return cw_server_complain(server, CW_EINVAL, "websocket %.60s: %s%s", path,
                                  foreign ? foreign : "without hooks",
                                  foreign ? ": only clients have it" : "");
    }
    endpoint = make_endpoint(server, path, hooks, options);
    return endpoint ? add(server, group, endpoint) : CW_EINVAL;
}

int cw_websocket_route(struct cw_server *server, const char *path, const struct cw_hooks *hooks,
                       const struct cw_websocket_options *options)
{
    return add_route(server, NULL, path, hooks, options);
}

int cw_websocket_group_route(struct cw_http_group *group, const char *path,
                             const struct cw_hooks *hooks,
                             const struct cw_websocket_options *options)
{
    return group ? add_route(cw_http_group_server(group), group, path, hooks, options) : CW_EINVAL;
}

/* The server keeps the struct alone, so what it points to has to stay. */
int cw_websocket_configure(struct cw_server *server, const struct cw_websocket_options *options)
{
    const struct cw_service service = cw_websocket_service(options, NULL, NULL);
    struct cw_websocket_options given = options ? *options : (struct cw_websocket_options){0};
    int error = cw_server_set_protocol_options(server, &cw_websocket, &given);
    struct endpoints *endpoints = error == CW_OK ? cw_server_part(server, &part) : NULL;
    struct cw_service_ref *own = endpoints ? cw_service_new(&service, NULL) : NULL;
    const struct cw_websocket_options *filled;

    if (error < 0 || !own) {
        return error < 0 ? error
                         : cw_server_complain(server, CW_ENOMEM, "options of websocket: %s",
                                              cw_strerror(CW_ENOMEM));
    }
    filled = cw_service_options(own);
    point_at_copies(&given, filled);
    given.http = given.http ? filled->http : NULL;
    error = cw_server_set_protocol_options(server, &cw_websocket, &given);
    cw_service_free(endpoints->own);
    endpoints->own = own;
    return error;
}

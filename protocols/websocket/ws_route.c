/* WebSockets on paths of an HTTP server. */
#include "ws_impl.h"

#include <causeway/log.h>
#include <stdio.h>

static void drop_service(void *service)
{
    cw_service_free(service);
}

/* NULL: an error, kept. */
static struct cw_service_ref *make_service(struct cw_server *server, const char *path,
                                           const struct cw_hooks *hooks,
                                           const struct cw_websocket_options *options, int *error)
{
    struct cw_websocket_options own = {0};
    struct cw_complaint complaint;
    struct cw_service_ref *made;
    struct cw_service service;

    if (options) {
        own = *options;
    }
    own.http = NULL;
    service = cw_websocket_service(&own, hooks, own.user);
    made = cw_service_new(&service, &complaint);
    if (!made) {
        *error = cw_server_complain(server, CW_EINVAL, "websocket %.60s: %s", path, complaint.text);
    }
    return made;
}

static char *pattern_of(const char *path)
{
    size_t size = strlen("GET ") + strlen(path) + 1;
    char *pattern = cw_alloc(size);

    if (pattern) {
        snprintf(pattern, size, "GET %s", path);
    }
    return pattern;
}

/* group NULL: the server's own. */
static int add(struct cw_server *server, struct cw_http_group *group, const char *path,
               struct cw_service_ref *service)
{
    const struct cw_http_route_options options = {.stream = true, .drop = drop_service};
    char *pattern = pattern_of(path);
    int error;

    if (!pattern) {
        cw_service_free(service);
        return cw_server_complain(server, CW_ENOMEM, "websocket: %s", cw_strerror(CW_ENOMEM));
    }
    error = group ? cw_http_group_route(group, pattern, cw_ws_shake, service, &options)
                  : cw_http_route_with(server, pattern, cw_ws_shake, service, &options);
    cw_release(pattern);
    return error;
}

static int add_route(struct cw_server *server, struct cw_http_group *group, const char *path,
                     const struct cw_hooks *hooks, const struct cw_websocket_options *options)
{
    int error = cw_server_check_set_up(server, "cw_websocket_route");
    const struct cw_websocket_options *filled;
    struct cw_service_ref *service;

    if (error < 0) {
        return error;
    }
    path = path ? path : "";
    if (strchr(path, ' ')) {
        return cw_server_complain(server, CW_EINVAL,
                                  "websocket %.60s: a path without a method; write `/path`", path);
    }
    service = make_service(server, path, hooks, options, &error);
    if (!service) {
        return error;
    }
    filled = cw_service_options(service);
    cw_server_expect_message(server, filled->message_max_bytes);
    return add(server, group, path, service);
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

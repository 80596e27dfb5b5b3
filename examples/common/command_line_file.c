/* The command line over a file, and what both say together. */
#include "command_line.h"

#include <causeway/log.h>

static void over(uint64_t *value, uint64_t given)
{
    *value = given == 0 ? *value : given;
}

static void override_server(struct cw_server_options *options, const struct cw_server_options *given)
{
    over(&options->workers, given->workers);
    over(&options->conns_max, given->conns_max);
    over(&options->conns_per_ip_max, given->conns_per_ip_max);
    over(&options->idle_ms, given->idle_ms);
    over(&options->handshake_ms, given->handshake_ms);
    over(&options->drain_ms, given->drain_ms);
    options->half_open = options->half_open || given->half_open;
    if (given->trusted_proxies != NULL) {
        options->trusted_proxies = given->trusted_proxies;
    }
}

/* options: NULL when neither the server nor a listener of the file speaks it. */
static void override_http(struct cw_http_options *options, const struct cw_http_options *given)
{
    if (options == NULL) {
        return;
    }
    over(&options->body_max_bytes, given->body_max_bytes);
    over(&options->head_ms, given->head_ms);
    over(&options->body_ms, given->body_ms);
    if (given->cors_origin != NULL) {
        options->cors_origin = given->cors_origin;
    }
}

/* max_frame_size goes over all protocols' by itself. */
static void override_websocket(struct cw_websocket_options *options,
                               const struct cw_websocket_options *given)
{
    if (options == NULL) {
        return;
    }
    over(&options->ping_interval_ms, given->ping_interval_ms);
    over(&options->pong_timeout_ms, given->pong_timeout_ms);
    options->compress = options->compress || given->compress;
}

static void override_tcp(struct cw_tcp_options *options, const struct cw_tcp_options *given)
{
    over(&options->keepalive_ms, given->keepalive_ms);
    over(&options->keepalive_interval_ms, given->keepalive_interval_ms);
    over(&options->keepalive_probes, given->keepalive_probes);
    options->delay = options->delay || given->delay;
}

/* The command line's place instead of those of the file, or where the file has none. */
static void replace_listeners(struct cw_config *config, const struct command_line *line)
{
    struct cw_config_listener only = {.options = line->listen};

    only.options.tls = NULL; /* as the file says, with what is put over it */

    if (only.options.unix_path == NULL && !line->host_given && config->bind != NULL) {
        only.options.host = config->bind;
    }
    only.options.tcp = config->tcp; /* of both counts what the protocol has */
    only.options.datagram = config->datagram;
    only.options.backlog = config->backlog;
    config->listeners[0] = only;
    config->listener_count = 1;
}

static void move_listener(struct cw_listen_options *listen, const struct command_line *line)
{
    if (line->listen.unix_path != NULL || listen->unix_path != NULL) {
        listen->host = line->listen.host;
        listen->port = line->listen.port;
        listen->unix_path = line->listen.unix_path;
        return;
    }
    if (line->host_given) {
        listen->host = line->listen.host;
    }
    if (line->port_given) {
        listen->port = line->listen.port;
    }
}

static void override_place(struct cw_config *config, const struct command_line *line)
{
    bool given = line->host_given || line->port_given || line->listen.unix_path != NULL;

    if (config->listener_count == 0 || (given && config->listener_count > 1)) {
        if (config->listener_count > 1) {
            cw_log(CW_LOG_WARNING, 0,
                   "the command line says where to listen: the %zu listeners of %s are left out",
                   config->listener_count, line->config);
        }
        replace_listeners(config, line);
    } else if (given) {
        move_listener(&config->listeners[0].options, line);
    }
    for (size_t i = 0; i < config->listener_count; i++) {
        struct cw_listen_options *listen = &config->listeners[i].options;

        if (listen->host == NULL && listen->unix_path == NULL) {
            listen->host = "127.0.0.1"; /* as without a file */
        }
    }
}

void command_line_override(struct cw_config *config, void *user)
{
    const struct command_line *line = user;

    override_server(&config->server, &line->server);
    override_tcp(&config->tcp, &line->listen.tcp);
    datagram_settings_over(&line->datagrams, &config->datagram);
    override_place(config, line);
    if (line->http_protocol != NULL) {
        override_http(cw_config_protocol_options(config, line->http_protocol), &line->http);
    }
    if (line->websocket_protocol != NULL) {
        override_websocket(cw_config_protocol_options(config, line->websocket_protocol),
                           &line->websocket);
    }
    tls_settings_over(&line->tls, &config->tls);
    over(&config->tls.mtu_bytes, line->datagrams.mtu_bytes);
    config->tls_enabled = config->tls_enabled || line->tls.options.cert != NULL;
    for (size_t i = 0; i < config->listener_count; i++) {
        override_tcp(&config->listeners[i].options.tcp, &line->listen.tcp);
        datagram_settings_over(&line->datagrams, &config->listeners[i].options.datagram);
    }
    over(&config->max_frame_size, line->frame_max_bytes);
    if (line->log_level != COMMAND_LINE_UNSET) {
        config->log_level = (enum cw_log_level)line->log_level;
    } else if (line->quiet) {
        config->log_level = CW_LOG_ERROR;
    }
    if (line->log_format != COMMAND_LINE_UNSET) {
        config->log_format = (enum cw_log_format)line->log_format;
    }
}

void command_line_set_up(struct cw_server *server, const struct command_line *line,
                         const struct cw_service *services, size_t service_count)
{
    if (line->config == NULL) {
        cw_server_configure(server, &line->server);
        cw_server_listen(server, &line->listen);
        return;
    }
    cw_config_load(server, line->config,
                   &(struct cw_config_options){.services = services,
                                               .service_count = service_count,
                                               .ignored = COMMAND_LINE_IGNORED,
                                               .override = command_line_override,
                                               .user = (void *)(uintptr_t)line});
}

#include "support/ws_gallery.h"

#include "support/pki.h"
#include "support/secure.h"
#include "support/wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char question[] = "are you there";

/* ---- echo ---- */

static void count_opened(struct cw_conn *conn, void *user)
{
    struct ws_gallery *gallery = user;

    gallery->opened++;
}

static void echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_conn_send(conn, msg);
}

static void count_closed(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct ws_gallery *gallery = user;

    gallery->close_code = reason->peer_code;
    gallery->closed++;
}

static const struct cw_hooks counted = {
    .on_connection = count_opened, .on_data = echo, .on_close = count_closed};
static const struct cw_hooks plain = {.on_data = echo};

/* ---- who ---- */

static int note(struct cw_http_exchange *http, void *user)
{
    char address[CW_ADDRESS_TEXT_MAX];
    struct cw_span host = cw_http_host(http);
    char *text = malloc(512);

    rig_check(text != NULL);
    cw_address_print(cw_http_client(http), address);
    address[strcspn(address, ":")] = '\0';
    snprintf(text, 512, "%s %s %.*s", address, cw_http_scheme(http), (int)host.len,
             (const char *)host.data);
    rig_check(cw_websocket_set_user(http, text, free) == CW_OK);
    return CW_HTTP_NEXT;
}

static void tell_user(struct cw_conn *conn, void *user)
{
    cw_conn_send_text(conn, cw_conn_user(conn));
}

static void free_user(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    free(cw_conn_user(conn));
}

static const struct cw_hooks who = {
    .on_connection = tell_user, .on_data = echo, .on_close = free_user};

/* ---- ping, bye, names ---- */

static void ask(struct cw_conn *conn, void *user)
{
    cw_websocket_ping(conn, cw_span_text(question));
}

static void tell_pong(struct cw_conn *conn, struct cw_span payload, uint64_t round_trip_us,
                      void *user)
{
    cw_conn_sendf(conn, "pong: %.*s", (int)payload.len, (const char *)payload.data);
}

static void end_it(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_conn_close_with(conn, 4002, "enough");
}

static void tell_name(struct cw_conn *conn, void *user)
{
    cw_conn_send_text(conn, cw_websocket_subprotocol(conn));
}

static const struct cw_hooks pinging = {.on_connection = ask, .on_data = echo};
static const struct cw_hooks ending = {.on_data = end_it};
static const struct cw_hooks naming = {.on_connection = tell_name, .on_data = echo};

/* ---- all of them ---- */

static void page(struct cw_http_exchange *http, void *user)
{
    cw_http_replyf(http, 200, "text/html", "<!doctype html><title>page</title>");
}

static void add_routes(struct cw_server *server, struct ws_gallery *gallery)
{
    struct cw_websocket_options options = {.user = gallery,
                                           .message_max_bytes = WS_GALLERY_MOST,
                                           .ping_interval_ms = gallery->ping_interval_ms,
                                           .pong_timeout_ms = gallery->pong_timeout_ms};

    rig_check(cw_http_route(server, "GET /", page, NULL) == CW_OK);
    rig_check(cw_websocket_route(server, "/ws", &counted, &options) == CW_OK);
    rig_check(cw_websocket_route(server, "/bye", &ending, &options) == CW_OK);
    options.on_pong = tell_pong;
    rig_check(cw_websocket_route(server, "/ping", &pinging, &options) == CW_OK);
    options.compress = true;
    rig_check(cw_websocket_route(server, "/z", &plain, &options) == CW_OK);
    options.on_handshake = note;
    rig_check(cw_websocket_route(server, "/who", &who, &options) == CW_OK);
    options.on_handshake = NULL;
    options.subprotocols = "b, a";
    rig_check(cw_websocket_route(server, "/names", &naming, &options) == CW_OK);
    options.origins = "https://elsewhere.example";
    rig_check(cw_websocket_route(server, "/elsewhere", &plain, &options) == CW_OK);
}

static void listen_tls(struct cw_server *server)
{
    struct cw_tls_options tls = rig_identity("server.pem", "server.key");

    rig_check(cw_server_listen(
                  server, &(struct cw_listen_options){.host = "127.0.0.1", .tls = &tls}) == CW_OK);
}

static void run(struct ws_gallery *gallery, uint16_t port)
{
    struct cw_server *server = cw_create_server(&cw_http);

    rig_check(cw_server_configure(server, &gallery->options) == CW_OK);
    rig_check(cw_server_listen(
                  server, &(struct cw_listen_options){.host = "127.0.0.1", .port = port}) == CW_OK);
    add_routes(server, gallery);
    if (pki_made()) {
        listen_tls(server);
    }
    gallery->host = rig_host_start(server, NULL, NULL);
    gallery->port = rig_host_port(gallery->host, 0);
    gallery->tls_port = pki_made() ? rig_host_port(gallery->host, 1) : 0;
}

void ws_gallery_start(struct ws_gallery *gallery, const struct cw_server_options *options,
                      const struct cw_websocket_options *sockets)
{
    *gallery = (struct ws_gallery){0};
    if (options) {
        gallery->options = *options;
    }
    if (sockets) {
        gallery->ping_interval_ms = sockets->ping_interval_ms;
        gallery->pong_timeout_ms = sockets->pong_timeout_ms;
    }
    run(gallery, 0);
}

void ws_gallery_start_again(struct ws_gallery *gallery)
{
    run(gallery, gallery->port);
}

void ws_gallery_end(struct ws_gallery *gallery)
{
    rig_host_end(gallery->host);
}

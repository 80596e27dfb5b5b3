/* WebSocket: an echo on every path; compressed on /z if it was agreed on; /bc says everything to everybody. No pings: the load, which
 * may be slow to open thousands of connections, answers none. */
#include <causeway/causeway.h>
#include <stdio.h>

enum { CONNECTIONS_MAX = 20000 };

static void echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_conn_send(conn, msg);
}

static void join(struct cw_conn *conn, void *user)
{
    cw_room_join(conn, "all");
}

static void say(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_room_send(cw_conn_server(conn), "all", msg, NULL);
}

static void tell(struct cw_server *server, const struct cw_address *address, const char *text,
                 void *user)
{
    printf("listening on %s\n", text);
    fflush(stdout);
}

static const struct cw_websocket_options plain = {.ping_interval_ms = CW_OFF};
static const struct cw_websocket_options compressed = {.ping_interval_ms = CW_OFF, .compress = true};
static const struct cw_hooks echoing = {.on_data = echo, .on_listening = tell};
static const struct cw_hooks room = {.on_connection = join, .on_data = say};

int main(void)
{
    struct cw_server *server = cw_create_server(&cw_websocket);

    cw_server_configure(server, &(struct cw_server_options){.conns_max = CONNECTIONS_MAX,
                                                            .conns_per_ip_max = CONNECTIONS_MAX});
    cw_server_set_hooks(server, &echoing, NULL);
    cw_websocket_configure(server, &plain);
    cw_websocket_route(server, "/z", &echoing, &compressed);
    cw_websocket_route(server, "/bc", &room, &plain);
    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1"});
    return cw_server_main(server);
}

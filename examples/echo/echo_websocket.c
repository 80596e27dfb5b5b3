#include "echo_websocket.h"

#include <causeway/causeway.h>

static const char everybody[] = "bc";

static void join(struct cw_conn *conn, void *user)
{
    if (cw_room_join(conn, everybody) < 0) {
        cw_conn_close_with(conn, CW_WEBSOCKET_TRY_LATER, "the room is full");
    }
}

static void tell_everybody(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_room_send(cw_conn_server(conn), everybody, msg, NULL);
}

static const struct cw_hooks broadcast = {.on_connection = join, .on_data = tell_everybody};

void echo_websocket_set_up(struct cw_server *server, const struct cw_hooks *echo,
                           const struct cw_websocket_options *options)
{
    struct cw_websocket_options compressed = *options;

    compressed.compress = true;
    cw_websocket_route(server, "/ws", echo, options);
    cw_websocket_route(server, "/z", echo, &compressed);
    cw_websocket_route(server, "/bc", &broadcast, options);
}

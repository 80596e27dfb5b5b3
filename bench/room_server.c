/* A room of framed connections: what one says, all others get. Measured against floor_room. */
#include <causeway/causeway.h>
#include <stdio.h>

static void join(struct cw_conn *conn, void *user)
{
    cw_room_join(conn, "bench");
}

static void say(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_room_send(cw_conn_server(conn), "bench", msg,
                 &(struct cw_room_send_options){.except = cw_conn_id(conn)});
}

static void tell(struct cw_server *server, const struct cw_address *address, const char *text,
                 void *user)
{
    printf("listening on %s\n", text);
    fflush(stdout);
}

static const struct cw_hooks room = {.on_connection = join, .on_data = say, .on_listening = tell};

int main(void)
{
    struct cw_server *server = cw_create_server(&cw_framed);
    cw_server_set_hooks(server, &room, NULL);
    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1"});
    return cw_server_main(server);
}

/* room: what one says, all others hear. */
#include <causeway/causeway.h>
#include <stdlib.h>

static void join(struct cw_conn *conn, void *user)
{
    if (cw_room_join(conn, "lobby") < 0) {
        cw_conn_send_text(conn, "the lobby is full");
        cw_conn_close(conn);
        return;
    }
    cw_conn_sendf(conn, "welcome, there are %zu of us",
                  cw_room_count(cw_conn_server(conn), "lobby"));
}

static void say(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_room_send(cw_conn_server(conn), "lobby", msg,
                 &(struct cw_room_send_options){.except = cw_conn_id(conn)});
}

int main(int argc, char **argv)
{
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 7000;
    struct cw_server *server = cw_create_server(&cw_line);

    /* Leaving is automatic when a connection ends; two workers share the room. */
    cw_server_set_hooks(server, &(struct cw_hooks){.on_connection = join, .on_data = say}, NULL);
    cw_server_configure(server, &(struct cw_server_options){.workers = 2});
    cw_server_listen(server, &(struct cw_listen_options){.port = port});
    return cw_server_main(server);
}

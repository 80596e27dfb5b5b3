/* udp_room: what one says, everybody else hears, by frames over TCP or by datagrams. Both on port 7000. */
#include <causeway/causeway.h>

static void enter(struct cw_conn *conn, void *user)
{
    cw_room_join(conn, "lobby"); /* TCP's handshake has shown that the peer is where it says */
}

static void pass_on(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_room_send(cw_conn_server(conn), "lobby", msg,
                 &(struct cw_room_send_options){.except = cw_conn_id(conn)});
}

/* Who says hello over UDP is sent a token, and who sends it back is in the room. */
static void on_datagram(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    uint8_t token[CW_TOKEN_BYTES];

    if (cw_conn_is_proven(conn)) {
        pass_on(conn, msg, user);
    } else if (cw_conn_prove(conn, msg->body) == CW_OK) {
        cw_room_join(conn, "lobby");
    } else if (cw_conn_token(conn, token) == CW_OK) {
        cw_conn_send_bytes(conn, token, sizeof token);
    }
}

int main(void)
{
    static const struct cw_hooks frames = {.on_connection = enter, .on_data = pass_on};
    static const struct cw_hooks datagrams = {.on_data = on_datagram};
    struct cw_server *server = cw_create_server(&cw_framed);

    cw_server_set_hooks(server, &frames, NULL);
    cw_server_configure(server, &(struct cw_server_options){.workers = 2});
    cw_server_listen(server, &(struct cw_listen_options){.port = 7000});
    cw_server_listen(server, &(struct cw_listen_options){
                                 .port = 7000, .service = cw_service(&cw_udp, &datagrams, NULL)});
    return cw_server_main(server);
}

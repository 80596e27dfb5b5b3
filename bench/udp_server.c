/* Datagrams: an echo, or with --room, where a datagram of less than 8 bytes only joins and is echoed, everything to everybody.
 * --stateless answers without peers, --no-offload by single packets, --tls CERT KEY over DTLS. Measured against floor_udp. */
#include <causeway/causeway.h>
#include <stdio.h>
#include <string.h>

enum { PEERS_MAX = 200000, RECEIVE_BUFFER_BYTES = 4 << 20, HELLO_MAX = 7 };

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
    if (msg->body.len <= HELLO_MAX)
        cw_conn_send(conn, msg);
    else
        cw_room_send(cw_conn_server(conn), "all", msg, NULL);
}

static void answer(struct cw_loop *loop, struct cw_datagram *from, const struct cw_message *msg,
                   void *user)
{
    cw_datagram_reply(loop, from, msg->body);
}

static void tell(struct cw_server *server, const struct cw_address *address, const char *text,
                 void *user)
{
    printf("listening on %s\n", text);
    fflush(stdout);
}

static const struct cw_hooks echoing = {.on_data = echo, .on_listening = tell};
static const struct cw_hooks room = {.on_connection = join, .on_data = say, .on_listening = tell};

static bool is(int argc, char **argv, const char *option)
{
    return argc > 1 && strcmp(argv[1], option) == 0;
}

int main(int argc, char **argv)
{
    bool is_room = is(argc, argv, "--room");
    struct cw_server *server = cw_create_server(&cw_udp);
    struct cw_tls_options tls = {0};

    cw_server_configure(
        server, &(struct cw_server_options){.conns_max = PEERS_MAX, .conns_per_ip_max = PEERS_MAX});
    cw_server_set_hooks(server, is_room ? &room : &echoing, NULL);
    if (is(argc, argv, "--stateless"))
        cw_udp_configure(server, &(struct cw_udp_options){.on_datagram = answer});
    if (is(argc, argv, "--tls") && argc == 4)
        tls = (struct cw_tls_options){.cert = argv[2], .key = argv[3]};
    /* The members of a room have said one word. */
    cw_server_listen(server, &(struct cw_listen_options){
                                 .host = "127.0.0.1",
                                 .tls = tls.cert != NULL ? &tls : NULL,
                                 .datagram = {.peers_max = PEERS_MAX,
                                              .peer_idle_ms = 600000,
                                              .amplification = is_room ? CW_NO_LIMIT : 0,
                                              .receive_buffer_bytes = RECEIVE_BUFFER_BYTES,
                                              .no_offload = is(argc, argv, "--no-offload")}});
    return cw_server_main(server);
}

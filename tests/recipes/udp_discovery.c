/* udp_discovery: finds services on the local network without knowing where they are.
 *
 * udp_discovery serve NAME [INTERFACE]  answers who asks the group
 * udp_discovery find [INTERFACE]        asks the group, and prints who answers within a second
 *
 * INTERFACE is its name or an address of it: `eth0`, `127.0.0.1` for this machine alone. */
#include <causeway/causeway.h>
#include <stdio.h>
#include <stdlib.h>

enum { PORT = 7000, PATIENCE_MS = 1000 };

#define GROUP "239.255.70.7" /* one of those that nobody else may own (RFC 2365) */
#define QUESTION "who is there?"

/* ---- serve ---- */

static void tell_name(struct cw_loop *loop, struct cw_datagram *from, const struct cw_message *msg,
                      void *user)
{
    if (cw_span_equal(msg->body, cw_span_text(QUESTION))) {
        cw_datagram_reply(loop, from,
                          cw_span_text(user)); /* to the one who asks, not to the group */
    }
}

static int serve(char *name, const char *interface)
{
    const struct cw_multicast_group group = {.group = GROUP, .interface = interface};
    const struct cw_udp_options options = {.on_datagram = tell_name};
    const struct cw_listen_options listen = {.host = "0.0.0.0",
                                             .port = PORT,
                                             .service = cw_udp_service(&options, NULL, name),
                                             .datagram = {.groups = &group, .group_count = 1}};
    struct cw_server *server = cw_create_server(&cw_udp);

    cw_server_listen(server, &listen);
    return cw_server_main(server);
}

/* ---- find ---- */

static void give_up(struct cw_loop *loop, void *user)
{
    cw_server_stop(cw_loop_server(loop));
}

/* Speaks first: the group is a peer like others, though nobody answers from its address. */
static void ask(struct cw_server *server, struct cw_loop *loop, void *user)
{
    struct cw_address group;
    struct cw_conn *conn;

    cw_address_parse(GROUP, &group);
    group.port = PORT;
    conn = cw_datagram_peer(loop, NULL, &group);
    if (conn != NULL) {
        cw_conn_send_text(conn, QUESTION);
    }
    cw_timer_start(loop, PATIENCE_MS, 0, give_up, NULL);
}

/* Each one who answers is a peer of his own. */
static void print(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    char address[CW_ADDRESS_TEXT_MAX];

    printf("%.*s is at %s\n", (int)msg->body.len, (const char *)msg->body.data,
           cw_address_print(cw_conn_peer(conn), address));
    fflush(stdout);
}

static int find(const char *interface)
{
    static const struct cw_hooks hooks = {.on_data = print, .on_worker_start = ask};
    const struct cw_listen_options listen = {.host = "0.0.0.0",
                                             .datagram = {.multicast_interface = interface}};
    struct cw_server *server = cw_create_server(&cw_udp);

    cw_server_set_hooks(server, &hooks, NULL);
    cw_server_listen(server, &listen);
    return cw_server_main(server);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "serve") == 0) {
        return serve(argv[2], argc > 3 ? argv[3] : NULL);
    }
    if (argc > 1 && strcmp(argv[1], "find") == 0) {
        return find(argc > 2 ? argv[2] : NULL);
    }
    fprintf(stderr, "usage: udp_discovery serve NAME [INTERFACE] | find [INTERFACE]\n");
    return 1;
}

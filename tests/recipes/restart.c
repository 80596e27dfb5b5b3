/* restart: a new process takes over the listening socket; nobody is refused in between. */
#include <causeway/causeway.h>
#include <stdlib.h>

enum { FIRST_PASSED = 3 }; /* where systemd puts the first socket it passes */

static void echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_conn_send(conn, msg);
}

/* Everyone who is still here when the server stops is told; what is queued is sent before the close. */
static void say_goodbye(struct cw_conn *conn, void *user)
{
    cw_conn_send_text(conn, "we restart, please come again");
    cw_conn_close(conn);
}

/* A line "restart" from anybody; a real server would listen to an operator. SIGTERM stops without the words. */
static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct cw_server *server = cw_conn_server(conn);

    if (cw_span_equal(msg->body, cw_span_text("restart"))) {
        cw_server_each_conn(server, say_goodbye, NULL, NULL);
        cw_server_stop(server);
    } else {
        echo(conn, msg, user);
    }
}

int main(int argc, char **argv)
{
    const char *passed = getenv("LISTEN_FDS");
    struct cw_listen_options listen = {.port =
                                           argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 7000};
    struct cw_server *server = cw_create_server(&cw_line);

    if (passed != NULL && strtoul(passed, NULL, 10) > 0) {
        listen = (struct cw_listen_options){.fd = FIRST_PASSED};
    }
    cw_server_set_hooks(server, &(struct cw_hooks){.on_data = on_data}, NULL);
    cw_server_listen(server, &listen);
    return cw_server_main(server);
}

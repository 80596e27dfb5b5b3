/* login_deadline: who has not logged in after a while has to go. */
#include <causeway/causeway.h>
#include <stdlib.h>

enum { LOGIN_MS = 1000 };

struct session {
    bool logged_in;
};

static void check_login(struct cw_conn *conn, void *user)
{
    const struct session *session = cw_conn_user(conn);

    if (!session->logged_in) {
        cw_conn_send_text(conn, "too late");
        cw_conn_close_with(conn, 0, "no login in time");
    }
}

static void on_connection(struct cw_conn *conn, void *user)
{
    struct session *session = calloc(1, sizeof *session);

    cw_conn_set_user(conn, session);
    if (session == NULL || cw_conn_after(conn, LOGIN_MS, 0, check_login, NULL) < 0) {
        cw_conn_abort(conn); /* no memory: without its deadline nobody stays */
    }
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct session *session = cw_conn_user(conn);

    if (session->logged_in) {
        cw_conn_send(conn, msg);
    } else if (cw_span_equal(msg->body, cw_span_text("open sesame"))) {
        session->logged_in = true;
        cw_conn_send_text(conn, "welcome");
    } else {
        cw_conn_send_text(conn, "who are you?");
    }
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    free(cw_conn_user(conn));
}

int main(int argc, char **argv)
{
    static const struct cw_hooks hooks = {
        .on_connection = on_connection, .on_data = on_data, .on_close = on_close};
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 7000;
    struct cw_server *server = cw_create_server(&cw_line);

    cw_server_set_hooks(server, &hooks, NULL);
    cw_server_listen(server, &(struct cw_listen_options){.port = port});
    return cw_server_main(server);
}

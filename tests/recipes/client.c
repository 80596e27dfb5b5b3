/* client: connects, asks, prints each answer; comes back when the server does. */
#include <causeway/causeway.h>
#include <stdio.h>

/* Each time it has connected; the connection is a new one each time. */
static void ask(struct cw_conn *conn, void *user)
{
    cw_conn_send_text(conn, "91");
}

static void print(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    printf("%.*s\n", (int)msg->body.len, (const char *)msg->body.data);
    fflush(stdout);
}

/* Also after each attempt that failed. server is NULL here: there is none. */
static void complain(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    fprintf(stderr, "%s\n", report->text);
}

int main(int argc, char **argv)
{
    static const struct cw_hooks hooks = {
        .on_connection = ask, .on_data = print, .on_error = complain};
    struct cw_loop *loop = cw_loop_new();
    int error = CW_ENOMEM;

    if (loop != NULL &&
        cw_connect(loop, cw_service(&cw_line, &hooks, NULL), argc > 1 ? argv[1] : "127.0.0.1:7000",
                   &(struct cw_connect_options){.reconnect = true}) > 0) {
        error = cw_loop_main(loop); /* until SIGINT or SIGTERM */
    }
    cw_loop_free(loop);
    return error < 0 ? 1 : 0;
}

/* tls_client: says one line over TLS, to a server that a CA of its own vouches for, and prints what comes back.
 *
 * tls_client ADDRESS CA */
#include <causeway/causeway.h>
#include <stdio.h>

static int status = 1;

static void speak(struct cw_conn *conn, void *user)
{
    struct cw_tls_info tls;

    if (cw_conn_tls(conn, &tls) == CW_OK) {
        printf("%s, %s, %s\n", tls.version, tls.cipher, tls.verified ? "verified" : tls.why_not);
    }
    cw_conn_send_text(conn, "hello");
}

static void listen_to(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    printf("%.*s\n", (int)msg->body.len, (const char *)msg->body.data);
    status = 0;
    cw_loop_stop(cw_conn_loop(conn));
}

/* It is not tried again: the loop ends with its last client. */
static void tell(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    fprintf(stderr, "%s\n", report->text);
}

static const struct cw_hooks hooks = {
    .on_connection = speak, .on_data = listen_to, .on_error = tell};

int main(int argc, char **argv)
{
    struct cw_loop *loop = cw_loop_new();

    if (argc < 3) {
        fprintf(stderr, "usage: tls_client ADDRESS CA\n");
        return 1;
    }
    const struct cw_tls_options tls = {.ca = argv[2]};
    if (cw_connect(loop, cw_service(&cw_line, &hooks, NULL), argv[1],
                   &(struct cw_connect_options){.tls = &tls}) > 0) {
        cw_loop_main(loop);
    }
    cw_loop_free(loop);
    return status;
}

/* starttls: begins in the clear and becomes TLS when the peer asks for it, in the words of SMTP.
 *
 * starttls PORT CERT KEY */
#include <causeway/causeway.h>
#include <stdio.h>
#include <stdlib.h>

static void greet(struct cw_conn *conn, void *user)
{
    cw_conn_send_text(conn, "220 here");
}

/* The last words in the clear have to be gone before TLS begins. */
static void try_tls(struct cw_conn *conn, void *user)
{
    if (cw_conn_user(conn) != NULL && cw_conn_start_tls(conn) != CW_EFULL) {
        cw_conn_set_user(conn, NULL);
    }
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    static char asked;

    if (cw_span_equal(msg->body, cw_span_text("STARTTLS")) && !cw_conn_is_encrypted(conn)) {
        cw_conn_send_text(conn, "220 go ahead");
        cw_conn_set_user(conn, &asked);
        try_tls(conn, user);
    } else if (msg->body.len >= 4 && memcmp(msg->body.data, "EHLO", 4) == 0) {
        cw_conn_send_text(conn, "250-here");
        cw_conn_send_text(conn, cw_conn_is_encrypted(conn) ? "250 HELP" : "250 STARTTLS");
    } else {
        cw_conn_send_text(conn, cw_conn_is_encrypted(conn) ? "250 safe" : "530 STARTTLS first");
    }
}

static const struct cw_hooks hooks = {
    .on_connection = greet, .on_data = on_data, .on_drain = try_tls};

int main(int argc, char **argv)
{
    struct cw_server *server = cw_create_server(&cw_line);

    if (argc < 4) {
        fprintf(stderr, "usage: starttls PORT CERT KEY\n");
        return 1;
    }
    const struct cw_tls_options tls = {.cert = argv[2], .key = argv[3], .start_tls = true};
    const struct cw_listen_options listen = {.port = (uint16_t)strtoul(argv[1], NULL, 10),
                                             .tls = &tls};
    cw_line_configure(server, &(struct cw_line_options){.delimiter = "\r\n"});
    cw_server_set_hooks(server, &hooks, NULL);
    cw_server_listen(server, &listen);
    return cw_server_main(server);
}

/* tls: who shows a certificate of our CA is greeted by name; the others are guests.
 *
 * tls PORT CERT KEY CA */
#include <causeway/causeway.h>
#include <stdio.h>
#include <stdlib.h>

static void greet(struct cw_conn *conn, void *user)
{
    struct cw_tls_info tls;
    struct cw_tls_peer_cert cert;
    char words[400] = "hello, guest";

    if (cw_conn_tls(conn, &tls) == CW_OK && tls.verified &&
        cw_conn_peer_cert(conn, &cert) == CW_OK) {
        snprintf(words, sizeof words, "hello, %s", cert.subject);
    }
    cw_conn_send_text(conn, words);
}

int main(int argc, char **argv)
{
    struct cw_server *server = cw_create_server(&cw_line);

    if (argc < 5) {
        fprintf(stderr, "usage: tls PORT CERT KEY CA\n");
        return 1;
    }
    const struct cw_tls_options tls = {
        .cert = argv[2], .key = argv[3], .ca = argv[4], .client_cert = CW_CLIENT_CERT_REQUEST};
    const struct cw_listen_options listen = {.port = (uint16_t)strtoul(argv[1], NULL, 10),
                                             .tls = &tls};
    cw_server_set_hooks(server, &(struct cw_hooks){.on_connection = greet}, NULL);
    cw_server_listen(server, &listen);
    return cw_server_main(server);
}

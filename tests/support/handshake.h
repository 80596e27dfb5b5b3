#ifndef CAUSEWAY_TESTS_HANDSHAKE_H
#define CAUSEWAY_TESTS_HANDSHAKE_H

/* A whole TLS handshake in memory, between a server and a client of the framework's own contexts. */

#include "tls/tls_impl.h"

/* What one side has to say afterwards. */
struct handshake_end {
    int result; /* of the library; 0: done */
    struct cw_tls_failure failure;
    struct cw_tls_info info;
    struct cw_tls_peer_cert peer;
    bool has_peer;
    char server_name[64]; /* info's texts, kept beyond the session */
    char alpn[64];
    char version[16];
    char cipher[64];
};

struct handshake {
    struct handshake_end server;
    struct handshake_end client;
    bool spoken; /* each side has read what the other has sent */
};

/* A context; fails the test when there is none. */
struct cw_tls *handshake_server(const struct cw_tls_options *options);
struct cw_tls *handshake_client(const struct cw_tls_options *options, const char *host);

/* Shakes hands, exchanges a word each way, and describes both sides. */
void handshake_run(struct cw_tls *server, struct cw_tls *client, struct handshake *handshake);

/* The same with contexts that are made and dropped for it. host: NULL is `localhost`. */
void handshake_try(const struct cw_tls_options *server, const struct cw_tls_options *client,
                   const char *host, struct handshake *handshake);

#endif

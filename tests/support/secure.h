/* TLS over real sockets: a server that echoes, a client that says one thing and hears one, and other people's
 * programs. What a connection of ours tells of its TLS is written down, for comparison with what its peer says. */
#ifndef CAUSEWAY_TESTS_SECURE_H
#define CAUSEWAY_TESTS_SECURE_H

#include "support/child.h"
#include "support/host.h"
#include "support/peer.h"

#include <causeway/client.h>
#include <causeway/tls.h>

#include <stdatomic.h>

enum { RIG_SAID_MAX = 512, RIG_VISITS_MAX = 4, RIG_GOT_MAX = 8192 };

/* Whether the library under test speaks TLS 1.3. */
bool rig_has_tls_1_3(void);

/* What one connection has said of its TLS. */
struct rig_said {
    struct cw_tls_info info; /* its texts are those below */
    char version[16];
    char cipher[64];
    char group[16];
    char server_name[256];
    char alpn[64];
    bool encrypted;
    bool has_cert;
    struct cw_tls_peer_cert cert;
};

void rig_said_note(struct rig_said *said, const struct cw_conn *conn);

/* The cipher by OpenSSL's name: ECDHE-RSA-AES128-GCM-SHA256. */
const char *rig_openssl_cipher(const struct rig_said *said, char *text, size_t cap);

/* ---- a server ---- */

/* The `user` of its hooks. What stands beside a counter is written before the counter grows. */
struct rig_secure {
    struct rig_host *host;
    uint16_t port;
    char address[32]; /* 127.0.0.1:PORT; of the first listener, or of the one that was chosen */
    atomic_uint opened;
    atomic_uint secured; /* cw_conn_start_tls has succeeded */
    atomic_uint closed;
    atomic_uint failed;
    atomic_uint reloaded;
    struct rig_said said[RIG_SAID_MAX]; /* in on_connection, and in on_secure over it */
    struct cw_error_report reports[RIG_SAID_MAX];
    struct cw_address addresses[RIG_SAID_MAX]; /* of the reports */
    struct cw_close_reason reasons[RIG_SAID_MAX];
};

extern const struct cw_hooks rig_secure_hooks; /* echo, and write down */

/* Starts it on 127.0.0.1. tls: NULL: plain. A message `bye` is answered with a close. hooks: NULL: rig_secure_hooks. */
void rig_secure_start(struct rig_secure *secure, const struct cw_protocol *protocol,
                      const struct cw_tls_options *tls, const struct cw_hooks *hooks);

/* The same with two listeners, and which of them is spoken of from here on. */
void rig_secure_start_two(struct rig_secure *secure, const struct cw_protocol *protocol,
                          const struct cw_tls_options *tls, const struct cw_tls_options *other,
                          const struct cw_hooks *hooks);
void rig_secure_choose(struct rig_secure *secure, unsigned listener);

/* The same for a server that the test has made. */
void rig_secure_run(struct rig_secure *secure, struct cw_server *server,
                    const struct cw_hooks *hooks);

/* The n-th of its kind, counted from 0; waits for it. */
const struct rig_said *rig_secure_said(struct rig_secure *secure, unsigned n);
const struct cw_error_report *rig_secure_report(struct rig_secure *secure, unsigned n);
const struct cw_close_reason *rig_secure_reason(struct rig_secure *secure, unsigned n);

/* Stops it, and expects one on_close for each on_connection. */
void rig_secure_end(struct rig_secure *secure);

/* A certificate of tests/support/pki.h with its key, for servers and clients. */
struct cw_tls_options rig_identity(const char *cert, const char *key);

/* ---- a client of ours ---- */

/* Set the first five, then rig_visit. */
struct rig_visit {
    const struct cw_protocol *protocol; /* NULL: cw_tcp */
    const char *says;                   /* NULL: hello, in a line */
    const char *hears;                  /* closes when this has come. NULL: olleh, in a line */
    uint64_t connect_ms;                /* 0: RIG_DEADLINE_MS */
    unsigned rounds; /* connections, one after the other. 0: 1, without reconnecting */

    struct cw_loop *loop;
    int64_t client;
    unsigned opened;
    unsigned closed;
    unsigned failed;
    struct rig_said said[RIG_VISITS_MAX];
    struct cw_error_report report; /* the last one */
    struct cw_address address;     /* its address */
    struct cw_close_reason reason; /* of the last one closed */
    char got[RIG_GOT_MAX];         /* on the last connection, with a terminator */
    size_t len;
};

/* Connects, on a loop on this thread, and returns when all is over. */
void rig_visit(struct rig_visit *visit, const char *address, const struct cw_tls_options *tls);

/* ---- other people's programs ---- */

#define RIG_WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* False: it is not installed; skip the test. */
bool rig_has_program(const char *name);

/* words: the program, looked for in PATH, and what follows it; ended with NULL. */
void rig_start_words(struct rig_child *child, const char *const *words);
void rig_start_words_fed(struct rig_child *child, const char *const *words);

/* The same with nothing to read, to its end. Returns the exit status. */
int rig_run_words(struct rig_child *child, const char *const *words);

/* openssl s_client to this server, which it verifies as localhost; more: words behind those. */
void rig_s_client(struct rig_child *child, const struct rig_secure *secure, const char *const *more);

/* Types a line, waits for it to come back, and ends; expects the exit status 0. */
void rig_s_client_talk(struct rig_child *child);

/* The three together. */
void rig_s_client_visit(struct rig_child *child, const struct rig_secure *secure,
                        const char *const *more);

/* openssl s_server on any port of 127.0.0.1, with a certificate of tests/support/pki.h, sending each line back in
 * reverse. Returns its port. */
uint16_t rig_s_server(struct rig_child *child, const char *name, const char *const *more);

/* Ends it. child->text is whole then. */
void rig_s_server_end(struct rig_child *child);

/* Expects a text in what it has printed. */
void rig_expect_text(const struct rig_child *child, const char *text);

#endif

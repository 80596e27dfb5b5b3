#ifndef CAUSEWAY_TESTS_DTLS_PEER_H
#define CAUSEWAY_TESTS_DTLS_PEER_H

/* A client that speaks DTLS with a hand on its own datagrams: what the library (mbedTLS, used directly) wants to send can be kept,
 * joined with others, sent again or altered by the test. A deadline on everything; what fails ends the process. */

#include <mbedtls/ssl.h>
#include <mbedtls/version.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RIG_DTLS_KEPT_MAX = 32, RIG_DTLS_CAP = 2048 };

/* Whether the library under test has connection ids. */
bool rig_has_connection_ids(void);

struct rig_datagram {
    uint8_t bytes[RIG_DTLS_CAP];
    size_t len;
};

struct rig_dtls_setup {
    const char *pem; /* certificate and key: names in tests/pki. NULL: none */
    const char *key;
    uint32_t least_ms; /* before it sends again what is not answered. 0: 50 */
    bool connection_id;
    bool is_server; /* of whoever speaks to it first, without cookies; needs pem and key */
};

struct rig_dtls {
    int fd;
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config conf;
    mbedtls_x509_crt cert;
    mbedtls_pk_context key;
    uint64_t since_ms; /* the library's timer */
    uint32_t intermediate_ms;
    uint32_t final_ms;
    bool holds; /* what is to be sent goes to `sent` alone */
    struct rig_datagram
        sent[RIG_DTLS_KEPT_MAX]; /* all that the library has sent so far, the first ones */
    size_t sent_count;
};

/* On 127.0.0.1, connected to the other side's port (0: not yet, it is spoken to first). Sends nothing yet. setup: NULL: all
 * zero. */
void rig_dtls_open(struct rig_dtls *peer, uint16_t port, const struct rig_dtls_setup *setup);

/* Forgets everything but its address, as after a crash; what has come until now is not read. */
void rig_dtls_begin_again(struct rig_dtls *peer, const struct rig_dtls_setup *setup);

/* Connects to where the datagram came from that waits; false: none does. */
bool rig_dtls_turn(struct rig_dtls *peer);

/* The port it sends from. */
uint16_t rig_dtls_port(const struct rig_dtls *peer);

/* To its end: 0, or the library's error. */
int rig_dtls_handshake(struct rig_dtls *peer);

/* So many steps of it, as far as they need nothing from the other side or get it in time. */
int rig_dtls_step(struct rig_dtls *peer);

/* Opens, and shakes hands, which has to succeed. */
void rig_dtls_connect(struct rig_dtls *peer, uint16_t port);

void rig_dtls_write(struct rig_dtls *peer, const void *data, size_t len);

/* What the library makes of a message, not sent. */
struct rig_datagram rig_dtls_record(struct rig_dtls *peer, const void *data, size_t len);

/* A datagram as it stands. */
void rig_dtls_send(struct rig_dtls *peer, const void *data, size_t len);

/* The next message: its length; or the library's error. */
int rig_dtls_read(struct rig_dtls *peer, void *buffer, size_t cap);

/* Whether a message has come, or comes in this time. */
bool rig_dtls_hears(struct rig_dtls *peer, int ms);

/* Writes, and the same comes back, as one message. */
void rig_dtls_expect_echo(struct rig_dtls *peer, const char *text);

/* close_notify. */
void rig_dtls_notify(struct rig_dtls *peer);

/* Expects the other side's close_notify; messages before it are passed over. */
void rig_dtls_expect_notify(struct rig_dtls *peer);

void rig_dtls_close(struct rig_dtls *peer);

#endif

#ifndef CAUSEWAY_TESTS_TLS_TAP_H
#define CAUSEWAY_TESTS_TLS_TAP_H

/* A peer that speaks TLS with a hand on its own bytes: what the library (mbedTLS, used directly) wants to send can be kept,
 * altered, cut, and sent by the test. Blocking, with a deadline on everything; what fails ends the process. */

#include "support/host.h"
#include "support/peer.h"
#include "support/rig.h"

#include <causeway/tls.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>

#if MBEDTLS_VERSION_NUMBER >= 0x03000000 && defined(MBEDTLS_SSL_PROTO_TLS1_3)
enum { RIG_TLS_NEWEST = 13 };
#else
enum { RIG_TLS_NEWEST = 12 };
#endif

/* How a connection ended, where no alert says it. */
enum { RIG_TAP_END = -1, RIG_TAP_RESET = -2 };

enum rig_record {
    RIG_RECORD_CCS = 20,
    RIG_RECORD_ALERT = 21,
    RIG_RECORD_HANDSHAKE = 22,
    RIG_RECORD_DATA = 23,
};

struct rig_tap_setup {
    bool is_server;
    int version;     /* the newest that is spoken, 12 or 13. 0: RIG_TLS_NEWEST */
    const char *pem; /* certificate and key: names in tests/pki; a client may have none */
    const char *key;
    struct cw_span der; /* a certificate in place of `pem`, altered or not; behind it those of `more` */
    size_t repeat;      /* the certificate is shown so many times more */
};

struct rig_tap {
    struct rig_peer peer;
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config conf;
    mbedtls_x509_crt cert;
    mbedtls_pk_context key;
    bool holds;            /* what is to be sent goes to `held` alone */
    struct rig_bytes held; /* the test's to send, and to empty by held.len = 0 */
    size_t budget; /* so many bytes more are sent, and none behind them; SIZE_MAX at first */
    bool shuts;    /* … and then this side's end */
    size_t piece; /* bytes that are sent together; the next follow when they have arrived. 0: all */
    size_t sent;
    size_t alert_records; /* received, as far as their type can be seen */
    uint8_t head[5];      /* of the record that is being received */
    size_t head_len;
    size_t body_left;
};

/* Takes the peer. Sends nothing yet. */
void rig_tap_open(struct rig_tap *tap, struct rig_peer peer, const struct rig_tap_setup *setup);

/* 0, or the library's error. */
int rig_tap_handshake(struct rig_tap *tap);

/* Connects to 127.0.0.1 and shakes hands, in at most this version (0: any), which has to succeed. */
void rig_tap_connect(struct rig_tap *tap, uint16_t port, int version);

void rig_tap_write(struct rig_tap *tap, const void *data, size_t len);
void rig_tap_read(struct rig_tap *tap, void *buffer, size_t len);

/* Writes and reads the same text: the other side is an echo that still works. */
void rig_tap_expect_echo(struct rig_tap *tap, const char *text);

/* What the library makes of a write, not sent: one or more records. Good until the next call. */
struct cw_span rig_tap_records(struct rig_tap *tap, const void *data, size_t len);

/* What the library sends first as a client: records. Good until the next call. The handshake can still be had when these
 * bytes are sent. */
struct cw_span rig_tap_hello(struct rig_tap *tap);

/* The same in this version, with nobody to talk to. rig_release it. */
struct rig_bytes rig_tap_hello_bytes(int version);

/* Encrypts and sends one record of any type with any content, at most 16384 bytes: what no library would. */
void rig_tap_forge(struct rig_tap *tap, uint8_t type, const void *data, size_t len);

/* close_notify. */
void rig_tap_notify(struct rig_tap *tap);

/* Reads up to the end. Returns the alert (0: close_notify), or how it ended without one. */
int rig_tap_end(struct rig_tap *tap);

/* The alert of a peer that has no library: the first record of type alert in the clear, read up to the end of the
 * connection. RIG_TAP_END, RIG_TAP_RESET: there was none. */
int rig_peer_alert(struct rig_peer *peer);

void rig_tap_close(struct rig_tap *tap);

/* A server with one listener on 127.0.0.1 that speaks TLS with server.pem.
 *
 * options  may be NULL
 * tls      may be NULL; certificate and key are filled in when it has none */
struct cw_server *rig_tls_server(const struct cw_protocol *protocol,
                                 const struct cw_server_options *options,
                                 const struct cw_tls_options *tls);

#endif

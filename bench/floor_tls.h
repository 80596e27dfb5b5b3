/* What the TLS floors share: one loop (floor_tls.c) over one library each. */
#ifndef CW_BENCH_FLOOR_TLS_H
#define CW_BENCH_FLOOR_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RECORD_BYTES = 16384,
    WIRE_BYTES = 65536 + 1024,               /* one read: a message of 64 KiB in its records */
    PLAIN_BYTES = WIRE_BYTES + RECORD_BYTES, /* with what the library held back before */
    OUT_BYTES = PLAIN_BYTES + 8192, /* with its records' heads and tags, or a handshake's flight */
};

struct floor_options {
    const char *cert;
    const char *key;
    const char *cipher; /* chacha20, aes128 or aes256 alone; NULL: all, in the library's best order */
    const char *group; /* x25519 or p256 alone; NULL: both in this order */
};

/* What one event brings and leaves. All connections share it: it is empty between two events. */
struct floor_wire {
    const uint8_t *in;
    size_t in_len;
    size_t out_len;
    uint8_t out[OUT_BYTES];
};

struct tls_session;

/* Loads certificate and key and prepares what all sessions share.
 *
 * returns  false: said why on standard error */
bool tls_setup(const struct floor_options *options, struct floor_wire *wire);

/* returns  NULL: memory ran out */
struct tls_session *tls_open(void);
void tls_close(struct tls_session *session);

/* Takes all of the wire's input: goes on with the handshake, or decrypts and echoes into its output.
 *
 * returns  false: the session has ended; what is in the output is still to be sent */
bool tls_serve(struct tls_session *session);

/* Name and version of the library. */
const char *tls_library(void);

/* For the libraries' callbacks: takes up to `len` bytes of input, adds `len` bytes of output.
 *
 * returns  how many; -1: none are there, or there is no room */
int wire_take(struct floor_wire *wire, uint8_t *bytes, size_t len);
int wire_add(struct floor_wire *wire, const uint8_t *bytes, size_t len);

#endif

/* Records of DTLS as far as they can be read in the clear (RFC 6347 §4.1), and the hello that a peer begins with. */
#ifndef CW_DTLS_HELLO_H
#define CW_DTLS_HELLO_H

#include <causeway/types.h>

enum {
    CW_DTLS_CID_BYTES = 8,     /* of the connection ids that a server gives out */
    CW_DTLS_COOKIE_BYTES = 32, /* of the cookies that it gives out */
    CW_DTLS_VERIFY_BYTES = 60, /* of a HelloVerifyRequest with one: less than any hello has */
    CW_DTLS_RANDOM_BYTES = 32,
};

enum cw_dtls_type {
    CW_DTLS_ALERT = 21,
    CW_DTLS_HANDSHAKE = 22,
    CW_DTLS_CID = 25, /* RFC 9146 §4: one with a connection id */
};

struct cw_dtls_record {
    struct cw_span bytes; /* all of it, with its head */
    struct cw_span body;
    const uint8_t *cid; /* NULL: it has none */
    uint16_t epoch;
    uint8_t type;
};

/* Cuts the first record off a datagram. cid_len: bytes of the connection id in records that have one.
 *
 * returns  false: there is nothing that could be a whole record; datagram is empty then */
bool cw_dtls_next_record(struct cw_span *datagram, size_t cid_len, struct cw_dtls_record *record);

/* A ClientHello, whole, alone in the first record. */
struct cw_dtls_hello {
    const uint8_t *head;   /* of the record, behind it that of the message */
    const uint8_t *random; /* CW_DTLS_RANDOM_BYTES of them */
    struct cw_span cookie; /* empty: it has none yet */
};

/* Whether a datagram begins with one. A hello in fragments is none: to put them together would be to keep something for whoever
 * sends one. */
bool cw_dtls_read_hello(struct cw_span datagram, struct cw_dtls_hello *hello);

/* Writes the HelloVerifyRequest that answers a hello (RFC 6347 §4.2.1). */
void cw_dtls_write_verify(const struct cw_dtls_hello *hello,
                          const uint8_t cookie[CW_DTLS_COOKIE_BYTES],
                          uint8_t out[CW_DTLS_VERIFY_BYTES]);

/* The group that a ServerKeyExchange in this datagram has chosen (RFC 8422 §5.4). 0: there is none in it. */
uint16_t cw_dtls_find_group(struct cw_span datagram);

#endif

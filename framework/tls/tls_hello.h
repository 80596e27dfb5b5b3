/* The first bytes of a connection: are they TLS at all, and which group do the hellos agree on? */
#ifndef CW_TLS_HELLO_H
#define CW_TLS_HELLO_H

#include <causeway/types.h>

enum cw_tls_first {
    CW_FIRST_MORE, /* too few to say */
    CW_FIRST_TLS,
    CW_FIRST_SSL2, /* a hello of SSL 2.0 */
    CW_FIRST_HTTP, /* a request or an answer in the clear */
    CW_FIRST_OTHER,
};

/* Judges the first bytes that a peer has sent. */
enum cw_tls_first cw_tls_judge_first(struct cw_span bytes);

/* Whether they begin a ClientHello: for listeners that do not speak TLS. */
bool cw_tls_is_hello(struct cw_span bytes);

/* How many of the bytes are whole records (RFC 8446 §5.1). A record that says it is longer than one may be counts as
 * whole: the library will refuse it. */
size_t cw_tls_whole_records(struct cw_span bytes);

/* The group that a record of a handshake in the clear agrees on: in a ServerHello (TLS 1.3, RFC 8446 §4.2.8) or a
 * ServerKeyExchange (TLS 1.2, RFC 8422 §5.4). 0: not in this one. *over is set by the record behind which nothing is in
 * the clear. */
uint16_t cw_tls_find_group(struct cw_span records, bool *over);

#endif

/* TLS under the load's connections. Built without OpenSSL it says so at tls_init. */
#ifndef CW_BENCH_LOAD_TLS_H
#define CW_BENCH_LOAD_TLS_H

#include "load_impl.h"

#include <sys/types.h>

/* returns  false: said why on standard error */
bool tls_init(const struct load_options *options);
void tls_release(void);

/* Puts TLS over a connected socket, with the newest session where sessions are to be resumed. */
bool tls_begin(struct conn *conn);

/* Says goodbye and frees; the socket stays open. */
void tls_end(struct conn *conn);

/* returns  1: done; 0: not yet; -1: failed, errno says why */
int tls_handshake(struct conn *conn);

/* Send and receive like the calls on a socket, errno included. A receive takes all that is there. */
ssize_t tls_send(struct conn *conn, const uint8_t *bytes, size_t len);
ssize_t tls_recv(struct conn *conn, uint8_t *bytes, size_t cap);

/* Tells whether the handshake resumed a session, and whether there is one to resume. */
bool tls_resumed(const struct conn *conn);
bool tls_has_session(void);

/* Writes protocol version and cipher of a connection. */
void tls_describe(const struct conn *conn, char *text, size_t cap);

#endif

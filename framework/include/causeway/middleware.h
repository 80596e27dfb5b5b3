/* The contract of connection middleware: rules for every connection, whatever it speaks.
 *
 * A middleware is a table and a block of its own. Its functions run in the order in which it was added:
 *
 * ```text
 * on_datagram  before anything is done with a datagram
 * on_accept   before TLS and before any memory is taken for the connection
 * on_open     before the hook on_connection
 * on_message  before the hook on_data
 * on_close    after the hook on_close
 * ``` */
#ifndef CAUSEWAY_MIDDLEWARE_H
#define CAUSEWAY_MIDDLEWARE_H

#include <causeway/address.h>
#include <causeway/conn.h>
#include <causeway/datagram.h>
#include <causeway/error.h>
#include <causeway/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What on_message answers beside an enum cw_error, which closes the connection with it. */
enum cw_verdict {
    CW_PASS = 0, /* the next middleware, then the hook */
    CW_DROP = 1, /* forget this message; counted in messages_dropped */
};

/* Connection middleware: a constant table. Absent functions mean "not interested". */
struct cw_conn_middleware {
    const char *name;
    size_t conn_size; /* zeroed bytes for each connection, made when it opens; `slot` below. 0: none */

    /* A peer has connected. 0: go on. An enum cw_error: refuse; it is closed at once, reported and counted.
     * Runs on every worker's thread: what it shares is its own to guard. `limit` may be set for the report. */
    int (*on_accept)(struct cw_conn_middleware *self, struct cw_loop *loop,
                     const struct cw_address *peer, uint64_t *limit);

    /* A datagram has come to a listener of datagrams, before its peer is looked for or made. 0: go on. An enum cw_error: it is
     * dropped and counted. Runs on every worker's thread, and with no memory taken: what it shares is its own to guard. */
    int (*on_datagram)(struct cw_conn_middleware *self, struct cw_loop *loop,
                       const struct cw_datagram *from, size_t len);

    /* The accepted peer is gone (also one that never opened). Once for each on_accept that said 0. */
    void (*on_gone)(struct cw_conn_middleware *self, struct cw_loop *loop,
                    const struct cw_address *peer);

    /* 0, or an enum cw_error that closes it before on_connection. */
    int (*on_open)(struct cw_conn_middleware *self, struct cw_conn *conn, void *slot);

    /* A whole message or a piece. An enum cw_verdict, or an enum cw_error that closes the connection. It may pause. */
    int (*on_message)(struct cw_conn_middleware *self, struct cw_conn *conn, void *slot,
                      const struct cw_message *msg);

    /* The connection has ended; the slot goes. Once for each on_open that said 0. */
    void (*on_close)(struct cw_conn_middleware *self, struct cw_conn *conn, void *slot);

    /* The server goes: free self. */
    void (*release)(struct cw_conn_middleware *self);

    struct cw_conn_middleware *next; /* the server's */
};

/* Stops reading from a connection for so long, for a rate limit; other pauses are not touched. After that it goes on by
 * itself.
 *
 * thread   loop thread */
int cw_conn_pause_for(struct cw_conn *conn, uint64_t ms);

#ifdef __cplusplus
}
#endif

#endif

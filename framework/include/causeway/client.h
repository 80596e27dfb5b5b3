/* Outgoing connections: the same protocols and hooks as a server's. */
#ifndef CAUSEWAY_CLIENT_H
#define CAUSEWAY_CLIENT_H

#include <causeway/server.h>
#include <causeway/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How to connect. Zero means the default in every member.
 *
 * Between attempts lies a pause of reconnect_min_ms, doubled after each failure up to reconnect_max_ms; chance takes
 * up to half of it away, so that those who lost the same server do not all come back at once. A connection that
 * has been open for reconnect_min_ms starts that anew; one that ends sooner counts as a failure too. */
struct cw_connect_options {
    uint64_t connect_ms;       /* names, all addresses and handshake together. 0: 10000 */
    uint64_t attempt_delay_ms; /* before the next address is tried beside the last. 0: 250 (RFC 8305) */
    bool reconnect;            /* connect again when it fails or ends, until cw_client_stop */
    uint64_t reconnect_min_ms; /* first pause. 0: 500, or reconnect_max_ms where that is less */
    uint64_t reconnect_max_ms; /* longest pause. 0: 30000, or reconnect_min_ms where that is more */
    uint64_t attempts_max;     /* failures in a row before it gives up. 0: no end */
    const char
        *local_host; /* numeric address to connect from, with a port if it matters. NULL: the system
                                  chooses */
    void *conn_user; /* cw_conn_user of each new connection */
    uint64_t idle_ms; /* this and the next ten as in struct cw_server_options */
    uint64_t read_ms;
    uint64_t write_ms;
    uint64_t drain_ms;
    uint64_t in_max_bytes;
    uint64_t out_high_bytes;
    uint64_t out_low_bytes;
    uint64_t out_max_bytes;
    bool half_open;
    bool read_while_full;
    struct cw_tcp_options tcp;
    struct cw_datagram_options
        datagram; /* where the protocol is one of datagrams; of it not looked at: peers_max, peer_silent_ms,
                                            amplification, one_worker, groups */
    const struct cw_tls_options
        *tls; /* NULL: plain; &(struct cw_tls_options){0}: the system's CAs, the host's name.
                                         Copied with its texts; files are read once, inside the call */
};

/* Connects, and keeps connected if asked. Names are resolved without blocking (the hosts file, then DNS); IPv6
 * and IPv4 addresses are tried in turn (RFC 8305), so that a dead family does not cost the time-out.
 * A protocol of datagrams is connected as soon as there is a route, which proves nobody's presence: docs/udp-client.md.
 * on_connection tells of success, on_error of every failed attempt, once, with the most telling of the addresses'
 * errors, on_close of the end of a connection. When attempts_max is reached, the last report says so and its
 * limit is attempts_max.
 *
 * loop     cw_conn_loop(conn) inside a server, cw_loop_new() in a program that only connects
 * service  what is spoken; copied
 * address  `host:port`, `[::1]:port` or, for a stream of bytes, `unix:/path`; copied
 * options  copied; NULL: the defaults
 * returns  a client's id, above 0 and never used twice by its loop, for cw_client_stop and cw_client_conn; or
 *          CW_EINVAL (the address or an option; logged), CW_ENOMEM, CW_ESTOPPED
 * thread   loop thread, or before the loop runs. Calls no hook */
int64_t cw_connect(struct cw_loop *loop, struct cw_service service, const char *address,
                   const struct cw_connect_options *options);

/* Ends a client: no further attempt, and its connection, if it has one, is closed.
 *
 * returns  0, or CW_ENOTFOUND: it has ended already
 * thread   loop thread. Calls no hook: on_close follows at the end of the turn, for an attempt under way nothing */
int cw_client_stop(struct cw_loop *loop, int64_t client);

/* The open connection of a client; NULL: it is not connected now, or has ended.
 *
 * thread   loop thread */
struct cw_conn *cw_client_conn(struct cw_loop *loop, int64_t client);

/* ---- a pool: a bounded number of connections to one address ---- */

struct cw_pool;

/* Bounds of a pool. Zero means the default in every member. */
struct cw_pool_options {
    uint64_t conns_max;   /* 0: 8 */
    uint64_t waiting_max; /* callers waiting for one. 0: 1024 */
    uint64_t waiting_ms;  /* longest wait. 0: 5000 */
    uint64_t idle_ms;     /* an unused connection is closed after this. 0: 60000; CW_OFF */
    uint64_t use_max;     /* uses before a connection is replaced. 0: no end */
    bool no_pause;        /* an attempt that fails is told to one caller at once, without pauses */
    struct cw_connect_options
        connect; /* reconnect and attempts_max are not looked at: the pool does that */
};

/* A pool's figures. */
struct cw_pool_stats {
    uint64_t conns_open;
    uint64_t conns_busy;
    uint64_t conns_connecting;
    uint64_t waiting;
    uint64_t failed; /* attempts that did not connect, ever */
    bool healthy;    /* the last attempt connected, or there was none yet */
};

/* Handed to the caller of cw_pool_acquire: conn is his until cw_pool_release or its end; or NULL and a code: why
 * the last attempt to connect failed (there is no connection at all, and it is too early for another attempt),
 * CW_ECONNECTTIME (all were busy for waiting_ms), CW_ECLOSED (the pool was freed), CW_ESTOPPED, CW_ENOMEM. */
typedef void (*cw_pool_fn)(struct cw_loop *loop, struct cw_conn *conn, int code, void *user);

/* Makes a pool on a loop. Connections are made when they are wanted; after failures with the pauses of
 * the connect options, and one at a time; with no_pause each failure is told to whoever has waited longest, and the
 * others get attempts of their own. Of the unused ones the last one given back is handed out first, so that
 * those that are not needed stay unused and are closed. One that the peer has ended, or on which something has come
 * that nobody asked for, is not handed out. The service's hooks hear of every connection as usual.
 *
 * returns  yours; NULL: memory ran out, or an address, an option or a protocol (one of datagrams) is not allowed
 *          (logged)
 * thread   loop thread, or before the loop runs */
struct cw_pool *cw_pool_new(struct cw_loop *loop, struct cw_service service, const char *address,
                            const struct cw_pool_options *options);

/* Closes its connections and answers those who wait with CW_ECLOSED. NULL is allowed. Free it before its
 * loop, but not from within its own cw_pool_fn.
 *
 * thread   loop thread, or after the loop has run */
void cw_pool_free(struct cw_pool *pool);

/* Asks for a connection; fn is called with one from the loop, never from inside this call.
 *
 * returns  0; CW_EFULL: waiting_max are waiting already; CW_ENOMEM; CW_ESTOPPED; CW_ECLOSED: the pool is being
 *          freed. On an error fn is not called
 * thread   loop thread, or before the loop runs */
int cw_pool_acquire(struct cw_pool *pool, cw_pool_fn fn, void *user);

/* Gives it back, fit for the next user. One that is not is closed instead of being given back: its place is
 * filled anew. So is one given back paused, or with half a message in it. An id that is not in use is ignored.
 *
 * thread   loop thread */
void cw_pool_release(struct cw_pool *pool, uint64_t conn_id);

/* Fills in the figures.
 *
 * thread   loop thread */
void cw_pool_stats(const struct cw_pool *pool, struct cw_pool_stats *stats);

#ifdef __cplusplus
}
#endif

#endif

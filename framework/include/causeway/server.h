/* A server: listeners, options, services, workers; make it, configure it, run it.
 *
 * Every set-up call returns its error and keeps the first one, so a short program checks once:
 * cw_server_run and cw_server_main refuse to start with it and cw_server_error says what it was. All of
 * them accept NULL for the server (memory ran out when it was made) and return CW_ENOMEM. */
#ifndef CAUSEWAY_SERVER_H
#define CAUSEWAY_SERVER_H

#include <causeway/conn.h>
#include <causeway/datagram.h>
#include <causeway/error.h>
#include <causeway/loop.h>
#include <causeway/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cw_conn_middleware;
struct cw_tls_options;

/* What on_idle answers to keep a connection: it is asked again after another idle time. */
enum { CW_KEEP = 1 };

/* What the application wants to hear of. NULL: not interested. Hooks of a connection run on its loop's
 * thread, never one inside another. `user` is the service's. */
struct cw_hooks {
    /* A connection is open and may be sent to. */
    void (*on_connection)(struct cw_conn *conn, void *user);

    /* A message, or a piece of one, has come. Its bytes are good until the hook returns. */
    void (*on_data)(struct cw_conn *conn, const struct cw_message *msg, void *user);

    /* The queue, above out_high before, has fallen to out_low: produce again. */
    void (*on_drain)(struct cw_conn *conn, void *user);

    /* The peer will send no more, and half_open is on: finish, then cw_conn_close. */
    void (*on_end)(struct cw_conn *conn, void *user);

    /* Not a byte in either direction for idle_ms. Return CW_KEEP to stay, 0 to close. */
    int (*on_idle)(struct cw_conn *conn, void *user);

    /* cw_conn_start_tls has succeeded: what is received and sent from here on is encrypted. */
    void (*on_secure)(struct cw_conn *conn, void *user);

    /* The end of every connection that on_connection began, exactly once. */
    void (*on_close)(struct cw_conn *conn, const struct cw_close_reason *reason, void *user);

    /* Something went wrong. server is NULL for a client on a loop of its own. Runs on the thread where
     * it happened. Without this hook the report is logged; of a connection that has changed to another service, the hook of its
     * listener's is asked before. */
    void (*on_error)(struct cw_server *server, const struct cw_error_report *report, void *user);

    /* The rest is about the server as a whole: only the hooks set with cw_server_set_hooks are asked. */

    /* A listener is ready, at this real address; once per listener, on the thread of cw_server_run,
     * before any connection is accepted. `text` is its address as on the command line
     * (`tcp://127.0.0.1:7000`, `unix:/run/x`). */
    void (*on_listening)(struct cw_server *server, const struct cw_address *address,
                         const char *text, void *user);

    /* cw_server_reload is over: certificates and the configuration file have been read again. error: 0, or
     * the first one, of which on_error has been told; what failed is as before. On worker 0's thread. */
    void (*on_reload)(struct cw_server *server, int error, void *user);

    /* All loops have ended; nothing follows. On the thread of cw_server_run. */
    void (*on_stop)(struct cw_server *server, void *user);

    /* A worker starts (before its first connection) or stops (after its last); on its thread. */
    void (*on_worker_start)(struct cw_server *server, struct cw_loop *loop, void *user);
    void (*on_worker_stop)(struct cw_server *server, struct cw_loop *loop, void *user);
};

/* A protocol, its options, and the application's hooks: what a listener or a client speaks. A plain
 * value: the calls that take one copy the options and the hooks, so nothing needs to outlive them
 * except what `user` points to. */
struct cw_service {
    const struct cw_protocol *protocol;
    const void *options; /* of the protocol's own type, which nobody can check: use its typed call
                            (cw_framed_service). NULL: its defaults */
    const struct cw_hooks *hooks;
    void *user;
};

/* A service with the protocol's defaults. For one with options see the protocol's header
 * (cw_framed_service).
 *
 * thread   any */
static inline struct cw_service cw_service(const struct cw_protocol *protocol,
                                           const struct cw_hooks *hooks, void *user)
{
    struct cw_service service = {protocol, NULL, hooks, user};
    return service;
}

/* Limits and times. Zero means the default in every member, so {0} is a good server. */
struct cw_server_options {
    uint64_t workers;          /* loops, each with a thread. 0: 1; CW_PER_CORE; at most 256 */
    uint64_t conns_max;        /* connections at once. 0: 10000; CW_NO_LIMIT: what the ids allow */
    uint64_t conns_per_ip_max; /* of one IPv4 address or IPv6 /64. 0: a tenth of conns_max, at least 10 */
    uint64_t idle_ms;          /* no byte in either direction. 0: 300000; CW_OFF */
    uint64_t read_ms;          /* no byte from the peer. 0: off */
    uint64_t write_ms;         /* bytes queued and none taken. 0: 30000; CW_OFF */
    uint64_t handshake_ms;   /* from accept to on_connection. 0: 10000; CW_OFF */
    uint64_t drain_ms;       /* after close: the peer takes no byte; at stop: in all. 0: 5000 */
    uint64_t in_max_bytes;   /* input a protocol leaves unused. 0: 65536 */
    uint64_t out_high_bytes; /* send reports 1 above this, and reading stops. 0: 65536 */
    uint64_t out_low_bytes;  /* on_drain at or under this. 0: half of out_high */
    uint64_t out_max_bytes;  /* send refuses above this. 0: 1048576, or twice the service's largest
                                  message where that is more */
    uint64_t buffered_max_bytes;   /* queued on all connections of one loop. 0: 1073741824 */
    uint64_t accepts_per_turn;     /* new connections between two looks at the others. 0: 64 */
    uint64_t reads_per_turn_bytes; /* from one connection, before the others' turn. 0: 262144 */
    uint64_t messages_per_turn;    /* of one connection, before the others' turn. 0: 1024 */
    uint64_t mailbox_max;          /* posts waiting for one loop. 0: 65536 */
    uint64_t mailbox_max_bytes;    /* messages waiting for one loop. 0: 67108864 */
    uint64_t work_threads;         /* helper threads for cw_work, per server. 0: 4; at most 64 */
    uint64_t work_max;             /* work waiting for them. 0: 1024 */
    uint64_t handshake_threads; /* for full TLS handshakes, per server. 0: one per core; CW_OFF: none,
                                         the loops do them; at most 64 */
    uint64_t handshakes_per_turn; /* TLS handshakes that a loop goes on with in one turn. 0: 16 */
    uint64_t handshakes_max;      /* waiting for a handshake thread, refused above. 0: 4096 */
    uint64_t rooms_max;           /* rooms at once. 0: 10000 */
    uint64_t room_members_max;    /* members of one room. 0: conns_max */
    uint64_t rooms_per_conn_max;  /* rooms one connection may be in. 0: 64 */
    uint64_t room_name_max_bytes; /* 0: 128 */
    uint64_t room_presence_max_bytes; /* 0: 512 */
    const char *
        trusted_proxies; /* networks whose peers conns_per_ip_max does not count: "10.0.0.0/8, ::1"; at most
                                      256. NULL: none. Unix sockets are never counted. Copied */
    uint64_t keepalive_ms; /* as in struct cw_tcp_options; a listener's own tcp.keepalive_ms wins */
    bool half_open;        /* a peer that ended its input may still be sent to; on_end is told */
    bool read_while_full;  /* go on reading from a connection whose own queue is above out_high */
};

/* Where to listen, and what is spoken there. */
struct cw_listen_options {
    const char *host;      /* address or name. NULL: every address of the machine, IPv6 and IPv4 */
    uint16_t port;         /* 0: any free port; on_listening tells which */
    const char *unix_path; /* a unix socket instead. A stale one is replaced; removed at stop */
    uint32_t unix_mode;    /* permissions of the path. 0: 0600 */
    int fd;                /* an inherited listening descriptor instead (systemd). 0: none */
    bool ipv6_only;        /* of `::`: leave IPv4 out */
    uint64_t backlog;      /* connections the kernel holds before accept. 0: 511 */
    struct cw_service service; /* zero: the server's own protocol, options and hooks */
    struct cw_tcp_options tcp;
    struct cw_datagram_options datagram; /* where the protocol is one of datagrams */
    const struct cw_tls_options
        *tls; /* NULL: plain. Copied with its texts; read when the server runs. Of a protocol of
                                         datagrams: DTLS */
};

/* Makes a server. Its listeners speak `protocol` unless they name a service.
 *
 * returns  yours: cw_server_main and cw_server_free free it. NULL when memory ran out; every call
 *          accepts that
 * thread   any */
struct cw_server *cw_create_server(const struct cw_protocol *protocol);

/* Frees a server that is not running. NULL is allowed.
 *
 * thread   any, but none of its workers may be running */
void cw_server_free(struct cw_server *server);

/* Keeps the server's memory until cw_server_drop, for threads that outlive cw_server_main: their calls answer
 * CW_ESTOPPED then. Returns the server.
 *
 * thread   any */
struct cw_server *cw_server_hold(struct cw_server *server);
void cw_server_drop(struct cw_server *server);

/* Sets the hooks and the `user` of the server's own service.
 *
 * hooks    copied
 * returns  0, CW_ENOMEM, or CW_ESTATE: it is running
 * thread   before it runs */
int cw_server_set_hooks(struct cw_server *server, const struct cw_hooks *hooks, void *user);

/* Sets limits and times for all listeners; the last call counts as a whole.
 *
 * options  copied
 * returns  0; CW_EINVAL: a value out of range or two that contradict each other (cw_server_error names
 *          them); CW_ESTATE: it is running
 * thread   before it runs */
int cw_server_configure(struct cw_server *server, const struct cw_server_options *options);

/* Changes limits and times while the server runs: all members of `options` that do not need a new start. Every connection
 * that is accepted behind the call has the new ones; those that are open keep what is theirs alone, times and queues. What
 * is about all connections together counts at once: conns_max, conns_per_ip_max, trusted_proxies, accepts_per_turn,
 * buffered_max_bytes, work_max, the two of waiting handshakes, drain_ms of a stop. What cannot change is left as it is, and
 * named in one line of the log (warning): workers, the two of the mailbox, work_threads, handshake_threads, the five of
 * rooms.
 *
 * options  copied; the whole of them, as for cw_server_configure: a member that is zero becomes its default
 * returns  0: it has; CW_EINVAL: a value out of range or two that contradict each other (logged),
 *          nothing has changed; CW_ENOMEM: nothing has changed; CW_ESTOPPED: it does not run
 * thread   any */
int cw_server_update(struct cw_server *server, const struct cw_server_options *options);

/* Sets the options of the server's own protocol. Each protocol has a typed call on top of this one
 * (cw_framed_configure); use that.
 *
 * options  of `protocol`'s type; copied
 * returns  0; CW_EINVAL: not allowed, or not this server's protocol; CW_ESTATE
 * thread   before it runs */
int cw_server_set_protocol_options(struct cw_server *server, const struct cw_protocol *protocol,
                                   const void *options);

/* Adds a listener. It is bound when the server runs.
 *
 * options  copied, with its texts
 * returns  0; CW_EINVAL: contradicting or missing members; CW_ENOMEM; CW_ESTATE
 * thread   before it runs */
int cw_server_listen(struct cw_server *server, const struct cw_listen_options *options);

/* Adds connection middleware, behind what was added before.
 *
 * middleware  from one of the calls in causeway/middleware/; the server owns it from here, whatever
 *             is returned
 * returns  0; CW_ENOMEM: middleware is NULL; CW_ESTATE
 * thread   before it runs */
int cw_server_use(struct cw_server *server, struct cw_conn_middleware *middleware);

/* Binds and runs until cw_server_stop; worker 0 runs on the calling thread.
 *
 * returns  0 after a stop, or the first error of set-up, binding or starting (cw_server_error)
 * thread   any; a server runs once */
int cw_server_run(struct cw_server *server);

/* Runs until SIGINT or SIGTERM and drains; a second signal ends the process with status 1. Where there is something to read
 * again (TLS, a configuration file) SIGHUP is cw_server_reload, unless standard input was a terminal and has hung up: then
 * the server drains, as with SIGTERM. Otherwise SIGHUP ends the process. Where it was for a reload it is ignored afterwards. Prints the first error, if there is one, to standard error. Frees the server. What main returns.
 *
 * returns  0, or 1 when it could not start
 * thread   the main thread, before others are started */
int cw_server_main(struct cw_server *server);

/* Stops: no more accepts, every connection is asked to end as its protocol does, what is queued is sent,
 * bounded by drain_ms. A second call ends the rest at once.
 *
 * thread   any */
void cw_server_stop(struct cw_server *server);

/* Whether it stops, or has stopped.
 *
 * thread   any */
bool cw_server_is_stopping(const struct cw_server *server);

/* Whether an address is one of its trusted proxies; unix sockets are.
 *
 * thread   any */
bool cw_server_trusts(struct cw_server *server, const struct cw_address *address);

/* The first error as a sentence, outermost step first; "" when there was none. Good until the server is
 * freed.
 *
 * thread   any while it does not run; worker 0 otherwise */
const char *cw_server_error(const struct cw_server *server);

/* The `user` of the server's own service.
 *
 * thread   any */
void *cw_server_user(const struct cw_server *server);

/* How many loops the server runs; 0 before it does.
 *
 * thread   any */
unsigned cw_server_workers(const struct cw_server *server);

/* ---- from any thread ---- */

/* Has fn(loop, conn, arg) run on a loop, once, soon; also when the server stops first.
 *
 * target   a connection's id: its loop, and `conn` is that connection or NULL; or a worker's number
 * returns  0; CW_EFULL: its mailbox is full; CW_ENOTFOUND: no such worker; CW_ESTOPPED. On an error fn
 *          will not run
 * thread   any */
int cw_server_post(struct cw_server *server, uint64_t target, cw_post_fn fn, void *arg);

/* Sends a message to a connection, wherever it lives. Copies it.
 *
 * returns  0: on its way; whether it was queued there is not told (a refusal is counted in
 *          messages_dropped); CW_EFULL, CW_ENOTFOUND, CW_ENOMEM, CW_ESTOPPED: it is not
 * thread   any */
int cw_send_to(struct cw_server *server, uint64_t conn_id, const struct cw_message *msg);

/* cw_conn_close for a connection, wherever it lives; nothing if it is gone. A full mailbox takes it still.
 *
 * returns  0, CW_ENOTFOUND (no such worker), CW_ENOMEM or CW_ESTOPPED
 * thread   any */
int cw_close_id(struct cw_server *server, uint64_t conn_id);

/* cw_conn_abort for a connection, wherever it lives; nothing if it is gone.
 *
 * returns  as cw_close_id
 * thread   any */
int cw_abort_id(struct cw_server *server, uint64_t conn_id);

/* Calls fn on every worker for each of its connections, soon: one worker after the other.
 *
 * done     called once, after the last worker, on that worker's thread; may be NULL
 * returns  0; CW_EFULL, CW_ENOMEM, CW_ESTOPPED: nobody is asked and `done` does not follow
 * thread   any */
int cw_server_each_conn(struct cw_server *server, cw_conn_fn fn, void (*done)(void *user),
                        void *user);

/* What a server has done so far, all workers together. */
struct cw_server_stats {
    uint64_t conns_open;
    uint64_t conns_total;       /* accepted and not refused */
    uint64_t refused_conns_max; /* each refusal is counted, whatever the log leaves out */
    uint64_t refused_conns_per_ip;
    uint64_t refused_middleware;  /* or because memory was out */
    uint64_t refused_descriptors; /* times accepting rested because descriptors ran out */
    uint64_t closed_by_error;     /* connections that ended with an enum cw_error */
    uint64_t handshakes_full;     /* of TLS */
    uint64_t handshakes_resumed;
    uint64_t handshakes_failed;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t messages_in;
    uint64_t messages_out;
    uint64_t messages_dropped;
    uint64_t queued_bytes;       /* waiting in the output queues, as of each worker's last turn */
    uint64_t posts_waiting;      /* in the mailboxes of the workers */
    uint64_t work_waiting;       /* for a thread of cw_work */
    uint64_t handshakes_waiting; /* for a handshake thread */
};

/* Adds up the figures of all workers; a snapshot that is a moment old.
 *
 * thread   any */
void cw_server_stats(const struct cw_server *server, struct cw_server_stats *stats);

#ifdef __cplusplus
}
#endif

#endif

/* One connection: send, close, pause, ask.
 *
 * A `struct cw_conn *` is yours to use until your on_close returns. To remember a connection for
 * later (a timer, another thread, a database's answer) keep its id. */
#ifndef CAUSEWAY_CONN_H
#define CAUSEWAY_CONN_H

#include <causeway/address.h>
#include <causeway/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cJSON;

/* ---- sending ---- */

/* Queues one message for the peer. Queued all or nothing; leaves at the end of the loop's turn.
 *
 * msg      borrowed for the call
 * returns  0: queued
 *          1: queued, and the queue is above out_high: produce no more until on_drain
 *          CW_EFULL: would pass out_max now; nothing was queued, on_drain will say when to go on
 *          CW_ETOOBIG: can never fit; nothing was queued
 *          CW_EKIND: the protocol cannot carry it (a delimiter inside a line); nothing was queued
 *          CW_ESTATE: a message in pieces is under way and this is not its next piece; nothing was queued
 *          CW_ECLOSED: the connection is closing; nothing was queued
 *          CW_ENOMEM: nothing was queued
 * thread   loop thread. May be called from any hook. Calls no hook.
 * see      docs/architecture.md "Bytes out" */
int cw_conn_send(struct cw_conn *conn, const struct cw_message *msg);

/* Sends bytes as one binary message. Returns and thread as cw_conn_send. */
int cw_conn_send_bytes(struct cw_conn *conn, const void *data, size_t len);

/* Sends a C string as one text message. Returns and thread as cw_conn_send. */
int cw_conn_send_text(struct cw_conn *conn, const char *text);

/* Formats one text message as printf does, and sends it. Of any length the queue takes.
 * Returns and thread as cw_conn_send. */
int cw_conn_sendf(struct cw_conn *conn, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Prints a cJSON value without spaces and sends it as one text message.
 *
 * json     borrowed for the call
 * returns  as cw_conn_send, and CW_EINVAL: cJSON could not print it
 * thread   loop thread */
int cw_conn_send_json(struct cw_conn *conn, const struct cJSON *json);

/* Produces bytes on demand: fills `buffer` with up to `cap` bytes and returns how many; 0: the end;
 * CW_EAGAIN: none now, cw_conn_source_ready will say when; another negative code: give up, the
 * connection is aborted with it. Runs on the loop's thread at the end of a turn and is not a hook:
 * it must not call anything on the connection. */
typedef ptrdiff_t (*cw_source_fn)(uint8_t *buffer, size_t cap, void *user);

/* Told once that a source or file will not be looked at again, whatever the outcome. code 0: the stream
 * has taken all of it; otherwise why not. A place to free `user`, not to use the connection. */
typedef void (*cw_source_done_fn)(int code, void *user);

/* Queues `len` bytes that are pulled as the peer takes them, behind what is queued already. They do not
 * count against out_max; while one waits, the connection counts as above out_high. On tcp any bytes will
 * do; on framed they are body bytes of a message begun with CW_BEGIN.
 *
 * len      bytes it will yield; CW_NO_LIMIT: until it says 0 (where the protocol allows that)
 * done     may be NULL
 * returns  0; CW_EKIND: not with this protocol, or not now; CW_EFULL: 16 are waiting; CW_ECLOSED,
 *          CW_ENOMEM. On an error nothing was queued and `done` is not called
 * thread   loop thread */
int cw_conn_send_source(struct cw_conn *conn, uint64_t len, cw_source_fn pull,
                        cw_source_done_fn done, void *user);

/* Says that a source that answered CW_EAGAIN has bytes again.
 *
 * thread   loop thread */
void cw_conn_source_ready(struct cw_conn *conn);

/* A run of bytes of an open file. */
struct cw_file_range {
    int fd;
    uint64_t offset;
    uint64_t len;
};

/* Queues a range of a file, as cw_conn_send_source does with bytes; sent by the kernel (sendfile) where the
 * stream allows it. The descriptor is duplicated, so the caller's may be closed at once; the file must not
 * shrink below offset + len, or the connection is aborted.
 *
 * range    borrowed for the call
 * returns  as cw_conn_send_source, and CW_EDESCRIPTORS
 * thread   loop thread */
int cw_conn_send_file(struct cw_conn *conn, const struct cw_file_range *range,
                      cw_source_done_fn done, void *user);

/* ---- ending ---- */

/* Sends what was accepted, says goodbye where the protocol has a word for it, then closes. No
 * message is delivered any more. Bounded by drain_ms. on_close follows at the end of the turn or
 * when the kernel has taken the bytes. A second call changes nothing.
 *
 * thread   loop thread */
void cw_conn_close(struct cw_conn *conn);

/* The same with a close code of the protocol (WebSocket: of one's own 4000 to 4999; what nobody may send, 1005 or 1006, goes as 1000.
 * Other protocols do not send it) and a text, at most CW_REASON_TEXT_MAX - 1 bytes, for the peer and for on_close.
 *
 * thread   loop thread */
void cw_conn_close_with(struct cw_conn *conn, uint32_t peer_code, const char *text);

/* Discards what is queued and resets. on_close follows at the end of the turn.
 *
 * thread   loop thread */
void cw_conn_abort(struct cw_conn *conn);

/* ---- flow ---- */

/* Stops reading: no message is delivered until cw_conn_resume. Bytes stay with the kernel and the
 * peer is slowed down. The read and idle deadlines stand still.
 *
 * thread   loop thread */
void cw_conn_pause(struct cw_conn *conn);

/* Goes on reading. Messages come after the running hook has returned. Pause and resume do not
 * count: one resume undoes any number of pauses.
 *
 * thread   loop thread */
void cw_conn_resume(struct cw_conn *conn);

/* ---- who and where ---- */

/* The number of this connection: never 0, never used twice by its server or loop.
 *
 * thread   loop thread; the number itself may go anywhere */
uint64_t cw_conn_id(const struct cw_conn *conn);

/* The connection of that id on this loop, or NULL: gone, or on another loop.
 *
 * thread   loop thread */
struct cw_conn *cw_loop_conn(struct cw_loop *loop, uint64_t conn_id);

/* The server; NULL for a client on a loop of its own.
 *
 * thread   loop thread */
struct cw_server *cw_conn_server(const struct cw_conn *conn);

/* The loop that the connection lives on.
 *
 * thread   loop thread */
struct cw_loop *cw_conn_loop(const struct cw_conn *conn);

/* The peer's address; good for as long as the connection.
 *
 * thread   loop thread */
const struct cw_address *cw_conn_peer(const struct cw_conn *conn);

/* Whether TLS lies under it: what it does is for causeway/tls.h to tell.
 *
 * thread   loop thread */
bool cw_conn_is_encrypted(const struct cw_conn *conn);

/* Whether the peer is one of the server's trusted proxies, or came over a unix socket: whether what it says of others is
 * believed.
 *
 * thread   loop thread */
bool cw_conn_is_trusted(const struct cw_conn *conn);

/* This side's address.
 *
 * returns  0, or an enum cw_error
 * thread   loop thread */
int cw_conn_local(const struct cw_conn *conn, struct cw_address *address);

/* The `user` of the service in charge: tells connections of several services apart.
 *
 * thread   loop thread */
void *cw_conn_service_user(const struct cw_conn *conn);

/* The application's pointer for this connection; NULL until it was set.
 *
 * thread   loop thread */
void *cw_conn_user(const struct cw_conn *conn);

/* Sets it. Free what it points to in on_close.
 *
 * thread   loop thread */
void cw_conn_set_user(struct cw_conn *conn, void *user);

/* The socket's descriptor, for options this interface does not know; -1: there is none. Reading,
 * writing or closing it breaks the connection. A peer of datagrams shares it with all others of its listener.
 *
 * thread   loop thread */
int cw_conn_fd(const struct cw_conn *conn);

/* ---- settings of one connection ---- */

/* Changes the idle time of this connection. 0: back to the server's; CW_OFF: never idle.
 *
 * thread   loop thread */
void cw_conn_set_idle(struct cw_conn *conn, uint64_t idle_ms);

/* Changes the read time of this connection: without a byte from the peer for so long it is closed with
 * CW_EREADTIME. What is sent to it does not count. 0: back to the server's; CW_OFF.
 *
 * thread   loop thread */
void cw_conn_set_read(struct cw_conn *conn, uint64_t read_ms);

/* TCP's own knobs. For a listener, an outgoing connection, or one open connection. */
struct cw_tcp_options {
    bool delay;            /* Nagle's algorithm on. false: TCP_NODELAY */
    uint64_t keepalive_ms; /* silence before the first probe. 0: 300000; CW_OFF: no probes */
    uint64_t keepalive_interval_ms; /* between probes. 0: 30000 */
    uint64_t keepalive_probes;      /* unanswered, that end it without a user time-out. 0: 4 */
    uint64_t user_timeout_ms;   /* unacknowledged data may wait. 0: 30000; CW_OFF: the system's */
    uint64_t send_buffer_bytes; /* SO_SNDBUF. 0: the system's */
    uint64_t receive_buffer_bytes; /* SO_RCVBUF. 0: the system's */
};

/* Applies TCP options to an open connection; on a unix socket only the buffer sizes count.
 *
 * options  borrowed for the call; durations are rounded up to seconds where the kernel counts them so
 * returns  0, or an enum cw_error
 * thread   loop thread */
int cw_conn_set_tcp(struct cw_conn *conn, const struct cw_tcp_options *options);

/* ---- figures ---- */

/* What a connection has done so far. */
struct cw_conn_stats {
    uint64_t connected_at_ms; /* milliseconds since 1970 */
    uint64_t idle_ms;         /* since the last byte in either direction */
    uint64_t silent_ms;       /* since the last byte from the peer */
    uint64_t bytes_in;        /* as the protocol saw them: plaintext */
    uint64_t bytes_out;       /* taken by the stream, plaintext */
    uint64_t messages_in;     /* handed to on_data */
    uint64_t messages_out;    /* accepted from the application and from rooms */
    uint64_t messages_dropped; /* by slow-receiver policies, rate limits, or because its protocol cannot carry them */
    uint64_t queued_bytes; /* waiting in the output queue */
};

/* Fills in the figures of one connection.
 *
 * thread   loop thread */
void cw_conn_stats(const struct cw_conn *conn, struct cw_conn_stats *stats);

/* Called for each connection by cw_loop_each_conn and cw_server_each_conn. It may close the
 * connection. */
typedef void (*cw_conn_fn)(struct cw_conn *conn, void *user);

/* Calls fn after after_ms, and from then on every every_ms (0: once only), unless the connection ends
 * first: a login deadline, a heartbeat. There is nothing to stop or to free.
 *
 * returns  0, CW_ENOMEM, CW_ECLOSED, or CW_EFULL: 16 wait already
 * thread   loop thread */
int cw_conn_after(struct cw_conn *conn, uint64_t after_ms, uint64_t every_ms, cw_conn_fn fn,
                  void *user);

/* Calls fn for every open connection of this loop, whatever its service; those it opens itself are left out.
 * Returns how many.
 *
 * thread   loop thread */
size_t cw_loop_each_conn(struct cw_loop *loop, cw_conn_fn fn, void *user);

#ifdef __cplusplus
}
#endif

#endif

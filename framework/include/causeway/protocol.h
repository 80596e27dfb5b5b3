/* The upper seam, for those who write a protocol: a pure machine between bytes and messages.
 *
 * A protocol is a constant table of functions. It knows no socket, no TLS, no clock and no thread. One
 * `state` of `state_size` zeroed bytes belongs to each connection. Every function runs on the loop's thread.
 * docs/writing-a-protocol.md builds a whole one.
 *
 * ```text
 * open → on_bytes, on_end, on_writable, on_deadline, send … → [on_shutdown] → close
 * ``` */
#ifndef CAUSEWAY_PROTOCOL_H
#define CAUSEWAY_PROTOCOL_H

#include <causeway/conn.h>
#include <causeway/error.h>
#include <causeway/payload.h>
#include <causeway/server.h>
#include <causeway/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cw_setting;

/* What a protocol is fed. */
enum cw_transport {
    CW_STREAM = 0, /* on_bytes sees a growing input */
    CW_DATAGRAM =
        1, /* on_bytes sees one whole datagram, which may be empty, and uses all of it. Each cw_conn_write is one */
};

struct cw_datagram;

/* Which side of the protocol a connection plays. */
enum cw_role {
    CW_SERVER = 0, /* the peer connected to us */
    CW_CLIENT = 1, /* we connected to the peer */
};

/* What on_end answers to an end that is as good as proven. */
enum { CW_END_IN_ORDER = 2 };

/* Where a `configure` says what is wrong with options. */
struct cw_complaint {
    char text[CW_REPORT_TEXT_MAX];
};

/* What `encode` is asked for: the bytes of all open connections that have these in common. */
struct cw_wire_format {
    struct cw_loop *loop; /* that this runs on. The bytes may go to connections of others too */
    const void *options; /* of the service of one of them; the key holds what `encode` reads here */
    enum cw_role role;
    uint64_t key; /* 1 for a protocol without wire_key */
};

/* A protocol: a constant table. Absent functions mean "not interested". */
struct cw_protocol {
    const char *name;       /* lower case, as on the command line */
    const char *scheme;     /* of its addresses. NULL: tcp, or udp of a datagram protocol */
    const char *scheme_tls; /* the same over TLS. NULL: tls, or dtls of a datagram protocol */
    enum cw_transport transport;
    size_t state_size;   /* bytes per connection; a pointer's worth is best: see cw_conn_state */
    size_t options_size; /* of the options struct; 0: none */

    /* Checks options and puts the defaults in place of zeros. Called once for each service with a copy of
     * the user's options, or zeros. Returns 0, or CW_EINVAL with complaint->text naming the member. NULL:
     * every value is allowed. thread: before the service is used. */
    int (*configure)(void *options, struct cw_complaint *complaint);

    /* Frees what configure allocated into the options. Once for each configure that returned 0. */
    void (*release)(void *options);

    /* Bytes on the wire of the largest message these options allow: the unused input may grow to it, and the default
     * of out_max is at least twice as much. NULL: in_max and out_max alone decide. */
    uint64_t (*message_max)(const void *options);

    /* The high mark of a connection's queue, where these options say one: in the place of out_high_bytes, with half of it for
     * out_low_bytes. 0, or NULL: the server's. */
    uint64_t (*out_high)(const void *options);

    /* A connection begins. handover: what cw_conn_switch was given, otherwise NULL; taken over unless it fails.
     *
     * returns  0: it is open, on_connection follows
     *          1: not yet; the protocol calls cw_conn_ready when its own handshake is done
     *          < 0: ends it with that enum cw_error */
    int (*open)(struct cw_conn *conn, void *state, void *handover);

    /* Looks at the unused input, from its start; `data` may be changed in place.
     *
     * returns  n > 0: n bytes are used, call again with the rest
     *          0: more bytes are needed (cw_conn_want says how many, if it is known)
     *          < 0: the peer broke a rule: report it, close. cw_conn_fail words the reason first; what was
     *               written with cw_conn_write_control is still sent, and the peer's further input discarded
     *
     * Changes to bytes that stay unused persist; len never shrinks until something is used. 16 bytes behind len may be
     * read, mean nothing, and may be changed for as long as the call lasts. After cw_conn_deliver has returned CW_STOP, return at once what is used so far, the delivered message
     * included. Unused bytes come again, from the same start but perhaps at another address: keep
     * offsets, never pointers. A length the peer chose is judged before it is waited for. */
    ptrdiff_t (*on_bytes)(struct cw_conn *conn, void *state, uint8_t *data, size_t len);

    /* CW_DATAGRAM: looks at a datagram before its peer is looked for or made. Not of DTLS, and not of a client.
     *
     * user     the service's
     * returns  1: dealt with, there is no peer (cw_datagram_reply answers); 0: to its peer. NULL: 0 */
    int (*on_datagram)(struct cw_loop *loop, const void *options, void *user,
                       struct cw_datagram *from, struct cw_span data);

    /* The peer's input has ended; `len` bytes of it were not used, nothing is held or paused.
     *
     * returns  0: in order
     *          1: an answer is owed: the connection stays until cw_conn_finish, half-open or not
     *          CW_END_IN_ORDER: in order, though it may not be proven
     *          < 0: it ended where it must not (CW_ETRUNCATED)
     * NULL: unused bytes are CW_ETRUNCATED. After 0 an end that is not proven (cw_conn_end_is_proven) is CW_ETRUNCATED
     * too: whole messages may be missing. A protocol that knows that none are answers CW_END_IN_ORDER. */
    int (*on_end)(struct cw_conn *conn, void *state, uint8_t *data, size_t len);

    /* The queue has fallen to out_low after a write had returned 1 or CW_EFULL, or a source has ended. Before the hook
     * on_drain. 0, or an enum cw_error that ends it. */
    int (*on_writable)(struct cw_conn *conn, void *state);

    /* The deadline set with cw_conn_set_deadline has passed. 0: dealt with. < 0: close with it. NULL: CW_EDEADLINE. */
    int (*on_deadline)(struct cw_conn *conn, void *state);

    /* What cw_conn_soon asked for: at the end of the loop's turn, from where cw_conn_deliver may be called. 0, or an enum
     * cw_error that ends it. */
    int (*on_soon)(struct cw_conn *conn, void *state);

    /* The server or loop begins to stop. 1: something is under way; the protocol ends the connection by itself when that
     * is over (cw_conn_finish), within drain_ms. 0: close it now. NULL: 0. */
    int (*on_stop)(struct cw_conn *conn, void *state);

    /* The connection is about to close: write a goodbye. reason is what was asked for; with a code below 0 it is broken off for
     * that, by the protocol itself too, and no answer is waited for.
     * Returns 0: close when the queue is empty; 1: wait for the peer's answer, until cw_conn_finish or drain_ms. */
    int (*on_shutdown)(struct cw_conn *conn, void *state, const struct cw_close_reason *reason);

    /* The state is about to go: release what hangs from it. Not a moment to write. */
    void (*close)(struct cw_conn *conn, void *state);

    /* Writes one message, with one cw_conn_write. Returns what that returned, or CW_EKIND, CW_ETOOBIG, CW_ESTATE. */
    int (*send)(struct cw_conn *conn, void *state, const struct cw_message *msg);

    /* Whether raw bytes may be queued now (cw_conn_send_source, cw_conn_send_file): 0, or CW_EKIND. len as there.
     * Called once for each, before it is queued. NULL: never. */
    int (*send_raw)(struct cw_conn *conn, void *state, uint64_t len);

    /* The bytes of `send` without a connection, for messages to many. *payload is held once for the caller.
     *
     * returns  0, CW_EKIND, CW_ETOOBIG or CW_ENOMEM. NULL: rooms use `send` for each member. */
    int (*encode)(const struct cw_wire_format *format, const struct cw_message *msg,
                  struct cw_payload **payload);

    /* A number that is the same for two open connections of this protocol and role exactly when `encode` makes the same
     * bytes for both and refuses the same messages. They may be of different services and on different loops, so it is
     * made of all that decides that: of the options, and of what was agreed on with the peer; never of an address. It
     * does not change while a connection is open. 0: this one cannot share, use `send`. NULL: all can. */
    uint64_t (*wire_key)(struct cw_conn *conn, const void *state);

    uint32_t lost_code; /* what on_close says as peer_code where there was no goodbye (WebSocket: 1006). 0: nothing */
    bool speaks_in_message; /* its goodbye may stand between the pieces of a message: a close there is no abort */

    /* Members of the options that a configuration file may set (causeway/config.h); ends with a NULL key. NULL: none. */
    const struct cw_setting *settings;
};

/* What cw_conn_deliver answers. */
enum { CW_GO = 0, CW_STOP = 1 };

/* Hands a message, or a piece of one, to middleware and to on_data.
 *
 * msg      borrowed for the call
 * returns  CW_GO, or CW_STOP: closed, paused, held or switched: return from on_bytes now
 * thread   loop thread, from on_bytes, on_end, on_deadline or on_writable only */
int cw_conn_deliver(struct cw_conn *conn, const struct cw_message *msg);

/* Counts a message that no hook gets to see, because the protocol has hooks of its own (a request): in the figures, and
 * towards messages_per_turn. Connection middleware is not asked.
 *
 * returns  as cw_conn_deliver
 * thread   loop thread, from where cw_conn_deliver may be called */
int cw_conn_count_message(struct cw_conn *conn);

/* What cw_conn_deliver would answer now, for protocols that call hooks of their own.
 *
 * thread   loop thread */
int cw_conn_proceed(const struct cw_conn *conn);

/* Tells the application that the connection is open, after an `open` that returned 1. Calls on_connection.
 *
 * returns  as cw_conn_deliver
 * thread   loop thread, from where cw_conn_deliver may be called */
int cw_conn_ready(struct cw_conn *conn);

/* Says that a message in pieces is half written: until it is closed again, messages of rooms and of cw_send_to are
 * dropped for this connection and counted, and a close in between is an abort.
 *
 * thread   loop thread */
void cw_conn_set_message_open(struct cw_conn *conn, bool open);

/* Queues bytes for the peer, all of the parts or none.
 *
 * returns  as cw_conn_send
 * thread   loop thread. Calls no hook */
int cw_conn_write(struct cw_conn *conn, const struct cw_span *parts, size_t count);

/* Queues a few bytes, which the caller writes there before it calls anything else: for short messages, of which many are answered in
 * one turn.
 *
 * len      above 0
 * returns  where; NULL: nothing has happened, cw_conn_write takes them or says why not
 * thread   loop thread. Calls no hook */
uint8_t *cw_conn_append(struct cw_conn *conn, size_t len);

/* As cw_conn_write, for control bytes (a pong, a goodbye): taken even above out_max, up to 4096 bytes more, and also
 * while the connection is closing.
 *
 * thread   loop thread. Calls no hook */
int cw_conn_write_control(struct cw_conn *conn, const struct cw_span *parts, size_t count);

/* Queues a head and a shared body, all or nothing; the body is not copied.
 *
 * returns  as cw_conn_send
 * thread   loop thread. Calls no hook */
int cw_conn_write_payload(struct cw_conn *conn, struct cw_span head, struct cw_payload *body);

/* Says how many bytes on_bytes needs from the start of the unused input before it can go on: the input may grow
 * to that, past in_max, and is gathered in one piece without another copy. Judge it against the protocol's own
 * limit first. on_bytes is not called before they are there. Holds until on_bytes has used something.
 *
 * thread   loop thread, from on_bytes that is about to return 0 */
void cw_conn_want(struct cw_conn *conn, size_t bytes);

/* Stops feeding on_bytes until cw_conn_unhold: for a protocol that answers one request before it looks at the next.
 * Not the application's pause; both have to be off.
 *
 * thread   loop thread */
void cw_conn_hold(struct cw_conn *conn);
void cw_conn_unhold(struct cw_conn *conn);

/* Sets the protocol's one deadline, from now; 0 clears it. Coarse: late by up to a tenth of a second.
 *
 * thread   loop thread */
void cw_conn_set_deadline(struct cw_conn *conn, uint64_t after_ms);

/* Has on_soon called once, at the end of this turn: for what must not happen inside the call that found it due.
 *
 * thread   loop thread */
void cw_conn_soon(struct cw_conn *conn);

/* Words the reason for a failure and remembers the code; returns the code, to be returned.
 *
 * thread   loop thread */
int cw_conn_fail(struct cw_conn *conn, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The protocol's own code of the end that is about to come, for on_close: what the failure was told the peer as.
 *
 * thread   loop thread */
void cw_conn_note_code(struct cw_conn *conn, uint32_t peer_code);

/* Ends the connection with a failure from where no code can be returned; what is queued is still sent.
 *
 * thread   loop thread */
void cw_conn_break(struct cw_conn *conn, int code);

/* The peer has answered the goodbye: close as soon as the queue is empty.
 *
 * peer_code, text  what it said; 0 and an empty span: nothing
 * thread   loop thread */
void cw_conn_finish(struct cw_conn *conn, uint32_t peer_code, struct cw_span text);

/* Says that the peer may be in the middle of sending when the connection ends: what comes from it is then read and dropped until
 * its own end, within drain_ms, because a reset would destroy what was sent to it last (RFC 9112 §9.6).
 *
 * thread   loop thread */
void cw_conn_linger(struct cw_conn *conn);

/* The same for a peer that has said it will end the connection: our end waits for that one, within drain_ms, so that the peer and not
 * we have to remember the connection for a while (RFC 6455 §7.1.1).
 *
 * thread   loop thread */
void cw_conn_let_peer_end(struct cw_conn *conn);

/* Puts another service in charge, from the next byte on. The old one gets its on_close(CW_SWITCHED) if its
 * on_connection had run; the connection keeps its id, address, user pointer and figures. Takes effect when the
 * running callback has returned; deadline, want and hold are cleared.
 *
 * service   prepared with cw_service_new; held as long as it is needed
 * handover  for the new protocol's `open`; may be NULL
 * drop      frees handover if `open` does not get or take it; may be NULL
 * returns   0; CW_ECLOSED, CW_ENOMEM, CW_EKIND (one of the two is a protocol of datagrams): nothing changes and handover stays
 *           the caller's
 * thread    loop thread */
struct cw_service_ref;
int cw_conn_switch(struct cw_conn *conn, struct cw_service_ref *service, void *handover,
                   void (*drop)(void *handover));

/* A service made ready: options checked, copied and filled in, hooks copied. A server does this itself for its
 * listeners; protocols that switch need it.
 *
 * returns  yours, NULL: memory ran out or options are not allowed (complaint says which; may be NULL)
 * thread   any */
struct cw_service_ref *cw_service_new(const struct cw_service *service,
                                      struct cw_complaint *complaint);
void cw_service_free(struct cw_service_ref *service);

/* One hold more, to be given back with cw_service_free. Returns the service.
 *
 * thread   any */
struct cw_service_ref *cw_service_hold(struct cw_service_ref *service);

/* Its options, with the defaults filled in, and the `user` of its hooks.
 *
 * thread   any */
const void *cw_service_options(const struct cw_service_ref *service);
void *cw_service_user(const struct cw_service_ref *service);

/* The service in charge. Good as long as it is; hold it to keep it.
 *
 * thread   loop thread */
struct cw_service_ref *cw_conn_service(const struct cw_conn *conn);

/* Whether the end of the input is the peer's own: over TLS, that it said close_notify. Otherwise somebody in between may
 * have cut it (RFC 8446 §6.1). Without TLS nobody can know, and it is taken for proven.
 *
 * thread   loop thread, after the end has come */
bool cw_conn_end_is_proven(const struct cw_conn *conn);

/* The state of the protocol in charge.
 *
 * thread   loop thread */
void *cw_conn_state(struct cw_conn *conn);

/* The options of the protocol in charge, with the defaults filled in.
 *
 * thread   loop thread */
const void *cw_conn_options(const struct cw_conn *conn);

/* Which side this connection plays.
 *
 * thread   loop thread */
enum cw_role cw_conn_role(const struct cw_conn *conn);

/* The protocol in charge.
 *
 * thread   loop thread */
const struct cw_protocol *cw_conn_protocol(const struct cw_conn *conn);

#ifdef __cplusplus
}
#endif

#endif

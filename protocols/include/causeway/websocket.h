/* WebSocket (RFC 6455) with compression (permessage-deflate, RFC 7692), server and client.
 *
 * ```text
 * static void join(struct cw_conn *conn, void *user) { cw_room_join(conn, "lobby"); }
 *
 * static void say(struct cw_conn *conn, const struct cw_message *msg, void *user)
 * {
 *     cw_room_send(cw_conn_server(conn), "lobby", msg, NULL);
 * }
 *
 * static const struct cw_hooks chat = {.on_connection = join, .on_data = say};
 *
 * struct cw_server *server = cw_create_server(&cw_http);
 * cw_websocket_route(server, "/chat", &chat, NULL);
 * ```
 *
 * A connection is a cw_conn like every other: cw_conn_send, rooms, pause and resume, cw_conn_close_with(conn, 4001, "why"). Text
 * that is delivered is UTF-8; text that is sent has to be. The end is told by on_close: peer_code is the close code of the peer
 * (1005: it gave none; 1006: it went without a close frame), text its reason.
 *
 * A server made with cw_create_server(&cw_websocket) upgrades on every path that no route of its own answers. */
#ifndef CAUSEWAY_WEBSOCKET_H
#define CAUSEWAY_WEBSOCKET_H

#include <causeway/client.h>
#include <causeway/http.h>
#include <causeway/http_client.h>
#include <causeway/http_middleware.h>
#include <causeway/server.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cw_websocket_request;

/* The protocol. */
extern const struct cw_protocol cw_websocket;

/* Close codes (RFC 6455 §7.4.1). Of one's own: 4000 to 4999. */
enum cw_websocket_close_code {
    CW_WEBSOCKET_NORMAL = 1000,
    CW_WEBSOCKET_GOING_AWAY = 1001,  /* the server stops, the page is left */
    CW_WEBSOCKET_PROTOCOL = 1002,    /* a rule of the protocol was broken */
    CW_WEBSOCKET_UNSUPPORTED = 1003, /* a kind of message that is not taken */
    CW_WEBSOCKET_NO_CODE = 1005,     /* never sent: the close frame had none */
    CW_WEBSOCKET_ABNORMAL = 1006,    /* never sent: there was no close frame */
    CW_WEBSOCKET_INVALID = 1007,     /* text that is not UTF-8, or compressed bytes that are none */
    CW_WEBSOCKET_POLICY = 1008,      /* against the rules of this server; too many pings */
    CW_WEBSOCKET_TOO_BIG = 1009,     /* above message_max_bytes */
    CW_WEBSOCKET_NO_EXTENSION = 1010, /* a client misses an extension */
    CW_WEBSOCKET_ERROR = 1011,        /* the server failed */
    CW_WEBSOCKET_RESTART = 1012,
    CW_WEBSOCKET_TRY_LATER = 1013, /* no room now */
};

/* How messages are compressed, where both sides want it (RFC 7692 §7.1). Zero means the default in every member. Contexts that are
 * not kept cost no memory between messages: all connections of a loop share them. */
struct cw_websocket_deflate {
    uint64_t above_bytes; /* messages below this are sent as they are. 0: 128 */
    uint64_t level;       /* 1, quick, to 9, small. 0: 1 */
    uint64_t window_bits; /* of what we send: 8 to 15. 0: 15 */
    uint64_t peer_window_bits; /* of what we ask the peer to send; less memory for contexts that are kept. 0: 15 */
    bool keep_context; /* ours, between messages: smaller, and some 260 KiB for each connection. Messages of rooms are
                                  then compressed for each member */
    bool keep_peer_context; /* let the peer keep its own: 44 KiB for each connection */
};

/* What one endpoint does, or one client. Zero means the default in every member; CW_NO_LIMIT and CW_OFF lift a limit or time. */
struct cw_websocket_options {
    void *user; /* of the hooks, for cw_websocket_route and cw_websocket_connect; elsewhere the service has its own */

    /* Messages. */
    uint64_t message_max_bytes; /* of one, behind inflation; above: closed with 1009. 0: 1048576 */
    uint64_t stream_above_bytes; /* longer ones are delivered in pieces, CW_BEGIN to CW_END, as they come; pieces of text may end
                                    within a character. CW_BEGIN has the total, or CW_NO_LIMIT where it is not known.
                                    message_max_bytes still counts; its default is no limit then. 0: all come whole */
    uint64_t messages_max_bytes; /* unfinished messages that one loop holds at once, and 44 KiB for each that is inflated in pieces;
                                    above: 1013. 0: 268435456 */
    uint64_t out_high_bytes; /* cw_conn_send answers 1 above this, and reading stops. 0: as out_high_bytes of the server or client */
    uint64_t pings_per_second_max; /* pings and pongs from the peer; above: 1008. 0: 100; CW_NO_LIMIT */

    /* Life. */
    uint64_t ping_interval_ms; /* between pings. 0: 30000; CW_OFF: none are sent */
    uint64_t pong_timeout_ms; /* without a byte from the peer behind a ping: it ends with CW_EDEADLINE. 0: 10000; CW_OFF */

    /* Compression. */
    bool compress;                       /* offered by a client, agreed to by a server */
    struct cw_websocket_deflate deflate; /* counts with compress */

    /* What both sides may agree to speak, most wanted first: names parted by spaces or commas. A server takes the first of its own
     * that the client offers. NULL: none. Copied */
    const char *subprotocols;
    bool subprotocol_required; /* server: without one in common 400 is answered; client: it ends with CW_EPROTO */

    /* Servers. */
    const char *
        origins; /* pages that may connect: "*", or origins parted by spaces or commas (`https://site.example`). NULL: those
                            of the host that is asked for. Clients that are no browsers send none, and are let in. Copied */

    /* The request before it is answered: path parameters, query, cookies, what middleware found. Sets what the connection begins with
     * (cw_websocket_set_user, cw_websocket_choose, cw_http_set_field) and answers an enum cw_http_verdict: CW_HTTP_NEXT to go on,
     * CW_HTTP_ANSWERED when it has refused with cw_http_reply_error or another answer, CW_HTTP_LATER when
     * cw_websocket_accept or an answer follows, within response_ms. No bool: false is CW_HTTP_NEXT. user: of the hooks */
    int (*on_handshake)(struct cw_http_exchange *http, void *user);
    const struct cw_http_options *
        http; /* of the requests, for servers and listeners of cw_websocket. NULL: the defaults. Copied */

    /* Clients. */
    const char *host; /* the field Host. NULL: that of the URL, or else the address. Copied */
    const char *
        target; /* path and query. NULL: that of the URL, which allows no other here, or else "/". Copied */
    const struct cw_http_pair *
        fields; /* more fields of the request (Authorization, Cookie, Origin); ends with a NULL name. Copied */
    uint64_t head_max_bytes; /* of the server's answer. 0: 16384; at most 1048576 */

    /* Before each attempt: a place to say where to go on after a reconnect (cw_websocket_request_set_field, …_set_target). 0, or an
     * enum cw_error that ends the attempt. user: of the hooks */
    int (*on_request)(struct cw_websocket_request *request, void *user);

    /* A pong has come for a ping of ours. user: of the hooks */
    void (*on_pong)(struct cw_conn *conn, struct cw_span payload, uint64_t round_trip_us,
                    void *user);
};

/* Sets the options of a server made with cw_create_server(&cw_websocket), and those that its routes leave at zero. On a server of
 * cw_http each route is given its own.
 *
 * options  copied
 * returns  0; CW_EINVAL: cw_server_error names the member; CW_ESTATE
 * thread   before it runs */
int cw_websocket_configure(struct cw_server *server, const struct cw_websocket_options *options);

/* A service with options, for a listener or cw_connect. They are borrowed until the call that takes the service returns.
 *
 * thread   any */
struct cw_service cw_websocket_service(const struct cw_websocket_options *options,
                                       const struct cw_hooks *hooks, void *user);

/* Serves WebSockets on a path of an HTTP server. Requests there that ask for none are answered with 426.
 *
 * path     as in cw_http_route, without a method: `/rooms/:name`
 * hooks    copied; not NULL. Those about the server as a whole (on_worker_start) are not asked: cw_server_set_hooks
 * options  copied. NULL: the defaults
 * returns  as cw_http_route; CW_EINVAL also: an option that is not allowed, or is a client's; cw_server_error names it
 * thread   before it runs */
int cw_websocket_route(struct cw_server *server, const char *path, const struct cw_hooks *hooks,
                       const struct cw_websocket_options *options);

/* The same in a group, with its prefix and its middleware.
 *
 * thread   before it runs */
int cw_websocket_group_route(struct cw_http_group *group, const char *path,
                             const struct cw_hooks *hooks,
                             const struct cw_websocket_options *options);

/* ---- within a handshake ---- */

/* What cw_conn_user of the connection will be, from on_connection on.
 *
 * drop     called with it if there will be no on_connection; may be NULL. Otherwise it is freed in on_close
 * returns  0; CW_ESTATE: not within a handshake, or it is over; CW_ENOMEM (drop has been called)
 * thread   loop thread, within on_handshake or before cw_websocket_accept */
int cw_websocket_set_user(struct cw_http_exchange *http, void *conn_user,
                          void (*drop)(void *conn_user));

/* Chooses a subprotocol in place of the list; NULL: none.
 *
 * returns  0; CW_EINVAL: the client has not offered it; CW_ESTATE, CW_ENOMEM
 * thread   as above */
int cw_websocket_choose(struct cw_http_exchange *http, const char *subprotocol);

/* Goes on behind an on_handshake that said CW_HTTP_LATER: answers 101.
 *
 * returns  0; CW_ESTATE: it does not wait, or has been answered. On other errors it has been answered with them: CW_EINVAL: a
 *          subprotocol is required and none was chosen (400); CW_ESTOPPED: the server stops (503); CW_ECLOSED, CW_ENOMEM
 * thread   loop thread */
int cw_websocket_accept(struct cw_http_exchange *http);

/* ---- an open connection ---- */

/* Sends a ping. With an empty payload it carries a stamp of its own.
 *
 * payload  at most 125 bytes; comes back in on_pong
 * returns  0; CW_ETOOBIG; CW_EFULL: no room now, or one with a payload has not been answered yet; CW_EKIND: not a WebSocket;
 *          CW_ECLOSED, CW_ENOMEM
 * thread   loop thread. Calls no hook */
int cw_websocket_ping(struct cw_conn *conn, struct cw_span payload);

/* The last round trip: from a ping to its pong, in microseconds; 0: none has been measured.
 *
 * thread   loop thread */
uint64_t cw_websocket_round_trip_us(const struct cw_conn *conn);

/* The subprotocol that was agreed on; "": none. Good as long as the connection. Never NULL.
 *
 * thread   loop thread */
const char *cw_websocket_subprotocol(const struct cw_conn *conn);

/* Whether permessage-deflate was agreed on.
 *
 * thread   loop thread */
bool cw_websocket_is_compressed(const struct cw_conn *conn);

/* ---- clients ---- */

/* Connects to `ws://host[:port]/path?query`, `wss://…` or `ws+unix://%2Frun%2Fx.sock/path`. on_connection tells that the handshake
 * is done; an attempt that fails is told to on_error: CW_EDENIED, with the status, where the server has refused; CW_EPROTO where
 * its answer breaks a rule. Redirects are not followed. In ASCII: the path encoded as %XX, the name as xn--; without user,
 * password and fragment.
 *
 * loop     cw_conn_loop(conn) inside a server, cw_loop_new() in a program that only connects
 * options  copied. NULL: the defaults
 * connect  copied; tls of it counts for wss, with the system's CAs where it is NULL. connect_ms counts to the end of the
 *          handshake. NULL: the defaults
 * returns  as cw_connect: an id above 0, or CW_EINVAL (the URL, or an option that is not allowed or is a server's; logged),
 *          CW_ENOMEM, CW_ESTOPPED
 * thread   loop thread, or before the loop runs. Calls no hook */
int64_t cw_websocket_connect(struct cw_loop *loop, const char *url, const struct cw_hooks *hooks,
                             const struct cw_websocket_options *options,
                             const struct cw_connect_options *connect);

/* The status with which a server has answered the handshake of this client: 101, or why it has refused. 0: none has come, or this
 * is no client.
 *
 * thread   loop thread; within on_error with the report's conn, where that is not NULL */
int cw_websocket_status(const struct cw_conn *conn);

/* Within on_request: sets a field of the request about to be sent, or another target (path and query), for this attempt alone.
 *
 * returns  0; CW_EINVAL: not a name, value or target, or one of the handshake's own; CW_ETOOBIG: above 65536 bytes together;
 *          CW_ENOMEM
 * thread   loop thread, within on_request */
int cw_websocket_request_set_field(struct cw_websocket_request *request, const char *name,
                                   const char *value);
int cw_websocket_request_set_target(struct cw_websocket_request *request, const char *target);

#ifdef __cplusplus
}
#endif

#endif

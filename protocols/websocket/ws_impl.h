/* The inside of WebSocket: a connection, and what the handshake hands over to it. */
#ifndef CW_WS_IMPL_H
#define CW_WS_IMPL_H

#include "ws_deflate.h"
#include "ws_extension.h"
#include "ws_frame.h"
#include "ws_utf8.h"

#include <causeway/parts.h>
#include <causeway/protocol.h>
#include <causeway/websocket.h>

/* ---- of a service (ws_settings.c) ---- */

/* Options as `configure` leaves them: the public struct with the defaults in it, its texts copied. CW_OFF and CW_NO_LIMIT stay. */
int cw_ws_check_options(void *options, struct cw_complaint *complaint);
void cw_ws_release_options(void *options);
extern const struct cw_setting cw_ws_settings[];

/* ---- the handshake of a server (ws_handshake.c, ws_key.c) ---- */

/* What the handshake has found; the handover of cw_http_switch to `open`. */
struct cw_ws_welcome {
    struct cw_ws_agreed agreed;
    void *conn_user;
    void (*drop)(void *conn_user); /* conn_user, if there will be no on_connection. NULL: nobody's */
    char *subprotocol;             /* malloc, taken over by `open`. NULL: none */
};

void cw_ws_welcome_free(void *welcome); /* with all that was not taken over */

/* The value of Sec-WebSocket-Accept for a key (§4.2.2), with its end. 0, or CW_EOS: no digest. */
enum { CW_WS_ACCEPT_TEXT = 29 };
int cw_ws_accept_key(struct cw_span key, char accept[CW_WS_ACCEPT_TEXT]);

/* `open` of a connection that has had no handshake: a server's is handed to HTTP (ws_handshake.c), a client sends its request
 * (ws_client.c). Answer as `open` does. */
struct cw_ws_conn;
int cw_ws_open_server(struct cw_conn *conn);
int cw_ws_open_client(struct cw_conn *conn, struct cw_ws_conn *ws);

/* ---- the handshake of a client (ws_client.c) ---- */

struct cw_ws_dial; /* while it lasts */

/* Input before the handshake is done: bytes used, 0 or an enum cw_error, as on_bytes. When it is whole it calls cw_ws_begin. */
ptrdiff_t cw_ws_dial_bytes(struct cw_conn *conn, struct cw_ws_conn *ws, const uint8_t *data,
                           size_t len);
void cw_ws_dial_free(struct cw_ws_dial *dial);

/* ---- of a connection (ws_protocol.c) ---- */

enum cw_ws_flags {
    CW_WS_DIALLING = 1 << 0,   /* a client before its answer */
    CW_WS_AGREED = 1 << 1,     /* permessage-deflate */
    CW_WS_KEEP = 1 << 2,       /* our context */
    CW_WS_PEER_KEEPS = 1 << 3, /* the peer's */
    CW_WS_CLOSE_SENT = 1 << 4,
    CW_WS_CLOSE_SEEN = 1 << 5,
    CW_WS_AWAITS_PONG = 1 << 6, /* its deadline runs */
    CW_WS_SENDING = 1 << 7,     /* a message in pieces: CW_BEGIN has been sent, */
    CW_WS_SENT_FIRST = 1 << 8,  /* and its first frame too */
    CW_WS_SENDING_TEXT = 1 << 9,
    CW_WS_BITS_SHIFT = 16,      /* 4 bits: our window */
    CW_WS_PEER_BITS_SHIFT = 20, /* 4 bits */
};

struct cw_ws_more; /* what few connections need at a time: ws_protocol.c */

struct cw_ws_conn {
    struct cw_ws_more *more; /* NULL: nothing is under way */
    uint32_t flags;
    uint32_t round_trip_us;
    uint32_t second; /* of the loop's clock, in which controls are counted */
    uint32_t controls;
};

/* The handshake is done: frames from here on. subprotocol: malloc, taken over whatever is returned; NULL: none. 0 or CW_ENOMEM.
 * `open` of a server, and the dial of a client, which then calls cw_conn_ready. */
int cw_ws_begin(struct cw_conn *conn, struct cw_ws_conn *ws, const struct cw_ws_agreed *agreed,
                char *subprotocol);

/* Where the dial is kept while CW_WS_DIALLING. */
struct cw_ws_dial *cw_ws_dial_of(const struct cw_ws_conn *ws);
int cw_ws_set_dial(struct cw_conn *conn, struct cw_ws_conn *ws,
                   struct cw_ws_dial *dial); /* 0, CW_ENOMEM */

#endif

/* The inside of WebSocket: a connection, and what the handshake hands over to it. */
#ifndef CW_WS_IMPL_H
#define CW_WS_IMPL_H

#include "ws_deflate.h"
#include "ws_extension.h"
#include "ws_frame.h"
#include "ws_utf8.h"

#include <causeway/config.h>
#include <causeway/hash.h>
#include <causeway/parts.h>
#include <causeway/protocol.h>
#include <causeway/websocket.h>

/* ---- of a service (ws_settings.c) ---- */

/* Options as `configure` leaves them: the public struct with the defaults in it, its texts copied. CW_OFF and CW_NO_LIMIT stay. */
int cw_ws_check_options(void *options, struct cw_complaint *complaint);
void cw_ws_release_options(void *options);
extern const struct cw_setting cw_ws_settings[];

/* The first member that is set and that only the other side looks at; NULL: none. */
const char *cw_ws_foreign_member(const struct cw_websocket_options *options, enum cw_role role);

/* The HTTP service that takes the requests of bare connections; of options that were checked. It knows nothing of them, so there is
 * no cycle. */
struct cw_service_ref *cw_ws_requests(const struct cw_websocket_options *options);

/* The next of words parted by spaces or commas. False: no more. */
bool cw_ws_next_word(struct cw_span *rest, struct cw_span *word);

/* Whether a field of the request is the handshake's own, and nobody else's to set. */
bool cw_ws_is_own_field(struct cw_span name);

/* ---- the handshake of a server (ws_handshake.c, ws_key.c) ---- */

/* What the handshake has found; the handover of cw_http_switch to `open`. */
struct cw_ws_welcome {
    struct cw_ws_agreed agreed;
    void *conn_user;
    void (*drop)(void *conn_user); /* conn_user, if there will be no on_connection. NULL: nobody's */
    char *subprotocol;             /* cw_alloc, taken over by `open`. NULL: none */
};

void cw_ws_welcome_free(void *welcome); /* with all that was not taken over */

/* Whether it is 16 bytes in base64 (§4.2.1). */
bool cw_ws_key_is_sound(struct cw_span key);

/* The value of Sec-WebSocket-Accept for a key (§4.2.2), with its end. 0; CW_EOS: no digest; CW_EINVAL: longer than 24 bytes. */
enum { CW_WS_ACCEPT_TEXT = 29 };
int cw_ws_accept_key(struct cw_span key, char accept[CW_WS_ACCEPT_TEXT]);

/* Answers a request that wants a WebSocket of this service, a struct cw_service_ref, or does not: the handler of its route. */
void cw_ws_shake(struct cw_http_exchange *http, void *service);

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

/* `on_end` before the handshake is done; len: bytes of an answer that is not whole. Always an enum cw_error. */
int cw_ws_dial_end(struct cw_conn *conn, size_t len);
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
    CW_WS_STAMPED = 1 << 10,    /* a ping of ours with a stamp has no pong yet */
    CW_WS_BEGUN = 1 << 11,      /* the handshake is done */
    CW_WS_BITS_SHIFT = 16,      /* 4 bits: our window */
    CW_WS_PEER_BITS_SHIFT = 20, /* 4 bits */
};

/* What few connections need at a time; unused ones are the loop's. */
struct cw_ws_more {
    struct cw_ws_more *next; /* unused */

    /* The message under way. */
    uint8_t opcode;     /* of its first frame; 0: none is under way */
    bool compressed;    /* it is */
    bool streams;       /* CW_BEGIN has been told */
    bool fin;           /* the frame under way is its last one */
    bool holds_context; /* counted with what is held: an inflater of this message */
    bool owes_gathered; /* CW_BEGIN has been told, what was gathered before it has not */
    uint8_t owes;       /* enum cw_ws_owed */
    struct cw_ws_utf8 utf8;
    uint32_t mask;
    uint64_t left;  /* of the frame under way, */
    uint64_t at;    /* and what of it has been seen */
    uint64_t total; /* of the message: inflated, where it streams */
    uint8_t *bytes; /* gathered; compressed as they came, unless it streams */
    size_t len;
    size_t cap;                      /* 0: none */
    struct cw_ws_inflater *inflater; /* kept between messages, or of this one */
    struct cw_ws_deflater *deflater; /* kept */

    struct cw_ws_utf8 sent; /* of a text that is sent in pieces */
    struct cw_ws_dial *dial;
    char *subprotocol;
    uint8_t *ping; /* payload of the application's ping that has no pong yet. NULL: none */
    size_t ping_len;
    uint64_t ping_us;
};

enum cw_ws_owed {
    CW_WS_OWES_NOTHING,
    CW_WS_OWES_REST, /* what the inflater holds: the first byte that comes has gone into it already */
    CW_WS_OWES_END, /* CW_END: the byte that comes has been told already */
};

struct cw_ws_conn {
    struct cw_ws_more *more; /* NULL: nothing is under way */
    uint32_t flags;
    uint32_t round_trip_us;
    uint32_t second; /* of the loop's clock, in which controls are counted */
    uint32_t controls;
};

/* The handshake is done: frames from here on. subprotocol: cw_alloc, taken over whatever is returned; NULL: none. 0 or CW_ENOMEM.
 * `open` of a server, and the dial of a client, which then calls cw_conn_ready. */
int cw_ws_begin(struct cw_conn *conn, struct cw_ws_conn *ws, const struct cw_ws_agreed *agreed,
                char *subprotocol);

/* Where the dial is kept while CW_WS_DIALLING. */
struct cw_ws_dial *cw_ws_dial_of(const struct cw_ws_conn *ws);
int cw_ws_set_dial(struct cw_conn *conn, struct cw_ws_conn *ws,
                   struct cw_ws_dial *dial); /* 0, CW_ENOMEM */

/* Sends a close frame, words the failure, and returns the enum cw_error to end with. */
int cw_ws_fail(struct cw_conn *conn, struct cw_ws_conn *ws, uint32_t close_code, const char *why);

/* ---- of a loop (ws_shared.c) ---- */

enum { CW_WS_ROOM_CLASSES = 4 };

struct cw_ws_room {
    struct cw_ws_room *next;
};

struct cw_ws_shared {
    bool made;
    struct cw_ws_more *unused;
    size_t unused_count;
    struct cw_ws_room *rooms[CW_WS_ROOM_CLASSES]; /* unused: 4, 16, 64 and 256 KiB */
    size_t room_count[CW_WS_ROOM_CLASSES];
    uint64_t held; /* bytes of unfinished messages */
    struct cw_hash_seed seed;
    uint64_t masks;         /* so many have been made */
    uint64_t shift;         /* of the clock that stamps tell */
    const uint8_t *checked; /* text that is being delivered: known to be UTF-8 */
    size_t checked_len;
    uint8_t *scratch; /* for masked copies */
    size_t scratch_cap;
    uint8_t *inflated; /* CW_WS_PIECE, for what streams. NULL: not needed yet */
    uint64_t told_ms;  /* when the log was told of a page that may not connect */
};

enum {
    CW_WS_PIECE = 16384,
    CW_WS_CHECKED_ONCE =
        256, /* bytes of text from which on it is not checked again when it is sent on as it came */
};

struct cw_ws_shared *cw_ws_shared(struct cw_loop *loop); /* NULL: no memory */
uint64_t cw_ws_now_us(void);
uint32_t cw_ws_new_mask(struct cw_ws_shared *shared);

/* The connection's `more`, made if need be; NULL: no memory. cw_ws_less gives it back when nothing is in it. */
struct cw_ws_more *cw_ws_more(struct cw_conn *conn, struct cw_ws_conn *ws);
void cw_ws_less(struct cw_conn *conn, struct cw_ws_conn *ws);

/* Has room for `need` bytes of the message under way; judged against messages_max_bytes. 0, CW_EFULL, CW_ENOMEM. */
int cw_ws_reserve(struct cw_conn *conn, struct cw_ws_more *more, size_t need);
void cw_ws_forget_bytes(struct cw_conn *conn, struct cw_ws_more *more);

/* The same for the context of a message that is inflated piece by piece: it counts as so many bytes. 0, CW_EFULL, CW_ENOMEM. */
enum { CW_WS_CONTEXT_BYTES = 45056 };
int cw_ws_hold_context(struct cw_conn *conn, struct cw_ws_more *more);
void cw_ws_drop_context(struct cw_conn *conn, struct cw_ws_more *more);

/* ---- messages in (ws_in.c, ws_message.c) ---- */

ptrdiff_t cw_ws_bytes(struct cw_conn *conn, struct cw_ws_conn *ws, uint8_t *data, size_t len);

/* The next payload bytes of the frame under way: how many are used, 0 or < 0 as on_bytes. */
ptrdiff_t cw_ws_take_payload(struct cw_conn *conn, struct cw_ws_conn *ws, uint8_t *data, size_t len);

/* The frame under way has no byte at all. > 0: it is over · 0: not yet, ask again · < 0: an enum cw_error. */
int cw_ws_take_empty(struct cw_conn *conn, struct cw_ws_conn *ws);

/* A whole message: inflates, checks text (is_checked: it is known to be UTF-8), delivers. CW_GO, CW_STOP or an enum cw_error. */
int cw_ws_take_whole(struct cw_conn *conn, struct cw_ws_conn *ws, struct cw_message *msg,
                     bool compressed, bool is_checked);

/* ---- messages out (ws_out.c) ---- */

int cw_ws_send(struct cw_conn *conn, void *state, const struct cw_message *msg);
uint64_t cw_ws_wire_key(struct cw_conn *conn, const void *state);
int cw_ws_encode(const struct cw_wire_format *format, const struct cw_message *msg,
                 struct cw_payload **payload);
int cw_ws_write_control(struct cw_conn *conn, uint8_t opcode, struct cw_span payload);
int cw_ws_write_close(struct cw_conn *conn, struct cw_ws_conn *ws, uint32_t code,
                      struct cw_span text);
int cw_ws_write_stamp(struct cw_conn *conn, struct cw_ws_conn *ws);

#endif

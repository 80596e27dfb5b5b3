/* The inside of a connection. */
#ifndef CW_CONN_IMPL_H
#define CW_CONN_IMPL_H

#include "datagram_impl.h"
#include "loop_impl.h"
#include "service_impl.h"
#include "stream.h"

#include <causeway/conn.h>
#include <causeway/protocol.h>

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stddef.h>

/* accepted ─► handshaking ─► open ─► draining ─► closed; from everywhere straight to closed. */
enum cw_phase {
    CW_PHASE_HANDSHAKING,
    CW_PHASE_OPEN,
    CW_PHASE_DRAINING,
    CW_PHASE_CLOSED,
};

enum cw_conn_flags {
    /* Why on_bytes is not fed; any of them makes cw_conn_deliver answer CW_STOP. */
    CW_HELD_APP = 1 << 0,      /* cw_conn_pause */
    CW_HELD_PROTOCOL = 1 << 1, /* cw_conn_hold */
    CW_HELD_OUTPUT = 1 << 2,   /* its own queue is above out_high */
    CW_HELD_RATE = 1 << 3,     /* cw_conn_pause_for */
    CW_HELD_TURN = 1 << 4,     /* had its messages for this turn */
    CW_SWITCHING = 1 << 5,     /* another service takes over when the callback is back */
    CW_CLOSING = 1 << 6,       /* nothing is delivered any more */
    CW_SECURING = 1 << 30,     /* cw_conn_start_tls: nothing but the handshake */
    CW_STOP_MASK = ((1 << 7) - 1) | CW_SECURING,

    CW_OPENED = 1 << 7,         /* on_connection has run, so on_close will */
    CW_PROTOCOL_OPEN = 1 << 8,  /* the protocol's open has succeeded */
    CW_INPUT_ENDED = 1 << 9,    /* the peer has sent its FIN */
    CW_OUTPUT_ENDED = 1 << 10,  /* we have sent ours */
    CW_BLOCKED = 1 << 11,       /* the stream took less than was offered */
    CW_WANT_DRAIN = 1 << 12,    /* a sender was told to wait */
    CW_MESSAGE_OPEN = 1 << 13,  /* half a message is in the queue */
    CW_SHUTDOWN_DONE = 1 << 14, /* on_shutdown has run */
    CW_AWAIT_FINISH = 1 << 15,  /* the protocol waits for the peer's goodbye */
    CW_HAS_DEADLINE = 1 << 16,
    CW_STATE_OUTSIDE =
        1 << 17, /* after a switch to a protocol whose state is too large for behind the struct */
    CW_HAS_MIDDLEWARE = 1 << 18,
    CW_COUNTED = 1 << 19,      /* in the server's and the address's count */
    CW_FAILED = 1 << 20,       /* report before on_close */
    CW_RESET = 1 << 21,        /* end without good order */
    CW_LINGER = 1 << 22,       /* our FIN is out, or waits; input is discarded until the peer's */
    CW_DISCARD = 1 << 23,      /* input means nothing any more */
    CW_SOURCE_ENDED = 1 << 24, /* tell the protocol (on_writable) */
    CW_WATCHED_READ = 1 << 25, /* what the event is registered for */
    CW_WATCHED_WRITE = 1 << 26,
    CW_ENDING = 1 << 27, /* its end is being told: nothing may start that again */
    CW_TOLD = 1 << 28,   /* its end has been told; only a lingering socket is left */
    CW_UNHEARD =
        1 << 29, /* bytes came that nobody heard, as it was closing: there may be more on the way */
};

/* One more, which an enum cannot hold: counted, but not for its address, a trusted one. */
#define CW_EXEMPT (1u << 31)

enum cw_turn_flags {
    CW_TURN_QUEUED = 1 << 0, /* in the loop's list */
    CW_TURN_FLUSH = 1 << 1,
    CW_TURN_READY = 1 << 2, /* has input that it may be fed with */
    CW_TURN_END = 1 << 3,   /* closing: go on with that */
    CW_TURN_SOON = 1 << 4,  /* the protocol has asked to be called */
    CW_TURN_ALL = (1 << 5) - 1,
};

/* Input that on_bytes has not used. */
struct cw_inbuf {
    struct cw_inbuf *next; /* in the loop's list of unused ones */
    size_t start;
    size_t len; /* unused bytes from `start` */
    size_t cap;
    uint8_t bytes[];
};

struct cw_conn_timer {
    struct cw_conn_timer *next;
    struct cw_conn *conn;
    struct event *event;
    cw_conn_fn fn;
    void *user;
    uint64_t every_ms;
};

/* What few connections need. What makes one of them needed belongs into cw_conn_trim. */
struct cw_conn_extra {
    void *state; /* with CW_STATE_OUTSIDE */
    struct cw_service_ref *next_service;
    void *handover;
    void (*drop)(void *handover);
    void *middleware; /* slots */
    struct cw_room_member_link *rooms;
    size_t room_count;
    struct cw_conn_timer *timers;
    size_t timer_count;
    struct event *pause_timer;
    uint64_t paused_until_ms; /* with CW_HELD_RATE */
    uint64_t messages_dropped;
    size_t want;
    size_t sources;
    uint32_t idle; /* ticks, or CW_TICKS_ORIGIN */
    uint32_t read;
    uint32_t switched; /* tick; 0: not yet */
    uint32_t peer_code;
    uint32_t securing; /* tick, with CW_SECURING */
    int16_t tls_alert; /* 0: none */
    int16_t os_errno;  /* behind why it ends */
    bool peer_ends;    /* it has said so: our FIN waits for its */
    char text[CW_REASON_TEXT_MAX];
};

#define CW_TICKS_ORIGIN UINT32_MAX /* as the origin says */
enum { CW_SOURCES_MAX = 16, CW_CONN_TIMERS_MAX = 16 };

/* What a message touches stands together, in as few cache lines as there can be. Each byte counts: malloc takes them by 16. */
struct cw_conn {
    /* Libevent keeps a pointer for us: the loop. The connection is where its event is. What an event without a time-out does not
     * use holds ours, and that of a peer of datagrams, which has no event, is its link to the socket. */
    union {
        struct event event;
        struct {
            uint8_t before_loop[offsetof(struct event, ev_evcallback.evcb_arg)];
            struct cw_loop *loop;
        };
        struct {
            uint8_t before_peer[offsetof(struct event, ev_base)];
            struct cw_peer_link peer_link;
        };
        struct {
            uint8_t before_user[offsetof(struct event, ev_timeout_pos) + sizeof(void *)];
            void *user;
        };
        struct {
            uint8_t before_times[offsetof(struct event, ev_timeout)];
            uint32_t connected; /* tick */
            uint32_t deadline;  /* tick: the protocol's; while draining, the end of that */
            uint32_t last_in;   /* ticks */
            uint32_t last_out;
        };
    };
    struct cw_service_ref *service;
    struct cw_stream *stream;
    struct cw_origin *origin;
    struct cw_outq *out;
    struct cw_inbuf *in;
    uint32_t flags;
    uint32_t slot : 24;    /* CW_SLOTS_MAX */
    uint32_t turn : 5;     /* enum cw_turn_flags */
    uint32_t phase : 2;    /* enum cw_phase */
    uint32_t datagram : 1; /* a peer of datagrams: peer_link is used, the event is not */
    uint16_t turn_messages;
    int16_t code;       /* why it ends; 0: it does not */
    uint32_t turn_next; /* slot + 1; 0: none */
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t messages_in;
    uint64_t messages_out;
    struct cw_conn_extra *extra;

    struct cw_address peer;
    uint64_t state[]; /* of the protocol: as much as the origin's needs */
};

static_assert(offsetof(struct cw_conn, peer_link) + sizeof(struct cw_peer_link) <=
                      offsetof(struct event, ev_timeout) &&
                  offsetof(struct event, ev_base) > offsetof(struct event, ev_fd),
              "the link lies between the descriptor and the times");
static_assert(offsetof(struct cw_conn, user) + sizeof(void *) <= offsetof(struct event, ev_fd),
              "of a place in libevent's heap of times only the first half is written");

/* ---- life (conn.c) ---- */

/* Makes a connection over a stream. fd may be -1 (memory). Takes a hold of the origin.
 *
 * returns NULL: no memory, no slot, or the descriptor cannot be watched; the descriptor stays the caller's */
struct cw_conn *cw_conn_new(struct cw_loop *loop, struct cw_origin *origin,
                            struct cw_stream *stream, int fd, const struct cw_address *peer);

/* The same over the stream that the origin asks for: a plain socket, or TLS over it. */
struct cw_conn *cw_conn_with_stream(struct cw_loop *loop, struct cw_origin *origin, int fd,
                                    const struct cw_address *peer);

/* Goes on with the stream's handshake. */
void cw_conn_handshake(struct cw_conn *conn);

/* The stream is ready: middleware, then the protocol. */
void cw_conn_open(struct cw_conn *conn);

/* Starts the stream's handshake, or opens the protocol at once. */
void cw_conn_start(struct cw_conn *conn);

/* Ends it with a failure; told at the end of the turn. text may be NULL. */
void cw_conn_break_with(struct cw_conn *conn, int code, int os_errno, const char *text);

/* Ends it at once, for that reason. */
void cw_conn_cut(struct cw_conn *conn, int code);

/* Ends a peer of datagrams on the spot, where no hook is running: told, freed. */
void cw_conn_end_now(struct cw_conn *conn, int code);

/* Closes it in good order, for that reason. */
void cw_conn_end_with(struct cw_conn *conn, int code);

/* Goes on with closing; called at the end of the turn. */
void cw_conn_step_end(struct cw_conn *conn);

/* ---- deadlines (conn_due.c) ---- */

/* The sweep's question: what is due? Answers the next due tick. */
uint32_t cw_conn_check_due(struct cw_conn *conn, uint32_t now);

/* Has the sweep look at it no later than its next due tick. */
void cw_conn_schedule(struct cw_conn *conn);

/* ---- its protocol (conn.c) ---- */

/* Its protocol's beginning and end, and the end as the application sees it. */
void cw_conn_open_protocol(struct cw_conn *conn, void *handover);
void cw_conn_close_protocol(struct cw_conn *conn);
void cw_conn_tell_closed(struct cw_conn *conn, int code);

/* ---- another service (conn_switch.c) ---- */

/* Carries out a switch that was asked for. */
void cw_conn_do_switch(struct cw_conn *conn);

/* Frees a switch that was asked for and did not come about. */
void cw_conn_forget_switch(struct cw_conn *conn);

struct cw_conn_extra *cw_conn_extra(struct cw_conn *conn); /* NULL: no memory */

/* Frees what few connections need when this one does not need it any more. Nobody may be in the middle of using it. */
void cw_conn_trim(struct cw_conn *conn);

/* ---- bytes (conn_in.c, conn_out.c, conn_source.c) ---- */

/* What was waited for has come. */
void cw_conn_on_event(struct cw_conn *conn, short events);

/* Calls the protocol that asked for it. */
void cw_conn_on_soon(struct cw_conn *conn);

/* Reads what the stream has and feeds the protocol. */
void cw_conn_read(struct cw_conn *conn);

/* Feeds what was left over, after a hold. */
void cw_conn_on_ready(struct cw_conn *conn);

/* Writes what is queued. Calls hooks (on_drain); may start the end. */
void cw_conn_flush(struct cw_conn *conn);

/* The same without hooks: for inside of a send. */
void cw_conn_flush_quiet(struct cw_conn *conn);

/* No more input until the output has gone. */
void cw_conn_hold_by_output(struct cw_conn *conn);

/* Frees the queue when it is empty, unless the stream still owes the socket what came from it. */
void cw_conn_settle(struct cw_conn *conn);

/* Has a queue there, as the stream owes: the connection waits as long as there is one. False: it has failed. */
bool cw_conn_keep_out(struct cw_conn *conn);

/* Writes one datagram: each write of such a connection is one. As cw_conn_write, or cw_conn_write_control. */
int cw_conn_write_datagram(struct cw_conn *conn, const struct cw_span *parts, size_t count,
                           bool control);

/* Throws the queue away; what the stream owes stays. */
void cw_conn_clear_out(struct cw_conn *conn);

/* Bytes the kernel has taken and the peer has not; 0 also when the kernel cannot say. */
uint32_t cw_conn_in_kernel(const struct cw_conn *conn);

/* Brings the event in line with what is to be watched. False: it cannot. */
void cw_conn_update_events(struct cw_conn *conn);

/* Puts the connection on the loop's list for the end of the turn. */
void cw_conn_at_turn_end(struct cw_conn *conn, unsigned what);

void cw_conn_inbuf_free(struct cw_conn *conn);

/* A shared payload behind what is queued, if that is charged with no more than max, and all of it with no more than
 * out_max. Nobody is told to wait: who sends to a room is somebody else.
 *
 * mark     of the room whose policy may drop it again; NULL: nobody may
 * returns  0, CW_EFULL, CW_ETOOBIG, CW_ECLOSED, CW_ENOMEM */
int cw_conn_share(struct cw_conn *conn, struct cw_payload *payload, struct cw_out_mark *mark,
                  size_t max);

/* What has to leave the queue before `len` more bytes are shared with it. */
size_t cw_conn_excess(const struct cw_conn *conn, size_t len, size_t max);

/* One message more that this connection did not get, or whose own was not heard. */
void cw_conn_count_dropped(struct cw_conn *conn);

/* ---- middleware.c ---- */

int cw_middleware_open(struct cw_conn *conn);
int cw_middleware_message(struct cw_conn *conn, const struct cw_message *msg);
void cw_middleware_close(struct cw_conn *conn);

/* The socket's own error, 0: none. Takes it off the socket. */
int cw_stream_pending_error(int fd);

/* Whether an error is TLS's: then the socket is sound, and the peer has an alert or an answer to read. */
static inline bool cw_conn_is_of_tls(int code)
{
    return code == CW_ETLS || code == CW_ECERT || code == CW_EPLAIN;
}

/* Whether the stream says that reading goes on, whatever the socket says. */
static inline bool cw_conn_has_more(const struct cw_conn *conn)
{
    return !conn->stream->ops->short_read_is_empty || conn->stream->more;
}

/* What most deliveries to a busy room come to: a few bytes that leave at the end of this turn. For a connection that may be written to.
 * False: cw_conn_share has to be asked. */
static inline bool cw_conn_share_small(struct cw_conn *conn, struct cw_span bytes, size_t max)
{
    struct cw_outq_pool *pool = &conn->loop->out_pool;
    size_t limit = max / 4 < CW_OUT_GATHER_MAX ? max / 4 : CW_OUT_GATHER_MAX;
    size_t queued = (conn->out ? conn->out->bytes : 0) + bytes.len;

    if (conn->datagram || (conn->flags & CW_BLOCKED) || bytes.len == 0 ||
        bytes.len > CW_OUT_COPY_MAX || queued > limit ||
        pool->bytes + bytes.len > conn->loop->buffered_max ||
        (!conn->out && !cw_outq_begin(&conn->out, pool, conn->loop->now)) ||
        !cw_outq_append_small(conn->out, pool, bytes)) {
        return false;
    }
    if (!(conn->turn & CW_TURN_FLUSH)) {
        cw_conn_at_turn_end(conn, CW_TURN_FLUSH);
    }
    return true;
}

/* Whether bytes are still taken. control: the protocol's own, which go out while it is closing, too. */
static inline bool cw_conn_may_write(const struct cw_conn *conn, bool control)
{
    if (conn->phase == CW_PHASE_CLOSED || (conn->flags & (CW_OUTPUT_ENDED | CW_ENDING | CW_TOLD))) {
        return false;
    }
    return control || !(conn->flags & CW_CLOSING);
}

static inline size_t cw_spans_total(const struct cw_span *parts, size_t count)
{
    size_t total = 0;

    for (size_t i = 0; i < count; i++) {
        total += parts[i].len;
    }
    return total;
}

static inline bool cw_conn_stopped(const struct cw_conn *conn)
{
    return (conn->flags & CW_STOP_MASK) != 0;
}

static inline void *cw_conn_state_of(struct cw_conn *conn)
{
    assert(conn->extra || !(conn->flags & CW_STATE_OUTSIDE));
    return conn->flags & CW_STATE_OUTSIDE ? conn->extra->state : (void *)conn->state;
}

static inline int cw_conn_os_errno(const struct cw_conn *conn)
{
    return conn->extra ? conn->extra->os_errno : 0;
}

static inline int cw_conn_fd_of(const struct cw_conn *conn)
{
    return (int)conn->event.ev_fd;
}

#endif

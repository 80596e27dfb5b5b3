/* The inside of a loop. */
#ifndef CW_LOOP_IMPL_H
#define CW_LOOP_IMPL_H

#include "datagram_counters.h"
#include "mailbox.h"
#include "outq.h"
#include "slots.h"

#include <causeway/error.h>
#include <causeway/loop.h>
#include <causeway/server.h>

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    CW_SCRATCH_BYTES = 65536 + 4096, /* a 64 KiB frame with its header, and a little */
    CW_SCRATCH_PAD = 64,             /* before and behind */
    CW_TICK_MS = 16,
    CW_INBUF_KEEP = 8,
};

/* What a loop of one's own uses, and the defaults of a server's. */
enum {
    CW_MAILBOX_MAX = 65536,
    CW_MAILBOX_MAX_BYTES = 64 << 20,
    CW_BUFFERED_MAX = 1 << 30,
    CW_DRAIN_MS = 5000,
    CW_WORK_THREADS = 4,
    CW_WORK_MAX = 1024,
    CW_HANDSHAKE_THREADS = 2,
    CW_HANDSHAKES_PER_TURN = 16,
    CW_HANDSHAKES_MAX = 4096,
};

struct cw_work_pool;
struct cw_tls_loop;
struct cw_resolver;
struct cw_room_set;
struct cw_client;
struct cw_datagram_loop;

/* Counted by one loop, read by any thread: relaxed, and never by read-modify-write. */
struct cw_loop_counters {
    atomic_uint_least64_t conns_total;
    atomic_uint_least64_t refused_conns_max;
    atomic_uint_least64_t refused_conns_per_ip;
    atomic_uint_least64_t refused_middleware;
    atomic_uint_least64_t refused_descriptors;
    atomic_uint_least64_t closed_by_error;
    atomic_uint_least64_t handshakes_full;
    atomic_uint_least64_t handshakes_resumed;
    atomic_uint_least64_t handshakes_failed;
    atomic_uint_least64_t bytes_in;
    atomic_uint_least64_t bytes_out;
    atomic_uint_least64_t messages_in;
    atomic_uint_least64_t messages_out;
    atomic_uint_least64_t messages_dropped;
    atomic_uint_least64_t queued_bytes; /* out_pool.bytes at the end of the last turn */
};

static inline void cw_count(atomic_uint_least64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* What the log takes only so much of. */
enum cw_log_kind {
    CW_LOGGED_CONNS_MAX,
    CW_LOGGED_ADDRESS_MAX,
    CW_LOGGED_DESCRIPTORS,
    CW_LOGGED_REFUSED,  /* by a rule */
    CW_LOGGED_CONN,     /* a connection that failed */
    CW_LOGGED_LIMIT,    /* one that was closed by a limit on rates or queues */
    CW_LOGGED_DATAGRAM, /* of a listener: too long, or what ICMP says of it */
    CW_LOGGED_REPORT,   /* what failed outside of a connection: to connect, to join a room */
    CW_LOGGED_TROUBLE,  /* of this process itself */
    CW_LOGGED_KINDS,
};

struct cw_log_quota {
    uint64_t second; /* now_ms of the last line in seconds, and in minutes */
    uint64_t minute;
    unsigned in_second;
    unsigned in_minute;
    uint64_t left_out; /* and not yet said */
};

enum cw_loop_phase { CW_LOOP_NEW, CW_LOOP_RUNNING, CW_LOOP_DRAINING, CW_LOOP_STOPPED };

struct cw_loop {
    struct event_base *base;
    struct cw_server *server; /* NULL: a loop of one's own */
    unsigned worker;
    enum cw_loop_phase phase;
    void *user;
    uint64_t (*clock)(void); /* milliseconds that never jump; tests replace it */
    uint64_t now_ms;
    bool stale;             /* a wait has passed since now_ms was read */
    uint64_t epoch_ms;      /* tick 0 */
    uint64_t wall_epoch_ms; /* since 1970, at tick 0 */
    uint32_t now;           /* tick */
    int os_errno;           /* behind the last error of a stream */

    uint8_t *scratch; /* CW_SCRATCH_BYTES, with CW_SCRATCH_PAD before and behind */
    uint8_t *gather;  /* CW_OUT_GATHER_MAX */
    struct cw_inbuf *inbufs;
    size_t inbuf_count;
    struct cw_outq_pool out_pool;
    size_t buffered_max;
    size_t refused_bytes; /* the most that did not fit under buffered_max since there was room; 0: nothing */

    struct cw_slots slots;
    struct event *sweep;
    uint32_t sweep_at;  /* tick it is set for; 0: not set */
    uint32_t turn_head; /* connections with something left to do in this turn: slot + 1; 0: none */
    uint32_t *turn_tail;
    size_t shared_to;        /* shared messages queued in this turn */
    struct cw_conn *current; /* the one whose read is under way: it flushes by itself */

    struct cw_mailbox mailbox;
    struct event *mail_event;
    struct cw_timer *timers;
    struct cw_watch *watches;
    struct cw_client *clients;
    struct cw_client **client_table; /* by id */
    size_t client_table_size;        /* a power of two; 0: none yet */
    size_t client_count;
    int64_t client_last;
    size_t pool_waiting; /* callers who wait for a connection of a pool */
    struct cw_resolver *resolver;
    struct cw_room_set *rooms;
    struct cw_work_pool *work;       /* shared by a server's loops */
    struct cw_work_pool *handshakes; /* … for TLS; NULL: the loop does them itself */
    bool owns_work;                  /* both */
    uint64_t handshakes_per_turn;
    uint64_t handshakes_begun; /* in this turn */
    bool handshake_done;       /* in this turn, a full one by the loop itself */
    size_t put_off;            /* … and so many wait for theirs */
    bool alone;                /* there is one processor for this loop and its helpers */
    bool quiet;                /* few reads in the last while */
    uint64_t reads;            /* so many, ever */
    uint64_t reads_before;     /* at … */
    uint64_t costly_steps;     /* of handshakes since then */
    uint64_t costly_since_ms;
    struct cw_tls_loop *tls; /* NULL: no connection has needed it yet */
    size_t work_pending;
    struct cw_datagram_loop *datagrams; /* NULL: no socket has needed it yet */
    struct cw_listener *listeners;
    unsigned updates_seen; /* of its server's options */

    struct event *drain_timer;
    unsigned stops; /* asked for so often */
    bool drain_over;
    uint64_t drain_ms;
    struct cw_stop_hook *stop_hooks;
    struct cw_loop_part_entry *parts; /* parts.c */
    pthread_t thread;
    struct cw_loop_counters counters;
    struct cw_datagram_counters datagram_counters;
    struct cw_log_quota log_quota[CW_LOGGED_KINDS];
};

/* Somebody who has to know that the loop is about to stop (a pool). */
struct cw_stop_hook {
    struct cw_stop_hook *next;
    void (*fn)(struct cw_stop_hook *hook);
};

/* What a new loop needs to know. */
struct cw_loop_setup {
    struct cw_server *server;
    unsigned worker;
    struct cw_work_pool *work;       /* NULL: one of its own, and one for handshakes */
    struct cw_work_pool *handshakes; /* with work; NULL: the loop does them itself */
    uint64_t handshakes_per_turn;
    bool alone; /* as in struct cw_loop */
    size_t mailbox_max;
    size_t mailbox_max_bytes;
    size_t buffered_max;
    uint64_t drain_ms;
};

struct cw_loop *cw_loop_create(const struct cw_loop_setup *setup);

/* The loop whose thread this is; NULL: none's. thread: any */
struct cw_loop *cw_loop_here(void);

/* Runs turns until the loop has stopped. */
int cw_loop_turns(struct cw_loop *loop);

/* One turn: wait (unless something is ready), readiness, timers, end of turn. Tests call it. */
int cw_loop_turn(struct cw_loop *loop, bool wait);

/* What is left to do for connections: leftovers, flushes, ends. */
void cw_loop_end_turn(struct cw_loop *loop);

/* Takes a new reading of the clock. */
void cw_loop_update_time(struct cw_loop *loop);

/* The same at the first callback after a wait; the others of the turn see the same time. */
static inline void cw_loop_wake(struct cw_loop *loop)
{
    if (loop->stale) {
        cw_loop_update_time(loop);
    }
}

/* The drain time of a stop is over: ends what is left. A callback of libevent's. */
void cw_loop_on_drain_over(evutil_socket_t fd, short events, void *arg);

/* Posts fn for the connection of that id; 0: for none. thread: any */
int cw_loop_put_post(struct cw_loop *loop, uint64_t conn_id, cw_post_fn fn, void *arg);

/* Has the sweep run no later than `due`. */
void cw_loop_sweep_by(struct cw_loop *loop, uint32_t due);

/* Looks at every connection whose tick is due. */
void cw_loop_sweep(struct cw_loop *loop);

/* Begins to stop; the second call ends at once. */
void cw_loop_begin_stop(struct cw_loop *loop);

/* Whether nothing is left to wait for. */
bool cw_loop_is_idle(const struct cw_loop *loop);

/* A duration in ticks, rounded up, at least 1; CW_OFF and CW_NO_LIMIT: 0. Longer than a year: a year. */
uint32_t cw_ticks(uint64_t ms);

#ifdef CW_CHECKED
void cw_loop_assert_thread(const struct cw_loop *loop);
#else
static inline void cw_loop_assert_thread(const struct cw_loop *loop)
{
    (void)loop;
}
#endif

/* Overwrites what a callback has borrowed: a span kept beyond it fails the same day. In checked builds only. */
static inline void cw_poison(uint8_t *data, size_t len)
{
#ifdef CW_CHECKED
    memset(data, 0xdb, len);
#else
    (void)data;
    (void)len;
#endif
}

#endif

/* The inside of rooms.
 *
 * The registry is the server's: who is in which room, under one lock, for joins, leaves and questions. A set is a
 * loop's: its own members of each room, without a lock, for sends. The lock is never held over a hook, the log, an
 * `encode` or a send.
 *
 * ```text
 * registry ─ cw_room ──(joining order)── cw_room_member_link ──┐
 *                                                              ├─ one for each room a connection is in
 * set ─ cw_local_room ──(places)─────── cw_room_member_link ───┘
 * ``` */
#ifndef CW_ROOM_IMPL_H
#define CW_ROOM_IMPL_H

#include "names.h"
#include "outq.h"

#include <causeway/hash.h>
#include <causeway/protocol.h>
#include <causeway/room.h>

#include <pthread.h>
#include <stdatomic.h>

struct cw_backplane;
struct cw_local_room;
struct cw_service_ref;

enum { CW_WORKER_WORDS = 4 }; /* a bit for each of 256 workers */

/* A room that somebody is in. It lives for that long, so a loop with members in it needs no hold. */
struct cw_room {
    struct cw_named named; /* first. Constant, like the name itself */
    struct cw_room_member_link *oldest;
    struct cw_room_member_link *newest;
    size_t count;
    uint64_t members_max;
    atomic_int slow; /* enum cw_slow_policy */
    atomic_uint_least64_t queue_max;
    atomic_uint_least64_t
        workers[CW_WORKER_WORDS]; /* those with members; set and cleared under the lock */
    atomic_uint_least64_t sent;
    atomic_uint_least64_t delivered;
    atomic_uint_least64_t dropped_slow;
    atomic_uint_least64_t dropped_kind;
    atomic_uint_least64_t closed_slow;
    char text[];
};

/* One connection in one room. */
struct cw_room_member_link {
    /* Guarded by the lock. */
    struct cw_room_member_link *older;
    struct cw_room_member_link *newer;
    void *presence;
    size_t presence_len;
    struct cw_room *room;

    /* The loop's own. */
    uint64_t conn_id;
    unsigned worker;
    bool last_here; /* it was the last one of its loop; for cw_room_registry_leave */
    struct cw_local_room *local;
    size_t place;                     /* in `local` */
    struct cw_room_member_link *next; /* of the connection */
    struct cw_room_member_link *prev;
};

/* ---- the registry (room_registry.c) ---- */

struct cw_room_registry {
    struct cw_hash_seed seed;
    pthread_mutex_t lock;
    struct cw_names rooms;           /* struct cw_room */
    struct cw_names rules;           /* of single rooms */
    struct cw_room_options standard; /* of all others */
    atomic_size_t joins_under_way;   /* by id */
    atomic_uint_least64_t message_max;
    uint64_t turn;                  /* of calls to the backplane */
    struct cw_backplane *backplane; /* NULL: this process is all there is */
};

struct cw_room_registry *cw_room_registry_new(void);
void cw_room_registry_free(struct cw_room_registry *registry);

/* Judges and hashes a room's name. 0 or CW_EINVAL. thread: any */
int cw_room_name(const struct cw_server *server, const char *room, struct cw_name *name);

/* Puts a member into the room, which comes into being if need be. 0, CW_EFULL or CW_ENOMEM. */
int cw_room_registry_join(struct cw_server *server, const struct cw_name *name,
                          struct cw_room_member_link *link);

/* Replaces the value. 0 or CW_ENOMEM. */
int cw_room_registry_present(struct cw_server *server, struct cw_room_member_link *link,
                             struct cw_span presence);

/* Takes a connection's members, chained by `next`, out of their rooms and frees them. A room that nobody is left in
 * is freed. */
void cw_room_registry_leave(struct cw_server *server, struct cw_room_member_link *links);

/* ---- a loop's share: its members of each room; no lock (room_set.c) ---- */

/* Connections of one loop whose messages are encoded to the same bytes. */
struct cw_wire {
    struct cw_wire *next;
    struct cw_wire *next_used; /* in this send */
    const struct cw_protocol *protocol;
    struct cw_service_ref *service; /* held: its options encode for all of them */
    enum cw_role role;
    uint64_t key;
    size_t members;
    uint64_t send; /* the send that these two belong to */
    struct cw_payload *payload;
    int error;
};

/* A member as a send sees it. */
struct cw_place {
    struct cw_conn *conn;
    struct cw_wire *wire; /* NULL: its protocol writes each message itself */
    struct cw_out_mark mark;
    struct cw_room_member_link *link;
};

struct cw_local_room {
    struct cw_named named; /* first. The text is the room's */
    struct cw_room *room;
    struct cw_place *places;
    size_t count;
    size_t cap;
};

struct cw_room_set {
    struct cw_names rooms; /* struct cw_local_room */
    struct cw_wire *wires;
    struct cw_wire *used; /* in the send under way */
    uint64_t send;        /* counts them */
};

/* 0 or CW_ENOMEM. */
int cw_rooms_loop_init(struct cw_loop *loop);
void cw_rooms_loop_free(struct cw_loop *loop);

/* NULL: this loop has no member of it. */
struct cw_local_room *cw_room_local(const struct cw_loop *loop, const struct cw_name *name);

/* A connection ends: out of all its rooms. */
void cw_room_leave_all(struct cw_conn *conn);

/* A connection opens, also after a switch: what is encoded for it has changed. Until then it gets nothing. */
void cw_room_rekey(struct cw_conn *conn);

#endif

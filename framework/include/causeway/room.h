/* Rooms: named sets of connections of one server, of any protocol and any worker.
 *
 * Joining is one call; a connection that closes has left when its on_close runs; an empty room is forgotten. Names are
 * bytes, compared exactly. What one sender sends to a room arrives at each member in that order. */
#ifndef CAUSEWAY_ROOM_H
#define CAUSEWAY_ROOM_H

#include <causeway/conn.h>
#include <causeway/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What happens to a room's message when a member's queue has no room for it. */
enum cw_slow_policy {
    CW_SLOW_DROP_NEWEST = 0, /* this message is dropped for that member */
    CW_SLOW_DROP_OLDEST = 1, /* room messages that wait in its queue make way, oldest first */
    CW_SLOW_KEEP_LATEST =
        2,             /* all of this room's messages that wait make way: a ticker, a position */
    CW_SLOW_CLOSE = 3, /* the member is closed with CW_ESLOW; it counts as one until what waits
                                for it has drained, for drain_ms at most */
};

/* Rules of one room. Zero means the default in every member. */
struct cw_room_options {
    enum cw_slow_policy slow;
    uint64_t queue_max_bytes; /* in a member's queue above this it is slow. 0: half its out_max_bytes */
    uint64_t members_max;     /* 0: the server's room_members_max */
};

/* How to send to a room. */
struct cw_room_send_options {
    uint64_t except;            /* an id that does not get it. 0: none */
    const uint64_t *except_ids; /* more of them; borrowed for the call */
    size_t except_count;        /* at most 64 */
};

/* Adds a connection to a room, which exists from then on. Joining twice changes nothing.
 *
 * room     a C string; copied
 * returns  0; CW_EINVAL: empty or longer than room_name_max_bytes; CW_EFULL: rooms_max, room_members_max
 *          or rooms_per_conn_max is reached; CW_ECLOSED; CW_ENOMEM; CW_ESTATE: no server
 * thread   loop thread */
int cw_room_join(struct cw_conn *conn, const char *room);

/* The same with a small value (a nickname) that cw_room_members shows to others; on a member it replaces
 * the old value.
 *
 * presence  copied
 * returns   as cw_room_join, and CW_ETOOBIG: longer than room_presence_max_bytes
 * thread    loop thread */
int cw_room_join_as(struct cw_conn *conn, const char *room, struct cw_span presence);

/* Takes a connection out of a room.
 *
 * returns  0, or CW_ENOTFOUND: it was not in it
 * thread   loop thread */
int cw_room_leave(struct cw_conn *conn, const char *room);

/* cw_room_join_as and cw_room_leave for a connection, wherever it lives. Whether it worked there is not
 * told; a failure is reported to on_error.
 *
 * returns  0: on its way; CW_EINVAL, CW_ETOOBIG, CW_EFULL, CW_ENOTFOUND, CW_ENOMEM, CW_ESTOPPED: it is not
 * thread   any */
int cw_room_join_id(struct cw_server *server, uint64_t conn_id, const char *room,
                    struct cw_span presence);
int cw_room_leave_id(struct cw_server *server, uint64_t conn_id, const char *room);

/* Sends a message to every member, encoded once for each wire format. A member whose protocol cannot carry
 * it is left out and counted, and so is one whose queue is full, by the room's policy. A room that nobody
 * is in takes it and forgets it. Calls no hook.
 *
 * msg      whole; borrowed for the call
 * options  borrowed; NULL: to everyone
 * returns  0; CW_EINVAL; CW_ETOOBIG: larger than out_max_bytes; CW_EFULL: a worker's mailbox is full (the
 *          members of the others have got it); CW_ENOMEM; CW_ESTOPPED
 * thread   any */
int cw_room_send(struct cw_server *server, const char *room, const struct cw_message *msg,
                 const struct cw_room_send_options *options);

/* Sets the rules of a room, also before anyone is in it; they last until they are taken back.
 *
 * room     NULL: the rules of all rooms that have none of their own
 * options  copied; NULL: takes them back
 * returns  0; CW_EINVAL; CW_EFULL: rooms_max rooms have rules; CW_ENOMEM
 * thread   any; for members that are in it, from the loop's next turn on */
int cw_room_configure(struct cw_server *server, const char *room,
                      const struct cw_room_options *options);

/* How many are in it; 0: nobody.
 *
 * thread   any */
size_t cw_room_count(struct cw_server *server, const char *room);

/* One member, or one room, as of a moment ago. */
struct cw_room_member {
    uint64_t conn_id;
    struct cw_span presence;
};
struct cw_room_entry {
    const char *name;
    size_t members;
};

/* Members of a room, in the order in which they joined. */
struct cw_room_members {
    size_t count;
    struct cw_room_member *entries;
};

/* Rooms with somebody in them, in no order. */
struct cw_room_list {
    size_t count;
    struct cw_room_entry *entries;
};

/* A copy of who is in a room.
 *
 * returns  yours, count 0 when nobody is in it; NULL when memory ran out
 * thread   any */
struct cw_room_members *cw_room_members_new(struct cw_server *server, const char *room);
void cw_room_members_free(struct cw_room_members *members);

/* A copy of the names of all rooms that start with `prefix` ("" for all).
 *
 * returns  yours; NULL when memory ran out
 * thread   any */
struct cw_room_list *cw_room_list_new(struct cw_server *server, const char *prefix);
void cw_room_list_free(struct cw_room_list *list);

/* What has become of a room's messages. */
struct cw_room_stats {
    uint64_t sent;         /* calls of cw_room_send */
    uint64_t delivered;    /* queued for a member */
    uint64_t dropped_slow; /* by the policy */
    uint64_t dropped_kind; /* the member's protocol could not carry it */
    uint64_t closed_slow;  /* members closed by the policy */
};

/* Figures of a room since somebody came into it.
 *
 * returns  0, or CW_ENOTFOUND: nobody is in it
 * thread   any; the figures of other workers are a moment old */
int cw_room_stats(struct cw_server *server, const char *room, struct cw_room_stats *stats);

#ifdef __cplusplus
}
#endif

#endif

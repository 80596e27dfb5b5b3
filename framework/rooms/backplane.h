/* The seam between rooms and other nodes: what carries messages and presence from one process to the next. Nothing is
 * behind it yet; a server has none, and each call is behind one look whether there is one.
 *
 * Calls come from any thread, several at once, with no lock held; they must not block. Names and messages are borrowed
 * for the call. What comes from other nodes goes to cw_room_deliver, which does not publish it again. */
#ifndef CW_BACKPLANE_H
#define CW_BACKPLANE_H

#include <causeway/room.h>

struct cw_backplane;

/* One message of the past. */
typedef void (*cw_backplane_message_fn)(const struct cw_message *msg, void *user);

/* A constant table. Functions that fail return an enum cw_error. */
struct cw_backplane_ops {
    const char *name;

    /* Somebody has come into a room of this node that nobody was in: its messages are wanted; or the last one has
     * left. Two threads may be late: of two calls for one room the one with the higher `turn` counts. */
    int (*subscribe)(struct cw_backplane *self, const char *room, uint64_t turn);
    int (*unsubscribe)(struct cw_backplane *self, const char *room, uint64_t turn);

    /* To the members on other nodes. The room's own members have it already, whatever is returned. */
    int (*publish)(struct cw_backplane *self, const char *room, const struct cw_message *msg);

    /* Calls fn for up to `count` last messages of a room, oldest first. */
    int (*history)(struct cw_backplane *self, const char *room, size_t count,
                   cw_backplane_message_fn fn, void *user);

    /* A member of this node shows another value; NULL: it has left. */
    int (*presence)(struct cw_backplane *self, const char *room, uint64_t conn_id,
                    const struct cw_span *presence);

    /* 0: other nodes are reached; otherwise why not. */
    int (*status)(struct cw_backplane *self);

    /* The server goes. */
    void (*release)(struct cw_backplane *self);
};

/* First member of every backplane. */
struct cw_backplane {
    const struct cw_backplane_ops *ops;
};

/* To the members on this node. As cw_room_send.
 *
 * thread: any */
int cw_room_deliver(struct cw_server *server, const char *room, const struct cw_message *msg,
                    const struct cw_room_send_options *options);

#endif

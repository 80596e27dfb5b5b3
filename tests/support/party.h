#ifndef CAUSEWAY_TESTS_PARTY_H
#define CAUSEWAY_TESTS_PARTY_H

/* A server with connections that meet in rooms. What does not happen, or happens otherwise, ends the test. */

#include "support/host.h"
#include "support/peer.h"
#include "support/story.h"

#include <causeway/room.h>

enum { RIG_ANY_WORKER = -1, RIG_STRANGERS_MAX = 64 };

struct rig_party {
    struct rig_story story; /* first: a test's hooks get it as their `user` */
    struct rig_host *host;
    struct cw_server *server;
    struct rig_peer strangers[RIG_STRANGERS_MAX]; /* that came to another worker than wanted */
    size_t stranger_count;
};

struct rig_member {
    struct rig_peer peer;
    uint64_t id;
};

/* Starts the server; `hooks` NULL: the story's. */
void rig_party_begin(struct rig_party *party, struct cw_server *server,
                     const struct cw_hooks *hooks);

/* The same with a framed server on 127.0.0.1. */
void rig_party_begin_framed(struct rig_party *party, const struct cw_server_options *options);
void rig_party_end(struct rig_party *party);

/* Connects to the n-th listener, again and again until it is on that worker. */
struct rig_member rig_party_enter(struct rig_party *party, unsigned listener, int worker);

/* A peer of one's own that has just connected, `before` having been opened when it had not. */
struct rig_member rig_party_meet(struct rig_party *party, struct rig_peer peer, unsigned before);

/* The calls of causeway/room.h on the connection's own loop; they return what those returned. */
int rig_party_join(struct rig_party *party, uint64_t id, const char *room);
int rig_party_join_as(struct rig_party *party, uint64_t id, const char *room, const char *presence);
int rig_party_leave(struct rig_party *party, uint64_t id, const char *room);

/* Enters by the first listener and joins. */
struct rig_member rig_party_enter_room(struct rig_party *party, const char *room, int worker);

/* Sends from the test's own thread. */
int rig_party_send(struct rig_party *party, const char *room, const char *text);

/* The next frame is this text. */
void rig_member_expect(struct rig_member *member, const char *text);

struct cw_room_stats rig_party_stats(struct rig_party *party, const char *room);

/* The figures of the room become these. */
void rig_party_expect_stats(struct rig_party *party, const char *room, struct cw_room_stats wanted);

#endif

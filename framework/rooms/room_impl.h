/* Rooms as the core needs them. */
#ifndef CW_ROOM_IMPL_H
#define CW_ROOM_IMPL_H

#include <causeway/room.h>

struct cw_room_registry;
struct cw_room_set;

/* ---- the server's registry: who is in which room; one lock ---- */

struct cw_room_registry *cw_room_registry_new(void);
void cw_room_registry_free(struct cw_room_registry *registry);

/* ---- a loop's share: its members of each room; no lock ---- */

/* 0 or CW_ENOMEM. */
int cw_rooms_loop_init(struct cw_loop *loop);
void cw_rooms_loop_free(struct cw_loop *loop);

/* A connection ends: out of all its rooms. */
void cw_room_leave_all(struct cw_conn *conn);

/* A connection has switched: what is encoded for it has changed. */
void cw_room_rekey(struct cw_conn *conn);

#endif

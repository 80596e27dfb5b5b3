/* A loop's own members of each room, and the bytes they share. No lock. */
#include "conn_impl.h"
#include "rooms/backplane.h"
#include "rooms/room_impl.h"
#include "server_impl.h"

#include <causeway/log.h>

#include <assert.h>

enum { PLACES_FIRST = 4 };

/* ---- made and freed ---- */

/* The largest message that some service can queue; members have limits of their own. */
static uint64_t message_max(const struct cw_server *server)
{
    uint64_t max = server->options.out_max_bytes;

    for (struct cw_listen_entry *entry = server->listens; entry; entry = entry->next) {
        uint64_t own = entry->origin ? entry->origin->limits.out_max : 0;
        max = own > max ? own : max;
    }
    return max;
}

int cw_rooms_loop_init(struct cw_loop *loop)
{
    struct cw_room_set *set = cw_alloc_zero(sizeof *set);

    if (!set) {
        return CW_ENOMEM;
    }
    if (cw_names_init(&set->rooms) < 0) {
        cw_release(set);
        return CW_ENOMEM;
    }
    loop->rooms = set;
    atomic_store(&loop->server->rooms->message_max, message_max(loop->server));
    return CW_OK;
}

void cw_rooms_loop_free(struct cw_loop *loop)
{
    if (loop->rooms) {
        assert(loop->rooms->rooms.count == 0);
        assert(!loop->rooms->wires);
        cw_names_release(&loop->rooms->rooms);
        cw_release(loop->rooms);
        loop->rooms = NULL;
    }
}

/* ---- wires ---- */

static bool is_open(const struct cw_conn *conn)
{
    const uint32_t both = CW_OPENED | CW_PROTOCOL_OPEN;

    return (conn->flags & both) == both;
}

/* 0: each message has to be written for this connection alone. */
static uint64_t key_of(struct cw_conn *conn)
{
    const struct cw_protocol *protocol = conn->service->protocol;

    if (!is_open(conn) || !protocol->encode) {
        return 0;
    }
    return protocol->wire_key ? protocol->wire_key(conn, cw_conn_state_of(conn)) : 1;
}

static struct cw_wire *wire_new(struct cw_room_set *set, const struct cw_conn *conn, uint64_t key)
{
    struct cw_wire *wire = cw_alloc_zero(sizeof *wire);

    if (wire) {
        wire->protocol = conn->service->protocol;
        wire->service = cw_service_hold(conn->service);
        wire->role = conn->origin->role;
        wire->key = key;
        wire->next = set->wires;
        set->wires = wire;
    }
    return wire;
}

/* NULL also when memory ran out: the slow way works all the same. */
static struct cw_wire *wire_take(struct cw_room_set *set, struct cw_conn *conn)
{
    uint64_t key = key_of(conn);
    struct cw_wire *wire = key ? set->wires : NULL;

    while (wire && (wire->key != key || wire->protocol != conn->service->protocol ||
                    wire->role != conn->origin->role)) {
        wire = wire->next;
    }
    if (!wire && key) {
        wire = wire_new(set, conn, key);
    }
    if (wire) {
        wire->members++;
    }
    return wire;
}

static void wire_give(struct cw_room_set *set, struct cw_wire *wire)
{
    struct cw_wire **link = &set->wires;

    if (!wire || --wire->members > 0) {
        return;
    }
    while (*link != wire) {
        link = &(*link)->next;
    }
    *link = wire->next;
    cw_service_drop(wire->service);
    cw_release(wire);
}

void cw_room_rekey(struct cw_conn *conn)
{
    struct cw_room_member_link *link = conn->extra ? conn->extra->rooms : NULL;

    for (; link; link = link->next) {
        struct cw_place *place = &link->local->places[link->place];
        struct cw_wire *old = place->wire;

        place->wire = wire_take(conn->loop->rooms, conn);
        wire_give(conn->loop->rooms, old);
    }
}

/* ---- places ---- */

struct cw_local_room *cw_room_local(const struct cw_loop *loop, const struct cw_name *name)
{
    return (struct cw_local_room *)(void *)cw_names_find(&loop->rooms->rooms, name);
}

static bool reserve_place(struct cw_local_room *local)
{
    size_t cap = local->cap ? local->cap * 2 : PLACES_FIRST;
    struct cw_place *places;

    if (local->count < local->cap) {
        return true;
    }
    places = cw_resize(local->places, cap * sizeof *places);
    if (!places) {
        return false;
    }
    local->places = places;
    local->cap = cap;
    return true;
}

static void local_free(struct cw_local_room *local)
{
    if (local) {
        cw_release(local->places);
        cw_release(local);
    }
}

static void attach(struct cw_conn *conn, struct cw_local_room *local,
                   struct cw_room_member_link *link)
{
    struct cw_conn_extra *extra = conn->extra;

    link->local = local;
    link->place = local->count;
    local->places[local->count++] =
        (struct cw_place){.conn = conn, .wire = wire_take(conn->loop->rooms, conn), .link = link};
    link->next = extra->rooms;
    if (link->next) {
        link->next->prev = link;
    }
    extra->rooms = link;
    extra->room_count++;
}

/* The last place moves to where this one was: O(1), and a send does not care about the order of members. */
static void detach(struct cw_conn *conn, struct cw_room_member_link *link)
{
    struct cw_room_set *set = conn->loop->rooms;
    struct cw_local_room *local = link->local;
    struct cw_place *place = &local->places[link->place];

    wire_give(set, place->wire);
    *place = local->places[--local->count];
    place->link->place = link->place;
    link->last_here = local->count == 0;
    if (link->last_here) {
        cw_names_remove(&set->rooms, &local->named);
        local_free(local);
    }
}

static void unlink_from_conn(struct cw_conn_extra *extra, struct cw_room_member_link *link)
{
    if (link->prev) {
        link->prev->next = link->next;
    } else {
        extra->rooms = link->next;
    }
    if (link->next) {
        link->next->prev = link->prev;
    }
    link->next = NULL;
    extra->room_count--;
}

/* Along the shorter way: a connection is in few rooms, or the room is small. */
static struct cw_room_member_link *find_link(const struct cw_conn *conn,
                                             const struct cw_local_room *local)
{
    const struct cw_conn_extra *extra = conn->extra;

    if (!extra || !local) {
        return NULL;
    }
    if (local->count < extra->room_count) {
        for (size_t i = 0; i < local->count; i++) {
            if (local->places[i].conn == conn) {
                return local->places[i].link;
            }
        }
        return NULL;
    }
    for (struct cw_room_member_link *link = extra->rooms; link; link = link->next) {
        if (link->local == local) {
            return link;
        }
    }
    return NULL;
}

/* ---- join and leave ---- */

static void tell_presence(struct cw_server *server, const char *room, uint64_t conn_id,
                          const struct cw_span *presence)
{
    struct cw_backplane *backplane = server->rooms->backplane;

    if (backplane) {
        backplane->ops->presence(backplane, room, conn_id, presence);
    }
}

static struct cw_room_member_link *link_new(const struct cw_conn *conn,
                                            const struct cw_span *presence)
{
    struct cw_room_member_link *link = cw_alloc_zero(sizeof *link);

    if (!link) {
        return NULL;
    }
    link->conn_id = cw_conn_id(conn);
    link->worker = conn->loop->worker;
    if (presence && presence->len > 0) {
        link->presence = cw_alloc(presence->len);
        if (!link->presence) {
            cw_release(link);
            return NULL;
        }
        memcpy(link->presence, presence->data, presence->len);
        link->presence_len = presence->len;
    }
    return link;
}

/* What can fail comes first; the registry's answer decides. */
static int enter(struct cw_conn *conn, const struct cw_name *name, struct cw_local_room *found,
                 const struct cw_span *presence)
{
    struct cw_room_member_link *link = link_new(conn, presence);
    struct cw_local_room *local = found ? found : cw_alloc_zero(sizeof *local);
    int error = CW_ENOMEM;

    if (link && local && reserve_place(local)) {
        error = cw_room_registry_join(conn->loop->server, name, link);
    }
    if (error < 0) {
        if (link) {
            cw_release(link->presence);
            cw_release(link);
        }
        local_free(found ? NULL : local);
        return error;
    }
    if (!found) {
        local->room = link->room;
        local->named.name = link->room->named.name;
        cw_names_add(&conn->loop->rooms->rooms, &local->named);
    }
    attach(conn, local, link);
    return CW_OK;
}

/* presence NULL: of a member it stays as it is. */
static int join(struct cw_conn *conn, const char *room, const struct cw_span *presence)
{
    struct cw_server *server = conn->loop->server;
    struct cw_local_room *local;
    struct cw_room_member_link *link;
    struct cw_name name;
    int error;

    cw_loop_assert_thread(conn->loop);
    if (!server) {
        return CW_ESTATE;
    }
    if (cw_room_name(server, room, &name) < 0) {
        return CW_EINVAL;
    }
    if (presence && presence->len > server->options.room_presence_max_bytes) {
        return CW_ETOOBIG;
    }
    if (conn->flags & (CW_CLOSING | CW_ENDING | CW_TOLD)) {
        return CW_ECLOSED;
    }
    local = cw_room_local(conn->loop, &name);
    link = find_link(conn, local);
    if (link) {
        error = presence ? cw_room_registry_present(server, link, *presence) : CW_OK;
    } else if (!cw_conn_extra(conn)) {
        error = CW_ENOMEM;
    } else if (conn->extra->room_count >= server->options.rooms_per_conn_max) {
        error = CW_EFULL;
    } else {
        error = enter(conn, &name, local, presence);
    }
    if (error == CW_OK && (presence || !link)) {
        tell_presence(server, room, cw_conn_id(conn), presence ? presence : &(struct cw_span){0});
    }
    return error;
}

int cw_room_join(struct cw_conn *conn, const char *room)
{
    return join(conn, room, NULL);
}

int cw_room_join_as(struct cw_conn *conn, const char *room, struct cw_span presence)
{
    return join(conn, room, &presence);
}

int cw_room_leave(struct cw_conn *conn, const char *room)
{
    struct cw_server *server = conn->loop->server;
    struct cw_room_member_link *link;
    struct cw_name name;

    cw_loop_assert_thread(conn->loop);
    if (!server || cw_room_name(server, room, &name) < 0) {
        return CW_ENOTFOUND;
    }
    link = find_link(conn, cw_room_local(conn->loop, &name));
    if (!link) {
        return CW_ENOTFOUND;
    }
    tell_presence(server, room, link->conn_id, NULL);
    unlink_from_conn(conn->extra, link);
    detach(conn, link);
    cw_room_registry_leave(server, link);
    return CW_OK;
}

void cw_room_leave_all(struct cw_conn *conn)
{
    struct cw_room_member_link *links = conn->extra ? conn->extra->rooms : NULL;

    if (!links) {
        return;
    }
    conn->extra->rooms = NULL;
    conn->extra->room_count = 0;
    for (struct cw_room_member_link *link = links; link; link = link->next) {
        tell_presence(conn->loop->server, link->room->text, link->conn_id, NULL);
        detach(conn, link);
    }
    cw_room_registry_leave(conn->loop->server, links);
}

/* Who is in which room, and by which rules: one lock for all of it. */
#include "rooms/backplane.h"
#include "rooms/room_impl.h"
#include "server_impl.h"

#include <causeway/log.h>

#include <assert.h>

/* The rules of one room. */
struct rules {
    struct cw_named named; /* first */
    struct cw_room_options options;
    char text[];
};

static struct cw_room *room_of(struct cw_named *named)
{
    return (struct cw_room *)(void *)named;
}

static struct rules *rules_of(struct cw_named *named)
{
    return (struct rules *)(void *)named;
}

/* ---- made and freed ---- */

struct cw_room_registry *cw_room_registry_new(void)
{
    struct cw_room_registry *registry = cw_alloc_zero(sizeof *registry);

    if (!registry) {
        return NULL;
    }
    if (cw_hash_seed(&registry->seed) < 0 || cw_names_init(&registry->rooms) < 0 ||
        cw_names_init(&registry->rules) < 0) {
        cw_names_release(&registry->rooms);
        cw_release(registry);
        return NULL;
    }
    atomic_init(&registry->joins_under_way, 0);
    atomic_init(&registry->message_max, 0);
    pthread_mutex_init(&registry->lock, NULL);
    return registry;
}

void cw_room_registry_free(struct cw_room_registry *registry)
{
    struct cw_named *named;

    if (!registry) {
        return;
    }
    assert(registry->rooms.count == 0);
    while ((named = cw_names_next(&registry->rules, NULL)) != NULL) {
        cw_names_remove(&registry->rules, named);
        cw_release(named);
    }
    if (registry->backplane && registry->backplane->ops->release) {
        registry->backplane->ops->release(registry->backplane);
    }
    cw_names_release(&registry->rules);
    cw_names_release(&registry->rooms);
    pthread_mutex_destroy(&registry->lock);
    cw_release(registry);
}

int cw_room_name(const struct cw_server *server, const char *room, struct cw_name *name)
{
    size_t max = (size_t)server->options.room_name_max_bytes;
    size_t len = room ? strnlen(room, max + 1) : 0;

    if (len == 0 || len > max) {
        return CW_EINVAL;
    }
    *name = (struct cw_name){.text = room, .len = len};
    name->hash = cw_hash(&server->rooms->seed, cw_span_of(room, len));
    return CW_OK;
}

/* ---- rules ---- */

static const struct cw_room_options *options_for(const struct cw_room_registry *registry,
                                                 const struct cw_name *name)
{
    struct cw_named *own = cw_names_find(&registry->rules, name);

    return own ? &rules_of(own)->options : &registry->standard;
}

static void set_rules(const struct cw_server *server, struct cw_room *room)
{
    const struct cw_room_options *options = options_for(server->rooms, &room->named.name);

    atomic_store_explicit(&room->slow, (int)options->slow, memory_order_relaxed);
    atomic_store_explicit(&room->queue_max, options->queue_max_bytes, memory_order_relaxed);
    room->members_max =
        options->members_max ? options->members_max : server->options.room_members_max;
}

static int check_options(const struct cw_room_options *options)
{
    if (options && ((unsigned)options->slow > CW_SLOW_CLOSE || options->queue_max_bytes == CW_OFF ||
                    options->members_max == CW_OFF)) {
        return CW_EINVAL;
    }
    return CW_OK;
}

static struct rules *rules_new(const struct cw_name *name, const struct cw_room_options *options)
{
    struct rules *rules = cw_alloc(sizeof *rules + name->len);

    if (rules) {
        memcpy(rules->text, name->text, name->len);
        rules->named.name = (struct cw_name){rules->text, name->len, name->hash};
        rules->options = *options;
    }
    return rules;
}

/* Of a single room; options NULL: takes its rules back. */
static int configure_one(struct cw_server *server, const struct cw_name *name,
                         const struct cw_room_options *options)
{
    struct cw_room_registry *registry = server->rooms;
    struct cw_named *old = cw_names_find(&registry->rules, name);
    struct cw_named *room = cw_names_find(&registry->rooms, name);
    struct rules *rules = NULL;

    if (options && !old && registry->rules.count >= server->options.rooms_max) {
        return CW_EFULL;
    }
    if (options) {
        rules = rules_new(name, options);
        if (!rules) {
            return CW_ENOMEM;
        }
    }
    if (old) {
        cw_names_remove(&registry->rules, old);
        cw_release(old);
    }
    if (rules) {
        cw_names_add(&registry->rules, &rules->named);
    }
    if (room) {
        set_rules(server, room_of(room));
    }
    return CW_OK;
}

static void configure_standard(struct cw_server *server, const struct cw_room_options *options)
{
    struct cw_room_registry *registry = server->rooms;
    struct cw_named *at = NULL;

    registry->standard = options ? *options : (struct cw_room_options){.slow = CW_SLOW_DROP_NEWEST};
    while ((at = cw_names_next(&registry->rooms, at)) != NULL) {
        set_rules(server, room_of(at));
    }
}

static int configure(struct cw_server *server, const char *room,
                     const struct cw_room_options *options)
{
    struct cw_name name;
    int error = check_options(options);

    if (error == CW_OK && room) {
        error = cw_room_name(server, room, &name);
    }
    if (error < 0) {
        return error;
    }
    pthread_mutex_lock(&server->rooms->lock);
    if (room) {
        error = configure_one(server, &name, options);
    } else {
        configure_standard(server, options);
    }
    pthread_mutex_unlock(&server->rooms->lock);
    return error;
}

int cw_room_configure(struct cw_server *server, const char *room,
                      const struct cw_room_options *options)
{
    int error = server ? configure(server, room, options) : CW_ENOMEM;

    if (server && error < 0 && atomic_load(&server->phase) == CW_SERVER_NEW) {
        return cw_server_fail(server, error, "room_configure: %s", cw_strerror(error));
    }
    return error;
}

/* ---- members ---- */

static struct cw_room *room_new(const struct cw_server *server, const struct cw_name *name)
{
    struct cw_room *room = cw_alloc_zero(sizeof *room + name->len + 1);

    if (room) {
        memcpy(room->text, name->text, name->len);
        room->named.name = (struct cw_name){room->text, name->len, name->hash};
        set_rules(server, room);
    }
    return room;
}

static int find_or_make(struct cw_server *server, const struct cw_name *name, struct cw_room **room)
{
    struct cw_names *rooms = &server->rooms->rooms;
    struct cw_named *found = cw_names_find(rooms, name);

    if (found) {
        *room = room_of(found);
        return (*room)->count < (*room)->members_max ? CW_OK : CW_EFULL;
    }
    if (rooms->count >= server->options.rooms_max) {
        return CW_EFULL;
    }
    *room = room_new(server, name);
    if (!*room) {
        return CW_ENOMEM;
    }
    cw_names_add(rooms, &(*room)->named);
    return CW_OK;
}

static void append(struct cw_room *room, struct cw_room_member_link *link)
{
    link->older = room->newest;
    if (room->newest) {
        room->newest->newer = link;
    } else {
        room->oldest = link;
    }
    room->newest = link;
    room->count++;
    link->room = room;
    atomic_fetch_or(&room->workers[link->worker / 64], UINT64_C(1) << link->worker % 64);
}

static void take_out(struct cw_room_member_link *link)
{
    struct cw_room *room = link->room;

    if (link->older) {
        link->older->newer = link->newer;
    } else {
        room->oldest = link->newer;
    }
    if (link->newer) {
        link->newer->older = link->older;
    } else {
        room->newest = link->older;
    }
    room->count--;
    if (link->last_here) {
        atomic_fetch_and(&room->workers[link->worker / 64], ~(UINT64_C(1) << link->worker % 64));
    }
}

int cw_room_registry_join(struct cw_server *server, const struct cw_name *name,
                          struct cw_room_member_link *link)
{
    struct cw_room_registry *registry = server->rooms;
    struct cw_backplane *backplane = registry->backplane;
    struct cw_room *room;
    bool first = false;
    uint64_t turn = 0;
    int error;

    pthread_mutex_lock(&registry->lock);
    error = find_or_make(server, name, &room);
    if (error == CW_OK) {
        append(room, link);
        first = room->count == 1;
        turn = ++registry->turn;
    }
    pthread_mutex_unlock(&registry->lock);
    if (first && backplane) {
        backplane->ops->subscribe(backplane, name->text, turn);
    }
    return error;
}

int cw_room_registry_present(struct cw_server *server, struct cw_room_member_link *link,
                             struct cw_span presence)
{
    void *made = presence.len > 0 ? cw_alloc(presence.len) : NULL;
    void *old;

    if (presence.len > 0) {
        if (!made) {
            return CW_ENOMEM;
        }
        memcpy(made, presence.data, presence.len);
    }
    pthread_mutex_lock(&server->rooms->lock);
    old = link->presence;
    link->presence = made;
    link->presence_len = presence.len;
    pthread_mutex_unlock(&server->rooms->lock);
    cw_release(old);
    return CW_OK;
}

/* The empty ones come back in a chain, for what is better done without the lock. */
static struct cw_named *take_out_all(struct cw_room_registry *registry,
                                     struct cw_room_member_link *links)
{
    struct cw_named *emptied = NULL;

    for (struct cw_room_member_link *link = links; link; link = link->next) {
        struct cw_room *room = link->room;

        take_out(link);
        if (room->count == 0) {
            cw_names_remove(&registry->rooms, &room->named);
            room->named.next = emptied;
            emptied = &room->named;
        }
    }
    return emptied;
}

void cw_room_registry_leave(struct cw_server *server, struct cw_room_member_link *links)
{
    struct cw_room_registry *registry = server->rooms;
    struct cw_backplane *backplane = registry->backplane;
    struct cw_named *emptied;
    uint64_t turn;

    pthread_mutex_lock(&registry->lock);
    emptied = take_out_all(registry, links);
    turn = ++registry->turn;
    pthread_mutex_unlock(&registry->lock);
    while (emptied) {
        struct cw_room *room = room_of(emptied);
        emptied = emptied->next;
        if (backplane) {
            backplane->ops->unsubscribe(backplane, room->text, turn);
        }
        cw_release(room);
    }
    while (links) {
        struct cw_room_member_link *link = links;
        links = link->next;
        cw_release(link->presence);
        cw_release(link);
    }
}

/* ---- questions ---- */

/* The room, with the lock held; NULL, and the lock not held: nobody is in it. */
static struct cw_room *lock_room(struct cw_server *server, const char *text)
{
    struct cw_name name;
    struct cw_named *named;

    if (!server || cw_room_name(server, text, &name) < 0) {
        return NULL;
    }
    pthread_mutex_lock(&server->rooms->lock);
    named = cw_names_find(&server->rooms->rooms, &name);
    if (!named) {
        pthread_mutex_unlock(&server->rooms->lock);
    }
    return named ? room_of(named) : NULL;
}

static void unlock(struct cw_server *server)
{
    pthread_mutex_unlock(&server->rooms->lock);
}

size_t cw_room_count(struct cw_server *server, const char *room)
{
    struct cw_room *found = lock_room(server, room);
    size_t count = 0;

    if (found) {
        count = found->count;
        unlock(server);
    }
    return count;
}

static uint64_t counted(const atomic_uint_least64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

int cw_room_stats(struct cw_server *server, const char *room, struct cw_room_stats *stats)
{
    struct cw_room *found = lock_room(server, room);

    *stats = (struct cw_room_stats){0};
    if (!found) {
        return CW_ENOTFOUND;
    }
    stats->sent = counted(&found->sent);
    stats->delivered = counted(&found->delivered);
    stats->dropped_slow = counted(&found->dropped_slow);
    stats->dropped_kind = counted(&found->dropped_kind);
    stats->closed_slow = counted(&found->closed_slow);
    unlock(server);
    return CW_OK;
}

/* One piece of memory: the struct, the entries, the values. */
static struct cw_room_members *members_new(size_t count, size_t bytes)
{
    struct cw_room_members *members =
        cw_alloc(sizeof *members + count * sizeof(struct cw_room_member) + bytes);

    if (members) {
        members->count = count;
        members->entries = (struct cw_room_member *)(void *)(members + 1);
    }
    return members;
}

static struct cw_room_members *copy_members(const struct cw_room *room)
{
    struct cw_room_members *members;
    struct cw_room_member *entry;
    uint8_t *to;
    size_t bytes = 0;

    for (struct cw_room_member_link *link = room->oldest; link; link = link->newer) {
        bytes += link->presence_len;
    }
    members = members_new(room->count, bytes);
    if (!members) {
        return NULL;
    }
    entry = members->entries;
    to = (uint8_t *)(entry + room->count);
    for (struct cw_room_member_link *link = room->oldest; link; link = link->newer) {
        *entry++ = (struct cw_room_member){link->conn_id, {to, link->presence_len}};
        if (link->presence_len > 0) {
            memcpy(to, link->presence, link->presence_len);
            to += link->presence_len;
        }
    }
    return members;
}

struct cw_room_members *cw_room_members_new(struct cw_server *server, const char *room)
{
    struct cw_room *found = lock_room(server, room);
    struct cw_room_members *members;

    if (!found) {
        return members_new(0, 0);
    }
    members = copy_members(found);
    unlock(server);
    return members;
}

void cw_room_members_free(struct cw_room_members *members)
{
    cw_release(members);
}

static bool starts_with(const struct cw_name *name, struct cw_span prefix)
{
    return name->len >= prefix.len && memcmp(name->text, prefix.data, prefix.len) == 0;
}

static struct cw_room_list *list_new(size_t count, size_t bytes)
{
    struct cw_room_list *list =
        cw_alloc(sizeof *list + count * sizeof(struct cw_room_entry) + bytes);

    if (list) {
        list->count = count;
        list->entries = (struct cw_room_entry *)(void *)(list + 1);
    }
    return list;
}

static struct cw_room_list *copy_list(const struct cw_names *rooms, struct cw_span prefix)
{
    struct cw_room_list *list;
    struct cw_room_entry *entry;
    char *to;
    size_t count = 0;
    size_t bytes = 0;

    for (struct cw_named *at = NULL; (at = cw_names_next(rooms, at)) != NULL;) {
        bool fits = starts_with(&at->name, prefix);
        count += fits;
        bytes += fits ? at->name.len + 1 : 0;
    }
    list = list_new(count, bytes);
    if (!list) {
        return NULL;
    }
    entry = list->entries;
    to = (char *)(entry + count);
    for (struct cw_named *at = NULL; (at = cw_names_next(rooms, at)) != NULL;) {
        if (starts_with(&at->name, prefix)) {
            memcpy(to, room_of(at)->text, at->name.len + 1);
            *entry++ = (struct cw_room_entry){to, room_of(at)->count};
            to += at->name.len + 1;
        }
    }
    return list;
}

struct cw_room_list *cw_room_list_new(struct cw_server *server, const char *prefix)
{
    struct cw_room_list *list;

    if (!server) {
        return NULL;
    }
    pthread_mutex_lock(&server->rooms->lock);
    list = copy_list(&server->rooms->rooms, cw_span_text(prefix ? prefix : ""));
    pthread_mutex_unlock(&server->rooms->lock);
    return list;
}

void cw_room_list_free(struct cw_room_list *list)
{
    cw_release(list);
}

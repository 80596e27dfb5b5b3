/* What all WebSockets of a loop share: unused memory, masks, the clock's stamps. */
#include "ws_impl.h"

#include <causeway/log.h>
#include <time.h>

enum {
    UNUSED_KEPT = 256,
    ROOM_LEAST = 4096,
    GROWTH = 4, /* from class to class */
};

static const size_t rooms_kept[CW_WS_ROOM_CLASSES] = {64, 64, 32, 8};

static void release(struct cw_loop *loop, void *memory)
{
    struct cw_ws_shared *shared = memory;

    while (shared->unused) {
        struct cw_ws_more *more = shared->unused;

        shared->unused = more->next;
        cw_release(more);
    }
    for (size_t i = 0; i < CW_WS_ROOM_CLASSES; i++) {
        while (shared->rooms[i]) {
            struct cw_ws_room *room = shared->rooms[i];

            shared->rooms[i] = room->next;
            cw_release(room);
        }
    }
    cw_release(shared->scratch);
    cw_release(shared->inflated);
}

static const struct cw_loop_part part = {.size = sizeof(struct cw_ws_shared), .release = release};

struct cw_ws_shared *cw_ws_shared(struct cw_loop *loop)
{
    struct cw_ws_shared *shared = cw_loop_part(loop, &part);

    if (shared && !shared->made) {
        struct cw_hash_seed shift;

        if (cw_hash_seed(&shared->seed) < 0 || cw_hash_seed(&shift) < 0) {
            return NULL;
        }
        shared->shift = shift.words[0];
        shared->made = true;
    }
    return shared;
}

uint64_t cw_ws_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* Nobody who sees masks can tell the next one (RFC 6455 §5.3). */
uint32_t cw_ws_new_mask(struct cw_ws_shared *shared)
{
    uint64_t number = shared->masks++;

    return (uint32_t)cw_hash(&shared->seed, cw_span_of(&number, sizeof number));
}

/* ---- what few connections need ---- */

struct cw_ws_more *cw_ws_more(struct cw_conn *conn, struct cw_ws_conn *ws)
{
    struct cw_ws_shared *shared;
    struct cw_ws_more *more;

    if (ws->more) {
        return ws->more;
    }
    shared = cw_ws_shared(cw_conn_loop(conn));
    if (!shared) {
        return NULL;
    }
    more = shared->unused;
    if (more) {
        shared->unused = more->next;
        shared->unused_count--;
        more->next = NULL;
    } else {
        more = cw_alloc_zero(sizeof *more);
    }
    ws->more = more;
    return more;
}

static bool is_needed(const struct cw_ws_more *more)
{
    return more->opcode != 0 || more->cap != 0 || more->inflater || more->deflater || more->dial ||
           more->subprotocol || more->ping || more->sent.left != 0;
}

void cw_ws_less(struct cw_conn *conn, struct cw_ws_conn *ws)
{
    struct cw_ws_more *more = ws->more;
    struct cw_ws_shared *shared;

    if (!more || is_needed(more)) {
        return;
    }
    ws->more = NULL;
    shared = cw_ws_shared(cw_conn_loop(conn));
    if (!shared || shared->unused_count >= UNUSED_KEPT) {
        cw_release(more);
        return;
    }
    memset(more, 0, sizeof *more);
    more->next = shared->unused;
    shared->unused = more;
    shared->unused_count++;
}

/* ---- rooms for messages that come in pieces ---- */

/* CW_WS_ROOM_CLASSES: larger than any of them. */
static size_t class_of(size_t need)
{
    size_t size = ROOM_LEAST;
    size_t class = 0;

    while (class < CW_WS_ROOM_CLASSES && size < need) {
        size *= GROWTH;
        class ++;
    }
    return class;
}

static size_t size_of_class(size_t class)
{
    return (size_t)ROOM_LEAST << (2 * class);
}

static uint8_t *take_room(struct cw_ws_shared *shared, size_t *cap)
{
    size_t class = class_of(*cap);

    if (class < CW_WS_ROOM_CLASSES) {
        struct cw_ws_room *room = shared->rooms[class];

        *cap = size_of_class(class);
        if (room) {
            shared->rooms[class] = room->next;
            shared->room_count[class]--;
            return (uint8_t *)room;
        }
    }
    return cw_alloc(*cap + 16); /* the parser of text may read behind the end */
}

static void give_room(struct cw_ws_shared *shared, uint8_t *bytes, size_t cap)
{
    size_t class = class_of(cap);

    if (class < CW_WS_ROOM_CLASSES && shared->room_count[class] < rooms_kept[class]) {
        struct cw_ws_room *room = (struct cw_ws_room *)(void *)bytes;

        room->next = shared->rooms[class];
        shared->rooms[class] = room;
        shared->room_count[class]++;
    } else {
        cw_release(bytes);
    }
}

void cw_ws_forget_bytes(struct cw_conn *conn, struct cw_ws_more *more)
{
    struct cw_ws_shared *shared = cw_ws_shared(cw_conn_loop(conn));

    if (more->cap != 0 && shared) {
        shared->held -= more->cap;
        give_room(shared, more->bytes, more->cap);
    }
    more->bytes = NULL;
    more->len = 0;
    more->cap = 0;
}

int cw_ws_reserve(struct cw_conn *conn, struct cw_ws_more *more, size_t need)
{
    const struct cw_websocket_options *options = cw_conn_options(conn);
    struct cw_ws_shared *shared = cw_ws_shared(cw_conn_loop(conn));
    size_t cap = need < 2 * more->cap ? 2 * more->cap : need;
    uint8_t *bytes;

    if (need <= more->cap) {
        return CW_OK;
    }
    if (!shared) {
        return CW_ENOMEM;
    }
    bytes = take_room(shared, &cap);
    if (!bytes) {
        return CW_ENOMEM;
    }
    if (cap - more->cap > options->messages_max_bytes ||
        shared->held > options->messages_max_bytes - (cap - more->cap)) {
        give_room(shared, bytes, cap);
        return CW_EFULL;
    }
    if (more->cap != 0) {
        memcpy(bytes, more->bytes, more->len);
        give_room(shared, more->bytes, more->cap);
    }
    shared->held += cap - more->cap;
    more->bytes = bytes;
    more->cap = cap;
    return CW_OK;
}

/* One alone always has its place, however little is allowed. */
int cw_ws_hold_context(struct cw_conn *conn, struct cw_ws_more *more)
{
    const struct cw_websocket_options *options = cw_conn_options(conn);
    struct cw_ws_shared *shared = cw_ws_shared(cw_conn_loop(conn));

    if (more->holds_context) {
        return CW_OK;
    }
    if (!shared) {
        return CW_ENOMEM;
    }
    if (shared->held > 0 && (options->messages_max_bytes < CW_WS_CONTEXT_BYTES ||
                             shared->held > options->messages_max_bytes - CW_WS_CONTEXT_BYTES)) {
        return CW_EFULL;
    }
    shared->held += CW_WS_CONTEXT_BYTES;
    more->holds_context = true;
    return CW_OK;
}

void cw_ws_drop_context(struct cw_conn *conn, struct cw_ws_more *more)
{
    struct cw_ws_shared *shared = cw_ws_shared(cw_conn_loop(conn));

    if (more->holds_context && shared) {
        shared->held -= CW_WS_CONTEXT_BYTES;
    }
    more->holds_context = false;
}

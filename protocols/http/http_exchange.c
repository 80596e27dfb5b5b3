/* One request and its answer: its memory, what hangs from it, its end. */
#include "http_impl.h"

#include <causeway/log.h>

#include <assert.h>
#include <stddef.h>
#include <time.h>

/* ---- what exchanges of a loop share ---- */

struct cw_http_room {
    struct cw_http_room *next;
};

static void release_shared(struct cw_loop *loop, void *memory)
{
    struct cw_http_shared *shared = memory;

    while (shared->unused) {
        struct cw_http_exchange *x = shared->unused;

        shared->unused = x->next;
        cw_release(x);
    }
    while (shared->rooms) {
        struct cw_http_room *room = shared->rooms;

        shared->rooms = room->next;
        cw_release(room);
    }
    cw_http_tails_free(shared);
    cw_release(shared->memos);
    cw_release(shared->file);
}

const struct cw_loop_part cw_http_loop_part = {
    .size = sizeof(struct cw_http_shared),
    .release = release_shared,
};

/* ---- memory ---- */

static void reset_memory(struct cw_http_exchange *x)
{
    while (x->blocks) {
        struct cw_http_block *block = x->blocks;

        x->blocks = block->next;
        cw_release(block);
    }
    x->at = (uint8_t *)x->first;
    x->end = x->at + sizeof x->first;
    x->memory = 0;
}

static bool add_block(struct cw_http_exchange *x, size_t size)
{
    size_t cap = size > 2 * (size_t)CW_HTTP_FIRST_BLOCK ? size : 2 * (size_t)CW_HTTP_FIRST_BLOCK;
    struct cw_http_block *block = cw_alloc(sizeof *block + cap);

    if (!block) {
        return false;
    }
    block->next = x->blocks;
    block->cap = cap;
    x->blocks = block;
    x->at = (uint8_t *)block->bytes;
    x->end = x->at + cap;
    return true;
}

void *cw_http_take(struct cw_http_exchange *x, size_t size)
{
    size_t rounded = (size + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
    void *memory;

    if (rounded < size) {
        return NULL;
    }
    if (rounded > (size_t)(x->end - x->at) && !add_block(x, rounded)) {
        return NULL;
    }
    memory = x->at;
    x->at += rounded;
    return memory;
}

void *cw_http_alloc(struct cw_http_exchange *http, size_t size)
{
    void *memory;

    if (size > CW_HTTP_MEMORY_MAX - http->memory) {
        return NULL;
    }
    memory = cw_http_take(http, size);
    if (memory) {
        http->memory += size;
        memset(memory, 0, size);
    }
    return memory;
}

/* ---- begin ---- */

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The end of one is the begin of the next that came with the same read. */
void cw_http_exchange_time(struct cw_http_exchange *x)
{
    struct cw_http_shared *shared = x->shared;

    if (x->began_ns != 0) {
        return;
    }
    x->began_ns = x->http->in_bytes && shared->now_ns != 0 ? shared->now_ns : now_ns();
    shared->now_ns = x->http->in_bytes ? x->began_ns : 0;
}

static uint64_t took_us(struct cw_http_exchange *x)
{
    uint64_t now;

    if (x->began_ns == 0) {
        return 0;
    }
    now = now_ns();
    x->shared->now_ns = x->http->in_bytes ? now : 0;
    return (now - x->began_ns) / 1000;
}

static struct cw_http_exchange *make(size_t lines)
{
    struct cw_http_exchange *x = cw_alloc(sizeof *x + lines * sizeof x->lines[0]);

    if (x) {
        x->lines_cap = lines;
        x->blocks = NULL;
    }
    return x;
}

static struct cw_http_exchange *unused(struct cw_http_shared *shared, size_t lines)
{
    struct cw_http_exchange *x = shared->unused;

    if (!x) {
        return make(lines);
    }
    shared->unused = x->next;
    shared->unused_count--;
    if (x->lines_cap < lines) {
        cw_release(x);
        return make(lines);
    }
    return x;
}

struct cw_http_exchange *cw_http_exchange_new(struct cw_conn *conn, struct cw_http_conn *http)
{
    const struct cw_http_options *options = cw_conn_options(conn);
    struct cw_http_exchange *x = unused(http->tail->shared, (size_t)options->fields_max);
    const size_t from = offsetof(struct cw_http_exchange, conn);

    if (!x) {
        return NULL;
    }
    memset((uint8_t *)x + from, 0, offsetof(struct cw_http_exchange, head) - from);
    reset_memory(x);
    x->conn = conn;
    x->http = http;
    x->shared = http->tail->shared;
    x->options = options;
    x->number = ++http->number;
    x->serial = ++x->shared->serial;
    x->head.fields = x->lines;
    x->head.fields_cap =
        x->lines_cap < options->fields_max ? x->lines_cap : (size_t)options->fields_max;
    x->body.max = options->body_max_bytes;
    x->body.body_ms = options->body_ms;
    x->response_ms = options->response_ms;
    return x;
}

/* ---- staying beyond the callback that brought it ---- */

static void rebase(struct cw_span *span, const uint8_t *from, size_t len, const uint8_t *to)
{
    uintptr_t at = (uintptr_t)span->data;
    uintptr_t begin = (uintptr_t)from;

    if (span->data && at >= begin && at <= begin + len) {
        span->data = to + (at - begin);
    }
}

uint8_t *cw_http_body_room(struct cw_http_exchange *x, size_t *cap)
{
    struct cw_http_shared *shared = x->shared;
    struct cw_http_room *room = shared->rooms;

    if (*cap > CW_HTTP_ROOM) {
        return cw_alloc(*cap);
    }
    *cap = CW_HTTP_ROOM;
    if (!room) {
        return cw_alloc(CW_HTTP_ROOM);
    }
    shared->rooms = room->next;
    shared->rooms_count--;
    return (uint8_t *)room;
}

static void give_room_back(struct cw_http_exchange *x)
{
    struct cw_http_shared *shared = x->shared;
    void *memory = x->body.bytes;
    struct cw_http_room *room = memory;

    shared->bodies -= x->body.cap;
    if (x->body.cap != CW_HTTP_ROOM || shared->rooms_count == CW_HTTP_ROOMS_KEPT) {
        cw_release(memory);
        return;
    }
    room->next = shared->rooms;
    shared->rooms = room;
    shared->rooms_count++;
}

static bool detach_body(struct cw_http_exchange *x)
{
    size_t cap = x->body.len;
    uint8_t *copy;

    if (!x->body.viewed) {
        return true;
    }
    copy = cw_http_body_room(x, &cap);
    if (!copy) {
        return false;
    }
    x->shared->bodies += cap;
    memcpy(copy, x->body.bytes, x->body.len);
    x->body.bytes = copy;
    x->body.cap = cap;
    x->body.viewed = false;
    return true;
}

/* There is no memory for what the input holds: whoever asks until the end is told of nothing. */
static void forget_views(struct cw_http_exchange *x)
{
    x->head_data = (const uint8_t *)"";
    x->head_len = 0;
    x->head.method_len = 0;
    x->head.target_len = 0;
    x->head.method = 0;
    x->head.target = 0;
    x->head.field_count = 0;
    memset(x->head.first, 0, sizeof x->head.first);
    x->target.query = cw_http_nothing();
    x->target.authority = cw_http_nothing();
    x->host = cw_http_nothing();
    if (x->body.viewed) {
        x->body.viewed = false;
        x->body.bytes = NULL;
        x->body.len = 0;
    }
    x->detached = true;
}

bool cw_http_detach(struct cw_http_exchange *x)
{
    const uint8_t *from = x->head_data;
    uint8_t *copy;

    if (x->detached) {
        return true;
    }
    copy = cw_http_take(x, x->head_len);
    if (!copy || !detach_body(x)) {
        forget_views(x);
        return false;
    }
    memcpy(copy, from, x->head_len);
    x->head_data = copy;
    rebase(&x->target.query, from, x->head_len, copy);
    rebase(&x->target.authority, from, x->head_len, copy);
    rebase(&x->host, from, x->head_len, copy);
    x->detached = true;
    return true;
}

void cw_http_settle_soon(struct cw_http_exchange *x)
{
    if (!x->http->in_bytes) {
        cw_conn_soon(x->conn);
    }
}

/* ---- end ---- */

static void tell_middleware(struct cw_http_exchange *x, const struct cw_http_outcome *outcome)
{
    while (x->entered > 0) {
        uint32_t link = --x->entered;
        struct cw_http_middleware *middleware = x->match.chain->links[link].middleware;

        if (middleware->on_done) {
            middleware->on_done(middleware, x, cw_http_slot(x, link), outcome);
        }
    }
}

static void tell_done(struct cw_http_exchange *x, const struct cw_http_outcome *outcome)
{
    while (x->done) {
        struct cw_http_done_entry *entry = x->done;

        x->done = entry->next;
        entry->fn(x, outcome, entry->user);
    }
}

static void drop_values(struct cw_http_exchange *x)
{
    while (x->values) {
        struct cw_http_value_entry *entry = x->values;

        x->values = entry->next;
        if (entry->drop) {
            entry->drop(entry->value);
        }
    }
}

void cw_http_exchange_free(struct cw_http_exchange *x)
{
    struct cw_http_shared *shared = x->shared;

    if (x->body.cap > 0) {
        give_room_back(x);
    }
    cw_release(x->answer.backlog);
    reset_memory(x);
    if (shared->unused_count < CW_HTTP_EXCHANGES_KEPT) {
        x->next = shared->unused;
        shared->unused = x;
        shared->unused_count++;
    } else {
        cw_release(x);
    }
}

void cw_http_exchange_end(struct cw_http_exchange *x, int code)
{
    struct cw_http_outcome outcome = {
        .code = x->end_code != 0 ? x->end_code : code,
        .status = x->answer.status,
        .bytes_in = x->body.seen,
        .bytes_out = x->answer.sent,
        .took_us = took_us(x),
    };

    assert(!x->over);
    x->over = true;
    x->http->exchange = NULL;
    tell_done(x, &outcome);
    tell_middleware(x, &outcome);
    drop_values(x);
    cw_http_exchange_free(x);
}

/* ---- what hangs from it ---- */

int cw_http_on_done(struct cw_http_exchange *http,
                    void (*fn)(struct cw_http_exchange *http, const struct cw_http_outcome *outcome,
                               void *user),
                    void *user)
{
    struct cw_http_done_entry *entry;

    if (http->over) {
        return CW_ESTATE;
    }
    if (http->done_count >= CW_HTTP_DONE_MAX) {
        return CW_EFULL;
    }
    entry = cw_http_take(http, sizeof *entry);
    if (!entry) {
        return CW_ENOMEM;
    }
    cw_http_exchange_time(http);
    *entry = (struct cw_http_done_entry){http->done, fn, user};
    http->done = entry;
    http->done_count++;
    return CW_OK;
}

static struct cw_http_value_entry *find_value(const struct cw_http_exchange *x, const char *name)
{
    struct cw_http_value_entry *entry = x->values;

    while (entry && strcmp(entry->name, name) != 0) {
        entry = entry->next;
    }
    return entry;
}

int cw_http_set_value(struct cw_http_exchange *http, const char *name, void *value,
                      void (*drop)(void *value))
{
    struct cw_http_value_entry *entry = find_value(http, name);

    if (entry) {
        struct cw_http_value_entry before = *entry;

        entry->value = value;
        entry->drop = drop;
        if (before.drop && before.value != value) {
            before.drop(before.value);
        }
        return CW_OK;
    }
    entry = cw_http_take(http, sizeof *entry);
    if (!entry) {
        if (drop) {
            drop(value);
        }
        return CW_ENOMEM;
    }
    *entry = (struct cw_http_value_entry){http->values, name, value, drop};
    http->values = entry;
    return CW_OK;
}

void *cw_http_value(const struct cw_http_exchange *http, const char *name)
{
    const struct cw_http_value_entry *entry = find_value(http, name);

    return entry ? entry->value : NULL;
}

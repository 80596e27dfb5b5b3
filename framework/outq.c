/* The output queue. */
#include "outq.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <assert.h>
#include <stddef.h>
#include <unistd.h>

enum { CLASS_REF = 0, CLASS_SMALL = 1, CLASS_LARGE = 2 };

/* How many unused pieces a loop keeps. More go back to the allocator. */
static const size_t keep_max[CW_OUT_CLASSES] = {4096, 512, 64};
enum { KEEP_QUEUES_MAX = 4096, PASS_MAX = 64 };

static const size_t header_bytes = offsetof(struct cw_out_node, as);

static size_t class_cap(int size_class)
{
    static const size_t caps[CW_OUT_CLASSES] = {0, CW_OUT_SMALL, CW_OUT_LARGE};

    return caps[size_class] - (size_class == CLASS_REF ? 0 : header_bytes);
}

static struct cw_out_node *node_new(struct cw_outq_pool *pool, int size_class, size_t cap)
{
    struct cw_out_node *node;

    if (size_class < CW_OUT_CLASSES && pool->free[size_class]) {
        node = pool->free[size_class];
        pool->free[size_class] = node->next;
        pool->count[size_class]--;
    } else {
        size_t size = size_class == CLASS_REF ? sizeof *node : header_bytes + cap;
        node = cw_alloc(size < sizeof *node ? sizeof *node : size);
        if (!node) {
            return NULL;
        }
        node->size_class = (uint8_t)size_class;
    }
    node->next = NULL;
    node->begun = false;
    node->start = 0;
    node->len = 0;
    node->cap = (uint32_t)cap;
    return node;
}

static void node_free(struct cw_outq_pool *pool, struct cw_out_node *node)
{
    int size_class = node->size_class;

    if (size_class < CW_OUT_CLASSES && pool->count[size_class] < keep_max[size_class]) {
        node->next = pool->free[size_class];
        pool->free[size_class] = node;
        pool->count[size_class]++;
    } else {
        cw_release(node);
    }
}

/* Lets go of what the node refers to, then of the node. */
static void node_end(struct cw_outq_pool *pool, struct cw_out_node *node, int code)
{
    if (node->kind == CW_OUT_PAYLOAD) {
        cw_payload_drop(node->as.shared.payload);
    } else if (node->kind == CW_OUT_FILE) {
        close(node->as.file.fd);
        if (node->as.file.done) {
            node->as.file.done(code, node->as.file.user);
        }
    } else if (node->kind == CW_OUT_SOURCE && node->as.source.done) {
        node->as.source.done(code, node->as.source.user);
    }
    node_free(pool, node);
}

static void append(struct cw_outq *queue, struct cw_out_node *node)
{
    node->prev = queue->tail;
    if (queue->tail) {
        queue->tail->next = node;
    } else {
        queue->head = node;
    }
    queue->tail = node;
}

void cw_outq_pool_release(struct cw_outq_pool *pool)
{
    for (int i = 0; i < CW_OUT_CLASSES; i++) {
        while (pool->free[i]) {
            struct cw_out_node *node = pool->free[i];
            pool->free[i] = node->next;
            cw_release(node);
        }
        pool->count[i] = 0;
    }
    while (pool->queues) {
        struct cw_outq *queue = pool->queues;
        pool->queues = (struct cw_outq *)(void *)queue->head;
        cw_release(queue);
    }
    pool->queue_count = 0;
}

bool cw_outq_ensure(struct cw_outq **slot, struct cw_outq_pool *pool, uint32_t tick)
{
    struct cw_outq *queue = *slot;

    if (queue) {
        return true;
    }
    queue = pool->queues;
    if (queue) {
        pool->queues = (struct cw_outq *)(void *)queue->head;
        pool->queue_count--;
    } else {
        queue = cw_alloc(sizeof *queue);
        if (!queue) {
            return false;
        }
    }
    *queue = (struct cw_outq){.since = tick, .gone = pool->last_serial};
    *slot = queue;
    return true;
}

void cw_outq_settle(struct cw_outq **slot, struct cw_outq_pool *pool)
{
    struct cw_outq *queue = *slot;

    if (!queue || queue->head) {
        return;
    }
    *slot = NULL;
    if (pool->queue_count < KEEP_QUEUES_MAX) {
        /* An unused queue's head is the link of the free list. */
        queue->head = (struct cw_out_node *)(void *)pool->queues;
        pool->queues = queue;
        pool->queue_count++;
    } else {
        cw_release(queue);
    }
}

void cw_outq_clear(struct cw_outq **slot, struct cw_outq_pool *pool, int code)
{
    if (*slot) {
        while ((*slot)->head) {
            cw_outq_pop(*slot, pool, code);
        }
        cw_outq_settle(slot, pool);
    }
}

/* A node for `left` more bytes. */
static struct cw_out_node *bytes_node(struct cw_outq_pool *pool, size_t left)
{
    struct cw_out_node *node;

    if (left <= class_cap(CLASS_SMALL)) {
        node = node_new(pool, CLASS_SMALL, class_cap(CLASS_SMALL));
    } else if (left <= class_cap(CLASS_LARGE)) {
        node = node_new(pool, CLASS_LARGE, class_cap(CLASS_LARGE));
    } else {
        node = node_new(pool, CW_OUT_CLASSES, left);
    }
    if (node) {
        node->kind = CW_OUT_BYTES;
    }
    return node;
}

bool cw_outq_begin(struct cw_outq **slot, struct cw_outq_pool *pool, uint32_t tick)
{
    if (!pool->queues || !pool->free[CLASS_SMALL]) {
        return false;
    }
    cw_outq_ensure(slot, pool, tick);

    struct cw_out_node *node = bytes_node(pool, 0);

    (*slot)->head = node;
    (*slot)->tail = node;
    node->prev = NULL;
    return true;
}

void cw_outq_end_single(struct cw_outq *queue, struct cw_outq_pool *pool)
{
    struct cw_out_node *node = queue->head;

    queue->head = NULL;
    queue->tail = NULL;
    queue->bytes -= node->len;
    pool->bytes -= node->len;
    node_free(pool, node);
}

static size_t spare(const struct cw_outq *queue)
{
    const struct cw_out_node *tail = queue->tail;

    return tail && tail->kind == CW_OUT_BYTES ? tail->cap - tail->start - tail->len : 0;
}

static void fill(struct cw_out_node *node, const uint8_t *data, size_t len)
{
    memcpy(node->as.bytes + node->start + node->len, data, len);
    node->len += (uint32_t)len;
}

bool cw_outq_copy(struct cw_outq *queue, struct cw_outq_pool *pool, const struct cw_span *parts,
                  size_t count, size_t skip)
{
    struct cw_out_node *extra = NULL;
    size_t total = 0;
    size_t room = spare(queue);

    for (size_t i = 0; i < count; i++) {
        total += parts[i].len;
    }
    assert(skip <= total);
    total -= skip;
    if (total > UINT32_MAX / 2) {
        return false;
    }
    if (total > room) {
        extra = bytes_node(pool, total - room);
        if (!extra) {
            return false;
        }
    }
    for (size_t i = 0; i < count; i++) {
        const uint8_t *data = parts[i].data;
        size_t len = parts[i].len;
        size_t over = skip < len ? skip : len;

        skip -= over;
        if (len == over) {
            continue;
        }
        data += over;
        len -= over;
        if (room > 0) {
            size_t n = len < room ? len : room;
            fill(queue->tail, data, n);
            data += n;
            len -= n;
            room -= n;
        }
        if (len > 0) {
            assert(extra); /* made above for what does not fit the tail */
            fill(extra, data, len);
        }
    }
    if (extra) {
        append(queue, extra);
    }
    queue->bytes += total;
    pool->bytes += total;
    return true;
}

static struct cw_out_node *share_node(struct cw_outq_pool *pool, struct cw_payload *payload)
{
    size_t len = cw_payload_span(payload).len;
    struct cw_out_node *node = len > UINT32_MAX / 2 ? NULL : node_new(pool, CLASS_REF, 0);

    if (node) {
        node->kind = CW_OUT_PAYLOAD;
        node->len = (uint32_t)len;
        node->as.shared.payload = cw_payload_hold(payload);
        node->as.shared.serial = 0;
    }
    return node;
}

static void append_shared(struct cw_outq *queue, struct cw_outq_pool *pool, struct cw_out_node *node)
{
    append(queue, node);
    queue->bytes += node->len;
    pool->bytes += node->len;
}

bool cw_outq_share(struct cw_outq *queue, struct cw_outq_pool *pool, struct cw_payload *payload,
                   struct cw_out_mark *mark)
{
    struct cw_out_node *node = share_node(pool, payload);

    if (!node) {
        return false;
    }
    append_shared(queue, pool, node);
    queue->shared_count++;
    if (mark) {
        node->as.shared.serial = ++pool->last_serial;
        node->as.shared.before = *mark;
        *mark = (struct cw_out_mark){node, node->as.shared.serial};
        queue->shared_bytes += node->len;
    }
    return true;
}

bool cw_outq_share2(struct cw_outq *queue, struct cw_outq_pool *pool, struct cw_payload *first,
                    struct cw_payload *second)
{
    struct cw_out_node *head = first ? share_node(pool, first) : NULL;
    struct cw_out_node *body = share_node(pool, second);

    if ((first && !head) || !body) {
        if (head) {
            node_end(pool, head, CW_OK);
        }
        if (body) {
            node_end(pool, body, CW_OK);
        }
        return false;
    }
    if (head) {
        append_shared(queue, pool, head);
        queue->shared_count++;
    }
    append_shared(queue, pool, body);
    queue->shared_count++;
    return true;
}

struct cw_out_node *cw_outq_source_node(struct cw_outq_pool *pool)
{
    return node_new(pool, CLASS_REF, 0);
}

void cw_outq_unused_node(struct cw_outq_pool *pool, struct cw_out_node *node)
{
    if (node) {
        node_free(pool, node);
    }
}

void cw_outq_add_source(struct cw_outq *queue, struct cw_out_node *node,
                        const struct cw_out_source *source)
{
    node->kind = CW_OUT_SOURCE;
    node->as.source = *source;
    append(queue, node);
}

void cw_outq_add_file(struct cw_outq *queue, struct cw_out_node *node,
                      const struct cw_out_file *file)
{
    node->kind = CW_OUT_FILE;
    node->as.file = *file;
    append(queue, node);
}

bool cw_outq_wake_sources(struct cw_outq *queue)
{
    bool any = false;

    for (struct cw_out_node *node = queue->head; node; node = node->next) {
        if (node->kind == CW_OUT_SOURCE && node->as.source.waiting) {
            node->as.source.waiting = false;
            any = true;
        }
    }
    return any;
}

struct cw_out_node *cw_outq_open_head(struct cw_outq *queue, struct cw_outq_pool *pool)
{
    struct cw_out_node *node = node_new(pool, CLASS_LARGE, class_cap(CLASS_LARGE));

    if (node) {
        node->kind = CW_OUT_BYTES;
        node->prev = NULL;
        node->next = queue->head;
        if (queue->head) {
            queue->head->prev = node;
        } else {
            queue->tail = node;
        }
        queue->head = node;
    }
    return node;
}

void cw_outq_filled(struct cw_outq *queue, struct cw_outq_pool *pool, struct cw_out_node *node,
                    size_t len)
{
    node->len = (uint32_t)len;
    queue->bytes += len;
    pool->bytes += len;
}

int cw_outq_gather(const struct cw_outq *queue, struct iovec *iov, int max, size_t *total)
{
    int count = 0;

    *total = 0;
    for (const struct cw_out_node *node = queue->head; node && count < max; node = node->next) {
        const uint8_t *bytes;

        if (node->kind == CW_OUT_BYTES) {
            bytes = node->as.bytes;
        } else if (node->kind == CW_OUT_PAYLOAD) {
            bytes = cw_payload_span(node->as.shared.payload).data;
        } else {
            break;
        }
        iov[count].iov_base = (void *)(uintptr_t)(bytes + node->start);
        iov[count].iov_len = node->len;
        *total += node->len;
        count++;
    }
    return count;
}

/* The node leaves the queue with what remains of it. */
static void uncount(struct cw_outq *queue, struct cw_outq_pool *pool, const struct cw_out_node *node)
{
    if (node->kind > CW_OUT_PAYLOAD) {
        return;
    }
    queue->bytes -= node->len;
    pool->bytes -= node->len;
    if (node->kind == CW_OUT_PAYLOAD) {
        queue->shared_count--;
        queue->shared_bytes -= node->as.shared.serial ? node->len : 0;
    }
}

/* Takes a node out. */
static void drop_node(struct cw_outq *queue, struct cw_outq_pool *pool, struct cw_out_node *node,
                      int code)
{
    if (node->prev) {
        node->prev->next = node->next;
    } else {
        queue->head = node->next;
    }
    if (node->next) {
        node->next->prev = node->prev;
    } else {
        queue->tail = node->prev;
    }
    uncount(queue, pool, node);
    node_end(pool, node, code);
}

/* Serials grow along the queue, so whoever comes before this one has left it too, or cannot be dropped any more. */
static void note_gone(struct cw_outq *queue, const struct cw_out_node *node)
{
    if (node->kind == CW_OUT_PAYLOAD && node->as.shared.serial > queue->gone) {
        queue->gone = node->as.shared.serial;
    }
}

void cw_outq_advance(struct cw_outq *queue, struct cw_outq_pool *pool, size_t n)
{
    assert(n <= queue->bytes);
    while (queue->head && queue->head->kind <= CW_OUT_PAYLOAD && n >= queue->head->len) {
        n -= queue->head->len;
        cw_outq_pop(queue, pool, CW_OK);
    }
    if (n > 0) {
        assert(queue->head); /* n was gathered from it */
        queue->head->begun = true;
        queue->head->start += (uint32_t)n;
        queue->head->len -= (uint32_t)n;
        queue->bytes -= n;
        pool->bytes -= n;
        if (queue->head->kind == CW_OUT_PAYLOAD && queue->head->as.shared.serial) {
            queue->shared_bytes -= n;
        }
    }
}

void cw_outq_pop(struct cw_outq *queue, struct cw_outq_pool *pool, int code)
{
    note_gone(queue, queue->head);
    drop_node(queue, pool, queue->head, code);
}

static bool may_drop(const struct cw_out_node *node)
{
    return node->kind == CW_OUT_PAYLOAD && node->as.shared.serial && !node->begun;
}

size_t cw_outq_drop_oldest(struct cw_outq *queue, struct cw_outq_pool *pool, size_t need)
{
    struct cw_out_node *node = queue->head;
    size_t dropped = 0;
    size_t freed = 0;
    int passed = 0;

    /* What may not be dropped gathers at the head; looking past all of it each time would be quadratic. */
    while (node && freed < need && queue->shared_bytes > 0 && passed < PASS_MAX) {
        struct cw_out_node *next = node->next;

        if (may_drop(node)) {
            freed += node->len + CW_OUT_NODE_CHARGE;
            note_gone(queue, node);
            drop_node(queue, pool, node, CW_OK);
            dropped++;
        } else {
            passed++;
        }
        node = next;
    }
    return dropped;
}

size_t cw_outq_drop_marked(struct cw_outq *queue, struct cw_outq_pool *pool,
                           struct cw_out_mark *mark)
{
    struct cw_out_mark at = *mark;
    size_t dropped = 0;

    while (at.serial > queue->gone && !at.node->begun) {
        struct cw_out_mark before = at.node->as.shared.before;

        drop_node(queue, pool, at.node, CW_OK);
        dropped++;
        at = before;
    }
    *mark = (struct cw_out_mark){NULL, 0};
    return dropped;
}

/* The output queue: bytes copied in, payloads shared, sources pulled; gathered into iovecs.
 *
 * A connection has none while nothing waits. Nodes and queues come from per-loop free lists, so that a
 * message in steady state costs no allocation. */
#ifndef CW_OUTQ_H
#define CW_OUTQ_H

#include <causeway/conn.h>
#include <causeway/payload.h>
#include <causeway/types.h>

#include <sys/uio.h>

enum cw_out_kind { CW_OUT_BYTES, CW_OUT_PAYLOAD, CW_OUT_SOURCE, CW_OUT_FILE };

enum {
    CW_OUT_SMALL = 2048,
    CW_OUT_LARGE = 16384,
    CW_OUT_CLASSES = 3,
    CW_OUT_COPY_MAX = 256, /* bytes of a shared message that is copied all the same */
    CW_OUT_GATHER_MAX = 16384,
    CW_OUT_NODE_CHARGE = 64, /* what a shared message costs beside its bytes */
};

struct cw_out_source {
    cw_source_fn pull;
    cw_source_done_fn done;
    void *user;
    uint64_t left; /* CW_NO_LIMIT: not known */
    bool waiting;  /* it said CW_EAGAIN and cw_conn_source_ready has not come */
};

struct cw_out_file {
    int fd;
    uint64_t offset;
    uint64_t len;
    cw_source_done_fn done;
    void *user;
};

struct cw_out_node;

/* The last message of one room in one queue. Nodes are used again and again; the serial, which is not, tells whether
 * this one still holds that message. */
struct cw_out_mark {
    struct cw_out_node *node;
    uint64_t serial; /* 0: there is none */
};

struct cw_out_node {
    struct cw_out_node *next;
    struct cw_out_node *prev; /* not kept while unused */
    uint8_t kind;
    uint8_t size_class; /* of the free lists; CW_OUT_CLASSES: straight from the allocator */
    bool begun;         /* its first byte is with the stream */
    uint32_t start;     /* taken by the stream so far */
    uint32_t len;       /* bytes that remain */
    uint32_t cap;       /* CW_OUT_BYTES: room in `bytes` */
    union {
        struct {
            struct cw_payload *payload;
            uint64_t serial; /* of a room's message, growing along the queue; 0: no room's */
            struct cw_out_mark before; /* the same room's message before this one */
        } shared;
        struct cw_out_source source;
        struct cw_out_file file;
        uint8_t bytes[sizeof(struct cw_out_file)]; /* goes on to `cap` */
    } as;
};

struct cw_outq {
    struct cw_out_node *head;
    struct cw_out_node *tail;
    size_t bytes;        /* copied and shared; sources and files do not count */
    size_t shared_bytes; /* of rooms */
    size_t copied_bytes; /* of rooms too, among those copied; at most that since it was last empty */
    size_t shared_count; /* of rooms and others */
    uint64_t gone;       /* rooms' messages up to this serial have left it, or never were in it */
    uint32_t since;      /* tick of the last progress, or of the first byte queued */
    uint32_t in_kernel;  /* bytes the peer had not taken when the stream was full; 0: not asked */
};

/* Free lists of one loop. */
struct cw_outq_pool {
    struct cw_out_node *free[CW_OUT_CLASSES]; /* references, small, large */
    size_t count[CW_OUT_CLASSES];
    struct cw_outq *queues;
    size_t queue_count;
    size_t bytes;         /* in all queues of the loop */
    uint64_t last_serial; /* of a room's message */
};

void cw_outq_pool_release(struct cw_outq_pool *pool);

/* A queue for *slot, if it has none. False: no memory. */
bool cw_outq_ensure(struct cw_outq **slot, struct cw_outq_pool *pool, uint32_t tick);

/* Gives the queue back when it is empty. */
void cw_outq_settle(struct cw_outq **slot, struct cw_outq_pool *pool);

/* Drops everything, telling sources `code`. */
void cw_outq_clear(struct cw_outq **slot, struct cw_outq_pool *pool, int code);

/* Copies parts behind what waits, `skip` bytes of them left out. All or nothing. */
bool cw_outq_copy(struct cw_outq *queue, struct cw_outq_pool *pool, const struct cw_span *parts,
                  size_t count, size_t skip);

/* Takes a hold of its own on the payload. mark: of the room whose policy may drop it, moved on to this message; NULL:
 * nobody may drop it. */
bool cw_outq_share(struct cw_outq *queue, struct cw_outq_pool *pool, struct cw_payload *payload,
                   struct cw_out_mark *mark);

/* Two payloads, or none. The first may be NULL. */
bool cw_outq_share2(struct cw_outq *queue, struct cw_outq_pool *pool, struct cw_payload *first,
                    struct cw_payload *second);

/* A node for a source or a file, to be queued with the next two or given back. NULL: no memory. */
struct cw_out_node *cw_outq_source_node(struct cw_outq_pool *pool);
void cw_outq_unused_node(struct cw_outq_pool *pool, struct cw_out_node *node);
void cw_outq_add_source(struct cw_outq *queue, struct cw_out_node *node,
                        const struct cw_out_source *source);
void cw_outq_add_file(struct cw_outq *queue, struct cw_out_node *node,
                      const struct cw_out_file *file);

/* Sources that had nothing are asked again. Returns whether there are any. */
bool cw_outq_wake_sources(struct cw_outq *queue);

/* Puts room for up to CW_OUT_LARGE - 256 bytes before the head (a source's), to be filled with `len` bytes by the
 * caller. NULL: no memory. */
struct cw_out_node *cw_outq_open_head(struct cw_outq *queue, struct cw_outq_pool *pool);
void cw_outq_filled(struct cw_outq *queue, struct cw_outq_pool *pool, struct cw_out_node *node,
                    size_t len);

/* The same queue when it begins with bytes: with an empty node, of what the loop keeps. False: take the long way. */
bool cw_outq_begin(struct cw_outq **slot, struct cw_outq_pool *pool, uint32_t tick);

/* All of a queue that is one node of bytes has been taken. */
static inline bool cw_outq_is_single(const struct cw_outq *queue)
{
    return queue->head == queue->tail && queue->head->kind == CW_OUT_BYTES;
}
void cw_outq_end_single(struct cw_outq *queue, struct cw_outq_pool *pool);

/* Points iovecs at the bytes at the head, up to the first source. Returns how many iovecs. */
int cw_outq_gather(const struct cw_outq *queue, struct iovec *iov, int max, size_t *total);

/* n gathered bytes have been taken. */
void cw_outq_advance(struct cw_outq *queue, struct cw_outq_pool *pool, size_t n);

/* Takes off the head, telling a source `code`. */
void cw_outq_pop(struct cw_outq *queue, struct cw_outq_pool *pool, int code);

/* What a queue counts for: its bytes, and something for each message that is held beside them. */
/* Bytes of a room that were copied: they must not stop the member's own input. */
static inline void cw_outq_count_copied(struct cw_outq *queue, size_t len)
{
    size_t most = queue->bytes - queue->shared_bytes;

    queue->copied_bytes += len;
    if (queue->copied_bytes > most) {
        queue->copied_bytes = most; /* some of it is gone */
    }
}

/* Adds bytes that simply fit behind the last ones; the caller fills them. NULL: take the long way. */
static inline uint8_t *cw_outq_extend(struct cw_outq *queue, struct cw_outq_pool *pool, size_t len)
{
    struct cw_out_node *tail = queue->tail;
    uint8_t *to;

    if (!tail || tail->kind != CW_OUT_BYTES || tail->cap - tail->start - tail->len < len) {
        return NULL;
    }
    to = tail->as.bytes + tail->start + tail->len;
    tail->len += (uint32_t)len;
    queue->bytes += len;
    pool->bytes += len;
    return to;
}

/* The copy of a small shared message. False: take the long way. */
static inline bool cw_outq_append_small(struct cw_outq *queue, struct cw_outq_pool *pool,
                                        struct cw_span bytes)
{
    uint8_t *to = cw_outq_extend(queue, pool, bytes.len);

    if (to) {
        memcpy(to, bytes.data, bytes.len);
        cw_outq_count_copied(queue, bytes.len);
    }
    return to != NULL;
}

static inline size_t cw_outq_charge(const struct cw_outq *queue)
{
    return queue->bytes + queue->shared_count * CW_OUT_NODE_CHARGE;
}

/* Drops rooms' messages that are not begun, oldest first, until `need` less is charged or none is near the head.
 * Returns how many went. */
size_t cw_outq_drop_oldest(struct cw_outq *queue, struct cw_outq_pool *pool, size_t need);

/* Drops all of one room's messages that are not begun; touches no others. Returns how many went. */
size_t cw_outq_drop_marked(struct cw_outq *queue, struct cw_outq_pool *pool,
                           struct cw_out_mark *mark);

#endif

/* quota: so many bytes from one connection in all its life, and then it is closed. */
#include <causeway/log.h>
#include <causeway/middleware.h>
#include <stdatomic.h>

struct quota {
    struct cw_conn_middleware table; /* first, so that self is a struct quota too */
    uint64_t bytes_max;
    atomic_uint_least64_t bytes; /* of all connections that have ended, on any worker */
};

/* The slot of one connection: zero when it opens. */
struct used {
    uint64_t bytes;
};

static int on_message(struct cw_conn_middleware *self, struct cw_conn *conn, void *slot,
                      const struct cw_message *msg)
{
    const struct quota *quota = (const struct quota *)self;
    struct used *used = slot;

    if (msg->body.len > quota->bytes_max - used->bytes) {
        return CW_ERATE;
    }
    used->bytes += msg->body.len;
    return CW_PASS;
}

static void on_close(struct cw_conn_middleware *self, struct cw_conn *conn, void *slot)
{
    struct quota *quota = (struct quota *)self;
    const struct used *used = slot;

    atomic_fetch_add(&quota->bytes, used->bytes);
}

static void release(struct cw_conn_middleware *self)
{
    struct quota *quota = (struct quota *)self;

    cw_log(CW_LOG_INFO, 0, "quota: %llu bytes in all", (unsigned long long)quota->bytes);
    cw_release(quota);
}

struct cw_conn_middleware *quota_new(uint64_t bytes_max);

struct cw_conn_middleware *quota_new(uint64_t bytes_max)
{
    struct quota *quota = cw_alloc_zero(sizeof *quota);

    if (quota == NULL) {
        return NULL;
    }
    quota->table = (struct cw_conn_middleware){.name = "quota",
                                               .conn_size = sizeof(struct used),
                                               .on_message = on_message,
                                               .on_close = on_close,
                                               .release = release};
    quota->bytes_max = bytes_max;
    return &quota->table;
}

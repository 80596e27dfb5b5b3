/* Lists of prefixes and one token bucket for each address, shared by all workers behind one lock. */
#include "bucket_table.h"
#include "drop_notice.h"
#include "prefix_list.h"

#include <causeway/log.h>
#include <causeway/loop.h>
#include <causeway/middleware/ip_limit.h>
#include <pthread.h>

enum { PER_MS_DEFAULT = 1000, ADDRESSES_MAX_DEFAULT = 65536 };

struct ip_limit {
    struct cw_conn_middleware table; /* first: self is both */
    struct cw_prefix_list *allow;    /* NULL: there is none */
    struct cw_prefix_list *deny;
    struct cw_drop_notice notice;
    struct cw_rate rate; /* amount 0: no limit */
    pthread_mutex_t lock;
    struct cw_bucket_table *buckets; /* guarded by lock; NULL without a rate */
};

static bool is_denied(const struct ip_limit *limit, const struct cw_address *address)
{
    return (limit->deny != NULL && cw_prefix_list_contains(limit->deny, address)) ||
           (limit->allow != NULL && !cw_prefix_list_contains(limit->allow, address));
}

static int on_datagram(struct cw_conn_middleware *self, struct cw_loop *loop,
                       const struct cw_datagram *from, size_t len)
{
    struct ip_limit *limit = (struct ip_limit *)self;

    if (!is_denied(limit, &from->peer)) {
        return CW_OK;
    }
    cw_drop_notice(&limit->notice, limit->table.name, "not allowed here", &from->peer,
                   cw_loop_now_ms(loop));
    return CW_EDENIED;
}

static int count_accept(struct ip_limit *limit, uint64_t key, uint64_t now_ms)
{
    struct cw_bucket *bucket = cw_bucket_table_at(limit->buckets, key);

    if (bucket == NULL) {
        return CW_ENOMEM;
    }
    if (!cw_bucket_has(bucket, &limit->rate, 1, now_ms)) {
        return CW_ERATE;
    }
    cw_bucket_spend(bucket, &limit->rate, 1, now_ms);
    return CW_OK;
}

static int on_accept(struct cw_conn_middleware *self, struct cw_loop *loop,
                     const struct cw_address *peer, uint64_t *reached)
{
    struct ip_limit *limit = (struct ip_limit *)self;
    uint64_t key;

    if (peer->family == CW_UNIX) {
        return CW_OK;
    }
    if (is_denied(limit, peer)) {
        return CW_EDENIED;
    }
    if (limit->buckets == NULL || !cw_address_limit_key(peer, &key)) {
        return CW_OK;
    }
    pthread_mutex_lock(&limit->lock);
    int code = count_accept(limit, key, cw_loop_now_ms(loop));
    pthread_mutex_unlock(&limit->lock);
    if (code == CW_ERATE) {
        *reached = limit->rate.amount;
    }
    return code;
}

static void release(struct cw_conn_middleware *self)
{
    struct ip_limit *limit = (struct ip_limit *)self;

    cw_bucket_table_free(limit->buckets);
    pthread_mutex_destroy(&limit->lock);
    cw_prefix_list_free(limit->allow);
    cw_prefix_list_free(limit->deny);
    cw_release(limit);
}

/* ---- making one ---- */

static bool read_list(struct cw_prefix_list **list, const char *const *texts, const char *name)
{
    const char *wrong = NULL;

    if (texts == NULL) {
        return true;
    }
    *list = cw_prefix_list_new(texts, &wrong);
    if (wrong != NULL) {
        cw_log(CW_LOG_ERROR, 0, "ip_limit: %s: \"%s\" is not an address or a prefix", name, wrong);
    }
    return *list != NULL;
}

static bool set_rate(struct ip_limit *limit, const struct cw_ip_limit_options *options)
{
    bool unlimited = options->accepts == 0 || options->accepts >= CW_OFF;

    if (unlimited && (options->per_ms != 0 || options->addresses_max != 0)) {
        cw_log(CW_LOG_ERROR, 0, "ip_limit: per_ms and addresses_max need accepts");
        return false;
    }
    if (unlimited) {
        return true;
    }
    uint64_t per_ms = options->per_ms == 0 ? PER_MS_DEFAULT : options->per_ms;
    uint64_t addresses_max =
        options->addresses_max == 0 ? ADDRESSES_MAX_DEFAULT : options->addresses_max;
    limit->rate = (struct cw_rate){options->accepts, per_ms, options->accepts};
    limit->buckets = cw_bucket_table_new(addresses_max);
    return limit->buckets != NULL;
}

struct cw_conn_middleware *cw_ip_limit(const struct cw_ip_limit_options *options)
{
    const struct cw_ip_limit_options none = {0};
    const struct cw_ip_limit_options *chosen = options == NULL ? &none : options;
    struct ip_limit *limit = cw_alloc_zero(sizeof *limit);

    if (limit == NULL) {
        return NULL;
    }
    limit->table =
        (struct cw_conn_middleware){.name = "ip_limit", .on_accept = on_accept, .release = release};
    pthread_mutex_init(&limit->lock, NULL);
    if (!read_list(&limit->allow, chosen->allow, "allow") ||
        !read_list(&limit->deny, chosen->deny, "deny") || !set_rate(limit, chosen)) {
        release(&limit->table);
        return NULL;
    }
    if (limit->allow != NULL || limit->deny != NULL) {
        limit->table.on_datagram = on_datagram;
    }
    return &limit->table;
}

/* Lists of prefixes and one token bucket for each address, shared by all workers behind one lock. */
#include "bucket_table.h"

#include <causeway/log.h>
#include <causeway/loop.h>
#include <causeway/middleware/ip_limit.h>
#include <pthread.h>

enum { PER_MS_DEFAULT = 1000, ADDRESSES_MAX_DEFAULT = 65536 };

struct prefixes {
    struct cw_cidr *cidrs; /* NULL: there is no list */
    size_t count;
};

struct ip_limit {
    struct cw_conn_middleware table; /* first: self is both */
    struct prefixes allow;
    struct prefixes deny;
    struct cw_rate rate; /* amount 0: no limit */
    pthread_mutex_t lock;
    struct cw_bucket_table *buckets; /* guarded by lock; NULL without a rate */
};

static bool listed(const struct prefixes *prefixes, const struct cw_address *address)
{
    for (size_t i = 0; i < prefixes->count; i++) {
        if (cw_cidr_contains(&prefixes->cidrs[i], address)) {
            return true;
        }
    }
    return false;
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
    if (listed(&limit->deny, peer) || (limit->allow.cidrs != NULL && !listed(&limit->allow, peer))) {
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
    cw_release(limit->allow.cidrs);
    cw_release(limit->deny.cidrs);
    cw_release(limit);
}

/* ---- making one ---- */

static bool read_prefixes(struct prefixes *prefixes, const char *const *texts, const char *list)
{
    size_t count = 0;

    if (texts == NULL) {
        return true;
    }
    while (texts[count] != NULL) {
        count++;
    }
    prefixes->cidrs = cw_alloc_zero((count + 1) * sizeof *prefixes->cidrs);
    if (prefixes->cidrs == NULL) {
        return false;
    }
    for (; prefixes->count < count; prefixes->count++) {
        const char *text = texts[prefixes->count];
        if (cw_cidr_parse(text, &prefixes->cidrs[prefixes->count]) < 0) {
            cw_log(CW_LOG_ERROR, 0, "ip_limit: %s: \"%s\" is not an address or a prefix", list,
                   text);
            return false;
        }
    }
    return true;
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
    if (!read_prefixes(&limit->allow, chosen->allow, "allow") ||
        !read_prefixes(&limit->deny, chosen->deny, "deny") || !set_rate(limit, chosen)) {
        release(&limit->table);
        return NULL;
    }
    return &limit->table;
}

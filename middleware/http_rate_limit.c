/* One token bucket for each client, in a bounded table behind one short lock that all workers share. */
#include "bucket_table.h"

#include <causeway/hash.h>
#include <causeway/log.h>
#include <causeway/loop.h>
#include <causeway/middleware/http_rate_limit.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

enum {
    REQUESTS_DEFAULT = 600,
    PER_MS_DEFAULT = 60000,
    KEYS_MAX_DEFAULT = 65536,
    NAME_MAX_BYTES = 64,
    POLICY_MAX = NAME_MAX_BYTES + 64,
};

/* RFC 8941 §3.3.1: integers of structured fields have at most 15 digits. */
static const uint64_t number_max = 999999999999999;

struct rate_limit {
    struct cw_http_middleware table; /* first: self is both */
    struct cw_rate rate;
    bool refuse_new;
    bool quiet;
    struct cw_span (*key)(struct cw_http_exchange *http, void *user);
    void *user;
    struct cw_hash_seed seed; /* of the keys' bytes */
    char name[NAME_MAX_BYTES + 1];
    char policy[POLICY_MAX];
    pthread_mutex_t lock;
    struct cw_bucket_table *buckets; /* guarded by lock */
};

/* An exchange's slot: where its client stands. */
struct standing {
    bool counted;
    uint64_t left;
    uint64_t full_ms;  /* until all of burst is there */
    uint64_t retry_ms; /* 0: not refused */
};

static uint64_t seconds(uint64_t ms)
{
    return ms / 1000 + (ms % 1000 != 0);
}

static bool find_key(struct rate_limit *limit, struct cw_http_exchange *http, uint64_t *key)
{
    if (limit->key == NULL) {
        return cw_address_limit_key(cw_http_client(http), key);
    }
    struct cw_span bytes = limit->key(http, limit->user);
    if (bytes.data == NULL) {
        return false;
    }
    *key = cw_hash(&limit->seed, bytes);
    return true;
}

static uint64_t at_least_1(uint64_t ms)
{
    return ms == 0 ? 1 : ms;
}

/* With the lock held. The status to refuse with, or 0. */
static int count_request(struct rate_limit *limit, uint64_t key, uint64_t now_ms,
                         struct standing *standing)
{
    const struct cw_rate *rate = &limit->rate;
    struct cw_bucket *victim =
        limit->refuse_new ? cw_bucket_table_making_way(limit->buckets, key) : NULL;

    if (victim != NULL && !cw_bucket_has(victim, rate, rate->burst, now_ms)) {
        standing->retry_ms = at_least_1(cw_bucket_wait_ms(victim, rate, rate->burst, now_ms));
        return 503;
    }
    struct cw_bucket *bucket = cw_bucket_table_at(limit->buckets, key);
    if (bucket == NULL) {
        standing->retry_ms = 1;
        return 503;
    }
    bool there = cw_bucket_has(bucket, rate, 1, now_ms);
    if (there) {
        cw_bucket_spend(bucket, rate, 1, now_ms);
    } else {
        standing->retry_ms = at_least_1(cw_bucket_wait_ms(bucket, rate, 1, now_ms));
    }
    standing->counted = true;
    standing->left = cw_bucket_left(bucket, rate, now_ms);
    standing->full_ms = cw_bucket_wait_ms(bucket, rate, rate->burst, now_ms);
    return there ? 0 : 429;
}

static int on_request(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    struct rate_limit *limit = (struct rate_limit *)self;
    uint64_t now_ms = cw_loop_now_ms(cw_http_loop(http));
    uint64_t key;

    if (!find_key(limit, http, &key)) {
        return CW_HTTP_NEXT;
    }
    pthread_mutex_lock(&limit->lock);
    int status = count_request(limit, key, now_ms, slot);
    pthread_mutex_unlock(&limit->lock);
    if (status == 0) {
        return CW_HTTP_NEXT;
    }
    cw_http_reply_error(http, status,
                        status == 429 ? "Too many requests: wait as long as Retry-After says."
                                      : "Too many clients: wait as long as Retry-After says.");
    return CW_HTTP_ANSWERED;
}

/* Fields are lists: another limit may have added its own. */
static void on_reply(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    const struct rate_limit *limit = (const struct rate_limit *)self;
    const struct standing *standing = slot;
    char text[POLICY_MAX];

    if (standing->retry_ms != 0) {
        snprintf(text, sizeof text, "%" PRIu64, seconds(standing->retry_ms));
        cw_http_set_field(http, "Retry-After", text);
    }
    if (!standing->counted || limit->quiet) {
        return;
    }
    snprintf(text, sizeof text, "\"%s\";r=%" PRIu64 ";t=%" PRIu64, limit->name, standing->left,
             seconds(standing->full_ms));
    cw_http_add_field(http, "RateLimit-Policy", limit->policy);
    cw_http_add_field(http, "RateLimit", text);
}

static void release(struct cw_http_middleware *self)
{
    struct rate_limit *limit = (struct rate_limit *)self;

    cw_bucket_table_free(limit->buckets);
    pthread_mutex_destroy(&limit->lock);
    cw_release(limit);
}

/* ---- making one ---- */

/* RFC 8941 §3.3.3: a string is printable ASCII; what would need an escape is not allowed here. */
static bool set_name(struct rate_limit *limit, const char *name)
{
    size_t len = strlen(name);

    for (const char *c = name; *c != '\0'; c++) {
        if (*c < ' ' || *c > '~' || *c == '"' || *c == '\\') {
            len = 0;
            break;
        }
    }
    if (len == 0 || len > NAME_MAX_BYTES) {
        cw_log(CW_LOG_ERROR, 0,
               "http_rate_limit: name: 1 to %d printable characters, no quotes, no backslashes",
               NAME_MAX_BYTES);
        return false;
    }
    memcpy(limit->name, name, len + 1);
    return true;
}

static bool in_range(const char *member, uint64_t value)
{
    if (value > number_max) {
        cw_log(CW_LOG_ERROR, 0, "http_rate_limit: %s: at most %" PRIu64, member, number_max);
    }
    return value <= number_max;
}

static bool set_rate(struct rate_limit *limit, const struct cw_http_rate_limit_options *options)
{
    uint64_t requests = options->requests == 0 ? REQUESTS_DEFAULT : options->requests;
    uint64_t per_ms = options->per_ms == 0 ? PER_MS_DEFAULT : options->per_ms;
    uint64_t burst = options->burst == 0 ? requests : options->burst;

    if (!in_range("requests", requests) || !in_range("per_ms", per_ms) ||
        !in_range("burst", burst)) {
        return false;
    }
    limit->rate = (struct cw_rate){requests, per_ms, burst};
    struct cw_bucket empty = {0};
    cw_bucket_spend(&empty, &limit->rate, burst, 0);
    snprintf(limit->policy, sizeof limit->policy, "\"%s\";q=%" PRIu64 ";w=%" PRIu64, limit->name,
             burst, seconds(cw_bucket_wait_ms(&empty, &limit->rate, burst, 0)));
    return true;
}

static bool set_options(struct rate_limit *limit, const struct cw_http_rate_limit_options *options)
{
    limit->refuse_new = options->refuse_new;
    limit->quiet = options->quiet;
    limit->key = options->key;
    limit->user = options->user;
    if (!set_name(limit, options->name == NULL ? "default" : options->name) ||
        !set_rate(limit, options) || cw_hash_seed(&limit->seed) < 0) {
        return false;
    }
    limit->buckets =
        cw_bucket_table_new(options->keys_max == 0 ? KEYS_MAX_DEFAULT : options->keys_max);
    return limit->buckets != NULL;
}

struct cw_http_middleware *cw_http_rate_limit(const struct cw_http_rate_limit_options *options)
{
    const struct cw_http_rate_limit_options none = {0};
    struct rate_limit *limit = cw_alloc_zero(sizeof *limit);

    if (limit == NULL) {
        return NULL;
    }
    limit->table = (struct cw_http_middleware){.name = "http_rate_limit",
                                               .slot_size = sizeof(struct standing),
                                               .on_request = on_request,
                                               .on_reply = on_reply,
                                               .release = release};
    pthread_mutex_init(&limit->lock, NULL);
    if (!set_options(limit, options == NULL ? &none : options)) {
        release(&limit->table);
        return NULL;
    }
    return &limit->table;
}

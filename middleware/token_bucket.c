/* Counts what is missing rather than what is there, so that zero is full and a debt needs no sign. */
#include "token_bucket.h"

static uint64_t times(uint64_t a, uint64_t b)
{
    return b != 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

static uint64_t plus(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static void refill(struct cw_bucket *bucket, const struct cw_rate *rate, uint64_t now_ms)
{
    if (now_ms <= bucket->at_ms) {
        return;
    }
    uint64_t back = times(now_ms - bucket->at_ms, rate->amount);
    bucket->used = back < bucket->used ? bucket->used - back : 0;
    bucket->at_ms = now_ms;
}

/* What is missing for n, in units of 1/per_ms. */
static uint64_t missing(const struct cw_bucket *bucket, const struct cw_rate *rate, uint64_t n)
{
    uint64_t cost = times(n, rate->per_ms);
    uint64_t most = times(rate->burst, rate->per_ms);

    if (cost > most) {
        return plus(bucket->used, cost - most);
    }
    return bucket->used > most - cost ? bucket->used - (most - cost) : 0;
}

bool cw_bucket_has(struct cw_bucket *bucket, const struct cw_rate *rate, uint64_t n, uint64_t now_ms)
{
    refill(bucket, rate, now_ms);
    return missing(bucket, rate, n) == 0;
}

void cw_bucket_spend(struct cw_bucket *bucket, const struct cw_rate *rate, uint64_t n,
                     uint64_t now_ms)
{
    refill(bucket, rate, now_ms);
    bucket->used = plus(bucket->used, times(n, rate->per_ms));
}

uint64_t cw_bucket_left(struct cw_bucket *bucket, const struct cw_rate *rate, uint64_t now_ms)
{
    uint64_t most = times(rate->burst, rate->per_ms);

    refill(bucket, rate, now_ms);
    return bucket->used < most ? (most - bucket->used) / rate->per_ms : 0;
}

uint64_t cw_bucket_wait_ms(struct cw_bucket *bucket, const struct cw_rate *rate, uint64_t n,
                           uint64_t now_ms)
{
    refill(bucket, rate, now_ms);
    uint64_t short_of = missing(bucket, rate, n < rate->burst ? n : rate->burst);
    return short_of / rate->amount + (short_of % rate->amount != 0);
}

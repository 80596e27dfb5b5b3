/* A token bucket: so much in a time, refilled evenly, so much at once after a rest. Pure: the caller brings the
 * clock. A zeroed bucket is full. */
#ifndef CAUSEWAY_MIDDLEWARE_TOKEN_BUCKET_H
#define CAUSEWAY_MIDDLEWARE_TOKEN_BUCKET_H

#include <causeway/types.h>

/* `amount` in `per_ms`, neither of them 0; at most `burst` at once. */
struct cw_rate {
    uint64_t amount;
    uint64_t per_ms;
    uint64_t burst;
};

struct cw_bucket {
    uint64_t used; /* below full, in units of 1/per_ms: exact, without fractions. May be more than burst */
    uint64_t at_ms;
};

/* Whether n may be taken now. A clock that steps back refills nothing.
 *
 * thread   the owner's */
bool cw_bucket_has(struct cw_bucket *bucket, const struct cw_rate *rate, uint64_t n,
                   uint64_t now_ms);

/* Takes n, there or not: what is missing is owed, and waited for the longer.
 *
 * thread   the owner's */
void cw_bucket_spend(struct cw_bucket *bucket, const struct cw_rate *rate, uint64_t n,
                     uint64_t now_ms);

/* How much may be taken now.
 *
 * thread   the owner's */
uint64_t cw_bucket_left(struct cw_bucket *bucket, const struct cw_rate *rate, uint64_t now_ms);

/* Milliseconds from now until n may be taken (or all of burst, if n is more). 0: now.
 *
 * thread   the owner's */
uint64_t cw_bucket_wait_ms(struct cw_bucket *bucket, const struct cw_rate *rate, uint64_t n,
                           uint64_t now_ms);

#endif

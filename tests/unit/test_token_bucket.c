#include "support/leak.h"
#include "token_bucket.h"

#include <criterion/criterion.h>

TestSuite(token_bucket, .fini = rig_expect_no_leak, .timeout = 30);

static const struct cw_rate ten_a_second = {.amount = 10, .per_ms = 1000, .burst = 10};

static bool take(struct cw_bucket *bucket, const struct cw_rate *rate, uint64_t n, uint64_t now_ms)
{
    bool there = cw_bucket_has(bucket, rate, n, now_ms);

    if (there) {
        cw_bucket_spend(bucket, rate, n, now_ms);
    }
    return there;
}

Test(token_bucket, a_zeroed_bucket_is_full_and_holds_its_burst)
{
    struct cw_bucket bucket = {0};

    for (int i = 0; i < 10; i++) {
        cr_expect(take(&bucket, &ten_a_second, 1, 5000));
    }
    cr_expect_not(take(&bucket, &ten_a_second, 1, 5000));
}

Test(token_bucket, it_refills_evenly)
{
    struct cw_bucket bucket = {0};

    cr_expect(take(&bucket, &ten_a_second, 10, 1000));
    cr_expect_not(take(&bucket, &ten_a_second, 1, 1099));
    cr_expect(take(&bucket, &ten_a_second, 1, 1100));
    cr_expect_not(take(&bucket, &ten_a_second, 1, 1199));
    cr_expect(take(&bucket, &ten_a_second, 2, 1300));
    cr_expect_not(take(&bucket, &ten_a_second, 1, 1300));
}

Test(token_bucket, a_long_rest_fills_it_no_further_than_its_burst)
{
    struct cw_bucket bucket = {0};

    cr_expect(take(&bucket, &ten_a_second, 10, 1000));
    cr_expect(take(&bucket, &ten_a_second, 10, 1000000));
    cr_expect_not(take(&bucket, &ten_a_second, 1, 1000000));
}

Test(token_bucket, fractions_are_not_lost)
{
    /* Asked every millisecond, so that it is never full again: the 999999 ms behind the first bring 2999.997. */
    const struct cw_rate rate = {.amount = 3, .per_ms = 1000, .burst = 2};
    struct cw_bucket bucket = {0};
    unsigned taken = 0;

    for (uint64_t now_ms = 1; now_ms <= 1000000; now_ms++) {
        taken += take(&bucket, &rate, 1, now_ms);
    }
    cr_expect_eq(taken, 2 + 2999);
}

Test(token_bucket, a_clock_that_steps_back_brings_nothing)
{
    struct cw_bucket bucket = {0};

    cr_expect(take(&bucket, &ten_a_second, 10, 5000));
    cr_expect_not(take(&bucket, &ten_a_second, 1, 4000));
    cr_expect_not(take(&bucket, &ten_a_second, 1, 5099));
    cr_expect(take(&bucket, &ten_a_second, 1, 5100));
}

Test(token_bucket, the_wait_is_exactly_as_long_as_needed)
{
    const struct cw_rate rate = {.amount = 7, .per_ms = 1000, .burst = 3};
    struct cw_bucket bucket = {0};

    cr_expect_eq(cw_bucket_wait_ms(&bucket, &rate, 1, 1000), 0);
    cw_bucket_spend(&bucket, &rate, 3, 1000);
    uint64_t wait_ms = cw_bucket_wait_ms(&bucket, &rate, 1, 1000);
    cr_expect_eq(wait_ms, 143); /* 1000 / 7, rounded up */
    cr_expect_not(cw_bucket_has(&bucket, &rate, 1, 1000 + wait_ms - 1));
    cr_expect(cw_bucket_has(&bucket, &rate, 1, 1000 + wait_ms));
}

Test(token_bucket, what_is_owed_is_waited_for)
{
    struct cw_bucket bucket = {0};

    cw_bucket_spend(&bucket, &ten_a_second, 30, 1000);
    cr_expect_eq(cw_bucket_wait_ms(&bucket, &ten_a_second, 1, 1000), 2100);
    cr_expect_not(cw_bucket_has(&bucket, &ten_a_second, 1, 3099));
    cr_expect(cw_bucket_has(&bucket, &ten_a_second, 1, 3100));
}

Test(token_bucket, more_than_the_burst_never_fits_and_the_wait_is_for_the_burst)
{
    struct cw_bucket bucket = {0};

    cr_expect_not(cw_bucket_has(&bucket, &ten_a_second, 11, 1000));
    cr_expect_eq(cw_bucket_wait_ms(&bucket, &ten_a_second, 11, 1000), 0);
}

Test(token_bucket, a_cost_too_large_for_a_number_is_not_there)
{
    struct cw_bucket bucket = {0};

    /* 2^61 · 1000 is a multiple of 2^64. */
    cr_expect_not(cw_bucket_has(&bucket, &ten_a_second, (uint64_t)1 << 61, 1000));
}

Test(token_bucket, a_debt_too_large_for_a_number_stays_a_debt)
{
    const struct cw_rate rate = {.amount = 10, .per_ms = 1024, .burst = 10};
    struct cw_bucket bucket = {0};

    /* Twice 2^53 · 1024 is 2^64. */
    cw_bucket_spend(&bucket, &rate, (uint64_t)1 << 53, 1000);
    cw_bucket_spend(&bucket, &rate, (uint64_t)1 << 53, 1000);
    cr_expect_not(cw_bucket_has(&bucket, &rate, 1, 1000));
}

Test(token_bucket, a_refill_too_large_for_a_number_fills_it)
{
    const struct cw_rate fast = {.amount = (uint64_t)1 << 60, .per_ms = 1, .burst = 10};
    struct cw_bucket bucket = {0};

    cw_bucket_spend(&bucket, &fast, 10, 1000);
    cr_expect(cw_bucket_has(&bucket, &fast, 10, 1016)); /* 16 · 2^60 is 2^64 */
}

Test(token_bucket, the_largest_rates_and_times_hold)
{
    const struct cw_rate most = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
    const struct cw_rate slow = {.amount = 1, .per_ms = UINT64_MAX, .burst = 1};
    struct cw_bucket bucket = {0};

    cr_expect(take(&bucket, &most, UINT64_MAX, UINT64_MAX));
    bucket = (struct cw_bucket){0};
    cr_expect(take(&bucket, &slow, 1, 1000));
    cr_expect_not(take(&bucket, &slow, 1, 1000000));
}

Test(token_bucket, what_is_left_is_whole_tokens)
{
    const struct cw_rate three = {.amount = 3, .per_ms = 1000, .burst = 5};
    struct cw_bucket bucket = {0};

    cr_expect_eq(cw_bucket_left(&bucket, &three, 1000), 5);
    cw_bucket_spend(&bucket, &three, 4, 1000);
    cr_expect_eq(cw_bucket_left(&bucket, &three, 1000), 1);
    cr_expect_eq(cw_bucket_left(&bucket, &three, 1333), 1);
    cr_expect_eq(cw_bucket_left(&bucket, &three, 1334), 2);
    cw_bucket_spend(&bucket, &three, 9, 1334);
    cr_expect_eq(cw_bucket_left(&bucket, &three, 1334), 0); /* owed, not below zero */
    cr_expect_eq(cw_bucket_left(&bucket, &three, 100000), 5);
}

#include "address_rates.h"
#include "support/leak.h"
#include "support/memory.h"

#include <criterion/criterion.h>

TestSuite(address_rates, .fini = rig_expect_no_leak, .timeout = 60);

static const struct cw_pace no_limit = {0, 0};

static struct cw_address_rates *made(uint64_t addresses, struct cw_pace datagrams,
                                     struct cw_pace bytes)
{
    struct cw_address_rates *rates = cw_address_rates_new(addresses, datagrams, bytes);

    cr_assert_not_null(rates);
    return rates;
}

/* How many of so many datagrams pass. */
static unsigned passed(struct cw_address_rates *rates, uint64_t key, size_t len, unsigned tries,
                       uint64_t now_ms)
{
    unsigned count = 0;

    for (unsigned i = 0; i < tries; i++) {
        count += cw_address_rates_take(rates, key, len, now_ms);
    }
    return count;
}

Test(address_rates, the_burst_passes_and_then_what_time_gives_back)
{
    struct cw_address_rates *rates = made(1, (struct cw_pace){1000, 5}, no_limit);

    cr_expect_eq(passed(rates, 7, 1, 10, 5000), 5);
    cr_expect_eq(passed(rates, 7, 1, 10, 5001), 1);
    cr_expect_eq(passed(rates, 7, 1, 10, 5004), 3);
    cr_expect_eq(passed(rates, 7, 1, 10, 9000), 5);
    cw_address_rates_free(rates);
}

Test(address_rates, a_slow_rate_gives_back_only_when_a_whole_one_is_there)
{
    struct cw_address_rates *rates = made(1, (struct cw_pace){1, 1}, no_limit);

    cr_expect_eq(passed(rates, 7, 1, 2, 5000), 1);
    cr_expect_eq(passed(rates, 7, 1, 2, 5999), 0);
    cr_expect_eq(passed(rates, 7, 1, 2, 6000), 1);
    cw_address_rates_free(rates);
}

Test(address_rates, bytes_are_counted_beside_datagrams)
{
    struct cw_address_rates *rates =
        made(1, (struct cw_pace){1000, 1000}, (struct cw_pace){1000, 3000});

    cr_expect_eq(passed(rates, 7, 1000, 10, 5000), 3);
    cr_expect_eq(passed(rates, 7, 1, 10, 5000), 0);
    cr_expect_eq(passed(rates, 7, 0, 2000, 5000), 997, "an empty one costs no bytes");
    cr_expect_eq(passed(rates, 7, 1, 10, 5002), 2);
    cr_expect_eq(passed(rates, 7, 3001, 10, 60000), 0, "it can never pass");
    cr_expect_eq(passed(rates, 7, 3000, 10, 60000), 1);
    cw_address_rates_free(rates);
}

Test(address_rates, what_is_refused_for_its_bytes_takes_no_turn)
{
    struct cw_address_rates *rates = made(1, (struct cw_pace){10, 2}, (struct cw_pace){10, 10});

    cr_expect_eq(passed(rates, 7, 11, 100, 5000), 0);
    cr_expect_eq(passed(rates, 7, 5, 3, 5000), 2);
    cw_address_rates_free(rates);
}

Test(address_rates, without_a_limit_everything_passes)
{
    struct cw_address_rates *rates = made(1, no_limit, no_limit);

    cr_expect_eq(passed(rates, 7, 65507, 100000, 5000), 100000);
    cw_address_rates_free(rates);
}

Test(address_rates, the_highest_rate_with_an_hour_at_once_does_not_overflow)
{
    const struct cw_pace most = {CW_PACE_MOST, (uint64_t)CW_PACE_MOST * 3600};
    struct cw_address_rates *rates = made(1, most, most);
    const uint64_t in_30_years = UINT64_C(30) * 365 * 86400 * 1000;

    cr_expect_eq(passed(rates, 7, 65507, 1000, in_30_years), 1000);
    cw_address_rates_free(rates);
    rates = made(1, most, (struct cw_pace){CW_PACE_MOST, 65507});
    cr_expect_eq(passed(rates, 7, 65507, 1000, in_30_years), 1);
    cr_expect_eq(passed(rates, 7, 65507, 1000, in_30_years + 1), 1);
    cw_address_rates_free(rates);
}

Test(address_rates, each_address_has_its_own)
{
    struct cw_address_rates *rates = made(64, (struct cw_pace){1, 1}, no_limit);

    for (uint64_t key = 0; key < 8; key++) {
        cr_expect_eq(passed(rates, key, 1, 2, 5000), 1);
    }
    cw_address_rates_free(rates);
}

Test(address_rates, a_worker_whose_clock_is_behind_gives_nothing_back)
{
    struct cw_address_rates *rates = made(1, (struct cw_pace){1000, 1}, no_limit);

    cr_expect_eq(passed(rates, 7, 1, 2, 5000), 1);
    cr_expect_eq(passed(rates, 7, 1, 2, 4999), 0);
    cr_expect_eq(passed(rates, 7, 1, 2, 5001), 1);
    cw_address_rates_free(rates);
}

/* The address at its limit would come back with a full burst if it had been forgotten. */
Test(address_rates, a_flood_of_new_addresses_does_not_free_one_that_is_above_its_rate)
{
    struct cw_address_rates *rates = made(64, (struct cw_pace){1000, 100}, no_limit);

    cr_expect_eq(passed(rates, 7, 1, 200, 5000), 100);
    for (uint64_t key = 1000; key < 101000; key++) {
        cr_expect(cw_address_rates_take(rates, key, 1, 5000), "a new one always passes");
    }
    cr_expect_eq(passed(rates, 7, 1, 200, 5000), 0);
    cw_address_rates_free(rates);
}

Test(address_rates, all_memory_is_taken_at_the_start)
{
    rig_memory_count();
    struct cw_address_rates *rates = made(65536, (struct cw_pace){1000, 100}, no_limit);
    int64_t at_first = rig_memory_bytes();

    cr_expect_lt(at_first, 65536 * 24 + 16384);
    for (uint64_t key = 0; key < 200000; key++) {
        cw_address_rates_take(rates, key, 1, 5000);
    }
    cr_expect_eq(rig_memory_bytes(), at_first);
    cw_address_rates_free(rates);
    cr_expect_eq(rig_memory_bytes(), 0);
}

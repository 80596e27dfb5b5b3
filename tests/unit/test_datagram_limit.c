#include "support/leak.h"

#include <causeway/log.h>
#include <causeway/loop.h>
#include <causeway/middleware/datagram_limit.h>
#include <criterion/criterion.h>
#include <stdio.h>

/* The clock of this test, in the place of a real loop's. */
struct cw_loop {
    uint64_t now_ms;
};

uint64_t cw_loop_now_ms(const struct cw_loop *loop)
{
    return loop->now_ms;
}

static char logged[500];
static unsigned lines;

static void keep_line(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    snprintf(logged, sizeof logged, "%s", text);
    lines++;
}

static void keep_log(void)
{
    cw_log_set(keep_line, NULL);
}

TestSuite(datagram_limit, .init = keep_log, .fini = rig_expect_no_leak, .timeout = 60);

static struct cw_conn_middleware *made(const struct cw_datagram_limit_options *options)
{
    struct cw_conn_middleware *limit = cw_datagram_limit(options);

    cr_assert_not_null(limit, "%s", logged);
    return limit;
}

static int datagram_at(struct cw_conn_middleware *limit, const char *text, size_t len,
                       uint64_t now_ms)
{
    struct cw_loop loop = {now_ms};
    struct cw_datagram from = {0};

    cr_assert_eq(cw_address_parse(text, &from.peer), CW_OK);
    return limit->on_datagram(limit, &loop, &from, len);
}

static unsigned passed(struct cw_conn_middleware *limit, const char *text, size_t len,
                       unsigned tries)
{
    unsigned count = 0;

    for (unsigned i = 0; i < tries; i++) {
        count += datagram_at(limit, text, len, 20000) == CW_OK;
    }
    return count;
}

Test(datagram_limit, asks_about_datagrams_and_nothing_else)
{
    struct cw_conn_middleware *limit = made(NULL);

    cr_expect_not_null(limit->on_datagram);
    cr_expect_null(limit->on_accept);
    cr_expect_null(limit->on_open);
    cr_expect_null(limit->on_message);
    cr_expect_eq(limit->conn_size, 0);
    limit->release(limit);
}

Test(datagram_limit, the_standard_rate_is_2000_datagrams_a_second)
{
    struct cw_conn_middleware *limit = made(NULL);

    cr_expect_eq(passed(limit, "192.0.2.1:53", 1, 5000), 2000);
    cr_expect_eq(datagram_at(limit, "192.0.2.1:53", 1, 20000), CW_ERATE);
    cr_expect_eq(datagram_at(limit, "192.0.2.1:53", 1, 20001), CW_OK);
    limit->release(limit);
}

Test(datagram_limit, the_standard_rate_is_4_mebibytes_a_second)
{
    struct cw_conn_middleware *limit = made(NULL);

    cr_expect_eq(passed(limit, "192.0.2.1:53", 4096, 2000), 1024);
    limit->release(limit);
}

Test(datagram_limit, ports_of_one_address_count_together_and_other_addresses_do_not)
{
    struct cw_conn_middleware *limit = made(&(struct cw_datagram_limit_options){
        .datagrams_per_s = 10, .datagrams_burst = 2, .bytes_per_s = CW_NO_LIMIT});

    cr_expect_eq(passed(limit, "192.0.2.1:53", 65507, 1), 1);
    cr_expect_eq(passed(limit, "192.0.2.1:54", 65507, 2), 1);
    cr_expect_eq(passed(limit, "192.0.2.2:53", 65507, 3), 2);
    limit->release(limit);
}

Test(datagram_limit, a_64_of_ipv6_counts_as_one)
{
    struct cw_conn_middleware *limit =
        made(&(struct cw_datagram_limit_options){.datagrams_per_s = 1});

    cr_expect_eq(passed(limit, "[2001:db8::1]:1", 1, 1), 1);
    cr_expect_eq(passed(limit, "[2001:db8::2]:1", 1, 1), 0);
    cr_expect_eq(passed(limit, "[2001:db8:0:1::2]:1", 1, 1), 1);
    limit->release(limit);
}

Test(datagram_limit, the_longest_datagram_passes_a_low_rate_unless_the_burst_says_no)
{
    struct cw_conn_middleware *limit = made(&(struct cw_datagram_limit_options){.bytes_per_s = 10});

    cr_expect_eq(passed(limit, "192.0.2.1:1", 65507, 2), 1);
    limit->release(limit);
    limit = made(&(struct cw_datagram_limit_options){.bytes_per_s = 10, .bytes_burst = 512});
    cr_expect_eq(passed(limit, "192.0.2.1:1", 513, 1), 0);
    cr_expect_eq(passed(limit, "192.0.2.1:1", 512, 1), 1);
    limit->release(limit);
}

Test(datagram_limit, without_rates_everything_passes)
{
    struct cw_conn_middleware *limit = made(&(struct cw_datagram_limit_options){
        .datagrams_per_s = CW_NO_LIMIT, .bytes_per_s = CW_NO_LIMIT});

    cr_expect_eq(passed(limit, "192.0.2.1:1", 65507, 10000), 10000);
    limit->release(limit);
}

Test(datagram_limit, what_has_no_address_is_not_counted)
{
    struct cw_conn_middleware *limit =
        made(&(struct cw_datagram_limit_options){.datagrams_per_s = 1});
    struct cw_datagram from = {0};
    struct cw_loop loop = {20000};

    for (int i = 0; i < 5; i++) {
        cr_expect_eq(limit->on_datagram(limit, &loop, &from, 1), CW_OK);
    }
    limit->release(limit);
}

Test(datagram_limit, the_log_has_a_line_in_ten_seconds)
{
    struct cw_conn_middleware *limit =
        made(&(struct cw_datagram_limit_options){.datagrams_per_s = 1});

    for (int i = 0; i < 6; i++) {
        datagram_at(limit, "192.0.2.1:53", 1, 20000);
    }
    cr_expect_eq(lines, 1);
    cr_expect_str_eq(logged,
                     "datagram_limit: 192.0.2.1:53 is above its rate; datagrams dropped so far: 1");
    datagram_at(limit, "[2001:db8::1]:1", 1, 29990);
    datagram_at(limit, "[2001:db8::1]:1", 1, 29999);
    cr_expect_eq(lines, 1);
    datagram_at(limit, "[2001:db8::1]:1", 1, 30000);
    cr_expect_eq(lines, 2);
    cr_expect_str_eq(
        logged, "datagram_limit: [2001:db8::1]:1 is above its rate; datagrams dropped so far: 7");
    limit->release(limit);
}

static void expect_refused(struct cw_datagram_limit_options options, const char *text)
{
    cr_expect_null(cw_datagram_limit(&options));
    cr_expect_str_eq(logged, text);
}

Test(datagram_limit, options_without_sense_are_refused_by_name)
{
    expect_refused((struct cw_datagram_limit_options){.datagrams_per_s = 1000000001},
                   "datagram_limit: datagrams_per_s: at most 1000000000, or CW_NO_LIMIT");
    expect_refused((struct cw_datagram_limit_options){.bytes_per_s = 1000000001},
                   "datagram_limit: bytes_per_s: at most 1000000000, or CW_NO_LIMIT");
    expect_refused((struct cw_datagram_limit_options){.datagrams_burst = 2000 * 3600 + 1},
                   "datagram_limit: datagrams_burst: more than an hour's worth of datagrams_per_s");
    expect_refused((struct cw_datagram_limit_options){.bytes_per_s = 1, .bytes_burst = 3601},
                   "datagram_limit: bytes_burst: more than an hour's worth of bytes_per_s");
    expect_refused((struct cw_datagram_limit_options){.bytes_per_s = CW_NO_LIMIT, .bytes_burst = 1},
                   "datagram_limit: bytes_burst needs bytes_per_s");
    expect_refused((struct cw_datagram_limit_options){.addresses_max = 16777217},
                   "datagram_limit: addresses_max: at most 16777216");
}

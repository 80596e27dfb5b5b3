/* Ranges of bytes. */
#include "support/leak.h"

#include <causeway/error.h>
#include <causeway/http_fields.h>
#include <criterion/criterion.h>

TestSuite(http_ranges, .fini = rig_expect_no_leak, .timeout = 30);

enum { MAX = 3 };

static const struct cw_http_validators state = {"\"v1\"", 784111777, true};

static struct cw_http_range got[MAX];

static int ask(const char *range, uint64_t size)
{
    struct cw_http_conditions conditions = {.range = cw_span_text(range)};

    memset(got, 0xee, sizeof got);
    return cw_http_ranges(&conditions, &state, size, got, MAX);
}

static void expect_one(const char *range, uint64_t size, uint64_t first, uint64_t len)
{
    cr_expect_eq(ask(range, size), 1, "%s", range);
    cr_expect_eq(got[0].first, first, "%s: %llu", range, (unsigned long long)got[0].first);
    cr_expect_eq(got[0].len, len, "%s: %llu", range, (unsigned long long)got[0].len);
}

static void expect_whole(const char *range, uint64_t size)
{
    cr_expect_eq(ask(range, size), 0, "%s", range);
}

static void expect_416(const char *range, uint64_t size)
{
    cr_expect_eq(ask(range, size), CW_EINVAL, "%s", range);
}

Test(http_ranges, a_range_is_cut_to_what_is_there)
{
    expect_one("bytes=0-499", 10000, 0, 500);
    expect_one("bytes=500-999", 10000, 500, 500);
    expect_one("bytes=0-0", 1, 0, 1);
    expect_one("bytes=9500-", 10000, 9500, 500);
    expect_one("bytes=0-", 10000, 0, 10000);
    expect_one("bytes=9999-99999", 10000, 9999, 1);
    expect_one("BYTES=1-2", 10, 1, 2);
    expect_one("bytes= 1-2 ,", 10, 1, 2);
}

Test(http_ranges, a_suffix_is_the_end_or_all_of_it)
{
    expect_one("bytes=-500", 10000, 9500, 500);
    expect_one("bytes=-1", 10000, 9999, 1);
    expect_one("bytes=-10000", 10000, 0, 10000);
    expect_one("bytes=-10001", 10000, 0, 10000);
    expect_one("bytes=-99999999999999999999999", 10000, 0, 10000);
}

Test(http_ranges, what_lies_behind_the_end_cannot_be_satisfied)
{
    expect_416("bytes=10000-", 10000);
    expect_416("bytes=10000-10001", 10000);
    expect_416("bytes=20000-30000, 40000-", 10000);
    expect_416("bytes=-0", 10000);
    expect_416("bytes=18446744073709551615-", UINT64_MAX - 1);
}

Test(http_ranges, nothing_of_an_empty_file_can_be_had_but_its_end)
{
    expect_416("bytes=0-", 0);
    expect_416("bytes=0-0", 0);
    expect_416("bytes=-0", 0);
    expect_whole("bytes=-5", 0);
}

Test(http_ranges, numbers_that_no_number_holds_are_beyond_any_size)
{
    expect_416("bytes=99999999999999999999-", 10000);
    expect_416("bytes=99999999999999999999-99999999999999999999", 10000);
    expect_one("bytes=1-99999999999999999999", 10000, 1, 9999);
    expect_one("bytes=1-18446744073709551615", 10000, 1, 9999);
    expect_one("bytes=0-18446744073709551615", UINT64_MAX, 0, UINT64_MAX);
    expect_one("bytes=18446744073709551614-", UINT64_MAX, UINT64_MAX - 1, 1);
}

Test(http_ranges, several_are_told_in_the_order_in_which_they_were_asked)
{
    cr_expect_eq(ask("bytes=500-599, 0-9,-1", 1000), 3);
    cr_expect_eq(got[0].first, 500);
    cr_expect_eq(got[1].first, 0);
    cr_expect_eq(got[1].len, 10);
    cr_expect_eq(got[2].first, 999);
}

Test(http_ranges, those_that_cannot_be_satisfied_are_left_out)
{
    cr_expect_eq(ask("bytes=5000-, 0-9, -0, 2000-3000, 20-29, 9999-", 1000), 2);
    cr_expect_eq(got[0].first, 0);
    cr_expect_eq(got[1].first, 20);
}

Test(http_ranges, neighbours_do_not_overlap)
{
    cr_expect_eq(ask("bytes=0-9,10-19", 1000), 2);
    cr_expect_eq(ask("bytes=10-19,0-9", 1000), 2);
}

Test(http_ranges, too_many_or_overlapping_ones_are_served_as_the_whole)
{
    expect_whole("bytes=0-0,2-2,4-4,6-6", 1000);
    expect_whole("bytes=0-9,9-19", 1000);
    expect_whole("bytes=9-19,0-9", 1000);
    expect_whole("bytes=0-,5-6", 1000);
    expect_whole("bytes=5-6,0-", 1000);
    expect_whole("bytes=0-,-1", 1000);
    expect_whole("bytes=1-1,1-1", 1000);
}

Test(http_ranges, what_is_malformed_is_served_as_the_whole)
{
    static const char *const ranges[] = {
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "bytes=2-1",
        "bytes=--1",
        "bytes=1--2",
        "bytes=1-2-3",
        "bytes=+1-2",
        "bytes=1 -2",
        "bytes=1- 2",
        "bytes =1-2",
        "bytes=0x1-0x2",
        "bytes=1-2;",
        "bytes=1-2 3-4",
        "bytes=0-1,x",
        "bytes=5000-,x",
        "items=0-1",
        "byte=0-1",
        " bytes=0-1",
        "bytes:0-1",
        "bytes=\"0-1\"",
        "bytes=99999999999999999999-1",
        "bytes=1.0-2",
    };

    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        expect_whole(ranges[i], 1000);
    }
}

Test(http_ranges, no_field_asks_for_the_whole)
{
    struct cw_http_conditions conditions = {.range = {NULL, 0}};

    cr_expect_eq(cw_http_ranges(&conditions, &state, 1000, got, MAX), 0);
}

/* ---- If-Range ---- */

static int ask_if(const char *if_range, const struct cw_http_validators *validators)
{
    struct cw_http_conditions conditions = {.range = cw_span_text("bytes=0-1"),
                                            .if_range = cw_span_text(if_range)};

    return cw_http_ranges(&conditions, validators, 1000, got, MAX);
}

Test(http_ranges, a_range_of_another_state_is_served_as_the_whole)
{
    static const struct cw_http_validators weak = {"W/\"v1\"", INT64_MIN, true};
    static const struct cw_http_validators bare = {NULL, INT64_MIN, true};

    cr_expect_eq(ask_if("\"v1\"", &state), 1);
    cr_expect_eq(ask_if("\"v2\"", &state), 0);
    cr_expect_eq(ask_if("W/\"v1\"", &state), 0);
    cr_expect_eq(ask_if("W/\"v1\"", &weak), 0);
    cr_expect_eq(ask_if("\"v1\"", &weak), 0);
    cr_expect_eq(ask_if("\"v1\", \"v1\"", &state), 0);
    cr_expect_eq(ask_if("*", &state), 0);
    cr_expect_eq(ask_if("", &state), 0);
    cr_expect_eq(ask_if("\"v1\"", &bare), 0);
}

Test(http_ranges, a_date_in_if_range_is_compared_exactly)
{
    static const struct cw_http_validators bare = {NULL, INT64_MIN, true};

    cr_expect_eq(ask_if("Sun, 06 Nov 1994 08:49:37 GMT", &state), 1);
    cr_expect_eq(ask_if("Sunday, 06-Nov-94 08:49:37 GMT", &state), 1);
    cr_expect_eq(ask_if("Sun, 06 Nov 1994 08:49:38 GMT", &state), 0);
    cr_expect_eq(ask_if("Sun, 06 Nov 1994 08:49:36 GMT", &state), 0);
    cr_expect_eq(ask_if("Sun, 06 Nov 1994 08:49:37 GMT", &bare), 0);
    cr_expect_eq(ask_if("rubbish", &state), 0);
}

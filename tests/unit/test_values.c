#include "support/leak.h"
#include "values.h"

#include <criterion/criterion.h>

TestSuite(values, .fini = rig_expect_no_leak, .timeout = 30);

static uint64_t ms_of(const char *text)
{
    uint64_t ms = 0;

    cr_assert(read_duration(text, &ms), "%s", text);
    return ms;
}

static uint64_t bytes_of(const char *text)
{
    uint64_t bytes = 0;

    cr_assert(read_size(text, &bytes), "%s", text);
    return bytes;
}

Test(values, a_time_carries_its_unit_and_a_bare_number_is_seconds)
{
    cr_expect_eq(ms_of("500ms"), 500);
    cr_expect_eq(ms_of("30s"), 30000);
    cr_expect_eq(ms_of("5m"), 300000);
    cr_expect_eq(ms_of("2h"), 7200000);
    cr_expect_eq(ms_of("7"), 7000);
    cr_expect_eq(ms_of("0"), 0);
    cr_expect_eq(ms_of("007s"), 7000);
}

Test(values, what_is_no_time_is_refused)
{
    static const char *const texts[] = {"",    "s",    "ms",  "-1s",  "+1s",  "1.5s",
                                        " 1s", "1 s",  "1s ", "1S",   "1min", "1d",
                                        "1e3", "0x10", "1sm", "five", "1ms2s"};
    uint64_t ms;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        cr_expect_not(read_duration(texts[i], &ms), "%s", texts[i]);
    }
}

Test(values, the_largest_number_passes_and_one_more_is_refused)
{
    uint64_t value;

    cr_expect(read_count("18446744073709551615", &value));
    cr_expect_eq(value, UINT64_MAX);
    cr_expect_not(read_count("18446744073709551616", &value));
    cr_expect_not(read_count("99999999999999999999999", &value));
    cr_expect(read_duration("18446744073709551615ms", &value));
    cr_expect(read_duration("18446744073709551s", &value));
    cr_expect_not(read_duration("18446744073709552s", &value));
    cr_expect_not(read_duration("18446744073709552", &value));
    cr_expect_not(read_duration("5124095576031h", &value));
    cr_expect_not(read_size("17179869184G", &value));
}

Test(values, sizes_are_multiples_of_1024)
{
    uint64_t value;

    cr_expect_eq(bytes_of("65536"), 65536);
    cr_expect_eq(bytes_of("64K"), 65536);
    cr_expect_eq(bytes_of("64k"), 65536);
    cr_expect_eq(bytes_of("1M"), 1048576);
    cr_expect_eq(bytes_of("2G"), 2147483648);
    cr_expect_not(read_size("1m", &value)); /* elsewhere these are minutes */
    cr_expect_not(read_size("1KB", &value));
    cr_expect_not(read_size("K", &value));
}

Test(values, a_count_is_digits_alone)
{
    uint64_t value;

    cr_expect(read_count("10", &value));
    cr_expect_eq(value, 10);
    cr_expect_not(read_count("10s", &value));
    cr_expect_not(read_count("10K", &value));
    cr_expect_not(read_count("-1", &value));
    cr_expect_not(read_count("", &value));
}

Test(values, a_time_is_printed_in_its_largest_whole_unit)
{
    char text[24];

    cr_expect_str_eq(print_duration(1, text), "1ms");
    cr_expect_str_eq(print_duration(1500, text), "1500ms");
    cr_expect_str_eq(print_duration(90000, text), "90s");
    cr_expect_str_eq(print_duration(300000, text), "5m");
    cr_expect_str_eq(print_duration(7200000, text), "2h");
    cr_expect_str_eq(print_duration(UINT64_MAX, text), "18446744073709551615ms");
}

/* Times in fields, both ways. */
#include "support/leak.h"

#include <causeway/error.h>
#include <causeway/http_fields.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <time.h>

TestSuite(http_date, .fini = rig_expect_no_leak, .timeout = 60);

enum { EXAMPLE = 784111777 }; /* Sun, 06 Nov 1994 08:49:37 GMT */

static const int64_t year_1 = -62135596800;
static const int64_t year_9999_end = 253402300799;

static void expect_printed(int64_t unix_s, const char *text)
{
    char buffer[CW_HTTP_DATE_SIZE];

    cw_http_print_date(unix_s, buffer);
    cr_expect_str_eq(buffer, text, "%s is not %s", buffer, text);
}

static void expect_read(const char *text, int64_t now_s, int64_t unix_s)
{
    int64_t got = INT64_MIN;

    cr_expect_eq(cw_http_parse_date(cw_span_text(text), now_s, &got), CW_OK, "%s", text);
    cr_expect_eq(got, unix_s, "%s: %lld", text, (long long)got);
}

Test(http_date, a_time_is_printed_as_imf_fixdate)
{
    expect_printed(EXAMPLE, "Sun, 06 Nov 1994 08:49:37 GMT");
    expect_printed(0, "Thu, 01 Jan 1970 00:00:00 GMT");
    expect_printed(-1, "Wed, 31 Dec 1969 23:59:59 GMT");
    expect_printed(951782400, "Tue, 29 Feb 2000 00:00:00 GMT");
    expect_printed(4107542399, "Sun, 28 Feb 2100 23:59:59 GMT");
    expect_printed(4107542400, "Mon, 01 Mar 2100 00:00:00 GMT");
}

Test(http_date, years_are_bounded)
{
    expect_printed(year_1, "Mon, 01 Jan 0001 00:00:00 GMT");
    expect_printed(year_1 - 1, "Mon, 01 Jan 0001 00:00:00 GMT");
    expect_printed(INT64_MIN, "Mon, 01 Jan 0001 00:00:00 GMT");
    expect_printed(year_9999_end, "Fri, 31 Dec 9999 23:59:59 GMT");
    expect_printed(year_9999_end + 1, "Fri, 31 Dec 9999 23:59:59 GMT");
    expect_printed(INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT");
}

Test(http_date, every_day_is_printed_as_the_system_does_it_and_read_back)
{
    for (int64_t unix_s = year_1 + 12345; unix_s < year_9999_end; unix_s += 86400 * 17 + 7919) {
        char ours[CW_HTTP_DATE_SIZE];
        char theirs[64];
        struct tm parts;
        time_t time = (time_t)unix_s;
        int64_t again;

        cw_http_print_date(unix_s, ours);
        cr_assert_not_null(gmtime_r(&time, &parts));
        strftime(theirs, sizeof theirs, "%a, %d %b ", &parts);
        snprintf(theirs + 12, sizeof theirs - 12, "%04d %02d:%02d:%02d GMT", parts.tm_year + 1900,
                 parts.tm_hour, parts.tm_min, parts.tm_sec);
        cr_assert_str_eq(ours, theirs);
        cr_assert_eq(cw_http_parse_date(cw_span_text(ours), 0, &again), CW_OK, "%s", ours);
        cr_assert_eq(again, unix_s, "%s", ours);
    }
}

Test(http_date, all_three_forms_are_read)
{
    expect_read("Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE, EXAMPLE);
    expect_read("Sunday, 06-Nov-94 08:49:37 GMT", EXAMPLE, EXAMPLE);
    expect_read("Sun Nov  6 08:49:37 1994", EXAMPLE, EXAMPLE);
    expect_read("Wed Nov 16 08:49:37 1994", EXAMPLE, EXAMPLE + 864000);
}

Test(http_date, a_two_digit_year_is_at_most_50_years_ahead)
{
    const int64_t in_2026 = 1767225600; /* 1 Jan 2026 */
    const int64_t in_2090 = 3786912000; /* 1 Jan 2090 */

    expect_read("Thursday, 01-Jan-70 00:00:00 GMT", in_2026, 3155760000);
    expect_read("Wednesday, 01-Jan-76 00:00:00 GMT", in_2026, 3345062400);
    expect_read("Wednesday, 01-Jan-76 00:00:01 GMT", in_2026, 189302401);
    expect_read("Thursday, 01-Jan-99 00:00:00 GMT", in_2026, 915148800);
    expect_read("Saturday, 01-Jan-00 00:00:00 GMT", in_2026, 946684800);
    expect_read("Saturday, 01-Jan-05 00:00:00 GMT", in_2090, 1104537600);
    expect_read("Saturday, 29-Feb-96 00:00:00 GMT", in_2026, 825552000);
}

Test(http_date, leap_days_are_there_in_leap_years_only)
{
    int64_t got;

    expect_read("Tue, 29 Feb 2000 00:00:00 GMT", 0, 951782400);
    expect_read("Mon, 29 Feb 2016 00:00:00 GMT", 0, 1456704000);
    cr_expect_eq(cw_http_parse_date(cw_span_text("Thu, 29 Feb 1900 00:00:00 GMT"), 0, &got),
                 CW_EINVAL);
    cr_expect_eq(cw_http_parse_date(cw_span_text("Sun, 29 Feb 2015 00:00:00 GMT"), 0, &got),
                 CW_EINVAL);
    expect_read("Sat, 31 Dec 2016 23:59:60 GMT", 0, 1483228800);
}

Test(http_date, what_is_no_date_is_refused)
{
    static const char *const texts[] = {
        "",
        "0",
        "now",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 gmt",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun 06 Nov 1994 08:49:37 GMT",
        "Sun,06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Nov 19940 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov -994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 32 Jan 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 6-Nov-94 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  16 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sun Nov  6 08:49:37 94",
        "784111777",
    };
    int64_t got;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        cr_expect_eq(cw_http_parse_date(cw_span_text(texts[i]), EXAMPLE, &got), CW_EINVAL, "%s",
                     texts[i]);
    }
    cr_expect_eq(cw_http_parse_date((struct cw_span){NULL, 0}, 0, &got), CW_EINVAL);
    cr_expect_eq(cw_http_parse_date(cw_span_of("Sun\0", 4), 0, &got), CW_EINVAL);
}

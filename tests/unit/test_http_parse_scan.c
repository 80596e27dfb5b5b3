/* The search for a head's end without wide instructions is the same as with them. */
#include "http/http_parse.h"
#include "support/leak.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The same source once more, as a machine without them would build it. */
#undef __SSE2__
#define cw_http_scan_head portable_scan_head
#define cw_http_scan_response portable_scan_response
#define cw_http_scan_trailers portable_scan_trailers
#define cw_http_ends_with_version portable_ends_with_version
ptrdiff_t portable_scan_head(const uint8_t *data, size_t len,
                             const struct cw_http_head_limits *limits, struct cw_http_scan *scan,
                             const char **why);
ptrdiff_t portable_scan_response(const uint8_t *data, size_t len,
                                 const struct cw_http_head_limits *limits,
                                 struct cw_http_scan *scan, const char **why);
ptrdiff_t portable_scan_trailers(const uint8_t *data, size_t len,
                                 const struct cw_http_head_limits *limits,
                                 struct cw_http_scan *scan, const char **why);
bool portable_ends_with_version(const uint8_t *line, size_t len);
#include "http/http_parse_scan.c"
#undef cw_http_scan_head

TestSuite(http_parse_scan, .fini = rig_expect_no_leak, .timeout = 60);

static const struct cw_http_head_limits bounds = {
    .head_max = 120, .target_max = 30, .fields_max = 4};

static void expect_same(const uint8_t *data, size_t len)
{
    struct cw_http_scan wide = {0};
    struct cw_http_scan portable = {0};
    const char *why = NULL;
    const char *portable_why = NULL;
    ptrdiff_t a = cw_http_scan_head(data, len, &bounds, &wide, &why);
    ptrdiff_t b = portable_scan_head(data, len, &bounds, &portable, &portable_why);

    cr_assert_eq(a, b, "%zu bytes: %td and %td", len, a, b);
    cr_assert_eq(wide.at, portable.at);
    cr_assert_eq(wide.line, portable.line);
    cr_assert_eq(wide.lines, portable.lines);
    cr_assert(why == portable_why || strcmp(why, portable_why) == 0);
}

Test(http_parse_scan, every_byte_at_every_place_is_judged_the_same_with_and_without_wide_words)
{
    static const char head[] = "GET /a/long/enough/path HTTP/1.1\r\nHost: a.name\r\nX:\ty\r\n\r\n";

    for (size_t at = 0; at < sizeof head - 1; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            uint8_t *copy = malloc(sizeof head - 1);

            cr_assert(copy != NULL);
            memcpy(copy, head, sizeof head - 1);
            copy[at] = (uint8_t)byte;
            expect_same(copy, sizeof head - 1);
            free(copy);
        }
    }
}

Test(http_parse_scan, heads_of_every_length_end_at_the_same_place_with_and_without_wide_words)
{
    char text[200];

    for (int len = 0; len < 120; len++) {
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\nA: %.*s\r\n\r\n", len,
                 "0123456789012345678901234567890123456789012345678901234567890123456789"
                 "01234567890123456789012345678901234567890123456789");
        uint8_t *copy = malloc(strlen(text));
        cr_assert(copy != NULL);
        memcpy(copy, text, strlen(text));
        expect_same(copy, strlen(text));
        free(copy);
    }
}

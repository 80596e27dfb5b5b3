#include "http/http_parse.h"
#include "support/leak.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(http_parse, .fini = rig_expect_no_leak, .timeout = 60);

enum { FIELDS = 8, ROOM = 4096 };

static const struct cw_http_head_limits limits = {
    .head_max = 512,
    .target_max = 64,
    .fields_max = FIELDS,
};

typedef ptrdiff_t scanner(const uint8_t *data, size_t len, const struct cw_http_head_limits *bounds,
                          struct cw_http_scan *scan, const char **why);

/* ---- scanning ---- */

static ptrdiff_t scan_whole(scanner *scans, const char *text, size_t len)
{
    struct cw_http_scan scan = {0};
    const char *why = NULL;
    uint8_t *copy = malloc(len + 1); /* of its own, so that a byte read behind it is seen */
    memcpy(copy, text, len);
    uint8_t *exact = realloc(copy, len == 0 ? 1 : len);
    ptrdiff_t end = scans(exact, len, &limits, &scan, &why);

    cr_expect(end >= 0 || why != NULL, "refused without a sentence: %s", text);
    free(exact);
    return end;
}

static ptrdiff_t scan_in_two(scanner *scans, const char *text, size_t len, size_t cut)
{
    struct cw_http_scan scan = {0};
    const char *why = NULL;
    ptrdiff_t end = scans((const uint8_t *)text, cut, &limits, &scan, &why);

    return end != 0 ? end : scans((const uint8_t *)text, len, &limits, &scan, &why);
}

static ptrdiff_t scan_by_bytes(scanner *scans, const char *text, size_t len)
{
    struct cw_http_scan scan = {0};
    const char *why = NULL;

    for (size_t n = 0; n < len; n++) {
        ptrdiff_t end = scans((const uint8_t *)text, n, &limits, &scan, &why);

        if (end != 0) {
            return end;
        }
    }
    return scans((const uint8_t *)text, len, &limits, &scan, &why);
}

/* What scanning says, however the input comes. */
static ptrdiff_t scanned_as(scanner *scans, const char *text, size_t len)
{
    ptrdiff_t whole = scan_whole(scans, text, len);

    cr_expect_eq(scan_by_bytes(scans, text, len), whole, "byte by byte: %s", text);
    for (size_t cut = 0; cut <= len; cut++) {
        cr_expect_eq(scan_in_two(scans, text, len, cut), whole, "cut at %zu: %s", cut, text);
    }
    return whole;
}

static ptrdiff_t scanned(const char *text)
{
    return scanned_as(cw_http_scan_head, text, strlen(text));
}

Test(http_parse, a_head_ends_with_its_empty_line)
{
    static const char head[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    char text[ROOM];

    cr_expect_eq(scanned(head), (ptrdiff_t)strlen(head));
    snprintf(text, sizeof text, "%sGET /next HTTP/1.1\r\n", head);
    cr_expect_eq(scanned(text), (ptrdiff_t)strlen(head));
    cr_expect_eq(scanned("GET / HTTP/1.0\r\n\r\n"), 18);
}

Test(http_parse, a_head_that_has_not_ended_is_awaited)
{
    static const char *const texts[] = {
        "",
        "\r",
        "\r\n",
        "G",
        "GET ",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        cr_expect_eq(scanned(texts[i]), 0, "%s", texts[i]);
    }
}

Test(http_parse, empty_lines_before_the_request_line_are_passed_over)
{
    cr_expect_eq(scanned("\r\n\r\nGET / HTTP/1.0\r\n\r\n"), 22);
}

Test(http_parse, what_the_scan_refuses_it_refuses_however_the_input_is_cut)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\n\rGET", 400},
        {"\nGET / HTTP/1.1\r\n\r\n", 400},
        {"\rGET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA: \x01\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA: \x7f\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nA: b\r\n\tc\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n A: b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n \r\n\r\n", 400},
        {" GET / HTTP/1.1\r\n\r\n", 400},
        {"\r\n GET / HTTP/1.1\r\n\r\n", 400},
        {"GET /\r\n\r\n", 400},
        {"GET / HTTP/1.1 \r\n\r\n", 400},
        {"GET / http/1.1\r\n\r\n", 400},
        {"GET / HTTP/11\r\n\r\n", 400},
        {"GET / HTTP/1.10\r\n\r\n", 400},
        {"G(T / HTTP/1.1\r\n\r\n", 400},
        {"GET\t/ HTTP/1.1\r\n\r\n", 400},
        {"HTTP/1.1 200 OK\r\n\r\n", 400},
        {"\x16\x03\x01\x02", 400},
        {"GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n\r\n",
         414},
        {"GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\x01", 414},
        {"GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", 414},
        {"GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", 400},
        {"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 501},
        {"GET / HTTP/1.1\r\nA:\r\nB:\r\nC:\r\nD:\r\nE:\r\nF:\r\nG:\r\nH:\r\nI:\r\n", 431},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_eq(scanned(cases[i].text), -cases[i].status, "%s", cases[i].text);
    }
}

Test(http_parse, limits_are_met_exactly)
{
    static const char target[] =
        "GET /aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa HTTP/1.1\r\n\r\n";
    static const char method[] =
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\n\r\n";
    static const char fields[] =
        "GET / HTTP/1.1\r\nA:\r\nB:\r\nC:\r\nD:\r\nE:\r\nF:\r\nG:\r\nH:\r\n\r\n";

    cr_expect_eq(scanned(target), (ptrdiff_t)sizeof target - 1);
    cr_expect_eq(scanned(method), (ptrdiff_t)sizeof method - 1);
    cr_expect_eq(scanned(fields), (ptrdiff_t)sizeof fields - 1);
}

Test(http_parse, a_head_as_long_as_its_limit_passes_and_one_byte_more_is_refused)
{
    char text[ROOM];

    for (int extra = -1; extra <= 1; extra++) {
        int fill = (int)limits.head_max - 23 + extra;
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\nA: %0*d\r\n\r\n", fill, 0);
        cr_assert_eq(strlen(text), limits.head_max + (size_t)extra);
        cr_expect_eq(scanned(text), extra > 0 ? -431 : (ptrdiff_t)strlen(text));
    }
}

Test(http_parse, a_zero_byte_is_refused_wherever_it_stands)
{
    char head[] = "GET /aaaaaaaaaaaaaaa HTTP/1.1\r\nHost: aaaaaaaaaaaaaaa\r\n\r\n";

    for (size_t at = 0; at < sizeof head - 1; at++) {
        char was = head[at];

        head[at] = '\0';
        cr_expect_eq(scanned_as(cw_http_scan_head, head, sizeof head - 1), -400, "at %zu", at);
        head[at] = was;
    }
}

Test(http_parse, tabs_and_bytes_above_127_pass_in_values)
{
    cr_expect_gt(
        scanned("GET / HTTP/1.1\r\nA: \t\xc3\xa4\xff \t.............................\r\n\r\n"), 0);
}

Test(http_parse, trailers_end_with_an_empty_line_and_may_be_that_line_alone)
{
    static const char many[] = "A:\r\nB:\r\nC:\r\nD:\r\nE:\r\nF:\r\nG:\r\nH:\r\n";
    char text[ROOM];

    cr_expect_eq(scanned_as(cw_http_scan_trailers, "\r\nGET", 5), 2);
    cr_expect_eq(scanned_as(cw_http_scan_trailers, "A: b\r\n\r\nGET", 11), 8);
    cr_expect_eq(scanned_as(cw_http_scan_trailers, "A: b\n\r\n", 7), -400);
    cr_expect_eq(scanned_as(cw_http_scan_trailers, " A: b\r\n\r\n", 9), -400);
    snprintf(text, sizeof text, "%s\r\n", many);
    cr_expect_eq(scanned_as(cw_http_scan_trailers, text, strlen(text)), (ptrdiff_t)strlen(text));
    snprintf(text, sizeof text, "%sI:\r\n\r\n", many);
    cr_expect_eq(scanned_as(cw_http_scan_trailers, text, strlen(text)), -431);
}

Test(http_parse, an_answers_head_begins_with_a_status_line)
{
    cr_expect_eq(scanned_as(cw_http_scan_response, "HTTP/1.1 200 OK\r\n\r\n", 19), 19);
    cr_expect_eq(scanned_as(cw_http_scan_response, "HTTQ/1.1 200 OK\r\n\r\n", 19), -400);
}

/* ---- reading ---- */

static struct cw_http_line lines[FIELDS];
static struct cw_http_head head;
static const char *why;

static int status_of(const char *text)
{
    head = (struct cw_http_head){.fields = lines, .fields_cap = FIELDS};
    why = NULL;
    int status = cw_http_parse_request((const uint8_t *)text, strlen(text), &head, &why);

    cr_expect(status == 0 || why != NULL, "refused without a sentence: %s", text);
    return status;
}

/* A request with these field lines besides Host. */
static int status_with(const char *fields)
{
    static char text[ROOM];

    int len = snprintf(text, sizeof text, "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);

    cr_assert(len > 0 && (size_t)len < sizeof text);
    return status_of(text);
}

static void expect_bytes(const char *text, size_t at, size_t len, const char *expected)
{
    cr_expect_eq(len, strlen(expected), "%zu bytes instead of %s", len, expected);
    cr_expect(strncmp(text + at, expected, len) == 0, "not %s", expected);
}

Test(http_parse, a_head_is_taken_apart_into_offsets)
{
    static const char text[] =
        "\r\nGET /a?b HTTP/1.1\r\nHost: c\r\nX-Y:\t d e\t \r\nEmpty:\r\n\r\n";

    cr_assert_eq(status_of(text), 0, "%s", why);
    expect_bytes(text, head.method, head.method_len, "GET");
    expect_bytes(text, head.target, head.target_len, "/a?b");
    cr_expect_eq(head.known_method, CW_METHOD_GET);
    cr_expect_eq(head.version, 11);
    cr_assert_eq(head.field_count, 3);
    expect_bytes(text, lines[0].name, lines[0].name_len, "Host");
    expect_bytes(text, lines[0].value, lines[0].value_len, "c");
    expect_bytes(text, lines[1].name, lines[1].name_len, "X-Y");
    expect_bytes(text, lines[1].value, lines[1].value_len, "d e");
    expect_bytes(text, lines[2].name, lines[2].name_len, "Empty");
    cr_expect_eq(lines[2].value_len, 0);
    cr_expect_eq(lines[1].known, CW_KNOWN_COUNT);
    cr_expect_eq(head.first[CW_KNOWN_HOST], 1);
    cr_expect(head.keep_alive);
    cr_expect_not(head.chunked);
    cr_expect_eq(head.content_length, 0);
}

Test(http_parse, every_known_field_is_known_in_any_case)
{
    static const char *const names[CW_KNOWN_COUNT] = {
        "Host", "Content-Length", "Transfer-Encoding", "Connection", "Expect", "Upgrade",
    };
    char text[ROOM];

    for (size_t known = 0; known < CW_KNOWN_COUNT; known++) {
        const char *value = known == CW_KNOWN_TRANSFER_ENCODING ? "chunked"
                            : known == CW_KNOWN_EXPECT          ? "100-continue"
                                                                : "1";
        for (int upper = 0; upper < 2; upper++) {
            snprintf(text, sizeof text, "%s: %s\r\n", names[known], value);
            for (size_t i = 0; upper != 0 && i < strlen(names[known]); i++) {
                text[i] = (char)(text[i] >= 'a' && text[i] <= 'z' ? text[i] - 32 : text[i]);
            }
            if (known == CW_KNOWN_HOST) {
                cr_expect_eq(status_with(text), 400);
                continue;
            }
            cr_expect_eq(status_with(text), 0, "%s: %s", text, why);
            cr_expect_eq(head.first[known], 2, "%s", text);
            cr_expect_eq(lines[1].known, known, "%s", text);
        }
    }
}

Test(http_parse, names_like_known_ones_are_not_known)
{
    cr_expect_eq(
        status_with("Content_Length: 5\r\nContent-Lengtj: 5\r\nTransfer-Encodinh: gzip\r\n"), 0);
    for (size_t i = 1; i < head.field_count; i++) {
        cr_expect_eq(lines[i].known, CW_KNOWN_COUNT);
    }
    cr_expect_eq(head.content_length, 0);
}

Test(http_parse, any_token_is_a_method)
{
    static const struct {
        const char *method;
        int known;
    } cases[] = {
        {"GET", CW_METHOD_GET},         {"HEAD", CW_METHOD_HEAD},
        {"POST", CW_METHOD_POST},       {"PUT", CW_METHOD_PUT},
        {"DELETE", CW_METHOD_DELETE},   {"OPTIONS", CW_METHOD_OPTIONS},
        {"CONNECT", CW_METHOD_CONNECT}, {"TRACE", CW_METHOD_TRACE},
        {"PATCH", CW_METHOD_PATCH},     {"get", CW_METHOD_OTHER},
        {"PROPFIND", CW_METHOD_OTHER},  {"MY-OWN.METHOD!", CW_METHOD_OTHER},
        {"G", CW_METHOD_OTHER},         {"GETT", CW_METHOD_OTHER},
        {"PRI", CW_METHOD_OTHER},       {"OPTIONS1", CW_METHOD_OTHER},
    };
    char text[ROOM];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(text, sizeof text, "%s / HTTP/1.1\r\nHost: a\r\n\r\n", cases[i].method);
        cr_expect_eq(status_of(text), 0, "%s: %s", cases[i].method, why);
        cr_expect_eq(head.known_method, cases[i].known, "%s", cases[i].method);
        expect_bytes(text, head.method, head.method_len, cases[i].method);
    }
}

Test(http_parse, request_lines_that_are_none_are_refused)
{
    static const struct {
        const char *line;
        int status;
    } cases[] = {
        {"GET  / HTTP/1.1", 400}, {"GET /  HTTP/1.1", 400}, {"GET /a b HTTP/1.1", 400},
        {"GET HTTP/1.1", 400},    {"GET  HTTP/1.1", 400},   {"GET /\t HTTP/1.1", 400},
        {"GET / HTTP/2.0", 505},  {"GET / HTTP/0.9", 505},  {"PRI * HTTP/2.0", 505},
        {"GET / HTTP/1.1x", 400}, {"GET /\tHTTP/1.1", 400}, {"/ HTTP/1.1", 400},
    };
    char text[ROOM];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(text, sizeof text, "%s\r\nHost: a\r\n\r\n", cases[i].line);
        cr_expect_eq(status_of(text), cases[i].status, "%s: %d", cases[i].line, status_of(text));
    }
}

Test(http_parse, versions_above_1_1_count_as_1_1)
{
    cr_expect_eq(status_of("GET / HTTP/1.7\r\nHost: a\r\n\r\n"), 0);
    cr_expect_eq(head.version, 11);
    cr_expect_eq(status_of("GET / HTTP/1.0\r\n\r\n"), 0);
    cr_expect_eq(head.version, 10);
    cr_expect_not(head.keep_alive);
}

Test(http_parse, lengths_are_one_number)
{
    static const struct {
        const char *fields;
        int status;
        uint64_t length;
    } cases[] = {
        {"Content-Length: 0\r\n", 0, 0},
        {"Content-Length: 5\r\n", 0, 5},
        {"content-length:   0005  \r\n", 0, 5},
        {"Content-Length: 9223372036854775807\r\n", 0, INT64_MAX},
        {"Content-Length: 9223372036854775808\r\n", 400, 0},
        {"Content-Length: 18446744073709551616\r\n", 400, 0},
        {"Content-Length: 99999999999999999999999999999\r\n", 400, 0},
        {"Content-Length:\r\n", 400, 0},
        {"Content-Length: +5\r\n", 400, 0},
        {"Content-Length: -5\r\n", 400, 0},
        {"Content-Length: 0x5\r\n", 400, 0},
        {"Content-Length: 5a\r\n", 400, 0},
        {"Content-Length: 5 5\r\n", 400, 0},
        {"Content-Length: 5, 5\r\n", 400, 0},
        {"Content-Length: 5,\r\n", 400, 0},
        {"Content-Length: 5.0\r\n", 400, 0},
        {"Content-Length: \"5\"\r\n", 400, 0},
        {"Content-Length: 5\r\nContent-Length: 5\r\n", 400, 0},
        {"Content-Length: 5\r\nContent-Length: 6\r\n", 400, 0},
        {"Content-Length: \xb2\r\n", 400, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_eq(status_with(cases[i].fields), cases[i].status, "%s: %s", cases[i].fields, why);
        if (cases[i].status == 0) {
            cr_expect_eq(head.content_length, cases[i].length, "%s", cases[i].fields);
        }
    }
}

Test(http_parse, the_only_transfer_coding_is_chunked)
{
    static const struct {
        const char *fields;
        int status;
    } cases[] = {
        {"Transfer-Encoding: chunked\r\n", 0},
        {"TRANSFER-ENCODING:\tChunKed \r\n", 0},
        {"Transfer-Encoding: gzip, chunked\r\n", 501},
        {"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", 501},
        {"Transfer-Encoding: ,chunked\r\n", 400},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n", 400},
        {"Transfer-Encoding: gzip\r\n", 400},
        {"Transfer-Encoding: identity\r\n", 400},
        {"Transfer-Encoding:\r\n", 400},
        {"Transfer-Encoding: chunked, chunked\r\n", 400},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400},
        {"Transfer-Encoding: chunked, identity\r\n", 400},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", 400},
        {"Transfer-Encoding: chunked;q=1\r\n", 400},
        {"Transfer-Encoding: xchunked\r\n", 400},
        {"Transfer-Encoding: chunkedx\r\n", 400},
        {"Transfer-Encoding: \"chunked\"\r\n", 400},
        {"Transfer-Encoding: chunked\x0b\r\n", 400},
        {"Transfer-Encoding: chu nked\r\n", 400},
        {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400},
        {"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400},
        {"Transfer-Encoding: gzip, chunked\r\nContent-Length: 5\r\n", 400},
        {"Transfer-Encoding : chunked\r\n", 400},
        {"Transfer-Encoding\t: chunked\r\n", 400},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_eq(status_with(cases[i].fields), cases[i].status, "%s: %s", cases[i].fields, why);
        cr_expect(cases[i].status != 0 || head.chunked, "%s", cases[i].fields);
    }
    cr_expect_eq(status_of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

Test(http_parse, names_of_fields_are_tokens)
{
    static const char *const fields[] = {
        ": b\r\n",     "A : b\r\n",    "A\t: b\r\n", "A b: c\r\n",       "A\r\n",
        "A(b): c\r\n", "\"A\": b\r\n", "A/b: c\r\n", "A\xc3\xa4: b\r\n", "A@b: c\r\n",
    };

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        cr_expect_eq(status_with(fields[i]), 400, "%s", fields[i]);
    }
    cr_expect_eq(status_with("!#$%&'*+-.^_`|~09azAZ: b\r\n"), 0, "%s", why);
}

Test(http_parse, more_fields_than_there_is_room_for_are_refused)
{
    cr_expect_eq(status_with("A:\r\nB:\r\nC:\r\nD:\r\nE:\r\nF:\r\nG:\r\n"), 0);
    cr_expect_eq(status_with("A:\r\nB:\r\nC:\r\nD:\r\nE:\r\nF:\r\nG:\r\nH:\r\n"), 431);
}

Test(http_parse, a_request_has_one_sound_host)
{
    static const struct {
        const char *fields;
        int status;
    } cases[] = {
        {"Host: a\r\n", 0},
        {"Host:\r\n", 0},
        {"Host: a.b-c_d~e:8080\r\n", 0},
        {"Host: a%20b!$&'()*+,;=\r\n", 0},
        {"Host: a%2\r\n", 400},
        {"Host: a:0\r\n", 400},
        {"Host: [::1%eth0]\r\n", 400},
        {"Host: a:\r\n", 0},
        {"Host: 127.0.0.1:80\r\n", 0},
        {"Host: [::1]\r\n", 0},
        {"Host: [::1]:80\r\n", 0},
        {"", 400},
        {"Host: a\r\nHost: a\r\n", 400},
        {"Host: a\r\nHost: b\r\n", 400},
        {"Host: a b\r\n", 400},
        {"Host: a/b\r\n", 400},
        {"Host: a@b\r\n", 400},
        {"Host: a:b\r\n", 400},
        {"Host: a:65536\r\n", 400},
        {"Host: a:80:80\r\n", 400},
        {"Host: :80\r\n", 400},
        {"Host: [::1\r\n", 400},
        {"Host: []\r\n", 400},
        {"Host: [::1]x\r\n", 400},
        {"Host: a?\r\n", 400},
        {"Host: a#\r\n", 400},
        {"Host: a\\b\r\n", 400},
        {"Host: http://a\r\n", 400},
        {"Host: \xc3\xa4\r\n", 400},
    };
    char text[ROOM];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\n%s\r\n", cases[i].fields);
        cr_expect_eq(status_of(text), cases[i].status, "%s: %s", cases[i].fields, why);
    }
    cr_expect_eq(status_of("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), 400);
}

Test(http_parse, connections_are_kept_by_version_and_fields)
{
    static const struct {
        const char *text;
        bool kept;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: ,close ,\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nProxy-Connection: close\r\n\r\n", true},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nProxy-Connection: keep-alive\r\n\r\n", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect_eq(status_of(cases[i].text), 0, "%s: %s", cases[i].text, why);
        cr_expect_eq(head.keep_alive, cases[i].kept, "%s", cases[i].text);
    }
}

Test(http_parse, an_upgrade_is_one_only_if_connection_names_it)
{
    static const char body[] = "Upgrade: h2c, websocket\r\nConnection: HTTP2-Settings, Upgrade\r\n"
                               "Content-Length: 3\r\n";

    cr_expect_eq(status_with(body), 0, "%s", why);
    cr_expect(head.upgrade);
    cr_expect_eq(head.content_length, 3);
    cr_expect_eq(status_with("Upgrade: websocket\r\n"), 0);
    cr_expect_not(head.upgrade);
    cr_expect_eq(status_with("Connection: upgrade\r\n"), 0);
    cr_expect_not(head.upgrade);
    cr_expect_eq(status_of("GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
                 0);
    cr_expect_not(head.upgrade);
    cr_expect_eq(status_of("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nAfter: all\r\n\r\n"), 0);
    cr_expect_eq(head.field_count, 2);
}

Test(http_parse, the_only_expectation_is_100_continue)
{
    cr_expect_eq(status_with("Expect: 100-Continue\r\nContent-Length: 1\r\n"), 0);
    cr_expect(head.expects_continue);
    cr_expect_eq(status_with("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n"), 0);
    cr_expect(head.expects_continue);
    cr_expect_eq(status_with("Expect: 100-continue\r\n"), 0);
    cr_expect_not(head.expects_continue, "there is no body to wait for");
    cr_expect_eq(status_with("Expect: 100-continue, tea\r\n"), 417);
    cr_expect_eq(status_with("Expect: 200-ok\r\n"), 417);
    cr_expect_eq(status_of("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"),
                 0);
    cr_expect_not(head.expects_continue);
}

/* ---- answers ---- */

static int answer(const char *text, bool head_request, bool connect)
{
    head = (struct cw_http_head){.fields = lines, .fields_cap = FIELDS};
    why = NULL;
    int result = cw_http_parse_response(cw_span_text(text), head_request, connect, &head, &why);

    cr_expect(result == 0 || why != NULL, "refused without a sentence: %s", text);
    return result;
}

Test(http_parse, an_answers_body_follows_the_rules)
{
    cr_expect_eq(answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, false), 0);
    cr_expect_eq(head.status, 200);
    cr_expect_eq(head.content_length, 5);
    cr_expect(head.keep_alive);
    cr_expect_not(head.until_end);
    cr_expect_eq(answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, false), 0);
    cr_expect(head.chunked);
    cr_expect_eq(answer("HTTP/1.1 200\r\n\r\n", false, false), 0);
    cr_expect(head.until_end);
    cr_expect_not(head.keep_alive);
}

Test(http_parse, some_answers_have_no_body_whatever_their_fields_say)
{
    static const char *const codes[] = {"100", "204", "304"};
    char text[ROOM];

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        snprintf(text, sizeof text, "HTTP/1.1 %s x\r\nContent-Length: 5\r\n\r\n", codes[i]);
        cr_expect_eq(answer(text, false, false), 0);
        cr_expect_eq(head.content_length, 0);
        cr_expect_not(head.until_end);
    }
    cr_expect_eq(answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true, false), 0);
    cr_expect_not(head.chunked);
    cr_expect(head.keep_alive);
    cr_expect_eq(answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", false, true), 0);
    cr_expect_eq(head.content_length, 0);
    cr_expect_eq(answer("HTTP/1.1 407 No\r\nContent-Length: 9\r\n\r\n", false, true), 0);
    cr_expect_eq(head.content_length, 9);
}

Test(http_parse, answers_that_break_the_rules_are_refused)
{
    static const char *const texts[] = {
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        cr_expect_eq(answer(texts[i], false, false), -1, "%s", texts[i]);
    }
}

/* ---- trailers ---- */

Test(http_parse, trailers_that_must_not_count_are_left_out)
{
    static const char text[] = "Content-Length: 5\r\nX-Sum: 1\r\nTransfer-Encoding: chunked\r\n"
                               "Host: evil\r\nSet-Cookie: a=b\r\nAuthorization: b\r\n"
                               "X-Other:\r\n\r\n";

    head = (struct cw_http_head){.fields = lines, .fields_cap = FIELDS};
    cr_expect_eq(cw_http_parse_trailers((const uint8_t *)text, sizeof text - 1, &head, &why), 0);
    cr_assert_eq(head.field_count, 2);
    expect_bytes(text, lines[0].name, lines[0].name_len, "X-Sum");
    expect_bytes(text, lines[1].name, lines[1].name_len, "X-Other");
    cr_expect_eq(head.first[CW_KNOWN_HOST], 0);
    cr_expect_eq(cw_http_parse_trailers((const uint8_t *)"\r\n", 2, &head, &why), 0);
    cr_expect_eq(head.field_count, 0);
    cr_expect_eq(cw_http_parse_trailers((const uint8_t *)"A : b\r\n\r\n", 9, &head, &why), 400);
}

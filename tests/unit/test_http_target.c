/* Targets taken apart: paths, forms, hosts. */
#include "http/http_target.h"
#include "support/leak.h"

#include <causeway/error.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(http_target, .fini = rig_expect_no_leak, .timeout = 30);

/* ---- helpers: the target in a block of its own size, so that a byte too far is seen ---- */

struct parsed {
    int status;
    const char *why;
    struct cw_http_target target;
    uint8_t *raw;
    uint8_t *room;
};

static struct parsed parse_span(enum cw_http_method_known method, struct cw_span text)
{
    struct parsed parsed = {.why = NULL};

    parsed.raw = malloc(text.len + (text.len == 0));
    parsed.room = malloc(CW_HTTP_TARGET_ROOM(text.len));
    cr_assert(parsed.raw);
    cr_assert(parsed.room);
    memcpy(parsed.raw, text.data, text.len);
    parsed.status = cw_http_parse_target(method, cw_span_of(parsed.raw, text.len), parsed.room,
                                         &parsed.target, &parsed.why);
    return parsed;
}

static struct parsed parse(enum cw_http_method_known method, const char *text)
{
    return parse_span(method, cw_span_text(text));
}

static void release(struct parsed *parsed)
{
    free(parsed->raw);
    free(parsed->room);
}

static bool is(struct cw_span span, const char *text)
{
    return text == NULL ? span.data == NULL
                        : span.data != NULL && cw_span_equal(span, cw_span_text(text));
}

static void expect_path(const char *raw, const char *path)
{
    struct parsed parsed = parse(CW_METHOD_GET, raw);
    struct cw_span got = parsed.target.path;

    cr_expect_eq(parsed.status, 0, "%s: %s", raw, parsed.why);
    if (parsed.status == 0) {
        cr_expect(is(got, path), "%s: %.*s", raw, (int)got.len, (const char *)got.data);
        cr_expect_eq(got.data[got.len], '\0', "%s", raw);
    }
    release(&parsed);
}

static void expect_refused(enum cw_http_method_known method, const char *raw)
{
    struct parsed parsed = parse(method, raw);

    cr_expect_eq(parsed.status, 400, "%s", raw);
    cr_expect_not_null(parsed.why, "%s", raw);
    release(&parsed);
}

/* ---- paths ---- */

Test(http_target, a_plain_path_is_taken_as_it_is)
{
    expect_path("/", "/");
    expect_path("/users/1", "/users/1");
    expect_path("/a/b.c/d..e/", "/a/b.c/d..e/");
    expect_path("/a:b@c!$&'()*+,;=~-_", "/a:b@c!$&'()*+,;=~-_");
}

Test(http_target, escapes_are_decoded_once)
{
    expect_path("/a%20b", "/a b");
    expect_path("/%41%7e%c3%a4", "/A~\xc3\xa4");
    expect_path("/100%25", "/100%");
    expect_path("/%252e%252e/x", "/%2e%2e/x");
    expect_path("/%25%32%65", "/%2e");
    expect_path("/%252F", "/%2F");
    expect_path("/a%3Fb%23c", "/a?b#c");
}

Test(http_target, dots_are_resolved_also_when_they_are_encoded)
{
    expect_path("/a/./b", "/a/b");
    expect_path("/a/../b", "/b");
    expect_path("/a/b/../../c", "/c");
    expect_path("/a/b/..", "/a/");
    expect_path("/a/.", "/a/");
    expect_path("/.", "/");
    expect_path("/a/%2e%2E/b", "/b");
    expect_path("/a/.%2e/b", "/b");
    expect_path("/a/%2e./b", "/b");
    expect_path("/a/%2e/b", "/a/b");
    expect_path("/a/..?x", "/");
}

Test(http_target, names_with_dots_are_names)
{
    expect_path("/.well-known/x", "/.well-known/x");
    expect_path("/...", "/...");
    expect_path("/..a/b", "/..a/b");
    expect_path("/a/..;/b", "/a/..;/b");
    expect_path("/..;/b", "/..;/b");
    expect_path("/a/.;x=1/b", "/a/.;x=1/b");
    expect_path("/%2e%2e%20", "/.. ");
}

Test(http_target, several_slashes_count_as_one)
{
    expect_path("//", "/");
    expect_path("//evil.example/x", "/evil.example/x");
    expect_path("/a//b///c//", "/a/b/c/");
    expect_path("/a//../b", "/b");
    expect_path("/a/.//b", "/a/b");
}

Test(http_target, a_path_above_the_root_is_refused)
{
    static const char *const raws[] = {
        "/..",           "/../",         "/../etc/passwd", "/a/../..",         "/a/../../b",
        "/%2e%2e",       "/%2e%2e/x",    "/.%2E/x",        "/a/%2e%2e/%2e%2e", "//..",
        "/./../x",       "/a/.././../b", "/..?x",          "http://h/..",      "http://h/a/../../b",
        "/a/b/../../..",
    };

    for (size_t i = 0; i < sizeof raws / sizeof raws[0]; i++) {
        expect_refused(CW_METHOD_GET, raws[i]);
    }
}

Test(http_target, a_zero_byte_is_refused_encoded_or_not)
{
    expect_refused(CW_METHOD_GET, "/a%00");
    expect_refused(CW_METHOD_GET, "/%00");
    expect_refused(CW_METHOD_GET, "/a%00.html");

    struct parsed parsed = parse_span(CW_METHOD_GET, cw_span_of("/a\0b", 4));
    cr_expect_eq(parsed.status, 400);
    release(&parsed);
    parsed = parse_span(CW_METHOD_GET, cw_span_of("/a?\0", 4));
    cr_expect_eq(parsed.status, 400);
    release(&parsed);
}

Test(http_target, half_an_escape_in_the_path_is_refused)
{
    static const char *const raws[] = {"/%",   "/%2",   "/a%2/b", "/%zz",
                                       "/%-1", "/%%41", "/%+4",   "/%2 "};

    for (size_t i = 0; i < sizeof raws / sizeof raws[0]; i++) {
        expect_refused(CW_METHOD_GET, raws[i]);
    }
}

Test(http_target, bytes_that_no_target_may_have_are_refused)
{
    static const char *const bytes[] = {" ", "<", ">", "#", "\\", "\x7f", "\x01", "\t", "\r", "\n"};
    char raw[16];

    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        snprintf(raw, sizeof raw, "/a%sb", bytes[i]);
        expect_refused(CW_METHOD_GET, raw);
        snprintf(raw, sizeof raw, "/a?b=%sc", bytes[i]);
        expect_refused(CW_METHOD_GET, raw);
        snprintf(raw, sizeof raw, "/%%41%s", bytes[i]);
        expect_refused(CW_METHOD_GET, raw);
    }
    expect_path("/a\"{|}^`[]\xc3\xa4?\"{|}^`[]\xc3\xa4", "/a\"{|}^`[]\xc3\xa4");
}

Test(http_target, a_backslash_is_no_separator)
{
    expect_path("/a%5c..%5cb", "/a\\..\\b");
    expect_path("/%5c%5chost", "/\\\\host");
    expect_refused(CW_METHOD_GET, "/..\\x");
    expect_refused(CW_METHOD_GET, "\\x");
}

Test(http_target, an_encoded_slash_stays_encoded)
{
    expect_path("/a/b%2fc", "/a/b%2Fc");
    expect_path("/a%2Fb/c%20d", "/a%2Fb/c d");
    expect_path("//x/../a%2Fb//c/.", "/a%2Fb/c/");
    expect_path("/x%2fy/..", "/");
    expect_path("/..%2f..%2fetc", "/..%2F..%2Fetc");
    expect_path("/%252F", "/%2F");
    expect_path("/%252F%2F", "/%2F%2F");
}

/* ---- the query ---- */

Test(http_target, the_query_is_what_stands_behind_the_first_question_mark)
{
    static const char *const cases[][3] = {
        {"/a", "/a", NULL},           {"/a?", "/a", ""},
        {"/a?b=c", "/a", "b=c"},      {"/a/%41?b=%2e%2e/../c?d", "/a/A", "b=%2e%2e/../c?d"},
        {"/?q=100%", "/", "q=100%"},  {"/a?/../..", "/a", "/../.."},
        {"http://h?x=1", "/", "x=1"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct parsed parsed = parse(CW_METHOD_GET, cases[i][0]);
        cr_expect_eq(parsed.status, 0, "%s", cases[i][0]);
        cr_expect(is(parsed.target.path, cases[i][1]), "%s", cases[i][0]);
        cr_expect(is(parsed.target.query, cases[i][2]), "%s", cases[i][0]);
        release(&parsed);
    }
}

/* ---- forms ---- */

Test(http_target, an_absolute_target_has_a_host_and_a_path)
{
    struct parsed parsed = parse(CW_METHOD_GET, "HTTPS://Example.com:8443/a/../b?c");

    cr_expect_eq(parsed.status, 0);
    cr_expect_eq(parsed.target.form, CW_FORM_ABSOLUTE);
    cr_expect(parsed.target.is_https);
    cr_expect(is(parsed.target.authority, "Example.com:8443"));
    cr_expect(is(parsed.target.path, "/b"));
    cr_expect(is(parsed.target.query, "c"));
    release(&parsed);

    parsed = parse(CW_METHOD_POST, "http://[::1]");
    cr_expect_eq(parsed.status, 0);
    cr_expect_not(parsed.target.is_https);
    cr_expect(is(parsed.target.authority, "[::1]"));
    cr_expect(is(parsed.target.path, "/"));
    cr_expect(is(parsed.target.query, NULL));
    release(&parsed);
}

Test(http_target, an_absolute_target_without_a_host_or_of_another_kind_is_refused)
{
    static const char *const raws[] = {
        "",
        "a",
        "a/b",
        "?x",
        "http:/x",
        "http://",
        "http:///x",
        "http://?x",
        "ftp://h",
        "ws://h/",
        "http://u@h/",
        "http://u:p@h/",
        "https:",
        "http://h:/\\",
        "http://h#",
        "h/",
        "h:80",
        "http://h:0/x",
        "http://h:x/",
        "http//h/",
        "javascript:x",
    };

    for (size_t i = 0; i < sizeof raws / sizeof raws[0]; i++) {
        expect_refused(CW_METHOD_GET, raws[i]);
    }
}

Test(http_target, the_asterisk_goes_with_options_alone)
{
    struct parsed parsed = parse(CW_METHOD_OPTIONS, "*");

    cr_expect_eq(parsed.status, 0);
    cr_expect_eq(parsed.target.form, CW_FORM_ASTERISK);
    cr_expect(is(parsed.target.path, "*"));
    release(&parsed);
    expect_refused(CW_METHOD_GET, "*");
    expect_refused(CW_METHOD_OTHER, "*");
    expect_refused(CW_METHOD_OPTIONS, "**");
    expect_refused(CW_METHOD_OPTIONS, "*/");
}

Test(http_target, options_of_a_url_without_a_path_asks_about_the_whole_server)
{
    struct parsed parsed = parse(CW_METHOD_OPTIONS, "http://h:80");

    cr_expect(is(parsed.target.path, "*"));
    release(&parsed);
    parsed = parse(CW_METHOD_OPTIONS, "http://h/");
    cr_expect(is(parsed.target.path, "/"));
    release(&parsed);
    parsed = parse(CW_METHOD_OPTIONS, "http://h?x");
    cr_expect(is(parsed.target.path, "/"));
    release(&parsed);
}

Test(http_target, connect_takes_a_host_with_a_port_and_nothing_else)
{
    struct parsed parsed = parse(CW_METHOD_CONNECT, "example.com:443");

    cr_expect_eq(parsed.status, 0);
    cr_expect_eq(parsed.target.form, CW_FORM_AUTHORITY);
    cr_expect(is(parsed.target.authority, "example.com:443"));
    cr_expect(is(parsed.target.path, ""));
    release(&parsed);
    expect_refused(CW_METHOD_CONNECT, "example.com");
    expect_refused(CW_METHOD_CONNECT, "example.com:");
    expect_refused(CW_METHOD_CONNECT, "example.com:0");
    expect_refused(CW_METHOD_CONNECT, "u@example.com:443");
    expect_refused(CW_METHOD_CONNECT, "/");
    expect_refused(CW_METHOD_CONNECT, "http://example.com:443/");
    expect_refused(CW_METHOD_CONNECT, "*");
    expect_refused(CW_METHOD_CONNECT, "");
    expect_refused(CW_METHOD_GET, "example.com:443");
}

/* ---- hosts ---- */

static void expect_host(const char *text, const char *host, uint16_t port)
{
    struct cw_span got = {NULL, 0};
    uint16_t got_port = 7;

    cr_expect_eq(cw_http_parse_authority(cw_span_text(text), &got, &got_port), CW_OK, "%s", text);
    cr_expect(is(got, host), "%s: %.*s", text, (int)got.len, (const char *)got.data);
    cr_expect_eq(got_port, port, "%s: %u", text, got_port);
}

Test(http_target, a_host_is_a_name_or_an_address_and_may_have_a_port)
{
    expect_host("example.com", "example.com", 0);
    expect_host("example.com:8080", "example.com", 8080);
    expect_host("example.com:", "example.com", 0);
    expect_host("example.com:00080", "example.com", 80);
    expect_host("example.com:65535", "example.com", 65535);
    expect_host("EXAMPLE.com.", "EXAMPLE.com.", 0);
    expect_host("a_b-c~d", "a_b-c~d", 0);
    expect_host("127.0.0.1:80", "127.0.0.1", 80);
    expect_host("[::1]", "[::1]", 0);
    expect_host("[::ffff:127.0.0.1]:443", "[::ffff:127.0.0.1]", 443);
    expect_host("[2001:DB8::1]:", "[2001:DB8::1]", 0);
    expect_host("b%C3%BCcher.example", "b%C3%BCcher.example", 0);

    struct cw_span host;
    cr_expect_eq(cw_http_parse_authority(cw_span_text("h:1"), &host, NULL), CW_OK);
}

Test(http_target, what_is_no_host_is_refused)
{
    static const char *const texts[] = {
        "",
        ":80",
        "a b",
        "a/b",
        "a\\b",
        "u@h",
        "a:b",
        "h:65536",
        "h:0",
        "h:-1",
        "h:+1",
        "h:1 ",
        " h",
        "h:80:80",
        "::1",
        "[::1",
        "[]",
        "[::1]x",
        "[::1]:x",
        "[::1]80",
        "[1.2.3.4]",
        "[fe80::1%eth0]",
        "[fe80::1%1]",
        "[v1.x]",
        "[::1]]",
        "h%",
        "h%2",
        "h%zz",
        "h%00",
        "h?x",
        "h#x",
        "h<",
        "h\"",
        "h\x80",
        "[::1]:65536",
        "h:99999999999999999999",
        "[:::1]",
        "h\t",
        "[",
        "]",
        "[::1]@h",
    };
    struct cw_span host;
    uint16_t port;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        cr_expect_eq(cw_http_parse_authority(cw_span_text(texts[i]), &host, &port), CW_EINVAL, "%s",
                     texts[i]);
    }
    cr_expect_eq(cw_http_parse_authority((struct cw_span){NULL, 0}, &host, &port), CW_EINVAL);
    cr_expect_eq(cw_http_parse_authority(cw_span_of("h\0", 2), &host, &port), CW_EINVAL);
}

/* Files over HTTP: what a browser, a player and a cache meet. */
#include "support/leak.h"
#include "support/memory.h"
#include "support/static_site.h"
#include "support/wait.h"

#include <causeway/http_middleware.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { NUMBERS_LEN = 100000 };

static struct static_site site;
static struct http_reply reply;
static uint8_t numbers[NUMBERS_LEN];

static void lay(void)
{
    for (size_t i = 0; i < sizeof numbers; i++) {
        numbers[i] = (uint8_t)(i * 31 + i / 256 * 7);
    }
    static_site_lay(&site);
    static_site_put_text(&site, "a.txt", "0123456789");
    static_site_put_text(&site, "empty", "");
    static_site_put(&site, "numbers.bin", numbers, sizeof numbers);
    static_site_mkdir(&site, "folder");
    static_site_put_text(&site, "folder/index.html", "<p>index");
    static_site_mkdir(&site, "bare");
    static_site_put_text(&site, "bare/b.txt", "b");
}

static void clear(void)
{
    http_reply_release(&reply);
    static_site_end(&site);
    rig_expect_no_leak();
}

TestSuite(http_static, .init = lay, .fini = clear, .timeout = 120);

static void ask(const char *line, const char *fields)
{
    http_reply_release(&reply);
    static_site_ask(&site, line, fields, &reply);
}

static void expect(const char *line, const char *fields, int status, const char *body)
{
    ask(line, fields);
    cr_expect_eq(reply.status, status, "%s %s: %d", line, fields, reply.status);
    if (body) {
        cr_expect_str_eq((const char *)reply.body, body, "%s %s", line, fields);
    }
}

static void expect_field(const char *name, const char *value)
{
    cr_expect_str_eq(http_reply_field(&reply, name), value, "%s", name);
}

/* A line `Name: value` of a request. */
static const char *line_of(const char *name, const char *value)
{
    static char lines[4][512];
    static unsigned next;
    char *line = lines[next++ % 4];

    snprintf(line, sizeof lines[0], "%s: %s\r\n", name, value);
    return line;
}

static const char *field(const char *name)
{
    static char values[4][256];
    static unsigned next;
    char *value = values[next++ % 4];

    snprintf(value, sizeof values[0], "%s", http_reply_field(&reply, name));
    return value;
}

/* ---- whole files ---- */

Test(http_static, a_file_comes_with_its_type_its_length_and_what_caches_need)
{
    static_site_serve(&site, NULL);
    expect("GET /files/a.txt", "", 200, "0123456789");
    expect_field("Content-Type", "text/plain; charset=utf-8");
    expect_field("Content-Length", "10");
    expect_field("Accept-Ranges", "bytes");
    expect_field("Cache-Control", "no-cache");
    expect_field("X-Content-Type-Options", "nosniff");
    cr_expect_eq(field("ETag")[0], '"', "%s", field("ETag"));
    cr_expect_neq(field("Last-Modified")[0], '\0');
    expect("GET /files/empty", "", 200, "");
    expect_field("Content-Length", "0");
    expect_field("Content-Type", "application/octet-stream");
}

Test(http_static, head_tells_the_same_without_the_file)
{
    static const char *const names[] = {"Content-Type",  "Content-Length", "ETag",
                                        "Last-Modified", "Accept-Ranges",  "Cache-Control"};
    char values[6][256];

    static_site_serve(&site, NULL);
    ask("GET /files/numbers.bin", "");
    for (size_t i = 0; i < 6; i++) {
        snprintf(values[i], sizeof values[i], "%s", field(names[i]));
    }
    ask("HEAD /files/numbers.bin", "Range: bytes=0-1\r\n");
    cr_expect_eq(reply.status, 200);
    cr_expect_eq(reply.body_len, 0);
    for (size_t i = 0; i < 6; i++) {
        expect_field(names[i], values[i]);
    }
}

Test(http_static, a_large_file_comes_byte_for_byte)
{
    static_site_serve(&site, NULL);
    ask("GET /files/numbers.bin", "");
    cr_assert_eq(reply.body_len, NUMBERS_LEN);
    cr_expect_eq(memcmp(reply.body, numbers, NUMBERS_LEN), 0);
}

Test(http_static, what_is_not_there_is_404_and_other_methods_are_405)
{
    static_site_serve(&site, NULL);
    expect("GET /files/none", "", 404, NULL);
    expect_field("ETag", "");
    expect("GET /files/a.txt/", "", 404, NULL);
    expect("GET /files/a.txt/b", "", 404, NULL);
    expect("GET /other/a.txt", "", 404, NULL);
    expect("POST /files/a.txt", "Content-Length: 0\r\n", 405, NULL);
    expect_field("Allow", "GET, HEAD, OPTIONS");
    expect("DELETE /files/a.txt", "", 405, NULL);
}

Test(http_static, a_file_that_may_not_be_read_is_403)
{
    bool root = geteuid() == 0;

    cr_assert_eq(chmod(static_site_at(&site, "root/a.txt"), 0), 0);
    static_site_serve(&site, NULL);
    cr_assert_eq(root ? seteuid(65534) : 0, 0); /* root reads everything */
    expect("GET /files/a.txt", "", 403, NULL);
    expect("GET /files/empty", "", 200, "");
    cr_assert_eq(root ? seteuid(0) : 0, 0);
}

/* Lets this process have so many descriptors more than it has. */
static void allow_descriptors(rlim_t more)
{
    struct rlimit limit;
    int next = dup(0);

    rig_check(next >= 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0);
    close(next);
    limit.rlim_cur = (rlim_t)next + more;
    rig_check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static void allow_descriptors_again(void)
{
    struct rlimit limit;

    rig_check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    rig_check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

Test(http_static, without_descriptors_it_is_503)
{
    static const char request[] = "GET /files/a.txt HTTP/1.1\r\nHost: a\r\n\r\n";

    static_site_serve(&site, NULL);

    struct http_peer peer = http_peer_new(site.port);

    http_peer_ask(&peer, request, &reply);
    allow_descriptors(0);
    http_reply_release(&reply);
    http_peer_ask(&peer, request, &reply);
    cr_expect_eq(reply.status, 503);
    allow_descriptors_again();
    http_reply_release(&reply);
    http_peer_ask(&peer, request, &reply);
    cr_expect_eq(reply.status, 200);
    http_peer_close(&peer);
}

/* As a file that shrinks before its first byte is read: the kernel's own say 4096 bytes and have a few. */
Test(http_static, a_file_that_has_less_than_it_says_is_500_and_nothing_is_said_of_it)
{
    struct cw_server *server;

    if (access("/sys/kernel/uevent_seqnum", R_OK) != 0) {
        cr_skip_test("no sysfs here");
    }
    server = rig_server(&cw_http, NULL);
    cr_assert_eq(cw_http_static(server, "/files", "/sys/kernel", NULL), 0);
    site.host = rig_host_start(server, NULL, NULL);
    site.port = rig_host_port(site.host, 0);
    expect("GET /files/uevent_seqnum", "", 500, NULL);
    expect_field("ETag", "");
    expect_field("Last-Modified", "");
    expect_field("Cache-Control", "");
    expect_field("Accept-Ranges", "");
}

Test(http_static, several_files_come_in_order_on_one_connection)
{
    static_site_serve(&site, NULL);

    struct http_peer peer = http_peer_new(site.port);

    http_peer_send(&peer, "GET /files/numbers.bin HTTP/1.1\r\nHost: a\r\n\r\n"
                          "GET /files/a.txt HTTP/1.1\r\nHost: a\r\n\r\n"
                          "GET /files/a.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1,4-5\r\n\r\n"
                          "GET /files/a.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=-1\r\n\r\n");
    http_peer_read(&peer, &reply, false);
    cr_expect_eq(reply.body_len, NUMBERS_LEN);
    http_reply_release(&reply);
    http_peer_read(&peer, &reply, false);
    cr_expect_str_eq((const char *)reply.body, "0123456789");
    http_reply_release(&reply);
    http_peer_read(&peer, &reply, false);
    cr_expect_eq(reply.status, 206);
    http_reply_release(&reply);
    http_peer_read(&peer, &reply, false);
    cr_expect_str_eq((const char *)reply.body, "9");
    http_peer_close(&peer);
}

/* ---- what it costs ---- */

static void lay_packed(void)
{
    static_site_put_text(&site, "p.js", "plain");
    static_site_put_text(&site, "p.js.gz", "gzipped");
    static_site_put_text(&site, "p.js.br", "brotli!");
    static_site_put_text(&site, "g.css", "plain");
    static_site_put_text(&site, "g.css.gz", "gzipped");
    static_site_put_text(&site, "old.css", "plain");
    static_site_put_text(&site, "old.css.gz", "gzipped");
    static_site_touch(&site, "old.css.gz", -3600);
    static_site_put_text(&site, "picture.png", "plain");
    static_site_put_text(&site, "picture.png.gz", "gzipped");
    static_site_put_text(&site, "gone.css.gz", "gzipped");
}

enum { COUNTED = 200 };

static void ask_many(struct http_peer *peer, const char *request, int count)
{
    for (int i = 0; i < count; i++) {
        http_reply_release(&reply);
        http_peer_ask(peer, request, &reply);
    }
}

/* The test's own memory is not counted: it is not the framework's. */
static void expect_no_memory_for(const char *request, int status)
{
    struct http_peer peer = http_peer_new(site.port);

    ask_many(&peer, request, 50);

    uint64_t before = rig_memory_calls();

    cr_expect_gt(before, 0, "allocations are counted at all");
    ask_many(&peer, request, COUNTED);
    cr_expect_eq(reply.status, status, "%d", reply.status);
    cr_expect_eq(rig_memory_calls(), before, "%lu allocations for %d of\n%s",
                 rig_memory_calls() - before, COUNTED, request);
    http_peer_close(&peer);
}

Test(http_static, a_file_costs_no_allocation)
{
    rig_memory_count();
    lay_packed();
    static_site_serve(&site, &(struct cw_http_static_options){.precompressed = true});
    expect_no_memory_for("GET /files/a.txt HTTP/1.1\r\nHost: a\r\n\r\n", 200);
    expect_no_memory_for("GET /files/numbers.bin HTTP/1.1\r\nHost: a\r\n\r\n", 200);
    expect_no_memory_for("GET /files/folder/ HTTP/1.1\r\nHost: a\r\n\r\n", 200);
    expect_no_memory_for("HEAD /files/a.txt HTTP/1.1\r\nHost: a\r\n\r\n", 200);
    expect_no_memory_for("GET /files/a.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=1-2\r\n\r\n", 206);
    expect_no_memory_for("GET /files/a.txt HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n", 304);
    expect_no_memory_for("GET /files/none HTTP/1.1\r\nHost: a\r\n\r\n", 404);
    expect_no_memory_for("GET /files/p.js HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n",
                         200);
}

/* ---- folders ---- */

Test(http_static, a_folder_is_its_index_and_without_a_slash_the_way_there)
{
    static_site_serve(&site, NULL);
    expect("GET /files/folder/", "", 200, "<p>index");
    expect_field("Content-Type", "text/html; charset=utf-8");
    expect("GET /files/folder", "", 301, NULL);
    expect_field("Location", "/files/folder/");
    expect("GET /files/folder?a=b&c=%20", "", 301, NULL);
    expect_field("Location", "/files/folder/?a=b&c=%20");
    expect("GET /files", "", 301, NULL);
    expect_field("Location", "/files/");
    expect("HEAD /files/folder", "", 301, NULL);
}

Test(http_static, a_folder_without_an_index_is_not_found)
{
    static_site_serve(&site, NULL);
    expect("GET /files/bare/", "", 404, NULL);
    expect("GET /files/", "", 404, NULL);
}

Test(http_static, the_way_to_a_folder_never_leads_to_another_host)
{
    static const char *const lines[] = {
        "GET //files/folder",
        "GET ///files/folder",
        "GET /files//folder",
        "GET //evil.example/../files/folder",
        "GET http://evil.example/files/folder",
        "GET /%2fevil.example/%2e%2e/files/folder",
    };

    static_site_serve(&site, NULL);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        ask(lines[i], "");
        if (reply.status == 301) {
            cr_expect_str_eq(field("Location"), "/files/folder/", "%s", lines[i]);
        } else {
            cr_expect(reply.status == 404 || reply.status == 400, "%s: %d", lines[i], reply.status);
        }
    }
}

Test(http_static, the_way_to_a_folder_at_the_root_of_the_server_stays_on_it)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    static_site_mkdir(&site, "evil.example");
    static_site_mkdir(&site, "\\evil.example");
    static_site_mkdir(&site, "a b\r\nc");
    cr_assert_eq(cw_http_static(server, "/", static_site_at(&site, "root"), NULL), 0);
    site.host = rig_host_start(server, NULL, NULL);
    site.port = rig_host_port(site.host, 0);
    expect("GET //evil.example", "", 301, NULL);
    expect_field("Location", "/evil.example/");
    expect("GET /%5Cevil.example", "", 301, NULL);
    expect_field("Location", "/%5Cevil.example/");
    expect("GET /a%20b%0d%0ac", "", 301, NULL);
    expect_field("Location", "/a%20b%0D%0Ac/");
    expect("GET /a.txt", "", 200, "0123456789");
}

Test(http_static, the_index_is_the_first_that_is_there)
{
    static_site_put_text(&site, "bare/default.htm", "default");
    static_site_serve(&site, &(struct cw_http_static_options){.index = "index.html, default.htm"});
    expect("GET /files/bare/", "", 200, "default");
    expect("GET /files/folder/", "", 200, "<p>index");
}

Test(http_static, without_an_index_there_is_none)
{
    static_site_serve(&site, &(struct cw_http_static_options){.index = ""});
    expect("GET /files/folder/", "", 404, NULL);
    expect("GET /files/folder/index.html", "", 200, "<p>index");
}

Test(http_static, a_page_of_names_shows_what_is_served_and_nothing_can_leave_its_place)
{
    static_site_put_text(&site, "bare/<script>\"&'.txt", "");
    static_site_put_text(&site, "bare/javascript:alert(1)", "");
    static_site_put_text(&site, "bare/.hidden", "");
    static_site_mkdir(&site, "bare/sub");
    static_site_link(&site, "b.txt", "bare/link");
    cr_assert_eq(mkfifo(static_site_at(&site, "root/bare/fifo"), 0644), 0);
    static_site_serve(&site, &(struct cw_http_static_options){.list = true});
    ask("GET /files/bare/", "");
    cr_expect_eq(reply.status, 200);
    expect_field("Content-Type", "text/html; charset=utf-8");
    cr_expect_not_null(strstr((char *)reply.body, "<a href=\"./b.txt\">b.txt</a>"));
    cr_expect_not_null(strstr((char *)reply.body, "<a href=\"./sub/\">sub/</a>"));
    cr_expect_not_null(strstr((char *)reply.body, "<a href=\"./%3Cscript%3E%22%26%27.txt\">"
                                                  "&lt;script&gt;&quot;&amp;&#39;.txt</a>"));
    cr_expect_not_null(strstr((char *)reply.body, "<a href=\"./javascript%3Aalert%281%29\">"));
    cr_expect_null(strstr((char *)reply.body, "hidden"));
    cr_expect_null(strstr((char *)reply.body, "link"));
    cr_expect_null(strstr((char *)reply.body, "fifo"));
    cr_expect_lt(strstr((char *)reply.body, "b.txt"), strstr((char *)reply.body, "sub/"));
    expect("GET /files/folder/", "", 200, "<p>index");
    expect("GET /files/bare", "", 301, NULL);
    expect("HEAD /files/bare/", "", 200, "");
}

Test(http_static, a_page_of_names_has_an_end)
{
    for (int i = 0; i < 30; i++) {
        char name[32];

        snprintf(name, sizeof name, "bare/many-%d", i);
        static_site_put_text(&site, name, "");
    }
    static_site_serve(&site, &(struct cw_http_static_options){.list = true, .list_max = 10});
    ask("GET /files/bare/", "");

    size_t count = 0;

    for (char *at = (char *)reply.body; (at = strstr(at, "<li>")) != NULL; at++) {
        count++;
    }
    cr_expect_eq(count, 10);
    cr_expect_not_null(strstr((char *)reply.body, "There are more."));
}

Test(http_static, a_fallback_answers_for_pages_and_not_for_what_pages_load)
{
    static_site_put_text(&site, "app.html", "<p>app");
    static_site_serve(&site, &(struct cw_http_static_options){
                                 .fallback = "app.html", .max_age_s = 60, .immutable = true});
    expect("GET /files/users/5", "", 200, "<p>app");
    expect_field("Content-Type", "text/html; charset=utf-8");
    expect_field("Cache-Control", "no-cache");
    expect("GET /files/v1.2", "Accept: text/html,application/xhtml+xml;q=0.9\r\n", 200, "<p>app");
    expect("GET /files/missing.js", "Accept: */*\r\n", 404, NULL);
    expect("GET /files/.env", "Accept: text/html\r\n", 404, NULL);
    expect("GET /files/a.txt", "", 200, "0123456789");
    expect_field("Cache-Control", "public, max-age=60, immutable");
}

/* ---- conditions ---- */

Test(http_static, what_has_not_changed_is_304)
{
    static_site_serve(&site, NULL);
    ask("GET /files/a.txt", "");

    const char *etag = field("ETag");
    const char *date = field("Last-Modified");

    expect("GET /files/a.txt", line_of("If-None-Match", etag), 304, "");
    expect_field("ETag", etag);
    expect_field("Last-Modified", date);
    expect_field("Cache-Control", "no-cache");
    expect_field("Content-Type", "");
    expect("GET /files/a.txt", "If-None-Match: *\r\n", 304, NULL);
    expect("GET /files/a.txt", line_of("If-Modified-Since", date), 304, NULL);
    expect("HEAD /files/a.txt", line_of("If-None-Match", etag), 304, NULL);
    expect("GET /files/a.txt", "If-None-Match: \"other\"\r\n", 200, NULL);
    expect("GET /files/a.txt", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 200, NULL);

    char both[512];

    snprintf(both, sizeof both, "If-None-Match: \"other\"\r\nIf-Modified-Since: %s\r\n", date);
    expect("GET /files/a.txt", both, 200, NULL);
    snprintf(both, sizeof both, "If-None-Match: \"other\"\r\nIf-None-Match: %s\r\n", etag);
    expect("GET /files/a.txt", both, 304, NULL);
}

Test(http_static, what_is_not_as_it_was_expected_is_412)
{
    static_site_serve(&site, NULL);
    ask("GET /files/a.txt", "");

    const char *etag = field("ETag");
    const char *date = field("Last-Modified");

    expect("GET /files/a.txt", line_of("If-Match", etag), 200, NULL);
    expect("GET /files/a.txt", "If-Match: *\r\n", 200, NULL);
    expect("GET /files/a.txt", "If-Match: \"other\"\r\n", 412, NULL);
    expect("GET /files/a.txt", line_of("If-Unmodified-Since", date), 200, NULL);
    expect("GET /files/a.txt", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 412, NULL);
    expect_field("ETag", "");
}

Test(http_static, a_file_that_has_changed_has_another_tag)
{
    static_site_serve(&site, NULL);
    ask("GET /files/a.txt", "");

    const char *etag = field("ETag");

    static_site_put_text(&site, "a.txt", "9876543210");
    expect("GET /files/a.txt", line_of("If-None-Match", etag), 200, "9876543210");
    cr_expect_str_neq(field("ETag"), etag);
}

/* A machine may be so busy that the moment has passed before the answer is made. */
Test(http_static, a_file_that_has_just_changed_has_a_weak_tag_that_no_range_may_name)
{
    char fields[512];
    char etag[256];

    static_site_serve(&site, NULL);
    do {
        static_site_touch(&site, "a.txt", 2);
        ask("GET /files/a.txt", "");
        snprintf(etag, sizeof etag, "%s", field("ETag"));
        snprintf(fields, sizeof fields, "Range: bytes=2-3\r\nIf-Range: %s\r\n", etag);
        ask("GET /files/a.txt", fields);
    } while (strncmp(etag, "W/\"", 3) != 0 || strcmp(field("ETag"), etag) != 0);
    cr_expect_eq(reply.status, 200);
    static_site_touch(&site, "a.txt", -60);
    expect("GET /files/a.txt", line_of("If-None-Match", etag), 200, NULL);
}

/* RFC 9110 §8.8.2.2: within one second a file may change twice. */
Test(http_static, a_time_of_this_very_second_is_none_that_a_range_may_name)
{
    struct stat status;
    char fields[512];

    static_site_serve(&site, NULL);
    do {
        static_site_touch(&site, "a.txt", 0);
        cr_assert_eq(stat(static_site_at(&site, "root/a.txt"), &status), 0);
        ask("GET /files/a.txt", "");
        snprintf(fields, sizeof fields, "Range: bytes=2-3\r\nIf-Range: %s\r\n",
                 field("Last-Modified"));
        ask("GET /files/a.txt", fields);
    } while (time(NULL) != status.st_mtime);
    cr_expect_eq(reply.status, 200);
}

Test(http_static, a_file_from_the_future_is_dated_now)
{
    static_site_touch(&site, "a.txt", 3600);
    static_site_serve(&site, NULL);
    ask("GET /files/a.txt", "");

    struct cw_span modified = cw_span_text(field("Last-Modified"));
    struct cw_span date = cw_span_text(field("Date"));
    int64_t modified_s = 0;
    int64_t date_s = 0;

    cr_assert_eq(cw_http_parse_date(modified, 0, &modified_s), 0);
    cr_assert_eq(cw_http_parse_date(date, 0, &date_s), 0);
    cr_expect_leq(modified_s, date_s + 1);
}

/* ---- ranges ---- */

static void expect_range(const char *range, uint64_t first, uint64_t last)
{
    char content_range[128];

    ask("GET /files/numbers.bin", line_of("Range", range));
    snprintf(content_range, sizeof content_range, "bytes %llu-%llu/%d", (unsigned long long)first,
             (unsigned long long)last, NUMBERS_LEN);
    cr_expect_eq(reply.status, 206, "%s: %d", range, reply.status);
    expect_field("Content-Range", content_range);
    cr_assert_eq(reply.body_len, last - first + 1, "%s", range);
    cr_expect_eq(memcmp(reply.body, numbers + first, reply.body_len), 0, "%s", range);
}

Test(http_static, one_range_comes_byte_for_byte)
{
    static_site_serve(&site, NULL);
    expect_range("bytes=0-0", 0, 0);
    expect_range("bytes=0-499", 0, 499);
    expect_range("bytes=500-", 500, NUMBERS_LEN - 1);
    expect_range("bytes=-1", NUMBERS_LEN - 1, NUMBERS_LEN - 1);
    expect_range("bytes=-500", NUMBERS_LEN - 500, NUMBERS_LEN - 1);
    expect_range("bytes=-999999999", 0, NUMBERS_LEN - 1);
    expect_range("bytes=99999-99999", 99999, 99999);
    expect_range("bytes=99990-18446744073709551615", 99990, 99999);
    expect_range("bytes=1-99998", 1, 99998);
    expect_range("bytes=200000-,7-9", 7, 9);
    expect_field("Content-Type", "application/octet-stream");
}

Test(http_static, a_range_of_any_place_and_length_is_right)
{
    unsigned seed = 20260;

    static_site_serve(&site, NULL);
    for (int i = 0; i < 200; i++) {
        uint64_t first = (uint64_t)rand_r(&seed) % NUMBERS_LEN;
        uint64_t last = first + (uint64_t)rand_r(&seed) % (NUMBERS_LEN - first);
        char range[64];

        snprintf(range, sizeof range, "bytes=%llu-%llu", (unsigned long long)first,
                 (unsigned long long)last);
        expect_range(range, first, last);
    }
}

Test(http_static, a_range_behind_the_end_is_416_and_tells_the_size)
{
    static_site_serve(&site, NULL);
    expect("GET /files/numbers.bin", "Range: bytes=100000-\r\n", 416, NULL);
    expect_field("Content-Range", "bytes */100000");
    expect("GET /files/numbers.bin", "Range: bytes=-0\r\n", 416, NULL);
    expect("GET /files/empty", "Range: bytes=0-0\r\n", 416, NULL);
    expect_field("Content-Range", "bytes */0");
}

Test(http_static, a_range_that_is_none_is_not_looked_at)
{
    static const char *const ranges[] = {"bytes=5-4", "bytes=a-b", "bytes=",     "lines=0-1",
                                         "bytes 0-1", "bytes=--1", "bytes=0-1-2"};

    static_site_serve(&site, NULL);
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        ask("GET /files/a.txt", line_of("Range", ranges[i]));
        cr_expect_eq(reply.status, 200, "%s: %d", ranges[i], reply.status);
    }
}

Test(http_static, a_range_of_what_has_changed_is_the_whole)
{
    static_site_serve(&site, NULL);
    ask("GET /files/a.txt", "");

    char fields[512];
    const char *etag = field("ETag");
    const char *date = field("Last-Modified");

    snprintf(fields, sizeof fields, "Range: bytes=2-3\r\nIf-Range: %s\r\n", etag);
    expect("GET /files/a.txt", fields, 206, "23");
    expect_field("ETag", etag);
    snprintf(fields, sizeof fields, "Range: bytes=2-3\r\nIf-Range: %s\r\n", date);
    expect("GET /files/a.txt", fields, 206, "23");
    expect("GET /files/a.txt", "Range: bytes=2-3\r\nIf-Range: \"other\"\r\n", 200, "0123456789");
    expect("GET /files/a.txt", "Range: bytes=2-3\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
           200, "0123456789");
    snprintf(fields, sizeof fields, "Range: bytes=2-3\r\nIf-Range: W/%s\r\n", etag);
    expect("GET /files/a.txt", fields, 200, "0123456789");
}

/* Reads a body of multipart/byteranges as a client would, and compares each part with the file. */
static size_t expect_parts(void)
{
    char border[128];
    const char *type = field("Content-Type");
    const char *at = (const char *)reply.body;
    const char *end = at + reply.body_len;
    size_t count = 0;

    cr_assert_eq(strncmp(type, "multipart/byteranges; boundary=", 31), 0, "%s", type);
    snprintf(border, sizeof border, "--%s", type + 31);
    cr_assert_eq(strncmp(at, border, strlen(border)), 0);
    for (at += strlen(border); strncmp(at, "--\r\n", 4) != 0; count++) {
        unsigned long long first;
        unsigned long long last;
        const char *body = memmem(at, (size_t)(end - at), "\r\n\r\n", 4);
        const char *range = strstr(at, "\r\nContent-Range: bytes ");

        cr_assert(body && range && range < body);
        cr_assert_eq(sscanf(range, "\r\nContent-Range: bytes %llu-%llu/100000\r\n", &first, &last),
                     2);
        cr_assert_eq(strncmp(at, "\r\nContent-Type: application/octet-stream\r\n", 42), 0);
        cr_assert_eq(memcmp(body + 4, numbers + first, last - first + 1), 0);
        at = body + 4 + (last - first + 1);
        cr_assert_eq(strncmp(at, "\r\n", 2), 0);
        at += 2;
        cr_assert_eq(strncmp(at, border, strlen(border)), 0);
        at += strlen(border);
    }
    cr_expect_eq(at + 4, end);
    return count;
}

Test(http_static, several_ranges_come_in_parts)
{
    static_site_serve(&site, NULL);
    ask("GET /files/numbers.bin", "Range: bytes=0-9,50000-99999, -1 ,200-49000\r\n");
    if (reply.status == 200) {
        ask("GET /files/numbers.bin", "Range: bytes=0-9,50000-99990, -1 ,200-49000\r\n");
    }
    cr_assert_eq(reply.status, 206);
    cr_expect_eq(expect_parts(), 4);
    expect_field("Content-Range", "");
    ask("GET /files/numbers.bin", "Range: bytes=0-0,2-2\r\n");
    cr_expect_eq(expect_parts(), 2);
}

Test(http_static, more_ranges_than_are_allowed_or_overlapping_ones_are_the_whole)
{
    static_site_serve(&site, &(struct cw_http_static_options){.ranges_max = 3});
    expect("GET /files/numbers.bin", "Range: bytes=0-0,2-2,4-4\r\n", 206, NULL);
    cr_expect_eq(expect_parts(), 3);
    expect("GET /files/numbers.bin", "Range: bytes=0-0,2-2,4-4,6-6\r\n", 200, NULL);
    expect("GET /files/numbers.bin", "Range: bytes=0-10,5-20\r\n", 200, NULL);
}

Test(http_static, ranges_can_be_switched_off)
{
    static_site_serve(&site, &(struct cw_http_static_options){.ranges_max = CW_OFF});
    expect("GET /files/a.txt", "Range: bytes=0-1\r\n", 200, "0123456789");
    expect_field("Accept-Ranges", "none");
}

Test(http_static, a_border_does_not_come_twice)
{
    static_site_serve(&site, NULL);
    ask("GET /files/numbers.bin", "Range: bytes=0-0,2-2\r\n");

    const char *first = field("Content-Type");

    ask("GET /files/numbers.bin", "Range: bytes=0-0,2-2\r\n");
    cr_expect_str_neq(field("Content-Type"), first);
}

Test(http_static, ranges_are_what_curl_takes_them_for)
{
    static const char *const ranges[] = {"0-0", "5-500", "99000-", "-777", "0-99999"};
    static char got[NUMBERS_LEN + 1];

    if (system("curl --version >/dev/null 2>&1") != 0) {
        cr_skip_test("no curl here");
    }
    static_site_serve(&site, NULL);
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        char command[256];
        unsigned long long first = 0;
        unsigned long long last = NUMBERS_LEN - 1;

        snprintf(command, sizeof command,
                 "curl -s --max-time 60 --noproxy '*' -r %s http://127.0.0.1:%u/files/numbers.bin",
                 ranges[i], site.port);

        FILE *pipe = popen(command, "r");
        size_t len = fread(got, 1, sizeof got, pipe);

        cr_assert_eq(pclose(pipe), 0);
        if (ranges[i][0] == '-') {
            first = NUMBERS_LEN - strtoull(ranges[i] + 1, NULL, 10);
        } else {
            (void)sscanf(ranges[i], "%llu-%llu", &first, &last);
        }
        cr_assert_eq(len, last - first + 1, "%s", ranges[i]);
        cr_expect_eq(memcmp(got, numbers + first, len), 0, "%s", ranges[i]);
    }
}

/* ---- precompressed ---- */

static void expect_coding(const char *line, const char *accepts, const char *coding,
                          const char *body)
{
    expect(line, accepts, 200, body);
    expect_field("Content-Encoding", coding);
}

Test(http_static, what_is_precompressed_is_sent_to_who_takes_it)
{
    lay_packed();
    static_site_serve(&site, &(struct cw_http_static_options){.precompressed = true});
    expect_coding("GET /files/p.js", "Accept-Encoding: gzip, deflate, br\r\n", "br", "brotli!");
    expect_field("Content-Type", "text/javascript; charset=utf-8");
    expect_field("Vary", "Accept-Encoding");
    expect_coding("GET /files/p.js", "Accept-Encoding: gzip\r\n", "gzip", "gzipped");
    expect_coding("GET /files/p.js", "Accept-Encoding: br;q=0.2, gzip;q=0.8\r\n", "gzip", "gzipped");
    expect_coding("GET /files/p.js", "Accept-Encoding: br;q=0, gzip\r\n", "gzip", "gzipped");
    expect_coding("GET /files/p.js", "Accept-Encoding: deflate\r\n", "", "plain");
    expect_field("Vary", "Accept-Encoding");
    expect_coding("GET /files/p.js", "Accept-Encoding: identity, gzip;q=0.5\r\n", "", "plain");
    expect_coding("GET /files/p.js", "", "", "plain");
    expect_field("Vary", "Accept-Encoding");
    expect_coding("GET /files/g.css", "Accept-Encoding: gzip, br\r\n", "gzip", "gzipped");
    expect_coding("GET /files/old.css", "Accept-Encoding: gzip\r\n", "", "plain");
    expect_coding("GET /files/picture.png", "Accept-Encoding: gzip\r\n", "", "plain");
    expect_field("Vary", "");
    expect("GET /files/gone.css", "Accept-Encoding: gzip\r\n", 404, NULL);
}

Test(http_static, each_coding_has_a_tag_of_its_own_and_ranges_are_of_it)
{
    char fields[512];

    lay_packed();
    static_site_serve(&site, &(struct cw_http_static_options){.precompressed = true});
    ask("GET /files/p.js", "");

    const char *plain = field("ETag");

    ask("GET /files/p.js", "Accept-Encoding: gzip\r\n");

    const char *packed = field("ETag");

    cr_expect_str_neq(packed, plain);
    snprintf(fields, sizeof fields, "Accept-Encoding: gzip\r\nIf-None-Match: %s\r\n", packed);
    expect("GET /files/p.js", fields, 304, NULL);
    expect_field("Vary", "Accept-Encoding");
    snprintf(fields, sizeof fields, "Accept-Encoding: gzip\r\nIf-None-Match: %s\r\n", plain);
    expect("GET /files/p.js", fields, 200, "gzipped");
    snprintf(fields, sizeof fields, "Accept-Encoding: gzip\r\nRange: bytes=2-4\r\nIf-Range: %s\r\n",
             packed);
    expect("GET /files/p.js", fields, 206, "ipp");
    expect_field("Content-Encoding", "gzip");
    expect_field("Content-Range", "bytes 2-4/7");
}

Test(http_static, nothing_is_looked_for_beside_a_file_unless_that_was_asked_for)
{
    lay_packed();
    static_site_serve(&site, NULL);
    expect_coding("GET /files/p.js", "Accept-Encoding: gzip, br\r\n", "", "plain");
    expect_field("Vary", "");
}

/* ---- caches and types ---- */

Test(http_static, an_age_or_none_is_told)
{
    static_site_serve(&site, &(struct cw_http_static_options){.max_age_s = 3600});
    ask("GET /files/a.txt", "");
    expect_field("Cache-Control", "public, max-age=3600");
}

Test(http_static, caches_may_be_left_to_themselves)
{
    static_site_serve(&site, &(struct cw_http_static_options){.max_age_s = CW_OFF});
    ask("GET /files/a.txt", "");
    expect_field("Cache-Control", "");
}

static const char *my_type(const char *name, void *user)
{
    return strcmp(name, "a.txt") == 0 ? user : NULL;
}

Test(http_static, types_can_be_ones_own)
{
    static char type[] = "text/x-digits";

    static_site_serve(&site, &(struct cw_http_static_options){.type_of = my_type, .user = type});
    ask("GET /files/a.txt", "");
    expect_field("Content-Type", "text/x-digits");
    ask("GET /files/folder/index.html", "");
    expect_field("Content-Type", "text/html; charset=utf-8");
}

/* ---- set-up ---- */

static void expect_refused(const char *directory, struct cw_http_static_options options, int code,
                           const char *text)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    cr_expect_eq(cw_http_static(server, "/files", directory, &options), code, "%s", text);
    cr_expect_str_eq(cw_server_error(server), text);
    cw_server_free(server);
}

Test(http_static, what_is_not_allowed_is_refused_by_name)
{
    const char *root = static_site_at(&site, "root");

    expect_refused("/nowhere/at/all", (struct cw_http_static_options){0}, CW_ENOPATH,
                   "cw_http_static /files: /nowhere/at/all: a file or directory of the path does "
                   "not exist");
    expect_refused(NULL, (struct cw_http_static_options){0}, CW_EINVAL,
                   "cw_http_static /files: no directory was named");
    expect_refused(root, (struct cw_http_static_options){.ranges_max = 65}, CW_EINVAL,
                   "cw_http_static /files: ranges_max: at most 64, or CW_OFF, is allowed");
    expect_refused(root, (struct cw_http_static_options){.list_max = 100001}, CW_EINVAL,
                   "cw_http_static /files: list_max: at most 100000 is allowed");
    expect_refused(root, (struct cw_http_static_options){.max_age_s = 3153600001}, CW_EINVAL,
                   "cw_http_static /files: max_age_s: at most 3153600000, or CW_OFF, is allowed");
    expect_refused(root, (struct cw_http_static_options){.immutable = true}, CW_EINVAL,
                   "cw_http_static /files: immutable: needs max_age_s");
    expect_refused(root, (struct cw_http_static_options){.index = "a/b"}, CW_EINVAL,
                   "cw_http_static /files: index: names of files, without a slash");
    expect_refused(root, (struct cw_http_static_options){.index = "1 2 3 4 5 6 7 8 9"}, CW_EINVAL,
                   "cw_http_static /files: index: at most 8 names are allowed");
    expect_refused(root, (struct cw_http_static_options){.fallback = "/a"}, CW_EINVAL,
                   "cw_http_static /files: fallback: a file's path, without a slash at its begin");
}

Test(http_static, a_group_serves_files_behind_its_prefix)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct cw_http_group *group = cw_http_group(server, "/v1", NULL);

    cr_assert_eq(cw_http_group_static(group, "/files", static_site_at(&site, "root"), NULL), 0);
    site.host = rig_host_start(server, NULL, NULL);
    site.port = rig_host_port(site.host, 0);
    expect("GET /v1/files/a.txt", "", 200, "0123456789");
    expect("GET /v1/files/folder", "", 301, NULL);
    expect_field("Location", "/v1/files/folder/");
    expect("GET /files/a.txt", "", 404, NULL);
}

Test(http_static, a_group_without_its_directory_keeps_the_server_from_starting)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct cw_http_group *group = cw_http_group(server, "/v1", NULL);

    cr_expect_eq(cw_http_group_static(group, "/files", "/nowhere/at/all", NULL), CW_ENOPATH);
    cr_expect_eq(cw_server_run(server), CW_ENOPATH);
    cr_expect_not_null(strstr(cw_server_error(server), "/nowhere/at/all"), "%s",
                       cw_server_error(server));
    cw_server_free(server);
    cr_expect_eq(cw_http_group_static(NULL, "/files", static_site_at(&site, "root"), NULL),
                 CW_EINVAL);
}

/* ---- from a handler ---- */

static struct cw_http_dir *dir;

static void download(struct cw_http_exchange *http, void *user)
{
    const char *path = (const char *)cw_http_query(http, "name").data;

    (void)cw_http_set_download(http, "report.txt");
    if (cw_http_reply_path(http, dir, path) == CW_ENOTFOUND) {
        cw_http_reply_text(http, 404, "no such report");
    }
}

Test(http_static, a_handler_answers_with_one_file)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    dir = cw_http_dir_new(static_site_at(&site, "root"), NULL);
    cr_assert_not_null(dir);
    cr_assert_eq(cw_http_route(server, "GET|POST /report", download, NULL), 0);
    site.host = rig_host_start(server, NULL, NULL);
    site.port = rig_host_port(site.host, 0);
    expect("GET /report?name=a.txt", "", 200, "0123456789");
    cr_expect_eq(strncmp(field("Content-Disposition"), "attachment; filename=", 21), 0, "%s",
                 field("Content-Disposition"));
    expect("GET /report?name=a.txt", "Range: bytes=3-4\r\n", 206, "34");
    expect("GET /report?name=a.txt", "If-None-Match: *\r\n", 304, NULL);
    expect("POST /report?name=a.txt", "If-None-Match: *\r\nContent-Length: 0\r\n", 200,
           "0123456789");
    expect("GET /report?name=../secret", "", 404, "no such report");
    expect("GET /report?name=/etc/passwd", "", 404, "no such report");
    expect("GET /report?name=folder", "", 404, "no such report");
    expect("GET /report?name=.hidden", "", 404, "no such report");
    expect("GET /report?name=", "", 404, "no such report");
    rig_host_end(site.host);
    site.host = NULL;
    cw_http_dir_free(dir);
    cr_expect_null(cw_http_dir_new("/nowhere/at/all", NULL));
}

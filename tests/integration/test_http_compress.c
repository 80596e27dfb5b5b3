/* Compressed answers over sockets. */
#include "support/child.h"
#include "support/host.h"
#include "support/http_talk.h"
#include "support/leak.h"
#include "support/memory.h"
#include "support/scene.h"
#include "support/secure.h"
#include "support/wait.h"

#include <causeway/error.h>
#include <causeway/http.h>
#include <causeway/log.h>
#include <causeway/middleware/http_compress.h>

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

enum { LONG = 100000, MIN = 1024 };

static struct rig_host *host;
static uint16_t port;
static char text[LONG + 1];         /* what most routes answer */
static struct cw_http_id stream_id; /* of the stream under way */
static atomic_uint streams;

/* ---- routes ---- */

static void answer_text(struct cw_http_exchange *http, void *user)
{
    struct cw_span len = cw_http_query(http, "len");
    size_t wanted = len.data == NULL ? LONG : strtoul((const char *)len.data, NULL, 10);

    cw_http_set_field(http, "ETag", "\"tag\"");
    cw_http_set_field(http, "Accept-Ranges", "bytes");
    cw_http_reply(http, 200, user ? user : "text/plain; charset=utf-8", cw_span_of(text, wanted));
}

/* `?name=value`: that field; `?status=n`. */
static void answer_with(struct cw_http_exchange *http, void *user)
{
    struct cw_span query = cw_http_query_string(http);
    struct cw_span name;
    struct cw_span value;
    int status = 200;

    while (cw_http_form_next(&query, &name, &value)) {
        char field[64];
        char worth[64];
        snprintf(field, sizeof field, "%.*s", (int)name.len, (const char *)name.data);
        snprintf(worth, sizeof worth, "%.*s", (int)value.len, (const char *)value.data);
        if (strcmp(field, "status") == 0) {
            status = atoi(worth);
        } else {
            rig_check(cw_http_set_field(http, field, worth) == 0);
        }
    }
    cw_http_reply(http, status, "text/html", cw_span_of(text, LONG));
}

static void answer_nothing(struct cw_http_exchange *http, void *user)
{
    cw_http_set_field(http, "ETag", "\"tag\"");
    cw_http_reply_empty(http, *(const int *)user);
}

static void answer_events(struct cw_http_exchange *http, void *user)
{
    cw_http_begin(http, 200, "text/event-stream; charset=utf-8", CW_NO_LIMIT);
    cw_http_send(http, cw_span_text("data: x\n\n"));
    cw_http_end(http);
}

static void begin_stream(struct cw_http_exchange *http, void *user)
{
    stream_id = cw_http_id(http);
    cw_http_begin(http, 200, "text/plain", CW_NO_LIMIT);
    cw_http_send(http, cw_span_text("first"));
    atomic_fetch_add(&streams, 1);
}

static void answer_short(struct cw_http_exchange *http, void *user)
{
    cw_http_begin(http, 200, "text/plain", LONG);
    cw_http_send(http, cw_span_of(text, LONG - 1));
    rig_check(cw_http_send(http, cw_span_of(text, 2)) == CW_ETOOBIG);
    rig_check(cw_http_end(http) == CW_ETRUNCATED);
}

static void send_more(struct cw_http_exchange *http, void *arg)
{
    const char *more = arg;

    rig_check(http != NULL);
    if (more == NULL) {
        cw_http_end(http);
    } else {
        cw_http_send(http, cw_span_text(more));
    }
}

static void send_if_there(struct cw_http_exchange *http, void *arg)
{
    if (http != NULL) {
        cw_http_send(http, cw_span_text("second"));
    }
}

static ptrdiff_t pull(uint8_t *buffer, size_t cap, void *user)
{
    size_t *at = user;
    size_t len = LONG - *at < cap ? LONG - *at : cap;

    memcpy(buffer, text + *at, len);
    *at += len;
    return (ptrdiff_t)len;
}

static void answer_source(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_source(http, 200, "text/plain", LONG, pull, NULL,
                         cw_http_alloc(http, sizeof(size_t)));
}

static void answer_file(struct cw_http_exchange *http, void *user)
{
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    rig_check(fd >= 0);
    rig_check(write(fd, text, LONG) == LONG);
    cw_http_reply_file(http, 200, "text/plain", &(struct cw_file_range){.fd = fd, .len = LONG});
    close(fd);
}

static void add_routes(struct cw_server *server)
{
    static const int no_content = 204;
    static const int not_modified = 304;

    cw_http_route(server, "GET /text", answer_text, NULL);
    cw_http_route(server, "GET /png", answer_text, (void *)"image/png");
    cw_http_route(server, "GET /with", answer_with, NULL);
    cw_http_route(server, "GET /204", answer_nothing, (void *)&no_content);
    cw_http_route(server, "GET /304", answer_nothing, (void *)&not_modified);
    cw_http_route(server, "GET /events", answer_events, NULL);
    cw_http_route(server, "GET /stream", begin_stream, NULL);
    cw_http_route(server, "GET /short", answer_short, NULL);
    cw_http_route(server, "GET /source", answer_source, NULL);
    cw_http_route(server, "GET /file", answer_file, NULL);
}

static void start(const struct cw_http_compress_options *options)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    cw_http_use(server, cw_http_compress(options));
    add_routes(server);
    host = rig_host_start(server, NULL, NULL);
    port = rig_host_port(host, 0);
}

static void begin(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    for (size_t i = 0; i < LONG; i++) {
        text[i] = (char)("etaoin shrdlu\n"[(i * i / 7 + i / 100) % 14]);
    }
}

static void finish(void)
{
    if (host != NULL) {
        rig_host_end(host);
    }
    rig_expect_no_leak();
}

TestSuite(http_compress, .init = begin, .fini = finish, .timeout = 60);

/* ---- asking ---- */

#define GZIP "Accept-Encoding: gzip\r\n"

static void get(const char *target, const char *fields, struct rig_answer *answer)
{
    char request[400];

    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", target, fields);
    rig_ask_once(port, request, cw_span_of(NULL, 0), answer);
}

/* The encoding of an answer; "identity": none. */
static const char *encoding_of(const char *target, const char *fields)
{
    static char name[32];
    struct rig_answer answer;

    get(target, fields, &answer);
    const char *encoding = rig_answer_field(&answer, "Content-Encoding");
    snprintf(name, sizeof name, "%s", encoding ? encoding : "identity");
    rig_answer_free(&answer);
    return name;
}

static void expect_encoding(const char *accepted, const char *wanted)
{
    char fields[200];

    snprintf(fields, sizeof fields, "Accept-Encoding: %s\r\n", accepted);
    cr_expect_str_eq(encoding_of("/text", fields), wanted, "%s", accepted);
}

static void expect_gzip_of(const struct rig_answer *answer, const char *wanted, size_t len)
{
    uint8_t *plain = malloc(len + 1);
    z_stream stream = {.next_in = answer->body, .avail_in = (unsigned)answer->len};

    cr_assert_not_null(plain);
    cr_assert_eq(inflateInit2(&stream, 15 + 16), Z_OK);
    stream.next_out = plain;
    stream.avail_out = (unsigned)len + 1;
    cr_expect_eq(inflate(&stream, Z_FINISH), Z_STREAM_END);
    cr_expect(cw_span_equal(cw_span_of(plain, len + 1 - stream.avail_out), cw_span_of(wanted, len)));
    cr_expect_eq(stream.avail_in, 0);
    inflateEnd(&stream);
    free(plain);
}

/* ---- what is compressed ---- */

Test(http_compress, a_whole_answer_leaves_compressed_with_its_length)
{
    struct rig_answer answer;

    start(NULL);
    get("/text", GZIP, &answer);
    cr_expect_eq(answer.status, 200);
    cr_expect_str_eq(rig_answer_field(&answer, "Content-Encoding"), "gzip");
    cr_expect_str_eq(rig_answer_field(&answer, "Vary"), "Accept-Encoding");
    cr_expect_str_eq(rig_answer_field(&answer, "ETag"), "W/\"tag\"");
    cr_expect_null(rig_answer_field(&answer, "Accept-Ranges"));
    cr_expect_not_null(rig_answer_field(&answer, "Content-Length"));
    cr_expect_lt(answer.len, LONG / 2);
    expect_gzip_of(&answer, text, LONG);
    rig_answer_free(&answer);
}

Test(http_compress, a_client_that_does_not_ask_gets_it_as_it_is)
{
    struct rig_answer answer;

    start(NULL);
    get("/text", "", &answer);
    cr_expect_null(rig_answer_field(&answer, "Content-Encoding"));
    cr_expect_str_eq(rig_answer_field(&answer, "Vary"), "Accept-Encoding");
    cr_expect_str_eq(rig_answer_field(&answer, "ETag"), "\"tag\"");
    cr_expect_str_eq(rig_answer_field(&answer, "Accept-Ranges"), "bytes");
    cr_expect(cw_span_equal(cw_span_of(answer.body, answer.len), cw_span_of(text, LONG)));
    rig_answer_free(&answer);
}

Test(http_compress, what_the_client_likes_best_is_taken)
{
    const char *brotli = cw_http_compress_has_brotli() ? "br" : "gzip";

    start(NULL);
    expect_encoding("gzip", "gzip");
    expect_encoding("GZIP", "gzip");
    expect_encoding("gzip, deflate, br", brotli);
    expect_encoding("br;q=0.5, gzip;q=0.8", "gzip");
    expect_encoding("gzip;q=0.001", "gzip");
    expect_encoding("gzip;q=0", "identity");
    expect_encoding("gzip;q=0, *", cw_http_compress_has_brotli() ? "br" : "identity");
    expect_encoding("*;q=0", "identity");
    expect_encoding("*", brotli);
    expect_encoding("deflate", "identity");
    expect_encoding("", "identity");
    expect_encoding("identity", "identity");
    expect_encoding("identity;q=1, gzip;q=0.5", "identity");
    expect_encoding("identity;q=0.5, gzip;q=0.5, br;q=0", "gzip");
    expect_encoding("identity;q=0, gzip", "gzip");
    expect_encoding("deflate\r\nAccept-Encoding: gzip", "gzip");
    expect_encoding("*\r\nAccept-Encoding: br;q=0, gzip;q=0", "identity");
}

Test(http_compress, a_body_is_compressed_from_the_least_length_on)
{
    struct rig_answer answer;

    start(NULL);
    cr_expect_str_eq(encoding_of("/text?len=1024", GZIP), "gzip");
    get("/text?len=1023", GZIP, &answer);
    cr_expect_null(rig_answer_field(&answer, "Content-Encoding"));
    cr_expect_null(rig_answer_field(&answer, "Vary"));
    rig_answer_free(&answer);
}

Test(http_compress, levels_and_the_least_length_are_options)
{
    start(&(struct cw_http_compress_options){
        .min_bytes = 10, .gzip_level = 1, .brotli_level = CW_OFF});
    cr_expect_str_eq(encoding_of("/text?len=10", GZIP), "gzip");
    cr_expect_str_eq(encoding_of("/text?len=9", GZIP), "identity");
    expect_encoding("br, gzip", "gzip");
    expect_encoding("br", "identity");
}

Test(http_compress, options_that_cannot_be_are_refused)
{
    cr_expect_null(cw_http_compress(&(struct cw_http_compress_options){.gzip_level = 10}));
    cr_expect_null(cw_http_compress(&(struct cw_http_compress_options){.brotli_level = 12}));
    cr_expect_null(cw_http_compress(&(struct cw_http_compress_options){.kept_max = 1025}));
}

static bool never(struct cw_span type)
{
    rig_check(cw_http_equal(type, "text/plain"));
    return false;
}

static bool always(struct cw_span type)
{
    return true;
}

Test(http_compress, which_types_get_smaller_is_an_option)
{
    start(&(struct cw_http_compress_options){.compresses = never});
    cr_expect_str_eq(encoding_of("/text", GZIP), "identity");
}

Test(http_compress, events_are_never_compressed)
{
    start(&(struct cw_http_compress_options){.compresses = always});
    cr_expect_str_eq(encoding_of("/png", GZIP), "gzip");
    cr_expect_str_eq(encoding_of("/events", GZIP), "identity");
}

/* ---- what is left as it is ---- */

static void expect_left(const char *target)
{
    struct rig_answer answer;

    get(target, GZIP, &answer);
    const char *encoding = rig_answer_field(&answer, "Content-Encoding");
    cr_expect(encoding == NULL || strcmp(encoding, "x-own") == 0, "%s", target);
    cr_expect_null(rig_answer_field(&answer, "Vary"), "%s", target);
    cr_expect(answer.len == LONG || answer.status >= 204 || strstr(target, "events") != NULL,
              "%s: %zu", target, answer.len);
    rig_answer_free(&answer);
}

Test(http_compress, answers_that_must_not_or_need_not_be_are_left)
{
    start(NULL);
    expect_left("/png");
    expect_left("/204");
    expect_left("/events");
    expect_left("/with?Content-Encoding=x-own");
    expect_left("/with?Cache-Control=max-age=5,no-transform");
    expect_left("/with?Cache-Control=No-Transform");
    expect_left("/with?Content-Range=bytes&status=206");
    expect_left("/with?status=206");
    expect_left("/with?Content-Digest=x");
    expect_left("/with?Repr-Digest=x");
    cr_expect_str_eq(encoding_of("/with?Cache-Control=public", GZIP), "gzip");
    cr_expect_str_eq(encoding_of("/with?status=500", GZIP), "gzip");
}

Test(http_compress, vary_is_added_to_what_is_there)
{
    struct rig_answer answer;

    start(NULL);
    get("/with?Vary=Origin", GZIP, &answer);
    cr_expect_str_eq(rig_answer_field(&answer, "Vary"), "Origin, Accept-Encoding");
    rig_answer_free(&answer);
    get("/with?Vary=accept-encoding", GZIP, &answer);
    cr_expect_str_eq(rig_answer_field(&answer, "Vary"), "accept-encoding");
    rig_answer_free(&answer);
}

Test(http_compress, a_304_has_the_fields_that_its_200_would_have)
{
    struct rig_answer answer;

    start(NULL);
    get("/304", GZIP "If-None-Match: \"other\", W/\"tag\"\r\n", &answer);
    cr_expect_eq(answer.status, 304);
    cr_expect_str_eq(rig_answer_field(&answer, "Vary"), "Accept-Encoding");
    cr_expect_str_eq(rig_answer_field(&answer, "ETag"), "W/\"tag\"");
    cr_expect_null(rig_answer_field(&answer, "Content-Encoding"));
    rig_answer_free(&answer);
    get("/304", "If-None-Match: \"tag\"\r\n", &answer);
    cr_expect_str_eq(rig_answer_field(&answer, "ETag"), "\"tag\"");
    rig_answer_free(&answer);
}

Test(http_compress, a_head_has_the_fields_of_its_get_without_a_body)
{
    struct rig_peer peer;
    struct rig_answer answer;

    start(NULL);
    peer = rig_peer_tcp(port);
    for (int i = 0; i < 2; i++) {
        rig_peer_send_text(&peer, "HEAD /text HTTP/1.1\r\nHost: a\r\n" GZIP "\r\n");
        rig_answer_read(&peer, false, &answer);
        cr_expect_eq(answer.status, 200);
        cr_expect_str_eq(rig_answer_field(&answer, "Content-Encoding"), "gzip");
        cr_expect_str_eq(rig_answer_field(&answer, "Vary"), "Accept-Encoding");
        cr_expect_str_eq(rig_answer_field(&answer, "ETag"), "W/\"tag\"");
        cr_expect_null(rig_answer_field(&answer, "Content-Length"));
        rig_answer_free(&answer);
    }
    rig_peer_close(&peer);
}

/* ---- in pieces ---- */

/* What has been read of a compressed stream so far, decoded. */
struct decoded {
    z_stream stream;
    size_t fed;
    char plain[4096];
};

static void expect_so_far(struct decoded *decoded, struct rig_answer *answer, const char *wanted)
{
    decoded->stream.next_in = answer->body + decoded->fed;
    decoded->stream.avail_in = (unsigned)(answer->len - decoded->fed);
    decoded->fed = answer->len;
    (void)inflate(&decoded->stream, Z_SYNC_FLUSH);
    *decoded->stream.next_out = '\0';
    cr_expect_str_eq(decoded->plain, wanted);
}

static void begin_decoding(struct decoded *decoded)
{
    *decoded = (struct decoded){.fed = 0};
    cr_assert_eq(inflateInit2(&decoded->stream, 15 + 16), Z_OK);
    decoded->stream.next_out = (uint8_t *)decoded->plain;
    decoded->stream.avail_out = sizeof decoded->plain - 1;
}

static void send_next(const char *piece)
{
    rig_check(cw_http_post(rig_host_server(host), stream_id, send_more, (void *)piece) == 0);
}

Test(http_compress, each_piece_can_be_read_before_the_next_is_sent)
{
    struct rig_peer peer;
    struct rig_answer answer;
    struct decoded decoded;

    start(NULL);
    begin_decoding(&decoded);
    peer = rig_peer_tcp(port);
    rig_peer_send_text(&peer, "GET /stream HTTP/1.1\r\nHost: a\r\n" GZIP "\r\n");
    rig_answer_read_head(&peer, &answer);
    cr_expect_str_eq(rig_answer_field(&answer, "Content-Encoding"), "gzip");
    (void)rig_answer_read_chunk(&peer, &answer);
    expect_so_far(&decoded, &answer, "first");
    send_next(" second");
    (void)rig_answer_read_chunk(&peer, &answer);
    expect_so_far(&decoded, &answer, "first second");
    send_next(NULL);
    while (rig_answer_read_chunk(&peer, &answer) > 0) {}
    expect_so_far(&decoded, &answer, "first second");
    expect_gzip_of(&answer, "first second", 12);
    inflateEnd(&decoded.stream);
    rig_answer_free(&answer);
    rig_peer_close(&peer);
}

Test(http_compress, a_length_that_was_told_counts_before_compression)
{
    struct rig_peer peer;

    start(NULL);
    peer = rig_peer_tcp(port);
    rig_peer_send_text(&peer, "GET /short HTTP/1.1\r\nHost: a\r\n" GZIP "\r\n");
    rig_peer_expect_reset(&peer);
    rig_peer_close(&peer);
}

Test(http_compress, pulled_answers_and_files_are_compressed)
{
    struct rig_answer answer;

    start(NULL);
    get("/source", GZIP, &answer);
    cr_expect_str_eq(rig_answer_field(&answer, "Content-Encoding"), "gzip");
    cr_expect_null(rig_answer_field(&answer, "Content-Length"));
    expect_gzip_of(&answer, text, LONG);
    rig_answer_free(&answer);
    get("/file", GZIP, &answer);
    cr_expect_str_eq(rig_answer_field(&answer, "Content-Encoding"), "gzip");
    expect_gzip_of(&answer, text, LONG);
    rig_answer_free(&answer);
}

Test(http_compress, an_http_1_0_client_reads_to_the_end)
{
    struct rig_answer answer;

    start(NULL);
    rig_ask_once(port, "GET /source HTTP/1.0\r\n" GZIP "\r\n", cw_span_of(NULL, 0), &answer);
    cr_expect_null(rig_answer_field(&answer, "Transfer-Encoding"));
    expect_gzip_of(&answer, text, LONG);
    rig_answer_free(&answer);
}

Test(http_compress, a_peer_that_leaves_in_the_middle_leaves_nothing)
{
    struct rig_peer peer;
    struct rig_answer answer;

    start(NULL);
    peer = rig_peer_tcp(port);
    rig_peer_send_text(&peer, "GET /stream HTTP/1.1\r\nHost: a\r\n" GZIP "\r\n");
    rig_answer_read_head(&peer, &answer);
    rig_answer_free(&answer);
    rig_peer_reset(&peer);
    rig_check(cw_http_post(rig_host_server(host), stream_id, send_if_there, NULL) == 0);
    rig_await(rig_host_conns(host) == 0);
    get("/text", GZIP, &answer);
    expect_gzip_of(&answer, text, LONG);
    rig_answer_free(&answer);
}

/* ---- bounds ---- */

Test(http_compress, above_the_bound_of_streams_answers_leave_as_they_are)
{
    struct rig_peer peer;
    struct rig_answer first;
    struct rig_answer second;

    start(&(struct cw_http_compress_options){.streams_max = 1});
    peer = rig_peer_tcp(port);
    rig_peer_send_text(&peer, "GET /stream HTTP/1.1\r\nHost: a\r\n" GZIP "\r\n");
    rig_answer_read_head(&peer, &first);
    cr_expect_str_eq(rig_answer_field(&first, "Content-Encoding"), "gzip");
    get("/text", GZIP, &second);
    cr_expect_null(rig_answer_field(&second, "Content-Encoding"));
    cr_expect_str_eq(rig_answer_field(&second, "Vary"), "Accept-Encoding");
    cr_expect_str_eq(rig_answer_field(&second, "ETag"), "\"tag\"");
    cr_expect_eq(second.len, LONG);
    rig_answer_free(&second);
    send_next(NULL);
    while (rig_answer_read_chunk(&peer, &first) > 0) {}
    cr_expect_str_eq(encoding_of("/text", GZIP), "gzip");
    rig_answer_free(&first);
    rig_peer_close(&peer);
}

Test(http_compress, answers_one_after_the_other_take_no_new_memory)
{
    struct rig_peer peer;
    uint64_t calls = 0;

    rig_memory_count();
    start(NULL);
    peer = rig_peer_tcp(port);
    for (int i = 0; i < 40; i++) {
        struct rig_answer answer;
        rig_peer_send_text(&peer, "GET /text?len=2000 HTTP/1.1\r\nHost: a\r\n" GZIP "\r\n");
        rig_answer_read(&peer, true, &answer);
        expect_gzip_of(&answer, text, 2000);
        rig_answer_free(&answer);
        calls = i == 9 ? rig_memory_calls() : calls;
    }
    cr_expect_eq(rig_memory_calls(), calls);
    rig_peer_close(&peer);
}

/* ---- other people's programs ---- */

static void expect_whole(const char *const *words)
{
    static struct rig_child child;
    int status = rig_run_words(&child, words);

    cr_expect_eq(status, 0, "%d: %s", status, child.text);
    cr_expect(strlen(child.text) == 10000 && memcmp(child.text, text, 10000) == 0, "%zu: %.200s",
              strlen(child.text), child.text);
}

static void expect_curl(const char *accepted)
{
    char url[64];
    char field[64];

    snprintf(url, sizeof url, "http://127.0.0.1:%u/text?len=10000", port);
    snprintf(field, sizeof field, "Accept-Encoding: %s", accepted);
    expect_whole(RIG_WORDS("curl", "-sS", "--compressed", "-H", field, url));
}

Test(http_compress, curl_decodes_gzip_and_brotli)
{
    if (!rig_has_program("curl")) {
        cr_skip_test("curl is not installed");
    }
    start(NULL);
    expect_curl("gzip");
    if (cw_http_compress_has_brotli()) {
        expect_curl("br");
    }
}

Test(http_compress, python_decodes_gzip)
{
    static const char script[] =
        "import sys, gzip, urllib.request as u\n"
        "r = u.urlopen(u.Request(sys.argv[1], headers={'Accept-Encoding': 'gzip'}))\n"
        "assert r.headers['Content-Encoding'] == 'gzip'\n"
        "sys.stdout.write(gzip.decompress(r.read()).decode())\n";
    char url[64];

    if (!rig_has_program("python3")) {
        cr_skip_test("python3 is not installed");
    }
    start(NULL);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/text?len=10000", port);
    expect_whole(RIG_WORDS("python3", "-c", script, url));
}

Test(http_compress, nodes_fetch_decodes_what_it_asked_for)
{
    static const char script[] =
        "fetch(process.argv[1]).then(r => { if (!r.headers.get('content-encoding')) process.exit(2);"
        " return r.text(); }).then(t => process.stdout.write(t));";
    char url[64];

    if (!rig_has_program("node")) {
        cr_skip_test("node is not installed");
    }
    start(NULL);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/text?len=10000", port);
    expect_whole(RIG_WORDS("node", "--no-warnings", "-e", script, url));
}

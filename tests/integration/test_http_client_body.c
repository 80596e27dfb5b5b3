/* Bodies both ways: decoded, streamed, pulled; over real sockets. */
#include "support/http_script.h"
#include "support/leak.h"
#include "support/peer.h"
#include "support/wait.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

static struct script script;
static struct ask ask;

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(http_client_body, .init = init, .fini = rig_expect_no_leak, .timeout = 60);

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

enum { WINDOW_GZIP = 31, WINDOW_ZLIB = 15, WINDOW_RAW = -15, ROOM = 1 << 20 };

static void expect_error(size_t i, int error, const char *words)
{
    cr_expect_eq(ask.answers[i].error, error, "%d %s", ask.answers[i].error, ask.answers[i].text);
    cr_expect_not_null(strstr(ask.answers[i].text, words), "%s", ask.answers[i].text);
}

/* ---- decoding ---- */

struct coded {
    char text[ROOM];
    size_t len;
};

static struct coded coded;

static void begin_coded(const char *coding)
{
    coded.len = (size_t)snprintf(coded.text, sizeof coded.text,
                                 "HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\n"
                                 "Transfer-Encoding: chunked\r\n\r\n",
                                 coding);
}

static void add_chunk(const void *data, size_t len)
{
    coded.len +=
        (size_t)snprintf(coded.text + coded.len, sizeof coded.text - coded.len, "%zx\r\n", len);
    rig_check(coded.len + len + 8 < sizeof coded.text);
    memcpy(coded.text + coded.len, data, len);
    memcpy(coded.text + coded.len + len, "\r\n", 2);
    coded.len += len + 2;
}

static void end_coded(void)
{
    memcpy(coded.text + coded.len, "0\r\n\r\n", 5);
    coded.len += 5;
}

static size_t compress_to(uint8_t *to, const void *data, size_t len, int window)
{
    z_stream z = {0};

    rig_check(deflateInit2(&z, 9, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    z.next_in = (z_const Bytef *)(uintptr_t)data;
    z.avail_in = (uInt)len;
    z.next_out = to;
    z.avail_out = ROOM;
    rig_check(deflate(&z, Z_FINISH) == Z_STREAM_END);
    deflateEnd(&z);
    return ROOM - z.avail_out;
}

static uint8_t packed[ROOM];
static char plain[400000];

static void make_plain(void)
{
    uint32_t random = 1;

    for (size_t i = 0; i < sizeof plain - 1; i++) {
        random = random * 1664525u + 1013904223u;
        plain[i] = (char)('a' + (random >> 24) % 24);
    }
}

static void play_coded(size_t piece)
{
    const struct script_turn turns[] = {{.answer = coded.text, .len = coded.len, .piece = piece},
                                        {.answer = OK}};

    SCRIPT_START(&script, turns);
}

static void expect_decoded(const char *coding, int window, size_t piece)
{
    size_t len = compress_to(packed, plain, strlen(plain), window);

    begin_coded(coding);
    for (size_t at = 0; at < len; at += 10000) {
        add_chunk(packed + at, len - at < 10000 ? len - at : 10000);
    }
    end_coded();
    play_coded(piece);
    ask_begin(&ask);
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    cr_assert_eq(ask.answers[0].error, 0, "%s", ask.answers[0].text);
    cr_expect_eq(ask.answers[0].len, strlen(plain));
    cr_expect_str_eq(ask.answers[0].body, plain);
    cr_expect_str_eq(ask.answers[1].body, "ok");
    cr_expect_eq(atomic_load(&script.conns), 1);
    ask_release(&ask);
}

Test(http_client_body, gzip_and_both_kinds_of_deflate_are_decoded)
{
    make_plain();
    expect_decoded("gzip", WINDOW_GZIP, 0);
    expect_decoded("X-GZIP", WINDOW_GZIP, 0);
    expect_decoded("deflate", WINDOW_ZLIB, 0);
    expect_decoded("deflate", WINDOW_RAW, 0);
    plain[200] = 0;
    expect_decoded("gzip", WINDOW_GZIP, 1);
    expect_decoded("deflate", WINDOW_RAW, 1);
}

Test(http_client_body, members_of_gzip_one_behind_the_other_are_one_body)
{
    size_t len = compress_to(packed, "hello, ", 7, WINDOW_GZIP);

    len += compress_to(packed + len, "world", 5, WINDOW_GZIP);
    begin_coded("gzip");
    add_chunk(packed, len);
    end_coded();
    play_coded(0);
    ask_begin(&ask);
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    cr_expect_str_eq(ask.answers[0].body, "hello, world");
    ask_release(&ask);
}

static void expect_bad(const char *coding, size_t len, int error, const char *words)
{
    begin_coded(coding);
    if (len > 0) {
        add_chunk(packed, len);
    }
    end_coded();
    play_coded(0);
    ask_begin(&ask);
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    expect_error(0, error, words);
    cr_expect_str_eq(ask.answers[1].body, "ok");
    ask_release(&ask);
}

Test(http_client_body, what_is_not_coded_as_it_says_is_an_error)
{
    size_t len = compress_to(packed, "hello", 5, WINDOW_GZIP);

    expect_bad("gzip", len - 1, CW_ETRUNCATED, "too early");
    expect_bad("gzip", 5, CW_ETRUNCATED, "too early");
    packed[len] = 'x';
    expect_bad("gzip", len + 1, CW_ETRUNCATED, "too early"); /* the begin of another member? */
    memcpy(packed + len, "garbage garbage garbage", 23);
    expect_bad("gzip", len + 23, CW_EPROTO, "Content-Encoding");
    packed[len - 6] ^= 1; /* its checksum */
    expect_bad("gzip", len, CW_EPROTO, "Content-Encoding");
    memcpy(packed, "plain text", 10);
    expect_bad("gzip", 10, CW_EPROTO, "Content-Encoding");
    len = compress_to(packed, "hello", 5, WINDOW_ZLIB);
    expect_bad("deflate", len - 1, CW_ETRUNCATED, "too early");
    packed[len] = 0;
    expect_bad("deflate", len + 1, CW_EPROTO, "Content-Encoding");
}

Test(http_client_body, an_empty_body_may_be_coded_in_any_way)
{
    begin_coded("gzip");
    end_coded();
    play_coded(0);
    ask_begin(&ask);
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    cr_expect_eq(ask.answers[0].error, 0, "%s", ask.answers[0].text);
    cr_expect_str_eq(ask.answers[0].body, "");
    ask_release(&ask);
}

Test(http_client_body, a_bomb_is_stopped_at_the_limit)
{
    static uint8_t zeros[50 << 20];
    size_t len = compress_to(packed, zeros, sizeof zeros, WINDOW_GZIP);

    begin_coded("gzip");
    add_chunk(packed, len);
    end_coded();
    cr_assert_lt(len, 100000u);
    play_coded(0);
    ask_begin(&ask);
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    expect_error(0, CW_ETOOBIG, "body_max_bytes");
    ask_release(&ask);
}

Test(http_client_body, codings_that_are_not_known_or_not_wanted_stay)
{
    size_t len = compress_to(packed, "hello", 5, WINDOW_GZIP);

    begin_coded("gzip");
    add_chunk(packed, len);
    end_coded();
    play_coded(0);
    ask_begin(&ask);
    ask_for(&ask, &script, "/")->keep_encoding = true;
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    cr_expect_eq(ask.answers[0].len, len);
    cr_expect_eq(memcmp(ask.answers[0].body, packed, len), 0);
    cr_expect_null(strstr(script.requests[0], "Accept-Encoding"));
    ask_release(&ask);

    begin_coded("br");
    add_chunk("xyz", 3);
    end_coded();
    play_coded(0);
    ask_begin(&ask);
    ask.field = "content-encoding";
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    cr_expect_str_eq(ask.answers[0].body, "xyz");
    cr_expect_str_eq(ask.answers[0].field, "br");
    ask_release(&ask);
}

/* ---- streams from the server ---- */

struct stream {
    struct ask *ask;
    size_t bytes;
    size_t calls;
    size_t rests; /* times it rested */
    bool resting;
    size_t rest_every; /* calls; 0: never */
    int give_up;       /* told at the third call */
    bool cancels;
    uint32_t sum;
};

static struct stream stream;

static void resume(struct cw_loop *loop, void *user)
{
    stream.resting = false;
    rig_check(cw_http_request_resume(loop, stream.ask->ids[0]) == 0);
    rig_check(!stream.resting); /* nothing is handed on from inside the call */
}

static int on_body(struct cw_http_response *response, struct cw_span piece, void *user)
{
    rig_check(response->status == 200);
    rig_check(response->error == 0);
    rig_check(!stream.resting);
    rig_check(cw_http_response_field(response, "transfer-encoding").data != NULL);
    stream.calls++;
    stream.bytes += piece.len;
    stream.sum = (uint32_t)crc32(stream.sum, piece.data, (uInt)piece.len);
    if (stream.give_up != 0 && stream.calls == 3) {
        return stream.give_up;
    }
    if (stream.cancels && stream.calls == 3) {
        rig_check(cw_http_request_cancel(stream.ask->loop, stream.ask->ids[0]) == 0);
        return 0;
    }
    if (stream.rest_every > 0 && stream.calls % stream.rest_every == 0) {
        stream.rests++;
        stream.resting = true;
        rig_check(cw_timer_start(stream.ask->loop, 1, 0, resume, NULL) != NULL);
        return 1;
    }
    return 0;
}

static void run_stream(const char *coding, int window, struct stream with)
{
    size_t len = strlen(plain);
    const void *data = plain;

    if (window != 0) {
        len = compress_to(packed, plain, len, window);
        data = packed;
    }
    begin_coded(coding);
    for (size_t at = 0; at < len; at += 20000) {
        add_chunk((const char *)data + at, len - at < 20000 ? len - at : 20000);
    }
    end_coded();
    play_coded(0);
    stream = with;
    stream.ask = &ask;
    ask_begin(&ask);
    ask_for(&ask, &script, "/")->on_body = on_body;
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    cr_expect_str_eq(ask.answers[1].body, "ok");
}

static void expect_streamed(void)
{
    cr_expect_eq(ask.answers[0].error, 0, "%s", ask.answers[0].text);
    cr_expect_str_eq(ask.answers[0].body, "");
    cr_expect_eq(stream.bytes, strlen(plain));
    cr_expect_eq(stream.sum, crc32(0, (const Bytef *)plain, (uInt)strlen(plain)));
    ask_release(&ask);
}

Test(http_client_body, a_body_is_handed_on_piece_by_piece)
{
    make_plain();
    run_stream("identity", 0, (struct stream){0});
    cr_expect_gt(stream.calls, 5u);
    expect_streamed();
    run_stream("gzip", WINDOW_GZIP, (struct stream){0});
    expect_streamed();
}

Test(http_client_body, whoever_rests_gets_nothing_until_he_resumes)
{
    make_plain();
    run_stream("identity", 0, (struct stream){.rest_every = 1});
    cr_expect_eq(stream.rests, stream.calls);
    expect_streamed();
    run_stream("gzip", WINDOW_GZIP, (struct stream){.rest_every = 1});
    cr_expect_eq(stream.rests, stream.calls);
    expect_streamed();
    run_stream("deflate", WINDOW_RAW, (struct stream){.rest_every = 3});
    expect_streamed();
}

Test(http_client_body, on_body_may_give_up)
{
    make_plain();
    run_stream("identity", 0, (struct stream){.give_up = CW_EFULL});
    cr_expect_eq(stream.calls, 3);
    expect_error(0, CW_EFULL, "on_body gave up");
    ask_release(&ask);
    run_stream("gzip", WINDOW_GZIP, (struct stream){.give_up = CW_EFULL});
    cr_expect_eq(stream.calls, 3);
    expect_error(0, CW_EFULL, "on_body gave up");
    ask_release(&ask);
}

Test(http_client_body, on_body_may_cancel)
{
    make_plain();
    run_stream("identity", 0, (struct stream){.cancels = true});
    cr_expect_eq(stream.calls, 3);
    expect_error(0, CW_ECLOSED, "cancelled");
    ask_release(&ask);
    run_stream("gzip", WINDOW_GZIP, (struct stream){.cancels = true});
    cr_expect_eq(stream.calls, 3);
    expect_error(0, CW_ECLOSED, "cancelled");
    ask_release(&ask);
}

/* ---- streams to the server ---- */

struct source {
    struct ask *ask;
    size_t left;
    size_t most; /* in one go */
    bool waits;  /* says CW_EAGAIN before each piece */
    bool has_waited;
    int fails; /* at the end, instead of 0 */
    unsigned done;
    int code;
};

static struct source source;

static void ready(struct cw_loop *loop, void *user)
{
    source.has_waited = true;
    cw_http_request_resume(loop, source.ask->ids[0]);
}

static ptrdiff_t pull(uint8_t *buffer, size_t cap, void *user)
{
    size_t n = source.left < cap ? source.left : cap;

    n = n < source.most ? n : source.most;
    if (source.waits && !source.has_waited) {
        rig_check(cw_timer_start(source.ask->loop, 1, 0, ready, NULL) != NULL);
        return CW_EAGAIN;
    }
    source.has_waited = false;
    if (n == 0) {
        return source.fails;
    }
    memset(buffer, 'u', n);
    source.left -= n;
    return (ptrdiff_t)n;
}

static void pulled(int code, void *user)
{
    source.done++;
    source.code = code;
}

static void run_source(const struct script_turn *turns, size_t count, uint64_t body_len,
                       struct source with)
{
    struct cw_http_request *request;

    script_start(&script, turns, count);
    source = with;
    source.ask = &ask;
    ask_begin(&ask);
    request = ask_for(&ask, &script, "/up");
    request->pull = pull;
    request->pulled = pulled;
    request->body_len = body_len;
    request->method = "PUT";
    for (size_t i = 1; i < count; i++) {
        ask_for(&ask, &script, "/");
    }
    ask_run(&ask);
    script_end(&script);
    cr_expect_eq(source.done, 1);
}

static const struct script_turn two[] = {{.answer = OK}, {.answer = OK}};

Test(http_client_body, a_body_of_known_length_is_pulled)
{
    run_source(two, 2, 3000, (struct source){.left = 3000, .most = 700, .waits = true});
    cr_expect_eq(ask.answers[0].error, 0, "%s", ask.answers[0].text);
    cr_expect_not_null(strstr(script.requests[0], "\r\nContent-Length: 3000\r\n"));
    cr_expect_eq(strspn(strstr(script.requests[0], "\r\n\r\n") + 4, "u"), 3000);
    cr_expect_eq(source.code, 0);
    cr_expect_eq(atomic_load(&script.conns), 1);
    ask_release(&ask);
}

Test(http_client_body, a_body_without_a_length_goes_in_chunks)
{
    const char *body;

    run_source(two, 2, CW_NO_LIMIT, (struct source){.left = 30, .most = 20, .waits = true});
    cr_expect_eq(ask.answers[0].error, 0, "%s", ask.answers[0].text);
    cr_expect_not_null(strstr(script.requests[0], "\r\nTransfer-Encoding: chunked\r\n"));
    cr_expect_null(strstr(script.requests[0], "Content-Length"));
    body = strstr(script.requests[0], "\r\n\r\n") + 4;
    cr_expect_str_eq(body, "0014\r\nuuuuuuuuuuuuuuuuuuuu\r\n000a\r\nuuuuuuuuuu\r\n0\r\n\r\n");
    cr_expect_eq(atomic_load(&script.conns), 1);
    ask_release(&ask);
    run_source(two, 2, CW_NO_LIMIT, (struct source){.left = 0});
    cr_expect_not_null(strstr(script.requests[0], "\r\n\r\n0\r\n\r\n"));
    cr_expect_eq(source.code, 0);
    ask_release(&ask);
}

Test(http_client_body, a_source_that_fails_or_ends_early_fails_the_request)
{
    run_source(&(struct script_turn){.deaf = true, .then = SCRIPT_HOLD}, 1, 100,
               (struct source){.left = 50, .most = 50});
    expect_error(0, CW_ETRUNCATED, "PUT http");
    cr_expect_eq(source.code, CW_ETRUNCATED);
    ask_release(&ask);
    run_source(&(struct script_turn){.deaf = true, .then = SCRIPT_HOLD}, 1, CW_NO_LIMIT,
               (struct source){.left = 50, .most = 50, .fails = CW_EOS});
    expect_error(0, CW_EOS, "PUT http");
    cr_expect_eq(source.code, CW_EOS);
    ask_release(&ask);
}

Test(http_client_body, an_answer_that_comes_before_all_is_sent_counts)
{
    const struct script_turn turns[] = {
        {.answer = "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!",
         .early = true,
         .then = SCRIPT_HOLD},
        {.answer = OK}};

    run_source(turns, 2, CW_NO_LIMIT, (struct source){.left = SIZE_MAX, .most = 1 << 20});
    cr_expect_eq(ask.answers[0].status, 413, "%s", ask.answers[0].text);
    cr_expect_str_eq(ask.answers[0].body, "no!");
    cr_expect_lt(source.code, 0);
    cr_expect_str_eq(ask.answers[1].body, "ok");
    cr_expect_eq(atomic_load(&script.conns), 2); /* half a request is left on the first one */
    ask_release(&ask);
}

Test(http_client_body, a_long_body_is_sent_from_memory)
{
    static char large[3 << 20];
    struct cw_http_request *request;

    memset(large, 'l', sizeof large);
    SCRIPT_START(&script, two);
    ask_begin(&ask);
    request = ask_for(&ask, &script, "/");
    request->body = cw_span_of(large, sizeof large);
    ask_run(&ask);
    cr_expect_eq(ask.answers[0].status, 200, "%s", ask.answers[0].text);
    ask_release(&ask);
    ask_once(&ask, &script, "/");
    script_end(&script);
    ask_release(&ask);
}

static void cancel_first(struct cw_loop *loop, void *user)
{
    cw_http_request_cancel(loop, ask.ids[0]);
}

Test(http_client_body, a_source_is_told_once_when_its_request_is_cancelled)
{
    const struct script_turn turns[] = {{.deaf = true, .then = SCRIPT_HOLD}};
    struct cw_http_request *request;

    SCRIPT_START(&script, turns);
    source = (struct source){.ask = &ask, .left = SIZE_MAX, .most = 10};
    ask_begin(&ask);
    request = ask_for(&ask, &script, "/up");
    request->pull = pull;
    request->pulled = pulled;
    request->body_len = CW_NO_LIMIT;
    cw_timer_start(ask.loop, 100, 0, cancel_first, NULL);
    ask_run(&ask);
    script_end(&script);
    expect_error(0, CW_ECLOSED, "cancelled");
    cr_expect_eq(source.done, 1);
    cr_expect_eq(source.code, CW_ECLOSED);
    ask_release(&ask);
}

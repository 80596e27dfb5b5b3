/* Requests and answers over real sockets, against a server that plays scripts. */
#include "support/http_script.h"
#include "support/leak.h"
#include "support/peer.h"
#include "support/wait.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct script script;
static struct ask ask;

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(http_client, .init = init, .fini = rig_expect_no_leak, .timeout = 120);

#define OK(body_len) "HTTP/1.1 200 OK\r\nContent-Length: " #body_len "\r\n\r\n"

static void expect_answer(size_t i, int status, const char *body)
{
    const struct ask_answer *answer = &ask.answers[i];

    cr_expect_eq(answer->error, 0, "%zu: %s", i, answer->text);
    cr_expect_str_eq(answer->text, "");
    cr_expect_eq(answer->status, status, "%zu: %d", i, answer->status);
    cr_expect_str_eq(answer->body, body);
}

static void expect_error(size_t i, int error, const char *words)
{
    const struct ask_answer *answer = &ask.answers[i];

    cr_expect_eq(answer->error, error, "%zu: %d %s", i, answer->error, answer->text);
    cr_expect_not_null(strstr(answer->text, words), "%zu: %s", i, answer->text);
}

/* ---- requests ---- */

Test(http_client, a_get_says_what_is_needed_and_the_answer_comes_whole)
{
    const struct script_turn turns[] = {{.answer = OK(5) "hello"}};
    char expected[512];

    SCRIPT_START(&script, turns);
    ask_once(&ask, &script, "/a/b?c=d");
    script_end(&script);
    expect_answer(0, 200, "hello");
    snprintf(expected, sizeof expected,
             "GET /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: ", script.port);
    cr_expect_eq(strncmp(script.requests[0], expected, strlen(expected)), 0, "%s",
                 script.requests[0]);
    cr_expect_not_null(strstr(script.requests[0], "\r\nAccept: */*\r\n"));
    cr_expect_not_null(strstr(script.requests[0], "\r\nAccept-Encoding: gzip, deflate\r\n"));
    cr_expect_null(strstr(script.requests[0], "Content-"));
    cr_expect_null(strstr(script.requests[0], "Connection"));
    ask_release(&ask);
}

Test(http_client, a_post_carries_its_body_with_length_and_type)
{
    const struct script_turn turns[] = {{.answer = OK(0)}, {.answer = OK(0)}};
    struct cw_http_request *request;

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    request = ask_for(&ask, &script, "/in");
    request->body = cw_span_text("{}");
    request->type = "application/json";
    ask_for(&ask, &script, "/empty")->method = "POST";
    ask_run(&ask);
    script_end(&script);
    expect_answer(0, 200, "");
    cr_expect_eq(strncmp(script.requests[0], "POST /in HTTP/1.1\r\n", 19), 0);
    cr_expect_not_null(strstr(script.requests[0], "\r\nContent-Length: 2\r\n"));
    cr_expect_not_null(strstr(script.requests[0], "\r\nContent-Type: application/json\r\n"));
    cr_expect_not_null(strstr(script.requests[0], "\r\n\r\n{}"));
    cr_expect_not_null(strstr(script.requests[1], "\r\nContent-Length: 0\r\n"));
    cr_expect_null(strstr(script.requests[1], "Content-Type"));
    ask_release(&ask);
}

Test(http_client, a_field_of_ones_own_takes_the_place_of_ours)
{
    static const struct cw_http_pair fields[] = {
        {"host", "other.example"},       {"User-Agent", "mine"},     {"X-Empty", ""},
        {"accept-encoding", "identity"}, {"Content-Type", "text/x"}, {NULL, NULL}};
    const struct script_turn turns[] = {{.answer = OK(0)}};
    struct cw_http_request *request;

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    request = ask_for(&ask, &script, "/");
    request->fields = fields;
    request->body = cw_span_text("x");
    ask_run(&ask);
    script_end(&script);
    cr_expect_not_null(strstr(script.requests[0], "\r\nhost: other.example\r\n"));
    cr_expect_null(strstr(script.requests[0], "127.0.0.1"));
    cr_expect_not_null(strstr(script.requests[0], "\r\nUser-Agent: mine\r\n"));
    cr_expect_not_null(strstr(script.requests[0], "\r\nX-Empty: \r\n"));
    cr_expect_null(strstr(script.requests[0], "gzip"));
    cr_expect_not_null(strstr(script.requests[0], "\r\nContent-Type: text/x\r\n"));
    cr_expect_null(strstr(script.requests[0], "octet-stream"));
    ask_release(&ask);
}

static void expect_refused(struct cw_http_request request, const char *url)
{
    struct cw_loop *loop = cw_loop_new();

    request.url = url;
    cr_expect_eq(cw_http_request(loop, &request, NULL, NULL), CW_EINVAL);
    cw_loop_free(loop);
}

#define REFUSED(...) expect_refused((struct cw_http_request){__VA_ARGS__}, "http://127.0.0.1:9/")
#define FIELD(name, value)                                                                         \
    .fields = (const struct cw_http_pair[])                                                        \
    {                                                                                              \
        {name, value},                                                                             \
        {                                                                                          \
            NULL, NULL                                                                             \
        }                                                                                          \
    }

static ptrdiff_t pull_nothing(uint8_t *buffer, size_t cap, void *user)
{
    return 0;
}

Test(http_client, requests_that_would_break_the_rules_are_refused)
{
    REFUSED(FIELD("X Y", "1"));
    REFUSED(FIELD("", "1"));
    REFUSED(FIELD("X", "a\r\nY: b"));
    REFUSED(FIELD("X", "a\n"));
    REFUSED(FIELD("X", " a"));
    REFUSED(FIELD("X", NULL));
    REFUSED(FIELD("Content-Length", "3"));
    REFUSED(FIELD("transfer-encoding", "chunked"));
    REFUSED(FIELD("Connection", "close"));
    REFUSED(FIELD("Expect", "100-continue"));
    REFUSED(FIELD("Upgrade", "h2c"));
    REFUSED(.method = "GE T");
    REFUSED(.method = "");
    REFUSED(.method = "GET / HTTP/1.1\r\nX: y\r\n\r\nGET");
    REFUSED(.method = "CONNECT");
    REFUSED(.method = "TRACE", .body = cw_span_text("x"));
    REFUSED(.body = cw_span_text("x"), .type = "text/x\r\nY: z");
    REFUSED(.body = cw_span_text("x"), .pull = pull_nothing);
    REFUSED(.redirects_max = 101);
    REFUSED(.timeout_ms = CW_NO_LIMIT);
    REFUSED(.head_max_bytes = 16777217);
    expect_refused((struct cw_http_request){0}, NULL);
    expect_refused((struct cw_http_request){0}, "http://a b/");
    expect_refused((struct cw_http_request){0}, "http://u:p@a/");
}

static void note_code(int code, void *user)
{
    int *noted = user;

    *noted = code;
}

Test(http_client, a_source_is_told_that_its_request_was_refused)
{
    int code = 0;

    REFUSED(.method = "CONNECT", .pull = pull_nothing, .pulled = note_code, .pull_user = &code);
    cr_expect_eq(code, CW_EINVAL);
}

/* ---- answers ---- */

Test(http_client, answers_without_a_body_end_with_their_head)
{
    const struct script_turn turns[] = {
        {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"},
        {.answer =
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"},
        {.answer = "HTTP/1.1 204 No Content\r\n\r\n"},
        {.answer = "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"},
        {.answer = OK(2) "ok"},
    };

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    ask_for(&ask, &script, "/")->method = "HEAD";
    ask_for(&ask, &script, "/")->method = "HEAD";
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    expect_answer(0, 200, "");
    expect_answer(1, 200, "");
    expect_answer(2, 204, "");
    expect_answer(3, 304, "");
    expect_answer(4, 200, "ok");
    cr_expect_eq(atomic_load(&script.conns), 1); /* and all of them kept the connection */
    ask_release(&ask);
}

Test(http_client, interim_answers_are_passed_over)
{
    const struct script_turn turns[] = {
        {.answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" OK(
             2) "ok"}};

    SCRIPT_START(&script, turns);
    ask_once(&ask, &script, "/");
    script_end(&script);
    expect_answer(0, 200, "ok");
    ask_release(&ask);
}

Test(http_client, interim_answers_come_to_an_end)
{
    static char endless[131072];
    const struct script_turn turns[] = {
        {.answer = endless, .len = sizeof endless, .then = SCRIPT_HOLD}};
    static const char interim[] = "HTTP/1.1 102 Processing\r\n\r\n";

    for (size_t i = 0; i < sizeof endless; i++) {
        endless[i] = interim[i % (sizeof interim - 1)];
    }
    SCRIPT_START(&script, turns);
    ask_once(&ask, &script, "/");
    script_end(&script);
    expect_error(0, CW_ETOOBIG, "head_max_bytes");
    ask_release(&ask);
}

Test(http_client, protocols_are_not_switched_unasked)
{
    const struct script_turn turns[] = {
        {.answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
         .then = SCRIPT_HOLD}};

    SCRIPT_START(&script, turns);
    ask_once(&ask, &script, "/");
    script_end(&script);
    expect_error(0, CW_EPROTO, "101");
    ask_release(&ask);
}

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

Test(http_client, chunked_answers_are_put_together_and_their_trailers_left_aside)
{
    const struct script_turn turns[] = {
        {.answer = CHUNKED
         "5;a=b\r\nhello\r\n7\r\n, world\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n"},
        {.answer = CHUNKED "0\r\n\r\n"}};

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    ask.field = "x-sum";
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    expect_answer(0, 200, "hello, world");
    cr_expect_str_eq(ask.answers[0].field, "-");
    expect_answer(1, 200, "");
    cr_expect_eq(atomic_load(&script.conns), 1);
    ask_release(&ask);
}

Test(http_client, fields_are_found_whatever_their_case_and_repeated_ones_in_turn)
{
    const struct script_turn turns[] = {
        {.answer =
             "HTTP/1.1 200 OK\r\nX-A: 1\r\nSet-Cookie: a=b\r\nx-a:  two \r\nContent-Length: 0\r\n\r\n"}};

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    ask.field = "SET-cookie";
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    cr_expect_str_eq(ask.answers[0].field, "a=b");
    ask_release(&ask);
}

struct repeated {
    struct cw_loop *loop;
    char text[128];
};

static void note_repeated(struct cw_http_response *response, void *user)
{
    struct repeated *repeated = user;
    size_t at = 0;
    struct cw_span value;

    while ((value = cw_http_response_field_next(response, "X-A", &at)).data) {
        snprintf(repeated->text + strlen(repeated->text), 32, "[%.*s]", (int)value.len,
                 (const char *)value.data);
    }
    cw_loop_stop(repeated->loop);
}

Test(http_client, repeated_fields_come_one_after_the_other)
{
    const struct script_turn turns[] = {
        {.answer =
             "HTTP/1.1 200 OK\r\nX-A: 1\r\nX-B: 2\r\nx-a: two \r\nX-A:\r\nContent-Length: 0\r\n\r\n"}};
    struct repeated repeated = {.loop = cw_loop_new()};
    char url[64];

    SCRIPT_START(&script, turns);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", script.port);
    cr_assert_gt(cw_http_get(repeated.loop, url, note_repeated, &repeated), 0);
    cw_loop_run(repeated.loop);
    cw_loop_free(repeated.loop);
    script_end(&script);
    cr_expect_str_eq(repeated.text, "[1][two][]");
}

Test(http_client, a_body_without_a_length_ends_with_the_connection)
{
    const struct script_turn turns[] = {
        {.answer = "HTTP/1.1 200 OK\r\n\r\nall there is", .then = SCRIPT_END},
        {.answer = "HTTP/1.0 200 OK\r\n\r\nold", .then = SCRIPT_END},
        {.answer = "HTTP/1.1 200 OK\r\n\r\n", .then = SCRIPT_END}};

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    expect_answer(0, 200, "all there is");
    expect_answer(1, 200, "old");
    expect_answer(2, 200, "");
    cr_expect_eq(atomic_load(&script.conns), 3);
    ask_release(&ask);
}

/* Whatever is wrong with an answer, it is an error, and the connection is not used again. */
static void expect_wrong(const char *answer, int error, const char *words)
{
    const struct script_turn turns[] = {{.answer = answer, .then = SCRIPT_HOLD},
                                        {.answer = OK(2) "ok"}};

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    ask_for(&ask, &script, "/")->head_max_bytes = 4096;
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    cr_expect_eq(ask.answers[0].error, error, "%s: %d %s", answer, ask.answers[0].error,
                 ask.answers[0].text);
    cr_expect_not_null(strstr(ask.answers[0].text, words), "%s: %s", answer, ask.answers[0].text);
    expect_answer(1, 200, "ok");
    cr_expect_eq(atomic_load(&script.conns), 2, "%s", answer);
    ask_release(&ask);
}

Test(http_client, answers_that_break_the_rules_are_errors)
{
    static const char *const answers[] = {
        "SSH-2.0-OpenSSH\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 0\r\n\r\n",
        CHUNKED "g\r\n",
        CHUNKED "-1\r\n",
        CHUNKED "5\nhello",
        CHUNKED "5\r\nhello!\r\n",
        CHUNKED "ffffffffffffffff1\r\n",
        CHUNKED "0\r\nX: y\n\r\n",
        CHUNKED "0\r\nX : y\r\n\r\n",
    };

    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        expect_wrong(answers[i], CW_EPROTO, "GET http://127.0.0.1:");
    }
}

Test(http_client, a_head_over_its_limit_is_refused)
{
    static char answer[8192];

    snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nX: %06000d\r\nContent-Length: 0\r\n\r\n", 0);
    expect_wrong(answer, CW_ETOOBIG, "head_max_bytes");
}

Test(http_client, a_head_up_to_its_limit_is_taken)
{
    static char answer[262144];
    const struct script_turn turns[] = {{.answer = answer}, {.answer = OK(2) "ok"}};

    snprintf(answer, sizeof answer,
             "HTTP/1.1 200 OK\r\nX: %0200000d\r\nContent-Length: 2\r\n\r\nok", 0);
    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    ask_for(&ask, &script, "/")->head_max_bytes = 201000;
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    expect_answer(0, 200, "ok");
    expect_answer(1, 200, "ok");
    ask_release(&ask);
}

Test(http_client, a_body_over_its_limit_is_refused_before_it_is_awaited)
{
    const struct script_turn turns[] = {
        {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", .then = SCRIPT_HOLD},
        {.answer = CHUNKED "65\r\n", .then = SCRIPT_HOLD},
        {.answer = CHUNKED "64\r\n"
                           "0123456789012345678901234567890123456789012345678901234567890123456789"
                           "012345678901234567890123456789\r\n1\r\n",
         .then = SCRIPT_HOLD},
        {.answer = "HTTP/1.1 200 OK\r\n\r\n"
                   "0123456789012345678901234567890123456789012345678901234567890123456789"
                   "0123456789012345678901234567890",
         .then = SCRIPT_HOLD},
    };

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    for (size_t i = 0; i < 4; i++) {
        ask_for(&ask, &script, "/")->body_max_bytes = 100;
    }
    ask_run(&ask);
    script_end(&script);
    for (size_t i = 0; i < 4; i++) {
        expect_error(i, CW_ETOOBIG, "body_max_bytes");
    }
    ask_release(&ask);
}

/* ---- cut anywhere ---- */

static const char WHOLE[] =
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: "
    "chunked\r\n\r\n5;x=\"y\"\r\nhello\r\n1\r\n!\r\n0\r\nX-T: 1\r\n\r\n";

Test(http_client, an_answer_that_comes_byte_by_byte_is_the_same)
{
    const struct script_turn turns[] = {{.answer = WHOLE, .piece = 1},
                                        {.answer = WHOLE, .piece = 7}};

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    ask.field = "x-a";
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    expect_answer(0, 200, "hello!");
    expect_answer(1, 200, "hello!");
    cr_expect_str_eq(ask.answers[0].field, "b");
    cr_expect_eq(atomic_load(&script.conns), 1);
    ask_release(&ask);
}

Test(http_client, an_answer_that_is_cut_at_any_byte_is_never_taken_for_whole)
{
    for (size_t from = 0; from < sizeof WHOLE - 1;) {
        struct script_turn turns[SCRIPT_TURNS_MAX];
        size_t n = 0;

        for (; n < SCRIPT_TURNS_MAX && from < sizeof WHOLE - 1; n++, from++) {
            turns[n] = (struct script_turn){
                .answer = from > 0 ? WHOLE : NULL, .len = from, .then = SCRIPT_END};
        }
        script_start(&script, turns, n);
        ask_begin(&ask);
        for (size_t i = 0; i < n; i++) {
            ask_for(&ask, &script, "/");
        }
        ask_run(&ask);
        script_end(&script);
        for (size_t i = 0; i < n; i++) {
            expect_error(i, CW_ETRUNCATED, "ended");
        }
        cr_expect_eq(atomic_load(&script.conns), n); /* a fresh connection is not tried twice */
        ask_release(&ask);
    }
}

/* ---- connections ---- */

Test(http_client, connections_are_kept_and_used_again)
{
    const struct script_turn turns[] = {
        {.answer = OK(1) "a"}, {.answer = OK(1) "b"}, {.answer = OK(1) "c"}};

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    expect_answer(2, 200, "c");
    cr_expect_eq(atomic_load(&script.conns), 1);
    ask_release(&ask);
}

static void expect_not_kept(const char *answer, bool no_reuse)
{
    const struct script_turn turns[] = {{.answer = answer, .then = SCRIPT_HOLD},
                                        {.answer = OK(2) "ok"}};

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    ask_for(&ask, &script, "/")->no_reuse = no_reuse;
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    cr_expect_eq(ask.answers[0].error, 0, "%s", ask.answers[0].text);
    expect_answer(1, 200, "ok");
    cr_expect_eq(atomic_load(&script.conns), 2, "%s", answer);
    ask_release(&ask);
}

Test(http_client, connections_that_are_to_be_closed_are_closed)
{
    expect_not_kept("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", false);
    expect_not_kept("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, Close\r\n\r\n", false);
    expect_not_kept("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false);
    expect_not_kept(OK(0), true);
    cr_expect_not_null(strstr(script.requests[0], "\r\nConnection: close\r\n"));
}

Test(http_client, bytes_behind_an_answer_are_not_taken_for_the_next_one)
{
    expect_not_kept(OK(0) "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", false);
    expect_not_kept(OK(0) "\r\n", false);
    expect_not_kept(CHUNKED "0\r\n\r\nx", false);
    expect_not_kept("HTTP/1.1 204 No Content\r\n\r\nbody", false);
}

Test(http_client, with_http_1_0_a_connection_is_kept_if_both_say_so)
{
    const struct script_turn turns[] = {
        {.answer = "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n"},
        {.answer = OK(2) "ok"}};

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    expect_answer(1, 200, "ok");
    cr_expect_eq(atomic_load(&script.conns), 1);
    ask_release(&ask);
}

Test(http_client, none_is_kept_when_that_is_off)
{
    const struct script_turn turns[] = {{.answer = OK(0), .then = SCRIPT_HOLD},
                                        {.answer = OK(2) "ok", .then = SCRIPT_HOLD}};

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    cr_assert_eq(
        cw_http_client_configure(ask.loop, &(struct cw_http_client_options){.idle_ms = CW_OFF}), 0);
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    expect_answer(1, 200, "ok");
    cr_expect_not_null(strstr(script.requests[1], "\r\nConnection: close\r\n"));
    ask_release(&ask);
}

/* The peer ends the kept connection just when the next request comes: it takes the request and ends. */
static const struct script_turn dies[] = {
    {.answer = OK(1) "a"}, {.then = SCRIPT_END}, {.answer = OK(1) "b"}};

static void ask_two(const char *method, cw_source_fn pull)
{
    struct cw_http_request *second;

    SCRIPT_START(&script, dies);
    ask_begin(&ask);
    ask_for(&ask, &script, "/");
    second = ask_for(&ask, &script, "/");
    second->method = method;
    second->pull = pull;
    second->body_len = pull ? CW_NO_LIMIT : 0;
    ask_run(&ask);
}

Test(http_client, a_request_on_a_kept_connection_that_dies_is_sent_again)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"};

    for (size_t i = 0; i < 5; i++) {
        ask_two(methods[i], NULL);
        script_end(&script);
        expect_answer(1, 200, i == 1 ? "" : "b");
        cr_expect_eq(atomic_load(&script.asked), 3);
        ask_release(&ask);
    }
}

/* Lets the script come to its end. */
static void play_last(void)
{
    struct rig_peer peer = rig_peer_tcp(script.port);

    rig_peer_send_text(&peer, "GET / HTTP/1.1\r\n\r\n");
    rig_peer_expect(&peer, OK(1) "b");
    rig_peer_close(&peer);
    script_end(&script);
}

Test(http_client, a_post_is_not_sent_twice)
{
    ask_two("POST", NULL);
    play_last();
    expect_error(1, CW_ETRUNCATED, "not sent twice");
    cr_expect_eq(atomic_load(&script.asked), 3); /* the third one was ours */
    ask_release(&ask);
}

Test(http_client, a_body_that_is_pulled_is_not_sent_twice)
{
    ask_two("PUT", pull_nothing);
    play_last();
    expect_error(1, CW_ETRUNCATED, "not sent twice");
    ask_release(&ask);
}

static void read_head(struct rig_peer *peer)
{
    char text[4096] = "";
    size_t len = 0;

    while (!strstr(text, "\r\n\r\n")) {
        ptrdiff_t n = rig_peer_receive_some(peer, text + len, sizeof text - 1 - len);

        rig_check(n > 0);
        len += (size_t)n;
        text[len] = 0;
    }
}

/* Takes the next request, on either connection, and ends that one. */
static void die_on_request(struct rig_peer peers[2])
{
    struct pollfd ready[2] = {{peers[0].fd, POLLIN, 0}, {peers[1].fd, POLLIN, 0}};
    struct rig_peer *peer;

    rig_check(poll(ready, 2, RIG_DEADLINE_MS) > 0);
    peer = ready[0].revents ? &peers[0] : &peers[1];
    read_head(peer);
    rig_peer_close(peer);
    peer->fd = -1;
}

static void *two_that_die(void *arg)
{
    struct rig_silent *listener = arg;
    struct rig_peer peers[2] = {{rig_silent_accept(listener)}, {rig_silent_accept(listener)}};

    for (size_t i = 0; i < 2; i++) {
        read_head(&peers[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        rig_peer_send_text(&peers[i], OK(1) "a");
    }
    die_on_request(peers);
    die_on_request(peers);
    return NULL;
}

static void ask_third(struct ask *asking, size_t index)
{
    if (asking->told == 2) {
        ask_for(asking, &script, "/");
        ask_next(asking);
    }
}

Test(http_client, a_request_is_sent_again_once_only)
{
    struct rig_silent listener;
    pthread_t thread;

    rig_silent_open(&listener, "127.0.0.1", 0, 0);
    script.port = listener.port;
    cr_assert_eq(pthread_create(&thread, NULL, two_that_die, &listener), 0);
    ask_begin(&ask);
    ask.together = true;
    ask.told_one = ask_third;
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    pthread_join(thread, NULL);
    rig_silent_close(&listener);
    cr_expect_eq(ask.answers[0].error, 0, "%s", ask.answers[0].text);
    expect_error(2, CW_ETRUNCATED, "before an answer came");
    ask_release(&ask);
}

Test(http_client, an_answer_that_has_begun_is_not_asked_for_again)
{
    const struct script_turn turns[] = {
        {.answer = OK(1) "a"}, {.answer = "H", .then = SCRIPT_END}, {.answer = OK(1) "b"}};

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    play_last();
    expect_error(1, CW_ETRUNCATED, "in the middle");
    ask_release(&ask);
}

Test(http_client, no_more_than_conns_max_at_once_and_the_others_wait)
{
    struct script_turn turns[20];

    for (size_t i = 0; i < 20; i++) {
        turns[i] = (struct script_turn){.answer = OK(1) "x"};
    }
    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    cr_assert_eq(
        cw_http_client_configure(ask.loop, &(struct cw_http_client_options){.conns_max = 1}), 0);
    ask.together = true;
    for (size_t i = 0; i < 20; i++) {
        ask_for(&ask, &script, "/");
    }
    ask_run(&ask);
    script_end(&script);
    for (size_t i = 0; i < 20; i++) {
        expect_answer(i, 200, "x");
    }
    cr_expect_eq(atomic_load(&script.conns), 1);
    ask_release(&ask);
}

Test(http_client, more_than_waiting_max_are_refused)
{
    const struct script_turn turns[] = {{.answer = OK(1) "x"}, {.answer = OK(1) "x"}};

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    cw_http_client_configure(ask.loop,
                             &(struct cw_http_client_options){.conns_max = 1, .waiting_max = 2});
    ask.together = true;
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    expect_answer(0, 200, "x");
    expect_answer(1, 200, "x");
    cr_expect_eq(ask.answers[2].error, CW_EFULL);
    ask_release(&ask);
}

Test(http_client, options_out_of_range_are_refused)
{
    struct cw_loop *loop = cw_loop_new();

    cr_expect_eq(
        cw_http_client_configure(loop, &(struct cw_http_client_options){.conns_max = 65537}),
        CW_EINVAL);
    cr_expect_eq(
        cw_http_client_configure(loop, &(struct cw_http_client_options){.idle_ms = CW_NO_LIMIT}),
        CW_EINVAL);
    cr_expect_eq(cw_http_client_configure(loop, &(struct cw_http_client_options){0}), 0);
    cw_loop_free(loop);
}

Test(http_client, the_longest_unused_address_goes_when_there_are_too_many)
{
    static struct script others[3];
    const struct script_turn once[] = {{.answer = OK(1) "x", .then = SCRIPT_HOLD}};
    const struct script_turn twice[] = {{.answer = OK(1) "x"}, {.answer = OK(1) "y"}};

    SCRIPT_START(&others[0], once);
    SCRIPT_START(&others[1], twice);
    ask_begin(&ask);
    cw_http_client_configure(ask.loop, &(struct cw_http_client_options){.addresses_max = 1});
    ask_for(&ask, &others[0], "/");
    ask_for(&ask, &others[1], "/"); /* the first one is closed for it */
    ask_for(&ask, &others[1], "/");
    ask_run(&ask);
    script_end(&others[0]);
    script_end(&others[1]);
    expect_answer(2, 200, "y");
    cr_expect_eq(atomic_load(&others[1].conns), 1);
    ask_release(&ask);
}

/* ---- nobody there, nobody answers ---- */

Test(http_client, where_nobody_listens_the_error_says_so_each_time)
{
    char url[64];

    snprintf(url, sizeof url, "http://127.0.0.1:%u/", rig_free_port());
    ask_begin(&ask);
    ask_for(&ask, NULL, url);
    ask_for(&ask, NULL, url);
    ask_run(&ask);
    expect_error(0, CW_EREFUSED, "nobody listens");
    expect_error(1, CW_EREFUSED, "connect 127.0.0.1:");
    ask_release(&ask);
}

Test(http_client, a_server_that_comes_up_is_found_at_once)
{
    const struct script_turn turns[] = {{.answer = OK(2) "ok"}};
    uint16_t port = rig_free_port();
    char url[64];

    snprintf(url, sizeof url, "http://127.0.0.1:%u/", port);
    ask_begin(&ask);
    ask_for(&ask, NULL, url);
    ask_run(&ask);
    expect_error(0, CW_EREFUSED, "nobody listens");
    ask_release(&ask);
    SCRIPT_START(&script, turns);
    ask_once(&ask, &script, "/");
    script_end(&script);
    expect_answer(0, 200, "ok");
    ask_release(&ask);
}

Test(http_client, names_without_an_address_are_told)
{
    ask_once(&ask, NULL, "http://no-such-host.invalid/");
    cr_expect(ask.answers[0].error == CW_ERESOLVE || ask.answers[0].error == CW_ECONNECTTIME, "%s",
              ask.answers[0].text);
    ask_release(&ask);
}

Test(http_client, connecting_has_a_time_out_of_its_own)
{
    struct rig_silent silent;
    char url[64];

    rig_silent_open(&silent, "127.0.0.1", 0, 1);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", silent.port);
    ask_begin(&ask);
    ask_for(&ask, NULL, url)->connect_ms = 300;
    ask_run(&ask);
    rig_silent_close(&silent);
    expect_error(0, CW_ECONNECTTIME, "connect");
    ask_release(&ask);
}

Test(http_client, a_server_that_says_nothing_is_given_up)
{
    const struct script_turn turns[] = {{.then = SCRIPT_HOLD},
                                        {.answer = "HTTP/1.1 200 OK\r\nCont", .then = SCRIPT_HOLD},
                                        {.answer = OK(10) "hello", .then = SCRIPT_HOLD}};

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    for (size_t i = 0; i < 3; i++) {
        ask_for(&ask, &script, "/")->quiet_ms = 200;
    }
    ask_run(&ask);
    script_end(&script);
    for (size_t i = 0; i < 3; i++) {
        expect_error(i, CW_EIDLE, "GET http");
    }
    ask_release(&ask);
}

static void ask_again(struct cw_loop *loop, void *user)
{
    struct cw_http_request *request = ask_for(&ask, &script, "/");

    request->quiet_ms = 300;
    ask_next(&ask);
}

static void wait_longer_than_quiet(struct ask *asking, size_t index)
{
    if (index == 0) {
        cw_timer_start(asking->loop, 700, 0, ask_again, NULL);
    }
}

Test(http_client, the_time_between_requests_is_not_quiet)
{
    const struct script_turn turns[] = {{.answer = OK(1) "a"}, {.answer = OK(1) "b"}};

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    ask.stays = true;
    ask.told_one = wait_longer_than_quiet;
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    expect_answer(1, 200, "b");
    cr_expect_eq(atomic_load(&script.conns), 1);
    ask_release(&ask);
}

Test(http_client, the_whole_of_it_has_a_time_out)
{
    const struct script_turn turns[] = {{.answer = OK(10) "hello", .then = SCRIPT_HOLD}};

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    ask_for(&ask, &script, "/")->timeout_ms = 300;
    ask_run(&ask);
    script_end(&script);
    expect_error(0, CW_EDEADLINE, "timeout_ms (300)");
    ask_release(&ask);
}

Test(http_client, the_time_out_counts_while_waiting_for_a_connection)
{
    const struct script_turn turns[] = {{.then = SCRIPT_HOLD}};

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    cw_http_client_configure(ask.loop, &(struct cw_http_client_options){.conns_max = 1});
    ask.together = true;
    ask_for(&ask, &script, "/")->timeout_ms = 600;
    ask_for(&ask, &script, "/")->timeout_ms = 300;
    ask_run(&ask);
    script_end(&script);
    expect_error(0, CW_EDEADLINE, "timeout_ms (600)");
    expect_error(1, CW_EDEADLINE, "timeout_ms (300)");
    ask_release(&ask);
}

/* ---- cancel and stop ---- */

static void cancel_other(struct ask *asking, size_t index)
{
    if (index == 0) {
        cr_assert_eq(cw_http_request_cancel(asking->loop, asking->ids[1]), 0);
        cr_assert_eq(cw_http_request_cancel(asking->loop, asking->ids[1]), CW_ENOTFOUND);
        cr_assert_eq(cw_http_request_cancel(asking->loop, asking->ids[0]), CW_ENOTFOUND);
        cr_assert_eq(cw_http_request_cancel(asking->loop, 12345), CW_ENOTFOUND);
        cr_assert_eq(cw_http_request_resume(asking->loop, asking->ids[1]), CW_ENOTFOUND);
    }
}

static void cancel_the_other(size_t conns_max)
{
    const struct script_turn turns[] = {{.answer = OK(1) "x", .then = SCRIPT_HOLD}};
    static struct script second;
    const struct script_turn held[] = {{.then = SCRIPT_HOLD}};

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    cw_http_client_configure(ask.loop, &(struct cw_http_client_options){.conns_max = conns_max});
    ask.together = true;
    ask.told_one = cancel_other;
    ask_for(&ask, &script, "/");
    if (conns_max == 1) {
        ask_for(&ask, &script, "/"); /* waits for the first one's connection */
    } else {
        SCRIPT_START(&second, held);
        ask_for(&ask, &second, "/");
    }
    ask_run(&ask);
    script_end(&script);
    if (conns_max > 1) {
        script_end(&second);
    }
    expect_answer(0, 200, "x");
    expect_error(1, CW_ECLOSED, "cancelled");
    ask_release(&ask);
}

Test(http_client, a_request_under_way_can_be_given_up)
{
    cancel_the_other(8);
}

Test(http_client, a_request_that_waits_can_be_given_up)
{
    cancel_the_other(1);
}

static void count_stopped(struct cw_http_response *response, void *user)
{
    unsigned *stopped = user;

    rig_check(response->error == CW_ESTOPPED);
    (*stopped)++;
}

static void stop_now(struct cw_loop *loop, void *user)
{
    cw_loop_stop(loop);
}

Test(http_client, when_the_loop_stops_all_are_told)
{
    const struct script_turn turns[] = {{.then = SCRIPT_HOLD}};
    struct cw_loop *loop = cw_loop_new();
    unsigned stopped = 0;
    char url[64];

    SCRIPT_START(&script, turns);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", script.port);
    cw_http_client_configure(loop, &(struct cw_http_client_options){.conns_max = 1});
    cr_assert_gt(cw_http_get(loop, url, count_stopped, &stopped), 0);
    cr_assert_gt(cw_http_get(loop, url, count_stopped, &stopped), 0);
    cw_timer_start(loop, 200, 0, stop_now, NULL);
    cw_loop_run(loop);
    cr_expect_eq(stopped, 2);
    cr_expect_eq(cw_http_get(loop, url, count_stopped, &stopped), CW_ESTOPPED);
    cw_loop_free(loop);
    script_end(&script);
}

Test(http_client, a_loop_that_never_ran_tells_them_when_it_is_freed)
{
    struct cw_loop *loop = cw_loop_new();
    unsigned stopped = 0;

    cr_assert_gt(cw_http_get(loop, "http://127.0.0.1:9/", count_stopped, &stopped), 0);
    cr_expect_eq(stopped, 0);
    cw_loop_free(loop);
    cr_expect_eq(stopped, 1);
}

static void ask_from_within(struct cw_http_response *response, void *user)
{
    struct cw_loop *loop = user;

    rig_check(cw_http_get(loop, "http://127.0.0.1:9/", ask_from_within, loop) == CW_ESTOPPED);
}

Test(http_client, who_asks_again_while_it_stops_is_refused)
{
    struct cw_loop *loop = cw_loop_new();

    cr_assert_gt(cw_http_get(loop, "http://127.0.0.1:9/", ask_from_within, loop), 0);
    cw_loop_free(loop);
}

/* ---- unix sockets ---- */

Test(http_client, unix_sockets_are_spoken_to)
{
    const struct script_turn turns[] = {{.answer = OK(2) "ok"}};
    char folder[] = "/tmp/cw-http-XXXXXX";
    char path[64];
    char url[128];

    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    memset(&script, 0, sizeof script);
    script.turns[0] = turns[0];
    script.count = 1;
    rig_silent_open_unix(&script.listener, path, 0);
    script_go(&script);
    snprintf(url, sizeof url, "http+unix://%%2Ftmp%%2F%s%%2Fs/v1?x", folder + 5);
    ask_once(&ask, NULL, url);
    script_end(&script);
    expect_answer(0, 200, "ok");
    cr_expect_eq(strncmp(script.requests[0], "GET /v1?x HTTP/1.1\r\nHost: localhost\r\n", 37), 0,
                 "%s", script.requests[0]);
    cr_expect_str_eq(ask.answers[0].url, url);
    unlink(path);
    rmdir(folder);
    ask_release(&ask);
}

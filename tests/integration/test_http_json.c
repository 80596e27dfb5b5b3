/* Bodies that are JSON, and answers that are, over sockets. */
#include "support/host.h"
#include "support/http_talk.h"
#include "support/leak.h"
#include "support/wait.h"

#include <causeway/http.h>
#include <causeway/log.h>
#include <causeway/middleware/http_json.h>

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct rig_host *host;
static uint16_t port;

#define JSON "Content-Type: application/json\r\n"

/* Sends back what it read. */
static void echo(struct cw_http_exchange *http, void *user)
{
    const struct cJSON *json = cw_http_body_json(http, user);

    if (json != NULL) {
        rig_check(cw_http_body_json(http, user) == json);
        cw_http_reply_json(http, 200, json);
    }
}

static void say_hello(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, "hello");
}

/* Counts how often it was asked. */
static void count(struct cw_http_exchange *http, void *user)
{
    static int calls;

    if (cw_http_equal(cw_http_method(http), "GET")) {
        cw_http_replyf(http, 200, "text/plain", "%d", calls);
        return;
    }
    calls++;
    echo(http, NULL);
}

static void begin(void)
{
    static const struct cw_json_limits narrow = {.bytes_max = 20, .depth_max = 2};
    struct cw_server *server;

    cw_log_set_level(CW_LOG_SILENT);
    server = rig_server(&cw_http, NULL);
    cw_http_route(server, "POST /echo", echo, NULL);
    cw_http_route(server, "POST /narrow", echo, (void *)&narrow);
    struct cw_http_group *group = cw_http_group(server, "/api", NULL);
    cw_http_group_use(group, cw_http_json(&narrow));
    cw_http_group_route(group, "GET|POST /count", count, NULL, NULL);
    cw_http_group_route(group, "DELETE /hello", say_hello, NULL, NULL);
    host = rig_host_start(server, NULL, NULL);
    port = rig_host_port(host, 0);
}

static void finish(void)
{
    rig_host_end(host);
    rig_expect_no_leak();
}

TestSuite(http_json, .init = begin, .fini = finish, .timeout = 60);

/* Posts, and expects this status and, unless NULL, this body. */
static void expect(const char *target, const char *fields, const char *body, int status,
                   const char *wanted)
{
    struct rig_answer answer;

    rig_post_once(port, target, fields, cw_span_text(body), &answer);
    cr_expect_eq(answer.status, status, "%s: %d %s", body, answer.status, answer.body);
    if (wanted != NULL) {
        cr_expect_str_eq((const char *)answer.body, wanted);
    }
    rig_answer_free(&answer);
}

Test(http_json, a_body_is_read_and_an_answer_written)
{
    struct rig_answer answer;

    rig_post_once(port, "/echo", JSON, cw_span_text(" {\"a\": [1, true, null, \"\\u00e4\"]}"),
                  &answer);
    cr_expect_eq(answer.status, 200);
    cr_expect_str_eq(rig_answer_field(&answer, "Content-Type"), "application/json");
    cr_expect_str_eq((const char *)answer.body, "{\"a\":[1,true,null,\"\xc3\xa4\"]}");
    rig_answer_free(&answer);
}

Test(http_json, types_of_its_kind_in_utf_8_are_taken)
{
    expect("/echo", "Content-Type: application/problem+json\r\n", "1", 200, "1");
    expect("/echo", "content-type: APPLICATION/JSON ; Charset=\"UTF-8\"\r\n", "1", 200, "1");
    expect("/echo", JSON "Content-Encoding: identity\r\n", "1", 200, "1");
}

Test(http_json, other_types_are_refused_with_what_would_be_taken)
{
    struct rig_answer answer;

    expect("/echo", "", "1", 415, NULL);
    expect("/echo", "Content-Type: text/plain\r\n", "1", 415, NULL);
    expect("/echo", "Content-Type: application/x-json\r\n", "1", 415, NULL);
    expect("/echo", "Content-Type: +json\r\n", "1", 415, NULL);
    expect("/echo", "Content-Type: application/json; charset=utf-16\r\n", "1", 415, NULL);
    expect("/echo", "Content-Type: application/json; charset=\"\r\n", "1", 415, NULL);
    expect("/echo", JSON JSON, "1", 415, NULL);
    rig_post_once(port, "/echo", "", cw_span_text("1"), &answer);
    cr_expect_str_eq(rig_answer_field(&answer, "Accept"), "application/json");
    cr_expect(strstr((const char *)answer.body, "application/json") != NULL, "%s", answer.body);
    rig_answer_free(&answer);
    rig_post_once(port, "/echo", JSON "Content-Encoding: gzip\r\n", cw_span_text("1"), &answer);
    cr_expect_eq(answer.status, 415);
    cr_expect_str_eq(rig_answer_field(&answer, "Accept-Encoding"), "identity");
    rig_answer_free(&answer);
}

Test(http_json, what_is_not_json_is_refused)
{
    expect("/echo", JSON, "", 400, NULL);
    expect("/echo", JSON, "{", 400, NULL);
    expect("/echo", JSON, "{\"a\":1,}", 400, NULL);
    expect("/echo", JSON, "\xef\xbb\xbf{}", 400, NULL);
    expect("/echo", JSON, "\"\xff\"", 400, NULL);
    expect("/echo", JSON, "[] []", 400, NULL);
}

Test(http_json, limits_are_exact)
{
    expect("/narrow", JSON, "[12345678901234567]", 200, NULL);
    expect("/narrow", JSON, "[ 12345678901234567]", 200, NULL); /* 20 bytes */
    expect("/narrow", JSON, "[  12345678901234567]", 413, NULL);
    expect("/narrow", JSON, "[[1]]", 200, "[[1]]");
    expect("/narrow", JSON, "[[[1]]]", 400, NULL);
}

Test(http_json, middleware_refuses_before_the_handler)
{
    struct rig_answer answer;

    expect("/api/count", JSON, "{", 400, NULL);
    expect("/api/count", "", "{}", 415, NULL);
    expect("/api/count", JSON, "[[[1]]]", 400, NULL);
    expect("/api/count", JSON, "[                      ]", 413, NULL);
    rig_ask_once(port, "GET /api/count HTTP/1.1\r\nHost: a\r\n\r\n", cw_span_of(NULL, 0), &answer);
    cr_expect_str_eq((const char *)answer.body, "0");
    rig_answer_free(&answer);
    expect("/api/count", JSON, "[[1]]", 200, "[[1]]");
}

Test(http_json, middleware_lets_requests_without_a_body_pass)
{
    struct rig_answer answer;

    rig_ask_once(port, "DELETE /api/hello HTTP/1.1\r\nHost: a\r\n\r\n", cw_span_of(NULL, 0),
                 &answer);
    cr_expect_eq(answer.status, 200);
    rig_answer_free(&answer);
    expect("/api/count", JSON, "", 400, NULL);
}

Test(http_json, middleware_judges_type_and_length_before_the_body_is_sent)
{
    struct rig_peer peer = rig_peer_tcp(port);
    struct rig_answer answer;

    rig_peer_send_text(&peer, "POST /api/count HTTP/1.1\r\nHost: a\r\n" JSON "Content-Length: 21\r\n"
                              "Expect: 100-continue\r\n\r\n");
    rig_answer_read_head(&peer, &answer);
    cr_expect_eq(answer.status, 413, "%s", answer.head);
    rig_answer_free(&answer);
    rig_peer_close(&peer);
}

Test(http_json, a_body_in_chunks_is_the_same)
{
    struct rig_answer answer;
    static const char request[] =
        "POST /api/count HTTP/1.1\r\nHost: a\r\n" JSON "Transfer-Encoding: chunked\r\n\r\n";

    rig_ask_once(port, request, cw_span_text("1\r\n[\r\n2\r\n1]\r\n0\r\n\r\n"), &answer);
    cr_expect_str_eq((const char *)answer.body, "[1]");
    rig_answer_free(&answer);
    rig_ask_once(port, request, cw_span_text("16\r\n[                    ]\r\n0\r\n\r\n"), &answer);
    cr_expect_eq(answer.status, 413);
    rig_answer_free(&answer);
}

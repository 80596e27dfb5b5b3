/* Redirects, over real sockets. */
#include "support/http_script.h"
#include "support/leak.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct script script;
static struct script other;
static struct ask ask;

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(http_client_redirect, .init = init, .fini = rig_expect_no_leak, .timeout = 60);

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define TO(status, location)                                                                       \
    "HTTP/1.1 " #status " Moved\r\nLocation: " location "\r\nContent-Length: 4\r\n\r\nmove"

static const struct ask_answer *answer(void)
{
    return &ask.answers[0];
}

static void expect_ok(uint64_t redirects)
{
    cr_expect_eq(answer()->error, 0, "%s", answer()->text);
    cr_expect_eq(answer()->status, 200);
    cr_expect_str_eq(answer()->body, "ok");
    cr_expect_eq(answer()->redirects, redirects);
}

static void expect_error(int error, const char *words)
{
    cr_expect_eq(answer()->error, error, "%d %s", answer()->error, answer()->text);
    cr_expect_not_null(strstr(answer()->text, words), "%s", answer()->text);
}

Test(http_client_redirect, a_get_follows_on_the_same_connection_and_tells_where_it_came_to)
{
    const struct script_turn turns[] = {
        {.answer = TO(301, "b/../c?d#e")}, {.answer = TO(302, "/e")},   {.answer = TO(303, "?f")},
        {.answer = TO(307, "")},           {.answer = TO(308, "/g h")}, {.answer = OK}};
    char url[64];

    SCRIPT_START(&script, turns);
    ask_once(&ask, &script, "/a/x");
    script_end(&script);
    expect_ok(5);
    cr_expect_eq(strncmp(script.requests[1], "GET /a/c?d HTTP/1.1\r\n", 21), 0, "%s",
                 script.requests[1]);
    cr_expect_eq(strncmp(script.requests[2], "GET /e HTTP/1.1\r\n", 17), 0);
    cr_expect_eq(strncmp(script.requests[3], "GET /e?f HTTP/1.1\r\n", 19), 0);
    cr_expect_eq(strncmp(script.requests[4], "GET /e?f HTTP/1.1\r\n", 19), 0);
    cr_expect_eq(strncmp(script.requests[5], "GET /g%20h HTTP/1.1\r\n", 21), 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/g%%20h", script.port);
    cr_expect_str_eq(answer()->url, url);
    cr_expect_eq(atomic_load(&script.conns), 1);
    ask_release(&ask);
}

static void ask_with_body(const char *method, const char *redirect)
{
    const struct script_turn turns[] = {{.answer = redirect}, {.answer = OK}};
    static const struct cw_http_pair fields[] = {
        {"Content-Language", "de"}, {"X-Own", "1"}, {NULL, NULL}};
    struct cw_http_request *request;

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    request = ask_for(&ask, &script, "/");
    request->method = method;
    request->body = cw_span_text("a body");
    request->fields = fields;
    ask_run(&ask);
    script_end(&script);
    expect_ok(1);
    cr_expect_not_null(strstr(script.requests[1], "X-Own: 1"));
    ask_release(&ask);
}

static void expect_get(void)
{
    cr_expect_eq(strncmp(script.requests[1], "GET /next HTTP/1.1\r\n", 20), 0, "%s",
                 script.requests[1]);
    cr_expect_null(strstr(script.requests[1], "Content-"));
    cr_expect_null(strstr(script.requests[1], "a body"));
}

static void expect_same(const char *method)
{
    cr_expect_eq(strncmp(script.requests[1], method, strlen(method)), 0, "%s", script.requests[1]);
    cr_expect_not_null(strstr(script.requests[1], "Content-Length: 6\r\n"));
    cr_expect_not_null(strstr(script.requests[1], "Content-Language: de\r\n"));
    cr_expect_not_null(strstr(script.requests[1], "\r\n\r\na body"));
}

Test(http_client_redirect, a_post_becomes_a_get_where_that_is_meant)
{
    ask_with_body("POST", TO(301, "/next"));
    expect_get();
    ask_with_body("POST", TO(302, "/next"));
    expect_get();
    ask_with_body("POST", TO(303, "/next"));
    expect_get();
    ask_with_body("PUT", TO(303, "/next"));
    expect_get();
}

Test(http_client_redirect, method_and_body_stay_where_that_is_meant)
{
    ask_with_body("POST", TO(307, "/next"));
    expect_same("POST /next ");
    ask_with_body("POST", TO(308, "/next"));
    expect_same("POST /next ");
    ask_with_body("PUT", TO(301, "/next"));
    expect_same("PUT /next ");
}

Test(http_client_redirect, a_head_stays_a_head)
{
    const struct script_turn turns[] = {
        {.answer = "HTTP/1.1 303 See Other\r\nLocation: /b\r\nContent-Length: 9\r\n\r\n"},
        {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"}};

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    ask_for(&ask, &script, "/")->method = "HEAD";
    ask_run(&ask);
    script_end(&script);
    cr_expect_eq(answer()->status, 200);
    cr_expect_eq(strncmp(script.requests[1], "HEAD /b ", 8), 0);
    ask_release(&ask);
}

static const struct cw_http_pair secrets[] = {{"Authorization", "Bearer x"},
                                              {"cookie", "a=b"},
                                              {"Host", "first.example"},
                                              {"X-Own", "1"},
                                              {NULL, NULL}};

Test(http_client_redirect, what_is_for_one_host_stays_with_it)
{
    const struct script_turn last[] = {{.answer = OK}};
    static char to_other[256];
    const struct script_turn first[] = {{.answer = TO(302, "/same")}, {.answer = to_other}};

    SCRIPT_START(&other, last);
    snprintf(to_other, sizeof to_other,
             "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%u/x\r\nContent-Length: 0\r\n\r\n",
             other.port);
    SCRIPT_START(&script, first);
    ask_begin(&ask);
    ask_for(&ask, &script, "/")->fields = secrets;
    ask_run(&ask);
    script_end(&script);
    script_end(&other);
    expect_ok(2);
    cr_expect_not_null(strstr(script.requests[1], "Authorization: Bearer x"));
    cr_expect_not_null(strstr(script.requests[1], "cookie: a=b"));
    cr_expect_not_null(strstr(script.requests[1], "Host: first.example"));
    cr_expect_null(strstr(other.requests[0], "Bearer"));
    cr_expect_null(strstr(other.requests[0], "a=b"));
    cr_expect_null(strstr(other.requests[0], "first.example"));
    cr_expect_not_null(strstr(other.requests[0], "X-Own: 1"));
    cr_expect_not_null(strstr(other.requests[0], "\r\nHost: 127.0.0.1:"));
    ask_release(&ask);
}

Test(http_client_redirect, a_loop_comes_to_an_end)
{
    struct script_turn turns[4];

    for (size_t i = 0; i < 4; i++) {
        turns[i] = (struct script_turn){.answer = TO(302, "/")};
    }
    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    ask_for(&ask, &script, "/")->redirects_max = 3;
    ask_run(&ask);
    script_end(&script);
    expect_error(CW_ETOOBIG, "redirects_max (3)");
    cr_expect_eq(answer()->redirects, 3);
    ask_release(&ask);
}

Test(http_client_redirect, they_can_be_answers_like_others)
{
    const struct script_turn turns[] = {{.answer = TO(302, "/x")}, {.answer = TO(304, "/x")}};

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    ask.field = "location";
    ask_for(&ask, &script, "/")->redirects_max = CW_OFF;
    ask_run(&ask);
    cr_expect_eq(answer()->status, 302);
    cr_expect_str_eq(answer()->body, "move");
    cr_expect_str_eq(answer()->field, "/x");
    ask_release(&ask);
    ask_once(&ask, &script, "/");
    script_end(&script);
    cr_expect_eq(answer()->status, 304);
    ask_release(&ask);
}

Test(http_client_redirect, without_location_it_is_an_answer)
{
    const struct script_turn turns[] = {
        {.answer = "HTTP/1.1 302 Found\r\nContent-Length: 2\r\n\r\nok"},
        {.answer = "HTTP/1.1 300 Choices\r\nLocation: /x\r\nContent-Length: 2\r\n\r\nok"}};

    SCRIPT_START(&script, turns);
    ask_begin(&ask);
    ask_for(&ask, &script, "/");
    ask_for(&ask, &script, "/");
    ask_run(&ask);
    script_end(&script);
    cr_expect_eq(answer()->status, 302);
    cr_expect_str_eq(answer()->body, "ok");
    cr_expect_eq(ask.answers[1].status, 300);
    ask_release(&ask);
}

static void expect_refused(const char *redirect, int error, const char *words)
{
    const struct script_turn turns[] = {{.answer = redirect}};

    SCRIPT_START(&script, turns);
    ask_once(&ask, &script, "/");
    script_end(&script);
    expect_error(error, words);
    cr_expect_not_null(strstr(answer()->text, "redirect 302"), "%s", answer()->text);
    ask_release(&ask);
}

Test(http_client_redirect, places_that_are_not_gone_to)
{
    expect_refused(TO(302, "ftp://127.0.0.1/"), CW_EPROTO, "only http, https");
    expect_refused(TO(302, "http://u:p@127.0.0.1/"), CW_EPROTO, "Authorization");
    expect_refused(TO(302, "http+unix://%2Frun%2Fdocker.sock/x"), CW_EPROTO, "unix socket");
    expect_refused(TO(302, "http://127.0.0.1:0/"), CW_EPROTO, "a port is");
    expect_refused(TO(302, "javascript:alert(1)"), CW_EPROTO, "begins with");
    expect_refused(TO(302, "/%zz"), CW_EPROTO, "hexadecimal");
}

Test(http_client_redirect, a_long_body_of_a_redirect_is_not_read)
{
    static const char *const long_ones[] = {
        "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 999999999\r\n\r\nbegins",
        "HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\nbegins",
        "HTTP/1.1 302 Found\r\nLocation: /x\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\nbegins"};

    for (size_t i = 0; i < 3; i++) {
        const struct script_turn turns[] = {{.answer = long_ones[i], .then = SCRIPT_HOLD},
                                            {.answer = OK}};

        SCRIPT_START(&script, turns);
        ask_once(&ask, &script, "/");
        script_end(&script);
        expect_ok(1);
        cr_expect_eq(atomic_load(&script.conns), 2);
        ask_release(&ask);
    }
}

static ptrdiff_t pull_x(uint8_t *buffer, size_t cap, void *user)
{
    buffer[0] = 'x';
    return 1;
}

static void count_done(int code, void *user)
{
    unsigned *done = user;

    (*done)++;
}

static void pull_and_go(const char *redirect, bool follows)
{
    const struct script_turn turns[] = {{.answer = redirect}, {.answer = OK}};
    struct cw_http_request *request;
    unsigned done = 0;

    script_start(&script, turns, follows ? 2 : 1);
    ask_begin(&ask);
    request = ask_for(&ask, &script, "/");
    request->pull = pull_x;
    request->pulled = count_done;
    request->pull_user = &done;
    request->body_len = 5;
    ask_run(&ask);
    script_end(&script);
    cr_expect_not_null(strstr(script.requests[0], "\r\n\r\nxxxxx"));
    cr_expect_eq(done, 1);
}

Test(http_client_redirect, a_body_that_was_pulled_is_not_sent_twice)
{
    pull_and_go(TO(307, "/x"), false);
    expect_error(CW_ESTATE, "pulled");
    ask_release(&ask);
    pull_and_go(TO(303, "/x"), true);
    expect_ok(1);
    ask_release(&ask);
}

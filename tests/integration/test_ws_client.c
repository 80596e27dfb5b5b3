/* Our client against servers that answer by a script: what it asks, and what it makes of each answer. */
#include "support/http_script.h"
#include "support/leak.h"
#include "support/silent.h"
#include "support/wait.h"
#include "support/ws_visit.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <criterion/criterion.h>
#include <stdlib.h>

#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\n"
#define RIGHT                                                                                      \
    SWITCHING "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: $ACCEPT\r\n"
#define HELLO "\x81\x05hello"
#define CLOSE "\x88\x02\x03\xe8"

static struct script script;
static struct ws_visit visit;

static void be_quiet(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(ws_client, .init = be_quiet, .fini = rig_expect_no_leak, .timeout = 60);

/* ---- one answer ---- */

static void play(const struct script_turn *turn)
{
    script_start(&script, turn, 1);
    ws_visit_begin(&visit);
    cr_assert_gt(ws_visit_to(&visit, "ws://127.0.0.1:%u/chat?a=b", script.port), 0);
    ws_visit_run(&visit);
    script_end(&script);
}

static void expect_open(const char *answer)
{
    memset(&visit.opened, 0, sizeof visit - offsetof(struct ws_visit, opened));
    play(&(struct script_turn){.answer = answer, .then = SCRIPT_HOLD});
    cr_expect_eq(visit.opened, 1, "%s: %s", answer, visit.report.text);
    cr_expect_eq(visit.status, 101, "%s", answer);
}

static void expect_failed(const char *answer, int code, const char *words)
{
    memset(&visit.opened, 0, sizeof visit - offsetof(struct ws_visit, opened));
    play(&(struct script_turn){.answer = answer, .then = SCRIPT_END});
    cr_expect_eq(visit.opened, 0, "%s", answer);
    cr_expect_eq(visit.failed, 1, "%s", answer);
    cr_expect_eq(visit.report.code, code, "%s: %s", answer, visit.report.text);
    cr_expect_not_null(strstr(visit.report.text, words), "%s: %s", answer, visit.report.text);
}

static bool asked(const char *line)
{
    return strstr(script.requests[0], line) != NULL;
}

Test(ws_client, it_asks_as_rfc_6455_wants)
{
    char host[64];

    expect_open(RIGHT "\r\n");
    snprintf(host, sizeof host, "\r\nHost: 127.0.0.1:%u\r\n", script.port);
    cr_expect_eq(strncmp(script.requests[0], "GET /chat?a=b HTTP/1.1\r\n", 24), 0);
    cr_expect(asked(host));
    cr_expect(asked("\r\nUpgrade: websocket\r\n"));
    cr_expect(asked("\r\nConnection: Upgrade\r\n"));
    cr_expect(asked("\r\nSec-WebSocket-Version: 13\r\n"));
    cr_expect(asked("\r\nSec-WebSocket-Key: "));
    cr_expect_not(asked("Sec-WebSocket-Extensions"));
    cr_expect_not(asked("Sec-WebSocket-Protocol"));
    cr_expect_not(asked("Origin"));
}

Test(ws_client, each_attempt_has_a_key_of_its_own)
{
    static char first[SCRIPT_REQUEST_MAX];

    expect_open(RIGHT "\r\n");
    memcpy(first, strstr(script.requests[0], "Key: "), 29);
    expect_open(RIGHT "\r\n");
    cr_expect_neq(memcmp(first, strstr(script.requests[0], "Key: "), 29), 0);
}

Test(ws_client, answers_that_are_right_open_it)
{
    expect_open(RIGHT "\r\n");
    expect_open(SWITCHING "upgrade: WebSocket\r\nCONNECTION: keep-alive, UPGRADE\r\n"
                          "sec-websocket-accept:   $ACCEPT  \r\nServer: x\r\n\r\n");
    expect_open("HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Accept: $ACCEPT\r\n\r\n");
    expect_open("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" RIGHT "\r\n");
    expect_open(RIGHT "Content-Length: 7\r\n\r\n"); /* RFC 9110 §15.2: no 1xx has a body */
}

#define WITHOUT_ACCEPT SWITCHING "Upgrade: websocket\r\nConnection: Upgrade\r\n"

Test(ws_client, a_101_that_breaks_a_rule_fails)
{
    static const struct {
        const char *answer;
        const char *words;
    } cases[] = {
        {SWITCHING "Connection: Upgrade\r\nSec-WebSocket-Accept: $ACCEPT\r\n\r\n", "Upgrade is not"},
        {SWITCHING "Upgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: $ACCEPT\r\n\r\n",
         "Upgrade is not"},
        {SWITCHING "Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Accept: $ACCEPT\r\n\r\n",
         "Upgrade is not"},
        {RIGHT "Upgrade: websocket\r\n\r\n", "Upgrade is not"},
        {SWITCHING "Upgrade: websocket\r\nSec-WebSocket-Accept: $ACCEPT\r\n\r\n",
         "Connection does not say"},
        {SWITCHING
         "Upgrade: websocket\r\nConnection: close\r\nSec-WebSocket-Accept: $ACCEPT\r\n\r\n",
         "Connection does not say"},
        {WITHOUT_ACCEPT "\r\n", "Sec-WebSocket-Accept"},
        {WITHOUT_ACCEPT "Sec-WebSocket-Accept:\r\n\r\n", "Sec-WebSocket-Accept"},
        {WITHOUT_ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
         "Sec-WebSocket-Accept"},
        {WITHOUT_ACCEPT "Sec-WebSocket-Accept: $ACCEPT=\r\n\r\n", "Sec-WebSocket-Accept"},
        {RIGHT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", "Sec-WebSocket-Accept"},
        {RIGHT "Sec-WebSocket-Protocol: chat\r\n\r\n", "not offered: chat"},
        {RIGHT "Sec-WebSocket-Protocol:\r\n\r\n", "not offered"},
        {RIGHT "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", "Sec-WebSocket-Extensions"},
        {"HTTP/1.0 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: $ACCEPT\r\n\r\n",
         "HTTP/1.0"},
        {"\r\n" RIGHT "\r\n", "empty line"},
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade : websocket\r\n\r\n", ""},
        {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: web\r\n socket\r\n\r\n", ""},
        {"220 mail.example ESMTP\r\n", "status line"},
        {"\x15\x03\x03", "control character"}, /* an alert of TLS */
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect_failed(cases[i].answer, CW_EPROTO, cases[i].words);
    }
}

Test(ws_client, another_status_is_told_with_its_words)
{
    static const struct {
        const char *answer;
        int status;
        const char *words;
    } cases[] = {
        {"HTTP/1.1 403 Not for you\r\nContent-Length: 0\r\n\r\n", 403,
         "the server answers 403 Not for you"},
        {"HTTP/1.1 404\r\n\r\n", 404, "answers 404 Not Found"},
        {"HTTP/1.0 503 Busy\r\n\r\nlater", 503, "answers 503 Busy"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "answers 200 OK"},
        {"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", 302, "302 Found, it leads to /login"},
        {"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8, 7\r\n\r\n", 426,
         "426 Upgrade Required, it speaks version 8, 7"},
        {"HTTP/1.1 426 Upgrade Required\r\nUpgrade: h2c\r\n\r\n", 426, "it speaks h2c"},
        {"HTTP/1.1 401 \xe4\xf6\r\n\r\n", 401, "answers 401 ??"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect_failed(cases[i].answer, CW_EDENIED, cases[i].words);
        cr_expect_eq(visit.status, cases[i].status);
    }
}

Test(ws_client, an_answer_that_ends_too_early_fails)
{
    expect_failed(RIGHT, CW_ETRUNCATED, "");
    expect_failed("", CW_ETRUNCATED, "");
}

Test(ws_client, a_server_that_never_answers_is_given_up_after_connect_ms)
{
    visit.connect.connect_ms = 200;
    play(&(struct script_turn){.then = SCRIPT_HOLD});
    cr_expect_eq(visit.failed, 1);
    cr_expect_eq(visit.report.code, CW_EHANDSHAKETIME, "%s", visit.report.text);
    cr_expect_eq(visit.status, 0);
}

Test(ws_client, a_server_that_answers_half_is_given_up_after_connect_ms)
{
    visit.connect.connect_ms = 200;
    play(&(struct script_turn){.answer = RIGHT, .then = SCRIPT_HOLD});
    cr_expect_eq(visit.report.code, CW_EHANDSHAKETIME, "%s", visit.report.text);
}

Test(ws_client, an_answer_may_come_byte_by_byte_with_frames_behind_it)
{
    visit.says = "x";
    play(&(struct script_turn){.answer = RIGHT "\r\n" HELLO CLOSE, .piece = 1, .then = SCRIPT_END});
    cr_expect_eq(visit.opened, 1);
    cr_expect_str_eq(visit.got, "hello");
    cr_expect_eq(visit.reason.peer_code, CW_WEBSOCKET_NORMAL);
}

Test(ws_client, frames_may_come_in_one_piece_with_the_answer)
{
    visit.says = "x";
    play(&(struct script_turn){.answer = RIGHT "\r\n" HELLO HELLO CLOSE, .then = SCRIPT_END});
    cr_expect_eq(visit.opened, 1);
    cr_expect_str_eq(visit.got, "hellohello");
}

Test(ws_client, a_head_above_its_limit_fails_and_one_below_does_not)
{
    static char answer[20000];
    size_t len = (size_t)snprintf(answer, sizeof answer, RIGHT "X: ");

    memset(answer + len, 'x', 10000);
    strcpy(answer + len + 10000, "\r\n\r\n");
    expect_open(answer);
    memset(answer + len, 'x', 17000);
    strcpy(answer + len + 17000, "\r\n\r\n");
    expect_failed(answer, CW_ETOOBIG, "head_max_bytes (16384)");
    visit.options.head_max_bytes = 100000;
    expect_open(answer);
}

Test(ws_client, interim_answers_count_towards_the_limit)
{
    static char answer[40000];

    for (size_t len = 0; len < 30000; len += strlen(answer + len)) {
        strcpy(answer + len, "HTTP/1.1 102 Processing\r\n\r\n");
    }
    expect_failed(answer, CW_ETOOBIG, "head_max_bytes");
}

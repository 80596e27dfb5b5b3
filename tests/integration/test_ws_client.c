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
#include <unistd.h>

#define SWITCHING "HTTP/1.1 101 Switching Protocols\r\n"
#define RIGHT                                                                                      \
    SWITCHING "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: $ACCEPT\r\n"
#define FILLER "/a/path/that/is/as/long/as/the/head/that/follows/it/is/from/its/begin/to/its/end"
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
    expect_open("HTTP/1.1 103 Early Hints\r\nLink: <" FILLER FILLER FILLER FILLER ">\r\n\r\n" RIGHT
                "\r\n");
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
        {"HTTP/1.1 100 Continue\r\n\r\n220 mail.example ESMTP\r\n", "status line"},
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

static const char *answer_of(size_t filler)
{
    static char answer[100000];
    size_t len = (size_t)snprintf(answer, sizeof answer, RIGHT "X: ");

    memset(answer + len, 'x', filler);
    strcpy(answer + len + filler, "\r\n\r\n");
    return answer;
}

Test(ws_client, a_head_above_its_limit_fails_and_one_below_does_not)
{
    expect_open(answer_of(10000));
    expect_failed(answer_of(17000), CW_ETOOBIG, "head_max_bytes (16384)");
    visit.options.head_max_bytes = 100000;
    expect_open(answer_of(17000));
    visit.options.message_max_bytes = 1000;
    expect_open(answer_of(90000)); /* more than may wait unused otherwise */
}

Test(ws_client, interim_answers_count_towards_the_limit)
{
    static char answer[40000];

    for (size_t len = 0; len < 30000; len += strlen(answer + len)) {
        strcpy(answer + len, "HTTP/1.1 102 Processing\r\n\r\n");
    }
    expect_failed(answer, CW_ETOOBIG, "head_max_bytes");
}

/* ---- what is asked ---- */

static void ask_on(const char *format)
{
    memset(&visit.opened, 0, sizeof visit - offsetof(struct ws_visit, opened));
    script_start(&script, &(struct script_turn){.answer = RIGHT "\r\n", .then = SCRIPT_HOLD}, 1);
    ws_visit_begin(&visit);
    cr_assert_gt(ws_visit_to(&visit, format, script.port), 0, "%s", format);
    ws_visit_run(&visit);
    script_end(&script);
    cr_expect_eq(visit.opened, 1, "%s: %s", format, visit.report.text);
}

Test(ws_client, a_url_becomes_a_target_and_a_host)
{
    static const struct {
        const char *url;
        const char *line;
        const char *host;
    } cases[] = {
        {"ws://127.0.0.1:%u", "GET / HTTP/1.1\r\n", "127.0.0.1"},
        {"WS://127.0.0.1:%u/", "GET / HTTP/1.1\r\n", "127.0.0.1"},
        {"ws://LocalHost:%u?a=/?b", "GET /?a=/?b HTTP/1.1\r\n", "localhost"},
        {"ws://127.0.0.1:%u/a%%20b/../c;d?e", "GET /a%20b/../c;d?e HTTP/1.1\r\n", "127.0.0.1"},
    };
    char host[64];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ask_on(cases[i].url);
        cr_expect_eq(strncmp(script.requests[0], cases[i].line, strlen(cases[i].line)), 0, "%s",
                     script.requests[0]);
        snprintf(host, sizeof host, "\r\nHost: %s:%u\r\n", cases[i].host, script.port);
        cr_expect(asked(host), "%s", script.requests[0]);
    }
}

Test(ws_client, a_url_that_is_none_of_a_websocket_is_refused)
{
    static const char *const urls[] = {"",
                                       "127.0.0.1:80",
                                       "http://127.0.0.1/",
                                       "ws:/127.0.0.1/",
                                       "ws://",
                                       "ws:///path",
                                       "ws://a:0/",
                                       "ws://a:65536/",
                                       "ws://a:x/",
                                       "ws://[::1/",
                                       "ws://[127.0.0.1]/",
                                       "ws://user:secret@127.0.0.1/",
                                       "ws://user@127.0.0.1/",
                                       "ws://127.0.0.1/#part",
                                       "ws://127.0.0.1/a b",
                                       "ws://127.0.0.1/%%zz",
                                       "ws://127.0.0.1/\xc3\xa4",
                                       "ws+unix:///run/x.sock",
                                       "ws+unix://run%%2Fx.sock/"};

    ws_visit_begin(&visit);
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        cr_expect_eq(ws_visit_to(&visit, urls[i], 0), CW_EINVAL, "%s", urls[i]);
    }
    cr_expect_eq(cw_websocket_connect(visit.loop, NULL, NULL, NULL, NULL), CW_EINVAL);
    cr_expect_eq(cw_websocket_connect(NULL, "ws://127.0.0.1/", NULL, NULL, NULL), CW_ENOMEM);
    ws_visit_run(&visit);
}

Test(ws_client, default_ports_are_those_of_http_and_https)
{
    static const char *const cases[][2] = {{"ws://127.0.0.9/", "connect 127.0.0.9:80:"},
                                           {"ws://127.0.0.9:/", "connect 127.0.0.9:80:"},
                                           {"wss://127.0.0.9/", "connect 127.0.0.9:443:"}};

    for (size_t i = 0; i < 3; i++) {
        ws_visit_begin(&visit);
        cr_assert_gt(ws_visit_to(&visit, cases[i][0], 0), 0);
        ws_visit_run(&visit);
        cr_expect_eq(strncmp(visit.report.text, cases[i][1], strlen(cases[i][1])), 0, "%s",
                     visit.report.text);
        cr_expect_eq(visit.status, 0);
    }
}

Test(ws_client, an_ipv6_address_stands_in_brackets)
{
    char host[64];

    script.turns[0] = (struct script_turn){.answer = RIGHT "\r\n", .then = SCRIPT_HOLD};
    script.count = 1;
    rig_silent_open(&script.listener, "::1", 0, 0);
    script_go(&script);
    ws_visit_begin(&visit);
    cr_assert_gt(ws_visit_to(&visit, "ws://[::1]:%u/", script.port), 0);
    ws_visit_run(&visit);
    script_end(&script);
    snprintf(host, sizeof host, "\r\nHost: [::1]:%u\r\n", script.port);
    cr_expect_eq(visit.opened, 1, "%s", visit.report.text);
    cr_expect(asked(host), "%s", script.requests[0]);
}

Test(ws_client, a_unix_socket_is_named_in_the_url)
{
    char folder[] = "/tmp/causeway_ws_XXXXXX";
    char path[64];

    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/socket", folder);
    script.turns[0] = (struct script_turn){.answer = RIGHT "\r\n", .then = SCRIPT_HOLD};
    script.count = 1;
    rig_silent_open_unix(&script.listener, path, 0);
    script_go(&script);
    ws_visit_begin(&visit);
    cr_assert_gt(ws_visit_to(&visit, "ws+unix://%%2Ftmp%%2F%s%%2Fsocket/chat", folder + 5), 0);
    ws_visit_run(&visit);
    script_end(&script);
    unlink(path);
    rmdir(folder);
    cr_expect_eq(visit.opened, 1, "%s", visit.report.text);
    cr_expect_eq(strncmp(script.requests[0], "GET /chat HTTP/1.1\r\n", 20), 0);
    cr_expect(asked("\r\nHost: localhost\r\n"), "%s", script.requests[0]);
}

Test(ws_client, fields_subprotocols_and_a_host_of_ones_own_are_sent)
{
    static const struct cw_http_pair fields[] = {
        {"Authorization", "Bearer x"},      {"Cookie", "a=b"},    {"Cookie", "c=d"},
        {"Origin", "https://site.example"}, {"user-agent", "me"}, {NULL, NULL}};

    visit.options = (struct cw_websocket_options){
        .fields = fields, .host = "site.example", .subprotocols = " chat,superchat  v2 "};
    ask_on("ws://127.0.0.1:%u/");
    cr_expect(asked("\r\nHost: site.example\r\n"));
    cr_expect(asked("\r\nAuthorization: Bearer x\r\n"));
    cr_expect(asked("\r\nCookie: a=b\r\nCookie: c=d\r\n"));
    cr_expect(asked("\r\nOrigin: https://site.example\r\n"));
    cr_expect(asked("\r\nSec-WebSocket-Protocol: chat, superchat, v2\r\n"));
    cr_expect(asked("\r\nuser-agent: me\r\n"));
    cr_expect_not(asked("User-Agent: Causeway"));
}

Test(ws_client, without_a_url_the_host_is_the_address)
{
    char address[32];
    char host[64];

    visit.options.target = "/chat";
    script_start(&script, &(struct script_turn){.answer = RIGHT "\r\n", .then = SCRIPT_HOLD}, 1);
    snprintf(address, sizeof address, "127.0.0.1:%u", script.port);
    ws_visit_begin(&visit);
    visit.id = cw_connect(visit.loop, cw_websocket_service(&visit.options, &ws_visit_hooks, &visit),
                          address, NULL);
    cr_assert_gt(visit.id, 0);
    ws_visit_run(&visit);
    script_end(&script);
    snprintf(host, sizeof host, "\r\nHost: %s\r\n", address);
    cr_expect_eq(visit.opened, 1, "%s", visit.report.text);
    cr_expect_eq(strncmp(script.requests[0], "GET /chat HTTP/1.1\r\n", 20), 0);
    cr_expect(asked(host), "%s", script.requests[0]);
}

static void expect_refused_field(const char *name, const char *value)
{
    const struct cw_http_pair fields[] = {{"X-Before", "x"}, {name, value}, {NULL, NULL}};

    visit.options.fields = fields;
    cr_expect_eq(ws_visit_to(&visit, "ws://127.0.0.1:%u/", 1), CW_EINVAL, "%s", name);
    visit.options.fields = NULL;
}

static const char *const own_fields[] = {"Host",
                                         "upgrade",
                                         "Connection",
                                         "Keep-Alive",
                                         "Proxy-Connection",
                                         "Content-Length",
                                         "Transfer-Encoding",
                                         "TE",
                                         "Trailer",
                                         "Expect",
                                         "Sec-WebSocket-Key",
                                         "sec-websocket-version",
                                         "Sec-WebSocket-Protocol",
                                         "Sec-WebSocket-Extensions",
                                         "Sec-WebSocket-Accept"};

Test(ws_client, options_that_are_not_allowed_are_refused)
{
    ws_visit_begin(&visit);
    for (size_t i = 0; i < sizeof own_fields / sizeof own_fields[0]; i++) {
        expect_refused_field(own_fields[i], "x");
    }
    expect_refused_field("a b", "x");
    expect_refused_field("", "x");
    expect_refused_field("X", NULL);
    expect_refused_field("X", " x");
    expect_refused_field("X", "a\r\nUpgrade: h2c");
    visit.options.target = "/";
    cr_expect_eq(ws_visit_to(&visit, "ws://127.0.0.1:%u/", 1), CW_EINVAL);
    visit.options = (struct cw_websocket_options){.host = "a/b"};
    cr_expect_eq(ws_visit_to(&visit, "ws://127.0.0.1:%u/", 1), CW_EINVAL);
    visit.options = (struct cw_websocket_options){.head_max_bytes = 1048577};
    cr_expect_eq(ws_visit_to(&visit, "ws://127.0.0.1:%u/", 1), CW_EINVAL);
    visit.options = (struct cw_websocket_options){.subprotocols = "a, a"};
    cr_expect_eq(ws_visit_to(&visit, "ws://127.0.0.1:%u/", 1), CW_EINVAL);
    ws_visit_run(&visit);
}

/* ---- subprotocols and extensions ---- */

Test(ws_client, a_subprotocol_that_was_offered_is_taken_and_no_other)
{
    visit.options.subprotocols = "chat, superchat";
    expect_open(RIGHT "Sec-WebSocket-Protocol: superchat\r\n\r\n");
    cr_expect_str_eq(visit.subprotocol, "superchat");
    expect_open(RIGHT "\r\n");
    cr_expect_str_eq(visit.subprotocol, "");
    expect_failed(RIGHT "Sec-WebSocket-Protocol: Chat\r\n\r\n", CW_EPROTO, "not offered: Chat");
    expect_failed(RIGHT "Sec-WebSocket-Protocol: chat, superchat\r\n\r\n", CW_EPROTO, "not offered");
    expect_failed(RIGHT "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
                  CW_EPROTO, "");
    visit.options.subprotocol_required = true;
    expect_failed(RIGHT "\r\n", CW_EPROTO, "one is required");
}

Test(ws_client, compression_is_offered_and_what_is_answered_has_to_fit)
{
    visit.options.compress = true;
    expect_open(RIGHT "\r\n");
    cr_expect(asked("\r\nSec-WebSocket-Extensions: permessage-deflate"));
    cr_expect_not(visit.compressed);
    expect_open(RIGHT "Sec-WebSocket-Extensions: permessage-deflate; "
                      "server_no_context_takeover; client_no_context_takeover\r\n\r\n");
    cr_expect(visit.compressed);
    expect_failed(RIGHT "Sec-WebSocket-Extensions: x-other\r\n\r\n", CW_EPROTO,
                  "Sec-WebSocket-Extensions: ");
    expect_failed(RIGHT "Sec-WebSocket-Extensions: permessage-deflate; odd\r\n\r\n", CW_EPROTO,
                  "Sec-WebSocket-Extensions: ");
    expect_failed(RIGHT "Sec-WebSocket-Extensions: permessage-deflate\r\n"
                        "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
                  CW_EPROTO, "Sec-WebSocket-Extensions: ");
}

/* ---- on_request ---- */

static unsigned requests;
static int verdict;

static int set_things(struct cw_websocket_request *request, void *user)
{
    char number[16];

    rig_check(user == &visit);
    requests++;
    snprintf(number, sizeof number, "/from/%u", requests);
    rig_check(cw_websocket_request_set_target(request, "/never") == 0);
    rig_check(cw_websocket_request_set_target(request, number) == 0);
    rig_check(cw_websocket_request_set_field(request, "X-Number", "never") == 0);
    rig_check(cw_websocket_request_set_field(request, "x-number", number) == 0);
    rig_check(cw_websocket_request_set_field(request, "X-Other", "") == 0);
    return verdict;
}

Test(ws_client, on_request_sets_fields_and_the_target_of_one_attempt)
{
    static const struct cw_http_pair fields[] = {{"X-NUMBER", "old"}, {"X-Kept", "y"}, {NULL, NULL}};

    visit.options = (struct cw_websocket_options){.fields = fields, .on_request = set_things};
    ask_on("ws://127.0.0.1:%u/chat");
    cr_expect_eq(strncmp(script.requests[0], "GET /from/1 HTTP/1.1\r\n", 22), 0);
    cr_expect(asked("\r\nx-number: /from/1\r\n"));
    cr_expect(asked("\r\nX-Other: \r\n"));
    cr_expect(asked("\r\nX-Kept: y\r\n"));
    cr_expect_not(asked("old"));
    cr_expect_not(asked("never"));
}

static int set_wrong_things(struct cw_websocket_request *request, void *user)
{
    static const char *const targets[] = {"", "a", "/a b", "/a#b", "/\x7f", "/\xc3\xa4", "*"};
    static char large[70000];

    for (size_t i = 0; i < sizeof own_fields / sizeof own_fields[0]; i++) {
        rig_check(cw_websocket_request_set_field(request, own_fields[i], "x") == CW_EINVAL);
    }
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        rig_check(cw_websocket_request_set_target(request, targets[i]) == CW_EINVAL);
    }
    rig_check(cw_websocket_request_set_target(request, NULL) == CW_EINVAL);
    rig_check(cw_websocket_request_set_field(request, NULL, "x") == CW_EINVAL);
    rig_check(cw_websocket_request_set_field(request, "X", NULL) == CW_EINVAL);
    rig_check(cw_websocket_request_set_field(request, "X", "a\nb") == CW_EINVAL);
    memset(large, 'x', sizeof large - 1);
    rig_check(cw_websocket_request_set_field(request, "X", large) == CW_ETOOBIG);
    large[0] = '/';
    rig_check(cw_websocket_request_set_target(request, large) == CW_ETOOBIG);
    large[40000] = '\0';
    rig_check(cw_websocket_request_set_field(request, "X", large) == CW_OK);
    rig_check(cw_websocket_request_set_field(request, "Y", large) == CW_ETOOBIG);
    rig_check(cw_websocket_request_set_target(request, large) == CW_ETOOBIG);
    rig_check(cw_websocket_request_set_field(request, "x", "short") == CW_OK);
    rig_check(cw_websocket_request_set_field(request, "Y", large) == CW_OK);
    rig_check(cw_websocket_request_set_field(request, "Y", "short") == CW_OK);
    rig_check(cw_websocket_request_set_field(request, "X", "short") == CW_OK);
    rig_check(cw_websocket_request_set_target(request, large) == CW_OK);
    rig_check(cw_websocket_request_set_target(request, large) == CW_OK);
    rig_check(cw_websocket_request_set_target(request, "/short") == CW_OK);
    return 0;
}

Test(ws_client, on_request_is_told_what_may_not_be_set)
{
    visit.options.on_request = set_wrong_things;
    ask_on("ws://127.0.0.1:%u/");
    cr_expect_eq(strncmp(script.requests[0], "GET /short HTTP/1.1\r\n", 21), 0);
    cr_expect(asked("\r\nX: short\r\nY: short\r\n"), "%s", script.requests[0]);
}

static void expect_verdict(int said, int code)
{
    static struct rig_silent silent;

    verdict = said;
    visit.options.on_request = set_things;
    rig_silent_open(&silent, "127.0.0.1", 0, 0);
    ws_visit_begin(&visit);
    cr_assert_gt(ws_visit_to(&visit, "ws://127.0.0.1:%u/", silent.port), 0);
    ws_visit_run(&visit);
    rig_silent_close(&silent);
    cr_expect_eq(visit.report.code, code, "%s", visit.report.text);
    cr_expect_not_null(strstr(visit.report.text, "on_request"), "%s", visit.report.text);
}

Test(ws_client, an_error_of_on_request_ends_the_attempt)
{
    expect_verdict(CW_EAGAIN, CW_EAGAIN);
    expect_verdict(1, CW_EINVAL);
    cr_expect_eq(visit.failed, 2);
}

static int stop_client(struct cw_websocket_request *request, void *user)
{
    rig_check(cw_client_stop(visit.loop, visit.id) == CW_OK);
    return 0;
}

Test(ws_client, the_client_may_be_stopped_in_on_request)
{
    static struct rig_silent silent;

    visit.options.on_request = stop_client;
    visit.connect.reconnect = true;
    rig_silent_open(&silent, "127.0.0.1", 0, 0);
    ws_visit_begin(&visit);
    cr_assert_gt(ws_visit_to(&visit, "ws://127.0.0.1:%u/", silent.port), 0);
    ws_visit_run(&visit);
    rig_silent_close(&silent);
    cr_expect_eq(visit.opened, 0);
    cr_expect_eq(visit.failed, 0, "%s", visit.report.text);
}

static void stop_loop(struct cw_loop *loop, void *user)
{
    cw_loop_stop(loop);
}

Test(ws_client, a_loop_that_stops_does_not_wait_for_an_answer)
{
    visit.connect.reconnect = true;
    script_start(&script, &(struct script_turn){.then = SCRIPT_HOLD}, 1);
    ws_visit_begin(&visit);
    cr_assert_gt(ws_visit_to(&visit, "ws://127.0.0.1:%u/", script.port), 0);
    cr_assert_not_null(cw_timer_start(visit.loop, 100, 0, stop_loop, NULL));
    ws_visit_run(&visit);
    script_end(&script);
    cr_expect_eq(visit.opened, 0);
    cr_expect_eq(visit.failed, 0, "%s", visit.report.text);
}

/* ---- again and again ---- */

Test(ws_client, a_refused_handshake_is_a_failed_attempt_and_the_next_asks_anew)
{
    static const struct script_turn turns[] = {
        {.answer = "HTTP/1.1 503 Later\r\n\r\n", .then = SCRIPT_END},
        {.answer = "no\r\n", .then = SCRIPT_END},
        {.answer = NULL, .then = SCRIPT_RESET},
        {.answer = RIGHT "\r\n" HELLO CLOSE, .then = SCRIPT_END}};

    visit.says = "x";
    visit.attempts = 4;
    visit.options.on_request = set_things;
    visit.connect = (struct cw_connect_options){
        .reconnect = true, .reconnect_min_ms = 1, .reconnect_max_ms = 2};
    SCRIPT_START(&script, turns);
    ws_visit_begin(&visit);
    cr_assert_gt(ws_visit_to(&visit, "ws://127.0.0.1:%u/chat", script.port), 0);
    ws_visit_run(&visit);
    script_end(&script);
    cr_expect_eq(visit.failed, 3);
    cr_expect_eq(visit.opened, 1);
    cr_expect_eq(visit.closed, 1);
    cr_expect_eq(requests, 4);
    cr_expect_eq(strncmp(script.requests[3], "GET /from/4 HTTP/1.1\r\n", 22), 0);
    cr_expect_str_eq(visit.got, "hello");
    cr_expect_eq(visit.reason.code, CW_BY_PEER);
    cr_expect_eq(visit.reason.peer_code, CW_WEBSOCKET_NORMAL);
}

Test(ws_client, it_gives_up_after_attempts_max_refusals)
{
    static const struct script_turn turns[] = {
        {.answer = "HTTP/1.1 403 No\r\n\r\n", .then = SCRIPT_END},
        {.answer = "HTTP/1.1 403 No\r\n\r\n", .then = SCRIPT_END}};

    visit.connect = (struct cw_connect_options){
        .reconnect = true, .reconnect_min_ms = 1, .reconnect_max_ms = 2, .attempts_max = 2};
    SCRIPT_START(&script, turns);
    ws_visit_begin(&visit);
    cr_assert_gt(ws_visit_to(&visit, "ws://127.0.0.1:%u/", script.port), 0);
    ws_visit_run(&visit);
    script_end(&script);
    cr_expect_eq(visit.failed, 3); /* each, and that it gives up */
    cr_expect_eq(visit.report.limit, 2);
    cr_expect_not_null(strstr(visit.report.text, "gave up after 2 failures"), "%s",
                       visit.report.text);
}

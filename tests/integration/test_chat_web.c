/* The chat in the browser and in the terminal: one server, the same rooms. And what the page is made of. */
#include "support/guest.h"
#include "support/http_talk.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/secure.h"
#include "support/wait.h"
#include "support/ws_raw.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(chat_web, .fini = rig_expect_no_leak, .timeout = 120);

#define ARGS(...)                                                                                  \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

/* Alice comes over framed TCP, Bob over WebSocket. */
static bool meet(struct guest_pair *pair)
{
    if (!guest_house_open(&pair->house, NULL)) {
        return false;
    }
    pair->alice = guest_arrive_as(pair->house.port, "alice");
    pair->bob = guest_arrive_web(pair->house.web_port);
    guest_log_in(&pair->bob, "bob");
    guest_open_room(&pair->alice, "alice", "tea");
    guest_follow(&pair->bob, &pair->alice, "tea");
    return true;
}

Test(chat_web, a_browser_and_a_tcp_client_are_in_the_same_room)
{
    struct guest_pair pair;

    if (!meet(&pair)) {
        return;
    }
    guest_say(&pair.alice, "{'type':'chat_message','message':'hello from tcp \\u2713'}");
    guest_expect(&pair.bob,
                 "{'type':'chat_message','clientId':'%s','from':'alice',"
                 "'message':'hello from tcp \\u2713'}",
                 pair.alice.id);
    guest_say(&pair.bob, "{'type':'chat_message','message':'hello from the web'}");
    guest_expect(
        &pair.alice,
        "{'type':'chat_message','clientId':'%s','from':'bob','message':'hello from the web'}",
        pair.bob.id);
    guest_say(&pair.bob, "{'type':'list_rooms'}");
    guest_expect(&pair.bob, "{'type':'rooms','rooms':[{'room':'tea','count':2}]}");
    guest_expect_nothing(&pair.alice);
    guest_expect_nothing(&pair.bob);
    guest_pair_end(&pair);
}

Test(chat_web, private_messages_and_names_cross_over_as_well)
{
    struct guest_pair pair;

    if (!meet(&pair)) {
        return;
    }
    guest_say(&pair.alice, "{'type':'private_message','to':'%s','message':'psst'}", pair.bob.id);
    guest_expect(&pair.bob,
                 "{'type':'private_message','clientId':'%s','from':'alice','message':'psst'}",
                 pair.alice.id);
    guest_say(&pair.bob, "{'type':'login','nickname':'robert'}");
    guest_expect(&pair.bob, "{'type':'login_success','clientId':'%s','message':'Welcome, robert!'}",
                 pair.bob.id);
    guest_expect(&pair.alice,
                 "{'type':'user_renamed','clientId':'%s','from':'bob','nickname':'robert'}",
                 pair.bob.id);
    rig_peer_reset(&pair.bob.peer);
    guest_expect_left(&pair.alice, pair.bob.id, "robert");
    guest_leave(&pair.alice);
    guest_house_close(&pair.house);
}

Test(chat_web, a_long_message_passes_and_what_is_not_understood_is_answered)
{
    struct guest_pair pair;
    char *text = malloc(60001);

    rig_check(text != NULL);
    memset(text, 'x', 60000);
    text[60000] = '\0';
    if (!meet(&pair)) {
        free(text);
        return;
    }
    guest_say(&pair.bob, "{'type':'chat_message','message':'%s'}", text);
    guest_expect(&pair.alice, "{'type':'chat_message','clientId':'%s','from':'bob','message':'%s'}",
                 pair.bob.id, text);
    guest_say(&pair.bob, "nonsense");
    guest_expect_error(&pair.bob, "not_json");
    guest_say(&pair.bob, "{'type':'shout'}");
    guest_expect_error(&pair.bob, "unknown_type");
    guest_expect_nothing(&pair.bob);
    free(text);
    guest_pair_end(&pair);
}

Test(chat_web, a_message_above_the_limit_closes_with_1009_and_the_others_stay)
{
    struct guest_pair pair;
    char *text = malloc(70001);

    rig_check(text != NULL);
    memset(text, 'x', 70000);
    text[70000] = '\0';
    if (!meet(&pair)) {
        free(text);
        return;
    }
    guest_say(&pair.bob, "%s", text);
    ws_raw_expect_close(&pair.bob.peer, 1009, "");
    guest_expect_left(&pair.alice, pair.bob.id, "bob");
    guest_expect_nothing(&pair.alice);
    free(text);
    guest_pair_end(&pair);
}

Test(chat_web, the_rate_counts_for_browsers_too)
{
    struct guest_house house;

    if (!guest_house_open(&house, ARGS("--messages-per-second", "5"))) {
        return;
    }
    struct guest guest = guest_arrive_web(house.web_port);
    guest_hurry(&guest, 12, 9);
    guest_leave(&guest);
    guest_house_close(&house);
}

Test(chat_web, the_end_of_the_server_is_told_with_1001)
{
    struct guest_pair pair;

    if (!meet(&pair)) {
        return;
    }
    rig_child_signal(&pair.house.server, SIGTERM);
    ws_raw_expect_close(&pair.bob.peer, 1001, "");
    rig_peer_expect_end(&pair.alice.peer);
    guest_leave(&pair.alice);
    guest_leave(&pair.bob);
    rig_program_expect_status(&pair.house.server, 0);
}

/* ---- the page ---- */

static struct rig_answer answer;

static int ask(uint16_t port, const char *request)
{
    rig_answer_free(&answer);
    rig_ask_once(port, request, cw_span_of(NULL, 0), &answer);
    return answer.status;
}

static const char *field(const char *name)
{
    const char *value = rig_answer_field(&answer, name);

    return value == NULL ? "" : value;
}

static bool body_has(const char *text)
{
    return strstr((const char *)answer.body, text) != NULL;
}

Test(chat_web, the_page_comes_from_the_program_with_strict_fields)
{
    static const struct {
        const char *request;
        const char *type;
        const char *text;
    } files[] = {
        {GET("/"), "text/html; charset=utf-8", "<script type=\"module\" src=\"chat.js\">"},
        {GET("/chat.js"), "text/javascript; charset=utf-8", "from \"./link.js\""},
        {GET("/link.js"), "text/javascript; charset=utf-8", "new WebSocket("},
        {GET("/chat.css"), "text/css; charset=utf-8", "prefers-color-scheme: dark"},
        {GET("/icon.svg"), "image/svg+xml", "<svg "},
        {GET("/limits.json"), "application/json", "\"messageBytes\":65536"},
    };
    struct guest_house house;

    if (!guest_house_open(&house, NULL)) {
        return;
    }
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        cr_expect_eq(ask(house.web_port, files[i].request), 200, "%s", files[i].request);
        cr_expect_str_eq(field("Content-Type"), files[i].type);
        cr_expect(body_has(files[i].text), "%s", files[i].request);
        cr_expect_not(body_has("://") && !body_has("www.w3.org"), "it loads nothing from elsewhere");
        cr_expect_not_null(strstr(field("Content-Security-Policy"), "default-src 'self'"));
        cr_expect_null(strstr(field("Content-Security-Policy"), "unsafe"));
        cr_expect_str_eq(field("X-Content-Type-Options"), "nosniff");
    }
    cr_expect_eq(ask(house.web_port, GET("/none")), 404);
    rig_answer_free(&answer);
    guest_house_close(&house);
}

Test(chat_web, a_file_that_the_browser_has_is_not_sent_again)
{
    struct guest_house house;
    char request[300];

    if (!guest_house_open(&house, NULL)) {
        return;
    }
    cr_assert_eq(ask(house.web_port, GET("/chat.js")), 200);
    cr_expect_str_eq(field("Cache-Control"), "no-cache");
    snprintf(request, sizeof request,
             "GET /chat.js HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\", %s\r\n\r\n", field("ETag"));
    cr_expect_eq(ask(house.web_port, request), 304);
    cr_expect_eq(answer.len, 0);
    rig_answer_free(&answer);
    guest_house_close(&house);
}

Test(chat_web, other_sites_may_not_connect_and_a_plain_get_is_told_what_is_missing)
{
    struct guest_house house;

    if (!guest_house_open(&house, NULL)) {
        return;
    }
    cr_expect_eq(ask(house.web_port,
                     "GET /chat HTTP/1.1\r\nHost: a\r\nOrigin: http://evil.example\r\n"
                     "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                     "Sec-WebSocket-Version: 13\r\n\r\n"),
                 403);
    cr_expect_eq(ask(house.web_port, GET("/chat")), 426);
    rig_answer_free(&answer);
    guest_house_close(&house);
}

Test(chat_web, a_file_of_options_may_say_where_the_page_is)
{
    static const char text[] = "server:\n  listeners:\n    - { protocol: http, port: 0 }\n"
                               "    - { port: 0 }\n  max_frame_size: 900\n";
    char path[] = "/tmp/causeway-chat-XXXXXX";
    int fd = mkstemp(path);
    struct guest_house house;

    rig_check(fd >= 0 && write(fd, text, sizeof text - 1) == (ptrdiff_t)(sizeof text - 1));
    close(fd);
    if (!rig_program_start(&house.server, "chat", ARGS("--config", path))) {
        cr_skip_test("the examples were left out of this build");
        return;
    }
    house.web_port = rig_program_port_of(&house.server, "http");
    house.port = rig_program_port(&house.server);
    cr_expect_eq(ask(house.web_port, GET("/limits.json")), 200);
    cr_expect(body_has("\"messageBytes\":900"), "%s", (char *)answer.body);
    struct guest one = guest_arrive_as(house.port, "one");
    struct guest two = guest_arrive_web(house.web_port);
    guest_log_in(&two, "two");
    guest_say(&one, "{'type':'private_message','to':'%s','message':'psst'}", two.id);
    guest_expect(&two, "{'type':'private_message','clientId':'%s','from':'one','message':'psst'}",
                 one.id);
    guest_leave(&one);
    guest_leave(&two);
    rig_answer_free(&answer);
    guest_house_close(&house);
    unlink(path);
}

/* Upgrades over TLS and asks for a pong, in a frame whose mask is four times 1. */
static void expect_pong(uint16_t port)
{
    struct cw_tls_options tls = {.ca = pki("ca.pem"), .server_name = "localhost"};
    struct rig_visit visit = {.hears = "\"type\":\"pong\""};
    char address[32];
    char says[400];
    size_t len = (size_t)snprintf(
        says, sizeof says,
        "GET /chat HTTP/1.1\r\nHost: localhost:%u\r\nOrigin: https://localhost:%u\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n\x81\x8f\x01\x01\x01\x01",
        port, port);

    for (const char *at = "{\"type\":\"ping\"}"; *at != '\0'; at++) {
        says[len++] = (char)(*at ^ 1);
    }
    says[len] = '\0';
    visit.says = says;
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    rig_visit(&visit, address, &tls);
    cr_expect_not_null(strstr(visit.got, "HTTP/1.1 101 "), "%s", visit.got);
    cr_expect_not_null(strstr(visit.got, visit.hears), "%s", visit.got);
}

Test(chat_web, with_a_certificate_both_are_encrypted)
{
    struct guest_house house;

    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
        return;
    }
    if (!rig_program_start(&house.server, "chat",
                           ARGS("--port", "0", "--tcp-port", "0", "--tls-cert", pki("server.pem"),
                                "--tls-key", pki("server.key")))) {
        cr_skip_test("the examples were left out of this build");
        return;
    }
    expect_pong(rig_program_port_of(&house.server, "https"));
    cr_expect_neq(rig_program_port_of(&house.server, "tls"), 0);
    guest_house_close(&house);
}

/* echo by WebSocket as those meet it who start it: --protocol websocket, and the paths /ws, /z and /bc of --protocol http. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/program.h"
#include "support/scene.h"
#include "support/wait.h"
#include "support/ws_talk.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LARGE = 900000 };

#define DEFLATE "Sec-WebSocket-Extensions: permessage-deflate\r\n"

static struct rig_child child;
static struct ws_talk talk;
static uint16_t port;

TestSuite(echo_ws_program, .fini = rig_expect_no_leak, .timeout = 110);

/* more: options behind `--protocol … --port 0`; ends with NULL. */
static void start_with(const char *protocol, const char *scheme, const char *const *more)
{
    const char *arguments[20] = {"--protocol", protocol, "--port", "0"};

    for (size_t i = 0; more[i]; i++) {
        arguments[4 + i] = more[i];
    }
    if (!rig_program_start(&child, "echo", arguments)) {
        cr_skip_test("the examples were left out of this build");
    }
    port = rig_program_port_of(&child, scheme);
}

static void start_sockets(const char *const *more)
{
    start_with("websocket", "ws", more);
}

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_OPTIONS ((const char *const[]){NULL})

static void open_at(struct ws_talk *at, const char *target, const char *fields)
{
    ws_talk_open(at, rig_peer_tcp(port), target, fields);
}

static const char *field(const char *name)
{
    return http_reply_field(&talk.reply, name);
}

/* ---- echo ---- */

Test(echo_ws_program, every_path_is_an_echo)
{
    static const char *const paths[] = {"/", "/ws", "/big", "/a/b?c=d"};

    start_sockets(NO_OPTIONS);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        open_at(&talk, paths[i], "");
        ws_talk_send_text(&talk, paths[i]);
        ws_talk_expect_text(&talk, paths[i]);
        ws_talk_say_goodbye(&talk);
    }
    rig_program_end(&child);
}

Test(echo_ws_program, text_stays_text_and_bytes_stay_bytes)
{
    uint8_t *large = rig_pattern_new(LARGE);

    start_sockets(NO_OPTIONS);
    open_at(&talk, "/", "");
    ws_talk_send(&talk, WS_TALK_BINARY, "a\0\xff", 3);
    ws_talk_expect(&talk, WS_TALK_BINARY, "a\0\xff", 3);
    ws_talk_send_text(&talk, "");
    ws_talk_expect_text(&talk, "");
    ws_talk_send_text(&talk, "gr\xc3\xbc\xc3\x9f"
                             "e");
    ws_talk_expect_text(&talk, "gr\xc3\xbc\xc3\x9f"
                               "e");
    ws_talk_send(&talk, WS_TALK_BINARY, large, LARGE);
    ws_talk_expect(&talk, WS_TALK_BINARY, large, LARGE);
    ws_talk_say_goodbye(&talk);
    free(large);
    rig_program_end(&child);
}

Test(echo_ws_program, fragments_come_back_as_one_message_and_a_ping_between_them_is_answered)
{
    start_sockets(NO_OPTIONS);
    open_at(&talk, "/", "");
    ws_talk_send(&talk, 0x01, "one ", 4);
    ws_talk_send(&talk, WS_TALK_PING, "now", 3);
    ws_talk_send(&talk, 0x00, "two ", 4);
    ws_talk_send(&talk, 0x80, "three", 5);
    ws_talk_expect(&talk, WS_TALK_PONG, "now", 3);
    ws_talk_expect_text(&talk, "one two three");
    ws_talk_say_goodbye(&talk);
    rig_program_end(&child);
}

Test(echo_ws_program, a_close_code_comes_back)
{
    start_sockets(NO_OPTIONS);
    open_at(&talk, "/", "");
    ws_talk_send(&talk, WS_TALK_CLOSE, "\x0f\xa1why", 5);
    ws_talk_next(&talk);
    cr_expect_eq(talk.first, WS_TALK_CLOSE);
    cr_expect_eq(memcmp(talk.body, "\x0f\xa1", 2), 0);
    rig_peer_expect_end(&talk.peer.peer);
    ws_talk_end(&talk);
    rig_program_end(&child);
}

Test(echo_ws_program, sigterm_says_going_away)
{
    start_sockets(NO_OPTIONS);
    open_at(&talk, "/", "");
    ws_talk_send_text(&talk, "hello");
    ws_talk_expect_text(&talk, "hello");
    rig_child_signal(&child, SIGTERM);
    ws_talk_expect_close(&talk, 1001);
    rig_peer_expect_end(&talk.peer.peer);
    ws_talk_end(&talk);
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
}

Test(echo_ws_program, pages_of_all_origins_may_connect)
{
    start_sockets(NO_OPTIONS);
    open_at(&talk, "/", "Origin: https://elsewhere.example\r\n");
    ws_talk_say_goodbye(&talk);
    rig_program_end(&child);
}

/* ---- options ---- */

Test(echo_ws_program, max_frame_size_is_the_limit_of_a_message)
{
    start_sockets(OPTIONS("--max-frame-size", "10"));
    open_at(&talk, "/", "");
    ws_talk_send_text(&talk, "0123456789");
    ws_talk_expect_text(&talk, "0123456789");
    ws_talk_send(&talk, 0x01, "012345", 6);
    ws_talk_send(&talk, 0x80, "67890", 5);
    ws_talk_expect_close(&talk, 1009);
    ws_talk_end(&talk);
    rig_program_end(&child);
}

Test(echo_ws_program, nothing_is_compressed_unless_that_is_asked_for)
{
    start_sockets(NO_OPTIONS);
    open_at(&talk, "/", DEFLATE);
    cr_expect_str_eq(field("Sec-WebSocket-Extensions"), "");
    ws_talk_say_goodbye(&talk);
    rig_program_end(&child);
}

/* Sends a text that deflates well, and expects it back deflated. */
static void expect_deflated(void)
{
    char text[4001];
    size_t len;

    cr_assert_eq(strncmp(field("Sec-WebSocket-Extensions"), "permessage-deflate", 18), 0);
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    ws_talk_send_deflated(&talk, text, sizeof text - 1);
    ws_talk_next(&talk);
    cr_expect_eq(talk.first, WS_TALK_TEXT | WS_TALK_DEFLATED);
    cr_expect_lt(talk.len, 100);

    char *got = (char *)ws_talk_inflated(&talk, &len);

    cr_expect_eq(len, sizeof text - 1);
    cr_expect_str_eq(got, text);
    free(got);
}

Test(echo_ws_program, compression_compresses)
{
    start_sockets(OPTIONS("--compression"));
    open_at(&talk, "/", DEFLATE);
    expect_deflated();
    ws_talk_send_text(&talk, "not compressed");
    ws_talk_next(&talk);
    ws_talk_say_goodbye(&talk);
    rig_program_end(&child);
}

Test(echo_ws_program, pings_come_at_their_interval_and_who_answers_stays)
{
    start_sockets(OPTIONS("--ping-interval", "100ms", "--pong-timeout", "10s"));
    open_at(&talk, "/", "");
    for (int i = 0; i < 3; i++) {
        ws_talk_read(&talk);
        cr_assert_eq(talk.first, WS_TALK_PING);
        ws_talk_send(&talk, WS_TALK_PONG, talk.body, talk.len);
    }
    ws_talk_send_text(&talk, "still there");
    ws_talk_expect_text(&talk, "still there");
    ws_talk_say_goodbye(&talk);
    rig_program_end(&child);
}

Test(echo_ws_program, who_does_not_answer_a_ping_is_closed)
{
    char sink[256];

    start_sockets(OPTIONS("--ping-interval", "100ms", "--pong-timeout", "100ms"));
    open_at(&talk, "/", "");
    ws_talk_read(&talk);
    cr_expect_eq(talk.first, WS_TALK_PING);
    while (rig_peer_receive_some(&talk.peer.peer, sink, sizeof sink) > 0) {}
    ws_talk_end(&talk);
    rig_program_end(&child);
}

Test(echo_ws_program, the_line_listening_on_tells_wss)
{
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
    start_with("websocket", "wss",
               OPTIONS("--tls-cert", pki("server.pem"), "--tls-key", pki("server.key")));
    rig_program_end(&child);
}

static void expect_refused(const char *const *arguments, const char *text)
{
    if (!rig_program_start(&child, "echo", arguments)) {
        cr_skip_test("the examples were left out of this build");
    }
    rig_program_expect_status(&child, 1);
    cr_expect_not_null(strstr(child.text, text), "%s", child.text);
}

Test(echo_ws_program, what_is_wrong_is_said_before_it_listens)
{
    expect_refused(OPTIONS("--protocol", "websocket", "--ping-interval", "0"),
                   "echo: --ping-interval 0: expected a time");
}

/* ---- beside HTTP ---- */

Test(echo_ws_program, http_has_an_echo_at_ws)
{
    char body[64];

    start_with("http", "http", NO_OPTIONS);
    open_at(&talk, "/ws", DEFLATE);
    cr_expect_str_eq(field("Sec-WebSocket-Extensions"), "");
    ws_talk_send_text(&talk, "hello");
    ws_talk_expect_text(&talk, "hello");
    ws_talk_say_goodbye(&talk);
    cr_expect_eq(
        http_get(port, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", body, sizeof body),
        200);
    cr_expect_str_eq(body, "Hello, world!");
    cr_expect_eq(
        http_get(port, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", NULL, 0), 426);
    cr_expect_eq(ws_talk_ask(&talk, rig_peer_tcp(port), "/elsewhere", ""), 404);
    ws_talk_end(&talk);
    rig_program_end(&child);
}

Test(echo_ws_program, at_z_messages_are_compressed_for_those_who_offer_it)
{
    start_with("http", "http", NO_OPTIONS);
    open_at(&talk, "/z", DEFLATE);
    expect_deflated();
    ws_talk_say_goodbye(&talk);
    open_at(&talk, "/z", "");
    cr_expect_str_eq(field("Sec-WebSocket-Extensions"), "");
    ws_talk_send_text(&talk, "plain");
    ws_talk_expect_text(&talk, "plain");
    ws_talk_say_goodbye(&talk);
    rig_program_end(&child);
}

static bool is_greeting(const struct ws_talk *at)
{
    return at->first == WS_TALK_TEXT && strcmp((const char *)at->body, "in") == 0;
}

Test(echo_ws_program, at_bc_everybody_gets_every_message)
{
    enum { COUNT = 3 };
    struct ws_talk all[COUNT];

    start_with("http", "http", OPTIONS("--workers", "2"));
    open_at(&talk, "/ws", "");
    for (size_t i = 0; i < COUNT; i++) {
        open_at(&all[i], "/bc", "");
        /* What it sends comes back: it is in the room by then. */
        ws_talk_send_text(&all[i], "in");
        ws_talk_expect_text(&all[i], "in");
    }
    ws_talk_send(&all[0], WS_TALK_BINARY, "to all", 6);
    for (size_t i = 0; i < COUNT; i++) {
        do {
            ws_talk_next(&all[i]);
        } while (is_greeting(&all[i]));
        cr_expect_eq(all[i].first, WS_TALK_BINARY);
        cr_expect_str_eq((const char *)all[i].body, "to all");
        ws_talk_say_goodbye(&all[i]);
    }
    ws_talk_send_text(&talk, "alone");
    ws_talk_expect_text(&talk, "alone");
    ws_talk_say_goodbye(&talk);
    rig_program_end(&child);
}

/* ---- a file ---- */

static char path[] = "/tmp/cw_echo_ws_XXXXXX";

static void write_file(const char *text)
{
    FILE *file = fdopen(mkstemp(path), "w");

    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

Test(echo_ws_program, a_file_sets_the_options_and_the_command_line_goes_over_it)
{
    write_file("server:\n"
               "  listeners:\n"
               "    - { protocol: websocket, port: 0, bind: 127.0.0.1 }\n"
               "    - { protocol: http, port: 0, bind: 127.0.0.1 }\n"
               "  websocket:\n"
               "    ping_interval: off\n"
               "    compression: true\n"
               "    max_frame_size: 5\n");
    if (!rig_program_start(&child, "echo", OPTIONS("--config", path, "--ping-interval", "100ms"))) {
        cr_skip_test("the examples were left out of this build");
    }
    port = rig_program_port_of(&child, "ws");
    remove(path);
    open_at(&talk, "/", DEFLATE);
    cr_expect_str_neq(field("Sec-WebSocket-Extensions"), "");
    ws_talk_read(&talk);
    cr_expect_eq(talk.first, WS_TALK_PING);
    ws_talk_send(&talk, WS_TALK_PONG, talk.body, talk.len);
    ws_talk_send_text(&talk, "12345");
    ws_talk_expect_text(&talk, "12345");
    ws_talk_send_text(&talk, "123456");
    ws_talk_expect_close(&talk, 1009);
    ws_talk_end(&talk);
    port = rig_program_port_of(&child, "http"); /* at its paths too */
    open_at(&talk, "/ws", "");
    ws_talk_read(&talk);
    cr_expect_eq(talk.first, WS_TALK_PING);
    ws_talk_send_text(&talk, "123456");
    ws_talk_expect_close(&talk, 1009);
    ws_talk_end(&talk);
    rig_program_end(&child);
}

Test(echo_ws_program, an_unknown_key_of_websocket_is_told)
{
    write_file("server:\n  websocket:\n    ping_intervall: 5\n");
    expect_refused(OPTIONS("--config", path), "server.websocket.ping_intervall");
    remove(path);
}

/* The chat in a terminal, typed at through a pipe. */
#include "support/leak.h"
#include "support/peer.h"
#include "support/program.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OPTIONS_MAX = 8, FRAME_CAP = 4096 };

TestSuite(chat_terminal, .fini = rig_expect_no_leak, .timeout = 120);

#define ARGS(...)                                                                                  \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static bool serve_at(struct rig_child *server, uint16_t *port)
{
    char text[8];

    snprintf(text, sizeof text, "%u", *port);
    if (!rig_program_start(server, "chat",
                           ARGS("--port", "0", "--tcp-port", text, "--workers", "2"))) {
        cr_skip_test("the examples were left out of this build");
        return false;
    }
    *port = rig_program_port(server);
    return true;
}

static bool serve(struct rig_child *server, uint16_t *port)
{
    *port = 0;
    return serve_at(server, port);
}

static void sit_down(struct rig_child *terminal, uint16_t port, const char *const *options)
{
    char address[32];
    const char *arguments[OPTIONS_MAX + 3] = {"--connect", address};

    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    for (size_t i = 0; options[i] != NULL; i++) {
        rig_check(i < OPTIONS_MAX);
        arguments[i + 2] = options[i];
    }
    rig_check(rig_program_start_fed(terminal, "chat", arguments));
}

/* Logs in and joins the room tea. */
static void sit_down_in_tea(struct rig_child *terminal, uint16_t port, const char *nickname)
{
    sit_down(terminal, port, ARGS("--nickname", nickname, "--room", "tea"));
    rig_child_await_text(terminal, "* you are in tea, ");
}

static void leave(struct rig_child *terminal)
{
    rig_child_type(terminal, "/quit");
    rig_program_expect_status(terminal, 0);
}

/* ---- chatting ---- */

Test(chat_terminal, what_is_typed_in_one_shows_in_the_other_with_name_and_time)
{
    struct rig_child server;
    struct rig_child alice;
    struct rig_child bob;
    uint16_t port;
    unsigned hours;
    unsigned minutes;
    unsigned seconds;

    if (!serve(&server, &port)) {
        return;
    }
    sit_down_in_tea(&alice, port, "alice");
    sit_down_in_tea(&bob, port, "bob");
    rig_child_await_text(&alice, "* bob (127.0.0.1:");
    rig_child_type(&bob, "hello, \"world\" \xe2\x9c\x93");
    rig_child_await_text(&alice, " bob: hello, \"world\" \xe2\x9c\x93\n");
    rig_child_type(&alice, "hello, bob");
    rig_child_await_text(&bob, " alice: hello, bob\n");
    cr_expect_eq(sscanf(bob.text, "%2u:%2u:%2u ", &hours, &minutes, &seconds), 3, "%s", bob.text);
    leave(&bob);
    rig_child_await_text(&alice, " left\n");
    leave(&alice);
    rig_program_end(&server);
}

/* The client id that a terminal has been given. */
static const char *id_of(struct rig_child *terminal, char *id, size_t cap)
{
    const char *start;

    rig_child_await_text(terminal, "* you are ");
    start = strchr(strstr(terminal->text, "* you are "), '(');
    rig_check(start != NULL);
    snprintf(id, cap, "%.*s", (int)strcspn(start + 1, ")"), start + 1);
    return id;
}

Test(chat_terminal, every_command_does_what_help_says)
{
    struct rig_child server;
    struct rig_child alice;
    struct rig_child bob;
    uint16_t port;
    char id[64];
    char line[200];

    if (!serve(&server, &port)) {
        return;
    }
    sit_down_in_tea(&alice, port, "alice");
    sit_down(&bob, port, ARGS("--nickname", "bob"));
    id_of(&bob, id, sizeof id);

    rig_child_type(&bob, "into the void");
    rig_child_await_text(&bob, "! not sent, you are in no room: /join ROOM");
    rig_child_type(&bob, "/join tea");
    rig_child_await_text(&bob, "* you are in tea, 2 here");
    rig_child_await_text(&alice, " joined\n");

    rig_child_type(&alice, "/who");
    snprintf(line, sizeof line, " bob (%s)\n", id);
    rig_child_await_text(&alice, line);
    rig_child_type(&alice, "/rooms");
    rig_child_await_text(&alice, " tea (2)\n");

    snprintf(line, sizeof line, "/msg %s for you", id);
    rig_child_type(&alice, line);
    rig_child_await_text(&bob, ", to you only: for you\n");
    rig_child_type(&alice, "/msg 1.2.3.4:5 for nobody");
    rig_child_await_text(&alice, "(no_such_client)\n");
    rig_child_type(&alice, "/msg onlyone");
    rig_child_await_text(&alice, "! /msg CLIENT_ID TEXT");

    rig_child_type(&bob, "/nick robert");
    rig_child_await_text(&bob, "* you are robert ");
    rig_child_await_text(&alice, "* bob is now robert\n");
    rig_program_forget(&alice);
    rig_child_type(&alice, "/who");
    snprintf(line, sizeof line, " robert (%s)\n", id);
    rig_child_await_text(&alice, line);
    cr_expect_null(strstr(alice.text, " bob "), "%s", alice.text);

    rig_child_type(&bob, "/leave");
    rig_child_await_text(&alice, "* robert ");
    rig_child_type(&bob, "/who");
    rig_child_await_text(&bob, "* you are in no room\n");

    rig_child_type(&bob, "/help");
    rig_child_await_text(&bob, "/msg CLIENT_ID TEXT   tell one client only\n");
    rig_child_type(&bob, "/dance");
    rig_child_await_text(&bob, "! no such command: /dance");
    rig_child_type(&bob, "/join");
    rig_child_await_text(&bob, "! not a room's name: it is empty\n");
    rig_child_type(&bob, "/nick ");
    rig_child_await_text(&bob, "! not a nickname: it is empty\n");
    leave(&alice);
    leave(&bob);
    rig_program_end(&server);
}

Test(chat_terminal, a_line_too_long_or_not_utf8_is_told_and_the_next_one_goes_out)
{
    static char line[5000];
    struct rig_child server;
    struct rig_child alice;
    struct rig_child bob;
    uint16_t port;

    if (!serve(&server, &port)) {
        return;
    }
    memset(line, 'x', sizeof line - 1);
    sit_down_in_tea(&alice, port, "alice");
    sit_down_in_tea(&bob, port, "bob");
    rig_child_type(&alice, line);
    rig_child_await_text(&alice, "! not sent: a line takes at most 4000 bytes\n");
    rig_child_type(&alice, "caf\xe9");
    rig_child_await_text(&alice, "! not sent: this is not UTF-8\n");
    line[4000] = '\0';
    rig_child_type(&alice, line);
    rig_child_await_text(&bob, line);
    leave(&alice);
    leave(&bob);
    rig_program_end(&server);
}

/* ---- ending ---- */

Test(chat_terminal, the_end_of_the_input_and_a_signal_end_it_with_status_0)
{
    struct rig_child server;
    struct rig_child alice;
    uint16_t port;

    if (!serve(&server, &port)) {
        return;
    }
    sit_down_in_tea(&alice, port, "alice");
    rig_child_end_input(&alice);
    rig_program_expect_status(&alice, 0);
    sit_down_in_tea(&alice, port, "alice");
    rig_child_signal(&alice, SIGINT);
    rig_program_expect_status(&alice, 0);
    cr_expect_null(strstr(alice.text, "connection lost"), "%s", alice.text);
    rig_program_end(&server);
}

Test(chat_terminal, input_that_cannot_be_waited_for_is_one_clear_line)
{
    struct rig_child alice;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    cr_assert_eq(dup2(null, STDIN_FILENO), STDIN_FILENO);
    if (!rig_program_start(&alice, "chat", ARGS("--connect", "127.0.0.1:1"))) {
        cr_skip_test("the examples were left out of this build");
        return;
    }
    rig_program_expect_status(&alice, 1);
    cr_expect_str_eq(alice.text, "chat: standard input: neither a terminal nor a pipe\n");
    close(null);
}

Test(chat_terminal, an_address_that_is_none_is_one_clear_line)
{
    static const char *const addresses[] = {"nonsense", "127.0.0.1", "127.0.0.1:99999", ":1"};
    struct rig_child alice;
    char sentence[200];

    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        if (!rig_program_start_fed(&alice, "chat", ARGS("--connect", addresses[i]))) {
            cr_skip_test("the examples were left out of this build");
            return;
        }
        rig_program_expect_status(&alice, 1);
        snprintf(sentence, sizeof sentence, " error: connect %s: ", addresses[i]);
        cr_expect_not_null(strstr(alice.text, sentence), "%s", alice.text);
        cr_expect_eq(strchr(alice.text, '\n'), alice.text + alice.len - 1, "%s", alice.text);
    }
}

Test(chat_terminal, what_a_pipe_said_before_its_end_is_sent)
{
    struct rig_child server;
    struct rig_child alice;
    struct rig_child bob;
    uint16_t port;

    if (!serve(&server, &port)) {
        return;
    }
    sit_down_in_tea(&bob, port, "bob");
    sit_down(&alice, port, ARGS("--nickname", "alice", "--room", "tea"));
    rig_check(write(alice.in, "one\ntwo", 7) == 7);
    rig_child_end_input(&alice);
    rig_program_expect_status(&alice, 0);
    rig_child_await_text(&bob, " alice: one\n");
    rig_child_await_text(&bob, " alice: two\n");
    leave(&bob);
    rig_program_end(&server);
}

Test(chat_terminal, what_could_not_be_sent_in_the_end_is_told)
{
    struct rig_child alice;
    uint16_t port;
    int listener = rig_listen(&port);

    close(listener);
    if (!rig_program_start(&alice, "chat", ARGS("--help"))) {
        cr_skip_test("the examples were left out of this build");
        return;
    }
    rig_program_expect_status(&alice, 0);
    sit_down(&alice, port, ARGS("--nickname", "alice", "--room", "tea"));
    rig_child_type(&alice, "one");
    rig_child_await_text(&alice, "* kept until we are connected\n");
    rig_child_signal(&alice, SIGINT);
    rig_program_expect_status(&alice, 0);
    cr_expect_not_null(strstr(alice.text, "chat: messages not sent: 1\n"), "%s", alice.text);
}

/* ---- a server that goes away, or is silent ---- */

Test(chat_terminal, after_a_restart_of_the_server_it_is_back_in_its_room_and_sends_what_was_kept)
{
    struct rig_child server;
    struct rig_child alice;
    struct rig_child bob;
    uint16_t port;

    if (!serve(&server, &port)) {
        return;
    }
    sit_down_in_tea(&alice, port, "alice");
    sit_down_in_tea(&bob, port, "bob");
    rig_program_end(&server);
    rig_child_await_text(&alice, "! connection lost: ");
    rig_child_await_text(&bob, "! connection lost: ");
    rig_program_forget(&alice);
    rig_program_forget(&bob);
    rig_child_type(&alice, "first");
    rig_child_type(&alice, "second");
    rig_child_type(&alice, "/join coffee");
    rig_child_type(&alice, "third");
    rig_child_await_text(&alice, "* kept until we are connected\n");
    if (!serve_at(&server, &port)) {
        return;
    }
    rig_child_await_text(&alice, "* you are alice ");
    rig_child_await_text(&alice, "* you are in tea, ");
    rig_child_await_text(&alice, "* you are in coffee, 1 here");
    rig_child_await_text(&bob, "* you are in tea, ");
    rig_child_type(&bob, "/join coffee");
    rig_child_await_text(&bob, "* you are in coffee, 2 here");
    rig_child_type(&bob, "back?");
    rig_child_await_text(&alice, " bob: back?\n");
    leave(&alice);
    leave(&bob);
    rig_program_end(&server);
}

static void expect_frame(struct rig_peer *peer, const char *text)
{
    char frame[FRAME_CAP];
    size_t len = rig_peer_receive_frame(peer, frame, sizeof frame - 1);

    frame[len] = '\0';
    cr_assert_str_eq(frame, text);
}

static void send_text(struct rig_peer *peer, const char *text)
{
    rig_peer_send_frame(peer, text, strlen(text));
}

#define LOGIN "{\"type\":\"login\",\"nickname\":\"alice\"}"
#define LOGIN_SUCCESS "{\"type\":\"login_success\",\"clientId\":\"me\",\"message\":\"Welcome!\"}"

/* Plays the server for a terminal that has just been started. */
static struct rig_peer welcome(int listener)
{
    struct rig_peer peer = rig_accept(listener);

    expect_frame(&peer, LOGIN);
    send_text(&peer, LOGIN_SUCCESS);
    return peer;
}

static bool play_server(struct rig_child *terminal, int *listener, const char *ping)
{
    char address[32];
    uint16_t port;

    *listener = rig_listen(&port);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    if (!rig_program_start_fed(
            terminal, "chat",
            ARGS("--connect", address, "--nickname", "alice", "--ping-every", ping))) {
        cr_skip_test("the examples were left out of this build");
        return false;
    }
    return true;
}

Test(chat_terminal, messages_kept_are_sent_in_their_order_behind_login_and_room)
{
    struct rig_child alice;
    int listener;

    if (!play_server(&alice, &listener, "20s")) {
        return;
    }
    rig_child_type(&alice, "/join tea");
    rig_child_type(&alice, "one");
    rig_child_type(&alice, "two");
    struct rig_peer peer = welcome(listener);
    expect_frame(&peer, "{\"type\":\"join_room\",\"room\":\"tea\"}");
    expect_frame(&peer, "{\"type\":\"chat_message\",\"message\":\"one\"}");
    expect_frame(&peer, "{\"type\":\"chat_message\",\"message\":\"two\"}");
    rig_peer_close(&peer);
    rig_child_await_text(&alice, "! connection lost: ");
    rig_child_type(&alice, "three");
    peer = welcome(listener);
    expect_frame(&peer, "{\"type\":\"join_room\",\"room\":\"tea\"}");
    expect_frame(&peer, "{\"type\":\"chat_message\",\"message\":\"three\"}");
    leave(&alice);
    rig_peer_close(&peer);
    close(listener);
}

Test(chat_terminal, nothing_is_sent_before_the_login_has_succeeded)
{
    struct rig_child alice;
    int listener;

    if (!play_server(&alice, &listener, "20s")) {
        return;
    }
    struct rig_peer peer = rig_accept(listener);
    expect_frame(&peer, LOGIN);
    rig_child_type(&alice, "/join tea");
    rig_child_await_text(&alice, "* kept until we are connected\n");
    rig_peer_expect_silence(&peer, 50);
    send_text(&peer, LOGIN_SUCCESS);
    expect_frame(&peer, "{\"type\":\"join_room\",\"room\":\"tea\"}");
    leave(&alice);
    rig_peer_close(&peer);
    close(listener);
}

Test(chat_terminal, a_login_that_is_refused_is_tried_again)
{
    struct rig_child alice;
    int listener;

    if (!play_server(&alice, &listener, "20s")) {
        return;
    }
    struct rig_peer peer = rig_accept(listener);
    expect_frame(&peer, LOGIN);
    send_text(&peer, "{\"type\":\"error\",\"code\":\"busy\",\"message\":\"not now\"}");
    rig_child_await_text(&alice, "! not now (busy)\n");
    rig_peer_expect_end(&peer);
    rig_peer_close(&peer);
    peer = welcome(listener);
    rig_child_await_text(&alice, "* you are alice (me)\n");
    leave(&alice);
    rig_peer_close(&peer);
    close(listener);
}

Test(chat_terminal, it_keeps_a_thousand_messages_and_tells_of_the_next)
{
    struct rig_child alice;
    int listener;

    if (!play_server(&alice, &listener, "20s")) {
        return;
    }
    struct rig_peer peer = rig_accept(listener);
    for (int i = 0; i < 1001; i++) {
        rig_child_type(&alice, "hello");
    }
    rig_child_await_text(&alice, "! not sent: 1000 messages are waiting already\n");
    rig_peer_close(&peer);
    rig_child_signal(&alice, SIGINT);
    rig_program_expect_status(&alice, 0);
    cr_expect_not_null(strstr(alice.text, "chat: messages not sent: 1000\n"), "%s", alice.text);
    close(listener);
}

Test(chat_terminal, a_server_that_does_not_pong_is_dropped_and_called_again)
{
    struct rig_child alice;
    int listener;

    if (!play_server(&alice, &listener, "200ms")) {
        return;
    }
    struct rig_peer peer = welcome(listener);
    for (int i = 0; i < 3; i++) {
        expect_frame(&peer, "{\"type\":\"ping\"}");
        send_text(&peer, "{\"type\":\"pong\",\"timestamp\":1}");
    }
    expect_frame(&peer, "{\"type\":\"ping\"}");
    rig_peer_expect_gone(&peer);
    rig_peer_close(&peer);
    rig_child_await_text(&alice, "! the server does not answer\n");
    peer = welcome(listener);
    leave(&alice);
    rig_peer_close(&peer);
    close(listener);
}

Test(chat_terminal, nothing_that_peers_send_reaches_the_terminal_as_a_control)
{
    struct rig_child alice;
    int listener;

    if (!play_server(&alice, &listener, "20s")) {
        return;
    }
    struct rig_peer peer = welcome(listener);
    send_text(&peer, "{\"type\":\"chat_message\",\"clientId\":\"x\",\"from\":\"e\\u001b[31mvil\","
                     "\"message\":\"a\\nb\\r\\t\\u007f\\u009b2J\\u202ecod\\u2066.\\u2028!\"}");
    rig_child_await_text(&alice, " e^[[31mvil: a^Jb^M^I^?<U+009B>2J<U+202E>cod<U+2066>.<U+2028>!\n");
    send_text(&peer, "{\"type\":\"error\",\"code\":\"\\u001b\",\"message\":\"\\u001b]0;x\\u0007\"}");
    rig_child_await_text(&alice, "! ^[]0;x^G (^[)\n");
    send_text(&peer, "{\"type\":\"user_joined\",\"clientId\":\"\\u0008\",\"nickname\":\"\\u0008\"}");
    rig_child_await_text(&alice, "* ^H (^H) joined\n");
    send_text(&peer, "\x1b[2J");
    rig_child_await_text(&alice, "! the server sent what is no message: ");
    for (size_t i = 0; i < alice.len; i++) {
        cr_assert(alice.text[i] == '\n' || (unsigned char)alice.text[i] >= 0x20, "byte %d at %zu",
                  alice.text[i], i);
    }
    leave(&alice);
    rig_peer_close(&peer);
    close(listener);
}

Test(chat_terminal, messages_of_the_wrong_shape_are_shown_as_far_as_they_go)
{
    static const char *const odd[] = {
        "[]",
        "null",
        "{}",
        "{\"type\":7}",
        "{\"type\":\"something new\"}",
        "{\"type\":\"chat_message\"}",
        "{\"type\":\"rooms\"}",
        "{\"type\":\"rooms\",\"rooms\":[7,{},{\"room\":\"x\",\"count\":\"y\"}]}",
        "{\"type\":\"room_joined\"}",
        "{\"type\":\"room_joined\",\"room\":\"x\",\"members\":7}",
        "{\"type\":\"user_joined\",\"clientId\":7}",
        "{\"type\":\"room_joined\",\"room\":\"x\",\"members\":[7,{}]}",
        "{\"type\":\"user_left\"}",
        "{\"type\":\"user_renamed\",\"from\":{}}",
        "{\"type\":\"login_success\"}",
        "{\"type\":\"error\"}",
    };
    struct rig_child alice;
    int listener;

    if (!play_server(&alice, &listener, "20s")) {
        return;
    }
    struct rig_peer peer = welcome(listener);
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        send_text(&peer, odd[i]);
    }
    rig_child_await_text(&alice, "! ? (?)\n");
    rig_child_type(&alice, "/who");
    leave(&alice);
    rig_peer_close(&peer);
    close(listener);
}

/* The programs over UDP of docs/recipes.md and docs/udp.md, built as a user would build them, driven over real sockets. */
#include "support/child.h"
#include "support/leak.h"
#include "support/network.h"
#include "support/peer.h"
#include "support/udp_peer.h"
#include "support/wait.h"
#include "support/ws_talk.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

TestSuite(udp_recipes, .fini = rig_expect_no_leak, .timeout = 120);

static void start(struct rig_child *child, const char *name, char *first, char *second)
{
    char path[512];
    char *arguments[] = {path, first, second, NULL};

    snprintf(path, sizeof path, "%s/tests/recipes/recipe_%s", CW_BUILD_DIR, name);
    rig_child_start(child, path, arguments);
}

/* The port behind what it says of its listener. */
static uint16_t await_port(struct rig_child *child, const char *before)
{
    rig_child_await_text(child, before);
    return (uint16_t)strtoul(strstr(child->text, before) + strlen(before), NULL, 10);
}

static struct rig_udp start_udp(struct rig_child *child, const char *name, char *second)
{
    start(child, name, "0", second);
    return rig_udp_to(await_port(child, "listening on udp://[::]:"));
}

/* Leaks, too, show in its status. */
static void end(struct rig_child *child)
{
    rig_child_signal(child, SIGTERM);
    cr_expect_eq(rig_child_join(child), 0, "%s", child->text);
}

/* ---- a hello, a token, a join ---- */

static void receive_text(struct rig_udp *peer, char *text, size_t cap)
{
    text[rig_udp_receive(peer, text, cap - 1)] = '\0';
}

/* Says hello and reads the token as text. */
static void get_token(struct rig_udp *peer, char token[32])
{
    char text[64];

    rig_udp_send_text(peer, "hello from ada");
    receive_text(peer, text, sizeof text);
    cr_assert_eq(strlen(text), strlen("token ") + 24, "%s", text);
    snprintf(token, 32, "%.24s", text + strlen("token "));
}

static void say_join(struct rig_udp *peer, const char *token, const char *password)
{
    char text[80];

    snprintf(text, sizeof text, "join %s %s", token, password);
    rig_udp_send_text(peer, text);
}

static void join(struct rig_udp *peer)
{
    char token[32];

    get_token(peer, token);
    say_join(peer, token, "sesame");
    rig_udp_expect(peer, "welcome");
}

Test(udp_recipes, who_sends_the_token_back_with_the_password_is_in_the_room_and_nobody_else)
{
    struct rig_child child;
    struct rig_udp ada = start_udp(&child, "udp_login", NULL);
    struct rig_udp bob = rig_udp_to(ada.to.port);
    struct rig_udp eve = rig_udp_to(ada.to.port);
    char token[32];
    char answer[64];

    join(&ada);
    join(&bob);
    get_token(&eve, token);
    say_join(&eve, token, "barley");
    rig_udp_expect(&eve, "wrong password");
    rig_udp_send_text(&eve, "shout at everybody");
    receive_text(&eve, answer, sizeof answer);
    cr_expect_eq(strncmp(answer, "token ", 6), 0, "%s", answer);
    rig_udp_expect_nothing(&ada);
    rig_udp_send_text(&ada, "hello bob");
    rig_udp_expect(&bob, "hello bob");
    rig_udp_expect_nothing(&ada);
    rig_udp_expect_nothing(&eve);
    rig_udp_close(&ada);
    rig_udp_close(&bob);
    rig_udp_close(&eve);
    end(&child);
}

Test(udp_recipes, another_s_token_is_no_good_and_a_join_may_come_twice)
{
    struct rig_child child;
    struct rig_udp ada = start_udp(&child, "udp_login", NULL);
    struct rig_udp eve = rig_udp_to(ada.to.port);
    char token[32];
    char answer[64];

    get_token(&ada, token);
    say_join(&eve, token, "sesame");
    receive_text(&eve, answer, sizeof answer);
    cr_expect_eq(strncmp(answer, "token ", 6), 0, "%s", answer);
    for (int i = 0; i < 2; i++) {
        say_join(&ada, token, "sesame");
        rig_udp_expect(&ada, "welcome");
    }
    rig_udp_close(&ada);
    rig_udp_close(&eve);
    end(&child);
}

Test(udp_recipes, a_hello_that_is_too_short_for_its_answer_gets_none)
{
    struct rig_child child;
    struct rig_udp peer = start_udp(&child, "udp_login", NULL);
    char answer[64];

    rig_udp_send_text(&peer, "hi");      /* 6 bytes may be answered, */
    rig_udp_send_text(&peer, "1234567"); /* 27 with these, */
    rig_udp_send_text(&peer, "1");       /* and 30 with this one */
    receive_text(&peer, answer, sizeof answer);
    cr_expect_eq(strlen(answer), 30);
    rig_udp_send_text(&peer, "x");
    rig_udp_send_text(&peer, "hello again");
    receive_text(&peer, answer, sizeof answer);
    rig_udp_expect_nothing(&peer);
    rig_udp_close(&peer);
    end(&child);
}

/* ---- the time ---- */

Test(udp_recipes, the_time_is_told_to_who_asks_and_not_to_who_answers)
{
    struct rig_child child;
    struct rig_udp peer = start_udp(&child, "udp_time", NULL);
    uint8_t packet[48] = {0x24}; /* version 4, from a server */
    uint8_t reply[64];
    uint32_t seconds;

    rig_udp_send(&peer, packet, sizeof packet);
    packet[0] = 0x23; /* … from a client */
    rig_udp_send(&peer, packet, 47);
    memcpy(packet + 40, "my clock", 8);
    rig_udp_send(&peer, packet, sizeof packet);
    cr_assert_eq(rig_udp_receive(&peer, reply, sizeof reply), 48);
    cr_expect_eq(reply[0], 0x24);
    cr_expect_eq(reply[1], 10);
    cr_expect_arr_eq(reply + 24, "my clock", 8);
    seconds = (uint32_t)reply[40] << 24 | (uint32_t)reply[41] << 16 | (uint32_t)reply[42] << 8 |
              reply[43];
    cr_expect_lt((uint32_t)((uint64_t)time(NULL) + 2208988800) - seconds, 60);
    rig_udp_expect_nothing(&peer);
    rig_udp_close(&peer);
    end(&child);
}

/* ---- questions and answers ---- */

Test(udp_recipes, a_short_answer_comes_over_udp_and_a_long_one_over_tcp)
{
    struct rig_child child;
    struct rig_udp peer = start_udp(&child, "udp_lookup", "0");
    struct rig_peer line = rig_peer_tcp(await_port(&child, "listening on tcp://[::]:"));

    rig_udp_send_text(&peer, "lonely");
    rig_udp_send_text(&peer, "7 capital of peru");
    rig_udp_expect(&peer, "7 lima");
    rig_udp_send_text(&peer, "8 how to cook rice");
    rig_udp_expect(&peer, "8 ask by TCP");
    rig_udp_send_text(&peer, "9 and why?");
    rig_udp_expect(&peer, "9 nobody knows");
    rig_peer_send_text(&line, "how to cook rice\ncapital of peru\n");
    rig_peer_expect(&line, "Wash it until the water stays clear.");
    rig_peer_close(&line);
    rig_udp_close(&peer);
    end(&child);
}

static void start_ask(struct rig_child *child, uint16_t port)
{
    static char address[32];

    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    start(child, "udp_ask", address, "capital of peru");
}

Test(udp_recipes, a_question_without_an_answer_is_asked_again_and_a_wrong_one_is_none)
{
    struct rig_child child;
    struct rig_udp server = rig_udp_open("127.0.0.1", NULL);
    struct cw_address from;
    char questions[2][64] = {"", ""};
    char text[80];

    start_ask(&child, rig_udp_port(&server));
    for (int i = 0; i < 2; i++) { /* the first is as good as lost */
        questions[i][rig_udp_receive_from(&server, questions[i], 63, &from)] = '\0';
    }
    cr_expect_str_eq(questions[0], questions[1]);
    cr_expect_str_eq(questions[0] + 8, " capital of peru");
    server.to = from;
    rig_udp_send_text(&server, "00000000 paris");
    rig_udp_send_text(&server, "");
    snprintf(text, sizeof text, "%.8s lima", questions[0]);
    rig_udp_send_text(&server, text);
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
    cr_expect_str_eq(child.text, "lima\n");
    rig_udp_close(&server);
}

Test(udp_recipes, after_four_questions_without_an_answer_it_gives_up)
{
    struct rig_child child;
    struct rig_udp server = rig_udp_open("127.0.0.1", NULL);
    struct cw_address from;
    char question[64];

    start_ask(&child, rig_udp_port(&server));
    for (int i = 0; i < 4; i++) {
        rig_udp_receive_from(&server, question, sizeof question, &from);
    }
    cr_expect_eq(rig_child_join(&child), 1);
    cr_expect_str_eq(child.text, "no answer\n");
    rig_udp_expect_nothing(&server);
    rig_udp_close(&server);
}

Test(udp_recipes, where_nobody_listens_it_says_so)
{
    struct rig_child child;
    struct rig_udp nobody = rig_udp_open("127.0.0.1", NULL);
    uint16_t port = rig_udp_port(&nobody);

    rig_udp_close(&nobody);
    start_ask(&child, port);
    cr_expect_eq(rig_child_join(&child), 1);
    cr_expect_not_null(strstr(child.text, "nobody listens at that address"), "%s", child.text);
}

/* ---- discovery ---- */

Test(udp_recipes, a_service_is_found_by_multicast)
{
    struct rig_child child;
    struct rig_child finder;

    if (!rig_enter_own_network()) {
        cr_skip_test("no network of its own is permitted here");
        return;
    }
    char path[512];
    char *arguments[] = {path, "serve", "printer", "127.0.0.1", NULL};
    snprintf(path, sizeof path, "%s/tests/recipes/recipe_udp_discovery", CW_BUILD_DIR);
    rig_child_start(&child, path, arguments);
    await_port(&child, "listening on udp://0.0.0.0:");
    start(&finder, "udp_discovery", "find", "127.0.0.1");
    rig_child_await_text(&finder, "printer is at 127.0.0.1:7000\n");
    cr_expect_eq(rig_child_join(&finder), 0, "%s", finder.text);
    end(&child);
}

/* ---- telemetry ---- */

Test(udp_recipes, readings_come_to_browsers_and_to_those_who_watch_over_udp)
{
    struct rig_child child;
    struct ws_talk browser = {0};
    uint8_t token[16];

    start(&child, "udp_telemetry", "0", "0");
    ws_talk_open(&browser, rig_peer_tcp(await_port(&child, "listening on http://[::]:")), "/live",
                 "");
    struct rig_udp watcher = rig_udp_to(await_port(&child, "listening on udp://[::]:"));
    struct rig_udp sensor = rig_udp_to(watcher.to.port);
    rig_udp_send_text(&watcher, "watch please");
    cr_assert_eq(rig_udp_receive(&watcher, token, sizeof token), sizeof token);
    rig_udp_send(&watcher, token, sizeof token);
    rig_udp_send(&sensor, "\xff\xfe", 2); /* no text */
    rig_udp_send_text(&sensor, "kitchen 21.5");
    rig_udp_expect(&watcher, "kitchen 21.5");
    ws_talk_expect_text(&browser, "kitchen 21.5");
    rig_udp_expect_nothing(&sensor);
    ws_talk_end(&browser);
    rig_udp_close(&watcher);
    rig_udp_close(&sensor);
    end(&child);
}

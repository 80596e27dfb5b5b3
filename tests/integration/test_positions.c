/* The positions program, spoken to over sockets, through loss, and played by itself. */
#include "support/leak.h"
#include "support/network.h"
#include "support/pki.h"
#include "support/program.h"
#include "support/relay.h"
#include "support/udp_peer.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELLO = 32, TOKEN = 17, JOIN = 25, UPDATE = 7, HEAD = 6, PLAYER = 18, CAP = 2000 };

TestSuite(positions, .fini = rig_expect_no_leak, .timeout = 120);

#define ARGS(...)                                                                                  \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static bool start(struct rig_child *child, const char *const *arguments)
{
    if (!rig_program_start(child, "positions", arguments)) {
        cr_skip_test("the examples were left out of this build");
        return false;
    }
    return true;
}

static bool serve(struct rig_child *server, uint16_t *port)
{
    if (!start(server, ARGS("serve", "--port", "0", "--workers", "2"))) {
        return false;
    }
    *port = rig_program_port_of(server, "udp");
    return true;
}

static bool play(struct rig_child *child, uint16_t port, const char *name, const char *lose)
{
    char address[32];

    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    return start(child, ARGS("play", address, "--name", name, "--lose", lose));
}

/* ---- a player of ours ---- */

/* Says hello, sends the token back, and reads its number. */
static uint8_t join(struct rig_udp *peer, const char *name)
{
    uint8_t bytes[CAP] = {'H'};
    uint8_t answer[CAP];

    rig_udp_send(peer, bytes, HELLO);
    cr_assert_eq(rig_udp_receive(peer, answer, sizeof answer), TOKEN);
    cr_assert_eq(answer[0], 'T');
    memcpy(bytes, answer, TOKEN);
    bytes[0] = 'J';
    memcpy(bytes + TOKEN, name, strnlen(name, JOIN - TOKEN));
    rig_udp_send(peer, bytes, JOIN);
    do {
        rig_udp_receive(peer, answer, sizeof answer);
    } while (answer[0] == 'S');
    cr_assert_eq(answer[0], 'W');
    return answer[1];
}

static void be_at(struct rig_udp *peer, unsigned sequence, unsigned x, unsigned y)
{
    const uint8_t bytes[UPDATE] = {
        'U',        (uint8_t)(sequence >> 8), (uint8_t)sequence, (uint8_t)(x >> 8),
        (uint8_t)x, (uint8_t)(y >> 8),        (uint8_t)y};

    rig_udp_send(peer, bytes, sizeof bytes);
}

static unsigned number_at(const uint8_t *bytes)
{
    return (unsigned)bytes[0] << 8 | bytes[1];
}

/* The entry of a player in the next snapshot; false: it is not in it. */
static bool next_snapshot(struct rig_udp *peer, uint8_t number, uint8_t entry[PLAYER])
{
    uint8_t bytes[CAP];
    size_t len;

    do {
        len = rig_udp_receive(peer, bytes, sizeof bytes);
    } while (bytes[0] != 'S');
    cr_assert_eq(len, HEAD + (size_t)bytes[5] * PLAYER);
    for (size_t i = 0; i < bytes[5]; i++) {
        memcpy(entry, bytes + HEAD + i * PLAYER, PLAYER);
        if (entry[0] == number) {
            return true;
        }
    }
    return false;
}

/* Waits until a snapshot shows the update of that sequence; x must not have been shown before. */
static void await_sequence(struct rig_udp *peer, uint8_t number, unsigned sequence, unsigned never,
                           uint8_t entry[PLAYER])
{
    bool is_there = false;

    rig_udp_forget(peer);
    while (!is_there || number_at(entry + 2) != sequence) {
        is_there = next_snapshot(peer, number, entry);
        cr_assert(!is_there || number_at(entry + 4) != never);
    }
}

Test(positions, the_newest_update_wins_and_what_is_lost_is_counted)
{
    struct rig_child server;
    struct rig_udp peer;
    uint8_t entry[PLAYER];
    uint8_t number;
    uint16_t port;

    if (!serve(&server, &port)) {
        return;
    }
    peer = rig_udp_to(port);
    number = join(&peer, "ada");
    be_at(&peer, 65534, 100, 50);
    be_at(&peer, 65533, 5, 5);
    be_at(&peer, 0, 101, 51);
    await_sequence(&peer, number, 0, 5, entry);
    cr_expect_eq(number_at(entry + 4), 101);
    cr_expect_eq(number_at(entry + 6), 51);
    cr_expect_eq(entry[1], 1, "lost: %u", entry[1]); /* 65535 */
    cr_expect_str_eq((char *)entry + 10, "ada");
    be_at(&peer, 65535, 6, 6);
    be_at(&peer, 1, 102, 52);
    await_sequence(&peer, number, 1, 6, entry);
    cr_expect_eq(entry[1], 0, "lost: %u", entry[1]); /* late, and yet not lost */
    be_at(&peer, 2, 640, 52);                        /* not of this world */
    be_at(&peer, 3, 103, 52);
    await_sequence(&peer, number, 3, 640, entry);
    rig_udp_close(&peer);
    rig_child_await_text(&server, "ada has left: 4 updates taken, 2 late: its program has ended");
    rig_program_end(&server);
}

Test(positions, nobody_is_in_the_room_without_his_own_token)
{
    struct rig_child server;
    struct rig_udp ada;
    struct rig_udp eve;
    uint8_t bytes[CAP] = {'H'};
    uint8_t entry[PLAYER];
    uint16_t port;

    if (!serve(&server, &port)) {
        return;
    }
    ada = rig_udp_to(port);
    eve = rig_udp_to(port);
    rig_udp_send(&ada, bytes, HELLO);
    rig_udp_receive(&ada, bytes, sizeof bytes);
    bytes[0] = 'J';
    rig_udp_send(&eve, bytes, JOIN); /* with ada's */
    cr_expect_eq(rig_udp_receive(&eve, bytes, sizeof bytes), TOKEN);
    cr_expect_eq(bytes[0], 'T');
    be_at(&eve, 1, 1, 1);
    cr_expect_eq(rig_udp_receive(&eve, bytes, sizeof bytes), TOKEN);
    uint8_t number = join(&ada, "ada");
    be_at(&ada, 1, 7, 7);
    await_sequence(&ada, number, 1, 1, entry);
    rig_udp_expect_nothing(&eve);
    rig_udp_close(&ada);
    rig_udp_close(&eve);
    rig_program_end(&server);
}

Test(positions, who_is_silent_is_gone_though_he_is_sent_to)
{
    struct rig_child server;
    struct rig_udp peer;
    uint16_t port;

    if (!start(&server, ARGS("serve", "--port", "0", "--forget", "300ms"))) {
        return;
    }
    port = rig_program_port_of(&server, "udp");
    peer = rig_udp_to(port);
    join(&peer, "ada");
    rig_child_await_text(&server, "ada has left: 0 updates taken, 0 late: no byte from the peer");
    rig_udp_close(&peer);
    rig_program_end(&server);
}

Test(positions, the_sixty_first_player_is_told_that_it_is_full_and_sixty_fit_into_one_datagram)
{
    struct rig_child server;
    struct rig_udp peers[61];
    uint8_t bytes[CAP] = {'H'};
    uint16_t port;
    size_t len;

    if (!start(&server, ARGS("serve", "--port", "0", "--forget", "60s"))) {
        return;
    }
    port = rig_program_port_of(&server, "udp");
    for (int i = 0; i < 60; i++) {
        peers[i] = rig_udp_to(port);
        join(&peers[i], "player");
        be_at(&peers[i], 1, 1, 1);
    }
    peers[60] = rig_udp_to(port);
    rig_udp_send(&peers[60], bytes, HELLO);
    rig_udp_receive(&peers[60], bytes, sizeof bytes);
    bytes[0] = 'J';
    rig_udp_send(&peers[60], bytes, JOIN);
    cr_expect_eq(rig_udp_receive(&peers[60], bytes, sizeof bytes), 1);
    cr_expect_eq(bytes[0], 'F');
    do {
        len = rig_udp_receive(&peers[0], bytes, sizeof bytes);
        if (bytes[0] == 'S' && bytes[5] < 60) {
            be_at(&peers[0], 2, 1, 1); /* it is not forgotten for waiting */
        }
    } while (bytes[0] != 'S' || bytes[5] < 60);
    cr_expect_eq(len, HEAD + 60 * PLAYER);
    for (int i = 0; i < 61; i++) {
        rig_udp_close(&peers[i]);
    }
    rig_program_end(&server);
}

/* ---- the program as a player ---- */

Test(positions, two_players_see_each_other_through_loss)
{
    struct rig_child server;
    struct rig_child ada;
    struct rig_child bob;
    uint16_t port;

    if (!serve(&server, &port) || !play(&ada, port, "ada", "30") || !play(&bob, port, "bob", "1")) {
        return;
    }
    rig_child_await_text(&ada, "; bob ");
    rig_child_await_text(&bob, "; ada ");
    rig_child_forget(&ada); /* it had only come when it wrote that */
    rig_child_await_text(&ada, "; bob ");
    cr_expect_null(strstr(ada.text, "lost 0, "), "%s", ada.text);
    rig_program_end(&ada);
    rig_child_forget(&bob);
    rig_child_await_text(&server, "ada has left");
    rig_child_await_text(&bob, "1 here; ");
    rig_program_end(&bob);
    rig_program_end(&server);
}

Test(positions, what_is_doubled_held_up_and_lost_on_the_way_is_late_or_lost_and_nothing_else)
{
    static const struct rig_faults bad = {
        .per_mille = {[RIG_DROP] = 100, [RIG_DOUBLE] = 100, [RIG_HOLD] = 100}};
    struct rig_relay *relay;
    struct rig_child server;
    struct rig_child ada;
    uint16_t port;

    if (!serve(&server, &port)) {
        return;
    }
    relay = rig_relay_start("127.0.0.1", port, 7);
    rig_relay_set(relay, RIG_UP, &bad);
    rig_relay_set(relay, RIG_DOWN, &bad);
    if (!play(&ada, rig_relay_port(relay), "ada", "1")) {
        return;
    }
    rig_child_await_text(&ada, "; ada ");
    rig_await(rig_relay_counts(relay, RIG_UP).done[RIG_DOUBLE] > 9 &&
              rig_relay_counts(relay, RIG_DOWN).done[RIG_DOUBLE] > 9);
    rig_child_forget(&ada);
    rig_child_await_text(&ada, "; ada ");
    cr_expect_null(strstr(ada.text, "late 0; "), "%s", ada.text);
    cr_expect_null(strstr(ada.text, "lost 0, "), "%s", ada.text);
    rig_program_end(&ada);
    rig_relay_end(relay);
    rig_child_await_text(&server, "ada has left");
    rig_program_end(&server);
    cr_expect_null(strstr(server.text, " 0 late"), "%s", server.text);
}

Test(positions, with_a_certificate_it_is_played_over_dtls)
{
    struct rig_child server;
    struct rig_child ada;
    char address[40];

    if (!pki_made()) {
        cr_skip_test("the openssl command is missing");
        return;
    }
    if (!start(&server, ARGS("serve", "--port", "0", "--tls-cert", pki("server.pem"), "--tls-key",
                             pki("server.key")))) {
        return;
    }
    snprintf(address, sizeof address, "dtls://localhost:%u", rig_program_port_of(&server, "dtls"));
    start(&ada, ARGS("play", address, "--name", "ada", "--tls-ca", pki("ca.pem")));
    rig_child_await_text(&ada, "; ada ");
    rig_program_end(&ada);
    rig_child_await_text(&server, "ada has left");
    rig_program_end(&server);
}

Test(positions, players_go_on_when_their_server_comes_back)
{
    struct rig_child server;
    struct rig_child ada;

    if (!rig_enter_own_network()) {
        cr_skip_test("no network of its own is permitted here");
        return;
    }
    if (!start(&server, ARGS("serve")) || rig_program_port_of(&server, "udp") != 7370 ||
        !play(&ada, 7370, "ada", "1")) {
        return;
    }
    rig_child_await_text(&ada, "; ada ");
    rig_program_end(&server);
    rig_child_await_text(&ada, "not in the room yet");
    rig_child_forget(&ada);
    start(&server, ARGS("serve"));
    rig_child_await_text(&server, "ada is player 0");
    rig_child_await_text(&ada, "; ada ");
    rig_program_end(&ada);
    rig_program_end(&server);
}

Test(positions, a_player_without_a_server_ends_with_status_1)
{
    struct rig_child ada;
    struct rig_udp nobody = rig_udp_open("127.0.0.1", NULL);
    char address[32];

    snprintf(address, sizeof address, "127.0.0.1:%u", rig_udp_port(&nobody));
    if (!start(&ada, ARGS("play", address, "--for", "300ms"))) {
        return;
    }
    rig_program_expect_status(&ada, 1);
    cr_expect_not_null(strstr(ada.text, "not in the room yet"), "%s", ada.text);
    rig_udp_close(&nobody);
}

Test(positions, a_command_line_that_says_too_little_is_one_clear_line)
{
    struct rig_child child;

    if (!start(&child, ARGS("play"))) {
        return;
    }
    rig_program_expect_status(&child, 1);
    cr_expect_str_eq(child.text,
                     "positions play: where to? HOST:PORT comes first (--help says more)\n");
    start(&child, ARGS("stay"));
    rig_program_expect_status(&child, 1);
    cr_expect_str_eq(child.text, "positions: serve or play? (--help says more)\n");
    start(&child, ARGS("serve", "--nagle"));
    rig_program_expect_status(&child, 1);
    cr_expect_not_null(strstr(child.text, "unknown option --nagle"), "%s", child.text);
    start(&child, ARGS("play", "--help"));
    rig_program_expect_status(&child, 0);
    cr_expect_not_null(strstr(child.text, "Usage: positions play [dtls://]HOST:PORT [options]\n"),
                       "%s", child.text);
}

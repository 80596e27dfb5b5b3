/* The first programs of the documentation, built as a user would build them, driven over real sockets. */
#include "support/child.h"
#include "support/guest.h"
#include "support/http_talk.h"
#include "support/leak.h"
#include "support/network.h"
#include "support/peer.h"
#include "support/udp_peer.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PORT = 7000 }; /* as written in the programs; nobody else is in this network */

/* No test body runs where a network of one's own is not permitted. */
static bool may_run(void)
{
    if (!rig_enter_own_network()) {
        cr_skip_test("no network of its own is permitted here");
        return false;
    }
    return true;
}

TestSuite(programs, .fini = rig_expect_no_leak, .timeout = 120);

static void start(struct rig_child *child, const char *name)
{
    char path[512];
    char *arguments[] = {path, NULL};

    snprintf(path, sizeof path, "%s/tests/programs/program_%s", CW_BUILD_DIR, name);
    rig_child_start(child, path, arguments);
}

static void start_listening(struct rig_child *child, const char *name)
{
    start(child, name);
    rig_child_await_text(child, "listening on tcp://[::]:7000");
}

static void expect_echo(struct rig_peer *peer, const void *data, size_t len)
{
    static char back[65536];

    rig_peer_send_frame(peer, data, len);
    cr_assert_eq(rig_peer_receive_frame(peer, back, sizeof back), len);
    cr_assert_eq(memcmp(back, data, len), 0);
}

static bool is_code(const char *line)
{
    line += strspn(line, " \t\r\n");
    return *line != '\0' && strncmp(line, "/*", 2) != 0 && strncmp(line, "//", 2) != 0;
}

static int count_code(const char *path)
{
    FILE *file = fopen(path, "r");
    char line[512];
    int count = 0;

    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file)) {
        count += is_code(line);
    }
    fclose(file);
    return count;
}

Test(programs, the_echo_has_at_most_twelve_lines_of_code_over_udp_too)
{
    cr_expect_leq(count_code(CW_SOURCE_DIR "/tests/programs/echo.c"), 12);
    cr_expect_leq(count_code(CW_SOURCE_DIR "/tests/programs/udp_echo.c"), 12);
}

Test(programs, the_echo_echoes_and_a_signal_drains_it_with_status_0)
{
    static char large[65536];
    struct rig_child child;
    struct rig_peer peer;
    struct rig_peer other;

    if (!may_run()) {
        return;
    }
    memset(large, 'x', sizeof large);
    start_listening(&child, "echo");
    peer = rig_peer_tcp(PORT);
    other = rig_peer_tcp_from(NULL, "::1", PORT, 0);
    expect_echo(&peer, "hello", 5);
    expect_echo(&peer, "", 0);
    expect_echo(&peer, large, sizeof large);
    expect_echo(&other, "over IPv6", 9);
    rig_child_signal(&child, SIGTERM);
    rig_peer_expect_end(&peer);
    rig_peer_expect_end(&other);
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
    rig_peer_close(&peer);
    rig_peer_close(&other);
}

Test(programs, an_interrupt_drains_too)
{
    struct rig_child child;

    if (!may_run()) {
        return;
    }
    start_listening(&child, "echo");
    rig_child_signal(&child, SIGINT);
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
}

/* Sends until the server, whose answers nobody reads, reads no more. */
static void stuff(struct rig_peer *peer)
{
    static char frame[65536 + 4] = {0, 1, 0, 0};
    size_t at = 0;
    uint64_t quiet_since = rig_now_ms();

    while (rig_now_ms() - quiet_since < 300) {
        ptrdiff_t n = rig_peer_try_send(peer, frame + at, sizeof frame - at);
        cr_assert_geq(n, 0);
        if (n > 0) {
            at = (at + (size_t)n) % sizeof frame;
            quiet_since = rig_now_ms();
        } else {
            rig_rest(0);
        }
    }
}

Test(programs, a_second_signal_ends_the_process_with_status_1)
{
    struct rig_child child;
    struct rig_peer peer;

    if (!may_run()) {
        return;
    }
    start_listening(&child, "echo");
    peer = rig_peer_tcp(PORT);
    stuff(&peer);
    rig_child_signal(&child, SIGTERM);
    rig_await(!rig_port_is_open(PORT)); /* it drains, and cannot end: the peer does not read */
    rig_child_signal(&child, SIGTERM);
    cr_expect_eq(rig_child_join(&child), 1, "%s", child.text);
    rig_peer_close(&peer);
}

static void never_return(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_log(CW_LOG_INFO, 0, "stuck");
    for (;;) {
        pause();
    }
}

static int serve_and_get_stuck(void *arg)
{
    struct cw_server *server = cw_create_server(&cw_tcp);

    cw_server_set_hooks(server, &(struct cw_hooks){.on_data = never_return}, NULL);
    cw_server_listen(server, &(struct cw_listen_options){.port = PORT});
    return cw_server_main(server);
}

Test(programs, a_second_signal_ends_a_process_whose_loop_is_stuck_in_a_hook)
{
    struct rig_child child;
    struct rig_peer peer;

    if (!may_run()) {
        return;
    }
    rig_child_fork(&child, serve_and_get_stuck, NULL);
    rig_child_await_text(&child, "listening on tcp://[::]:7000");
    peer = rig_peer_tcp(PORT);
    rig_peer_send_text(&peer, "hello");
    rig_child_await_text(&child, "stuck\n");
    rig_child_signal(&child, SIGTERM);
    rig_child_signal(&child, SIGINT);
    cr_expect_eq(rig_child_join(&child), 1, "%s", child.text);
    rig_peer_close(&peer);
}

Test(programs, a_drain_sends_what_was_accepted)
{
    struct rig_child child;
    struct rig_peer peer;
    size_t got;

    if (!may_run()) {
        return;
    }
    start_listening(&child, "echo");
    peer = rig_peer_tcp(PORT);
    stuff(&peer);
    rig_child_signal(&child, SIGTERM);
    rig_await(!rig_port_is_open(PORT));
    got = rig_peer_receive_all(&peer);
    cr_expect_gt(got, 0);
    cr_expect_eq(got % (65536 + 4), 0, "whole frames: %zu", got);
    rig_peer_close(&peer);
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
}

Test(programs, the_echo_with_limits_echoes)
{
    struct rig_child child;
    struct rig_peer peer[8];

    if (!may_run()) {
        return;
    }
    start_listening(&child, "echo_limits");
    for (int i = 0; i < 8; i++) {
        peer[i] = rig_peer_tcp(PORT);
        expect_echo(&peer[i], "hello", 5);
    }
    rig_child_signal(&child, SIGTERM);
    for (int i = 0; i < 8; i++) {
        rig_peer_expect_end(&peer[i]);
        rig_peer_close(&peer[i]);
    }
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
}

Test(programs, the_client_speaks_to_the_echo_and_comes_back_when_that_does)
{
    struct rig_child server;
    struct rig_child client;

    if (!may_run()) {
        return;
    }
    start_listening(&server, "echo");
    start(&client, "client");
    rig_child_await_text(&client, "hello\n");
    rig_child_signal(&server, SIGTERM);
    cr_expect_eq(rig_child_join(&server), 0, "%s", server.text);
    rig_child_forget(&client);
    start_listening(&server, "echo");
    rig_child_await_text(&client, "hello\n");
    rig_child_signal(&client, SIGTERM);
    cr_expect_eq(rig_child_join(&client), 0, "%s", client.text);
    rig_child_signal(&server, SIGTERM);
    cr_expect_eq(rig_child_join(&server), 0, "%s", server.text);
}

/* Raw frames to the listener of one_port that speaks framed, and WebSocket to the other. */
static void expect_both_ways(struct guest *tcp, struct guest *web)
{
    guest_say(tcp, "{'from':'tcp'}");
    guest_expect_json(web, "{'from':'tcp'}");
    guest_say(web, "{'from':'web'}");
    guest_expect_json(tcp, "{'from':'web'}");
}

/* A folder with `public` in it. */
static void make_public(char *folder)
{
    char path[64];
    FILE *file;

    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    cr_assert_eq(mkdir("public", 0700), 0);
    snprintf(path, sizeof path, "public/note.txt");
    file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs("an asset", file);
    fclose(file);
}

static void forget_public(const char *folder)
{
    unlink("public/note.txt");
    rmdir("public");
    rmdir(folder);
}

static void expect_answer(const char *request, const char *body)
{
    struct rig_answer answer = {0};

    rig_ask_once(8080, request, cw_span_of(NULL, 0), &answer);
    cr_expect_eq(answer.status, 200);
    cr_expect_str_eq((const char *)answer.body, body);
    rig_answer_free(&answer);
}

/* Until both of its connections have said hello to those who were there before: a message by frame and one by WebSocket. */
static void expect_both_clients(struct guest *web)
{
    char text[8];

    for (int i = 0; i < 2; i++) {
        guest_hear_text(web, text, sizeof text);
        cr_expect_str_eq(text, "hello");
    }
}

Test(programs, one_port_has_a_site_files_and_a_chat_that_another_port_shares)
{
    char folder[] = "/tmp/causeway-programs-XXXXXX";
    struct rig_child child;
    struct rig_child client;

    if (!may_run()) {
        return;
    }
    make_public(folder);
    start(&child, "one_port");
    rig_child_await_text(&child, ":8080");
    rig_child_await_text(&child, ":7340");
    expect_answer("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "Hello, world!");
    expect_answer("GET /assets/note.txt HTTP/1.1\r\nHost: a\r\n\r\n", "an asset");
    struct guest tcp = guest_arrive(7340);
    struct guest web = guest_arrive_web(8080);
    web.binary = true;
    expect_both_ways(&tcp, &web);
    guest_leave(&tcp);
    start(&client, "two_clients");
    expect_both_clients(&web);
    rig_child_await_text(&client, "hello\n"); /* what one of them says, the other one hears */
    rig_child_signal(&client, SIGTERM);
    cr_expect_eq(rig_child_join(&client), 0, "%s", client.text);
    guest_leave(&web);
    rig_child_signal(&child, SIGTERM);
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
    forget_public(folder);
}

Test(programs, a_client_that_finds_nobody_still_ends_at_a_signal)
{
    struct rig_child client;

    if (!may_run()) {
        return;
    }
    start(&client, "client");
    rig_child_await_text(&client, "CW_EREFUSED");
    rig_child_signal(&client, SIGTERM);
    cr_expect_eq(rig_child_join(&client), 0, "%s", client.text);
}

Test(programs, a_port_in_use_is_said_in_one_line_and_the_status_is_1)
{
    struct rig_child first;
    struct rig_child second;
    const char *said;

    if (!may_run()) {
        return;
    }
    start_listening(&first, "echo");
    start(&second, "echo");
    cr_expect_eq(rig_child_join(&second), 1);
    /* Where descriptors are few, a line in the log has said that before. */
    said = strstr(second.text, "listen ");
    cr_expect_str_eq(said ? said : second.text, "listen [::]:7000: bind: the address is in use\n");
    rig_child_signal(&first, SIGTERM);
    cr_expect_eq(rig_child_join(&first), 0);
}

Test(programs, the_first_error_of_set_up_is_said_and_the_status_is_1)
{
    struct rig_child child;

    start(&child, "bad_option");
    cr_expect_eq(rig_child_join(&child), 1);
    cr_expect_str_eq(child.text, "configure: out_high_bytes is above out_max_bytes\n");
}

/* ---- UDP ---- */

static void start_on_udp(struct rig_child *child, const char *name)
{
    start(child, name);
    rig_child_await_text(child, "listening on udp://[::]:7000");
}

Test(programs, the_echo_over_udp_echoes_and_a_signal_ends_it_with_status_0)
{
    struct rig_child child;
    struct rig_udp peer;
    struct rig_udp other;

    if (!may_run()) {
        return;
    }
    start_on_udp(&child, "udp_echo");
    peer = rig_udp_to(PORT);
    other = rig_udp_open("::1", "[::1]:7000");
    rig_udp_expect_echo(&peer, "hello");
    rig_udp_expect_echo(&peer, "");
    rig_udp_expect_echo(&other, "over IPv6");
    rig_child_signal(&child, SIGTERM);
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
    rig_udp_close(&peer);
    rig_udp_close(&other);
}

/* Until the other has come into the room and hears it. */
static bool is_heard(struct rig_udp *udp, const struct rig_peer *tcp)
{
    struct pollfd heard = {.fd = tcp->fd, .events = POLLIN};

    rig_udp_send_text(udp, "by UDP");
    return poll(&heard, 1, 50) == 1;
}

Test(programs, frames_over_tcp_and_datagrams_are_in_one_room)
{
    struct rig_child child;
    struct rig_udp udp;
    struct rig_udp stranger;
    struct rig_peer tcp;
    uint8_t token[16];
    char text[16];

    if (!may_run()) {
        return;
    }
    start_on_udp(&child, "udp_room");
    udp = rig_udp_to(PORT);
    stranger = rig_udp_to(PORT);
    tcp = rig_peer_tcp(PORT);
    rig_udp_send_text(&udp, "hello there");
    cr_assert_eq(rig_udp_receive(&udp, token, sizeof token), sizeof token);
    rig_udp_send(&udp, token, sizeof token);
    rig_udp_send_text(&stranger, "let me in");
    rig_udp_receive(&stranger, token, sizeof token);
    rig_await(is_heard(&udp, &tcp));
    cr_assert_eq(rig_peer_receive_frame(&tcp, text, sizeof text), 6);
    cr_expect_arr_eq(text, "by UDP", 6);
    rig_peer_send_frame(&tcp, "by TCP", 6);
    rig_udp_expect(&udp, "by TCP");
    rig_udp_expect_nothing(&stranger);
    rig_udp_close(&udp);
    rig_udp_close(&stranger);
    rig_peer_close(&tcp);
    rig_child_signal(&child, SIGTERM);
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
}

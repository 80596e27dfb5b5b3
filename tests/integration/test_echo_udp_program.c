/* The echo program over UDP, as those who start it see it: its lines, its exit codes, its options, its file. */
#include "support/leak.h"
#include "support/peer.h"
#include "support/pki.h"
#include "support/program.h"
#include "support/secure.h"
#include "support/udp_peer.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(echo_udp_program, .fini = rig_expect_no_leak, .timeout = 120);

static struct rig_child echo;

#define ARGS(...) ((const char *const[]){"--protocol", "udp", "--port", "0", __VA_ARGS__, NULL})

static void start(const char *const *arguments)
{
    memset(&echo, 0, sizeof echo);
    if (!rig_program_start(&echo, "echo", arguments)) {
        cr_skip_test("the examples were left out of this build");
    }
}

/* Starts it on 127.0.0.1. */
static struct rig_udp start_and_meet(const char *const *arguments)
{
    start(arguments);
    return rig_udp_to(rig_program_port_of(&echo, "udp"));
}

static void finish(struct rig_udp *peer)
{
    rig_udp_close(peer);
    rig_program_end(&echo);
}

/* The port behind this text in what it prints. */
static uint16_t port_behind(const char *line)
{
    unsigned port = 0;

    rig_child_await_text(&echo, line);
    rig_check(sscanf(strstr(echo.text, line) + strlen(line), "%u", &port) == 1);
    return (uint16_t)port;
}

/* ---- answers ---- */

Test(echo_udp_program, prints_its_line_answers_datagrams_and_ends_with_status_0)
{
    struct rig_udp peer = start_and_meet(ARGS("--quiet"));
    char large[20000];

    rig_udp_expect_echo(&peer, "hello");
    rig_udp_expect_echo(&peer, "");
    memset(large, 'x', sizeof large);
    rig_udp_send(&peer, large, sizeof large);
    rig_udp_expect_bytes(&peer, large, sizeof large);
    finish(&peer);
}

Test(echo_udp_program, answers_over_ipv6)
{
    struct rig_udp peer;
    char to[32];

    if (!rig_udp_has_ipv6()) {
        cr_skip_test("this machine has no IPv6 loopback");
    }
    start(ARGS("--host", "::1"));
    snprintf(to, sizeof to, "[::1]:%u", port_behind("listening on udp://[::1]:"));
    peer = rig_udp_open("::1", to);
    rig_udp_expect_echo(&peer, "hello");
    finish(&peer);
}

Test(echo_udp_program, answers_both_families_on_one_socket_from_the_address_that_was_asked)
{
    struct rig_udp ipv6;
    struct rig_udp ipv4;
    char to[32];
    uint16_t port;

    if (!rig_udp_has_ipv6()) {
        cr_skip_test("this machine has no IPv6 loopback");
    }
    start(ARGS("--host", "::"));
    port = port_behind("listening on udp://[::]:");
    snprintf(to, sizeof to, "[::1]:%u", port);
    ipv6 = rig_udp_open("::1", to);
    snprintf(to, sizeof to, "127.0.0.9:%u", port);
    ipv4 = rig_udp_open("127.0.0.1", to);
    rig_udp_expect_echo(&ipv6, "six");
    rig_udp_expect_echo(&ipv4, "four");
    rig_udp_close(&ipv4);
    finish(&ipv6);
}

Test(echo_udp_program, several_workers_answer)
{
    struct rig_udp first = start_and_meet(ARGS("--workers", "2"));

    for (unsigned i = 0; i < 16; i++) {
        struct rig_udp peer = rig_udp_open("127.0.0.1", NULL);

        peer.to = first.to;
        rig_udp_expect_echo(&peer, "one");
        rig_udp_expect_echo(&peer, "two");
        rig_udp_close(&peer);
    }
    finish(&first);
}

/* ---- options ---- */

Test(echo_udp_program, a_longer_datagram_than_the_command_line_allows_has_no_answer)
{
    struct rig_udp peer = start_and_meet(ARGS("--max-frame-size", "5"));

    rig_udp_send_text(&peer, "longer");
    rig_udp_expect_echo(&peer, "five!");
    finish(&peer);
}

Test(echo_udp_program, a_silent_peer_is_forgotten_after_the_time_of_the_command_line)
{
    struct rig_udp peer =
        start_and_meet(ARGS("--peer-idle-timeout", "200ms", "--log-level", "debug"));

    rig_udp_expect_echo(&peer, "hello");
    rig_child_await_text(&echo, "CW_EXPIRED");
    finish(&peer);
}

Test(echo_udp_program, one_peer_more_than_the_command_line_allows_takes_the_place_of_another)
{
    struct rig_udp peer = start_and_meet(ARGS("--max-peers", "1", "--log-level", "debug"));
    struct rig_udp other = rig_udp_open("127.0.0.1", NULL);

    other.to = peer.to;
    rig_udp_expect_echo(&peer, "first");
    rig_udp_expect_echo(&other, "second");
    rig_child_await_text(&echo, "CW_REPLACED");
    rig_udp_close(&other);
    finish(&peer);
}

Test(echo_udp_program, hears_the_groups_of_the_command_line)
{
    struct ip_mreqn way = {.imr_ifindex = (int)if_nametoindex("lo")};
    struct rig_udp peer;
    char text[32];
    char to[32];
    struct cw_address from;
    size_t len;

    start(ARGS("--host", "0.0.0.0", "--multicast-group", "239.77.1.2", "--multicast-group",
               "239.77.1.3", "--multicast-interface", "lo"));
    snprintf(to, sizeof to, "239.77.1.3:%u", port_behind("listening on udp://0.0.0.0:"));
    peer = rig_udp_open("127.0.0.1", to);
    rig_check(setsockopt(peer.fd, IPPROTO_IP, IP_MULTICAST_IF, &way, sizeof way) == 0);
    rig_udp_send_text(&peer, "to all of you");
    len = rig_udp_receive_from(&peer, text, sizeof text, &from);
    cr_expect_eq(len, strlen("to all of you"));
    cr_expect_eq(from.port, peer.to.port);
    cr_expect_neq(from.ip[0], 239, "nobody answers from a group");
    finish(&peer);
}

Test(echo_udp_program, what_it_cannot_do_is_one_line_and_status_1)
{
    static const struct {
        const char *const arguments[7];
        const char *sentence;
    } wrong[] = {
        {{"--max-peers", "0"}, "echo: --max-peers 0: expected a number from 1 to 16777216\n"},
        {{"--amplification", "off"},
         "echo: --amplification off: expected a number from 1 to 1000000, or unlimited\n"},
        {{"--peer-idle-timeout", "-1"}, "echo: --peer-idle-timeout -1: expected a time"},
        {{"--multicast-group", "10.0.0.1"},
         "echo: --multicast-group 10.0.0.1: expected a multicast address, such as 239.1.2.3 or "
         "ff15::1\n"},
        {{"--multicast-group", "239.1.2.3", "--multicast-interface", "nothing0"},
         "listen 127.0.0.1:0: nothing0: there is no such interface\n"},
        {{"--multicast-group", "ff15::1"},
         "listen 127.0.0.1:0: ff15::1: it is of another family than the listener\n"},
        {{"--multicast-group", "239.1.2.3", "--multicast-group", "239.1.2.3",
          "--multicast-interface", "lo"},
         "listen 127.0.0.1:0: 239.1.2.3: it is joined already\n"},
        {{"--mtu", "1200"}, "echo: --mtu needs --tls-cert FILE: it is of DTLS\n"},
        {{"--keepalive", "5"},
         "listen: tcp: udp is a protocol of datagrams and has none of that; leave it out\n"},
        {{"--max-frame-size", "64K"},
         "options of udp: datagram_max_bytes: 65536, but 65507 is the most a datagram can hold\n"},
        {{"--max-peer", "5"}, "echo: unknown option --max-peer; the closest is --max-peers"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *const *more = wrong[i].arguments;

        start(ARGS("--quiet", more[0], more[1], more[2], more[3], more[4], more[5]));
        rig_program_expect_status(&echo, 1);
        cr_expect_not_null(strstr(echo.text, wrong[i].sentence), "%s", echo.text);
        cr_expect_eq(strchr(echo.text, '\n'), echo.text + strlen(echo.text) - 1, "not one line: %s",
                     echo.text);
    }
}

Test(echo_udp_program, a_group_at_an_address_where_it_is_not_heard_is_a_warning)
{
    start(ARGS("--multicast-group", "239.77.1.4", "--multicast-interface", "lo"));
    rig_child_await_text(&echo, "nothing that is sent to a group comes to this address");
    rig_child_await_text(&echo, "listening on udp://127.0.0.1:");
    rig_program_end(&echo);
    start(ARGS("--host", "::", "--multicast-group", "239.77.1.4", "--multicast-interface", "lo"));
    rig_child_await_text(&echo, "listening on udp://[::]:");
    cr_expect_null(strstr(echo.text, "warning"), "%s", echo.text);
    rig_program_end(&echo);
}

Test(echo_udp_program, a_unix_socket_and_options_of_datagrams_for_streams_are_refused)
{
    start((const char *const[]){"--protocol", "udp", "--unix", "/tmp/x", NULL});
    rig_program_expect_status(&echo, 1);
    cr_expect_str_eq(
        echo.text,
        "listen: unix_path: udp is a protocol of datagrams and has none of that; leave it out\n");
    start((const char *const[]){"--protocol", "line", "--port", "0", "--broadcast", NULL});
    rig_program_expect_status(&echo, 1);
    cr_expect_str_eq(echo.text,
                     "listen: datagram: line is no protocol of datagrams; leave it out\n");
}

Test(echo_udp_program, a_port_that_is_taken_is_status_1)
{
    struct rig_udp taken = rig_udp_open("127.0.0.1", NULL);
    char port[8];
    char sentence[80];

    snprintf(port, sizeof port, "%u", rig_udp_port(&taken));
    start((const char *const[]){"--protocol", "udp", "--port", port, "--workers", "2", NULL});
    rig_program_expect_status(&echo, 1);
    snprintf(sentence, sizeof sentence, "listen 127.0.0.1:%s: bind: the address is in use\n", port);
    cr_expect_str_eq(echo.text, sentence);
    rig_udp_close(&taken);
}

/* ---- a file ---- */

static char folder[64];
static char file[96];

static void write_file(const char *text)
{
    FILE *out;

    snprintf(folder, sizeof folder, "/tmp/causeway-udp-XXXXXX");
    rig_check(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/server.yaml", folder);
    out = fopen(file, "we");
    rig_check(out);
    rig_check(fputs(text, out) >= 0);
    rig_check(fclose(out) == 0);
}

static void remove_file(void)
{
    unlink(file);
    rmdir(folder);
}

Test(echo_udp_program, a_file_may_name_listeners_of_streams_and_of_datagrams)
{
    struct rig_udp peer;
    struct rig_peer stream;

    write_file("server:\n"
               "  tcp: { keep_alive_probes: 3, backlog: 5 }\n"
               "  datagram: { peer_idle_timeout: 200ms }\n"
               "  udp: { max_frame_size: 5 }\n"
               "  listeners:\n"
               "    - { protocol: udp, port: 0, datagram: { max_peers: 9 } }\n"
               "    - { protocol: line, port: 0 }\n");
    start(
        (const char *const[]){"--config", file, "--log-level", "debug", "--keepalive", "60", NULL});
    peer = rig_udp_to(rig_program_port_of(&echo, "udp"));
    stream = rig_peer_tcp(rig_program_port_of(&echo, "tcp"));
    rig_udp_send_text(&peer, "longer");
    rig_udp_expect_echo(&peer, "five!");
    rig_peer_send_text(&stream, "hello\n");
    rig_peer_expect(&stream, "hello\n");
    rig_child_await_text(&echo, "CW_EXPIRED");
    rig_peer_close(&stream);
    finish(&peer);
    remove_file();
}

Test(echo_udp_program, the_command_line_goes_over_the_file)
{
    struct rig_udp peer;

    write_file(
        "server: { port: 0, datagram: { peer_idle_timeout: off }, udp: { max_frame_size: 9 } }\n");
    start((const char *const[]){"--config", file, "--protocol", "udp", "--peer-idle-timeout",
                                "200ms", "--max-frame-size", "5", "--log-level", "debug", NULL});
    peer = rig_udp_to(rig_program_port_of(&echo, "udp"));
    rig_udp_send_text(&peer, "longer");
    rig_udp_expect_echo(&peer, "five!");
    rig_child_await_text(&echo, "CW_EXPIRED");
    finish(&peer);
    remove_file();
}

/* ---- DTLS ---- */

Test(echo_udp_program, with_a_certificate_it_speaks_dtls)
{
    struct rig_child client = {0};
    char to[32];

    if (!pki_made() || !rig_has_program("openssl")) {
        cr_skip_test("the openssl command is missing");
    }
    start(ARGS("--tls-cert", pki("server.pem"), "--tls-key", pki("server.key"), "--mtu", "1200"));
    snprintf(to, sizeof to, "127.0.0.1:%u", rig_program_port_of(&echo, "dtls"));
    rig_start_words_fed(&client, RIG_WORDS("openssl", "s_client", "-dtls1_2", "-quiet", "-connect",
                                           to, "-CAfile", pki("ca.pem"), "-verify_return_error"));
    rig_child_type(&client, "hello over datagrams");
    rig_child_await_text(&client, "hello over datagrams");
    rig_child_end_input(&client);
    rig_child_signal(&client, SIGTERM);
    (void)rig_child_join(&client);
    rig_program_end(&echo);
}

/* The stream program, spoken to over sockets, and its sender against servers that misbehave. */
#include "support/leak.h"
#include "support/peer.h"
#include "support/program.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { AUDIO = 1, VIDEO = 2, PACKET_CAP = 20000 };

TestSuite(stream, .fini = rig_expect_no_leak, .timeout = 120);

#define ARGS(...)                                                                                  \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static bool serve(struct rig_child *server, uint16_t *port)
{
    if (!rig_program_start(server, "stream", ARGS("serve", "--port", "0", "--workers", "2"))) {
        cr_skip_test("the examples were left out of this build");
        return false;
    }
    *port = rig_program_port(server);
    return true;
}

/* Starts the sender towards a port on this machine. */
static bool start_sender(struct rig_child *sender, uint16_t port, const char *const *options)
{
    const char *arguments[16] = {"send"};
    char address[32];

    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    arguments[1] = address;
    for (size_t i = 0; options[i] != NULL; i++) {
        arguments[i + 2] = options[i];
    }
    if (!rig_program_start(sender, "stream", arguments)) {
        cr_skip_test("the examples were left out of this build");
        return false;
    }
    return true;
}

static void send_packet(struct rig_peer *peer, unsigned type, unsigned sequence, size_t payload)
{
    static uint8_t bytes[PACKET_CAP];

    bytes[0] = (uint8_t)(type >> 8);
    bytes[1] = (uint8_t)type;
    bytes[6] = (uint8_t)(sequence >> 8);
    bytes[7] = (uint8_t)sequence;
    rig_peer_send_frame(peer, bytes, 8 + payload);
}

static void expect_ack(struct rig_peer *peer, unsigned sequence)
{
    uint8_t ack[16];
    const uint8_t expected[4] = {(uint8_t)(sequence >> 8), (uint8_t)sequence, 0, 1};

    cr_assert_eq(rig_peer_receive_frame(peer, ack, sizeof ack), 4);
    cr_assert_arr_eq(ack, expected, 4);
}

static void send_ack(struct rig_peer *peer, unsigned sequence)
{
    const uint8_t ack[4] = {(uint8_t)(sequence >> 8), (uint8_t)sequence, 0, 1};

    rig_peer_send_frame(peer, ack, sizeof ack);
}

Test(stream, audio_and_video_are_acknowledged_with_their_sequence_in_order)
{
    struct rig_child server;
    uint16_t port;

    if (!serve(&server, &port)) {
        return;
    }
    struct rig_peer peer = rig_peer_tcp(port);
    send_packet(&peer, AUDIO, 0, 0);
    send_packet(&peer, VIDEO, 65535, 10000);
    send_packet(&peer, AUDIO, 258, 1);
    expect_ack(&peer, 0);
    expect_ack(&peer, 65535);
    expect_ack(&peer, 258);
    rig_peer_close(&peer);
    rig_child_await_text(&server, "audio 2, video 1 (10000 bytes), not understood 0");
    rig_program_end(&server);
}

Test(stream, what_is_not_understood_is_reported_counted_and_not_acknowledged)
{
    struct rig_child server;
    uint16_t port;

    if (!serve(&server, &port)) {
        return;
    }
    struct rig_peer peer = rig_peer_tcp(port);
    send_packet(&peer, 0, 1, 5);
    send_packet(&peer, 3, 2, 5);
    send_packet(&peer, 65535, 3, 0);
    rig_peer_send_frame(&peer, "short", 5);
    rig_peer_send_frame(&peer, "", 0);
    send_packet(&peer, AUDIO, 4, 5);
    expect_ack(&peer, 4);
    rig_child_await_text(&server, "unknown packet type 0, sequence 1");
    rig_child_await_text(&server, "unknown packet type 3, sequence 2");
    rig_child_await_text(&server, "unknown packet type 65535, sequence 3");
    rig_child_await_text(&server, "a packet of 5 bytes is shorter than its header");
    rig_child_await_text(&server, "a packet of 0 bytes is shorter than its header");
    rig_peer_close(&peer);
    rig_child_await_text(&server, "audio 1, video 0 (0 bytes), not understood 5");
    rig_program_end(&server);
}

static size_t occurrences(const char *text, const char *part)
{
    size_t count = 0;

    while ((text = strstr(text, part)) != NULL) {
        text += strlen(part);
        count++;
    }
    return count;
}

Test(stream, a_peer_that_sends_nonsense_does_not_fill_the_log)
{
    struct rig_child server;
    uint16_t port;

    if (!serve(&server, &port)) {
        return;
    }
    struct rig_peer peer = rig_peer_tcp(port);
    for (unsigned i = 0; i < 1000; i++) {
        send_packet(&peer, 9, i, 0);
    }
    rig_peer_close(&peer);
    rig_child_await_text(&server, "not understood 1000");
    rig_program_end(&server);
    cr_expect_eq(occurrences(server.text, "unknown packet type"), 10);
}

Test(stream, a_frame_over_the_limit_closes_that_connection_only)
{
    struct rig_child server;
    uint16_t port;

    if (!serve(&server, &port)) {
        return;
    }
    struct rig_peer good = rig_peer_tcp(port);
    struct rig_peer bad = rig_peer_tcp(port);
    rig_peer_send(&bad, "\x00\x01\x00\x01", 4);
    rig_peer_expect_gone(&bad);
    send_packet(&good, VIDEO, 7, 100);
    expect_ack(&good, 7);
    rig_peer_close(&good);
    rig_peer_close(&bad);
    rig_program_end(&server);
}

Test(stream, the_sender_tells_what_became_of_its_packets)
{
    struct rig_child server;
    struct rig_child sender;
    uint16_t port;

    if (!serve(&server, &port) ||
        !start_sender(&sender, port, ARGS("--packets", "70001", "--video-bytes", "1000"))) {
        return;
    }
    rig_program_expect_status(&sender, 0);
    cr_expect_not_null(strstr(sender.text, "sent 70001\nacknowledged 70001\nlost 0\n"), "%s",
                       sender.text);
    cr_expect_not_null(strstr(sender.text, "round trip p50 "), "%s", sender.text);
    rig_child_await_text(&server, "audio 35001, video 35000 (35000000 bytes), not understood 0");
    rig_program_end(&server);
}

Test(stream, the_sender_keeps_to_its_rate)
{
    struct rig_child server;
    struct rig_child sender;
    uint16_t port;
    uint64_t started;

    if (!serve(&server, &port)) {
        return;
    }
    started = rig_now_ms();
    if (!start_sender(&sender, port, ARGS("--packets", "51", "--rate", "100"))) {
        return;
    }
    rig_program_expect_status(&sender, 0);
    cr_expect_geq(rig_now_ms() - started,
                  499); /* the last of 51 leaves half a second after the first */
    rig_program_end(&server);
}

Test(stream, the_sender_has_no_more_than_its_window_on_the_way)
{
    struct rig_child sender;
    uint16_t port;
    int listener = rig_listen(&port);
    uint8_t bytes[100];

    if (!start_sender(
            &sender, port,
            ARGS("--packets", "8", "--window", "5", "--audio-bytes", "1", "--video-bytes", "2"))) {
        return;
    }
    struct rig_peer peer = rig_accept(listener);
    for (unsigned i = 0; i < 5; i++) {
        cr_assert_eq(rig_peer_receive_frame(&peer, bytes, sizeof bytes), i % 2 == 0 ? 9 : 10);
        cr_expect_eq(bytes[1], i % 2 == 0 ? AUDIO : VIDEO);
        cr_expect_eq(bytes[7], i);
    }
    rig_peer_expect_silence(&peer, 100);
    send_ack(&peer, 1);
    send_ack(&peer, 0);
    for (unsigned i = 5; i < 7; i++) {
        rig_peer_receive_frame(&peer, bytes, sizeof bytes);
        cr_expect_eq(bytes[7], i);
    }
    rig_peer_expect_silence(&peer, 100);
    for (unsigned i = 2; i < 7; i++) {
        send_ack(&peer, i);
    }
    rig_peer_receive_frame(&peer, bytes, sizeof bytes);
    send_ack(&peer, 7);
    rig_program_expect_status(&sender, 0);
    rig_peer_close(&peer);
    close(listener);
}

Test(stream, packets_without_an_acknowledgement_are_lost)
{
    struct rig_child sender;
    uint16_t port;
    int listener = rig_listen(&port);

    if (!start_sender(&sender, port, ARGS("--packets", "9", "--patience", "200ms"))) {
        return;
    }
    struct rig_peer peer = rig_accept(listener);
    send_ack(&peer, 0);
    rig_program_expect_status(&sender, 1);
    cr_expect_not_null(strstr(sender.text, "no acknowledgement for 200 ms\n"), "%s", sender.text);
    cr_expect_not_null(strstr(sender.text, "sent 9\nacknowledged 1\nlost 8\n"), "%s", sender.text);
    rig_peer_close(&peer);
    close(listener);
}

Test(stream, a_server_that_goes_away_ends_the_sender_with_status_1)
{
    uint8_t packet[400];
    struct rig_child sender;
    uint16_t port;
    int listener = rig_listen(&port);

    if (!start_sender(&sender, port, ARGS("--packets", "9"))) {
        return;
    }
    struct rig_peer peer = rig_accept(listener);
    rig_peer_receive_frame(&peer, packet, sizeof packet); /* it knows that it is connected */
    rig_peer_reset(&peer);
    rig_program_expect_status(&sender, 1);
    cr_expect_not_null(strstr(sender.text, "connection lost"), "%s", sender.text);
    close(listener);
    if (!start_sender(&sender, port, ARGS("--packets", "9"))) {
        return;
    }
    rig_program_expect_status(&sender, 1);
    cr_expect_not_null(strstr(sender.text, "nobody listens at that address"), "%s", sender.text);
}

Test(stream, an_acknowledgement_of_what_is_not_on_its_way_is_told)
{
    struct rig_child sender;
    uint16_t port;
    int listener = rig_listen(&port);

    for (int way = 0; way < 2; way++) {
        if (!start_sender(&sender, port, ARGS("--packets", "9"))) {
            return;
        }
        struct rig_peer peer = rig_accept(listener);
        if (way == 0) {
            send_ack(&peer, 9);
        } else {
            send_ack(&peer, 3);
            send_ack(&peer, 3);
        }
        rig_program_expect_status(&sender, 1);
        cr_expect_not_null(strstr(sender.text, "acknowledged what was not sent"), "%s", sender.text);
        rig_peer_close(&peer);
    }
    close(listener);
}

Test(stream, a_command_line_that_says_too_little_is_one_clear_line)
{
    struct rig_child child;

    if (!rig_program_start(&child, "stream", ARGS("send"))) {
        cr_skip_test("the examples were left out of this build");
        return;
    }
    rig_program_expect_status(&child, 1);
    cr_expect_str_eq(child.text,
                     "stream send: where to? HOST:PORT comes first (--help says more)\n");
    rig_program_start(&child, "stream", ARGS("receive"));
    rig_program_expect_status(&child, 1);
    cr_expect_str_eq(child.text, "stream: serve or send? (--help says more)\n");
    rig_program_start(&child, "stream", ARGS("send", "--help"));
    rig_program_expect_status(&child, 0);
    cr_expect_not_null(strstr(child.text, "Usage: stream send [tls://]HOST:PORT [options]\n"), "%s",
                       child.text);
    cr_expect_null(strstr(child.text, "--workers"), "%s", child.text);
}

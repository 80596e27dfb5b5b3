/* What frames alone do not show: what an end means, what is never sent, and whom masks tell nothing. */
#include "support/leak.h"
#include "support/scene.h"
#include "support/silent.h"
#include "support/wait.h"
#include "support/ws_trial.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <causeway/tcp.h>
#include <causeway/websocket.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static void be_quiet(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(rfc_6455_rules, .init = be_quiet, .fini = rig_expect_no_leak, .timeout = 60);

enum { ROOM = 16384 };

/* ---- a server and one peer ---- */

static struct rig_scene scene;

static void count_and_echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    rig_story_on_data(conn, msg, user);
    rig_echo(conn, msg, user);
}

static void begin(void)
{
    const struct cw_hooks hooks = rig_story_with_data(count_and_echo);

    rig_scene_begin(&scene, &cw_websocket, NULL, &hooks);
    ws_trial_ask(&scene.peer, WS_TRIAL_REQUEST);
}

/* Lines as in 6455/README.md, each with its line's end. */
static void send_lines(const char *lines)
{
    struct rig_bytes bytes = {0};

    while (*lines != '\0') {
        char line[512];

        snprintf(line, sizeof line, "%.*s", (int)strcspn(lines, "\n"), lines);
        rig_check(ws_case_append(&bytes, line, CW_SERVER));
        lines += strcspn(lines, "\n") + 1;
    }
    rig_peer_send(&scene.peer, bytes.data, bytes.len);
    rig_release(&bytes);
}

/* All that comes until the server ends the connection. */
static void expect_rest(const char *wanted)
{
    static uint8_t buffer[ROOM];
    struct rig_bytes story = {0};
    size_t len = 0;
    ptrdiff_t n;

    do {
        n = rig_peer_receive_some(&scene.peer, buffer + len, sizeof buffer - len);
        len += n > 0 ? (size_t)n : 0;
    } while (n > 0 && len < sizeof buffer);
    cr_expect_eq(n, 0, "ended in good order");
    cr_expect_null(ws_story_of(cw_span_of(buffer, len), false, &story));
    cr_expect_str_eq(story.len > 0 ? (const char *)story.data : "", wanted);
    rig_release(&story);
}

static void expect_told(int code, uint32_t peer_code, const char *text)
{
    const struct cw_close_reason *reason = &scene.story.reason;

    rig_await(atomic_load(&scene.story.closed) == 1);
    cr_expect_eq(reason->code, code, "%s", cw_error_name(reason->code));
    cr_expect_eq(reason->peer_code, peer_code, "%u", reason->peer_code);
    cr_expect(text == NULL || strcmp(reason->text, text) == 0, "%s", reason->text);
    rig_scene_end(&scene);
}

/* ---- ends (§7.1) ---- */

Test(rfc_6455_rules, the_code_and_the_reason_of_a_close_frame_are_told)
{
    begin();
    send_lines("close 4001 moving on\n");
    expect_rest("close 4001\n");
    expect_told(CW_BY_PEER, 4001, "moving on");
}

Test(rfc_6455_rules, a_close_frame_without_a_code_is_told_as_1005)
{
    begin();
    send_lines("close\n");
    expect_rest("close\n");
    expect_told(CW_BY_PEER, CW_WEBSOCKET_NO_CODE, NULL);
}

Test(rfc_6455_rules, an_end_without_a_close_frame_is_told_as_1006)
{
    begin();
    send_lines("text Hello\n");
    rig_scene_conn(&scene);
    rig_await(atomic_load(&scene.story.messages) == 1);
    rig_peer_shut(&scene.peer);
    expect_rest("text Hello\n");
    expect_told(CW_BY_PEER, CW_WEBSOCKET_ABNORMAL, NULL);
}

Test(rfc_6455_rules, an_end_within_a_message_is_told_as_1006_and_as_truncated)
{
    begin();
    send_lines("text- Hel\n");
    rig_peer_shut(&scene.peer);
    (void)rig_peer_receive_all(&scene.peer);
    expect_told(CW_ETRUNCATED, CW_WEBSOCKET_ABNORMAL, NULL);
}

Test(rfc_6455_rules, of_two_close_frames_the_first_counts)
{
    begin();
    send_lines("close 4001 first\nclose 4002 second\nfirst=ff op broken\n");
    expect_rest("close 4001\n");
    expect_told(CW_BY_PEER, 4001, "first");
}

Test(rfc_6455_rules, a_broken_rule_is_told_with_the_code_that_was_sent)
{
    begin();
    send_lines("first=83 op\n");
    expect_rest("close 1002\n");
    expect_told(CW_EPROTO, CW_WEBSOCKET_PROTOCOL, "a reserved opcode");
}

Test(rfc_6455_rules, messages_behind_a_broken_rule_are_not_delivered)
{
    begin();
    send_lines("text one\ntext \\xff\ntext two\n");
    expect_rest("text one\nclose 1007\n");
    cr_expect_eq(atomic_load(&scene.story.messages), 1);
    expect_told(CW_EPROTO, CW_WEBSOCKET_INVALID, NULL);
}

/* ---- what is never sent ---- */

static void say_goodbye_and_more(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    cw_conn_close_with(conn, 4000, "enough");
    rig_check(cw_conn_send_text(conn, "late") == CW_ECLOSED);
    rig_check(cw_websocket_ping(conn, cw_span_text("late")) == CW_ECLOSED);
}

Test(rfc_6455_rules, nothing_is_sent_or_answered_behind_a_close_frame)
{
    uint8_t head[8];

    begin();
    rig_scene_run(&scene, say_goodbye_and_more, NULL);
    rig_peer_receive(&scene.peer, head, 2);
    cr_expect_eq(head[0], 0x88);
    rig_peer_receive(&scene.peer, head, head[1]);
    cr_expect_eq(head[0] << 8 | head[1], 4000);
    send_lines("ping late\ntext late\ntext- Hel\ncont lo\nclose 4000\n");
    expect_rest("");
    cr_expect_eq(atomic_load(&scene.story.messages), 0);
    expect_told(CW_BY_APP, 4000, "enough");
}

static void close_with(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    cw_conn_close_with(conn, *(const uint32_t *)arg, "a code");
}

Test(rfc_6455_rules, codes_that_stand_for_no_close_frame_are_not_sent)
{
    static const uint32_t codes[] = {1, 999, 1004, 1005, 1006, 1015, 2999, 5000, 66536};

    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        uint32_t code = codes[i];

        begin();
        rig_scene_run(&scene, close_with, &code);
        send_lines("close 1000\n");
        expect_rest("close 1000\n");
        rig_scene_end(&scene);
    }
}

static void send_what_is_no_text(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(cw_conn_send_text(conn, "\xed\xa0\x80") == CW_EKIND);
    rig_check(cw_conn_send_text(conn, "cut \xe2\x82") == CW_EKIND);
    rig_check(cw_conn_send_text(conn, "sound \xe2\x82\xac") == 0);
}

Test(rfc_6455_rules, text_that_is_not_utf_8_is_not_sent)
{
    begin();
    rig_scene_run(&scene, send_what_is_no_text, NULL);
    send_lines("close 1000\n");
    expect_rest("text sound \xe2\x82\xac\nclose 1000\n");
    rig_scene_end(&scene);
}

static void ping_too_long(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    static const uint8_t payload[126];

    rig_check(cw_websocket_ping(conn, cw_span_of(payload, 126)) == CW_ETOOBIG);
}

Test(rfc_6455_rules, no_ping_above_125_bytes_is_sent)
{
    begin();
    rig_scene_run(&scene, ping_too_long, NULL);
    send_lines("close 1000\n");
    expect_rest("close 1000\n");
    rig_scene_end(&scene);
}

/* ---- a client (§5.3, §7.1.1) ---- */

static struct rig_silent listener;
static struct rig_host *host;

enum { MESSAGES = 64 };

static void send_many(struct cw_conn *conn, void *user)
{
    for (int i = 0; i < MESSAGES; i++) {
        rig_check(cw_conn_send_text(conn, "the same") == 0);
    }
}

static void connect_one(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    char url[64];

    snprintf(url, sizeof url, "ws://127.0.0.1:%u/", listener.port);
    rig_check(cw_websocket_connect(loop, url, arg, NULL, NULL) > 0);
}

static struct rig_peer meet_client(const struct cw_hooks *hooks)
{
    union {
        const struct cw_hooks *hooks;
        void *arg;
    } borrowed = {hooks};

    rig_host_run(host, 0, connect_one, borrowed.arg);
    struct rig_peer peer = {.fd = rig_silent_accept(&listener)};

    ws_trial_answer(&peer);
    return peer;
}

static void begin_clients(void)
{
    rig_silent_open(&listener, "127.0.0.1", 0, 0);
    host =
        rig_host_start(rig_server(&cw_tcp, &(struct cw_server_options){.workers = 1}), NULL, NULL);
}

static void end_clients(void)
{
    rig_host_end(host);
    rig_silent_close(&listener);
}

/* The masks of `the same`, so many times. */
static void read_masks(struct rig_peer *peer, uint32_t masks[MESSAGES])
{
    for (size_t i = 0; i < MESSAGES; i++) {
        uint8_t frame[2 + 4 + 8];

        rig_peer_receive(peer, frame, sizeof frame);
        cr_assert_eq(frame[1], 0x88);
        masks[i] = (uint32_t)frame[2] << 24 | (uint32_t)frame[3] << 16 | (uint32_t)frame[4] << 8 |
                   frame[5];
        for (size_t at = 0; at < 8; at++) {
            cr_assert_eq(frame[6 + at] ^ frame[2 + at % 4], "the same"[at]);
        }
    }
}

/* None is told by the one before: neither they nor the steps between them, by sum or by bits, come again. */
static void expect_unlike(const uint32_t *masks, size_t count)
{
    for (size_t a = 1; a < count; a++) {
        for (size_t b = 1; b < a; b++) {
            cr_expect_neq(masks[a], masks[b]);
            cr_expect_neq(masks[a] - masks[a - 1], masks[b] - masks[b - 1]);
            cr_expect_neq(masks[a] ^ masks[a - 1], masks[b] ^ masks[b - 1]);
        }
    }
}

Test(rfc_6455_rules, each_frame_of_a_client_has_a_mask_that_those_before_do_not_tell)
{
    static const struct cw_hooks hooks = {.on_connection = send_many};
    uint32_t masks[2 * MESSAGES];

    begin_clients();
    for (size_t i = 0; i < 2; i++) {
        struct rig_peer peer = meet_client(&hooks);

        read_masks(&peer, masks + i * MESSAGES);
        rig_peer_close(&peer);
    }
    expect_unlike(masks, 2 * MESSAGES);
    end_clients();
}

Test(rfc_6455_rules, a_client_lets_the_server_end_the_connection)
{
    static const struct cw_hooks hooks = {.on_data = rig_echo};
    uint8_t answer[8];

    begin_clients();
    struct rig_peer peer = meet_client(&hooks);
    rig_peer_send(&peer, "\x88\x02\x03\xe8", 4);
    rig_peer_receive(&peer, answer, sizeof answer);
    cr_expect_eq(answer[0], 0x88);
    cr_expect_eq(answer[1], 0x82);
    rig_peer_expect_silence(&peer, 100);
    rig_peer_shut(&peer);
    rig_peer_expect_end(&peer);
    rig_peer_close(&peer);
    end_clients();
}

/* ---- with an extension (§5.2, §9) ---- */

Test(rfc_6455_rules, bits_that_no_extension_uses_stay_reserved)
{
    static const char *const lines[] = {
        "first=a1 op a\n", "first=91 op a\n", "first=f1 op a\n",         "first=c9 op a\n",
        "first=c8 op\n",   "first=83 op\n",   "text- a\nfirst=c0 op b\n"};
    const struct cw_hooks hooks = rig_story_with_data(rig_echo);

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct cw_server *server = rig_server(&cw_websocket, NULL);

        memset(&scene, 0, sizeof scene);
        cw_websocket_configure(server, &(struct cw_websocket_options){.compress = true});
        scene.host = rig_host_start(server, &hooks, &scene.story);
        scene.peer = rig_peer_tcp(rig_host_port(scene.host, 0));
        ws_trial_ask(&scene.peer, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                  "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
        send_lines("first=c1 op \\xf2\\x48\\xcd\\xc9\\xc9\\x07\\0\n");
        send_lines(lines[i]);
        expect_rest("text Hello\nclose 1002\n");
        rig_scene_end(&scene);
    }
}

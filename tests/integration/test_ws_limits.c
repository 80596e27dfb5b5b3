/* What a peer may cost over a WebSocket: long messages, floods, readers that stop, memory for all of them. */
#include "support/leak.h"
#include "support/memory.h"
#include "support/scene.h"
#include "support/wait.h"
#include "support/ws_raw.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(ws_limits, .fini = rig_expect_no_leak, .timeout = 115);

#define MIB ((size_t)1 << 20)

enum { FRAGMENT = 64, FRAMES_AT_ONCE = 4096 };

/* The hooks of a scene get it as their `user`. */
struct limits {
    struct rig_scene scene; /* first */
    atomic_size_t bytes;    /* that were delivered, and were right */
    atomic_size_t pieces;
    atomic_uint_least64_t announced;
    atomic_int_least64_t most; /* memory in use */
    int64_t at_first;
};

static void begin(struct limits *limits, const struct cw_websocket_options *options,
                  const struct cw_server_options *server_options,
                  void (*on_data)(struct cw_conn *, const struct cw_message *, void *))
{
    struct cw_hooks hooks = rig_story_with_data(on_data);
    struct cw_server *server;

    rig_memory_count();
    memset(limits, 0, sizeof *limits);
    server = rig_server(&cw_websocket, server_options);
    rig_check(cw_websocket_configure(server, options) == CW_OK);
    limits->scene.host = rig_host_start(server, &hooks, &limits->scene.story);
    limits->scene.peer = ws_raw_open(rig_host_port(limits->scene.host, 0), "/");
    rig_scene_conn(&limits->scene);
    limits->at_first = rig_memory_bytes();
}

static void look_at_memory(struct limits *limits)
{
    int64_t now = rig_memory_bytes() - limits->at_first;

    if (now > atomic_load(&limits->most)) {
        atomic_store(&limits->most, now);
    }
}

/* Pieces of the pattern; the answer says how much of it there was. */
static void measure(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct limits *limits = user;
    size_t at = atomic_load(&limits->bytes);

    look_at_memory(limits);
    if (msg->part == CW_BEGIN) {
        atomic_store(&limits->announced, msg->total);
    }
    for (size_t i = 0; i < msg->body.len; i++) {
        rig_check(msg->body.data[i] == rig_pattern(at + i));
    }
    atomic_store(&limits->bytes, at + msg->body.len);
    atomic_fetch_add(&limits->pieces, 1);
    if (msg->part == CW_WHOLE || msg->part == CW_END) {
        cw_conn_sendf(conn, "%zu", at + msg->body.len);
    }
}

/* A binary message of so many bytes of the pattern, in fragments. */
static void send_fragments(struct rig_peer *peer, size_t total)
{
    struct rig_bytes bytes = {NULL, 0, 0};

    for (size_t at = 0; at < total;) {
        bytes.len = 0;
        for (size_t i = 0; i < FRAMES_AT_ONCE && at < total; i++, at += FRAGMENT) {
            uint8_t payload[FRAGMENT];

            for (size_t k = 0; k < FRAGMENT; k++) {
                payload[k] = rig_pattern(at + k);
            }
            ws_bare_put(&bytes, &(struct ws_bare_frame){.opcode = at == 0 ? WS_RAW_BINARY : 0,
                                                        .payload = payload,
                                                        .len = FRAGMENT,
                                                        .more = at + FRAGMENT < total});
        }
        rig_peer_send(peer, bytes.data, bytes.len);
    }
    rig_release(&bytes);
}

/* The head of a binary frame that announces so much, and nothing of it. */
static void announce(struct rig_peer *peer, uint64_t len)
{
    uint8_t head[14] = {WS_RAW_FIN | WS_RAW_BINARY, 0x80 | 127};

    for (int i = 0; i < 8; i++) {
        head[2 + i] = (uint8_t)(len >> (56 - 8 * i));
    }
    rig_peer_send(peer, head, sizeof head); /* a mask of zeros */
}

/* ---- long messages ---- */

Test(ws_limits, sixty_four_mebibytes_in_fragments_of_64_bytes_come_whole)
{
    static struct limits limits;

    begin(&limits, &(struct cw_websocket_options){.message_max_bytes = 64 * MIB}, NULL, measure);
    send_fragments(&limits.scene.peer, 64 * MIB);
    ws_raw_expect_text(&limits.scene.peer, "67108864");
    cr_expect_eq(atomic_load(&limits.pieces), 1);
    cr_log_info("64 MiB in 64-byte fragments: %lld bytes in use", (long long)limits.most);
    cr_expect_leq(atomic_load(&limits.most), (int64_t)(130 * MIB));
    rig_await(rig_memory_bytes() - limits.at_first < (int64_t)MIB);
    rig_scene_end(&limits.scene);
}

Test(ws_limits, sixty_four_mebibytes_in_fragments_stream_through_little_memory)
{
    static struct limits limits;

    begin(&limits, &(struct cw_websocket_options){.stream_above_bytes = 4096}, NULL, measure);
    send_fragments(&limits.scene.peer, 64 * MIB);
    ws_raw_expect_text(&limits.scene.peer, "67108864");
    cr_expect_eq(atomic_load(&limits.announced), CW_NO_LIMIT, "nobody has said how long it is");
    cr_log_info("64 MiB streamed: %lld bytes in use, %zu pieces", (long long)limits.most,
                (size_t)limits.pieces);
    cr_expect_leq(atomic_load(&limits.most), (int64_t)MIB);
    rig_scene_end(&limits.scene);
}

Test(ws_limits, a_message_in_fragments_is_cut_off_at_the_limit)
{
    static struct limits limits;

    begin(&limits, &(struct cw_websocket_options){.message_max_bytes = 10 * FRAGMENT}, NULL,
          measure);
    send_fragments(&limits.scene.peer, 10 * FRAGMENT);
    ws_raw_expect_text(&limits.scene.peer, "640");
    send_fragments(&limits.scene.peer, 11 * FRAGMENT);
    ws_raw_expect_close(&limits.scene.peer, 1009, "message_max_bytes");
    rig_scene_await_closed(&limits.scene, CW_ETOOBIG);
    cr_expect_eq(atomic_load(&limits.bytes), 640);
    rig_scene_end(&limits.scene);
}

Test(ws_limits, two_to_the_62_are_refused_before_a_byte_of_them_is_awaited)
{
    static struct limits limits;

    begin(&limits, &(struct cw_websocket_options){0}, NULL, measure);
    announce(&limits.scene.peer, (uint64_t)1 << 62);
    ws_raw_expect_close(&limits.scene.peer, 1009, "message_max_bytes");
    rig_scene_await_closed(&limits.scene, CW_ETOOBIG);
    cr_expect_lt(rig_memory_bytes() - limits.at_first, (int64_t)MIB);
    rig_scene_end(&limits.scene);
}

Test(ws_limits, two_to_the_62_without_a_limit_cost_what_has_come_of_them)
{
    static struct limits limits;
    uint8_t *some = rig_pattern_new(MIB);

    begin(&limits,
          &(struct cw_websocket_options){.message_max_bytes = CW_NO_LIMIT,
                                         .messages_max_bytes = 4 * MIB},
          NULL, measure);
    announce(&limits.scene.peer, (uint64_t)1 << 62);
    rig_peer_send(&limits.scene.peer, some, MIB);
    rig_await(rig_peer_has_arrived(&limits.scene.peer));
    rig_scene_run(&limits.scene, rig_pass, NULL);
    cr_expect_lt(rig_memory_bytes() - limits.at_first, (int64_t)(5 * MIB));
    for (int i = 0; i < 5 && rig_peer_try_send(&limits.scene.peer, some, MIB) >= 0; i++) {}
    ws_raw_expect_close(&limits.scene.peer, 1013, "messages_max_bytes");
    rig_scene_await_closed(&limits.scene, CW_EFULL);
    rig_await(rig_memory_bytes() - limits.at_first < (int64_t)MIB);
    free(some);
    rig_scene_end(&limits.scene);
}

Test(ws_limits, two_to_the_62_stream_as_far_as_they_come)
{
    static struct limits limits;
    uint8_t *some = rig_pattern_new(8 * MIB);

    begin(&limits, &(struct cw_websocket_options){.stream_above_bytes = 1024}, NULL, measure);
    announce(&limits.scene.peer, (uint64_t)1 << 62);
    rig_peer_send(&limits.scene.peer, some, 8 * MIB);
    rig_await(atomic_load(&limits.bytes) == 8 * MIB);
    cr_expect_eq(atomic_load(&limits.announced), (uint64_t)1 << 62);
    cr_expect_lt(atomic_load(&limits.most), (int64_t)MIB);
    rig_peer_shut(&limits.scene.peer);
    rig_scene_await_closed(&limits.scene, CW_ETRUNCATED);
    cr_expect_eq(limits.scene.story.reason.peer_code, 1006);
    free(some);
    rig_scene_end(&limits.scene);
}

Test(ws_limits, unfinished_messages_of_a_loop_are_counted_together)
{
    static struct limits limits;
    uint8_t *some = rig_pattern_new(MIB);
    struct rig_peer other;

    begin(
        &limits,
        &(struct cw_websocket_options){.message_max_bytes = MIB, .messages_max_bytes = 3 * MIB / 2},
        &(struct cw_server_options){.workers = 1}, measure);
    other = ws_raw_open(rig_host_port(limits.scene.host, 0), "/");
    announce(&limits.scene.peer, MIB);
    rig_peer_send(&limits.scene.peer, some, MIB - 1);
    rig_await(rig_memory_bytes() - limits.at_first >= (int64_t)MIB - 1);
    announce(&other, MIB);
    (void)rig_peer_try_send(&other, some, MIB - 1);
    ws_raw_expect_close(&other, 1013, "messages_max_bytes");
    rig_peer_send(&limits.scene.peer, some + MIB - 1, 1);
    ws_raw_expect_text(&limits.scene.peer, "1048576");
    free(some);
    rig_peer_close(&other);
    rig_await(atomic_load(&limits.scene.story.closed) == 1);
    rig_scene_end(&limits.scene);
}

/* ---- bytes one at a time ---- */

Test(ws_limits, frames_byte_by_byte_are_the_same_frames)
{
    static struct limits limits;
    struct rig_bytes bytes = {NULL, 0, 0};
    char long_text[301];

    memset(long_text, 'x', 300);
    long_text[300] = '\0';
    begin(&limits, &(struct cw_websocket_options){0}, NULL, rig_echo);
    ws_bare_text(&bytes, "h\xc3\xa4");
    ws_bare_put(&bytes,
                &(struct ws_bare_frame){
                    .opcode = WS_RAW_TEXT, .payload = "one \xe2\x82", .len = 6, .more = true});
    ws_bare_put(&bytes, &(struct ws_bare_frame){.opcode = WS_RAW_PING, .payload = "ping", .len = 4});
    ws_bare_put(&bytes, &(struct ws_bare_frame){.payload = "\xac two", .len = 5});
    ws_bare_text(&bytes, long_text);
    ws_bare_put(&bytes, &(struct ws_bare_frame){
                            .opcode = WS_RAW_CLOSE, .payload = "\x0f\xa1why", .len = 5});
    rig_peer_send_slowly(&limits.scene.peer, bytes.data, bytes.len, 1);
    ws_raw_expect_text(&limits.scene.peer, "h\xc3\xa4");
    ws_raw_expect(&limits.scene.peer, WS_RAW_PONG, "ping", 4);
    ws_raw_expect_text(&limits.scene.peer, "one \xe2\x82\xac two");
    ws_raw_expect_text(&limits.scene.peer, long_text);
    ws_raw_expect_close(&limits.scene.peer, 4001, "");
    rig_peer_expect_end(&limits.scene.peer);
    rig_scene_await_closed(&limits.scene, CW_BY_PEER);
    cr_expect_eq(limits.scene.story.reason.peer_code, 4001);
    cr_expect_str_eq(limits.scene.story.reason.text, "why");
    rig_release(&bytes);
    rig_scene_end(&limits.scene);
}

/* ---- pings ---- */

enum { PINGS = 100000, PINGS_AT_ONCE = 1000, PING_LEN = 6, PONG_LEN = 2 };

static struct rig_bytes many_pings(size_t count)
{
    struct rig_bytes bytes = {NULL, 0, 0};

    for (size_t i = 0; i < count; i++) {
        ws_bare_put(&bytes, &(struct ws_bare_frame){.opcode = WS_RAW_PING});
    }
    return bytes;
}

Test(ws_limits, a_flood_of_pings_ends_with_1008)
{
    static struct limits limits;
    struct rig_bytes pings = many_pings(PINGS_AT_ONCE);
    uint8_t first;
    uint8_t payload[125];
    unsigned pongs = 0;

    begin(&limits, &(struct cw_websocket_options){0}, NULL, rig_echo);
    for (int i = 0; i < PINGS / PINGS_AT_ONCE; i++) {
        if (rig_peer_try_send(&limits.scene.peer, pings.data, pings.len) < 0) {
            break;
        }
    }
    while (ws_raw_read(&limits.scene.peer, &first, payload, sizeof payload) == 0) {
        cr_assert_eq(first, WS_RAW_FIN | WS_RAW_PONG);
        pongs++;
    }
    cr_expect_eq(first, WS_RAW_FIN | WS_RAW_CLOSE);
    cr_expect_eq(payload[0] << 8 | payload[1], 1008);
    cr_expect_leq(pongs, 200, "a hundred in a second, which may have turned");
    rig_scene_await_closed(&limits.scene, CW_ERATE);
    rig_release(&pings);
    rig_scene_end(&limits.scene);
}

Test(ws_limits, a_hundred_thousand_pings_that_are_allowed_are_answered)
{
    static struct limits limits;
    struct rig_bytes pings = many_pings(PINGS_AT_ONCE);
    uint8_t back[PINGS_AT_ONCE * PONG_LEN];
    uint64_t calls = 0;

    begin(&limits, &(struct cw_websocket_options){.pings_per_second_max = CW_NO_LIMIT}, NULL,
          rig_echo);
    cr_assert_eq(pings.len, PINGS_AT_ONCE * PING_LEN);
    for (int i = 0; i < PINGS / PINGS_AT_ONCE; i++) {
        if (i == 10) {
            calls = rig_memory_calls();
        }
        rig_peer_send(&limits.scene.peer, pings.data, pings.len);
        rig_peer_receive(&limits.scene.peer, back, sizeof back);
    }
    cr_expect_leq(rig_memory_calls() - calls, 200, "%d allocations",
                  (int)(rig_memory_calls() - calls));
    ws_raw_send(&limits.scene.peer, WS_RAW_TEXT, "still here", 10);
    ws_raw_expect_text(&limits.scene.peer, "still here");
    rig_release(&pings);
    rig_scene_end(&limits.scene);
}

/* Sends what is there again and again, from its start, until the other side has stopped to read. Returns how much it was. */
static size_t send_until_stuck(struct rig_peer *peer, const struct rig_bytes *bytes, size_t most)
{
    enum { LOOKS = 30 };
    size_t sent = 0;

    for (int vain = 0; vain < LOOKS && sent < most;) {
        ptrdiff_t n = rig_peer_try_send(peer, bytes->data + sent % bytes->len,
                                        bytes->len - sent % bytes->len);

        rig_check(n >= 0);
        sent += (size_t)n;
        vain = n > 0 ? 0 : vain + 1;
        if (n == 0) {
            rig_check(rig_rest(rig_now_ms() + RIG_DEADLINE_MS));
        }
    }
    return sent;
}

/* Reads frames of at most cap bytes until what follows them has been sent. */
static void send_while_reading(struct rig_peer *peer, const uint8_t *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        ptrdiff_t n = rig_peer_try_send(peer, data + at, len - at);
        uint8_t payload[2048];
        uint8_t first;

        rig_check(n >= 0);
        at += (size_t)n;
        if (n == 0) {
            ws_raw_read(peer, &first, payload, sizeof payload);
        }
    }
}

/* With small buffers on both sides. */
static void begin_slow(struct limits *limits, const struct cw_websocket_options *options,
                       const struct cw_hooks *hooks)
{
    struct cw_server *server = cw_create_server(&cw_websocket);

    rig_memory_count();
    memset(limits, 0, sizeof *limits);
    rig_check(cw_websocket_configure(server, options) == CW_OK);
    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1",
                                                         .tcp = {.send_buffer_bytes = 16384}});
    limits->scene.host = rig_host_start(server, hooks, &limits->scene.story);
    limits->scene.peer =
        rig_peer_tcp_from(NULL, "127.0.0.1", rig_host_port(limits->scene.host, 0), 4096);
    ws_raw_upgrade(&limits->scene.peer, "/");
    rig_scene_conn(&limits->scene);
    limits->at_first = rig_memory_bytes();
}

Test(ws_limits, pongs_that_nobody_reads_are_bounded)
{
    static struct limits limits;
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct rig_bytes pings = many_pings(PINGS_AT_ONCE);
    uint8_t first;
    uint8_t payload[125];
    size_t sent;

    begin_slow(&limits, &(struct cw_websocket_options){.pings_per_second_max = CW_NO_LIMIT}, &hooks);
    sent = send_until_stuck(&limits.scene.peer, &pings, 32 * MIB);
    look_at_memory(&limits);
    cr_log_info("%zu pings before the server read no more, %lld bytes", sent / PING_LEN,
                (long long)limits.most);
    cr_expect_lt(sent, 32 * MIB, "it has stopped to read");
    cr_expect_lt(atomic_load(&limits.most), (int64_t)MIB);
    send_while_reading(&limits.scene.peer, pings.data + sent % PING_LEN, PING_LEN - sent % PING_LEN);
    pings.len = 0;
    ws_bare_text(&pings, "still here");
    send_while_reading(&limits.scene.peer, pings.data, pings.len);
    do {
        ws_raw_read(&limits.scene.peer, &first, payload, sizeof payload);
    } while (first == (WS_RAW_FIN | WS_RAW_PONG));
    cr_expect_eq(first, WS_RAW_FIN | WS_RAW_TEXT);
    rig_release(&pings);
    rig_scene_end(&limits.scene);
}

/* ---- a reader that stops ---- */

enum { BIG = 1000, BIG_HEAD = 4, BIG_MASK = 4 };

static struct rig_bytes numbered(uint32_t count)
{
    struct rig_bytes bytes = {NULL, 0, 0};
    uint32_t body[BIG / 4] = {0};

    for (uint32_t i = 0; i < count; i++) {
        body[0] = i;
        ws_bare_put(&bytes, &(struct ws_bare_frame){
                                .opcode = WS_RAW_BINARY, .payload = body, .len = sizeof body});
    }
    return bytes;
}

static void expect_number(struct rig_peer *peer, uint32_t number)
{
    uint32_t body[BIG / 4];
    uint8_t first;

    cr_assert_eq(ws_raw_read(peer, &first, body, sizeof body), BIG);
    cr_assert_eq(first, WS_RAW_FIN | WS_RAW_BINARY);
    cr_assert_eq(body[0], number, "%u came, not %u", body[0], number);
}

Test(ws_limits, who_does_not_read_its_own_echo_is_read_no_more_and_loses_nothing)
{
    enum { COUNT = 20000, FRAME = BIG_HEAD + BIG_MASK + BIG };
    static struct limits limits;
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct rig_bytes frames = numbered(COUNT);
    struct rig_peer *peer = &limits.scene.peer;
    size_t sent;
    uint32_t read = 0;

    begin_slow(&limits, &(struct cw_websocket_options){0}, &hooks);
    sent = send_until_stuck(peer, &frames, frames.len);
    look_at_memory(&limits);
    cr_log_info("%zu messages of 1000 bytes taken, %lld bytes in use", sent / FRAME,
                (long long)limits.most);
    cr_assert_lt(sent, frames.len, "it has stopped to read");
    cr_expect_lt(atomic_load(&limits.most), (int64_t)MIB);
    while (sent % FRAME != 0) {
        ptrdiff_t n = rig_peer_try_send(peer, frames.data + sent, FRAME - sent % FRAME);

        rig_check(n >= 0);
        sent += (size_t)n;
        if (n == 0) {
            expect_number(peer, read++);
        }
    }
    while (read < sent / FRAME) {
        expect_number(peer, read++);
    }
    rig_release(&frames);
    rig_scene_end(&limits.scene);
}

/* ---- a member of a room that takes too little ---- */

enum { BURST = 13, BIG_CHARGE = BIG + BIG_HEAD + 64 };

static void join(struct cw_conn *conn, void *user)
{
    rig_check(cw_room_join(conn, "r") == CW_OK);
    rig_story_on_connection(conn, user);
}

/* All in one turn of the loop, so that they wait. */
static void send_burst(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    uint32_t body[BIG / 4] = {0};
    struct cw_message msg = cw_message_of(body, sizeof body);

    for (body[0] = 1; body[0] <= BURST; body[0]++) {
        rig_check(cw_room_send(cw_loop_server(loop), "r", &msg, NULL) == CW_OK);
    }
}

/* Five messages may wait. */
static void begin_room(struct limits *limits, enum cw_slow_policy slow)
{
    struct cw_hooks hooks = rig_story_hooks;

    hooks.on_connection = join;
    begin_slow(limits, &(struct cw_websocket_options){0}, &hooks);
    rig_check(cw_room_configure(rig_host_server(limits->scene.host), "r",
                                &(struct cw_room_options){
                                    .slow = slow, .queue_max_bytes = 5 * BIG_CHARGE - 1}) == CW_OK);
    rig_scene_run(&limits->scene, send_burst, NULL);
}

static void end_room(struct limits *limits, uint32_t first, uint32_t last, uint64_t dropped)
{
    struct cw_room_stats stats;

    for (uint32_t i = first; i <= last; i++) {
        expect_number(&limits->scene.peer, i);
    }
    rig_check(cw_room_stats(rig_host_server(limits->scene.host), "r", &stats) == CW_OK);
    cr_expect_eq(stats.dropped_slow, dropped);
    ws_raw_send(&limits->scene.peer, WS_RAW_PING, "whole?", 6);
    ws_raw_expect(&limits->scene.peer, WS_RAW_PONG, "whole?", 6);
    rig_scene_end(&limits->scene);
}

Test(ws_limits, a_slow_member_loses_the_newest)
{
    static struct limits limits;

    begin_room(&limits, CW_SLOW_DROP_NEWEST);
    end_room(&limits, 1, 5, 8);
}

Test(ws_limits, a_slow_member_loses_the_oldest)
{
    static struct limits limits;

    begin_room(&limits, CW_SLOW_DROP_OLDEST);
    end_room(&limits, 9, 13, 8);
}

Test(ws_limits, a_slow_member_keeps_the_latest)
{
    static struct limits limits;

    begin_room(&limits, CW_SLOW_KEEP_LATEST);
    end_room(&limits, 11, 13, 10);
}

Test(ws_limits, a_slow_member_is_closed_with_1008)
{
    static struct limits limits;

    begin_room(&limits, CW_SLOW_CLOSE);
    for (uint32_t i = 1; i <= 5; i++) {
        expect_number(&limits.scene.peer, i);
    }
    ws_raw_expect_close(&limits.scene.peer, 1008, "too slow for room r");
    rig_scene_await_closed(&limits.scene, CW_ESLOW);
    rig_scene_end(&limits.scene);
}

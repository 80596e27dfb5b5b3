/* Attacks on WebSockets over sockets. Each test is a row of docs/security.md. */
#include "support/leak.h"
#include "support/scene.h"
#include "support/wait.h"
#include "support/ws_raw.h"

#include <causeway/causeway.h>

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void be_quiet(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(ws_breaker, .init = be_quiet, .fini = rig_expect_no_leak, .timeout = 100);

#define DEFLATE "Sec-WebSocket-Extensions: permessage-deflate\r\n"

enum { RSV1 = 0x40, CONTEXTS_HELD = 3, CONTEXT_BYTES = 45056 };

static struct rig_scene scene;

static void begin(const struct cw_websocket_options *options)
{
    struct cw_server *server =
        rig_server(&cw_websocket, &(struct cw_server_options){.workers = 1, .drain_ms = 60000});
    struct cw_hooks hooks = rig_story_with_data(rig_echo);

    memset(&scene, 0, sizeof scene);
    rig_check(cw_websocket_configure(server, options) == CW_OK);
    scene.host = rig_host_start(server, &hooks, &scene.story);
}

static struct rig_peer visit(const char *fields)
{
    struct rig_peer peer = rig_peer_tcp(rig_host_port(scene.host, 0));

    ws_raw_upgrade_with(&peer, "/", fields);
    return peer;
}

static void send_frame(struct rig_peer *peer, const struct ws_bare_frame *frame)
{
    struct rig_bytes bytes = {NULL, 0, 0};

    ws_bare_put(&bytes, frame);
    rig_peer_send(peer, bytes.data, bytes.len);
    rig_release(&bytes);
}

/* ---- half messages ---- */

/* "Hello" of RFC 7692 §7.2.3.1, in two fragments. */
static void send_half(struct rig_peer *peer)
{
    send_frame(
        peer,
        &(struct ws_bare_frame){
            .opcode = WS_RAW_TEXT, .payload = "\xf2\x48", .len = 2, .more = true, .rsv = RSV1});
    ws_raw_send(peer, WS_RAW_PING, "?", 1);
}

Test(ws_breaker, contexts_of_half_messages_are_bounded_with_the_messages)
{
    struct rig_peer holders[CONTEXTS_HELD];
    struct rig_peer another;

    begin(&(struct cw_websocket_options){.compress = true,
                                         .stream_above_bytes = 1,
                                         .messages_max_bytes =
                                             CONTEXTS_HELD * (CONTEXT_BYTES + 4096)});
    for (int i = 0; i < CONTEXTS_HELD; i++) {
        holders[i] = visit(DEFLATE);
        send_half(&holders[i]);
        ws_raw_expect(&holders[i], WS_RAW_PONG, "?", 1);
    }
    another = visit(DEFLATE);
    send_half(&another);
    ws_raw_expect_close(&another, 1013, "messages_max_bytes");
    rig_peer_close(&another);
    rig_peer_reset(&holders[0]); /* gives back what it held, as a message that is over does */
    rig_await(atomic_load(&scene.story.closed) == 2);
    send_frame(&holders[1], &(struct ws_bare_frame){.payload = "\xcd\xc9\xc9\x07", .len = 5});
    another = visit(DEFLATE);
    send_half(&another);
    ws_raw_expect(&another, WS_RAW_PONG, "?", 1);
    scene.peer = visit(DEFLATE);
    send_half(&scene.peer);
    rig_peer_close(&another);
    rig_peer_close(&holders[1]);
    rig_peer_close(&holders[2]);
    rig_await(atomic_load(&scene.story.closed) == 5);
    rig_scene_end(&scene);
}

/* ---- hooks that do everything, everywhere ---- */

enum call { IN_CONNECTION, IN_DATA, IN_PONG, IN_DRAIN, CALLS };
enum { LARGE = 10000, PONGS_MAX = 5, ROUNDS = 2 * CALLS - 1 };

static atomic_int closes_in; /* enum call */
static atomic_bool aborts;
static atomic_uint calls[CALLS];
static atomic_uint closed;

static void do_everything(struct cw_conn *conn, enum call call)
{
    atomic_fetch_add(&calls[call], 1);
    rig_check(cw_room_join(conn, "all") == CW_OK);
    (void)cw_conn_sendf(conn, "%d", (int)call);
    (void)cw_websocket_ping(conn, cw_span_text("with"));
    (void)cw_websocket_ping(conn, cw_span_of(NULL, 0));
    cw_conn_pause(conn);
    (void)cw_room_send(cw_conn_server(conn), "all",
                       &(struct cw_message){.body = cw_span_text("room"), .kind = CW_TEXT}, NULL);
    rig_check(cw_room_leave(conn, "all") == CW_OK);
    cw_conn_resume(conn);
    if (atomic_load(&closes_in) == (int)call) {
        cw_conn_close_with(conn, 4000 + (uint32_t)call, "as told");
        rig_check(cw_websocket_ping(conn, cw_span_text("late")) == CW_ECLOSED);
        rig_check(cw_conn_sendf(conn, "late") == CW_ECLOSED);
        if (atomic_load(&aborts)) { /* never in on_connection: the 101 would go with it */
            cw_conn_abort(conn);
        }
    }
}

static void all_in_connection(struct cw_conn *conn, void *user)
{
    do_everything(conn, IN_CONNECTION);
}

static void all_in_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    uint8_t *large = malloc(LARGE);
    uint64_t number = 7;

    rig_check(large);
    for (size_t i = 0; i < LARGE; i++) { /* nothing that could be compressed */
        number = number * UINT64_C(6364136223846793005) + 1442695040888963407;
        large[i] = (uint8_t)(number >> 56);
    }
    do_everything(conn, IN_DATA);
    for (int i = 0; i < 10; i++) {
        (void)cw_conn_send(conn, &(struct cw_message){.body = cw_span_of(large, LARGE)});
    }
    free(large);
}

static void all_in_drain(struct cw_conn *conn, void *user)
{
    do_everything(conn, IN_DRAIN);
}

static void all_in_pong(struct cw_conn *conn, struct cw_span payload, uint64_t round_trip_us,
                        void *user)
{
    do_everything(conn, IN_PONG);
}

static void too_late(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    rig_check(cw_websocket_ping(conn, cw_span_text("late")) == CW_ECLOSED);
    rig_check(cw_conn_sendf(conn, "late") == CW_ECLOSED);
    cw_conn_close(conn);
    cw_conn_abort(conn);
    (void)cw_room_join(conn, "all");
    atomic_fetch_add(&closed, 1);
}

/* Reads and answers what there is until it ends. Returns the code of the close frame; 0: there was none. */
static unsigned take_part(struct rig_peer *peer)
{
    static uint8_t body[LARGE];
    struct rig_bytes got = {NULL, 0, 0};
    unsigned code = 0;
    int pongs = 0;
    ptrdiff_t n;

    while ((n = rig_peer_receive_some(peer, body, sizeof body)) > 0) {
        rig_append(&got, body, (size_t)n);
        for (size_t at = 0; at + 6 < got.len; at++) { /* the first pings are answered */
            if (pongs < PONGS_MAX && memcmp(got.data + at, "\x89\x04with", 6) == 0) {
                pongs++;
                (void)rig_peer_try_send(peer, "\x8a\x84\0\0\0\0with", 10);
                memset(got.data + at, 0, 6);
            } else if (memcmp(got.data + at, "\x88\x09\x0f", 3) == 0 && at + 4 <= got.len) {
                code = (unsigned)got.data[at + 2] << 8 | got.data[at + 3];
                (void)rig_peer_try_send(peer, "\x88\x80\0\0\0\0", 6);
            }
        }
    }
    rig_release(&got);
    return code;
}

Test(ws_breaker, hooks_may_do_everything_everywhere_and_close_in_the_middle)
{
    const struct cw_websocket_options options = {
        .compress = true, .on_pong = all_in_pong, .out_high_bytes = 1000};
    const struct cw_hooks hooks = {.on_connection = all_in_connection,
                                   .on_data = all_in_data,
                                   .on_drain = all_in_drain,
                                   .on_close = too_late};
    struct cw_server *server = rig_server(&cw_websocket, NULL);
    struct rig_host *host;

    rig_check(cw_websocket_configure(server, &options) == CW_OK);
    host = rig_host_start(server, &hooks, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        struct rig_peer peer = rig_peer_tcp(rig_host_port(host, 0));
        unsigned code;

        atomic_store(&closes_in, round < CALLS ? round : round - CALLS + 1);
        atomic_store(&aborts, round >= CALLS);
        ws_raw_upgrade_with(&peer, "/", round % 2 ? DEFLATE : "");
        ws_raw_send(&peer, WS_RAW_TEXT, "hello", 5);
        code = take_part(&peer);
        cr_expect_eq(code, round >= CALLS ? 0 : 4000u + (unsigned)(round % CALLS), "round %d: %u",
                     round, code);
        rig_peer_close(&peer);
        rig_await(atomic_load(&closed) == (unsigned)round + 1);
    }
    rig_host_end(host);
    for (int call = 0; call < CALLS; call++) {
        cr_expect_gt(atomic_load(&calls[call]), 0);
    }
}

/* Attacks on WebSockets over sockets. Each test is a row of docs/security.md. */
#include "support/leak.h"
#include "support/scene.h"
#include "support/wait.h"
#include "support/ws_raw.h"

#include <causeway/causeway.h>

#include <criterion/criterion.h>
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

/* How a WebSocket ends: with a stop of the server, with a peer that does not answer, with one that is dead; over sockets. */
#include "support/leak.h"
#include "support/scene.h"
#include "support/wait.h"
#include "support/ws_raw.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(ws_ends, .fini = rig_expect_no_leak, .timeout = 60);

enum { SHORT_MS = 300, LONG_MS = 600000 };

static void begin(struct rig_scene *scene, const struct cw_websocket_options *options,
                  const struct cw_server_options *server_options)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct cw_server *server = rig_server(&cw_websocket, server_options);

    memset(scene, 0, sizeof *scene);
    rig_check(cw_websocket_configure(server, options) == CW_OK);
    scene->host = rig_host_start(server, &hooks, &scene->story);
    scene->peer = ws_raw_open(rig_host_port(scene->host, 0), "/");
    rig_scene_conn(scene);
}

static void begin_to_stop(struct rig_scene *scene)
{
    cw_server_stop(rig_host_server(scene->host));
}

static void end_stopped(struct rig_scene *scene)
{
    rig_check(rig_host_join(scene->host) == CW_OK);
    rig_peer_close(&scene->peer);
    rig_host_free(scene->host);
}

static void close_with(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    cw_conn_close_with(conn, 4001, arg);
}

static void send_rest(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    char text[1000];

    memset(text, 'x', sizeof text);
    for (int i = 0; i < 100; i++) {
        rig_check(cw_conn_send(conn, &(struct cw_message){.kind = CW_TEXT,
                                                          .body = {(uint8_t *)text, 1000}}) >= 0);
    }
}

/* ---- the server stops ---- */

Test(ws_ends, a_stop_says_1001_and_waits_for_the_answer)
{
    struct rig_scene scene;

    begin(&scene, &(struct cw_websocket_options){0},
          &(struct cw_server_options){.drain_ms = LONG_MS});
    begin_to_stop(&scene);
    ws_raw_expect_close(&scene.peer, 1001, "");
    cr_expect_eq(atomic_load(&scene.story.closed), 0, "it waits");
    cr_expect_not(rig_host_has_ended(scene.host));
    ws_raw_send(&scene.peer, WS_RAW_TEXT, "too late", 8); /* may have been on its way */
    ws_raw_send(&scene.peer, WS_RAW_CLOSE, "\x03\xe9", 2);
    rig_peer_expect_end(&scene.peer);
    rig_scene_await_closed(&scene, CW_BY_STOP);
    cr_expect_eq(scene.story.reason.peer_code, 1001);
    end_stopped(&scene);
}

Test(ws_ends, what_waits_is_sent_before_a_stop_says_1001)
{
    struct rig_scene scene;
    char body[1000];
    uint8_t first;

    begin(&scene, &(struct cw_websocket_options){0},
          &(struct cw_server_options){.drain_ms = LONG_MS});
    rig_scene_run(&scene, send_rest, NULL);
    begin_to_stop(&scene);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(ws_raw_read(&scene.peer, &first, body, sizeof body), sizeof body);
    }
    ws_raw_expect_close(&scene.peer, 1001, "");
    ws_raw_send(&scene.peer, WS_RAW_CLOSE, "\x03\xe9", 2);
    rig_peer_expect_end(&scene.peer);
    end_stopped(&scene);
}

Test(ws_ends, a_peer_that_does_not_answer_1001_is_ended_by_drain_ms)
{
    struct rig_scene scene;

    begin(&scene, &(struct cw_websocket_options){0},
          &(struct cw_server_options){.drain_ms = SHORT_MS});
    begin_to_stop(&scene);
    ws_raw_expect_close(&scene.peer, 1001, "");
    rig_peer_expect_gone(&scene.peer);
    rig_scene_await_closed(&scene, CW_BY_STOP);
    end_stopped(&scene);
}

/* ---- a close that nobody answers ---- */

Test(ws_ends, a_peer_that_does_not_answer_a_close_is_ended_by_drain_ms)
{
    struct rig_scene scene;

    begin(&scene, &(struct cw_websocket_options){0},
          &(struct cw_server_options){.drain_ms = SHORT_MS});
    rig_scene_run(&scene, close_with, "enough");
    ws_raw_expect_close(&scene.peer, 4001, "enough");
    rig_peer_expect_gone(&scene.peer);
    rig_scene_await_closed(&scene, CW_BY_APP);
    rig_scene_end(&scene);
}

Test(ws_ends, a_reason_that_is_too_long_is_cut_behind_a_character)
{
    char reason[2 * 100 + 1] = "";
    char told[2 * 61 + 1] = "";
    struct rig_scene scene;

    for (int i = 0; i < 100; i++) {
        memcpy(reason + 2 * i, "\u00e9", 2);
    }
    memcpy(told, reason, sizeof told - 1);
    begin(&scene, &(struct cw_websocket_options){0},
          &(struct cw_server_options){.drain_ms = SHORT_MS});
    rig_scene_run(&scene, close_with, reason);
    ws_raw_expect_close(&scene.peer, 4001, told);
    rig_peer_expect_gone(&scene.peer);
    rig_scene_await_closed(&scene, CW_BY_APP);
    cr_expect_str_eq(scene.story.reason.text, told);
    rig_scene_end(&scene);
}

Test(ws_ends, a_peer_that_talks_on_instead_of_answering_is_ended_by_drain_ms)
{
    struct rig_scene scene;
    struct rig_bytes bytes = {NULL, 0, 0};

    begin(&scene, &(struct cw_websocket_options){.ping_interval_ms = CW_OFF},
          &(struct cw_server_options){.drain_ms = SHORT_MS});
    rig_scene_run(&scene, close_with, "enough");
    ws_raw_expect_close(&scene.peer, 4001, "enough");
    ws_bare_text(&bytes, "and another thing");
    while (atomic_load(&scene.story.closed) == 0) {
        if (rig_peer_try_send(&scene.peer, bytes.data, bytes.len) < 0) {
            break;
        }
        rig_check(rig_rest(rig_now_ms() + RIG_DEADLINE_MS));
    }
    rig_scene_await_closed(&scene, CW_BY_APP);
    cr_expect_eq(atomic_load(&scene.story.messages), 0);
    rig_release(&bytes);
    rig_scene_end(&scene);
}

/* ---- the dead and the quiet ---- */

Test(ws_ends, a_peer_without_a_pong_is_closed_and_the_reason_told)
{
    struct rig_scene scene;
    uint8_t first;
    uint8_t payload[125];

    begin(&scene, &(struct cw_websocket_options){.ping_interval_ms = 50, .pong_timeout_ms = 100},
          NULL);
    ws_raw_read(&scene.peer, &first, payload, sizeof payload);
    cr_expect_eq(first, WS_RAW_FIN | WS_RAW_PING);
    ws_raw_expect_close(&scene.peer, 1011, "no pong within 100 ms");
    rig_scene_await_closed(&scene, CW_EDEADLINE);
    cr_expect_str_eq(scene.story.reason.text, "no pong within 100 ms");
    cr_expect_eq(atomic_load(&scene.story.errors), 1);
    rig_scene_end(&scene);
}

Test(ws_ends, a_peer_with_pongs_stays)
{
    struct rig_scene scene;
    uint8_t first;
    uint8_t payload[125];

    begin(&scene, &(struct cw_websocket_options){.ping_interval_ms = 20, .pong_timeout_ms = 10000},
          NULL);
    for (int i = 0; i < 10; i++) {
        size_t len = ws_raw_read(&scene.peer, &first, payload, sizeof payload);

        cr_assert_eq(first, WS_RAW_FIN | WS_RAW_PING);
        ws_raw_send(&scene.peer, WS_RAW_PONG, payload, len);
    }
    cr_expect_eq(atomic_load(&scene.story.closed), 0);
    rig_scene_end(&scene);
}

Test(ws_ends, an_idle_peer_is_told_1001)
{
    struct rig_scene scene;

    begin(&scene, &(struct cw_websocket_options){.ping_interval_ms = CW_OFF},
          &(struct cw_server_options){.idle_ms = 1500});
    ws_raw_expect_close(&scene.peer, 1001, "");
    rig_scene_await_closed(&scene, CW_EIDLE);
    rig_scene_end(&scene);
}

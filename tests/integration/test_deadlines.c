/* Deadlines of a connection: idle, read, write, the application's own. */
#include "support/leak.h"
#include "support/scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/protocol.h>
#include <criterion/criterion.h>
#include <string.h>

TestSuite(deadlines, .fini = rig_expect_no_leak, .timeout = 60);

/* The coarse wheel looks every tenth of a second; the rest is for busy machines. */
enum { LATE_MS = 150, BUSY_MS = 1500 };

static void expect_after(uint64_t before, uint64_t due_ms)
{
    uint64_t took = rig_now_ms() - before;

    cr_expect_geq(took, due_ms - 17, "too early: after %d of %d ms", (int)took, (int)due_ms);
    cr_expect_leq(took, due_ms + LATE_MS + BUSY_MS, "too late: after %d of %d ms", (int)took,
                  (int)due_ms);
}

/* ---- idle ---- */

Test(deadlines, an_idle_connection_is_asked_and_closed)
{
    struct cw_server_options options = {.idle_ms = 200};
    struct rig_scene scene;
    uint64_t before;

    rig_scene_begin(&scene, &cw_tcp, &options, &rig_story_hooks);
    rig_scene_conn(&scene);
    before = rig_now_ms();
    rig_peer_expect_end(&scene.peer);
    expect_after(before, 200);
    rig_scene_await_closed(&scene, CW_EIDLE);
    cr_expect_eq(atomic_load(&scene.story.idled), 1);
    cr_expect_eq(atomic_load(&scene.story.errors), 1);
    rig_scene_end(&scene);
}

static int keep_twice(struct cw_conn *conn, void *user)
{
    struct rig_story *story = user;

    return atomic_fetch_add(&story->idled, 1) < 2 ? CW_KEEP : 0;
}

Test(deadlines, a_kept_connection_is_asked_again_after_another_idle_time)
{
    struct cw_server_options options = {.idle_ms = 100};
    struct cw_hooks hooks = rig_story_hooks;
    struct rig_scene scene;
    uint64_t before;

    hooks.on_idle = keep_twice;
    rig_scene_begin(&scene, &cw_tcp, &options, &hooks);
    rig_scene_conn(&scene);
    before = rig_now_ms();
    rig_peer_expect_end(&scene.peer);
    expect_after(before, 300);
    rig_scene_await_closed(&scene, CW_EIDLE);
    cr_expect_eq(atomic_load(&scene.story.idled), 3);
    rig_scene_end(&scene);
}

Test(deadlines, bytes_in_either_direction_keep_a_connection_from_being_idle)
{
    struct cw_server_options options = {.idle_ms = 300};
    struct cw_hooks hooks = rig_story_hooks;
    struct rig_scene scene;
    uint64_t until = rig_now_ms() + 900;

    rig_scene_begin(&scene, &cw_tcp, &options, &hooks);
    for (int i = 0; rig_now_ms() < until; i++) {
        uint64_t pause = rig_now_ms() + 50;
        if (i % 2) {
            rig_peer_send_text(&scene.peer, "x");
        } else {
            rig_scene_run(&scene, rig_send_text, "y");
            rig_peer_expect(&scene.peer, "y");
        }
        while (rig_rest(pause)) {}
    }
    cr_expect_eq(atomic_load(&scene.story.idled), 0);
    cr_expect_eq(atomic_load(&scene.story.closed), 0);
    rig_scene_end(&scene);
}

static void set_idle(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    cw_conn_set_idle(conn, *(uint64_t *)arg);
}

Test(deadlines, one_connections_idle_time_can_be_changed)
{
    struct cw_server_options options = {.idle_ms = 150};
    struct rig_scene scene;
    uint64_t times[] = {CW_OFF, 250, 0};
    uint64_t before;

    rig_scene_begin(&scene, &cw_tcp, &options, &rig_story_hooks);
    rig_scene_run(&scene, set_idle, &times[0]);
    rig_peer_expect_silence(&scene.peer, 500);
    rig_scene_run(&scene, rig_send_text, "x");
    rig_peer_expect(&scene.peer, "x");
    before = rig_now_ms();
    rig_scene_run(&scene, set_idle, &times[1]);
    rig_peer_expect_end(&scene.peer);
    expect_after(before, 250);
    rig_scene_end(&scene);
    rig_scene_begin(&scene, &cw_tcp, &options, &rig_story_hooks);
    rig_scene_run(&scene, set_idle, &times[0]);
    rig_scene_run(&scene, set_idle, &times[2]);
    rig_peer_expect_end(&scene.peer);
    rig_scene_await_closed(&scene, CW_EIDLE);
    rig_scene_end(&scene);
}

static void pause_reading(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    cw_conn_pause(conn);
}

static void resume_reading(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(conn);
    cw_conn_resume(conn);
}

Test(deadlines, idle_and_read_time_stand_still_while_we_do_not_read)
{
    struct cw_server_options options = {.idle_ms = 150, .read_ms = 150};
    struct rig_scene scene;
    uint64_t before;

    rig_scene_begin(&scene, &cw_tcp, &options, &rig_story_hooks);
    rig_scene_run(&scene, pause_reading, NULL);
    rig_peer_expect_silence(&scene.peer, 500);
    before = rig_now_ms();
    rig_scene_run(&scene, resume_reading, NULL);
    rig_peer_expect_end(&scene.peer);
    expect_after(before, 150);
    rig_scene_end(&scene);
}

/* ---- read ---- */

static void send_often(struct cw_conn *conn, void *user)
{
    cw_conn_send_text(conn, ".");
}

static void start_sending(struct cw_conn *conn, void *user)
{
    rig_story_on_connection(conn, user);
    rig_check(cw_conn_after(conn, 20, 20, send_often, NULL) == CW_OK);
}

Test(deadlines, a_silent_peer_is_closed_though_it_is_sent_to)
{
    struct cw_server_options options = {.read_ms = 250};
    struct cw_hooks hooks = rig_story_hooks;
    struct rig_scene scene;
    uint64_t before;

    hooks.on_connection = start_sending;
    rig_scene_begin(&scene, &cw_tcp, &options, &hooks);
    rig_scene_conn(&scene);
    before = rig_now_ms();
    cr_expect_gt(rig_peer_receive_all(&scene.peer), 2);
    expect_after(before, 250);
    rig_scene_await_closed(&scene, CW_EREADTIME);
    rig_scene_end(&scene);
}

static void set_read(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    cw_conn_set_read(conn, *(uint64_t *)arg);
}

Test(deadlines, one_connections_read_time_can_be_changed)
{
    struct rig_scene scene;
    uint64_t read_ms = 150;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, set_read, &read_ms);
    rig_peer_expect_end(&scene.peer);
    rig_scene_await_closed(&scene, CW_EREADTIME);
    rig_scene_end(&scene);
}

/* ---- write ---- */

static void fill_queue(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    static const uint8_t bytes[100000];

    while (cw_conn_send_bytes(conn, bytes, sizeof bytes) >= 0) {}
}

Test(deadlines, a_peer_that_takes_no_byte_is_closed_after_the_write_time)
{
    struct cw_server_options options = {.write_ms = 250};
    struct rig_scene scene;
    uint64_t before;

    rig_scene_begin_slow(&scene, &cw_tcp, &options, &rig_story_hooks);
    rig_scene_run(&scene, fill_queue, NULL);
    before = rig_now_ms();
    rig_scene_await_closed(&scene, CW_EWRITETIME);
    expect_after(before, 250);
    cr_expect_eq(scene.story.report.code, CW_EWRITETIME);
    rig_scene_end(&scene);
}

Test(deadlines, a_peer_that_takes_a_little_now_and_then_is_not_closed)
{
    struct cw_server_options options = {.write_ms = 400};
    struct rig_scene scene;
    uint8_t buffer[30000];
    uint64_t until = rig_now_ms() + 1500;

    rig_scene_begin_slow(&scene, &cw_tcp, &options, &rig_story_hooks);
    rig_scene_run(&scene, fill_queue, NULL);
    while (rig_now_ms() < until) {
        uint64_t pause = rig_now_ms() + 50;
        rig_peer_receive(&scene.peer, buffer, sizeof buffer);
        while (rig_rest(pause)) {}
    }
    cr_expect_eq(atomic_load(&scene.story.closed), 0);
    rig_scene_end(&scene);
}

/* ---- the handshake of a protocol ---- */

static int not_yet(struct cw_conn *conn, void *state, void *handover)
{
    return 1;
}

static ptrdiff_t wait_for_more(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    return data[len - 1] == '!' ? (cw_conn_ready(conn), (ptrdiff_t)len) : 0;
}

static int refuse(struct cw_conn *conn, void *state, const struct cw_message *msg)
{
    return CW_EKIND;
}

static const struct cw_protocol shy = {
    .name = "shy", .open = not_yet, .on_bytes = wait_for_more, .send = refuse};

Test(deadlines, a_protocol_that_does_not_open_in_time_is_closed_and_no_hook_but_on_error_is_told)
{
    struct cw_server_options options = {.handshake_ms = 200};
    struct rig_scene scene;
    uint64_t before = rig_now_ms();

    rig_scene_begin(&scene, &shy, &options, &rig_story_hooks);
    rig_peer_send_text(&scene.peer, "trickle"); /* bytes do not buy time */
    rig_peer_expect_end(&scene.peer);
    expect_after(before, 200);
    rig_await(rig_host_conns(scene.host) == 0);
    cr_expect_eq(atomic_load(&scene.story.errors), 1);
    cr_expect_eq(scene.story.report.code, CW_EHANDSHAKETIME);
    cr_expect_eq(atomic_load(&scene.story.opened), 0);
    rig_scene_end(&scene);
}

Test(deadlines, a_protocol_that_opens_in_time_stays)
{
    struct cw_server_options options = {.handshake_ms = 200};
    struct rig_scene scene;

    rig_scene_begin(&scene, &shy, &options, &rig_story_hooks);
    rig_peer_send_text(&scene.peer, "open!");
    rig_scene_conn(&scene);
    rig_peer_expect_silence(&scene.peer, 500);
    cr_expect_eq(atomic_load(&scene.story.closed), 0);
    rig_scene_end(&scene);
}

/* A protocol that hands over to the one above at the first byte. */
static ptrdiff_t switch_to_shy(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    struct cw_service service = cw_service(&shy, &rig_story_hooks, cw_conn_service_user(conn));
    struct cw_service_ref *ref = cw_service_new(&service, NULL);

    rig_check(ref && cw_conn_switch(conn, ref, NULL, NULL) == CW_OK);
    cw_service_free(ref);
    return 1;
}

static const struct cw_protocol upgrading = {
    .name = "upgrading", .on_bytes = switch_to_shy, .send = refuse};

Test(deadlines, a_protocol_that_is_switched_to_late_has_the_whole_time_to_open)
{
    struct cw_server_options options = {.handshake_ms = 300};
    struct rig_scene scene;
    uint64_t before;

    rig_scene_begin(&scene, &upgrading, &options, &rig_story_hooks);
    rig_scene_conn(&scene);
    rig_peer_expect_silence(&scene.peer, 500);
    rig_peer_send_text(&scene.peer, "^");
    rig_await(atomic_load(&scene.story.closed) == 1);
    rig_peer_expect_silence(&scene.peer, 200);
    rig_peer_send_text(&scene.peer, "open!");
    rig_await(atomic_load(&scene.story.opened) == 2);
    rig_scene_end(&scene);
    rig_scene_begin(&scene, &upgrading, &options, &rig_story_hooks);
    rig_scene_conn(&scene);
    before = rig_now_ms();
    rig_peer_send_text(&scene.peer, "^");
    rig_peer_expect_end(&scene.peer);
    expect_after(before, 300);
    rig_await(rig_host_conns(scene.host) == 0);
    cr_expect_eq(scene.story.report.code, CW_EHANDSHAKETIME);
    rig_scene_end(&scene);
}

/* ---- timers of a connection ---- */

static void send_tick(struct cw_conn *conn, void *user)
{
    cw_conn_send_text(conn, user);
}

static void close_it(struct cw_conn *conn, void *user)
{
    cw_conn_close(conn);
}

static void start_timers(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(cw_conn_after(conn, 10, 10, send_tick, "a") == CW_OK);
    rig_check(cw_conn_after(conn, 45, 0, send_tick, "b") == CW_OK);
    rig_check(cw_conn_after(conn, 90, 0, close_it, NULL) == CW_OK);
}

Test(deadlines, timers_of_a_connection_run_once_or_again_and_again_and_end_with_it)
{
    struct rig_scene scene;
    char text[64] = "";
    size_t len = 0;
    ptrdiff_t n;
    int ticks = 0;
    int tocks = 0;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, start_timers, NULL);
    while ((n = rig_peer_receive_some(&scene.peer, text + len, sizeof text - 1 - len)) > 0) {
        len += (size_t)n;
    }
    cr_expect_eq(n, 0);
    for (size_t i = 0; i < len; i++) {
        ticks += text[i] == 'a';
        tocks += text[i] == 'b';
    }
    cr_expect_eq(tocks, 1, "%s", text);
    cr_expect(ticks >= 2 && ticks <= 9, "%s", text);
    rig_scene_await_closed(&scene, CW_BY_APP);
    rig_scene_end(&scene);
}

static void start_too_many(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    for (int i = 0; i < 16; i++) {
        rig_check(cw_conn_after(conn, 60000, 0, close_it, NULL) == CW_OK);
    }
    rig_check(cw_conn_after(conn, 60000, 0, close_it, NULL) == CW_EFULL);
}

static void start_too_late(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    cw_conn_close(conn);
    rig_check(cw_conn_after(conn, 1, 0, send_tick, "never") == CW_ECLOSED);
}

Test(deadlines, a_connection_has_sixteen_timers_and_a_closing_one_no_more)
{
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, start_too_many, NULL);
    rig_scene_run(&scene, start_too_late, NULL);
    rig_peer_expect_end(&scene.peer);
    rig_scene_end(&scene);
}

static void abort_it(struct cw_conn *conn, void *user)
{
    cw_conn_abort(conn);
}

static void start_aborting_timers(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    for (int i = 0; i < 8; i++) { /* due in the same turn */
        rig_check(cw_conn_after(conn, 5, i % 2 ? 5 : 0, abort_it, NULL) == CW_OK);
    }
}

Test(deadlines, a_timer_may_abort_its_connection_beside_others_that_are_due)
{
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, start_aborting_timers, NULL);
    rig_peer_expect_reset(&scene.peer);
    rig_scene_await_closed(&scene, CW_BY_ABORT);
    rig_scene_end(&scene);
}

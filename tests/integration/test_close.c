/* How connections end: in good order, by force, by the peer, by trouble. */
#include "support/leak.h"
#include "support/scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/protocol.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

TestSuite(close, .fini = rig_expect_no_leak, .timeout = 60);

/* ---- half-open ---- */

static void answer_at_end(struct cw_conn *conn, void *user)
{
    struct rig_story *story = user;

    atomic_fetch_add(&story->ended, 1);
    cw_conn_send_text(conn, "goodbye");
    cw_conn_close(conn);
}

Test(close, half_open_tells_the_end_and_may_still_answer)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct cw_server_options options = {.half_open = true};
    struct rig_scene scene;

    hooks.on_end = answer_at_end;
    rig_scene_begin(&scene, &cw_tcp, &options, &hooks);
    rig_peer_send_text(&scene.peer, "hello");
    rig_peer_shut(&scene.peer);
    rig_peer_expect(&scene.peer, "hellogoodbye");
    rig_peer_expect_end(&scene.peer);
    rig_scene_await_closed(&scene, CW_BY_APP);
    cr_expect_eq(atomic_load(&scene.story.ended), 1);
    rig_scene_end(&scene);
}

static void note_end(struct cw_conn *conn, void *user)
{
    struct rig_story *story = user;

    atomic_fetch_add(&story->ended, 1);
}

Test(close, half_open_stays_open_until_the_application_closes)
{
    struct cw_hooks hooks = rig_story_hooks;
    struct cw_server_options options = {.half_open = true};
    struct rig_scene scene;

    hooks.on_end = note_end;
    rig_scene_begin(&scene, &cw_tcp, &options, &hooks);
    rig_peer_shut(&scene.peer);
    rig_await(atomic_load(&scene.story.ended) == 1);
    rig_scene_run(&scene, rig_send_text, "small");
    rig_peer_expect(&scene.peer, "small");
    cr_expect_eq(atomic_load(&scene.story.closed), 0);
    cr_expect_eq(cw_close_id(rig_host_server(scene.host), rig_scene_conn(&scene)), CW_OK);
    rig_peer_expect_end(&scene.peer);
    rig_scene_await_closed(&scene, CW_BY_APP);
    rig_scene_end(&scene);
}

Test(close, without_half_open_the_peers_end_closes_after_the_answers)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct rig_scene scene;

    hooks.on_end = note_end;
    rig_scene_begin(&scene, &cw_tcp, NULL, &hooks);
    rig_peer_send_text(&scene.peer, "hello");
    rig_peer_shut(&scene.peer);
    rig_peer_expect(&scene.peer, "hello");
    rig_peer_expect_end(&scene.peer);
    rig_scene_await_closed(&scene, CW_BY_PEER);
    cr_expect_eq(atomic_load(&scene.story.ended), 0);
    rig_scene_end(&scene);
}

/* ---- closing ---- */

static void send_a_mebibyte_and_close(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    uint8_t *bytes = malloc(1 << 20);

    rig_check(bytes);
    for (size_t i = 0; i < 1 << 20; i++) {
        bytes[i] = rig_pattern(i);
    }
    rig_check(cw_conn_send_bytes(conn, bytes, 1 << 20) >= 0);
    cw_conn_close(conn);
    free(bytes);
}

Test(close, close_sends_a_mebibyte_that_was_accepted_to_a_slow_reader)
{
    struct rig_scene scene;

    rig_scene_begin_slow(&scene, &cw_tcp, &(struct cw_server_options){0}, &rig_story_hooks);
    rig_scene_run(&scene, send_a_mebibyte_and_close, NULL);
    cr_expect_eq(atomic_load(&scene.story.closed), 0);
    rig_peer_expect_pattern(&scene.peer, 1 << 20);
    rig_peer_expect_end(&scene.peer);
    rig_scene_await_closed(&scene, CW_BY_APP);
    rig_scene_end(&scene);
}

Test(close, a_peer_that_never_reads_holds_a_closing_connection_for_the_drain_time_only)
{
    struct cw_server_options options = {.drain_ms = 200};
    struct rig_scene scene;
    uint64_t before;

    rig_scene_begin_slow(&scene, &cw_tcp, &options, &rig_story_hooks);
    rig_scene_run(&scene, send_a_mebibyte_and_close, NULL);
    before = rig_now_ms();
    rig_scene_await_closed(&scene, CW_EDRAINTIME);
    cr_expect_geq(rig_now_ms() - before, 150);
    cr_expect_leq(rig_now_ms() - before, 2000);
    cr_expect_eq(atomic_load(&scene.story.errors), 1);
    cr_expect_eq(scene.story.report.code, CW_EDRAINTIME);
    rig_scene_end(&scene);
}

static ptrdiff_t endless(uint8_t *buffer, size_t cap, void *user)
{
    memset(buffer, 'x', cap);
    return (ptrdiff_t)cap;
}

static void send_much_and_close(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(cw_conn_send_source(conn, 64 << 20, endless, NULL, NULL) == CW_OK);
    cw_conn_close(conn);
}

/* Once the kernel's buffer has grown, it takes a megabyte of room before the socket is writable again. */
Test(close, a_peer_that_takes_its_last_bytes_slowly_gets_all_of_them)
{
    struct cw_server_options options = {.drain_ms = 300};
    struct rig_scene scene;
    uint8_t *buffer = malloc(1 << 20);
    size_t got = 24 << 20;
    int window = 1 << 17; /* or this side's kernel would not tell of a few bytes taken */

    cr_assert_not_null(buffer);
    rig_scene_begin(&scene, &cw_tcp, &options, &rig_story_hooks);
    setsockopt(scene.peer.fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
    rig_scene_run(&scene, send_much_and_close, NULL);
    for (int i = 0; i < 24; i++) {
        rig_peer_receive(&scene.peer, buffer, 1 << 20);
    }
    for (uint64_t until = rig_now_ms() + 2000; rig_now_ms() < until;) {
        rig_peer_receive(&scene.peer, buffer, 20000);
        got += 20000;
        poll(NULL, 0, 20);
    }
    cr_expect_eq(got + rig_peer_receive_all(&scene.peer), 64 << 20);
    rig_scene_await_closed(&scene, CW_BY_APP);
    free(buffer);
    rig_scene_end(&scene);
}

Test(close, a_stop_is_bounded_by_the_drain_time_too)
{
    struct cw_server_options options = {.drain_ms = 200};
    struct rig_scene scene;
    uint64_t before;

    rig_scene_begin_slow(&scene, &cw_tcp, &options, &rig_story_hooks);
    rig_scene_run(&scene, send_a_mebibyte_and_close, NULL);
    before = rig_now_ms();
    cr_expect_eq(rig_host_stop(scene.host), CW_OK);
    cr_expect_leq(rig_now_ms() - before, 2000);
    cr_expect_eq(atomic_load(&scene.story.closed), 1);
    rig_peer_close(&scene.peer);
    rig_host_free(scene.host);
}

static void send_and_abort(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(conn);
    cw_conn_send_text(conn, "never");
    cw_conn_abort(conn);
}

Test(close, abort_resets_and_discards)
{
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, send_and_abort, NULL);
    rig_peer_expect_reset(&scene.peer);
    rig_scene_await_closed(&scene, CW_BY_ABORT);
    cr_expect_eq(atomic_load(&scene.story.errors), 0);
    rig_scene_end(&scene);
}

/* Which hook closes, and how. */
enum where { AT_CONNECTION, AT_DATA, AT_DRAIN, AT_END, AT_IDLE, AT_CLOSE, AT_ERROR, AT_MOMENTS };

struct closer {
    struct rig_story story;
    enum where where;
    bool abort;
};

static void close_at(struct cw_conn *conn, struct closer *closer, enum where where)
{
    if (closer->where == where && conn) {
        if (closer->abort) {
            cw_conn_abort(conn);
        } else {
            cw_conn_send_text(conn, "bye");
            cw_conn_close(conn);
        }
        cw_conn_close(conn); /* once more changes nothing */
    }
}

static void closer_on_connection(struct cw_conn *conn, void *user)
{
    rig_story_on_connection(conn, user);
    close_at(conn, user, AT_CONNECTION);
}

static void closer_on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct closer *closer = user;

    rig_story_on_data(conn, msg, user);
    close_at(conn, closer, AT_DATA);
    if (closer->where == AT_DRAIN) {
        static const uint8_t line[8000];
        while (cw_conn_send_bytes(conn, line, sizeof line) == 0) {}
    } else if (closer->where == AT_ERROR || closer->where == AT_CLOSE) {
        cw_conn_close(conn);
    }
}

static void closer_on_drain(struct cw_conn *conn, void *user)
{
    close_at(conn, user, AT_DRAIN);
}

static void closer_on_end(struct cw_conn *conn, void *user)
{
    close_at(conn, user, AT_END);
    cw_conn_close(conn);
}

static int closer_on_idle(struct cw_conn *conn, void *user)
{
    struct closer *closer = user;

    close_at(conn, user, AT_IDLE);
    return closer->where == AT_IDLE ? CW_KEEP : 0;
}

static void closer_on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    close_at(conn, user, AT_CLOSE);
    rig_story_on_close(conn, reason, user);
}

static void closer_on_error(struct cw_server *server, const struct cw_error_report *report,
                            void *user)
{
    close_at(report->conn, user, AT_ERROR);
    rig_story_hooks.on_error(server, report, user);
}

static const struct cw_hooks closer_hooks = {
    .on_connection = closer_on_connection,
    .on_data = closer_on_data,
    .on_drain = closer_on_drain,
    .on_end = closer_on_end,
    .on_idle = closer_on_idle,
    .on_close = closer_on_close,
    .on_error = closer_on_error,
};

static void close_in(enum where where, bool abort)
{
    struct cw_server_options options = {.half_open = true,
                                        .idle_ms = where == AT_IDLE ? 50 : CW_OFF};
    struct closer closer = {.where = where, .abort = abort};
    struct rig_host *host = rig_host_start(rig_server(&cw_line, &options), &closer_hooks, &closer);
    struct rig_peer peer = rig_peer_tcp(rig_host_port(host, 0));
    char buffer[65536];

    if (where == AT_ERROR) {
        rig_await(atomic_load(&closer.story.opened) == 1);
        rig_peer_send_text(&peer, "half a line");
        rig_peer_reset(&peer);
    } else if (where != AT_CONNECTION && where != AT_IDLE) {
        rig_peer_send_text(&peer, "a line\n");
        if (where == AT_END || where == AT_CLOSE) {
            (void)shutdown(peer.fd, SHUT_WR); /* the server may be faster */
        }
    }
    if (where != AT_ERROR) {
        while (rig_peer_receive_some(&peer, buffer, sizeof buffer) > 0) {}
    }
    rig_await(atomic_load(&closer.story.closed) == 1);
    rig_peer_close(&peer);
    rig_await(rig_host_conns(host) == 0);
    rig_host_end(host);
    cr_expect_eq(atomic_load(&closer.story.opened), 1);
    cr_expect_eq(atomic_load(&closer.story.closed), 1, "hook %d", (int)where);
    if (where < AT_CLOSE) {
        cr_expect_eq(closer.story.reason.code, abort ? CW_BY_ABORT : CW_BY_APP, "hook %d: %s",
                     (int)where, cw_error_name(closer.story.reason.code));
    }
}

Test(close, close_inside_any_hook_is_deferred_and_reported_once)
{
    for (int where = 0; where < AT_MOMENTS; where++) {
        close_in((enum where)where, false);
    }
}

Test(close, abort_inside_any_hook_is_deferred_and_reported_once)
{
    for (int where = 0; where < AT_MOMENTS; where++) {
        close_in((enum where)where, true);
    }
}

static void say_goodbye(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    rig_story_on_data(conn, msg, user);
    cw_conn_send_text(conn, "goodbye");
    cw_conn_close(conn);
}

Test(close, close_with_unread_input_does_not_destroy_the_last_bytes)
{
    struct cw_hooks hooks = rig_story_with_data(say_goodbye);

    for (int i = 0; i < 10; i++) {
        struct rig_scene scene;
        uint8_t *bytes = rig_pattern_new(400000);
        size_t sent = 0;

        rig_scene_begin(&scene, &cw_line, NULL, &hooks);
        rig_scene_conn(&scene);
        bytes[0] = '\n'; /* the first line is all the server looks at */
        while (sent < 400000) {
            ptrdiff_t n = rig_peer_try_send(&scene.peer, bytes + sent, 400000 - sent);
            cr_assert_geq(n, 0, "reset after %zu bytes", sent);
            sent += (size_t)n;
            if (n == 0) {
                break;
            }
        }
        rig_peer_expect(&scene.peer, "goodbye\n");
        rig_peer_expect_end(&scene.peer);
        rig_scene_await_closed(&scene, CW_BY_APP);
        free(bytes);
        rig_scene_end(&scene);
    }
}

Test(close, a_peer_that_broke_a_rule_and_goes_on_sending_still_gets_the_last_bytes)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct rig_scene scene;
    uint8_t *bytes = rig_pattern_new(200000);
    char back[16];

    rig_scene_begin(&scene, &cw_framed, NULL, &hooks);
    rig_peer_send(&scene.peer, "\0\0\0\5hello\377\377\377\377", 13);
    for (size_t sent = 0; sent < 200000;) {
        ptrdiff_t n = rig_peer_try_send(&scene.peer, bytes + sent, 200000 - sent);
        cr_assert_geq(n, 0);
        sent += (size_t)n;
    }
    cr_expect_eq(rig_peer_receive_frame(&scene.peer, back, sizeof back), 5);
    rig_peer_expect_end(&scene.peer);
    rig_scene_await_closed(&scene, CW_ETOOBIG);
    free(bytes);
    rig_scene_end(&scene);
}

static void abort_at_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    cw_conn_abort(conn);
    rig_story_on_close(conn, reason, user);
}

Test(close, an_abort_inside_on_close_ends_also_what_waits_for_the_peers_end)
{
    struct cw_hooks hooks = rig_story_hooks;
    struct rig_scene scene;

    hooks.on_close = abort_at_close;
    rig_scene_begin(&scene, &cw_framed, NULL, &hooks);
    rig_peer_send(&scene.peer, "\377\377\377\377", 4);
    rig_scene_await_closed(&scene, CW_ETOOBIG);
    rig_await(rig_host_conns(scene.host) == 0);
    rig_scene_end(&scene);
}

static void close_with_text(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(conn);
    cw_conn_close_with(conn, 0, arg);
}

Test(close, closing_with_a_text_hands_it_to_on_close)
{
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, close_with_text, "no seat left");
    rig_peer_expect_end(&scene.peer);
    rig_scene_await_closed(&scene, CW_BY_APP);
    cr_expect_str_eq(scene.story.reason.text, "no seat left");
    rig_scene_end(&scene);
}

/* ---- ends by the peer and the network ---- */

Test(close, a_reset_arrives_as_a_reset)
{
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_conn(&scene);
    rig_peer_reset(&scene.peer);
    rig_scene_await_closed(&scene, CW_ERESET);
    cr_expect_eq(atomic_load(&scene.story.errors), 1);
    cr_expect_eq(scene.story.report.code, CW_ERESET);
    cr_expect_eq(scene.story.report.os_errno, ECONNRESET);
    cr_expect_eq(scene.story.reason.os_errno, ECONNRESET);
    cr_expect_eq(scene.story.report.conn_id, atomic_load(&scene.story.conn_id));
    cr_expect_eq(scene.story.report_address.family, CW_IPV4);
    cr_expect_str_eq(scene.story.report.text, "tcp: the peer reset the connection");
    rig_scene_end(&scene);
}

Test(close, a_truncated_frame_arrives_as_truncated)
{
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_framed, NULL, &rig_story_hooks);
    rig_peer_send(&scene.peer, "\0\0\0\5hell", 8);
    rig_peer_shut(&scene.peer);
    rig_peer_expect_end(&scene.peer);
    rig_scene_await_closed(&scene, CW_ETRUNCATED);
    cr_expect_eq(atomic_load(&scene.story.errors), 1);
    cr_expect_eq(scene.story.report.code, CW_ETRUNCATED);
    cr_expect_eq(atomic_load(&scene.story.messages), 0);
    rig_scene_end(&scene);
}

/* A protocol that is never content. */
static ptrdiff_t want_more(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    return 0;
}

static int send_nothing(struct cw_conn *conn, void *state, const struct cw_message *msg)
{
    return CW_EKIND;
}

static const struct cw_protocol greedy = {
    .name = "greedy", .on_bytes = want_more, .send = send_nothing};

Test(close, the_input_limit_is_told_with_its_name)
{
    struct cw_server_options options = {.in_max_bytes = 1000};
    struct rig_scene scene;
    uint8_t bytes[4000] = {0};

    rig_scene_begin(&scene, &greedy, &options, &rig_story_hooks);
    rig_peer_send(&scene.peer, bytes, 999);
    rig_scene_conn(&scene);
    cr_expect_eq(atomic_load(&scene.story.closed), 0);
    rig_peer_send(&scene.peer, bytes, sizeof bytes);
    rig_peer_expect_end(&scene.peer);
    rig_scene_await_closed(&scene, CW_ETOOBIG);
    cr_expect_not_null(strstr(scene.story.reason.text, "in_max_bytes is 1000"), "%s",
                       scene.story.reason.text);
    rig_scene_end(&scene);
}

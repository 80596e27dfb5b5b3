/* One connection over a real socket: what comes and goes, and how fast. */
#include "support/leak.h"
#include "support/scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/middleware.h>
#include <causeway/protocol.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(conn, .fini = rig_expect_no_leak, .timeout = 60);

/* ---- echo ---- */

Test(conn, tcp_echoes)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct rig_scene scene;
    uint8_t *bytes = rig_pattern_new(300000);

    rig_scene_begin(&scene, &cw_tcp, NULL, &hooks);
    rig_peer_send_text(&scene.peer, "hello");
    rig_peer_expect(&scene.peer, "hello");
    rig_peer_send_slowly(&scene.peer, "slowly", 6, 1);
    rig_peer_expect(&scene.peer, "slowly");
    for (size_t at = 0; at < 300000; at += 60000) {
        uint8_t back[60000];
        rig_peer_send(&scene.peer, bytes + at, 60000);
        rig_peer_receive(&scene.peer, back, 60000);
        cr_expect_eq(memcmp(back, bytes + at, 60000), 0);
    }
    free(bytes);
    rig_scene_end(&scene);
    cr_expect_eq(scene.story.reason.code, CW_BY_PEER);
}

Test(conn, framed_echoes_up_to_its_limit_and_not_beyond)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct rig_scene scene;
    uint8_t *bytes = rig_pattern_new(65537);
    uint8_t *back = malloc(65536);
    const size_t sizes[] = {0, 1, 5, 4092, 4096, 65535, 65536};

    cr_assert_not_null(back);
    rig_scene_begin(&scene, &cw_framed, NULL, &hooks);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        rig_peer_send_frame(&scene.peer, bytes, sizes[i]);
        cr_expect_eq(rig_peer_receive_frame(&scene.peer, back, 65536), sizes[i]);
        cr_expect_eq(memcmp(back, bytes, sizes[i]), 0);
    }
    rig_peer_send(&scene.peer, "\0\1\0\1", 4); /* judged before its body is there */
    rig_peer_expect_end(&scene.peer);
    rig_scene_await_closed(&scene, CW_ETOOBIG);
    cr_expect_eq(atomic_load(&scene.story.errors), 1);
    cr_expect_eq(scene.story.report.code, CW_ETOOBIG);
    rig_scene_end(&scene);
    free(bytes);
    free(back);
}

Test(conn, frames_that_come_together_are_answered_together)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct rig_scene scene;
    uint8_t *bytes = malloc(1000 * 14);
    uint8_t *back = malloc(1000 * 14);

    cr_assert_not_null(bytes);
    cr_assert_not_null(back);
    for (int i = 0; i < 1000; i++) {
        memcpy(bytes + i * 14, "\0\0\0\12", 4);
        memset(bytes + i * 14 + 4, 'a' + i % 26, 10);
    }
    rig_scene_begin(&scene, &cw_framed, NULL, &hooks);
    rig_peer_send(&scene.peer, bytes, 1000 * 14);
    rig_peer_receive(&scene.peer, back, 1000 * 14);
    cr_expect_eq(memcmp(back, bytes, 1000 * 14), 0);
    rig_peer_send_slowly(&scene.peer, bytes, 3 * 14, 1);
    rig_peer_receive(&scene.peer, back, 3 * 14);
    cr_expect_eq(memcmp(back, bytes, 3 * 14), 0);
    rig_scene_end(&scene);
    free(bytes);
    free(back);
}

Test(conn, line_echoes)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_line, NULL, &hooks);
    rig_peer_send_text(&scene.peer, "one\r\ntwo\n\nfour\n");
    rig_peer_expect(&scene.peer, "one\ntwo\n\nfour\n");
    rig_peer_send_slowly(&scene.peer, "slowly\n", 7, 1);
    rig_peer_expect(&scene.peer, "slowly\n");
    rig_scene_end(&scene);
}

/* ---- what send answers ---- */

struct answers {
    int first_one;  /* how many sends answered 0 before the first 1 */
    int first_full; /* … and how many were queued before CW_EFULL */
    int after_close;
    int too_big;
    int kind;
    uint64_t queued_bytes;
};

enum { PIECE = 1000 };

static void send_until_full(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    static uint8_t piece[PIECE];
    struct answers *answers = arg;
    struct cw_conn_stats stats;
    int answer = 0;
    int count = 0;

    memset(piece, 'x', sizeof piece);
    answers->first_one = -1;
    while ((answer = cw_conn_send_bytes(conn, piece, sizeof piece)) >= 0 && count < 1000000) {
        if (answer == 1 && answers->first_one < 0) {
            answers->first_one = count;
        }
        count++;
    }
    rig_check(answer == CW_EFULL);
    answers->first_full = count;
    cw_conn_stats(conn, &stats);
    answers->queued_bytes = stats.queued_bytes;
}

Test(conn, send_answers_0_then_1_then_full_and_drain_follows_each)
{
    struct cw_server_options options = {
        .out_high_bytes = 20000, .out_low_bytes = 5000, .out_max_bytes = 50000};
    struct rig_scene scene;
    struct answers answers;

    rig_scene_begin(&scene, &cw_tcp, &options, &rig_story_hooks);
    /* Nothing leaves inside a turn, so the figures are exact. */
    rig_scene_run(&scene, send_until_full, &answers);
    cr_expect_eq(answers.first_one, 20, "the 21st is the first above the mark: %d",
                 answers.first_one);
    cr_expect_eq(answers.first_full, 50);
    cr_expect_eq(answers.queued_bytes, 50000);
    rig_await(atomic_load(&scene.story.drained) == 1);
    rig_scene_run(&scene, send_until_full, &answers);
    rig_await(atomic_load(&scene.story.drained) == 2);
    rig_peer_close(&scene.peer);
    rig_scene_await_closed(&scene, CW_ERESET);
    rig_scene_end(&scene);
}

static void send_one(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    atomic_int *answer = arg;

    atomic_store(answer, cw_conn_send_text(conn, "small"));
}

Test(conn, below_the_mark_no_drain_is_told)
{
    struct rig_scene scene;
    atomic_int answer = -1;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, send_one, &answer);
    cr_expect_eq(atomic_load(&answer), 0);
    rig_peer_expect(&scene.peer, "small");
    rig_scene_run(&scene, send_one, &answer);
    rig_peer_expect(&scene.peer, "small");
    cr_expect_eq(atomic_load(&scene.story.drained), 0);
    rig_scene_end(&scene);
}

static void note_queued(struct cw_conn *conn, void *user)
{
    struct rig_story *story = user;
    struct cw_conn_stats stats;

    cw_conn_stats(conn, &stats);
    atomic_store(&story->answer, (int)stats.queued_bytes);
    atomic_fetch_add(&story->drained, 1);
}

Test(conn, drain_is_told_once_and_not_before_the_queue_has_fallen_to_the_low_mark)
{
    struct cw_server_options options = {
        .out_high_bytes = 500000, .out_low_bytes = 100000, .out_max_bytes = 1000000};
    struct cw_hooks hooks = rig_story_hooks;
    struct rig_scene scene;
    struct answers answers;

    hooks.on_drain = note_queued;
    rig_scene_begin_slow(&scene, &cw_tcp, &options, &hooks);
    rig_scene_run(&scene, send_until_full, &answers);
    for (size_t got = 0; got < 1000000; got += 1000) {
        char buffer[1000];
        if (got == 400000) {
            cr_expect_eq(atomic_load(&scene.story.drained), 0);
        }
        rig_peer_receive(&scene.peer, buffer, sizeof buffer);
    }
    cr_expect_eq(atomic_load(&scene.story.drained), 1);
    cr_expect_leq(atomic_load(&scene.story.answer), 100000);
    rig_scene_end(&scene);
}

static void send_too_big(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct answers *answers = arg;
    uint8_t *bytes = calloc(1, 70000);

    rig_check(bytes);
    rig_check(cw_conn_send_bytes(conn, bytes, 50000) >= 0);
    answers->too_big = cw_conn_send_bytes(conn, bytes, 50001);
    cw_conn_abort(conn);
    answers->after_close = cw_conn_send_bytes(conn, bytes, 1);
    free(bytes);
}

/* More than out_high in small pieces, and then one so large that it takes them along to the stream at once. */
static void answer_small_then_large(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    static const uint8_t bytes[20000];

    rig_story_on_data(conn, msg, user);
    rig_check(cw_conn_send_bytes(conn, bytes, 3000) == 0);
    rig_check(cw_conn_send_bytes(conn, bytes, 3000) == 1);
    rig_check(cw_conn_send_bytes(conn, bytes, sizeof bytes) >= 0);
}

static void expect_read_again_after_large(bool read_while_full)
{
    struct cw_server_options options = {.out_high_bytes = 4000, .read_while_full = read_while_full};
    struct cw_hooks hooks = rig_story_with_data(answer_small_then_large);
    struct rig_scene scene;
    char buffer[26000];

    rig_scene_begin(&scene, &cw_tcp, &options, &hooks);
    for (unsigned i = 1; i <= 3; i++) {
        rig_peer_send_text(&scene.peer, "?");
        rig_await(atomic_load(&scene.story.messages) == i);
        rig_peer_receive(&scene.peer, buffer, sizeof buffer);
        rig_await(atomic_load(&scene.story.drained) == i);
    }
    rig_scene_end(&scene);
}

Test(conn, what_left_inside_of_a_hook_is_drained_and_the_peer_is_heard_again)
{
    expect_read_again_after_large(false);
    expect_read_again_after_large(true);
}

Test(conn, send_says_what_can_never_fit_and_what_is_closed)
{
    struct cw_server_options options = {.out_high_bytes = 20000, .out_max_bytes = 50000};
    struct rig_scene scene;
    struct answers answers = {0};

    rig_scene_begin(&scene, &cw_tcp, &options, &rig_story_hooks);
    rig_scene_run(&scene, send_too_big, &answers);
    cr_expect_eq(answers.too_big, CW_ETOOBIG);
    cr_expect_eq(answers.after_close, CW_ECLOSED);
    rig_scene_await_closed(&scene, CW_BY_ABORT);
    rig_scene_end(&scene);
}

static void send_wrong_kinds(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct answers *answers = arg;

    answers->kind = cw_conn_send_text(conn, "two\nlines");
    answers->too_big = cw_conn_sendf(conn, "%9000d", 1);
    rig_check(cw_conn_send_text(conn, "one line") == 0);
    cw_conn_close(conn);
    answers->after_close = cw_conn_send_text(conn, "late");
}

Test(conn, a_protocol_refuses_what_it_cannot_carry_and_the_connection_lives)
{
    struct rig_scene scene;
    struct answers answers = {0};

    rig_scene_begin(&scene, &cw_line, NULL, &rig_story_hooks);
    rig_scene_run(&scene, send_wrong_kinds, &answers);
    cr_expect_eq(answers.kind, CW_EKIND);
    cr_expect_eq(answers.too_big, CW_ETOOBIG);
    cr_expect_eq(answers.after_close, CW_ECLOSED);
    rig_peer_expect(&scene.peer, "one line\n");
    rig_peer_expect_end(&scene.peer);
    rig_scene_await_closed(&scene, CW_BY_APP);
    rig_scene_end(&scene);
}

/* ---- backpressure ---- */

Test(conn, a_connection_whose_answers_nobody_reads_is_read_no_more)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct cw_server_options options = {.out_high_bytes = 10000, .write_ms = CW_OFF};
    struct rig_scene scene;
    struct cw_server_stats stats;
    uint8_t *bytes = rig_pattern_new(65536);
    size_t sent = 0;
    uint64_t quiet_since = rig_now_ms();

    rig_scene_begin(&scene, &cw_tcp, &options, &hooks);
    while (rig_now_ms() - quiet_since < 300) {
        ptrdiff_t n = rig_peer_try_send(&scene.peer, bytes + sent % 65536, 65536 - sent % 65536);
        cr_assert_geq(n, 0);
        if (n > 0) {
            sent += (size_t)n;
            quiet_since = rig_now_ms();
        } else {
            rig_rest(0);
        }
    }
    cw_server_stats(rig_host_server(scene.host), &stats);
    cr_expect_lt(stats.bytes_in, sent);
    cr_expect_leq(stats.bytes_in - stats.bytes_out, 10000 + 2 * 69632,
                  "what waits: the mark and a read or two");
    /* All of it arrives, in order, once the peer reads. */
    for (size_t got = 0; got < sent;) {
        uint8_t back[65536];
        ptrdiff_t n = rig_peer_receive_some(&scene.peer, back, sizeof back);
        cr_assert_gt(n, 0);
        for (ptrdiff_t i = 0; i < n; i++) {
            cr_assert_eq(back[i], rig_pattern((got + (size_t)i) % 65536), "byte %zu",
                         got + (size_t)i);
        }
        got += (size_t)n;
    }
    free(bytes);
    rig_scene_end(&scene);
}

/* ---- nothing to send ---- */

static void write_nothing(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct cw_payload *empty = cw_payload_new(NULL, 0);

    rig_check(conn && empty);
    rig_check(cw_conn_write_payload(conn, (struct cw_span){0}, empty) == CW_OK);
    cw_payload_drop(empty);
}

Test(conn, a_payload_without_a_byte_is_nothing_to_write)
{
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, write_nothing, NULL);
    rig_scene_run(&scene, rig_send_text, "still well");
    rig_peer_expect(&scene.peer, "still well");
    rig_scene_end(&scene);
}

/* ---- pause and resume ---- */

struct gate {
    struct rig_story story;
    char seen[256];
    size_t len;
    atomic_uint count;
    bool pause_each;
    uint64_t pause_ms;
};

static void note(struct gate *gate, const struct cw_message *msg)
{
    rig_check(gate->len + msg->body.len < sizeof gate->seen);
    memcpy(gate->seen + gate->len, msg->body.data, msg->body.len);
    gate->len += msg->body.len;
    atomic_fetch_add(&gate->count, 1);
}

static void note_and_pause(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct gate *gate = user;

    note(gate, msg);
    if (gate->pause_each) {
        cw_conn_pause(conn);
    } else if (gate->pause_ms > 0) {
        rig_check(cw_conn_pause_for(conn, gate->pause_ms) == CW_OK);
    }
}

static void resume(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(conn);
    cw_conn_resume(conn);
}

static void pause_twice(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(conn);
    cw_conn_pause(conn);
    cw_conn_pause(conn);
}

static void begin_gate(struct gate *gate, struct rig_host **host, struct rig_peer *peer)
{
    struct cw_hooks hooks = rig_story_hooks;

    hooks.on_data = note_and_pause;
    *host = rig_host_start(rig_server(&cw_line, NULL), &hooks, gate);
    *peer = rig_peer_tcp(rig_host_port(*host, 0));
    rig_await(atomic_load(&gate->story.opened) == 1);
}

Test(conn, a_pause_after_each_message_delivers_one_per_resume_in_order)
{
    static struct gate gate = {.pause_each = true};
    struct rig_host *host;
    struct rig_peer peer;

    begin_gate(&gate, &host, &peer);
    rig_peer_send_text(&peer, "a\nb\nc\nd\n");
    for (unsigned i = 1; i <= 4; i++) {
        rig_await(atomic_load(&gate.count) == i);
        if (i == 2) {
            rig_peer_send_text(&peer, "e\nf\n");
        }
        rig_host_run(host, atomic_load(&gate.story.conn_id), resume, NULL);
    }
    rig_await(atomic_load(&gate.count) == 5);
    rig_host_run(host, atomic_load(&gate.story.conn_id), resume, NULL);
    rig_await(atomic_load(&gate.count) == 6);
    rig_peer_close(&peer);
    rig_host_end(host);
    gate.seen[gate.len] = '\0';
    cr_expect_str_eq(gate.seen, "abcdef");
    cr_expect_eq(atomic_load(&gate.story.closed), 1);
}

Test(conn, nothing_comes_while_paused_and_one_resume_undoes_two_pauses)
{
    static struct gate gate;
    struct rig_host *host;
    struct rig_peer peer;

    begin_gate(&gate, &host, &peer);
    rig_host_run(host, atomic_load(&gate.story.conn_id), pause_twice, NULL);
    rig_peer_send_slowly(&peer, "a\nb\n", 4, 4);
    for (int i = 0; i < 20; i++) { /* twenty turns of the loop */
        rig_host_run(host, 0, rig_pass, NULL);
    }
    cr_expect_eq(atomic_load(&gate.count), 0);
    rig_host_run(host, atomic_load(&gate.story.conn_id), resume, NULL);
    rig_await(atomic_load(&gate.count) == 2);
    rig_peer_close(&peer);
    rig_host_end(host);
}

Test(conn, pause_for_goes_on_by_itself)
{
    static struct gate gate = {.pause_ms = 60};
    struct rig_host *host;
    struct rig_peer peer;
    uint64_t before = rig_now_ms();

    begin_gate(&gate, &host, &peer);
    rig_peer_send_text(&peer, "a\nb\nc\nd\n");
    rig_await(atomic_load(&gate.count) == 4);
    cr_expect_geq(rig_now_ms() - before, 180 - 10);
    rig_peer_close(&peer);
    rig_await(atomic_load(&gate.story.closed) == 1);
    rig_host_end(host);
    gate.seen[gate.len] = '\0';
    cr_expect_str_eq(gate.seen, "abcd");
}

static void pause_long_then_short(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(conn);
    rig_check(cw_conn_pause_for(conn, 300) == CW_OK);
    rig_check(cw_conn_pause_for(conn, 20) == CW_OK);
}

Test(conn, a_shorter_pause_for_does_not_cut_a_longer_one_short)
{
    static struct gate gate;
    struct rig_host *host;
    struct rig_peer peer;
    uint64_t before = rig_now_ms();

    begin_gate(&gate, &host, &peer);
    rig_await(atomic_load(&gate.story.opened) == 1);
    rig_host_run(host, atomic_load(&gate.story.conn_id), pause_long_then_short, NULL);
    rig_peer_send_text(&peer, "a\n");
    rig_await(atomic_load(&gate.count) == 1);
    cr_expect_geq(rig_now_ms() - before, 300 - 10);
    rig_peer_close(&peer);
    rig_host_end(host);
}

Test(conn, a_pause_by_the_application_outlives_pause_for)
{
    static struct gate gate = {.pause_ms = 20};
    struct rig_host *host;
    struct rig_peer peer;
    uint64_t until;

    begin_gate(&gate, &host, &peer);
    rig_peer_send_text(&peer, "a\n");
    rig_await(atomic_load(&gate.count) == 1);
    rig_host_run(host, atomic_load(&gate.story.conn_id), pause_twice, NULL);
    rig_peer_send_text(&peer, "b\n");
    until = rig_now_ms() + 100;
    while (rig_rest(until)) {}
    cr_expect_eq(atomic_load(&gate.count), 1);
    rig_host_run(host, atomic_load(&gate.story.conn_id), resume, NULL);
    rig_await(atomic_load(&gate.count) == 2);
    rig_peer_close(&peer);
    rig_host_end(host);
}

Test(conn, what_came_before_the_peers_end_is_delivered_after_a_resume)
{
    static struct gate gate;
    struct rig_host *host;
    struct rig_peer peer;

    begin_gate(&gate, &host, &peer);
    rig_host_run(host, atomic_load(&gate.story.conn_id), pause_twice, NULL);
    rig_peer_send_text(&peer, "a\nb\n");
    rig_peer_shut(&peer);
    rig_host_run(host, atomic_load(&gate.story.conn_id), resume, NULL);
    rig_peer_expect_end(&peer);
    rig_await(atomic_load(&gate.story.closed) == 1);
    cr_expect_eq(atomic_load(&gate.count), 2);
    cr_expect_eq(gate.story.reason.code, CW_BY_PEER);
    rig_peer_close(&peer);
    rig_host_end(host);
}

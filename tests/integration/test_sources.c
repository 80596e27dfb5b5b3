/* Bytes that are pulled as the peer takes them: sources and files. */
#include "support/leak.h"
#include "support/rig.h"
#include "support/scene.h"
#include "support/wait.h"

#include "conn_impl.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(sources, .fini = rig_expect_no_leak, .timeout = 60);

/* A source that yields the pattern; what it is told at the end is kept. */
struct spring {
    uint64_t at;
    uint64_t len;
    size_t most;     /* bytes at once; 0: as many as asked for */
    uint64_t dry_at; /* says once there that it has nothing now */
    uint64_t fail_at;
    int fail_code;
    bool has_been_dry;
    atomic_uint pulls;
    atomic_uint dones;
    atomic_int code;
    int answer; /* of cw_conn_send_source */
};

static ptrdiff_t pull(uint8_t *buffer, size_t cap, void *user)
{
    struct spring *spring = user;
    size_t n = spring->len - spring->at < cap ? (size_t)(spring->len - spring->at) : cap;

    atomic_fetch_add(&spring->pulls, 1);
    if (spring->fail_code != 0 && spring->at >= spring->fail_at) {
        return spring->fail_code;
    }
    if (spring->dry_at > 0 && spring->at >= spring->dry_at && !spring->has_been_dry) {
        spring->has_been_dry = true;
        return CW_EAGAIN;
    }
    if (spring->dry_at > spring->at && n > spring->dry_at - spring->at) {
        n = (size_t)(spring->dry_at - spring->at);
    }
    if (spring->most > 0 && n > spring->most) {
        n = spring->most;
    }
    for (size_t i = 0; i < n; i++) {
        buffer[i] = rig_pattern((size_t)spring->at + i);
    }
    spring->at += n;
    return (ptrdiff_t)n;
}

static void done(int code, void *user)
{
    struct spring *spring = user;

    atomic_store(&spring->code, code);
    atomic_fetch_add(&spring->dones, 1);
}

static void send_spring(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct spring *spring = arg;

    spring->answer = cw_conn_send_source(conn, spring->len, pull, done, spring);
}

static void send_endless(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct spring *spring = arg;

    spring->answer = cw_conn_send_source(conn, CW_NO_LIMIT, pull, done, spring);
}

static void expect_done(struct spring *spring, int code)
{
    rig_await(atomic_load(&spring->dones) == 1);
    cr_expect_eq(atomic_load(&spring->code), code, "%s", cw_error_name(atomic_load(&spring->code)));
}

Test(sources, a_source_arrives_between_what_was_queued_before_and_after_it)
{
    struct spring spring = {.len = 3000000};
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, rig_send_text, "before");
    rig_scene_run(&scene, send_spring, &spring);
    cr_assert_eq(spring.answer, CW_OK);
    rig_scene_run(&scene, rig_send_text, "after");
    rig_peer_expect(&scene.peer, "before");
    rig_peer_expect_pattern(&scene.peer, 3000000);
    rig_peer_expect(&scene.peer, "after");
    expect_done(&spring, CW_OK);
    rig_scene_end(&scene);
    cr_expect_eq(atomic_load(&spring.dones), 1);
}

/* Waits until nothing more is pulled for a while; returns how much has been by then. */
static uint64_t settled(struct spring *spring)
{
    unsigned before;

    do {
        uint64_t until = rig_now_ms() + 100;
        before = atomic_load(&spring->pulls);
        while (rig_rest(until)) {}
    } while (atomic_load(&spring->pulls) != before);
    return before;
}

Test(sources, a_source_is_pulled_as_the_peer_takes_it)
{
    struct spring spring = {.len = 50000000, .most = 1000};
    struct rig_scene scene;

    rig_scene_begin_slow(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, send_spring, &spring);
    cr_expect_lt(settled(&spring), 2000, "the kernel's buffers are small");
    rig_peer_expect_pattern(&scene.peer, 5000000);
    cr_expect_geq(settled(&spring), 5000);
    cr_expect_lt(settled(&spring), 7000);
    rig_scene_end(&scene);
    expect_done(&spring, CW_ERESET);
}

Test(sources, a_source_of_unknown_length_ends_when_it_says_so)
{
    struct spring spring = {.len = 100001};
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, send_endless, &spring);
    cr_assert_eq(spring.answer, CW_OK);
    rig_peer_expect_pattern(&scene.peer, 100001);
    expect_done(&spring, CW_OK);
    rig_scene_run(&scene, rig_send_text, "after");
    rig_peer_expect(&scene.peer, "after");
    rig_scene_end(&scene);
}

static void say_ready(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(conn);
    cw_conn_source_ready(conn);
}

Test(sources, a_source_that_has_nothing_now_is_asked_again_when_it_is_ready)
{
    struct spring spring = {.len = 1000, .most = 100, .dry_at = 500};
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, send_spring, &spring);
    rig_peer_expect_pattern(&scene.peer, 500);
    rig_await(atomic_load(&spring.pulls) == 6);
    rig_scene_run(&scene, rig_send_text, "after"); /* offers the queue to the stream again */
    for (int i = 0; i < 20; i++) {
        rig_scene_run(&scene, rig_pass, NULL);
    }
    rig_peer_expect_silence(&scene.peer, 20);
    cr_expect_eq(atomic_load(&spring.pulls), 6, "it is not asked while it has nothing");
    rig_scene_run(&scene, say_ready, NULL);
    for (size_t i = 500; i < 1000; i++) {
        uint8_t byte;
        rig_peer_receive(&scene.peer, &byte, 1);
        cr_assert_eq(byte, rig_pattern(i));
    }
    rig_peer_expect(&scene.peer, "after");
    expect_done(&spring, CW_OK);
    rig_scene_end(&scene);
}

Test(sources, a_source_that_fails_aborts_the_connection_with_its_code)
{
    struct spring spring = {.len = 1000, .most = 100, .fail_at = 300, .fail_code = CW_EDENIED};
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, send_spring, &spring);
    rig_peer_expect_reset(&scene.peer);
    rig_scene_await_closed(&scene, CW_EDENIED);
    expect_done(&spring, CW_EDENIED);
    rig_scene_end(&scene);
}

Test(sources, a_source_that_fails_is_not_told_with_another_connections_errno)
{
    struct spring spring = {.len = 1000, .most = 100, .fail_at = 300, .fail_code = CW_EDENIED};
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_conn(&scene);
    rig_peer_reset(&scene.peer);
    rig_scene_await_closed(&scene, CW_ERESET);
    cr_expect_eq(scene.story.reason.os_errno, ECONNRESET);
    scene.peer = rig_peer_tcp(rig_host_port(scene.host, 0));
    rig_await(atomic_load(&scene.story.opened) == 2);
    rig_scene_run(&scene, send_spring, &spring);
    rig_peer_expect_reset(&scene.peer);
    rig_await(atomic_load(&scene.story.closed) == 2);
    cr_expect_eq(scene.story.reason.code, CW_EDENIED);
    cr_expect_eq(scene.story.reason.os_errno, 0, "%d", scene.story.reason.os_errno);
    rig_scene_end(&scene);
}

/* ---- a source that has nothing, and time ---- */

Test(sources, a_peer_that_goes_while_a_source_has_nothing_is_noticed)
{
    struct spring spring = {.len = 1000, .dry_at = 500};
    struct cw_server_options options = {.idle_ms = CW_OFF};
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_tcp, &options, &rig_story_hooks);
    rig_scene_run(&scene, send_spring, &spring);
    rig_peer_expect_pattern(&scene.peer, 500);
    rig_peer_reset(&scene.peer);
    rig_scene_await_closed(&scene, CW_ERESET);
    expect_done(&spring, CW_ERESET);
    rig_scene_end(&scene);
}

Test(sources, the_idle_time_begins_anew_when_a_source_has_ended)
{
    struct spring spring = {.len = 1000, .dry_at = 500};
    struct cw_server_options options = {.idle_ms = 200};
    struct rig_scene scene;
    uint64_t before;

    rig_scene_begin(&scene, &cw_tcp, &options, &rig_story_hooks);
    rig_scene_run(&scene, send_spring, &spring);
    rig_peer_expect_pattern(&scene.peer, 500);
    rig_peer_expect_silence(&scene.peer, 600);
    before = rig_now_ms();
    rig_scene_run(&scene, say_ready, NULL);
    expect_done(&spring, CW_OK);
    rig_scene_await_closed(&scene, CW_EIDLE);
    cr_expect_leq(rig_now_ms() - before, 1500, "the idle time is 200 ms");
    rig_scene_end(&scene);
}

Test(sources, the_write_time_does_not_count_while_a_source_has_nothing)
{
    struct spring spring = {.len = 1000, .dry_at = 500};
    struct rig *rig = rig_new(&(struct rig_setup){.protocol = &cw_tcp});

    cr_assert_not_null(rig);
    rig->conn->origin->limits.write = cw_ticks(30000);
    send_spring(rig->conn->loop, rig->conn, &spring);
    rig_run(rig);
    cr_assert_eq(rig->output.len, 500);
    rig->peer_takes = false;
    rig_advance(rig, 60000);
    cw_conn_source_ready(rig->conn);
    rig_run(rig);
    rig_advance(rig, 20000);
    cr_expect_eq(rig->closes, 0, "%s", rig_told(rig));
    rig_advance(rig, 11000);
    cr_expect_eq(rig->code, CW_EWRITETIME);
    rig_free(rig);
}

static void promise_more(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct spring *spring = arg;

    spring->answer = cw_conn_send_source(conn, spring->len + 1, pull, done, spring);
}

Test(sources, a_source_that_ends_before_its_length_aborts_the_connection)
{
    struct spring spring = {.len = 1000};
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, promise_more, &spring);
    rig_peer_expect_reset(&scene.peer);
    rig_scene_await_closed(&scene, CW_ETRUNCATED);
    expect_done(&spring, CW_ETRUNCATED);
    cr_expect_str_eq(scene.story.reason.text, "source ended before its length");
    rig_scene_end(&scene);
}

Test(sources, close_waits_for_a_source_and_abort_does_not)
{
    struct spring spring = {.len = 2000000};
    struct spring other = {.len = 20000000};
    struct rig_scene scene;

    rig_scene_begin_slow(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, send_spring, &spring);
    rig_scene_run(&scene, rig_close, NULL);
    rig_peer_expect_pattern(&scene.peer, 2000000);
    rig_peer_expect_end(&scene.peer);
    rig_scene_await_closed(&scene, CW_BY_APP);
    expect_done(&spring, CW_OK);
    rig_scene_end(&scene);
    rig_scene_begin_slow(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, send_spring, &other);
    rig_scene_run(&scene, rig_abort, NULL);
    rig_scene_await_closed(&scene, CW_BY_ABORT);
    expect_done(&other, CW_BY_ABORT);
    rig_scene_end(&scene);
}

static void send_seventeen(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct spring *springs = arg;

    for (int i = 0; i < 17; i++) {
        send_spring(loop, conn, &springs[i]);
    }
}

Test(sources, sixteen_sources_may_wait_and_arrive_in_order)
{
    struct spring springs[17];
    struct rig_scene scene;

    memset(springs, 0, sizeof springs);
    for (int i = 0; i < 17; i++) {
        springs[i].len = 1000 + (uint64_t)i;
    }
    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, send_seventeen, springs);
    cr_expect_eq(springs[15].answer, CW_OK);
    cr_expect_eq(springs[16].answer, CW_EFULL);
    for (int i = 0; i < 16; i++) {
        rig_peer_expect_pattern(&scene.peer, springs[i].len);
        expect_done(&springs[i], CW_OK);
    }
    rig_await(atomic_load(&scene.story.drained) >= 1); /* who was refused is told */
    rig_scene_run(&scene, send_spring, &springs[16]);
    rig_peer_expect_pattern(&scene.peer, springs[16].len);
    rig_scene_end(&scene);
    cr_expect_eq(atomic_load(&springs[16].dones), 1);
}

static void send_on_line(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct spring *spring = arg;

    spring->answer = cw_conn_send_source(conn, 10, pull, done, spring);
    rig_check(cw_conn_send_text(conn, "still well") == 0);
}

Test(sources, a_protocol_that_cannot_carry_raw_bytes_refuses_them)
{
    struct spring spring = {.len = 10};
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_line, NULL, &rig_story_hooks);
    rig_scene_run(&scene, send_on_line, &spring);
    cr_expect_eq(spring.answer, CW_EKIND);
    rig_peer_expect(&scene.peer, "still well\n");
    rig_scene_end(&scene);
    cr_expect_eq(atomic_load(&spring.dones), 0, "a refused source is not told of its end");
}

/* ---- inside a frame ---- */

static void frame_of_source(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct spring *spring = arg;
    struct cw_message begin = {.part = CW_BEGIN, .total = spring->len + 5};
    struct cw_message chunk = cw_message_text("tail!");
    struct cw_message end = {.part = CW_END};

    chunk.part = CW_CHUNK;
    rig_check(cw_conn_send_source(conn, spring->len, pull, done, spring) == CW_EKIND);
    rig_check(cw_conn_send(conn, &begin) >= 0);
    rig_check(cw_conn_send_text(conn, "in between") == CW_ESTATE);
    rig_check(cw_conn_send_source(conn, spring->len + 6, pull, done, spring) == CW_EKIND);
    spring->answer = cw_conn_send_source(conn, spring->len, pull, done, spring);
    rig_check(cw_conn_send(conn, &chunk) >= 0);
    rig_check(cw_conn_send(conn, &end) >= 0);
    rig_check(cw_conn_send_text(conn, "next") >= 0);
}

Test(sources, a_source_is_body_bytes_of_a_begun_frame)
{
    struct spring spring = {.len = 60000};
    struct rig_scene scene;
    uint8_t header[4];
    char buffer[16];

    rig_scene_begin(&scene, &cw_framed, NULL, &rig_story_hooks);
    rig_scene_run(&scene, frame_of_source, &spring);
    cr_assert_eq(spring.answer, CW_OK, "%s", cw_error_name(spring.answer));
    rig_peer_receive(&scene.peer, header, 4);
    cr_expect_eq(header[2] << 8 | header[3], 60005);
    rig_peer_expect_pattern(&scene.peer, 60000);
    rig_peer_expect(&scene.peer, "tail!");
    cr_expect_eq(rig_peer_receive_frame(&scene.peer, buffer, sizeof buffer), 4);
    cr_expect_eq(memcmp(buffer, "next", 4), 0);
    expect_done(&spring, CW_OK);
    rig_scene_end(&scene);
}

static void begin_and_close(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct cw_message begin = {.part = CW_BEGIN, .total = 100};

    rig_check(cw_conn_send(conn, &begin) >= 0);
    cw_conn_close(conn);
}

Test(sources, a_close_in_the_middle_of_a_frame_is_a_reset)
{
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_framed, NULL, &rig_story_hooks);
    rig_scene_run(&scene, begin_and_close, NULL);
    rig_peer_expect_reset(&scene.peer);
    rig_scene_await_closed(&scene, CW_BY_APP);
    rig_scene_end(&scene);
}

static void begin_a_frame(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct cw_message begin = {.part = CW_BEGIN, .total = 4};

    rig_check(cw_conn_send(conn, &begin) >= 0);
}

static void finish_a_frame(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct cw_message chunk = cw_message_text("body");
    struct cw_message end = {.part = CW_END};

    chunk.part = CW_CHUNK;
    rig_check(cw_conn_send(conn, &chunk) >= 0);
    rig_check(cw_conn_send(conn, &end) >= 0);
}

Test(sources, messages_from_elsewhere_do_not_fall_into_a_begun_frame)
{
    struct rig_scene scene;
    struct cw_message msg = cw_message_text("lost");
    struct cw_server_stats stats;
    char buffer[16];

    rig_scene_begin(&scene, &cw_framed, NULL, &rig_story_hooks);
    rig_scene_run(&scene, begin_a_frame, NULL);
    cr_expect_eq(cw_send_to(rig_host_server(scene.host), rig_scene_conn(&scene), &msg), CW_OK);
    rig_scene_run(&scene, finish_a_frame, NULL);
    cr_expect_eq(rig_peer_receive_frame(&scene.peer, buffer, sizeof buffer), 4);
    cr_expect_eq(memcmp(buffer, "body", 4), 0);
    cw_server_stats(rig_host_server(scene.host), &stats);
    cr_expect_eq(stats.messages_dropped, 1);
    rig_scene_end(&scene);
}

/* ---- files ---- */

struct paper {
    struct cw_file_range range;
    int answer;
    struct spring spring; /* its end */
};

/* A file without a name that holds the pattern. */
static int pattern_file(size_t len)
{
    char name[] = "/tmp/causeway-file-XXXXXX";
    int fd = mkstemp(name);
    uint8_t *bytes = rig_pattern_new(len);

    cr_assert_geq(fd, 0);
    cr_assert_eq(unlink(name), 0);
    cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
    free(bytes);
    return fd;
}

static void send_paper(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct paper *paper = arg;

    paper->answer = cw_conn_send_file(conn, &paper->range, done, &paper->spring);
    close(paper->range.fd); /* it was duplicated */
}

Test(sources, a_file_arrives_whole)
{
    struct paper paper = {.range = {.fd = pattern_file(5000000), .len = 5000000}};
    struct rig_scene scene;
    struct cw_server_stats stats;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, rig_send_text, "before");
    rig_scene_run(&scene, send_paper, &paper);
    cr_assert_eq(paper.answer, CW_OK);
    rig_scene_run(&scene, rig_send_text, "after");
    rig_peer_expect(&scene.peer, "before");
    rig_peer_expect_pattern(&scene.peer, 5000000);
    rig_peer_expect(&scene.peer, "after");
    expect_done(&paper.spring, CW_OK);
    cw_server_stats(rig_host_server(scene.host), &stats);
    cr_expect_eq(stats.bytes_out, 5000011);
    rig_scene_end(&scene);
}

static void send_message(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(cw_conn_send(conn, arg) >= 0);
}

Test(sources, a_range_of_a_file_arrives_inside_a_frame)
{
    struct paper paper = {.range = {.fd = pattern_file(100000), .offset = 99996, .len = 4}};
    struct rig_scene scene;
    uint8_t buffer[16];
    struct cw_message end = {.part = CW_END};

    rig_scene_begin(&scene, &cw_framed, NULL, &rig_story_hooks);
    rig_scene_run(&scene, begin_a_frame, NULL);
    rig_scene_run(&scene, send_paper, &paper);
    cr_assert_eq(paper.answer, CW_OK);
    rig_scene_run(&scene, send_message, &end);
    cr_expect_eq(rig_peer_receive_frame(&scene.peer, buffer, sizeof buffer), 4);
    for (size_t i = 0; i < 4; i++) {
        cr_expect_eq(buffer[i], rig_pattern(99996 + i));
    }
    expect_done(&paper.spring, CW_OK);
    rig_scene_end(&scene);
}

Test(sources, a_file_that_is_too_short_aborts_the_connection)
{
    struct paper paper = {.range = {.fd = pattern_file(1000), .len = 1001}};
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, send_paper, &paper);
    rig_peer_expect_reset(&scene.peer);
    rig_scene_await_closed(&scene, CW_ETRUNCATED);
    expect_done(&paper.spring, CW_ETRUNCATED);
    cr_expect_str_eq(scene.story.reason.text, "file ended before its length");
    rig_scene_end(&scene);
}

Test(sources, a_descriptor_that_is_none_is_refused)
{
    struct paper paper = {.range = {.fd = 999, .len = 1}};
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, send_paper, &paper);
    cr_expect_lt(paper.answer, 0);
    rig_scene_run(&scene, rig_send_text, "well");
    rig_peer_expect(&scene.peer, "well");
    rig_scene_end(&scene);
    cr_expect_eq(atomic_load(&paper.spring.dones), 0);
}

Test(sources, a_peer_that_goes_away_in_a_file_is_a_broken_pipe_or_a_reset_and_no_signal)
{
    for (int i = 0; i < 5; i++) {
        struct paper paper = {.range = {.fd = pattern_file(5000000), .len = 5000000}};
        struct rig_scene scene;

        rig_scene_begin_slow(&scene, &cw_tcp, NULL, &rig_story_hooks);
        rig_scene_run(&scene, send_paper, &paper);
        rig_peer_close(&scene.peer);
        rig_await(atomic_load(&paper.spring.dones) == 1);
        rig_await(atomic_load(&scene.story.closed) == 1);
        cr_expect(scene.story.reason.code == CW_ERESET || scene.story.reason.code == CW_EPIPE, "%s",
                  cw_error_name(scene.story.reason.code));
        cr_expect_eq(atomic_load(&paper.spring.code), scene.story.reason.code);
        rig_scene_end(&scene);
    }
}

static void ignore_end(struct cw_conn *conn, void *user)
{
    struct rig_story *story = user;

    atomic_fetch_add(&story->ended, 1);
}

/* An end in good order, then a reset to what is sent all the same: the kernel has a signal for that. */
Test(sources, a_file_to_a_peer_that_has_gone_is_a_broken_pipe_and_no_signal)
{
    struct paper paper = {.range = {.fd = pattern_file(5000000), .len = 5000000}};
    struct cw_server_options options = {.half_open = true};
    struct cw_hooks hooks = rig_story_hooks;
    struct sigaction action;
    struct rig_scene scene;

    cr_assert_eq(sigaction(SIGPIPE, NULL, &action), 0);
    cr_assert(action.sa_handler == SIG_DFL, "or the test shows nothing");
    hooks.on_end = ignore_end;
    rig_scene_begin(&scene, &cw_tcp, &options, &hooks);
    rig_scene_conn(&scene);
    rig_peer_close(&scene.peer);
    rig_await(atomic_load(&scene.story.ended) == 1);
    rig_scene_run(&scene, send_paper, &paper);
    rig_scene_await_closed(&scene, CW_EPIPE);
    expect_done(&paper.spring, CW_EPIPE);
    rig_scene_end(&scene);
}

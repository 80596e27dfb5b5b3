/* The life of a peer of datagrams: what the calls of every connection do to it, and how it ends. */
#include "support/leak.h"
#include "support/udp_scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <string.h>

TestSuite(udp_conn, .fini = rig_expect_no_leak, .timeout = 60);

static struct rig_scene scene;

static void begin(void (*on_data)(struct cw_conn *conn, const struct cw_message *msg, void *user))
{
    struct cw_hooks hooks = rig_story_with_data(on_data);

    rig_udp_begin(&scene, &(struct rig_udp_setup){.hooks = &hooks});
}

/* ---- ends ---- */

static void close_when_asked(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    rig_udp_echo(conn, msg, user);
    if (cw_span_equal(msg->body, cw_span_text("close"))) {
        cw_conn_close(conn);
        rig_check(cw_conn_send_text(conn, "more") == CW_ECLOSED);
    } else if (cw_span_equal(msg->body, cw_span_text("abort"))) {
        cw_conn_abort(conn);
        rig_check(cw_conn_send_text(conn, "more") == CW_ECLOSED);
    }
}

Test(udp_conn, after_a_close_the_next_datagram_makes_a_new_peer)
{
    struct rig_udp peer;
    uint64_t ids[3];

    begin(close_when_asked);
    peer = rig_udp_peer(&scene);
    for (unsigned i = 0; i < 3; i++) {
        ids[i] = rig_udp_meet(&scene, &peer);
        cr_expect_eq(atomic_load(&scene.story.opened), i + 1);
        rig_udp_expect_echo(&peer, "close"); /* what was sent before it is still sent */
        rig_await(atomic_load(&scene.story.closed) == i + 1);
        cr_expect_eq(scene.story.reason.code, CW_BY_APP);
        rig_await(rig_host_conns(scene.host) == 0);
    }
    cr_expect_neq(ids[0], ids[1]);
    cr_expect_neq(ids[1], ids[2]);
    rig_udp_expect_nothing(&peer);
    cr_expect_eq(atomic_load(&scene.story.errors), 0);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

/* Drops what comes before that text. */
static void skip_to(struct rig_udp *peer, const char *text)
{
    char got[256];
    size_t len;

    do {
        len = rig_udp_receive(peer, got, sizeof got);
    } while (!cw_span_equal(cw_span_of(got, len), cw_span_text(text)));
}

Test(udp_conn, what_comes_in_one_batch_with_the_cause_of_a_close_is_a_new_peers)
{
    struct rig_udp peer;

    begin(close_when_asked);
    peer = rig_udp_peer(&scene);
    for (int i = 0; i < 50; i++) {
        rig_udp_send_text(&peer, "close");
        rig_udp_send_text(&peer, "hello");
    }
    /* Each close is echoed; each hello is a new peer's, or was dropped with the one that was closing. */
    rig_await(atomic_load(&scene.story.closed) >= 1);
    rig_udp_await(&scene, received, 100);
    rig_udp_send_text(&peer, "still well");
    skip_to(&peer, "still well");
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_conn, an_abort_ends_one_peer_alone)
{
    struct rig_udp peer;
    struct rig_udp other;
    uint64_t id;

    begin(close_when_asked);
    peer = rig_udp_peer(&scene);
    other = rig_udp_peer(&scene);
    rig_udp_meet(&scene, &peer);
    id = rig_udp_meet(&scene, &other);
    rig_udp_send_text(&peer, "abort");
    rig_scene_await_closed(&scene, CW_BY_ABORT);
    rig_udp_expect_echo(&other, "here I am");
    cr_expect_eq(atomic_load(&scene.story.conn_id), id);
    cr_expect_eq(rig_host_conns(scene.host), 1);
    rig_udp_close(&peer);
    rig_udp_close(&other);
    rig_scene_end(&scene);
}

static void close_at_once(struct cw_conn *conn, void *user)
{
    rig_story_on_connection(conn, user);
    cw_conn_close(conn);
}

Test(udp_conn, a_peer_closed_by_on_connection_is_told_of_no_data)
{
    struct cw_hooks hooks = rig_story_hooks;
    struct rig_udp peer;

    hooks.on_connection = close_at_once;
    rig_udp_begin(&scene, &(struct rig_udp_setup){.hooks = &hooks});
    peer = rig_udp_peer(&scene);
    for (unsigned i = 1; i <= 5; i++) {
        rig_udp_send_text(&peer, "hello");
        rig_await(atomic_load(&scene.story.closed) == i);
    }
    cr_expect_eq(atomic_load(&scene.story.messages), 0);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

/* ---- in the middle of a batch ---- */

/* Keeps the loop busy until it is told to go on, so that what is sent meanwhile is read at once. */
struct hold {
    atomic_bool began;
    atomic_bool over;
};

static void wait_for_end(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct hold *hold = arg;

    atomic_store(&hold->began, true);
    rig_await(atomic_load(&hold->over));
}

static void hold_loop(struct hold *hold)
{
    rig_check(cw_server_post(rig_host_server(scene.host), 0, wait_for_end, hold) == CW_OK);
    rig_await(atomic_load(&hold->began));
}

static void abort_others(struct cw_conn *conn, void *user)
{
    if (conn != user) {
        cw_conn_abort(conn);
    }
}

static void stay_alone(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    rig_story_on_data(conn, msg, user);
    if (cw_span_equal(msg->body, cw_span_text("alone"))) {
        cw_loop_each_conn(cw_conn_loop(conn), abort_others, conn);
    }
    cw_conn_send(conn, msg);
}

Test(udp_conn, a_peer_may_end_others_whose_datagrams_are_in_the_same_batch)
{
    enum { PEERS = 20 };
    struct rig_udp peers[PEERS];
    struct hold hold = {0};

    begin(stay_alone);
    for (int i = 0; i < PEERS; i++) {
        peers[i] = rig_udp_peer(&scene);
        rig_udp_meet(&scene, &peers[i]);
    }
    hold_loop(&hold);
    for (int i = 0; i < PEERS; i++) {
        rig_udp_send_text(&peers[i], i == 5 || i == 6 ? "alone" : "hello");
    }
    atomic_store(&hold.over, true);
    rig_udp_await(&scene, received, 2 * PEERS);
    rig_await(atomic_load(&scene.story.closed) >= PEERS - 1);
    for (int i = 0; i < PEERS; i++) {
        rig_udp_send_text(&peers[i], "and now?");
        skip_to(&peers[i], "and now?");
        rig_udp_close(&peers[i]);
    }
    rig_scene_end(&scene);
}

static void call_back(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct rig_story *story = user;
    struct cw_conn *again = NULL;

    rig_story_on_close(conn, reason, user);
    if (reason->code != CW_BY_STOP) {
        again = cw_datagram_peer(cw_conn_loop(conn), NULL, cw_conn_peer(conn));
        rig_check(again == NULL || cw_conn_send_text(again, "do not go") >= 0);
    }
    atomic_store(&story->answer, again != NULL);
}

Test(udp_conn, a_peer_may_be_spoken_to_again_when_it_has_ended)
{
    struct cw_hooks hooks = rig_story_with_data(rig_udp_echo);
    struct rig_udp peer;

    hooks.on_close = call_back;
    rig_udp_begin(&scene, &(struct rig_udp_setup){.hooks = &hooks});
    peer = rig_udp_peer(&scene);
    rig_udp_meet(&scene, &peer);
    for (unsigned i = 1; i <= 5; i++) {
        rig_scene_run(&scene, i % 2 ? rig_close : rig_abort, NULL);
        rig_await(atomic_load(&scene.story.closed) == i);
        if (atomic_load(&scene.story.answer) == 0) {
            rig_udp_meet(&scene, &peer);
        } else {
            rig_udp_expect(&peer, "do not go");
            rig_udp_expect_echo(&peer, "as you like");
        }
        cr_expect_eq(atomic_load(&scene.story.opened), i + 1);
        cr_expect_eq(rig_host_conns(scene.host), 1);
    }
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_conn, what_the_kernel_had_no_room_for_is_counted)
{
    enum { SENT = 3000 };
    uint8_t body[200] = {0};
    struct hold hold = {0};
    struct rig_udp peer;
    struct cw_datagram_stats stats;

    rig_udp_begin(&scene, &(struct rig_udp_setup){.datagram = {.receive_buffer_bytes = 8192}});
    peer = rig_udp_peer(&scene);
    rig_udp_meet(&scene, &peer);
    hold_loop(&hold);
    for (int i = 0; i < SENT; i++) {
        rig_udp_send(&peer, body, sizeof body);
    }
    atomic_store(&hold.over, true);
    rig_udp_send_text(&peer, "the next one tells");
    do {
        rig_udp_forget(&peer);
        rig_udp_send_text(&peer, "the next one tells");
        skip_to(&peer, "the next one tells");
        stats = rig_udp_stats(&scene);
    } while (stats.dropped_kernel == 0);
    cr_expect_lt(stats.received, SENT / 2);
    cr_expect_geq(stats.received + stats.dropped_kernel, SENT);
    cr_expect_leq(stats.received + stats.dropped_kernel, SENT + 20);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

/* ---- by id, from any thread ---- */

Test(udp_conn, a_peer_is_sent_to_by_its_id)
{
    const struct cw_message msg = cw_message_text("from elsewhere");
    struct rig_udp peer;
    struct cw_server *server;
    uint64_t id;

    begin(rig_udp_echo);
    server = rig_host_server(scene.host);
    peer = rig_udp_peer(&scene);
    id = rig_udp_meet(&scene, &peer);
    cr_expect_eq(cw_send_to(server, id, &msg), CW_OK);
    rig_udp_expect(&peer, "from elsewhere");
    cr_expect_eq(cw_close_id(server, id), CW_OK);
    rig_scene_await_closed(&scene, CW_BY_APP);
    cr_expect_eq(cw_send_to(server, id, &msg), CW_OK, "gone: nobody's");
    rig_udp_expect_echo(&peer, "a new one");
    rig_udp_expect_nothing(&peer);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_conn, a_peer_is_aborted_by_its_id)
{
    struct rig_udp peer;

    begin(rig_udp_echo);
    peer = rig_udp_peer(&scene);
    cr_expect_eq(cw_abort_id(rig_host_server(scene.host), rig_udp_meet(&scene, &peer)), CW_OK);
    rig_scene_await_closed(&scene, CW_BY_ABORT);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

static void say_walk(struct cw_conn *conn, void *user)
{
    rig_check(cw_conn_is_datagram(conn));
    rig_check(!cw_conn_is_encrypted(conn));
    rig_check(cw_conn_send_text(conn, "walk") >= 0);
}

static void note_done(void *user)
{
    atomic_store((atomic_bool *)user, true);
}

Test(udp_conn, every_peer_is_walked_over)
{
    struct rig_udp peers[5];
    atomic_bool done = false;

    begin(rig_udp_echo);
    for (int i = 0; i < 5; i++) {
        peers[i] = rig_udp_peer(&scene);
        rig_udp_meet(&scene, &peers[i]);
    }
    cr_expect_eq(cw_server_each_conn(rig_host_server(scene.host), say_walk, note_done, &done),
                 CW_OK);
    for (int i = 0; i < 5; i++) {
        rig_udp_expect(&peers[i], "walk");
        rig_udp_close(&peers[i]);
    }
    rig_await(atomic_load(&done));
    rig_scene_end(&scene);
}

/* ---- times ---- */

static void say_tick(struct cw_conn *conn, void *user)
{
    rig_check(cw_conn_send_text(conn, user) >= 0);
}

static void start_timers(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    rig_check(cw_conn_after(conn, 20, 0, say_tick, "once") == CW_OK);
    rig_check(cw_conn_after(conn, 40, 20, say_tick, "tick") == CW_OK);
}

Test(udp_conn, timers_of_a_peer_run_until_it_ends)
{
    struct rig_udp peer;
    uint8_t hello[100] = {0};

    begin(start_timers);
    peer = rig_udp_peer(&scene);
    rig_udp_send(&peer, hello, sizeof hello);
    rig_udp_expect(&peer, "once");
    rig_udp_expect(&peer, "tick");
    rig_udp_expect(&peer, "tick");
    rig_scene_run(&scene, rig_close, NULL);
    rig_scene_await_closed(&scene, CW_BY_APP);
    rig_udp_forget(&peer);
    for (int i = 0; i < 3; i++) {
        rig_host_run(scene.host, 0, rig_pass, NULL);
    }
    rig_udp_expect_nothing(&peer);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

static void set_idle(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(conn);
    cw_conn_set_idle(conn, *(uint64_t *)arg);
}

Test(udp_conn, one_peers_idle_time_can_be_changed)
{
    struct rig_udp peer;
    struct rig_udp other;
    uint64_t soon = 50;

    begin(rig_udp_echo);
    other = rig_udp_peer(&scene);
    rig_udp_meet(&scene, &other);
    peer = rig_udp_peer(&scene);
    rig_udp_meet(&scene, &peer);
    rig_scene_run(&scene, set_idle, &soon);
    rig_scene_await_closed(&scene, CW_EXPIRED);
    cr_expect_eq(rig_host_conns(scene.host), 1);
    rig_udp_close(&peer);
    rig_udp_close(&other);
    rig_scene_end(&scene);
}

Test(udp_conn, one_peer_can_be_kept_for_ever)
{
    struct rig_udp peer;
    struct rig_udp other;
    uint64_t never = CW_OFF;
    uint64_t id;

    rig_udp_begin(&scene, &(struct rig_udp_setup){.datagram = {.peer_idle_ms = 150}});
    peer = rig_udp_peer(&scene);
    id = rig_udp_meet(&scene, &peer);
    rig_scene_run(&scene, set_idle, &never);
    other = rig_udp_peer(&scene);
    rig_udp_meet(&scene, &other);
    rig_scene_await_closed(&scene, CW_EXPIRED); /* it came later, and goes first */
    rig_host_run(scene.host, id, rig_send_text, "still here");
    rig_udp_expect(&peer, "still here");
    rig_udp_close(&peer);
    rig_udp_close(&other);
    rig_scene_end(&scene);
}

/* ---- pause ---- */

static void pause_when_asked(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    rig_udp_echo(conn, msg, user);
    if (cw_span_equal(msg->body, cw_span_text("pause"))) {
        cw_conn_pause(conn);
    }
}

static void resume(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(conn);
    cw_conn_resume(conn);
}

Test(udp_conn, what_comes_while_a_peer_is_paused_is_dropped_and_counted)
{
    struct rig_udp peer;
    struct rig_udp other;

    begin(pause_when_asked);
    other = rig_udp_peer(&scene);
    rig_udp_meet(&scene, &other);
    peer = rig_udp_peer(&scene);
    rig_udp_meet(&scene, &peer);
    rig_udp_send_text(&peer, "pause");
    for (int i = 0; i < 7; i++) {
        rig_udp_send_text(&peer, "lost");
    }
    rig_udp_expect(&peer, "pause");
    rig_udp_expect_echo(&other, "not me");
    rig_udp_await(&scene, dropped_paused, 7);
    rig_scene_run(&scene, resume, NULL);
    rig_udp_expect_echo(&peer, "again");
    cr_expect_eq(atomic_load(&scene.story.messages), 5);
    rig_udp_close(&peer);
    rig_udp_close(&other);
    rig_scene_end(&scene);
}

Test(udp_conn, a_paused_peer_may_be_sent_to)
{
    struct rig_udp peer;

    begin(pause_when_asked);
    peer = rig_udp_peer(&scene);
    rig_udp_expect_echo(&peer, "pause");
    rig_scene_run(&scene, rig_send_text, "hey");
    rig_udp_expect(&peer, "hey");
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

/* ---- figures ---- */

static void take_stats(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(conn);
    cw_conn_stats(conn, arg);
}

Test(udp_conn, figures_count_datagrams_and_their_bytes)
{
    uint8_t body[1000] = {0};
    struct cw_conn_stats stats;
    struct cw_server_stats all;
    struct rig_udp peer;

    begin(rig_udp_echo);
    peer = rig_udp_peer(&scene);
    for (size_t i = 1; i <= 10; i++) {
        rig_udp_send(&peer, body, i * 100);
        rig_udp_expect_bytes(&peer, body, i * 100);
    }
    rig_udp_send(&peer, body, 0);
    rig_udp_expect_bytes(&peer, body, 0);
    rig_scene_run(&scene, take_stats, &stats);
    cr_expect_eq(stats.bytes_in, 5500);
    cr_expect_eq(stats.bytes_out, 5500);
    cr_expect_eq(stats.messages_in, 11);
    cr_expect_eq(stats.messages_out, 11);
    cr_expect_eq(stats.messages_dropped, 0);
    cr_expect_eq(stats.queued_bytes, 0);
    cr_expect_gt(stats.connected_at_ms, 0);
    all = rig_scene_stats(&scene);
    cr_expect_eq(all.conns_open, 1);
    cr_expect_eq(all.conns_total, 1);
    cr_expect_eq(all.bytes_in, 5500);
    cr_expect_eq(all.bytes_out, 5500);
    cr_expect_eq(all.messages_in, 11);
    cr_expect_eq(all.messages_out, 11);
    rig_udp_await(&scene, received, 11);
    rig_udp_await(&scene, sent, 11);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

struct loop_stats {
    struct cw_datagram_stats stats;
};

static void take_loop_stats(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    cw_loop_datagram_stats(loop, &((struct loop_stats *)arg)->stats);
}

Test(udp_conn, a_loop_has_figures_of_its_own)
{
    struct loop_stats own = {0};
    struct rig_udp peer;

    begin(rig_udp_echo);
    peer = rig_udp_peer(&scene);
    rig_udp_meet(&scene, &peer);
    rig_host_run(scene.host, 0, take_loop_stats, &own);
    cr_expect_eq(own.stats.received, 1);
    cr_expect_eq(own.stats.sent, 1);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_conn, a_server_without_datagrams_has_none_of_their_figures)
{
    const struct cw_datagram_stats zeros = {0};
    struct cw_datagram_stats stats;
    struct rig_scene tcp;

    rig_scene_begin(&tcp, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_conn(&tcp);
    cw_server_datagram_stats(rig_host_server(tcp.host), &stats);
    cr_expect_eq(memcmp(&stats, &zeros, sizeof stats), 0);
    rig_scene_end(&tcp);
}

/* ---- what is not for datagrams ---- */

static ptrdiff_t pull_nothing(uint8_t *buffer, size_t cap, void *user)
{
    return 0;
}

static void try_streams(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(conn);
    rig_check(cw_conn_send_source(conn, 10, pull_nothing, NULL, NULL) == CW_EKIND);
    rig_check(cw_conn_send_file(conn, &(struct cw_file_range){.fd = 0, .len = 1}, NULL, NULL) ==
              CW_EKIND);
    rig_check(cw_conn_send(conn, &(struct cw_message){.part = CW_BEGIN, .total = 9}) < 0);
}

Test(udp_conn, streams_of_bytes_and_pieces_of_messages_are_refused)
{
    struct rig_udp peer;

    begin(rig_udp_echo);
    peer = rig_udp_peer(&scene);
    rig_udp_meet(&scene, &peer);
    rig_scene_run(&scene, try_streams, NULL);
    rig_udp_expect_echo(&peer, "still well");
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

static void ask_tcp(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    uint8_t token[CW_TOKEN_BYTES] = {0};

    rig_check(conn);
    rig_check(!cw_conn_is_datagram(conn));
    rig_check(cw_conn_is_proven(conn));
    rig_check(cw_conn_credit(conn) == CW_NO_LIMIT);
    cw_conn_set_proven(conn);
    cw_conn_token(conn, token);
    cw_conn_prove(conn, cw_span_of(token, sizeof token));
}

Test(udp_conn, a_connection_of_bytes_is_proven_and_no_datagrams)
{
    struct rig_scene tcp;

    rig_scene_begin(&tcp, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&tcp, ask_tcp, NULL);
    rig_scene_end(&tcp);
}

/* ---- stop ---- */

Test(udp_conn, a_stop_ends_every_peer_once)
{
    struct rig_udp peers[9];

    begin(rig_udp_echo);
    for (int i = 0; i < 9; i++) {
        peers[i] = rig_udp_peer(&scene);
        rig_udp_meet(&scene, &peers[i]);
    }
    rig_scene_end(&scene);
    cr_expect_eq(atomic_load(&scene.story.closed), 9);
    cr_expect_eq(scene.story.reason.code, CW_BY_STOP);
    cr_expect_eq(atomic_load(&scene.story.errors), 0);
    for (int i = 0; i < 9; i++) {
        rig_udp_close(&peers[i]);
    }
}

static void fill_queue(struct cw_conn *conn, void *user)
{
    static uint8_t zeros[60000];

    while (cw_conn_send_bytes(conn, zeros, sizeof zeros) >= 0) {}
}

Test(udp_conn, a_server_that_is_still_stopping_makes_no_new_peers)
{
    const struct cw_hooks hooks = {.on_connection = fill_queue};
    struct cw_server *server = rig_udp_server(&(struct rig_udp_setup){0});
    struct rig_udp known;
    struct rig_udp newcomer;
    struct rig_peer slow;

    cw_server_listen(server,
                     &(struct cw_listen_options){.host = "127.0.0.1",
                                                 .tcp = {.send_buffer_bytes = 16384},
                                                 .service = cw_service(&cw_framed, &hooks, NULL)});
    rig_udp_begin_server(&scene, server, NULL);
    known = rig_udp_peer(&scene);
    newcomer = rig_udp_peer(&scene);
    rig_udp_meet(&scene, &known);
    slow = rig_peer_tcp_from(NULL, "127.0.0.1", rig_host_port(scene.host, 1), 4096);
    rig_await(rig_host_conns(scene.host) == 2);
    rig_host_run(scene.host, 0, rig_pass, NULL);
    cw_server_stop(server);
    rig_await(atomic_load(&scene.story.closed) == 1);
    (void)rig_udp_try_send(&known, "me again", 8);
    (void)rig_udp_try_send(&newcomer, "hello", 5);
    (void)rig_peer_receive_all(&slow); /* that was what the server waited for */
    rig_peer_close(&slow);
    rig_scene_end(&scene);
    cr_expect_eq(atomic_load(&scene.story.opened), 1);
    rig_udp_expect_nothing(&known);
    rig_udp_expect_nothing(&newcomer);
    rig_udp_close(&known);
    rig_udp_close(&newcomer);
}

static void say_goodbye(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct rig_story *story = user;

    atomic_store(&story->answer, cw_conn_send_text(conn, "bye"));
    rig_story_on_close(conn, reason, user);
}

Test(udp_conn, nothing_is_sent_from_on_close)
{
    struct cw_hooks hooks = rig_story_with_data(rig_udp_echo);
    struct rig_udp peer;

    hooks.on_close = say_goodbye;
    rig_udp_begin(&scene, &(struct rig_udp_setup){.hooks = &hooks});
    peer = rig_udp_peer(&scene);
    rig_udp_meet(&scene, &peer);
    rig_scene_end(&scene);
    cr_expect_eq(atomic_load(&scene.story.answer), CW_ECLOSED);
    rig_udp_expect_nothing(&peer);
    rig_udp_close(&peer);
}

Test(udp_conn, what_a_stop_finds_in_the_queue_is_sent)
{
    struct rig_udp peer;
    uint64_t id;

    begin(rig_udp_echo);
    peer = rig_udp_peer(&scene);
    id = rig_udp_meet(&scene, &peer);
    cr_expect_eq(cw_send_to(rig_host_server(scene.host), id,
                            &(struct cw_message){.body = cw_span_text("last word")}),
                 CW_OK);
    rig_scene_end(&scene);
    rig_udp_expect(&peer, "last word");
    rig_udp_close(&peer);
}

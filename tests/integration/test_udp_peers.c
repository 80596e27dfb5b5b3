/* Peers of datagrams: how long they are kept, how many, who makes room for whom, and what one that has proved nothing is
 * sent. */
#include "loop_impl.h"
#include "support/leak.h"
#include "support/memory.h"
#include "support/udp_scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(udp_peers, .fini = rig_expect_no_leak, .timeout = 60);

static struct rig_scene scene;

static void rest(uint64_t ms)
{
    uint64_t until = rig_now_ms() + ms;

    while (rig_rest(until)) {}
}

static void note_whether(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    *(bool *)arg = conn != NULL;
}

static bool is_there(uint64_t id)
{
    bool there = false;

    rig_host_run(scene.host, id, note_whether, &there);
    return there;
}

/* ---- silence ---- */

Test(udp_peers, a_silent_peer_expires)
{
    struct rig_udp peer;
    uint64_t before;
    uint64_t first;

    rig_udp_begin(&scene, &(struct rig_udp_setup){.datagram = {.peer_idle_ms = 200}});
    peer = rig_udp_peer(&scene);
    before = rig_now_ms();
    first = rig_udp_meet(&scene, &peer);
    rig_scene_await_closed(&scene, CW_EXPIRED);
    cr_expect_geq(rig_now_ms() - before, 200 - 17, "not before its time");
    rig_udp_await(&scene, peers_expired, 1);
    cr_expect_eq(atomic_load(&scene.story.errors), 0, "that is no error");
    cr_expect_eq(rig_host_conns(scene.host), 0);
    cr_expect_neq(rig_udp_meet(&scene, &peer), first, "it comes again as another");
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_peers, traffic_in_either_direction_keeps_a_peer)
{
    const struct cw_message news = cw_message_text("news");
    struct rig_udp talker;
    struct rig_udp listener;
    uint64_t talks;
    uint64_t listens;
    uint64_t until;

    rig_udp_begin(&scene, &(struct rig_udp_setup){
                              .datagram = {.peer_idle_ms = 1500, .amplification = CW_NO_LIMIT}});
    talker = rig_udp_peer(&scene);
    listener = rig_udp_peer(&scene);
    talks = rig_udp_meet(&scene, &talker);
    listens = rig_udp_meet(&scene, &listener);
    until = rig_now_ms() + 3500;
    while (rig_now_ms() < until) {
        uint64_t pause = rig_now_ms() + 50;

        rig_udp_expect_echo(&talker, "here I am");
        cr_assert_eq(cw_send_to(rig_host_server(scene.host), listens, &news), CW_OK);
        rig_udp_expect(&listener, "news");
        while (rig_rest(pause)) {}
    }
    cr_expect_eq(rig_udp_meet(&scene, &talker), listens, "nobody was opened after these two");
    cr_expect_neq(talks, listens);
    cr_expect_eq(atomic_load(&scene.story.closed), 0);
    rig_udp_close(&talker);
    rig_udp_close(&listener);
    rig_scene_end(&scene);
}

Test(udp_peers, the_idle_time_of_a_server_is_not_that_of_its_peers)
{
    struct rig_udp peer;
    uint64_t until = rig_now_ms() + 1000;

    rig_udp_begin(&scene, &(struct rig_udp_setup){.server = {.idle_ms = 100},
                                                  .datagram = {.peer_idle_ms = CW_OFF}});
    peer = rig_udp_peer(&scene);
    rig_udp_meet(&scene, &peer);
    while (rig_rest(until)) {}
    cr_expect_eq(atomic_load(&scene.story.closed), 0);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

static int keep_twice(struct cw_conn *conn, void *user)
{
    struct rig_story *story = user;

    return atomic_fetch_add(&story->idled, 1) < 2 ? CW_KEEP : 0;
}

Test(udp_peers, a_silent_peer_can_be_kept_by_on_idle)
{
    struct cw_hooks hooks = rig_story_with_data(rig_udp_echo);
    struct rig_udp peer;
    uint64_t before;

    hooks.on_idle = keep_twice;
    rig_udp_begin(&scene,
                  &(struct rig_udp_setup){.datagram = {.peer_idle_ms = 100}, .hooks = &hooks});
    peer = rig_udp_peer(&scene);
    before = rig_now_ms();
    rig_udp_meet(&scene, &peer);
    rig_scene_await_closed(&scene, CW_EXPIRED);
    cr_expect_geq(rig_now_ms() - before, 3 * (100 - 17));
    cr_expect_eq(atomic_load(&scene.story.idled), 3);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

static void pause_at_once(struct cw_conn *conn, void *user)
{
    rig_story_on_connection(conn, user);
    cw_conn_pause(conn);
}

Test(udp_peers, a_paused_peer_expires_too)
{
    struct cw_hooks hooks = rig_story_hooks;
    struct rig_udp peer;

    hooks.on_connection = pause_at_once;
    rig_udp_begin(&scene,
                  &(struct rig_udp_setup){.datagram = {.peer_idle_ms = 100}, .hooks = &hooks});
    peer = rig_udp_peer(&scene);
    rig_udp_send_text(&peer, "hello");
    rig_scene_await_closed(&scene, CW_EXPIRED);
    cr_expect_eq(atomic_load(&scene.story.messages), 0);
    rig_udp_await(&scene, dropped_paused, 1);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_peers, the_read_time_counts_what_the_peer_says_alone)
{
    struct cw_hooks hooks = rig_story_with_data(rig_udp_echo);
    const struct cw_message news = cw_message_text("news");
    struct rig_udp peer;
    uint64_t id;

    rig_udp_begin(&scene, &(struct rig_udp_setup){.server = {.read_ms = 200},
                                                  .datagram = {.amplification = CW_NO_LIMIT},
                                                  .hooks = &hooks});
    peer = rig_udp_peer(&scene);
    id = rig_udp_meet(&scene, &peer);
    while (atomic_load(&scene.story.closed) == 0) {
        cr_assert_eq(cw_send_to(rig_host_server(scene.host), id, &news), CW_OK);
        rest(20);
    }
    rig_scene_await_closed(&scene, CW_EREADTIME);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

/* ---- how many ---- */

static void close_all(struct rig_udp *peers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        rig_udp_close(&peers[i]);
    }
}

/* A server with room for so many peers, and one more peer than that, which has not said anything. */
static void begin_crowd(struct rig_udp *peers, size_t max)
{
    struct cw_hooks hooks = rig_story_with_data(rig_udp_tell_id);

    rig_udp_begin(&scene, &(struct rig_udp_setup){.datagram = {.peers_max = max}, .hooks = &hooks});
    for (size_t i = 0; i <= max; i++) {
        peers[i] = rig_udp_peer(&scene);
    }
}

Test(udp_peers, the_longest_idle_makes_room_for_one_more)
{
    struct rig_udp peers[5];
    uint64_t ids[5];

    begin_crowd(peers, 4);
    for (int i = 0; i < 4; i++) {
        ids[i] = rig_udp_ask_id(&peers[i]);
    }
    rest(50); /* the order is kept by the loop's ticks of 16 ms */
    cr_expect_eq(rig_udp_ask_id(&peers[0]), ids[0]); /* now the second is the longest idle */
    cr_expect_eq(atomic_load(&scene.story.closed), 0);
    ids[4] = rig_udp_ask_id(&peers[4]);
    rig_await(atomic_load(&scene.story.closed) == 1);
    cr_expect_eq(scene.story.reason.code, CW_REPLACED);
    rig_udp_await(&scene, peers_replaced, 1);
    cr_expect_eq(rig_host_conns(scene.host), 4);
    for (int i = 0; i < 5; i++) {
        if (i != 1) {
            cr_expect_eq(rig_udp_ask_id(&peers[i]), ids[i], "peer %d has stayed", i);
        }
    }
    cr_expect_not(is_there(ids[1]), "the second had to go");
    cr_expect_eq(atomic_load(&scene.story.errors), 0, "that is no error");
    close_all(peers, 5);
    rig_scene_end(&scene);
}

Test(udp_peers, without_a_limit_of_its_own_that_of_connections_counts)
{
    struct cw_hooks hooks = rig_story_with_data(rig_udp_tell_id);
    struct rig_udp peers[4];

    rig_udp_begin(&scene, &(struct rig_udp_setup){.server = {.conns_max = 3, .conns_per_ip_max = 3},
                                                  .hooks = &hooks});
    for (int i = 0; i < 4; i++) {
        peers[i] = rig_udp_peer_at(&scene, i == 3 ? "127.0.0.2" : "127.0.0.1");
        rig_udp_ask_id(&peers[i]);
    }
    rig_await(atomic_load(&scene.story.closed) == 1);
    cr_expect_eq(scene.story.reason.code, CW_REPLACED);
    cr_expect_eq(rig_host_conns(scene.host), 3);
    close_all(peers, 4);
    rig_scene_end(&scene);
}

Test(udp_peers, connections_of_streams_do_not_make_room_for_peers)
{
    struct cw_server *server =
        rig_udp_server(&(struct rig_udp_setup){.server = {.conns_max = 3, .conns_per_ip_max = 3}});
    const struct cw_hooks hooks = {.on_data = rig_echo};
    struct rig_peer streams[3];
    struct rig_udp peer;

    cw_server_listen(server,
                     &(struct cw_listen_options){.host = "127.0.0.1",
                                                 .service = cw_service(&cw_tcp, &hooks, NULL)});
    rig_udp_begin_server(&scene, server, NULL);
    for (int i = 0; i < 3; i++) {
        streams[i] = rig_peer_tcp(rig_host_port(scene.host, 1));
        rig_peer_send_text(&streams[i], "x");
        rig_peer_expect(&streams[i], "x");
    }
    peer = rig_udp_peer_at(&scene, "127.0.0.2");
    rig_udp_send_text(&peer, "hello");
    rig_udp_await(&scene, peers_refused, 1);
    cr_expect_eq(rig_scene_stats(&scene).refused_conns_max, 1);
    rig_await(atomic_load(&scene.story.errors) == 1);
    cr_expect_eq(scene.story.report.code, CW_ECONNSMAX);
    cr_expect_eq(scene.story.report_address.port, rig_udp_port(&peer));
    rig_peer_close(&streams[0]);
    rig_await(rig_host_conns(scene.host) == 2);
    rig_udp_expect_echo(&peer, "now");
    for (int i = 1; i < 3; i++) {
        rig_peer_send_text(&streams[i], "y");
        rig_peer_expect(&streams[i], "y");
        rig_peer_close(&streams[i]);
    }
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_peers, one_address_may_have_so_many_peers)
{
    struct rig_udp peers[4];

    rig_udp_begin(&scene,
                  &(struct rig_udp_setup){.server = {.conns_max = 100, .conns_per_ip_max = 2}});
    for (int i = 0; i < 4; i++) {
        peers[i] = rig_udp_peer_at(&scene, i == 3 ? "127.0.0.2" : "127.0.0.1");
    }
    rig_udp_meet(&scene, &peers[0]);
    rig_udp_meet(&scene, &peers[1]);
    rig_udp_send_text(&peers[2], "and me?");
    rig_udp_meet(&scene, &peers[3]);
    rig_udp_await(&scene, peers_refused, 1);
    rig_udp_expect_nothing(&peers[2]);
    cr_expect_eq(rig_scene_stats(&scene).refused_conns_per_ip, 1);
    rig_await(atomic_load(&scene.story.errors) == 1);
    cr_expect_eq(scene.story.report.code, CW_EADDRESSMAX);
    cw_close_id(rig_host_server(scene.host), rig_udp_meet(&scene, &peers[3]));
    rig_udp_expect_echo(&peers[0], "well");
    close_all(peers, 4);
    rig_scene_end(&scene);
}

/* ---- who makes room: strangers, then who came back, then who is proven ---- */

static void prove(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(conn);
    cw_conn_set_proven(conn);
}

/* Asks again until well after it was answered. */
static void come_back(struct rig_udp *peer, uint64_t id)
{
    uint64_t until = rig_now_ms() + 1500;

    do {
        cr_assert_eq(rig_udp_ask_id(peer), id);
        rest(100);
    } while (rig_now_ms() < until);
}

Test(udp_peers, strangers_make_room_before_known_ones_and_these_before_proven_ones)
{
    enum { PROVEN, RETURNING, FIRST, STRANGERS = 40 };
    struct rig_udp peers[4];
    uint64_t ids[3];

    begin_crowd(peers, 3);
    ids[PROVEN] = rig_udp_ask_id(&peers[PROVEN]);
    rig_host_run(scene.host, ids[PROVEN], prove, NULL);
    ids[RETURNING] = rig_udp_ask_id(&peers[RETURNING]);
    come_back(&peers[RETURNING], ids[RETURNING]);
    ids[FIRST] = rig_udp_ask_id(&peers[FIRST]);
    for (int i = 0; i < STRANGERS; i++) { /* each is heard of later than the other two */
        struct rig_udp stranger = rig_udp_peer(&scene);

        rig_udp_ask_id(&stranger);
        rig_udp_close(&stranger);
    }
    rig_udp_await(&scene, peers_replaced, STRANGERS);
    cr_expect_eq(rig_udp_ask_id(&peers[PROVEN]), ids[PROVEN]);
    cr_expect_eq(rig_udp_ask_id(&peers[RETURNING]), ids[RETURNING]);
    close_all(peers, 4);
    rig_scene_end(&scene);
}

/* Asks until there is a connection: who makes room does so only when it has been silent for a while. */
static uint64_t ask_until_answered(struct rig_udp *peer)
{
    uint64_t deadline = rig_now_ms() + RIG_DEADLINE_MS;
    uint64_t id = 0;

    while (rig_udp_try_receive(peer, &id, sizeof id) < 0) {
        rig_udp_send_text(peer, "who am I?");
        rest(20);
        rig_check(rig_now_ms() < deadline);
    }
    rest(100); /* for what was asked again meanwhile */
    rig_udp_forget(peer);
    return id;
}

Test(udp_peers, of_those_that_came_back_and_proven_ones_the_former_make_room)
{
    struct rig_udp peers[3];
    uint64_t ids[3];

    begin_crowd(peers, 2);
    ids[0] = rig_udp_ask_id(&peers[0]);
    rig_host_run(scene.host, ids[0], prove, NULL);
    ids[1] = rig_udp_ask_id(&peers[1]);
    come_back(&peers[1], ids[1]); /* heard of later than the proven one */
    ids[2] = ask_until_answered(&peers[2]);
    rig_udp_await(&scene, peers_replaced, 1);
    cr_expect_eq(rig_udp_ask_id(&peers[0]), ids[0]);
    cr_expect_eq(rig_udp_ask_id(&peers[2]), ids[2]);
    cr_expect_not(is_there(ids[1]));
    close_all(peers, 3);
    rig_scene_end(&scene);
}

Test(udp_peers, where_all_are_proven_the_longest_idle_makes_room)
{
    struct rig_udp peers[3];
    uint64_t ids[3];

    begin_crowd(peers, 2);
    for (int i = 0; i < 2; i++) {
        ids[i] = rig_udp_ask_id(&peers[i]);
        rig_host_run(scene.host, ids[i], prove, NULL);
    }
    rig_udp_send_text(&peers[2], "who am I?");
    rig_udp_await(&scene, peers_refused, 1); /* both have spoken just now */
    ids[2] = ask_until_answered(&peers[2]);
    rig_udp_await(&scene, peers_replaced, 1);
    cr_expect_eq(rig_udp_ask_id(&peers[1]), ids[1]);
    cr_expect_eq(rig_udp_ask_id(&peers[2]), ids[2]);
    close_all(peers, 3);
    rig_scene_end(&scene);
}

Test(udp_peers, a_peer_that_is_talked_to_but_never_answers_stays_a_stranger)
{
    struct rig_udp peers[3];
    uint64_t ids[3];

    begin_crowd(peers, 2);
    ids[0] = rig_udp_ask_id(&peers[0]);
    come_back(&peers[0], ids[0]);
    ids[1] = rig_udp_ask_id(&peers[1]);
    rig_host_run(scene.host, ids[1], rig_send_text, "you");
    rig_udp_expect(&peers[1], "you");
    ids[2] = rig_udp_ask_id(&peers[2]);
    rig_udp_await(&scene, peers_replaced, 1);
    cr_expect_eq(rig_udp_ask_id(&peers[0]), ids[0]);
    cr_expect_not(is_there(ids[1]));
    close_all(peers, 3);
    rig_scene_end(&scene);
}

Test(udp_peers, newcomers_to_a_full_house_do_not_push_out_each_other)
{
    enum { ROOM = 80, NEWCOMERS = 10 };
    struct cw_hooks hooks = rig_story_with_data(rig_udp_tell_id);
    struct rig_udp peers[ROOM];
    struct rig_udp newcomers[NEWCOMERS];
    uint64_t ids[ROOM];
    uint64_t first[NEWCOMERS];

    rig_udp_begin(&scene,
                  &(struct rig_udp_setup){.datagram = {.peers_max = ROOM, .peer_idle_ms = 20000},
                                          .hooks = &hooks});
    for (int i = 0; i < ROOM; i++) {
        peers[i] = rig_udp_peer(&scene);
        ids[i] = rig_udp_ask_id(&peers[i]);
    }
    rest(100);
    for (int i = 0; i < ROOM; i++) {
        cr_assert_eq(rig_udp_ask_id(&peers[i]), ids[i]);
    }
    rest(5500); /* a quarter of the idle time, and more */
    for (int i = 0; i < NEWCOMERS; i++) {
        newcomers[i] = rig_udp_peer(&scene);
        first[i] = rig_udp_ask_id(&newcomers[i]);
    }
    rest(100);
    for (int i = 0; i < NEWCOMERS; i++) {
        cr_expect_eq(rig_udp_ask_id(&newcomers[i]), first[i], "newcomer %d", i);
        rig_udp_close(&newcomers[i]);
    }
    rig_udp_await(&scene, peers_replaced, NEWCOMERS);
    cr_expect(is_there(ids[ROOM - 1]));
    close_all(peers, ROOM);
    rig_scene_end(&scene);
}

/* ---- a server that speaks first ---- */

struct call {
    struct cw_address peer;
    struct cw_address listener; /* none: the first */
    const char *text;
    uint64_t id; /* 0: there was no peer */
};

static void make_call(struct cw_loop *loop, struct cw_conn *none, void *arg)
{
    struct call *call = arg;
    const struct cw_address *listener =
        call->listener.family != CW_FAMILY_NONE ? &call->listener : NULL;
    struct cw_conn *conn = cw_datagram_peer(loop, listener, &call->peer);

    call->id = conn ? cw_conn_id(conn) : 0;
    if (conn) {
        rig_check(cw_conn_is_proven(conn));
        rig_check(cw_conn_credit(conn) == CW_NO_LIMIT);
        rig_check(cw_conn_send_text(conn, call->text) >= 0);
    }
}

Test(udp_peers, a_server_may_speak_first)
{
    struct cw_hooks hooks = rig_story_with_data(rig_udp_tell_id);
    struct rig_udp peer;
    struct call call = {.text = "are you there?"};

    rig_udp_begin(&scene, &(struct rig_udp_setup){.hooks = &hooks});
    peer = rig_udp_peer(&scene);
    call.peer = rig_udp_address(&peer);
    rig_host_run(scene.host, 0, make_call, &call);
    cr_expect_eq(atomic_load(&scene.story.opened), 1);
    rig_udp_expect(&peer, "are you there?");
    cr_expect_eq(rig_udp_ask_id(&peer), call.id, "its answer is its own");
    rig_host_run(scene.host, 0, make_call, &call);
    rig_udp_expect(&peer, "are you there?");
    cr_expect_eq(rig_udp_ask_id(&peer), call.id, "it is found again");
    cr_expect_eq(atomic_load(&scene.story.opened), 1);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_peers, who_was_spoken_to_first_from_all_addresses_answers_to_one)
{
    struct cw_hooks hooks = rig_story_with_data(rig_udp_tell_id);
    struct rig_udp peer;
    struct call call = {.text = "are you there?"};

    rig_udp_begin(&scene, &(struct rig_udp_setup){.host = "0.0.0.0", .hooks = &hooks});
    peer = rig_udp_peer(&scene);
    call.peer = rig_udp_address(&peer);
    for (int i = 0; i < 3; i++) {
        rig_host_run(scene.host, 0, make_call, &call);
        rig_udp_expect(&peer, "are you there?");
        cr_expect_eq(rig_udp_ask_id(&peer), call.id);
    }
    cr_expect_eq(atomic_load(&scene.story.opened), 1);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_peers, a_server_speaks_from_the_listener_that_is_named)
{
    struct cw_server *server = rig_udp_server(&(struct rig_udp_setup){0});
    struct call call = {.text = "hello"};
    struct rig_udp peer;

    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1"});
    rig_udp_begin_server(&scene, server, NULL);
    peer = rig_udp_peer(&scene);
    call.peer = rig_udp_address(&peer);
    for (unsigned i = 0; i < 2; i++) {
        rig_udp_turn_port(&peer, rig_host_port(scene.host, i));
        call.listener = peer.to;
        rig_host_run(scene.host, 0, make_call, &call);
        cr_expect_neq(call.id, 0);
        rig_udp_expect(&peer, "hello");
        rig_udp_expect_echo(&peer, "hello yourself");
    }
    cr_expect_eq(atomic_load(&scene.story.opened), 2);
    call.listener.port = 1;
    rig_host_run(scene.host, 0, make_call, &call);
    cr_expect_eq(call.id, 0, "no such listener");
    rig_udp_expect_nothing(&peer);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_peers, a_server_that_names_no_listener_speaks_from_the_first)
{
    struct cw_server *server = rig_udp_server(&(struct rig_udp_setup){0});
    struct call call = {.text = "hello"};
    struct rig_udp peer;

    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1"});
    rig_udp_begin_server(&scene, server, NULL);
    peer = rig_udp_peer(&scene);
    call.peer = rig_udp_address(&peer);
    rig_host_run(scene.host, 0, make_call, &call);
    rig_udp_expect(&peer, "hello");
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_peers, a_server_without_datagrams_has_no_peers_to_speak_to)
{
    struct call call = {.peer = rig_address("127.0.0.1:9"), .text = "hello", .id = 1};
    struct rig_scene tcp;

    rig_scene_begin(&tcp, &cw_tcp, NULL, &rig_story_hooks);
    rig_host_run(tcp.host, 0, make_call, &call);
    cr_expect_eq(call.id, 0);
    rig_scene_end(&tcp);
}

Test(udp_peers, an_address_of_another_family_is_no_peer)
{
    struct call call = {.peer = rig_address("[::1]:9"), .text = "hello", .id = 1};

    rig_udp_begin(&scene, &(struct rig_udp_setup){0});
    rig_host_run(scene.host, 0, make_call, &call);
    cr_expect_eq(call.id, 0);
    call.peer = (struct cw_address){.family = CW_UNIX};
    call.id = 1;
    rig_host_run(scene.host, 0, make_call, &call);
    cr_expect_eq(call.id, 0);
    cr_expect_eq(atomic_load(&scene.story.opened), 0);
    rig_scene_end(&scene);
}

static void keep_telling(struct cw_conn *conn, void *user)
{
    cw_conn_send_text(conn, "the news");
}

static void tell_news(struct cw_conn *conn, void *user)
{
    rig_story_hooks.on_connection(conn, user);
    cw_conn_set_proven(conn);
    rig_check(cw_conn_after(conn, 20, 20, keep_telling, NULL) == CW_OK);
}

Test(udp_peers, who_is_sent_to_and_says_nothing_expires_after_a_silence_of_his_own)
{
    struct cw_hooks hooks = rig_story_hooks;
    struct rig_udp peer;

    hooks.on_connection = tell_news;
    rig_udp_begin(
        &scene, &(struct rig_udp_setup){
                    .hooks = &hooks, .datagram = {.peer_idle_ms = CW_OFF, .peer_silent_ms = 300}});
    peer = rig_udp_peer(&scene);
    rig_udp_send_text(&peer, "tell me");
    rig_udp_expect(&peer, "the news");
    rig_await(atomic_load(&scene.story.closed) == 1);
    cr_expect_eq(scene.story.reason.code, CW_EXPIRED);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

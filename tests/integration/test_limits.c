/* Whatever can grow has a limit: connections, descriptors, queues, mailboxes, memory. */
#include "support/child.h"
#include "support/leak.h"
#include "support/memory.h"
#include "support/scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

TestSuite(limits, .fini = rig_expect_no_leak, .timeout = 120);

static struct rig_peer from(const struct rig_host *host, const char *source)
{
    return rig_peer_tcp_from(source, "127.0.0.1", rig_host_port(host, 0), 0);
}

static void expect_echo(struct rig_peer *peer)
{
    rig_peer_send_text(peer, "hello");
    rig_peer_expect(peer, "hello");
}

/* ---- how many connections ---- */

Test(limits, one_connection_above_conns_max_is_closed_at_once_and_reported)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct cw_server_options options = {.conns_max = 3, .conns_per_ip_max = 3};
    struct rig_story story = {0};
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, &options), &hooks, &story);
    struct cw_server_stats stats;
    struct rig_peer peers[3];
    struct rig_peer refused;

    for (int i = 0; i < 3; i++) {
        peers[i] = from(host, NULL);
        expect_echo(&peers[i]);
    }
    refused = from(host, "127.0.0.9");
    rig_peer_expect_gone(&refused);
    rig_peer_close(&refused);
    rig_await(atomic_load(&story.errors) == 1);
    cr_expect_eq(story.report.code, CW_ECONNSMAX);
    cr_expect_eq(story.report.limit, 3);
    cr_expect_eq(story.report.conn_id, 0);
    cr_expect_null(story.report.conn);
    cr_expect_eq(story.report_address.ip[3], 9);
    cr_expect_str_eq(story.report.text, "accept: refused: the limit on connections is reached (3)");
    for (int i = 0; i < 3; i++) {
        expect_echo(&peers[i]); /* the others did not feel it */
    }
    rig_peer_close(&peers[0]);
    rig_await(rig_host_conns(host) == 2);
    peers[0] = from(host, NULL);
    expect_echo(&peers[0]);
    cw_server_stats(rig_host_server(host), &stats);
    cr_expect_eq(stats.refused_conns_max, 1);
    cr_expect_eq(stats.conns_total, 4);
    cr_expect_eq(stats.conns_open, 3);
    for (int i = 0; i < 3; i++) {
        rig_peer_close(&peers[i]);
    }
    rig_host_end(host);
    cr_expect_eq(atomic_load(&story.opened), 4);
}

Test(limits, one_address_has_its_own_limit)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct cw_server_options options = {.conns_max = 10, .conns_per_ip_max = 2};
    struct rig_story story = {0};
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, &options), &hooks, &story);
    struct cw_server_stats stats;
    struct rig_peer peers[4];
    struct rig_peer refused;

    for (int i = 0; i < 4; i++) {
        peers[i] = from(host, i % 2 ? "127.0.0.2" : "127.0.0.3");
        expect_echo(&peers[i]);
    }
    refused = from(host, "127.0.0.2");
    rig_peer_expect_gone(&refused);
    rig_peer_close(&refused);
    rig_await(atomic_load(&story.errors) == 1);
    cr_expect_eq(story.report.code, CW_EADDRESSMAX);
    cr_expect_eq(story.report.limit, 2);
    cr_expect_eq(story.report_address.ip[3], 2);
    rig_peer_close(&peers[1]);
    rig_await(rig_host_conns(host) == 3);
    peers[1] = from(host, "127.0.0.2");
    expect_echo(&peers[1]);
    cw_server_stats(rig_host_server(host), &stats);
    cr_expect_eq(stats.refused_conns_per_ip, 1);
    cr_expect_eq(stats.refused_conns_max, 0);
    for (int i = 0; i < 4; i++) {
        rig_peer_close(&peers[i]);
    }
    rig_host_end(host);
}

Test(limits, by_default_one_address_may_have_a_tenth)
{
    enum { TENTH = 12 };
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct cw_server_options options = {.conns_max = 10 * TENTH};
    struct rig_story story = {0};
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, &options), &hooks, &story);
    struct rig_peer peers[TENTH + 1];

    for (int i = 0; i <= TENTH; i++) {
        peers[i] = from(host, NULL);
        if (i < TENTH) {
            expect_echo(&peers[i]);
        }
    }
    rig_peer_expect_gone(&peers[TENTH]);
    rig_await(atomic_load(&story.errors) == 1);
    cr_expect_eq(story.report.limit, TENTH);
    for (int i = 0; i <= TENTH; i++) {
        rig_peer_close(&peers[i]);
    }
    rig_host_end(host);
}

Test(limits, one_ipv6_address_is_counted_too)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct cw_server *server = cw_create_server(&cw_tcp);
    struct rig_story story = {0};
    struct rig_host *host;
    struct rig_peer first;
    struct rig_peer second;

    cw_server_configure(server, &(struct cw_server_options){.conns_per_ip_max = 1});
    cw_server_listen(server, &(struct cw_listen_options){.host = "::1"});
    host = rig_host_start(server, &hooks, &story);
    first = rig_peer_tcp_from(NULL, "::1", rig_host_port(host, 0), 0);
    expect_echo(&first);
    second = rig_peer_tcp_from(NULL, "::1", rig_host_port(host, 0), 0);
    rig_peer_expect_gone(&second);
    rig_await(atomic_load(&story.errors) == 1);
    cr_expect_eq(story.report.code, CW_EADDRESSMAX);
    cr_expect_eq(story.report_address.family, CW_IPV6);
    rig_peer_close(&first);
    rig_peer_close(&second);
    rig_host_end(host);
}

Test(limits, peers_on_a_unix_socket_are_not_counted_by_address)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct cw_server *server = cw_create_server(&cw_tcp);
    struct rig_story story = {0};
    struct rig_host *host;
    struct rig_peer peers[5];
    char path[64];

    snprintf(path, sizeof path, "/tmp/causeway-limits-%d", (int)getpid());
    cw_server_configure(server, &(struct cw_server_options){.conns_per_ip_max = 1});
    cw_server_listen(server, &(struct cw_listen_options){.unix_path = path});
    host = rig_host_start(server, &hooks, &story);
    for (int i = 0; i < 5; i++) {
        peers[i] = rig_peer_unix(path);
        expect_echo(&peers[i]);
    }
    for (int i = 0; i < 5; i++) {
        rig_peer_close(&peers[i]);
    }
    rig_host_end(host);
    cr_expect_eq(atomic_load(&story.errors), 0);
}

static atomic_uint refused_lines;
static atomic_uint left_out_lines;

static void count_lines(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    if (strstr(text, "CW_ECONNSMAX")) {
        atomic_fetch_add(&refused_lines, 1);
    } else if (strstr(text, "were left out")) {
        atomic_fetch_add(&left_out_lines, 1);
    }
}

Test(limits, every_refusal_is_counted_and_few_are_logged)
{
    enum { REFUSED = 300 };
    struct cw_server_options options = {.conns_max = 1, .workers = 2};
    uint64_t before = rig_now_ms();
    struct cw_server_stats stats;
    struct rig_host *host;
    struct rig_peer peer;
    uint64_t seconds;

    cw_log_set(count_lines, NULL);
    host = rig_host_start(rig_server(&cw_tcp, &options), &(struct cw_hooks){.on_data = rig_echo},
                          NULL);
    peer = from(host, NULL);
    expect_echo(&peer);
    for (int i = 0; i < REFUSED; i++) {
        struct rig_peer refused = from(host, NULL);
        rig_peer_expect_gone(&refused);
        rig_peer_close(&refused);
    }
    do {
        cw_server_stats(rig_host_server(host), &stats);
    } while (stats.refused_conns_max < REFUSED && rig_rest(before + RIG_DEADLINE_MS));
    cr_expect_eq(stats.refused_conns_max, REFUSED);
    seconds = (rig_now_ms() - before) / 1000 + 2; /* that the clock has touched */
    cr_expect_leq(atomic_load(&refused_lines), 10 * 2 * seconds, "ten a second of each worker");
    cr_expect_geq(atomic_load(&refused_lines), 10);
    rig_peer_close(&peer);
    rig_host_end(host);
    cw_log_set(NULL, NULL);
}

/* Connects as fast as it can, all at once, and keeps what is let in. */
Test(limits, the_limit_is_exact_for_many_at_once_on_two_workers)
{
    enum { PEERS = 200, MAX = 37 };
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct cw_server_options options = {.conns_max = MAX, .conns_per_ip_max = MAX, .workers = 2};
    struct rig_story story = {0};
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, &options), &hooks, &story);
    static struct rig_peer peers[PEERS];
    struct cw_server_stats stats;
    int let_in = 0;

    for (int i = 0; i < PEERS; i++) {
        peers[i] = from(host, NULL);
    }
    for (int i = 0; i < PEERS; i++) {
        char byte;
        if (rig_peer_try_send(&peers[i], "x", 1) == 1 &&
            rig_peer_receive_some(&peers[i], &byte, 1) == 1) {
            let_in++;
        }
    }
    cr_expect_eq(let_in, MAX);
    rig_await(atomic_load(&story.errors) == PEERS - MAX);
    cw_server_stats(rig_host_server(host), &stats);
    cr_expect_eq(stats.refused_conns_max, PEERS - MAX);
    cr_expect_eq(stats.conns_open, MAX);
    for (int i = 0; i < PEERS; i++) {
        rig_peer_close(&peers[i]);
    }
    rig_await(rig_host_conns(host) == 0);
    rig_host_end(host);
}

/* ---- descriptors ---- */

static int serve_with_few_descriptors(void *arg)
{
    struct cw_server *server = cw_create_server(&cw_tcp);

    if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){40, 40}) < 0) {
        return 2;
    }
    cw_server_set_hooks(server, &(struct cw_hooks){.on_data = rig_echo}, NULL);
    cw_server_configure(server,
                        &(struct cw_server_options){.conns_max = 1000, .conns_per_ip_max = 1000});
    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1"});
    return cw_server_main(server);
}

static uint16_t port_of(struct rig_child *child)
{
    const char *at;

    rig_child_await_text(child, "listening on tcp://127.0.0.1:");
    at = strstr(child->text, "127.0.0.1:");
    return (uint16_t)strtoul(at + 10, NULL, 10);
}

Test(limits, out_of_descriptors_accepting_rests_without_spinning_and_goes_on)
{
    enum { PEERS = 60 };
    struct rig_child child;
    struct rig_peer peers[PEERS];
    uint16_t port;
    uint64_t until;
    long cpu_ms;
    uint64_t before;

    rig_child_fork(&child, serve_with_few_descriptors, NULL);
    port = port_of(&child);
    for (int i = 0; i < PEERS; i++) {
        peers[i] = rig_peer_tcp(port);
    }
    expect_echo(&peers[0]);
    rig_child_await_text(&child, "CW_EDESCRIPTORS");
    cpu_ms = rig_child_cpu_ms(&child);
    before = rig_now_ms();
    until = before + 1000;
    while (rig_rest(until)) {}
    cpu_ms = rig_child_cpu_ms(&child) - cpu_ms;
    cr_expect_leq(cpu_ms, 100, "%ld ms of processor time in %d ms", cpu_ms,
                  (int)(rig_now_ms() - before));
    expect_echo(&peers[1]); /* those who are in are served */
    for (int i = 0; i < PEERS - 5; i++) {
        rig_peer_close(&peers[i]);
    }
    for (int i = PEERS - 5; i < PEERS; i++) {
        expect_echo(&peers[i]);
        rig_peer_close(&peers[i]);
    }
    rig_child_signal(&child, SIGTERM);
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
    cr_expect_not_null(strstr(child.text, "the limit on descriptors is 40"), "%s", child.text);
}

/* ---- the share of one turn ---- */

struct turnstile {
    struct rig_story story;
    atomic_bool release;
    atomic_bool waiting;
    unsigned opened_before_data;
};

static void wait_for_release(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct turnstile *turnstile = arg;

    atomic_store(&turnstile->waiting, true);
    rig_await(atomic_load(&turnstile->release));
}

static void note_opened(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct turnstile *turnstile = user;

    turnstile->opened_before_data = atomic_load(&turnstile->story.opened);
    rig_story_on_data(conn, msg, user);
}

Test(limits, accepting_leaves_room_for_the_others_between_turns)
{
    enum { PEERS = 50 };
    struct turnstile turnstile = {.release = false};
    struct cw_hooks hooks = rig_story_with_data(note_opened);
    struct cw_server_options options = {.accepts_per_turn = 2};
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, &options), &hooks, &turnstile);
    struct rig_peer first = from(host, NULL);
    struct rig_peer peers[PEERS];

    rig_await(atomic_load(&turnstile.story.opened) == 1);
    cr_assert_eq(cw_server_post(rig_host_server(host), 0, wait_for_release, &turnstile), CW_OK);
    rig_await(atomic_load(&turnstile.waiting));
    for (int i = 0; i < PEERS; i++) {
        peers[i] = from(host, NULL);
    }
    rig_peer_send_text(&first, "x");
    atomic_store(&turnstile.release, true);
    rig_await(atomic_load(&turnstile.story.messages) == 1);
    cr_expect_leq(turnstile.opened_before_data, 1 + 2 * 2);
    rig_await(atomic_load(&turnstile.story.opened) == PEERS + 1);
    for (int i = 0; i < PEERS; i++) {
        rig_peer_close(&peers[i]);
    }
    rig_peer_close(&first);
    rig_host_end(host);
}

/* ---- memory ---- */

static const uint64_t gibibyte = 1ull << 30;

static ptrdiff_t endless(uint8_t *buffer, size_t cap, void *user)
{
    memset(buffer, 'x', cap);
    return (ptrdiff_t)cap;
}

static void push_source(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(cw_conn_send_source(conn, gibibyte, endless, NULL, NULL) == CW_OK);
}

static void push_sends(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    static const uint8_t bytes[65536];
    struct cw_conn_stats stats;

    for (uint64_t sent = 0; sent < gibibyte; sent += sizeof bytes) {
        int answer = cw_conn_send_bytes(conn, bytes, sizeof bytes);
        rig_check(answer >= 0 || answer == CW_EFULL);
    }
    cw_conn_stats(conn, &stats);
    rig_check(stats.queued_bytes <= 1 << 20);
}

static void push_a_gibibyte(cw_post_fn push)
{
    struct cw_server_options options = {.write_ms = CW_OFF};
    struct rig_scene scene;
    size_t before;
    size_t after;

    rig_scene_begin(&scene, &cw_tcp, &options, &rig_story_hooks);
    rig_scene_conn(&scene);
    before = rig_memory_resident();
    rig_scene_run(&scene, push, NULL);
    for (int i = 0; i < 100; i++) {
        rig_scene_run(&scene, rig_pass, NULL);
    }
    after = rig_memory_resident();
    cr_expect_leq(after, before + (8 << 20), "grew by %zu KiB", (after - before) / 1024);
    rig_scene_end(&scene);
}

Test(limits, a_peer_that_never_reads_a_gibibyte_costs_no_more_than_its_queue)
{
    push_a_gibibyte(push_source);
    push_a_gibibyte(push_sends);
}

/* Connections are accepted in order: when this one has come and gone, all before it have. */
static void pass_through(struct rig_host *host, struct rig_story *story)
{
    struct rig_peer peer = from(host, NULL);

    rig_peer_send_frame(&peer, "last", 4);
    rig_await(atomic_load(&story->messages) > 0);
    atomic_store(&story->messages, 0);
    rig_peer_close(&peer);
    rig_await(rig_host_conns(host) == 0);
    rig_host_run(host, 0, rig_pass, NULL);
}

/* Half in the middle of a body, half in the middle of a header. Forty at a time: libevent keeps a little for every
 * descriptor that has ever been open; a loop keeps a few large buffers. */
static void reset_many(struct rig_host *host, struct rig_story *story, int count)
{
    static const uint8_t half_a_frame[4 + 30000] = {0, 0, 0xff, 0xff};

    for (int i = 0; i < count; i++) {
        struct rig_peer peer = from(host, NULL);
        rig_peer_send(&peer, half_a_frame, i % 2 ? sizeof half_a_frame : 3);
        rig_peer_reset(&peer);
        if (i % 40 == 39) {
            pass_through(host, story);
        }
    }
}

Test(limits, a_thousand_resets_in_the_middle_of_a_message_leave_nothing)
{
    struct rig_story story = {0};
    struct rig_host *host;
    int64_t around;
    int64_t pieces;
    int64_t bytes;

    rig_memory_count();
    cw_loop_free(cw_loop_new()); /* what libevent keeps for the process */
    around = rig_memory_pieces();
    host = rig_host_start(rig_server(&cw_framed, NULL), &rig_story_hooks, &story);
    reset_many(host, &story, 200);
    pieces = rig_memory_pieces();
    bytes = rig_memory_bytes();
    reset_many(host, &story, 800);
    cr_expect_leq(rig_memory_pieces(), pieces + 45, "%d pieces, %d before",
                  (int)rig_memory_pieces(), (int)pieces);
    cr_expect_leq(rig_memory_bytes(), bytes + 1200000, "%d bytes, %d before",
                  (int)rig_memory_bytes(), (int)bytes);
    rig_host_end(host);
    cr_expect_eq(rig_memory_pieces(), around);
    cr_expect_eq(atomic_load(&story.opened), atomic_load(&story.closed));
}

/* ---- the mailbox ---- */

static void count_run(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    atomic_fetch_add((atomic_uint *)arg, 1);
}

Test(limits, a_full_mailbox_refuses_posts_and_takes_closes_still)
{
    struct turnstile turnstile = {.release = false};
    struct cw_server_options options = {.mailbox_max = 10};
    struct rig_host *host =
        rig_host_start(rig_server(&cw_tcp, &options), &rig_story_hooks, &turnstile);
    struct cw_server *server = rig_host_server(host);
    struct rig_peer peer = from(host, NULL);
    struct cw_message msg = cw_message_text("x");
    atomic_uint runs = 0;
    uint64_t id;

    rig_await(atomic_load(&turnstile.story.opened) == 1);
    id = atomic_load(&turnstile.story.conn_id);
    cr_assert_eq(cw_server_post(server, 0, wait_for_release, &turnstile), CW_OK);
    rig_await(atomic_load(&turnstile.waiting));
    for (int i = 0; i < 10; i++) {
        cr_expect_eq(cw_server_post(server, 0, count_run, &runs), CW_OK);
    }
    cr_expect_eq(cw_server_post(server, 0, count_run, &runs), CW_EFULL);
    cr_expect_eq(cw_send_to(server, id, &msg), CW_EFULL);
    cr_expect_eq(cw_close_id(server, id), CW_OK);
    cr_expect_eq(cw_abort_id(server, id), CW_OK);
    atomic_store(&turnstile.release, true);
    rig_await(atomic_load(&runs) == 10);
    rig_await(atomic_load(&turnstile.story.closed) == 1);
    cr_expect_eq(cw_server_post(server, 0, count_run, &runs), CW_OK);
    rig_await(atomic_load(&runs) == 11);
    rig_peer_close(&peer);
    rig_host_end(host);
}

Test(limits, a_mailbox_bounds_the_bytes_of_messages_too)
{
    struct turnstile turnstile = {.release = false};
    struct cw_server_options options = {.mailbox_max_bytes = 10000};
    struct rig_host *host =
        rig_host_start(rig_server(&cw_tcp, &options), &rig_story_hooks, &turnstile);
    struct cw_server *server = rig_host_server(host);
    struct rig_peer peer = from(host, NULL);
    uint8_t bytes[4000] = {0};
    struct cw_message msg = cw_message_of(bytes, sizeof bytes);
    uint64_t id;

    rig_await(atomic_load(&turnstile.story.opened) == 1);
    id = atomic_load(&turnstile.story.conn_id);
    cr_assert_eq(cw_server_post(server, 0, wait_for_release, &turnstile), CW_OK);
    rig_await(atomic_load(&turnstile.waiting));
    cr_expect_eq(cw_send_to(server, id, &msg), CW_OK);
    cr_expect_eq(cw_send_to(server, id, &msg), CW_OK);
    cr_expect_eq(cw_send_to(server, id, &msg), CW_EFULL);
    msg.body.len = 10;
    cr_expect_eq(cw_send_to(server, id, &msg), CW_OK);
    atomic_store(&turnstile.release, true);
    rig_peer_receive(&peer, bytes, 4000);
    rig_peer_receive(&peer, bytes, 4000);
    rig_peer_receive(&peer, bytes, 10);
    rig_peer_close(&peer);
    rig_host_end(host);
}

/* ---- all queues of a loop together ---- */

static void add_queued(struct cw_conn *conn, void *user)
{
    struct cw_conn_stats stats;

    cw_conn_stats(conn, &stats);
    *(uint64_t *)user += stats.queued_bytes;
}

static void ask_queued(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    cw_loop_each_conn(loop, add_queued, arg);
}

static void fill(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    static const uint8_t bytes[10000];
    int answer = 0;

    while (answer >= 0) {
        answer = cw_conn_send_bytes(conn, bytes, sizeof bytes);
    }
    rig_check(answer == CW_EFULL);
}

static struct rig_peer slow_peer(const struct rig_host *host, struct rig_story *story, uint64_t *id)
{
    unsigned before = atomic_load(&story->opened);
    struct rig_peer peer = rig_peer_tcp_from(NULL, "127.0.0.1", rig_host_port(host, 0), 4096);

    rig_await(atomic_load(&story->opened) == before + 1);
    *id = atomic_load(&story->conn_id);
    return peer;
}

/* A server with several slow peers, whose loop may hold a megabyte in all. */
static struct rig_host *start_hoarding(struct rig_story *story)
{
    struct cw_server *server = cw_create_server(&cw_tcp);

    cw_server_configure(
        server, &(struct cw_server_options){.buffered_max_bytes = 1000000, .write_ms = CW_OFF});
    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1",
                                                         .tcp = {.send_buffer_bytes = 16384}});
    return rig_host_start(server, &rig_story_hooks, story);
}

Test(limits, all_queues_of_a_loop_together_stay_under_their_limit)
{
    struct rig_story story = {0};
    struct rig_host *host = start_hoarding(&story);
    uint64_t queued = 0;
    struct rig_peer peers[3];
    uint64_t ids[3];

    for (int i = 0; i < 3; i++) {
        peers[i] = slow_peer(host, &story, &ids[i]);
    }
    for (int i = 0; i < 3; i++) {
        rig_host_run(host, ids[i], fill, NULL);
    }
    rig_host_run(host, 0, ask_queued, &queued);
    cr_expect_leq(queued, 1000000);
    cr_expect_geq(queued, 900000);
    for (int i = 0; i < 3; i++) {
        rig_peer_close(&peers[i]);
    }
    rig_host_end(host);
}

static void expect_full(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    static const uint8_t bytes[500000];

    rig_check(cw_conn_send_bytes(conn, bytes, sizeof bytes) == CW_EFULL);
}

Test(limits, who_was_refused_because_of_others_is_told_when_they_have_made_room)
{
    struct rig_story story = {0};
    struct rig_host *host = start_hoarding(&story);
    struct rig_peer peers[2];
    uint64_t ids[2];

    for (int i = 0; i < 2; i++) {
        peers[i] = slow_peer(host, &story, &ids[i]);
    }
    rig_host_run(host, ids[0], fill, NULL);
    rig_host_run(host, ids[1], expect_full, NULL); /* its own queue is empty */
    rig_host_run(host, ids[0], rig_abort, NULL);
    rig_await(atomic_load(&story.drained) == 1);
    for (int i = 0; i < 2; i++) {
        rig_peer_close(&peers[i]);
    }
    rig_host_end(host);
}

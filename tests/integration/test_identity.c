/* Who a connection is: its id, address, user data, figures and settings. */
#include "support/leak.h"
#include "support/scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/middleware.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cjson/cJSON.h>

TestSuite(identity, .fini = rig_expect_no_leak, .timeout = 60);

/* ---- ids ---- */

Test(identity, an_id_is_never_given_twice)
{
    enum { CONNS = 300 };
    struct rig_story story = {0};
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, NULL), &rig_story_hooks, &story);
    uint64_t ids[CONNS];

    for (unsigned i = 0; i < CONNS; i++) { /* the same slot, again and again */
        struct rig_peer peer = rig_peer_tcp(rig_host_port(host, 0));
        rig_await(atomic_load(&story.opened) == i + 1);
        ids[i] = atomic_load(&story.conn_id);
        cr_expect_geq(ids[i], 256, "an id is never taken for a worker's number");
        for (unsigned j = 0; j < i; j++) {
            cr_assert_neq(ids[i], ids[j]);
        }
        rig_peer_close(&peer);
        rig_await(atomic_load(&story.closed) == i + 1);
    }
    rig_host_end(host);
}

static void look_up(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    uint64_t *id = arg;

    rig_check(cw_loop_conn(loop, *id) == conn);
    *id = conn ? cw_conn_id(conn) : 0;
}

static void look_up_others(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    uint64_t id = *(uint64_t *)arg;

    rig_check(!cw_loop_conn(loop, 0));
    rig_check(!cw_loop_conn(loop, id + 1));
    rig_check(!cw_loop_conn(loop, id + (1ull << 24)));
    rig_check(!cw_loop_conn(loop, id + (1ull << 32)));
    rig_check(!cw_loop_conn(loop, UINT64_MAX));
}

Test(identity, an_id_finds_its_connection_while_it_lives_and_nothing_afterwards)
{
    struct rig_scene scene;
    uint64_t id;
    uint64_t found;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    id = found = rig_scene_conn(&scene);
    rig_scene_run(&scene, look_up, &found);
    cr_expect_eq(found, id);
    rig_scene_run(&scene, look_up_others, &id);
    rig_peer_close(&scene.peer);
    rig_await(atomic_load(&scene.story.closed) == 1);
    found = id;
    rig_scene_run(&scene, look_up, &found);
    cr_expect_eq(found, 0);
    cr_expect_eq(cw_close_id(rig_host_server(scene.host), id), CW_OK);
    cr_expect_eq(cw_abort_id(rig_host_server(scene.host), id), CW_OK);
    cr_expect_eq(cw_close_id(rig_host_server(scene.host), id + (1ull << 24)), CW_ENOTFOUND);
    rig_scene_end(&scene);
}

/* ---- where ---- */

struct ends {
    struct cw_address peer;
    struct cw_address local;
    int local_answer;
};

static void ask_addresses(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct ends *ends = arg;

    ends->peer = *cw_conn_peer(conn);
    ends->local_answer = cw_conn_local(conn, &ends->local);
    rig_check(cw_conn_loop(conn) == loop);
    rig_check(cw_conn_server(conn) == cw_loop_server(loop));
    rig_check(cw_conn_service_user(conn) == cw_server_user(cw_conn_server(conn)));
    rig_check(cw_conn_user(conn) == NULL);
    cw_conn_set_user(conn, ends);
    rig_check(cw_conn_user(conn) == ends);
}

Test(identity, a_connection_knows_both_its_addresses)
{
    struct rig_scene scene;
    struct ends ends;
    char text[CW_ADDRESS_TEXT_MAX];
    char expected[64];

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, ask_addresses, &ends);
    snprintf(expected, sizeof expected, "127.0.0.1:%u", rig_peer_port(&scene.peer));
    cr_expect_str_eq(cw_address_print(&ends.peer, text), expected);
    cr_expect_eq(ends.local_answer, CW_OK);
    snprintf(expected, sizeof expected, "127.0.0.1:%u", rig_host_port(scene.host, 0));
    cr_expect_str_eq(cw_address_print(&ends.local, text), expected);
    rig_scene_end(&scene);
}

/* ---- figures ---- */

static void ask_stats(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    cw_conn_stats(conn, arg);
}

Test(identity, the_figures_of_a_connection_and_of_the_server_are_exact)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct rig_scene scene;
    struct cw_conn_stats stats;
    struct cw_server_stats total;
    char buffer[100];

    rig_scene_begin(&scene, &cw_framed, NULL, &hooks);
    for (int i = 0; i < 10; i++) {
        rig_peer_send_frame(&scene.peer, buffer, sizeof buffer);
        cr_assert_eq(rig_peer_receive_frame(&scene.peer, buffer, sizeof buffer), sizeof buffer);
    }
    rig_scene_run(&scene, ask_stats, &stats);
    cr_expect_eq(stats.bytes_in, 1040);
    cr_expect_eq(stats.bytes_out, 1040);
    cr_expect_eq(stats.messages_in, 10);
    cr_expect_eq(stats.messages_out, 10);
    cr_expect_eq(stats.messages_dropped, 0);
    cr_expect_eq(stats.queued_bytes, 0);
    cr_expect_geq(stats.connected_at_ms, 1600000000000ull);
    cr_expect_lt(stats.idle_ms, 10000);
    cr_expect_lt(stats.silent_ms, 10000);
    cw_server_stats(rig_host_server(scene.host), &total);
    cr_expect_eq(total.conns_open, 1);
    cr_expect_eq(total.conns_total, 1);
    cr_expect_eq(total.bytes_in, 1040);
    cr_expect_eq(total.bytes_out, 1040);
    cr_expect_eq(total.messages_in, 10);
    cr_expect_eq(total.messages_out, 10);
    rig_peer_reset(&scene.peer);
    rig_await(rig_host_conns(scene.host) == 0);
    cw_server_stats(rig_host_server(scene.host), &total);
    cr_expect_eq(total.closed_by_error, 1);
    cr_expect_eq(total.conns_total, 1);
    rig_scene_end(&scene);
}

Test(identity, the_figures_stay_after_the_stop)
{
    struct rig_scene scene;
    struct cw_server_stats total;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_peer_send_text(&scene.peer, "hello");
    rig_await(atomic_load(&scene.story.messages) == 1);
    cr_expect_eq(rig_host_stop(scene.host), CW_OK);
    cw_server_stats(rig_host_server(scene.host), &total);
    cr_expect_eq(total.conns_open, 0);
    cr_expect_eq(total.conns_total, 1);
    cr_expect_eq(total.bytes_in, 5);
    rig_peer_close(&scene.peer);
    rig_host_free(scene.host);
}

/* ---- TCP's knobs ---- */

static int ask(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;

    rig_check(getsockopt(fd, level, name, &value, &len) == 0);
    return value;
}

struct knobs {
    int keepalive, idle, interval, count, user_timeout, nodelay;
};

static void read_knobs(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    int fd = cw_conn_fd(conn);

    *(struct knobs *)arg = (struct knobs){
        .keepalive = ask(fd, SOL_SOCKET, SO_KEEPALIVE),
        .idle = ask(fd, IPPROTO_TCP, TCP_KEEPIDLE),
        .interval = ask(fd, IPPROTO_TCP, TCP_KEEPINTVL),
        .count = ask(fd, IPPROTO_TCP, TCP_KEEPCNT),
        .user_timeout = ask(fd, IPPROTO_TCP, TCP_USER_TIMEOUT),
        .nodelay = ask(fd, IPPROTO_TCP, TCP_NODELAY),
    };
}

static void expect_knobs(const struct knobs *got, const struct knobs *expected)
{
    cr_expect_eq(got->keepalive, expected->keepalive);
    if (expected->keepalive) {
        cr_expect_eq(got->idle, expected->idle, "idle %d", got->idle);
        cr_expect_eq(got->interval, expected->interval, "interval %d", got->interval);
        cr_expect_eq(got->count, expected->count, "count %d", got->count);
    }
    cr_expect_eq(got->user_timeout, expected->user_timeout, "user timeout %d", got->user_timeout);
    cr_expect_eq(got->nodelay, expected->nodelay);
}

static void knobs_of_listener(const struct cw_tcp_options *tcp,
                              const struct cw_server_options *options, const struct knobs *expected)
{
    struct rig_story story = {0};
    struct cw_server *server = cw_create_server(&cw_tcp);
    struct rig_host *host;
    struct rig_peer peer;
    struct knobs got;

    cw_server_configure(server, options);
    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1", .tcp = *tcp});
    host = rig_host_start(server, &rig_story_hooks, &story);
    peer = rig_peer_tcp(rig_host_port(host, 0));
    rig_await(atomic_load(&story.opened) == 1);
    rig_host_run(host, atomic_load(&story.conn_id), read_knobs, &got);
    expect_knobs(&got, expected);
    rig_peer_close(&peer);
    rig_host_end(host);
}

Test(identity, by_default_dead_peers_are_found_and_small_writes_leave_at_once)
{
    knobs_of_listener(&(struct cw_tcp_options){0}, &(struct cw_server_options){0},
                      &(struct knobs){1, 300, 30, 4, 30000, 1});
}

Test(identity, a_listeners_tcp_options_reach_its_connections)
{
    knobs_of_listener(&(struct cw_tcp_options){.delay = true,
                                               .keepalive_ms = 7001,
                                               .keepalive_interval_ms = 2000,
                                               .keepalive_probes = 9,
                                               .user_timeout_ms = 12345},
                      &(struct cw_server_options){.keepalive_ms = 99000},
                      &(struct knobs){1, 8, 2, 9, 12345, 0});
    knobs_of_listener(&(struct cw_tcp_options){.keepalive_ms = CW_OFF, .user_timeout_ms = CW_OFF},
                      &(struct cw_server_options){0}, &(struct knobs){0, 0, 0, 0, 0, 1});
}

Test(identity, the_servers_keepalive_counts_where_the_listener_says_nothing)
{
    knobs_of_listener(&(struct cw_tcp_options){0},
                      &(struct cw_server_options){.keepalive_ms = 99000},
                      &(struct knobs){1, 99, 30, 4, 30000, 1});
    knobs_of_listener(&(struct cw_tcp_options){0},
                      &(struct cw_server_options){.keepalive_ms = CW_OFF},
                      &(struct knobs){0, 0, 0, 0, 30000, 1});
}

static void set_knobs(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(cw_conn_set_tcp(conn, arg) == CW_OK);
}

Test(identity, one_connections_tcp_options_are_set_while_it_is_open)
{
    struct cw_tcp_options options = {.delay = true,
                                     .keepalive_ms = 1000,
                                     .keepalive_interval_ms = 3000,
                                     .keepalive_probes = 2,
                                     .user_timeout_ms = 4321,
                                     .send_buffer_bytes = 32768,
                                     .receive_buffer_bytes = 65536};
    struct rig_scene scene;
    struct knobs got;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, set_knobs, &options);
    rig_scene_run(&scene, read_knobs, &got);
    expect_knobs(&got, &(struct knobs){1, 1, 3, 2, 4321, 0});
    rig_scene_run(&scene, set_knobs, &(struct cw_tcp_options){0});
    rig_scene_run(&scene, read_knobs, &got);
    expect_knobs(&got, &(struct knobs){1, 300, 30, 4, 30000, 1});
    rig_scene_end(&scene);
}

/* ---- formatted and JSON ---- */

static void send_formatted(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(cw_conn_sendf(conn, "%s is %d\n", "six times seven", 42) == 0);
    rig_check(cw_conn_sendf(conn, "%0511d|", 1) == 0); /* around the size of the small buffer */
    rig_check(cw_conn_sendf(conn, "%0512d|", 2) == 0);
    rig_check(cw_conn_sendf(conn, "%060000d|", 3) == 0);
    rig_check(cw_conn_sendf(conn, "%02000000d|", 4) == CW_ETOOBIG);
    rig_check(cw_conn_sendf(conn, "%s", "") == 0);
}

Test(identity, sendf_sends_texts_of_any_length_that_fits)
{
    struct rig_scene scene;
    char *text = malloc(70000);
    char *got = malloc(70000);
    size_t len;

    cr_assert_not_null(text);
    cr_assert_not_null(got);
    len = (size_t)snprintf(text, 70000, "six times seven is 42\n%0511d|%0512d|%060000d|", 1, 2, 3);
    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, send_formatted, NULL);
    rig_peer_receive(&scene.peer, got, len);
    cr_expect_eq(memcmp(got, text, len), 0);
    rig_scene_end(&scene);
    free(text);
    free(got);
}

static void send_json(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    cJSON *json = cJSON_CreateObject();

    cJSON_AddStringToObject(json, "name", "Zo\303\253");
    cJSON_AddNumberToObject(json, "age", 42);
    rig_check(cw_conn_send_json(conn, json) == 0);
    cJSON_Delete(json);
}

Test(identity, send_json_sends_one_text_without_spaces)
{
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_line, NULL, &rig_story_hooks);
    rig_scene_run(&scene, send_json, NULL);
    rig_peer_expect(&scene.peer, "{\"name\":\"Zo\303\253\",\"age\":42}\n");
    rig_scene_end(&scene);
}

static int drop_long(struct cw_conn_middleware *self, struct cw_conn *conn, void *slot,
                     const struct cw_message *msg)
{
    return msg->body.len > 1 ? CW_DROP : CW_PASS;
}

Test(identity, a_message_that_middleware_drops_has_not_come_in)
{
    static struct cw_conn_middleware middleware = {.name = "drop_long", .on_message = drop_long};
    struct rig_story story = {0};
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct cw_server *server = rig_server(&cw_line, NULL);
    struct rig_host *host;
    struct rig_peer peer;
    struct cw_conn_stats stats;
    struct cw_server_stats total;

    cr_assert_eq(cw_server_use(server, &middleware), CW_OK);
    host = rig_host_start(server, &hooks, &story);
    peer = rig_peer_tcp(rig_host_port(host, 0));
    rig_peer_send_text(&peer, "no\nno\ny\n");
    rig_peer_expect(&peer, "y\n");
    rig_host_run(host, atomic_load(&story.conn_id), ask_stats, &stats);
    cr_expect_eq(stats.messages_in, 1);
    cr_expect_eq(stats.messages_dropped, 2);
    cw_server_stats(server, &total);
    cr_expect_eq(total.messages_in, 1);
    cr_expect_eq(total.messages_dropped, 2);
    rig_peer_close(&peer);
    rig_host_end(host);
}

/* ---- descriptors ---- */

enum { FDS_MAX = 256 };

static void note_open(bool open[FDS_MAX])
{
    for (int fd = 0; fd < FDS_MAX; fd++) {
        open[fd] = fcntl(fd, F_GETFD) >= 0;
    }
}

Test(identity, no_descriptor_of_a_server_is_handed_to_programs_it_starts)
{
    struct rig_scene scene = {0};
    bool before[FDS_MAX];
    int checked = 0;

    note_open(before);
    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_conn(&scene);
    for (int fd = 0; fd < FDS_MAX; fd++) {
        int flags = fcntl(fd, F_GETFD);

        if (flags >= 0 && !before[fd] && fd != scene.peer.fd) {
            cr_expect(flags & FD_CLOEXEC, "descriptor %d would be inherited", fd);
            checked++;
        }
    }
    cr_expect_geq(checked, 4, "the loop, its mailbox, the listener and the connection");
    rig_scene_end(&scene);
}

/* One connection has its share of a turn, then it is the others' turn. */
#include "support/leak.h"
#include "support/scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(turns, .fini = rig_expect_no_leak, .timeout = 60);

/* Two peers; the loop is held up until both have sent. What the greedy one had got through when the modest one's
 * message came is noted. */
struct contest {
    struct rig_story story;
    atomic_bool held_up;
    atomic_bool release;
    uint64_t modest_id;
    atomic_uint greedy_messages;
    atomic_size_t greedy_bytes;
    atomic_bool modest_came;
    unsigned messages_before;
    size_t bytes_before;
};

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct contest *contest = user;

    if (cw_conn_id(conn) == contest->modest_id) {
        contest->messages_before = atomic_load(&contest->greedy_messages);
        contest->bytes_before = atomic_load(&contest->greedy_bytes);
        atomic_store(&contest->modest_came, true);
    } else {
        atomic_fetch_add(&contest->greedy_messages, 1);
        atomic_fetch_add(&contest->greedy_bytes, msg->body.len);
    }
}

static void hold_up(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct contest *contest = arg;

    atomic_store(&contest->held_up, true);
    rig_await(atomic_load(&contest->release));
}

static struct rig_host *begin(struct contest *contest, const struct cw_protocol *protocol,
                              const struct cw_server_options *options, struct rig_peer *greedy,
                              struct rig_peer *modest)
{
    struct cw_hooks hooks = rig_story_with_data(on_data);
    struct cw_server *server = cw_create_server(protocol);
    struct rig_host *host;

    cw_server_configure(server, options);
    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1",
                                                         .tcp = {.receive_buffer_bytes = 1 << 20}});
    host = rig_host_start(server, &hooks, contest);
    *greedy = rig_peer_tcp(rig_host_port(host, 0));
    rig_await(atomic_load(&contest->story.opened) == 1);
    *modest = rig_peer_tcp(rig_host_port(host, 0));
    rig_await(atomic_load(&contest->story.opened) == 2);
    contest->modest_id = atomic_load(&contest->story.conn_id);
    cr_assert_eq(cw_server_post(rig_host_server(host), 0, hold_up, contest), CW_OK);
    rig_await(atomic_load(&contest->held_up));
    return host;
}

Test(turns, many_messages_of_one_connection_leave_room_for_the_others)
{
    static struct contest contest;
    struct cw_server_options options = {.messages_per_turn = 10};
    struct rig_peer greedy;
    struct rig_peer modest;
    struct rig_host *host = begin(&contest, &cw_line, &options, &greedy, &modest);
    char lines[2000];

    memset(lines, '\n', sizeof lines);
    rig_peer_send(&greedy, lines, sizeof lines);
    rig_peer_send_text(&modest, "me too\n");
    atomic_store(&contest.release, true);
    rig_await(atomic_load(&contest.modest_came));
    cr_expect_leq(contest.messages_before, 2 * 10, "%u messages came first",
                  contest.messages_before);
    rig_await(atomic_load(&contest.greedy_messages) == sizeof lines);
    rig_peer_close(&greedy);
    rig_peer_close(&modest);
    rig_host_end(host);
}

Test(turns, many_bytes_of_one_connection_leave_room_for_the_others)
{
    static struct contest contest;
    struct cw_server_options options = {.reads_per_turn_bytes = 70000};
    struct rig_peer greedy;
    struct rig_peer modest;
    struct rig_host *host = begin(&contest, &cw_tcp, &options, &greedy, &modest);
    uint8_t *bytes = calloc(1, 1 << 20);
    size_t sent = 0;
    ptrdiff_t n;

    cr_assert_not_null(bytes);
    do {
        n = rig_peer_try_send(&greedy, bytes, 1 << 20);
        sent += (size_t)n;
    } while (n > 0);
    cr_assert_gt(sent, 300000);
    rig_peer_send_text(&modest, "me too");
    atomic_store(&contest.release, true);
    rig_await(atomic_load(&contest.modest_came));
    cr_expect_leq(contest.bytes_before, 2 * (70000 + 69632), "%zu bytes came first",
                  contest.bytes_before);
    rig_await(atomic_load(&contest.greedy_bytes) == sent);
    free(bytes);
    rig_peer_close(&greedy);
    rig_peer_close(&modest);
    rig_host_end(host);
}

/* A large source to a fast reader; small echoes beside it. */
static ptrdiff_t endless(uint8_t *buffer, size_t cap, void *user)
{
    memset(buffer, 'x', cap);
    return (ptrdiff_t)cap;
}

static void start_source(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(cw_conn_send_source(conn, 64 << 20, endless, NULL, NULL) == CW_OK);
}

Test(turns, a_large_download_leaves_room_for_the_others)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct rig_scene scene;
    struct rig_peer modest;
    uint8_t *buffer = malloc(1 << 20);
    size_t got = 0;
    unsigned echoes = 0;

    cr_assert_not_null(buffer);
    rig_scene_begin(&scene, &cw_tcp, NULL, &hooks);
    rig_scene_run(&scene, start_source, NULL);
    modest = rig_peer_tcp(rig_host_port(scene.host, 0));
    while (got < 64 << 20) {
        size_t n = (64 << 20) - got < 1 << 20 ? (64 << 20) - got : 1 << 20;
        rig_peer_receive(&scene.peer, buffer, n);
        got += n;
        rig_peer_send_text(&modest, "ping");
        rig_peer_expect(&modest, "ping");
        echoes++;
    }
    cr_expect_eq(echoes, 64);
    rig_peer_close(&modest);
    free(buffer);
    rig_scene_end(&scene);
}

Test(turns, a_server_told_to_read_on_does_not_hold_a_peer_whose_answers_find_no_room)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct cw_server_options options = {.read_while_full = true, .write_ms = CW_OFF};
    struct rig_scene scene;
    struct cw_server_stats stats;
    uint8_t *bytes = calloc(1, 1 << 20);

    cr_assert_not_null(bytes);
    rig_scene_begin_slow(&scene, &cw_tcp, &options, &hooks);
    for (int i = 0; i < 16; i++) {
        rig_peer_send(&scene.peer, bytes, 1 << 20); /* it never reads */
    }
    do {
        cw_server_stats(rig_host_server(scene.host), &stats);
    } while (stats.bytes_in < 16 << 20 && rig_rest(UINT64_MAX));
    cr_expect_lt(stats.bytes_out, 4 << 20);
    free(bytes);
    rig_scene_end(&scene);
}

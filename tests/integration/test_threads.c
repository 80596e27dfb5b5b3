/* What may be asked of a server from any thread, and the order in which it starts and stops. */
#include "support/leak.h"
#include "support/scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

TestSuite(threads, .fini = rig_expect_no_leak, .timeout = 60);

/* ---- by id ---- */

Test(threads, send_to_reaches_a_connection_wherever_it_lives)
{
    struct cw_server_options options = {.workers = 2};
    struct rig_story story = {0};
    struct rig_host *host =
        rig_host_start(rig_server(&cw_framed, &options), &rig_story_hooks, &story);
    char buffer[16];

    for (unsigned i = 1; i <= 20; i++) {
        struct cw_message msg = cw_message_text("by id");
        struct rig_peer peer = rig_peer_tcp(rig_host_port(host, 0));
        rig_await(atomic_load(&story.opened) == i);
        cr_expect_eq(cw_send_to(rig_host_server(host), atomic_load(&story.conn_id), &msg), CW_OK);
        cr_expect_eq(rig_peer_receive_frame(&peer, buffer, sizeof buffer), 5);
        cr_expect_eq(memcmp(buffer, "by id", 5), 0);
        if (i % 2) {
            cr_expect_eq(cw_close_id(rig_host_server(host), atomic_load(&story.conn_id)), CW_OK);
            rig_peer_expect_end(&peer);
        } else {
            cr_expect_eq(cw_abort_id(rig_host_server(host), atomic_load(&story.conn_id)), CW_OK);
            rig_peer_expect_reset(&peer);
        }
        rig_peer_close(&peer);
        rig_await(atomic_load(&story.closed) == i);
        cr_expect_eq(story.reason.code, i % 2 ? CW_BY_APP : CW_BY_ABORT);
    }
    rig_host_end(host);
}

Test(threads, messages_of_one_thread_keep_their_order)
{
    struct rig_scene scene;
    char text[16];
    char buffer[16];

    rig_scene_begin(&scene, &cw_line, NULL, &rig_story_hooks);
    for (int i = 0; i < 1000; i++) {
        struct cw_message msg;
        snprintf(text, sizeof text, "%05d", i);
        msg = cw_message_text(text);
        cr_assert_eq(cw_send_to(rig_host_server(scene.host), rig_scene_conn(&scene), &msg), CW_OK);
    }
    for (int i = 0; i < 1000; i++) {
        snprintf(text, sizeof text, "%05d\n", i);
        rig_peer_receive(&scene.peer, buffer, 6);
        cr_assert_eq(memcmp(buffer, text, 6), 0);
    }
    rig_scene_end(&scene);
}

Test(threads, what_is_sent_to_a_gone_or_refusing_connection_is_dropped)
{
    struct rig_scene scene;
    struct cw_message two_lines = cw_message_text("two\nlines");
    struct cw_message piece = cw_message_text("x");
    struct cw_server_stats stats;
    uint64_t id;

    rig_scene_begin(&scene, &cw_line, NULL, &rig_story_hooks);
    id = rig_scene_conn(&scene);
    cr_expect_eq(cw_send_to(rig_host_server(scene.host), id, &two_lines), CW_OK);
    rig_scene_run(&scene, rig_pass, NULL);
    cw_server_stats(rig_host_server(scene.host), &stats);
    cr_expect_eq(stats.messages_dropped, 1);
    piece.part = CW_CHUNK;
    cr_expect_eq(cw_send_to(rig_host_server(scene.host), id, &piece), CW_EINVAL);
    piece.part = CW_WHOLE;
    cr_expect_eq(cw_send_to(rig_host_server(scene.host), id + (1ull << 24), &piece), CW_ENOTFOUND);
    cr_expect_eq(cw_send_to(rig_host_server(scene.host), id + (1ull << 32), &piece), CW_OK);
    rig_peer_expect_silence(&scene.peer, 50);
    rig_scene_end(&scene);
}

static void note_conn(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    *(bool *)arg = conn != NULL;
}

Test(threads, a_post_to_an_id_gets_its_connection_or_none)
{
    struct rig_scene scene;
    bool was_there = false;
    uint64_t id;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    id = rig_scene_conn(&scene);
    rig_host_run(scene.host, id, note_conn, &was_there);
    cr_expect(was_there);
    rig_host_run(scene.host, 0, note_conn, &was_there);
    cr_expect(!was_there);
    rig_peer_close(&scene.peer);
    rig_await(atomic_load(&scene.story.closed) == 1);
    was_there = true;
    rig_host_run(scene.host, id, note_conn, &was_there);
    cr_expect(!was_there);
    cr_expect_eq(cw_server_post(rig_host_server(scene.host), 1, note_conn, &was_there),
                 CW_ENOTFOUND);
    rig_scene_end(&scene);
}

/* ---- every connection ---- */

struct census {
    atomic_uint count;
    atomic_uint dones;
};

static void count_conn(struct cw_conn *conn, void *user)
{
    struct census *census = user;

    atomic_fetch_add(&census->count, 1);
    cw_conn_send_text(conn, "seen");
}

static void census_done(void *user)
{
    struct census *census = user;

    atomic_fetch_add(&census->dones, 1);
}

static void count_and_close(struct cw_conn *conn, void *user)
{
    struct census *census = user;

    atomic_fetch_add(&census->count, 1);
    cw_conn_abort(conn);
}

Test(threads, each_conn_visits_every_connection_once_and_is_done_once)
{
    enum { PEERS = 30 };
    struct cw_server_options options = {.workers = 2};
    struct rig_story story = {0};
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, &options), &rig_story_hooks, &story);
    struct census census = {0};
    struct rig_peer peers[PEERS];

    for (int i = 0; i < PEERS; i++) {
        peers[i] = rig_peer_tcp(rig_host_port(host, 0));
    }
    rig_await(atomic_load(&story.opened) == PEERS);
    cr_expect_eq(cw_server_each_conn(rig_host_server(host), count_conn, census_done, &census),
                 CW_OK);
    rig_await(atomic_load(&census.dones) == 1);
    cr_expect_eq(atomic_load(&census.count), PEERS);
    for (int i = 0; i < PEERS; i++) {
        rig_peer_expect(&peers[i], "seen");
    }
    cr_expect_eq(cw_server_each_conn(rig_host_server(host), count_and_close, NULL, &census), CW_OK);
    rig_await(atomic_load(&story.closed) == PEERS);
    cr_expect_eq(atomic_load(&census.count), 2 * PEERS);
    for (int i = 0; i < PEERS; i++) {
        rig_peer_close(&peers[i]);
    }
    rig_host_end(host);
    cr_expect_eq(atomic_load(&census.dones), 1);
}

/* ---- after the end ---- */

static void never(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    atomic_store((atomic_bool *)arg, true);
}

Test(threads, a_held_server_answers_that_it_has_stopped)
{
    struct cw_server *server = cw_server_hold(rig_server(&cw_tcp, NULL));
    struct cw_message msg = cw_message_text("x");
    struct cw_server_stats stats;
    atomic_bool ran = false;
    struct rig_host *host;

    cr_expect_eq(cw_server_post(server, 0, never, &ran), CW_ESTOPPED, "not running yet");
    host = rig_host_start(server, NULL, NULL);
    rig_host_end(host);
    cr_expect_eq(cw_server_post(server, 0, never, &ran), CW_ESTOPPED);
    cr_expect_eq(cw_send_to(server, 1ull << 32, &msg), CW_ESTOPPED);
    cr_expect_eq(cw_close_id(server, 1ull << 32), CW_ESTOPPED);
    cr_expect_eq(cw_abort_id(server, 1ull << 32), CW_ESTOPPED);
    cr_expect_eq(cw_server_each_conn(server, count_conn, NULL, NULL), CW_ESTOPPED);
    cw_server_stop(server);
    cw_server_stats(server, &stats);
    cr_expect_eq(stats.conns_open, 0);
    cw_server_drop(server);
    cw_server_drop(NULL);
    cr_expect_null(cw_server_hold(NULL));
    cr_expect(!atomic_load(&ran));
}

struct flood {
    struct cw_server *server;
    atomic_uint runs;
    unsigned accepted;
};

static void count_flood(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct flood *flood = arg;

    atomic_fetch_add(&flood->runs, 1);
}

static void *post_until_stopped(void *arg)
{
    struct flood *flood = arg;
    int answer = CW_OK;

    while (answer != CW_ESTOPPED) {
        answer = cw_server_post(flood->server, flood->accepted % 2, count_flood, flood);
        flood->accepted += answer == CW_OK;
    }
    cw_server_drop(flood->server);
    return NULL;
}

Test(threads, every_accepted_post_runs_once_though_the_server_stops_meanwhile)
{
    for (int i = 0; i < 10; i++) {
        struct cw_server_options options = {.workers = 2};
        struct rig_host *host = rig_host_start(rig_server(&cw_tcp, &options), NULL, NULL);
        struct flood flood = {.server = cw_server_hold(rig_host_server(host))};
        pthread_t thread;

        cr_assert_eq(pthread_create(&thread, NULL, post_until_stopped, &flood), 0);
        rig_await(atomic_load(&flood.runs) > 100);
        rig_host_end(host);
        pthread_join(thread, NULL);
        cr_expect_eq(atomic_load(&flood.runs), flood.accepted);
    }
}

/* ---- the order of a server's life ---- */

struct diary {
    pthread_mutex_t lock;
    char text[512];
};

static void write_down(struct diary *diary, const char *word)
{
    pthread_mutex_lock(&diary->lock);
    rig_check(strlen(diary->text) + strlen(word) + 2 < sizeof diary->text);
    strcat(diary->text, word);
    strcat(diary->text, " ");
    pthread_mutex_unlock(&diary->lock);
}

static void listening(struct cw_server *server, const struct cw_address *address, const char *text,
                      void *user)
{
    write_down(user, "listening");
}

static void stopped(struct cw_server *server, void *user)
{
    write_down(user, "stop");
}

static void worker_started(struct cw_server *server, struct cw_loop *loop, void *user)
{
    rig_check(cw_loop_server(loop) == server);
    write_down(user, "start");
}

static void worker_stopped(struct cw_server *server, struct cw_loop *loop, void *user)
{
    write_down(user, "end");
}

static void connected(struct cw_conn *conn, void *user)
{
    write_down(user, "open");
}

static void closed(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    write_down(user, "close");
}

static const struct cw_hooks diary_hooks = {
    .on_connection = connected,
    .on_close = closed,
    .on_listening = listening,
    .on_stop = stopped,
    .on_worker_start = worker_started,
    .on_worker_stop = worker_stopped,
};

Test(threads, a_servers_life_is_told_in_order)
{
    struct diary diary = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct cw_server *server = rig_server(&cw_tcp, NULL);
    struct rig_host *host;
    struct rig_peer peer;

    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1"});
    host = rig_host_start(server, &diary_hooks, &diary);
    peer = rig_peer_tcp(rig_host_port(host, 1));
    rig_await(rig_host_conns(host) == 1);
    rig_host_run(host, 0, rig_pass, NULL);
    cr_expect_eq(rig_host_stop(host), CW_OK);
    cr_expect_str_eq(diary.text, "listening listening start open close end stop ");
    rig_peer_close(&peer);
    rig_host_free(host);
}

Test(threads, two_workers_start_after_listening_and_stop_before_the_end)
{
    struct diary diary = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct cw_server_options options = {.workers = 2};
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, &options), &diary_hooks, &diary);

    cr_expect_eq(rig_host_stop(host), CW_OK);
    cr_expect(strcmp(diary.text, "listening start start end end stop ") == 0 ||
                  strcmp(diary.text, "listening start end start end stop ") == 0,
              "%s", diary.text);
    rig_host_free(host);
}

/* ---- timers and work of a server's loop ---- */

struct beat {
    atomic_uint ticks;
    atomic_uint dones;
    atomic_int code;
};

static void beat_tick(struct cw_loop *loop, void *user)
{
    struct beat *beat = user;

    atomic_fetch_add(&beat->ticks, 1);
}

static void beat_work(void *arg) {}

static void beat_done(struct cw_loop *loop, int code, void *arg)
{
    struct beat *beat = arg;

    atomic_store(&beat->code, code);
    atomic_fetch_add(&beat->dones, 1);
}

static void start_beat(struct cw_server *server, struct cw_loop *loop, void *user)
{
    rig_check(cw_timer_start(loop, 1, 1, beat_tick, user));
    rig_check(cw_work(loop, beat_work, beat_done, user) == CW_OK);
}

Test(threads, a_workers_own_timers_and_work_run_and_do_not_keep_it_from_stopping)
{
    struct beat beat = {0};
    struct cw_hooks hooks = {.on_worker_start = start_beat};
    struct cw_server_options options = {.workers = 2};
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, &options), &hooks, &beat);

    rig_await(atomic_load(&beat.ticks) > 10);
    rig_await(atomic_load(&beat.dones) == 2);
    cr_expect_eq(atomic_load(&beat.code), CW_OK);
    rig_host_end(host);
}

/* ---- what waits ---- */

struct gate {
    atomic_bool reached;
    atomic_bool opened;
};

static void wait_at(struct gate *gate)
{
    atomic_store(&gate->reached, true);
    rig_await(atomic_load(&gate->opened));
}

static void hold_loop(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    wait_at(arg);
}

static void work_on(void *arg)
{
    wait_at(arg);
}

static void begin_work(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    for (int i = 0; i < 3; i++) {
        rig_check(cw_work(loop, work_on, NULL, arg) == CW_OK);
    }
}

Test(threads, posts_that_wait_are_told_by_the_statistics)
{
    struct rig_host *host = rig_host_start(rig_server(&cw_line, NULL), NULL, NULL);
    struct cw_server *server = rig_host_server(host);
    struct cw_server_stats stats;
    struct gate gate = {0};

    cr_assert_eq(cw_server_post(server, 0, hold_loop, &gate), CW_OK);
    rig_await(atomic_load(&gate.reached));
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(cw_server_post(server, 0, rig_pass, NULL), CW_OK);
    }
    cw_server_stats(server, &stats);
    cr_expect_eq(stats.posts_waiting, 5);
    atomic_store(&gate.opened, true);
    rig_await((cw_server_stats(server, &stats), stats.posts_waiting == 0));
    rig_host_end(host);
}

Test(threads, work_that_waits_is_told_by_the_statistics)
{
    struct cw_server_options options = {.work_threads = 1};
    struct rig_host *host = rig_host_start(rig_server(&cw_line, &options), NULL, NULL);
    struct cw_server *server = rig_host_server(host);
    struct cw_server_stats stats;
    struct gate gate = {0};

    rig_host_run(host, 0, begin_work, &gate);
    rig_await(atomic_load(&gate.reached));
    cw_server_stats(server, &stats);
    cr_expect_eq(stats.work_waiting, 2);
    atomic_store(&gate.opened, true);
    rig_await((cw_server_stats(server, &stats), stats.work_waiting == 0));
    rig_host_end(host);
}

Test(threads, bytes_that_a_peer_does_not_take_are_told_by_the_statistics)
{
    struct rig_scene scene;
    struct cw_server_stats stats;
    char text[1000];
    struct cw_message msg = cw_message_of(text, sizeof text);

    memset(text, 'x', sizeof text);
    rig_scene_begin_slow(&scene, &cw_line, NULL, &rig_story_hooks);
    do {
        cr_assert_eq(cw_send_to(rig_host_server(scene.host), rig_scene_conn(&scene), &msg), CW_OK);
        rig_scene_run(&scene, rig_pass, NULL);
        cw_server_stats(rig_host_server(scene.host), &stats);
    } while (stats.queued_bytes == 0);
    rig_peer_close(&scene.peer);
    rig_await((cw_server_stats(rig_host_server(scene.host), &stats), stats.queued_bytes == 0));
    rig_scene_end(&scene);
}

/* Limits and times that change while a server runs. */
#include "support/fault.h"
#include "support/leak.h"
#include "support/scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

TestSuite(update, .fini = rig_expect_no_leak, .timeout = 90);

enum { NEVER_MS = 3600000, SOON_MS = 200 };

static int update(struct rig_host *host, const struct cw_server_options *options)
{
    return cw_server_update(rig_host_server(host), options);
}

static void expect_echo(struct rig_peer *peer)
{
    rig_peer_send_text(peer, "hello");
    rig_peer_expect(peer, "hello");
}

static struct rig_peer from(const struct rig_host *host, const char *source)
{
    return rig_peer_tcp_from(source, "127.0.0.1", rig_host_port(host, 0), 0);
}

/* ---- the log ---- */

static struct {
    pthread_mutex_t lock;
    char text[2000];
} logged = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void keep_line(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    size_t len;

    pthread_mutex_lock(&logged.lock);
    len = strlen(logged.text);
    snprintf(logged.text + len, sizeof logged.text - len, "%s: %s\n", names[level], text);
    pthread_mutex_unlock(&logged.lock);
}

static void expect_logged(const char *text)
{
    pthread_mutex_lock(&logged.lock);
    cr_expect_str_eq(logged.text, text);
    logged.text[0] = '\0';
    pthread_mutex_unlock(&logged.lock);
}

/* ---- times ---- */

Test(update, a_new_idle_time_is_for_new_connections_and_not_for_open_ones)
{
    struct cw_server_options long_idle = {.idle_ms = NEVER_MS};
    struct cw_server_options short_idle = {.idle_ms = SOON_MS};
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct rig_scene scene;
    struct rig_peer late;

    rig_scene_begin(&scene, &cw_tcp, &long_idle, &hooks);
    expect_echo(&scene.peer);
    cr_assert_eq(update(scene.host, &short_idle), CW_OK);
    for (int i = 0; i < 3; i++) {
        late = from(scene.host, NULL);
        expect_echo(&late);
        rig_peer_expect_end(&late);
        rig_peer_close(&late);
    }
    expect_echo(&scene.peer); /* three of those times have passed */
    rig_await(atomic_load(&scene.story.closed) == 3);
    cr_expect_eq(scene.story.reason.code, CW_EIDLE);
    cr_expect_eq(atomic_load(&scene.story.idled), 3);
    rig_scene_end(&scene);
}

Test(update, the_first_connection_behind_it_has_the_new_limits_on_every_worker)
{
    enum { ROUNDS = 40 };
    struct cw_server_options options = {.workers = 3, .idle_ms = NEVER_MS};
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct rig_story story = {0};
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, &options), &hooks, &story);
    struct rig_peer peers[ROUNDS];

    for (int i = 0; i < ROUNDS; i++) {
        options.idle_ms = i % 2 ? NEVER_MS : SOON_MS;
        cr_assert_eq(update(host, &options), CW_OK);
        peers[i] = from(host, NULL);
        expect_echo(&peers[i]);
    }
    for (int i = 0; i < ROUNDS; i++) {
        if (i % 2 == 0) {
            rig_peer_expect_end(&peers[i]);
        }
    }
    for (int i = 0; i < ROUNDS; i++) {
        if (i % 2) {
            expect_echo(&peers[i]);
        }
        rig_peer_close(&peers[i]);
    }
    rig_host_end(host);
    cr_expect_eq(atomic_load(&story.idled), ROUNDS / 2);
}

/* What the next connection's socket says, read in its hook. */
static void tell_keepalive(struct cw_conn *conn, void *user)
{
    struct rig_story *story = user;
    socklen_t len = sizeof(int);
    int seconds = -1;

    rig_check(getsockopt(cw_conn_fd(conn), IPPROTO_TCP, TCP_KEEPIDLE, &seconds, &len) == 0);
    atomic_store(&story->answer, seconds);
    rig_story_on_connection(conn, user);
}

static int keepalive_of_next(struct rig_scene *scene, unsigned number)
{
    struct rig_peer peer = from(scene->host, NULL);

    rig_await(atomic_load(&scene->story.opened) == number);
    rig_peer_close(&peer);
    return atomic_load(&scene->story.answer);
}

Test(update, keepalive_follows_for_new_connections)
{
    struct cw_hooks hooks = rig_story_hooks;
    struct rig_scene scene;

    hooks.on_connection = tell_keepalive;
    rig_scene_begin(&scene, &cw_tcp, NULL, &hooks);
    rig_scene_conn(&scene);
    cr_expect_eq(atomic_load(&scene.story.answer), 300);
    cr_assert_eq(update(scene.host, &(struct cw_server_options){.keepalive_ms = 77000}), CW_OK);
    rig_scene_run(&scene, rig_pass, NULL); /* the loop has been there */
    cr_expect_eq(keepalive_of_next(&scene, 2), 77);
    rig_scene_end(&scene);
}

static struct cw_server *with_own_keepalive(void)
{
    struct cw_server *server = cw_create_server(&cw_tcp);

    cr_assert_eq(cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1",
                                                                      .tcp.keepalive_ms = 55000}),
                 CW_OK);
    return server;
}

Test(update, a_listeners_own_keepalive_stays)
{
    struct cw_hooks hooks = rig_story_hooks;
    struct rig_scene scene = {0};

    hooks.on_connection = tell_keepalive;
    scene.host = rig_host_start(with_own_keepalive(), &hooks, &scene.story);
    cr_assert_eq(update(scene.host, &(struct cw_server_options){.keepalive_ms = 77000}), CW_OK);
    rig_host_run(scene.host, 0, rig_pass, NULL);
    cr_expect_eq(keepalive_of_next(&scene, 1), 55);
    rig_host_end(scene.host);
}

/* ---- how many ---- */

Test(update, a_lower_conns_max_refuses_at_once_and_leaves_open_connections_alone)
{
    struct cw_server_options options = {.conns_max = 10, .conns_per_ip_max = 10};
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct rig_story story = {0};
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, &options), &hooks, &story);
    struct rig_peer peers[3];
    struct rig_peer refused;

    for (int i = 0; i < 3; i++) {
        peers[i] = from(host, NULL);
        expect_echo(&peers[i]);
    }
    cr_assert_eq(update(host, &(struct cw_server_options){.conns_max = 2}), CW_OK);
    refused = from(host, NULL);
    rig_peer_expect_gone(&refused);
    rig_peer_close(&refused);
    rig_await(atomic_load(&story.errors) == 1);
    cr_expect_eq(story.report.code, CW_ECONNSMAX);
    cr_expect_eq(story.report.limit, 2);
    for (int i = 0; i < 3; i++) {
        expect_echo(&peers[i]);
    }
    cr_assert_eq(update(host, &options), CW_OK);
    refused = from(host, NULL);
    expect_echo(&refused);
    rig_peer_close(&refused);
    for (int i = 0; i < 3; i++) {
        rig_peer_close(&peers[i]);
    }
    rig_host_end(host);
}

Test(update, conns_per_ip_max_counts_from_then_on)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct rig_story story = {0};
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, NULL), &hooks, &story);
    struct rig_peer first = from(host, "127.0.0.2");
    struct rig_peer refused;
    struct rig_peer other;

    expect_echo(&first);
    cr_assert_eq(update(host, &(struct cw_server_options){.conns_per_ip_max = 1}), CW_OK);
    refused = from(host, "127.0.0.2");
    rig_peer_expect_gone(&refused);
    other = from(host, "127.0.0.3");
    expect_echo(&other);
    rig_await(atomic_load(&story.errors) == 1);
    cr_expect_eq(story.report.code, CW_EADDRESSMAX);
    cr_expect_eq(story.report.limit, 1);
    rig_peer_close(&first);
    rig_peer_close(&refused);
    rig_peer_close(&other);
    rig_host_end(host);
}

/* ---- queues ---- */

static void send_kilobyte(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    static const uint8_t bytes[1024];

    atomic_store((atomic_int *)arg,
                 cw_conn_send(conn, &(struct cw_message){.body = {bytes, sizeof bytes}}));
}

Test(update, buffered_max_bytes_is_for_all_connections_at_once)
{
    struct rig_scene scene;
    atomic_int answer = 1;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, send_kilobyte, &answer);
    cr_expect_eq(atomic_load(&answer), CW_OK);
    cr_assert_eq(update(scene.host, &(struct cw_server_options){.buffered_max_bytes = 1000}), CW_OK);
    rig_scene_run(&scene, send_kilobyte, &answer);
    cr_expect_eq(atomic_load(&answer), CW_ETOOBIG);
    rig_scene_end(&scene);
}

/* ---- what is not taken ---- */

Test(update, a_bad_value_changes_nothing_and_is_named_in_the_log)
{
    struct cw_server_options bad = {.idle_ms = SOON_MS, .conns_max = 1, .conns_per_ip_max = 2};
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct rig_scene scene;
    struct rig_peer peer;

    cw_log_set(keep_line, NULL);
    rig_scene_begin(&scene, &cw_tcp, NULL, &hooks);
    expect_echo(&scene.peer);
    cr_expect_eq(update(scene.host, &bad), CW_EINVAL);
    expect_logged("error: update: conns_per_ip_max is above conns_max\n");
    cr_expect_eq(update(scene.host, &(struct cw_server_options){.idle_ms = CW_NO_LIMIT}), CW_EINVAL);
    expect_logged("error: update: idle_ms: at most 31536000000, or CW_OFF, is allowed\n");
    peer = from(scene.host, NULL);
    expect_echo(&peer);
    rig_peer_expect_silence(&peer, 3 * SOON_MS);
    expect_echo(&peer);
    rig_peer_close(&peer);
    rig_scene_end(&scene);
    cw_log_set(NULL, NULL);
}

Test(update, what_needs_a_new_start_is_named_in_one_line_and_the_rest_is_done)
{
    struct cw_server_options options = {
        .conns_max = 1,
        .workers = 2,
        .mailbox_max = 1,
        .mailbox_max_bytes = 1,
        .work_threads = 1,
        .handshake_threads = 1,
        .rooms_max = 1,
        .room_members_max = 1,
        .rooms_per_conn_max = 1,
        .room_name_max_bytes = 1,
        .room_presence_max_bytes = 1,
    };
    struct rig_scene scene;
    struct rig_peer refused;

    cw_log_set(keep_line, NULL);
    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_conn(&scene);
    cr_expect_eq(update(scene.host, &options), CW_OK);
    expect_logged("warning: update: unchanged until a new start: workers, mailbox_max, "
                  "mailbox_max_bytes, work_threads, handshake_threads, rooms_max, "
                  "room_members_max, rooms_per_conn_max, room_name_max_bytes, "
                  "room_presence_max_bytes\n");
    refused = from(scene.host, NULL);
    rig_peer_expect_gone(&refused);
    rig_peer_close(&refused);
    cr_expect_eq(cw_server_workers(rig_host_server(scene.host)), 1);
    /* A default that follows conns_max is no wish of the caller's; nor is the default written out. */
    cr_expect_eq(update(scene.host, &(struct cw_server_options){.conns_max = 50, .workers = 1}),
                 CW_OK);
    expect_logged("");
    rig_scene_end(&scene);
    cw_log_set(NULL, NULL);
}

Test(update, a_server_that_does_not_run_answers_so)
{
    struct cw_server_options options = {.idle_ms = SOON_MS};
    struct cw_server *server = rig_server(&cw_tcp, NULL);
    struct rig_host *host;

    cr_expect_eq(cw_server_update(NULL, &options), CW_ESTOPPED);
    cr_expect_eq(cw_server_update(server, &options), CW_ESTOPPED);
    host = rig_host_start(server, NULL, NULL);
    cr_expect_eq(cw_server_update(server, &options), CW_OK);
    rig_host_stop(host);
    cr_expect_eq(cw_server_update(server, &options), CW_ESTOPPED);
    rig_host_free(host);
}

static struct cw_server *with_two_listeners(void)
{
    struct cw_server *server = rig_server(&cw_tcp, NULL);

    cr_assert_eq(cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1"}), CW_OK);
    return server;
}

struct attempt {
    size_t nth; /* allocation that fails */
    bool failed;
    int answer;
};

/* On the loop's thread, so that nobody else allocates meanwhile. */
static void attempt(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct attempt *attempt = arg;

    fault_arm(attempt->nth);
    attempt->answer =
        cw_server_update(cw_loop_server(loop), &(struct cw_server_options){.conns_max = 1});
    attempt->failed = fault_disarm();
}

/* Two at once, so conns_max is not 1. */
static void expect_room(const struct rig_host *host)
{
    struct rig_peer peers[2];

    for (unsigned i = 0; i < 2; i++) {
        peers[i] = rig_peer_tcp(rig_host_port(host, i));
        expect_echo(&peers[i]);
    }
    for (unsigned i = 0; i < 2; i++) {
        rig_peer_close(&peers[i]);
    }
    rig_await(rig_host_conns(host) == 0);
}

Test(update, without_memory_nothing_changes)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct rig_story story = {0};
    struct attempt try = {.nth = 1};
    struct rig_host *host;

    fault_install();
    host = rig_host_start(with_two_listeners(), &hooks, &story);
    for (; try.nth <= 2; try.nth++) {
        rig_host_run(host, 0, attempt, &try);
        cr_expect(try.failed);
        cr_expect_eq(try.answer, CW_ENOMEM);
        expect_room(host);
    }
    try.nth = 0;
    rig_host_run(host, 0, attempt, &try);
    cr_expect_eq(try.answer, CW_OK);
    rig_host_end(host);
    fault_remove();
}

static void attempt_soon(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct attempt *attempt = arg;

    fault_arm(attempt->nth);
    attempt->answer =
        cw_server_update(cw_loop_server(loop), &(struct cw_server_options){.idle_ms = SOON_MS});
    attempt->failed = fault_disarm();
}

Test(update, when_memory_is_out_for_telling_the_loop_the_next_connection_brings_it)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct rig_story story = {0};
    struct attempt try = {
        .nth = 2}; /* behind the one origin; the loop's first mail has no room kept */
    struct rig_host *host;
    struct rig_peer peer;

    fault_install();
    host = rig_host_start(rig_server(&cw_tcp, NULL), &hooks, &story);
    rig_host_run(host, 0, attempt_soon, &try);
    cr_assert(try.failed);
    cr_expect_eq(try.answer, CW_OK);
    peer = from(host, NULL);
    expect_echo(&peer);
    rig_peer_expect_end(&peer);
    rig_peer_close(&peer);
    rig_host_end(host);
    fault_remove();
}

Test(update, trusted_proxies_are_replaced_and_a_bad_list_is_named)
{
    struct cw_server_options options = {.conns_per_ip_max = 1};
    struct cw_server_options trusting = {.conns_per_ip_max = 1, .trusted_proxies = "127.0.0.2"};
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct rig_story story = {0};
    struct rig_host *host;
    struct rig_peer peers[3];

    cw_log_set(keep_line, NULL);
    host = rig_host_start(rig_server(&cw_tcp, &options), &hooks, &story);
    cr_expect_eq(update(host, &(struct cw_server_options){.trusted_proxies = "nobody"}), CW_EINVAL);
    pthread_mutex_lock(&logged.lock);
    cr_expect_eq(strncmp(logged.text, "error: update: trusted_proxies: ", 32), 0, "%s", logged.text);
    pthread_mutex_unlock(&logged.lock);
    cr_expect_eq(update(host, &trusting), CW_OK);
    for (int i = 0; i < 2; i++) {
        peers[i] = from(host, "127.0.0.2");
        expect_echo(&peers[i]);
    }
    cr_expect_eq(update(host, &options), CW_OK);
    peers[2] = from(host, "127.0.0.2");
    expect_echo(&peers[2]); /* the two before are not counted */
    for (int i = 0; i < 3; i++) {
        rig_peer_close(&peers[i]);
    }
    rig_await(rig_host_conns(host) == 0);
    rig_host_end(host);
    cw_log_set(NULL, NULL);
}

/* Two workers, peers that come and go, and threads that send, close, abort, post and walk by id meanwhile, until the
 * server stops under them. For ThreadSanitizer; without it, for crashes and leaks. */
#include "support/host.h"
#include "support/leak.h"
#include "support/peer.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { RUN_MS = 3000, PEER_THREADS = 3, FOREIGN_THREADS = 3, IDS = 32 };

static struct {
    struct rig_host *host;
    struct cw_server *server;
    atomic_bool over;
    atomic_uint_least64_t ids[IDS]; /* of connections, many of them gone */
    atomic_uint opened;
    atomic_uint closed;
    atomic_uint posts_accepted;
    atomic_uint posts_run;
    atomic_uint walks_accepted;
    atomic_uint walks_done;
    atomic_uint sent;
    atomic_uint echoed;
} stage;

/* Not good, but the thread's own. */
static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* ---- the server's threads ---- */

static void on_connection(struct cw_conn *conn, void *user)
{
    unsigned count = atomic_fetch_add(&stage.opened, 1);

    atomic_store(&stage.ids[count % IDS], cw_conn_id(conn));
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_conn_send(conn, msg);
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    atomic_fetch_add(&stage.closed, 1);
}

static void on_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    rig_check(report->text[0] != '\0');
}

static void on_post(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    if (conn) {
        cw_conn_send_text(conn, "post");
    }
    atomic_fetch_add(&stage.posts_run, 1);
}

static void on_walk(struct cw_conn *conn, void *user)
{
    cw_conn_send_text(conn, "walk");
}

static void on_walk_done(void *user)
{
    atomic_fetch_add(&stage.walks_done, 1);
}

/* ---- threads that know ids only ---- */

static int act(uint32_t choice, uint64_t id)
{
    struct cw_message msg = cw_message_text("from elsewhere");
    struct cw_server_stats stats;
    int answer;

    switch (choice % 16) {
    case 0:
        return cw_close_id(stage.server, id);
    case 1:
        return cw_abort_id(stage.server, id);
    case 2:
        answer = cw_server_each_conn(stage.server, on_walk, on_walk_done, NULL);
        if (answer == CW_OK) {
            atomic_fetch_add(&stage.walks_accepted, 1);
        }
        return answer;
    case 3:
        cw_server_stats(stage.server, &stats);
        return CW_OK;
    case 4:
    case 5:
    case 6:
        answer = cw_server_post(stage.server, choice % 2 ? id : choice / 16 % 2, on_post, NULL);
        if (answer == CW_OK) {
            atomic_fetch_add(&stage.posts_accepted, 1);
        }
        return answer;
    default:
        answer = cw_send_to(stage.server, id, &msg);
        if (answer == CW_OK) {
            atomic_fetch_add(&stage.sent, 1);
        }
        return answer;
    }
}

/* Goes on beyond the server's end. */
static void *foreign_main(void *arg)
{
    uint32_t random = *(uint32_t *)arg;
    unsigned refused = 0;

    while (refused < 10) {
        uint64_t id = atomic_load(&stage.ids[next_random(&random) % IDS]);
        int answer = id == 0 ? CW_OK : act(next_random(&random), id);

        rig_check(answer == CW_OK || answer == CW_ESTOPPED || answer == CW_EFULL);
        refused += answer == CW_ESTOPPED;
        if (next_random(&random) % 8 == 0) {
            rig_rest(0);
        }
    }
    cw_server_drop(stage.server);
    return NULL;
}

/* ---- peers ---- */

/* Sends a few frames and reads what comes, whoever it comes from. */
static void visit(struct rig_peer *peer, uint32_t *random)
{
    static const char frame[] = "\0\0\0\7message";
    char buffer[4096];

    for (uint32_t i = next_random(random) % 8 + 1; i > 0; i--) {
        if (rig_peer_try_send(peer, frame, 11) != 11 ||
            rig_peer_receive_some(peer, buffer, sizeof buffer) <= 0) {
            return; /* closed by id */
        }
        atomic_fetch_add(&stage.echoed, 1);
    }
}

static void *peer_main(void *arg)
{
    uint32_t random = *(uint32_t *)arg;

    while (!atomic_load(&stage.over)) {
        struct rig_peer peer = rig_peer_tcp(rig_host_port(stage.host, 0));
        visit(&peer, &random);
        if (next_random(&random) % 3 == 0) {
            rig_peer_reset(&peer);
        } else {
            rig_peer_close(&peer);
        }
    }
    return NULL;
}

/* ---- the play ---- */

static void start(pthread_t *threads, int count, void *(*fn)(void *), uint32_t *seeds)
{
    for (int i = 0; i < count; i++) {
        rig_check(pthread_create(&threads[i], NULL, fn, &seeds[i]) == 0);
    }
}

int main(void)
{
    struct cw_server_options options = {.workers = 2};
    struct cw_hooks hooks = {.on_connection = on_connection,
                             .on_data = on_data,
                             .on_close = on_close,
                             .on_error = on_error};
    uint32_t seeds[PEER_THREADS + FOREIGN_THREADS] = {1, 2, 3, 4, 5, 6};
    pthread_t peers[PEER_THREADS];
    pthread_t foreign[FOREIGN_THREADS];
    uint64_t until = rig_now_ms() + RUN_MS;

    stage.server = rig_server(&cw_framed, &options);
    stage.host = rig_host_start(stage.server, &hooks, NULL);
    for (int i = 0; i < FOREIGN_THREADS; i++) {
        cw_server_hold(stage.server);
    }
    start(peers, PEER_THREADS, peer_main, seeds);
    start(foreign, FOREIGN_THREADS, foreign_main, seeds + PEER_THREADS);
    while (rig_rest(until)) {}
    atomic_store(&stage.over, true);
    for (int i = 0; i < PEER_THREADS; i++) {
        pthread_join(peers[i], NULL);
    }
    rig_host_end(stage.host); /* under the foreign threads */
    for (int i = 0; i < FOREIGN_THREADS; i++) {
        pthread_join(foreign[i], NULL);
    }
    rig_check(atomic_load(&stage.opened) == atomic_load(&stage.closed));
    rig_check(atomic_load(&stage.posts_accepted) == atomic_load(&stage.posts_run));
    rig_check(atomic_load(&stage.walks_accepted) == atomic_load(&stage.walks_done));
    rig_check(atomic_load(&stage.echoed) > 0);
    rig_check(atomic_load(&stage.sent) > 0);
    printf("%u connections, %u echoes, %u messages by id, %u posts, %u walks\n",
           atomic_load(&stage.opened), atomic_load(&stage.echoed), atomic_load(&stage.sent),
           atomic_load(&stage.posts_run), atomic_load(&stage.walks_done));
    rig_expect_no_leak();
    return 0;
}

/* Three workers, peers that come and go, and threads that change the server's options and have it reload meanwhile, until
 * it stops under them. For ThreadSanitizer; without it, for crashes and leaks. */
#include "support/host.h"
#include "support/leak.h"
#include "support/peer.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { RUN_MS = 2500, PEER_THREADS = 3, CHANGERS = 2 };

static struct {
    struct rig_host *host;
    struct cw_server *server;
    atomic_bool over;
    atomic_uint opened;
    atomic_uint closed;
    atomic_uint updates;
    atomic_uint reloads_begun;
    atomic_uint reloads_over;
} stage;

static void on_connection(struct cw_conn *conn, void *user)
{
    atomic_fetch_add(&stage.opened, 1);
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

static void on_reload(struct cw_server *server, int error, void *user)
{
    rig_check(error == CW_OK || error == CW_ESTOPPED);
    atomic_fetch_add(&stage.reloads_over, 1);
}

/* Goes on beyond the server's end. */
static void *reload_main(void *arg)
{
    int answer = CW_OK;

    while (answer != CW_ESTOPPED) {
        answer = cw_server_reload(stage.server);
        rig_check(answer == CW_OK || answer == CW_EAGAIN || answer == CW_ESTOPPED);
        if (answer == CW_OK) {
            atomic_fetch_add(&stage.reloads_begun, 1);
        }
        rig_rest(0);
    }
    cw_server_drop(stage.server);
    return NULL;
}

static void *peer_main(void *arg)
{
    while (!atomic_load(&stage.over)) {
        struct rig_peer peer = rig_peer_tcp(rig_host_port(stage.host, 0));
        char buffer[64];

        if (rig_peer_try_send(&peer, "\0\0\0\7message", 11) == 11) {
            rig_peer_receive_some(&peer, buffer, sizeof buffer);
        }
        rig_peer_close(&peer);
    }
    return NULL;
}

/* Goes on beyond the server's end. */
static void *change_main(void *arg)
{
    uint64_t round = 0;

    for (;;) {
        struct cw_server_options options = {
            .workers = 3,
            .conns_max = 2 + round % 5,
            .conns_per_ip_max = CW_NO_LIMIT,
            .idle_ms = 1000 + round % 7,
            .drain_ms = 1000 + round % 3,
            .buffered_max_bytes = 100000 + round % 11,
            .accepts_per_turn = 1 + round % 4,
            .work_max = 1 + round % 2,
            .keepalive_ms = 1000 * (1 + round % 9),
            .out_max_bytes = round % 2 ? 2000000 : 0,
        };
        int answer = cw_server_update(stage.server, &options);

        rig_check(answer == CW_OK || answer == CW_ESTOPPED);
        if (answer == CW_ESTOPPED) {
            break;
        }
        round++;
        atomic_fetch_add(&stage.updates, 1);
        rig_rest(0);
    }
    cw_server_drop(stage.server);
    return NULL;
}

int main(void)
{
    struct cw_server_options options = {.workers = 3};
    struct cw_hooks hooks = {.on_connection = on_connection,
                             .on_data = on_data,
                             .on_close = on_close,
                             .on_error = on_error,
                             .on_reload = on_reload};
    pthread_t peers[PEER_THREADS];
    pthread_t changers[CHANGERS];
    pthread_t reloader;
    uint64_t until = rig_now_ms() + RUN_MS;

    cw_log_set_level(CW_LOG_WARNING); /* each reload is a line */
    stage.server = rig_server(&cw_framed, &options);
    stage.host = rig_host_start(stage.server, &hooks, NULL);
    for (int i = 0; i < CHANGERS; i++) {
        cw_server_hold(stage.server);
        rig_check(pthread_create(&changers[i], NULL, change_main, NULL) == 0);
    }
    cw_server_hold(stage.server);
    rig_check(pthread_create(&reloader, NULL, reload_main, NULL) == 0);
    for (int i = 0; i < PEER_THREADS; i++) {
        rig_check(pthread_create(&peers[i], NULL, peer_main, NULL) == 0);
    }
    while (rig_rest(until)) {}
    atomic_store(&stage.over, true);
    for (int i = 0; i < PEER_THREADS; i++) {
        pthread_join(peers[i], NULL);
    }
    rig_host_end(stage.host); /* under the changers */
    for (int i = 0; i < CHANGERS; i++) {
        pthread_join(changers[i], NULL);
    }
    pthread_join(reloader, NULL);
    /* Those that were asked for meanwhile are told too. */
    rig_check(atomic_load(&stage.reloads_over) >= atomic_load(&stage.reloads_begun));
    rig_check(atomic_load(&stage.reloads_begun) > 10);
    rig_check(atomic_load(&stage.opened) == atomic_load(&stage.closed));
    rig_check(atomic_load(&stage.opened) > 0);
    rig_check(atomic_load(&stage.updates) > 10);
    printf("%u connections, %u updates, %u reloads\n", atomic_load(&stage.opened),
           atomic_load(&stage.updates), atomic_load(&stage.reloads_over));
    rig_expect_no_leak();
    return 0;
}

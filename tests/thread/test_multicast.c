/* Threads that join and leave groups on a server of three workers, whose listeners of streams and of datagrams are closed under
 * them. Several servers, one after the other, as the end is what matters. For ThreadSanitizer; without it, for crashes and leaks. */
#include "support/host.h"
#include "support/leak.h"
#include "support/udp_peer.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { ROUNDS = 8, RUN_MS = 150, CHANGERS = 3 };

static struct {
    struct rig_host *host;
    struct cw_server *server;
    atomic_uint changers;
    atomic_uint joined;
    atomic_uint left;
} stage;

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_conn_send(conn, msg);
}

/* Each has a group of its own. Goes on beyond the server's end. */
static void *change_main(void *arg)
{
    char text[24];
    const struct cw_multicast_group group = {.group = text, .interface = "lo"};
    int answer = CW_OK;

    snprintf(text, sizeof text, "239.77.2.%u", atomic_fetch_add(&stage.changers, 1) % 200 + 1);
    while (answer == CW_OK) {
        answer = cw_multicast_join(stage.server, NULL, &group);
        if (answer == CW_OK) {
            atomic_fetch_add(&stage.joined, 1);
            answer = cw_multicast_leave(stage.server, NULL, &group);
            atomic_fetch_add(&stage.left, answer == CW_OK ? 1 : 0);
        }
    }
    /* Its sockets are closed a moment before it says that it has stopped. */
    rig_check(answer == CW_ESTOPPED || answer == CW_ENOTFOUND);
    cw_server_drop(stage.server);
    return NULL;
}

static void run_once(const struct cw_hooks *hooks)
{
    const struct cw_server_options options = {.workers = 3};
    pthread_t changers[CHANGERS];
    struct rig_udp peer;
    uint64_t until;

    stage.server = cw_create_server(&cw_udp);
    cw_server_configure(stage.server, &options);
    for (unsigned i = 0; i < 2; i++) {
        cw_server_listen(stage.server, &(struct cw_listen_options){.host = "0.0.0.0"});
        cw_server_listen(stage.server,
                         &(struct cw_listen_options){.host = "127.0.0.1",
                                                     .service = cw_service(&cw_tcp, NULL, NULL)});
    }
    stage.host = rig_host_start(stage.server, hooks, NULL);
    for (int i = 0; i < CHANGERS; i++) {
        cw_server_hold(stage.server);
        rig_check(pthread_create(&changers[i], NULL, change_main, NULL) == 0);
    }
    peer = rig_udp_to(rig_host_port(stage.host, 0));
    until = rig_now_ms() + RUN_MS;
    do {
        rig_udp_expect_echo(&peer, "served meanwhile");
    } while (rig_rest(until));
    rig_udp_close(&peer);
    rig_host_end(stage.host); /* under the changers */
    for (int i = 0; i < CHANGERS; i++) {
        pthread_join(changers[i], NULL);
    }
}

int main(void)
{
    const struct cw_hooks hooks = {.on_data = on_data};

    cw_log_set_level(CW_LOG_WARNING);
    for (int i = 0; i < ROUNDS; i++) {
        run_once(&hooks);
    }
    rig_check(atomic_load(&stage.joined) > ROUNDS);
    rig_check(atomic_load(&stage.left) > ROUNDS);
    printf("%u joined, %u left\n", atomic_load(&stage.joined), atomic_load(&stage.left));
    rig_expect_no_leak();
    return 0;
}

/* A service without peers on several workers, asked by several threads from several addresses, under a rate that they share, while
 * its figures are read and it is stopped. */
#include "support/host.h"
#include "support/udp_peer.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/middleware/datagram_limit.h>
#include <causeway/middleware/ip_limit.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { WORKERS = 3, ASKERS = 4, QUESTIONS = 100, SOCKETS = 5 };

static struct rig_host *host;
static atomic_uint answered;
static atomic_uint askers;

static void answer(struct cw_loop *loop, struct cw_datagram *from, const struct cw_message *msg,
                   void *user)
{
    rig_check(cw_datagram_reply(loop, from, msg->body) == CW_OK);
    atomic_fetch_add(&answered, 1);
}

static void quiet(enum cw_log_level level, uint64_t conn_id, const char *text, void *user) {}

/* From sockets of one address, which are different workers'. */
static void *ask(void *arg)
{
    struct rig_udp sockets[SOCKETS];

    for (int i = 0; i < SOCKETS; i++) {
        sockets[i] = rig_udp_open(arg, "127.0.0.1");
        rig_udp_turn_port(&sockets[i], rig_host_port(host, 0));
    }
    for (int i = 0; i < QUESTIONS; i++) {
        rig_udp_send_text(&sockets[i % SOCKETS], "what?");
    }
    for (int i = 0; i < SOCKETS; i++) {
        rig_udp_forget(&sockets[i]);
        rig_udp_close(&sockets[i]);
    }
    atomic_fetch_sub(&askers, 1);
    return NULL;
}

int main(void)
{
    static const char *const deny[] = {"127.0.0.66", NULL};
    static char *const addresses[ASKERS] = {"127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.66"};
    struct cw_server *server = rig_server(&cw_udp, &(struct cw_server_options){.workers = WORKERS});
    struct cw_datagram_stats stats;
    pthread_t threads[ASKERS];

    cw_log_set(quiet, NULL);
    cw_udp_configure(server, &(struct cw_udp_options){.on_datagram = answer});
    cw_server_use(server, cw_ip_limit(&(struct cw_ip_limit_options){.deny = deny}));
    cw_server_use(server, cw_datagram_limit(&(struct cw_datagram_limit_options){
                              .datagrams_per_s = 1, .datagrams_burst = 50}));
    host = rig_host_start(server, NULL, NULL);
    atomic_store(&askers, ASKERS);
    for (int i = 0; i < ASKERS; i++) {
        rig_check(pthread_create(&threads[i], NULL, ask, addresses[i]) == 0);
    }
    do {
        cw_server_datagram_stats(server, &stats);
        rig_check(stats.sockets == WORKERS);
        rig_check(stats.received <= (uint64_t)ASKERS * QUESTIONS);
    } while (atomic_load(&askers) > 0);
    for (int i = 0; i < ASKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    rig_await(atomic_load(&answered) >= 100);
    rig_host_end(host);
    printf("answered %u\n", atomic_load(&answered));
    return 0;
}

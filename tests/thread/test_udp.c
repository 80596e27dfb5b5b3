/* Peers of datagrams from all sides at once: two workers, peers that come, talk and fall silent, threads that send to them by
 * id, close them, send to rooms and ask for figures, and a stop while all of that goes on. */
#include "support/host.h"
#include "support/udp_peer.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 3, RUN_MS = 900, TALKERS = 3, MEDDLERS = 2, IDS = 16, PEERS_EACH = 8 };

static struct {
    struct rig_host *host;
    struct cw_server *server;
    uint16_t port;
    atomic_bool over;
    atomic_uint_least64_t ids[IDS];
    atomic_uint opened;
    atomic_uint closed;
    atomic_uint echoed;
    atomic_uint answered;
} all;

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

/* ---- the server's side ---- */

static void on_connection(struct cw_conn *conn, void *user)
{
    unsigned n = atomic_fetch_add(&all.opened, 1);

    atomic_store(&all.ids[n % IDS], cw_conn_id(conn));
    rig_check(cw_conn_is_datagram(conn));
    rig_check(cw_room_join(conn, n % 2 ? "odd" : "even") == CW_OK);
    if (n % 4 == 0) {
        cw_conn_set_proven(conn);
    }
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    int answer = cw_conn_send(conn, msg);

    rig_check(answer == CW_OK || answer == CW_EUNPROVEN);
    atomic_fetch_add(&all.echoed, 1);
    if (msg->body.len % 16 == 15) {
        cw_conn_close(conn);
    } else if (msg->body.len % 16 == 14) {
        cw_room_send(cw_conn_server(conn), "odd", msg, NULL);
    }
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    atomic_fetch_add(&all.closed, 1);
}

static void on_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    rig_check(report->text[0] != '\0');
}

static const struct cw_hooks hooks = {
    .on_connection = on_connection, .on_data = on_data, .on_close = on_close, .on_error = on_error};

/* ---- peers ---- */

/* Some that come, talk and are replaced by others; beyond the server's end. */
static void *talk(void *arg)
{
    uint32_t random = (uint32_t)(uintptr_t)arg + 1;
    struct rig_udp peers[PEERS_EACH];
    uint8_t body[256];

    memset(body, 'x', sizeof body);
    for (int i = 0; i < PEERS_EACH; i++) {
        peers[i] = rig_udp_to(all.port);
    }
    while (!atomic_load(&all.over)) {
        struct rig_udp *peer = &peers[next_random(&random) % PEERS_EACH];

        (void)rig_udp_try_send(peer, body, next_random(&random) % sizeof body);
        atomic_fetch_add(&all.answered, (unsigned)rig_udp_forget(peer));
        if (next_random(&random) % 32 == 0) {
            rig_udp_close(peer); /* what is sent to it comes back as an error */
            *peer = rig_udp_to(all.port);
        }
        if (next_random(&random) % 8 == 0) {
            rig_rest(UINT64_MAX);
        }
    }
    for (int i = 0; i < PEERS_EACH; i++) {
        rig_udp_close(&peers[i]);
    }
    return NULL;
}

/* ---- threads that know ids only ---- */

static void on_walk(struct cw_conn *conn, void *user)
{
    struct cw_conn_stats stats;

    cw_conn_stats(conn, &stats);
    (void)cw_conn_credit(conn);
}

static void speak_first(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct cw_address peer = rig_address("127.0.0.1:9");

    if (conn) {
        peer = *cw_conn_peer(conn);
    }
    conn = cw_datagram_peer(loop, NULL, &peer);
    if (conn) {
        cw_conn_send_text(conn, "hello");
    }
}

/* Whether there is multicast here at all does not matter. */
static int join_or_leave(bool join)
{
    const struct cw_multicast_group group = {.group = "239.1.2.3", .interface = "127.0.0.1"};
    int answer = join ? cw_multicast_join(all.server, NULL, &group)
                      : cw_multicast_leave(all.server, NULL, &group);

    return answer == CW_ESTOPPED ? answer : CW_OK;
}

static int act(uint32_t choice, uint64_t id)
{
    const struct cw_message msg = cw_message_text("from elsewhere");
    struct cw_datagram_stats datagrams;
    struct cw_server_stats stats;

    switch (choice % 16) {
    case 0:
        return cw_close_id(all.server, id);
    case 1:
        return cw_abort_id(all.server, id);
    case 2:
        return cw_server_each_conn(all.server, on_walk, NULL, NULL);
    case 3:
        cw_server_stats(all.server, &stats);
        cw_server_datagram_stats(all.server, &datagrams);
        return CW_OK;
    case 4:
        return cw_server_post(all.server, id, speak_first, NULL);
    case 5:
    case 6:
    case 7:
        return cw_room_send(all.server, choice % 2 ? "odd" : "even", &msg, NULL);
    case 8:
        return cw_room_join_id(all.server, id, "guests", cw_span_text("pushed"));
    case 9:
        return join_or_leave(choice / 16 % 2);
    default:
        return cw_send_to(all.server, id, &msg);
    }
}

/* Goes on beyond the server's end. */
static void *meddle(void *arg)
{
    uint32_t random = (uint32_t)(uintptr_t)arg + 77;
    unsigned refused = 0;

    while (refused < 10) {
        uint64_t id = atomic_load(&all.ids[next_random(&random) % IDS]);
        int answer = id == 0 ? CW_OK : act(next_random(&random), id);

        rig_check(answer == CW_OK || answer == CW_ESTOPPED || answer == CW_EFULL);
        refused += answer == CW_ESTOPPED;
        if (next_random(&random) % 8 == 0) {
            rig_rest(UINT64_MAX);
        }
    }
    cw_server_drop(all.server);
    return NULL;
}

/* ---- the whole ---- */

static pthread_t start(void *(*fn)(void *arg), uintptr_t arg)
{
    pthread_t thread;

    rig_check(pthread_create(&thread, NULL, fn, (void *)arg) == 0);
    return thread;
}

static struct cw_server *make_server(void)
{
    struct cw_server_options options = {.workers = 2, .conns_max = 200, .conns_per_ip_max = 200};
    struct cw_listen_options listen = {.host = "127.0.0.1",
                                       .datagram = {.peer_idle_ms = 300, .peers_max = 20}};
    struct cw_server *server = cw_create_server(&cw_udp);

    rig_check(cw_server_configure(server, &options) == CW_OK);
    rig_check(cw_server_listen(server, &listen) == CW_OK);
    return server;
}

/* From start to stop, and a little beyond. */
static void live(void)
{
    pthread_t threads[TALKERS + MEDDLERS];
    uint64_t until;

    all.server = make_server();
    all.host = rig_host_start(all.server, &hooks, NULL);
    rig_check(!rig_host_has_ended(all.host));
    all.port = rig_host_port(all.host, 0);
    atomic_store(&all.over, false);
    for (uintptr_t i = 0; i < TALKERS; i++) {
        threads[i] = start(talk, i);
    }
    for (uintptr_t i = 0; i < MEDDLERS; i++) {
        cw_server_hold(all.server);
        threads[TALKERS + i] = start(meddle, i);
    }
    until = rig_now_ms() + RUN_MS;
    while (rig_rest(until)) {}
    rig_check(rig_host_stop(all.host) == CW_OK);
    rig_check(atomic_load(&all.opened) == atomic_load(&all.closed));
    rig_host_free(all.host);
    for (int i = 0; i < MEDDLERS; i++) {
        pthread_join(threads[TALKERS + i], NULL);
    }
    atomic_store(&all.over, true);
    for (int i = 0; i < TALKERS; i++) {
        pthread_join(threads[i], NULL);
    }
}

int main(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    for (int round = 0; round < ROUNDS; round++) {
        live();
    }
    rig_check(atomic_load(&all.opened) > TALKERS * PEERS_EACH);
    rig_check(atomic_load(&all.answered) > 100);
    printf("%u peers, %u echoes, %u answers\n", atomic_load(&all.opened), atomic_load(&all.echoed),
           atomic_load(&all.answered));
    return 0;
}

/* Two workers and their handshake helpers, peers over DTLS that come, echo, begin again and leave in every way, some of them in the
 * middle of the handshake, until the server stops under them. For ThreadSanitizer; without it, for crashes and leaks. */
#include "support/dtls_peer.h"
#include "support/host.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 3, RUN_MS = 1200, PEER_THREADS = 4, STEPS_MAX = 60 };

static struct {
    struct rig_host *host;
    uint16_t port;
    atomic_bool over;
    atomic_uint opened;
    atomic_uint closed;
    atomic_uint echoed;
} stage;

/* Not good, but the thread's own. */
static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void on_connection(struct cw_conn *conn, void *user)
{
    struct cw_tls_info info;

    rig_check(cw_conn_tls(conn, &info) == CW_OK);
    rig_check(strcmp(info.version, "DTLSv1.2") == 0);
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

/* A part of a handshake, or all of it. True: it is open. */
static bool enter(struct rig_dtls *peer, uint32_t *random)
{
    unsigned steps = next_random(random) % 3 == 0 ? next_random(random) % 4 : STEPS_MAX;
    int error = MBEDTLS_ERR_SSL_WANT_READ;

    while (steps-- > 0 && error == MBEDTLS_ERR_SSL_WANT_READ) {
        error = rig_dtls_step(peer);
    }
    return error == 0;
}

static void echo(struct rig_dtls *peer, unsigned times)
{
    uint8_t answer[64];

    for (unsigned i = 0; i < times; i++) {
        rig_dtls_write(peer, "hello", 5);
        if (rig_dtls_hears(peer, 20) && mbedtls_ssl_read(&peer->ssl, answer, sizeof answer) > 0) {
            atomic_fetch_add(&stage.echoed, 1);
        }
    }
}

static void *be_a_peer(void *arg)
{
    uint32_t random = (uint32_t)(uintptr_t)arg;
    struct rig_dtls peer;

    rig_dtls_open(&peer, stage.port, NULL);
    while (!atomic_load(&stage.over)) {
        bool open;

        if (next_random(&random) % 3 == 0) {
            rig_dtls_begin_again(&peer, NULL);
        } else {
            rig_dtls_close(&peer);
            rig_dtls_open(&peer, stage.port, NULL);
        }
        open = enter(&peer, &random);
        if (open) {
            echo(&peer, next_random(&random) % 8);
        }
        if (open && next_random(&random) % 2 == 0) {
            rig_dtls_notify(&peer);
        }
    }
    rig_dtls_close(&peer);
    return NULL;
}

static struct cw_server *make_server(unsigned round)
{
    struct cw_tls_options tls = {
        .cert = pki("server.pem"), .key = pki("server.key"), .retransmit_min_ms = 20};
    struct cw_listen_options listen = {.host = "127.0.0.1", .tls = &tls};
    struct cw_server_options options = {
        .workers = 2, .handshake_threads = 1 + round % 2, .drain_ms = 1000};
    struct cw_server *server = cw_create_server(&cw_udp);

    rig_check(server && cw_server_configure(server, &options) == CW_OK);
    rig_check(cw_server_listen(server, &listen) == CW_OK);
    return server;
}

static void play(unsigned round)
{
    struct cw_hooks hooks = {.on_connection = on_connection,
                             .on_data = on_data,
                             .on_close = on_close,
                             .on_error = on_error};
    pthread_t peers[PEER_THREADS];
    uint64_t until;

    memset(&stage, 0, sizeof stage);
    stage.host = rig_host_start(make_server(round), &hooks, NULL);
    stage.port = rig_host_port(stage.host, 0);
    for (unsigned i = 0; i < PEER_THREADS; i++) {
        rig_check(pthread_create(&peers[i], NULL, be_a_peer,
                                 (void *)(uintptr_t)(1 + round * PEER_THREADS + i)) == 0);
    }
    until = rig_now_ms() + RUN_MS;
    while (rig_now_ms() < until || atomic_load(&stage.echoed) == 0) {
        rig_check(rig_rest(until + RIG_DEADLINE_MS));
    }
    rig_host_stop(stage.host);
    atomic_store(&stage.over, true);
    for (unsigned i = 0; i < PEER_THREADS; i++) {
        pthread_join(peers[i], NULL);
    }
    rig_host_free(stage.host);
    rig_check(atomic_load(&stage.opened) == atomic_load(&stage.closed));
}

int main(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    if (!pki_made()) {
        return 77;
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        play(round);
    }
    rig_expect_no_leak();
    return 0;
}

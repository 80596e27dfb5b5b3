/* Two workers and their handshake helpers, peers over TLS that come, echo and leave in every way, some of them in the
 * middle of the handshake, until the server stops under them. For ThreadSanitizer; without it, for crashes and leaks.
 * The library is not built with ThreadSanitizer: what it does inside is not seen, and its locks are pthread's, which are. */
#include "support/host.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/tls_tap.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDS = 3, RUN_MS = 1200, PEER_THREADS = 4 };

static struct {
    struct rig_host *host;
    uint16_t port;
    atomic_bool over;
    atomic_uint opened;
    atomic_uint closed;
    atomic_uint failed;
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
    rig_check(info.cipher[0] != '\0');
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
    atomic_fetch_add(&stage.failed, 1);
}

/* A part of a handshake, or all of it. True: it is open. */
static bool enter(struct rig_tap *tap, uint32_t *random)
{
    struct cw_span hello;

    switch (next_random(random) % 4) {
    case 0:
        hello = rig_tap_hello(tap);
        (void)rig_peer_try_send(&tap->peer, hello.data, next_random(random) % (hello.len + 1));
        return false;
    case 1:
        hello = rig_tap_hello(tap);
        (void)rig_peer_try_send(&tap->peer, hello.data, hello.len);
        return false;
    default:
        return rig_tap_handshake(tap) == 0;
    }
}

static void echo(struct rig_tap *tap, unsigned times)
{
    char answer[16];

    for (unsigned i = 0; i < times; i++) {
        if (mbedtls_ssl_write(&tap->ssl, (const unsigned char *)"hello", 5) != 5 ||
            mbedtls_ssl_read(&tap->ssl, (unsigned char *)answer, sizeof answer) <= 0) {
            return;
        }
        atomic_fetch_add(&stage.echoed, 1);
    }
}

static void leave(struct rig_tap *tap, uint32_t *random, bool open)
{
    if (next_random(random) % 2 == 0) {
        rig_peer_reset(&tap->peer);
    } else if (open) {
        (void)mbedtls_ssl_close_notify(&tap->ssl);
    }
    rig_tap_close(tap);
}

static void *be_a_peer(void *arg)
{
    uint32_t random = (uint32_t)(uintptr_t)arg;

    while (!atomic_load(&stage.over)) {
        struct rig_tap tap;
        struct rig_peer peer = rig_peer_try_tcp(stage.port);
        bool open;

        if (peer.fd < 0) {
            break;
        }
        rig_tap_open(&tap, peer,
                     &(struct rig_tap_setup){.version = next_random(&random) % 2 == 0 ? 12 : 0});
        open = enter(&tap, &random);
        if (open) {
            echo(&tap, next_random(&random) % 8);
        }
        leave(&tap, &random, open);
    }
    return NULL;
}

static void play(unsigned round)
{
    struct cw_hooks hooks = {.on_connection = on_connection,
                             .on_data = on_data,
                             .on_close = on_close,
                             .on_error = on_error};
    struct cw_server_options options = {
        .workers = 2, .handshake_threads = 1 + round % 2, .drain_ms = 1000};
    pthread_t peers[PEER_THREADS];
    uint64_t until;

    memset(&stage, 0, sizeof stage);
    stage.host = rig_host_start(rig_tls_server(&cw_tcp, &options, NULL), &hooks, NULL);
    stage.port = rig_host_port(stage.host, 0);
    for (unsigned i = 0; i < PEER_THREADS; i++) {
        rig_check(pthread_create(&peers[i], NULL, be_a_peer,
                                 (void *)(uintptr_t)(1 + i + round * PEER_THREADS)) == 0);
    }
    until = rig_now_ms() + RUN_MS;
    while (rig_now_ms() < until || atomic_load(&stage.echoed) == 0) {
        rig_rest(until);
    }
    rig_check(rig_host_stop(stage.host) == CW_OK); /* in the middle of handshakes */
    atomic_store(&stage.over, true);
    for (unsigned i = 0; i < PEER_THREADS; i++) {
        pthread_join(peers[i], NULL);
    }
    rig_host_free(stage.host);
    rig_check(atomic_load(&stage.opened) == atomic_load(&stage.closed));
    rig_check(atomic_load(&stage.opened) > 0);
}

int main(void)
{
    if (!pki_made()) {
        puts("skipped: the openssl command was missing when this was built");
        return 77; /* which CTest shows as skipped */
    }
    cw_log_set_level(CW_LOG_SILENT);
    for (unsigned round = 0; round < ROUNDS; round++) {
        play(round);
    }
    rig_expect_no_leak();
    return 0;
}

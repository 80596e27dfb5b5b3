/* Two workers and their helpers, peers over TLS that come and go, threads that have the certificates read again and the
 * options changed meanwhile, and one that changes the files; until the server stops under them. For ThreadSanitizer;
 * without it, for crashes and leaks. */
#include "support/host.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/tls_tap.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RUN_MS = 2500, PEER_THREADS = 3, PATH_CAP = 96, EXIT_SKIPPED = 77 };

static struct {
    struct rig_host *host;
    struct cw_server *server;
    char folder[64];
    char both[PATH_CAP]; /* certificate and key in one file, so that they change together */
    atomic_bool over;
    atomic_uint opened;
    atomic_uint closed;
    atomic_uint echoed;
    atomic_uint swaps;
    atomic_uint updates;
    atomic_uint reloads_begun;
    atomic_uint reloads_over;
    atomic_uint reloads_good;
} stage;

static void on_connection(struct cw_conn *conn, void *user)
{
    struct cw_tls_info info;

    rig_check(cw_conn_tls(conn, &info) == CW_OK);
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

/* A file that is replaced between the reading of its certificate and that of its key is refused, and the old pair stays. */
static void on_reload(struct cw_server *server, int error, void *user)
{
    if (error == CW_OK) {
        atomic_fetch_add(&stage.reloads_good, 1);
    } else {
        rig_check(error == CW_ESTOPPED || error == CW_ECERT);
    }
    atomic_fetch_add(&stage.reloads_over, 1);
}

/* ---- the files ---- */

static void append_file(FILE *out, const char *name)
{
    char bytes[16384];
    FILE *in = fopen(name, "re");
    size_t len;

    rig_check(in);
    len = fread(bytes, 1, sizeof bytes, in);
    rig_check(fwrite(bytes, 1, len, out) == len);
    fclose(in);
}

/* Whole, as a rename makes it. */
static void put_identity(const char *cert, const char *key)
{
    char fresh[PATH_CAP];
    FILE *out;

    snprintf(fresh, sizeof fresh, "%s/fresh.pem", stage.folder);
    out = fopen(fresh, "we");
    rig_check(out);
    append_file(out, cert);
    append_file(out, key);
    rig_check(fclose(out) == 0);
    rig_check(chmod(fresh, 0600) == 0);
    rig_check(rename(fresh, stage.both) == 0);
}

/* ---- the threads ---- */

static void *swap_main(void *arg)
{
    const char *const *names = arg;

    while (!atomic_load(&stage.over)) {
        unsigned n = atomic_fetch_add(&stage.swaps, 1) % 2;

        put_identity(names[2 * n], names[2 * n + 1]);
        rig_rest(0);
    }
    return NULL;
}

/* This one and the next go on beyond the server's end. */
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

static void *change_main(void *arg)
{
    int answer = CW_OK;

    for (uint64_t round = 0; answer != CW_ESTOPPED; round++) {
        struct cw_server_options options = {
            .workers = 2, .handshake_threads = 2, .idle_ms = 1000 + round % 7};

        answer = cw_server_update(stage.server, &options);
        rig_check(answer == CW_OK || answer == CW_ESTOPPED);
        atomic_fetch_add(&stage.updates, 1);
        rig_rest(0);
    }
    cw_server_drop(stage.server);
    return NULL;
}

static void *peer_main(void *arg)
{
    while (!atomic_load(&stage.over)) {
        struct rig_tap tap;

        rig_tap_connect(&tap, rig_host_port(stage.host, 0), 0);
        rig_tap_expect_echo(&tap, "hello");
        rig_tap_notify(&tap);
        rig_check(rig_tap_end(&tap) == 0);
        rig_tap_close(&tap);
        atomic_fetch_add(&stage.echoed, 1);
    }
    return NULL;
}

static void start_server(void)
{
    struct cw_hooks hooks = {.on_connection = on_connection,
                             .on_data = on_data,
                             .on_close = on_close,
                             .on_error = on_error,
                             .on_reload = on_reload};
    struct cw_server_options options = {.workers = 2, .handshake_threads = 2};
    struct cw_tls_options tls = {.cert = stage.both};

    stage.server = rig_tls_server(&cw_tcp, &options, &tls);
    stage.host = rig_host_start(stage.server, &hooks, NULL);
}

static void play(const char *const *names)
{
    pthread_t peers[PEER_THREADS];
    pthread_t others[3];
    uint64_t until = rig_now_ms() + RUN_MS;

    cw_server_hold(stage.server);
    cw_server_hold(stage.server);
    rig_check(pthread_create(&others[0], NULL, reload_main, NULL) == 0);
    rig_check(pthread_create(&others[1], NULL, change_main, NULL) == 0);
    rig_check(pthread_create(&others[2], NULL, swap_main, (void *)(uintptr_t)names) == 0);
    for (int i = 0; i < PEER_THREADS; i++) {
        rig_check(pthread_create(&peers[i], NULL, peer_main, NULL) == 0);
    }
    while (rig_rest(until)) {}
    rig_await(atomic_load(&stage.echoed) > 10 && atomic_load(&stage.reloads_good) > 10 &&
              atomic_load(&stage.updates) > 10);
    atomic_store(&stage.over, true);
    for (int i = 0; i < PEER_THREADS; i++) {
        pthread_join(peers[i], NULL);
    }
    rig_host_end(stage.host); /* under the others */
    for (int i = 0; i < 3; i++) {
        pthread_join(others[i], NULL);
    }
}

int main(void)
{
    if (!pki_made()) {
        puts("skipped: the openssl command was missing when this was built");
        return EXIT_SKIPPED;
    }
    const char *names[] = {pki("next.pem"), pki("next.key"), pki("server.pem"), pki("server.key")};

    cw_log_set_level(CW_LOG_WARNING); /* each reload is a line */
    snprintf(stage.folder, sizeof stage.folder, "/tmp/causeway-reload-XXXXXX");
    rig_check(mkdtemp(stage.folder));
    snprintf(stage.both, sizeof stage.both, "%s/both.pem", stage.folder);
    put_identity(names[2], names[3]);
    start_server();
    play(names);
    rig_check(atomic_load(&stage.reloads_over) >= atomic_load(&stage.reloads_begun));
    rig_check(atomic_load(&stage.opened) == atomic_load(&stage.closed));
    rig_check(atomic_load(&stage.opened) >= atomic_load(&stage.echoed));
    printf("%u connections, %u swaps, %u updates, %u reloads, %u of them good\n",
           atomic_load(&stage.opened), atomic_load(&stage.swaps), atomic_load(&stage.updates),
           atomic_load(&stage.reloads_over), atomic_load(&stage.reloads_good));
    rig_check(unlink(stage.both) == 0);
    rig_check(rmdir(stage.folder) == 0);
    rig_expect_no_leak();
    return 0;
}

/* A server in a thread of the test's process. */
#include "support/host.h"

#include "support/wait.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { HOSTS_MAX = 16, TEXT_MAX = 160 };

struct rig_host {
    struct cw_server *server;
    struct cw_hooks hooks; /* the test's */
    pthread_t thread;
    bool joined;
    int answer;
    atomic_bool ready;
    atomic_bool ended;
    unsigned listeners;
    uint16_t ports[RIG_LISTENERS_MAX];
    char texts[RIG_LISTENERS_MAX][TEXT_MAX];
};

/* The hooks' user pointer is the test's, so a host is found by its server. */
static struct {
    pthread_mutex_t lock;
    struct rig_host *hosts[HOSTS_MAX];
} running = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Puts `to` where `from` was. NULL: an empty place. */
static void replace(struct rig_host *from, struct rig_host *to)
{
    int i = 0;

    pthread_mutex_lock(&running.lock);
    while (i < HOSTS_MAX && running.hosts[i] != from) {
        i++;
    }
    rig_check(i < HOSTS_MAX);
    running.hosts[i] = to;
    pthread_mutex_unlock(&running.lock);
}

static struct rig_host *host_of(const struct cw_server *server)
{
    struct rig_host *found = NULL;

    pthread_mutex_lock(&running.lock);
    for (int i = 0; i < HOSTS_MAX; i++) {
        if (running.hosts[i] && running.hosts[i]->server == server) {
            found = running.hosts[i];
        }
    }
    pthread_mutex_unlock(&running.lock);
    rig_check(found);
    return found;
}

static void on_listening(struct cw_server *server, const struct cw_address *address,
                         const char *text, void *user)
{
    struct rig_host *host = host_of(server);

    rig_check(host->listeners < RIG_LISTENERS_MAX);
    host->ports[host->listeners] = address->port;
    snprintf(host->texts[host->listeners], TEXT_MAX, "%s", text);
    host->listeners++;
    if (host->hooks.on_listening) {
        host->hooks.on_listening(server, address, text, user);
    }
}

static void on_worker_start(struct cw_server *server, struct cw_loop *loop, void *user)
{
    struct rig_host *host = host_of(server);

    if (host->hooks.on_worker_start) {
        host->hooks.on_worker_start(server, loop, user);
    }
    if (cw_loop_worker(loop) == 0) {
        atomic_store(&host->ready, true);
    }
}

static void *run(void *arg)
{
    struct rig_host *host = arg;

    host->answer = cw_server_run(host->server);
    atomic_store(&host->ended, true);
    return NULL;
}

struct cw_server *rig_server(const struct cw_protocol *protocol,
                             const struct cw_server_options *options)
{
    struct cw_server *server = cw_create_server(protocol);

    rig_check(server);
    if (options) {
        rig_check(cw_server_configure(server, options) == CW_OK);
    }
    rig_check(cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1"}) == CW_OK);
    return server;
}

struct rig_host *rig_host_start(struct cw_server *server, const struct cw_hooks *hooks, void *user)
{
    struct rig_host *host = calloc(1, sizeof *host);
    struct cw_hooks wrapped = {0};

    rig_check(host);
    host->server = server;
    if (hooks) {
        wrapped = host->hooks = *hooks;
    }
    wrapped.on_listening = on_listening;
    wrapped.on_worker_start = on_worker_start;
    rig_check(cw_server_set_hooks(server, &wrapped, user) == CW_OK);
    replace(NULL, host);
    rig_check(pthread_create(&host->thread, NULL, run, host) == 0);
    rig_await(atomic_load(&host->ready) || atomic_load(&host->ended));
    return host;
}

uint16_t rig_host_port(const struct rig_host *host, unsigned listener)
{
    rig_check(listener < host->listeners);
    return host->ports[listener];
}

const char *rig_host_text(const struct rig_host *host, unsigned listener)
{
    rig_check(listener < host->listeners);
    return host->texts[listener];
}

unsigned rig_host_listeners(const struct rig_host *host)
{
    return host->listeners;
}

struct cw_server *rig_host_server(const struct rig_host *host)
{
    return host->server;
}

bool rig_host_has_ended(const struct rig_host *host)
{
    return atomic_load(&host->ended);
}

struct errand {
    cw_post_fn fn;
    void *arg;
    atomic_bool done;
};

static void run_errand(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct errand *errand = arg;

    errand->fn(loop, conn, errand->arg);
    atomic_store(&errand->done, true);
}

void rig_host_run(struct rig_host *host, uint64_t target, cw_post_fn fn, void *arg)
{
    struct errand errand = {.fn = fn, .arg = arg};

    rig_check(cw_server_post(host->server, target, run_errand, &errand) == CW_OK);
    rig_await(atomic_load(&errand.done));
}

uint64_t rig_host_conns(const struct rig_host *host)
{
    struct cw_server_stats stats;

    cw_server_stats(host->server, &stats);
    return stats.conns_open;
}

int rig_host_join(struct rig_host *host)
{
    if (!host->joined) {
        rig_await(atomic_load(&host->ended));
        rig_check(pthread_join(host->thread, NULL) == 0);
        host->joined = true;
    }
    return host->answer;
}

int rig_host_stop(struct rig_host *host)
{
    cw_server_stop(host->server);
    return rig_host_join(host);
}

void rig_host_free(struct rig_host *host)
{
    rig_check(host->joined);
    replace(host, NULL);
    cw_server_free(host->server);
    free(host);
}

void rig_host_end(struct rig_host *host)
{
    int answer = rig_host_stop(host);

    if (answer != CW_OK) {
        rig_fail(__FILE__, __LINE__, "the server returned %s: %s", cw_error_name(answer),
                 cw_server_error(host->server));
    }
    rig_host_free(host);
}

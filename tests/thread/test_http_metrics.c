/* Three workers that count, limit and answer for health while one thread asks for the figures and another says whether it is
 * ready. In the end every request has been counted once. For ThreadSanitizer. */
#include "support/host.h"
#include "support/leak.h"
#include "support/peer.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/middleware/http_health.h>
#include <causeway/middleware/http_metrics.h>
#include <causeway/middleware/http_rate_limit.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { PEER_THREADS = 3, ROUNDS = 150, ANSWER_MAX = 65536 };

static struct {
    struct rig_host *host;
    struct cw_http_middleware *health;
    atomic_bool over;
    atomic_uint ready;
    atomic_uint not_ready;
} stage;

static void hello(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, "Hello, world!");
}

/* One request on a connection of its own: it may come to any worker. */
static void ask(const char *path, char *answer)
{
    struct rig_peer peer = rig_peer_tcp(rig_host_port(stage.host, 0));
    char request[200];
    size_t len = 0;
    ptrdiff_t got;

    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
             path);
    rig_peer_send_text(&peer, request);
    while ((got = rig_peer_receive_some(&peer, answer + len, ANSWER_MAX - 1 - len)) > 0) {
        len += (size_t)got;
    }
    answer[len] = '\0';
    rig_check(strncmp(answer, "HTTP/1.1 ", 9) == 0);
    rig_peer_close(&peer);
}

static void *peer_main(void *arg)
{
    char *answer = malloc(ANSWER_MAX);

    rig_check(answer != NULL);
    for (int i = 0; i < ROUNDS; i++) {
        ask(i % 3 == 0 ? "/nowhere" : "/", answer);
        ask("/health/ready", answer);
        atomic_fetch_add(answer[9] == '2' ? &stage.ready : &stage.not_ready, 1);
    }
    free(answer);
    return NULL;
}

static void *scrape_main(void *arg)
{
    char *answer = malloc(ANSWER_MAX);

    rig_check(answer != NULL);
    while (!atomic_load(&stage.over)) {
        ask("/metrics", answer);
        rig_check(strstr(answer, "causeway_connections_open") != NULL);
    }
    free(answer);
    return NULL;
}

static void *toggle_main(void *arg)
{
    for (bool ready = false; !atomic_load(&stage.over); ready = !ready) {
        cw_http_health_set_ready(stage.health, ready);
        rig_rest(0);
    }
    return NULL;
}

static unsigned long figure(const char *page, const char *line)
{
    const char *found = strstr(page, line);

    rig_check(found != NULL);
    return strtoul(found + strlen(line), NULL, 10);
}

static void expect_all_counted(void)
{
    char *page = malloc(ANSWER_MAX);
    unsigned long asked = PEER_THREADS * ROUNDS;

    rig_check(page != NULL);
    rig_await(rig_host_conns(stage.host) == 0);
    ask("/metrics", page);
    rig_check(figure(page, "_total{route=\"GET /\",method=\"GET\",status=\"200\"} ") ==
              asked / 3 * 2);
    rig_check(figure(page, "_total{route=\"none\",method=\"GET\",status=\"404\"} ") == asked / 3);
    rig_check(figure(page, "seconds_count{route=\"GET /\"} ") == asked / 3 * 2);
    rig_check(atomic_load(&stage.ready) + atomic_load(&stage.not_ready) == asked);
    free(page);
}

static struct cw_server *make_server(void)
{
    struct cw_server *server = rig_server(&cw_http, &(struct cw_server_options){.workers = 3});

    stage.health = cw_http_health(NULL);
    cw_http_use(server, cw_http_metrics(NULL));
    cw_http_use(server, stage.health);
    cw_http_use(server,
                cw_http_rate_limit(&(struct cw_http_rate_limit_options){.requests = 1000000}));
    cw_http_route(server, "GET /", hello, NULL);
    return server;
}

int main(void)
{
    pthread_t peers[PEER_THREADS];
    pthread_t scraper;
    pthread_t toggler;

    stage.host = rig_host_start(make_server(), NULL, NULL);
    rig_check(pthread_create(&scraper, NULL, scrape_main, NULL) == 0);
    rig_check(pthread_create(&toggler, NULL, toggle_main, NULL) == 0);
    for (int i = 0; i < PEER_THREADS; i++) {
        rig_check(pthread_create(&peers[i], NULL, peer_main, NULL) == 0);
    }
    for (int i = 0; i < PEER_THREADS; i++) {
        pthread_join(peers[i], NULL);
    }
    atomic_store(&stage.over, true);
    pthread_join(scraper, NULL);
    pthread_join(toggler, NULL);
    expect_all_counted();
    rig_host_end(stage.host);
    rig_expect_no_leak();
    return 0;
}

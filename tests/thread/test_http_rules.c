/* What the rules of HTTP share between workers, with several of them at once: the access log's thread and its batches, the counts
 * of requests under way, the loops' own generators of ids. */
#include "support/host.h"
#include "support/http_peer.h"
#include "support/wait.h"

#include <causeway/http.h>
#include <causeway/middleware/access_log.h>
#include <causeway/middleware/http_limits.h>
#include <causeway/middleware/http_request_id.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { WORKERS = 3, CLIENTS = 4, CONNECTIONS = 10, REQUESTS = 50, AT_ONCE_MAX = 100 };

static atomic_size_t lines;

static void count_lines(struct cw_span text, void *user)
{
    for (size_t i = 0; i < text.len; i++) {
        atomic_fetch_add(&lines, text.data[i] == '\n');
    }
}

static void greet(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, cw_http_request_id_of(http));
}

static void *ask(void *arg)
{
    const struct rig_host *host = arg;

    for (int i = 0; i < CONNECTIONS; i++) {
        struct http_peer peer = http_peer_new(rig_host_port(host, 0));
        for (int k = 0; k < REQUESTS; k++) {
            struct http_reply reply;
            http_peer_ask(&peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", &reply);
            rig_check(reply.status == 200);
            rig_check(reply.body_len == 32);
            http_reply_release(&reply);
        }
        http_peer_close(&peer);
    }
    return NULL;
}

int main(void)
{
    struct cw_server *server =
        rig_server(&cw_http, &(struct cw_server_options){.workers = WORKERS});
    pthread_t clients[CLIENTS];

    cw_http_use(server, cw_access_log(
                            &(struct cw_access_log_options){.write = count_lines, .flush_ms = 1}));
    cw_http_use(server, cw_http_request_id(NULL));
    cw_http_use(server, cw_http_limits(&(struct cw_http_limits_options){
                            .requests_max = AT_ONCE_MAX, .per_client_max = AT_ONCE_MAX}));
    cw_http_route(server, "GET /", greet, NULL);
    struct rig_host *host = rig_host_start(server, NULL, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        rig_check(pthread_create(&clients[i], NULL, ask, host) == 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(clients[i], NULL);
    }
    rig_host_end(host);
    rig_check(atomic_load(&lines) == (size_t)CLIENTS * CONNECTIONS * REQUESTS);
    return 0;
}

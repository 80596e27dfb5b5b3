/* Answers and events from other threads, while their readers come and go on several workers. */
#include "support/host.h"
#include "support/peer.h"
#include "support/wait.h"

#include <causeway/http.h>
#include <causeway/span.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { SENDERS = 3, READERS = 4, ROUNDS = 100, EVENTS = 5, SLOTS = 2 * READERS };

#define EVENT "data: x\n\n"

/* Ids of exchanges that wait for an answer, or for events: two places for each reader. Old ones stay until others take their place. */
struct board {
    pthread_mutex_t lock;
    struct cw_http_id ids[SLOTS];
    atomic_bool over;
    atomic_size_t readers;
    struct cw_server *server;
    uint16_t port;
};

static void note(struct board *board, struct cw_http_exchange *http)
{
    struct cw_http_id id = cw_http_id(http);
    uint64_t slot;

    rig_check(cw_span_to_u64(cw_http_param(http, "slot"), SLOTS - 1, &slot) == 0);
    pthread_mutex_lock(&board->lock);
    board->ids[slot] = id;
    pthread_mutex_unlock(&board->lock);
}

static struct cw_http_id look(struct board *board, size_t slot)
{
    pthread_mutex_lock(&board->lock);
    struct cw_http_id id = board->ids[slot % SLOTS];
    pthread_mutex_unlock(&board->lock);
    return id;
}

static void begin_events(struct cw_http_exchange *http, void *user)
{
    rig_check(cw_http_begin_events(http, NULL) == 0);
    note(user, http);
}

static void answer_later(struct cw_http_exchange *http, void *user)
{
    note(user, http);
}

/* Whoever is meant may be gone, or the mailbox full: then others come. */
static void *send_to_all(void *arg)
{
    struct board *board = arg;
    const struct cw_http_event event = {.data = "x"};
    uint64_t deadline = rig_now_ms() + 3 * (uint64_t)RIG_DEADLINE_MS;

    for (size_t slot = 0; !atomic_load(&board->over); slot++) {
        struct cw_http_id id = look(board, slot);

        if (id.request == 0) {
            rig_check(rig_rest(deadline));
            continue;
        }
        (void)cw_http_send_event_to(board->server, id, &event);
        (void)cw_http_reply_to(board->server, id, 200, "text/plain", cw_span_text(EVENT));
        rig_check(rig_rest(deadline));
    }
    return NULL;
}

/* Looks for so many events; a plain answer holds one. */
static void await_text(struct rig_peer *peer, int count)
{
    char bytes[4096];
    size_t len = 0;

    while (count > 0) {
        ptrdiff_t n = rig_peer_receive_some(peer, bytes + len, sizeof bytes - 1 - len);
        char *at = bytes;

        rig_check(n > 0);
        len += (size_t)n;
        bytes[len] = '\0';
        for (char *found; count > 0 && (found = strstr(at, EVENT)) != NULL; count--) {
            at = found + strlen(EVENT);
        }
        len -= (size_t)(at - bytes);
        memmove(bytes, at, len);
    }
}

static void ask(struct rig_peer *peer, const char *path, size_t slot)
{
    char request[128];

    snprintf(request, sizeof request, "GET %s/%zu HTTP/1.1\r\nHost: h\r\n\r\n", path, slot);
    rig_peer_send_text(peer, request);
}

static void *come_and_go(void *arg)
{
    struct board *board = arg;
    size_t slot = 2 * atomic_fetch_add(&board->readers, 1);

    for (int i = 0; i < ROUNDS; i++) {
        struct rig_peer events = rig_peer_tcp(board->port);
        struct rig_peer answer = rig_peer_tcp(board->port);

        ask(&events, "/events", slot);
        ask(&answer, "/later", slot + 1);
        await_text(&answer, 1);
        if (i % 2 == 0) {
            await_text(&events, EVENTS);
        } else {
            /* Begun at least: a handler of this round must not write its id over that of the next. */
            char head[16];

            rig_peer_receive(&events, head, sizeof head);
        }
        rig_peer_close(&events);
        rig_peer_close(&answer);
    }
    return NULL;
}

static void start(pthread_t *thread, void *(*fn)(void *), struct board *board)
{
    rig_check(pthread_create(thread, NULL, fn, board) == 0);
}

int main(void)
{
    struct board board = {.lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t senders[SENDERS];
    pthread_t readers[READERS];
    struct rig_host *host;

    board.server = rig_server(&cw_http, &(struct cw_server_options){.workers = 3});
    rig_check(cw_http_route(board.server, "GET /events/:slot", begin_events, &board) == 0);
    rig_check(cw_http_route(board.server, "GET /later/:slot", answer_later, &board) == 0);
    host = rig_host_start(board.server, NULL, NULL);
    board.port = rig_host_port(host, 0);
    for (int i = 0; i < SENDERS; i++) {
        start(&senders[i], send_to_all, &board);
    }
    for (int i = 0; i < READERS; i++) {
        start(&readers[i], come_and_go, &board);
    }
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i], NULL);
    }
    atomic_store(&board.over, true);
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(senders[i], NULL);
    }
    rig_host_end(host);
    return 0;
}

/* Rooms from all sides at once: two workers, connections that come, talk and go, threads that send, ask, and have
 * others join and leave. Whoever stays gets every message of each of these threads, in its order. */
#include "support/host.h"
#include "support/peer.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    RUN_MS = 2500,
    SENDERS = 2,
    LISTENERS = 4,
    CHURNERS = 2,
    AHEAD_MAX = 200, /* messages a sender may be ahead of the slowest listener */
    NAME_MAX_BYTES = 16,
};

static struct {
    struct rig_host *host;
    struct cw_server *server;
    atomic_bool over;
    atomic_uint_least64_t ids[16]; /* of connections that came lately */
    atomic_uint came;
    atomic_uint seen[LISTENERS][SENDERS]; /* the number expected next */
    atomic_uint sent[SENDERS];
} all;

/* ---- the server's side ---- */

static void on_connection(struct cw_conn *conn, void *user)
{
    unsigned n = atomic_fetch_add(&all.came, 1);

    atomic_store(&all.ids[n % 16], cw_conn_id(conn));
    rig_check(cw_room_join_as(conn, "hall", cw_span_text("guest")) == CW_OK);
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct cw_room_send_options options = {.except = cw_conn_id(conn)};

    rig_check(cw_room_join(conn, "corner") == CW_OK);
    cw_room_send(cw_conn_server(conn), "hall", msg, &options);
    cw_room_send(cw_conn_server(conn), "corner", msg, NULL);
    rig_check(cw_room_leave(conn, "corner") == CW_OK ||
              !cw_room_count(cw_conn_server(conn), "corner"));
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    cw_room_send(cw_conn_server(conn), "hall", &(struct cw_message){.body = cw_span_text("bye")},
                 NULL);
}

static const struct cw_hooks hooks = {
    .on_connection = on_connection, .on_data = on_data, .on_close = on_close};

/* ---- threads ---- */

/* One that stays and reads: "s0 17" is the message 17 of the sender 0. Others' are only taken. */
static void *listen_to_all(void *arg)
{
    atomic_uint *seen = arg;
    struct rig_peer peer = rig_peer_tcp(rig_host_port(all.host, 0));
    char text[64];

    for (;;) {
        size_t len = rig_peer_receive_frame(&peer, text, sizeof text - 1);
        int sender;
        unsigned number;

        text[len] = '\0';
        if (strcmp(text, "end") == 0) {
            break;
        }
        if (sscanf(text, "s%d %u", &sender, &number) == 2) {
            rig_check(sender >= 0 && sender < SENDERS);
            if (number != atomic_load(&seen[sender])) {
                rig_fail(__FILE__, __LINE__, "sender %d: %u, not %u", sender, number,
                         atomic_load(&seen[sender]));
            }
            atomic_store(&seen[sender], number + 1);
        }
    }
    rig_peer_close(&peer);
    return NULL;
}

static bool is_ahead(unsigned sender, unsigned number)
{
    for (int i = 0; i < LISTENERS; i++) {
        if (number - atomic_load(&all.seen[i][sender]) > AHEAD_MAX) {
            return true;
        }
    }
    return false;
}

static void *send_numbers(void *arg)
{
    unsigned sender = (unsigned)(uintptr_t)arg;
    unsigned number = 0;

    while (!atomic_load(&all.over)) {
        char text[32];
        int len = snprintf(text, sizeof text, "s%u %u", sender, number);
        struct cw_message msg = cw_message_of(text, (size_t)len);

        rig_await(!is_ahead(sender, number));
        rig_check(cw_room_send(all.server, "hall", &msg, NULL) == CW_OK);
        number++;
    }
    atomic_store(&all.sent[sender], number);
    return NULL;
}

/* Comes, says something, hears something, goes, again and again. */
static void *come_and_go(void *arg)
{
    uint8_t some[512];

    for (unsigned round = 0; !atomic_load(&all.over); round++) {
        struct rig_peer peer = rig_peer_tcp(rig_host_port(all.host, 0));

        rig_peer_send_frame(&peer, "hello", 5);
        rig_check(rig_peer_receive_some(&peer, some, sizeof some) > 0);
        if (round % 2) {
            rig_peer_reset(&peer);
        } else {
            rig_peer_close(&peer);
        }
    }
    return NULL;
}

static void *meddle(void *arg)
{
    for (unsigned i = 0; !atomic_load(&all.over); i++) {
        uint64_t id = atomic_load(&all.ids[i % 16]);
        char room[NAME_MAX_BYTES];
        int answer;

        snprintf(room, sizeof room, "side %u", i % 3);
        answer = cw_room_join_id(all.server, id, room, cw_span_text("pushed"));
        rig_check(answer == CW_OK || answer == CW_EFULL);
        answer =
            cw_room_send(all.server, room, &(struct cw_message){.body = cw_span_text("x")}, NULL);
        rig_check(answer == CW_OK || answer == CW_EFULL);
        answer = cw_room_leave_id(all.server, id, room);
        rig_check(answer == CW_OK || answer == CW_EFULL);
        rig_rest(UINT64_MAX);
    }
    return NULL;
}

static void *ask(void *arg)
{
    for (unsigned i = 0; !atomic_load(&all.over); i++) {
        struct cw_room_members *members = cw_room_members_new(all.server, "hall");
        struct cw_room_list *list = cw_room_list_new(all.server, "");
        struct cw_room_options options = {.slow = i % 2 ? CW_SLOW_DROP_OLDEST : CW_SLOW_DROP_NEWEST};
        struct cw_room_stats stats;

        rig_check(members);
        rig_check(list);
        rig_check(cw_room_stats(all.server, "hall", &stats) == CW_OK);
        rig_check(cw_room_configure(all.server, i % 4 < 2 ? "hall" : NULL, &options) == CW_OK);
        cw_room_members_free(members);
        cw_room_list_free(list);
        rig_rest(UINT64_MAX);
    }
    return NULL;
}

static pthread_t start(void *(*fn)(void *arg), void *arg)
{
    pthread_t thread;

    rig_check(pthread_create(&thread, NULL, fn, arg) == 0);
    return thread;
}

/* ---- the whole ---- */

static void start_all(pthread_t *listeners, pthread_t *others)
{
    for (int i = 0; i < LISTENERS; i++) {
        listeners[i] = start(listen_to_all, all.seen[i]);
    }
    rig_await(cw_room_count(all.server, "hall") == LISTENERS);
    for (uintptr_t i = 0; i < SENDERS; i++) {
        *others++ = start(send_numbers, (void *)i);
    }
    for (int i = 0; i < CHURNERS; i++) {
        *others++ = start(come_and_go, NULL);
    }
    *others++ = start(meddle, NULL);
    *others++ = start(ask, NULL);
}

static void expect_all_seen(void)
{
    for (int i = 0; i < LISTENERS; i++) {
        for (int k = 0; k < SENDERS; k++) {
            rig_check(atomic_load(&all.seen[i][k]) == atomic_load(&all.sent[k]));
        }
    }
}

int main(void)
{
    struct cw_server_options options = {.workers = 2, .rooms_max = 8};
    pthread_t listeners[LISTENERS];
    pthread_t others[SENDERS + CHURNERS + 2];
    uint64_t until;

    cw_log_set_level(CW_LOG_SILENT); /* of peers that reset */
    all.host = rig_host_start(rig_server(&cw_framed, &options), &hooks, NULL);
    all.server = cw_server_hold(rig_host_server(all.host));
    start_all(listeners, others);
    until = rig_now_ms() + RUN_MS;
    while (rig_now_ms() < until) {
        rig_rest(UINT64_MAX);
    }
    atomic_store(&all.over, true);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        pthread_join(others[i], NULL);
    }
    rig_check(cw_room_send(all.server, "hall", &(struct cw_message){.body = cw_span_text("end")},
                           NULL) == CW_OK);
    for (int i = 0; i < LISTENERS; i++) {
        pthread_join(listeners[i], NULL);
    }
    expect_all_seen();
    rig_host_end(all.host);
    rig_check(cw_room_send(all.server, "hall", &(struct cw_message){.body = cw_span_text("x")},
                           NULL) == CW_ESTOPPED);
    rig_check(cw_room_count(all.server, "hall") == 0);
    cw_server_drop(all.server);
    printf("%u and %u messages, %u connections\n", atomic_load(&all.sent[0]),
           atomic_load(&all.sent[1]), atomic_load(&all.came));
    return 0;
}

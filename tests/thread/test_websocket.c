/* WebSockets from all sides at once: two workers, members of a room that have agreed on compression and such that have not, peers that
 * come, send half messages and go, threads that send, close, and stop the server in the middle of it. Whoever stays gets every
 * message of each sender in its order, and 1001 in the end. */
#include "support/host.h"
#include "support/peer.h"
#include "support/wait.h"
#include "support/ws_raw.h"

#include <causeway/causeway.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum {
    RUN_MS = 2500,
    SENDERS = 2,
    LISTENERS = 4,
    CHURNERS = 2,
    AHEAD_MAX = 100,
    TEXT_BYTES = 300, /* above what is sent as it is */
    RSV1 = 0x40,
    GOING_AWAY = 1001,
};

#define DEFLATE "Sec-WebSocket-Extensions: permessage-deflate\r\n"
#define SMALL "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9\r\n"

static struct {
    struct rig_host *host;
    struct cw_server *server;
    atomic_uint_least64_t ids[16];
    atomic_uint came;
    atomic_uint compressed;
    atomic_uint seen[LISTENERS][SENDERS];
    atomic_uint sent[SENDERS];
    atomic_bool over;    /* for all but the senders, who go on until they are refused */
    atomic_bool stopped; /* the server */
} all;

/* ---- the server's side ---- */

static void on_connection(struct cw_conn *conn, void *user)
{
    rig_check(cw_room_join(conn, "hall") == CW_OK);
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    const struct cw_room_send_options options = {.except = cw_conn_id(conn)};

    if (cw_span_equal(msg->body, cw_span_text("guest"))) {
        atomic_store(&all.ids[atomic_fetch_add(&all.came, 1) % 16], cw_conn_id(conn));
    }
    (void)cw_room_send(cw_conn_server(conn), "corner", msg, &options);
    (void)cw_websocket_ping(conn, cw_span_of(NULL, 0));
    (void)cw_conn_send(conn, msg);
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    (void)cw_room_send(cw_conn_server(conn), "corner",
                       &(struct cw_message){.body = cw_span_text("bye"), .kind = CW_TEXT}, NULL);
}

static const struct cw_hooks hooks = {
    .on_connection = on_connection, .on_data = on_data, .on_close = on_close};

/* ---- who stays ---- */

static void inflate_text(const uint8_t *data, size_t len, char *text, size_t cap)
{
    uint8_t in[TEXT_BYTES + 64];
    z_stream z = {.next_in = in,
                  .avail_in = (unsigned)len + 4,
                  .next_out = (Bytef *)text,
                  .avail_out = (unsigned)cap - 1};
    int answer;

    rig_check(len + 4 <= sizeof in);
    memcpy(in, data, len);
    memcpy(in + len, "\0\0\xff\xff", 4);
    rig_check(inflateInit2(&z, -15) == Z_OK);
    answer = inflate(&z, Z_SYNC_FLUSH);
    rig_check(answer == Z_OK || answer == Z_STREAM_END);
    text[z.total_out] = '\0';
    inflateEnd(&z);
}

static void note(atomic_uint *seen, const char *text)
{
    unsigned sender;
    unsigned number;

    if (sscanf(text, "s%u %u", &sender, &number) == 2) {
        rig_check(sender < SENDERS);
        if (number != atomic_load(&seen[sender])) {
            rig_fail(__FILE__, __LINE__, "sender %u: %u, not %u", sender, number,
                     atomic_load(&seen[sender]));
        }
        atomic_store(&seen[sender], number + 1);
    }
}

static void *listen_to_all(void *arg)
{
    static const char *const offers[] = {DEFLATE, "", SMALL, DEFLATE};
    size_t index = (size_t)(uintptr_t)arg;
    struct rig_peer peer = rig_peer_tcp(rig_host_port(all.host, 0));
    uint8_t body[1024];
    char text[1024];
    uint8_t first;
    size_t len;

    ws_raw_upgrade_with(&peer, "/", offers[index]);
    while ((len = ws_raw_read(&peer, &first, body, sizeof body - 1)),
           first != (WS_RAW_FIN | WS_RAW_CLOSE)) {
        body[len] = '\0';
        if (first & RSV1) {
            inflate_text(body, len, text, sizeof text);
            atomic_fetch_add(&all.compressed, 1);
        }
        note(all.seen[index], first & RSV1 ? text : (const char *)body);
    }
    rig_check(len >= 2 && (body[0] << 8 | body[1]) == GOING_AWAY);
    ws_raw_send(&peer, WS_RAW_CLOSE, body, 2);
    rig_peer_expect_end(&peer);
    rig_peer_close(&peer);
    return NULL;
}

/* ---- who sends ---- */

static bool is_ahead(unsigned sender, unsigned number)
{
    for (int i = 0; i < LISTENERS; i++) {
        if (number - atomic_load(&all.seen[i][sender]) > AHEAD_MAX) {
            return true;
        }
    }
    return false;
}

/* Until the server has stopped: what it has not refused reaches who stays. */
static void *send_numbers(void *arg)
{
    unsigned sender = (unsigned)(uintptr_t)arg;
    int answer;

    do {
        unsigned number = atomic_load(&all.sent[sender]);
        char text[TEXT_BYTES + 1];

        memset(text, 'x', TEXT_BYTES);
        text[TEXT_BYTES] = '\0';
        text[snprintf(text, sizeof text, "s%u %u", sender, number)] = ' ';
        rig_await(!is_ahead(sender, number) || atomic_load(&all.stopped));
        answer = cw_room_send(
            all.server, "hall",
            &(struct cw_message){.body = cw_span_of(text, TEXT_BYTES), .kind = CW_TEXT}, NULL);
        atomic_fetch_add(&all.sent[sender], answer == CW_OK);
    } while (answer == CW_OK);
    rig_check(answer == CW_ESTOPPED);
    return NULL;
}

/* ---- who comes and goes ---- */

static void say_something(struct rig_peer *peer, unsigned round)
{
    struct rig_bytes bytes = {NULL, 0, 0};

    ws_bare_text(&bytes, "guest");
    ws_bare_put(
        &bytes,
        &(struct ws_bare_frame){
            .opcode = WS_RAW_TEXT, .payload = "\xf2\x48", .len = 2, .more = true, .rsv = RSV1});
    if (round % 3) {
        ws_bare_put(&bytes, &(struct ws_bare_frame){.payload = "\xcd\xc9\xc9\x07", .len = 5});
    }
    rig_peer_send(peer, bytes.data, bytes.len);
    rig_release(&bytes);
}

static void *come_and_go(void *arg)
{
    uint8_t some[512];

    for (unsigned round = 0; !atomic_load(&all.over); round++) {
        struct rig_peer peer = rig_peer_tcp(rig_host_port(all.host, 0));

        ws_raw_upgrade_with(&peer, "/", DEFLATE);
        say_something(&peer, round);
        rig_check(rig_peer_receive_some(&peer, some, sizeof some) > 0);
        if (round % 2) {
            rig_peer_reset(&peer);
        } else {
            rig_peer_close(&peer);
        }
    }
    return NULL;
}

static void ping_it(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    if (conn) {
        (void)cw_websocket_ping(conn, cw_span_text("who"));
        (void)cw_conn_sendf(conn, "%s", "posted");
    }
}

/* Closes guests, sends to them, pings them, wherever they are. */
static void *meddle(void *arg)
{
    for (unsigned i = 0; !atomic_load(&all.over); i++) {
        uint64_t id = atomic_load(&all.ids[i % 16]);

        (void)cw_room_join_id(all.server, id, "corner", cw_span_of(NULL, 0));
        (void)cw_server_post(all.server, id, ping_it, NULL);
        (void)cw_send_to(all.server, id,
                         &(struct cw_message){.body = cw_span_text("sent"), .kind = CW_TEXT});
        if (i % 5 == 0) {
            (void)cw_close_id(all.server, id);
        }
        rig_rest(UINT64_MAX);
    }
    return NULL;
}

/* ---- the whole ---- */

static pthread_t start(void *(*fn)(void *arg), uintptr_t arg)
{
    pthread_t thread;

    rig_check(pthread_create(&thread, NULL, fn, (void *)arg) == 0);
    return thread;
}

int main(void)
{
    const struct cw_websocket_options options = {
        .compress = true, .stream_above_bytes = 4096, .ping_interval_ms = CW_OFF};
    struct cw_server *server =
        rig_server(&cw_websocket, &(struct cw_server_options){.workers = 2, .drain_ms = 30000});
    pthread_t listeners[LISTENERS];
    pthread_t senders[SENDERS];
    pthread_t others[CHURNERS + 1];
    uint64_t until;

    cw_log_set_level(CW_LOG_SILENT);
    rig_check(cw_websocket_configure(server, &options) == CW_OK);
    all.host = rig_host_start(server, &hooks, NULL);
    all.server = cw_server_hold(rig_host_server(all.host));
    for (uintptr_t i = 0; i < LISTENERS; i++) {
        listeners[i] = start(listen_to_all, i);
    }
    rig_await(cw_room_count(all.server, "hall") == LISTENERS);
    for (uintptr_t i = 0; i < SENDERS; i++) {
        senders[i] = start(send_numbers, i);
    }
    for (uintptr_t i = 0; i < CHURNERS; i++) {
        others[i] = start(come_and_go, i);
    }
    others[CHURNERS] = start(meddle, 0);
    until = rig_now_ms() + RUN_MS;
    while (rig_now_ms() < until) {
        rig_rest(UINT64_MAX);
    }
    atomic_store(&all.over, true);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        pthread_join(others[i], NULL);
    }
    rig_host_end(all.host);
    atomic_store(&all.stopped, true);
    for (int i = 0; i < SENDERS; i++) {
        pthread_join(senders[i], NULL);
    }
    for (int i = 0; i < LISTENERS; i++) {
        pthread_join(listeners[i], NULL);
    }
    cw_server_drop(all.server);
    rig_check(atomic_load(&all.compressed) > 0);
    printf("%u and %u messages, %u connections, %u frames compressed\n", atomic_load(&all.sent[0]),
           atomic_load(&all.sent[1]), atomic_load(&all.came), atomic_load(&all.compressed));
    return 0;
}

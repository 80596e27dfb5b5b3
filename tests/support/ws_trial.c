#include "support/ws_trial.h"

#include "support/scene.h"
#include "support/wait.h"
#include "support/ws_visit.h"

#include <causeway/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    AT_ONCE = 128, /* connections */
    STEPS_MAX = 100,
    STEPS_OF_LONG_ONES = 1000, /* bytes from which on they are long */
    ROOM = 65536,
    HEAD_MAX = 2048,
};

/* One connection on which a case is under way. */
struct trial {
    struct rig_peer peer;
    const char *file;
    const struct ws_case *wanted;
    struct rig_bytes bytes; /* the case, and what follows it */
    struct rig_bytes story; /* that has to come of it */
    struct rig_bytes got;
    size_t sent;
    size_t cut;
    bool gone; /* nothing more can be sent */
};

static void complain(const struct trial *trial, enum ws_trial_way way, const char *what)
{
    static const char *const words[] = {"whole", "in steps", "cut"};
    struct rig_bytes story = {0};

    (void)ws_story_of(cw_span_of(trial->got.data, trial->got.len), false, &story);
    rig_fail(trial->file, 0, "%s, %s at %zu: %s; wanted: %.300s came (%zu bytes): %.300s",
             trial->wanted->name, words[way], trial->cut, what, (char *)trial->story.data,
             trial->got.len, story.data != NULL ? (char *)story.data : "nothing");
}

/* ---- sending ---- */

static void begin(struct trial *trial, const char *file, const struct ws_case *wanted,
                  enum cw_role tested)
{
    *trial = (struct trial){.file = file, .wanted = wanted};
    rig_append(&trial->bytes, wanted->bytes.data, wanted->bytes.len);
    rig_append(&trial->story, wanted->story.data, wanted->story.len);
    if (!wanted->ends) {
        rig_check(ws_case_append(&trial->bytes, "close 1000 behind", tested));
        rig_append(&trial->story, "close 1000\n", 11);
    } else if (!wanted->cut) {
        rig_check(ws_case_append(&trial->bytes, "text behind", tested));
        rig_check(ws_case_append(&trial->bytes, "ping behind", tested));
    }
}

/* What there is, without waiting for more: who only sends may find that nobody takes it. */
static void take_what_came(struct trial *trial)
{
    static uint8_t buffer[ROOM];
    ptrdiff_t n;

    do {
        n = recv(trial->peer.fd, buffer, sizeof buffer, MSG_DONTWAIT);
        rig_append(&trial->got, buffer, n > 0 ? (size_t)n : 0);
    } while (n > 0);
}

static void send_up_to(struct trial *trial, size_t upto)
{
    uint64_t deadline = rig_now_ms() + RIG_DEADLINE_MS;

    while (trial->sent < upto && !trial->gone) {
        ptrdiff_t n =
            rig_peer_try_send(&trial->peer, trial->bytes.data + trial->sent, upto - trial->sent);

        trial->gone = n < 0;
        trial->sent += n > 0 ? (size_t)n : 0;
        if (n == 0) {
            take_what_came(trial);
            rig_check(rig_rest(deadline));
        }
    }
}

/* Until the tested side has looked at what its sockets hold: a turn of its loop, and another. */
static void let_it_read(const struct ws_court *court)
{
    for (int i = 0; i < 2; i++) {
        rig_host_run(court->host, 0, rig_pass, NULL);
    }
}

static size_t step_of(const struct trial *trial)
{
    size_t len = trial->bytes.len;

    return len > STEPS_OF_LONG_ONES ? 1 + len / STEPS_MAX : 1;
}

static void deliver_in_steps(const struct ws_court *court, struct trial *list, size_t count)
{
    bool more = true;

    while (more) {
        more = false;
        for (size_t i = 0; i < count; i++) {
            size_t left = list[i].bytes.len - list[i].sent;
            size_t step = step_of(&list[i]);

            send_up_to(&list[i], list[i].sent + (step < left ? step : left));
            more |= list[i].sent < list[i].bytes.len && !list[i].gone;
        }
        let_it_read(court);
    }
}

static void deliver(const struct ws_court *court, struct trial *list, size_t count,
                    enum ws_trial_way way)
{
    if (way == WS_TRIAL_STEPS) {
        deliver_in_steps(court, list, count);
        return;
    }
    for (size_t i = 0; i < count && way == WS_TRIAL_CUTS; i++) {
        send_up_to(&list[i], list[i].cut);
    }
    if (way == WS_TRIAL_CUTS) {
        let_it_read(court);
    }
    for (size_t i = 0; i < count; i++) {
        send_up_to(&list[i], list[i].bytes.len);
    }
}

/* ---- what comes back ---- */

/* Whether all that has to come is there; false also if something else is. */
static bool story_is_whole(const struct trial *trial, bool masked)
{
    struct rig_bytes story = {0};
    const char *wrong = ws_story_of(cw_span_of(trial->got.data, trial->got.len), masked, &story);
    bool whole = wrong == NULL && story.len == trial->story.len;

    rig_release(&story);
    return whole;
}

/* Up to the end of the connection. The server is the first to end it (RFC 6455 §7.1.1); a client waits for that, unless it has found a
 * broken rule. */
static void receive_rest(const struct ws_court *court, struct trial *trial, enum ws_trial_way way)
{
    static uint8_t buffer[ROOM];
    bool shut = false;
    ptrdiff_t n;

    do {
        if (court->tested == CW_CLIENT && !shut && story_is_whole(trial, true)) {
            rig_peer_shut(&trial->peer);
            shut = true;
        }
        n = rig_peer_receive_some(&trial->peer, buffer, sizeof buffer);
        rig_append(&trial->got, buffer, n > 0 ? (size_t)n : 0);
    } while (n > 0);
    if (n < 0) {
        complain(trial, way, "the connection was reset");
    }
}

static void finish(const struct ws_court *court, struct trial *trial, enum ws_trial_way way)
{
    struct rig_bytes story = {0};

    receive_rest(court, trial, way);
    const char *wrong = ws_story_of(cw_span_of(trial->got.data, trial->got.len),
                                    court->tested == CW_CLIENT, &story);
    if (wrong != NULL) {
        complain(trial, way, wrong);
    }
    if (story.len != trial->story.len || memcmp(story.data, trial->story.data, story.len) != 0) {
        complain(trial, way, "something else came");
    }
    rig_release(&story);
    rig_release(&trial->story);
    rig_release(&trial->bytes);
    rig_release(&trial->got);
    rig_peer_close(&trial->peer);
}

/* ---- the tested side ---- */

static void echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    rig_check(cw_conn_send(conn, msg) >= 0);
}

static const struct cw_hooks echoing = {.on_data = echo};

void ws_court_open(struct ws_court *court, enum cw_role tested,
                   const struct cw_websocket_options *options)
{
    const struct cw_server_options limits = {.conns_max = 4096, .workers = 1};
    struct cw_server *server = rig_server(tested == CW_SERVER ? &cw_websocket : &cw_tcp, &limits);

    *court = (struct ws_court){.tested = tested, .options = *options};
    snprintf(court->folder, sizeof court->folder, "/tmp/causeway-6455-XXXXXX");
    rig_check(mkdtemp(court->folder) != NULL);
    snprintf(court->path, sizeof court->path, "%s/socket", court->folder);
    if (tested == CW_SERVER) {
        cw_server_listen(server, &(struct cw_listen_options){.unix_path = court->path});
        cw_websocket_configure(server, options);
        court->host = rig_host_start(server, &echoing, NULL);
        return;
    }
    snprintf(court->url, sizeof court->url, "ws+unix://%%2Ftmp%%2F%.40s%%2Fsocket/",
             strrchr(court->folder, '/') + 1);
    rig_silent_open_unix(&court->listener, court->path, 0);
    court->host = rig_host_start(server, NULL, NULL);
}

void ws_court_close(struct ws_court *court)
{
    rig_host_end(court->host);
    if (court->tested == CW_CLIENT) {
        rig_silent_close(&court->listener);
        unlink(court->path);
    }
    rmdir(court->folder);
}

static void connect_one(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    const struct ws_court *court = arg;

    rig_check(cw_websocket_connect(loop, court->url, &echoing, &court->options, NULL) > 0);
}

/* A new connection, its handshake done. */
static struct rig_peer meet(struct ws_court *court)
{
    struct rig_peer peer;

    if (court->tested == CW_SERVER) {
        peer = rig_peer_unix(court->path);
        ws_trial_ask(&peer, WS_TRIAL_REQUEST);
        return peer;
    }
    rig_host_run(court->host, 0, connect_one, court);
    peer.fd = rig_silent_accept(&court->listener);
    ws_trial_answer(&peer);
    return peer;
}

/* ---- files ---- */

static void run(struct ws_court *court, struct trial *list, size_t count, enum ws_trial_way way)
{
    for (size_t i = 0; i < count; i++) {
        list[i].peer = meet(court);
    }
    deliver(court, list, count, way);
    for (size_t i = 0; i < count; i++) {
        finish(court, &list[i], way);
    }
}

static void try_cuts(struct ws_court *court, const char *file, const struct ws_case *wanted)
{
    struct trial list[AT_ONCE];
    size_t cut = 1;
    size_t count;

    do {
        bool more = true;

        for (count = 0; count < AT_ONCE && more;) {
            begin(&list[count], file, wanted, court->tested);
            list[count].cut = cut;
            cut += step_of(&list[count]);
            more = cut < list[count++].bytes.len;
        }
        run(court, list, count, WS_TRIAL_CUTS);
        count = more ? count : 0;
    } while (count > 0);
}

static void try_each(struct ws_court *court, const char *file, const struct ws_cases *cases,
                     enum ws_trial_way way)
{
    struct trial list[AT_ONCE];

    for (size_t done = 0; done < cases->count;) {
        size_t count = 0;

        for (; count < AT_ONCE && done < cases->count; count++, done++) {
            begin(&list[count], file, &cases->list[done], court->tested);
        }
        run(court, list, count, way);
    }
}

size_t ws_try_file(struct ws_court *court, const char *file, enum ws_trial_way way)
{
    char path[96];

    snprintf(path, sizeof path, "rfc/6455/%s.txt", file);
    struct ws_cases cases = ws_cases_read(path, court->tested);
    size_t count = cases.count;

    if (way == WS_TRIAL_CUTS) {
        for (size_t i = 0; i < cases.count; i++) {
            try_cuts(court, file, &cases.list[i]);
        }
    } else {
        try_each(court, file, &cases, way);
    }
    ws_cases_free(&cases);
    return count;
}

/* ---- handshakes ---- */

static void read_head(struct rig_peer *peer, char head[HEAD_MAX])
{
    size_t len = 0;

    do {
        rig_check(len < HEAD_MAX - 1);
        rig_peer_receive(peer, head + len++, 1);
        head[len] = '\0';
    } while (len < 4 || strcmp(head + len - 4, "\r\n\r\n") != 0);
}

void ws_trial_ask(struct rig_peer *peer, const char *request)
{
    char head[HEAD_MAX];

    rig_peer_send_text(peer, request);
    read_head(peer, head);
    rig_check(strncmp(head, "HTTP/1.1 101 ", 13) == 0);
}

void ws_trial_answer(struct rig_peer *peer)
{
    char answer[HEAD_MAX];
    char head[HEAD_MAX];
    char accept[29];

    read_head(peer, head);
    ws_accept_of(head, accept);
    snprintf(answer, sizeof answer,
             "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
             "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
             accept);
    rig_peer_send_text(peer, answer);
}

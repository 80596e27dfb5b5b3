#include "support/http_script.h"

#include "support/peer.h"
#include "support/wait.h"
#include "support/ws_visit.h"

#include <causeway/error.h>
#include <causeway/loop.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the server ---- */

/* Bytes of a body that a head announces; -1: in chunks. */
static long body_of(const char *head)
{
    const char *length = strstr(head, "\r\nContent-Length: ");

    if (strstr(head, "\r\nTransfer-Encoding: chunked\r\n")) {
        return -1;
    }
    return length ? strtol(length + 18, NULL, 10) : 0;
}

static bool is_whole(const char *request, size_t len)
{
    const char *end = strstr(request, "\r\n\r\n");
    size_t head = end ? (size_t)(end + 4 - request) : 0;
    long body = end ? body_of(request) : 0;

    if (!end) {
        return false;
    }
    if (body < 0) {
        return len >= 5 && memcmp(request + len - 5, "0\r\n\r\n", 5) == 0;
    }
    return len - head >= (size_t)body;
}

/* False: the client has ended the connection before it asked. */
static bool read_request(struct script *script, struct rig_peer *peer, char *request, bool early)
{
    size_t len = 0;

    while (!is_whole(request, len) && !(early && strstr(request, "\r\n\r\n"))) {
        char more[65536];
        ptrdiff_t n = rig_peer_receive_some(peer, more, sizeof more);

        if (n <= 0) {
            return false;
        }
        if (len < SCRIPT_REQUEST_MAX - 1) {
            size_t room = SCRIPT_REQUEST_MAX - 1 - len;

            memcpy(request + len, more, (size_t)n < room ? (size_t)n : room);
        }
        len += (size_t)n;
    }
    atomic_fetch_add(&script->asked, 1);
    return true;
}

static void wait_for_end(struct rig_peer *peer)
{
    char rest[4096];

    while (rig_peer_receive_some(peer, rest, sizeof rest) > 0) {}
}

static void send_answer(struct rig_peer *peer, const struct script_turn *turn)
{
    size_t len = turn->len > 0 ? turn->len : turn->answer ? strlen(turn->answer) : 0;
    size_t piece = turn->piece > 0 ? turn->piece : len;
    ptrdiff_t n = 1;

    for (size_t at = 0; at < len && n > 0; at += (size_t)n) { /* the client may have gone */
        struct pollfd ready = {.fd = peer->fd, .events = POLLOUT};

        n = rig_peer_try_send(peer, turn->answer + at, len - at < piece ? len - at : piece);
        if (n == 0 && poll(&ready, 1, RIG_DEADLINE_MS) == 1) {
            n = rig_peer_try_send(peer, turn->answer + at, len - at < piece ? len - at : piece);
        }
        rig_check(n != 0);
        if (turn->piece > 0 && n > 0) {
            rig_await(rig_peer_has_arrived(peer));
        }
    }
}

/* The same with the answer to a WebSocket's key where the script wants it. */
static void send_filled(struct rig_peer *peer, struct script_turn turn, const char *request)
{
    static const char mark[] = "$ACCEPT";
    size_t len = turn.len > 0 ? turn.len : turn.answer ? strlen(turn.answer) : 0;
    const char *place = len > 0 ? memmem(turn.answer, len, mark, sizeof mark - 1) : NULL;
    char accept[29];
    size_t before;
    size_t behind;
    char *answer;

    if (!place) {
        send_answer(peer, &turn);
        return;
    }
    before = (size_t)(place - turn.answer);
    behind = len - before - (sizeof mark - 1);
    answer = malloc(len + sizeof accept);
    rig_check(answer);
    ws_accept_of(request, accept);
    memcpy(answer, turn.answer, before);
    memcpy(answer + before, accept, sizeof accept - 1);
    memcpy(answer + before + sizeof accept - 1, place + sizeof mark - 1, behind);
    turn.answer = answer;
    turn.len = before + sizeof accept - 1 + behind;
    send_answer(peer, &turn);
    free(answer);
}

static struct rig_peer take_conn(struct script *script)
{
    struct rig_peer peer = {.fd = rig_silent_accept(&script->listener)};

    atomic_fetch_add(&script->conns, 1);
    return peer;
}

static void play(struct script *script, size_t index, struct rig_peer *peer)
{
    const struct script_turn *turn = &script->turns[index];

    if (peer->fd < 0) {
        *peer = take_conn(script);
    }
    while (!turn->deaf && !read_request(script, peer, script->requests[index], turn->early)) {
        rig_peer_close(peer);
        *peer = take_conn(script);
    }
    send_filled(peer, *turn, script->requests[index]);
    if (turn->then == SCRIPT_RESET) {
        rig_peer_reset(peer);
    } else if (turn->then == SCRIPT_HOLD) {
        wait_for_end(peer);
    }
    if (turn->then != SCRIPT_KEEP && peer->fd >= 0) {
        rig_peer_close(peer);
    }
}

/* The turn that a request of an endless script asks for. */
static size_t chosen(const struct script *script, const char *request)
{
    const char *path = strchr(request, '/');
    size_t index = path ? (size_t)(path[1] - 'a') : 0;

    rig_check(index < script->count || path[1] == 'z');
    return index;
}

static void play_endless(struct script *script)
{
    char *request = script->requests[0];
    bool ended = false;

    while (!ended) {
        struct rig_peer peer = take_conn(script);

        memset(request, 0, SCRIPT_REQUEST_MAX);
        while (!ended && read_request(script, &peer, request, false)) {
            size_t index = chosen(script, request);

            ended = index >= script->count;
            if (!ended) {
                send_answer(&peer, &script->turns[index]);
            }
            memset(request, 0, SCRIPT_REQUEST_MAX);
        }
        rig_peer_close(&peer);
    }
}

static void *run(void *arg)
{
    struct script *script = arg;
    struct rig_peer peer = {.fd = -1};

    if (script->endless) {
        play_endless(script);
        return NULL;
    }
    for (size_t i = 0; i < script->count; i++) {
        play(script, i, &peer);
    }
    if (peer.fd >= 0) {
        wait_for_end(&peer);
        rig_peer_close(&peer);
    }
    return NULL;
}

void script_start(struct script *script, const struct script_turn *turns, size_t count)
{
    memset(script, 0, sizeof *script);
    rig_check(count <= SCRIPT_TURNS_MAX);
    memcpy(script->turns, turns, count * sizeof *turns);
    script->count = count;
    rig_silent_open(&script->listener, "127.0.0.1", 0, 0);
    script_go(script);
}

void script_go(struct script *script)
{
    script->port = script->listener.port;
    rig_check(pthread_create(&script->thread, NULL, run, script) == 0);
}

void script_start_endless(struct script *script, const struct script_turn *turns, size_t count)
{
    memset(script, 0, sizeof *script);
    memcpy(script->turns, turns, count * sizeof *turns);
    script->count = count;
    script->endless = true;
    rig_silent_open(&script->listener, "127.0.0.1", 0, 0);
    script_go(script);
}

void script_end(struct script *script)
{
    if (script->endless) {
        struct rig_peer peer = rig_peer_tcp(script->port);

        rig_peer_send_text(&peer, "GET /z HTTP/1.1\r\n\r\n");
        rig_peer_receive_all(&peer);
        rig_peer_close(&peer);
    }
    pthread_join(script->thread, NULL);
    rig_silent_close(&script->listener);
}

/* ---- the client ---- */

static void write_down(struct ask_answer *answer, const struct cw_http_response *response,
                       const char *name)
{
    struct cw_span field = name ? cw_http_response_field(response, name) : cw_span_of(NULL, 0);

    answer->error = response->error;
    answer->status = response->status;
    answer->redirects = response->redirects;
    snprintf(answer->text, sizeof answer->text, "%s", response->text);
    snprintf(answer->url, sizeof answer->url, "%s", response->url);
    snprintf(answer->field, sizeof answer->field, "%.*s", field.data ? (int)field.len : 1,
             field.data ? (const char *)field.data : "-");
    answer->len = response->body.len;
    answer->body = malloc(answer->len + 1);
    rig_check(answer->body != NULL);
    if (answer->len > 0) {
        memcpy(answer->body, response->body.data, answer->len);
    }
    answer->body[answer->len] = 0;
}

static void go_on(struct ask *ask)
{
    if (ask->told == ask->count && (!ask->stays || ask->told > 1)) {
        cw_loop_stop(ask->loop);
    } else if (ask->told < ask->count && !ask->together) {
        ask_next(ask);
    }
}

static void on_answer(struct cw_http_response *response, void *user)
{
    struct ask_one *one = user;
    struct ask *ask = one->ask;

    rig_check(ask->answers[one->index].body == NULL); /* told once */
    write_down(&ask->answers[one->index], response, ask->field);
    ask->told++;
    if (ask->told_one) {
        ask->told_one(ask, one->index);
    }
    go_on(ask);
}

void ask_next(struct ask *ask)
{
    size_t i = ask->begun++;

    ask->ones[i] = (struct ask_one){ask, i};
    ask->ids[i] = cw_http_request(ask->loop, &ask->requests[i], on_answer, &ask->ones[i]);
    free((char *)(uintptr_t)ask->requests[i].url);
    ask->requests[i].url = NULL;
    if (ask->ids[i] < 0) { /* as if fn had been told */
        ask->answers[i].error = (int)ask->ids[i];
        ask->answers[i].body = calloc(1, 1);
        ask->told++;
        go_on(ask);
    }
}

void ask_begin(struct ask *ask)
{
    memset(ask, 0, sizeof *ask);
    ask->loop = cw_loop_new();
    rig_check(ask->loop != NULL);
}

struct cw_http_request *ask_for(struct ask *ask, const struct script *script, const char *url)
{
    struct cw_http_request *request = &ask->requests[ask->count++];
    char text[2048];

    rig_check(ask->count <= ASK_MAX);
    if (script && url[0] == '/') {
        snprintf(text, sizeof text, "http://127.0.0.1:%u%s", script->port, url);
    } else {
        snprintf(text, sizeof text, "%s", url);
    }
    request->url = strdup(text);
    rig_check(request->url != NULL);
    return request;
}

void ask_run(struct ask *ask)
{
    do {
        ask_next(ask);
    } while (ask->together && ask->begun < ask->count);
    rig_check(cw_loop_run(ask->loop) == CW_OK);
    rig_check(ask->told == ask->count);
    cw_loop_free(ask->loop);
    ask->loop = NULL;
}

void ask_release(struct ask *ask)
{
    for (size_t i = 0; i < ask->count; i++) {
        free(ask->answers[i].body);
        ask->answers[i].body = NULL;
        free((char *)(uintptr_t)ask->requests[i].url);
    }
}

const struct ask_answer *ask_once(struct ask *ask, const struct script *script, const char *url)
{
    ask_begin(ask);
    ask_for(ask, script, url);
    ask_run(ask);
    return &ask->answers[0];
}

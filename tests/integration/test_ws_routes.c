/* WebSockets on paths of an HTTP server: who may in, with what, when; and what a configuration file says of them. */
#include "support/config_text.h"
#include "support/host.h"
#include "support/leak.h"
#include "support/wait.h"
#include "support/ws_talk.h"

#include <causeway/causeway.h>
#include <causeway/http_middleware.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(ws_routes, .fini = rig_expect_no_leak, .timeout = 120);

static struct rig_host *host;
static struct ws_talk talk;

static struct {
    atomic_uint made; /* users of connections */
    atomic_uint dropped;
    atomic_uint closed; /* freed in on_close */
    atomic_uint opened;
    atomic_uint asked; /* on_handshake */
    atomic_int result; /* of a call under test */
    atomic_int then;
    struct cw_http_id id;
    atomic_bool has_id;
} seen;

/* ---- a house with rooms, for guests with a cookie ---- */

struct guest {
    char name[32];
    char room[32];
};

static void drop_guest(void *user)
{
    atomic_fetch_add(&seen.dropped, 1);
    free(user);
}

static struct guest *make_guest(struct cw_http_exchange *http)
{
    struct guest *guest = calloc(1, sizeof *guest);
    const char *name = cw_http_value(http, "guest");

    atomic_fetch_add(&seen.made, 1);
    snprintf(guest->name, sizeof guest->name, "%s", name ? name : "nobody");
    cw_span_to_text(cw_http_param(http, "name"), guest->room, sizeof guest->room);
    return guest;
}

/* Who has a cookie is somebody. */
static int look_at_cookie(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    struct cw_span sid = cw_http_cookie(http, "sid");

    if (!cw_span_equal(sid, cw_span_text("ada"))) {
        cw_http_reply_error(http, 401, "log in first");
        return CW_HTTP_ANSWERED;
    }
    cw_http_set_value(http, "guest", "Ada", NULL);
    return CW_HTTP_NEXT;
}

static struct cw_http_middleware door = {.name = "door", .on_request = look_at_cookie};

static int let_in(struct cw_http_exchange *http, void *user)
{
    atomic_fetch_add(&seen.asked, 1);
    rig_check(user == &seen);
    if (cw_span_equal(cw_http_param(http, "name"), cw_span_text("cellar"))) {
        cw_http_reply_error(http, 404, "there is no such room");
        return CW_HTTP_ANSWERED;
    }
    cw_http_set_field(http, "X-Room", "yes");
    cw_websocket_set_user(http, make_guest(http), drop_guest);
    return CW_HTTP_NEXT;
}

static void greet(struct cw_conn *conn, void *user)
{
    const struct guest *guest = cw_conn_user(conn);
    char text[80];

    snprintf(text, sizeof text, "%s in %s", guest->name, guest->room);
    cw_conn_send(conn, &(struct cw_message){.body = cw_span_text(text), .kind = CW_TEXT});
    atomic_fetch_add(&seen.opened, 1);
}

static void see_off(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    atomic_fetch_add(&seen.closed, 1);
    free(cw_conn_user(conn));
}

static void echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_conn_send(conn, msg);
}

static const struct cw_hooks rooms = {.on_connection = greet, .on_data = echo, .on_close = see_off};

static void begin_rooms(void)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct cw_http_group *group = cw_http_group(server, "/house", NULL);

    door.next = NULL;
    cw_http_group_use(group, &door);
    rig_check(cw_websocket_group_route(
                  group, "/rooms/:name", &rooms,
                  &(struct cw_websocket_options){.user = &seen, .on_handshake = let_in}) == 0);
    host = rig_host_start(server, NULL, NULL);
}

/* Nobody is left, and nobody was forgotten. */
static void end(void)
{
    rig_host_end(host);
    cr_expect_eq(atomic_load(&seen.made), atomic_load(&seen.dropped) + atomic_load(&seen.closed));
}

static struct rig_peer new_peer(void)
{
    return rig_peer_tcp(rig_host_port(host, 0));
}

static int status_of(const char *path, const char *fields)
{
    int status = ws_talk_ask(&talk, new_peer(), path, fields);

    ws_talk_end(&talk);
    return status;
}

Test(ws_routes, a_room_is_entered_by_its_path_as_whoever_the_cookie_says)
{
    begin_rooms();
    ws_talk_open(&talk, new_peer(), "/house/rooms/kitchen", "Cookie: a=b; sid=ada\r\n");
    ws_talk_expect_text(&talk, "Ada in kitchen");
    ws_talk_send_text(&talk, "hello");
    ws_talk_expect_text(&talk, "hello");
    ws_talk_say_goodbye(&talk);
    rig_await(atomic_load(&seen.closed) == 1);
    cr_expect_eq(atomic_load(&seen.dropped), 0, "on_close has freed it");
    end();
}

Test(ws_routes, who_is_refused_by_middleware_or_by_the_application_gets_that_answer)
{
    begin_rooms();
    cr_expect_eq(status_of("/house/rooms/kitchen", ""), 401);
    cr_expect_eq(atomic_load(&seen.asked), 0);
    cr_expect_eq(status_of("/house/rooms/cellar", "Cookie: sid=ada\r\n"), 404);
    cr_expect_eq(atomic_load(&seen.asked), 1);
    cr_expect_eq(status_of("/rooms/kitchen", "Cookie: sid=ada\r\n"), 404, "without the prefix");
    ws_talk_ask(&talk, new_peer(), "/house/rooms/cellar", "Cookie: sid=ada\r\n");
    cr_expect_eq(ws_talk_ask_again(&talk, "/house/rooms/hall", "Cookie: sid=ada\r\n"), 101,
                 "the connection has stayed HTTP");
    cr_expect_str_eq(http_reply_field(&talk.reply, "X-Room"), "yes");
    ws_talk_expect_text(&talk, "Ada in hall");
    ws_talk_end(&talk);
    end();
}

Test(ws_routes, a_peer_that_is_gone_at_once_loses_no_user)
{
    begin_rooms();
    for (int i = 0; i < 20; i++) {
        struct rig_peer peer = new_peer();

        rig_peer_send_text(&peer,
                           "GET /house/rooms/hall HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                           "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nCookie: sid=ada\r\n"
                           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
        rig_peer_reset(&peer);
    }
    rig_await(rig_host_conns(host) == 0);
    end();
}

/* ---- a desk with several ways to say yes and no ---- */

static void drop_count(void *user)
{
    atomic_fetch_add(&seen.dropped, 1);
}

static void set_counted_user(struct cw_http_exchange *http)
{
    atomic_fetch_add(&seen.made, 1);
    rig_check(cw_websocket_set_user(http, &seen, drop_count) == 0);
}

static void accept_from_timer(struct cw_loop *loop, void *user)
{
    struct cw_http_exchange *http = cw_http_find(loop, seen.id);

    rig_check(http != NULL);
    rig_check(cw_websocket_choose(http, "v1") == 0);
    atomic_store(&seen.result, cw_websocket_accept(http));
    atomic_store(&seen.then, cw_websocket_accept(http));
}

static void refuse_from_timer(struct cw_loop *loop, void *user)
{
    struct cw_http_exchange *http = cw_http_find(loop, seen.id);

    rig_check(http != NULL);
    cw_http_reply_error(http, 403, "not today");
    atomic_store(&seen.result, cw_websocket_accept(http));
}

static void accept_posted(struct cw_http_exchange *http, void *arg)
{
    atomic_store(&seen.result, http ? cw_websocket_accept(http) : CW_ENOTFOUND);
    rig_check(arg == &seen);
}

static void *look_up(void *arg)
{
    rig_check(cw_http_post(arg, seen.id, accept_posted, &seen) == 0);
    return NULL;
}

static bool is(struct cw_http_exchange *http, const char *way)
{
    return cw_span_equal(cw_http_param(http, "way"), cw_span_text(way));
}

static int wait(struct cw_http_exchange *http, cw_timer_fn then)
{
    seen.id = cw_http_id(http);
    atomic_store(&seen.has_id, true);
    if (then) {
        cw_timer_start(cw_http_loop(http), 20, 0, then, NULL);
    }
    return CW_HTTP_LATER;
}

static int decide(struct cw_http_exchange *http, void *user)
{
    atomic_fetch_add(&seen.asked, 1);
    set_counted_user(http);
    if (is(http, "later")) {
        return wait(http, accept_from_timer);
    }
    if (is(http, "refused-later")) {
        return wait(http, refuse_from_timer);
    }
    if (is(http, "never") || is(http, "posted")) {
        return wait(http, NULL);
    }
    if (is(http, "at-once")) {
        atomic_store(&seen.result, cw_websocket_accept(http));
        atomic_store(&seen.then, cw_websocket_accept(http));
        return CW_HTTP_LATER;
    }
    if (is(http, "says-so")) {
        return CW_HTTP_ANSWERED; /* and has not */
    }
    if (is(http, "both")) {
        cw_http_reply_text(http, 200, "an answer counts");
        atomic_store(&seen.result, cw_websocket_set_user(http, &seen, drop_count));
        return CW_HTTP_NEXT;
    }
    if (is(http, "twice")) {
        set_counted_user(http);
        atomic_fetch_add(&seen.made, 1);
        rig_check(cw_websocket_set_user(http, &seen.asked, drop_count) == 0);
    }
    if (is(http, "chosen")) {
        atomic_store(&seen.result, cw_websocket_choose(http, "x9"));
        rig_check(cw_websocket_choose(http, "v1") == 0);
    }
    if (is(http, "none-chosen")) {
        rig_check(cw_websocket_choose(http, NULL) == 0);
    }
    return CW_HTTP_NEXT;
}

static void note_open(struct cw_conn *conn, void *user)
{
    const char *subprotocol = cw_websocket_subprotocol(conn);

    atomic_fetch_add(&seen.opened, 1);
    cw_conn_send(conn, &(struct cw_message){.body = cw_span_text(subprotocol), .kind = CW_TEXT});
}

static void note_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    rig_check(cw_conn_user(conn) == &seen || cw_conn_user(conn) == &seen.asked);
    atomic_fetch_add(&seen.closed, 1);
}

static const struct cw_hooks desk = {
    .on_connection = note_open, .on_data = echo, .on_close = note_close};

static void begin_desk(const struct cw_http_options *http)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    cw_http_configure(server, http ? http : &(struct cw_http_options){0});
    cw_websocket_route(
        server, "/:way", &desk,
        &(struct cw_websocket_options){.on_handshake = decide, .subprotocols = "v2, v1"});
    host = rig_host_start(server, NULL, NULL);
}

#define OFFER "Sec-WebSocket-Protocol: v1, v2\r\n"

static void expect_open(const char *path, const char *subprotocol)
{
    ws_talk_open(&talk, new_peer(), path, OFFER);
    ws_talk_expect_text(&talk, subprotocol);
    ws_talk_say_goodbye(&talk);
    rig_await(rig_host_conns(host) == 0);
}

Test(ws_routes, a_handshake_may_go_on_later)
{
    begin_desk(NULL);
    expect_open("/later", "v1");
    cr_expect_eq(atomic_load(&seen.result), 0);
    cr_expect_eq(atomic_load(&seen.then), CW_ESTATE, "once is enough");
    cr_expect_eq(atomic_load(&seen.dropped), 0);
    end();
}

Test(ws_routes, what_comes_while_a_handshake_waits_is_read_behind_it)
{
    begin_desk(NULL);
    talk.peer = http_peer_new(rig_host_port(host, 0));
    http_peer_send(&talk.peer, "GET /later HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n" OFFER
                               "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    ws_talk_send_text(&talk, "early");
    http_peer_read(&talk.peer, &talk.reply, false);
    cr_expect_eq(talk.reply.status, 101);
    ws_talk_expect_text(&talk, "v1");
    ws_talk_expect_text(&talk, "early");
    ws_talk_say_goodbye(&talk);
    end();
}

Test(ws_routes, a_handshake_may_go_on_from_another_thread)
{
    pthread_t thread;

    begin_desk(NULL);
    talk.peer = http_peer_new(rig_host_port(host, 0));
    http_peer_send(&talk.peer, "GET /posted HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                               "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    rig_await(atomic_load(&seen.has_id));
    rig_check(pthread_create(&thread, NULL, look_up, rig_host_server(host)) == 0);
    http_peer_read(&talk.peer, &talk.reply, false);
    cr_expect_eq(talk.reply.status, 101);
    ws_talk_expect_text(&talk, "");
    pthread_join(thread, NULL);
    ws_talk_say_goodbye(&talk);
    end();
}

Test(ws_routes, a_handshake_that_was_accepted_before_it_said_later_goes_on)
{
    begin_desk(NULL);
    expect_open("/at-once", "v2");
    cr_expect_eq(atomic_load(&seen.result), 0);
    cr_expect_eq(atomic_load(&seen.then), CW_ESTATE);
    end();
}

Test(ws_routes, a_handshake_that_waits_may_be_refused)
{
    begin_desk(NULL);
    cr_expect_eq(status_of("/refused-later", ""), 403);
    cr_expect_eq(atomic_load(&seen.result), CW_ESTATE, "it has been answered");
    rig_await(atomic_load(&seen.dropped) == 1);
    end();
}

Test(ws_routes, a_handshake_that_nobody_accepts_is_answered_for_it)
{
    begin_desk(&(struct cw_http_options){.response_ms = 100});
    cw_log_set_level(CW_LOG_ERROR);
    cr_expect_eq(status_of("/never", ""), 503);
    rig_await(atomic_load(&seen.dropped) == 1);
    end();
}

Test(ws_routes, a_peer_that_goes_while_its_handshake_waits_takes_its_user_with_it)
{
    struct rig_peer peer;

    begin_desk(NULL);
    peer = new_peer();
    rig_peer_send_text(&peer, "GET /never HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                              "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    rig_await(atomic_load(&seen.has_id));
    rig_peer_reset(&peer);
    rig_await(atomic_load(&seen.dropped) == 1);
    end();
}

static void post_after_stop(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct cw_http_exchange *http = cw_http_find(loop, seen.id);

    cw_server_stop(rig_host_server(host));
    rig_check(http != NULL);
    atomic_store(&seen.result, cw_websocket_accept(http));
}

Test(ws_routes, a_server_that_stops_lets_nobody_in)
{
    struct http_peer peer;
    struct http_reply *reply = calloc(1, sizeof *reply);

    begin_desk(NULL);
    peer = http_peer_new(rig_host_port(host, 0));
    http_peer_send(&peer, "GET /never HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                          "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    rig_await(atomic_load(&seen.has_id));
    rig_host_run(host, 0, post_after_stop, NULL);
    http_peer_read(&peer, reply, false);
    cr_expect_eq(reply->status, 503);
    cr_expect_eq(atomic_load(&seen.result), CW_ESTOPPED);
    cr_expect_str_eq(http_reply_field(reply, "Sec-WebSocket-Accept"), "");
    http_reply_release(reply);
    free(reply);
    http_peer_close(&peer);
    rig_check(rig_host_join(host) == 0);
    rig_host_free(host);
    cr_expect_eq(atomic_load(&seen.dropped), 1);
    cr_expect_eq(atomic_load(&seen.opened), 0);
}

Test(ws_routes, an_answer_is_an_answer_whatever_is_said_then)
{
    begin_desk(NULL);
    cw_log_set_level(CW_LOG_SILENT);
    cr_expect_eq(status_of("/both", ""), 200);
    cr_expect_eq(atomic_load(&seen.result), CW_ESTATE, "the handshake is over");
    cr_expect_eq(status_of("/says-so", ""), 500);
    rig_await(atomic_load(&seen.dropped) == 2);
    end();
}

Test(ws_routes, the_last_user_that_was_set_counts_and_the_others_are_dropped)
{
    begin_desk(NULL);
    expect_open("/twice", "v2");
    /* Setting the same one again is not another one. */
    cr_expect_eq(atomic_load(&seen.dropped), 1);
    atomic_fetch_sub(&seen.made, 1);
    end();
}

Test(ws_routes, a_subprotocol_may_be_chosen_in_place_of_the_list)
{
    begin_desk(NULL);
    expect_open("/whatever", "v2");
    expect_open("/chosen", "v1");
    cr_expect_eq(atomic_load(&seen.result), CW_EINVAL, "it was not offered");
    expect_open("/none-chosen", "");
    end();
}

static void outside(struct cw_http_exchange *http, void *user)
{
    rig_check(cw_websocket_set_user(http, &seen, drop_count) == CW_ESTATE);
    rig_check(cw_websocket_choose(http, NULL) == CW_ESTATE);
    rig_check(cw_websocket_accept(http) == CW_ESTATE);
    cw_http_reply_text(http, 200, "it was none");
}

Test(ws_routes, outside_of_a_handshake_there_is_nothing_to_set)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    cw_http_route(server, "GET /", outside, NULL);
    host = rig_host_start(server, NULL, NULL);
    cr_expect_eq(status_of("/", ""), 200);
    end();
}

/* ---- set-up ---- */

static void expect_refused(int error, struct cw_server *server, const char *said)
{
    cr_expect_eq(error, CW_EINVAL);
    cr_expect_str_eq(cw_server_error(server), said);
    cw_server_free(server);
}

Test(ws_routes, a_route_that_is_none_is_refused_with_a_sentence)
{
    struct cw_server *server = cw_create_server(&cw_http);

    expect_refused(cw_websocket_route(server, "GET /chat", &desk, NULL), server,
                   "websocket GET /chat: a path without a method; write `/path`");
    server = cw_create_server(&cw_http);
    expect_refused(cw_websocket_route(server, "/chat", &desk,
                                      &(struct cw_websocket_options){.deflate.level = 12}),
                   server, "websocket /chat: deflate.level: at most 9 is allowed");
    server = cw_create_server(&cw_http);
    cw_websocket_route(server, "/chat", &desk, NULL);
    cr_expect_eq(cw_websocket_route(server, "/chat", &desk, NULL), CW_EINVAL);
    cr_expect_not_null(strstr(cw_server_error(server), "/chat"));
    cw_server_free(server);
    server = cw_create_server(&cw_http);
    cr_expect_eq(cw_websocket_route(server, NULL, &desk, NULL), CW_EINVAL);
    cw_server_free(server);
    cr_expect_eq(cw_websocket_route(NULL, "/chat", &desk, NULL), CW_ENOMEM);
    cr_expect_eq(cw_websocket_group_route(NULL, "/chat", &desk, NULL), CW_EINVAL);
}

static int go_on(struct cw_http_exchange *http, void *user)
{
    return CW_HTTP_NEXT;
}

Test(ws_routes, what_a_route_can_do_nothing_with_is_refused_by_name)
{
    static const struct cw_http_pair fields[] = {{"Origin", "https://a.example"}, {NULL, NULL}};
    struct cw_server *server = cw_create_server(&cw_http);
    struct cw_loop *loop = cw_loop_new();

    expect_refused(cw_websocket_route(server, "/chat", NULL, NULL), server,
                   "websocket /chat: without hooks");
    server = cw_create_server(&cw_http);
    expect_refused(cw_websocket_route(server, "/chat", &desk,
                                      &(struct cw_websocket_options){.fields = fields}),
                   server, "websocket /chat: fields: only clients have it");
    server = cw_create_server(&cw_http);
    expect_refused(
        cw_websocket_configure(server, &(struct cw_websocket_options){.compress = true}), server,
        "options of websocket: the server speaks http; say them with the listener or route that "
        "speaks websocket");
    cw_log_set_level(CW_LOG_SILENT);
    cr_expect_eq(cw_websocket_connect(loop, "ws://127.0.0.1:1/", &desk,
                                      &(struct cw_websocket_options){.origins = "*"}, NULL),
                 CW_EINVAL);
    cr_expect_eq(cw_websocket_connect(loop, "ws://127.0.0.1:1/", &desk,
                                      &(struct cw_websocket_options){.on_handshake = go_on}, NULL),
                 CW_EINVAL);
    cw_loop_free(loop);
}

static char warned[1024];

/* But what the machine alone is to blame for: a low limit on descriptors. */
static void keep_warnings(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    size_t len = strlen(warned);

    if (level == CW_LOG_WARNING && !strstr(text, "limit on descriptors")) {
        snprintf(warned + len, sizeof warned - len, "%s\n", text);
    }
}

static void end_work(struct cw_server *server, struct cw_loop *loop, void *user) {}

/* hooks: of the route; own: of the server. */
static void start_with(const struct cw_protocol *protocol, const struct cw_hooks *hooks,
                       const struct cw_hooks *own)
{
    struct cw_server *server = rig_server(protocol, NULL);

    warned[0] = '\0';
    cw_websocket_route(server, "/chat", hooks, NULL);
    host = rig_host_start(server, own, NULL);
    rig_host_end(host);
}

Test(ws_routes, hooks_of_the_server_that_stand_with_a_listener_are_warned_of)
{
    static const struct cw_hooks timed = {.on_worker_stop = end_work};
    static const struct cw_hooks own = {.on_data = NULL};
    struct cw_server *server = rig_server(&cw_http, NULL);

    cw_log_set(keep_warnings, NULL);
    cw_server_listen(server,
                     &(struct cw_listen_options){.host = "127.0.0.1",
                                                 .service = cw_service(&cw_framed, &timed, NULL)});
    host = rig_host_start(server, &own, NULL);
    rig_host_end(host);
    cr_expect_not_null(strstr(warned, "on_worker_stop is never called here"), "%s", warned);
    cw_log_set(NULL, NULL);
}

Test(ws_routes, a_set_up_that_serves_nothing_is_warned_of)
{
    static const struct cw_hooks timed = {.on_worker_stop = end_work};
    static const struct cw_hooks plain_hooks = {.on_data = NULL};

    cw_log_set(keep_warnings, NULL);
    start_with(&cw_framed, &plain_hooks, &plain_hooks);
    cr_expect_str_eq(warned, "websocket /chat: no listener speaks http, so nobody can get there\n");
    start_with(&cw_http, &timed, &plain_hooks);
    cr_expect_str_eq(warned, "websocket /chat: on_worker_stop is never called here; it is the "
                             "server's: cw_server_set_hooks\n");
    start_with(&cw_http, &timed, &timed);
    cr_expect_str_eq(warned, "");
    start_with(&cw_websocket, &plain_hooks, &plain_hooks);
    cr_expect_str_eq(warned, "");
    cw_log_set(NULL, NULL);
}

Test(ws_routes, routes_are_set_before_the_server_runs)
{
    begin_desk(NULL);
    cr_expect_eq(cw_websocket_route(rig_host_server(host), "/x/y", &desk, NULL), CW_ESTATE);
    end();
}

/* ---- a configuration file ---- */

static void tell_mark(struct cw_conn *conn, void *user)
{
    static const uint8_t bytes[100];
    int answer =
        cw_conn_send(conn, &(struct cw_message){.body = cw_span_of(bytes, 100), .kind = CW_BINARY});

    atomic_store(&seen.result, answer);
    atomic_fetch_add(&seen.opened, 1);
}

static const struct cw_hooks plain = {.on_data = echo};
static const struct cw_hooks marks = {.on_connection = tell_mark};

static struct cw_server *server_of(const struct cw_protocol *protocol, const char *text)
{
    struct cw_server *server = rig_server(protocol, NULL);

    cw_websocket_route(server, "/plain", &plain, NULL);
    cw_websocket_route(server, "/marks", &marks, NULL);
    cw_websocket_route(server, "/own", &plain,
                       &(struct cw_websocket_options){
                           .message_max_bytes = 100, .subprotocols = "own", .out_high_bytes = 4096});
    rig_config_begin();
    rig_config_write(text);
    cw_config_load(server, rig_config_path, NULL);
    return server;
}

static void expect_limit(const char *path, const char *last, const char *above)
{
    ws_talk_open(&talk, new_peer(), path, "");
    ws_talk_send_text(&talk, last);
    ws_talk_expect_text(&talk, last);
    ws_talk_send_text(&talk, above);
    ws_talk_expect_close(&talk, CW_WEBSOCKET_TOO_BIG);
    rig_peer_expect_end(&talk.peer.peer);
    ws_talk_end(&talk);
}

static void expect_subprotocol(const char *path, const char *subprotocol)
{
    ws_talk_open(&talk, new_peer(), path, "Sec-WebSocket-Protocol: v1, own\r\n");
    cr_expect_str_eq(http_reply_field(&talk.reply, "Sec-WebSocket-Protocol"), subprotocol, "%s",
                     path);
    ws_talk_end(&talk);
}

Test(ws_routes, what_a_route_leaves_open_is_said_by_the_file)
{
    char longest[102];

    memset(longest, 'x', 101);
    longest[101] = '\0';
    host = rig_host_start(server_of(&cw_http, "server:\n  websocket:\n    max_frame_size: 5\n"
                                              "    subprotocols: v1\n    buffer_size: 50\n"
                                              "    origins: https://b.example\n"),
                          NULL, NULL);
    expect_limit("/plain", "12345", "123456");
    expect_limit("/own", longest + 1, longest);
    expect_subprotocol("/plain", "v1");
    expect_subprotocol("/own", "own"); /* its own counts */
    cr_expect_eq(status_of("/plain", "Origin: https://b.example\r\n"), 101);
    cw_log_set_level(CW_LOG_WARNING);
    cr_expect_eq(status_of("/plain", "Origin: http://site.example\r\n"), 403);
    ws_talk_open(&talk, new_peer(), "/marks", "");
    rig_await(atomic_load(&seen.opened) == 1);
    cr_expect_eq(atomic_load(&seen.result), 1, "the queue is above its mark");
    ws_talk_end(&talk);
    end();
    rig_config_end();
}

Test(ws_routes, a_server_of_websockets_reads_its_section_too)
{
    host = rig_host_start(
        server_of(&cw_websocket, "server:\n  websocket: { max_frame_size: 5, ping_interval: 20 }\n"),
        &plain, NULL);
    expect_limit("/elsewhere", "12345", "123456");
    expect_limit("/plain", "12345", "123456");
    end();
    rig_config_end();
}

Test(ws_routes, what_the_program_says_of_its_own_websockets_is_said_to_its_routes)
{
    struct cw_server *server = rig_server(&cw_websocket, NULL);

    cw_websocket_configure(server, &(struct cw_websocket_options){.message_max_bytes = 5});
    cw_websocket_route(server, "/plain", &plain, NULL);
    host = rig_host_start(server, &plain, NULL);
    expect_limit("/elsewhere", "12345", "123456");
    expect_limit("/plain", "12345", "123456");
    end();
}

static void expect_wrong(const char *text, const char *said)
{
    struct cw_server *server = server_of(&cw_http, text);

    cr_expect_not_null(strstr(cw_server_error(server), said), "%s", cw_server_error(server));
    cw_server_free(server);
    rig_config_end();
}

Test(ws_routes, a_wrong_key_or_value_of_the_section_is_refused_by_name)
{
    expect_wrong("server:\n  websocket:\n    max_frame_sice: 5\n",
                 ":3: server.websocket.max_frame_sice: unknown key; did you mean max_frame_size?");
    expect_wrong("server:\n  websocket:\n    compression_level: 10\n",
                 ":3: server.websocket.compression_level: 10 is not allowed; 1 to 9");
    expect_wrong("server:\n  websocket:\n    origins: nowhere\n",
                 ":2: server.websocket: origins: nowhere is no origin");
    expect_wrong("server:\n  listeners: [{ protocol: websocket, port: 0 }]\n",
                 ":2: server.listeners[0].protocol: websocket is not allowed; http");
}

Test(ws_routes, a_file_that_contradicts_a_route_stops_the_start)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    cw_websocket_route(server, "/long", &plain,
                       &(struct cw_websocket_options){.stream_above_bytes = 4096});
    rig_config_begin();
    rig_config_write("server:\n  max_frame_size: 1000\n");
    cw_config_load(server, rig_config_path, NULL);
    cr_expect_eq(cw_server_run(server), CW_EINVAL);
    cr_expect_str_eq(cw_server_error(server),
                     "websocket /long: stream_above_bytes: is above message_max_bytes");
    cw_server_free(server);
    rig_config_end();
}

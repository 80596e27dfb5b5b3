/* From HTTP to another protocol on the same connection: what the new one gets, what the old one tells, and what is refused. */
#include "support/host.h"
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/http_middleware.h>
#include <causeway/protocol.h>
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(http_switch, .fini = rig_expect_no_leak, .timeout = 90);

#define UPGRADE(path)                                                                              \
    "GET " path " HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: frames\r\n\r\n"
#define FRAME "\x00\x00\x00\x05hello"

enum { FRAME_LEN = 9 };

/* What the loop's thread tells the test. */
static struct {
    struct rig_host *host;
    struct cw_service_ref *frames;
    char story[500]; /* read when `opened` or `done` says that the loop is through with it */
    atomic_uint opened;
    atomic_uint done;
    atomic_uint dropped;
    atomic_uint frames_seen;
    atomic_int result;
    atomic_int then; /* of a call behind the one under test */
    struct cw_http_id id;
} house;

static int user_of_conn = 7;

static void tell(const char *what)
{
    size_t len = strlen(house.story);

    snprintf(house.story + len, sizeof house.story - len, "%s ", what);
}

static void drop(void *handover)
{
    free(handover);
    atomic_fetch_add(&house.dropped, 1);
}

static void note_done(struct cw_http_exchange *http, const struct cw_http_outcome *outcome,
                      void *user)
{
    char text[40];

    snprintf(text, sizeof text, "done:%d:%d", outcome->code, outcome->status);
    tell(text);
    atomic_fetch_add(&house.done, 1);
}

static int change(struct cw_http_exchange *http)
{
    void *handover = malloc(1);
    int result = cw_http_switch(http, "frames", house.frames, handover, drop);

    if (result < 0) {
        free(handover);
    }
    atomic_store(&house.result, result);
    return result;
}

/* ---- handlers ---- */

static void change_now(struct cw_http_exchange *http, void *user)
{
    cw_conn_set_user(cw_http_conn(http), &user_of_conn);
    cw_http_on_done(http, note_done, NULL);
    cw_http_set_field(http, "X-Handler", "was here");
    if (change(http) < 0) {
        cw_http_reply_text(http, 200, "as before");
    }
}

static void change_twice(struct cw_http_exchange *http, void *user)
{
    change(http);
    atomic_store(&house.then, cw_http_switch(http, "frames", house.frames, NULL, NULL));
}

static void change_to_nothing(struct cw_http_exchange *http, void *user)
{
    atomic_store(&house.result, cw_http_switch(http, "frames", NULL, NULL, NULL));
    cw_http_reply_text(http, 200, "as before");
}

static void change_answered(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, "answered");
    change(http);
}

static void nothing_of_it(struct cw_http_exchange *http, struct cw_span piece, bool last, void *user)
{
    if (last) {
        change(http);
    }
}

static void change_behind_body(struct cw_http_exchange *http, void *user)
{
    atomic_store(&house.then, change(http));
    cw_http_read_body(http, nothing_of_it, NULL);
}

static void change_from_timer(struct cw_loop *loop, void *user)
{
    struct cw_http_exchange *http = cw_http_find(loop, house.id);

    rig_check(http != NULL);
    change(http);
    rig_check(cw_http_find(loop, house.id) == http);
}

static void change_later(struct cw_http_exchange *http, void *user)
{
    cw_http_on_done(http, note_done, NULL);
    house.id = cw_http_id(http);
    cw_timer_start(cw_http_loop(http), 20, 0, change_from_timer, NULL);
}

/* ---- the new protocol's hooks ---- */

static void is_open(struct cw_conn *conn, void *user)
{
    tell("open");
    atomic_fetch_add(&house.opened, 1);
}

static void say_back(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    rig_check(user == &house);
    atomic_fetch_add(&house.frames_seen, cw_conn_user(conn) == &user_of_conn ? 100 : 1);
    cw_conn_send(conn, msg);
}

static const struct cw_hooks frame_hooks = {.on_connection = is_open, .on_data = say_back};

/* ---- middleware that looks on ---- */

static void look_on(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    if (cw_http_reply_status(http) == 101) {
        rig_check(cw_http_set_status(http, 200) == CW_ESTATE);
        rig_check(cw_http_filter_body(http) == CW_ESTATE);
        cw_http_set_field(http, "X-Middleware", "too");
    }
}

static int leave_body(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot,
                      struct cw_span *piece, bool last)
{
    return CW_OK;
}

static struct cw_http_middleware onlooker = {
    .name = "onlooker", .on_reply = look_on, .on_reply_body = leave_body};

static void begin(void)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct cw_service frames = cw_framed_service(NULL, &frame_hooks, &house);

    onlooker.next = NULL;
    house.frames = cw_service_new(&frames, NULL);
    rig_check(house.frames != NULL);
    cw_http_use(server, &onlooker);
    cw_http_route(server, "GET|POST /now", change_now, NULL);
    cw_http_route(server, "GET /twice", change_twice, NULL);
    cw_http_route(server, "GET /nothing", change_to_nothing, NULL);
    cw_http_route(server, "GET /answered", change_answered, NULL);
    cw_http_route(server, "GET /later", change_later, NULL);
    cw_http_route_with(server, "POST /stream", change_behind_body, NULL,
                       &(struct cw_http_route_options){.stream = true});
    house.host = rig_host_start(server, NULL, NULL);
}

static void end(void)
{
    rig_host_end(house.host);
    cw_service_free(house.frames);
}

/* Reads the 101, and the frame that comes back behind it. */
static void expect_switched(struct http_peer *peer, struct http_reply *reply)
{
    uint8_t got[FRAME_LEN];

    http_peer_read(peer, reply, false);
    cr_assert_eq(reply->status, 101);
    cr_expect_str_eq(http_reply_field(reply, "Upgrade"), "frames");
    cr_expect_str_eq(http_reply_field(reply, "Connection"), "upgrade");
    cr_assert_leq(peer->ahead_len, sizeof got);
    memcpy(got, peer->ahead, peer->ahead_len);
    rig_peer_receive(&peer->peer, got + peer->ahead_len, sizeof got - peer->ahead_len);
    cr_expect_arr_eq(got, FRAME, FRAME_LEN);
}

static void ask_for(const char *request, struct http_reply *reply)
{
    struct http_peer peer = http_peer_new(rig_host_port(house.host, 0));

    http_peer_ask(&peer, request, reply);
    http_peer_close(&peer);
}

/* ---- what the new protocol gets ---- */

Test(http_switch, the_exchange_is_over_before_the_new_protocol_opens)
{
    struct http_reply *reply = calloc(1, sizeof *reply);
    struct http_peer peer;

    begin();
    peer = http_peer_new(rig_host_port(house.host, 0));
    http_peer_send(&peer, UPGRADE("/now"));
    rig_await(atomic_load(&house.opened) == 1);
    rig_peer_send(&peer.peer, FRAME, FRAME_LEN);
    expect_switched(&peer, reply);
    cr_expect_str_eq(house.story, "done:0:101 open ");
    cr_expect_str_eq(http_reply_field(reply, "X-Handler"), "was here");
    cr_expect_str_eq(http_reply_field(reply, "X-Middleware"), "too");
    cr_expect_eq(atomic_load(&house.frames_seen), 100, "the connection keeps its user");
    cr_expect_eq(atomic_load(&house.dropped), 1, "nobody took the handover");
    http_reply_release(reply);
    free(reply);
    http_peer_close(&peer);
    end();
}

Test(http_switch, bytes_behind_the_head_are_the_new_protocol_s_however_they_are_cut)
{
    static const char bytes[] = UPGRADE("/now") FRAME;
    struct http_reply *reply = calloc(1, sizeof *reply);

    begin();
    for (size_t cut = 1; cut < sizeof bytes; cut += 7) {
        struct http_peer peer = http_peer_new(rig_host_port(house.host, 0));

        rig_peer_send_slowly(&peer.peer, bytes, sizeof bytes - 1, cut < 8 ? sizeof bytes : cut);
        expect_switched(&peer, reply);
        http_reply_release(reply);
        http_peer_close(&peer);
    }
    free(reply);
    end();
}

Test(http_switch, a_switch_from_a_timer_is_one)
{
    struct http_reply *reply = calloc(1, sizeof *reply);
    struct http_peer peer;

    begin();
    peer = http_peer_new(rig_host_port(house.host, 0));
    rig_peer_send(&peer.peer, UPGRADE("/later") FRAME, sizeof UPGRADE("/later") + FRAME_LEN - 1);
    expect_switched(&peer, reply);
    cr_expect_eq(atomic_load(&house.result), CW_OK);
    cr_expect_str_eq(house.story, "done:0:101 open ");
    cr_expect_eq(atomic_load(&house.dropped), 1);
    http_reply_release(reply);
    free(reply);
    http_peer_close(&peer);
    end();
}

Test(http_switch, a_streamed_body_ends_before_the_switch)
{
    struct http_reply *reply = calloc(1, sizeof *reply);
    struct http_peer peer;

    begin();
    peer = http_peer_new(rig_host_port(house.host, 0));
    http_peer_send(&peer, "POST /stream HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n"
                          "Upgrade: frames\r\nContent-Length: 4\r\n\r\nbody");
    rig_peer_send(&peer.peer, FRAME, FRAME_LEN);
    expect_switched(&peer, reply);
    cr_expect_eq(atomic_load(&house.then), CW_ESTATE, "its body had not ended");
    cr_expect_eq(atomic_load(&house.result), CW_OK);
    http_reply_release(reply);
    free(reply);
    http_peer_close(&peer);
    end();
}

/* ---- what is refused ---- */

Test(http_switch, a_refused_switch_has_changed_nothing)
{
    static const char *const requests[] = {
        "GET /now HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /now HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n",
        UPGRADE("/nothing"),
    };
    struct http_reply *reply = calloc(1, sizeof *reply);

    begin();
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        ask_for(requests[i], reply);
        cr_expect_eq(atomic_load(&house.result), CW_EINVAL);
        cr_expect_eq(reply->status, 200);
        cr_expect_str_eq((const char *)reply->body, "as before");
        cr_expect_str_eq(http_reply_field(reply, "Upgrade"), "");
        cr_expect_str_eq(http_reply_field(reply, "Connection"), "");
        http_reply_release(reply);
    }
    cr_expect_eq(atomic_load(&house.dropped), 0, "the handover stays the caller's");
    free(reply);
    end();
}

Test(http_switch, what_has_been_answered_is_not_switched)
{
    struct http_reply *reply = calloc(1, sizeof *reply);

    begin();
    ask_for(UPGRADE("/answered"), reply);
    cr_expect_eq(reply->status, 200);
    cr_expect_eq(atomic_load(&house.result), CW_ESTATE);
    http_reply_release(reply);
    ask_for(UPGRADE("/twice"), reply);
    cr_expect_eq(reply->status, 101);
    rig_await(atomic_load(&house.opened) == 1);
    cr_expect_eq(atomic_load(&house.result), CW_OK);
    cr_expect_eq(atomic_load(&house.then), CW_ESTATE);
    http_reply_release(reply);
    free(reply);
    end();
}

Test(http_switch, a_peer_that_is_gone_at_once_loses_no_handover)
{
    begin();
    for (int i = 0; i < 20; i++) {
        struct rig_peer peer = rig_peer_tcp(rig_host_port(house.host, 0));

        rig_peer_send_text(&peer, UPGRADE("/now"));
        rig_peer_reset(&peer);
    }
    rig_await(rig_host_conns(house.host) == 0);
    cr_expect_eq(atomic_load(&house.dropped), atomic_load(&house.done));
    end();
}

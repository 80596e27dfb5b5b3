/* What handlers and middleware may do wrong, and peers on purpose: answers stay whole, in order, and their own. */
#include "support/fault.h"
#include "support/host.h"
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/protocol.h>
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(http_breaker, .fini = rig_expect_no_leak, .timeout = 90);

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

enum { LARGE = 3000000 };

/* What the handlers and the test tell each other. */
static struct {
    atomic_uint done;
    atomic_int code;
    atomic_int error;
    atomic_uint source_done;
    atomic_uint filtered;
    size_t fail_at; /* the allocation that fails within the handler */
} stage;

static void note_done(struct cw_http_exchange *http, const struct cw_http_outcome *outcome,
                      void *user)
{
    atomic_store(&stage.code, outcome->code);
    atomic_fetch_add(&stage.done, 1);
}

static struct cw_server *make_server(const struct cw_server_options *options)
{
    struct cw_server *server = rig_server(&cw_http, options);

    memset(&stage, 0, sizeof stage);
    cw_log_set_level(getenv("CW_TEST_LOG") ? CW_LOG_DEBUG : CW_LOG_SILENT);
    return server;
}

static struct http_reply *new_reply(void)
{
    return malloc(sizeof(struct http_reply));
}

static void free_reply(struct http_reply *reply)
{
    http_reply_release(reply);
    free(reply);
}

static void hello(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, "Hello, world!");
}

/* ---- heads that come again ---- */

Test(http_breaker, allow_tells_the_methods_of_this_path_however_often_it_is_asked)
{
    struct cw_server *server = make_server(NULL);

    cw_http_route(server, "GET /some-path-for-reading", hello, NULL);
    cw_http_route(server, "POST /another-path-for-writing", hello, NULL);
    struct rig_host *host = rig_host_start(server, NULL, NULL);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();

    for (int i = 0; i < 4; i++) {
        http_peer_ask(&peer, "DELETE /some-path-for-reading HTTP/1.1\r\nHost: a\r\n\r\n", reply);
        cr_assert_eq(reply->status, 405);
        cr_assert_str_eq(http_reply_field(reply, "Allow"), "GET, HEAD, OPTIONS");
        http_reply_release(reply);
        http_peer_ask(&peer, "DELETE /another-path-for-writing HTTP/1.1\r\nHost: a\r\n\r\n", reply);
        cr_assert_eq(reply->status, 405);
        cr_assert_str_eq(http_reply_field(reply, "Allow"), "POST, OPTIONS");
        http_reply_release(reply);
    }
    free(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

/* ---- pieces ---- */

static void one_large_piece(struct cw_http_exchange *http, void *user)
{
    uint8_t *piece = calloc(1, LARGE);

    cw_http_on_done(http, note_done, NULL);
    cw_http_begin(http, 200, "text/plain", CW_NO_LIMIT);
    atomic_store(&stage.error, cw_http_send(http, cw_span_of(piece, LARGE)));
    cw_http_end(http);
    free(piece);
}

Test(http_breaker, a_piece_larger_than_the_queue_may_be_is_sent_all_the_same)
{
    struct cw_server *server = make_server(&(struct cw_server_options){
        .out_max_bytes = 40000, .out_high_bytes = 20000, .in_max_bytes = 20000});
    struct http_reply *reply = new_reply();

    cw_http_route(server, "GET /", one_large_piece, NULL);
    struct rig_host *host = rig_host_start(server, NULL, NULL);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));

    for (int i = 0; i < 2; i++) {
        http_peer_ask(&peer, GET("/"), reply);
        cr_assert_eq(reply->status, 200);
        cr_assert_eq(reply->body_len, LARGE);
        http_reply_release(reply);
    }
    cr_assert_geq(atomic_load(&stage.error), 0);
    free(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

/* ---- filters ---- */

static void filters_twice(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    for (int i = 0; i < 3; i++) {
        atomic_store(&stage.error, cw_http_filter_body(http));
    }
}

static int count_piece(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot,
                       struct cw_span *piece, bool last)
{
    atomic_fetch_add(&stage.filtered, 1);
    return CW_OK;
}

static void reset(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_empty(http, 205);
}

Test(http_breaker, a_middleware_that_asks_twice_filters_a_body_once)
{
    static struct cw_http_middleware eager = {
        .name = "eager", .on_reply = filters_twice, .on_reply_body = count_piece};
    struct cw_server *server = make_server(NULL);

    cw_http_use(server, &eager);
    cw_http_route(server, "GET /", hello, NULL);
    struct rig_host *host = rig_host_start(server, NULL, NULL);
    char body[64];

    cr_assert_eq(http_get(rig_host_port(host, 0), GET("/"), body, sizeof body), 200);
    cr_assert_str_eq(body, "Hello, world!");
    cr_assert_eq(atomic_load(&stage.filtered), 1);
    rig_host_end(host);
}

Test(http_breaker, a_filter_changes_nothing_about_a_205)
{
    static struct cw_http_middleware eager = {
        .name = "eager", .on_reply = filters_twice, .on_reply_body = count_piece};
    struct cw_server *server = make_server(NULL);
    struct http_reply *reply = new_reply();

    cw_http_use(server, &eager);
    cw_http_route(server, "GET /", hello, NULL);
    cw_http_route(server, "GET /reset", reset, NULL);
    struct rig_host *host = rig_host_start(server, NULL, NULL);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));

    http_peer_send(&peer, GET("/reset") GET("/"));
    http_peer_read(&peer, reply, false);
    cr_assert_eq(reply->status, 205);
    cr_assert_str_eq(http_reply_field(reply, "Content-Length"), "0");
    http_reply_release(reply);
    http_peer_read(&peer, reply, false);
    cr_assert_str_eq((char *)reply->body, "Hello, world!");
    free_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

/* ---- statuses ---- */

static void switches_to_nothing(struct cw_http_exchange *http, void *user)
{
    atomic_store(&stage.error, cw_http_reply_empty(http, 101));
    cw_http_reply_text(http, 200, "no");
}

Test(http_breaker, only_a_switch_answers_101)
{
    struct cw_server *server = make_server(NULL);

    cw_http_route(server, "GET /", switches_to_nothing, NULL);
    struct rig_host *host = rig_host_start(server, NULL, NULL);

    cr_assert_eq(http_get(rig_host_port(host, 0), GET("/"), NULL, 0), 200);
    cr_assert_eq(atomic_load(&stage.error), CW_EINVAL);
    rig_host_end(host);
}

/* ---- ends ---- */

static void closes_then_answers(struct cw_http_exchange *http, void *user)
{
    cw_http_on_done(http, note_done, NULL);
    cw_conn_close(cw_http_conn(http));
    atomic_store(&stage.error, cw_http_reply_text(http, 200, "too late"));
}

Test(http_breaker, an_answer_behind_the_close_has_not_left)
{
    struct cw_server *server = make_server(NULL);

    cw_http_route(server, "GET /", closes_then_answers, NULL);
    struct rig_host *host = rig_host_start(server, NULL, NULL);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));

    http_peer_send(&peer, GET("/"));
    http_peer_expect_end(&peer);
    rig_await(atomic_load(&stage.done) == 1);
    cr_assert_eq(atomic_load(&stage.error), CW_ECLOSED);
    cr_assert_eq(atomic_load(&stage.code), CW_ECLOSED);
    http_peer_close(&peer);
    rig_host_end(host);
}

Test(http_breaker, a_body_that_nobody_wants_does_not_keep_the_server_from_stopping)
{
    struct cw_server *server = make_server(&(struct cw_server_options){.drain_ms = 60000});
    struct http_reply *reply = new_reply();
    static const struct cw_http_route_options stream = {.stream = true};

    cw_http_route_with(server, "POST /", hello, NULL, &stream);
    struct rig_host *host = rig_host_start(server, NULL, NULL);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));

    http_peer_ask(&peer, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345", reply);
    cr_assert_eq(reply->status, 200);
    uint64_t before = rig_now_ms();
    cw_server_stop(rig_host_server(host));
    http_peer_expect_end(&peer);
    http_peer_close(&peer);
    rig_host_end(host);
    cr_assert_lt(rig_now_ms() - before, RIG_DEADLINE_MS);
    free_reply(reply);
}

/* ---- memory that runs out ---- */

static ptrdiff_t pull_some(uint8_t *buffer, size_t cap, void *user)
{
    size_t *left = user;
    size_t n = *left < cap ? *left : cap;

    memset(buffer, 'x', n);
    *left -= n;
    return (ptrdiff_t)n;
}

static void pull_done(int code, void *user)
{
    free(user);
    atomic_fetch_add(&stage.source_done, 1);
}

static void add_long_fields(struct cw_http_exchange *http)
{
    static char value[3000];

    memset(value, 'v', sizeof value - 1);
    cw_http_set_field(http, "X-Long", value);
}

static void pulled(struct cw_http_exchange *http, void *user)
{
    size_t *left = malloc(sizeof *left);

    *left = 10000;
    add_long_fields(http);
    fault_arm(stage.fail_at);
    cw_http_reply_source(http, 200, "text/plain", 10000, pull_some, pull_done, left);
    fault_disarm();
}

static void in_pieces(struct cw_http_exchange *http, void *user)
{
    static const uint8_t piece[5000];

    add_long_fields(http);
    cw_http_begin(http, 200, "text/plain", 10000);
    fault_arm(stage.fail_at);
    cw_http_send(http, cw_span_of(piece, 5000));
    cw_http_send(http, cw_span_of(piece, 5000));
    fault_disarm();
    cw_http_end(http);
}

static void whole(struct cw_http_exchange *http, void *user)
{
    static const uint8_t body[10000];

    add_long_fields(http);
    fault_arm(stage.fail_at);
    cw_http_reply(http, 200, "text/plain", cw_span_of(body, sizeof body));
    fault_disarm();
}

static void switches(struct cw_http_exchange *http, void *user)
{
    add_long_fields(http);
    fault_arm(stage.fail_at);
    atomic_store(&stage.error, cw_http_switch(http, "line", user, NULL, NULL));
    fault_disarm();
    if (atomic_load(&stage.error) < 0) {
        cw_http_reply_error(http, 500, NULL);
    }
}

/* All that comes for this request and a second one is either nothing, or a whole answer, or one that is cut; never
 * bytes of the second answer within the first. */
static void expect_sound(struct rig_host *host, const char *request)
{
    struct rig_peer peer = rig_peer_tcp(rig_host_port(host, 0));
    static char got[65536];
    size_t len = 0;
    ptrdiff_t n;

    snprintf(got, sizeof got, "%sGET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
             request);
    rig_peer_send_text(&peer, got);
    while ((n = rig_peer_receive_some(&peer, got + len, sizeof got - 1 - len)) > 0) {
        len += (size_t)n;
    }
    got[len] = '\0';
    rig_peer_close(&peer);
    const char *second = strstr(got, "Hello, world!");
    const char *first = strstr(got, "\r\n\r\n");

    if (second) {
        cr_assert(first && strstr(got, "X-Long") && strstr(got, "X-Long") < second,
                  "allocation %zu: the first request was not answered", stage.fail_at);
        cr_assert(memmem(first + 4, 10000, "HTTP/1.1", 8) == NULL ||
                      strncmp(got, "HTTP/1.1 5", 10) == 0,
                  "allocation %zu: the second answer stands in the first", stage.fail_at);
    }
}

static void fail_each_allocation(cw_http_fn fn, const char *request)
{
    fault_install();
    struct cw_server *server = make_server(NULL);
    struct cw_service_ref *line = cw_service_new(&(struct cw_service){.protocol = &cw_line}, NULL);

    cw_http_route(server, "GET /hello", hello, NULL);
    cw_http_route(server, "GET /", fn, line);
    struct rig_host *host = rig_host_start(server, NULL, NULL);

    for (size_t i = 1; i <= 12; i++) {
        stage.fail_at = i;
        expect_sound(host, request);
    }
    rig_host_end(host);
    cw_service_free(line);
    fault_remove();
}

Test(http_breaker, a_pulled_answer_is_whole_or_cut_when_memory_runs_out)
{
    fail_each_allocation(pulled, GET("/"));
    cr_assert_eq(atomic_load(&stage.source_done), 12);
}

Test(http_breaker, an_answer_in_pieces_is_whole_or_cut_when_memory_runs_out)
{
    fail_each_allocation(in_pieces, GET("/"));
}

Test(http_breaker, a_whole_answer_is_whole_or_cut_when_memory_runs_out)
{
    fail_each_allocation(whole, GET("/"));
}

Test(http_breaker, a_switch_happens_or_ends_the_connection_when_memory_runs_out)
{
    fault_install();
    struct cw_server *server = make_server(NULL);
    struct cw_service_ref *line = cw_service_new(&(struct cw_service){.protocol = &cw_line}, NULL);

    cw_http_route(server, "GET /", switches, line);
    struct rig_host *host = rig_host_start(server, NULL, NULL);

    for (size_t i = 1; i <= 8; i++) {
        struct rig_peer peer = rig_peer_tcp(rig_host_port(host, 0));
        char got[8192];

        stage.fail_at = i;
        rig_peer_send_text(
            &peer, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: line\r\n\r\n");
        (void)rig_peer_receive_some(&peer, got, sizeof got); /* an answer, or the end */
        rig_peer_close(&peer);
    }
    rig_host_end(host);
    cw_service_free(line);
    fault_remove();
}

/* ---- what handlers keep ---- */

static void answer_by_views(struct cw_conn *conn, void *user)
{
    const struct cw_http_id *id = user;
    struct cw_http_exchange *http = cw_http_find(cw_conn_loop(conn), *id);
    struct cw_span field = cw_http_field(http, "x-a");
    struct cw_span target = cw_http_target(http);
    struct cw_span body = cw_http_body(http);
    struct cw_span name = cw_http_host(http);

    cw_http_replyf(http, 200, "text/plain", "%.*s|%.*s|%.*s|%.*s", (int)field.len,
                   (const char *)field.data, (int)target.len, (const char *)target.data,
                   (int)body.len, (const char *)body.data, (int)name.len, (const char *)name.data);
}

static void answer_soon(struct cw_http_exchange *http, void *user)
{
    static struct cw_http_id id;

    id = cw_http_id(http);
    if (cw_conn_after(cw_http_conn(http), 1, 0, answer_by_views, &id) < 0) {
        cw_http_reply_error(http, 503, NULL);
    }
}

Test(http_breaker, who_answers_later_finds_the_whole_request_by_asking_again)
{
    struct cw_server *server = make_server(NULL);

    cw_http_route(server, "POST /views", answer_soon, NULL);
    struct rig_host *host = rig_host_start(server, NULL, NULL);
    char body[256];

    cr_assert_eq(http_get(rig_host_port(host, 0),
                          "POST /views?a=b HTTP/1.1\r\nHost: name\r\nX-A: value\r\nContent-Length: "
                          "4\r\n\r\nbody",
                          body, sizeof body),
                 200);
    cr_assert_str_eq(body, "value|/views?a=b|body|name");
    rig_host_end(host);
}

/* ---- memory that runs out anywhere ---- */

static atomic_uint entered;
static atomic_uint left;

static int enter(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    atomic_fetch_add(&entered, 1);
    return CW_HTTP_NEXT;
}

/* As a log does. */
static void leave(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot,
                  const struct cw_http_outcome *outcome)
{
    struct cw_span method = cw_http_method(http);
    struct cw_span field = cw_http_field(http, "x-a");

    rig_check(method.len == 0 || (method.len == 4 && memcmp(method.data, "POST", 4) == 0));
    rig_check(field.len == 0 || (field.len > 4000 && field.data[field.len - 1] == 'v'));
    atomic_fetch_add(&left, 1);
}

Test(http_breaker, a_request_is_still_readable_at_its_end_when_memory_runs_out)
{
    static struct cw_http_middleware log = {.name = "log", .on_request = enter, .on_done = leave};
    static char request[8192];
    char value[5001] = "";

    fault_install();
    struct cw_server *server = make_server(NULL);

    atomic_store(&entered, 0);
    atomic_store(&left, 0);
    cw_http_use(server, &log);
    cw_http_route(server, "POST /views", answer_soon, NULL);
    struct rig_host *host = rig_host_start(server, NULL, NULL);

    memset(value, 'v', sizeof value - 1);
    snprintf(request, sizeof request,
             "POST /views HTTP/1.1\r\nHost: name\r\nX-A: %s\r\nContent-Length: 4\r\n\r\nbody",
             value);
    for (size_t i = 1; i <= 20; i++) {
        struct rig_peer peer = rig_peer_tcp(rig_host_port(host, 0));
        char got[8192];

        fault_arm(i);
        rig_peer_send_text(&peer, request);
        (void)rig_peer_receive_some(&peer, got, sizeof got); /* an answer, or the end */
        fault_disarm();
        rig_peer_close(&peer);
    }
    rig_host_end(host);
    cr_assert_eq(atomic_load(&entered), atomic_load(&left));
    fault_remove();
}

/* ---- limits ---- */

static struct cw_http_id held;
static atomic_uint holding;

static void hold(struct cw_http_exchange *http, void *user)
{
    held = cw_http_id(http);
    atomic_fetch_add(&holding, 1);
}

Test(http_breaker, bodies_that_came_with_their_heads_count_as_held_too)
{
    struct cw_server *server = make_server(NULL);
    struct http_reply *reply = new_reply();
    static const char request[] =
        "POST /hold HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n12345678";

    atomic_store(&holding, 0);
    cw_http_configure(server, &(struct cw_http_options){.bodies_max_bytes = 10});
    cw_http_route(server, "POST /hold", hold, NULL);
    struct rig_host *host = rig_host_start(server, NULL, NULL);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));

    http_peer_send(&peer, request);
    rig_await(atomic_load(&holding) == 1);
    cr_assert_eq(http_get(rig_host_port(host, 0), request, NULL, 0), 503);
    cr_assert_eq(cw_http_reply_to(rig_host_server(host), held, 200, NULL, cw_span_text("")), 0);
    http_peer_read(&peer, reply, false);
    cr_assert_eq(reply->status, 200);
    cr_assert_eq(atomic_load(&holding), 1);
    free_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

/* ---- the server stops ---- */

static void odd_events(struct cw_http_exchange *http, void *user)
{
    cw_http_begin_events(http, NULL);
    cw_http_on_done(http, note_done, NULL);
}

Test(http_breaker, a_stop_ends_many_streams_of_events_and_each_is_told_once)
{
    enum { PEERS = 40 };
    struct cw_server *server = make_server(NULL);
    struct http_peer peers[PEERS];
    char line[64];

    cw_http_route(server, "GET /", odd_events, NULL);
    struct rig_host *host = rig_host_start(server, NULL, NULL);

    for (size_t i = 0; i < PEERS; i++) {
        peers[i] = http_peer_new(rig_host_port(host, 0));
        http_peer_send(&peers[i], GET("/") GET("/"));
        rig_peer_receive(&peers[i].peer, line, 15);
    }
    cr_assert_eq(rig_host_stop(host), 0);
    cr_assert_eq(atomic_load(&stage.done), PEERS);
    for (size_t i = 0; i < PEERS; i++) {
        (void)rig_peer_receive_all(&peers[i].peer);
        http_peer_close(&peers[i]);
    }
    rig_host_free(host);
}

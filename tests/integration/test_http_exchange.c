/* Requests and answers over real sockets: bodies both ways, keep-alive, deadlines, answers given later. */
#include "support/host.h"
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

TestSuite(http_exchange, .fini = rig_expect_no_leak, .timeout = 90);

enum { PULLED = 3000000 };

/* What the handlers and the test tell each other. */
struct stage {
    atomic_uint done;
    atomic_int done_code;
    atomic_int done_status;
    atomic_ullong bytes_in;
    atomic_ullong bytes_out;
    atomic_uint source_done;
    atomic_uint handled;
    atomic_uint drains;
    atomic_uint dropped;
    atomic_bool waiting;
    struct cw_http_id id;
    int error; /* of the call under test */
};

static struct stage stage;

static void note_done(struct cw_http_exchange *http, const struct cw_http_outcome *outcome,
                      void *user)
{
    atomic_store(&stage.done_code, outcome->code);
    atomic_store(&stage.done_status, outcome->status);
    atomic_store(&stage.bytes_in, outcome->bytes_in);
    atomic_store(&stage.bytes_out, outcome->bytes_out);
    rig_check(cw_http_on_done(http, note_done, NULL) == CW_ESTATE);
    atomic_fetch_add(&stage.done, 1);
}

/* ---- handlers ---- */

static void hello(struct cw_http_exchange *http, void *user)
{
    cw_http_on_done(http, note_done, NULL);
    cw_http_reply_text(http, 200, "Hello, world!");
}

static void echo(struct cw_http_exchange *http, void *user)
{
    atomic_fetch_add(&stage.handled, 1);
    cw_http_on_done(http, note_done, NULL);
    cw_http_reply(http, 200, "application/octet-stream", cw_http_body(http));
}

static void echo_piece(struct cw_http_exchange *http, struct cw_span piece, bool last, void *user)
{
    if (last) {
        struct cw_span trailer = cw_http_trailer(http, "X-Sum");

        if (trailer.data) {
            char value[64];

            cw_span_to_text(trailer, value, sizeof value);
            cw_http_add_trailer(http, "X-Sum", value);
        }
        cw_http_end(http);
    } else {
        cw_http_send(http, piece);
    }
}

static void echo_stream(struct cw_http_exchange *http, void *user)
{
    cw_http_on_done(http, note_done, NULL);
    cw_http_begin(http, 200, "application/octet-stream", cw_http_body_length(http));
    cw_http_read_body(http, echo_piece, NULL);
}

/* Answers without having asked for the body. */
static void uninterested(struct cw_http_exchange *http, void *user)
{
    cw_http_on_done(http, note_done, NULL);
    cw_http_reply_text(http, 200, "no, thanks");
}

static void keep_id(struct cw_http_exchange *http, void *user)
{
    cw_http_on_done(http, note_done, NULL);
    stage.id = cw_http_id(http);
    atomic_store(&stage.waiting, true);
}

struct pulled {
    size_t left;
    size_t at;
};

static ptrdiff_t pull(uint8_t *buffer, size_t cap, void *user)
{
    struct pulled *pulled = user;
    size_t n = pulled->left < cap ? pulled->left : cap;

    for (size_t i = 0; i < n; i++) {
        buffer[i] = (uint8_t)((pulled->at + i) % 251);
    }
    pulled->left -= n;
    pulled->at += n;
    return (ptrdiff_t)n;
}

static void pull_done(int code, void *user)
{
    free(user);
    atomic_fetch_add(&stage.source_done, 1);
}

static void reply_pulled(struct cw_http_exchange *http, uint64_t length)
{
    struct pulled *pulled = malloc(sizeof *pulled);

    *pulled = (struct pulled){PULLED, 0};
    cw_http_on_done(http, note_done, NULL);
    cw_http_reply_source(http, 200, "application/octet-stream", length, pull, pull_done, pulled);
}

static void pulled_with_length(struct cw_http_exchange *http, void *user)
{
    reply_pulled(http, PULLED);
}

static void pulled_in_chunks(struct cw_http_exchange *http, void *user)
{
    reply_pulled(http, CW_NO_LIMIT);
}

static void large(struct cw_http_exchange *http, void *user)
{
    struct pulled pulled = {PULLED, 0};
    uint8_t *body = malloc(PULLED);

    pull(body, PULLED, &pulled);
    cw_http_reply(http, 200, "application/octet-stream", cw_span_of(body, PULLED));
    free(body);
}

static void payload(struct cw_http_exchange *http, void *user)
{
    struct pulled pulled = {PULLED, 0};
    uint8_t *body = malloc(PULLED);
    struct cw_span part = cw_span_of(body, PULLED);
    struct cw_payload *made;

    pull(body, PULLED, &pulled);
    made = cw_payload_new(&part, 1);
    cw_http_reply_payload(http, 200, "application/octet-stream", made);
    cw_payload_drop(made);
    free(body);
}

static void file(struct cw_http_exchange *http, void *user)
{
    FILE *made = tmpfile();
    struct pulled pulled = {PULLED, 0};
    uint8_t *body = malloc(PULLED);
    struct cw_file_range range = {fileno(made), 1000, PULLED - 1000};

    pull(body, PULLED, &pulled);
    fwrite(body, 1, PULLED, made);
    fflush(made);
    if (cw_http_query(http, "few").data) {
        range = (struct cw_file_range){fileno(made), 1000, 500};
    }
    cw_http_reply_file(http, 200, "application/octet-stream", &range);
    fclose(made);
    free(body);
}

/* 4 MiB in pieces, as fast as the queue allows. */
static void push_on(struct cw_http_exchange *http, void *user)
{
    static const uint8_t piece[16384];
    size_t *left = cw_http_value(http, "left");

    while (*left > 0) {
        int full = cw_http_send(http, cw_span_of(piece, sizeof piece));

        if (full == CW_EFULL) {
            return;
        }
        *left -= sizeof piece;
        if (full == 1) {
            atomic_fetch_add(&stage.drains, 1);
            return;
        }
    }
    cw_http_end(http);
}

static void pushed(struct cw_http_exchange *http, void *user)
{
    size_t *left = cw_http_alloc(http, sizeof *left);

    *left = 4u << 20;
    cw_http_set_value(http, "left", left, NULL);
    cw_http_on_done(http, note_done, NULL);
    cw_http_begin(http, 200, "application/octet-stream", CW_NO_LIMIT);
    cw_http_on_drain(http, push_on, NULL);
    push_on(http, NULL);
}

static void nothing(struct cw_http_exchange *http, void *user)
{
    cw_http_set_field(http, "X-Kind", "nothing");
    cw_http_reply_empty(http, 204);
}

static void forgets(struct cw_http_exchange *http, void *user) {}

static void promises_more(struct cw_http_exchange *http, void *user)
{
    cw_http_on_done(http, note_done, NULL);
    cw_http_begin(http, 200, "text/plain", 100);
    cw_http_send(http, cw_span_text("ten bytes."));
    stage.error = cw_http_end(http);
}

static void drop_value(void *value)
{
    atomic_fetch_add(&stage.dropped, 1);
    free(value);
}

static void values(struct cw_http_exchange *http, void *user)
{
    cw_http_set_value(http, "a", strdup("first"), drop_value);
    cw_http_set_value(http, "a", strdup("second"), drop_value);
    cw_http_set_value(http, "b", strdup("third"), drop_value);
    cw_http_set_value(http, "b", cw_http_value(http, "b"), drop_value);
    cw_http_replyf(http, 200, "text/plain", "%s %s %s", (char *)cw_http_value(http, "a"),
                   (char *)cw_http_value(http, "b"), cw_http_value(http, "c") ? "?" : "none");
}

static void fields(struct cw_http_exchange *http, void *user)
{
    int errors = 0;

    errors += cw_http_set_field(http, "X-A", "one") != 0;
    errors += cw_http_add_field(http, "X-A", "two") != 0;
    errors += cw_http_set_field(http, "x-a", "three") != 0;
    errors += cw_http_set_field(http, "X-Gone", "x") != 0;
    errors += cw_http_set_field(http, "X-Gone", NULL) != 0;
    errors += cw_http_set_field(http, "X-Bad", "a\r\nSet-Cookie: b") != CW_EINVAL;
    errors += cw_http_set_field(http, "Bad Name", "a") != CW_EINVAL;
    errors += cw_http_set_field(http, "Content-Length", "3") != CW_EINVAL;
    errors += cw_http_set_field(http, "Transfer-Encoding", "chunked") != CW_EINVAL;
    errors += cw_http_set_field(http, "Connection", "close") != CW_EINVAL;
    errors += cw_http_add_to_list(http, "Vary", "Origin") != 0;
    errors += cw_http_add_to_list(http, "Vary", "Accept") != 0;
    errors += cw_http_add_to_list(http, "Vary", "origin") != 0;
    errors += cw_http_reply(http, 200, "text/plain\r\nX: y", cw_span_text("")) != CW_EINVAL;
    errors += cw_http_reply(http, 99, NULL, cw_span_text("")) != CW_EINVAL;
    errors += cw_http_redirect(http, 302, "/a\r\nX: y") != CW_EINVAL;
    cw_http_replyf(http, 200, "text/plain", "%d", errors);
    errors = cw_http_reply_text(http, 200, "again") != CW_ESTATE ||
             cw_http_set_field(http, "X-Late", "x") != CW_ESTATE;
    stage.error = errors;
}

static void redirect(struct cw_http_exchange *http, void *user)
{
    cw_http_redirect(http, 303, "/elsewhere?a=b");
}

static void teapot(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_error(http, 418, "short and \"stout\"");
}

/* ---- the server ---- */

static void add_routes(struct cw_server *server)
{
    static const struct cw_http_route_options stream = {.stream = true,
                                                        .body_max_bytes = CW_NO_LIMIT};
    static const struct cw_http_route_options brief = {.response_ms = 300};

    cw_http_route(server, "GET /", hello, NULL);
    cw_http_route(server, "POST /echo", echo, NULL);
    cw_http_route_with(server, "POST /stream", echo_stream, NULL, &stream);
    cw_http_route_with(server, "POST /uninterested", uninterested, NULL, &stream);
    cw_http_route(server, "GET /later", keep_id, NULL);
    cw_http_route_with(server, "GET /brief", keep_id, NULL, &brief);
    cw_http_route(server, "GET /pulled", pulled_with_length, NULL);
    cw_http_route(server, "GET /chunks", pulled_in_chunks, NULL);
    cw_http_route(server, "GET /large", large, NULL);
    cw_http_route(server, "GET /payload", payload, NULL);
    cw_http_route(server, "GET /file", file, NULL);
    cw_http_route(server, "GET /pushed", pushed, NULL);
    cw_http_route(server, "GET /nothing", nothing, NULL);
    cw_http_route(server, "GET /forgets", forgets, NULL);
    cw_http_route(server, "GET /more", promises_more, NULL);
    cw_http_route(server, "GET /values", values, NULL);
    cw_http_route(server, "GET /fields", fields, NULL);
    cw_http_route(server, "GET /redirect", redirect, NULL);
    cw_http_route(server, "GET /teapot", teapot, NULL);
}

static struct rig_host *begin(const struct cw_http_options *options)
{
    struct cw_server *server = cw_create_server(&cw_http);

    memset(&stage, 0, sizeof stage);
    cw_log_set_level(getenv("CW_TEST_LOG") ? CW_LOG_DEBUG : CW_LOG_SILENT);
    if (options) {
        cw_http_configure(server, options);
    }
    add_routes(server);
    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1",
                                                         .tcp = {.send_buffer_bytes = 65536}});
    return rig_host_start(server, NULL, NULL);
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

static bool is_pattern(const struct http_reply *reply, size_t from, size_t len)
{
    bool same = reply->body_len == len;

    for (size_t i = 0; i < len && same; i++) {
        same = reply->body[i] == (uint8_t)((from + i) % 251);
    }
    return same;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

/* ---- bodies of answers ---- */

Test(http_exchange, a_connection_serves_one_request_after_the_other)
{
    struct rig_host *host = begin(NULL);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();

    for (int i = 0; i < 3; i++) {
        http_peer_ask(&peer, GET("/"), reply);
        cr_assert_eq(reply->status, 200);
        cr_assert_str_eq((char *)reply->body, "Hello, world!");
        cr_assert_str_eq(http_reply_field(reply, "Content-Type"), "text/plain; charset=utf-8");
        cr_assert_str_eq(http_reply_field(reply, "Content-Length"), "13");
        cr_assert_str_eq(http_reply_field(reply, "Connection"), "");
        cr_assert_eq(strlen(http_reply_field(reply, "Date")), 29);
        http_reply_release(reply);
    }
    rig_await(atomic_load(&stage.done) == 3);
    cr_assert_eq(atomic_load(&stage.bytes_out), 13);
    free_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

Test(http_exchange, requests_in_a_row_are_answered_in_their_order)
{
    struct rig_host *host = begin(NULL);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();

    http_peer_send(&peer,
                   GET("/") "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" GET(
                       "/later") GET("/nothing") GET("/"));
    http_peer_read(&peer, reply, false);
    cr_assert_str_eq((char *)reply->body, "Hello, world!");
    http_reply_release(reply);
    http_peer_read(&peer, reply, false);
    cr_assert_str_eq((char *)reply->body, "abc");
    http_reply_release(reply);
    rig_await(atomic_load(&stage.waiting));
    cr_assert_eq(
        cw_http_reply_to(rig_host_server(host), stage.id, 200, "text/plain", cw_span_text("now")),
        0);
    http_peer_read(&peer, reply, false);
    cr_assert_str_eq((char *)reply->body, "now");
    http_reply_release(reply);
    http_peer_read(&peer, reply, false);
    cr_assert_eq(reply->status, 204);
    http_reply_release(reply);
    http_peer_read(&peer, reply, false);
    cr_assert_str_eq((char *)reply->body, "Hello, world!");
    free_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

static void expect_pattern(struct rig_host *host, const char *request, size_t from, size_t len)
{
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();

    http_peer_ask(&peer, request, reply);
    cr_assert_eq(reply->status, 200);
    cr_assert(is_pattern(reply, from, len), "%s: %zu bytes", request, reply->body_len);
    http_reply_release(reply);
    http_peer_ask(&peer, GET("/"), reply); /* the connection lives on */
    cr_assert_eq(reply->status, 200);
    free_reply(reply);
    http_peer_close(&peer);
}

Test(http_exchange, bodies_of_any_size_arrive_whatever_they_come_from)
{
    struct rig_host *host = begin(NULL);

    expect_pattern(host, GET("/large"), 0, PULLED);
    expect_pattern(host, GET("/payload"), 0, PULLED);
    expect_pattern(host, GET("/pulled"), 0, PULLED);
    expect_pattern(host, GET("/chunks"), 0, PULLED);
    expect_pattern(host, GET("/file"), 1000, PULLED - 1000);
    expect_pattern(host, GET("/file?few"), 1000, 500);
    cr_assert_eq(atomic_load(&stage.source_done), 2);
    rig_host_end(host);
}

Test(http_exchange, http_1_0_gets_no_chunks_and_the_end_of_the_connection_ends_the_body)
{
    struct rig_host *host = begin(NULL);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();

    http_peer_ask(&peer, "GET /chunks HTTP/1.0\r\n\r\n", reply);
    cr_assert(is_pattern(reply, 0, PULLED));
    cr_assert_not(reply->chunked);
    cr_assert_str_eq(http_reply_field(reply, "Connection"), "close");
    free_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

Test(http_exchange, http_1_0_is_kept_alive_only_when_it_asks)
{
    struct rig_host *host = begin(NULL);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();

    http_peer_ask(&peer, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", reply);
    cr_assert_str_eq(http_reply_field(reply, "Connection"), "keep-alive");
    http_reply_release(reply);
    http_peer_ask(&peer, "GET / HTTP/1.0\r\n\r\n", reply);
    cr_assert_str_eq(http_reply_field(reply, "Connection"), "close");
    http_peer_expect_end(&peer);
    free_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

Test(http_exchange, head_is_told_the_length_and_gets_no_body)
{
    struct rig_host *host = begin(NULL);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();

    http_peer_ask(&peer, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", reply);
    cr_assert_str_eq(http_reply_field(reply, "Content-Length"), "13");
    http_reply_release(reply);
    http_peer_ask(&peer, "HEAD /pulled HTTP/1.1\r\nHost: a\r\n\r\n", reply);
    cr_assert_str_eq(http_reply_field(reply, "Content-Length"), "3000000");
    http_reply_release(reply);
    http_peer_ask(&peer, "HEAD /pushed HTTP/1.1\r\nHost: a\r\n\r\n", reply);
    cr_assert_eq(reply->status, 200);
    http_reply_release(reply);
    http_peer_ask(&peer, "HEAD /file HTTP/1.1\r\nHost: a\r\n\r\n", reply);
    cr_assert_str_eq(http_reply_field(reply, "Content-Length"), "2999000");
    http_reply_release(reply);
    http_peer_ask(&peer, GET("/"), reply);
    cr_assert_str_eq((char *)reply->body, "Hello, world!");
    cr_assert_eq(atomic_load(&stage.source_done), 1);
    free_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

Test(http_exchange, an_answer_in_pieces_waits_for_a_slow_reader)
{
    struct rig_host *host = begin(NULL);
    struct http_peer peer = {
        .peer = rig_peer_tcp_from(NULL, "127.0.0.1", rig_host_port(host, 0), 4096)};
    struct http_reply *reply = new_reply();

    http_peer_ask(&peer, GET("/pushed"), reply);
    cr_assert_eq(reply->body_len, 4u << 20);
    cr_assert(reply->chunked);
    cr_assert_gt(atomic_load(&stage.drains), 1);
    free_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

Test(http_exchange, an_answer_shorter_than_it_promised_breaks_the_connection)
{
    struct rig_host *host = begin(NULL);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));

    http_peer_send(&peer, GET("/more"));
    rig_peer_expect_reset(&peer.peer);
    rig_await(atomic_load(&stage.done) == 1);
    cr_assert_eq(atomic_load(&stage.done_code), CW_ETRUNCATED);
    cr_assert_eq(stage.error, CW_ETRUNCATED);
    http_peer_close(&peer);
    rig_host_end(host);
}

Test(http_exchange, fields_are_set_replaced_and_judged)
{
    struct rig_host *host = begin(NULL);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();

    http_peer_ask(&peer, GET("/fields"), reply);
    cr_assert_str_eq((char *)reply->body, "0");
    cr_assert_str_eq(http_reply_field(reply, "x-a"), "three");
    cr_assert_str_eq(http_reply_field(reply, "X-Gone"), "");
    cr_assert_str_eq(http_reply_field(reply, "Vary"), "Origin, Accept");
    cr_assert_null(strstr(reply->head, "Set-Cookie"));
    http_reply_release(reply);
    http_peer_ask(&peer, GET("/redirect"), reply);
    cr_assert_eq(reply->status, 303);
    cr_assert_eq(stage.error, 0);
    cr_assert_str_eq(http_reply_field(reply, "Location"), "/elsewhere?a=b");
    free_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

Test(http_exchange, an_error_is_text_or_json_as_the_request_asks)
{
    struct rig_host *host = begin(NULL);
    char body[256];
    uint16_t port = rig_host_port(host, 0);

    cr_assert_eq(http_get(port, GET("/teapot"), body, sizeof body), 418);
    cr_assert_not_null(strstr(body, "short and \"stout\""));
    cr_assert_eq(http_get(port,
                          "GET /teapot HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n",
                          body, sizeof body),
                 418);
    cr_assert_not_null(strstr(body, "\"message\":\"short and \\\"stout\\\"\""));
    cr_assert_eq(http_get(port, GET("/nowhere"), body, sizeof body), 404);
    rig_host_end(host);
}

Test(http_exchange, a_handler_that_forgets_to_answer_is_answered_for)
{
    struct rig_host *host = begin(NULL);

    cr_assert_eq(http_get(rig_host_port(host, 0), GET("/forgets"), NULL, 0), 500);
    rig_host_end(host);
}

Test(http_exchange, values_live_as_long_as_the_exchange)
{
    struct rig_host *host = begin(NULL);
    char body[64];

    cr_assert_eq(http_get(rig_host_port(host, 0), GET("/values"), body, sizeof body), 200);
    cr_assert_str_eq(body, "second third none");
    rig_await(atomic_load(&stage.dropped) == 3);
    rig_host_end(host);
}

/* ---- bodies of requests ---- */

static char *post(const char *path, const char *fields, const char *body, size_t len, size_t *total)
{
    size_t cap = len + 512;
    char *request = malloc(cap);
    int head = snprintf(request, cap, "POST %s HTTP/1.1\r\nHost: a\r\n%s\r\n", path, fields);

    memcpy(request + head, body, len);
    *total = (size_t)head + len;
    return request;
}

/* Sends while it reads, as a client has to that posts more than the buffers hold. */
struct sending {
    struct rig_peer *peer;
    const char *data;
    size_t len;
};

static void *send_all(void *arg)
{
    struct sending *sending = arg;

    rig_peer_send(sending->peer, sending->data, sending->len);
    return NULL;
}

static void expect_echo(struct rig_host *host, const char *path, const char *fields,
                        const char *body, size_t len, size_t expected)
{
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();
    size_t total;
    char *request = post(path, fields, body, len, &total);
    struct sending sending = {&peer.peer, request, total};
    pthread_t thread;

    pthread_create(&thread, NULL, send_all, &sending);
    http_peer_read(&peer, reply, false);
    pthread_join(thread, NULL);
    cr_assert_eq(reply->status, 200, "%s: %d", path, reply->status);
    cr_assert_eq(reply->body_len, expected);
    http_reply_release(reply);
    http_peer_ask(&peer, GET("/"), reply);
    cr_assert_eq(reply->status, 200);
    free_reply(reply);
    free(request);
    http_peer_close(&peer);
}

Test(http_exchange, a_body_comes_back_whole_or_in_pieces)
{
    struct rig_host *host = begin(NULL);
    size_t len = 1048576;
    char *body = calloc(1, len);

    expect_echo(host, "/echo", "Content-Length: 5\r\n", "hello", 5, 5);
    expect_echo(host, "/echo", "Content-Length: 0\r\n", "", 0, 0);
    expect_echo(host, "/echo", "", "", 0, 0);
    expect_echo(host, "/echo", "Content-Length: 1048576\r\n", body, len, len);
    expect_echo(host, "/stream", "Content-Length: 1048576\r\n", body, len, len);
    expect_echo(host, "/stream", "Content-Length: 0\r\n", "", 0, 0);
    expect_echo(host, "/stream", "", "", 0, 0);
    expect_echo(host, "/echo", "Transfer-Encoding: chunked\r\n",
                "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", 24, 5);
    expect_echo(host, "/stream", "Transfer-Encoding: chunked\r\n",
                "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", 24, 5);
    free(body);
    rig_host_end(host);
}

Test(http_exchange, trailers_are_read_and_sent)
{
    struct rig_host *host = begin(NULL);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();

    http_peer_ask(&peer,
                  "POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "3\r\nabc\r\n0\r\nX-Sum: 42\r\nContent-Length: 99\r\n\r\n",
                  reply);
    cr_assert_str_eq((char *)reply->body, "abc");
    cr_assert_str_eq(reply->trailers, "X-Sum: 42\r\n");
    free_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

Test(http_exchange, a_body_over_the_limit_is_refused_at_the_head_and_at_the_chunk)
{
    struct rig_host *host = begin(&(struct cw_http_options){.body_max_bytes = 10});
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();

    expect_echo(host, "/echo", "Content-Length: 10\r\n", "0123456789", 10, 10);
    http_peer_ask(&peer, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", reply);
    cr_assert_eq(reply->status, 413);
    cr_assert_str_eq(http_reply_field(reply, "Connection"), "close");
    http_peer_expect_end(&peer);
    http_peer_close(&peer);
    http_reply_release(reply);
    peer = http_peer_new(rig_host_port(host, 0));
    http_peer_ask(&peer,
                  "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "5\r\n01234\r\n6\r\n",
                  reply);
    cr_assert_eq(reply->status, 413);
    http_peer_expect_end(&peer);
    cr_assert_eq(atomic_load(&stage.handled), 1);
    free_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

Test(http_exchange, whole_bodies_together_are_bounded)
{
    struct rig_host *host = begin(&(struct cw_http_options){.bodies_max_bytes = 10000});
    struct http_peer first = http_peer_new(rig_host_port(host, 0));
    struct http_peer second = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();
    char *bytes = calloc(1, 8001);
    char part[8001];

    memset(part, 'x', 8000);
    part[8000] = '\0';
    http_peer_send(&first, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n");
    http_peer_send(&first, part);
    rig_await(rig_peer_has_arrived(&first.peer));
    http_peer_send(&second, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n");
    http_peer_send(&second, part);
    http_peer_read(&second, reply, false);
    cr_assert_eq(reply->status, 503);
    http_reply_release(reply);
    part[1000] = '\0';
    http_peer_send(&first, part);
    http_peer_read(&first, reply, false);
    cr_assert_eq(reply->status, 200);
    cr_assert_eq(reply->body_len, 9000);
    free(bytes);
    free_reply(reply);
    http_peer_close(&first);
    http_peer_close(&second);
    rig_host_end(host);
}

Test(http_exchange, continue_is_said_only_when_the_body_is_wanted)
{
    struct rig_host *host = begin(&(struct cw_http_options){.body_max_bytes = 10});
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();

    http_peer_ask(&peer,
                  "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
                  "3\r\n\r\n",
                  reply);
    cr_assert_eq(reply->status, 100);
    http_reply_release(reply);
    http_peer_ask(&peer, "abc", reply);
    cr_assert_eq(reply->status, 200);
    cr_assert_str_eq((char *)reply->body, "abc");
    http_reply_release(reply);
    http_peer_ask(&peer,
                  "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
                  "30\r\n\r\n",
                  reply);
    cr_assert_eq(reply->status, 413);
    cr_assert_str_eq(http_reply_field(reply, "Connection"), "close");
    http_peer_expect_end(&peer);
    http_peer_close(&peer);
    http_reply_release(reply);
    peer = http_peer_new(rig_host_port(host, 0));
    http_peer_ask(&peer,
                  "POST /uninterested HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                  "Content-Length: 3\r\n\r\n",
                  reply);
    cr_assert_eq(reply->status, 200);
    cr_assert_str_eq(http_reply_field(reply, "Connection"), "close");
    http_peer_close(&peer);
    http_reply_release(reply);
    peer = http_peer_new(rig_host_port(host, 0));
    http_peer_ask(
        &peer, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: a-miracle\r\nContent-Length: 3\r\n\r\n",
        reply);
    cr_assert_eq(reply->status, 417);
    free_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

Test(http_exchange, a_body_nobody_wants_is_read_for_nothing_or_the_connection_ends)
{
    struct rig_host *host = begin(&(struct cw_http_options){.discard_max_bytes = 1000});
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();
    char body[1002] = {0};

    memset(body, 'x', 1000);
    http_peer_send(&peer, "POST /uninterested HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
    http_peer_read(&peer, reply, false);
    cr_assert_str_eq((char *)reply->body, "no, thanks");
    cr_assert_str_eq(http_reply_field(reply, "Connection"), "");
    http_reply_release(reply);
    http_peer_send(&peer, body);
    http_peer_ask(&peer, GET("/"), reply);
    cr_assert_str_eq((char *)reply->body, "Hello, world!");
    http_reply_release(reply);
    http_peer_ask(&peer, "POST /uninterested HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n",
                  reply);
    cr_assert_str_eq(http_reply_field(reply, "Connection"), "close");
    http_peer_expect_end(&peer);
    free_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

/* ---- later ---- */

Test(http_exchange, a_peer_that_is_gone_is_found_out_by_the_id)
{
    struct rig_host *host = begin(NULL);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));

    http_peer_send(&peer, GET("/later"));
    rig_await(atomic_load(&stage.waiting));
    rig_peer_reset(&peer.peer);
    rig_await(atomic_load(&stage.done) == 1);
    cr_assert_eq(cw_http_reply_to(rig_host_server(host), stage.id, 200, NULL, cw_span_text("x")), 0);
    cr_assert_eq(cw_http_reply_to(rig_host_server(host), stage.id, 99, NULL, cw_span_text("x")),
                 CW_EINVAL);
    cr_assert_neq(atomic_load(&stage.done_code), 0);
    cr_assert_eq(atomic_load(&stage.done_status), 0);
    http_peer_close(&peer);
    rig_host_end(host);
}

Test(http_exchange, an_answer_that_does_not_come_in_time_is_503)
{
    struct rig_host *host = begin(NULL);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();

    http_peer_ask(&peer, GET("/brief"), reply);
    cr_assert_eq(reply->status, 503);
    http_peer_expect_end(&peer);
    free_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

Test(http_exchange, a_peer_that_has_ended_its_input_is_still_answered)
{
    struct rig_host *host = begin(NULL);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();

    http_peer_send(&peer, GET("/later"));
    rig_await(atomic_load(&stage.waiting));
    rig_peer_shut(&peer.peer);
    cw_http_reply_to(rig_host_server(host), stage.id, 200, "text/plain", cw_span_text("still"));
    http_peer_read(&peer, reply, false);
    cr_assert_str_eq((char *)reply->body, "still");
    http_peer_expect_end(&peer);
    http_peer_close(&peer);
    http_reply_release(reply);
    peer = http_peer_new(rig_host_port(host, 0));
    http_peer_send(&peer, GET("/pulled"));
    rig_peer_shut(&peer.peer);
    http_peer_read(&peer, reply, false);
    cr_assert(is_pattern(reply, 0, PULLED));
    http_peer_expect_end(&peer);
    free_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

Test(http_exchange, a_stop_lets_a_request_finish)
{
    struct rig_host *host = begin(NULL);
    struct http_peer idle = http_peer_new(rig_host_port(host, 0));
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();

    http_peer_ask(&idle, GET("/"), reply);
    http_reply_release(reply);
    http_peer_send(&peer, GET("/later"));
    rig_await(atomic_load(&stage.waiting));
    cw_server_stop(rig_host_server(host));
    http_peer_expect_end(&idle);
    cr_assert(cw_server_is_stopping(rig_host_server(host)));
    cw_http_reply_to(rig_host_server(host), stage.id, 200, "text/plain", cw_span_text("last"));
    http_peer_read(&peer, reply, false);
    cr_assert_str_eq((char *)reply->body, "last");
    cr_assert_str_eq(http_reply_field(reply, "Connection"), "close");
    http_peer_expect_end(&peer);
    cr_assert_eq(rig_host_join(host), 0);
    rig_host_free(host);
    free_reply(reply);
    http_peer_close(&idle);
    http_peer_close(&peer);
}

/* ---- deadlines and limits ---- */

Test(http_exchange, a_head_that_is_not_whole_in_time_is_408)
{
    struct rig_host *host = begin(&(struct cw_http_options){.head_ms = 300});
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();

    http_peer_ask(&peer, "GET / HTTP/1.1\r\nHos", reply);
    cr_assert_eq(reply->status, 408);
    http_peer_expect_end(&peer);
    free_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

Test(http_exchange, a_connection_without_a_request_is_closed_without_a_word)
{
    struct rig_host *host = begin(&(struct cw_http_options){.head_ms = 300, .keep_alive_ms = 300});
    struct http_peer silent = http_peer_new(rig_host_port(host, 0));
    struct http_peer kept = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();

    http_peer_ask(&kept, GET("/"), reply);
    http_peer_expect_end(&silent);
    http_peer_expect_end(&kept);
    free_reply(reply);
    http_peer_close(&silent);
    http_peer_close(&kept);
    rig_host_end(host);
}

Test(http_exchange, a_body_that_stops_is_408)
{
    struct rig_host *host = begin(&(struct cw_http_options){.body_ms = 300});
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();

    http_peer_ask(&peer, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", reply);
    cr_assert_eq(reply->status, 408);
    http_peer_expect_end(&peer);
    free_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

Test(http_exchange, a_body_that_trickles_is_408)
{
    struct rig_host *host =
        begin(&(struct cw_http_options){.body_ms = 1000, .body_rate_min = 100000});
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();
    uint8_t byte = 'x';

    http_peer_send(&peer, "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    while (rig_peer_try_send(&peer.peer, &byte, 1) == 1) {
        struct timespec rest = {0, 50000000};
        uint8_t first;

        nanosleep(&rest, NULL);
        if (recv(peer.peer.fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) > 0) {
            break;
        }
    }
    http_peer_read(&peer, reply, false);
    cr_assert_eq(reply->status, 408);
    free_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

Test(http_exchange, time_in_which_nothing_is_read_does_not_slow_a_body_down)
{
    struct rig_host *host =
        begin(&(struct cw_http_options){.body_ms = 1000, .body_rate_min = 2000000});
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();
    const struct timespec rest = {4, 0};
    size_t len = 8u << 20;
    char *body = calloc(1, len);
    size_t total;
    char *request = post("/stream", "Content-Length: 8388608\r\n", body, len, &total);
    struct sending sending = {&peer.peer, request, total};
    pthread_t thread;

    pthread_create(&thread, NULL, send_all, &sending);
    nanosleep(&rest, NULL); /* its echo fills the queue, and so no more of it is read */
    http_peer_read(&peer, reply, false);
    pthread_join(thread, NULL);
    cr_assert_eq(reply->status, 200);
    cr_assert_eq(reply->body_len, len);
    free(request);
    free(body);
    free_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

Test(http_exchange, a_connection_serves_no_more_requests_than_it_may)
{
    struct rig_host *host = begin(&(struct cw_http_options){.requests_max = 2});
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *reply = new_reply();

    http_peer_ask(&peer, GET("/"), reply);
    cr_assert_str_eq(http_reply_field(reply, "Connection"), "");
    http_reply_release(reply);
    http_peer_ask(&peer, GET("/") GET("/"), reply);
    cr_assert_str_eq(http_reply_field(reply, "Connection"), "close");
    http_peer_expect_end(&peer);
    free_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

Test(http_exchange, the_server_s_name_is_told_by_every_answer)
{
    static const char *const requests[] = {GET("/"), GET("/nowhere"), "GET / HTTP/1.1\r\n\r\n"};
    struct rig_host *host = begin(&(struct cw_http_options){.server_name = "example/1"});
    struct http_reply *reply = new_reply();

    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        struct http_peer peer = http_peer_new(rig_host_port(host, 0));

        http_peer_ask(&peer, requests[i], reply);
        cr_assert_str_eq(http_reply_field(reply, "Server"), "example/1", "%s", requests[i]);
        http_reply_release(reply);
        http_peer_close(&peer);
    }
    free(reply);
    rig_host_end(host);
}

Test(http_exchange, heads_over_a_limit_are_told_which)
{
    struct rig_host *host = begin(&(struct cw_http_options){
        .head_max_bytes = 1000, .target_max_bytes = 100, .fields_max = 5});
    uint16_t port = rig_host_port(host, 0);
    char request[2000];
    char filler[1001];

    memset(filler, 'x', sizeof filler);
    snprintf(request, sizeof request, "GET /%.*s HTTP/1.1\r\nHost: a\r\n\r\n", 100, filler);
    cr_assert_eq(http_get(port, request, NULL, 0), 414);
    snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: a\r\nX: %.*s\r\n\r\n", 1000, filler);
    cr_assert_eq(http_get(port, request, NULL, 0), 431);
    cr_assert_eq(http_get(port, "GET / HTTP/1.1\r\nHost: a\r\na: b\r\na: b\r\na: b\r\na: b\r\n\r\n",
                          NULL, 0),
                 200);
    cr_assert_eq(http_get(port,
                          "GET / HTTP/1.1\r\nHost: a\r\na: b\r\na: b\r\na: b\r\na: b\r\na: "
                          "b\r\n\r\n",
                          NULL, 0),
                 431);
    rig_host_end(host);
}

/* ---- heads that come again ---- */

Test(http_exchange, a_head_that_comes_again_has_the_same_answer)
{
    static const char *const requests[] = {
        GET("/"),
        GET("/nowhere/at/all/at/all"),
        "PUT / HTTP/1.1\r\nHost: a\r\nX-Long: enough to be remembered\r\n\r\n",
        "GET /file?few=1 HTTP/1.1\r\nHost: example.org:8080\r\nAccept: */*\r\n\r\n",
        "HEAD /pulled HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ("POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n"),
        "GET /teapot HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    };
    struct rig_host *host = begin(NULL);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    struct http_reply *first = new_reply();
    struct http_reply *reply = new_reply();

    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        http_peer_ask(&peer, requests[i], first);
        for (int again = 0; again < 3; again++) {
            http_peer_ask(&peer, requests[i], reply);
            cr_assert_eq(reply->status, first->status, "%s", requests[i]);
            cr_assert_eq(reply->body_len, first->body_len, "%s", requests[i]);
            cr_assert_arr_eq(reply->body, first->body, first->body_len);
            cr_assert_str_eq(reply->trailers, first->trailers);
            cr_assert_str_eq(http_reply_field(reply, "Connection"),
                             http_reply_field(first, "Connection"));
            cr_assert_str_eq(http_reply_field(reply, "Allow"), http_reply_field(first, "Allow"));
            http_reply_release(reply);
        }
        http_reply_release(first);
    }
    free(first);
    free(reply);
    http_peer_close(&peer);
    rig_host_end(host);
}

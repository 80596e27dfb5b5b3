/* What middleware of HTTP may do, and what it is told: bodies before handlers, answers changed on their way, limits, ends. */
#include "support/host.h"
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/http_middleware.h>
#include <causeway/parts.h>
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(http_middleware, .fini = rig_expect_no_leak, .timeout = 90);

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define POST(path, fields, body) "POST " path " HTTP/1.1\r\nHost: a\r\n" fields "\r\n" body

enum { FILE_LEN = 100000 };

/* What the loop's thread tells the test. */
static struct {
    atomic_uint asked;
    atomic_uint replies;
    atomic_uint done;
    atomic_int code;
    atomic_int status;
    atomic_ullong bytes_out;
    atomic_uint handled;
    atomic_uint last_pieces;
    atomic_uint refused;
    atomic_int refused_status;
    atomic_int results[3];
    char prefixes[100];
    struct cw_http_id id;
    FILE *file;
} seen;

static struct cw_http_middleware *self_later;

/* ---- a middleware whose functions each test chooses ---- */

static void count_done(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot,
                       const struct cw_http_outcome *outcome)
{
    atomic_store(&seen.code, outcome->code);
    atomic_store(&seen.status, outcome->status);
    atomic_store(&seen.bytes_out, outcome->bytes_out);
    atomic_fetch_add(&seen.done, 1);
}

static void count_reply(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    atomic_fetch_add(&seen.replies, 1);
}

static void free_it(struct cw_http_middleware *self)
{
    free(self);
}

static struct cw_http_middleware *make(struct cw_http_middleware table)
{
    struct cw_http_middleware *made = malloc(sizeof *made);

    rig_check(made != NULL);
    *made = table;
    made->name = "under test";
    made->release = free_it;
    made->on_done = made->on_done ? made->on_done : count_done;
    return made;
}

/* ---- handlers ---- */

static void say_body(struct cw_http_exchange *http, void *user)
{
    atomic_fetch_add(&seen.handled, 1);
    cw_http_reply(http, 200, "text/plain", cw_http_body(http));
}

static void stream_piece(struct cw_http_exchange *http, struct cw_span piece, bool last, void *user)
{
    if (last) {
        cw_http_end(http);
    } else {
        cw_http_send(http, piece);
    }
}

static void stream_back(struct cw_http_exchange *http, void *user)
{
    atomic_fetch_add(&seen.handled, 1);
    rig_check(cw_http_body(http).len == 0);
    cw_http_begin(http, 200, "text/plain", CW_NO_LIMIT);
    cw_http_read_body(http, stream_piece, NULL);
}

static void say_pieces(struct cw_http_exchange *http, void *user)
{
    cw_http_begin(http, 200, "text/plain", 6);
    cw_http_send(http, cw_span_text("abc"));
    cw_http_send(http, cw_span_text("def"));
    cw_http_end(http);
}

static ptrdiff_t pull(uint8_t *buffer, size_t cap, void *user)
{
    size_t *left = user;
    size_t n = *left < cap ? *left : cap;

    memset(buffer, 'x', n);
    *left -= n;
    return (ptrdiff_t)n;
}

static void say_source(struct cw_http_exchange *http, void *user)
{
    size_t *left = cw_http_alloc(http, sizeof *left);

    *left = FILE_LEN;
    cw_http_reply_source(http, 200, "text/plain", FILE_LEN, pull, NULL, left);
}

static void say_file(struct cw_http_exchange *http, void *user)
{
    struct cw_file_range range = {.fd = fileno(seen.file), .len = FILE_LEN};

    cw_http_reply_file(http, 200, "text/plain", &range);
}

static void take_id(struct cw_http_exchange *http, void *user)
{
    (void)cw_http_id(http);
}

static void vary(struct cw_http_exchange *http, void *user)
{
    cw_http_add_field(http, "Vary", "Accept");
    cw_http_add_field(http, "Vary", "Cookie");
    cw_http_add_to_list(http, "Vary", "Origin");
    cw_http_add_to_list(http, "Vary", "cookie");
    cw_http_add_to_list(http, "Allow", "GET");
    cw_http_add_to_list(http, "Allow", "PUT");
    cw_http_reply_text(http, 200, "");
}

static struct rig_host *begin(struct cw_http_middleware *first, struct cw_http_middleware *second)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    seen.file = tmpfile();
    rig_check(seen.file != NULL);
    rig_check(ftruncate(fileno(seen.file), FILE_LEN) == 0);
    if (first) {
        cw_http_use(server, first);
    }
    if (second) {
        cw_http_use(server, second);
    }
    cw_http_route(server, "GET|POST /", say_body, NULL);
    cw_http_route_with(server, "POST /stream", stream_back, NULL,
                       &(struct cw_http_route_options){.stream = true});
    cw_http_route_with(server, "POST /small", say_body, NULL,
                       &(struct cw_http_route_options){.body_max_bytes = 4});
    cw_http_route(server, "GET /pieces", say_pieces, NULL);
    cw_http_route(server, "GET /source", say_source, NULL);
    cw_http_route(server, "GET /file", say_file, NULL);
    cw_http_route(server, "GET /vary", vary, NULL);
    cw_http_route_with(server, "GET /never", take_id, NULL,
                       &(struct cw_http_route_options){.response_ms = 50});
    return rig_host_start(server, NULL, NULL);
}

static void end(struct rig_host *host)
{
    rig_host_end(host);
    fclose(seen.file);
}

/* On a connection of its own. */
static struct http_reply *ask(struct rig_host *host, const char *request)
{
    struct http_reply *reply = calloc(1, sizeof *reply);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));

    http_peer_ask(&peer, request, reply);
    http_peer_close(&peer);
    return reply;
}

static void drop_reply(struct http_reply *reply)
{
    http_reply_release(reply);
    free(reply);
}

static void expect_answer(struct rig_host *host, const char *request, int status, const char *body)
{
    struct http_reply *reply = ask(host, request);

    cr_expect_eq(reply->status, status, "%s: %d", request, reply->status);
    if (body) {
        cr_expect_str_eq((const char *)reply->body, body, "%s", request);
    }
    drop_reply(reply);
}

/* ---- the body before the handler ---- */

static int need_body(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    int *calls = slot;
    int verdict = cw_http_need_body(http);

    atomic_fetch_add(&seen.asked, 1);
    rig_check(++*calls == 1 || verdict == CW_HTTP_NEXT);
    if (*calls == 2) {
        rig_check(cw_span_equal(cw_http_body(http), cw_span_text("hello")));
        atomic_store(&seen.results[0], cw_http_set_body_max(http, 1));
    }
    return verdict;
}

static struct rig_host *begin_with_bodies(void)
{
    return begin(
        make((struct cw_http_middleware){.slot_size = sizeof(int), .on_request = need_body}), NULL);
}

Test(http_middleware, a_body_that_is_needed_is_there_when_on_request_is_called_again)
{
    static const char *const requests[] = {
        POST("/", "Content-Length: 5\r\n", "hello"),
        POST("/", "Transfer-Encoding: chunked\r\n", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
    };
    struct rig_host *host = begin_with_bodies();

    for (unsigned i = 0; i < 2; i++) {
        struct http_peer peer = http_peer_new(rig_host_port(host, 0));
        struct http_reply *reply = calloc(1, sizeof *reply);

        expect_answer(host, requests[i], 200, "hello");
        rig_peer_send_slowly(&peer.peer, requests[i], strlen(requests[i]), 1 + 10 * i);
        http_peer_read(&peer, reply, false);
        cr_expect_str_eq((const char *)reply->body, "hello");
        drop_reply(reply);
        http_peer_close(&peer);
    }
    rig_await(atomic_load(&seen.done) == 4);
    cr_expect_eq(atomic_load(&seen.asked), 8);
    cr_expect_eq(atomic_load(&seen.handled), 4);
    cr_expect_eq(atomic_load(&seen.results[0]), CW_ESTATE,
                 "a body that has been read has its limit");
    end(host);
}

Test(http_middleware, without_a_body_and_for_routes_that_stream_there_is_none_to_wait_for)
{
    struct rig_host *host = begin_with_bodies();

    expect_answer(host, GET("/"), 200, "");
    expect_answer(host, POST("/stream", "Content-Length: 5\r\n", "hello"), 200, "hello");
    rig_await(atomic_load(&seen.done) == 2);
    cr_expect_eq(atomic_load(&seen.asked), 2);
    end(host);
}

Test(http_middleware, a_needed_body_over_the_limit_is_413_and_nobody_is_called_again)
{
    struct rig_host *host = begin_with_bodies();

    expect_answer(host, POST("/small", "Content-Length: 5\r\n", "hello"), 413, NULL);
    expect_answer(host, POST("/small", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
                  413, NULL);
    rig_await(atomic_load(&seen.done) == 2);
    cr_expect_eq(atomic_load(&seen.asked), 2);
    cr_expect_eq(atomic_load(&seen.handled), 0);
    cr_expect_eq(atomic_load(&seen.status), 413);
    end(host);
}

/* ---- limits of one exchange ---- */

static int limit(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    cw_http_set_body_max(http, cw_http_field(http, "X-Trusted").data ? 10 : 2);
    return CW_HTTP_NEXT;
}

Test(http_middleware, a_limit_of_middleware_goes_before_the_route_s)
{
    struct rig_host *host = begin(make((struct cw_http_middleware){.on_request = limit}), NULL);

    expect_answer(host, POST("/small", "X-Trusted: 1\r\nContent-Length: 5\r\n", "hello"), 200,
                  "hello");
    expect_answer(host, POST("/small", "Content-Length: 3\r\n", "abc"), 413, NULL);
    expect_answer(host, POST("/", "Content-Length: 3\r\n", "abc"), 413, NULL);
    expect_answer(host, POST("/", "Content-Length: 2\r\n", "ab"), 200, "ab");
    end(host);
}

static int wait_little(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    cw_http_set_times(http, 0, 50);
    return CW_HTTP_LATER;
}

Test(http_middleware, an_exchange_s_own_time_for_the_answer_counts_while_middleware_waits)
{
    struct rig_host *host =
        begin(make((struct cw_http_middleware){.on_request = wait_little, .on_reply = count_reply}),
              NULL);

    expect_answer(host, GET("/"), 503, NULL);
    rig_await(atomic_load(&seen.done) == 1);
    cr_expect_eq(atomic_load(&seen.replies), 1);
    cr_expect_eq(atomic_load(&seen.status), 503);
    cr_expect_eq(atomic_load(&seen.handled), 0);
    end(host);
}

/* ---- verdicts ---- */

static int say_nothing(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    return CW_HTTP_ANSWERED;
}

static int answer_and_pass(struct cw_http_middleware *self, struct cw_http_exchange *http,
                           void *slot)
{
    cw_http_reply_text(http, 202, "mine");
    return CW_HTTP_NEXT;
}

static int next_at_once(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    atomic_store(&seen.results[0], cw_http_next(http, self));
    return CW_HTTP_LATER;
}

static void answer_from_timer(struct cw_loop *loop, void *user)
{
    struct cw_http_exchange *http = cw_http_find(loop, seen.id);

    rig_check(http != NULL);
    cw_http_reply_text(http, 203, "from the timer");
    atomic_store(&seen.results[1], cw_http_next(http, self_later));
}

static int answer_later(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    self_later = self;
    seen.id = cw_http_id(http);
    cw_timer_start(cw_http_loop(http), 10, 0, answer_from_timer, NULL);
    return CW_HTTP_LATER;
}

static void expect_verdict(int (*on_request)(struct cw_http_middleware *self,
                                             struct cw_http_exchange *http, void *slot),
                           int status, const char *body, unsigned handled)
{
    struct rig_host *host = begin(
        make((struct cw_http_middleware){.on_request = on_request, .on_reply = count_reply}), NULL);

    expect_answer(host, GET("/"), status, body);
    rig_await(atomic_load(&seen.done) == 1);
    cr_expect_eq(atomic_load(&seen.handled), handled);
    cr_expect_eq(atomic_load(&seen.replies), 1);
    cr_expect_eq(atomic_load(&seen.status), status);
    end(host);
}

Test(http_middleware, answered_without_an_answer_is_500)
{
    expect_verdict(say_nothing, 500, NULL, 0);
}

Test(http_middleware, an_answer_counts_whatever_is_said_then)
{
    expect_verdict(answer_and_pass, 202, "mine", 0);
}

Test(http_middleware, next_may_be_called_before_later_is_said)
{
    expect_verdict(next_at_once, 200, "", 1);
    cr_expect_eq(atomic_load(&seen.results[0]), CW_OK);
}

Test(http_middleware, whoever_waits_may_answer_itself_and_does_not_go_on_then)
{
    expect_verdict(answer_later, 203, "from the timer", 0);
    cr_expect_eq(atomic_load(&seen.results[1]), CW_ESTATE);
}

static int wait_for_nothing(struct cw_http_middleware *self, struct cw_http_exchange *http,
                            void *slot)
{
    atomic_fetch_add(&seen.asked, 1);
    return CW_HTTP_LATER;
}

static void try_to_go_on(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot,
                         const struct cw_http_outcome *outcome)
{
    atomic_store(&seen.results[0], cw_http_next(http, self));
    count_done(self, http, slot, outcome);
}

Test(http_middleware, nobody_goes_on_when_the_exchange_is_over)
{
    struct rig_host *host = begin(
        make((struct cw_http_middleware){.on_request = wait_for_nothing, .on_done = try_to_go_on}),
        NULL);
    struct rig_peer peer = rig_peer_tcp(rig_host_port(host, 0));

    rig_peer_send_text(&peer, GET("/"));
    rig_await(atomic_load(&seen.asked) == 1);
    rig_peer_reset(&peer);
    rig_await(atomic_load(&seen.done) == 1);
    cr_expect_eq(atomic_load(&seen.results[0]), CW_ESTATE);
    cr_expect_eq(atomic_load(&seen.code), CW_ECLOSED);
    cr_expect_eq(atomic_load(&seen.status), 0, "none has left");
    end(host);
}

/* ---- the head of the answer on its way ---- */

static void change_head(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    atomic_store(&seen.results[0], cw_http_set_status(http, 199));
    atomic_store(&seen.results[1], cw_http_set_status(http, 600));
    rig_check(cw_http_reply_status(http) == 200);
    rig_check(cw_http_reply_text(http, 200, "another") == CW_ESTATE);
    cw_http_set_status(http, 299);
    cw_http_set_field(http, "X-Length", cw_http_reply_length(http) == 5 ? "5" : "?");
    cw_http_set_field(http, "Content-Type", "text/changed");
}

static void look_at_status(struct cw_http_middleware *self, struct cw_http_exchange *http,
                           void *slot)
{
    atomic_store(&seen.results[2], cw_http_reply_status(http));
}

static int no_status_yet(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    rig_check(cw_http_set_status(http, 201) == CW_ESTATE);
    rig_check(cw_http_filter_body(http) == CW_ESTATE);
    return CW_HTTP_NEXT;
}

Test(http_middleware, status_and_fields_are_changed_from_the_inside_out)
{
    struct rig_host *host = begin(
        make((struct cw_http_middleware){.on_request = no_status_yet, .on_reply = look_at_status}),
        make((struct cw_http_middleware){.on_reply = change_head}));
    struct http_reply *reply = ask(host, POST("/", "Content-Length: 5\r\n", "hello"));

    cr_expect_eq(reply->status, 299);
    cr_expect_str_eq(http_reply_field(reply, "X-Length"), "5");
    cr_expect_str_eq(http_reply_field(reply, "Content-Type"), "text/changed");
    cr_expect_str_eq((const char *)reply->body, "hello");
    cr_expect_eq(atomic_load(&seen.results[0]), CW_EINVAL);
    cr_expect_eq(atomic_load(&seen.results[1]), CW_EINVAL);
    cr_expect_eq(atomic_load(&seen.results[2]), 299, "the outer one sees what the inner one did");
    drop_reply(reply);
    rig_await(atomic_load(&seen.done) == 2);
    cr_expect_eq(atomic_load(&seen.status), 299);
    end(host);
}

static void to_204(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    cw_http_set_status(http, 204);
}

Test(http_middleware, an_answer_that_becomes_204_loses_its_body)
{
    static const char *const paths[] = {GET("/pieces"), GET("/source"), GET("/file")};
    struct rig_host *host = begin(make((struct cw_http_middleware){.on_reply = to_204}), NULL);

    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct http_reply *reply = ask(host, paths[i]);

        cr_expect_eq(reply->status, 204);
        cr_expect_str_eq(http_reply_field(reply, "Content-Length"), "");
        cr_expect_str_eq(http_reply_field(reply, "Transfer-Encoding"), "");
        drop_reply(reply);
    }
    rig_await(atomic_load(&seen.done) == 3);
    cr_expect_eq(atomic_load(&seen.bytes_out), 0);
    end(host);
}

Test(http_middleware, a_name_joins_a_list_of_one_line_or_several_and_none_is_lost)
{
    struct rig_host *host = begin(NULL, NULL);
    struct http_reply *reply = ask(host, GET("/vary"));

    cr_expect_not_null(strstr(reply->head, "\r\nVary: Accept\r\nVary: Cookie\r\nVary: Origin\r\n"));
    cr_expect_not_null(strstr(reply->head, "\r\nAllow: GET, PUT\r\n"));
    drop_reply(reply);
    end(host);
}

/* ---- the body of the answer on its way ---- */

static void filter(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot)
{
    rig_check(cw_http_filter_body(http) == CW_OK);
    rig_check(cw_http_filter_body(http) == CW_OK); /* once is enough, and twice no harm */
    rig_check(cw_http_reply_length(http) == CW_NO_LIMIT);
}

/* Puts its mark in front of each piece, and behind the last one. */
static int mark(struct cw_http_middleware *self, void *slot, struct cw_span *piece, bool last,
                const char *sign)
{
    uint8_t **room = slot;

    *room = realloc(*room, piece->len + 1);
    rig_check(*room != NULL);
    (*room)[0] = (uint8_t)sign[0];
    if (piece->len > 0) {
        memcpy(*room + 1, piece->data, piece->len);
    }
    *piece = cw_span_of(*room, piece->len + 1);
    if (last) {
        atomic_fetch_add(&seen.last_pieces, 1);
    }
    return CW_OK;
}

static int mark_inner(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot,
                      struct cw_span *piece, bool last)
{
    return mark(self, slot, piece, last, "i");
}

static int mark_outer(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot,
                      struct cw_span *piece, bool last)
{
    return mark(self, slot, piece, last, "o");
}

static void free_room(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot,
                      const struct cw_http_outcome *outcome)
{
    free(*(uint8_t **)slot);
    count_done(self, http, slot, outcome);
}

static struct rig_host *begin_with_marks(void)
{
    struct cw_http_middleware table = {
        .slot_size = sizeof(uint8_t *), .on_reply = filter, .on_done = free_room};
    struct cw_http_middleware inner = table;

    table.on_reply_body = mark_outer;
    inner.on_reply_body = mark_inner;
    return begin(make(table), make(inner));
}

Test(http_middleware, filters_see_each_piece_the_innermost_first)
{
    struct rig_host *host = begin_with_marks();
    struct http_reply *reply = ask(host, POST("/", "Content-Length: 5\r\n", "hello"));

    cr_expect_str_eq((const char *)reply->body, "oihello");
    cr_expect_str_eq(http_reply_field(reply, "Content-Length"), "7");
    rig_await(atomic_load(&seen.done) == 2);
    cr_expect_eq(atomic_load(&seen.bytes_out), 7);
    cr_expect_eq(atomic_load(&seen.last_pieces), 2);
    drop_reply(reply);
    reply = ask(host, GET("/pieces"));
    cr_expect(reply->chunked);
    cr_expect_str_eq((const char *)reply->body, "oiabcoidefoi");
    rig_await(atomic_load(&seen.done) == 4);
    cr_expect_eq(atomic_load(&seen.bytes_out), 12, "what was queued, not what came");
    cr_expect_eq(atomic_load(&seen.last_pieces), 4);
    drop_reply(reply);
    end(host);
}

static size_t count_plain(const struct http_reply *reply)
{
    size_t count = 0;

    for (size_t i = 0; i < reply->body_len; i++) {
        count += reply->body[i] != 'i' && reply->body[i] != 'o';
    }
    return count;
}

Test(http_middleware, filters_see_sources_and_files_too)
{
    static const char *const paths[] = {GET("/source"), GET("/file")};
    struct rig_host *host = begin_with_marks();

    for (unsigned i = 0; i < 2; i++) {
        struct http_reply *reply = ask(host, paths[i]);

        cr_expect(reply->chunked);
        cr_expect_eq(count_plain(reply), FILE_LEN);
        cr_expect_gt(reply->body_len, FILE_LEN + 2);
        rig_await(atomic_load(&seen.done) == 2 + 2 * i);
        cr_expect_eq(atomic_load(&seen.bytes_out), reply->body_len);
        cr_expect_eq(atomic_load(&seen.last_pieces), 2 + 2 * i);
        drop_reply(reply);
    }
    end(host);
}

Test(http_middleware, a_head_request_has_no_body_to_filter_and_tells_no_length)
{
    struct rig_host *host = begin_with_marks();
    struct http_reply *reply = ask(host, "HEAD /pieces HTTP/1.1\r\nHost: a\r\n\r\n");

    cr_expect_eq(reply->status, 200);
    cr_expect_str_eq(http_reply_field(reply, "Content-Length"), "");
    rig_await(atomic_load(&seen.done) == 2);
    cr_expect_eq(atomic_load(&seen.last_pieces), 0);
    cr_expect_eq(atomic_load(&seen.bytes_out), 0);
    drop_reply(reply);
    end(host);
}

static int fail(struct cw_http_middleware *self, struct cw_http_exchange *http, void *slot,
                struct cw_span *piece, bool last)
{
    return last ? CW_ENOMEM : CW_OK;
}

Test(http_middleware, a_filter_that_fails_resets_the_connection)
{
    struct rig_host *host =
        begin(make((struct cw_http_middleware){.on_reply = filter, .on_reply_body = fail}), NULL);
    struct rig_peer peer = rig_peer_tcp(rig_host_port(host, 0));

    rig_peer_send_text(&peer, GET("/pieces"));
    rig_peer_expect_reset(&peer);
    rig_peer_close(&peer);
    rig_await(atomic_load(&seen.done) == 1);
    cr_expect_eq(atomic_load(&seen.code), CW_ENOMEM);
    end(host);
}

static void filter_without_function(struct cw_http_middleware *self, struct cw_http_exchange *http,
                                    void *slot)
{
    atomic_store(&seen.results[0], cw_http_filter_body(http));
}

Test(http_middleware, who_has_no_function_for_pieces_cannot_filter)
{
    struct rig_host *host =
        begin(make((struct cw_http_middleware){.on_reply = filter_without_function}), NULL);

    expect_answer(host, GET("/pieces"), 200, "abcdef");
    cr_expect_eq(atomic_load(&seen.results[0]), CW_ESTATE);
    end(host);
}

/* ---- answers that nobody has made ---- */

Test(http_middleware, the_framework_s_own_answers_pass_it_too)
{
    struct rig_host *host = begin(make((struct cw_http_middleware){.on_reply = count_reply}), NULL);

    expect_answer(host, GET("/nowhere"), 404, NULL);
    expect_answer(host, "PUT / HTTP/1.1\r\nHost: a\r\n\r\n", 405, NULL);
    expect_answer(host, POST("/small", "Content-Length: 5\r\n", "hello"), 413, NULL);
    expect_answer(host, GET("/never"), 503, NULL);
    rig_await(atomic_load(&seen.done) == 4);
    cr_expect_eq(atomic_load(&seen.replies), 4);
    end(host);
}

static void note_refused(struct cw_conn *conn, int status, void *user)
{
    rig_check(user == &seen && conn != NULL);
    atomic_store(&seen.refused_status, status);
    atomic_fetch_add(&seen.refused, 1);
}

Test(http_middleware, a_refused_head_is_told_to_those_who_asked)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct rig_host *host;

    for (int i = 0; i < 16; i++) {
        cr_assert_eq(cw_http_on_refused(server, note_refused, &seen), CW_OK);
    }
    cr_expect_eq(cw_http_on_refused(server, note_refused, &seen), CW_EFULL);
    cw_server_free(server);
    server = rig_server(&cw_http, NULL);
    cw_http_on_refused(server, note_refused, &seen);
    host = rig_host_start(server, NULL, NULL);
    expect_answer(host, "GET / HTTP/1.1\r\n\r\n", 400, NULL);
    rig_await(atomic_load(&seen.refused) == 1);
    cr_expect_eq(atomic_load(&seen.refused_status), 400);
    expect_answer(host, GET("/"), 404, NULL);
    cr_expect_eq(atomic_load(&seen.refused), 1, "an exchange is none");
    rig_host_end(host);
}

/* ---- the start ---- */

static int note_start(struct cw_http_middleware *self, struct cw_server *server, const char *prefix)
{
    size_t len = strlen(seen.prefixes);

    snprintf(seen.prefixes + len, sizeof seen.prefixes - len, "%s ", prefix ? prefix : "-");
    return CW_OK;
}

static int complain(struct cw_http_middleware *self, struct cw_server *server, const char *prefix)
{
    return cw_server_complain(server, CW_EINVAL, "middleware: not today");
}

Test(http_middleware, each_is_told_once_what_it_serves)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct rig_host *host;

    cw_http_use(server, make((struct cw_http_middleware){.start = note_start}));
    cw_http_group_use(cw_http_group(server, "/api", NULL),
                      make((struct cw_http_middleware){.start = note_start}));
    host = rig_host_start(server, NULL, NULL);
    cr_expect_str_eq(seen.prefixes, "- /api ");
    rig_host_end(host);
}

Test(http_middleware, a_complaint_stops_the_start)
{
    struct cw_server *server = rig_server(&cw_http, NULL);

    cw_http_use(server, make((struct cw_http_middleware){.start = complain}));
    cr_expect_eq(cw_server_run(server), CW_EINVAL);
    cr_expect_not_null(strstr(cw_server_error(server), "middleware: not today"));
    cw_server_free(server);
}

/* In steady state a request costs no allocation. */
#include "support/host.h"
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/memory.h"
#include "support/wait.h"

#include <causeway/http.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(http_no_allocation, .fini = rig_expect_no_leak, .timeout = 100);

enum { REQUESTS = 400, WARM = 160, DEPTH_MAX = 16 };

static void hello(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, "Hello, world!");
}

static void echo(struct cw_http_exchange *http, void *user)
{
    cw_http_reply(http, 200, "application/octet-stream", cw_http_body(http));
}

static void name(struct cw_http_exchange *http, void *user)
{
    cw_http_reply(http, 200, "text/plain", cw_http_param(http, "name"));
}

static void rich(struct cw_http_exchange *http, void *user)
{
    char *text = cw_http_alloc(http, 300);

    memcpy(text, "memory of the exchange", 23);
    cw_http_set_value(http, "text", text, NULL);
    cw_http_set_field(http, "X-One", "1");
    cw_http_set_fieldf(http, "X-Two", "%d", 2);
    cw_http_set_cookie(http, "a", "b", NULL);
    cw_http_replyf(http, 200, "text/plain", "%.*s %.*s", (int)cw_http_query(http, "q").len,
                   (const char *)cw_http_query(http, "q").data, (int)cw_http_cookie(http, "c").len,
                   (const char *)cw_http_cookie(http, "c").data);
}

static void piece(struct cw_http_exchange *http, struct cw_span part, bool last, void *user)
{
    if (last) {
        cw_http_end(http);
    } else {
        cw_http_send(http, part);
    }
}

static void stream(struct cw_http_exchange *http, void *user)
{
    cw_http_begin(http, 200, "application/octet-stream", CW_NO_LIMIT);
    cw_http_read_body(http, piece, NULL);
}

static struct rig_host *start(void)
{
    struct cw_server *server;

    rig_memory_count();
    server = rig_server(&cw_http, NULL);
    cw_http_route(server, "GET /hello", hello, NULL);
    cw_http_route(server, "POST /echo", echo, NULL);
    cw_http_route(server, "GET /users/:id<int>/files/:name", name, NULL);
    cw_http_route(server, "GET /rich", rich, NULL);
    cw_http_route_with(server, "POST /stream", stream, NULL,
                       &(struct cw_http_route_options){.stream = true});
    return rig_host_start(server, NULL, NULL);
}

/* `depth` of them are under way. All answers are as long as the first: the fields are the same, Date has one length. */
static void ask_many(struct rig_peer *peer, const char *request, size_t depth, size_t answer_len,
                     int count)
{
    size_t len = strlen(request);
    char *out = malloc(len * depth);
    char *back = malloc(answer_len * depth);

    cr_assert_not_null(out);
    cr_assert_not_null(back);
    for (size_t i = 0; i < depth; i++) {
        memcpy(out + i * len, request, len);
    }
    for (int i = 0; i < count; i += (int)depth) {
        rig_peer_send(peer, out, len * depth);
        rig_peer_receive(peer, back, answer_len * depth);
        for (size_t k = 0; k < depth; k++) {
            cr_assert_eq(memcmp(back + k * answer_len, "HTTP/1.1 200 ", 13), 0);
        }
    }
    free(out);
    free(back);
}

/* The length of a whole answer. */
static size_t measure(struct rig_peer *peer, const char *request)
{
    static char answer[16384];
    size_t len = 0;

    rig_peer_send_text(peer, request);
    do {
        rig_peer_receive(peer, answer + len, 1);
        answer[++len] = '\0';
    } while (!strstr(answer, "\r\n\r\n"));
    const char *length = strstr(answer, "Content-Length: ");
    if (length) {
        size_t body = strtoul(length + 16, NULL, 10);
        rig_peer_receive(peer, answer + len, body);
        return len + body;
    }
    do {
        rig_peer_receive(peer, answer + len, 1);
        answer[++len] = '\0';
    } while (!strstr(answer, "\r\n0\r\n\r\n"));
    return len;
}

struct talk {
    struct rig_peer *peer;
    const char *request;
    size_t depth;
    size_t answer_len;
};

static void talk(void *arg)
{
    const struct talk *with = arg;

    ask_many(with->peer, with->request, with->depth, with->answer_len, REQUESTS);
}

static void expect_none(const char *request, size_t depth)
{
    struct rig_host *host = start();
    struct rig_peer peer = rig_peer_tcp(rig_host_port(host, 0));
    size_t answer_len = measure(&peer, request);
    uint64_t calls;

    ask_many(&peer, request, depth, answer_len, WARM);
    calls = rig_memory_least(talk, &(struct talk){&peer, request, depth, answer_len});
    cr_expect_eq(calls, 0, "%d allocations for %d requests, %zu at a time: %s", (int)calls,
                 REQUESTS, depth, request);
    cr_expect_gt(rig_memory_calls(), 0, "allocations are counted at all");
    rig_peer_close(&peer);
    rig_host_end(host);
}

#define GET "GET /hello HTTP/1.1\r\nHost: site.example\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n"
#define POST                                                                                       \
    "POST /echo HTTP/1.1\r\nHost: site.example\r\nContent-Type: text/plain\r\n"                    \
    "Content-Length: 26\r\n\r\nabcdefghijklmnopqrstuvwxyz"
#define CHUNKED                                                                                    \
    "POST /echo HTTP/1.1\r\nHost: site.example\r\nTransfer-Encoding: chunked\r\n\r\n"              \
    "d\r\nabcdefghijklm\r\nd\r\nnopqrstuvwxyz\r\n0\r\n\r\n"
#define PARAMS "GET /users/4711/files/holiday.jpg?size=3 HTTP/1.1\r\nHost: site.example\r\n\r\n"
#define ENCODED "GET /users/4711/files/a%20b%c3%a4/../%41%2f HTTP/1.1\r\nHost: site.example\r\n\r\n"
#define RICH "GET /rich?p=1&q=a%20b HTTP/1.1\r\nHost: site.example\r\nCookie: b=1; c=2\r\n\r\n"
#define STREAM                                                                                     \
    "POST /stream HTTP/1.1\r\nHost: site.example\r\nContent-Length: 26\r\n\r\n"                    \
    "abcdefghijklmnopqrstuvwxyz"

Test(http_no_allocation, a_get_allocates_nothing)
{
    expect_none(GET, 1);
}

Test(http_no_allocation, sixteen_gets_at_a_time_allocate_nothing)
{
    expect_none(GET, 16);
}

Test(http_no_allocation, a_post_with_a_small_body_allocates_nothing)
{
    expect_none(POST, 1);
}

Test(http_no_allocation, sixteen_posts_at_a_time_allocate_nothing)
{
    expect_none(POST, 16);
}

Test(http_no_allocation, a_body_in_chunks_allocates_nothing)
{
    expect_none(CHUNKED, 1);
    expect_none(CHUNKED, 16);
}

Test(http_no_allocation, a_route_with_params_allocates_nothing)
{
    expect_none(PARAMS, 1);
    expect_none(PARAMS, 16);
}

Test(http_no_allocation, a_path_that_has_to_be_decoded_allocates_nothing)
{
    expect_none(ENCODED, 1);
    expect_none(ENCODED, 16);
}

Test(http_no_allocation, fields_cookies_queries_and_memory_of_the_exchange_allocate_nothing)
{
    expect_none(RICH, 1);
    expect_none(RICH, 16);
}

Test(http_no_allocation, a_body_streamed_both_ways_allocates_nothing)
{
    expect_none(STREAM, 1);
    expect_none(STREAM, 16);
}

/* Python's http.client and many others send a head and its body in two pieces. */
Test(http_no_allocation, a_body_that_comes_behind_its_head_allocates_nothing)
{
    struct rig_host *host = start();
    struct rig_peer peer = rig_peer_tcp(rig_host_port(host, 0));
    size_t answer_len = measure(&peer, POST);
    uint64_t before = 0;

    for (int i = 0; i < 60; i++) {
        char answer[1024];

        rig_peer_send_slowly(&peer, POST, strlen(POST), strlen(POST) - 26);
        rig_peer_receive(&peer, answer, answer_len);
        before = i == 20 ? rig_memory_calls() : before;
    }
    cr_expect_eq(rig_memory_calls(), before, "%d allocations", (int)(rig_memory_calls() - before));
    rig_peer_close(&peer);
    rig_host_end(host);
}

/* What a connection has allocated goes with it: connections one after the other cost the same. */
Test(http_no_allocation, connections_leave_nothing_behind)
{
    struct rig_host *host = start();
    int64_t before = 0;

    for (int i = 0; i < 200; i++) {
        struct rig_peer peer = rig_peer_tcp(rig_host_port(host, 0));

        measure(&peer, i % 2 ? RICH : CHUNKED);
        rig_peer_close(&peer);
        rig_await(rig_host_conns(host) == 0);
        if (i == 99) {
            before = rig_memory_bytes();
        }
    }
    cr_expect_leq(rig_memory_bytes(), before + 4096, "%lld, then %lld", (long long)before,
                  (long long)rig_memory_bytes());
    rig_host_end(host);
}

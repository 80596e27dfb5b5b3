/* Our client and our server: one asks the other, also from inside a handler. */
#include "support/host.h"
#include "support/http_script.h"
#include "support/leak.h"
#include "support/peer.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/http_client.h>
#include <causeway/middleware/http_compress.h>

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static struct ask ask;
static char base[64];

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(http_client_server, .init = init, .fini = rig_expect_no_leak, .timeout = 120);

enum { PULLED = 20 << 20 };

/* ---- handlers ---- */

static void hello(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, "hello, hello, hello, hello, hello");
}

static void echo(struct cw_http_exchange *http, void *user)
{
    cw_http_reply(http, 201, "application/octet-stream", cw_http_body(http));
}

static void echo_piece(struct cw_http_exchange *http, struct cw_span piece, bool last, void *user)
{
    if (last) {
        cw_http_end(http);
    } else {
        rig_check(cw_http_send(http, piece) >= 0);
    }
}

static void echo_stream(struct cw_http_exchange *http, void *user)
{
    cw_http_begin(http, 200, "application/octet-stream", CW_NO_LIMIT);
    cw_http_read_body(http, echo_piece, NULL);
}

static ptrdiff_t zeros(uint8_t *buffer, size_t cap, void *user)
{
    memset(buffer, 0, cap);
    return (ptrdiff_t)cap;
}

static void large(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_source(http, 200, "application/octet-stream", PULLED, zeros, NULL, NULL);
}

/* A handler that asks somebody else, and answers with what that says. */
struct question {
    struct cw_http_id id;
    struct cw_loop *loop;
};

static atomic_int via_error;

static void on_told(struct cw_http_response *response, void *user)
{
    struct question *question = user;
    struct cw_http_exchange *http = cw_http_find(question->loop, question->id);

    atomic_store(&via_error, response->error);
    if (http && response->error != 0) {
        cw_http_reply_error(http, 502, response->text);
    } else if (http) {
        cw_http_reply(http, response->status, "text/plain", response->body);
    }
    free(question);
}

static void via(struct cw_http_exchange *http, void *user)
{
    struct question *question = malloc(sizeof *question);
    char url[128];

    rig_check(question != NULL);
    *question = (struct question){cw_http_id(http), cw_http_loop(http)};
    snprintf(url, sizeof url, "%s%s", base, (const char *)user);
    rig_check(cw_http_get(question->loop, url, on_told, question) > 0);
}

static void never(struct cw_http_exchange *http, void *user)
{
    cw_http_id(http); /* answered when it is too late */
    atomic_fetch_add((atomic_uint *)user, 1);
}

static atomic_uint asked_never;

static struct rig_host *start(void)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct rig_host *host;

    cw_http_use(server, cw_http_compress(&(struct cw_http_compress_options){0}));
    cw_http_route(server, "GET /hello", hello, NULL);
    cw_http_route(server, "POST /echo", echo, NULL);
    cw_http_route_with(
        server, "POST /stream", echo_stream, NULL,
        &(struct cw_http_route_options){.stream = true, .body_max_bytes = CW_NO_LIMIT});
    cw_http_route(server, "GET /large", large, NULL);
    cw_http_route(server, "GET /via", via, (void *)(uintptr_t) "/hello");
    cw_http_route(server, "GET /via/never", via, (void *)(uintptr_t) "/never");
    cw_http_route(server, "GET /never", never, &asked_never);
    host = rig_host_start(server, NULL, NULL);
    snprintf(base, sizeof base, "http://127.0.0.1:%u", rig_host_port(host, 0));
    return host;
}

static struct cw_http_request *ask_path(const char *path)
{
    char url[256];

    snprintf(url, sizeof url, "%s%s", base, path);
    return ask_for(&ask, NULL, url);
}

static void expect(size_t i, int status, const char *body)
{
    cr_assert_eq(ask.answers[i].error, 0, "%zu: %s", i, ask.answers[i].text);
    cr_expect_eq(ask.answers[i].status, status, "%zu: %d", i, ask.answers[i].status);
    cr_expect_str_eq(ask.answers[i].body, body, "%zu", i);
}

static void end(struct rig_host *host)
{
    cr_expect_eq(rig_host_stop(host), 0);
    rig_host_free(host);
}

Test(http_client_server, they_understand_each_other)
{
    static char body[100000];
    struct rig_host *host = start();
    struct cw_http_request *request;

    memset(body, 'b', sizeof body - 1);
    ask_begin(&ask);
    ask_path("/hello");
    ask_path("/hello")->method = "HEAD";
    request = ask_path("/echo");
    request->body = cw_span_text(body);
    ask_path("/nowhere");
    ask_path("/via");
    ask_run(&ask);
    end(host);
    expect(0, 200, "hello, hello, hello, hello, hello");
    expect(1, 200, "");
    expect(2, 201, body);
    cr_expect_eq(ask.answers[3].status, 404);
    expect(4, 200, "hello, hello, hello, hello, hello");
    ask_release(&ask);
}

/* ---- long streams ---- */

struct stream {
    struct cw_loop *loop;
    uint64_t left;
    uint64_t got;
    unsigned calls;
    unsigned every; /* rests at each so many-th piece; 0: never */
};

static void resume(struct cw_loop *loop, void *user)
{
    cw_http_request_resume(loop, ask.ids[0]);
}

static int on_body(struct cw_http_response *response, struct cw_span piece, void *user)
{
    struct stream *stream = ask.user;

    stream->got += piece.len;
    stream->calls++;
    if (stream->every > 0 && stream->calls % stream->every == 0) {
        rig_check(cw_timer_start(stream->loop, 2, 0, resume, NULL) != NULL);
        return 1;
    }
    return 0;
}

static ptrdiff_t pull(uint8_t *buffer, size_t cap, void *user)
{
    struct stream *stream = user;
    size_t n = stream->left < cap ? (size_t)stream->left : cap;

    for (size_t i = 0; i < n; i++) {
        buffer[i] = (uint8_t)(stream->left - i);
    }
    stream->left -= n;
    return (ptrdiff_t)n;
}

static void run_stream(const char *path, struct stream *stream, bool up)
{
    struct cw_http_request *request;

    ask_begin(&ask);
    ask.user = stream;
    stream->loop = ask.loop;
    request = ask_path(path);
    request->on_body = on_body;
    request->body_max_bytes = CW_NO_LIMIT;
    request->keep_encoding = true;
    if (up) {
        request->pull = pull;
        request->pull_user = stream;
        request->body_len = CW_NO_LIMIT;
    }
    ask_run(&ask);
    expect(0, 200, "");
    ask_release(&ask);
}

Test(http_client_server, long_bodies_go_both_ways_at_once)
{
    struct rig_host *host = start();
    struct stream stream = {.left = PULLED};

    run_stream("/stream", &stream, true);
    cr_expect_eq(stream.got, PULLED);
    end(host);
}

Test(http_client_server, a_slow_reader_gets_all_of_it)
{
    struct rig_host *host = start();
    struct stream stream = {.every = 16};

    run_stream("/large", &stream, false);
    cr_expect_eq(stream.got, PULLED);
    end(host);
}

/* ---- the end of the server ---- */

Test(http_client_server, a_server_that_stops_tells_the_requests_of_its_handlers)
{
    struct rig_host *host = start();
    struct rig_peer peer = rig_peer_tcp(rig_host_port(host, 0));

    rig_peer_send_text(&peer, "GET /via/never HTTP/1.1\r\nHost: x\r\n\r\n");
    rig_await(atomic_load(&asked_never) == 1);
    end(host);
    cr_expect_eq(atomic_load(&via_error), CW_ESTOPPED);
    rig_peer_close(&peer);
}

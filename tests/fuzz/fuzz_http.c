/* The server's side of HTTP as a whole, over memory: whatever comes, it comes to the same answers however it is cut. The first
 * byte chooses the cuts and whether the input ends, the second the limits; the rest is the peer's. */
#include "parts.h"
#include "support/fuzz_echo.h"

#include <causeway/causeway.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHOICES = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- what is served ---- */

static void hello(struct cw_http_exchange *http, void *user)
{
    struct cw_span name = cw_http_query(http, "name");

    cw_http_replyf(http, 200, "text/plain", "hello %.*s", (int)name.len,
                   name.data ? (const char *)name.data : "");
}

static void show(struct cw_http_exchange *http, void *user)
{
    struct cw_span id = cw_http_param(http, "id");
    struct cw_span cookie = cw_http_cookie(http, "sid");

    cw_http_set_cookie(http, "sid", cookie.len > 0 ? "again" : "new", NULL);
    cw_http_reply(http, 200, "text/plain", id);
}

static void echo(struct cw_http_exchange *http, void *user)
{
    cw_http_reply(http, 200, "application/octet-stream", cw_http_body(http));
}

static void count_piece(struct cw_http_exchange *http, struct cw_span piece, bool last, void *user)
{
    size_t *total = cw_http_value(http, "total");

    *total += piece.len;
    if (last) {
        struct cw_span sum = cw_http_trailer(http, "X-Sum");

        cw_http_replyf(http, 200, "text/plain", "%zu %zu", *total, sum.len);
    }
}

static void count(struct cw_http_exchange *http, void *user)
{
    cw_http_set_value(http, "total", cw_http_alloc(http, sizeof(size_t)), NULL);
    cw_http_read_body(http, count_piece, NULL);
}

static void careless(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, "whatever");
}

static struct cw_server *server(void)
{
    static const struct cw_http_route_options stream = {.stream = true,
                                                        .body_max_bytes = CW_NO_LIMIT};
    struct cw_server *made = cw_create_server(&cw_http);

    cw_http_route(made, "GET /", hello, NULL);
    cw_http_route(made, "GET /things/:id", show, NULL);
    cw_http_route(made, "GET /files/*path", hello, NULL);
    cw_http_route(made, "POST /echo", echo, NULL);
    cw_http_route_with(made, "POST /count", count, NULL, &stream);
    cw_http_route_with(made, "POST|PUT /careless", careless, NULL, &stream);
    if (cw_server_parts_start(made) < 0) {
        abort();
    }
    return made;
}

/* ---- one connection ---- */

static void run(const struct rig_setup *setup, struct cw_span input, uint8_t seed,
                struct rig_bytes *output)
{
    struct rig *rig = rig_new(setup);

    if (rig == NULL) {
        abort();
    }
    fuzz_feed(rig, input, seed);
    rig_append(output, rig->output.data, rig->output.len);
    fuzz_forget_dates(output);
    rig_free(rig);
}

static void expect_same(const struct rig_bytes *a, const struct rig_bytes *b)
{
    if (!cw_span_equal(cw_span_of(a->data, a->len), cw_span_of(b->data, b->len))) {
        fprintf(stderr, "fuzz_http: a cut changes the answers:\n%.*s\n---- and\n%.*s\n",
                (int)a->len, (const char *)a->data, (int)b->len, (const char *)b->data);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cw_server *made;
    static const struct cw_http_options limits[] = {
        {.body_max_bytes = 0},
        {.head_max_bytes = 100, .target_max_bytes = 20, .fields_max = 4, .body_max_bytes = 10},
        {.requests_max = 2, .discard_max_bytes = 5},
        {.keep_alive_ms = CW_OFF, .discard_max_bytes = CW_OFF},
    };
    struct rig_bytes whole = {0};

    if (size < CHOICES) {
        return 0;
    }
    if (made == NULL) {
        cw_log_set_level(CW_LOG_SILENT);
        made = server();
    }

    struct rig_setup setup = {.protocol = &cw_http, .options = &limits[data[1] % 4], .server = made};
    struct cw_span input = cw_span_of(data + CHOICES, size - CHOICES);

    run(&setup, input, data[0] & 0x80, &whole);
    for (uint8_t way = 1; way <= 2; way++) {
        struct rig_bytes cut = {0};

        run(&setup, input, way == 1 ? (data[0] & 0x80) | 1 : data[0] | 2, &cut);
        expect_same(&whole, &cut);
        rig_release(&cut);
    }
    rig_release(&whole);
    return 0;
}

/* The handshake of a server over memory: a connection of cw_websocket, from its first request on. However the bytes are cut, the
 * answers and the messages are the same, and nobody is let in who has not asked. The first byte chooses the cuts and whether the
 * input ends, the second the options; the rest is the peer's. */
#include "parts.h"
#include "support/fuzz_echo.h"

#include <causeway/causeway.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { CHOICES = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- what is served ---- */

static void plain(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, "plain");
}

static void free_user(void *user)
{
    free(user);
}

/* By the path: on, refused, chosen. The rig's hooks free no user, so there is none in the end. */
static int decide(struct cw_http_exchange *http, void *user)
{
    struct cw_span path = cw_http_path(http);

    cw_websocket_set_user(http, malloc(1), free_user);
    if (cw_span_equal(path, cw_span_text("/no"))) {
        cw_http_reply_error(http, 403, NULL);
        return CW_HTTP_ANSWERED;
    }
    if (cw_span_equal(path, cw_span_text("/v1"))) {
        cw_websocket_choose(http, "v1");
    }
    cw_websocket_set_user(http, NULL, NULL);
    return CW_HTTP_NEXT;
}

static struct cw_server *server(void)
{
    struct cw_server *made = cw_create_server(&cw_websocket);

    cw_http_route(made, "GET /plain", plain, NULL);
    if (cw_server_parts_start(made) < 0) {
        abort();
    }
    return made;
}

/* ---- one connection ---- */

struct outcome {
    struct rig_bytes output;
    struct rig_bytes story;
};

static void run(const struct rig_setup *setup, struct cw_span input, uint8_t seed,
                struct outcome *outcome)
{
    struct rig *rig = rig_new(setup);

    if (rig == NULL) {
        abort();
    }
    fuzz_feed(rig, input, seed);
    *outcome = (struct outcome){{0}, {0}};
    rig_append(&outcome->output, rig->output.data, rig->output.len);
    rig_append(&outcome->story, rig->story.data, rig->story.len);
    fuzz_forget_dates(&outcome->output);
    rig_free(rig);
}

static void release(struct outcome *outcome)
{
    rig_release(&outcome->output);
    rig_release(&outcome->story);
}

static void expect_same(const struct rig_bytes *a, const struct rig_bytes *b, const char *what)
{
    if (!cw_span_equal(cw_span_of(a->data, a->len), cw_span_of(b->data, b->len))) {
        fprintf(stderr, "fuzz_ws_handshake: a cut changes the %s:\n%.*s\n---- and\n%.*s\n", what,
                (int)a->len, (const char *)a->data, (int)b->len, (const char *)b->data);
        abort();
    }
}

static bool holds(struct cw_span input, const char *word)
{
    size_t len = strlen(word);

    for (size_t at = 0; at + len <= input.len; at++) {
        if (strncasecmp((const char *)input.data + at, word, len) == 0) {
            return true;
        }
    }
    return false;
}

/* RFC 6455 §4.2.1 */
static void expect_asked(struct cw_span input, const struct rig_bytes *output)
{
    static const char *const words[] = {
        "GET ",        "HTTP/1.1",           "Host:",
        "Upgrade:",    "websocket",          "==",
        "connection:", "sec-websocket-key:", "sec-websocket-version:"};

    if (output->len == 0 || !memmem(output->data, output->len, "HTTP/1.1 101 ", 13)) {
        return;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!holds(input, words[i])) {
            fprintf(stderr, "fuzz_ws_handshake: let in without %s\n", words[i]);
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cw_server *made;
    static const struct cw_http_options short_heads = {.head_max_bytes = 300, .fields_max = 8};
    static const struct cw_websocket_options options[] = {
        {.compress = true, .subprotocols = "v2 v1"},
        {.subprotocols = "v1", .subprotocol_required = true, .origins = "https://a null"},
        {.origins = "*", .on_handshake = decide, .message_max_bytes = 20},
        {.http = &short_heads},
    };
    struct outcome whole;

    if (size < CHOICES) {
        return 0;
    }
    if (made == NULL) {
        cw_log_set_level(CW_LOG_SILENT);
        made = server();
    }

    struct rig_setup setup = {.protocol = &cw_websocket,
                              .options = &options[data[1] % 4],
                              .merge = RIG_CHUNKS,
                              .echo = true,
                              .server = made};
    struct cw_span input = cw_span_of(data + CHOICES, size - CHOICES);

    run(&setup, input, data[0] & 0x80, &whole);
    expect_asked(input, &whole.output);
    for (uint8_t way = 1; way <= 2; way++) {
        struct outcome cut;

        run(&setup, input, way == 1 ? (data[0] & 0x80) | 1 : data[0] | 2, &cut);
        expect_same(&whole.output, &cut.output, "answers");
        expect_same(&whole.story, &cut.story, "story");
        release(&cut);
    }
    release(&whole);
    return 0;
}

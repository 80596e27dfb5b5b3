/* What a server sends to our client. The first two bytes choose what was asked for and how the input is cut, the rest is the
 * server's. Whole and in pieces it has to come to the same end; and whatever Location says, it leads to a URL or nowhere. */
#include "http/http_client_impl.h"

#include "support/rig.h"

#include <causeway/error.h>
#include <stdlib.h>

enum { CHOICES = 2, HEAD_MAX = 2048, BODY_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void never(struct cw_http_response *response, void *user)
{
    abort();
}

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* A request under way on a connection over memory. */
struct scene {
    struct cw_http_client client;
    struct cw_http_address address;
    struct cw_http_call *call;
    struct rig *rig;
};

static void begin(struct scene *scene, uint8_t choice)
{
    const struct cw_http_request request = {
        .url = "http://a.example/b/c?d",
        .method = choice & 1 ? "HEAD" : "GET",
        .keep_encoding = (choice & 2) != 0,
        .redirects_max = CW_OFF,
        .head_max_bytes = HEAD_MAX,
        .body_max_bytes = BODY_MAX,
    };
    const char *why;

    *scene = (struct scene){.client = {.stopped = true}}; /* nobody is woken */
    scene->rig =
        rig_new(&(struct rig_setup){.protocol = &cw_http_client_protocol, .role = CW_CLIENT});
    check(scene->rig != NULL);
    scene->client.loop = cw_conn_loop(scene->rig->conn);
    cw_http_ring_init(&scene->client.calls);
    cw_http_ring_init(&scene->client.over);
    scene->client.options.idle_ms = CW_OFF; /* there is no pool */
    scene->address.client = &scene->client;
    cw_http_ring_init(&scene->address.waiting);
    scene->address.running = 1;
    scene->address.pool = cw_pool_new(
        scene->client.loop, cw_service(&cw_http_client_protocol, NULL, NULL), "127.0.0.1:9", NULL);
    check(cw_http_call_new(&scene->client, &request, &scene->call, &why) == CW_OK);
    scene->call->fn = never;
    scene->call->address = &scene->address;
    scene->call->phase = CW_CALL_RUNNING;
    scene->call->conn = scene->rig->conn;
    scene->call->sent = true;
    cw_http_answer_begin(scene->rig->conn, scene->call);
}

static void play(struct scene *scene, struct cw_span input, size_t piece)
{
    for (size_t at = 0; at < input.len && scene->rig->conn; at += piece) {
        size_t left = input.len - at;

        rig_feed(scene->rig, input.data + at, left < piece ? left : piece);
    }
    if (scene->rig->conn) {
        rig_end(scene->rig);
    }
    rig_run(scene->rig);
    if (scene->call->phase == CW_CALL_RUNNING) { /* there are no hooks to tell it */
        scene->call->conn = NULL;
        cw_http_call_fail(scene->call, CW_ECLOSED, "ended");
    }
}

static void end(struct scene *scene)
{
    cw_http_call_free(scene->call);
    cw_pool_free(scene->address.pool);
    rig_free(scene->rig);
}

static void follow(const struct cw_http_call *call)
{
    static char text[CW_URL_MAX + 1];
    struct cw_span location = cw_http_response_field(&call->response, "location");
    struct cw_http_url to;
    const char *why;
    ptrdiff_t len;

    if (!location.data) {
        return;
    }
    len = cw_http_url_resolve(&call->url, location, text);
    if (len >= 0) {
        check((size_t)len == strlen(text));
        if (cw_http_url_parse(cw_span_text(text), &to, &why) == CW_OK) {
            char target[CW_URL_CONNECT_MAX];

            (void)cw_http_url_connect(&to, target);
            check(strpbrk(text, "\r\n \t") == NULL);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene whole;
    struct scene cut;

    if (size < CHOICES) {
        return 0;
    }
    struct cw_span input = cw_span_of(data + CHOICES, size - CHOICES);
    begin(&whole, data[0]);
    play(&whole, input, input.len > 0 ? input.len : 1);
    begin(&cut, data[0]);
    play(&cut, input, 1 + data[1]);
    check((whole.call->response.error == 0) == (cut.call->response.error == 0));
    check(whole.call->response.body.len <= BODY_MAX);
    if (whole.call->response.error == 0) {
        check(whole.call->response.status >= 200);
        check(whole.call->response.status == cut.call->response.status);
        check(cw_span_equal(whole.call->response.body, cut.call->response.body));
        follow(whole.call);
    }
    end(&whole);
    end(&cut);
    return 0;
}

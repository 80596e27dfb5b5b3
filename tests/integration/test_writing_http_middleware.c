/* The HTTP middleware of docs/writing-middleware.md is this one, letter by letter, and it does what the page says. */
#include "docs/turnstile.c"
#include "support/host.h"
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(writing_http_middleware, .fini = rig_expect_no_leak, .timeout = 60);

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static struct cw_http_id waiting;
static atomic_bool waits;
static atomic_uint refusals; /* as the last line says */

Test(writing_http_middleware, the_page_quotes_this_source)
{
    static char source[65536];
    static char page[65536];
    FILE *file = fopen(CW_SOURCE_DIR "/tests/docs/turnstile.c", "r");

    cr_assert_not_null(file);
    cr_assert_lt(fread(source, 1, sizeof source - 1, file), sizeof source - 1);
    fclose(file);
    file = fopen(CW_SOURCE_DIR "/docs/writing-middleware.md", "r");
    cr_assert_not_null(file);
    cr_assert_lt(fread(page, 1, sizeof page - 1, file), sizeof page - 1);
    fclose(file);
    cr_expect_gt(strlen(source), 1000);
    cr_expect_not_null(strstr(page, source));
}

static void keep_line(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    unsigned count;

    if (sscanf(text, "turnstile: %u refused", &count) == 1) {
        atomic_store(&refusals, count);
    }
}

static void wait_inside(struct cw_http_exchange *http, void *user)
{
    waiting = cw_http_id(http);
    atomic_store(&waits, true);
}

static void hello(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, "hello");
}

static struct http_reply *ask(struct rig_host *host)
{
    struct http_reply *reply = calloc(1, sizeof *reply);
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));

    http_peer_ask(&peer, GET("/"), reply);
    http_peer_close(&peer);
    return reply;
}

static void drop_reply(struct http_reply *reply)
{
    http_reply_release(reply);
    free(reply);
}

Test(writing_http_middleware, one_more_than_may_be_inside_is_asked_to_come_again)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct cw_http_middleware *turnstile = turnstile_new(1);
    struct http_reply *reply;
    struct http_peer peer;
    struct rig_host *host;

    cw_log_set(keep_line, NULL);
    cw_http_use(server, turnstile);
    cw_http_route(server, "GET /", hello, NULL);
    cw_http_route(server, "GET /wait", wait_inside, NULL);
    host = rig_host_start(server, NULL, NULL);
    peer = http_peer_new(rig_host_port(host, 0));
    http_peer_send(&peer, GET("/wait"));
    rig_await(atomic_load(&waits));
    reply = ask(host);
    cr_expect_eq(reply->status, 503);
    cr_expect_str_eq(http_reply_field(reply, "Retry-After"), "1");
    cr_expect_str_eq(http_reply_field(reply, "X-Inside"), "1 of 1");
    drop_reply(reply);
    cw_http_reply_to(rig_host_server(host), waiting, 200, NULL, cw_span_text("at last"));
    reply = calloc(1, sizeof *reply);
    http_peer_read(&peer, reply, false);
    cr_expect_str_eq((const char *)reply->body, "at last");
    drop_reply(reply);
    rig_await(atomic_load(&((struct turnstile *)turnstile)->inside) == 0);
    reply = ask(host);
    cr_expect_eq(reply->status, 200);
    drop_reply(reply);
    http_peer_close(&peer);
    rig_host_end(host);
    cr_expect_eq(atomic_load(&refusals), 1);
}

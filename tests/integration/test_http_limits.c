#include "support/host.h"
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/rig.h"
#include "support/wait.h"

#include <causeway/http.h>
#include <causeway/middleware/http_limits.h>
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>

TestSuite(http_limits, .fini = rig_expect_no_leak, .timeout = 60);

enum { HELD_MAX = 8 };

static struct rig_host *host;
static struct http_reply reply;
static struct http_peer peers[HELD_MAX];
static atomic_int peer_count;
static struct cw_http_id held[HELD_MAX]; /* of the loop's thread */
static int held_count;
static atomic_int holding;

/* Answers when it is let go. */
static void hold(struct cw_http_exchange *http, void *user)
{
    rig_check(held_count < HELD_MAX);
    held[held_count++] = cw_http_id(http);
    atomic_fetch_add(&holding, 1);
}

static void answer_held(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    while (held_count > 0) {
        struct cw_http_exchange *http = cw_http_find(loop, held[--held_count]);
        if (http) {
            cw_http_reply_text(http, 200, "at last");
        }
    }
}

static void greet(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, "hello");
}

static void never(struct cw_http_exchange *http, void *user)
{
    cw_http_id(http);
}

static void begin(const struct cw_http_limits_options *options)
{
    struct cw_server *server =
        rig_server(&cw_http, &(struct cw_server_options){.trusted_proxies = "127.0.0.1"});
    struct cw_http_group *group = cw_http_group(server, "/limited", NULL);

    cw_http_group_use(group, cw_http_limits(options));
    cw_http_group_route(group, "GET /hold", hold, NULL, NULL);
    cw_http_group_route(group, "GET|POST /", greet, NULL, NULL);
    cw_http_group_route(group, "GET /never", never, NULL, NULL);
    cw_http_route(server, "GET /free", greet, NULL);
    host = rig_host_start(server, NULL, NULL);
}

static void end(void)
{
    http_reply_release(&reply);
    rig_host_end(host);
}

static void write_request(char *request, size_t cap, const char *path, const char *client)
{
    snprintf(request, cap, "GET %s HTTP/1.1\r\nHost: a\r\n%s%s%s\r\n", path,
             client ? "X-Forwarded-For: " : "", client ? client : "", client ? "\r\n" : "");
}

/* One that stays until let_go. */
static void occupy(const char *client)
{
    char request[256];
    int before = atomic_load(&holding);
    int at = atomic_fetch_add(&peer_count, 1);

    write_request(request, sizeof request, "/limited/hold", client);
    peers[at] = http_peer_new(rig_host_port(host, 0));
    http_peer_send(&peers[at], request);
    rig_await(atomic_load(&holding) == before + 1);
}

static void let_go(void)
{
    rig_host_run(host, 0, answer_held, NULL);
    for (int i = 0; i < atomic_load(&peer_count); i++) {
        http_reply_release(&reply);
        http_peer_read(&peers[i], &reply, false);
        cr_expect_eq(reply.status, 200);
        http_peer_close(&peers[i]);
    }
    atomic_store(&peer_count, 0);
}

static int ask_raw(const char *request)
{
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));

    http_reply_release(&reply);
    http_peer_ask(&peer, request, &reply);
    http_peer_close(&peer);
    return reply.status;
}

static int ask(const char *path, const char *client)
{
    char request[256];

    write_request(request, sizeof request, path, client);
    return ask_raw(request);
}

Test(http_limits, more_requests_at_once_are_told_to_come_again)
{
    begin(&(struct cw_http_limits_options){.requests_max = 2, .retry_after_s = 7});
    occupy(NULL);
    occupy(NULL);
    cr_expect_eq(ask("/limited", NULL), 503);
    cr_expect_str_eq(http_reply_field(&reply, "Retry-After"), "7");
    cr_expect_eq(ask("/limited/nowhere", NULL), 503);
    cr_expect_eq(ask("/free", NULL), 200, "others are not of this group");
    let_go();
    rig_await(ask("/limited", NULL) == 200);
    cr_expect_eq(ask("/limited", NULL), 200, "what was answered does not count any more");
    end();
}

Test(http_limits, a_refused_request_takes_no_place)
{
    begin(&(struct cw_http_limits_options){.requests_max = 1});
    occupy(NULL);
    for (int i = 0; i < 5; i++) {
        cr_expect_eq(ask("/limited", NULL), 503);
        cr_expect_str_eq(http_reply_field(&reply, "Retry-After"), "1");
    }
    let_go();
    rig_await(ask("/limited", NULL) == 200);
    end();
}

Test(http_limits, one_client_does_not_take_the_places_of_others)
{
    begin(&(struct cw_http_limits_options){.per_client_max = 1});
    occupy("192.0.2.1");
    cr_expect_eq(ask("/limited", "192.0.2.1"), 429);
    cr_expect_str_eq(http_reply_field(&reply, "Retry-After"), "1");
    cr_expect_eq(ask("/limited", "192.0.2.2"), 200);
    occupy("2001:db8::1");
    cr_expect_eq(ask("/limited", "2001:db8::2"), 429, "whoever has one has all of its /64");
    cr_expect_eq(ask("/limited", "2001:db8:1::1"), 200);
    let_go();
    rig_await(ask("/limited", "192.0.2.1") == 200);
    end();
}

Test(http_limits, a_client_that_leaves_gives_its_place_back)
{
    begin(&(struct cw_http_limits_options){.per_client_max = 1, .requests_max = 1});
    occupy("192.0.2.1");
    rig_peer_reset(&peers[0].peer);
    http_peer_close(&peers[0]);
    rig_await(ask("/limited", "192.0.2.1") == 200);
    end();
}

Test(http_limits, a_trusted_proxy_is_no_client)
{
    begin(&(struct cw_http_limits_options){.per_client_max = 1});
    occupy(NULL);
    occupy(NULL);
    cr_expect_eq(ask("/limited", NULL), 200);
    let_go();
    end();
}

Test(http_limits, bodies_are_limited_for_the_group_alone)
{
    begin(&(struct cw_http_limits_options){.body_max_bytes = 10});
    cr_expect_eq(
        ask_raw("POST /limited HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789"), 200);
    cr_expect_eq(ask_raw("POST /limited HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n"), 413);
    cr_expect_eq(ask_raw("POST /limited HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "b\r\n01234567890\r\n0\r\n\r\n"),
                 413);
    end();
}

Test(http_limits, an_answer_that_does_not_come_in_time_is_503)
{
    begin(&(struct cw_http_limits_options){.response_ms = 30});
    cr_expect_eq(ask("/limited/never", NULL), 503);
    end();
}

Test(http_limits, a_body_that_does_not_come_in_time_is_408)
{
    begin(&(struct cw_http_limits_options){.body_ms = 30});
    cr_expect_eq(ask_raw("POST /limited HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"), 408);
    end();
}

Test(http_limits, without_options_nothing_is_limited)
{
    begin(NULL);
    occupy(NULL);
    occupy(NULL);
    cr_expect_eq(ask("/limited", NULL), 200);
    let_go();
    end();
}

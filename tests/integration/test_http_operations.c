/* What those who run a server of HTTP need: limits on clients, health, figures; over sockets. */
#include "support/host.h"
#include "support/leak.h"
#include "support/peer.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/middleware/http_health.h>
#include <causeway/middleware/http_metrics.h>
#include <causeway/middleware/http_rate_limit.h>
#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(http_operations, .fini = rig_expect_no_leak, .timeout = 60);

enum { ANSWER_MAX = 65536 };

static char answer[ANSWER_MAX]; /* the last one, head and body */

static void hello(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, "Hello, world!");
}

static void create(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 201, "made");
}

/* Everything up to the end of the connection. */
static void hear_all(struct rig_peer *peer)
{
    size_t len = 0;
    ptrdiff_t got;

    while ((got = rig_peer_receive_some(peer, answer + len, sizeof answer - 1 - len)) > 0) {
        len += (size_t)got;
        cr_assert_lt(len, sizeof answer - 1);
    }
    answer[len] = '\0';
}

static void ask_from(const char *source, uint16_t port, const char *request)
{
    struct rig_peer peer = rig_peer_tcp_from(source, "127.0.0.1", port, 0);

    rig_peer_send_text(&peer, request);
    hear_all(&peer);
    rig_peer_close(&peer);
}

/* One request on a connection of its own. Returns the status. */
static int ask(uint16_t port, const char *request)
{
    ask_from(NULL, port, request);
    cr_assert(strncmp(answer, "HTTP/1.1 ", 9) == 0, "%s", answer);
    return atoi(answer + 9);
}

static int get(uint16_t port, const char *path)
{
    char request[200];

    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
             path);
    return ask(port, request);
}

static void expect(const char *text)
{
    cr_expect(strstr(answer, text) != NULL, "no %s in:\n%s", text, answer);
}

static void expect_no(const char *text)
{
    cr_expect(strstr(answer, text) == NULL, "there is %s in:\n%s", text, answer);
}

static struct rig_host *start(const struct cw_server_options *options,
                              struct cw_http_middleware *middleware)
{
    struct cw_server *server = rig_server(&cw_http, options);

    cw_http_use(server, middleware);
    cw_http_route(server, "GET /", hello, NULL);
    cw_http_route_with(server, "POST /things", create, NULL,
                       &(struct cw_http_route_options){.name = "create"});
    return rig_host_start(server, NULL, NULL);
}

static const char three_requests[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
                                     "GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n"
                                     "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

Test(http_operations, the_third_request_of_a_client_with_two_is_refused_with_the_standard_fields)
{
    struct rig_host *host = start(NULL, cw_http_rate_limit(&(struct cw_http_rate_limit_options){
                                            .requests = 2, .per_ms = 600000}));

    ask_from(NULL, rig_host_port(host, 0), three_requests);
    expect("HTTP/1.1 200 ");
    expect("HTTP/1.1 404 "); /* counts too */
    expect("HTTP/1.1 429 ");
    expect("RateLimit-Policy: \"default\";q=2;w=600\r\n");
    expect("RateLimit: \"default\";r=1;t=300\r\n");
    expect("RateLimit: \"default\";r=0;t=600\r\n");
    expect("Retry-After: 300\r\n");
    ask_from("127.0.0.2", rig_host_port(host, 0), three_requests);
    expect("HTTP/1.1 200 ");
    rig_host_end(host);
}

Test(http_operations, behind_a_trusted_proxy_the_forwarded_client_is_counted)
{
    static const char by_ann[] =
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nConnection: close\r\n\r\n";
    static const char by_bob[] =
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.2\r\nConnection: close\r\n\r\n";
    struct rig_host *host = start(
        &(struct cw_server_options){.trusted_proxies = "127.0.0.1"},
        cw_http_rate_limit(&(struct cw_http_rate_limit_options){.requests = 1, .per_ms = 600000}));
    uint16_t port = rig_host_port(host, 0);

    cr_expect_eq(ask(port, by_ann), 200);
    cr_expect_eq(ask(port, by_bob), 200);
    cr_expect_eq(ask(port, by_ann), 429);
    /* From elsewhere the field is only a claim. */
    ask_from("127.0.0.2", port, by_ann);
    expect("HTTP/1.1 200 ");
    ask_from("127.0.0.2", port, by_bob);
    expect("HTTP/1.1 429 ");
    rig_host_end(host);
}

static struct cw_span token_of(struct cw_http_exchange *http, void *user)
{
    return cw_http_field(http, "X-Token");
}

Test(http_operations, a_key_of_ones_own_is_counted_instead_of_the_address)
{
    static const char with_token[] =
        "GET / HTTP/1.1\r\nHost: a\r\nX-Token: t1\r\nConnection: close\r\n\r\n";
    struct rig_host *host = start(NULL, cw_http_rate_limit(&(struct cw_http_rate_limit_options){
                                            .requests = 1, .per_ms = 600000, .key = token_of}));
    uint16_t port = rig_host_port(host, 0);

    cr_expect_eq(ask(port, with_token), 200);
    cr_expect_eq(ask(port, with_token), 429);
    cr_expect_eq(get(port, "/"), 200);
    cr_expect_eq(get(port, "/"), 200);
    rig_host_end(host);
}

Test(http_operations, ready_is_what_the_application_says_from_any_thread)
{
    struct cw_http_middleware *health = cw_http_health(NULL);
    struct rig_host *host = start(NULL, health);
    uint16_t port = rig_host_port(host, 0);

    cr_expect_eq(get(port, "/health/live"), 200);
    cr_expect_eq(get(port, "/health/ready"), 200);
    expect("Cache-Control: no-store\r\n");
    cw_http_health_set_ready(health, false);
    cr_expect_eq(get(port, "/health/ready"), 503);
    expect("\r\n\r\nnot ready: told so\n");
    cr_expect_eq(get(port, "/health/live"), 200);
    cr_expect_eq(get(port, "/"), 200);
    rig_host_end(host);
}

Test(http_operations, figures_tell_of_requests_connections_and_refused_heads)
{
    struct rig_host *host = start(&(struct cw_server_options){.workers = 2}, cw_http_metrics(NULL));
    uint16_t port = rig_host_port(host, 0);

    for (int i = 0; i < 5; i++) {
        cr_expect_eq(get(port, "/"), 200);
    }
    cr_expect_eq(get(port, "/nowhere"), 404);
    cr_expect_eq(ask(port, "POST /things HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
                           "Connection: close\r\n\r\nbody"),
                 201);
    cr_expect_eq(ask(port, "GET / HTTP/1.1\r\n\r\n"), 400);
    rig_await(rig_host_conns(host) == 0);
    cr_expect_eq(get(port, "/metrics"), 200);
    expect("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
    expect("\ncauseway_http_requests_total{route=\"GET /\",method=\"GET\",status=\"200\"} 5\n");
    expect("\ncauseway_http_requests_total{route=\"none\",method=\"GET\",status=\"404\"} 1\n");
    expect("\ncauseway_http_requests_total{route=\"create\",method=\"POST\",status=\"201\"} 1\n");
    expect("\ncauseway_http_request_duration_seconds_count{route=\"GET /\"} 5\n");
    expect("\ncauseway_http_request_body_bytes_total 4\n");
    expect("\ncauseway_http_heads_refused_total{status=\"400\"} 1\n");
    expect("\ncauseway_http_requests_in_flight 1\n");
    expect("\ncauseway_connections_open 1\n");
    expect("\ncauseway_connections_total 9\n");
    expect("\ncauseway_workers 2\n");
    expect("\ncauseway_build_info{version=\"" CW_VERSION "\"} 1\n");
    rig_host_end(host);
}

/* Every sample follows the TYPE of its family, has a number, and comes once. */
static void check_sample(const char *line, const char *family)
{
    char again[400];
    const char *value = strrchr(line, ' ');
    char *end;

    cr_assert_not_null(value, "%s", line);
    cr_expect(strncmp(line, family, strlen(family)) == 0, "%s is not of %s", line, family);
    strtod(value + 1, &end);
    cr_expect_eq(*end, '\0', "%s", line);
    snprintf(again, sizeof again, "\n%.*s ", (int)(value - line), line);
    const char *first = strstr(answer, again);
    cr_assert_not_null(first, "%s", line);
    cr_expect_null(strstr(first + 1, again), "twice: %s", line);
}

Test(http_operations, figures_are_in_prometheus_text_format)
{
    struct rig_host *host = start(NULL, cw_http_metrics(NULL));
    uint16_t port = rig_host_port(host, 0);
    char family[200] = "";
    char line[400];

    get(port, "/");
    get(port, "/metrics");
    const char *at = strstr(answer, "\r\n\r\n");
    cr_assert_not_null(at);
    at += 4;
    cr_expect_eq(answer[strlen(answer) - 1], '\n');
    while (sscanf(at, "%399[^\n]", line) == 1) {
        at += strlen(line) + 1;
        if (sscanf(line, "# TYPE %199s", family) == 1 || strncmp(line, "# HELP ", 7) == 0) {
            continue;
        }
        check_sample(line, family);
    }
    cr_expect_eq(*at, '\0');
    rig_host_end(host);
}

Test(http_operations, figures_and_health_may_be_kept_to_an_inner_port)
{
    const struct cw_http_options inner = {.site = "inner"};
    struct cw_server *server = rig_server(&cw_http, NULL);

    cw_http_use(server, cw_http_metrics(&(struct cw_http_metrics_options){.site = "inner"}));
    cw_http_use(server, cw_http_health(&(struct cw_http_health_options){.site = "inner"}));
    cw_http_route(server, "GET /", hello, NULL);
    cw_server_listen(server,
                     &(struct cw_listen_options){.host = "127.0.0.1",
                                                 .service = cw_http_service(&inner, NULL, NULL)});
    struct rig_host *host = rig_host_start(server, NULL, NULL);

    cr_expect_eq(get(rig_host_port(host, 0), "/metrics"), 404);
    cr_expect_eq(get(rig_host_port(host, 0), "/health/live"), 404);
    cr_expect_eq(get(rig_host_port(host, 1), "/metrics"), 200);
    cr_expect_eq(get(rig_host_port(host, 1), "/health/live"), 200);
    rig_host_end(host);
}

static void figures(struct cw_http_exchange *http, void *user)
{
    cw_http_metrics_reply(user, http);
}

Test(http_operations, a_route_of_ones_own_may_answer_with_the_figures)
{
    struct cw_http_middleware *metrics =
        cw_http_metrics(&(struct cw_http_metrics_options){.path = ""});
    struct cw_server *server = rig_server(&cw_http, NULL);

    cw_http_use(server, metrics);
    cw_http_route(server, "GET /inside/figures", figures, metrics);
    struct rig_host *host = rig_host_start(server, NULL, NULL);

    cr_expect_eq(get(rig_host_port(host, 0), "/metrics"), 404);
    cr_expect_eq(get(rig_host_port(host, 0), "/inside/figures"), 200);
    expect("\ncauseway_connections_open 1\n");
    expect_no("no-such-figure");
    rig_host_end(host);
}

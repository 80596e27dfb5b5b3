#include "support/leak.h"

#include <causeway/log.h>
#include <causeway/middleware/http_metrics.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* What this middleware sees of a request, a loop and a server, in the place of real ones. */
struct cw_http_exchange {
    const char *method;
    const char *path;
    const char *route;
    struct cw_http_options options;
    int status;
};

struct cw_loop {
    unsigned worker;
};

static struct cw_loop loops[2] = {{0}, {1}};
static struct cw_loop *here = &loops[0];
static const char *const route_names[] = {"GET /", "/say \"it\"", "GET /", "api", "none"};
static void (*refused)(struct cw_conn *conn, int status, void *user);
static void *refused_user;
static char *page; /* of the last reply */

unsigned cw_loop_worker(const struct cw_loop *loop)
{
    return loop->worker;
}

struct cw_loop *cw_http_loop(const struct cw_http_exchange *http)
{
    return here;
}

struct cw_loop *cw_conn_loop(const struct cw_conn *conn)
{
    return here;
}

struct cw_server *cw_http_server(const struct cw_http_exchange *http)
{
    return NULL;
}

unsigned cw_server_workers(const struct cw_server *server)
{
    return 2;
}

void cw_server_stats(const struct cw_server *server, struct cw_server_stats *stats)
{
    *stats = (struct cw_server_stats){.conns_open = 3,
                                      .conns_total = 12,
                                      .refused_conns_max = 4,
                                      .bytes_in = 18446744073709551615U,
                                      .queued_bytes = 77,
                                      .work_waiting = 5};
}

static struct cw_datagram_stats datagrams;

void cw_server_datagram_stats(const struct cw_server *server, struct cw_datagram_stats *stats)
{
    *stats = datagrams;
}

const struct cw_http_options *cw_http_options_of(const struct cw_http_exchange *http)
{
    return &http->options;
}

struct cw_span cw_http_method(const struct cw_http_exchange *http)
{
    return cw_span_text(http->method);
}

struct cw_span cw_http_path(const struct cw_http_exchange *http)
{
    return cw_span_text(http->path);
}

const char *cw_http_route_name(const struct cw_http_exchange *http)
{
    return http->route;
}

size_t cw_http_each_route(const struct cw_server *server,
                          void (*fn)(const struct cw_http_route_info *route, void *user), void *user)
{
    size_t count = sizeof route_names / sizeof *route_names;

    for (size_t i = 0; i < count; i++) {
        fn(&(struct cw_http_route_info){.name = route_names[i]}, user);
    }
    return count;
}

int cw_http_on_refused(struct cw_server *server,
                       void (*fn)(struct cw_conn *conn, int status, void *user), void *user)
{
    refused = fn;
    refused_user = user;
    return 0;
}

int cw_http_set_field(struct cw_http_exchange *http, const char *name, const char *value)
{
    return 0;
}

int cw_http_reply(struct cw_http_exchange *http, int status, const char *type, struct cw_span body)
{
    http->status = status;
    free(page);
    page = malloc(body.len + 1);
    cr_assert_not_null(page);
    memcpy(page, body.data, body.len);
    page[body.len] = '\0';
    cr_expect_str_eq(type, "text/plain; version=0.0.4; charset=utf-8");
    return 0;
}

int cw_http_reply_error(struct cw_http_exchange *http, int status, const char *text)
{
    http->status = status;
    return 0;
}

static char logged[500];

static void keep_line(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    cr_expect_eq(level, CW_LOG_ERROR);
    snprintf(logged, sizeof logged, "%s", text);
}

static void keep_log(void)
{
    cw_log_set(keep_line, NULL);
}

static void end(void)
{
    free(page);
    page = NULL;
    rig_expect_no_leak();
}

TestSuite(http_metrics, .init = keep_log, .fini = end, .timeout = 60);

static struct cw_http_middleware *started(const struct cw_http_metrics_options *options)
{
    struct cw_http_middleware *metrics = cw_http_metrics(options);

    cr_assert_not_null(metrics, "%s", logged);
    cr_assert_eq(metrics->start(metrics, NULL, NULL), CW_OK);
    return metrics;
}

static void ask(struct cw_http_middleware *metrics, const char *method, const char *route,
                int status, uint64_t took_us)
{
    struct cw_http_exchange http = {.method = method, .path = "/x", .route = route};
    const struct cw_http_outcome outcome = {
        .status = status, .bytes_in = 5, .bytes_out = 7, .took_us = took_us};

    cr_expect_eq(metrics->on_request(metrics, &http, NULL), CW_HTTP_NEXT);
    metrics->on_done(metrics, &http, NULL, &outcome);
}

static int fetch(struct cw_http_middleware *metrics, const char *method, const char *path)
{
    struct cw_http_exchange http = {.method = method, .path = path};
    const struct cw_http_outcome outcome = {.status = 200, .took_us = 1};
    int verdict = metrics->on_request(metrics, &http, NULL);

    metrics->on_done(metrics, &http, NULL, &outcome);
    return verdict;
}

static void expect_line(const char *line)
{
    char whole[300];

    snprintf(whole, sizeof whole, "\n%s\n", line);
    cr_expect(strstr(page, whole) != NULL, "no line %s in:\n%s", line, page);
}

static void expect_no(const char *text)
{
    cr_expect(strstr(page, text) == NULL, "there is %s in:\n%s", text, page);
}

Test(http_metrics, requests_are_counted_by_route_method_and_status)
{
    struct cw_http_middleware *metrics = started(NULL);

    ask(metrics, "GET", route_names[0], 200, 100);
    ask(metrics, "GET", route_names[0], 200, 100);
    ask(metrics, "HEAD", route_names[0], 200, 100);
    ask(metrics, "GET", route_names[0], 500, 100);
    ask(metrics, "POST", route_names[3], 201, 100);
    cr_expect_eq(fetch(metrics, "GET", "/metrics"), CW_HTTP_ANSWERED);
    expect_line("causeway_http_requests_total{route=\"GET /\",method=\"GET\",status=\"200\"} 2");
    expect_line("causeway_http_requests_total{route=\"GET /\",method=\"HEAD\",status=\"200\"} 1");
    expect_line("causeway_http_requests_total{route=\"GET /\",method=\"GET\",status=\"500\"} 1");
    expect_line("causeway_http_requests_total{route=\"api\",method=\"POST\",status=\"201\"} 1");
    metrics->release(metrics);
}

Test(http_metrics, workers_are_summed)
{
    struct cw_http_middleware *metrics = started(NULL);

    ask(metrics, "GET", route_names[0], 200, 100);
    here = &loops[1];
    ask(metrics, "GET", route_names[0], 200, 100);
    ask(metrics, "GET", route_names[0], 404, 100);
    fetch(metrics, "GET", "/metrics");
    expect_line("causeway_http_requests_total{route=\"GET /\",method=\"GET\",status=\"200\"} 2");
    expect_line("causeway_http_requests_total{route=\"GET /\",method=\"GET\",status=\"404\"} 1");
    expect_no("causeway_http_requests_total{route=\"GET /\",method=\"GET\",status=\"200\"} 1\n");
    expect_line("causeway_http_request_duration_seconds_count{route=\"GET /\"} 3");
    expect_line("causeway_http_request_body_bytes_total 15");
    expect_line("causeway_http_response_body_bytes_total 21");
    metrics->release(metrics);
}

Test(http_metrics, labels_are_bounded)
{
    struct cw_http_middleware *metrics = started(NULL);

    ask(metrics, "BREW", NULL, 405, 100);
    ask(metrics, "BREWED", NULL, 405, 100);
    ask(metrics, "GET", "never announced", 200, 100);
    ask(metrics, "GET", NULL, 0, 100);
    fetch(metrics, "GET", "/metrics");
    expect_line("causeway_http_requests_total{route=\"none\",method=\"other\",status=\"405\"} 2");
    expect_line("causeway_http_requests_total{route=\"none\",method=\"GET\",status=\"200\"} 1");
    expect_line("causeway_http_requests_total{route=\"none\",method=\"GET\",status=\"none\"} 1");
    expect_no("BREW");
    metrics->release(metrics);
}

Test(http_metrics, routes_of_one_name_are_counted_as_one)
{
    struct cw_http_middleware *metrics = started(NULL);
    char copy[] = "GET /"; /* the same name at another address */

    ask(metrics, "GET", route_names[0], 200, 100);
    ask(metrics, "GET", route_names[2], 200, 100);
    ask(metrics, "GET", copy, 200, 100);
    ask(metrics, "GET", route_names[4], 200, 100);
    fetch(metrics, "GET", "/metrics");
    expect_line("causeway_http_requests_total{route=\"GET /\",method=\"GET\",status=\"200\"} 3");
    expect_line("causeway_http_requests_total{route=\"none\",method=\"GET\",status=\"200\"} 1");
    metrics->release(metrics);
}

Test(http_metrics, quotes_in_a_name_are_escaped)
{
    struct cw_http_middleware *metrics = started(NULL);

    ask(metrics, "GET", route_names[1], 200, 100);
    fetch(metrics, "GET", "/metrics");
    expect_line(
        "causeway_http_requests_total{route=\"/say \\\"it\\\"\",method=\"GET\",status=\"200\"} 1");
    metrics->release(metrics);
}

Test(http_metrics, latencies_fall_into_cumulative_buckets)
{
    const uint64_t bounds[] = {500, 1000, 2500000};
    struct cw_http_middleware *metrics =
        started(&(struct cw_http_metrics_options){.buckets_us = bounds, .bucket_count = 3});

    ask(metrics, "GET", route_names[3], 200, 500);
    ask(metrics, "GET", route_names[3], 200, 501);
    ask(metrics, "GET", route_names[3], 200, 2000000);
    ask(metrics, "GET", route_names[3], 200, 60000000);
    fetch(metrics, "GET", "/metrics");
    expect_line("# TYPE causeway_http_request_duration_seconds histogram");
    expect_line("causeway_http_request_duration_seconds_bucket{route=\"api\",le=\"0.0005\"} 1");
    expect_line("causeway_http_request_duration_seconds_bucket{route=\"api\",le=\"0.001\"} 2");
    expect_line("causeway_http_request_duration_seconds_bucket{route=\"api\",le=\"2.5\"} 3");
    expect_line("causeway_http_request_duration_seconds_bucket{route=\"api\",le=\"+Inf\"} 4");
    expect_line("causeway_http_request_duration_seconds_sum{route=\"api\"} 62.001001");
    expect_line("causeway_http_request_duration_seconds_count{route=\"api\"} 4");
    metrics->release(metrics);
}

Test(http_metrics, a_route_nobody_asked_for_has_no_histogram)
{
    struct cw_http_middleware *metrics = started(NULL);

    fetch(metrics, "GET", "/metrics");
    expect_no("route=\"api\"");
    metrics->release(metrics);
}

Test(http_metrics, what_is_under_way_is_in_flight)
{
    struct cw_http_middleware *metrics = started(NULL);
    struct cw_http_exchange http = {.method = "GET", .path = "/slow", .route = route_names[3]};

    metrics->on_request(metrics, &http, NULL);
    fetch(metrics, "GET", "/metrics");
    expect_line("causeway_http_requests_in_flight 2"); /* the one for these figures, too */
    metrics->on_done(metrics, &http, NULL, &(struct cw_http_outcome){.status = 200});
    fetch(metrics, "GET", "/metrics");
    expect_line("causeway_http_requests_in_flight 1");
    metrics->release(metrics);
}

Test(http_metrics, refused_heads_are_counted_by_status)
{
    struct cw_http_middleware *metrics = started(NULL);

    refused(NULL, 431, refused_user);
    refused(NULL, 431, refused_user);
    here = &loops[1];
    refused(NULL, 431, refused_user);
    refused(NULL, 400, refused_user);
    refused(NULL, 7, refused_user); /* not a status: left out */
    fetch(metrics, "GET", "/metrics");
    expect_line("causeway_http_heads_refused_total{status=\"431\"} 3");
    expect_line("causeway_http_heads_refused_total{status=\"400\"} 1");
    metrics->release(metrics);
}

Test(http_metrics, the_servers_own_figures_are_there_whatever_it_speaks)
{
    struct cw_http_middleware *metrics = started(NULL);

    fetch(metrics, "HEAD", "/metrics");
    expect_line("# TYPE causeway_connections_open gauge");
    expect_line("causeway_connections_open 3");
    expect_line("causeway_connections_total 12");
    expect_line("causeway_connections_refused_total{reason=\"conns_max\"} 4");
    expect_line("causeway_received_bytes_total 18446744073709551615");
    expect_line("causeway_queued_bytes 77");
    expect_line("causeway_work_waiting 5");
    expect_line("causeway_workers 2");
    metrics->release(metrics);
}

Test(http_metrics, with_a_site_it_answers_there_alone)
{
    struct cw_http_middleware *metrics =
        started(&(struct cw_http_metrics_options){.path = "/figures", .site = "inner"});
    struct cw_http_exchange http = {
        .method = "GET", .path = "/figures", .options = {.site = "inner"}};

    cr_expect_eq(fetch(metrics, "GET", "/metrics"), CW_HTTP_NEXT);
    cr_expect_eq(fetch(metrics, "GET", "/figures"), CW_HTTP_NEXT);
    cr_expect_eq(metrics->on_request(metrics, &http, NULL), CW_HTTP_ANSWERED);
    metrics->release(metrics);
}

Test(http_metrics, only_reading_methods_get_the_figures)
{
    struct cw_http_middleware *metrics = started(NULL);

    cr_expect_eq(fetch(metrics, "POST", "/metrics"), CW_HTTP_NEXT);
    metrics->release(metrics);
}

Test(http_metrics, without_a_path_a_route_may_answer_with_them)
{
    struct cw_http_middleware *metrics = started(&(struct cw_http_metrics_options){.path = ""});
    struct cw_http_exchange http = {.method = "GET", .path = "/inside"};

    cr_expect_eq(fetch(metrics, "GET", "/metrics"), CW_HTTP_NEXT);
    cr_expect_eq(fetch(metrics, "GET", ""), CW_HTTP_NEXT);
    cr_expect_eq(cw_http_metrics_reply(metrics, &http), CW_OK);
    expect_line("causeway_connections_open 3");
    metrics->release(metrics);
}

Test(http_metrics, buckets_that_do_not_rise_are_refused_by_name)
{
    const uint64_t bounds[] = {500, 500};

    cr_expect_null(cw_http_metrics(
        &(struct cw_http_metrics_options){.buckets_us = bounds, .bucket_count = 2}));
    cr_expect(strstr(logged, "buckets_us") != NULL, "%s", logged);
    cr_expect_null(cw_http_metrics(
        &(struct cw_http_metrics_options){.buckets_us = bounds, .bucket_count = 0}));
    cr_expect_null(cw_http_metrics(&(struct cw_http_metrics_options){.path = "metrics"}));
    cr_expect(strstr(logged, "path") != NULL, "%s", logged);
}

Test(http_metrics, a_server_without_sockets_of_datagrams_has_no_figures_of_them)
{
    struct cw_http_middleware *metrics = started(NULL);

    fetch(metrics, "GET", "/metrics");
    expect_no("datagram");
    expect_no("dtls");
    metrics->release(metrics);
}

Test(http_metrics, datagrams_are_counted_with_what_was_dropped_and_why)
{
    struct cw_http_middleware *metrics = started(NULL);

    datagrams = (struct cw_datagram_stats){
        .sockets = 2,
        .received = 101,
        .sent = 102,
        .peers_expired = 103,
        .peers_replaced = 104,
        .peers_refused = 105,
        .dropped_kernel = 106,
        .dropped_truncated = 107,
        .dropped_paused = 108,
        .dropped_rule = 109,
        .dropped_unproven = 110,
        .dropped_too_big = 111,
        .dropped_full = 112,
        .dropped_error = 113,
        .errors_refused = 114,
        .errors_unreachable = 115,
        .errors_other = 116,
        .dtls_cookies = 117,
        .dtls_ignored = 118,
    };
    fetch(metrics, "GET", "/metrics");
    expect_line("# TYPE causeway_datagram_sockets gauge");
    expect_line("causeway_datagram_sockets 2");
    expect_line("# TYPE causeway_datagrams_received_total counter");
    expect_line("causeway_datagrams_received_total 101");
    expect_line("causeway_datagrams_sent_total 102");
    expect_line("causeway_datagram_peers_expired_total 103");
    expect_line("causeway_datagram_peers_replaced_total 104");
    expect_line("causeway_datagram_peers_refused_total 105");
    expect_line("causeway_datagrams_in_dropped_total{reason=\"kernel\"} 106");
    expect_line("causeway_datagrams_in_dropped_total{reason=\"truncated\"} 107");
    expect_line("causeway_datagrams_in_dropped_total{reason=\"paused\"} 108");
    expect_line("causeway_datagrams_in_dropped_total{reason=\"rule\"} 109");
    expect_line("causeway_datagrams_out_dropped_total{reason=\"unproven\"} 110");
    expect_line("causeway_datagrams_out_dropped_total{reason=\"too_big\"} 111");
    expect_line("causeway_datagrams_out_dropped_total{reason=\"full\"} 112");
    expect_line("causeway_datagrams_out_dropped_total{reason=\"error\"} 113");
    expect_line("causeway_datagram_errors_total{reason=\"refused\"} 114");
    expect_line("causeway_datagram_errors_total{reason=\"unreachable\"} 115");
    expect_line("causeway_datagram_errors_total{reason=\"other\"} 116");
    expect_line("causeway_dtls_cookies_total 117");
    expect_line("causeway_dtls_ignored_total 118");
    metrics->release(metrics);
}

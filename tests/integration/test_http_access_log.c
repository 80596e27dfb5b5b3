#include "support/host.h"
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/rig.h"
#include "support/wait.h"

#include <causeway/http.h>
#include <causeway/middleware/access_log.h>
#include <causeway/middleware/http_auth.h>
#include <causeway/middleware/http_request_id.h>
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct rig_host *host;
static struct http_reply reply;

static atomic_bool held;

/* What the log wrote; guarded, because its thread is another one. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char text[200000];
static size_t text_len;

static void keep(struct cw_span lines, void *user)
{
    pthread_mutex_lock(&lock);
    rig_check(text_len + lines.len < sizeof text);
    memcpy(text + text_len, lines.data, lines.len);
    text_len += lines.len;
    text[text_len] = '\0';
    pthread_mutex_unlock(&lock);
}

static bool has_come(const char *part)
{
    pthread_mutex_lock(&lock);
    bool come = strstr(text, part) != NULL;
    pthread_mutex_unlock(&lock);
    return come;
}

TestSuite(http_access_log, .fini = rig_expect_no_leak, .timeout = 60);

static void greet(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, "hello");
}

static void hold(struct cw_http_exchange *http, void *user)
{
    cw_http_id(http);
    atomic_store(&held, true);
}

static int check(struct cw_http_exchange *http, const char *name, const char *password, void *user)
{
    return CW_AUTH_YES;
}

static void run(struct cw_server *server)
{
    cw_http_route(server, "GET|POST /hello", greet, NULL);
    cw_http_route(server, "GET /hold", hold, NULL);
    host = rig_host_start(server, NULL, NULL);
}

static void begin(const struct cw_access_log_options *options)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct cw_access_log_options kept = *options;

    kept.write = options->path ? NULL : keep;
    cw_http_use(server, cw_access_log(&kept));
    run(server);
}

static void end(void)
{
    http_reply_release(&reply);
    rig_host_end(host);
}

static int ask(const char *request)
{
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));

    http_reply_release(&reply);
    http_peer_ask(&peer, request, &reply);
    http_peer_close(&peer);
    return reply.status;
}

/* The first line without the time; the rest moves up. */
static const char *next_line(void)
{
    static char line[8192];
    char *end = strchr(text, '\n');
    char *from = strchr(text, '[');
    char *to = strchr(text, ']');

    cr_assert(end && from && to && to < end, "%s", text);
    snprintf(line, sizeof line, "%.*s%.*s", (int)(from - text), text, (int)(end - to - 1), to + 1);
    memmove(text, end + 1, strlen(end));
    return line;
}

Test(http_access_log, each_request_is_one_line_in_combined_format)
{
    begin(&(struct cw_access_log_options){.format = CW_ACCESS_LOG_COMBINED});
    ask("GET /hello?a=b HTTP/1.1\r\nHost: a\r\nUser-Agent: test/1\r\nReferer: http://b/\r\n\r\n");
    ask("POST /hello HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc");
    ask("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
    size_t not_found = reply.body_len;
    ask("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    end();
    cr_expect_str_eq(next_line(), "127.0.0.1 - -  \"GET /hello?a=b HTTP/1.1\" 200 5 "
                                  "\"http://b/\" \"test/1\"");
    cr_expect_str_eq(next_line(), "127.0.0.1 - -  \"POST /hello HTTP/1.0\" 200 5 \"-\" \"-\"");
    char expected[128];
    snprintf(expected, sizeof expected,
             "127.0.0.1 - -  \"GET /nowhere HTTP/1.1\" 404 %zu \"-\" \"-\"", not_found);
    cr_expect_str_eq(next_line(), expected);
    cr_expect_str_eq(next_line(), "127.0.0.1 - -  \"HEAD /hello HTTP/1.1\" 200 0 \"-\" \"-\"");
    cr_expect_str_eq(text, "");
}

Test(http_access_log, a_refused_head_has_a_line_too)
{
    begin(&(struct cw_access_log_options){.format = CW_ACCESS_LOG_COMBINED});
    cr_expect_eq(ask("GET /hello HTTP/1.1\r\n\r\n"), 400);
    end();
    cr_expect_str_eq(next_line(), "127.0.0.1 - -  \"-\" 400 0 \"-\" \"-\"");
}

Test(http_access_log, json_has_user_request_id_and_route)
{
    struct cw_server *server =
        rig_server(&cw_http, &(struct cw_server_options){.trusted_proxies = "127.0.0.1"});

    cw_http_use(server, cw_access_log(&(struct cw_access_log_options){.format = CW_ACCESS_LOG_JSON,
                                                                      .write = keep}));
    cw_http_use(server, cw_http_request_id(NULL));
    cw_http_use(server, cw_http_basic_auth(&(struct cw_http_basic_auth_options){.check = check}));
    run(server);
    ask("GET /hello HTTP/1.1\r\nHost: a.example:80\r\nX-Request-Id: r-1\r\n"
        "X-Forwarded-For: 192.0.2.9\r\nAuthorization: Basic YWRhOnNlY3JldA==\r\n\r\n");
    end();
    cJSON *json = cJSON_Parse(text);
    cr_assert_not_null(json, "%s", text);
    static const char *const expected[][2] = {
        {"client", "192.0.2.9"}, {"user", "ada"},
        {"method", "GET"},       {"target", "/hello"},
        {"host", "a.example"},   {"version", "1.1"},
        {"request_id", "r-1"},   {"route", "GET|POST /hello"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const char *value = cJSON_GetStringValue(cJSON_GetObjectItem(json, expected[i][0]));
        cr_expect_str_eq(value ? value : "(none)", expected[i][1]);
    }
    cr_expect_eq(cJSON_GetNumberValue(cJSON_GetObjectItem(json, "status")), 200);
    cr_expect_eq(cJSON_GetNumberValue(cJSON_GetObjectItem(json, "bytes")), 5);
    cr_expect_null(strstr(text, "secret"));
    cr_expect_null(strstr(text, "YWRh"));
    cJSON_Delete(json);
}

Test(http_access_log, what_the_client_sends_cannot_make_a_line_of_its_own)
{
    begin(&(struct cw_access_log_options){.format = CW_ACCESS_LOG_COMBINED});
    ask("GET /hello?\"b\\ HTTP/1.1\r\nHost: a\r\nUser-Agent: x\" 200 \t\x80\r\n\r\n");
    bool taken = reply.status == 200;
    end();
    if (taken) {
        cr_expect_str_eq(next_line(), "127.0.0.1 - -  \"GET /hello?\\\"b\\\\ HTTP/1.1\" 200 5 "
                                      "\"-\" \"x\\\" 200 \\x09\\x80\"");
    } else {
        cr_expect_str_eq(next_line(), "127.0.0.1 - -  \"-\" 400 0 \"-\" \"-\"");
    }
    cr_expect_str_eq(text, "");
}

Test(http_access_log, lines_come_while_the_server_runs)
{
    begin(&(struct cw_access_log_options){.flush_ms = 10});
    ask("GET /hello?first HTTP/1.1\r\nHost: a\r\n\r\n");
    rig_await(has_come("?first"));
    ask("GET /hello?second HTTP/1.1\r\nHost: a\r\n\r\n");
    rig_await(has_come("?second"));
    end();
}

Test(http_access_log, the_query_can_be_left_out)
{
    begin(&(struct cw_access_log_options){.without_query = true});
    ask("GET /hello?token=secret HTTP/1.1\r\nHost: a\r\n\r\n");
    end();
    cr_expect_str_eq(next_line(), "127.0.0.1 - -  \"GET /hello HTTP/1.1\" 200 5 \"-\" \"-\"");
}

static bool is_good(struct cw_http_exchange *http, const struct cw_http_outcome *outcome, void *user)
{
    return outcome->status < 400;
}

Test(http_access_log, a_function_may_leave_lines_out)
{
    begin(&(struct cw_access_log_options){.skip = is_good});
    ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    ask("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
    end();
    cr_expect_not_null(strstr(next_line(), "/nowhere"));
    cr_expect_str_eq(text, "");
}

Test(http_access_log, a_client_that_leaves_before_the_answer_is_499)
{
    begin(&(struct cw_access_log_options){.flush_ms = 10});
    struct http_peer peer = http_peer_new(rig_host_port(host, 0));
    http_peer_send(&peer, "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n");
    rig_await(atomic_load(&held));
    rig_peer_reset(&peer.peer);
    http_peer_close(&peer);
    rig_await(has_come("/hold"));
    end();
    cr_expect_str_eq(next_line(), "127.0.0.1 - -  \"GET /hold HTTP/1.1\" 499 0 \"-\" \"-\"");
}

Test(http_access_log, no_line_is_lost_with_several_workers_and_many_requests)
{
    struct cw_server *server = rig_server(&cw_http, &(struct cw_server_options){.workers = 3});
    size_t lines = 0;

    cw_http_use(server, cw_access_log(&(struct cw_access_log_options){.write = keep}));
    run(server);
    for (int i = 0; i < 30; i++) {
        struct http_peer peer = http_peer_new(rig_host_port(host, 0));
        for (int k = 0; k < 50; k++) {
            http_reply_release(&reply);
            http_peer_ask(&peer, "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", &reply);
        }
        http_peer_close(&peer);
    }
    end();
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    cr_expect_eq(lines, 1500);
}

Test(http_access_log, two_logs_of_one_server_are_two)
{
    struct cw_server *server = rig_server(&cw_http, NULL);
    struct cw_http_group *group = cw_http_group(server, "/api", NULL);

    cw_http_group_use(group, cw_access_log(&(struct cw_access_log_options){.write = keep}));
    cw_http_group_use(group, cw_access_log(&(struct cw_access_log_options){
                                 .write = keep, .format = CW_ACCESS_LOG_EXTENDED}));
    cw_http_group_route(group, "GET /x", greet, NULL, NULL);
    run(server);
    ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    ask("GET /api/x HTTP/1.1\r\nHost: a\r\n\r\n");
    end();
    cr_expect_null(strstr(text, "/hello"));
    next_line();
    next_line();
    cr_expect_str_eq(text, "");
}

Test(http_access_log, a_file_is_written)
{
    char path[] = "/tmp/cw-access-XXXXXX";
    char found[512] = "";
    int fd = mkstemp(path);

    begin(&(struct cw_access_log_options){.path = path});
    ask("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n");
    end();
    cr_expect_gt(read(fd, found, sizeof found - 1), 0);
    cr_expect_not_null(strstr(found, "\"GET /hello HTTP/1.1\" 200 5"), "%s", found);
    close(fd);
    unlink(path);
}

Test(http_access_log, a_file_that_cannot_be_opened_stops_the_start)
{
    begin(&(struct cw_access_log_options){.path = "/nowhere/access.log"});
    cr_expect_lt(rig_host_join(host), 0);
    cr_expect_str_eq(cw_server_error(rig_host_server(host)),
                     "access log: open /nowhere/access.log: No such file or directory");
    rig_host_free(host);
}

Test(http_access_log, options_that_cannot_be_meant_are_refused)
{
    cr_expect_null(cw_access_log(&(struct cw_access_log_options){.path = "a", .write = keep}));
    cr_expect_null(cw_access_log(&(struct cw_access_log_options){.text_max_bytes = 2049}));
    cr_expect_null(cw_access_log(&(struct cw_access_log_options){.waiting_max_bytes = 1}));
    cr_expect_null(cw_access_log(&(struct cw_access_log_options){.flush_ms = CW_OFF}));
    cr_expect_null(
        cw_access_log(&(struct cw_access_log_options){.format = (enum cw_access_log_format)3}));
}

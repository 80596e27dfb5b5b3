#include "support/leak.h"

#include <causeway/log.h>
#include <causeway/middleware/http_health.h>
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>

/* A request as this middleware sees it, in the place of a real one. */
struct cw_http_exchange {
    const char *method;
    const char *path;
    struct cw_http_options options;
    int status;
    char body[256];
    char fields[256];
};

static bool stopping;

bool cw_server_is_stopping(const struct cw_server *server)
{
    return stopping;
}

struct cw_server *cw_http_server(const struct cw_http_exchange *http)
{
    return NULL;
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

int cw_http_set_field(struct cw_http_exchange *http, const char *name, const char *value)
{
    size_t len = strlen(http->fields);

    snprintf(http->fields + len, sizeof http->fields - len, "%s: %s\n", name, value);
    return 0;
}

int cw_http_reply_text(struct cw_http_exchange *http, int status, const char *text)
{
    http->status = status;
    snprintf(http->body, sizeof http->body, "%s", text);
    return 0;
}

int cw_http_replyf(struct cw_http_exchange *http, int status, const char *type, const char *format,
                   ...)
{
    va_list args;

    http->status = status;
    va_start(args, format);
    vsnprintf(http->body, sizeof http->body, format, args);
    va_end(args);
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

TestSuite(http_health, .init = keep_log, .fini = rig_expect_no_leak, .timeout = 60);

static struct cw_http_middleware *made(const struct cw_http_health_options *options)
{
    struct cw_http_middleware *health = cw_http_health(options);

    cr_assert_not_null(health, "%s", logged);
    return health;
}

static struct cw_http_exchange last;

/* Returns the status; 0: it went on to the next. */
static int ask(struct cw_http_middleware *health, const char *method, const char *path)
{
    last.method = method;
    last.path = path;
    last.status = 0;
    last.body[0] = last.fields[0] = '\0';
    int verdict = health->on_request(health, &last, NULL);
    cr_expect_eq(verdict, last.status == 0 ? CW_HTTP_NEXT : CW_HTTP_ANSWERED);
    return last.status;
}

Test(http_health, a_server_that_answers_is_alive_and_ready)
{
    struct cw_http_middleware *health = made(NULL);

    cr_expect_eq(ask(health, "GET", "/health/live"), 200);
    cr_expect_str_eq(last.body, "alive\n");
    cr_expect_str_eq(last.fields, "Cache-Control: no-store\n");
    cr_expect_eq(ask(health, "HEAD", "/health/ready"), 200);
    cr_expect_str_eq(last.body, "ready\n");
    health->release(health);
}

Test(http_health, other_paths_go_on)
{
    struct cw_http_middleware *health = made(NULL);

    cr_expect_eq(ask(health, "GET", "/"), 0);
    cr_expect_eq(ask(health, "GET", "/health"), 0);
    cr_expect_eq(ask(health, "GET", "/health/live/x"), 0);
    cr_expect_eq(ask(health, "GET", ""), 0);
    health->release(health);
}

Test(http_health, other_methods_are_not_allowed)
{
    struct cw_http_middleware *health = made(NULL);

    cr_expect_eq(ask(health, "POST", "/health/live"), 405);
    cr_expect_str_eq(last.fields, "Allow: GET, HEAD\n");
    health->release(health);
}

Test(http_health, it_is_alive_but_not_ready_while_it_stops)
{
    struct cw_http_middleware *health = made(NULL);

    stopping = true;
    cr_expect_eq(ask(health, "GET", "/health/live"), 200);
    cr_expect_eq(ask(health, "GET", "/health/ready"), 503);
    cr_expect_str_eq(last.body, "not ready: stopping\n");
    health->release(health);
}

Test(http_health, it_is_not_ready_when_told_so)
{
    struct cw_http_middleware *health =
        made(&(struct cw_http_health_options){.starts_unready = true});

    cr_expect_eq(ask(health, "GET", "/health/ready"), 503);
    cw_http_health_set_ready(health, true);
    cr_expect_eq(ask(health, "GET", "/health/ready"), 200);
    cw_http_health_set_ready(health, false);
    cr_expect_eq(ask(health, "GET", "/health/ready"), 503);
    health->release(health);
}

static bool is_well(void *user)
{
    return *(const bool *)user;
}

Test(http_health, a_check_that_fails_is_named)
{
    bool database = true;
    bool queue = true;
    const struct cw_http_health_check checks[] = {{"database", is_well, &database},
                                                  {"queue", is_well, &queue}};
    struct cw_http_middleware *health =
        made(&(struct cw_http_health_options){.checks = checks, .check_count = 2});

    cr_expect_eq(ask(health, "GET", "/health/ready"), 200);
    queue = false;
    cr_expect_eq(ask(health, "GET", "/health/ready"), 503);
    cr_expect_str_eq(last.body, "not ready: queue\n");
    cr_expect_eq(ask(health, "GET", "/health/live"), 200);
    health->release(health);
}

Test(http_health, with_a_site_it_answers_there_alone)
{
    struct cw_http_middleware *health = made(&(struct cw_http_health_options){.site = "inner"});

    cr_expect_eq(ask(health, "GET", "/health/live"), 0);
    last.options.site = "outer";
    cr_expect_eq(ask(health, "GET", "/health/live"), 0);
    last.options.site = "inner";
    cr_expect_eq(ask(health, "GET", "/health/live"), 200);
    health->release(health);
}

Test(http_health, paths_may_be_others_or_none)
{
    struct cw_http_middleware *health =
        made(&(struct cw_http_health_options){.live_path = "/healthz", .ready_path = ""});

    cr_expect_eq(ask(health, "GET", "/healthz"), 200);
    cr_expect_eq(ask(health, "GET", "/health/live"), 0);
    cr_expect_eq(ask(health, "GET", "/health/ready"), 0);
    health->release(health);
}

Test(http_health, what_cannot_be_served_is_refused_by_name)
{
    const struct cw_http_health_check no_function[] = {{"database", NULL, NULL}};

    cr_expect_null(cw_http_health(&(struct cw_http_health_options){.live_path = "healthz"}));
    cr_expect(strstr(logged, "live_path") != NULL, "%s", logged);
    cr_expect_null(cw_http_health(&(struct cw_http_health_options){.check_count = 1}));
    cr_expect(strstr(logged, "check_count") != NULL, "%s", logged);
    cr_expect_null(
        cw_http_health(&(struct cw_http_health_options){.checks = no_function, .check_count = 1}));
    cr_expect(strstr(logged, "checks") != NULL, "%s", logged);
}

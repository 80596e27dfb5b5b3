#include "support/leak.h"

#include <causeway/log.h>
#include <causeway/middleware/http_rate_limit.h>
#include <criterion/criterion.h>
#include <stdio.h>

/* A request as this middleware sees it, in the place of a real one. */
struct cw_http_exchange {
    struct cw_address client;
    const char *key; /* NULL: not counted */
    int error;       /* the status it was refused with */
    char fields[512];
};

/* The clock of this test, in the place of a real loop's. */
struct cw_loop {
    uint64_t now_ms;
};

static struct cw_loop clock_loop;

uint64_t cw_loop_now_ms(const struct cw_loop *loop)
{
    return loop->now_ms;
}

struct cw_loop *cw_http_loop(const struct cw_http_exchange *http)
{
    return &clock_loop;
}

const struct cw_address *cw_http_client(const struct cw_http_exchange *http)
{
    return &http->client;
}

int cw_http_reply_error(struct cw_http_exchange *http, int status, const char *text)
{
    http->error = status;
    return 0;
}

int cw_http_add_field(struct cw_http_exchange *http, const char *name, const char *value)
{
    size_t len = strlen(http->fields);

    snprintf(http->fields + len, sizeof http->fields - len, "%s: %s\n", name, value);
    return 0;
}

int cw_http_set_field(struct cw_http_exchange *http, const char *name, const char *value)
{
    return cw_http_add_field(http, name, value);
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
    clock_loop.now_ms = 1000000;
}

TestSuite(http_rate_limit, .init = keep_log, .fini = rig_expect_no_leak, .timeout = 60);

static struct cw_http_middleware *made(const struct cw_http_rate_limit_options *options)
{
    struct cw_http_middleware *limit = cw_http_rate_limit(options);

    cr_assert_not_null(limit, "%s", logged);
    return limit;
}

/* One request from on_request to on_reply. Returns 0, or the status it was refused with. */
static int ask(struct cw_http_middleware *limit, struct cw_http_exchange *http)
{
    uint64_t slot[16] = {0};

    cr_assert_leq(limit->slot_size, sizeof slot);
    int verdict = limit->on_request(limit, http, slot);
    limit->on_reply(limit, http, slot);
    cr_expect_eq(verdict, http->error == 0 ? CW_HTTP_NEXT : CW_HTTP_ANSWERED);
    return http->error;
}

static struct cw_http_exchange last;

static int ask_from(struct cw_http_middleware *limit, const char *address)
{
    last = (struct cw_http_exchange){0};
    cr_assert_eq(cw_address_parse(address, &last.client), CW_OK);
    return ask(limit, &last);
}

Test(http_rate_limit, requests_above_the_burst_are_refused_and_told_when_to_come_again)
{
    struct cw_http_middleware *limit =
        made(&(struct cw_http_rate_limit_options){.requests = 3, .per_ms = 30000});

    for (int i = 0; i < 3; i++) {
        cr_expect_eq(ask_from(limit, "10.0.0.1:1"), 0);
    }
    cr_expect_str_eq(last.fields,
                     "RateLimit-Policy: \"default\";q=3;w=30\nRateLimit: \"default\";r=0;t=30\n");
    cr_expect_eq(ask_from(limit, "10.0.0.1:2"), 429);
    cr_expect_str_eq(
        last.fields,
        "Retry-After: 10\nRateLimit-Policy: \"default\";q=3;w=30\nRateLimit: \"default\";r=0;t=30\n");
    limit->release(limit);
}

Test(http_rate_limit, it_refills_evenly)
{
    struct cw_http_middleware *limit =
        made(&(struct cw_http_rate_limit_options){.requests = 3, .per_ms = 30000});

    for (int i = 0; i < 3; i++) {
        ask_from(limit, "10.0.0.1:1");
    }
    clock_loop.now_ms += 9999;
    cr_expect_eq(ask_from(limit, "10.0.0.1:1"), 429);
    clock_loop.now_ms += 1;
    cr_expect_eq(ask_from(limit, "10.0.0.1:1"), 0);
    cr_expect_eq(ask_from(limit, "10.0.0.1:1"), 429);
    limit->release(limit);
}

Test(http_rate_limit, a_burst_of_its_own_is_what_the_policy_says)
{
    struct cw_http_middleware *limit = made(&(struct cw_http_rate_limit_options){
        .requests = 1, .per_ms = 1000, .burst = 5, .name = "slow"});

    cr_expect_eq(ask_from(limit, "10.0.0.1:1"), 0);
    cr_expect_str_eq(last.fields,
                     "RateLimit-Policy: \"slow\";q=5;w=5\nRateLimit: \"slow\";r=4;t=1\n");
    limit->release(limit);
}

Test(http_rate_limit, each_address_counts_for_itself_and_an_ipv6_one_by_its_64)
{
    struct cw_http_middleware *limit =
        made(&(struct cw_http_rate_limit_options){.requests = 1, .per_ms = 60000});

    cr_expect_eq(ask_from(limit, "10.0.0.1:1"), 0);
    cr_expect_eq(ask_from(limit, "10.0.0.2:1"), 0);
    cr_expect_eq(ask_from(limit, "10.0.0.1:1"), 429);
    cr_expect_eq(ask_from(limit, "[2001:db8::1]:1"), 0);
    cr_expect_eq(ask_from(limit, "[2001:db8::2]:1"), 429);
    cr_expect_eq(ask_from(limit, "[2001:db8:0:1::1]:1"), 0);
    limit->release(limit);
}

Test(http_rate_limit, a_unix_socket_is_not_counted)
{
    struct cw_http_middleware *limit =
        made(&(struct cw_http_rate_limit_options){.requests = 1, .per_ms = 60000});

    for (int i = 0; i < 3; i++) {
        last = (struct cw_http_exchange){.client = {.family = CW_UNIX}};
        cr_expect_eq(ask(limit, &last), 0);
        cr_expect_str_eq(last.fields, "");
    }
    limit->release(limit);
}

static struct cw_span key_of(struct cw_http_exchange *http, void *user)
{
    struct cw_span none = {0};

    cr_expect_str_eq(user, "mine");
    return http->key == NULL ? none : cw_span_text(http->key);
}

static int ask_with(struct cw_http_middleware *limit, const char *key)
{
    last = (struct cw_http_exchange){.key = key};
    return ask(limit, &last);
}

Test(http_rate_limit, a_key_function_says_who_is_counted)
{
    char user[] = "mine";
    struct cw_http_middleware *limit = made(&(struct cw_http_rate_limit_options){
        .requests = 1, .per_ms = 60000, .key = key_of, .user = user});

    cr_expect_eq(ask_with(limit, "ann"), 0);
    cr_expect_eq(ask_with(limit, "bob"), 0);
    cr_expect_eq(ask_with(limit, "ann"), 429);
    cr_expect_eq(ask_with(limit, NULL), 0);
    cr_expect_eq(ask_with(limit, NULL), 0);
    limit->release(limit);
}

Test(http_rate_limit, in_a_full_table_the_longest_silent_makes_way)
{
    struct cw_http_middleware *limit =
        made(&(struct cw_http_rate_limit_options){.requests = 1, .per_ms = 60000, .keys_max = 2});

    ask_from(limit, "10.0.0.1:1");
    ask_from(limit, "10.0.0.2:1");
    cr_expect_eq(ask_from(limit, "10.0.0.3:1"), 0);
    cr_expect_eq(ask_from(limit, "10.0.0.2:1"), 429);
    cr_expect_eq(ask_from(limit, "10.0.0.1:1"), 0);
    limit->release(limit);
}

Test(http_rate_limit, a_full_table_can_refuse_new_clients_until_one_has_rested)
{
    struct cw_http_middleware *limit = made(&(struct cw_http_rate_limit_options){
        .requests = 1, .per_ms = 60000, .keys_max = 2, .refuse_new = true});

    ask_from(limit, "10.0.0.1:1");
    clock_loop.now_ms += 10000;
    ask_from(limit, "10.0.0.2:1");
    cr_expect_eq(ask_from(limit, "10.0.0.3:1"), 503);
    cr_expect_str_eq(last.fields, "Retry-After: 50\n");
    cr_expect_eq(ask_from(limit, "10.0.0.1:1"), 429);
    clock_loop.now_ms += 50000;
    cr_expect_eq(ask_from(limit, "10.0.0.3:1"), 503); /* the other has been silent for longer now */
    clock_loop.now_ms += 10000;
    cr_expect_eq(ask_from(limit, "10.0.0.3:1"), 0);
    limit->release(limit);
}

Test(http_rate_limit, quiet_sends_retry_after_alone)
{
    struct cw_http_middleware *limit =
        made(&(struct cw_http_rate_limit_options){.requests = 1, .per_ms = 1000, .quiet = true});

    ask_from(limit, "10.0.0.1:1");
    cr_expect_str_eq(last.fields, "");
    ask_from(limit, "10.0.0.1:1");
    cr_expect_str_eq(last.fields, "Retry-After: 1\n");
    limit->release(limit);
}

Test(http_rate_limit, the_default_is_600_in_a_minute)
{
    struct cw_http_middleware *limit = made(NULL);

    ask_from(limit, "10.0.0.1:1");
    cr_expect_str_eq(last.fields, "RateLimit-Policy: \"default\";q=600;w=60\nRateLimit: "
                                  "\"default\";r=599;t=1\n");
    limit->release(limit);
}

Test(http_rate_limit, a_name_that_is_no_string_of_a_field_is_refused)
{
    cr_expect_null(cw_http_rate_limit(&(struct cw_http_rate_limit_options){.name = "a\"b"}));
    cr_expect(strstr(logged, "name") != NULL, "%s", logged);
    cr_expect_null(cw_http_rate_limit(&(struct cw_http_rate_limit_options){.name = ""}));
    cr_expect_null(cw_http_rate_limit(&(struct cw_http_rate_limit_options){.name = "a\r\nb"}));
}

Test(http_rate_limit, numbers_that_no_field_can_carry_are_refused)
{
    cr_expect_null(
        cw_http_rate_limit(&(struct cw_http_rate_limit_options){.requests = CW_NO_LIMIT}));
    cr_expect(strstr(logged, "requests") != NULL, "%s", logged);
    cr_expect_null(cw_http_rate_limit(&(struct cw_http_rate_limit_options){.burst = CW_OFF}));
    cr_expect(strstr(logged, "burst") != NULL, "%s", logged);
}

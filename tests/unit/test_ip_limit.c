#include "support/leak.h"

#include <causeway/log.h>
#include <causeway/loop.h>
#include <causeway/middleware/ip_limit.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>

/* The clock of this test, in the place of a real loop's. */
struct cw_loop {
    uint64_t now_ms;
};

uint64_t cw_loop_now_ms(const struct cw_loop *loop)
{
    return loop->now_ms;
}

static char logged[500];
static unsigned lines;

static void keep_line(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    cr_expect_geq(level, CW_LOG_WARNING);
    lines++;
    snprintf(logged, sizeof logged, "%s", text);
}

static void keep_log(void)
{
    cw_log_set(keep_line, NULL);
}

TestSuite(ip_limit, .init = keep_log, .fini = rig_expect_no_leak, .timeout = 60);

static uint64_t reached;

static int accept_at(struct cw_conn_middleware *limit, const char *text, uint64_t now_ms)
{
    struct cw_loop loop = {now_ms};
    struct cw_address peer;

    cr_assert_eq(cw_address_parse(text, &peer), CW_OK);
    reached = 0;
    return limit->on_accept(limit, &loop, &peer, &reached);
}

static int accept_peer(struct cw_conn_middleware *limit, const char *text)
{
    return accept_at(limit, text, 1000);
}

static struct cw_conn_middleware *made(const struct cw_ip_limit_options *options)
{
    struct cw_conn_middleware *limit = cw_ip_limit(options);

    cr_assert_not_null(limit, "%s", logged);
    return limit;
}

Test(ip_limit, without_rules_everyone_passes)
{
    struct cw_conn_middleware *limit = made(NULL);

    cr_expect_eq(accept_peer(limit, "10.0.0.1:1"), CW_OK);
    cr_expect_eq(accept_peer(limit, "[::1]:1"), CW_OK);
    limit->release(limit);
}

Test(ip_limit, only_those_allowed_pass)
{
    const char *const allow[] = {"10.0.0.0/8", "2001:db8::/32", "192.168.1.1", NULL};
    struct cw_conn_middleware *limit = made(&(struct cw_ip_limit_options){.allow = allow});

    cr_expect_eq(accept_peer(limit, "10.200.0.1:1"), CW_OK);
    cr_expect_eq(accept_peer(limit, "[2001:db8::5]:1"), CW_OK);
    cr_expect_eq(accept_peer(limit, "192.168.1.1:1"), CW_OK);
    cr_expect_eq(accept_peer(limit, "192.168.1.2:1"), CW_EDENIED);
    cr_expect_eq(accept_peer(limit, "[2001:db9::5]:1"), CW_EDENIED);
    limit->release(limit);
}

Test(ip_limit, an_empty_allow_list_lets_nobody_in)
{
    const char *const nobody[] = {NULL};
    struct cw_conn_middleware *limit = made(&(struct cw_ip_limit_options){.allow = nobody});

    cr_expect_eq(accept_peer(limit, "10.0.0.1:1"), CW_EDENIED);
    limit->release(limit);
}

Test(ip_limit, deny_wins_over_allow)
{
    const char *const allow[] = {"10.0.0.0/8", NULL};
    const char *const deny[] = {"10.6.6.0/24", NULL};
    struct cw_conn_middleware *limit =
        made(&(struct cw_ip_limit_options){.allow = allow, .deny = deny});

    cr_expect_eq(accept_peer(limit, "10.6.5.255:1"), CW_OK);
    cr_expect_eq(accept_peer(limit, "10.6.6.6:1"), CW_EDENIED);
    limit->release(limit);
}

Test(ip_limit, unix_sockets_pass_whatever_the_rules)
{
    const char *const nobody[] = {NULL};
    struct cw_conn_middleware *limit =
        made(&(struct cw_ip_limit_options){.allow = nobody, .accepts = 1});
    struct cw_address local = {.family = CW_UNIX};
    struct cw_address unknown = {.family = CW_FAMILY_NONE};
    struct cw_loop loop = {1};

    for (int i = 0; i < 3; i++) {
        cr_expect_eq(limit->on_accept(limit, &loop, &local, &reached), CW_OK);
    }
    cr_expect_eq(limit->on_accept(limit, &loop, &unknown, &reached), CW_EDENIED);
    limit->release(limit);
}

Test(ip_limit, the_rate_passes_and_one_more_is_refused_until_it_refills)
{
    struct cw_conn_middleware *limit =
        made(&(struct cw_ip_limit_options){.accepts = 2, .per_ms = 1000});

    cr_expect_eq(accept_at(limit, "10.0.0.1:1", 5000), CW_OK);
    cr_expect_eq(accept_at(limit, "10.0.0.1:2", 5000), CW_OK);
    cr_expect_eq(accept_at(limit, "10.0.0.1:3", 5000), CW_ERATE);
    cr_expect_eq(reached, 2);
    cr_expect_eq(accept_at(limit, "10.0.0.2:1", 5000), CW_OK);
    cr_expect_eq(accept_at(limit, "10.0.0.1:4", 5499), CW_ERATE);
    cr_expect_eq(accept_at(limit, "10.0.0.1:5", 5500), CW_OK);
    limit->release(limit);
}

Test(ip_limit, one_second_is_the_standard_time)
{
    struct cw_conn_middleware *limit = made(&(struct cw_ip_limit_options){.accepts = 1});

    cr_expect_eq(accept_at(limit, "10.0.0.1:1", 5000), CW_OK);
    cr_expect_eq(accept_at(limit, "10.0.0.1:1", 5999), CW_ERATE);
    cr_expect_eq(accept_at(limit, "10.0.0.1:1", 6000), CW_OK);
    limit->release(limit);
}

Test(ip_limit, a_64_of_ipv6_counts_as_one)
{
    struct cw_conn_middleware *limit = made(&(struct cw_ip_limit_options){.accepts = 1});

    cr_expect_eq(accept_peer(limit, "[2001:db8::1]:1"), CW_OK);
    cr_expect_eq(accept_peer(limit, "[2001:db8::2]:1"), CW_ERATE);
    cr_expect_eq(accept_peer(limit, "[2001:db8:0:1::2]:1"), CW_OK);
    limit->release(limit);
}

Test(ip_limit, those_denied_do_not_use_up_the_rate)
{
    const char *const deny[] = {"10.0.0.1", NULL};
    struct cw_conn_middleware *limit =
        made(&(struct cw_ip_limit_options){.deny = deny, .accepts = 1, .addresses_max = 1});

    cr_expect_eq(accept_peer(limit, "10.0.0.2:1"), CW_OK);
    cr_expect_eq(accept_peer(limit, "10.0.0.1:1"), CW_EDENIED);
    cr_expect_eq(accept_peer(limit, "10.0.0.2:1"), CW_ERATE);
    limit->release(limit);
}

Test(ip_limit, no_more_addresses_are_remembered_than_allowed)
{
    struct cw_conn_middleware *limit =
        made(&(struct cw_ip_limit_options){.accepts = 1, .addresses_max = 2});

    cr_expect_eq(accept_peer(limit, "10.0.0.1:1"), CW_OK);
    cr_expect_eq(accept_peer(limit, "10.0.0.2:1"), CW_OK);
    cr_expect_eq(accept_peer(limit, "10.0.0.3:1"), CW_OK);
    cr_expect_eq(accept_peer(limit, "10.0.0.3:1"), CW_ERATE);
    cr_expect_eq(accept_peer(limit, "10.0.0.1:1"), CW_OK); /* forgotten */
    limit->release(limit);
}

Test(ip_limit, the_texts_need_not_outlive_the_call)
{
    char text[] = "10.0.0.0/8";
    const char *deny[] = {text, NULL};
    struct cw_conn_middleware *limit = made(&(struct cw_ip_limit_options){.deny = deny});

    memset(text, 'x', sizeof text - 1);
    deny[0] = NULL;
    cr_expect_eq(accept_peer(limit, "10.0.0.1:1"), CW_EDENIED);
    limit->release(limit);
}

Test(ip_limit, a_text_that_is_no_prefix_is_named)
{
    const char *const wrong[] = {"10.0.0.0/8", "10.0.0.0/33", NULL};

    cr_expect_null(cw_ip_limit(&(struct cw_ip_limit_options){.allow = wrong}));
    cr_expect_str_eq(logged, "ip_limit: allow: \"10.0.0.0/33\" is not an address or a prefix");
    cr_expect_null(cw_ip_limit(&(struct cw_ip_limit_options){.deny = wrong}));
    cr_expect_str_eq(logged, "ip_limit: deny: \"10.0.0.0/33\" is not an address or a prefix");
}

Test(ip_limit, a_time_without_a_number_is_refused)
{
    cr_expect_null(cw_ip_limit(&(struct cw_ip_limit_options){.per_ms = 5}));
    cr_expect_str_eq(logged, "ip_limit: per_ms and addresses_max need accepts");
    cr_expect_null(cw_ip_limit(&(struct cw_ip_limit_options){.addresses_max = 5}));
}

static int datagram_of(struct cw_conn_middleware *limit, const char *text)
{
    struct cw_loop loop = {20000};
    struct cw_datagram from = {0};

    cr_assert_eq(cw_address_parse(text, &from.peer), CW_OK);
    return limit->on_datagram(limit, &loop, &from, 1);
}

Test(ip_limit, the_lists_are_for_datagrams_too)
{
    const char *const allow[] = {"10.0.0.0/8", NULL};
    const char *const deny[] = {"10.6.6.0/24", NULL};
    struct cw_conn_middleware *limit =
        made(&(struct cw_ip_limit_options){.allow = allow, .deny = deny, .accepts = 1});

    for (int i = 0; i < 3; i++) {
        cr_expect_eq(datagram_of(limit, "10.6.5.1:1"), CW_OK, "the rate is for new peers");
    }
    cr_expect_eq(lines, 0);
    cr_expect_eq(datagram_of(limit, "10.6.6.6:1"), CW_EDENIED);
    cr_expect_eq(datagram_of(limit, "11.0.0.1:1"), CW_EDENIED);
    cr_expect_eq(lines, 1);
    cr_expect_str_eq(logged,
                     "ip_limit: 10.6.6.6:1 is not allowed here; datagrams dropped so far: 1");
    limit->release(limit);
}

Test(ip_limit, without_lists_nobody_is_asked_about_datagrams)
{
    struct cw_conn_middleware *limit = made(&(struct cw_ip_limit_options){.accepts = 1});

    cr_expect_null(limit->on_datagram);
    limit->release(limit);
}

enum { THREADS = 4, TRIES = 5000, ACCEPTS = 1000 };

static void *connect_often(void *limit)
{
    intptr_t passed = 0;

    for (int i = 0; i < TRIES; i++) {
        passed += accept_peer(limit, "10.0.0.1:1") == CW_OK;
    }
    return (void *)passed;
}

Test(ip_limit, all_workers_together_keep_the_rate)
{
    struct cw_conn_middleware *limit = made(&(struct cw_ip_limit_options){.accepts = ACCEPTS});
    pthread_t threads[THREADS];
    intptr_t passed = 0;

    for (int i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, connect_often, limit), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        passed += (intptr_t)result;
    }
    cr_expect_eq(passed, ACCEPTS);
    limit->release(limit);
}

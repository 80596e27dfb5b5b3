/* Rules about peers of datagrams: who may come, how often, how many of one address, how much one may send. */
#include "support/http_peer.h"
#include "support/leak.h"
#include "support/udp_scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/middleware/datagram_limit.h>
#include <causeway/middleware/http_metrics.h>
#include <causeway/middleware/ip_limit.h>
#include <causeway/middleware/rate_limit.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char logged[10000];

/* By one worker only. */
static void keep_line(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    if (level >= CW_LOG_WARNING && strlen(logged) + strlen(text) + 2 < sizeof logged) {
        strcat(strcat(logged, text), "\n");
    }
}

static void keep_log(void)
{
    cw_log_set(keep_line, NULL);
}

TestSuite(udp_rules, .init = keep_log, .fini = rig_expect_no_leak, .timeout = 60);

static struct rig_scene scene;

static void begin_with(const struct rig_udp_setup *setup, struct cw_conn_middleware *middleware)
{
    struct cw_server *server = rig_udp_server(setup);

    cr_assert_eq(cw_server_use(server, middleware), CW_OK, "%s", cw_server_error(server));
    rig_udp_begin_server(&scene, server, setup->hooks);
}

static void begin(struct cw_conn_middleware *middleware)
{
    begin_with(&(struct rig_udp_setup){0}, middleware);
}

/* ---- lists ---- */

/* Only 127.0.0.2 is served. */
static void expect_only_2(const struct rig_udp_setup *setup, const struct cw_ip_limit_options *rules)
{
    struct rig_udp wanted;
    struct rig_udp unwanted;

    begin_with(setup, cw_ip_limit(rules));
    unwanted = rig_udp_peer_at(&scene, "127.0.0.66");
    wanted = rig_udp_peer_at(&scene, "127.0.0.2");
    for (int i = 0; i < 5; i++) {
        rig_udp_send_text(&unwanted, "let me in");
        rig_udp_expect_echo(&wanted, "hello");
    }
    rig_udp_expect_nothing(&unwanted);
    cr_expect_eq(rig_udp_stats(&scene).dropped_rule, 5);
    cr_expect_eq(rig_udp_stats(&scene).peers_refused, 0, "it never came so far");
    rig_udp_close(&wanted);
    rig_udp_close(&unwanted);
}

static void expect_one_line(const char *beginning)
{
    cr_assert_eq(strncmp(logged, beginning, strlen(beginning)), 0, "%s", logged);
    cr_expect_eq(strchr(logged, '\n'), logged + strlen(logged) - 1, "more lines: %s", logged);
}

Test(udp_rules, who_is_denied_gets_no_peer_and_no_answer)
{
    const char *const deny[] = {"127.0.0.64/26", NULL};

    expect_only_2(&(struct rig_udp_setup){0}, &(struct cw_ip_limit_options){.deny = deny});
    cr_expect_eq(atomic_load(&scene.story.opened), 1);
    rig_scene_end(&scene);
    expect_one_line("ip_limit: 127.0.0.66:");
}

Test(udp_rules, who_is_not_allowed_gets_none_either)
{
    const char *const allow[] = {"127.0.0.2", "::1", NULL};

    expect_only_2(&(struct rig_udp_setup){0}, &(struct cw_ip_limit_options){.allow = allow});
    cr_expect_eq(atomic_load(&scene.story.opened), 1);
    rig_scene_end(&scene);
}

Test(udp_rules, who_is_denied_cannot_cause_errors_with_datagrams_that_are_too_long)
{
    const char *const deny[] = {"127.0.0.66", NULL};
    uint8_t bytes[600] = {0};
    struct rig_udp denied;
    struct rig_udp peer;

    begin_with(&(struct rig_udp_setup){.udp = {.datagram_max_bytes = 512}},
               cw_ip_limit(&(struct cw_ip_limit_options){.deny = deny}));
    denied = rig_udp_peer_at(&scene, "127.0.0.66");
    peer = rig_udp_peer(&scene);
    rig_udp_send(&denied, bytes, sizeof bytes);
    rig_udp_expect_echo(&peer, "hello");
    cr_expect_eq(rig_udp_stats(&scene).dropped_rule, 1);
    cr_expect_eq(rig_udp_stats(&scene).dropped_truncated, 0);
    cr_expect_eq(atomic_load(&scene.story.errors), 0);
    rig_udp_send(&peer, bytes, sizeof bytes);
    rig_udp_await(&scene, dropped_truncated, 1);
    rig_await(atomic_load(&scene.story.errors) == 1);
    rig_udp_close(&denied);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

static void answer(struct cw_loop *loop, struct cw_datagram *from, const struct cw_message *msg,
                   void *user)
{
    rig_check(cw_datagram_reply(loop, from, msg->body) == CW_OK);
}

Test(udp_rules, the_lists_hold_where_there_are_no_peers)
{
    const char *const deny[] = {"127.0.0.66", NULL};

    expect_only_2(&(struct rig_udp_setup){.udp = {.on_datagram = answer}},
                  &(struct cw_ip_limit_options){.deny = deny});
    cr_expect_eq(atomic_load(&scene.story.opened), 0);
    rig_scene_end(&scene);
}

/* ---- how often, how many ---- */

Test(udp_rules, new_peers_of_an_address_are_counted_and_known_ones_are_not)
{
    struct rig_udp peers[3];
    struct rig_udp other;

    begin(cw_ip_limit(&(struct cw_ip_limit_options){.accepts = 2, .per_ms = 3600000}));
    for (int i = 0; i < 3; i++) {
        peers[i] = rig_udp_peer(&scene);
    }
    other = rig_udp_peer_at(&scene, "127.0.0.2");
    for (int i = 0; i < 10; i++) {
        rig_udp_expect_echo(&peers[0], "first");
        rig_udp_expect_echo(&peers[1], "second");
    }
    rig_udp_send_text(&peers[2], "and me?");
    rig_udp_expect_echo(&other, "hello");
    rig_udp_expect_nothing(&peers[2]);
    rig_udp_await(&scene, peers_refused, 1);
    cr_expect_eq(rig_udp_stats(&scene).dropped_rule, 0);
    cr_expect_eq(rig_scene_stats(&scene).refused_middleware, 1);
    cr_expect_eq(atomic_load(&scene.story.opened), 3);
    rig_await(atomic_load(&scene.story.errors) == 1);
    cr_expect_eq(scene.story.report.code, CW_ERATE);
    cr_expect_eq(scene.story.report.limit, 2);
    for (int i = 0; i < 3; i++) {
        rig_udp_close(&peers[i]);
    }
    rig_udp_close(&other);
    rig_scene_end(&scene);
}

Test(udp_rules, an_address_at_its_number_of_peers_may_have_another_when_one_has_expired)
{
    struct rig_udp peers[3];

    rig_udp_begin(&scene, &(struct rig_udp_setup){.server = {.conns_per_ip_max = 2},
                                                  .datagram = {.peer_idle_ms = 400}});
    for (int i = 0; i < 3; i++) {
        peers[i] = rig_udp_peer(&scene);
    }
    rig_udp_expect_echo(&peers[0], "first");
    rig_udp_expect_echo(&peers[1], "second");
    rig_udp_send_text(&peers[2], "and me?");
    rig_udp_await(&scene, peers_refused, 1);
    cr_expect_eq(rig_scene_stats(&scene).refused_conns_per_ip, 1);
    rig_await(atomic_load(&scene.story.closed) >= 2);
    rig_udp_expect_echo(&peers[2], "now?");
    for (int i = 0; i < 3; i++) {
        rig_udp_close(&peers[i]);
    }
    rig_scene_end(&scene);
}

/* ---- one on_gone for each on_accept, one on_close for each on_open ---- */

struct tally {
    struct cw_conn_middleware table; /* first: self is both */
    atomic_uint datagrams;
    atomic_uint accepted;
    atomic_uint gone;
    atomic_uint opened;
    atomic_uint messages;
    atomic_uint closed;
};

static int count_datagram(struct cw_conn_middleware *self, struct cw_loop *loop,
                          const struct cw_datagram *from, size_t len)
{
    rig_check(from->peer.family == CW_IPV4);
    atomic_fetch_add(&((struct tally *)self)->datagrams, 1);
    return CW_OK;
}

static int count_accept(struct cw_conn_middleware *self, struct cw_loop *loop,
                        const struct cw_address *peer, uint64_t *limit)
{
    atomic_fetch_add(&((struct tally *)self)->accepted, 1);
    return CW_OK;
}

static void count_gone(struct cw_conn_middleware *self, struct cw_loop *loop,
                       const struct cw_address *peer)
{
    atomic_fetch_add(&((struct tally *)self)->gone, 1);
}

static int count_open(struct cw_conn_middleware *self, struct cw_conn *conn, void *slot)
{
    atomic_fetch_add(&((struct tally *)self)->opened, 1);
    return cw_conn_peer(conn)->ip[3] == 3 ? CW_EDENIED : CW_OK;
}

static int count_message(struct cw_conn_middleware *self, struct cw_conn *conn, void *slot,
                         const struct cw_message *msg)
{
    atomic_fetch_add(&((struct tally *)self)->messages, 1);
    (*(unsigned *)slot)++;
    return CW_PASS;
}

static void count_close(struct cw_conn_middleware *self, struct cw_conn *conn, void *slot)
{
    rig_check(*(unsigned *)slot == 2);
    atomic_fetch_add(&((struct tally *)self)->closed, 1);
}

Test(udp_rules, middleware_is_asked_about_every_datagram_and_told_of_every_peer)
{
    struct tally tally = {.table = {.name = "tally",
                                    .conn_size = sizeof(unsigned),
                                    .on_datagram = count_datagram,
                                    .on_accept = count_accept,
                                    .on_gone = count_gone,
                                    .on_open = count_open,
                                    .on_message = count_message,
                                    .on_close = count_close}};
    struct rig_udp peers[2];
    struct rig_udp refused;

    begin_with(&(struct rig_udp_setup){.datagram = {.peer_idle_ms = 300}}, &tally.table);
    refused = rig_udp_peer_at(&scene, "127.0.0.3");
    rig_udp_send_text(&refused, "let me in");
    for (int i = 0; i < 2; i++) {
        peers[i] = rig_udp_peer(&scene);
        rig_udp_expect_echo(&peers[i], "one");
        rig_udp_expect_echo(&peers[i], "two");
    }
    rig_udp_expect_nothing(&refused);
    cr_expect_eq(atomic_load(&tally.datagrams), 5);
    cr_expect_eq(atomic_load(&tally.accepted), 3);
    cr_expect_eq(atomic_load(&tally.opened), 3);
    cr_expect_eq(atomic_load(&tally.messages), 4);
    rig_await(atomic_load(&tally.gone) == 3);
    cr_expect_eq(atomic_load(&tally.closed), 2);
    cr_expect_eq(atomic_load(&scene.story.opened), 2);
    rig_udp_close(&refused);
    rig_udp_close(&peers[0]);
    rig_udp_close(&peers[1]);
    rig_scene_end(&scene);
}

/* ---- how much one may send ---- */

Test(udp_rules, an_address_above_its_rate_is_cut_before_it_has_peers)
{
    enum { ALLOWED = 20, PEERS = 60 };
    struct rig_udp peers[PEERS];
    struct rig_udp other;
    uint64_t began_ms = rig_now_ms();
    uint64_t most;

    begin(cw_datagram_limit(
        &(struct cw_datagram_limit_options){.datagrams_per_s = 1, .datagrams_burst = ALLOWED}));
    for (int i = 0; i < PEERS; i++) {
        peers[i] = rig_udp_peer(&scene);
        rig_udp_send_text(&peers[i], "hello");
    }
    other = rig_udp_peer_at(&scene, "127.0.0.2");
    rig_udp_expect_echo(&other, "hello");
    most = ALLOWED + (rig_now_ms() - began_ms) / 1000 + 1;
    cr_expect_geq(rig_scene_stats(&scene).conns_open, ALLOWED + 1);
    cr_expect_leq(rig_scene_stats(&scene).conns_open, most + 1);
    cr_expect_eq(rig_udp_stats(&scene).dropped_rule,
                 PEERS + 1 - rig_scene_stats(&scene).conns_total);
    for (int i = 0; i < PEERS; i++) {
        rig_udp_close(&peers[i]);
    }
    rig_udp_close(&other);
    rig_scene_end(&scene);
}

static struct rig_udp begin_rate(const struct cw_rate_limit_options *options)
{
    begin(cw_rate_limit(options));
    return rig_udp_peer(&scene);
}

enum { QUESTIONS = 50 };

/* Sends many at once, of which one a second behind the burst is heard; another peer is served meanwhile. Returns how many were
 * answered. */
static size_t ask_too_often(struct rig_udp *peer, size_t burst)
{
    uint64_t began_ms = rig_now_ms();
    struct rig_udp other;
    size_t answers;

    for (int i = 0; i < QUESTIONS; i++) {
        rig_udp_send_text(peer, "me");
    }
    other = rig_udp_peer(&scene);
    rig_udp_expect_echo(&other, "hello");
    answers = rig_udp_forget(peer);
    cr_expect_geq(answers, burst);
    cr_expect_leq(answers, burst + (rig_now_ms() - began_ms) / 1000 + 1);
    rig_udp_close(&other);
    return answers;
}

Test(udp_rules, a_peer_above_its_rate_has_its_messages_dropped)
{
    struct rig_udp peer = begin_rate(&(struct cw_rate_limit_options){
        .messages_per_s = 1, .messages_burst = 3, .action = CW_RATE_DROP});
    size_t answers;

    answers = ask_too_often(&peer, 3);
    cr_expect_eq(rig_scene_stats(&scene).messages_dropped, QUESTIONS - answers);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_rules, a_peer_above_its_rate_is_closed_and_may_come_again)
{
    struct rig_udp peer = begin_rate(&(struct cw_rate_limit_options){
        .bytes_per_s = 1, .bytes_burst = 10, .action = CW_RATE_CLOSE});

    rig_udp_expect_echo(&peer, "ten bytes.");
    rig_udp_send_text(&peer, "ten more..");
    rig_scene_await_closed(&scene, CW_ERATE);
    rig_udp_expect_echo(&peer, "new");
    cr_expect_eq(atomic_load(&scene.story.opened), 2);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

/* Reading rests, and what comes meanwhile waits nowhere. */
Test(udp_rules, what_comes_from_a_peer_that_rests_is_dropped_and_counted)
{
    struct rig_udp peer =
        begin_rate(&(struct cw_rate_limit_options){.messages_per_s = 1, .messages_burst = 2});
    size_t answers;

    answers = ask_too_often(&peer, 2);
    cr_expect_eq(rig_udp_stats(&scene).dropped_paused, QUESTIONS - answers);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

/* ---- figures ---- */

static void expect_figure(const char *page, const char *line)
{
    cr_expect(strstr(page, line) != NULL, "no %s in:\n%s", line, page);
}

Test(udp_rules, a_page_of_figures_has_those_of_datagrams)
{
    static char page[65536];
    const char *const deny[] = {"127.0.0.66", NULL};
    struct cw_server *server = rig_server(&cw_http, NULL);
    const struct cw_hooks hooks = rig_story_with_data(rig_udp_echo);
    const struct cw_service udp = cw_udp_service(NULL, &hooks, &scene.story);
    struct rig_udp peer;
    struct rig_udp denied;

    cr_assert_eq(
        cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1", .service = udp}),
        CW_OK);
    cr_assert_eq(cw_server_use(server, cw_ip_limit(&(struct cw_ip_limit_options){.deny = deny})),
                 CW_OK);
    cr_assert_eq(cw_http_use(server, cw_http_metrics(NULL)), CW_OK);
    rig_udp_begin_server(&scene, server, &rig_story_hooks);
    peer = rig_udp_to(rig_host_port(scene.host, 1));
    denied = rig_udp_open("127.0.0.66", "127.0.0.1");
    rig_udp_turn_port(&denied, rig_host_port(scene.host, 1));
    rig_udp_send_text(&denied, "let me in");
    rig_udp_expect_echo(&peer, "hello");
    cr_assert_eq(http_get(rig_host_port(scene.host, 0),
                          "GET /metrics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n", page,
                          sizeof page),
                 200);
    expect_figure(page, "\ncauseway_datagram_sockets 1\n");
    expect_figure(page, "\ncauseway_datagrams_received_total 2\n");
    expect_figure(page, "\ncauseway_datagrams_sent_total 1\n");
    expect_figure(page, "\ncauseway_datagrams_in_dropped_total{reason=\"rule\"} 1\n");
    rig_udp_close(&peer);
    rig_udp_close(&denied);
    rig_scene_end(&scene);
}

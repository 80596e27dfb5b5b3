/* Clients of datagrams over real sockets. Their loop runs on the test's own thread. */
#include "support/client_story.h"
#include "support/host.h"
#include "support/leak.h"
#include "support/nameserver.h"
#include "support/network.h"
#include "support/pki.h"
#include "support/silent.h"
#include "support/story.h"
#include "support/udp_peer.h"

#include "connector_impl.h"

#include <causeway/log.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static void be_quiet(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(udp_client, .init = be_quiet, .fini = rig_expect_no_leak, .timeout = 60);

static const struct cw_hooks echo_hooks = {.on_data = rig_echo};

static struct rig_host *start_echo(void)
{
    return rig_host_start(rig_server(&cw_udp, NULL), &echo_hooks, NULL);
}

/* ---- messages ---- */

Test(udp_client, a_message_comes_back_from_an_echo_and_the_loop_ends_by_itself)
{
    struct rig_host *host = start_echo();
    struct rig_client client;

    rig_client_begin(&client, NULL);
    client.then = rig_client_close_at_answer;
    rig_client_connect(&client, rig_at("127.0.0.1", rig_host_port(host, 0)), NULL);
    rig_client_finish(&client);
    cr_expect_eq(client.opened, 1);
    cr_expect_eq(client.messages, 1);
    cr_expect_str_eq(client.last, "hello");
    cr_expect_eq(client.closed, 1);
    cr_expect_eq(client.reason.code, CW_BY_APP);
    cr_expect_eq(client.failed, 0);
    rig_host_end(host);
}

Test(udp_client, over_ipv6_it_is_the_same)
{
    struct cw_server *server = cw_create_server(&cw_udp);
    struct rig_host *host;
    struct rig_client client;

    if (!rig_udp_has_ipv6()) {
        cr_skip_test("no IPv6 here");
        return;
    }
    cw_server_listen(server, &(struct cw_listen_options){.host = "::1"});
    host = rig_host_start(server, &echo_hooks, NULL);
    rig_client_begin(&client, NULL);
    client.then = rig_client_close_at_answer;
    rig_client_connect(&client, rig_at("[::1]", rig_host_port(host, 0)), NULL);
    rig_client_finish(&client);
    cr_expect_eq(client.messages, 1);
    cr_expect_eq(client.peer.family, CW_IPV6);
    rig_host_end(host);
}

Test(udp_client, it_is_connected_before_anybody_was_heard_of)
{
    struct rig_udp peer = rig_udp_open("127.0.0.1", "127.0.0.1");
    struct rig_client client;

    rig_client_begin(&client, NULL);
    client.then = rig_client_close_at_once;
    rig_client_connect(&client, rig_at("127.0.0.1", rig_udp_port(&peer)), NULL);
    rig_client_finish(&client);
    cr_expect_eq(client.opened, 1);
    cr_expect_eq(client.peer.port, rig_udp_port(&peer));
    cr_expect_eq(client.reason.code, CW_BY_APP);
    rig_udp_expect_nothing(&peer);
    rig_udp_close(&peer);
}

Test(udp_client, what_is_sent_in_one_turn_leaves_as_so_many_datagrams_in_order)
{
    struct rig_client client;
    struct rig_udp peer;
    char text[32];

    rig_client_meet("127.0.0.1", &client, &peer, NULL, NULL);
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof text, "number %d", i);
        rig_client_say(&client, text);
    }
    rig_client_flush(&client);
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof text, "number %d", i);
        rig_udp_expect(&peer, text);
    }
    rig_client_end(&client);
    rig_udp_close(&peer);
}

enum { RUN = 100 };

static void send_run(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    for (int i = 0; i < RUN; i++) {
        rig_check(cw_conn_sendf(conn, "number %02d", i) == CW_OK);
    }
}

static struct rig_host *start_runs(void)
{
    static const struct cw_hooks hooks = {.on_data = send_run};
    struct cw_server *server = cw_create_server(&cw_udp);

    cw_server_listen(server, &(struct cw_listen_options){
                                 .host = "127.0.0.1", .datagram = {.amplification = CW_NO_LIMIT}});
    return rig_host_start(server, &hooks, NULL);
}

static void expect_next_number(struct rig_client *client)
{
    char text[32];

    rig_client_greet(client);
    if (client->messages > 0) {
        snprintf(text, sizeof text, "number %02u", client->messages - 1);
        rig_check(strcmp(client->last, text) == 0);
    }
    if (client->conn && client->messages == client->wanted) {
        cw_conn_abort(client->conn);
    }
}

/* Runs of one size travel as one buffer, and are taken apart behind the kernel. */
Test(udp_client, what_a_server_sends_in_one_turn_comes_as_so_many_messages_in_order)
{
    struct rig_host *host = start_runs();
    struct rig_client client;

    rig_client_begin(&client, NULL);
    client.then = expect_next_number;
    client.wanted = RUN;
    rig_client_connect(&client, rig_at("127.0.0.1", rig_host_port(host, 0)), NULL);
    rig_client_finish(&client);
    cr_expect_eq(client.messages, RUN);
    cr_expect_eq(client.failed, 0);
    rig_host_end(host);
}

Test(udp_client, aborted_in_the_middle_of_what_came_together_it_hears_no_more)
{
    struct rig_host *host = start_runs();
    struct rig_client client;

    rig_client_begin(&client, NULL);
    client.then = expect_next_number;
    client.wanted = RUN / 2;
    rig_client_connect(&client, rig_at("127.0.0.1", rig_host_port(host, 0)), NULL);
    rig_client_finish(&client);
    cr_expect_eq(client.messages, RUN / 2);
    cr_expect_eq(client.closed, 1);
    cr_expect_eq(client.reason.code, CW_BY_ABORT);
    rig_host_end(host);
}

Test(udp_client, empty_datagrams_are_messages_both_ways)
{
    struct rig_client client;
    struct rig_udp peer;

    rig_client_meet("127.0.0.1", &client, &peer, NULL, NULL);
    rig_udp_send(&peer, "", 0);
    rig_udp_send_text(&peer, "x");
    rig_udp_send(&peer, "", 0);
    rig_client_until(&client, client.messages == 3);
    cr_expect_eq(client.bytes, 1);
    cr_expect_eq(client.last_len, 0);
    rig_client_say(&client, "");
    rig_client_flush(&client);
    rig_udp_expect(&peer, "");
    rig_client_end(&client);
    cr_expect_eq(client.failed, 0);
    rig_udp_close(&peer);
}

static const uint8_t large[RIG_UDP_MAX + 1];

Test(udp_client, the_largest_message_passes_both_ways_and_one_byte_more_is_too_big)
{
    const struct cw_connect_options options = {
        .datagram = {.receive_buffer_bytes = 1 << 20, .send_buffer_bytes = 1 << 20}};
    struct cw_message msg = {.body = {large, sizeof large}};
    struct rig_client client;
    struct rig_udp peer;

    rig_client_meet("127.0.0.1", &client, &peer, NULL, &options);
    cr_expect_eq(cw_conn_send(client.conn, &msg), CW_ETOOBIG);
    msg.body.len = RIG_UDP_MAX;
    cr_expect_eq(cw_conn_send(client.conn, &msg), CW_OK);
    rig_client_flush(&client);
    rig_udp_expect_bytes(&peer, large, RIG_UDP_MAX);
    rig_udp_send(&peer, large, RIG_UDP_MAX);
    rig_client_until(&client, client.messages == 1);
    cr_expect_eq(client.last_len, RIG_UDP_MAX);
    rig_client_end(&client);
    rig_udp_close(&peer);
}

Test(udp_client, the_limit_of_a_message_holds_both_ways_to_the_byte)
{
    const struct cw_udp_options udp = {.datagram_max_bytes = 100};
    struct rig_client client;
    struct rig_udp peer;

    rig_client_meet("127.0.0.1", &client, &peer, &udp, NULL);
    cr_expect_eq(cw_conn_send_bytes(client.conn, large, 101), CW_ETOOBIG);
    cr_expect_eq(cw_conn_send_bytes(client.conn, large, 100), CW_OK);
    rig_client_flush(&client);
    rig_udp_expect_bytes(&peer, large, 100);
    rig_udp_send(&peer, large, 101);
    rig_udp_send(&peer, large, 100);
    rig_client_until(&client, client.messages == 1);
    cr_expect_eq(client.last_len, 100);
    cr_expect_eq(rig_client_stats(&client).dropped_truncated, 1);
    cr_expect_eq(client.closed, 0);
    rig_client_end(&client);
    cr_expect_eq(client.failed, 1);
    cr_expect_eq(client.report.code, CW_ETOOBIG);
    cr_expect_eq(client.report.limit, 100);
    rig_udp_close(&peer);
}

Test(udp_client, its_counters_and_those_of_the_loop_are_exact)
{
    struct rig_client client;
    struct rig_udp peer;
    struct cw_conn_stats counters;
    struct cw_datagram_stats stats;

    rig_client_meet("127.0.0.1", &client, &peer, NULL, NULL);
    rig_udp_send_text(&peer, "one");
    rig_udp_send_text(&peer, "three");
    rig_client_until(&client, client.messages == 2);
    cw_conn_stats(client.conn, &counters);
    stats = rig_client_stats(&client);
    cr_expect_eq(counters.messages_in, 2);
    cr_expect_eq(counters.bytes_in, 8);
    cr_expect_eq(counters.messages_out, 1);
    cr_expect_eq(counters.bytes_out, 5);
    cr_expect_eq(stats.received, 2);
    cr_expect_eq(stats.sent, 1);
    rig_client_end(&client);
    rig_udp_close(&peer);
}

Test(udp_client, what_others_send_to_its_port_is_not_heard)
{
    struct rig_client client;
    struct rig_udp peer;
    struct rig_udp other;

    rig_client_meet("127.0.0.1", &client, &peer, NULL, NULL);
    other = rig_udp_to(peer.to.port);
    (void)rig_udp_try_send(&other, "x", 1);
    rig_udp_send_text(&peer, "mine");
    rig_client_until(&client, client.messages == 1);
    cr_expect_str_eq(client.last, "mine");
    rig_client_end(&client);
    rig_udp_close(&other);
    rig_udp_close(&peer);
}

Test(udp_client, its_address_is_proven_and_its_credit_without_end)
{
    struct rig_client client;
    struct rig_udp peer;

    rig_client_meet("127.0.0.1", &client, &peer, NULL,
                    &(struct cw_connect_options){.datagram = {.amplification = 1}});
    cr_expect(cw_conn_is_proven(client.conn));
    cr_expect_eq(cw_conn_credit(client.conn), CW_NO_LIMIT);
    rig_client_end(&client);
    rig_udp_close(&peer);
}

/* ---- from where, with what ---- */

Test(udp_client, it_has_the_user_pointer_and_the_local_address_and_port_asked_for)
{
    struct rig_udp peer = rig_udp_open("127.0.0.1", "127.0.0.1");
    uint16_t port = rig_free_port();
    struct rig_client client;
    struct cw_address from;
    struct cw_address own;
    char local[64];
    char hello[8];

    snprintf(local, sizeof local, "127.0.0.9:%u", port);
    rig_client_begin(&client, NULL);
    client.then = rig_client_greet;
    rig_client_connect(&client, rig_at("127.0.0.1", rig_udp_port(&peer)),
                       &(struct cw_connect_options){.local_host = local, .conn_user = &peer});
    rig_client_until(&client, client.opened == 1);
    rig_client_flush(&client);
    cr_assert_eq(rig_udp_receive_from(&peer, hello, sizeof hello, &from), 5);
    cr_expect_eq(from.port, port);
    cr_expect_eq(from.ip[3], 9);
    cr_expect_eq(cw_conn_local(client.conn, &own), CW_OK);
    cr_expect_eq(own.port, port);
    cr_expect(cw_address_same_host(&own, &from));
    cr_expect_eq(client.conn_user, &peer);
    rig_client_end(&client);
    rig_udp_close(&peer);
}

Test(udp_client, a_socket_that_met_itself_is_a_refusal)
{
    struct rig_client client;
    char local[64];

    rig_client_begin(&client, NULL);
    snprintf(local, sizeof local, "127.0.0.8:%u", rig_free_port());
    rig_client_connect(&client, local, &(struct cw_connect_options){.local_host = local});
    rig_client_finish(&client);
    cr_expect_eq(client.opened, 0);
    cr_expect_eq(client.failed, 1);
    cr_expect_eq(client.report.code, CW_EREFUSED);
}

Test(udp_client, a_local_address_that_is_not_ours_is_reported)
{
    struct rig_client client;

    rig_client_begin(&client, NULL);
    rig_client_connect(&client, "127.0.0.1:1",
                       &(struct cw_connect_options){.local_host = "192.0.2.77"});
    rig_client_finish(&client);
    cr_expect_eq(client.opened, 0);
    cr_expect_eq(client.failed, 1);
    cr_expect_eq(client.report.code, CW_EADDRNOTAVAIL);
    cr_expect_str_eq(client.report.text,
                     "connect 127.0.0.1:1: local_host: the address is not one of this machine");
}

Test(udp_client, an_interface_that_is_not_there_is_reported)
{
    struct rig_client client;

    rig_client_begin(&client, NULL);
    rig_client_connect(
        &client, "239.1.2.3:7000",
        &(struct cw_connect_options){.datagram = {.multicast_interface = "nowhere0"}});
    rig_client_finish(&client);
    cr_expect_eq(client.opened, 0);
    cr_expect_eq(client.failed, 1);
    cr_expect_eq(client.report.code, CW_ENOTFOUND);
    cr_expect_str_eq(client.report.text,
                     "connect 239.1.2.3:7000: nowhere0: there is no such interface");
}

/* The nameserver is watched by the loop, which therefore would not end by itself. */
static void finish_asked(struct rig_client *client, struct rig_nameserver *names)
{
    (void)cw_client_stop(client->loop, client->id);
    rig_nameserver_rest(names);
    rig_client_finish(client);
    rig_nameserver_close(names);
}

Test(udp_client, a_name_is_asked_for_and_the_answer_connected_to)
{
    struct rig_host *host = start_echo();
    struct rig_nameserver names = {.a = RIG_DNS_LOOPBACK, .aaaa = RIG_DNS_NO_RECORD};
    struct rig_client client;

    rig_client_begin(&client, NULL);
    rig_nameserver_open(&names, client.loop, "", true);
    client.then = rig_client_greet;
    rig_client_connect(&client, rig_at("server.test", rig_host_port(host, 0)), NULL);
    rig_client_until(&client, client.messages == 1);
    finish_asked(&client, &names);
    cr_expect_eq(names.questions, 2);
    cr_expect_eq(client.peer.family, CW_IPV4);
    cr_expect_eq(client.failed, 0);
    rig_host_end(host);
}

Test(udp_client, of_a_name_with_both_families_ipv6_comes_first)
{
    struct rig_nameserver names;
    struct rig_client client;

    if (!rig_udp_has_ipv6()) {
        cr_skip_test("no IPv6 here");
        return;
    }
    rig_client_begin(&client, NULL);
    rig_nameserver_open(&names, client.loop, "127.0.0.1 both.test\n::1 both.test\n", false);
    client.then = rig_client_close_at_once;
    rig_client_connect(&client, "both.test:7000", NULL);
    rig_client_finish(&client);
    cr_expect_eq(client.peer.family, CW_IPV6);
    rig_nameserver_close(&names);
}

Test(udp_client, a_family_without_a_route_gives_way_to_the_other)
{
    struct rig_host *host;
    struct rig_nameserver names;
    struct rig_client client;

    if (!rig_enter_own_network()) {
        cr_skip_test("no network of its own is permitted here");
        return;
    }
    host = start_echo();
    rig_client_begin(&client, NULL);
    rig_nameserver_open(&names, client.loop, "2001:db8::1 mixed.test\n127.0.0.1 mixed.test\n",
                        false);
    client.then = rig_client_close_at_answer;
    rig_client_connect(&client, rig_at("mixed.test", rig_host_port(host, 0)), NULL);
    rig_client_finish(&client);
    cr_expect_eq(client.messages, 1);
    cr_expect_eq(client.peer.family, CW_IPV4);
    cr_expect_eq(client.failed, 0);
    rig_nameserver_close(&names);
    rig_host_end(host);
}

/* ---- one's own protocol on both sides ---- */

/* The same hooks serve both: each end sends back one less, down to nothing. */
static void count_down(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    atomic_uint *calls = user;
    long number = strtol((const char *)msg->body.data, NULL, 10);

    atomic_fetch_add(calls, 1);
    if (number > 0) {
        rig_check(cw_conn_sendf(conn, "%ld ", number - 1) == CW_OK);
    } else {
        cw_conn_close(conn);
    }
}

static void begin_count(struct cw_conn *conn, void *user)
{
    if (!cw_conn_server(conn)) {
        rig_check(cw_conn_sendf(conn, "%d ", 99) == CW_OK);
    }
}

static void end_count(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    if (!cw_conn_server(conn)) {
        rig_check(reason->code == CW_BY_APP);
    }
}

Test(udp_client, the_same_hooks_serve_both_sides)
{
    static const struct cw_hooks both = {
        .on_connection = begin_count, .on_data = count_down, .on_close = end_count};
    atomic_uint calls = 0;
    struct rig_host *host = rig_host_start(rig_server(&cw_udp, NULL), &both, &calls);
    struct cw_loop *loop = cw_loop_new();
    int64_t id = cw_connect(loop, cw_udp_service(NULL, &both, &calls),
                            rig_at("127.0.0.1", rig_host_port(host, 0)), NULL);
    uint64_t deadline = rig_now_ms() + RIG_DEADLINE_MS;

    cr_assert_gt(id, 0);
    while (atomic_load(&calls) < 100 && rig_rest(deadline)) {
        rig_client_flush(&(struct rig_client){.loop = loop});
    }
    cr_expect_eq(atomic_load(&calls), 100);
    (void)cw_client_stop(loop, id); /* the last to count down was the server or the client */
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    cw_loop_free(loop);
    rig_host_end(host);
}

struct bridge {
    uint16_t port; /* of the echo behind */
    struct cw_hooks behind;
};

static void from_behind(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct cw_conn *front =
        cw_loop_conn(cw_conn_loop(conn), (uint64_t)(uintptr_t)cw_conn_user(conn));

    if (front) {
        cw_conn_send(front, msg);
    }
}

static void greet_behind(struct cw_conn *conn, void *user)
{
    cw_conn_send_text(conn, "hello");
}

static void connect_behind(struct cw_conn *conn, void *user)
{
    struct bridge *bridge = user;
    char address[64];

    snprintf(address, sizeof address, "127.0.0.1:%u", bridge->port);
    rig_check(cw_connect(cw_conn_loop(conn), cw_udp_service(NULL, &bridge->behind, NULL), address,
                         &(struct cw_connect_options){
                             .conn_user = (void *)(uintptr_t)cw_conn_id(conn)}) > 0);
}

Test(udp_client, a_server_connects_from_within_a_hook_on_the_connections_own_loop)
{
    struct rig_host *behind = start_echo();
    struct bridge bridge = {
        .port = rig_host_port(behind, 0),
        .behind = {.on_connection = greet_behind, .on_data = from_behind},
    };
    struct rig_host *host = rig_host_start(
        rig_server(&cw_udp, NULL), &(struct cw_hooks){.on_connection = connect_behind}, &bridge);
    struct rig_client client;

    rig_client_begin(&client, NULL);
    client.then = rig_client_close_at_answer;
    rig_client_connect(&client, rig_at("127.0.0.1", rig_host_port(host, 0)), NULL);
    rig_client_finish(&client);
    cr_expect_eq(client.messages, 1);
    cr_expect_str_eq(client.last, "hello");
    rig_host_end(host);
    rig_host_end(behind);
}

/* ---- many ---- */

enum { MANY = 1000, SPARE = 200 };

static bool may_have_many(void)
{
    struct rlimit limit;

    rig_check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_max < MANY + SPARE) {
        return false;
    }
    if (limit.rlim_cur < MANY + SPARE) {
        limit.rlim_cur = MANY + SPARE;
        rig_check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    }
    return true;
}

/* Datagrams may be lost, even here: who has no answer asks again. */
static void ask_again(struct cw_conn *conn, void *user)
{
    struct rig_client *client = user;

    rig_check(cw_conn_sendf(conn, "I am %u", client->wanted) == CW_OK);
}

static void ask_until_answered(struct rig_client *client)
{
    if (client->conn && client->messages == 0) {
        ask_again(client->conn, client);
        rig_check(cw_conn_after(client->conn, 1000, 1000, ask_again, client) == CW_OK);
    } else if (client->conn && client->messages == 1) {
        cw_conn_close(client->conn);
    }
}

Test(udp_client, a_thousand_on_one_loop_each_have_their_own_answer)
{
    struct rig_host *host = start_echo();
    struct rig_client *clients = calloc(MANY, sizeof *clients);
    unsigned wrong = 0;

    if (!may_have_many()) {
        cr_skip_test("too few descriptors are permitted here");
        free(clients);
        rig_host_end(host);
        return;
    }
    cr_assert_not_null(clients);
    for (unsigned i = 0; i < MANY; i++) {
        rig_client_begin(&clients[i], i > 0 ? &clients[0] : NULL);
        clients[i].wanted = i;
        clients[i].then = ask_until_answered;
        rig_client_connect(&clients[i], rig_at("127.0.0.1", rig_host_port(host, 0)), NULL);
    }
    rig_client_finish(&clients[0]);
    for (unsigned i = 0; i < MANY; i++) {
        char text[16];

        snprintf(text, sizeof text, "I am %u", i);
        wrong += clients[i].opened != 1 || clients[i].closed != 1 || clients[i].failed != 0 ||
                 clients[i].messages == 0 || strcmp(clients[i].last, text) != 0;
    }
    cr_expect_eq(wrong, 0);
    free(clients);
    rig_host_end(host);
}

/* ---- DTLS ---- */

static struct rig_host *start_secure_echo(void)
{
    struct cw_server *server = cw_create_server(&cw_udp);

    cw_server_listen(server, &(struct cw_listen_options){
                                 .host = "127.0.0.1",
                                 .tls = &(struct cw_tls_options){.cert = pki("server.pem"),
                                                                 .key = pki("server.key")}});
    return rig_host_start(server, &echo_hooks, NULL);
}

Test(udp_client, over_dtls_it_is_open_when_the_handshake_is_done)
{
    struct cw_tls_options tls = {0};
    struct rig_host *host;
    struct rig_client client;

    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
        return;
    }
    tls.ca = pki("ca.pem");
    host = start_secure_echo();
    rig_client_begin(&client, NULL);
    client.then = rig_client_close_at_answer;
    rig_client_connect(&client, rig_at("127.0.0.1", rig_host_port(host, 0)),
                       &(struct cw_connect_options){.tls = &tls});
    rig_client_finish(&client);
    cr_expect_eq(client.failed, 0, "%s", client.report.text);
    cr_expect_eq(client.opened, 1);
    cr_expect_eq(client.messages, 1);
    cr_expect_str_eq(client.last, "hello");
    cr_expect_eq(client.reason.code, CW_BY_APP);
    rig_host_end(host);
}

Test(udp_client, over_dtls_a_server_that_is_not_trusted_is_reported_and_never_open)
{
    struct cw_tls_options tls = {0};
    struct rig_host *host;
    struct rig_client client;

    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
        return;
    }
    tls.ca = pki("rogue_ca.pem");
    host = start_secure_echo();
    rig_client_begin(&client, NULL);
    rig_client_connect(&client, rig_at("127.0.0.1", rig_host_port(host, 0)),
                       &(struct cw_connect_options){.tls = &tls});
    rig_client_finish(&client);
    cr_expect_eq(client.opened + client.closed, 0);
    cr_expect_eq(client.failed, 1);
    cr_expect_eq(client.report.code, CW_ECERT, "%s", client.report.text);
    rig_host_end(host);
}

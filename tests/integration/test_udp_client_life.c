/* How clients of datagrams end, what they may be asked for, and where they may send to. Their loop runs on the test's own
 * thread. */
#include "support/client_story.h"
#include "support/fault.h"
#include "support/host.h"
#include "support/leak.h"
#include "support/network.h"
#include "support/story.h"

#include <causeway/log.h>

#include <criterion/criterion.h>
#include <stdio.h>

static void be_quiet(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(udp_client_life, .init = be_quiet, .fini = rig_expect_no_leak, .timeout = 60);

/* ---- ends ---- */

Test(udp_client_life, stopped_before_it_began_nothing_happens)
{
    struct rig_client client;

    rig_client_begin(&client, NULL);
    rig_client_connect(&client, "127.0.0.1:1", NULL);
    rig_client_end(&client);
    cr_expect_eq(client.opened + client.closed + client.failed, 0);
}

static void stop_when_open(struct rig_client *client)
{
    if (client->conn) {
        rig_check(cw_client_stop(client->loop, client->id) == CW_OK);
        rig_check(cw_client_stop(client->loop, client->id) == CW_ENOTFOUND);
        rig_check(!cw_client_conn(client->loop, client->id));
    }
}

Test(udp_client_life, stopped_while_it_is_open_it_is_closed_once_and_does_not_come_back)
{
    struct rig_udp peer = rig_udp_open("127.0.0.1", "127.0.0.1");
    struct rig_client client;

    rig_client_begin(&client, NULL);
    client.then = stop_when_open;
    rig_client_connect(&client, rig_at("127.0.0.1", rig_udp_port(&peer)),
                       &(struct cw_connect_options){.reconnect = true, .reconnect_min_ms = 1});
    rig_client_finish(&client);
    cr_expect_eq(client.opened, 1);
    cr_expect_eq(client.closed, 1);
    cr_expect_eq(client.reason.code, CW_BY_APP);
    rig_udp_close(&peer);
}

static void send_and_close(struct rig_client *client)
{
    if (client->conn) {
        rig_client_say(client, "last words");
        cw_conn_close(client->conn);
        rig_check(cw_conn_send_text(client->conn, "more") == CW_ECLOSED);
    }
}

Test(udp_client_life, what_was_sent_before_a_close_still_leaves)
{
    struct rig_udp peer = rig_udp_open("127.0.0.1", "127.0.0.1");
    struct rig_client client;
    struct cw_address from;
    char text[16];

    rig_client_begin(&client, NULL);
    client.then = send_and_close;
    rig_client_connect(&client, rig_at("127.0.0.1", rig_udp_port(&peer)), NULL);
    rig_client_finish(&client);
    cr_expect_eq(rig_udp_receive_from(&peer, text, sizeof text, &from), 10);
    rig_udp_expect_nothing(&peer);
    cr_expect_eq(client.closed, 1);
    rig_udp_close(&peer);
}

static void abort_when_open(struct rig_client *client)
{
    if (client->conn) {
        cw_conn_abort(client->conn);
    }
}

Test(udp_client_life, aborted_it_ends_once_by_that_reason)
{
    struct rig_client client;

    rig_client_begin(&client, NULL);
    client.then = abort_when_open;
    rig_client_connect(&client, "127.0.0.1:7000", NULL);
    rig_client_finish(&client);
    cr_expect_eq(client.closed, 1);
    cr_expect_eq(client.reason.code, CW_BY_ABORT);
}

static void stop_loop(struct rig_client *client)
{
    if (client->conn) {
        cw_loop_stop(client->loop);
    }
}

Test(udp_client_life, when_the_loop_stops_it_is_closed_once_and_does_not_come_back)
{
    struct rig_client client;

    rig_client_begin(&client, NULL);
    client.then = stop_loop;
    rig_client_connect(&client, "127.0.0.1:7000", &(struct cw_connect_options){.reconnect = true});
    cr_assert_eq(cw_loop_run(client.loop), CW_OK);
    cr_expect_eq(client.opened, 1);
    cr_expect_eq(client.closed, 1);
    cr_expect_eq(client.reason.code, CW_BY_STOP);
    cr_expect_eq(cw_connect(client.loop, cw_udp_service(NULL, NULL, NULL), "127.0.0.1:1", NULL),
                 CW_ESTOPPED);
    cw_loop_free(client.loop);
}

Test(udp_client_life, a_loop_is_freed_with_clients_that_never_began)
{
    struct rig_client client;

    rig_client_begin(&client, NULL);
    rig_client_connect(&client, "127.0.0.1:1", NULL);
    rig_client_connect(
        &client, "localhost:1",
        &(struct cw_connect_options){.reconnect = true, .datagram = {.multicast_interface = "lo"}});
    cw_loop_free(client.loop);
    cr_expect_eq(client.opened + client.closed + client.failed, 0);
}

Test(udp_client_life, a_silence_of_peer_idle_ms_ends_it_as_expired)
{
    struct rig_client client;
    struct rig_udp peer;

    rig_client_meet("127.0.0.1", &client, &peer, NULL,
                    &(struct cw_connect_options){.datagram = {.peer_idle_ms = 100}});
    rig_client_until(&client, client.closed == 1);
    cr_expect_eq(client.reason.code, CW_EXPIRED);
    cr_expect_eq(client.failed, 0);
    cr_expect_eq(rig_client_stats(&client).peers_expired, 1);
    rig_client_finish(&client);
    rig_udp_close(&peer);
}

Test(udp_client_life, expired_it_connects_again_if_asked)
{
    struct rig_client client;
    struct rig_udp peer;

    rig_client_meet("127.0.0.1", &client, &peer, NULL,
                    &(struct cw_connect_options){.reconnect = true,
                                                 .reconnect_min_ms = 10,
                                                 .reconnect_max_ms = 20,
                                                 .datagram = {.peer_idle_ms = 50}});
    rig_client_until(&client, client.opened == 3);
    cr_expect_eq(client.closed, 2);
    cr_expect_eq(client.reason.code, CW_EXPIRED);
    cr_expect_eq(client.failed, 0);
    rig_client_end(&client);
    rig_udp_close(&peer);
}

Test(udp_client_life, the_hook_on_idle_may_keep_it)
{
    struct rig_client client;
    struct rig_udp peer;

    rig_client_meet("127.0.0.1", &client, &peer, NULL,
                    &(struct cw_connect_options){.datagram = {.peer_idle_ms = 50}});
    client.kept = 2;
    rig_client_until(&client, client.closed == 1);
    cr_expect_eq(client.idled, 3);
    cr_expect_eq(client.reason.code, CW_EXPIRED);
    rig_client_finish(&client);
    rig_udp_close(&peer);
}

/* ---- multicast and broadcast ---- */

Test(udp_client_life, it_may_send_to_a_group_and_does_not_hear_who_answers_from_elsewhere)
{
    const struct cw_multicast_group group = {.group = "239.7.7.7", .interface = "lo"};
    struct cw_server *server = cw_create_server(&cw_udp);
    struct rig_story story = {0};
    struct cw_hooks hooks = rig_story_hooks;
    struct rig_host *host;
    struct rig_client client;

    if (!rig_enter_own_network()) {
        cr_skip_test("no network of its own is permitted here");
        return;
    }
    hooks.on_data = rig_story_on_data;
    cw_server_listen(server,
                     &(struct cw_listen_options){.host = "0.0.0.0",
                                                 .datagram = {.groups = &group, .group_count = 1}});
    host = rig_host_start(server, &hooks, &story);
    rig_client_begin(&client, NULL);
    client.then = rig_client_greet;
    rig_client_connect(&client, rig_at("239.7.7.7", rig_host_port(host, 0)),
                       &(struct cw_connect_options){.local_host = "127.0.0.1",
                                                    .datagram = {.multicast_interface = "lo"}});
    rig_client_until(&client, atomic_load(&story.messages) == 1);
    cr_expect_eq(client.messages, 0);
    cr_expect_eq(client.failed, 0);
    rig_client_end(&client);
    rig_host_end(host);
}

Test(udp_client_life, a_broadcast_address_has_to_be_asked_for)
{
    struct rig_udp peer = rig_udp_open("0.0.0.0", NULL);
    uint16_t port = rig_udp_port(&peer);
    struct rig_client client;
    struct cw_address from;
    char text[8];

    rig_client_begin(&client, NULL);
    rig_client_connect(&client, rig_at("127.255.255.255", port), NULL);
    cr_assert_eq(cw_loop_run(client.loop), CW_OK);
    cr_expect_eq(client.opened, 0);
    cr_expect_eq(client.failed, 1);
    cr_expect_eq(client.report.code, CW_EACCESS);
    cr_expect_not_null(strstr(client.report.text, "datagram.broadcast"), "%s", client.report.text);
    client.then = rig_client_greet;
    rig_client_connect(&client, rig_at("127.255.255.255", port),
                       &(struct cw_connect_options){.datagram = {.broadcast = true}});
    rig_client_until(&client, client.opened == 1);
    rig_client_end(&client);
    cr_expect_eq(rig_udp_receive_from(&peer, text, sizeof text, &from), 5);
    rig_udp_close(&peer);
}

/* ---- options ---- */

static char logged[512];

static void keep_line(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    snprintf(logged, sizeof logged, "%s", text);
}

static void expect_refused(const char *address, struct cw_connect_options options, const char *text)
{
    struct cw_loop *loop = cw_loop_new();

    logged[0] = '\0';
    cr_expect_eq(cw_connect(loop, cw_udp_service(NULL, NULL, NULL), address, &options), CW_EINVAL,
                 "%s", text);
    cr_expect_not_null(strstr(logged, text), "\"%s\" is not in \"%s\"", text, logged);
    cw_loop_free(loop);
}

Test(udp_client_life, options_that_are_not_allowed_are_refused_by_name)
{
    const uint64_t years = 400ull * 24 * 3600 * 1000;

    cw_log_set_level(CW_LOG_INFO);
    cw_log_set(keep_line, NULL);
    expect_refused("unix:/tmp/socket", (struct cw_connect_options){0},
                   "connect unix:/tmp/socket: udp is a protocol of datagrams: host:port is needed, "
                   "not a unix path");
    expect_refused("a:1", (struct cw_connect_options){.datagram = {.peer_idle_ms = years}},
                   "connect a:1: datagram.peer_idle_ms");
    expect_refused("a:1", (struct cw_connect_options){.datagram = {.ttl = 256}}, "datagram.ttl");
    expect_refused("a:1", (struct cw_connect_options){.datagram = {.multicast_ttl = 256}},
                   "datagram.multicast_ttl");
    expect_refused("a:1",
                   (struct cw_connect_options){.datagram = {.send_buffer_bytes = CW_NO_LIMIT}},
                   "datagram.send_buffer_bytes");
    expect_refused("a:1", (struct cw_connect_options){.datagram = {.multicast_interface = ""}},
                   "datagram.multicast_interface");
    expect_refused("a:1", (struct cw_connect_options){.local_host = "localhost"}, "local_host");
    cw_log_set(NULL, NULL);
}

Test(udp_client_life, what_only_a_listener_has_is_not_looked_at)
{
    const struct cw_datagram_options options = {.peers_max = CW_NO_LIMIT,
                                                .amplification = CW_NO_LIMIT - 7,
                                                .one_worker = true,
                                                .group_count = 1000};
    struct rig_client client;

    rig_client_begin(&client, NULL);
    client.then = rig_client_close_at_once;
    rig_client_connect(&client, "127.0.0.1:7000", &(struct cw_connect_options){.datagram = options});
    rig_client_finish(&client);
    cr_expect_eq(client.opened, 1);
}

Test(udp_client_life, texts_of_its_options_are_copied)
{
    char interface[] = "lo";
    struct rig_client client;

    rig_client_begin(&client, NULL);
    client.then = rig_client_close_at_once;
    rig_client_connect(&client, "127.0.0.1:7000",
                       &(struct cw_connect_options){.datagram = {.multicast_interface = interface}});
    memset(interface, 'x', sizeof interface - 1);
    rig_client_finish(&client);
    cr_expect_eq(client.opened, 1);
    cr_expect_eq(client.failed, 0, "%s", client.report.text);
}

Test(udp_client_life, a_pool_of_datagrams_is_refused)
{
    struct cw_loop *loop = cw_loop_new();

    cw_log_set_level(CW_LOG_INFO);
    cw_log_set(keep_line, NULL);
    cr_expect_null(cw_pool_new(loop, cw_udp_service(NULL, NULL, NULL), "127.0.0.1:7000", NULL));
    cr_expect_str_eq(logged, "pool: udp is a protocol of datagrams, which needs no pool: use "
                             "cw_connect");
    cw_log_set(NULL, NULL);
    cw_loop_free(loop);
}

/* ---- out of memory ---- */

/* One run with the n-th allocation failing. Returns whether it came to that. */
static bool run_with_fault(size_t nth, uint16_t port)
{
    const struct cw_connect_options options = {.reconnect = true,
                                               .attempts_max = 2,
                                               .reconnect_min_ms = 5,
                                               .reconnect_max_ms = 5,
                                               .datagram = {.multicast_interface = "lo"}};
    struct rig_client client = {.then = rig_client_close_at_once};
    bool armed_came;

    fault_arm(nth);
    client.loop = cw_loop_new();
    if (client.loop) {
        client.id = cw_connect(client.loop, cw_udp_service(NULL, &rig_client_hooks, &client),
                               rig_at("127.0.0.1", port), &options);
        rig_check(client.id > 0 || client.id == CW_ENOMEM);
        cw_loop_run(client.loop);
    }
    armed_came = fault_disarm();
    cw_loop_free(client.loop);
    rig_check(client.opened == client.closed);
    rig_check(!client.loop || client.id < 0 || client.failed > 0);
    return armed_came;
}

Test(udp_client_life, when_any_allocation_fails_there_is_an_error_and_no_leak)
{
    struct rig_udp peer = rig_udp_open("127.0.0.1", NULL);
    size_t n = 1;

    fault_install();
    while (run_with_fault(n, rig_udp_port(&peer))) {
        n++;
    }
    fault_remove();
    cr_expect_gt(n, 10);
    rig_udp_close(&peer);
}

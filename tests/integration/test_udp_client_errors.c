/* What the network says to clients of datagrams: refusals, ways that are gone, datagrams that do not fit. */
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

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void be_quiet(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(udp_client_errors, .init = be_quiet, .fini = rig_expect_no_leak, .timeout = 60);

/* ---- nobody listens ---- */

static void expect_one_refusal(const struct rig_client *client)
{
    cr_expect_eq(client->opened, 1);
    cr_expect_eq(client->closed, 1);
    cr_expect_eq(client->reason.code, CW_EREFUSED);
    cr_expect_eq(client->reason.os_errno, ECONNREFUSED);
    cr_expect_eq(client->failed, 1);
    cr_expect_eq(client->report.code, CW_EREFUSED);
    cr_expect_eq(client->report.os_errno, ECONNREFUSED);
    cr_expect_not_null(strstr(client->report.text, "udp: datagram to "), "%s", client->report.text);
    cr_expect_not_null(strstr(client->report.text, ": nobody listens at that address"), "%s",
                       client->report.text);
}

Test(udp_client_errors, a_refusal_ends_it_with_one_report_and_one_close)
{
    uint16_t port = rig_free_port();
    struct rig_client client;

    rig_client_begin(&client, NULL);
    client.then = rig_client_greet;
    rig_client_connect(&client, rig_at("127.0.0.1", port), NULL);
    rig_client_until(&client, client.closed == 1);
    expect_one_refusal(&client);
    cr_expect_neq(client.report.conn_id, 0);
    cr_expect_eq(client.address.port, port);
    cr_expect_eq(rig_client_stats(&client).errors_refused, 1);
    rig_client_finish(&client);
}

Test(udp_client_errors, over_ipv6_a_refusal_is_the_same)
{
    struct rig_client client;

    if (!rig_udp_has_ipv6()) {
        cr_skip_test("no IPv6 here");
        return;
    }
    rig_client_begin(&client, NULL);
    client.then = rig_client_greet;
    rig_client_connect(&client, rig_at("[::1]", rig_free_port()), NULL);
    rig_client_finish(&client);
    expect_one_refusal(&client);
}

static void say_much(struct rig_client *client)
{
    if (client->greeted < client->opened) {
        client->greeted = client->opened;
        for (int i = 0; i < 300; i++) {
            rig_check(cw_conn_send_text(client->conn, i % 3 == 0 ? "" : "hello") == CW_OK);
        }
    }
}

Test(udp_client_errors, many_datagrams_at_once_are_refused_once)
{
    struct rig_client client;

    rig_client_begin(&client, NULL);
    client.then = say_much;
    rig_client_connect(&client, rig_at("127.0.0.1", rig_free_port()), NULL);
    rig_client_finish(&client);
    expect_one_refusal(&client);
}

static void stop_at_report(struct rig_client *client)
{
    rig_client_greet(client);
    if (client->failed == 1 && client->closed == 0) {
        rig_check(cw_client_stop(client->loop, client->id) == CW_OK);
    }
}

Test(udp_client_errors, stopped_in_its_own_report_it_does_not_try_again)
{
    struct rig_client client;

    rig_client_begin(&client, NULL);
    client.then = stop_at_report;
    rig_client_connect(&client, rig_at("127.0.0.1", rig_free_port()),
                       &(struct cw_connect_options){.reconnect = true, .reconnect_min_ms = 1});
    rig_client_finish(&client);
    expect_one_refusal(&client);
}

Test(udp_client_errors, refused_it_tries_again_until_somebody_listens)
{
    uint16_t port = rig_free_port();
    /* other tests have sockets on 127.0.0.1, and might take the port there */
    struct cw_address own = rig_address("127.0.0.77");
    struct rig_client client;
    struct rig_udp peer;
    struct cw_address from;
    char hello[8];

    rig_client_begin(&client, NULL);
    client.then = rig_client_greet;
    rig_client_connect(&client, rig_at("127.0.0.77", port),
                       &(struct cw_connect_options){
                           .reconnect = true, .reconnect_min_ms = 10, .reconnect_max_ms = 50});
    rig_client_until(&client, client.closed == 2);
    own.port = port;
    peer = rig_udp_open_at(&own, &own, 0);
    rig_client_until(&client, client.opened > client.closed && client.opened >= 3);
    rig_client_flush(&client);
    rig_udp_receive_from(&peer, hello, sizeof hello, &from);
    peer.to = from;
    rig_udp_send_text(&peer, "welcome");
    rig_client_until(&client, client.messages == 1);
    cr_expect_str_eq(client.last, "welcome");
    cr_expect_eq(client.failed, client.closed);
    rig_client_end(&client);
    cr_expect_eq(client.opened, client.closed);
    rig_udp_close(&peer);
}

Test(udp_client_errors, with_a_local_port_asked_for_it_comes_back_by_that_port)
{
    uint16_t port = rig_free_port();
    struct rig_client client;
    char local[64];

    snprintf(local, sizeof local, "127.0.0.9:%u", rig_free_port());
    rig_client_begin(&client, NULL);
    client.then = rig_client_greet;
    rig_client_connect(&client, rig_at("127.0.0.1", port),
                       &(struct cw_connect_options){.local_host = local,
                                                    .reconnect = true,
                                                    .attempts_max = 3,
                                                    .reconnect_min_ms = 1,
                                                    .reconnect_max_ms = 1});
    rig_client_finish(&client);
    cr_expect_eq(client.opened, 3);
    cr_expect_eq(client.report.code, CW_EREFUSED, "%s", client.report.text);
}

static void greet_later(struct cw_conn *conn, void *user)
{
    rig_check(cw_conn_send_text(conn, "hello") == CW_OK);
}

static void greet_after_a_while(struct rig_client *client)
{
    if (client->greeted < client->opened) {
        client->greeted = client->opened;
        rig_check(cw_conn_after(client->conn, 30, 0, greet_later, NULL) == CW_OK);
    }
}

/* Each connection lives longer than reconnect_min_ms: counted by time, none of them would be a failure. */
Test(udp_client_errors, refused_before_anything_came_counts_as_a_failure_however_long_it_took)
{
    struct rig_client client;
    uint16_t port = rig_free_port();
    char text[CW_REPORT_TEXT_MAX];

    rig_client_begin(&client, NULL);
    client.then = greet_after_a_while;
    rig_client_connect(
        &client, rig_at("127.0.0.1", port),
        &(struct cw_connect_options){
            .reconnect = true, .attempts_max = 3, .reconnect_min_ms = 1, .reconnect_max_ms = 1});
    rig_client_finish(&client);
    cr_expect_eq(client.opened, 3);
    cr_expect_eq(client.closed, 3);
    cr_expect_eq(client.failed, 4); /* each one, and that there will be no more */
    cr_expect_eq(client.report.limit, 3);
    cr_expect_eq(client.report.code, CW_EREFUSED);
    snprintf(text, sizeof text,
             "connect 127.0.0.1:%u: gave up after 3 failures: nobody listens at that address", port);
    cr_expect_str_eq(client.report.text, text);
}

/* libevent's clock is a few milliseconds behind. */
enum { CLOCK_SLACK_MS = 20 };

/* Chance takes at most half of each pause: 20, 40 and 80 are left. Without doubling it could not take that long. */
Test(udp_client_errors, the_pauses_between_refusals_double)
{
    uint64_t began = rig_now_ms();
    struct rig_client client;

    rig_client_begin(&client, NULL);
    client.then = rig_client_greet;
    rig_client_connect(&client, rig_at("127.0.0.1", rig_free_port()),
                       &(struct cw_connect_options){
                           .reconnect = true, .attempts_max = 4, .reconnect_min_ms = 100});
    rig_client_finish(&client);
    cr_expect_eq(client.opened, 4);
    cr_expect_geq(rig_now_ms() - began, 350 - CLOCK_SLACK_MS);
}

/* A peer that takes what comes, answers once, and is gone. */
static void answer_once(struct rig_client *client, struct rig_udp *peer)
{
    struct cw_address from;
    char text[16];

    rig_udp_receive_from(peer, text, sizeof text, &from);
    rig_udp_turn_port(peer, from.port);
    rig_udp_send_text(peer, "welcome");
    rig_client_until(client, client->messages == 1);
    rig_udp_close(peer);
}

Test(udp_client_errors, a_peer_that_goes_away_ends_it_and_failures_are_counted_anew)
{
    struct rig_udp peer = rig_udp_open("127.0.0.1", "127.0.0.1");
    struct rig_client client;

    rig_client_begin(&client, NULL);
    rig_client_connect(
        &client, rig_at("127.0.0.1", rig_udp_port(&peer)),
        &(struct cw_connect_options){
            .reconnect = true, .attempts_max = 1, .reconnect_min_ms = 1, .reconnect_max_ms = 1});
    rig_client_until(&client, client.opened == 1);
    rig_client_say(&client, "hello");
    rig_client_flush(&client);
    answer_once(&client, &peer);
    rig_client_say(&client, "still there?");
    rig_client_until(&client, client.closed == 1);
    cr_expect_eq(client.reason.code, CW_EREFUSED);
    cr_expect_eq(client.failed, 1);
    rig_client_until(&client, client.opened == 2);
    rig_client_say(&client, "hello?");
    rig_client_flush(&client);
    rig_client_finish(&client);
    cr_expect_eq(client.closed, 2);
    cr_expect_eq(client.failed, 3);
    cr_expect_eq(client.report.limit, 1);
}

/* A connected socket says nothing of who is there: only the refusal shows that it was the wrong address. */
Test(udp_client_errors, refused_at_one_address_of_a_name_it_tries_the_next)
{
    struct rig_nameserver names;
    struct rig_client client;
    struct rig_udp peer;
    struct cw_address from;
    char text[16];

    if (!rig_enter_own_network()) {
        cr_skip_test("no network of its own is permitted here");
        return;
    }
    peer = rig_udp_open("127.0.0.1", "127.0.0.1");
    rig_client_begin(&client, NULL);
    rig_nameserver_open(&names, client.loop,
                        "::1 three.test\n127.0.0.5 three.test\n127.0.0.1 three.test\n", false);
    client.then = rig_client_greet;
    rig_client_connect(&client, rig_at("three.test", rig_udp_port(&peer)),
                       &(struct cw_connect_options){
                           .reconnect = true, .reconnect_min_ms = 1, .reconnect_max_ms = 1});
    rig_client_until(&client, client.opened == 3);
    rig_client_flush(&client);
    cr_expect_eq(client.peer.ip[3], 1);
    cr_expect_eq(client.peer.family, CW_IPV4);
    rig_udp_receive_from(&peer, text, sizeof text, &from);
    rig_udp_turn_port(&peer, from.port);
    rig_udp_send_text(&peer, "welcome");
    rig_client_until(&client, client.messages == 1);
    cr_expect_eq(client.failed, 2);
    rig_client_end(&client);
    rig_nameserver_close(&names);
    rig_udp_close(&peer);
}

/* ---- in a handshake ---- */

Test(udp_client_errors, over_dtls_a_refusal_ends_the_attempt_before_it_was_open)
{
    const struct cw_tls_options tls = {.insecure = true};
    uint16_t port = rig_free_port();
    struct rig_client client;
    char text[CW_REPORT_TEXT_MAX];

    rig_client_begin(&client, NULL);
    rig_client_connect(
        &client, rig_at("127.0.0.1", port),
        &(struct cw_connect_options){
            .tls = &tls, .reconnect = true, .reconnect_min_ms = 1, .attempts_max = 2});
    rig_client_finish(&client);
    snprintf(text, sizeof text,
             "connect 127.0.0.1:%u: gave up after 2 failures: nobody listens at that address", port);
    cr_expect_eq(client.opened + client.closed, 0);
    cr_expect_eq(client.failed, 3);
    cr_expect_eq(client.report.code, CW_EREFUSED);
    cr_expect_str_eq(client.report.text, text);
}

Test(udp_client_errors, over_dtls_a_silent_peer_is_given_up_after_the_connect_time)
{
    const struct cw_tls_options tls = {.insecure = true};
    struct rig_udp peer = rig_udp_open("127.0.0.1", NULL);
    struct rig_client client;

    rig_client_begin(&client, NULL);
    rig_client_connect(&client, rig_at("127.0.0.1", rig_udp_port(&peer)),
                       &(struct cw_connect_options){.tls = &tls, .connect_ms = 200});
    rig_client_finish(&client);
    cr_expect_eq(client.opened + client.closed, 0);
    cr_expect_eq(client.failed, 1);
    cr_expect_eq(client.report.code, CW_EHANDSHAKETIME);
    rig_udp_close(&peer);
}

/* ---- ways that are gone, and come back ---- */

static void change_interface(unsigned long request, struct ifreq *change)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    rig_check(fd >= 0);
    rig_check(ioctl(fd, request, change) == 0);
    close(fd);
}

static void set_ipv4(struct sockaddr *to, const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};

    rig_check(inet_pton(AF_INET, text, &address.sin_addr) == 1);
    memcpy(to, &address, sizeof address);
}

/* A second address of this machine, which can be taken away: then no way leads there. */
#define ELSEWHERE "10.1.1.2"

static void set_elsewhere(bool there)
{
    struct ifreq down = {.ifr_name = "lo:1"};
    struct ifreq address = {.ifr_name = "lo:1"};
    struct ifreq mask = {.ifr_name = "lo:1"};

    set_ipv4(&address.ifr_addr, ELSEWHERE);
    set_ipv4(&mask.ifr_netmask, "255.255.255.255");
    if (there) {
        change_interface(SIOCSIFADDR, &address);
        change_interface(SIOCSIFNETMASK, &mask);
    } else {
        change_interface(SIOCSIFFLAGS, &down);
    }
}

static uint16_t checksum(const uint8_t *bytes, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i += 2) {
        sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    }
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return htons((uint16_t)~sum);
}

/* A router's word about a datagram from the client to its peer, both on 127.0.0.1. mtu: what would have fitted. */
static void send_icmp(uint8_t code, uint16_t mtu, uint16_t client, uint16_t peer)
{
    struct {
        struct icmphdr icmp;
        struct iphdr ip;
        struct udphdr udp;
    } packet = {
        .icmp = {.type = ICMP_DEST_UNREACH, .code = code, .un.frag.mtu = htons(mtu)},
        .ip = {.version = 4,
               .ihl = 5,
               .tot_len = htons(sizeof packet.ip + sizeof packet.udp + 5),
               .ttl = 64,
               .protocol = IPPROTO_UDP,
               .saddr = htonl(INADDR_LOOPBACK),
               .daddr = htonl(INADDR_LOOPBACK)},
        .udp = {.uh_sport = htons(client), .uh_dport = htons(peer), .uh_ulen = htons(13)},
    };
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);

    rig_check(fd >= 0);
    packet.ip.check = checksum((const uint8_t *)&packet.ip, sizeof packet.ip);
    packet.icmp.checksum = checksum((const uint8_t *)&packet, sizeof packet);
    rig_check(sendto(fd, &packet, sizeof packet, 0, (const struct sockaddr *)&to, sizeof to) ==
              (ssize_t)sizeof packet);
    close(fd);
}

/* A client and a peer in a network of their own. False: the test has been skipped. */
static bool meet(struct rig_client *client, struct rig_udp *peer,
                 const struct cw_connect_options *options)
{
    if (!rig_enter_own_network()) {
        cr_skip_test("no network of its own is permitted here");
        return false;
    }
    rig_client_meet("127.0.0.1", client, peer, NULL, options);
    return true;
}

static void expect_both_still_speak(struct rig_client *client, struct rig_udp *peer)
{
    unsigned before = client->messages;

    rig_udp_send_text(peer, "there?");
    rig_client_until(client, client->messages == before + 1);
    rig_client_say(client, "here");
    rig_client_flush(client);
    rig_udp_expect(peer, "here");
    cr_expect_eq(client->closed, 0);
}

Test(udp_client_errors, a_host_that_is_out_of_reach_is_told_and_the_connection_stays)
{
    struct rig_client client;
    struct rig_udp peer;
    char text[CW_REPORT_TEXT_MAX];

    if (!meet(&client, &peer, NULL)) {
        return;
    }
    send_icmp(ICMP_HOST_UNREACH, 0, peer.to.port, rig_udp_port(&peer));
    rig_client_until(&client, client.failed == 1);
    cr_expect_eq(client.report.code, CW_EUNREACHABLE);
    cr_expect_eq(client.report.os_errno, EHOSTUNREACH);
    cr_expect_eq(client.report.conn_id, cw_conn_id(client.conn));
    cr_expect_eq(client.address.port, rig_udp_port(&peer));
    snprintf(text, sizeof text, "datagram to 127.0.0.1:%u: no route to that address",
             rig_udp_port(&peer));
    cr_expect_str_eq(client.report.text, text);
    cr_expect_eq(rig_client_stats(&client).errors_unreachable, 1);
    expect_both_still_speak(&client, &peer);
    rig_client_end(&client);
    cr_expect_eq(client.reason.code, CW_BY_APP);
    rig_udp_close(&peer);
}

Test(udp_client_errors, a_refusal_that_a_router_tells_ends_it)
{
    struct rig_client client;
    struct rig_udp peer;

    if (!meet(&client, &peer, NULL)) {
        return;
    }
    send_icmp(ICMP_PORT_UNREACH, 0, peer.to.port, rig_udp_port(&peer));
    rig_client_until(&client, client.closed == 1);
    expect_one_refusal(&client);
    rig_client_finish(&client);
    rig_udp_close(&peer);
}

Test(udp_client_errors, while_there_is_no_way_datagrams_are_dropped_and_counted_and_then_it_goes_on)
{
    struct rig_client client;
    struct rig_udp peer;

    if (!rig_enter_own_network()) {
        cr_skip_test("no network of its own is permitted here");
        return;
    }
    set_elsewhere(true);
    rig_client_meet(ELSEWHERE, &client, &peer, NULL,
                    &(struct cw_connect_options){.local_host = "127.0.0.1"});
    set_elsewhere(false);
    rig_client_say(&client, "lost");
    rig_client_until(&client, client.failed == 1);
    cr_expect_eq(client.report.code, CW_EUNREACHABLE);
    cr_expect_eq(client.report.os_errno, ENETUNREACH);
    cr_expect_eq(client.address.port, rig_udp_port(&peer));
    cr_expect_eq(rig_client_stats(&client).dropped_error, 1);
    cr_expect_eq(rig_client_stats(&client).errors_unreachable, 1);
    set_elsewhere(true);
    expect_both_still_speak(&client, &peer);
    cr_expect_eq(client.failed, 1);
    rig_client_end(&client);
    rig_udp_close(&peer);
}

Test(udp_client_errors, over_dtls_a_refusal_that_may_be_forged_does_not_end_what_is_open)
{
    struct cw_server *server = cw_create_server(&cw_udp);
    struct cw_tls_options tls = {0};
    struct rig_host *host;
    struct rig_client client;
    struct cw_address own;

    if (!pki_made() || !rig_enter_own_network()) {
        cw_server_free(server);
        cr_skip_test("the openssl command was missing, or no network of its own is permitted here");
        return;
    }
    tls.ca = pki("ca.pem");
    cw_server_listen(server, &(struct cw_listen_options){
                                 .host = "127.0.0.1",
                                 .tls = &(struct cw_tls_options){.cert = pki("server.pem"),
                                                                 .key = pki("server.key")}});
    host = rig_host_start(server, &(struct cw_hooks){.on_data = rig_echo}, NULL);
    rig_client_begin(&client, NULL);
    client.then = rig_client_greet;
    rig_client_connect(&client, rig_at("127.0.0.1", rig_host_port(host, 0)),
                       &(struct cw_connect_options){.tls = &tls});
    rig_client_until(&client, client.messages == 1);
    cr_assert_eq(cw_conn_local(client.conn, &own), CW_OK);
    send_icmp(ICMP_PORT_UNREACH, 0, own.port, rig_host_port(host, 0));
    rig_client_until(&client, client.failed == 1);
    cr_expect_eq(client.report.code, CW_EREFUSED);
    cr_expect_eq(client.closed, 0);
    rig_client_say(&client, "still here");
    rig_client_until(&client, client.messages == 2);
    cr_expect_str_eq(client.last, "still here");
    rig_client_end(&client);
    cr_expect_eq(client.failed, 1);
    rig_host_end(host);
}

/* ---- datagrams that do not fit the path ---- */

static const uint8_t large[4000];

Test(udp_client_errors, what_does_not_fit_the_path_and_may_not_be_cut_is_dropped_told_and_counted)
{
    struct ifreq change = {.ifr_name = "lo", .ifr_mtu = 1500};
    struct rig_client client;
    struct rig_udp peer;

    if (!meet(&client, &peer, &(struct cw_connect_options){.datagram = {.dont_fragment = true}})) {
        return;
    }
    change_interface(SIOCSIFMTU, &change);
    (void)cw_conn_send_bytes(client.conn, large, 1473);
    rig_client_until(&client, client.failed == 1);
    cr_expect_eq(client.report.code, CW_ETOOBIG);
    cr_expect_eq(rig_client_stats(&client).dropped_too_big, 1);
    cr_expect_eq(cw_conn_send_bytes(client.conn, large, 1472), CW_OK);
    rig_client_flush(&client);
    rig_udp_expect_bytes(&peer, large, 1472);
    expect_both_still_speak(&client, &peer);
    rig_client_end(&client);
    rig_udp_close(&peer);
}

Test(udp_client_errors, what_may_be_cut_arrives_whole)
{
    struct ifreq change = {.ifr_name = "lo", .ifr_mtu = 1500};
    struct rig_client client;
    struct rig_udp peer;

    if (!meet(&client, &peer, NULL)) {
        return;
    }
    change_interface(SIOCSIFMTU, &change);
    cr_expect_eq(cw_conn_send_bytes(client.conn, large, sizeof large), CW_OK);
    rig_client_flush(&client);
    rig_udp_expect_bytes(&peer, large, sizeof large);
    expect_both_still_speak(&client, &peer);
    cr_expect_eq(client.failed, 0);
    rig_client_end(&client);
    rig_udp_close(&peer);
}

Test(udp_client_errors, a_router_for_whom_it_does_not_fit_is_told_of_and_the_connection_stays)
{
    struct rig_client client;
    struct rig_udp peer;

    if (!meet(&client, &peer, &(struct cw_connect_options){.datagram = {.dont_fragment = true}})) {
        return;
    }
    send_icmp(ICMP_FRAG_NEEDED, 1280, peer.to.port, rig_udp_port(&peer));
    rig_client_until(&client, client.failed == 1);
    cr_expect_eq(client.report.code, CW_ETOOBIG);
    cr_expect_eq(client.report.os_errno, EMSGSIZE);
    expect_both_still_speak(&client, &peer);
    rig_client_end(&client);
    rig_udp_close(&peer);
}

/* `datagram` of a configuration file: of the server, of a listener, and what a listener cannot have; the same for cw_server_listen. */
#include "config_impl.h"
#include "server_impl.h"
#include "support/config_text.h"
#include "support/fault.h"
#include "support/leak.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(config_datagram, .fini = rig_expect_no_leak, .timeout = 60);

static const struct cw_config_options with_udp = {
    .services = &(struct cw_service){.protocol = &cw_udp}, .service_count = 1};

static const struct cw_config *load(const char *text)
{
    cr_assert_eq(rig_config_load_with(text, &with_udp), CW_OK, "%s",
                 cw_server_error(rig_config_server));
    return rig_config_server->config;
}

static void expect_wrong(const char *text, const char *sentence)
{
    cr_expect_eq(rig_config_load_with(text, &with_udp), CW_ECONFIG);
    cr_expect_str_eq(rig_config_said(), sentence);
}

/* ---- keys ---- */

Test(config_datagram, every_key_reaches_its_member)
{
    const struct cw_datagram_options *said =
        &load("server:\n"
              "  datagram:\n"
              "    max_peers: 500\n"
              "    peer_idle_timeout: 10\n"
              "    peer_silent_timeout: 20\n"
              "    amplification: 5\n"
              "    max_queue: 64K\n"
              "    receive_buffer: 1M\n"
              "    send_buffer: 2M\n"
              "    datagrams_per_turn: 99\n"
              "    ttl: 9\n"
              "    dont_fragment: true\n"
              "    offload: false\n"
              "    one_worker: true\n"
              "    groups:\n"
              "      - { group: 239.1.2.3, interface: lo, source: 127.0.0.1 }\n"
              "      - group: ff15::1\n"
              "    multicast_interface: lo\n"
              "    multicast_ttl: 8\n"
              "    multicast_loop: false\n"
              "    broadcast: true\n"
              "  listeners:\n"
              "    - { protocol: udp, port: 0 }\n")
             ->listeners[0]
             .options.datagram;

    cr_expect_eq(said->peers_max, 500);
    cr_expect_eq(said->peer_idle_ms, 10000);
    cr_expect_eq(said->peer_silent_ms, 20000);
    cr_expect_eq(said->amplification, 5);
    cr_expect_eq(said->queue_max_bytes, 65536);
    cr_expect_eq(said->receive_buffer_bytes, 1 << 20);
    cr_expect_eq(said->send_buffer_bytes, 2 << 20);
    cr_expect_eq(said->datagrams_per_turn, 99);
    cr_expect_eq(said->ttl, 9);
    cr_expect(said->dont_fragment);
    cr_expect(said->no_offload);
    cr_expect(said->one_worker);
    cr_assert_eq(said->group_count, 2);
    cr_expect_str_eq(said->groups[0].group, "239.1.2.3");
    cr_expect_str_eq(said->groups[0].interface, "lo");
    cr_expect_str_eq(said->groups[0].source, "127.0.0.1");
    cr_expect_str_eq(said->groups[1].group, "ff15::1");
    cr_expect_null(said->groups[1].interface);
    cr_expect_str_eq(said->multicast_interface, "lo");
    cr_expect_eq(said->multicast_ttl, 8);
    cr_expect(said->multicast_no_loop);
    cr_expect(said->broadcast);
    rig_config_end();
}

Test(config_datagram, words_stand_in_place_of_numbers)
{
    const struct cw_datagram_options *said =
        &load("server:\n  datagram: { peer_idle_timeout: off, amplification: unlimited }\n")
             ->datagram;

    cr_expect_eq(said->peer_idle_ms, CW_OFF);
    cr_expect_eq(said->amplification, CW_NO_LIMIT);
    rig_config_end();
}

Test(config_datagram, what_a_listener_says_goes_over_what_the_server_says)
{
    const struct cw_config *config =
        load("server:\n"
             "  datagram:\n"
             "    max_peers: 500\n"
             "    ttl: 9\n"
             "    broadcast: true\n"
             "    groups: [{ group: 239.1.2.3 }]\n"
             "  listeners:\n"
             "    - { protocol: udp, port: 0 }\n"
             "    - { protocol: udp, port: 0, datagram: { ttl: 10, broadcast: false } }\n"
             "    - protocol: udp\n"
             "      port: 0\n"
             "      datagram: { groups: [{ group: 239.9.9.9 }, { group: 239.9.9.8 }] }\n"
             "    - port: 0\n");

    cr_assert_eq(config->listener_count, 4);
    cr_expect_eq(config->listeners[0].options.datagram.peers_max, 500);
    cr_expect_eq(config->listeners[0].options.datagram.ttl, 9);
    cr_expect(config->listeners[0].options.datagram.broadcast);
    cr_expect_eq(config->listeners[0].options.datagram.group_count, 1);
    cr_expect_eq(config->listeners[1].options.datagram.peers_max, 500);
    cr_expect_eq(config->listeners[1].options.datagram.ttl, 10);
    cr_expect_not(config->listeners[1].options.datagram.broadcast);
    cr_expect_eq(config->listeners[2].options.datagram.group_count, 2);
    cr_expect_eq(config->listeners[3].options.datagram.peers_max, 0, "it speaks framed");
    rig_config_end();
}

Test(config_datagram, what_is_wrong_is_named_by_its_key)
{
    expect_wrong("server:\n  datagram:\n    ttl: 256\n",
                 ":3: server.datagram.ttl: 256 is not allowed; 1 to 255");
    expect_wrong("server:\n  datagram:\n    groups: 239.1.2.3\n",
                 ":3: server.datagram.groups: 239.1.2.3 is not allowed; a list of at most 64 "
                 "groups: - { group: 239.1.2.3 }");
    expect_wrong("server:\n  datagram:\n    groups:\n      - { interface: lo }\n",
                 ":4: server.datagram.groups[0]: group is missing; a multicast address");
    expect_wrong("server:\n  datagram:\n    groups:\n      - { group: 239.1.2.3, port: 1 }\n",
                 ":4: server.datagram.groups[0].port: unknown key here; did you mean server.port?");
    expect_wrong("server:\n  datagram:\n    groups:\n      - { group: 10.0.0.1 }\n",
                 ":3: server.datagram.groups[0].group: '10.0.0.1' is not a multicast address "
                 "(239.1.2.3, ff15::1)");
    expect_wrong("server:\n  datagram:\n    max_peer: 1\n",
                 ":3: server.datagram.max_peer: unknown key; did you mean max_peers?");
    rig_config_end();
}

Test(config_datagram, what_is_wrong_in_a_listener_is_named_with_its_place)
{
    expect_wrong("server:\n"
                 "  listeners:\n"
                 "    - port: 0\n"
                 "    - protocol: udp\n"
                 "      port: 0\n"
                 "      datagram: { groups: [{ group: 239.1.2.3, source: \"::1\" }] }\n",
                 ":4: server.listeners[1].datagram.groups[0].source: '::1' is of another family "
                 "than the group");
    rig_config_end();
}

Test(config_datagram, a_listener_has_what_its_protocol_has_and_no_more)
{
    expect_wrong("server:\n"
                 "  listeners:\n"
                 "    - port: 0\n"
                 "      datagram: { ttl: 1 }\n",
                 ":4: server.listeners[0]: datagram is not allowed in a listener of framed, a "
                 "protocol of streams; tcp is");
    expect_wrong("server:\n"
                 "  listeners:\n"
                 "    - protocol: udp\n"
                 "      port: 0\n"
                 "      tcp: { keep_alive: false }\n",
                 ":5: server.listeners[0]: tcp is not allowed in a listener of udp, a protocol of "
                 "datagrams; datagram is");
    expect_wrong("server:\n"
                 "  listeners:\n"
                 "    - protocol: udp\n"
                 "      unix: a.sock\n",
                 ":4: server.listeners[0]: unix is not allowed in a listener of udp, a protocol of "
                 "datagrams; bind and port are");
    rig_config_end();
}

Test(config_datagram, the_servers_tcp_is_of_its_streams_alone)
{
    const struct cw_config *config = load("server:\n"
                                          "  tcp: { keep_alive_probes: 9, backlog: 7 }\n"
                                          "  listeners:\n"
                                          "    - { protocol: udp, port: 0 }\n"
                                          "    - { port: 0 }\n");

    cr_expect_eq(config->listeners[0].options.tcp.keepalive_probes, 0);
    cr_expect_eq(config->listeners[0].options.backlog, 0);
    cr_expect_eq(config->listeners[1].options.tcp.keepalive_probes, 9);
    cr_expect_eq(config->listeners[1].options.backlog, 7);
    rig_config_end();
}

Test(config_datagram, no_datagram_is_as_long_as_a_limit_for_all_protocols_may_be)
{
    load("server:\n  max_frame_size: 1M\n  listeners:\n    - { protocol: udp, port: 0 }\n");
    const struct cw_udp_options *options = cw_config_protocol_options(
        (struct cw_config *)(uintptr_t)rig_config_server->config, &cw_udp);

    cr_expect_eq(options->datagram_max_bytes, 65507);
    load("server:\n  max_frame_size: 1200\n  listeners:\n    - { protocol: udp, port: 0 }\n");
    options = cw_config_protocol_options((struct cw_config *)(uintptr_t)rig_config_server->config,
                                         &cw_udp);
    cr_expect_eq(options->datagram_max_bytes, 1200);
    expect_wrong("server:\n  udp:\n    max_frame_size: 1M\n",
                 ":3: server.udp.max_frame_size: 1M is not allowed; 1 to 65507 bytes, or with K, "
                 "M, G");
    rig_config_end();
}

Test(config_datagram, keys_of_dtls_stand_with_those_of_tls)
{
    const struct cw_tls_options *tls =
        &load(
             "server:\n"
             "  tls: { mtu: 1200, retransmit_min: 400ms, retransmit_max: 5, connection_id: true }\n")
             ->tls;

    cr_expect_eq(tls->mtu_bytes, 1200);
    cr_expect_eq(tls->retransmit_min_ms, 400);
    cr_expect_eq(tls->retransmit_max_ms, 5000);
    cr_expect(tls->connection_id);
    expect_wrong("server:\n  tls: { mtu: 255 }\n",
                 ":2: server.tls.mtu: 255 is not allowed; 256 to 65507 bytes, or with K, M, G");
    expect_wrong("server:\n  tls: { retransmit_max: 61m }\n",
                 ":2: server.tls.retransmit_max: 61m is not allowed; 1ms to 1h, seconds where there "
                 "is no unit (ms, s, m, h)");
    rig_config_end();
}

Test(config_datagram, a_reload_names_what_only_a_new_start_can_change)
{
    struct cw_config *read = NULL;
    struct cw_complaint complaint;
    char names[200];

    load("server:\n"
         "  datagram: { groups: [{ group: 239.1.2.3 }] }\n"
         "  listeners:\n"
         "    - { protocol: udp, port: 0 }\n"
         "    - { port: 0 }\n");
    rig_config_write("server:\n"
                     "  datagram: { groups: [{ group: 239.1.2.4 }] }\n"
                     "  listeners:\n"
                     "    - { protocol: udp, port: 0 }\n"
                     "    - { port: 0 }\n");
    cr_assert_eq(cw_config_reread(rig_config_server, &read, &complaint), CW_OK);
    cr_expect_eq(cw_config_differs(rig_config_server->config, read, names, sizeof names), 1);
    cr_expect_str_eq(names, "server.listeners[0].datagram");
    cw_config_free(read);
    rig_config_end();
}

/* ---- from a program ---- */

static const char *refusal_of(const struct cw_protocol *protocol, struct cw_listen_options options)
{
    static char text[300];
    struct cw_server *server = cw_create_server(protocol);

    int error = cw_server_listen(server, &options);
    snprintf(text, sizeof text, "%s", cw_server_error(server));
    cr_expect_eq(error, text[0] ? CW_EINVAL : CW_OK);
    cw_server_free(server);
    return text;
}

#define EXPECT_REFUSED(protocol, text, ...)                                                        \
    cr_expect_str_eq(refusal_of(&(protocol), (struct cw_listen_options){__VA_ARGS__}), text)

Test(config_datagram, a_listener_of_datagrams_refuses_what_streams_have)
{
    EXPECT_REFUSED(cw_udp, "", .port = 0, .datagram = {.ttl = 3, .multicast_interface = "lo"});
    EXPECT_REFUSED(
        cw_udp,
        "listen: unix_path: udp is a protocol of datagrams and has none of that; leave it out",
        .unix_path = "/a");
    EXPECT_REFUSED(
        cw_udp, "listen: backlog: udp is a protocol of datagrams and has none of that; leave it out",
        .backlog = 5);
    EXPECT_REFUSED(cw_udp,
                   "listen: tcp: udp is a protocol of datagrams and has none of that; leave it out",
                   .tcp = {.keepalive_ms = CW_OFF});
    EXPECT_REFUSED(
        cw_udp,
        "listen: tls.start_tls: udp is a protocol of datagrams and has none of that; leave it out",
        .tls = &(struct cw_tls_options){.cert = "a", .start_tls = true});
    EXPECT_REFUSED(cw_udp, "listen: datagram.ttl: at most 255 is allowed", .datagram = {.ttl = 300});
}

Test(config_datagram, a_listener_of_streams_refuses_what_datagrams_have)
{
    EXPECT_REFUSED(cw_tcp, "", .port = 0);
    EXPECT_REFUSED(cw_tcp, "listen: datagram: tcp is no protocol of datagrams; leave it out",
                   .datagram = {.peer_idle_ms = 1000});
    EXPECT_REFUSED(cw_udp, "listen: datagram: line is no protocol of datagrams; leave it out",
                   .service = {.protocol = &cw_line}, .datagram = {.broadcast = true});
    EXPECT_REFUSED(cw_tcp, "", .service = {.protocol = &cw_udp}, .datagram = {.broadcast = true});
}

Test(config_datagram, an_inherited_descriptor_has_to_be_a_socket_of_ip_datagrams)
{
    const int kinds[][2] = {{AF_INET, SOCK_STREAM}, {AF_UNIX, SOCK_DGRAM}};

    for (size_t i = 0; i < 2; i++) {
        struct cw_server *server = cw_create_server(&cw_udp);
        int fd = socket(kinds[i][0], kinds[i][1] | SOCK_CLOEXEC, 0);
        char text[100];

        cr_assert_geq(fd, 0);
        snprintf(text, sizeof text, "listen descriptor %d: it is not a socket of datagrams over IP",
                 fd);
        cr_expect_eq(cw_server_listen(server, &(struct cw_listen_options){.fd = fd}), CW_OK);
        cr_expect_eq(cw_server_run(server), CW_EINVAL);
        cr_expect_str_eq(cw_server_error(server), text);
        cw_server_free(server);
        close(fd);
    }
}

Test(config_datagram, a_listener_that_memory_runs_out_for_is_not_there)
{
    const struct cw_multicast_group groups[] = {{.group = "239.1.2.3", .interface = "lo"},
                                                {.group = "232.1.2.3", .source = "127.0.0.1"}};
    const struct cw_listen_options options = {
        .host = "127.0.0.1",
        .datagram = {.groups = groups, .group_count = 2, .multicast_interface = "lo"}};
    bool failed = true;

    fault_install();
    for (size_t nth = 1; failed; nth++) {
        struct cw_server *server = cw_create_server(&cw_udp);

        fault_arm(nth);
        int error = cw_server_listen(server, &options);
        failed = fault_disarm();
        cr_expect_eq(error, failed ? CW_ENOMEM : CW_OK);
        cw_server_free(server);
    }
    fault_remove();
}

/* ---- a client ---- */

static char logged[300];

static void keep_line(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    snprintf(logged, sizeof logged, "%s", text);
}

static void expect_no_client(const struct cw_protocol *protocol, struct cw_connect_options options,
                             const char *text)
{
    struct cw_loop *loop = cw_loop_new();

    cw_log_set(keep_line, NULL);
    logged[0] = '\0';
    cr_expect_eq(cw_connect(loop, cw_service(protocol, NULL, NULL), "127.0.0.1:9", &options),
                 CW_EINVAL);
    cr_expect_str_eq(logged, text);
    cw_log_set(NULL, NULL);
    cw_loop_free(loop);
}

Test(config_datagram, a_client_has_what_its_protocol_has_and_no_more)
{
    const struct cw_tls_options late = {.start_tls = true};

    expect_no_client(
        &cw_line, (struct cw_connect_options){.datagram = {.ttl = 3}},
        "connect 127.0.0.1:9: datagram: line is no protocol of datagrams; leave it out");
    expect_no_client(
        &cw_udp, (struct cw_connect_options){.tcp = {.delay = true}},
        "connect 127.0.0.1:9: tcp: udp is a protocol of datagrams and has none of that; leave it out");
    expect_no_client(
        &cw_udp, (struct cw_connect_options){.tls = &late},
        "connect 127.0.0.1:9: tls.start_tls: udp is a protocol of datagrams and has none of that; leave it out");
}

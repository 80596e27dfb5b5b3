/* Groups and broadcast over sockets: joined and left by options and while the server runs, by source and by interface; how far
 * what is sent goes, and whom it reaches. The loopback is enough for IPv4; the rest has two namespaces. */
#include "support/leak.h"
#include "support/nets.h"
#include "support/udp_scene.h"
#include "support/wait.h"

#include <causeway/error.h>
#include <causeway/tcp.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(multicast, .fini = rig_expect_no_leak, .timeout = 60);

#define GROUP "239.77.1.1"
#define OTHER "239.77.1.2"

static struct rig_scene scene;

static uint16_t port(void)
{
    return rig_host_port(scene.host, 0);
}

static struct cw_server *server(void)
{
    return rig_host_server(scene.host);
}

/* ---- peers ---- */

/* What this peer sends to a group leaves by that interface. */
static void send_by(struct rig_udp *peer, const char *interface)
{
    int index = (int)if_nametoindex(interface);
    struct ip_mreqn way = {.imr_ifindex = index};

    rig_check(index > 0);
    /* The kernel takes that of IPv4 on both. */
    rig_check(setsockopt(peer->fd, IPPROTO_IP, IP_MULTICAST_IF, &way, sizeof way) == 0);
    (void)setsockopt(peer->fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index);
}

/* A peer of the scene's server, from an address of the loopback. */
static struct rig_udp local_peer(const char *own)
{
    struct rig_udp peer = rig_udp_peer_at(&scene, own);

    send_by(&peer, "lo");
    return peer;
}

static void say_to(struct rig_udp *peer, const char *group, const char *text)
{
    struct cw_address to = peer->to;

    rig_udp_turn(peer, group);
    rig_udp_send_text(peer, text);
    peer->to = to;
}

static void expect_heard(struct rig_udp *peer, const char *group)
{
    say_to(peer, group, "to the group");
    rig_udp_expect(peer, "to the group");
}

static void expect_unheard(struct rig_udp *peer, const char *group)
{
    say_to(peer, group, "to the group");
    rig_udp_expect_echo(peer, "to you alone");
}

/* A socket that is a member of a group itself, at a port that is the same in all of them. */
static struct rig_udp member_of(const char *own, const char *group, const char *interface)
{
    struct rig_udp member = rig_udp_open(own, NULL);
    struct cw_address address = rig_address(group);
    struct ip_mreqn request = {.imr_ifindex = (int)if_nametoindex(interface)};

    rig_check(address.family == CW_IPV4);
    memcpy(&request.imr_multiaddr, address.ip, sizeof request.imr_multiaddr);
    rig_check(setsockopt(member.fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request) == 0);
    return member;
}

static struct rig_udp member_of_ipv6(const char *own, const char *group, const char *interface)
{
    struct rig_udp member = rig_udp_open(own, NULL);
    struct cw_address address = rig_address(group);
    struct ipv6_mreq request = {.ipv6mr_interface = if_nametoindex(interface)};

    memcpy(&request.ipv6mr_multiaddr, address.ip, sizeof request.ipv6mr_multiaddr);
    rig_check(setsockopt(member.fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &request, sizeof request) == 0);
    return member;
}

/* ---- the server speaks first ---- */

struct speech {
    struct cw_address to;
    const char *text;
    int result;
};

static void speak(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct speech *speech = arg;
    struct cw_conn *peer = cw_datagram_peer(loop, NULL, &speech->to);

    speech->result = peer ? cw_conn_send_text(peer, speech->text) : CW_ENOTFOUND;
}

/* The server sends to an address, from its loop. */
static void server_says(const char *to, uint16_t to_port, const char *text)
{
    struct speech speech = {.to = rig_address(to), .text = text};

    speech.to.port = to_port;
    rig_host_run(scene.host, 0, speak, &speech);
    rig_check(speech.result == CW_OK);
}

/* ---- by options ---- */

static const struct cw_multicast_group on_loopback[] = {{.group = GROUP, .interface = "lo"},
                                                        {.group = OTHER, .interface = "127.0.0.1"}};

static void begin(struct cw_datagram_options datagram)
{
    rig_udp_begin(&scene, &(struct rig_udp_setup){.host = "0.0.0.0", .datagram = datagram});
}

Test(multicast, groups_of_the_options_are_heard_from_the_start)
{
    begin((struct cw_datagram_options){.groups = on_loopback, .group_count = 2});
    struct rig_udp peer = local_peer("127.0.0.1");

    expect_heard(&peer, GROUP);
    expect_heard(&peer, OTHER);
    expect_unheard(&peer, "239.77.1.3");
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(multicast, several_workers_hear_each_datagram_once)
{
    rig_udp_begin(&scene,
                  &(struct rig_udp_setup){.host = "0.0.0.0",
                                          .server = {.workers = 3},
                                          .datagram = {.groups = on_loopback, .group_count = 1}});
    struct rig_udp peer = local_peer("127.0.0.1");

    for (unsigned i = 0; i < 8; i++) {
        expect_heard(&peer, GROUP);
    }
    rig_udp_expect_echo(&peer, "once each");
    cr_expect_eq(rig_udp_stats(&scene).received, 9);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(multicast, groups_that_others_of_this_machine_have_joined_are_not_ours)
{
    begin((struct cw_datagram_options){0});
    struct rig_udp member = member_of("0.0.0.0", GROUP, "lo");
    struct rig_udp peer = local_peer("127.0.0.1");

    expect_unheard(&peer, GROUP);
    rig_udp_close(&member);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(multicast, a_listener_at_the_address_of_a_group_hears_that_alone)
{
    rig_udp_begin(&scene,
                  &(struct rig_udp_setup){.host = GROUP,
                                          .datagram = {.groups = on_loopback, .group_count = 2}});
    struct rig_udp peer = rig_udp_peer_at(&scene, "127.0.0.1");
    char text[32];
    struct cw_address from;

    send_by(&peer, "lo");
    say_to(&peer, OTHER, "no");
    rig_udp_send_text(&peer, "to another address of this port");
    say_to(&peer, GROUP, "yes");
    rig_check(rig_udp_receive_from(&peer, text, sizeof text, &from) == 3);
    cr_expect_arr_eq(text, "yes", 3);
    cr_expect_eq(from.port, port());
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(multicast, two_servers_at_one_port_hear_a_group_both)
{
    struct rig_scene second = {0};

    begin((struct cw_datagram_options){.groups = on_loopback, .group_count = 1});
    struct cw_server *other = cw_create_server(&cw_udp);
    cr_assert_eq(
        cw_server_listen(other, &(struct cw_listen_options){.host = "0.0.0.0",
                                                            .port = port(),
                                                            .datagram = {.groups = on_loopback,
                                                                         .group_count = 1}}),
        CW_OK);
    rig_udp_begin_server(&second, other, NULL);
    struct rig_udp peer = local_peer("127.0.0.1");

    say_to(&peer, GROUP, "to both of you");
    rig_udp_expect(&peer, "to both of you");
    rig_udp_expect(&peer, "to both of you");
    rig_udp_close(&peer);
    rig_scene_end(&second);
    rig_scene_end(&scene);
}

/* ---- while it runs ---- */

static int join(const char *group, const char *interface, const char *source)
{
    return cw_multicast_join(
        server(), NULL,
        &(struct cw_multicast_group){.group = group, .interface = interface, .source = source});
}

static int leave(const char *group, const char *interface, const char *source)
{
    return cw_multicast_leave(
        server(), NULL,
        &(struct cw_multicast_group){.group = group, .interface = interface, .source = source});
}

Test(multicast, a_group_is_heard_from_join_to_leave)
{
    begin((struct cw_datagram_options){0});
    struct rig_udp peer = local_peer("127.0.0.1");

    expect_unheard(&peer, GROUP);
    cr_expect_eq(join(GROUP, "lo", NULL), CW_OK);
    expect_heard(&peer, GROUP);
    expect_unheard(&peer, OTHER);
    cr_expect_eq(join(OTHER, "lo", NULL), CW_OK);
    expect_heard(&peer, OTHER);
    cr_expect_eq(leave(GROUP, "lo", NULL), CW_OK);
    expect_unheard(&peer, GROUP);
    expect_heard(&peer, OTHER);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(multicast, a_group_of_the_options_can_be_left)
{
    begin((struct cw_datagram_options){.groups = on_loopback, .group_count = 2});
    struct rig_udp peer = local_peer("127.0.0.1");

    cr_expect_eq(leave(GROUP, "lo", NULL), CW_OK);
    expect_unheard(&peer, GROUP);
    expect_heard(&peer, OTHER);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(multicast, joined_at_run_time_several_workers_hear_it_once)
{
    rig_udp_begin(&scene, &(struct rig_udp_setup){.host = "0.0.0.0", .server = {.workers = 3}});
    struct rig_udp peer = local_peer("127.0.0.1");

    cr_expect_eq(join(GROUP, "lo", NULL), CW_OK);
    expect_heard(&peer, GROUP);
    expect_heard(&peer, GROUP);
    rig_udp_expect_echo(&peer, "once each");
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

static void join_in_hook(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    const struct cw_multicast_group group = {.group = GROUP, .interface = "lo"};

    atomic_store(&scene.story.answer, cw_multicast_join(cw_conn_server(conn), NULL, &group));
    rig_udp_echo(conn, msg, user);
}

Test(multicast, a_hook_may_join)
{
    const struct cw_hooks hooks = rig_story_with_data(join_in_hook);

    rig_udp_begin(&scene, &(struct rig_udp_setup){.host = "0.0.0.0", .hooks = &hooks});
    struct rig_udp peer = local_peer("127.0.0.1");

    rig_udp_expect_echo(&peer, "join, please");
    cr_expect_eq(atomic_load(&scene.story.answer), CW_OK);
    expect_heard(&peer, GROUP);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(multicast, what_cannot_be_joined_or_left_is_told)
{
    const struct cw_address nobody = rig_address("127.0.0.1:1");
    const struct cw_multicast_group group = {.group = GROUP, .interface = "lo"};

    begin((struct cw_datagram_options){0});
    cr_expect_eq(leave(GROUP, "lo", NULL), CW_ENOTFOUND);
    cr_expect_eq(join(GROUP, "lo", NULL), CW_OK);
    cr_expect_eq(join(GROUP, "lo", NULL), CW_EADDRINUSE);
    cr_expect_eq(join(GROUP, "lo", "127.0.0.1"), CW_EADDRINUSE);
    cr_expect_eq(leave(GROUP, "lo", "127.0.0.1"), CW_ENOTFOUND);
    cr_expect_eq(join("10.0.0.1", "lo", NULL), CW_EINVAL);
    cr_expect_eq(join(NULL, "lo", NULL), CW_EINVAL);
    cr_expect_eq(join("ff15::1", "lo", NULL), CW_EINVAL);
    cr_expect_eq(join(OTHER, "nothing0", NULL), CW_ENOTFOUND);
    cr_expect_eq(cw_multicast_join(server(), &nobody, &group), CW_ENOTFOUND);
    cr_expect_eq(cw_multicast_join(NULL, NULL, &group), CW_ESTOPPED);
    cr_expect_eq(rig_host_stop(scene.host), CW_OK);
    cr_expect_eq(join(GROUP, "lo", NULL), CW_ESTOPPED);
    cr_expect_eq(leave(GROUP, "lo", NULL), CW_ESTOPPED);
    rig_host_free(scene.host);
}

Test(multicast, a_server_that_does_not_run_yet_joins_nothing)
{
    const struct cw_multicast_group group = {.group = GROUP, .interface = "lo"};
    struct cw_server *early = rig_udp_server(&(struct rig_udp_setup){.host = "0.0.0.0"});

    cr_expect_eq(cw_multicast_join(early, NULL, &group), CW_ESTOPPED);
    cw_server_free(early);
}

Test(multicast, more_groups_than_the_system_allows_are_told)
{
    unsigned allowed = 0;
    FILE *setting = fopen("/proc/sys/net/ipv4/igmp_max_memberships", "r");
    char group[32];

    if (!setting || fscanf(setting, "%u", &allowed) != 1 || allowed > 5000) {
        cr_skip_test("this machine does not say how many groups it allows, or it is very many");
    }
    fclose(setting);
    begin((struct cw_datagram_options){0});
    for (unsigned i = 0; i < allowed; i++) {
        snprintf(group, sizeof group, "239.78.%u.%u", i / 250, i % 250 + 1);
        cr_expect_eq(join(group, "lo", NULL), CW_OK);
    }
    cr_expect_eq(join(GROUP, "lo", NULL), CW_EFULL);
    rig_scene_end(&scene);
}

/* ---- several listeners ---- */

Test(multicast, one_of_several_listeners_joins_or_all_that_can)
{
    const struct cw_multicast_group group = {.group = GROUP, .interface = "lo"};
    struct cw_server *several = rig_udp_server(&(struct rig_udp_setup){.host = "0.0.0.0"});

    cw_server_listen(several, &(struct cw_listen_options){.host = "0.0.0.0"});
    cw_server_listen(several, &(struct cw_listen_options){
                                  .host = "127.0.0.1", .service = cw_service(&cw_tcp, NULL, NULL)});
    rig_udp_begin_server(&scene, several, NULL);
    struct rig_udp first = local_peer("127.0.0.1");
    struct rig_udp second = local_peer("127.0.0.1");
    struct cw_address at_second = rig_address("0.0.0.0");

    rig_udp_turn_port(&second, rig_host_port(scene.host, 1));
    at_second.port = rig_host_port(scene.host, 1);
    cr_expect_eq(cw_multicast_join(several, &at_second, &group), CW_OK);
    expect_unheard(&first, GROUP);
    expect_heard(&second, GROUP);
    /* All or nothing: the first is no member, because the second was one. */
    cr_expect_eq(join(GROUP, "lo", NULL), CW_EADDRINUSE);
    expect_unheard(&first, GROUP);
    cr_expect_eq(leave(GROUP, "lo", NULL), CW_OK);
    expect_unheard(&second, GROUP);
    cr_expect_eq(join(GROUP, "lo", NULL), CW_OK);
    expect_heard(&first, GROUP);
    expect_heard(&second, GROUP);
    rig_udp_close(&first);
    rig_udp_close(&second);
    rig_scene_end(&scene);
}

Test(multicast, a_server_without_datagrams_has_no_listener_that_could_join)
{
    const struct cw_multicast_group group = {.group = GROUP, .interface = "lo"};
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, NULL), NULL, NULL);

    cr_expect_eq(cw_multicast_join(rig_host_server(host), NULL, &group), CW_ENOTFOUND);
    rig_host_end(host);
}

/* ---- by source ---- */

Test(multicast, of_a_source_specific_group_only_that_source_is_heard)
{
    const struct cw_multicast_group group = {
        .group = "232.77.1.1", .interface = "lo", .source = "127.0.0.2"};

    begin((struct cw_datagram_options){.groups = &group, .group_count = 1});
    struct rig_udp wanted = local_peer("127.0.0.2");
    struct rig_udp unwanted = local_peer("127.0.0.3");

    expect_heard(&wanted, "232.77.1.1");
    expect_unheard(&unwanted, "232.77.1.1");
    cr_expect_eq(join("232.77.1.1", "lo", "127.0.0.3"), CW_OK);
    expect_heard(&unwanted, "232.77.1.1");
    expect_heard(&wanted, "232.77.1.1");
    cr_expect_eq(leave("232.77.1.1", "lo", "127.0.0.2"), CW_OK);
    expect_unheard(&wanted, "232.77.1.1");
    expect_heard(&unwanted, "232.77.1.1");
    rig_udp_close(&wanted);
    rig_udp_close(&unwanted);
    rig_scene_end(&scene);
}

/* ---- what is sent ---- */

/* Receives one datagram and how many hops it had left. */
static int hops_of_next(struct rig_udp *peer, const char *text)
{
    char bytes[64];
    alignas(struct cmsghdr) char control[256];
    struct iovec part = {bytes, sizeof bytes};
    struct msghdr msg = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    int hops = -1;

    rig_check(recvmsg(peer->fd, &msg, 0) == (ssize_t)strlen(text));
    rig_check(memcmp(bytes, text, strlen(text)) == 0);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) ||
            (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT)) {
            memcpy(&hops, CMSG_DATA(c), sizeof hops);
        }
    }
    return hops;
}

static void tell_hops(struct rig_udp *peer)
{
    const struct timeval deadline = {.tv_sec = RIG_DEADLINE_MS / 1000};
    int on = 1;

    rig_check(setsockopt(peer->fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof on) == 0);
    (void)setsockopt(peer->fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof on);
    rig_check(setsockopt(peer->fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline) == 0);
}

Test(multicast, what_is_sent_has_the_hops_of_the_options)
{
    begin((struct cw_datagram_options){.ttl = 17, .multicast_ttl = 5, .multicast_interface = "lo"});
    struct rig_udp member = member_of("0.0.0.0", GROUP, "lo");
    struct rig_udp peer = local_peer("127.0.0.1");

    tell_hops(&member);
    tell_hops(&peer);
    server_says(GROUP, rig_udp_port(&member), "to the group");
    cr_expect_eq(hops_of_next(&member, "to the group"), 5);
    rig_udp_send_text(&peer, "to one");
    cr_expect_eq(hops_of_next(&peer, "to one"), 17);
    rig_udp_close(&member);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(multicast, without_options_what_is_sent_to_a_group_goes_one_hop)
{
    begin((struct cw_datagram_options){.multicast_interface = "127.0.0.1"});
    struct rig_udp member = member_of("0.0.0.0", GROUP, "lo");

    tell_hops(&member);
    server_says(GROUP, rig_udp_port(&member), "near");
    cr_expect_eq(hops_of_next(&member, "near"), 1);
    rig_udp_close(&member);
    rig_scene_end(&scene);
}

/* ---- broadcast ---- */

Test(multicast, what_comes_to_a_broadcast_address_is_answered_from_an_address_of_ones_own)
{
    begin((struct cw_datagram_options){0});
    struct rig_udp peer = local_peer("127.0.0.1");
    int on = 1;

    rig_check(setsockopt(peer.fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) == 0);
    expect_heard(&peer, "127.255.255.255");
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(multicast, so_is_what_comes_to_a_group_or_to_all_on_a_socket_of_both_families)
{
    if (!rig_udp_has_ipv6()) {
        cr_skip_test("this machine has no IPv6");
    }
    rig_udp_begin(&scene, &(struct rig_udp_setup){
                              .host = "::", .datagram = {.groups = on_loopback, .group_count = 1}});
    struct rig_udp peer = local_peer("127.0.0.1");
    int on = 1;

    rig_check(setsockopt(peer.fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on) == 0);
    expect_heard(&peer, "127.255.255.255");
    expect_heard(&peer, GROUP);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(multicast, broadcast_addresses_are_sent_to_where_the_options_allow_it)
{
    struct rig_udp listener = rig_udp_open("0.0.0.0", NULL);
    struct cw_address from;
    char text[16];

    begin((struct cw_datagram_options){0});
    server_says("127.255.255.255", rig_udp_port(&listener), "no");
    rig_udp_await(&scene, dropped_error, 1);
    rig_scene_end(&scene);
    begin((struct cw_datagram_options){.broadcast = true});
    server_says("127.255.255.255", rig_udp_port(&listener), "yes");
    cr_expect_eq(rig_udp_receive_from(&listener, text, sizeof text, &from), 3);
    cr_expect_arr_eq(text, "yes", 3);
    cr_expect_eq(from.port, port());
    rig_scene_end(&scene);
    rig_udp_close(&listener);
}

/* ---- two namespaces ---- */

static void need_nets(void)
{
    const char *why = rig_nets_make();

    if (why) {
        cr_skip_test("%s", why);
    }
}

/* A peer in the other namespace, of the server at an address of this one. */
static struct rig_udp far_peer(const char *own, const char *to)
{
    rig_nets_enter_far();
    struct rig_udp peer = rig_udp_open(own, to);
    rig_nets_enter_near();
    rig_udp_turn_port(&peer, port());
    return peer;
}

/* The same, and what it sends to a group leaves by this interface of its namespace. */
static struct rig_udp far_peer_by(const char *own, const char *to, const char *interface)
{
    struct rig_udp peer = far_peer(own, to);

    rig_nets_enter_far();
    send_by(&peer, interface);
    rig_nets_enter_near();
    return peer;
}

Test(multicast, between_two_machines_a_group_is_heard_from_join_to_leave)
{
    need_nets();
    begin((struct cw_datagram_options){0});
    struct rig_udp peer = far_peer_by("10.77.0.2", "10.77.0.1", "line0");

    expect_unheard(&peer, GROUP);
    cr_expect_eq(join(GROUP, "line0", NULL), CW_OK);
    expect_heard(&peer, GROUP);
    cr_expect_eq(leave(GROUP, "line0", NULL), CW_OK);
    expect_unheard(&peer, GROUP);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(multicast, a_group_is_heard_on_the_interface_that_was_named_and_on_no_other)
{
    const struct cw_multicast_group group = {.group = GROUP, .interface = "10.78.0.1"};

    need_nets();
    begin((struct cw_datagram_options){.groups = &group, .group_count = 1});
    struct rig_udp on_line0 = far_peer_by("10.77.0.2", "10.77.0.1", "line0");
    struct rig_udp on_line1 = far_peer_by("10.78.0.2", "10.78.0.1", "line1");

    expect_unheard(&on_line0, GROUP);
    expect_heard(&on_line1, GROUP);
    rig_udp_close(&on_line0);
    rig_udp_close(&on_line1);
    rig_scene_end(&scene);
}

Test(multicast, what_is_sent_to_a_group_leaves_by_the_interface_that_was_named)
{
    need_nets();
    begin((struct cw_datagram_options){.multicast_interface = "line1"});
    rig_nets_enter_far();
    struct rig_udp on_line0 = member_of("0.0.0.0", GROUP, "line0");
    struct rig_udp on_line1 = member_of("0.0.0.0", GROUP, "line1");
    int off = 0;
    struct cw_address from;
    char text[16];

    rig_check(setsockopt(on_line0.fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off) == 0);
    rig_check(setsockopt(on_line1.fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off) == 0);
    rig_nets_enter_near();
    server_says(GROUP, rig_udp_port(&on_line0), "by line1");
    server_says(GROUP, rig_udp_port(&on_line1), "by line1");
    cr_expect_eq(rig_udp_receive_from(&on_line1, text, sizeof text, &from), 8);
    cr_expect_eq(from.ip[1], 78, "the address of that interface");
    rig_udp_expect_nothing(&on_line0);
    rig_udp_close(&on_line0);
    rig_udp_close(&on_line1);
    rig_scene_end(&scene);
}

Test(multicast, what_is_sent_to_a_group_is_for_this_machine_unless_the_options_say_no)
{
    need_nets(); /* a loopback gives back what it is given, whatever the options say */
    for (unsigned off = 0; off < 2; off++) {
        begin((struct cw_datagram_options){.multicast_interface = "line0",
                                           .multicast_no_loop = off == 1});
        struct rig_udp member = member_of("0.0.0.0", GROUP, "line0");
        struct cw_address from;
        char text[16];

        server_says(GROUP, rig_udp_port(&member), "to all");
        server_says("10.77.0.1", rig_udp_port(&member), "to you");
        size_t len = rig_udp_receive_from(&member, text, sizeof text, &from);
        cr_expect_eq(len, 6);
        cr_expect_arr_eq(text, off == 1 ? "to you" : "to all", 6);
        rig_udp_close(&member);
        rig_scene_end(&scene);
    }
}

Test(multicast, ipv6_groups_are_joined_and_left_by_interface_and_source)
{
    const struct cw_multicast_group group = {.group = "ff15::77", .interface = "line1"};

    need_nets();
    if (!rig_udp_has_ipv6()) {
        cr_skip_test("this machine has no IPv6");
    }
    rig_udp_begin(&scene, &(struct rig_udp_setup){
                              .host = "::", .datagram = {.groups = &group, .group_count = 1}});
    struct rig_udp on_line0 = far_peer_by("fd77::2", "fd77::1", "line0");
    struct rig_udp on_line1 = far_peer_by("fd78::2", "fd78::1", "line1");

    expect_unheard(&on_line0, "ff15::77");
    expect_heard(&on_line1, "ff15::77");
    cr_expect_eq(leave("ff15::77", "fd78::1", NULL), CW_OK);
    expect_unheard(&on_line1, "ff15::77");
    cr_expect_eq(join("ff35::77", "line0", "fd77::9"), CW_OK);
    expect_unheard(&on_line0, "ff35::77");
    cr_expect_eq(join("ff35::77", "line0", "fd77::2"), CW_OK);
    expect_heard(&on_line0, "ff35::77");
    rig_udp_close(&on_line0);
    rig_udp_close(&on_line1);
    rig_scene_end(&scene);
}

Test(multicast, one_socket_for_both_families_is_a_member_of_groups_of_both)
{
    const struct cw_multicast_group groups[] = {{.group = GROUP, .interface = "line0"},
                                                {.group = "ff02::77", .interface = "line0"}};

    need_nets();
    if (!rig_udp_has_ipv6()) {
        cr_skip_test("this machine has no IPv6");
    }
    rig_udp_begin(&scene, &(struct rig_udp_setup){
                              .host = "::", .datagram = {.groups = groups, .group_count = 2}});
    struct rig_udp ipv4 = far_peer_by("10.77.0.2", "10.77.0.1", "line0");
    struct rig_udp ipv6 = far_peer_by("fd77::2", "fd77::1", "line0");

    expect_heard(&ipv4, GROUP);
    expect_heard(&ipv6, "ff02::77");
    cr_expect_eq(leave(GROUP, "line0", NULL), CW_OK);
    expect_unheard(&ipv4, GROUP);
    expect_heard(&ipv6, "ff02::77");
    rig_udp_close(&ipv4);
    rig_udp_close(&ipv6);
    rig_scene_end(&scene);
}

Test(multicast, over_ipv6_what_is_sent_has_the_hops_and_the_interface_of_the_options)
{
    need_nets();
    if (!rig_udp_has_ipv6()) {
        cr_skip_test("this machine has no IPv6");
    }
    rig_udp_begin(&scene,
                  &(struct rig_udp_setup){
                      .host = "::",
                      .datagram = {.ttl = 17, .multicast_ttl = 6, .multicast_interface = "line1"}});
    rig_nets_enter_far();
    struct rig_udp member = member_of_ipv6("::", "ff15::77", "line1");
    rig_nets_enter_near();
    struct rig_udp peer = far_peer("fd77::2", "fd77::1");

    tell_hops(&member);
    tell_hops(&peer);
    server_says("ff15::77", rig_udp_port(&member), "to the group");
    cr_expect_eq(hops_of_next(&member, "to the group"), 6);
    rig_udp_send_text(&peer, "to one");
    cr_expect_eq(hops_of_next(&peer, "to one"), 17);
    rig_udp_close(&member);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

/* Options of datagram sockets: each refusal by its name, defaults, copies, and what a socket is told. */
#include "datagram_impl.h"
#include "support/fault.h"
#include "support/leak.h"

#include <causeway/error.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(datagram_options, .fini = rig_expect_no_leak, .timeout = 30);

/* ---- checks ---- */

static const char *refusal_of(const struct cw_datagram_options *options, enum cw_role role)
{
    static struct cw_complaint complaint;

    complaint.text[0] = '\0';
    int error = cw_datagram_options_check(options, role, &complaint);
    cr_expect_eq(error, complaint.text[0] ? CW_EINVAL : CW_OK);
    return complaint.text;
}

#define EXPECT(text, ...)                                                                          \
    cr_expect_str_eq(refusal_of(&(struct cw_datagram_options){__VA_ARGS__}, CW_SERVER), text)
#define EXPECT_GROUP(text, ...)                                                                    \
    EXPECT(text, .group_count = 1, .groups = &(struct cw_multicast_group){__VA_ARGS__})

Test(datagram_options, nothing_given_is_allowed_and_means_the_documented_defaults)
{
    struct cw_datagram_options options = {0};

    EXPECT("", 0);
    cr_expect(!cw_datagram_options_are_given(&options));
    cw_datagram_options_fill(&options);
    cr_expect_eq(options.peers_max, 0, "what conns_max allows");
    cr_expect_eq(options.peer_idle_ms, 60000);
    cr_expect_eq(options.peer_silent_ms, 300000);
    cr_expect_eq(options.amplification, 3);
    cr_expect_eq(options.queue_max_bytes, 1048576);
    cr_expect_eq(options.datagrams_per_turn, 1024);
    cr_expect_eq(options.multicast_ttl, 1);
    cr_expect_eq(options.receive_buffer_bytes, 0);
    cr_expect_eq(options.send_buffer_bytes, 0);
    cr_expect_eq(options.ttl, 0);
}

Test(datagram_options, a_number_out_of_range_is_refused_by_its_name)
{
    EXPECT("datagram.ttl: at most 255 is allowed", .ttl = 256);
    EXPECT("", .ttl = 255);
    EXPECT("datagram.multicast_ttl: at most 255 is allowed", .multicast_ttl = 256);
    EXPECT("datagram.peers_max: at most 16777216 is allowed", .peers_max = CW_NO_LIMIT);
    EXPECT("datagram.amplification: at most 1000000, or CW_NO_LIMIT, is allowed",
           .amplification = 1000001);
    EXPECT("", .amplification = CW_NO_LIMIT, .peer_idle_ms = CW_OFF);
    EXPECT("datagram.receive_buffer_bytes: at most 2147483647 is allowed",
           .receive_buffer_bytes = CW_NO_LIMIT);
    EXPECT("datagram.datagrams_per_turn: at most 65536 is allowed", .datagrams_per_turn = 65537);
}

Test(datagram_options, a_group_is_a_multicast_address_without_a_port)
{
    EXPECT_GROUP("", .group = "239.1.2.3");
    EXPECT_GROUP("", .group = "ff15::1", .interface = "eth0", .source = "2001:db8::1");
    EXPECT_GROUP("datagram.groups[0].group: missing", .interface = "eth0");
    EXPECT_GROUP("datagram.groups[0].group: '10.0.0.1' is not a multicast address (239.1.2.3, "
                 "ff15::1)",
                 .group = "10.0.0.1");
    EXPECT_GROUP("datagram.groups[0].group: '239.1.2.3:7000' is not a multicast address "
                 "(239.1.2.3, ff15::1)",
                 .group = "239.1.2.3:7000");
    EXPECT_GROUP("datagram.groups[0].interface: '' is neither the name of an interface nor an "
                 "address",
                 .group = "239.1.2.3", .interface = "");
    EXPECT_GROUP("datagram.groups[0].source: '239.1.2.4' is not the address of a sender",
                 .group = "239.1.2.3", .source = "239.1.2.4");
    EXPECT_GROUP("datagram.groups[0].source: '::1' is of another family than the group",
                 .group = "239.1.2.3", .source = "::1");
}

Test(datagram_options, a_wrong_group_is_named_by_its_place)
{
    const struct cw_multicast_group groups[] = {{.group = "239.1.2.3"}, {.group = "ff15::1::"}};

    EXPECT("datagram.groups[1].group: 'ff15::1::' is not a multicast address (239.1.2.3, ff15::1)",
           .groups = groups, .group_count = 2);
    EXPECT("datagram.groups: at most 64 are allowed", .groups = groups, .group_count = 65);
    EXPECT("datagram.groups: missing, group_count says there are 2", .group_count = 2);
    EXPECT("datagram.groups: group_count has to say how many there are", .groups = groups);
    EXPECT("datagram.multicast_interface: 'more-than-a-name-has' is neither the name of an "
           "interface nor an address",
           .multicast_interface = "more-than-a-name-has");
    EXPECT("", .multicast_interface = "2001:db8:1234:5678::1");
}

Test(datagram_options, groups_of_a_client_are_not_looked_at)
{
    struct cw_datagram_options options = {.groups = &(struct cw_multicast_group){.group = "x"},
                                          .group_count = 1};

    cr_expect_str_eq(refusal_of(&options, CW_CLIENT), "");
    options.ttl = 256;
    cr_expect_str_eq(refusal_of(&options, CW_CLIENT), "datagram.ttl: at most 255 is allowed");
}

static bool wants_one(const struct cw_datagram_options *options, const char *text)
{
    struct cw_address address;

    cr_assert_eq(cw_address_parse(text, &address), CW_OK);
    return cw_datagram_options_want_one(options, &address);
}

Test(datagram_options, groups_broadcast_and_multicast_addresses_are_one_workers)
{
    const struct cw_datagram_options none = {0};
    const struct cw_datagram_options group = {.group_count = 1};

    cr_expect(!wants_one(&none, "127.0.0.1:7000"));
    cr_expect(!wants_one(&none, "[::]:7000"));
    cr_expect(wants_one(&none, "239.1.2.3:7000"));
    cr_expect(wants_one(&none, "[ff15::1]:7000"));
    cr_expect(wants_one(&none, "255.255.255.255:7000"));
    cr_expect(wants_one(&group, "127.0.0.1:7000"));
    cr_expect(wants_one(&(struct cw_datagram_options){.one_worker = true}, "127.0.0.1:7000"));
    cr_expect(wants_one(&(struct cw_datagram_options){.broadcast = true}, "127.0.0.1:7000"));
}

/* ---- copies ---- */

static const struct cw_multicast_group some_groups[] = {
    {.group = "239.1.2.3", .interface = "lo", .source = "127.0.0.1"},
    {.group = "ff15::1"},
};

static const struct cw_datagram_options with_texts = {
    .groups = some_groups, .group_count = 2, .multicast_interface = "lo", .ttl = 9};

Test(datagram_options, a_copy_has_its_own_texts)
{
    struct cw_datagram_options copy;

    cr_assert(cw_datagram_options_copy(&copy, &with_texts));
    cr_expect_eq(copy.ttl, 9);
    cr_expect_eq(copy.group_count, 2);
    cr_expect_neq(copy.groups, with_texts.groups);
    cr_expect_neq(copy.groups[0].group, some_groups[0].group);
    cr_expect_str_eq(copy.groups[0].group, "239.1.2.3");
    cr_expect_str_eq(copy.groups[0].interface, "lo");
    cr_expect_str_eq(copy.groups[0].source, "127.0.0.1");
    cr_expect_null(copy.groups[1].source);
    cr_expect_neq(copy.multicast_interface, with_texts.multicast_interface);
    cw_datagram_options_release(&copy);
    cr_expect_null(copy.groups);
}

Test(datagram_options, a_copy_that_fails_at_any_allocation_holds_nothing)
{
    struct cw_datagram_options copy;
    bool failed = true;
    size_t nth = 1;

    fault_install();
    for (; failed; nth++) {
        fault_arm(nth);
        bool copied = cw_datagram_options_copy(&copy, &with_texts);
        failed = fault_disarm();
        cr_expect_eq(copied, !failed);
        cr_expect(copied || (!copy.groups && !copy.multicast_interface));
    }
    cr_expect_gt(nth, 5);
    cw_datagram_options_release(&copy);
    fault_remove();
}

/* ---- on a socket ---- */

static int number_of(int fd, int level, int name)
{
    int number = -1;
    socklen_t len = sizeof number;

    cr_assert_eq(getsockopt(fd, level, name, &number, &len), 0);
    return number;
}

static int open_socket(int family)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        cr_skip_test("this machine has no %s", family == AF_INET6 ? "IPv6" : "IPv4");
    }
    return fd;
}

static void apply(int fd, int family, struct cw_datagram_options options)
{
    const char *step = "";

    cw_datagram_options_fill(&options);
    cr_assert_eq(cw_datagram_options_apply(fd, family, &options, &step), CW_OK, "%s", step);
}

static const struct cw_datagram_options all_of_them = {.receive_buffer_bytes = 50000,
                                                       .send_buffer_bytes = 40000,
                                                       .ttl = 17,
                                                       .dont_fragment = true,
                                                       .multicast_interface = "lo",
                                                       .multicast_ttl = 5,
                                                       .multicast_no_loop = true,
                                                       .broadcast = true};

static void expect_ipv4(int fd)
{
    cr_expect_eq(number_of(fd, IPPROTO_IP, IP_TTL), 17);
    cr_expect_eq(number_of(fd, IPPROTO_IP, IP_MTU_DISCOVER), IP_PMTUDISC_DO);
    cr_expect_eq(number_of(fd, IPPROTO_IP, IP_MULTICAST_TTL), 5);
    cr_expect_eq(number_of(fd, IPPROTO_IP, IP_MULTICAST_LOOP), 0);
    cr_expect_eq(number_of(fd, IPPROTO_IP, IP_MULTICAST_ALL), 0);
}

Test(datagram_options, an_ipv4_socket_is_told_all_of_them)
{
    int fd = open_socket(AF_INET);

    apply(fd, AF_INET, all_of_them);
    cr_expect_geq(number_of(fd, SOL_SOCKET, SO_RCVBUF), 50000);
    cr_expect_geq(number_of(fd, SOL_SOCKET, SO_SNDBUF), 40000);
    cr_expect_eq(number_of(fd, SOL_SOCKET, SO_BROADCAST), 1);
    expect_ipv4(fd);
    close(fd);
}

Test(datagram_options, a_dual_stack_socket_is_told_on_both_levels)
{
    int fd = open_socket(AF_INET6);

    apply(fd, AF_INET6, all_of_them);
    expect_ipv4(fd);
    cr_expect_eq(number_of(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS), 17);
    cr_expect_eq(number_of(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER), IPV6_PMTUDISC_DO);
    cr_expect_eq(number_of(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS), 5);
    cr_expect_eq(number_of(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP), 0);
    cr_expect_eq(number_of(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF), (int)if_nametoindex("lo"));
    close(fd);
}

Test(datagram_options, what_is_not_given_is_the_systems)
{
    int fd = open_socket(AF_INET);
    int ttl = number_of(fd, IPPROTO_IP, IP_TTL);
    int discover = number_of(fd, IPPROTO_IP, IP_MTU_DISCOVER);
    int bytes = number_of(fd, SOL_SOCKET, SO_RCVBUF);

    apply(fd, AF_INET, (struct cw_datagram_options){0});
    cr_expect_eq(number_of(fd, IPPROTO_IP, IP_TTL), ttl);
    cr_expect_eq(number_of(fd, IPPROTO_IP, IP_MTU_DISCOVER), discover);
    cr_expect_eq(number_of(fd, SOL_SOCKET, SO_RCVBUF), bytes);
    cr_expect_eq(number_of(fd, SOL_SOCKET, SO_BROADCAST), 0);
    cr_expect_eq(number_of(fd, IPPROTO_IP, IP_MULTICAST_LOOP), 1);
    cr_expect_eq(number_of(fd, IPPROTO_IP, IP_MULTICAST_TTL), 1);
    close(fd);
}

Test(datagram_options, an_interface_may_be_named_by_an_address_of_it)
{
    struct cw_address own;
    unsigned lo = if_nametoindex("lo");

    cr_expect_eq(cw_interface_index("lo", &own), lo);
    cr_expect_eq(own.family, CW_FAMILY_NONE);
    cr_expect_eq(cw_interface_index("127.0.0.1", &own), lo);
    cr_expect_eq(own.family, CW_IPV4);
    cr_expect_eq(cw_interface_index("192.0.2.77", &own), 0);
    cr_expect_eq(cw_interface_index("nothing0", &own), 0);
}

Test(datagram_options, what_the_system_refuses_is_named_with_its_step)
{
    struct cw_datagram_options options = {.multicast_interface = "nothing0"};
    const char *step = "";
    int fd = open_socket(AF_INET);

    cr_expect_eq(cw_datagram_options_apply(fd, AF_INET, &options, &step), CW_ENOTFOUND);
    cr_expect_eq(errno, ENXIO);
    cr_expect_str_eq(step, "nothing0");
    options = (struct cw_datagram_options){
        .groups = (struct cw_multicast_group[]){{.group = "239.1.2.3", .interface = "nothing1"}},
        .group_count = 1};
    cr_expect_eq(cw_datagram_options_apply(fd, AF_INET, &options, &step), CW_ENOTFOUND);
    cr_expect_str_eq(step, "nothing1");
    options = (struct cw_datagram_options){
        .groups = (struct cw_multicast_group[]){{.group = "239.1.2.3", .interface = "lo"},
                                                {.group = "ff15::1", .interface = "lo"}},
        .group_count = 2};
    cr_expect_eq(cw_datagram_options_apply(fd, AF_INET, &options, &step), CW_EINVAL);
    cr_expect_eq(errno, EAFNOSUPPORT);
    cr_expect_str_eq(step, "ff15::1");
    close(fd);
}

/* ---- groups ---- */

static int change(int fd, int family, const char *group, const char *source, bool join)
{
    return cw_multicast_change(
        fd, family,
        &(struct cw_multicast_group){.group = group, .interface = "lo", .source = source}, join);
}

static void expect_membership(int fd, int family, const char *group)
{
    cr_expect_eq(change(fd, family, group, NULL, false), CW_ENOTFOUND);
    cr_expect_eq(change(fd, family, group, NULL, true), CW_OK);
    cr_expect_eq(change(fd, family, group, NULL, true), CW_EADDRINUSE);
    cr_expect_eq(change(fd, family, group, NULL, false), CW_OK);
    cr_expect_eq(change(fd, family, group, NULL, false), CW_ENOTFOUND);
}

static void expect_sources(int fd, int family, const char *group, const char *const sources[2])
{
    cr_expect_eq(change(fd, family, group, sources[0], false), CW_ENOTFOUND);
    cr_expect_eq(change(fd, family, group, sources[0], true), CW_OK);
    cr_expect_eq(change(fd, family, group, sources[0], true), CW_EADDRINUSE);
    cr_expect_eq(change(fd, family, group, NULL, true), CW_EADDRINUSE);
    cr_expect_eq(change(fd, family, group, sources[1], false), CW_ENOTFOUND);
    cr_expect_eq(change(fd, family, group, sources[1], true), CW_OK);
    cr_expect_eq(change(fd, family, group, sources[0], false), CW_OK);
    cr_expect_eq(change(fd, family, group, sources[1], false), CW_OK);
    cr_expect_eq(change(fd, family, group, sources[1], false), CW_ENOTFOUND);
}

Test(datagram_options, a_group_is_joined_once_and_left_once)
{
    int fd = open_socket(AF_INET);

    expect_membership(fd, AF_INET, "239.1.2.3");
    expect_sources(fd, AF_INET, "232.1.2.3", (const char *[]){"127.0.0.1", "127.0.0.2"});
    close(fd);
}

Test(datagram_options, a_dual_stack_socket_is_a_member_of_groups_of_both_families)
{
    int fd = open_socket(AF_INET6);

    expect_membership(fd, AF_INET6, "ff15::1");
    expect_membership(fd, AF_INET6, "239.1.2.3");
    expect_sources(fd, AF_INET6, "ff35::1", (const char *[]){"::1", "2001:db8::2"});
    close(fd);
}

Test(datagram_options, an_ipv6_socket_alone_is_no_member_of_ipv4_groups)
{
    int fd = open_socket(AF_INET6);

    cr_assert_eq(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int)), 0);
    cr_expect_eq(change(fd, AF_INET6, "239.1.2.3", NULL, true), CW_EINVAL);
    cr_expect_eq(errno, EAFNOSUPPORT);
    close(fd);
}

/* The kernel would take it, and hand over what the one source sends from there on. */
Test(datagram_options, a_member_of_the_whole_group_does_not_become_one_of_a_source)
{
    int fd = open_socket(AF_INET);

    cr_expect_eq(change(fd, AF_INET, "239.1.2.3", NULL, true), CW_OK);
    cr_expect_eq(change(fd, AF_INET, "239.1.2.3", "127.0.0.1", true), CW_EADDRINUSE);
    cr_expect_eq(change(fd, AF_INET, "239.1.2.3", "127.0.0.1", false), CW_ENOTFOUND);
    cr_expect_eq(change(fd, AF_INET, "239.1.2.3", NULL, false), CW_OK);
    close(fd);
}

Test(datagram_options, more_groups_than_the_kernel_allows_are_told)
{
    int fd = open_socket(AF_INET);
    int error = CW_OK;
    char group[32];
    unsigned allowed = 0;
    FILE *setting = fopen("/proc/sys/net/ipv4/igmp_max_memberships", "r");

    if (!setting || fscanf(setting, "%u", &allowed) != 1 || allowed > 5000) {
        cr_skip_test("this machine does not say how many groups it allows, or it is very many");
    }
    fclose(setting);
    for (unsigned i = 0; i <= allowed && error == CW_OK; i++) {
        snprintf(group, sizeof group, "239.1.%u.%u", i / 250, i % 250 + 1);
        error = change(fd, AF_INET, group, NULL, true);
    }
    cr_expect_eq(error, CW_EFULL, "%s", cw_strerror(error));
    close(fd);
}

Test(datagram_options, what_is_no_group_cannot_be_joined)
{
    int fd = open_socket(AF_INET);

    cr_expect_eq(change(fd, AF_INET, "10.0.0.1", NULL, true), CW_EINVAL);
    cr_expect_eq(change(fd, AF_INET, "ff15::1", NULL, true), CW_EINVAL);
    cr_expect_eq(change(fd, AF_INET, NULL, NULL, true), CW_EINVAL);
    cr_expect_eq(change(fd, AF_INET, "239.1.2.3", "::1", true), CW_EINVAL);
    cr_expect_eq(cw_multicast_change(
                     fd, AF_INET,
                     &(struct cw_multicast_group){.group = "239.1.2.3", .interface = "nothing0"},
                     true),
                 CW_ENOTFOUND);
    close(fd);
}

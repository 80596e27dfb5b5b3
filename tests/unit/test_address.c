#include "address_impl.h"
#include "support/leak.h"

#include <causeway/error.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>

TestSuite(address, .fini = rig_expect_no_leak, .timeout = 30);

static struct cw_address parsed(const char *text)
{
    struct cw_address address;

    cr_assert_eq(cw_address_parse(text, &address), CW_OK, "%s", text);
    return address;
}

static bool inside(const char *prefix, const char *text)
{
    struct cw_address address = parsed(text);
    struct cw_cidr cidr;

    cr_assert_eq(cw_cidr_parse(prefix, &cidr), CW_OK, "%s", prefix);
    return cw_cidr_contains(&cidr, &address);
}

static uint64_t key_of(const char *text)
{
    struct cw_address address = parsed(text);
    uint64_t key;

    cr_assert(cw_address_limit_key(&address, &key));
    return key;
}

/* ---- text ---- */

Test(address, what_is_printed_is_read_back_as_the_same)
{
    static const char *const texts[] = {
        "127.0.0.1:7000",
        "0.0.0.0:0",
        "255.255.255.255:65535",
        "[::1]:7000",
        "[2001:db8::1]:1",
        "[fe80::1%2]:80",
        "[::]:0",
        "[fe80::ffff:ffff:ffff:ffff%4294967295]:65535",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char text[CW_ADDRESS_TEXT_MAX];
        struct cw_address address = parsed(texts[i]);
        cr_expect_str_eq(cw_address_print(&address, text), texts[i]);
    }
}

Test(address, the_longest_text_fits)
{
    struct cw_address address = {.scope = UINT32_MAX, .port = UINT16_MAX, .family = CW_IPV6};
    char text[CW_ADDRESS_TEXT_MAX];

    memset(address.ip, 0xee, sizeof address.ip);
    cr_expect_str_eq(cw_address_print(&address, text),
                     "[eeee:eeee:eeee:eeee:eeee:eeee:eeee:eeee%4294967295]:65535");
}

Test(address, a_unix_socket_and_no_address_have_a_word_each)
{
    char text[CW_ADDRESS_TEXT_MAX];

    cr_expect_str_eq(cw_address_print(&(struct cw_address){.family = CW_UNIX}, text), "unix");
    cr_expect_str_eq(cw_address_print(&(struct cw_address){.family = CW_FAMILY_NONE}, text), "none");
}

Test(address, a_text_without_a_port_has_port_0)
{
    cr_expect_eq(parsed("10.1.2.3").port, 0);
    cr_expect_eq(parsed("[::1]").port, 0);
    cr_expect_eq(parsed("::1").port, 0);
    cr_expect_eq(parsed("::1:7000").port, 0); /* without brackets all of it is the address */
    cr_expect_eq(parsed("::1").family, CW_IPV6);
}

Test(address, a_mapped_ipv4_address_is_read_as_ipv4)
{
    struct cw_address mapped = parsed("[::ffff:10.0.0.1]:80");
    struct cw_address plain = parsed("10.0.0.1:80");

    cr_expect_eq(mapped.family, CW_IPV4);
    cr_expect_arr_eq(&mapped, &plain, sizeof plain);
}

Test(address, texts_that_are_no_address_are_refused_and_leave_none)
{
    static const char *const texts[] = {
        "",
        ":",
        "localhost",
        "localhost:80",
        "127.0.0.1:",
        "127.0.0",
        "127.0.0.1.",
        "1.2.3.256",
        "1.2.3.4:65536",
        "1.2.3.4:-1",
        "1.2.3.4: 1",
        "1.2.3.4:1 ",
        "01.2.3.4",
        "1.2.3.4:99999999999",
        "[::1",
        "[::1]7000",
        "[::1]:",
        "[::1]:x",
        "[]:1",
        "[1.2.3.4]:1",
        "1::2::3",
        "::1%2",
        "[::1%2]:1",
        "fe80::1%",
        "fe80::1%0",
        "fe80::1%no-such-interface",
        "unix:/run/x",
        "[fe80::1%4294967296]:1",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct cw_address address = {.family = CW_IPV4};
        cr_expect_eq(cw_address_parse(texts[i], &address), CW_EINVAL, "%s", texts[i]);
        cr_expect_eq(address.family, CW_FAMILY_NONE, "%s", texts[i]);
    }
}

Test(address, an_interface_may_be_named)
{
    cr_expect_eq(parsed("fe80::1%lo").scope, 1);
}

/* ---- the system's form ---- */

Test(address, the_systems_form_and_back_is_the_same)
{
    static const char *const texts[] = {"10.0.0.1:80", "[2001:db8::7]:443", "[fe80::1%3]:9"};

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct cw_address before = parsed(texts[i]);
        struct cw_address after;
        struct sockaddr_storage system;
        socklen_t len = cw_address_to_sockaddr(&before, &system);

        cr_expect_gt(len, 0);
        cr_expect_eq(cw_address_from_sockaddr((struct sockaddr *)&system, len, &after), CW_OK);
        cr_expect_arr_eq(&before, &after, sizeof before, "%s", texts[i]);
    }
}

Test(address, a_mapped_peer_of_a_dual_stack_listener_is_ipv4)
{
    struct sockaddr_in6 system = {.sin6_family = AF_INET6, .sin6_port = htons(99)};
    struct cw_address address;
    struct cw_address plain = parsed("10.0.0.1:99");
    static const uint8_t mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1};

    memcpy(&system.sin6_addr, mapped, sizeof mapped);
    cr_expect_eq(cw_address_from_sockaddr((struct sockaddr *)&system, sizeof system, &address),
                 CW_OK);
    cr_expect_arr_eq(&address, &plain, sizeof plain);
}

Test(address, an_unnamed_unix_peer_is_a_unix_address)
{
    struct sockaddr_un system = {.sun_family = AF_UNIX};
    struct cw_address address;

    cr_expect_eq(
        cw_address_from_sockaddr((struct sockaddr *)&system, sizeof(sa_family_t), &address), CW_OK);
    cr_expect_eq(address.family, CW_UNIX);
}

Test(address, a_short_or_foreign_form_is_refused)
{
    struct sockaddr_storage system = {.ss_family = AF_INET};
    struct cw_address address;

    cr_expect_eq(cw_address_from_sockaddr((struct sockaddr *)&system, 0, &address), CW_EINVAL);
    cr_expect_eq(cw_address_from_sockaddr((struct sockaddr *)&system,
                                          sizeof(struct sockaddr_in) - 1, &address),
                 CW_EINVAL);
    system.ss_family = AF_INET6;
    cr_expect_eq(cw_address_from_sockaddr((struct sockaddr *)&system,
                                          sizeof(struct sockaddr_in6) - 1, &address),
                 CW_EINVAL);
    system.ss_family = AF_APPLETALK;
    cr_expect_eq(cw_address_from_sockaddr((struct sockaddr *)&system, sizeof system, &address),
                 CW_EINVAL);
    cr_expect_eq(address.family, CW_FAMILY_NONE);
}

Test(address, a_unix_address_has_no_form_to_bind)
{
    struct sockaddr_storage system;

    cr_expect_eq(cw_address_to_sockaddr(&(struct cw_address){.family = CW_UNIX}, &system), 0);
}

/* ---- comparing and prefixes ---- */

static bool same_host(const char *a, const char *b)
{
    struct cw_address first = parsed(a);
    struct cw_address second = parsed(b);

    return cw_address_same_host(&first, &second);
}

Test(address, the_same_host_on_another_port_is_the_same_host)
{
    cr_expect(same_host("10.0.0.1:1", "10.0.0.1:2"));
    cr_expect(same_host("[::1]:1", "[::1]:2"));
    cr_expect_not(same_host("10.0.0.1", "10.0.0.2"));
    cr_expect_not(same_host("::1", "::2"));
    cr_expect_not(same_host("0.0.0.0", "::"));
    cr_expect_not(same_host("fe80::1%1", "fe80::1%2"));
}

Test(address, no_address_is_no_host)
{
    struct cw_address none = {.family = CW_FAMILY_NONE};
    struct cw_address local = {.family = CW_UNIX};

    cr_expect_not(cw_address_same_host(&none, &none));
    cr_expect(cw_address_same_host(&local, &local));
}

Test(address, a_prefix_holds_its_first_and_last_address_and_no_neighbour)
{
    cr_expect(inside("10.0.0.0/8", "10.0.0.0"));
    cr_expect(inside("10.0.0.0/8", "10.255.255.255"));
    cr_expect_not(inside("10.0.0.0/8", "9.255.255.255"));
    cr_expect_not(inside("10.0.0.0/8", "11.0.0.0"));
    cr_expect(inside("192.168.4.0/22", "192.168.7.255"));
    cr_expect_not(inside("192.168.4.0/22", "192.168.8.0"));
    cr_expect_not(inside("192.168.4.0/22", "192.168.3.255"));
    cr_expect(inside("2001:db8::/33", "2001:db8:7fff:ffff::1"));
    cr_expect_not(inside("2001:db8::/33", "2001:db8:8000::"));
    cr_expect(inside("0.0.0.0/0", "255.1.2.3"));
    cr_expect(inside("::/0", "ffff::"));
}

Test(address, an_address_alone_is_a_prefix_of_all_its_bits)
{
    cr_expect(inside("10.0.0.1", "10.0.0.1"));
    cr_expect_not(inside("10.0.0.1", "10.0.0.0"));
    cr_expect(inside("::1", "::1"));
    cr_expect_not(inside("::1", "::"));
}

Test(address, a_prefix_never_holds_an_address_of_another_family)
{
    struct cw_address local = {.family = CW_UNIX};
    struct cw_cidr everything;

    cr_expect_not(inside("::/0", "10.0.0.1"));
    cr_expect_not(inside("0.0.0.0/0", "::1"));
    cr_expect_eq(cw_cidr_parse("0.0.0.0/0", &everything), CW_OK);
    cr_expect_not(cw_cidr_contains(&everything, &local));
    cr_expect_not(cw_cidr_contains(&(struct cw_cidr){.bits = 0}, &local));
}

Test(address, a_mapped_prefix_is_read_as_ipv4)
{
    cr_expect(inside("::ffff:10.0.0.0/104", "10.9.9.9"));
    cr_expect_not(inside("::ffff:10.0.0.0/104", "11.0.0.0"));
    cr_expect(inside("::ffff:10.0.0.1", "10.0.0.1"));
    cr_expect(inside("::ffff:0:0/96", "1.2.3.4"));
}

Test(address, prefixes_with_too_many_bits_or_bits_behind_them_are_refused)
{
    static const char *const texts[] = {
        "",
        "/",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/33",
        "::/129",
        "10.0.0.1/8",
        "10.0.0.0/-1",
        "10.0.0/8",
        "::1/127",
        "10.0.0.0/8/8",
        "10.0.0.0/8 ",
        "10.0.0.0:80",
        "[::]/0",
        "10.0.0.0:80/8",
        "fe80::%1/64",
        "::ffff:0:0/95",
        "10.0.0.0/08x",
        "128.0.0.0/0",
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct cw_cidr cidr = {.bits = 7};
        cr_expect_eq(cw_cidr_parse(texts[i], &cidr), CW_EINVAL, "%s", texts[i]);
        cr_expect_eq(cidr.network.family, CW_FAMILY_NONE, "%s", texts[i]);
    }
}

Test(address, a_prefix_made_by_hand_with_too_many_bits_holds_nothing)
{
    struct cw_cidr cidr = {.network = parsed("10.0.0.1"), .bits = 33};
    struct cw_address address = parsed("10.0.0.1");

    cr_expect_not(cw_cidr_contains(&cidr, &address));
}

/* ---- the key of limits ---- */

Test(address, limits_count_ipv4_whole_and_ipv6_by_its_first_64_bits)
{
    cr_expect_neq(key_of("10.0.0.1:1"), key_of("10.0.0.2:1"));
    cr_expect_eq(key_of("10.0.0.1:1"), key_of("10.0.0.1:2"));
    cr_expect_eq(key_of("2001:db8:1:2::1"), key_of("2001:db8:1:2:ffff:ffff:ffff:ffff"));
    cr_expect_neq(key_of("2001:db8:1:2::1"), key_of("2001:db8:1:3::1"));
}

Test(address, limits_never_take_ipv4_for_ipv6)
{
    cr_expect_neq(key_of("0.0.0.0"), key_of("::1"));
    cr_expect_neq(key_of("10.0.0.1"), key_of("0:0:0a00:0001::"));
}

Test(address, limits_do_not_count_unix_sockets)
{
    uint64_t key = 1;

    cr_expect_not(cw_address_limit_key(&(struct cw_address){.family = CW_UNIX}, &key));
    cr_expect_eq(key, 0);
    cr_expect_not(cw_address_limit_key(&(struct cw_address){.family = CW_FAMILY_NONE}, &key));
}

/* ---- where to connect ---- */

static struct cw_endpoint endpoint_of(const char *text)
{
    struct cw_endpoint endpoint;
    struct cw_complaint complaint = {""};

    cr_assert_eq(cw_endpoint_parse(text, &endpoint, &complaint), CW_OK, "%s", complaint.text);
    return endpoint;
}

static void expect_complaint(const char *text, const char *words)
{
    struct cw_endpoint endpoint;
    struct cw_complaint complaint = {""};

    cr_expect_eq(cw_endpoint_parse(text, &endpoint, &complaint), CW_EINVAL, "%s", text);
    cr_expect_str_eq(complaint.text, words);
    cr_expect_eq(cw_endpoint_parse(text, &endpoint, NULL), CW_EINVAL, "%s", text);
}

Test(endpoint, a_host_and_a_port_are_told_apart, .fini = rig_expect_no_leak, .timeout = 30)
{
    struct cw_endpoint endpoint = endpoint_of("chat.example:7340");

    cr_expect_str_eq(endpoint.host, "chat.example");
    cr_expect_eq(endpoint.port, 7340);
    cr_expect_str_eq(endpoint.unix_path, "");
    cr_expect_str_eq(endpoint_of("127.0.0.1:1").host, "127.0.0.1");
    cr_expect_str_eq(endpoint_of("my_host-2:1").host, "my_host-2");
}

Test(endpoint, an_ipv6_address_loses_its_brackets, .fini = rig_expect_no_leak, .timeout = 30)
{
    cr_expect_str_eq(endpoint_of("[::1]:7000").host, "::1");
    cr_expect_eq(endpoint_of("[::1]:7000").port, 7000);
    cr_expect_str_eq(endpoint_of("[fe80::1%lo]:1").host, "fe80::1%lo");
}

Test(endpoint, a_unix_path_is_taken_as_it_is, .fini = rig_expect_no_leak, .timeout = 30)
{
    struct cw_endpoint endpoint = endpoint_of("unix:/run/a:b");

    cr_expect_str_eq(endpoint.unix_path, "/run/a:b");
    cr_expect_str_eq(endpoint.host, "");
}

Test(endpoint, the_longest_unix_path_passes_and_one_more_byte_does_not, .fini = rig_expect_no_leak,
     .timeout = 30)
{
    char text[5 + 108 + 1];
    struct cw_endpoint endpoint;

    snprintf(text, sizeof text, "unix:%0107d", 0);
    cr_expect_eq(cw_endpoint_parse(text, &endpoint, NULL), CW_OK);
    cr_expect_eq(strlen(endpoint.unix_path), 107);
    snprintf(text, sizeof text, "unix:%0108d", 0);
    expect_complaint(text, "unix:0000000000000000000000000000000000000000...: the path is longer "
                           "than 107 bytes");
}

Test(endpoint, the_longest_name_passes_and_one_more_byte_does_not, .fini = rig_expect_no_leak,
     .timeout = 30)
{
    char text[300];
    struct cw_endpoint endpoint;

    snprintf(text, sizeof text, "%0253d:1", 0);
    cr_expect_eq(cw_endpoint_parse(text, &endpoint, NULL), CW_OK);
    cr_expect_eq(strlen(endpoint.host), 253);
    snprintf(text, sizeof text, "%0254d:1", 0);
    cr_expect_eq(cw_endpoint_parse(text, &endpoint, NULL), CW_EINVAL);
}

Test(endpoint, every_mistake_has_its_own_words, .fini = rig_expect_no_leak, .timeout = 30)
{
    expect_complaint("", ": the port is missing, as in host:7000");
    expect_complaint("host", "host: the port is missing, as in host:7000");
    expect_complaint("[::1]", "[::1]: the port is missing, as in host:7000");
    expect_complaint(":7000", ":7000: the host is missing");
    expect_complaint("host:", "host:: the port is a number from 1 to 65535");
    expect_complaint("host:0", "host:0: the port is a number from 1 to 65535");
    expect_complaint("host:65536", "host:65536: the port is a number from 1 to 65535");
    expect_complaint("host:70x", "host:70x: the port is a number from 1 to 65535");
    expect_complaint("::1:7000", "::1:7000: an IPv6 address stands in brackets, as in [::1]:7000");
    expect_complaint("http://host:80",
                     "http://host:80: an IPv6 address stands in brackets, as in [::1]:7000");
    expect_complaint("[1.2.3.4]:80", "[1.2.3.4]:80: not an IPv6 address between the brackets");
    expect_complaint("[::1]x:80", "[::1]x:80: expected [address]:port");
    expect_complaint("a b:80", "a b:80: not a host name");
    expect_complaint("unix:", "unix: the path is missing");
}

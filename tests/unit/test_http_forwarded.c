/* Who is behind a proxy: 10.0.0.0/8 and fd00::/8 are trusted here, the peer is 10.0.0.1. */
#include "http/http_target.h"
#include "support/leak.h"

#include <causeway/error.h>
#include <criterion/criterion.h>

TestSuite(http_forwarded, .fini = rig_expect_no_leak, .timeout = 30);

/* ---- helpers ---- */

static bool trusts(const struct cw_address *address, void *user)
{
    struct cw_cidr ours[2];

    (void)user;
    cr_assert_eq(cw_cidr_parse("10.0.0.0/8", &ours[0]), CW_OK);
    cr_assert_eq(cw_cidr_parse("fd00::/8", &ours[1]), CW_OK);
    return cw_cidr_contains(&ours[0], address) || cw_cidr_contains(&ours[1], address);
}

/* A list ends with NULL. */
struct told {
    const char *forwarded[4];
    const char *for_list[4];
    const char *proto;
    const char *host;
};

static size_t spans_of(const char *const *texts, struct cw_span *spans)
{
    size_t count = 0;

    for (; count < 4 && texts[count] != NULL; count++) {
        spans[count] = cw_span_text(texts[count]);
    }
    return count;
}

static struct cw_http_origin find(struct told told)
{
    struct cw_span forwarded[4];
    struct cw_span for_list[4];
    struct cw_http_hop_fields fields = {.forwarded = forwarded, .for_list = for_list};
    struct cw_http_origin origin;
    struct cw_address peer;

    fields.forwarded_count = spans_of(told.forwarded, forwarded);
    fields.for_count = spans_of(told.for_list, for_list);
    fields.proto = told.proto != NULL ? cw_span_text(told.proto) : (struct cw_span){NULL, 0};
    fields.host = told.host != NULL ? cw_span_text(told.host) : (struct cw_span){NULL, 0};
    cr_assert_eq(cw_address_parse("10.0.0.1:4000", &peer), CW_OK);
    memset(&origin, 0xee, sizeof origin);
    cw_http_find_origin(&fields, &peer, trusts, NULL, &origin);
    return origin;
}

static void expect_client(struct cw_http_origin origin, const char *wanted)
{
    char text[CW_ADDRESS_TEXT_MAX];

    cr_expect_str_eq(cw_address_print(&origin.client, text), wanted, "%s is not %s", text, wanted);
}

static void expect_host(struct cw_http_origin origin, const char *wanted)
{
    cr_expect_eq(origin.host.data != NULL, wanted != NULL);
    cr_expect(wanted == NULL || cw_span_equal(origin.host, cw_span_text(wanted)), "%.*s",
              (int)origin.host.len, (const char *)origin.host.data);
}

static void expect_scheme(struct cw_http_origin origin, bool told, bool is_https)
{
    cr_expect_eq(origin.told_scheme, told);
    cr_expect_eq(origin.is_https, is_https);
}

#define FORWARDED(...) find((struct told){.forwarded = {__VA_ARGS__}})
#define X_FOR(...) find((struct told){.for_list = {__VA_ARGS__}})

/* ---- Forwarded ---- */

Test(http_forwarded, without_a_word_the_peer_is_the_client)
{
    struct cw_http_origin origin = find((struct told){.proto = NULL});

    expect_client(origin, "10.0.0.1:4000");
    expect_host(origin, NULL);
    expect_scheme(origin, false, false);
}

Test(http_forwarded, a_proxy_tells_who_is_behind_it)
{
    struct cw_http_origin origin =
        FORWARDED("for=192.0.2.60;proto=HTTPS;by=203.0.113.43;host=\"Example.com:8443\"");

    expect_client(origin, "192.0.2.60:0");
    expect_host(origin, "Example.com");
    expect_scheme(origin, true, true);
    expect_client(FORWARDED("For=\"192.0.2.60:4711\""), "192.0.2.60:4711");
    expect_client(FORWARDED("for=\"[2001:db8:cafe::17]:4711\""), "[2001:db8:cafe::17]:4711");
    expect_client(FORWARDED("FOR=\"[2001:db8:cafe::17]\""), "[2001:db8:cafe::17]:0");
    expect_client(FORWARDED("for=\"[::ffff:192.0.2.60]:80\""), "192.0.2.60:80");
    expect_client(FORWARDED("for=\"192.0.2.60:_port\""), "192.0.2.60:0");
    expect_client(FORWARDED("for=\"[2001:db8::1]:_port\""), "[2001:db8::1]:0");
    expect_scheme(FORWARDED("for=192.0.2.60;proto=http"), true, false);
}

Test(http_forwarded, the_last_address_that_is_not_trusted_counts)
{
    expect_client(FORWARDED("for=1.1.1.1, for=192.0.2.60"), "192.0.2.60:0");
    expect_client(FORWARDED("for=1.1.1.1, for=192.0.2.60, for=10.1.1.1"), "192.0.2.60:0");
    expect_client(FORWARDED("for=1.1.1.1", "for=192.0.2.60", "for=10.1.1.1, for=\"[fd00::1]\""),
                  "192.0.2.60:0");
    expect_client(FORWARDED("for=10.9.9.9, for=192.0.2.60"), "192.0.2.60:0");
    expect_client(FORWARDED("for=10.3.3.3, for=10.2.2.2"), "10.3.3.3:0");
    expect_client(FORWARDED("for=\"[::ffff:10.2.2.2]\", for=\"[::ffff:10.3.3.3]\""), "10.2.2.2:0");
}

Test(http_forwarded, what_is_no_address_ends_the_walk_at_the_hop_before_it)
{
    expect_client(FORWARDED("for=1.1.1.1, for=unknown"), "10.0.0.1:4000");
    expect_client(FORWARDED("for=1.1.1.1, for=_hidden, for=10.2.2.2"), "10.2.2.2:0");
    expect_client(FORWARDED("for=1.1.1.1, rubbish, for=10.2.2.2"), "10.2.2.2:0");
    expect_client(FORWARDED("for=1.1.1.1, proto=https"), "10.0.0.1:4000");
    expect_client(FORWARDED("for=1.1.1.1, for=2.2.2.2;for=3.3.3.3"), "10.0.0.1:4000");
    expect_client(FORWARDED("for=1.1.1.1:80"), "10.0.0.1:4000");
    expect_client(FORWARDED("for=\"2001:db8::1\""), "10.0.0.1:4000");
    expect_client(FORWARDED("for=\"[fe80::1%eth0]\""), "10.0.0.1:4000");
    expect_client(FORWARDED("for=\"[1.1.1.1]\""), "10.0.0.1:4000");
    expect_client(FORWARDED("for=1.1.1.256"), "10.0.0.1:4000");
    expect_client(FORWARDED("for=\"1.1.1.1:99999\""), "10.0.0.1:4000");
    expect_client(FORWARDED("for=\"1.1.1.\\1\""), "10.0.0.1:4000");
    expect_client(FORWARDED("for=\"\""), "10.0.0.1:4000");
    expect_client(FORWARDED("for"), "10.0.0.1:4000");
    expect_client(FORWARDED("for = 1.1.1.1"), "10.0.0.1:4000");
    expect_client(FORWARDED(""), "10.0.0.1:4000");
    expect_client(FORWARDED(", ,"), "10.0.0.1:4000");
    expect_client(FORWARDED("for=unknown, "), "10.0.0.1:4000");
}

Test(http_forwarded, a_quote_that_the_client_left_open_swallows_nothing)
{
    expect_client(FORWARDED("for=\"1.1.1.1, for=192.0.2.60"), "192.0.2.60:0");
    expect_client(FORWARDED("for=1.1.1.1;x=\"\\\", for=192.0.2.60"), "192.0.2.60:0");
    expect_client(FORWARDED("x=\", for=\"192.0.2.60:80\""), "192.0.2.60:80");
    expect_client(FORWARDED("for=\"1.1.1.1", "for=192.0.2.60"), "192.0.2.60:0");
    expect_client(FORWARDED("for=\"1.1.1.1, for=10.2.2.2"), "10.2.2.2:0");
}

Test(http_forwarded, quoted_commas_and_unknown_parameters_are_let_pass)
{
    expect_client(FORWARDED("for=1.1.1.1, for=192.0.2.60;secret=\"a,b\""), "192.0.2.60:0");
    expect_client(FORWARDED("for=1.1.1.1, x=\"a\\\",\\\\\";for=192.0.2.60"), "192.0.2.60:0");
}

Test(http_forwarded, host_and_scheme_are_what_the_hop_next_to_the_client_told)
{
    struct cw_http_origin origin = FORWARDED("for=1.1.1.1;host=evil.example;proto=http, "
                                             "for=192.0.2.60;host=example.com;proto=https, "
                                             "for=10.2.2.2;host=inner;proto=http");

    expect_client(origin, "192.0.2.60:0");
    expect_host(origin, "example.com");
    expect_scheme(origin, true, true);

    origin = FORWARDED("for=192.0.2.60, for=10.2.2.2;host=inner;proto=http");
    expect_client(origin, "192.0.2.60:0");
    expect_host(origin, NULL);
    expect_scheme(origin, false, false);

    origin = FORWARDED("for=_hidden;host=example.com;proto=https");
    expect_client(origin, "10.0.0.1:4000");
    expect_host(origin, "example.com");
    expect_scheme(origin, true, true);
}

Test(http_forwarded, host_and_scheme_are_judged)
{
    struct cw_http_origin origin = FORWARDED("for=192.0.2.60;host=\"a b\";proto=gopher");

    expect_client(origin, "192.0.2.60:0");
    expect_host(origin, NULL);
    expect_scheme(origin, false, false);
    expect_host(FORWARDED("for=192.0.2.60;host=\"u@h\""), NULL);
    expect_host(FORWARDED("for=192.0.2.60;host=\"h/x\""), NULL);
    expect_host(FORWARDED("for=192.0.2.60;host=\"\""), NULL);
    expect_host(FORWARDED("for=192.0.2.60;host=\"[::1]:80\""), "[::1]");
}

/* ---- X-Forwarded-For and its kin ---- */

Test(http_forwarded, x_forwarded_for_is_walked_in_the_same_way)
{
    expect_client(X_FOR("192.0.2.60"), "192.0.2.60:0");
    expect_client(X_FOR("1.1.1.1, 192.0.2.60"), "192.0.2.60:0");
    expect_client(X_FOR("1.1.1.1,192.0.2.60 , 10.2.2.2"), "192.0.2.60:0");
    expect_client(X_FOR("1.1.1.1", "192.0.2.60, 10.3.3.3", "10.2.2.2"), "192.0.2.60:0");
    expect_client(X_FOR("10.3.3.3, 10.2.2.2"), "10.3.3.3:0");
    expect_client(X_FOR("2001:db8::1"), "[2001:db8::1]:0");
    expect_client(X_FOR("[2001:db8::1]:4711"), "[2001:db8::1]:4711");
    expect_client(X_FOR("192.0.2.60:4711"), "192.0.2.60:4711");
    expect_client(X_FOR("::ffff:192.0.2.60"), "192.0.2.60:0");
}

Test(http_forwarded, rubbish_in_x_forwarded_for_ends_the_walk)
{
    expect_client(X_FOR("1.1.1.1, unknown"), "10.0.0.1:4000");
    expect_client(X_FOR("1.1.1.1, localhost, 10.2.2.2"), "10.2.2.2:0");
    expect_client(X_FOR("1.1.1.1, \"1.1.1.1\", 10.2.2.2"), "10.2.2.2:0");
    expect_client(X_FOR("fe80::1%eth0"), "10.0.0.1:4000");
    expect_client(X_FOR(""), "10.0.0.1:4000");
    expect_client(
        X_FOR("1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1"),
        "10.0.0.1:4000");
}

Test(http_forwarded, x_host_and_x_proto_go_with_the_hop)
{
    struct cw_http_origin origin = find(
        (struct told){.for_list = {"192.0.2.60"}, .proto = "https", .host = "example.com:443"});

    expect_client(origin, "192.0.2.60:0");
    expect_host(origin, "example.com");
    expect_scheme(origin, true, true);

    origin = find((struct told){.for_list = {"1.1.1.1, 192.0.2.60, 10.2.2.2"},
                                .proto = "http, https, http",
                                .host = "evil.example, example.com, inner"});
    expect_client(origin, "192.0.2.60:0");
    expect_host(origin, "example.com");
    expect_scheme(origin, true, true);

    origin = find((struct told){.for_list = {"192.0.2.60, 10.2.2.2"}, .proto = "https"});
    expect_scheme(origin, true, true);

    origin = find((struct told){.for_list = {"192.0.2.60"}, .proto = "https, http"});
    expect_scheme(origin, true, false);

    origin = find((struct told){.proto = "https, http"});
    expect_client(origin, "10.0.0.1:4000");
    expect_scheme(origin, true, false);
}

Test(http_forwarded, forwarded_goes_before_the_x_fields)
{
    struct cw_http_origin origin = find((struct told){.forwarded = {"for=192.0.2.60"},
                                                      .for_list = {"1.1.1.1"},
                                                      .proto = "https",
                                                      .host = "evil.example"});

    expect_client(origin, "192.0.2.60:0");
    expect_host(origin, NULL);
    expect_scheme(origin, false, false);
}

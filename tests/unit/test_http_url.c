#include "http/http_url.h"

#include "support/leak.h"

#include <causeway/error.h>

#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(http_url, .fini = rig_expect_no_leak, .timeout = 30);

static struct cw_http_url parsed(const char *text)
{
    struct cw_http_url url;
    const char *why = "";

    cr_assert_eq(cw_http_url_parse(cw_span_text(text), &url, &why), 0, "%s: %s", text, why);
    return url;
}

static void expect_printed(const char *text, const char *expected)
{
    struct cw_http_url url = parsed(text);
    char printed[512];

    cr_expect_eq(cw_http_url_print(&url, printed, sizeof printed), strlen(expected));
    cr_expect_str_eq(printed, expected);
}

static void expect_refused(const char *text, const char *words)
{
    struct cw_http_url url;
    const char *why = "";

    cr_expect_eq(cw_http_url_parse(cw_span_text(text), &url, &why), CW_EINVAL, "%s", text);
    cr_expect_not_null(strstr(why, words), "%s: %s", text, why);
}

Test(http_url, the_parts_are_views_of_the_text)
{
    struct cw_http_url url = parsed("https://Api.Example:8443/a/b%20c;x?q=1/2?#part");

    cr_expect_eq(url.scheme, CW_SCHEME_HTTPS);
    cr_expect(cw_span_equal(url.host, cw_span_text("Api.Example")));
    cr_expect_eq(url.port, 8443);
    cr_expect(cw_span_equal(url.path, cw_span_text("/a/b%20c;x")));
    cr_expect(cw_span_equal(url.query, cw_span_text("?q=1/2?")));
    cr_expect_not(url.is_ipv6);
}

Test(http_url, ports_have_their_defaults)
{
    cr_expect_eq(parsed("http://a").port, 80);
    cr_expect_eq(parsed("https://a").port, 443);
    cr_expect_eq(parsed("http://a:/x").port, 80); /* RFC 3986 §3.2.3 */
    cr_expect_eq(parsed("http://a:65535").port, 65535);
    cr_expect_eq(parsed("http+unix://%2Frun%2Fx/").port, 0);
}

Test(http_url, printing_leaves_out_what_says_nothing)
{
    expect_printed("HTTP://EXAMPLE.org:80#top", "http://example.org/");
    expect_printed("https://a:443/x?y#z", "https://a/x?y");
    expect_printed("https://a:80", "https://a:80/");
    expect_printed("http://a?q", "http://a/?q");
    expect_printed("http://[2001:DB8::1]:8080/", "http://[2001:db8::1]:8080/");
    expect_printed("http+unix://%2Frun%2FX.sock/v1/info", "http+unix://%2Frun%2FX.sock/v1/info");
}

Test(http_url, what_is_no_url_of_ours_is_refused_with_a_sentence)
{
    expect_refused("", "begins with http://");
    expect_refused("example.org/", "begins with http://");
    expect_refused("http:/a", "begins with http://");
    expect_refused("ftp://a/", "only http, https and http+unix");
    expect_refused("httpx://a/", "only http, https and http+unix");
    expect_refused("http://", "there is no host");
    expect_refused("http:///path", "there is no host");
    expect_refused("http://:80/", "there is no host");
    expect_refused("http://me:secret@a/", "Authorization");
    expect_refused("http://me@a/", "Authorization");
    expect_refused("http://a@b@c/", "Authorization");
    expect_refused("http://a:0/", "a port is");
    expect_refused("http://a:65536/", "a port is");
    expect_refused("http://a:8x/", "a port is");
    expect_refused("http://a:-1/", "a port is");
    expect_refused("http://a:80:80/", "a port is");
    expect_refused("http://a..b/", "a host is");
    expect_refused("http://.a/", "a host is");
    expect_refused("http://a b/", "a host is");
    expect_refused("http://a%2Eb/", "a host is");
    expect_refused("http://a\\b/", "a host is");
    expect_refused("http://b\xc3\xbc"
                   "cher.example/",
                   "xn--");
}

Test(http_url, addresses_in_brackets_are_judged)
{
    struct cw_http_url url = parsed("http://[::1]:7000/");

    cr_expect(url.is_ipv6);
    cr_expect(cw_span_equal(url.host, cw_span_text("::1")));
    cr_expect_eq(url.port, 7000);
    expect_refused("http://[::1/", "not closed");
    expect_refused("http://[::1]80/", "behind an address");
    expect_refused("http://[fe80::1%25eth0]/", "interface");
    expect_refused("http://[127.0.0.1]/", "no IPv6");
    expect_refused("http://[]/", "no IPv6");
    expect_refused("http://[::g]/", "no IPv6");
}

Test(http_url, bytes_that_have_to_be_encoded_are_refused)
{
    expect_refused("http://a/b c", "%20");
    expect_refused("http://a/\r\nX: y", "encoded as %XX");
    expect_refused("http://a/?q=\"x\"", "encoded as %XX");
    expect_refused("http://a/<b>", "encoded as %XX");
    expect_refused("http://a/%", "two hexadecimal digits");
    expect_refused("http://a/%4", "two hexadecimal digits");
    expect_refused("http://a/%4x", "two hexadecimal digits");
    expect_refused("http://a/\xc3\xa4", "ASCII");
    expect_refused("http://a/#\x01", "encoded as %XX");
}

Test(http_url, zero_bytes_are_refused_everywhere)
{
    const char *const texts[] = {"http://a\0b/", "http://a/\0b", "http://a/?q\0", "ht\0tp://a/"};
    const size_t lens[] = {11, 11, 12, 11};

    for (size_t i = 0; i < 4; i++) {
        struct cw_http_url url;
        const char *why = "";

        cr_expect_eq(cw_http_url_parse(cw_span_of(texts[i], lens[i]), &url, &why), CW_EINVAL);
    }
}

Test(http_url, a_url_that_is_too_long_is_refused)
{
    static char text[CW_URL_MAX + 2];
    struct cw_http_url url;
    const char *why = "";

    memset(text, 'a', sizeof text - 1);
    memcpy(text, "http://a/", 9);
    cr_expect_eq(cw_http_url_parse(cw_span_text(text), &url, &why), CW_EINVAL);
    text[CW_URL_MAX] = 0;
    cr_expect_eq(cw_http_url_parse(cw_span_text(text), &url, &why), 0);
}

Test(http_url, a_host_may_have_253_characters)
{
    static char text[300];
    struct cw_http_url url;
    const char *why = "";

    snprintf(text, sizeof text, "http://%0254d/", 0);
    cr_expect_eq(cw_http_url_parse(cw_span_text(text), &url, &why), CW_EINVAL);
    snprintf(text, sizeof text, "http://%0253d/", 0);
    cr_expect_eq(cw_http_url_parse(cw_span_text(text), &url, &why), 0);
}

/* ---- whom to connect to ---- */

static void expect_connect(const char *text, const char *address, const char *authority)
{
    struct cw_http_url url = parsed(text);
    char buffer[CW_URL_CONNECT_MAX];

    cr_expect_eq(cw_http_url_connect(&url, buffer), 0, "%s", text);
    cr_expect_str_eq(buffer, address);
    cw_http_url_authority(&url, buffer, sizeof buffer);
    cr_expect_str_eq(buffer, authority);
}

Test(http_url, whom_to_connect_to_and_what_host_says)
{
    expect_connect("http://A.example/x", "a.example:80", "a.example");
    expect_connect("https://a.example", "a.example:443", "a.example");
    expect_connect("http://a.example:443", "a.example:443", "a.example:443");
    expect_connect("http://[::1]:8080/", "[::1]:8080", "[::1]:8080");
    expect_connect("http+unix://%2Frun%2Fx.sock/y", "unix:/run/x.sock", "localhost");
}

Test(http_url, the_path_of_a_socket_is_absolute_whole_and_short_enough)
{
    const char *const bad[] = {"http+unix://run%2Fx/", "http+unix://%2F/", "http+unix://%2Fa%00b/"};
    char buffer[CW_URL_CONNECT_MAX];
    char text[512];
    struct cw_http_url url;

    for (size_t i = 0; i < 3; i++) {
        url = parsed(bad[i]);
        cr_expect_eq(cw_http_url_connect(&url, buffer), CW_EINVAL, "%s", bad[i]);
    }
    snprintf(text, sizeof text, "http+unix://%%2F%0107d/", 0);
    url = parsed(text);
    cr_expect_eq(cw_http_url_connect(&url, buffer), CW_EINVAL);
    snprintf(text, sizeof text, "http+unix://%%2F%0106d/", 0);
    url = parsed(text);
    cr_expect_eq(cw_http_url_connect(&url, buffer), 0);
    expect_refused("http+unix:///run/x", "stands before the first slash");
}

Test(http_url, an_origin_is_scheme_host_and_port)
{
    const struct cw_http_url a = parsed("http://A.example/x");
    struct cw_http_url b = parsed("http://a.EXAMPLE:80/y");

    cr_expect(cw_http_url_same_origin(&a, &b));
    b = parsed("http://a.example:81/");
    cr_expect_not(cw_http_url_same_origin(&a, &b));
    b = parsed("https://a.example:80/");
    cr_expect_not(cw_http_url_same_origin(&a, &b));
    b = parsed("http://b.example/");
    cr_expect_not(cw_http_url_same_origin(&a, &b));
}

/* ---- references ---- */

static void expect_resolved(const char *base, const char *reference, const char *expected)
{
    static char buffer[CW_URL_MAX + 1];
    struct cw_http_url url = parsed(base);

    cr_expect_eq(cw_http_url_resolve(&url, cw_span_text(reference), buffer),
                 (ptrdiff_t)strlen(expected), "%s: %s", reference, buffer);
    cr_expect_str_eq(buffer, expected, "%s: %s", reference, buffer);
}

/* RFC 3986 §5.4.1 and §5.4.2, without those that carry a fragment or another scheme. */
Test(http_url, references_are_resolved_as_the_rfc_shows)
{
    static const char *const examples[][2] = {
        {"g", "http://a/b/c/g"},
        {"./g", "http://a/b/c/g"},
        {"g/", "http://a/b/c/g/"},
        {"/g", "http://a/g"},
        {"//g", "http://g"},
        {"?y", "http://a/b/c/d;p?y"},
        {"g?y", "http://a/b/c/g?y"},
        {"", "http://a/b/c/d;p?q"},
        {";x", "http://a/b/c/;x"},
        {"g;x", "http://a/b/c/g;x"},
        {"g;x?y", "http://a/b/c/g;x?y"},
        {".", "http://a/b/c/"},
        {"./", "http://a/b/c/"},
        {"..", "http://a/b/"},
        {"../", "http://a/b/"},
        {"../g", "http://a/b/g"},
        {"../..", "http://a/"},
        {"../../", "http://a/"},
        {"../../g", "http://a/g"},
        {"../../../g", "http://a/g"},
        {"../../../../g", "http://a/g"},
        {"/./g", "http://a/g"},
        {"/../g", "http://a/g"},
        {"g.", "http://a/b/c/g."},
        {".g", "http://a/b/c/.g"},
        {"g..", "http://a/b/c/g.."},
        {"..g", "http://a/b/c/..g"},
        {"./../g", "http://a/b/g"},
        {"./g/.", "http://a/b/c/g/"},
        {"g/./h", "http://a/b/c/g/h"},
        {"g/../h", "http://a/b/c/h"},
        {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
        {"g;x=1/../y", "http://a/b/c/y"},
        {"g?y/./x", "http://a/b/c/g?y/./x"},
        {"g#s", "http://a/b/c/g"},
        {"#s", "http://a/b/c/d;p?q"},
    };

    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        expect_resolved("http://a/b/c/d;p?q", examples[i][0], examples[i][1]);
    }
}

Test(http_url, references_in_the_wild_are_encoded)
{
    expect_resolved("http://a/x", "/b c", "http://a/b%20c");
    expect_resolved("http://a/x", "/\xc3\xa4?q=\"1\"", "http://a/%C3%A4?q=%221%22");
    expect_resolved("http://a/x", "/a|b^c", "http://a/a%7Cb%5Ec");
    expect_resolved("http://a/x", "/a%20b", "http://a/a%20b");
    expect_resolved("http://a", "b", "http://a/b");
    expect_resolved("http://a?q", "", "http://a/?q");
    expect_resolved("http://[::1]:81/x", "y", "http://[::1]:81/y");
    expect_resolved("http://a/x", "https://[::1]/y", "https://[::1]/y");
    expect_resolved("http+unix://%2Frun%2Fx/a/b", "../c", "http+unix://%2Frun%2Fx/c");
}

Test(http_url, references_with_control_characters_or_without_end_are_refused)
{
    static char longest[CW_URL_MAX + 16];
    static char buffer[CW_URL_MAX + 1];
    struct cw_http_url url = parsed("http://a/x");

    cr_expect_eq(cw_http_url_resolve(&url, cw_span_text("/a\r\nb"), buffer), CW_EINVAL);
    cr_expect_eq(cw_http_url_resolve(&url, cw_span_of("/a\0b", 4), buffer), CW_EINVAL);
    memset(longest, 'a', sizeof longest - 1);
    cr_expect_eq(cw_http_url_resolve(&url, cw_span_text(longest), buffer), CW_ETOOBIG);
    memset(longest, '"', sizeof longest - 1);
    longest[CW_URL_MAX / 3] = 0; /* three times as long when encoded */
    cr_expect_eq(cw_http_url_resolve(&url, cw_span_text(longest), buffer), CW_ETOOBIG);
}

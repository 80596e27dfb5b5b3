/* The sets of bytes, against their definitions in the RFCs. */
#include "http/http_bytes.h"
#include "http/http_parse_impl.h"
#include "support/leak.h"

#include <criterion/criterion.h>

TestSuite(http_bytes, .fini = rig_expect_no_leak, .timeout = 30);

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static void expect_set(unsigned set, const char *bytes, bool above_127)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        bool named = byte != 0 && byte < 128 && strchr(bytes, (int)byte) != NULL;
        bool wanted = named || (byte > 127 && above_127);

        cr_expect_eq(cw_http_byte_is((uint8_t)byte, set), wanted, "set %#x, byte %#x", set, byte);
    }
}

Test(http_bytes, each_set_is_as_its_rfc_defines_it)
{
    expect_set(CW_BYTE_TOKEN, LETTERS DIGITS "!#$%&'*+-.^_`|~", false);
    expect_set(CW_BYTE_VALUE, LETTERS DIGITS " \t!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", true);
    expect_set(CW_BYTE_UNRESERVED, LETTERS DIGITS "-._~", false);
    expect_set(CW_BYTE_NAME, LETTERS DIGITS "-._~!$&'()*+,;=", false);
    expect_set(CW_BYTE_COOKIE, LETTERS DIGITS "!#$%&'()*+-./:<=>?@[]^_`{|}~", false);
}

Test(http_bytes, paths_and_queries_have_what_rfc_3986_allows_and_what_browsers_send)
{
    expect_set(CW_BYTE_PLAIN, LETTERS DIGITS "-_~!$&'()*+,;=:@\"[]^`{|}", true);
    expect_set(CW_BYTE_QUERY, LETTERS DIGITS "-._~!$&'()*+,;=:@/?%\"[]^`{|}", true);
}

Test(http_bytes, two_digits_make_a_byte)
{
    cr_expect_eq(cw_http_hex((const uint8_t *)"00"), 0);
    cr_expect_eq(cw_http_hex((const uint8_t *)"fF"), 255);
    cr_expect_eq(cw_http_hex((const uint8_t *)"A9"), 169);
    cr_expect_eq(cw_http_hex((const uint8_t *)"g0"), -1);
    cr_expect_eq(cw_http_hex((const uint8_t *)"0G"), -1);
    cr_expect_eq(cw_http_hex((const uint8_t *)"0:"), -1);
    cr_expect_eq(cw_http_hex((const uint8_t *)"/0"), -1);
    cr_expect_eq(cw_http_hex((const uint8_t *)"@`"), -1);
}

Test(http_bytes, one_byte_outside_of_a_set_is_seen_wherever_it_stands)
{
    uint8_t bytes[12];

    for (size_t len = 0; len <= sizeof bytes; len++) {
        memset(bytes, 'a', sizeof bytes);
        cr_expect(cw_http_all_are(cw_span_of(bytes, len), CW_BYTE_TOKEN));
        for (size_t at = 0; at < len; at++) {
            bytes[at] = '"';
            cr_expect_not(cw_http_all_are(cw_span_of(bytes, len), CW_BYTE_TOKEN), "%zu of %zu", at,
                          len);
            cr_expect(cw_http_all_are(cw_span_of(bytes, len), CW_BYTE_VALUE));
            bytes[at] = 'a';
        }
    }
}

/* Each byte at each place: only the same letter in the other case may stand for another. */
static void expect_only_itself(const char *name)
{
    size_t len = strlen(name);
    uint8_t bytes[32];

    memcpy(bytes, name, len);
    for (size_t at = 0; at < len; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            bytes[at] = (uint8_t)byte;
            bool same = cw_http_lower((uint8_t)byte) == (uint8_t)name[at];
            cr_expect_eq(cw_http_is(bytes, len, name, len), same, "%s, byte %#x at %zu", name, byte,
                         at);
        }
        bytes[at] = (uint8_t)name[at];
    }
    cr_expect_not(cw_http_is(bytes, len - 1, name, len));
}

Test(http_bytes, a_known_name_is_no_other_bytes)
{
    expect_only_itself("h2-");
    expect_only_itself("host");
    expect_only_itself("x-3cake");
    expect_only_itself("x-cookie");
    expect_only_itself("100-continue");
    expect_only_itself("x-forwarded-for");
    expect_only_itself("content-encoding");
    expect_only_itself("if-modified-since");
}

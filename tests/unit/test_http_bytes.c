/* The sets of bytes, against their definitions in the RFCs. */
#include "http/http_bytes.h"
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

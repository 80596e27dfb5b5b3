#include "support/leak.h"
#include "websocket/ws_impl.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(ws_key, .fini = rig_expect_no_leak, .timeout = 30);

/* RFC 6455 §1.3. */
Test(ws_key, the_example_of_the_rfc_comes_out)
{
    char accept[CW_WS_ACCEPT_TEXT];

    cr_assert_eq(cw_ws_accept_key(cw_span_text("dGhlIHNhbXBsZSBub25jZQ=="), accept), 0);
    cr_expect_str_eq(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    cr_expect_eq(strlen(accept) + 1, sizeof accept);
}

Test(ws_key, a_key_longer_than_any_is_not_digested)
{
    char accept[CW_WS_ACCEPT_TEXT];

    cr_expect_eq(cw_ws_accept_key(cw_span_text("dGhlIHNhbXBsZSBub25jZQ==d"), accept), CW_EINVAL);
}

Test(ws_key, sixteen_bytes_in_base64_are_a_key_and_nothing_else)
{
    static const char *const wrong[] = {
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZR==",     /* bits left over */
        "dGhlIHNhbXBsZSBub25jZQ== ",    /* 25 characters */
        "dGhlIHNhbXBsZSBub25j",         /* 15 bytes */
        "dGhlIHNhbXBsZSBub25jZXM=",     /* 17 */
        "dGhlIHNhbXBsZSBub25jZXMh",     /* 18 */
        "dGhl-HNhbXBsZSBub25jZQ==",     /* of the other alphabet */
        "dGhlIHNhbXBsZSBub25jZQ==AAAA", /* something behind it */
    };

    cr_expect(cw_ws_key_is_sound(cw_span_text("dGhlIHNhbXBsZSBub25jZQ==")));
    cr_expect(cw_ws_key_is_sound(cw_span_text("AAAAAAAAAAAAAAAAAAAAAA==")));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_expect_not(cw_ws_key_is_sound(cw_span_text(wrong[i])), "%s", wrong[i]);
    }
}

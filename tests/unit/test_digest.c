#include "support/leak.h"

#include <causeway/digest.h>
#include <causeway/error.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(digest, .fini = rig_expect_no_leak, .timeout = 30);

static ptrdiff_t decoded(const char *text)
{
    uint8_t bytes[64];

    return cw_base64_decode(cw_span_text(text), bytes);
}

/* RFC 4648 §10. */
Test(digest, the_vectors_of_base64_come_out_both_ways)
{
    static const char *const vectors[][2] = {
        {"f", "Zg=="},        {"fo", "Zm8="},        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"},
    };

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct cw_span plain = cw_span_text(vectors[i][0]);
        char text[CW_BASE64_ROOM(6)];
        uint8_t bytes[6];

        cr_expect_eq(cw_base64_encode(plain, text), strlen(vectors[i][1]));
        cr_expect_str_eq(text, vectors[i][1]);
        cr_expect_eq(cw_base64_decode(cw_span_text(text), bytes), (ptrdiff_t)plain.len);
        cr_expect(cw_span_equal(cw_span_of(bytes, plain.len), plain));
    }
}

Test(digest, nothing_is_an_empty_text_in_base64)
{
    char text[CW_BASE64_ROOM(0)];

    cr_expect_eq(cw_base64_encode(cw_span_of(NULL, 0), text), 0);
    cr_expect_str_eq(text, "");
}

Test(digest, every_byte_comes_back_from_base64)
{
    uint8_t bytes[256];
    uint8_t back[258];
    char text[CW_BASE64_ROOM(sizeof bytes)];

    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 167);
    }
    for (size_t len = 250; len <= sizeof bytes; len++) {
        struct cw_span whole = cw_span_of(bytes, len);

        cw_base64_encode(whole, text);
        cr_expect_eq(cw_base64_decode(cw_span_text(text), back), (ptrdiff_t)len);
        cr_expect(cw_span_equal(cw_span_of(back, len), whole));
    }
}

Test(digest, what_is_not_strictly_base64_is_refused)
{
    static const char *const wrong[] = {
        "",     "Z",          "Zg",    "Zg=",       "Zg==Zg==", "Z===", "====",
        "Zh==", "Zm9=",       "Zm 8=", "Zm9v\r\n",  "Zm9-",     "Zm9_", "=m9v",
        "Zm=v", "Zm9vYg==\n", "Zm9v ", "\xc3\xa4=", "Zg==AAAA",
    };

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_expect_eq(decoded(wrong[i]), CW_EINVAL, "%s", wrong[i]);
    }
}

/* FIPS 180-1, appendix A and B, and of nothing. */
Test(digest, sha_1_is_that_of_the_standard)
{
    static const char *const vectors[][2] = {
        {"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
        {"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
    };

    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint8_t digest[CW_SHA1_SIZE];
        char text[2 * CW_SHA1_SIZE + 1];

        cr_assert_eq(cw_sha1(cw_span_text(vectors[i][0]), digest), 0);
        for (size_t at = 0; at < sizeof digest; at++) {
            snprintf(text + 2 * at, 3, "%02x", digest[at]);
        }
        cr_expect_str_eq(text, vectors[i][1]);
    }
}

/* Escapes, forms and cookies. */
#include "support/leak.h"

#include <causeway/error.h>
#include <causeway/http_fields.h>
#include <criterion/criterion.h>

TestSuite(http_forms, .fini = rig_expect_no_leak, .timeout = 30);

static bool is(struct cw_span span, const char *text)
{
    return cw_span_equal(span, cw_span_text(text));
}

/* ---- escapes ---- */

static void expect_decoded(const char *text, bool form, const char *wanted)
{
    uint8_t copy[64];
    size_t len = strlen(text);

    memcpy(copy, text, len);
    ptrdiff_t got = cw_http_decode(cw_span_of(copy, len), form, copy);
    cr_assert_eq(got, (ptrdiff_t)strlen(wanted), "%s: %td", text, got);
    cr_expect(is(cw_span_of(copy, (size_t)got), wanted), "%s", text);
}

Test(http_forms, escapes_are_decoded_in_place)
{
    expect_decoded("", false, "");
    expect_decoded("a%20b%2Bc%2f", false, "a b+c/");
    expect_decoded("%C3%a4", false, "\xc3\xa4");
    expect_decoded("%2541", false, "%41");
    expect_decoded("a+b", false, "a+b");
    expect_decoded("a+b%2B", true, "a b+");
}

Test(http_forms, a_zero_byte_is_a_byte_like_others)
{
    uint8_t to[8];

    cr_assert_eq(cw_http_decode(cw_span_text("a%00b"), true, to), 3);
    cr_expect_arr_eq(to, "a\0b", 3);
}

Test(http_forms, half_an_escape_is_refused)
{
    static const char *const texts[] = {"%",    "a%",  "%4",  "%4g", "%g4",
                                        "%%41", "%+1", "% 1", "100%"};
    uint8_t to[16];

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        cr_expect_eq(cw_http_decode(cw_span_text(texts[i]), true, to), CW_EINVAL, "%s", texts[i]);
    }
    cr_expect_eq(cw_http_decode(cw_span_of("%41", 2), true, to), CW_EINVAL);
}

Test(http_forms, all_but_unreserved_bytes_are_encoded)
{
    char buffer[64];

    cr_expect_eq(cw_http_encode(cw_span_text("aZ09-._~"), buffer, sizeof buffer), 8);
    cr_expect_str_eq(buffer, "aZ09-._~");
    cr_expect_eq(cw_http_encode(cw_span_text("a b/\xc3\xa4+%"), buffer, sizeof buffer), 20);
    cr_expect_str_eq(buffer, "a%20b%2F%C3%A4%2B%25");
    cr_expect_eq(cw_http_encode(cw_span_of("\0", 1), buffer, sizeof buffer), 3);
    cr_expect_str_eq(buffer, "%00");
    cr_expect_eq(cw_http_encode((struct cw_span){NULL, 0}, buffer, 1), 0);
    cr_expect_str_eq(buffer, "");
}

Test(http_forms, what_is_encoded_fits_with_its_terminator_or_not_at_all)
{
    char buffer[8];

    cr_expect_eq(cw_http_encode(cw_span_text("ab"), buffer, 3), 2);
    cr_expect_eq(cw_http_encode(cw_span_text("ab"), buffer, 2), CW_ETOOBIG);
    cr_expect_eq(cw_http_encode(cw_span_text("a "), buffer, 5), 4);
    cr_expect_eq(cw_http_encode(cw_span_text("a "), buffer, 4), CW_ETOOBIG);
    cr_expect_eq(cw_http_encode(cw_span_text(""), buffer, 0), CW_ETOOBIG);
    cr_expect_eq(cw_http_encode(cw_span_text("a"), buffer, 0), CW_ETOOBIG);
}

/* ---- pairs ---- */

typedef bool (*next_fn)(struct cw_span *rest, struct cw_span *name, struct cw_span *value);

static void expect_pairs(next_fn next, const char *text, const char *const *pairs)
{
    struct cw_span rest = cw_span_text(text);
    struct cw_span name;
    struct cw_span value;
    size_t i = 0;

    for (; next(&rest, &name, &value); i += 2) {
        cr_assert_not_null(pairs[i], "%s: one more", text);
        cr_expect(is(name, pairs[i]), "%s: %.*s", text, (int)name.len, (const char *)name.data);
        cr_expect(is(value, pairs[i + 1]), "%s: %.*s", text, (int)value.len,
                  (const char *)value.data);
        cr_expect_not_null(value.data);
    }
    cr_expect_null(pairs[i], "%s: %s is missing", text, pairs[i]);
}

Test(http_forms, a_form_is_pairs_between_ampersands)
{
    expect_pairs(cw_http_form_next, "a=1&b=2", (const char *const[]){"a", "1", "b", "2", NULL});
    expect_pairs(cw_http_form_next, "a=b=c&&d&=e&",
                 (const char *const[]){"a", "b=c", "d", "", "", "e", NULL});
    expect_pairs(cw_http_form_next, "a%3D=%26;b=1", (const char *const[]){"a%3D", "%26;b=1", NULL});
    expect_pairs(cw_http_form_next, "", (const char *const[]){NULL});
    expect_pairs(cw_http_form_next, "&&", (const char *const[]){NULL});
    expect_pairs(cw_http_form_next, "=", (const char *const[]){"", "", NULL});
}

Test(http_forms, cookies_are_pairs_between_semicolons)
{
    expect_pairs(cw_http_cookie_next, "a=1; b=2", (const char *const[]){"a", "1", "b", "2", NULL});
    expect_pairs(cw_http_cookie_next, "a=b=c;b=;  c = x ",
                 (const char *const[]){"a", "b=c", "b", "", "c", "x", NULL});
    expect_pairs(cw_http_cookie_next, "a=\"x y\"; b=\"; c=\"\"",
                 (const char *const[]){"a", "x y", "b", "\"", "c", "", NULL});
    expect_pairs(cw_http_cookie_next, "a=1; a=2", (const char *const[]){"a", "1", "a", "2", NULL});
}

Test(http_forms, what_is_no_cookie_is_passed_over)
{
    expect_pairs(cw_http_cookie_next, "a=1; rubbish; =x; ; b=2;",
                 (const char *const[]){"a", "1", "b", "2", NULL});
    expect_pairs(cw_http_cookie_next, "", (const char *const[]){NULL});
    expect_pairs(cw_http_cookie_next, "rubbish", (const char *const[]){NULL});
    expect_pairs(cw_http_cookie_next, ";;=;", (const char *const[]){NULL});
}

Test(http_forms, nothing_has_no_pairs)
{
    struct cw_span rest = {NULL, 0};
    struct cw_span name;
    struct cw_span value;

    cr_expect_not(cw_http_form_next(&rest, &name, &value));
    cr_expect_not(cw_http_cookie_next(&rest, &name, &value));
    cr_expect_eq(cw_http_decode(rest, true, NULL), 0);
}

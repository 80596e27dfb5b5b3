/* Questions about spans. */
#include "support/leak.h"

#include <causeway/error.h>
#include <causeway/span.h>

#include <criterion/criterion.h>

TestSuite(span, .fini = rig_expect_no_leak, .timeout = 30);

static bool is(struct cw_span span, const char *text)
{
    return cw_span_equal(span, cw_span_text(text));
}

Test(span, a_span_starts_with_its_own_beginning_and_with_nothing)
{
    cr_expect(cw_span_starts_with(cw_span_text("GET key"), "GET "));
    cr_expect(cw_span_starts_with(cw_span_text("GET"), "GET"));
    cr_expect(cw_span_starts_with((struct cw_span){NULL, 0}, ""));
    cr_expect_not(cw_span_starts_with(cw_span_text("GE"), "GET"));
    cr_expect_not(cw_span_starts_with(cw_span_text("PUT key"), "GET"));
}

Test(span, trim_takes_blanks_off_both_ends_only)
{
    cr_expect(is(cw_span_trim(cw_span_text(" \t a b \r\n")), "a b"));
    cr_expect(is(cw_span_trim(cw_span_text("  ")), ""));
    cr_expect(is(cw_span_trim((struct cw_span){NULL, 0}), ""));
}

Test(span, cut_hands_out_one_word_after_the_other)
{
    struct cw_span rest = cw_span_text("SET  value");

    cr_expect(is(cw_span_cut(&rest, ' '), "SET"));
    cr_expect(is(cw_span_cut(&rest, ' '), ""));
    cr_expect(is(cw_span_cut(&rest, ' '), "value"));
    cr_expect_eq(rest.len, 0);
    cr_expect(is(cw_span_cut(&rest, ' '), ""));
}

Test(span, a_number_is_digits_and_nothing_else)
{
    uint64_t number = 7;

    cr_expect_eq(cw_span_to_u64(cw_span_text("0"), UINT64_MAX, &number), 0);
    cr_expect_eq(number, 0);
    cr_expect_eq(cw_span_to_u64(cw_span_text("18446744073709551615"), UINT64_MAX, &number), 0);
    cr_expect_eq(number, UINT64_MAX);
    cr_expect_eq(cw_span_to_u64(cw_span_text("18446744073709551616"), UINT64_MAX, &number),
                 CW_ETOOBIG);
    cr_expect_eq(cw_span_to_u64(cw_span_text("99999999999999999999999"), UINT64_MAX, &number),
                 CW_ETOOBIG);
    cr_expect_eq(cw_span_to_u64(cw_span_text("11"), 10, &number), CW_ETOOBIG);
    cr_expect_eq(cw_span_to_u64(cw_span_text(""), 10, &number), CW_EINVAL);
    cr_expect_eq(cw_span_to_u64(cw_span_text("-1"), 10, &number), CW_EINVAL);
    cr_expect_eq(cw_span_to_u64(cw_span_text("1 "), 10, &number), CW_EINVAL);
    cr_expect_eq(cw_span_to_u64(cw_span_text("99999999999999999999999x"), UINT64_MAX, &number),
                 CW_EINVAL);
    cr_expect_eq(number, UINT64_MAX, "a refusal leaves it alone");
}

Test(span, a_copy_as_text_fits_whole_or_is_empty)
{
    char buffer[4] = "old";

    cr_expect_eq(cw_span_to_text(cw_span_text("abc"), buffer, sizeof buffer), 0);
    cr_expect_str_eq(buffer, "abc");
    cr_expect_eq(cw_span_to_text(cw_span_text("abcd"), buffer, sizeof buffer), CW_ETOOBIG);
    cr_expect_str_eq(buffer, "");
    cr_expect_eq(cw_span_to_text(cw_span_of("a\0b", 3), buffer, sizeof buffer), CW_EINVAL);
    cr_expect_str_eq(buffer, "");
    cr_expect_eq(cw_span_to_text(cw_span_text(""), buffer, 0), CW_ETOOBIG);
}

Test(span, utf_8_is_told_from_what_only_looks_like_it)
{
    static const char *const right[] = {
        "", "a", "\xc3\xa4", "\xe2\x82\xac", "\xf4\x8f\xbf\xbf", "a\xc2\x80z"};
    static const char *const wrong[] = {
        "\x80",         "\xc3",         "\xc0\x80",         "\xe2\x82",
        "\xed\xa0\x80", "\xe0\x9f\xbf", "\xf4\x90\x80\x80", "a\xff"};

    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        cr_expect(cw_span_is_utf8(cw_span_text(right[i])), "%zu", i);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cr_expect_not(cw_span_is_utf8(cw_span_text(wrong[i])), "%zu", i);
    }
    cr_expect(cw_span_is_utf8(cw_span_of("a\0b", 3)));
    cr_expect(cw_span_is_utf8((struct cw_span){NULL, 0}));
}

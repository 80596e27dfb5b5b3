/* Words, tokens, lists and parameters. */
#include "support/leak.h"

#include <causeway/error.h>
#include <causeway/http_fields.h>
#include <criterion/criterion.h>

TestSuite(http_fields, .fini = rig_expect_no_leak, .timeout = 30);

static bool is(struct cw_span span, const char *text)
{
    return cw_span_equal(span, cw_span_text(text));
}

/* ---- words ---- */

Test(http_fields, a_status_has_its_words)
{
    cr_expect_str_eq(cw_http_status_text(200), "OK");
    cr_expect_str_eq(cw_http_status_text(100), "Continue");
    cr_expect_str_eq(cw_http_status_text(404), "Not Found");
    cr_expect_str_eq(cw_http_status_text(413), "Content Too Large");
    cr_expect_str_eq(cw_http_status_text(511), "Network Authentication Required");
    cr_expect_str_eq(cw_http_status_text(306), "Unknown");
    cr_expect_str_eq(cw_http_status_text(299), "Unknown");
    cr_expect_str_eq(cw_http_status_text(512), "Unknown");
    cr_expect_str_eq(cw_http_status_text(0), "Unknown");
    cr_expect_str_eq(cw_http_status_text(-1), "Unknown");
    cr_expect_str_eq(cw_http_status_text(70000), "Unknown");
}

Test(http_fields, a_token_has_no_separators_and_is_not_empty)
{
    cr_expect(cw_http_is_token(cw_span_text("X-Name_1!#$%&'*+.^`|~")));
    cr_expect_not(cw_http_is_token(cw_span_text("")));
    cr_expect_not(cw_http_is_token((struct cw_span){NULL, 0}));
    cr_expect_not(cw_http_is_token(cw_span_text("a b")));
    cr_expect_not(cw_http_is_token(cw_span_text("a:")));
    cr_expect_not(cw_http_is_token(cw_span_text("\xc3\xa4")));
    cr_expect_not(cw_http_is_token(cw_span_of("a\0", 2)));
}

Test(http_fields, a_value_has_no_control_characters_and_no_blanks_at_its_ends)
{
    cr_expect(cw_http_is_value(cw_span_text("")));
    cr_expect(cw_http_is_value(cw_span_text("a \t b")));
    cr_expect(cw_http_is_value(cw_span_text("gr\xc3\xbc\xc3\x9f")));
    cr_expect_not(cw_http_is_value(cw_span_text(" a")));
    cr_expect_not(cw_http_is_value(cw_span_text("a\t")));
    cr_expect_not(cw_http_is_value(cw_span_text("a\r\nSet-Cookie: x")));
    cr_expect_not(cw_http_is_value(cw_span_text("a\nb")));
    cr_expect_not(cw_http_is_value(cw_span_text("a\x7f")));
    cr_expect_not(cw_http_is_value(cw_span_of("a\0b", 3)));
}

Test(http_fields, texts_are_equal_whatever_the_case_of_ascii_letters)
{
    cr_expect(cw_http_equal(cw_span_text("Content-LENGTH"), "content-length"));
    cr_expect(cw_http_equal(cw_span_text(""), ""));
    cr_expect_not(cw_http_equal(cw_span_text("a"), "ab"));
    cr_expect_not(cw_http_equal(cw_span_text("ab"), "a"));
    cr_expect_not(cw_http_equal(cw_span_text("@"), "`"));
    cr_expect_not(cw_http_equal(cw_span_text("["), "{"));
    cr_expect_not(cw_http_equal(cw_span_text("\xc3\xa4"), "\xc3\x84"));
    cr_expect_not(cw_http_equal(cw_span_of("a\0b", 3), "a"));
}

/* ---- lists ---- */

static void expect_list(const char *text, const char *const *elements)
{
    struct cw_span rest = cw_span_text(text);
    struct cw_span element;
    size_t i = 0;

    for (; cw_http_list_next(&rest, &element); i++) {
        cr_assert_not_null(elements[i], "%s: one more, %.*s", text, (int)element.len,
                           (const char *)element.data);
        cr_expect(is(element, elements[i]), "%s: %.*s", text, (int)element.len,
                  (const char *)element.data);
    }
    cr_expect_null(elements[i], "%s: %s is missing", text, elements[i]);
}

Test(http_fields, elements_are_trimmed_and_empty_ones_are_passed_over)
{
    expect_list("a, b ,\tc", (const char *const[]){"a", "b", "c", NULL});
    expect_list(", ,a,, b,", (const char *const[]){"a", "b", NULL});
    expect_list("", (const char *const[]){NULL});
    expect_list(" , ,", (const char *const[]){NULL});
    expect_list("one", (const char *const[]){"one", NULL});
}

Test(http_fields, a_quoted_comma_is_no_separator)
{
    expect_list("a=\"x, y\", b", (const char *const[]){"a=\"x, y\"", "b", NULL});
    expect_list("\"\\\",\", b", (const char *const[]){"\"\\\",\"", "b", NULL});
    expect_list("a, \"open, b", (const char *const[]){"a", "\"open, b", NULL});
    expect_list("a\\, b", (const char *const[]){"a\\", "b", NULL});
    expect_list("\"a\\", (const char *const[]){"\"a\\", NULL});
}

Test(http_fields, no_list_has_no_elements)
{
    struct cw_span rest = {NULL, 0};
    struct cw_span element;

    cr_expect_not(cw_http_list_next(&rest, &element));
    cr_expect_not(cw_http_list_has(rest, "a"));
}

Test(http_fields, a_list_has_a_token_as_a_whole_element_only)
{
    cr_expect(cw_http_list_has(cw_span_text("keep-alive, Upgrade"), "upgrade"));
    cr_expect_not(cw_http_list_has(cw_span_text("not-upgrade, upgrade2"), "upgrade"));
    cr_expect_not(cw_http_list_has(cw_span_text("\"upgrade\""), "upgrade"));
    cr_expect_not(cw_http_list_has(cw_span_text("a, b"), ""));
}

/* ---- parameters ---- */

static void expect_parameter(const char *element, const char *name, const char *value)
{
    char buffer[64];
    ptrdiff_t len = cw_http_parameter(cw_span_text(element), name, buffer, sizeof buffer);

    cr_assert_eq(len, (ptrdiff_t)strlen(value), "%s: %td", element, len);
    cr_expect_str_eq(buffer, value, "%s: %s", element, buffer);
}

static ptrdiff_t refusal(const char *element, const char *name, size_t cap)
{
    char buffer[64];

    return cw_http_parameter(cw_span_text(element), name, buffer, cap);
}

Test(http_fields, a_parameter_is_found_whatever_its_case_and_its_quotes)
{
    expect_parameter("text/html; charset=utf-8", "charset", "utf-8");
    expect_parameter("text/html;CHARSET=\"utf-8\"", "charset", "utf-8");
    expect_parameter("a ; b=1\t; c=2", "c", "2");
    expect_parameter("form-data; name=\"a; b\\\"c\\\\\"; filename=x", "name", "a; b\"c\\");
    expect_parameter("form-data; name=\"\"", "name", "");
    expect_parameter("a; ; b=1;", "b", "1");
    expect_parameter("x; filename*=UTF-8''%e2", "filename*", "UTF-8''%e2");
    expect_parameter("a; b=\"=;,\"", "b", "=;,");
}

Test(http_fields, a_parameter_that_is_not_there_is_told_from_a_malformed_one)
{
    cr_expect_eq(refusal("text/html", "charset", 64), CW_ENOTFOUND);
    cr_expect_eq(refusal("", "charset", 64), CW_ENOTFOUND);
    cr_expect_eq(refusal("a; b=1", "charset", 64), CW_ENOTFOUND);
    cr_expect_eq(refusal("a; \"charset=x\"=1", "charset", 64), CW_EINVAL);
    cr_expect_eq(refusal("a; charset", "charset", 64), CW_EINVAL);
    cr_expect_eq(refusal("a; charset=", "charset", 64), CW_EINVAL);
    cr_expect_eq(refusal("a; charset =x", "charset", 64), CW_EINVAL);
    cr_expect_eq(refusal("a; charset= x", "charset", 64), CW_EINVAL);
    cr_expect_eq(refusal("a; charset=\"x", "charset", 64), CW_EINVAL);
    cr_expect_eq(refusal("a; charset=\"x\"y", "charset", 64), CW_EINVAL);
    cr_expect_eq(refusal("a; charset=\"x\\\"", "charset", 64), CW_EINVAL);
    cr_expect_eq(refusal("a; charset=x y", "charset", 64), CW_EINVAL);
    cr_expect_eq(refusal("a; charset=x; b=1; Charset=x", "charset", 64), CW_EINVAL);
    cr_expect_eq(refusal("a; charset=\"x\x01\"", "charset", 64), CW_EINVAL);
    cr_expect_eq(cw_http_parameter((struct cw_span){NULL, 0}, "a", NULL, 0), CW_ENOTFOUND);
}

Test(http_fields, a_parameter_fits_with_its_terminator_or_not_at_all)
{
    cr_expect_eq(refusal("a; b=123", "b", 4), 3);
    cr_expect_eq(refusal("a; b=123", "b", 3), CW_ETOOBIG);
    cr_expect_eq(refusal("a; b=\"123\"", "b", 3), CW_ETOOBIG);
    cr_expect_eq(refusal("a; b=\"\"", "b", 1), 0);
    cr_expect_eq(refusal("a; b=\"\"", "b", 0), CW_ETOOBIG);
}

Test(http_fields, an_element_stands_before_its_parameters)
{
    cr_expect(is(cw_http_without_parameters(cw_span_text(" text/html ; charset=x")), "text/html"));
    cr_expect(is(cw_http_without_parameters(cw_span_text("gzip")), "gzip"));
    cr_expect(is(cw_http_without_parameters(cw_span_text(";q=1")), ""));
    cr_expect(is(cw_http_without_parameters((struct cw_span){NULL, 0}), ""));
}

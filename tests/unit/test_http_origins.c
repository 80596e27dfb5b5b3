#include "support/leak.h"

#include <causeway/http_fields.h>
#include <criterion/criterion.h>

TestSuite(http_origins, .fini = rig_expect_no_leak, .timeout = 30);

static enum cw_http_origin_found find(const char *list, const char *origin)
{
    return cw_http_origin_find(list, cw_span_text(origin));
}

static bool is_allowed(const char *list)
{
    struct cw_span word;

    return cw_http_origins_fault(list, &word) == NULL;
}

Test(http_origins, scheme_host_and_port_are_compared_and_nothing_else)
{
    const char *list = "https://a.example, http://b.example:8080";

    cr_expect_eq(find(list, "https://a.example"), CW_HTTP_ORIGIN_LISTED);
    cr_expect_eq(find(list, "http://b.example:8080"), CW_HTTP_ORIGIN_LISTED);
    cr_expect_eq(find(list, "http://a.example"), CW_HTTP_ORIGIN_NOT_LISTED);
    cr_expect_eq(find(list, "https://a.example:8443"), CW_HTTP_ORIGIN_NOT_LISTED);
    cr_expect_eq(find(list, "http://b.example"), CW_HTTP_ORIGIN_NOT_LISTED);
}

Test(http_origins, a_name_that_only_looks_like_a_listed_one_is_not_listed)
{
    const char *list = "https://a.example";

    cr_expect_eq(find(list, "https://a.example.evil.test"), CW_HTTP_ORIGIN_NOT_LISTED);
    cr_expect_eq(find(list, "https://evila.example"), CW_HTTP_ORIGIN_NOT_LISTED);
    cr_expect_eq(find(list, "https://a.exampl"), CW_HTTP_ORIGIN_NOT_LISTED);
    cr_expect_eq(find(list, "https://x.a.example"), CW_HTTP_ORIGIN_NOT_LISTED);
    cr_expect_eq(find(list, "https://aXexample"), CW_HTTP_ORIGIN_NOT_LISTED);
    cr_expect_eq(find(list, "https://a.example/"), CW_HTTP_ORIGIN_NOT_LISTED);
    cr_expect_eq(find(list, "https://a.example,https://b.example"), CW_HTTP_ORIGIN_NOT_LISTED);
    cr_expect_eq(find(list, "https://A.example"), CW_HTTP_ORIGIN_NOT_LISTED,
                 "browsers write lower case");
    cr_expect_eq(find(list, ""), CW_HTTP_ORIGIN_NOT_LISTED);
    cr_expect_eq(find("https://a.example https://b.example", "https://a.example "),
                 CW_HTTP_ORIGIN_NOT_LISTED);
}

Test(http_origins, null_is_allowed_only_where_it_is_listed)
{
    cr_expect_eq(find("https://a.example", "null"), CW_HTTP_ORIGIN_NOT_LISTED);
    cr_expect_eq(find("https://a.example null", "null"), CW_HTTP_ORIGIN_LISTED);
}

Test(http_origins, a_list_may_have_capitals_and_the_schemes_own_port)
{
    cr_expect_eq(find("HTTPS://A.Example:443", "https://a.example"), CW_HTTP_ORIGIN_LISTED);
    cr_expect_eq(find("http://a.example:80", "http://a.example"), CW_HTTP_ORIGIN_LISTED);
    cr_expect_eq(find("http://a.example:443", "http://a.example"), CW_HTTP_ORIGIN_NOT_LISTED);
}

Test(http_origins, a_star_is_any_and_no_list_is_nobody)
{
    cr_expect_eq(find("*", "https://a.example"), CW_HTTP_ORIGIN_ANY);
    cr_expect_eq(find(" * ", "null"), CW_HTTP_ORIGIN_ANY);
    cr_expect_eq(find(NULL, "https://a.example"), CW_HTTP_ORIGIN_NOT_LISTED);
    cr_expect_eq(cw_http_origin_find("https://a.example", (struct cw_span){NULL, 0}),
                 CW_HTTP_ORIGIN_NOT_LISTED);
}

Test(http_origins, lists_are_judged)
{
    cr_expect(is_allowed("*"));
    cr_expect(is_allowed("null"));
    cr_expect(is_allowed("https://a.example,http://[::1]:8080  capacitor://localhost"));
    cr_expect_not(is_allowed(""));
    cr_expect_not(is_allowed(" , "));
    cr_expect_not(is_allowed("* https://a.example"));
    cr_expect_not(is_allowed("a.example"));
    cr_expect_not(is_allowed("https://a.example/"));
    cr_expect_not(is_allowed("https://a.example/path"));
    cr_expect_not(is_allowed("https://me@a.example"));
    cr_expect_not(is_allowed("https://*.example"));
    cr_expect_not(is_allowed("https://a.example:0"));
    cr_expect_not(is_allowed("https://a.example:70000"));
    cr_expect_not(is_allowed("https://a.example:"));
    cr_expect_not(is_allowed("https://"));
    cr_expect_not(is_allowed("://a.example"));
    cr_expect_not(is_allowed("https://a.example\r\nx: y"));
}

Test(http_origins, a_fault_names_the_word)
{
    struct cw_span word;

    cr_assert_not_null(cw_http_origins_fault("https://a.example b.example", &word));
    cr_expect(cw_span_equal(word, cw_span_text("b.example")));
}

/* What the client would like. */
#include "support/leak.h"

#include <causeway/error.h>
#include <causeway/http_fields.h>
#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(http_negotiate, .fini = rig_expect_no_leak, .timeout = 30);

static const struct cw_span absent = {NULL, 0};

static void expect_quality(const char *field, const char *value, const char *offer, int wanted)
{
    int got = cw_http_quality(field, cw_span_text(value), offer);

    cr_expect_eq(got, wanted, "%s: %s, %s: %d instead of %d", field, value, offer, got, wanted);
}

static int choice(const char *field, const char *value, const char *const *offers)
{
    return cw_http_negotiate(field, cw_span_text(value), offers);
}

/* ---- weights ---- */

Test(http_negotiate, a_weight_is_0_to_1_with_three_digits_at_most)
{
    expect_quality("Accept", "a/b", "a/b", 1000);
    expect_quality("Accept", "a/b;q=1", "a/b", 1000);
    expect_quality("Accept", "a/b;q=1.000", "a/b", 1000);
    expect_quality("Accept", "a/b ; Q=0.5", "a/b", 500);
    expect_quality("Accept", "a/b;q=0.333", "a/b", 333);
    expect_quality("Accept", "a/b;q=0.001", "a/b", 1);
    expect_quality("Accept", "a/b;q=0.", "a/b", 0);
    expect_quality("Accept", "a/b;q=0", "a/b", 0);
    expect_quality("Accept", "a/b;q=0.000", "a/b", 0);
}

Test(http_negotiate, an_element_with_a_malformed_weight_is_not_there)
{
    static const char *const weights[] = {"0.3333", "1.001", "1.1",    "2",    "-1",   "+1",
                                          ".5",     "0,5",   "00",     "x",    "0.5x", "",
                                          "\"1\"",  "1e0",   "0.0000", "0..5", "0.5.", "0.5 5"};
    char value[64];

    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
        snprintf(value, sizeof value, "a/b;q=%s, c/d", weights[i]);
        expect_quality("Accept", value, "a/b", 0);
        expect_quality("Accept", value, "c/d", 1000);
        snprintf(value, sizeof value, "gzip;q=%s, br", weights[i]);
        expect_quality("Accept-Encoding", value, "gzip", 0);
    }
    expect_quality("Accept", "a/b;q=0.5;q=0.7", "a/b", 1000); /* nothing is left of it */
}

/* ---- Accept ---- */

Test(http_negotiate, no_field_wants_everything)
{
    cr_expect_eq(cw_http_quality("Accept", absent, "a/b"), 1000);
    cr_expect_eq(cw_http_quality("Accept-Encoding", absent, "gzip"), 1000);
    cr_expect_eq(cw_http_quality("Accept-Language", absent, "en"), 1000);
    cr_expect_eq(cw_http_negotiate("Accept", absent, (const char *const[]){"a/b", "c/d", NULL}), 0);
}

Test(http_negotiate, a_field_without_a_sound_element_wants_everything)
{
    expect_quality("Accept", "", "a/b", 1000);
    expect_quality("Accept", ", ,", "a/b", 1000);
    expect_quality("Accept", "*", "a/b", 1000);
    expect_quality("Accept", "a/b/c, /b, a/, */b", "x/y", 1000);
    expect_quality("Accept-Language", ";q=1", "en", 1000);
}

Test(http_negotiate, the_most_specific_media_range_counts)
{
    /* The example of RFC 9110 section 12.5.1. */
    const char *value = "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed, "
                        "text/plain;format=fixed;q=0.4, */*;q=0.5";

    expect_quality("Accept", value, "text/plain;format=flowed", 1000);
    expect_quality("Accept", value, "text/plain", 700);
    expect_quality("Accept", value, "text/html", 300);
    expect_quality("Accept", value, "image/jpeg", 500);
    expect_quality("Accept", value, "text/plain;format=fixed", 400);
    expect_quality("Accept", value, "TEXT/HTML;level=3", 300);
}

Test(http_negotiate, a_media_range_with_parameters_wants_them)
{
    expect_quality("Accept", "text/html;charset=utf-8", "text/html", 0);
    expect_quality("Accept", "text/html;charset=utf-8", "text/html; charset=UTF-8", 1000);
    expect_quality("Accept", "text/html;charset=\"utf-8\"", "text/html; charset=utf-8", 1000);
    expect_quality("Accept", "text/html;charset=latin1", "text/html; charset=utf-8", 0);
    expect_quality("Accept", "text/html;q=0.5;level=1", "text/html;level=1", 500);
    expect_quality("Accept", "text/html", "text/html; charset=utf-8", 1000);
    expect_quality("Accept", "text/html;a=\"x,y\", b/c", "text/html;a=\"x,y\"", 1000);
}

Test(http_negotiate, what_is_excluded_is_not_wanted_whatever_the_wildcards)
{
    expect_quality("Accept", "*/*, text/html;q=0", "text/html", 0);
    expect_quality("Accept", "text/*;q=0, text/html", "text/html", 1000);
    expect_quality("Accept", "text/*;q=0, */*", "text/html", 0);
    expect_quality("Accept", "*/*;q=0", "text/html", 0);
    expect_quality("Accept", "application/json", "text/html", 0);
}

/* ---- Accept-Encoding ---- */

Test(http_negotiate, identity_is_wanted_unless_it_is_excluded)
{
    expect_quality("Accept-Encoding", "", "identity", 1);
    expect_quality("Accept-Encoding", "gzip", "identity", 1);
    expect_quality("Accept-Encoding", "identity;q=0", "identity", 0);
    expect_quality("Accept-Encoding", "*;q=0", "identity", 0);
    expect_quality("Accept-Encoding", "gzip, *;q=0", "identity", 0);
    expect_quality("Accept-Encoding", "*;q=0, identity;q=0.5", "identity", 500);
    expect_quality("Accept-Encoding", "*", "identity", 1000);
    expect_quality("Accept-Encoding", "identity;q=0, *", "identity", 0);
}

Test(http_negotiate, other_codings_are_wanted_only_by_name_or_asterisk)
{
    expect_quality("Accept-Encoding", "", "gzip", 0);
    expect_quality("Accept-Encoding", "br", "gzip", 0);
    expect_quality("Accept-Encoding", "GZIP;q=0.8", "gzip", 800);
    expect_quality("Accept-Encoding", "x-gzip", "gzip", 1000);
    expect_quality("Accept-Encoding", "gzip", "x-gzip", 1000);
    expect_quality("Accept-Encoding", "x-br", "br", 0);
    expect_quality("Accept-Encoding", "*;q=0.2", "gzip", 200);
    expect_quality("Accept-Encoding", "*;q=0.2, gzip;q=0", "gzip", 0);
    expect_quality("Accept-Encoding", "gzip;q=0, *;q=0.2", "gzip", 0);
    expect_quality("Accept-Encoding", "gzipped", "gzip", 0);
    expect_quality("Accept-Encoding", "gzip;level=9", "gzip", 0);
}

Test(http_negotiate, a_coding_that_is_asked_for_comes_before_identity)
{
    static const char *const offers[] = {"br", "gzip", "identity", NULL};

    cr_expect_eq(choice("Accept-Encoding", "gzip;q=0.1", offers), 1);
    cr_expect_eq(choice("Accept-Encoding", "gzip, deflate, br", offers), 0);
    cr_expect_eq(choice("Accept-Encoding", "gzip;q=1.0, identity; q=0.5, *;q=0", offers), 1);
    cr_expect_eq(choice("Accept-Encoding", "", offers), 2);
    cr_expect_eq(choice("Accept-Encoding", "gzip;q=0, identity;q=0", offers), CW_ENOTFOUND);
    cr_expect_eq(choice("Accept-Encoding", "*;q=0", offers), CW_ENOTFOUND);
    cr_expect_eq(choice("Accept-Encoding", "gzip;q=0.5, identity", offers), 2);
}

/* ---- the others ---- */

Test(http_negotiate, a_language_fits_by_its_prefix)
{
    expect_quality("Accept-Language", "en", "en-GB", 1000);
    expect_quality("Accept-Language", "en-gb", "en-GB", 1000);
    expect_quality("Accept-Language", "en-GB", "en", 0);
    expect_quality("Accept-Language", "en", "eng", 0);
    expect_quality("Accept-Language", "da, en-gb;q=0.8, en;q=0.7", "en-GB-oxford", 800);
    expect_quality("Accept-Language", "da, en-gb;q=0.8, en;q=0.7", "en-US", 700);
    expect_quality("Accept-Language", "*;q=0.1, da", "fr", 100);
    expect_quality("Accept-Language", "*, fr;q=0", "fr-CA", 0);
    expect_quality("Accept-Language", "da", "fr", 0);
}

Test(http_negotiate, a_charset_fits_by_name_or_asterisk)
{
    expect_quality("accept-charset", "iso-8859-5, Unicode-1-1;q=0.8", "unicode-1-1", 800);
    expect_quality("Accept-Charset", "*;q=0.3", "utf-8", 300);
    expect_quality("Accept-Charset", "utf-16", "utf-8", 0);
}

Test(http_negotiate, the_first_of_equals_is_chosen)
{
    static const char *const offers[] = {"application/json", "text/html", "text/plain", NULL};

    cr_expect_eq(choice("Accept", "*/*", offers), 0);
    cr_expect_eq(choice("Accept", "text/*", offers), 1);
    cr_expect_eq(choice("Accept", "text/html;q=0.9, text/plain", offers), 2);
    cr_expect_eq(choice("Accept", "image/png", offers), CW_ENOTFOUND);
    cr_expect_eq(choice("Accept", "text/html,application/xhtml+xml,*/*;q=0.8", offers), 1);
    cr_expect_eq(choice("Accept", "*/*", (const char *const[]){NULL}), CW_ENOTFOUND);
}

/* Validators and preconditions. */
#include "http/http_fields_impl.h"
#include "support/leak.h"

#include <causeway/http_fields.h>
#include <criterion/criterion.h>

TestSuite(http_conditions, .fini = rig_expect_no_leak, .timeout = 30);

#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define EXACTLY "Sun, 06 Nov 1994 08:49:37 GMT"
#define AFTER "Sun, 06 Nov 1994 08:49:38 GMT"

static const struct cw_http_validators both = {"\"v1\"", 784111777, true};
static const struct cw_http_validators weak = {"W/\"v1\"", 784111777, true};
static const struct cw_http_validators nothing = {NULL, INT64_MIN, false};
static const struct cw_http_validators no_date = {"\"v1\"", INT64_MIN, true};
static const struct cw_http_validators no_tag = {NULL, 784111777, true};

struct asked {
    const char *if_match;
    const char *if_none_match;
    const char *if_modified_since;
    const char *if_unmodified_since;
};

static struct cw_span field(const char *text)
{
    return text != NULL ? cw_span_text(text) : (struct cw_span){NULL, 0};
}

static int judge(struct asked asked, const struct cw_http_validators *state, bool reads)
{
    struct cw_http_conditions conditions = {
        .if_match = field(asked.if_match),
        .if_none_match = field(asked.if_none_match),
        .if_modified_since = field(asked.if_modified_since),
        .if_unmodified_since = field(asked.if_unmodified_since),
    };

    return cw_http_judge(&conditions, state, reads, 800000000);
}

/* ---- tags ---- */

Test(http_conditions, tags_are_compared_weakly_or_strongly)
{
    /* The table of RFC 9110 section 8.8.3.2. */
    cr_expect_not(cw_http_etag_in(cw_span_text("W/\"1\""), "W/\"1\"", false));
    cr_expect(cw_http_etag_in(cw_span_text("W/\"1\""), "W/\"1\"", true));
    cr_expect_not(cw_http_etag_in(cw_span_text("W/\"1\""), "W/\"2\"", true));
    cr_expect_not(cw_http_etag_in(cw_span_text("W/\"1\""), "\"1\"", false));
    cr_expect(cw_http_etag_in(cw_span_text("W/\"1\""), "\"1\"", true));
    cr_expect_not(cw_http_etag_in(cw_span_text("\"1\""), "W/\"1\"", false));
    cr_expect(cw_http_etag_in(cw_span_text("\"1\""), "\"1\"", false));
    cr_expect(cw_http_etag_in(cw_span_text("\"1\""), "\"1\"", true));
}

Test(http_conditions, a_tag_is_found_anywhere_in_a_list)
{
    cr_expect(cw_http_etag_in(cw_span_text("\"a\", \"b\" ,W/\"c\""), "\"b\"", false));
    cr_expect(cw_http_etag_in(cw_span_text("\"a\",,\t\"b\","), "\"b\"", false));
    cr_expect(cw_http_etag_in(cw_span_text("\"\""), "\"\"", false));
    cr_expect_not(cw_http_etag_in(cw_span_text("\"A\""), "\"a\"", true));
    cr_expect_not(cw_http_etag_in(cw_span_text(""), "\"a\"", true));
    cr_expect_not(cw_http_etag_in((struct cw_span){NULL, 0}, "\"a\"", true));
}

Test(http_conditions, commas_and_backslashes_stand_in_tags_as_they_are)
{
    cr_expect(cw_http_etag_in(cw_span_text("\"a,b\", \"c\""), "\"a,b\"", false));
    cr_expect(cw_http_etag_in(cw_span_text("\"a\\\", \"c\""), "\"c\"", false));
    cr_expect(cw_http_etag_in(cw_span_text("\"a\\\", \"c\""), "\"a\\\"", false));
    cr_expect_not(cw_http_etag_in(cw_span_text("\"x, \"c\", y\""), "\"x, \"", false));
}

Test(http_conditions, what_is_no_tag_is_passed_over)
{
    cr_expect(cw_http_etag_in(cw_span_text("rubbish, \"a\""), "\"a\"", false));
    cr_expect_not(cw_http_etag_in(cw_span_text("a"), "\"a\"", true));
    cr_expect_not(cw_http_etag_in(cw_span_text("'a'"), "\"a\"", true));
    cr_expect_not(cw_http_etag_in(cw_span_text("\"a"), "\"a\"", true));
    cr_expect_not(cw_http_etag_in(cw_span_text("w/\"a\""), "\"a\"", true));
    cr_expect_not(cw_http_etag_in(cw_span_text("W/ \"a\""), "\"a\"", true));
    cr_expect_not(cw_http_etag_in(cw_span_text("\"a\"x"), "\"a\"", true));
    cr_expect_not(cw_http_etag_in(cw_span_text("\"a b\""), "\"a b\"", true));
    cr_expect_not(cw_http_etag_in(cw_span_text("*"), "\"a\"", true));
    cr_expect_not(cw_http_etag_in(cw_span_text("\"a\""), "a", true));
}

/* ---- preconditions ---- */

Test(http_conditions, without_conditions_it_goes_on)
{
    cr_expect_eq(judge((struct asked){0}, &both, true), 0);
    cr_expect_eq(judge((struct asked){0}, &nothing, false), 0);
}

Test(http_conditions, if_match_wants_the_same_state_by_strong_comparison)
{
    cr_expect_eq(judge((struct asked){.if_match = "\"v1\""}, &both, false), 0);
    cr_expect_eq(judge((struct asked){.if_match = "\"v0\", \"v1\""}, &both, false), 0);
    cr_expect_eq(judge((struct asked){.if_match = "\"v0\""}, &both, false), 412);
    cr_expect_eq(judge((struct asked){.if_match = "\"v0\""}, &both, true), 412);
    cr_expect_eq(judge((struct asked){.if_match = "W/\"v1\""}, &both, false), 412);
    cr_expect_eq(judge((struct asked){.if_match = "W/\"v1\""}, &weak, false), 412);
    cr_expect_eq(judge((struct asked){.if_match = ""}, &both, false), 412);
    cr_expect_eq(judge((struct asked){.if_match = "\"v1\""}, &nothing, false), 412);
}

Test(http_conditions, an_asterisk_asks_whether_there_is_any_state)
{
    cr_expect_eq(judge((struct asked){.if_match = "*"}, &no_tag, false), 0);
    cr_expect_eq(judge((struct asked){.if_match = "*"}, &nothing, false), 412);
    cr_expect_eq(judge((struct asked){.if_none_match = "*"}, &nothing, false), 0);
    cr_expect_eq(judge((struct asked){.if_none_match = "*"}, &no_tag, false), 412);
    cr_expect_eq(judge((struct asked){.if_none_match = "*"}, &no_tag, true), 304);
    cr_expect_eq(judge((struct asked){.if_none_match = "\"x\", *"}, &both, true), 0);
}

Test(http_conditions, if_none_match_answers_reads_with_304_and_writes_with_412)
{
    cr_expect_eq(judge((struct asked){.if_none_match = "\"v1\""}, &both, true), 304);
    cr_expect_eq(judge((struct asked){.if_none_match = "W/\"v1\""}, &both, true), 304);
    cr_expect_eq(judge((struct asked){.if_none_match = "\"v1\""}, &weak, true), 304);
    cr_expect_eq(judge((struct asked){.if_none_match = "\"v1\""}, &both, false), 412);
    cr_expect_eq(judge((struct asked){.if_none_match = "\"v0\""}, &both, true), 0);
    cr_expect_eq(judge((struct asked){.if_none_match = "\"v1\""}, &nothing, true), 0);
}

Test(http_conditions, if_modified_since_is_for_reads)
{
    cr_expect_eq(judge((struct asked){.if_modified_since = BEFORE}, &both, true), 0);
    cr_expect_eq(judge((struct asked){.if_modified_since = EXACTLY}, &both, true), 304);
    cr_expect_eq(judge((struct asked){.if_modified_since = AFTER}, &both, true), 304);
    cr_expect_eq(judge((struct asked){.if_modified_since = EXACTLY}, &both, false), 0);
    cr_expect_eq(
        judge((struct asked){.if_modified_since = "Sunday, 06-Nov-94 08:49:37 GMT"}, &both, true),
        304);
}

Test(http_conditions, if_unmodified_since_refuses_what_has_changed)
{
    cr_expect_eq(judge((struct asked){.if_unmodified_since = BEFORE}, &both, false), 412);
    cr_expect_eq(judge((struct asked){.if_unmodified_since = BEFORE}, &both, true), 412);
    cr_expect_eq(judge((struct asked){.if_unmodified_since = EXACTLY}, &both, false), 0);
    cr_expect_eq(judge((struct asked){.if_unmodified_since = AFTER}, &both, false), 0);
}

Test(http_conditions, dates_that_are_none_or_have_nothing_to_compare_with_are_not_looked_at)
{
    cr_expect_eq(judge((struct asked){.if_modified_since = "tomorrow"}, &both, true), 0);
    cr_expect_eq(judge((struct asked){.if_unmodified_since = "yesterday"}, &both, false), 0);
    cr_expect_eq(judge((struct asked){.if_modified_since = AFTER}, &no_date, true), 0);
    cr_expect_eq(judge((struct asked){.if_unmodified_since = BEFORE}, &no_date, false), 0);
}

Test(http_conditions, tags_go_before_dates)
{
    /* RFC 9110 sections 13.1.3 and 13.1.4: a date beside its tag is not looked at. */
    cr_expect_eq(
        judge((struct asked){.if_none_match = "\"v0\"", .if_modified_since = AFTER}, &both, true),
        0);
    cr_expect_eq(
        judge((struct asked){.if_match = "\"v1\"", .if_unmodified_since = BEFORE}, &both, false), 0);
}

Test(http_conditions, what_must_match_is_judged_first)
{
    cr_expect_eq(
        judge((struct asked){.if_match = "\"v0\"", .if_none_match = "\"v1\""}, &both, true), 412);
    cr_expect_eq(
        judge((struct asked){.if_match = "\"v1\"", .if_none_match = "\"v1\""}, &both, true), 304);
    cr_expect_eq(judge((struct asked){.if_unmodified_since = BEFORE, .if_none_match = "\"v1\""},
                       &both, true),
                 412);
    cr_expect_eq(
        judge((struct asked){.if_match = "\"v1\"", .if_modified_since = AFTER}, &both, true), 304);
}

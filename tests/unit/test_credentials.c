#include "credentials.h"
#include "support/leak.h"

#include <criterion/criterion.h>

TestSuite(credentials, .fini = rig_expect_no_leak, .timeout = 30);

static char buffer[256];
static const char *name;
static const char *password;

static enum cw_credentials_found basic(const char *field)
{
    memset(buffer, 'x', sizeof buffer);
    name = password = NULL;
    return cw_credentials_basic(cw_span_text(field), buffer, &name, &password);
}

static enum cw_credentials_found bearer(const char *field)
{
    struct cw_span token;

    return cw_credentials_bearer(cw_span_text(field), &token);
}

Test(credentials, name_and_password_are_read)
{
    cr_assert_eq(basic("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), CW_CREDENTIALS_GOOD);
    cr_expect_str_eq(name, "Aladdin");
    cr_expect_str_eq(password, "open sesame");
    cr_assert_eq(basic("bASIC   dGVzdDoxMjPCow=="), CW_CREDENTIALS_GOOD); /* RFC 7617 §2.1 */
    cr_expect_str_eq(name, "test");
    cr_expect_str_eq(password, "123\xc2\xa3");
}

Test(credentials, a_password_may_hold_colons_and_be_empty)
{
    cr_assert_eq(basic("Basic YTpiOmM="), CW_CREDENTIALS_GOOD);
    cr_expect_str_eq(name, "a");
    cr_expect_str_eq(password, "b:c");
    cr_assert_eq(basic("Basic YTo="), CW_CREDENTIALS_GOOD);
    cr_expect_str_eq(password, "");
}

Test(credentials, another_scheme_is_none)
{
    cr_expect_eq(basic(""), CW_CREDENTIALS_NONE);
    cr_expect_eq(basic("Bearer abc"), CW_CREDENTIALS_NONE);
    cr_expect_eq(basic("Basically YTpi"), CW_CREDENTIALS_NONE);
    cr_expect_eq(bearer("Basic YTpi"), CW_CREDENTIALS_NONE);
    cr_expect_eq(bearer("Bear"), CW_CREDENTIALS_NONE);
}

Test(credentials, base64_is_taken_strictly)
{
    static const char *const bad[] = {
        "Basic",           "Basic ",          "Basic YTpi=", "Basic YTp",      "Basic YTo",
        "Basic YTp\xc3",   "Basic YTpi YTpi", "Basic YT==",  "Basic YTo=YTpi", "Basic YTp=",
        "Basic ====",      "Basic =TpiYTpi",  "Basic YTp-",  "Basic YTpi,",    "Basic\tYTpi",
        "Basic YTpiYTo\n", "Basic YR==",
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        enum cw_credentials_found found = basic(bad[i]);
        cr_expect_neq(found, CW_CREDENTIALS_GOOD, "%s", bad[i]);
    }
    cr_expect_eq(basic("Basic YTpi"), CW_CREDENTIALS_GOOD);
}

Test(credentials, control_characters_and_a_missing_colon_are_malformed)
{
    cr_expect_eq(basic("Basic YWI="), CW_CREDENTIALS_BAD);     /* ab */
    cr_expect_eq(basic("Basic YToA"), CW_CREDENTIALS_BAD);     /* a: and a zero byte */
    cr_expect_eq(basic("Basic YTphCmI="), CW_CREDENTIALS_BAD); /* a:a, a line end, b */
    cr_expect_eq(basic("Basic YTp/"), CW_CREDENTIALS_BAD);     /* a: and 7f */
}

Test(credentials, a_token_is_read)
{
    struct cw_span token;

    cr_assert_eq(cw_credentials_bearer(cw_span_text("bearer mF_9.B5f-4.1JqM~+/=="), &token),
                 CW_CREDENTIALS_GOOD);
    cr_expect(cw_span_equal(token, cw_span_text("mF_9.B5f-4.1JqM~+/==")));
}

Test(credentials, what_is_no_token_is_malformed)
{
    cr_expect_eq(bearer("Bearer"), CW_CREDENTIALS_BAD);
    cr_expect_eq(bearer("Bearer  "), CW_CREDENTIALS_BAD);
    cr_expect_eq(bearer("Bearer =="), CW_CREDENTIALS_BAD);
    cr_expect_eq(bearer("Bearer a b"), CW_CREDENTIALS_BAD);
    cr_expect_eq(bearer("Bearer a=b"), CW_CREDENTIALS_BAD);
    cr_expect_eq(bearer("Bearer a,"), CW_CREDENTIALS_BAD);
    cr_expect_eq(bearer("Bearer \"a\""), CW_CREDENTIALS_BAD);
}

/* The middleware of docs/writing-middleware.md is this one, letter by letter, and it does what the page says. */
#include "docs/quota.c"
#include "support/leak.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(writing_middleware, .fini = rig_expect_no_leak, .timeout = 30);

static char *text_of(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 65536);

    cr_assert_not_null(file, "%s", path);
    cr_assert_not_null(text);
    cr_assert_lt(fread(text, 1, 65535, file), 65535);
    fclose(file);
    return text;
}

Test(writing_middleware, the_page_quotes_this_source)
{
    char *source = text_of(CW_SOURCE_DIR "/tests/docs/quota.c");
    char *page = text_of(CW_SOURCE_DIR "/docs/writing-middleware.md");

    cr_expect_not_null(strstr(page, source));
    free(source);
    free(page);
}

static char logged[500];

static void keep_line(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    snprintf(logged, sizeof logged, "%s", text);
}

static int say(struct cw_conn_middleware *quota, void *slot, size_t len)
{
    static const uint8_t bytes[100];
    struct cw_message msg = {.body = cw_span_of(bytes, len)};

    return quota->on_message(quota, NULL, slot, &msg);
}

Test(writing_middleware, the_quota_passes_and_one_byte_more_closes)
{
    struct cw_conn_middleware *quota = quota_new(10);
    struct used one = {0};
    struct used other = {0};

    cw_log_set(keep_line, NULL);
    cr_assert_not_null(quota);
    cr_expect_eq(say(quota, &one, 6), CW_PASS);
    cr_expect_eq(say(quota, &one, 5), CW_ERATE);
    cr_expect_eq(say(quota, &one, 4), CW_PASS);
    cr_expect_eq(say(quota, &one, 1), CW_ERATE);
    cr_expect_eq(say(quota, &other, 10), CW_PASS);
    quota->on_close(quota, NULL, &one);
    quota->on_close(quota, NULL, &other);
    quota->release(quota);
    cr_expect_str_eq(logged, "quota: 20 bytes in all");
}

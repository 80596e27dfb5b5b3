/* The options of line and what it refuses to send; what it reads is in contract/contract_line.c. */
#include "support/leak.h"

#include <causeway/line.h>
#include <causeway/payload.h>
#include <causeway/protocol.h>
#include <criterion/criterion.h>

TestSuite(line, .fini = rig_expect_no_leak, .timeout = 30);

static struct cw_line_options settled(struct cw_line_options options)
{
    struct cw_complaint complaint = {""};

    cr_assert_eq(cw_line.configure(&options, &complaint), CW_OK, "%s", complaint.text);
    return options;
}

static void expect_refused(struct cw_line_options options, const char *text)
{
    struct cw_complaint complaint = {""};

    cr_assert_eq(cw_line.configure(&options, &complaint), CW_EINVAL, "allowed: %s", text);
    cr_assert_str_eq(complaint.text, text);
}

Test(line, the_default_limit_is_8192)
{
    struct cw_line_options options = settled((struct cw_line_options){0});

    cr_assert_eq(options.line_max_bytes, 8192);
    cr_assert_eq(cw_line.message_max(&options), 8194, "with its \\r\\n");
    cw_line.release(&options);
}

Test(line, the_delimiter_is_copied)
{
    char text[] = "--";
    struct cw_line_options options = settled((struct cw_line_options){.delimiter = text});

    cr_assert_neq(options.delimiter, text);
    text[0] = '?';
    cr_assert_str_eq(options.delimiter, "--");
    cw_line.release(&options);
}

Test(line, a_delimiter_has_1_to_16_bytes)
{
    struct cw_line_options options =
        settled((struct cw_line_options){.delimiter = "0123456789abcdef"});

    cw_line.release(&options);
    expect_refused((struct cw_line_options){.delimiter = ""}, "delimiter: not of 1 to 16 bytes");
    expect_refused((struct cw_line_options){.delimiter = "0123456789abcdefg"},
                   "delimiter: not of 1 to 16 bytes");
}

Test(line, a_limit_beyond_memory_is_refused_and_no_limit_is_not)
{
    struct cw_line_options options =
        settled((struct cw_line_options){.line_max_bytes = CW_NO_LIMIT});

    cr_assert_lt(options.line_max_bytes, (uint64_t)PTRDIFF_MAX);
    cw_line.release(&options);
    expect_refused((struct cw_line_options){.line_max_bytes = UINT64_MAX / 2},
                   "line_max_bytes: 9223372036854775807 is more than memory can hold");
}

/* What encode says to a body, and its bytes when it says yes. */
static int encoded(struct cw_line_options options, const char *body, const char *bytes)
{
    struct cw_message msg = cw_message_text(body);
    struct cw_payload *payload = NULL;

    options = settled(options);

    int code = cw_line.encode(&(struct cw_wire_format){.options = &options}, &msg, &payload);

    if (code == CW_OK) {
        cr_assert(cw_span_equal(cw_payload_span(payload), cw_span_text(bytes)));
    }
    cw_payload_drop(payload);
    cw_line.release(&options);
    return code;
}

Test(line, the_delimiter_is_added)
{
    cr_assert_eq(encoded((struct cw_line_options){0}, "hello", "hello\n"), CW_OK);
    cr_assert_eq(encoded((struct cw_line_options){0}, "", "\n"), CW_OK);
    cr_assert_eq(encoded((struct cw_line_options){.delimiter = "\r\n"}, "hello", "hello\r\n"),
                 CW_OK);
    cr_assert_eq(encoded((struct cw_line_options){.delimiter = ";"}, "a\nb", "a\nb;"), CW_OK);
}

Test(line, a_body_with_the_delimiter_in_it_is_refused)
{
    cr_assert_eq(encoded((struct cw_line_options){0}, "a\nb", NULL), CW_EKIND);
    cr_assert_eq(encoded((struct cw_line_options){0}, "\n", NULL), CW_EKIND);
    cr_assert_eq(encoded((struct cw_line_options){.delimiter = "--"}, "a--b", NULL), CW_EKIND);
    cr_assert_eq(encoded((struct cw_line_options){.delimiter = "--"}, "a-b", "a-b--"), CW_OK);
}

Test(line, a_body_that_makes_the_delimiter_come_early_is_refused)
{
    cr_assert_eq(encoded((struct cw_line_options){.delimiter = "--"}, "a-", NULL), CW_EKIND);
    cr_assert_eq(encoded((struct cw_line_options){.delimiter = "aba"}, "xab", NULL), CW_EKIND);
    cr_assert_eq(encoded((struct cw_line_options){.delimiter = "aab"}, "xa", "xaaab"), CW_OK);
    cr_assert_eq(encoded((struct cw_line_options){.delimiter = "\r\n"}, "a\r", "a\r\r\n"), CW_OK);
}

Test(line, a_body_that_ends_in_a_carriage_return_is_refused_by_default_only)
{
    cr_assert_eq(encoded((struct cw_line_options){0}, "a\r", NULL), CW_EKIND);
    cr_assert_eq(encoded((struct cw_line_options){0}, "a\rb", "a\rb\n"), CW_OK);
    cr_assert_eq(encoded((struct cw_line_options){.delimiter = "\n"}, "a\r", "a\r\n"), CW_OK);
}

Test(line, the_limit_counts_the_body_alone)
{
    struct cw_line_options options = {.line_max_bytes = 5};

    cr_assert_eq(encoded(options, "12345", "12345\n"), CW_OK);
    cr_assert_eq(encoded(options, "123456", NULL), CW_ETOOBIG);
}

Test(line, a_piece_is_not_a_line)
{
    struct cw_line_options options = settled((struct cw_line_options){0});
    struct cw_message msg = {.part = CW_CHUNK, .body = cw_span_text("a")};
    struct cw_payload *payload = NULL;

    cr_assert_eq(cw_line.encode(&(struct cw_wire_format){.options = &options}, &msg, &payload),
                 CW_EKIND);
    cw_line.release(&options);
}

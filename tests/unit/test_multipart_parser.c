#include "multipart_parser.h"
#include "support/leak.h"
#include "support/parts_story.h"

#include <causeway/error.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(multipart_parser, .fini = rig_expect_no_leak, .timeout = 60);

enum { HEAD_CAP = 512 };

#define A "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n"
#define END "\r\n--b--\r\n"
#define SPAN(text) cw_span_of(text, sizeof(text) - 1)

struct cuts {
    size_t first; /* of the first piece; 0: every piece is one byte */
    bool past;
};

static size_t cut(size_t left, void *arg)
{
    struct cuts *cuts = arg;

    if (cuts->first == 0) {
        return 1;
    }
    size_t len = cuts->past ? left : cuts->first;
    cuts->past = true;
    return len;
}

static void expect_one(struct cw_span body, struct cuts *cuts, struct cw_span wanted)
{
    size_t len;
    char *story = parts_story("b", body, HEAD_CAP, cuts ? cut : NULL, cuts, &len);

    cr_expect(cw_span_equal(cw_span_of(story, len), wanted), "cut at %zu: %s\ninstead of\n%s",
              cuts ? cuts->first : 9999, story, (const char *)wanted.data);
    free(story);
}

/* Whole, byte by byte, and cut at every point. */
static void expect_story(struct cw_span body, struct cw_span wanted)
{
    expect_one(body, NULL, wanted);
    for (size_t first = 0; first < body.len; first++) {
        struct cuts cuts = {first, false};
        expect_one(body, &cuts, wanted);
    }
}

#define EXPECT(body, story) expect_story(SPAN(body), SPAN(story))

/* The story of one part with this head, without the brackets. */
static void expect_head(const char *head, const char *wanted)
{
    char body[1024];
    char story[1024];

    snprintf(body, sizeof body, "--b\r\n%s\r\n\r\n" END, head);
    snprintf(story, sizeof story, "[%s];.", wanted);
    expect_story(cw_span_text(body), cw_span_text(story));
}

static void expect_disposition(const char *parameters, const char *wanted)
{
    char head[512];

    snprintf(head, sizeof head, "Content-Disposition: form-data; %s", parameters);
    expect_head(head, wanted);
}

/* ---- borders ---- */

Test(multipart_parser, parts_are_told_one_after_the_other)
{
    EXPECT(A "one\r\n"
             "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.bin\"\r\n"
             "Content-Type: image/png\r\n\r\n"
             "two" END,
           "[a|-|-]one;[f|x.bin|image/png]two;.");
}

Test(multipart_parser, a_body_without_parts_is_whole)
{
    EXPECT("--b--\r\n", ".");
    EXPECT("--b--", ".");
    EXPECT("\r\n--b--\r\n", ".");
}

Test(multipart_parser, preamble_and_epilogue_are_left_aside)
{
    EXPECT("This is a body in parts.\r\n-- b\r\n--a\r\n\r--\n\r\n" A "x" END "the end\r\n" A "y" END,
           "[a|-|-]x;.");
}

Test(multipart_parser, a_boundary_counts_only_at_the_start_of_a_line)
{
    EXPECT("x--b--" END, ".");
    EXPECT(A "x--b--\n--b--\r--b--" END, "[a|-|-]x--b--\n--b--\r--b--;.");
}

Test(multipart_parser, what_nearly_is_a_boundary_is_data)
{
    EXPECT(A "\r" END, "[a|-|-]\r;.");
    EXPECT(A "\r\n" END, "[a|-|-]\r\n;.");
    EXPECT(A "\r\n-" END, "[a|-|-]\r\n-;.");
    EXPECT(A "\r\n--" END, "[a|-|-]\r\n--;.");
    EXPECT(A "\r\n--a\r\n--\r\n-\r\n\r\r\n" END, "[a|-|-]\r\n--a\r\n--\r\n-\r\n\r\r\n;.");
    EXPECT(A "-" END, "[a|-|-]-;.");
    EXPECT(A "--" END, "[a|-|-]--;.");
    EXPECT(A "--a" END, "[a|-|-]--a;.");
}

Test(multipart_parser, data_may_hold_any_byte)
{
    EXPECT(A "\0\1\x80\xff\r\0\n" END, "[a|-|-]\0\1\x80\xff\r\0\n;.");
}

Test(multipart_parser, a_part_may_be_empty_or_have_no_body)
{
    EXPECT(A END, "[a|-|-];.");
    EXPECT(A "--b--\r\n", "[a|-|-];.");
    EXPECT(A A "x" END, "[a|-|-];[a|-|-]x;.");
}

Test(multipart_parser, space_behind_a_boundary_is_padding)
{
    EXPECT("--b \t \r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n--b-- \t\r\n",
           "[a|-|-]x;.");
}

Test(multipart_parser, a_line_that_begins_like_a_boundary_is_refused)
{
    EXPECT("--bb\r\n", "!A line begins like a boundary and goes on otherwise");
    EXPECT("--b-x\r\n", "!A line begins like a boundary and goes on otherwise");
    EXPECT("--b\n", "!A line begins like a boundary and goes on otherwise");
    EXPECT("--b\rx", "!A bare CR follows a boundary");
    EXPECT(A "x\r\n--bx", "[a|-|-]x!A line begins like a boundary and goes on otherwise");
}

Test(multipart_parser, endless_space_behind_a_boundary_is_refused)
{
    char body[400];

    snprintf(body, sizeof body, "--b%300s\r\n", "");
    expect_one(cw_span_text(body), NULL, SPAN("!Too much space follows a boundary"));
}

Test(multipart_parser, a_body_without_its_last_boundary_is_not_whole)
{
    EXPECT("x", "?");
    EXPECT("--b", "?");
    EXPECT("--b-", "?");
    EXPECT("--b\r\n", "?");
    EXPECT("--b\r\nContent-Disposition: form-data; name=a\r\n", "?");
    EXPECT(A "x\r\n--a--\r\n", "[a|-|-]x\r\n--a--?");
    EXPECT(A "x\r\n", "[a|-|-]x?");
    EXPECT(A "x\r\n--b", "[a|-|-]x?");
    EXPECT(A "x\r\n--b-", "[a|-|-]x?");
    EXPECT(A "x\r\n--b\r\n", "[a|-|-]x;?");
}

Test(multipart_parser, boundaries_have_the_characters_and_the_length_of_the_rfc)
{
    static const char *const good[] = {
        "b", "a b", "'()+_,-./:=?", "----WebKitFormBoundary0aZ",
        "1234567890123456789012345678901234567890123456789012345678901234567890"};
    static const char *const bad[] = {
        "",
        " ",
        "b ",
        "a\"b",
        "a;b",
        "a\tb",
        "a\r\nb",
        "\xc3\xa4",
        "a@b",
        "*",
        "12345678901234567890123456789012345678901234567890123456789012345678901"};
    struct cw_multipart parser;
    char head[8];

    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cr_expect_eq(cw_multipart_begin(&parser, cw_span_text(good[i]), head, 8), CW_OK, "%s",
                     good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_expect_eq(cw_multipart_begin(&parser, cw_span_text(bad[i]), head, 8), CW_EINVAL, "%s",
                     bad[i]);
    }
    cr_expect_eq(cw_multipart_begin(&parser, cw_span_of("a\0b", 3), head, 8), CW_EINVAL);
}

Test(multipart_parser, the_longest_boundary_is_found)
{
    static const char boundary[] =
        "1234567890123456789012345678901234567890123456789012345678901234567890";
    char body[400];

    snprintf(body, sizeof body,
             "--%s\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n--%.69s\r\n--%s--",
             boundary, boundary, boundary);
    struct cuts bytes = {0, false};
    char *story = parts_story(boundary, cw_span_text(body), HEAD_CAP, cut, &bytes, NULL);
    char wanted[200];
    snprintf(wanted, sizeof wanted, "[a|-|-]\r\n--%.69s;.", boundary);
    cr_expect_str_eq(story, wanted);
    free(story);
}

/* ---- heads ---- */

Test(multipart_parser, a_head_fits_exactly)
{
    static const char body[] = "--b\r\nContent-Disposition: form-data; name=a\r\n\r\nx" END;
    const size_t exact = sizeof("Content-Disposition: form-data; name=a\r\n\r\n") - 1;
    char *fits = parts_story("b", SPAN(body), exact, NULL, NULL, NULL);
    char *too_long = parts_story("b", SPAN(body), exact - 1, NULL, NULL, NULL);

    cr_expect_str_eq(fits, "[a|-|-]x;.");
    cr_expect_str_eq(too_long, "!The head of a part is too long");
    free(fits);
    free(too_long);
}

Test(multipart_parser, control_characters_and_bare_line_ends_in_a_head_are_refused)
{
    static const char *const heads[] = {"--b\r\na: b\nc: d\r\n\r\n", "--b\r\na: b\rc: d\r\n\r\n",
                                        "--b\r\na: b\r\r\n\r\n",     "--b\r\na: \x01\r\n\r\n",
                                        "--b\r\na: \x7f\r\n\r\n",    "--b\r\n\n"};

    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        expect_story(cw_span_text(heads[i]),
                     SPAN("!The head of a part has a bare CR or LF, or a control character"));
    }
    EXPECT("--b\r\na: \0\r\n", "!The head of a part has a bare CR or LF, or a control character");
}

Test(multipart_parser, names_come_in_any_case_with_and_without_quotes_in_any_order)
{
    expect_head("content-DISPOSITION:FORM-data;NAME=a", "a|-|-");
    expect_head("Content-Disposition: form-data ; filename=f.txt ; x=y ; name=a ;", "a|f.txt|-");
    expect_head(
        "Content-Type:  text/plain; charset=utf-8  \r\nX: y\r\nContent-Disposition: form-data; name=\"a b\"",
        "a b|-|text/plain; charset=utf-8");
    expect_disposition("name=\"\"", "|-|-");
    expect_disposition("name=\"f\"; filename=\"\"", "f||-");
    expect_disposition("name=\"a;b=c\"; filename=\"d; name=e\"", "a;b=c|d; name=e|-");
}

Test(multipart_parser, long_fields_may_be_folded)
{
    expect_head("Content-Disposition: form-data;\r\n name=\"a\";\r\n\tfilename=\"b\"", "a|b|-");
}

Test(multipart_parser, quoted_names_are_read_as_browsers_and_curl_write_them)
{
    expect_disposition("name=\"a%22b%0D%0ac\"", "a\"b\r\nc|-|-");
    expect_disposition("name=\"50%25 %2 %\"", "50%25 %2 %|-|-");
    expect_disposition("name=\"a\\\"b\\\\c\"", "a\"b\\c|-|-");
    expect_disposition("name=\"a\\b\"", "a\\b|-|-");
    expect_disposition("name=\"\xc3\xbc\"; filename=\"\xe2\x82\xac.txt\"",
                       "\xc3\xbc|\xe2\x82\xac.txt|-");
}

Test(multipart_parser, file_names_are_shown_and_lead_nowhere)
{
    expect_disposition("name=f; filename=\"/etc/passwd\"", "f|passwd|-");
    expect_disposition("name=f; filename=\"..\\..\\x.exe\"", "f|x.exe|-");
    expect_disposition("name=f; filename=\"C:\\dir\\x.txt\"", "f|x.txt|-");
    expect_disposition("name=f; filename=\"a/../..\"", "f|_.|-");
    expect_disposition("name=f; filename=\".\"", "f|_|-");
    expect_disposition("name=f; filename=\"...\"", "f|...|-");
    expect_disposition("name=f; filename=\".profile\"", "f|.profile|-");
    expect_disposition("name=f; filename=\"dir/\"", "f||-");
    expect_disposition("name=f; filename=\"a%0D%0Ab\tc\"", "f|a__b_c|-");
}

Test(multipart_parser, an_encoded_file_name_goes_first)
{
    expect_disposition("name=f; filename=\"x\"; filename*=UTF-8''%e2%82%ac%20rates",
                       "f|\xe2\x82\xac rates|-");
    expect_disposition("name=f; filename*=utf-8'en'a.txt; filename=x", "f|a.txt|-");
    expect_disposition("name=f; filename*=UTF-8''..%2Fa%00b%0A", "f|a_b_|-");
}

Test(multipart_parser, names_that_cannot_be_are_refused)
{
    static const char *const malformed =
        "!A parameter of Content-Disposition in a part is malformed";
    static const char *const parameters[] = {
        "name",        "name=",         "name=\"a",     "name=a b", "name=\"a\"b",
        "name =a",     "name= a",       "name=\"a\\\"", "=a",       "name=a=b",
        "name=a, x=b", "name='a;b'c\"", "name=\xc3\xbc"};

    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++) {
        expect_disposition(parameters[i], malformed);
    }
    expect_disposition("name=a; name=b", "!A part has two names, or two file names");
    expect_disposition("name=a; filename=b; filename=\"\"",
                       "!A part has two names, or two file names");
    expect_disposition("name=\"\xc3\"", "!The head of a part is not UTF-8");
    expect_disposition("name=a; filename=\"\xff\"", "!The head of a part is not UTF-8");
    expect_disposition("name=a; filename*=UTF-8''%ff", "!The head of a part is not UTF-8");
    expect_disposition("name=a; filename*=ISO-8859-1''%e4", "!A part's filename* is not in UTF-8");
    expect_disposition("name=a; filename*=UTF-8''%e", "!A part's filename* is malformed");
    expect_disposition("name=a; filename*=UTF-8'x", "!A part's filename* is malformed");
}

Test(multipart_parser, fields_that_cannot_be_are_refused)
{
    static const char *const no_name =
        "!A part has no name (Content-Disposition: form-data; name=\xe2\x80\xa6)";

    EXPECT("--b\r\n\r\nx" END,
           "[!A part has no name (Content-Disposition: form-data; name=\xe2\x80\xa6)]x;.");
    expect_head("Content-Type: a/b", no_name);
    expect_head("Content-Disposition: form-data", no_name);
    expect_disposition("filename=a", no_name);
    expect_head("Content-Disposition: attachment; name=a", "!A part is not form-data");
    expect_head("Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b",
                "!A part has Content-Disposition twice");
    expect_head("Content-Disposition: form-data; name=a\r\nContent-Type: a/b\r\nContent-Type: c/d",
                "!A part has Content-Type twice");
    expect_head("no colon", "!A field in the head of a part is malformed");
    expect_head("a : b", "!A field in the head of a part is malformed");
    expect_head(" a: b", "!A field in the head of a part is malformed");
    expect_head(": b", "!A field in the head of a part is malformed");
}

Test(multipart_parser, parts_are_not_encoded_for_transfer)
{
    expect_head("Content-Transfer-Encoding: binary\r\nContent-Disposition: form-data; name=a",
                "a|-|-");
    expect_head("Content-Transfer-Encoding: 8BIT\r\nContent-Disposition: form-data; name=a",
                "a|-|-");
    expect_head("Content-Transfer-Encoding: base64\r\nContent-Disposition: form-data; name=a",
                "!A part has a Content-Transfer-Encoding; send its bytes as they are");
}

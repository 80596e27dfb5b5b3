#include "support/leak.h"

#include <causeway/error.h>
#include <causeway/json.h>
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdlib.h>

TestSuite(json, .fini = rig_expect_no_leak, .timeout = 30);

/* Parses a copy of exactly these bytes, so that a look past their end is seen. */
static int parse(struct cw_span text, const struct cw_json_limits *limits)
{
    struct cJSON *json = (struct cJSON *)&json;
    uint8_t *copy = malloc(text.len == 0 ? 1 : text.len);

    cr_assert_not_null(copy);
    memcpy(copy, text.data, text.len);
    int code = cw_json_parse(cw_span_of(copy, text.len), limits, &json);
    cr_expect_eq(json == NULL, code != CW_OK);
    cJSON_Delete(json);
    free(copy);
    return code;
}

static int parse_text(const char *text)
{
    return parse(cw_span_text(text), NULL);
}

static void expect_all(const char *const *texts, size_t count, int code)
{
    for (size_t i = 0; i < count; i++) {
        cr_expect_eq(parse_text(texts[i]), code, "%s", texts[i]);
    }
}

#define EXPECT_ALL(texts, code) expect_all(texts, sizeof(texts) / sizeof(texts)[0], code)

static struct cJSON *parsed(const char *text)
{
    struct cJSON *json;

    cr_assert_eq(cw_json_parse(cw_span_text(text), NULL, &json), CW_OK, "%s", text);
    return json;
}

Test(json, every_kind_of_value_is_a_document)
{
    static const char *const texts[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "-12.5e+3",
        "1E5",
        "0.0",
        "1e-7",
        "\"\"",
        "\"a\"",
        "[]",
        "{}",
        "[[],{}]",
        "{\"a\":{\"b\":[1,2,{\"c\":null}]},\"d\":\"e\"}",
        " \t\r\n[ 1 , 2 ] \t\r\n",
        "{ \"a\" : 1 , \"b\" : 2 }",
        "{\"\":0}",
        "[1,[2,[3]],4]",
        "{\"a\":[],\"b\":{},\"c\":[{}]}",
    };

    EXPECT_ALL(texts, CW_OK);
}

Test(json, what_is_not_json_is_refused)
{
    static const char *const texts[] = {
        "",           " ",
        "[",          "]",
        "{",          "}",
        "[}",         "{]",
        "[1",         "[1,",
        "[1,]",       "[,1]",
        "[1 2]",      "[1,,2]",
        "{\"a\"}",    "{\"a\":}",
        "{\"a\":1,}", "{,}",
        "{1:2}",      "{a:1}",
        "{\"a\" 1}",  "{\"a\":1 \"b\":2}",
        "nul",        "nulL",
        "True",       "NaN",
        "Infinity",   "-Infinity",
        "undefined",  "'a'",
        "\"",         "\"a",
        "/**/1",      "1//",
        "[1]#",       "{\"a\":1}}",
        "[]]",        "[[]",
        "[]\v",       "\f1",
    };

    EXPECT_ALL(texts, CW_EJSON);
}

Test(json, anything_but_white_space_behind_the_document_is_refused)
{
    static const char *const texts[] = {"1 2", "{}{}", "[]x", "null,", "\"a\"\"b\"", "truefalse"};

    EXPECT_ALL(texts, CW_EJSON);
}

Test(json, numbers_have_the_form_of_the_rfc)
{
    static const char *const texts[] = {"01", "-01", "+1",    ".5",     "5.",   "1.e1",
                                        "1e", "1e+", "-",     "--1",    "0x10", "1_000",
                                        "00", "-.5", "1.2.3", "[1e1.5]"};

    EXPECT_ALL(texts, CW_EJSON);
}

Test(json, a_number_may_have_63_characters_and_not_64)
{
    char text[65];

    memset(text, '1', sizeof text);
    cr_expect_eq(parse(cw_span_of(text, 63), NULL), CW_OK);
    cr_expect_eq(parse(cw_span_of(text, 64), NULL), CW_ETOOBIG);
}

Test(json, strings_hold_no_bare_control_character_and_only_known_escapes)
{
    static const char *const refused[] = {
        "\"\n\"",  "\"\t\"",    "\"\x1f\"",    "\"\\x41\"",   "\"\\a\"",     "\"\\\"",
        "\"\\'\"", "\"\\u12\"", "\"\\u12G4\"", "\"\\U0041\"", "\"\\u 041\"", "\"\\u-041\"",
    };
    static const char *const allowed[] = {
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0041\\u00e9\\uFFFF\"",
        "\"\x7f\"",
        "\"/\"",
    };

    EXPECT_ALL(refused, CW_EJSON);
    EXPECT_ALL(allowed, CW_OK);
}

Test(json, a_surrogate_stands_only_in_a_pair)
{
    static const char *const refused[] = {
        "\"\\ud800\"",    "\"\\udc00\"",        "\"\\udc00\\ud800\"", "\"\\ud800x\"",
        "\"\\ud800\\n\"", "\"\\ud800\\ud800\"", "\"\\ud83d\\u0041\"", "\"\\udbff\\ue000\""};

    EXPECT_ALL(refused, CW_EJSON);
    struct cJSON *json = parsed("\"\\ud83d\\ude00\"");
    cr_expect_str_eq(json->valuestring, "\xf0\x9f\x98\x80");
    cJSON_Delete(json);
}

Test(json, a_zero_byte_is_refused_however_it_is_written)
{
    cr_expect_eq(parse(cw_span_of("\"a\0b\"", 5), NULL), CW_EJSON);
    cr_expect_eq(parse(cw_span_of("1\0", 2), NULL), CW_EJSON);
    cr_expect_eq(parse(cw_span_of("\0001", 2), NULL), CW_EJSON);
    cr_expect_eq(parse(cw_span_of("[\0]", 3), NULL), CW_EJSON);
    cr_expect_eq(parse_text("\"admin\\u0000x\""), CW_EJSON);
    cr_expect_eq(parse_text("{\"a\\u0000b\":1}"), CW_EJSON);
}

Test(json, strings_are_utf8_of_the_shortest_form)
{
    static const char *const allowed[] = {
        "\"\xc2\x80\"",     "\"\xdf\xbf\"",     "\"\xe0\xa0\x80\"",     "\"\xed\x9f\xbf\"",
        "\"\xee\x80\x80\"", "\"\xef\xbf\xbf\"", "\"\xf0\x90\x80\x80\"", "\"\xf4\x8f\xbf\xbf\"",
    };
    static const char *const refused[] = {
        "\"\x80\"",
        "\"\xbf\"",
        "\"\xc0\x80\"",
        "\"\xc1\xbf\"",
        "\"\xc2\"",
        "\"\xc2 \"",
        "\"\xe0\x9f\xbf\"",
        "\"\xe0\xa0\"",
        "\"\xe1\x80\xc0\"",
        "\"\xed\xa0\x80\"",
        "\"\xed\xbf\xbf\"",
        "\"\xf0\x8f\xbf\xbf\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\xf5\x80\x80\x80\"",
        "\"\xff\"",
        "\"\xf1\x80\x80\"",
        "\"\xf1\x80\x80",
        "\"\xf1\x80\xc0\x80\"",
        "\"\xf1\x80\x80 \"",
        "\xc2\xa0[]",
        "\xef\xbb\xbf{}",
    };

    EXPECT_ALL(allowed, CW_OK);
    EXPECT_ALL(refused, CW_EJSON);
}

/* `[[…]]` or the like, so many times. */
static int parse_nested(size_t depth, const char *open, const char *close, uint64_t depth_max)
{
    size_t open_len = strlen(open);
    size_t close_len = strlen(close);
    char *text = malloc(depth * (open_len + close_len));
    char *end = text;

    cr_assert_not_null(text);
    for (size_t i = 0; i < depth; i++, end += open_len) {
        memcpy(end, open, open_len);
    }
    for (size_t i = 0; i < depth; i++, end += close_len) {
        memcpy(end, close, close_len);
    }
    int code = parse(cw_span_of(text, (size_t)(end - text)),
                     &(struct cw_json_limits){.depth_max = depth_max});
    free(text);
    return code;
}

Test(json, the_depth_passes_and_one_more_is_refused)
{
    cr_expect_eq(parse_nested(32, "[", "]", 0), CW_OK);
    cr_expect_eq(parse_nested(33, "[", "]", 0), CW_ETOOBIG);
    cr_expect_eq(parse_nested(16, "{\"a\":[", "]}", 0), CW_OK);
    cr_expect_eq(parse_nested(17, "{\"a\":[", "]}", 0), CW_ETOOBIG);
    cr_expect_eq(parse_nested(1, "[", "]", 1), CW_OK);
    cr_expect_eq(parse_nested(2, "[", "]", 1), CW_ETOOBIG);
    cr_expect_eq(parse_nested(65, "[", "]", 65), CW_OK);
    cr_expect_eq(parse_nested(66, "[", "]", 65), CW_ETOOBIG);
}

Test(json, no_option_allows_more_than_512_levels)
{
    cr_expect_eq(parse_nested(512, "[", "]", CW_NO_LIMIT), CW_OK);
    cr_expect_eq(parse_nested(513, "[", "]", CW_NO_LIMIT), CW_ETOOBIG);
}

Test(json, levels_that_are_open_remember_what_they_are)
{
    cr_expect_eq(parse_text("{\"a\":[{\"b\":[]}]}"), CW_OK);
    cr_expect_eq(parse_text("{\"a\":[{\"b\":[]]}}"), CW_EJSON);
    cr_expect_eq(parse_text("[{\"a\":1},2]"), CW_OK);
    cr_expect_eq(parse_text("[{\"a\":1,2}]"), CW_EJSON);
    cr_expect_eq(parse_text("{\"a\":[1],\"b\":2}"), CW_OK);
    cr_expect_eq(parse_text("{\"a\":[1],2}"), CW_EJSON);
    cr_expect_eq(parse_text("[[1],{\"a\":2},[3]]"), CW_OK);
}

Test(json, brackets_inside_strings_are_not_depth)
{
    cr_expect_eq(
        parse(cw_span_text("[\"[[[[[\\\"[[[[\"]"), &(struct cw_json_limits){.depth_max = 1}), CW_OK);
}

Test(json, the_size_passes_and_one_byte_more_is_refused)
{
    const struct cw_json_limits limits = {.bytes_max = 4};

    cr_expect_eq(parse(cw_span_text("1234"), &limits), CW_OK);
    cr_expect_eq(parse(cw_span_text("12345"), &limits), CW_ETOOBIG);
    cr_expect_eq(parse(cw_span_text("xxxxx"), &limits), CW_ETOOBIG); /* judged before its bytes */
}

Test(json, one_mebibyte_is_the_standard_size)
{
    char *text = malloc(1048577);

    cr_assert_not_null(text);
    memset(text, 'a', 1048577);
    text[0] = '"';
    text[1048575] = '"';
    cr_expect_eq(parse(cw_span_of(text, 1048576), NULL), CW_OK);
    text[1048576] = ' ';
    cr_expect_eq(parse(cw_span_of(text, 1048577), NULL), CW_ETOOBIG);
    cr_expect_eq(
        parse(cw_span_of(text, 1048577), &(struct cw_json_limits){.bytes_max = CW_NO_LIMIT}), CW_OK);
    free(text);
}

Test(json, a_member_is_found_by_its_exact_name)
{
    struct cJSON *json = parsed("{\"Type\":\"no\",\"type\":\"ping\",\"n\":1,\"type\":\"second\"}");

    cr_expect_str_eq(cw_json_text(json, "type"), "ping");
    cr_expect_null(cw_json_text(json, "TYPE"));
    cr_expect_null(cw_json_text(json, "n"));
    cr_expect_null(cw_json_text(json, "missing"));
    cJSON_Delete(json);
}

Test(json, what_is_no_object_has_no_members)
{
    struct cJSON *json = parsed("[\"type\"]");

    cr_expect_null(cw_json_text(json, "type"));
    cr_expect_null(cw_json_text(NULL, "type"));
    cJSON_Delete(json);
}

static void *no_memory(size_t size)
{
    (void)size;
    return NULL;
}

Test(json, without_memory_it_says_so)
{
    cJSON_Hooks hooks = {.malloc_fn = no_memory, .free_fn = free};

    cJSON_InitHooks(&hooks);
    cr_expect_eq(parse_text("{}"), CW_ENOMEM);
    cJSON_InitHooks(NULL);
}

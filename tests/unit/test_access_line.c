#include "access_line.h"
#include "support/leak.h"

#include <causeway/error.h>
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

TestSuite(access_line, .fini = rig_expect_no_leak, .timeout = 30);

static struct cw_address address;
static char line[65536];

static struct cw_access_entry request(void)
{
    cr_assert_eq(cw_address_parse("192.0.2.7:4711", &address), 0);
    return (struct cw_access_entry){
        .client = &address,
        .user = cw_span_text("ada"),
        .method = cw_span_text("GET"),
        .target = cw_span_text("/list?page=2"),
        .host = cw_span_text("a.example"),
        .referer = cw_span_text("https://a.example/"),
        .agent = cw_span_text("curl/8.5"),
        .id = cw_span_text("9f0c"),
        .route = cw_span_text("GET /list"),
        .version = 11,
        .status = 200,
        .bytes_out = 5120,
        .took_us = 812,
    };
}

/* Exactly as much room as was asked for, so that the sanitizer sees a byte too many. */
static const char *print(const struct cw_access_entry *entry, enum cw_access_log_format format)
{
    const struct cw_access_style style = {format, 64};
    struct cw_access_common common = {0};
    size_t max = cw_access_line_max(entry, &style);
    uint8_t *room = malloc(max);

    cw_access_set_time(&common, 1795259702, 81); /* 2026-11-21T11:15:02Z */
    size_t len = cw_access_line(entry, &style, &common, room);
    cr_assert_leq(len, max);
    cr_assert_lt(len, sizeof line);
    memcpy(line, room, len);
    line[len] = '\0';
    free(room);
    cr_assert_eq(memchr(line, '\n', len), line + len - 1, "it is one line");
    return line;
}

/* A member of the line as an object, which it has to be. */
static const char *member(const struct cw_access_entry *entry, const char *name)
{
    static char text[4096];
    cJSON *json = cJSON_Parse(print(entry, CW_ACCESS_LOG_JSON));

    cr_assert_not_null(json, "%s", line);
    const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, name));
    snprintf(text, sizeof text, "%s", value ? value : "(none)");
    cJSON_Delete(json);
    return text;
}

Test(access_line, combined_is_what_other_servers_write)
{
    struct cw_access_entry entry = request();

    cr_expect_str_eq(print(&entry, CW_ACCESS_LOG_COMBINED),
                     "192.0.2.7 - ada [21/Nov/2026:11:15:02 +0000] \"GET /list?page=2 HTTP/1.1\" "
                     "200 5120 \"https://a.example/\" \"curl/8.5\"\n");
}

Test(access_line, extended_adds_time_id_and_route)
{
    struct cw_access_entry entry = request();

    cr_expect_str_eq(print(&entry, CW_ACCESS_LOG_EXTENDED),
                     "192.0.2.7 - ada [21/Nov/2026:11:15:02 +0000] \"GET /list?page=2 HTTP/1.1\" "
                     "200 5120 \"https://a.example/\" \"curl/8.5\" 812 \"9f0c\" \"GET /list\"\n");
}

Test(access_line, json_has_every_member)
{
    struct cw_access_entry entry = request();

    cr_expect_str_eq(
        print(&entry, CW_ACCESS_LOG_JSON),
        "{\"time\":\"2026-11-21T11:15:02.081Z\",\"client\":\"192.0.2.7\",\"user\":\"ada\","
        "\"method\":\"GET\",\"target\":\"/list?page=2\",\"version\":\"1.1\",\"host\":\"a.example\","
        "\"status\":200,\"bytes\":5120,\"bytes_in\":0,\"took_us\":812,"
        "\"referer\":\"https://a.example/\",\"user_agent\":\"curl/8.5\",\"request_id\":\"9f0c\","
        "\"route\":\"GET /list\"}\n");
}

Test(access_line, what_is_not_there_is_a_dash_or_left_out)
{
    struct cw_access_entry entry = request();

    entry.user = entry.referer = entry.agent = (struct cw_span){NULL, 0};
    cr_expect_str_eq(print(&entry, CW_ACCESS_LOG_COMBINED),
                     "192.0.2.7 - - [21/Nov/2026:11:15:02 +0000] \"GET /list?page=2 HTTP/1.1\" "
                     "200 5120 \"-\" \"-\"\n");
    cr_expect_str_eq(member(&entry, "user"), "(none)");
    cr_expect_str_eq(member(&entry, "referer"), "(none)");
}

Test(access_line, a_request_without_an_answer_is_499_and_json_says_why)
{
    struct cw_access_entry entry = request();

    entry.status = 0;
    entry.code = CW_ECLOSED;
    cr_expect_not_null(strstr(print(&entry, CW_ACCESS_LOG_COMBINED), "\" 499 "));
    cr_expect_not_null(strstr(print(&entry, CW_ACCESS_LOG_JSON), "\"status\":499"));
    cr_expect_str_eq(member(&entry, "error"), "CW_ECLOSED");
}

Test(access_line, a_refused_head_has_client_and_status_alone)
{
    struct cw_access_entry entry = {.client = request().client, .status = 400, .refused = true};

    cr_expect_str_eq(print(&entry, CW_ACCESS_LOG_COMBINED),
                     "192.0.2.7 - - [21/Nov/2026:11:15:02 +0000] \"-\" 400 0 \"-\" \"-\"\n");
    cr_expect_str_eq(print(&entry, CW_ACCESS_LOG_JSON),
                     "{\"time\":\"2026-11-21T11:15:02.081Z\",\"client\":\"192.0.2.7\","
                     "\"status\":400}\n");
}

Test(access_line, addresses_have_no_port)
{
    struct cw_access_entry entry = request();

    cr_assert_eq(cw_address_parse("[2001:db8::7]:80", &address), 0);
    cr_expect_str_eq(member(&entry, "client"), "2001:db8::7");
    address = (struct cw_address){.family = CW_UNIX};
    cr_expect_str_eq(member(&entry, "client"), "unix");
}

Test(access_line, quotes_line_ends_and_controls_cannot_leave_their_place)
{
    struct cw_access_entry entry = request();

    entry.agent = cw_span_text("a\" 200 1 \"b\r\nGET\\\t\x1b[31m\x7f");
    cr_expect_not_null(strstr(print(&entry, CW_ACCESS_LOG_COMBINED),
                              " \"a\\\" 200 1 \\\"b\\x0d\\x0aGET\\\\\\x09\\x1b[31m\\x7f\"\n"),
                       "%s", line);
    cr_expect_str_eq(member(&entry, "user_agent"), "a\" 200 1 \"b\r\nGET\\\t\x1b[31m\x7f");
}

Test(access_line, every_byte_is_escaped_wherever_it_stands)
{
    struct cw_access_entry entry = request();

    for (unsigned byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < 27; at++) {
            uint8_t text[27]; /* by sixteen, by eight and one by one */
            memset(text, 'x', sizeof text);
            text[at] = (uint8_t)byte;
            entry.agent = cw_span_of(text, sizeof text);
            const char *agent = strstr(print(&entry, CW_ACCESS_LOG_COMBINED), "\" \"") + 3;
            size_t quotes = 0;
            for (const char *c = agent; *c != '\0'; c++) {
                cr_assert(*c == '\n' || (*c >= 0x20 && *c < 0x7f), "byte %u", byte);
                quotes += *c == '"';
                c += *c == '\\'; /* what stands behind it is escaped */
            }
            cr_assert_eq(quotes, 1, "byte %u at %zu: %s", byte, at, line);
            cr_assert_str_neq(member(&entry, "user_agent"), "(none)");
        }
    }
}

Test(access_line, json_keeps_utf8_and_replaces_what_is_none)
{
    struct cw_access_entry entry = request();
    static const struct {
        const char *in;
        const char *out;
    } cases[] = {
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"\xe2\x82\xac", "\xe2\x82\xac"},
        {"\xf0\x9f\x8c\x8a", "\xf0\x9f\x8c\x8a"},
        {"a\xff", "a\xef\xbf\xbd"},
        {"\xc3", "\xef\xbf\xbd"},
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xc2\x9b", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        entry.agent = cw_span_text(cases[i].in);
        cr_expect_str_eq(member(&entry, "user_agent"), cases[i].out, "case %zu", i);
    }
}

Test(access_line, long_texts_are_cut_and_say_so)
{
    struct cw_access_entry entry = request();
    static char agent[5000];

    memset(agent, '\\', sizeof agent);
    entry.agent = entry.target = entry.referer = cw_span_of(agent, sizeof agent);
    entry.user = entry.method = entry.host = entry.id = entry.route = entry.agent;
    for (int format = CW_ACCESS_LOG_COMBINED; format <= CW_ACCESS_LOG_JSON; format++) {
        print(&entry, (enum cw_access_log_format)format);
        cr_expect_not_null(strstr(line, "\\\\...\""));
    }
    cr_expect_eq(strlen(member(&entry, "user_agent")), 64 + 3);
}

Test(access_line, a_line_of_nothing_but_escapes_has_room)
{
    struct cw_access_entry entry = request();
    static char agent[5000];

    memset(agent, 1, sizeof agent);
    entry.agent = entry.target = entry.referer = cw_span_of(agent, sizeof agent);
    entry.user = entry.method = entry.host = entry.id = entry.route = entry.agent;
    for (int format = CW_ACCESS_LOG_COMBINED; format <= CW_ACCESS_LOG_JSON; format++) {
        print(&entry, (enum cw_access_log_format)format);
    }
    cr_expect_eq(strlen(member(&entry, "user_agent")), 64 + 3);
}

Test(access_line, a_user_stays_in_one_column)
{
    struct cw_access_entry entry = request();

    entry.user = cw_span_text("ada l");
    cr_expect_not_null(strstr(print(&entry, CW_ACCESS_LOG_COMBINED), " - ada_l ["));
}

Test(access_line, the_clock_is_printed_anew_when_the_second_changes)
{
    struct cw_access_common common = {0};

    cw_access_set_time(&common, 0, 5);
    cr_expect_str_eq(common.combined, "01/Jan/1970:00:00:00 +0000");
    cw_access_set_time(&common, 951827696, 999);
    cr_expect_str_eq(common.combined, "29/Feb/2000:12:34:56 +0000");
    cr_expect_str_eq(common.iso, "2000-02-29T12:34:56");
    cr_expect_eq(common.ms, 999);
}

Test(access_line, each_line_has_its_own_client_whoever_came_before)
{
    const struct cw_access_style style = {CW_ACCESS_LOG_COMBINED, 64};
    const char *const addresses[] = {"192.0.2.7:1", "192.0.2.70:1", "[2001:db8::1]:1",
                                     "[2001:db8::1]:2", "192.0.2.7:2"};
    const char *const texts[] = {"192.0.2.7 - ", "192.0.2.70 - ", "2001:db8::1 - ",
                                 "2001:db8::1 - ", "192.0.2.7 - "};
    struct cw_access_entry entry = request();
    struct cw_access_common common = {0};

    cw_access_set_time(&common, 1795259702, 81);
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        cr_assert_eq(cw_address_parse(addresses[i], &address), 0);
        cw_access_line(&entry, &style, &common, (uint8_t *)line);
        cr_expect_eq(memcmp(line, texts[i], strlen(texts[i])), 0, "%s", addresses[i]);
    }
}

Test(access_line, no_line_needs_more_than_the_longest)
{
    const struct cw_access_style style = {CW_ACCESS_LOG_JSON, 64};
    struct cw_access_entry entry = request();
    struct cw_span much = cw_span_of(line, sizeof line);

    cr_expect_leq(cw_access_line_max(&entry, &style), cw_access_line_most(&style));
    entry.user = entry.method = entry.host = entry.id = entry.route = much;
    entry.target = entry.referer = entry.agent = much;
    cr_expect_eq(cw_access_line_max(&entry, &style), cw_access_line_most(&style));
}

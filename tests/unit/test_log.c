/* The log: one line out, whatever is in it. */
#include "support/child.h"
#include "support/leak.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

TestSuite(log, .fini = rig_expect_no_leak, .timeout = 30);

static char logged[1000];
static unsigned lines;
static uint64_t about;

static void keep_line(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    snprintf(logged, sizeof logged, "%s", text);
    about = conn_id;
    lines++;
    errno = EBADF;
}

Test(log, what_a_peer_sends_cannot_begin_a_line_of_its_own)
{
    cw_log_set(keep_line, NULL);
    cw_log(CW_LOG_INFO, 7, "hello %s", "bob\n2026-01-01 error: forged\r\x1b[2J\x7f\x01");
    cr_expect_str_eq(logged, "hello bob?2026-01-01 error: forged??[2J??");
    cr_expect_eq(about, 7);
}

Test(log, a_line_too_long_is_cut)
{
    char text[2001];

    memset(text, 'x', 2000);
    text[2000] = '\0';
    cw_log_set(keep_line, NULL);
    cw_log(CW_LOG_INFO, 0, "%s", text);
    cr_expect_eq(strlen(logged), 500);
    text[500] = '\0';
    cw_log(CW_LOG_INFO, 0, "%s", text);
    cr_expect_str_eq(logged, text);
}

/* The length of what is logged of 490 to 500 letters, a character and more letters. */
static size_t cut_before(size_t letters, const char *character)
{
    char text[600];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    memcpy(text + letters, character, strlen(character));
    cw_log(CW_LOG_INFO, 0, "%s", text);
    return strlen(logged);
}

Test(log, a_line_is_never_cut_inside_a_character)
{
    static const char *const characters[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};

    cw_log_set(keep_line, NULL);
    for (size_t i = 0; i < sizeof characters / sizeof characters[0]; i++) {
        size_t len = strlen(characters[i]);

        for (size_t letters = 490; letters <= 500; letters++) {
            size_t expected = letters + len > 500 && letters < 500 ? letters : 500;
            cr_expect_eq(cut_before(letters, characters[i]), expected, "%zu + %zu", letters, len);
        }
    }
    /* What is no character has no border to look for. */
    cr_expect_eq(cut_before(490, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"), 500);
}

Test(log, lines_below_the_level_are_dropped)
{
    cw_log_set(keep_line, NULL);
    cw_log(CW_LOG_DEBUG, 0, "by default debug is dropped");
    cr_expect_eq(lines, 0);
    cw_log_set_level(CW_LOG_ERROR);
    cw_log(CW_LOG_WARNING, 0, "a warning");
    cr_expect_eq(lines, 0);
    cw_log(CW_LOG_ERROR, 0, "an error");
    cr_expect_eq(lines, 1);
    cw_log_set_level(CW_LOG_SILENT);
    cw_log(CW_LOG_ERROR, 0, "an error");
    cr_expect_eq(lines, 1);
}

Test(log, whether_a_line_would_be_logged_can_be_asked)
{
    cr_expect(cw_log_takes(CW_LOG_INFO));
    cr_expect_not(cw_log_takes(CW_LOG_DEBUG));
    cw_log_set_level(CW_LOG_SILENT);
    cr_expect_not(cw_log_takes(CW_LOG_ERROR));
    cr_expect_not(cw_log_takes(CW_LOG_SILENT));
}

Test(log, errno_is_as_it_was_before_the_line)
{
    cw_log_set(keep_line, NULL);
    errno = EAGAIN;
    cw_log(CW_LOG_INFO, 0, "a line");
    cr_expect_eq(errno, EAGAIN);
}

/* ---- words ---- */

Test(log, a_level_is_read_as_it_is_written)
{
    for (int i = CW_LOG_DEBUG; i <= CW_LOG_SILENT; i++) {
        enum cw_log_level level = CW_LOG_SILENT;
        cr_expect_eq(cw_log_level_parse(cw_log_level_name((enum cw_log_level)i), &level), CW_OK);
        cr_expect_eq((int)level, i);
    }
}

Test(log, another_word_is_no_level_and_no_format)
{
    enum cw_log_level level = CW_LOG_WARNING;
    enum cw_log_format format = CW_LOG_JSON;

    cr_expect_eq(cw_log_level_parse("Info", &level), CW_EINVAL);
    cr_expect_eq(cw_log_level_parse("", &level), CW_EINVAL);
    cr_expect_eq(level, CW_LOG_WARNING);
    cr_expect_eq(cw_log_format_parse("xml", &format), CW_EINVAL);
    cr_expect_eq(format, CW_LOG_JSON);
    cr_expect_eq(cw_log_format_parse("text", &format), CW_OK);
    cr_expect_eq(format, CW_LOG_TEXT);
    cr_expect_eq(cw_log_format_parse("json", &format), CW_OK);
    cr_expect_eq(format, CW_LOG_JSON);
}

/* ---- standard error ---- */

struct written {
    enum cw_log_format format;
    enum cw_log_level level;
    uint64_t conn_id;
    const char *text;
};

static int write_line(void *arg)
{
    const struct written *written = arg;

    cw_log_set_format(written->format);
    cw_log_set_level(CW_LOG_DEBUG);
    cw_log(written->level, written->conn_id, "%s", written->text);
    return 0;
}

/* Everything of the line behind its time, which is looked at here. */
static const char *line_of(struct rig_child *child, struct written written, size_t time_at)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ";

    memset(child, 0, sizeof *child);
    rig_child_fork(child, write_line, &written);
    cr_assert_eq(rig_child_join(child), 0);
    cr_assert_gt(child->len, time_at + sizeof shape);
    for (size_t i = 0; shape[i]; i++) {
        char c = child->text[time_at + i];
        cr_expect(shape[i] == 'd' ? c >= '0' && c <= '9' : c == shape[i], "%s", child->text);
    }
    return child->text + time_at + strlen(shape);
}

Test(log, a_line_of_text_has_time_level_and_connection)
{
    static struct rig_child child;

    cr_expect_str_eq(
        line_of(&child, (struct written){CW_LOG_TEXT, CW_LOG_WARNING, 0x5a0001, "x"}, 0),
        " warning: conn 5a0001: x\n");
    cr_expect_str_eq(line_of(&child, (struct written){CW_LOG_TEXT, CW_LOG_DEBUG, 0, "x"}, 0),
                     " debug: x\n");
}

enum { JSON_TIME_AT = sizeof "{\"time\":\"" - 1 };

static const char *json_of(struct rig_child *child, struct written written)
{
    written.format = CW_LOG_JSON;
    return line_of(child, written, JSON_TIME_AT);
}

Test(log, a_line_of_json_has_time_level_connection_and_text)
{
    static struct rig_child child;

    cr_expect_str_eq(
        json_of(&child,
                (struct written){.level = CW_LOG_INFO, .conn_id = 0x5a0001, .text = "opened"}),
        "\",\"level\":\"info\",\"conn\":\"5a0001\",\"text\":\"opened\"}\n");
    cr_expect_eq(strncmp(child.text, "{\"time\":\"2", JSON_TIME_AT + 1), 0, "%s", child.text);
}

Test(log, a_line_of_json_about_no_connection_has_no_conn)
{
    static struct rig_child child;

    cr_expect_str_eq(json_of(&child, (struct written){.level = CW_LOG_ERROR, .text = "x"}),
                     "\",\"level\":\"error\",\"text\":\"x\"}\n");
}

static void expect_json_text(const char *text, const char *escaped)
{
    static struct rig_child child;
    char expected[2000];

    snprintf(expected, sizeof expected, "\",\"level\":\"info\",\"text\":\"%s\"}\n", escaped);
    cr_expect_str_eq(json_of(&child, (struct written){.level = CW_LOG_INFO, .text = text}),
                     expected);
}

#define REPLACED "\xef\xbf\xbd"

Test(log, quotes_and_backslashes_are_escaped_in_json)
{
    expect_json_text("say \"hi\" to C:\\x", "say \\\"hi\\\" to C:\\\\x");
    expect_json_text("\",\"level\":\"error", "\\\",\\\"level\\\":\\\"error");
    expect_json_text("a\nb\tc\x7f", "a?b?c?");
}

Test(log, characters_pass_into_json_and_bytes_that_are_none_are_replaced)
{
    expect_json_text("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
                     "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
    expect_json_text("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf",
                     "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf");
    expect_json_text("a\xff"
                     "b\x80"
                     "c",
                     "a" REPLACED "b" REPLACED "c");
    expect_json_text("\xc0\xaf", REPLACED REPLACED);
    expect_json_text("\xe0\x9f\xbf", REPLACED REPLACED REPLACED);
    expect_json_text("\xed\xa0\x80", REPLACED REPLACED REPLACED);
    expect_json_text("\xf0\x8f\xbf\xbf", REPLACED REPLACED REPLACED REPLACED);
    expect_json_text("\xf4\x90\x80\x80", REPLACED REPLACED REPLACED REPLACED);
    expect_json_text("\xf5\x80", REPLACED REPLACED);
    expect_json_text("\xe2\x82\"", REPLACED REPLACED "\\\"");
    expect_json_text("\xf0\x9f\x98", REPLACED REPLACED REPLACED);
    expect_json_text("\xc3", REPLACED);
}

Test(log, the_longest_line_of_json_is_whole)
{
    static struct rig_child child;
    static char text[501];
    const char *line;

    memset(text, 0xff, 500);
    line = json_of(&child,
                   (struct written){.level = CW_LOG_WARNING, .conn_id = UINT64_MAX, .text = text});
    cr_expect_eq(strlen(line),
                 strlen("\",\"level\":\"warning\",\"conn\":\"ffffffffffffffff\",\"text\":\"\"}\n") +
                     500 * 3);
    cr_expect_str_eq(line + strlen(line) - 3, "\"}\n");
}

/* ---- several threads ---- */

enum { WRITERS = 4, LINES_EACH = 200 };

static void *write_many(void *arg)
{
    char text[400];

    memset(text, *(const char *)arg, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (int i = 0; i < LINES_EACH; i++) {
        cw_log(CW_LOG_INFO, 1, "%s", text);
    }
    return NULL;
}

static void write_from_all(void)
{
    static char letters[WRITERS + 1] = "abcd";
    pthread_t threads[WRITERS];

    for (int i = 0; i < WRITERS; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, write_many, &letters[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    }
}

static bool is_of_one_writer(const char *line)
{
    const char *text = strstr(line, "\"conn\":\"1\",\"text\":\"");

    text = text ? strstr(text, "\"text\":\"") + 8 : NULL;
    return text && line[0] == '{' && strspn(text, (char[]){text[0], '\0'}) == 399 &&
           strcmp(text + 399, "\"}\n") == 0;
}

Test(log, lines_of_several_threads_do_not_mix)
{
    char path[] = "/tmp/cw_log_XXXXXX";
    int file = mkstemp(path);
    int before = dup(STDERR_FILENO);
    char line[2000];
    int count = 0;

    cr_assert_geq(file, 0);
    unlink(path);
    cr_assert_eq(fcntl(file, F_SETFL, O_APPEND), 0);
    cw_log_set_format(CW_LOG_JSON);
    dup2(file, STDERR_FILENO);
    write_from_all();
    dup2(before, STDERR_FILENO);
    close(before);
    FILE *stream = fdopen(file, "r");
    cr_assert_not_null(stream);
    rewind(stream);
    while (fgets(line, sizeof line, stream)) {
        cr_expect(is_of_one_writer(line), "%s", line);
        count++;
    }
    fclose(stream);
    cr_expect_eq(count, WRITERS * LINES_EACH);
}

static void *change_often(void *arg)
{
    for (int i = 0; i < LINES_EACH; i++) {
        cw_log_set_level(i % 2 ? CW_LOG_WARNING : CW_LOG_INFO);
        cw_log_set_format(i % 2 ? CW_LOG_TEXT : CW_LOG_JSON);
    }
    return NULL;
}

static int write_while_it_changes(void *arg)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, change_often, NULL) != 0) {
        return 1;
    }
    for (int i = 0; i < 20; i++) {
        cw_log(CW_LOG_ERROR, 0, "x");
    }
    return pthread_join(thread, NULL);
}

Test(log, level_and_format_may_change_while_others_write)
{
    static struct rig_child child;
    int count = 0;

    rig_child_fork(&child, write_while_it_changes, NULL);
    cr_expect_eq(rig_child_join(&child), 0);
    for (const char *at = child.text; (at = strchr(at, '\n')); at++) {
        count++;
    }
    cr_expect_eq(count, 20, "%s", child.text);
}

/* The log: one line out, whatever is in it. */
#include "support/leak.h"

#include <causeway/log.h>
#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(log, .fini = rig_expect_no_leak, .timeout = 30);

static char logged[1000];
static unsigned lines;
static uint64_t about;

static void keep_line(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    snprintf(logged, sizeof logged, "%s", text);
    about = conn_id;
    lines++;
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

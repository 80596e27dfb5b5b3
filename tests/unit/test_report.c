/* Reports in the log: how much each matters, and how many there may be. */
#include "report.h"

#include "loop_impl.h"
#include "support/leak.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(report, .fini = rig_expect_no_leak, .timeout = 30);

static unsigned lines[CW_LOG_SILENT];
static unsigned long left_out;
static char last[600];

static void count_line(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    if (strstr(text, "were left out")) {
        left_out += strtoul(text, NULL, 10);
    } else {
        lines[level]++;
        snprintf(last, sizeof last, "%s", text);
    }
}

static struct cw_loop *begin(void)
{
    struct cw_loop *loop;

    cw_log_set(count_line, NULL);
    loop = cw_loop_new();
    cr_assert_not_null(loop);
    loop->now_ms = (loop->now_ms / 60000 + 1) * 60000; /* a minute begins */
    return loop;
}

static void end(struct cw_loop *loop)
{
    cw_loop_free(loop);
    cw_log_set(NULL, NULL);
}

static void refuse(struct cw_loop *loop, int code, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        cw_report_refused(loop, NULL, code, NULL, 0);
    }
}

Test(report, a_kind_has_ten_lines_a_second_and_the_next_one_says_what_is_missing)
{
    struct cw_loop *loop = begin();

    refuse(loop, CW_ECONNSMAX, 25);
    cr_expect_eq(lines[CW_LOG_WARNING], 10);
    cr_expect_eq(left_out, 0);
    loop->now_ms += 1000;
    refuse(loop, CW_ECONNSMAX, 1);
    cr_expect_eq(lines[CW_LOG_WARNING], 11);
    cr_expect_eq(left_out, 15);
    end(loop);
    cr_expect_eq(left_out, 15, "and says it once");
}

Test(report, a_kind_has_a_hundred_lines_a_minute)
{
    struct cw_loop *loop = begin();

    for (int second = 0; second < 60; second++) {
        refuse(loop, CW_ECONNSMAX, 20);
        loop->now_ms += 1000;
    }
    cr_expect_eq(lines[CW_LOG_WARNING], 100);
    refuse(loop, CW_ECONNSMAX, 20);
    cr_expect_eq(lines[CW_LOG_WARNING], 110, "a new minute");
    cr_expect_eq(lines[CW_LOG_WARNING] + left_out, 61 * 20 - 10);
    end(loop);
    cr_expect_eq(lines[CW_LOG_WARNING] + left_out, 61 * 20);
}

Test(report, one_kind_does_not_use_up_the_lines_of_another)
{
    struct cw_loop *loop = begin();

    refuse(loop, CW_ECONNSMAX, 100);
    refuse(loop, CW_EADDRESSMAX, 1);
    refuse(loop, CW_EDENIED, 1);
    cr_expect_eq(lines[CW_LOG_WARNING], 12);
    refuse(loop, CW_EDESCRIPTORS, 1);
    refuse(loop, CW_ENOMEM, 1);
    cr_expect_eq(lines[CW_LOG_ERROR], 2);
    end(loop);
}

Test(report, what_failed_outside_of_a_connection_is_a_warning_unless_it_is_our_own_trouble)
{
    struct cw_loop *loop = begin();
    struct cw_error_report report = {.code = CW_EREFUSED, .text = "connect a:1: nobody"};

    cw_report(loop, NULL, &report);
    cr_expect_eq(lines[CW_LOG_WARNING], 1);
    cr_expect_str_eq(last, "connect a:1: nobody (CW_EREFUSED)");
    report.code = CW_ENOMEM;
    cw_report(loop, NULL, &report);
    cr_expect_eq(lines[CW_LOG_ERROR], 1);
    report.code = CW_EREFUSED;
    for (int i = 0; i < 50; i++) {
        cw_report(loop, NULL, &report);
    }
    cr_expect_eq(lines[CW_LOG_WARNING], 10);
    end(loop);
}

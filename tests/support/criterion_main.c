/* The main of every Criterion suite. It ends with 77, which CTest shows as "Skipped", when nothing failed and a test was
 * left out because something is missing on this machine or in this build. What the library under test does not have
 * (TLS 1.3) is nobody's to install, and is not counted. */
#include <criterion/criterion.h>
#include <criterion/hooks.h>
#include <criterion/stats.h>

#include <stdio.h>
#include <string.h>

enum { EXIT_SKIPPED = 77 };

static unsigned missed;

/* Without a reason it was left out by --filter. */
static bool is_missed(const struct criterion_test_stats *test)
{
    return test->test_status == CR_STATUS_SKIPPED && test->message != NULL &&
           strstr(test->message, "this library") == NULL;
}

ReportHook(POST_ALL)(struct criterion_global_stats *all)
{
    for (struct criterion_suite_stats *suite = all->suites; suite; suite = suite->next) {
        for (struct criterion_test_stats *test = suite->tests; test; test = test->next) {
            if (is_missed(test)) {
                printf("skipped: %s::%s: %s\n", test->test->category, test->test->name,
                       test->message);
                missed++;
            }
        }
    }
}

int main(int argc, char *argv[])
{
    struct criterion_test_set *tests = criterion_initialize();
    int result = 0;

    if (criterion_handle_args(argc, argv, true)) {
        result = !criterion_run_all_tests(tests);
    }
    criterion_finalize(tests);
    return result == 0 && missed > 0 ? EXIT_SKIPPED : result;
}

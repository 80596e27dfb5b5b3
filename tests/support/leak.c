/* Asks the leak checker at the end of a test. */
#include "support/leak.h"

#include <stdio.h>
#include <stdlib.h>

/* The sanitizer's and gcov's own functions, when the build has them. */
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));
extern void __gcov_dump(void) __attribute__((weak));

void rig_expect_no_leak(void)
{
    if (__gcov_dump != NULL) {
        __gcov_dump();
    }
    if (__lsan_do_recoverable_leak_check != NULL && __lsan_do_recoverable_leak_check() != 0) {
        fputs("rig_expect_no_leak: this test leaked\n", stderr);
        abort();
    }
}

#ifndef CAUSEWAY_TESTS_WAIT_H
#define CAUSEWAY_TESTS_WAIT_H

/* Waiting with a deadline, and ending a test from any thread. */

#include <stdbool.h>
#include <stdint.h>

/* How long anything that has to happen may take. Generous: machines that test are busy. */
enum { RIG_DEADLINE_MS = 20000 };

/* Ends the process: prints where and what, then abort(). Criterion's own assertions may be used on the
 * test's main thread only; this one works on every thread. */
void rig_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));

/* Fails the test unless the condition holds. For helpers and hooks; on any thread. */
#define rig_check(condition)                                                                       \
    ((condition) ? (void)0 : rig_fail(__FILE__, __LINE__, "does not hold: %s", #condition))

/* Milliseconds of a clock that never jumps. */
uint64_t rig_now_ms(void);

/* A moment's rest between two looks. False once the deadline has passed. */
bool rig_rest(uint64_t deadline_ms);

/* Waits for events of poll on a descriptor. False: not in time. */
bool rig_is_ready(int fd, short events, int ms);

/* Waits until the condition holds; fails the test when it does not in time. The condition must be safe to
 * evaluate from this thread (atomics). A macro, so that the condition can be written in place. */
#define rig_await(condition)                                                                       \
    do {                                                                                           \
        uint64_t rig_deadline = rig_now_ms() + RIG_DEADLINE_MS;                                    \
        while (!(condition)) {                                                                     \
            if (!rig_rest(rig_deadline)) {                                                         \
                rig_fail(__FILE__, __LINE__, "waited in vain for: %s", #condition);                \
            }                                                                                      \
        }                                                                                          \
    } while (0)

#endif

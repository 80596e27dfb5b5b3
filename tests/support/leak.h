#ifndef CAUSEWAY_TESTS_LEAK_H
#define CAUSEWAY_TESTS_LEAK_H

/* Ends the process with abort() when the test has leaked. Every suite's .fini.
 *
 * A test's child process leaves without its exit handlers, so the leak checker has to be asked, and a
 * failed assertion in .fini would still count as passed. Nothing happens in builds without
 * AddressSanitizer. In coverage builds it also saves the counters, which would be lost for the same reason. */
void rig_expect_no_leak(void);

#endif

#ifndef CAUSEWAY_TESTS_NETS_H
#define CAUSEWAY_TESTS_NETS_H

/* Two network namespaces of the test's own, joined by two lines, for what a loopback cannot show: multicast over IPv6,
 * which interface is taken. They end with the test's process.
 *
 * ```text
 * near                                  far
 *   line0 10.77.0.1/24 fd77::1/64  ◄──►  line0 10.77.0.2/24 fd77::2/64
 *   line1 10.78.0.1/24 fd78::1/64  ◄──►  line1 10.78.0.2/24 fd78::2/64
 * ``` */

/* Makes them, the calling thread is in `near` then. Returns NULL, or why this machine does not let us: skip the test. A socket
 * belongs to the namespace that its thread was in when it was made, and so do threads that are started. */
const char *rig_nets_make(void);

void rig_nets_enter_near(void);
void rig_nets_enter_far(void);

#endif

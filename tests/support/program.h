#ifndef CAUSEWAY_TESTS_PROGRAM_H
#define CAUSEWAY_TESTS_PROGRAM_H

/* The example programs as they were built, and the peer that they may be talking to. */

#include "support/child.h"
#include "support/peer.h"

#include <stdint.h>

/* Starts examples/NAME/NAME. The environment's CW_PROGRAMS names another build folder than this one's, for a
 * build that cannot run the tests themselves (ThreadSanitizer).
 *
 * arguments  behind its name, ended with NULL
 * returns    false: the examples were left out of this build; skip the test */
bool rig_program_start(struct rig_child *child, const char *name, const char *const *arguments);

/* The same, reading what the test types. */
bool rig_program_start_fed(struct rig_child *child, const char *name, const char *const *arguments);

/* Waits for `listening on tcp://127.0.0.1:PORT`. Returns the port. */
uint16_t rig_program_port(struct rig_child *child);

/* The same with another scheme in place of tcp. */
uint16_t rig_program_port_of(struct rig_child *child, const char *scheme);

/* Forgets what a program has printed so far, so that the next wait is for something new. */
void rig_program_forget(struct rig_child *child);

/* Asks it to end with SIGTERM and expects the exit status 0. */
void rig_program_end(struct rig_child *child);

/* Expects this exit status of a program that ends by itself. */
void rig_program_expect_status(struct rig_child *child, int status);

/* A listening socket on 127.0.0.1, for a test that plays the server. */
int rig_listen(uint16_t *port);

/* The next connection to it. */
struct rig_peer rig_accept(int listener);

#endif

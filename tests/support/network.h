#ifndef CAUSEWAY_TESTS_NETWORK_H
#define CAUSEWAY_TESTS_NETWORK_H

#include <stdbool.h>

/* Puts this process, and what it starts from now on, into a network of its own with nothing but a loopback: its ports
 * are all free, and nobody else sees them. Call it before any thread is started.
 *
 * returns  false: this system does not permit it */
bool rig_enter_own_network(void);

#endif

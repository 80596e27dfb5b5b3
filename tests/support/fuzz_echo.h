/* What the fuzz targets of message protocols share: one input, run through an echo in several ways. */
#ifndef CAUSEWAY_TESTS_FUZZ_ECHO_H
#define CAUSEWAY_TESTS_FUZZ_ECHO_H

#include "support/rig.h"

/* Aborts unless
 *
 * - input fed whole, byte by byte and in uneven cuts makes the same story and the same output;
 * - the output of the echo, fed to another connection, makes the same messages again.
 *
 * seed     where the uneven cuts are; with its top bit the peer ends its input
 * returns  false: the options are not allowed */
bool fuzz_echo(const struct rig_setup *setup, struct cw_span input, uint8_t seed);

/* The first of both alone: for protocols whose two sides write differently. */
bool fuzz_cuts(const struct rig_setup *setup, struct cw_span input, uint8_t seed);

#endif

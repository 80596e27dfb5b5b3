/* What the fuzz targets of protocols share: an input cut in several ways, and messages run through an echo. */
#ifndef CAUSEWAY_TESTS_FUZZ_ECHO_H
#define CAUSEWAY_TESTS_FUZZ_ECHO_H

#include "support/rig.h"

/* Feeds the input: whole (seed & 3: 0), byte by byte (1), or in uneven cuts; with the top bit of seed the peer ends it then. */
void fuzz_feed(struct rig *rig, struct cw_span input, uint8_t seed);

/* Writes over the dates of HTTP: a second may pass between two runs. */
void fuzz_forget_dates(struct rig_bytes *output);

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

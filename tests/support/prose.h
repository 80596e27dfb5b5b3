#ifndef CAUSEWAY_TESTS_PROSE_H
#define CAUSEWAY_TESTS_PROSE_H

/* Bytes to compress, the same in every run. */

#include <stddef.h>
#include <stdint.h>

/* The next of a row of numbers below 2^24. */
uint32_t prose_roll(void);

/* Words of ASCII that come again, and letters between them: compresses, but not to nothing. 16 bytes behind len may be read. free() it. */
uint8_t *prose_new(size_t len);

#endif

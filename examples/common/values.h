/* Numbers with units, as people write them on a command line. */
#ifndef EXAMPLES_COMMON_VALUES_H
#define EXAMPLES_COMMON_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads digits and nothing else. False: no number, or one that does not fit. */
bool read_count(const char *text, uint64_t *count);

/* Reads bytes: `65536`, `64K`, `1M`, `2G` (multiples of 1024). */
bool read_size(const char *text, uint64_t *bytes);

/* Reads a time into milliseconds: `500ms`, `30s`, `5m`, `2h`; a bare number is seconds. */
bool read_duration(const char *text, uint64_t *ms);

/* Writes a time in the largest unit that holds it exactly. Returns text, of at least 24 bytes. */
char *print_duration(uint64_t ms, char *text);

#endif

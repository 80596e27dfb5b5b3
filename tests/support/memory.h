#ifndef CAUSEWAY_TESTS_MEMORY_H
#define CAUSEWAY_TESTS_MEMORY_H

/* An allocator that counts, for the whole process. */

#include <stddef.h>
#include <stdint.h>

/* Puts it in force. Before anything of Causeway exists. */
void rig_memory_count(void);

/* Calls that took memory since then (alloc, and resize that may have). */
uint64_t rig_memory_calls(void);

/* The fewest such calls in any of ten runs. What a busy machine adds to some of them (a message comes in two
   pieces, an answer has to wait) is left out; what each message costs is in all of them. */
uint64_t rig_memory_least(void (*run)(void *arg), void *arg);

/* Pieces and bytes in use now. */
int64_t rig_memory_pieces(void);
int64_t rig_memory_bytes(void);

/* The process's resident memory, in bytes. */
size_t rig_memory_resident(void);

#endif

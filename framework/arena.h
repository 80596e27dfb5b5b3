/* Memory that is given back all at once, and wiped then: what a configuration file says may be secret. */
#ifndef CW_ARENA_H
#define CW_ARENA_H

#include <stddef.h>

struct cw_arena_block;

struct cw_arena {
    struct cw_arena_block *blocks;
};

/* Zeroed memory for any type; NULL: there is none. */
void *cw_arena_alloc(struct cw_arena *arena, size_t size);

/* A copy with a terminator; NULL: no memory. */
char *cw_arena_text(struct cw_arena *arena, const char *text, size_t len);

/* Gives all of it back. */
void cw_arena_free(struct cw_arena *arena);

#endif

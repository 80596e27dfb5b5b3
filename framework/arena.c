#include "arena.h"

#include <causeway/log.h>

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

enum { BLOCK_BYTES = 4000 };

struct cw_arena_block {
    struct cw_arena_block *next;
    size_t used;
    size_t cap;
    alignas(max_align_t) uint8_t bytes[];
};

static struct cw_arena_block *add_block(struct cw_arena *arena, size_t size)
{
    size_t cap = size > BLOCK_BYTES ? size : BLOCK_BYTES;
    struct cw_arena_block *block = cap > SIZE_MAX / 2 ? NULL : cw_alloc_zero(sizeof *block + cap);

    if (block) {
        block->cap = cap;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    return block;
}

void *cw_arena_alloc(struct cw_arena *arena, size_t size)
{
    struct cw_arena_block *block = arena->blocks;
    size_t rest;
    void *memory;

    if (size > SIZE_MAX / 4) {
        return NULL;
    }
    rest = size % alignof(max_align_t);
    size += rest == 0 ? 0 : alignof(max_align_t) - rest;
    if (!block || block->cap - block->used < size) {
        block = add_block(arena, size);
    }
    if (!block) {
        return NULL;
    }
    memory = block->bytes + block->used;
    block->used += size;
    return memory;
}

char *cw_arena_text(struct cw_arena *arena, const char *text, size_t len)
{
    char *copy = len < SIZE_MAX ? cw_arena_alloc(arena, len + 1) : NULL;

    if (copy && len > 0) {
        memcpy(copy, text, len);
    }
    return copy;
}

void cw_arena_free(struct cw_arena *arena)
{
    while (arena->blocks) {
        struct cw_arena_block *block = arena->blocks;

        arena->blocks = block->next;
        explicit_bzero(block->bytes, block->used);
        cw_release(block);
    }
}

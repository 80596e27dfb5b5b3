/* An allocator that counts. */
#include "support/memory.h"

#include "support/wait.h"

#include <causeway/log.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_uint_least64_t calls;
static atomic_int_least64_t pieces;
static atomic_int_least64_t bytes;

static void add(void *memory, int64_t sign)
{
    if (memory) {
        atomic_fetch_add(&pieces, sign);
        atomic_fetch_add(&bytes, sign * (int64_t)malloc_usable_size(memory));
    }
}

static void *count_alloc(size_t size)
{
    void *memory = malloc(size);

    atomic_fetch_add(&calls, 1);
    add(memory, 1);
    return memory;
}

static void *count_resize(void *memory, size_t size)
{
    void *grown;

    atomic_fetch_add(&calls, 1);
    add(memory, -1);
    grown = realloc(memory, size);
    add(grown ? grown : memory, 1);
    return grown;
}

static void count_release(void *memory)
{
    add(memory, -1);
    free(memory);
}

void rig_memory_count(void)
{
    cw_allocator_set(&(struct cw_allocator){count_alloc, count_resize, count_release});
}

uint64_t rig_memory_calls(void)
{
    return atomic_load(&calls);
}

uint64_t rig_memory_least(void (*run)(void *arg), void *arg)
{
    uint64_t least = UINT64_MAX;

    for (int i = 0; i < 10; i++) {
        uint64_t before = rig_memory_calls();

        run(arg);
        before = rig_memory_calls() - before;
        least = before < least ? before : least;
    }
    return least;
}

int64_t rig_memory_pieces(void)
{
    return atomic_load(&pieces);
}

int64_t rig_memory_bytes(void)
{
    return atomic_load(&bytes);
}

size_t rig_memory_resident(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    rig_check(file);
    rig_check(fscanf(file, "%*u %lu", &pages) == 1);
    fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

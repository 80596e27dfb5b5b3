/* The allocator in force. */
#include <causeway/log.h>

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

static struct cw_allocator allocator = {malloc, realloc, free};

void cw_allocator_set(const struct cw_allocator *replacement)
{
    static const struct cw_allocator standard = {malloc, realloc, free};

    allocator = replacement ? *replacement : standard;
    event_set_mem_functions(allocator.alloc, allocator.resize, allocator.release);
}

void *cw_alloc(size_t size)
{
    return allocator.alloc(size);
}

void *cw_alloc_zero(size_t size)
{
    void *memory = cw_alloc(size);

    if (memory) {
        memset(memory, 0, size);
    }
    return memory;
}

void *cw_resize(void *memory, size_t size)
{
    return allocator.resize(memory, size);
}

void cw_release(void *memory)
{
    if (memory) {
        allocator.release(memory);
    }
}

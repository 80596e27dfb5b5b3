#include "support/fault.h"

#include <causeway/log.h>
#include <stdlib.h>

static size_t left; /* allocations until the one that fails; 0: none will, or it has */
static bool failed;

static bool fails(void)
{
    if (left == 0 || --left > 0) {
        return false;
    }
    failed = true;
    return true;
}

static void *allocate(size_t size)
{
    return fails() ? NULL : malloc(size);
}

static void *resize(void *memory, size_t size)
{
    return fails() ? NULL : realloc(memory, size);
}

void fault_install(void)
{
    cw_allocator_set(&(struct cw_allocator){allocate, resize, free});
}

void fault_remove(void)
{
    cw_allocator_set(NULL);
}

void fault_arm(size_t nth)
{
    left = nth;
    failed = false;
}

bool fault_disarm(void)
{
    left = 0;
    return failed;
}

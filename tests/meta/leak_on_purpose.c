/* This suite leaks. CTest's meta.leak_is_caught passes only if that makes it fail. */
#include "support/leak.h"

#include <criterion/criterion.h>
#include <stdlib.h>

TestSuite(leak, .fini = rig_expect_no_leak, .timeout = 30);

Test(leak, a_forgotten_allocation_fails_its_test)
{
    char *volatile forgotten = malloc(42);

    cr_assert_not_null(forgotten);
    forgotten = NULL;
}

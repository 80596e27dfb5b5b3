#include "count_table.h"
#include "support/leak.h"

#include <criterion/criterion.h>

enum { KEYS = 2000, STEPS = 60000 };

TestSuite(count_table, .fini = rig_expect_no_leak, .timeout = 60);

Test(count_table, a_key_is_counted_up_to_the_most)
{
    struct cw_count_table *table = cw_count_table_new();

    cr_assert(cw_count_table_add(table, 7, 2));
    cr_assert(cw_count_table_add(table, 7, 2));
    cr_expect_not(cw_count_table_add(table, 7, 2));
    cr_expect(cw_count_table_add(table, 0, 2), "zero is a key like others");
    cw_count_table_remove(table, 7);
    cr_expect(cw_count_table_add(table, 7, 2));
    cw_count_table_free(table);
}

Test(count_table, a_key_is_forgotten_with_its_last_one)
{
    struct cw_count_table *table = cw_count_table_new();

    cw_count_table_add(table, 7, 2);
    cw_count_table_add(table, 7, 2);
    cw_count_table_remove(table, 7);
    cr_expect_eq(cw_count_table_keys(table), 1);
    cw_count_table_remove(table, 7);
    cr_expect_eq(cw_count_table_keys(table), 0);
    cw_count_table_free(table);
}

/* Against the plain array that it stands for. */
Test(count_table, it_counts_as_an_array_does_whatever_comes_and_goes)
{
    struct cw_count_table *table = cw_count_table_new();
    static unsigned counts[KEYS];
    uint64_t random = 88172645463325252U;
    size_t keys = 0;

    for (int step = 0; step < STEPS; step++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        size_t key = (size_t)(random % (step < STEPS / 2 ? KEYS : 50));
        if (random >> 40 & 1U) {
            bool added = cw_count_table_add(table, key, 3);
            cr_assert_eq(added, counts[key] < 3, "step %d", step);
            keys += added && counts[key] == 0;
            counts[key] += added;
        } else if (counts[key] > 0) {
            cw_count_table_remove(table, key);
            counts[key]--;
            keys -= counts[key] == 0;
        }
        cr_assert_eq(cw_count_table_keys(table), keys, "step %d", step);
    }
    for (size_t key = 0; key < KEYS; key++) {
        for (; counts[key] > 0; counts[key]--) {
            cw_count_table_remove(table, key);
        }
    }
    cr_expect_eq(cw_count_table_keys(table), 0);
    cw_count_table_free(table);
}

#include "bucket_table.h"
#include "support/leak.h"

#include <causeway/log.h>
#include <criterion/criterion.h>
#include <stdlib.h>

TestSuite(bucket_table, .fini = rig_expect_no_leak, .timeout = 30);

/* A bucket's `used` serves as a mark by which it is known again. */
static void mark(struct cw_bucket_table *table, uint64_t key)
{
    struct cw_bucket *bucket = cw_bucket_table_at(table, key);

    cr_assert_not_null(bucket);
    bucket->used = key + 1;
}

static bool known(struct cw_bucket_table *table, uint64_t key)
{
    struct cw_bucket *bucket = cw_bucket_table_at(table, key);

    cr_assert_not_null(bucket);
    return bucket->used == key + 1;
}

Test(bucket_table, a_new_key_has_a_full_bucket_and_keeps_it)
{
    struct cw_bucket_table *table = cw_bucket_table_new(10);

    cr_assert_not_null(table);
    cr_expect_eq(cw_bucket_table_at(table, 7)->used, 0);
    mark(table, 7);
    cr_expect(known(table, 7));
    cr_expect_eq(cw_bucket_table_keys(table), 1);
    cw_bucket_table_free(table);
}

Test(bucket_table, it_grows_to_its_bound_and_no_further)
{
    struct cw_bucket_table *table = cw_bucket_table_new(1000);

    cr_assert_not_null(table);
    for (uint64_t key = 0; key < 1000; key++) {
        mark(table, key);
    }
    for (uint64_t key = 0; key < 1000; key++) {
        cr_expect(known(table, key), "%d", (int)key);
    }
    mark(table, 1000);
    cr_expect_eq(cw_bucket_table_keys(table), 1000);
    cr_expect(known(table, 1000));
    cw_bucket_table_free(table);
}

Test(bucket_table, the_longest_silent_makes_way)
{
    struct cw_bucket_table *table = cw_bucket_table_new(3);

    cr_assert_not_null(table);
    mark(table, 1);
    mark(table, 2);
    mark(table, 3);
    mark(table, 1); /* now 2 is the longest silent */
    mark(table, 4);
    cr_expect(known(table, 1));
    cr_expect(known(table, 3));
    cr_expect(known(table, 4));
    cr_expect_not(known(table, 2)); /* comes back, and 1 makes way for it */
    cr_expect_not(known(table, 1));
    cw_bucket_table_free(table);
}

Test(bucket_table, a_table_for_one_key_remembers_the_last)
{
    struct cw_bucket_table *table = cw_bucket_table_new(1);

    cr_assert_not_null(table);
    mark(table, 1);
    cr_expect(known(table, 1));
    cr_expect_not(known(table, 2));
    cr_expect_not(known(table, 1));
    cw_bucket_table_free(table);
}

/* The same moves on a list that is searched from end to end. */
Test(bucket_table, thousands_of_random_moves_agree_with_a_plain_list)
{
    enum { KEYS_MAX = 100, MOVES = 100000 };
    struct cw_bucket_table *table = cw_bucket_table_new(KEYS_MAX);
    uint64_t ages[300] = {0}; /* the move in which a key was last asked for; 0: not known */
    unsigned random = 1;

    cr_assert_not_null(table);
    for (uint64_t move = 1; move <= MOVES; move++) {
        random = random * 1103515245U + 12345U;
        size_t key = (random >> 8) % (move % 1000 < 500 ? 300 : 120);
        bool expected = ages[key] != 0;
        size_t count = 0;
        size_t oldest = key;
        ages[key] = move;
        for (size_t i = 0; i < 300; i++) {
            count += ages[i] != 0;
            oldest = ages[i] != 0 && ages[i] < ages[oldest] ? i : oldest;
        }
        if (count > KEYS_MAX) {
            ages[oldest] = 0;
        }
        cr_assert_eq(known(table, key), expected, "move %d", (int)move);
        mark(table, key);
    }
    cw_bucket_table_free(table);
}

static int allocations_left;

static void *scarce_alloc(size_t size)
{
    return allocations_left-- > 0 ? malloc(size) : NULL;
}

static void *scarce_resize(void *memory, size_t size)
{
    return allocations_left-- > 0 ? realloc(memory, size) : NULL;
}

Test(bucket_table, without_memory_it_goes_on_with_what_it_has)
{
    const struct cw_allocator scarce = {scarce_alloc, scarce_resize, free};

    cw_allocator_set(&scarce);
    for (int most = 0; most < 12; most++) {
        allocations_left = most;
        struct cw_bucket_table *table = cw_bucket_table_new(1000);
        for (uint64_t key = 0; table != NULL && key < 300; key++) {
            struct cw_bucket *bucket = cw_bucket_table_at(table, key);
            cr_expect(bucket != NULL || most < 3);
        }
        cw_bucket_table_free(table);
    }
    cw_allocator_set(NULL);
}

Test(bucket_table, only_a_new_key_makes_one_go_and_only_when_it_is_full)
{
    struct cw_bucket_table *table = cw_bucket_table_new(2);

    cr_expect_null(cw_bucket_table_making_way(table, 1));
    struct cw_bucket *first = cw_bucket_table_at(table, 1);
    cr_expect_null(cw_bucket_table_making_way(table, 2));
    cw_bucket_table_at(table, 2);
    cr_expect_null(cw_bucket_table_making_way(table, 1));
    cr_expect_eq(cw_bucket_table_making_way(table, 3), first);
    struct cw_bucket *second = cw_bucket_table_at(table, 2);
    first = cw_bucket_table_at(table, 1);
    cr_expect_eq(cw_bucket_table_making_way(table, 3), second);
    cr_expect_neq(first, second);
    cw_bucket_table_free(table);
}

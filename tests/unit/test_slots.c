/* Connections by number, and when each is looked at again. */
#include "slots.h"
#include "support/leak.h"

#include <criterion/criterion.h>
#include <string.h>

static struct cw_slots slots;

static void release_slots(void)
{
    cw_slots_release(&slots);
    rig_expect_no_leak();
}

TestSuite(slots, .fini = release_slots, .timeout = 60);

/* Slots only carry the pointer. */
static struct cw_conn *numbered(size_t number)
{
    static char places[200000];

    return (struct cw_conn *)(void *)&places[number];
}

static uint32_t take(size_t number)
{
    uint32_t slot;

    cr_assert(cw_slots_take(&slots, numbered(number), &slot));
    return slot;
}

Test(slots, a_slot_is_found_by_its_number_and_generation)
{
    uint32_t slot = take(1);
    uint32_t generation = cw_slots_at(&slots, slot)->generation;

    cr_expect_eq(cw_slots_find(&slots, slot, generation), numbered(1));
    cr_expect_null(cw_slots_find(&slots, slot, generation + 1));
    cr_expect_null(cw_slots_find(&slots, slot, generation - 1));
    cr_expect_null(cw_slots_find(&slots, slot + 1, generation));
    cr_expect_null(cw_slots_find(&slots, CW_SLOTS_MAX - 1, generation));
}

Test(slots, nothing_is_found_where_there_has_never_been_anything)
{
    cr_expect_null(cw_slots_find(&slots, 0, 0));
    take(1);
    cr_expect_null(cw_slots_find(&slots, 63, 0));
    cr_expect_null(cw_slots_find(&slots, 64, 0));
}

Test(slots, a_slot_is_used_again_under_another_generation)
{
    uint32_t first = take(1);
    uint32_t generation = cw_slots_at(&slots, first)->generation;

    cw_slots_give(&slots, first);
    cr_expect_eq(slots.used, 0);
    cr_expect_null(cw_slots_find(&slots, first, generation));
    cr_expect_eq(take(2), first);
    cr_expect_null(cw_slots_find(&slots, first, generation));
    cr_expect_eq(cw_slots_find(&slots, first, generation + 1), numbered(2));
}

Test(slots, a_generation_is_never_0)
{
    for (int i = 0; i < 3; i++) {
        uint32_t slot = take(1);
        cr_expect_neq(cw_slots_at(&slots, slot)->generation, 0);
        cw_slots_give(&slots, slot);
    }
}

Test(slots, a_slot_whose_generations_are_used_up_is_never_taken_again)
{
    uint32_t worn = take(1);

    cw_slots_at(&slots, worn)->generation = UINT32_MAX;
    cw_slots_give(&slots, worn);
    cr_expect_null(cw_slots_find(&slots, worn, UINT32_MAX));
    for (size_t i = 0; i < 200; i++) {
        cr_expect_neq(take(i), worn);
    }
}

Test(slots, many_are_all_different)
{
    static bool seen[100000];

    for (size_t i = 0; i < 100000; i++) {
        uint32_t slot = take(i);
        cr_assert_lt(slot, 100000);
        cr_assert(!seen[slot]);
        seen[slot] = true;
    }
    cr_expect_eq(slots.used, 100000);
    for (uint32_t i = 0; i < 100000; i++) {
        cr_assert_eq(cw_slots_find(&slots, i, 1), cw_slots_at(&slots, i)->conn);
    }
}

/* ---- due ---- */

static uint32_t asked[16];
static size_t asked_count;
static uint32_t again; /* the answer */

static uint32_t note(struct cw_conn *conn, uint32_t now)
{
    asked[asked_count++] = (uint32_t)((char *)conn - (char *)numbered(0));
    return again;
}

static void sweep(uint32_t now)
{
    asked_count = 0;
    cw_slots_sweep(&slots, now, note);
}

Test(slots, only_what_is_due_is_looked_at)
{
    uint32_t first = take(1);
    uint32_t second = take(2);
    uint32_t third;

    for (size_t i = 3; i < 100; i++) {
        third = take(i);
    }
    cw_slots_set_due(&slots, first, 100);
    cw_slots_set_due(&slots, second, 200);
    cw_slots_set_due(&slots, third, 150);
    cr_expect_eq(cw_slots_next_due(&slots), 100);
    sweep(99);
    cr_expect_eq(asked_count, 0);
    sweep(100);
    cr_expect_eq(asked_count, 1);
    cr_expect_eq(asked[0], 1);
    cr_expect_eq(cw_slots_next_due(&slots), 150);
    sweep(1000);
    cr_expect_eq(asked_count, 2);
    cr_expect_eq(cw_slots_next_due(&slots), 0);
    sweep(5000);
    cr_expect_eq(asked_count, 0);
}

Test(slots, an_earlier_tick_counts_and_a_later_one_does_not)
{
    uint32_t slot = take(1);

    cw_slots_set_due(&slots, slot, 100);
    cw_slots_set_due(&slots, slot, 200);
    cr_expect_eq(cw_slots_next_due(&slots), 100);
    cw_slots_set_due(&slots, slot, 50);
    cr_expect_eq(cw_slots_next_due(&slots), 50);
}

Test(slots, the_answer_is_the_next_tick)
{
    uint32_t slot = take(1);

    cw_slots_set_due(&slots, slot, 100);
    again = 300;
    sweep(100);
    cr_expect_eq(asked_count, 1);
    cr_expect_eq(cw_slots_next_due(&slots), 300);
    sweep(299);
    cr_expect_eq(asked_count, 0);
    again = 0;
    sweep(300);
    cr_expect_eq(asked_count, 1);
    cr_expect_eq(cw_slots_next_due(&slots), 0);
}

static uint32_t set_in_the_middle(struct cw_conn *conn, uint32_t now)
{
    asked_count++;
    cw_slots_set_due(&slots, 0, now + 10);
    cw_slots_set_due(&slots, 63, now + 5);
    return 0;
}

Test(slots, ticks_set_while_a_block_is_looked_at_are_kept)
{
    for (size_t i = 0; i < 64; i++) {
        take(i);
    }
    cw_slots_set_due(&slots, 30, 100);
    asked_count = 0;
    cw_slots_sweep(&slots, 100, set_in_the_middle);
    cr_expect_eq(asked_count, 1);
    cr_expect_eq(cw_slots_next_due(&slots), 105);
    asked_count = 0;
    cw_slots_sweep(&slots, 110, note);
    cr_expect_eq(asked_count, 2);
}

static uint32_t end_both(struct cw_conn *conn, uint32_t now)
{
    asked_count++;
    cw_slots_give(&slots, 3);
    cw_slots_give(&slots, 5);
    return 0;
}

Test(slots, those_that_end_while_others_are_looked_at_are_not_asked)
{
    for (size_t i = 0; i < 10; i++) {
        take(i);
    }
    cw_slots_set_due(&slots, 3, 100);
    cw_slots_set_due(&slots, 5, 100);
    asked_count = 0;
    cw_slots_sweep(&slots, 100, end_both);
    cr_expect_eq(asked_count, 1);
    cr_expect_eq(cw_slots_next_due(&slots), 0);
    cr_expect_eq(slots.used, 8);
    take(1);
    take(2);
    cr_expect_eq(slots.used, 10);
    cr_expect_eq(cw_slots_next_due(&slots), 0, "a new connection is not due because of an old one");
}

Test(slots, ticks_are_compared_across_their_wrap)
{
    uint32_t slot = take(1);
    uint32_t other = take(2);

    cw_slots_set_due(&slots, slot, UINT32_MAX - 5);
    cw_slots_set_due(&slots, other, 10);
    cr_expect_eq(cw_slots_next_due(&slots), UINT32_MAX - 5);
    again = 0;
    sweep(UINT32_MAX - 6);
    cr_expect_eq(asked_count, 0);
    sweep(3);
    cr_expect_eq(asked_count, 1);
    cr_expect_eq(asked[0], 1);
    sweep(10);
    cr_expect_eq(asked_count, 1);
}

#include "ip_table.h"
#include "support/leak.h"

#include <causeway/error.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>

static struct cw_ip_table *table;

static void make_table(void)
{
    table = cw_ip_table_new();
    cr_assert_not_null(table);
}

static void free_table(void)
{
    cw_ip_table_free(table);
    rig_expect_no_leak();
}

TestSuite(ip_table, .init = make_table, .fini = free_table, .timeout = 60);

static struct cw_address numbered(uint32_t number)
{
    struct cw_address address = {.family = CW_IPV4, .port = (uint16_t)number};

    for (int i = 0; i < 4; i++) {
        address.ip[i] = (uint8_t)(number >> (24 - 8 * i));
    }
    return address;
}

static int enter(uint32_t number, uint64_t max)
{
    struct cw_address address = numbered(number);

    return cw_ip_table_enter(table, &address, max);
}

static void leave(uint32_t number)
{
    struct cw_address address = numbered(number);

    cw_ip_table_leave(table, &address);
}

Test(ip_table, the_limit_passes_and_one_more_is_refused)
{
    cr_expect_eq(enter(1, 2), CW_OK);
    cr_expect_eq(enter(1, 2), CW_OK);
    cr_expect_eq(enter(1, 2), CW_EADDRESSMAX);
    cr_expect_eq(enter(2, 2), CW_OK);
    leave(1);
    cr_expect_eq(enter(1, 2), CW_OK);
    cr_expect_eq(enter(1, 2), CW_EADDRESSMAX);
}

Test(ip_table, a_refused_address_is_not_remembered)
{
    cr_expect_eq(enter(1, 0), CW_EADDRESSMAX);
    cr_expect_eq(cw_ip_table_addresses(table), 0);
}

Test(ip_table, without_a_limit_everyone_passes)
{
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(enter(1, CW_NO_LIMIT), CW_OK);
    }
    cr_expect_eq(cw_ip_table_addresses(table), 1);
}

Test(ip_table, an_ipv6_neighbour_counts_as_the_same)
{
    struct cw_address one = {.ip = {0x20, 1, 0xd, 0xb8, [15] = 1}, .family = CW_IPV6};
    struct cw_address neighbour = {.ip = {0x20, 1, 0xd, 0xb8, [15] = 2}, .family = CW_IPV6};

    cr_expect_eq(cw_ip_table_enter(table, &one, 1), CW_OK);
    cr_expect_eq(cw_ip_table_enter(table, &neighbour, 1), CW_EADDRESSMAX);
}

Test(ip_table, unix_sockets_are_not_counted)
{
    struct cw_address local = {.family = CW_UNIX};

    cr_expect_eq(cw_ip_table_enter(table, &local, 1), CW_OK);
    cr_expect_eq(cw_ip_table_enter(table, &local, 1), CW_OK);
    cr_expect_eq(cw_ip_table_addresses(table), 0);
    cw_ip_table_leave(table, &local);
}

Test(ip_table, an_address_without_connections_is_forgotten_and_memory_shrinks)
{
    size_t empty = cw_ip_table_bytes(table);

    for (uint32_t i = 0; i < 10000; i++) {
        cr_assert_eq(enter(i, 1), CW_OK);
    }
    cr_expect_eq(cw_ip_table_addresses(table), 10000);
    for (uint32_t i = 0; i < 10000; i++) {
        leave(i);
    }
    cr_expect_eq(cw_ip_table_addresses(table), 0);
    cr_expect_eq(cw_ip_table_bytes(table), empty);
}

Test(ip_table, an_address_takes_at_most_40_bytes_growing_and_shrinking)
{
    for (uint32_t i = 1; i <= 30000; i++) {
        cr_assert_eq(enter(i, 1), CW_OK);
        if (i >= 64) {
            cr_assert_leq(cw_ip_table_bytes(table), 40 * i, "growing, at %u", i);
        }
    }
    for (uint32_t i = 30000; i > 64; i--) {
        leave(i);
        cr_assert_leq(cw_ip_table_bytes(table), 40 * (i - 1), "shrinking, at %u", i);
    }
}

/* The same moves on a plain array, which cannot be wrong: mostly entering for a while, then mostly
 * leaving, so that the table grows and shrinks. */
Test(ip_table, thousands_of_random_moves_agree_with_plain_counters)
{
    enum { ADDRESSES = 300, MOVES = 200000, STRETCH = 5000, MAX = 3 };
    unsigned counts[ADDRESSES] = {0};
    unsigned random = 1;
    size_t with_connections = 0;

    for (unsigned move = 0; move < MOVES; move++) {
        random = random * 1103515245U + 12345U;
        unsigned who = (random >> 8) % ADDRESSES;
        bool growing = move / STRETCH % 2 == 0;
        bool against = (random >> 24) % 4 == 0;
        if (growing != against) {
            int expected = counts[who] == MAX ? CW_EADDRESSMAX : CW_OK;
            cr_assert_eq(enter(who, MAX), expected);
            with_connections += counts[who] == 0;
            counts[who] += expected == CW_OK;
        } else if (counts[who] > 0) {
            leave(who);
            counts[who]--;
            with_connections -= counts[who] == 0;
        }
        cr_assert_eq(cw_ip_table_addresses(table), with_connections);
    }
    for (unsigned who = 0; who < ADDRESSES; who++) {
        cr_expect_eq(enter(who, MAX), counts[who] == MAX ? CW_EADDRESSMAX : CW_OK);
    }
}

enum { THREADS = 4, ROUNDS = 20000, SHARED_MAX = 2 };

/* inside counts those that have entered: never more than the table has let in. */
static pthread_mutex_t inside_lock = PTHREAD_MUTEX_INITIALIZER;
static int inside;
static int inside_most;

static void note(int change)
{
    pthread_mutex_lock(&inside_lock);
    inside += change;
    inside_most = inside > inside_most ? inside : inside_most;
    pthread_mutex_unlock(&inside_lock);
}

static void *come_and_go(void *number)
{
    for (uint32_t i = 0; i < ROUNDS; i++) {
        /* Others come and go around it, so that places move while the limit is kept. */
        (void)enter(1000 + i % 500 + *(uint32_t *)number * 500, 1);
        if (enter(7, SHARED_MAX) == CW_OK) {
            note(1);
            sched_yield();
            note(-1);
            leave(7);
        }
        leave(1000 + i % 500 + *(uint32_t *)number * 500);
    }
    return NULL;
}

Test(ip_table, several_threads_together_keep_the_limit)
{
    pthread_t threads[THREADS];
    uint32_t numbers[THREADS];

    for (uint32_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        cr_assert_eq(pthread_create(&threads[i], NULL, come_and_go, &numbers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    cr_expect_leq(inside_most, SHARED_MAX);
    cr_expect_eq(cw_ip_table_addresses(table), 0);
}

/* Open addressing with linear probing; a removed entry is closed up by moving those behind it, so there are no marks that
 * would have to be swept. */
#include "count_table.h"

#include <causeway/hash.h>
#include <causeway/log.h>

#include <assert.h>
#include <pthread.h>

enum { ROOM_FIRST = 64 };

struct entry {
    uint64_t key;
    uint64_t count; /* 0: a free place */
};

struct cw_count_table {
    pthread_mutex_t lock;
    struct cw_hash_seed seed;
    struct entry *entries;
    size_t room; /* a power of two */
    size_t used; /* at most half of it */
};

static size_t home_of(const struct cw_count_table *table, uint64_t key)
{
    return (size_t)cw_hash(&table->seed, cw_span_of(&key, sizeof key)) & (table->room - 1);
}

/* The key's place, or the free one where it would be put. */
static struct entry *find(const struct cw_count_table *table, uint64_t key)
{
    size_t at = home_of(table, key);

    while (table->entries[at].count != 0 && table->entries[at].key != key) {
        at = (at + 1) & (table->room - 1);
    }
    return &table->entries[at];
}

static bool grow(struct cw_count_table *table)
{
    struct entry *old = table->entries;
    size_t old_room = table->room;
    struct entry *entries = cw_alloc_zero(2 * old_room * sizeof *entries);

    if (!entries) {
        return false;
    }
    table->entries = entries;
    table->room = 2 * old_room;
    for (size_t i = 0; i < old_room; i++) {
        if (old[i].count != 0) {
            *find(table, old[i].key) = old[i];
        }
    }
    cw_release(old);
    return true;
}

/* Whoever stands behind a place that has become free, and could stand there, moves up. */
static void close_up(struct cw_count_table *table, size_t hole)
{
    size_t mask = table->room - 1;

    for (size_t at = (hole + 1) & mask; table->entries[at].count != 0; at = (at + 1) & mask) {
        size_t home = home_of(table, table->entries[at].key);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            table->entries[hole] = table->entries[at];
            table->entries[at].count = 0;
            hole = at;
        }
    }
}

struct cw_count_table *cw_count_table_new(void)
{
    struct cw_count_table *table = cw_alloc_zero(sizeof *table);

    if (!table) {
        return NULL;
    }
    table->room = ROOM_FIRST;
    table->entries = cw_alloc_zero(ROOM_FIRST * sizeof *table->entries);
    pthread_mutex_init(&table->lock, NULL);
    if (!table->entries || cw_hash_seed(&table->seed) < 0) {
        cw_count_table_free(table);
        return NULL;
    }
    return table;
}

void cw_count_table_free(struct cw_count_table *table)
{
    if (table) {
        pthread_mutex_destroy(&table->lock);
        cw_release(table->entries);
        cw_release(table);
    }
}

bool cw_count_table_add(struct cw_count_table *table, uint64_t key, uint64_t max)
{
    bool added = false;

    pthread_mutex_lock(&table->lock);
    struct entry *entry = find(table, key);
    if (entry->count == 0 && table->used >= table->room / 2) {
        entry = grow(table) ? find(table, key) : NULL;
    }
    if (entry && entry->count < max) {
        table->used += entry->count == 0;
        entry->key = key;
        entry->count++;
        added = true;
    }
    pthread_mutex_unlock(&table->lock);
    return added;
}

void cw_count_table_remove(struct cw_count_table *table, uint64_t key)
{
    pthread_mutex_lock(&table->lock);
    struct entry *entry = find(table, key);
    assert(entry->count > 0);
    entry->count--;
    if (entry->count == 0) {
        table->used--;
        close_up(table, (size_t)(entry - table->entries));
    }
    pthread_mutex_unlock(&table->lock);
}

size_t cw_count_table_keys(struct cw_count_table *table)
{
    pthread_mutex_lock(&table->lock);
    size_t keys = table->used;
    pthread_mutex_unlock(&table->lock);
    return keys;
}

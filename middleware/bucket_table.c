/* Entries in one array, chained by hash and linked by age. Indices, because the array moves when it grows. */
#include "bucket_table.h"

#include <causeway/hash.h>
#include <causeway/log.h>

enum { ENTRIES_FIRST = 64 };
#define NONE UINT32_MAX
#define ENTRIES_MOST 0x40000000U

struct entry {
    uint64_t key;
    struct cw_bucket bucket;
    uint32_t newer;
    uint32_t older;
    uint32_t chain;
};

struct cw_bucket_table {
    struct cw_hash_seed seed;
    struct entry *entries;
    uint32_t *heads; /* as many as there is room for entries: a power of two, 0 at first */
    uint32_t room;
    uint32_t count;
    uint32_t count_max;
    uint32_t newest;
    uint32_t oldest;
};

static uint32_t *head_of(struct cw_bucket_table *table, uint64_t key)
{
    uint64_t hash = cw_hash(&table->seed, cw_span_of(&key, sizeof key));

    return &table->heads[hash & (table->room - 1)];
}

static uint32_t find(struct cw_bucket_table *table, uint64_t key)
{
    uint32_t at = table->room == 0 ? NONE : *head_of(table, key);

    while (at != NONE && table->entries[at].key != key) {
        at = table->entries[at].chain;
    }
    return at;
}

static void chain(struct cw_bucket_table *table, uint32_t at)
{
    uint32_t *head = head_of(table, table->entries[at].key);

    table->entries[at].chain = *head;
    *head = at;
}

static void unchain(struct cw_bucket_table *table, uint32_t at)
{
    uint32_t *link = head_of(table, table->entries[at].key);

    while (*link != at) {
        link = &table->entries[*link].chain;
    }
    *link = table->entries[at].chain;
}

/* ---- age ---- */

static void put_newest(struct cw_bucket_table *table, uint32_t at)
{
    table->entries[at].newer = NONE;
    table->entries[at].older = table->newest;
    if (table->newest == NONE) {
        table->oldest = at;
    } else {
        table->entries[table->newest].newer = at;
    }
    table->newest = at;
}

static void take_out(struct cw_bucket_table *table, uint32_t at)
{
    uint32_t newer = table->entries[at].newer;
    uint32_t older = table->entries[at].older;

    *(newer == NONE ? &table->newest : &table->entries[newer].older) = older;
    *(older == NONE ? &table->oldest : &table->entries[older].newer) = newer;
}

/* ---- room ---- */

static bool grow(struct cw_bucket_table *table)
{
    uint32_t room = table->room == 0 ? ENTRIES_FIRST : table->room * 2;
    uint32_t *heads = cw_alloc(room * sizeof *heads);
    struct entry *entries = cw_resize(table->entries, room * sizeof *entries);

    if (entries != NULL) {
        table->entries = entries;
    }
    if (heads == NULL || entries == NULL) {
        cw_release(heads);
        return false;
    }
    cw_release(table->heads);
    memset(heads, 0xff, room * sizeof *heads); /* all NONE */
    table->heads = heads;
    table->room = room;
    for (uint32_t at = 0; at < table->count; at++) {
        chain(table, at);
    }
    return true;
}

/* An entry that is in no chain and has no age; NONE: there is no memory for any. */
static uint32_t free_entry(struct cw_bucket_table *table)
{
    bool may_grow = table->count < table->count_max;

    if (may_grow && (table->count < table->room || grow(table))) {
        return table->count++;
    }
    uint32_t at = table->oldest;
    if (at != NONE) {
        unchain(table, at);
        take_out(table, at);
    }
    return at;
}

/* ---- the table ---- */

struct cw_bucket_table *cw_bucket_table_new(uint64_t keys_max)
{
    struct cw_bucket_table *table = cw_alloc_zero(sizeof *table);

    if (table == NULL || cw_hash_seed(&table->seed) < 0) {
        cw_release(table);
        return NULL;
    }
    table->count_max = keys_max < ENTRIES_MOST ? (uint32_t)keys_max : ENTRIES_MOST;
    table->newest = NONE;
    table->oldest = NONE;
    return table;
}

void cw_bucket_table_free(struct cw_bucket_table *table)
{
    if (table != NULL) {
        cw_release(table->entries);
        cw_release(table->heads);
        cw_release(table);
    }
}

struct cw_bucket *cw_bucket_table_at(struct cw_bucket_table *table, uint64_t key)
{
    uint32_t at = find(table, key);

    if (at == NONE) {
        at = free_entry(table);
        if (at == NONE) {
            return NULL;
        }
        table->entries[at].key = key;
        table->entries[at].bucket = (struct cw_bucket){0};
        chain(table, at);
    } else {
        take_out(table, at);
    }
    put_newest(table, at);
    return &table->entries[at].bucket;
}

struct cw_bucket *cw_bucket_table_making_way(struct cw_bucket_table *table, uint64_t key)
{
    bool full = table->count >= table->count_max && table->oldest != NONE;

    return full && find(table, key) == NONE ? &table->entries[table->oldest].bucket : NULL;
}

uint64_t cw_bucket_table_keys(const struct cw_bucket_table *table)
{
    return table->count;
}

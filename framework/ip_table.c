/* Open addressing with linear probing. Keys and counts are two arrays in one block: 12 bytes a place,
 * and between a third and thirteen sixteenths of the places are taken. */
#include "ip_table.h"

#include <assert.h>
#include <causeway/error.h>
#include <causeway/hash.h>
#include <causeway/log.h>
#include <pthread.h>

enum { PLACES_MIN = 16, PLACE_BYTES = sizeof(uint64_t) + sizeof(uint32_t) };

struct cw_ip_table {
    pthread_mutex_t lock;
    struct cw_hash_seed seed;
    size_t places; /* a power of two */
    size_t taken;
    uint64_t *keys;
    uint32_t *counts; /* 0: the place is free. Behind the keys, in the same block */
};

static int make_places(struct cw_ip_table *table, size_t places)
{
    uint64_t *block = cw_alloc_zero(places * PLACE_BYTES);

    if (block == NULL) {
        return CW_ENOMEM;
    }
    table->keys = block;
    table->counts = (uint32_t *)(block + places);
    table->places = places;
    return CW_OK;
}

static size_t home_of(const struct cw_ip_table *table, uint64_t key)
{
    return (size_t)cw_hash(&table->seed, cw_span_of(&key, sizeof key)) & (table->places - 1);
}

/* The place of a key, or the free one where it belongs. There always is one. */
static size_t find(const struct cw_ip_table *table, uint64_t key)
{
    size_t place = home_of(table, key);

    while (table->counts[place] != 0 && table->keys[place] != key) {
        place = (place + 1) & (table->places - 1);
    }
    return place;
}

static int resize(struct cw_ip_table *table, size_t places)
{
    struct cw_ip_table old = *table;

    if (make_places(table, places) < 0) {
        return CW_ENOMEM;
    }
    for (size_t i = 0; i < old.places; i++) {
        if (old.counts[i] != 0) {
            size_t place = find(table, old.keys[i]);
            table->keys[place] = old.keys[i];
            table->counts[place] = old.counts[i];
        }
    }
    cw_release(old.keys);
    return CW_OK;
}

/* Moves back whoever would no longer be found behind the place that becomes free. */
static void forget(struct cw_ip_table *table, size_t hole)
{
    size_t mask = table->places - 1;

    for (size_t at = (hole + 1) & mask; table->counts[at] != 0; at = (at + 1) & mask) {
        size_t from_home = (at - home_of(table, table->keys[at])) & mask;
        if (from_home >= ((at - hole) & mask)) {
            table->keys[hole] = table->keys[at];
            table->counts[hole] = table->counts[at];
            hole = at;
        }
    }
    table->counts[hole] = 0;
    table->taken--;
}

static int add(struct cw_ip_table *table, uint64_t key)
{
    if (table->taken >= table->places / 16 * 13 && resize(table, table->places * 2) < 0) {
        return CW_ENOMEM;
    }
    size_t place = find(table, key);
    table->keys[place] = key;
    table->counts[place] = 1;
    table->taken++;
    return CW_OK;
}

static int enter(struct cw_ip_table *table, uint64_t key, uint64_t max)
{
    size_t place = find(table, key);
    uint32_t count = table->counts[place];

    if (count >= max || count == UINT32_MAX) {
        return CW_EADDRESSMAX;
    }
    if (count == 0) {
        return add(table, key);
    }
    table->counts[place] = count + 1;
    return CW_OK;
}

static void leave(struct cw_ip_table *table, uint64_t key)
{
    size_t place = find(table, key);

    assert(table->counts[place] != 0);
    if (table->counts[place] > 1) {
        table->counts[place]--;
        return;
    }
    forget(table, place);
    if (table->places > PLACES_MIN && table->taken < table->places / 3) {
        /* Without memory for the smaller table the larger one stays. */
        (void)resize(table, table->places / 2);
    }
}

struct cw_ip_table *cw_ip_table_new(void)
{
    struct cw_ip_table *table = cw_alloc_zero(sizeof *table);

    if (table == NULL) {
        return NULL;
    }
    if (cw_hash_seed(&table->seed) < 0 || make_places(table, PLACES_MIN) < 0) {
        cw_release(table);
        return NULL;
    }
    pthread_mutex_init(&table->lock, NULL);
    return table;
}

void cw_ip_table_free(struct cw_ip_table *table)
{
    if (table == NULL) {
        return;
    }
    pthread_mutex_destroy(&table->lock);
    cw_release(table->keys);
    cw_release(table);
}

int cw_ip_table_enter(struct cw_ip_table *table, const struct cw_address *address, uint64_t max)
{
    uint64_t key;

    if (!cw_address_limit_key(address, &key)) {
        return CW_OK;
    }
    pthread_mutex_lock(&table->lock);
    int code = enter(table, key, max);
    pthread_mutex_unlock(&table->lock);
    return code;
}

void cw_ip_table_leave(struct cw_ip_table *table, const struct cw_address *address)
{
    uint64_t key;

    if (!cw_address_limit_key(address, &key)) {
        return;
    }
    pthread_mutex_lock(&table->lock);
    leave(table, key);
    pthread_mutex_unlock(&table->lock);
}

size_t cw_ip_table_addresses(struct cw_ip_table *table)
{
    pthread_mutex_lock(&table->lock);
    size_t taken = table->taken;
    pthread_mutex_unlock(&table->lock);
    return taken;
}

size_t cw_ip_table_bytes(struct cw_ip_table *table)
{
    pthread_mutex_lock(&table->lock);
    size_t bytes = sizeof *table + table->places * PLACE_BYTES;
    pthread_mutex_unlock(&table->lock);
    return bytes;
}

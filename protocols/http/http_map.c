/* Open addressing, one slot behind the other. */
#include "http_map.h"

#include <causeway/error.h>
#include <causeway/log.h>

/* FNV-1a, and a last step that brings the high bits down. */
static uint32_t hash_of(struct cw_span key)
{
    uint32_t hash = 2166136261U;

    for (size_t i = 0; i < key.len; i++) {
        hash = (hash ^ key.data[i]) * 16777619U;
    }
    return hash ^ hash >> 15;
}

/* The slot of the key, or the free one where it would be. */
static struct cw_http_map_slot *map_slot(const struct cw_http_map *map, struct cw_span key,
                                         size_t *steps)
{
    uint32_t hash = hash_of(key);
    size_t at = hash & (map->cap - 1);

    while (map->slots[at].value) {
        if (map->slots[at].hash == hash) {
            ++*steps;
            if (cw_span_equal(map->slots[at].key, key)) {
                break;
            }
        }
        at = (at + 1) & (map->cap - 1);
    }
    return &map->slots[at];
}

void *cw_http_map_find(const struct cw_http_map *map, struct cw_span key, size_t *steps)
{
    return map->count == 0 || key.len > map->longest ? NULL : map_slot(map, key, steps)->value;
}

static int map_grow(struct cw_http_map *map)
{
    struct cw_http_map larger = {.cap = map->cap ? 2 * map->cap : 4, .longest = map->longest};

    larger.slots = cw_alloc_zero(larger.cap * sizeof *larger.slots);
    if (!larger.slots) {
        return CW_ENOMEM;
    }
    for (size_t i = 0; i < map->cap; i++) {
        if (map->slots[i].value) {
            size_t steps = 0;

            *map_slot(&larger, map->slots[i].key, &steps) = map->slots[i];
        }
    }
    larger.count = map->count;
    cw_release(map->slots);
    *map = larger;
    return CW_OK;
}

int cw_http_map_add(struct cw_http_map *map, struct cw_span key, void *value)
{
    size_t steps = 0;

    if (2 * (map->count + 1) > map->cap && map_grow(map) < 0) {
        return CW_ENOMEM;
    }
    *map_slot(map, key, &steps) = (struct cw_http_map_slot){hash_of(key), key, value};
    map->count++;
    map->longest = key.len > map->longest ? key.len : map->longest;
    return CW_OK;
}

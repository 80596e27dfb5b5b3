/* A table by text, set up once and then only read. It frees neither keys nor values. */
#ifndef CW_HTTP_MAP_H
#define CW_HTTP_MAP_H

#include <causeway/types.h>

struct cw_http_map_slot {
    uint32_t hash;
    struct cw_span key;
    void *value; /* NULL: free */
};

/* Zero at first. At most half full, so that a search ends soon. The hash has no secret: keys are the site's own, a peer
 * chooses only what is looked up. */
struct cw_http_map {
    struct cw_http_map_slot *slots; /* to be freed with cw_release */
    size_t count;
    size_t cap; /* a power of two, or 0 */
    size_t longest;
};

/* The value of a key; NULL: it is not there. *steps grows by the number of texts that were compared. */
void *cw_http_map_find(const struct cw_http_map *map, struct cw_span key, size_t *steps);

/* Adds a key that is not there. It is borrowed as long as the map.
 *
 * returns  0, CW_ENOMEM */
int cw_http_map_add(struct cw_http_map *map, struct cw_span key, void *value);

#endif

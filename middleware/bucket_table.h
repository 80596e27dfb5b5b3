/* Token buckets by address key: a bounded table in which the longest silent makes way for the newest. */
#ifndef CAUSEWAY_MIDDLEWARE_BUCKET_TABLE_H
#define CAUSEWAY_MIDDLEWARE_BUCKET_TABLE_H

#include "token_bucket.h"

struct cw_bucket_table;

/* Makes an empty table for at most keys_max keys. Memory grows with the keys: about 48 bytes each.
 *
 * returns  yours; NULL: no memory or no random numbers
 * thread   any */
struct cw_bucket_table *cw_bucket_table_new(uint64_t keys_max);

/* Frees it. NULL is allowed.
 *
 * thread   any, when nobody else uses it */
void cw_bucket_table_free(struct cw_bucket_table *table);

/* The bucket of a key, a full one if it is new, which from now on is the last to make way.
 *
 * returns  good until the next call; NULL: no memory for the very first
 * thread   one at a time */
struct cw_bucket *cw_bucket_table_at(struct cw_bucket_table *table, uint64_t key);

/* The bucket that would make way for a key: the longest silent, if the key is new and the table full; NULL: none.
 *
 * returns  good until the next call
 * thread   one at a time */
struct cw_bucket *cw_bucket_table_making_way(struct cw_bucket_table *table, uint64_t key);

/* How many keys it knows.
 *
 * thread   one at a time */
uint64_t cw_bucket_table_keys(const struct cw_bucket_table *table);

#endif

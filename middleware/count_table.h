#ifndef CW_COUNT_TABLE_H
#define CW_COUNT_TABLE_H

/* How many of each key there are now. A key is forgotten when its number is back at zero, so the table is as large as what is
 * counted. Shared by all loops: each call holds a short lock. */

#include <causeway/types.h>

struct cw_count_table;

/* NULL: no memory, or no random numbers for its hash. */
struct cw_count_table *cw_count_table_new(void);

/* NULL is allowed. */
void cw_count_table_free(struct cw_count_table *table);

/* Counts one more. False: there are max already, or no memory to remember it. */
bool cw_count_table_add(struct cw_count_table *table, uint64_t key, uint64_t max);

/* Takes one off that was counted. */
void cw_count_table_remove(struct cw_count_table *table, uint64_t key);

/* How many keys are remembered. */
size_t cw_count_table_keys(struct cw_count_table *table);

#endif

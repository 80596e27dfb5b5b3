/* How many connections each address has: one table for all workers, for `conns_per_ip_max`. */
#ifndef CAUSEWAY_IP_TABLE_H
#define CAUSEWAY_IP_TABLE_H

#include <causeway/address.h>

struct cw_ip_table;

/* Makes an empty table.
 *
 * returns  yours; NULL: no memory or no random numbers
 * thread   any */
struct cw_ip_table *cw_ip_table_new(void);

/* Frees it. NULL is allowed.
 *
 * thread   any, when nobody else uses it */
void cw_ip_table_free(struct cw_ip_table *table);

/* Counts one more connection of an address (cw_address_limit_key; unix sockets are not counted).
 *
 * max      connections it may have; CW_NO_LIMIT
 * returns  0: counted, to be undone with cw_ip_table_leave; CW_EADDRESSMAX, CW_ENOMEM: not counted
 * thread   any */
int cw_ip_table_enter(struct cw_ip_table *table, const struct cw_address *address, uint64_t max);

/* Takes one connection back. An address without connections is forgotten, and memory follows.
 *
 * thread   any */
void cw_ip_table_leave(struct cw_ip_table *table, const struct cw_address *address);

/* How many addresses have connections, and the bytes the table takes: at most 40 for each address, once
 * there are more than a few.
 *
 * thread   any */
size_t cw_ip_table_addresses(struct cw_ip_table *table);
size_t cw_ip_table_bytes(struct cw_ip_table *table);

#endif

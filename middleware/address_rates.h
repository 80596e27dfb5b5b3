/* How much each address has sent lately: datagrams and bytes, in a table whose size never changes. Shared by all workers. */
#ifndef CAUSEWAY_MIDDLEWARE_ADDRESS_RATES_H
#define CAUSEWAY_MIDDLEWARE_ADDRESS_RATES_H

#include <causeway/types.h>

/* So much a second, so much at once after a rest. per_s 0: no limit; otherwise burst is not 0. */
struct cw_pace {
    uint64_t per_s; /* up to CW_PACE_MOST */
    uint64_t burst; /* up to an hour's worth */
};

enum { CW_PACE_MOST = 1000000000, CW_ADDRESSES_MOST = 1 << 24 };

struct cw_address_rates;

/* Makes an empty table: 24 bytes for each of so many addresses, all of them now.
 *
 * addresses  1 to CW_ADDRESSES_MOST, rounded up to a power of two
 * returns    yours; NULL: no memory or no random numbers
 * thread     any */
struct cw_address_rates *cw_address_rates_new(uint64_t addresses, struct cw_pace datagrams,
                                              struct cw_pace bytes);

/* Frees it. NULL is allowed.
 *
 * thread   any, when nobody else uses it */
void cw_address_rates_free(struct cw_address_rates *rates);

/* Counts a datagram of so many bytes, if both paces allow it. An address has eight places, by its hash, with others: a new one
 * takes that of the one that is nearest to owing nothing. So those that are above their pace stay, however many new ones come.
 *
 * key      of cw_address_limit_key
 * returns  whether it may pass
 * thread   any */
bool cw_address_rates_take(struct cw_address_rates *rates, uint64_t key, size_t len,
                           uint64_t now_ms);

#endif

/* How much one address may send by UDP: datagrams and bytes per second, before anything is done with them.
 *
 * Where every datagram comes from a peer of its own account, cw_rate_limit limits those; this one limits addresses, also where
 * there are no peers, and those that are made up. */
#ifndef CAUSEWAY_MIDDLEWARE_DATAGRAM_LIMIT_H
#define CAUSEWAY_MIDDLEWARE_DATAGRAM_LIMIT_H

#include <causeway/middleware.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Rates of one IPv4 address or IPv6 /64, on all workers and listeners of datagrams together. Zero means the default in every
 * member. */
struct cw_datagram_limit_options {
    uint64_t datagrams_per_s; /* up to 1000000000. 0: 2000; CW_NO_LIMIT */
    uint64_t datagrams_burst; /* at once after a rest; at most an hour's worth. 0: one second's worth */
    uint64_t bytes_per_s;     /* without IP and UDP, up to 1000000000. 0: 4194304; CW_NO_LIMIT */
    uint64_t bytes_burst; /* a longer datagram never passes; at most an hour's worth. 0: one second's worth, or 65507 where that
                             is less */
    uint64_t addresses_max; /* remembered at once, 24 bytes each, all taken now; up to 16777216. 0: 65536 */
};

/* Makes the middleware, for cw_server_use, which takes it over. What is above a rate is dropped and counted in dropped_rule
 * of struct cw_datagram_stats; the log has a line of it at most every ten seconds.
 *
 * options  copied; NULL: the defaults
 * returns  NULL: memory ran out, a number is too large, or a burst has no rate (logged); cw_server_use keeps that as an error
 * thread   any */
struct cw_conn_middleware *cw_datagram_limit(const struct cw_datagram_limit_options *options);

#ifdef __cplusplus
}
#endif

#endif

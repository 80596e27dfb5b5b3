/* Who may connect, and how often: allow and deny lists, accepts per address. */
#ifndef CAUSEWAY_MIDDLEWARE_IP_LIMIT_H
#define CAUSEWAY_MIDDLEWARE_IP_LIMIT_H

#include <causeway/middleware.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Rules about addresses. Zero means the default in every member. */
struct cw_ip_limit_options {
    const char *const *allow; /* CIDR texts, NULL at the end. NULL: everyone; an empty list: nobody. Unix
                                  sockets always pass */
    const char *const *deny; /* the same; wins over allow. NULL: nobody */
    uint64_t accepts;        /* new connections of one IPv4 address or IPv6 /64 … 0: no limit */
    uint64_t per_ms;         /* … in this time, refilled evenly. 0: 1000 */
    uint64_t addresses_max;  /* addresses remembered; the longest silent goes first. 0: 65536 */
};

/* Makes the middleware, for cw_server_use, which takes it over. A refused peer is CW_EDENIED (lists) or CW_ERATE. Of UDP the
 * lists are for each datagram: one that is not allowed is dropped and counted in dropped_rule of struct cw_datagram_stats, and the
 * log has a line of it at most every ten seconds; `accepts` counts new peers.
 *
 * options  copied, with its texts; NULL: no rules
 * returns  NULL: memory ran out, a text is not a prefix, or per_ms or addresses_max without accepts (logged);
 *          cw_server_use keeps that as an error
 * thread   any */
struct cw_conn_middleware *cw_ip_limit(const struct cw_ip_limit_options *options);

#ifdef __cplusplus
}
#endif

#endif

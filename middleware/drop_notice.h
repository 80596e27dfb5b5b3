/* Says in the log that datagrams are dropped: seldom, however many there are. */
#ifndef CAUSEWAY_MIDDLEWARE_DROP_NOTICE_H
#define CAUSEWAY_MIDDLEWARE_DROP_NOTICE_H

#include <causeway/address.h>

enum { CW_DROP_NOTICE_MS = 10000 };

/* Of one middleware; zeros at first. Shared by all workers. */
struct cw_drop_notice {
    _Atomic uint64_t dropped;
    _Atomic uint64_t next_ms; /* no line before */
};

/* Counts one, and says so at most once in CW_DROP_NOTICE_MS, with the number of all.
 *
 * why      what the peer is: `above its rate`
 * thread   any */
void cw_drop_notice(struct cw_drop_notice *notice, const char *name, const char *why,
                    const struct cw_address *peer, uint64_t now_ms);

#endif

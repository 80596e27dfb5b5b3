#include "drop_notice.h"

#include <causeway/log.h>

#include <inttypes.h>
#include <stdatomic.h>

void cw_drop_notice(struct cw_drop_notice *notice, const char *name, const char *why,
                    const struct cw_address *peer, uint64_t now_ms)
{
    uint64_t dropped = 1 + atomic_fetch_add_explicit(&notice->dropped, 1, memory_order_relaxed);
    uint64_t next_ms = atomic_load_explicit(&notice->next_ms, memory_order_relaxed);
    char text[CW_ADDRESS_TEXT_MAX];

    if (now_ms < next_ms ||
        !atomic_compare_exchange_strong(&notice->next_ms, &next_ms, now_ms + CW_DROP_NOTICE_MS)) {
        return;
    }
    cw_log(CW_LOG_WARNING, 0, "%s: %s is %s; datagrams dropped so far: %" PRIu64, name,
           cw_address_print(peer, text), why, dropped);
}

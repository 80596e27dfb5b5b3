/* The handshake over memory: every allocation made to fail in turn, and what an application has set is never lost. */
#include "support/fault.h"
#include "support/leak.h"
#include "support/rig.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(ws_handshake_memory, .fini = rig_expect_no_leak, .timeout = 60);

#define REQUEST                                                                                    \
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"               \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"                 \
    "Sec-WebSocket-Protocol: v2\r\nSec-WebSocket-Protocol: v1\r\n"                                 \
    "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
#define FRAME "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"

enum { ALLOCATIONS_MAX = 200 };

static unsigned made;
static unsigned dropped;

static void drop(void *user)
{
    dropped++;
}

static int let_in(struct cw_http_exchange *http, void *user)
{
    made++;
    return cw_websocket_set_user(http, &made, drop) == 0 ? CW_HTTP_NEXT : CW_HTTP_ANSWERED;
}

/* Returns whether there was an n-th allocation. */
static bool fail_at(size_t nth)
{
    const struct cw_websocket_options options = {
        .on_handshake = let_in, .subprotocols = "v1", .compress = true};
    const struct rig_setup setup = {
        .protocol = &cw_websocket, .options = &options, .echo = true, .fail_at = nth};
    struct rig *rig = rig_new(&setup);
    unsigned opened;
    bool failed;

    if (rig != NULL) {
        rig_feed(rig, REQUEST FRAME, sizeof REQUEST FRAME - 1);
    }
    failed = fault_disarm();
    opened = rig != NULL && strncmp(rig_told(rig), "open", 4) == 0 ? 1 : 0;
    if (!failed) {
        cr_expect_not_null(strstr(rig_told(rig), "text \"Hello\""), "%s", rig_told(rig));
        cr_expect_not_null(memmem(rig->output.data, rig->output.len, "HTTP/1.1 101 ", 13));
    }
    rig_free(rig);
    cr_expect_eq(made, opened + dropped, "without allocation %zu: %u made, %u opened, %u dropped",
                 nth, made, opened, dropped);
    made = 0;
    dropped = 0;
    return failed;
}

Test(ws_handshake_memory, without_memory_nobody_is_let_in_and_no_user_is_lost)
{
    size_t nth = 1;

    cw_log_set_level(CW_LOG_SILENT);
    fault_install();
    while (nth < ALLOCATIONS_MAX && fail_at(nth)) {
        nth++;
    }
    cr_expect_gt(nth, 10);
    cr_expect_lt(nth, ALLOCATIONS_MAX);
    fault_remove();
}

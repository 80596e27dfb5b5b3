/* WebSocket without its handshake: frames from the first byte on, for connections over memory. */
#ifndef CAUSEWAY_TESTS_WS_BARE_H
#define CAUSEWAY_TESTS_WS_BARE_H

#include "support/rig.h"

#include <causeway/websocket.h>

/* The protocol of rig_setup. */
extern const struct cw_protocol ws_bare;

/* The same, as if permessage-deflate had been agreed on: nobody keeps a context; both do. */
extern const struct cw_protocol ws_bare_deflate;
extern const struct cw_protocol ws_bare_kept;

/* How a frame is made: FIN is set, RSV bits are not, and it has a mask, unless it says otherwise. */
struct ws_bare_frame {
    uint8_t opcode;
    const void *payload; /* NULL: none */
    size_t len;
    bool more;     /* without FIN */
    uint8_t rsv;   /* 0x40: RSV1 */
    bool unmasked; /* as a server's */
};

void ws_bare_put(struct rig_bytes *bytes, const struct ws_bare_frame *frame);
void ws_bare_text(struct rig_bytes *bytes, const char *text);

#endif

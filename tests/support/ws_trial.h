#ifndef CAUSEWAY_TESTS_WS_TRIAL_H
#define CAUSEWAY_TESTS_WS_TRIAL_H

/* Delivers the cases of a file (support/ws_case.h) over sockets, many at once, and compares what comes back. Behind each case
 * something sound follows: a close frame, or, where the case has ended the conversation itself, a message that must not be
 * answered. */

#include "support/host.h"
#include "support/peer.h"
#include "support/ws_case.h"

struct ws_court {
    enum cw_role tested;
    struct rig_host *host; /* in whose loop the tested side lives */

    /* A new connection, its handshake done; the peer is the other side. */
    struct rig_peer (*meet)(struct ws_court *court);
};

enum ws_trial_way {
    WS_TRIAL_WHOLE, /* in one go */
    WS_TRIAL_STEPS, /* byte by byte, each looked at before the next one follows; long ones in 100 steps */
    WS_TRIAL_CUTS, /* in two pieces, once for every point between; long ones for 100 of them */
};

/* Returns how many cases there were. */
size_t ws_try_file(struct ws_court *court, const char *file, enum ws_trial_way way);

/* ---- for `meet` ---- */

#define WS_TRIAL_REQUEST                                                                           \
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                   \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

/* As a client: sends a request, reads the 101. */
void ws_trial_ask(struct rig_peer *peer, const char *request);

/* As a server: reads the request, answers 101. */
void ws_trial_answer(struct rig_peer *peer);

#endif

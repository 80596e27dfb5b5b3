#ifndef CAUSEWAY_TESTS_WS_TRIAL_H
#define CAUSEWAY_TESTS_WS_TRIAL_H

/* Delivers the cases of a file (support/ws_case.h) over sockets, many at once, and compares what comes back. Behind each case
 * something sound follows: a close frame, or, where the case has ended the conversation itself, a message that must not be
 * answered. */

#include "support/host.h"
#include "support/peer.h"
#include "support/silent.h"
#include "support/ws_case.h"

#include <causeway/websocket.h>

/* Where the tested side lives: a server at a path, or clients in the loop of a server that nobody visits. They send every message
 * back. */
struct ws_court {
    enum cw_role tested;
    struct rig_host *host;
    struct cw_websocket_options options;
    struct rig_silent listener; /* of a client's peers */
    char folder[64];
    char path[80];
    char url[160];
};

/* options: copied, but not what they point to. */
void ws_court_open(struct ws_court *court, enum cw_role tested,
                   const struct cw_websocket_options *options);
void ws_court_close(struct ws_court *court);

enum ws_trial_way {
    WS_TRIAL_WHOLE, /* in one go */
    WS_TRIAL_STEPS, /* byte by byte, each looked at before the next one follows; long ones in 100 steps */
    WS_TRIAL_CUTS, /* in two pieces, once for every point between; long ones for 100 of them */
};

/* Returns how many cases there were. */
size_t ws_try_file(struct ws_court *court, const char *file, enum ws_trial_way way);

/* ---- handshakes ---- */

#define WS_TRIAL_REQUEST                                                                           \
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                   \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

/* As a client: sends a request, reads the 101. */
void ws_trial_ask(struct rig_peer *peer, const char *request);

/* As a server: reads the request, answers 101. */
void ws_trial_answer(struct rig_peer *peer);

#endif

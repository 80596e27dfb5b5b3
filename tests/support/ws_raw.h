#ifndef CAUSEWAY_TESTS_WS_RAW_H
#define CAUSEWAY_TESTS_WS_RAW_H

/* A WebSocket of bytes: the handshake, and frames as the test makes them (support/ws_bare.h), on a peer's socket. What does not come in
 * time, or comes otherwise, ends the test; on any thread and in any process. */

#include "support/peer.h"
#include "support/ws_bare.h"

enum {
    WS_RAW_FIN = 0x80,
    WS_RAW_TEXT = 1,
    WS_RAW_BINARY = 2,
    WS_RAW_CLOSE = 8,
    WS_RAW_PING,
    WS_RAW_PONG
};

/* Asks for a WebSocket on that path, and is answered with 101. */
void ws_raw_upgrade(struct rig_peer *peer, const char *path);

/* The same with more fields, each with its end. */
void ws_raw_upgrade_with(struct rig_peer *peer, const char *path, const char *fields);

/* The first on a connection of its own. */
struct rig_peer ws_raw_open(uint16_t port, const char *path);

/* One whole frame. opcode: without FIN, which is added. */
void ws_raw_send(struct rig_peer *peer, uint8_t opcode, const void *payload, size_t len);

/* The next frame: its first byte into *first, its payload into memory of cap bytes. Returns the payload's length. */
size_t ws_raw_read(struct rig_peer *peer, uint8_t *first, void *payload, size_t cap);

/* The next frame is whole, of that kind, with that payload. */
void ws_raw_expect(struct rig_peer *peer, uint8_t opcode, const void *payload, size_t len);
void ws_raw_expect_text(struct rig_peer *peer, const char *text);

/* The next frame is a close frame with that code; text has to be in its reason. */
void ws_raw_expect_close(struct rig_peer *peer, unsigned code, const char *text);

#endif

#ifndef CAUSEWAY_TESTS_WS_WORDS_H
#define CAUSEWAY_TESTS_WS_WORDS_H

/* A WebSocket client of few words, on top of http_peer: short frames, one at a time. What does not come, or comes otherwise, ends
 * the test. */

#include "support/http_peer.h"

/* A request for a WebSocket; fields: lines with their ends. path may be any target. */
void ws_ask(struct http_peer *peer, const char *path, const char *fields, struct http_reply *reply);

/* The same on a connection of its own, answered with 101. */
struct http_peer ws_open(uint16_t port, const char *path, const char *fields);

/* One masked text. */
void ws_send(struct http_peer *peer, const char *text);

/* The next frame is this text. */
void ws_expect(struct http_peer *peer, const char *text);

/* The next frame is a close frame with this code; it is answered, and the other side ends. */
void ws_expect_close(struct http_peer *peer, unsigned code);

/* Says goodbye, waits for the answer, closes. */
void ws_close(struct http_peer *peer);

#endif

/* A scripted WebSocket client over a socket: sends the frames that the test writes, and reads one frame at a time. What does not
 * happen in time, or is no frame that a server may send, ends the process with abort() and says what came instead. */
#ifndef CAUSEWAY_TESTS_WS_TALK_H
#define CAUSEWAY_TESTS_WS_TALK_H

#include "support/http_peer.h"

#include <stdbool.h>

/* The first byte of a frame. */
enum {
    WS_TALK_TEXT = 0x81, /* whole, as the next four */
    WS_TALK_BINARY = 0x82,
    WS_TALK_CLOSE = 0x88,
    WS_TALK_PING = 0x89,
    WS_TALK_PONG = 0x8a,
    WS_TALK_DEFLATED = 0x40, /* added: permessage-deflate */
};

struct ws_talk {
    struct http_peer peer;
    struct http_reply reply; /* to the handshake */

    /* The frame that was read last. */
    uint8_t first;
    uint8_t *body; /* ends with a zero byte that does not count */
    size_t len;

    unsigned pings; /* that were answered */
};

/* Asks for a WebSocket and reads the answer into `reply`; returns its status. A 101 has to be a right one.
 *
 * fields  more lines of the head, each with its end */
int ws_talk_ask(struct ws_talk *talk, struct rig_peer peer, const char *target, const char *fields);

/* The same on a connection that has been answered otherwise before. */
int ws_talk_ask_again(struct ws_talk *talk, const char *target, const char *fields);

/* As ws_talk_ask; it has to be a 101. */
void ws_talk_open(struct ws_talk *talk, struct rig_peer peer, const char *target,
                  const char *fields);

/* One frame, masked. */
void ws_talk_send(struct ws_talk *talk, uint8_t first, const void *data, size_t len);
void ws_talk_send_text(struct ws_talk *talk, const char *text);

/* A message deflated without a context, and what the last frame says when it was. free() what is returned. */
void ws_talk_send_deflated(struct ws_talk *talk, const void *data, size_t len);
uint8_t *ws_talk_inflated(const struct ws_talk *talk, size_t *len);

/* The next frame, whatever it is. */
void ws_talk_read(struct ws_talk *talk);

/* The next that is no ping; pings are answered. */
void ws_talk_next(struct ws_talk *talk);

/* The next of these, pings apart. */
void ws_talk_expect_text(struct ws_talk *talk, const char *text);
void ws_talk_expect(struct ws_talk *talk, uint8_t first, const void *data, size_t len);

/* A close frame with this code, which is answered. Returns its reason. */
const char *ws_talk_expect_close(struct ws_talk *talk, unsigned code);

/* Closes with 1000, expects the same back, and the end. */
void ws_talk_say_goodbye(struct ws_talk *talk);

/* Just closes the socket, and frees. */
void ws_talk_end(struct ws_talk *talk);

#endif

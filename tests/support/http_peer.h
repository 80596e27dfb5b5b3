/* A scripted HTTP client: sends what the test writes, reads one answer at a time, and judges its framing strictly. What does not
 * happen in time, or is no HTTP, ends the process with abort() and says what came instead. */
#ifndef CAUSEWAY_TESTS_HTTP_PEER_H
#define CAUSEWAY_TESTS_HTTP_PEER_H

#include "support/peer.h"

#include <causeway/types.h>

enum { HTTP_PEER_HEAD_MAX = 131072 };

struct http_peer {
    struct rig_peer peer;
    uint8_t *ahead; /* received and not looked at */
    size_t ahead_len;
    size_t ahead_cap;
};

struct http_reply {
    int status;
    char head[HTTP_PEER_HEAD_MAX]; /* with its empty line */
    size_t head_len;
    uint8_t *body; /* ends with a zero byte that does not count */
    size_t body_len;
    char trailers[4096];
    bool chunked;
    size_t chunks;
};

struct http_peer http_peer_new(uint16_t port);
void http_peer_send(struct http_peer *peer, const char *text);

/* The next answer. to_head: it answers a HEAD. Interim answers (1xx but 101) are answers of their own. */
void http_peer_read(struct http_peer *peer, struct http_reply *reply, bool to_head);

/* Sends and reads; the request decides whether it is a HEAD. */
void http_peer_ask(struct http_peer *peer, const char *request, struct http_reply *reply);

/* The value of a field of the answer, copied; "" when it is not there. Good until the next call but three. */
const char *http_reply_field(const struct http_reply *reply, const char *name);

void http_reply_release(struct http_reply *reply);

/* The other side ends in good order, and nothing more comes. */
void http_peer_expect_end(struct http_peer *peer);
void http_peer_close(struct http_peer *peer);

/* One request on a connection of its own: the status, and the body as text into `body` (NULL: not wanted). */
int http_get(uint16_t port, const char *request, char *body, size_t cap);

#endif

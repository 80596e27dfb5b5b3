#include "support/ws_words.h"

#include "support/wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHORT_MAX = 125, MASKED = 0x80, FIN_TEXT = 0x81, FIN_CLOSE = 0x88 };

void ws_ask(struct http_peer *peer, const char *path, const char *fields, struct http_reply *reply)
{
    char request[8192];

    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
             path, fields);
    http_peer_ask(peer, request, reply);
}

struct http_peer ws_open(uint16_t port, const char *path, const char *fields)
{
    struct http_peer peer = http_peer_new(port);
    struct http_reply *reply = calloc(1, sizeof *reply);

    ws_ask(&peer, path, fields, reply);
    if (reply->status != 101) {
        rig_fail(__FILE__, __LINE__, "%s: %s", path, reply->head);
    }
    http_reply_release(reply);
    free(reply);
    return peer;
}

static void send_frame(struct http_peer *peer, uint8_t first, const uint8_t *payload, size_t len)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t frame[2 + sizeof mask + SHORT_MAX] = {first, (uint8_t)(MASKED | len)};

    rig_check(len <= SHORT_MAX);
    memcpy(frame + 2, mask, sizeof mask);
    for (size_t i = 0; i < len; i++) {
        frame[2 + sizeof mask + i] = payload[i] ^ mask[i % sizeof mask];
    }
    rig_peer_send(&peer->peer, frame, 2 + sizeof mask + len);
}

void ws_send(struct http_peer *peer, const char *text)
{
    send_frame(peer, FIN_TEXT, (const uint8_t *)text, strlen(text));
}

/* What came behind the 101 comes first. */
static void receive(struct http_peer *peer, uint8_t *to, size_t len)
{
    size_t ahead = peer->ahead_len < len ? peer->ahead_len : len;

    if (ahead > 0) {
        memcpy(to, peer->ahead, ahead);
        memmove(peer->ahead, peer->ahead + ahead, peer->ahead_len - ahead);
        peer->ahead_len -= ahead;
    }
    if (len > ahead) {
        rig_peer_receive(&peer->peer, to + ahead, len - ahead);
    }
}

static size_t receive_frame(struct http_peer *peer, uint8_t first, uint8_t payload[SHORT_MAX])
{
    uint8_t head[2];

    receive(peer, head, sizeof head);
    if (head[0] != first || head[1] > SHORT_MAX) {
        rig_fail(__FILE__, __LINE__, "a frame %02x %02x came", head[0], head[1]);
    }
    receive(peer, payload, head[1]);
    return head[1];
}

void ws_expect(struct http_peer *peer, const char *text)
{
    uint8_t payload[SHORT_MAX];
    size_t len = receive_frame(peer, FIN_TEXT, payload);

    if (len != strlen(text) || memcmp(payload, text, len) != 0) {
        rig_fail(__FILE__, __LINE__, "\"%.*s\" came in the place of \"%s\"", (int)len,
                 (const char *)payload, text);
    }
}

void ws_expect_close(struct http_peer *peer, unsigned code)
{
    uint8_t payload[SHORT_MAX];
    size_t len = receive_frame(peer, FIN_CLOSE, payload);
    unsigned came = len >= 2 ? (unsigned)payload[0] << 8 | payload[1] : 1005;

    if (came != code) {
        rig_fail(__FILE__, __LINE__, "close %u came in the place of %u", came, code);
    }
    send_frame(peer, FIN_CLOSE, payload, len >= 2 ? 2 : 0);
    http_peer_expect_end(peer);
}

void ws_close(struct http_peer *peer)
{
    static const uint8_t normal[2] = {0x03, 0xe8};
    uint8_t payload[SHORT_MAX];

    send_frame(peer, FIN_CLOSE, normal, sizeof normal);
    receive_frame(peer, FIN_CLOSE, payload);
    http_peer_expect_end(peer);
    http_peer_close(peer);
}

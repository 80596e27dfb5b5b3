#include "support/ws_raw.h"

#include "support/wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_MAX = 4096, CONTROL_MAX = 125 };

void ws_raw_upgrade(struct rig_peer *peer, const char *path)
{
    ws_raw_upgrade_with(peer, path, "");
}

void ws_raw_upgrade_with(struct rig_peer *peer, const char *path, const char *fields)
{
    char head[HEAD_MAX];
    size_t len = 0;

    snprintf(head, sizeof head,
             "GET %s HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
             path, fields);
    rig_peer_send_text(peer, head);
    do {
        rig_check(len < sizeof head - 1);
        rig_peer_receive(peer, head + len, 1); /* frames may follow at once */
        head[++len] = '\0';
    } while (len < 4 || memcmp(head + len - 4, "\r\n\r\n", 4) != 0);
    if (strncmp(head, "HTTP/1.1 101 ", 13) != 0 || !strstr(head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")) {
        rig_fail(__FILE__, __LINE__, "%s: %s", path, head);
    }
}

struct rig_peer ws_raw_open(uint16_t port, const char *path)
{
    struct rig_peer peer = rig_peer_tcp(port);

    ws_raw_upgrade(&peer, path);
    return peer;
}

void ws_raw_send(struct rig_peer *peer, uint8_t opcode, const void *payload, size_t len)
{
    struct rig_bytes bytes = {NULL, 0, 0};

    ws_bare_put(&bytes, &(struct ws_bare_frame){.opcode = opcode, .payload = payload, .len = len});
    rig_peer_send(peer, bytes.data, bytes.len);
    rig_release(&bytes);
}

static size_t read_len(struct rig_peer *peer, uint8_t second)
{
    uint8_t bytes[8];
    size_t count = second == 126 ? 2 : second == 127 ? 8 : 0;
    size_t len = second;

    if (second > 127) {
        rig_fail(__FILE__, __LINE__, "the server has sent a mask");
    }
    if (count > 0) {
        rig_peer_receive(peer, bytes, count);
        len = 0;
    }
    for (size_t i = 0; i < count; i++) {
        len = len << 8 | bytes[i];
    }
    return len;
}

size_t ws_raw_read(struct rig_peer *peer, uint8_t *first, void *payload, size_t cap)
{
    uint8_t head[2];
    size_t len;

    rig_peer_receive(peer, head, sizeof head);
    *first = head[0];
    len = read_len(peer, head[1]);
    if (len > cap) {
        rig_fail(__FILE__, __LINE__, "a frame %02x of %zu bytes, more than %zu", head[0], len, cap);
    }
    if (len > 0) {
        rig_peer_receive(peer, payload, len);
    }
    return len;
}

void ws_raw_expect(struct rig_peer *peer, uint8_t opcode, const void *payload, size_t len)
{
    uint8_t *got = malloc(len + CONTROL_MAX);
    uint8_t first;
    size_t got_len;

    rig_check(got);
    got_len = ws_raw_read(peer, &first, got, len + CONTROL_MAX);
    if (first != (WS_RAW_FIN | opcode) || got_len != len || memcmp(got, payload, len) != 0) {
        rig_fail(__FILE__, __LINE__, "a frame %02x of %zu bytes (%.*s), not %02x of %zu (%.*s)",
                 first, got_len, (int)(got_len < 100 ? got_len : 100), (const char *)got,
                 WS_RAW_FIN | opcode, len, (int)(len < 100 ? len : 100), (const char *)payload);
    }
    free(got);
}

void ws_raw_expect_text(struct rig_peer *peer, const char *text)
{
    ws_raw_expect(peer, WS_RAW_TEXT, text, strlen(text));
}

void ws_raw_expect_close(struct rig_peer *peer, unsigned code, const char *text)
{
    uint8_t payload[CONTROL_MAX + 1];
    uint8_t first;
    size_t len = ws_raw_read(peer, &first, payload, CONTROL_MAX);
    unsigned came = len >= 2 ? (unsigned)payload[0] << 8 | payload[1] : 1005;

    payload[len] = '\0';
    if (first != (WS_RAW_FIN | WS_RAW_CLOSE) || came != code ||
        (*text && (len < 2 || !strstr((const char *)payload + 2, text)))) {
        rig_fail(__FILE__, __LINE__, "a frame %02x, code %u (%s), not %u (%s)", first, came,
                 len > 2 ? (const char *)payload + 2 : "", code, text);
    }
}

#include "support/ws_talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

enum { CHUNK = 1 << 16 };

/* RFC 6455 §1.3 has this key and its answer. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static void fail(const struct ws_talk *talk, const char *what)
{
    fprintf(stderr, "ws_talk: %s; the last frame began with %02x and had %zu bytes: %.*s\n%s\n",
            what, talk->first, talk->len, talk->len < 400 ? (int)talk->len : 400,
            talk->body ? (const char *)talk->body : "", talk->reply.head);
    abort();
}

/* ---- handshake ---- */

int ws_talk_ask_again(struct ws_talk *talk, const char *target, const char *fields)
{
    char head[4096];

    http_reply_release(&talk->reply);
    snprintf(head, sizeof head,
             "GET %s HTTP/1.1\r\nHost: site.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
             "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n%s\r\n",
             target, fields);
    http_peer_send(&talk->peer, head);
    http_peer_read(&talk->peer, &talk->reply, false);
    if (talk->reply.status == 101 &&
        (strcmp(http_reply_field(&talk->reply, "Sec-WebSocket-Accept"), ACCEPT) != 0 ||
         strcasecmp(http_reply_field(&talk->reply, "Upgrade"), "websocket") != 0)) {
        fail(talk, "an upgrade to something else");
    }
    return talk->reply.status;
}

int ws_talk_ask(struct ws_talk *talk, struct rig_peer peer, const char *target, const char *fields)
{
    memset(talk, 0, sizeof *talk);
    talk->peer.peer = peer;
    return ws_talk_ask_again(talk, target, fields);
}

void ws_talk_open(struct ws_talk *talk, struct rig_peer peer, const char *target, const char *fields)
{
    if (ws_talk_ask(talk, peer, target, fields) != 101) {
        fail(talk, "there is no upgrade");
    }
}

/* ---- sending ---- */

static size_t write_head(uint8_t *head, uint8_t first, uint64_t len)
{
    size_t bytes = len < 126 ? 0 : len < 65536 ? 2 : 8;

    head[0] = first;
    head[1] = (uint8_t)(0x80 | (bytes == 0 ? len : bytes == 2 ? 126 : 127));
    for (size_t i = 0; i < bytes; i++) {
        head[2 + i] = (uint8_t)(len >> (8 * (bytes - 1 - i)));
    }
    return 2 + bytes;
}

void ws_talk_send(struct ws_talk *talk, uint8_t first, const void *data, size_t len)
{
    static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};
    uint8_t *frame = malloc(len + 14);
    size_t at = write_head(frame, first, len);

    memcpy(frame + at, mask, sizeof mask);
    at += sizeof mask;
    for (size_t i = 0; i < len; i++) {
        frame[at + i] = ((const uint8_t *)data)[i] ^ mask[i % 4];
    }
    rig_peer_send(&talk->peer.peer, frame, at + len);
    free(frame);
}

void ws_talk_send_text(struct ws_talk *talk, const char *text)
{
    ws_talk_send(talk, WS_TALK_TEXT, text, strlen(text));
}

/* ---- reading ---- */

static void take(struct ws_talk *talk, void *into, size_t len)
{
    struct http_peer *peer = &talk->peer;
    size_t ahead = peer->ahead_len < len ? peer->ahead_len : len;

    if (ahead > 0) {
        memcpy(into, peer->ahead, ahead);
        peer->ahead_len -= ahead;
        memmove(peer->ahead, peer->ahead + ahead, peer->ahead_len);
    }
    if (len > ahead) {
        rig_peer_receive(&peer->peer, (uint8_t *)into + ahead, len - ahead);
    }
}

void ws_talk_read(struct ws_talk *talk)
{
    uint8_t head[2];
    uint8_t more[8];
    size_t bytes;

    take(talk, head, sizeof head);
    bytes = head[1] == 126 ? 2 : head[1] == 127 ? 8 : 0;
    talk->first = head[0];
    talk->len = bytes == 0 ? head[1] : 0;
    if (head[1] & 0x80) {
        fail(talk, "a server has masked a frame");
    }
    take(talk, more, bytes);
    for (size_t i = 0; i < bytes; i++) {
        talk->len = talk->len << 8 | more[i];
    }
    free(talk->body);
    talk->body = malloc(talk->len + 1);
    take(talk, talk->body, talk->len);
    talk->body[talk->len] = '\0';
}

void ws_talk_next(struct ws_talk *talk)
{
    ws_talk_read(talk);
    while (talk->first == WS_TALK_PING) {
        talk->pings++;
        ws_talk_send(talk, WS_TALK_PONG, talk->body, talk->len);
        ws_talk_read(talk);
    }
}

void ws_talk_expect(struct ws_talk *talk, uint8_t first, const void *data, size_t len)
{
    ws_talk_next(talk);
    if (talk->first != first || talk->len != len || memcmp(talk->body, data, len) != 0) {
        fail(talk, "another frame was expected");
    }
}

void ws_talk_expect_text(struct ws_talk *talk, const char *text)
{
    ws_talk_expect(talk, WS_TALK_TEXT, text, strlen(text));
}

/* ---- closing ---- */

const char *ws_talk_expect_close(struct ws_talk *talk, unsigned code)
{
    ws_talk_next(talk);
    if (talk->first != WS_TALK_CLOSE || talk->len < 2 ||
        (unsigned)(talk->body[0] << 8 | talk->body[1]) != code) {
        fprintf(stderr, "ws_talk: a close with %u was expected\n", code);
        fail(talk, "something else came");
    }
    ws_talk_send(talk, WS_TALK_CLOSE, talk->body, 2);
    return (const char *)talk->body + 2;
}

void ws_talk_say_goodbye(struct ws_talk *talk)
{
    ws_talk_send(talk, WS_TALK_CLOSE, "\x03\xe8", 2);
    ws_talk_expect(talk, WS_TALK_CLOSE, "\x03\xe8", 2);
    rig_peer_expect_end(&talk->peer.peer);
    ws_talk_end(talk);
}

void ws_talk_end(struct ws_talk *talk)
{
    http_peer_close(&talk->peer);
    http_reply_release(&talk->reply);
    free(talk->body);
    talk->body = NULL;
}

/* ---- permessage-deflate ---- */

void ws_talk_send_deflated(struct ws_talk *talk, const void *data, size_t len)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)len};
    size_t cap = len + len / 100 + 64;
    uint8_t *out = malloc(cap);

    if (deflateInit2(&z, 1, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        fail(talk, "deflateInit2");
    }
    z.next_out = out;
    z.avail_out = (uInt)cap;
    if (deflate(&z, Z_SYNC_FLUSH) != Z_OK || z.avail_in > 0 || z.avail_out == 0) {
        fail(talk, "deflate");
    }
    /* RFC 7692 §7.2.1: without the four bytes of the empty block. */
    ws_talk_send(talk, WS_TALK_TEXT | WS_TALK_DEFLATED, out, cap - z.avail_out - 4);
    deflateEnd(&z);
    free(out);
}

uint8_t *ws_talk_inflated(const struct ws_talk *talk, size_t *len)
{
    uint8_t *in = malloc(talk->len + 4);
    z_stream z = {.next_in = in, .avail_in = (uInt)talk->len + 4};
    size_t cap = 0;
    uint8_t *out = NULL;
    int rc = inflateInit2(&z, -15);

    memcpy(in, talk->body, talk->len);
    memcpy(in + talk->len, "\x00\x00\xff\xff", 4);
    while (rc == Z_OK && z.avail_out == 0) {
        out = realloc(out, cap + CHUNK + 1);
        z.next_out = out + cap;
        z.avail_out = CHUNK;
        cap += CHUNK;
        rc = inflate(&z, Z_SYNC_FLUSH);
        if (rc == Z_STREAM_END) { /* RFC 7692 §7.2.3.4: a final block; the tail follows */
            cap -= z.avail_out;
            rc = inflateReset(&z);
            z.avail_out = 0;
        }
    }
    /* RFC 7692 §7.2.3.4: the last block may say that it is the last one; a byte of zeros is behind it then. */
    if (rc == Z_STREAM_END ? z.avail_in > 5 : (rc != Z_OK && rc != Z_BUF_ERROR) || z.avail_in > 0) {
        fail(talk, "it does not inflate");
    }
    *len = cap - z.avail_out;
    out[*len] = '\0';
    inflateEnd(&z);
    free(in);
    return out;
}

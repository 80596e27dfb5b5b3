#include "support/http_peer.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what, const struct http_peer *peer)
{
    fprintf(stderr, "http_peer: %s; %zu bytes wait: %.*s\n", what, peer->ahead_len,
            (int)(peer->ahead_len < 400 ? peer->ahead_len : 400), (const char *)peer->ahead);
    abort();
}

struct http_peer http_peer_new(uint16_t port)
{
    return (struct http_peer){.peer = rig_peer_tcp(port)};
}

void http_peer_send(struct http_peer *peer, const char *text)
{
    rig_peer_send_text(&peer->peer, text);
}

/* False: the end. */
static bool more(struct http_peer *peer)
{
    ptrdiff_t n;

    if (peer->ahead_cap - peer->ahead_len < 65536) {
        peer->ahead_cap = 2 * peer->ahead_cap + 65536;
        peer->ahead = realloc(peer->ahead, peer->ahead_cap + 1);
    }
    n = rig_peer_receive_some(&peer->peer, peer->ahead + peer->ahead_len,
                              peer->ahead_cap - peer->ahead_len);
    if (n < 0) {
        fail(strerror(errno), peer);
    }
    peer->ahead_len += (size_t)n;
    return n > 0;
}

static void used(struct http_peer *peer, size_t len)
{
    memmove(peer->ahead, peer->ahead + len, peer->ahead_len - len);
    peer->ahead_len -= len;
}

/* Bytes up to and with `end`, into a text. */
static size_t read_until(struct http_peer *peer, const char *end, char *text, size_t cap)
{
    for (;;) {
        const uint8_t *at =
            peer->ahead_len > 0 ? memmem(peer->ahead, peer->ahead_len, end, strlen(end)) : NULL;
        size_t len = at ? (size_t)(at - peer->ahead) + strlen(end) : 0;

        if (at && len < cap) {
            memcpy(text, peer->ahead, len);
            text[len] = '\0';
            used(peer, len);
            return len;
        }
        if (at || !more(peer)) {
            fail(at ? "a head or line is too long" : "the end came where a line should", peer);
        }
    }
}

static void append(struct http_reply *reply, const uint8_t *data, size_t len)
{
    reply->body = realloc(reply->body, reply->body_len + len + 1);
    if (len > 0) {
        memcpy(reply->body + reply->body_len, data, len);
    }
    reply->body_len += len;
    reply->body[reply->body_len] = '\0';
}

static void read_length(struct http_peer *peer, struct http_reply *reply, size_t len)
{
    reply->body = realloc(reply->body, reply->body_len + len + 1);
    while (len > 0) {
        size_t n = peer->ahead_len < len ? peer->ahead_len : len;

        memcpy(reply->body + reply->body_len, peer->ahead_len > 0 ? peer->ahead : (uint8_t *)"", n);
        reply->body_len += n;
        len -= n;
        peer->ahead_len -= n;
        if (peer->ahead_len > 0) {
            memmove(peer->ahead, peer->ahead + n, peer->ahead_len);
        }
        if (len > 0 && !more(peer)) {
            fail("the end came in the middle of a body", peer);
        }
    }
    reply->body[reply->body_len] = '\0';
}

static void read_chunks(struct http_peer *peer, struct http_reply *reply)
{
    char line[256];
    size_t len;

    do {
        char *end;

        read_until(peer, "\r\n", line, sizeof line);
        len = (size_t)strtoull(line, &end, 16);
        if (end == line || *end != '\r') {
            fail("a chunk size that is none", peer);
        }
        if (len > 0) {
            read_length(peer, reply, len);
            reply->chunks++;
            if (read_until(peer, "\r\n", line, sizeof line) != 2) {
                fail("a chunk that does not end", peer);
            }
        }
    } while (len > 0);
    while (read_until(peer, "\r\n", line, sizeof line) != 2) {
        strncat(reply->trailers, line, sizeof reply->trailers - strlen(reply->trailers) - 1);
    }
}

void http_peer_read(struct http_peer *peer, struct http_reply *reply, bool to_head)
{
    const char *length;

    memset(reply, 0, offsetof(struct http_reply, head));
    reply->body = NULL;
    reply->body_len = 0;
    reply->trailers[0] = '\0';
    reply->chunks = 0;
    reply->head_len = read_until(peer, "\r\n\r\n", reply->head, sizeof reply->head);
    if (sscanf(reply->head, "HTTP/1.1 %3d ", &reply->status) != 1) {
        fail("no status line", peer);
    }
    append(reply, NULL, 0);
    length = http_reply_field(reply, "Content-Length");
    reply->chunked = strcmp(http_reply_field(reply, "Transfer-Encoding"), "chunked") == 0;
    if (to_head || reply->status < 200 || reply->status == 204 || reply->status == 304) {
        return;
    }
    if (reply->chunked) {
        read_chunks(peer, reply);
    } else if (length[0]) {
        read_length(peer, reply, (size_t)strtoull(length, NULL, 10));
    } else {
        while (more(peer)) {}
        append(reply, peer->ahead, peer->ahead_len);
        peer->ahead_len = 0;
    }
}

void http_peer_ask(struct http_peer *peer, const char *request, struct http_reply *reply)
{
    http_peer_send(peer, request);
    http_peer_read(peer, reply, strncmp(request, "HEAD ", 5) == 0);
}

const char *http_reply_field(const struct http_reply *reply, const char *name)
{
    static _Thread_local char values[4][4096];
    static _Thread_local unsigned next;
    char *value = values[next++ % 4];
    const char *line = strstr(reply->head, "\r\n");
    size_t len = strlen(name);

    value[0] = '\0';
    while (line && line[2] != '\r') {
        line += 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            const char *from = line + len + 1 + strspn(line + len + 1, " \t");

            snprintf(value, sizeof values[0], "%.*s", (int)strcspn(from, "\r"), from);
            return value;
        }
        line = strstr(line, "\r\n");
    }
    return value;
}

void http_reply_release(struct http_reply *reply)
{
    free(reply->body);
    reply->body = NULL;
}

void http_peer_expect_end(struct http_peer *peer)
{
    if (peer->ahead_len > 0 || more(peer)) {
        fail("bytes came where the end should", peer);
    }
}

void http_peer_close(struct http_peer *peer)
{
    rig_peer_close(&peer->peer);
    free(peer->ahead);
    peer->ahead = NULL;
}

int http_get(uint16_t port, const char *request, char *body, size_t cap)
{
    struct http_peer peer = http_peer_new(port);
    struct http_reply *reply = malloc(sizeof *reply);
    int status;

    http_peer_ask(&peer, request, reply);
    status = reply->status;
    if (body) {
        snprintf(body, cap, "%s", (const char *)reply->body);
    }
    http_reply_release(reply);
    free(reply);
    http_peer_close(&peer);
    return status;
}

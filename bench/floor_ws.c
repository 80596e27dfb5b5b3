/* The floor of WebSocket: what an echo costs when nothing but the echo is done.
 *
 * One epoll loop, level-triggered: one recv into one buffer, each frame unmasked by wide words to where it is
 * sent from, one send of all that a read brought. The first frame of a read stays where it is, its shorter
 * header before it; those behind it move up. Frames are whole messages: nothing is judged, no text checked,
 * no time kept. What a socket does not take is kept, and that connection is not read until it has gone.
 *
 * Who asks for /bc is a member of a room: each frame of a turn is encoded once, and at the turn's end each member
 * gets all of them by one send. */
#include "listen.h"

#include <errno.h>
#include <mbedtls/base64.h>
#include <mbedtls/md.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    FDS_MAX = 1 << 20,
    EVENTS_MAX = 1024,
    ACCEPTS_PER_TURN = 64,
    HEADER_MAX = 14,
    MASK_LEN = 4,
    FRAME_MAX = 65536 + HEADER_MAX,
    WORD = 8,
    SCRATCH_BYTES = 2 * FRAME_MAX,
    WAITING_MAX = 64 << 20,
    KEY_LEN = 24,
    SHA1_LEN = 20,
};

enum phase { CLOSED, HANDSHAKE, ECHO, MEMBER };

struct bytes {
    uint8_t *data;
    size_t len;
    size_t cap;
};

struct peer {
    enum phase phase;
    uint32_t place; /* in members */
    struct bytes in;
    struct bytes out;
};

static struct peer peers[FDS_MAX]; /* by descriptor; untouched pages cost nothing */
static int members[FDS_MAX];
static uint32_t members_count;
static struct bytes turn; /* for the members, encoded */
static uint8_t scratch[SCRATCH_BYTES + WORD];
static int epoll;

static void watch(int op, int fd, uint32_t wanted)
{
    struct epoll_event event = {.events = wanted, .data.fd = fd};

    epoll_ctl(epoll, op, fd, &event);
}

static bool append(struct bytes *bytes, const uint8_t *data, size_t len)
{
    if (len == 0)
        return true;
    if (len > WAITING_MAX - bytes->len)
        return false;
    if (bytes->len + len > bytes->cap) {
        size_t cap = 2 * (bytes->len + len);
        uint8_t *grown = realloc(bytes->data, cap);
        if (grown == NULL)
            return false;
        bytes->data = grown;
        bytes->cap = cap;
    }
    memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
    return true;
}

static void leave(int fd)
{
    struct peer *peer = &peers[fd];

    if (peer->phase == MEMBER) {
        int last = members[--members_count];
        members[peer->place] = last;
        peers[last].place = peer->place;
    }
    free(peer->in.data);
    free(peer->out.data);
    *peer = (struct peer){0};
    close(fd);
}

static void accept_some(int listener)
{
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept_one(listener);
        if (fd < 0)
            return;
        if (fd >= FDS_MAX) {
            close(fd);
            continue;
        }
        peers[fd] = (struct peer){.phase = HANDSHAKE};
        watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
}

/* What is not taken waits: behind it an echo is not read, a member is. */
static bool send_or_keep(int fd, const uint8_t *data, size_t len)
{
    struct peer *peer = &peers[fd];
    ssize_t sent = 0;

    if (peer->out.len == 0) {
        sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent == (ssize_t)len)
            return true;
        if (sent < 0 && errno != EAGAIN)
            return false;
        if (sent < 0)
            sent = 0;
        watch(EPOLL_CTL_MOD, fd, peer->phase == MEMBER ? EPOLLIN | EPOLLOUT : EPOLLOUT);
    }
    return append(&peer->out, data + sent, len - (size_t)sent);
}

static bool send_waiting(int fd)
{
    struct bytes *out = &peers[fd].out;
    ssize_t sent = send(fd, out->data, out->len, MSG_NOSIGNAL);

    if (sent < 0)
        return errno == EAGAIN;
    out->len -= (size_t)sent;
    memmove(out->data, out->data + sent, out->len);
    if (out->len == 0)
        watch(EPOLL_CTL_MOD, fd, EPOLLIN);
    return true;
}

/* RFC 6455 §4.2.2: the answer to a key. */
static void accept_of(const uint8_t *key, char text[static 32])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t joined[KEY_LEN + sizeof guid - 1];
    uint8_t digest[SHA1_LEN];
    size_t len;

    memcpy(joined, key, KEY_LEN);
    memcpy(joined + KEY_LEN, guid, sizeof guid - 1);
    mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA1), joined, sizeof joined, digest);
    mbedtls_base64_encode((uint8_t *)text, 32, &len, digest, sizeof digest);
}

static const uint8_t *key_of(const uint8_t *head, size_t len)
{
    static const char name[] = "\nSec-WebSocket-Key:";
    size_t name_len = sizeof name - 1;

    for (size_t i = 0; i + name_len + 1 + KEY_LEN <= len; i++) {
        if (strncasecmp((const char *)head + i, name, name_len) != 0)
            continue;
        size_t at = i + name_len;
        while (at + KEY_LEN < len && head[at] == ' ')
            at++;
        return head + at;
    }
    return NULL;
}

/* Returns how many bytes the request took; 0: it is not whole; -1: it is none. */
static ssize_t shake_hands(int fd, const uint8_t *data, size_t len)
{
    struct peer *peer = &peers[fd];
    const uint8_t *end = memmem(data, len, "\r\n\r\n", 4);
    char text[32];
    char answer[256];

    if (end == NULL)
        return 0;
    const uint8_t *key = key_of(data, (size_t)(end - data));
    if (key == NULL)
        return -1;
    accept_of(key, text);
    int answer_len = snprintf(answer, sizeof answer,
                              "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                              text);
    peer->phase = ECHO;
    if (len > 8 && memcmp(data, "GET /bc ", 8) == 0) {
        peer->phase = MEMBER;
        peer->place = members_count;
        members[members_count++] = fd;
    }
    return send_or_keep(fd, (const uint8_t *)answer, (size_t)answer_len) ? end + 4 - data : -1;
}

/* Forward, 32 bytes at a time: `to` is `from` or at least 4 bytes before it. */
static void unmask(uint8_t *to, const uint8_t *from, size_t len, uint32_t mask)
{
    uint64_t wide = (uint64_t)mask << 32 | mask;
    uint64_t words[4];

    for (; len >= sizeof words; len -= sizeof words) {
        memcpy(words, from, sizeof words);
        for (int i = 0; i < 4; i++)
            words[i] ^= wide;
        memcpy(to, words, sizeof words);
        from += sizeof words;
        to += sizeof words;
    }
    for (; len >= WORD; len -= WORD) {
        memcpy(words, from, WORD);
        words[0] ^= wide;
        memcpy(to, words, WORD);
        from += WORD;
        to += WORD;
    }
    memcpy(words, from, WORD); /* there is room behind the buffer */
    words[0] ^= wide;
    if ((len & 4) != 0) {
        memcpy(to, words, 4);
        words[0] >>= 32;
        to += 4;
    }
    for (size_t i = 0; i < (len & 3); i++)
        to[i] = (uint8_t)(words[0] >> 8 * i);
}

struct frame {
    size_t head_len;
    size_t payload_len;
};

/* Returns whether the header is whole. */
static bool look_at(const uint8_t *p, size_t len, struct frame *frame)
{
    *frame = (struct frame){2 + MASK_LEN, p[1] & 127};
    if (frame->payload_len < 126)
        return len >= frame->head_len;
    size_t length_len = frame->payload_len == 126 ? 2 : 8;
    frame->head_len += length_len;
    if (len < frame->head_len)
        return false;
    frame->payload_len = 0;
    for (size_t i = 0; i < length_len; i++)
        frame->payload_len = frame->payload_len << 8 | p[2 + i];
    return true;
}

/* The frame at `from` as a server sends it: without a mask. Returns its end. */
static uint8_t *turn_round(uint8_t *to, const uint8_t *from, const struct frame *frame)
{
    uint32_t mask;
    uint64_t length;

    memcpy(&mask, from + frame->head_len - MASK_LEN, MASK_LEN);
    memcpy(&length, from + 2, sizeof length);
    *to++ = from[0];
    *to++ = from[1] & 127;
    if (frame->head_len == 4 + MASK_LEN) {
        memcpy(to, &length, 2);
        to += 2;
    } else if (frame->head_len == HEADER_MAX) {
        memcpy(to, &length, sizeof length);
        to += sizeof length;
    }
    unmask(to, from + frame->head_len, frame->payload_len, mask);
    return to + frame->payload_len;
}

/* Turns the frames at data round, one behind the other; *out is where they are.
 *
 * returns  bytes that were whole frames; -1: one is too large */
static ssize_t turn_all_round(uint8_t *data, size_t len, struct bytes *out)
{
    size_t used = 0;
    uint8_t *end = data + MASK_LEN;
    struct frame frame;

    out->data = end;
    while (len - used >= 2 + MASK_LEN && look_at(data + used, len - used, &frame)) {
        if (frame.payload_len > FRAME_MAX - HEADER_MAX)
            return -1;
        if (frame.payload_len > len - used - frame.head_len)
            break;
        end = turn_round(end, data + used, &frame);
        used += frame.head_len + frame.payload_len;
    }
    out->len = (size_t)(end - out->data);
    return (ssize_t)used;
}

static bool answer(int fd, const struct bytes *frames)
{
    if (frames->len == 0)
        return true;
    if (peers[fd].phase == MEMBER)
        return append(&turn, frames->data, frames->len);
    return send_or_keep(fd, frames->data, frames->len);
}

static bool receive(int fd)
{
    struct peer *peer = &peers[fd];
    struct bytes frames = {0};
    size_t kept = peer->in.len;
    uint8_t *data = scratch;

    if (kept > 0)
        memcpy(scratch, peer->in.data, kept);
    ssize_t got = recv(fd, scratch + kept, SCRATCH_BYTES - kept, 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    size_t len = kept + (size_t)got;
    if (peer->phase == HANDSHAKE) {
        ssize_t head = shake_hands(fd, data, len);
        if (head < 0 || (head == 0 && len >= FRAME_MAX))
            return false;
        data += head;
        len -= (size_t)head;
    }
    ssize_t used = peer->phase == HANDSHAKE ? 0 : turn_all_round(data, len, &frames);
    if (used < 0 || !answer(fd, &frames))
        return false;
    peer->in.len = 0;
    return append(&peer->in, data + used, len - (size_t)used);
}

static void serve(int fd, uint32_t ready)
{
    bool stays = true;

    if ((ready & EPOLLOUT) != 0 && peers[fd].out.len > 0)
        stays = send_waiting(fd);
    if (stays && (ready & ~(uint32_t)EPOLLOUT) != 0)
        stays = receive(fd);
    if (!stays)
        leave(fd);
}

/* A member that cannot be served is shut down, not closed: the loop closes it when it reads the end. */
static void deliver_turn(void)
{
    for (uint32_t i = 0; i < members_count; i++) {
        if (!send_or_keep(members[i], turn.data, turn.len))
            shutdown(members[i], SHUT_RDWR);
    }
    turn.len = 0;
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS_MAX];
    int listener = listen_from_arguments(argc, argv);

    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (listener < 0 || epoll < 0)
        return 1;
    watch(EPOLL_CTL_ADD, listener, EPOLLIN);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_some(listener);
            else
                serve(fd, events[i].events);
        }
        if (turn.len > 0)
            deliver_turn();
    }
}

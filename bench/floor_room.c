/* The floor of a room: one send per delivery.
 *
 * One epoll loop over 4-byte framed connections. Each frame is sent to every other connection by a
 * send() of its own, at once. What a socket does not take waits in a buffer of that connection. */
#include "listen.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    FDS_MAX = 1 << 20,
    EVENTS_MAX = 1024,
    ACCEPTS_PER_TURN = 64,
    FRAME_MAX = 65536 + 4,
    SCRATCH_BYTES = 2 * FRAME_MAX,
    WAITING_MAX = 64 << 20,
};

struct bytes {
    uint8_t *data;
    size_t len;
    size_t cap;
};

struct member {
    bool open;
    uint32_t place; /* in members_open */
    struct bytes in;
    struct bytes out;
};

static struct member members[FDS_MAX]; /* by descriptor; untouched pages cost nothing */
static int members_open[FDS_MAX];
static uint32_t members_count;
static uint8_t scratch[SCRATCH_BYTES];
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

static void consume(struct bytes *bytes, size_t len)
{
    bytes->len -= len;
    memmove(bytes->data, bytes->data + len, bytes->len);
}

static void leave(int fd)
{
    struct member *member = &members[fd];
    int last = members_open[--members_count];

    members_open[member->place] = last;
    members[last].place = member->place;
    free(member->in.data);
    free(member->out.data);
    *member = (struct member){0};
    close(fd);
}

static void join_some(int listener)
{
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept_one(listener);
        if (fd < 0)
            return;
        if (fd >= FDS_MAX) {
            close(fd);
            continue;
        }
        members[fd] = (struct member){.open = true, .place = members_count};
        members_open[members_count++] = fd;
        watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
}

/* A receiver that cannot be served is shut down, not closed: the caller walks the list of members,
 * and the loop closes it when it reads the end. */
static void deliver(int fd, const uint8_t *frame, size_t len)
{
    struct member *member = &members[fd];
    ssize_t sent = 0;

    if (member->out.len == 0) {
        sent = send(fd, frame, len, MSG_NOSIGNAL);
        if (sent == (ssize_t)len)
            return;
        if (sent < 0)
            sent = 0;
        watch(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLOUT);
    }
    if (!append(&member->out, frame + sent, len - (size_t)sent))
        shutdown(fd, SHUT_RDWR);
}

static void deliver_to_others(int from, const uint8_t *frame, size_t len)
{
    for (uint32_t i = 0; i < members_count; i++) {
        if (members_open[i] != from)
            deliver(members_open[i], frame, len);
    }
}

/* Returns how many bytes were whole frames; -1 when one is too large. */
static ssize_t deliver_frames(int from, const uint8_t *data, size_t len)
{
    size_t used = 0;

    while (len - used >= 4) {
        const uint8_t *p = data + used;
        size_t frame_len =
            4 + ((size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | (size_t)p[3]);
        if (frame_len > FRAME_MAX)
            return -1;
        if (frame_len > len - used)
            break;
        deliver_to_others(from, p, frame_len);
        used += frame_len;
    }
    return (ssize_t)used;
}

static bool receive(int fd)
{
    struct bytes *in = &members[fd].in;
    size_t kept = in->len;

    if (kept > 0)
        memcpy(scratch, in->data, kept);
    ssize_t got = recv(fd, scratch + kept, sizeof scratch - kept, 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    ssize_t used = deliver_frames(fd, scratch, kept + (size_t)got);
    if (used < 0)
        return false;
    in->len = 0;
    return append(in, scratch + used, kept + (size_t)got - (size_t)used);
}

static bool send_waiting(int fd)
{
    struct bytes *out = &members[fd].out;
    ssize_t sent = send(fd, out->data, out->len, MSG_NOSIGNAL);

    if (sent < 0)
        return errno == EAGAIN;
    consume(out, (size_t)sent);
    if (out->len == 0)
        watch(EPOLL_CTL_MOD, fd, EPOLLIN);
    return true;
}

static void serve(int fd, uint32_t ready)
{
    bool stays = true;

    if ((ready & EPOLLOUT) != 0 && members[fd].out.len > 0)
        stays = send_waiting(fd);
    if (stays && (ready & ~(uint32_t)EPOLLOUT) != 0)
        stays = receive(fd);
    if (!stays)
        leave(fd);
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
                join_some(listener);
            else
                serve(fd, events[i].events);
        }
    }
}

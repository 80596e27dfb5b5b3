/* The floor: what an echo costs when nothing but the echo is done.
 *
 * One epoll loop, level-triggered, one recv into one buffer and one send of what came. Bytes are
 * bytes, so it answers framed loads as well as raw ones. What a socket does not take is kept and
 * that connection is not read until it has gone; a connection that never falls behind owns no
 * memory. Every figure of the framework is read against this program's. */
#include "listen.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FDS_MAX = 1 << 20, EVENTS_MAX = 1024, ACCEPTS_PER_TURN = 64, SCRATCH_BYTES = 65536 + 64 };

struct rest {
    size_t at;
    size_t len;
    uint8_t bytes[];
};

static struct rest *rests[FDS_MAX]; /* by descriptor; untouched pages cost nothing */
static uint8_t scratch[SCRATCH_BYTES];

static void watch(int epoll, int op, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    epoll_ctl(epoll, op, fd, &event);
}

static void drop(int fd)
{
    free(rests[fd]);
    rests[fd] = NULL;
    close(fd);
}

static void accept_some(int epoll, int listener)
{
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept_one(listener);
        if (fd < 0)
            return;
        if (fd >= FDS_MAX)
            close(fd);
        else
            watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
    }
}

static void keep(int epoll, int fd, const uint8_t *bytes, size_t len)
{
    struct rest *rest = malloc(sizeof *rest + len);

    if (rest == NULL) {
        drop(fd);
        return;
    }
    rest->at = 0;
    rest->len = len;
    memcpy(rest->bytes, bytes, len);
    rests[fd] = rest;
    watch(epoll, EPOLL_CTL_MOD, fd, EPOLLOUT);
}

static void echo(int epoll, int fd)
{
    ssize_t got = recv(fd, scratch, sizeof scratch, 0);

    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            drop(fd);
        return;
    }
    ssize_t sent = send(fd, scratch, (size_t)got, MSG_NOSIGNAL);
    if (sent == got)
        return;
    if (sent < 0 && errno != EAGAIN)
        drop(fd);
    else
        keep(epoll, fd, scratch + (sent > 0 ? sent : 0), (size_t)(got - (sent > 0 ? sent : 0)));
}

static void send_rest(int epoll, int fd)
{
    struct rest *rest = rests[fd];
    ssize_t sent = send(fd, rest->bytes + rest->at, rest->len - rest->at, MSG_NOSIGNAL);

    if (sent < 0) {
        if (errno != EAGAIN)
            drop(fd);
        return;
    }
    rest->at += (size_t)sent;
    if (rest->at < rest->len)
        return;
    free(rest);
    rests[fd] = NULL;
    watch(epoll, EPOLL_CTL_MOD, fd, EPOLLIN);
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS_MAX];
    int listener = listen_from_arguments(argc, argv);
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    if (listener < 0 || epoll < 0)
        return 1;
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_some(epoll, listener);
            else if (rests[fd] != NULL)
                send_rest(epoll, fd);
            else
                echo(epoll, fd);
        }
    }
}

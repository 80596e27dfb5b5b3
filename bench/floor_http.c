/* The floor of HTTP: what a request costs when nothing is understood.
 *
 * One epoll loop, level-triggered: one recv into one buffer, empty lines are counted in it, one send of as
 * many answers, the same bytes each time, without a parser, a route, a clock. `--answer FILE` has it give the
 * bytes that another server gives. What a socket does not take is kept as in floor.c. */
#include "listen.h"

#include <errno.h>
#include <getopt.h>
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
    SCRATCH_BYTES = 65536,
    TAIL_BYTES = 3,
    ANSWER_MAX = 4096,
    ANSWERS_MAX = 64,
};

struct rest {
    size_t at;
    size_t len;
    uint8_t bytes[];
};

/* The last bytes of what was read, when no request ended with them. */
struct tail {
    uint8_t len;
    uint8_t bytes[TAIL_BYTES];
};

static struct rest *rests[FDS_MAX]; /* both by descriptor; untouched pages cost nothing */
static struct tail tails[FDS_MAX];
static uint8_t scratch[TAIL_BYTES + SCRATCH_BYTES];
static uint8_t answers[ANSWER_MAX * ANSWERS_MAX]; /* one behind the other */
static size_t answer_len;

static const char default_answer[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "Content-Length: 13\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    "\r\nHello, world!";

static void watch(int epoll, int op, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    epoll_ctl(epoll, op, fd, &event);
}

static void drop(int fd)
{
    free(rests[fd]);
    rests[fd] = NULL;
    tails[fd].len = 0;
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

/* Keeps what is left of `count` answers behind the first `sent` bytes. */
static void keep(int epoll, int fd, size_t count, size_t sent)
{
    size_t len = count * answer_len - sent;
    struct rest *rest = malloc(sizeof *rest + len + answer_len);

    if (rest == NULL) {
        drop(fd);
        return;
    }
    rest->at = sent % answer_len;
    rest->len = rest->at + len;
    for (size_t at = 0; at < rest->len; at += answer_len)
        memcpy(rest->bytes + at, answers, answer_len);
    rests[fd] = rest;
    watch(epoll, EPOLL_CTL_MOD, fd, EPOLLOUT);
}

static size_t count_requests(int fd, const uint8_t *data, size_t len)
{
    const uint8_t *end = data + len;
    const uint8_t *found;
    size_t count = 0;

    while ((found = memmem(data, (size_t)(end - data), "\r\n\r\n", 4)) != NULL) {
        data = found + 4;
        count++;
    }
    size_t left = (size_t)(end - data) < TAIL_BYTES ? (size_t)(end - data) : TAIL_BYTES;
    if (left > 0)
        memcpy(tails[fd].bytes, end - left, left);
    if (left != tails[fd].len)
        tails[fd].len = (uint8_t)left;
    return count;
}

static void send_answers(int epoll, int fd, size_t count)
{
    while (count > 0) {
        size_t now = count < ANSWERS_MAX ? count : ANSWERS_MAX;
        ssize_t sent = send(fd, answers, now * answer_len, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) {
            drop(fd);
            return;
        }
        if (sent != (ssize_t)(now * answer_len)) {
            keep(epoll, fd, count, sent > 0 ? (size_t)sent : 0);
            return;
        }
        count -= now;
    }
}

static void serve(int epoll, int fd)
{
    uint8_t *data = scratch + TAIL_BYTES;
    ssize_t got = recv(fd, data, SCRATCH_BYTES, 0);

    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            drop(fd);
        return;
    }
    size_t tail = tails[fd].len;
    if (tail > 0)
        memcpy(data - tail, tails[fd].bytes, tail);
    send_answers(epoll, fd, count_requests(fd, data - tail, tail + (size_t)got));
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

static bool read_answer(const char *path)
{
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return false;
    answer_len = fread(answers, 1, ANSWER_MAX, file);
    fclose(file);
    return answer_len > 0;
}

static bool set_up(int argc, char **argv, struct sockaddr_in *address)
{
    static const struct option options[] = {{"host", required_argument, NULL, 'h'},
                                            {"port", required_argument, NULL, 'p'},
                                            {"answer", required_argument, NULL, 'a'},
                                            {0}};
    int letter;

    *address = listen_default();
    answer_len = sizeof default_answer - 1;
    memcpy(answers, default_answer, answer_len);
    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (letter == 'a' ? read_answer(optarg) : listen_parse(address, letter, optarg))
            continue;
        fprintf(stderr, "usage: %s [--host ADDRESS] [--port N] [--answer FILE]\n", argv[0]);
        return false;
    }
    for (size_t i = 1; i < ANSWERS_MAX; i++)
        memcpy(answers + i * answer_len, answers, answer_len);
    return true;
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS_MAX];
    struct sockaddr_in address;
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    if (epoll < 0 || !set_up(argc, argv, &address))
        return 1;
    int listener = listen_at(&address, "http");
    if (listener < 0)
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
                serve(epoll, fd);
        }
    }
}

/* Waiting with a deadline. */
#include "support/wait.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void rig_fail(const char *file, int line, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s:%d: ", file, line);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}

uint64_t rig_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool rig_rest(uint64_t deadline_ms)
{
    struct timespec moment = {.tv_nsec = 500000};

    nanosleep(&moment, NULL);
    return rig_now_ms() < deadline_ms;
}

bool rig_is_ready(int fd, short events, int ms)
{
    uint64_t deadline = rig_now_ms() + (uint64_t)ms;
    struct pollfd poll_fd = {.fd = fd, .events = events};
    int n;

    do {
        uint64_t now = rig_now_ms();
        n = poll(&poll_fd, 1, now < deadline ? (int)(deadline - now) : 0);
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

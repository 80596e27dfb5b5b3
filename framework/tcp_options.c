/* TCP's knobs, set on a descriptor. */
#include "tcp_options.h"

#include <causeway/error.h>

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum { KEEPALIVE_MS = 300000, INTERVAL_MS = 30000, PROBES = 4, USER_TIMEOUT_MS = 30000 };

static int set(int fd, int level, int name, uint64_t value)
{
    int number = value > INT_MAX ? INT_MAX : (int)value;

    return setsockopt(fd, level, name, &number, sizeof number) == 0 ? CW_OK
                                                                    : cw_error_from_errno(errno);
}

/* The kernel counts these in whole seconds, and takes 1 to 32767. */
static uint64_t seconds(uint64_t ms, uint64_t standard)
{
    uint64_t s = ((ms == 0 ? standard : ms) + 999) / 1000;

    return s > 32767 ? 32767 : s;
}

static int set_keepalive(int fd, const struct cw_tcp_options *options)
{
    uint64_t probes = options->keepalive_probes == 0 ? PROBES : options->keepalive_probes;
    int error;

    if (options->keepalive_ms == CW_OFF) {
        return set(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
    }
    error = set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    error = error < 0
                ? error
                : set(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds(options->keepalive_ms, KEEPALIVE_MS));
    error = error < 0 ? error
                      : set(fd, IPPROTO_TCP, TCP_KEEPINTVL,
                            seconds(options->keepalive_interval_ms, INTERVAL_MS));
    return error < 0 ? error : set(fd, IPPROTO_TCP, TCP_KEEPCNT, probes > 127 ? 127 : probes);
}

int cw_tcp_options_apply(int fd, const struct cw_tcp_options *options, bool is_tcp)
{
    int error = CW_OK;

    if (options->send_buffer_bytes > 0) {
        error = set(fd, SOL_SOCKET, SO_SNDBUF, options->send_buffer_bytes);
    }
    if (error == CW_OK && options->receive_buffer_bytes > 0) {
        error = set(fd, SOL_SOCKET, SO_RCVBUF, options->receive_buffer_bytes);
    }
    if (error < 0 || !is_tcp) {
        return error;
    }
    error = set(fd, IPPROTO_TCP, TCP_NODELAY, options->delay ? 0 : 1);
    error = error < 0 ? error : set_keepalive(fd, options);
    if (error < 0) {
        return error;
    }
    if (options->user_timeout_ms == CW_OFF) {
        return set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 0);
    }
    return set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
               options->user_timeout_ms == 0 ? USER_TIMEOUT_MS : options->user_timeout_ms);
}

/* SIGINT and SIGTERM. */
#include "signals.h"

#include <causeway/log.h>
#include <causeway/loop.h>
#include <causeway/server.h>

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct cw_signals {
    int fd;
    int end_fd;
    unsigned count;
    sigset_t before;
    struct cw_server *server;
    struct cw_loop *loop;
    pthread_t thread;
};

static void on_signal(struct cw_signals *signals)
{
    if (++signals->count > 1) {
        _exit(1);
    }
    cw_server_stop(signals->server);
    cw_loop_stop(signals->loop);
}

static void *wait_for_them(void *arg)
{
    struct cw_signals *signals = arg;
    struct pollfd fds[2] = {{.fd = signals->fd, .events = POLLIN},
                            {.fd = signals->end_fd, .events = POLLIN}};

    for (;;) {
        struct signalfd_siginfo info;

        if (poll(fds, 2, -1) < 0) {
            continue;
        }
        if (fds[1].revents) {
            return NULL;
        }
        if (read(signals->fd, &info, sizeof info) == (ssize_t)sizeof info) {
            on_signal(signals);
        }
    }
}

struct cw_signals *cw_signals_start(struct cw_server *server, struct cw_loop *loop)
{
    struct cw_signals *signals = cw_alloc_zero(sizeof *signals);
    sigset_t set;

    if (!signals) {
        return NULL;
    }
    signals->server = server;
    signals->loop = loop;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, &signals->before);
    signals->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    signals->end_fd = eventfd(0, EFD_CLOEXEC);
    if (signals->fd < 0 || signals->end_fd < 0 ||
        pthread_create(&signals->thread, NULL, wait_for_them, signals) != 0) {
        pthread_sigmask(SIG_SETMASK, &signals->before, NULL);
        close(signals->fd);
        close(signals->end_fd);
        cw_release(signals);
        return NULL;
    }
    return signals;
}

void cw_signals_stop(struct cw_signals *signals)
{
    uint64_t one = 1;
    ssize_t written;

    if (!signals) {
        return;
    }
    written = write(signals->end_fd, &one, sizeof one);
    (void)written;
    pthread_join(signals->thread, NULL);
    close(signals->fd);
    close(signals->end_fd);
    pthread_sigmask(SIG_SETMASK, &signals->before, NULL);
    cw_release(signals);
}

/* SIGINT, SIGTERM and SIGHUP, through one eventfd that a handler writes. Never libevent's signal events: with two bases they
 * lose signals. A handler and not a signalfd: the second signal has to end a process whose loop is stuck in a hook. */
#include "signals.h"

#include "loop_impl.h"

#include <causeway/log.h>
#include <causeway/tls.h>

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { NUMBERS = 3 };

struct cw_signals {
    int fd;
    struct sigaction old[NUMBERS];
    int taken;        /* of the numbers below, from the first on */
    bool at_terminal; /* standard input was one at the start, and nobody has asked to outlive it */
    bool stopped;
    struct event *event;
    struct cw_loop *loop;
};

static const int numbers[NUMBERS] = {SIGINT, SIGTERM, SIGHUP};

/* The process-wide one: a handler has no other way to know where to write. -1: no server runs as main. */
static atomic_int wake_fd = -1;
static atomic_uint seen; /* that end it */
static atomic_bool hung_up;

static void on_number(int number)
{
    int before = errno;
    uint64_t one = 1;
    ssize_t written;

    if (number == SIGHUP) {
        atomic_store(&hung_up, true);
    } else if (atomic_fetch_add(&seen, 1) > 0) {
        _exit(1);
    }
    written = write(atomic_load(&wake_fd), &one, sizeof one);
    (void)written;
    errno = before;
}

static void stop(struct cw_loop *loop)
{
    if (loop->server) {
        cw_server_stop(loop->server);
    } else {
        cw_loop_stop(loop);
    }
}

/* The kernel answers so for a terminal that has hung up; one that is merely not ours says something else. */
static bool terminal_is_gone(const struct cw_signals *signals)
{
    return signals->at_terminal && !isatty(STDIN_FILENO) && errno == EIO;
}

static void reload(struct cw_server *server)
{
    int error = cw_server_reload(server);

    if (error < 0 && error != CW_EAGAIN) {
        cw_log(CW_LOG_ERROR, 0, "SIGHUP: reload: %s", cw_strerror(error));
    }
}

static void on_wake(evutil_socket_t fd, short events, void *arg)
{
    struct cw_signals *signals = arg;
    uint64_t count;

    (void)events;
    if (read((int)fd, &count, sizeof count) != (ssize_t)sizeof count) {
        return;
    }
    bool hangup = atomic_exchange(&hung_up, false);

    if (!signals->stopped && (atomic_load(&seen) > 0 || (hangup && terminal_is_gone(signals)))) {
        signals->stopped = true;
        stop(signals->loop);
    } else if (!signals->stopped && hangup) {
        reload(signals->loop->server);
    }
}

struct cw_signals *cw_signals_new(bool reloads)
{
    struct sigaction action = {.sa_handler = on_number, .sa_flags = SA_RESTART};
    struct cw_signals *signals = cw_alloc_zero(sizeof *signals);
    int none = -1;

    if (!signals) {
        return NULL;
    }
    signals->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (signals->fd < 0 || !atomic_compare_exchange_strong(&wake_fd, &none, signals->fd)) {
        if (signals->fd >= 0) {
            close(signals->fd);
        }
        cw_release(signals);
        return NULL;
    }
    signals->taken = reloads ? NUMBERS : 2;
    atomic_store(&seen, 0);
    atomic_store(&hung_up, false);
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < NUMBERS && i < signals->taken; i++) {
        sigaction(numbers[i], &action, &signals->old[i]);
    }
    /* nohup and trap '' HUP have it ignored. */
    signals->at_terminal = reloads && isatty(STDIN_FILENO) && signals->old[2].sa_handler != SIG_IGN;
    return signals;
}

int cw_signals_watch(struct cw_signals *signals, struct cw_loop *loop)
{
    signals->loop = loop;
    signals->event = event_new(loop->base, signals->fd, EV_READ | EV_PERSIST, on_wake, signals);
    return signals->event && event_add(signals->event, NULL) == 0 ? 0 : CW_ENOMEM;
}

void cw_signals_unwatch(struct cw_signals *signals)
{
    if (signals && signals->event) {
        event_free(signals->event);
        signals->event = NULL;
    }
}

void cw_signals_free(struct cw_signals *signals)
{
    if (!signals) {
        return;
    }
    cw_signals_unwatch(signals);
    /* One that was meant for the server, and comes a moment late, must not turn its good end into a death. */
    if (signals->taken > 2 && signals->old[2].sa_handler == SIG_DFL) {
        signals->old[2].sa_handler = SIG_IGN;
    }
    for (int i = 0; i < NUMBERS && i < signals->taken; i++) {
        sigaction(numbers[i], &signals->old[i], NULL);
    }
    atomic_store(&wake_fd, -1);
    close(signals->fd);
    cw_release(signals);
}

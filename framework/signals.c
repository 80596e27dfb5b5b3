/* SIGINT and SIGTERM, through one signalfd. Never libevent's signal events: with two bases they lose signals. */
#include "signals.h"

#include "loop_impl.h"

#include <causeway/log.h>

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct cw_signals {
    int fd;
    bool seen;
    sigset_t set;
    sigset_t before;
    struct sigaction old[2];
    struct event *event;
    struct cw_loop *loop;
};

static const int numbers[2] = {SIGINT, SIGTERM};

static void end_process(int number)
{
    (void)number;
    _exit(1);
}

/* From the second signal on no loop is asked: it may be stuck in a hook. */
static void arm_second(struct cw_signals *signals)
{
    struct sigaction action = {.sa_handler = end_process};

    for (int i = 0; i < 2; i++) {
        sigaction(numbers[i], &action, &signals->old[i]);
    }
    signals->seen = true;
    pthread_sigmask(SIG_UNBLOCK, &signals->set, NULL);
}

static void on_signal(evutil_socket_t fd, short events, void *arg)
{
    struct cw_signals *signals = arg;
    struct signalfd_siginfo info;

    (void)events;
    if (read((int)fd, &info, sizeof info) != (ssize_t)sizeof info) {
        return;
    }
    event_del(signals->event);
    arm_second(signals);
    if (signals->loop->server) {
        cw_server_stop(signals->loop->server);
    } else {
        cw_loop_stop(signals->loop);
    }
}

struct cw_signals *cw_signals_new(void)
{
    struct cw_signals *signals = cw_alloc_zero(sizeof *signals);

    if (!signals) {
        return NULL;
    }
    sigemptyset(&signals->set);
    sigaddset(&signals->set, SIGINT);
    sigaddset(&signals->set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals->set, &signals->before);
    signals->fd = signalfd(-1, &signals->set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals->fd < 0) {
        pthread_sigmask(SIG_SETMASK, &signals->before, NULL);
        cw_release(signals);
        return NULL;
    }
    return signals;
}

int cw_signals_watch(struct cw_signals *signals, struct cw_loop *loop)
{
    signals->loop = loop;
    signals->event = event_new(loop->base, signals->fd, EV_READ | EV_PERSIST, on_signal, signals);
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
    close(signals->fd);
    if (signals->seen) {
        for (int i = 0; i < 2; i++) {
            sigaction(numbers[i], &signals->old[i], NULL);
        }
    }
    pthread_sigmask(SIG_SETMASK, &signals->before, NULL);
    cw_release(signals);
}

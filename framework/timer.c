/* Timers and watches of the application, on libevent's heap. */
#include "timer_impl.h"

#include "loop_impl.h"

#include <causeway/log.h>

struct cw_timer {
    struct cw_timer *next;
    struct cw_timer **link; /* what points here */
    struct cw_loop *loop;
    struct event *event;
    cw_timer_fn fn;
    void *user;
    uint64_t every_ms;
    bool running; /* its fn is on the stack */
    bool stopped; /* … and has stopped it */
};

struct cw_watch {
    struct cw_watch *next;
    struct cw_watch **link;
    struct cw_loop *loop;
    struct event *event;
    cw_watch_fn fn;
    void *user;
};

struct timeval cw_timeval(uint64_t ms)
{
    const uint64_t year = 365ull * 24 * 3600 * 1000;
    uint64_t kept = ms < year ? ms : year;

    return (struct timeval){.tv_sec = (time_t)(kept / 1000),
                            .tv_usec = (suseconds_t)(kept % 1000) * 1000};
}

static void free_timer(struct cw_timer *timer)
{
    *timer->link = timer->next;
    if (timer->next) {
        timer->next->link = timer->link;
    }
    if (timer->event) {
        event_free(timer->event);
    }
    cw_release(timer);
}

static void on_timer(evutil_socket_t fd, short events, void *arg)
{
    struct cw_timer *timer = arg;
    struct timeval again = cw_timeval(timer->every_ms);

    (void)fd;
    (void)events;
    cw_loop_wake(timer->loop);
    timer->running = true;
    timer->fn(timer->loop, timer->user);
    timer->running = false;
    if (timer->stopped || timer->every_ms == 0) {
        free_timer(timer);
    } else if (event_add(timer->event, &again) < 0) {
        cw_log(CW_LOG_ERROR, 0, "timer: out of memory, it will not come again");
    }
}

struct cw_timer *cw_timer_start(struct cw_loop *loop, uint64_t after_ms, uint64_t every_ms,
                                cw_timer_fn fn, void *user)
{
    struct timeval after = cw_timeval(after_ms);
    struct cw_timer *timer = cw_alloc_zero(sizeof *timer);

    cw_loop_assert_thread(loop);
    if (!timer) {
        return NULL;
    }
    timer->loop = loop;
    timer->fn = fn;
    timer->user = user;
    timer->every_ms = every_ms;
    timer->next = loop->timers;
    timer->link = &loop->timers;
    if (timer->next) {
        timer->next->link = &timer->next;
    }
    loop->timers = timer;
    timer->event = evtimer_new(loop->base, on_timer, timer);
    if (!timer->event || event_add(timer->event, &after) < 0) {
        free_timer(timer);
        return NULL;
    }
    return timer;
}

void cw_timer_stop(struct cw_timer *timer)
{
    if (!timer) {
        return;
    }
    if (timer->running) {
        timer->stopped = true;
        return;
    }
    free_timer(timer);
}

static void on_watch(evutil_socket_t fd, short events, void *arg)
{
    struct cw_watch *watch = arg;
    unsigned ready = (events & EV_READ ? (unsigned)CW_READABLE : 0u) |
                     (events & EV_WRITE ? (unsigned)CW_WRITABLE : 0u);

    cw_loop_wake(watch->loop);
    watch->fn(watch->loop, (int)fd, ready, watch->user);
}

static void free_watch(struct cw_watch *watch)
{
    *watch->link = watch->next;
    if (watch->next) {
        watch->next->link = watch->link;
    }
    if (watch->event) {
        event_free(watch->event);
    }
    cw_release(watch);
}

struct cw_watch *cw_loop_watch(struct cw_loop *loop, int fd, unsigned events, cw_watch_fn fn,
                               void *user)
{
    struct cw_watch *watch = cw_alloc_zero(sizeof *watch);
    short what = EV_PERSIST;

    cw_loop_assert_thread(loop);
    if (!watch) {
        return NULL;
    }
    what = (short)(what | (events & CW_READABLE ? EV_READ : 0) |
                   (events & CW_WRITABLE ? EV_WRITE : 0));
    watch->loop = loop;
    watch->fn = fn;
    watch->user = user;
    watch->next = loop->watches;
    watch->link = &loop->watches;
    if (watch->next) {
        watch->next->link = &watch->next;
    }
    loop->watches = watch;
    watch->event = fd >= 0 ? event_new(loop->base, fd, what, on_watch, watch) : NULL;
    if (!watch->event || event_add(watch->event, NULL) < 0) {
        free_watch(watch);
        return NULL;
    }
    return watch;
}

void cw_watch_stop(struct cw_watch *watch)
{
    if (watch) {
        cw_loop_assert_thread(watch->loop);
        free_watch(watch);
    }
}

void cw_timers_free(struct cw_loop *loop)
{
    while (loop->timers) {
        free_timer(loop->timers);
    }
    while (loop->watches) {
        free_watch(loop->watches);
    }
}

/* A pool: a bounded number of connections to one address, lent to one caller at a time.
 *
 * Nothing is handed out from inside a call or a hook: whatever happens sets the pool's one timer, and the loop
 * calls `serve`. */
#include "conn_impl.h"
#include "connector_impl.h"
#include "options.h"
#include "timer_impl.h"

#include <causeway/log.h>

#include <assert.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <sys/queue.h>
#include <sys/socket.h>

enum place_phase { PLACE_CONNECTING, PLACE_IDLE, PLACE_BUSY };

/* One of conns_max. */
struct place {
    struct cw_client_watcher watcher; /* first: it is what the connector knows */
    TAILQ_ENTRY(place) link;          /* of all */
    TAILQ_ENTRY(place) idle_link;
    struct cw_pool *pool;
    struct cw_client *client;
    struct cw_conn *conn; /* NULL: connecting */
    enum place_phase phase;
    uint64_t uses;
    uint64_t opened_ms;
    uint64_t idle_since_ms;
    uint64_t messages_in; /* when it became idle */
};

struct waiter {
    TAILQ_ENTRY(waiter) link;
    cw_pool_fn fn;
    void *user;
    uint64_t deadline_ms;
};

enum pool_phase { POOL_OPEN, POOL_STOPPED, POOL_FREED };

struct cw_pool {
    struct cw_stop_hook stop; /* first: it is what the loop knows */
    struct cw_loop *loop;
    struct cw_target *target;
    struct cw_pool_options options;
    enum pool_phase phase;
    struct event timer;
    TAILQ_HEAD(, place) places;
    TAILQ_HEAD(place_list, place) idle; /* the longest idle first */
    TAILQ_HEAD(, waiter) waiters; /* who came first first: also the order of their deadlines */
    size_t place_count;
    size_t connecting;
    size_t busy;
    size_t waiting;
    uint64_t failed;   /* ever */
    uint64_t failures; /* in a row */
    uint64_t retry_ms; /* not before, after a failure */
    size_t untold;     /* failures, with no_pause */
    int last_code;     /* why the last attempt failed */
    bool healthy;
};

static uint64_t now_of(const struct cw_pool *pool)
{
    return pool->loop->clock();
}

/* ---- when to look again ---- */

static bool serve_in(struct cw_pool *pool, uint64_t ms)
{
    struct timeval after = cw_timeval(ms);

    return event_add(&pool->timer, &after) == 0;
}

static void serve_soon(struct cw_pool *pool)
{
    if (pool->phase == POOL_OPEN && !serve_in(pool, 0)) {
        event_active(&pool->timer, EV_TIMEOUT, 0); /* needs no memory */
    }
}

/* ---- places ---- */

static void place_free(struct place *place)
{
    struct cw_pool *pool = place->pool;

    TAILQ_REMOVE(&pool->places, place, link);
    pool->place_count--;
    if (place->phase == PLACE_IDLE) {
        TAILQ_REMOVE(&pool->idle, place, idle_link);
    } else if (place->phase == PLACE_BUSY) {
        pool->busy--;
    } else {
        pool->connecting--;
    }
    cw_release(place);
}

/* Lets go of the connection, and closes it. */
static void discard(struct place *place)
{
    struct cw_conn *conn = place->conn;

    cw_client_forget(place->client);
    place_free(place);
    if (conn) {
        cw_conn_end_with(conn, CW_BY_APP);
    }
}

static void make_idle(struct place *place)
{
    place->phase = PLACE_IDLE;
    place->idle_since_ms = now_of(place->pool);
    place->messages_in = place->conn->messages_in;
    TAILQ_INSERT_TAIL(&place->pool->idle, place, idle_link);
}

static void count_failure(struct cw_pool *pool, int code)
{
    uint64_t now = now_of(pool);

    pool->last_code = code;
    if (pool->options.no_pause) {
        pool->untold++;
        return;
    }
    if (pool->failures == 0 || now >= pool->retry_ms) {
        /* Attempts that failed together are one failure. */
        pool->failures++;
        pool->retry_ms = now + cw_backoff_ms(&pool->target->options, pool->failures);
    }
}

static void on_opened(struct cw_client_watcher *watcher, struct cw_conn *conn)
{
    struct place *place = (struct place *)watcher;
    struct cw_pool *pool = place->pool;

    assert(place->phase == PLACE_CONNECTING);
    pool->connecting--;
    pool->healthy = true;
    place->conn = conn;
    place->opened_ms = now_of(pool);
    make_idle(place);
    serve_soon(pool);
}

static void on_ended(struct cw_client_watcher *watcher, int code)
{
    struct place *place = (struct place *)watcher;
    struct cw_pool *pool = place->pool;
    uint64_t lived = now_of(pool) - place->opened_ms;

    if (place->phase == PLACE_CONNECTING) {
        pool->failed++;
        pool->healthy = false;
        count_failure(pool, code);
    } else if (place->uses == 0 && lived < pool->target->options.reconnect_min_ms) {
        count_failure(pool, code); /* it ended before anybody had it */
    }
    place_free(place);
    serve_soon(pool);
}

/* One attempt more. False: no memory. */
static bool add_place(struct cw_pool *pool)
{
    struct place *place = cw_alloc_zero(sizeof *place);

    if (!place) {
        return false;
    }
    place->watcher.opened = on_opened;
    place->watcher.ended = on_ended;
    place->pool = pool;
    place->client = cw_client_watched(pool->loop, pool->target, &place->watcher);
    if (!place->client) {
        cw_release(place);
        return false;
    }
    TAILQ_INSERT_TAIL(&pool->places, place, link);
    pool->place_count++;
    pool->connecting++;
    return true;
}

/* ---- fitness ---- */

/* Something of the last use is left in it. */
static bool is_used_up(const struct place *place)
{
    const struct cw_conn *conn = place->conn;
    const uint32_t unfit = CW_CLOSING | CW_MESSAGE_OPEN | CW_HELD_APP;

    return (conn->flags & unfit) != 0 || conn->in || place->uses >= place->pool->options.use_max;
}

/* The peer has ended it, or said something that nobody asked for, in this very moment or before. */
static bool is_stale(const struct place *place)
{
    const struct cw_conn *conn = place->conn;
    uint8_t byte;
    ssize_t n;

    if ((conn->flags & CW_CLOSING) || conn->in || conn->messages_in != place->messages_in) {
        return true;
    }
    n = recv(cw_conn_fd_of(conn), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n > 0) {
        return conn->stream == &cw_stream_plain; /* TLS has records of its own */
    }
    return n == 0 || (errno != EAGAIN && errno != EINTR);
}

/* The last one given back first: what is not needed then stays unused and is closed, and one used a moment ago is the
 * least likely to be dead. */
static struct place *take_idle(struct cw_pool *pool)
{
    struct place *place = TAILQ_LAST(&pool->idle, place_list);

    while (place && is_stale(place)) {
        discard(place);
        place = TAILQ_LAST(&pool->idle, place_list);
    }
    return place;
}

/* ---- waiters ---- */

/* Answers the first one. */
static void answer(struct cw_pool *pool, struct cw_conn *conn, int code)
{
    struct waiter first = *TAILQ_FIRST(&pool->waiters);
    struct waiter *gone = TAILQ_FIRST(&pool->waiters);

    TAILQ_REMOVE(&pool->waiters, gone, link);
    pool->waiting--;
    pool->loop->pool_waiting--;
    cw_release(gone);
    first.fn(pool->loop, conn, code, first.user);
}

/* Those who wait now; not those who come back from within. */
static void answer_all(struct cw_pool *pool, int code)
{
    for (size_t n = pool->waiting; n > 0 && pool->waiting > 0; n--) {
        answer(pool, NULL, code);
    }
}

static void hand_out(struct cw_pool *pool)
{
    for (size_t n = pool->waiting; n > 0 && pool->waiting > 0; n--) {
        struct place *place = take_idle(pool);

        if (!place) {
            return;
        }
        TAILQ_REMOVE(&pool->idle, place, idle_link);
        place->phase = PLACE_BUSY;
        place->uses++;
        pool->busy++;
        pool->failures = 0;
        answer(pool, place->conn, CW_OK);
    }
}

static bool is_resting(const struct cw_pool *pool, uint64_t now)
{
    return pool->failures > 0 && now < pool->retry_ms;
}

/* With no_pause: one caller for each attempt that failed. */
static void tell_failures(struct cw_pool *pool)
{
    for (size_t n = pool->untold < pool->waiting ? pool->untold : pool->waiting;
         n > 0 && pool->waiting > 0; n--) {
        answer(pool, NULL, pool->last_code);
    }
    pool->untold = 0;
}

static void give_up_waiting(struct cw_pool *pool, uint64_t now)
{
    if (pool->place_count == 0 && is_resting(pool, now)) {
        answer_all(pool, pool->last_code);
    }
    for (size_t n = pool->waiting; n > 0 && pool->waiting > 0; n--) {
        if (now < TAILQ_FIRST(&pool->waiters)->deadline_ms) {
            return;
        }
        answer(pool, NULL, CW_ECONNECTTIME);
    }
}

/* ---- serving ---- */

static void close_idle(struct cw_pool *pool, uint64_t now)
{
    struct place *place = TAILQ_FIRST(&pool->idle);

    while (place && pool->options.idle_ms != CW_OFF &&
           now - place->idle_since_ms >= pool->options.idle_ms) {
        discard(place);
        place = TAILQ_FIRST(&pool->idle);
    }
}

static void connect_more(struct cw_pool *pool, uint64_t now)
{
    /* After a failure one at a time finds out whether it works again. */
    size_t most = pool->failures > 0 ? 1 : pool->options.conns_max;

    if (is_resting(pool, now)) {
        return;
    }
    while (pool->place_count - pool->busy < pool->waiting && pool->connecting < most &&
           pool->place_count < pool->options.conns_max) {
        if (!add_place(pool)) {
            pool->failed++;
            pool->healthy = false;
            count_failure(pool, CW_ENOMEM);
            return;
        }
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Milliseconds until something is due by time alone; CW_NO_LIMIT: nothing is. */
static uint64_t next_due(const struct cw_pool *pool, uint64_t now)
{
    const struct place *idle = TAILQ_FIRST(&pool->idle);
    uint64_t due = CW_NO_LIMIT;

    if (pool->waiting > 0) {
        due = TAILQ_FIRST(&pool->waiters)->deadline_ms;
        if (is_resting(pool, now)) {
            due = pool->place_count > 0 ? least(due, pool->retry_ms) : now;
        }
        if (idle || (pool->options.no_pause && pool->place_count == 0)) {
            due =
                now; /* who came while others were served; or one was told of a failure, and now the next has his attempt */
        }
    }
    if (idle && pool->options.idle_ms != CW_OFF) {
        due = least(due, idle->idle_since_ms + pool->options.idle_ms);
    }
    return due == CW_NO_LIMIT ? due : due > now ? due - now : 0;
}

static void serve(evutil_socket_t fd, short events, void *arg)
{
    struct cw_pool *pool = arg;
    uint64_t now;
    uint64_t due;

    (void)fd;
    (void)events;
    cw_loop_wake(pool->loop);
    hand_out(pool);
    tell_failures(pool);
    now = now_of(pool);
    connect_more(pool, now);
    tell_failures(pool); /* those for which there was no memory */
    give_up_waiting(pool, now);
    close_idle(pool, now);
    due = next_due(pool, now_of(pool));
    if (due != CW_NO_LIMIT && pool->phase == POOL_OPEN && !serve_in(pool, due)) {
        answer_all(pool, CW_ENOMEM); /* rather than leave them without a deadline */
    }
}

/* ---- made and ended ---- */

static void end_all(struct cw_pool *pool, enum pool_phase phase, int code)
{
    pool->phase = phase;
    event_del(&pool->timer);
    while (!TAILQ_EMPTY(&pool->places)) {
        discard(TAILQ_FIRST(&pool->places));
    }
    answer_all(pool, code);
}

static void on_stop(struct cw_stop_hook *hook)
{
    end_all((struct cw_pool *)hook, POOL_STOPPED, CW_ESTOPPED);
}

static void leave_loop(struct cw_pool *pool)
{
    struct cw_stop_hook **link = &pool->loop->stop_hooks;

    while (*link && *link != &pool->stop) {
        link = &(*link)->next;
    }
    if (*link) {
        *link = pool->stop.next;
    }
}

static struct cw_pool *pool_make(struct cw_loop *loop, struct cw_target *target,
                                 const struct cw_pool_options *options)
{
    struct cw_pool *pool = cw_alloc_zero(sizeof *pool);

    if (!pool) {
        return NULL;
    }
    pool->loop = loop;
    pool->target = cw_target_hold(target);
    pool->options = *options;
    pool->healthy = true;
    TAILQ_INIT(&pool->places);
    TAILQ_INIT(&pool->idle);
    TAILQ_INIT(&pool->waiters);
    evtimer_assign(&pool->timer, loop->base, serve, pool);
    pool->stop.fn = on_stop;
    if (loop->phase == CW_LOOP_DRAINING || loop->phase == CW_LOOP_STOPPED) {
        pool->phase = POOL_STOPPED;
    } else {
        pool->stop.next = loop->stop_hooks;
        loop->stop_hooks = &pool->stop;
    }
    return pool;
}

struct cw_pool *cw_pool_new(struct cw_loop *loop, struct cw_service service, const char *address,
                            const struct cw_pool_options *options)
{
    struct cw_pool_options filled = {0};
    struct cw_complaint complaint;
    struct cw_target *target;
    struct cw_pool *pool;
    int error;

    if (!loop) {
        return NULL;
    }
    cw_loop_assert_thread(loop);
    if (options) {
        filled = *options;
    }
    if (cw_pool_options_fill(&filled, &complaint) < 0) {
        cw_log(CW_LOG_ERROR, 0, "pool: %s", complaint.text);
        return NULL;
    }
    if (service.protocol && service.protocol->transport == CW_DATAGRAM) {
        cw_log(CW_LOG_ERROR, 0,
               "pool: %.40s is a protocol of datagrams, which needs no pool: use cw_connect",
               service.protocol->name);
        return NULL;
    }
    target = cw_target_new(service, address, &filled.connect, &error);
    pool = target ? pool_make(loop, target, &filled) : NULL;
    if (target) {
        cw_target_drop(target);
    }
    return pool;
}

void cw_pool_free(struct cw_pool *pool)
{
    if (!pool) {
        return;
    }
    leave_loop(pool);
    end_all(pool, POOL_FREED, CW_ECLOSED);
    cw_target_drop(pool->target);
    cw_release(pool);
}

/* ---- the calls ---- */

int cw_pool_acquire(struct cw_pool *pool, cw_pool_fn fn, void *user)
{
    struct waiter *waiter;

    cw_loop_assert_thread(pool->loop);
    if (pool->phase != POOL_OPEN) {
        return pool->phase == POOL_STOPPED ? CW_ESTOPPED : CW_ECLOSED;
    }
    if (pool->waiting >= pool->options.waiting_max) {
        return CW_EFULL;
    }
    waiter = cw_alloc_zero(sizeof *waiter);
    if (!waiter || !serve_in(pool, 0)) {
        cw_release(waiter);
        return CW_ENOMEM;
    }
    waiter->fn = fn;
    waiter->user = user;
    waiter->deadline_ms = now_of(pool) + pool->options.waiting_ms;
    TAILQ_INSERT_TAIL(&pool->waiters, waiter, link);
    pool->waiting++;
    pool->loop->pool_waiting++;
    return CW_OK;
}

void cw_pool_release(struct cw_pool *pool, uint64_t conn_id)
{
    struct cw_conn *conn = cw_loop_conn(pool->loop, conn_id);
    struct cw_client_watcher *watcher = conn ? cw_conn_watcher(conn) : NULL;
    struct place *place = (struct place *)watcher;

    if (!watcher || watcher->opened != on_opened || place->pool != pool ||
        place->phase != PLACE_BUSY) {
        return;
    }
    if (is_used_up(place)) {
        discard(place);
    } else {
        pool->busy--;
        make_idle(place);
    }
    serve_soon(pool);
}

void cw_pool_stats(const struct cw_pool *pool, struct cw_pool_stats *stats)
{
    *stats = (struct cw_pool_stats){
        .conns_open = pool->place_count - pool->connecting,
        .conns_busy = pool->busy,
        .conns_connecting = pool->connecting,
        .waiting = pool->waiting,
        .failed = pool->failed,
        .healthy = pool->healthy,
    };
}

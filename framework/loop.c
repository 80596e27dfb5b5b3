/* One turn: wait, readiness, timers, end of turn. */
#include "conn_impl.h"
#include "connector_impl.h"
#include "parts.h"
#include "report.h"
#include "rooms/room_impl.h"
#include "server_impl.h"
#include "signals.h"
#include "timer_impl.h"
#include "tls/tls.h"
#include "work.h"

#include <causeway/log.h>

#include <assert.h>
#include <event2/thread.h>
#include <inttypes.h>
#include <signal.h>
#include <time.h>

enum { GATHER_LOOKS = 4, GATHER_MIN = 32 };
enum { SWEEP_EVERY_TICKS = 6, FIRST_TICK = 1 }; /* a sweep at most every tenth of a second */

uint32_t cw_ticks(uint64_t ms)
{
    const uint64_t year = 365ull * 24 * 3600 * 1000;
    uint64_t kept = ms < year ? ms : year;

    if (ms == CW_OFF || ms == CW_NO_LIMIT || ms == 0) {
        return 0;
    }
    return (uint32_t)((kept + CW_TICK_MS - 1) / CW_TICK_MS);
}

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t monotonic_ms(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

void cw_loop_update_time(struct cw_loop *loop)
{
    loop->stale = false;
    loop->now_ms = loop->clock();
    loop->now = FIRST_TICK + (uint32_t)((loop->now_ms - loop->epoch_ms) / CW_TICK_MS);
}

#ifdef CW_CHECKED
void cw_loop_assert_thread(const struct cw_loop *loop)
{
    assert(loop->phase == CW_LOOP_NEW || loop->phase == CW_LOOP_STOPPED ||
           pthread_equal(loop->thread, pthread_self()));
}
#endif

/* ---- the sweep ---- */

static void on_sweep(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    cw_loop_update_time(arg);
    cw_loop_sweep(arg);
}

void cw_loop_sweep_by(struct cw_loop *loop, uint32_t due)
{
    uint32_t soonest = loop->now + SWEEP_EVERY_TICKS;
    uint32_t at = (int32_t)(due - soonest) < 0 ? soonest : due;
    struct timeval after;
    uint64_t ms;

    at = at == 0 ? 1 : at;
    if (loop->sweep_at != 0 && (int32_t)(at - loop->sweep_at) >= 0) {
        return;
    }
    ms = (uint64_t)(at - loop->now) * CW_TICK_MS;
    after = cw_timeval(ms);
    if (event_add(loop->sweep, &after) == 0) {
        loop->sweep_at = at;
    }
}

void cw_loop_sweep(struct cw_loop *loop)
{
    uint32_t next;

    loop->sweep_at = 0;
    cw_slots_sweep(&loop->slots, loop->now, cw_conn_check_due);
    next = cw_slots_next_due(&loop->slots);
    if (next != 0) {
        cw_loop_sweep_by(loop, next);
    }
}

/* ---- a turn ---- */

static void end_turn_of(struct cw_conn *conn)
{
    unsigned turn = conn->turn;

    conn->turn = 0;
    if (turn & CW_TURN_SOON) {
        cw_conn_on_soon(conn);
        turn |= CW_TURN_FLUSH;
    }
    if ((turn & CW_TURN_READY) && conn->phase != CW_PHASE_CLOSED) {
        if (conn->flags & CW_SWITCHING) {
            cw_conn_do_switch(conn);
        }
        cw_conn_on_ready(conn);
        turn |= CW_TURN_FLUSH;
    }
    if ((turn & CW_TURN_FLUSH) && conn->phase == CW_PHASE_OPEN) {
        cw_conn_flush(conn);
    }
    if (!(conn->flags & CW_CLOSING)) {
        cw_conn_update_events(conn);
        return;
    }
    if (conn->turn & CW_TURN_QUEUED) {
        conn->turn |= CW_TURN_END; /* it is in the next list, and must not be freed before that */
        return;
    }
    cw_conn_step_end(conn);
}

void cw_loop_end_turn(struct cw_loop *loop)
{
    uint32_t next = loop->turn_head;

    loop->turn_head = 0;
    loop->turn_tail = &loop->turn_head;
    while (next != 0) {
        struct cw_conn *conn = cw_slots_at(&loop->slots, next - 1)->conn;

        next = conn->turn_next;
        end_turn_of(conn);
    }
    atomic_store_explicit(&loop->counters.queued_bytes, loop->out_pool.bytes, memory_order_relaxed);
}

static void each_slot(struct cw_loop *loop, void (*fn)(struct cw_conn *conn))
{
    uint32_t end = loop->slots.block_count * CW_SLOT_BLOCK;

    for (uint32_t slot = 0; slot < end; slot++) {
        struct cw_conn *conn = cw_slots_at(&loop->slots, slot)->conn;
        if (conn) {
            fn(conn);
        }
    }
}

static void ask_again(struct cw_conn *conn)
{
    if ((conn->flags & CW_WANT_DRAIN) && !(conn->flags & CW_CLOSING)) {
        cw_conn_at_turn_end(conn, CW_TURN_FLUSH);
    }
}

/* Whoever was refused because of what others had queued is told when there is room for what he had, and for an eighth
 * of all, so that not every byte wakes everybody. */
static void tell_of_room(struct cw_loop *loop)
{
    size_t room = loop->buffered_max / 8;

    if (loop->refused_bytes == 0) {
        return;
    }
    room = room < loop->refused_bytes ? loop->refused_bytes : room;
    if (loop->out_pool.bytes <= loop->buffered_max - room) {
        loop->refused_bytes = 0;
        each_slot(loop, ask_again);
    }
}

/* Many connections wait for a flush with what others sent them: what has arrived meanwhile is read first, so that
 * it leaves in the same writes. A few looks only, and none when the last one found nothing. */
static int gather_more(struct cw_loop *loop)
{
    int answer = 0;

    for (int looks = 0; looks < GATHER_LOOKS && loop->shared_to >= GATHER_MIN && answer >= 0;
         looks++) {
        size_t before = loop->shared_to;

        answer = event_base_loop(loop->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        if (loop->shared_to == before) {
            break;
        }
    }
    loop->shared_to = 0;
    return answer;
}

int cw_loop_turn(struct cw_loop *loop, bool wait)
{
    /* Without "once" libevent goes on as long as anything is ready, and what rests until the next turn never has one. */
    int flags = EVLOOP_ONCE | (wait && !loop->turn_head ? 0 : EVLOOP_NONBLOCK);
    int answer;

    loop->stale = true;
    loop->handshakes_begun = 0;
    loop->handshake_done = false;
    answer = event_base_loop(loop->base, flags);
    cw_loop_wake(loop);
    if (gather_more(loop) < 0) {
        answer = -1;
    }
    cw_loop_end_turn(loop);
    cw_datagrams_flush(loop);
    tell_of_room(loop);
    return answer;
}

static void on_mail(evutil_socket_t fd, short events, void *arg)
{
    struct cw_loop *loop = arg;

    (void)fd;
    (void)events;
    cw_loop_wake(loop);
    cw_mailbox_run(&loop->mailbox, loop);
}

/* ---- made and freed ---- */

static pthread_once_t threads_once = PTHREAD_ONCE_INIT;
static int threads_error;

static void log_of_event(int severity, const char *text)
{
    enum cw_log_level level = severity == EVENT_LOG_DEBUG  ? CW_LOG_DEBUG
                              : severity == EVENT_LOG_MSG  ? CW_LOG_INFO
                              : severity == EVENT_LOG_WARN ? CW_LOG_WARNING
                                                           : CW_LOG_ERROR;

    cw_log(level, 0, "libevent: %s", text);
}

/* libevent guards what it shares between bases (its random numbers, for names) only when told to. */
static void use_threads(void)
{
    threads_error = evthread_use_pthreads();
    event_set_log_callback(log_of_event);
}

static struct event_base *base_new(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;

    if (config) {
        event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
        base = event_base_new_with_config(config);
        event_config_free(config);
    }
    return base;
}

static uint8_t *scratch_new(void)
{
    uint8_t *memory = cw_alloc(CW_SCRATCH_BYTES + 2 * CW_SCRATCH_PAD);

    if (memory) {
        memset(memory + CW_SCRATCH_PAD + CW_SCRATCH_BYTES, 0, CW_SCRATCH_PAD);
        return memory + CW_SCRATCH_PAD;
    }
    return NULL;
}

static bool fill_in(struct cw_loop *loop, const struct cw_loop_setup *setup)
{
    loop->base = base_new();
    loop->scratch = scratch_new();
    loop->gather = cw_alloc(CW_OUT_GATHER_MAX);
    if (!loop->base || !loop->scratch || !loop->gather ||
        cw_mailbox_init(&loop->mailbox, setup->mailbox_max, setup->mailbox_max_bytes) < 0) {
        return false;
    }
    loop->sweep = evtimer_new(loop->base, on_sweep, loop);
    loop->mail_event =
        event_new(loop->base, loop->mailbox.wake_fd, EV_READ | EV_PERSIST, on_mail, loop);
    loop->drain_timer = evtimer_new(loop->base, cw_loop_on_drain_over, loop);
    if (!loop->sweep || !loop->mail_event || !loop->drain_timer ||
        event_add(loop->mail_event, NULL) < 0) {
        return false;
    }
    if (setup->work) {
        loop->work = setup->work;
        loop->handshakes = setup->handshakes;
    } else {
        loop->owns_work = true;
        loop->work = cw_work_pool_new(CW_WORK_THREADS, CW_WORK_MAX);
        loop->handshakes = cw_work_pool_new(CW_HANDSHAKE_THREADS, CW_HANDSHAKES_MAX);
        return loop->work && loop->handshakes;
    }
    return true;
}

struct cw_loop *cw_loop_create(const struct cw_loop_setup *setup)
{
    struct cw_loop *loop;

    pthread_once(&threads_once, use_threads);
    loop = threads_error == 0 ? cw_alloc_zero(sizeof *loop) : NULL;
    if (!loop) {
        return NULL;
    }
    loop->mailbox.wake_fd = -1;
    loop->server = setup->server;
    loop->worker = setup->worker;
    loop->buffered_max = setup->buffered_max;
    loop->drain_ms = setup->drain_ms;
    loop->handshakes_per_turn = setup->handshakes_per_turn;
    loop->alone = setup->alone;
    loop->turn_tail = &loop->turn_head;
    loop->thread = pthread_self();
    loop->clock = monotonic_ms;
    loop->epoch_ms = loop->clock();
    loop->wall_epoch_ms = read_clock(CLOCK_REALTIME) - FIRST_TICK * CW_TICK_MS;
    cw_loop_update_time(loop);
    if (!fill_in(loop, setup)) {
        cw_loop_free(loop);
        return NULL;
    }
    return loop;
}

struct cw_loop *cw_loop_new(void)
{
    return cw_loop_create(&(struct cw_loop_setup){
        .mailbox_max = CW_MAILBOX_MAX,
        .mailbox_max_bytes = CW_MAILBOX_MAX_BYTES,
        .buffered_max = CW_BUFFERED_MAX,
        .drain_ms = CW_DRAIN_MS,
        .handshakes_per_turn = CW_HANDSHAKES_PER_TURN,
    });
}

static void abort_conn(struct cw_conn *conn)
{
    if (conn->phase == CW_PHASE_CLOSED) {
        return;
    }
    if (conn->out) {
        cw_conn_break_with(conn, CW_EDRAINTIME, 0, NULL); /* what was accepted is lost */
    } else {
        cw_conn_cut(conn, CW_BY_STOP);
    }
}

/* Ends what is still there, telling the application. */
static void end_everything(struct cw_loop *loop)
{
    cw_clients_stop_all(loop);
    each_slot(loop, abort_conn);
    while (loop->turn_head) {
        cw_loop_end_turn(loop);
    }
    cw_datagrams_flush(loop);
    assert(loop->slots.used == 0);
}

/* From here on nothing is taken any more; what was taken is run. */
static void close_mailbox(struct cw_loop *loop)
{
    cw_mailbox_close(&loop->mailbox);
    while (cw_mailbox_run(&loop->mailbox, loop) > 0) {
        end_everything(loop);
    }
}

static void shut(struct cw_loop *loop)
{
    if (loop->phase < CW_LOOP_DRAINING) {
        loop->phase =
            CW_LOOP_DRAINING; /* freed without a stop: the hooks may ask for more all the same */
        loop->thread = pthread_self();
    }
    cw_loop_parts_stop(loop);
    end_everything(loop);
    while (loop->work_pending > 0) {
        cw_work_pool_wait(loop->work, loop);
        if (loop->handshakes) {
            cw_work_pool_wait(loop->handshakes, loop);
        }
        cw_mailbox_run(&loop->mailbox, loop);
        end_everything(loop);
    }
    close_mailbox(loop);
    end_everything(loop);
    cw_report_left_out(loop);
    loop->phase = CW_LOOP_STOPPED;
}

static void free_event(struct event *event)
{
    if (event) {
        event_free(event);
    }
}

void cw_loop_free(struct cw_loop *loop)
{
    if (!loop) {
        return;
    }
    if (loop->mailbox.wake_fd >= 0 && loop->work) {
        shut(loop);
    }
    cw_timers_free(loop);
    cw_clients_free(loop);
    cw_loop_parts_free(loop);
    cw_resolver_free(loop);
    cw_rooms_loop_free(loop);
    if (loop->owns_work) {
        cw_work_pool_free(loop->work);
        cw_work_pool_free(loop->handshakes);
    }
    cw_tls_loop_free(loop);
    free_event(loop->sweep);
    free_event(loop->mail_event);
    free_event(loop->drain_timer);
    cw_mailbox_release(&loop->mailbox);
    if (loop->base) {
        event_base_free(loop->base);
    }
    while (loop->inbufs) {
        struct cw_inbuf *in = loop->inbufs;
        loop->inbufs = in->next;
        cw_release(in);
    }
    cw_datagrams_free(loop);
    cw_outq_pool_release(&loop->out_pool);
    cw_slots_release(&loop->slots);
    cw_release(loop->gather);
    cw_release(loop->scratch ? loop->scratch - CW_SCRATCH_PAD : NULL);
    cw_release(loop);
}

/* ---- run and stop ---- */

bool cw_loop_is_idle(const struct cw_loop *loop)
{
    return loop->slots.used == 0 && !loop->clients && loop->pool_waiting == 0 &&
           loop->work_pending == 0 && !loop->turn_head;
}

static bool goes_on(struct cw_loop *loop)
{
    if (loop->drain_over) {
        return loop->slots.used > 0 ||
               loop->turn_head; /* work that waits will not run: shut tells it */
    }
    if (loop->phase == CW_LOOP_DRAINING) {
        return !cw_loop_is_idle(loop);
    }
    if (loop->server) {
        return true;
    }
    return !cw_loop_is_idle(loop) || loop->timers || loop->watches ||
           cw_mailbox_has_mail(&loop->mailbox);
}

/* Off the rule against global variables because a call that may come from any thread has to know, at no cost,
 * whether it has come from a loop's own; and it is one for each thread. */
static _Thread_local struct cw_loop *here;

struct cw_loop *cw_loop_here(void)
{
    return here;
}

/* sendfile has no MSG_NOSIGNAL: to a peer that is gone it would end the process. */
static void block_pipe(sigset_t *before)
{
    sigset_t pipe;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, before);
}

/* Takes one that waits, or it would come now. */
static void unblock_pipe(const sigset_t *before)
{
    const struct timespec now = {0};
    sigset_t pipe;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    if (!sigismember(before, SIGPIPE)) {
        sigtimedwait(&pipe, NULL, &now);
        pthread_sigmask(SIG_UNBLOCK, &pipe, NULL);
    }
}

int cw_loop_turns(struct cw_loop *loop)
{
    struct cw_loop *outer = here;
    sigset_t before;
    int error = CW_OK;

    block_pipe(&before);
    here = loop;
    loop->thread = pthread_self();
    if (loop->phase == CW_LOOP_NEW) {
        loop->phase = CW_LOOP_RUNNING;
    }
    while (goes_on(loop) && error == CW_OK) {
        if (cw_loop_turn(loop, true) < 0) {
            error = CW_EOS;
        }
    }
    if (loop->server) {
        shut(loop);
    }
    here = outer;
    unblock_pipe(&before);
    return error;
}

int cw_loop_run(struct cw_loop *loop)
{
    int error;

    if (!loop) {
        return CW_ENOMEM;
    }
    if (loop->server || loop->phase == CW_LOOP_STOPPED) {
        return CW_ESTATE;
    }
    error = cw_loop_turns(loop);
    if (loop->phase == CW_LOOP_DRAINING) {
        shut(loop);
    } else {
        loop->phase = CW_LOOP_NEW; /* it only ran out of things to wait for */
    }
    return error;
}

/* Its protocol has something under way, and ends it by itself. */
static bool wants_to_finish(struct cw_conn *conn)
{
    const struct cw_protocol *protocol = conn->service->protocol;

    return protocol->on_stop &&
           (conn->flags & (CW_PROTOCOL_OPEN | CW_CLOSING)) == CW_PROTOCOL_OPEN &&
           protocol->on_stop(conn, cw_conn_state_of(conn)) == 1;
}

static void close_for_stop(struct cw_conn *conn)
{
    if (conn->flags & CW_TOLD) {
        /* Only a socket that waits for the peer's FIN, and it has waited. */
        conn->flags |= CW_INPUT_ENDED;
        cw_conn_at_turn_end(conn, CW_TURN_END);
        return;
    }
    if (wants_to_finish(conn)) {
        return;
    }
    cw_conn_end_with(conn, CW_BY_STOP);
    if (conn->phase == CW_PHASE_DRAINING) {
        cw_conn_schedule(conn);
    }
}

static void end_drain(struct cw_loop *loop)
{
    loop->drain_over = true;
    each_slot(loop, abort_conn);
}

void cw_loop_on_drain_over(evutil_socket_t fd, short events, void *arg)
{
    struct cw_loop *loop = arg;

    (void)fd;
    (void)events;
    end_drain(loop);
}

void cw_loop_begin_stop(struct cw_loop *loop)
{
    struct timeval drain = cw_timeval(loop->drain_ms);

    loop->stops++;
    if (loop->stops > 1) {
        end_drain(loop);
        return;
    }
    loop->phase = CW_LOOP_DRAINING;
    if (loop->server && loop->worker == 0) {
        cw_log(CW_LOG_INFO, 0, "stopping: connections have %" PRIu64 " ms to end", loop->drain_ms);
    }
    cw_listeners_close(loop);
    cw_loop_parts_stop(loop);
    while (loop->stop_hooks) {
        struct cw_stop_hook *hook = loop->stop_hooks;
        loop->stop_hooks = hook->next;
        hook->next = NULL;
        hook->fn(hook);
    }
    cw_clients_stop_all(loop);
    each_slot(loop, close_for_stop);
    event_add(loop->drain_timer, &drain);
}

static void stop_mail(struct cw_loop *loop, struct cw_mail *mail)
{
    (void)mail;
    cw_loop_begin_stop(loop);
}

void cw_loop_stop(struct cw_loop *loop)
{
    if (loop) {
        cw_mailbox_put(&loop->mailbox, &(struct cw_mail){.fn = stop_mail}, CW_MAIL_MUST);
    }
}

/* ---- posts ---- */

/* ISO C keeps functions and objects apart; a post carries its function in memory of its own kind. */
struct call {
    cw_post_fn fn;
};

static void run_post(struct cw_loop *loop, struct cw_mail *mail)
{
    struct call call;
    struct cw_conn *conn = mail->conn_id ? cw_loop_conn(loop, mail->conn_id) : NULL;

    memcpy(&call, &mail->call, sizeof call);
    call.fn(loop, conn, mail->arg);
}

int cw_loop_put_post(struct cw_loop *loop, uint64_t conn_id, cw_post_fn fn, void *arg)
{
    struct cw_mail mail = {.fn = run_post, .conn_id = conn_id, .arg = arg};
    struct call call = {fn};

    _Static_assert(sizeof mail.call == sizeof call,
                   "a function's address is as large as an object's");
    memcpy(&mail.call, &call, sizeof call);
    return cw_mailbox_put(&loop->mailbox, &mail, CW_MAIL_BOUNDED);
}

int cw_loop_post(struct cw_loop *loop, cw_post_fn fn, void *arg)
{
    return cw_loop_put_post(loop, 0, fn, arg);
}

/* ---- asking ---- */

uint64_t cw_loop_now_ms(const struct cw_loop *loop)
{
    return loop->now_ms;
}

struct cw_server *cw_loop_server(const struct cw_loop *loop)
{
    return loop->server;
}

unsigned cw_loop_worker(const struct cw_loop *loop)
{
    return loop->worker;
}

struct event_base *cw_loop_event_base(struct cw_loop *loop)
{
    return loop->base;
}

void *cw_loop_user(const struct cw_loop *loop)
{
    return loop->user;
}

void cw_loop_set_user(struct cw_loop *loop, void *user)
{
    loop->user = user;
}

int cw_loop_main(struct cw_loop *loop)
{
    struct cw_signals *signals = loop ? cw_signals_new(false) : NULL;
    int error = signals ? cw_signals_watch(signals, loop) : CW_ENOMEM;

    error = error < 0 ? error : cw_loop_run(loop);
    cw_signals_free(signals);
    return error;
}

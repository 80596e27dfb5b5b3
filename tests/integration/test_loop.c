/* The life beside the sockets: timers, watches, work, posts, loops of one's own. */
#include "support/leak.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static struct cw_loop *loop;

static void make_loop(void)
{
    loop = cw_loop_new();
    cr_assert_not_null(loop);
}

static void free_loop(void)
{
    cw_loop_free(loop);
    rig_expect_no_leak();
}

TestSuite(loop, .init = make_loop, .fini = free_loop, .timeout = 60);

/* ---- running ---- */

Test(loop, a_loop_with_nothing_to_wait_for_returns)
{
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    cr_expect_null(cw_loop_server(loop));
    cr_expect_eq(cw_loop_worker(loop), 0);
    cr_expect_not_null(cw_loop_event_base(loop));
}

Test(loop, a_loop_that_could_not_be_made_is_an_error_everywhere)
{
    cr_expect_eq(cw_loop_run(NULL), CW_ENOMEM);
    cw_loop_stop(NULL);
    cw_loop_free(NULL);
    cw_timer_stop(NULL);
    cw_watch_stop(NULL);
}

Test(loop, it_keeps_a_pointer_of_the_applications)
{
    int mine;

    cr_expect_null(cw_loop_user(loop));
    cw_loop_set_user(loop, &mine);
    cr_expect_eq(cw_loop_user(loop), &mine);
}

/* ---- timers ---- */

struct ticker {
    struct cw_timer *timer;
    struct cw_timer *other;
    unsigned count;
    unsigned stop_at;
    uint64_t at_ms;
};

static void tick(struct cw_loop *on, void *user)
{
    struct ticker *ticker = user;

    ticker->count++;
    ticker->at_ms = cw_loop_now_ms(on);
    if (ticker->count == ticker->stop_at) {
        cw_timer_stop(ticker->timer);
        cw_timer_stop(ticker->other);
    }
}

Test(loop, a_single_timer_runs_once_and_not_early)
{
    struct ticker ticker = {0};
    uint64_t before = cw_loop_now_ms(loop);

    cr_assert_not_null(cw_timer_start(loop, 50, 0, tick, &ticker));
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    cr_expect_eq(ticker.count, 1);
    cr_expect_geq(ticker.at_ms - before, 49);
    cr_expect_lt(ticker.at_ms - before, 2000);
}

Test(loop, a_repeating_timer_runs_until_it_stops_itself)
{
    struct ticker ticker = {.stop_at = 5};
    uint64_t before = cw_loop_now_ms(loop);

    ticker.timer = cw_timer_start(loop, 30, 10, tick, &ticker);
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    cr_expect_eq(ticker.count, 5);
    cr_expect_geq(ticker.at_ms - before, 68);
}

Test(loop, a_single_timer_may_stop_itself)
{
    struct ticker ticker = {.stop_at = 1};

    ticker.timer = cw_timer_start(loop, 1, 0, tick, &ticker);
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    cr_expect_eq(ticker.count, 1);
}

Test(loop, a_timer_may_stop_another_that_is_due_in_the_same_turn)
{
    struct ticker first = {.stop_at = 1};
    struct ticker second = {.stop_at = 1};

    first.timer = second.other = cw_timer_start(loop, 5, 5, tick, &first);
    second.timer = first.other = cw_timer_start(loop, 5, 5, tick, &second);
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    cr_expect_eq(first.count + second.count, 1);
}

Test(loop, a_timer_stopped_before_the_loop_runs_never_does)
{
    struct ticker ticker = {0};

    cw_timer_stop(cw_timer_start(loop, 0, 0, tick, &ticker));
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    cr_expect_eq(ticker.count, 0);
}

static void start_another(struct cw_loop *on, void *user)
{
    rig_check(cw_timer_start(on, 1, 0, tick, user));
}

Test(loop, a_timer_may_start_another)
{
    struct ticker ticker = {0};

    cr_assert_not_null(cw_timer_start(loop, 1, 0, start_another, &ticker));
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    cr_expect_eq(ticker.count, 1);
}

Test(loop, timers_that_never_ran_are_freed_with_the_loop)
{
    struct ticker ticker = {0};

    cr_assert_not_null(cw_timer_start(loop, 100000, 0, tick, &ticker));
    cr_assert_not_null(cw_timer_start(loop, 100000, 100, tick, &ticker));
}

/* ---- watches ---- */

struct watched {
    struct cw_watch *watch;
    unsigned calls;
    unsigned events;
    char got[16];
    size_t len;
};

static void read_watched(struct cw_loop *on, int fd, unsigned events, void *user)
{
    struct watched *watched = user;

    watched->calls++;
    watched->events = events;
    rig_check(read(fd, watched->got + watched->len, 1) == 1);
    if (watched->got[watched->len++] == '.') {
        cw_watch_stop(watched->watch);
    }
}

Test(loop, a_watch_is_called_while_there_is_something_to_read)
{
    struct watched watched = {0};
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], "abc.", 4), 4);
    watched.watch = cw_loop_watch(loop, ends[0], CW_READABLE, read_watched, &watched);
    cr_assert_not_null(watched.watch);
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    cr_expect_eq(watched.calls, 4);
    cr_expect_eq(watched.events, CW_READABLE);
    cr_expect_arr_eq(watched.got, "abc.", 4);
    close(ends[0]);
    close(ends[1]);
}

static void note_writable(struct cw_loop *on, int fd, unsigned events, void *user)
{
    struct watched *watched = user;

    watched->calls++;
    watched->events = events;
    cw_watch_stop(watched->watch);
}

Test(loop, a_watch_for_writing_is_called_when_there_is_room)
{
    struct watched watched = {0};
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    watched.watch = cw_loop_watch(loop, ends[1], CW_WRITABLE, note_writable, &watched);
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    cr_expect_eq(watched.calls, 1);
    cr_expect_eq(watched.events, CW_WRITABLE);
    close(ends[0]);
    close(ends[1]);
}

Test(loop, what_cannot_be_watched_is_refused)
{
    cr_expect_null(cw_loop_watch(loop, -1, CW_READABLE, note_writable, NULL));
    cr_expect_null(cw_loop_watch(loop, 999, CW_READABLE, note_writable, NULL));
    cr_expect_eq(cw_loop_run(loop), CW_OK);
}

/* ---- posts ---- */

static void count_post(struct cw_loop *on, struct cw_conn *conn, void *arg)
{
    rig_check(!conn);
    atomic_fetch_add((atomic_uint *)arg, 1);
}

struct poster {
    struct cw_loop *loop;
    atomic_uint *runs;
    unsigned accepted;
    pthread_t thread;
};

static void *post_until_refused(void *arg)
{
    struct poster *poster = arg;
    int answer;

    do {
        answer = cw_loop_post(poster->loop, count_post, poster->runs);
        poster->accepted += answer == CW_OK;
    } while (answer == CW_OK || answer == CW_EFULL);
    rig_check(answer == CW_ESTOPPED);
    return NULL;
}

static void stop_at_1000(struct cw_loop *on, void *user)
{
    if (atomic_load((atomic_uint *)user) >= 1000) {
        cw_loop_stop(on);
    }
}

Test(loop, every_accepted_post_runs_exactly_once_also_when_the_loop_stops)
{
    atomic_uint runs = 0;
    struct poster posters[3];
    unsigned accepted = 0;

    cr_assert_not_null(cw_timer_start(loop, 1, 1, stop_at_1000, &runs));
    for (int i = 0; i < 3; i++) {
        posters[i] = (struct poster){.loop = loop, .runs = &runs};
        cr_assert_eq(pthread_create(&posters[i].thread, NULL, post_until_refused, &posters[i]), 0);
    }
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    for (int i = 0; i < 3; i++) {
        pthread_join(posters[i].thread, NULL);
        accepted += posters[i].accepted;
    }
    cr_expect_eq(atomic_load(&runs), accepted);
    cr_expect_geq(accepted, 1000);
    cr_expect_eq(cw_loop_post(loop, count_post, &runs), CW_ESTOPPED);
    cr_expect_eq(cw_loop_run(loop), CW_ESTATE, "a stopped loop does not run again");
}

Test(loop, a_post_before_the_loop_runs_is_run_by_it)
{
    atomic_uint runs = 0;
    struct ticker ticker = {0};

    cr_expect_eq(cw_loop_post(loop, count_post, &runs), CW_OK);
    cw_timer_start(loop, 10, 0, tick, &ticker);
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    cr_expect_eq(atomic_load(&runs), 1);
}

Test(loop, a_post_alone_is_run_before_the_loop_returns)
{
    atomic_uint runs = 0;

    cr_expect_eq(cw_loop_post(loop, count_post, &runs), CW_OK);
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    cr_expect_eq(atomic_load(&runs), 1);
}

Test(loop, a_post_to_a_loop_that_is_freed_without_running_is_run)
{
    atomic_uint runs = 0;
    struct cw_loop *other = cw_loop_new();

    cr_expect_eq(cw_loop_post(other, count_post, &runs), CW_OK);
    cw_loop_free(other);
    cr_expect_eq(atomic_load(&runs), 1);
}

static void post_again(struct cw_loop *on, struct cw_conn *conn, void *arg)
{
    atomic_uint *runs = arg;

    if (atomic_fetch_add(runs, 1) < 5) {
        rig_check(cw_loop_post(on, post_again, arg) == CW_OK);
    }
}

Test(loop, a_post_may_post)
{
    atomic_uint runs = 0;

    cr_expect_eq(cw_loop_post(loop, post_again, &runs), CW_OK);
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    cr_expect_eq(atomic_load(&runs), 6);
}

static void *stop_it(void *arg)
{
    cw_loop_stop(arg);
    return NULL;
}

Test(loop, another_thread_stops_a_loop_that_waits)
{
    struct ticker ticker = {0};
    pthread_t thread;

    cw_timer_start(loop, 100000, 0, tick, &ticker);
    cr_assert_eq(pthread_create(&thread, NULL, stop_it, loop), 0);
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    pthread_join(thread, NULL);
    cr_expect_eq(ticker.count, 0);
}

Test(loop, a_stop_before_the_loop_runs_ends_it_at_once)
{
    struct ticker ticker = {0};

    cw_timer_start(loop, 100000, 0, tick, &ticker);
    cw_loop_stop(loop);
    cr_expect_eq(cw_loop_run(loop), CW_OK);
}

/* ---- work that blocks ---- */

struct job {
    pthread_t ran_on;
    pthread_t done_on;
    atomic_uint runs;
    atomic_uint dones;
    int code;
    atomic_bool *gate; /* the work waits for it */
};

static void do_job(void *arg)
{
    struct job *job = arg;

    job->ran_on = pthread_self();
    atomic_fetch_add(&job->runs, 1);
    if (job->gate) {
        rig_await(atomic_load(job->gate));
    }
}

static void job_done(struct cw_loop *on, int code, void *arg)
{
    struct job *job = arg;

    rig_check(on == loop);
    job->done_on = pthread_self();
    job->code = code;
    atomic_fetch_add(&job->dones, 1);
}

static void start_job(struct cw_loop *on, void *user)
{
    rig_check(cw_work(on, do_job, job_done, user) == CW_OK);
}

Test(loop, work_runs_on_a_helper_and_is_told_on_the_loop)
{
    struct job job = {0};

    cr_assert_eq(cw_work(loop, do_job, job_done, &job), CW_OK);
    cr_expect_eq(cw_loop_run(loop), CW_OK, "it waits for the work");
    cr_expect_eq(atomic_load(&job.runs), 1);
    cr_expect_eq(atomic_load(&job.dones), 1);
    cr_expect_eq(job.code, CW_OK);
    cr_expect(!pthread_equal(job.ran_on, pthread_self()));
    cr_expect(pthread_equal(job.done_on, pthread_self()));
}

Test(loop, work_without_done_is_waited_for_too)
{
    struct job job = {0};

    cr_assert_eq(cw_work(loop, do_job, NULL, &job), CW_OK);
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    cr_expect_eq(atomic_load(&job.runs), 1);
}

Test(loop, many_pieces_of_work_are_all_told)
{
    static struct job jobs[500];

    for (int i = 0; i < 500; i++) {
        cr_assert_eq(cw_work(loop, do_job, job_done, &jobs[i]), CW_OK);
    }
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    for (int i = 0; i < 500; i++) {
        cr_expect_eq(atomic_load(&jobs[i].runs), 1);
        cr_expect_eq(atomic_load(&jobs[i].dones), 1);
    }
}

Test(loop, more_work_than_may_wait_is_refused_and_nothing_of_it_runs)
{
    enum { THREADS = 4, WAITING = 1024 };
    static struct job jobs[THREADS + WAITING + 1];
    atomic_bool gate = false;
    int accepted = 0;

    for (int i = 0; i < THREADS; i++) {
        jobs[i].gate = &gate;
        cr_assert_eq(cw_work(loop, do_job, job_done, &jobs[i]), CW_OK);
        rig_await(atomic_load(&jobs[i].runs) == 1);
    }
    for (int i = THREADS; i < THREADS + WAITING; i++) {
        accepted += cw_work(loop, do_job, job_done, &jobs[i]) == CW_OK;
    }
    cr_expect_eq(accepted, WAITING);
    cr_expect_eq(cw_work(loop, do_job, job_done, &jobs[THREADS + WAITING]), CW_EFULL);
    atomic_store(&gate, true);
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    cr_expect_eq(atomic_load(&jobs[THREADS + WAITING].runs), 0);
    cr_expect_eq(atomic_load(&jobs[THREADS + WAITING].dones), 0);
    cr_expect_eq(atomic_load(&jobs[THREADS + WAITING - 1].dones), 1);
}

static pthread_t gate_keeper;

/* Long enough for the loop to be where it waits for the work; any time is right. */
static void *open_late(void *arg)
{
    uint64_t until = rig_now_ms() + 50;

    while (rig_rest(until)) {}
    atomic_store((atomic_bool *)arg, true);
    return NULL;
}

/* Four pieces that wait for the gate, and three behind them; stops come from timers. */
static void stop_with_work(unsigned stops, struct job *begun, struct job *waiting)
{
    atomic_bool gate = false;

    for (int i = 0; i < 4; i++) {
        begun[i].gate = &gate;
        cr_assert_eq(cw_work(loop, do_job, job_done, &begun[i]), CW_OK);
        rig_await(atomic_load(&begun[i].runs) == 1);
    }
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(cw_work(loop, do_job, job_done, &waiting[i]), CW_OK);
    }
    for (unsigned i = 0; i < stops; i++) {
        cw_loop_stop(loop);
    }
    cr_assert_eq(pthread_create(&gate_keeper, NULL, open_late, &gate), 0);
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    pthread_join(gate_keeper, NULL);
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(atomic_load(&begun[i].dones), 1);
        cr_expect_eq(begun[i].code, CW_OK);
    }
    cr_expect_eq(cw_work(loop, do_job, job_done, &begun[0]), CW_ESTOPPED);
}

Test(loop, a_stop_lets_work_that_waits_finish_within_the_drain_time)
{
    static struct job begun[4];
    static struct job waiting[3];

    stop_with_work(1, begun, waiting);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(atomic_load(&waiting[i].dones), 1);
        cr_expect_eq(waiting[i].code, CW_OK);
    }
}

Test(loop, a_second_stop_waits_for_work_that_has_begun_and_tells_the_rest_that_it_will_not_run)
{
    static struct job begun[4];
    static struct job waiting[3];

    stop_with_work(2, begun, waiting);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(atomic_load(&waiting[i].dones), 1);
        cr_expect_eq(waiting[i].code, CW_ESTOPPED);
        cr_expect_eq(atomic_load(&waiting[i].runs), 0);
    }
}

static void work_again(struct cw_loop *on, int code, void *arg)
{
    struct job *job = arg;

    job_done(on, code, arg);
    if (atomic_load(&job->dones) < 3) {
        rig_check(cw_work(on, do_job, work_again, arg) == CW_OK);
    }
}

Test(loop, done_may_start_more_work)
{
    struct job job = {0};

    cr_assert_eq(cw_work(loop, do_job, work_again, &job), CW_OK);
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    cr_expect_eq(atomic_load(&job.runs), 3);
    cr_expect_eq(atomic_load(&job.dones), 3);
}

struct insistent {
    struct job job;
    int answer; /* to the last time it asked */
    int asked;
};

static void ask_again(struct cw_loop *on, int code, void *arg)
{
    struct insistent *insistent = arg;

    if (++insistent->asked < 100) {
        insistent->answer = cw_work(on, do_job, ask_again, arg);
    }
}

Test(loop, a_loop_that_is_freed_takes_no_more_work)
{
    struct cw_loop *other = cw_loop_new();
    struct insistent insistent = {.asked = 0};

    cr_assert_eq(cw_work(other, do_job, ask_again, &insistent), CW_OK);
    cw_loop_free(other);
    cr_expect_eq(insistent.asked, 1);
    cr_expect_eq(insistent.answer, CW_ESTOPPED);
}

Test(loop, a_timer_may_start_work)
{
    struct job job = {0};

    cw_timer_start(loop, 1, 0, start_job, &job);
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    cr_expect_eq(atomic_load(&job.dones), 1);
}

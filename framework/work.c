/* A bounded pool of threads for what blocks. Threads are started when there is work for them. */
#include "work.h"

#include "loop_impl.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LESS_URGENT = 8 }; /* nice: a sixth of a loop's share of a processor that both want */

struct work {
    struct work *next;
    struct cw_loop *loop;
    void (*fn)(void *arg);
    cw_done_fn done;
    void *arg;
    int code;
};

struct cw_work_pool {
    pthread_mutex_t lock;
    pthread_cond_t some; /* there is work, or the end */
    pthread_cond_t over; /* a piece is done */
    struct work *head;
    struct work **tail;
    size_t waiting;
    size_t waiting_max;
    size_t idle;
    size_t started;
    size_t threads_max;
    size_t finished; /* pieces done so far */
    bool ending;
    bool yields;
    pthread_t threads[];
};

struct cw_work_pool *cw_work_pool_new(size_t threads, size_t waiting_max)
{
    struct cw_work_pool *pool = cw_alloc_zero(sizeof *pool + threads * sizeof(pthread_t));

    if (pool) {
        pthread_mutex_init(&pool->lock, NULL);
        pthread_cond_init(&pool->some, NULL);
        pthread_cond_init(&pool->over, NULL);
        pool->tail = &pool->head;
        pool->threads_max = threads;
        pool->waiting_max = waiting_max;
    }
    return pool;
}

void cw_work_pool_yields(struct cw_work_pool *pool)
{
    pool->yields = true;
}

size_t cw_work_pool_waiting(struct cw_work_pool *pool)
{
    size_t waiting;

    if (!pool) {
        return 0;
    }
    pthread_mutex_lock(&pool->lock);
    waiting = pool->waiting;
    pthread_mutex_unlock(&pool->lock);
    return waiting;
}

size_t cw_work_pool_max(struct cw_work_pool *pool)
{
    size_t max;

    pthread_mutex_lock(&pool->lock);
    max = pool->waiting_max;
    pthread_mutex_unlock(&pool->lock);
    return max;
}

void cw_work_pool_set_max(struct cw_work_pool *pool, size_t waiting_max)
{
    pthread_mutex_lock(&pool->lock);
    pool->waiting_max = waiting_max;
    pthread_mutex_unlock(&pool->lock);
}

void cw_work_pool_free(struct cw_work_pool *pool)
{
    if (!pool) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->some);
    pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < pool->started; i++) {
        pthread_join(pool->threads[i], NULL);
    }
    pthread_cond_destroy(&pool->some);
    pthread_cond_destroy(&pool->over);
    pthread_mutex_destroy(&pool->lock);
    cw_release(pool);
}

/* On the loop's thread. */
static void run_done(struct cw_loop *loop, struct cw_mail *mail)
{
    struct work *work = mail->arg;

    loop->work_pending--;
    if (work->done) {
        work->done(loop, work->code, work->arg);
    }
    cw_release(work);
}

/* Memory for this was found when the work was accepted, or the loop asks again: it cannot be lost. */
static void hand_back(struct work *work)
{
    struct cw_mail mail = {.fn = run_done, .arg = work};

    while (cw_mailbox_put(&work->loop->mailbox, &mail, CW_MAIL_MUST) == CW_ENOMEM) {
        struct timespec moment = {.tv_nsec = 10000000};
        nanosleep(&moment, NULL);
    }
}

static struct work *take(struct cw_work_pool *pool)
{
    struct work *work = pool->head;

    if (work) {
        pool->head = work->next;
        if (!pool->head) {
            pool->tail = &pool->head;
        }
        pool->waiting--;
    }
    return work;
}

static void *helper(void *arg)
{
    struct cw_work_pool *pool = arg;

    if (pool->yields) {
        setpriority(PRIO_PROCESS, (id_t)gettid(), LESS_URGENT); /* of this thread alone, on Linux */
    }
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct work *work = take(pool);

        if (work) {
            pthread_mutex_unlock(&pool->lock);
            work->fn(work->arg);
            hand_back(work);
            pthread_mutex_lock(&pool->lock);
            pool->finished++;
            pthread_cond_broadcast(&pool->over);
        } else if (pool->ending) {
            break;
        } else {
            pool->idle++;
            pthread_cond_wait(&pool->some, &pool->lock);
            pool->idle--;
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Signals belong to the main thread. */
static bool start_thread(struct cw_work_pool *pool)
{
    sigset_t all;
    sigset_t before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&pool->threads[pool->started], NULL, helper, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0) {
        pool->started++;
    }
    return error == 0;
}

static int put(struct cw_work_pool *pool, struct work *work, bool first)
{
    if (pool->waiting >= pool->waiting_max && !first) {
        return CW_EFULL;
    }
    if (pool->idle <= pool->waiting && pool->started < pool->threads_max && !start_thread(pool) &&
        pool->started == 0) {
        return CW_ENOMEM;
    }
    if (first && pool->head) {
        work->next = pool->head;
        pool->head = work;
    } else {
        *pool->tail = work;
        pool->tail = &work->next;
    }
    pool->waiting++;
    pthread_cond_signal(&pool->some);
    return CW_OK;
}

int cw_work_on(struct cw_work_pool *pool, struct cw_loop *loop, const struct cw_work_call *call)
{
    struct work *work;
    int error;

    cw_loop_assert_thread(loop);
    if (loop->phase >= CW_LOOP_DRAINING) {
        return CW_ESTOPPED;
    }
    work = cw_alloc_zero(sizeof *work);
    if (!work) {
        return CW_ENOMEM;
    }
    work->loop = loop;
    work->fn = call->fn;
    work->done = call->done;
    work->arg = call->arg;
    pthread_mutex_lock(&pool->lock);
    error = put(pool, work, call->first);
    pthread_mutex_unlock(&pool->lock);
    if (error < 0) {
        cw_release(work);
        return error;
    }
    loop->work_pending++;
    return CW_OK;
}

int cw_work(struct cw_loop *loop, void (*fn)(void *arg), cw_done_fn done, void *arg)
{
    struct cw_work_call call = {fn, done, arg, false};

    return cw_work_on(loop->work, loop, &call);
}

/* Takes this loop's pieces out of the queue. */
static struct work *withdraw(struct cw_work_pool *pool, const struct cw_loop *loop)
{
    struct work **link = &pool->head;
    struct work *mine = NULL;

    while (*link) {
        struct work *work = *link;
        if (work->loop == loop) {
            *link = work->next;
            work->next = mine;
            mine = work;
            pool->waiting--;
        } else {
            link = &work->next;
        }
    }
    pool->tail = link;
    return mine;
}

void cw_work_pool_wait(struct cw_work_pool *pool, struct cw_loop *loop)
{
    struct work *mine;
    size_t before;

    pthread_mutex_lock(&pool->lock);
    mine = withdraw(pool, loop);
    pthread_mutex_unlock(&pool->lock);
    while (mine) {
        struct work *work = mine;
        mine = work->next;
        work->code = CW_ESTOPPED;
        run_done(loop, &(struct cw_mail){.arg = work});
    }
    pthread_mutex_lock(&pool->lock);
    before = pool->finished;
    while (loop->work_pending > 0 && pool->finished == before) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 50000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        if (pthread_cond_timedwait(&pool->over, &pool->lock, &until) != 0) {
            break; /* it may have been handed back just before; the caller looks and comes again */
        }
    }
    pthread_mutex_unlock(&pool->lock);
}

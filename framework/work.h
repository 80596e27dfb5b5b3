/* A bounded pool of threads for what blocks. */
#ifndef CW_WORK_H
#define CW_WORK_H

#include <causeway/loop.h>

struct cw_work_pool;

struct cw_work_pool *cw_work_pool_new(size_t threads, size_t waiting_max);

/* Its threads leave the processor to others where those want it; before any is started. */
void cw_work_pool_yields(struct cw_work_pool *pool);

/* One piece of work, as the arguments of cw_work. */
struct cw_work_call {
    void (*fn)(void *arg);
    cw_done_fn done;
    void *arg;
    bool first; /* before all that wait, however many there are */
};

/* cw_work on this pool. */
int cw_work_on(struct cw_work_pool *pool, struct cw_loop *loop, const struct cw_work_call *call);

/* How much waits. NULL: nothing. thread: any */
size_t cw_work_pool_waiting(struct cw_work_pool *pool);

/* How much may wait. thread: any */
size_t cw_work_pool_max(struct cw_work_pool *pool);

/* How much may wait from now on; what waits already stays. thread: any */
void cw_work_pool_set_max(struct cw_work_pool *pool, size_t waiting_max);

/* No loop may use it any more. */
void cw_work_pool_free(struct cw_work_pool *pool);

/* Hands back what of this loop's has not begun and waits until one piece that has is over. */
void cw_work_pool_wait(struct cw_work_pool *pool, struct cw_loop *loop);

#endif

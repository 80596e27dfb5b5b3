/* A bounded pool of threads for what blocks. */
#ifndef CW_WORK_H
#define CW_WORK_H

#include <causeway/loop.h>

struct cw_work_pool;

struct cw_work_pool *cw_work_pool_new(size_t threads, size_t waiting_max);

/* How much may wait from now on; what waits already stays. thread: any */
void cw_work_pool_set_max(struct cw_work_pool *pool, size_t waiting_max);

/* No loop may use it any more. */
void cw_work_pool_free(struct cw_work_pool *pool);

/* Hands back what of this loop's has not begun and waits until one piece that has is over. */
void cw_work_pool_wait(struct cw_work_pool *pool, struct cw_loop *loop);

#endif

/* Timers and watches of the application; a loop keeps them in lists and frees what is left. */
#ifndef CW_TIMER_IMPL_H
#define CW_TIMER_IMPL_H

#include <causeway/loop.h>

#include <sys/time.h>

void cw_timers_free(struct cw_loop *loop);

/* A duration as libevent takes it; more than a year is a year. */
struct timeval cw_timeval(uint64_t ms);

#endif

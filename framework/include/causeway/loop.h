/* A loop: one thread that waits for sockets, timers and posted work. A server makes its own loops; a
 * program that only connects makes one with cw_loop_new. */
#ifndef CAUSEWAY_LOOP_H
#define CAUSEWAY_LOOP_H

#include <causeway/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;
struct cw_timer;
struct cw_watch;

/* Work for a loop. conn is the connection that was addressed by id; NULL when none was, or when it is
 * gone. */
typedef void (*cw_post_fn)(struct cw_loop *loop, struct cw_conn *conn, void *arg);

/* ---- a loop of one's own ---- */

/* Makes a loop for a program without a server.
 *
 * returns  yours; NULL when memory or descriptors ran out
 * thread   any; the loop belongs to the thread that runs it */
struct cw_loop *cw_loop_new(void);

/* Runs until cw_loop_stop, or until there is nothing left to wait for: no connection, no client that
 * reconnects, no timer, no watch, no post, no work under way.
 *
 * returns  0, or an enum cw_error
 * thread   the one that from now on is the loop's thread */
int cw_loop_run(struct cw_loop *loop);

/* The same, and SIGINT or SIGTERM stop it: the first drains the connections, the second ends the
 * process with status 1.
 *
 * returns  0, also when every attempt to connect has failed (on_error tells of those); or an enum cw_error
 * thread   the main thread, before others are started */
int cw_loop_main(struct cw_loop *loop);

/* Ends cw_loop_run: connections drain within the default drain time, then it returns.
 *
 * thread   any */
void cw_loop_stop(struct cw_loop *loop);

/* Frees a loop that is not running: connections are closed (on_close runs), timers and watches end.
 * NULL is allowed.
 *
 * thread   any */
void cw_loop_free(struct cw_loop *loop);

/* Has fn(loop, NULL, arg) run on the loop's thread, once, soon; also when the loop stops first.
 *
 * returns  0; CW_EFULL: the mailbox is full; CW_ESTOPPED: fn will not run
 * thread   any */
int cw_loop_post(struct cw_loop *loop, cw_post_fn fn, void *arg);

/* ---- asking ---- */

/* Milliseconds of a clock that never jumps, as of the start of this turn.
 *
 * thread   loop thread */
uint64_t cw_loop_now_ms(const struct cw_loop *loop);

/* The server this loop belongs to; NULL for a loop of one's own.
 *
 * thread   any */
struct cw_server *cw_loop_server(const struct cw_loop *loop);

/* The number of this worker, from 0.
 *
 * thread   any */
unsigned cw_loop_worker(const struct cw_loop *loop);

/* A pointer of the application's for this loop (a pool, a database handle); NULL until it was set.
 *
 * thread   loop thread */
void *cw_loop_user(const struct cw_loop *loop);
void cw_loop_set_user(struct cw_loop *loop, void *user);

/* libevent's base, for those who know it: add events of your own, never run or free it.
 *
 * thread   loop thread */
struct event_base *cw_loop_event_base(struct cw_loop *loop);

/* ---- timers ---- */

/* What a timer calls. */
typedef void (*cw_timer_fn)(struct cw_loop *loop, void *user);

/* Calls fn after after_ms, and from then on every every_ms (0: once only).
 *
 * returns  a timer that is good until cw_timer_stop, or, for a single one, until fn has returned;
 *          NULL when memory ran out
 * thread   loop thread, or before the loop runs */
struct cw_timer *cw_timer_start(struct cw_loop *loop, uint64_t after_ms, uint64_t every_ms,
                                cw_timer_fn fn, void *user);

/* Ends a timer; also from within its fn. NULL is allowed.
 *
 * thread   loop thread */
void cw_timer_stop(struct cw_timer *timer);

/* ---- descriptors of one's own ---- */

/* What to wait for, and what a descriptor is ready for. */
enum { CW_READABLE = 1, CW_WRITABLE = 2 };

/* events: CW_READABLE, CW_WRITABLE or both. */
typedef void (*cw_watch_fn)(struct cw_loop *loop, int fd, unsigned events, void *user);

/* Calls fn in every turn in which the descriptor is ready (level-triggered).
 *
 * fd       stays yours; stop the watch before closing it
 * returns  a watch that is good until cw_watch_stop; NULL when memory ran out or the descriptor
 *          cannot be watched
 * thread   loop thread, or before the loop runs */
struct cw_watch *cw_loop_watch(struct cw_loop *loop, int fd, unsigned events, cw_watch_fn fn,
                               void *user);

/* Ends a watch; also from within its fn. NULL is allowed.
 *
 * thread   loop thread */
void cw_watch_stop(struct cw_watch *watch);

/* ---- work that blocks ---- */

/* Told on the loop's thread that work is over. code 0: fn has run; CW_ESTOPPED: it has not. */
typedef void (*cw_done_fn)(struct cw_loop *loop, int code, void *arg);

/* Runs fn(arg) on a helper thread, then done(loop, code, arg) on the loop's own. The pool is bounded in threads
 * and in waiting work. When the loop stops, work that has begun is waited for. To answer a connection, keep its
 * id in arg and look it up with cw_loop_conn.
 *
 * done     NULL: nobody needs to know
 * returns  0: done will run once; CW_EFULL: too much is waiting already; CW_ENOMEM; CW_ESTOPPED. On an error
 *          neither runs
 * thread   loop thread */
int cw_work(struct cw_loop *loop, void (*fn)(void *arg), cw_done_fn done, void *arg);

#ifdef __cplusplus
}
#endif

#endif

/* SIGINT and SIGTERM: the first drains, the second ends the process. SIGHUP has a server read its files again, or drains when
 * it comes from a terminal that is gone.
 *
 * No thread of its own: a process with one thread makes cheaper system calls. */
#ifndef CW_SIGNALS_H
#define CW_SIGNALS_H

#include <causeway/types.h>

struct cw_signals;

/* Takes the signals.
 *
 * reloads  SIGHUP too; otherwise its default action stays
 * returns  NULL: out of memory or descriptors, or another server or loop of this process has them; the defaults stay */
struct cw_signals *cw_signals_new(bool reloads);

/* Has the loop stop its server, or itself, at the first of the two, and its server reload (or stop) at SIGHUP. 0 or
 * CW_ENOMEM. */
int cw_signals_watch(struct cw_signals *signals, struct cw_loop *loop);

/* The loop goes: watch no longer. */
void cw_signals_unwatch(struct cw_signals *signals);

/* Back to what was before. NULL is allowed. */
void cw_signals_free(struct cw_signals *signals);

#endif

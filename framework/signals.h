/* SIGINT and SIGTERM: the first drains, the second ends the process. */
#ifndef CW_SIGNALS_H
#define CW_SIGNALS_H

#include <causeway/types.h>

struct cw_signals;

/* Blocks the two signals and waits for them on a thread of its own, so that a loop that a hook blocks can still be
 * ended from the keyboard. One of server and loop is NULL. NULL: they could not be had; the defaults stay. */
struct cw_signals *cw_signals_start(struct cw_server *server, struct cw_loop *loop);

/* Back to what was before. NULL is allowed. */
void cw_signals_stop(struct cw_signals *signals);

#endif

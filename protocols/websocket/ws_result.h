/* Memory that a loop keeps for what is made of one message at a time: it grows by doubling, and what is large is released soon. */
#ifndef CW_WS_RESULT_H
#define CW_WS_RESULT_H

#include <causeway/loop.h>

enum {
    CW_WS_OUT_KEPT = 262144, /* bytes that are kept; more is released behind the turn */
    CW_WS_OUT_SLACK = 16,    /* bytes behind cap that may be read and written too */
};

/* Zero at first. */
struct cw_ws_out {
    uint8_t *data;
    size_t cap;
    bool sweeps; /* a release is under way */
};

/* Makes it larger, to most bytes at most (and never below 4096). cap is above `most` already if that was smaller once.
 *
 * returns  false: no memory; what was there still is */
bool cw_ws_out_grow(struct cw_ws_out *out, size_t most);

/* Makes it at least so large, without what was in it. False: no memory. */
bool cw_ws_out_reserve(struct cw_ws_out *out, size_t cap);

/* Has what is large released when the loop comes to it; of memory in a part of the loop. */
void cw_ws_out_sweep(struct cw_loop *loop, struct cw_ws_out *out);

void cw_ws_out_release(struct cw_ws_out *out);

#endif

#include "ws_result.h"

#include <causeway/log.h>

enum { FIRST = 4096 };

static bool resize(struct cw_ws_out *out, size_t cap)
{
    size_t more = cap > FIRST ? cap : FIRST;

    if (out->data && more <= out->cap) {
        return true;
    }
    uint8_t *data =
        more > SIZE_MAX - CW_WS_OUT_SLACK ? NULL : cw_resize(out->data, more + CW_WS_OUT_SLACK);
    if (!data) {
        return false;
    }
    out->data = data;
    out->cap = more;
    return true;
}

bool cw_ws_out_grow(struct cw_ws_out *out, size_t most)
{
    return resize(out, out->cap > most / 2 ? most : out->cap * 2);
}

bool cw_ws_out_reserve(struct cw_ws_out *out, size_t cap)
{
    if (cap > out->cap) {
        cw_ws_out_release(out); /* nothing to be carried over */
    }
    return resize(out, cap);
}

void cw_ws_out_release(struct cw_ws_out *out)
{
    cw_release(out->data);
    out->data = NULL;
    out->cap = 0;
}

static void sweep(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct cw_ws_out *out = arg;

    out->sweeps = false;
    if (out->cap > CW_WS_OUT_KEPT) {
        cw_ws_out_release(out);
    }
}

void cw_ws_out_sweep(struct cw_loop *loop, struct cw_ws_out *out)
{
    /* Where it cannot be posted, the next message asks again. */
    if (out->cap > CW_WS_OUT_KEPT && !out->sweeps) {
        out->sweeps = cw_loop_post(loop, sweep, out) == 0;
    }
}

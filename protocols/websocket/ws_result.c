#include "ws_result.h"

#include <causeway/log.h>

enum { FIRST = 4096 };

static size_t next_cap(size_t cap, size_t most)
{
    size_t doubled = cap > most / 2 ? most : cap * 2;

    return doubled > FIRST ? doubled : FIRST;
}

bool cw_ws_out_grow(struct cw_ws_out *out, size_t most)
{
    size_t cap = next_cap(out->cap, most);
    uint8_t *data = cap > SIZE_MAX - CW_WS_OUT_SLACK ? NULL
                    : cap > out->cap                 ? cw_resize(out->data, cap + CW_WS_OUT_SLACK)
                                                     : out->data;

    if (data == NULL) {
        return false;
    }
    out->data = data;
    out->cap = cap > out->cap ? cap : out->cap;
    return true;
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

#include "positions.h"

enum { LOOK_MS = 2, LATE_MAX_MS = 100 };

static void look(struct cw_loop *loop, void *user)
{
    struct beat *beat = user;
    uint64_t now = cw_loop_now_ms(loop);
    uint64_t due = beat->started_ms + beat->count * 1000 / beat->rate;

    if (now < due) {
        return;
    }
    if (now - due > LATE_MAX_MS) { /* it has been kept from it: nothing is made up for */
        beat->started_ms = now;
        beat->count = 0;
    }
    beat->count++;
    beat->fn(loop, beat->user);
}

bool beat_start(struct beat *beat, struct cw_loop *loop)
{
    return cw_timer_start(loop, 1, LOOK_MS, look, beat) != NULL;
}

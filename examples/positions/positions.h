/* The two sides of the positions, and the beat that both keep. */
#ifndef EXAMPLES_POSITIONS_H
#define EXAMPLES_POSITIONS_H

#include "command_line.h"

struct positions_serve_options {
    uint64_t rate;      /* snapshots a second */
    uint64_t forget_ms; /* who is silent for so long is gone */
};

/* Tells everybody where everybody is until SIGINT or SIGTERM. Returns what main returns. */
int positions_serve(const struct command_line *line, const struct positions_serve_options *options);

struct positions_play_options {
    const char *address;
    const struct cw_tls_options *tls; /* DTLS. NULL: plain */
    const char *name;
    uint64_t rate;    /* updates a second */
    uint64_t lose;    /* percent of the datagrams, both ways, that are dropped on purpose */
    uint64_t play_ms; /* CW_NO_LIMIT: until SIGINT or SIGTERM */
    bool numbers;     /* a line a second in place of the picture */
};

/* Moves about and shows where everybody is. Returns what main returns: 0 when it was in the room. */
int positions_play(const struct positions_play_options *options);

/* Calls fn `rate` times a second: 60 is 16, 17, 17 ms, and again. */
struct beat {
    uint64_t rate;
    cw_timer_fn fn;
    void *user;
    uint64_t started_ms;
    uint64_t count; /* since then */
};

/* Begins. rate, fn and user are set, and it lives as long as the loop. False: no memory.
 *
 * thread   loop thread, or before the loop runs */
bool beat_start(struct beat *beat, struct cw_loop *loop);

#endif

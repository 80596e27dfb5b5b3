/* What a player sees. */
#ifndef EXAMPLES_POSITIONS_SCREEN_H
#define EXAMPLES_POSITIONS_SCREEN_H

#include "wire.h"

#include <stdio.h>

struct screen {
    const struct wire_player *players;
    size_t count;
    int number;             /* who is looking; -1: not in the room yet */
    const char *address;    /* of the server */
    uint64_t taken;         /* snapshots */
    uint64_t lost;          /* that never came, or too late to count */
    uint64_t late;          /* … of these */
    uint64_t round_trip_ms; /* until an update of one's own was seen in a snapshot */
    uint64_t silent_ms;     /* since the last one */
};

/* The terminal is for pictures and keys until screen_close: nothing typed is shown, no cursor. False: there is no terminal. */
bool screen_open(void);
void screen_close(void);

/* Reads what was typed. Returns 'u', 'd', 'l' or 'r' for an arrow, 'q' to end, 0: nothing of these. */
char screen_key(void);

/* Draws a picture over the last one. */
void screen_draw(const struct screen *screen, FILE *out);

/* Writes the same as a line of numbers. */
void screen_print(const struct screen *screen, FILE *out);

#endif

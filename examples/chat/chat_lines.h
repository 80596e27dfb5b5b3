/* Lines out of a descriptor that is read piece by piece. */
#ifndef EXAMPLES_CHAT_LINES_H
#define EXAMPLES_CHAT_LINES_H

#include <stdbool.h>
#include <stddef.h>

enum { LINE_MAX_BYTES = 4000 };

/* What has come of a line that has not ended. Zero to begin with. */
struct lines {
    char text[LINE_MAX_BYTES + 1];
    size_t len;
    bool too_long; /* the rest of this line is skipped */
};

/* A line without its end, which may be changed; NULL: one that was longer than LINE_MAX_BYTES. */
typedef void (*line_fn)(char *line, void *user);

/* Reads once and hands on the lines that are whole. At the end of the input also one without an end.
 *
 * returns  false: nothing will follow */
bool lines_read(struct lines *lines, int fd, line_fn fn, void *user);

#endif

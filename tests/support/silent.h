#ifndef CAUSEWAY_TESTS_SILENT_H
#define CAUSEWAY_TESTS_SILENT_H

/* Listeners that nobody serves: the kernel takes connections until the backlog is full, and from then on does not
 * answer at all. */

#include <stdint.h>

enum { RIG_SILENT_FILL = 4 };

struct rig_silent {
    int fd;
    uint16_t port;
    int fillers[RIG_SILENT_FILL]; /* what fills the backlog; -1: none */
};

/* Listens on 127.0.0.1, ::1 or a unix path, port 0: any. full: the backlog is full at once. */
void rig_silent_open(struct rig_silent *silent, const char *host, uint16_t port, int full);
void rig_silent_open_unix(struct rig_silent *silent, const char *path, int full);

/* Takes one connection. Returns its descriptor. */
int rig_silent_accept(struct rig_silent *silent);

void rig_silent_close(struct rig_silent *silent);

/* A port of 127.0.0.1 and ::1 that nobody listens on. */
uint16_t rig_free_port(void);

#endif

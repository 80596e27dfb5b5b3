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

/* A port that no socket of TCP or UDP is bound to, by chance, and none that the system gives to whoever asks for any: tests that run
 * beside this one do not take it. */
uint16_t rig_free_port(void);

#endif

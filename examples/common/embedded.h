/* Files that a program carries within itself: those of its folder `page`, put there by cmake/embed.cmake. */
#ifndef EXAMPLES_COMMON_EMBEDDED_H
#define EXAMPLES_COMMON_EMBEDDED_H

#include <causeway/types.h>

struct embedded_file {
    const char *name; /* without its folder */
    const char *etag; /* with its quotes; another one whenever the bytes are others */
    struct cw_span bytes;
};

/* All of them; the name behind the last is NULL. Defined only in programs that have a folder `page`. */
extern const struct embedded_file embedded_files[];

#endif

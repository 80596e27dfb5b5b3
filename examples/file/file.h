/* The two sides of the file transfer. */
#ifndef EXAMPLES_FILE_H
#define EXAMPLES_FILE_H

#include "command_line.h"

/* Takes files into a directory until SIGINT or SIGTERM. Returns what main returns. */
int file_serve(const struct command_line *line, const char *directory, uint64_t size_max);

struct file_send_options {
    const char *address;
    const char *path;
    bool sendfile; /* the kernel moves the bytes; otherwise they pass through this program */
    const struct cw_tls_options *tls; /* NULL: plain */
};

/* Sends one file. Returns what main returns: 0 when the receiver has stored it. */
int file_send(const struct file_send_options *options);

#endif

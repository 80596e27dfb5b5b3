/* The two sides of the file transfer. */
#ifndef EXAMPLES_FILE_H
#define EXAMPLES_FILE_H

#include "command_line.h"

/* Takes files into a directory until SIGINT or SIGTERM. Returns what main returns. */
int file_serve(const struct command_line *line, const char *directory, uint64_t size_max);

/* Sends one file. Returns what main returns: 0 when the receiver has stored it.
 *
 * sendfile  the kernel moves the bytes; otherwise they pass through this program */
int file_send(const char *address, const char *path, bool sendfile);

#endif

/* The chat's server. */
#ifndef EXAMPLES_CHAT_SERVER_H
#define EXAMPLES_CHAT_SERVER_H

#include "command_line.h"

/* Serves until SIGINT or SIGTERM.
 *
 * messages_per_s  what one client may send; twice as many at once; CW_OFF: any number
 * returns         what main returns */
int chat_serve(const struct command_line *line, uint64_t messages_per_s);

#endif

/* The chat's server. */
#ifndef EXAMPLES_CHAT_SERVER_H
#define EXAMPLES_CHAT_SERVER_H

#include "command_line.h"

/* What is special to this server. */
struct chat_server_options {
    uint16_t page_port; /* of the page and its WebSocket */
    bool page_port_given;
    uint64_t messages_per_s; /* what one client may send; twice as many at once; CW_OFF: any number */
};

/* Serves until SIGINT or SIGTERM. Returns what main returns. */
int chat_serve(const struct command_line *line, const struct chat_server_options *options);

#endif

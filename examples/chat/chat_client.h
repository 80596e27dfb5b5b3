/* The chat in a terminal. */
#ifndef EXAMPLES_CHAT_CLIENT_H
#define EXAMPLES_CHAT_CLIENT_H

#include <stdint.h>

struct cw_tls_options;

struct chat_client_options {
    const char *address; /* HOST:PORT or unix:PATH */
    const char *nickname;
    const char *room;                 /* NULL: none at first */
    uint64_t ping_ms;                 /* between pings, and the longest wait for an answer */
    const struct cw_tls_options *tls; /* NULL: plain */
};

/* Chats until /quit, the end of the input, or SIGINT. Returns what main returns. */
int chat_in_terminal(const struct chat_client_options *options);

#endif

/* The chat's page: what the browser loads. */
#ifndef EXAMPLES_CHAT_PAGE_H
#define EXAMPLES_CHAT_PAGE_H

#include <stdint.h>

struct cw_server;

/* What the page is told, so that it can say so before the server has to. They are read when the page asks. */
struct chat_limits {
    uint64_t message_max_bytes; /* of one message as JSON */
    uint64_t messages_per_s;    /* CW_OFF: any number */
};

/* Serves the page, what it loads, and its limits. limits: as long as the server. */
void chat_page_serve(struct cw_server *server, const struct chat_limits *limits);

#endif

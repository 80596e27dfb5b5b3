/* What echo serves by WebSocket. */
#ifndef EXAMPLES_ECHO_WEBSOCKET_H
#define EXAMPLES_ECHO_WEBSOCKET_H

#include <causeway/websocket.h>

/* Adds `/ws`, an echo; `/z`, which compresses where the client wants it; and `/bc`, where everybody gets every message. They serve
 * every listener that speaks HTTP.
 *
 * echo  the hooks of the first two */
void echo_websocket_set_up(struct cw_server *server, const struct cw_hooks *echo,
                           const struct cw_websocket_options *options);

#endif

/* A server with one WebSocket of everything, for other people's programs to talk to: proxies, clients, a browser. Listener 0 is
 * plain, listener 1 is TLS (none where tests have no certificates).
 *
 * ```text
 * GET /            a page
 * /ws              echo
 * /z               echo, compressed for those who offer it
 * /who             says CLIENT SCHEME HOST at once, then echoes
 * /ping            the server pings, and tells what came back: `pong: are you there`
 * /bye             whatever is said is answered by a close with 4002 `enough`
 * /names           subprotocols b and a, in this order; says at once which one it is
 * /elsewhere       for pages of https://elsewhere.example alone
 * ``` */
#ifndef CAUSEWAY_TESTS_WS_GALLERY_H
#define CAUSEWAY_TESTS_WS_GALLERY_H

#include "support/host.h"

#include <causeway/websocket.h>

#include <stdatomic.h>

enum { WS_GALLERY_MOST = 4 << 20 }; /* bytes of a message */

struct ws_gallery {
    struct rig_host *host;
    uint16_t port;
    uint16_t tls_port; /* 0: none */
    struct cw_server_options options;
    uint64_t ping_interval_ms;
    uint64_t pong_timeout_ms;
    atomic_uint opened; /* of /ws, as the next two */
    atomic_uint closed;
    atomic_uint close_code; /* peer_code of the last one */
};

/* Starts it. sockets: ping_interval_ms and pong_timeout_ms are looked at. Both may be NULL. */
void ws_gallery_start(struct ws_gallery *gallery, const struct cw_server_options *options,
                      const struct cw_websocket_options *sockets);

/* The same in place of one that has ended, on its port. */
void ws_gallery_start_again(struct ws_gallery *gallery);

void ws_gallery_end(struct ws_gallery *gallery);

#endif

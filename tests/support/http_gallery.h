/* An HTTP server with one of everything, for other people's programs to talk to: proxies, clients, a browser. Listener 0 is plain,
 * listener 1 is TLS (none where tests have no certificates).
 *
 * ```text
 * GET     /hello            hello
 * GET     /number/:n        n
 * GET     /who              CLIENT SCHEME HOST
 * GET     /fields           the request's fields as they came, a line each
 * *       /echo             the body, as a whole (up to 1 MiB)
 * *       /stream           the body, while it comes; with its length, or in chunks
 * *       /count            length of the body, which is rig_pattern, read piece by piece without a limit; 400: it is not
 * *       /small            as /echo, up to 10 bytes
 * GET     /pattern/:len     so many bytes of rig_pattern, pulled, with a length
 * GET     /chunks/:len      the same in chunks
 * GET     /pushed/:len      the same, pushed
 * GET     /never            is not answered
 * GET     /zip              text that gets smaller, behind cw_http_compress
 * GET     /error/:status    cw_http_reply_error
 * GET     /broken           promises 100 bytes, sends 10, and resets
 * GET     /go               302 to /hello
 * GET     /cookie           sets one; GET /cookies tells Cookie
 * GET     /events           three events, then the end
 * POST    /form             name=NAME color=COLOR of a form
 * POST    /upload           NAME FILENAME SIZE of the first file of a form
 * POST    /result           what a page has found out: http_gallery_result
 * *       /smuggled         is counted
 *         /files            the folder, by cw_http_static
 * ``` */
#ifndef CAUSEWAY_TESTS_HTTP_GALLERY_H
#define CAUSEWAY_TESTS_HTTP_GALLERY_H

#include "support/child.h"
#include "support/host.h"
#include "support/peer.h"

#include <causeway/http.h>

#include <stdatomic.h>

struct http_gallery {
    struct rig_host *host;
    uint16_t port;
    uint16_t tls_port; /* 0: none */
    char folder[64];   /* new and empty; served at /files */
    atomic_uint smuggled;
    atomic_uint results;
};

/* Makes the folder and starts the server. Either may be NULL. */
void http_gallery_start(struct http_gallery *gallery, const struct cw_server_options *options,
                        const struct cw_http_options *http);

/* Stops it and removes the folder. */
void http_gallery_end(struct http_gallery *gallery);

/* Writes a file of the folder: a text, or so many bytes of rig_pattern. */
void http_gallery_put(const struct http_gallery *gallery, const char *name, const char *text);
void http_gallery_put_pattern(const struct http_gallery *gallery, const char *name, size_t len);

/* A path in the folder; good until the next call but three. */
const char *http_gallery_at(const struct http_gallery *gallery, const char *name);

/* Connections accepted so far. */
uint64_t http_gallery_conns(const struct http_gallery *gallery);

/* Waits for the first POST to /result; its text, good until the end. */
const char *http_gallery_result(struct http_gallery *gallery);

/* Reads one answer without keeping it: expects 200, and a body that is rig_pattern. Returns its length. The peer has read all that
 * came before, and asks for nothing behind it. */
uint64_t http_gallery_read_pattern(struct rig_peer *peer);

/* So many bytes of rig_pattern from a place on. */
void http_gallery_fill(uint8_t *buffer, size_t len, uint64_t at);

#endif

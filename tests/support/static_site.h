#ifndef CAUSEWAY_TESTS_STATIC_SITE_H
#define CAUSEWAY_TESTS_STATIC_SITE_H

/* A folder with files in it and a secret beside it, and a server that serves the folder at /files. */

#include "support/host.h"
#include "support/http_peer.h"

#include <causeway/middleware/http_static.h>

/* What must never be seen. */
#define STATIC_SECRET "the secret outside"

struct static_site {
    char folder[64]; /* holds `root`, `outside/secret` and `secret` */
    struct rig_host *host;
    uint16_t port;
};

/* Makes the folders. */
void static_site_lay(struct static_site *site);

/* The path of a name beneath the folder; good until the next call but three. */
const char *static_site_at(const struct static_site *site, const char *name);

/* Writes a file beneath `root`; its last change lies a minute back. */
void static_site_put(const struct static_site *site, const char *name, const void *data, size_t len);
void static_site_put_text(const struct static_site *site, const char *name, const char *text);

/* Sets the last change, in seconds from now. */
void static_site_touch(const struct static_site *site, const char *name, int seconds);

void static_site_mkdir(const struct static_site *site, const char *name);
void static_site_link(const struct static_site *site, const char *target, const char *name);

/* Starts the server. options may be NULL. */
void static_site_serve(struct static_site *site, const struct cw_http_static_options *options);

/* Stops it, if it runs, and clears up. */
void static_site_end(struct static_site *site);

/* Asks on a connection of its own.
 *
 * line    method and target: `GET /files/a.txt`
 * fields  whole lines, each ended by CR and LF; "": none */
void static_site_ask(const struct static_site *site, const char *line, const char *fields,
                     struct http_reply *reply);

/* The same, and expects this status, and this body unless it is NULL. */
void static_site_expect(const struct static_site *site, const char *line, const char *fields,
                        int status, const char *body);

/* Has the kernel refuse openat2 with this error from now on, for this process. */
void static_site_forbid_openat2(int os_errno);

#endif

#ifndef CAUSEWAY_TESTS_HOST_H
#define CAUSEWAY_TESTS_HOST_H

/* A server that runs in a thread of the test's own process.
 *
 * ```c
 * struct cw_server *server = cw_create_server(&cw_framed);
 * cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1"});
 * struct rig_host *host = rig_host_start(server, &hooks, user);
 * struct rig_peer peer = rig_peer_tcp(rig_host_port(host, 0));
 * …
 * rig_peer_close(&peer);
 * rig_host_end(host);
 * ```
 *
 * Hooks run on the server's threads: they must not use Criterion's assertions (rig_check works), and what they
 * tell the test goes through atomics. Whatever fails in here ends the process with abort(). */

#include <causeway/server.h>

struct rig_host;

enum { RIG_LISTENERS_MAX = 16 };

/* Makes a server with one listener on 127.0.0.1, any port. options may be NULL. */
struct cw_server *rig_server(const struct cw_protocol *protocol,
                             const struct cw_server_options *options);

/* Runs the server in a thread and waits until it is ready or has failed to start. The hooks are set here: the
 * helper listens to on_listening and on_worker_start first, then calls the test's own.
 *
 * server   the host's from here on
 * hooks    copied; may be NULL */
struct rig_host *rig_host_start(struct cw_server *server, const struct cw_hooks *hooks, void *user);

/* The real port of the n-th listener, in the order of on_listening; and its text (`tcp://127.0.0.1:7000`). */
uint16_t rig_host_port(const struct rig_host *host, unsigned listener);
const char *rig_host_text(const struct rig_host *host, unsigned listener);
unsigned rig_host_listeners(const struct rig_host *host);

struct cw_server *rig_host_server(const struct rig_host *host);

/* Whether cw_server_run has returned. */
bool rig_host_has_ended(const struct rig_host *host);

/* Has fn(loop, conn, arg) run on a loop and waits until it has. target as in cw_server_post. */
void rig_host_run(struct rig_host *host, uint64_t target, cw_post_fn fn, void *arg);

/* How many connections are open now (cw_server_stats). */
uint64_t rig_host_conns(const struct rig_host *host);

/* Waits until cw_server_run has returned by itself. Returns what it returned; the server is still there. */
int rig_host_join(struct rig_host *host);

/* Asks the server to stop and joins. Returns what cw_server_run returned; the server is still there. */
int rig_host_stop(struct rig_host *host);

/* Frees the server and the host, after one of the two above. */
void rig_host_free(struct rig_host *host);

/* Stops, expects that cw_server_run returned 0, frees: the usual end. */
void rig_host_end(struct rig_host *host);

#endif

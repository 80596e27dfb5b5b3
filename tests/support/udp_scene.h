#ifndef CAUSEWAY_TESTS_UDP_SCENE_H
#define CAUSEWAY_TESTS_UDP_SCENE_H

/* A server of datagrams with one listener, its story, and peers (support/udp_peer.h).
 *
 * ```c
 * static struct rig_scene scene;
 * rig_udp_begin(&scene, &(struct rig_udp_setup){.datagram = {.peer_idle_ms = 100}});
 * struct rig_udp peer = rig_udp_peer(&scene);
 * uint64_t id = rig_udp_meet(&scene, &peer);
 * rig_scene_await_closed(&scene, CW_EXPIRED);
 * rig_udp_close(&peer);
 * rig_scene_end(&scene);
 * ``` */

#include "support/scene.h"
#include "support/udp_peer.h"

#include <causeway/udp.h>

struct rig_udp_setup {
    const char *host; /* NULL: 127.0.0.1 */
    struct cw_server_options server;
    struct cw_datagram_options datagram;
    struct cw_udp_options udp;
    const struct cw_hooks *hooks; /* NULL: the story's, and an echo */
};

/* Starts the server. The scene's own peer is none: its other calls do as for every connection. */
void rig_udp_begin(struct rig_scene *scene, const struct rig_udp_setup *setup);

/* A server that has not been started: for more listeners. */
struct cw_server *rig_udp_server(const struct rig_udp_setup *setup);

/* Starts it. */
void rig_udp_begin_server(struct rig_scene *scene, struct cw_server *server,
                          const struct cw_hooks *hooks);

/* A peer of the scene's first listener, at 127.0.0.1 or at an address of its own. */
struct rig_udp rig_udp_peer(const struct rig_scene *scene);
struct rig_udp rig_udp_peer_at(const struct rig_scene *scene, const char *own);

/* Says something that is echoed, and returns the id of the connection that was opened last: its own, when it is new. */
uint64_t rig_udp_meet(struct rig_scene *scene, struct rig_udp *peer);

/* Counts in the story, and sends back. A hook on_data. */
void rig_udp_echo(struct cw_conn *conn, const struct cw_message *msg, void *user);

/* Answers with the connection's id, 8 bytes as they lie in memory. A hook on_data; and how a peer asks for it. */
void rig_udp_tell_id(struct cw_conn *conn, const struct cw_message *msg, void *user);
uint64_t rig_udp_ask_id(struct rig_udp *peer);

/* Figures now. */
struct cw_datagram_stats rig_udp_stats(const struct rig_scene *scene);
struct cw_server_stats rig_scene_stats(const struct rig_scene *scene);

/* Waits until a figure of struct cw_datagram_stats is that number; says what it is when it never comes to it. */
#define rig_udp_await(scene, member, wanted)                                                       \
    rig_udp_await_figure(scene, #member, offsetof(struct cw_datagram_stats, member), wanted)
void rig_udp_await_figure(const struct rig_scene *scene, const char *name, size_t at,
                          uint64_t wanted);

#endif

#ifndef CAUSEWAY_TESTS_SCENE_H
#define CAUSEWAY_TESTS_SCENE_H

/* A server with one listener, its story and one peer: what most tests of a connection need. */

#include "support/host.h"
#include "support/peer.h"
#include "support/story.h"

struct rig_scene {
    struct rig_story story; /* first: a test's hooks get it as their `user` */
    struct rig_host *host;
    struct rig_peer peer;
};

/* Starts a server on 127.0.0.1 and connects the peer. options may be NULL. */
void rig_scene_begin(struct rig_scene *scene, const struct cw_protocol *protocol,
                     const struct cw_server_options *options, const struct cw_hooks *hooks);

/* The same with small socket buffers on both sides, so that a peer that does not read is felt soon. */
void rig_scene_begin_slow(struct rig_scene *scene, const struct cw_protocol *protocol,
                          const struct cw_server_options *options, const struct cw_hooks *hooks);

/* The id of the connection; waits until it is open. */
uint64_t rig_scene_conn(struct rig_scene *scene);

/* Has fn run for the connection, on its loop, and waits until it has. */
void rig_scene_run(struct rig_scene *scene, cw_post_fn fn, void *arg);

/* Waits until on_close has come and expects that code, and a text. */
void rig_scene_await_closed(struct rig_scene *scene, int code);

/* Closes the peer, stops the server, expects one on_close for each on_connection. */
void rig_scene_end(struct rig_scene *scene);

/* The story's hooks with another on_data. */
struct cw_hooks rig_story_with_data(void (*on_data)(struct cw_conn *conn,
                                                    const struct cw_message *msg, void *user));

/* Bytes that show when one is lost, doubled or out of place. */
uint8_t rig_pattern(size_t at);

/* So many of them; free() them. */
uint8_t *rig_pattern_new(size_t len);

/* Reads so many of them, from the pattern's start. */
void rig_peer_expect_pattern(struct rig_peer *peer, size_t len);

/* Does nothing, for a turn of the loop. A cw_post_fn. */
void rig_pass(struct cw_loop *loop, struct cw_conn *conn, void *arg);

/* Sends a text (arg) to the connection. A cw_post_fn. */
void rig_send_text(struct cw_loop *loop, struct cw_conn *conn, void *arg);

/* Close and abort. cw_post_fns. */
void rig_close(struct cw_loop *loop, struct cw_conn *conn, void *arg);
void rig_abort(struct cw_loop *loop, struct cw_conn *conn, void *arg);

#endif

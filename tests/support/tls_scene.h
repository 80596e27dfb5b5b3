#ifndef CAUSEWAY_TESTS_TLS_SCENE_H
#define CAUSEWAY_TESTS_TLS_SCENE_H

/* A server that speaks TLS and echoes, with its story: what tests of hostile peers need. */

#include "support/story.h"
#include "support/tls_tap.h"

/* Alerts (RFC 8446 §6). */
enum {
    RIG_CLOSE_NOTIFY = 0,
    RIG_UNEXPECTED_MESSAGE = 10,
    RIG_BAD_RECORD_MAC = 20,
    RIG_RECORD_OVERFLOW = 22,
    RIG_INTERNAL_ERROR = 80,
    RIG_PROTOCOL_VERSION = 70,
};

struct rig_tls_scene {
    struct rig_story story; /* first: what the hooks get */
    struct rig_host *host;
    uint16_t port;
    unsigned errors; /* reports that have been expected so far */
    int descriptors; /* that were open before */
};

/* Starts an echo of cw_tcp. Both may be NULL. */
void rig_tls_begin(struct rig_tls_scene *scene, const struct cw_server_options *options,
                   const struct cw_tls_options *tls);

/* The next report has this code and this alert (or CW_NO_ALERT), names the peer, and can be shown as it is. */
void rig_tls_expect_report(struct rig_tls_scene *scene, int code, int alert);

/* A new peer gets its echo and leaves in good order. */
void rig_tls_expect_served(struct rig_tls_scene *scene);

/* Expects that others are served and that nothing is left, and stops. */
void rig_tls_end(struct rig_tls_scene *scene);

/* The same for a scene with a short handshake deadline, in which nobody can be sure to be served. */
void rig_tls_end_quietly(struct rig_tls_scene *scene);

#endif

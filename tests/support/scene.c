/* A server, its story and one peer. */
#include "support/scene.h"

#include "support/wait.h"

#include <causeway/error.h>
#include <stdlib.h>
#include <string.h>

void rig_scene_begin(struct rig_scene *scene, const struct cw_protocol *protocol,
                     const struct cw_server_options *options, const struct cw_hooks *hooks)
{
    memset(scene, 0, sizeof *scene);
    scene->host = rig_host_start(rig_server(protocol, options), hooks, &scene->story);
    scene->peer = rig_peer_tcp(rig_host_port(scene->host, 0));
}

void rig_scene_begin_slow(struct rig_scene *scene, const struct cw_protocol *protocol,
                          const struct cw_server_options *options, const struct cw_hooks *hooks)
{
    struct cw_server *server = cw_create_server(protocol);

    memset(scene, 0, sizeof *scene);
    if (options) {
        rig_check(cw_server_configure(server, options) == CW_OK);
    }
    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1",
                                                         .tcp = {.send_buffer_bytes = 16384}});
    scene->host = rig_host_start(server, hooks, &scene->story);
    scene->peer = rig_peer_tcp_from(NULL, "127.0.0.1", rig_host_port(scene->host, 0), 4096);
}

uint64_t rig_scene_conn(struct rig_scene *scene)
{
    rig_await(atomic_load(&scene->story.opened) > 0);
    return atomic_load(&scene->story.conn_id);
}

void rig_scene_run(struct rig_scene *scene, cw_post_fn fn, void *arg)
{
    rig_host_run(scene->host, rig_scene_conn(scene), fn, arg);
}

void rig_scene_await_closed(struct rig_scene *scene, int code)
{
    const struct cw_close_reason *reason = &scene->story.reason;

    rig_await(atomic_load(&scene->story.closed) == 1);
    if (reason->code != code || reason->text[0] == '\0') {
        rig_fail(__FILE__, __LINE__, "closed with %s (%s), not %s", cw_error_name(reason->code),
                 reason->text, cw_error_name(code));
    }
}

void rig_scene_end(struct rig_scene *scene)
{
    rig_peer_close(&scene->peer);
    rig_host_end(scene->host);
    rig_check(atomic_load(&scene->story.opened) == atomic_load(&scene->story.closed));
}

struct cw_hooks rig_story_with_data(void (*on_data)(struct cw_conn *conn,
                                                    const struct cw_message *msg, void *user))
{
    struct cw_hooks hooks = rig_story_hooks;

    hooks.on_data = on_data;
    return hooks;
}

uint8_t rig_pattern(size_t at)
{
    return (uint8_t)(at * 31 + (at >> 8) * 7);
}

uint8_t *rig_pattern_new(size_t len)
{
    uint8_t *bytes = malloc(len + 1);

    rig_check(bytes);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = rig_pattern(i);
    }
    return bytes;
}

void rig_peer_expect_pattern(struct rig_peer *peer, size_t len)
{
    uint8_t buffer[65536];

    for (size_t got = 0; got < len;) {
        size_t n = len - got < sizeof buffer ? len - got : sizeof buffer;
        rig_peer_receive(peer, buffer, n);
        for (size_t i = 0; i < n; i++) {
            if (buffer[i] != rig_pattern(got + i)) {
                rig_fail(__FILE__, __LINE__, "byte %zu of %zu is wrong", got + i, len);
            }
        }
        got += n;
    }
}

void rig_pass(struct cw_loop *loop, struct cw_conn *conn, void *arg) {}

void rig_send_text(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(conn);
    rig_check(cw_conn_send_text(conn, arg) >= 0);
}

void rig_close(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(conn);
    cw_conn_close(conn);
}

void rig_abort(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(conn);
    cw_conn_abort(conn);
}

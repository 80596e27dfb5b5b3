/* A server of datagrams, its story, and peers. */
#include "support/udp_scene.h"

#include "support/wait.h"

#include <causeway/error.h>
#include <string.h>

struct cw_server *rig_udp_server(const struct rig_udp_setup *setup)
{
    struct cw_server *server = cw_create_server(&cw_udp);

    rig_check(server);
    rig_check(cw_server_configure(server, &setup->server) == CW_OK);
    rig_check(cw_udp_configure(server, &setup->udp) == CW_OK);
    rig_check(cw_server_listen(server, &(struct cw_listen_options){
                                           .host = setup->host ? setup->host : "127.0.0.1",
                                           .datagram = setup->datagram}) == CW_OK);
    return server;
}

void rig_udp_begin_server(struct rig_scene *scene, struct cw_server *server,
                          const struct cw_hooks *hooks)
{
    struct cw_hooks echo = rig_story_with_data(rig_udp_echo);

    memset(scene, 0, sizeof *scene);
    scene->peer.fd = -1;
    scene->host = rig_host_start(server, hooks ? hooks : &echo, &scene->story);
    if (rig_host_has_ended(scene->host)) {
        rig_fail(__FILE__, __LINE__, "the server did not start: %s", cw_server_error(server));
    }
}

void rig_udp_begin(struct rig_scene *scene, const struct rig_udp_setup *setup)
{
    rig_udp_begin_server(scene, rig_udp_server(setup), setup->hooks);
}

struct rig_udp rig_udp_peer(const struct rig_scene *scene)
{
    return rig_udp_to(rig_host_port(scene->host, 0));
}

struct rig_udp rig_udp_peer_at(const struct rig_scene *scene, const char *own)
{
    struct rig_udp peer = rig_udp_open(own, "127.0.0.1");

    rig_udp_turn_port(&peer, rig_host_port(scene->host, 0));
    return peer;
}

uint64_t rig_udp_meet(struct rig_scene *scene, struct rig_udp *peer)
{
    rig_udp_expect_echo(peer, "a word to meet");
    return atomic_load(&scene->story.conn_id);
}

void rig_udp_echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    rig_story_on_data(conn, msg, user);
    cw_conn_send(conn, msg);
}

void rig_udp_tell_id(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    uint64_t id = cw_conn_id(conn);

    cw_conn_send_bytes(conn, &id, sizeof id);
}

uint64_t rig_udp_ask_id(struct rig_udp *peer)
{
    uint64_t id;

    rig_udp_send_text(peer, "who am I?");
    rig_check(rig_udp_receive(peer, &id, sizeof id) == sizeof id);
    return id;
}

struct cw_datagram_stats rig_udp_stats(const struct rig_scene *scene)
{
    struct cw_datagram_stats stats;

    cw_server_datagram_stats(rig_host_server(scene->host), &stats);
    return stats;
}

struct cw_server_stats rig_scene_stats(const struct rig_scene *scene)
{
    struct cw_server_stats stats;

    cw_server_stats(rig_host_server(scene->host), &stats);
    return stats;
}

void rig_udp_await_figure(const struct rig_scene *scene, const char *name, size_t at,
                          uint64_t wanted)
{
    uint64_t deadline = rig_now_ms() + RIG_DEADLINE_MS / 2;
    uint64_t value;

    do {
        struct cw_datagram_stats stats = rig_udp_stats(scene);
        memcpy(&value, (uint8_t *)&stats + at, sizeof value);
    } while (value != wanted && rig_rest(deadline));
    if (value != wanted) {
        rig_fail(__FILE__, __LINE__, "%s is %llu, not %llu", name, (unsigned long long)value,
                 (unsigned long long)wanted);
    }
}

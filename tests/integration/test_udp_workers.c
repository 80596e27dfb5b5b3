/* Several workers behind one port: one peer stays with one of them. */
#include "support/leak.h"
#include "support/udp_scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>

TestSuite(udp_workers, .fini = rig_expect_no_leak, .timeout = 115);

enum { WORKERS = 4 };

static struct rig_scene scene;

static unsigned worker_of(uint64_t id)
{
    return (unsigned)(id >> 24 & 0xff);
}

static void begin(const struct cw_datagram_options *datagram, const char *host)
{
    struct cw_hooks hooks = rig_story_with_data(rig_udp_tell_id);

    rig_udp_begin(&scene, &(struct rig_udp_setup){.host = host,
                                                  .server = {.workers = WORKERS},
                                                  .datagram = *datagram,
                                                  .hooks = &hooks});
}

/* So many peers that ask so often, a few at a time. Returns the workers that answered, one bit each. */
static unsigned talk(unsigned peers, unsigned rounds)
{
    struct rig_udp *all = calloc(peers, sizeof *all);
    uint64_t *ids = calloc(peers, sizeof *ids);
    unsigned workers = 0;

    cr_assert_not_null(all);
    cr_assert_not_null(ids);
    for (unsigned i = 0; i < peers; i++) {
        all[i] = rig_udp_peer(&scene);
        ids[i] = rig_udp_ask_id(&all[i]);
        workers |= 1U << worker_of(ids[i]);
    }
    for (unsigned round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < peers; i++) {
            rig_udp_send_text(&all[i], "who am I?");
        }
        for (unsigned i = 0; i < peers; i++) {
            uint64_t id;

            cr_assert_eq(rig_udp_receive(&all[i], &id, sizeof id), sizeof id);
            cr_assert_eq(id, ids[i], "one peer, one connection");
        }
    }
    cr_expect_eq(atomic_load(&scene.story.opened), peers);
    for (unsigned i = 0; i < peers; i++) {
        rig_udp_close(&all[i]);
    }
    free(all);
    free(ids);
    return workers;
}

Test(udp_workers, each_of_two_hundred_peers_stays_with_one_worker)
{
    begin(&(struct cw_datagram_options){0}, NULL);
    cr_expect_eq(talk(200, 30), (1U << WORKERS) - 1, "and every worker has some");
    cr_expect_eq(rig_host_conns(scene.host), 200);
    rig_udp_await(&scene, received, 200 * 31);
    rig_udp_await(&scene, sent, 200 * 31);
    rig_scene_end(&scene);
}

Test(udp_workers, peers_of_all_addresses_stay_with_one_worker_too)
{
    begin(&(struct cw_datagram_options){0}, "0.0.0.0");
    cr_expect_eq(talk(60, 10), (1U << WORKERS) - 1);
    rig_scene_end(&scene);
}

Test(udp_workers, a_listener_can_be_one_workers_alone)
{
    begin(&(struct cw_datagram_options){.one_worker = true}, NULL);
    cr_expect_eq(talk(60, 5), 1U << 0);
    rig_scene_end(&scene);
}

Test(udp_workers, a_limit_on_peers_is_for_all_workers_together)
{
    enum { PEERS = 60, MOST = 20 };
    struct rig_udp peers[PEERS];

    begin(&(struct cw_datagram_options){.peers_max = MOST}, NULL);
    for (int i = 0; i < PEERS; i++) {
        peers[i] = rig_udp_peer(&scene);
        rig_udp_send_text(&peers[i], "who am I?");
    }
    rig_udp_await(&scene, received, PEERS);
    rig_host_run(scene.host, 0, rig_pass, NULL);
    cr_expect_leq(rig_host_conns(scene.host), MOST + WORKERS, "%d", (int)rig_host_conns(scene.host));
    for (int i = 0; i < PEERS; i++) {
        rig_udp_close(&peers[i]);
    }
    rig_scene_end(&scene);
}

/* ---- from one worker to another ---- */

/* Passes what it gets on to the connection whose id stands in it. */
static void pass_on(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    uint64_t id;

    rig_story_on_data(conn, msg, user);
    if (msg->body.len == sizeof id) {
        memcpy(&id, msg->body.data, sizeof id);
        rig_check(cw_send_to(cw_conn_server(conn), id, msg) == CW_OK);
    } else {
        rig_udp_tell_id(conn, msg, user);
    }
}

Test(udp_workers, peers_reach_each_other_by_id_on_any_worker)
{
    enum { PEERS = 16 };
    struct cw_hooks hooks = rig_story_with_data(pass_on);
    struct rig_udp peers[PEERS];
    uint64_t ids[PEERS];

    rig_udp_begin(&scene, &(struct rig_udp_setup){.server = {.workers = WORKERS},
                                                  .datagram = {.amplification = CW_NO_LIMIT},
                                                  .hooks = &hooks});
    for (int i = 0; i < PEERS; i++) {
        peers[i] = rig_udp_peer(&scene);
        ids[i] = rig_udp_ask_id(&peers[i]);
    }
    for (int i = 0; i < PEERS; i++) {
        for (int k = 0; k < PEERS; k++) {
            rig_udp_send(&peers[i], &ids[k], sizeof ids[k]);
            rig_udp_expect_bytes(&peers[k], &ids[k], sizeof ids[k]);
        }
    }
    for (int i = 0; i < PEERS; i++) {
        rig_udp_close(&peers[i]);
    }
    rig_scene_end(&scene);
}

/* ---- the end ---- */

struct crowd {
    atomic_bool over;
    uint16_t port;
    atomic_uint sent;
};

static void *keep_talking(void *arg)
{
    struct crowd *crowd = arg;
    struct rig_udp peers[20];

    for (int i = 0; i < 20; i++) {
        peers[i] = rig_udp_to(crowd->port);
    }
    while (!atomic_load(&crowd->over)) {
        for (int i = 0; i < 20; i++) {
            (void)rig_udp_try_send(&peers[i], "hello", 5);
            rig_udp_forget(&peers[i]);
        }
        atomic_fetch_add(&crowd->sent, 20);
    }
    for (int i = 0; i < 20; i++) {
        rig_udp_close(&peers[i]);
    }
    return NULL;
}

Test(udp_workers, a_stop_in_the_middle_of_traffic_ends_every_peer_once)
{
    for (int round = 0; round < 10; round++) {
        static struct crowd crowd;
        pthread_t thread;
        unsigned before;

        begin(&(struct cw_datagram_options){0}, NULL);
        atomic_store(&crowd.over, false);
        crowd.port = rig_host_port(scene.host, 0);
        rig_check(pthread_create(&thread, NULL, keep_talking, &crowd) == 0);
        rig_await(atomic_load(&scene.story.opened) == 20);
        before = atomic_load(&crowd.sent);
        rig_await(atomic_load(&crowd.sent) > before + 100);
        cr_expect_eq(rig_host_stop(scene.host), CW_OK);
        cr_expect_eq(atomic_load(&scene.story.opened), 20, "a stopping server makes no new peers");
        cr_expect_eq(atomic_load(&scene.story.closed), 20);
        cr_expect_eq(scene.story.reason.code, CW_BY_STOP);
        atomic_store(&crowd.over, true);
        pthread_join(thread, NULL);
        rig_host_free(scene.host);
    }
}

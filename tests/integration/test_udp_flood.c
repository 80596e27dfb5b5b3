/* Floods of datagrams with made-up addresses: memory has a bound, known peers stay and are served. A million of them, and
 * 100,000 peers at once, when CW_TEST_LARGE is set; otherwise a tenth of both. */
#include "support/leak.h"
#include "support/memory.h"
#include "support/udp_scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/log.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    rig_memory_count();
}

TestSuite(udp_flood, .init = init, .fini = rig_expect_no_leak, .timeout = 280);

enum {
    BATCH = 64,
    BETWEEN =
        2, /* batches between two words of those that are known: what the kernel's buffer holds in any case */
    KNOWN = 50,
    PEER_MAX_BYTES = 300,
    ADDRESS_MAX_BYTES = 40, /* of each address that has connections (conns_per_ip_max) */
};

static struct rig_scene scene;

static unsigned scaled(unsigned number)
{
    return getenv("CW_TEST_LARGE") ? number : number / 10;
}

/* The n-th address of 127.1.0.0 and what follows. */
static struct cw_address source(unsigned n)
{
    struct cw_address address = {.family = CW_IPV4};

    n += 1 << 16;
    address.ip[0] = 127;
    address.ip[1] = (uint8_t)(n >> 16);
    address.ip[2] = (uint8_t)(n >> 8);
    address.ip[3] = (uint8_t)n;
    return address;
}

/* One socket that is everybody. */
static struct rig_udp everybody(void)
{
    struct rig_udp peer = rig_udp_open("0.0.0.0", "127.0.0.1");

    rig_udp_turn_port(&peer, rig_host_port(scene.host, 0));
    return peer;
}

/* A batch from addresses that follow each other. */
static void send_batch(struct rig_udp *peer, unsigned first, unsigned count)
{
    struct cw_address from[BATCH];

    for (unsigned i = 0; i < count; i++) {
        from[i] = source(first + i);
    }
    for (unsigned done = 0; done < count;) {
        done += (unsigned)rig_udp_send_as(peer, from + done, count - done, "who am I?", 9);
    }
}

/* ---- known peers ---- */

struct known {
    struct rig_udp peers[KNOWN];
    uint64_t ids[KNOWN];
    unsigned next;
};

static void meet_them(struct known *known)
{
    uint64_t later;

    for (int i = 0; i < KNOWN; i++) {
        known->peers[i] = rig_udp_peer(&scene);
        known->ids[i] = rig_udp_ask_id(&known->peers[i]);
    }
    for (later = rig_now_ms() + 200; rig_rest(later);) {}
    for (int i = 0; i < KNOWN; i++) { /* they answer an answer */
        cr_assert_eq(rig_udp_ask_id(&known->peers[i]), known->ids[i]);
    }
}

/* The next one asks and is answered: so all that was sent before has been dealt with. */
static void let_one_talk(struct known *known)
{
    unsigned i = known->next++ % KNOWN;

    cr_assert_eq(rig_udp_ask_id(&known->peers[i]), known->ids[i], "peer %u was forgotten", i);
}

static void leave_them(struct known *known)
{
    for (int i = 0; i < KNOWN; i++) {
        cr_expect_eq(rig_udp_ask_id(&known->peers[i]), known->ids[i]);
        rig_udp_close(&known->peers[i]);
    }
}

static void flood_by(struct rig_udp *peer, struct known *known, unsigned first, unsigned count,
                     int64_t bytes_max)
{
    for (unsigned i = 0; i < count; i += BATCH) {
        send_batch(peer, first + i, count - i < BATCH ? count - i : BATCH);
        if (i / BATCH % BETWEEN == 0) {
            let_one_talk(known);
            cr_assert_leq(rig_memory_bytes(), bytes_max, "%d bytes after %u of them",
                          (int)rig_memory_bytes(), i);
        }
    }
    let_one_talk(known);
}

static void flood(struct known *known, unsigned first, unsigned count, int64_t bytes_max)
{
    struct rig_udp peer = everybody();

    flood_by(&peer, known, first, count, bytes_max);
    rig_udp_close(&peer);
}

static void expect_flood(const struct rig_udp_setup *setup, unsigned room)
{
    static struct known known;
    unsigned count = scaled(1000000);
    int64_t full;

    rig_udp_begin(&scene, setup);
    meet_them(&known);
    flood(&known, 0, 2 * room, INT64_MAX);
    full = rig_memory_bytes();
    flood(&known, 2 * room, count, full + 65536);
    leave_them(&known);
    cr_expect_eq(rig_host_conns(scene.host), room);
    rig_udp_await(&scene, dropped_kernel, 0);
    rig_udp_await(&scene, peers_replaced, count + 2 * room + KNOWN - room);
    cr_expect_eq(atomic_load(&scene.story.opened), count + 2 * room + KNOWN);
    rig_scene_end(&scene);
}

Test(udp_flood, made_up_sources_take_no_more_memory_than_the_limit_and_known_peers_stay)
{
    struct cw_hooks hooks = rig_story_with_data(rig_udp_tell_id);

    expect_flood(&(struct rig_udp_setup){.datagram = {.peers_max = 2000}, .hooks = &hooks}, 2000);
}

Test(udp_flood, the_limit_on_connections_is_one_too)
{
    struct cw_hooks hooks = rig_story_with_data(rig_udp_tell_id);

    expect_flood(&(struct rig_udp_setup){.server = {.conns_max = 500, .conns_per_ip_max = 100},
                                         .hooks = &hooks},
                 500);
}

/* Each speaks again when it has been answered, as somebody does who hears the answer. Who has spoken within a second stays. */
Test(udp_flood, made_up_sources_that_come_back_do_not_take_the_place_of_who_talks_all_the_time)
{
    enum { WAVE = 128, WAVES = 30, ROOM = 100, TALKERS = 5 };
    struct cw_hooks hooks = rig_story_with_data(rig_udp_tell_id);
    struct rig_udp talkers[TALKERS];
    uint64_t ids[TALKERS];
    struct rig_udp peer;

    rig_udp_begin(&scene, &(struct rig_udp_setup){.datagram = {.peers_max = ROOM}, .hooks = &hooks});
    peer = everybody();
    for (int i = 0; i < TALKERS; i++) {
        talkers[i] = rig_udp_peer(&scene);
        ids[i] = rig_udp_ask_id(&talkers[i]);
    }
    for (unsigned wave = 0; wave < 2 * WAVES; wave++) {
        uint64_t later = rig_now_ms() + 40;

        while (rig_rest(later)) {}
        for (int k = 0; k < TALKERS; k++) {
            cr_assert_eq(rig_udp_ask_id(&talkers[k]), ids[k], "talker %d was forgotten", k);
        }
        for (unsigned i = 0; i < WAVE; i += BATCH) {
            send_batch(&peer, wave / 2 * WAVE + i, BATCH);
        }
    }
    cr_assert_eq(rig_udp_ask_id(&talkers[0]), ids[0]);
    cr_expect_leq(rig_host_conns(scene.host), ROOM);
    cr_expect_gt(rig_udp_stats(&scene).peers_replaced, 0, "who has not makes room");
    for (int k = 0; k < TALKERS; k++) {
        rig_udp_close(&talkers[k]);
    }
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

/* Each one is asked for a word, in vain: nobody is there, and the network says so. */
Test(udp_flood, sources_that_are_gone_when_they_are_answered_do_no_harm)
{
    struct cw_hooks hooks = rig_story_with_data(rig_udp_tell_id);
    static struct known known;
    unsigned count = scaled(50000);
    struct cw_address to;

    rig_udp_begin(&scene, &(struct rig_udp_setup){.datagram = {.peers_max = 1000}, .hooks = &hooks});
    meet_them(&known);
    to = known.peers[0].to;
    for (unsigned i = 0; i < count; i++) {
        struct cw_address own = source(i);
        struct rig_udp peer = rig_udp_open_at(&own, &to, 0);

        rig_udp_send_text(&peer, "who am I?");
        rig_udp_close(&peer);
        if (i % BATCH == 0) {
            let_one_talk(&known);
        }
    }
    leave_them(&known);
    cr_expect_gt(rig_udp_stats(&scene).errors_refused, 0);
    cr_expect_eq(rig_host_conns(scene.host), 1000);
    rig_scene_end(&scene);
}

/* ---- one address ---- */

Test(udp_flood, one_address_with_many_ports_gets_its_share_and_no_more)
{
    enum { SHARE = 100, TRIES = 3000 };
    struct cw_hooks hooks = rig_story_with_data(rig_udp_tell_id);
    static struct known known;

    rig_udp_begin(&scene,
                  &(struct rig_udp_setup){.server = {.conns_max = 1000, .conns_per_ip_max = SHARE},
                                          .hooks = &hooks});
    meet_them(&known);
    for (unsigned i = 0; i < TRIES; i++) {
        struct rig_udp peer = rig_udp_peer_at(&scene, "127.6.6.6");

        rig_udp_send_text(&peer, "who am I?");
        rig_udp_close(&peer);
        if (i % BATCH == 0) {
            let_one_talk(&known);
        }
    }
    leave_them(&known);
    cr_expect_eq(rig_host_conns(scene.host), KNOWN + SHARE);
    rig_scene_end(&scene);
}

/* ---- what one of very many costs ---- */

#if defined(__SANITIZE_ADDRESS__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_SANITIZED 1
#endif
#endif

/* What malloc keeps beside each piece: its size; and here, where a sanitizer tells what was asked for, the rounding to 16. */
#ifdef IS_SANITIZED
enum { BESIDE_PIECE = 16 };
#else
enum { BESIDE_PIECE = 8 };
#endif

static int64_t memory_now(void)
{
    return rig_memory_bytes() + BESIDE_PIECE * rig_memory_pieces();
}

enum { PORTS = 100 };

/* So many peers, on so many ports of each of their addresses, and what each of them takes. */
static int64_t cost_of(unsigned count, unsigned ports)
{
    struct cw_hooks hooks = rig_story_with_data(rig_udp_tell_id);
    static struct known known;
    struct rig_udp peers[PORTS]; /* all at once: a port that was given back may be given again */
    int64_t bytes;

    rig_udp_begin(&scene, &(struct rig_udp_setup){.server = {.conns_max = 200000},
                                                  .datagram = {.peer_idle_ms = CW_OFF},
                                                  .hooks = &hooks});
    meet_them(&known);
    bytes = memory_now();
    for (unsigned i = 0; i < ports; i++) {
        peers[i] = everybody();
        flood_by(&peers[i], &known, 0, count / ports, INT64_MAX);
    }
    bytes = memory_now() - bytes;
    cr_expect_eq(rig_host_conns(scene.host), count + KNOWN);
    leave_them(&known);
    for (unsigned i = 0; i < ports; i++) {
        rig_udp_close(&peers[i]);
    }
    rig_scene_end(&scene);
    cr_expect_eq(atomic_load(&scene.story.closed), count + KNOWN);
    cr_log_info("%d bytes for each of %u peers, %u of each address\n", (int)(bytes / count), count,
                ports);
    return bytes / count;
}

Test(udp_flood, an_idle_peer_costs_little)
{
    int64_t each = cost_of(scaled(100000), PORTS);

    cr_expect_leq(each, PEER_MAX_BYTES, "%d bytes", (int)each);
}

Test(udp_flood, one_with_an_address_of_its_own_costs_an_entry_in_the_table_of_addresses_too)
{
    int64_t each = cost_of(scaled(100000), 1);

    cr_expect_leq(each, PEER_MAX_BYTES + ADDRESS_MAX_BYTES, "%d bytes", (int)each);
}

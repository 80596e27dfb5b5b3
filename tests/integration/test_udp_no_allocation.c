/* In steady state a datagram costs no allocation. */
#include "support/leak.h"
#include "support/memory.h"
#include "support/party.h"
#include "support/udp_scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <string.h>

TestSuite(udp_no_allocation, .init = rig_memory_count, .fini = rig_expect_no_leak, .timeout = 115);

enum { ROUNDS = 100 };

static struct rig_scene scene;

struct talk {
    struct rig_udp *peers;
    unsigned count;
    unsigned depth;
    size_t size;
};

static void talk(void *arg)
{
    static uint8_t body[RIG_UDP_MAX];
    const struct talk *with = arg;

    for (int round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < with->count * with->depth; i++) {
            rig_udp_send(&with->peers[i % with->count], body, with->size);
        }
        for (unsigned i = 0; i < with->count * with->depth; i++) {
            rig_udp_expect_bytes(&with->peers[i % with->count], body, with->size);
        }
    }
}

static void expect_none(unsigned count, unsigned depth, size_t size)
{
    struct rig_udp peers[16];
    struct talk with = {peers, count, depth, size};
    uint64_t calls;

    rig_udp_begin(&scene, &(struct rig_udp_setup){.datagram = {.receive_buffer_bytes = 1 << 20}});
    for (unsigned i = 0; i < count; i++) {
        peers[i] = rig_udp_peer(&scene);
    }
    talk(&with);
    calls = rig_memory_least(talk, &with);
    cr_expect_eq(calls, 0, "%d allocations for %u datagrams of %zu bytes", (int)calls,
                 ROUNDS * count * depth, size);
    cr_expect_gt(rig_memory_calls(), 0, "allocations are counted at all");
    for (unsigned i = 0; i < count; i++) {
        rig_udp_close(&peers[i]);
    }
    rig_scene_end(&scene);
}

Test(udp_no_allocation, an_echo_allocates_nothing)
{
    expect_none(1, 1, 64);
}

Test(udp_no_allocation, sixteen_echoes_at_a_time_allocate_nothing)
{
    expect_none(1, 16, 64);
}

Test(udp_no_allocation, sixteen_peers_with_sixteen_each_allocate_nothing)
{
    expect_none(16, 16, 64);
}

Test(udp_no_allocation, an_echo_of_the_largest_datagram_allocates_nothing)
{
    expect_none(1, 1, RIG_UDP_MAX);
}

/* ---- rooms ---- */

static struct rig_party party;

struct hall {
    struct rig_udp *members;
    unsigned count;
    int messages;
};

static void send_to_room(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    const struct hall *hall = arg;
    const struct cw_message msg = cw_message_text("a word for everybody");

    for (int i = 0; i < hall->messages; i++) {
        rig_check(cw_room_send(cw_loop_server(loop), "hall", &msg, NULL) == CW_OK);
    }
}

static void talk_in_hall(void *arg)
{
    struct hall *hall = arg;

    for (int round = 0; round < ROUNDS; round++) {
        rig_host_run(party.host, 0, send_to_room, hall);
        for (unsigned i = 0; i < hall->count; i++) {
            for (int k = 0; k < hall->messages; k++) {
                rig_udp_expect(&hall->members[i], "a word for everybody");
            }
        }
    }
}

static void join_hall(struct cw_conn *conn, void *user)
{
    rig_check(cw_room_join(conn, "hall") == CW_OK);
    cw_conn_set_proven(conn);
    rig_story_on_connection(conn, user);
}

static void expect_one_payload(int messages)
{
    struct cw_hooks hooks = rig_story_with_data(rig_udp_echo);
    struct rig_udp members[10];
    struct hall hall = {members, 10, messages};
    uint64_t calls;

    hooks.on_connection = join_hall;
    rig_party_begin(&party, rig_server(&cw_udp, NULL), &hooks);
    for (int i = 0; i < 10; i++) {
        members[i] = rig_udp_to(rig_host_port(party.host, 0));
        rig_udp_expect_echo(&members[i], "let me in");
    }
    talk_in_hall(&hall);
    calls = rig_memory_least(talk_in_hall, &hall);
    cr_expect_leq(calls, (uint64_t)(ROUNDS * messages), "%d allocations for %d messages to ten",
                  (int)calls, ROUNDS * messages);
    for (int i = 0; i < 10; i++) {
        rig_udp_close(&members[i]);
    }
    rig_party_end(&party);
}

Test(udp_no_allocation, a_rooms_message_is_one_payload_for_all_members)
{
    expect_one_payload(1);
}

Test(udp_no_allocation, so_are_sixteen_of_them_at_a_time)
{
    expect_one_payload(16);
}

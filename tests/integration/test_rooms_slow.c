/* Slow members of a room: each policy, over sockets, and the rules that choose it. */
#include "support/leak.h"
#include "support/party.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <string.h>

TestSuite(rooms_slow, .fini = rig_expect_no_leak, .timeout = 60);

enum { BIG = 1000, BIG_CHARGE = BIG + 4 + 64 };

/* Sends BIG bytes with numbers in front to up to two rooms in turn, all in one turn of the loop, so that they wait. */
struct burst {
    const char *rooms[2];
    uint32_t count;
};

static void send_burst(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct burst *burst = arg;
    uint32_t body[BIG / 4] = {0};
    struct cw_message msg = cw_message_of(body, sizeof body);

    for (uint32_t i = 0; i < burst->count; i++) {
        body[0] = i + 1;
        for (int k = 0; k < 2 && burst->rooms[k]; k++) {
            body[1] = (uint32_t)k;
            rig_check(cw_room_send(cw_loop_server(loop), burst->rooms[k], &msg, NULL) == CW_OK);
        }
    }
}

/* The next frame is the n-th of that room. */
static void expect_number(struct rig_member *member, uint32_t number, uint32_t room)
{
    uint32_t body[BIG / 4];

    cr_assert_eq(rig_peer_receive_frame(&member->peer, body, sizeof body), BIG);
    cr_assert_eq(body[0], number, "got %u, not %u", body[0], number);
    cr_assert_eq(body[1], room);
}

static void expect_numbers(struct rig_member *member, uint32_t first, uint32_t last)
{
    for (uint32_t i = first; i <= last; i++) {
        expect_number(member, i, 0);
    }
}

/* A room where five messages may wait, and one member. */
static struct rig_member enter_slow_room(struct rig_party *party, enum cw_slow_policy slow)
{
    rig_party_begin_framed(party, NULL);
    cr_assert_eq(cw_room_configure(party->server, "r",
                                   &(struct cw_room_options){
                                       .slow = slow, .queue_max_bytes = 5 * BIG_CHARGE - 1}),
                 CW_OK);
    return rig_party_enter_room(party, "r", RIG_ANY_WORKER);
}

static void expect_all_messages(struct rig_party *party, uint64_t out, uint64_t dropped)
{
    struct cw_server_stats stats;

    cw_server_stats(party->server, &stats);
    cr_expect_eq(stats.messages_out, out);
    cr_expect_eq(stats.messages_dropped, dropped);
}

static void leave_slow_room(struct rig_party *party, struct rig_member *member)
{
    rig_peer_close(&member->peer);
    rig_party_end(party);
}

Test(rooms_slow, drop_newest_keeps_what_waits)
{
    static struct rig_party party;
    struct rig_member member = enter_slow_room(&party, CW_SLOW_DROP_NEWEST);
    struct burst burst = {{"r"}, 13};

    rig_host_run(party.host, member.id, send_burst, &burst);
    expect_numbers(&member, 1, 5);
    rig_party_expect_stats(&party, "r",
                           (struct cw_room_stats){.sent = 13, .delivered = 5, .dropped_slow = 8});
    expect_all_messages(&party, 5, 8);
    rig_host_run(party.host, member.id, send_burst, &(struct burst){{"r"}, 1});
    expect_number(&member, 1, 0);
    leave_slow_room(&party, &member);
}

Test(rooms_slow, drop_oldest_keeps_the_last_ones)
{
    static struct rig_party party;
    struct rig_member member = enter_slow_room(&party, CW_SLOW_DROP_OLDEST);
    struct burst burst = {{"r"}, 13};

    rig_host_run(party.host, member.id, send_burst, &burst);
    expect_numbers(&member, 9, 13);
    rig_party_expect_stats(&party, "r",
                           (struct cw_room_stats){.sent = 13, .delivered = 13, .dropped_slow = 8});
    expect_all_messages(&party, 13, 8);
    leave_slow_room(&party, &member);
}

Test(rooms_slow, keep_latest_drops_all_that_waits)
{
    static struct rig_party party;
    struct rig_member member = enter_slow_room(&party, CW_SLOW_KEEP_LATEST);
    struct burst burst = {{"r"}, 13};

    for (uint64_t round = 1; round <= 3; round++) {
        rig_host_run(party.host, member.id, send_burst, &burst);
        expect_numbers(&member, 11, 13);
        rig_party_expect_stats(&party, "r",
                               (struct cw_room_stats){.sent = 13 * round,
                                                      .delivered = 13 * round,
                                                      .dropped_slow = 10 * round});
        expect_all_messages(&party, 13 * round, 10 * round);
    }
    leave_slow_room(&party, &member);
}

Test(rooms_slow, keep_latest_leaves_the_messages_of_other_rooms)
{
    static struct rig_party party;
    struct rig_member member = enter_slow_room(&party, CW_SLOW_KEEP_LATEST);
    struct burst burst = {{"r", "other"}, 4};

    cr_assert_eq(rig_party_join(&party, member.id, "other"), CW_OK);
    rig_host_run(party.host, member.id, send_burst, &burst);
    /* The sixth message in the queue is the third of the other room; the fourth of this one makes way for itself. */
    expect_number(&member, 1, 1);
    expect_number(&member, 2, 1);
    expect_number(&member, 3, 1);
    expect_number(&member, 4, 0);
    expect_number(&member, 4, 1);
    rig_party_expect_stats(&party, "r",
                           (struct cw_room_stats){.sent = 4, .delivered = 4, .dropped_slow = 3});
    rig_party_expect_stats(&party, "other", (struct cw_room_stats){.sent = 4, .delivered = 4});
    leave_slow_room(&party, &member);
}

Test(rooms_slow, keep_latest_keeps_the_latest_also_when_others_fill_the_queue)
{
    static struct rig_party party;
    struct rig_member member = enter_slow_room(&party, CW_SLOW_KEEP_LATEST);

    cr_assert_eq(rig_party_join(&party, member.id, "other"), CW_OK);
    cr_assert_eq(cw_room_configure(
                     party.server, "r",
                     &(struct cw_room_options){.slow = CW_SLOW_KEEP_LATEST, .queue_max_bytes = 1}),
                 CW_OK);
    rig_host_run(party.host, member.id, send_burst, &(struct burst){{"other", "r"}, 3});
    expect_number(&member, 1, 0);
    expect_number(&member, 2, 0);
    expect_number(&member, 3, 0);
    expect_number(&member, 3, 1);
    rig_party_expect_stats(&party, "r",
                           (struct cw_room_stats){.sent = 3, .delivered = 3, .dropped_slow = 2});
    leave_slow_room(&party, &member);
}

Test(rooms_slow, drop_oldest_takes_the_oldest_of_any_room)
{
    static struct rig_party party;
    struct rig_member member = enter_slow_room(&party, CW_SLOW_DROP_OLDEST);
    struct burst burst = {{"other", "r"}, 4};

    cr_assert_eq(rig_party_join(&party, member.id, "other"), CW_OK);
    rig_host_run(party.host, member.id, send_burst, &burst);
    /* Five wait when the third of this room comes, seven with the fourth of the other one. */
    expect_number(&member, 2, 1);
    expect_number(&member, 3, 0);
    expect_number(&member, 3, 1);
    expect_number(&member, 4, 0);
    expect_number(&member, 4, 1);
    rig_party_expect_stats(&party, "r",
                           (struct cw_room_stats){.sent = 4, .delivered = 4, .dropped_slow = 3});
    rig_party_expect_stats(&party, "other", (struct cw_room_stats){.sent = 4, .delivered = 4});
    leave_slow_room(&party, &member);
}

Test(rooms_slow, a_slow_member_is_closed_with_the_name_of_the_room)
{
    static struct rig_party party;
    struct rig_member member = enter_slow_room(&party, CW_SLOW_CLOSE);
    struct rig_member watcher = rig_party_enter(&party, 0, RIG_ANY_WORKER);
    struct burst burst = {{"r"}, 13};

    rig_host_run(party.host, member.id, send_burst, &burst);
    expect_numbers(&member, 1, 5);
    rig_peer_shut(&member.peer);
    rig_peer_expect_end(&member.peer);
    rig_await(atomic_load(&party.story.closed) == 1);
    cr_expect_eq(party.story.reason.code, CW_ESLOW);
    cr_expect(strstr(party.story.reason.text, "room r"), "%s", party.story.reason.text);
    cr_expect_eq(cw_room_count(party.server, "r"), 0);
    expect_all_messages(&party, 5, 0);
    rig_peer_close(&watcher.peer);
    leave_slow_room(&party, &member);
}

/* Between the close and its end it is a member still. */
static void burst_and_stats(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct burst burst = {{"r"}, 13};

    send_burst(loop, conn, &burst);
    rig_check(cw_room_stats(cw_loop_server(loop), "r", arg) == CW_OK);
}

Test(rooms_slow, a_member_closed_for_being_slow_is_counted_once)
{
    static struct rig_party party;
    struct rig_member member = enter_slow_room(&party, CW_SLOW_CLOSE);
    struct cw_room_stats stats;

    rig_host_run(party.host, member.id, burst_and_stats, &stats);
    cr_expect_eq(stats.sent, 13);
    cr_expect_eq(stats.delivered, 5);
    cr_expect_eq(stats.dropped_slow, 0);
    cr_expect_eq(stats.closed_slow, 1);
    leave_slow_room(&party, &member);
}

static void send_small_burst(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    const uint32_t *count = arg;

    for (uint32_t i = 1; i <= *count; i++) {
        struct cw_message msg = cw_message_of(&i, sizeof i);
        rig_check(cw_room_send(cw_loop_server(loop), "r", &msg, NULL) == CW_OK);
    }
}

Test(rooms_slow, small_messages_make_way_too)
{
    enum { COUNT = 100, AT_ONCE = 100 / 8, WAIT_MAX = 400 / (8 + 64) + 1 };
    static struct rig_party party;
    struct rig_member member = enter_slow_room(&party, CW_SLOW_KEEP_LATEST);
    uint32_t count = COUNT;
    uint32_t number = 0;
    uint64_t got = 0;

    cr_assert_eq(cw_room_configure(party.server, "r",
                                   &(struct cw_room_options){.slow = CW_SLOW_KEEP_LATEST,
                                                             .queue_max_bytes = 400}),
                 CW_OK);
    rig_host_run(party.host, member.id, send_small_burst, &count);
    while (number != COUNT) {
        uint32_t last = number;
        cr_assert_eq(rig_peer_receive_frame(&member.peer, &number, sizeof number), sizeof number);
        cr_assert_gt(number, last);
        got++;
    }
    /* A quarter of what may wait is on its way and not to be dropped. */
    cr_expect_leq(got, AT_ONCE + WAIT_MAX);
    rig_party_expect_stats(
        &party, "r",
        (struct cw_room_stats){.sent = COUNT, .delivered = COUNT, .dropped_slow = COUNT - got});
    leave_slow_room(&party, &member);
}

/* The queue's own bytes are nobody's to drop. */
static void write_own(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    static uint8_t own[6 * BIG_CHARGE];
    struct burst burst = {{"r"}, 3};

    rig_check(cw_conn_send_bytes(conn, own, sizeof own) >= 0);
    send_burst(loop, conn, &burst);
}

Test(rooms_slow, what_a_member_was_sent_by_itself_is_never_dropped)
{
    static struct rig_party party;
    struct rig_member member = enter_slow_room(&party, CW_SLOW_DROP_OLDEST);
    static uint8_t body[6 * BIG_CHARGE];

    rig_host_run(party.host, member.id, write_own, NULL);
    cr_expect_eq(rig_peer_receive_frame(&member.peer, body, sizeof body), sizeof body);
    rig_party_expect_stats(&party, "r", (struct cw_room_stats){.sent = 3, .dropped_slow = 3});
    leave_slow_room(&party, &member);
}

/* One that does not read, beside one that does: over a socket that really fills up. */
static void expect_fast_undisturbed(enum cw_slow_policy slow)
{
    enum { ROUNDS = 4000 };
    static struct rig_party party;
    struct rig_member fast;
    struct rig_peer lazy;
    struct cw_room_stats stats;
    unsigned before;

    rig_party_begin_framed(&party, &(struct cw_server_options){.workers = 2});
    fast = rig_party_enter_room(&party, "r", 0);
    before = atomic_load(&party.story.opened);
    lazy = rig_peer_tcp_from(NULL, "127.0.0.1", rig_host_port(party.host, 0), 4096);
    cr_assert_eq(rig_party_join(&party, rig_party_meet(&party, lazy, before).id, "r"), CW_OK);
    cw_room_configure(party.server, NULL, &(struct cw_room_options){.slow = slow});
    for (uint32_t i = 0; i < ROUNDS; i++) {
        rig_host_run(party.host, 0, send_burst, &(struct burst){{"r"}, 1});
        expect_number(&fast, 1, 0);
    }
    stats = rig_party_stats(&party, "r");
    cr_expect_eq(stats.sent, ROUNDS);
    cr_expect_geq(stats.delivered, ROUNDS);
    if (slow == CW_SLOW_CLOSE) {
        cr_expect_eq(stats.closed_slow, 1);
        cr_expect_eq(stats.dropped_slow, 0);
    } else {
        rig_await(
            rig_party_stats(&party, "r").delivered +
                (slow == CW_SLOW_DROP_NEWEST ? rig_party_stats(&party, "r").dropped_slow : 0) ==
            2 * ROUNDS);
        cr_expect_gt(rig_party_stats(&party, "r").dropped_slow, 0);
    }
    rig_peer_close(&fast.peer);
    rig_peer_reset(&lazy);
    rig_party_end(&party);
}

Test(rooms_slow, one_that_does_not_read_does_not_disturb_the_others_under_drop_newest)
{
    expect_fast_undisturbed(CW_SLOW_DROP_NEWEST);
}

Test(rooms_slow, one_that_does_not_read_does_not_disturb_the_others_under_drop_oldest)
{
    expect_fast_undisturbed(CW_SLOW_DROP_OLDEST);
}

Test(rooms_slow, one_that_does_not_read_does_not_disturb_the_others_under_keep_latest)
{
    expect_fast_undisturbed(CW_SLOW_KEEP_LATEST);
}

Test(rooms_slow, one_that_does_not_read_does_not_disturb_the_others_under_close)
{
    expect_fast_undisturbed(CW_SLOW_CLOSE);
}

/* ---- rules ---- */

Test(rooms_slow, rules_last_until_they_are_taken_back)
{
    static struct rig_party party;
    struct cw_room_options keep = {.slow = CW_SLOW_KEEP_LATEST,
                                   .queue_max_bytes = 5 * BIG_CHARGE - 1};
    struct cw_room_options oldest = {.slow = CW_SLOW_DROP_OLDEST,
                                     .queue_max_bytes = 5 * BIG_CHARGE - 1};
    struct cw_server *server = rig_server(&cw_framed, NULL);
    struct burst burst = {{"r"}, 13};

    cr_expect_eq(cw_room_configure(server, "r", &keep), CW_OK);
    cr_expect_eq(cw_room_configure(server, NULL, &oldest), CW_OK);
    rig_party_begin(&party, server, NULL);
    struct rig_member member = rig_party_enter_room(&party, "r", RIG_ANY_WORKER);

    rig_host_run(party.host, member.id, send_burst, &burst);
    expect_numbers(&member, 11, 13);
    cr_expect_eq(rig_party_leave(&party, member.id, "r"), CW_OK);
    cr_expect_eq(rig_party_join(&party, member.id, "r"), CW_OK);
    rig_host_run(party.host, member.id, send_burst, &burst);
    expect_numbers(&member, 11, 13);
    cr_expect_eq(cw_room_configure(server, "r", NULL), CW_OK);
    rig_host_run(party.host, member.id, send_burst, &burst);
    expect_numbers(&member, 9, 13);
    cr_expect_eq(cw_room_configure(server, NULL, NULL), CW_OK);
    rig_host_run(party.host, member.id, send_burst, &burst);
    expect_numbers(&member, 1, 13);
    leave_slow_room(&party, &member);
}

Test(rooms_slow, rules_that_make_no_sense_are_refused)
{
    struct cw_server *server = rig_server(&cw_framed, &(struct cw_server_options){.rooms_max = 2});
    struct cw_room_options good = {.members_max = 1};

    cr_expect_eq(cw_room_configure(server, "a", &good), CW_OK);
    cr_expect_eq(cw_room_configure(server, "b", &good), CW_OK);
    cr_expect_eq(cw_room_configure(server, "a", &good), CW_OK);
    cr_expect_eq(cw_room_configure(server, "c", &good), CW_EFULL);
    cr_expect_eq(cw_room_configure(server, "a", NULL), CW_OK);
    cr_expect_eq(cw_room_configure(server, "c", &good), CW_OK);
    cr_expect_eq(cw_room_configure(server, "", &good), CW_EINVAL);
    cr_expect_eq(cw_room_configure(NULL, "a", &good), CW_ENOMEM);
    good.slow = (enum cw_slow_policy)4;
    cr_expect_eq(cw_room_configure(server, "c", &good), CW_EINVAL);
    cr_expect_str_neq(cw_server_error(server), "");
    cw_server_free(server);
}

/* Members of rooms: limits, lists, joining by id. */
#include "support/leak.h"
#include "support/party.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(rooms_members, .fini = rig_expect_no_leak, .timeout = 60);

/* ---- limits ---- */

Test(rooms_members, limits_are_exact_and_given_back)
{
    static struct rig_party party;
    char name[6] = "12345";

    rig_party_begin_framed(&party, &(struct cw_server_options){.workers = 2,
                                                               .rooms_max = 3,
                                                               .room_members_max = 2,
                                                               .rooms_per_conn_max = 2,
                                                               .room_name_max_bytes = 4,
                                                               .room_presence_max_bytes = 3});
    struct rig_member a = rig_party_enter(&party, 0, 0);
    struct rig_member b = rig_party_enter(&party, 0, 1);
    struct rig_member c = rig_party_enter(&party, 0, 1);

    cr_expect_eq(rig_party_join(&party, a.id, ""), CW_EINVAL);
    cr_expect_eq(rig_party_join(&party, a.id, name), CW_EINVAL);
    name[4] = '\0';
    cr_expect_eq(rig_party_join(&party, a.id, name), CW_OK);
    cr_expect_eq(rig_party_leave(&party, a.id, name), CW_OK);
    cr_expect_eq(rig_party_join_as(&party, a.id, "1", "1234"), CW_ETOOBIG);

    cr_expect_eq(rig_party_join_as(&party, a.id, "1", "123"), CW_OK);
    cr_expect_eq(rig_party_join(&party, b.id, "1"), CW_OK);
    cr_expect_eq(rig_party_join(&party, c.id, "1"), CW_EFULL, "room_members_max");
    cr_expect_eq(rig_party_join(&party, b.id, "1"), CW_OK, "a member already");
    cr_expect_eq(rig_party_join(&party, a.id, "2"), CW_OK);
    cr_expect_eq(rig_party_join(&party, a.id, "3"), CW_EFULL, "rooms_per_conn_max");
    cr_expect_eq(rig_party_join(&party, b.id, "3"), CW_OK);
    cr_expect_eq(rig_party_join(&party, c.id, "4"), CW_EFULL, "rooms_max");
    cr_expect_eq(cw_room_count(party.server, "4"), 0);

    cr_expect_eq(rig_party_leave(&party, b.id, "3"), CW_OK);
    cr_expect_eq(rig_party_leave(&party, b.id, "3"), CW_ENOTFOUND);
    cr_expect_eq(rig_party_join(&party, c.id, "4"), CW_OK);
    cr_expect_eq(rig_party_leave(&party, b.id, "1"), CW_OK);
    cr_expect_eq(rig_party_join(&party, c.id, "1"), CW_OK);
    rig_peer_close(&a.peer);
    rig_await(cw_room_count(party.server, "1") == 1);
    cr_expect_eq(rig_party_join(&party, b.id, "1"), CW_OK);
    rig_peer_close(&b.peer);
    rig_peer_close(&c.peer);
    rig_party_end(&party);
}

Test(rooms_members, a_room_may_have_a_limit_of_its_own)
{
    static struct rig_party party;

    rig_party_begin_framed(&party, &(struct cw_server_options){.room_members_max = 2});
    cw_room_configure(party.server, "one", &(struct cw_room_options){.members_max = 1});
    cw_room_configure(party.server, "all", &(struct cw_room_options){.members_max = CW_NO_LIMIT});
    struct rig_member members[3];

    for (int i = 0; i < 3; i++) {
        members[i] = rig_party_enter(&party, 0, RIG_ANY_WORKER);
        cr_expect_eq(rig_party_join(&party, members[i].id, "one"), i < 1 ? CW_OK : CW_EFULL);
        cr_expect_eq(rig_party_join(&party, members[i].id, "two"), i < 2 ? CW_OK : CW_EFULL);
        cr_expect_eq(rig_party_join(&party, members[i].id, "all"), CW_OK);
    }
    for (int i = 0; i < 3; i++) {
        rig_peer_close(&members[i].peer);
    }
    rig_party_end(&party);
}

Test(rooms_members, a_connection_may_be_in_many_rooms_and_leave_them_in_any_order)
{
    enum { ROOMS = 1000 };
    static struct rig_party party;
    char name[24];

    rig_party_begin_framed(&party, &(struct cw_server_options){.rooms_per_conn_max = ROOMS});
    struct rig_member a = rig_party_enter(&party, 0, RIG_ANY_WORKER);
    struct rig_member b = rig_party_enter(&party, 0, RIG_ANY_WORKER);

    for (int i = 0; i < ROOMS; i++) {
        snprintf(name, sizeof name, "room %d", i);
        cr_assert_eq(rig_party_join(&party, a.id, name), CW_OK);
        cr_assert_eq(rig_party_join(&party, b.id, name), CW_OK);
    }
    cr_expect_eq(rig_party_join(&party, a.id, "one more"), CW_EFULL);
    for (int i = 0; i < ROOMS; i += 3) {
        snprintf(name, sizeof name, "room %d", i);
        cr_assert_eq(rig_party_leave(&party, a.id, name), CW_OK);
        cr_assert_eq(cw_room_count(party.server, name), 1);
    }
    cr_expect_eq(rig_party_send(&party, "room 0", "x"), CW_OK);
    cr_expect_eq(rig_party_send(&party, "room 998", "y"), CW_OK);
    rig_member_expect(&a, "y");
    rig_member_expect(&b, "x");
    rig_member_expect(&b, "y");
    rig_peer_close(&a.peer);
    rig_peer_close(&b.peer);
    rig_await(cw_room_count(party.server, "room 500") == 0);
    rig_party_end(&party);
}

/* ---- who is there ---- */

static void expect_members(struct rig_party *party, const char *room, size_t count,
                           const struct rig_member *members, const char *const *presences)
{
    struct cw_room_members *found = cw_room_members_new(party->server, room);

    cr_assert_not_null(found);
    cr_assert_eq(found->count, count);
    cr_expect_eq(cw_room_count(party->server, room), count);
    for (size_t i = 0; i < count; i++) {
        cr_expect_eq(found->entries[i].conn_id, members[i].id);
        cr_expect(cw_span_equal(found->entries[i].presence, cw_span_text(presences[i])));
    }
    cw_room_members_free(found);
}

Test(rooms_members, members_are_listed_in_joining_order_with_what_they_show)
{
    static struct rig_party party;

    rig_party_begin_framed(&party, &(struct cw_server_options){.workers = 2});
    struct rig_member m[3] = {rig_party_enter(&party, 0, 0), rig_party_enter(&party, 0, 1),
                              rig_party_enter(&party, 0, 0)};

    expect_members(&party, "r", 0, NULL, NULL);
    cr_expect_eq(rig_party_join_as(&party, m[0].id, "r", "ann"), CW_OK);
    cr_expect_eq(rig_party_join(&party, m[1].id, "r"), CW_OK);
    cr_expect_eq(rig_party_join_as(&party, m[2].id, "r", "cid"), CW_OK);
    expect_members(&party, "r", 3, m, (const char *[]){"ann", "", "cid"});
    cr_expect_eq(rig_party_join_as(&party, m[1].id, "r", "bob"), CW_OK);
    cr_expect_eq(rig_party_join(&party, m[0].id, "r"), CW_OK);
    cr_expect_eq(rig_party_join_as(&party, m[2].id, "r", ""), CW_OK);
    expect_members(&party, "r", 3, m, (const char *[]){"ann", "bob", ""});
    cr_expect_eq(rig_party_leave(&party, m[0].id, "r"), CW_OK);
    expect_members(&party, "r", 2, m + 1, (const char *[]){"bob", ""});
    cr_expect_eq(rig_party_join(&party, m[0].id, "r"), CW_OK);
    expect_members(&party, "r", 3, (struct rig_member[]){m[1], m[2], m[0]},
                   (const char *[]){"bob", "", ""});
    for (int i = 0; i < 3; i++) {
        rig_peer_close(&m[i].peer);
    }
    rig_party_end(&party);
}

static size_t members_listed(const struct cw_room_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->entries[i].name, name) == 0) {
            return list->entries[i].members;
        }
    }
    return 0;
}

Test(rooms_members, rooms_are_listed_by_how_they_begin)
{
    static struct rig_party party;
    struct cw_room_list *list;

    rig_party_begin_framed(&party, NULL);
    struct rig_member a = rig_party_enter(&party, 0, RIG_ANY_WORKER);
    struct rig_member b = rig_party_enter(&party, 0, RIG_ANY_WORKER);

    rig_party_join(&party, a.id, "game/1");
    rig_party_join(&party, b.id, "game/1");
    rig_party_join(&party, a.id, "game/2");
    rig_party_join(&party, a.id, "gam");
    list = cw_room_list_new(party.server, "game");
    cr_assert_eq(list->count, 2);
    cr_expect_eq(members_listed(list, "game/1"), 2);
    cr_expect_eq(members_listed(list, "game/2"), 1);
    cw_room_list_free(list);
    list = cw_room_list_new(party.server, "");
    cr_expect_eq(list->count, 3);
    cw_room_list_free(list);
    list = cw_room_list_new(party.server, "x");
    cr_expect_eq(list->count, 0);
    cw_room_list_free(list);
    cw_room_list_free(NULL);
    cw_room_members_free(NULL);
    rig_peer_close(&a.peer);
    rig_peer_close(&b.peer);
    rig_party_end(&party);
}

/* ---- by id ---- */

Test(rooms_members, any_thread_may_have_a_connection_join_and_leave)
{
    static struct rig_party party;

    rig_party_begin_framed(&party, &(struct cw_server_options){.workers = 2});
    struct rig_member a = rig_party_enter(&party, 0, 0);
    struct rig_member b = rig_party_enter(&party, 0, 1);

    cr_expect_eq(cw_room_join_id(party.server, a.id, "r", cw_span_text("ann")), CW_OK);
    cr_expect_eq(cw_room_join_id(party.server, b.id, "r", cw_span_text("bob")), CW_OK);
    cr_expect_eq(rig_party_send(&party, "r", "both"), CW_OK);
    rig_member_expect(&a, "both");
    rig_member_expect(&b, "both");
    cr_expect_eq(cw_room_leave_id(party.server, a.id, "r"), CW_OK);
    cr_expect_eq(rig_party_send(&party, "r", "one"), CW_OK);
    rig_member_expect(&b, "one");
    cr_expect_eq(cw_send_to(party.server, a.id, &(struct cw_message){.body = cw_span_text("own")}),
                 CW_OK);
    rig_member_expect(&a, "own"); /* it has left by now */
    expect_members(&party, "r", 1, &b, (const char *[]){"bob"});

    cr_expect_eq(cw_room_join_id(party.server, a.id, "", (struct cw_span){0}), CW_EINVAL);
    cr_expect_eq(cw_room_join_id(party.server, (uint64_t)77 << 24 | UINT64_C(1) << 32, "r",
                                 (struct cw_span){0}),
                 CW_ENOTFOUND);
    rig_peer_close(&a.peer);
    rig_peer_close(&b.peer);
    rig_await(atomic_load(&party.story.closed) == 2);
    cr_expect_eq(cw_room_join_id(party.server, a.id, "r", (struct cw_span){0}), CW_OK,
                 "gone is the normal case");
    rig_party_end(&party);
}

Test(rooms_members, a_join_by_id_that_fails_is_reported)
{
    static struct rig_party party;

    rig_party_begin_framed(&party, &(struct cw_server_options){.room_members_max = 1});
    struct rig_member a = rig_party_enter_room(&party, "r", RIG_ANY_WORKER);
    struct rig_member b = rig_party_enter(&party, 0, RIG_ANY_WORKER);

    cr_expect_eq(cw_room_join_id(party.server, b.id, "r", (struct cw_span){0}), CW_OK);
    rig_await(atomic_load(&party.story.errors) == 1);
    cr_expect_eq(party.story.report.code, CW_EFULL);
    cr_expect_eq(party.story.report.conn_id, b.id);
    cr_expect(strstr(party.story.report.text, "room: join"), "%s", party.story.report.text);
    cr_expect_eq(cw_room_leave_id(party.server, b.id, "r"), CW_OK);
    rig_await(atomic_load(&party.story.errors) == 2);
    cr_expect_eq(party.story.report.code, CW_ENOTFOUND);
    rig_peer_close(&a.peer);
    rig_peer_close(&b.peer);
    rig_party_end(&party);
}

/* Joins another worker's connection by id and says something to the room at once. */
struct invitation {
    uint64_t guest;
    int answer;
};

static void invite(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct invitation *invitation = arg;
    struct cw_server *server = cw_loop_server(loop);
    struct cw_message msg = cw_message_text("welcome");

    rig_check(cw_room_join_id(server, invitation->guest, "r", (struct cw_span){0}) == CW_OK);
    rig_check(cw_room_send(server, "r", &msg, NULL) == CW_OK);
    rig_check(cw_room_leave_id(server, invitation->guest, "r") == CW_OK);
    rig_check(cw_room_send(server, "r", &msg, NULL) == CW_OK);
}

Test(rooms_members, what_is_sent_after_a_join_by_id_reaches_the_one_who_joined)
{
    enum { ROUNDS = 100 };
    static struct rig_party party;

    rig_party_begin_framed(&party, &(struct cw_server_options){.workers = 2});
    struct rig_member host = rig_party_enter_room(&party, "r", 0);
    struct rig_member near = rig_party_enter(&party, 0, 0);
    struct rig_member far = rig_party_enter(&party, 0, 1);

    for (int i = 0; i < ROUNDS; i++) {
        rig_host_run(party.host, host.id, invite, &(struct invitation){.guest = far.id});
        rig_host_run(party.host, host.id, invite, &(struct invitation){.guest = near.id});
    }
    cw_send_to(party.server, far.id, &(struct cw_message){.body = cw_span_text("end")});
    cw_send_to(party.server, near.id, &(struct cw_message){.body = cw_span_text("end")});
    for (int i = 0; i < ROUNDS; i++) {
        rig_member_expect(&far, "welcome");
        rig_member_expect(&near, "welcome");
    }
    rig_member_expect(&far, "end");
    rig_member_expect(&near, "end");
    rig_peer_close(&host.peer);
    rig_peer_close(&near.peer);
    rig_peer_close(&far.peer);
    rig_party_end(&party);
}

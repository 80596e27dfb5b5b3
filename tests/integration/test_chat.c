/* The chat server, spoken to by scripted clients: each rule of its protocol. */
#include "support/guest.h"
#include "support/leak.h"
#include "support/wait.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GUESTS = 20 };

TestSuite(chat, .fini = rig_expect_no_leak, .timeout = 120);

#define ARGS(...)                                                                                  \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static bool start(struct rig_child *child, const char *const *arguments)
{
    if (!rig_program_start(child, "chat", arguments)) {
        cr_skip_test("the examples were left out of this build");
        return false;
    }
    return true;
}

/* ---- the rules ---- */

Test(chat, a_ping_is_answered_with_the_time_also_before_login)
{
    struct guest_house house;

    if (!guest_house_open(&house, NULL)) {
        return;
    }
    struct guest guest = guest_arrive(house.port);
    guest_say(&guest, "{'type':'ping'}");
    guest_expect(&guest, "{'type':'pong'}");
    guest_leave(&guest);
    guest_house_close(&house);
}

Test(chat, a_login_is_welcomed_and_the_client_id_is_the_address_the_server_sees)
{
    struct guest_house house;

    if (!guest_house_open(&house, NULL)) {
        return;
    }
    struct guest guest = guest_arrive_as(house.port, "Zo\u00eb \\' \u732b");
    guest_leave(&guest);
    guest_house_close(&house);
}

Test(chat, who_joins_hears_who_is_there_and_the_others_hear_of_him)
{
    struct guest_pair pair;

    if (!guest_pair_start(&pair)) {
        return;
    }
    guest_expect_nothing(&pair.alice);
    guest_expect_nothing(&pair.bob);
    guest_pair_end(&pair);
}

Test(chat, two_clients_may_bear_the_same_nickname)
{
    struct guest_house house;

    if (!guest_house_open(&house, NULL)) {
        return;
    }
    struct guest one = guest_arrive_as(house.port, "sam");
    struct guest two = guest_arrive_as(house.port, "sam");
    guest_open_room(&one, "sam", "tea");
    guest_say(&two, "{'type':'join_room','room':'tea'}");
    guest_expect(
        &two,
        "{'type':'room_joined','room':'tea','users':['sam','sam'],"
        "'members':[{'clientId':'%s','nickname':'sam'},{'clientId':'%s','nickname':'sam'}]}",
        one.id, two.id);
    guest_expect(&one,
                 "{'type':'user_joined','clientId':'%s','nickname':'sam','message':'sam joined the "
                 "room'}",
                 two.id);
    guest_leave(&one);
    guest_leave(&two);
    guest_house_close(&house);
}

Test(chat, joining_another_room_leaves_the_first)
{
    struct guest_pair pair;

    if (!guest_pair_start(&pair)) {
        return;
    }
    guest_open_room(&pair.bob, "bob", "coffee");
    guest_expect_left(&pair.alice, pair.bob.id, "bob");
    guest_say(&pair.bob, "{'type':'chat_message','message':'anyone?'}");
    guest_expect_nothing(&pair.bob);
    guest_expect_nothing(&pair.alice);
    guest_pair_end(&pair);
}

Test(chat, a_second_join_to_the_same_room_leaves_it_first)
{
    struct guest_pair pair;

    if (!guest_pair_start(&pair)) {
        return;
    }
    guest_say(&pair.bob, "{'type':'join_room','room':'tea'}");
    guest_expect(
        &pair.bob,
        "{'type':'room_joined','room':'tea','users':['alice','bob'],"
        "'members':[{'clientId':'%s','nickname':'alice'},{'clientId':'%s','nickname':'bob'}]}",
        pair.alice.id, pair.bob.id);
    guest_expect_left(&pair.alice, pair.bob.id, "bob");
    guest_expect(
        &pair.alice,
        "{'type':'user_joined','clientId':'%s','nickname':'bob','message':'bob joined the room'}",
        pair.bob.id);
    guest_pair_end(&pair);
}

Test(chat, a_join_that_is_refused_leaves_nothing)
{
    struct guest_pair pair;

    if (!guest_pair_start(&pair)) {
        return;
    }
    guest_say(&pair.bob, "{'type':'join_room','room':''}");
    guest_expect_error(&pair.bob, "bad_name");
    guest_expect_nothing(&pair.alice);
    guest_say(&pair.bob, "{'type':'chat_message','message':'still here'}");
    guest_expect(&pair.alice,
                 "{'type':'chat_message','clientId':'%s','from':'bob','message':'still here'}",
                 pair.bob.id);
    guest_pair_end(&pair);
}

Test(chat, rooms_are_listed_with_their_count_and_an_empty_one_is_forgotten)
{
    struct guest_pair pair;

    if (!guest_pair_start(&pair)) {
        return;
    }
    guest_say(&pair.alice, "{'type':'list_rooms'}");
    guest_expect(&pair.alice, "{'type':'rooms','rooms':[{'room':'tea','count':2}]}");
    guest_say(&pair.bob, "{'type':'leave_room'}");
    guest_expect_left(&pair.alice, pair.bob.id, "bob");
    guest_say(&pair.alice, "{'type':'list_rooms'}");
    guest_expect(&pair.alice, "{'type':'rooms','rooms':[{'room':'tea','count':1}]}");
    guest_say(&pair.alice, "{'type':'leave_room'}");
    guest_say(&pair.alice, "{'type':'list_rooms'}");
    guest_expect(&pair.alice, "{'type':'rooms','rooms':[]}");
    guest_pair_end(&pair);
}

Test(chat, leaving_is_answered_with_nothing_with_a_room_or_without)
{
    struct guest_pair pair;

    if (!guest_pair_start(&pair)) {
        return;
    }
    guest_say(&pair.bob, "{'type':'leave_room'}");
    guest_say(&pair.bob, "{'type':'leave_room'}");
    guest_expect_nothing(&pair.bob);
    guest_expect_left(&pair.alice, pair.bob.id, "bob");
    guest_expect_nothing(&pair.alice);
    guest_pair_end(&pair);
}

Test(chat, a_message_goes_to_everyone_else_in_the_room_and_nowhere_without_one)
{
    struct guest_pair pair;

    if (!guest_pair_start(&pair)) {
        return;
    }
    struct guest carol = guest_arrive_as(pair.house.port, "carol");
    guest_say(&carol, "{'type':'chat_message','message':'nobody hears this'}");
    guest_expect_nothing(&carol);
    guest_say(&pair.alice, "{'type':'chat_message','message':'tea\\n\\u0001 \\\\ is \\'ready\\''}");
    guest_expect(&pair.bob,
                 "{'type':'chat_message','clientId':'%s','from':'alice',"
                 "'message':'tea\\n\\u0001 \\\\ is \\'ready\\''}",
                 pair.alice.id);
    guest_say(&pair.alice, "{'type':'chat_message','message':''}");
    guest_expect(&pair.bob, "{'type':'chat_message','clientId':'%s','from':'alice','message':''}",
                 pair.alice.id);
    guest_expect_nothing(&pair.alice);
    guest_expect_nothing(&pair.bob);
    guest_expect_nothing(&carol);
    guest_leave(&carol);
    guest_pair_end(&pair);
}

Test(chat, a_private_message_reaches_that_client_only_in_a_room_or_not)
{
    struct guest_pair pair;

    if (!guest_pair_start(&pair)) {
        return;
    }
    struct guest carol = guest_arrive_as(pair.house.port, "carol");
    guest_say(&pair.alice, "{'type':'private_message','to':'%s','message':'psst'}", carol.id);
    guest_expect(&carol,
                 "{'type':'private_message','clientId':'%s','from':'alice','message':'psst'}",
                 pair.alice.id);
    guest_say(&carol, "{'type':'private_message','to':'%s','message':'what?'}", carol.id);
    guest_expect(&carol,
                 "{'type':'private_message','clientId':'%s','from':'carol','message':'what?'}",
                 carol.id);
    guest_expect_nothing(&pair.alice);
    guest_expect_nothing(&pair.bob);
    guest_leave(&carol);
    guest_pair_end(&pair);
}

Test(chat, a_private_message_to_nobody_is_an_error)
{
    struct guest_pair pair;
    char long_id[1000];

    if (!guest_pair_start(&pair)) {
        return;
    }
    struct guest stranger = guest_arrive(pair.house.port);
    guest_say(&pair.alice, "{'type':'private_message','to':'127.0.0.1:1','message':'psst'}");
    guest_expect_error(&pair.alice, "no_such_client");
    guest_say(&pair.alice, "{'type':'private_message','to':'','message':'psst'}");
    guest_expect_error(&pair.alice, "no_such_client");
    memset(long_id, '1', sizeof long_id);
    long_id[sizeof long_id - 1] = '\0';
    guest_say(&pair.alice, "{'type':'private_message','to':'%s','message':'psst'}", long_id);
    guest_expect_error(&pair.alice, "no_such_client");
    guest_say(&pair.alice, "{'type':'private_message','to':'%s','message':'psst'}", stranger.id);
    guest_expect_error(&pair.alice, "no_such_client"); /* has not logged in */
    guest_leave(&stranger);
    guest_pair_end(&pair);
}

Test(chat, a_second_login_renames_and_the_others_are_told)
{
    struct guest_pair pair;

    if (!guest_pair_start(&pair)) {
        return;
    }
    guest_say(&pair.bob, "{'type':'login','nickname':'robert'}");
    guest_expect(&pair.bob, "{'type':'login_success','clientId':'%s','message':'Welcome, robert!'}",
                 pair.bob.id);
    guest_expect(&pair.alice,
                 "{'type':'user_renamed','clientId':'%s','from':'bob','nickname':'robert'}",
                 pair.bob.id);
    guest_say(&pair.bob, "{'type':'chat_message','message':'it is me'}");
    guest_expect(&pair.alice,
                 "{'type':'chat_message','clientId':'%s','from':'robert','message':'it is me'}",
                 pair.bob.id);
    guest_say(&pair.alice, "{'type':'join_room','room':'tea'}");
    guest_expect(&pair.alice,
                 "{'type':'room_joined','room':'tea','users':['robert','alice'],'members':"
                 "[{'clientId':'%s','nickname':'robert'},{'clientId':'%s','nickname':'alice'}]}",
                 pair.bob.id, pair.alice.id);
    guest_pair_end(&pair);
}

Test(chat, a_dropped_connection_leaves_its_room_and_cannot_be_reached)
{
    struct guest_pair pair;

    if (!guest_pair_start(&pair)) {
        return;
    }
    rig_peer_reset(&pair.bob.peer);
    guest_expect_left(&pair.alice, pair.bob.id, "bob");
    guest_say(&pair.alice, "{'type':'private_message','to':'%s','message':'psst'}", pair.bob.id);
    guest_expect_error(&pair.alice, "no_such_client");
    struct guest carol = guest_arrive_as(pair.house.port, "carol");
    guest_say(&carol, "{'type':'join_room','room':'tea'}");
    cJSON_Delete(guest_hear(&carol));
    cJSON_Delete(guest_hear(&pair.alice));
    guest_leave(&carol);
    guest_expect_left(&pair.alice, carol.id, "carol");
    guest_leave(&pair.alice);
    guest_house_close(&pair.house);
}

/* ---- what is not understood ---- */

static const struct {
    const char *text;
    const char *code;
} bad[] = {
    {"", "not_json"},
    {"nonsense", "not_json"},
    {"{'type':'ping'", "not_json"},
    {"{'type':'ping'} {}", "not_json"},
    {"{'type':'chat_message','message':'\xff'}", "not_json"},
    {"{'type':'chat_message','message':'\\u0000'}", "not_json"},
    {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", "not_json"},
    {"[]", "not_object"},
    {"'ping'", "not_object"},
    {"null", "not_object"},
    {"7", "not_object"},
    {"{}", "missing_field"},
    {"{'type':7}", "wrong_kind"},
    {"{'type':null}", "wrong_kind"},
    {"{'type':''}", "unknown_type"},
    {"{'type':'Ping'}", "unknown_type"},
    {"{'type':'shout','message':'x'}", "unknown_type"},
    {"{'type':'login'}", "missing_field"},
    {"{'type':'login','nickname':7}", "wrong_kind"},
    {"{'type':'login','nickname':['x']}", "wrong_kind"},
    {"{'type':'login','nickname':''}", "bad_name"},
    {"{'type':'login','nickname':'a\\nb'}", "bad_name"},
    {"{'type':'login','nickname':'a\x7f'}", "bad_name"},
    {"{'type':'login','nickname':'a\\u0085'}", "bad_name"},
    {"{'type':'login','nickname':'\\u202enimda'}", "bad_name"},
    {"{'type':'login','nickname':'a\\u2066'}", "bad_name"},
    {"{'type':'login','nickname':'a\\u2028b'}", "bad_name"},
    {"{'type':'login','nickname':'a\\u200bb'}", "bad_name"},
    {"{'type':'login','nickname':'\\ufeffa'}", "bad_name"},
    {"{'type':'login','nickname':' \\u00a0\\u3000'}", "bad_name"},
    {"{'type':'login','nickname':"
     "'12345678901234567890123456789012345678901234567890123456789012345'}",
     "bad_name"},
    {"{'type':'join_room'}", "missing_field"},
    {"{'type':'join_room','room':{}}", "wrong_kind"},
    {"{'type':'join_room','room':''}", "bad_name"},
    {"{'type':'join_room','room':' '}", "bad_name"},
    {"{'type':'join_room','room':"
     "'12345678901234567890123456789012345678901234567890123456789012345'}",
     "bad_name"},
    {"{'type':'chat_message'}", "missing_field"},
    {"{'type':'chat_message','message':7}", "wrong_kind"},
    {"{'type':'chat_message','message':true}", "wrong_kind"},
    {"{'type':'private_message','message':'x'}", "missing_field"},
    {"{'type':'private_message','to':'x'}", "missing_field"},
    {"{'type':'private_message','to':7,'message':'x'}", "wrong_kind"},
    {"{'type':'private_message','to':'x','message':7}", "wrong_kind"},
};

Test(chat, what_is_not_understood_is_answered_with_its_error_and_the_connection_goes_on)
{
    struct guest_pair pair;

    if (!guest_pair_start(&pair)) {
        return;
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        guest_say(&pair.bob, "%s", bad[i].text);
        guest_expect_error(&pair.bob, bad[i].code);
    }
    guest_expect_nothing(&pair.bob);
    guest_expect_nothing(&pair.alice);
    guest_pair_end(&pair);
}

Test(chat, before_login_only_a_ping_and_a_login_are_served)
{
    static const char *const acts[] = {
        "{'type':'join_room','room':'tea'}",
        "{'type':'list_rooms'}",
        "{'type':'leave_room'}",
        "{'type':'chat_message','message':'x'}",
        "{'type':'private_message','to':'x','message':'x'}",
    };
    struct guest_house house;

    if (!guest_house_open(&house, NULL)) {
        return;
    }
    struct guest guest = guest_arrive(house.port);
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
        guest_say(&guest, "%s", acts[i]);
        guest_expect_error(&guest, "not_logged_in");
    }
    guest_say(&guest, "{'type':'login','nickname':''}");
    guest_expect_error(&guest, "bad_name");
    guest_say(&guest, "%s", acts[0]);
    guest_expect_error(&guest, "not_logged_in");
    guest_expect_nothing(&guest);
    guest_leave(&guest);
    guest_house_close(&house);
}

Test(chat, names_of_64_bytes_pass)
{
    char name[65];
    struct guest_house house;

    if (!guest_house_open(&house, NULL)) {
        return;
    }
    memset(name, 'n', 64);
    name[64] = '\0';
    struct guest guest = guest_arrive_as(house.port, name);
    guest_open_room(&guest, name, name);
    guest_leave(&guest);
    guest_house_close(&house);
}

/* ---- limits ---- */

static char *text_of(size_t len)
{
    char *text = malloc(len + 1);

    rig_check(text != NULL);
    memset(text, 'x', len);
    text[len] = '\0';
    return text;
}

Test(chat, a_frame_over_the_limit_closes_that_connection_only)
{
    struct guest_pair pair;
    char *text = text_of(GUEST_FRAME_MAX + 1);

    if (!guest_pair_start(&pair)) {
        free(text);
        return;
    }
    rig_peer_send_frame(&pair.bob.peer, text, GUEST_FRAME_MAX); /* exactly the limit */
    guest_expect_error(&pair.bob, "not_json");
    rig_peer_send(&pair.bob.peer, "\x00\x01\x00\x01", 4);
    rig_peer_expect_gone(&pair.bob.peer);
    guest_expect_left(&pair.alice, pair.bob.id, "bob");
    guest_expect_nothing(&pair.alice);
    free(text);
    guest_pair_end(&pair);
}

Test(chat, a_message_that_cannot_be_passed_on_is_refused_and_no_other_is_lost)
{
    struct guest_pair pair;
    char *fits = text_of(60000);
    char *fits_not = text_of(GUEST_FRAME_MAX - 40);

    if (!guest_pair_start(&pair)) {
        free(fits);
        free(fits_not);
        return;
    }
    guest_say(&pair.alice, "{'type':'chat_message','message':'%s'}", fits_not);
    guest_expect_error(&pair.alice, "too_long");
    guest_say(&pair.alice, "{'type':'private_message','to':'%s','message':'%s'}", pair.bob.id, fits);
    guest_expect(&pair.bob,
                 "{'type':'private_message','clientId':'%s','from':'alice','message':'%s'}",
                 pair.alice.id, fits);
    free(fits);
    free(fits_not);
    guest_pair_end(&pair);
}

Test(chat, a_client_above_its_rate_is_told_once_waits_and_loses_nothing)
{
    struct guest_house house;
    uint64_t started;

    if (!guest_house_open(&house, ARGS("--half-open"))) {
        return;
    }
    struct guest guest = guest_arrive(house.port);
    started = rig_now_ms();
    guest_hurry(&guest, 50, 39);
    /* 40 at once, ten more at 20 a second; less a little for the clock's grain. */
    cr_expect_geq(rig_now_ms() - started, 350);
    guest_leave(&guest);
    guest_house_close(&house);
}

/* ---- many ---- */

struct crowd {
    struct guest_house house;
    struct guest guests[GUESTS];
};

/* All of them in one room; what they hear of each other's joining is read. */
static bool start_crowd(struct crowd *crowd, const char *const *arguments)
{
    char nickname[16];

    if (!guest_house_open(&crowd->house, arguments)) {
        return false;
    }
    for (int i = 0; i < GUESTS; i++) {
        snprintf(nickname, sizeof nickname, "g%d", i);
        crowd->guests[i] = guest_arrive_as(crowd->house.port, nickname);
        guest_say(&crowd->guests[i], "{'type':'join_room','room':'all'}");
        if (i < GUESTS - 1) {
            guest_skip(&crowd->guests[i], 1);
        }
        for (int before = 0; before < i; before++) {
            guest_skip(&crowd->guests[before], 1);
        }
    }
    return true;
}

static void end_crowd(struct crowd *crowd)
{
    for (int i = 0; i < GUESTS; i++) {
        guest_leave(&crowd->guests[i]);
    }
    guest_house_close(&crowd->house);
}

Test(chat, what_each_of_twenty_clients_says_reaches_all_others_in_its_order)
{
    enum { EACH = 50 };
    struct crowd crowd;

    if (!start_crowd(&crowd, NULL)) {
        return;
    }
    guest_skip(&crowd.guests[GUESTS - 1], 1);
    for (int n = 0; n < EACH; n++) {
        for (int i = 0; i < GUESTS; i++) {
            guest_say(&crowd.guests[i], "{'type':'chat_message','message':'%d'}", n);
        }
    }
    for (int i = 0; i < GUESTS; i++) {
        int next[GUESTS] = {0};
        for (int count = 0; count < (GUESTS - 1) * EACH; count++) {
            struct cJSON *message = guest_hear(&crowd.guests[i]);
            const char *from = cJSON_GetStringValue(cJSON_GetObjectItem(message, "from"));
            const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(message, "message"));
            rig_check(from != NULL);
            rig_check(text != NULL);
            int sender = atoi(from + 1);
            cr_assert_neq(sender, i);
            cr_assert_eq(atoi(text), next[sender], "from %d: %s, not %d", sender, text,
                         next[sender]);
            next[sender]++;
            cJSON_Delete(message);
        }
        guest_expect_nothing(&crowd.guests[i]);
    }
    end_crowd(&crowd);
}

Test(chat, a_list_over_the_limit_on_frames_leaves_some_out_and_says_how_many)
{
    struct crowd crowd;

    if (!start_crowd(&crowd, ARGS("--max-frame-size", "700"))) {
        return;
    }
    struct guest *last = &crowd.guests[GUESTS - 1];
    struct cJSON *message = guest_hear(last);
    const struct cJSON *users = cJSON_GetObjectItem(message, "users");
    const struct cJSON *members = cJSON_GetObjectItem(message, "members");
    const struct cJSON *omitted = cJSON_GetObjectItem(message, "omitted");
    int count = cJSON_GetArraySize(users);

    cr_assert_not_null(omitted);
    cr_expect_gt(count, 3);
    cr_expect_eq(cJSON_GetArraySize(members), count);
    cr_expect_eq(omitted->valueint, GUESTS - count);
    cr_expect_str_eq(cJSON_GetStringValue(cJSON_GetArrayItem(users, count - 1)), "g19");
    cJSON_Delete(message);
    guest_expect_nothing(last);
    end_crowd(&crowd);
}

Test(chat, a_member_that_reads_nothing_loses_its_connection_and_the_others_lose_nothing)
{
    enum { MESSAGES = 400 };
    struct guest_pair pair;
    char *text = text_of(60000);
    struct cJSON *message;

    if (!guest_pair_start(&pair)) {
        free(text);
        return;
    }
    struct guest deaf = guest_arrive_as(pair.house.port, "deaf");
    guest_say(&deaf, "{'type':'join_room','room':'tea'}");
    guest_skip(&deaf, 1);
    guest_skip(&pair.alice, 1);
    guest_skip(&pair.bob, 1);
    for (int i = 0; i < MESSAGES; i++) {
        guest_say(&pair.alice, "{'type':'chat_message','message':'%s'}", text);
        do {
            message = guest_hear(&pair.bob);
            bool left = strcmp(cJSON_GetObjectItem(message, "type")->valuestring, "user_left") == 0;
            cJSON_Delete(message);
            if (!left) {
                break;
            }
        } while (true);
    }
    guest_expect_left(&pair.alice, deaf.id, "deaf");
    guest_expect_nothing(&pair.alice);
    guest_leave(&deaf);
    free(text);
    guest_pair_end(&pair);
}

Test(chat, clients_on_a_unix_socket_have_ids_of_their_own)
{
    struct rig_child server;
    char path[64];
    char text[1000];
    char ids[2][64];
    struct guest guests[2];

    snprintf(path, sizeof path, "/tmp/causeway-chat-%ld", (long)getpid());
    if (!start(&server, ARGS("--unix", path, "--port", "0", "--workers", "2"))) {
        return;
    }
    cr_expect_neq(rig_program_port_of(&server, "http"), 0);
    rig_child_await_text(&server, "listening on unix:/tmp/causeway-chat-");
    for (int i = 0; i < 2; i++) {
        guests[i].peer = rig_peer_unix(path);
        guest_say(&guests[i], "{'type':'login','nickname':'u'}");
        struct cJSON *message = guest_hear(&guests[i]);
        snprintf(ids[i], sizeof ids[i], "%s",
                 cJSON_GetStringValue(cJSON_GetObjectItem(message, "clientId")));
        cJSON_Delete(message);
    }
    cr_expect_str_neq(ids[0], ids[1]);
    guest_say(&guests[0], "{'type':'private_message','to':'%s','message':'psst'}", ids[1]);
    snprintf(text, sizeof text,
             "{'type':'private_message','clientId':'%s','from':'u','message':'psst'}", ids[0]);
    guest_expect(&guests[1], "%s", text);
    guest_leave(&guests[0]);
    guest_leave(&guests[1]);
    rig_program_end(&server);
}

Test(chat, a_signal_ends_it_with_status_0_while_clients_are_in_rooms)
{
    struct guest_pair pair;

    if (!guest_pair_start(&pair)) {
        return;
    }
    guest_house_close(&pair.house);
    rig_peer_expect_end(&pair.alice.peer);
    rig_peer_expect_end(&pair.bob.peer);
    guest_leave(&pair.alice);
    guest_leave(&pair.bob);
}

Test(chat, its_command_line_has_a_port_for_the_page_and_one_for_tcp)
{
    struct rig_child child;

    if (!start(&child, ARGS("--help"))) {
        return;
    }
    rig_program_expect_status(&child, 0);
    cr_expect_not_null(strstr(child.text, "--tcp-port N "), "%s", child.text);
    cr_expect_not_null(strstr(child.text, "(default: 7340)"), "%s", child.text);
    cr_expect_not_null(strstr(child.text, "--port N "), "%s", child.text);
    cr_expect_not_null(strstr(child.text, "(default: 8080)"), "%s", child.text);
    if (!start(&child, ARGS("--connect", "127.0.0.1:1", "--nickname", "a\tb"))) {
        return;
    }
    rig_program_expect_status(&child, 1);
    cr_expect_str_eq(child.text, "chat: --nickname a\tb: it holds a control character\n");
}

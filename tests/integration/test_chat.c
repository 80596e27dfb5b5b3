/* The chat server, spoken to by scripted clients: each rule of its protocol. */
#include "support/leak.h"
#include "support/peer.h"
#include "support/program.h"
#include "support/wait.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FRAME_MAX = 65536, GUESTS = 20, ID_CAP = 32 };

TestSuite(chat, .fini = rig_expect_no_leak, .timeout = 120);

#define ARGS(...)                                                                                  \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

struct guest {
    struct rig_peer peer;
    char id[ID_CAP];
};

static bool start(struct rig_child *server, const char *const *arguments)
{
    if (!rig_program_start(server, "chat", arguments)) {
        cr_skip_test("the examples were left out of this build");
        return false;
    }
    return true;
}

static bool serve(struct rig_child *server, uint16_t *port)
{
    if (!start(server, ARGS("--tcp-port", "0", "--workers", "2", "--messages-per-second", "off"))) {
        return false;
    }
    *port = rig_program_port(server);
    return true;
}

/* ---- what a client says and hears; ' stands for " ---- */

static char *json_text(const char *format, va_list args)
{
    char *text;

    rig_check(vasprintf(&text, format, args) >= 0);
    for (char *at = text; *at != '\0'; at++) {
        *at = *at == '\'' ? '"' : *at;
    }
    return text;
}

__attribute__((format(printf, 2, 3))) static void say(struct guest *guest, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    char *text = json_text(format, args);
    va_end(args);
    rig_peer_send_frame(&guest->peer, text, strlen(text));
    free(text);
}

static struct cJSON *hear(struct guest *guest)
{
    static char text[FRAME_MAX + 1];
    size_t len = rig_peer_receive_frame(&guest->peer, text, FRAME_MAX);
    struct cJSON *message;

    text[len] = '\0';
    message = cJSON_Parse(text);
    if (message == NULL) {
        rig_fail(__FILE__, __LINE__, "not JSON: %s", text);
    }
    return message;
}

/* A time of these days, in milliseconds. Takes it out: it is never twice the same. */
static void take_timestamp(struct cJSON *message)
{
    struct cJSON *timestamp = cJSON_DetachItemFromObject(message, "timestamp");

    if (timestamp != NULL) {
        double now = (double)time(NULL) * 1000;
        rig_check(cJSON_IsNumber(timestamp));
        rig_check(timestamp->valuedouble > now - 60000);
        rig_check(timestamp->valuedouble < now + 60000);
        cJSON_Delete(timestamp);
    }
}

static bool has_timestamp(const char *type)
{
    return strcmp(type, "pong") == 0 || strcmp(type, "chat_message") == 0 ||
           strcmp(type, "private_message") == 0;
}

/* The next message is exactly this one, its time aside, which it has when it should. */
__attribute__((format(printf, 2, 3))) static void expect(struct guest *guest, const char *format,
                                                         ...)
{
    va_list args;

    va_start(args, format);
    char *text = json_text(format, args);
    va_end(args);
    struct cJSON *expected = cJSON_Parse(text);
    struct cJSON *message = hear(guest);
    char *heard = cJSON_PrintUnformatted(message);
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItem(message, "type"));
    rig_check(expected != NULL);
    if (type == NULL || has_timestamp(type) != cJSON_HasObjectItem(message, "timestamp")) {
        rig_fail(__FILE__, __LINE__, "a time is missing or too much: %s", heard);
    }
    take_timestamp(message);
    if (!cJSON_Compare(message, expected, true)) {
        rig_fail(__FILE__, __LINE__, "heard %s\ninstead of %s", heard, text);
    }
    cJSON_free(heard);
    cJSON_Delete(message);
    cJSON_Delete(expected);
    free(text);
}

/* An error of this code comes, and says something. */
static void expect_error(struct guest *guest, const char *code)
{
    struct cJSON *message = hear(guest);
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItem(message, "type"));
    const char *found = cJSON_GetStringValue(cJSON_GetObjectItem(message, "code"));
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(message, "message"));

    if (type == NULL || strcmp(type, "error") != 0 || found == NULL || strcmp(found, code) != 0 ||
        text == NULL || text[0] == '\0') {
        rig_fail(__FILE__, __LINE__, "instead of the error %s: %s", code,
                 cJSON_PrintUnformatted(message));
    }
    cJSON_Delete(message);
}

/* Nothing was sent to this client that it has not read: a pong is the next it hears. */
static void expect_nothing(struct guest *guest)
{
    say(guest, "{'type':'ping'}");
    expect(guest, "{'type':'pong'}");
}

/* ---- coming in ---- */

static struct guest arrive(uint16_t port)
{
    struct guest guest = {.peer = rig_peer_tcp(port)};

    snprintf(guest.id, sizeof guest.id, "127.0.0.1:%u", rig_peer_port(&guest.peer));
    return guest;
}

static struct guest arrive_as(uint16_t port, const char *nickname)
{
    struct guest guest = arrive(port);

    say(&guest, "{'type':'login','nickname':'%s'}", nickname);
    expect(&guest, "{'type':'login_success','clientId':'%s','message':'Welcome, %s!'}", guest.id,
           nickname);
    return guest;
}

/* Joins as the only one. */
static void open_room(struct guest *guest, const char *nickname, const char *room)
{
    say(guest, "{'type':'join_room','room':'%s'}", room);
    expect(guest,
           "{'type':'room_joined','room':'%s','users':['%s'],"
           "'members':[{'clientId':'%s','nickname':'%s'}]}",
           room, nickname, guest->id, nickname);
}

/* Bob joins the room that Alice has opened. */
static void follow(struct guest *bob, struct guest *alice, const char *room)
{
    say(bob, "{'type':'join_room','room':'%s'}", room);
    expect(bob,
           "{'type':'room_joined','room':'%s','users':['alice','bob'],"
           "'members':[{'clientId':'%s','nickname':'alice'},{'clientId':'%s','nickname':'bob'}]}",
           room, alice->id, bob->id);
    expect(alice,
           "{'type':'user_joined','clientId':'%s','nickname':'bob','message':'bob joined the room'}",
           bob->id);
}

struct pair {
    struct rig_child server;
    uint16_t port;
    struct guest alice;
    struct guest bob;
};

static bool start_pair(struct pair *pair)
{
    if (!serve(&pair->server, &pair->port)) {
        return false;
    }
    pair->alice = arrive_as(pair->port, "alice");
    pair->bob = arrive_as(pair->port, "bob");
    open_room(&pair->alice, "alice", "tea");
    follow(&pair->bob, &pair->alice, "tea");
    return true;
}

static void end_pair(struct pair *pair)
{
    rig_peer_close(&pair->alice.peer);
    rig_peer_close(&pair->bob.peer);
    rig_program_end(&pair->server);
}

/* ---- the rules ---- */

Test(chat, a_ping_is_answered_with_the_time_also_before_login)
{
    struct rig_child server;
    uint16_t port;

    if (!serve(&server, &port)) {
        return;
    }
    struct guest guest = arrive(port);
    say(&guest, "{'type':'ping'}");
    expect(&guest, "{'type':'pong'}");
    rig_peer_close(&guest.peer);
    rig_program_end(&server);
}

Test(chat, a_login_is_welcomed_and_the_client_id_is_the_address_the_server_sees)
{
    struct rig_child server;
    uint16_t port;

    if (!serve(&server, &port)) {
        return;
    }
    struct guest guest = arrive_as(port, "Zo\u00eb \\' \u732b");
    rig_peer_close(&guest.peer);
    rig_program_end(&server);
}

Test(chat, who_joins_hears_who_is_there_and_the_others_hear_of_him)
{
    struct pair pair;

    if (!start_pair(&pair)) {
        return;
    }
    expect_nothing(&pair.alice);
    expect_nothing(&pair.bob);
    end_pair(&pair);
}

Test(chat, two_clients_may_bear_the_same_nickname)
{
    struct rig_child server;
    uint16_t port;

    if (!serve(&server, &port)) {
        return;
    }
    struct guest one = arrive_as(port, "sam");
    struct guest two = arrive_as(port, "sam");
    open_room(&one, "sam", "tea");
    say(&two, "{'type':'join_room','room':'tea'}");
    expect(&two,
           "{'type':'room_joined','room':'tea','users':['sam','sam'],"
           "'members':[{'clientId':'%s','nickname':'sam'},{'clientId':'%s','nickname':'sam'}]}",
           one.id, two.id);
    expect(&one,
           "{'type':'user_joined','clientId':'%s','nickname':'sam','message':'sam joined the "
           "room'}",
           two.id);
    rig_peer_close(&one.peer);
    rig_peer_close(&two.peer);
    rig_program_end(&server);
}

static void expect_left(struct guest *guest, const char *id, const char *nickname)
{
    expect(guest,
           "{'type':'user_left','clientId':'%s','nickname':'%s','message':'%s left the room'}", id,
           nickname, nickname);
}

Test(chat, joining_another_room_leaves_the_first)
{
    struct pair pair;

    if (!start_pair(&pair)) {
        return;
    }
    open_room(&pair.bob, "bob", "coffee");
    expect_left(&pair.alice, pair.bob.id, "bob");
    say(&pair.bob, "{'type':'chat_message','message':'anyone?'}");
    expect_nothing(&pair.bob);
    expect_nothing(&pair.alice);
    end_pair(&pair);
}

Test(chat, a_second_join_to_the_same_room_leaves_it_first)
{
    struct pair pair;

    if (!start_pair(&pair)) {
        return;
    }
    say(&pair.bob, "{'type':'join_room','room':'tea'}");
    expect(&pair.bob,
           "{'type':'room_joined','room':'tea','users':['alice','bob'],"
           "'members':[{'clientId':'%s','nickname':'alice'},{'clientId':'%s','nickname':'bob'}]}",
           pair.alice.id, pair.bob.id);
    expect_left(&pair.alice, pair.bob.id, "bob");
    expect(&pair.alice,
           "{'type':'user_joined','clientId':'%s','nickname':'bob','message':'bob joined the room'}",
           pair.bob.id);
    end_pair(&pair);
}

Test(chat, a_join_that_is_refused_leaves_nothing)
{
    struct pair pair;

    if (!start_pair(&pair)) {
        return;
    }
    say(&pair.bob, "{'type':'join_room','room':''}");
    expect_error(&pair.bob, "bad_name");
    expect_nothing(&pair.alice);
    say(&pair.bob, "{'type':'chat_message','message':'still here'}");
    expect(&pair.alice,
           "{'type':'chat_message','clientId':'%s','from':'bob','message':'still here'}",
           pair.bob.id);
    end_pair(&pair);
}

Test(chat, rooms_are_listed_with_their_count_and_an_empty_one_is_forgotten)
{
    struct pair pair;

    if (!start_pair(&pair)) {
        return;
    }
    say(&pair.alice, "{'type':'list_rooms'}");
    expect(&pair.alice, "{'type':'rooms','rooms':[{'room':'tea','count':2}]}");
    say(&pair.bob, "{'type':'leave_room'}");
    expect_left(&pair.alice, pair.bob.id, "bob");
    say(&pair.alice, "{'type':'list_rooms'}");
    expect(&pair.alice, "{'type':'rooms','rooms':[{'room':'tea','count':1}]}");
    say(&pair.alice, "{'type':'leave_room'}");
    say(&pair.alice, "{'type':'list_rooms'}");
    expect(&pair.alice, "{'type':'rooms','rooms':[]}");
    end_pair(&pair);
}

Test(chat, leaving_is_answered_with_nothing_with_a_room_or_without)
{
    struct pair pair;

    if (!start_pair(&pair)) {
        return;
    }
    say(&pair.bob, "{'type':'leave_room'}");
    say(&pair.bob, "{'type':'leave_room'}");
    expect_nothing(&pair.bob);
    expect_left(&pair.alice, pair.bob.id, "bob");
    expect_nothing(&pair.alice);
    end_pair(&pair);
}

Test(chat, a_message_goes_to_everyone_else_in_the_room_and_nowhere_without_one)
{
    struct pair pair;

    if (!start_pair(&pair)) {
        return;
    }
    struct guest carol = arrive_as(pair.port, "carol");
    say(&carol, "{'type':'chat_message','message':'nobody hears this'}");
    expect_nothing(&carol);
    say(&pair.alice, "{'type':'chat_message','message':'tea\\n\\u0001 \\\\ is \\'ready\\''}");
    expect(&pair.bob,
           "{'type':'chat_message','clientId':'%s','from':'alice',"
           "'message':'tea\\n\\u0001 \\\\ is \\'ready\\''}",
           pair.alice.id);
    say(&pair.alice, "{'type':'chat_message','message':''}");
    expect(&pair.bob, "{'type':'chat_message','clientId':'%s','from':'alice','message':''}",
           pair.alice.id);
    expect_nothing(&pair.alice);
    expect_nothing(&pair.bob);
    expect_nothing(&carol);
    rig_peer_close(&carol.peer);
    end_pair(&pair);
}

Test(chat, a_private_message_reaches_that_client_only_in_a_room_or_not)
{
    struct pair pair;

    if (!start_pair(&pair)) {
        return;
    }
    struct guest carol = arrive_as(pair.port, "carol");
    say(&pair.alice, "{'type':'private_message','to':'%s','message':'psst'}", carol.id);
    expect(&carol, "{'type':'private_message','clientId':'%s','from':'alice','message':'psst'}",
           pair.alice.id);
    say(&carol, "{'type':'private_message','to':'%s','message':'what?'}", carol.id);
    expect(&carol, "{'type':'private_message','clientId':'%s','from':'carol','message':'what?'}",
           carol.id);
    expect_nothing(&pair.alice);
    expect_nothing(&pair.bob);
    rig_peer_close(&carol.peer);
    end_pair(&pair);
}

Test(chat, a_private_message_to_nobody_is_an_error)
{
    struct pair pair;
    char long_id[1000];

    if (!start_pair(&pair)) {
        return;
    }
    struct guest stranger = arrive(pair.port);
    say(&pair.alice, "{'type':'private_message','to':'127.0.0.1:1','message':'psst'}");
    expect_error(&pair.alice, "no_such_client");
    say(&pair.alice, "{'type':'private_message','to':'','message':'psst'}");
    expect_error(&pair.alice, "no_such_client");
    memset(long_id, '1', sizeof long_id);
    long_id[sizeof long_id - 1] = '\0';
    say(&pair.alice, "{'type':'private_message','to':'%s','message':'psst'}", long_id);
    expect_error(&pair.alice, "no_such_client");
    say(&pair.alice, "{'type':'private_message','to':'%s','message':'psst'}", stranger.id);
    expect_error(&pair.alice, "no_such_client"); /* has not logged in */
    rig_peer_close(&stranger.peer);
    end_pair(&pair);
}

Test(chat, a_second_login_renames_and_the_others_are_told)
{
    struct pair pair;

    if (!start_pair(&pair)) {
        return;
    }
    say(&pair.bob, "{'type':'login','nickname':'robert'}");
    expect(&pair.bob, "{'type':'login_success','clientId':'%s','message':'Welcome, robert!'}",
           pair.bob.id);
    expect(&pair.alice, "{'type':'user_renamed','clientId':'%s','from':'bob','nickname':'robert'}",
           pair.bob.id);
    say(&pair.bob, "{'type':'chat_message','message':'it is me'}");
    expect(&pair.alice,
           "{'type':'chat_message','clientId':'%s','from':'robert','message':'it is me'}",
           pair.bob.id);
    say(&pair.alice, "{'type':'join_room','room':'tea'}");
    expect(&pair.alice,
           "{'type':'room_joined','room':'tea','users':['robert','alice'],'members':"
           "[{'clientId':'%s','nickname':'robert'},{'clientId':'%s','nickname':'alice'}]}",
           pair.bob.id, pair.alice.id);
    end_pair(&pair);
}

Test(chat, a_dropped_connection_leaves_its_room_and_cannot_be_reached)
{
    struct pair pair;

    if (!start_pair(&pair)) {
        return;
    }
    rig_peer_reset(&pair.bob.peer);
    expect_left(&pair.alice, pair.bob.id, "bob");
    say(&pair.alice, "{'type':'private_message','to':'%s','message':'psst'}", pair.bob.id);
    expect_error(&pair.alice, "no_such_client");
    struct guest carol = arrive_as(pair.port, "carol");
    say(&carol, "{'type':'join_room','room':'tea'}");
    cJSON_Delete(hear(&carol));
    cJSON_Delete(hear(&pair.alice));
    rig_peer_close(&carol.peer);
    expect_left(&pair.alice, carol.id, "carol");
    rig_peer_close(&pair.alice.peer);
    rig_program_end(&pair.server);
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
    {"{'type':'login','nickname':"
     "'12345678901234567890123456789012345678901234567890123456789012345'}",
     "bad_name"},
    {"{'type':'join_room'}", "missing_field"},
    {"{'type':'join_room','room':{}}", "wrong_kind"},
    {"{'type':'join_room','room':''}", "bad_name"},
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
    struct pair pair;

    if (!start_pair(&pair)) {
        return;
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        say(&pair.bob, "%s", bad[i].text);
        expect_error(&pair.bob, bad[i].code);
    }
    expect_nothing(&pair.bob);
    expect_nothing(&pair.alice);
    end_pair(&pair);
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
    struct rig_child server;
    uint16_t port;

    if (!serve(&server, &port)) {
        return;
    }
    struct guest guest = arrive(port);
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
        say(&guest, "%s", acts[i]);
        expect_error(&guest, "not_logged_in");
    }
    say(&guest, "{'type':'login','nickname':''}");
    expect_error(&guest, "bad_name");
    say(&guest, "%s", acts[0]);
    expect_error(&guest, "not_logged_in");
    expect_nothing(&guest);
    rig_peer_close(&guest.peer);
    rig_program_end(&server);
}

Test(chat, names_of_64_bytes_pass)
{
    char name[65];
    struct rig_child server;
    uint16_t port;

    if (!serve(&server, &port)) {
        return;
    }
    memset(name, 'n', 64);
    name[64] = '\0';
    struct guest guest = arrive_as(port, name);
    open_room(&guest, name, name);
    rig_peer_close(&guest.peer);
    rig_program_end(&server);
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
    struct pair pair;
    char *text = text_of(FRAME_MAX + 1);

    if (!start_pair(&pair)) {
        free(text);
        return;
    }
    rig_peer_send_frame(&pair.bob.peer, text, FRAME_MAX); /* exactly the limit */
    expect_error(&pair.bob, "not_json");
    rig_peer_send(&pair.bob.peer, "\x00\x01\x00\x01", 4);
    rig_peer_expect_gone(&pair.bob.peer);
    expect_left(&pair.alice, pair.bob.id, "bob");
    expect_nothing(&pair.alice);
    free(text);
    end_pair(&pair);
}

Test(chat, a_message_that_cannot_be_passed_on_is_refused_and_no_other_is_lost)
{
    struct pair pair;
    char *fits = text_of(60000);
    char *fits_not = text_of(FRAME_MAX - 40);

    if (!start_pair(&pair)) {
        free(fits);
        free(fits_not);
        return;
    }
    say(&pair.alice, "{'type':'chat_message','message':'%s'}", fits_not);
    expect_error(&pair.alice, "too_long");
    say(&pair.alice, "{'type':'private_message','to':'%s','message':'%s'}", pair.bob.id, fits);
    expect(&pair.bob, "{'type':'private_message','clientId':'%s','from':'alice','message':'%s'}",
           pair.alice.id, fits);
    free(fits);
    free(fits_not);
    end_pair(&pair);
}

Test(chat, a_client_above_its_rate_waits_and_loses_nothing)
{
    struct rig_child server;
    uint64_t started;

    if (!start(&server, ARGS("--tcp-port", "0"))) {
        return;
    }
    struct guest guest = arrive(rig_program_port(&server));
    started = rig_now_ms();
    for (int i = 0; i < 50; i++) {
        say(&guest, "{'type':'ping'}");
    }
    for (int i = 0; i < 50; i++) {
        expect(&guest, "{'type':'pong'}");
    }
    /* 40 at once, ten more at 20 a second; less a little for the clock's grain. */
    cr_expect_geq(rig_now_ms() - started, 350);
    rig_peer_close(&guest.peer);
    rig_program_end(&server);
}

/* ---- many ---- */

struct crowd {
    struct rig_child server;
    struct guest guests[GUESTS];
};

static void skip(struct guest *guest, int count)
{
    for (int i = 0; i < count; i++) {
        cJSON_Delete(hear(guest));
    }
}

/* All of them in one room; what they hear of each other's joining is read. */
static bool start_crowd(struct crowd *crowd, const char *const *arguments)
{
    char nickname[16];

    if (!start(&crowd->server, arguments)) {
        return false;
    }
    uint16_t port = rig_program_port(&crowd->server);
    for (int i = 0; i < GUESTS; i++) {
        snprintf(nickname, sizeof nickname, "g%d", i);
        crowd->guests[i] = arrive_as(port, nickname);
        say(&crowd->guests[i], "{'type':'join_room','room':'all'}");
        if (i < GUESTS - 1) {
            skip(&crowd->guests[i], 1);
        }
        for (int before = 0; before < i; before++) {
            skip(&crowd->guests[before], 1);
        }
    }
    return true;
}

static void end_crowd(struct crowd *crowd)
{
    for (int i = 0; i < GUESTS; i++) {
        rig_peer_close(&crowd->guests[i].peer);
    }
    rig_program_end(&crowd->server);
}

Test(chat, what_each_of_twenty_clients_says_reaches_all_others_in_its_order)
{
    enum { EACH = 50 };
    struct crowd crowd;

    if (!start_crowd(&crowd,
                     ARGS("--tcp-port", "0", "--workers", "2", "--messages-per-second", "off"))) {
        return;
    }
    skip(&crowd.guests[GUESTS - 1], 1);
    for (int n = 0; n < EACH; n++) {
        for (int i = 0; i < GUESTS; i++) {
            say(&crowd.guests[i], "{'type':'chat_message','message':'%d'}", n);
        }
    }
    for (int i = 0; i < GUESTS; i++) {
        int next[GUESTS] = {0};
        for (int count = 0; count < (GUESTS - 1) * EACH; count++) {
            struct cJSON *message = hear(&crowd.guests[i]);
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
        expect_nothing(&crowd.guests[i]);
    }
    end_crowd(&crowd);
}

Test(chat, a_list_over_the_limit_on_frames_leaves_some_out_and_says_how_many)
{
    struct crowd crowd;

    if (!start_crowd(&crowd, ARGS("--tcp-port", "0", "--max-frame-size", "700"))) {
        return;
    }
    struct guest *last = &crowd.guests[GUESTS - 1];
    struct cJSON *message = hear(last);
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
    expect_nothing(last);
    end_crowd(&crowd);
}

Test(chat, a_member_that_reads_nothing_loses_its_connection_and_the_others_lose_nothing)
{
    enum { MESSAGES = 400 };
    struct pair pair;
    char *text = text_of(60000);
    struct cJSON *message;

    if (!start_pair(&pair)) {
        free(text);
        return;
    }
    struct guest deaf = arrive_as(pair.port, "deaf");
    say(&deaf, "{'type':'join_room','room':'tea'}");
    skip(&deaf, 1);
    skip(&pair.alice, 1);
    skip(&pair.bob, 1);
    for (int i = 0; i < MESSAGES; i++) {
        say(&pair.alice, "{'type':'chat_message','message':'%s'}", text);
        do {
            message = hear(&pair.bob);
            bool left = strcmp(cJSON_GetObjectItem(message, "type")->valuestring, "user_left") == 0;
            cJSON_Delete(message);
            if (!left) {
                break;
            }
        } while (true);
    }
    expect_left(&pair.alice, deaf.id, "deaf");
    expect_nothing(&pair.alice);
    rig_peer_close(&deaf.peer);
    free(text);
    end_pair(&pair);
}

Test(chat, clients_on_a_unix_socket_have_ids_of_their_own)
{
    struct rig_child server;
    char path[64];
    char text[1000];
    char ids[2][64];
    struct guest guests[2];

    snprintf(path, sizeof path, "/tmp/causeway-chat-%ld", (long)getpid());
    if (!start(&server, ARGS("--unix", path, "--workers", "2"))) {
        return;
    }
    rig_child_await_text(&server, "listening on unix:/tmp/causeway-chat-");
    for (int i = 0; i < 2; i++) {
        guests[i].peer = rig_peer_unix(path);
        say(&guests[i], "{'type':'login','nickname':'u'}");
        struct cJSON *message = hear(&guests[i]);
        snprintf(ids[i], sizeof ids[i], "%s",
                 cJSON_GetStringValue(cJSON_GetObjectItem(message, "clientId")));
        cJSON_Delete(message);
    }
    cr_expect_str_neq(ids[0], ids[1]);
    say(&guests[0], "{'type':'private_message','to':'%s','message':'psst'}", ids[1]);
    snprintf(text, sizeof text,
             "{'type':'private_message','clientId':'%s','from':'u','message':'psst'}", ids[0]);
    expect(&guests[1], "%s", text);
    rig_peer_close(&guests[0].peer);
    rig_peer_close(&guests[1].peer);
    rig_program_end(&server);
}

Test(chat, a_signal_ends_it_with_status_0_while_clients_are_in_rooms)
{
    struct pair pair;

    if (!start_pair(&pair)) {
        return;
    }
    rig_program_end(&pair.server);
    rig_peer_expect_end(&pair.alice.peer);
    rig_peer_expect_end(&pair.bob.peer);
    rig_peer_close(&pair.alice.peer);
    rig_peer_close(&pair.bob.peer);
}

Test(chat, its_command_line_names_the_port_tcp_port)
{
    struct rig_child child;

    if (!start(&child, ARGS("--help"))) {
        return;
    }
    rig_program_expect_status(&child, 0);
    cr_expect_not_null(strstr(child.text, "--tcp-port N "), "%s", child.text);
    cr_expect_not_null(strstr(child.text, "(default: 7340)"), "%s", child.text);
    cr_expect_null(strstr(child.text, "--port"), "%s", child.text);
    if (!start(&child, ARGS("--connect", "127.0.0.1:1", "--nickname", "a\tb"))) {
        return;
    }
    rig_program_expect_status(&child, 1);
    cr_expect_str_eq(child.text, "chat: --nickname a\tb: it holds a control character\n");
}

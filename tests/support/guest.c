#include "support/guest.h"

#include "support/wait.h"
#include "support/ws_raw.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MORE_MAX = 12 };

/* ---- the server ---- */

bool guest_house_open(struct guest_house *house, const char *const *more)
{
    const char *arguments[MORE_MAX + 9] = {"--port", "0", "--tcp-port", "0", "--workers", "2"};
    size_t count = 6;

    if (more == NULL) {
        arguments[count++] = "--messages-per-second";
        arguments[count++] = "off";
    }
    for (; more != NULL && *more != NULL; more++) {
        rig_check(count < MORE_MAX + 8);
        arguments[count++] = *more;
    }
    if (!rig_program_start(&house->server, "chat", arguments)) {
        cr_skip_test("the examples were left out of this build");
        return false;
    }
    house->web_port = rig_program_port_of(&house->server, "http");
    house->port = rig_program_port(&house->server);
    return true;
}

void guest_house_close(struct guest_house *house)
{
    rig_program_end(&house->server);
}

/* ---- frames ---- */

static void put_frame(const struct guest *guest, struct rig_bytes *bytes, const char *text)
{
    uint32_t len = (uint32_t)strlen(text);
    const uint8_t head[4] = {(uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
                             (uint8_t)len};

    if (guest->web) {
        ws_bare_text(bytes, text);
    } else {
        rig_append(bytes, head, sizeof head);
        rig_append(bytes, text, len);
    }
}

/* One message: nothing else comes from this server unless it closes. */
static size_t receive_web(struct guest *guest, char *text, size_t cap)
{
    uint8_t first;
    size_t len = ws_raw_read(&guest->peer, &first, text, cap);

    if (first != (WS_RAW_FIN | WS_RAW_TEXT) &&
        !(guest->binary && first == (WS_RAW_FIN | WS_RAW_BINARY))) {
        rig_fail(__FILE__, __LINE__, "a frame %02x came", first);
    }
    return len;
}

/* ---- saying and hearing ---- */

static char *json_text(const char *format, va_list args)
{
    char *text;

    rig_check(vasprintf(&text, format, args) >= 0);
    for (char *at = text; *at != '\0'; at++) {
        *at = *at == '\'' ? '"' : *at;
    }
    return text;
}

void guest_say(struct guest *guest, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    char *text = json_text(format, args);
    va_end(args);
    struct rig_bytes bytes = {NULL, 0, 0};
    put_frame(guest, &bytes, text);
    rig_peer_send(&guest->peer, bytes.data, bytes.len);
    rig_release(&bytes);
    free(text);
}

void guest_hear_text(struct guest *guest, char *text, size_t cap)
{
    size_t len = guest->web ? receive_web(guest, text, cap - 1)
                            : rig_peer_receive_frame(&guest->peer, text, cap - 1);

    text[len] = '\0';
}

struct cJSON *guest_hear(struct guest *guest)
{
    static char text[GUEST_FRAME_MAX + 1];
    struct cJSON *message;

    guest_hear_text(guest, text, sizeof text);
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

void guest_expect(struct guest *guest, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    char *text = json_text(format, args);
    va_end(args);
    struct cJSON *expected = cJSON_Parse(text);
    struct cJSON *message = guest_hear(guest);
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

void guest_expect_json(struct guest *guest, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    char *text = json_text(format, args);
    va_end(args);
    struct cJSON *expected = cJSON_Parse(text);
    struct cJSON *message = guest_hear(guest);
    rig_check(expected != NULL);
    if (!cJSON_Compare(message, expected, true)) {
        rig_fail(__FILE__, __LINE__, "heard %s\ninstead of %s", cJSON_PrintUnformatted(message),
                 text);
    }
    cJSON_Delete(message);
    cJSON_Delete(expected);
    free(text);
}

void guest_expect_error(struct guest *guest, const char *code)
{
    struct cJSON *message = guest_hear(guest);
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

void guest_expect_nothing(struct guest *guest)
{
    guest_say(guest, "{'type':'ping'}");
    guest_expect(guest, "{'type':'pong'}");
}

/* ---- coming in ---- */

struct guest guest_arrive(uint16_t port)
{
    struct guest guest = {.peer = rig_peer_tcp(port)};

    snprintf(guest.id, sizeof guest.id, "127.0.0.1:%u", rig_peer_port(&guest.peer));
    return guest;
}

struct guest guest_arrive_web(uint16_t port)
{
    struct guest guest = guest_arrive(port);

    guest.web = true;
    ws_raw_upgrade(&guest.peer, "/chat");
    return guest;
}

void guest_log_in(struct guest *guest, const char *nickname)
{
    guest_say(guest, "{'type':'login','nickname':'%s'}", nickname);
    guest_expect(guest, "{'type':'login_success','clientId':'%s','message':'Welcome, %s!'}",
                 guest->id, nickname);
}

struct guest guest_arrive_as(uint16_t port, const char *nickname)
{
    struct guest guest = guest_arrive(port);

    guest_log_in(&guest, nickname);
    return guest;
}

void guest_leave(struct guest *guest)
{
    rig_peer_close(&guest->peer);
}

void guest_open_room(struct guest *guest, const char *nickname, const char *room)
{
    guest_say(guest, "{'type':'join_room','room':'%s'}", room);
    guest_expect(guest,
                 "{'type':'room_joined','room':'%s','users':['%s'],"
                 "'members':[{'clientId':'%s','nickname':'%s'}]}",
                 room, nickname, guest->id, nickname);
}

void guest_follow(struct guest *bob, struct guest *alice, const char *room)
{
    guest_say(bob, "{'type':'join_room','room':'%s'}", room);
    guest_expect(
        bob,
        "{'type':'room_joined','room':'%s','users':['alice','bob'],"
        "'members':[{'clientId':'%s','nickname':'alice'},{'clientId':'%s','nickname':'bob'}]}",
        room, alice->id, bob->id);
    guest_expect(
        alice,
        "{'type':'user_joined','clientId':'%s','nickname':'bob','message':'bob joined the room'}",
        bob->id);
}

void guest_expect_left(struct guest *guest, const char *id, const char *nickname)
{
    guest_expect(
        guest, "{'type':'user_left','clientId':'%s','nickname':'%s','message':'%s left the room'}",
        id, nickname, nickname);
}

void guest_skip(struct guest *guest, int count)
{
    for (int i = 0; i < count; i++) {
        cJSON_Delete(guest_hear(guest));
    }
}

void guest_hurry(struct guest *guest, int count, int at_once)
{
    struct rig_bytes bytes = {NULL, 0, 0};
    int told_behind = -1;
    int pongs = 0;

    for (int i = 0; i < count; i++) {
        put_frame(guest, &bytes, "{\"type\":\"ping\"}");
    }
    rig_peer_send(&guest->peer, bytes.data, bytes.len);
    rig_release(&bytes);
    while (pongs < count || told_behind < 0) {
        struct cJSON *message = guest_hear(guest);
        const char *type = cJSON_GetStringValue(cJSON_GetObjectItem(message, "type"));
        const char *code = cJSON_GetStringValue(cJSON_GetObjectItem(message, "code"));

        if (type != NULL && strcmp(type, "pong") == 0 && pongs < count) {
            pongs++;
        } else if (code != NULL && strcmp(code, "too_fast") == 0 && told_behind < 0) {
            told_behind = pongs;
        } else {
            rig_fail(__FILE__, __LINE__, "%d pongs, and %s", pongs, cJSON_PrintUnformatted(message));
        }
        cJSON_Delete(message);
    }
    if (told_behind < at_once) {
        rig_fail(__FILE__, __LINE__, "too fast behind %d pongs", told_behind);
    }
}

/* ---- two of them ---- */

bool guest_pair_start(struct guest_pair *pair)
{
    if (!guest_house_open(&pair->house, NULL)) {
        return false;
    }
    pair->alice = guest_arrive_as(pair->house.port, "alice");
    pair->bob = guest_arrive_as(pair->house.port, "bob");
    guest_open_room(&pair->alice, "alice", "tea");
    guest_follow(&pair->bob, &pair->alice, "tea");
    return true;
}

void guest_pair_end(struct guest_pair *pair)
{
    guest_leave(&pair->alice);
    guest_leave(&pair->bob);
    guest_house_close(&pair->house);
}

#include "support/guest.h"

#include "support/wait.h"

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

static void send_web(struct guest *guest, const char *text, size_t len)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    uint8_t head[14] = {0x81, 0x80 | 127};
    size_t size = 10;
    uint8_t *masked = malloc(len + 1);

    rig_check(masked != NULL);
    if (len < 126) {
        head[1] = (uint8_t)(0x80 | len);
        size = 2;
    } else if (len <= 0xffff) {
        head[1] = 0x80 | 126;
        size = 4;
    }
    for (size_t i = 2; i < size; i++) {
        head[i] = (uint8_t)(len >> 8 * (size - 1 - i));
    }
    memcpy(head + size, mask, sizeof mask);
    for (size_t i = 0; i < len; i++) {
        masked[i] = (uint8_t)text[i] ^ mask[i % 4];
    }
    rig_peer_send(&guest->peer, head, size + sizeof mask);
    rig_peer_send(&guest->peer, masked, len);
    free(masked);
}

/* One text message, whole and without a mask: nothing else comes from this server unless it closes. */
static size_t receive_web(struct guest *guest, char *text, size_t cap)
{
    uint8_t head[10];
    size_t len;
    size_t more;

    rig_peer_receive(&guest->peer, head, 2);
    if (head[0] != (guest->binary && head[0] == 0x82 ? 0x82 : 0x81) || head[1] > 127) {
        rig_fail(__FILE__, __LINE__, "not a text message: %02x %02x", head[0], head[1]);
    }
    len = head[1];
    more = len == 126 ? 2 : len == 127 ? 8 : 0;
    rig_peer_receive(&guest->peer, head, more);
    len = more > 0 ? 0 : len;
    for (size_t i = 0; i < more; i++) {
        len = len << 8 | head[i];
    }
    rig_check(len <= cap);
    rig_peer_receive(&guest->peer, text, len);
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
    if (guest->web) {
        send_web(guest, text, strlen(text));
    } else {
        rig_peer_send_frame(&guest->peer, text, strlen(text));
    }
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

/* Behind the answer to the handshake nothing comes by itself. */
struct guest guest_arrive_web(uint16_t port)
{
    struct guest guest = guest_arrive(port);
    char head[2048];
    size_t len = 0;

    guest.web = true;
    rig_peer_send_text(
        &guest.peer,
        "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n");
    do {
        rig_check(len < sizeof head - 1);
        rig_peer_receive(&guest.peer, head + len, 1);
        head[++len] = '\0';
    } while (len < 4 || strcmp(head + len - 4, "\r\n\r\n") != 0);
    if (strncmp(head, "HTTP/1.1 101 ", 13) != 0 ||
        strcasestr(head, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") == NULL) {
        rig_fail(__FILE__, __LINE__, "no upgrade: %s", head);
    }
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

#ifndef CAUSEWAY_TESTS_GUEST_H
#define CAUSEWAY_TESTS_GUEST_H

/* Clients of the chat server: over framed TCP and over WebSocket, which have to hear and to say the same. What is not as
 * expected ends the test, as in peer.h. In JSON that is written here ' stands for ". */

#include "support/peer.h"
#include "support/program.h"

enum { GUEST_FRAME_MAX = 65536 };

struct cJSON;

struct guest {
    struct rig_peer peer;
    char id[32]; /* its clientId */
    bool web;    /* over WebSocket */
    bool binary; /* … where a message may be binary too: what framed TCP says is that, unless its options say text */
};

/* ---- the server ---- */

/* Where a server listens. */
struct guest_house {
    struct rig_child server;
    uint16_t port;     /* framed TCP */
    uint16_t web_port; /* the page and its WebSocket */
};

/* Starts it with ports of its own choice and two workers. A limit on messages is only with `more`, ended with NULL.
 *
 * returns  false: the examples were left out of this build, and the test has been skipped */
bool guest_house_open(struct guest_house *house, const char *const *more);

/* It ends in good order at a signal. */
void guest_house_close(struct guest_house *house);

/* ---- coming in ---- */

struct guest guest_arrive(uint16_t port);
struct guest guest_arrive_web(uint16_t port);

/* Logs in and is welcomed. */
void guest_log_in(struct guest *guest, const char *nickname);
struct guest guest_arrive_as(uint16_t port, const char *nickname);

/* Joins as the only one. */
void guest_open_room(struct guest *guest, const char *nickname, const char *room);

void guest_leave(struct guest *guest);

/* ---- saying and hearing ---- */

void guest_say(struct guest *guest, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The next message, for cJSON_Delete. */
struct cJSON *guest_hear(struct guest *guest);

/* The next message as it is, of less than cap bytes. */
void guest_hear_text(struct guest *guest, char *text, size_t cap);

/* The next message is exactly this one, its time aside, which it has when it should. */
void guest_expect(struct guest *guest, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same for any JSON, to the letter. */
void guest_expect_json(struct guest *guest, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* An error of this code comes, and says something. */
void guest_expect_error(struct guest *guest, const char *code);

/* Somebody has left the room. */
void guest_expect_left(struct guest *guest, const char *id, const char *nickname);

/* Nothing was sent to this client that it has not read: a pong is the next it hears. */
void guest_expect_nothing(struct guest *guest);

/* Hears so many messages, whatever they are. */
void guest_skip(struct guest *guest, int count);

/* Sends so many pings in one go, and hears a pong for each. It is told once that this is too fast, behind at least so many of
 * them: a busy server may allow a few more meanwhile. */
void guest_hurry(struct guest *guest, int count, int at_once);

/* ---- two of them ---- */

/* Alice has opened the room tea, and Bob has joined it; each has heard so. */
struct guest_pair {
    struct guest_house house;
    struct guest alice;
    struct guest bob;
};

/* returns  as guest_house_open */
bool guest_pair_start(struct guest_pair *pair);
void guest_pair_end(struct guest_pair *pair);

/* Bob joins the room that Alice has opened. */
void guest_follow(struct guest *bob, struct guest *alice, const char *room);

#endif

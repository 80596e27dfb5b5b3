/* What positions are made of on the wire: datagrams, each of which can be understood alone, numbers in network order.
 *
 * ```text
 * hello     'H', 31 bytes of nothing      whoever comes; it is longer than its answer
 * token     'T', token                    the answer: send it back
 * join      'J', token, name              the token has come back: the sender is where it says
 * welcome   'W', number                   you are this player
 * full      'F'                           there is no place
 * update    'U', sequence, x, y           where a player is, sixty times a second
 * snapshot  'S', sequence, count, count × (number, lost, sequence, x, y, age, name)
 * ``` */
#ifndef EXAMPLES_POSITIONS_WIRE_H
#define EXAMPLES_POSITIONS_WIRE_H

#include <stdbool.h>

#include <causeway/datagram.h>

enum {
    WIRE_NAME_BYTES = 8, /* zero bytes behind a shorter one */
    WIRE_PLAYERS_MAX = 60,
    WIRE_HELLO_BYTES = 32,
    WIRE_JOIN_BYTES = 1 + CW_TOKEN_BYTES + WIRE_NAME_BYTES,
    WIRE_UPDATE_BYTES = 7,
    WIRE_HEAD_BYTES = 6,    /* of a snapshot */
    WIRE_PLAYER_BYTES = 18, /* in a snapshot; sixty of them are under what every path takes */
    WIRE_DATAGRAM_MAX_BYTES = WIRE_HEAD_BYTES + WIRE_PLAYERS_MAX * WIRE_PLAYER_BYTES,
    WORLD_WIDTH = 640,
    WORLD_HEIGHT = 200,
};

/* Where somebody is, and how well it is known. */
struct wire_player {
    uint8_t number;
    uint8_t lost;      /* of its last 64 updates */
    uint16_t sequence; /* of the newest */
    uint16_t x;        /* below WORLD_WIDTH */
    uint16_t y;        /* below WORLD_HEIGHT */
    uint16_t age_ms;   /* since the newest came, when the snapshot left */
    char name[WIRE_NAME_BYTES];
};

/* How far a sequence number is ahead of another; numbers come round, so a late one is behind and not far ahead. */
static inline int wire_ahead(uint16_t sequence, uint16_t than)
{
    return (int16_t)(uint16_t)(sequence - than);
}

/* An update. Only sequence and place of the player count. */
void wire_write_update(uint8_t bytes[WIRE_UPDATE_BYTES], const struct wire_player *player);

/* False: it is none, or the place is not of this world. */
bool wire_read_update(struct cw_span bytes, struct wire_player *player);

/* A snapshot begins with its head; players follow. */
void wire_write_head(uint8_t bytes[WIRE_HEAD_BYTES], uint32_t sequence, size_t count);
void wire_write_player(uint8_t bytes[WIRE_PLAYER_BYTES], const struct wire_player *player);

/* False: it is none. *sequence: the snapshot's; players: of WIRE_PLAYERS_MAX, and *count are there. */
bool wire_read_snapshot(struct cw_span bytes, uint32_t *sequence, struct wire_player *players,
                        size_t *count);

#endif

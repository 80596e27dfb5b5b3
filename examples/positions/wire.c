#include "wire.h"

static void store_be16(uint8_t *at, uint16_t number)
{
    at[0] = (uint8_t)(number >> 8);
    at[1] = (uint8_t)number;
}

static uint16_t load_be16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

void wire_write_update(uint8_t bytes[WIRE_UPDATE_BYTES], const struct wire_player *player)
{
    bytes[0] = 'U';
    store_be16(bytes + 1, player->sequence);
    store_be16(bytes + 3, player->x);
    store_be16(bytes + 5, player->y);
}

bool wire_read_update(struct cw_span bytes, struct wire_player *player)
{
    if (bytes.len != WIRE_UPDATE_BYTES || bytes.data[0] != 'U') {
        return false;
    }
    player->sequence = load_be16(bytes.data + 1);
    player->x = load_be16(bytes.data + 3);
    player->y = load_be16(bytes.data + 5);
    return player->x < WORLD_WIDTH && player->y < WORLD_HEIGHT;
}

void wire_write_head(uint8_t bytes[WIRE_HEAD_BYTES], uint32_t sequence, size_t count)
{
    bytes[0] = 'S';
    store_be16(bytes + 1, (uint16_t)(sequence >> 16));
    store_be16(bytes + 3, (uint16_t)sequence);
    bytes[5] = (uint8_t)count;
}

void wire_write_player(uint8_t bytes[WIRE_PLAYER_BYTES], const struct wire_player *player)
{
    bytes[0] = player->number;
    bytes[1] = player->lost;
    store_be16(bytes + 2, player->sequence);
    store_be16(bytes + 4, player->x);
    store_be16(bytes + 6, player->y);
    store_be16(bytes + 8, player->age_ms);
    memcpy(bytes + 10, player->name, WIRE_NAME_BYTES);
}

static void read_player(const uint8_t *bytes, struct wire_player *player)
{
    player->number = bytes[0];
    player->lost = bytes[1];
    player->sequence = load_be16(bytes + 2);
    player->x = load_be16(bytes + 4);
    player->y = load_be16(bytes + 6);
    player->age_ms = load_be16(bytes + 8);
    memcpy(player->name, bytes + 10, WIRE_NAME_BYTES);
}

bool wire_read_snapshot(struct cw_span bytes, uint32_t *sequence, struct wire_player *players,
                        size_t *count)
{
    if (bytes.len < WIRE_HEAD_BYTES || bytes.data[0] != 'S' || bytes.data[5] > WIRE_PLAYERS_MAX ||
        bytes.len != WIRE_HEAD_BYTES + (size_t)bytes.data[5] * WIRE_PLAYER_BYTES) {
        return false;
    }
    *sequence = (uint32_t)load_be16(bytes.data + 1) << 16 | load_be16(bytes.data + 3);
    *count = bytes.data[5];
    for (size_t i = 0; i < *count; i++) {
        read_player(bytes.data + WIRE_HEAD_BYTES + i * WIRE_PLAYER_BYTES, &players[i]);
    }
    return true;
}

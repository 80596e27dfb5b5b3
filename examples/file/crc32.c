#include "crc32.h"

#define POLYNOMIAL 0xedb88320u

void crc32_init(struct crc32_tables *tables)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;

        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        }
        tables->table[0][byte] = crc;
    }
    for (int slice = 1; slice < CRC32_SLICES; slice++) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t crc = tables->table[slice - 1][byte];

            tables->table[slice][byte] = crc >> 8 ^ tables->table[0][crc & 0xff];
        }
    }
}

/* The first four bytes meet the checksum so far. */
static uint32_t add_eight(const struct crc32_tables *tables, uint32_t crc, const uint8_t *at)
{
    uint32_t mixed = 0;

    for (unsigned i = 0; i < 8; i++) {
        uint8_t byte = (uint8_t)(at[i] ^ (i < 4 ? crc >> (8 * i) : 0));

        mixed ^= tables->table[7 - i][byte];
    }
    return mixed;
}

uint32_t crc32_add(const struct crc32_tables *tables, uint32_t crc, struct cw_span bytes)
{
    const uint8_t *at = bytes.data;
    size_t left = bytes.len;

    crc = ~crc;
    for (; left >= 8; left -= 8, at += 8) {
        crc = add_eight(tables, crc, at);
    }
    for (; left > 0; left--, at++) {
        crc = crc >> 8 ^ tables->table[0][(crc ^ *at) & 0xff];
    }
    return ~crc;
}

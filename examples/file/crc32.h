/* The CRC-32 of Ethernet, zip and PNG: ISO/IEC 13239, reflected polynomial 0xedb88320, all bits inverted at
 * the beginning and at the end. It finds accidents, not forgeries. */
#ifndef EXAMPLES_FILE_CRC32_H
#define EXAMPLES_FILE_CRC32_H

#include <causeway/types.h>

enum { CRC32_SLICES = 8 };

/* table[0] is one byte's step; table[n] the same with n zero bytes behind it, so that eight bytes are taken
 * in one step. */
struct crc32_tables {
    uint32_t table[CRC32_SLICES][256];
};

void crc32_init(struct crc32_tables *tables);

/* The checksum of what `crc` stands for and these bytes behind it; 0 stands for nothing. */
uint32_t crc32_add(const struct crc32_tables *tables, uint32_t crc, struct cw_span bytes);

#endif

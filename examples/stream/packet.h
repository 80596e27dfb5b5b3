/* A packet: one frame that begins with a header of 8 bytes, numbers in network order.
 *
 * ```text
 * 0        2                          6          8
 * | type   | timestamp, milliseconds  | sequence | payload …
 * ```
 *
 * Its acknowledgement is a frame of 4 bytes: the sequence, and 0x0001. */
#ifndef EXAMPLES_STREAM_PACKET_H
#define EXAMPLES_STREAM_PACKET_H

#include <stdbool.h>

#include <causeway/types.h>

enum packet_type {
    PACKET_AUDIO = 1,
    PACKET_VIDEO = 2,
};

enum {
    PACKET_HEADER_BYTES = 8,
    PACKET_ACK_BYTES = 4,
};

struct packet {
    uint16_t type; /* an enum packet_type, or whatever the peer put there */
    uint16_t sequence;
    uint32_t timestamp;
    struct cw_span payload; /* borrowed */
};

/* Writes a header. */
void packet_write_header(uint8_t header[PACKET_HEADER_BYTES], const struct packet *packet);

/* Reads a packet. False: it is shorter than its header. */
bool packet_read(struct cw_span bytes, struct packet *packet);

/* Writes an acknowledgement. */
void packet_write_ack(uint8_t ack[PACKET_ACK_BYTES], uint16_t sequence);

/* Reads an acknowledgement. False: it is none. */
bool packet_read_ack(struct cw_span bytes, uint16_t *sequence);

#endif

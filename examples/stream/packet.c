#include "packet.h"

enum { ACK_MARK = 1 };

static void store_be16(uint8_t *at, uint16_t number)
{
    at[0] = (uint8_t)(number >> 8);
    at[1] = (uint8_t)number;
}

static uint16_t load_be16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

void packet_write_header(uint8_t header[PACKET_HEADER_BYTES], const struct packet *packet)
{
    store_be16(header, packet->type);
    store_be16(header + 2, (uint16_t)(packet->timestamp >> 16));
    store_be16(header + 4, (uint16_t)packet->timestamp);
    store_be16(header + 6, packet->sequence);
}

bool packet_read(struct cw_span bytes, struct packet *packet)
{
    if (bytes.len < PACKET_HEADER_BYTES) {
        return false;
    }
    packet->type = load_be16(bytes.data);
    packet->timestamp = (uint32_t)load_be16(bytes.data + 2) << 16 | load_be16(bytes.data + 4);
    packet->sequence = load_be16(bytes.data + 6);
    packet->payload = cw_span_of(bytes.data + PACKET_HEADER_BYTES, bytes.len - PACKET_HEADER_BYTES);
    return true;
}

void packet_write_ack(uint8_t ack[PACKET_ACK_BYTES], uint16_t sequence)
{
    store_be16(ack, sequence);
    store_be16(ack + 2, ACK_MARK);
}

bool packet_read_ack(struct cw_span bytes, uint16_t *sequence)
{
    if (bytes.len != PACKET_ACK_BYTES || load_be16(bytes.data + 2) != ACK_MARK) {
        return false;
    }
    *sequence = load_be16(bytes.data);
    return true;
}

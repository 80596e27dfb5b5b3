/* numbered: four bytes of a number before each message; what is older than the newest so far is dropped. */
#include <causeway/protocol.h>

enum { HEAD = 4 };

/* Zeros when the peer is new. */
struct numbered {
    uint32_t sent;
    uint32_t heard;
};

/* Also across the end of the numbers (RFC 1982). */
static bool is_newer(uint32_t number, uint32_t other)
{
    return number != other && number - other < UINT32_C(1) << 31;
}

static ptrdiff_t read_numbered(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    struct numbered *numbers = state;

    if (len >= HEAD) {
        const uint32_t number = (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 |
                                (uint32_t)data[2] << 8 | (uint32_t)data[3];
        const struct cw_message msg = cw_message_of(data + HEAD, len - HEAD);

        if (is_newer(number, numbers->heard)) {
            numbers->heard = number;
            cw_conn_deliver(conn, &msg);
        }
    }
    return (ptrdiff_t)len;
}

static int send_numbered(struct cw_conn *conn, void *state, const struct cw_message *msg)
{
    struct numbered *numbers = state;
    const uint32_t number = numbers->sent + 1;
    const uint8_t head[HEAD] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16),
                                (uint8_t)(number >> 8), (uint8_t)number};
    const struct cw_span parts[] = {{head, sizeof head}, msg->body};
    int result = msg->part == CW_WHOLE ? cw_conn_write(conn, parts, 2) : CW_EKIND;

    if (result >= 0) {
        numbers->sent = number;
    }
    return result;
}

const struct cw_protocol numbered = {
    .name = "numbered",
    .transport = CW_DATAGRAM,
    .state_size = sizeof(struct numbered),
    .on_bytes = read_numbered,
    .send = send_numbered,
};

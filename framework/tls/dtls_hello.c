/* Records of DTLS in the clear, and the hello. Everything here is a peer's. */
#include "dtls_hello.h"

#include "hello_bytes.h"

enum {
    RECORD_HEAD = 13, /* type, version, epoch, number, length */
    RECORD_MAX = 16384 + 2048,
    NUMBER_AT = 5,
    NUMBER_BYTES = 6,
    MESSAGE_HEAD = 12, /* type, length, number, offset and length of the fragment */
    MESSAGE_NUMBER_AT = RECORD_HEAD + 4,
    CLIENT_HELLO = 1,
    VERIFY_REQUEST = 3,
    SERVER_KEY_EXCHANGE = 12,
    NAMED_CURVE = 3,
    VERSION_BYTES = 2,
    SESSION_ID_MAX = 32,
};

static size_t be24(const uint8_t *at)
{
    return (size_t)at[0] << 16 | cw_be16(at + 1);
}

/* ---- records ---- */

static bool cut_record(struct cw_span datagram, size_t cid_len, struct cw_dtls_record *record)
{
    bool has_cid = datagram.len > 0 && datagram.data[0] == CW_DTLS_CID && cid_len > 0;
    size_t head = RECORD_HEAD + (has_cid ? cid_len : 0);
    size_t len;

    if (datagram.len < head || datagram.data[1] != 0xfe) {
        return false;
    }
    len = cw_be16(datagram.data + head - 2);
    if (len > RECORD_MAX || len > datagram.len - head) {
        return false;
    }
    record->type = datagram.data[0];
    record->epoch = (uint16_t)cw_be16(datagram.data + 3);
    record->cid = has_cid ? datagram.data + head - 2 - cid_len : NULL;
    record->bytes = cw_span_of(datagram.data, head + len);
    record->body = cw_span_of(datagram.data + head, len);
    return true;
}

bool cw_dtls_next_record(struct cw_span *datagram, size_t cid_len, struct cw_dtls_record *record)
{
    if (!cut_record(*datagram, cid_len, record)) {
        *datagram = cw_span_of(NULL, 0);
        return false;
    }
    *datagram = cw_span_behind(*datagram, record->bytes.len);
    return true;
}

/* ---- messages of a handshake ---- */

/* A message that is whole in its record. What follows it is left out of *body. */
static bool read_message(struct cw_span record, struct cw_span *body)
{
    size_t len;

    if (record.len < MESSAGE_HEAD) {
        return false;
    }
    len = be24(record.data + 1);
    if (be24(record.data + 6) != 0 || be24(record.data + 9) != len ||
        len > record.len - MESSAGE_HEAD) {
        return false;
    }
    *body = cw_span_of(record.data + MESSAGE_HEAD, len);
    return true;
}

/* Behind version and random: session id, then the cookie (RFC 6347 §4.2.1). */
static bool read_cookie(struct cw_span body, struct cw_span *cookie)
{
    size_t at = VERSION_BYTES + CW_DTLS_RANDOM_BYTES;

    if (body.len <= at || body.data[at] > SESSION_ID_MAX) {
        return false;
    }
    at += 1 + (size_t)body.data[at];
    if (body.len <= at || body.len - at - 1 < body.data[at]) {
        return false;
    }
    *cookie = cw_span_of(body.data + at + 1, body.data[at]);
    return true;
}

bool cw_dtls_read_hello(struct cw_span datagram, struct cw_dtls_hello *hello)
{
    struct cw_dtls_record record;
    struct cw_span body;

    if (!cut_record(datagram, 0, &record) || record.type != CW_DTLS_HANDSHAKE || record.epoch != 0 ||
        !read_message(record.body, &body) || record.body.data[0] != CLIENT_HELLO ||
        body.len != record.body.len - MESSAGE_HEAD || !read_cookie(body, &hello->cookie)) {
        return false;
    }
    hello->head = datagram.data;
    hello->random = body.data + VERSION_BYTES;
    return true;
}

void cw_dtls_write_verify(const struct cw_dtls_hello *hello,
                          const uint8_t cookie[CW_DTLS_COOKIE_BYTES],
                          uint8_t out[CW_DTLS_VERIFY_BYTES])
{
    enum { BODY = VERSION_BYTES + 1 + CW_DTLS_COOKIE_BYTES };
    uint8_t *message = out + RECORD_HEAD;
    uint8_t *body = message + MESSAGE_HEAD;

    memset(out, 0, CW_DTLS_VERIFY_BYTES);
    out[0] = CW_DTLS_HANDSHAKE;
    /* DTLS 1.0, whatever will be spoken; and the numbers are the hello's, as nothing is counted here (RFC 6347 §4.2.1). */
    out[1] = body[0] = 0xfe;
    out[2] = body[1] = 0xff;
    memcpy(out + NUMBER_AT, hello->head + NUMBER_AT, NUMBER_BYTES);
    out[RECORD_HEAD - 1] = MESSAGE_HEAD + BODY;
    message[0] = VERIFY_REQUEST;
    message[3] = message[MESSAGE_HEAD - 1] = BODY;
    memcpy(message + 4, hello->head + MESSAGE_NUMBER_AT, 2);
    body[2] = CW_DTLS_COOKIE_BYTES;
    memcpy(body + 3, cookie, CW_DTLS_COOKIE_BYTES);
}

/* ---- the group ---- */

static uint16_t group_in(struct cw_span record)
{
    while (record.len >= MESSAGE_HEAD + 4) {
        size_t fragment = be24(record.data + 9);
        const uint8_t *body = record.data + MESSAGE_HEAD;

        /* Its first fragment says it. */
        if (record.data[0] == SERVER_KEY_EXCHANGE && be24(record.data + 6) == 0 && fragment >= 4 &&
            body[0] == NAMED_CURVE) {
            return (uint16_t)cw_be16(body + 1);
        }
        if (fragment > record.len - MESSAGE_HEAD) {
            break;
        }
        record = cw_span_behind(record, MESSAGE_HEAD + fragment);
    }
    return 0;
}

uint16_t cw_dtls_find_group(struct cw_span datagram)
{
    struct cw_dtls_record record;
    uint16_t group = 0;

    while (group == 0 && cw_dtls_next_record(&datagram, 0, &record)) {
        if (record.type == CW_DTLS_HANDSHAKE && record.epoch == 0) {
            group = group_in(record.body);
        }
    }
    return group;
}

/* The first bytes of a connection, and what of a handshake can be read in the clear. Everything here is a peer's. */
#include "tls_hello.h"

#include "hello_bytes.h"

enum {
    RECORD_HEAD = 5,
    RECORD_MAX = 16384 + 2048,
    RECORD_CCS = 20,
    RECORD_ALERT = 21,
    RECORD_HANDSHAKE = 22,
    MESSAGE_HEAD = 4,
    CLIENT_HELLO = 1,
    SERVER_HELLO = 2,
    SERVER_KEY_EXCHANGE = 12,
    NAMED_CURVE = 3,
    EXTENSION_KEY_SHARE = 51,
    RANDOM_BYTES = 32,
};

/* ---- the first bytes ---- */

/* -1: they differ; 0: the same as far as they go; 1: all of the word is there. */
static int begins_with(struct cw_span bytes, const char *word)
{
    size_t len = strlen(word);
    size_t n = bytes.len < len ? bytes.len : len;

    if (memcmp(bytes.data, word, n) != 0) {
        return -1;
    }
    return bytes.len >= len;
}

static enum cw_tls_first judge_text(struct cw_span bytes)
{
    static const char *const words[] = {"GET ",     "HEAD ",  "POST ",  "PUT ",
                                        "DELETE ",  "PATCH ", "TRACE ", "OPTIONS ",
                                        "CONNECT ", "PRI * ", "HTTP/1."};
    enum cw_tls_first found = CW_FIRST_OTHER;

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        int same = begins_with(bytes, words[i]);

        if (same > 0) {
            return CW_FIRST_HTTP;
        }
        if (same == 0) {
            found = CW_FIRST_MORE;
        }
    }
    return found;
}

enum cw_tls_first cw_tls_judge_first(struct cw_span bytes)
{
    if (bytes.len == 0) {
        return CW_FIRST_MORE;
    }
    if (bytes.data[0] == RECORD_HANDSHAKE || bytes.data[0] == RECORD_ALERT) {
        return bytes.len < 2 ? CW_FIRST_MORE : bytes.data[1] == 3 ? CW_FIRST_TLS : CW_FIRST_OTHER;
    }
    if (bytes.data[0] & 0x80) {
        return bytes.len < 3 ? CW_FIRST_MORE : bytes.data[2] == 1 ? CW_FIRST_SSL2 : CW_FIRST_OTHER;
    }
    return judge_text(bytes);
}

bool cw_tls_is_hello(struct cw_span bytes)
{
    return bytes.len > RECORD_HEAD && bytes.data[0] == RECORD_HANDSHAKE && bytes.data[1] == 3 &&
           bytes.data[2] <= 4 && bytes.data[RECORD_HEAD] == CLIENT_HELLO &&
           cw_be16(bytes.data + 3) <= RECORD_MAX;
}

size_t cw_tls_whole_records(struct cw_span bytes)
{
    size_t used = 0;

    while (bytes.len - used >= RECORD_HEAD) {
        size_t len = cw_be16(bytes.data + used + 3);

        if (len > RECORD_MAX) {
            return bytes.len;
        }
        if (bytes.len - used - RECORD_HEAD < len) {
            break;
        }
        used += RECORD_HEAD + len;
    }
    return used;
}

/* ---- the group ---- */

static uint16_t key_share(struct cw_span extensions)
{
    while (extensions.len >= 4) {
        size_t type = cw_be16(extensions.data);
        size_t len = cw_be16(extensions.data + 2);

        extensions = cw_span_behind(extensions, 4);
        if (len > extensions.len) {
            break;
        }
        if (type == EXTENSION_KEY_SHARE && len >= 2) {
            return (uint16_t)cw_be16(extensions.data);
        }
        extensions = cw_span_behind(extensions, len);
    }
    return 0;
}

static uint16_t from_server_hello(struct cw_span body)
{
    size_t at = 2 + RANDOM_BYTES;

    if (body.len < at + 1 || body.len < at + 1 + body.data[at] + 2 + 1 + 2) {
        return 0;
    }
    at += 1 + (size_t)body.data[at] + 2 + 1; /* session id, cipher suite, compression */
    body = cw_span_behind(body, at);
    if (cw_be16(body.data) != body.len - 2) {
        return 0;
    }
    return key_share(cw_span_behind(body, 2));
}

static uint16_t from_message(uint8_t type, struct cw_span body)
{
    if (type == SERVER_HELLO) {
        return from_server_hello(body);
    }
    if (type == SERVER_KEY_EXCHANGE && body.len > 4 && body.data[0] == NAMED_CURVE) {
        return (uint16_t)cw_be16(body.data + 1);
    }
    return 0;
}

static uint16_t from_record(struct cw_span record)
{
    while (record.len >= MESSAGE_HEAD) {
        size_t len = (size_t)record.data[1] << 16 | cw_be16(record.data + 2);
        uint16_t group;

        if (len > record.len - MESSAGE_HEAD) {
            break;
        }
        group = from_message(record.data[0], cw_span_of(record.data + MESSAGE_HEAD, len));
        if (group != 0) {
            return group;
        }
        record = cw_span_behind(record, MESSAGE_HEAD + len);
    }
    return 0;
}

uint16_t cw_tls_find_group(struct cw_span records, bool *over)
{
    while (records.len >= RECORD_HEAD) {
        uint8_t type = records.data[0];
        size_t len = cw_be16(records.data + 3);
        uint16_t group;

        records = cw_span_behind(records, RECORD_HEAD);
        if (len > records.len || type == RECORD_CCS) {
            *over = *over || type == RECORD_CCS;
            return 0;
        }
        group = type == RECORD_HANDSHAKE ? from_record(cw_span_of(records.data, len)) : 0;
        if (group != 0) {
            *over = true;
            return group;
        }
        records = cw_span_behind(records, len);
    }
    return 0;
}

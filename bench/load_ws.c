/* The load program's WebSocket: the handshake, masked frames made once, answers compared.
 *
 * A message is text: who sends it and its number, in hexadecimal digits, before a pattern. Its frame is laid out
 * and masked once; only the digits change. Answers are the same bytes in a server's frame and are compared whole.
 *
 * Compressed, each connection sends one of a few documents of JSON over and over, compressed once and without what
 * went before. An answer is inflated and compared; those behind it that are the same bytes are not inflated again. */
#include "load_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    NUMBER_LEN = 12,
    HEADER_MAX = 14,
    MASK_LEN = 4,
    DOCUMENTS = 16,
    ANSWER_HEAD_MAX = 4096,
    TEXT = 0x81,
    COMPRESSED = 0x40,
};

static const uint8_t mask_key[MASK_LEN] = {0x37, 0xfa, 0x21, 0x3d};

static const char request_text[] =
    "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n";

static const char offer_text[] =
    "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
    "client_no_context_takeover\r\n";

/* RFC 6455 §1.3: the answer to the key above. */
static const char accept_text[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

struct document {
    struct shape shape;
    uint8_t *text;
    uint8_t *answer; /* the frame that was seen last and was right */
    size_t answer_len;
};

struct ws {
    char request[1024];
    size_t request_len;
    uint8_t *expected; /* a server's frame */
    size_t expected_len;
    size_t number_at;
    struct document documents[DOCUMENTS];
    uint8_t *inflated;
    z_stream inflater;
};

static struct ws ws;

static size_t put_header(uint8_t *to, uint8_t first, size_t len, bool masked)
{
    size_t at = 2;

    to[0] = first;
    to[1] = masked ? 0x80 : 0;
    if (len < 126) {
        to[1] |= (uint8_t)len;
    } else {
        size_t length_len = len < 65536 ? 2 : 8;
        to[1] |= length_len == 2 ? 126 : 127;
        for (size_t i = length_len; i-- > 0; at++)
            to[at] = (uint8_t)((uint64_t)len >> 8 * i);
    }
    if (masked)
        memcpy(to + at, mask_key, MASK_LEN);
    return at + (masked ? MASK_LEN : 0);
}

static void mask(uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] ^= mask_key[i % MASK_LEN];
}

static void put_number(uint8_t *at, uint32_t index, uint32_t seq)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < 4; i++)
        at[i] = (uint8_t)digits[index >> 4 * (3 - i) & 15];
    for (size_t i = 0; i < 8; i++)
        at[4 + i] = (uint8_t)digits[seq >> 4 * (7 - i) & 15];
}

static void fill_text(uint8_t *text, size_t len, bool wide)
{
    static const char plain[] = "the quick brown fox jumps over the lazy dog and runs away; ";
    static const char mixed[] =
        "Grüße aus Köln, привет из Москвы, 東京からこんにちは 🙂 and so on; ";
    const char *words = wide ? mixed : plain;
    size_t words_len = strlen(words);

    for (size_t i = 0; i < len; i++)
        text[i] = (uint8_t)words[i % words_len];
    /* Nothing ends within a character. */
    for (size_t i = len; wide && i-- > 0 && text[i] >= 0x80;)
        text[i] = '.';
}

static bool prepare_plain(struct load *load)
{
    struct shape *shape = &load->shape;
    size_t size = load->options.size;
    uint8_t *payload = malloc(size + NUMBER_LEN);

    ws.expected = malloc(HEADER_MAX + size);
    shape->pattern = malloc(HEADER_MAX + size);
    if (payload == NULL || ws.expected == NULL || shape->pattern == NULL)
        return false;
    put_number(payload, 0, 0);
    fill_text(payload + NUMBER_LEN, size - NUMBER_LEN, load->options.wide);
    ws.number_at = put_header(ws.expected, TEXT, size, false);
    memcpy(ws.expected + ws.number_at, payload, size);
    ws.expected_len = ws.number_at + size;
    shape->varied_at = put_header(shape->pattern, TEXT, size, true);
    mask(payload, size);
    memcpy(shape->pattern + shape->varied_at, payload, size);
    shape->wire_len = shape->varied_at + size;
    free(payload);
    return true;
}

static uint32_t random_of(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Records of an application, as many as fit, the last cut off by its own text. */
static void fill_json(char *text, size_t len, uint32_t seed)
{
    static const char *const names[] = {"Ada",  "Grace",  "Linus", "Edsger", "Barbara",
                                        "Alan", "Donald", "Ken",   "Radia",  "Niklaus"};
    static const char *const words[] = {"shall", "we",   "meet", "at",    "noon",   "the",
                                        "build", "is",   "red",  "again", "thanks", "done",
                                        "later", "from", "home", "with",  "coffee", "maybe"};
    size_t at = (size_t)snprintf(text, len, "{\"room\":\"lobby\",\"messages\":[");

    while (at + 220 < len) {
        at += (size_t)snprintf(
            text + at, len - at,
            "{\"id\":%u,\"from\":\"%s\",\"at\":17%08u,\"read\":%s,\"score\":%u.%02u,"
            "\"text\":\"",
            random_of(&seed) % 1000000, names[random_of(&seed) % 10], random_of(&seed) % 100000000,
            random_of(&seed) % 2 ? "true" : "false", random_of(&seed) % 100, random_of(&seed) % 100);
        for (uint32_t i = 0, count = 3 + random_of(&seed) % 8; i < count; i++)
            at += (size_t)snprintf(text + at, len - at, "%s%s", i > 0 ? " " : "",
                                   words[random_of(&seed) % 18]);
        at += (size_t)snprintf(text + at, len - at, "\"},");
    }
    at += (size_t)snprintf(text + at, len - at, "{\"rest\":\"");
    while (at < len - 4)
        text[at++] = (char)('a' + random_of(&seed) % 26);
    memcpy(text + at, "\"}]}", 4);
}

/* Returns the bytes written, without the four at the end (RFC 7692 §7.2.1); 0: memory ran out. */
static size_t compress_text(uint8_t *out, size_t cap, const uint8_t *text, size_t len)
{
    z_stream deflater = {0};

    if (deflateInit2(&deflater, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) !=
        Z_OK)
        return 0;
    deflater.next_in = (Bytef *)(uintptr_t)text;
    deflater.avail_in = (uInt)len;
    deflater.next_out = out;
    deflater.avail_out = (uInt)cap;
    deflate(&deflater, Z_SYNC_FLUSH);
    size_t written = cap - deflater.avail_out;
    deflateEnd(&deflater);
    return written > 4 ? written - 4 : 0;
}

static bool prepare_document(struct document *document, size_t size, uint32_t seed)
{
    size_t cap = size + size / 100 + 64;
    uint8_t *packed = malloc(cap);

    document->text = malloc(size);
    document->answer = malloc(cap + HEADER_MAX);
    document->shape.pattern = malloc(cap + HEADER_MAX);
    if (packed == NULL || document->text == NULL || document->answer == NULL ||
        document->shape.pattern == NULL)
        return false;
    fill_json((char *)document->text, size, seed);
    size_t packed_len = compress_text(packed, cap, document->text, size);
    size_t head = put_header(document->shape.pattern, TEXT | COMPRESSED, packed_len, true);
    mask(packed, packed_len);
    memcpy(document->shape.pattern + head, packed, packed_len);
    document->shape.wire_len = head + packed_len;
    free(packed);
    return packed_len > 0;
}

static bool prepare_documents(struct load *load)
{
    ws.inflated = malloc(load->options.size + 1);
    if (ws.inflated == NULL || inflateInit2(&ws.inflater, -15) != Z_OK)
        return false;
    for (uint32_t i = 0; i < DOCUMENTS; i++) {
        if (!prepare_document(&ws.documents[i], load->options.size, i + 1))
            return false;
    }
    return true;
}

bool ws_prepare(struct load *load)
{
    const struct load_options *options = &load->options;

    ws.request_len = (size_t)snprintf(ws.request, sizeof ws.request, request_text, options->ws,
                                      options->deflate ? offer_text : "");
    if (ws.request_len >= sizeof ws.request)
        return false;
    return options->deflate ? prepare_documents(load) : prepare_plain(load);
}

struct shape *ws_shape(struct load *load, uint32_t index)
{
    return load->options.deflate ? &ws.documents[index % DOCUMENTS].shape : &load->shape;
}

uint32_t ws_shapes(const struct load *load)
{
    return load->options.deflate ? DOCUMENTS : 1;
}

const uint8_t *ws_request(size_t *len)
{
    *len = ws.request_len;
    return (const uint8_t *)ws.request;
}

void ws_release(void)
{
    for (uint32_t i = 0; i < DOCUMENTS; i++) {
        free(ws.documents[i].shape.pattern);
        free(ws.documents[i].shape.out);
        free(ws.documents[i].text);
        free(ws.documents[i].answer);
    }
    if (ws.inflated != NULL)
        inflateEnd(&ws.inflater);
    free(ws.inflated);
    free(ws.expected);
}

void ws_vary(uint8_t *at, uint32_t index, uint32_t seq)
{
    put_number(at, index, seq);
    mask(at, NUMBER_LEN);
}

static bool has(const char *value, const char *end, const char *wanted)
{
    if (value == NULL)
        return false;
    const char *line_end = memchr(value, '\r', (size_t)(end - value));
    return line_end != NULL &&
           memmem(value, (size_t)(line_end - value), wanted, strlen(wanted)) != NULL;
}

int64_t ws_take_head(const struct load *load, const uint8_t *data, size_t len)
{
    const char *head = (const char *)data;
    const char *end = memmem(data, len, "\r\n\r\n", 4);

    if (end == NULL)
        return len < ANSWER_HEAD_MAX ? 0 : -1;
    size_t head_len = (size_t)(end + 4 - head);
    if (head_len < 13 || memcmp(head, "HTTP/1.1 101 ", 13) != 0 ||
        !has(http_field(head, head_len, "Sec-WebSocket-Accept:"), end + 4, accept_text))
        return -1;
    const char *agreed = http_field(head, head_len, "Sec-WebSocket-Extensions:");
    if (load->options.deflate && !has(agreed, end + 4, "server_no_context_takeover"))
        return -1;
    return (int64_t)head_len;
}

static int64_t take_plain(struct load *load, struct conn *conn, const uint8_t *data, size_t len)
{
    uint32_t index = load->options.mode == LOAD_BROADCAST ? 0 : conn->index;
    int64_t completed = 0;

    while (len > 0) {
        size_t at = conn->in_at;
        size_t part = ws.expected_len - at < len ? ws.expected_len - at : len;
        put_number(ws.expected + ws.number_at, index, conn->in_seq);
        if (memcmp(data, ws.expected + at, part) != 0)
            return -1;
        data += part;
        len -= part;
        conn->in_at += part;
        if (conn->in_at < ws.expected_len)
            break;
        if (!load->on_message(load, conn))
            return -1;
        conn->in_at = 0;
        conn->in_seq++;
        completed++;
    }
    return completed;
}

/* A block may be marked as the last one (RFC 7692 §7.2.3.4): then the text ends with it. */
static bool inflates_to(const struct document *document, size_t size, const uint8_t *packed,
                        size_t len)
{
    static const uint8_t end[4] = {0, 0, 0xff, 0xff};
    z_stream *inflater = &ws.inflater;

    inflateReset(inflater);
    inflater->next_out = ws.inflated;
    inflater->avail_out = (uInt)size + 1;
    inflater->next_in = (Bytef *)(uintptr_t)packed;
    inflater->avail_in = (uInt)len;
    int done = inflate(inflater, Z_SYNC_FLUSH);
    if (done == Z_OK) {
        inflater->next_in = (Bytef *)(uintptr_t)end;
        inflater->avail_in = sizeof end;
        done = inflate(inflater, Z_SYNC_FLUSH);
    }
    return (done == Z_OK || done == Z_BUF_ERROR || done == Z_STREAM_END) &&
           inflater->avail_out == 1 && memcmp(ws.inflated, document->text, size) == 0;
}

/* Bytes of the answer at the beginning of data; 0: it is not whole yet; -1: it is wrong. */
static int64_t take_document(const struct load *load, struct document *document,
                             const uint8_t *data, size_t len)
{
    if (document->answer_len > 0 && len >= document->answer_len &&
        memcmp(data, document->answer, document->answer_len) == 0)
        return (int64_t)document->answer_len;
    if (len < 4)
        return 0;
    size_t head_len = data[1] < 126 ? 2 : 4;
    size_t packed_len = data[1] < 126 ? data[1] : (size_t)data[2] << 8 | data[3];
    if (data[0] != (TEXT | COMPRESSED) || data[1] > 126 || packed_len > load->options.size)
        return -1;
    if (len < head_len + packed_len)
        return 0;
    if (!inflates_to(document, load->options.size, data + head_len, packed_len))
        return -1;
    document->answer_len = head_len + packed_len;
    memcpy(document->answer, data, document->answer_len);
    return (int64_t)document->answer_len;
}

static int64_t take_documents(struct load *load, struct conn *conn, const uint8_t *data, size_t len)
{
    struct document *document = &ws.documents[conn->index % DOCUMENTS];
    int64_t completed = 0;

    while (len > 0) {
        int64_t used = take_document(load, document, data, len);
        if (used < 0)
            return -1;
        if (used == 0)
            break;
        data += used;
        len -= (size_t)used;
        load->on_message(load, conn);
        conn->in_seq++;
        completed++;
    }
    return conn_keep(conn, data, len) ? completed : -1;
}

int64_t ws_take_all(struct load *load, struct conn *conn, const uint8_t *data, size_t len)
{
    return load->options.deflate ? take_documents(load, conn, data, len)
                                 : take_plain(load, conn, data, len);
}

double ws_answer_bytes(void)
{
    size_t total = 0;
    uint32_t seen = 0;

    for (uint32_t i = 0; i < DOCUMENTS; i++) {
        total += ws.documents[i].answer_len;
        seen += ws.documents[i].answer_len > 0;
    }
    return seen > 0 ? (double)total / seen : (double)ws.expected_len;
}

/* Heads, masks and close codes of frames. */
#include "ws_frame.h"

#include <causeway/error.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
    RESERVED = 0x30, /* RSV2, RSV3 */
    OPCODE = 0x0f,
    CONTROL = 0x08,
    MASKED = 0x80, /* in the second byte */
    LEN = 0x7f,
    LEN_16 = 126, /* two bytes of length follow */
    LEN_64 = 127, /* eight */
};

/* ---- heads ---- */

static int refuse(const char **why, const char *sentence)
{
    *why = sentence;
    return CW_EPROTO;
}

static uint64_t load_be(const uint8_t *bytes, size_t count)
{
    uint64_t number = 0;

    for (size_t i = 0; i < count; i++) {
        number = number << 8 | bytes[i];
    }
    return number;
}

static int judge_first(uint8_t first, bool extended, const char **why)
{
    uint8_t opcode = first & OPCODE;

    if ((first & RESERVED) != 0) {
        return refuse(why, "reserved bits are set");
    }
    if (opcode > CW_WS_PONG || (opcode > CW_WS_BINARY && opcode < CW_WS_CLOSE)) {
        return refuse(why, "a reserved opcode");
    }
    if ((first & CW_WS_RSV1) != 0 && !extended) {
        return refuse(why, "a compressed frame, and no compression was agreed on");
    }
    /* RFC 7692 §6.1: of a message it marks the first frame alone. */
    if ((first & CW_WS_RSV1) != 0 && opcode != CW_WS_TEXT && opcode != CW_WS_BINARY) {
        return refuse(why, "a continuation or control frame marked as compressed");
    }
    if ((opcode & CONTROL) != 0 && (first & CW_WS_FIN) == 0) {
        return refuse(why, "a control frame in fragments");
    }
    return 0;
}

static int judge_second(uint8_t first, uint8_t second, bool masked, const char **why)
{
    bool has_mask = (second & MASKED) != 0;

    if (has_mask != masked) {
        return refuse(why,
                      masked ? "a frame of a client without a mask" : "a masked frame of a server");
    }
    if ((first & CONTROL) != 0 && (second & LEN) > CW_WS_CONTROL_MAX) {
        return refuse(why, "a control frame above 125 bytes");
    }
    return 0;
}

static int judge_len(uint8_t len7, uint64_t len, const char **why)
{
    if (len > INT64_MAX) {
        return refuse(why, "a length above 2^63 - 1");
    }
    if (len < LEN_16 || (len7 == LEN_64 && len <= UINT16_MAX)) {
        return refuse(why, "a length in more bytes than it needs");
    }
    return 0;
}

static void fill(struct cw_ws_head *head, const uint8_t *data, size_t size, bool masked)
{
    head->mask = 0;
    if (masked) {
        memcpy(&head->mask, data + size - sizeof head->mask, sizeof head->mask);
    }
    head->opcode = data[0] & OPCODE;
    head->size = (uint8_t)size;
    head->fin = (data[0] & CW_WS_FIN) != 0;
    head->compressed = (data[0] & CW_WS_RSV1) != 0;
}

static int read_slowly(struct cw_span in, bool masked, bool extended, struct cw_ws_head *head,
                       const char **why)
{
    int code = in.len > 0 ? judge_first(in.data[0], extended, why) : 0;

    if (code == 0 && in.len > 1) {
        code = judge_second(in.data[0], in.data[1], masked, why);
    }
    if (code != 0 || in.len < 2) {
        return code;
    }

    uint8_t len7 = in.data[1] & LEN;
    size_t more = len7 == LEN_64 ? 8 : len7 == LEN_16 ? 2 : 0;
    size_t size = 2 + more + (masked ? sizeof head->mask : 0);

    if (in.len < 2 + more) {
        return 0;
    }
    uint64_t len = more > 0 ? load_be(in.data + 2, more) : len7;
    code = more > 0 ? judge_len(len7, len, why) : 0;
    if (code != 0 || in.len < size) {
        return code;
    }
    head->len = len;
    fill(head, in.data, size, masked);
    return (int)size;
}

/* A data frame, or the first of a compressed message. */
static bool is_usual(uint8_t first, bool extended)
{
    uint8_t low = first & (uint8_t)~CW_WS_FIN;

    return low <= CW_WS_BINARY ||
           (extended && (low == (CW_WS_RSV1 | CW_WS_TEXT) || low == (CW_WS_RSV1 | CW_WS_BINARY)));
}

/* Up to 65535 bytes of data with the whole head there are read straight on; everything else is looked at in its order. */
int cw_ws_read_head(struct cw_span in, bool masked, bool extended, struct cw_ws_head *head,
                    const char **why)
{
    const uint8_t *data = in.data;

    if (in.len >= 2 && is_usual(data[0], extended) && data[1] >> 7 == (uint8_t)masked) {
        size_t size = masked ? 2 + sizeof head->mask : 2;
        uint8_t len7 = data[1] & LEN;

        if (len7 < LEN_16 && in.len >= size) {
            head->len = len7;
            fill(head, data, size, masked);
            return (int)size;
        }
        if (len7 == LEN_16 && in.len >= size + 2 && load_be(data + 2, 2) >= LEN_16) {
            head->len = load_be(data + 2, 2);
            fill(head, data, size + 2, masked);
            return (int)size + 2;
        }
    }
    return read_slowly(in, masked, extended, head, why);
}

size_t cw_ws_write_head(uint8_t out[CW_WS_HEAD_MAX], uint8_t first, uint64_t len, bool masked,
                        uint32_t mask)
{
    size_t size = 2;
    size_t more = len < LEN_16 ? 0 : len <= UINT16_MAX ? 2 : 8;

    out[0] = first;
    out[1] = (uint8_t)((masked ? MASKED : 0) | (more == 0   ? (uint8_t)len
                                                : more == 2 ? LEN_16
                                                            : LEN_64));
    while (more-- > 0) {
        out[size++] = (uint8_t)(len >> (8 * more));
    }
    if (masked) {
        memcpy(out + size, &mask, sizeof mask);
        size += sizeof mask;
    }
    return size;
}

/* ---- masks ---- */

/* The mask as it stands `at` bytes further on. */
static uint32_t turned(uint32_t mask, uint64_t at)
{
    unsigned bits = (unsigned)(at & 3) * 8;

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    bits = (32 - bits) & 31;
#endif
    return mask >> bits | mask << ((32 - bits) & 31);
}

/* Two words that overlap in the middle, both read before one is written; so nothing behind the end is touched. */
static uint64_t mask_two_words(uint8_t *to, const uint8_t *from, size_t len, uint32_t mask)
{
    const size_t last = len - sizeof(uint64_t);
    const uint32_t mask_of_last = turned(mask, last);
    uint64_t first_word;
    uint64_t last_word;

    memcpy(&first_word, from, sizeof first_word);
    memcpy(&last_word, from + last, sizeof last_word);
    first_word ^= (uint64_t)mask << 32 | mask;
    last_word ^= (uint64_t)mask_of_last << 32 | mask_of_last;
    memcpy(to, &first_word, sizeof first_word);
    memcpy(to + last, &last_word, sizeof last_word);
    return first_word | last_word;
}

static uint64_t mask_two_halves(uint8_t *to, const uint8_t *from, size_t len, uint32_t mask)
{
    const size_t last = len - sizeof(uint32_t);
    uint32_t first_word;
    uint32_t last_word;

    memcpy(&first_word, from, sizeof first_word);
    memcpy(&last_word, from + last, sizeof last_word);
    first_word ^= mask;
    last_word ^= turned(mask, last);
    memcpy(to, &first_word, sizeof first_word);
    memcpy(to + last, &last_word, sizeof last_word);
    return first_word | last_word;
}

static uint64_t mask_bytes(uint8_t *to, const uint8_t *from, size_t len, uint32_t mask)
{
    uint8_t bytes[sizeof mask];
    uint8_t seen = 0;

    memcpy(bytes, &mask, sizeof mask);
    for (size_t i = 0; i < len; i++) {
        to[i] = from[i] ^ bytes[i];
        seen |= to[i];
    }
    return seen;
}

#ifdef __SSE2__
enum { WIDE = 16 };

static __m128i mask_wide(uint8_t *to, const uint8_t *from, __m128i mask)
{
    __m128i bytes = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(const void *)from), mask);

    _mm_storeu_si128((__m128i *)(void *)to, bytes);
    return bytes;
}

/* At least WIDE bytes. Their end is read first: in place, the step before it writes into it. */
static bool mask_long(uint8_t *to, const uint8_t *from, size_t len, uint32_t mask)
{
    const size_t last = len - WIDE;
    const __m128i wide = _mm_set1_epi32((int)mask);
    const __m128i end = _mm_xor_si128(_mm_loadu_si128((const __m128i *)(const void *)(from + last)),
                                      _mm_set1_epi32((int)turned(mask, last)));
    __m128i seen = end;
    size_t at = 0;

    for (; last - at >= 4 * WIDE; at += 4 * WIDE) {
        __m128i a = mask_wide(to + at, from + at, wide);
        __m128i b = mask_wide(to + at + WIDE, from + at + WIDE, wide);
        __m128i c = mask_wide(to + at + 2 * WIDE, from + at + 2 * WIDE, wide);
        __m128i d = mask_wide(to + at + 3 * WIDE, from + at + 3 * WIDE, wide);

        seen = _mm_or_si128(seen, _mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d)));
    }
    for (; at < last; at += WIDE) {
        seen = _mm_or_si128(seen, mask_wide(to + at, from + at, wide));
    }
    _mm_storeu_si128((__m128i *)(void *)(to + last), end);
    return _mm_movemask_epi8(seen) != 0;
}
#else
enum { WIDE = 2 * sizeof(uint64_t) };

static bool mask_long(uint8_t *to, const uint8_t *from, size_t len, uint32_t mask)
{
    const uint64_t high_bits = UINT64_MAX / 255 * 0x80;
    const size_t whole = len - WIDE;
    uint64_t seen = 0;
    size_t at = 0;

    for (; at < whole; at += sizeof(uint64_t)) {
        uint64_t word;

        memcpy(&word, from + at, sizeof word);
        word ^= (uint64_t)mask << 32 | mask;
        memcpy(to + at, &word, sizeof word);
        seen |= word;
    }
    seen |= mask_two_words(to + at, from + at, len - at, mask);
    return (seen & high_bits) != 0;
}
#endif

static inline bool apply(uint8_t *to, const uint8_t *from, size_t len, uint32_t mask)
{
    const uint64_t high_bits = UINT64_MAX / 255 * 0x80;

    if (len >= WIDE) {
        return mask_long(to, from, len, mask);
    }
    if (len >= sizeof(uint64_t)) {
        return (mask_two_words(to, from, len, mask) & high_bits) != 0;
    }
    if (len >= sizeof(uint32_t)) {
        return (mask_two_halves(to, from, len, mask) & high_bits) != 0;
    }
    return (mask_bytes(to, from, len, mask) & high_bits) != 0;
}

bool cw_ws_mask(uint8_t *data, size_t len, uint32_t mask, uint64_t at)
{
    return apply(data, data, len, turned(mask, at));
}

bool cw_ws_mask_to(uint8_t *to, const uint8_t *from, size_t len, uint32_t mask, uint64_t at)
{
    return apply(to, from, len, turned(mask, at));
}

/* ---- close codes ---- */

bool cw_ws_close_code_is_sound(uint32_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

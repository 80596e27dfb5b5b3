/* Base64 (RFC 4648 §4). */
#include <causeway/digest.h>
#include <causeway/error.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t cw_base64_encode(struct cw_span bytes, char *text)
{
    size_t len = 0;

    for (size_t at = 0; at < bytes.len; at += 3) {
        size_t left = bytes.len - at;
        uint32_t bits = (uint32_t)bytes.data[at] << 16;

        bits |= left > 1 ? (uint32_t)bytes.data[at + 1] << 8 : 0;
        bits |= left > 2 ? bytes.data[at + 2] : 0;
        text[len++] = alphabet[bits >> 18];
        text[len++] = alphabet[bits >> 12 & 63];
        text[len++] = left > 1 ? alphabet[bits >> 6 & 63] : '=';
        text[len++] = left > 2 ? alphabet[bits & 63] : '=';
    }
    text[len] = '\0';
    return len;
}

static int sextet(uint8_t byte)
{
    if (byte >= 'A' && byte <= 'Z') {
        return byte - 'A';
    }
    if (byte >= 'a' && byte <= 'z') {
        return byte - 'a' + 26;
    }
    if (byte >= '0' && byte <= '9') {
        return byte - '0' + 52;
    }
    return byte == '+' ? 62 : byte == '/' ? 63 : -1;
}

/* Four characters, the last `pad` of them `=`. False: not base64, or bits that say nothing are set (RFC 4648 §3.5). */
static bool decode_four(const uint8_t *from, size_t pad, uint8_t *to)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < 4; i++) {
        int value = i < 4 - pad ? sextet(from[i]) : 0;
        if (value < 0) {
            return false;
        }
        bits = bits << 6 | (uint32_t)value;
    }
    for (size_t i = 0; i < 3 - pad; i++) {
        to[i] = (uint8_t)(bits >> (16 - 8 * i) & 0xffU);
    }
    return (bits & ((1U << (8 * pad)) - 1)) == 0;
}

ptrdiff_t cw_base64_decode(struct cw_span text, uint8_t *bytes)
{
    size_t pad = 0;

    if (text.len == 0 || text.len % 4 != 0) {
        return CW_EINVAL;
    }
    while (pad < 2 && text.data[text.len - 1 - pad] == '=') {
        pad++;
    }
    for (size_t at = 0; at < text.len; at += 4) {
        if (!decode_four(text.data + at, at + 4 == text.len ? pad : 0, bytes + at / 4 * 3)) {
            return CW_EINVAL;
        }
    }
    return (ptrdiff_t)(text.len / 4 * 3 - pad);
}

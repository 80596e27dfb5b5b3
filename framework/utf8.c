/* UTF-8 by the table of RFC 3629 §4. */
#include "utf8.h"

#include <causeway/span.h>

static bool between(uint8_t byte, uint8_t low, uint8_t high)
{
    return byte >= low && byte <= high;
}

size_t cw_utf8_len(const uint8_t *p, size_t left)
{
    if (left >= 1 && p[0] < 0x80) {
        return 1;
    }
    if (left >= 2 && between(p[0], 0xc2, 0xdf) && between(p[1], 0x80, 0xbf)) {
        return 2;
    }
    if (left >= 3 && between(p[0], 0xe0, 0xef) && between(p[2], 0x80, 0xbf)) {
        uint8_t low = p[0] == 0xe0 ? 0xa0 : 0x80;  /* no longer form than needed */
        uint8_t high = p[0] == 0xed ? 0x9f : 0xbf; /* no surrogates */
        return between(p[1], low, high) ? 3 : 0;
    }
    if (left >= 4 && between(p[0], 0xf0, 0xf4) && between(p[2], 0x80, 0xbf) &&
        between(p[3], 0x80, 0xbf)) {
        uint8_t low = p[0] == 0xf0 ? 0x90 : 0x80;
        uint8_t high = p[0] == 0xf4 ? 0x8f : 0xbf; /* U+10FFFF is the last one */
        return between(p[1], low, high) ? 4 : 0;
    }
    return 0;
}

bool cw_span_is_utf8(struct cw_span span)
{
    while (span.len > 0) {
        size_t len = cw_utf8_len(span.data, span.len);
        if (len == 0) {
            return false;
        }
        span.data += len;
        span.len -= len;
    }
    return true;
}

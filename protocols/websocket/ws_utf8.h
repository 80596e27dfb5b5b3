/* UTF-8 that comes in pieces (RFC 3629 §4): wrong at the first byte that no continuation can make right. */
#ifndef CW_WS_UTF8_H
#define CW_WS_UTF8_H

#include <causeway/types.h>

#include <string.h>

/* Where a text is; zero at its beginning, and zero between characters. */
struct cw_ws_utf8 {
    uint8_t left; /* bytes the character under way still needs */
    uint8_t low;  /* what the next of them may be, */
    uint8_t high; /* with left above 0 */
};

/* Goes on with a text. Up to 16 bytes behind len may be read. False: it is not UTF-8, and never will be. */
bool cw_ws_utf8_feed(struct cw_ws_utf8 *utf8, const uint8_t *data, size_t len);

/* Whether it is ASCII, which needs no further look. Reads nothing behind the end. */
static inline bool cw_ws_is_ascii(const uint8_t *data, size_t len)
{
    const uint64_t high_bits = UINT64_MAX / 255 * 0x80;
    uint64_t seen = 0;
    uint64_t word;
    size_t at = 0;

    for (; len - at > sizeof word; at += sizeof word) {
        memcpy(&word, data + at, sizeof word);
        seen |= word;
    }
    if (len >= sizeof word) {
        memcpy(&word, data + len - sizeof word, sizeof word);
        seen |= word;
    } else {
        for (; at < len; at++) {
            seen |= data[at];
        }
    }
    return (seen & high_bits) == 0;
}

/* Whether it may end here. */
static inline bool cw_ws_utf8_is_whole(const struct cw_ws_utf8 *utf8)
{
    return utf8->left == 0;
}

#endif

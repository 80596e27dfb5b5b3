/* Which bytes may stand where: one table for all who read HTTP's texts. */
#ifndef CW_HTTP_BYTES_H
#define CW_HTTP_BYTES_H

#include <causeway/types.h>

/* Sets of bytes, as bits of cw_http_bytes[byte]. */
enum {
    CW_BYTE_TOKEN = 0x01,      /* tchar, RFC 9110 §5.6.2 */
    CW_BYTE_VALUE = 0x02,      /* in a field's value, RFC 9110 §5.5: blanks, VCHAR, obs-text */
    CW_BYTE_PLAIN = 0x04,      /* in a path, and it means itself: neither `/`, `.` nor `%` */
    CW_BYTE_QUERY = 0x08,      /* in a query, `%` too */
    CW_BYTE_NAME = 0x10,       /* reg-name of RFC 3986 §3.2.2 but for `%` */
    CW_BYTE_UNRESERVED = 0x20, /* RFC 3986 §2.3 */
    CW_BYTE_COOKIE = 0x40,     /* cookie-octet, RFC 6265 §4.1.1 */
};

extern const uint8_t cw_http_bytes[256];

static inline bool cw_http_byte_is(uint8_t byte, unsigned set)
{
    return (cw_http_bytes[byte] & set) != 0;
}

/* Whether all bytes are of a set (one bit); true for none. */
static inline bool cw_http_all_are(struct cw_span span, unsigned set)
{
    const uint8_t *at = span.data;
    size_t left = span.len;
    unsigned all = set;

    for (; left >= 4; left -= 4, at += 4) {
        all &= cw_http_bytes[at[0]] & cw_http_bytes[at[1]] & cw_http_bytes[at[2]] &
               cw_http_bytes[at[3]];
    }
    for (; left > 0; left--) {
        all &= cw_http_bytes[*at++];
    }
    return (all & set) != 0;
}

static inline uint8_t cw_http_lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20) : byte;
}

static inline bool cw_http_is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

/* What the two hexadecimal digits say; -1: they are none. */
int cw_http_hex(const uint8_t digits[2]);

/* What stands from `from` up to `to`, without spaces and tabs at the ends (OWS, RFC 9110 §5.6.3). Never NULL data. */
struct cw_span cw_http_trimmed(const uint8_t *from, const uint8_t *to);

#endif

/* What the files of the parser share. */
#ifndef CW_HTTP_PARSE_IMPL_H
#define CW_HTTP_PARSE_IMPL_H

#include "http_bytes.h"
#include "http_parse.h"

enum {
    CW_METHOD_MAX = 64, /* longer than any that is registered, by far */
    CW_VERSION_LEN = 8, /* HTTP/1.1 */
};

static inline bool cw_http_is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static inline bool cw_http_all_digits(const uint8_t *data, size_t len)
{
    bool all = true;

    for (size_t i = 0; i < len; i++) {
        all &= cw_http_is_digit(data[i]);
    }
    return all;
}

/* Zero: eight bytes are those of a text in lower case, whatever their own case. Only letters have the bit 0x40, so only they
 * may differ by 0x20. */
static inline uint64_t cw_http_differ(const uint8_t *data, const char *lower)
{
    uint64_t bytes;
    uint64_t text;

    memcpy(&bytes, data, sizeof bytes);
    memcpy(&text, lower, sizeof text);
    return (bytes ^ text) & ~((text & 0x4040404040404040U) >> 1);
}

/* The same of four. */
static inline uint32_t cw_http_differ_half(const uint8_t *data, const char *lower)
{
    uint32_t bytes;
    uint32_t text;

    memcpy(&bytes, data, sizeof bytes);
    memcpy(&text, lower, sizeof text);
    return (bytes ^ text) & ~((text & 0x40404040U) >> 1);
}

/* Whether bytes are a text in lower case, whatever their own case. The text has letters, digits and `-` only. */
static inline bool cw_http_is(const uint8_t *data, size_t len, const char *lower, size_t lower_len)
{
    uint64_t differ = 0;

    if (len != lower_len) {
        return false;
    }
    if (len >= 8) {
        for (size_t i = 0; i + 8 < len; i += 8) {
            differ |= cw_http_differ(data + i, lower + i);
        }
        return (differ | cw_http_differ(data + len - 8, lower + len - 8)) == 0;
    }
    if (len >= 4) {
        return (cw_http_differ_half(data, lower) |
                cw_http_differ_half(data + len - 4, lower + len - 4)) == 0;
    }
    for (size_t i = 0; i < len; i++) {
        uint8_t letter = (uint8_t)(lower[i] & 0x40) >> 1;

        differ |= (uint8_t)((data[i] ^ (uint8_t)lower[i]) & ~letter);
    }
    return differ == 0;
}

/* Reads the fields from `from` up to the empty line into head->fields; fields that are framed wrongly by themselves (a
 * repeated or malformed Content-Length) are refused here, for llhttp does the same.
 *
 * repeated  set: a bit for each known field that came more than once
 * returns   0, or the status of the refusal */
int cw_http_read_fields(struct cw_span input, size_t from, struct cw_http_head *head,
                        uint32_t *repeated, const char **why);

/* Whether a whole line ends with a space and HTTP/ DIGIT . DIGIT. */
bool cw_http_ends_with_version(const uint8_t *line, size_t len);

#endif

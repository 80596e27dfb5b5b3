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

/* Whether bytes are a text in lower case, whatever their own case. The text has letters, digits and `-` only. */
static inline bool cw_http_is(const uint8_t *data, size_t len, const char *lower, size_t lower_len)
{
    uint8_t differ = 0;

    if (len != lower_len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        differ |= (uint8_t)(cw_http_lower(data[i]) ^ (uint8_t)lower[i]);
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

/* Words, tokens, lists and parameters: what most fields are made of. */
#include <causeway/http_fields.h>

#include "http/http_bytes.h"
#include "http/http_fields_impl.h"

#include <causeway/error.h>

/* ---- words ---- */

const char *cw_http_status_text(int status)
{
    /* The registry of RFC 9110 §16.2.1. */
    static const char *const texts[] = {
        [100] = "Continue",
        [101] = "Switching Protocols",
        [102] = "Processing",
        [103] = "Early Hints",
        [200] = "OK",
        [201] = "Created",
        [202] = "Accepted",
        [203] = "Non-Authoritative Information",
        [204] = "No Content",
        [205] = "Reset Content",
        [206] = "Partial Content",
        [207] = "Multi-Status",
        [208] = "Already Reported",
        [226] = "IM Used",
        [300] = "Multiple Choices",
        [301] = "Moved Permanently",
        [302] = "Found",
        [303] = "See Other",
        [304] = "Not Modified",
        [305] = "Use Proxy",
        [307] = "Temporary Redirect",
        [308] = "Permanent Redirect",
        [400] = "Bad Request",
        [401] = "Unauthorized",
        [402] = "Payment Required",
        [403] = "Forbidden",
        [404] = "Not Found",
        [405] = "Method Not Allowed",
        [406] = "Not Acceptable",
        [407] = "Proxy Authentication Required",
        [408] = "Request Timeout",
        [409] = "Conflict",
        [410] = "Gone",
        [411] = "Length Required",
        [412] = "Precondition Failed",
        [413] = "Content Too Large",
        [414] = "URI Too Long",
        [415] = "Unsupported Media Type",
        [416] = "Range Not Satisfiable",
        [417] = "Expectation Failed",
        [421] = "Misdirected Request",
        [422] = "Unprocessable Content",
        [423] = "Locked",
        [424] = "Failed Dependency",
        [425] = "Too Early",
        [426] = "Upgrade Required",
        [428] = "Precondition Required",
        [429] = "Too Many Requests",
        [431] = "Request Header Fields Too Large",
        [451] = "Unavailable For Legal Reasons",
        [500] = "Internal Server Error",
        [501] = "Not Implemented",
        [502] = "Bad Gateway",
        [503] = "Service Unavailable",
        [504] = "Gateway Timeout",
        [505] = "HTTP Version Not Supported",
        [506] = "Variant Also Negotiates",
        [507] = "Insufficient Storage",
        [508] = "Loop Detected",
        [510] = "Not Extended",
        [511] = "Network Authentication Required",
    };
    bool is_known = status >= 0 && (size_t)status < sizeof texts / sizeof texts[0];

    return is_known && texts[status] != NULL ? texts[status] : "Unknown";
}

bool cw_http_is_token(struct cw_span span)
{
    return span.len > 0 && cw_http_all_are(span, CW_BYTE_TOKEN);
}

/* Eight bytes at once: none of them below a space, none DEL. A tab is looked at again. */
static bool are_plain(const uint8_t *data)
{
    const uint64_t ones = UINT64_MAX / 255;
    uint64_t word;

    memcpy(&word, data, sizeof word);
    uint64_t low = (word - ones * 0x20) & ~word;
    uint64_t rubout = word ^ ones * 0x7f;

    return ((low | ((rubout - ones) & ~rubout)) & ones * 0x80) == 0;
}

static bool are_value_bytes(struct cw_span span)
{
    while (span.len >= 8 && are_plain(span.data)) {
        span = cw_span_of(span.data + 8, span.len - 8);
    }
    return cw_http_all_are(span, CW_BYTE_VALUE);
}

bool cw_http_is_value(struct cw_span span)
{
    return are_value_bytes(span) && (span.len == 0 || (!cw_http_is_blank(span.data[0]) &&
                                                       !cw_http_is_blank(span.data[span.len - 1])));
}

bool cw_http_equal(struct cw_span span, const char *text)
{
    for (size_t i = 0; i < span.len; i++) {
        /* A zero byte in the span is no letter either, so the text's end is not passed. */
        if (text[i] == '\0' || cw_http_lower(span.data[i]) != cw_http_lower((uint8_t)text[i])) {
            return false;
        }
    }
    return text[span.len] == '\0';
}

/* ---- lists ---- */

size_t cw_http_until(struct cw_span span, uint8_t separator)
{
    bool quoted = false;

    for (size_t i = 0; i < span.len; i++) {
        uint8_t byte = span.data[i];

        if (byte == '"') {
            quoted = !quoted;
        } else if (byte == '\\' && quoted) {
            i++;
        } else if (byte == separator && !quoted) {
            return i;
        }
    }
    return span.len;
}

/* What stands before the separator, trimmed; *rest goes behind it. */
static struct cw_span take_until(struct cw_span *rest, uint8_t separator)
{
    if (rest->len == 0) {
        return *rest;
    }
    size_t len = cw_http_until(*rest, separator);
    struct cw_span taken = cw_http_trimmed(rest->data, rest->data + len);
    size_t used = len < rest->len ? len + 1 : len;

    rest->data += used;
    rest->len -= used;
    return taken;
}

bool cw_http_list_next(struct cw_span *rest, struct cw_span *element)
{
    while (rest->len > 0) {
        *element = take_until(rest, ',');
        if (element->len > 0) {
            return true;
        }
    }
    return false;
}

bool cw_http_list_has(struct cw_span list, const char *token)
{
    struct cw_span element;

    while (cw_http_list_next(&list, &element)) {
        if (cw_http_equal(element, token)) {
            return true;
        }
    }
    return false;
}

/* ---- parameters ---- */

static bool is_quoted_text(struct cw_span value)
{
    size_t end = value.len - 1;

    if (value.len < 2 || value.data[0] != '"' || value.data[end] != '"') {
        return false;
    }
    for (size_t i = 1; i < end; i++) {
        if (value.data[i] == '\\') {
            i++;
        } else if (value.data[i] == '"') {
            return false;
        }
        if (i == end || !cw_http_byte_is(value.data[i], CW_BYTE_VALUE)) {
            return false;
        }
    }
    return true;
}

int cw_http_pair_next(struct cw_span *rest, struct cw_span *name, struct cw_span *value)
{
    while (rest->len > 0) {
        struct cw_span pair = take_until(rest, ';');
        if (pair.len == 0) {
            continue;
        }
        /* RFC 9110 §5.6.6: no white space around the equals sign. */
        size_t len = cw_http_until(pair, '=');
        if (len == pair.len) {
            return CW_EINVAL;
        }
        *name = cw_span_of(pair.data, len);
        *value = cw_span_of(pair.data + len + 1, pair.len - len - 1);
        return cw_http_is_token(*name) && (cw_http_is_token(*value) || is_quoted_text(*value))
                   ? 1
                   : CW_EINVAL;
    }
    return 0;
}

ptrdiff_t cw_http_unquote(struct cw_span value, char *buffer, size_t cap)
{
    bool quoted = value.len > 0 && value.data[0] == '"';
    size_t end = quoted ? value.len - 1 : value.len;
    size_t len = 0;

    for (size_t i = quoted; i < end; i++) {
        if (quoted && value.data[i] == '\\') {
            i++;
        }
        if (len + 1 >= cap) {
            return CW_ETOOBIG;
        }
        buffer[len++] = (char)value.data[i];
    }
    if (len >= cap) {
        return CW_ETOOBIG;
    }
    buffer[len] = '\0';
    return (ptrdiff_t)len;
}

ptrdiff_t cw_http_parameter(struct cw_span element, const char *name, char *buffer, size_t cap)
{
    struct cw_span pair_name;
    struct cw_span value;
    struct cw_span found = {NULL, 0};
    int code;

    (void)take_until(&element, ';');
    while ((code = cw_http_pair_next(&element, &pair_name, &value)) > 0) {
        if (cw_http_equal(pair_name, name) && found.data != NULL) {
            return CW_EINVAL; /* one reader would take the first, another the last */
        }
        found = cw_http_equal(pair_name, name) ? value : found;
    }
    if (code < 0) {
        return code;
    }
    return found.data == NULL ? CW_ENOTFOUND : cw_http_unquote(found, buffer, cap);
}

struct cw_span cw_http_without_parameters(struct cw_span element)
{
    return take_until(&element, ';');
}

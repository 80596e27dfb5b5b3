/* Small questions about borrowed bytes. */
#include <causeway/span.h>

#include <causeway/error.h>

bool cw_span_starts_with(struct cw_span span, const char *text)
{
    size_t len = strlen(text);

    return len <= span.len && (len == 0 || memcmp(span.data, text, len) == 0);
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

struct cw_span cw_span_trim(struct cw_span span)
{
    while (span.len > 0 && is_blank(span.data[0])) {
        span.data++;
        span.len--;
    }
    while (span.len > 0 && is_blank(span.data[span.len - 1])) {
        span.len--;
    }
    return span;
}

struct cw_span cw_span_cut(struct cw_span *rest, uint8_t separator)
{
    const uint8_t *found = rest->len > 0 ? memchr(rest->data, separator, rest->len) : NULL;
    struct cw_span first = *rest;

    if (!found) {
        *rest = (struct cw_span){NULL, 0};
        return first;
    }
    first.len = (size_t)(found - rest->data);
    rest->data = found + 1;
    rest->len -= first.len + 1;
    return first;
}

int cw_span_to_u64(struct cw_span span, uint64_t max, uint64_t *number)
{
    uint64_t value = 0;
    bool over = false;

    for (size_t i = 0; i < span.len; i++) {
        uint64_t digit = (uint64_t)span.data[i] - '0';

        if (digit > 9) {
            return CW_EINVAL;
        }
        over = over || value > (UINT64_MAX - digit) / 10;
        value = over ? value : value * 10 + digit;
    }
    if (span.len == 0) {
        return CW_EINVAL;
    }
    if (over || value > max) {
        return CW_ETOOBIG;
    }
    *number = value;
    return CW_OK;
}

int cw_span_to_text(struct cw_span span, char *buffer, size_t cap)
{
    if (cap > 0) {
        buffer[0] = '\0';
    }
    if (span.len >= cap) {
        return CW_ETOOBIG;
    }
    if (span.len > 0 && memchr(span.data, 0, span.len)) {
        return CW_EINVAL;
    }
    if (span.len > 0) {
        memcpy(buffer, span.data, span.len);
    }
    buffer[span.len] = '\0';
    return CW_OK;
}

/* Pairs of names and values: queries, forms, cookies; and how their bytes are escaped. */
#include <causeway/http_fields.h>

#include "http/http_bytes.h"

#include <causeway/error.h>
#include <causeway/span.h>

ptrdiff_t cw_http_decode(struct cw_span span, bool form, uint8_t *to)
{
    size_t len = 0;

    for (size_t i = 0; i < span.len; i++) {
        uint8_t byte = span.data[i];

        if (byte == '+' && form) {
            byte = ' ';
        } else if (byte == '%') {
            int decoded = span.len - i > 2 ? cw_http_hex(span.data + i + 1) : -1;
            if (decoded < 0) {
                return CW_EINVAL;
            }
            byte = (uint8_t)decoded;
            i += 2;
        }
        to[len++] = byte;
    }
    return (ptrdiff_t)len;
}

ptrdiff_t cw_http_encode(struct cw_span span, char *buffer, size_t cap)
{
    static const char digits[] = "0123456789ABCDEF"; /* RFC 3986 §2.1: upper case */
    size_t len = 0;

    for (size_t i = 0; i < span.len; i++) {
        uint8_t byte = span.data[i];
        bool plain = cw_http_byte_is(byte, CW_BYTE_UNRESERVED);

        if (cap - len <= (plain ? 1U : 3U)) {
            return CW_ETOOBIG;
        }
        if (plain) {
            buffer[len++] = (char)byte;
        } else {
            buffer[len++] = '%';
            buffer[len++] = digits[byte >> 4];
            buffer[len++] = digits[byte & 15];
        }
    }
    if (len >= cap) {
        return CW_ETOOBIG;
    }
    buffer[len] = '\0';
    return (ptrdiff_t)len;
}

/* Parts a piece at its first equals sign. False: it has none; the value is then empty, behind the name. */
static bool part(struct cw_span piece, struct cw_span *name, struct cw_span *value)
{
    const uint8_t *equals = memchr(piece.data, '=', piece.len);
    size_t len = equals != NULL ? (size_t)(equals - piece.data) : piece.len;

    *name = cw_span_of(piece.data, len);
    *value = equals != NULL ? cw_span_of(equals + 1, piece.len - len - 1)
                            : cw_span_of(piece.data + len, 0);
    return equals != NULL;
}

bool cw_http_form_next(struct cw_span *rest, struct cw_span *name, struct cw_span *value)
{
    while (rest->len > 0) {
        struct cw_span piece = cw_span_cut(rest, '&');
        if (piece.len > 0) {
            (void)part(piece, name, value);
            return true;
        }
    }
    return false;
}

/* Browsers write `a=1; b=2` (RFC 6265 §4.2.1); what is not of that form is passed over, since other cookies of the same field
 * may come from elsewhere. */
bool cw_http_cookie_next(struct cw_span *rest, struct cw_span *name, struct cw_span *value)
{
    while (rest->len > 0) {
        struct cw_span piece = cw_span_cut(rest, ';');
        if (!part(cw_http_trimmed(piece.data, piece.data + piece.len), name, value)) {
            continue;
        }
        *name = cw_http_trimmed(name->data, name->data + name->len);
        *value = cw_http_trimmed(value->data, value->data + value->len);
        if (value->len >= 2 && value->data[0] == '"' && value->data[value->len - 1] == '"') {
            *value = cw_span_of(value->data + 1, value->len - 2);
        }
        if (name->len > 0) {
            return true;
        }
    }
    return false;
}

#include "body_type.h"

#include <causeway/error.h>
#include <inttypes.h>
#include <stdio.h>

enum { SENTENCE = 160, CHARSET = 16 };

static bool ends_with(struct cw_span span, const char *suffix)
{
    size_t len = strlen(suffix);

    return span.len > len && cw_http_equal(cw_span_of(span.data + span.len - len, len), suffix);
}

static bool is_type(struct cw_span type, const struct cw_body_kind *kind)
{
    return cw_http_equal(type, kind->type) ||
           (kind->suffix != NULL && ends_with(type, kind->suffix));
}

static bool is_utf8(struct cw_span type)
{
    char charset[CHARSET];
    ptrdiff_t len = cw_http_parameter(type, "charset", charset, sizeof charset);

    return len == CW_ENOTFOUND ||
           (len > 0 && cw_http_equal(cw_span_of(charset, (size_t)len), "utf-8"));
}

static bool refuse(struct cw_http_exchange *http, const char *field, const char *value,
                   const char *text)
{
    (void)cw_http_set_field(http, field, value);
    (void)cw_http_reply_error(http, 415, text);
    return false;
}

static bool refuse_type(struct cw_http_exchange *http, const struct cw_body_kind *kind)
{
    char text[SENTENCE];

    snprintf(text, sizeof text, "The body must be of Content-Type: %s%s", kind->type,
             kind->text ? ", in UTF-8" : "");
    return refuse(http, "Accept", kind->type, text); /* RFC 9110 §12.5.1 */
}

bool cw_body_is_of(struct cw_http_exchange *http, const struct cw_body_kind *kind)
{
    size_t at = 0;
    struct cw_span type = cw_http_field_next(http, "Content-Type", &at);
    struct cw_span second = cw_http_field_next(http, "Content-Type", &at);
    struct cw_span encoding = cw_http_field(http, "Content-Encoding");

    if (type.data == NULL || second.data != NULL ||
        !is_type(cw_http_without_parameters(type), kind) || (kind->text && !is_utf8(type))) {
        return refuse_type(http, kind);
    }
    if (encoding.data != NULL && !cw_http_equal(encoding, "identity")) {
        return refuse(http, "Accept-Encoding", "identity", /* RFC 9110 §12.5.3 */
                      "The body must be sent without Content-Encoding");
    }
    return true;
}

bool cw_body_is_sent(const struct cw_http_exchange *http)
{
    return cw_http_body_length(http) != 0;
}

void cw_body_refuse_size(struct cw_http_exchange *http, uint64_t max)
{
    char text[SENTENCE];

    snprintf(text, sizeof text, "The body is longer than %" PRIu64 " bytes", max);
    (void)cw_http_reply_error(http, 413, text);
}

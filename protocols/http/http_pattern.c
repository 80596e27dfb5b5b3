/* Patterns of routes, read once when a server is set up. */
#include "http_pattern.h"

#include <causeway/error.h>
#include <causeway/span.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

static const struct {
    const char *name;
    enum cw_http_segment_kind kind;
} constraints[] = {
    {"int", CW_SEGMENT_INT}, {"alpha", CW_SEGMENT_ALPHA}, {"alnum", CW_SEGMENT_ALNUM},
    {"hex", CW_SEGMENT_HEX}, {"slug", CW_SEGMENT_SLUG},   {"uuid", CW_SEGMENT_UUID},
};

static const char *const usual_methods[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                            "OPTIONS", "CONNECT", "TRACE", "PATCH"};

__attribute__((format(printf, 2, 3))) static int refuse(char why[CW_HTTP_WHY_MAX],
                                                        const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why, CW_HTTP_WHY_MAX, format, args);
    va_end(args);
    return CW_EINVAL;
}

/* For "%.*s": as much as a sentence can take. */
static int shown(struct cw_span span)
{
    return span.len > 40 ? 40 : (int)span.len;
}

static const char *chars(struct cw_span span)
{
    return (const char *)span.data;
}

/* ---- kinds ---- */

static bool is_lower(uint8_t c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_upper(uint8_t c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(uint8_t c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_alpha(uint8_t c)
{
    return is_lower(c) || is_upper(c);
}

static bool is_alnum(uint8_t c)
{
    return is_alpha(c) || is_digit(c);
}

static bool all_are(struct cw_span text, bool (*is)(uint8_t c))
{
    for (size_t i = 0; i < text.len; i++) {
        if (!is(text.data[i])) {
            return false;
        }
    }
    return text.len > 0;
}

static bool is_uuid(struct cw_span text)
{
    if (text.len != 36) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? text.data[i] != '-' : !is_hex(text.data[i])) {
            return false;
        }
    }
    return true;
}

static bool is_int(struct cw_span text)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    uint64_t number;

    return cw_span_to_u64(cw_span_of(text.data + negative, text.len - negative),
                          (uint64_t)INT64_MAX + negative, &number) == CW_OK;
}

static bool is_slug(struct cw_span text)
{
    bool dash = true; /* none may stand at the start, at the end or behind another */

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        if (c == '-' ? dash : !is_lower(c) && !is_digit(c)) {
            return false;
        }
        dash = c == '-';
    }
    return !dash;
}

bool cw_http_segment_fits(enum cw_http_segment_kind kind, struct cw_span text)
{
    switch (kind) {
    case CW_SEGMENT_UUID:
        return is_uuid(text);
    case CW_SEGMENT_INT:
        return is_int(text);
    case CW_SEGMENT_HEX:
        return all_are(text, is_hex);
    case CW_SEGMENT_ALPHA:
        return all_are(text, is_alpha);
    case CW_SEGMENT_ALNUM:
        return all_are(text, is_alnum);
    case CW_SEGMENT_SLUG:
        return is_slug(text);
    case CW_SEGMENT_ANY:
        return text.len > 0;
    case CW_SEGMENT_LITERAL:
    case CW_SEGMENT_REST:
        break;
    }
    return false;
}

/* ---- segments ---- */

static bool is_name_char(uint8_t c)
{
    return is_alnum(c) || c == '_' || c == '-';
}

static int read_constraint(struct cw_span text, struct cw_http_segment *segment,
                           char why[CW_HTTP_WHY_MAX])
{
    for (size_t i = 0; i < sizeof constraints / sizeof constraints[0]; i++) {
        if (cw_span_equal(text, cw_span_text(constraints[i].name))) {
            segment->kind = constraints[i].kind;
            return CW_OK;
        }
    }
    return refuse(why, "<%.*s>: there are int, alpha, alnum, hex, slug and uuid", shown(text),
                  chars(text));
}

/* `name`, `name?`, `name<kind>`, `name<kind>?` behind the colon. */
static int read_parameter(struct cw_span text, struct cw_http_segment *segment, bool *optional,
                          char why[CW_HTTP_WHY_MAX])
{
    size_t len = 0;

    segment->kind = CW_SEGMENT_ANY;
    *optional = text.len > 0 && text.data[text.len - 1] == '?';
    text.len -= *optional;
    while (len < text.len && is_name_char(text.data[len])) {
        len++;
    }
    segment->text = cw_span_of(text.data, len);
    if (len == 0) {
        return refuse(why, "a parameter without a name; write `:name`");
    }
    if (len == text.len) {
        return CW_OK;
    }
    if (text.data[len] != '<' || text.data[text.len - 1] != '>') {
        return refuse(why, ":%.*s: a parameter is a whole segment, its name letters, digits, _, -",
                      shown(text), chars(text));
    }
    return read_constraint(cw_span_of(text.data + len + 1, text.len - len - 2), segment, why);
}

static int read_rest(struct cw_span text, struct cw_http_segment *segment, char why[CW_HTTP_WHY_MAX])
{
    segment->kind = CW_SEGMENT_REST;
    segment->text = text;
    if (text.len == 0) {
        return refuse(why, "a rest without a name; write `*name`");
    }
    return all_are(text, is_name_char)
               ? CW_OK
               : refuse(why, "*%.*s: the name of a rest is letters, digits, _, -", shown(text),
                        chars(text));
}

static bool has_escape(struct cw_span text)
{
    for (size_t i = 0; i + 2 < text.len; i++) {
        bool slash = memcmp(text.data + i, "%2F", 3) == 0;

        if (text.data[i] == '%' && is_hex(text.data[i + 1]) && is_hex(text.data[i + 2]) && !slash) {
            return true;
        }
    }
    return false;
}

/* What no path that was decoded and normalised can hold, or what was surely meant otherwise. */
static int read_literal(struct cw_span text, struct cw_http_segment *segment,
                        char why[CW_HTTP_WHY_MAX])
{
    segment->kind = CW_SEGMENT_LITERAL;
    segment->text = text;
    if (cw_span_equal(text, cw_span_text(".")) || cw_span_equal(text, cw_span_text(".."))) {
        return refuse(why, "no path has a segment `%.*s`", shown(text), chars(text));
    }
    if (has_escape(text)) {
        return refuse(why, "`%.*s`: patterns are written decoded", shown(text), chars(text));
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        if (c < ' ' || c == 0x7f) {
            return refuse(why, "a control character in the path");
        }
        if (strchr("{}<>", c)) {
            return refuse(why, "`%.*s`: parameters are written `:name` or `:name<int>`",
                          shown(text), chars(text));
        }
        if (c == '?') {
            return refuse(why, "`%.*s`: `?` stands behind `:name` only; a query is no part of it",
                          shown(text), chars(text));
        }
    }
    return CW_OK;
}

static int read_segment(struct cw_span text, struct cw_http_pattern *pattern,
                        char why[CW_HTTP_WHY_MAX])
{
    struct cw_http_segment *segment = &pattern->segments[pattern->count];

    pattern->count++;
    switch (text.data[0]) {
    case ':':
        return read_parameter(cw_span_of(text.data + 1, text.len - 1), segment,
                              &pattern->last_is_optional, why);
    case '*':
        return read_rest(cw_span_of(text.data + 1, text.len - 1), segment, why);
    default:
        return read_literal(text, segment, why);
    }
}

/* ---- paths ---- */

static int check_names(const struct cw_http_pattern *pattern, char why[CW_HTTP_WHY_MAX])
{
    size_t params = 0;

    for (size_t i = 0; i < pattern->count; i++) {
        struct cw_span name = pattern->segments[i].text;

        params += pattern->segments[i].kind != CW_SEGMENT_LITERAL;
        for (size_t j = 0; j < i && pattern->segments[i].kind != CW_SEGMENT_LITERAL; j++) {
            if (pattern->segments[j].kind != CW_SEGMENT_LITERAL &&
                cw_span_equal(pattern->segments[j].text, name)) {
                return refuse(why, "two parameters are called `%.*s`", shown(name), chars(name));
            }
        }
    }
    return params > CW_HTTP_PATTERN_PARAMS_MAX
               ? refuse(why, "%zu parameters; at most %d", params, CW_HTTP_PATTERN_PARAMS_MAX)
               : CW_OK;
}

static int check_end(const struct cw_http_pattern *pattern, bool prefix, char why[CW_HTTP_WHY_MAX])
{
    bool rest = pattern->count > 0 && pattern->segments[pattern->count - 1].kind == CW_SEGMENT_REST;

    if (prefix && (rest || pattern->last_is_optional)) {
        return refuse(why, "a prefix has no `*name` and nothing optional");
    }
    if (prefix && pattern->ends_in_slash) {
        return refuse(why, "a prefix does not end in a slash");
    }
    return CW_OK;
}

/* The segment under way ends at a slash: something follows. */
static int check_middle(const struct cw_http_pattern *pattern, char why[CW_HTTP_WHY_MAX])
{
    const struct cw_http_segment *last = &pattern->segments[pattern->count - 1];

    if (last->kind == CW_SEGMENT_REST) {
        return refuse(why, "nothing can stand behind `*%.*s`", shown(last->text), chars(last->text));
    }
    return pattern->last_is_optional
               ? refuse(why, "only the last segment can be optional, `:%.*s?` is not",
                        shown(last->text), chars(last->text))
               : CW_OK;
}

static int read_path(struct cw_span rest, struct cw_http_pattern *pattern, char why[CW_HTTP_WHY_MAX])
{
    int error = CW_OK;

    while (error == CW_OK && rest.len > 0) {
        const uint8_t *slash = memchr(rest.data, '/', rest.len);
        size_t len = slash ? (size_t)(slash - rest.data) : rest.len;

        if (len == 0) {
            return refuse(why, "two slashes in a row; paths have one");
        }
        if (pattern->count == CW_HTTP_SEGMENTS_MAX) {
            return refuse(why, "more than %d segments", CW_HTTP_SEGMENTS_MAX);
        }
        error = read_segment(cw_span_of(rest.data, len), pattern, why);
        if (error == CW_OK && slash) {
            error = check_middle(pattern, why);
        }
        pattern->ends_in_slash = slash != NULL;
        len += slash != NULL;
        rest = cw_span_of(rest.data + len, rest.len - len);
    }
    return error;
}

int cw_http_pattern_parse(const char *path, bool prefix, struct cw_http_pattern *pattern,
                          char why[CW_HTTP_WHY_MAX])
{
    struct cw_span text = cw_span_text(path);
    int error;

    pattern->count = 0;
    pattern->last_is_optional = false;
    pattern->is_asterisk = !prefix && cw_span_equal(text, cw_span_text("*"));
    pattern->ends_in_slash = !prefix || text.len == 1;
    if (pattern->is_asterisk || (prefix && text.len == 0)) {
        return CW_OK;
    }
    if (text.len == 0 || text.data[0] != '/') {
        return refuse(why, "the %s does not begin with a slash", prefix ? "prefix" : "path");
    }
    if (text.data[text.len - 1] == ' ') {
        return refuse(why, "a space at the end");
    }
    error = read_path(cw_span_of(text.data + 1, text.len - 1), pattern, why);
    error = error < 0 ? error : check_end(pattern, prefix, why);
    return error < 0 ? error : check_names(pattern, why);
}

/* ---- methods ---- */

static bool is_token_char(uint8_t c)
{
    return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

int cw_http_pattern_method(struct cw_span *rest, struct cw_span *method, char why[CW_HTTP_WHY_MAX])
{
    const uint8_t *bar = rest->len > 0 ? memchr(rest->data, '|', rest->len) : NULL;
    size_t len = bar ? (size_t)(bar - rest->data) : rest->len;

    *method = cw_span_of(rest->data, len);
    if (len == 0 || (bar && len + 1 == rest->len)) {
        return refuse(why, "a method is missing; write `GET /path` or `* /path`");
    }
    if (!all_are(*method, is_token_char)) {
        return refuse(why, "`%.*s` is no method; several are written `GET|PUT`", shown(*method),
                      chars(*method));
    }
    for (size_t i = 0; i < sizeof usual_methods / sizeof usual_methods[0]; i++) {
        const char *usual = usual_methods[i];

        if (strlen(usual) == len && strncasecmp(usual, chars(*method), len) == 0 &&
            memcmp(usual, chars(*method), len) != 0) {
            return refuse(why, "methods are case-sensitive; write %s", usual);
        }
    }
    len += bar != NULL;
    *rest = cw_span_of(rest->data + len, rest->len - len);
    return CW_OK;
}

/* What the head of a part says. Everything is read first, as views; then the views are ended with zero bytes, over separators
 * that are not needed any more. */
#include "multipart_parser.h"

#include <causeway/error.h>
#include <causeway/http_fields.h>
#include <causeway/span.h>
#include <strings.h>

/* Text of the head that may be changed; data NULL: not there. */
struct text {
    char *data;
    size_t len;
};

struct reading {
    const char *why;
    bool has_disposition;
    struct text name;
    struct text filename;
    struct text filename_ext; /* filename* */
    struct text type;
};

static int fail(struct reading *reading, const char *why)
{
    reading->why = why;
    return CW_EPROTO;
}

static struct cw_span span_of(struct text text)
{
    return cw_span_of(text.data, text.len);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static void skip_blanks(struct text *rest)
{
    while (rest->len > 0 && is_blank(*rest->data)) {
        rest->data++;
        rest->len--;
    }
}

static bool take(struct text *rest, char c)
{
    if (rest->len == 0 || *rest->data != c) {
        return false;
    }
    rest->data++;
    rest->len--;
    return true;
}

/* What stands before any of these characters, or all. */
static struct text take_until(struct text *rest, const char *ends)
{
    struct text taken = {rest->data, 0};

    while (rest->len > 0 && strchr(ends, *rest->data) == NULL) {
        rest->data++;
        rest->len--;
        taken.len++;
    }
    return taken;
}

/* ---- parameters of Content-Disposition ---- */

/* A quoted text, its quotes taken off. Browsers send a backslash as it is, so one escapes a quote or a backslash and nothing
 * else. */
static bool take_quoted(struct text *rest, struct text *value)
{
    *value = (struct text){rest->data, 0};
    while (!take(rest, '"')) {
        if (rest->len > 1 && *rest->data == '\\' &&
            (rest->data[1] == '"' || rest->data[1] == '\\')) {
            (void)take(rest, '\\');
        }
        if (rest->len == 0) {
            return false;
        }
        value->data[value->len++] = *rest->data;
        rest->data++;
        rest->len--;
    }
    return true;
}

static bool take_value(struct text *rest, struct text *value)
{
    if (take(rest, '"')) {
        return take_quoted(rest, value);
    }
    *value = take_until(rest, " \t;");
    return cw_http_is_token(span_of(*value));
}

static struct text *place_of(struct reading *reading, struct text name)
{
    struct cw_span span = span_of(name);

    if (cw_http_equal(span, "name")) {
        return &reading->name;
    }
    if (cw_http_equal(span, "filename")) {
        return &reading->filename;
    }
    return cw_http_equal(span, "filename*") ? &reading->filename_ext : NULL;
}

static int read_parameter(struct reading *reading, struct text *rest)
{
    struct text name = take_until(rest, "= \t;");
    struct text value;

    if (!cw_http_is_token(span_of(name)) || !take(rest, '=') || !take_value(rest, &value)) {
        return fail(reading, "A parameter of Content-Disposition in a part is malformed");
    }
    struct text *place = place_of(reading, name);
    if (place == NULL) {
        return CW_OK;
    }
    if (place->data != NULL) {
        return fail(reading, "A part has two names, or two file names");
    }
    *place = value;
    return CW_OK;
}

static int read_disposition(struct reading *reading, struct text value)
{
    if (reading->has_disposition) {
        return fail(reading, "A part has Content-Disposition twice");
    }
    reading->has_disposition = true;
    if (!cw_http_equal(span_of(take_until(&value, " \t;")), "form-data")) {
        return fail(reading, "A part is not form-data");
    }
    for (;;) { /* each round takes a semicolon, or ends */
        skip_blanks(&value);
        if (value.len == 0) {
            return CW_OK;
        }
        if (!take(&value, ';')) {
            return fail(reading, "A parameter of Content-Disposition in a part is malformed");
        }
        skip_blanks(&value);
        if (value.len > 0 && *value.data != ';' && read_parameter(reading, &value) < 0) {
            return CW_EPROTO;
        }
    }
}

/* ---- fields ---- */

static int read_type(struct reading *reading, struct text value)
{
    if (reading->type.data != NULL) {
        return fail(reading, "A part has Content-Type twice");
    }
    reading->type = value;
    return CW_OK;
}

/* RFC 7578 §4.7: nobody encodes a part for transfer over HTTP. */
static int read_transfer_encoding(struct reading *reading, struct text value)
{
    static const char *const as_it_is[] = {"7bit", "8bit", "binary"};

    for (size_t i = 0; i < sizeof as_it_is / sizeof *as_it_is; i++) {
        if (cw_http_equal(span_of(value), as_it_is[i])) {
            return CW_OK;
        }
    }
    return fail(reading, "A part has a Content-Transfer-Encoding; send its bytes as they are");
}

static int read_field(struct reading *reading, struct text line)
{
    struct text name = take_until(&line, ":");

    if (!cw_http_is_token(span_of(name)) || !take(&line, ':')) {
        return fail(reading, "A field in the head of a part is malformed");
    }
    skip_blanks(&line);
    while (line.len > 0 && is_blank(line.data[line.len - 1])) {
        line.len--;
    }
    if (cw_http_equal(span_of(name), "content-disposition")) {
        return read_disposition(reading, line);
    }
    if (cw_http_equal(span_of(name), "content-type")) {
        return read_type(reading, line);
    }
    return cw_http_equal(span_of(name), "content-transfer-encoding")
               ? read_transfer_encoding(reading, line)
               : CW_OK;
}

/* RFC 5322 §2.2.3: a line that begins with space goes on with the one before it. */
static void unfold(char *head, size_t len)
{
    for (size_t i = 0; i + 2 < len; i++) {
        if (head[i] == '\r' && is_blank(head[i + 2])) {
            head[i] = ' ';
            head[i + 1] = ' ';
        }
    }
}

static int read_fields(struct reading *reading, struct text rest)
{
    while (rest.len > 0) {
        struct text line = take_until(&rest, "\r");
        if (read_field(reading, line) < 0) {
            return CW_EPROTO;
        }
        (void)take(&rest, '\r');
        (void)take(&rest, '\n');
    }
    return reading->has_disposition && reading->name.data != NULL
               ? CW_OK
               : fail(reading, "A part has no name (Content-Disposition: form-data; name=…)");
}

/* ---- names ---- */

/* The three that browsers escape (HTML, "multipart/form-data"); a percent sign is itself otherwise. */
static void unescape(struct text *text)
{
    static const char *const escapes = "%22\"%0D\r%0A\n";
    size_t len = 0;

    for (size_t i = 0; i < text->len; i++) {
        char c = text->data[i];
        for (size_t k = 0; k < 12 && c == '%' && text->len - i >= 3; k += 4) {
            if (strncasecmp(text->data + i, escapes + k, 3) == 0) {
                c = escapes[k + 3];
                i += 2;
            }
        }
        text->data[len++] = c;
    }
    text->len = len;
}

/* RFC 8187 §3.2: `UTF-8'language'%-escaped`. */
static int read_ext(struct reading *reading)
{
    struct text rest = reading->filename_ext;
    struct text charset = take_until(&rest, "'");

    if (!cw_http_equal(span_of(charset), "utf-8") || !take(&rest, '\'')) {
        return fail(reading, "A part's filename* is not in UTF-8");
    }
    (void)take_until(&rest, "'");
    if (!take(&rest, '\'')) {
        return fail(reading, "A part's filename* is malformed");
    }
    ptrdiff_t len = cw_http_decode(span_of(rest), false, (uint8_t *)rest.data);
    if (len < 0) {
        return fail(reading, "A part's filename* is malformed");
    }
    reading->filename = (struct text){rest.data, (size_t)len};
    return CW_OK;
}

/* Leaves what can be shown and would be harmless as a name in a directory. */
static void clean_filename(struct text *name)
{
    for (size_t i = name->len; i > 0; i--) {
        if (name->data[i - 1] == '/' || name->data[i - 1] == '\\') {
            name->data += i;
            name->len -= i;
            break;
        }
    }
    bool only_dots = name->len == 1 || name->len == 2;
    for (size_t i = 0; i < name->len; i++) {
        only_dots = only_dots && name->data[i] == '.';
        if ((uint8_t)name->data[i] < 0x20 || name->data[i] == 0x7f) {
            name->data[i] = '_';
        }
    }
    if (only_dots) {
        name->data[0] = '_';
    }
}

static int judge_names(struct reading *reading)
{
    unescape(&reading->name);
    if (reading->filename.data != NULL) {
        unescape(&reading->filename);
    }
    if (reading->filename_ext.data != NULL && read_ext(reading) < 0) {
        return CW_EPROTO;
    }
    if (!cw_span_is_utf8(span_of(reading->name)) || !cw_span_is_utf8(span_of(reading->filename)) ||
        !cw_span_is_utf8(span_of(reading->type))) {
        return fail(reading, "The head of a part is not UTF-8");
    }
    if (reading->filename.data != NULL) {
        clean_filename(&reading->filename);
    }
    return CW_OK;
}

/* Every text is followed by a byte of the head: a quote, a separator or its line's end. */
static char *end(struct text text)
{
    if (text.data != NULL) {
        text.data[text.len] = '\0';
    }
    return text.data;
}

int cw_multipart_read_head(char *head, size_t len, struct cw_multipart_head *fields,
                           const char **why)
{
    struct reading reading = {.why = NULL};

    unfold(head, len);
    if (read_fields(&reading, (struct text){head, len}) < 0 || judge_names(&reading) < 0) {
        *why = reading.why;
        return CW_EPROTO;
    }
    *fields = (struct cw_multipart_head){
        .name = end(reading.name), .filename = end(reading.filename), .type = end(reading.type)};
    return CW_OK;
}

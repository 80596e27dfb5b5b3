/* The borders between parts. A delimiter begins with a CR and holds no other, so bytes that looked like one and were not are data
 * as a whole: nothing inside of them can begin another. */
#include "multipart_parser.h"

#include <causeway/error.h>

enum { PADDING_MAX = 256, LINE_END = 2 };

static int fail(struct cw_multipart *parser, int code, const char *why)
{
    parser->why = why;
    return code;
}

static bool is_boundary_char(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
           (byte >= 'A' && byte <= 'Z') || (byte != 0 && strchr("'()+_,-./:=? ", byte) != NULL);
}

static bool is_boundary(struct cw_span boundary)
{
    if (boundary.len == 0 || boundary.len > CW_BOUNDARY_MAX ||
        boundary.data[boundary.len - 1] == ' ') {
        return false;
    }
    for (size_t i = 0; i < boundary.len; i++) {
        if (!is_boundary_char(boundary.data[i])) {
            return false;
        }
    }
    return true;
}

/* A line end stands before the bytes that follow: the first boundary may be at the start of the body, and that of a part without
 * a body right behind its head (RFC 2046 §5.1.1: the body and the CRLF before it are optional). */
static void look_for_delimiter(struct cw_multipart *parser, enum cw_multipart_step step)
{
    parser->step = step;
    parser->matched = LINE_END;
    parser->given = LINE_END;
}

int cw_multipart_begin(struct cw_multipart *parser, struct cw_span boundary, char *head,
                       size_t head_cap)
{
    if (!is_boundary(boundary)) {
        return CW_EINVAL;
    }
    *parser = (struct cw_multipart){.head = head, .head_cap = head_cap};
    memcpy(parser->delimiter, "\r\n--", 4);
    memcpy(parser->delimiter + 4, boundary.data, boundary.len);
    parser->delimiter_len = 4 + boundary.len;
    look_for_delimiter(parser, CW_MULTIPART_IN_PREAMBLE);
    return CW_OK;
}

bool cw_multipart_is_whole(const struct cw_multipart *parser)
{
    return parser->step == CW_MULTIPART_IN_EPILOGUE;
}

static void use(struct cw_span *in, size_t len)
{
    in->data += len;
    in->len -= len;
}

/* ---- between two delimiters ---- */

/* Takes what stands before the next run that may be a delimiter, and the run. */
static struct cw_span take_data(struct cw_multipart *parser, struct cw_span *in)
{
    const uint8_t *start = in->data;
    const uint8_t *end = start + in->len;
    const uint8_t *at = memchr(start, '\r', in->len);

    while (at != NULL) {
        size_t left = (size_t)(end - at);
        size_t len = left < parser->delimiter_len ? left : parser->delimiter_len;
        if (memcmp(at, parser->delimiter, len) == 0) {
            parser->matched = len;
            parser->given = 0;
            use(in, (size_t)(at - start) + len);
            return cw_span_of(start, (size_t)(at - start));
        }
        at = memchr(at + 1, '\r', left - 1);
    }
    use(in, in->len);
    return cw_span_of(start, (size_t)(end - start));
}

/* Goes on with a run. False: it is no delimiter; *data is set to its bytes. */
static bool match_on(struct cw_multipart *parser, struct cw_span *in, struct cw_span *data)
{
    size_t len = parser->delimiter_len - parser->matched;

    len = in->len < len ? in->len : len;
    size_t same = 0;
    while (same < len && in->data[same] == parser->delimiter[parser->matched + same]) {
        same++;
    }
    parser->matched += same;
    use(in, same);
    if (same == len) {
        return true;
    }
    *data = cw_span_of(parser->delimiter + parser->given, parser->matched - parser->given);
    parser->matched = 0;
    parser->given = 0;
    return false;
}

/* Sets *data to bytes before the delimiter, and goes behind it when that has been reached. */
static void scan(struct cw_multipart *parser, struct cw_span *in, struct cw_span *data)
{
    *data = cw_span_of(in->data, 0);
    if (parser->matched == 0) {
        *data = take_data(parser, in);
        return;
    }
    if (match_on(parser, in, data) && parser->matched == parser->delimiter_len) {
        parser->step = CW_MULTIPART_BEHIND_BOUNDARY;
        parser->padding = 0;
    }
}

/* ---- the rest of a boundary's line ---- */

static int end_part(struct cw_multipart *parser)
{
    bool was_in_part = parser->in_part;

    parser->in_part = false;
    return was_in_part ? CW_MULTIPART_PART_END : CW_MULTIPART_MORE;
}

static int take_padding(struct cw_multipart *parser, uint8_t byte)
{
    if (byte == '\r') {
        parser->step = CW_MULTIPART_BEHIND_CR;
        return CW_OK;
    }
    if (byte != ' ' && byte != '\t') {
        return fail(parser, CW_EPROTO, "A line begins like a boundary and goes on otherwise");
    }
    parser->step = CW_MULTIPART_IN_PADDING;
    parser->padding++;
    return parser->padding > PADDING_MAX
               ? fail(parser, CW_EPROTO, "Too much space follows a boundary")
               : CW_OK;
}

/* One byte behind a boundary. A part ends when its line proves to be whole. */
static int take_line(struct cw_multipart *parser, uint8_t byte)
{
    switch (parser->step) {
    case CW_MULTIPART_BEHIND_BOUNDARY:
        if (byte == '-') {
            parser->step = CW_MULTIPART_BEHIND_DASH;
            return CW_OK;
        }
        return take_padding(parser, byte);
    case CW_MULTIPART_BEHIND_DASH:
        if (byte != '-') {
            return fail(parser, CW_EPROTO, "A line begins like a boundary and goes on otherwise");
        }
        parser->step = CW_MULTIPART_AT_END;
        return end_part(parser);
    case CW_MULTIPART_BEHIND_CR:
        if (byte != '\n') {
            return fail(parser, CW_EPROTO, "A bare CR follows a boundary");
        }
        parser->step = CW_MULTIPART_IN_HEAD;
        parser->head_len = 0;
        return end_part(parser);
    default:
        return take_padding(parser, byte);
    }
}

/* ---- the head of a part ---- */

static bool head_ends_with(const struct cw_multipart *parser, const char *text)
{
    size_t len = strlen(text);

    return parser->head_len >= len && memcmp(parser->head + parser->head_len - len, text, len) == 0;
}

static bool fits_line(const struct cw_multipart *parser, uint8_t byte)
{
    bool behind_cr = head_ends_with(parser, "\r");

    return behind_cr == (byte == '\n') &&
           (byte >= 0x20 || byte == '\t' || byte == '\r' || behind_cr) && byte != 0x7f;
}

static int take_head(struct cw_multipart *parser, uint8_t byte)
{
    if (parser->head_len == parser->head_cap) {
        return fail(parser, CW_ETOOBIG, "The head of a part is too long");
    }
    if (!fits_line(parser, byte)) {
        return fail(parser, CW_EPROTO,
                    "The head of a part has a bare CR or LF, or a control character");
    }
    parser->head[parser->head_len++] = (char)byte;
    bool empty = parser->head_len == LINE_END && head_ends_with(parser, "\r\n");
    if (!empty && !head_ends_with(parser, "\r\n\r\n")) {
        return CW_MULTIPART_MORE;
    }
    parser->head_len -= LINE_END;
    parser->in_part = true;
    look_for_delimiter(parser, CW_MULTIPART_IN_DATA);
    return CW_MULTIPART_HEAD;
}

/* ---- all of it ---- */

static int take_byte(struct cw_multipart *parser, struct cw_span *in)
{
    uint8_t byte = in->data[0];

    use(in, 1);
    return parser->step == CW_MULTIPART_IN_HEAD ? take_head(parser, byte) : take_line(parser, byte);
}

static int step(struct cw_multipart *parser, struct cw_span *in, struct cw_span *data)
{
    switch (parser->step) {
    case CW_MULTIPART_IN_PREAMBLE:
        scan(parser, in, data);
        return CW_MULTIPART_MORE;
    case CW_MULTIPART_IN_DATA:
        scan(parser, in, data);
        return data->len > 0 ? CW_MULTIPART_DATA : CW_MULTIPART_MORE;
    case CW_MULTIPART_AT_END:
        parser->step = CW_MULTIPART_IN_EPILOGUE;
        return CW_MULTIPART_END;
    case CW_MULTIPART_IN_EPILOGUE:
        use(in, in->len);
        return CW_MULTIPART_MORE;
    default:
        return take_byte(parser, in);
    }
}

int cw_multipart_next(struct cw_multipart *parser, struct cw_span *in, struct cw_span *data)
{
    int event = CW_MULTIPART_MORE;

    *data = cw_span_of(in->data, 0);
    while (event == CW_MULTIPART_MORE && (in->len > 0 || parser->step == CW_MULTIPART_AT_END)) {
        event = step(parser, in, data);
    }
    return event;
}

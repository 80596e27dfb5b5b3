/* Bodies in chunks (RFC 9112 §7.1), strictly. */
#include "http_parse_impl.h"

/* Where in a size line the next byte stands. */
enum part {
    PART_FIRST_DIGIT, /* zero: a line begins */
    PART_DIGIT,
    PART_SIZE_BLANK, /* white space behind a size or a value: a semicolon has to follow */
    PART_NAME_BEGIN,
    PART_NAME,
    PART_NAME_BLANK, /* white space behind a name: a semicolon or an equals sign has to follow */
    PART_VALUE_BEGIN,
    PART_VALUE,
    PART_QUOTED,
    PART_ESCAPED,
    PART_QUOTE_END,
    PART_LF,
    PART_WRONG,
};

static bool is_token(uint8_t byte)
{
    return cw_http_byte_is(byte, CW_BYTE_TOKEN);
}

static bool is_text(uint8_t byte)
{
    return byte == '\t' || (byte >= ' ' && byte != 0x7f);
}

/* Behind something that may be the last of its line. */
static enum part after(uint8_t byte, enum part blank)
{
    if (byte == '\r') {
        return PART_LF;
    }
    if (byte == ';') {
        return PART_NAME_BEGIN;
    }
    return cw_http_is_blank(byte) ? blank : PART_WRONG;
}

static enum part after_quoted(uint8_t byte)
{
    if (byte == '"') {
        return PART_QUOTE_END;
    }
    if (byte == '\\') {
        return PART_ESCAPED;
    }
    return is_text(byte) ? PART_QUOTED : PART_WRONG;
}

static enum part begin_value(uint8_t byte)
{
    if (byte == '"') {
        return PART_QUOTED;
    }
    if (cw_http_is_blank(byte)) {
        return PART_VALUE_BEGIN;
    }
    return is_token(byte) ? PART_VALUE : PART_WRONG;
}

static enum part begin_name(uint8_t byte)
{
    if (cw_http_is_blank(byte)) {
        return PART_NAME_BEGIN;
    }
    return is_token(byte) ? PART_NAME : PART_WRONG;
}

/* RFC 9112 §7.1.1, behind the digits: *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ) CRLF. */
static enum part after_extension(enum part part, uint8_t byte)
{
    switch (part) {
    case PART_NAME_BEGIN:
        return begin_name(byte);
    case PART_NAME:
        if (is_token(byte)) {
            return PART_NAME;
        }
        return byte == '=' ? PART_VALUE_BEGIN : after(byte, PART_NAME_BLANK);
    case PART_NAME_BLANK:
        if (byte == '=') {
            return PART_VALUE_BEGIN;
        }
        return byte == '\r' ? PART_WRONG : after(byte, PART_NAME_BLANK);
    case PART_VALUE_BEGIN:
        return begin_value(byte);
    case PART_VALUE:
        return is_token(byte) ? PART_VALUE : after(byte, PART_SIZE_BLANK);
    case PART_QUOTED:
        return after_quoted(byte);
    case PART_ESCAPED:
        return is_text(byte) ? PART_QUOTED : PART_WRONG;
    case PART_QUOTE_END:
        return after(byte, PART_SIZE_BLANK);
    case PART_SIZE_BLANK:
        return byte == '\r' ? PART_WRONG : after(byte, PART_SIZE_BLANK);
    default:
        return PART_WRONG;
    }
}

/* 16: not a hexadecimal digit. */
static unsigned digit_of(uint8_t byte)
{
    uint8_t letter = (uint8_t)((byte | 0x20) - 'a');

    if (cw_http_is_digit(byte)) {
        return byte - (unsigned)'0';
    }
    return letter < 6 ? letter + 10U : 16;
}

static enum part after_digits(struct cw_http_chunks *chunks, uint8_t byte)
{
    unsigned digit = digit_of(byte);

    if (digit == 16) {
        return chunks->part == PART_DIGIT ? after(byte, PART_SIZE_BLANK) : PART_WRONG;
    }
    if (chunks->seen > 16) { /* this digit included; nothing but digits has come in this line */
        return PART_WRONG;
    }
    chunks->left = chunks->left << 4 | digit;
    return PART_DIGIT;
}

static ptrdiff_t refuse(const char **why, int status, const char *sentence)
{
    *why = sentence;
    return -status;
}

/* A size line is whole. */
static ptrdiff_t begin_chunk(struct cw_http_chunks *chunks, uint64_t max, const char **why)
{
    if (chunks->total > max || chunks->left > max - chunks->total) {
        return refuse(why, 413, "a chunk that makes the body longer than body_max_bytes");
    }
    chunks->total += chunks->left;
    if (chunks->overhead > CW_CHUNK_OVERHEAD_FREE &&
        (chunks->overhead - CW_CHUNK_OVERHEAD_FREE) / 16 > chunks->total) {
        return refuse(why, 400, "chunks whose sizes and extensions outweigh their data");
    }
    chunks->step = chunks->left == 0 ? CW_CHUNK_TRAILERS : CW_CHUNK_DATA;
    chunks->seen = 0;
    chunks->part = PART_FIRST_DIGIT;
    return 0;
}

/* One byte of a size line. */
static ptrdiff_t take_size(struct cw_http_chunks *chunks, uint64_t max, uint8_t byte,
                           const char **why)
{
    enum part part = chunks->part;

    chunks->overhead++;
    if (++chunks->seen > CW_CHUNK_LINE_MAX) {
        return refuse(why, 400, "a chunk's size line is longer than 256 bytes");
    }
    if (part == PART_LF) {
        return byte == '\n' ? begin_chunk(chunks, max, why)
                            : refuse(why, 400, "a CR without LF behind a chunk's size");
    }
    part = part <= PART_DIGIT ? after_digits(chunks, byte) : after_extension(part, byte);
    chunks->part = (uint8_t)part;
    return part == PART_WRONG ? refuse(why, 400, "a malformed chunk size or extension") : 0;
}

/* One byte of the CRLF behind a chunk's data. */
static ptrdiff_t take_end(struct cw_http_chunks *chunks, uint8_t byte, const char **why)
{
    if (byte != (chunks->seen == 0 ? '\r' : '\n')) {
        return refuse(why, 400, "a chunk that is not followed by CRLF");
    }
    if (chunks->seen++ == 1) {
        chunks->step = CW_CHUNK_SIZE;
        chunks->seen = 0;
    }
    return 0;
}

static size_t take_data(struct cw_http_chunks *chunks, const uint8_t *data, size_t len,
                        struct cw_span *piece)
{
    size_t used = chunks->left < len ? (size_t)chunks->left : len;

    *piece = cw_span_of(data, used);
    chunks->left -= used;
    if (chunks->left == 0) {
        chunks->step = CW_CHUNK_DATA_END;
    }
    return used;
}

ptrdiff_t cw_http_chunks_next(struct cw_http_chunks *chunks, uint64_t max, struct cw_span input,
                              struct cw_span *piece, const char **why)
{
    const uint8_t *data = input.data;
    size_t used = 0;

    *piece = cw_span_of(data, 0);
    while (used < input.len && chunks->step < CW_CHUNK_TRAILERS) {
        ptrdiff_t judged = 0;

        if (chunks->step == CW_CHUNK_DATA) {
            return (ptrdiff_t)(used + take_data(chunks, data + used, input.len - used, piece));
        }
        judged = chunks->step == CW_CHUNK_SIZE ? take_size(chunks, max, data[used], why)
                                               : take_end(chunks, data[used], why);
        if (judged != 0) {
            return judged;
        }
        used++;
    }
    return (ptrdiff_t)used;
}

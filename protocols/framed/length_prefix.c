/* Fixed lengths, varints and netstrings. */
#include "framed/length_prefix.h"

/* ---- fixed ---- */

/* body length = length on the wire + shift. `configure` keeps the adjustment within 31 bits. */
static int64_t shift_of(const struct cw_framed_options *options)
{
    int64_t header = (int64_t)(options->length_offset + options->length_bytes);

    return options->adjustment - (options->length_with_header ? header : 0);
}

static uint64_t magnitude(int64_t number)
{
    return number < 0 ? (uint64_t)0 - (uint64_t)number : (uint64_t)number;
}

static uint64_t wire_max(uint64_t length_bytes)
{
    return UINT64_MAX >> (64 - 8 * length_bytes);
}

static uint64_t load(const uint8_t *data, size_t len, bool little_endian)
{
    uint64_t value = 0;

    for (size_t i = 0; i < len; i++) {
        value = value << 8 | data[little_endian ? len - 1 - i : i];
    }
    return value;
}

static void store(uint8_t *data, size_t len, bool little_endian, uint64_t value)
{
    for (size_t i = 0; i < len; i++) {
        data[little_endian ? i : len - 1 - i] = (uint8_t)value;
        value >>= 8;
    }
}

static int parse_fixed(const struct cw_framed_options *options, const uint8_t *data, size_t len,
                       struct cw_frame_head *head)
{
    size_t header = cw_frame_header_len(options);

    if (len < header) {
        return CW_FRAME_MORE;
    }

    uint64_t wire =
        load(data + options->length_offset, (size_t)options->length_bytes, options->little_endian);
    int64_t shift = shift_of(options);
    uint64_t distance = magnitude(shift);

    if (shift < 0 && wire < distance) {
        head->wrong = "a length that is smaller than what it counts";
        return CW_EPROTO;
    }
    if (shift > 0 && wire > UINT64_MAX - distance) {
        head->body_len = UINT64_MAX;
        return CW_ETOOBIG;
    }
    head->header_len = header;
    head->body_len = shift < 0 ? wire - distance : wire + distance;
    return CW_FRAME_READ;
}

static int write_fixed(const struct cw_framed_options *options, uint64_t body_len, uint8_t *header)
{
    int64_t shift = shift_of(options);
    uint64_t distance = magnitude(shift);

    if (shift > 0 && body_len < distance) {
        return CW_EKIND;
    }
    /* No overflow: the limit is never above what the length can express. */
    store(header + options->length_offset, (size_t)options->length_bytes, options->little_endian,
          shift < 0 ? body_len + distance : body_len - distance);
    return (int)cw_frame_header_len(options);
}

/* ---- varint ---- */

enum { VARINT_MAX = 10 };

static int parse_varint(const uint8_t *data, size_t len, struct cw_frame_head *head)
{
    uint64_t value = 0;

    for (size_t i = 0; i < len; i++) {
        uint8_t byte = data[i];

        /* The tenth byte has room for the 64th bit and nothing else. */
        if (i == VARINT_MAX - 1 && byte > 1) {
            head->wrong = "a varint of more than 64 bits";
            return CW_EPROTO;
        }
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) != 0) {
            continue;
        }
        /* A second spelling of one length is of use only to those who smuggle. */
        if (byte == 0 && i > 0) {
            head->wrong = "a varint that is not in its shortest form";
            return CW_EPROTO;
        }
        head->header_len = i + 1;
        head->body_len = value;
        return CW_FRAME_READ;
    }
    return CW_FRAME_MORE;
}

static int write_varint(uint64_t body_len, uint8_t *header)
{
    int len = 0;

    for (; body_len > 0x7f; body_len >>= 7) {
        header[len++] = (uint8_t)(body_len | 0x80);
    }
    header[len++] = (uint8_t)body_len;
    return len;
}

/* ---- netstring ---- */

static int add_digit(uint64_t max, uint8_t byte, uint64_t *value)
{
    uint64_t digit = (uint64_t)byte - '0';

    /* The limit bounds the digits, too: one more is judged before another is waited for. */
    if (*value > (UINT64_MAX - digit) / 10) {
        *value = UINT64_MAX;
        return CW_ETOOBIG;
    }
    *value = *value * 10 + digit;
    return *value > max ? CW_ETOOBIG : CW_OK;
}

static int parse_netstring(uint64_t max, const uint8_t *data, size_t len, struct cw_frame_head *head)
{
    head->body_len = 0;
    for (size_t i = 0; i < len; i++) {
        if (data[i] == ':' && i > 0) {
            head->header_len = i + 1;
            return CW_FRAME_READ;
        }
        if (data[i] < '0' || data[i] > '9') {
            head->wrong = i == 0 ? "no digit where a netstring begins"
                                 : "neither a digit nor a colon in a netstring's length";
            return CW_EPROTO;
        }
        if (i > 0 && data[0] == '0') {
            head->wrong = "a leading zero in a netstring's length";
            return CW_EPROTO;
        }
        if (add_digit(max, data[i], &head->body_len) != CW_OK) {
            return CW_ETOOBIG;
        }
    }
    return CW_FRAME_MORE;
}

static int write_netstring(uint64_t body_len, uint8_t *header)
{
    int digits = 1;

    for (uint64_t rest = body_len; rest > 9; rest /= 10) {
        digits++;
    }
    header[digits] = ':';
    for (int i = digits - 1; i >= 0; i--) {
        header[i] = (uint8_t)('0' + body_len % 10);
        body_len /= 10;
    }
    return digits + 1;
}

/* ---- all of them ---- */

int cw_frame_parse(const struct cw_framed_options *options, const uint8_t *data, size_t len,
                   struct cw_frame_head *head)
{
    int result;

    switch (options->framing) {
    case CW_FRAMING_VARINT:
        result = parse_varint(data, len, head);
        break;
    case CW_FRAMING_NETSTRING:
        result = parse_netstring(options->frame_max_bytes, data, len, head);
        break;
    case CW_FRAMING_FIXED:
    default:
        result = parse_fixed(options, data, len, head);
        break;
    }
    if (result != CW_FRAME_READ) {
        return result;
    }
    if (head->body_len > options->frame_max_bytes) {
        return CW_ETOOBIG;
    }
    if (head->body_len == 0 && options->refuse_empty) {
        head->wrong = "an empty frame";
        return CW_EPROTO;
    }
    return CW_FRAME_READ;
}

int cw_frame_write(const struct cw_framed_options *options, uint64_t body_len, uint8_t *header)
{
    if (body_len > options->frame_max_bytes) {
        return CW_ETOOBIG;
    }
    if (body_len == 0 && options->refuse_empty) {
        return CW_EKIND;
    }
    switch (options->framing) {
    case CW_FRAMING_VARINT:
        return write_varint(body_len, header);
    case CW_FRAMING_NETSTRING:
        return write_netstring(body_len, header);
    case CW_FRAMING_FIXED:
    default:
        return write_fixed(options, body_len, header);
    }
}

size_t cw_frame_header_len(const struct cw_framed_options *options)
{
    return options->framing == CW_FRAMING_FIXED
               ? (size_t)(options->length_offset + options->length_bytes)
               : 0;
}

struct cw_span cw_frame_trailer(const struct cw_framed_options *options)
{
    return cw_span_text(options->framing == CW_FRAMING_NETSTRING ? "," : "");
}

bool cw_frame_range(const struct cw_framed_options *options, uint64_t *least, uint64_t *most)
{
    *least = 0;
    *most = UINT64_MAX;
    if (options->framing != CW_FRAMING_FIXED) {
        return true;
    }

    int64_t shift = shift_of(options);
    uint64_t distance = magnitude(shift);
    uint64_t wire = wire_max(options->length_bytes);

    if (shift < 0) {
        *most = wire >= distance ? wire - distance : 0;
        return wire >= distance;
    }
    *least = distance;
    *most = wire > UINT64_MAX - distance ? UINT64_MAX : wire + distance;
    return true;
}

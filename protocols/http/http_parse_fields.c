/* Fields of a head, read by llhttp. It gets a request line of ours before them, so that methods it does not know pass and its
 * versions agree; request and status lines are read in http_parse.c. Its own opinions on framing are switched to lenient, for
 * ours come after it and are stricter. */
#include "http_parse_impl.h"

#include <llhttp.h>
#include <stdatomic.h>

struct reading {
    const uint8_t *data;
    struct cw_http_head *head;
    uint32_t repeated;
    int status;
    const char *why;
    bool whole; /* the empty line was reached */
};

static const char method_line[] = "GET / HTTP/1.1\r\n";

/* ---- known fields ---- */

struct known_name {
    const char *lower;
    uint8_t len;
};

#define NAME(text)                                                                                 \
    {                                                                                              \
        text, sizeof text - 1                                                                      \
    }

static const struct known_name known_names[CW_KNOWN_COUNT] = {
    [CW_KNOWN_HOST] = NAME("host"),
    [CW_KNOWN_CONTENT_LENGTH] = NAME("content-length"),
    [CW_KNOWN_TRANSFER_ENCODING] = NAME("transfer-encoding"),
    [CW_KNOWN_CONNECTION] = NAME("connection"),
    [CW_KNOWN_EXPECT] = NAME("expect"),
    [CW_KNOWN_UPGRADE] = NAME("upgrade"),
};

/* The one known field that such a length and first letter leave. */
static enum cw_http_known guess(size_t len, uint8_t first)
{
    switch (len << 8 | first) {
    case 4 << 8 | 'h':
        return CW_KNOWN_HOST;
    case 6 << 8 | 'e':
        return CW_KNOWN_EXPECT;
    case 7 << 8 | 'u':
        return CW_KNOWN_UPGRADE;
    case 10 << 8 | 'c':
        return CW_KNOWN_CONNECTION;
    case 14 << 8 | 'c':
        return CW_KNOWN_CONTENT_LENGTH;
    case 17 << 8 | 't':
        return CW_KNOWN_TRANSFER_ENCODING;
    default:
        return CW_KNOWN_COUNT;
    }
}

static enum cw_http_known known_of(const uint8_t *name, size_t len)
{
    enum cw_http_known known = guess(len, name[0] | 0x20);

    if (known == CW_KNOWN_COUNT ||
        !cw_http_is(name, len, known_names[known].lower, known_names[known].len)) {
        return CW_KNOWN_COUNT;
    }
    return known;
}

/* ---- what llhttp calls ---- */

static int stop(struct reading *reading, int status, const char *why)
{
    reading->status = status;
    reading->why = why;
    return HPE_USER;
}

static void note_known(struct reading *reading, enum cw_http_known known)
{
    struct cw_http_head *head = reading->head;

    if (known == CW_KNOWN_COUNT) {
        return;
    }
    if (head->first[known] == 0) {
        head->first[known] = (uint16_t)head->field_count;
    } else {
        reading->repeated |= UINT32_C(1) << known;
    }
}

static int on_name(llhttp_t *parser, const char *at, size_t len)
{
    struct reading *reading = parser->data;
    struct cw_http_head *head = reading->head;
    const uint8_t *name = (const uint8_t *)at;

    if (head->field_count == head->fields_cap || len > UINT16_MAX) {
        return stop(reading, 431, "more fields than fields_max, or a name beyond all measure");
    }
    if (len == 0 || name[len] != ':') {
        return stop(reading, 400, "a field without a name, or white space before its colon");
    }
    enum cw_http_known known = known_of(name, len);
    if (known == CW_KNOWN_COUNT && !cw_http_all_are(cw_span_of(name, len), CW_BYTE_TOKEN)) {
        return stop(reading, 400, "a field name that is no token");
    }
    head->fields[head->field_count++] = (struct cw_http_line){
        .name = (uint32_t)(name - reading->data),
        .name_len = (uint16_t)len,
        .value = (uint32_t)(name - reading->data + (ptrdiff_t)len + 1),
        .known = (uint8_t)known,
    };
    note_known(reading, known);
    return 0;
}

/* May come in pieces, one behind the other: the last one tells the end. An empty value is told from the line behind it. */
static int on_value(llhttp_t *parser, const char *at, size_t len)
{
    struct reading *reading = parser->data;
    struct cw_http_line *field = &reading->head->fields[reading->head->field_count - 1];
    size_t begin = field->value;
    size_t end = (size_t)((const uint8_t *)at - reading->data) + len;

    if (len == 0) {
        return 0;
    }
    while (begin < end && cw_http_is_blank(reading->data[begin])) {
        begin++;
    }
    while (end > begin && cw_http_is_blank(reading->data[end - 1])) {
        end--;
    }
    field->value = (uint32_t)begin;
    field->value_len = (uint32_t)(end - begin);
    return 0;
}

/* The end, for llhttp: what follows the head is nothing of its. */
static int on_whole(llhttp_t *parser)
{
    struct reading *reading = parser->data;

    reading->whole = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t hooks = {
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_whole,
};

/* ---- a parser that has read its request line ---- */

static void make_ready(llhttp_t *parser)
{
    llhttp_init(parser, HTTP_REQUEST, &hooks);
    llhttp_set_lenient_chunked_length(parser, 1);
    llhttp_set_lenient_transfer_encoding(parser, 1);
    (void)llhttp_execute(parser, method_line, sizeof method_line - 1);
}

enum { NOT_MADE, BEING_MADE, MADE };

/* A parser is plain memory: reading the same line for each head would cost a third of the head. The thread that comes first
 * keeps a copy for all; it is never written again. */
static void get_ready(llhttp_t *parser)
{
    static llhttp_t kept;
    static atomic_int phase = NOT_MADE;
    int expected = NOT_MADE;

    if (atomic_load_explicit(&phase, memory_order_acquire) == MADE) {
        *parser = kept;
        return;
    }
    make_ready(parser);
    if (atomic_compare_exchange_strong(&phase, &expected, BEING_MADE)) {
        kept = *parser;
        atomic_store_explicit(&phase, MADE, memory_order_release);
    }
}

/* ---- Content-Length by itself ---- */

/* llhttp refuses these in some order of its own; said here with a sentence. */
static const char *wrong_length(const struct reading *reading)
{
    const struct cw_http_head *head = reading->head;

    if (reading->repeated & UINT32_C(1) << CW_KNOWN_CONTENT_LENGTH) {
        return "more than one Content-Length";
    }
    if (head->first[CW_KNOWN_CONTENT_LENGTH] == 0) {
        return NULL;
    }
    const struct cw_http_line *field = &head->fields[head->first[CW_KNOWN_CONTENT_LENGTH] - 1];
    if (field->value_len == 0 || field->value_len > 19 ||
        !cw_http_all_digits(reading->data + field->value, field->value_len)) {
        return "a Content-Length that is no number, or a list, or above 2^63";
    }
    return NULL;
}

int cw_http_read_fields(struct cw_span input, size_t from, struct cw_http_head *head,
                        uint32_t *repeated, const char **why)
{
    struct reading reading = {.data = input.data, .head = head};
    llhttp_t parser;

    get_ready(&parser);
    parser.data = &reading;
    (void)llhttp_execute(&parser, (const char *)input.data + from, input.len - from);
    *repeated = reading.repeated;
    *why = reading.why;
    if (reading.status != 0) {
        return reading.status;
    }
    *why = wrong_length(&reading);
    if (*why == NULL && !reading.whole) {
        *why = "a malformed field";
    }
    return *why == NULL ? 0 : 400;
}

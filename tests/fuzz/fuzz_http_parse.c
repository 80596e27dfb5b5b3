/* Heads, trailers and chunked bodies: the answer is the same whole and in pieces, what was read is what stands there, and
 * nothing that was let pass could be read differently by a peer of ours. The first 2 bytes choose what it is and the cut. */
#include "http/http_parse.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHOICES = 2,
    FIELDS = 12,
    BODY_MAX = 3000,
};

static const struct cw_http_head_limits limits = {
    .head_max = 600, .target_max = 100, .fields_max = FIELDS};

typedef ptrdiff_t scanner(const uint8_t *data, size_t len, const struct cw_http_head_limits *bounds,
                          struct cw_http_scan *scan, const char **why);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool right)
{
    if (!right) {
        abort();
    }
}

/* ---- heads ---- */

static ptrdiff_t scan_in_steps(scanner *scans, struct cw_span input, size_t step)
{
    struct cw_http_scan scan = {0};
    const char *why = NULL;

    for (size_t len = step; len < input.len; len += step) {
        ptrdiff_t end = scans(input.data, len, &limits, &scan, &why);

        if (end != 0) {
            return end;
        }
    }
    return scans(input.data, input.len, &limits, &scan, &why);
}

/* Whether a line says what the field says: `name:` blanks, the value, blanks. Read the plainest way. */
static void expect_line(const uint8_t *line, size_t len, const uint8_t *data,
                        const struct cw_http_line *field)
{
    const uint8_t *colon = memchr(line, ':', len);

    expect(colon != NULL && data + field->name == line && colon == line + field->name_len);
    const uint8_t *value = colon + 1;
    const uint8_t *end = line + len;
    while (value < end && (*value == ' ' || *value == '\t')) {
        value++;
    }
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    expect((size_t)(end - value) == field->value_len);
    expect(field->value_len == 0 || data + field->value == value);
}

/* The fields are the lines from `at` on, one for one. */
static void expect_lines(const uint8_t *data, size_t at, size_t len, const struct cw_http_head *head)
{
    for (size_t i = 0; i < head->field_count; i++) {
        const uint8_t *cr = memchr(data + at, '\r', len - at);

        expect(cr != NULL);
        expect_line(data + at, (size_t)(cr - data) - at, data, &head->fields[i]);
        at = (size_t)(cr - data) + 2;
    }
    expect(at + 2 == len);
}

static void expect_sound(const uint8_t *data, const struct cw_http_head *head)
{
    expect(memchr(data + head->target, ' ', head->target_len) == NULL);
    expect(data[head->target - 1] == ' ' && data[head->target + head->target_len] == ' ');
    expect(!head->chunked || head->content_length == 0);
    expect(!head->chunked || head->first[CW_KNOWN_CONTENT_LENGTH] == 0);
    expect(head->chunked == (head->first[CW_KNOWN_TRANSFER_ENCODING] != 0));
    expect(head->content_length <= INT64_MAX);
    expect(head->version == 10 || head->first[CW_KNOWN_HOST] != 0);
}

static void try_request(struct cw_span input, size_t step)
{
    struct cw_http_line fields[FIELDS];
    struct cw_http_head head = {.fields = fields, .fields_cap = FIELDS};
    const char *why = NULL;
    ptrdiff_t end = scan_in_steps(cw_http_scan_head, input, input.len + 1);

    expect(scan_in_steps(cw_http_scan_head, input, step) == end);
    if (end <= 0) {
        return;
    }
    int status = cw_http_parse_request(input.data, (size_t)end, &head, &why);
    expect(status == 0 || (status >= 400 && status < 600 && why != NULL));
    if (status == 0) {
        expect_sound(input.data, &head);
        expect_lines(input.data, head.target + head.target_len + sizeof " HTTP/1.1\r\n" - 1,
                     (size_t)end, &head);
    }
}

static void try_response(struct cw_span input, size_t step, bool head_request, bool connect)
{
    struct cw_http_line fields[FIELDS];
    struct cw_http_head head = {.fields = fields, .fields_cap = FIELDS};
    const char *why = NULL;
    ptrdiff_t end = scan_in_steps(cw_http_scan_response, input, input.len + 1);

    expect(scan_in_steps(cw_http_scan_response, input, step) == end);
    if (end <= 0) {
        return;
    }
    int result = cw_http_parse_response(cw_span_of(input.data, (size_t)end), head_request, connect,
                                        &head, &why);
    expect(result == 0 || (result == -1 && why != NULL));
    expect(result != 0 || !(head.chunked && head.until_end));
}

/* ---- bodies ---- */

struct body {
    ptrdiff_t status;
    size_t used;
    size_t len;
    uint8_t bytes[BODY_MAX];
    struct cw_http_chunks chunks;
};

static void feed(struct body *body, struct cw_span input)
{
    const char *why = NULL;
    struct cw_span piece;

    while (body->status == 0) {
        ptrdiff_t used = cw_http_chunks_next(
            &body->chunks, BODY_MAX, cw_span_of(input.data + body->used, input.len - body->used),
            &piece, &why);
        if (used <= 0) {
            body->status = used;
            expect(used == 0 || why != NULL);
            return;
        }
        expect(piece.len <= BODY_MAX - body->len);
        memcpy(body->bytes + body->len, piece.data, piece.len);
        body->len += piece.len;
        body->used += (size_t)used;
    }
}

static void try_trailers(struct cw_span input, size_t step)
{
    struct cw_http_line fields[FIELDS];
    struct cw_http_head head = {.fields = fields, .fields_cap = FIELDS};
    const char *why = NULL;
    ptrdiff_t end = scan_in_steps(cw_http_scan_trailers, input, input.len + 1);

    expect(scan_in_steps(cw_http_scan_trailers, input, step) == end);
    if (end > 0) {
        int status = cw_http_parse_trailers(input.data, (size_t)end, &head, &why);

        expect(status == 0 || (status >= 400 && why != NULL));
    }
}

static void try_chunks(struct cw_span input, size_t step)
{
    static struct body whole, parts;

    whole = parts = (struct body){0};
    feed(&whole, input);
    for (size_t len = step; len < input.len && parts.status == 0; len += step) {
        feed(&parts, cw_span_of(input.data, len));
    }
    feed(&parts, input);
    expect(whole.status == parts.status && whole.len == parts.len);
    expect(memcmp(whole.bytes, parts.bytes, whole.len) == 0);
    expect(whole.chunks.step == parts.chunks.step);
    if (whole.status == 0 && whole.chunks.step == CW_CHUNK_TRAILERS) {
        expect(whole.used == parts.used && whole.len == whole.chunks.total);
        try_trailers(cw_span_of(input.data + whole.used, input.len - whole.used), step);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < CHOICES) {
        return 0;
    }

    struct cw_span input = cw_span_of(data + CHOICES, size - CHOICES);
    size_t step = (size_t)data[1] + 1;

    switch (data[0] % 4) {
    case 0:
        try_request(input, step);
        break;
    case 1:
        try_response(input, step, (data[0] & 0x40) != 0, (data[0] & 0x80) != 0);
        break;
    case 2:
        try_chunks(input, step);
        break;
    default:
        try_trailers(input, step);
    }
    return 0;
}

/* Whatever a client says of itself: what the trusted proxy adds behind it counts. */
#include "http/http_target.h"

#include <causeway/error.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELDS = 16 };

static void expect(bool right)
{
    if (!right) {
        abort();
    }
}

static bool trusts(const struct cw_address *address, void *user)
{
    (void)user;
    return address->family == CW_IPV4 && address->ip[0] == 10;
}

/* Lines, told apart by their first byte: Forwarded, X-Forwarded-For, -Proto, -Host. */
struct fields {
    struct cw_span forwarded[FIELDS + 1];
    struct cw_span for_list[FIELDS + 1];
    struct cw_http_hop_fields hop;
};

static void take_line(struct fields *fields, char kind, struct cw_span line)
{
    struct cw_http_hop_fields *hop = &fields->hop;

    if (kind == 'F' && hop->forwarded_count < FIELDS) {
        fields->forwarded[hop->forwarded_count++] = line;
    } else if (kind == 'X' && hop->for_count < FIELDS) {
        fields->for_list[hop->for_count++] = line;
    } else if (kind == 'P') {
        hop->proto = line;
    } else if (kind == 'H') {
        hop->host = line;
    }
}

static void take_lines(struct fields *fields, const uint8_t *data, size_t size)
{
    while (size > 0) {
        const uint8_t *line_end = memchr(data, '\n', size);
        size_t len = line_end != NULL ? (size_t)(line_end - data) : size;

        if (len > 0) {
            take_line(fields, (char)data[0], cw_span_of(data + 1, len - 1));
        }
        size -= line_end != NULL ? len + 1 : len;
        data += line_end != NULL ? len + 1 : len;
    }
}

static struct cw_http_origin find(const struct fields *fields)
{
    struct cw_http_hop_fields hop = fields->hop;
    struct cw_http_origin origin;
    struct cw_address peer;
    struct cw_span name;

    hop.forwarded = fields->forwarded;
    hop.for_list = fields->for_list;
    expect(cw_address_parse("10.0.0.1:1", &peer) == CW_OK);
    cw_http_find_origin(&hop, &peer, trusts, NULL, &origin);
    expect(origin.client.family == CW_IPV4 || origin.client.family == CW_IPV6);
    expect(origin.told_scheme || !origin.is_https);
    expect(origin.host.data == NULL || cw_http_parse_authority(origin.host, &name, NULL) == CW_OK);
    return origin;
}

/* As a proxy does it that appends to what it got. Zero bytes and line ends never reach a field. */
static uint8_t *append(struct cw_span *field, const char *text)
{
    size_t len = strlen(text);
    uint8_t *longer = malloc(field->len + len);

    expect(longer != NULL);
    if (field->len > 0) {
        memcpy(longer, field->data, field->len);
    }
    memcpy(longer + field->len, text, len);
    *field = cw_span_of(longer, field->len + len);
    return longer;
}

static void expect_told(struct fields *fields, struct cw_span *last, const char *text)
{
    struct cw_address told;
    uint8_t *memory = append(last, text);
    struct cw_http_origin origin = find(fields);

    expect(cw_address_parse("192.0.2.60:4711", &told) == CW_OK);
    expect(memcmp(&origin.client, &told, sizeof told) == 0);
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fields fields = {.hop = {.forwarded_count = 0}};

    take_lines(&fields, data, size);
    (void)find(&fields);
    if (fields.hop.forwarded_count > 0) {
        expect_told(&fields, &fields.forwarded[fields.hop.forwarded_count - 1],
                    ", for=\"192.0.2.60:4711\";proto=https, for=10.2.2.2");
    } else if (fields.hop.for_count > 0) {
        expect_told(&fields, &fields.for_list[fields.hop.for_count - 1],
                    ", 192.0.2.60:4711, 10.2.2.2");
    }
    return 0;
}

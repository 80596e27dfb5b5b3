/* Whatever the Range: what is served lies within, is not empty, does not overlap, and is not more than was allowed. */
#include <causeway/error.h>
#include <causeway/http_fields.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE_BYTES = 8, HEAD = SIZE_BYTES + 1, MAX = 16 };

static void expect(bool right)
{
    if (!right) {
        abort();
    }
}

static bool overlap(const struct cw_http_range *a, const struct cw_http_range *b)
{
    return a->first <= b->first ? b->first - a->first < a->len : a->first - b->first < b->len;
}

static void judge(const struct cw_http_range *ranges, int count, uint64_t total)
{
    for (int i = 0; i < count; i++) {
        expect(ranges[i].len > 0 && ranges[i].first < total);
        expect(ranges[i].len <= total - ranges[i].first);
        for (int j = 0; j < i; j++) {
            expect(!overlap(&ranges[i], &ranges[j]));
        }
    }
}

/* The size, how many are allowed, the Range; behind a line's end If-Range. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct cw_http_validators state = {"\"v1\"", 784111777, true};
    struct cw_http_conditions conditions = {.range = {NULL, 0}};
    uint64_t total = 0;

    if (size < HEAD) {
        return 0;
    }
    for (size_t i = 0; i < SIZE_BYTES; i++) {
        total = total << 8 | data[i];
    }
    size_t max = data[SIZE_BYTES] % (MAX + 1);
    const uint8_t *text = data + HEAD;
    const uint8_t *line_end = memchr(text, '\n', size - HEAD);
    conditions.range = cw_span_of(text, size - HEAD);
    if (line_end != NULL) {
        conditions.range.len = (size_t)(line_end - text);
        conditions.if_range = cw_span_of(line_end + 1, size - HEAD - conditions.range.len - 1);
    }

    /* A block of its own size, so that one too many is seen. */
    struct cw_http_range *ranges = malloc(max > 0 ? max * sizeof *ranges : 1);
    expect(ranges != NULL);
    int count = cw_http_ranges(&conditions, &state, total, ranges, max);
    expect(count == CW_EINVAL || (count >= 0 && (size_t)count <= max));
    judge(ranges, count, total);
    free(ranges);
    return 0;
}

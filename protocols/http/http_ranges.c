/* Ranges of bytes (RFC 9110 §14). */
#include <causeway/http_fields.h>

#include "http/http_fields_impl.h"

#include <causeway/error.h>
#include <causeway/span.h>

/* §13.1.5: a tag is compared strongly, a date exactly; anything else is no match. Which century a two-digit year is of matters only
 * if it is that of the state. */
static bool is_same_state(struct cw_span if_range, const struct cw_http_validators *state)
{
    struct cw_http_tag tag;
    int64_t date;

    if (cw_http_parse_tag(if_range, &tag)) {
        return state->etag != NULL && cw_http_etag_in(if_range, state->etag, false);
    }
    return state->modified_s != INT64_MIN &&
           cw_http_parse_date(if_range, state->modified_s, &date) == CW_OK &&
           date == state->modified_s;
}

/* A position; those that no number holds are beyond any size. False: not a number. */
static bool read_position(struct cw_span text, uint64_t *position)
{
    int code = cw_span_to_u64(text, UINT64_MAX, position);

    if (code == CW_ETOOBIG) {
        *position = UINT64_MAX;
    }
    return code != CW_EINVAL;
}

/* `-500`: the last 500 bytes, or all if there are fewer (§14.1.2). */
static int read_suffix(struct cw_span text, uint64_t size, struct cw_http_range *range)
{
    uint64_t len;

    if (!read_position(text, &len)) {
        return CW_EINVAL;
    }
    range->len = len < size ? len : size;
    range->first = size - range->len;
    return len > 0 ? 1 : 0;
}

/* One range. 1; 0: it cannot be satisfied; CW_EINVAL: it is none. */
static int read_range(struct cw_span text, uint64_t size, struct cw_http_range *range)
{
    uint64_t first;
    uint64_t last = UINT64_MAX;
    const uint8_t *dash = memchr(text.data, '-', text.len);

    if (dash == NULL) {
        return CW_EINVAL;
    }
    struct cw_span from = cw_span_of(text.data, (size_t)(dash - text.data));
    struct cw_span to = cw_span_of(dash + 1, text.len - from.len - 1);
    if (from.len == 0) {
        return read_suffix(to, size, range);
    }
    if (!read_position(from, &first) || (to.len > 0 && !read_position(to, &last)) || first > last) {
        return CW_EINVAL;
    }
    if (first >= size) {
        return 0;
    }
    range->first = first;
    range->len = (last < size ? last + 1 : size) - first;
    return 1;
}

static bool overlaps(const struct cw_http_range *range, const struct cw_http_range *others,
                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (range->first < others[i].first + others[i].len &&
            others[i].first < range->first + range->len) {
            return true;
        }
    }
    return false;
}

static int read_ranges(struct cw_span set, uint64_t size, struct cw_http_range *ranges, size_t max)
{
    struct cw_span element;
    size_t count = 0;
    bool any = false;

    while (cw_http_list_next(&set, &element)) {
        struct cw_http_range range;
        int code = read_range(element, size, &range);

        if (code < 0) {
            return 0; /* §14.2: what is malformed may be ignored as a whole */
        }
        any = true;
        if (code == 0) {
            continue;
        }
        /* §17.15: many or overlapping ranges cost more than they are worth. The end of nothing is nothing, and no range says so. */
        if (range.len == 0 || count == max || overlaps(&range, ranges, count)) {
            return 0;
        }
        ranges[count++] = range;
    }
    return count == 0 && any ? CW_EINVAL : (int)count;
}

int cw_http_ranges(const struct cw_http_conditions *conditions,
                   const struct cw_http_validators *state, uint64_t size,
                   struct cw_http_range *ranges, size_t max)
{
    struct cw_span set = conditions->range;

    if (set.data == NULL ||
        (conditions->if_range.data != NULL && !is_same_state(conditions->if_range, state))) {
        return 0;
    }
    /* §14.1: units have no case; of those that we do not know nothing is served. */
    size_t len = strlen("bytes=");
    if (set.len < len || !cw_http_equal(cw_span_of(set.data, len), "bytes=")) {
        return 0;
    }
    return read_ranges(cw_span_of(set.data + len, set.len - len), size, ranges, max);
}

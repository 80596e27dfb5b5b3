/* Validators and preconditions (RFC 9110 §8.8, §13). */
#include <causeway/http_fields.h>

#include "http/http_bytes.h"
#include "http/http_fields_impl.h"

#include <causeway/error.h>
#include <causeway/span.h>

/* ---- entity tags ---- */

/* Takes a tag off the front. RFC 9110 §8.8.3: a backslash is no escape here, and commas may stand in a tag. */
static bool take_tag(struct cw_span *rest, struct cw_http_tag *tag)
{
    tag->weak = cw_span_starts_with(*rest, "W/");
    size_t start = tag->weak ? 2 : 0;
    if (start >= rest->len || rest->data[start] != '"') {
        return false;
    }
    const uint8_t *opaque = rest->data + start + 1;
    const uint8_t *end = memchr(opaque, '"', rest->len - start - 1);
    if (end == NULL) {
        return false;
    }
    tag->opaque = cw_span_of(opaque, (size_t)(end - opaque));
    for (size_t i = 0; i < tag->opaque.len; i++) {
        if (cw_http_is_blank(opaque[i]) || !cw_http_byte_is(opaque[i], CW_BYTE_VALUE)) {
            return false;
        }
    }
    rest->len -= (size_t)(end + 1 - rest->data);
    rest->data = end + 1;
    return true;
}

bool cw_http_parse_tag(struct cw_span span, struct cw_http_tag *tag)
{
    return take_tag(&span, tag) && span.len == 0;
}

static bool same_tag(const struct cw_http_tag *a, const struct cw_http_tag *b, bool weak)
{
    return cw_span_equal(a->opaque, b->opaque) && (weak || (!a->weak && !b->weak));
}

/* The next tag of a list; what is none is passed over up to the next comma. */
static bool next_tag(struct cw_span *rest, struct cw_http_tag *tag)
{
    while (rest->len > 0) {
        *rest = cw_http_trimmed(rest->data, rest->data + rest->len);
        bool taken = take_tag(rest, tag);
        struct cw_span behind = cw_span_cut(rest, ',');
        if (taken && cw_span_trim(behind).len == 0) {
            return true;
        }
    }
    return false;
}

bool cw_http_etag_in(struct cw_span list, const char *etag, bool weak)
{
    struct cw_http_tag ours;
    struct cw_http_tag theirs;

    if (!cw_http_parse_tag(cw_span_text(etag), &ours)) {
        return false;
    }
    while (next_tag(&list, &theirs)) {
        if (same_tag(&ours, &theirs, weak)) {
            return true;
        }
    }
    return false;
}

/* ---- preconditions ---- */

static bool names_state(struct cw_span field, const struct cw_http_validators *state, bool weak)
{
    if (cw_span_equal(cw_span_trim(field), cw_span_text("*"))) {
        return state->exists;
    }
    return state->etag != NULL && cw_http_etag_in(field, state->etag, weak);
}

/* Whether the state has changed since a field's time; *told is false where the field is not to be looked at (§13.1.3, §13.1.4). */
static bool changed_since(struct cw_span field, const struct cw_http_validators *state,
                          int64_t now_s, bool *told)
{
    int64_t since = 0;

    *told = field.data != NULL && state->modified_s != INT64_MIN &&
            cw_http_parse_date(field, now_s, &since) == CW_OK;
    return *told && state->modified_s > since;
}

int cw_http_judge(const struct cw_http_conditions *conditions,
                  const struct cw_http_validators *state, bool reads, int64_t now_s)
{
    bool told;

    /* The steps of §13.2.2. */
    if (conditions->if_match.data != NULL) {
        if (!names_state(conditions->if_match, state, false)) {
            return 412;
        }
    } else if (changed_since(conditions->if_unmodified_since, state, now_s, &told)) {
        return 412;
    }
    if (conditions->if_none_match.data != NULL) {
        if (names_state(conditions->if_none_match, state, true)) {
            return reads ? 304 : 412;
        }
        return 0;
    }
    if (reads && !changed_since(conditions->if_modified_since, state, now_s, &told) && told) {
        return 304;
    }
    return 0;
}

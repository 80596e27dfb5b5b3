/* Whatever the cookies or the form: names and values lie within, hold no separator, and each turn brings something new; what is
 * encoded is decoded to the same. */
#include <causeway/error.h>
#include <causeway/http_fields.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef bool (*next_fn)(struct cw_span *rest, struct cw_span *name, struct cw_span *value);

static void expect(bool right)
{
    if (!right) {
        abort();
    }
}

static bool within(struct cw_span part, struct cw_span whole)
{
    return part.data != NULL && part.data >= whole.data &&
           part.data + part.len <= whole.data + whole.len;
}

static bool has(struct cw_span span, char byte)
{
    return span.len > 0 && memchr(span.data, byte, span.len) != NULL;
}

static void try_pairs(next_fn next, struct cw_span whole, char separator)
{
    struct cw_span rest = whole;
    struct cw_span name;
    struct cw_span value;
    size_t left = rest.len;

    while (next(&rest, &name, &value)) {
        expect(within(name, whole) && within(value, whole));
        expect(name.data + name.len <= value.data);
        expect(!has(name, separator) && !has(value, separator) && !has(name, '='));
        expect(rest.len < left);
        left = rest.len;
    }
    expect(rest.len == 0);
}

static void try_escapes(struct cw_span whole)
{
    size_t cap = 3 * whole.len + 1;
    char *encoded = malloc(cap);
    uint8_t *decoded = malloc(cap);

    expect(encoded != NULL && decoded != NULL);
    ptrdiff_t len = cw_http_encode(whole, encoded, cap);
    expect(len >= 0 && (size_t)len < cap);
    for (int form = 0; form < 2; form++) {
        expect(cw_http_decode(cw_span_of(encoded, (size_t)len), form == 1, decoded) ==
               (ptrdiff_t)whole.len);
        expect(cw_span_equal(cw_span_of(decoded, whole.len), whole));
    }
    ptrdiff_t plain = cw_http_decode(whole, true, decoded);
    expect(plain == CW_EINVAL || (plain >= 0 && (size_t)plain <= whole.len));
    free(encoded);
    free(decoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cw_span whole = cw_span_of(data, size);

    if (size == 0) {
        return 0;
    }
    try_pairs(cw_http_cookie_next, whole, ';');
    try_pairs(cw_http_form_next, whole, '&');
    try_escapes(whole);
    return 0;
}

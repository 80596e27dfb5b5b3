/* Whatever a field's value: elements lie within and are trimmed, a wish has a weight from 0 to 1000, a date that was read is read
 * again from what is printed of it, and conditions have one of their three answers. */
#include <causeway/error.h>
#include <causeway/http_fields.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool right)
{
    if (!right) {
        abort();
    }
}

static void try_list(struct cw_span whole)
{
    struct cw_span rest = whole;
    struct cw_span element;
    size_t left = rest.len;

    while (cw_http_list_next(&rest, &element)) {
        expect(element.len > 0 && element.data >= whole.data);
        expect(element.data + element.len <= whole.data + whole.len);
        expect(strchr(" \t,", element.data[0]) == NULL || element.data[0] == '\0');
        expect(rest.len < left);
        left = rest.len;
        (void)cw_http_without_parameters(element);
    }
    expect(rest.len == 0);
}

static void try_parameters(struct cw_span whole)
{
    static const char *const names[] = {"a", "charset", "filename", "q"};
    char buffer[16];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        ptrdiff_t len = cw_http_parameter(whole, names[i], buffer, sizeof buffer);

        expect(len == CW_ENOTFOUND || len == CW_EINVAL || len == CW_ETOOBIG ||
               (len >= 0 && (size_t)len < sizeof buffer && buffer[len] == '\0'));
    }
}

static void try_wishes(struct cw_span whole)
{
    static const char *const fields[] = {"Accept", "Accept-Encoding", "Accept-Language",
                                         "Accept-Charset"};
    static const char *const offers[] = {"text/html;a=b", "gzip", "identity", "en-GB",
                                         "utf-8",         "a/b",  NULL};

    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        int chosen = cw_http_negotiate(fields[i], whole, offers);
        int best = 0;

        for (int j = 0; offers[j] != NULL; j++) {
            int quality = cw_http_quality(fields[i], whole, offers[j]);

            expect(quality >= 0 && quality <= 1000);
            best = quality > best ? quality : best;
        }
        expect(best == 0 ? chosen == CW_ENOTFOUND
                         : cw_http_quality(fields[i], whole, offers[chosen]) == best);
    }
}

static void try_date(struct cw_span whole)
{
    char printed[CW_HTTP_DATE_SIZE];
    int64_t unix_s;
    int64_t again;

    if (cw_http_parse_date(whole, 1767225600, &unix_s) == CW_OK) {
        cw_http_print_date(unix_s, printed);
        expect(cw_http_parse_date(cw_span_text(printed), 0, &again) == CW_OK);
        /* A leap second at the very end of the last year is bounded. */
        expect(again == unix_s || again == unix_s - 1);
    }
}

static void try_conditions(struct cw_span whole)
{
    static const struct cw_http_validators state = {"\"v1\"", 784111777, true};
    const struct cw_http_conditions asked[] = {{.if_match = whole},
                                               {.if_none_match = whole},
                                               {.if_modified_since = whole},
                                               {.if_unmodified_since = whole}};

    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        for (int reads = 0; reads < 2; reads++) {
            int status = cw_http_judge(&asked[i], &state, reads == 1, 1767225600);

            expect(status == 0 || status == 412 || (status == 304 && reads == 1));
        }
    }
    if (cw_http_etag_in(whole, "\"v1\"", false)) {
        expect(cw_http_etag_in(whole, "\"v1\"", true));
        expect(cw_http_judge(&asked[0], &state, false, 0) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cw_span whole = cw_span_of(data, size);

    if (size == 0) {
        return 0;
    }
    expect(!cw_http_is_token(whole) || cw_http_is_value(whole));
    (void)cw_http_type_compresses(whole);
    try_list(whole);
    try_parameters(whole);
    try_wishes(whole);
    try_date(whole);
    try_conditions(whole);
    return 0;
}

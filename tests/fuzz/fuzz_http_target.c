/* Whatever the target: what is let through has no dots, no empty segments and no zero bytes in its path, and says the same when it is
 * encoded and read again. */
#include "http/http_target.h"

#include <causeway/error.h>
#include <causeway/http_fields.h>
#include <causeway/span.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool right)
{
    if (!right) {
        abort();
    }
}

static void *room_for(size_t size)
{
    void *room = malloc(size);

    expect(room != NULL);
    return room;
}

static bool is(struct cw_span span, const char *text)
{
    return cw_span_equal(span, cw_span_text(text));
}

/* No segment is dots, and only the last one may be empty. */
static void judge_segments(struct cw_span path)
{
    struct cw_span rest = cw_span_of(path.data + 1, path.len - 1);

    while (rest.data != NULL) {
        struct cw_span segment = cw_span_cut(&rest, '/');

        expect(!is(segment, ".") && !is(segment, ".."));
        expect(segment.len > 0 || rest.data == NULL);
    }
}

/* Encoded anew, but for its separators, the path is read as the same. */
static void read_again(struct cw_span path)
{
    size_t cap = 3 * path.len + 1;
    char *text = room_for(cap);
    uint8_t *room = room_for(CW_HTTP_TARGET_ROOM(cap));
    struct cw_http_target again;
    const char *why = NULL;
    size_t len = 0;

    for (size_t i = 0; i < path.len; i++) {
        if (path.data[i] == '/') {
            text[len++] = '/';
        } else {
            ptrdiff_t added = cw_http_encode(cw_span_of(path.data + i, 1), text + len, cap - len);
            expect(added > 0);
            len += (size_t)added;
        }
    }
    expect(cw_http_parse_target(CW_METHOD_GET, cw_span_of(text, len), room, &again, &why) == 0);
    expect(cw_span_equal(again.path, path));
    free(text);
    free(room);
}

static void judge(const struct cw_http_target *target)
{
    struct cw_span path = target->path;

    expect(path.data[path.len] == '\0');
    expect(memchr(path.data, '\0', path.len) == NULL);
    if (target->form == CW_FORM_AUTHORITY) {
        expect(path.len == 0);
        return;
    }
    if (is(path, "*")) {
        return;
    }
    expect(path.data[0] == '/');
    judge_segments(path);
    read_again(path);
}

static void try_authority(struct cw_span text)
{
    struct cw_span host;
    uint16_t port = 0;

    if (cw_http_parse_authority(text, &host, &port) == CW_OK) {
        expect(host.len > 0 && host.len <= text.len);
        expect(port == 0 || host.len + 1 < text.len);
        expect(memchr(host.data, '/', host.len) == NULL && memchr(host.data, '@', host.len) == NULL);
    }
}

/* The first byte chooses the method. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cw_http_target target;
    const char *why = NULL;

    if (size == 0) {
        return 0;
    }
    struct cw_span raw = cw_span_of(data + 1, size - 1);
    uint8_t *room = room_for(CW_HTTP_TARGET_ROOM(raw.len));
    enum cw_http_method_known method = data[0] % (CW_METHOD_PATCH + 1);
    int status = cw_http_parse_target(method, raw, room, &target, &why);
    if (status == 0) {
        judge(&target);
    } else {
        expect(status == 400 && why != NULL);
    }
    try_authority(raw);
    free(room);
    return 0;
}

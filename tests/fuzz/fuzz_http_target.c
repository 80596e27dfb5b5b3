/* Whatever the target: what is let through has no dots, no empty segments and no zero bytes in its path, says the same when it is
 * encoded and read again, and has as many segments encoded as decoded. */
#include "http/http_target.h"

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

/* Each segment but the last is neither empty nor dots; returns how many there are. */
static size_t judge_segments(struct cw_span path)
{
    size_t count = 0;

    for (;; count++) {
        struct cw_span segment = cw_http_segment(path, count);
        if (segment.data == NULL) {
            return count;
        }
        expect(!is(segment, ".") && !is(segment, ".."));
        expect(segment.len > 0 || cw_http_segment(path, count + 1).data == NULL);
    }
}

/* A decoded segment and its encoded one are the same, but that an encoded slash stays encoded in the first. */
static void compare_segments(struct cw_span path, struct cw_span encoded, size_t count)
{
    uint8_t *decoded = room_for(encoded.len + 1);

    for (size_t i = 0; i < count; i++) {
        struct cw_span segment = cw_http_segment(path, i);
        ptrdiff_t len = cw_http_decode(cw_http_segment(encoded, i), false, decoded);
        size_t at = 0;

        expect(len >= 0);
        for (ptrdiff_t j = 0; j < len; j++) {
            bool slash = decoded[j] == '/';
            struct cw_span wanted = slash ? cw_span_text("%2F") : cw_span_of(decoded + j, 1);

            expect(segment.len - at >= wanted.len);
            expect(cw_span_equal(cw_span_of(segment.data + at, wanted.len), wanted));
            at += wanted.len;
        }
        expect(at == segment.len);
    }
    free(decoded);
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
    expect(target->has_slash == (target->encoded.len > 0));
    if (target->form == CW_FORM_AUTHORITY) {
        expect(path.len == 0);
        return;
    }
    if (is(path, "*")) {
        return;
    }
    expect(path.data[0] == '/');
    size_t count = judge_segments(path);
    if (target->has_slash) {
        expect(judge_segments(target->encoded) == count);
        compare_segments(path, target->encoded, count);
    }
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

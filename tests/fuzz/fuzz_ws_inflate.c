/* A compressed message: inflated by the loop's shared state, by a context of its own and in pieces, all with the same outcome; and the
 * input itself, compressed, comes back. The first 3 bytes choose the limit, where it is cut, and how it is compressed. */
#include "websocket/ws_deflate.h"

#include <causeway/error.h>
#include <stdlib.h>

enum { CHOICES = 3, MAX = 70000, SLACK = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct cw_loop *loop;

static void expect(bool right)
{
    if (!right) {
        abort();
    }
}

/* With bytes behind it, which others may change for a while; yours. */
static struct cw_span copy_of(struct cw_span span)
{
    uint8_t *copy = malloc(span.len + SLACK);

    expect(copy != NULL);
    if (span.len > 0) {
        memcpy(copy, span.data, span.len);
    }
    memset(copy + span.len, 0x5a, SLACK);
    return cw_span_of(copy, span.len);
}

static void drop(struct cw_span span)
{
    for (size_t i = 0; i < SLACK; i++) {
        expect(span.data[span.len + i] == 0x5a);
    }
    free((void *)(uintptr_t)span.data);
}

/* Bytes, or the error. */
static ptrdiff_t inflate_pieces(struct cw_span packed, size_t cut, size_t cap, uint8_t *text)
{
    struct cw_ws_inflater *inflater = cw_ws_inflater_new(loop, 15);
    uint8_t piece[300];
    size_t len = 0;
    ptrdiff_t more = 0;

    for (size_t at = 0; more >= 0 && len <= MAX; at += cut) {
        bool last = packed.len - at <= cut;
        struct cw_span in = cw_span_of(packed.data + at, last ? packed.len - at : cut);
        while ((more = cw_ws_inflate_some(inflater, &in, last, piece, cap)) > 0 && len <= MAX) {
            memcpy(text + len, piece, (size_t)more);
            len += (size_t)more;
        }
        expect(more != 0 || in.len == 0);
        if (last) {
            break;
        }
    }
    cw_ws_inflater_free(loop, inflater);
    return more < 0 ? more : len > MAX ? CW_ETOOBIG : (ptrdiff_t)len;
}

static void inflate_all_ways(struct cw_span packed, size_t max, size_t cut)
{
    static uint8_t text[MAX + 300];
    struct cw_ws_inflater *inflater = cw_ws_inflater_new(loop, 15);
    struct cw_span copy = copy_of(packed);
    struct cw_span out;
    ptrdiff_t len = inflate_pieces(packed, cut, 1 + cut % 300, text);

    int code = cw_ws_inflate(loop, inflater, copy, max, &out);
    expect(code == 0 || code == CW_EPROTO || code == CW_ETOOBIG);
    bool right = code == 0;
    if (right) {
        expect(out.len <= max && len == (ptrdiff_t)out.len);
        expect(out.len == 0 || memcmp(out.data, text, out.len) == 0);
    }
    expect(right || len < 0 || (size_t)len > max);
    code = cw_ws_inflate(loop, NULL, copy, max, &out);
    expect(code == 0 || !right);
    expect(code != 0 || out.len <= max);
    if (right) {
        expect(len == (ptrdiff_t)out.len && (len == 0 || memcmp(out.data, text, out.len) == 0));
    }
    cw_ws_inflater_free(loop, inflater);
    drop(copy);
}

static void there_and_back(struct cw_span text, unsigned choice)
{
    unsigned bits = 8 + choice % 8;
    struct cw_ws_deflater *deflater = choice & 128 ? cw_ws_deflater_new(loop, bits, 1) : NULL;
    struct cw_span packed;
    struct cw_span out;

    int code = deflater ? cw_ws_deflate_kept(loop, deflater, text, &packed)
                        : cw_ws_deflate(loop, bits, 1, text, &packed);
    expect(code == 0 || (code == CW_EAGAIN && (deflater == NULL || text.len == 0)));
    if (code == 0) {
        struct cw_span copy = copy_of(packed);
        expect(deflater != NULL || packed.len < text.len);
        expect(cw_ws_inflate(loop, NULL, copy, text.len, &out) == 0);
        expect(cw_span_equal(out, text));
        drop(copy);
    }
    cw_ws_deflater_free(loop, deflater);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t limits[] = {0, 1, 100, 4096, 4097, 65536, MAX, 10};

    if (size < CHOICES) {
        return 0;
    }
    loop = cw_loop_new();
    expect(loop != NULL);
    struct cw_span span = cw_span_of(data + CHOICES, size - CHOICES);
    inflate_all_ways(span, limits[data[0] % 8], 1U + data[1]);
    there_and_back(span, data[2]);
    cw_loop_free(loop);
    return 0;
}

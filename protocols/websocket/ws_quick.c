#include "ws_quick.h"

#include <causeway/error.h>

#ifdef CW_HAS_LIBDEFLATE
#include <libdeflate.h>

enum { PAST_END = 9 };

void cw_ws_quick_release(struct cw_ws_quick *quick)
{
    for (size_t i = 0; i < CW_WS_QUICK_LEVELS; i++) {
        libdeflate_free_compressor(quick->compressors[i]);
        quick->compressors[i] = NULL;
    }
    libdeflate_free_decompressor(quick->decompressor);
    quick->decompressor = NULL;
}

ptrdiff_t cw_ws_quick_deflate(struct cw_ws_quick *quick, unsigned level, struct cw_span in,
                              uint8_t *out, size_t cap)
{
    struct libdeflate_compressor **compressor = &quick->compressors[level];

    if (*compressor == NULL) {
        *compressor = libdeflate_alloc_compressor((int)level);
    }
    if (*compressor == NULL) {
        return CW_ENOTFOUND;
    }
    if (cap == 0) {
        return 0;
    }
    size_t len = libdeflate_deflate_compress(*compressor, in.data, in.len, out, cap - 1);
    if (len == 0) {
        return 0;
    }
    out[len] = 0x00;
    return (ptrdiff_t)len + 1;
}

/* Whether all of a message has been read: up to the end that we have added, or up to a final block of its own, with the zero byte that
 * stands behind it. */
static bool is_all(struct cw_span in, size_t used)
{
    return used == in.len + PAST_END || used == in.len ||
           (used + 1 == in.len && in.data[used] == 0x00);
}

static ptrdiff_t inflate_ended(struct cw_ws_quick *quick, struct cw_span in, uint8_t *out,
                               size_t cap)
{
    size_t used = 0;
    size_t len = 0;

    switch (libdeflate_deflate_decompress_ex(quick->decompressor, in.data, in.len + PAST_END, out,
                                             cap, &used, &len)) {
    case LIBDEFLATE_SUCCESS:
        return is_all(in, used) ? (ptrdiff_t)len : CW_ENOTFOUND;
    case LIBDEFLATE_INSUFFICIENT_SPACE:
        return CW_EFULL;
    default:
        return CW_ENOTFOUND;
    }
}

ptrdiff_t cw_ws_quick_inflate(struct cw_ws_quick *quick, struct cw_span in, uint8_t *out, size_t cap)
{
    /* What the sender has left out (RFC 7692 §7.2.1), and an empty block that is final: the library wants one. */
    static const uint8_t end[PAST_END] = {0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff};
    uint8_t *behind = (uint8_t *)(uintptr_t)in.data + in.len;
    uint8_t saved[PAST_END];

    if (quick->decompressor == NULL) {
        quick->decompressor = libdeflate_alloc_decompressor();
    }
    if (quick->decompressor == NULL || in.len == 0) {
        return CW_ENOTFOUND;
    }
    memcpy(saved, behind, PAST_END);
    memcpy(behind, end, PAST_END);
    ptrdiff_t len = inflate_ended(quick, in, out, cap);
    memcpy(behind, saved, PAST_END);
    return len;
}

#else

void cw_ws_quick_release(struct cw_ws_quick *quick)
{
    (void)quick;
}

ptrdiff_t cw_ws_quick_deflate(struct cw_ws_quick *quick, unsigned level, struct cw_span in,
                              uint8_t *out, size_t cap)
{
    return CW_ENOTFOUND;
}

ptrdiff_t cw_ws_quick_inflate(struct cw_ws_quick *quick, struct cw_span in, uint8_t *out, size_t cap)
{
    return CW_ENOTFOUND;
}

#endif

#include "ws_quick.h"

#include <causeway/error.h>
#include <causeway/log.h>

#ifdef CW_HAS_ISAL
#include <isa-l/igzip_lib.h>

enum { TAIL = 4 };

struct cw_ws_press {
    struct isal_zstream z;
    uint8_t tables[ISAL_DEF_LVL1_DEFAULT];
};

void cw_ws_press_free(struct cw_ws_press *press)
{
    cw_release(press);
}

static struct cw_ws_press *make_press(void)
{
    struct cw_ws_press *press = cw_alloc(sizeof *press);

    if (!press) {
        return NULL;
    }
    isal_deflate_init(&press->z);
    press->z.level = 1;
    press->z.level_buf = press->tables;
    press->z.level_buf_size = sizeof press->tables;
    press->z.flush = SYNC_FLUSH;
    return press;
}

ptrdiff_t cw_ws_quick_deflate(struct cw_ws_press **press, struct cw_span in, uint8_t *out,
                              size_t cap)
{
    static const uint8_t tail[TAIL] = {0x00, 0x00, 0xff, 0xff};

    if (!*press) {
        *press = make_press();
    }
    if (!*press || cap > INT32_MAX) {
        return CW_ENOTFOUND;
    }
    struct isal_zstream *z = &(*press)->z;
    isal_deflate_reset(z);
    z->next_in = (uint8_t *)(uintptr_t)in.data;
    z->avail_in = (uint32_t)in.len;
    z->next_out = out;
    z->avail_out = (uint32_t)cap;
    int answer = isal_deflate(z);
    if (z->avail_out == 0) {
        return 0;
    }
    size_t len = cap - z->avail_out;
    bool is_ended = answer == COMP_OK && z->avail_in == 0 && len > TAIL &&
                    memcmp(out + len - TAIL, tail, TAIL) == 0;
    return is_ended ? (ptrdiff_t)(len - TAIL) : CW_ENOTFOUND;
}

#else

void cw_ws_press_free(struct cw_ws_press *press)
{
    (void)press;
}

ptrdiff_t cw_ws_quick_deflate(struct cw_ws_press **press, struct cw_span in, uint8_t *out,
                              size_t cap)
{
    return CW_ENOTFOUND;
}

#endif

#ifdef CW_HAS_LIBDEFLATE
#include <libdeflate.h>

enum { PAST_END = 9 };

void cw_ws_quick_free(struct libdeflate_decompressor *decompressor)
{
    libdeflate_free_decompressor(decompressor);
}

/* Whether all of a message has been read: up to the end that we have added, or up to a final block of its own, with the zero byte that
 * stands behind it. */
static bool is_all(struct cw_span in, size_t used)
{
    return used == in.len + PAST_END || used == in.len ||
           (used + 1 == in.len && in.data[used] == 0x00);
}

static ptrdiff_t inflate_ended(struct libdeflate_decompressor *decompressor, struct cw_span in,
                               uint8_t *out, size_t cap)
{
    size_t used = 0;
    size_t len = 0;

    switch (libdeflate_deflate_decompress_ex(decompressor, in.data, in.len + PAST_END, out, cap,
                                             &used, &len)) {
    case LIBDEFLATE_SUCCESS:
        return is_all(in, used) ? (ptrdiff_t)len : CW_ENOTFOUND;
    case LIBDEFLATE_INSUFFICIENT_SPACE:
        return CW_EFULL;
    default:
        return CW_ENOTFOUND;
    }
}

ptrdiff_t cw_ws_quick_inflate(struct libdeflate_decompressor **decompressor, struct cw_span in,
                              uint8_t *out, size_t cap)
{
    /* What the sender has left out (RFC 7692 §7.2.1), and an empty block that is final: the library wants one. */
    static const uint8_t end[PAST_END] = {0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff};
    uint8_t *behind = (uint8_t *)(uintptr_t)in.data + in.len;
    uint8_t saved[PAST_END];

    if (!*decompressor) {
        *decompressor = libdeflate_alloc_decompressor();
    }
    if (!*decompressor || in.len == 0) {
        return CW_ENOTFOUND;
    }
    memcpy(saved, behind, PAST_END);
    memcpy(behind, end, PAST_END);
    ptrdiff_t len = inflate_ended(*decompressor, in, out, cap);
    memcpy(behind, saved, PAST_END);
    return len;
}

#else

void cw_ws_quick_free(struct libdeflate_decompressor *decompressor)
{
    (void)decompressor;
}

ptrdiff_t cw_ws_quick_inflate(struct libdeflate_decompressor **decompressor, struct cw_span in,
                              uint8_t *out, size_t cap)
{
    return CW_ENOTFOUND;
}

#endif

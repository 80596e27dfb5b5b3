/* Whole messages without a context, by a library that does nothing else and is quicker at it (docs/decisions/0018). Where it is not
 * built in, all of this answers CW_ENOTFOUND, and zlib does it. */
#ifndef CW_WS_QUICK_H
#define CW_WS_QUICK_H

#include <causeway/types.h>

enum { CW_WS_QUICK_LEVELS = 10 };

struct libdeflate_compressor;
struct libdeflate_decompressor;

/* Of a loop; zero at first. */
struct cw_ws_quick {
    struct libdeflate_compressor *compressors[CW_WS_QUICK_LEVELS]; /* NULL: not needed yet */
    struct libdeflate_decompressor *decompressor;
};

void cw_ws_quick_release(struct cw_ws_quick *quick);

/* Compresses; the window is 32 KiB, or as long as the message. It ends in a final block and a zero byte (RFC 7692 §7.2.3.4).
 *
 * returns  > 0: bytes · 0: it does not fit · CW_ENOTFOUND: zlib has to do it */
ptrdiff_t cw_ws_quick_deflate(struct cw_ws_quick *quick, unsigned level, struct cw_span in,
                              uint8_t *out, size_t cap);

/* Inflates what came without its tail. in: 16 bytes behind len are overwritten and put back.
 *
 * returns  >= 0: bytes · CW_EFULL: they do not fit · CW_ENOTFOUND: zlib has to judge it */
ptrdiff_t cw_ws_quick_inflate(struct cw_ws_quick *quick, struct cw_span in, uint8_t *out,
                              size_t cap);

#endif

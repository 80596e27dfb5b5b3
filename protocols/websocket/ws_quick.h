/* Whole messages without a context, by libraries that are quicker than zlib at one thing each: isa-l compresses, libdeflate inflates
 * (docs/decisions/0018). Where one is not built in, its half answers CW_ENOTFOUND, and zlib does it. */
#ifndef CW_WS_QUICK_H
#define CW_WS_QUICK_H

#include <causeway/types.h>

/* ---- compressing ---- */

struct cw_ws_press; /* of a loop; NULL until it is needed */

void cw_ws_press_free(struct cw_ws_press *press); /* NULL is allowed */

/* Compresses at level 1, with a window of 32 KiB, or as long as the message; ends it with a flush, whose last four bytes do not count.
 *
 * *press   made if it is NULL
 * cap      above 4
 * returns  > 0: bytes · 0: they do not fit · CW_ENOTFOUND: zlib has to do it */
ptrdiff_t cw_ws_quick_deflate(struct cw_ws_press **press, struct cw_span in, uint8_t *out,
                              size_t cap);

/* ---- inflating ---- */

struct libdeflate_decompressor; /* of a loop; NULL until it is needed */

void cw_ws_quick_free(struct libdeflate_decompressor *decompressor); /* NULL is allowed */

/* Inflates what came without its tail.
 *
 * *decompressor  made if it is NULL
 * in             16 bytes behind len are overwritten and put back
 * returns        >= 0: bytes · CW_EFULL: they do not fit · CW_ENOTFOUND: zlib has to judge it */
ptrdiff_t cw_ws_quick_inflate(struct libdeflate_decompressor **decompressor, struct cw_span in,
                              uint8_t *out, size_t cap);

#endif

/* Compression of messages (RFC 7692 §7.2). What is not kept between messages is shared by all connections of a loop. */
#ifndef CW_WS_DEFLATE_H
#define CW_WS_DEFLATE_H

#include "ws_extension.h"

#include <causeway/loop.h>

struct cw_ws_deflater; /* a context that one connection keeps */
struct cw_ws_inflater; /* the same for what comes; also of one message that comes in pieces */

/* Compresses one message, without the four bytes at its end (§7.2.1).
 *
 * deflater  of the connection; NULL: the loop's shared one
 * bits      of the window agreed on
 * *out      good until the next call for this loop
 * returns   0; CW_EAGAIN: it did not become smaller, send it as it is (a context that is kept has not seen it); CW_ENOMEM */
int cw_ws_deflate(struct cw_loop *loop, struct cw_ws_deflater *deflater, unsigned bits,
                  unsigned level, struct cw_span in, struct cw_span *out);

/* Inflates one whole message, into at most `max` bytes and not one more than it needs to tell.
 *
 * inflater  NULL: the loop's shared one. in: 16 bytes behind len may be overwritten and are put back
 * *out      good until the next call for this loop
 * returns   0; CW_ETOOBIG: above max; CW_EPROTO: it is none; CW_ENOMEM */
int cw_ws_inflate(struct cw_loop *loop, struct cw_ws_inflater *inflater, struct cw_span in,
                  uint64_t max, struct cw_span *out);

/* The next piece of a message that comes in pieces: gives out what there is, up to cap bytes at a time, until it says 0 with nothing
 * left in *in. last: the message ends with *in.
 *
 * returns  >= 0: bytes written; 0 and in->len 0: give more (or, with last, it is over); CW_EPROTO, CW_ENOMEM */
ptrdiff_t cw_ws_inflate_some(struct cw_ws_inflater *inflater, struct cw_span *in, bool last,
                             uint8_t *out, size_t cap);

/* A context of a connection's own; unused ones are kept by the loop, a few. NULL: no memory. */
struct cw_ws_deflater *cw_ws_deflater_new(struct cw_loop *loop, unsigned bits, unsigned level);
struct cw_ws_inflater *cw_ws_inflater_new(struct cw_loop *loop, unsigned bits);
void cw_ws_deflater_free(struct cw_loop *loop,
                         struct cw_ws_deflater *deflater); /* NULL is allowed */
void cw_ws_inflater_free(struct cw_loop *loop, struct cw_ws_inflater *inflater);

#endif

/* Compression of messages (RFC 7692 §7.2). What is not kept between messages is shared by all connections of a loop. */
#ifndef CW_WS_DEFLATE_H
#define CW_WS_DEFLATE_H

#include "ws_extension.h"

#include <causeway/loop.h>

struct cw_ws_deflater; /* a context that one connection keeps */
struct cw_ws_inflater; /* the same for what comes; also of one message that comes in pieces */

/* Compresses one message by itself, without the four bytes at its end (§7.2.1).
 *
 * bits      of the window agreed on. With 8 no match reaches back over more than 256 bytes
 * *out      good until the next call for this loop, or its next turn; inflating leaves it alone. 16 bytes behind len may be read
 * returns   0; CW_EAGAIN: send it as it is: it is empty, or did not become smaller; CW_ENOMEM: send it as it is, or give up */
int cw_ws_deflate(struct cw_loop *loop, unsigned bits, unsigned level, struct cw_span in,
                  struct cw_span *out);

/* The same with the context of a connection.
 *
 * returns   0, even where it did not become smaller; CW_EAGAIN: it is empty, send it as it is; CW_ENOMEM: the context has forgotten
 *           all, and the message may be sent as it is */
int cw_ws_deflate_kept(struct cw_loop *loop, struct cw_ws_deflater *deflater, struct cw_span in,
                       struct cw_span *out);

/* Inflates one whole message, into at most `max` bytes (or 4096) and not one more than it needs to tell. An empty one is an empty
 * message: some send that instead of the zero byte of §7.2.3.6.
 *
 * inflater  NULL: the loop's shared one. in: 16 bytes behind len may be overwritten and are put back
 * *out      good until the next call for this loop, or its next turn; compressing leaves it alone. 16 bytes behind len may be read and
 *           written
 * returns   0; CW_ETOOBIG: above max; CW_EPROTO: it is none; CW_ENOMEM. After an error a context that is kept is of no more use */
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

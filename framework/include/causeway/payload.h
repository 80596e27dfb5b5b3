/* Bytes that are written once and queued many times. */
#ifndef CAUSEWAY_PAYLOAD_H
#define CAUSEWAY_PAYLOAD_H

#include <causeway/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Makes counted, immutable bytes out of up to a few parts, copied one behind the other.
 *
 * returns  a payload held once by the caller, or NULL when memory ran out
 * thread   any */
struct cw_payload *cw_payload_new(const struct cw_span *parts, size_t count);

/* Takes one more hold. Returns the payload.
 *
 * thread   any */
struct cw_payload *cw_payload_hold(struct cw_payload *payload);

/* Gives one hold back; the last one frees it. NULL is allowed.
 *
 * thread   any */
void cw_payload_drop(struct cw_payload *payload);

/* The bytes, good for as long as a hold lasts.
 *
 * thread   any */
struct cw_span cw_payload_span(const struct cw_payload *payload);

#ifdef __cplusplus
}
#endif

#endif

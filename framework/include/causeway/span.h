/* Small questions about borrowed bytes, for those who read text protocols. Nothing is copied, nothing allocated.
 *
 * thread   any, all of them */
#ifndef CAUSEWAY_SPAN_H
#define CAUSEWAY_SPAN_H

#include <causeway/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whether the span begins with the text. */
bool cw_span_starts_with(struct cw_span span, const char *text);

/* The span without spaces, tabs, CR and LF at both ends. */
struct cw_span cw_span_trim(struct cw_span span);

/* Takes off what stands before the first `separator`, and the separator: `GET key` becomes `key` and `GET` is
 * returned. Without a separator all of it is returned and nothing is left.
 *
 * rest     in: the whole; out: what is left, len 0 when nothing is */
struct cw_span cw_span_cut(struct cw_span *rest, uint8_t separator);

/* Reads a decimal number and nothing else: no sign, no space, at least one digit.
 *
 * returns  0; CW_EINVAL: not a number; CW_ETOOBIG: above max. *number is only then set when it is 0 */
int cw_span_to_u64(struct cw_span span, uint64_t max, uint64_t *number);

/* Copies the span into a buffer and ends it with a zero byte.
 *
 * returns  0; CW_ETOOBIG: it does not fit; CW_EINVAL: it holds a zero byte. The buffer then holds "" */
int cw_span_to_text(struct cw_span span, char *buffer, size_t cap);

/* Whether the bytes are UTF-8 (RFC 3629: no surrogates, no longer forms than needed). Zero bytes are; none at all is. */
bool cw_span_is_utf8(struct cw_span span);

#ifdef __cplusplus
}
#endif

#endif

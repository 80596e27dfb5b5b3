/* What the readers of fields share. */
#ifndef CW_HTTP_FIELDS_IMPL_H
#define CW_HTTP_FIELDS_IMPL_H

#include <causeway/types.h>

/* Takes the next `name=value` from a run of pairs with semicolons between them (RFC 9110 §5.6.6); empty ones are passed over.
 * The value is still quoted, if it is.
 *
 * rest     in: the pairs; out: what is behind the one taken
 * returns  1; 0: no more; CW_EINVAL: malformed */
int cw_http_pair_next(struct cw_span *rest, struct cw_span *name, struct cw_span *value);

/* Writes a token or quoted text without quotes and backslashes, and a zero byte. Returns the length or CW_ETOOBIG. */
ptrdiff_t cw_http_unquote(struct cw_span value, char *buffer, size_t cap);

/* Length up to the first `separator` outside of quotes, or all of it. */
size_t cw_http_until(struct cw_span span, uint8_t separator);

/* An entity tag taken apart: what stands between the quotes; false: it is none. */
struct cw_http_tag {
    struct cw_span opaque;
    bool weak;
};
bool cw_http_parse_tag(struct cw_span span, struct cw_http_tag *tag);

#endif

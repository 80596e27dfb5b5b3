/* What reading the hellos of TLS and of DTLS has in common. */
#ifndef CW_HELLO_BYTES_H
#define CW_HELLO_BYTES_H

#include <causeway/types.h>

static inline size_t cw_be16(const uint8_t *at)
{
    return (size_t)at[0] << 8 | at[1];
}

/* What is left behind the first bytes. */
static inline struct cw_span cw_span_behind(struct cw_span bytes, size_t used)
{
    return cw_span_of(bytes.data + used, bytes.len - used);
}

#endif

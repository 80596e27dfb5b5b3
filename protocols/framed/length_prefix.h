/* The codec of framed: headers to lengths and back. Pure: it knows options and bytes, no more.
 *
 * Options are those of causeway/framed.h after `cw_framed.configure` has filled them in: the codec
 * relies on that check for its arithmetic. */
#ifndef CAUSEWAY_LENGTH_PREFIX_H
#define CAUSEWAY_LENGTH_PREFIX_H

#include <causeway/framed.h>

enum {
    CW_FRAME_OFFSET_MAX = 64,
    CW_FRAME_HEADER_MAX = CW_FRAME_OFFSET_MAX + 8, /* no header of any framing is longer */
    CW_FRAME_TRAILER_MAX = 1,
};

/* What a header says. */
struct cw_frame_head {
    uint64_t body_len; /* after CW_ETOOBIG: what was asked for, at least */
    size_t header_len;
    const char *wrong; /* after CW_EPROTO: the broken rule, as half a sentence */
};

/* Reads the header at the start of `data`.
 *
 * returns  CW_FRAME_READ: head->body_len and header_len hold
 *          CW_FRAME_MORE: the header is not complete
 *          CW_ETOOBIG: the body is over the limit; said as soon as it is certain
 *          CW_EPROTO: head->wrong names the rule */
enum { CW_FRAME_MORE = 0, CW_FRAME_READ = 1 };
int cw_frame_parse(const struct cw_framed_options *options, const uint8_t *data, size_t len,
                   struct cw_frame_head *head);

/* Writes the header of a body of that length. Bytes before the length are left as they are.
 *
 * header   room for CW_FRAME_HEADER_MAX bytes
 * returns  the length of the header
 *          CW_ETOOBIG: the body is over the limit
 *          CW_EKIND: no frame can say this length: refuse_empty, or `adjustment` is longer */
int cw_frame_write(const struct cw_framed_options *options, uint64_t body_len, uint8_t *header);

/* The length of a header whose length does not depend on the body; 0: it does. */
size_t cw_frame_header_len(const struct cw_framed_options *options);

/* What comes behind the body: a netstring's comma, otherwise nothing. */
struct cw_span cw_frame_trailer(const struct cw_framed_options *options);

/* The longest and the shortest body that the header can express, whatever the limit.
 *
 * returns  false: none at all */
bool cw_frame_range(const struct cw_framed_options *options, uint64_t *least, uint64_t *most);

/* Numbers in network order, shared with the fast path. */
static inline uint32_t cw_load_be32(const uint8_t *data)
{
    return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

static inline void cw_store_be32(uint8_t *data, uint32_t value)
{
    data[0] = (uint8_t)(value >> 24);
    data[1] = (uint8_t)(value >> 16);
    data[2] = (uint8_t)(value >> 8);
    data[3] = (uint8_t)value;
}

#endif

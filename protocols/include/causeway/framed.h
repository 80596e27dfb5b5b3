/* framed: messages behind a length.
 *
 * The default is a 4-byte big-endian length of the body alone, and bodies of up to 65536 bytes. */
#ifndef CAUSEWAY_FRAMED_H
#define CAUSEWAY_FRAMED_H

#include <causeway/server.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The protocol. */
extern const struct cw_protocol cw_framed;

/* How the length is written. */
enum cw_framing {
    CW_FRAMING_FIXED = 0,  /* `length_bytes` bytes in one byte order */
    CW_FRAMING_VARINT = 1, /* 7 bits a byte, least first, up to 10 bytes, shortest form (protobuf) */
    CW_FRAMING_NETSTRING = 2, /* decimal digits, `:`, body, `,` (cr.yp.to/proto/netstrings.txt) */
};

/* Shape and limits of frames. Zero means the default in every member. */
struct cw_framed_options {
    enum cw_framing framing;
    uint64_t length_bytes; /* 1, 2, 4 or 8. 0: 4. Fixed framing only, as all down to `keep_header` */
    bool little_endian;    /* byte order of the length. false: big-endian, network order */
    uint64_t length_offset; /* bytes of the header before the length: skipped when they come, sent as zeros unless
                                 keep_header is set. 0: none; at most 64 */
    bool length_with_header; /* the length counts the header too */
    int64_t adjustment; /* body bytes = length on the wire + adjustment (- header); fits 32 bits */
    bool keep_header;   /* the header is part of what on_data gets and of what is sent: the
                                 application fills in the bytes before the length, we the length. Whole
                                 frames only */
    uint64_t frame_max_bytes; /* the body, in both directions; one more is refused. 0: 65536, or what the length can
                                 say where that is less */
    bool refuse_empty; /* a body of 0 bytes is CW_EPROTO when it comes, CW_EKIND when it is sent */
    uint64_t stream_above_bytes; /* frames longer than this come in pieces: CW_BEGIN with `total`, CW_CHUNK …, CW_END.
                                 They need no memory, so frame_max_bytes then defaults to 4294967295. 0: never.
                                 Sending in pieces is always possible: exactly `total` bytes, nothing in between */
    enum cw_kind kind; /* what its messages are called, for receivers that tell kinds apart */
};

/* Sets the options of a server made with cw_create_server(&cw_framed).
 *
 * options  copied
 * returns  0; CW_EINVAL: cw_server_error names the member; CW_ESTATE
 * thread   before it runs */
int cw_framed_configure(struct cw_server *server, const struct cw_framed_options *options);

/* A service with options. They are borrowed until the call that takes the service returns.
 *
 * thread   any */
struct cw_service cw_framed_service(const struct cw_framed_options *options,
                                    const struct cw_hooks *hooks, void *user);

#ifdef __cplusplus
}
#endif

#endif

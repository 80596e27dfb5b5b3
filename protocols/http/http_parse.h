/* Bytes to heads and bodies. Knows no connection and takes no memory: pure functions on the input. llhttp reads the heads;
 * what it lets pass, or judges differently from version to version, is judged here (RFC 9112, and docs/rfc/9112.md). */
#ifndef CW_HTTP_PARSE_H
#define CW_HTTP_PARSE_H

#include <causeway/types.h>

/* ---- where a head ends ---- */

/* Bounds of a head. 0 is not a default here: they are filled in. */
struct cw_http_head_limits {
    size_t head_max;
    size_t target_max;
    size_t fields_max;
};

/* How far the search for a head's end has come; zero at first, and for each head anew. Offsets from the head's start. */
struct cw_http_scan {
    size_t at;      /* bytes judged */
    size_t line;    /* where the line under way begins */
    size_t lines;   /* ended, the first one included */
    size_t skipped; /* empty lines before the request line (RFC 9112 §2.2) */
};

/* Looks for the end of a head (the empty line), and judges each byte once: a bare CR or LF, a control character, a line that
 * begins with white space (obs-fold, also before the first field), a first line that can be no request line within the
 * limits. The same answer however the input is cut.
 *
 * returns  > 0: the head's length, its empty line and the skipped ones included · 0: more is needed · < 0: minus the status
 *          of the refusal (400, 414, 431; 501: the method is longer than 64 bytes), *why set to a sentence */
ptrdiff_t cw_http_scan_head(const uint8_t *data, size_t len,
                            const struct cw_http_head_limits *limits, struct cw_http_scan *scan,
                            const char **why);

/* The same for an answer's head, which begins with a status line. */
ptrdiff_t cw_http_scan_response(const uint8_t *data, size_t len,
                                const struct cw_http_head_limits *limits, struct cw_http_scan *scan,
                                const char **why);

/* ---- what a head says ---- */

/* Fields that frame a message, or say what becomes of it; an index into first[] of the head. */
enum cw_http_known {
    CW_KNOWN_HOST,
    CW_KNOWN_CONTENT_LENGTH,
    CW_KNOWN_TRANSFER_ENCODING,
    CW_KNOWN_CONNECTION,
    CW_KNOWN_EXPECT,
    CW_KNOWN_UPGRADE,
    CW_KNOWN_COUNT,
};

/* One field: offsets from the head's start, so that the head may be copied elsewhere. The value is trimmed. */
struct cw_http_line {
    uint32_t name;
    uint32_t value;
    uint32_t value_len;
    uint16_t name_len;
    uint8_t known; /* enum cw_http_known; CW_KNOWN_COUNT: another */
};

enum cw_http_method_known {
    CW_METHOD_OTHER,
    CW_METHOD_GET,
    CW_METHOD_HEAD,
    CW_METHOD_POST,
    CW_METHOD_PUT,
    CW_METHOD_DELETE,
    CW_METHOD_OPTIONS,
    CW_METHOD_CONNECT,
    CW_METHOD_TRACE,
    CW_METHOD_PATCH
};

/* A head that has been read. */
struct cw_http_head {
    struct cw_http_line *fields; /* room for fields_max of the limits; the caller's */
    size_t fields_cap;
    size_t field_count;
    uint16_t first[CW_KNOWN_COUNT]; /* index of the first field of that kind, plus one; 0: none */
    uint32_t method;                /* requests: offset and length, */
    uint32_t method_len;
    uint32_t target;
    uint32_t target_len;
    uint8_t known_method;    /* enum cw_http_method_known */
    uint8_t version;         /* 10, 11. A version above 1.1 counts as 11 (RFC 9110 §2.5) */
    uint16_t status;         /* responses */
    bool chunked;            /* the body is in chunks */
    bool until_end;          /* responses: the body ends with the connection */
    bool keep_alive;         /* by version and Connection (RFC 9112 §9.3) */
    bool expects_continue;   /* and there is a body to wait for */
    bool upgrade;            /* Upgrade is there, and Connection names it */
    uint64_t content_length; /* 0 with chunked, and without a body */
};

/* Reads a whole request head, of the length that cw_http_scan_head told. Refuses what RFC 9112 wants refused: Content-Length
 * beside Transfer-Encoding, lengths that come twice, are lists, signed, hexadecimal or above 2^63, any Transfer-Encoding but
 * `chunked` alone (501 where chunked is the last coding, otherwise 400: RFC 9112 §6.3), Transfer-Encoding in HTTP/1.0, no or
 * several or a malformed Host (RFC 9112 §3.2; HTTP/1.0 may do without), white space before a colon, empty names, more than one
 * space in the request line, an Expect that is unknown (417), versions other than 1.x (505).
 *
 * returns  0, or the status of the refusal, *why set to a sentence */
int cw_http_parse_request(const uint8_t *data, size_t len, struct cw_http_head *head,
                          const char **why);

/* The same for an answer. head_request: the request was HEAD; connect: it was CONNECT.
 *
 * returns  0; -1: it breaks the rules, *why set */
int cw_http_parse_response(struct cw_span input, bool head_request, bool connect,
                           struct cw_http_head *head, const char **why);

/* ---- bodies in chunks (RFC 9112 §7.1) ---- */

enum cw_http_chunk_step {
    CW_CHUNK_SIZE,
    CW_CHUNK_DATA,
    CW_CHUNK_DATA_END,
    CW_CHUNK_TRAILERS,
    CW_CHUNK_DONE
};

/* Where a chunked body is; zero at first. */
struct cw_http_chunks {
    uint64_t left;     /* of the chunk under way */
    uint64_t total;    /* announced so far: sizes added up */
    uint32_t seen;     /* of the line under way: bytes */
    uint8_t step;      /* enum cw_http_chunk_step */
    uint8_t part;      /* of the line under way: digits, extension, quoted text, CR … */
    uint64_t overhead; /* bytes of size lines and extensions so far, against many tiny chunks */
};

enum {
    CW_CHUNK_LINE_MAX = 256, /* of a size with its extensions */
    CW_CHUNK_OVERHEAD_FREE =
        65536, /* of size lines together; what is above must not be more than 16 times the data */
};

/* Goes on with a chunked body. Strict: CRLF alone ends a line, a size has 1 to 16 hexadecimal digits, extensions are judged
 * (tokens, quoted texts) and left aside. A chunk that would bring the body above `max` is refused at its size.
 *
 * *piece   body bytes among those used, if any (a view of the input); len 0: none
 * returns  > 0: so many bytes are used, call again · 0: more is needed, or the trailers begin, or it is done: see step ·
 *          < 0: minus the status (400, 413), *why set. At CW_CHUNK_TRAILERS the input stands at the trailer section: feed it to
 *          cw_http_scan_trailers until that is whole, then set step to CW_CHUNK_DONE */
ptrdiff_t cw_http_chunks_next(struct cw_http_chunks *chunks, uint64_t max, struct cw_span input,
                              struct cw_span *piece, const char **why);

/* As cw_http_scan_head, for the trailer section up to its empty line: > 0: its length; it may be that line alone. */
ptrdiff_t cw_http_scan_trailers(const uint8_t *data, size_t len,
                                const struct cw_http_head_limits *limits, struct cw_http_scan *scan,
                                const char **why);

/* Reads a whole trailer section into head->fields. Fields that must not stand there (framing, routing, authentication,
 * content: RFC 9110 §6.5.1) are left out. 0, or the status of the refusal. */
int cw_http_parse_trailers(const uint8_t *data, size_t len, struct cw_http_head *head,
                           const char **why);

#endif

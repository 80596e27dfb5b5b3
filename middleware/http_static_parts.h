/* Several ranges of one file as one body: multipart/byteranges (RFC 9110 §14.6). */
#ifndef CW_HTTP_STATIC_PARTS_H
#define CW_HTTP_STATIC_PARTS_H

#include <causeway/http_fields.h>

enum {
    CW_STATIC_RANGES_MAX = 64,
    CW_STATIC_BOUNDARY_MAX = 40, /* with the terminator */
};

struct cw_static_parts;

/* What the parts are of. */
struct cw_static_whole {
    int fd; /* taken over */
    uint64_t size;
    const char *type;     /* copied */
    const char *boundary; /* copied */
};

/* Makes the body.
 *
 * ranges   copied; 2 to CW_STATIC_RANGES_MAX
 * returns  yours; NULL: no memory, fd stays the caller's
 * thread   any */
struct cw_static_parts *cw_static_parts_new(const struct cw_static_whole *whole,
                                            const struct cw_http_range *ranges, size_t count);

/* How long all of it is. */
uint64_t cw_static_parts_length(struct cw_static_parts *parts);

/* The next bytes: a cw_source_fn. CW_ETRUNCATED: the file has shrunk. */
ptrdiff_t cw_static_parts_pull(uint8_t *buffer, size_t cap, void *user);

/* Frees it and closes the file: a cw_source_done_fn. */
void cw_static_parts_done(int code, void *user);

#endif

/* gzip (RFC 1952) and deflate (RFC 1950, and 1951 from those who left its wrapping out), piece by piece. */
#include "http_client_impl.h"

#ifdef CW_HAS_ZLIB

#include <causeway/error.h>
#include <causeway/http_fields.h>
#include <causeway/log.h>

#include <limits.h>
#include <zlib.h>

enum {
    PIECE_MAX = 16384,
    WINDOW = 15,
    WINDOW_GZIP = 16 + WINDOW,
};

enum coding { CODING_GZIP, CODING_DEFLATE };

struct cw_http_inflate {
    z_stream z;
    enum coding coding;
    bool begun; /* z has been made */
    bool any;   /* a byte has come */
    bool whole;
    uint8_t *kept; /* what is looked at now, if it is ours */
    uint8_t piece[PIECE_MAX];
};

const char *const cw_http_inflate_offer = "gzip, deflate";

static voidpf z_take(voidpf opaque, uInt count, uInt size)
{
    (void)opaque;
    return cw_alloc((size_t)count * size);
}

static void z_give(voidpf opaque, voidpf memory)
{
    (void)opaque;
    cw_release(memory);
}

int cw_http_inflate_new(struct cw_span coding, struct cw_http_inflate **decoder)
{
    bool gzip = cw_http_equal(coding, "gzip") || cw_http_equal(coding, "x-gzip");

    *decoder = NULL;
    if (!gzip && !cw_http_equal(coding, "deflate")) {
        return CW_OK;
    }
    *decoder = cw_alloc_zero(sizeof **decoder);
    if (!*decoder) {
        return CW_ENOMEM;
    }
    (*decoder)->coding = gzip ? CODING_GZIP : CODING_DEFLATE;
    (*decoder)->z.zalloc = z_take;
    (*decoder)->z.zfree = z_give;
    return CW_OK;
}

void cw_http_inflate_free(struct cw_http_inflate *decoder)
{
    if (decoder) {
        if (decoder->begun) {
            inflateEnd(&decoder->z);
        }
        cw_release(decoder->kept);
        cw_release(decoder);
    }
}

void cw_http_inflate_put(struct cw_http_inflate *decoder, struct cw_span bytes)
{
    cw_release(decoder->kept);
    decoder->kept = NULL;
    decoder->z.next_in = (z_const Bytef *)(uintptr_t)bytes.data;
    decoder->z.avail_in = (uInt)bytes.len; /* of one read: far below 4 GiB */
    decoder->any = decoder->any || bytes.len > 0;
}

/* "deflate" means the zlib format (RFC 9110 §8.4.1.2), and yet some send the bare one. The first byte tells them apart: in
 * the zlib format it says method 8, which as a bare block would be a stored one with rubbish in its padding. */
static int window_for(const struct cw_http_inflate *decoder)
{
    uint8_t first = decoder->z.next_in[0];

    if (decoder->coding == CODING_GZIP) {
        return WINDOW_GZIP;
    }
    return (first & 0x0f) == 8 && first >> 4 <= 7 ? WINDOW : -WINDOW;
}

static int begin(struct cw_http_inflate *decoder)
{
    if (decoder->begun) {
        return CW_OK;
    }
    if (inflateInit2(&decoder->z, window_for(decoder)) != Z_OK) {
        return CW_ENOMEM;
    }
    decoder->begun = true;
    return CW_OK;
}

/* Behind the end: nothing, or another member (RFC 1952 §2.2). */
static int go_on_behind_end(struct cw_http_inflate *decoder)
{
    if (decoder->coding != CODING_GZIP || inflateReset(&decoder->z) != Z_OK) {
        return CW_EPROTO;
    }
    decoder->whole = false;
    return CW_OK;
}

/* One step. Bytes made, or an error. */
static ptrdiff_t step(struct cw_http_inflate *decoder)
{
    int answer;

    decoder->z.next_out = decoder->piece;
    decoder->z.avail_out = PIECE_MAX;
    answer = inflate(&decoder->z, Z_NO_FLUSH);
    if (answer == Z_STREAM_END) {
        decoder->whole = true;
    } else if (answer != Z_OK && answer != Z_BUF_ERROR) {
        return answer == Z_MEM_ERROR ? CW_ENOMEM : CW_EPROTO;
    }
    return (ptrdiff_t)(PIECE_MAX - decoder->z.avail_out);
}

int cw_http_inflate_next(struct cw_http_inflate *decoder, struct cw_span *piece)
{
    ptrdiff_t made = 0;

    if (!decoder->begun && decoder->z.avail_in == 0) {
        return 0;
    }
    if (begin(decoder) < 0) {
        return CW_ENOMEM;
    }
    do { /* each round takes a byte at least, or is the last */
        if (decoder->whole) {
            if (decoder->z.avail_in == 0) {
                return 0;
            }
            if (go_on_behind_end(decoder) < 0) {
                return CW_EPROTO;
            }
        }
        made = step(decoder);
    } while (made == 0 && decoder->whole && decoder->z.avail_in > 0);
    if (made <= 0) {
        return (int)made;
    }
    *piece = cw_span_of(decoder->piece, (size_t)made);
    return 1;
}

int cw_http_inflate_keep(struct cw_http_inflate *decoder)
{
    size_t len = decoder->z.avail_in;
    uint8_t *kept;

    if (decoder->kept || len == 0) {
        return CW_OK;
    }
    kept = cw_alloc(len);
    if (!kept) {
        return CW_ENOMEM;
    }
    memcpy(kept, decoder->z.next_in, len);
    decoder->kept = kept;
    decoder->z.next_in = kept;
    return CW_OK;
}

bool cw_http_inflate_is_whole(const struct cw_http_inflate *decoder)
{
    return decoder->whole || !decoder->any;
}

#else

struct cw_http_inflate {
    char unused;
};

const char *const cw_http_inflate_offer = NULL;

int cw_http_inflate_new(struct cw_span coding, struct cw_http_inflate **decoder)
{
    (void)coding;
    *decoder = NULL;
    return 0;
}

void cw_http_inflate_free(struct cw_http_inflate *decoder)
{
    (void)decoder;
}

void cw_http_inflate_put(struct cw_http_inflate *decoder, struct cw_span bytes)
{
    (void)decoder;
    (void)bytes;
}

int cw_http_inflate_next(struct cw_http_inflate *decoder, struct cw_span *piece)
{
    (void)decoder;
    (void)piece;
    return 0;
}

int cw_http_inflate_keep(struct cw_http_inflate *decoder)
{
    (void)decoder;
    return 0;
}

bool cw_http_inflate_is_whole(const struct cw_http_inflate *decoder)
{
    (void)decoder;
    return true;
}

#endif

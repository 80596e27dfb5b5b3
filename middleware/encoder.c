/* zlib, and brotli where it is there. */
#include "encoder.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <zlib.h>
#ifdef CW_HAS_BROTLI
#include <brotli/encode.h>
#endif

enum {
    OUT_FIRST = 4096,
    OUT_KEPT = 65536,
    GZIP_WINDOW = 15 + 16, /* with a gzip header and trailer */
    GZIP_MEMORY = 8,
    BROTLI_WINDOW =
        18, /* 256 KiB: larger ones cost more memory than they save bytes in what a server sends */
};

struct cw_encoder {
    enum cw_coding coding;
    int level;
    z_stream gzip;
#ifdef CW_HAS_BROTLI
    BrotliEncoderState *brotli;
#endif
    uint8_t *out;
    size_t len;
    size_t cap;
};

bool cw_coding_is_there(enum cw_coding coding)
{
#ifdef CW_HAS_BROTLI
    return coding != CW_CODING_NONE;
#else
    return coding == CW_CODING_GZIP;
#endif
}

const char *cw_coding_name(enum cw_coding coding)
{
    static const char *const names[] = {"identity", "gzip", "br"};

    return names[coding];
}

/* ---- output ---- */

static bool make_room(struct cw_encoder *encoder)
{
    if (encoder->len < encoder->cap) {
        return true;
    }
    size_t cap = encoder->cap == 0 ? OUT_FIRST : encoder->cap * 2;
    uint8_t *out = cw_resize(encoder->out, cap);
    if (out == NULL) {
        return false;
    }
    encoder->out = out;
    encoder->cap = cap;
    return true;
}

/* ---- gzip ---- */

static void *take(void *opaque, unsigned count, unsigned size)
{
    return size != 0 && count > SIZE_MAX / size ? NULL : cw_alloc((size_t)count * size);
}

static void give(void *opaque, void *memory)
{
    cw_release(memory);
}

static bool begin_gzip(struct cw_encoder *encoder)
{
    encoder->gzip.zalloc = take;
    encoder->gzip.zfree = give;
    return deflateInit2(&encoder->gzip, encoder->level, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY,
                        Z_DEFAULT_STRATEGY) == Z_OK;
}

/* zlib counts in 32 bits. */
static int run_gzip_part(struct cw_encoder *encoder, struct cw_span in, int flush)
{
    z_stream *gzip = &encoder->gzip;
    const unsigned most = 1U << 30;

    gzip->next_in = (z_const Bytef *)in.data;
    gzip->avail_in = (unsigned)in.len;
    do { /* until it leaves room: then it has nothing more to say */
        if (!make_room(encoder)) {
            return CW_ENOMEM;
        }
        size_t room = encoder->cap - encoder->len;
        unsigned given = room < most ? (unsigned)room : most;
        gzip->next_out = encoder->out + encoder->len;
        gzip->avail_out = given;
        (void)deflate(gzip, flush);
        encoder->len += given - gzip->avail_out;
    } while (gzip->avail_out == 0);
    return CW_OK;
}

static int run_gzip(struct cw_encoder *encoder, struct cw_span in, bool last)
{
    const size_t most = (size_t)1 << 30;

    for (; in.len > most; in = cw_span_of(in.data + most, in.len - most)) {
        int code = run_gzip_part(encoder, cw_span_of(in.data, most), Z_NO_FLUSH);
        if (code < 0) {
            return code;
        }
    }
    return run_gzip_part(encoder, in, last ? Z_FINISH : Z_SYNC_FLUSH);
}

/* ---- brotli ---- */

#ifdef CW_HAS_BROTLI
static void *take_brotli(void *opaque, size_t size)
{
    return cw_alloc(size);
}

static bool begin_brotli(struct cw_encoder *encoder)
{
    encoder->brotli = BrotliEncoderCreateInstance(take_brotli, give, NULL);
    if (encoder->brotli == NULL) {
        return false;
    }
    (void)BrotliEncoderSetParameter(encoder->brotli, BROTLI_PARAM_QUALITY, (uint32_t)encoder->level);
    (void)BrotliEncoderSetParameter(encoder->brotli, BROTLI_PARAM_LGWIN, BROTLI_WINDOW);
    return true;
}

static int run_brotli(struct cw_encoder *encoder, struct cw_span in, bool last)
{
    BrotliEncoderOperation op = last ? BROTLI_OPERATION_FINISH : BROTLI_OPERATION_FLUSH;

    do {
        if (!make_room(encoder)) {
            return CW_ENOMEM;
        }
        size_t room = encoder->cap - encoder->len;
        size_t left = room;
        uint8_t *to = encoder->out + encoder->len;
        if (!BrotliEncoderCompressStream(encoder->brotli, op, &in.len, &in.data, &left, &to, NULL)) {
            return CW_ENOMEM;
        }
        encoder->len += room - left;
    } while (in.len > 0 || BrotliEncoderHasMoreOutput(encoder->brotli));
    return CW_OK;
}
#endif

/* ---- both ---- */

static bool begin(struct cw_encoder *encoder)
{
#ifdef CW_HAS_BROTLI
    if (encoder->coding == CW_CODING_BROTLI) {
        return begin_brotli(encoder);
    }
#endif
    return begin_gzip(encoder);
}

struct cw_encoder *cw_encoder_new(enum cw_coding coding, int level)
{
    struct cw_encoder *encoder = cw_alloc_zero(sizeof *encoder);

    if (encoder == NULL) {
        return NULL;
    }
    encoder->coding = coding;
    encoder->level = level;
    if (!begin(encoder)) {
        cw_release(encoder);
        return NULL;
    }
    return encoder;
}

int cw_encoder_run(struct cw_encoder *encoder, struct cw_span in, bool last, struct cw_span *out)
{
    int code;

    encoder->len = 0;
#ifdef CW_HAS_BROTLI
    code = encoder->coding == CW_CODING_BROTLI ? run_brotli(encoder, in, last)
                                               : run_gzip(encoder, in, last);
#else
    code = run_gzip(encoder, in, last);
#endif
    *out = cw_span_of(encoder->out, encoder->len);
    return code;
}

bool cw_encoder_reset(struct cw_encoder *encoder)
{
    if (encoder->coding != CW_CODING_GZIP) {
        return false;
    }
    if (encoder->cap > OUT_KEPT) {
        cw_release(encoder->out);
        encoder->out = NULL;
        encoder->cap = 0;
    }
    return deflateReset(&encoder->gzip) == Z_OK;
}

int cw_encoder_level(const struct cw_encoder *encoder)
{
    return encoder->level;
}

enum cw_coding cw_encoder_coding(const struct cw_encoder *encoder)
{
    return encoder->coding;
}

void cw_encoder_free(struct cw_encoder *encoder)
{
    if (encoder == NULL) {
        return;
    }
#ifdef CW_HAS_BROTLI
    if (encoder->coding == CW_CODING_BROTLI) {
        BrotliEncoderDestroyInstance(encoder->brotli);
    }
#endif
    if (encoder->coding == CW_CODING_GZIP) {
        (void)deflateEnd(&encoder->gzip);
    }
    cw_release(encoder->out);
    cw_release(encoder);
}

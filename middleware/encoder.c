/* zlib, and brotli where it is there. */
#include "encoder.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <zlib.h>
#ifdef CW_HAS_BROTLI
#include <brotli/encode.h>
#include <setjmp.h>
#include <stddef.h>
#endif

enum {
    OUT_FIRST = 4096,
    OUT_KEPT = 65536,
    GZIP_WINDOW = 15 + 16, /* with a gzip header and trailer */
    GZIP_MEMORY = 8,
    BROTLI_WINDOW =
        18, /* 256 KiB: larger ones cost more memory than they save bytes in what a server sends */
};

#ifdef CW_HAS_BROTLI
/* Memory that brotli has taken. Its encoder ends the process when memory runs out (1.0.9, as Debian builds it); so our allocator
 * leaves it instead, and gives back all of its blocks. */
struct block {
    struct block *next;
    struct block **at; /* what points to this one */
    max_align_t bytes[];
};

struct brotli {
    BrotliEncoderState *state; /* NULL: memory has run out */
    struct block *blocks;
    bool runs;
    jmp_buf no_memory;
};
#endif

struct cw_encoder {
    enum cw_coding coding;
    int level;
    z_stream gzip;
#ifdef CW_HAS_BROTLI
    struct brotli brotli;
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
    struct brotli *brotli = opaque;
    struct block *block = size > SIZE_MAX - sizeof *block ? NULL : cw_alloc(sizeof *block + size);

    if (block == NULL && brotli->runs) {
        longjmp(brotli->no_memory, 1);
    }
    if (block == NULL) {
        return NULL;
    }
    block->next = brotli->blocks;
    block->at = &brotli->blocks;
    if (block->next != NULL) {
        block->next->at = &block->next;
    }
    brotli->blocks = block;
    return block->bytes;
}

static void give_brotli(void *opaque, void *memory)
{
    if (memory == NULL) {
        return;
    }
    struct block *block = (struct block *)((uint8_t *)memory - offsetof(struct block, bytes));
    *block->at = block->next;
    if (block->next != NULL) {
        block->next->at = block->at;
    }
    cw_release(block);
}

/* All it has, its state too. */
static void end_brotli(struct brotli *brotli)
{
    while (brotli->blocks != NULL) {
        give_brotli(brotli, brotli->blocks->bytes);
    }
    brotli->state = NULL;
}

static bool begin_brotli(struct cw_encoder *encoder)
{
    BrotliEncoderState *state =
        BrotliEncoderCreateInstance(take_brotli, give_brotli, &encoder->brotli);

    if (state == NULL) {
        return false;
    }
    encoder->brotli.state = state;
    (void)BrotliEncoderSetParameter(state, BROTLI_PARAM_QUALITY, (uint32_t)encoder->level);
    (void)BrotliEncoderSetParameter(state, BROTLI_PARAM_LGWIN, BROTLI_WINDOW);
    return true;
}

static int run_brotli_on(struct cw_encoder *encoder, struct cw_span in, BrotliEncoderOperation op)
{
    BrotliEncoderState *state = encoder->brotli.state;

    do {
        if (!make_room(encoder)) {
            return CW_ENOMEM;
        }
        size_t room = encoder->cap - encoder->len;
        size_t left = room;
        uint8_t *to = encoder->out + encoder->len;
        if (!BrotliEncoderCompressStream(state, op, &in.len, &in.data, &left, &to, NULL)) {
            return CW_ENOMEM;
        }
        encoder->len += room - left;
    } while (in.len > 0 || BrotliEncoderHasMoreOutput(state));
    return CW_OK;
}

static int run_brotli(struct cw_encoder *encoder, struct cw_span in, bool last)
{
    int code = CW_ENOMEM;

    if (encoder->brotli.state == NULL) {
        return code;
    }
    encoder->brotli.runs = true;
    if (setjmp(encoder->brotli.no_memory) == 0) {
        code = run_brotli_on(encoder, in, last ? BROTLI_OPERATION_FINISH : BROTLI_OPERATION_FLUSH);
    } else {
        end_brotli(&encoder->brotli);
        code = CW_ENOMEM;
    }
    encoder->brotli.runs = false;
    return code;
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
        end_brotli(&encoder->brotli);
    }
#endif
    if (encoder->coding == CW_CODING_GZIP) {
        (void)deflateEnd(&encoder->gzip);
    }
    cw_release(encoder->out);
    cw_release(encoder);
}

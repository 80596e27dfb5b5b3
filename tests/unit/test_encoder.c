#include "encoder.h"
#include "support/fault.h"
#include "support/leak.h"
#include "support/memory.h"

#include <causeway/error.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <zlib.h>

TestSuite(encoder, .fini = rig_expect_no_leak, .timeout = 60);

enum { LONG = 300000 };

/* Text that does not get much smaller: letters without a rule. */
static uint8_t *text_new(size_t len)
{
    uint8_t *text = malloc(len);
    uint32_t seed = 1;

    cr_assert_not_null(text);
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525 + 1013904223;
        text[i] = (uint8_t)('a' + (seed >> 16) % 26);
    }
    return text;
}

/* Decodes what has come, and expects that it is these bytes and no more. */
static void expect_inflated(z_stream *stream, struct cw_span out, struct cw_span wanted, bool last)
{
    uint8_t *room = malloc(wanted.len + 1);

    cr_assert_not_null(room);
    stream->next_in = (z_const Bytef *)out.data;
    stream->avail_in = (unsigned)out.len;
    stream->next_out = room;
    stream->avail_out = (unsigned)wanted.len + 1;
    int code = inflate(stream, Z_SYNC_FLUSH);
    cr_expect(code == (last ? Z_STREAM_END : Z_OK) || (!last && code == Z_BUF_ERROR), "%d", code);
    cr_expect(cw_span_equal(cw_span_of(room, wanted.len + 1 - stream->avail_out), wanted));
    free(room);
}

static void run_one(struct cw_encoder *encoder, z_stream *stream, struct cw_span piece, bool last)
{
    struct cw_span out;

    cr_assert_eq(cw_encoder_run(encoder, piece, last, &out), CW_OK);
    expect_inflated(stream, out, piece, last);
}

static void inflate_begin(z_stream *stream)
{
    *stream = (z_stream){0};
    cr_assert_eq(inflateInit2(stream, 15 + 16), Z_OK);
}

Test(encoder, each_piece_of_gzip_can_be_read_when_it_arrives)
{
    struct cw_encoder *encoder = cw_encoder_new(CW_CODING_GZIP, 6);
    uint8_t *text = text_new(LONG);
    z_stream stream;

    cr_assert_not_null(encoder);
    inflate_begin(&stream);
    run_one(encoder, &stream, cw_span_of(text, 1), false);
    run_one(encoder, &stream, cw_span_of(text + 1, LONG - 1), false);
    run_one(encoder, &stream, cw_span_of(text, 100), false);
    run_one(encoder, &stream, cw_span_of(text, 0), true);
    inflateEnd(&stream);
    free(text);
    cw_encoder_free(encoder);
}

Test(encoder, gzip_can_be_used_again_after_any_end)
{
    struct cw_encoder *encoder = cw_encoder_new(CW_CODING_GZIP, 1);
    uint8_t *text = text_new(LONG);
    struct cw_span out;
    z_stream stream;

    cr_assert_not_null(encoder);
    cr_assert_eq(cw_encoder_run(encoder, cw_span_of(text, LONG), false, &out), CW_OK);
    cr_assert(cw_encoder_reset(encoder));
    inflate_begin(&stream);
    run_one(encoder, &stream, cw_span_of(text, 1000), true);
    inflateEnd(&stream);
    cr_expect_eq(cw_encoder_level(encoder), 1);
    free(text);
    cw_encoder_free(encoder);
}

Test(encoder, every_piece_of_brotli_leaves_at_once)
{
    struct cw_span out;

    if (!cw_coding_is_there(CW_CODING_BROTLI)) {
        cr_skip_test("libbrotlienc was missing when this was built");
    }
    struct cw_encoder *encoder = cw_encoder_new(CW_CODING_BROTLI, 4);
    uint8_t *text = text_new(LONG);
    cr_assert_not_null(encoder);
    cr_assert_eq(cw_encoder_run(encoder, cw_span_text("a"), false, &out), CW_OK);
    cr_expect_gt(out.len, 0);
    cr_assert_eq(cw_encoder_run(encoder, cw_span_of(text, LONG), false, &out), CW_OK);
    cr_expect_gt(out.len, LONG / 3);
    cr_assert_eq(cw_encoder_run(encoder, cw_span_of(NULL, 0), true, &out), CW_OK);
    cr_expect_gt(out.len, 0);
    cr_expect_not(cw_encoder_reset(encoder));
    free(text);
    cw_encoder_free(encoder);
}

static void expect_memory(enum cw_coding coding, int level, int64_t most)
{
    uint8_t *text = text_new(LONG);
    struct cw_span out;
    struct cw_encoder *encoder = cw_encoder_new(coding, level);

    cr_assert_not_null(encoder);
    for (size_t i = 0; i < 20; i++) {
        cr_assert_eq(cw_encoder_run(encoder, cw_span_of(text + i * 10000, 10000), false, &out),
                     CW_OK);
    }
    cr_expect_leq(rig_memory_bytes(), most, "%lld", (long long)rig_memory_bytes());
    cw_encoder_free(encoder);
    cr_expect_eq(rig_memory_bytes(), 0);
    free(text);
}

Test(encoder, memory_of_a_stream_is_bounded)
{
    rig_memory_count();
    expect_memory(CW_CODING_GZIP, 6, 300 * 1024);
    if (cw_coding_is_there(CW_CODING_BROTLI)) {
        expect_memory(CW_CODING_BROTLI, 4, 1400 * 1024);
    }
}

static void fail_each(enum cw_coding coding)
{
    uint8_t *text = text_new(LONG);
    bool failed = true;

    for (size_t nth = 1; failed && nth < 100; nth++) {
        struct cw_span out;
        fault_arm(nth);
        struct cw_encoder *encoder = cw_encoder_new(coding, 4);
        int code =
            encoder ? cw_encoder_run(encoder, cw_span_of(text, LONG), true, &out) : CW_ENOMEM;
        failed = fault_disarm();
        cr_expect_eq(code, failed ? CW_ENOMEM : CW_OK);
        cw_encoder_free(encoder);
    }
    cr_expect_not(failed);
    free(text);
}

Test(encoder, memory_that_runs_out_is_an_error)
{
    fault_install();
    fail_each(CW_CODING_GZIP);
    if (cw_coding_is_there(CW_CODING_BROTLI)) {
        fail_each(CW_CODING_BROTLI);
    }
    fault_remove();
}

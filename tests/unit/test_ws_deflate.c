/* Messages compressed by ours and inflated by zlib, and the other way round. */
#include "support/fault.h"
#include "support/leak.h"
#include "support/prose.h"
#include "websocket/ws_deflate.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <zlib.h>

enum { TAIL = 4, BIG = 1 << 20 };

static struct cw_loop *loop;

static void set_up(void)
{
    loop = cw_loop_new();
    cr_assert_not_null(loop);
}

static void tear_down(void)
{
    cw_loop_free(loop);
    rig_expect_no_leak();
}

TestSuite(ws_deflate, .init = set_up, .fini = tear_down, .timeout = 60);

/* ---- texts to compress ---- */

static uint8_t *make_noise(size_t len)
{
    uint8_t *noise = malloc(len + 16);

    for (size_t i = 0; i < len; i++) {
        noise[i] = (uint8_t)prose_roll();
    }
    return noise;
}

/* ---- zlib as the other side ---- */

static void init_inflater(z_stream *z, int bits)
{
    *z = (z_stream){.zalloc = NULL};
    cr_assert_eq(inflateInit2(z, -bits), Z_OK);
}

/* A piece at a time, so that nothing but the window is looked back into. No block may be final: some peers read no further. */
static void expect_inflates(z_stream *z, struct cw_span packed, const uint8_t *text, size_t len)
{
    const uint8_t end[TAIL] = {0x00, 0x00, 0xff, 0xff};
    const struct cw_span parts[] = {packed, {end, TAIL}};
    size_t at = 0;

    for (size_t i = 0; i < 2; i++) {
        z->next_in = (z_const Bytef *)parts[i].data;
        z->avail_in = (unsigned)parts[i].len;
        do {
            uint8_t byte;
            z->next_out = &byte;
            z->avail_out = 1;
            int answer = inflate(z, Z_SYNC_FLUSH);
            cr_assert(answer == Z_OK || answer == Z_BUF_ERROR, "%d: %s", answer, z->msg);
            if (z->avail_out == 0) {
                cr_assert_lt(at, len);
                cr_assert_eq(byte, text[at]);
                at++;
            }
        } while (z->avail_out == 0 || z->avail_in > 0);
    }
    cr_assert_eq(at, len);
}

/* Compressed by zlib, without the tail; yours. */
static struct cw_span peer_deflate(z_stream *z, const void *text, size_t len)
{
    size_t cap = len + len / 8 + 256;
    uint8_t *packed = malloc(cap + 16);

    z->next_in = (z_const Bytef *)text;
    z->avail_in = (unsigned)len;
    z->next_out = packed;
    z->avail_out = (unsigned)cap;
    cr_assert_eq(deflate(z, Z_SYNC_FLUSH), Z_OK);
    cr_assert_gt(z->avail_out, 0);
    return cw_span_of(packed, cap - z->avail_out - TAIL);
}

static void init_deflater(z_stream *z, int level)
{
    *z = (z_stream){.zalloc = NULL};
    cr_assert_eq(deflateInit2(z, level, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
}

static void drop(struct cw_span span)
{
    free((void *)(uintptr_t)span.data);
}

/* ---- compressing ---- */

static void expect_shared(const uint8_t *text, size_t len, unsigned bits, unsigned level)
{
    struct cw_span packed;
    z_stream z;

    init_inflater(&z, (int)bits);
    cr_assert_eq(cw_ws_deflate(loop, bits, level, cw_span_of(text, len), &packed), 0);
    cr_expect_lt(packed.len, len);
    expect_inflates(&z, packed, text, len);
    inflateEnd(&z);
}

Test(ws_deflate, messages_of_every_size_come_back_from_zlib)
{
    static const size_t sizes[] = {64,   100,  128,  1000,  1024,  3071,  3072,   3073,
                                   4095, 4096, 4097, 16384, 32768, 65535, 131072, BIG};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *text = prose_new(sizes[i]);
        for (unsigned level = 1; level <= 9; level += 4) {
            expect_shared(text, sizes[i], 15, level);
        }
        free(text);
    }
}

Test(ws_deflate, no_match_looks_back_farther_than_the_window)
{
    static const size_t sizes[] = {250, 256, 257, 511, 1023, 4000, 70000};

    for (unsigned bits = 8; bits <= 15; bits++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            uint8_t *text = prose_new(sizes[i]);
            expect_shared(text, sizes[i], bits, 1);
            expect_shared(text, sizes[i], bits, 9);
            free(text);
        }
    }
}

Test(ws_deflate, what_does_not_become_smaller_is_left_as_it_is)
{
    uint8_t *noise = make_noise(100000);
    struct cw_span packed;

    for (size_t len = 1; len <= 100000; len = len * 3 + 1) {
        cr_expect_eq(cw_ws_deflate(loop, 15, 1, cw_span_of(noise, len), &packed), CW_EAGAIN, "%zu",
                     len);
    }
    cr_expect_eq(cw_ws_deflate(loop, 8, 1, cw_span_of(noise, 5000), &packed), CW_EAGAIN);
    cr_expect_eq(cw_ws_deflate(loop, 15, 1, cw_span_of(noise, 0), &packed), CW_EAGAIN);
    cr_expect_eq(cw_ws_deflate(loop, 15, 1, cw_span_text("abc"), &packed), CW_EAGAIN);
    free(noise);
}

Test(ws_deflate, messages_without_a_kept_context_are_the_same_bytes_each_time)
{
    uint8_t *text = prose_new(2000);
    struct cw_span packed;
    uint8_t first[2000];

    cr_assert_eq(cw_ws_deflate(loop, 15, 1, cw_span_of(text, 2000), &packed), 0);
    size_t len = packed.len;
    memcpy(first, packed.data, len);
    cr_assert_eq(cw_ws_deflate(loop, 15, 1, cw_span_of(text + 7, 1500), &packed), 0);
    cr_assert_eq(cw_ws_deflate(loop, 15, 1, cw_span_of(text, 2000), &packed), 0);
    cr_expect(cw_span_equal(packed, cw_span_of(first, len)));
    free(text);
}

static void expect_context(unsigned bits)
{
    struct cw_ws_deflater *deflater = cw_ws_deflater_new(loop, bits, 6);
    z_stream z;
    init_inflater(&z, (int)bits);
    uint8_t *text = prose_new(200);
    uint8_t *noise = make_noise(400);
    struct cw_span packed;
    size_t lens[3];

    cr_assert_not_null(deflater);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(cw_ws_deflate_kept(loop, deflater, cw_span_of(text, 200), &packed), 0);
        lens[i] = packed.len;
        expect_inflates(&z, packed, text, 200);
        cr_expect_eq(cw_ws_deflate_kept(loop, deflater, cw_span_of(text, 0), &packed), CW_EAGAIN);
    }
    cr_expect(bits == 8 || lens[1] < lens[0] / 2, "%u: %zu, %zu", bits, lens[0], lens[1]);
    /* What cannot be made smaller has been seen, and is sent so. */
    cr_assert_eq(cw_ws_deflate_kept(loop, deflater, cw_span_of(noise, 400), &packed), 0);
    expect_inflates(&z, packed, noise, 400);
    cr_assert_eq(cw_ws_deflate_kept(loop, deflater, cw_span_of(text, 200), &packed), 0);
    expect_inflates(&z, packed, text, 200);
    cw_ws_deflater_free(loop, deflater);
    inflateEnd(&z);
    free(noise);
    free(text);
}

Test(ws_deflate, a_kept_context_makes_the_next_message_smaller)
{
    for (unsigned bits = 8; bits <= 15; bits++) {
        expect_context(bits);
    }
}

Test(ws_deflate, contexts_that_are_given_back_are_as_new)
{
    uint8_t *text = prose_new(500);
    struct cw_span packed;

    for (int i = 0; i < 2; i++) { /* the second time it is the same one */
        struct cw_ws_deflater *deflater = cw_ws_deflater_new(loop, 15, 1);
        z_stream z;
        init_inflater(&z, 15);
        cr_assert_eq(cw_ws_deflate_kept(loop, deflater, cw_span_of(text, 500), &packed), 0);
        expect_inflates(&z, packed, text, 500);
        inflateEnd(&z);
        cw_ws_deflater_free(loop, deflater);
    }
    free(text);
}

Test(ws_deflate, contexts_of_different_windows_and_levels_are_kept_apart)
{
    struct cw_ws_deflater *some[24];
    uint8_t *text = prose_new(3000);
    struct cw_span packed;

    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 24; i++) {
            some[i] = cw_ws_deflater_new(loop, 8 + i % 8, 1 + i / 8);
            cr_assert_not_null(some[i]);
        }
        for (unsigned i = 0; i < 24; i++) {
            z_stream z;
            init_inflater(&z, (int)(8 + i % 8));
            cr_assert_eq(cw_ws_deflate_kept(loop, some[i], cw_span_of(text, 3000), &packed), 0);
            expect_inflates(&z, packed, text, 3000);
            inflateEnd(&z);
            cw_ws_deflater_free(loop, some[i]);
        }
    }
    cw_ws_deflater_free(loop, NULL);
    cw_ws_inflater_free(loop, NULL);
    free(text);
}

/* ---- inflating ---- */

static void expect_inflated(struct cw_ws_inflater *inflater, const void *packed, size_t packed_len,
                            const void *text, size_t len)
{
    struct cw_span out;
    uint8_t *copy = malloc(packed_len + 16);

    memcpy(copy, packed, packed_len);
    cr_assert_eq(cw_ws_inflate(loop, inflater, cw_span_of(copy, packed_len), len, &out), 0);
    cr_assert_eq(out.len, len);
    cr_assert(len == 0 || memcmp(out.data, text, len) == 0);
    cr_expect(packed_len == 0 || memcmp(copy, packed, packed_len) == 0);
    free(copy);
}

static int inflate_code(const void *packed, size_t len, uint64_t max)
{
    uint8_t *copy = malloc(len + 16);
    struct cw_span out;

    memcpy(copy, packed, len);
    int code = cw_ws_inflate(loop, NULL, cw_span_of(copy, len), max, &out);
    free(copy);
    return code;
}

Test(ws_deflate, the_examples_of_the_rfc_are_hello)
{
    static const uint8_t fixed[] = {0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00};
    static const uint8_t stored[] = {0x00, 0x05, 0x00, 0xfa, 0xff, 0x48,
                                     0x65, 0x6c, 0x6c, 0x6f, 0x00};
    static const uint8_t final[] = {0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00};
    static const uint8_t two[] = {0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff,
                                  0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00};
    static const uint8_t again[] = {0xf2, 0x00, 0x11, 0x00, 0x00};
    struct cw_ws_inflater *inflater = cw_ws_inflater_new(loop, 15);

    expect_inflated(NULL, fixed, sizeof fixed, "Hello", 5);
    expect_inflated(NULL, stored, sizeof stored, "Hello", 5);
    expect_inflated(NULL, final, sizeof final, "Hello", 5);
    expect_inflated(NULL, two, sizeof two, "Hello", 5);
    expect_inflated(inflater, fixed, sizeof fixed, "Hello", 5);
    expect_inflated(inflater, again, sizeof again, "Hello", 5);
    cr_expect_eq(inflate_code(again, sizeof again, 100), CW_EPROTO);
    cw_ws_inflater_free(loop, inflater);
}

Test(ws_deflate, an_empty_message_is_a_zero_byte_or_nothing)
{
    struct cw_ws_inflater *inflater = cw_ws_inflater_new(loop, 15);

    for (int i = 0; i < 2; i++) {
        expect_inflated(NULL, "\0", 1, "", 0);
        expect_inflated(NULL, "", 0, "", 0);
        expect_inflated(inflater, "\0", 1, "", 0);
        expect_inflated(inflater, "", 0, "", 0);
    }
    expect_inflated(inflater, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7, "Hello", 5);
    cw_ws_inflater_free(loop, inflater);
}

Test(ws_deflate, blocks_behind_a_final_one_go_on_and_may_look_back)
{
    static const uint8_t twice[] = {0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf3,
                                    0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00};
    static const uint8_t back[] = {0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07,
                                   0x00, 0xf2, 0x00, 0x11, 0x00, 0x00};

    expect_inflated(NULL, twice, sizeof twice, "HelloHello", 10);
    expect_inflated(NULL, back, sizeof back, "HelloHello", 10);
    /* Left out is the zero byte behind the final block, or not even the tail is. */
    expect_inflated(NULL, twice, sizeof twice - 1, "HelloHello", 10);
    expect_inflated(NULL, "\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff", 11, "Hello", 5);
    cr_expect_eq(inflate_code("\xf3\x48\xcd\xc9\xc9\x07\x00\x06", 8, 100), CW_EPROTO);
}

Test(ws_deflate, a_context_outlasts_a_final_block)
{
    struct cw_ws_inflater *inflater = cw_ws_inflater_new(loop, 15);

    expect_inflated(inflater, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8, "Hello", 5);
    expect_inflated(inflater, "\xf2\x00\x11\x00\x00", 5, "Hello", 5);
    cw_ws_inflater_free(loop, inflater);
}

Test(ws_deflate, messages_of_zlib_are_inflated_whatever_their_level)
{
    static const size_t sizes[] = {1, 100, 1024, 4096, 4097, 65536, 300000, BIG};

    for (int level = 0; level <= 9; level += 3) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            z_stream z;
            init_deflater(&z, level);
            uint8_t *text = prose_new(sizes[i]);
            struct cw_span packed = peer_deflate(&z, text, sizes[i]);
            expect_inflated(NULL, packed.data, packed.len, text, sizes[i]);
            cr_expect_eq(inflate_code(packed.data, packed.len, sizes[i] - 1), CW_ETOOBIG);
            drop(packed);
            free(text);
            deflateEnd(&z);
        }
    }
}

Test(ws_deflate, a_message_of_very_many_blocks_is_one_message)
{
    enum { BLOCKS = 50000 };
    uint8_t *packed = malloc(BLOCKS * 5 + 1);

    for (size_t i = 0; i < BLOCKS; i++) { /* empty stored ones, all of them final */
        memcpy(packed + i * 5, "\x01\x00\x00\xff\xff", 5);
    }
    packed[BLOCKS * 5] = 0;
    expect_inflated(NULL, packed, BLOCKS * 5 + 1, "", 0);
    free(packed);
}

Test(ws_deflate, the_limit_is_met_exactly)
{
    z_stream z;
    init_deflater(&z, 6);
    static uint8_t zeros[BIG];
    struct cw_span packed = peer_deflate(&z, zeros, BIG);

    cr_expect_eq(inflate_code(packed.data, packed.len, BIG), 0);
    cr_expect_eq(inflate_code(packed.data, packed.len, BIG - 1), CW_ETOOBIG);
    cr_expect_eq(inflate_code(packed.data, packed.len, 4096), CW_ETOOBIG);
    cr_expect_eq(inflate_code(packed.data, packed.len, 1), CW_ETOOBIG);
    cr_expect_eq(inflate_code(packed.data, packed.len, 0), CW_ETOOBIG);
    cr_expect_eq(inflate_code(packed.data, packed.len, CW_NO_LIMIT), 0);
    cr_expect_eq(inflate_code("\0", 1, 0), 0);
    drop(packed);
    deflateEnd(&z);
}

Test(ws_deflate, messages_that_are_cut_off_or_rubbish_are_refused)
{
    z_stream z;
    init_deflater(&z, 6);
    uint8_t *text = prose_new(3000);
    struct cw_span packed = peer_deflate(&z, text, 3000);

    for (size_t len = 1; len < packed.len; len++) {
        cr_expect_eq(inflate_code(packed.data, len, BIG), CW_EPROTO, "%zu", len);
    }
    cr_expect_eq(inflate_code("\xff\xff\xff\xff", 4, BIG), CW_EPROTO);
    cr_expect_eq(inflate_code("\x06", 1, BIG), CW_EPROTO);
    cr_expect_eq(inflate_code("\x00\x05\x00\x00\x00Hello", 10, BIG), CW_EPROTO);
    drop(packed);
    free(text);
    deflateEnd(&z);
}

Test(ws_deflate, after_a_refused_message_the_shared_state_is_as_new)
{
    cr_expect_eq(inflate_code("\xff\xff\xff\xff", 4, BIG), CW_EPROTO);
    expect_inflated(NULL, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7, "Hello", 5);
    cr_expect_eq(inflate_code("\xf2\x48\xcd\xc9\xc9\x07\x00", 7, 4), CW_ETOOBIG);
    expect_inflated(NULL, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7, "Hello", 5);
    cr_expect_eq(inflate_code("\xf2\x48\xcd", 3, BIG), CW_EPROTO);
    cr_expect_eq(inflate_code("\xf2\x00\x11\x00\x00", 5, BIG), CW_EPROTO);
}

Test(ws_deflate, both_ways_with_contexts_kept)
{
    struct cw_ws_deflater *deflater = cw_ws_deflater_new(loop, 10, 3);
    struct cw_ws_inflater *inflater = cw_ws_inflater_new(loop, 10);

    for (int i = 0; i < 300; i++) {
        size_t len = 1 + prose_roll() % 3000;
        uint8_t *text = i % 7 == 3 ? make_noise(len) : prose_new(len);
        struct cw_span packed;
        cr_assert_eq(cw_ws_deflate_kept(loop, deflater, cw_span_of(text, len), &packed), 0);
        expect_inflated(inflater, packed.data, packed.len, text, len);
        free(text);
    }
    cw_ws_deflater_free(loop, deflater);
    cw_ws_inflater_free(loop, inflater);
}

/* ---- in pieces ---- */

/* Takes all out that comes for these bytes. The last code; len: what there is so far. */
static ptrdiff_t take_all(struct cw_ws_inflater *inflater, struct cw_span in, bool last,
                          uint8_t *text, size_t *len, size_t cap)
{
    ptrdiff_t more;

    do {
        uint8_t *piece = malloc(cap); /* of its own size, so that one too many is seen */
        more = cw_ws_inflate_some(inflater, &in, last, piece, cap);
        if (more > 0) {
            cr_assert_leq((size_t)more, cap);
            memcpy(text + *len, piece, (size_t)more);
            *len += (size_t)more;
        }
        free(piece);
    } while (more > 0);
    cr_expect(more < 0 || in.len == 0);
    return more;
}

static void expect_pieces(struct cw_ws_inflater *inflater, struct cw_span packed, size_t cut,
                          size_t cap, const uint8_t *text, size_t len)
{
    uint8_t *copy = malloc(len + 1);
    size_t got = 0;

    for (size_t at = 0; at < packed.len || packed.len == 0; at += cut) {
        size_t size = cut < packed.len - at ? cut : packed.len - at;
        bool last = at + size == packed.len;
        cr_assert_eq(take_all(inflater, cw_span_of(packed.data + at, size), last, copy, &got, cap),
                     0);
        if (packed.len == 0) {
            break;
        }
    }
    cr_assert_eq(got, len);
    cr_assert(len == 0 || memcmp(copy, text, len) == 0);
    free(copy);
}

Test(ws_deflate, pieces_cut_anywhere_give_the_same_message)
{
    struct cw_ws_inflater *inflater = cw_ws_inflater_new(loop, 15);
    z_stream z;
    init_deflater(&z, 6);

    for (size_t cut = 1; cut < 400; cut = cut * 3 / 2 + 1) {
        for (size_t cap = 1; cap < 5000; cap = cap * 5 + 2) {
            uint8_t *text = prose_new(2000);
            struct cw_span packed = peer_deflate(&z, text, 2000); /* looks back at those before */
            expect_pieces(inflater, packed, cut, cap, text, 2000);
            expect_pieces(inflater, cw_span_of("", 0), cut, cap, text, 0);
            expect_pieces(inflater, cw_span_of("\0", 1), cut, cap, text, 0);
            drop(packed);
            free(text);
        }
    }
    cw_ws_inflater_free(loop, inflater);
    deflateEnd(&z);
}

Test(ws_deflate, a_piece_gives_out_all_it_holds_before_the_next_comes)
{
    static uint8_t zeros[3000];
    static uint8_t text[3000];
    struct cw_ws_inflater *slow = cw_ws_inflater_new(loop, 15);
    struct cw_ws_inflater *fast = cw_ws_inflater_new(loop, 15);
    size_t slow_len = 0;
    size_t fast_len = 0;
    z_stream z;

    init_deflater(&z, 6);
    struct cw_span packed = peer_deflate(&z, zeros, sizeof zeros);
    for (size_t i = 0; i < packed.len; i++) {
        struct cw_span byte = cw_span_of(packed.data + i, 1);
        cr_expect_eq(take_all(slow, byte, false, text, &slow_len, 10), 0);
        cr_expect_eq(take_all(fast, byte, false, text, &fast_len, 3000), 0);
        cr_expect_eq(slow_len, fast_len, "%zu: %zu, %zu", i, slow_len, fast_len);
    }
    cr_expect_eq(slow_len, sizeof zeros);
    drop(packed);
    deflateEnd(&z);
    cw_ws_inflater_free(loop, slow);
    cw_ws_inflater_free(loop, fast);
}

Test(ws_deflate, final_blocks_in_pieces)
{
    static const uint8_t packed[] = {0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf3,
                                     0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00};
    struct cw_ws_inflater *inflater = cw_ws_inflater_new(loop, 15);

    for (size_t cut = 1; cut <= sizeof packed; cut++) {
        for (size_t cap = 1; cap < 12; cap++) {
            expect_pieces(inflater, cw_span_of(packed, sizeof packed), cut, cap,
                          (const uint8_t *)"HelloHello", 10);
            expect_pieces(inflater, cw_span_of(packed, 7), cut, cap, (const uint8_t *)"Hello", 5);
        }
    }
    cw_ws_inflater_free(loop, inflater);
}

Test(ws_deflate, the_last_piece_may_be_empty)
{
    struct cw_ws_inflater *inflater = cw_ws_inflater_new(loop, 15);
    uint8_t text[16];
    size_t len = 0;
    struct cw_span packed = cw_span_of("\xf2\x48\xcd\xc9\xc9\x07\x00", 7);

    cr_expect_eq(take_all(inflater, packed, false, text, &len, 16), 0);
    cr_expect_eq(take_all(inflater, cw_span_of(NULL, 0), false, text, &len, 16), 0);
    cr_expect_eq(take_all(inflater, cw_span_of(NULL, 0), true, text, &len, 16), 0);
    cr_expect_eq(len, 5);
    cw_ws_inflater_free(loop, inflater);
}

Test(ws_deflate, a_block_that_ends_within_the_tail_is_cut_off)
{
    struct cw_span packed = cw_span_of("\xf2\x48\xcd\xc9\xc9\x27\x00", 7);

    cr_expect_eq(inflate_code(packed.data, packed.len, BIG), CW_EPROTO);
    for (size_t cap = 1; cap < 50; cap++) {
        struct cw_ws_inflater *inflater = cw_ws_inflater_new(loop, 15);
        uint8_t text[64];
        size_t len = 0;
        cr_expect_eq(take_all(inflater, packed, true, text, &len, cap), CW_EPROTO, "%zu", cap);
        cw_ws_inflater_free(loop, inflater);
    }
}

Test(ws_deflate, pieces_that_are_cut_off_or_rubbish_are_refused)
{
    struct cw_span packed = cw_span_of("\xf2\x48\xcd\xc9\xc9\x07\x00", 7);

    for (size_t cut = 1; cut < packed.len; cut++) {
        struct cw_ws_inflater *inflater = cw_ws_inflater_new(loop, 15);
        uint8_t text[64];
        size_t len = 0;
        cr_expect_eq(take_all(inflater, cw_span_of(packed.data, cut), true, text, &len, 16),
                     CW_EPROTO);
        cw_ws_inflater_free(loop, inflater);
        inflater = cw_ws_inflater_new(loop, 15);
        cr_expect_eq(take_all(inflater, cw_span_of("\xff\xff", 2), false, text, &len, 16),
                     CW_EPROTO);
        cw_ws_inflater_free(loop, inflater);
    }
}

/* ---- memory ---- */

static size_t used_now;
static size_t used_most;

static void *count_alloc(size_t size)
{
    size_t *block = malloc(size + 16);

    *block = size;
    used_now += size;
    used_most = used_now > used_most ? used_now : used_most;
    return block + 2;
}

static void count_release(void *memory)
{
    if (memory != NULL) {
        size_t *block = (size_t *)memory - 2;
        used_now -= *block;
        free(block);
    }
}

static void *count_resize(void *memory, size_t size)
{
    void *larger = count_alloc(size); /* as if there were never room to grow in place */
    size_t old = memory != NULL ? *((size_t *)memory - 2) : 0;

    memcpy(larger, memory != NULL ? memory : larger, old < size ? old : size);
    count_release(memory);
    return larger;
}

static const struct cw_allocator counting = {count_alloc, count_resize, count_release};

TestSuite(ws_deflate_memory, .fini = rig_expect_no_leak, .timeout = 60);

static void start_counting(void)
{
    cw_allocator_set(&counting);
    set_up();
}

static void stop_counting(void)
{
    cw_loop_free(loop);
    cw_allocator_set(NULL);
}

Test(ws_deflate_memory, a_bomb_costs_its_limit_and_is_given_back)
{
    z_stream z;
    init_deflater(&z, 9);
    uint8_t *zeros = calloc(1, 64 * BIG);
    struct cw_span bomb = peer_deflate(&z, zeros, 64 * BIG);
    const size_t max = 2 * BIG;

    start_counting();
    size_t before = used_now;
    cr_expect_eq(inflate_code(bomb.data, bomb.len, max), CW_ETOOBIG);
    cr_expect_leq(used_most - before, max + max / 2 + 65536); /* with the old half while it grows */
    cr_expect_leq(used_now - before, max + 65536);
    cr_expect_eq(inflate_code(bomb.data, bomb.len, max), CW_ETOOBIG);
    cw_loop_run(loop);
    cr_expect_leq(used_now - before, 65536);
    stop_counting();
    drop(bomb);
    free(zeros);
    deflateEnd(&z);
}

Test(ws_deflate_memory, what_a_large_message_needed_is_given_back)
{
    uint8_t *text = prose_new(4 * BIG);
    struct cw_span packed;

    start_counting();
    size_t before = used_now;
    cr_expect_eq(cw_ws_deflate(loop, 15, 1, cw_span_of(text, 4 * BIG), &packed), 0);
    cr_expect_leq(used_most - before, 6 * BIG + 400000);
    cw_loop_run(loop);
    cr_expect_leq(used_now - before, 400000);
    stop_counting();
    free(text);
}

Test(ws_deflate_memory, small_messages_allocate_nothing_after_the_first)
{
    uint8_t *text = prose_new(1024);
    struct cw_span packed;
    struct cw_span back;

    start_counting();
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(cw_ws_deflate(loop, 15, 1, cw_span_of(text, 1024), &packed), 0);
        uint8_t copy[1024 + 16];
        memcpy(copy, packed.data, packed.len);
        cr_expect_eq(cw_ws_inflate(loop, NULL, cw_span_of(copy, packed.len), 1024, &back), 0);
        cr_expect(cw_span_equal(back, cw_span_of(text, 1024)));
        if (i == 0) {
            used_most = used_now;
        }
    }
    cr_expect_eq(used_most, used_now);
    stop_counting();
    free(text);
}

Test(ws_deflate_memory, unused_contexts_are_few)
{
    struct cw_ws_inflater *some[100];

    start_counting();
    for (size_t i = 0; i < 100; i++) {
        some[i] = cw_ws_inflater_new(loop, 15);
        cr_assert_not_null(some[i]);
    }
    size_t most = used_now;
    for (size_t i = 0; i < 100; i++) {
        cw_ws_inflater_free(loop, some[i]);
    }
    cr_expect_lt(used_now, most / 5);
    stop_counting();
}

/* Compresses and inflates, with and without contexts. Whether all of it went well. */
static bool try_all(const uint8_t *text, size_t len)
{
    uint8_t packed[7 + 16] = {0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00};
    struct cw_ws_deflater *deflater = cw_ws_deflater_new(loop, 15, 1);
    struct cw_ws_inflater *inflater = cw_ws_inflater_new(loop, 15);
    struct cw_span out;
    bool right = deflater != NULL && inflater != NULL;

    right = cw_ws_deflate(loop, 15, 1, cw_span_of(text, len), &out) == 0 && right;
    if (deflater != NULL) {
        right = cw_ws_deflate_kept(loop, deflater, cw_span_of(text, len), &out) == 0 && right;
    }
    if (inflater != NULL) {
        right = cw_ws_inflate(loop, inflater, cw_span_of(packed, 7), 5, &out) == 0 && right;
    }
    right = cw_ws_inflate(loop, NULL, cw_span_of(packed, 7), 5, &out) == 0 && right;
    cw_ws_deflater_free(loop, deflater);
    cw_ws_inflater_free(loop, inflater);
    return right;
}

Test(ws_deflate_memory, memory_that_runs_out_is_an_error_and_nothing_worse)
{
    uint8_t *text = prose_new(20000);
    bool failed = true;

    fault_install();
    for (size_t nth = 1; failed; nth++) {
        set_up();
        fault_arm(nth);
        bool right = try_all(text, 20000);
        failed = fault_disarm();
        cr_expect(right || failed, "%zu", nth); /* without one library another does it */
        cr_expect(try_all(text, 20000));
        cw_loop_free(loop);
        cr_assert_lt(nth, 1000);
    }
    fault_remove();
    free(text);
}

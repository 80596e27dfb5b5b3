#include "framed/length_prefix.h"
#include "support/leak.h"

#include <causeway/protocol.h>
#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(length_prefix, .fini = rig_expect_no_leak, .timeout = 30);

static struct cw_framed_options settled(struct cw_framed_options options)
{
    struct cw_complaint complaint = {""};

    cr_assert_eq(cw_framed.configure(&options, &complaint), CW_OK, "%s", complaint.text);
    return options;
}

/* Expects a body of that length behind a header that is all of the bytes given. */
static void expect_body(const struct cw_framed_options *options, const void *header, size_t len,
                        uint64_t body_len)
{
    struct cw_frame_head head = {0};
    uint8_t written[CW_FRAME_HEADER_MAX] = {0};

    cr_assert_eq(cw_frame_parse(options, header, len, &head), CW_FRAME_READ);
    cr_assert_eq(head.header_len, len);
    cr_assert_eq(head.body_len, body_len);
    for (size_t cut = 0; cut < len; cut++) {
        cr_assert_eq(cw_frame_parse(options, header, cut, &head), CW_FRAME_MORE, "%zu of %zu bytes",
                     cut, len);
    }
    cr_assert_eq(cw_frame_write(options, body_len, written), (int)len);
    cr_assert_arr_eq(written, header, len);
}

static void expect_refused(const struct cw_framed_options *options, const void *header, size_t len,
                           int code)
{
    struct cw_frame_head head = {0};

    cr_assert_eq(cw_frame_parse(options, header, len, &head), code);
    cr_assert(code != CW_EPROTO || (head.wrong != NULL && head.wrong[0] != '\0'));
}

/* ---- fixed ---- */

Test(length_prefix, the_default_is_four_bytes_in_network_order)
{
    struct cw_framed_options options = settled((struct cw_framed_options){0});

    expect_body(&options, "\x00\x00\x00\x00", 4, 0);
    expect_body(&options, "\x00\x00\x01\x02", 4, 0x102);
    expect_body(&options, "\x00\x01\x00\x00", 4, 65536);
}

Test(length_prefix, every_width_reads_both_byte_orders)
{
    static const uint8_t big[8] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08};
    static const uint8_t little[8] = {0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01};

    for (size_t width = 1; width <= 8; width *= 2) {
        struct cw_framed_options options = settled((struct cw_framed_options){
            .length_bytes = width, .frame_max_bytes = CW_NO_LIMIT, .stream_above_bytes = 1});
        uint64_t value = 0x0102030405060708 >> (8 * (8 - width));

        expect_body(&options, big, width, value);
        options.little_endian = true;
        expect_body(&options, little + 8 - width, width, value);
    }
}

Test(length_prefix, the_length_may_stand_behind_other_bytes)
{
    struct cw_framed_options options =
        settled((struct cw_framed_options){.length_bytes = 2, .length_offset = 3});
    struct cw_frame_head head = {0};
    uint8_t written[CW_FRAME_HEADER_MAX];

    cr_assert_eq(cw_frame_parse(&options, (const uint8_t *)"abc\x01", 4, &head), CW_FRAME_MORE);
    cr_assert_eq(cw_frame_parse(&options, (const uint8_t *)"abc\x01\x05", 5, &head), CW_FRAME_READ);
    cr_assert_eq(head.header_len, 5);
    cr_assert_eq(head.body_len, 0x105);
    memcpy(written, "xyz..", 5);
    cr_assert_eq(cw_frame_write(&options, 0x105, written), 5);
    cr_assert_arr_eq(written, "xyz\x01\x05", 5);
}

Test(length_prefix, the_length_may_count_the_header)
{
    struct cw_framed_options options = settled((struct cw_framed_options){
        .length_bytes = 2, .length_offset = 1, .length_with_header = true});

    expect_body(&options, "\0\x00\x03", 3, 0);
    expect_body(&options, "\0\x00\x08", 3, 5);
    expect_refused(&options, "\0\x00\x02", 3, CW_EPROTO);
    expect_refused(&options, "\0\x00\x00", 3, CW_EPROTO);
}

Test(length_prefix, an_adjustment_works_in_both_directions)
{
    struct cw_framed_options longer =
        settled((struct cw_framed_options){.length_bytes = 1, .adjustment = 5});
    struct cw_framed_options shorter =
        settled((struct cw_framed_options){.length_bytes = 1, .adjustment = -5});
    uint8_t header[CW_FRAME_HEADER_MAX];

    expect_body(&longer, "\x00", 1, 5);
    expect_body(&longer, "\xff", 1, 260);
    cr_assert_eq(cw_frame_write(&longer, 4, header), CW_EKIND, "a length below zero was written");
    expect_body(&shorter, "\x05", 1, 0);
    expect_body(&shorter, "\xff", 1, 250);
    expect_refused(&shorter, "\x04", 1, CW_EPROTO);
}

Test(length_prefix, adjustment_and_header_are_taken_together)
{
    struct cw_framed_options options = settled(
        (struct cw_framed_options){.length_bytes = 4, .length_with_header = true, .adjustment = 4});

    /* 2 - 4 alone would be negative. */
    expect_body(&options, "\x00\x00\x00\x02", 4, 2);
}

Test(length_prefix, the_largest_numbers_do_not_overflow)
{
    static const uint8_t ones[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct cw_framed_options options = settled((struct cw_framed_options){
        .length_bytes = 8, .adjustment = 1, .frame_max_bytes = CW_NO_LIMIT, .stream_above_bytes = 1});

    expect_refused(&options, ones, 8, CW_ETOOBIG);
    options = settled((struct cw_framed_options){.length_bytes = 8,
                                                 .length_with_header = true,
                                                 .frame_max_bytes = CW_NO_LIMIT,
                                                 .stream_above_bytes = 1});
    expect_body(&options, ones, 8, UINT64_MAX - 8);

    uint8_t header[CW_FRAME_HEADER_MAX];

    cr_assert_eq(cw_frame_write(&options, UINT64_MAX - 7, header), CW_ETOOBIG);
    cr_assert_eq(cw_frame_write(&options, UINT64_MAX, header), CW_ETOOBIG);
}

Test(length_prefix, a_whole_frame_never_overflows_memory)
{
    static const uint8_t most[8] = {0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct cw_framed_options options =
        settled((struct cw_framed_options){.length_bytes = 8, .frame_max_bytes = CW_NO_LIMIT});

    expect_refused(&options, most, 8, CW_ETOOBIG);
}

/* ---- limits, whatever the framing ---- */

static const struct cw_framed_options shapes[] = {
    {.length_bytes = 1},
    {.length_bytes = 2, .little_endian = true},
    {.length_bytes = 4, .length_offset = 64},
    {.length_bytes = 8, .length_with_header = true},
    {.length_bytes = 4, .adjustment = 100},
    {.length_bytes = 4, .adjustment = -100},
    {.framing = CW_FRAMING_VARINT},
    {.framing = CW_FRAMING_NETSTRING},
};

enum { SHAPES = sizeof shapes / sizeof shapes[0] };

Test(length_prefix, the_limit_passes_and_one_more_is_refused)
{
    for (size_t i = 0; i < SHAPES; i++) {
        struct cw_framed_options options = shapes[i];
        uint8_t header[CW_FRAME_HEADER_MAX] = {0};
        struct cw_frame_head head = {0};

        options.frame_max_bytes = 200;
        options = settled(options);

        int len = cw_frame_write(&options, 200, header);

        cr_assert_gt(len, 0);
        cr_assert_eq(cw_frame_parse(&options, header, (size_t)len, &head), CW_FRAME_READ, "%zu", i);
        cr_assert_eq(cw_frame_write(&options, 201, header), CW_ETOOBIG);
        options.frame_max_bytes = 201;
        len = cw_frame_write(&options, 201, header);
        options.frame_max_bytes = 200;
        cr_assert_eq(cw_frame_parse(&options, header, (size_t)len, &head), CW_ETOOBIG, "%zu", i);
        cr_assert_eq(head.body_len, 201);
    }
}

Test(length_prefix, what_is_written_is_read_again)
{
    for (size_t i = 0; i < SHAPES; i++) {
        struct cw_framed_options options = settled(shapes[i]);

        for (uint64_t body_len = 0; body_len <= 65536; body_len = body_len * 3 / 2 + 1) {
            uint8_t header[CW_FRAME_HEADER_MAX] = {0};
            struct cw_frame_head head = {0};
            int len = cw_frame_write(&options, body_len, header);

            if (len < 0) {
                continue;
            }
            cr_assert_eq(cw_frame_parse(&options, header, (size_t)len, &head), CW_FRAME_READ);
            cr_assert_eq(head.body_len, body_len);
            cr_assert_eq(head.header_len, (size_t)len);
        }
    }
}

Test(length_prefix, an_empty_frame_is_refused_when_the_options_say_so)
{
    for (size_t i = 0; i < SHAPES; i++) {
        struct cw_framed_options options = settled(shapes[i]);
        uint8_t header[CW_FRAME_HEADER_MAX] = {0};
        int len = cw_frame_write(&options, 0, header);

        if (len < 0) {
            continue;
        }
        options.refuse_empty = true;
        expect_refused(&options, header, (size_t)len, CW_EPROTO);
        cr_assert_eq(cw_frame_write(&options, 0, header), CW_EKIND);
        cr_assert_gt(cw_frame_write(&options, 200, header), 0);
    }
}

/* ---- varint ---- */

static struct cw_framed_options varint(void)
{
    return settled((struct cw_framed_options){
        .framing = CW_FRAMING_VARINT, .frame_max_bytes = CW_NO_LIMIT, .stream_above_bytes = 1});
}

Test(length_prefix, a_varint_has_seven_bits_a_byte_least_first)
{
    struct cw_framed_options options = varint();

    expect_body(&options, "\x00", 1, 0);
    expect_body(&options, "\x7f", 1, 127);
    expect_body(&options, "\x80\x01", 2, 128);
    expect_body(&options, "\xac\x02", 2, 300);
    expect_body(&options, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, UINT64_MAX);
}

Test(length_prefix, a_varint_longer_than_needed_is_refused)
{
    struct cw_framed_options options = varint();

    expect_refused(&options, "\x80\x00", 2, CW_EPROTO);
    expect_refused(&options, "\xff\x00", 2, CW_EPROTO);
    expect_refused(&options, "\x81\x80\x80\x00", 4, CW_EPROTO);
    expect_refused(&options, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 10, CW_EPROTO);
}

Test(length_prefix, a_varint_of_more_than_64_bits_is_refused_at_its_tenth_byte)
{
    struct cw_framed_options options = varint();

    expect_refused(&options, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, CW_EPROTO);
    expect_refused(&options, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81", 10, CW_EPROTO);
    expect_refused(&options, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, CW_EPROTO);
}

/* ---- netstring ---- */

static struct cw_framed_options netstring(uint64_t max)
{
    return settled((struct cw_framed_options){
        .framing = CW_FRAMING_NETSTRING, .frame_max_bytes = max, .stream_above_bytes = 1});
}

Test(length_prefix, a_netstring_begins_with_digits_and_a_colon)
{
    struct cw_framed_options options = netstring(CW_NO_LIMIT);

    expect_body(&options, "0:", 2, 0);
    expect_body(&options, "12:", 3, 12);
    expect_body(&options, "18446744073709551615:", 21, UINT64_MAX);
    cr_assert(cw_span_equal(cw_frame_trailer(&options), cw_span_text(",")));
}

Test(length_prefix, anything_but_digits_before_the_colon_is_refused)
{
    static const char *const wrong[] = {":", "x", "-1:", "+1:", " 1:", "1 :", "1x", "1;", "0x1:"};
    struct cw_framed_options options = netstring(CW_NO_LIMIT);

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        expect_refused(&options, wrong[i], strlen(wrong[i]), CW_EPROTO);
    }
    expect_refused(&options, "1\0:", 3, CW_EPROTO);
    expect_refused(&options, "1\xff:", 3, CW_EPROTO);
}

Test(length_prefix, leading_zeros_are_refused)
{
    struct cw_framed_options options = netstring(CW_NO_LIMIT);

    expect_refused(&options, "00", 2, CW_EPROTO);
    expect_refused(&options, "00:", 3, CW_EPROTO);
    expect_refused(&options, "012:", 4, CW_EPROTO);
}

Test(length_prefix, digits_over_the_limit_are_refused_before_the_colon_comes)
{
    struct cw_framed_options options = netstring(500);
    struct cw_frame_head head = {0};

    expect_body(&options, "500:", 4, 500);
    expect_refused(&options, "501", 3, CW_ETOOBIG);
    cr_assert_eq(cw_frame_parse(&options, (const uint8_t *)"5000000", 7, &head), CW_ETOOBIG);
    cr_assert_eq(head.body_len, 5000, "it went on reading digits: %llu",
                 (unsigned long long)head.body_len);
}

Test(length_prefix, digits_beyond_64_bits_are_refused)
{
    struct cw_framed_options options = netstring(CW_NO_LIMIT);

    expect_refused(&options, "18446744073709551616", 20, CW_ETOOBIG);
    expect_refused(&options, "99999999999999999999", 20, CW_ETOOBIG);
    expect_refused(&options, "184467440737095516150", 21, CW_ETOOBIG);
}

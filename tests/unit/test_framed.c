/* The options of framed; what it does with bytes is in contract/contract_framed.c. */
#include "support/leak.h"

#include <causeway/framed.h>
#include <causeway/payload.h>
#include <causeway/protocol.h>
#include <criterion/criterion.h>

TestSuite(framed, .fini = rig_expect_no_leak, .timeout = 30);

static void expect_refused(struct cw_framed_options options, const char *text)
{
    struct cw_complaint complaint = {""};

    cr_assert_eq(cw_framed.configure(&options, &complaint), CW_EINVAL, "allowed: %s", text);
    cr_assert_str_eq(complaint.text, text);
}

static struct cw_framed_options settled(struct cw_framed_options options)
{
    struct cw_complaint complaint = {""};

    cr_assert_eq(cw_framed.configure(&options, &complaint), CW_OK, "%s", complaint.text);
    return options;
}

Test(framed, the_defaults_are_four_bytes_and_64_kib)
{
    struct cw_framed_options options = settled((struct cw_framed_options){0});

    cr_assert_eq(options.framing, CW_FRAMING_FIXED);
    cr_assert_eq(options.length_bytes, 4);
    cr_assert_eq(options.frame_max_bytes, 65536);
    cr_assert_eq(options.stream_above_bytes, 65536, "frames within the limit come whole");
    cr_assert_eq(options.kind, CW_BINARY);
}

Test(framed, the_default_limit_is_lowered_to_what_the_length_can_say)
{
    cr_assert_eq(settled((struct cw_framed_options){.length_bytes = 1}).frame_max_bytes, 255);
    cr_assert_eq(settled((struct cw_framed_options){.length_bytes = 2}).frame_max_bytes, 65535);
    cr_assert_eq(settled((struct cw_framed_options){.length_bytes = 2, .length_with_header = true})
                     .frame_max_bytes,
                 65533);
    cr_assert_eq(
        settled((struct cw_framed_options){.length_bytes = 1, .adjustment = 10}).frame_max_bytes,
        265);
}

Test(framed, in_pieces_the_default_limit_is_what_four_bytes_can_say)
{
    struct cw_framed_options fixed =
        settled((struct cw_framed_options){.stream_above_bytes = 1000});
    struct cw_framed_options other = settled(
        (struct cw_framed_options){.framing = CW_FRAMING_VARINT, .stream_above_bytes = 1000});

    cr_assert_eq(fixed.frame_max_bytes, 4294967295);
    cr_assert_eq(fixed.stream_above_bytes, 1000);
    cr_assert_eq(other.frame_max_bytes, 4294967295);
}

Test(framed, no_limit_is_what_the_length_can_say)
{
    struct cw_framed_options options =
        settled((struct cw_framed_options){.frame_max_bytes = CW_NO_LIMIT});

    cr_assert_eq(options.frame_max_bytes, 4294967295);
}

Test(framed, a_limit_that_the_length_cannot_say_is_refused_by_name)
{
    expect_refused((struct cw_framed_options){.length_bytes = 1, .frame_max_bytes = 256},
                   "frame_max_bytes: 256, but 255 is the most that can be said");
    expect_refused((struct cw_framed_options){.length_bytes = 2, .frame_max_bytes = 65536},
                   "frame_max_bytes: 65536, but 65535 is the most that can be said");
    expect_refused((struct cw_framed_options){.frame_max_bytes = 4294967296},
                   "frame_max_bytes: 4294967296, but 4294967295 is the most that can be said");
    expect_refused((struct cw_framed_options){.length_bytes = 1,
                                              .length_with_header = true,
                                              .frame_max_bytes = 255},
                   "frame_max_bytes: 255, but 254 is the most that can be said");
    (void)settled((struct cw_framed_options){.length_bytes = 1, .frame_max_bytes = 255});
}

Test(framed, widths_other_than_1_2_4_and_8_are_refused)
{
    for (uint64_t width = 1; width < 20; width++) {
        if (width != 1 && width != 2 && width != 4 && width != 8) {
            expect_refused((struct cw_framed_options){.length_bytes = width},
                           "length_bytes: not 1, 2, 4 or 8");
        }
    }
    expect_refused((struct cw_framed_options){.length_bytes = CW_NO_LIMIT},
                   "length_bytes: not 1, 2, 4 or 8");
}

Test(framed, the_length_stands_at_most_64_bytes_into_the_header)
{
    (void)settled((struct cw_framed_options){.length_offset = 64});
    expect_refused((struct cw_framed_options){.length_offset = 65}, "length_offset: over 64");
    expect_refused((struct cw_framed_options){.length_offset = CW_NO_LIMIT},
                   "length_offset: over 64");
}

Test(framed, an_adjustment_beyond_32_bits_is_refused)
{
    expect_refused((struct cw_framed_options){.adjustment = INT64_MAX},
                   "adjustment: does not fit 32 bits");
    expect_refused((struct cw_framed_options){.adjustment = INT64_MIN},
                   "adjustment: does not fit 32 bits");
}

Test(framed, an_adjustment_that_leaves_no_frame_is_refused)
{
    expect_refused((struct cw_framed_options){.length_bytes = 1, .adjustment = -256},
                   "adjustment: no length is left for a body");
    expect_refused((struct cw_framed_options){.adjustment = 11, .frame_max_bytes = 10},
                   "adjustment: the shortest frame is over frame_max_bytes");
    (void)settled((struct cw_framed_options){.adjustment = 10, .frame_max_bytes = 10});
}

Test(framed, members_of_the_fixed_framing_are_refused_with_another)
{
    static const enum cw_framing others[] = {CW_FRAMING_VARINT, CW_FRAMING_NETSTRING};

    for (size_t i = 0; i < 2; i++) {
        expect_refused((struct cw_framed_options){.framing = others[i], .length_bytes = 4},
                       "length_bytes: only with CW_FRAMING_FIXED");
        expect_refused((struct cw_framed_options){.framing = others[i], .little_endian = true},
                       "little_endian: only with CW_FRAMING_FIXED");
        expect_refused((struct cw_framed_options){.framing = others[i], .length_offset = 1},
                       "length_offset: only with CW_FRAMING_FIXED");
        expect_refused((struct cw_framed_options){.framing = others[i], .length_with_header = true},
                       "length_with_header: only with CW_FRAMING_FIXED");
        expect_refused((struct cw_framed_options){.framing = others[i], .adjustment = -1},
                       "adjustment: only with CW_FRAMING_FIXED");
        expect_refused((struct cw_framed_options){.framing = others[i], .keep_header = true},
                       "keep_header: only with CW_FRAMING_FIXED");
    }
}

Test(framed, a_kept_header_and_pieces_contradict_each_other)
{
    expect_refused((struct cw_framed_options){.keep_header = true, .stream_above_bytes = 1},
                   "keep_header: not with stream_above_bytes");
}

Test(framed, a_whole_frame_has_to_fit_into_memory)
{
    expect_refused((struct cw_framed_options){.length_bytes = 8,
                                              .stream_above_bytes = CW_NO_LIMIT,
                                              .frame_max_bytes = CW_NO_LIMIT},
                   "stream_above_bytes: more than memory can hold");
}

Test(framed, unknown_framings_and_kinds_are_refused)
{
    expect_refused((struct cw_framed_options){.framing = (enum cw_framing)3},
                   "framing: not one of enum cw_framing");
    expect_refused((struct cw_framed_options){.kind = (enum cw_kind)2},
                   "kind: neither CW_BINARY nor CW_TEXT");
}

Test(framed, the_largest_message_is_counted_with_its_header)
{
    struct cw_framed_options whole = settled((struct cw_framed_options){0});
    struct cw_framed_options pieces =
        settled((struct cw_framed_options){.stream_above_bytes = 100});

    cr_assert_geq(cw_framed.message_max(&whole), 65536 + 4);
    cr_assert_leq(cw_framed.message_max(&whole), 65536 + 128);
    cr_assert_leq(cw_framed.message_max(&pieces), 100 + 128);
}

static void expect_encoded(struct cw_framed_options options, struct cw_message msg,
                           const void *bytes, size_t len)
{
    struct cw_payload *payload = NULL;

    options = settled(options);
    cr_assert_eq(cw_framed.encode(&(struct cw_wire_format){.options = &options}, &msg, &payload),
                 CW_OK);
    cr_assert(cw_span_equal(cw_payload_span(payload), cw_span_of(bytes, len)));
    cw_payload_drop(payload);
}

Test(framed, a_message_is_encoded_without_a_connection)
{
    struct cw_message msg = cw_message_text("hello");

    expect_encoded((struct cw_framed_options){0}, msg, "\0\0\0\5hello", 9);
    expect_encoded((struct cw_framed_options){.length_bytes = 2, .little_endian = true}, msg,
                   "\5\0hello", 7);
    expect_encoded((struct cw_framed_options){.framing = CW_FRAMING_NETSTRING}, msg, "5:hello,", 8);
    expect_encoded((struct cw_framed_options){.framing = CW_FRAMING_VARINT}, msg, "\5hello", 6);
    expect_encoded((struct cw_framed_options){.length_bytes = 1, .length_offset = 2}, msg,
                   "\0\0\5hello", 8);
    expect_encoded(
        (struct cw_framed_options){.length_bytes = 1, .length_offset = 2, .keep_header = true},
        cw_message_text("ab?hello"), "ab\5hello", 8);
}

static int refusal(struct cw_framed_options options, struct cw_message msg)
{
    struct cw_payload *payload = NULL;

    options = settled(options);

    int code = cw_framed.encode(&(struct cw_wire_format){.options = &options}, &msg, &payload);

    cw_payload_drop(payload);
    return code;
}

Test(framed, what_cannot_be_encoded_is_refused)
{
    static const uint8_t body[300];

    cr_assert_eq(
        refusal((struct cw_framed_options){.frame_max_bytes = 299}, cw_message_of(body, 300)),
        CW_ETOOBIG);
    cr_assert_eq(
        refusal((struct cw_framed_options){.frame_max_bytes = 300}, cw_message_of(body, 300)),
        CW_OK);
    cr_assert_eq(refusal((struct cw_framed_options){.refuse_empty = true}, cw_message_of(body, 0)),
                 CW_EKIND);
    cr_assert_eq(refusal((struct cw_framed_options){.keep_header = true}, cw_message_of(body, 3)),
                 CW_EKIND, "shorter than its own header");
    cr_assert_eq(
        refusal((struct cw_framed_options){0}, (struct cw_message){.part = CW_BEGIN, .total = 3}),
        CW_EKIND);
}

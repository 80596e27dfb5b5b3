/* Heads, masks and close codes of WebSocket frames, against RFC 6455 §5.2, §5.3 and §7.4. */
#include "support/leak.h"
#include "websocket/ws_frame.h"

#include <causeway/error.h>

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* The same source once more, as a machine without wide registers would build it. */
#undef __SSE2__
#define cw_ws_read_head portable_read_head
#define cw_ws_write_head portable_write_head
#define cw_ws_mask portable_mask
#define cw_ws_mask_to portable_mask_to
#define cw_ws_close_code_is_sound portable_close_code_is_sound
int portable_read_head(struct cw_span in, bool masked, bool extended, struct cw_ws_head *head,
                       const char **why);
size_t portable_write_head(uint8_t out[CW_WS_HEAD_MAX], uint8_t first, uint64_t len, bool masked,
                           uint32_t mask);
bool portable_mask(uint8_t *data, size_t len, uint32_t mask, uint64_t at);
bool portable_mask_to(uint8_t *to, const uint8_t *from, size_t len, uint32_t mask, uint64_t at);
bool portable_close_code_is_sound(uint32_t code);
#include "websocket/ws_frame.c"
#undef cw_ws_read_head
#undef cw_ws_write_head
#undef cw_ws_mask
#undef cw_ws_mask_to
#undef cw_ws_close_code_is_sound

TestSuite(ws_frame, .fini = rig_expect_no_leak, .timeout = 120);

enum { SLACK = 16 }; /* what may be read behind the bytes */

/* ---- heads ---- */

static const uint8_t mask_bytes_of_tests[4] = {0xa1, 0x02, 0xc3, 0x84};

/* §5.2 as a list of what may stand there. */
static bool first_byte_is_sound(uint8_t first, bool extended)
{
    static const uint8_t plain[] = {0x00, 0x80, 0x01, 0x81, 0x02, 0x82, 0x88, 0x89, 0x8a};
    static const uint8_t compressed[] = {0x41, 0xc1, 0x42, 0xc2};

    return memchr(plain, first, sizeof plain) != NULL ||
           (extended && memchr(compressed, first, sizeof compressed) != NULL);
}

static bool second_byte_is_sound(uint8_t first, uint8_t second, bool masked)
{
    return (second >= 0x80) == masked && ((first & 8) == 0 || (second & 0x7f) < 126);
}

/* What a head of these two bytes is, with a length behind them that needs its form. 0: refused. */
static int whole_head(uint8_t bytes[CW_WS_HEAD_MAX], bool masked, uint64_t *len)
{
    static const uint8_t len16[] = {0x12, 0x34};
    static const uint8_t len64[] = {0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0};
    size_t size = 2;

    *len = bytes[1] & 0x7f;
    if (*len == 126) {
        *len = 0x1234;
        memcpy(bytes + 2, len16, sizeof len16);
        size += sizeof len16;
    } else if (*len == 127) {
        *len = 0x123456789abcdef0;
        memcpy(bytes + 2, len64, sizeof len64);
        size += sizeof len64;
    }
    if (masked) {
        memcpy(bytes + size, mask_bytes_of_tests, sizeof mask_bytes_of_tests);
        size += sizeof mask_bytes_of_tests;
    }
    return (int)size;
}

/* Reads from a block of just that size. */
static int read_cut(const uint8_t *bytes, size_t len, bool masked, bool extended,
                    struct cw_ws_head *head)
{
    static uint8_t *blocks[CW_WS_HEAD_MAX + 1];
    const char *why = NULL;

    if (blocks[len] == NULL) {
        blocks[len] = malloc(len > 0 ? len : 1);
        cr_assert(blocks[len] != NULL);
    }
    memcpy(blocks[len], bytes, len);
    int code = cw_ws_read_head(cw_span_of(blocks[len], len), masked, extended, head, &why);

    cr_assert_eq(code < 0, why != NULL);
    cr_assert(code >= 0 || code == CW_EPROTO);
    return code;
}

static void expect_head(uint8_t first, uint8_t second, bool masked, bool extended)
{
    uint8_t bytes[CW_WS_HEAD_MAX] = {first, second};
    struct cw_ws_head head;
    uint64_t len = 0;
    int size = whole_head(bytes, masked, &len);
    bool sound = first_byte_is_sound(first, extended);
    bool both_sound = sound && second_byte_is_sound(first, second, masked);

    cr_assert_eq(read_cut(bytes, 0, masked, extended, &head), 0);
    cr_assert_eq(read_cut(bytes, 1, masked, extended, &head), sound ? 0 : CW_EPROTO, "%02x", first);
    for (int cut = 2; cut <= CW_WS_HEAD_MAX; cut++) {
        int wanted = !both_sound ? CW_EPROTO : cut < size ? 0 : size;
        int code = read_cut(bytes, (size_t)cut, masked, extended, &head);

        cr_assert_eq(code, wanted, "%02x %02x, %d bytes: %d", first, second, cut, code);
        if (code > 0) {
            cr_assert_eq(head.len, len);
            cr_assert_eq(head.size, size);
            cr_assert_eq(head.opcode, first & 0x0f);
            cr_assert_eq(head.fin, first >= 0x80);
            cr_assert_eq(head.compressed, (first & 0x40) != 0);
            cr_assert(masked ? memcmp(&head.mask, mask_bytes_of_tests, 4) == 0 : head.mask == 0);
        }
    }
}

Test(ws_frame, every_head_of_two_bytes_is_judged_as_section_5_2_says_however_much_of_it_is_there)
{
    for (unsigned number = 0; number <= UINT16_MAX; number++) {
        for (unsigned how = 0; how < 4; how++) {
            expect_head((uint8_t)(number >> 8), (uint8_t)number, (how & 1) != 0, (how & 2) != 0);
        }
    }
}

static int read_len(uint8_t first, uint8_t form, uint64_t len, uint64_t *found)
{
    uint8_t bytes[CW_WS_HEAD_MAX] = {first, form};
    size_t more = form == 126 ? 2 : 8;
    struct cw_ws_head head;

    for (size_t i = 0; i < more; i++) {
        bytes[2 + i] = (uint8_t)(len >> 8 * (more - 1 - i));
    }
    int code = read_cut(bytes, 2 + more, false, true, &head);
    *found = code > 0 ? head.len : 0;
    return code;
}

Test(ws_frame, a_length_of_two_bytes_is_126_or_more)
{
    for (uint64_t len = 0; len <= UINT16_MAX; len++) {
        uint64_t found = 0;

        cr_assert_eq(read_len(0x82, 126, len, &found), len < 126 ? CW_EPROTO : 4);
        cr_assert_eq(found, len < 126 ? 0 : len);
        cr_assert_eq(read_len(0xc2, 126, len, &found), len < 126 ? CW_EPROTO : 4);
    }
}

Test(ws_frame, a_length_of_eight_bytes_is_65536_or_more_and_below_2_to_the_63rd)
{
    static const uint64_t wrong[] = {0,          1,          125,        126,
                                     UINT16_MAX, 1ULL << 63, UINT64_MAX, (1ULL << 63) + 70000};
    static const uint64_t right[] = {65536, 65537, UINT32_MAX, 1ULL << 32, 1ULL << 62, INT64_MAX};
    uint64_t found = 0;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        cr_expect_eq(read_len(0x81, 127, wrong[i], &found), CW_EPROTO);
    }
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        cr_expect_eq(read_len(0x81, 127, right[i], &found), 10);
        cr_expect_eq(found, right[i]);
    }
}

static void expect_reason(const char *bytes, size_t len, bool masked, const char *reason)
{
    struct cw_ws_head head;
    const char *why = "nothing";
    bool extended = bytes[0] == 0x40;

    cr_expect_lt(cw_ws_read_head(cw_span_of(bytes, len), masked, extended, &head, &why), 0);
    cr_expect_str_eq(why, reason);
}

Test(ws_frame, what_is_refused_is_refused_with_the_rule_that_it_breaks)
{
    expect_reason("\xa1", 1, true, "reserved bits are set");
    expect_reason("\x91", 1, true, "reserved bits are set");
    expect_reason("\x83", 1, true, "a reserved opcode");
    expect_reason("\x8b", 1, true, "a reserved opcode");
    expect_reason("\xc1", 1, true, "a compressed frame, and no compression was agreed on");
    expect_reason("\x40", 1, true, "a continuation or control frame marked as compressed");
    expect_reason("\x09", 1, true, "a control frame in fragments");
    expect_reason("\x81\x05", 2, true, "a frame of a client without a mask");
    expect_reason("\x81\x85", 2, false, "a masked frame of a server");
    expect_reason("\x89\x7e", 2, false, "a control frame above 125 bytes");
    expect_reason("\x82\x7e\0\x7d", 4, false, "a length in more bytes than it needs");
    expect_reason("\x82\x7f\x80\0\0\0\0\0\0\0", 10, false, "a length above 2^63 - 1");
}

static void expect_written(uint8_t first, uint64_t len, bool masked, size_t size)
{
    uint8_t out[CW_WS_HEAD_MAX + 1];
    struct cw_ws_head head;
    const char *why = NULL;
    uint32_t mask = 0;

    memcpy(&mask, mask_bytes_of_tests, sizeof mask);
    memset(out, 0xee, sizeof out);
    cr_assert_eq(cw_ws_write_head(out, first, len, masked, mask), size);
    cr_assert_eq(out[size], 0xee);
    cr_assert_eq(cw_ws_read_head(cw_span_of(out, size), masked, true, &head, &why), (int)size);
    cr_assert_eq(head.len, len);
    cr_assert_eq(head.mask, masked ? mask : 0);
    cr_assert_eq(head.opcode, first & 0x0f);
    cr_assert_eq(head.fin, (first & CW_WS_FIN) != 0);
    cr_assert_eq(head.compressed, (first & CW_WS_RSV1) != 0);
}

Test(ws_frame, a_head_is_written_in_the_shortest_form_and_reads_as_it_was_meant)
{
    for (size_t masked = 0; masked < 2; masked++) {
        for (uint64_t len = 0; len <= 125; len++) {
            expect_written(0x81, len, masked, 2 + 4 * masked);
        }
        expect_written(0xc2, 126, masked, 4 + 4 * masked);
        expect_written(0x01, 65535, masked, 4 + 4 * masked);
        expect_written(0x80, 65536, masked, 10 + 4 * masked);
        expect_written(0x82, INT64_MAX, masked, 10 + 4 * masked);
        expect_written(0x88, 2, masked, 2 + 4 * masked);
    }
}

static void expect_example(const char *bytes, size_t head_size, uint8_t first, uint64_t len,
                           bool masked)
{
    uint8_t out[CW_WS_HEAD_MAX];
    struct cw_ws_head head;
    const char *why = NULL;

    cr_expect_eq(cw_ws_read_head(cw_span_of(bytes, head_size), masked, false, &head, &why),
                 (int)head_size);
    cr_expect_eq(head.len, len);
    cr_expect_eq(cw_ws_write_head(out, first, len, masked, head.mask), head_size);
    cr_expect_eq(memcmp(out, bytes, head_size), 0);
}

Test(ws_frame, the_examples_of_section_5_7_read_and_write_as_they_stand_there)
{
    uint8_t hello[5 + SLACK] = {0x7f, 0x9f, 0x4d, 0x51, 0x58};
    uint32_t mask = 0;

    expect_example("\x81\x05", 2, 0x81, 5, false);
    expect_example("\x81\x85\x37\xfa\x21\x3d", 6, 0x81, 5, true);
    expect_example("\x01\x03", 2, 0x01, 3, false);
    expect_example("\x80\x02", 2, 0x80, 2, false);
    expect_example("\x89\x05", 2, 0x89, 5, false);
    expect_example("\x8a\x85\x37\xfa\x21\x3d", 6, 0x8a, 5, true);
    expect_example("\x82\x7e\x01\x00", 4, 0x82, 256, false);
    expect_example("\x82\x7f\0\0\0\0\0\1\0\0", 10, 0x82, 65536, false);

    memcpy(&mask, "\x37\xfa\x21\x3d", sizeof mask);
    cr_expect_not(cw_ws_mask(hello, 5, mask, 0));
    cr_expect_eq(memcmp(hello, "Hello", 5), 0);
}

/* ---- masks ---- */

typedef bool mask_in_place(uint8_t *data, size_t len, uint32_t mask, uint64_t at);
typedef bool mask_over(uint8_t *to, const uint8_t *from, size_t len, uint32_t mask, uint64_t at);

static uint8_t byte_of(size_t i)
{
    return (uint8_t)(i * 37 + 11);
}

/* §5.3: byte i of the payload with byte i mod 4 of the mask. */
static uint8_t masked_byte(size_t i, uint64_t at)
{
    return byte_of(i) ^ mask_bytes_of_tests[(at + i) % 4];
}

static bool any_above_127(size_t len, uint64_t at)
{
    bool any = false;

    for (size_t i = 0; i < len; i++) {
        any = any || masked_byte(i, at) > 0x7f;
    }
    return any;
}

static void fill_with_bytes(uint8_t *block, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        block[i] = byte_of(i);
    }
}

static void expect_masked(const uint8_t *bytes, size_t len, uint64_t at)
{
    for (size_t i = 0; i < len; i++) {
        cr_assert_eq(bytes[i], masked_byte(i, at), "byte %zu of %zu", i, len);
    }
}

/* Blocks end with the bytes that may be read, so that the sanitizer sees a step too far. */
static void expect_mask(mask_in_place *in_place, mask_over *over, size_t offset, size_t len,
                        uint64_t at)
{
    uint8_t *block = malloc(offset + len + SLACK);
    uint8_t *other = malloc(offset + len + SLACK);
    uint32_t mask = 0;

    cr_assert(block != NULL);
    cr_assert(other != NULL);
    memcpy(&mask, mask_bytes_of_tests, sizeof mask);
    memset(block, 0xee, offset + len + SLACK);
    memset(other, 0xee, offset + len + SLACK);
    fill_with_bytes(block + offset, len);
    cr_assert_eq(over(other + offset, block + offset, len, mask, at), any_above_127(len, at));
    expect_masked(other + offset, len, at);
    cr_assert_eq(in_place(block + offset, len, mask, at), any_above_127(len, at));
    cr_assert_eq(memcmp(block, other, offset + len + SLACK), 0);
    for (size_t i = 0; i < offset + SLACK; i++) {
        cr_assert_eq(block[i < offset ? i : len + i], 0xee, "written outside of %zu bytes", len);
    }
    free(block);
    free(other);
}

Test(ws_frame, masks_of_every_length_and_place_touch_their_bytes_and_no_other)
{
    for (size_t len = 0; len < 200; len++) {
        for (size_t offset = 0; offset < 16; offset++) {
            for (uint64_t at = 0; at < 4; at++) {
                expect_mask(cw_ws_mask, cw_ws_mask_to, offset, len, at);
                expect_mask(portable_mask, portable_mask_to, offset, len, at);
            }
        }
    }
    for (uint64_t at = 0; at < 4; at++) {
        expect_mask(cw_ws_mask, cw_ws_mask_to, 1, 70001, UINT64_MAX - at);
        expect_mask(portable_mask, portable_mask_to, 1, 70001, UINT64_MAX - at);
    }
}

static void expect_high_byte_seen(mask_in_place *mask, size_t len, size_t high)
{
    uint8_t *block = malloc(len + SLACK);

    cr_assert(block != NULL);
    memset(block, 0xff, len + SLACK);
    memset(block, 0x5a, len);
    cr_assert_not(mask(block, len, 0x25252525, 0), "%zu bytes, and those behind them", len);
    if (high < len) {
        memset(block, 0x5a, len);
        block[high] = 0x80;
        cr_assert(mask(block, len, 0x25252525, 0), "byte %zu of %zu", high, len);
    }
    free(block);
}

Test(ws_frame, one_byte_above_127_is_seen_wherever_it_stands_and_none_behind_the_end)
{
    for (size_t len = 0; len < 150; len++) {
        for (size_t high = 0; high <= len; high++) {
            expect_high_byte_seen(cw_ws_mask, len, high);
            expect_high_byte_seen(portable_mask, len, high);
        }
    }
}

Test(ws_frame, a_payload_unmasked_in_pieces_is_the_same_as_at_once)
{
    enum { WHOLE = 61 };
    uint32_t mask = 0;

    memcpy(&mask, mask_bytes_of_tests, sizeof mask);
    for (size_t first = 0; first <= WHOLE; first++) {
        for (size_t second = 0; second <= WHOLE - first; second++) {
            uint8_t block[WHOLE + SLACK];

            fill_with_bytes(block, WHOLE);
            cw_ws_mask(block, first, mask, 0);
            cw_ws_mask(block + first, second, mask, first);
            cw_ws_mask(block + first + second, WHOLE - first - second, mask, first + second);
            expect_masked(block, WHOLE, 0);
        }
    }
}

/* ---- close codes ---- */

Test(ws_frame, close_codes_are_those_that_may_be_sent)
{
    static const uint32_t sound[] = {1000, 1001, 1002, 1003, 1007, 1008,
                                     1009, 1010, 1011, 1012, 1013, 1014};

    for (uint32_t code = 0; code < 70000; code++) {
        bool wanted = code >= 3000 && code < 5000;

        for (size_t i = 0; i < sizeof sound / sizeof sound[0]; i++) {
            wanted = wanted || code == sound[i];
        }
        cr_assert_eq(cw_ws_close_code_is_sound(code), wanted, "%u", code);
    }
}

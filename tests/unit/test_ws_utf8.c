/* UTF-8 in pieces, against a slow reference: a sequence is right if it is what its code point is written as (RFC 3629 §3). */
#include "support/leak.h"
#include "websocket/ws_utf8.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* The same source once more, as a machine without wide registers would build it. */
#undef __SSE2__
#define cw_ws_utf8_feed portable_utf8_feed
bool portable_utf8_feed(struct cw_ws_utf8 *utf8, const uint8_t *data, size_t len);
#include "websocket/ws_utf8.c"
#undef cw_ws_utf8_feed

TestSuite(ws_utf8, .fini = rig_expect_no_leak, .timeout = 120);

enum {
    SLACK = 16, /* what may be read behind the bytes */
    LONGEST = 4,
    AROUND = 40, /* ASCII before and behind, so that every block is met */
};

/* ---- the reference ---- */

/* The only form of a code point; 0: it has none. */
static size_t encode(uint32_t point, uint8_t out[LONGEST])
{
    if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) {
        return 0;
    }
    if (point < 0x80) {
        out[0] = (uint8_t)point;
        return 1;
    }
    size_t more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;

    for (size_t i = more; i > 0; i--, point >>= 6) {
        out[i] = (uint8_t)(0x80 | (point & 0x3f));
    }
    out[0] = (uint8_t)((0xf00 >> (more + 1) & 0xff) | point);
    return 1 + more;
}

static size_t wanted_len(uint8_t first)
{
    return first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static bool is_character(const uint8_t *bytes, size_t len)
{
    uint32_t point = len == 1 ? bytes[0] : bytes[0] & (0x7fU >> len);
    uint8_t again[LONGEST];

    for (size_t i = 1; i < len; i++) {
        point = point << 6 | (bytes[i] & 0x3f);
    }
    return encode(point, again) == len && memcmp(again, bytes, len) == 0;
}

/* Whether a character can begin so. What is missing stands for a run of code points; one that is half right is right at an end. */
static bool may_begin(const uint8_t *bytes, size_t len)
{
    size_t wanted = wanted_len(bytes[0]);
    uint8_t lowest[LONGEST];
    uint8_t highest[LONGEST];

    if (wanted < len || wanted == 0) {
        return false;
    }
    memset(lowest, 0x80, sizeof lowest);
    memset(highest, 0xbf, sizeof highest);
    memcpy(lowest, bytes, len);
    memcpy(highest, bytes, len);
    return is_character(lowest, wanted) || is_character(highest, wanted);
}

/* ---- one sequence, alone and in the middle of a text ---- */

struct verdict {
    bool sound;
    bool whole;
};

typedef bool feed(struct cw_ws_utf8 *utf8, const uint8_t *data, size_t len);

static void expect_verdict(feed *one_feed, const uint8_t *data, size_t len, struct verdict wanted)
{
    struct cw_ws_utf8 utf8 = {0};
    bool sound = one_feed(&utf8, data, len);

    cr_assert_eq(sound, wanted.sound);
    cr_assert(!sound || cw_ws_utf8_is_whole(&utf8) == wanted.whole);
}

/* In a block that ends with the bytes that may be read, at a place that changes from call to call; behind it what nobody may judge. */
static void expect_judged(const uint8_t *bytes, size_t len, struct verdict wanted)
{
    static uint8_t block[AROUND + LONGEST + SLACK];
    static size_t place;
    uint8_t *data = block + AROUND + LONGEST - len;

    place = (place + 1) % AROUND;
    memset(block, 'a', sizeof block);
    memcpy(data, bytes, len);
    memset(block + AROUND + LONGEST, (int)(place * 7 + 0x80) & 0xff, SLACK);
    expect_verdict(cw_ws_utf8_feed, data - place, len + place, wanted);
    expect_verdict(portable_utf8_feed, data - place, len + place, wanted);
}

/* All sequences that begin with these bytes, up to the first that cannot go on. */
static size_t judge_all(uint8_t bytes[LONGEST], size_t len)
{
    size_t characters = 0;

    for (unsigned byte = 0; byte < 256; byte++) {
        bytes[len] = (uint8_t)byte;
        bool sound = may_begin(bytes, len + 1);
        bool whole = sound && wanted_len(bytes[0]) == len + 1;

        expect_judged(bytes, len + 1, (struct verdict){sound, whole});
        characters += whole;
        if (sound && !whole) {
            characters += judge_all(bytes, len + 1);
        }
    }
    return characters;
}

Test(ws_utf8, every_sequence_of_one_to_four_bytes_is_judged_at_the_first_byte_that_cannot_be)
{
    uint8_t bytes[LONGEST];

    cr_expect_eq(judge_all(bytes, 0), 0x110000 - 0x800);
}

/* ---- pieces ---- */

static void expect_prefixes(feed *one_feed, const char *bytes, size_t good)
{
    size_t len = strlen(bytes);

    for (size_t upto = 0; upto <= len; upto++) {
        struct cw_ws_utf8 utf8 = {0};
        bool sound = true;

        for (size_t at = 0; at < upto && sound; at++) {
            uint8_t block[1 + SLACK] = {(uint8_t)bytes[at]};

            sound = one_feed(&utf8, block, 1);
            cr_assert_eq(sound, at < good, "byte %zu of %zu", at, len);
        }
    }
}

Test(ws_utf8, what_can_never_become_right_is_refused_at_once)
{
    static const struct {
        const char *bytes;
        size_t good;
    } cases[] = {
        {"\xed\xa0\x80", 1},
        {"\xed\x9f\xbf", 3},
        {"\xf4\x90\x80\x80", 1},
        {"\xf4\x8f\xbf\xbf", 4},
        {"\xc0\xaf", 0},
        {"\xc1\xbf", 0},
        {"\xc2\x80", 2},
        {"\xe0\x9f\xbf", 1},
        {"\xe0\xa0\x80", 3},
        {"\xf0\x8f\xbf\xbf", 1},
        {"\xf0\x90\x80\x80", 4},
        {"\xf5\x80\x80\x80", 0},
        {"\xff", 0},
        {"\xfe", 0},
        {"\x80", 0},
        {"\xbf", 0},
        {"\xe2\x82z", 2},
        {"\xe2z", 1},
        {"\xf0\x9f\x98z", 3},
        {"\xc3\xc3", 1},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect_prefixes(cw_ws_utf8_feed, cases[i].bytes, cases[i].good);
        expect_prefixes(portable_utf8_feed, cases[i].bytes, cases[i].good);
    }
}

/* A piece in a block of its own, at whose end the bytes that may be read are wrong ones. */
static bool feed_piece(feed *one_feed, struct cw_ws_utf8 *utf8, const char *data, size_t len)
{
    uint8_t *block = malloc(len + SLACK);

    cr_assert(block != NULL);
    memcpy(block, data, len);
    memset(block + len, 0xff, SLACK);
    bool sound = one_feed(utf8, block, len);
    free(block);
    return sound;
}

static void expect_cuts(feed *one_feed, const char *text, bool wanted)
{
    size_t len = strlen(text);

    for (size_t first = 0; first <= len; first++) {
        for (size_t second = first; second <= len; second++) {
            struct cw_ws_utf8 utf8 = {0};
            bool sound = feed_piece(one_feed, &utf8, text, first) &&
                         feed_piece(one_feed, &utf8, text + first, second - first) &&
                         feed_piece(one_feed, &utf8, text + second, len - second);

            cr_assert_eq(sound, wanted, "%s cut at %zu and %zu", text, first, second);
            cr_assert(!sound || (utf8.left == 0 && utf8.low == 0 && utf8.high == 0));
        }
    }
}

Test(ws_utf8, a_text_cut_anywhere_is_judged_as_the_whole)
{
    static const struct {
        const char *text;
        bool sound;
    } cases[] = {
        {"", true},
        {"plain text, longer than one wide word, and than two of them, too", true},
        {"κόσμε, Füße, żółć, мир, שלום, שלום", true},
        {"日本語のテキスト、漢字とかな。日本語のテキスト、漢字とかな。", true},
        {"\xf0\x9f\x98\x80\xf0\x9f\x98\x81 smile \xf4\x8f\xbf\xbf\xef\xbf\xbf \xee\x80\x80", true},
        {"a text that goes wrong at its end, behind κόσμε \xed\xa0\x80 and goes on", false},
        {"wrong \xf4\x90\x80\x80 in the first word", false},
        {"日本語のテキスト、漢字と\xc0\x80", false},
        {"\xc3 what is not finished is wrong, however plain the text behind it", false},
        {"fifteen letters\xe2 and plain", false},
        {"fourteen bytes\xe2\x82 and plain text", false},
        {"thirteen ones\xf0\x9f\x98 and plain text", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect_cuts(cw_ws_utf8_feed, cases[i].text, cases[i].sound);
        expect_cuts(portable_utf8_feed, cases[i].text, cases[i].sound);
    }
}

Test(ws_utf8, one_wrong_byte_is_seen_at_every_place_of_a_long_text)
{
    static const char text[] =
        "ASCII for a while, then κόσμε, 日本語 and \xf0\x9f\x98\x80; and ASCII again.";
    enum { LEN = sizeof text - 1 };

    for (size_t at = 0; at < LEN; at++) {
        uint8_t bytes[LEN + SLACK] = {0};
        struct cw_ws_utf8 utf8 = {0};
        struct cw_ws_utf8 portable = {0};

        memcpy(bytes, text, LEN);
        bytes[at] = 0xff;
        cr_assert_not(cw_ws_utf8_feed(&utf8, bytes, LEN), "byte %zu", at);
        cr_assert_not(portable_utf8_feed(&portable, bytes, LEN), "byte %zu", at);
    }
}

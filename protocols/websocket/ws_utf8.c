/* UTF-8 in pieces: byte by byte where a character crosses a border, many bytes at a time in between. */
#include "ws_utf8.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* RFC 3629 §4, the rules UTF8-2 to UTF8-4: what may follow a first byte. */
static bool begin(struct cw_ws_utf8 *utf8, uint8_t lead)
{
    if (lead < 0xc2 || lead > 0xf4) {
        return false;
    }
    utf8->left = (uint8_t)(1 + (lead >= 0xe0) + (lead >= 0xf0));
    utf8->low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    utf8->high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    return true;
}

static bool take(struct cw_ws_utf8 *utf8, uint8_t byte)
{
    if (utf8->left == 0) {
        return byte < 0x80 || begin(utf8, byte);
    }
    if (byte < utf8->low || byte > utf8->high) {
        return false;
    }
    utf8->left--;
    utf8->low = utf8->left > 0 ? 0x80 : 0;
    utf8->high = utf8->left > 0 ? 0xbf : 0;
    return true;
}

#ifdef __SSE2__
enum { WIDE = 16 };

static __m128i load(const uint8_t *data)
{
    return _mm_loadu_si128((const __m128i *)(const void *)data);
}

/* The top bit of each byte that is at least `least`, which is 0x80 or more. */
static __m128i at_least(__m128i bytes, unsigned least)
{
    return _mm_subs_epu8(bytes, _mm_set1_epi8((char)(least - 0x80)));
}

static __m128i equal(__m128i bytes, unsigned byte)
{
    return _mm_cmpeq_epi8(bytes, _mm_set1_epi8((char)byte));
}

/* Of bytes from 0x80 on: as signed numbers they are in the same order. */
static __m128i below(__m128i bytes, unsigned limit)
{
    return _mm_cmplt_epi8(bytes, _mm_set1_epi8((char)limit));
}

/* Second bytes of characters that would be too long a form, a surrogate, or above U+10FFFF. */
static __m128i wrong_second(__m128i bytes, __m128i before)
{
    __m128i low = _mm_or_si128(_mm_and_si128(equal(before, 0xe0), below(bytes, 0xa0)),
                               _mm_and_si128(equal(before, 0xf0), below(bytes, 0x90)));
    __m128i high = _mm_or_si128(_mm_andnot_si128(below(bytes, 0xa0), equal(before, 0xed)),
                                _mm_andnot_si128(below(bytes, 0x90), equal(before, 0xf4)));

    return _mm_or_si128(low, high);
}

/* A bit for each byte that cannot stand where it does. The others are those one, two and three places before: a byte has to
 * continue a character exactly where a first byte before it asks for one. */
static unsigned find_wrong(__m128i bytes, __m128i one, __m128i two, __m128i three)
{
    __m128i must_continue =
        _mm_or_si128(_mm_or_si128(at_least(one, 0xc0), at_least(two, 0xe0)), at_least(three, 0xf0));
    __m128i wrong = _mm_xor_si128(must_continue, below(bytes, 0xc0));
    __m128i never = _mm_or_si128(equal(_mm_and_si128(bytes, _mm_set1_epi8((char)0xfe)), 0xc0),
                                 at_least(bytes, 0xf5));

    wrong = _mm_or_si128(_mm_or_si128(wrong, never), wrong_second(bytes, one));
    return (unsigned)_mm_movemask_epi8(wrong);
}

static unsigned only_first(unsigned bits, size_t count)
{
    return count < WIDE ? bits & ((1U << count) - 1) : bits;
}

/* Bytes that begin between two characters: which of them belong to none. */
static bool is_sound(const uint8_t *data, size_t len)
{
    __m128i bytes = load(data);
    unsigned wrong = only_first(find_wrong(bytes, _mm_slli_si128(bytes, 1),
                                           _mm_slli_si128(bytes, 2), _mm_slli_si128(bytes, 3)),
                                len);

    for (size_t at = WIDE; at < len && wrong == 0; at += WIDE) {
        bytes = load(data + at);
        __m128i one = load(data + at - 1);

        /* ASCII, and behind ASCII: no character is under way. */
        if (_mm_movemask_epi8(_mm_or_si128(bytes, one)) != 0) {
            wrong = find_wrong(bytes, one, load(data + at - 2), load(data + at - 3));
            wrong = only_first(wrong, len - at);
        }
    }
    return wrong == 0;
}

/* Its last character says how the text goes on. */
static bool take_whole(struct cw_ws_utf8 *utf8, const uint8_t *data, size_t len)
{
    size_t last = len;

    if (len == 0 || !is_sound(data, len)) {
        return len == 0;
    }
    do {
        last--;
    } while ((data[last] & 0xc0) == 0x80);
    for (; last < len; last++) {
        (void)take(utf8, data[last]); /* sound, as has been seen */
    }
    return true;
}
#else
static bool take_whole(struct cw_ws_utf8 *utf8, const uint8_t *data, size_t len)
{
    const uint64_t high_bits = UINT64_MAX / 255 * 0x80;
    bool sound = true;

    for (size_t at = 0; at < len && sound;) {
        uint64_t word;

        memcpy(&word, data + at, sizeof word);
        if (utf8->left == 0 && len - at >= sizeof word && (word & high_bits) == 0) {
            at += sizeof word;
        } else {
            sound = take(utf8, data[at++]);
        }
    }
    return sound;
}
#endif

bool cw_ws_utf8_feed(struct cw_ws_utf8 *utf8, const uint8_t *data, size_t len)
{
    size_t at = 0;

    for (; at < len && utf8->left > 0; at++) {
        if (!take(utf8, data[at])) {
            return false;
        }
    }
    return take_whole(utf8, data + at, len - at);
}

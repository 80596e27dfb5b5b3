/* Text in uneven pieces, against a reader that counts code points: whatever has another form, or none, is wrong, and wrong as soon as
 * no byte can mend it. */
#include "websocket/ws_utf8.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SLACK = 16 }; /* what may be read behind a piece */

static void expect(bool right)
{
    if (!right) {
        abort();
    }
}

/* ---- the reference ---- */

struct reader {
    uint32_t point; /* what is known of it */
    unsigned left;  /* bytes of six bits that are missing */
    uint32_t least; /* of a form as long as this */
};

/* Whether a code point may come out of what is known, however it goes on. */
static bool has_hope(const struct reader *reader)
{
    uint32_t lowest = reader->point << 6 * reader->left;
    uint32_t highest = lowest | ((1U << 6 * reader->left) - 1);
    bool surrogates_only = lowest >= 0xd800 && highest <= 0xdfff;

    return highest >= reader->least && lowest <= 0x10ffff && !surrogates_only;
}

static bool read_first(struct reader *reader, uint8_t byte)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    unsigned ones = 0;

    while (ones < 8 && (byte & (0x80 >> ones)) != 0) {
        ones++;
    }
    if (ones == 1 || ones > 4) {
        return false;
    }
    reader->left = ones > 0 ? ones - 1 : 0;
    reader->point = byte & (0x7fU >> ones);
    reader->least = least[reader->left];
    return has_hope(reader);
}

static bool read_byte(struct reader *reader, uint8_t byte)
{
    if (reader->left == 0) {
        return read_first(reader, byte);
    }
    reader->left--;
    reader->point = reader->point << 6 | (byte & 0x3f);
    return (byte & 0xc0) == 0x80 && has_hope(reader);
}

/* ---- the two beside each other ---- */

static bool refer(struct reader *reader, struct cw_span piece)
{
    for (size_t i = 0; i < piece.len; i++) {
        if (!read_byte(reader, piece.data[i])) {
            return false;
        }
    }
    return true;
}

/* In a block of its own, with bytes behind it that must not count. */
static bool feed(struct cw_ws_utf8 *utf8, struct cw_span piece, uint8_t behind)
{
    uint8_t *block = malloc(piece.len + SLACK);

    expect(block != NULL);
    memcpy(block, piece.data, piece.len);
    memset(block + piece.len, behind, SLACK);
    bool sound = cw_ws_utf8_feed(utf8, block, piece.len);
    free(block);
    return sound;
}

static void compare(struct cw_span text, uint32_t seed, size_t longest)
{
    struct cw_ws_utf8 utf8 = {0};
    struct reader reader = {0};
    bool sound = true;

    for (size_t at = 0; at < text.len && sound;) {
        seed = seed * 1103515245 + 12345;
        size_t len = (seed >> 16) % (longest + 1);
        len = len < text.len - at ? len : text.len - at;
        struct cw_span piece = cw_span_of(text.data + at, len);

        sound = refer(&reader, piece);
        expect(feed(&utf8, piece, (uint8_t)(seed >> 8)) == sound);
        expect(!sound || cw_ws_utf8_is_whole(&utf8) == (reader.left == 0));
        expect(!sound || utf8.left == reader.left);
        at += len;
    }
}

/* Where pieces end; then the text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }

    struct cw_span text = cw_span_of(data + 1, size - 1);

    compare(text, data[0], text.len);
    compare(text, data[0], 40);
    compare(text, data[0], 3);
    return 0;
}

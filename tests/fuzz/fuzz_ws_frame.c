/* Frames in a row, read and unmasked in uneven pieces, against a reader that takes one byte after the other as RFC 6455 §5.2 says. */
#include "websocket/ws_frame.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    CHOICES = 2,
    SLACK = 16, /* what may be read behind a payload */
};

static void expect(bool right)
{
    if (!right) {
        abort();
    }
}

/* ---- the reference ---- */

enum verdict {
    MORE,
    REFUSED,
    FRAME,
};

struct frame {
    uint64_t len;
    size_t head;
    uint8_t first;
    uint8_t mask[4];
};

static bool is_control(uint8_t first)
{
    return (first & 0x0f) >= 8;
}

static bool first_is_sound(uint8_t first, bool extended)
{
    uint8_t opcode = first & 0x0f;
    bool known = opcode <= 2 || (opcode >= 8 && opcode <= 10);
    bool compressed = (first & 0x40) != 0;

    return known && (first & 0x30) == 0 && !(compressed && (!extended || opcode == 0)) &&
           !(is_control(first) && (compressed || first < 0x80));
}

static enum verdict refer(struct cw_span in, bool masked, bool extended, struct frame *frame)
{
    size_t at = 2;

    if (in.len < 1) {
        return MORE;
    }
    if (!first_is_sound(in.data[0], extended)) {
        return REFUSED;
    }
    if (in.len < 2) {
        return MORE;
    }
    frame->first = in.data[0];
    frame->len = in.data[1] % 128;
    if (in.data[1] / 128 != masked || (is_control(in.data[0]) && frame->len > 125)) {
        return REFUSED;
    }
    if (frame->len > 125) {
        size_t bytes = frame->len == 126 ? 2 : 8;
        uint64_t least = bytes == 2 ? 126 : 65536;

        if (in.len < at + bytes) {
            return MORE;
        }
        for (frame->len = 0; bytes > 0; bytes--) {
            frame->len = frame->len * 256 + in.data[at++];
        }
        if (frame->len < least || frame->len > INT64_MAX) {
            return REFUSED;
        }
    }
    memset(frame->mask, 0, sizeof frame->mask);
    for (size_t i = 0; i < 4 && masked; i++, at++) {
        if (at >= in.len) {
            return MORE;
        }
        frame->mask[i] = in.data[at];
    }
    frame->head = at;
    return FRAME;
}

/* ---- the two beside each other ---- */

static size_t next_cut(uint32_t *seed)
{
    *seed = *seed * 1103515245 + 12345;
    size_t longest = (*seed >> 28) < 12 ? 40 : 400;
    return (*seed >> 16) % longest;
}

/* The bytes that are there in a block of their own size. */
static int read_head(struct cw_span in, bool masked, bool extended, struct cw_ws_head *head)
{
    uint8_t *block = malloc(in.len > 0 ? in.len : 1);
    const char *why = NULL;

    expect(block != NULL);
    if (in.len > 0) {
        memcpy(block, in.data, in.len);
    }
    int code = cw_ws_read_head(cw_span_of(block, in.len), masked, extended, head, &why);
    expect((code < 0) == (why != NULL));
    free(block);
    return code;
}

static void compare_heads(const struct cw_ws_head *head, const struct frame *frame,
                          const uint8_t *bytes, bool masked)
{
    uint8_t again[CW_WS_HEAD_MAX];

    expect(head->len == frame->len);
    expect(head->size == frame->head);
    expect(head->opcode == (frame->first & 0x0f));
    expect(head->fin == (frame->first >= 0x80));
    expect(head->compressed == ((frame->first & 0x40) != 0));
    expect(memcmp(&head->mask, frame->mask, sizeof frame->mask) == 0);
    expect(cw_ws_write_head(again, frame->first, head->len, masked, head->mask) == frame->head);
    expect(memcmp(again, bytes, frame->head) == 0);
}

static void unmask_piece(struct cw_span in, const struct cw_ws_head *head,
                         const struct frame *frame, uint64_t at)
{
    uint8_t *block = malloc(in.len + SLACK);
    uint8_t *copy = malloc(in.len + SLACK);
    uint8_t all = 0;

    expect(block != NULL);
    expect(copy != NULL);
    memset(block, 0xff, in.len + SLACK);
    memset(copy, 0xff, in.len + SLACK);
    memcpy(block, in.data, in.len);
    bool high = cw_ws_mask_to(copy, block, in.len, head->mask, at);
    expect(cw_ws_mask(block, in.len, head->mask, at) == high);
    expect(memcmp(block, copy, in.len + SLACK) == 0);
    for (size_t i = 0; i < in.len; i++) {
        expect(block[i] == (in.data[i] ^ frame->mask[(at + i) % 4]));
        all |= block[i];
    }
    for (size_t i = 0; i < SLACK; i++) {
        expect(block[in.len + i] == 0xff);
    }
    expect(high == (all > 0x7f));
    free(block);
    free(copy);
}

static void unmask(struct cw_span payload, const struct cw_ws_head *head, const struct frame *frame,
                   uint32_t *seed)
{
    /* As of a long frame of which much has gone by: its length is not looked at. */
    const uint64_t before = (*seed & 8) != 0 ? UINT32_MAX - 1ULL : 0;

    for (size_t at = 0; at < payload.len;) {
        size_t piece = next_cut(seed) + 1;

        piece = piece < payload.len - at ? piece : payload.len - at;
        unmask_piece(cw_span_of(payload.data + at, piece), head, frame, before + at);
        at += piece;
    }
}

/* Heads come byte by byte first: nothing may be known too late, and nothing be taken back. */
static enum verdict one_frame(struct cw_span in, bool masked, bool extended, struct frame *frame,
                              struct cw_ws_head *head)
{
    enum verdict verdict = MORE;

    for (size_t len = 0; len <= in.len && len <= CW_WS_HEAD_MAX && verdict == MORE; len++) {
        verdict = refer(cw_span_of(in.data, len), masked, extended, frame);
        int code = read_head(cw_span_of(in.data, len), masked, extended, head);

        expect((verdict == MORE) == (code == 0));
        expect((verdict == REFUSED) == (code < 0));
    }
    int code = read_head(in, masked, extended, head);
    expect(verdict == FRAME ? code == (int)frame->head : verdict == REFUSED ? code < 0 : code == 0);
    return verdict;
}

/* Whose frames, and with the extension or not; where pieces end; then the frames. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < CHOICES) {
        return 0;
    }

    bool masked = (data[0] & 1) != 0;
    bool extended = (data[0] & 2) != 0;
    uint32_t seed = data[1] * 2654435761U;
    struct cw_span in = cw_span_of(data + CHOICES, size - CHOICES);
    struct cw_ws_head head;
    struct frame frame;

    while (one_frame(in, masked, extended, &frame, &head) == FRAME) {
        compare_heads(&head, &frame, in.data, masked);
        in = cw_span_of(in.data + frame.head, in.len - frame.head);
        size_t here = frame.len < in.len ? (size_t)frame.len : in.len;

        unmask(cw_span_of(in.data, here), &head, &frame, &seed);
        in = cw_span_of(in.data + here, in.len - here);
    }
    return 0;
}

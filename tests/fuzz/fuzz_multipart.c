/* Bodies in parts: the same story however they are cut, and names that are harmless. The first byte chooses the boundary, the
 * second the cuts, the third the room for a head; the rest is the body. */
#include "multipart_parser.h"
#include "support/parts_story.h"

#include <causeway/error.h>
#include <causeway/span.h>
#include <stdlib.h>

enum { CHOICES = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool right)
{
    if (!right) {
        abort();
    }
}

static size_t one_byte(size_t left, void *arg)
{
    return 1;
}

static size_t uneven(size_t left, void *arg)
{
    uint32_t *seed = arg;

    *seed = *seed * 1664525 + 1013904223;
    size_t len = 1 + (*seed >> 16) % 37;
    return len < left ? len : left;
}

static void try_head(struct cw_span text)
{
    struct cw_multipart_head fields;
    const char *why = NULL;
    char *head = malloc(text.len + 2);

    expect(head != NULL);
    for (size_t i = 0; i < text.len;
         i++) { /* as the parser lets them pass: no control characters but line ends */
        uint8_t byte = text.data[i];
        head[i] = (char)(byte < 0x20 || byte == 0x7f ? ' ' : byte);
    }
    memcpy(head + text.len, "\r\n", 2);
    if (cw_multipart_read_head(head, text.len + 2, &fields, &why) < 0) {
        expect(why != NULL);
    } else if (fields.filename != NULL) {
        expect(strpbrk(fields.filename, "/\\\r\n") == NULL);
        expect(strcmp(fields.filename, "..") != 0 && strcmp(fields.filename, ".") != 0);
        expect(cw_span_is_utf8(cw_span_text(fields.filename)));
    }
    free(head);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const boundaries[] = {"b", "--", "a-b", "b b"};

    if (size < CHOICES) {
        return 0;
    }

    const char *boundary = boundaries[data[0] % 4];
    uint32_t seed = data[1];
    struct cw_span body = cw_span_of(data + CHOICES, size - CHOICES);
    size_t head_cap = data[2] < 64 ? data[2] : 4096;
    size_t len[3];
    char *whole = parts_story(boundary, body, head_cap, NULL, NULL, &len[0]);
    char *bytes = parts_story(boundary, body, head_cap, one_byte, NULL, &len[1]);
    char *cut = parts_story(boundary, body, head_cap, uneven, &seed, &len[2]);

    expect(len[0] == len[1] && memcmp(whole, bytes, len[0]) == 0);
    expect(len[0] == len[2] && memcmp(whole, cut, len[0]) == 0);
    free(whole);
    free(bytes);
    free(cut);
    try_head(body);
    return 0;
}

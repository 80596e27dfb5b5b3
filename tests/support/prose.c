#include "support/prose.h"

#include "support/wait.h"

#include <stdlib.h>
#include <string.h>

uint32_t prose_roll(void)
{
    static uint32_t dice = 1;

    dice = dice * 1664525 + 1013904223;
    return dice >> 8;
}

uint8_t *prose_new(size_t len)
{
    static const char *const words[] = {"{\"id\":", "\"user\"", ",",   "anna",
                                        "lobby",    "7340",     "the "};
    uint8_t *text = malloc(len + 16);

    rig_check(text);
    for (size_t at = 0; at < len;) {
        const char *word = words[prose_roll() % 7];
        size_t size = strlen(word) < len - at ? strlen(word) : len - at;

        memcpy(text + at, word, size);
        at += size;
        if (at < len && prose_roll() % 3 == 0) {
            text[at++] = (uint8_t)('a' + prose_roll() % 26);
        }
    }
    return text;
}

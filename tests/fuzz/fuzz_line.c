/* line with delimiters of its own. The first 3 bytes choose the options, the rest is the peer's. */
#include "support/fuzz_echo.h"

#include <causeway/line.h>

enum {
    CHOICES = 3,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const delimiters[] = {NULL, "\n",  "\r\n", ";",
                                             "aa", "aab", "abab", "\r\n.\r\n"};
    static const uint64_t limits[] = {0, 1, 2, 5, 16, 100, 8192, CW_NO_LIMIT};

    if (size < CHOICES) {
        return 0;
    }

    struct cw_line_options options = {
        .delimiter = delimiters[data[0] % 8],
        .line_max_bytes = limits[data[1] % 8],
        .last_line_open = (data[1] & 0x40) != 0,
        .binary = (data[1] & 0x80) != 0,
    };

    (void)fuzz_echo(&(struct rig_setup){.protocol = &cw_line, .options = &options},
                    cw_span_of(data + CHOICES, size - CHOICES), data[2]);
    return 0;
}

/* framed in all its shapes. The first 6 bytes choose the options, the rest is the peer's. */
#include "support/fuzz_echo.h"

#include <causeway/framed.h>

enum {
    CHOICES = 6,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct cw_framed_options options_of(const uint8_t *choice)
{
    static const uint64_t limits[] = {0, 1, 5, 127, 128, 300, 65536, CW_NO_LIMIT};
    struct cw_framed_options options = {
        .framing = (enum cw_framing)(choice[0] % 3),
        .refuse_empty = (choice[0] & 0x40) != 0,
        .kind = (choice[0] & 0x80) != 0 ? CW_TEXT : CW_BINARY,
        .frame_max_bytes = limits[choice[1] % 8],
        .stream_above_bytes = choice[2] % 16,
    };

    if (options.framing == CW_FRAMING_FIXED) {
        options.length_bytes = choice[3] % 9;
        options.little_endian = (choice[3] & 0x10) != 0;
        options.length_with_header = (choice[3] & 0x20) != 0;
        options.keep_header = (choice[3] & 0x40) != 0;
        options.length_offset = choice[4] % 8;
        options.adjustment = choice[4] / 8 - 16;
    }
    return options;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < CHOICES) {
        return 0;
    }

    struct cw_framed_options options = options_of(data);

    (void)fuzz_echo(
        &(struct rig_setup){.protocol = &cw_framed, .options = &options, .merge = RIG_CHUNKS},
        cw_span_of(data + CHOICES, size - CHOICES), data[5]);
    return 0;
}

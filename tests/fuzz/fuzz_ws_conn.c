/* A WebSocket connection behind its handshake, echoing. The first 4 bytes choose options and cuts, the rest is the client's. */
#include "support/fuzz_echo.h"
#include "support/ws_bare.h"

enum {
    CHOICES = 4,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t limits[] = {0, 5, 125, 126, 300, 65536, 100000, CW_NO_LIMIT};
    static const struct cw_protocol *const protocols[] = {&ws_bare, &ws_bare_deflate, &ws_bare_kept};

    if (size < CHOICES) {
        return 0;
    }

    const struct cw_websocket_options options = {
        .message_max_bytes = limits[data[0] % 8],
        .pings_per_second_max = data[0] & 0x80 ? 3 : 0,
        .deflate = {.above_bytes = 1 + data[1] / 3},
    };
    const struct rig_setup setup = {
        .protocol = protocols[data[1] % 3], .options = &options, .merge = RIG_CHUNKS};

    (void)fuzz_cuts(&setup, cw_span_of(data + CHOICES, size - CHOICES), data[2]);
    return 0;
}

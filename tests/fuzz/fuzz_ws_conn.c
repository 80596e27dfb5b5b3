/* A WebSocket connection behind its handshake, echoing; then once more with messages in pieces and a hook that does something. The
 * first 4 bytes choose options, cuts and deeds, the rest is the client's. */
#include "support/fuzz_echo.h"
#include "support/ws_bare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHOICES = 4,
};

/* What is told may differ with the cuts where a piece breaks a rule. Nothing is told to who has paused, and it ends once. */
static void feed_in_pieces(const struct rig_setup *setup, struct cw_span input, size_t step)
{
    struct rig *rig = rig_new(setup);

    if (!rig) {
        return;
    }
    for (size_t at = 0; at < input.len && rig->conn; at += step) {
        rig_feed(rig, input.data + at, step < input.len - at ? step : input.len - at);
        if (at % 3 == 0 && rig->conn) {
            rig_resume(rig);
            rig_run(rig);
        }
    }
    if (strstr(rig_told(rig), "\nwhile paused: ")) {
        fprintf(stderr, "fuzz_ws_conn: %s\n", rig_told(rig));
        abort();
    }
    rig_free(rig);
}

static void do_deeds(struct rig_setup setup, struct cw_span input, const uint8_t *choices)
{
    struct cw_websocket_options options = *(const struct cw_websocket_options *)setup.options;

    options.stream_above_bytes = 1 + choices[3] % 64;
    setup.options = &options;
    setup.deed = (enum rig_deed)(choices[3] / 64);
    setup.deed_at = 1 + choices[2] % 8;
    setup.deed_repeats = setup.deed == RIG_PAUSE;
    feed_in_pieces(&setup, input, 1 + choices[2]);
}

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
    do_deeds(setup, cw_span_of(data + CHOICES, size - CHOICES), data);
    return 0;
}

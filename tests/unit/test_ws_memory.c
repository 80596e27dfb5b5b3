/* All that a peer can have under way at once, over memory: every allocation made to fail in turn, and hooks that pause, close or abort
 * at each of their calls. */
#include "support/fault.h"
#include "support/leak.h"
#include "support/ws_bare.h"

#include "websocket/ws_frame.h"

#include <causeway/log.h>

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static struct rig_bytes input;

static void be_quiet(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(ws_memory, .init = be_quiet, .fini = rig_expect_no_leak, .timeout = 100);

enum { LONG = 2600, ALLOCATIONS_MAX = 400, HOOKS_MAX = 60 };

/* ---- what the peer sends ---- */

static void put(uint8_t opcode, const void *payload, size_t len, bool more)
{
    ws_bare_put(&input, &(struct ws_bare_frame){
                            .opcode = opcode, .payload = payload, .len = len, .more = more});
}

/* A text message, compressed, in three fragments with a ping between them. */
static void put_deflated(const uint8_t *text, size_t len)
{
    uint8_t out[LONG];
    z_stream z = {.next_in = (z_const Bytef *)(uintptr_t)text,
                  .avail_in = (unsigned)len,
                  .next_out = out,
                  .avail_out = sizeof out};

    cr_assert_eq(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    cr_assert_eq(deflate(&z, Z_SYNC_FLUSH), Z_OK);

    size_t third = (z.total_out - 4) / 3;

    ws_bare_put(
        &input,
        &(struct ws_bare_frame){
            .opcode = CW_WS_TEXT, .payload = out, .len = third, .more = true, .rsv = CW_WS_RSV1});
    put(CW_WS_PING, "p", 1, false);
    put(CW_WS_CONTINUATION, out + third, third, true);
    put(CW_WS_CONTINUATION, out + 2 * third, z.total_out - 4 - 2 * third, false);
    deflateEnd(&z);
}

/* Short, long, empty, in pieces, compressed; then the goodbye. */
static void put_all(bool deflates)
{
    static const char goodbye[] = {0x03, (char)0xe8};
    uint8_t text[LONG];

    for (size_t i = 0; i < LONG; i++) {
        text[i] = (uint8_t)('a' + i * i / 7 % 26);
    }
    put(CW_WS_TEXT, "short", 5, false);
    put(CW_WS_BINARY, text, LONG, false);
    put(CW_WS_TEXT, "one", 3, true);
    put(CW_WS_PING, text, CW_WS_CONTROL_MAX, false);
    put(CW_WS_CONTINUATION, text, 300, true);
    put(CW_WS_CONTINUATION, "", 0, false);
    if (deflates) {
        put_deflated(text, LONG / 2);
        memset(text, '0', LONG);
        put_deflated(text, LONG);
    }
    put(CW_WS_TEXT, "", 0, false);
    put(CW_WS_CLOSE, goodbye, sizeof goodbye, false);
}

/* ---- how it is taken ---- */

struct manner {
    const struct cw_protocol *protocol;
    bool deflates;
    struct cw_websocket_options options;
    size_t take; /* by the peer in one go; 0: all there is */
};

static const struct manner manners[] = {
    {&ws_bare, false, {0}, 0},
    {&ws_bare, false, {0}, 90},
    {&ws_bare, false, {.stream_above_bytes = 100}, 0},
    {&ws_bare_deflate, true, {.deflate.above_bytes = 50}, 0},
    {&ws_bare_deflate, true, {.stream_above_bytes = 100, .deflate.above_bytes = 50}, 0},
    {&ws_bare_kept, true, {.deflate.above_bytes = 50}, 0},
    {&ws_bare_kept, true, {.stream_above_bytes = 100}, 0},
    {&ws_bare_deflate, true, {.deflate.above_bytes = 50}, 90},
    {&ws_bare_kept, true, {.deflate.above_bytes = 50}, 90},
};

enum { MANNERS = sizeof manners / sizeof *manners };

static struct rig_setup setup_of(const struct manner *manner)
{
    return (struct rig_setup){.protocol = manner->protocol,
                              .options = &manner->options,
                              .merge = RIG_CHUNKS,
                              .take = manner->take,
                              .out_high = manner->take != 0 ? 200 : 0,
                              .echo = manner->options.stream_above_bytes == 0};
}

/* Feeds all of it, `step` bytes at a time; who has paused is resumed. */
static void feed_all(struct rig *rig, size_t step)
{
    for (size_t at = 0; at < input.len && rig->conn; at += step) {
        size_t hooks;

        rig_feed(rig, input.data + at, step < input.len - at ? step : input.len - at);
        do {
            hooks = rig->hooks;
            if (rig->conn) {
                rig_resume(rig);
                rig_run(rig);
            }
        } while (rig->hooks != hooks);
    }
}

/* ---- memory that runs out ---- */

/* Returns whether there was an n-th allocation. */
static bool fail_at(const struct manner *manner, size_t nth, size_t step)
{
    struct rig_setup setup = setup_of(manner);
    struct rig *rig;
    bool failed;

    setup.fail_at = nth;
    rig = rig_new(&setup);
    if (rig) {
        feed_all(rig, step);
    }
    failed = fault_disarm();
    if (!failed) {
        cr_expect_not_null(strstr(rig_told(rig), "close CW_BY_PEER"), "%s", rig_told(rig));
    }
    if (rig && rig->conn) {
        rig_advance(rig, 20000);
        cr_expect_null(rig->conn, "without allocation %zu it does not end", nth);
    }
    rig_free(rig);
    return failed;
}

Test(ws_memory, without_memory_a_connection_ends_and_nothing_is_lost)
{
    static const size_t steps[] = {SIZE_MAX / 2, 113};

    fault_install();
    for (size_t i = 0; i < MANNERS; i++) {
        put_all(manners[i].deflates);
        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
            size_t nth = 1;

            while (nth < ALLOCATIONS_MAX && fail_at(&manners[i], nth, steps[s])) {
                nth++;
            }
            cr_expect_gt(nth, 5);
            cr_expect_lt(nth, ALLOCATIONS_MAX);
        }
        rig_release(&input);
    }
    fault_remove();
}

/* ---- hooks that do something ---- */

static struct rig *take_all(const struct manner *manner, enum rig_deed deed, size_t deed_at,
                            size_t step)
{
    struct rig_setup setup = setup_of(manner);
    struct rig *rig;

    setup.deed = deed;
    setup.deed_at = deed_at;
    rig = rig_new(&setup);
    cr_assert_not_null(rig);
    feed_all(rig, step);
    return rig;
}

/* What was told up to the deed is what is told without one, and the end is that of the deed. */
static void judge(const struct rig *rig, const char *plain, enum rig_deed deed, size_t deed_at)
{
    const char *told = rig_told(rig);
    const char *end = strstr(told, "\nclose ");

    cr_assert_not_null(end, "call %zu: it has not ended\n%s", deed_at, told);
    if (deed == RIG_PAUSE || rig->hooks < deed_at) {
        cr_expect_str_eq(told, plain, "call %zu", deed_at);
        return;
    }
    cr_expect_eq(rig->hooks, deed_at, "call %zu: a hook was called behind it", deed_at);
    cr_expect_eq(rig->code, deed == RIG_CLOSE ? CW_BY_APP : CW_BY_ABORT, "call %zu: %s", deed_at,
                 told);
    cr_expect(strncmp(told, plain, (size_t)(end - told) - 1) == 0, "call %zu:\n%s", deed_at, told);
}

static void do_deeds(const struct manner *manner, size_t step)
{
    struct rig *plain = take_all(manner, RIG_NOTHING, 0, step);

    cr_expect_eq(plain->code, CW_BY_PEER, "%s", rig_told(plain));
    for (enum rig_deed deed = RIG_PAUSE; deed <= RIG_ABORT; deed++) {
        for (size_t at = 1; at <= plain->hooks; at += 1 + plain->hooks / HOOKS_MAX) {
            struct rig *rig = take_all(manner, deed, at, step);

            judge(rig, rig_told(plain), deed, at);
            rig_free(rig);
        }
    }
    rig_free(plain);
}

Test(ws_memory, whatever_a_hook_does_at_whichever_call_the_end_is_that_of_it)
{
    static const size_t steps[] = {SIZE_MAX / 2, 1, 7, 100, 1021};

    for (size_t i = 0; i < MANNERS; i++) {
        put_all(manners[i].deflates);
        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
            do_deeds(&manners[i], steps[s]);
        }
        rig_release(&input);
    }
}

/* WebSocket connections over memory where two things meet: our goodbye and what the peer still sends. */
#include "support/leak.h"
#include "support/memory.h"
#include "support/ws_bare.h"

#include "websocket/ws_frame.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <criterion/criterion.h>
#include <string.h>

static void be_quiet(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(ws_corners, .init = be_quiet, .fini = rig_expect_no_leak, .timeout = 60);

enum { LONG = 3000 };

static const char goodbye[] = {0x03, (char)0xe8, 'b', 'y', 'e'};

static void put(struct rig_bytes *bytes, uint8_t opcode, const void *payload, size_t len)
{
    ws_bare_put(bytes, &(struct ws_bare_frame){.opcode = opcode, .payload = payload, .len = len});
}

/* ---- closing in a hook, while the peer is in the middle of something ---- */

/* "one", whose hook closes; a long message; the peer's answer to our goodbye. */
static struct rig_bytes after_the_close(const struct ws_bare_frame *frame)
{
    struct rig_bytes bytes = {NULL, 0, 0};

    ws_bare_text(&bytes, "one");
    ws_bare_put(&bytes, frame);
    put(&bytes, CW_WS_CLOSE, goodbye, sizeof goodbye);
    return bytes;
}

static void expect_goodbye_heard(const struct rig_setup *setup, const struct rig_bytes *bytes,
                                 size_t cut)
{
    struct rig *rig = rig_new(setup);

    rig_feed(rig, bytes->data, cut);
    rig_feed(rig, bytes->data + cut, bytes->len - cut);
    cr_expect_null(rig->conn, "cut at %zu: the peer's close frame was not heard", cut);
    cr_expect_str_eq(rig_told(rig), "open\ntext \"one\"\nclose CW_BY_APP: bye\n", "cut at %zu", cut);
    rig_free(rig);
}

Test(ws_corners, who_closes_in_the_middle_of_a_frame_hears_the_goodbye_behind_it)
{
    static const char filler[LONG];
    static const uint8_t opcodes[] = {CW_WS_BINARY, CW_WS_PING};

    for (size_t i = 0; i < sizeof opcodes; i++) {
        size_t len = opcodes[i] == CW_WS_PING ? CW_WS_CONTROL_MAX : sizeof filler;
        struct rig_bytes bytes = after_the_close(
            &(struct ws_bare_frame){.opcode = opcodes[i], .payload = filler, .len = len});

        for (size_t cut = 9; cut <= bytes.len; cut += cut < 150 ? 1 : 97) {
            expect_goodbye_heard(
                &(struct rig_setup){.protocol = &ws_bare, .deed = RIG_CLOSE, .deed_at = 2}, &bytes,
                cut);
        }
        rig_release(&bytes);
    }
}

/* ---- a peer that breaks rules while we wait for its goodbye ---- */

Test(ws_corners, a_peer_that_breaks_a_rule_behind_our_goodbye_is_not_waited_for)
{
    static const char wrong[] = "\xa1\x80\0\0\0\0"; /* RSV2 */
    struct rig *rig = rig_new(&(struct rig_setup){.protocol = &ws_bare});

    cw_conn_close_with(rig->conn, 4001, "enough");
    rig_run(rig);
    rig_feed(rig, wrong, sizeof wrong - 1);
    rig_end(rig);
    cr_expect_str_eq(rig_told(rig), "open\nclose CW_BY_APP: enough\n");
    rig_free(rig);
}

Test(ws_corners, what_follows_a_broken_rule_behind_our_goodbye_takes_no_memory)
{
    static const char wrong[] = "\xa1\x80\0\0\0\0";
    static const char flood[65536];
    enum { MIB = 1 << 20 };
    struct rig *rig = rig_new(&(struct rig_setup){.protocol = &ws_bare});
    int64_t before;

    rig_memory_count();
    cw_conn_close_with(rig->conn, 4001, "enough");
    rig_run(rig);
    before = rig_memory_bytes();
    rig_feed(rig, wrong, sizeof wrong - 1);
    for (size_t fed = 0; fed < 16 * MIB && rig->conn; fed += sizeof flood) {
        rig_feed(rig, flood, sizeof flood);
    }
    cr_expect_lt(rig_memory_bytes() - before, MIB);
    rig_free(rig);
}

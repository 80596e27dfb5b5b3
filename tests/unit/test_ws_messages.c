/* Messages out of frames, over memory: whole and in pieces, cut anywhere, with a hook that pauses. */
#include "support/leak.h"
#include "support/ws_bare.h"

#include "websocket/ws_frame.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(ws_messages, .fini = rig_expect_no_leak, .timeout = 60);

static struct rig_bytes input;

static void put(uint8_t opcode, const char *payload, bool more)
{
    ws_bare_put(&input,
                &(struct ws_bare_frame){
                    .opcode = opcode, .payload = payload, .len = strlen(payload), .more = more});
}

/* What is told of the input, fed `step` bytes at a time; a paused rig is resumed behind each. */
static struct rig *told(const struct rig_setup *setup, size_t step)
{
    struct rig *rig = rig_new(setup);

    cr_assert_not_null(rig);
    for (size_t at = 0; at < input.len; at += step) {
        rig_feed(rig, input.data + at, step < input.len - at ? step : input.len - at);
        while (setup->deed == RIG_PAUSE && rig->conn && rig->hooks > 0) {
            size_t before = rig->hooks;

            rig_resume(rig);
            rig_run(rig);
            if (rig->hooks == before) {
                break;
            }
        }
    }
    return rig;
}

static void expect_told(const struct rig_setup *setup, const char *story)
{
    static const size_t steps[] = {SIZE_MAX / 2, 1, 2, 3, 5, 7, 11};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        for (int pauses = 0; pauses < 2; pauses++) {
            struct rig_setup now = *setup;

            now.deed = pauses ? RIG_PAUSE : RIG_NOTHING;
            now.deed_at = 1;
            now.deed_repeats = true;

            struct rig *rig = told(&now, steps[i]);

            cr_expect_str_eq(rig_told(rig), story, "%zu bytes at a time%s", steps[i],
                             pauses ? ", pausing" : "");
            rig_free(rig);
        }
    }
    rig_release(&input);
}

Test(ws_messages, frames_of_any_cut_are_the_same_messages)
{
    ws_bare_text(&input, "hello");
    ws_bare_text(&input, "");
    put(CW_WS_BINARY, "one", true);
    put(CW_WS_PING, "p", false);
    put(CW_WS_CONTINUATION, "", true);
    put(CW_WS_CONTINUATION, " two", false);
    put(CW_WS_TEXT, "gr\xc3", true);
    put(CW_WS_CONTINUATION, "\xbc\xc3\x9f", true);
    put(CW_WS_CONTINUATION, "", false);
    expect_told(&(struct rig_setup){.protocol = &ws_bare}, "open\n"
                                                           "text \"hello\"\n"
                                                           "text \"\"\n"
                                                           "binary \"one two\"\n"
                                                           "text \"gr\\xc3\\xbc\\xc3\\x9f\"\n");
}

Test(ws_messages, long_ones_come_in_pieces_and_short_ones_whole)
{
    const struct cw_websocket_options options = {.stream_above_bytes = 8};

    ws_bare_text(&input, "12345678");
    ws_bare_text(&input, "123456789");
    put(CW_WS_BINARY, "1234", true);
    put(CW_WS_CONTINUATION, "5678", false);
    put(CW_WS_BINARY, "1234", true);
    put(CW_WS_CONTINUATION, "567", true);
    put(CW_WS_PING, "p", false);
    put(CW_WS_CONTINUATION, "890", true);
    put(CW_WS_CONTINUATION, "", false);
    ws_bare_text(&input, "last");
    expect_told(&(struct rig_setup){.protocol = &ws_bare, .options = &options, .merge = RIG_CHUNKS},
                "open\n"
                "text \"12345678\"\n"
                "begin text 9\n"
                "chunk \"123456789\"\n"
                "end\n"
                "binary \"12345678\"\n"
                "begin binary 18446744073709551615\n"
                "chunk \"1234567890\"\n"
                "end\n"
                "text \"last\"\n");
}

Test(ws_messages, compressed_ones_come_in_pieces_too)
{
    /* "Hello" and thirty zeros, by zlib with a sync flush; the last one in two fragments. */
    static const char hello[] = "\xf2\x48\xcd\xc9\xc9\x07\x00";
    const struct cw_websocket_options options = {.stream_above_bytes = 8};
    struct ws_bare_frame frame = {
        .opcode = CW_WS_TEXT, .payload = hello, .len = sizeof hello - 1, .rsv = 0x40};
    static const char zeros[] = "\x32\x30\xc0\x07\x00\x00";

    ws_bare_put(&input, &frame);
    frame.payload = zeros;
    frame.len = sizeof zeros - 1;
    ws_bare_put(&input, &frame);
    frame.len = 2;
    frame.more = true;
    ws_bare_put(&input, &frame);
    ws_bare_put(&input, &(struct ws_bare_frame){.opcode = CW_WS_CONTINUATION,
                                                .payload = zeros + 2,
                                                .len = sizeof zeros - 3,
                                                .more = true});
    put(CW_WS_CONTINUATION, "", false);
    expect_told(
        &(struct rig_setup){.protocol = &ws_bare_deflate, .options = &options, .merge = RIG_CHUNKS},
        "open\n"
        "text \"Hello\"\n"
        "begin text 18446744073709551615\n"
        "chunk \"000000000000000000000000000000\"\n"
        "end\n"
        "begin text 18446744073709551615\n"
        "chunk \"000000000000000000000000000000\"\n"
        "end\n");
}

Test(ws_messages, text_that_cannot_become_utf8_ends_it_at_once)
{
    struct rig *rig = rig_new(&(struct rig_setup){.protocol = &ws_bare});

    put(CW_WS_TEXT, "0123456789\xed\xa0more of it to come", false);
    rig_feed(rig, input.data, 6 + 11);
    cr_expect_not_null(rig->conn);
    rig_feed(rig, input.data + 6 + 11, 1);
    cr_expect_null(rig->conn);
    cr_expect_not_null(strstr(rig_told(rig), "text that is not UTF-8"));
    rig_free(rig);
    rig_release(&input);
}

Test(ws_messages, a_length_above_the_limit_is_refused_with_its_head)
{
    const struct cw_websocket_options options = {.message_max_bytes = 1000};
    static const uint8_t heads[][8] = {{0x82, 0xfe, 0x03, 0xe9, 1, 2, 3, 4},
                                       {0x82, 0xfe, 0x03, 0xe8, 1, 2, 3, 4}};

    for (int i = 0; i < 2; i++) {
        struct rig *rig = rig_new(&(struct rig_setup){.protocol = &ws_bare, .options = &options});

        rig_feed(rig, heads[i], sizeof heads[i]);
        cr_expect_eq(rig->conn != NULL, i == 1);
        rig_free(rig);
    }
}

Test(ws_messages, what_is_sent_in_pieces_is_one_message_of_frames)
{
    struct rig *rig = rig_new(&(struct rig_setup){.protocol = &ws_bare});
    static const uint8_t expected[] = "\x01\x03one\x00\x02 t\x89\x01p\x80\x00";
    struct cw_message msg = {.kind = CW_TEXT, .part = CW_BEGIN, .total = 5};

    cr_expect_eq(cw_conn_send(rig->conn, &msg), 0);
    msg.part = CW_CHUNK;
    msg.body = cw_span_text("one");
    cr_expect_eq(cw_conn_send(rig->conn, &msg), 0);
    cr_expect_eq(cw_conn_send_text(rig->conn, "between"), CW_ESTATE);
    msg.body = cw_span_text(" t");
    cr_expect_eq(cw_conn_send(rig->conn, &msg), 0);
    msg.body = cw_span_text("\xff");
    cr_expect_eq(cw_conn_send(rig->conn, &msg), CW_EKIND);
    put(CW_WS_PING, "p", false);
    input.data[0] = 0x8a; /* a pong is answered with nothing, */
    rig_feed(rig, input.data, input.len);
    input.data[0] = 0x89; /* a ping with a pong, between the pieces */
    rig_feed(rig, input.data, input.len);
    msg.part = CW_END;
    msg.body = cw_span_text("");
    cr_expect_eq(cw_conn_send(rig->conn, &msg), 0);
    cr_expect_eq(cw_conn_send(rig->conn, &msg), CW_ESTATE);
    rig_run(rig);
    cr_expect_eq(rig->output.len, sizeof expected - 1);
    rig->output.data[9] = 0x89;
    cr_expect_arr_eq(rig->output.data, expected, sizeof expected - 1);
    rig_free(rig);
    rig_release(&input);
}

/* Short messages, many in one read: the short way tells the same as the long one. */
#include "support/leak.h"
#include "support/ws_bare.h"

#include "websocket/ws_frame.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(ws_short, .fini = rig_expect_no_leak, .timeout = 60);

static struct rig_bytes input;

static void put(uint8_t opcode, const char *payload, bool more)
{
    ws_bare_put(&input,
                &(struct ws_bare_frame){
                    .opcode = opcode, .payload = payload, .len = strlen(payload), .more = more});
}

/* The input in one read. */
static struct rig *fed(const struct rig_setup *setup)
{
    struct rig *rig = rig_new(setup);

    cr_assert_not_null(rig);
    rig_feed(rig, input.data, input.len);
    rig_release(&input);
    return rig;
}

static void expect_told(const struct rig_setup *setup, const char *story)
{
    struct rig *rig = fed(setup);

    cr_expect_str_eq(rig_told(rig), story);
    rig_free(rig);
}

Test(ws_short, ones_of_all_kinds_come_in_their_order)
{
    put(CW_WS_TEXT, "one", false);
    put(CW_WS_TEXT, "", false);
    put(CW_WS_BINARY, "\xff\xfe", false);
    put(CW_WS_TEXT, "z\xc3\xb6lf", false);
    put(CW_WS_PING, "p", false);
    put(CW_WS_TEXT, "a", true);
    put(CW_WS_CONTINUATION, "b", false);
    put(CW_WS_TEXT, "last", false);
    expect_told(&(struct rig_setup){.protocol = &ws_bare}, "open\n"
                                                           "text \"one\"\n"
                                                           "text \"\"\n"
                                                           "binary \"\\xff\\xfe\"\n"
                                                           "text \"z\\xc3\\xb6lf\"\n"
                                                           "text \"ab\"\n"
                                                           "text \"last\"\n");
}

Test(ws_short, what_is_sent_back_is_the_same_messages)
{
    static const char answer[] = "\x81\x03one\x81\x00\x82\x02\xff\xfe\x81\x05z\xc3\xb6lf";
    struct rig *rig;

    put(CW_WS_TEXT, "one", false);
    put(CW_WS_TEXT, "", false);
    put(CW_WS_BINARY, "\xff\xfe", false);
    put(CW_WS_TEXT, "z\xc3\xb6lf", false);
    rig = fed(&(struct rig_setup){.protocol = &ws_bare, .echo = true});
    cr_expect_eq(rig->output.len, sizeof answer - 1);
    cr_expect_arr_eq(rig->output.data, answer, sizeof answer - 1);
    rig_free(rig);
}

Test(ws_short, lengths_around_the_border_come_back_whole)
{
    static char text[127];

    memset(text, 'x', sizeof text);
    for (size_t len = 124; len <= 127; len++) {
        struct rig *rig;
        size_t head = len < 126 ? 2 : 4;

        for (int i = 0; i < 3; i++) {
            ws_bare_put(&input,
                        &(struct ws_bare_frame){.opcode = CW_WS_TEXT, .payload = text, .len = len});
        }
        rig = fed(&(struct rig_setup){.protocol = &ws_bare, .echo = true});
        cr_expect_eq(rig->messages, 3);
        cr_expect_eq(rig->output.len, 3 * (head + len));
        cr_expect_arr_eq(rig->output.data + 2 * (head + len) + head, text, len);
        rig_free(rig);
    }
}

Test(ws_short, more_than_the_queue_may_hold_comes_back_all_the_same)
{
    struct rig *rig;

    for (int i = 0; i < 100; i++) {
        put(CW_WS_TEXT, "twenty bytes of text", false);
    }
    rig = fed(&(struct rig_setup){
        .protocol = &ws_bare, .echo = true, .out_high = 64, .out_max = 128, .take = 50});
    rig_run(rig);
    cr_expect_eq(rig->send_error, 0);
    cr_expect_eq(rig->messages, 100);
    cr_expect_eq(rig->output.len, 100 * 22);
    rig_free(rig);
}

Test(ws_short, text_that_is_not_utf8_ends_it)
{
    put(CW_WS_TEXT, "fine", false);
    put(CW_WS_TEXT, "\xc3", false);
    put(CW_WS_TEXT, "never", false);
    expect_told(&(struct rig_setup){.protocol = &ws_bare},
                "open\n"
                "text \"fine\"\n"
                "error CW_EPROTO: websocket: text that is not UTF-8\n"
                "close CW_EPROTO: text that is not UTF-8\n");
}

Test(ws_short, one_inside_of_a_message_in_fragments_ends_it)
{
    put(CW_WS_TEXT, "fine", false);
    put(CW_WS_TEXT, "a", true);
    put(CW_WS_TEXT, "never", false);
    expect_told(&(struct rig_setup){.protocol = &ws_bare},
                "open\n"
                "text \"fine\"\n"
                "error CW_EPROTO: websocket: a message inside of a message\n"
                "close CW_EPROTO: a message inside of a message\n");
}

Test(ws_short, a_limit_below_125_bytes_holds)
{
    const struct cw_websocket_options options = {.message_max_bytes = 4};

    put(CW_WS_TEXT, "1234", false);
    put(CW_WS_TEXT, "12345", false);
    expect_told(&(struct rig_setup){.protocol = &ws_bare, .options = &options},
                "open\n"
                "text \"1234\"\n"
                "error CW_ETOOBIG: websocket: a message above message_max_bytes\n"
                "close CW_ETOOBIG: a message above message_max_bytes\n");
}

Test(ws_short, a_hook_that_closes_hears_no_more)
{
    struct rig *rig;

    put(CW_WS_TEXT, "one", false);
    put(CW_WS_TEXT, "two", false);
    put(CW_WS_TEXT, "three", false);
    rig = fed(&(struct rig_setup){.protocol = &ws_bare, .deed = RIG_CLOSE, .deed_at = 3});
    cr_expect_eq(rig->messages, 2);
    rig_free(rig);
}

Test(ws_short, a_turn_has_its_share_of_messages_and_the_rest_follow)
{
    struct rig *rig;

    for (int i = 0; i < 10; i++) {
        put(CW_WS_TEXT, "x", false);
    }
    rig = fed(&(struct rig_setup){.protocol = &ws_bare, .messages_per_turn = 3});
    rig_run(rig);
    cr_expect_eq(rig->messages, 10);
    rig_free(rig);
}

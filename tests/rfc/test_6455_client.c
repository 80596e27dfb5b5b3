/* Frames that come to a client, from a server that does as the cases say: 6455/README.md. */
#include "support/leak.h"
#include "support/ws_trial.h"

#include <causeway/log.h>

#include <criterion/criterion.h>

static void be_quiet(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(rfc_6455_client, .init = be_quiet, .fini = rig_expect_no_leak, .timeout = 120);

static const char *const files[] = {
    "messages", "lengths",   "masks", "reserved-bits", "opcodes",
    "control",  "fragments", "utf-8", "close",         "limits",
};

static void try_all(const struct cw_websocket_options *options, enum ws_trial_way way)
{
    static struct ws_court court;

    ws_court_open(&court, CW_CLIENT, options);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        cr_expect_gt(ws_try_file(&court, files[i], way), 0);
    }
    ws_court_close(&court);
}

static void cut_files(const char *const *some, size_t count)
{
    static struct ws_court court;

    ws_court_open(&court, CW_CLIENT, &(struct cw_websocket_options){0});
    for (size_t i = 0; i < count; i++) {
        cr_expect_gt(ws_try_file(&court, some[i], WS_TRIAL_CUTS), 0);
    }
    ws_court_close(&court);
}

Test(rfc_6455_client, frames_that_come_whole_are_answered_as_they_should_be)
{
    try_all(&(struct cw_websocket_options){0}, WS_TRIAL_WHOLE);
}

Test(rfc_6455_client, frames_that_come_byte_by_byte_have_the_same_answers)
{
    try_all(&(struct cw_websocket_options){0}, WS_TRIAL_STEPS);
}

Test(rfc_6455_client, messages_that_are_handed_on_in_pieces_have_the_same_answers)
{
    const struct cw_websocket_options options = {.stream_above_bytes = 1,
                                                 .message_max_bytes = 1048576};

    try_all(&options, WS_TRIAL_STEPS);
}

Test(rfc_6455_client, heads_cut_at_every_point_have_the_same_answers)
{
    static const char *const some[] = {"lengths", "masks", "reserved-bits", "control"};

    cut_files(some, sizeof some / sizeof some[0]);
}

Test(rfc_6455_client, fragments_and_close_frames_cut_at_every_point_have_the_same_answers)
{
    static const char *const some[] = {"fragments", "close"};

    cut_files(some, sizeof some / sizeof some[0]);
}

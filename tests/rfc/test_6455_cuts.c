/* Frames that come to a server in two pieces, whatever the two: 6455/README.md. */
#include "support/leak.h"
#include "support/ws_trial.h"

#include <causeway/log.h>

#include <criterion/criterion.h>

static void be_quiet(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(rfc_6455_cuts, .init = be_quiet, .fini = rig_expect_no_leak, .timeout = 120);

static void cut_file(const char *file)
{
    static struct ws_court court;

    ws_court_open(&court, CW_SERVER, &(struct cw_websocket_options){0});
    cr_expect_gt(ws_try_file(&court, file, WS_TRIAL_CUTS), 0);
    ws_court_close(&court);
}

Test(rfc_6455_cuts, messages_cut_at_every_point_have_the_same_answers)
{
    cut_file("messages");
}

Test(rfc_6455_cuts, lengths_cut_at_every_point_have_the_same_answers)
{
    cut_file("lengths");
}

Test(rfc_6455_cuts, masks_cut_at_every_point_have_the_same_answers)
{
    cut_file("masks");
}

Test(rfc_6455_cuts, reserved_bits_cut_at_every_point_have_the_same_answers)
{
    cut_file("reserved-bits");
}

Test(rfc_6455_cuts, opcodes_cut_at_every_point_have_the_same_answers)
{
    cut_file("opcodes");
}

Test(rfc_6455_cuts, control_frames_cut_at_every_point_have_the_same_answers)
{
    cut_file("control");
}

Test(rfc_6455_cuts, fragments_cut_at_every_point_have_the_same_answers)
{
    cut_file("fragments");
}

Test(rfc_6455_cuts, close_frames_cut_at_every_point_have_the_same_answers)
{
    cut_file("close");
}

Test(rfc_6455_cuts, texts_cut_at_every_point_have_the_same_answers)
{
    cut_file("utf-8");
}

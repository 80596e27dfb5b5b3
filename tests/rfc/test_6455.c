/* Frames that come to a server: 6455/README.md. */
#include "support/leak.h"
#include "support/ws_trial.h"

#include <causeway/log.h>

#include <criterion/criterion.h>
#include <stdio.h>

static void be_quiet(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(rfc_6455, .init = be_quiet, .fini = rig_expect_no_leak, .timeout = 120);

static const char *const files[] = {
    "messages", "lengths",   "masks", "reserved-bits", "opcodes",
    "control",  "fragments", "utf-8", "close",         "limits",
};

/* ---- the cases themselves ---- */

static struct ws_cases cases_of(const char *file)
{
    char path[160];

    snprintf(path, sizeof path, "rfc/6455/%.100s.txt", file);
    return ws_cases_read(path, CW_SERVER);
}

static bool is_case(const struct ws_cases *cases, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(cases->list[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

Test(rfc_6455, there_are_more_than_600_cases_with_names_of_their_own)
{
    size_t count = 0;

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct ws_cases cases = cases_of(files[i]);

        for (size_t a = 0; a < cases.count; a++) {
            cr_expect_not(is_case(&cases, a, cases.list[a].name), "%s has two of %s", files[i],
                          cases.list[a].name);
        }
        count += cases.count;
        ws_cases_free(&cases);
    }
    cr_expect_gt(count, 600);
}

/* `cases/FILE`, and the `: *name*, *name*` that follow it. Returns how many names. */
static size_t expect_cases(const char *at)
{
    char file[WS_CASE_NAME_MAX];
    char name[WS_CASE_NAME_MAX];
    size_t count = 0;
    int used = 0;

    if (sscanf(at, "cases/%95[a-z0-9-]%n", file, &used) != 1) {
        return 0; /* cases/NAME, which explains the rest */
    }
    struct ws_cases cases = cases_of(file);
    at += used;
    for (used = 0; sscanf(at, "%*[:,] *%95[^*]*%n", name, &used) == 1 && used > 0; used = 0) {
        cr_expect(is_case(&cases, cases.count, name), "cases/%s has no %s", file, name);
        at += used;
        count++;
    }
    ws_cases_free(&cases);
    return count;
}

Test(rfc_6455, every_case_that_the_table_names_is_there)
{
    char line[4096];
    size_t count = 0;

    snprintf(line, sizeof line, "%s/docs/rfc/6455.md", CW_SOURCE_DIR);
    FILE *file = fopen(line, "r");
    cr_assert(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        for (const char *at = line; (at = strstr(at, "cases/")) != NULL; at++) {
            count += expect_cases(at);
        }
    }
    fclose(file);
    cr_expect_gt(count, 30);
}

/* ---- tests ---- */

static void try_all(const struct cw_websocket_options *options, enum ws_trial_way way)
{
    static struct ws_court court;

    ws_court_open(&court, CW_SERVER, options);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        cr_expect_gt(ws_try_file(&court, files[i], way), 0);
    }
    ws_court_close(&court);
}

Test(rfc_6455, frames_that_come_whole_are_answered_as_they_should_be)
{
    try_all(&(struct cw_websocket_options){0}, WS_TRIAL_WHOLE);
}

Test(rfc_6455, frames_that_come_byte_by_byte_have_the_same_answers)
{
    try_all(&(struct cw_websocket_options){0}, WS_TRIAL_STEPS);
}

/* Every message is sent on in fragments, as it comes. */
static const struct cw_websocket_options in_pieces = {.stream_above_bytes = 1,
                                                      .message_max_bytes = 1048576};

Test(rfc_6455, messages_that_are_handed_on_in_pieces_have_the_same_answers)
{
    try_all(&in_pieces, WS_TRIAL_WHOLE);
}

Test(rfc_6455, messages_that_come_and_go_byte_by_byte_have_the_same_answers)
{
    try_all(&in_pieces, WS_TRIAL_STEPS);
}

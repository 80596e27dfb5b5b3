/* Frames that come to a server: 6455/README.md. */
#include "support/leak.h"
#include "support/wait.h"
#include "support/ws_trial.h"

#include <causeway/log.h>
#include <causeway/websocket.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void be_quiet(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(rfc_6455, .init = be_quiet, .fini = rig_expect_no_leak, .timeout = 120);

static const char *const files[] = {
    "messages", "lengths",   "masks", "reserved-bits", "opcodes",
    "control",  "fragments", "utf-8", "close",         "limits",
};

/* ---- the server ---- */

struct house {
    struct ws_court court; /* first: `meet` gets it */
    char folder[64];
    char path[80];
};

static struct house house;

static void echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    rig_check(cw_conn_send(conn, msg) >= 0);
}

static struct rig_peer meet(struct ws_court *court)
{
    struct rig_peer peer = rig_peer_unix(((struct house *)court)->path);

    ws_trial_ask(&peer, WS_TRIAL_REQUEST);
    return peer;
}

static void open_house(const struct cw_websocket_options *options)
{
    struct cw_server *server =
        rig_server(&cw_websocket, &(struct cw_server_options){.conns_max = 4096, .workers = 1});

    snprintf(house.folder, sizeof house.folder, "/tmp/causeway-6455-XXXXXX");
    rig_check(mkdtemp(house.folder) != NULL);
    snprintf(house.path, sizeof house.path, "%s/socket", house.folder);
    cw_server_listen(server, &(struct cw_listen_options){.unix_path = house.path});
    cw_websocket_configure(server, options);
    house.court = (struct ws_court){
        .tested = CW_SERVER,
        .host = rig_host_start(server, &(struct cw_hooks){.on_data = echo}, NULL),
        .meet = meet,
    };
}

static void close_house(void)
{
    rig_host_end(house.court.host);
    rmdir(house.folder);
}

static void try_all(const struct cw_websocket_options *options, enum ws_trial_way way)
{
    open_house(options);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        cr_expect_gt(ws_try_file(&house.court, files[i], way), 0);
    }
    close_house();
}

static void cut_file(const char *file)
{
    open_house(&(struct cw_websocket_options){0});
    cr_expect_gt(ws_try_file(&house.court, file, WS_TRIAL_CUTS), 0);
    close_house();
}

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

Test(rfc_6455, messages_cut_at_every_point_have_the_same_answers)
{
    cut_file("messages");
}

Test(rfc_6455, lengths_cut_at_every_point_have_the_same_answers)
{
    cut_file("lengths");
}

Test(rfc_6455, masks_cut_at_every_point_have_the_same_answers)
{
    cut_file("masks");
}

Test(rfc_6455, reserved_bits_cut_at_every_point_have_the_same_answers)
{
    cut_file("reserved-bits");
}

Test(rfc_6455, opcodes_cut_at_every_point_have_the_same_answers)
{
    cut_file("opcodes");
}

Test(rfc_6455, control_frames_cut_at_every_point_have_the_same_answers)
{
    cut_file("control");
}

Test(rfc_6455, fragments_cut_at_every_point_have_the_same_answers)
{
    cut_file("fragments");
}

Test(rfc_6455, close_frames_cut_at_every_point_have_the_same_answers)
{
    cut_file("close");
}

Test(rfc_6455, texts_cut_at_every_point_have_the_same_answers)
{
    cut_file("utf-8");
}

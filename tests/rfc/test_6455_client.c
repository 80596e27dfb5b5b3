/* Frames that come to a client, from a server that does as the cases say: 6455/README.md. */
#include "support/leak.h"
#include "support/silent.h"
#include "support/wait.h"
#include "support/ws_trial.h"

#include <causeway/log.h>
#include <causeway/tcp.h>
#include <causeway/websocket.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void be_quiet(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(rfc_6455_client, .init = be_quiet, .fini = rig_expect_no_leak, .timeout = 120);

static const char *const files[] = {
    "messages", "lengths",   "masks", "reserved-bits", "opcodes",
    "control",  "fragments", "utf-8", "close",         "limits",
};

/* ---- the clients, in the loop of a server that nobody visits ---- */

struct house {
    struct ws_court court; /* first: `meet` gets it */
    struct rig_silent listener;
    struct cw_websocket_options options;
    char folder[64];
    char path[80];
    char url[160];
};

static struct house house;

static void echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    rig_check(cw_conn_send(conn, msg) >= 0);
}

static void connect_one(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    static const struct cw_hooks hooks = {.on_data = echo};

    rig_check(cw_websocket_connect(loop, house.url, &hooks, &house.options, NULL) > 0);
}

static struct rig_peer meet(struct ws_court *court)
{
    rig_host_run(court->host, 0, connect_one, NULL);
    struct rig_peer peer = {.fd = rig_silent_accept(&house.listener)};

    ws_trial_answer(&peer);
    return peer;
}

static void open_house(const struct cw_websocket_options *options)
{
    struct cw_server *server =
        rig_server(&cw_tcp, &(struct cw_server_options){.conns_max = 4096, .workers = 1});

    snprintf(house.folder, sizeof house.folder, "/tmp/causeway-6455-XXXXXX");
    rig_check(mkdtemp(house.folder) != NULL);
    snprintf(house.path, sizeof house.path, "%s/socket", house.folder);
    snprintf(house.url, sizeof house.url, "ws+unix://%%2Ftmp%%2F%.40s%%2Fsocket/",
             strrchr(house.folder, '/') + 1);
    rig_silent_open_unix(&house.listener, house.path, 0);
    house.options = *options;
    house.court = (struct ws_court){
        .tested = CW_CLIENT,
        .host = rig_host_start(server, NULL, NULL),
        .meet = meet,
    };
}

static void close_house(void)
{
    rig_host_end(house.court.host);
    rig_silent_close(&house.listener);
    unlink(house.path);
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

static void cut_files(const char *const *some, size_t count)
{
    open_house(&(struct cw_websocket_options){0});
    for (size_t i = 0; i < count; i++) {
        cr_expect_gt(ws_try_file(&house.court, some[i], WS_TRIAL_CUTS), 0);
    }
    close_house();
}

/* ---- tests ---- */

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

/* The handshake of a client over memory: cut anywhere, with frames behind it, and without memory. */
#include "support/fault.h"
#include "support/leak.h"
#include "support/rig.h"
#include "support/ws_visit.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { ALLOCATIONS_MAX = 500 };

static void be_quiet(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(ws_dial, .init = be_quiet, .fini = rig_expect_no_leak, .timeout = 60);

static const struct cw_http_pair fields[] = {{"Authorization", "Bearer x"}, {NULL, NULL}};

static int set_things(struct cw_websocket_request *request, void *user)
{
    int error = cw_websocket_request_set_target(request, "/again?from=7");

    return error < 0 ? error : cw_websocket_request_set_field(request, "X-From", "7");
}

static const struct cw_websocket_options options = {.fields = fields,
                                                    .subprotocols = "v1, v2",
                                                    .compress = true,
                                                    .host = "site.example",
                                                    .on_request = set_things};

/* The server's part: its answer, and a message. */
static size_t answer(const struct rig *rig, char *text, size_t cap)
{
    char accept[29];

    ws_accept_of((const char *)rig->output.data, accept);
    return (size_t)snprintf(text, cap,
                            "HTTP/1.1 103 Early Hints\r\n\r\n"
                            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                            "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
                            "Sec-WebSocket-Protocol: v2\r\n"
                            "Sec-WebSocket-Extensions: permessage-deflate; "
                            "server_no_context_takeover; client_no_context_takeover\r\n"
                            "\r\n\x81\x05hello",
                            accept);
}

static struct rig *open_rig(size_t fail_at)
{
    return rig_new(&(struct rig_setup){
        .protocol = &cw_websocket, .options = &options, .role = CW_CLIENT, .fail_at = fail_at});
}

static const char *const told = "open\ntext \"hello\"\n";

Test(ws_dial, the_request_is_sent_at_once_and_nothing_is_open_before_the_answer)
{
    struct rig *rig = open_rig(0);

    rig_run(rig);
    cr_expect_eq(strncmp((char *)rig->output.data,
                         "GET /again?from=7 HTTP/1.1\r\nHost: site.example\r\n", 47),
                 0, "%s", (char *)rig->output.data);
    cr_expect_str_eq(rig_told(rig), "");
    rig_free(rig);
}

Test(ws_dial, the_answer_may_be_cut_anywhere)
{
    char text[512];

    for (size_t cut = 1, len = 2; cut < len; cut++) {
        struct rig *rig = open_rig(0);

        rig_run(rig);
        len = answer(rig, text, sizeof text);
        rig_feed(rig, text, cut);
        rig_feed(rig, text + cut, len - cut);
        cr_expect_str_eq(rig_told(rig), told, "cut at %zu: %s", cut, rig_told(rig));
        rig_free(rig);
    }
}

Test(ws_dial, the_answer_may_come_byte_by_byte)
{
    struct rig *rig = open_rig(0);
    char text[512];
    size_t len;

    rig_run(rig);
    len = answer(rig, text, sizeof text);
    for (size_t at = 0; at < len; at++) {
        rig_feed(rig, text + at, 1);
    }
    cr_expect_str_eq(rig_told(rig), told);
    rig_free(rig);
}

/* Returns whether an allocation has failed. */
static bool fail_at(size_t nth)
{
    struct rig *rig = open_rig(nth);
    char text[512];
    bool failed;

    if (rig && rig->conn) {
        rig_run(rig);
    }
    if (rig && rig->conn && rig->output.len > 0) {
        rig_feed(rig, text, answer(rig, text, sizeof text));
    }
    failed = fault_disarm();
    if (!failed) {
        cr_assert_not_null(rig);
        cr_expect_str_eq(rig_told(rig), told);
    }
    rig_free(rig);
    return failed;
}

Test(ws_dial, without_memory_it_ends_and_leaves_nothing)
{
    size_t nth = 1;

    fault_install();
    while (nth < ALLOCATIONS_MAX && fail_at(nth)) {
        nth++;
    }
    fault_remove();
    cr_expect_gt(nth, 10);
    cr_expect_lt(nth, ALLOCATIONS_MAX);
}

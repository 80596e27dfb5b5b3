/* Programs of the documentation that are clients of a WebSocket, built as a user would build them. */
#include "support/child.h"
#include "support/host.h"
#include "support/leak.h"
#include "support/network.h"
#include "support/pki.h"
#include "support/secure.h"
#include "support/wait.h"

#include <causeway/causeway.h>

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct rig_child child;

static void be_quiet(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(ws_client_programs, .init = be_quiet, .fini = rig_expect_no_leak, .timeout = 100);

static void start_program(const char *kind, const char *name, char *argument)
{
    char path[512];
    char *arguments[] = {path, argument, NULL};

    snprintf(path, sizeof path, "%s/tests/%ss/%s_%s", CW_BUILD_DIR, kind, kind, name);
    rig_child_start(&child, path, arguments);
}

/* ---- program 4 of the design ---- */

static void echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_conn_send(conn, msg);
}

static struct rig_host *start_both(void)
{
    static const struct cw_hooks hooks = {.on_data = echo};
    const struct cw_tls_options identity = rig_identity("server.pem", "server.key");
    struct cw_server *server = cw_create_server(&cw_http);

    rig_check(cw_websocket_route(server, "/chat", &hooks, NULL) == 0);
    cw_server_listen(server, &(struct cw_listen_options){.port = 8443, .tls = &identity});
    cw_server_listen(server, &(struct cw_listen_options){
                                 .port = 7340, .service = cw_service(&cw_framed, &hooks, NULL)});
    return rig_host_start(server, NULL, NULL);
}

Test(ws_client_programs, a_client_of_two_protocols_comes_back_to_both)
{
    struct rig_host *host;

    if (!rig_enter_own_network() || !pki_made()) {
        cr_skip_test("no network of its own is permitted here, or openssl is missing");
    }
    setenv("SSL_CERT_FILE", pki("ca.pem"), 1);
    host = start_both();
    start_program("program", "clients", NULL);
    rig_child_await_text(&child, "hello\nhello\n");
    rig_child_forget(&child);
    rig_host_end(host);
    host = start_both();
    rig_child_await_text(&child, "hello\nhello\n");
    rig_child_signal(&child, SIGTERM);
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
    rig_host_end(host);
}

/* ---- the recipe ---- */

enum { PER_LIFE = 3 };

static char folder[] = "/tmp/causeway_feed_XXXXXX";
static char path[64];
static char url[128];

static int find_place(struct cw_http_exchange *http, void *user)
{
    struct cw_span last = cw_http_field(http, "Last-Event-ID");
    uint64_t number = 0;

    if (cw_span_to_u64(last, 1000, &number) < 0) {
        cw_http_reply_error(http, 400, "Last-Event-ID is a number");
        return CW_HTTP_ANSWERED;
    }
    if (number == 2 * PER_LIFE) {
        cw_http_reply_error(http, 410, "that was all");
        return CW_HTTP_ANSWERED;
    }
    rig_check(cw_websocket_set_user(http, (void *)(uintptr_t)number, NULL) == 0);
    return CW_HTTP_NEXT;
}

static void tell_more(struct cw_conn *conn, void *user)
{
    unsigned from = (unsigned)(uintptr_t)cw_conn_user(conn);

    for (unsigned i = from + 1; i <= from + PER_LIFE; i++) {
        char text[32];

        snprintf(text, sizeof text, "%u line %u", i, i);
        rig_check(cw_conn_send_text(conn, text) >= 0);
    }
}

static struct rig_host *start_feed(void)
{
    static const struct cw_hooks hooks = {.on_connection = tell_more};
    const struct cw_websocket_options options = {.on_handshake = find_place};
    struct cw_server *server = cw_create_server(&cw_http);

    rig_check(cw_websocket_route(server, "/feed", &hooks, &options) == 0);
    cw_server_listen(server, &(struct cw_listen_options){.unix_path = path});
    return rig_host_start(server, NULL, NULL);
}

Test(ws_client_programs, the_recipe_goes_on_behind_what_it_has_seen_and_ends_when_that_is_refused)
{
    struct rig_host *host;

    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/socket", folder);
    snprintf(url, sizeof url, "ws+unix://%%2Ftmp%%2F%s%%2Fsocket/feed", folder + 5);
    host = start_feed();
    start_program("recipe", "websocket_client", url);
    rig_child_await_text(&child, "line 1\nline 2\nline 3\n");
    rig_host_end(host);
    host = start_feed();
    rig_child_await_text(&child, "line 4\nline 5\nline 6\n");
    rig_host_end(host);
    host = start_feed();
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
    cr_expect_not_null(strstr(child.text, "the server answers 410 Gone"), "%s", child.text);
    cr_expect_null(strstr(child.text, "line 7"));
    rig_host_end(host);
    rmdir(folder);
}

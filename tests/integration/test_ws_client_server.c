/* Our client and our server: over TCP, TLS and unix sockets, through closes, refusals and restarts. */
#include "support/host.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/secure.h"
#include "support/wait.h"
#include "support/ws_visit.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static struct ws_visit visit;
static char folder[] = "/tmp/causeway_wss_XXXXXX";
static char path[64]; /* of a unix socket */

static void be_quiet(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
}

TestSuite(ws_client_server, .init = be_quiet, .fini = rig_expect_no_leak, .timeout = 100);

/* ---- the server ---- */

static struct cw_close_reason heard; /* by the server, as it was closed; read when it has ended */

static void echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    if (cw_span_equal(msg->body, cw_span_text("bye"))) {
        cw_conn_close_with(conn, 4001, "enough");
    } else {
        cw_conn_send(conn, msg);
    }
}

static void hear(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    heard = *reason;
}

static int refuse(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_error(http, 401, "who are you?");
    return CW_HTTP_ANSWERED;
}

static const struct cw_hooks echo_hooks = {.on_data = echo, .on_close = hear};

static struct cw_server *server_new(const struct cw_websocket_options *options)
{
    struct cw_server *server = cw_create_server(&cw_http);

    rig_check(cw_websocket_route(server, "/echo", &echo_hooks, options) == 0);
    rig_check(cw_websocket_route(server, "/closed", &echo_hooks,
                                 &(struct cw_websocket_options){.on_handshake = refuse}) == 0);
    return server;
}

static struct rig_host *start_with(const struct cw_websocket_options *options,
                                   const struct cw_tls_options *tls)
{
    struct cw_server *server = server_new(options);

    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1", .tls = tls});
    return rig_host_start(server, NULL, NULL);
}

static struct rig_host *start(void)
{
    return start_with(NULL, NULL);
}

static void visit_to(struct rig_host *host, const char *target)
{
    ws_visit_begin(&visit);
    cr_assert_gt(ws_visit_to(&visit, "ws://127.0.0.1:%u%s", rig_host_port(host, 0), target), 0);
    ws_visit_run(&visit);
}

/* ---- ways to get there ---- */

static void expect_hello(void)
{
    cr_expect_eq(visit.opened, 1, "%s", visit.report.text);
    cr_expect_eq(visit.status, 101);
    cr_expect_str_eq(visit.got, "hello");
    cr_expect_eq(visit.closed, 1);
    cr_expect_eq(visit.failed, 0, "%s", visit.report.text);
    cr_expect_eq(visit.reason.code, CW_BY_APP, "%s", visit.reason.text);
}

static void be_polite(void)
{
    visit.says = "hello";
    visit.rounds = 1;
}

Test(ws_client_server, a_message_comes_back)
{
    struct rig_host *host = start();

    be_polite();
    visit_to(host, "/echo");
    rig_host_end(host);
    expect_hello();
    cr_expect_eq(heard.peer_code, CW_WEBSOCKET_NORMAL);
}

Test(ws_client_server, a_client_may_begin_with_an_empty_message)
{
    struct rig_host *host = start();

    visit.says = "";
    visit.rounds = 1;
    visit_to(host, "/echo");
    rig_host_end(host);
    cr_expect_eq(visit.closed, 1);
    cr_expect_eq(visit.failed, 0, "%s", visit.report.text);
    cr_expect_eq(visit.reason.code, CW_BY_APP, "%s", visit.reason.text);
}

static char alpn[16];

static void note_alpn(struct ws_visit *self, struct cw_conn *conn, const struct cw_message *msg)
{
    struct cw_tls_info info;

    rig_check(cw_conn_tls(conn, &info) == 0);
    snprintf(alpn, sizeof alpn, "%s", info.alpn);
}

Test(ws_client_server, a_message_comes_back_over_tls)
{
    const struct cw_tls_options tls = {.ca = pki("ca.pem")};
    struct cw_tls_options identity = rig_identity("server.pem", "server.key");
    struct rig_host *host;

    identity.alpn = "http/1.1";
    host = start_with(NULL, &identity);
    be_polite();
    visit.then = note_alpn;
    visit.connect.tls = &tls;
    ws_visit_begin(&visit);
    cr_assert_gt(ws_visit_to(&visit, "wss://localhost:%u/echo", rig_host_port(host, 0)), 0);
    ws_visit_run(&visit);
    rig_host_end(host);
    expect_hello();
    cr_expect_str_eq(alpn, "http/1.1");
}

Test(ws_client_server, a_certificate_that_is_not_accepted_ends_the_attempt)
{
    const struct cw_tls_options identity = rig_identity("server.pem", "server.key");
    struct rig_host *host = start_with(NULL, &identity);

    be_polite();
    ws_visit_begin(&visit);
    cr_assert_gt(ws_visit_to(&visit, "wss://localhost:%u/echo", rig_host_port(host, 0)), 0);
    ws_visit_run(&visit);
    rig_host_end(host);
    cr_expect_eq(visit.opened, 0);
    cr_expect_eq(visit.report.code, CW_ECERT, "%s", visit.report.text);
    cr_expect_eq(visit.status, 0);
}

Test(ws_client_server, tls_options_do_not_count_for_ws)
{
    const struct cw_tls_options tls = {.ca = "/nowhere/ca.pem"};
    struct rig_host *host = start();

    be_polite();
    visit.connect.tls = &tls;
    visit_to(host, "/echo");
    rig_host_end(host);
    expect_hello();
}

static void make_folder(void)
{
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/socket", folder);
}

static int64_t visit_unix(const char *target)
{
    return ws_visit_to(&visit, "ws+unix://%%2Ftmp%%2F%s%%2Fsocket%s", folder + 5, target);
}

Test(ws_client_server, a_message_comes_back_over_a_unix_socket)
{
    struct cw_server *server = server_new(NULL);
    struct rig_host *host;

    make_folder();
    cw_server_listen(server, &(struct cw_listen_options){.unix_path = path});
    host = rig_host_start(server, NULL, NULL);
    be_polite();
    ws_visit_begin(&visit);
    cr_assert_gt(visit_unix("/echo"), 0);
    ws_visit_run(&visit);
    rig_host_end(host);
    rmdir(folder);
    expect_hello();
}

/* ---- refused ---- */

Test(ws_client_server, what_on_handshake_refuses_is_told_with_its_status)
{
    struct rig_host *host = start();

    visit.connect.reconnect = true;
    visit.attempts = 1;
    visit_to(host, "/closed");
    rig_host_end(host);
    cr_expect_eq(visit.opened, 0);
    cr_expect_eq(visit.failed, 1);
    cr_expect_eq(visit.status, 401);
    cr_expect_eq(visit.report.code, CW_EDENIED);
    cr_expect_not_null(strstr(visit.report.text, "401 Unauthorized"), "%s", visit.report.text);
}

Test(ws_client_server, a_path_without_a_websocket_is_told_with_its_status)
{
    struct rig_host *host = start();

    visit_to(host, "/nothing");
    rig_host_end(host);
    cr_expect_eq(visit.status, 404);
}

/* ---- subprotocols ---- */

static void expect_subprotocol(const char *server, const char *client, bool required,
                               const char *agreed)
{
    struct rig_host *host =
        start_with(&(struct cw_websocket_options){.subprotocols = server}, NULL);

    memset(&visit, 0, sizeof visit);
    be_polite();
    visit.options.subprotocols = client;
    visit.options.subprotocol_required = required;
    visit_to(host, "/echo");
    rig_host_end(host);
    cr_expect_eq(visit.opened, agreed ? 1 : 0, "%s", visit.report.text);
    cr_expect_str_eq(visit.subprotocol, agreed ? agreed : "");
}

Test(ws_client_server, the_subprotocol_is_the_first_of_the_servers_that_both_speak)
{
    expect_subprotocol("v3, v2, v1", "v1 v2", false, "v2");
    expect_subprotocol("v3", "v1 v2", false, "");
    expect_subprotocol(NULL, "v1", false, "");
    expect_subprotocol("v1", NULL, false, "");
    expect_subprotocol("v3", "v1 v2", true, NULL);
    cr_expect_eq(visit.report.code, CW_EPROTO);
}

/* ---- the end ---- */

Test(ws_client_server, the_close_code_of_the_server_is_told)
{
    struct rig_host *host = start();

    visit.says = "bye";
    visit.rounds = 2;
    visit_to(host, "/echo");
    rig_host_end(host);
    cr_expect_eq(visit.reason.code, CW_BY_PEER, "%s", visit.reason.text);
    cr_expect_eq(visit.reason.peer_code, 4001);
    cr_expect_str_eq(visit.reason.text, "enough");
    cr_expect_eq(visit.failed, 0, "%s", visit.report.text);
}

static void close_with(struct ws_visit *self, struct cw_conn *conn, const struct cw_message *msg)
{
    cw_conn_close_with(conn, 4002, "thank you");
}

Test(ws_client_server, the_close_code_of_the_client_is_told_to_the_server)
{
    struct rig_host *host = start();

    visit.says = "hello";
    visit.then = close_with;
    visit_to(host, "/echo");
    rig_host_end(host);
    cr_expect_eq(visit.reason.code, CW_BY_APP);
    cr_expect_eq(heard.code, CW_BY_PEER);
    cr_expect_eq(heard.peer_code, 4002);
    cr_expect_str_eq(heard.text, "thank you");
}

/* ---- pings ---- */

static char pong[16];
static uint64_t took;

static void send_ping(struct ws_visit *self, struct cw_conn *conn, const struct cw_message *msg)
{
    rig_check(cw_websocket_ping(conn, cw_span_text("mark")) == 0);
    rig_check(cw_websocket_round_trip_us(conn) == 0);
}

static void on_pong(struct cw_conn *conn, struct cw_span payload, uint64_t round_trip_us, void *user)
{
    rig_check(user == &visit);
    snprintf(pong, sizeof pong, "%.*s", (int)payload.len, (const char *)payload.data);
    took = cw_websocket_round_trip_us(conn);
    rig_check(took == round_trip_us);
    cw_conn_close(conn);
}

Test(ws_client_server, a_ping_of_the_client_is_answered)
{
    struct rig_host *host = start();

    visit.says = "hello";
    visit.then = send_ping;
    visit.options.on_pong = on_pong;
    visit_to(host, "/echo");
    rig_host_end(host);
    cr_expect_str_eq(pong, "mark");
    cr_expect_gt(took, 0);
}

/* ---- long messages ---- */

enum { LONG = 300000 };

static char parts[64];
static size_t total;

static void note_part(struct ws_visit *self, struct cw_conn *conn, const struct cw_message *msg)
{
    size_t len = strlen(parts);

    total += msg->body.len;
    if (len < sizeof parts - 2 && (len == 0 || parts[len - 1] != "wbce"[msg->part])) {
        parts[len] = "wbce"[msg->part];
    }
    if (msg->part == CW_END || msg->part == CW_WHOLE) {
        cw_conn_close(conn);
    }
}

static void expect_long(bool compress, uint64_t stream_above, const char *expected)
{
    const struct cw_websocket_options options = {.compress = compress};
    static char text[LONG + 1];
    struct rig_host *host = start_with(&options, NULL);

    memset(parts, 0, sizeof parts);
    total = 0;
    memset(text, 'x', LONG);
    visit = (struct ws_visit){.says = text, .then = note_part};
    visit.options.stream_above_bytes = stream_above;
    visit.options.compress = compress;
    visit_to(host, "/echo");
    rig_host_end(host);
    cr_expect_eq(total, LONG, "%zu %s", total, visit.reason.text);
    cr_expect_str_eq(parts, expected);
    cr_expect_eq(visit.compressed, compress);
}

Test(ws_client_server, a_long_message_comes_whole_or_in_pieces)
{
    expect_long(false, 0, "w");
    expect_long(false, 1000, "bce");
}

Test(ws_client_server, a_long_message_is_compressed_where_both_want_it)
{
    expect_long(true, 0, "w");
    expect_long(true, 1000, "bce");
}

/* ---- a server that comes and goes ---- */

enum { LIVES = 3, PER_LIFE = 3 };

static atomic_uint seen;

/* Goes on behind the number that the client has seen. */
static int find_place(struct cw_http_exchange *http, void *user)
{
    struct cw_span from = cw_http_query(http, "from");
    uint64_t number = 0;

    rig_check(from.len == 1);
    number = from.data[0] - (uint64_t)'0';
    rig_check(cw_websocket_set_user(http, (void *)(uintptr_t)number, NULL) == 0);
    return CW_HTTP_NEXT;
}

static void tell_more(struct cw_conn *conn, void *user)
{
    unsigned from = (unsigned)(uintptr_t)cw_conn_user(conn);

    for (unsigned i = 1; i <= PER_LIFE; i++) {
        char number[8];

        snprintf(number, sizeof number, "%u", from + i);
        rig_check(cw_conn_send_text(conn, number) >= 0);
    }
}

static void *live_and_die(void *arg)
{
    static const struct cw_hooks feed = {.on_connection = tell_more};

    for (unsigned life = 1; life <= LIVES; life++) {
        struct cw_server *server = cw_create_server(&cw_http);
        struct rig_host *host;

        rig_check(cw_websocket_route(server, "/feed", &feed,
                                     &(struct cw_websocket_options){.on_handshake = find_place}) ==
                  0);
        cw_server_listen(server, &(struct cw_listen_options){.unix_path = path});
        host = rig_host_start(server, NULL, NULL);
        rig_await(atomic_load(&seen) >= life * PER_LIFE);
        rig_host_end(host);
    }
    return NULL;
}

static int go_on(struct cw_websocket_request *request, void *user)
{
    char target[32];

    snprintf(target, sizeof target, "/feed?from=%zu", visit.len);
    return cw_websocket_request_set_target(request, target);
}

static void count_seen(struct ws_visit *self, struct cw_conn *conn, const struct cw_message *msg)
{
    atomic_fetch_add(&seen, 1);
    if (self->len == LIVES * PER_LIFE) {
        cw_client_stop(self->loop, self->id);
    }
}

Test(ws_client_server, after_a_restart_it_goes_on_where_it_was)
{
    pthread_t keeper;

    make_folder();
    visit.then = count_seen;
    visit.options.on_request = go_on;
    visit.connect = (struct cw_connect_options){
        .reconnect = true, .reconnect_min_ms = 1, .reconnect_max_ms = 20};
    cr_assert_eq(pthread_create(&keeper, NULL, live_and_die, NULL), 0);
    ws_visit_begin(&visit);
    cr_assert_gt(visit_unix("/feed?from=0"), 0);
    ws_visit_run(&visit);
    pthread_join(keeper, NULL);
    rmdir(folder);
    cr_expect_str_eq(visit.got, "123456789");
    cr_expect_eq(visit.opened, LIVES);
    cr_expect_eq(visit.peer_codes[0], CW_WEBSOCKET_GOING_AWAY);
    cr_expect_eq(visit.peer_codes[1], CW_WEBSOCKET_GOING_AWAY);
}

/* ---- a client inside of a server ---- */

static char upstream[64];

static void pass_down(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct cw_server *server = cw_conn_server(conn);

    cw_send_to(server, (uint64_t)(uintptr_t)cw_conn_user(conn), msg);
    cw_close_id(server, (uint64_t)(uintptr_t)cw_conn_user(conn));
    cw_conn_close(conn);
}

static void ask_upstream(struct cw_conn *conn, void *user)
{
    cw_conn_send_text(conn, "from above");
}

static void dial_upstream(struct cw_conn *conn, void *user)
{
    static const struct cw_hooks hooks = {.on_connection = ask_upstream, .on_data = pass_down};
    const struct cw_connect_options connect = {.conn_user = (void *)(uintptr_t)cw_conn_id(conn)};

    rig_check(cw_websocket_connect(cw_conn_loop(conn), upstream, &hooks, NULL, &connect) > 0);
}

Test(ws_client_server, a_server_may_be_a_client_on_its_own_loop)
{
    static const struct cw_hooks relay = {.on_connection = dial_upstream};
    struct cw_server *server = cw_create_server(&cw_websocket);
    struct rig_host *above = start();
    struct rig_host *between;

    snprintf(upstream, sizeof upstream, "ws://127.0.0.1:%u/echo", rig_host_port(above, 0));
    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1"});
    between = rig_host_start(server, &relay, NULL);
    visit.rounds = 2;
    visit_to(between, "/any");
    rig_host_end(between);
    rig_host_end(above);
    cr_expect_str_eq(visit.got, "from above");
    cr_expect_eq(visit.reason.code, CW_BY_PEER);
}

/* cw_conn_start_tls on connections that began in the clear, in both roles. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/program.h"
#include "support/secure.h"
#include "support/wait.h"

#include <causeway/error.h>
#include <causeway/line.h>
#include <causeway/log.h>
#include <causeway/room.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
}

TestSuite(tls_start, .init = init, .fini = rig_expect_no_leak, .timeout = 60);

enum { BULK_LINES = 100, BULK_LINE = 8000 };

/* ---- a server that knows STARTTLS ---- */

static struct {
    struct rig_secure secure; /* first: the `user` of the hooks */
    struct rig_child child;
    bool bulk;
    atomic_uint ticks; /* of a timer that each connection has */
    atomic_uint full;
    atomic_int start_error;
} scene;

static void tick(struct cw_conn *conn, void *user)
{
    atomic_fetch_add(&scene.ticks, 1);
}

static void on_connection(struct cw_conn *conn, void *user)
{
    struct cw_tls_info info;
    struct cw_tls_peer_cert cert;

    rig_check(!cw_conn_is_encrypted(conn));
    rig_check(cw_conn_tls(conn, &info) == CW_ENOTFOUND);
    rig_check(cw_conn_peer_cert(conn, &cert) == CW_ENOTFOUND);
    rig_check(cw_conn_after(conn, 5, 5, tick, NULL) == CW_OK);
    rig_check(cw_room_join(conn, "lobby") == CW_OK);
    rig_secure_hooks.on_connection(conn, user);
}

static void begin_tls(struct cw_conn *conn)
{
    int error = cw_conn_start_tls(conn);

    if (error == CW_EFULL) {
        atomic_fetch_add(&scene.full, 1);
        return;
    }
    atomic_store(&scene.start_error, error);
    if (error == CW_OK && scene.bulk) {
        rig_check(cw_conn_send_text(conn, "behind") >= 0);
    }
    if (error == CW_OK) {
        rig_check(cw_conn_start_tls(conn) == CW_ESTATE);
    }
}

static void send_bulk(struct cw_conn *conn)
{
    char line[BULK_LINE + 1];

    memset(line, 'x', BULK_LINE);
    line[BULK_LINE] = '\0';
    for (int i = 0; i < BULK_LINES; i++) {
        rig_check(cw_conn_send_text(conn, line) >= 0);
    }
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    if (!cw_conn_is_encrypted(conn) && msg->body.len == 8 &&
        memcmp(msg->body.data, "STARTTLS", 8) == 0) {
        if (scene.bulk) {
            send_bulk(conn);
        }
        rig_check(cw_conn_send_text(conn, "ready") >= 0);
        begin_tls(conn);
        return;
    }
    rig_secure_hooks.on_data(conn, msg, user);
}

static void on_drain(struct cw_conn *conn, void *user)
{
    if (scene.bulk && !cw_conn_is_encrypted(conn)) {
        begin_tls(conn);
    }
}

static void start_with(const struct cw_server_options *options, const struct cw_tcp_options *tcp)
{
    struct cw_hooks hooks = rig_secure_hooks;
    struct cw_tls_options tls = rig_identity("server.pem", "server.key");
    struct cw_listen_options listen = {.host = "127.0.0.1", .tls = &tls};
    struct cw_server *server = cw_create_server(&cw_line);

    hooks.on_connection = on_connection;
    hooks.on_data = on_data;
    hooks.on_drain = on_drain;
    tls.start_tls = true;
    if (tcp) {
        listen.tcp = *tcp;
    }
    if (options) {
        rig_check(cw_server_configure(server, options) == CW_OK);
    }
    rig_check(cw_server_listen(server, &listen) == CW_OK);
    rig_secure_run(&scene.secure, server, &hooks);
}

static void start(void)
{
    start_with(NULL, NULL);
}

static void run_python(const char *mode, const char *ca)
{
    char port[8];

    if (!rig_has_program("python3")) {
        cr_skip_test("python3 is not installed");
    }
    snprintf(port, sizeof port, "%u", scene.secure.port);
    cr_assert_eq(
        rig_run_words(&scene.child, RIG_WORDS("python3", CW_SOURCE_DIR "/tests/support/tls_peer.py",
                                              mode, port, pki(ca))),
        0, "%s", scene.child.text);
}

static void expect_line(const char *name, const char *value)
{
    char line[128];

    snprintf(line, sizeof line, "%s=%s\n", name, value);
    rig_expect_text(&scene.child, line);
}

static void expect_end_in_good_order(void)
{
    cr_expect_eq(rig_secure_reason(&scene.secure, 0)->code, CW_BY_PEER, "%s",
                 scene.secure.reasons[0].text);
    rig_secure_end(&scene.secure);
    cr_expect_eq(atomic_load(&scene.secure.failed), 0, "%s", scene.secure.reports[0].text);
}

Test(tls_start, a_server_goes_on_encrypted)
{
    const struct rig_said *said;
    char cipher[64];

    start();
    run_python("starttls", "ca.pem");
    said = rig_secure_said(&scene.secure, 0);
    cr_expect_eq(atomic_load(&scene.secure.secured), 1);
    expect_line("plain", "in the clear");
    expect_line("answer", "ready");
    expect_line("version", said->version);
    expect_line("cipher", rig_openssl_cipher(said, cipher, sizeof cipher));
    expect_line("echo", "encrypted");
    expect_line("ended", "in good order");
    cr_expect(said->encrypted);
    cr_expect_str_eq(said->server_name, "localhost");
    expect_end_in_good_order();
}

Test(tls_start, what_was_sent_before_leaves_in_the_clear_and_what_is_sent_behind_waits)
{
    char lines[16];

    scene.bulk = true;
    start_with(NULL, &(struct cw_tcp_options){.send_buffer_bytes = 16384});
    run_python("bulk", "ca.pem");
    snprintf(lines, sizeof lines, "%d", BULK_LINES + 1);
    expect_line("lines", lines);
    expect_line("behind", "behind");
    expect_line("echo", "encrypted");
    cr_expect_gt(atomic_load(&scene.full), 0);
    cr_expect_eq(atomic_load(&scene.start_error), CW_OK);
    expect_end_in_good_order();
}

Test(tls_start, bytes_injected_behind_the_last_word_in_the_clear_are_refused)
{
    start();
    run_python("injected", "ca.pem");
    cr_expect_null(strstr(scene.child.text, "injected"), "%s", scene.child.text);
    cr_expect_eq(rig_secure_report(&scene.secure, 0)->code, CW_EPLAIN, "%s",
                 scene.secure.reports[0].text);
    cr_expect_eq(rig_secure_reason(&scene.secure, 0)->code, CW_EPLAIN);
    cr_expect_not_null(scene.secure.reports[0].address);
    rig_secure_end(&scene.secure);
    cr_expect_eq(atomic_load(&scene.secure.secured), 0);
}

Test(tls_start, half_a_line_injected_behind_the_last_word_is_refused)
{
    struct rig_peer peer;

    start();
    peer = rig_peer_tcp(scene.secure.port);
    rig_peer_send_text(&peer, "STARTTLS\nhalf a li");
    cr_expect_eq(rig_secure_reason(&scene.secure, 0)->code, CW_EPLAIN, "%s",
                 scene.secure.reasons[0].text);
    rig_peer_close(&peer);
    rig_secure_end(&scene.secure);
}

Test(tls_start, plain_bytes_behind_the_answer_are_refused)
{
    struct rig_peer peer;
    uint8_t alert[7];

    start();
    peer = rig_peer_tcp(scene.secure.port);
    rig_peer_send_text(&peer, "STARTTLS\n");
    rig_peer_expect(&peer, "ready\n");
    rig_peer_send_text(&peer, "in the clear\n");
    rig_peer_receive(&peer, alert, sizeof alert);
    cr_expect_eq(alert[0], 21);
    rig_peer_expect_end(&peer);
    cr_expect_eq(rig_secure_reason(&scene.secure, 0)->code, CW_EPLAIN, "%s",
                 scene.secure.reasons[0].text);
    rig_peer_close(&peer);
    rig_secure_end(&scene.secure);
}

Test(tls_start, a_handshake_that_fails_ends_the_connection_with_its_reason)
{
    start();
    if (!rig_has_program("python3")) {
        cr_skip_test("python3 is not installed");
    }
    char port[8];
    snprintf(port, sizeof port, "%u", scene.secure.port);
    cr_expect_neq(
        rig_run_words(&scene.child, RIG_WORDS("python3", CW_SOURCE_DIR "/tests/support/tls_peer.py",
                                              "starttls", port, pki("rogue_ca.pem"))),
        0);
    cr_expect_eq(rig_secure_reason(&scene.secure, 0)->code, CW_ETLS, "%s",
                 scene.secure.reasons[0].text);
    cr_expect_eq(rig_secure_report(&scene.secure, 0)->code, CW_ETLS);
    cr_expect_eq(scene.secure.reports[0].tls_alert, 48, "%d", scene.secure.reports[0].tls_alert);
    rig_secure_end(&scene.secure);
    cr_expect_eq(atomic_load(&scene.secure.secured), 0);
}

Test(tls_start, a_peer_that_does_not_begin_is_given_the_time_of_a_handshake)
{
    struct rig_peer peer;

    start_with(&(struct cw_server_options){.handshake_ms = 300}, NULL);
    peer = rig_peer_tcp(scene.secure.port);
    rig_peer_send_text(&peer, "STARTTLS\n");
    rig_peer_expect(&peer, "ready\n");
    cr_expect_eq(rig_secure_reason(&scene.secure, 0)->code, CW_EHANDSHAKETIME, "%s",
                 scene.secure.reasons[0].text);
    rig_peer_close(&peer);
    rig_secure_end(&scene.secure);
}

/* ---- a client ---- */

struct visitor {
    struct cw_loop *loop;
    unsigned opened;
    unsigned secured;
    unsigned closed;
    unsigned failed;
    unsigned messages;
    unsigned rooms;  /* messages of the room that came in time */
    bool wants_room; /* ends when one has come encrypted */
    struct rig_said said;
    struct cw_error_report report;
    struct cw_close_reason reason;
    char heard[128];
};

static void visitor_opened(struct cw_conn *conn, void *user)
{
    struct visitor *visitor = user;

    visitor->opened++;
    rig_check(!cw_conn_is_encrypted(conn));
    rig_check(cw_conn_send_text(conn, "STARTTLS") >= 0);
}

static void visitor_got(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct visitor *visitor = user;

    visitor->messages++;
    snprintf(visitor->heard, sizeof visitor->heard, "%.*s", (int)msg->body.len,
             (const char *)msg->body.data);
    if (strcmp(visitor->heard, "ready") == 0) {
        rig_check(cw_conn_start_tls(conn) == CW_OK);
    } else if (strcmp(visitor->heard, "encrypted") == 0 && !visitor->wants_room) {
        cw_conn_close(conn);
    } else if (strcmp(visitor->heard, "to the room") == 0) {
        rig_check(cw_conn_is_encrypted(conn));
        visitor->rooms++;
        cw_conn_close(conn);
    }
}

static void visitor_secured(struct cw_conn *conn, void *user)
{
    struct visitor *visitor = user;

    visitor->secured++;
    rig_said_note(&visitor->said, conn);
    if (visitor->wants_room) {
        struct cw_message msg = cw_message_text("to the room");
        rig_check(cw_room_send(rig_host_server(scene.secure.host), "lobby", &msg, NULL) == CW_OK);
        return;
    }
    rig_check(cw_conn_send_text(conn, "encrypted") >= 0);
}

static void visitor_closed(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct visitor *visitor = user;

    visitor->closed++;
    visitor->reason = *reason;
}

static void visitor_failed(struct cw_server *server, const struct cw_error_report *report,
                           void *user)
{
    struct visitor *visitor = user;

    visitor->failed++;
    visitor->report = *report;
}

static const struct cw_hooks visitor_hooks = {.on_connection = visitor_opened,
                                              .on_data = visitor_got,
                                              .on_secure = visitor_secured,
                                              .on_close = visitor_closed,
                                              .on_error = visitor_failed};

static void visit_port(struct visitor *visitor, uint16_t port, const char *ca)
{
    const struct cw_tls_options tls = {.ca = pki(ca), .start_tls = true};
    const struct cw_connect_options options = {.tls = &tls};
    char address[32];

    snprintf(address, sizeof address, "localhost:%u", port);
    visitor->loop = cw_loop_new();
    rig_check(visitor->loop);
    rig_check(cw_connect(visitor->loop, cw_service(&cw_line, &visitor_hooks, visitor), address,
                         &options) > 0);
    rig_check(cw_loop_run(visitor->loop) == CW_OK);
    cw_loop_free(visitor->loop);
}

Test(tls_start, a_client_goes_on_encrypted)
{
    static struct visitor visitor;

    start();
    visit_port(&visitor, scene.secure.port, "ca.pem");
    cr_expect_eq(visitor.failed, 0, "%s", visitor.report.text);
    cr_expect_eq(visitor.secured, 1);
    cr_expect_str_eq(visitor.heard, "encrypted");
    cr_expect(visitor.said.info.verified, "%s", visitor.said.info.why_not);
    cr_expect_str_eq(visitor.said.cert.subject, "O=Causeway tests, CN=server");
    cr_expect_str_eq(visitor.said.cipher, rig_secure_said(&scene.secure, 0)->cipher);
    cr_expect_eq(visitor.reason.code, CW_BY_APP);
    expect_end_in_good_order();
}

Test(tls_start, a_client_refuses_a_server_that_it_does_not_trust)
{
    static struct visitor visitor;

    start();
    visit_port(&visitor, scene.secure.port, "rogue_ca.pem");
    cr_expect_eq(visitor.opened, 1);
    cr_expect_eq(visitor.secured, 0);
    cr_expect_eq(visitor.closed, 1);
    cr_expect_eq(visitor.reason.code, CW_ECERT, "%s", visitor.reason.text);
    cr_expect_eq(visitor.report.code, CW_ECERT);
    cr_expect_eq(visitor.report.tls_alert, 48);
    cr_expect_eq(rig_secure_reason(&scene.secure, 0)->code, CW_ETLS);
    cr_expect_eq(rig_secure_report(&scene.secure, 0)->tls_alert, 48);
    rig_secure_end(&scene.secure);
}

/* A server of the test's that adds a line behind its answer. */
static int inject(void *arg)
{
    struct rig_peer peer = rig_accept(*(int *)arg);

    rig_peer_expect(&peer, "STARTTLS\n");
    rig_peer_send_text(&peer, "ready\ninjected\n");
    rig_peer_receive_all(&peer);
    rig_peer_close(&peer);
    return 0;
}

Test(tls_start, a_client_refuses_what_is_injected_behind_the_answer)
{
    static struct visitor visitor;
    uint16_t port;
    int listener = rig_listen(&port);

    rig_child_fork(&scene.child, inject, &listener);
    visit_port(&visitor, port, "ca.pem");
    cr_expect_eq(visitor.reason.code, CW_EPLAIN, "%s", visitor.reason.text);
    cr_expect_eq(visitor.report.code, CW_EPLAIN);
    cr_expect_str_eq(visitor.heard, "ready");
    cr_expect_eq(visitor.messages, 1);
    rig_child_join(&scene.child);
    close(listener);
}

/* ---- what a connection has besides ---- */

/* Sent when the client is through, which the server may not be yet. */
Test(tls_start, what_comes_from_a_room_arrives_encrypted)
{
    static struct visitor visitor = {.wants_room = true};

    start();
    visit_port(&visitor, scene.secure.port, "ca.pem");
    cr_expect_eq(visitor.failed, 0, "%s", visitor.report.text);
    cr_expect_eq(visitor.rooms, 1);
    expect_end_in_good_order();
}

Test(tls_start, timers_go_on_during_the_handshake)
{
    struct rig_peer peer;

    start();
    peer = rig_peer_tcp(scene.secure.port);
    rig_peer_send_text(&peer, "STARTTLS\n");
    rig_peer_expect(&peer, "ready\n");
    unsigned before = atomic_load(&scene.ticks);
    rig_await(atomic_load(&scene.ticks) > before + 2);
    rig_peer_close(&peer);
    rig_secure_reason(&scene.secure, 0);
    rig_secure_end(&scene.secure);
}

static void expect_no_start(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    atomic_store(&scene.start_error, cw_conn_start_tls(conn));
    cw_conn_send(conn, msg);
}

Test(tls_start, a_listener_without_it_says_so)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");
    struct cw_hooks hooks = rig_secure_hooks;
    struct rig_peer peer;

    hooks.on_data = expect_no_start;
    atomic_store(&scene.start_error, 1);
    rig_secure_start_two(&scene.secure, &cw_line, NULL, &options, &hooks);
    peer = rig_peer_tcp(scene.secure.port);
    rig_peer_send_text(&peer, "hello\n");
    rig_peer_expect(&peer, "hello\n");
    cr_expect_eq(atomic_load(&scene.start_error), CW_ESTATE);
    rig_peer_close(&peer);
    rig_secure_choose(&scene.secure, 1);
    atomic_store(&scene.start_error, 1);
    rig_s_client_visit(&scene.child, &scene.secure, NULL);
    cr_expect_eq(atomic_load(&scene.start_error), CW_ESTATE);
    rig_secure_end(&scene.secure);
}

/* The usual mistakes are named: TLS to a plain port, plain HTTP to a TLS port, plain bytes of another protocol there. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/program.h"
#include "support/secure.h"
#include "support/wait.h"

#include <causeway/error.h>
#include <causeway/framed.h>
#include <causeway/line.h>
#include <causeway/log.h>

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
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

TestSuite(tls_mistakes, .init = init, .fini = rig_expect_no_leak, .timeout = 60);

static struct rig_secure secure;
static struct rig_child child;

static void start(const struct cw_protocol *protocol)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");

    rig_secure_start(&secure, protocol, &options, NULL);
}

static void expect_report(unsigned n, int code, int alert, const char *words)
{
    const struct cw_error_report *report = rig_secure_report(&secure, n);
    char text[CW_ADDRESS_TEXT_MAX];

    cr_expect_eq(report->code, code, "%s: %s", cw_error_name(report->code), report->text);
    cr_expect_eq(report->tls_alert, alert, "%d: %s", report->tls_alert, report->text);
    cr_expect_not_null(strstr(report->text, words), "no \"%s\" in: %s", words, report->text);
    cr_assert_not_null(report->address);
    cw_address_print(report->address, text);
    cr_expect_eq(strncmp(text, "127.0.0.1:", 10), 0, "%s", text);
}

/* ---- TLS to a plain port ---- */

Test(tls_mistakes, tls_to_a_framed_port_without_it_is_named)
{
    rig_secure_start(&secure, &cw_framed, NULL, NULL);
    rig_s_client(&child, &secure, NULL);
    cr_expect_neq(rig_child_join(&child), 0);
    expect_report(0, CW_EISTLS, CW_NO_ALERT, "TLS");
    cr_expect_eq(rig_secure_reason(&secure, 0)->code, CW_EISTLS, "%s", secure.reasons[0].text);
    cr_expect_not_null(strstr(secure.reasons[0].text, "TLS"), "%s", secure.reasons[0].text);
    rig_secure_end(&secure);
}

static struct {
    pthread_mutex_t lock;
    bool named;
} logged = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void look_at_line(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    pthread_mutex_lock(&logged.lock);
    logged.named = logged.named || (conn_id != 0 && strstr(text, "TLS hello"));
    pthread_mutex_unlock(&logged.lock);
}

static bool is_named(void)
{
    bool named;

    pthread_mutex_lock(&logged.lock);
    named = logged.named;
    pthread_mutex_unlock(&logged.lock);
    return named;
}

/* To lines these are bytes like any others; the log tells what they look like. */
Test(tls_mistakes, tls_to_a_line_port_without_it_is_named_in_the_log)
{
    cw_log_set(look_at_line, NULL);
    cw_log_set_level(CW_LOG_INFO);
    rig_secure_start(&secure, &cw_line, NULL, NULL);
    rig_s_client(&child, &secure, NULL);
    rig_await(is_named());
    rig_child_signal(&child, SIGKILL);
    rig_child_join(&child);
    rig_secure_end(&secure);
    cw_log_set(NULL, NULL);
}

/* ---- plain HTTP to a TLS port ---- */

static void expect_bad_request(const char *method, unsigned n)
{
    struct rig_peer peer = rig_peer_tcp(secure.port);
    char answer[1024] = "";
    size_t len = 0;
    ptrdiff_t got;
    const char *body;
    unsigned long length;

    rig_peer_send_text(&peer, method);
    rig_peer_send_text(&peer, " / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    while ((got = rig_peer_receive_some(&peer, answer + len, sizeof answer - 1 - len)) > 0) {
        len += (size_t)got;
    }
    cr_expect_eq(got, 0, "the answer ends with a reset");
    rig_peer_close(&peer);
    cr_expect_eq(strncmp(answer, "HTTP/1.1 400 ", 13), 0, "%s", answer);
    cr_assert_not_null(strstr(answer, "Content-Length: "), "%s", answer);
    length = strtoul(strstr(answer, "Content-Length: ") + 16, NULL, 10);
    body = strstr(answer, "\r\n\r\n");
    cr_assert_not_null(body);
    cr_expect_eq(strlen(body + 4), length, "%s", answer);
    cr_expect_not_null(strstr(body, "https"), "%s", answer);
    expect_report(n, CW_EPLAIN, CW_NO_ALERT, "HTTP");
}

Test(tls_mistakes, plain_http_to_a_tls_port_is_answered_in_the_clear)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"};

    start(&cw_line);
    for (unsigned i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        expect_bad_request(methods[i], i);
    }
    rig_s_client_visit(&child, &secure, NULL);
    rig_secure_end(&secure);
    cr_expect_eq(atomic_load(&secure.opened), 1);
}

Test(tls_mistakes, http_that_comes_byte_by_byte_is_answered_too)
{
    struct rig_peer peer;

    start(&cw_line);
    peer = rig_peer_tcp(secure.port);
    rig_peer_send_slowly(&peer, "GET ", 4, 1);
    rig_peer_expect(&peer, "HTTP/1.1 400 ");
    rig_peer_close(&peer);
    expect_report(0, CW_EPLAIN, CW_NO_ALERT, "HTTP");
    rig_secure_end(&secure);
}

Test(tls_mistakes, node_understands_the_answer)
{
    char script[256];

    if (!rig_has_program("node")) {
        cr_skip_test("node is not installed");
    }
    start(&cw_line);
    snprintf(script, sizeof script,
             "require('http').get('http://%s/', (answer) => { answer.on('data', (body) => "
             "console.log(answer.statusCode, String(body))); });",
             secure.address);
    cr_expect_eq(rig_run_words(&child, RIG_WORDS("node", "-e", script)), 0, "%s", child.text);
    cr_expect_eq(strncmp(child.text, "400 ", 4), 0, "%s", child.text);
    expect_report(0, CW_EPLAIN, CW_NO_ALERT, "HTTP");
    rig_secure_end(&secure);
}

/* ---- other plain bytes to a TLS port ---- */

static void expect_alert(struct rig_peer *peer, uint8_t alert)
{
    uint8_t record[7];

    rig_peer_receive(peer, record, sizeof record);
    cr_expect_eq(record[0], 21);
    cr_expect_eq(record[1], 3);
    cr_expect_eq(record[3] << 8 | record[4], 2);
    cr_expect_eq(record[5], 2);
    cr_expect_eq(record[6], alert, "%u", record[6]);
    rig_peer_expect_end(peer);
    rig_peer_close(peer);
}

Test(tls_mistakes, plain_bytes_on_a_tls_port_get_an_alert_while_others_are_served)
{
    static const uint8_t ssl2[] = {0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10};
    struct rig_child bystander;
    struct rig_peer peer;

    start(&cw_framed);
    peer = rig_peer_tcp(secure.port);
    rig_peer_send_frame(&peer, "hello", 5);
    expect_alert(&peer, 10);
    expect_report(0, CW_EPLAIN, 10, "plain bytes");
    cr_expect_not_null(strstr(secure.reports[0].text, "00 00 00 05 68"), "%s",
                       secure.reports[0].text);
    rig_secure_end(&secure);

    start(&cw_line);
    rig_s_client(&bystander, &secure, NULL);
    peer = rig_peer_tcp(secure.port);
    rig_peer_send_text(&peer, "a plain line\n");
    expect_alert(&peer, 10);
    expect_report(0, CW_EPLAIN, 10, "plain bytes");
    peer = rig_peer_tcp(secure.port);
    rig_peer_send(&peer, ssl2, sizeof ssl2);
    expect_alert(&peer, 70);
    expect_report(1, CW_EPLAIN, 70, "SSL 2.0");
    rig_s_client_talk(&bystander);
    rig_secure_end(&secure);
}

/* ---- our client at a plain port ---- */

static const char *greeting;

/* A server of the test's that speaks in the clear. */
static int greet(void *arg)
{
    struct rig_peer peer = rig_accept(*(int *)arg);

    rig_peer_send_text(&peer, greeting);
    while (rig_peer_receive_some(&peer, (char[512]){0}, 512) > 0) {}
    rig_peer_close(&peer);
    return 0;
}

static void expect_plain(const char *said, const char *text)
{
    static struct rig_visit visit;
    struct cw_tls_options options = {.ca = pki("ca.pem")};
    char address[32];
    uint16_t port;
    int listener = rig_listen(&port);

    greeting = said;
    rig_child_fork(&child, greet, &listener);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    rig_visit(&visit, address, &options);
    cr_expect_eq(visit.opened, 0);
    cr_expect_eq(visit.failed, 1);
    cr_expect_eq(visit.report.code, CW_EPLAIN, "%s", visit.report.text);
    cr_expect_not_null(strstr(visit.report.text, text), "%s", visit.report.text);
    rig_child_join(&child);
    close(listener);
}

Test(tls_mistakes, a_client_that_is_greeted_in_the_clear_says_so)
{
    expect_plain("220 welcome\r\n", "plain bytes");
}

Test(tls_mistakes, a_client_that_is_answered_in_plain_http_says_so)
{
    expect_plain("HTTP/1.1 400 Bad Request\r\n\r\n", "that port speaks plain HTTP, no TLS");
}

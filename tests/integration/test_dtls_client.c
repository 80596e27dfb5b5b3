/* Clients that speak DTLS: with a server of ours, with openssl s_server, over a bad line, and with nobody. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/relay.h"
#include "support/secure.h"
#include "support/udp_peer.h"
#include "support/wait.h"

#include <causeway/log.h>
#include <causeway/udp.h>

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct rig_secure secure;
static struct rig_child child;

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
}

TestSuite(dtls_client, .init = init, .fini = rig_expect_no_leak, .timeout = 120);

static const struct cw_tls_options *trust_us(void)
{
    static struct cw_tls_options options;

    options = (struct cw_tls_options){
        .ca = pki("ca.pem"), .server_name = "localhost", .retransmit_min_ms = 50};
    return &options;
}

static void start(const char *cert, const char *key)
{
    struct cw_tls_options tls = rig_identity(cert, key);

    tls.retransmit_min_ms = 50;
    rig_secure_start(&secure, &cw_udp, &tls, NULL);
}

static void start_server(void)
{
    start("server.pem", "server.key");
}

static struct rig_visit echo_visit(void)
{
    return (struct rig_visit){.protocol = &cw_udp, .says = "hello", .hears = "hello"};
}

static void expect_talk(const struct rig_visit *visit)
{
    cr_expect_eq(visit->failed, 0, "%s", visit->report.text);
    cr_assert_geq(visit->closed, 1);
    cr_expect_eq(visit->reason.code, CW_BY_APP, "%s", visit->reason.text);
}

/* ---- our own server ---- */

Test(dtls_client, verifies_the_server_and_talks)
{
    struct rig_visit visit = echo_visit();

    start_server();
    rig_visit(&visit, secure.address, trust_us());
    expect_talk(&visit);
    cr_expect_str_eq(visit.said[0].version, "DTLSv1.2");
    cr_expect(visit.said[0].info.verified);
    cr_expect_str_neq(visit.said[0].group, "");
    cr_expect_eq(rig_secure_reason(&secure, 0)->code, CW_BY_PEER, "its goodbye has come");
    rig_secure_end(&secure);
}

/* What it sends again meanwhile may find nobody there any more, and is reported too. */
static bool was_told_why(void)
{
    for (unsigned i = 0; i < atomic_load(&secure.failed); i++) {
        if (secure.reports[i].code == CW_ETLS && secure.reports[i].tls_alert > 0) {
            return true;
        }
    }
    return false;
}

static void expect_distrust(const char *cert, const char *key, const char *words)
{
    struct rig_visit visit = echo_visit();

    start(cert, key);
    rig_visit(&visit, secure.address, trust_us());
    cr_expect_eq(visit.opened, 0);
    cr_expect_eq(visit.report.code, CW_ECERT, "%s", visit.report.text);
    cr_expect(strstr(visit.report.text, words), "%s", visit.report.text);
    rig_await(was_told_why());
    rig_secure_end(&secure);
}

Test(dtls_client, refuses_a_server_of_another_name)
{
    expect_distrust("wrong_name.pem", "wrong_name.key", "other.invalid");
}

Test(dtls_client, refuses_a_server_that_nobody_vouches_for)
{
    expect_distrust("unknown_ca.pem", "unknown_ca.key", "unknown CA");
}

Test(dtls_client, comes_back_without_a_full_handshake)
{
    struct rig_visit visit = echo_visit();

    visit.rounds = 3;
    start_server();
    rig_visit(&visit, secure.address, trust_us());
    expect_talk(&visit);
    cr_expect_not(visit.said[0].info.resumed);
    cr_expect(visit.said[1].info.resumed);
    cr_expect(visit.said[2].info.resumed);
    rig_secure_end(&secure);
}

Test(dtls_client, is_told_of_the_servers_goodbye)
{
    struct rig_visit visit = {.protocol = &cw_udp, .says = "bye"};

    start_server();
    rig_visit(&visit, secure.address, trust_us());
    cr_expect_eq(visit.reason.code, CW_BY_PEER, "%s", visit.reason.text);
    rig_secure_end(&secure);
}

Test(dtls_client, speaks_the_protocol_that_both_know)
{
    struct cw_tls_options tls = rig_identity("server.pem", "server.key");
    struct cw_tls_options mine = *trust_us();
    struct rig_visit visit = echo_visit();

    tls.alpn = "coap, game";
    mine.alpn = "game";
    rig_secure_start(&secure, &cw_udp, &tls, NULL);
    rig_visit(&visit, secure.address, &mine);
    expect_talk(&visit);
    cr_expect_str_eq(visit.said[0].alpn, "game");
    cr_expect_str_eq(rig_secure_said(&secure, 0)->alpn, "game");
    rig_secure_end(&secure);
}

/* ---- nobody ---- */

Test(dtls_client, gives_up_where_nobody_answers)
{
    struct rig_udp silent[2];
    struct rig_visit visit = echo_visit();
    char address[32];

    rig_udp_pair(silent);
    snprintf(address, sizeof address, "127.0.0.1:%u", rig_udp_port(&silent[0]));
    visit.connect_ms = 300;
    rig_visit(&visit, address, trust_us());
    cr_expect_eq(visit.opened, 0);
    cr_expect_eq(visit.report.code, CW_EHANDSHAKETIME, "%s", visit.report.text);
    rig_udp_close(&silent[0]);
    rig_udp_close(&silent[1]);
}

/* ---- OpenSSL ---- */

static void need_openssl(void)
{
    if (!rig_has_program("openssl")) {
        cr_skip_test("openssl is missing");
    }
}

static uint16_t s_server(const char *const *more)
{
    static const char line[] = "ACCEPT ";
    const char *words[24] = {"openssl",         "s_server",    "-dtls1_2",
                             "-accept",         "127.0.0.1:0", "-cert",
                             pki("server.pem"), "-key",        pki("server.key")};
    size_t count = 9;
    unsigned port;

    for (; more && *more; more++) {
        words[count++] = *more;
    }
    rig_start_words_fed(&child, words);
    rig_child_await_text(&child, line);
    rig_child_await_text(&child, "127.0.0.1:");
    cr_assert_eq(sscanf(strstr(child.text, "127.0.0.1:"), "127.0.0.1:%u", &port), 1);
    return (uint16_t)port;
}

/* Answers what the client says, in the place of somebody at its keyboard. */
static void *answer(void *unused)
{
    rig_child_await_text(&child, "a line of text");
    rig_child_type(&child, "a line in answer");
    return NULL;
}

static void visit_s_server(const char *address, const struct cw_tls_options *tls)
{
    struct rig_visit visit = {
        .protocol = &cw_udp, .says = "a line of text\n", .hears = "a line in answer"};
    pthread_t typist;

    cr_assert_eq(pthread_create(&typist, NULL, answer, NULL), 0);
    rig_visit(&visit, address, tls);
    pthread_join(typist, NULL);
    expect_talk(&visit);
    cr_expect_str_eq(visit.said[0].version, "DTLSv1.2");
    rig_s_server_end(&child);
}

static void at(char address[32], uint16_t port)
{
    snprintf(address, 32, "127.0.0.1:%u", port);
}

Test(dtls_client, talks_with_s_server)
{
    char address[32];

    need_openssl();
    at(address, s_server(NULL));
    visit_s_server(address, trust_us());
}

Test(dtls_client, shows_s_server_its_certificate)
{
    struct cw_tls_options mine = *trust_us();
    char address[32];

    need_openssl();
    mine.cert = pki("client.pem");
    mine.key = pki("client.key");
    at(address,
       s_server(RIG_WORDS("-Verify", "1", "-CAfile", pki("ca.pem"), "-verify_return_error")));
    visit_s_server(address, &mine);
    rig_expect_text(&child, "CN = client");
}

static void visit_over(const struct rig_faults *up, const struct rig_faults *down)
{
    struct rig_relay *relay;
    char address[32];

    need_openssl();
    relay = rig_relay_start("127.0.0.1", s_server(NULL), 3);
    rig_relay_set(relay, RIG_UP, up);
    rig_relay_set(relay, RIG_DOWN, down);
    at(address, rig_relay_port(relay));
    visit_s_server(address, trust_us());
    rig_relay_end(relay);
}

Test(dtls_client, comes_through_to_s_server_when_a_datagram_of_each_flight_is_lost)
{
    static const struct rig_step up[] = {{.at = 1, .what = RIG_DROP}, {.at = 3, .what = RIG_DROP}};
    static const struct rig_step down[] = {{.at = 2, .what = RIG_DROP}};

    visit_over(&(struct rig_faults){.steps = up, .step_count = 2},
               &(struct rig_faults){.steps = down, .step_count = 1});
}

Test(dtls_client, comes_through_to_s_server_when_datagrams_come_twice_and_out_of_order)
{
    static const struct rig_step up[] = {{.at = 1, .what = RIG_DOUBLE, .amount = 2},
                                         {.at = 2, .what = RIG_DOUBLE, .amount = 1}};
    static const struct rig_step down[] = {{.at = 1, .what = RIG_DOUBLE, .amount = 1},
                                           {.at = 2, .what = RIG_HOLD, .amount = 1},
                                           {.at = 3, .what = RIG_DOUBLE, .amount = 1}};

    visit_over(&(struct rig_faults){.steps = up, .step_count = 2},
               &(struct rig_faults){.steps = down, .step_count = 3});
}

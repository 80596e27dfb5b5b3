/* Servers of ours as openssl s_client sees them: versions, certificates, resumption, ALPN, SNI, groups. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/secure.h"
#include "support/wait.h"

#include <causeway/line.h>
#include <causeway/log.h>

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

TestSuite(tls_openssl, .init = init, .fini = rig_expect_no_leak, .timeout = 60);

static struct rig_secure secure;
static struct rig_child child;

static void start(const struct cw_tls_options *options)
{
    rig_secure_start(&secure, &cw_line, options, NULL);
}

static void start_server(void)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");

    start(&options);
}

static void visit(const char *const *more)
{
    rig_s_client_visit(&child, &secure, more);
}

/* Stops the server and expects that so many connections ended in good order. */
static void end_in_good_order(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct cw_close_reason *reason = rig_secure_reason(&secure, i);

        cr_expect_eq(reason->code, CW_BY_PEER, "%s", reason->text);
    }
    rig_secure_end(&secure);
    cr_expect_eq(atomic_load(&secure.opened), count);
    cr_expect_eq(atomic_load(&secure.failed), 0, "%s", secure.reports[0].text);
}

/* What s_client -brief has printed. */
static void expect_brief(const struct rig_said *said)
{
    char line[128];
    char name[64];

    snprintf(line, sizeof line, "Protocol version: %s\n", said->version);
    rig_expect_text(&child, line);
    snprintf(line, sizeof line, "Ciphersuite: %s\n", rig_openssl_cipher(said, name, sizeof name));
    rig_expect_text(&child, line);
    rig_expect_text(&child, "Verification: OK");
}

/* ---- versions ---- */

static void expect_version(const char *option, const char *version)
{
    const struct rig_said *said;

    start_server();
    visit(RIG_WORDS("-brief", option));
    said = rig_secure_said(&secure, 0);
    expect_brief(said);
    rig_expect_text(&child, "Peer certificate: O = Causeway tests, CN = server\n");
    rig_expect_text(&child, "Server Temp Key: X25519, 253 bits\n");
    cr_expect_str_eq(said->version, version);
    cr_expect_str_eq(said->group, "x25519");
    cr_expect_str_eq(said->alpn, "");
    cr_expect(said->encrypted);
    cr_expect_not(said->info.resumed);
    cr_expect_not(said->info.has_peer_cert);
    cr_expect_not(said->has_cert);
    cr_expect_not(said->info.verified);
    cr_expect_str_neq(said->info.why_not, "");
    end_in_good_order(1);
}

Test(tls_openssl, tls_1_2_echoes_and_both_sides_say_the_same)
{
    expect_version("-tls1_2", "TLSv1.2");
}

Test(tls_openssl, tls_1_3_echoes_and_both_sides_say_the_same)
{
    if (!rig_has_tls_1_3()) {
        cr_skip_test("this library has no TLS 1.3");
    }
    expect_version("-tls1_3", "TLSv1.3");
}

Test(tls_openssl, the_newest_version_of_both_is_chosen)
{
    start_server();
    visit(RIG_WORDS("-brief"));
    cr_expect_str_eq(rig_secure_said(&secure, 0)->version,
                     rig_has_tls_1_3() ? "TLSv1.3" : "TLSv1.2");
    end_in_good_order(1);
}

/* Whoever knows nothing of 1.3 finds no cipher suite in such a hello. */
Test(tls_openssl, a_most_of_1_2_keeps_1_3_away)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");

    options.max_version = CW_TLS_1_2;
    start(&options);
    visit(RIG_WORDS("-brief"));
    cr_expect_str_eq(rig_secure_said(&secure, 0)->version, "TLSv1.2");
    rig_s_client(&child, &secure, RIG_WORDS("-tls1_3"));
    cr_expect_neq(rig_child_join(&child), 0);
    rig_expect_text(&child, "SSL alert number 40");
    cr_expect_eq(rig_secure_report(&secure, 0)->tls_alert, 40);
    cr_expect_eq(rig_secure_report(&secure, 0)->code, CW_ETLS);
    rig_secure_end(&secure);
}

Test(tls_openssl, a_least_of_1_3_keeps_1_2_away)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");

    if (!rig_has_tls_1_3()) {
        cr_skip_test("this library has no TLS 1.3");
    }
    options.min_version = CW_TLS_1_3;
    start(&options);
    visit(RIG_WORDS("-brief"));
    cr_expect_str_eq(rig_secure_said(&secure, 0)->version, "TLSv1.3");
    rig_s_client(&child, &secure, RIG_WORDS("-tls1_2"));
    cr_expect_neq(rig_child_join(&child), 0);
    rig_expect_text(&child, "SSL alert number 70");
    cr_expect_eq(rig_secure_report(&secure, 0)->tls_alert, 70);
    rig_secure_end(&secure);
}

/* ---- ends ---- */

Test(tls_openssl, an_end_of_ours_is_said_to_the_peer)
{
    start_server();
    rig_s_client(&child, &secure, NULL);
    rig_child_type(&child, "bye");
    rig_child_await_text(&child, "closed");
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
    cr_expect_null(strstr(child.text, "unexpected eof"), "%s", child.text);
    cr_expect_eq(rig_secure_reason(&secure, 0)->code, CW_BY_APP);
    rig_secure_end(&secure);
}

Test(tls_openssl, renegotiation_is_refused)
{
    start_server();
    rig_s_client(&child, &secure, RIG_WORDS("-tls1_2"));
    rig_child_type(&child, "a line of text");
    rig_child_await_text(&child, "a line of text");
    rig_child_type(&child, "R");
    rig_child_await_text(&child, "RENEGOTIATING");
    rig_child_await_text(&child, "no renegotiation");
    rig_child_join(&child);
    rig_secure_reason(&secure, 0);
    rig_secure_end(&secure);
}

/* ---- certificates of clients ---- */

static void ask_openssl(const char *what, const char *name, char *answer, size_t cap)
{
    struct rig_child other;
    const char *at;

    cr_assert_eq(rig_run_words(&other, RIG_WORDS("openssl", "x509", "-in", pki(name), "-noout",
                                                 "-sha256", what)),
                 0, "%s", other.text);
    at = strchr(other.text, '=');
    cr_assert_not_null(at);
    snprintf(answer, cap, "%s", at + 1);
    answer[strcspn(answer, "\n")] = '\0';
}

/* Hexadecimal without colons, in lower case. */
static void plain_hex(char *text)
{
    char *to = text;

    for (const char *at = text; *at; at++) {
        if (*at != ':') {
            *to++ = (char)(*at >= 'A' && *at <= 'F' ? *at + 32 : *at);
        }
    }
    *to = '\0';
}

static void expect_client_certificate(const struct rig_said *said)
{
    char answer[128];

    cr_expect(said->info.has_peer_cert);
    cr_expect(said->info.verified);
    cr_expect_str_eq(said->info.why_not, "");
    cr_assert(said->has_cert);
    cr_expect_str_eq(said->cert.subject, "O=Causeway tests, CN=client");
    cr_expect_str_eq(said->cert.issuer, "O=Causeway tests, CN=ca");
    cr_expect_str_eq(said->cert.names, "localhost, 127.0.0.1, ::1");
    cr_expect_eq(said->cert.not_before, 1704067200);
    cr_expect_eq(said->cert.not_after, 2493072000);
    ask_openssl("-fingerprint", "client.pem", answer, sizeof answer);
    plain_hex(answer);
    cr_expect_str_eq(said->cert.fingerprint, answer);
    ask_openssl("-serial", "client.pem", answer, sizeof answer);
    plain_hex(answer);
    cr_expect_str_eq(said->cert.serial, answer);
}

static void expect_certificate_of(const char *version)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");

    options.ca = pki("ca.pem");
    options.client_cert = CW_CLIENT_CERT_REQUIRE;
    start(&options);
    visit(RIG_WORDS("-brief", version, "-cert", pki("client.pem"), "-key", pki("client.key")));
    expect_brief(rig_secure_said(&secure, 0));
    expect_client_certificate(rig_secure_said(&secure, 0));
    end_in_good_order(1);
}

Test(tls_openssl, a_clients_certificate_is_told_as_it_is)
{
    expect_certificate_of("-tls1_2");
}

Test(tls_openssl, a_clients_certificate_is_told_as_it_is_under_1_3)
{
    if (!rig_has_tls_1_3()) {
        cr_skip_test("this library has no TLS 1.3");
    }
    expect_certificate_of("-tls1_3");
}

Test(tls_openssl, a_certificate_that_nobody_asked_for_is_not_shown)
{
    start_server();
    visit(RIG_WORDS("-brief", "-cert", pki("client.pem"), "-key", pki("client.key")));
    cr_expect_not(rig_secure_said(&secure, 0)->info.has_peer_cert);
    end_in_good_order(1);
}

Test(tls_openssl, a_chain_is_sent_whole)
{
    struct cw_tls_options options = rig_identity("chain.pem", "chain.key");

    start(&options);
    visit(RIG_WORDS("-brief"));
    rig_expect_text(&child, "CN = chain\n");
    rig_expect_text(&child, "Verification: OK");
    end_in_good_order(1);
}

/* ---- resumption ---- */

static char session_file[64];

static void make_session_file(void)
{
    int fd;

    snprintf(session_file, sizeof session_file, "/tmp/cw-session-XXXXXX");
    fd = mkstemp(session_file);
    cr_assert_geq(fd, 0);
    close(fd);
}

/* Two visits, the second with the session of the first. */
static void visit_twice(const char *version, const char *ticket)
{
    make_session_file();
    visit(RIG_WORDS("-sess_out", session_file, version, ticket));
    rig_expect_text(&child, "\nNew, TLS");
    cr_expect_not(rig_secure_said(&secure, 0)->info.resumed);
    visit(RIG_WORDS("-sess_in", session_file, version, ticket));
    unlink(session_file);
}

static void expect_resumed(const char *version, const char *ticket)
{
    struct cw_server_stats stats;

    visit_twice(version, ticket);
    rig_expect_text(&child, "\nReused, TLS");
    cr_expect(rig_secure_said(&secure, 1)->info.resumed);
    cr_expect_str_eq(rig_secure_said(&secure, 1)->cipher, rig_secure_said(&secure, 0)->cipher);
    cw_server_stats(rig_host_server(secure.host), &stats);
    cr_expect_eq(stats.handshakes_full, 1);
    cr_expect_eq(stats.handshakes_resumed, 1);
    cr_expect_eq(stats.handshakes_failed, 0);
    end_in_good_order(2);
}

static void expect_anew(const char *version, const char *ticket)
{
    visit_twice(version, ticket);
    rig_expect_text(&child, "\nNew, TLS");
    cr_expect_not(rig_secure_said(&secure, 1)->info.resumed);
    end_in_good_order(2);
}

Test(tls_openssl, a_ticket_brings_a_peer_back)
{
    start_server();
    expect_resumed("-tls1_2", NULL);
}

Test(tls_openssl, a_ticket_brings_a_peer_back_under_1_3)
{
    if (!rig_has_tls_1_3()) {
        cr_skip_test("this library has no TLS 1.3");
    }
    start_server();
    expect_resumed("-tls1_3", NULL);
    cr_expect_str_eq(secure.said[1].group, "x25519");
}

Test(tls_openssl, without_tickets_of_the_peer_it_is_new)
{
    start_server();
    expect_anew("-tls1_2", "-no_ticket");
}

Test(tls_openssl, the_session_cache_brings_a_peer_back_without_tickets)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");

    options.resumption = CW_TLS_SESSION_CACHE;
    start(&options);
    expect_resumed("-tls1_2", "-no_ticket");
}

Test(tls_openssl, without_resumption_it_is_new)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");

    options.resumption = CW_TLS_NO_RESUMPTION;
    start(&options);
    expect_anew("-tls1_2", NULL);
}

Test(tls_openssl, without_resumption_it_is_new_under_1_3)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");

    if (!rig_has_tls_1_3()) {
        cr_skip_test("this library has no TLS 1.3");
    }
    options.resumption = CW_TLS_NO_RESUMPTION;
    start(&options);
    visit(RIG_WORDS("-tls1_3"));
    cr_expect_null(strstr(child.text, "New Session Ticket arrived"), "%s", child.text);
    end_in_good_order(1);
}

Test(tls_openssl, a_peer_that_reconnects_five_times_is_resumed_five_times)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");
    char command[512];

    start(&options);
    snprintf(command, sizeof command,
             "openssl s_client -connect %s -CAfile %s -tls1_2 -reconnect </dev/null 2>&1 "
             "| grep -E '^(New|Reused), '",
             secure.address, pki("ca.pem"));
    cr_expect_eq(rig_run_words(&child, RIG_WORDS("sh", "-c", command)), 0, "%s", child.text);
    cr_expect_eq(strncmp(child.text, "New, TLSv1.2", 12), 0, "%s", child.text);
    for (unsigned i = 0; i < 6; i++) {
        cr_expect_eq(rig_secure_said(&secure, i)->info.resumed, i > 0, "%u: %s", i, child.text);
    }
    rig_await(atomic_load(&secure.closed) == 6);
    rig_secure_end(&secure);
}

/* ---- ALPN ---- */

static void start_with_alpn(void)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");

    options.alpn = "causeway, http/1.1";
    start(&options);
}

Test(tls_openssl, alpn_is_chosen_by_the_servers_preference)
{
    start_with_alpn();
    visit(RIG_WORDS("-alpn", "http/1.1,causeway"));
    rig_expect_text(&child, "ALPN protocol: causeway\n");
    cr_expect_str_eq(rig_secure_said(&secure, 0)->alpn, "causeway");
    visit(RIG_WORDS("-alpn", "other,http/1.1"));
    rig_expect_text(&child, "ALPN protocol: http/1.1\n");
    cr_expect_str_eq(rig_secure_said(&secure, 1)->alpn, "http/1.1");
    visit(NULL);
    rig_expect_text(&child, "No ALPN negotiated\n");
    cr_expect_str_eq(rig_secure_said(&secure, 2)->alpn, "");
    end_in_good_order(3);
}

Test(tls_openssl, alpn_without_a_common_protocol_is_refused)
{
    const struct cw_error_report *report;

    start_with_alpn();
    rig_s_client(&child, &secure, RIG_WORDS("-alpn", "other"));
    cr_expect_neq(rig_child_join(&child), 0);
    rig_expect_text(&child, "SSL alert number 120");
    report = rig_secure_report(&secure, 0);
    cr_expect_eq(report->code, CW_ETLS);
    cr_expect_eq(report->tls_alert, 120);
    cr_expect_not_null(strstr(report->text, "ALPN"), "%s", report->text);
    rig_secure_end(&secure);
}

/* ---- SNI ---- */

Test(tls_openssl, the_name_that_is_asked_for_chooses_the_certificate)
{
    static const char *const cases[][2] = {{"alt.example", "other"},
                                           {"ALT.Example", "other"},
                                           {"one.wild.example", "other"},
                                           {"two.one.wild.example", "server"},
                                           {"wild.example", "server"},
                                           {"picked.example", "third"},
                                           {"any.picked.example", "third"},
                                           {"third.example", "server"},
                                           {"localhost", "server"},
                                           {"nobody.invalid", "server"},
                                           {"picked.example.invalid", "server"}};
    const struct cw_tls_certificate more[] = {{.cert = pki("other.pem"), .key = pki("other.key")},
                                              {.cert = pki("third.pem"),
                                               .key = pki("third.key"),
                                               .names = "picked.example, *.picked.example"}};
    struct cw_tls_options options = rig_identity("server.pem", "server.key");
    char line[64];

    options.certificates = more;
    options.certificate_count = 2;
    start(&options);
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(rig_run_words(&child, RIG_WORDS("openssl", "s_client", "-brief", "-connect",
                                                     secure.address, "-servername", cases[i][0],
                                                     "-CAfile", pki("ca.pem"))),
                     0, "%s", child.text);
        snprintf(line, sizeof line, "CN = %s\n", cases[i][1]);
        cr_expect_not_null(strstr(child.text, line), "%s: %s", cases[i][0], child.text);
        cr_expect_eq(strcasecmp(rig_secure_said(&secure, i)->server_name, cases[i][0]), 0, "%s",
                     secure.said[i].server_name);
    }
    visit(RIG_WORDS("-brief", "-noservername"));
    rig_expect_text(&child, "CN = server\n");
    cr_expect_str_eq(secure.said[sizeof cases / sizeof cases[0]].server_name, "");
    rig_secure_end(&secure);
}

/* ---- groups ---- */

/* The RSA certificate, as a curve of ECDSA has to be among the groups of the peer. */
static void expect_group(const char *groups, const char *wanted, const char *group, const char *key)
{
    static const char *const versions[] = {"-tls1_2", "-tls1_3"};
    struct cw_tls_options options = rig_identity("server_rsa.pem", "server_rsa.key");

    options.groups = groups;
    start(&options);
    for (unsigned i = 0; i < (rig_has_tls_1_3() ? 2 : 1); i++) {
        visit(RIG_WORDS("-brief", versions[i], "-groups", wanted));
        cr_expect_not_null(strstr(child.text, key), "%s %s: %s", versions[i], wanted, child.text);
        cr_expect_str_eq(rig_secure_said(&secure, i)->group, group);
        expect_brief(&secure.said[i]);
    }
    end_in_good_order(rig_has_tls_1_3() ? 2 : 1);
}

Test(tls_openssl, groups_are_spoken_as_configured)
{
    expect_group(NULL, "X25519", "x25519", "Server Temp Key: X25519, 253 bits\n");
    expect_group(NULL, "P-256", "secp256r1", "Server Temp Key: ECDH, prime256v1, 256 bits\n");
    expect_group(NULL, "P-384", "secp384r1", "Server Temp Key: ECDH, secp384r1, 384 bits\n");
    expect_group("secp521r1", "P-521:X25519", "secp521r1",
                 "Server Temp Key: ECDH, secp521r1, 521 bits\n");
    expect_group("secp384r1, x25519", "P-384:X25519", "secp384r1",
                 "Server Temp Key: ECDH, secp384r1, 384 bits\n");
}

Test(tls_openssl, a_group_that_is_not_configured_is_refused)
{
    static const char *const versions[] = {"-tls1_2", "-tls1_3"};
    struct cw_tls_options options = rig_identity("server_rsa.pem", "server_rsa.key");

    start(&options);
    for (unsigned i = 0; i < (rig_has_tls_1_3() ? 2 : 1); i++) {
        rig_s_client(&child, &secure, RIG_WORDS(versions[i], "-groups", "P-521"));
        cr_expect_neq(rig_child_join(&child), 0);
        rig_expect_text(&child, "SSL alert number 40");
        cr_expect_eq(rig_secure_report(&secure, i)->code, CW_ETLS);
        cr_expect_eq(secure.reports[i].tls_alert, 40);
    }
    rig_secure_end(&secure);
}

/* ---- ciphers ---- */

Test(tls_openssl, ciphers_without_forward_secrecy_or_authenticated_encryption_are_refused)
{
    static const char *const weak[] = {"AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA",
                                       "ECDHE-RSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256",
                                       "AES256-SHA"};
    struct cw_tls_options options = rig_identity("server_rsa.pem", "server_rsa.key");

    start(&options);
    for (unsigned i = 0; i < sizeof weak / sizeof weak[0]; i++) {
        rig_s_client(&child, &secure, RIG_WORDS("-tls1_2", "-cipher", weak[i]));
        cr_expect_neq(rig_child_join(&child), 0);
        rig_expect_text(&child, "SSL alert number 40");
        cr_expect_eq(rig_secure_report(&secure, i)->tls_alert, 40);
        cr_expect_not_null(strstr(secure.reports[i].text, "cipher"), "%s", secure.reports[i].text);
    }
    rig_secure_end(&secure);
}

Test(tls_openssl, ciphers_are_spoken_as_configured)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");

    options.ciphers = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";
    start(&options);
    visit(RIG_WORDS("-brief", "-tls1_2"));
    expect_brief(rig_secure_said(&secure, 0));
    cr_expect_str_eq(secure.said[0].cipher, options.ciphers);
    end_in_good_order(1);
}

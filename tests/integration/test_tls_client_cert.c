/* Certificates of clients where they are asked for and not required, where bad ones are let in, and where a peer comes
 * back: what was never verified is never called so. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/secure.h"
#include "support/wait.h"

#include <causeway/error.h>
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

TestSuite(tls_client_cert, .init = init, .fini = rig_expect_no_leak, .timeout = 60);

static const char *const versions[] = {"-tls1_2", "-tls1_3"};
static struct rig_secure secure;
static struct rig_child child;

static unsigned version_count(void)
{
    return rig_has_tls_1_3() ? 2 : 1;
}

static struct cw_tls_options asking(enum cw_client_cert how, bool accept_unauthorized)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");

    options.ca = pki("ca.pem");
    options.client_cert = how;
    options.accept_unauthorized = accept_unauthorized;
    return options;
}

static void start(enum cw_client_cert how, bool accept_unauthorized)
{
    struct cw_tls_options options = asking(how, accept_unauthorized);

    rig_secure_start(&secure, &cw_line, &options, NULL);
}

/* As `name`, or without a certificate; `how` and `file`: -sess_out or -sess_in and its file, or NULL. */
static void come(const char *version, const char *name, const char *how, const char *file)
{
    const char *words[8] = {version};
    char cert[64];
    char key[64];
    size_t n = 1;

    if (how) {
        words[n++] = how;
        words[n++] = file;
    }
    if (name) {
        snprintf(cert, sizeof cert, "%s.pem", name);
        snprintf(key, sizeof key, "%s.key", name);
        words[n++] = "-cert";
        words[n++] = pki(cert);
        words[n++] = "-key";
        words[n++] = pki(key);
    }
    rig_s_client(&child, &secure, words);
}

static void expect_unverified(const struct rig_said *said, const char *subject, const char *why)
{
    cr_expect_not(said->info.verified, "%s", subject);
    cr_expect_eq(said->info.has_peer_cert, *subject != '\0');
    cr_expect_eq(said->has_cert, *subject != '\0');
    cr_expect_str_eq(said->cert.subject, subject);
    cr_expect_not_null(strstr(said->info.why_not, why), "no \"%s\" in: %s", why, said->info.why_not);
}

static void expect_refused(unsigned n, int alert, const char *words)
{
    char text[64];

    snprintf(text, sizeof text, "SSL alert number %d", alert);
    rig_child_await_text(&child, text);
    rig_child_join(&child);
    cr_expect_eq(rig_secure_report(&secure, n)->code, CW_ECERT);
    cr_expect_eq(secure.reports[n].tls_alert, alert, "%d", secure.reports[n].tls_alert);
    cr_expect_not_null(strstr(secure.reports[n].text, words), "%s", secure.reports[n].text);
}

/* ---- asked for ---- */

Test(tls_client_cert, a_requested_certificate_may_be_missing_or_good)
{
    start(CW_CLIENT_CERT_REQUEST, false);
    for (unsigned i = 0; i < version_count(); i++) {
        come(versions[i], NULL, NULL, NULL);
        rig_s_client_talk(&child);
        expect_unverified(rig_secure_said(&secure, 2 * i), "", "no certificate");
        come(versions[i], "client", NULL, NULL);
        rig_s_client_talk(&child);
        cr_expect(rig_secure_said(&secure, 2 * i + 1)->info.verified);
        cr_expect_str_eq(secure.said[2 * i + 1].info.why_not, "");
        cr_expect_str_eq(secure.said[2 * i + 1].cert.subject, "O=Causeway tests, CN=client");
    }
    rig_secure_end(&secure);
    cr_expect_eq(atomic_load(&secure.failed), 0, "%s", secure.reports[0].text);
}

Test(tls_client_cert, a_requested_certificate_that_is_bad_is_refused)
{
    start(CW_CLIENT_CERT_REQUEST, false);
    for (unsigned i = 0; i < version_count(); i++) {
        come(versions[i], "client_rogue", NULL, NULL);
        expect_refused(4 * i, 48, "rogue_ca");
        come(versions[i], "client_expired", NULL, NULL);
        expect_refused(4 * i + 1, 45, "expired");
        come(versions[i], "client_wrong_purpose", NULL, NULL);
        expect_refused(4 * i + 2, 43, "another purpose");
        come(versions[i], "client_self_signed", NULL, NULL);
        expect_refused(4 * i + 3, 48, "self-signed");
    }
    rig_secure_end(&secure);
    cr_expect_eq(atomic_load(&secure.opened), 0);
}

/* ---- let in ---- */

static void expect_let_in(const char *name, unsigned n, unsigned version, const char *why)
{
    char subject[64];

    snprintf(subject, sizeof subject, "O=Causeway tests, CN=%s", name);
    come(versions[version], name, NULL, NULL);
    rig_s_client_talk(&child);
    expect_unverified(rig_secure_said(&secure, n), subject, why);
}

static void expect_bad_ones_let_in(enum cw_client_cert how)
{
    unsigned n = 0;

    start(how, true);
    for (unsigned i = 0; i < version_count(); i++) {
        expect_let_in("client_rogue", n++, i, "rogue_ca");
        expect_let_in("client_self_signed", n++, i, "self-signed");
        expect_let_in("client_expired", n++, i, "has expired");
        expect_let_in("client_wrong_purpose", n++, i, "another purpose");
        come(versions[i], "client", NULL, NULL);
        rig_s_client_talk(&child);
        cr_expect(rig_secure_said(&secure, n++)->info.verified);
    }
}

Test(tls_client_cert,
     unauthorized_peers_are_let_in_and_the_connection_says_why_they_are_not_verified)
{
    expect_bad_ones_let_in(CW_CLIENT_CERT_REQUEST);
    rig_secure_end(&secure);
    cr_expect_eq(atomic_load(&secure.failed), 0, "%s", secure.reports[0].text);
}

Test(tls_client_cert, where_a_certificate_is_required_a_bad_one_will_do_and_none_will_not)
{
    static const int alerts[] = {40, 41}; /* as mbedTLS 3.6 has it */

    expect_bad_ones_let_in(CW_CLIENT_CERT_REQUIRE);
    for (unsigned i = 0; i < version_count(); i++) {
        come(versions[i], NULL, NULL, NULL);
        expect_refused(i, alerts[i], "no certificate");
    }
    rig_secure_end(&secure);
}

/* ---- back again ---- */

static char session[64];

static void make_session_file(void)
{
    int fd;

    snprintf(session, sizeof session, "/tmp/cw-session-XXXXXX");
    fd = mkstemp(session);
    cr_assert_geq(fd, 0);
    close(fd);
}

/* Comes as `first`, keeps the session, and comes back with it as `then`. */
static void come_back(const char *version, const char *first, const char *then)
{
    make_session_file();
    come(version, first, "-sess_out", session);
    rig_s_client_talk(&child);
    come(version, then, "-sess_in", session);
    rig_s_client_talk(&child);
    unlink(session);
}

static void start_for(enum cw_client_cert how, bool accept_unauthorized,
                      enum cw_tls_resumption resumption)
{
    struct cw_tls_options options = asking(how, accept_unauthorized);

    options.resumption = resumption;
    rig_secure_start(&secure, &cw_line, &options, NULL);
}

static const enum cw_tls_resumption kinds[] = {CW_TLS_TICKETS, CW_TLS_SESSION_CACHE};

Test(tls_client_cert, a_verified_peer_that_comes_back_is_verified_still)
{
    for (size_t i = 0; i < 2; i++) {
        start_for(CW_CLIENT_CERT_REQUIRE, false, kinds[i]);
        come_back("-tls1_2", "client", NULL);
        cr_expect(rig_secure_said(&secure, 1)->info.resumed);
        cr_expect(secure.said[1].info.verified, "%s", secure.said[1].info.why_not);
        cr_expect_str_eq(secure.said[1].cert.subject, "O=Causeway tests, CN=client");
        rig_secure_end(&secure);
    }
}

Test(tls_client_cert, a_peer_without_a_certificate_that_comes_back_is_not_verified)
{
    for (size_t i = 0; i < 2; i++) {
        start_for(CW_CLIENT_CERT_REQUEST, false, kinds[i]);
        come_back("-tls1_2", NULL, NULL);
        expect_unverified(rig_secure_said(&secure, 1), "", "no certificate");
        rig_secure_end(&secure);
    }
}

Test(tls_client_cert,
     a_peer_that_was_let_in_with_a_bad_certificate_is_not_verified_when_it_comes_back)
{
    static const enum cw_client_cert how[] = {CW_CLIENT_CERT_REQUEST, CW_CLIENT_CERT_REQUIRE};

    for (size_t i = 0; i < 4; i++) {
        start_for(how[i / 2], true, kinds[i % 2]);
        come_back("-tls1_2", "client_rogue", "client_rogue");
        cr_expect_not(rig_secure_said(&secure, 1)->info.verified);
        cr_expect_str_neq(secure.said[1].info.why_not, "");
        cr_expect_str_eq(secure.said[1].cert.subject, "O=Causeway tests, CN=client_rogue");
        rig_secure_end(&secure);
    }
}

/* A ticket of TLS 1.3 holds no certificate, so there is none where one is asked for. */
Test(tls_client_cert, tls_1_3_gives_no_ticket_where_certificates_are_asked_for)
{
    static const enum cw_client_cert how[] = {CW_CLIENT_CERT_REQUEST, CW_CLIENT_CERT_REQUIRE};

    if (!rig_has_tls_1_3()) {
        cr_skip_test("this library has no TLS 1.3");
    }
    for (size_t i = 0; i < 4; i++) {
        start_for(how[i / 2], i % 2 == 1, CW_TLS_TICKETS);
        come("-tls1_3", "client", NULL, NULL);
        rig_s_client_talk(&child);
        cr_expect_null(strstr(child.text, "New Session Ticket arrived"), "%s", child.text);
        cr_expect(rig_secure_said(&secure, 0)->info.verified);
        rig_secure_end(&secure);
    }
}

Test(tls_client_cert, tls_1_3_gives_a_ticket_where_none_are_asked_for)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");

    if (!rig_has_tls_1_3()) {
        cr_skip_test("this library has no TLS 1.3");
    }
    rig_secure_start(&secure, &cw_line, &options, NULL);
    come("-tls1_3", NULL, NULL, NULL);
    rig_s_client_talk(&child);
    rig_expect_text(&child, "New Session Ticket arrived");
    rig_secure_end(&secure);
}

/* The session of a listener that asks nobody opens no door at one that does. */
static void expect_no_way_round(const char *version, int alert)
{
    struct cw_tls_options open = asking(CW_CLIENT_CERT_OFF, false);
    struct cw_tls_options strict = asking(CW_CLIENT_CERT_REQUIRE, false);

    open.ca = NULL;
    make_session_file();
    rig_secure_start_two(&secure, &cw_line, &open, &strict, NULL);
    come(version, NULL, "-sess_out", session);
    rig_s_client_talk(&child);
    rig_secure_choose(&secure, 1);
    come(version, NULL, "-sess_in", session);
    expect_refused(0, alert, "no certificate");
    come(version, "client", "-sess_in", session);
    rig_s_client_talk(&child);
    cr_expect_not(rig_secure_said(&secure, 1)->info.resumed);
    cr_expect(secure.said[1].info.verified);
    unlink(session);
    rig_secure_end(&secure);
}

Test(tls_client_cert, a_ticket_of_another_listener_does_not_stand_for_a_certificate)
{
    expect_no_way_round("-tls1_2", 40);
}

Test(tls_client_cert, a_ticket_of_another_listener_does_not_stand_for_a_certificate_under_1_3)
{
    if (!rig_has_tls_1_3()) {
        cr_skip_test("this library has no TLS 1.3");
    }
    expect_no_way_round("-tls1_3", 41);
}

/* ---- revoked meanwhile ---- */

static void copy_file(const char *from, const char *to)
{
    struct rig_child other;

    cr_assert_eq(rig_run_words(&other, RIG_WORDS("cp", from, to)), 0, "%s", other.text);
}

Test(tls_client_cert, who_is_revoked_by_a_reload_does_not_come_back_with_a_session)
{
    char list[] = "/tmp/cw-list-XXXXXX";
    int fd = mkstemp(list);

    cr_assert_geq(fd, 0);
    close(fd);
    for (unsigned i = 0; i < 2; i++) {
        struct cw_tls_options options = asking(CW_CLIENT_CERT_REQUIRE, false);

        options.crl = list;
        options.resumption = kinds[i];
        copy_file(pki("crl_empty.pem"), list);
        make_session_file();
        rig_secure_start(&secure, &cw_line, &options, NULL);
        come("-tls1_2", "client_revoked", "-sess_out", session);
        rig_s_client_talk(&child);
        copy_file(pki("crl.pem"), list);
        cr_assert_eq(cw_server_reload(rig_host_server(secure.host)), CW_OK);
        rig_await(atomic_load(&secure.reloaded) == 1);
        come("-tls1_2", "client_revoked", "-sess_in", session);
        expect_refused(0, 44, "revoked");
        unlink(session);
        rig_secure_end(&secure);
    }
    unlink(list);
}

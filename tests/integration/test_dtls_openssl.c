/* Servers of ours as openssl s_client -dtls1_2 sees them. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/secure.h"
#include "support/wait.h"

#include <causeway/log.h>
#include <causeway/udp.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct rig_secure secure;
static struct rig_child child;

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    if (!pki_made() || !rig_has_program("openssl")) {
        cr_skip_test("openssl is missing");
    }
}

TestSuite(dtls_openssl, .init = init, .fini = rig_expect_no_leak, .timeout = 120);

static void start(const struct cw_tls_options *options)
{
    rig_secure_start(&secure, &cw_udp, options, NULL);
}

static void start_server(void)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");

    start(&options);
}

static void end_in_good_order(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct cw_close_reason *reason = rig_secure_reason(&secure, i);

        cr_expect_eq(reason->code, CW_BY_PEER, "%s", reason->text);
    }
    rig_secure_end(&secure);
    cr_expect_eq(atomic_load(&secure.failed), 0, "%s", secure.reports[0].text);
}

Test(dtls_openssl, s_client_verifies_the_server_and_gets_its_echo)
{
    const struct rig_said *said;
    char line[128];
    char name[64];

    start_server();
    rig_s_client_visit(&child, &secure, RIG_WORDS("-dtls1_2", "-brief"));
    said = rig_secure_said(&secure, 0);
    cr_expect_str_eq(said->version, "DTLSv1.2");
    cr_expect_str_eq(said->group, "x25519");
    snprintf(line, sizeof line, "Ciphersuite: %s\n", rig_openssl_cipher(said, name, sizeof name));
    rig_expect_text(&child, line);
    rig_expect_text(&child, "Protocol version: DTLSv1.2");
    rig_expect_text(&child, "Verification: OK");
    end_in_good_order(1);
}

Test(dtls_openssl, a_group_that_both_know_is_agreed_on)
{
    struct cw_tls_options options = rig_identity("server_rsa.pem", "server_rsa.key");

    start(&options);
    rig_s_client_visit(&child, &secure, RIG_WORDS("-dtls1_2", "-brief", "-groups", "P-384"));
    cr_expect_str_eq(rig_secure_said(&secure, 0)->group, "secp384r1");
    end_in_good_order(1);
}

Test(dtls_openssl, the_name_that_is_asked_for_chooses_the_certificate)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");
    const struct cw_tls_certificate more = {.cert = pki("other.pem"), .key = pki("other.key")};

    options.certificates = &more;
    options.certificate_count = 1;
    start(&options);
    rig_s_client(&child, &secure,
                 RIG_WORDS("-dtls1_2", "-brief", "-servername", "alt.example", "-verify_hostname",
                           "alt.example"));
    rig_s_client_talk(&child);
    cr_expect_str_eq(rig_secure_said(&secure, 0)->server_name, "alt.example");
    rig_expect_text(&child, "CN = other");
    end_in_good_order(1);
}

Test(dtls_openssl, a_protocol_is_agreed_on_by_name)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");

    options.alpn = "coap, game";
    start(&options);
    rig_s_client_visit(&child, &secure, RIG_WORDS("-dtls1_2", "-alpn", "game"));
    cr_expect_str_eq(rig_secure_said(&secure, 0)->alpn, "game");
    rig_expect_text(&child, "ALPN protocol: game");
    end_in_good_order(1);
}

static void ask_for_certificates(void)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");

    options.client_cert = CW_CLIENT_CERT_REQUIRE;
    options.ca = pki("ca.pem");
    start(&options);
}

Test(dtls_openssl, a_clients_certificate_is_verified_and_told)
{
    const struct rig_said *said;

    ask_for_certificates();
    rig_s_client_visit(
        &child, &secure,
        RIG_WORDS("-dtls1_2", "-brief", "-cert", pki("client.pem"), "-key", pki("client.key")));
    said = rig_secure_said(&secure, 0);
    cr_expect(said->info.verified, "%s", said->info.why_not);
    cr_expect_str_eq(said->cert.subject, "O=Causeway tests, CN=client");
    end_in_good_order(1);
}

static void expect_refused(const char *const *words, int code, const char *text)
{
    const struct cw_error_report *report;

    rig_s_client(&child, &secure, words);
    report = rig_secure_report(&secure, 0);
    cr_expect_eq(report->code, code, "%s", report->text);
    cr_expect(strstr(report->text, text), "%s", report->text);
    cr_expect_neq(rig_child_join(&child), 0);
    cr_expect_eq(atomic_load(&secure.opened), 0);
    rig_secure_end(&secure);
}

Test(dtls_openssl, a_client_without_a_certificate_is_refused)
{
    ask_for_certificates();
    expect_refused(RIG_WORDS("-dtls1_2", "-brief"), CW_ECERT, "no certificate");
}

Test(dtls_openssl, a_client_that_does_not_trust_us_says_so)
{
    start_server();
    expect_refused(RIG_WORDS("-dtls1_2", "-brief", "-CAfile", pki("rogue_ca.pem")), CW_ETLS,
                   "the peer refused");
}

Test(dtls_openssl, version_1_0_is_refused_by_its_name)
{
    start_server();
    expect_refused(RIG_WORDS("-dtls1", "-brief", "-cipher", "ALL:@SECLEVEL=0"), CW_ETLS,
                   "no version of DTLS that is spoken here");
}

static void come_back(enum cw_tls_resumption kind)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");
    char path[] = "/tmp/causeway_dtls_session_XXXXXX";
    int fd = mkstemp(path);

    cr_assert_geq(fd, 0);
    close(fd);
    options.resumption = kind;
    start(&options);
    rig_s_client_visit(&child, &secure, RIG_WORDS("-dtls1_2", "-sess_out", path));
    rig_s_client_visit(&child, &secure, RIG_WORDS("-dtls1_2", "-sess_in", path));
    rig_expect_text(&child, "Reused");
    cr_expect_not(rig_secure_said(&secure, 0)->info.resumed);
    cr_expect(rig_secure_said(&secure, 1)->info.resumed);
    unlink(path);
    end_in_good_order(2);
}

Test(dtls_openssl, a_client_comes_back_by_its_ticket)
{
    come_back(CW_TLS_TICKETS);
}

Test(dtls_openssl, a_client_comes_back_by_the_session_cache)
{
    come_back(CW_TLS_SESSION_CACHE);
}

Test(dtls_openssl, a_long_certificate_chain_comes_in_many_small_datagrams)
{
    struct cw_tls_options options = rig_identity("chain.pem", "chain.key");

    options.mtu_bytes = 256;
    start(&options);
    rig_s_client_visit(&child, &secure, RIG_WORDS("-dtls1_2", "-brief", "-mtu", "300"));
    rig_expect_text(&child, "Verification: OK");
    end_in_good_order(1);
}

/* ---- certificates that change ---- */

static void copy(const char *from, const char *to)
{
    rig_check(rig_run_words(&child, RIG_WORDS("cp", pki(from), to)) == 0);
}

Test(dtls_openssl, new_peers_get_the_new_certificate_and_open_ones_stay)
{
    char folder[] = "/tmp/causeway_dtls_XXXXXX";
    char cert[64];
    char key[64];
    struct rig_child first;

    cr_assert(mkdtemp(folder));
    snprintf(cert, sizeof cert, "%s/cert.pem", folder);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    copy("server.pem", cert);
    copy("server.key", key);
    start(&(struct cw_tls_options){.cert = cert, .key = key});
    rig_s_client(&first, &secure, RIG_WORDS("-dtls1_2", "-brief"));
    rig_child_await_text(&first, "Verification: OK");
    copy("next.pem", cert);
    copy("next.key", key);
    cr_assert_eq(cw_server_reload(rig_host_server(secure.host)), CW_OK);
    rig_await(atomic_load(&secure.reloaded) == 1);
    rig_s_client_visit(&child, &secure, RIG_WORDS("-dtls1_2", "-brief"));
    rig_expect_text(&child, "CN = next");
    rig_s_client_talk(&first);
    rig_expect_text(&first, "CN = server");
    unlink(cert);
    unlink(key);
    rmdir(folder);
    end_in_good_order(2);
}

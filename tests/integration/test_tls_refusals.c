/* Certificates that are refused, each for its own reason, by a server of ours and by a client of ours. Both sides know
 * the reason, and everybody else is served meanwhile. */
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

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
}

TestSuite(tls_refusals, .init = init, .fini = rig_expect_no_leak, .timeout = 60);

static const char *const versions[] = {"-tls1_2", "-tls1_3"};

static unsigned version_count(void)
{
    return rig_has_tls_1_3() ? 2 : 1;
}

/* A refusal that is expected. */
struct refusal {
    const char *name;  /* of the certificate that is shown; NULL: none */
    const char *list;  /* of revocations; NULL: none */
    int alert;         /* … of TLS 1.2 */
    int alert_1_3;     /* 0: the same */
    const char *words; /* of our report */
};

static int alert_of(const struct refusal *refusal, unsigned version)
{
    return version == 1 && refusal->alert_1_3 != 0 ? refusal->alert_1_3 : refusal->alert;
}

static void await_alert(struct rig_child *child, int alert)
{
    char words[64];

    snprintf(words, sizeof words, "SSL alert number %d", alert);
    rig_child_await_text(child, words);
}

static void expect_report(const struct cw_error_report *report, int code, int alert,
                          const char *words)
{
    char text[CW_ADDRESS_TEXT_MAX];

    cr_expect_eq(report->code, code, "%s: %s", cw_error_name(report->code), report->text);
    cr_expect_eq(report->tls_alert, alert, "%d: %s", report->tls_alert, report->text);
    cr_expect_not_null(strstr(report->text, words), "no \"%s\" in: %s", words, report->text);
    cr_assert_not_null(report->address);
    cw_address_print(report->address, text);
    cr_expect_eq(strncmp(text, "127.0.0.1:", 10), 0, "%s", text);
}

/* ---- a server of ours ---- */

static struct rig_secure secure;
static struct rig_child bystander;

static void start(const char *list)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");

    options.ca = pki("ca.pem");
    options.crl = list ? pki(list) : NULL;
    options.client_cert = CW_CLIENT_CERT_REQUIRE;
    rig_secure_start(&secure, &cw_line, &options, NULL);
}

static void come_as(struct rig_child *child, const char *name, const char *version)
{
    static const char *const anything[] = {"-cipher", "DEFAULT:@SECLEVEL=0"};
    char cert[64];
    char key[64];

    if (!name) {
        rig_s_client(child, &secure, RIG_WORDS(version));
        return;
    }
    snprintf(cert, sizeof cert, "%s.pem", name);
    snprintf(key, sizeof key, "%s.key", name);
    rig_s_client(child, &secure,
                 RIG_WORDS(version, "-cert", pki(cert), "-key", pki(key), anything[0], anything[1]));
}

static void expect_bystander_served(void)
{
    rig_child_forget(&bystander);
    rig_child_type(&bystander, "still served");
    rig_child_await_text(&bystander, "still served");
}

static void expect_server_refuses(const struct refusal *refusal, unsigned n, unsigned version)
{
    struct rig_child child;
    int alert = alert_of(refusal, version);

    come_as(&child, refusal->name, versions[version]);
    await_alert(&child, alert);
    rig_child_join(&child);
    expect_report(rig_secure_report(&secure, n), CW_ECERT, alert, refusal->words);
    expect_bystander_served();
}

static void expect_all_refused(const char *list, const struct refusal *refusals, unsigned count)
{
    struct cw_server_stats stats;
    unsigned n = 0;

    start(list);
    come_as(&bystander, "client", "-tls1_2");
    for (unsigned i = 0; i < count; i++) {
        for (unsigned version = 0; version < version_count(); version++) {
            expect_server_refuses(&refusals[i], n++, version);
        }
    }
    rig_s_client_talk(&bystander);
    cw_server_stats(rig_host_server(secure.host), &stats);
    cr_expect_eq(stats.handshakes_failed, n);
    cr_expect_eq(stats.handshakes_full, 1);
    rig_secure_end(&secure);
    cr_expect_eq(atomic_load(&secure.opened), 1);
}

Test(tls_refusals, a_server_refuses_each_bad_certificate_with_its_reason)
{
    /* mbedTLS 3.6 says no_certificate under TLS 1.3, too, where RFC 8446 §4.4.2.4 has certificate_required (116). */
    static const struct refusal refusals[] = {
        {NULL, NULL, 40, 41, "no certificate"},
        {"client_rogue", NULL, 48, 0, "unknown CA (rogue_ca)"},
        {"client_self_signed", NULL, 48, 0, "self-signed"},
        {"client_expired", NULL, 45, 0, "has expired"},
        {"client_not_yet", NULL, 45, 0, "not valid yet"},
        {"client_wrong_purpose", NULL, 43, 0, "another purpose"},
        {"client_weak", NULL, 43, 0, "too weak"},
    };

    expect_all_refused(NULL, refusals, sizeof refusals / sizeof refusals[0]);
}

Test(tls_refusals, a_server_refuses_a_certificate_that_is_revoked)
{
    static const struct refusal refusals[] = {{"client_revoked", NULL, 44, 0, "revoked"}};

    expect_all_refused("crl.pem", refusals, 1);
}

Test(tls_refusals, a_server_with_an_old_list_of_revocations_refuses_everybody)
{
    static const struct refusal refusal = {"client", NULL, 46, 0, "revocation list has expired"};
    struct rig_child child;

    start("crl_old.pem");
    for (unsigned version = 0; version < version_count(); version++) {
        come_as(&child, "client", versions[version]);
        await_alert(&child, refusal.alert);
        rig_child_join(&child);
        expect_report(rig_secure_report(&secure, version), CW_ECERT, refusal.alert, refusal.words);
    }
    rig_secure_end(&secure);
}

/* ---- a server of ours that its peers refuse ---- */

static void expect_refused_by_peer(const char *name, int alert, const char *alert_name)
{
    char cert[64];
    char key[64];
    struct cw_tls_options options;
    struct rig_child child;

    snprintf(cert, sizeof cert, "%s.pem", name);
    snprintf(key, sizeof key, "%s.key", name);
    options = rig_identity(cert, key);
    rig_secure_start(&secure, &cw_line, &options, NULL);
    for (unsigned version = 0; version < version_count(); version++) {
        rig_s_client(&child, &secure, RIG_WORDS(versions[version]));
        cr_expect_neq(rig_child_join(&child), 0);
        expect_report(rig_secure_report(&secure, version), CW_ETLS, alert, alert_name);
    }
    rig_secure_end(&secure);
    cr_expect_eq(atomic_load(&secure.opened), 0);
}

Test(tls_refusals, a_server_that_its_peer_refuses_says_what_the_peer_said)
{
    expect_refused_by_peer("expired", 45, "certificate_expired");
    expect_refused_by_peer("unknown_ca", 48, "unknown_ca");
    expect_refused_by_peer("wrong_name", 42, "bad_certificate");
}

/* ---- a client of ours ---- */

static struct rig_child server;
static char address[64];
static struct rig_visit visit;

static void serve(const char *name, const char *const *more)
{
    uint16_t port = rig_s_server(&server, name, more);

    snprintf(address, sizeof address, "127.0.0.1:%u", port);
}

static void expect_client_refuses(const struct refusal *refusal)
{
    struct cw_tls_options options = {.ca = pki("ca.pem"), .server_name = "localhost"};

    options.crl = refusal->list ? pki(refusal->list) : NULL;
    for (unsigned version = 0; version < version_count(); version++) {
        memset(&visit, 0, sizeof visit);
        serve(refusal->name, RIG_WORDS(versions[version], "-cipher", "DEFAULT:@SECLEVEL=0"));
        rig_visit(&visit, address, &options);
        cr_expect_eq(visit.opened, 0, "%s", refusal->name);
        cr_expect_eq(visit.failed, 1, "%s", refusal->name);
        await_alert(&server, refusal->alert);
        expect_report(&visit.report, CW_ECERT, refusal->alert, refusal->words);
        rig_s_server_end(&server);
    }
}

Test(tls_refusals, a_client_refuses_each_bad_certificate_with_its_reason)
{
    static const struct refusal refusals[] = {
        {"wrong_name", NULL, 42, 0, "for other.invalid, not for localhost"},
        {"expired", NULL, 45, 0, "has expired"},
        {"not_yet", NULL, 45, 0, "not valid yet"},
        {"self_signed", NULL, 48, 0, "self-signed"},
        {"unknown_ca", NULL, 48, 0, "unknown CA (rogue_ca)"},
        {"revoked", "crl.pem", 44, 0, "revoked"},
        {"server", "crl_old.pem", 46, 0, "revocation list has expired"},
        {"server_wrong_purpose", NULL, 43, 0, "another purpose"},
        {"weak", NULL, 43, 0, "too weak"},
    };

    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        expect_client_refuses(&refusals[i]);
    }
}

Test(tls_refusals, a_client_with_a_list_of_revocations_accepts_who_is_not_in_it)
{
    struct cw_tls_options options = {.ca = pki("ca.pem"), .crl = pki("crl.pem")};

    serve("server", NULL);
    rig_visit(&visit, address, &options);
    cr_expect_eq(visit.failed, 0, "%s", visit.report.text);
    cr_expect(visit.said[0].info.verified);
    rig_s_server_end(&server);
}

/* ---- a client of ours that its peer refuses ---- */

/* Under TLS 1.3 a client learns of it behind its own handshake. */
static void expect_client_refused(const struct refusal *refusal)
{
    struct cw_tls_options options = {.ca = pki("ca.pem")};
    char cert[64];
    char key[64];

    if (refusal->name) {
        snprintf(cert, sizeof cert, "%s.pem", refusal->name);
        snprintf(key, sizeof key, "%s.key", refusal->name);
        options.cert = pki(cert);
        options.key = pki(key);
    }
    for (unsigned version = 0; version < version_count(); version++) {
        memset(&visit, 0, sizeof visit);
        serve("server", RIG_WORDS(versions[version], "-Verify", "1", "-CAfile", pki("ca.pem"),
                                  "-verify_return_error", "-CRL", pki("crl.pem"), "-crl_check"));
        rig_visit(&visit, address, &options);
        cr_expect_eq(visit.opened, version, "%s", visit.report.text);
        cr_expect_eq(visit.closed, version);
        cr_expect_eq(visit.failed, 1);
        cr_expect(version == 0 || visit.reason.code == CW_ETLS, "%s", visit.reason.text);
        expect_report(&visit.report, CW_ETLS, alert_of(refusal, version), refusal->words);
        rig_s_server_end(&server);
    }
}

Test(tls_refusals, a_client_that_its_peer_refuses_says_what_the_peer_said)
{
    static const struct refusal refusals[] = {
        {"client_rogue", NULL, 48, 0, "unknown_ca"},
        {"client_revoked", NULL, 44, 0, "certificate_revoked"},
        {"client_expired", NULL, 45, 0, "certificate_expired"},
        {"client_wrong_purpose", NULL, 43, 0, "unsupported_certificate"},
    };

    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        expect_client_refused(&refusals[i]);
    }
}

Test(tls_refusals, a_client_without_the_certificate_that_is_required_is_told_so)
{
    static const struct refusal refusal = {NULL, NULL, 40, 116, "the peer refused"};

    expect_client_refused(&refusal);
}

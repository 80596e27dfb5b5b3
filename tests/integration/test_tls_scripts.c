/* Servers of ours as Python's ssl and Node's tls see them. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/secure.h"
#include "support/wait.h"

#include <causeway/log.h>
#include <causeway/tcp.h>

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

TestSuite(tls_scripts, .init = init, .fini = rig_expect_no_leak, .timeout = 60);

static struct rig_secure secure;
static struct rig_child child;

struct language {
    const char *program;
    const char *script;
    const char *yes;
    const char *no;
};

static const struct language python = {"python3", CW_SOURCE_DIR "/tests/support/tls_peer.py",
                                       "True", "False"};
static const struct language node = {"node", CW_SOURCE_DIR "/tests/support/tls_peer.js", "true",
                                     "false"};

static void need(const struct language *language)
{
    if (!rig_has_program(language->program)) {
        cr_skip_test("%s is not installed", language->program);
    }
}

static void start(enum cw_tls_version most, bool asks)
{
    struct cw_tls_options options = rig_identity("server.pem", "server.key");

    options.alpn = "http/1.1, causeway";
    options.max_version = most;
    options.ca = asks ? pki("ca.pem") : NULL;
    options.client_cert = asks ? CW_CLIENT_CERT_REQUIRE : CW_CLIENT_CERT_OFF;
    rig_secure_start(&secure, &cw_tcp, &options, NULL);
}

/* With the certificate of `name`, or none. */
static void run(const struct language *language, const char *mode, const char *name)
{
    char port[8];
    char cert[64];
    char key[64];
    int status;

    snprintf(port, sizeof port, "%u", secure.port);
    snprintf(cert, sizeof cert, "%s.pem", name ? name : "");
    snprintf(key, sizeof key, "%s.key", name ? name : "");
    status = rig_run_words(&child,
                           RIG_WORDS(language->program, language->script, mode, port, pki("ca.pem"),
                                     name ? pki(cert) : NULL, name ? pki(key) : NULL));
    cr_assert_eq(status, 0, "%d: %s", status, child.text);
}

static void expect_line(const char *name, const char *value)
{
    char line[256];

    snprintf(line, sizeof line, "%s=%s\n", name, value);
    rig_expect_text(&child, line);
}

static void expect_fingerprint(void)
{
    char text[80] = "";
    FILE *file = fopen(pki("server.sha256"), "re");

    cr_assert_not_null(file);
    cr_assert_not_null(fgets(text, sizeof text, file));
    fclose(file);
    text[strcspn(text, "\n")] = '\0';
    expect_line("fingerprint", text);
}

static void end_in_good_order(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        cr_expect_eq(rig_secure_reason(&secure, i)->code, CW_BY_PEER, "%s", secure.reasons[i].text);
    }
    rig_secure_end(&secure);
    cr_expect_eq(atomic_load(&secure.failed), 0, "%s", secure.reports[0].text);
}

/* ---- echo ---- */

static void expect_echo(const struct language *language, enum cw_tls_version most,
                        const char *certificate)
{
    const struct rig_said *said;
    char cipher[64];

    need(language);
    start(most, certificate != NULL);
    run(language, "echo", certificate);
    said = rig_secure_said(&secure, 0);
    expect_line("version", said->version);
    expect_line("cipher", language == &python ? rig_openssl_cipher(said, cipher, sizeof cipher)
                                              : said->cipher);
    expect_line("alpn", "causeway");
    expect_line("reused", language->no);
    expect_line("cn", "server");
    expect_line("echoed", "1048576");
    expect_line("ended", "in good order");
    expect_fingerprint();
    cr_expect_str_eq(said->alpn, "causeway");
    cr_expect_str_eq(said->server_name, "localhost");
    cr_expect_str_eq(said->version, most == CW_TLS_ANY && rig_has_tls_1_3() ? "TLSv1.3" : "TLSv1.2");
    cr_expect_eq(said->info.verified, certificate != NULL, "%s", said->info.why_not);
    cr_expect_str_eq(said->cert.subject, certificate ? "O=Causeway tests, CN=client" : "");
    end_in_good_order(1);
}

Test(tls_scripts, python_echoes_a_mebibyte)
{
    expect_echo(&python, CW_TLS_ANY, NULL);
}

Test(tls_scripts, python_echoes_a_mebibyte_with_a_certificate)
{
    expect_echo(&python, CW_TLS_ANY, "client");
}

Test(tls_scripts, python_echoes_a_mebibyte_under_1_2)
{
    expect_echo(&python, CW_TLS_1_2, "client");
}

Test(tls_scripts, node_echoes_a_mebibyte)
{
    expect_echo(&node, CW_TLS_ANY, NULL);
    expect_line("authorized", "true");
    expect_line("names", "DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1");
    expect_line("end", "came");
}

Test(tls_scripts, node_echoes_a_mebibyte_with_a_certificate)
{
    expect_echo(&node, CW_TLS_ANY, "client");
}

Test(tls_scripts, node_echoes_a_mebibyte_under_1_2)
{
    expect_echo(&node, CW_TLS_1_2, "client");
}

/* Of a read that ends in the middle of a record more comes out of the next one than went into it. */
Test(tls_scripts, nothing_is_left_decrypted_and_unread)
{
    const char *at;
    unsigned echoed = 0;

    need(&node);
    start(CW_TLS_ANY, false);
    run(&node, "bursts", NULL);
    for (at = child.text; (at = strstr(at, "echoed=1048576\n")); at++) {
        echoed++;
    }
    cr_expect_eq(echoed, 24, "%s", child.text);
    end_in_good_order(1);
}

/* ---- back again ---- */

static void expect_resumed(const struct language *language, enum cw_tls_version most)
{
    need(language);
    start(most, false);
    run(language, "twice", NULL);
    expect_line("first", language->no);
    expect_line("second", language->yes);
    cr_expect_not(rig_secure_said(&secure, 0)->info.resumed);
    cr_expect(rig_secure_said(&secure, 1)->info.resumed);
    end_in_good_order(2);
}

Test(tls_scripts, python_comes_back_with_its_session)
{
    expect_resumed(&python, CW_TLS_ANY);
}

Test(tls_scripts, python_comes_back_with_its_session_under_1_2)
{
    expect_resumed(&python, CW_TLS_1_2);
}

Test(tls_scripts, node_comes_back_with_its_session)
{
    expect_resumed(&node, CW_TLS_ANY);
}

Test(tls_scripts, node_comes_back_with_its_session_under_1_2)
{
    expect_resumed(&node, CW_TLS_1_2);
}

/* ---- ends ---- */

static void expect_end_of_ours(const struct language *language)
{
    need(language);
    start(CW_TLS_ANY, false);
    run(language, "bye", NULL);
    expect_line("ended", "in good order");
    cr_expect_eq(rig_secure_reason(&secure, 0)->code, CW_BY_APP, "%s", secure.reasons[0].text);
    rig_secure_end(&secure);
}

Test(tls_scripts, python_sees_our_end_with_close_notify)
{
    expect_end_of_ours(&python);
}

Test(tls_scripts, node_sees_our_end)
{
    expect_end_of_ours(&node);
}

/* ---- refusals ---- */

static void expect_refusal(const struct language *language, const char *certificate,
                           const char *their_words, const char *our_words)
{
    const struct cw_error_report *report;

    need(language);
    start(CW_TLS_ANY, true);
    run(language, "refused", certificate);
    expect_line("refused", their_words);
    report = rig_secure_report(&secure, 0);
    cr_expect_eq(report->code, CW_ECERT);
    cr_expect_not_null(strstr(report->text, our_words), "%s", report->text);
    rig_secure_end(&secure);
    cr_expect_eq(atomic_load(&secure.opened), 0);
}

Test(tls_scripts, python_with_a_rogue_certificate_is_told_that_its_ca_is_unknown)
{
    expect_refusal(&python, "client_rogue", "TLSV1_ALERT_UNKNOWN_CA", "rogue_ca");
}

Test(tls_scripts, node_with_a_rogue_certificate_is_told_that_its_ca_is_unknown)
{
    expect_refusal(&node, "client_rogue", "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA", "rogue_ca");
}

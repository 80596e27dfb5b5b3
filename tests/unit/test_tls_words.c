/* Errors of the library, alerts and verdicts in words. */
#include "support/leak.h"
#include "support/pki.h"
#include "tls/tls_context_impl.h"

#include <criterion/criterion.h>
#include <stdio.h>

TestSuite(tls_words, .fini = rig_expect_no_leak, .timeout = 60);

/* A session that has not begun; the generation is only looked at. */
static struct cw_tls_failure explained(int library_error)
{
    static struct cw_tls_options options;
    static struct cw_tls_generation generation = {.options = &options};
    struct cw_tls_session session = {.generation = &generation};
    struct cw_tls_failure failure;

    mbedtls_ssl_init(&session.ssl);
    cw_tls_explain(&session, library_error, &failure);
    mbedtls_ssl_free(&session.ssl);
    return failure;
}

Test(tls_words, alerts_have_their_names)
{
    cr_expect_str_eq(cw_tls_alert_name(0), "close_notify");
    cr_expect_str_eq(cw_tls_alert_name(40), "handshake_failure");
    cr_expect_str_eq(cw_tls_alert_name(48), "unknown_ca");
    cr_expect_str_eq(cw_tls_alert_name(70), "protocol_version");
    cr_expect_str_eq(cw_tls_alert_name(120), "no_application_protocol");
    cr_expect_str_eq(cw_tls_alert_name(99), "unknown alert");
    cr_expect_str_eq(cw_tls_alert_name(CW_NO_ALERT), "unknown alert");
}

Test(tls_words, groups_have_their_names)
{
    cr_expect_str_eq(cw_tls_group_name(29), "x25519");
    cr_expect_str_eq(cw_tls_group_name(23), "secp256r1");
    cr_expect_str_eq(cw_tls_group_name(24), "secp384r1");
    cr_expect_str_eq(cw_tls_group_name(25), "secp521r1");
    cr_expect_str_eq(cw_tls_group_name(0), "");
    cr_expect_str_eq(cw_tls_group_name(256), "");
}

Test(tls_words, an_end_in_the_handshake_is_a_truncation)
{
    struct cw_tls_failure failure = explained(MBEDTLS_ERR_SSL_CONN_EOF);

    cr_expect_eq(failure.code, CW_ETRUNCATED);
    cr_expect_eq(failure.alert, CW_NO_ALERT);
    cr_expect_str_eq(failure.text, "the peer ended the connection in the middle of the handshake");
}

Test(tls_words, memory_that_is_out_is_its_own_code)
{
    cr_expect_eq(explained(MBEDTLS_ERR_SSL_ALLOC_FAILED).code, CW_ENOMEM);
    cr_expect_eq(explained(MBEDTLS_ERR_X509_ALLOC_FAILED).code, CW_ENOMEM);
}

Test(tls_words, a_missing_client_certificate_is_certificate_trouble)
{
    struct cw_tls_failure failure = explained(MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE);

    cr_expect_eq(failure.code, CW_ECERT);
    cr_expect_str_eq(failure.text, "the peer has shown no certificate");
}

Test(tls_words, an_error_that_nobody_knows_is_a_sentence_with_its_code)
{
    struct cw_tls_failure failure = explained(-0x5555);

    cr_expect_eq(failure.code, CW_ETLS);
    cr_expect_str_eq(failure.text, "the peer broke a rule of TLS (-0x5555)");
    failure = explained(MBEDTLS_ERR_X509_INVALID_FORMAT - 0x60);
    cr_expect_eq(failure.code, CW_ECERT);
    cr_expect_str_eq(failure.text, "the peer's certificate cannot be read (-0x21e0)");
    failure = explained(MBEDTLS_ERR_ECP_VERIFY_FAILED);
    cr_expect_str_eq(failure.text, "a key or signature of the peer is not valid (-0x4e00)");
}

Test(tls_words, every_error_of_the_library_has_a_sentence_and_none_is_empty)
{
    for (int error = 1; error < 0x8000; error++) {
        struct cw_tls_failure failure;

        if (-error == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
            continue;
        }
        failure = explained(-error);
        cr_expect_str_not_empty(failure.text);
        cr_expect(failure.code < 0);
    }
}

Test(tls_words, the_gravest_reason_is_the_one_that_is_said)
{
    cr_expect_str_eq(cw_tls_verify_words(0), "");
    cr_expect_str_eq(
        cw_tls_verify_words(MBEDTLS_X509_BADCERT_CN_MISMATCH | MBEDTLS_X509_BADCERT_EXPIRED),
        "the certificate has expired");
    cr_expect_str_eq(
        cw_tls_verify_words(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_NOT_TRUSTED),
        "the certificate is signed by an unknown CA");
    cr_expect_str_eq(cw_tls_verify_words(MBEDTLS_X509_BADCERT_OTHER),
                     "the certificate is not accepted");
}

/* ---- the callback, where no server of the library would show such a certificate ---- */

static const char *verdict_on(const char *file, enum cw_role role, int depth, uint32_t flags)
{
    static char why[CW_REASON_TEXT_MAX];
    struct cw_tls_generation generation = {.role = role, .host = {.name = (char *)"localhost"}};
    struct cw_tls_session session = {.generation = &generation};
    mbedtls_x509_crt crt;

    mbedtls_x509_crt_init(&crt);
    cr_assert_eq(mbedtls_x509_crt_parse_file(&crt, pki(file)), 0);
    cr_expect_eq(cw_tls_verify(&session, &crt, depth, &flags), 0);
    snprintf(why, sizeof why, "%s", session.why ? session.why : "");
    cr_expect_eq(session.verdict, flags);
    cw_release(session.why);
    mbedtls_x509_crt_free(&crt);
    return why;
}

static void need_certificates(void)
{
    if (!pki_made()) {
        cr_skip_test("no openssl command");
    }
}

TestSuite(tls_verdict, .init = need_certificates, .fini = rig_expect_no_leak, .timeout = 60);

Test(tls_verdict, a_client_certificate_does_for_no_server)
{
    cr_expect_str_eq(verdict_on("server_wrong_purpose.pem", CW_CLIENT, 0, 0),
                     "the certificate is for another purpose");
    cr_expect_str_eq(verdict_on("client_wrong_purpose.pem", CW_SERVER, 0, 0),
                     "the certificate is for another purpose");
    cr_expect_str_eq(verdict_on("server.pem", CW_CLIENT, 0, 0), "");
    cr_expect_str_eq(verdict_on("client.pem", CW_SERVER, 0, 0), "");
}

Test(tls_verdict, what_is_wrong_with_a_ca_names_the_ca)
{
    cr_expect_str_eq(verdict_on("intermediate.pem", CW_CLIENT, 1, MBEDTLS_X509_BADCERT_EXPIRED),
                     "the certificate has expired (the CA intermediate)");
}

/* Errors of the library and alerts in words. */
#include "tls_context_impl.h"

#include <stdarg.h>
#include <stdio.h>

/* RFC 8446 §6, and those of RFC 5246 that are still met. */
static const struct {
    int number;
    const char *name;
} alerts[] = {
    {0, "close_notify"},
    {10, "unexpected_message"},
    {20, "bad_record_mac"},
    {21, "decryption_failed"},
    {22, "record_overflow"},
    {30, "decompression_failure"},
    {40, "handshake_failure"},
    {41, "no_certificate"},
    {42, "bad_certificate"},
    {43, "unsupported_certificate"},
    {44, "certificate_revoked"},
    {45, "certificate_expired"},
    {46, "certificate_unknown"},
    {47, "illegal_parameter"},
    {48, "unknown_ca"},
    {49, "access_denied"},
    {50, "decode_error"},
    {51, "decrypt_error"},
    {60, "export_restriction"},
    {70, "protocol_version"},
    {71, "insufficient_security"},
    {80, "internal_error"},
    {86, "inappropriate_fallback"},
    {90, "user_canceled"},
    {100, "no_renegotiation"},
    {109, "missing_extension"},
    {110, "unsupported_extension"},
    {111, "certificate_unobtainable"},
    {112, "unrecognized_name"},
    {113, "bad_certificate_status_response"},
    {114, "bad_certificate_hash_value"},
    {115, "unknown_psk_identity"},
    {116, "certificate_required"},
    {120, "no_application_protocol"},
};

const char *cw_tls_alert_name(int alert)
{
    for (size_t i = 0; i < sizeof alerts / sizeof alerts[0]; i++) {
        if (alerts[i].number == alert) {
            return alerts[i].name;
        }
    }
    return "unknown alert";
}

/* What the library calls it, what we call it, and the alert that is due. */
struct row {
    int library_error;
    int code;
    int alert;
    const char *words;
};

static const struct row rows[] = {
    {MBEDTLS_ERR_SSL_CONN_EOF, CW_ETRUNCATED, CW_NO_ALERT,
     "the peer ended the connection in the middle of the handshake"},
    {MBEDTLS_ERR_SSL_ALLOC_FAILED, CW_ENOMEM, MBEDTLS_SSL_ALERT_MSG_INTERNAL_ERROR, "out of memory"},
};

static void explain_row(const struct row *row, struct cw_tls_failure *failure)
{
    failure->code = row->code;
    failure->alert = row->alert;
    snprintf(failure->text, sizeof failure->text, "%s", row->words);
}

static void explain_alert(const struct cw_tls_session *session, struct cw_tls_failure *failure)
{
    int alert = cw_tls_received_alert(&session->ssl);

    failure->received = true;
    failure->alert = alert;
    snprintf(failure->text, sizeof failure->text, "the peer refused: %s (%d)",
             cw_tls_alert_name(alert), alert);
}

static bool is_certificate_trouble(const struct cw_tls_session *session, int library_error)
{
    return library_error == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED ||
           library_error == MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE ||
           library_error == CW_TLS_ERR_CERTIFICATE ||
           (session->verdict != 0 && library_error == MBEDTLS_ERR_X509_FATAL_ERROR);
}

static void explain_certificate(const struct cw_tls_session *session, int library_error,
                                struct cw_tls_failure *failure)
{
    uint32_t flags = session->verdict;

    if (library_error == MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE) {
        flags = MBEDTLS_X509_BADCERT_MISSING;
    }
    if (flags == 0) {
        flags = mbedtls_ssl_get_verify_result(&session->ssl);
    }
    failure->code = CW_ECERT;
    failure->alert = cw_tls_verify_alert(flags);
    snprintf(failure->text, sizeof failure->text, "%s",
             session->why ? session->why : cw_tls_verify_words(flags));
}

void cw_tls_explain(const struct cw_tls_session *session, int library_error,
                    struct cw_tls_failure *failure)
{
    *failure = (struct cw_tls_failure){.code = CW_ETLS, .alert = CW_NO_ALERT};
    if (library_error == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
        explain_alert(session, failure);
        return;
    }
    if (is_certificate_trouble(session, library_error)) {
        explain_certificate(session, library_error, failure);
        return;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].library_error == library_error) {
            explain_row(&rows[i], failure);
            return;
        }
    }
    snprintf(failure->text, sizeof failure->text, "the handshake failed (-0x%04x)",
             (unsigned)-library_error);
}

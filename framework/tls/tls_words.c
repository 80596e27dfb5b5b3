/* Errors of the library and alerts in words. */
#include "tls_context_impl.h"

#include <mbedtls/entropy.h>

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

/* ---- errors of the library ---- */

/* What the library calls it, what we call it, and the alert that is due unless the library has sent another. */
struct row {
    int library_error;
    int code;
    int alert;
    const char *words;
};

static const struct row rows[] = {
    {MBEDTLS_ERR_SSL_CONN_EOF, CW_ETRUNCATED, CW_NO_ALERT,
     "the peer ended the connection in the middle of the handshake"},
    {MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY, CW_ETRUNCATED, CW_NO_ALERT,
     "the peer ended the connection in the middle of the handshake"},
    {MBEDTLS_ERR_SSL_HELLO_VERIFY_REQUIRED, CW_ETLS, CW_NO_ALERT,
     "the peer's cookie is too old by now"},
    {MBEDTLS_ERR_SSL_ALLOC_FAILED, CW_ENOMEM, 80, "out of memory"},
    {MBEDTLS_ERR_X509_ALLOC_FAILED, CW_ENOMEM, 80, "out of memory"},
    {MBEDTLS_ERR_SSL_INVALID_MAC, CW_ETLS, 20, "a record of the peer was altered on its way"},
    {MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE, CW_ETLS, 10, "a message of the peer came out of turn"},
    {MBEDTLS_ERR_SSL_UNEXPECTED_RECORD, CW_ETLS, 10, "a record of the peer came out of turn"},
    {MBEDTLS_ERR_SSL_COUNTER_WRAPPING, CW_ETLS, CW_NO_ALERT,
     "more records were sent than one key is good for"},
    {MBEDTLS_ERR_SSL_PRIVATE_KEY_REQUIRED, CW_ETLS, 40, "a private key is missing"},
    {MBEDTLS_ERR_SSL_PK_TYPE_MISMATCH, CW_ETLS, 40, "the private key is of another kind"},
    {MBEDTLS_ERR_SSL_BUFFER_TOO_SMALL, CW_ETLS, 80,
     "a message is larger than the library's buffers"},
    {MBEDTLS_ERR_SSL_INTERNAL_ERROR, CW_ETLS, 80, "the TLS library failed"},
    {MBEDTLS_ERR_ENTROPY_SOURCE_FAILED, CW_ETLS, 80, "the system has no random bytes"},
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    {MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE, CW_ETLS, 40,
     "no cipher suite, group or signature in common"},
    {MBEDTLS_ERR_SSL_NO_APPLICATION_PROTOCOL, CW_ETLS, 120, "no protocol (ALPN) in common"},
    {MBEDTLS_ERR_SSL_DECODE_ERROR, CW_ETLS, 50, "a message of the peer is malformed"},
    {MBEDTLS_ERR_SSL_ILLEGAL_PARAMETER, CW_ETLS, 47,
     "a message of the peer says what is not allowed"},
    {MBEDTLS_ERR_SSL_UNSUPPORTED_EXTENSION, CW_ETLS, 110,
     "the peer uses an extension that was not offered"},
    {MBEDTLS_ERR_SSL_UNRECOGNIZED_NAME, CW_ETLS, 112, "the server name is not known"},
#else
    {MBEDTLS_ERR_SSL_NO_CIPHER_CHOSEN, CW_ETLS, 40, "no cipher suite in common"},
    {MBEDTLS_ERR_SSL_NO_USABLE_CIPHERSUITE, CW_ETLS, 40,
     "no cipher suite in common that fits the certificate and the groups"},
    {MBEDTLS_ERR_SSL_UNKNOWN_CIPHER, CW_ETLS, 47, "the peer chose a cipher suite that is not known"},
    {MBEDTLS_ERR_SSL_BAD_HS_CLIENT_HELLO, CW_ETLS, 50, "the peer's hello is malformed"},
    {MBEDTLS_ERR_SSL_BAD_HS_SERVER_HELLO, CW_ETLS, 47,
     "the peer's hello is malformed, or chose what was not offered"},
    {MBEDTLS_ERR_SSL_BAD_HS_CERTIFICATE_REQUEST, CW_ETLS, 50,
     "the peer's request for a certificate is malformed"},
    {MBEDTLS_ERR_SSL_BAD_HS_SERVER_KEY_EXCHANGE, CW_ETLS, 47,
     "the peer's key exchange is malformed or chose what was not offered"},
    {MBEDTLS_ERR_SSL_BAD_HS_CLIENT_KEY_EXCHANGE, CW_ETLS, 47,
     "the peer's key exchange is malformed"},
    {MBEDTLS_ERR_SSL_BAD_HS_CERTIFICATE_VERIFY, CW_ETLS, 51,
     "the peer has not proved that the certificate is its own"},
    {MBEDTLS_ERR_SSL_BAD_HS_CHANGE_CIPHER_SPEC, CW_ETLS, 10,
     "a message of the peer came out of turn"},
    {MBEDTLS_ERR_SSL_BAD_HS_FINISHED, CW_ETLS, 51,
     "the two sides have not seen the same handshake: it was altered on its way"},
    {MBEDTLS_ERR_SSL_BAD_HS_NEW_SESSION_TICKET, CW_ETLS, 50, "a message of the peer is malformed"},
    {MBEDTLS_ERR_SSL_CERTIFICATE_TOO_LARGE, CW_ETLS, 80,
     "the certificates are larger than the library's buffers"},
#endif
};

static void explain_row(const struct row *row, struct cw_tls_failure *failure)
{
    failure->code = row->code;
    failure->alert = row->alert;
    snprintf(failure->text, sizeof failure->text, "%s", row->words);
}

/* ---- the peer's alerts ---- */

static void explain_alert(int alert, struct cw_tls_failure *failure)
{
    failure->received = true;
    failure->alert = alert;
    snprintf(failure->text, sizeof failure->text, "the peer refused: %s (%d)",
             cw_tls_alert_name(alert), alert);
}

/* NULL of DTLS, too, whose records have another head; what is bad of them is passed over. */
static const unsigned char *last_record(const struct cw_tls_session *session)
{
    return session->generation->datagram ? NULL : cw_tls_last_record(&session->ssl);
}

/* RFC 8446 §6: a client that refuses before it has keys says so in the clear, where the server awaits encryption. */
static int alert_in_the_clear(const struct cw_tls_session *session)
{
    const unsigned char *record = last_record(session);
    bool is_alert =
        record && record[0] == MBEDTLS_SSL_MSG_ALERT && record[3] == 0 && record[4] == 2;

    return is_alert && record[5] == MBEDTLS_SSL_ALERT_LEVEL_FATAL ? record[6] : CW_NO_ALERT;
}

/* ---- certificates ---- */

static bool is_certificate_trouble(const struct cw_tls_session *session, int library_error)
{
    return library_error == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED ||
           library_error == MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE ||
           (session->verdict != 0 && (library_error == MBEDTLS_ERR_X509_FATAL_ERROR ||
                                      library_error == CW_TLS_ERR_CERTIFICATE));
}

static void explain_missing(const struct cw_tls_session *session, struct cw_tls_failure *failure)
{
    /* RFC 5246 §7.4.6; under 1.3 the library says no_certificate. */
    failure->alert = cw_tls_is_1_3(&session->ssl) ? MBEDTLS_SSL_ALERT_MSG_NO_CERT
                                                  : MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE;
    snprintf(failure->text, sizeof failure->text, "the peer has shown no certificate");
}

static void explain_certificate(const struct cw_tls_session *session, int library_error,
                                struct cw_tls_failure *failure)
{
    uint32_t flags = session->verdict;

    failure->code = CW_ECERT;
    if (library_error == MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE) {
        explain_missing(session, failure);
        return;
    }
    if (flags == 0) {
        flags = mbedtls_ssl_get_verify_result(&session->ssl);
    }
    failure->alert = cw_tls_verify_alert(flags);
    snprintf(failure->text, sizeof failure->text, "%s",
             session->why ? session->why : cw_tls_verify_words(flags));
}

/* ---- what takes a look at the bytes ---- */

static void explain_datagram_version(struct cw_tls_failure *failure)
{
    failure->alert = MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION;
    snprintf(failure->text, sizeof failure->text,
             "the peer offers no version of DTLS that is spoken here (1.2)");
}

static void explain_version(const struct cw_tls_session *session, struct cw_tls_failure *failure)
{
    static const char *const names[] = {"SSL 3.0", "TLS 1.0", "TLS 1.1", "TLS 1.2"};
    const unsigned char *message = cw_tls_last_message(&session->ssl);
    const char *needed = session->generation->options->min_version == CW_TLS_1_3 ? "1.3" : "1.2";

    failure->alert = MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION;
    /* A hello: type, length (3), version (2). */
    if (message && (message[0] == 1 || message[0] == 2) && message[4] == 3 && message[5] < 4) {
        snprintf(failure->text, sizeof failure->text, "the peer offers only %s, this side needs %s",
                 names[message[5]], needed);
    } else {
        snprintf(failure->text, sizeof failure->text,
                 "the peer offers no version of TLS that is spoken here (%s or later)", needed);
    }
}

/* What the header of the last record says against it; NULL: nothing. RFC 8446 §5.1: it holds up to 2^14 bytes, and a bit
 * more when it is encrypted. */
static const char *judge_record(const unsigned char *record, int *alert)
{
    if (!record) {
        return NULL;
    }
    if (record[0] < MBEDTLS_SSL_MSG_CHANGE_CIPHER_SPEC ||
        record[0] > MBEDTLS_SSL_MSG_APPLICATION_DATA) {
        *alert = MBEDTLS_SSL_ALERT_MSG_UNEXPECTED_MESSAGE;
        return "the peer sent something that is no TLS";
    }
    if (record[1] != 3) {
        *alert = MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION;
        return "the peer sent something that is no TLS";
    }
    if ((record[3] << 8 | record[4]) > 16384) {
        *alert = MBEDTLS_SSL_ALERT_MSG_RECORD_OVERFLOW;
        return "the peer sent a record that is too long";
    }
    return NULL;
}

static void explain_record(const struct cw_tls_session *session, struct cw_tls_failure *failure)
{
    const char *what;

    failure->alert = MBEDTLS_SSL_ALERT_MSG_DECODE_ERROR;
    what = judge_record(last_record(session), &failure->alert);
    snprintf(failure->text, sizeof failure->text, "%s",
             what ? what : "the peer sent a record that is malformed");
}

/* For a first record that is bad the libraries have a code that says less than the record itself. */
static bool is_about_record(const struct cw_tls_session *session, int library_error)
{
    int unused;

    if (library_error == MBEDTLS_ERR_SSL_INVALID_RECORD) {
        return true;
    }
    return (library_error == CW_TLS_ERR_HELLO || library_error == MBEDTLS_ERR_SSL_BAD_INPUT_DATA) &&
           judge_record(last_record(session), &unused) != NULL;
}

/* Codes of the library's parts, by the range of their high-level half. */
static void explain_part(int library_error, struct cw_tls_failure *failure)
{
    unsigned high = (unsigned)-library_error & 0xff80;
    const char *what = "the peer broke a rule of TLS";

    failure->alert = MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE;
    if (library_error == CW_TLS_ERR_CERTIFICATE || (high >= 0x2080 && high <= 0x2f80)) {
        failure->code = CW_ECERT;
        failure->alert = MBEDTLS_SSL_ALERT_MSG_BAD_CERT;
        what = "the peer's certificate cannot be read";
    } else if (high >= 0x3900 && high <= 0x4f80) {
        failure->alert = MBEDTLS_SSL_ALERT_MSG_DECRYPT_ERROR;
        what = "a key or signature of the peer is not valid";
    }
    snprintf(failure->text, sizeof failure->text, "%s (-0x%04x)", what, (unsigned)-library_error);
}

static const struct row *find_row(int library_error)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].library_error == library_error) {
            return &rows[i];
        }
    }
    return NULL;
}

static void explain_own(const struct cw_tls_session *session, int library_error,
                        struct cw_tls_failure *failure)
{
    const struct row *row = find_row(library_error);

    if (library_error == CW_TLS_ERR_VERSION && session->generation->datagram) {
        explain_datagram_version(failure);
    } else if (library_error == CW_TLS_ERR_VERSION) {
        explain_version(session, failure);
    } else if (is_about_record(session, library_error)) {
        explain_record(session, failure);
    } else if (row) {
        explain_row(row, failure);
    } else {
        explain_part(library_error, failure);
    }
    int sent = cw_tls_sent_alert(&session->ssl);
    if (sent > 0 && failure->code == CW_ETLS) {
        failure->alert = sent;
    }
    if (sent == MBEDTLS_SSL_ALERT_MSG_NO_APPLICATION_PROTOCOL) {
        snprintf(failure->text, sizeof failure->text, "no protocol (ALPN) in common");
    }
}

void cw_tls_explain(const struct cw_tls_session *session, int library_error,
                    struct cw_tls_failure *failure)
{
    *failure = (struct cw_tls_failure){.code = CW_ETLS, .alert = CW_NO_ALERT};
    if (library_error == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
        explain_alert(cw_tls_last_message(&session->ssl)[1], failure);
    } else if (library_error == MBEDTLS_ERR_SSL_INVALID_MAC &&
               alert_in_the_clear(session) != CW_NO_ALERT) {
        explain_alert(alert_in_the_clear(session), failure);
    } else if (is_certificate_trouble(session, library_error)) {
        explain_certificate(session, library_error, failure);
    } else {
        explain_own(session, library_error, failure);
    }
}

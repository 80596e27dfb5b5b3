/* Whether a peer's certificate is good, and why not. */
#include "tls_context_impl.h"

#include <stdio.h>

enum { WHY_MAX = CW_REASON_TEXT_MAX, SHORT_MAX = 48 };

/* What weighs more stands first: who signed, before when, before for whom. */
static const struct {
    uint32_t flag;
    const char *words;
} reasons[] = {
    {MBEDTLS_X509_BADCERT_MISSING, "the peer has shown no certificate"},
    {MBEDTLS_X509_BADCERT_NOT_TRUSTED, "the certificate is signed by an unknown CA"},
    {MBEDTLS_X509_BADCERT_REVOKED, "the certificate is revoked"},
    {MBEDTLS_X509_BADCRL_EXPIRED, "the revocation list has expired"},
    {MBEDTLS_X509_BADCRL_FUTURE, "the revocation list is not valid yet"},
    {MBEDTLS_X509_BADCRL_NOT_TRUSTED, "the revocation list is not signed by its CA"},
    {MBEDTLS_X509_BADCRL_BAD_MD | MBEDTLS_X509_BADCRL_BAD_PK | MBEDTLS_X509_BADCRL_BAD_KEY,
     "the revocation list is signed too weakly"},
    {MBEDTLS_X509_BADCERT_FUTURE, "the certificate is not valid yet"},
    {MBEDTLS_X509_BADCERT_EXPIRED, "the certificate has expired"},
    {MBEDTLS_X509_BADCERT_BAD_KEY | MBEDTLS_X509_BADCERT_BAD_PK,
     "the certificate's key is too weak"},
    {MBEDTLS_X509_BADCERT_BAD_MD, "the certificate's signature has too weak a hash"},
    {MBEDTLS_X509_BADCERT_KEY_USAGE | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE |
         MBEDTLS_X509_BADCERT_NS_CERT_TYPE,
     "the certificate is for another purpose"},
    {MBEDTLS_X509_BADCERT_CN_MISMATCH, "the certificate is for another name"},
};

/* The alert that the library picks when there are several reasons, in its order. */
static const struct {
    uint32_t flag;
    int alert;
} alerts[] = {
    {MBEDTLS_X509_BADCERT_OTHER, MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED},
    {MBEDTLS_X509_BADCERT_CN_MISMATCH, MBEDTLS_SSL_ALERT_MSG_BAD_CERT},
    {MBEDTLS_X509_BADCERT_KEY_USAGE | MBEDTLS_X509_BADCERT_EXT_KEY_USAGE |
         MBEDTLS_X509_BADCERT_NS_CERT_TYPE | MBEDTLS_X509_BADCERT_BAD_PK |
         MBEDTLS_X509_BADCERT_BAD_KEY,
     MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT},
    {MBEDTLS_X509_BADCERT_EXPIRED, MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED},
    {MBEDTLS_X509_BADCERT_REVOKED, MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED},
    {MBEDTLS_X509_BADCERT_NOT_TRUSTED, MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA},
};

enum { REASONS = sizeof reasons / sizeof reasons[0] };

static size_t worst_of(uint32_t flags)
{
    size_t i = 0;

    while (i < REASONS && (reasons[i].flag & flags) == 0) {
        i++;
    }
    return i;
}

const char *cw_tls_verify_words(uint32_t flags)
{
    size_t worst = worst_of(flags);

    if (flags == 0) {
        return "";
    }
    return worst < REASONS ? reasons[worst].words : "the certificate is not accepted";
}

int cw_tls_verify_alert(uint32_t flags)
{
    for (size_t i = 0; i < sizeof alerts / sizeof alerts[0]; i++) {
        if (alerts[i].flag & flags) {
            return alerts[i].alert;
        }
    }
    return MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN;
}

/* ---- names in sentences ---- */

static void copy_shown(char *text, size_t cap, const unsigned char *from, size_t len)
{
    size_t i = 0;

    for (; i < len && i + 1 < cap; i++) {
        text[i] = (char)(from[i] < ' ' || from[i] == 127 ? '?' : from[i]);
    }
    text[i] = '\0';
}

void cw_tls_short_name(const mbedtls_x509_name *name, char *text, size_t cap)
{
    for (const mbedtls_x509_name *part = name; part; part = part->next) {
        if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &part->oid) == 0) {
            copy_shown(text, cap, part->val.p, part->val.len);
            return;
        }
    }
    if (mbedtls_x509_dn_gets(text, cap, name) <= 0) {
        copy_shown(text, cap, (const unsigned char *)"without a name", 14);
    }
}

/* Its first alternative name that a reader knows, or its CN. */
static void first_name(const mbedtls_x509_crt *crt, char *text, size_t cap)
{
    for (const mbedtls_x509_sequence *san = &crt->subject_alt_names; san; san = san->next) {
        if (san->buf.p && (san->buf.tag & 0x1f) == 2) {
            copy_shown(text, cap, san->buf.p, san->buf.len);
            return;
        }
    }
    cw_tls_short_name(&crt->subject, text, cap);
}

/* ---- the sentence ---- */

static bool is_self_signed(const mbedtls_x509_crt *crt)
{
    return crt->issuer_raw.len == crt->subject_raw.len &&
           memcmp(crt->issuer_raw.p, crt->subject_raw.p, crt->subject_raw.len) == 0;
}

static void word_trust(const mbedtls_x509_crt *crt, int depth, char *text)
{
    char name[SHORT_MAX];

    if (depth == 0 && is_self_signed(crt)) {
        snprintf(text, WHY_MAX, "the certificate is self-signed");
        return;
    }
    cw_tls_short_name(&crt->issuer, name, sizeof name);
    snprintf(text, WHY_MAX, "the certificate is signed by an unknown CA (%s)", name);
}

static void word_name(const struct cw_tls_generation *generation, const mbedtls_x509_crt *crt,
                      char *text)
{
    char name[SHORT_MAX];

    if (generation->has_fingerprint) {
        snprintf(text, WHY_MAX, "the certificate's fingerprint differs from the expected one");
        return;
    }
    first_name(crt, name, sizeof name);
    snprintf(text, WHY_MAX, "the certificate is for %.28s, not for %.28s", name,
             generation->host.name);
}

static void word(const struct cw_tls_session *session, const mbedtls_x509_crt *crt, int depth,
                 uint32_t flags, char *text)
{
    uint32_t worst = reasons[worst_of(flags)].flag;
    char name[SHORT_MAX];

    if (worst & MBEDTLS_X509_BADCERT_NOT_TRUSTED) {
        word_trust(crt, depth, text);
    } else if (worst & MBEDTLS_X509_BADCERT_CN_MISMATCH) {
        word_name(session->generation, crt, text);
    } else if (depth > 0) {
        cw_tls_short_name(&crt->subject, name, sizeof name);
        snprintf(text, WHY_MAX, "%s (the CA %s)", cw_tls_verify_words(flags), name);
    } else {
        snprintf(text, WHY_MAX, "%s", cw_tls_verify_words(flags));
    }
}

/* Keeps the worst reason of the chain. Without memory the flags alone have to say it. */
static void keep_reason(struct cw_tls_session *session, const mbedtls_x509_crt *crt, int depth,
                        uint32_t flags)
{
    if (worst_of(flags) >= REASONS ||
        (session->verdict != 0 && worst_of(flags) >= worst_of(session->verdict))) {
        return;
    }
    if (!session->why) {
        session->why = cw_alloc(WHY_MAX);
    }
    if (session->why) {
        word(session, crt, depth, flags, session->why);
    }
}

/* ---- checks of the leaf ---- */

uint32_t cw_tls_check_purpose(const mbedtls_x509_crt *crt, bool of_client)
{
    const char *oid = of_client ? MBEDTLS_OID_CLIENT_AUTH : MBEDTLS_OID_SERVER_AUTH;
    size_t len = of_client ? MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH)
                           : MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH);
    uint32_t flags = 0;

    if (mbedtls_x509_crt_check_extended_key_usage(crt, oid, len) != 0) {
        flags |= MBEDTLS_X509_BADCERT_EXT_KEY_USAGE;
    }
    if (mbedtls_x509_crt_check_key_usage(crt, MBEDTLS_X509_KU_DIGITAL_SIGNATURE) != 0) {
        flags |= MBEDTLS_X509_BADCERT_KEY_USAGE;
    }
    return flags;
}

/* A wrong fingerprint counts as a wrong name: the alert is bad_certificate then. */
static uint32_t check_fingerprint(const struct cw_tls_generation *generation,
                                  const mbedtls_x509_crt *crt)
{
    uint8_t digest[32];

    if (cw_tls_sha256(crt->raw.p, crt->raw.len, digest) != 0 ||
        memcmp(digest, generation->fingerprint, sizeof digest) != 0) {
        return MBEDTLS_X509_BADCERT_CN_MISMATCH;
    }
    return 0;
}

static uint32_t check_leaf(const struct cw_tls_generation *generation, const mbedtls_x509_crt *crt)
{
    /* The library checks the purpose later, when a callback cannot answer any more. */
    uint32_t flags = cw_tls_check_purpose(crt, generation->role == CW_SERVER);

    if (generation->role == CW_CLIENT && !generation->has_fingerprint &&
        !cw_tls_host_in_certificate(&generation->host, crt)) {
        flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    }
    if (generation->has_fingerprint) {
        flags |= check_fingerprint(generation, crt);
    }
    return flags;
}

/* ---- the callback ---- */

/* Where a certificate may be missing but not bad, the library would let it pass; where an error of ours ends the handshake,
 * the library says access_denied. The peer's first alert is the one it believes: ours. */
static int refuse(struct cw_tls_session *session)
{
    (void)mbedtls_ssl_send_alert_message(&session->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                         (unsigned char)cw_tls_verify_alert(session->verdict));
    return MBEDTLS_ERR_X509_FATAL_ERROR;
}

int cw_tls_verify(void *context, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
    struct cw_tls_session *session = context;
    const struct cw_tls_generation *generation = session->generation;

    /* Names are ours to check; a pinned certificate needs nobody's signature. */
    *flags &= generation->has_fingerprint ? 0 : ~(uint32_t)MBEDTLS_X509_BADCERT_CN_MISMATCH;
    if (depth == 0) {
        *flags |= check_leaf(generation, crt);
    }
    /* RFC 8446 §6.2: certificate_expired is for those that are not valid yet, too. */
    *flags |= *flags & MBEDTLS_X509_BADCERT_FUTURE ? MBEDTLS_X509_BADCERT_EXPIRED : 0;
    if (*flags != 0) {
        keep_reason(session, crt, depth, *flags);
        session->verdict |= *flags;
    }
    if (generation->accepts_in_callback) {
        *flags = 0;
        if (depth == 0) {
            cw_tls_forget_purpose(crt);
        }
    }
    if (depth == 0 && session->verdict != 0 && generation->refuses_in_callback) {
        return refuse(session);
    }
    return 0;
}

/* The one place where mbedTLS 2.28 and 3.6 differ. */
#ifndef CW_TLS_LIBRARY_H
#define CW_TLS_LIBRARY_H

#include <mbedtls/error.h>
#include <mbedtls/gcm.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform_time.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_cache.h>
#include <mbedtls/ssl_ciphersuites.h>
#include <mbedtls/ssl_cookie.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/version.h>
#include <mbedtls/x509.h>
#include <mbedtls/x509_crl.h>
#include <mbedtls/x509_crt.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Helper threads and loops share one configuration; its session cache and ticket keys need their locks. */
#if !defined(MBEDTLS_THREADING_C) || !defined(MBEDTLS_THREADING_PTHREAD)
#error "mbedTLS has to be built with MBEDTLS_THREADING_C and MBEDTLS_THREADING_PTHREAD"
#endif

#if !defined(MBEDTLS_SSL_PROTO_DTLS) || !defined(MBEDTLS_SSL_DTLS_HELLO_VERIFY) ||                 \
    !defined(MBEDTLS_SSL_DTLS_ANTI_REPLAY)
#error "mbedTLS has to be built with DTLS, its cookies and its protection against replays"
#endif

/* RFC 9146; what 2.28 can be built with is a draft of it that nobody else speaks. */
#if MBEDTLS_VERSION_NUMBER >= 0x03000000 && defined(MBEDTLS_SSL_DTLS_CONNECTION_ID) &&             \
    MBEDTLS_SSL_DTLS_CONNECTION_ID_COMPAT == 0
#define CW_TLS_HAS_CONNECTION_IDS 1
#else
#define CW_TLS_HAS_CONNECTION_IDS 0
#endif

/* Otherwise a session has a digest of the peer's certificate alone, and nobody could be told whose it is. */
#if !defined(MBEDTLS_SSL_KEEP_PEER_CERTIFICATE)
#error "mbedTLS has to be built with MBEDTLS_SSL_KEEP_PEER_CERTIFICATE"
#endif

/* Random bytes of the system; no state, so every thread may call it. 0, or an error of the library. */
int cw_tls_random(void *unused, unsigned char *bytes, size_t len);

/* 2.28 fills a table inside a curve's group when it is first used, without a lock. Done beforehand for keys and trusted CAs,
 * nothing changes when threads share them; 3.6 has its tables as constants. Without memory the table stays for later. */
void cw_tls_fill_tables(mbedtls_pk_context *key);
#define CW_TLS_FILLS_TABLES (MBEDTLS_VERSION_NUMBER < 0x03000000)

/* What the library needs done once for the process. 0, or -1. thread: any */
int cw_tls_library_begin(void);

/* RFC 8446 §4.2.7 */
enum {
    CW_TLS_SECP256R1 = 0x0017,
    CW_TLS_SECP384R1 = 0x0018,
    CW_TLS_SECP521R1 = 0x0019,
    CW_TLS_X25519 = 0x001d,
};

enum { CW_TLS_CIPHERS_MAX = 9, CW_TLS_GROUPS_MAX = 4 };

/* Lists that end in 0; the library keeps pointers to them. */
struct cw_tls_lists {
    int ciphers[CW_TLS_CIPHERS_MAX + 1];
    uint16_t groups[CW_TLS_GROUPS_MAX + 1];
    mbedtls_ecp_group_id curves[CW_TLS_GROUPS_MAX + 1]; /* the groups as 2.28 names them */
};

#if MBEDTLS_VERSION_NUMBER >= 0x03000000

#include <psa/crypto.h>

#define CW_TLS_PRIVATE(member) MBEDTLS_PRIVATE(member)
#define CW_TLS_ERR_VERSION MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION
#define CW_TLS_ERR_CERTIFICATE MBEDTLS_ERR_SSL_BAD_CERTIFICATE
#define CW_TLS_ERR_HELLO MBEDTLS_ERR_SSL_DECODE_ERROR

#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
#define CW_TLS_HAS_1_3 1
#else
#define CW_TLS_HAS_1_3 0
#endif

static inline void cw_tls_conf_versions(mbedtls_ssl_config *conf, bool least_is_1_3,
                                        bool most_is_1_3)
{
    mbedtls_ssl_conf_min_tls_version(conf, least_is_1_3 ? MBEDTLS_SSL_VERSION_TLS1_3
                                                        : MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_max_tls_version(conf, most_is_1_3 ? MBEDTLS_SSL_VERSION_TLS1_3
                                                       : MBEDTLS_SSL_VERSION_TLS1_2);
}

static inline void cw_tls_conf_lists(mbedtls_ssl_config *conf, struct cw_tls_lists *lists)
{
    static const uint16_t signatures[] = {
        MBEDTLS_TLS1_3_SIG_ECDSA_SECP256R1_SHA256, MBEDTLS_TLS1_3_SIG_ECDSA_SECP384R1_SHA384,
        MBEDTLS_TLS1_3_SIG_ECDSA_SECP521R1_SHA512, MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA256,
        MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA384,    MBEDTLS_TLS1_3_SIG_RSA_PSS_RSAE_SHA512,
        MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA256,       MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA384,
        MBEDTLS_TLS1_3_SIG_RSA_PKCS1_SHA512,       MBEDTLS_TLS1_3_SIG_NONE,
    };

    mbedtls_ssl_conf_ciphersuites(conf, lists->ciphers);
    mbedtls_ssl_conf_groups(conf, lists->groups);
    mbedtls_ssl_conf_sig_algs(conf, signatures);
}

/* A session of TLS 1.3 is resumed with a fresh key exchange alone (forward secrecy); a client is told of tickets. */
static inline void cw_tls_conf_resumption(mbedtls_ssl_config *conf, bool wanted, bool sends_1_3)
{
#if defined(MBEDTLS_SSL_PROTO_TLS1_3)
    mbedtls_ssl_conf_tls13_key_exchange_modes(conf,
                                              MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL_ALL);
    mbedtls_ssl_conf_new_session_tickets(conf, wanted && sends_1_3 ? 1 : 0);
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(
        conf, wanted ? MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED
                     : MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_DISABLED);
#endif
    mbedtls_ssl_conf_session_tickets(conf, wanted ? MBEDTLS_SSL_SESSION_TICKETS_ENABLED
                                                  : MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
}

static inline int cw_tls_parse_key(mbedtls_pk_context *key, const unsigned char *bytes, size_t len,
                                   const char *passphrase)
{
    return mbedtls_pk_parse_key(key, bytes, len, (const unsigned char *)passphrase,
                                passphrase ? strlen(passphrase) : 0, cw_tls_random, NULL);
}

static inline int cw_tls_check_pair(const mbedtls_pk_context *certificate,
                                    const mbedtls_pk_context *key)
{
    return mbedtls_pk_check_pair(certificate, key, cw_tls_random, NULL);
}

static inline int cw_tls_sha256(const unsigned char *bytes, size_t len, unsigned char digest[32])
{
    return mbedtls_sha256(bytes, len, digest, 0);
}

static inline bool cw_tls_is_1_3(const mbedtls_ssl_context *ssl)
{
    return mbedtls_ssl_get_version_number(ssl) == MBEDTLS_SSL_VERSION_TLS1_3;
}

#else

#define CW_TLS_PRIVATE(member) member
#define CW_TLS_ERR_VERSION MBEDTLS_ERR_SSL_BAD_HS_PROTOCOL_VERSION
#define CW_TLS_ERR_CERTIFICATE MBEDTLS_ERR_SSL_BAD_HS_CERTIFICATE
#define CW_TLS_ERR_HELLO MBEDTLS_ERR_SSL_BAD_HS_CLIENT_HELLO
#define CW_TLS_HAS_1_3 0

static inline void cw_tls_conf_versions(mbedtls_ssl_config *conf, bool least_is_1_3,
                                        bool most_is_1_3)
{
    (void)least_is_1_3;
    (void)most_is_1_3;
    mbedtls_ssl_conf_min_version(conf, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_max_version(conf, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
}

static inline mbedtls_ecp_group_id cw_tls_curve_of(uint16_t group)
{
    switch (group) {
    case CW_TLS_X25519:
        return MBEDTLS_ECP_DP_CURVE25519;
    case CW_TLS_SECP256R1:
        return MBEDTLS_ECP_DP_SECP256R1;
    case CW_TLS_SECP384R1:
        return MBEDTLS_ECP_DP_SECP384R1;
    case CW_TLS_SECP521R1:
        return MBEDTLS_ECP_DP_SECP521R1;
    default:
        return MBEDTLS_ECP_DP_NONE;
    }
}

static inline void cw_tls_conf_lists(mbedtls_ssl_config *conf, struct cw_tls_lists *lists)
{
    static const int hashes[] = {MBEDTLS_MD_SHA256, MBEDTLS_MD_SHA384, MBEDTLS_MD_SHA512,
                                 MBEDTLS_MD_NONE};
    size_t count = 0;

    for (; lists->groups[count] != 0; count++) {
        lists->curves[count] = cw_tls_curve_of(lists->groups[count]);
    }
    lists->curves[count] = MBEDTLS_ECP_DP_NONE;
    mbedtls_ssl_conf_ciphersuites(conf, lists->ciphers);
    mbedtls_ssl_conf_curves(conf, lists->curves);
    mbedtls_ssl_conf_sig_hashes(conf, hashes);
}

static inline void cw_tls_conf_resumption(mbedtls_ssl_config *conf, bool wanted, bool sends_1_3)
{
    (void)sends_1_3;
    mbedtls_ssl_conf_session_tickets(conf, wanted ? MBEDTLS_SSL_SESSION_TICKETS_ENABLED
                                                  : MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
}

static inline int cw_tls_parse_key(mbedtls_pk_context *key, const unsigned char *bytes, size_t len,
                                   const char *passphrase)
{
    return mbedtls_pk_parse_key(key, bytes, len, (const unsigned char *)passphrase,
                                passphrase ? strlen(passphrase) : 0);
}

static inline int cw_tls_check_pair(const mbedtls_pk_context *certificate,
                                    const mbedtls_pk_context *key)
{
    return mbedtls_pk_check_pair(certificate, key);
}

static inline int cw_tls_sha256(const unsigned char *bytes, size_t len, unsigned char digest[32])
{
    return mbedtls_sha256_ret(bytes, len, digest, 0);
}

static inline bool cw_tls_is_1_3(const mbedtls_ssl_context *ssl)
{
    (void)ssl;
    return false;
}

#endif

/* The library refuses a certificate of the wrong purpose behind the callback's back; this is how one is let in. What it
 * says stays in the certificate's own bytes. */
static inline void cw_tls_forget_purpose(mbedtls_x509_crt *crt)
{
    crt->CW_TLS_PRIVATE(ext_types) &=
        ~(MBEDTLS_X509_EXT_KEY_USAGE | MBEDTLS_X509_EXT_EXTENDED_KEY_USAGE);
}

/* Whether a client's next step verifies the server's certificate. */
static inline bool cw_tls_is_at_certificate(const mbedtls_ssl_context *ssl)
{
    return ssl->CW_TLS_PRIVATE(state) == MBEDTLS_SSL_SERVER_CERTIFICATE;
}

/* Whether a client can come back with it. */
static inline bool cw_tls_is_resumable(const mbedtls_ssl_session *session, bool is_1_3)
{
    return session->CW_TLS_PRIVATE(ticket) != NULL ||
           (!is_1_3 && session->CW_TLS_PRIVATE(id_len) > 0);
}

/* Milliseconds since a session was made whose ticket the server has opened. */
static inline uint64_t cw_tls_session_age(mbedtls_ssl_session *session)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    mbedtls_ms_time_t now = mbedtls_ms_time();
    mbedtls_ms_time_t made = now;

    (void)mbedtls_ssl_session_get_ticket_creation_time(session, &made);
    return now > made ? (uint64_t)(now - made) : 0;
#else
    mbedtls_time_t now = mbedtls_time(NULL);

    return now > session->start ? (uint64_t)(now - session->start) * 1000 : 0;
#endif
}

/* What stands in the buffers after an error; they are the library's own, and no function of it tells. */

/* The record that was read last: its five header bytes and what follows them. NULL: none. */
static inline const unsigned char *cw_tls_last_record(const mbedtls_ssl_context *ssl)
{
    return ssl->CW_TLS_PRIVATE(in_hdr);
}

/* The message that was read last, in the clear. NULL: none. */
static inline const unsigned char *cw_tls_last_message(const mbedtls_ssl_context *ssl)
{
    return ssl->CW_TLS_PRIVATE(in_msg);
}

/* The alert that the library sent last; -1: the last thing it sent is none, or was encrypted in its place. */
static inline int cw_tls_sent_alert(const mbedtls_ssl_context *ssl)
{
    const unsigned char *message = ssl->CW_TLS_PRIVATE(out_msg);

    return message && ssl->CW_TLS_PRIVATE(out_msgtype) == MBEDTLS_SSL_MSG_ALERT &&
                   ssl->CW_TLS_PRIVATE(out_msglen) == 2
               ? message[1]
               : -1;
}

/* Which records of the peer have come: those in a window below the newest. Both change with every new one that was its own. */
struct cw_tls_window {
    uint64_t newest;
    uint64_t seen;
};

static inline struct cw_tls_window cw_tls_window_of(const mbedtls_ssl_context *ssl)
{
    struct cw_tls_window window = {ssl->CW_TLS_PRIVATE(in_window_top),
                                   ssl->CW_TLS_PRIVATE(in_window)};

    return window;
}

/* Whether the record that was read last carries the application's data. */
static inline bool cw_tls_last_is_data(const mbedtls_ssl_context *ssl)
{
    return ssl->CW_TLS_PRIVATE(in_msgtype) == MBEDTLS_SSL_MSG_APPLICATION_DATA;
}

/* The library takes the fourth empty record in a row for an attack, which costs it time; here each is a message. */
static inline void cw_tls_allow_empty(mbedtls_ssl_context *ssl)
{
    ssl->CW_TLS_PRIVATE(nb_zero) = 0;
}

/* RFC 8446 §7.3: behind its Finished a server writes with the application's keys. The library changes to them only behind
 * the client's, so an alert in between (for a client's certificate) could be read by nobody. Nothing but an alert is sent
 * there, and the library begins with these keys anew. */
static inline void cw_tls_before_step(mbedtls_ssl_context *ssl)
{
#if CW_TLS_HAS_1_3
    int state = ssl->MBEDTLS_PRIVATE(state);
    bool awaits_client =
        state == MBEDTLS_SSL_CLIENT_CERTIFICATE || state == MBEDTLS_SSL_CERTIFICATE_VERIFY ||
        state == MBEDTLS_SSL_CLIENT_FINISHED || state == MBEDTLS_SSL_CLIENT_CERTIFICATE_VERIFY;

    if (awaits_client && cw_tls_is_1_3(ssl) && ssl->MBEDTLS_PRIVATE(transform_application) &&
        mbedtls_ssl_conf_get_endpoint(mbedtls_ssl_context_get_config(ssl)) ==
            MBEDTLS_SSL_IS_SERVER &&
        ssl->MBEDTLS_PRIVATE(transform_out) != ssl->MBEDTLS_PRIVATE(transform_application)) {
        ssl->MBEDTLS_PRIVATE(transform_out) = ssl->MBEDTLS_PRIVATE(transform_application);
        memset(ssl->MBEDTLS_PRIVATE(cur_out_ctr), 0, sizeof ssl->MBEDTLS_PRIVATE(cur_out_ctr));
    }
#else
    (void)ssl;
#endif
}

#endif

/* The TLS floor's half over mbedTLS, 2.28 or 3.x. */
#include "floor_tls.h"

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#include <psa/crypto.h>
#endif

enum { SUITES_MAX = 8, TICKET_SECONDS = 86400 };

struct tls_session {
    mbedtls_ssl_context ssl;
};

static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context rng;
static mbedtls_x509_crt cert;
static mbedtls_pk_context key;
static mbedtls_ssl_ticket_context tickets;
static mbedtls_ssl_config config;
static struct floor_wire *wire;
static uint8_t plain[PLAIN_BYTES];

static int take(void *from, unsigned char *bytes, size_t len)
{
    int taken = wire_take(from, bytes, len);

    return taken < 0 ? MBEDTLS_ERR_SSL_WANT_READ : taken;
}

static int add(void *to, const unsigned char *bytes, size_t len)
{
    int added = wire_add(to, bytes, len);

    return added < 0 ? MBEDTLS_ERR_SSL_WANT_WRITE : added;
}

/* Returns whether a step of the set-up went well; says so if not. */
static bool well(const char *step, int result)
{
    char text[128];

    if (result == 0)
        return true;
    mbedtls_strerror(result, text, sizeof text);
    fprintf(stderr, "floor_tls: %s: %s\n", step, text);
    return false;
}

struct suite {
    const char *cipher;
    int ids[2];
};

/* The order is that of their speed, measured with 2.28 and 3.6 on x86-64. In TLS 1.3 mbedTLS follows
 * the client's order instead. */
static const struct suite suites[] = {
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    {"chacha20",
     {MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
      MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256}},
    {"aes128", {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, MBEDTLS_TLS1_3_AES_128_GCM_SHA256}},
    {"aes256", {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, MBEDTLS_TLS1_3_AES_256_GCM_SHA384}},
#else
    {"chacha20", {MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}},
    {"aes128", {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}},
    {"aes256", {MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}},
#endif
};

static void choose_suites(const char *only)
{
    static int chosen[SUITES_MAX];
    size_t count = 0;

    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        if (only != NULL && strcmp(only, suites[i].cipher) != 0)
            continue;
        for (size_t j = 0; j < 2 && suites[i].ids[j] != 0; j++)
            chosen[count++] = suites[i].ids[j];
    }
    mbedtls_ssl_conf_ciphersuites(&config, chosen);
}

static void choose_groups(const char *only)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    static uint16_t groups[] = {MBEDTLS_SSL_IANA_TLS_GROUP_X25519,
                                MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1, 0};
#else
    static mbedtls_ecp_group_id groups[] = {MBEDTLS_ECP_DP_CURVE25519, MBEDTLS_ECP_DP_SECP256R1,
                                            MBEDTLS_ECP_DP_NONE};
#endif
    if (only != NULL && strcmp(only, "p256") == 0)
        groups[0] = groups[1];
    if (only != NULL)
        groups[1] = groups[2];
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    mbedtls_ssl_conf_groups(&config, groups);
#else
    mbedtls_ssl_conf_curves(&config, groups);
#endif
}

static void set_min_version(void)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    mbedtls_ssl_conf_min_tls_version(&config, MBEDTLS_SSL_VERSION_TLS1_2);
#else
    mbedtls_ssl_conf_min_version(&config, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
#endif
}

static bool load_key(const char *path)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    return well("key", mbedtls_pk_parse_keyfile(&key, path, NULL, mbedtls_ctr_drbg_random, &rng));
#else
    return well("key", mbedtls_pk_parse_keyfile(&key, path, NULL));
#endif
}

static bool prepare(void)
{
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&rng);
    mbedtls_x509_crt_init(&cert);
    mbedtls_pk_init(&key);
    mbedtls_ssl_ticket_init(&tickets);
    mbedtls_ssl_config_init(&config);
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    if (psa_crypto_init() != PSA_SUCCESS) /* TLS 1.3 computes through it */
        return false;
#endif
    return well("random numbers",
                mbedtls_ctr_drbg_seed(&rng, mbedtls_entropy_func, &entropy, NULL, 0));
}

bool tls_setup(const struct floor_options *options, struct floor_wire *shared)
{
    wire = shared;
    if (!prepare() || !well("certificate", mbedtls_x509_crt_parse_file(&cert, options->cert)) ||
        !load_key(options->key) ||
        !well("defaults", mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_SERVER,
                                                      MBEDTLS_SSL_TRANSPORT_STREAM,
                                                      MBEDTLS_SSL_PRESET_DEFAULT)) ||
        !well("certificate and key", mbedtls_ssl_conf_own_cert(&config, &cert, &key)) ||
        !well("tickets", mbedtls_ssl_ticket_setup(&tickets, mbedtls_ctr_drbg_random, &rng,
                                                  MBEDTLS_CIPHER_AES_256_GCM, TICKET_SECONDS)))
        return false;
    set_min_version();
    mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &rng);
    mbedtls_ssl_conf_session_tickets_cb(&config, mbedtls_ssl_ticket_write, mbedtls_ssl_ticket_parse,
                                        &tickets);
    choose_suites(options->cipher);
    choose_groups(options->group);
    return true;
}

struct tls_session *tls_open(void)
{
    struct tls_session *session = malloc(sizeof *session);

    if (session == NULL)
        return NULL;
    mbedtls_ssl_init(&session->ssl);
    if (mbedtls_ssl_setup(&session->ssl, &config) != 0) {
        tls_close(session);
        return NULL;
    }
    mbedtls_ssl_set_bio(&session->ssl, wire, add, take, NULL);
    return session;
}

void tls_close(struct tls_session *session)
{
    if (session == NULL)
        return;
    mbedtls_ssl_free(&session->ssl);
    free(session);
}

static bool echo(mbedtls_ssl_context *ssl, size_t len)
{
    for (size_t at = 0; at < len;) {
        int wrote = mbedtls_ssl_write(ssl, plain + at, len - at);
        if (wrote <= 0)
            return false;
        at += (size_t)wrote;
    }
    return true;
}

/* A read goes on with the handshake first, for as long as there is one. */
bool tls_serve(struct tls_session *session)
{
    mbedtls_ssl_context *ssl = &session->ssl;
    size_t len = 0;
    int got;

    while ((got = mbedtls_ssl_read(ssl, plain + len, sizeof plain - len)) > 0)
        len += (size_t)got;
    bool alive = echo(ssl, len) && got == MBEDTLS_ERR_SSL_WANT_READ;
    if (got == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY)
        mbedtls_ssl_close_notify(ssl);
    return alive;
}

const char *tls_library(void)
{
    static char text[32] = "mbedTLS ";

    mbedtls_version_get_string(text + strlen(text));
    return text;
}

/* The TLS floor's half over OpenSSL: what another library makes of the same loop. */
#include "floor_tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

/* `struct tls_session` is never defined here: it is OpenSSL's own SSL. */
static SSL_CTX *context;
static BIO_METHOD *method;
static struct floor_wire *wire;
static uint8_t plain[PLAIN_BYTES];

/* A BIO over the shared wire: memory BIOs would keep a buffer for each connection and copy twice. */
static int take(BIO *bio, char *bytes, int len)
{
    int taken = wire_take(wire, (uint8_t *)bytes, (size_t)len);

    BIO_clear_retry_flags(bio);
    if (taken < 0)
        BIO_set_retry_read(bio);
    return taken;
}

static int add(BIO *bio, const char *bytes, int len)
{
    int added = wire_add(wire, (const uint8_t *)bytes, (size_t)len);

    BIO_clear_retry_flags(bio);
    if (added < 0)
        BIO_set_retry_write(bio);
    return added;
}

static long control(BIO *bio, int command, long number, void *pointer)
{
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static int create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static bool choose_suites(const char *only)
{
    static const struct {
        const char *cipher, *before_13, *since_13;
    } suites[] = {
        {"aes128", "ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256"},
        {"aes256", "ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_AES_256_GCM_SHA384"},
        {"chacha20", "ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_CHACHA20_POLY1305_SHA256"},
    };
    char before_13[256] = "";
    char since_13[256] = "";

    for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
        if (only != NULL && strcmp(only, suites[i].cipher) != 0)
            continue;
        const char *colon = *before_13 != '\0' ? ":" : "";
        snprintf(before_13 + strlen(before_13), sizeof before_13 - strlen(before_13), "%s%s", colon,
                 suites[i].before_13);
        snprintf(since_13 + strlen(since_13), sizeof since_13 - strlen(since_13), "%s%s", colon,
                 suites[i].since_13);
    }
    return SSL_CTX_set_cipher_list(context, before_13) == 1 &&
           SSL_CTX_set_ciphersuites(context, since_13) == 1;
}

static bool choose_groups(const char *only)
{
    const char *groups = only == NULL                ? "X25519:P-256"
                         : strcmp(only, "p256") == 0 ? "P-256"
                                                     : "X25519";

    return SSL_CTX_set1_groups_list(context, groups) == 1;
}

static bool make_method(void)
{
    method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "wire");
    return method != NULL && BIO_meth_set_read(method, take) == 1 &&
           BIO_meth_set_write(method, add) == 1 && BIO_meth_set_ctrl(method, control) == 1 &&
           BIO_meth_set_create(method, create) == 1;
}

bool tls_setup(const struct floor_options *options, struct floor_wire *shared)
{
    wire = shared;
    context = SSL_CTX_new(TLS_server_method());
    if (context != NULL && make_method() &&
        SSL_CTX_use_certificate_chain_file(context, options->cert) == 1 &&
        SSL_CTX_use_PrivateKey_file(context, options->key, SSL_FILETYPE_PEM) == 1 &&
        SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
        choose_suites(options->cipher) && choose_groups(options->group)) {
        SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_NO_RENEGOTIATION);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_num_tickets(context, 1); /* as many as mbedTLS sends */
        return true;
    }
    fputs("floor_openssl: ", stderr);
    ERR_print_errors_fp(stderr);
    return false;
}

struct tls_session *tls_open(void)
{
    SSL *ssl = SSL_new(context);
    BIO *bio = BIO_new(method);

    if (ssl == NULL || bio == NULL) {
        BIO_free(bio);
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_bio(ssl, bio, bio);
    SSL_set_accept_state(ssl);
    return (struct tls_session *)ssl;
}

void tls_close(struct tls_session *session)
{
    SSL_free((SSL *)session);
}

static bool echo(SSL *ssl, size_t len)
{
    return len == 0 || SSL_write(ssl, plain, (int)len) == (int)len;
}

/* A read goes on with the handshake first, for as long as there is one. */
bool tls_serve(struct tls_session *session)
{
    SSL *ssl = (SSL *)session;
    size_t len = 0;
    int got;

    ERR_clear_error();
    while ((got = SSL_read(ssl, plain + len, (int)(sizeof plain - len))) > 0)
        len += (size_t)got;
    int why = SSL_get_error(ssl, got);
    bool alive = echo(ssl, len) && why == SSL_ERROR_WANT_READ;
    if (why == SSL_ERROR_ZERO_RETURN)
        SSL_shutdown(ssl);
    return alive;
}

const char *tls_library(void)
{
    static char text[32];

    snprintf(text, sizeof text, "OpenSSL %s", OPENSSL_VERSION_STR);
    return text;
}

/* TLS for the load's connections, by OpenSSL. Certificates are not verified: the server is measured. */
#include "load_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>

static SSL_CTX *context;
static SSL_SESSION *latest; /* what resumed handshakes resume */

/* Keeps the newest session; OpenSSL hands over a reference with it. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    SSL_SESSION_free(latest);
    latest = session;
    return 1;
}

bool tls_init(const struct load_options *options)
{
    int max = options->tls_max == 2 ? TLS1_2_VERSION : TLS1_3_VERSION;

    context = SSL_CTX_new(TLS_client_method());
    if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(context, max) != 1) {
        ERR_print_errors_fp(stderr);
        return false;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1); /* one recv for all records that are there */
    if (options->mode == LOAD_IDLE)
        SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    if (options->resume)
        SSL_CTX_sess_set_new_cb(context, keep_session);
    return true;
}

void tls_release(void)
{
    SSL_SESSION_free(latest);
    SSL_CTX_free(context);
}

/* A copy: OpenSSL spoils a session of TLS 1.3 for all others once one has resumed it. */
static void resume_latest(SSL *ssl)
{
    SSL_SESSION *copy = SSL_SESSION_dup(latest);

    SSL_set_session(ssl, copy);
    SSL_SESSION_free(copy);
}

bool tls_begin(struct conn *conn)
{
    SSL *ssl = SSL_new(context);

    conn->tls = ssl;
    if (ssl == NULL || SSL_set_fd(ssl, conn->fd) != 1)
        return false;
    if (latest != NULL)
        resume_latest(ssl);
    SSL_set_connect_state(ssl);
    return true;
}

void tls_end(struct conn *conn)
{
    if (conn->tls == NULL)
        return;
    ERR_clear_error();
    if (SSL_is_init_finished(conn->tls))
        SSL_shutdown(conn->tls);
    SSL_free(conn->tls);
    conn->tls = NULL;
}

/* Says what OpenSSL says and makes errno of it, as the calls on a socket do. */
static void set_errno(const SSL *ssl, int result)
{
    int os_errno = errno;
    int why = SSL_get_error(ssl, result);

    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        errno = EAGAIN;
    else if (why == SSL_ERROR_SYSCALL && os_errno != 0)
        errno = os_errno;
    else
        errno = EPROTO;
    if (why == SSL_ERROR_SSL)
        fprintf(stderr, "load: TLS: %s\n", ERR_reason_error_string(ERR_peek_error()));
}

int tls_handshake(struct conn *conn)
{
    ERR_clear_error();
    errno = 0;
    int result = SSL_do_handshake(conn->tls);
    if (result == 1)
        return 1;
    set_errno(conn->tls, result);
    return errno == EAGAIN ? 0 : -1;
}

ssize_t tls_send(struct conn *conn, const uint8_t *bytes, size_t len)
{
    size_t sent = 0;

    ERR_clear_error();
    while (sent < len) {
        errno = 0;
        int result = SSL_write(conn->tls, bytes + sent, (int)(len - sent));
        if (result <= 0) {
            set_errno(conn->tls, result);
            return sent > 0 && errno == EAGAIN ? (ssize_t)sent : -1;
        }
        sent += (size_t)result;
    }
    return (ssize_t)sent;
}

ssize_t tls_recv(struct conn *conn, uint8_t *bytes, size_t cap)
{
    size_t got = 0;

    ERR_clear_error();
    do {
        errno = 0;
        int result = SSL_read(conn->tls, bytes + got, (int)(cap - got));
        if (result <= 0 && got > 0)
            break;
        if (result <= 0 && SSL_get_error(conn->tls, result) == SSL_ERROR_ZERO_RETURN)
            return 0;
        if (result <= 0) {
            set_errno(conn->tls, result);
            return -1;
        }
        got += (size_t)result;
    } while (got < cap && SSL_has_pending(conn->tls));
    return (ssize_t)got;
}

bool tls_resumed(const struct conn *conn)
{
    return SSL_session_reused(conn->tls) == 1;
}

bool tls_has_session(void)
{
    return latest != NULL;
}

void tls_describe(const struct conn *conn, char *text, size_t cap)
{
    snprintf(text, cap, "%s %s", SSL_get_version(conn->tls), SSL_get_cipher_name(conn->tls));
}

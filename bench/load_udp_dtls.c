/* The load's DTLS, by OpenSSL: one session over each connected socket. */
#include "load_udp_impl.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>

enum { HANDSHAKE_SECONDS = 20, POLL_MS = 50 };

static SSL_CTX *context;

static bool handshake(struct udp_load *load, struct peer *peer)
{
    uint64_t end_ns = clock_ns() + HANDSHAKE_SECONDS * 1000000000ull;
    struct pollfd ready = {.fd = peer->fd, .events = POLLIN};
    BIO *bio = BIO_new_dgram(peer->fd, BIO_NOCLOSE);
    SSL *dtls = SSL_new(context);

    peer->dtls = dtls;
    if (bio == NULL || dtls == NULL) {
        BIO_free(bio);
        return false;
    }
    BIO_ctrl(bio, BIO_CTRL_DGRAM_SET_CONNECTED, 0, &load->options.address);
    SSL_set_bio(dtls, bio, bio);
    for (;;) {
        int done = SSL_connect(dtls);
        if (done == 1)
            return true;
        if (SSL_get_error(dtls, done) != SSL_ERROR_WANT_READ || clock_ns() > end_ns)
            return false;
        poll(&ready, 1, POLL_MS);
        DTLSv1_handle_timeout(dtls);
    }
}

bool udp_dtls_open(struct udp_load *load)
{
    context = SSL_CTX_new(DTLS_client_method());
    if (context == NULL)
        return false;
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    for (uint32_t i = 0; i < load->options.sockets; i++) {
        if (handshake(load, &load->peers[i]))
            continue;
        fprintf(stderr, "load: DTLS handshake %u failed: %s\n", i,
                ERR_error_string(ERR_peek_error(), NULL));
        return false;
    }
    return true;
}

void udp_dtls_close(struct udp_load *load)
{
    for (uint32_t i = 0; load->peers != NULL && i < load->options.sockets; i++)
        SSL_free(load->peers[i].dtls);
    SSL_CTX_free(context);
}

int udp_dtls_receive(struct peer *peer, uint8_t *data, size_t cap)
{
    int len = SSL_read(peer->dtls, data, (int)cap);

    if (len > 0)
        return len;
    return SSL_get_error(peer->dtls, len) == SSL_ERROR_WANT_READ ? 0 : -1;
}

bool udp_dtls_send(struct peer *peer, const uint8_t *data, size_t len)
{
    return SSL_write(peer->dtls, data, (int)len) > 0;
}

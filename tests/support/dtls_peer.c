#include "support/dtls_peer.h"

#include "support/pki.h"
#include "support/wait.h"

#include <arpa/inet.h>
#include <mbedtls/x509_crt.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

bool rig_has_connection_ids(void)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000 && defined(MBEDTLS_SSL_DTLS_CONNECTION_ID)
    return true;
#else
    return false;
#endif
}

static int random_bytes(void *unused, unsigned char *bytes, size_t len)
{
    return getrandom(bytes, len, 0) == (ssize_t)len ? 0 : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

/* ---- the library's way in and out, and its timer ---- */

static int bio_send(void *arg, const unsigned char *data, size_t len)
{
    struct rig_dtls *peer = arg;

    if (peer->sent_count < RIG_DTLS_KEPT_MAX && len <= RIG_DTLS_CAP) {
        memcpy(peer->sent[peer->sent_count].bytes, data, len);
        peer->sent[peer->sent_count++].len = len;
    }
    if (!peer->holds) {
        rig_dtls_send(peer, data, len);
    }
    return (int)len;
}

static int bio_recv(void *arg, unsigned char *data, size_t len)
{
    struct rig_dtls *peer = arg;
    ssize_t n = recv(peer->fd, data, len, MSG_DONTWAIT);

    return n > 0 ? (int)n : MBEDTLS_ERR_SSL_WANT_READ;
}

static void timer_set(void *arg, uint32_t intermediate_ms, uint32_t final_ms)
{
    struct rig_dtls *peer = arg;

    peer->since_ms = rig_now_ms();
    peer->intermediate_ms = intermediate_ms;
    peer->final_ms = final_ms;
}

static int timer_get(void *arg)
{
    const struct rig_dtls *peer = arg;
    uint64_t passed = rig_now_ms() - peer->since_ms;

    if (peer->final_ms == 0) {
        return -1;
    }
    return passed >= peer->final_ms ? 2 : passed >= peer->intermediate_ms ? 1 : 0;
}

/* ---- made ---- */

static void load(struct rig_dtls *peer, const struct rig_dtls_setup *setup)
{
    rig_check(mbedtls_x509_crt_parse_file(&peer->cert, pki(setup->pem)) == 0);
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    rig_check(mbedtls_pk_parse_keyfile(&peer->key, pki(setup->key), NULL, random_bytes, NULL) == 0);
#else
    rig_check(mbedtls_pk_parse_keyfile(&peer->key, pki(setup->key), NULL) == 0);
#endif
    rig_check(mbedtls_ssl_conf_own_cert(&peer->conf, &peer->cert, &peer->key) == 0);
}

static void ask_for_ids(struct rig_dtls *peer, bool wanted)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000 && defined(MBEDTLS_SSL_DTLS_CONNECTION_ID)
    rig_check(mbedtls_ssl_conf_cid(&peer->conf, 0, MBEDTLS_SSL_UNEXPECTED_CID_IGNORE) == 0);
    if (wanted) {
        rig_check(mbedtls_ssl_set_cid(&peer->ssl, MBEDTLS_SSL_CID_ENABLED, NULL, 0) == 0);
    }
#else
    rig_check(!wanted);
#endif
}

static void open_library(struct rig_dtls *peer, const struct rig_dtls_setup *setup)
{
    uint32_t least = setup->least_ms > 0 ? setup->least_ms : 50;

    mbedtls_ssl_init(&peer->ssl);
    mbedtls_ssl_config_init(&peer->conf);
    mbedtls_x509_crt_init(&peer->cert);
    mbedtls_pk_init(&peer->key);
    rig_check(mbedtls_ssl_config_defaults(
                  &peer->conf, setup->is_server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
                  MBEDTLS_SSL_TRANSPORT_DATAGRAM, MBEDTLS_SSL_PRESET_DEFAULT) == 0);
    if (setup->is_server) {
        mbedtls_ssl_conf_dtls_cookies(&peer->conf, NULL, NULL, NULL);
    }
    mbedtls_ssl_conf_rng(&peer->conf, random_bytes, NULL);
    mbedtls_ssl_conf_authmode(&peer->conf, MBEDTLS_SSL_VERIFY_NONE);
    mbedtls_ssl_conf_handshake_timeout(&peer->conf, least, 1 << 20);
    if (setup->pem) {
        load(peer, setup);
    }
    rig_check(mbedtls_ssl_setup(&peer->ssl, &peer->conf) == 0);
    ask_for_ids(peer, setup->connection_id);
    rig_check(mbedtls_ssl_set_hostname(&peer->ssl, "localhost") == 0);
    mbedtls_ssl_set_bio(&peer->ssl, peer, bio_send, bio_recv, NULL);
    mbedtls_ssl_set_timer_cb(&peer->ssl, peer, timer_set, timer_get);
}

static const struct rig_dtls_setup none;

void rig_dtls_open(struct rig_dtls *peer, uint16_t port, const struct rig_dtls_setup *setup)
{
    struct sockaddr_in own = {.sin_family = AF_INET};
    struct sockaddr_in other = {.sin_family = AF_INET, .sin_port = htons(port)};

    memset(peer, 0, sizeof *peer);
    own.sin_addr.s_addr = other.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    peer->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    rig_check(peer->fd >= 0);
    rig_check(bind(peer->fd, (struct sockaddr *)&own, sizeof own) == 0);
    rig_check(port == 0 || connect(peer->fd, (struct sockaddr *)&other, sizeof other) == 0);
    open_library(peer, setup ? setup : &none);
}

bool rig_dtls_turn(struct rig_dtls *peer)
{
    struct sockaddr_in other;
    socklen_t len = sizeof other;
    char byte;

    if (recvfrom(peer->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT, (struct sockaddr *)&other, &len) < 0) {
        return false;
    }
    rig_check(connect(peer->fd, (struct sockaddr *)&other, len) == 0);
    return true;
}

uint16_t rig_dtls_port(const struct rig_dtls *peer)
{
    struct sockaddr_in own;
    socklen_t len = sizeof own;

    rig_check(getsockname(peer->fd, (struct sockaddr *)&own, &len) == 0);
    return ntohs(own.sin_port);
}

static void close_library(struct rig_dtls *peer)
{
    mbedtls_ssl_free(&peer->ssl);
    mbedtls_ssl_config_free(&peer->conf);
    mbedtls_x509_crt_free(&peer->cert);
    mbedtls_pk_free(&peer->key);
}

void rig_dtls_begin_again(struct rig_dtls *peer, const struct rig_dtls_setup *setup)
{
    int fd = peer->fd;
    char byte;

    close_library(peer);
    memset(peer, 0, sizeof *peer);
    peer->fd = fd;
    while (recv(fd, &byte, sizeof byte, MSG_DONTWAIT) >= 0) {}
    open_library(peer, setup ? setup : &none);
}

void rig_dtls_close(struct rig_dtls *peer)
{
    close(peer->fd);
    close_library(peer);
}

/* ---- talk ---- */

static bool waits(int error)
{
    return error == MBEDTLS_ERR_SSL_WANT_READ || error == MBEDTLS_ERR_SSL_WANT_WRITE;
}

/* Until something has come, or the library's timer wants to be looked at. */
static void rest(struct rig_dtls *peer)
{
    struct pollfd wait = {.fd = peer->fd, .events = POLLIN};

    (void)poll(&wait, 1, 5);
}

int rig_dtls_step(struct rig_dtls *peer)
{
    int error = mbedtls_ssl_handshake(&peer->ssl);

    if (waits(error)) {
        rest(peer);
    }
    return error;
}

int rig_dtls_handshake(struct rig_dtls *peer)
{
    uint64_t deadline = rig_now_ms() + RIG_DEADLINE_MS;
    int error;

    do {
        rig_check(rig_now_ms() < deadline);
        error = rig_dtls_step(peer);
    } while (waits(error));
    return error;
}

void rig_dtls_connect(struct rig_dtls *peer, uint16_t port)
{
    int error;

    rig_dtls_open(peer, port, NULL);
    error = rig_dtls_handshake(peer);
    if (error != 0) {
        rig_fail(__FILE__, __LINE__, "the handshake ended with -0x%04x", (unsigned)-error);
    }
}

void rig_dtls_write(struct rig_dtls *peer, const void *data, size_t len)
{
    rig_check(mbedtls_ssl_write(&peer->ssl, data, len) == (int)len);
}

struct rig_datagram rig_dtls_record(struct rig_dtls *peer, const void *data, size_t len)
{
    size_t before = peer->sent_count < RIG_DTLS_KEPT_MAX ? peer->sent_count : 0;

    peer->sent_count = before;
    peer->holds = true;
    rig_dtls_write(peer, data, len);
    peer->holds = false;
    peer->sent_count = before;
    return peer->sent[before];
}

void rig_dtls_send(struct rig_dtls *peer, const void *data, size_t len)
{
    /* A port nobody listens at says so with the next call; the timer will find out by itself. */
    (void)send(peer->fd, data, len, MSG_NOSIGNAL);
}

int rig_dtls_read(struct rig_dtls *peer, void *buffer, size_t cap)
{
    uint64_t deadline = rig_now_ms() + RIG_DEADLINE_MS;
    int n;

    do {
        rig_check(rig_now_ms() < deadline);
        n = mbedtls_ssl_read(&peer->ssl, buffer, cap);
        if (waits(n)) {
            rest(peer);
        }
    } while (waits(n));
    return n;
}

bool rig_dtls_hears(struct rig_dtls *peer, int ms)
{
    struct pollfd wait = {.fd = peer->fd, .events = POLLIN};

    return poll(&wait, 1, ms) == 1;
}

void rig_dtls_expect_echo(struct rig_dtls *peer, const char *text)
{
    char answer[RIG_DTLS_CAP] = "";
    int n;

    rig_dtls_write(peer, text, strlen(text));
    do {
        n = rig_dtls_read(peer, answer, sizeof answer);
    } while (n == 0); /* of an empty record behind another the library tells */
    if (n != (int)strlen(text) || memcmp(answer, text, strlen(text)) != 0) {
        rig_fail(__FILE__, __LINE__, "not the echo of \"%s\": %d, \"%.*s\"", text, n, n > 0 ? n : 0,
                 answer);
    }
}

void rig_dtls_notify(struct rig_dtls *peer)
{
    (void)mbedtls_ssl_close_notify(&peer->ssl);
}

void rig_dtls_expect_notify(struct rig_dtls *peer)
{
    uint8_t unused[RIG_DTLS_CAP];
    int n;

    do {
        n = rig_dtls_read(peer, unused, sizeof unused);
    } while (n >= 0);
    if (n != MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
        rig_fail(__FILE__, __LINE__, "not a close_notify but -0x%04x", (unsigned)-n);
    }
}

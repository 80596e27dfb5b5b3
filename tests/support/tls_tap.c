/* A TLS peer with a hand on its own bytes. */
#include "support/tls_tap.h"

#include "support/pki.h"
#include "support/wait.h"

#include <errno.h>
#include <mbedtls/net_sockets.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#if MBEDTLS_VERSION_NUMBER >= 0x03000000
#include <psa/crypto.h>
#endif

#ifndef MBEDTLS_PRIVATE
#define MBEDTLS_PRIVATE(member) member /* of 2.28, where they are public */
#endif

/* Exported by every version of the library, declared for users by none. */
int mbedtls_ssl_write_record(mbedtls_ssl_context *ssl, int force_flush);

enum { HEAD = 5, LEVEL_FATAL = 2 };

/* ---- the library's way in and out ---- */

static int take_random(void *unused, unsigned char *bytes, size_t len)
{
    for (size_t got = 0; got < len;) {
        ssize_t n = getrandom(bytes + got, len - got, 0);

        rig_check(n > 0);
        got += (size_t)n;
    }
    return 0;
}

/* 0, or the library's error. */
static int send_all(struct rig_tap *tap, const uint8_t *data, size_t len)
{
    while (len > 0) {
        struct pollfd writable = {.fd = tap->peer.fd, .events = POLLOUT};
        ptrdiff_t sent;

        rig_check(poll(&writable, 1, RIG_DEADLINE_MS) == 1);
        sent = rig_peer_try_send(&tap->peer, data, len);
        if (sent < 0) {
            return MBEDTLS_ERR_NET_CONN_RESET;
        }
        tap->sent += (size_t)sent;
        data += sent;
        len -= (size_t)sent;
    }
    return 0;
}

/* 0, or the library's error. */
static int send_pieces(struct rig_tap *tap, const uint8_t *data, size_t len)
{
    int error = 0;

    for (size_t done = 0; done < len && error == 0; done += tap->piece) {
        size_t left = len - done;

        error = send_all(tap, data + done, left < tap->piece ? left : tap->piece);
        rig_await(rig_peer_has_arrived(&tap->peer));
    }
    return error;
}

static int send_bytes(void *arg, const unsigned char *data, size_t len)
{
    struct rig_tap *tap = arg;
    size_t n = len < tap->budget ? len : tap->budget;
    int error;

    if (tap->holds) {
        rig_append(&tap->held, data, len);
        return (int)len;
    }
    error = tap->piece > 0 ? send_pieces(tap, data, n) : send_all(tap, data, n);
    if (error < 0) {
        return error;
    }
    if (tap->budget != SIZE_MAX) {
        tap->budget -= n;
        if (tap->budget == 0 && tap->shuts) {
            shutdown(tap->peer.fd, SHUT_WR);
        }
    }
    return (int)len; /* the library must not notice where the line was cut */
}

static void note_records(struct rig_tap *tap, const uint8_t *data, size_t len)
{
    while (len > 0) {
        if (tap->head_len < HEAD) {
            tap->head[tap->head_len++] = *data++;
            len--;
            if (tap->head_len == HEAD) {
                tap->body_left = (size_t)tap->head[3] << 8 | tap->head[4];
                tap->alert_records += tap->head[0] == RIG_RECORD_ALERT;
            }
        } else {
            size_t n = len < tap->body_left ? len : tap->body_left;

            data += n;
            len -= n;
            tap->body_left -= n;
        }
        if (tap->head_len == HEAD && tap->body_left == 0) {
            tap->head_len = 0;
        }
    }
}

static int receive_bytes(void *arg, unsigned char *data, size_t len)
{
    struct rig_tap *tap = arg;
    ptrdiff_t n;

    if (tap->holds) {
        return MBEDTLS_ERR_SSL_WANT_READ;
    }
    n = rig_peer_receive_some(&tap->peer, data, len);
    if (n < 0) {
        return MBEDTLS_ERR_NET_CONN_RESET;
    }
    note_records(tap, data, (size_t)n);
    return (int)n; /* 0: the library calls it CONN_EOF */
}

/* ---- open ---- */

static void limit_version(mbedtls_ssl_config *conf, int version)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    if (version == 12) {
        mbedtls_ssl_conf_max_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_2);
    }
    mbedtls_ssl_conf_min_tls_version(conf, MBEDTLS_SSL_VERSION_TLS1_2);
#else
    rig_check(version <= 12);
    mbedtls_ssl_conf_min_version(conf, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
#endif
}

static void load_key(struct rig_tap *tap, const char *path)
{
#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    rig_check(mbedtls_pk_parse_keyfile(&tap->key, path, NULL, take_random, NULL) == 0);
#else
    rig_check(mbedtls_pk_parse_keyfile(&tap->key, path, NULL) == 0);
#endif
}

static void load_certificate(struct rig_tap *tap, const struct rig_tap_setup *setup)
{
    for (size_t i = 0; i <= setup->repeat; i++) {
        if (setup->der.len > 0) {
            rig_check(mbedtls_x509_crt_parse_der(&tap->cert, setup->der.data, setup->der.len) == 0);
        } else {
            rig_check(mbedtls_x509_crt_parse_file(&tap->cert, pki(setup->pem)) == 0);
        }
    }
    load_key(tap, pki(setup->key));
    rig_check(mbedtls_ssl_conf_own_cert(&tap->conf, &tap->cert, &tap->key) == 0);
}

void rig_tap_open(struct rig_tap *tap, struct rig_peer peer, const struct rig_tap_setup *setup)
{
    int role = setup->is_server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT;

#if MBEDTLS_VERSION_NUMBER >= 0x03000000
    rig_check(psa_crypto_init() == PSA_SUCCESS);
#endif
    memset(tap, 0, sizeof *tap);
    tap->peer = peer;
    tap->budget = SIZE_MAX;
    mbedtls_ssl_init(&tap->ssl);
    mbedtls_ssl_config_init(&tap->conf);
    mbedtls_x509_crt_init(&tap->cert);
    mbedtls_pk_init(&tap->key);
    rig_check(mbedtls_ssl_config_defaults(&tap->conf, role, MBEDTLS_SSL_TRANSPORT_STREAM,
                                          MBEDTLS_SSL_PRESET_DEFAULT) == 0);
    mbedtls_ssl_conf_rng(&tap->conf, take_random, NULL);
    mbedtls_ssl_conf_authmode(&tap->conf, MBEDTLS_SSL_VERIFY_NONE);
    limit_version(&tap->conf, setup->version > 0 ? setup->version : RIG_TLS_NEWEST);
    if (setup->key) {
        load_certificate(tap, setup);
    }
    rig_check(mbedtls_ssl_setup(&tap->ssl, &tap->conf) == 0);
    rig_check(mbedtls_ssl_set_hostname(&tap->ssl, setup->is_server ? NULL : "localhost") == 0);
    mbedtls_ssl_set_bio(&tap->ssl, tap, send_bytes, receive_bytes, NULL);
}

int rig_tap_handshake(struct rig_tap *tap)
{
    int error;

    do {
        error = mbedtls_ssl_handshake(&tap->ssl);
    } while (error == MBEDTLS_ERR_SSL_WANT_READ || error == MBEDTLS_ERR_SSL_WANT_WRITE);
    return error;
}

void rig_tap_connect(struct rig_tap *tap, uint16_t port, int version)
{
    int error;

    rig_tap_open(tap, rig_peer_tcp(port), &(struct rig_tap_setup){.version = version});
    error = rig_tap_handshake(tap);
    if (error != 0) {
        rig_fail(__FILE__, __LINE__, "handshake: -0x%04x", (unsigned)-error);
    }
}

/* ---- bytes ---- */

void rig_tap_write(struct rig_tap *tap, const void *data, size_t len)
{
    const uint8_t *bytes = data;

    while (len > 0) {
        int n = mbedtls_ssl_write(&tap->ssl, bytes, len);

        if (n <= 0) {
            rig_fail(__FILE__, __LINE__, "write: -0x%04x, %zu bytes are left", (unsigned)-n, len);
        }
        bytes += n;
        len -= (size_t)n;
    }
}

/* Whether reading goes on: what TLS 1.3 sends behind the handshake is no data. */
static bool is_no_answer(int n)
{
#ifdef MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET
    if (n == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
        return true;
    }
#endif
    return n == MBEDTLS_ERR_SSL_WANT_READ || n == MBEDTLS_ERR_SSL_WANT_WRITE;
}

static int read_some(struct rig_tap *tap, uint8_t *bytes, size_t len)
{
    int n;

    do {
        n = mbedtls_ssl_read(&tap->ssl, bytes, len);
    } while (is_no_answer(n));
    return n;
}

void rig_tap_read(struct rig_tap *tap, void *buffer, size_t len)
{
    uint8_t *bytes = buffer;

    while (len > 0) {
        int n = read_some(tap, bytes, len);

        if (n <= 0) {
            rig_fail(__FILE__, __LINE__, "read: -0x%04x, %zu bytes are missing", (unsigned)-n, len);
        }
        bytes += n;
        len -= (size_t)n;
    }
}

void rig_tap_expect_echo(struct rig_tap *tap, const char *text)
{
    char answer[256] = "";

    rig_check(strlen(text) < sizeof answer);
    rig_tap_write(tap, text, strlen(text));
    rig_tap_read(tap, answer, strlen(text));
    rig_check(strcmp(answer, text) == 0);
}

struct cw_span rig_tap_records(struct rig_tap *tap, const void *data, size_t len)
{
    tap->held.len = 0;
    tap->holds = true;
    rig_tap_write(tap, data, len);
    tap->holds = false;
    return cw_span_of(tap->held.data, tap->held.len);
}

struct cw_span rig_tap_hello(struct rig_tap *tap)
{
    tap->held.len = 0;
    tap->holds = true;
    while (tap->held.len == 0) {
        int error = mbedtls_ssl_handshake_step(&tap->ssl);

        rig_check(error == 0 || error == MBEDTLS_ERR_SSL_WANT_READ);
    }
    tap->holds = false;
    return cw_span_of(tap->held.data, tap->held.len);
}

struct rig_bytes rig_tap_hello_bytes(int version)
{
    struct rig_bytes bytes = {0};
    struct rig_tap tap;
    struct cw_span hello;

    rig_tap_open(&tap, (struct rig_peer){-1}, &(struct rig_tap_setup){.version = version});
    hello = rig_tap_hello(&tap);
    rig_append(&bytes, hello.data, hello.len);
    rig_tap_close(&tap);
    return bytes;
}

void rig_tap_forge(struct rig_tap *tap, uint8_t type, const void *data, size_t len)
{
    mbedtls_ssl_context *ssl = &tap->ssl;

    rig_check(len <= MBEDTLS_SSL_OUT_CONTENT_LEN);
    if (len > 0) {
        memcpy(ssl->MBEDTLS_PRIVATE(out_msg), data, len);
    }
    ssl->MBEDTLS_PRIVATE(out_msgtype) = type;
    ssl->MBEDTLS_PRIVATE(out_msglen) = len;
    rig_check(mbedtls_ssl_write_record(ssl, 1) == 0);
}

void rig_tap_notify(struct rig_tap *tap)
{
    rig_check(mbedtls_ssl_close_notify(&tap->ssl) == 0);
}

/* ---- the end ---- */

/* Behind the last record comes nothing but the end. */
static void skip_to_end(struct rig_tap *tap)
{
    uint8_t rest[256];
    ptrdiff_t n;

    do {
        n = rig_peer_receive_some(&tap->peer, rest, sizeof rest);
        if (n > 0) {
            note_records(tap, rest, (size_t)n);
        }
    } while (n > 0);
}

int rig_tap_end(struct rig_tap *tap)
{
    uint8_t bytes[4096];
    int alert;
    int n;

    do {
        n = read_some(tap, bytes, sizeof bytes);
    } while (n > 0);
    if (n == MBEDTLS_ERR_NET_CONN_RESET) {
        return RIG_TAP_RESET;
    }
    if (n == 0 || n == MBEDTLS_ERR_SSL_CONN_EOF) {
        return RIG_TAP_END;
    }
    if (n != MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY && n != MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
        rig_fail(__FILE__, __LINE__, "the end: -0x%04x", (unsigned)-n);
    }
    alert = n == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY ? 0 : tap->ssl.MBEDTLS_PRIVATE(in_msg)[1];
    shutdown(tap->peer.fd, SHUT_WR);
    skip_to_end(tap);
    return alert;
}

static int find_alert(const uint8_t *bytes, size_t len)
{
    while (len >= HEAD + 2) {
        size_t body = (size_t)bytes[3] << 8 | bytes[4];

        if (bytes[0] == RIG_RECORD_ALERT && body == 2 && bytes[HEAD] == LEVEL_FATAL) {
            return bytes[HEAD + 1];
        }
        if (body > len - HEAD) {
            break;
        }
        bytes += HEAD + body;
        len -= HEAD + body;
    }
    return RIG_TAP_END;
}

int rig_peer_alert(struct rig_peer *peer)
{
    struct rig_bytes all = {0};
    uint8_t bytes[4096];
    ptrdiff_t n;
    int alert;

    while ((n = rig_peer_receive_some(peer, bytes, sizeof bytes)) > 0) {
        rig_append(&all, bytes, (size_t)n);
    }
    alert = find_alert(all.data, all.len);
    rig_release(&all);
    return alert == RIG_TAP_END && n < 0 ? RIG_TAP_RESET : alert;
}

void rig_tap_close(struct rig_tap *tap)
{
    if (tap->peer.fd >= 0) {
        rig_peer_close(&tap->peer);
    }
    mbedtls_ssl_free(&tap->ssl);
    mbedtls_ssl_config_free(&tap->conf);
    mbedtls_x509_crt_free(&tap->cert);
    mbedtls_pk_free(&tap->key);
    rig_release(&tap->held);
}

/* ---- a server ---- */

struct cw_server *rig_tls_server(const struct cw_protocol *protocol,
                                 const struct cw_server_options *options,
                                 const struct cw_tls_options *tls)
{
    struct cw_server *server = cw_create_server(protocol);
    struct cw_tls_options own = tls ? *tls : (struct cw_tls_options){0};

    if (!own.cert) {
        own.cert = pki("server.pem");
        own.key = pki("server.key");
    }
    if (options) {
        rig_check(cw_server_configure(server, options) == CW_OK);
    }
    if (cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1", .tls = &own}) !=
        CW_OK) {
        rig_fail(__FILE__, __LINE__, "%s", cw_server_error(server));
    }
    return server;
}

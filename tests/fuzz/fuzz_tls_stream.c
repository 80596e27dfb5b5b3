/* A connection over TLS whose peer is the input. The first 6 bytes choose:
 *
 * ```text
 * 0  bit 0: we are the client; bit 1: the peer is a library whose bytes are altered, not the input itself;
 *    bit 2: altered bytes are taken out instead; bit 3: the peer ends without a goodbye
 * 1  how many bytes are sent together, 0: all
 * 2… where the altered ones begin, 16 bits
 * 4  version: odd is TLS 1.2 at most
 * 5  what the peer says when the handshake is done: so many messages
 * ```
 *
 * Whatever comes, the connection ends soon after its peer has, and its hooks are told once. */
#include "conn_impl.h"
#include "loop_impl.h"
#include "service_impl.h"
#include "support/pki.h"
#include "support/program.h"
#include "support/tls_tap.h"
#include "support/wait.h"
#include "tls/tls.h"
#include "work.h"

#include <causeway/client.h>
#include <causeway/line.h>
#include <causeway/log.h>

#include <fcntl.h>
#include <mbedtls/net_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHOICES = 6, TURNS = 60, TURNS_TO_END = 20000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Made once. */
static struct cw_loop *loop;
static struct cw_tls *server_tls;
static int listener;
static char address[32];

/* Of one input. */
static unsigned opened;
static unsigned closed;
static unsigned failed;

static void on_connection(struct cw_conn *conn, void *user)
{
    opened++;
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_conn_send(conn, msg);
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    closed++;
}

static void on_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    failed++;
    for (const char *at = report->text; *at; at++) {
        rig_check((unsigned char)*at >= ' ' && *at != 127);
    }
}

static const struct cw_hooks hooks = {
    .on_connection = on_connection, .on_data = on_data, .on_close = on_close, .on_error = on_error};

static void prepare(void)
{
    struct cw_tls_options options = {.cert = pki("server.pem"), .key = pki("server.key")};
    struct cw_tls_setup setup = {.options = &options, .role = CW_SERVER};
    struct cw_complaint complaint;
    uint16_t port;
    int error;

    cw_log_set_level(CW_LOG_SILENT);
    loop = cw_loop_create(&(struct cw_loop_setup){.work = cw_work_pool_new(1, 1),
                                                  .handshakes_per_turn = 16,
                                                  .mailbox_max = 16,
                                                  .mailbox_max_bytes = 65536,
                                                  .buffered_max = SIZE_MAX,
                                                  .drain_ms = 100});
    server_tls = cw_tls_new(&setup, &complaint, &error);
    rig_check(loop && server_tls);
    loop->phase = CW_LOOP_RUNNING;
    loop->thread = pthread_self();
    listener = rig_listen(&port);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
}

/* ---- our side ---- */

static void serve(int fd)
{
    struct cw_service service = {&cw_line, NULL, &hooks, NULL};
    struct cw_service_ref *ref = cw_service_new(&service, NULL);
    struct cw_limits limits = {.in_max = 65536,
                               .out_high = 65536,
                               .out_low = 32768,
                               .out_max = 1048576,
                               .reads_per_turn = 262144,
                               .messages_per_turn = 1024,
                               .drain = cw_ticks(100),
                               .handshake = cw_ticks(10000)};
    struct cw_origin *origin = cw_origin_new(ref, &limits, CW_SERVER);
    struct cw_conn *conn;

    rig_check(origin);
    origin->tls = cw_tls_hold(server_tls);
    conn = cw_conn_with_stream(loop, origin, fd, NULL);
    rig_check(conn);
    cw_origin_drop(origin);
    cw_conn_start(conn);
}

/* Returns the peer's descriptor. */
static int begin(bool as_client)
{
    int pair[2];
    int fd;

    opened = closed = failed = 0;
    if (!as_client) {
        rig_check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
        serve(pair[0]);
        return pair[1];
    }
    rig_check(cw_connect(loop, cw_service(&cw_line, &hooks, NULL), address,
                         &(struct cw_connect_options){
                             .attempts_max = 1,
                             .drain_ms = 100,
                             .tls = &(struct cw_tls_options){.insecure = true,
                                                             .server_name = "localhost"}}) > 0);
    cw_loop_turn(loop, false);
    fd = rig_accept(listener).fd;
    rig_check(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    return fd;
}

static void drop_answers(int fd)
{
    uint8_t bytes[16384];

    while (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {}
}

/* The peer has gone: so does the connection. */
static void end(int fd)
{
    close(fd);
    for (unsigned turn = 0; loop->slots.used > 0; turn++) {
        rig_check(turn < TURNS_TO_END);
        cw_loop_turn(loop, false);
    }
    for (unsigned turn = 0; turn < 3; turn++) {
        cw_loop_turn(loop, false);
    }
    rig_check(opened == closed);
    rig_check(opened + failed > 0);
}

/* ---- peers ---- */

static void send_input(int fd, const uint8_t *data, size_t size, size_t piece)
{
    for (size_t at = 0; at < size;) {
        size_t n = piece > 0 && piece < size - at ? piece : size - at;
        ssize_t sent = send(fd, data + at, n, MSG_NOSIGNAL | MSG_DONTWAIT);

        cw_loop_turn(loop, false);
        drop_answers(fd);
        if (sent < 0) {
            break;
        }
        at += (size_t)sent;
    }
    for (unsigned turn = 0; turn < 4; turn++) {
        cw_loop_turn(loop, false);
        drop_answers(fd);
    }
}

struct forger {
    struct rig_tap tap;
    const uint8_t *bytes; /* that are mixed in */
    size_t len;
    size_t at; /* in what is sent */
    size_t begin;
    bool takes_out;
};

static int forge(void *arg, const unsigned char *data, size_t len)
{
    struct forger *forger = arg;
    uint8_t copy[20000];
    size_t out = 0;

    rig_check(len <= sizeof copy);
    for (size_t i = 0; i < len; i++, forger->at++) {
        size_t offset = forger->at - forger->begin;
        bool is_mine = forger->at >= forger->begin && offset < forger->len;

        if (!is_mine || !forger->takes_out) {
            copy[out++] = (uint8_t)(data[i] ^ (is_mine ? forger->bytes[offset] : 0));
        }
    }
    if (send(forger->tap.peer.fd, copy, out, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        return MBEDTLS_ERR_NET_CONN_RESET;
    }
    return (int)len;
}

static int receive(void *arg, unsigned char *data, size_t len)
{
    struct forger *forger = arg;
    ssize_t n = recv(forger->tap.peer.fd, data, len, MSG_DONTWAIT);

    return n < 0 ? MBEDTLS_ERR_SSL_WANT_READ : (int)n;
}

static bool goes_on(int error)
{
    return error >= 0 || error == MBEDTLS_ERR_SSL_WANT_READ || error == MBEDTLS_ERR_SSL_WANT_WRITE;
}

static void talk(struct forger *forger, unsigned messages)
{
    mbedtls_ssl_context *ssl = &forger->tap.ssl;
    uint8_t answer[512];
    int error = MBEDTLS_ERR_SSL_WANT_READ;

    for (unsigned turn = 0; turn < TURNS && error != 0 && goes_on(error); turn++) {
        error = mbedtls_ssl_handshake(ssl);
        cw_loop_turn(loop, false);
    }
    for (unsigned i = 0; i < messages && error >= 0; i++) {
        error = mbedtls_ssl_write(ssl, (const unsigned char *)"hello, world\n", 13);
        cw_loop_turn(loop, false);
        if (error >= 0) {
            error = mbedtls_ssl_read(ssl, answer, sizeof answer);
            error = goes_on(error) ? 0 : error;
        }
    }
}

static void mix_in(int fd, const uint8_t *data, size_t size, const uint8_t *choice)
{
    struct forger forger = {.bytes = data,
                            .len = size,
                            .begin = (size_t)choice[2] << 8 | choice[3],
                            .takes_out = (choice[0] & 4) != 0};
    bool as_client = (choice[0] & 1) != 0;

    rig_tap_open(&forger.tap, (struct rig_peer){fd},
                 &(struct rig_tap_setup){.is_server = as_client,
                                         .version = choice[4] % 2 == 1 ? 12 : 0,
                                         .pem = "server.pem",
                                         .key = as_client ? "server.key" : NULL});
    mbedtls_ssl_set_bio(&forger.tap.ssl, &forger, forge, receive, NULL);
    talk(&forger, choice[5]);
    if (!(choice[0] & 8)) {
        (void)mbedtls_ssl_close_notify(&forger.tap.ssl);
        cw_loop_turn(loop, false);
    }
    forger.tap.peer.fd = -1;
    rig_tap_close(&forger.tap);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd;

    if (size < CHOICES || !pki_made()) {
        return 0;
    }
    if (!loop) {
        prepare();
    }
    fd = begin((data[0] & 1) != 0);
    if (data[0] & 2) {
        mix_in(fd, data + CHOICES, size - CHOICES, data);
    } else {
        send_input(fd, data + CHOICES, size - CHOICES, data[1]);
    }
    end(fd);
    return 0;
}

/* DTLS whose peer is the input: the gate in front of a server's socket, and the stream behind it. The first 8 bytes choose:
 *
 * ```text
 * 0  bit 0: we are the client; bit 1: the peer is a library whose datagrams are altered, not the input itself;
 *    bit 2: altered datagrams are lost instead; bit 3: altered ones come twice, as they were and altered;
 *    bit 4: they are held and come behind the next; bit 5: the peer ends without a goodbye;
 *    bit 6: behind the handshake the input comes, too
 * 1  milliseconds between two datagrams, times 16
 * 2… where the altered bytes begin in all that the peer sends, 16 bits
 * 4  the first datagram that is altered, lost …
 * 5  how many of them
 * 6  what the peer says when the handshake is done: so many messages
 * 7  the MTU, times 8, and 256
 * ```
 *
 * The input itself is datagrams: a length of 16 bits, and so many bytes. Whatever comes, the connection ends when its times are
 * over, its hooks are told once, and nothing is left. */
#include "conn_impl.h"
#include "loop_impl.h"
#include "server_impl.h"
#include "support/dtls_peer.h"
#include "support/pki.h"
#include "support/wait.h"
#include "tls/tls.h"
#include "tls/tls_stream_impl.h"
#include "work.h"

#include <causeway/client.h>
#include <causeway/log.h>
#include <causeway/udp.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHOICES = 8, TURNS = 40, STEP_MS = 4000, STEPS_TO_END = 100 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Made once. */
static struct cw_server *server;
static struct cw_loop *loop;
static uint64_t now = 1000000;

/* Of one input. */
static unsigned opened;
static unsigned closed;
static unsigned failed;

static uint64_t clock_of_ours(void)
{
    return now;
}

static void on_connection(struct cw_conn *conn, void *user)
{
    opened++;
    (void)cw_conn_send_bytes(conn, "hello", 5);
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    (void)cw_conn_send(conn, msg);
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    closed++;
}

static void on_error(struct cw_server *of, const struct cw_error_report *report, void *user)
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
    cw_log_set_level(CW_LOG_SILENT);
    server = cw_create_server(&cw_udp);
    rig_check(server);
    atomic_store(&server->live.conns_max, 100);
    atomic_store(&server->live.conns_per_ip_max, CW_NO_LIMIT);
    loop = cw_loop_create(&(struct cw_loop_setup){.server = server,
                                                  .work = cw_work_pool_new(1, 1),
                                                  .handshakes_per_turn = 16,
                                                  .mailbox_max = 16,
                                                  .mailbox_max_bytes = 65536,
                                                  .buffered_max = SIZE_MAX,
                                                  .drain_ms = 100});
    rig_check(loop);
    loop->clock = clock_of_ours;
    loop->phase = CW_LOOP_RUNNING;
    loop->thread = pthread_self();
}

static void turn(uint64_t ms)
{
    now += ms;
    cw_loop_turn(loop, false);
    cw_loop_update_time(loop);
    cw_loop_sweep(loop); /* its own timer knows nothing of our clock */
    cw_loop_end_turn(loop);
}

/* ---- our side ---- */

static struct cw_datagram_socket *serve(uint64_t mtu, uint16_t *port)
{
    struct cw_tls_options options = {
        .cert = pki("server.pem"), .key = pki("server.key"), .mtu_bytes = mtu};
    struct cw_tls_setup tls = {.options = &options, .role = CW_SERVER, .datagram = true};
    struct cw_service service = {&cw_udp, NULL, &hooks, NULL};
    struct cw_service_ref *ref = cw_service_new(&service, NULL);
    struct cw_limits limits = {.drain = cw_ticks(100), .handshake = cw_ticks(10000)};
    struct cw_origin *origin = cw_origin_new(ref, &limits, CW_SERVER);
    struct cw_datagram_options filled = {0};
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct cw_datagram_socket *made;
    struct cw_complaint complaint;
    socklen_t len = sizeof own;
    int error;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    rig_check(origin);
    origin->tls = cw_tls_new(&tls, &complaint, &error);
    rig_check(origin->tls);
    rig_check(bind(fd, (struct sockaddr *)&own, sizeof own) == 0);
    rig_check(getsockname(fd, (struct sockaddr *)&own, &len) == 0);
    cw_datagram_options_fill(&filled);
    made = cw_datagram_socket_new(
        &(struct cw_datagram_setup){.loop = loop, .origin = origin, .options = &filled, .fd = fd});
    rig_check(made && cw_datagram_socket_start(made) == CW_OK);
    cw_origin_drop(origin);
    *port = ntohs(own.sin_port);
    return made;
}

static void dial(uint64_t mtu, uint16_t port)
{
    char address[32];
    struct cw_tls_options options = {.insecure = true, .server_name = "localhost", .mtu_bytes = mtu};

    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    rig_check(cw_connect(loop, cw_service(&cw_udp, &hooks, NULL), address,
                         &(struct cw_connect_options){
                             .attempts_max = 1, .drain_ms = 100, .tls = &options}) > 0);
}

/* Its times pass, and what it had is gone. */
static void end(struct cw_datagram_socket *listener)
{
    for (unsigned step = 0; loop->slots.used > 0; step++) {
        rig_check(step < STEPS_TO_END);
        turn(STEP_MS);
    }
    if (listener) {
        cw_datagram_socket_free(listener);
    }
    for (unsigned i = 0; i < 3; i++) {
        turn(16);
    }
    rig_check(opened == closed);
    rig_check(!loop->tls || loop->tls->dtls_handshakes == 0);
}

/* ---- peers ---- */

struct forger {
    struct rig_dtls peer;
    struct cw_span bytes; /* that are mixed in */
    const uint8_t *choice;
    size_t at; /* bytes so far */
    size_t number;
    struct rig_datagram held;
};

static void pass(struct forger *forger, const struct rig_datagram *datagram)
{
    rig_dtls_send(&forger->peer, datagram->bytes, datagram->len);
    turn(forger->choice[1] * 16u);
}

static struct rig_datagram alter(const struct forger *forger, struct rig_datagram datagram)
{
    size_t begin = (size_t)forger->choice[2] << 8 | forger->choice[3];

    for (size_t i = 0; i < datagram.len; i++) {
        size_t offset = forger->at + i - begin;

        datagram.bytes[i] ^= offset < forger->bytes.len ? forger->bytes.data[offset] : 0;
    }
    return datagram;
}

static void forge(struct forger *forger, const struct rig_datagram *datagram)
{
    const uint8_t *choice = forger->choice;
    bool is_mine = forger->number >= choice[4] && forger->number - choice[4] < choice[5];
    struct rig_datagram altered = alter(forger, *datagram);

    forger->number++;
    forger->at += datagram->len;
    if (is_mine && (choice[0] & 4)) {
        return;
    }
    if (is_mine && (choice[0] & 8)) {
        pass(forger, datagram);
    }
    if (is_mine && (choice[0] & 16) && forger->held.len == 0) {
        forger->held = altered;
        return;
    }
    pass(forger, is_mine ? &altered : datagram);
    if (forger->held.len > 0) {
        pass(forger, &forger->held);
        forger->held.len = 0;
    }
}

/* Gives us what the library has for us, altered or not. */
static void move(struct forger *forger)
{
    struct rig_dtls *peer = &forger->peer;

    for (size_t i = 0; i < peer->sent_count; i++) {
        forge(forger, &peer->sent[i]);
    }
    peer->sent_count = 0;
    turn(forger->choice[1] * 16u);
}

static void send_input(struct rig_dtls *peer, struct cw_span input, uint64_t ms)
{
    while (input.len > 2) {
        size_t len = (size_t)input.data[0] << 8 | input.data[1];

        input = cw_span_of(input.data + 2, input.len - 2);
        len = len < input.len ? len : input.len;
        rig_dtls_send(peer, input.data, len);
        turn(ms);
        input = cw_span_of(input.data + len, input.len - len);
    }
}

static bool waits(int error)
{
    return error == MBEDTLS_ERR_SSL_WANT_READ || error == MBEDTLS_ERR_SSL_WANT_WRITE;
}

static void talk(struct forger *forger)
{
    mbedtls_ssl_context *ssl = &forger->peer.ssl;
    int error = MBEDTLS_ERR_SSL_WANT_READ;
    uint8_t unused[2048];

    for (unsigned i = 0; i < TURNS && waits(error); i++) {
        error = mbedtls_ssl_handshake(ssl);
        move(forger);
    }
    for (unsigned i = 0; i < forger->choice[6] && error == 0; i++) {
        (void)mbedtls_ssl_write(ssl, (const unsigned char *)"hello, world", i % 13);
        move(forger);
        (void)mbedtls_ssl_read(ssl, unused, sizeof unused);
    }
    if (error == 0 && !(forger->choice[0] & 32)) {
        (void)mbedtls_ssl_close_notify(ssl);
        move(forger);
    }
}

static void play(struct forger *forger, struct cw_span input)
{
    const uint8_t *choice = forger->choice;

    if ((choice[0] & 1) && !rig_dtls_turn(&forger->peer)) {
        turn(0);
        rig_check(rig_dtls_turn(&forger->peer));
    }
    if (choice[0] & 2) {
        forger->bytes = input;
        talk(forger);
    }
    if (!(choice[0] & 2) || (choice[0] & 64)) {
        send_input(&forger->peer, input, choice[1] * 16u);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct forger forger;
    struct cw_datagram_socket *listener = NULL;
    uint16_t port = 0;

    if (size < CHOICES || !pki_made()) {
        return 0;
    }
    if (!loop) {
        prepare();
    }
    bool as_client = (data[0] & 1) != 0;
    uint64_t mtu = 256 + data[7] * 8u;
    struct rig_dtls_setup setup = {.is_server = as_client,
                                   .pem = as_client ? "server.pem" : NULL,
                                   .key = as_client ? "server.key" : NULL};

    opened = closed = failed = 0;
    memset(&forger, 0, sizeof forger);
    forger.choice = data;
    if (!as_client) {
        listener = serve(mtu, &port);
    }
    rig_dtls_open(&forger.peer, port, &setup);
    forger.peer.holds = true;
    if (as_client) {
        dial(mtu, rig_dtls_port(&forger.peer));
    }
    play(&forger, cw_span_of(data + CHOICES, size - CHOICES));
    end(listener);
    rig_dtls_close(&forger.peer);
    return 0;
}

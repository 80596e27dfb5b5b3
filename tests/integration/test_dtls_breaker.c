/* What an attacker tries against DTLS. */
#include "support/dtls_peer.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/relay.h"
#include "support/secure.h"
#include "support/wait.h"

#include <causeway/log.h>
#include <causeway/udp.h>

#include <criterion/criterion.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static struct rig_secure secure;

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
}

TestSuite(dtls_breaker, .init = init, .fini = rig_expect_no_leak, .timeout = 60);

static void start(const struct cw_listen_options *given, const struct cw_udp_options *udp,
                  const struct cw_hooks *hooks)
{
    struct cw_tls_options tls = rig_identity("server.pem", "server.key");
    struct cw_server *server = cw_create_server(&cw_udp);
    struct cw_listen_options listen = *given;

    tls.connection_id = rig_has_connection_ids();
    listen.host = "127.0.0.1";
    listen.tls = &tls;
    cr_assert(server);
    cr_assert_eq(cw_udp_configure(server, udp), CW_OK);
    cr_assert_eq(cw_server_listen(server, &listen), CW_OK, "%s", cw_server_error(server));
    rig_secure_run(&secure, server, hooks ? hooks : &rig_secure_hooks);
}

static struct cw_datagram_stats stats(void)
{
    struct cw_datagram_stats all;

    cw_server_datagram_stats(rig_host_server(secure.host), &all);
    return all;
}

static void need_ids(void)
{
    if (!rig_has_connection_ids()) {
        cr_skip_test("this mbedTLS has no connection ids");
    }
}

/* ---- limits ---- */

Test(dtls_breaker, a_message_above_the_limit_is_dropped_under_the_keys_too)
{
    uint8_t bytes[65] = {0};
    struct rig_dtls peer;

    start(&(struct cw_listen_options){0}, &(struct cw_udp_options){.datagram_max_bytes = 64}, NULL);
    rig_dtls_connect(&peer, secure.port);
    rig_dtls_write(&peer, bytes, sizeof bytes);
    rig_dtls_expect_echo(&peer, "this one is short enough");
    cr_expect_eq(stats().dropped_truncated, 1);
    cr_expect_eq(atomic_load(&secure.closed), 0);
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

/* ---- a peer that moves ---- */

enum { MUCH = 1000, TIMES = 20 };

/* Answers `much` with much. */
static void answer_much(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    uint8_t bytes[MUCH] = {0};

    if (msg->body.len == 4) {
        for (int i = 0; i < TIMES; i++) {
            cw_conn_send_bytes(conn, bytes, sizeof bytes);
        }
    } else {
        rig_secure_hooks.on_data(conn, msg, user);
    }
}

/* It is the peer itself that writes another's address into its datagram. */
Test(dtls_breaker, an_address_that_a_peer_names_is_not_flooded)
{
    struct cw_hooks hooks = rig_secure_hooks;
    struct rig_datagram record;
    struct rig_dtls peer;
    struct rig_dtls victim;
    size_t heard = 0;
    uint64_t before;
    uint8_t buffer[2048];

    need_ids();
    hooks.on_data = answer_much;
    start(&(struct cw_listen_options){0}, &(struct cw_udp_options){0}, &hooks);
    rig_dtls_open(&peer, secure.port, &(struct rig_dtls_setup){.connection_id = true});
    cr_assert_eq(rig_dtls_handshake(&peer), 0);
    rig_dtls_expect_echo(&peer, "from the first address");
    rig_dtls_open(&victim, secure.port, NULL);
    record = rig_dtls_record(&peer, "much", 4);
    before = stats().sent;
    rig_dtls_send(&victim, record.bytes, record.len); /* its address, the peer's record */
    rig_await(stats().dropped_unproven + stats().sent - before >= TIMES);
    for (;;) {
        ssize_t n = recv(victim.fd, buffer, sizeof buffer, MSG_DONTWAIT);

        if (n < 0) {
            break;
        }
        heard += (size_t)n;
    }
    cr_expect_leq(heard, 3 * record.len);
    cr_expect_gt(stats().dropped_unproven, 0);
    rig_dtls_close(&victim);
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

static sem_t begun;
static sem_t may_go_on;

/* Echoes, and waits when it is told to, so that what comes meanwhile is read together. */
static void wait_and_echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    if (msg->body.len == 4 && memcmp(msg->body.data, "wait", 4) == 0) {
        sem_post(&begun);
        sem_wait(&may_go_on);
    } else {
        rig_secure_hooks.on_data(conn, msg, user);
    }
}

Test(dtls_breaker, what_is_said_behind_a_move_goes_to_the_new_address)
{
    struct cw_hooks hooks = rig_secure_hooks;
    struct rig_dtls peer;
    struct rig_dtls elsewhere;
    struct rig_datagram first;
    struct rig_datagram second;
    struct rig_dtls other;

    need_ids();
    sem_init(&begun, 0, 0);
    sem_init(&may_go_on, 0, 0);
    hooks.on_data = wait_and_echo;
    start(&(struct cw_listen_options){0}, &(struct cw_udp_options){0}, &hooks);
    rig_dtls_connect(&other, secure.port);
    rig_dtls_open(&peer, secure.port, &(struct rig_dtls_setup){.connection_id = true});
    cr_assert_eq(rig_dtls_handshake(&peer), 0);
    rig_dtls_open(&elsewhere, secure.port, NULL);
    first = rig_dtls_record(&peer, "first", 5);
    second = rig_dtls_record(&peer, "other", 5);
    rig_dtls_write(&other, "wait", 4);
    sem_wait(&begun);
    rig_dtls_send(&peer, first.bytes, first.len);
    rig_dtls_send(&elsewhere, second.bytes, second.len);
    sem_post(&may_go_on);
    cr_expect(rig_dtls_hears(&elsewhere, 5000), "the answer to what came from there");
    rig_dtls_close(&elsewhere);
    rig_dtls_close(&other);
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

/* The kernel gives each address to one of the workers' sockets, and a new address perhaps to another. */
Test(dtls_breaker, a_peer_that_moves_is_found_whatever_the_workers)
{
    struct cw_server *server = cw_create_server(&cw_udp);
    struct cw_tls_options tls = rig_identity("server.pem", "server.key");
    struct rig_relay *relay;
    struct rig_dtls peer;

    need_ids();
    tls.connection_id = true;
    cr_assert_eq(cw_server_configure(server, &(struct cw_server_options){.workers = 3}), CW_OK);
    cr_assert_eq(
        cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1", .tls = &tls}),
        CW_OK);
    rig_secure_run(&secure, server, &rig_secure_hooks);
    relay = rig_relay_start("127.0.0.1", secure.port, 1);
    rig_dtls_open(&peer, rig_relay_port(relay), &(struct rig_dtls_setup){.connection_id = true});
    cr_assert_eq(rig_dtls_handshake(&peer), 0);
    for (int i = 0; i < 20; i++) {
        rig_relay_rebind(relay, 1);
        rig_dtls_expect_echo(&peer, "from the next one");
    }
    rig_dtls_close(&peer);
    rig_relay_end(relay);
    rig_secure_end(&secure);
}

/* ---- everything at once ---- */

enum { STORM_PEERS = 10 };

static atomic_bool calm;
static _Thread_local uint64_t dice = 88172645463325252u;

static uint64_t roll(void)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice;
}

static void end_somehow(struct cw_conn *conn)
{
    switch (roll() % 12) {
    case 0:
        cw_conn_close(conn);
        break;
    case 1:
        cw_conn_abort(conn);
        break;
    case 2:
        cw_conn_pause(conn);
        break;
    case 3:
        cw_conn_resume(conn);
        break;
    case 4:
        cw_conn_set_idle(conn, 1 + roll() % 50);
        break;
    default:
        cw_conn_send_bytes(conn, "something", roll() % 9);
        break;
    }
}

static void storm_opened(struct cw_conn *conn, void *user)
{
    atomic_fetch_add(&secure.opened, 1);
    if (!atomic_load(&calm)) {
        end_somehow(conn);
    }
}

static void storm_closed(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    atomic_fetch_add(&secure.closed, 1);
}

static void storm_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    if (atomic_load(&calm)) {
        cw_conn_send(conn, msg);
    } else {
        end_somehow(conn);
        end_somehow(conn);
    }
}

static void open_anew(struct rig_dtls *peer, bool same_address)
{
    const struct rig_dtls_setup setup = {.pem = "client.pem",
                                         .key = "client.key",
                                         .least_ms = 5,
                                         .connection_id = rig_has_connection_ids()};

    if (same_address) {
        rig_dtls_begin_again(peer, &setup);
    } else {
        rig_dtls_close(peer);
        rig_dtls_open(peer, secure.port, &setup);
    }
}

/* What another has sent, from here, and perhaps altered. */
static void repeat_another(struct rig_dtls *peer, const struct rig_dtls *other)
{
    size_t count = other->sent_count < RIG_DTLS_KEPT_MAX ? other->sent_count : RIG_DTLS_KEPT_MAX;
    struct rig_datagram copy;

    if (count > 0) {
        copy = other->sent[(size_t)rand() % count];
        if (copy.len > 0 && rand() % 2) {
            copy.bytes[(size_t)rand() % copy.len] ^= (uint8_t)(1 << rand() % 8);
        }
        if (copy.len > 0 && rand() % 4 == 0) {
            copy.len = (size_t)rand() % copy.len;
        }
        rig_dtls_send(peer, copy.bytes, copy.len);
    }
}

static void send_nonsense(struct rig_dtls *peer)
{
    uint8_t bytes[64] = {(uint8_t)(20 + rand() % 7), 0xfe, 0xfd};
    size_t len = 13 + (size_t)rand() % (sizeof bytes - 13);

    bytes[4] = (uint8_t)(rand() % 3);
    bytes[10] = (uint8_t)rand();
    bytes[12] = (uint8_t)(len - 13);
    for (size_t i = 13; i < len; i++) {
        bytes[i] = (uint8_t)(rand() % 3 ? 0 : rand());
    }
    bytes[13] = (uint8_t)(rand() % 25);
    rig_dtls_send(peer, bytes, len);
}

static bool is_waiting(int error)
{
    return error == MBEDTLS_ERR_SSL_WANT_READ || error == MBEDTLS_ERR_SSL_WANT_WRITE;
}

static void go_on(struct rig_dtls *peer)
{
    uint8_t buffer[RIG_DTLS_CAP];
    int error = mbedtls_ssl_handshake(&peer->ssl);

    if (error == 0) {
        error = mbedtls_ssl_write(&peer->ssl, buffer, (size_t)rand() % 100);
        error = error < 0 ? error : mbedtls_ssl_read(&peer->ssl, buffer, sizeof buffer);
    }
    if (is_waiting(error)) {
        rig_dtls_hears(peer, rand() % 2);
    } else if (error < 0) {
        open_anew(peer, rand() % 2);
    }
}

static void storm(struct rig_dtls peers[STORM_PEERS], uint64_t ms)
{
    uint64_t until = rig_now_ms() + ms;

    while (rig_now_ms() < until) {
        struct rig_dtls *peer = &peers[rand() % STORM_PEERS];

        switch (rand() % 200) {
        case 0:
            open_anew(peer, true);
            break;
        case 1:
            open_anew(peer, false);
            break;
        case 2:
            repeat_another(peer, &peers[rand() % STORM_PEERS]);
            break;
        case 3:
            repeat_another(peer, peer);
            break;
        case 4:
            send_nonsense(peer);
            break;
        case 5:
            rig_dtls_send(peer, "", 0);
            break;
        case 6:
            if (rand() % 20 == 0) {
                cw_server_reload(rig_host_server(secure.host));
            }
            break;
        default:
            go_on(peer);
            break;
        }
    }
}

static void run_storm(unsigned seed, bool ends_in_it, uint64_t workers)
{
    static struct rig_dtls peers[STORM_PEERS];
    const struct cw_hooks hooks = {
        .on_connection = storm_opened, .on_data = storm_data, .on_close = storm_closed};
    struct cw_tls_options tls = rig_identity("server.pem", "server.key");
    struct cw_server *server = cw_create_server(&cw_udp);
    struct cw_listen_options listen = {
        .host = "127.0.0.1", .tls = &tls, .datagram = {.peers_max = 3 * STORM_PEERS}};
    struct rig_dtls known;

    srand(seed);
    atomic_store(&calm, false);
    tls.connection_id = rig_has_connection_ids() && workers == 1;
    tls.ca = pki("ca.pem");
    tls.client_cert = CW_CLIENT_CERT_REQUEST;
    tls.retransmit_min_ms = 20;
    cr_assert_eq(cw_server_configure(
                     server, &(struct cw_server_options){.workers = workers, .handshake_ms = 300}),
                 CW_OK);
    cr_assert_eq(cw_server_listen(server, &listen), CW_OK, "%s", cw_server_error(server));
    rig_secure_run(&secure, server, &hooks);
    for (size_t i = 0; i < STORM_PEERS; i++) {
        rig_dtls_open(&peers[i], secure.port, NULL);
    }
    storm(peers, 1000);
    atomic_store(&calm, true);
    if (!ends_in_it) {
        rig_dtls_connect(&known, secure.port);
        rig_dtls_expect_echo(&known, "still there");
        rig_dtls_close(&known);
    }
    rig_secure_end(&secure);
    for (size_t i = 0; i < STORM_PEERS; i++) {
        rig_dtls_close(&peers[i]);
    }
}

Test(dtls_breaker, hellos_records_and_ends_of_any_kind_at_any_time_do_no_harm)
{
    run_storm(1, false, 1);
    run_storm(2, true, 1);
    run_storm(3, true, 2);
}

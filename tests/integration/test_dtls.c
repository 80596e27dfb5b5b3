/* DTLS over sockets: records and messages, hellos and cookies, peers that begin again, and what a stranger can do to others. */
#include "support/dtls_peer.h"
#include "support/leak.h"
#include "support/memory.h"
#include "support/pki.h"
#include "support/secure.h"
#include "support/udp_peer.h"
#include "support/wait.h"

#include <causeway/log.h>
#include <causeway/udp.h>

#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NEVER_MS = 1 << 20 };

static struct rig_secure secure;
static atomic_uint messages;
static atomic_uint empty_messages;
static atomic_int sent; /* what the last send has answered */

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
}

TestSuite(dtls, .init = init, .fini = rig_expect_no_leak, .timeout = 120);

/* Sends back what it gets; a number is asked for so many bytes. */
static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    uint8_t many[4096] = {0};
    unsigned wanted = 0;
    char text[8] = "";

    if (msg->body.len > 0 && msg->body.len < sizeof text) {
        memcpy(text, msg->body.data, msg->body.len);
    }
    if (sscanf(text, "%u", &wanted) == 1 && wanted <= sizeof many) {
        atomic_store(&sent, cw_conn_send_bytes(conn, many, wanted));
    } else {
        rig_secure_hooks.on_data(conn, msg, user);
    }
    atomic_fetch_add(&empty_messages, msg->body.len == 0);
    atomic_fetch_add(&messages, 1);
}

static void start_with(const struct cw_tls_options *tls, const struct cw_server_options *options)
{
    struct cw_hooks hooks = rig_secure_hooks;
    struct cw_server *server = cw_create_server(&cw_udp);
    struct cw_listen_options listen = {.host = "127.0.0.1", .tls = tls};

    cr_assert(server);
    if (options) {
        cr_assert_eq(cw_server_configure(server, options), CW_OK);
    }
    cr_assert_eq(cw_server_listen(server, &listen), CW_OK, "%s", cw_server_error(server));
    hooks.on_data = on_data;
    rig_secure_run(&secure, server, &hooks);
}

static void start(void)
{
    struct cw_tls_options tls = rig_identity("server.pem", "server.key");

    start_with(&tls, NULL);
}

static struct cw_datagram_stats stats(void)
{
    struct cw_datagram_stats all;

    cw_server_datagram_stats(rig_host_server(secure.host), &all);
    return all;
}

/* As far as the hello with the cookie, which is the second one: each is said once. */
static void say_hello(struct rig_dtls *peer)
{
    rig_dtls_open(peer, secure.port, &(struct rig_dtls_setup){.least_ms = NEVER_MS});
    while (peer->sent_count < 2) {
        cr_assert_eq(rig_dtls_step(peer), MBEDTLS_ERR_SSL_WANT_READ);
    }
}

/* Sends one and waits until the server has read it: the kernel's buffer holds only so many. */
static void deliver(struct rig_dtls *peer, const void *data, size_t len)
{
    uint64_t before = stats().received;

    rig_dtls_send(peer, data, len);
    rig_await(stats().received > before);
}

static void expect_code(unsigned n, int code)
{
    const struct cw_close_reason *reason = rig_secure_reason(&secure, n);

    cr_expect_eq(reason->code, code, "%s", reason->text);
}

/* ---- records and messages ---- */

Test(dtls, a_connection_tells_what_is_spoken)
{
    struct rig_dtls peer;
    const struct rig_said *said;

    start();
    rig_dtls_connect(&peer, secure.port);
    rig_dtls_expect_echo(&peer, "hello");
    said = rig_secure_said(&secure, 0);
    cr_expect_str_eq(said->version, "DTLSv1.2");
    cr_expect_str_neq(said->group, "");
    cr_expect_str_eq(said->server_name, "localhost");
    cr_expect_not(said->info.resumed);
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

Test(dtls, each_record_of_a_datagram_is_a_message)
{
    struct rig_dtls peer;
    uint8_t joined[3 * RIG_DTLS_CAP];
    char text[16];
    size_t len = 0;

    start();
    rig_dtls_connect(&peer, secure.port);
    for (int i = 0; i < 3; i++) {
        struct rig_datagram record = rig_dtls_record(&peer, &"abc"[i], 1);

        memcpy(joined + len, record.bytes, record.len);
        len += record.len;
    }
    rig_dtls_send(&peer, joined, len);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(rig_dtls_read(&peer, text, sizeof text), 1);
        cr_expect_eq(text[0], "abc"[i]);
    }
    cr_expect_eq(atomic_load(&messages), 3);
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

Test(dtls, an_empty_record_is_an_empty_message_however_many_there_are)
{
    struct rig_dtls peer;

    start();
    rig_dtls_connect(&peer, secure.port);
    for (unsigned i = 1; i <= 10; i++) {
        rig_dtls_write(&peer, "", 0);
        rig_await(atomic_load(&empty_messages) == i);
    }
    rig_dtls_expect_echo(&peer, "full");
    cr_expect_eq(atomic_load(&messages), 11);
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

Test(dtls, a_record_that_comes_again_is_delivered_once)
{
    struct rig_dtls peer;
    struct rig_datagram once;
    struct rig_datagram empty;

    start();
    rig_dtls_connect(&peer, secure.port);
    empty = rig_dtls_record(&peer, "", 0);
    once = rig_dtls_record(&peer, "once", 4);
    for (int i = 0; i < 5; i++) {
        rig_dtls_send(&peer, once.bytes, once.len);
        rig_dtls_send(&peer, empty.bytes, empty.len);
    }
    rig_dtls_expect_echo(&peer, "once");
    rig_await(atomic_load(&messages) == 3);
    cr_expect_eq(atomic_load(&empty_messages), 1);
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

Test(dtls, a_message_larger_than_a_record_of_the_path_is_refused_and_counted)
{
    struct cw_tls_options tls = rig_identity("server.pem", "server.key");
    struct rig_dtls peer;
    uint8_t answer[4096];

    tls.mtu_bytes = 600;
    start_with(&tls, NULL);
    rig_dtls_connect(&peer, secure.port);
    rig_dtls_write(&peer, "500", 3);
    cr_expect_eq(rig_dtls_read(&peer, answer, sizeof answer), 500);
    rig_dtls_write(&peer, "601", 3);
    rig_await(atomic_load(&messages) == 2);
    cr_expect_eq(atomic_load(&sent), CW_ETOOBIG);
    cr_expect_eq(stats().dropped_too_big, 1);
    rig_dtls_expect_echo(&peer, "goes on");
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

Test(dtls, no_datagram_of_a_handshake_is_larger_than_the_path_takes)
{
    struct cw_tls_options tls = rig_identity("server.pem", "server.key");
    struct rig_dtls peer;
    uint8_t bytes[RIG_DTLS_CAP];
    int error;

    tls.mtu_bytes = 256;
    start_with(&tls, NULL);
    rig_dtls_open(&peer, secure.port, NULL);
    do {
        ssize_t n = recv(peer.fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);

        cr_expect_leq(n, 256);
        error = rig_dtls_step(&peer);
    } while (error == MBEDTLS_ERR_SSL_WANT_READ);
    cr_assert_eq(error, 0, "-0x%04x", (unsigned)-error);
    rig_dtls_expect_echo(&peer, "hello");
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

/* ---- the end ---- */

Test(dtls, the_peers_goodbye_ends_the_connection_and_is_answered)
{
    struct rig_dtls peer;

    start();
    rig_dtls_connect(&peer, secure.port);
    rig_dtls_expect_echo(&peer, "hello");
    rig_dtls_notify(&peer);
    expect_code(0, CW_BY_PEER);
    rig_dtls_expect_notify(&peer);
    cr_expect_eq(atomic_load(&secure.failed), 0);
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

Test(dtls, a_close_of_ours_says_goodbye)
{
    struct rig_dtls peer;

    start();
    rig_dtls_connect(&peer, secure.port);
    rig_dtls_write(&peer, "bye", 3);
    rig_dtls_expect_notify(&peer);
    expect_code(0, CW_BY_APP);
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

Test(dtls, a_server_that_stops_says_goodbye_to_its_peers)
{
    struct rig_dtls peer;

    start();
    rig_dtls_connect(&peer, secure.port);
    rig_dtls_expect_echo(&peer, "hello");
    rig_secure_end(&secure);
    rig_dtls_expect_notify(&peer);
    rig_dtls_close(&peer);
}

Test(dtls, a_handshake_that_stands_still_is_ended_by_its_deadline)
{
    struct cw_tls_options tls = rig_identity("server.pem", "server.key");
    struct cw_server_options options = {.handshake_ms = 200};
    struct rig_dtls peer;

    start_with(&tls, &options);
    say_hello(&peer);
    cr_expect_eq(rig_secure_report(&secure, 0)->code, CW_EHANDSHAKETIME, "%s",
                 secure.reports[0].text);
    rig_await(rig_host_conns(secure.host) == 0);
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

/* ---- what a stranger can do ---- */

Test(dtls, rubbish_from_a_peers_address_changes_nothing)
{
    static const uint8_t alert[] = {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, 2, 40};
    static const uint8_t sealed_alert[] = {21, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 99, 0, 2, 2, 40};
    struct rig_dtls peer;
    struct rig_datagram record;
    uint8_t rubbish[512];

    start();
    rig_dtls_connect(&peer, secure.port);
    rig_dtls_expect_echo(&peer, "before");
    record = rig_dtls_record(&peer, "altered", 7);
    for (size_t i = 0; i < record.len; i++) {
        struct rig_datagram altered = record;

        altered.bytes[i] ^= 1;
        deliver(&peer, altered.bytes, altered.len);
        deliver(&peer, record.bytes, i);
    }
    for (unsigned i = 0; i < sizeof rubbish; i++) {
        memset(rubbish, (int)i, sizeof rubbish);
        deliver(&peer, rubbish, i);
    }
    deliver(&peer, alert, sizeof alert);
    deliver(&peer, sealed_alert, sizeof sealed_alert);
    rig_dtls_expect_echo(&peer, "behind it");
    cr_expect_eq(atomic_load(&secure.failed), 0);
    cr_expect_eq(atomic_load(&secure.closed), 0);
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

/* The first hello of somebody, who does not get the answer. */
static struct rig_datagram hello_to(uint16_t port)
{
    struct rig_dtls peer;
    struct rig_datagram hello;

    rig_dtls_open(&peer, port, NULL);
    peer.holds = true;
    cr_assert_eq(mbedtls_ssl_handshake(&peer.ssl), MBEDTLS_ERR_SSL_WANT_READ);
    hello = peer.sent[0];
    rig_dtls_close(&peer);
    return hello;
}

static bool is_cookie_request(const struct rig_datagram *datagram)
{
    return datagram->len == 60 && datagram->bytes[0] == 22 && datagram->bytes[13] == 3;
}

static struct rig_datagram receive(const struct rig_dtls *peer)
{
    struct rig_datagram datagram = {.len = 0};
    ssize_t n;

    cr_assert(rig_dtls_hears((struct rig_dtls *)(uintptr_t)peer, RIG_DEADLINE_MS));
    n = recv(peer->fd, datagram.bytes, sizeof datagram.bytes, 0);
    datagram.len = n > 0 ? (size_t)n : 0;
    return datagram;
}

Test(dtls, a_hello_that_claims_a_peers_address_gets_a_cookie_and_changes_nothing)
{
    struct rig_dtls peer;
    struct rig_datagram hello;
    struct rig_datagram answer;

    start();
    hello = hello_to(secure.port);
    rig_dtls_connect(&peer, secure.port);
    rig_dtls_expect_echo(&peer, "before");
    rig_dtls_send(&peer, hello.bytes, hello.len);
    answer = receive(&peer);
    cr_expect(is_cookie_request(&answer));
    cr_expect_eq(stats().dtls_cookies, 2);
    rig_dtls_expect_echo(&peer, "behind it");
    cr_expect_eq(atomic_load(&secure.opened), 1);
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

Test(dtls, hellos_of_this_very_connection_that_come_late_change_nothing)
{
    struct rig_dtls peer;

    start();
    rig_dtls_connect(&peer, secure.port);
    rig_dtls_expect_echo(&peer, "before");
    cr_assert_geq(peer.sent_count, 2);
    for (int i = 0; i < 3; i++) {
        rig_dtls_send(&peer, peer.sent[0].bytes, peer.sent[0].len);
        rig_dtls_send(&peer, peer.sent[1].bytes, peer.sent[1].len); /* with its cookie */
    }
    rig_dtls_expect_echo(&peer, "behind them");
    cr_expect_eq(atomic_load(&secure.opened), 1);
    cr_expect_eq(atomic_load(&secure.closed), 0);
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

Test(dtls, a_peer_that_begins_again_at_its_address_is_a_new_connection)
{
    struct rig_dtls peer;

    start();
    rig_dtls_connect(&peer, secure.port);
    rig_dtls_expect_echo(&peer, "the first");
    rig_dtls_begin_again(
        &peer, &(struct rig_dtls_setup){.least_ms = NEVER_MS}); /* each hello is said once */
    cr_assert_eq(rig_dtls_handshake(&peer), 0);
    rig_dtls_expect_echo(&peer, "the second");
    expect_code(0, CW_BY_PEER);
    cr_expect_eq(atomic_load(&secure.opened), 2);
    cr_expect_eq(atomic_load(&secure.failed), 0);
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

Test(dtls, a_peer_that_begins_again_during_its_handshake_gets_another)
{
    struct rig_dtls peer;

    start();
    say_hello(&peer);
    cr_assert(rig_dtls_hears(&peer, RIG_DEADLINE_MS)); /* or the next one would hear this answer */
    rig_dtls_begin_again(&peer, NULL);
    cr_assert_eq(rig_dtls_handshake(&peer), 0);
    rig_dtls_expect_echo(&peer, "hello");
    cr_expect_eq(atomic_load(&secure.opened), 1);
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

Test(dtls, what_is_no_hello_gets_no_answer)
{
    struct rig_dtls peer;
    struct rig_datagram hello;

    start();
    hello = hello_to(secure.port);
    rig_dtls_open(&peer, secure.port, NULL);
    rig_dtls_send(&peer, "GET / HTTP/1.1\r\n\r\n", 18);
    rig_dtls_send(&peer, hello.bytes, hello.len - 1);
    rig_dtls_send(&peer, "", 0);
    rig_await(stats().dtls_ignored == 3);
    cr_expect_not(rig_dtls_hears(&peer, 50));
    cr_expect_eq(rig_host_conns(secure.host), 0);
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

Test(dtls, a_cookie_is_good_for_its_own_address_alone)
{
    struct rig_dtls peer;
    struct rig_dtls thief;
    struct rig_datagram answer;

    start();
    rig_dtls_connect(&peer, secure.port);
    rig_dtls_open(&thief, secure.port, NULL);
    rig_dtls_send(&thief, peer.sent[1].bytes, peer.sent[1].len);
    answer = receive(&thief);
    cr_expect(is_cookie_request(&answer));
    cr_expect_eq(stats().dtls_cookies, 2, "one for each of them");
    cr_expect_eq(rig_host_conns(secure.host), 1);
    cr_expect_eq(atomic_load(&secure.failed), 0, "%s", secure.reports[0].text);
    rig_dtls_close(&thief);
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

/* ---- floods ---- */

enum { FLOOD_PORTS = 200, FLOOD_EACH = 50 };

static void flood(const struct rig_datagram *hello)
{
    struct rig_udp from[FLOOD_PORTS];

    for (int i = 0; i < FLOOD_PORTS; i++) {
        from[i] = rig_udp_to(secure.port);
    }
    for (int i = 0; i < FLOOD_PORTS * FLOOD_EACH; i++) {
        uint64_t before = stats().received;

        rig_udp_send(&from[i % FLOOD_PORTS], hello->bytes, hello->len);
        rig_await(stats().received > before);
    }
    for (int i = 0; i < FLOOD_PORTS; i++) {
        rig_udp_close(&from[i]);
    }
}

Test(dtls, nothing_is_kept_for_hellos_without_a_cookie)
{
    struct rig_datagram hello;
    struct rig_dtls known;
    int64_t before;
    int64_t after;
    size_t resident;

    rig_memory_count();
    start();
    hello = hello_to(secure.port);
    rig_dtls_connect(&known, secure.port);
    rig_dtls_expect_echo(&known, "before");
    before = rig_memory_bytes();
    resident = rig_memory_resident();
    flood(&hello);
    after = rig_memory_bytes();
    resident = rig_memory_resident() - resident;
    cr_expect_geq(stats().dtls_cookies, FLOOD_PORTS * FLOOD_EACH);
    cr_expect_lt(after - before, 4096, "%lld bytes were kept", (long long)(after - before));
    cr_expect_lt((int64_t)resident, 4 << 20, "the library has kept %zu bytes", resident);
    cr_expect_eq(rig_host_conns(secure.host), 1);
    rig_dtls_expect_echo(&known, "behind it");
    rig_dtls_close(&known);
    rig_secure_end(&secure);
}

Test(dtls, handshakes_under_way_are_bounded_and_a_known_peer_is_served_meanwhile)
{
    enum { MOST = 8, PEERS = 40 };
    static struct rig_dtls stranger[PEERS];
    struct cw_tls_options tls = rig_identity("server.pem", "server.key");
    struct cw_server_options options = {.handshakes_max = MOST};
    struct rig_dtls known;

    start_with(&tls, &options);
    rig_dtls_connect(&known, secure.port);
    for (int i = 0; i < PEERS; i++) {
        say_hello(&stranger[i]);
        rig_dtls_expect_echo(&known, "still here");
    }
    rig_await(stats().dtls_ignored >= PEERS - MOST);
    cr_expect_leq(rig_host_conns(secure.host), MOST + 1);
    for (int i = 0; i < PEERS; i++) {
        rig_dtls_close(&stranger[i]);
    }
    rig_dtls_close(&known);
    rig_secure_end(&secure);
}

/* ---- certificates ---- */

Test(dtls, a_client_shows_its_certificate)
{
    struct cw_tls_options tls = rig_identity("server.pem", "server.key");
    struct rig_dtls peer;

    tls.client_cert = CW_CLIENT_CERT_REQUIRE;
    tls.ca = pki("ca.pem");
    start_with(&tls, NULL);
    rig_dtls_open(&peer, secure.port,
                  &(struct rig_dtls_setup){.pem = "client.pem", .key = "client.key"});
    cr_assert_eq(rig_dtls_handshake(&peer), 0);
    rig_dtls_expect_echo(&peer, "hello");
    cr_expect(rig_secure_said(&secure, 0)->info.verified);
    cr_expect(strstr(rig_secure_said(&secure, 0)->cert.subject, "CN=client"));
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

static void expect_refused(const char *pem, const char *key, const char *words)
{
    struct cw_tls_options tls = rig_identity("server.pem", "server.key");
    const struct cw_error_report *report;
    struct rig_dtls peer;

    tls.client_cert = CW_CLIENT_CERT_REQUIRE;
    tls.ca = pki("ca.pem");
    start_with(&tls, NULL);
    rig_dtls_open(&peer, secure.port, &(struct rig_dtls_setup){.pem = pem, .key = key});
    cr_expect_eq(rig_dtls_handshake(&peer), MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE);
    report = rig_secure_report(&secure, 0);
    cr_expect_eq(report->code, CW_ECERT, "%s", report->text);
    cr_expect(strstr(report->text, words), "%s", report->text);
    rig_await(rig_host_conns(secure.host) == 0);
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

Test(dtls, a_client_without_a_certificate_is_refused_where_one_is_required)
{
    expect_refused(NULL, NULL, "no certificate");
}

Test(dtls, a_client_with_a_strangers_certificate_is_refused)
{
    expect_refused("client_rogue.pem", "client_rogue.key", "unknown CA");
}

/* ---- resumption ---- */

static void come_back(enum cw_tls_resumption kind, bool expected)
{
    struct cw_tls_options tls = rig_identity("server.pem", "server.key");
    mbedtls_ssl_session session;
    struct rig_dtls peer;

    tls.resumption = kind;
    start_with(&tls, NULL);
    mbedtls_ssl_session_init(&session);
    rig_dtls_connect(&peer, secure.port);
    rig_dtls_expect_echo(&peer, "the first");
    cr_assert_eq(mbedtls_ssl_get_session(&peer.ssl, &session), 0);
    rig_dtls_close(&peer);
    rig_dtls_open(&peer, secure.port, NULL);
    cr_assert_eq(mbedtls_ssl_set_session(&peer.ssl, &session), 0);
    cr_assert_eq(rig_dtls_handshake(&peer), 0);
    rig_dtls_expect_echo(&peer, "the second");
    cr_expect_eq(rig_secure_said(&secure, 1)->info.resumed, expected);
    mbedtls_ssl_session_free(&session);
    rig_dtls_close(&peer);
    rig_secure_end(&secure);
}

Test(dtls, a_peer_comes_back_by_its_ticket)
{
    come_back(CW_TLS_TICKETS, true);
}

Test(dtls, a_peer_comes_back_by_the_session_cache)
{
    come_back(CW_TLS_SESSION_CACHE, true);
}

Test(dtls, without_resumption_every_handshake_is_a_full_one)
{
    come_back(CW_TLS_NO_RESUMPTION, false);
}

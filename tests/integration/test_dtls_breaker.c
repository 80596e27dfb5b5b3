/* What an attacker tries against DTLS. */
#include "support/dtls_peer.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/secure.h"
#include "support/wait.h"

#include <causeway/log.h>
#include <causeway/udp.h>

#include <criterion/criterion.h>
#include <semaphore.h>
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
    rig_dtls_open(&peer, 0, secure.port, &(struct rig_dtls_setup){.connection_id = true});
    cr_assert_eq(rig_dtls_handshake(&peer), 0);
    rig_dtls_expect_echo(&peer, "from the first address");
    rig_dtls_open(&victim, 0, secure.port, NULL);
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
    rig_dtls_open(&peer, 0, secure.port, &(struct rig_dtls_setup){.connection_id = true});
    cr_assert_eq(rig_dtls_handshake(&peer), 0);
    rig_dtls_open(&elsewhere, 0, secure.port, NULL);
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

/* Connection ids of DTLS (RFC 9146): a peer goes on from another address. Where the library has none, asking for them is a mistake. */
#include "support/dtls_peer.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/relay.h"
#include "support/secure.h"
#include "support/wait.h"

#include <causeway/log.h>
#include <causeway/udp.h>

#include <criterion/criterion.h>
#include <string.h>

static struct rig_secure secure;
static struct rig_relay *relay;

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
}

TestSuite(dtls_ids, .init = init, .fini = rig_expect_no_leak, .timeout = 60);

static void need_ids(void)
{
    if (!rig_has_connection_ids()) {
        cr_skip_test("this mbedTLS has no connection ids");
    }
}

static void start(bool ids)
{
    struct cw_tls_options tls = rig_identity("server.pem", "server.key");

    tls.connection_id = ids;
    tls.retransmit_min_ms = 50;
    rig_secure_start(&secure, &cw_udp, &tls, NULL);
    relay = rig_relay_start("127.0.0.1", secure.port, 1);
}

static void meet(struct rig_dtls *peer, bool ids)
{
    rig_dtls_open(peer, rig_relay_port(relay), &(struct rig_dtls_setup){.connection_id = ids});
    cr_assert_eq(rig_dtls_handshake(peer), 0);
    rig_dtls_expect_echo(peer, "from the first address");
}

static void end(struct rig_dtls *peer)
{
    rig_dtls_close(peer);
    rig_relay_end(relay);
    rig_secure_end(&secure);
}

Test(dtls_ids, a_peer_goes_on_from_another_address_and_is_answered_there)
{
    struct rig_dtls peer;

    need_ids();
    start(true);
    meet(&peer, true);
    for (int i = 0; i < 3; i++) {
        rig_relay_rebind(relay, 1);
        rig_dtls_expect_echo(&peer, "from the next one");
        rig_dtls_expect_echo(&peer, "and once more");
    }
    cr_expect_eq(atomic_load(&secure.opened), 1);
    rig_dtls_notify(&peer);
    rig_dtls_expect_notify(&peer);
    cr_expect_eq(rig_secure_reason(&secure, 0)->code, CW_BY_PEER);
    end(&peer);
}

Test(dtls_ids, without_the_option_another_address_is_another_peer)
{
    struct rig_dtls peer;

    start(false);
    meet(&peer, false);
    rig_relay_rebind(relay, 1);
    rig_dtls_write(&peer, "hello", 5);
    cr_expect_not(rig_dtls_hears(&peer, 100));
    cr_expect_eq(atomic_load(&secure.closed), 0, "and nobody can end another's connection so");
    end(&peer);
}

Test(dtls_ids, an_old_or_forged_record_from_elsewhere_moves_nobody)
{
    struct rig_dtls peer;
    struct rig_dtls thief;
    struct rig_datagram old;
    struct rig_datagram forged;
    char echo[16];

    need_ids();
    start(true);
    meet(&peer, true);
    old = rig_dtls_record(&peer, "old", 3);
    rig_dtls_send(&peer, old.bytes, old.len);
    cr_assert_eq(rig_dtls_read(&peer, echo, sizeof echo), 3);
    rig_dtls_open(&thief, rig_host_port(secure.host, 0), NULL);
    forged = rig_dtls_record(&peer, "new", 3);
    forged.bytes[forged.len - 1] ^= 1;
    rig_dtls_send(&thief, old.bytes, old.len);
    rig_dtls_send(&thief, forged.bytes, forged.len);
    cr_expect_not(rig_dtls_hears(&thief, 100));
    rig_dtls_expect_echo(&peer, "still here");
    cr_expect_not(rig_dtls_hears(&thief, 50));
    rig_dtls_close(&thief);
    end(&peer);
}

/* ---- a client of ours ---- */

static void on_opened(struct cw_conn *conn, void *user)
{
    cw_conn_send_bytes(conn, "one", 3);
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    unsigned *echoes = user;

    if (++*echoes == 1) {
        rig_relay_rebind(relay, 1);
        cw_conn_send_bytes(conn, "two", 3);
    } else {
        cw_conn_close(conn);
        cw_loop_stop(cw_conn_loop(conn));
    }
}

Test(dtls_ids, a_client_of_ours_is_found_again)
{
    static const struct cw_hooks hooks = {.on_connection = on_opened, .on_data = on_data};
    struct cw_tls_options tls = {.ca = pki("ca.pem"), .server_name = "localhost"};
    unsigned echoes = 0;
    struct cw_loop *loop;
    char address[32];

    need_ids();
    tls.connection_id = true;
    start(true);
    snprintf(address, sizeof address, "127.0.0.1:%u", rig_relay_port(relay));
    loop = cw_loop_new();
    cr_assert_gt(cw_connect(loop, cw_service(&cw_udp, &hooks, &echoes), address,
                            &(struct cw_connect_options){.tls = &tls}),
                 0);
    cr_assert_eq(cw_loop_run(loop), CW_OK);
    cw_loop_free(loop);
    cr_expect_eq(echoes, 2);
    cr_expect_eq(rig_secure_reason(&secure, 0)->code, CW_BY_PEER);
    cr_expect_eq(atomic_load(&secure.opened), 1);
    rig_relay_end(relay);
    rig_secure_end(&secure);
}

/* ---- the option ---- */

Test(dtls_ids, a_library_without_them_refuses_the_option_by_name)
{
    struct cw_tls_options tls = rig_identity("server.pem", "server.key");
    struct cw_server *server = cw_create_server(&cw_udp);

    tls.connection_id = true;
    if (rig_has_connection_ids()) {
        cr_expect_eq(cw_server_listen(server, &(struct cw_listen_options){.tls = &tls}), CW_OK);
    } else {
        cr_expect_eq(cw_server_listen(server, &(struct cw_listen_options){.tls = &tls}), CW_EINVAL);
        cr_expect(strstr(cw_server_error(server), "tls.connection_id: needs mbedTLS 3.6"), "%s",
                  cw_server_error(server));
    }
    cw_server_free(server);
}

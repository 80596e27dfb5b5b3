/* What an attacker tries against DTLS. */
#include "support/dtls_peer.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/secure.h"
#include "support/wait.h"

#include <causeway/log.h>
#include <causeway/udp.h>

#include <criterion/criterion.h>
#include <string.h>

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

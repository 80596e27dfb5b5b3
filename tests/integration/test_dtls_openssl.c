/* DTLS with OpenSSL on the other side. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/secure.h"

#include <causeway/udp.h>
#include <criterion/criterion.h>

static struct rig_secure secure;

static void need_openssl(void)
{
    if (!pki_made() || !rig_has_program("openssl")) {
        cr_skip_test("openssl is missing");
    }
}

TestSuite(dtls_openssl, .init = need_openssl, .fini = rig_expect_no_leak, .timeout = 240);

Test(dtls_openssl, s_client_verifies_the_server_and_gets_its_echo)
{
    struct cw_tls_options tls = rig_identity("server.pem", "server.key");
    struct rig_child child;
    const struct rig_said *said;

    rig_secure_start(&secure, &cw_udp, &tls, NULL);
    rig_s_client_visit(&child, &secure, RIG_WORDS("-dtls1_2"));
    rig_expect_text(&child, "DTLSv1.2");
    said = rig_secure_said(&secure, 0);
    cr_assert_str_eq(said->version, "DTLSv1.2");
    cr_assert_str_eq(said->group, "x25519");
    rig_secure_reason(&secure, 0);
    cr_assert_eq(secure.reasons[0].code, CW_BY_PEER, "%s", secure.reasons[0].text);
    rig_secure_end(&secure);
}

/* Whole handshakes in memory: who is let in, who is not and why, what both sides can tell, who may come back. */
#include "support/fault.h"
#include "support/handshake.h"
#include "support/leak.h"
#include "support/pki.h"
#include "tls/tls_library.h"
#include "tls/tls_stream_impl.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static void need_certificates(void)
{
    if (!pki_made()) {
        cr_skip_test("no openssl command");
    }
}

TestSuite(tls_handshake, .init = need_certificates, .fini = rig_expect_no_leak, .timeout = 60);

static const enum cw_tls_version versions[] = {CW_TLS_1_2, CW_TLS_1_3};

enum { VERSIONS = CW_TLS_HAS_1_3 ? 2 : 1 };

/* `server.pem` and `server.key` for "server". */
static struct cw_tls_options with_cert(const char *name)
{
    static char files[8][64];
    static size_t used;
    char *cert = files[used++ % 8];
    char *key = files[used++ % 8];

    snprintf(cert, sizeof files[0], "%s.pem", name);
    snprintf(key, sizeof files[0], "%s.key", name);
    return (struct cw_tls_options){.cert = pki(cert), .key = pki(key)};
}

static struct cw_tls_options trusting(const char *ca)
{
    return (struct cw_tls_options){.ca = pki(ca)};
}

/* ---- success ---- */

Test(tls_handshake, both_sides_tell_what_is_spoken)
{
    for (size_t i = 0; i < VERSIONS; i++) {
        struct cw_tls_options server = with_cert("server");
        struct cw_tls_options client = trusting("ca.pem");
        struct handshake hands;

        server.alpn = "h2, http/1.1";
        client.alpn = "http/1.1";
        client.max_version = versions[i];
        client.min_version = versions[i];
        handshake_try(&server, &client, NULL, &hands);
        cr_expect(hands.spoken);
        const char *version = i == 0 ? "TLSv1.2" : "TLSv1.3";
        cr_expect_str_eq(hands.server.version, version);
        cr_expect_str_eq(hands.client.version, version);
        cr_expect_str_eq(hands.server.cipher, hands.client.cipher);
        cr_expect_eq(strncmp(hands.server.cipher, i == 0 ? "TLS_ECDHE_ECDSA_" : "TLS_", 4), 0);
        cr_expect_str_eq(hands.server.server_name, "localhost");
        cr_expect_str_eq(hands.client.alpn, "http/1.1");
        cr_expect_str_eq(hands.server.alpn, "http/1.1");
        cr_expect(hands.client.info.verified);
        cr_expect(hands.client.info.has_peer_cert);
        cr_expect_str_empty(hands.client.info.why_not);
        cr_expect_not(hands.server.info.verified);
        cr_expect_not(hands.server.has_peer);
        cr_expect_str_eq(hands.server.info.why_not, "the peer has shown no certificate");
        cr_expect_str_eq(hands.client.peer.subject, "O=Causeway tests, CN=server");
    }
}

Test(tls_handshake, an_address_is_verified_and_is_no_server_name)
{
    static const char *const hosts[] = {"127.0.0.1", "::1", "[::1]"};

    for (size_t i = 0; i < 3; i++) {
        struct cw_tls_options server = with_cert("server");
        struct cw_tls_options client = trusting("ca.pem");
        struct handshake hands;

        handshake_try(&server, &client, hosts[i], &hands);
        cr_expect(hands.spoken, "%s: %s", hosts[i], hands.client.failure.text);
        cr_expect_str_empty(hands.server.server_name);
    }
}

Test(tls_handshake, a_chain_over_an_intermediate_is_followed)
{
    struct cw_tls_options server = with_cert("chain");
    struct cw_tls_options client = trusting("ca.pem");
    struct handshake hands;

    handshake_try(&server, &client, NULL, &hands);
    cr_expect(hands.spoken, "%s", hands.client.failure.text);
}

Test(tls_handshake, the_certificate_is_chosen_by_the_name)
{
    static const struct {
        const char *host;
        const char *shown;
    } cases[] = {
        {"alt.example", "CN=other"},    {"ALT.example.", "CN=other"},
        {"a.wild.example", "CN=other"}, {"third.example", "CN=third"},
        {"localhost", "CN=server"},     {"nobody.example", "CN=server"},
    };
    const struct cw_tls_certificate more[] = {
        {.cert = pki("other.pem"), .key = pki("other.key")},
        {.cert = pki("third.pem"), .key = pki("third.key"), .names = "third.example"},
    };
    struct cw_tls_options server = with_cert("server");

    server.certificates = more;
    server.certificate_count = 2;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cw_tls_options client = {.insecure = true};
        struct handshake hands;

        handshake_try(&server, &client, cases[i].host, &hands);
        cr_expect_not_null(strstr(hands.client.peer.subject, cases[i].shown), "%s: %s",
                           cases[i].host, hands.client.peer.subject);
    }
}

Test(tls_handshake, rsa_stands_beside_ecdsa_for_one_name)
{
    const struct cw_tls_certificate rsa = {.cert = pki("server_rsa.pem"),
                                           .key = pki("server_rsa.key")};
    static const char *const hosts[] = {"localhost", "127.0.0.1"};
    struct cw_tls_options server = with_cert("server");

    server.certificates = &rsa;
    server.certificate_count = 1;
    for (size_t i = 0; i < 2; i++) {
        struct cw_tls_options client = trusting("ca.pem");
        struct handshake hands;

        client.max_version = CW_TLS_1_2;
        handshake_try(&server, &client, hosts[i], &hands);
        cr_expect_str_eq(hands.client.peer.subject, "O=Causeway tests, CN=server");
        client.ciphers = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384";
        handshake_try(&server, &client, hosts[i], &hands);
        cr_expect_str_eq(hands.client.peer.subject, "O=Causeway tests, CN=server_rsa", "%s %s",
                         hosts[i], hands.client.failure.text);
        cr_expect_str_eq(hands.client.cipher, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384");
    }
}

/* ---- servers that a client refuses ---- */

static void expect_server_refused(const struct cw_tls_options *server,
                                  const struct cw_tls_options *client, int alert, const char *why)
{
    for (size_t i = 0; i < VERSIONS; i++) {
        struct cw_tls_options of_version = *client;
        struct handshake hands;

        of_version.min_version = of_version.max_version = versions[i];
        handshake_try(server, &of_version, NULL, &hands);
        cr_expect_eq(hands.client.failure.code, CW_ECERT);
        cr_expect_str_eq(hands.client.failure.text, why);
        cr_expect_eq(hands.client.failure.alert, alert);
        cr_expect_not(hands.client.failure.received);
        cr_expect_eq(hands.server.failure.code, CW_ETLS);
        cr_expect(hands.server.failure.received);
        cr_expect_eq(hands.server.failure.alert, alert, "%s: %s", why, hands.server.failure.text);
    }
}

static void expect_cert_refused(const char *cert, int alert, const char *why)
{
    struct cw_tls_options server = with_cert(cert);
    struct cw_tls_options client = trusting("ca.pem");

    expect_server_refused(&server, &client, alert, why);
}

Test(tls_handshake, a_server_with_another_name_is_refused)
{
    expect_cert_refused("wrong_name", 42, "the certificate is for other.invalid, not for localhost");
}

Test(tls_handshake, an_expired_server_is_refused)
{
    expect_cert_refused("expired", 45, "the certificate has expired");
}

Test(tls_handshake, a_server_whose_time_has_not_come_is_refused)
{
    expect_cert_refused("not_yet", 45, "the certificate is not valid yet");
}

Test(tls_handshake, a_self_signed_server_is_refused)
{
    expect_cert_refused("self_signed", 48, "the certificate is self-signed");
}

Test(tls_handshake, a_server_of_an_unknown_ca_is_refused)
{
    expect_cert_refused("unknown_ca", 48, "the certificate is signed by an unknown CA (rogue_ca)");
}

Test(tls_handshake, a_server_with_a_weak_key_is_refused)
{
    expect_cert_refused("weak", 43, "the certificate's key is too weak");
}

Test(tls_handshake, a_revoked_server_is_refused)
{
    struct cw_tls_options server = with_cert("revoked");
    struct cw_tls_options client = trusting("ca.pem");

    client.crl = pki("crl.pem");
    expect_server_refused(&server, &client, 44, "the certificate is revoked");
}

Test(tls_handshake, a_list_that_revokes_others_lets_the_rest_in)
{
    struct cw_tls_options server = with_cert("server");
    struct cw_tls_options client = trusting("ca.pem");
    struct handshake hands;

    client.crl = pki("crl.pem");
    handshake_try(&server, &client, NULL, &hands);
    cr_expect(hands.spoken, "%s", hands.client.failure.text);
}

Test(tls_handshake, behind_an_expired_revocation_list_everybody_is_refused)
{
    struct cw_tls_options server = with_cert("server");
    struct cw_tls_options client = trusting("ca.pem");

    client.crl = pki("crl_old.pem");
    expect_server_refused(&server, &client, 46, "the revocation list has expired");
}

/* ---- fingerprints and trust that is switched off ---- */

static void read_fingerprint(char digits[65])
{
    FILE *file = fopen(pki("server.sha256"), "r");

    cr_assert_not_null(file);
    cr_assert_eq(fscanf(file, "%64s", digits), 1);
    fclose(file);
}

Test(tls_handshake, with_a_fingerprint_one_certificate_is_accepted_and_no_ca_is_asked)
{
    char digits[65];
    struct cw_tls_options client = {.fingerprint = digits};
    struct cw_tls_options server = with_cert("server");
    struct handshake hands;

    read_fingerprint(digits);
    handshake_try(&server, &client, "whoever.example", &hands);
    cr_expect(hands.spoken, "%s", hands.client.failure.text);
    cr_expect(hands.client.info.verified);
    cr_expect_str_eq(hands.client.peer.fingerprint, digits);
    server = with_cert("next");
    expect_server_refused(&server, &client, 42,
                          "the certificate's fingerprint differs from the expected one");
}

Test(tls_handshake, an_insecure_client_takes_anything_and_says_why_it_should_not)
{
    struct cw_tls_options server = with_cert("self_signed");
    struct cw_tls_options client = {.insecure = true};
    struct handshake hands;

    handshake_try(&server, &client, NULL, &hands);
    cr_expect(hands.spoken, "%s", hands.client.failure.text);
    cr_expect_not(hands.client.info.verified);
    cr_expect_str_eq(hands.client.info.why_not, "the certificate is self-signed");
}

/* ---- clients that a server asks ---- */

static struct cw_tls_options asking(enum cw_client_cert how)
{
    struct cw_tls_options server = with_cert("server");

    server.client_cert = how;
    server.ca = pki("ca.pem");
    return server;
}

static struct cw_tls_options showing(const char *cert)
{
    struct cw_tls_options client = cert ? with_cert(cert) : (struct cw_tls_options){0};

    client.ca = pki("ca.pem");
    return client;
}

Test(tls_handshake, a_good_client_is_known_by_its_certificate)
{
    for (size_t i = 0; i < VERSIONS; i++) {
        for (int how = CW_CLIENT_CERT_REQUEST; how <= CW_CLIENT_CERT_REQUIRE; how++) {
            struct cw_tls_options server = asking((enum cw_client_cert)how);
            struct cw_tls_options client = showing("client");
            struct handshake hands;

            server.max_version = versions[i];
            handshake_try(&server, &client, NULL, &hands);
            cr_expect(hands.spoken, "%s", hands.server.failure.text);
            cr_expect(hands.server.info.verified);
            cr_expect_str_eq(hands.server.peer.subject, "O=Causeway tests, CN=client");
        }
    }
}

static void expect_client_refused(const struct cw_tls_options *server, const char *cert, int alert,
                                  const char *why)
{
    for (size_t i = 0; i < VERSIONS; i++) {
        struct cw_tls_options of_version = *server;
        struct cw_tls_options client = showing(cert);
        struct handshake hands;

        of_version.max_version = versions[i];
        handshake_try(&of_version, &client, NULL, &hands);
        cr_expect_eq(hands.server.failure.code, CW_ECERT);
        cr_expect_str_eq(hands.server.failure.text, why);
        cr_expect_not(hands.server.failure.received);
        if (alert != CW_NO_ALERT) {
            cr_expect_eq(hands.server.failure.alert, alert);
            cr_expect(hands.client.failure.received);
            cr_expect_eq(hands.client.failure.alert, alert, "%s: %s", why,
                         hands.client.failure.text);
        }
    }
}

Test(tls_handshake, where_a_certificate_is_required_none_is_refused)
{
    struct cw_tls_options server = asking(CW_CLIENT_CERT_REQUIRE);

    expect_client_refused(&server, NULL, CW_NO_ALERT, "the peer has shown no certificate");
#if CW_TLS_HAS_1_3
    struct cw_tls_options client = showing(NULL);
    struct handshake hands;

    handshake_try(&server, &client, NULL, &hands);
    cr_expect_str_eq(hands.client.failure.text, "the peer refused: no_certificate (41)");
    cr_expect_eq(hands.server.failure.alert, 41);
#endif
}

Test(tls_handshake, where_a_certificate_is_requested_none_is_fine)
{
    struct cw_tls_options server = asking(CW_CLIENT_CERT_REQUEST);
    struct cw_tls_options client = showing(NULL);
    struct handshake hands;

    handshake_try(&server, &client, NULL, &hands);
    cr_expect(hands.spoken, "%s", hands.server.failure.text);
    cr_expect_not(hands.server.info.verified);
    cr_expect_str_eq(hands.server.info.why_not, "the peer has shown no certificate");
}

Test(tls_handshake, a_bad_client_is_refused_whether_required_or_requested)
{
    for (int how = CW_CLIENT_CERT_REQUEST; how <= CW_CLIENT_CERT_REQUIRE; how++) {
        struct cw_tls_options server = asking((enum cw_client_cert)how);

        expect_client_refused(&server, "client_rogue", 48,
                              "the certificate is signed by an unknown CA (rogue_ca)");
        expect_client_refused(&server, "client_expired", 45, "the certificate has expired");
        expect_client_refused(&server, "client_wrong_purpose", 43,
                              "the certificate is for another purpose");
        server.crl = pki("crl.pem");
        expect_client_refused(&server, "client_revoked", 44, "the certificate is revoked");
    }
}

Test(tls_handshake, a_bad_client_is_let_in_where_that_is_said_and_the_server_knows)
{
    for (int how = CW_CLIENT_CERT_REQUEST; how <= CW_CLIENT_CERT_REQUIRE; how++) {
        static const char *const bad[] = {"client_rogue", "client_expired", "client_wrong_purpose"};

        for (size_t i = 0; i < 3; i++) {
            struct cw_tls_options server = asking((enum cw_client_cert)how);
            struct cw_tls_options client = showing(bad[i]);
            struct handshake hands;

            server.accept_unauthorized = true;
            handshake_try(&server, &client, NULL, &hands);
            cr_expect(hands.spoken, "%s: %s", bad[i], hands.server.failure.text);
            cr_expect(hands.server.has_peer);
            cr_expect_not(hands.server.info.verified, "%s", bad[i]);
            cr_expect_str_not_empty(hands.server.info.why_not);
        }
    }
}

Test(tls_handshake, letting_bad_clients_in_does_not_let_those_in_that_show_nothing)
{
    struct cw_tls_options server = asking(CW_CLIENT_CERT_REQUIRE);

    server.accept_unauthorized = true;
    expect_client_refused(&server, NULL, CW_NO_ALERT, "the peer has shown no certificate");
}

/* ---- nothing in common ---- */

Test(tls_handshake, without_a_suite_in_common_both_say_so)
{
    struct cw_tls_options server = with_cert("server");
    struct cw_tls_options client = trusting("ca.pem");
    struct handshake hands;

    server.max_version = client.max_version = CW_TLS_1_2;
    client.ciphers = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384";
    handshake_try(&server, &client, NULL, &hands);
    cr_expect_eq(hands.server.failure.code, CW_ETLS);
    cr_expect_eq(strncmp(hands.server.failure.text, "no cipher suite", 15), 0, "%s",
                 hands.server.failure.text);
    cr_expect_eq(hands.server.failure.alert, 40);
    cr_expect_str_eq(hands.client.failure.text, "the peer refused: handshake_failure (40)");
}

Test(tls_handshake, without_a_protocol_in_common_both_say_so)
{
    for (size_t i = 0; i < VERSIONS; i++) {
        struct cw_tls_options server = with_cert("server");
        struct cw_tls_options client = trusting("ca.pem");
        struct handshake hands;

        server.alpn = "h2";
        client.alpn = "http/1.1";
        client.max_version = versions[i];
        handshake_try(&server, &client, NULL, &hands);
        cr_expect_str_eq(hands.server.failure.text, "no protocol (ALPN) in common");
        cr_expect_str_eq(hands.client.failure.text,
                         "the peer refused: no_application_protocol (120)");
    }
}

/* ---- coming back ---- */

struct pair {
    struct cw_tls *server;
    struct cw_tls *client;
};

static bool comes_back(const struct pair *pair)
{
    struct handshake hands;

    handshake_run(pair->server, pair->client, &hands);
    cr_expect(hands.spoken, "%s / %s", hands.server.failure.text, hands.client.failure.text);
    cr_expect_eq(hands.client.info.resumed, hands.server.info.resumed);
    cr_expect(hands.client.info.verified);
    cr_expect(hands.client.info.has_peer_cert);
    return hands.client.info.resumed;
}

static struct pair pair_of(struct cw_tls_options server, enum cw_tls_version version)
{
    struct cw_tls_options client = trusting("ca.pem");

    client.max_version = version;
    return (struct pair){handshake_server(&server), handshake_client(&client, NULL)};
}

static void drop_pair(struct pair *pair)
{
    cw_tls_drop(pair->server);
    cw_tls_drop(pair->client);
}

Test(tls_handshake, a_client_comes_back_with_a_ticket)
{
    for (size_t i = 0; i < VERSIONS; i++) {
        struct pair pair = pair_of(with_cert("server"), versions[i]);

        cr_expect_not(comes_back(&pair));
        cr_expect(comes_back(&pair), "version %d", (int)versions[i]);
        cr_expect(comes_back(&pair));
        drop_pair(&pair);
    }
}

/* A connection of the client's that ends before its handshake does. */
static void fail_once(struct cw_tls *client)
{
    struct cw_loop *loop = cw_loop_new();
    struct cw_conn conn = {.loop = loop};
    struct cw_stream *stream = cw_tls_stream_new(client, loop);

    ((struct cw_tls_stream *)(void *)stream)->conn = &conn;
    cw_tls_stream_drop(stream);
    cw_loop_free(loop);
}

Test(tls_handshake, a_session_whose_handshake_failed_is_not_offered_again)
{
    for (size_t i = 0; i < VERSIONS; i++) {
        struct pair pair = pair_of(with_cert("server"), versions[i]);

        cr_expect_not(comes_back(&pair));
        cr_expect(comes_back(&pair));
        fail_once(pair.client);
        cr_expect_not(comes_back(&pair), "version %d", (int)versions[i]);
        cr_expect(comes_back(&pair));
        drop_pair(&pair);
    }
}

Test(tls_handshake, a_client_comes_back_by_the_servers_cache)
{
    struct cw_tls_options server = with_cert("server");

    server.resumption = CW_TLS_SESSION_CACHE;
    struct pair pair = pair_of(server, CW_TLS_1_2);
    cr_expect_not(comes_back(&pair));
    cr_expect(comes_back(&pair));
    drop_pair(&pair);
}

Test(tls_handshake, without_resumption_every_handshake_is_a_full_one)
{
    for (size_t i = 0; i < VERSIONS; i++) {
        struct cw_tls_options server = with_cert("server");

        server.resumption = CW_TLS_NO_RESUMPTION;
        struct pair pair = pair_of(server, versions[i]);
        cr_expect_not(comes_back(&pair));
        cr_expect_not(comes_back(&pair));
        drop_pair(&pair);
    }
}

Test(tls_handshake, a_session_of_one_context_is_not_resumed_under_another)
{
    for (size_t i = 0; i < VERSIONS; i++) {
        struct pair pair = pair_of(with_cert("server"), versions[i]);
        struct cw_tls_options same = with_cert("server");

        cr_expect_not(comes_back(&pair));
        cw_tls_drop(pair.server);
        pair.server = handshake_server(&same);
        cr_expect_not(comes_back(&pair));
        drop_pair(&pair);
    }
}

Test(tls_handshake, what_a_server_knew_of_a_client_it_knows_when_it_comes_back)
{
    for (size_t i = 0; i < VERSIONS; i++) {
        struct cw_tls_options client = showing("client");
        struct cw_tls_options server = asking(CW_CLIENT_CERT_REQUIRE);
        struct pair pair = {handshake_server(&server), NULL};

        client.max_version = versions[i];
        pair.client = handshake_client(&client, NULL);
        for (int again = 0; again < 3; again++) {
            struct handshake hands;

            handshake_run(pair.server, pair.client, &hands);
            cr_expect(hands.spoken, "%s", hands.server.failure.text);
            cr_expect(hands.server.info.verified);
            cr_expect_str_eq(hands.server.peer.subject, "O=Causeway tests, CN=client");
        }
        drop_pair(&pair);
    }
}

Test(tls_handshake, a_bad_client_that_was_let_in_is_still_bad_when_it_comes_back)
{
    for (int how = CW_CLIENT_CERT_REQUEST; how <= CW_CLIENT_CERT_REQUIRE; how++) {
        for (size_t i = 0; i < VERSIONS; i++) {
            struct cw_tls_options client = showing("client_rogue");
            struct cw_tls_options server = asking((enum cw_client_cert)how);

            server.accept_unauthorized = true;
            client.max_version = versions[i];
            struct pair pair = {handshake_server(&server), handshake_client(&client, NULL)};
            for (int again = 0; again < 2; again++) {
                struct handshake hands;

                handshake_run(pair.server, pair.client, &hands);
                cr_expect(hands.spoken, "%s", hands.server.failure.text);
                cr_expect_not(hands.server.info.verified);
            }
            drop_pair(&pair);
        }
    }
}

Test(tls_handshake, a_refused_client_forgets_what_it_offered)
{
    struct pair pair = pair_of(with_cert("server"), CW_TLS_1_2);
    struct cw_tls_options expired = with_cert("expired");
    struct cw_tls *bad = handshake_server(&expired);
    struct handshake hands;

    cr_expect_not(comes_back(&pair));
    handshake_run(bad, pair.client, &hands);
    cr_expect_not(hands.spoken);
    cr_expect_not(comes_back(&pair));
    cw_tls_drop(bad);
    drop_pair(&pair);
}

/* ---- reload ---- */

static void reload(struct cw_tls *tls, struct cw_tls_options options)
{
    struct cw_complaint complaint = {""};

    cr_expect_eq(cw_tls_reload(tls, &options, &complaint), CW_OK, "%s", complaint.text);
}

Test(tls_handshake, new_connections_get_the_new_certificate_and_old_tickets_still_open)
{
    struct pair pair = pair_of(with_cert("server"), CW_TLS_1_2);
    struct cw_tls_options client = trusting("ca.pem");
    struct handshake hands;

    cr_expect_not(comes_back(&pair));
    reload(pair.server, with_cert("next"));
    cr_expect(comes_back(&pair));
    struct cw_tls *newcomer = handshake_client(&client, NULL);
    handshake_run(pair.server, newcomer, &hands);
    cr_expect_str_eq(hands.client.peer.subject, "O=Causeway tests, CN=next");
    cw_tls_drop(newcomer);
    drop_pair(&pair);
}

Test(tls_handshake, when_trust_changes_nobody_comes_back_with_an_old_verdict)
{
    struct cw_tls_options server = asking(CW_CLIENT_CERT_REQUIRE);
    struct cw_tls_options client = showing("client_revoked");
    struct cw_tls_options stricter = asking(CW_CLIENT_CERT_REQUIRE);
    struct handshake hands;

    client.max_version = CW_TLS_1_2;
    struct pair pair = {handshake_server(&server), handshake_client(&client, NULL)};
    cr_expect_not(comes_back(&pair));
    cr_expect(comes_back(&pair));
    stricter.crl = pki("crl.pem");
    reload(pair.server, stricter);
    handshake_run(pair.server, pair.client, &hands);
    cr_expect_str_eq(hands.server.failure.text, "the certificate is revoked");
    drop_pair(&pair);
}

Test(tls_handshake, a_reload_of_a_client_forgets_its_session)
{
    struct pair pair = pair_of(with_cert("server"), CW_TLS_1_2);
    struct cw_complaint complaint = {""};

    cr_expect_not(comes_back(&pair));
    cr_expect_eq(cw_tls_reload(pair.client, NULL, &complaint), CW_OK, "%s", complaint.text);
    cr_expect_not(comes_back(&pair));
    cr_expect(comes_back(&pair));
    drop_pair(&pair);
}

Test(tls_handshake, a_reload_that_fails_keeps_the_old_and_says_why)
{
    struct pair pair = pair_of(with_cert("server"), CW_TLS_1_2);
    struct cw_tls_options wrong = with_cert("next");
    struct cw_complaint complaint = {""};

    wrong.key = pki("server.key");
    cr_expect_eq(cw_tls_reload(pair.server, &wrong, &complaint), CW_ECERT);
    cr_expect_not_null(strstr(complaint.text, "does not belong to the certificate"));
    cr_expect_not(comes_back(&pair));
    cr_expect(comes_back(&pair));
    drop_pair(&pair);
}

/* ---- peers that are none of ours ---- */

struct feed {
    const unsigned char *bytes;
    size_t len;
    unsigned char sent[64];
    size_t sent_len;
};

static int swallow(void *context, const unsigned char *bytes, size_t len)
{
    struct feed *feed = context;

    for (size_t i = 0; i < len && feed->sent_len < sizeof feed->sent; i++) {
        feed->sent[feed->sent_len++] = bytes[i];
    }
    return (int)len;
}

static int serve(void *context, unsigned char *bytes, size_t len)
{
    struct feed *feed = context;

    len = len < feed->len ? len : feed->len;
    memcpy(bytes, feed->bytes, len);
    feed->bytes += len;
    feed->len -= len;
    return (int)len; /* 0: the end */
}

/* What a server says of these bytes; the alert that it sent has to be the one it tells of. */
static struct cw_tls_failure served(const unsigned char *bytes, size_t len)
{
    struct cw_tls_options options = with_cert("server");
    struct cw_tls *tls = handshake_server(&options);
    struct cw_tls_session session;
    struct cw_tls_failure failure;
    struct feed feed = {.bytes = bytes, .len = len};
    int result = 0;

    memset(&session, 0, sizeof session);
    cr_assert_eq(cw_tls_session_open(&session, tls), CW_OK);
    mbedtls_ssl_set_bio(&session.ssl, &feed, swallow, serve, NULL);
    while (result == 0) {
        result = cw_tls_session_step(&session);
    }
    cw_tls_explain(&session, result, &failure);
    if (feed.sent_len == 7 && feed.sent[0] == 21) {
        cr_expect_eq(feed.sent[6], failure.alert, "%s", failure.text);
    }
    cw_tls_session_close(&session);
    cw_tls_drop(tls);
    return failure;
}

Test(tls_handshake, a_peer_with_an_older_version_only_is_told_so)
{
    /* A hello of TLS 1.1: version, 32 random bytes, no session, one suite, no compression. */
    unsigned char hello[5 + 4 + 41] = {22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2};

    hello[5 + 4 + 2 + 32 + 1 + 1] = 2;
    hello[5 + 4 + 2 + 32 + 1 + 2] = 0xc0;
    hello[5 + 4 + 2 + 32 + 1 + 3] = 0x09;
    hello[5 + 4 + 2 + 32 + 1 + 4] = 1;
    struct cw_tls_failure failure = served(hello, sizeof hello);

    cr_expect_eq(failure.code, CW_ETLS);
    cr_expect_str_eq(failure.text, "the peer offers only TLS 1.1, this side needs 1.2");
    cr_expect_eq(failure.alert, 70);
    cr_expect_not(failure.received);
}

Test(tls_handshake, bytes_that_are_no_tls_are_named)
{
    struct cw_tls_failure failure = served((const unsigned char *)"GET / HTTP/1.1\r\n\r\n", 18);

    cr_expect_eq(failure.code, CW_ETLS);
    cr_expect_str_eq(failure.text, "the peer sent something that is no TLS");
    failure = served((const unsigned char *)"\x16\x03\x01\x50\x00", 5);
    cr_expect_str_eq(failure.text, "the peer sent a record that is too long");
    cr_expect_eq(failure.alert, 22);
}

Test(tls_handshake, an_end_in_a_hello_is_a_truncation)
{
    struct cw_tls_failure failure = served((const unsigned char *)"\x16\x03\x01\x00\x2d\x01", 6);

    cr_expect_eq(failure.code, CW_ETRUNCATED);
    cr_expect_eq(failure.alert, CW_NO_ALERT);
}

/* ---- no memory ---- */

Test(tls_handshake, a_context_without_memory_is_refused_and_leaks_nothing)
{
    struct cw_tls_certificate more = {.cert = pki("other.pem"), .key = pki("other.key")};
    struct cw_tls_options options = asking(CW_CLIENT_CERT_REQUIRE);
    bool failed = true;

    options.certificates = &more;
    options.certificate_count = 1;
    options.crl = pki("crl.pem");
    options.alpn = "h2";
    fault_install();
    for (size_t nth = 1; failed; nth++) {
        struct cw_complaint complaint = {""};
        int error = CW_OK;

        fault_arm(nth);
        struct cw_tls *tls = cw_tls_new(&(struct cw_tls_setup){&options, CW_SERVER, NULL, false},
                                        &complaint, &error);
        failed = fault_disarm();
        cr_expect_eq(tls == NULL, failed);
        cr_expect_eq(error, failed ? CW_ENOMEM : CW_OK, "%s", complaint.text);
        cw_tls_drop(tls);
    }
    fault_remove();
}

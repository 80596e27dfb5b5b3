/* Handshakes of DTLS over a bad line: datagrams are lost, come twice, and overtake each other. */
#include "support/dtls_peer.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/relay.h"
#include "support/secure.h"
#include "support/wait.h"

#include <causeway/log.h>
#include <causeway/udp.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { NEVER_MS = 1 << 20 };

static struct rig_secure secure;
static struct rig_relay *relay;

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
}

TestSuite(dtls_loss, .init = init, .fini = rig_expect_no_leak, .timeout = 240);

/* Behind a relay, at which `secure` is from here on. */
static void start(const struct cw_tls_options *more, uint64_t seed)
{
    struct cw_tls_options tls = rig_identity("server.pem", "server.key");

    if (more) {
        tls = *more;
        tls.cert = pki("server.pem");
        tls.key = pki("server.key");
    }
    tls.retransmit_min_ms = tls.retransmit_min_ms ? tls.retransmit_min_ms : 50;
    rig_secure_start(&secure, &cw_udp, &tls, NULL);
    relay = rig_relay_start("127.0.0.1", secure.port, seed);
    secure.port = rig_relay_port(relay);
    snprintf(secure.address, sizeof secure.address, "127.0.0.1:%u", secure.port);
}

/* What was held comes now, when it means nothing any more; nothing of it may disturb. */
static void end(unsigned conns)
{
    rig_relay_end(relay);
    rig_secure_end(&secure);
    cr_expect_eq(atomic_load(&secure.opened), conns);
    cr_expect_eq(atomic_load(&secure.failed), 0, "%s", secure.reports[0].text);
}

static void clear_the_line(void)
{
    for (int way = RIG_UP; way < RIG_WAYS; way++) {
        rig_relay_set(relay, (enum rig_way)way, NULL);
        rig_relay_release(relay, (enum rig_way)way);
    }
}

static void visit(const struct rig_dtls_setup *setup, const char *what)
{
    struct rig_dtls peer;
    int error;

    rig_dtls_open(&peer, secure.port, setup);
    error = rig_dtls_handshake(&peer);
    cr_assert_eq(error, 0, "%s: -0x%04x", what, (unsigned)-error);
    clear_the_line();
    rig_dtls_expect_echo(&peer, "hello");
    rig_dtls_notify(&peer);
    rig_dtls_expect_notify(&peer);
    rig_dtls_close(&peer);
}

/* ---- one at a time ---- */

static void lose_one(enum rig_way way, enum rig_mischief mischief, const char *name)
{
    unsigned conns = 0;
    char what[64];

    start(NULL, 1);
    for (size_t at = 1; at <= 7; at++) {
        const struct rig_step step = {
            .client = (unsigned)at, .at = at, .what = mischief, .amount = 2};
        const struct rig_faults faults = {.steps = &step, .step_count = 1};

        snprintf(what, sizeof what, "%s of number %zu", name, at);
        rig_relay_set(relay, way, &faults);
        visit(NULL, what);
        conns++;
    }
    end(conns);
}

Test(dtls_loss, whichever_datagram_of_the_client_is_lost_the_handshake_comes_to_its_end)
{
    lose_one(RIG_UP, RIG_DROP, "loss");
}

Test(dtls_loss, whichever_datagram_of_the_server_is_lost_the_handshake_comes_to_its_end)
{
    lose_one(RIG_DOWN, RIG_DROP, "loss");
}

Test(dtls_loss, whichever_datagram_of_the_client_comes_late_the_handshake_comes_to_its_end)
{
    lose_one(RIG_UP, RIG_HOLD, "delay");
}

Test(dtls_loss, whichever_datagram_of_the_server_comes_late_the_handshake_comes_to_its_end)
{
    lose_one(RIG_DOWN, RIG_HOLD, "delay");
}

Test(dtls_loss, what_the_server_has_sent_is_sent_again_by_its_own_timer)
{
    static const struct rig_step lost = {.at = 2,
                                         .what = RIG_DROP}; /* behind the request for a cookie */

    start(NULL, 1);
    rig_relay_set(relay, RIG_DOWN, &(struct rig_faults){.steps = &lost, .step_count = 1});
    visit(&(struct rig_dtls_setup){.least_ms = NEVER_MS}, "the client says nothing twice");
    end(1);
}

/* ---- everything at once ---- */

static void by_chance(const struct cw_tls_options *tls, unsigned peers)
{
    const struct rig_faults bad = {
        .per_mille = {[RIG_DROP] = 200, [RIG_DOUBLE] = 150, [RIG_HOLD] = 200}};
    char what[64];

    start(tls, 20260101);
    for (unsigned i = 1; i <= peers; i++) {
        snprintf(what, sizeof what, "peer %u", i);
        rig_relay_set(relay, RIG_UP, &bad);
        rig_relay_set(relay, RIG_DOWN, &bad);
        visit(NULL, what);
    }
    end(peers);
}

Test(dtls_loss, handshakes_come_to_their_end_on_a_bad_line)
{
    by_chance(NULL, 12);
}

Test(dtls_loss, handshakes_in_many_small_datagrams_come_to_their_end_on_a_bad_line)
{
    by_chance(&(struct cw_tls_options){.mtu_bytes = 300}, 8);
}

/* ---- the times ---- */

static size_t answers_within(struct rig_dtls *peer, int ms)
{
    uint64_t deadline = rig_now_ms() + (uint64_t)ms;

    while (rig_now_ms() < deadline) {
        (void)rig_dtls_hears(peer, 10);
    }
    return (size_t)rig_relay_counts(relay, RIG_DOWN).received;
}

Test(dtls_loss, a_server_waits_longer_each_time_but_not_longer_than_the_longest)
{
    struct cw_tls_options slow = {.retransmit_min_ms = 50, .retransmit_max_ms = 100};
    struct rig_dtls peer;
    size_t first;

    start(&slow, 1);
    rig_dtls_open(&peer, secure.port, &(struct rig_dtls_setup){.least_ms = NEVER_MS});
    while (peer.sent_count < 2) {
        cr_assert_eq(rig_dtls_step(&peer), MBEDTLS_ERR_SSL_WANT_READ);
    }
    rig_await(rig_relay_counts(relay, RIG_DOWN).received >= 2);
    first = (size_t)rig_relay_counts(relay, RIG_DOWN).received;
    rig_await(rig_relay_counts(relay, RIG_DOWN).received >= first + 6);
    cr_expect_lt(answers_within(&peer, 300), 60, "it is not sent in every turn");
    rig_dtls_close(&peer);
    rig_relay_end(relay);
    rig_secure_end(&secure);
}

/* ---- OpenSSL ---- */

static void openssl_with(const struct rig_faults *up, const struct rig_faults *down)
{
    struct rig_child child;

    if (!rig_has_program("openssl")) {
        cr_skip_test("openssl is missing");
    }
    start(NULL, 7);
    rig_relay_set(relay, RIG_UP, up);
    rig_relay_set(relay, RIG_DOWN, down);
    /* Without -nbio a datagram that is passed over makes it wait for the next one, and for nothing else. */
    rig_s_client(&child, &secure, RIG_WORDS("-dtls1_2", "-brief", "-nbio"));
    rig_child_await_text(&child, "Verification: OK");
    clear_the_line();
    rig_s_client_talk(&child);
    cr_expect_eq(rig_secure_reason(&secure, 0)->code, CW_BY_PEER);
    end(1);
}

Test(dtls_loss, s_client_comes_through_when_a_datagram_of_each_flight_is_lost)
{
    static const struct rig_step up[] = {{.at = 2, .what = RIG_DROP}, {.at = 4, .what = RIG_DROP}};
    static const struct rig_step down[] = {{.at = 1, .what = RIG_DROP}, {.at = 3, .what = RIG_DROP}};

    openssl_with(&(struct rig_faults){.steps = up, .step_count = 2},
                 &(struct rig_faults){.steps = down, .step_count = 2});
}

Test(dtls_loss, s_client_comes_through_when_all_comes_twice_or_out_of_order)
{
    const struct rig_faults faults = {.per_mille = {[RIG_DOUBLE] = 700, [RIG_HOLD] = 150}};

    openssl_with(&faults, &faults);
}

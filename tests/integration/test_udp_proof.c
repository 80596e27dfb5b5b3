/* What a peer of datagrams is sent before its address is proven, and how it proves it. */
#include "loop_impl.h"
#include "support/leak.h"
#include "support/udp_scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(udp_proof, .fini = rig_expect_no_leak, .timeout = 60);

static struct rig_scene scene;

/* ---- amplification ---- */

/* What is done on the loop, and what came of it. */
struct deed {
    size_t len; /* bytes to send */
    int answer;
    uint64_t credit; /* after it */
    bool proven;
};

static void look(struct cw_conn *conn, struct deed *deed)
{
    deed->credit = cw_conn_credit(conn);
    deed->proven = cw_conn_is_proven(conn);
}

static void do_send(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    static uint8_t zeros[RIG_UDP_MAX];
    struct deed *deed = arg;

    rig_check(conn);
    deed->answer = cw_conn_send_bytes(conn, zeros, deed->len);
    look(conn, deed);
}

static void do_look(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(conn);
    look(conn, arg);
}

static void do_set_proven(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(conn);
    cw_conn_set_proven(conn);
    look(conn, arg);
}

static struct deed sent(uint64_t id, size_t len)
{
    struct deed deed = {.len = len};

    rig_host_run(scene.host, id, do_send, &deed);
    return deed;
}

static uint64_t credit_of(uint64_t id)
{
    struct deed deed = {0};

    rig_host_run(scene.host, id, do_look, &deed);
    return deed.credit;
}

/* A server that says nothing by itself, and a peer that has sent it so many bytes. */
static uint64_t begin_quiet(struct rig_udp *peer, uint64_t factor, size_t bytes)
{
    static const uint8_t zeros[4096];

    rig_udp_begin(&scene, &(struct rig_udp_setup){.datagram = {.amplification = factor},
                                                  .hooks = &rig_story_hooks});
    *peer = rig_udp_peer(&scene);
    rig_udp_send(peer, zeros, bytes);
    rig_await(atomic_load(&scene.story.messages) == 1);
    return rig_scene_conn(&scene);
}

static void expect_limit(uint64_t option, uint64_t factor)
{
    enum { SAID = 100 };
    static const uint8_t zeros[4096];
    struct rig_udp peer;
    uint64_t id = begin_quiet(&peer, option, SAID);
    uint64_t credit = SAID * factor;
    struct deed deed;

    cr_expect_eq(credit_of(id), credit);
    deed = sent(id, credit + 1);
    cr_expect_eq(deed.answer, CW_EUNPROVEN);
    cr_expect_eq(deed.credit, credit, "what is refused costs nothing");
    rig_udp_await(&scene, dropped_unproven, 1);
    deed = sent(id, credit - 1);
    cr_expect_eq(deed.answer, CW_OK);
    cr_expect_eq(deed.credit, 1);
    cr_expect_eq(sent(id, 2).answer, CW_EUNPROVEN);
    cr_expect_eq(sent(id, 1).answer, CW_OK);
    cr_expect_eq(sent(id, 1).answer, CW_EUNPROVEN);
    rig_udp_await(&scene, dropped_unproven, 3);
    rig_udp_expect_bytes(&peer, zeros, credit - 1);
    rig_udp_expect_bytes(&peer, zeros, 1);
    rig_udp_expect_nothing(&peer);

    rig_udp_send(&peer, zeros, 10);
    rig_await(atomic_load(&scene.story.messages) == 2);
    cr_expect_eq(credit_of(id), 10 * factor, "what it sends later counts too");
    cr_expect_eq(atomic_load(&scene.story.closed), 0);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_proof, an_unproven_peer_is_sent_three_times_what_it_has_sent_and_not_a_byte_more)
{
    expect_limit(0, 3);
}

Test(udp_proof, the_factor_is_an_option)
{
    expect_limit(1, 1);
    expect_limit(20, 20);
}

Test(udp_proof, without_a_limit_everything_may_be_sent)
{
    static const uint8_t zeros[4096];
    struct rig_udp peer;
    uint64_t id = begin_quiet(&peer, CW_NO_LIMIT, 1);

    cr_expect_eq(credit_of(id), CW_NO_LIMIT);
    for (int i = 0; i < 5; i++) {
        struct deed deed = sent(id, 4096);
        cr_expect_eq(deed.answer, CW_OK);
        cr_expect_not(deed.proven, "no limit is no proof");
        rig_udp_expect_bytes(&peer, zeros, 4096);
    }
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_proof, a_proven_peer_has_no_limit)
{
    static const uint8_t zeros[4096];
    struct rig_udp peer;
    uint64_t id = begin_quiet(&peer, 0, 1);
    struct deed deed = {0};

    cr_expect_eq(sent(id, 4096).answer, CW_EUNPROVEN);
    cr_expect_not(sent(id, 1).proven);
    rig_host_run(scene.host, id, do_set_proven, &deed);
    cr_expect(deed.proven);
    cr_expect_eq(deed.credit, CW_NO_LIMIT);
    cr_expect_eq(sent(id, 4096).answer, CW_OK);
    rig_udp_expect_bytes(&peer, zeros, 1);
    rig_udp_expect_bytes(&peer, zeros, 4096);
    rig_udp_await(&scene, dropped_unproven, 1);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_proof, an_empty_datagram_gives_no_credit_and_needs_none)
{
    struct rig_udp peer;
    uint64_t id = begin_quiet(&peer, 0, 0);

    cr_expect_eq(credit_of(id), 0);
    cr_expect_eq(sent(id, 1).answer, CW_EUNPROVEN);
    cr_expect_eq(sent(id, 0).answer, CW_OK);
    rig_udp_expect_bytes(&peer, "", 0);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_proof, credit_does_not_overflow)
{
    static const uint8_t zeros[65000];
    struct rig_udp peer;
    uint64_t id = begin_quiet(&peer, 1000000, 4000);
    uint64_t before = credit_of(id);

    for (unsigned i = 2; i < 20; i++) {
        uint64_t now;

        rig_udp_send(&peer, zeros, sizeof zeros);
        rig_await(atomic_load(&scene.story.messages) == i);
        now = credit_of(id);
        cr_expect_geq(now, before);
        before = now;
    }
    cr_expect_eq(sent(id, 60000).answer, CW_OK);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_proof, a_new_peer_of_the_same_address_begins_anew)
{
    struct rig_udp peer;
    uint64_t id = begin_quiet(&peer, 0, 10);
    struct deed deed = {0};

    rig_host_run(scene.host, id, do_set_proven, &deed);
    rig_host_run(scene.host, id, rig_close, NULL);
    rig_scene_await_closed(&scene, CW_BY_APP);
    rig_udp_send_text(&peer, "1234");
    rig_await(atomic_load(&scene.story.opened) == 2);
    rig_await(atomic_load(&scene.story.messages) == 2);
    cr_expect_eq(credit_of(rig_scene_conn(&scene)), 12);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

/* ---- tokens ---- */

/* "token" is answered with one; what else comes is one that comes back, answered with "yes" or "no". */
static void trade_tokens(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    uint8_t token[CW_TOKEN_BYTES];

    if (cw_span_equal(msg->body, cw_span_text("a token, please"))) {
        rig_check(cw_conn_token(conn, token) == CW_OK);
        rig_check(cw_conn_send_bytes(conn, token, sizeof token) >= 0);
    } else {
        int answer = cw_conn_prove(conn, msg->body);
        rig_check(answer == CW_OK || answer == CW_EUNPROVEN);
        rig_check((answer == CW_OK) <= cw_conn_is_proven(conn));
        cw_conn_send_text(conn, answer == CW_OK ? "yes" : "no");
    }
}

static void begin_trade(struct rig_scene *at)
{
    struct cw_hooks hooks = rig_story_with_data(trade_tokens);

    rig_udp_begin(at, &(struct rig_udp_setup){.hooks = &hooks});
}

static void ask_token(struct rig_udp *peer, uint8_t token[CW_TOKEN_BYTES])
{
    rig_udp_send_text(peer, "a token, please");
    rig_check(rig_udp_receive(peer, token, CW_TOKEN_BYTES) == CW_TOKEN_BYTES);
}

static void offer(struct rig_udp *peer, const uint8_t *token, size_t len, const char *answer)
{
    rig_udp_send(peer, token, len);
    rig_udp_expect(peer, answer);
}

static bool is_proven(uint64_t id)
{
    struct deed deed = {0};

    rig_host_run(scene.host, id, do_look, &deed);
    return deed.proven;
}

Test(udp_proof, a_token_that_comes_back_proves_the_address)
{
    uint8_t token[CW_TOKEN_BYTES];
    struct rig_udp peer;

    begin_trade(&scene);
    peer = rig_udp_peer(&scene);
    ask_token(&peer, token);
    cr_expect_not(is_proven(rig_scene_conn(&scene)));
    offer(&peer, token, sizeof token, "yes");
    cr_expect(is_proven(rig_scene_conn(&scene)));
    cr_expect_eq(credit_of(rig_scene_conn(&scene)), CW_NO_LIMIT);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_proof, a_token_that_differs_anywhere_or_was_cut_proves_nothing)
{
    uint8_t token[CW_TOKEN_BYTES + 1] = {0};
    struct rig_udp peer;

    begin_trade(&scene);
    peer = rig_udp_peer(&scene);
    ask_token(&peer, token);
    for (int bit = 0; bit < CW_TOKEN_BYTES * 8; bit++) {
        token[bit / 8] ^= (uint8_t)(1 << bit % 8);
        offer(&peer, token, CW_TOKEN_BYTES, "no");
        token[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 1; len <= CW_TOKEN_BYTES + 1; len++) {
        if (len != CW_TOKEN_BYTES) {
            offer(&peer, token, len, "no");
        }
    }
    cr_expect_not(is_proven(rig_scene_conn(&scene)));
    offer(&peer, token, CW_TOKEN_BYTES, "yes");
    offer(&peer, token, 3, "no");
    cr_expect(is_proven(rig_scene_conn(&scene)), "what is proven stays so");
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_proof, a_token_is_good_for_its_address_alone)
{
    uint8_t token[CW_TOKEN_BYTES];
    struct rig_udp peer;
    struct rig_udp other_port;
    struct rig_udp other_host;
    struct cw_address own;

    begin_trade(&scene);
    peer = rig_udp_peer(&scene);
    other_port = rig_udp_peer(&scene);
    own = rig_udp_address(&peer);
    own.ip[3] = 2; /* the same port of 127.0.0.2 */
    other_host = rig_udp_open_at(&own, &peer.to, 0);
    ask_token(&peer, token);
    offer(&other_port, token, sizeof token, "no");
    offer(&other_host, token, sizeof token, "no");
    offer(&peer, token, sizeof token, "yes");
    rig_udp_close(&peer);
    rig_udp_close(&other_port);
    rig_udp_close(&other_host);
    rig_scene_end(&scene);
}

Test(udp_proof, a_token_of_another_server_proves_nothing)
{
    static struct rig_scene other;
    uint8_t token[CW_TOKEN_BYTES];
    struct rig_udp peer;

    begin_trade(&scene);
    begin_trade(&other);
    peer = rig_udp_peer(&scene);
    rig_udp_turn_port(&peer, rig_host_port(other.host, 0));
    ask_token(&peer, token);
    rig_udp_turn_port(&peer, rig_host_port(scene.host, 0));
    offer(&peer, token, sizeof token, "no");
    rig_udp_turn_port(&peer, rig_host_port(other.host, 0));
    offer(&peer, token, sizeof token, "yes");
    rig_udp_close(&peer);
    rig_scene_end(&scene);
    rig_scene_end(&other);
}

Test(udp_proof, a_token_outlives_the_peer_that_asked_for_it)
{
    uint8_t token[CW_TOKEN_BYTES];
    struct rig_udp peer;

    begin_trade(&scene);
    peer = rig_udp_peer(&scene);
    ask_token(&peer, token);
    rig_scene_run(&scene, rig_close, NULL);
    rig_scene_await_closed(&scene, CW_BY_APP);
    offer(&peer, token, sizeof token, "yes"); /* nothing was kept for it */
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

/* Lets that much time pass for the loop, at once. */
static void jump(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    loop->epoch_ms -= *(uint64_t *)arg;
}

static void let_pass(uint64_t ms)
{
    rig_host_run(scene.host, 0, jump, &ms);
    rig_host_run(scene.host, 0, rig_pass, NULL); /* a turn that looks at the clock again */
}

Test(udp_proof, a_token_is_good_for_half_a_minute_and_not_for_more_than_one)
{
    struct cw_hooks hooks = rig_story_with_data(trade_tokens);
    uint8_t token[CW_TOKEN_BYTES];
    struct rig_udp peer;

    rig_udp_begin(&scene,
                  &(struct rig_udp_setup){.datagram = {.peer_idle_ms = CW_OFF}, .hooks = &hooks});
    peer = rig_udp_peer(&scene);
    for (int i = 0; i < 5; i++) {
        ask_token(&peer, token);
        let_pass(25000);
        offer(&peer, token, sizeof token, "yes");
        let_pass(36000);
        offer(&peer, token, sizeof token, "no");
        let_pass(3333);
    }
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

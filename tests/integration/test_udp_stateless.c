/* Services without peers, as DNS and NTP are: each datagram is answered, or not, and nothing is kept of who has sent it. */
#include "support/dtls_peer.h"
#include "support/leak.h"
#include "support/memory.h"
#include "support/pki.h"
#include "support/secure.h"
#include "support/udp_scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/middleware/datagram_limit.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(udp_stateless, .fini = rig_expect_no_leak, .timeout = 60);

static struct rig_scene scene;
static atomic_uint asked; /* calls of on_datagram */

static void echo(struct cw_loop *loop, struct cw_datagram *from, const struct cw_message *msg,
                 void *user)
{
    rig_check(user == &scene.story);
    atomic_fetch_add(&asked, 1);
    rig_check(cw_datagram_reply(loop, from, msg->body) == CW_OK);
}

static void begin(const char *host, cw_udp_datagram_fn fn)
{
    rig_udp_begin(&scene, &(struct rig_udp_setup){.host = host, .udp = {.on_datagram = fn}});
}

/* No hook of a connection has run, and none is there. */
static void expect_no_peers(void)
{
    cr_expect_eq(atomic_load(&scene.story.opened), 0);
    cr_expect_eq(atomic_load(&scene.story.messages), 0);
    cr_expect_eq(rig_scene_stats(&scene).conns_open, 0);
    cr_expect_eq(rig_scene_stats(&scene).conns_total, 0);
}

/* ---- one datagram, one answer ---- */

/* What came and was answered counts as messages do. */
static void expect_figures(const size_t *sizes, size_t count)
{
    struct cw_server_stats stats = rig_scene_stats(&scene);
    uint64_t bytes = 0;

    for (size_t i = 0; i < count; i++) {
        bytes += sizes[i];
    }
    cr_expect_eq(stats.messages_in, count);
    cr_expect_eq(stats.messages_out, count);
    cr_expect_eq(stats.bytes_in, bytes);
    cr_expect_eq(stats.bytes_out, bytes);
}

static void expect_answers(const char *host, const char *own)
{
    uint8_t *bytes = rig_pattern_new(RIG_UDP_MAX);
    const size_t sizes[] = {5, 0, 1, 1472, 1473, 9000, RIG_UDP_MAX, 0};
    const size_t count = sizeof sizes / sizeof *sizes;
    struct rig_udp peer;

    begin(host, echo);
    peer = rig_udp_open(own, host);
    rig_udp_turn_port(&peer, rig_host_port(scene.host, 0));
    for (size_t i = 0; i < count; i++) {
        rig_udp_send(&peer, bytes, sizes[i]);
        rig_udp_expect_bytes(&peer, bytes, sizes[i]);
    }
    rig_udp_expect_nothing(&peer);
    cr_expect_eq(atomic_load(&asked), count);
    cr_expect_eq(rig_udp_stats(&scene).received, count);
    rig_udp_await(&scene, sent, count);
    expect_figures(sizes, count);
    expect_no_peers();
    rig_udp_close(&peer);
    rig_scene_end(&scene);
    free(bytes);
}

Test(udp_stateless, datagrams_of_every_size_are_answered_and_make_no_peer)
{
    expect_answers("127.0.0.1", "127.0.0.1");
}

Test(udp_stateless, so_it_is_over_ipv6)
{
    if (!rig_udp_has_ipv6()) {
        cr_skip_test("no IPv6 here");
        return;
    }
    expect_answers("::1", "::1");
}

Test(udp_stateless, many_in_one_go_are_answered_in_their_order)
{
    enum { BURST = 100 };
    struct rig_udp peer;
    char text[16];

    begin(NULL, echo);
    peer = rig_udp_peer(&scene);
    for (int i = 0; i < BURST; i++) {
        snprintf(text, sizeof text, "%*d", i % 5 + 2, i);
        rig_udp_send_text(&peer, text);
    }
    for (int i = 0; i < BURST; i++) {
        snprintf(text, sizeof text, "%*d", i % 5 + 2, i);
        rig_udp_expect(&peer, text);
    }
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

static void ignore(struct cw_loop *loop, struct cw_datagram *from, const struct cw_message *msg,
                   void *user)
{
    if (msg->body.len > 0) {
        echo(loop, from, msg, user);
    }
}

Test(udp_stateless, what_is_not_answered_leaves_nothing_behind)
{
    struct rig_udp peer;

    begin(NULL, ignore);
    peer = rig_udp_peer(&scene);
    rig_udp_send(&peer, "", 0);
    rig_udp_expect_echo(&peer, "answer me");
    expect_no_peers();
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

/* ---- addresses ---- */

static void expect_answer_from_asked(const char *host)
{
    static const char *const asked_at[] = {"127.0.0.1", "127.0.0.2", "127.1.2.3"};
    struct rig_udp peers[3];

    begin(host, echo);
    for (size_t i = 0; i < 3; i++) {
        peers[i] = rig_udp_open("127.0.0.1", asked_at[i]);
        rig_udp_turn_port(&peers[i], rig_host_port(scene.host, 0));
        rig_udp_send_text(&peers[i], asked_at[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        rig_udp_expect(&peers[i], asked_at[i]); /* and from nowhere else */
        rig_udp_close(&peers[i]);
    }
    rig_scene_end(&scene);
}

Test(udp_stateless, an_answer_leaves_from_the_address_that_was_asked)
{
    expect_answer_from_asked("0.0.0.0");
}

Test(udp_stateless, so_it_does_from_a_dual_stack_socket)
{
    if (!rig_udp_has_ipv6()) {
        cr_skip_test("no IPv6 here");
        return;
    }
    expect_answer_from_asked("::");
}

static void tell_addresses(struct cw_loop *loop, struct cw_datagram *from,
                           const struct cw_message *msg, void *user)
{
    char peer[CW_ADDRESS_TEXT_MAX];
    char local[CW_ADDRESS_TEXT_MAX];
    char text[2 * CW_ADDRESS_TEXT_MAX];

    snprintf(text, sizeof text, "%s at %s", cw_address_print(&from->peer, peer),
             cw_address_print(&from->local, local));
    rig_check(cw_datagram_reply(loop, from, cw_span_text(text)) == CW_OK);
}

Test(udp_stateless, a_datagram_tells_who_has_sent_it_and_where_to)
{
    static const char question[] = "a question that is long enough for its answer";
    char wanted[2 * CW_ADDRESS_TEXT_MAX];
    struct rig_udp peer;

    begin("0.0.0.0", tell_addresses);
    peer = rig_udp_open("127.0.0.3", "127.0.0.2");
    rig_udp_turn_port(&peer, rig_host_port(scene.host, 0));
    snprintf(wanted, sizeof wanted, "127.0.0.3:%u at 127.0.0.2:%u", rig_udp_port(&peer),
             rig_host_port(scene.host, 0));
    rig_udp_send_text(&peer, question);
    rig_udp_expect(&peer, wanted);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

/* ---- later ---- */

struct question {
    struct cw_datagram from;
    char text[24];
};

static void answer_question(struct cw_loop *loop, void *user)
{
    struct question *question = user;

    rig_check(cw_datagram_reply(loop, &question->from, cw_span_text(question->text)) == CW_OK);
    free(question);
}

/* `slow…` is answered when 30 ms have passed, all else at once. */
static void answer_later(struct cw_loop *loop, struct cw_datagram *from,
                         const struct cw_message *msg, void *user)
{
    if (msg->body.len < 4 || memcmp(msg->body.data, "slow", 4) != 0) {
        rig_check(cw_datagram_reply(loop, from, msg->body) == CW_OK);
        return;
    }
    struct question *question = calloc(1, sizeof *question);

    rig_check(question);
    question->from = *from;
    memcpy(question->text, msg->body.data, msg->body.len);
    rig_check(cw_timer_start(loop, 30, 0, answer_question, question));
}

Test(udp_stateless, a_kept_datagram_is_answered_later)
{
    enum { PEERS = 50 };
    struct rig_udp peers[PEERS];
    struct rig_udp hasty;
    char text[24];

    begin("0.0.0.0", answer_later);
    for (unsigned i = 0; i < PEERS; i++) {
        peers[i] = rig_udp_open("127.0.0.1", i % 2 ? "127.0.0.1" : "127.0.0.2");
        rig_udp_turn_port(&peers[i], rig_host_port(scene.host, 0));
        snprintf(text, sizeof text, "slow%u", i);
        rig_udp_send_text(&peers[i], text);
    }
    hasty = rig_udp_peer(&scene);
    rig_udp_expect_echo(&hasty, "now");
    for (unsigned i = PEERS; i-- > 0;) {
        snprintf(text, sizeof text, "slow%u", i);
        rig_udp_expect(&peers[i], text);
        rig_udp_expect_nothing(&peers[i]);
        rig_udp_close(&peers[i]);
    }
    rig_udp_close(&hasty);
    rig_scene_end(&scene);
}

static struct cw_datagram kept;

static void keep(struct cw_loop *loop, struct cw_datagram *from, const struct cw_message *msg,
                 void *user)
{
    struct cw_datagram nowhere = *from;

    nowhere.socket += 1000;
    rig_check(cw_datagram_reply(loop, &nowhere, msg->body) == CW_ENOTFOUND);
    rig_check(nowhere.credit == from->credit);
    kept = *from;
    rig_check(cw_datagram_reply(loop, from, msg->body) == CW_OK);
}

static void answer_at_the_end(struct cw_server *server, struct cw_loop *loop, void *user)
{
    rig_check(cw_datagram_reply(loop, &kept, cw_span_text("goodbye")) == CW_OK);
}

Test(udp_stateless, a_kept_datagram_can_be_answered_until_its_worker_has_stopped)
{
    const struct cw_hooks hooks = {.on_worker_stop = answer_at_the_end};
    struct rig_udp peer;

    rig_udp_begin(&scene, &(struct rig_udp_setup){.udp = {.on_datagram = keep}, .hooks = &hooks});
    peer = rig_udp_peer(&scene);
    rig_udp_expect_echo(&peer, "a question");
    rig_scene_end(&scene);
    rig_udp_expect(&peer, "goodbye");
    rig_udp_close(&peer);
}

/* ---- how much ---- */

/* Answers with pieces of the length that the question names, until one is refused; then tells the code. */
static void answer_in_pieces(struct cw_loop *loop, struct cw_datagram *from,
                             const struct cw_message *msg, void *user)
{
    static const uint8_t bytes[65508];
    char text[17] = {0}; /* the body ends without a zero */
    size_t len;
    int code = CW_OK;

    rig_check(msg->body.len < sizeof text);
    memcpy(text, msg->body.data, msg->body.len);
    len = (size_t)strtoul(text, NULL, 10);
    for (int i = 0; i < 100 && code == CW_OK; i++) {
        uint64_t before = from->credit;

        code = cw_datagram_reply(loop, from, cw_span_of(bytes, len));
        rig_check(before == CW_NO_LIMIT || from->credit == (code == CW_OK ? before - len : before));
    }
    atomic_store(&scene.story.answer, code);
    atomic_fetch_add(&asked, 1);
}

/* How many answers of so many bytes a question of 16 bytes brings. */
static unsigned answers_of(struct rig_udp *peer, unsigned len)
{
    char question[16] = {0};
    uint8_t answer[4096];
    unsigned before = atomic_load(&asked);
    uint64_t sent = rig_udp_stats(&scene).sent;
    unsigned count = 0;

    snprintf(question, sizeof question, "%u", len);
    rig_udp_send(peer, question, sizeof question);
    rig_await(atomic_load(&asked) > before);
    rig_udp_send_text(peer,
                      "0"); /* empty answers, up to a hundred: credit for them is never needed */
    while (rig_udp_receive(peer, answer, sizeof answer) > 0) {
        count++;
    }
    for (unsigned i = 1; i < 100; i++) {
        cr_assert_eq(rig_udp_receive(peer, answer, sizeof answer), 0);
    }
    rig_udp_await(&scene, sent, sent + count + 100);
    return count;
}

static void begin_with_amplification(uint64_t amplification)
{
    rig_udp_begin(&scene, &(struct rig_udp_setup){.datagram = {.amplification = amplification},
                                                  .udp = {.on_datagram = answer_in_pieces}});
}

Test(udp_stateless, an_answer_is_at_most_three_times_its_question)
{
    struct rig_udp peer;

    begin_with_amplification(0);
    peer = rig_udp_peer(&scene);
    cr_expect_eq(answers_of(&peer, 48), 1);
    cr_expect_eq(rig_udp_stats(&scene).dropped_unproven, 1);
    cr_expect_eq(answers_of(&peer, 49), 0);
    cr_expect_eq(answers_of(&peer, 16), 3);
    cr_expect_eq(answers_of(&peer, 20), 2);
    cr_expect_eq(rig_udp_stats(&scene).dropped_unproven, 4);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_stateless, the_factor_is_an_option)
{
    struct rig_udp peer;

    begin_with_amplification(10);
    peer = rig_udp_peer(&scene);
    cr_expect_eq(answers_of(&peer, 16), 10);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_stateless, where_nobody_lies_about_his_address_there_need_be_no_limit)
{
    struct rig_udp peer;

    begin_with_amplification(CW_NO_LIMIT);
    peer = rig_udp_peer(&scene);
    cr_expect_eq(answers_of(&peer, 17), 100);
    cr_expect_eq(rig_udp_stats(&scene).dropped_unproven, 0);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_stateless, no_answer_is_larger_than_a_datagram)
{
    struct rig_udp peer;

    begin_with_amplification(CW_NO_LIMIT);
    peer = rig_udp_peer(&scene);
    rig_udp_send_text(&peer, "65508");
    rig_await(atomic_load(&asked) == 1);
    cr_expect_eq(atomic_load(&scene.story.answer), CW_ETOOBIG);
    cr_expect_eq(rig_udp_stats(&scene).dropped_too_big, 1);
    cr_expect_eq(rig_udp_stats(&scene).sent, 0);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_stateless, a_question_above_the_limit_is_dropped_and_counted)
{
    uint8_t bytes[513] = {0};
    struct rig_udp peer;

    rig_udp_begin(&scene,
                  &(struct rig_udp_setup){.udp = {.datagram_max_bytes = 512, .on_datagram = echo}});
    peer = rig_udp_peer(&scene);
    rig_udp_send(&peer, bytes, 513);
    rig_udp_send(&peer, bytes, 512);
    rig_udp_expect_bytes(&peer, bytes, 512);
    cr_expect_eq(atomic_load(&asked), 1);
    cr_expect_eq(rig_udp_stats(&scene).dropped_truncated, 1);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

/* ---- many sources ---- */

enum { SOURCES = 10000, AT_ONCE = 64 };

/* 127.1.0.0 and those that follow. */
static struct cw_address source_of(unsigned number)
{
    return (struct cw_address){
        .family = CW_IPV4, .ip = {127, 1 + number / 65536 % 255, number / 256 % 256, number % 256}};
}

/* Each sends one datagram, which is answered to it. */
static void send_as_many(struct rig_udp *peer, unsigned first, unsigned count)
{
    struct cw_address sources[AT_ONCE];

    for (unsigned done = 0; done < count; done += AT_ONCE) {
        unsigned many = count - done < AT_ONCE ? count - done : AT_ONCE;

        for (unsigned i = 0; i < many; i++) {
            sources[i] = source_of(first + done + i);
        }
        cr_assert_eq(rig_udp_send_as(peer, sources, many, "hello", 5), many);
        for (unsigned i = 0; i < many; i++) {
            rig_udp_expect(peer, "hello");
        }
    }
}

Test(udp_stateless, ten_thousand_sources_cost_no_memory)
{
    struct rig_udp peer;
    int64_t before;

    rig_memory_count();
    rig_udp_begin_server(
        &scene, rig_udp_server(&(struct rig_udp_setup){.udp = {.on_datagram = echo}}), NULL);
    peer = rig_udp_open("0.0.0.0", "127.0.0.1");
    rig_udp_turn_port(&peer, rig_host_port(scene.host, 0));
    send_as_many(&peer, 0, AT_ONCE); /* buffers of the loop */
    before = rig_memory_bytes();
    send_as_many(&peer, AT_ONCE, SOURCES);
    cr_expect_eq(rig_memory_bytes(), before);
    expect_no_peers();
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

static void ask_as_many(void *peer)
{
    send_as_many(peer, 0, 10 * AT_ONCE);
}

Test(udp_stateless, an_answer_allocates_nothing)
{
    struct rig_udp peer;

    rig_memory_count();
    begin(NULL, echo);
    peer = rig_udp_open("0.0.0.0", "127.0.0.1");
    rig_udp_turn_port(&peer, rig_host_port(scene.host, 0));
    ask_as_many(&peer);
    cr_expect_eq(rig_memory_least(ask_as_many, &peer), 0);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

/* ---- beside others ---- */

static void answer_with_user(struct cw_loop *loop, struct cw_datagram *from,
                             const struct cw_message *msg, void *user)
{
    rig_check(cw_datagram_reply(loop, from, cw_span_text(user)) == CW_OK);
}

Test(udp_stateless, services_without_peers_stand_beside_each_other_and_beside_one_with_peers)
{
    const struct cw_udp_options stateless = {.on_datagram = answer_with_user};
    char name[] = "name";
    char time[] = "time";
    char *const users[] = {NULL, name, time};
    struct cw_server *server = rig_udp_server(&(struct rig_udp_setup){0});
    struct rig_udp peer = rig_udp_open("127.0.0.1", "127.0.0.1");

    for (unsigned i = 1; i < 3; i++) {
        cr_assert_eq(cw_server_listen(server,
                                      &(struct cw_listen_options){
                                          .host = "127.0.0.1",
                                          .service = cw_udp_service(&stateless, NULL, users[i])}),
                     CW_OK);
    }
    rig_udp_begin_server(&scene, server, NULL);
    for (int round = 0; round < 3; round++) {
        rig_udp_turn_port(&peer, rig_host_port(scene.host, 0));
        rig_udp_expect_echo(&peer, "peer");
        for (unsigned i = 1; i < 3; i++) {
            rig_udp_turn_port(&peer, rig_host_port(scene.host, i));
            rig_udp_send_text(&peer, "what?");
            rig_udp_expect(&peer, users[i]);
        }
    }
    cr_expect_eq(atomic_load(&scene.story.opened), 1);
    cr_expect_eq(atomic_load(&scene.story.messages), 3);
    cr_expect_eq(rig_udp_stats(&scene).sockets, 3);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_stateless, over_dtls_the_first_handshake_says_that_there_are_peers)
{
    struct cw_tls_options tls;
    struct cw_server *server = cw_create_server(&cw_udp);
    struct rig_dtls peer;

    if (!pki_made()) {
        cw_server_free(server);
        cr_skip_test("the openssl command was missing when this was built");
        return;
    }
    tls = rig_identity("server.pem", "server.key");
    cw_udp_configure(server, &(struct cw_udp_options){.on_datagram = echo});
    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1", .tls = &tls});
    rig_udp_begin_server(&scene, server, &rig_story_hooks);
    rig_dtls_connect(&peer, rig_host_port(scene.host, 0));
    rig_await(atomic_load(&scene.story.errors) == 1);
    cr_expect_eq(scene.story.report.code, CW_EINVAL);
    cr_expect_str_eq(scene.story.report.text,
                     "handshake: on_datagram: not over DTLS, use the hook on_data");
    cr_expect_eq(atomic_load(&scene.story.opened), 0);
    rig_dtls_close(&peer);
    rig_scene_end(&scene);
}

/* ---- a rate for each address ---- */

enum { ALLOWED = 50, BURST = 200 };

static uint64_t began_ms;

/* One address may send ALLOWED datagrams, and one more in each second that passes. */
static void begin_limited(uint64_t workers)
{
    struct rig_udp_setup setup = {.server = {.workers = workers}, .udp = {.on_datagram = echo}};
    struct cw_server *server = rig_udp_server(&setup);

    cr_assert_eq(cw_server_use(server, cw_datagram_limit(&(struct cw_datagram_limit_options){
                                           .datagrams_per_s = 1, .datagrams_burst = ALLOWED})),
                 CW_OK);
    began_ms = rig_now_ms();
    rig_udp_begin_server(&scene, server, NULL);
}

static void expect_allowed(uint64_t count)
{
    cr_expect_geq(count, ALLOWED);
    cr_expect_leq(count, ALLOWED + (rig_now_ms() - began_ms) / 1000 + 1);
}

static atomic_uint lines;

static void count_lines(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    if (strstr(text, "datagram_limit: 127.0.0.9:") != NULL) {
        atomic_fetch_add(&lines, 1);
    }
}

Test(udp_stateless, a_burst_from_one_address_is_cut_and_others_are_served)
{
    struct rig_udp greedy;
    struct rig_udp modest;
    size_t answered = 0;

    cw_log_set(count_lines, NULL);
    begin_limited(1);
    greedy = rig_udp_peer_at(&scene, "127.0.0.9");
    modest = rig_udp_peer_at(&scene, "127.0.0.10");
    for (int i = 0; i < BURST; i++) {
        rig_udp_send_text(&greedy, "me");
        if (i % 10 == 0) {
            rig_udp_expect_echo(&modest, "and me");
        }
    }
    rig_udp_expect_echo(&modest, "all of those before have been dealt with");
    answered = rig_udp_forget(&greedy);
    expect_allowed(answered);
    cr_expect_eq(rig_udp_stats(&scene).dropped_rule, BURST - answered);
    cr_expect_geq(atomic_load(&lines), 1);
    cr_expect_leq(atomic_load(&lines), 1 + (rig_now_ms() - began_ms) / 10000);
    expect_no_peers();
    rig_udp_close(&greedy);
    rig_udp_close(&modest);
    rig_scene_end(&scene);
}

/* ---- several workers ---- */

Test(udp_stateless, all_workers_together_keep_the_rate_of_an_address)
{
    enum { PORTS = 20, EACH = 10 };
    struct rig_udp greedy[PORTS];
    uint64_t answered = 0;

    cw_log_set(count_lines, NULL);
    begin_limited(4);
    for (int i = 0; i < PORTS; i++) {
        greedy[i] = rig_udp_peer_at(&scene, "127.0.0.9");
        for (int k = 0; k < EACH; k++) {
            rig_udp_send_text(&greedy[i], "me");
        }
    }
    rig_udp_await(&scene, received, PORTS * EACH);
    rig_await(atomic_load(&asked) + rig_udp_stats(&scene).dropped_rule == PORTS * EACH);
    rig_udp_await(&scene, sent, atomic_load(&asked));
    for (int i = 0; i < PORTS; i++) {
        answered += rig_udp_forget(&greedy[i]);
        rig_udp_close(&greedy[i]);
    }
    cr_expect_eq(answered, atomic_load(&asked));
    expect_allowed(answered);
    rig_scene_end(&scene);
}

static void tell_worker(struct cw_loop *loop, struct cw_datagram *from,
                        const struct cw_message *msg, void *user)
{
    const uint8_t worker = (uint8_t)cw_loop_worker(loop);

    rig_check(cw_datagram_reply(loop, from, cw_span_of(&worker, 1)) == CW_OK);
}

/* Between an address and a port of its own one worker answers; which one, the kernel's hash decides. */
Test(udp_stateless, every_worker_answers_its_share)
{
    enum { PEERS = 100, WORKERS = 4, ROUNDS = 3 };
    unsigned peers_of[WORKERS] = {0};

    rig_udp_begin(&scene, &(struct rig_udp_setup){.server = {.workers = WORKERS},
                                                  .udp = {.on_datagram = tell_worker}});
    for (int i = 0; i < PEERS; i++) {
        struct rig_udp peer = rig_udp_peer(&scene);
        uint8_t first = WORKERS;

        for (int round = 0; round < ROUNDS; round++) {
            uint8_t worker;

            rig_udp_send_text(&peer, "who are you?");
            cr_assert_eq(rig_udp_receive(&peer, &worker, 1), 1);
            cr_assert_lt(worker, WORKERS);
            first = round == 0 ? worker : first;
            cr_expect_eq(worker, first);
        }
        peers_of[first]++;
        rig_udp_close(&peer);
    }
    for (int i = 0; i < WORKERS; i++) {
        cr_expect_gt(peers_of[i], 0, "worker %d", i);
    }
    expect_no_peers();
    rig_scene_end(&scene);
}

Test(udp_stateless, a_stop_in_the_middle_of_questions_ends_in_good_order)
{
    struct rig_udp peers[8];

    rig_udp_begin(&scene, &(struct rig_udp_setup){.host = "0.0.0.0",
                                                  .server = {.workers = 2},
                                                  .udp = {.on_datagram = answer_later}});
    for (int i = 0; i < 8; i++) {
        peers[i] = rig_udp_peer(&scene);
        for (int k = 0; k < 20; k++) {
            rig_udp_send_text(&peers[i], "quick");
        }
    }
    rig_scene_end(&scene);
    for (int i = 0; i < 8; i++) {
        rig_udp_close(&peers[i]);
    }
}

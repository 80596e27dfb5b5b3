/* Rooms over sockets: who gets what, in which order, in which bytes. */
#include "loop_impl.h"
#include "support/leak.h"
#include "support/party.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/protocol.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(rooms, .fini = rig_expect_no_leak, .timeout = 60);

/* ---- who gets it ---- */

/* A server with framed, line, tcp and a unix socket, and how a message `x` looks to each. */
static void expect_every_protocol(uint64_t workers)
{
    static struct rig_party party;
    struct cw_server_options options = {.workers = workers};
    struct cw_server *server = rig_server(&cw_framed, &options);
    struct cw_service line = cw_service(&cw_line, &rig_story_hooks, &party.story);
    struct cw_service tcp = cw_service(&cw_tcp, &rig_story_hooks, &party.story);
    char path[64];

    snprintf(path, sizeof path, "/tmp/causeway-rooms-%d", (int)getpid());
    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1", .service = line});
    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1", .service = tcp});
    cw_server_listen(server, &(struct cw_listen_options){.unix_path = path});
    rig_party_begin(&party, server, NULL);

    for (int worker = 0; worker < (int)workers; worker++) {
        struct rig_member members[4];

        for (unsigned i = 0; i < 3; i++) {
            members[i] = rig_party_enter(&party, i, worker);
        }
        unsigned before = atomic_load(&party.story.opened);
        members[3] = rig_party_meet(&party, rig_peer_unix(path), before);
        for (unsigned i = 0; i < 4; i++) {
            cr_assert_eq(rig_party_join(&party, members[i].id, "all"), CW_OK);
        }
        cr_expect_eq(rig_party_send(&party, "all", "hello"), CW_OK);
        rig_member_expect(&members[0], "hello");
        rig_peer_expect(&members[1].peer, "hello\n");
        rig_peer_expect(&members[2].peer, "hello");
        rig_member_expect(&members[3], "hello");
        for (unsigned i = 0; i < 4; i++) {
            rig_peer_close(&members[i].peer);
        }
        rig_await(cw_room_count(party.server, "all") == 0);
    }
    rig_party_end(&party);
}

Test(rooms, one_message_reaches_members_of_every_protocol_on_one_worker)
{
    expect_every_protocol(1);
}

Test(rooms, one_message_reaches_members_of_every_protocol_on_two_workers)
{
    expect_every_protocol(2);
}

static void on_data_say(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct cw_room_send_options options = {.except = cw_conn_id(conn)};

    rig_check(cw_room_send(cw_conn_server(conn), "chat", msg, &options) == CW_OK);
    rig_story_on_data(conn, msg, user);
}

static void on_connection_join(struct cw_conn *conn, void *user)
{
    rig_check(cw_room_join(conn, "chat") == CW_OK);
    rig_story_on_connection(conn, user);
}

static void open_chat(struct rig_party *party, uint64_t workers)
{
    struct cw_hooks hooks = rig_story_hooks;

    hooks.on_connection = on_connection_join;
    hooks.on_data = on_data_say;
    rig_party_begin(party, rig_server(&cw_framed, &(struct cw_server_options){.workers = workers}),
                    &hooks);
}

Test(rooms, all_but_the_sender_get_what_it_says)
{
    static struct rig_party party;

    open_chat(&party, 2);
    struct rig_member a = rig_party_enter(&party, 0, 0);
    struct rig_member b = rig_party_enter(&party, 0, 0);
    struct rig_member c = rig_party_enter(&party, 0, 1);

    rig_peer_send_frame(&a.peer, "from a", 6);
    rig_member_expect(&b, "from a");
    rig_member_expect(&c, "from a");
    rig_peer_send_frame(&c.peer, "from c", 6);
    rig_member_expect(&a, "from c");
    rig_member_expect(&b, "from c");
    rig_peer_close(&a.peer);
    rig_peer_close(&b.peer);
    rig_peer_close(&c.peer);
    rig_party_end(&party);
}

Test(rooms, up_to_sixty_four_more_can_be_left_out)
{
    static struct rig_party party;
    uint64_t except[65];
    struct cw_message msg = cw_message_text("secret");
    struct cw_room_send_options options = {.except_ids = except, .except_count = 64};

    rig_party_begin_framed(&party, &(struct cw_server_options){.workers = 2});
    struct rig_member out0 = rig_party_enter_room(&party, "r", 0);
    struct rig_member out1 = rig_party_enter_room(&party, "r", 1);
    struct rig_member out = rig_party_enter_room(&party, "r", 1);
    struct rig_member in = rig_party_enter_room(&party, "r", 1);

    for (int i = 0; i < 65; i++) {
        except[i] = UINT64_MAX - (uint64_t)i; /* nobody's */
    }
    except[17] = out0.id;
    except[63] = out1.id;
    options.except = out.id;
    cr_expect_eq(cw_room_send(party.server, "r", &msg, &options), CW_OK);
    cr_expect_eq(rig_party_send(&party, "r", "for all"), CW_OK);
    rig_member_expect(&in, "secret");
    rig_member_expect(&in, "for all");
    rig_member_expect(&out0, "for all");
    rig_member_expect(&out1, "for all");
    rig_member_expect(&out, "for all");

    options.except_count = 65;
    cr_expect_eq(cw_room_send(party.server, "r", &msg, &options), CW_EINVAL);
    rig_peer_close(&out0.peer);
    rig_peer_close(&out1.peer);
    rig_peer_close(&out.peer);
    rig_peer_close(&in.peer);
    rig_party_end(&party);
}

/* Each frame is a sender's letter and a number that has to be the next one of that sender. */
static void expect_in_order(struct rig_member *member, const char *senders, int rounds)
{
    int next[256] = {0};
    char text[16];

    for (int i = 0; i < rounds * (int)strlen(senders); i++) {
        size_t len = rig_peer_receive_frame(&member->peer, text, sizeof text - 1);
        text[len] = '\0';
        cr_assert(strchr(senders, text[0]));
        cr_assert_eq(atoi(text + 1), next[(unsigned char)text[0]], "%s", text);
        next[(unsigned char)text[0]]++;
    }
}

Test(rooms, what_one_sender_says_arrives_in_its_order_everywhere)
{
    enum { ROUNDS = 200 };
    static struct rig_party party;

    open_chat(&party, 2);
    struct rig_member members[4] = {rig_party_enter(&party, 0, 0), rig_party_enter(&party, 0, 1),
                                    rig_party_enter(&party, 0, 0), rig_party_enter(&party, 0, 1)};

    for (int i = 0; i < ROUNDS; i++) {
        for (int k = 0; k < 4; k++) {
            char text[16];
            int len = snprintf(text, sizeof text, "%c%d", 'a' + k, i);
            rig_peer_send_frame(&members[k].peer, text, (size_t)len);
        }
    }
    expect_in_order(&members[0], "bcd", ROUNDS);
    expect_in_order(&members[1], "acd", ROUNDS);
    expect_in_order(&members[2], "abd", ROUNDS);
    expect_in_order(&members[3], "abc", ROUNDS);
    for (int k = 0; k < 4; k++) {
        rig_peer_close(&members[k].peer);
    }
    rig_party_end(&party);
}

Test(rooms, a_room_that_nobody_is_in_takes_a_message_and_forgets_it)
{
    static struct rig_party party;
    struct cw_room_stats stats;

    rig_party_begin_framed(&party, &(struct cw_server_options){.workers = 2});
    cr_expect_eq(rig_party_send(&party, "nobody", "hello"), CW_OK);
    struct rig_member late = rig_party_enter_room(&party, "nobody", RIG_ANY_WORKER);
    cr_expect_eq(rig_party_send(&party, "nobody", "second"), CW_OK);
    rig_member_expect(&late, "second");
    rig_party_expect_stats(&party, "nobody", (struct cw_room_stats){.sent = 1, .delivered = 1});
    rig_peer_close(&late.peer);
    rig_await(cw_room_stats(party.server, "nobody", &stats) == CW_ENOTFOUND);
    rig_party_end(&party);
}

Test(rooms, a_message_is_refused_that_cannot_be_one)
{
    static struct rig_party party;
    static uint8_t large[8193];
    struct cw_message msg = cw_message_of(large, sizeof large);
    struct cw_message piece = {.part = CW_BEGIN, .total = 5};

    rig_party_begin(&party,
                    rig_server(&cw_tcp, &(struct cw_server_options){.out_high_bytes = 1024,
                                                                    .out_max_bytes = 8192,
                                                                    .room_name_max_bytes = 4}),
                    NULL);
    cr_expect_eq(cw_room_send(party.server, "r", &msg, NULL), CW_ETOOBIG);
    msg.body.len--;
    cr_expect_eq(cw_room_send(party.server, "r", &msg, NULL), CW_OK);
    cr_expect_eq(cw_room_send(party.server, "r", &piece, NULL), CW_EINVAL);
    cr_expect_eq(rig_party_send(&party, "", "x"), CW_EINVAL);
    cr_expect_eq(rig_party_send(&party, "12345", "x"), CW_EINVAL);
    cr_expect_eq(rig_party_send(&party, "1234", "x"), CW_OK);
    rig_party_end(&party);
}

Test(rooms, a_server_that_does_not_run_takes_no_messages)
{
    static struct rig_party party;
    struct cw_message msg = cw_message_text("x");
    struct cw_server *server = rig_server(&cw_framed, NULL);

    cr_expect_eq(cw_room_send(server, "r", &msg, NULL), CW_ESTOPPED);
    cr_expect_eq(cw_room_join_id(server, 1, "r", (struct cw_span){0}), CW_ESTOPPED);
    rig_party_begin(&party, server, NULL);
    cr_expect_eq(cw_room_send(server, "r", &msg, NULL), CW_OK);
    cr_expect_eq(rig_host_stop(party.host), CW_OK);
    cr_expect_eq(cw_room_send(server, "r", &msg, NULL), CW_ESTOPPED);
    cr_expect_eq(cw_room_leave_id(server, 1 << 24, "r"), CW_ESTOPPED);
    cr_expect_eq(cw_room_count(server, "r"), 0);
    rig_host_free(party.host);
}

/* ---- encoding ---- */

static atomic_uint encoded;
static atomic_uint sent_alone;

static int plain_send(struct cw_conn *conn, void *state, const struct cw_message *msg)
{
    atomic_fetch_add(&sent_alone, 1);
    return cw_conn_write(conn, &msg->body, 1);
}

static ptrdiff_t plain_bytes(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    return (ptrdiff_t)len;
}

static int plain_encode(const struct cw_wire_format *format, const struct cw_message *msg,
                        struct cw_payload **payload)
{
    rig_check(format->loop && format->loop == cw_loop_here());
    rig_check(format->key == 1 && format->role == CW_SERVER);
    atomic_fetch_add(&encoded, 1);
    *payload = cw_payload_new(&msg->body, 1);
    return *payload ? CW_OK : CW_ENOMEM;
}

/* Of every second connection of a worker the messages cannot be shared. */
static uint64_t every_second(struct cw_conn *conn, const void *state)
{
    return cw_conn_id(conn) & 1;
}

static const struct cw_protocol counting = {
    .name = "counting", .on_bytes = plain_bytes, .send = plain_send, .encode = plain_encode};

static const struct cw_protocol choosy = {.name = "choosy",
                                          .on_bytes = plain_bytes,
                                          .send = plain_send,
                                          .encode = plain_encode,
                                          .wire_key = every_second};

static void send_from_loop(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct cw_message msg = cw_message_text("once");

    rig_check(cw_room_send(cw_loop_server(loop), "r", &msg, NULL) == CW_OK);
}

Test(rooms, a_wire_format_is_encoded_once_for_all_workers)
{
    static struct rig_party party;

    rig_party_begin(&party, rig_server(&counting, &(struct cw_server_options){.workers = 2}), NULL);
    struct rig_member members[4] = {
        rig_party_enter_room(&party, "r", 0), rig_party_enter_room(&party, "r", 0),
        rig_party_enter_room(&party, "r", 1), rig_party_enter_room(&party, "r", 1)};

    rig_host_run(party.host, 0, send_from_loop, NULL);
    for (int i = 0; i < 4; i++) {
        rig_peer_expect(&members[i].peer, "once");
        rig_peer_close(&members[i].peer);
    }
    cr_expect_eq(atomic_load(&encoded), 1);
    cr_expect_eq(atomic_load(&sent_alone), 0);
    rig_party_end(&party);
}

Test(rooms, a_member_that_cannot_share_is_sent_a_message_of_its_own)
{
    static struct rig_party party;
    unsigned alone = 0;

    rig_party_begin(&party, rig_server(&choosy, NULL), NULL);
    struct rig_member members[4];

    for (int i = 0; i < 4; i++) {
        members[i] = rig_party_enter_room(&party, "r", RIG_ANY_WORKER);
        alone += (members[i].id & 1) == 0;
    }
    cr_expect_eq(rig_party_send(&party, "r", "hello"), CW_OK);
    for (int i = 0; i < 4; i++) {
        rig_peer_expect(&members[i].peer, "hello");
        rig_peer_close(&members[i].peer);
    }
    cr_expect_eq(atomic_load(&encoded), 1);
    cr_expect_eq(atomic_load(&sent_alone), alone);
    rig_party_end(&party);
}

Test(rooms, a_member_whose_protocol_cannot_carry_a_message_is_left_out_and_counted)
{
    static struct rig_party party;
    struct cw_server *server =
        rig_server(&cw_framed, &(struct cw_server_options){.workers = 2, .out_max_bytes = 1 << 20});
    struct cw_service line = cw_service(&cw_line, &rig_story_hooks, &party.story);
    struct cw_service tcp = cw_service(&cw_tcp, &rig_story_hooks, &party.story);
    static uint8_t large[65537];
    struct cw_message msg = cw_message_of(large, sizeof large);
    struct cw_server_stats all;

    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1", .service = line});
    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1", .service = tcp});
    rig_party_begin(&party, server, NULL);
    struct rig_member framed = rig_party_enter(&party, 0, 0);
    struct rig_member lines = rig_party_enter(&party, 1, 1);
    struct rig_member bytes = rig_party_enter(&party, 2, 1);

    rig_party_join(&party, framed.id, "r");
    rig_party_join(&party, lines.id, "r");
    rig_party_join(&party, bytes.id, "r");
    cr_expect_eq(rig_party_send(&party, "r", "two\nlines"), CW_OK);
    cr_expect_eq(cw_room_send(party.server, "r", &msg, NULL), CW_OK);
    cr_expect_eq(rig_party_send(&party, "r", "ok"), CW_OK);
    rig_member_expect(&framed, "two\nlines");
    rig_member_expect(&framed, "ok");
    rig_peer_expect(&lines.peer, "ok\n");
    rig_peer_expect(&bytes.peer, "two\nlines");
    rig_party_expect_stats(&party, "r",
                           (struct cw_room_stats){.sent = 3, .delivered = 6, .dropped_kind = 3});
    cw_server_stats(party.server, &all);
    cr_expect_eq(all.messages_out, 6);
    cr_expect_eq(all.messages_dropped, 3);
    rig_peer_close(&framed.peer);
    rig_peer_close(&lines.peer);
    rig_peer_close(&bytes.peer);
    rig_party_end(&party);
}

static void begin_message(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(cw_conn_send(conn, &(struct cw_message){.part = CW_BEGIN, .total = 3}) >= 0);
}

static void end_message(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct cw_message body = {.body = cw_span_text("abc"), .part = CW_CHUNK};
    struct cw_conn_stats *stats = arg;

    rig_check(cw_conn_send(conn, &body) >= 0);
    rig_check(cw_conn_send(conn, &(struct cw_message){.part = CW_END}) >= 0);
    cw_conn_stats(conn, stats);
}

Test(rooms, a_member_in_the_middle_of_a_message_loses_those_of_rooms)
{
    static struct rig_party party;
    struct cw_conn_stats stats;

    rig_party_begin_framed(&party, NULL);
    struct rig_member busy = rig_party_enter_room(&party, "r", RIG_ANY_WORKER);
    struct rig_member idle = rig_party_enter_room(&party, "r", RIG_ANY_WORKER);

    rig_host_run(party.host, busy.id, begin_message, NULL);
    cr_expect_eq(rig_party_send(&party, "r", "lost"), CW_OK);
    rig_host_run(party.host, busy.id, end_message, &stats);
    cr_expect_eq(rig_party_send(&party, "r", "kept"), CW_OK);
    rig_member_expect(&busy, "abc");
    rig_member_expect(&busy, "kept");
    rig_member_expect(&idle, "lost");
    rig_member_expect(&idle, "kept");
    rig_party_expect_stats(&party, "r",
                           (struct cw_room_stats){.sent = 2, .delivered = 3, .dropped_slow = 1});
    cr_expect_eq(stats.messages_dropped, 1);
    rig_peer_close(&busy.peer);
    rig_peer_close(&idle.peer);
    rig_party_end(&party);
}

/* ---- switching ---- */

static struct cw_service_ref *next_service;

static ptrdiff_t switch_at_once(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    rig_check(cw_conn_switch(conn, next_service, NULL, NULL) == CW_OK);
    return (ptrdiff_t)len;
}

static const struct cw_protocol switching = {
    .name = "switching", .on_bytes = switch_at_once, .send = plain_send, .encode = plain_encode};

static void on_connection_greet(struct cw_conn *conn, void *user)
{
    struct cw_message msg = cw_message_text("here I am");

    rig_check(cw_room_send(cw_conn_server(conn), "r", &msg, NULL) == CW_OK);
}

Test(rooms, a_member_that_has_switched_is_spoken_to_in_its_new_protocol_from_the_first_message)
{
    static struct rig_party party;
    struct cw_hooks hooks = {.on_connection = on_connection_greet};
    struct cw_service framed = cw_service(&cw_framed, &hooks, NULL);

    next_service = cw_service_new(&framed, NULL);
    rig_party_begin(&party, rig_server(&switching, NULL), NULL);
    struct rig_member member = rig_party_enter_room(&party, "r", RIG_ANY_WORKER);

    cr_expect_eq(rig_party_send(&party, "r", "before"), CW_OK);
    rig_peer_expect(&member.peer, "before");
    rig_peer_send_text(&member.peer, "go");
    rig_member_expect(&member, "here I am");
    cr_expect_eq(rig_party_send(&party, "r", "after"), CW_OK);
    rig_member_expect(&member, "after");
    rig_peer_close(&member.peer);
    rig_party_end(&party);
    cw_service_free(next_service);
}

Test(rooms, a_member_that_has_switched_shares_its_messages_again)
{
    static struct rig_party party;
    struct cw_hooks hooks = {.on_connection = on_connection_greet};
    struct cw_service next = cw_service(&counting, &hooks, NULL);

    next_service = cw_service_new(&next, NULL);
    rig_party_begin(&party, rig_server(&switching, NULL), NULL);
    struct rig_member member = rig_party_enter_room(&party, "r", RIG_ANY_WORKER);

    rig_peer_send_text(&member.peer, "go");
    rig_peer_expect(&member.peer, "here I am");
    cr_expect_eq(rig_party_send(&party, "r", "after"), CW_OK);
    rig_peer_expect(&member.peer, "after");
    cr_expect_eq(atomic_load(&encoded), 2);
    cr_expect_eq(atomic_load(&sent_alone), 0);
    rig_peer_close(&member.peer);
    rig_party_end(&party);
    cw_service_free(next_service);
}

/* ---- inside hooks ---- */

static void on_close_tell(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct rig_story *story = user;
    struct cw_server *server = cw_conn_server(conn);
    struct cw_message msg = cw_message_text("gone");

    atomic_store(&story->answer, (int)cw_room_count(server, "chat"));
    rig_check(cw_room_send(server, "chat", &msg, NULL) == CW_OK);
    rig_check(cw_room_join(conn, "chat") == CW_ECLOSED);
    rig_check(cw_room_leave(conn, "chat") == CW_ENOTFOUND);
    rig_story_on_close(conn, reason, user);
}

Test(rooms, a_connection_has_left_when_its_on_close_runs_and_may_still_say_so)
{
    static struct rig_party party;
    struct cw_hooks hooks = rig_story_hooks;

    hooks.on_connection = on_connection_join;
    hooks.on_close = on_close_tell;
    rig_party_begin(&party, rig_server(&cw_framed, &(struct cw_server_options){.workers = 2}),
                    &hooks);
    struct rig_member a = rig_party_enter(&party, 0, 0);
    struct rig_member b = rig_party_enter(&party, 0, 1);
    struct rig_member c = rig_party_enter(&party, 0, 0);
    size_t there = cw_room_count(party.server, "chat");

    rig_peer_close(&a.peer);
    rig_member_expect(&b, "gone");
    rig_member_expect(&c, "gone");
    rig_await(atomic_load(&party.story.closed) == 1);
    cr_expect_eq(atomic_load(&party.story.answer), (int)there - 1);
    rig_peer_close(&b.peer);
    rig_peer_close(&c.peer);
    rig_party_end(&party);
}

static void on_data_leave(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    rig_check(cw_room_send(cw_conn_server(conn), "chat", msg, NULL) == CW_OK);
    rig_check(cw_room_leave(conn, "chat") == CW_OK);
    rig_check(cw_room_send(cw_conn_server(conn), "chat", msg, NULL) == CW_OK);
    rig_check(cw_room_join(conn, "chat") == CW_OK);
    rig_story_on_data(conn, msg, user);
}

Test(rooms, leaving_and_joining_counts_from_the_next_message_on)
{
    static struct rig_party party;
    struct cw_hooks hooks = rig_story_hooks;

    hooks.on_connection = on_connection_join;
    hooks.on_data = on_data_leave;
    rig_party_begin(&party, rig_server(&cw_framed, NULL), &hooks);
    struct rig_member a = rig_party_enter(&party, 0, RIG_ANY_WORKER);
    struct rig_member b = rig_party_enter(&party, 0, RIG_ANY_WORKER);

    rig_peer_send_frame(&a.peer, "1", 1);
    rig_member_expect(&a, "1");
    rig_member_expect(&b, "1");
    rig_member_expect(&b, "1");
    rig_peer_send_frame(&b.peer, "2", 1);
    rig_member_expect(&b, "2");
    rig_member_expect(&a, "2");
    rig_member_expect(&a, "2");
    rig_peer_close(&a.peer);
    rig_peer_close(&b.peer);
    rig_party_end(&party);
}

/* ---- full mailboxes ---- */

/* Holds one worker while the other one sends more than its mailbox takes. */
struct jam {
    atomic_bool held;
    atomic_bool released;
};

static void hold_loop(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct jam *jam = arg;

    atomic_store(&jam->held, true);
    rig_await(atomic_load(&jam->released));
}

static void send_too_much(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    int *refused = arg;
    struct cw_message msg = cw_message_text("m");

    for (int i = 0; i < 10; i++) {
        int answer = cw_room_send(cw_loop_server(loop), "r", &msg, NULL);
        rig_check(answer == CW_OK || answer == CW_EFULL);
        *refused += answer == CW_EFULL;
    }
}

Test(rooms, a_full_mailbox_is_told_and_the_members_of_other_workers_have_it)
{
    static struct rig_party party;
    static struct jam jam;
    int refused = 0;

    rig_party_begin_framed(&party, &(struct cw_server_options){.workers = 2, .mailbox_max = 4});
    struct rig_member near = rig_party_enter_room(&party, "r", 0);
    struct rig_member far = rig_party_enter_room(&party, "r", 1);

    cr_assert_eq(cw_server_post(party.server, 1, hold_loop, &jam), CW_OK);
    rig_await(atomic_load(&jam.held));
    rig_host_run(party.host, 0, send_too_much, &refused);
    atomic_store(&jam.released, true);
    cr_expect_eq(refused, 6);
    for (int i = 0; i < 10; i++) {
        rig_member_expect(&near, "m");
    }
    for (int i = 0; i < 4; i++) {
        rig_member_expect(&far, "m");
    }
    rig_party_expect_stats(&party, "r", (struct cw_room_stats){.sent = 10, .delivered = 14});
    rig_peer_close(&near.peer);
    rig_peer_close(&far.peer);
    rig_party_end(&party);
}

/* Datagrams over a line that loses, doubles, reorders, changes and cuts them: what arrives is whole and counted once each, and nothing
 * else happens. */
#include "support/client_story.h"
#include "support/leak.h"
#include "support/relay.h"
#include "support/udp_scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <stdio.h>

extern const struct cw_protocol numbered;
#include "../docs/numbered.c"

TestSuite(udp_loss, .fini = rig_expect_no_leak, .timeout = 120);

enum {
    CLIENTS = 4,
    ROUNDS = 40,
    BURST = 10, /* sent before the line is looked at: what a receive buffer holds in any case */
    NOTES = ROUNDS * BURST,
    NOTE_MAX = 1400,
};

/* ---- notes: datagrams that show when they are not whole ---- */

struct head {
    uint32_t client;
    uint32_t number;
};

static size_t length_of(const struct head *head)
{
    return sizeof *head + (head->number * 97 + head->client) % (NOTE_MAX - sizeof *head);
}

static uint8_t byte_of(const struct head *head, size_t at)
{
    return rig_pattern(at + head->number * 13 + head->client * 1001);
}

static size_t write_note(uint8_t *note, uint32_t client, uint32_t number)
{
    const struct head head = {client, number};
    size_t len = length_of(&head);

    memcpy(note, &head, sizeof head);
    for (size_t i = sizeof head; i < len; i++) {
        note[i] = byte_of(&head, i);
    }
    return len;
}

/* Works on any thread. */
static struct head read_note(const uint8_t *note, size_t len)
{
    struct head head;

    rig_check(len >= sizeof head);
    memcpy(&head, note, sizeof head);
    rig_check(len == length_of(&head));
    for (size_t i = sizeof head; i < len; i++) {
        rig_check(note[i] == byte_of(&head, i));
    }
    return head;
}

/* ---- a server, the line before it, clients ---- */

struct client {
    struct rig_udp peer;
    unsigned copies[CLIENTS][NOTES]; /* heard, of whose notes */
    uint64_t heard;
};

struct line {
    struct rig_scene scene;
    struct rig_relay *relay;
    struct client clients[CLIENTS];
    uint64_t sent;
    uint64_t heard_before; /* by the server: what of that was answered otherwise, */
    uint64_t said_before;  /* so often in all */
    uint64_t answers;      /* to each of all others */
};

static struct line line = {.answers = 1};

static void open_line(uint64_t seed)
{
    line.relay = rig_relay_start("127.0.0.1", rig_host_port(line.scene.host, 0), seed);
    for (size_t i = 0; i < CLIENTS; i++) {
        line.clients[i].peer = rig_udp_to(rig_relay_port(line.relay));
    }
}

static void begin(uint64_t seed, const struct cw_hooks *hooks)
{
    rig_udp_begin(&line.scene, &(struct rig_udp_setup){.datagram = {.amplification = CW_NO_LIMIT},
                                                       .hooks = hooks});
    open_line(seed);
}

static void end(void)
{
    cr_assert_eq(atomic_load(&line.scene.story.errors), 0);
    cr_assert_eq(rig_scene_stats(&line.scene).closed_by_error, 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        rig_udp_close(&line.clients[i].peer);
    }
    rig_relay_end(line.relay);
    rig_scene_end(&line.scene);
}

static struct rig_line_counts up(void)
{
    return rig_relay_counts(line.relay, RIG_UP);
}

static struct rig_line_counts down(void)
{
    return rig_relay_counts(line.relay, RIG_DOWN);
}

/* All that was sent has come as far as it will for now: what the line has delivered was answered, and nothing more is on its way. */
static void settle(void)
{
    uint64_t delivered;

    rig_await(up().received == line.sent);
    delivered = up().delivered;
    rig_await(rig_udp_stats(&line.scene).received == delivered);
    rig_await(down().received == line.said_before + (delivered - line.heard_before) * line.answers);
}

static void send_bytes(struct client *client, const void *data, size_t len)
{
    rig_udp_send(&client->peer, data, len);
    line.sent++;
}

static void send_note(size_t client, unsigned number)
{
    uint8_t note[NOTE_MAX];

    send_bytes(&line.clients[client], note, write_note(note, (uint32_t)client, number));
}

static void read_notes(struct client *client)
{
    uint8_t note[NOTE_MAX + 1];

    for (ptrdiff_t len = 0; len >= 0;) {
        len = rig_udp_try_receive(&client->peer, note, sizeof note);
        if (len >= 0) {
            struct head head = read_note(note, (size_t)len);

            rig_check(head.client < CLIENTS);
            rig_check(head.number < NOTES);
            client->copies[head.client][head.number]++;
            client->heard++;
        }
    }
}

static uint64_t heard(void)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < CLIENTS; i++) {
        read_notes(&line.clients[i]);
        sum += line.clients[i].heard;
    }
    return sum;
}

static void exchange_notes(void)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (size_t client = 0; client < CLIENTS; client++) {
            for (unsigned n = 0; n < BURST; n++) {
                send_note(client, round * BURST + n);
            }
        }
        settle();
        (void)heard();
    }
    rig_relay_release(line.relay, RIG_UP);
    settle();
    rig_relay_release(line.relay, RIG_DOWN);
}

static const struct rig_faults bad = {
    .per_mille = {[RIG_DROP] = 150, [RIG_DOUBLE] = 100, [RIG_HOLD] = 200}, .amount_max = 7};

static void expect_faults(void)
{
    for (int way = 0; way < RIG_WAYS; way++) {
        struct rig_line_counts counts = rig_relay_counts(line.relay, (enum rig_way)way);

        cr_assert_gt(counts.done[RIG_DROP], 0);
        cr_assert_gt(counts.done[RIG_DOUBLE], 0);
        cr_assert_gt(counts.done[RIG_HOLD], 0);
    }
}

/* ---- echo ---- */

Test(udp_loss, an_echo_over_a_bad_line_is_whole_and_counted_exactly)
{
    struct cw_server_stats stats;

    begin(11, NULL);
    rig_relay_set(line.relay, RIG_UP, &bad);
    rig_relay_set(line.relay, RIG_DOWN, &bad);
    exchange_notes();
    rig_await(heard() == down().delivered);
    stats = rig_scene_stats(&line.scene);
    expect_faults();
    cr_assert_eq(rig_udp_stats(&line.scene).dropped_kernel, 0);
    cr_assert_eq(stats.messages_in, up().delivered);
    cr_assert_eq(stats.bytes_in, up().delivered_bytes);
    cr_assert_eq(stats.messages_out, down().received);
    cr_assert_eq(stats.bytes_out, down().received_bytes);
    cr_assert_eq(stats.conns_open, CLIENTS);
    cr_assert_eq(atomic_load(&line.scene.story.messages), up().delivered);
    for (size_t i = 0; i < CLIENTS; i++) {
        for (size_t from = 0; from < CLIENTS; from++) {
            for (size_t n = 0; n < NOTES; n++) {
                cr_assert_leq(
                    line.clients[i].copies[from][n], from == i ? 4u : 0u,
                    "one doubled on both ways comes four times at most, and to nobody else");
            }
        }
    }
    end();
}

/* In the order in which they come. */
static void expect_notes(struct client *client, const unsigned *numbers, size_t count)
{
    uint8_t note[NOTE_MAX + 1];

    for (size_t i = 0; i < count; i++) {
        size_t len = rig_udp_receive(&client->peer, note, sizeof note);

        cr_assert_eq(read_note(note, len).number, numbers[i]);
    }
    rig_udp_expect_nothing(&client->peer);
}

Test(udp_loss, what_arrives_is_answered_in_the_order_in_which_it_does)
{
    static const struct rig_step steps[] = {
        {.at = 3, .what = RIG_DROP},
        {.at = 5, .what = RIG_DOUBLE, .amount = 1},
        {.at = 7, .what = RIG_HOLD, .amount = 2},
    };
    static const unsigned numbers[] = {0, 1, 3, 4, 5, 4, 7, 8, 6, 9};

    begin(1, NULL);
    rig_relay_set(line.relay, RIG_UP, &(struct rig_faults){.steps = steps, .step_count = 3});
    for (unsigned n = 0; n < BURST; n++) {
        send_note(0, n);
    }
    settle();
    expect_notes(&line.clients[0], numbers, 10);
    end();
}

Test(udp_loss, datagrams_that_are_changed_or_cut_are_datagrams_like_others)
{
    struct rig_faults faults = {.per_mille = {[RIG_CHANGE] = 400, [RIG_CUT] = 400}};
    uint64_t lengths = 0;
    uint8_t note[NOTE_MAX + 1];

    begin(5, NULL);
    rig_relay_set(line.relay, RIG_UP, &faults);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned n = 0; n < BURST; n++) {
            send_note(0, round * BURST + n);
        }
        settle();
        for (unsigned n = 0; n < BURST; n++) {
            lengths += rig_udp_receive(&line.clients[0].peer, note, sizeof note);
        }
    }
    cr_assert_gt(up().done[RIG_CUT], 0);
    cr_assert_gt(up().done[RIG_CHANGE], 0);
    cr_assert_eq(lengths, up().delivered_bytes);
    cr_assert_eq(rig_scene_stats(&line.scene).bytes_in, up().delivered_bytes);
    cr_assert_eq(rig_scene_stats(&line.scene).messages_in, NOTES);
    end();
}

Test(udp_loss, a_line_that_is_dead_for_a_while_finds_the_same_peer_again)
{
    begin(1, NULL);
    send_note(0, 0);
    settle();
    rig_relay_set(line.relay, RIG_UP, &(struct rig_faults){.closed = true});
    rig_relay_set(line.relay, RIG_DOWN, &(struct rig_faults){.closed = true});
    for (unsigned n = 1; n < BURST; n++) {
        send_note(0, n);
    }
    settle();
    rig_relay_set(line.relay, RIG_UP, NULL);
    send_note(0, BURST);
    settle();
    rig_relay_set(line.relay, RIG_DOWN, NULL);
    send_note(0, BURST + 1);
    settle();
    expect_notes(&line.clients[0], (const unsigned[]){0, BURST + 1}, 2);
    cr_assert_eq(rig_scene_stats(&line.scene).messages_in, 3);
    cr_assert_eq(rig_scene_stats(&line.scene).conns_total, 1);
    end();
}

Test(udp_loss, a_client_whose_address_changes_is_another_peer)
{
    begin(1, NULL);
    send_note(0, 0);
    settle();
    rig_relay_rebind(line.relay, 1);
    send_note(0, 1);
    settle();
    expect_notes(&line.clients[0], (const unsigned[]){0, 1}, 2);
    cr_assert_eq(rig_scene_stats(&line.scene).conns_open, 2);
    end();
}

/* ---- a service without peers ---- */

static void answer(struct cw_loop *loop, struct cw_datagram *from, const struct cw_message *msg,
                   void *user)
{
    (void)read_note(msg->body.data, msg->body.len);
    rig_check(cw_datagram_reply(loop, from, msg->body) == CW_OK);
    atomic_fetch_add(&line.scene.story.messages, 1);
}

Test(udp_loss, a_service_without_peers_answers_what_arrives_once_each)
{
    rig_udp_begin(&line.scene, &(struct rig_udp_setup){.udp = {.on_datagram = answer}});
    open_line(31);
    rig_relay_set(line.relay, RIG_UP, &bad);
    rig_relay_set(line.relay, RIG_DOWN, &bad);
    exchange_notes();
    rig_await(heard() == down().delivered);
    expect_faults();
    cr_assert_eq(atomic_load(&line.scene.story.messages), up().delivered);
    cr_assert_eq(down().received, up().delivered);
    cr_assert_eq(down().received_bytes, up().delivered_bytes);
    cr_assert_eq(rig_scene_stats(&line.scene).conns_total, 0);
    end();
}

/* ---- a client of our own ---- */

enum { SAID = 300 };

static void say_next(struct rig_client *client)
{
    char text[16];

    if (client->conn && client->wanted < SAID) {
        snprintf(text, sizeof text, "%u", ++client->wanted);
        rig_client_say(client, text);
    }
}

Test(udp_loss, a_client_over_a_bad_line_hears_what_the_line_delivers)
{
    struct rig_client client;
    struct cw_datagram_stats stats;

    begin(17, NULL);
    rig_relay_set(line.relay, RIG_UP, &bad);
    rig_relay_set(line.relay, RIG_DOWN, &bad);
    rig_client_begin(&client, NULL);
    rig_client_connect(&client, rig_at("127.0.0.1", rig_relay_port(line.relay)), NULL);
    rig_client_until(&client, client.opened == 1);
    while (client.wanted < SAID) {
        say_next(&client);
        line.sent++;
        rig_client_until(&client, up().received == line.sent);
        rig_client_until(&client, client.messages == down().delivered);
    }
    rig_relay_release(line.relay, RIG_UP);
    settle();
    rig_relay_release(line.relay, RIG_DOWN);
    rig_client_until(&client, client.messages == down().delivered);
    expect_faults();
    cw_loop_datagram_stats(client.loop, &stats);
    cr_assert_eq(stats.sent, SAID);
    cr_assert_eq(stats.received, down().delivered);
    cr_assert_eq(client.bytes, down().delivered_bytes);
    cr_assert_eq(client.failed, 0);
    rig_client_end(&client);
    cr_assert_eq(client.closed, 1);
    end();
}

/* ---- a room ---- */

static void join(struct cw_conn *conn, void *user)
{
    rig_check(cw_room_join(conn, "room") == CW_OK);
    rig_story_on_connection(conn, user);
}

static void tell_room(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    (void)read_note(msg->body.data, msg->body.len);
    rig_check(cw_room_send(cw_conn_server(conn), "room", msg,
                           &(struct cw_room_send_options){.except = cw_conn_id(conn)}) == CW_OK);
    rig_story_on_data(conn, msg, user);
}

static void begin_room(uint64_t seed)
{
    static const struct rig_udp_setup setup = {.datagram = {.amplification = CW_NO_LIMIT}};
    struct cw_hooks hooks = rig_story_with_data(tell_room);
    struct cw_server *server = rig_udp_server(&setup);
    struct cw_service framed = {&cw_framed, NULL, &hooks, &line.scene.story};

    hooks.on_connection = join;
    rig_check(cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1",
                                                                   .service = framed}) == CW_OK);
    rig_udp_begin_server(&line.scene, server, &hooks);
    open_line(seed);
}

/* One after the other; each tells all who are there already. */
static void enter_room(void)
{
    line.scene.peer = rig_peer_tcp(rig_host_port(line.scene.host, 1));
    rig_await(cw_room_count(rig_host_server(line.scene.host), "room") == 1);
    for (size_t i = 0; i < CLIENTS; i++) {
        line.answers = i;
        send_note(i, 0);
        settle();
        rig_await(rig_host_conns(line.scene.host) == i + 2);
        line.heard_before++;
        line.said_before += i;
    }
    line.answers = CLIENTS - 1;
    rig_await(heard() == down().delivered);
}

Test(udp_loss, a_room_of_a_framed_member_and_peers_over_a_bad_line_gets_whole_messages)
{
    uint8_t note[NOTE_MAX + 1];
    uint64_t frames;

    begin_room(23);
    enter_room();
    rig_relay_set(line.relay, RIG_UP, &bad);
    rig_relay_set(line.relay, RIG_DOWN, &bad);
    exchange_notes();
    rig_await(heard() == down().delivered);
    expect_faults();
    frames = rig_scene_stats(&line.scene).messages_in;
    cr_assert_eq(frames, up().delivered);
    for (uint64_t n = 0; n < frames; n++) {
        (void)read_note(note, rig_peer_receive_frame(&line.scene.peer, note, sizeof note));
    }
    cr_assert_eq(rig_scene_stats(&line.scene).messages_out, frames + down().received);
    cr_assert_eq(rig_scene_stats(&line.scene).messages_dropped, 0);
    for (size_t i = 0; i < CLIENTS; i++) {
        for (size_t n = 0; n < NOTES; n++) {
            cr_assert_eq(line.clients[i].copies[i][n], 0, "what it has told itself");
        }
    }
    end();
}

Test(udp_loss, what_a_framed_member_tells_reaches_every_peer_as_far_as_the_line_lets_it)
{
    uint8_t note[NOTE_MAX];

    begin_room(3);
    enter_room();
    rig_relay_set(line.relay, RIG_DOWN, &(struct rig_faults){.per_mille = {[RIG_DROP] = 300}});
    for (unsigned n = 1; n <= ROUNDS; n++) {
        uint64_t before = down().received;

        rig_peer_send_frame(&line.scene.peer, note, write_note(note, 0, n));
        rig_await(down().received == before + CLIENTS);
    }
    rig_await(heard() == down().delivered);
    cr_assert_gt(down().done[RIG_DROP], 0);
    end();
}

/* ---- a protocol with an order of its own ---- */

static uint32_t load(const uint8_t *from)
{
    return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 | (uint32_t)from[2] << 8 | from[3];
}

static void expect_newer(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    uintptr_t newest = (uintptr_t)cw_conn_user(conn);

    rig_check(msg->body.len == 4);
    rig_check(load(msg->body.data) > newest);
    cw_conn_set_user(conn, (void *)(uintptr_t)load(msg->body.data));
    rig_udp_echo(conn, msg, user);
}

static void send_number(struct client *client, uint32_t number)
{
    uint8_t bytes[8] = {[2] = (uint8_t)(number >> 8),
                        [3] = (uint8_t)number,
                        [6] = (uint8_t)(number >> 8),
                        [7] = (uint8_t)number};

    send_bytes(client, bytes, sizeof bytes);
}

static void begin_numbered(uint64_t seed)
{
    struct cw_server *server = cw_create_server(&numbered);
    struct cw_hooks hooks = rig_story_with_data(expect_newer);

    rig_check(cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1"}) == CW_OK);
    rig_udp_begin_server(&line.scene, server, &hooks);
    open_line(seed);
}

/* Returns how many echoes there were; the server numbers what it sends. */
static uint64_t read_numbers(struct client *client)
{
    uint8_t answer[16];
    uint64_t before = client->heard;

    while (rig_udp_try_receive(&client->peer, answer, sizeof answer) == 8) {
        client->heard++;
        rig_check(load(answer) == client->heard);
    }
    return client->heard - before;
}

Test(udp_loss, a_protocol_that_numbers_its_datagrams_hears_each_once_and_in_order)
{
    uint64_t messages;
    uint64_t echoes = 0;

    begin_numbered(9);
    rig_relay_set(line.relay, RIG_UP, &bad);
    for (unsigned n = 1; n <= NOTES; n++) {
        for (size_t i = 0; i < CLIENTS; i++) {
            send_number(&line.clients[i], n);
        }
        rig_await(up().received == line.sent);
        rig_await(rig_udp_stats(&line.scene).received == up().delivered);
        for (size_t i = 0; i < CLIENTS; i++) {
            echoes += read_numbers(&line.clients[i]);
        }
    }
    messages = rig_scene_stats(&line.scene).messages_in;
    cr_assert_lt(messages, up().delivered, "late ones and doubles are dropped");
    cr_assert_gt(messages, NOTES * CLIENTS / 2);
    rig_await(down().delivered == messages);
    for (size_t i = 0; i < CLIENTS; i++) {
        echoes += read_numbers(&line.clients[i]);
    }
    cr_assert_eq(echoes, messages);
    end();
}

static void tell_room_anything(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    rig_check(cw_room_send(cw_conn_server(conn), "room", msg, NULL) == CW_OK);
    rig_story_on_data(conn, msg, user);
}

/* Its numbers are the peer's own, so there are no bytes that many could share. */
Test(udp_loss, a_room_numbers_its_messages_for_each_peer_and_frames_them_for_others)
{
    struct cw_server *server = cw_create_server(&numbered);
    struct cw_hooks hooks = rig_story_with_data(tell_room_anything);
    struct cw_service framed = {&cw_framed, NULL, &hooks, &line.scene.story};
    uint8_t frame[16];

    hooks.on_connection = join;
    rig_check(cw_server_listen(server, &(struct cw_listen_options){
                                           .host = "127.0.0.1",
                                           .datagram = {.amplification = CW_NO_LIMIT}}) == CW_OK);
    rig_check(cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1",
                                                                   .service = framed}) == CW_OK);
    rig_udp_begin_server(&line.scene, server, &hooks);
    open_line(2);
    line.scene.peer = rig_peer_tcp(rig_host_port(line.scene.host, 1));
    rig_await(cw_room_count(server, "room") == 1);
    for (uint32_t n = 1; n <= ROUNDS; n++) {
        size_t members = n < CLIENTS ? n : CLIENTS;
        uint64_t before = down().delivered;

        send_number(&line.clients[n % CLIENTS], n);
        rig_await(down().delivered == before + members);
        cr_assert_eq(rig_peer_receive_frame(&line.scene.peer, frame, sizeof frame), 4);
        cr_assert_eq(load(frame), n);
        for (size_t i = 0; i < CLIENTS; i++) {
            (void)read_numbers(&line.clients[i]);
        }
    }
    cr_assert_eq(line.clients[1].heard, ROUNDS, "it came first");
    cr_assert_eq(line.clients[0].heard, ROUNDS - 3, "it came last");
    end();
}

/* Peers of datagrams in rooms: beside connections of bytes and WebSockets, on one worker and on several. */
#include "support/leak.h"
#include "support/party.h"
#include "support/udp_scene.h"
#include "support/wait.h"
#include "support/ws_raw.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TestSuite(udp_rooms, .fini = rig_expect_no_leak, .timeout = 60);

enum { FRAMED, WEBSOCKET, UDP };

static struct rig_party party;

/* One listener of each kind, with the same hooks; udp is as the options say. */
static void begin(const struct cw_hooks *hooks, const struct cw_server_options *options,
                  const struct cw_datagram_options *datagram, const struct cw_udp_options *udp)
{
    struct cw_server *server = rig_server(&cw_framed, options);

    cw_server_listen(server, &(struct cw_listen_options){
                                 .host = "127.0.0.1",
                                 .service = cw_service(&cw_websocket, hooks, &party.story)});
    cw_server_listen(
        server, &(struct cw_listen_options){.host = "127.0.0.1",
                                            .datagram = *datagram,
                                            .service = cw_udp_service(udp, hooks, &party.story)});
    rig_party_begin(&party, server, hooks);
}

/* A peer of datagrams that is known to the server, and the id of its connection. */
struct guest {
    struct rig_udp peer;
    uint64_t id;
};

static struct guest come_in(const char *room)
{
    struct guest guest = {.peer = rig_udp_to(rig_host_port(party.host, UDP))};
    unsigned before = atomic_load(&party.story.opened);

    rig_udp_send_text(&guest.peer, "knock");
    rig_await(atomic_load(&party.story.opened) > before);
    guest.id = atomic_load(&party.story.conn_id);
    if (room) {
        rig_check(rig_party_join(&party, guest.id, room) == CW_OK);
    }
    return guest;
}

static unsigned worker_of(uint64_t id)
{
    return (unsigned)(id >> 24 & 0xff);
}

static const struct cw_datagram_options trusting = {.amplification = CW_NO_LIMIT};

/* ---- one room for all ---- */

/* A knock is for nobody else: on its way to another worker it could come to a guest who has joined meanwhile. */
static void say_to_room(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct cw_room_send_options options = {.except = cw_conn_id(conn)};

    if (!cw_span_equal(msg->body, cw_span_of("knock", 5))) {
        rig_check(cw_room_send(cw_conn_server(conn), "hall", msg, &options) == CW_OK);
    }
    rig_story_on_data(conn, msg, user);
}

static void expect_one_room(uint64_t workers)
{
    struct cw_hooks hooks = rig_story_with_data(say_to_room);
    struct rig_member framed;
    struct rig_peer socket;
    struct guest guests[6];
    unsigned before;

    begin(&hooks, &(struct cw_server_options){.workers = workers}, &trusting, NULL);
    framed = rig_party_enter_room(&party, "hall", RIG_ANY_WORKER);
    before = atomic_load(&party.story.opened);
    socket = ws_raw_open(rig_host_port(party.host, WEBSOCKET), "/");
    rig_await(atomic_load(&party.story.opened) > before);
    cr_assert_eq(rig_party_join(&party, atomic_load(&party.story.conn_id), "hall"), CW_OK);
    for (int i = 0; i < 6; i++) {
        guests[i] = come_in(NULL);
    }
    for (int i = 0; i < 6; i++) {
        cr_assert_eq(rig_party_join(&party, guests[i].id, "hall"), CW_OK);
    }
    cr_expect_eq(cw_room_count(party.server, "hall"), 8);

    rig_udp_send_text(&guests[0].peer, "from a datagram");
    rig_member_expect(&framed, "from a datagram");
    ws_raw_expect(&socket, WS_RAW_BINARY, "from a datagram", 15);
    for (int i = 1; i < 6; i++) {
        rig_udp_expect(&guests[i].peer, "from a datagram");
    }
    rig_peer_send_frame(&framed.peer, "from a frame", 12);
    ws_raw_expect(&socket, WS_RAW_BINARY, "from a frame", 12);
    for (int i = 0; i < 6; i++) {
        rig_udp_expect(&guests[i].peer, "from a frame");
    }
    ws_raw_send(&socket, WS_RAW_BINARY | WS_RAW_FIN, "from a browser", 14);
    rig_member_expect(&framed, "from a browser");
    for (int i = 0; i < 6; i++) {
        rig_udp_expect(&guests[i].peer, "from a browser");
    }
    cr_expect_eq(rig_party_send(&party, "hall", "from the house"), CW_OK);
    rig_member_expect(&framed, "from the house");
    for (int i = 0; i < 6; i++) {
        rig_udp_expect(&guests[i].peer, "from the house");
        rig_udp_expect_nothing(&guests[i].peer);
        rig_udp_close(&guests[i].peer);
    }
    rig_peer_close(&framed.peer);
    rig_peer_close(&socket);
    rig_party_end(&party);
}

Test(udp_rooms, datagrams_frames_and_websockets_meet_in_one_room)
{
    expect_one_room(1);
}

Test(udp_rooms, datagrams_frames_and_websockets_meet_in_one_room_across_workers)
{
    expect_one_room(3);
}

Test(udp_rooms, one_senders_messages_keep_their_order_across_workers)
{
    enum { GUESTS = 12, MESSAGES = 300, ROUND = 20 };
    struct cw_hooks hooks = rig_story_hooks;
    struct guest guests[GUESTS];
    unsigned workers = 0;
    char text[32];

    begin(&hooks, &(struct cw_server_options){.workers = 2}, &trusting, NULL);
    for (int i = 0; i < GUESTS; i++) {
        guests[i] = come_in("r");
        workers |= 1U << worker_of(guests[i].id);
    }
    cr_expect_eq(workers, 3, "with so many there are some on each");
    for (int sent = 0; sent < MESSAGES; sent += ROUND) {
        for (int i = sent; i < sent + ROUND; i++) {
            snprintf(text, sizeof text, "number %d", i);
            cr_assert_eq(rig_party_send(&party, "r", text), CW_OK);
        }
        for (int k = 0; k < GUESTS; k++) {
            for (int i = sent; i < sent + ROUND; i++) {
                snprintf(text, sizeof text, "number %d", i);
                rig_udp_expect(&guests[k].peer, text);
            }
        }
    }
    rig_party_expect_stats(
        &party, "r", (struct cw_room_stats){.sent = MESSAGES, .delivered = MESSAGES * GUESTS});
    for (int k = 0; k < GUESTS; k++) {
        rig_udp_close(&guests[k].peer);
    }
    rig_party_end(&party);
}

Test(udp_rooms, a_peer_that_ends_has_left)
{
    struct guest guest;

    begin(&rig_story_hooks, NULL, &(struct cw_datagram_options){.peer_idle_ms = 150}, NULL);
    guest = come_in("r");
    cr_expect_eq(cw_room_count(party.server, "r"), 1);
    rig_await(cw_room_count(party.server, "r") == 0);
    rig_await(atomic_load(&party.story.closed) == 1);
    cr_expect_eq(party.story.reason.code, CW_EXPIRED);
    cr_expect_eq(rig_party_send(&party, "r", "to nobody"), CW_OK);
    rig_udp_expect_nothing(&guest.peer);
    rig_udp_close(&guest.peer);
    rig_party_end(&party);
}

Test(udp_rooms, a_peer_that_made_room_for_another_has_left)
{
    enum { MOST = 4, ALL = 20 };
    struct guest guests[ALL];

    begin(&rig_story_hooks, NULL,
          &(struct cw_datagram_options){.peers_max = MOST, .amplification = CW_NO_LIMIT}, NULL);
    for (int i = 0; i < ALL; i++) {
        guests[i] = come_in("r");
    }
    cr_expect_eq(cw_room_count(party.server, "r"), MOST);
    cr_expect_eq(atomic_load(&party.story.closed), ALL - MOST);
    cr_expect_eq(rig_party_send(&party, "r", "who is left?"), CW_OK);
    for (int i = ALL - MOST; i < ALL; i++) {
        rig_udp_expect(&guests[i].peer, "who is left?");
    }
    for (int i = 0; i < ALL; i++) {
        rig_udp_expect_nothing(&guests[i].peer);
        rig_udp_close(&guests[i].peer);
    }
    rig_party_end(&party);
}

/* ---- what a member does not get ---- */

Test(udp_rooms, a_message_larger_than_a_datagram_is_dropped_for_that_member_alone)
{
    uint8_t *bytes = rig_pattern_new(RIG_UDP_MAX + 1);
    struct cw_message msg = cw_message_of(bytes, RIG_UDP_MAX + 1);
    struct rig_member framed;
    struct guest guest;
    uint8_t *back = malloc(RIG_UDP_MAX + 1);

    cr_assert_not_null(back);
    begin(&rig_story_hooks, NULL, &trusting, NULL);
    framed = rig_party_enter_room(&party, "r", RIG_ANY_WORKER);
    guest = come_in("r");
    cr_expect_eq(cw_room_send(party.server, "r", &msg, NULL), CW_OK);
    cr_expect_eq(rig_peer_receive_frame(&framed.peer, back, RIG_UDP_MAX + 1), RIG_UDP_MAX + 1);
    msg.body.len = RIG_UDP_MAX;
    cr_expect_eq(cw_room_send(party.server, "r", &msg, NULL), CW_OK);
    cr_expect_eq(rig_peer_receive_frame(&framed.peer, back, RIG_UDP_MAX + 1), RIG_UDP_MAX);
    rig_udp_expect_bytes(&guest.peer, bytes, RIG_UDP_MAX);
    cr_expect_eq(rig_party_send(&party, "r", "small"), CW_OK);
    rig_udp_expect(&guest.peer, "small");
    rig_party_expect_stats(&party, "r",
                           (struct cw_room_stats){.sent = 3, .delivered = 5, .dropped_kind = 1});
    cr_expect_eq(atomic_load(&party.story.closed), 0);
    rig_peer_close(&framed.peer);
    rig_udp_close(&guest.peer);
    rig_party_end(&party);
    free(bytes);
    free(back);
}

Test(udp_rooms, members_with_a_lower_limit_get_what_fits_them)
{
    struct cw_server *server = rig_server(&cw_framed, NULL);
    const struct cw_udp_options small = {.datagram_max_bytes = 10};
    struct guest guests[2];

    cw_server_listen(server, &(struct cw_listen_options){
                                 .host = "127.0.0.1",
                                 .datagram = trusting,
                                 .service = cw_udp_service(&small, &rig_story_hooks, &party.story)});
    cw_server_listen(server, &(struct cw_listen_options){
                                 .host = "127.0.0.1",
                                 .datagram = trusting,
                                 .service = cw_udp_service(NULL, &rig_story_hooks, &party.story)});
    rig_party_begin(&party, server, NULL);
    for (unsigned i = 0; i < 2; i++) {
        unsigned before = atomic_load(&party.story.opened);

        guests[i].peer = rig_udp_to(rig_host_port(party.host, i + 1));
        rig_udp_send_text(&guests[i].peer, "knock");
        rig_await(atomic_load(&party.story.opened) > before);
        rig_check(rig_party_join(&party, atomic_load(&party.story.conn_id), "r") == CW_OK);
    }
    cr_expect_eq(rig_party_send(&party, "r", "eleven byte"), CW_OK);
    cr_expect_eq(rig_party_send(&party, "r", "ten bytes."), CW_OK);
    rig_udp_expect(&guests[0].peer, "ten bytes.");
    rig_udp_expect(&guests[1].peer, "eleven byte");
    rig_udp_expect(&guests[1].peer, "ten bytes.");
    rig_udp_close(&guests[0].peer);
    rig_udp_close(&guests[1].peer);
    rig_party_end(&party);
}

static void expect_unproven(enum cw_slow_policy slow)
{
    struct cw_datagram_stats stats;
    struct cw_server_stats all;
    struct guest guest;

    begin(&rig_story_hooks, NULL, &(struct cw_datagram_options){0}, NULL);
    cw_room_configure(party.server, "r", &(struct cw_room_options){.slow = slow});
    guest = come_in("r"); /* it has said five bytes: fifteen are for it */
    for (int i = 0; i < 5; i++) {
        cr_expect_eq(rig_party_send(&party, "r", "1234567"), CW_OK);
    }
    rig_host_run(party.host, 0, rig_pass, NULL);
    rig_udp_expect(&guest.peer, "1234567");
    rig_udp_expect(&guest.peer, "1234567");
    rig_udp_expect_nothing(&guest.peer);
    cw_server_datagram_stats(party.server, &stats);
    cr_expect_eq(stats.dropped_unproven, 3);
    cw_server_stats(party.server, &all);
    cr_expect_eq(all.messages_dropped, 3);
    cr_expect_eq(rig_party_stats(&party, "r").delivered, 2);
    cr_expect_eq(atomic_load(&party.story.closed), 0, "nobody is closed for that");
    rig_udp_send_text(&guest.peer, "something more");
    rig_await(atomic_load(&party.story.messages) == 2);
    cr_expect_eq(rig_party_send(&party, "r", "again"), CW_OK);
    rig_udp_expect(&guest.peer, "again");
    rig_udp_close(&guest.peer);
    rig_party_end(&party);
}

Test(udp_rooms, an_unproven_member_gets_what_it_may_be_sent)
{
    expect_unproven(CW_SLOW_DROP_NEWEST);
}

Test(udp_rooms, an_unproven_member_is_not_closed_for_being_slow)
{
    expect_unproven(CW_SLOW_CLOSE);
}

/* ---- many ---- */

Test(udp_rooms, a_burst_reaches_everybody)
{
    enum { GUESTS = 100, BURST = 50 };
    struct guest *guests = calloc(GUESTS, sizeof *guests);
    char text[32];

    cr_assert_not_null(guests);
    begin(&rig_story_hooks, NULL, &trusting, NULL);
    for (int i = 0; i < GUESTS; i++) {
        guests[i] = come_in("r");
    }
    for (int i = 0; i < BURST; i++) {
        snprintf(text, sizeof text, "%*d", 1 + i % 9, i);
        cr_assert_eq(rig_party_send(&party, "r", text), CW_OK);
    }
    for (int k = 0; k < GUESTS; k++) {
        for (int i = 0; i < BURST; i++) {
            snprintf(text, sizeof text, "%*d", 1 + i % 9, i);
            rig_udp_expect(&guests[k].peer, text);
        }
        rig_udp_close(&guests[k].peer);
    }
    rig_party_expect_stats(&party, "r",
                           (struct cw_room_stats){.sent = BURST, .delivered = BURST * GUESTS});
    rig_party_end(&party);
    free(guests);
}

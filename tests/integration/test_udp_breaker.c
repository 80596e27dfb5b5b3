/* What an attacker tries against the sockets of datagrams and their peers. */
#include "support/leak.h"
#include "support/peer.h"
#include "support/udp_scene.h"
#include "support/wait.h"

#include <arpa/inet.h>
#include <causeway/causeway.h>
#include <causeway/log.h>
#include <causeway/protocol.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(udp_breaker, .init = init, .fini = rig_expect_no_leak, .timeout = 60);

static struct rig_scene scene;

/* ---- runs of datagrams ---- */

/* How many bytes the kernel hands over as one; *segment: the size of each datagram in it, 0: it is one. */
static size_t receive_run(struct rig_udp *peer, int *segment)
{
    static uint8_t buffer[65536];
    _Alignas(struct cmsghdr) uint8_t control[128];
    struct iovec iov = {buffer, sizeof buffer};
    struct msghdr head = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n;

    *segment = 0;
    rig_await((n = recvmsg(peer->fd, &head, MSG_DONTWAIT)) >= 0);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&head); c; c = CMSG_NXTHDR(&head, c)) {
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            memcpy(segment, CMSG_DATA(c), sizeof *segment);
        }
    }
    return (size_t)n;
}

enum { PIECES = 4, PIECE = 100 };

/* Answers with several of one size. */
static void answer_in_pieces(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    uint8_t piece[PIECE] = {0};

    rig_story_on_data(conn, msg, user);
    for (int i = 0; i < PIECES; i++) {
        cw_conn_send_bytes(conn, piece, sizeof piece);
    }
}

/* A datagram for the server, from any address and port. */
static void inject(int raw, const char *from, uint16_t port, uint16_t to_port)
{
    struct {
        struct iphdr ip;
        struct udphdr udp;
        char body[256];
    } packet = {.ip = {.ihl = 5, .version = 4, .ttl = 64, .protocol = IPPROTO_UDP}};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    packet.ip.saddr = inet_addr(from);
    packet.ip.daddr = to.sin_addr.s_addr;
    packet.ip.tot_len = htons(sizeof packet);
    packet.udp.source = htons(port);
    packet.udp.dest = htons(to_port);
    packet.udp.len = htons(sizeof packet - sizeof packet.ip);
    (void)sendto(raw, &packet, sizeof packet, 0, (struct sockaddr *)&to, sizeof to);
}

static bool comes_as_run(struct rig_udp *peer)
{
    size_t left = (size_t)PIECES * PIECE;
    bool is_run = false;

    rig_udp_send_text(peer, "several, please");
    while (left > 0) {
        int segment;

        left -= receive_run(peer, &segment);
        is_run = is_run || segment == PIECE;
    }
    return is_run;
}

Test(udp_breaker, who_cannot_be_answered_does_not_end_the_runs_of_others)
{
    struct cw_hooks hooks = rig_story_with_data(answer_in_pieces);
    int raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    struct rig_udp known;
    int on = 1;

    if (raw < 0) {
        cr_skip_test("no raw sockets here");
        return;
    }
    rig_udp_begin(&scene, &(struct rig_udp_setup){.datagram = {.amplification = CW_NO_LIMIT},
                                                  .hooks = &hooks});
    known = rig_udp_peer(&scene);
    if (setsockopt(known.fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) == 0 && comes_as_run(&known)) {
        for (int i = 0; i < 5; i++) {
            inject(raw, "127.0.0.9", 0, known.to.port);
        }
        rig_udp_await(&scene, dropped_error, 5 * PIECES);
        cr_expect(comes_as_run(&known), "those of a peer that can be answered go on");
    }
    close(raw);
    rig_udp_close(&known);
    rig_scene_end(&scene);
}

/* ---- who makes room ---- */

static struct cw_address newcomer;

/* Speaks first to the address of the one for whom there is to be room just now. */
static void speak_to_newcomer(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct cw_conn *other;

    rig_story_on_close(conn, reason, user);
    if (reason->code == CW_REPLACED) {
        other = cw_datagram_peer(cw_conn_loop(conn), NULL, &newcomer);
        cr_expect(!other || cw_conn_is_proven(other));
    }
}

Test(udp_breaker, an_address_has_one_peer_though_on_close_has_spoken_to_it)
{
    struct cw_hooks hooks = rig_story_with_data(rig_udp_echo);
    struct rig_udp first;
    struct rig_udp second;

    hooks.on_close = speak_to_newcomer;
    rig_udp_begin(&scene, &(struct rig_udp_setup){.datagram = {.peers_max = 1}, .hooks = &hooks});
    first = rig_udp_peer(&scene);
    second = rig_udp_peer(&scene);
    newcomer = rig_udp_address(&second);
    rig_udp_meet(&scene, &first);
    rig_udp_expect_echo(&second, "who am I?");
    cr_expect_eq(rig_host_conns(scene.host), 1, "%zu", (size_t)rig_host_conns(scene.host));
    cr_expect_eq(atomic_load(&scene.story.opened), 2);
    rig_udp_close(&first);
    rig_udp_close(&second);
    rig_scene_end(&scene);
}

Test(udp_breaker, made_up_sources_do_not_keep_connections_of_other_listeners_out)
{
    enum { CONNS_MAX = 20, SOURCES = 64 };
    const struct cw_hooks echo = {.on_data = rig_echo};
    struct cw_server *server =
        rig_udp_server(&(struct rig_udp_setup){.server = {.conns_max = CONNS_MAX}});
    struct cw_listen_options stream = {.host = "127.0.0.1",
                                       .service = cw_service(&cw_tcp, &echo, NULL)};
    struct cw_listen_options datagrams = {.host = "127.0.0.1",
                                          .service = cw_service(&cw_udp, &echo, NULL)};
    struct rig_udp liar = rig_udp_open("0.0.0.0", "127.0.0.1");
    struct cw_address from[SOURCES];
    struct rig_peer peer;
    struct rig_udp other;

    cr_assert_eq(cw_server_listen(server, &stream), CW_OK);
    cr_assert_eq(cw_server_listen(server, &datagrams), CW_OK);
    rig_udp_begin_server(&scene, server, NULL);
    rig_udp_turn_port(&liar, rig_host_port(scene.host, 0));
    for (size_t i = 0; i < SOURCES; i++) {
        from[i] = rig_address("127.0.2.1");
        from[i].ip[3] = (uint8_t)(i + 1);
    }
    cr_assert_eq(rig_udp_send_as(&liar, from, SOURCES, "hello", 5), SOURCES);
    rig_udp_await(&scene, received, SOURCES);
    peer = rig_peer_tcp(rig_host_port(scene.host, 1));
    rig_peer_send_text(&peer, "is there room?");
    rig_peer_expect(&peer, "is there room?");
    other = rig_udp_to(rig_host_port(scene.host, 2));
    rig_udp_expect_echo(&other, "and here?");
    cr_expect_eq(rig_host_conns(scene.host), CONNS_MAX);
    rig_udp_close(&other);
    rig_peer_close(&peer);
    rig_udp_close(&liar);
    rig_scene_end(&scene);
}

/* ---- everything from everywhere ---- */

static struct cw_service_ref *other_service;
static uint64_t dice;
static atomic_bool calm;
static atomic_uint deeds_done;

static uint64_t roll(void)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice;
}

static void do_something(struct cw_conn *conn, int depth);

static void on_chaos_timer(struct cw_conn *conn, void *user)
{
    do_something(conn, 1);
}

static void on_chaos_each(struct cw_conn *conn, void *user)
{
    if (roll() % 8 == 0) {
        do_something(conn, 2);
    }
}

static void speak_to_somebody(struct cw_conn *conn, int depth)
{
    struct cw_address peer = rig_address("127.0.1.1:9");
    struct cw_conn *other;

    peer.ip[3] = (uint8_t)roll();
    peer.port = (uint16_t)(1 + roll() % 3);
    other = cw_datagram_peer(cw_conn_loop(conn), NULL, &peer);
    if (other && depth < 2) {
        do_something(other, depth + 1);
    }
}

static void answer_somehow(struct cw_conn *conn)
{
    static const size_t sizes[] = {0, 1, 100, 100, 100, 1400, 9000, 65507};
    static uint8_t bytes[65507];
    size_t count = 1 + roll() % 5;
    size_t size = sizes[roll() % (sizeof sizes / sizeof sizes[0])];

    for (size_t i = 0; i < count; i++) {
        cw_conn_send_bytes(conn, bytes, size);
    }
}

static void prove_somehow(struct cw_conn *conn)
{
    uint8_t token[CW_TOKEN_BYTES];

    cw_conn_token(conn, token);
    token[0] = (uint8_t)(token[0] ^ (roll() & 1));
    cw_conn_prove(conn, cw_span_of(token, sizeof token));
}

static void tell_rooms(struct cw_conn *conn)
{
    const struct cw_message news = cw_message_text("news");

    cw_room_send(cw_conn_server(conn), "one", &news, NULL);
    cw_send_to(cw_conn_server(conn), cw_conn_id(conn), &news);
}

static void do_something(struct cw_conn *conn, int depth)
{
    if (atomic_load(&calm)) {
        return;
    }
    atomic_fetch_add(&deeds_done, 1);
    switch (roll() % 20) {
    case 0:
        cw_conn_close(conn);
        break;
    case 1:
        cw_conn_abort(conn);
        break;
    case 2:
        cw_conn_pause(conn);
        break;
    case 3:
        cw_conn_resume(conn);
        break;
    case 4:
        cw_conn_set_idle(conn, 1 + roll() % 100);
        break;
    case 5:
        cw_room_join(conn, roll() % 2 ? "one" : "two");
        break;
    case 6:
        cw_room_leave(conn, roll() % 2 ? "one" : "two");
        break;
    case 7:
        tell_rooms(conn);
        break;
    case 8:
        speak_to_somebody(conn, depth);
        break;
    case 9:
        prove_somehow(conn);
        break;
    case 10:
        cw_conn_set_proven(conn);
        break;
    case 11:
        cw_conn_after(conn, roll() % 40, roll() % 2 * 10, on_chaos_timer, NULL);
        break;
    case 12:
        cw_conn_switch(conn, other_service, NULL, NULL);
        break;
    case 13:
        if (depth < 2) {
            cw_loop_each_conn(cw_conn_loop(conn), on_chaos_each, NULL);
        }
        break;
    case 14:
        cw_conn_close_with(conn, 7, "enough");
        break;
    case 15:
        cw_conn_set_read(conn, 1 + roll() % 100);
        break;
    default:
        answer_somehow(conn);
        break;
    }
}

static void chaos_opened(struct cw_conn *conn, void *user)
{
    do_something(conn, 0);
}

static void chaos_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    if (atomic_load(&calm)) {
        cw_conn_resume(conn);
        cw_conn_send(conn, msg);
        return;
    }
    do_something(conn, 0);
    do_something(conn, 0);
}

static void chaos_closed(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    do_something(conn, 0);
    do_something(conn, 0);
}

static void chaos_drain(struct cw_conn *conn, void *user)
{
    do_something(conn, 0);
}

static int chaos_idle(struct cw_conn *conn, void *user)
{
    do_something(conn, 0);
    return roll() % 2 ? CW_KEEP : 0;
}

static void chaos_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    if (report->conn) {
        do_something(report->conn, 1);
    }
}

static const struct cw_hooks chaos_hooks = {.on_connection = chaos_opened,
                                            .on_data = chaos_data,
                                            .on_close = chaos_closed,
                                            .on_drain = chaos_drain,
                                            .on_idle = chaos_idle,
                                            .on_error = chaos_error};

enum { CHAOS_SOURCES = 64 };

static void flood(struct rig_udp *sender, struct rig_udp *runs)
{
    static uint8_t bytes[9000];
    struct cw_address from[CHAOS_SOURCES];

    for (size_t i = 0; i < CHAOS_SOURCES; i++) {
        from[i] = rig_address("127.0.2.1");
        from[i].ip[3] = (uint8_t)(i * 3);
        from[i].ip[2] = (uint8_t)(2 + rand() % 2);
    }
    (void)rig_udp_send_as(sender, from, 1 + (size_t)rand() % CHAOS_SOURCES, bytes,
                          rand() % 3 ? 50 : 0);
    (void)rig_udp_send_run(runs, bytes, 1 + (size_t)rand() % 8000, (uint16_t)(200 + rand() % 1200));
    (void)rig_udp_try_send(runs, bytes, (size_t)rand() % sizeof bytes);
    rig_udp_forget(sender);
    rig_udp_forget(runs);
}

/* For a while, and until the hooks have done something: how much depends on whom they have paused, and on the machine. */
static void run_chaos(uint64_t seed, const struct cw_datagram_options *datagram)
{
    struct rig_udp_setup setup = {
        .datagram = *datagram, .server = {.conns_max = 60}, .hooks = &chaos_hooks};
    struct rig_udp sender = rig_udp_open("0.0.0.0", "127.0.0.1");
    struct rig_udp runs;
    struct rig_udp known;
    char buffer[32];
    struct cw_service other;
    uint64_t until;

    dice = seed;
    srand((unsigned)seed);
    atomic_store(&deeds_done, 0);
    atomic_store(&calm, false);
    other = cw_service(&cw_udp, &chaos_hooks, NULL);
    other_service = cw_service_new(&other, NULL);
    cr_assert(other_service);
    rig_udp_begin(&scene, &setup);
    rig_udp_turn_port(&sender, rig_host_port(scene.host, 0));
    runs = rig_udp_peer(&scene);
    until = rig_now_ms() + 700;
    while (rig_now_ms() < until ||
           (atomic_load(&deeds_done) == 0 && rig_now_ms() < until + RIG_DEADLINE_MS)) {
        flood(&sender, &runs);
    }
    atomic_store(&calm, true);
    known = rig_udp_peer_at(&scene, "127.0.9.9");
    rig_await((rig_udp_send_text(&known, "still there?"),
               rig_udp_try_receive(&known, buffer, sizeof buffer) == 12));
    cr_expect_leq(rig_host_conns(scene.host), 60);
    cr_expect_gt(atomic_load(&deeds_done), 0);
    rig_udp_close(&known);
    rig_udp_close(&sender);
    rig_udp_close(&runs);
    rig_scene_end(&scene);
    cw_service_free(other_service);
}

Test(udp_breaker, hooks_that_do_anything_at_any_time_do_no_harm)
{
    run_chaos(1, &(struct cw_datagram_options){.peers_max = 20});
    run_chaos(2, &(struct cw_datagram_options){.amplification = CW_NO_LIMIT, .peer_idle_ms = 60});
    run_chaos(3, &(struct cw_datagram_options){.amplification = CW_NO_LIMIT,
                                               .peers_max = 1,
                                               .queue_max_bytes = 20000,
                                               .send_buffer_bytes = 4096});
}

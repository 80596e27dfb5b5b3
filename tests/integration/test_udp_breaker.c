/* What an attacker tries against the sockets of datagrams and their peers. */
#include "support/leak.h"
#include "support/udp_scene.h"
#include "support/wait.h"

#include <arpa/inet.h>
#include <causeway/causeway.h>
#include <causeway/log.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
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

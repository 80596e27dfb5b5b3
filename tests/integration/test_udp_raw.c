/* Datagrams that no honest socket sends: written by hand, which takes a raw socket and the right to have one. */
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

TestSuite(udp_raw, .init = init, .fini = rig_expect_no_leak, .timeout = 60);

static struct rig_scene scene;
static struct rig_udp known;
static int raw;

/* False: this system does not permit it. */
static bool begin(const struct cw_datagram_options *datagram)
{
    raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    if (raw < 0) {
        cr_skip_test("no raw sockets here");
        return false;
    }
    rig_udp_begin(&scene, &(struct rig_udp_setup){.datagram = *datagram});
    known = rig_udp_peer(&scene);
    rig_udp_meet(&scene, &known);
    return true;
}

static void end(void)
{
    for (int i = 0; i < 20; i++) {
        rig_udp_expect_echo(&known, "still well");
    }
    close(raw);
    rig_udp_close(&known);
    rig_scene_end(&scene);
}

/* A datagram for the server; of a wrong length where told so. Whether the kernel takes it is not told. */
static void inject(const char *from, uint16_t port, uint16_t length)
{
    struct {
        struct iphdr ip;
        struct udphdr udp;
        char body[5];
    } packet = {.ip = {.ihl = 5, .version = 4, .ttl = 64, .protocol = IPPROTO_UDP},
                .body = {'h', 'e', 'l', 'l', 'o'}};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    size_t len = sizeof packet.ip + sizeof packet.udp + sizeof packet.body;

    packet.ip.saddr = inet_addr(from);
    packet.ip.daddr = to.sin_addr.s_addr;
    packet.ip.tot_len = htons((uint16_t)len);
    packet.udp.source = htons(port);
    packet.udp.dest = htons(known.to.port);
    packet.udp.len = htons(length);
    (void)sendto(raw, &packet, len, 0, (struct sockaddr *)&to, sizeof to);
}

enum { RIGHT_LENGTH = 8 + 5 };

Test(udp_raw, who_comes_from_port_zero_cannot_be_answered_and_does_no_harm)
{
    if (!begin(&(struct cw_datagram_options){0})) {
        return;
    }
    for (int i = 0; i < 50; i++) {
        inject("127.0.0.9", 0, RIGHT_LENGTH);
        rig_udp_send_text(&known, "behind it");
    }
    for (int i = 0; i < 50; i++) {
        rig_udp_expect(&known, "behind it");
    }
    end();
}

Test(udp_raw, odd_sources_do_no_harm)
{
    const char *const sources[] = {"255.255.255.255", "127.255.255.255", "224.0.0.1", "239.1.2.3",
                                   "0.0.0.0",         "240.0.0.1",       "127.0.0.0", "10.0.0.1"};

    if (!begin(&(struct cw_datagram_options){0})) {
        return;
    }
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        inject(sources[i], 7777, RIGHT_LENGTH);
        rig_udp_expect_echo(&known, "behind it");
    }
    end();
}

Test(udp_raw, wrong_lengths_do_not_arrive)
{
    if (!begin(&(struct cw_datagram_options){0})) {
        return;
    }
    for (uint16_t length = 0; length < 40; length++) {
        inject("127.0.0.9", 7777, length);
    }
    rig_udp_expect_echo(&known, "behind it");
    cr_expect_leq(rig_udp_stats(&scene).received, 40);
    end();
}

/* Each of them makes the kernel say that nobody is there. */
Test(udp_raw, made_up_ports_of_an_address_that_answers_nothing_do_no_harm)
{
    if (!begin(&(struct cw_datagram_options){.peers_max = 100})) {
        return;
    }
    for (uint16_t port = 1; port < 3000; port++) {
        inject("127.0.0.9", port, RIGHT_LENGTH);
        if (port % 64 == 0) {
            rig_udp_expect_echo(&known, "behind it");
        }
    }
    cr_expect_leq(rig_host_conns(scene.host), 100);
    end();
}

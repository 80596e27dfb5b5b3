/* What the network says about datagrams that were sent: told, counted, and nobody else's trouble. */
#include "support/leak.h"
#include "support/network.h"
#include "support/udp_scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/log.h>
#include <criterion/criterion.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(udp_icmp, .fini = rig_expect_no_leak, .timeout = 60);

static struct rig_scene scene;

static void say(uint64_t id, const char *text)
{
    struct cw_message msg = cw_message_text(text);

    cr_assert_eq(cw_send_to(rig_host_server(scene.host), id, &msg), CW_OK);
}

/* ---- nobody listens there any more ---- */

/* The kernel sends no more than so many ICMP messages in a second, whoever else wants some. */
static void say_until_told(uint64_t id)
{
    uint64_t deadline = rig_now_ms() + RIG_DEADLINE_MS;

    while (atomic_load(&scene.story.errors) == 0) {
        uint64_t pause = rig_now_ms() + 30;

        say(id, "anybody there?");
        while (atomic_load(&scene.story.errors) == 0 && rig_rest(pause)) {}
        rig_check(rig_now_ms() < deadline);
    }
    rig_udp_await(&scene, errors_refused, atomic_load(&scene.story.errors));
}

static void expect_refused(const char *host, const char *own)
{
    struct rig_udp gone;
    struct rig_udp other;
    struct cw_address address;
    uint64_t id;

    rig_udp_begin(&scene, &(struct rig_udp_setup){.host = host});
    gone = rig_udp_open(own, own);
    rig_udp_turn_port(&gone, rig_host_port(scene.host, 0));
    other = rig_udp_open(own, own);
    rig_udp_turn_port(&other, rig_host_port(scene.host, 0));
    id = rig_udp_meet(&scene, &gone);
    rig_udp_meet(&scene, &other);
    address = rig_udp_address(&gone);
    rig_udp_close(&gone);
    say_until_told(id);
    cr_expect_eq(scene.story.report.code, CW_EREFUSED);
    cr_expect_eq(scene.story.report.conn_id, id);
    cr_expect_eq(scene.story.report_address.port, address.port);
    cr_expect(cw_address_same_host(&scene.story.report_address, &address));
    for (int i = 0; i < 10; i++) {
        rig_udp_expect_echo(&other, "not my trouble");
    }
    cr_expect_eq(atomic_load(&scene.story.closed), 0, "it may come back");
    gone = rig_udp_open_at(&address, &gone.to, 0);
    rig_udp_expect_echo(&gone, "here I am again");
    say(id, "so you are");
    rig_udp_expect(&gone, "so you are");
    cr_expect_eq(atomic_load(&scene.story.opened), 2);
    rig_udp_close(&gone);
    rig_udp_close(&other);
    rig_scene_end(&scene);
}

Test(udp_icmp, a_peer_that_is_gone_is_told_and_counted_and_others_are_served)
{
    expect_refused("127.0.0.1", "127.0.0.1");
}

Test(udp_icmp, so_it_is_on_a_socket_of_all_addresses)
{
    expect_refused("0.0.0.0", "127.0.0.1");
}

Test(udp_icmp, so_it_is_over_ipv6)
{
    if (!rig_udp_has_ipv6()) {
        cr_skip_test("no IPv6 here");
        return;
    }
    expect_refused("::1", "::1");
}

Test(udp_icmp, so_it_is_on_a_dual_stack_socket)
{
    if (!rig_udp_has_ipv6()) {
        cr_skip_test("no IPv6 here");
        return;
    }
    expect_refused("::", "127.0.0.1");
}

Test(udp_icmp, many_that_are_gone_do_not_keep_others_from_being_served)
{
    enum { GONE = 400, ROUND = 20 };
    struct rig_udp other;

    cw_log_set_level(CW_LOG_SILENT);
    rig_udp_begin(&scene, &(struct rig_udp_setup){0});
    other = rig_udp_peer(&scene);
    rig_udp_meet(&scene, &other);
    for (unsigned i = 0; i < GONE; i += ROUND) {
        uint64_t ids[ROUND];

        for (unsigned k = 0; k < ROUND; k++) {
            struct rig_udp gone = rig_udp_peer(&scene);

            ids[k] = rig_udp_meet(&scene, &gone);
            rig_udp_close(&gone);
        }
        for (unsigned k = 0; k < ROUND; k++) {
            say(ids[k], "anybody there?");
        }
        for (unsigned k = 0; k < ROUND; k++) {
            rig_udp_expect_echo(&other, "me first");
        }
    }
    rig_udp_await(&scene, sent, 2 * GONE + GONE + 1);
    rig_host_run(scene.host, 0, rig_pass, NULL);
    cr_expect_geq(atomic_load(&scene.story.errors), GONE / 20, "as many as the kernel sends");
    rig_udp_await(&scene, errors_refused, atomic_load(&scene.story.errors));
    cr_expect_eq(atomic_load(&scene.story.closed), 0);
    rig_udp_close(&other);
    rig_scene_end(&scene);
}

/* ---- larger than the path takes ---- */

/* On a network of this test's own the loopback is as narrow as it likes. */
static bool narrow_the_path(int mtu)
{
    struct ifreq loopback = {.ifr_name = "lo", .ifr_mtu = mtu};
    int fd;
    bool done;

    if (!rig_enter_own_network()) {
        return false;
    }
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    done = fd >= 0 && ioctl(fd, SIOCSIFMTU, &loopback) == 0;
    close(fd);
    return done;
}

/* Answers with twice as much. */
static void answer_double(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    static uint8_t zeros[RIG_UDP_MAX];

    rig_story_on_data(conn, msg, user);
    cw_conn_send_bytes(conn, zeros, 2 * msg->body.len);
}

static void begin_double(bool dont_fragment)
{
    struct cw_hooks hooks = rig_story_with_data(answer_double);

    rig_udp_begin(&scene, &(struct rig_udp_setup){.datagram = {.dont_fragment = dont_fragment},
                                                  .hooks = &hooks});
}

Test(udp_icmp, what_does_not_fit_the_path_is_cut_by_default)
{
    uint8_t zeros[2 * 1000] = {0};
    struct rig_udp peer;

    if (!narrow_the_path(1280)) {
        cr_skip_test("no network of one's own here");
        return;
    }
    begin_double(false);
    peer = rig_udp_peer(&scene);
    rig_udp_send(&peer, zeros, 1000);
    rig_udp_expect_bytes(&peer, zeros, 2000);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_icmp, what_does_not_fit_the_path_and_may_not_be_cut_is_dropped_told_and_counted)
{
    uint8_t zeros[RIG_UDP_MAX] = {0};
    struct rig_udp peer;
    struct rig_udp other;

    if (!narrow_the_path(1280)) {
        cr_skip_test("no network of one's own here");
        return;
    }
    begin_double(true);
    peer = rig_udp_peer(&scene);
    other = rig_udp_peer(&scene);
    rig_udp_send(&peer, zeros, 626); /* 1252 and 28 bytes of headers: the most there can be */
    rig_udp_expect_bytes(&peer, zeros, 1252);
    rig_udp_send(&peer, zeros, 627);
    rig_udp_send(&other, zeros, 10);
    rig_udp_expect_bytes(&other, zeros, 20);
    rig_udp_await(&scene, dropped_too_big, 1);
    rig_await(atomic_load(&scene.story.errors) >= 1);
    cr_expect_eq(scene.story.report.code, CW_ETOOBIG);
    cr_expect_not_null(strstr(scene.story.report.text, "1280"), "%s", scene.story.report.text);
    rig_udp_expect_nothing(&peer);
    rig_udp_send(&peer, zeros, 1);
    rig_udp_expect_bytes(&peer, zeros, 2);
    cr_expect_eq(atomic_load(&scene.story.closed), 0);
    rig_udp_close(&peer);
    rig_udp_close(&other);
    rig_scene_end(&scene);
}

/* ---- no way there ---- */

static void speak_to_nowhere(struct cw_loop *loop, struct cw_conn *known, void *arg)
{
    struct cw_address nowhere = rig_address("192.0.2.77:7000");
    struct cw_conn *conn;

    rig_check(known);
    rig_check(cw_conn_send_text(known, "before") >= 0);
    conn = cw_datagram_peer(loop, NULL, &nowhere);
    rig_check(conn);
    cw_conn_send_text(conn, "hello?");
    rig_check(cw_conn_send_text(known, "behind") >= 0);
}

Test(udp_icmp, what_has_no_way_is_counted_and_its_neighbours_in_the_batch_are_sent)
{
    struct rig_udp peer;
    uint64_t id;

    if (!rig_enter_own_network()) {
        cr_skip_test("no network of one's own here");
        return;
    }
    rig_udp_begin(&scene, &(struct rig_udp_setup){.host = "0.0.0.0"});
    peer = rig_udp_peer(&scene);
    id = rig_udp_meet(&scene, &peer);
    rig_host_run(scene.host, id, speak_to_nowhere, NULL);
    rig_udp_expect(&peer, "before");
    rig_udp_expect(&peer, "behind");
    rig_udp_await(&scene, dropped_error, 1);
    rig_udp_expect_echo(&peer, "still well");
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

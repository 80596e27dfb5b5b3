/* The bad line does what it is told, and counts it. */
#include "support/leak.h"
#include "support/relay.h"
#include "support/udp_peer.h"
#include "support/wait.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(relay, .fini = rig_expect_no_leak, .timeout = 60);

enum { TEXTS_MAX = 4096 };

/* A server that is a socket, and clients that are. */
struct scene {
    int server;
    uint16_t port;
    struct rig_relay *relay;
};

static int open_at(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval wait = {.tv_sec = RIG_DEADLINE_MS / 1000};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    rig_check(fd >= 0);
    rig_check(bind(fd, (const struct sockaddr *)&address, len) == 0);
    rig_check(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    rig_check(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static struct scene begin(uint64_t seed)
{
    struct scene scene;

    scene.server = open_at(&scene.port);
    scene.relay = rig_relay_start("127.0.0.1", scene.port, seed);
    return scene;
}

static void end(struct scene *scene)
{
    rig_relay_end(scene->relay);
    close(scene->server);
}

static int open_client(const struct scene *scene)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    uint16_t port;
    int fd = open_at(&port);

    address.sin_port = htons(rig_relay_port(scene->relay));
    rig_check(connect(fd, (const struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

static void say(int fd, const char *text)
{
    rig_check(send(fd, text, strlen(text), 0) == (ssize_t)strlen(text));
}

/* What has come to a socket until now, a comma behind each. The relay has delivered `count`. */
static const char *heard(int fd, uint64_t count)
{
    static char texts[TEXTS_MAX];
    size_t len = 0;

    for (uint64_t i = 0; i < count; i++) {
        ssize_t n = recv(fd, texts + len, sizeof texts - len - 2, 0);

        rig_check(n >= 0);
        len += (size_t)n;
        texts[len++] = ',';
    }
    cr_assert_lt(recv(fd, texts + len, 1, MSG_DONTWAIT), 0, "more came than was told");
    texts[len] = '\0';
    return texts;
}

static struct rig_line_counts settled(struct rig_relay *relay, enum rig_way way, uint64_t received)
{
    rig_await(rig_relay_counts(relay, way).received == received);
    return rig_relay_counts(relay, way);
}

static void say_numbers(int fd, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const char text[2] = {(char)('a' + i % 26), '\0'};
        say(fd, text);
    }
}

Test(relay, a_line_without_faults_delivers_everything_both_ways)
{
    struct scene scene = begin(1);
    int client = open_client(&scene);
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    char text[8];

    say(client, "hello");
    rig_check(recvfrom(scene.server, text, sizeof text, 0, (struct sockaddr *)&from, &from_len) ==
              5);
    cr_assert_eq(ntohs(from.sin_port), rig_relay_port_of(scene.relay, 1));
    rig_check(sendto(scene.server, "", 0, 0, (struct sockaddr *)&from, from_len) == 0);
    cr_assert_eq(recv(client, text, sizeof text, 0), 0);
    cr_assert_eq(rig_relay_counts(scene.relay, RIG_UP).delivered_bytes, 5);
    cr_assert_eq(settled(scene.relay, RIG_DOWN, 1).done[RIG_PASS], 1);
    close(client);
    end(&scene);
}

Test(relay, steps_drop_double_hold_change_and_cut_by_number)
{
    static const struct rig_step steps[] = {
        {.at = 1, .what = RIG_DROP},
        {.at = 2, .what = RIG_DOUBLE, .amount = 2},
        {.at = 3, .what = RIG_HOLD, .amount = 2},
        {.at = 4, .what = RIG_CHANGE},
        {.at = 7, .what = RIG_CUT},
        {.at = 8, .what = RIG_HOLD, .amount = RIG_FOR_LONG},
    };
    struct scene scene = begin(1);
    int client = open_client(&scene);
    struct rig_line_counts counts;

    rig_relay_set(scene.relay, RIG_UP, &(struct rig_faults){.steps = steps, .step_count = 6});
    say_numbers(client, 9);
    counts = settled(scene.relay, RIG_UP, 9);
    cr_assert_eq(counts.waiting, 1);
    cr_assert_eq(counts.delivered, 8);
    cr_assert_str_eq(heard(scene.server, 8), "b,e,b,e,c,f,,i,");
    rig_relay_release(scene.relay, RIG_UP);
    cr_assert_str_eq(heard(scene.server, 1), "h,");
    counts = rig_relay_counts(scene.relay, RIG_UP);
    cr_assert_eq(counts.waiting, 0);
    cr_assert_eq(counts.done[RIG_HOLD], 2);
    cr_assert_eq(counts.done[RIG_PASS], 3);
    close(client);
    end(&scene);
}

/* What two clients' datagrams came to. */
static void run_by_chance(uint64_t seed, char texts[2][TEXTS_MAX])
{
    struct scene scene = begin(seed);
    struct rig_faults faults = {
        .per_mille = {[RIG_DROP] = 200, [RIG_DOUBLE] = 200, [RIG_HOLD] = 200}};

    rig_relay_set(scene.relay, RIG_UP, &faults);
    for (unsigned i = 0; i < 2; i++) {
        int client = open_client(&scene);
        uint64_t before = rig_relay_counts(scene.relay, RIG_UP).delivered;

        say_numbers(client, 60);
        settled(scene.relay, RIG_UP, 60 * (i + 1));
        rig_relay_release(scene.relay, RIG_UP);
        strcpy(texts[i],
               heard(scene.server, rig_relay_counts(scene.relay, RIG_UP).delivered - before));
        close(client);
    }
    end(&scene);
}

Test(relay, the_same_seed_makes_the_same_faults_and_another_makes_others)
{
    static char first[2][TEXTS_MAX], again[2][TEXTS_MAX], other[2][TEXTS_MAX];

    run_by_chance(7, first);
    run_by_chance(7, again);
    run_by_chance(8, other);
    cr_assert_str_eq(first[0], again[0]);
    cr_assert_str_eq(first[1], again[1]);
    cr_assert_str_neq(first[0], first[1], "each client has a line of its own");
    cr_assert_str_neq(first[0], other[0]);
}

Test(relay, chances_come_about_as_often_as_they_should)
{
    struct scene scene = begin(3);
    int client = open_client(&scene);
    struct rig_line_counts counts;

    rig_relay_set(scene.relay, RIG_UP,
                  &(struct rig_faults){.per_mille = {0, 100, 100, 100, 100, 100}});
    for (unsigned i = 0; i < 200; i++) {
        say_numbers(client, 10);
        settled(scene.relay, RIG_UP, (i + 1) * 10);
    }
    counts = rig_relay_counts(scene.relay, RIG_UP);
    for (int what = RIG_DROP; what < RIG_MISCHIEFS; what++) {
        cr_assert(counts.done[what] > 140 && counts.done[what] < 260, "%d: %lu of 2000", what,
                  (unsigned long)counts.done[what]);
    }
    cr_assert_eq(counts.delivered + counts.waiting,
                 2000 - counts.done[RIG_DROP] + counts.done[RIG_DOUBLE]);
    close(client);
    end(&scene);
}

Test(relay, a_closed_way_delivers_nothing_and_opens_again)
{
    struct scene scene = begin(1);
    int client = open_client(&scene);

    rig_relay_set(scene.relay, RIG_UP, &(struct rig_faults){.closed = true});
    say(client, "lost");
    cr_assert_eq(settled(scene.relay, RIG_UP, 1).delivered, 0);
    rig_relay_set(scene.relay, RIG_UP, NULL);
    say(client, "heard");
    cr_assert_str_eq(heard(scene.server, 1), "heard,");
    close(client);
    end(&scene);
}

static uint16_t sender_of(int server)
{
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    char text[8];

    rig_check(recvfrom(server, text, sizeof text, 0, (struct sockaddr *)&from, &len) >= 0);
    return ntohs(from.sin_port);
}

Test(relay, a_client_may_get_another_address_and_is_still_answered)
{
    struct scene scene = begin(1);
    int client = open_client(&scene);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    uint16_t before;
    uint16_t after;

    say(client, "one");
    before = sender_of(scene.server);
    rig_relay_rebind(scene.relay, 1);
    say(client, "two");
    after = sender_of(scene.server);
    cr_assert_neq(before, after);
    cr_assert_eq(rig_relay_port_of(scene.relay, 1), after);
    to.sin_port = htons(before);
    rig_check(sendto(scene.server, "old", 3, 0, (struct sockaddr *)&to, sizeof to) == 3);
    to.sin_port = htons(after);
    rig_check(sendto(scene.server, "new", 3, 0, (struct sockaddr *)&to, sizeof to) == 3);
    cr_assert_str_eq(heard(client, 1), "new,");
    close(client);
    end(&scene);
}

Test(relay, what_nobody_has_sent_comes_from_the_right_address)
{
    struct scene scene = begin(1);
    int client = open_client(&scene);

    say(client, "one");
    (void)sender_of(scene.server);
    rig_relay_inject(scene.relay, 1, RIG_UP, "two", 3);
    cr_assert_eq(sender_of(scene.server), rig_relay_port_of(scene.relay, 1));
    rig_relay_inject(scene.relay, 1, RIG_DOWN, "three", 5);
    cr_assert_str_eq(heard(client, 1), "three,");
    cr_assert_eq(rig_relay_counts(scene.relay, RIG_DOWN).injected, 1);
    close(client);
    end(&scene);
}

Test(relay, a_server_that_is_gone_is_counted_and_ends_nothing)
{
    struct scene scene = begin(1);
    int client = open_client(&scene);

    close(scene.server);
    say_numbers(client, 3);
    settled(scene.relay, RIG_UP, 3);
    rig_await(rig_relay_counts(scene.relay, RIG_UP).refused > 0);
    scene.server = open_at(&scene.port);
    close(client);
    end(&scene);
}

Test(relay, over_ipv6_it_is_the_same)
{
    struct rig_udp server;
    struct rig_udp client;
    struct rig_relay *relay;
    char text[8];
    struct cw_address from;

    if (!rig_udp_has_ipv6()) {
        cr_skip_test("no IPv6 here");
        return;
    }
    server = rig_udp_open("::1", NULL);
    client = rig_udp_open("::1", "::1");
    relay = rig_relay_start("::1", rig_udp_port(&server), 1);
    rig_udp_turn_port(&client, rig_relay_port(relay));
    rig_udp_send_text(&client, "hello");
    cr_assert_eq(rig_udp_receive_from(&server, text, sizeof text, &from), 5);
    cr_assert_eq(from.port, rig_relay_port_of(relay, 1));
    rig_udp_turn(&server, "::1");
    rig_udp_turn_port(&server, from.port);
    rig_udp_send_text(&server, "you");
    rig_udp_expect(&client, "you");
    rig_relay_end(relay);
    rig_udp_close(&client);
    rig_udp_close(&server);
}

/* A server of datagrams over real sockets: who is who, what comes and goes, and where it may listen. */
#include "support/leak.h"
#include "support/udp_scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(udp_server, .fini = rig_expect_no_leak, .timeout = 60);

static struct rig_scene scene;

/* ---- echo ---- */

static void expect_echoes(const char *host, const char *own)
{
    uint8_t *bytes = rig_pattern_new(RIG_UDP_MAX);
    const size_t sizes[] = {5, 0, 1, 1472, 1473, 9000, RIG_UDP_MAX, 0};
    struct rig_udp peer;

    rig_udp_begin(&scene, &(struct rig_udp_setup){.host = host});
    peer = rig_udp_open(own, host);
    rig_udp_turn_port(&peer, rig_host_port(scene.host, 0));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        rig_udp_send(&peer, bytes, sizes[i]);
        rig_udp_expect_bytes(&peer, bytes, sizes[i]);
    }
    rig_udp_expect_nothing(&peer);
    cr_expect_eq(atomic_load(&scene.story.opened), 1);
    cr_expect_eq(atomic_load(&scene.story.messages), sizeof sizes / sizeof sizes[0],
                 "an empty datagram is a message");
    rig_udp_close(&peer);
    rig_scene_end(&scene);
    free(bytes);
}

Test(udp_server, datagrams_of_every_size_come_back_over_ipv4)
{
    expect_echoes("127.0.0.1", "127.0.0.1");
}

Test(udp_server, datagrams_of_every_size_come_back_over_ipv6)
{
    if (!rig_udp_has_ipv6()) {
        cr_skip_test("no IPv6 here");
        return;
    }
    expect_echoes("::1", "::1");
}

Test(udp_server, datagrams_of_one_peer_keep_their_order)
{
    struct rig_udp peer;

    rig_udp_begin(&scene, &(struct rig_udp_setup){0});
    peer = rig_udp_peer(&scene);
    for (int round = 0; round < 50; round++) {
        char text[40];

        for (int i = 0; i < 40; i++) {
            snprintf(text, sizeof text, "%*d", i % 7 + 1, i);
            rig_udp_send_text(&peer, text);
        }
        for (int i = 0; i < 40; i++) {
            snprintf(text, sizeof text, "%*d", i % 7 + 1, i);
            rig_udp_expect(&peer, text);
        }
    }
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

static void greet(struct cw_conn *conn, void *user)
{
    rig_story_on_connection(conn, user);
    rig_check(cw_conn_send_text(conn, "hi") >= 0);
}

Test(udp_server, a_greeting_is_sent_before_the_first_answer)
{
    struct cw_hooks hooks = rig_story_with_data(rig_udp_echo);
    struct rig_udp peer;

    hooks.on_connection = greet;
    rig_udp_begin(&scene, &(struct rig_udp_setup){.hooks = &hooks});
    peer = rig_udp_peer(&scene);
    rig_udp_send_text(&peer, "hello");
    rig_udp_expect(&peer, "hi");
    rig_udp_expect(&peer, "hello");
    rig_udp_expect_echo(&peer, "again");
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

/* ---- who is who ---- */

Test(udp_server, each_peer_is_one_connection)
{
    enum { PEERS = 20, ROUNDS = 30 };
    struct cw_hooks hooks = rig_story_with_data(rig_udp_tell_id);
    struct rig_udp peers[PEERS];
    uint64_t ids[PEERS];

    rig_udp_begin(&scene, &(struct rig_udp_setup){.hooks = &hooks});
    for (int i = 0; i < PEERS; i++) {
        peers[i] = rig_udp_peer(&scene);
        ids[i] = rig_udp_ask_id(&peers[i]);
        for (int k = 0; k < i; k++) {
            cr_expect_neq(ids[k], ids[i]);
        }
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < PEERS; i++) {
            cr_assert_eq(rig_udp_ask_id(&peers[(i * 7 + round) % PEERS]),
                         ids[(i * 7 + round) % PEERS]);
        }
    }
    cr_expect_eq(atomic_load(&scene.story.opened), PEERS);
    cr_expect_eq(rig_host_conns(scene.host), PEERS);
    for (int i = 0; i < PEERS; i++) {
        rig_udp_close(&peers[i]);
    }
    rig_scene_end(&scene);
}

/* Answers with both addresses, as the connection knows them. */
static void tell_addresses(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct cw_address local;
    char texts[2][CW_ADDRESS_TEXT_MAX];

    rig_check(cw_conn_local(conn, &local) == CW_OK);
    rig_check(cw_conn_sendf(conn, "%s to %s", cw_address_print(cw_conn_peer(conn), texts[0]),
                            cw_address_print(&local, texts[1])) >= 0);
}

/* A question long enough for its answer. */
static void expect_addresses(struct rig_udp *peer)
{
    struct cw_address own = rig_udp_address(peer);
    char texts[2][CW_ADDRESS_TEXT_MAX];
    char wanted[2 * CW_ADDRESS_TEXT_MAX + 8];

    rig_udp_send_text(peer, "who am I, and who are you? Tell me.");
    snprintf(wanted, sizeof wanted, "%s to %s", cw_address_print(&own, texts[0]),
             cw_address_print(&peer->to, texts[1]));
    rig_udp_expect(peer, wanted);
}

static void begin_telling(const char *host)
{
    struct cw_hooks hooks = rig_story_with_data(tell_addresses);

    rig_udp_begin(&scene, &(struct rig_udp_setup){.host = host, .hooks = &hooks});
}

Test(udp_server, a_connection_knows_both_addresses)
{
    struct rig_udp peer;

    begin_telling("127.0.0.1");
    peer = rig_udp_peer_at(&scene, "127.3.2.1");
    expect_addresses(&peer);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_server, an_answer_leaves_from_the_address_that_was_sent_to)
{
    const char *const places[] = {"127.0.0.1", "127.0.0.2", "127.200.1.9", "127.0.0.2"};
    struct rig_udp peer;

    begin_telling("0.0.0.0");
    peer = rig_udp_peer(&scene);
    for (int i = 0; i < 12; i++) {
        rig_udp_turn(&peer, places[i % 4]);
        expect_addresses(&peer);
        expect_addresses(&peer);
    }
    cr_expect_eq(atomic_load(&scene.story.opened), 3,
                 "to another address it is another peer: that is what it sees of us");
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_server, a_dual_stack_socket_serves_both_families_and_shows_ipv4_as_ipv4)
{
    struct rig_udp four;
    struct rig_udp six;

    if (!rig_udp_has_ipv6()) {
        cr_skip_test("no IPv6 here");
        return;
    }
    begin_telling("::");
    four = rig_udp_peer(&scene);
    six = rig_udp_open("::1", "::1");
    rig_udp_turn_port(&six, four.to.port);
    for (int i = 0; i < 3; i++) {
        expect_addresses(&four);
        expect_addresses(&six);
    }
    rig_udp_turn(&four, "127.0.0.2");
    expect_addresses(&four);
    rig_udp_close(&four);
    rig_udp_close(&six);
    rig_scene_end(&scene);
}

Test(udp_server, ipv6_only_leaves_ipv4_out)
{
    struct cw_server *server = cw_create_server(&cw_udp);
    struct rig_udp four;
    struct rig_udp six;

    if (!rig_udp_has_ipv6()) {
        cw_server_free(server);
        cr_skip_test("no IPv6 here");
        return;
    }
    cw_server_listen(server, &(struct cw_listen_options){.host = "::", .ipv6_only = true});
    rig_udp_begin_server(&scene, server, NULL);
    four = rig_udp_peer(&scene);
    six = rig_udp_open("::1", "::1");
    rig_udp_turn_port(&six, four.to.port);
    rig_udp_send_text(&four, "anybody there?");
    rig_udp_expect_echo(&six, "yes");
    rig_udp_expect_nothing(&four);
    rig_udp_await(&scene, received, 1);
    rig_udp_close(&four);
    rig_udp_close(&six);
    rig_scene_end(&scene);
}

/* ---- sizes ---- */

Test(udp_server, a_datagram_above_the_limit_is_dropped_and_counted)
{
    uint8_t *bytes = rig_pattern_new(2000);
    struct rig_udp peer;

    rig_udp_begin(&scene, &(struct rig_udp_setup){.udp = {.datagram_max_bytes = 100}});
    peer = rig_udp_peer(&scene);
    rig_udp_send(&peer, bytes, 101);
    rig_udp_send(&peer, bytes, 2000);
    rig_udp_send(&peer, bytes, 100);
    rig_udp_expect_bytes(&peer, bytes, 100);
    rig_udp_expect_nothing(&peer);
    rig_udp_await(&scene, dropped_truncated, 2);
    rig_udp_await(&scene, received, 3);
    cr_expect_eq(atomic_load(&scene.story.opened), 1);
    cr_expect_eq(atomic_load(&scene.story.messages), 1);
    cr_expect_eq(atomic_load(&scene.story.closed), 0);
    cr_expect_eq(atomic_load(&scene.story.errors), 2);
    cr_expect_eq(scene.story.report.code, CW_ETOOBIG);
    cr_expect_eq(scene.story.report.limit, 100);
    cr_expect_eq(scene.story.report_address.port, rig_udp_port(&peer));
    rig_udp_close(&peer);
    rig_scene_end(&scene);
    free(bytes);
}

/* The kernel may hand them over as they came: in one piece. */
static void expect_run(size_t len, uint16_t segment, uint64_t max)
{
    uint8_t *bytes = rig_pattern_new(len);
    unsigned count = (unsigned)((len + segment - 1) / segment);
    unsigned dropped = segment > max ? (unsigned)(len / segment) : 0;
    struct rig_udp peer;

    rig_udp_begin(&scene, &(struct rig_udp_setup){.udp = {.datagram_max_bytes = max}});
    peer = rig_udp_peer(&scene);
    if (!rig_udp_send_run(&peer, bytes, len, segment)) {
        cr_skip_test("this kernel has no runs");
    }
    for (unsigned i = dropped; i < count; i++) {
        size_t at = (size_t)i * segment;

        rig_udp_expect_bytes(&peer, bytes + at, len - at < segment ? len - at : segment);
    }
    rig_udp_await(&scene, received, count);
    rig_udp_await(&scene, dropped_truncated, dropped);
    cr_expect_eq(atomic_load(&scene.story.messages), count - dropped);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
    free(bytes);
}

Test(udp_server, datagrams_that_come_as_a_run_are_so_many_messages)
{
    expect_run(10 * 100, 100, RIG_UDP_MAX);
    expect_run(10 * 100 + 1, 100, RIG_UDP_MAX);
    expect_run(40 * 1200 + 7, 1200, RIG_UDP_MAX);
    expect_run(60, 1, RIG_UDP_MAX);
    expect_run(1, 100, RIG_UDP_MAX);
}

Test(udp_server, each_datagram_of_a_run_has_to_keep_the_limit)
{
    expect_run(5 * 200 + 100, 200, 150);
    expect_run(5 * 200, 200, 200);
}

Test(udp_server, a_first_datagram_above_the_limit_makes_no_peer)
{
    struct rig_udp first;
    struct rig_udp second;
    uint8_t bytes[11] = {0};

    rig_udp_begin(&scene, &(struct rig_udp_setup){.udp = {.datagram_max_bytes = 10}});
    first = rig_udp_peer(&scene);
    second = rig_udp_peer(&scene);
    rig_udp_send(&first, bytes, 11);
    rig_udp_expect_echo(&second, "0123456789");
    cr_expect_eq(atomic_load(&scene.story.opened), 1);
    rig_udp_close(&first);
    rig_udp_close(&second);
    rig_scene_end(&scene);
}

/* Sends as many bytes as the text says, and tells what came of it. */
static void send_bytes(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    static uint8_t bytes[70000];
    struct rig_story *story = user;
    char text[16] = "";

    memcpy(text, msg->body.data, msg->body.len);
    cw_conn_set_proven(conn);
    atomic_store(&story->answer, cw_conn_send_bytes(conn, bytes, (size_t)atoi(text)));
    rig_check(cw_conn_send_text(conn, "done") >= 0);
}

static void expect_sends(uint64_t max, size_t largest)
{
    struct cw_hooks hooks = rig_story_with_data(send_bytes);
    static uint8_t zeros[RIG_UDP_MAX];
    struct rig_udp peer;
    char text[16];

    rig_udp_begin(&scene,
                  &(struct rig_udp_setup){.udp = {.datagram_max_bytes = max}, .hooks = &hooks});
    peer = rig_udp_peer(&scene);
    for (size_t over = 0; over <= 2; over++) {
        snprintf(text, sizeof text, "%zu", largest + over);
        rig_udp_send_text(&peer, text);
        if (over == 0) {
            rig_udp_expect_bytes(&peer, zeros, largest);
        }
        rig_udp_expect(&peer, "done");
        cr_expect_eq(atomic_load(&scene.story.answer), over > 0 ? CW_ETOOBIG : CW_OK);
        rig_udp_await(&scene, dropped_too_big, over);
    }
    cr_expect_eq(atomic_load(&scene.story.closed), 0);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_server, what_is_larger_than_a_datagram_is_refused_and_counted)
{
    expect_sends(0, RIG_UDP_MAX);
}

Test(udp_server, what_is_larger_than_the_limit_is_refused_and_counted)
{
    expect_sends(1200, 1200);
}

/* ---- listeners ---- */

static void say_user(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    rig_check(cw_conn_service_user(conn) == user);
    cw_conn_send_text(conn, user);
}

Test(udp_server, listeners_have_hooks_users_and_peers_of_their_own)
{
    const struct cw_hooks hooks = {.on_data = say_user};
    struct cw_server *server = rig_udp_server(&(struct rig_udp_setup){0});
    struct rig_udp peer;

    for (int i = 0; i < 2; i++) {
        cw_server_listen(server, &(struct cw_listen_options){
                                     .host = "127.0.0.1",
                                     .service = cw_udp_service(NULL, &hooks, i ? "two" : "one")});
    }
    rig_udp_begin_server(&scene, server, NULL);
    cr_assert_eq(rig_host_listeners(scene.host), 3);
    peer = rig_udp_peer(&scene);
    for (int round = 0; round < 3; round++) {
        rig_udp_turn_port(&peer, rig_host_port(scene.host, 0));
        rig_udp_expect_echo(&peer, "none");
        rig_udp_turn_port(&peer, rig_host_port(scene.host, 1));
        rig_udp_send_text(&peer, "who");
        rig_udp_expect(&peer, "one");
        rig_udp_turn_port(&peer, rig_host_port(scene.host, 2));
        rig_udp_send_text(&peer, "who");
        rig_udp_expect(&peer, "two");
    }
    cr_expect_eq(rig_host_conns(scene.host), 3);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_server, udp_and_tcp_live_beside_each_other_on_one_port)
{
    struct cw_server *server = rig_udp_server(&(struct rig_udp_setup){0});
    const struct cw_hooks hooks = {.on_data = rig_echo};
    struct rig_udp peer;
    struct rig_peer stream;

    cw_server_listen(server,
                     &(struct cw_listen_options){.host = "127.0.0.1",
                                                 .service = cw_service(&cw_framed, &hooks, NULL)});
    rig_udp_begin_server(&scene, server, NULL);
    peer = rig_udp_peer(&scene);
    stream = rig_peer_tcp(rig_host_port(scene.host, 1));
    for (int i = 0; i < 10; i++) {
        char buffer[8];

        rig_udp_expect_echo(&peer, "datagram");
        rig_peer_send_frame(&stream, "frame", 5);
        cr_expect_eq(rig_peer_receive_frame(&stream, buffer, sizeof buffer), 5);
    }
    rig_peer_close(&stream);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

Test(udp_server, a_listener_says_udp_and_its_port)
{
    char text[64];

    rig_udp_begin(&scene, &(struct rig_udp_setup){0});
    cr_expect_neq(rig_host_port(scene.host, 0), 0);
    snprintf(text, sizeof text, "udp://127.0.0.1:%u", rig_host_port(scene.host, 0));
    cr_expect_str_eq(rig_host_text(scene.host, 0), text);
    rig_scene_end(&scene);
}

/* ---- listening that fails ---- */

static void expect_no_run(const struct cw_listen_options *options, uint64_t workers, int code,
                          const char *text)
{
    struct cw_server *server = cw_create_server(&cw_udp);

    cw_server_configure(server, &(struct cw_server_options){.workers = workers});
    cr_expect_eq(cw_server_listen(server, options), CW_OK);
    cr_expect_eq(cw_server_run(server), code, "%s: %s", cw_error_name(code),
                 cw_server_error(server));
    cr_expect_not_null(strstr(cw_server_error(server), text), "%s", cw_server_error(server));
    cw_server_free(server);
}

Test(udp_server, a_port_in_use_is_refused_with_its_address)
{
    struct rig_udp taken = rig_udp_to(0);
    uint16_t port = rig_udp_port(&taken);
    char text[64];

    snprintf(text, sizeof text, "listen 127.0.0.1:%u: bind: the address is in use", port);
    for (uint64_t workers = 1; workers <= 2; workers++) {
        expect_no_run(&(struct cw_listen_options){.host = "127.0.0.1", .port = port}, workers,
                      CW_EADDRINUSE, text);
    }
    rig_udp_close(&taken);
}

/* A bound socket that others may bind to, too. */
static int shared_socket(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int on = 1;

    cr_assert_geq(fd, 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

Test(udp_server, another_processs_shared_port_is_not_joined)
{
    uint16_t port;
    int fd = shared_socket(&port);

    for (uint64_t workers = 1; workers <= 2; workers++) {
        expect_no_run(&(struct cw_listen_options){.host = "127.0.0.1", .port = port}, workers,
                      CW_EADDRINUSE, "the address is in use");
    }
    close(fd);
}

Test(udp_server, a_port_shared_by_workers_is_in_use_for_others)
{
    uint16_t port;

    rig_udp_begin(&scene, &(struct rig_udp_setup){.server = {.workers = 2}});
    port = rig_host_port(scene.host, 0);
    for (uint64_t workers = 1; workers <= 2; workers++) {
        expect_no_run(&(struct cw_listen_options){.host = "127.0.0.1", .port = port}, workers,
                      CW_EADDRINUSE, "the address is in use");
    }
    rig_scene_end(&scene);
}

Test(udp_server, an_address_of_another_machine_is_refused)
{
    expect_no_run(&(struct cw_listen_options){.host = "192.0.2.1", .port = 4711}, 1,
                  CW_EADDRNOTAVAIL,
                  "listen 192.0.2.1:4711: bind: the address is not one of this machine");
}

Test(udp_server, a_unix_path_is_no_place_for_datagrams)
{
    struct cw_server *server = cw_create_server(&cw_udp);
    int listened = cw_server_listen(server, &(struct cw_listen_options){.unix_path = "/tmp/none"});
    int ran = cw_server_run(server);

    cr_expect(listened == CW_EINVAL || ran == CW_EINVAL);
    cr_expect_str_neq(cw_server_error(server), "");
    cr_expect_eq(access("/tmp/none", F_OK), -1);
    cw_server_free(server);
}

/* ---- inherited descriptors ---- */

static void serve_inherited(uint64_t workers)
{
    struct cw_hooks hooks = rig_story_with_data(rig_udp_tell_id);
    struct cw_server *server = cw_create_server(&cw_udp);
    struct rig_udp peers[4];
    uint64_t ids[4];
    uint16_t port;
    char text[64];

    cw_server_configure(server, &(struct cw_server_options){.workers = workers});
    cw_server_listen(server, &(struct cw_listen_options){.fd = shared_socket(&port)});
    rig_udp_begin_server(&scene, server, &hooks);
    snprintf(text, sizeof text, "udp://127.0.0.1:%u", port);
    cr_expect_str_eq(rig_host_text(scene.host, 0), text);
    for (int i = 0; i < 4; i++) {
        peers[i] = rig_udp_peer(&scene);
        ids[i] = rig_udp_ask_id(&peers[i]);
    }
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(rig_udp_ask_id(&peers[i % 4]), ids[i % 4], "one peer, one connection");
    }
    for (int i = 0; i < 4; i++) {
        rig_udp_close(&peers[i]);
    }
    rig_scene_end(&scene);
}

Test(udp_server, an_inherited_descriptor_is_served)
{
    serve_inherited(1);
}

Test(udp_server, an_inherited_descriptor_is_served_whatever_the_number_of_workers)
{
    serve_inherited(2);
}

Test(udp_server, an_inherited_descriptor_that_is_no_socket_of_datagrams_is_refused)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char text[64];

    cr_assert_eq(listen(fd, 5), 0);
    snprintf(text, sizeof text, "listen descriptor %d: ", fd);
    expect_no_run(&(struct cw_listen_options){.fd = fd}, 1, CW_EINVAL, text);
    close(fd);
}

Test(udp_server, a_socket_of_datagrams_is_no_listener_of_connections)
{
    uint16_t port;
    int fd = shared_socket(&port);
    struct cw_server *server = cw_create_server(&cw_tcp);

    cw_server_listen(server, &(struct cw_listen_options){.fd = fd});
    cr_expect_eq(cw_server_run(server), CW_EINVAL);
    cw_server_free(server);
    close(fd);
}

/* Outgoing connections over real sockets. The client's loop runs on the test's own thread. */
#include "support/child.h"
#include "support/fault.h"
#include "support/host.h"
#include "support/leak.h"
#include "support/nameserver.h"
#include "support/network.h"
#include "support/silent.h"
#include "support/wait.h"

#include "connector_impl.h"
#include "loop_impl.h"

#include <causeway/client.h>
#include <causeway/framed.h>
#include <causeway/log.h>
#include <causeway/protocol.h>
#include <causeway/tcp.h>

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void be_quiet(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(client, .init = be_quiet, .fini = rig_expect_no_leak, .timeout = 60);

/* What happened to the clients of one loop. */
struct story {
    struct cw_loop *loop;
    int64_t client;
    struct cw_conn *conn; /* open now */
    unsigned opened;
    unsigned messages;
    unsigned closed;
    unsigned failed;
    bool inside; /* of a call that must not call hooks */
    struct cw_address peer;
    struct cw_close_reason reason;
    struct cw_error_report report; /* the last one; its address is a copy */
    struct cw_address address;
    void *conn_user;
    void (*then)(struct story *story); /* after each of them */
};

static void on_connection(struct cw_conn *conn, void *user)
{
    struct story *story = user;

    rig_check(!story->inside);
    story->conn = conn;
    story->opened++;
    story->peer = *cw_conn_peer(conn);
    story->conn_user = cw_conn_user(conn);
    rig_check(cw_client_conn(story->loop, story->client) == conn);
    if (story->then) {
        story->then(story);
    }
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct story *story = user;

    story->messages++;
    rig_check(msg->body.len == 5 && memcmp(msg->body.data, "hello", 5) == 0);
    if (story->then) {
        story->then(story);
    }
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct story *story = user;

    rig_check(!story->inside);
    rig_check(!cw_client_conn(story->loop, story->client));
    story->conn = NULL;
    story->closed++;
    story->reason = *reason;
    if (story->then) {
        story->then(story);
    }
}

static void on_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    struct story *story = user;

    rig_check(!story->inside);
    rig_check(!server);
    story->failed++;
    story->report = *report;
    story->address = report->address ? *report->address : (struct cw_address){0};
    if (story->then) {
        story->then(story);
    }
}

static const struct cw_hooks hooks = {
    .on_connection = on_connection, .on_data = on_data, .on_close = on_close, .on_error = on_error};

static void begin(struct story *story)
{
    memset(story, 0, sizeof *story);
    story->loop = cw_loop_new();
    cr_assert_not_null(story->loop);
}

static void connect_to(struct story *story, const char *address,
                       const struct cw_connect_options *options)
{
    story->inside = true;
    story->client =
        cw_connect(story->loop, cw_service(&cw_framed, &hooks, story), address, options);
    story->inside = false;
    cr_assert_gt(story->client, 0, "%s", cw_strerror((int)story->client));
}

static const char *at(const char *host, uint16_t port)
{
    static char text[128];

    snprintf(text, sizeof text, "%s:%u", host, port);
    return text;
}

/* Runs until nothing is left, and frees. */
static void finish(struct story *story)
{
    cr_assert_eq(cw_loop_run(story->loop), CW_OK);
    cw_loop_free(story->loop);
}

static void say_hello_then_close(struct story *story)
{
    if (story->opened == 1 && story->messages == 0 && story->conn) {
        rig_check(cw_conn_send_text(story->conn, "hello") == CW_OK);
    } else if (story->messages == 1 && story->conn) {
        cw_conn_close(story->conn);
    }
}

static void close_at_once(struct story *story)
{
    if (story->conn) {
        cw_conn_close(story->conn);
    }
}

static void echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_conn_send(conn, msg);
}

static const struct cw_hooks echo_hooks = {.on_data = echo};

static struct rig_host *start_echo(void)
{
    return rig_host_start(rig_server(&cw_framed, NULL), &echo_hooks, NULL);
}

/* ---- success ---- */

Test(client, a_message_comes_back_from_an_echo_and_the_loop_ends_by_itself)
{
    struct rig_host *host = start_echo();
    struct story story;

    begin(&story);
    story.then = say_hello_then_close;
    connect_to(&story, at("127.0.0.1", rig_host_port(host, 0)), NULL);
    finish(&story);
    cr_expect_eq(story.opened, 1);
    cr_expect_eq(story.messages, 1);
    cr_expect_eq(story.closed, 1);
    cr_expect_eq(story.reason.code, CW_BY_APP);
    cr_expect_eq(story.failed, 0);
    rig_host_end(host);
}

Test(client, the_name_localhost_connects)
{
    struct rig_host *host = start_echo();
    struct story story;

    begin(&story);
    story.then = say_hello_then_close;
    connect_to(&story, at("localhost", rig_host_port(host, 0)), NULL);
    finish(&story);
    cr_expect_eq(story.messages, 1);
    rig_host_end(host);
}

Test(client, a_unix_socket_connects)
{
    struct cw_server *server = cw_create_server(&cw_framed);
    struct rig_host *host;
    struct story story;
    char path[] = "/tmp/causeway_client_XXXXXX";
    char address[64];

    cr_assert_not_null(mkdtemp(path));
    snprintf(address, sizeof address, "unix:%s/socket", path);
    cw_server_listen(server, &(struct cw_listen_options){.unix_path = address + 5});
    host = rig_host_start(server, &echo_hooks, NULL);
    begin(&story);
    story.then = say_hello_then_close;
    connect_to(&story, address, NULL);
    finish(&story);
    cr_expect_eq(story.messages, 1);
    cr_expect_eq(story.peer.family, CW_UNIX);
    rig_host_end(host);
    rmdir(path);
}

Test(client, a_connection_has_the_user_pointer_and_the_local_address_asked_for)
{
    struct rig_silent listener;
    struct story story;
    struct sockaddr_in peer;
    socklen_t len = sizeof peer;
    int fd;

    rig_silent_open(&listener, "127.0.0.1", 0, 0);
    begin(&story);
    story.then = close_at_once;
    connect_to(&story, at("127.0.0.1", listener.port),
               &(struct cw_connect_options){.local_host = "127.0.0.9", .conn_user = &listener});
    finish(&story);
    cr_expect_eq(story.conn_user, &listener);
    fd = rig_silent_accept(&listener);
    cr_assert_eq(getpeername(fd, (struct sockaddr *)&peer, &len), 0);
    cr_expect_eq(ntohl(peer.sin_addr.s_addr), 0x7f000009);
    close(fd);
    rig_silent_close(&listener);
}

Test(client, ids_are_above_zero_and_never_the_same_twice)
{
    struct story story;
    int64_t last = 0;

    begin(&story);
    for (int i = 0; i < 200; i++) {
        connect_to(&story, "127.0.0.1:1", NULL);
        cr_assert_gt(story.client, last);
        last = story.client;
        cr_assert_eq(i % 3 == 0 ? cw_client_stop(story.loop, last) : 0, CW_OK);
    }
    finish(&story);
    cr_expect_eq(story.failed, 133);
}

/* ---- several addresses ---- */

/* libevent's clock is a few milliseconds behind. */
enum { CLOCK_SLACK_MS = 10 };

Test(client, ipv6_is_tried_first)
{
    struct rig_silent four;
    struct rig_silent six;
    struct rig_nameserver names;
    struct story story;

    rig_silent_open(&four, "127.0.0.1", 0, 0);
    rig_silent_open(&six, "::1", four.port, 0);
    begin(&story);
    rig_nameserver_open(&names, story.loop, "127.0.0.1 both.test\n::1 both.test\n", false);
    story.then = close_at_once;
    connect_to(&story, at("both.test", four.port), NULL);
    finish(&story);
    cr_expect_eq(story.peer.family, CW_IPV6);
    rig_nameserver_close(&names);
    rig_silent_close(&six);
    rig_silent_close(&four);
}

/* If the second address waited for its turn, this would take hours. */
Test(client, an_address_that_refuses_starts_the_next_at_once)
{
    struct rig_silent four;
    struct rig_nameserver names;
    struct story story;

    rig_silent_open(&four, "127.0.0.1", rig_free_port(), 0);
    begin(&story);
    rig_nameserver_open(&names, story.loop, "127.0.0.1 both.test\n::1 both.test\n", false);
    story.then = close_at_once;
    connect_to(&story, at("both.test", four.port),
               &(struct cw_connect_options){.connect_ms = 36000000, .attempt_delay_ms = 36000000});
    finish(&story);
    cr_expect_eq(story.opened, 1);
    cr_expect_eq(story.peer.family, CW_IPV4);
    cr_expect_eq(story.failed, 0);
    rig_nameserver_close(&names);
    rig_silent_close(&four);
}

Test(client, an_address_that_is_silent_costs_the_delay_and_not_the_time_out)
{
    struct rig_silent four;
    struct rig_silent six;
    struct rig_nameserver names;
    struct story story;
    uint64_t began;

    rig_silent_open(&four, "127.0.0.1", 0, 0);
    rig_silent_open(&six, "::1", four.port, 1);
    begin(&story);
    rig_nameserver_open(&names, story.loop, "127.0.0.1 both.test\n::1 both.test\n", false);
    story.then = close_at_once;
    began = rig_now_ms();
    connect_to(&story, at("both.test", four.port),
               &(struct cw_connect_options){.connect_ms = 36000000, .attempt_delay_ms = 60});
    finish(&story);
    cr_expect_geq(rig_now_ms() - began, 60 - CLOCK_SLACK_MS);
    cr_expect_eq(story.peer.family, CW_IPV4);
    cr_expect_eq(story.failed, 0);
    rig_nameserver_close(&names);
    rig_silent_close(&six);
    rig_silent_close(&four);
}

static bool may_bind(const struct in6_addr *address)
{
    struct sockaddr_in6 own = {.sin6_family = AF_INET6, .sin6_addr = *address};
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool bound;

    rig_check(fd >= 0);
    bound = bind(fd, (const struct sockaddr *)&own, sizeof own) == 0;
    close(fd);
    return bound;
}

/* Puts one more IPv6 address on the loopback of a network of one's own. */
static void add_loopback_address(const char *text)
{
    struct {
        struct in6_addr address;
        uint32_t prefix;
        int interface;
    } request = {.prefix = 128};
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    rig_check(fd >= 0);
    rig_check(inet_pton(AF_INET6, text, &request.address) == 1);
    request.interface = (int)if_nametoindex("lo");
    rig_check(ioctl(fd, SIOCSIFADDR, &request) == 0);
    close(fd);
    rig_await(may_bind(&request.address)); /* the kernel takes its time */
}

/* The second IPv6 address never answers: whoever tries it before the first IPv4 address hangs. */
Test(client, the_families_take_turns)
{
    struct rig_silent four;
    struct rig_silent six;
    struct rig_nameserver names;
    struct story story;

    if (!rig_enter_own_network()) {
        cr_skip_test("no network of its own is permitted here");
        return;
    }
    add_loopback_address("fd00::2");
    rig_silent_open(&six, "fd00::2", 0, 1);
    rig_silent_open(&four, "127.0.0.1", six.port, 0);
    begin(&story);
    rig_nameserver_open(&names, story.loop,
                        "::1 both.test\nfd00::2 both.test\n127.0.0.1 both.test\n", false);
    story.then = close_at_once;
    connect_to(&story, at("both.test", four.port),
               &(struct cw_connect_options){.connect_ms = 1000, .attempt_delay_ms = 36000000});
    finish(&story);
    cr_expect_eq(story.opened, 1);
    cr_expect_eq(story.peer.family, CW_IPV4);
    rig_nameserver_close(&names);
    rig_silent_close(&four);
    rig_silent_close(&six);
}

Test(client, several_addresses_that_fail_make_one_report)
{
    struct rig_nameserver names;
    struct story story;
    uint16_t port = rig_free_port();
    char text[CW_REPORT_TEXT_MAX];

    begin(&story);
    rig_nameserver_open(&names, story.loop, "127.0.0.1 both.test\n::1 both.test\n", false);
    connect_to(&story, at("both.test", port), NULL);
    finish(&story);
    snprintf(text, sizeof text,
             "connect both.test:%u: [::1]:%u: nobody listens at that address (2 addresses tried)",
             port, port);
    cr_expect_eq(story.failed, 1);
    cr_expect_str_eq(story.report.text, text);
    cr_expect_eq(story.address.family, CW_IPV6);
    rig_nameserver_close(&names);
}

Test(client, of_several_errors_the_most_telling_is_reported)
{
    struct rig_nameserver names;
    struct story story;

    if (!rig_enter_own_network()) {
        cr_skip_test("no network of its own is permitted here");
        return;
    }
    begin(&story);
    rig_nameserver_open(&names, story.loop,
                        "192.0.2.1 mixed.test\n127.0.0.1 mixed.test\n2001:db8::1 mixed.test\n",
                        false);
    connect_to(&story, "mixed.test:7000", NULL);
    finish(&story);
    cr_expect_eq(story.failed, 1);
    cr_expect_eq(story.report.code, CW_EREFUSED);
    cr_expect_str_eq(story.report.text,
                     "connect mixed.test:7000: 127.0.0.1:7000: nobody listens at that address "
                     "(3 addresses tried)");
    rig_nameserver_close(&names);
}

/* ---- failures ---- */

Test(client, a_refusal_is_reported_with_code_errno_address_and_sentence)
{
    struct story story;
    uint16_t port = rig_free_port();
    char text[CW_REPORT_TEXT_MAX];

    begin(&story);
    connect_to(&story, at("127.0.0.1", port), NULL);
    finish(&story);
    snprintf(text, sizeof text, "connect 127.0.0.1:%u: nobody listens at that address", port);
    cr_expect_eq(story.failed, 1);
    cr_expect_eq(story.report.code, CW_EREFUSED);
    cr_expect_eq(story.report.os_errno, ECONNREFUSED);
    cr_expect_eq(story.report.conn_id, 0);
    cr_expect_eq(story.address.port, port);
    cr_expect_str_eq(story.report.text, text);
    cr_expect_eq(story.opened + story.closed, 0);
}

Test(client, an_address_without_a_route_is_unreachable)
{
    struct story story;

    if (!rig_enter_own_network()) {
        cr_skip_test("no network of its own is permitted here");
        return;
    }
    begin(&story);
    connect_to(&story, "192.0.2.1:7000", NULL);
    finish(&story);
    cr_expect_eq(story.failed, 1);
    cr_expect_eq(story.report.code, CW_EUNREACHABLE);
    cr_expect_eq(story.report.os_errno, ENETUNREACH);
    cr_expect_str_eq(story.report.text, "connect 192.0.2.1:7000: no route to that address");
}

Test(client, a_silent_address_is_given_up_after_the_connect_time)
{
    struct rig_silent silent;
    struct story story;
    uint64_t began = rig_now_ms();
    char text[CW_REPORT_TEXT_MAX];

    rig_silent_open(&silent, "127.0.0.1", 0, 1);
    begin(&story);
    connect_to(&story, at("127.0.0.1", silent.port),
               &(struct cw_connect_options){.connect_ms = 100});
    finish(&story);
    snprintf(text, sizeof text,
             "connect 127.0.0.1:%u: connecting took longer than allowed (100 ms)", silent.port);
    cr_expect_geq(rig_now_ms() - began, 100 - CLOCK_SLACK_MS);
    cr_expect_eq(story.failed, 1);
    cr_expect_eq(story.report.code, CW_ECONNECTTIME);
    cr_expect_str_eq(story.report.text, text);
    cr_expect_eq(story.address.port, silent.port);
    rig_silent_close(&silent);
}

Test(client, a_socket_that_met_itself_is_a_refusal)
{
    struct story story;
    char local[64];
    uint16_t port = rig_free_port();

    begin(&story);
    snprintf(local, sizeof local, "127.0.0.1:%u", port);
    connect_to(&story, local, &(struct cw_connect_options){.local_host = local});
    finish(&story);
    cr_expect_eq(story.opened, 0);
    cr_expect_eq(story.failed, 1);
    cr_expect_eq(story.report.code, CW_EREFUSED);
}

Test(client, a_local_address_that_is_not_ours_is_reported)
{
    struct story story;

    begin(&story);
    connect_to(&story, "127.0.0.1:1", &(struct cw_connect_options){.local_host = "192.0.2.77"});
    finish(&story);
    cr_expect_eq(story.failed, 1);
    cr_expect_eq(story.report.code, CW_EADDRNOTAVAIL);
    cr_expect_str_eq(story.report.text,
                     "connect 127.0.0.1:1: local_host: the address is not one of this machine");
}

Test(client, a_unix_path_that_does_not_exist_is_reported)
{
    struct story story;

    begin(&story);
    connect_to(&story, "unix:/nonexistent/socket", NULL);
    finish(&story);
    cr_expect_eq(story.failed, 1);
    cr_expect_eq(story.report.code, CW_ENOPATH);
    cr_expect_eq(story.report.os_errno, ENOENT);
    cr_expect_str_eq(story.report.text,
                     "connect unix:/nonexistent/socket: a file or directory of the path "
                     "does not exist");
}

/* In a process of its own: who changes his user is no longer checked for leaks. */
static int connect_as_nobody(void *arg)
{
    struct story story = {.loop = cw_loop_new()};

    if (geteuid() == 0 && setuid(65534) < 0) {
        return 77;
    }
    story.client = cw_connect(story.loop, cw_service(&cw_framed, &hooks, &story), arg, NULL);
    cw_loop_run(story.loop);
    cw_loop_free(story.loop);
    return story.failed == 1 && story.report.code == CW_EACCESS && story.report.os_errno == EACCES
               ? 0
               : 1;
}

Test(client, a_unix_socket_without_permission_is_reported)
{
    struct rig_silent silent;
    struct rig_child child;
    char path[] = "/tmp/causeway_client_XXXXXX";
    char address[64];
    int status;

    cr_assert_not_null(mkdtemp(path));
    snprintf(address, sizeof address, "unix:%s/socket", path);
    rig_silent_open_unix(&silent, address + 5, 0);
    cr_assert_eq(chmod(path, 0755), 0);
    cr_assert_eq(chmod(address + 5, 0), 0);
    rig_child_fork(&child, connect_as_nobody, address);
    status = rig_child_join(&child);
    rig_silent_close(&silent);
    unlink(address + 5);
    rmdir(path);
    if (status == 77) {
        cr_skip_test("this superuser may not become anybody else");
        return;
    }
    cr_expect_eq(status, 0, "%s", child.text);
}

static void make_room(struct cw_loop *loop, void *user)
{
    close(rig_silent_accept(user));
}

Test(client, a_unix_socket_with_a_full_backlog_is_waited_for)
{
    struct rig_silent silent;
    struct story story;
    char path[] = "/tmp/causeway_client_XXXXXX";
    char address[64];

    cr_assert_not_null(mkdtemp(path));
    snprintf(address, sizeof address, "unix:%s/socket", path);
    rig_silent_open_unix(&silent, address + 5, 1);
    begin(&story);
    connect_to(&story, address, &(struct cw_connect_options){.connect_ms = 100});
    cr_assert_eq(cw_loop_run(story.loop), CW_OK);
    cr_expect_eq(story.failed, 1);
    cr_expect_eq(story.report.code, CW_ECONNECTTIME);
    story.then = close_at_once;
    connect_to(&story, address, NULL);
    cr_assert_not_null(cw_timer_start(story.loop, 50, 0, make_room, &silent));
    finish(&story);
    cr_expect_eq(story.opened, 1);
    cr_expect_eq(story.failed, 1);
    rig_silent_close(&silent);
    unlink(address + 5);
    rmdir(path);
}

static struct rlimit full_limit;

static void give_descriptors_back(struct story *story)
{
    setrlimit(RLIMIT_NOFILE, &full_limit);
    close_at_once(story);
    if (story->opened > 0) {
        cw_client_stop(story->loop, story->client);
    }
}

Test(client, without_descriptors_an_attempt_fails_and_is_repeated)
{
    struct rig_silent listener;
    struct rlimit none;
    struct story story;

    rig_silent_open(&listener, "127.0.0.1", 0, 0);
    begin(&story);
    story.then = give_descriptors_back;
    connect_to(&story, at("127.0.0.1", listener.port),
               &(struct cw_connect_options){.reconnect = true, .reconnect_min_ms = 10});
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &full_limit), 0);
    none = full_limit;
    none.rlim_cur = 3;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    finish(&story);
    cr_expect_eq(story.failed, 1);
    cr_expect_eq(story.report.code, CW_EDESCRIPTORS);
    cr_expect_eq(story.report.os_errno, EMFILE);
    cr_expect_eq(story.opened, 1);
    rig_silent_close(&listener);
}

/* ---- names ---- */

Test(client, without_a_nameserver_the_hosts_file_still_works_and_other_names_are_an_error)
{
    struct rig_silent listener;
    struct rig_nameserver names;
    struct story story;

    rig_silent_open(&listener, "127.0.0.1", 0, 0);
    begin(&story);
    rig_nameserver_open(&names, story.loop, "127.0.0.1 known.test\n", false);
    story.then = close_at_once;
    connect_to(&story, at("known.test", listener.port), NULL);
    cr_assert_eq(cw_loop_run(story.loop), CW_OK);
    cr_expect_eq(story.opened, 1);
    connect_to(&story, "unknown.test:7000", NULL);
    finish(&story);
    cr_expect_eq(story.failed, 1);
    cr_expect_eq(story.report.code, CW_ERESOLVE);
    cr_expect_str_eq(story.report.text,
                     "connect unknown.test:7000: host name: not in the hosts file, and no "
                     "nameserver is configured");
    rig_nameserver_close(&names);
    rig_silent_close(&listener);
}

Test(client, without_resolv_conf_and_hosts_file_localhost_still_has_its_addresses)
{
    struct rig_silent listener;
    struct story story;

    rig_silent_open(&listener, "127.0.0.1", 0, 0);
    begin(&story);
    cr_assert_eq(cw_resolver_open(story.loop, "/nonexistent/resolv.conf", "/nonexistent/hosts"),
                 CW_OK);
    story.then = close_at_once;
    connect_to(&story, at("localhost", listener.port), NULL);
    finish(&story);
    cr_expect_eq(story.opened, 1);
    rig_silent_close(&listener);
}

/* Lets the loop end: a watch would keep it. */
static struct rig_nameserver *resting;

static void rest_nameserver(struct story *story)
{
    close_at_once(story);
    rig_nameserver_rest(resting);
}

static void ask(struct story *story, struct rig_nameserver *names, const char *address,
                const struct cw_connect_options *options)
{
    begin(story);
    rig_nameserver_open(names, story->loop, "", true);
    resting = names;
    story->then = rest_nameserver;
    connect_to(story, address, options);
    finish(story);
    rig_nameserver_close(names);
}

Test(client, a_nameserver_gives_both_families_and_ipv6_comes_first)
{
    struct rig_silent four;
    struct rig_silent six;
    struct rig_nameserver names = {.a = RIG_DNS_LOOPBACK, .aaaa = RIG_DNS_LOOPBACK};
    struct story story;

    rig_silent_open(&four, "127.0.0.1", 0, 0);
    rig_silent_open(&six, "::1", four.port, 0);
    ask(&story, &names, at("server.test", four.port), NULL);
    cr_expect_eq(names.questions, 2);
    cr_expect_eq(story.opened, 1);
    cr_expect_eq(story.peer.family, CW_IPV6);
    rig_silent_close(&six);
    rig_silent_close(&four);
}

/* evdns itself would wait for seconds; the suite would be over. */
Test(client, a_nameserver_that_swallows_one_question_does_not_cost_the_time_out)
{
    struct rig_silent four;
    struct rig_nameserver names = {.a = RIG_DNS_LOOPBACK, .aaaa = RIG_DNS_SILENCE};
    struct story story;
    uint64_t began = rig_now_ms();

    rig_silent_open(&four, "127.0.0.1", 0, 0);
    ask(&story, &names, at("server.test", four.port), NULL);
    cr_expect_eq(story.opened, 1);
    cr_expect_lt(rig_now_ms() - began, 2500);
    rig_silent_close(&four);
}

Test(client, a_name_that_does_not_exist_is_reported)
{
    struct rig_nameserver names = {.a = RIG_DNS_NO_NAME, .aaaa = RIG_DNS_NO_NAME};
    struct story story;

    ask(&story, &names, "nobody.test:7000", NULL);
    cr_expect_eq(story.failed, 1);
    cr_expect_eq(story.report.code, CW_ERESOLVE);
    cr_expect_eq(story.address.family, CW_FAMILY_NONE);
    cr_expect_str_eq(story.report.text,
                     "connect nobody.test:7000: host name: the host name has no address");
}

Test(client, a_nameserver_that_is_silent_is_given_up_after_the_connect_time)
{
    struct rig_nameserver names = {.a = RIG_DNS_SILENCE, .aaaa = RIG_DNS_SILENCE};
    struct story story;

    ask(&story, &names, "server.test:7000", &(struct cw_connect_options){.connect_ms = 100});
    cr_expect_eq(story.failed, 1);
    cr_expect_eq(story.report.code, CW_ECONNECTTIME);
    cr_expect_str_eq(story.report.text,
                     "connect server.test:7000: host name: connecting took longer than "
                     "allowed (100 ms)");
}

/* ---- again and again ---- */

static struct rig_host *reborn;
static uint16_t reborn_port;

static void bring_it_back(struct story *story)
{
    if (story->opened == 1 && story->closed == 0) {
        cw_server_stop(rig_host_server(reborn));
    } else if (story->opened == 1 && story->failed == 2) {
        struct cw_server *server = cw_create_server(&cw_framed);

        rig_host_join(reborn);
        rig_host_free(reborn);
        cw_server_listen(server,
                         &(struct cw_listen_options){.host = "127.0.0.1", .port = reborn_port});
        reborn = rig_host_start(server, &echo_hooks, NULL);
    } else if (story->opened == 2 && story->conn) {
        rig_check(cw_client_stop(story->loop, story->client) == CW_OK);
    }
}

Test(client, it_comes_back_to_a_server_that_was_started_again)
{
    struct story story;

    reborn = start_echo();
    reborn_port = rig_host_port(reborn, 0);
    begin(&story);
    story.then = bring_it_back;
    connect_to(&story, at("127.0.0.1", reborn_port),
               &(struct cw_connect_options){
                   .reconnect = true, .reconnect_min_ms = 20, .reconnect_max_ms = 40});
    finish(&story);
    cr_expect_eq(story.opened, 2);
    cr_expect_eq(story.closed, 2);
    cr_expect_geq(story.failed, 2);
    cr_expect_eq(story.report.code, CW_EREFUSED);
    rig_host_end(reborn);
}

Test(client, pauses_double_from_the_least_to_the_most_and_chance_takes_up_to_half)
{
    struct cw_connect_options options = {.reconnect_min_ms = 1000, .reconnect_max_ms = 30000};
    const uint64_t expected[] = {1000, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000};

    for (uint64_t failures = 0; failures < 9; failures++) {
        uint64_t least = UINT64_MAX;
        uint64_t most = 0;

        for (int i = 0; i < 500; i++) {
            uint64_t pause = cw_backoff_ms(&options, failures);
            least = pause < least ? pause : least;
            most = pause > most ? pause : most;
        }
        cr_expect_leq(most, expected[failures]);
        cr_expect_geq(least, expected[failures] / 2);
        cr_expect_gt(most - least, expected[failures] / 4, "no chance in it");
    }
    cr_expect_leq(cw_backoff_ms(&options, UINT64_MAX), 30000);
}

Test(client, it_gives_up_after_so_many_failures_and_says_so)
{
    struct story story;
    uint16_t port = rig_free_port();
    uint64_t began = rig_now_ms();
    char text[CW_REPORT_TEXT_MAX];

    begin(&story);
    connect_to(
        &story, at("127.0.0.1", port),
        &(struct cw_connect_options){
            .reconnect = true, .reconnect_min_ms = 40, .reconnect_max_ms = 40, .attempts_max = 3});
    finish(&story);
    snprintf(text, sizeof text,
             "connect 127.0.0.1:%u: gave up after 3 failures: nobody listens at that address", port);
    cr_expect_eq(story.failed, 3);
    cr_expect_eq(story.report.code, CW_EREFUSED);
    cr_expect_eq(story.report.limit, 3);
    cr_expect_str_eq(story.report.text, text);
    cr_expect_geq(rig_now_ms() - began, 40 - CLOCK_SLACK_MS, "two pauses of at least half of 40 ms");
}

static void refuse_service(struct cw_conn *conn, void *user)
{
    cw_conn_close(conn);
}

Test(client, connections_that_do_not_last_count_as_failures)
{
    struct rig_host *host = rig_host_start(
        rig_server(&cw_framed, NULL), &(struct cw_hooks){.on_connection = refuse_service}, NULL);
    struct story story;

    begin(&story);
    connect_to(&story, at("127.0.0.1", rig_host_port(host, 0)),
               &(struct cw_connect_options){.reconnect = true,
                                            .reconnect_min_ms = 200,
                                            .reconnect_max_ms = 200,
                                            .attempts_max = 3});
    finish(&story);
    cr_expect_eq(story.opened, 3);
    cr_expect_eq(story.closed, 3);
    cr_expect_eq(story.failed, 1);
    cr_expect_eq(story.report.limit, 3);
    cr_expect_not_null(
        strstr(story.report.text, "gave up after 3 failures: its connections do not last"));
    rig_host_end(host);
}

static void close_after(struct cw_conn *conn, void *user)
{
    cw_conn_after(conn, 60, 0, refuse_service, NULL);
}

static void stop_at_the_fifth(struct story *story)
{
    if (story->opened == 5 && story->conn) {
        cw_client_stop(story->loop, story->client);
    }
}

Test(client, a_connection_that_has_lived_sets_the_failures_back)
{
    struct rig_host *host = rig_host_start(rig_server(&cw_framed, NULL),
                                           &(struct cw_hooks){.on_connection = close_after}, NULL);
    struct story story;

    begin(&story);
    story.then = stop_at_the_fifth;
    connect_to(
        &story, at("127.0.0.1", rig_host_port(host, 0)),
        &(struct cw_connect_options){
            .reconnect = true, .reconnect_min_ms = 10, .reconnect_max_ms = 10, .attempts_max = 2});
    finish(&story);
    cr_expect_eq(story.opened, 5);
    cr_expect_eq(story.failed, 0);
    rig_host_end(host);
}

/* ---- handshakes ---- */

static int open_later(struct cw_conn *conn, void *state, void *handover)
{
    return 1;
}

static ptrdiff_t swallow(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    return (ptrdiff_t)len;
}

static int end_in_order(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    return 0;
}

static const struct cw_protocol mute = {
    .name = "mute", .open = open_later, .on_bytes = swallow, .on_end = end_in_order};

Test(client, the_connect_time_covers_the_protocols_handshake)
{
    struct rig_silent listener;
    struct story story;

    rig_silent_open(&listener, "127.0.0.1", 0, 0);
    begin(&story);
    story.client =
        cw_connect(story.loop, cw_service(&mute, &hooks, &story), at("127.0.0.1", listener.port),
                   &(struct cw_connect_options){.connect_ms = 100});
    cr_assert_gt(story.client, 0);
    finish(&story);
    cr_expect_eq(story.opened + story.closed, 0);
    cr_expect_eq(story.failed, 1);
    cr_expect_eq(story.report.code, CW_EHANDSHAKETIME);
    rig_silent_close(&listener);
}

Test(client, a_peer_that_leaves_during_the_handshake_is_reported)
{
    struct rig_host *host = rig_host_start(
        rig_server(&cw_framed, NULL), &(struct cw_hooks){.on_connection = refuse_service}, NULL);
    struct story story;
    uint16_t port = rig_host_port(host, 0);
    char text[CW_REPORT_TEXT_MAX];

    begin(&story);
    story.client =
        cw_connect(story.loop, cw_service(&mute, &hooks, &story), at("127.0.0.1", port), NULL);
    cr_assert_gt(story.client, 0);
    finish(&story);
    snprintf(text, sizeof text, "connect 127.0.0.1:%u: closed before it was open", port);
    cr_expect_eq(story.opened + story.closed, 0);
    cr_expect_eq(story.failed, 1);
    cr_expect_eq(story.report.code, CW_ECLOSED);
    cr_expect_str_eq(story.report.text, text);
    rig_host_end(host);
}

/* ---- stopping ---- */

static void expect_stopped(struct story *story)
{
    cr_expect_eq(cw_client_stop(story->loop, story->client), CW_OK);
    cr_expect_eq(cw_client_stop(story->loop, story->client), CW_ENOTFOUND);
    cr_expect_null(cw_client_conn(story->loop, story->client));
}

static void stop_in_time(struct cw_loop *loop, void *user)
{
    expect_stopped(user);
}

Test(client, stopped_before_it_began_nothing_happens)
{
    struct story story;

    begin(&story);
    connect_to(&story, "127.0.0.1:1", NULL);
    expect_stopped(&story);
    finish(&story);
    cr_expect_eq(story.opened + story.closed + story.failed, 0);
}

Test(client, stopped_while_it_connects_nothing_is_told)
{
    struct rig_silent silent;
    struct story story;

    rig_silent_open(&silent, "127.0.0.1", 0, 1);
    begin(&story);
    connect_to(&story, at("127.0.0.1", silent.port), NULL);
    cr_assert_not_null(cw_timer_start(story.loop, 30, 0, stop_in_time, &story));
    finish(&story);
    cr_expect_eq(story.opened + story.closed + story.failed, 0);
    rig_silent_close(&silent);
}

static void stop_while_asked(struct cw_loop *loop, void *user)
{
    struct story *story = user;

    if (resting->questions < 2) {
        return;
    }
    expect_stopped(story);
    rig_nameserver_rest(resting);
    cw_loop_stop(loop);
}

Test(client, stopped_while_the_name_is_looked_up_nothing_is_told)
{
    struct rig_nameserver names = {.a = RIG_DNS_SILENCE, .aaaa = RIG_DNS_SILENCE};
    struct story story;

    begin(&story);
    rig_nameserver_open(&names, story.loop, "", true);
    resting = &names;
    connect_to(&story, "server.test:7000", NULL);
    cr_assert_not_null(cw_timer_start(story.loop, 5, 5, stop_while_asked, &story));
    finish(&story);
    cr_expect_eq(story.opened + story.closed + story.failed, 0);
    rig_nameserver_close(&names);
}

Test(client, a_loop_is_freed_while_a_name_is_looked_up)
{
    struct rig_nameserver names = {.a = RIG_DNS_SILENCE, .aaaa = RIG_DNS_SILENCE};
    struct story story;

    begin(&story);
    rig_nameserver_open(&names, story.loop, "", true);
    connect_to(&story, "server.test:7000", NULL);
    while (names.questions < 2) {
        cr_assert_geq(cw_loop_turn(story.loop, true), 0);
    }
    rig_nameserver_rest(&names);
    cw_loop_free(story.loop);
    cr_expect_eq(story.opened + story.closed + story.failed, 0);
    rig_nameserver_close(&names);
}

static void stop_at_first(struct story *story)
{
    if (story->conn) {
        expect_stopped(story);
    }
}

Test(client, stopped_while_it_is_open_its_connection_is_closed)
{
    struct rig_host *host = start_echo();
    struct story story;

    begin(&story);
    story.then = stop_at_first;
    connect_to(&story, at("127.0.0.1", rig_host_port(host, 0)),
               &(struct cw_connect_options){.reconnect = true});
    finish(&story);
    cr_expect_eq(story.opened, 1);
    cr_expect_eq(story.closed, 1);
    cr_expect_eq(story.reason.code, CW_BY_APP);
    rig_host_end(host);
}

static void stop_after_failure(struct story *story)
{
    expect_stopped(story);
}

Test(client, stopped_in_its_own_report_it_does_not_try_again)
{
    struct story story;

    begin(&story);
    story.then = stop_after_failure;
    connect_to(&story, at("127.0.0.1", rig_free_port()),
               &(struct cw_connect_options){.reconnect = true});
    finish(&story);
    cr_expect_eq(story.failed, 1);
}

Test(client, stopped_in_a_pause_it_does_not_try_again)
{
    struct story story;

    begin(&story);
    connect_to(&story, at("127.0.0.1", rig_free_port()),
               &(struct cw_connect_options){.reconnect = true, .reconnect_min_ms = 36000000});
    cr_assert_not_null(cw_timer_start(story.loop, 50, 0, stop_in_time, &story));
    finish(&story);
    cr_expect_eq(story.failed, 1);
}

static void stop_loop(struct cw_loop *loop, void *user)
{
    cw_loop_stop(loop);
}

Test(client, when_the_loop_stops_attempts_are_given_up_and_connections_closed)
{
    struct rig_silent silent;
    struct rig_host *host = start_echo();
    struct story story;
    struct story other;

    rig_silent_open(&silent, "127.0.0.1", 0, 1);
    begin(&story);
    memset(&other, 0, sizeof other);
    other.loop = story.loop;
    connect_to(&story, at("127.0.0.1", silent.port),
               &(struct cw_connect_options){.reconnect = true});
    connect_to(&other, at("127.0.0.1", rig_host_port(host, 0)),
               &(struct cw_connect_options){.reconnect = true});
    cr_assert_not_null(cw_timer_start(story.loop, 100, 0, stop_loop, NULL));
    cr_assert_eq(cw_loop_run(story.loop), CW_OK);
    cr_expect_eq(story.opened + story.closed + story.failed, 0);
    cr_expect_eq(other.opened, 1);
    cr_expect_eq(other.closed, 1);
    cr_expect_eq(other.reason.code, CW_BY_STOP);
    cr_expect_eq(cw_connect(story.loop, cw_service(&cw_framed, NULL, NULL), "127.0.0.1:1", NULL),
                 CW_ESTOPPED);
    cw_loop_free(story.loop);
    rig_silent_close(&silent);
    rig_host_end(host);
}

Test(client, a_loop_that_never_ran_is_freed_with_its_clients)
{
    struct story story;

    begin(&story);
    connect_to(&story, "127.0.0.1:1", NULL);
    connect_to(&story, "localhost:1", &(struct cw_connect_options){.reconnect = true});
    cw_loop_free(story.loop);
    cr_expect_eq(story.opened + story.closed + story.failed, 0);
}

/* ---- inside a server ---- */

struct bridge {
    uint16_t port; /* of the echo behind */
    struct cw_hooks behind;
    atomic_uint errors;
    struct cw_server *server;
};

static void from_behind(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct cw_conn *front =
        cw_loop_conn(cw_conn_loop(conn), (uint64_t)(uintptr_t)cw_conn_user(conn));

    rig_check(front);
    cw_conn_send(front, msg);
}

static void greet_behind(struct cw_conn *conn, void *user)
{
    cw_conn_send_text(conn, "hello");
}

static void count_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    struct bridge *bridge = user;

    rig_check(server == bridge->server);
    rig_check(report->code == CW_EREFUSED);
    atomic_fetch_add(&bridge->errors, 1);
}

static void connect_behind(struct cw_conn *conn, void *user)
{
    struct bridge *bridge = user;
    void *id = (void *)(uintptr_t)cw_conn_id(conn);
    struct cw_service service = cw_service(&cw_framed, &bridge->behind, bridge);
    char address[64];

    snprintf(address, sizeof address, "127.0.0.1:%u", bridge->port);
    rig_check(cw_connect(cw_conn_loop(conn), service, address,
                         &(struct cw_connect_options){.conn_user = id}) > 0);
    rig_check(cw_connect(cw_conn_loop(conn), service, "127.0.0.1:1", NULL) > 0);
}

Test(client, a_server_connects_from_within_a_hook_on_the_connections_own_loop)
{
    struct rig_host *behind = start_echo();
    struct cw_server *server = rig_server(&cw_framed, NULL);
    struct bridge bridge = {
        .port = rig_host_port(behind, 0),
        .server = server,
        .behind = {.on_connection = greet_behind, .on_data = from_behind, .on_error = count_error},
    };
    struct rig_host *host =
        rig_host_start(server, &(struct cw_hooks){.on_connection = connect_behind}, &bridge);
    struct story story;

    begin(&story);
    story.then = say_hello_then_close;
    connect_to(&story, at("127.0.0.1", rig_host_port(host, 0)), NULL);
    finish(&story);
    cr_expect_eq(story.messages, 1);
    rig_await(atomic_load(&bridge.errors) == 1);
    rig_host_end(host);
    rig_host_end(behind);
}

/* ---- options ---- */

static char logged[512];

static void keep_line(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    snprintf(logged, sizeof logged, "%s", text);
}

static void expect_refused(const char *address, struct cw_connect_options options, const char *text)
{
    struct cw_loop *loop = cw_loop_new();

    logged[0] = '\0';
    cr_expect_eq(cw_connect(loop, cw_service(&cw_framed, NULL, NULL), address, &options), CW_EINVAL,
                 "%s", text);
    cr_expect_not_null(strstr(logged, text), "\"%s\" is not in \"%s\"", text, logged);
    cr_expect_eq(cw_loop_run(loop), CW_OK);
    cw_loop_free(loop);
}

Test(client, options_that_are_not_allowed_are_refused_by_name)
{
    const uint64_t years = 400ull * 24 * 3600 * 1000;

    cw_log_set_level(CW_LOG_INFO);
    cw_log_set(keep_line, NULL);
    expect_refused("nowhere", (struct cw_connect_options){0},
                   "connect nowhere: nowhere: the port is missing");
    expect_refused("a:1", (struct cw_connect_options){.connect_ms = years},
                   "connect a:1: connect_ms");
    expect_refused("a:1", (struct cw_connect_options){.connect_ms = CW_OFF}, "connect_ms");
    expect_refused("a:1", (struct cw_connect_options){.attempt_delay_ms = years},
                   "attempt_delay_ms");
    expect_refused("a:1", (struct cw_connect_options){.reconnect_min_ms = years},
                   "reconnect_min_ms");
    expect_refused("a:1", (struct cw_connect_options){.reconnect_max_ms = CW_NO_LIMIT},
                   "reconnect_max_ms");
    expect_refused("a:1", (struct cw_connect_options){.reconnect_min_ms = 2, .reconnect_max_ms = 1},
                   "reconnect_min_ms is above reconnect_max_ms");
    expect_refused("a:1", (struct cw_connect_options){.idle_ms = years}, "idle_ms");
    expect_refused("a:1", (struct cw_connect_options){.drain_ms = CW_OFF}, "drain_ms");
    expect_refused("a:1", (struct cw_connect_options){.out_high_bytes = 9, .out_max_bytes = 8},
                   "out_high_bytes is above out_max_bytes");
    expect_refused("a:1", (struct cw_connect_options){.tcp = {.keepalive_ms = years}},
                   "tcp.keepalive_ms");
    expect_refused("a:1", (struct cw_connect_options){.local_host = "localhost"}, "local_host");
    expect_refused("127.0.0.1:1", (struct cw_connect_options){.local_host = "::1"}, "local_host");
    expect_refused("unix:/x", (struct cw_connect_options){.local_host = "127.0.0.1"}, "local_host");
    cw_log_set(NULL, NULL);
}

Test(client, a_service_without_a_protocol_or_loop_is_refused)
{
    struct cw_loop *loop = cw_loop_new();

    cr_expect_eq(cw_connect(loop, cw_service(NULL, NULL, NULL), "a:1", NULL), CW_EINVAL);
    cr_expect_eq(cw_connect(loop, cw_service(&cw_framed, NULL, NULL), NULL, NULL), CW_EINVAL);
    cr_expect_eq(cw_connect(NULL, cw_service(&cw_framed, NULL, NULL), "a:1", NULL), CW_ENOMEM);
    cr_expect_eq(cw_client_stop(loop, 1), CW_ENOTFOUND);
    cr_expect_null(cw_client_conn(loop, 1));
    cw_loop_free(loop);
}

/* ---- out of memory ---- */

/* One run with the n-th allocation failing. Returns whether it came to that. */
static bool run_with_fault(size_t nth, const char *address, bool by_name)
{
    struct story story = {.then = close_at_once};
    struct cw_connect_options options = {
        .reconnect = true, .attempts_max = 2, .reconnect_min_ms = 10, .reconnect_max_ms = 10};
    bool armed_came;

    fault_arm(nth);
    story.loop = cw_loop_new();
    if (story.loop) {
        if (by_name && cw_resolver_open(story.loop, "/nonexistent", "/nonexistent") < 0) {
            fault_disarm();
            cw_loop_free(story.loop);
            return true;
        }
        story.client =
            cw_connect(story.loop, cw_service(&cw_framed, &hooks, &story), address, &options);
        rig_check(story.client > 0 || story.client == CW_ENOMEM);
        cw_loop_run(story.loop);
    }
    armed_came = fault_disarm();
    cw_loop_free(story.loop);
    rig_check(story.opened == story.closed);
    rig_check(!story.loop || story.client < 0 || story.failed > 0);
    return armed_came;
}

static void fail_each_allocation(const char *address, bool by_name)
{
    size_t n = 1;

    fault_install();
    while (run_with_fault(n, address, by_name)) {
        n++;
    }
    fault_remove();
    cr_expect_gt(n, 10);
}

Test(client, when_any_allocation_fails_there_is_an_error_and_no_leak)
{
    struct rig_silent listener;

    rig_silent_open(&listener, "127.0.0.1", 0, 0);
    fail_each_allocation(at("127.0.0.1", listener.port), false);
    rig_silent_close(&listener);
}

/* Only names of the hosts file: evdns loses track of a question when memory runs out under it. */
Test(client, when_any_allocation_fails_on_the_way_to_a_name_there_is_an_error_and_no_leak)
{
    struct rig_silent listener;

    rig_silent_open(&listener, "127.0.0.1", 0, 0);
    fail_each_allocation(at("localhost", listener.port), true);
    rig_silent_close(&listener);
}

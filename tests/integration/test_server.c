/* Setting a server up, binding, stopping. */
#include "support/child.h"
#include "support/host.h"
#include "support/leak.h"
#include "support/network.h"
#include "support/peer.h"
#include "support/story.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[64]; /* for unix sockets */

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/causeway-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[128];

    snprintf(command, sizeof command, "rm -rf %s", folder);
    cr_expect_eq(system(command), 0);
    rig_expect_no_leak();
}

TestSuite(server, .init = make_folder, .fini = remove_folder, .timeout = 60);

static const char *in_folder(const char *name)
{
    static char path[2][108];
    static unsigned turn;
    char *text = path[turn++ % 2];

    snprintf(text, sizeof path[0], "%s/%s", folder, name);
    return text;
}

/* ---- options ---- */

static void expect_refused(const struct cw_server_options *options, const char *text)
{
    struct cw_server *server = cw_create_server(&cw_tcp);

    cr_expect_eq(cw_server_configure(server, options), CW_EINVAL, "%s", text);
    cr_expect_str_eq(cw_server_error(server), text);
    cw_server_free(server);
}

Test(server, an_option_out_of_range_is_refused_by_its_name)
{
    expect_refused(&(struct cw_server_options){.workers = 257},
                   "configure: workers: at most 256, or CW_PER_CORE, is allowed");
    expect_refused(&(struct cw_server_options){.workers = CW_NO_LIMIT},
                   "configure: workers: at most 256, or CW_PER_CORE, is allowed");
    expect_refused(&(struct cw_server_options){.conns_max = (1 << 24) + 1},
                   "configure: conns_max: at most 16777216, or CW_NO_LIMIT, is allowed");
    expect_refused(&(struct cw_server_options){.conns_max = CW_OFF},
                   "configure: conns_max: at most 16777216, or CW_NO_LIMIT, is allowed");
    expect_refused(&(struct cw_server_options){.idle_ms = CW_NO_LIMIT},
                   "configure: idle_ms: at most 31536000000, or CW_OFF, is allowed");
    expect_refused(&(struct cw_server_options){.drain_ms = CW_OFF},
                   "configure: drain_ms: at most 31536000000 is allowed");
    expect_refused(&(struct cw_server_options){.in_max_bytes = CW_NO_LIMIT},
                   "configure: in_max_bytes: at most 1099511627776 is allowed");
    expect_refused(&(struct cw_server_options){.work_threads = 65},
                   "configure: work_threads: at most 64 is allowed");
}

Test(server, options_that_contradict_each_other_are_refused_by_their_names)
{
    expect_refused(&(struct cw_server_options){.out_high_bytes = 2000, .out_max_bytes = 1000},
                   "configure: out_high_bytes is above out_max_bytes");
    expect_refused(&(struct cw_server_options){.out_low_bytes = 2000, .out_high_bytes = 1000},
                   "configure: out_low_bytes is above out_high_bytes");
    expect_refused(&(struct cw_server_options){.conns_max = 10, .conns_per_ip_max = 11},
                   "configure: conns_per_ip_max is above conns_max");
}

Test(server, options_at_their_limits_are_taken)
{
    struct cw_server *server = cw_create_server(&cw_tcp);

    cr_expect_eq(cw_server_configure(server, &(struct cw_server_options){0}), CW_OK);
    cr_expect_eq(cw_server_configure(server, &(struct cw_server_options){.workers = 256,
                                                                         .conns_max = CW_NO_LIMIT,
                                                                         .idle_ms = CW_OFF,
                                                                         .out_high_bytes = 1 << 24,
                                                                         .out_low_bytes = 1 << 24}),
                 CW_OK);
    cr_expect_eq(
        cw_server_configure(server, &(struct cw_server_options){.workers = CW_PER_CORE,
                                                                .out_max_bytes = CW_NO_LIMIT}),
        CW_OK);
    cr_expect_str_eq(cw_server_error(server), "");
    cw_server_free(server);
}

static void expect_listen_refused(const struct cw_listen_options *options, const char *text)
{
    struct cw_server *server = cw_create_server(&cw_tcp);

    cr_expect_eq(cw_server_listen(server, options), CW_EINVAL, "%s", text);
    cr_expect_str_eq(cw_server_error(server), text);
    cw_server_free(server);
}

Test(server, listen_options_that_contradict_each_other_are_refused)
{
    const char *either = "listen: host and port, unix_path and fd exclude each other";

    expect_listen_refused(&(struct cw_listen_options){.port = 1, .unix_path = "x"}, either);
    expect_listen_refused(&(struct cw_listen_options){.host = "::1", .unix_path = "x"}, either);
    expect_listen_refused(&(struct cw_listen_options){.host = "::1", .fd = 3}, either);
    expect_listen_refused(&(struct cw_listen_options){.unix_path = "x", .fd = 3}, either);
    expect_listen_refused(&(struct cw_listen_options){.unix_path = ""},
                          "listen: unix_path is empty");
    expect_listen_refused(&(struct cw_listen_options){.fd = -1}, "listen: fd -1 is no descriptor");
}

Test(server, a_wrong_option_of_the_protocol_is_refused_by_its_name)
{
    struct cw_server *server = cw_create_server(&cw_framed);

    cr_expect_eq(cw_framed_configure(server, &(struct cw_framed_options){.length_bytes = 3}),
                 CW_EINVAL);
    cr_expect_not_null(strstr(cw_server_error(server), "length_bytes"), "%s",
                       cw_server_error(server));
    cw_server_free(server);
    server = cw_create_server(&cw_tcp);
    cr_expect_eq(cw_framed_configure(server, &(struct cw_framed_options){0}), CW_EINVAL);
    cr_expect_not_null(strstr(cw_server_error(server), "the server speaks tcp"), "%s",
                       cw_server_error(server));
    cw_server_free(server);
}

Test(server, a_wrong_option_of_a_listeners_service_is_refused_by_its_name)
{
    struct cw_server *server = cw_create_server(&cw_tcp);
    struct cw_service service =
        cw_framed_service(&(struct cw_framed_options){.length_bytes = 3}, NULL, NULL);

    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1", .service = service});
    cr_expect_eq(cw_server_run(server), CW_EINVAL);
    cr_expect_not_null(strstr(cw_server_error(server), "framed: "), "%s", cw_server_error(server));
    cr_expect_not_null(strstr(cw_server_error(server), "length_bytes"), "%s",
                       cw_server_error(server));
    cw_server_free(server);
}

Test(server, the_first_error_is_kept_and_run_refuses_with_it)
{
    struct cw_server *server = cw_create_server(&cw_tcp);

    cr_expect_eq(cw_server_configure(server, &(struct cw_server_options){.workers = 1000}),
                 CW_EINVAL);
    cr_expect_eq(cw_server_listen(server, &(struct cw_listen_options){.fd = -1}), CW_EINVAL);
    cr_expect_eq(cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1"}), CW_OK);
    cr_expect_eq(cw_server_run(server), CW_EINVAL);
    cr_expect_str_eq(cw_server_error(server),
                     "configure: workers: at most 256, or CW_PER_CORE, is allowed");
    cw_server_free(server);
}

Test(server, every_call_accepts_a_server_that_could_not_be_made)
{
    cr_expect_eq(cw_server_configure(NULL, &(struct cw_server_options){0}), CW_ENOMEM);
    cr_expect_eq(cw_server_set_hooks(NULL, &(struct cw_hooks){0}, NULL), CW_ENOMEM);
    cr_expect_eq(cw_server_listen(NULL, &(struct cw_listen_options){0}), CW_ENOMEM);
    cr_expect_eq(cw_framed_configure(NULL, &(struct cw_framed_options){0}), CW_ENOMEM);
    cr_expect_eq(cw_server_use(NULL, NULL), CW_ENOMEM);
    cr_expect_eq(cw_server_run(NULL), CW_ENOMEM);
    cr_expect_str_eq(cw_server_error(NULL), "out of memory");
    cw_server_stop(NULL);
    cw_server_free(NULL);
}

Test(server, a_server_without_a_listener_does_not_run)
{
    struct cw_server *server = cw_create_server(&cw_tcp);

    cr_expect_eq(cw_server_run(server), CW_EINVAL);
    cr_expect_str_eq(cw_server_error(server),
                     "run: nothing to listen on; call cw_server_listen first");
    cw_server_free(server);
}

Test(server, a_running_server_refuses_to_be_set_up)
{
    struct rig_host *host = rig_host_start(rig_server(&cw_framed, NULL), NULL, NULL);
    struct cw_server *server = rig_host_server(host);

    cr_expect_eq(cw_server_configure(server, &(struct cw_server_options){0}), CW_ESTATE);
    cr_expect_eq(cw_server_listen(server, &(struct cw_listen_options){0}), CW_ESTATE);
    cr_expect_eq(cw_server_set_hooks(server, &(struct cw_hooks){0}, NULL), CW_ESTATE);
    cr_expect_eq(cw_framed_configure(server, &(struct cw_framed_options){0}), CW_ESTATE);
    cr_expect_eq(cw_server_run(server), CW_ESTATE);
    rig_host_end(host);
}

Test(server, a_stopped_server_does_not_run_again)
{
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, NULL), NULL, NULL);

    cr_expect_eq(rig_host_stop(host), CW_OK);
    cr_expect_eq(cw_server_run(rig_host_server(host)), CW_ESTATE);
    rig_host_free(host);
}

Test(server, a_stop_before_run_ends_it_at_once)
{
    struct cw_server *server = rig_server(&cw_tcp, NULL);

    cw_server_stop(server);
    cr_expect_eq(cw_server_run(server), CW_OK);
    cw_server_free(server);
}

/* ---- binding that fails ---- */

static void expect_no_run(const struct cw_listen_options *options, int code, const char *text)
{
    struct cw_server *server = cw_create_server(&cw_tcp);

    cr_expect_eq(cw_server_listen(server, options), CW_OK);
    cr_expect_eq(cw_server_run(server), code, "%s: %s", cw_error_name(code),
                 cw_server_error(server));
    cr_expect_str_eq(cw_server_error(server), text);
    cw_server_free(server);
}

static int bind_low_port(void *arg)
{
    struct cw_server *server = cw_create_server(&cw_tcp);

    if (setgid(65534) < 0 || setuid(65534) < 0) {
        return 2;
    }
    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1", .port = 80});
    return cw_server_main(server);
}

Test(server, a_port_that_is_not_permitted_is_said_in_one_line)
{
    struct rig_child child;

    if (geteuid() != 0 ||
        !rig_enter_own_network()) { /* so that nobody has port 80, or lets everybody have it */
        cr_skip_test("only root can give up its rights");
        return;
    }
    rig_child_fork(&child, bind_low_port, NULL);
    cr_expect_eq(rig_child_join(&child), 1);
    cr_expect_str_eq(child.text, "listen 127.0.0.1:80: bind: permission denied\n");
}

Test(server, a_port_in_use_is_refused_with_its_address)
{
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, NULL), NULL, NULL);
    uint16_t port = rig_host_port(host, 0);
    char text[64];

    snprintf(text, sizeof text, "listen 127.0.0.1:%u: bind: the address is in use", port);
    expect_no_run(&(struct cw_listen_options){.host = "127.0.0.1", .port = port}, CW_EADDRINUSE,
                  text);
    rig_host_end(host);
}

Test(server, a_port_shared_by_workers_is_in_use_for_others)
{
    struct cw_server_options two = {.workers = 2};
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, &two), NULL, NULL);
    struct cw_server *other = cw_create_server(&cw_tcp);
    uint16_t port = rig_host_port(host, 0);

    cw_server_configure(other, &two);
    cw_server_listen(other, &(struct cw_listen_options){.host = "127.0.0.1", .port = port});
    cr_expect_eq(cw_server_run(other), CW_EADDRINUSE);
    cw_server_free(other);
    rig_host_end(host);
}

/* A socket of the same user that has SO_REUSEPORT and listens, as another server's would. */
static int foreign_listener(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    cr_assert_geq(fd, 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(fd, 5), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

Test(server, another_processs_shared_port_is_not_joined)
{
    uint16_t port;
    int fd = foreign_listener(&port);

    for (uint64_t workers = 1; workers <= 2; workers++) {
        struct cw_server *server = cw_create_server(&cw_tcp);
        cw_server_configure(server, &(struct cw_server_options){.workers = workers});
        cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1", .port = port});
        cr_expect_eq(cw_server_run(server), CW_EADDRINUSE, "%d workers", (int)workers);
        cw_server_free(server);
    }
    close(fd);
}

Test(server, an_address_of_another_machine_is_refused)
{
    expect_no_run(&(struct cw_listen_options){.host = "192.0.2.1", .port = 4711}, CW_EADDRNOTAVAIL,
                  "listen 192.0.2.1:4711: bind: the address is not one of this machine");
}

Test(server, a_host_that_is_no_name_is_refused)
{
    struct cw_server *server = cw_create_server(&cw_tcp);

    cw_server_listen(server, &(struct cw_listen_options){.host = "no such host", .port = 4711});
    cr_expect_eq(cw_server_run(server), CW_ERESOLVE);
    cr_expect_not_null(strstr(cw_server_error(server), "listen no such host:4711: host: "), "%s",
                       cw_server_error(server));
    cw_server_free(server);
}

Test(server, what_was_bound_before_a_failure_is_closed_again)
{
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, NULL), NULL, NULL);
    struct cw_server *server = cw_create_server(&cw_tcp);
    const char *path = in_folder("first");

    cw_server_listen(server, &(struct cw_listen_options){.unix_path = path});
    cw_server_listen(
        server, &(struct cw_listen_options){.host = "127.0.0.1", .port = rig_host_port(host, 0)});
    cr_expect_eq(cw_server_run(server), CW_EADDRINUSE);
    cw_server_free(server);
    cr_expect_eq(access(path, F_OK), -1);
    rig_host_end(host);
}

/* ---- unix sockets ---- */

static struct cw_server *unix_server(const char *path, uint32_t mode)
{
    struct cw_server *server = cw_create_server(&cw_tcp);

    cr_assert_eq(
        cw_server_listen(server, &(struct cw_listen_options){.unix_path = path, .unix_mode = mode}),
        CW_OK);
    return server;
}

static mode_t mode_of(const char *path)
{
    struct stat info;

    cr_assert_eq(stat(path, &info), 0);
    return info.st_mode & 07777;
}

Test(server, a_unix_socket_echoes_and_is_removed_at_stop)
{
    const char *path = in_folder("echo");
    struct cw_hooks hooks = {.on_data = rig_echo};
    struct rig_host *host = rig_host_start(unix_server(path, 0), &hooks, NULL);
    struct rig_peer peer = rig_peer_unix(path);
    char text[128];

    snprintf(text, sizeof text, "unix:%s", path);
    cr_expect_str_eq(rig_host_text(host, 0), text);
    rig_peer_send_text(&peer, "hello");
    rig_peer_expect(&peer, "hello");
    rig_peer_close(&peer);
    rig_host_end(host);
    cr_expect_eq(access(path, F_OK), -1);
}

Test(server, a_unix_socket_has_the_permissions_asked_for)
{
    const char *path = in_folder("mode");
    struct rig_host *host = rig_host_start(unix_server(path, 0), NULL, NULL);

    cr_expect_eq(mode_of(path), 0600);
    rig_host_end(host);
    host = rig_host_start(unix_server(path, 0660), NULL, NULL);
    cr_expect_eq(mode_of(path), 0660);
    rig_host_end(host);
    host = rig_host_start(unix_server(path, 0666), NULL, NULL);
    cr_expect_eq(mode_of(path), 0666, "whatever the umask: %o", mode_of(path));
    rig_host_end(host);
}

Test(server, a_missing_directory_is_said)
{
    char text[128];
    const char *path = in_folder("none/socket");

    snprintf(text, sizeof text,
             "listen unix:%s: bind: a file or directory of the path does not exist", path);
    expect_no_run(&(struct cw_listen_options){.unix_path = path}, CW_ENOPATH, text);
}

Test(server, a_path_that_is_no_socket_is_left_alone)
{
    char text[160];
    const char *path = in_folder("file");
    FILE *file = fopen(path, "w");

    cr_assert_not_null(file);
    fclose(file);
    snprintf(text, sizeof text, "listen unix:%s: bind: the path exists and is no socket", path);
    expect_no_run(&(struct cw_listen_options){.unix_path = path}, CW_EADDRINUSE, text);
    cr_expect_eq(access(path, F_OK), 0);
}

Test(server, a_path_that_is_too_long_is_refused)
{
    char path[200];
    struct cw_server *server;

    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    server = unix_server(path, 0);
    cr_expect_eq(cw_server_run(server), CW_EINVAL);
    cr_expect_not_null(strstr(cw_server_error(server), "a path has at most 107 bytes"), "%s",
                       cw_server_error(server));
    cw_server_free(server);
}

static int bound_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(fd, 5), 0);
    return fd;
}

Test(server, a_stale_socket_is_replaced)
{
    const char *path = in_folder("stale");
    struct rig_host *host;
    struct rig_peer peer;

    close(bound_unix(path));
    cr_assert_eq(access(path, F_OK), 0);
    host = rig_host_start(unix_server(path, 0), &(struct cw_hooks){.on_data = rig_echo}, NULL);
    peer = rig_peer_unix(path);
    rig_peer_send_text(&peer, "hello");
    rig_peer_expect(&peer, "hello");
    rig_peer_close(&peer);
    rig_host_end(host);
}

Test(server, a_live_socket_is_refused_and_left_alone)
{
    char text[128];
    const char *path = in_folder("live");
    int fd = bound_unix(path);

    snprintf(text, sizeof text, "listen unix:%s: bind: the address is in use", path);
    expect_no_run(&(struct cw_listen_options){.unix_path = path}, CW_EADDRINUSE, text);
    cr_expect_eq(access(path, F_OK), 0);
    close(fd);
}

Test(server, a_path_that_another_has_taken_over_is_not_removed_at_stop)
{
    const char *path = in_folder("taken");
    struct rig_host *host = rig_host_start(unix_server(path, 0), NULL, NULL);
    int fd;

    cr_assert_eq(unlink(path), 0);
    fd = bound_unix(path);
    rig_host_end(host);
    cr_expect_eq(access(path, F_OK), 0);
    close(fd);
}

/* ---- inherited descriptors ---- */

Test(server, an_inherited_descriptor_is_served)
{
    uint16_t port;
    int fd = foreign_listener(&port);
    struct cw_server *server = cw_create_server(&cw_tcp);
    struct rig_host *host;
    struct rig_peer peer;
    char text[64];

    cw_server_listen(server, &(struct cw_listen_options){.fd = fd});
    host = rig_host_start(server, &(struct cw_hooks){.on_data = rig_echo}, NULL);
    snprintf(text, sizeof text, "tcp://127.0.0.1:%u", port);
    cr_expect_str_eq(rig_host_text(host, 0), text);
    peer = rig_peer_tcp(port);
    rig_peer_send_text(&peer, "hello");
    rig_peer_expect(&peer, "hello");
    rig_peer_close(&peer);
    rig_host_end(host);
}

Test(server, an_inherited_descriptor_is_served_by_every_worker)
{
    uint16_t port;
    int fd = foreign_listener(&port);
    struct cw_server *server = cw_create_server(&cw_tcp);
    struct rig_host *host;

    cw_server_configure(server, &(struct cw_server_options){.workers = 2});
    cw_server_listen(server, &(struct cw_listen_options){.fd = fd});
    host = rig_host_start(server, &(struct cw_hooks){.on_data = rig_echo}, NULL);
    for (int i = 0; i < 20; i++) {
        struct rig_peer peer = rig_peer_tcp(port);
        rig_peer_send_text(&peer, "hello");
        rig_peer_expect(&peer, "hello");
        rig_peer_close(&peer);
    }
    rig_host_end(host);
}

Test(server, an_inherited_unix_socket_is_served_under_its_path_and_left_there)
{
    const char *path = in_folder("inherited");
    int fd = bound_unix(path);
    struct cw_server *server = cw_create_server(&cw_tcp);
    struct rig_host *host;
    struct rig_peer peer;
    char text[128];

    cw_server_listen(server, &(struct cw_listen_options){.fd = fd});
    host = rig_host_start(server, &(struct cw_hooks){.on_data = rig_echo}, NULL);
    snprintf(text, sizeof text, "unix:%s", path);
    cr_expect_str_eq(rig_host_text(host, 0), text);
    peer = rig_peer_unix(path);
    rig_peer_send_text(&peer, "hello");
    rig_peer_expect(&peer, "hello");
    rig_peer_close(&peer);
    rig_host_end(host);
    cr_expect_eq(access(path, F_OK), 0, "whoever made it removes it");
}

Test(server, an_inherited_descriptor_that_does_not_listen_is_refused)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char text[96];

    snprintf(text, sizeof text, "listen descriptor %d: it is not a listening socket", fd);
    expect_no_run(&(struct cw_listen_options){.fd = fd}, CW_EINVAL, text);
    close(fd);
    expect_no_run(&(struct cw_listen_options){.fd = 999}, CW_EOS,
                  "listen descriptor 999: descriptor: Bad file descriptor");
}

/* ---- addresses ---- */

static void expect_echo_from(const char *host, uint16_t port)
{
    struct rig_peer peer = rig_peer_tcp_from(NULL, host, port, 0);

    rig_peer_send_text(&peer, "hello");
    rig_peer_expect(&peer, "hello");
    rig_peer_close(&peer);
}

static struct rig_host *start_at(const char *address, bool ipv6_only)
{
    struct cw_server *server = cw_create_server(&cw_tcp);

    cw_server_listen(server, &(struct cw_listen_options){.host = address, .ipv6_only = ipv6_only});
    return rig_host_start(server, &(struct cw_hooks){.on_data = rig_echo}, NULL);
}

Test(server, without_a_host_both_families_are_served_on_one_port)
{
    struct rig_host *host = start_at(NULL, false);
    char text[32];

    cr_assert_eq(rig_host_listeners(host), 1);
    snprintf(text, sizeof text, "tcp://[::]:%u", rig_host_port(host, 0));
    cr_expect_str_eq(rig_host_text(host, 0), text);
    cr_expect_neq(rig_host_port(host, 0), 0);
    expect_echo_from("127.0.0.1", rig_host_port(host, 0));
    expect_echo_from("::1", rig_host_port(host, 0));
    rig_host_end(host);
}

Test(server, the_unspecified_ipv6_address_takes_ipv4_too)
{
    struct rig_host *host = start_at("::", false);

    expect_echo_from("127.0.0.1", rig_host_port(host, 0));
    expect_echo_from("::1", rig_host_port(host, 0));
    rig_host_end(host);
}

Test(server, ipv6_only_leaves_ipv4_out)
{
    struct rig_host *host = start_at("::", true);

    expect_echo_from("::1", rig_host_port(host, 0));
    cr_expect(!rig_port_is_open(rig_host_port(host, 0)));
    rig_host_end(host);
}

Test(server, ipv6_only_without_a_host_leaves_ipv4_out)
{
    struct rig_host *host = start_at(NULL, true);

    expect_echo_from("::1", rig_host_port(host, 0));
    cr_expect(!rig_port_is_open(rig_host_port(host, 0)));
    rig_host_end(host);
}

static void note_family(struct cw_conn *conn, void *user)
{
    struct rig_story *story = user;

    atomic_store(&story->answer, cw_conn_peer(conn)->family);
    rig_story_on_connection(conn, user);
}

Test(server, an_ipv4_peer_of_a_dual_listener_has_an_ipv4_address)
{
    struct rig_story story = {0};
    struct cw_server *server = cw_create_server(&cw_tcp);
    struct rig_host *host;
    struct rig_peer peer;

    cw_server_listen(server, &(struct cw_listen_options){0});
    host = rig_host_start(server, &(struct cw_hooks){.on_connection = note_family}, &story);
    peer = rig_peer_tcp(rig_host_port(host, 0));
    rig_await(atomic_load(&story.opened) == 1);
    cr_expect_eq(atomic_load(&story.answer), CW_IPV4);
    rig_peer_close(&peer);
    rig_host_end(host);
}

Test(server, a_name_with_two_addresses_is_one_port_on_both)
{
    struct rig_host *host = start_at("localhost", false);

    for (unsigned i = 1; i < rig_host_listeners(host); i++) {
        cr_expect_eq(rig_host_port(host, i), rig_host_port(host, 0));
    }
    expect_echo_from("127.0.0.1", rig_host_port(host, 0));
    rig_host_end(host);
}

/* ---- several listeners ---- */

static void shout(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_conn_send_text(conn, user);
}

Test(server, listeners_have_protocols_hooks_and_users_of_their_own)
{
    struct cw_server *server = rig_server(&cw_framed, NULL);
    struct cw_hooks hooks = {.on_data = shout};
    struct rig_host *host;
    struct rig_peer framed;
    struct rig_peer lines;
    char buffer[16];

    cw_server_listen(server,
                     &(struct cw_listen_options){.host = "127.0.0.1",
                                                 .service = cw_service(&cw_line, &hooks, "line")});
    hooks.on_data = NULL; /* they were copied */
    host = rig_host_start(server, &(struct cw_hooks){.on_data = shout}, "framed");
    cr_assert_eq(rig_host_listeners(host), 2);
    framed = rig_peer_tcp(rig_host_port(host, 0));
    lines = rig_peer_tcp(rig_host_port(host, 1));
    rig_peer_send_frame(&framed, "?", 1);
    cr_expect_eq(rig_peer_receive_frame(&framed, buffer, sizeof buffer), 6);
    cr_expect_eq(memcmp(buffer, "framed", 6), 0);
    rig_peer_send_text(&lines, "?\n");
    rig_peer_expect(&lines, "line\n");
    rig_peer_close(&framed);
    rig_peer_close(&lines);
    rig_host_end(host);
}

/* ---- workers ---- */

struct workers {
    atomic_uint started;
    atomic_uint stopped;
    atomic_uint conns[2];
};

static void on_worker_start(struct cw_server *server, struct cw_loop *loop, void *user)
{
    struct workers *workers = user;

    atomic_fetch_add(&workers->started, 1);
}

static void on_worker_stop(struct cw_server *server, struct cw_loop *loop, void *user)
{
    struct workers *workers = user;

    atomic_fetch_add(&workers->stopped, 1);
}

static void count_worker(struct cw_conn *conn, void *user)
{
    struct workers *workers = user;

    atomic_fetch_add(&workers->conns[cw_loop_worker(cw_conn_loop(conn))], 1);
}

Test(server, two_workers_share_the_connections)
{
    struct workers workers = {0};
    struct cw_hooks hooks = {.on_connection = count_worker,
                             .on_data = rig_echo,
                             .on_worker_start = on_worker_start,
                             .on_worker_stop = on_worker_stop};
    struct rig_host *host = rig_host_start(
        rig_server(&cw_tcp, &(struct cw_server_options){.workers = 2}), &hooks, &workers);

    cr_expect_eq(cw_server_workers(rig_host_server(host)), 2);
    cr_expect_eq(rig_host_listeners(host), 1);
    for (int i = 0; i < 64; i++) { /* all on one worker: once in 2^63 runs */
        expect_echo_from("127.0.0.1", rig_host_port(host, 0));
    }
    cr_expect_gt(atomic_load(&workers.conns[0]), 0);
    cr_expect_gt(atomic_load(&workers.conns[1]), 0);
    cr_expect_eq(atomic_load(&workers.conns[0]) + atomic_load(&workers.conns[1]), 64);
    cr_expect_eq(rig_host_stop(host), CW_OK);
    cr_expect_eq(atomic_load(&workers.started), 2);
    cr_expect_eq(atomic_load(&workers.stopped), 2);
    rig_host_free(host);
}

Test(server, a_stop_frees_the_port_at_once_while_connections_drain)
{
    struct rig_story story = {0};
    struct cw_server_options options = {.drain_ms = 20000};
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, &options), &rig_story_hooks, &story);
    uint16_t port = rig_host_port(host, 0);

    cw_server_stop(rig_host_server(host));
    rig_await(!rig_port_is_open(port));
    rig_host_end(host);
}

Test(server, idle_connections_are_closed_in_good_order_at_stop)
{
    struct rig_story story = {0};
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, NULL), &rig_story_hooks, &story);
    struct rig_peer peer = rig_peer_tcp(rig_host_port(host, 0));

    rig_await(atomic_load(&story.opened) == 1);
    cr_expect_eq(rig_host_stop(host), CW_OK);
    rig_peer_expect_end(&peer);
    cr_expect_eq(atomic_load(&story.closed), 1);
    cr_expect_eq(story.reason.code, CW_BY_STOP);
    cr_expect_eq(atomic_load(&story.errors), 0);
    rig_peer_close(&peer);
    rig_host_free(host);
}

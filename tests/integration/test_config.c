/* Configuration from a file, as those meet it who start a program or connect to it. */
#include "support/host.h"
#include "support/leak.h"
#include "support/peer.h"
#include "support/program.h"
#include "support/scene.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TestSuite(config_file, .fini = rig_expect_no_leak, .timeout = 120);

static char folder[64];
static char path[128];

static void set_text(const char *text)
{
    if (folder[0] == '\0') {
        snprintf(folder, sizeof folder, "/tmp/cw-config-XXXXXX");
        cr_assert_not_null(mkdtemp(folder));
    }
    snprintf(path, sizeof path, "%s/c.yaml", folder);
    FILE *file = fopen(path, "w");

    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

static void forget_text(void)
{
    unlink(path);
    cr_expect_eq(rmdir(folder), 0, "something was left in %s", folder);
}

static void start(struct rig_child *child, const char *name, const char *const *arguments)
{
    if (!rig_program_start(child, name, arguments)) {
        cr_skip_test("the examples were left out of this build");
    }
}

/* The port on the n-th line of what a program has printed, from 0. */
static uint16_t port_of(struct rig_child *child, const char *address, unsigned index)
{
    const char *at = child->text;

    for (unsigned i = 0; at && i <= index; i++) {
        at = strstr(i == 0 ? at : at + 1, address);
    }
    cr_assert_not_null(at, "%s", child->text);
    return (uint16_t)strtoul(at + strlen(address), NULL, 10);
}

static void expect_echo(struct rig_peer peer, const char *data, size_t len)
{
    char got[100];

    rig_peer_send(&peer, data, len);
    rig_peer_receive(&peer, got, len);
    cr_expect_arr_eq(got, data, len);
    rig_peer_close(&peer);
}

Test(config_file, a_program_listens_wherever_its_file_says)
{
    char socket_path[200];
    struct rig_child echo;

    set_text("server:\n"
             "  listeners:\n"
             "    - { protocol: framed, bind: 127.0.0.1, port: 0 }\n"
             "    - { protocol: tcp, port: 0, tls: false }\n"
             "    - { protocol: line, unix: chat.sock }\n"
             "  http: { max_body_size: 5 }\n"
             "  websocket: { compression: true }\n");
    snprintf(socket_path, sizeof socket_path, "%s/chat.sock", folder);
    start(&echo, "echo", (const char *const[]){"--config", path, NULL});
    rig_child_await_text(&echo, "listening on unix:");
    cr_expect_null(strstr(echo.text, "does not speak it"));
    uint16_t framed = port_of(&echo, "tcp://127.0.0.1:", 0);
    uint16_t tcp = port_of(&echo, "tcp://127.0.0.1:", 1);
    expect_echo(rig_peer_tcp(framed), "\0\0\0\5hello", 9);
    expect_echo(rig_peer_tcp(tcp), "hello", 5);
    expect_echo(rig_peer_unix(socket_path), "hello\n", 6);
    rig_program_end(&echo);
    forget_text();
}

Test(config_file, the_command_line_goes_over_the_file)
{
    struct rig_child echo;

    set_text("server:\n  bind: 127.0.0.1\n  port: 1\n  max_frame_size: 5\n"
             "  framed: { max_frame_size: 6 }\n  log: { level: debug }\n");
    start(&echo, "echo",
          (const char *const[]){"--config", path, "--port", "0", "--protocol", "framed",
                                "--max-frame-size", "7", "--quiet", NULL});
    uint16_t port = rig_program_port(&echo);
    cr_expect_neq(port, 1);
    expect_echo(rig_peer_tcp(port), "\0\0\0\7hello!!", 11);
    struct rig_peer peer = rig_peer_tcp(port);
    rig_peer_send(&peer, "\0\0\0\10", 4);
    rig_peer_expect_gone(&peer);
    rig_peer_close(&peer);
    rig_program_end(&echo);
    cr_expect_null(strstr(echo.text, "debug"));
    forget_text();
}

Test(config_file, what_the_command_line_does_not_say_is_the_files)
{
    struct rig_child echo;

    set_text("server:\n  port: 0\n  framed: { max_frame_size: 6 }\n");
    start(&echo, "echo", (const char *const[]){"--config", path, "--protocol", "framed", NULL});
    uint16_t port = rig_program_port(&echo);
    expect_echo(rig_peer_tcp(port), "\0\0\0\6hello!", 10);
    struct rig_peer peer = rig_peer_tcp(port);
    rig_peer_send(&peer, "\0\0\0\7", 4);
    rig_peer_expect_gone(&peer);
    rig_peer_close(&peer);
    rig_program_end(&echo);
    forget_text();
}

Test(config_file, a_place_on_the_command_line_stands_instead_of_all_of_the_file)
{
    struct rig_child echo;

    set_text("server:\n  listeners: [{ port: 1 }, { port: 2 }]\n");
    start(&echo, "echo", (const char *const[]){"--config", path, "--port", "0", NULL});
    expect_echo(rig_peer_tcp(rig_program_port(&echo)), "hello", 5);
    rig_program_end(&echo);
    cr_expect_not_null(strstr(echo.text, "the 2 listeners of"));
    forget_text();
}

Test(config_file, a_file_without_listeners_leaves_the_programs_own)
{
    struct rig_child chat;

    set_text("server:\n  max_connections: 1\n  max_connections_per_ip: 1\n");
    start(&chat, "chat",
          (const char *const[]){"--config", path, "--port", "0", "--tcp-port", "0", NULL});
    uint16_t port = rig_program_port(&chat);
    struct rig_peer peer = rig_peer_tcp(port);
    rig_peer_send_frame(&peer, "{\"type\":\"ping\"}", 15);
    char answer[100] = "";
    rig_peer_receive_frame(&peer, answer, sizeof answer - 1);
    cr_expect_not_null(strstr(answer, "pong"));
    struct rig_peer refused = rig_peer_tcp(port);
    rig_peer_expect_gone(&refused);
    rig_peer_close(&refused);
    rig_peer_close(&peer);
    rig_program_end(&chat);
    forget_text();
}

Test(config_file, a_program_with_a_wrong_file_says_one_line_and_does_not_start)
{
    struct rig_child echo;
    char line[300];

    set_text("server:\n  port: 0\n  tcp:\n    keep_alive_probes: 500\n");
    start(&echo, "echo", (const char *const[]){"--config", path, NULL});
    rig_program_expect_status(&echo, 1);
    snprintf(line, sizeof line,
             "%s:4: server.tcp.keep_alive_probes: 500 is not allowed; 1 to 127\n", path);
    cr_expect_str_eq(echo.text, line);
    forget_text();
}

Test(config_file, each_example_server_loads_the_example_file)
{
    static const struct {
        const char *name;
        const char *const arguments[8];
    } programs[] = {
        {"echo", {"--config", CW_SOURCE_DIR "/examples/causeway.yaml", "--port", "0", NULL}},
        {"chat",
         {"--config", CW_SOURCE_DIR "/examples/causeway.yaml", "--port", "0", "--tcp-port", "0",
          NULL}},
        {"stream",
         {"serve", "--config", CW_SOURCE_DIR "/examples/causeway.yaml", "--port", "0", NULL}},
    };

    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        struct rig_child child;

        start(&child, programs[i].name, programs[i].arguments);
        cr_expect_neq(rig_program_port(&child), 0);
        rig_program_end(&child);
    }
}

/* ---- trusted_proxies ---- */

static void expect_conns(struct rig_host *host, const char *source, int count)
{
    struct rig_peer peers[8];

    for (int i = 0; i < count; i++) {
        peers[i] = rig_peer_tcp_from(source, "127.0.0.1", rig_host_port(host, 0), 0);
        rig_peer_send_text(&peers[i], "hello");
        rig_peer_expect(&peers[i], "hello");
    }
    struct rig_peer refused =
        rig_peer_tcp_from("127.0.0.2", "127.0.0.1", rig_host_port(host, 0), 0);
    struct rig_peer second = rig_peer_tcp_from("127.0.0.2", "127.0.0.1", rig_host_port(host, 0), 0);
    rig_peer_expect_gone(&second);
    rig_peer_close(&second);
    rig_peer_close(&refused);
    for (int i = 0; i < count; i++) {
        rig_peer_close(&peers[i]);
    }
}

Test(config_file, a_trusted_network_is_not_counted_for_the_limit_of_an_address)
{
    struct rig_story story = {0};
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    struct cw_server *server = cw_create_server(&cw_tcp);

    set_text("server:\n  bind: 127.0.0.1\n  port: 0\n  max_connections_per_ip: 1\n"
             "  trusted_proxies: [127.0.1.0/24, \"::1\"]\n");
    cr_assert_eq(cw_config_load(server, path, NULL), CW_OK, "%s", cw_server_error(server));
    struct rig_host *host = rig_host_start(server, &hooks, &story);
    expect_conns(host, "127.0.1.7", 5);
    rig_host_end(host);
    forget_text();
}

Test(config_file, the_option_without_a_file_does_the_same)
{
    struct rig_story story = {0};
    struct cw_hooks hooks = rig_story_with_data(rig_echo);
    char networks[] = "127.0.1.0/24 ::1";
    struct cw_server_options options = {.conns_per_ip_max = 1, .trusted_proxies = networks};
    struct cw_server *server = rig_server(&cw_tcp, &options);

    memset(networks, 'x', sizeof networks - 1); /* it was copied */
    struct rig_host *host = rig_host_start(server, &hooks, &story);
    expect_conns(host, "127.0.1.7", 5);
    rig_host_end(host);
}

/* The echo program as those who start it see it: its lines, its exit codes, its options. */
#include "support/leak.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(echo_program, .fini = rig_expect_no_leak, .timeout = 60);

enum { WAIT_MS = 20000, ARGS_MAX = 12, TEXT_MAX = 4000 };

static const char program[] = CW_BUILD_DIR "/examples/echo/echo";

struct started {
    pid_t pid;
    int out;
    int err;
};

static struct started start(const char *const *args)
{
    if (access(program, X_OK) != 0) {
        cr_skip_test("the examples were left out of this build");
    }
    char *argv[ARGS_MAX + 2] = {(char *)(uintptr_t)program};
    int out[2];
    int err[2];

    for (size_t i = 0; args[i] != NULL && i < ARGS_MAX; i++) {
        argv[i + 1] = (char *)(uintptr_t)args[i];
    }
    cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(err, O_CLOEXEC), 0);
    pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        dup2(err[1], STDERR_FILENO);
        execv(program, argv);
        _exit(127);
    }
    close(out[1]);
    close(err[1]);
    return (struct started){pid, out[0], err[0]};
}

/* Reads until a line is complete or, with `all`, until the end. */
static void read_text(int fd, bool all, char *text)
{
    size_t len = 0;
    bool more = true;

    while (more && len < TEXT_MAX - 1) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        cr_assert_eq(poll(&ready, 1, WAIT_MS), 1);
        ssize_t got = read(fd, text + len, TEXT_MAX - 1 - len);
        cr_assert_geq(got, 0);
        len += (size_t)got;
        more = got > 0 && (all || text[len - 1] != '\n');
    }
    text[len] = '\0';
}

static int exit_code(struct started *started)
{
    int status = 0;

    cr_assert_eq(waitpid(started->pid, &status, 0), started->pid);
    close(started->out);
    close(started->err);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int stop(struct started *started)
{
    kill(started->pid, SIGTERM);
    return exit_code(started);
}

/* Starts it on a free port and connects. */
static int connect_to(struct started *started, const char *const *args)
{
    static const char start_of_line[] = "listening on tcp://127.0.0.1:";
    char text[TEXT_MAX];
    struct sockaddr_in address = {.sin_family = AF_INET};

    *started = start(args);
    read_text(started->out, false, text);
    cr_assert_eq(strncmp(text, start_of_line, sizeof start_of_line - 1), 0, "%s", text);
    address.sin_port = htons((uint16_t)strtoul(text + sizeof start_of_line - 1, NULL, 10));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(peer, 0);
    cr_assert_eq(connect(peer, (struct sockaddr *)&address, sizeof address), 0);
    return peer;
}

static void send_all(int peer, const char *data, size_t len)
{
    cr_assert_eq(send(peer, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* Receives until there is as much as expected, or the end. */
static void expect_bytes(int peer, const char *data, size_t len)
{
    char got[200];
    size_t have = 0;

    while (have < len) {
        struct pollfd ready = {.fd = peer, .events = POLLIN};
        cr_assert_eq(poll(&ready, 1, WAIT_MS), 1);
        ssize_t count = recv(peer, got + have, sizeof got - have, 0);
        cr_assert_gt(count, 0);
        have += (size_t)count;
    }
    cr_expect_eq(have, len);
    cr_expect_arr_eq(got, data, len);
}

static void expect_end(int peer)
{
    char byte;
    struct pollfd ready = {.fd = peer, .events = POLLIN};

    cr_assert_eq(poll(&ready, 1, WAIT_MS), 1);
    cr_expect_leq(recv(peer, &byte, 1, 0), 0);
}

static void expect_echo(const char *protocol, const char *data, size_t len)
{
    struct started started;
    int peer =
        connect_to(&started, (const char *const[]){"--protocol", protocol, "--port", "0", NULL});

    send_all(peer, data, len);
    expect_bytes(peer, data, len);
    close(peer);
    cr_expect_eq(stop(&started), 0);
}

Test(echo_program, each_protocol_sends_back_what_it_receives)
{
    expect_echo("tcp", "hello", 5);
    expect_echo("framed", "\0\0\0\5hello", 9);
    expect_echo("line", "hello\n", 6);
}

Test(echo_program, the_frame_limit_of_the_command_line_is_exact)
{
    struct started started;
    int peer =
        connect_to(&started, (const char *const[]){"--protocol", "framed", "--port", "0",
                                                   "--max-frame-size", "5", "--quiet", NULL});

    send_all(peer, "\0\0\0\5hello", 9);
    expect_bytes(peer, "\0\0\0\5hello", 9);
    send_all(peer, "\0\0\0\6", 4);
    expect_end(peer);
    close(peer);
    cr_expect_eq(stop(&started), 0);
}

Test(echo_program, lines_have_the_limit_of_the_command_line_too)
{
    struct started started;
    int peer =
        connect_to(&started, (const char *const[]){"--protocol", "line", "--port", "0",
                                                   "--max-frame-size", "5", "--quiet", NULL});

    send_all(peer, "hello\n", 6);
    expect_bytes(peer, "hello\n", 6);
    send_all(peer, "hello!\n", 7);
    expect_end(peer);
    close(peer);
    cr_expect_eq(stop(&started), 0);
}

Test(echo_program, a_half_open_peer_gets_its_answer_and_then_the_end)
{
    struct started started;
    int peer = connect_to(&started, (const char *const[]){"--port", "0", "--half-open", NULL});

    send_all(peer, "hello", 5);
    cr_assert_eq(shutdown(peer, SHUT_WR), 0);
    expect_bytes(peer, "hello", 5);
    expect_end(peer);
    close(peer);
    cr_expect_eq(stop(&started), 0);
}

Test(echo_program, an_idle_connection_ends_after_the_time_of_the_command_line)
{
    struct started started;
    int peer = connect_to(
        &started, (const char *const[]){"--port", "0", "--idle-timeout", "200ms", "--quiet", NULL});

    expect_end(peer);
    close(peer);
    cr_expect_eq(stop(&started), 0);
}

static void expect_refusal(const char *const *args, const char *part)
{
    struct started started = start(args);
    char out[TEXT_MAX];
    char err[TEXT_MAX];

    read_text(started.out, true, out);
    read_text(started.err, true, err);
    cr_expect_eq(exit_code(&started), 1);
    cr_expect_str_empty(out);
    cr_expect_not_null(strstr(err, part), "%s", err);
    cr_expect_eq(strchr(err, '\n'), err + strlen(err) - 1, "not one line: %s", err);
}

Test(echo_program, what_it_cannot_do_is_one_line_and_exit_code_1)
{
    expect_refusal((const char *const[]){"--prot", "tcp", NULL}, "unknown option --prot");
    expect_refusal((const char *const[]){"--unix", "/no/such/folder/x", NULL}, "/no/such/folder/x");
    expect_refusal(
        (const char *const[]){"--max-connections", "5", "--max-connections-per-ip", "6", NULL},
        "conns_per_ip_max");
}

Test(echo_program, help_goes_to_standard_output_with_exit_code_0)
{
    struct started started = start((const char *const[]){"--help", NULL});
    char out[TEXT_MAX];
    char err[TEXT_MAX];

    read_text(started.out, true, out);
    read_text(started.err, true, err);
    cr_expect_eq(exit_code(&started), 0);
    cr_expect_not_null(strstr(out, "--protocol tcp|framed|line"));
    cr_expect_str_empty(err);
}

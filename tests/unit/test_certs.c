/* ./dev certs as those who call it see it: what it makes, and what it leaves alone. */
#include "support/child.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static void open_folder(void)
{
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
    strcpy(folder, "/tmp/causeway-certs-XXXXXX");
    rig_check(mkdtemp(folder));
}

#define WORDS(...) ((char *[]){__VA_ARGS__, NULL})

static void close_folder(void)
{
    struct rig_child child;

    if (folder[0] != '\0') {
        rig_child_start(&child, "/bin/rm", WORDS("rm", "-rf", folder));
        rig_check(rig_child_join(&child) == 0);
    }
    rig_expect_no_leak();
}

TestSuite(certs, .init = open_folder, .fini = close_folder, .timeout = 60);

/* A path in the folder. Valid until the next call but three. */
static char *in_folder(const char *name)
{
    static char paths[4][128];
    static size_t next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int certs(struct rig_child *child, char *option, char *where)
{
    char *command = (char *)(uintptr_t)CW_SOURCE_DIR "/dev";

    rig_child_start(child, command,
                    option ? WORDS(command, "certs", option, where)
                           : WORDS(command, "certs", where));
    return rig_child_join(child);
}

static unsigned mode_of(const char *path)
{
    struct stat found;

    rig_check(lstat(path, &found) == 0);
    return found.st_mode & 07777;
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    rig_check(file);
    rig_check(fputs(text, file) >= 0);
    rig_check(fclose(file) == 0);
}

static void expect_first_line(const char *path, const char *expected)
{
    char line[128] = "";
    FILE *file = fopen(path, "re");

    rig_check(file);
    rig_check(fgets(line, sizeof line, file));
    fclose(file);
    cr_expect_str_eq(line, expected);
}

static bool is_there(const char *path)
{
    return access(path, F_OK) == 0;
}

Test(certs, a_new_folder_and_its_keys_are_private)
{
    struct rig_child child;

    cr_assert_eq(certs(&child, NULL, in_folder("new/one two")), 0, "%s", child.text);
    cr_expect_eq(mode_of(in_folder("new/one two")), 0700);
    cr_expect_eq(mode_of(in_folder("new/one two/ca.key")), 0600);
    cr_expect_eq(mode_of(in_folder("new/one two/server.key")), 0600);
    cr_expect_eq(mode_of(in_folder("new/one two/client.key")), 0600);
}

static void expect_good(char *purpose, const char *name)
{
    struct rig_child child;

    rig_child_start(&child, "/usr/bin/env",
                    WORDS("env", "openssl", "verify", "-x509_strict", "-CAfile",
                          in_folder("ca.pem"), "-purpose", purpose, "-verify_hostname", "localhost",
                          "-verify_ip", "127.0.0.1", in_folder(name)));
    cr_expect_eq(rig_child_join(&child), 0, "%s: %s", name, child.text);
}

Test(certs, server_and_client_are_good_for_this_machine)
{
    struct rig_child child;

    cr_assert_eq(certs(&child, NULL, folder), 0, "%s", child.text);
    expect_good("sslserver", "server.pem");
    expect_good("sslclient", "client.pem");
}

Test(certs, it_says_what_they_are_for_and_how_to_try_them)
{
    struct rig_child child;

    cr_assert_eq(certs(&child, NULL, folder), 0, "%s", child.text);
    cr_expect_not_null(strstr(child.text, "For trying out only"), "%s", child.text);
    cr_expect_not_null(strstr(child.text, "./dev chat --tls-cert /tmp/"), "%s", child.text);
    cr_expect_not_null(strstr(child.text, "openssl s_client"), "%s", child.text);
}

/* The command behind `begin` in what was printed, with the lines that a `\\` joins to it. */
static void copy_command(char *command, size_t cap, const char *text, const char *begin)
{
    const char *start = strstr(text, begin);

    rig_check(start != NULL);
    const char *end = strchr(start, '\n');
    while (end != NULL && end[-1] == '\\') {
        end = strchr(end + 1, '\n');
    }
    rig_check(end != NULL && (size_t)(end - start) < cap);
    memcpy(command, start, (size_t)(end - start));
    command[end - start] = '\0';
}

static void run_shell(struct rig_child *child, const char *command)
{
    char *words[] = {(char[]){"sh"}, (char[]){"-c"}, (char *)(uintptr_t)command, NULL};

    rig_child_start_fed(child, "/bin/sh", words);
}

/* The server of this build in place of `./dev run echo`, on any free port. */
static void run_server(struct rig_child *server, const char *printed)
{
    char command[2000];
    char shell[3000];

    copy_command(command, sizeof command, printed, "./dev run echo ");
    snprintf(shell, sizeof shell, "exec %s/examples/echo/echo --port 0 %s", CW_BUILD_DIR,
             command + strlen("./dev run echo "));
    run_shell(server, shell);
}

static unsigned port_of(struct rig_child *server)
{
    unsigned port = 0;

    rig_child_await_text(server, "listening on tls://127.0.0.1:");
    rig_check(sscanf(strstr(server->text, "127.0.0.1:"), "127.0.0.1:%u", &port) == 1);
    return port;
}

static void run_peer(struct rig_child *peer, const char *printed, unsigned port)
{
    static const char begin[] = "openssl s_client -quiet -connect 127.0.0.1:7000 ";
    char command[2000];
    char shell[3000];

    copy_command(command, sizeof command, printed, begin);
    snprintf(shell, sizeof shell, "exec openssl s_client -quiet -connect 127.0.0.1:%u %s", port,
             command + strlen(begin));
    run_shell(peer, shell);
}

/* Tries the first server and the first peer that are printed behind `from`. */
static void expect_true(const char *printed, const char *from)
{
    struct rig_child server;
    struct rig_child peer;
    const char *rest = strstr(printed, from);

    rig_check(rest != NULL);
    run_server(&server, rest);
    run_peer(&peer, rest, port_of(&server));
    rig_child_type(&peer, "and it comes back");
    rig_child_await_text(&peer, "and it comes back");
    rig_child_signal(&peer, SIGTERM);
    rig_child_join(&peer);
    rig_child_signal(&server, SIGTERM);
    cr_expect_eq(rig_child_join(&server), 0, "%s", server.text);
}

Test(certs, the_commands_that_it_prints_are_true)
{
    struct rig_child child;

    if (access(CW_BUILD_DIR "/examples/echo/echo", X_OK) != 0) {
        cr_skip_test("the examples were left out of this build");
    }
    cr_assert_eq(certs(&child, NULL, in_folder("one two")), 0, "%s", child.text);
    expect_true(child.text, "A server, and a peer");
    expect_true(child.text, "The same, with clients");
}

Test(certs, quiet_is_one_line)
{
    struct rig_child child;

    cr_assert_eq(certs(&child, (char[]){"--quiet"}, folder), 0, "%s", child.text);
    cr_expect_null(strstr(child.text, "A server"), "%s", child.text);
    cr_expect_not_null(strstr(child.text, "for trying out only"), "%s", child.text);
}

Test(certs, a_key_that_is_there_is_left_alone)
{
    struct rig_child child;

    write_file(in_folder("server.key"), "precious\n");
    cr_expect_eq(certs(&child, NULL, folder), 1, "%s", child.text);
    cr_expect_not_null(strstr(child.text, "has these already: server.key."), "%s", child.text);
    cr_expect_not_null(strstr(child.text, "--force"), "%s", child.text);
    expect_first_line(in_folder("server.key"), "precious\n");
    cr_expect_not(is_there(in_folder("ca.pem")));
}

Test(certs, what_is_there_is_replaced_when_that_is_asked_for)
{
    struct rig_child child;

    write_file(in_folder("server.key"), "old\n");
    cr_assert_eq(certs(&child, (char[]){"--force"}, folder), 0, "%s", child.text);
    expect_first_line(in_folder("server.key"), "-----BEGIN PRIVATE KEY-----\n");
    cr_expect_eq(mode_of(in_folder("server.key")), 0600);
    expect_good("sslserver", "server.pem");
}

Test(certs, a_link_is_replaced_and_what_it_leads_to_is_left_alone)
{
    struct rig_child child;

    write_file(in_folder("elsewhere"), "precious\n");
    rig_check(symlink("elsewhere", in_folder("ca.key")) == 0);
    rig_check(symlink("nowhere", in_folder("client.key")) == 0);
    cr_expect_eq(certs(&child, NULL, folder), 1, "%s", child.text);
    cr_expect_not_null(strstr(child.text, "already: ca.key client.key."), "%s", child.text);
    cr_expect_eq(certs(&child, (char[]){"--force"}, folder), 0, "%s", child.text);
    expect_first_line(in_folder("elsewhere"), "precious\n");
    expect_first_line(in_folder("ca.key"), "-----BEGIN PRIVATE KEY-----\n");
    cr_expect_not(is_there(in_folder("nowhere")));
}

Test(certs, a_folder_that_is_there_keeps_its_mode_and_its_files)
{
    struct rig_child child;

    rig_check(chmod(folder, 0755) == 0);
    write_file(in_folder("notes"), "mine\n");
    cr_assert_eq(certs(&child, NULL, folder), 0, "%s", child.text);
    cr_expect_eq(mode_of(folder), 0755);
    expect_first_line(in_folder("notes"), "mine\n");
}

Test(certs, a_file_is_no_folder_and_an_unknown_option_is_refused)
{
    struct rig_child child;

    write_file(in_folder("file"), "mine\n");
    cr_expect_eq(certs(&child, NULL, in_folder("file")), 1, "%s", child.text);
    cr_expect_not_null(strstr(child.text, "is a file; name a folder"), "%s", child.text);
    cr_expect_eq(certs(&child, (char[]){"--for"}, folder), 2, "%s", child.text);
    cr_expect_not_null(strstr(child.text, "./dev certs [--force] [--quiet] [FOLDER]"), "%s",
                       child.text);
}

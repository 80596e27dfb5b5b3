/* The example programs over TLS, as those who start them see them: openssl as the other side of echo, the chat's
 * terminal, what stream and file send, and what each refusal says. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/program.h"
#include "support/secure.h"
#include "support/wait.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORDS_MAX = 20, ADDRESS_CAP = 40 };

static void need_certificates(void)
{
    if (!pki_made() || !rig_has_program("openssl")) {
        cr_skip_test("the openssl command is missing");
    }
}

TestSuite(echo_tls_program, .init = need_certificates, .fini = rig_expect_no_leak, .timeout = 120);

#define WORDS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static void append(const char **words, const char *const *more)
{
    size_t count = 0;

    while (words[count] != NULL) {
        count++;
    }
    while (*more != NULL) {
        rig_check(count < WORDS_MAX);
        words[count++] = *more++;
    }
    words[count] = NULL;
}

/* Starts one with its certificate. Returns the port. */
static uint16_t serve(struct rig_child *server, const char *name, const char *const *options)
{
    const char *words[WORDS_MAX + 1] = {NULL};
    bool is_file = strcmp(name, "file") == 0;

    append(words, strcmp(name, "stream") == 0 || is_file ? WORDS("serve") : WORDS(NULL));
    append(words, strcmp(name, "chat") == 0 ? WORDS("--tcp-port", "0") : WORDS(NULL));
    append(words,
           WORDS("--port", "0", "--tls-cert", pki("server.pem"), "--tls-key", pki("server.key")));
    append(words, options);
    if (!rig_program_start(server, name, words)) {
        cr_skip_test("the examples were left out of this build");
    }
    return rig_program_port_of(server, "tls");
}

static const char *address_of(uint16_t port)
{
    static char address[ADDRESS_CAP];

    snprintf(address, sizeof address, "tls://localhost:%u", port);
    return address;
}

/* ---- echo and openssl ---- */

static void start_s_client(struct rig_child *child, uint16_t port, const char *const *options)
{
    char address[ADDRESS_CAP];
    const char *words[WORDS_MAX + 1] = {"env",
                                        "openssl",
                                        "s_client",
                                        "-quiet",
                                        "-verify_return_error",
                                        "-verify_hostname",
                                        "localhost",
                                        "-CAfile",
                                        pki("ca.pem"),
                                        "-connect",
                                        address};

    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    append(words, options);
    rig_child_start_fed(child, "/usr/bin/env", (char *const *)(uintptr_t)words);
}

static void end_s_client(struct rig_child *child)
{
    rig_child_signal(child, SIGTERM);
    rig_child_join(child);
}

static void expect_echo(uint16_t port, const char *const *options)
{
    struct rig_child peer;

    start_s_client(&peer, port, options);
    rig_child_type(&peer, "as it was said");
    rig_child_await_text(&peer, "as it was said");
    end_s_client(&peer);
}

Test(echo_tls_program, it_answers_openssl_which_verifies_its_certificate)
{
    struct rig_child server;
    uint16_t port = serve(&server, "echo", WORDS("--protocol", "line"));

    expect_echo(port, WORDS("-tls1_2"));
    rig_program_end(&server);
}

Test(echo_tls_program, a_client_without_the_certificate_that_is_required_is_refused)
{
    struct rig_child server;
    struct rig_child peer;
    uint16_t port = serve(&server, "echo",
                          WORDS("--protocol", "line", "--tls-ca", pki("ca.pem"), "--tls-crl",
                                pki("crl.pem"), "--tls-require-client-cert"));

    expect_echo(port, WORDS("-cert", pki("client.pem"), "-key", pki("client.key")));
    start_s_client(&peer, port, WORDS("-tls1_2"));
    cr_expect_eq(rig_child_join(&peer), 1, "%s", peer.text);
    rig_child_await_text(&server, "the peer has shown no certificate");
    rig_child_forget(&server);
    start_s_client(
        &peer, port,
        WORDS("-tls1_2", "-cert", pki("client_revoked.pem"), "-key", pki("client_revoked.key")));
    cr_expect_eq(rig_child_join(&peer), 1, "%s", peer.text);
    rig_child_await_text(&server, "revoked");
    rig_program_end(&server);
}

Test(echo_tls_program, a_certificate_that_is_only_requested_may_be_missing)
{
    struct rig_child server;
    uint16_t port =
        serve(&server, "echo",
              WORDS("--protocol", "line", "--tls-ca", pki("ca.pem"), "--tls-request-client-cert"));

    expect_echo(port, WORDS(NULL));
    rig_program_end(&server);
}

Test(echo_tls_program, alpn_and_ciphers_are_those_of_the_command_line)
{
    struct rig_child server;
    struct rig_child peer;
    uint16_t port = serve(&server, "echo",
                          WORDS("--tls-alpn", "echo/2,echo/1", "--tls-ciphers",
                                "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"));

    start_s_client(&peer, port, WORDS("-tls1_2", "-alpn", "echo/1", "-no_ign_eof", "-brief"));
    rig_child_await_text(&peer, "ECDHE-ECDSA-AES128-GCM-SHA256");
    end_s_client(&peer);
    start_s_client(&peer, port, WORDS("-tls1_2", "-alpn", "echo/3"));
    cr_expect_eq(rig_child_join(&peer), 1, "%s", peer.text);
    rig_program_end(&server);
}

Test(echo_tls_program, the_passphrase_of_a_key_comes_from_the_environment)
{
    struct rig_child server;

    rig_check(setenv("CW_TEST_PASSPHRASE", "secret", 1) == 0);
    uint16_t port = serve(&server, "echo",
                          WORDS("--protocol", "line", "--tls-key", pki("server_pass.key"),
                                "--tls-passphrase-env", "CW_TEST_PASSPHRASE"));
    expect_echo(port, WORDS(NULL));
    rig_program_end(&server);
}

Test(echo_tls_program, the_certificate_of_the_command_line_goes_with_the_rest_of_a_file)
{
    struct rig_child server;
    char path[] = "/tmp/causeway-tls-XXXXXX";
    static const char text[] = "server:\n  max_connections: 7\n";
    int fd = mkstemp(path);

    rig_check(fd >= 0 && write(fd, text, sizeof text - 1) == (ssize_t)(sizeof text - 1));
    close(fd);
    uint16_t port = serve(&server, "echo", WORDS("--protocol", "line", "--config", path));
    expect_echo(port, WORDS(NULL));
    rig_program_end(&server);
    rig_check(unlink(path) == 0);
}

static bool is_one_line(const char *text)
{
    const char *end = strchr(text, '\n');

    return end != NULL && end[1] == '\0';
}

static void expect_wrong(const char *const *words, const char *part)
{
    struct rig_child program;

    if (!rig_program_start(&program, "echo", words)) {
        cr_skip_test("the examples were left out of this build");
    }
    cr_expect_eq(rig_child_join(&program), 1, "%s", program.text);
    cr_expect_not_null(strstr(program.text, part), "%s is not in: %s", part, program.text);
    cr_expect(is_one_line(program.text), "%s", program.text);
}

Test(echo_tls_program, what_is_wrong_with_the_options_is_one_line_and_exit_code_1)
{
    const char *cert = pki("server.pem");
    const char *key = pki("server.key");

    expect_wrong(WORDS("--tls-key", key), "--tls-key needs --tls-cert FILE");
    expect_wrong(WORDS("--tls-cert", cert, "--tls-key", key, "--tls-require-client-cert"),
                 "--tls-require-client-cert needs --tls-ca FILE");
    expect_wrong(WORDS("--port", "0", "--tls-cert", "no/such.pem", "--tls-key", key),
                 "no/such.pem: no such file");
    expect_wrong(WORDS("--port", "0", "--tls-cert", cert, "--tls-key", pki("other.key")),
                 "server.pem");
    expect_wrong(WORDS("--port", "0", "--tls-cert", cert, "--tls-key", pki("server_pass.key")),
                 "passphrase");
    expect_wrong(WORDS("--port", "0", "--tls-cert", cert, "--tls-key", key, "--tls-ciphers", "NULL"),
                 "NULL");
}

/* ---- the chat ---- */

static void sit_down(struct rig_child *terminal, const char *address, const char *const *options)
{
    const char *words[WORDS_MAX + 1] = {"--connect", address, "--room", "tea"};

    append(words, options);
    rig_check(rig_program_start_fed(terminal, "chat", words));
}

static void leave(struct rig_child *terminal)
{
    rig_child_type(terminal, "/quit");
    rig_program_expect_status(terminal, 0);
}

Test(echo_tls_program, the_chat_says_what_it_speaks_with)
{
    struct rig_child server;
    struct rig_child terminal;
    uint16_t port = serve(&server, "chat", WORDS(NULL));

    sit_down(&terminal, address_of(port), WORDS("--tls-ca", pki("ca.pem")));
    rig_child_await_text(&terminal, "* you are in tea, ");
    cr_expect_not_null(strstr(terminal.text, "* encrypted: TLSv1."), "%s", terminal.text);
    cr_expect_not_null(strstr(terminal.text, ", verified\n"), "%s", terminal.text);
    leave(&terminal);
    rig_program_end(&server);
}

Test(echo_tls_program, the_chat_says_that_an_unverified_server_is_unverified)
{
    struct rig_child server;
    struct rig_child terminal;
    uint16_t port = serve(&server, "chat", WORDS(NULL));

    sit_down(&terminal, address_of(port), WORDS("--tls-insecure"));
    rig_child_await_text(&terminal, "* you are in tea, ");
    cr_expect_not_null(strstr(terminal.text, "NOT VERIFIED: "), "%s", terminal.text);
    leave(&terminal);
    rig_program_end(&server);
}

/* The line that begins with a time and `! `, up to its end. */
static void expect_refusal(const char *address, const char *const *options, const char *sentence)
{
    struct rig_child terminal;

    sit_down(&terminal, address, options);
    rig_child_await_text(&terminal, sentence);
    rig_program_expect_status(&terminal, 1);
    cr_expect(is_one_line(terminal.text), "%s", terminal.text);
}

Test(echo_tls_program, the_chat_refuses_a_server_that_nobody_it_trusts_has_signed)
{
    struct rig_child server;
    uint16_t port = serve(&server, "chat", WORDS(NULL));

    expect_refusal(address_of(port), WORDS(NULL), "signed by an unknown CA");
    expect_refusal(address_of(port), WORDS("--tls-ca", pki("rogue_ca.pem")), "unknown CA");
    expect_refusal(address_of(port), WORDS("--tls-ca", pki("ca.pem"), "--tls-name", "alt.example"),
                   "not for alt.example");
    expect_refusal(address_of(port),
                   WORDS("--tls-fingerprint",
                         "0000000000000000000000000000000000000000000000000000000000000000"),
                   "fingerprint");
    rig_program_end(&server);
}

Test(echo_tls_program, a_pinned_certificate_needs_no_ca)
{
    struct rig_child server;
    struct rig_child terminal;
    char fingerprint[65];
    FILE *file = fopen(pki("server.sha256"), "re");

    rig_check(file != NULL && fgets(fingerprint, sizeof fingerprint, file) != NULL);
    fclose(file);
    uint16_t port = serve(&server, "chat", WORDS(NULL));
    sit_down(&terminal, address_of(port), WORDS("--tls-fingerprint", fingerprint));
    rig_child_await_text(&terminal, "* you are in tea, ");
    leave(&terminal);
    rig_program_end(&server);
}

Test(echo_tls_program, the_chat_shows_its_own_certificate_when_asked)
{
    struct rig_child server;
    struct rig_child terminal;
    uint16_t port =
        serve(&server, "chat", WORDS("--tls-ca", pki("ca.pem"), "--tls-require-client-cert"));

    sit_down(&terminal, address_of(port),
             WORDS("--tls-ca", pki("ca.pem"), "--tls-cert", pki("client.pem"), "--tls-key",
                   pki("client.key")));
    rig_child_await_text(&terminal, "* you are in tea, ");
    leave(&terminal);
    sit_down(&terminal, address_of(port), WORDS("--tls-ca", pki("ca.pem")));
    rig_child_await_text(&terminal, "! ");
    leave(&terminal);
    rig_program_end(&server);
}

/* ---- stream and file ---- */

static void expect_sent(const char *name, const char *const *words, int status, const char *sentence)
{
    struct rig_child program;

    rig_check(rig_program_start(&program, name, words));
    cr_expect_eq(rig_child_join(&program), status, "%s", program.text);
    cr_expect_not_null(strstr(program.text, sentence), "%s", program.text);
}

Test(echo_tls_program, a_stream_of_packets_is_acknowledged)
{
    struct rig_child server;
    const char *address = address_of(serve(&server, "stream", WORDS(NULL)));

    expect_sent("stream", WORDS("send", address, "--tls-ca", pki("ca.pem"), "--packets", "200"), 0,
                "lost 0\n");
    expect_sent("stream", WORDS("send", address, "--packets", "200"), 1,
                ": tls: the certificate is signed by an unknown CA");
    rig_program_end(&server);
}

static void check_copy(const char *path, const char *copy)
{
    struct stat original;
    struct stat received;

    rig_check(stat(path, &original) == 0 && stat(copy, &received) == 0);
    cr_expect_eq(original.st_size, received.st_size);
    rig_check(unlink(copy) == 0);
}

Test(echo_tls_program, a_file_arrives_whole_by_either_way)
{
    struct rig_child server;
    char folder[] = "/tmp/causeway-tls-XXXXXX";
    char copy[64];

    rig_check(mkdtemp(folder) != NULL);
    snprintf(copy, sizeof copy, "%s/server.pem", folder);
    const char *address = address_of(serve(&server, "file", WORDS("--dir", folder)));
    expect_sent("file", WORDS("send", address, pki("server.pem"), "--tls-ca", pki("ca.pem")), 0,
                "sent server.pem: ");
    check_copy(pki("server.pem"), copy);
    expect_sent("file",
                WORDS("send", address, pki("server.pem"), "--tls-ca", pki("ca.pem"), "--sendfile"),
                0, "sent server.pem: ");
    check_copy(pki("server.pem"), copy);
    expect_sent("file", WORDS("send", address, pki("server.pem")), 1,
                ": tls: the certificate is signed by an unknown CA");
    rig_program_end(&server);
    rig_check(rmdir(folder) == 0);
}

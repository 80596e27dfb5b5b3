/* A program that runs by a file and is told by SIGHUP that the file has changed: what is new, what needs a new start, and
 * what a file that does not pass leaves as it was. */
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

static void need_tools(void)
{
    if (!pki_made() || !rig_has_program("openssl")) {
        cr_skip_test("the openssl command is missing");
    }
}

TestSuite(config_program, .init = need_tools, .fini = rig_expect_no_leak, .timeout = 120);

/* The folder of the file, its certificate and its key. */
static struct {
    char folder[64];
    char file[96];
    char cert[96];
    char key[96];
    struct rig_child echo;
    uint16_t port;
} stage;

static void copy_file(const char *from, const char *to)
{
    char bytes[16384];
    FILE *in = fopen(from, "re");
    FILE *out = fopen(to, "we");
    size_t len;

    rig_check(in && out);
    len = fread(bytes, 1, sizeof bytes, in);
    rig_check(fwrite(bytes, 1, len, out) == len);
    rig_check(fclose(in) == 0);
    rig_check(fclose(out) == 0);
    rig_check(chmod(to, 0600) == 0);
}

static void put_certificate(const char *cert, const char *key)
{
    copy_file(pki(cert), stage.cert);
    copy_file(pki(key), stage.key);
}

/* From line 5 on the file is the test's. */
static void write_down(const char *rest)
{
    FILE *file = fopen(stage.file, "we");

    rig_check(file);
    fprintf(file,
            "server:\n  bind: 127.0.0.1\n  port: 0\n"
            "  tls: {enabled: true, cert: cert.pem, key: key.pem}\n%s",
            rest);
    rig_check(fclose(file) == 0);
}

static void begin(const char *rest)
{
    memset(&stage, 0, sizeof stage);
    snprintf(stage.folder, sizeof stage.folder, "/tmp/causeway-file-XXXXXX");
    rig_check(mkdtemp(stage.folder));
    snprintf(stage.file, sizeof stage.file, "%s/server.yaml", stage.folder);
    snprintf(stage.cert, sizeof stage.cert, "%s/cert.pem", stage.folder);
    snprintf(stage.key, sizeof stage.key, "%s/key.pem", stage.folder);
    put_certificate("server.pem", "server.key");
    write_down(rest);
    if (!rig_program_start(
            &stage.echo, "echo",
            (const char *const[]){"--protocol", "line", "--config", stage.file, NULL})) {
        cr_skip_test("the examples were left out of this build");
    }
    stage.port = rig_program_port_of(&stage.echo, "tls");
}

static void end(void)
{
    rig_program_end(&stage.echo);
    rig_check(unlink(stage.file) == 0);
    rig_check(unlink(stage.cert) == 0);
    rig_check(unlink(stage.key) == 0);
    rig_check(rmdir(stage.folder) == 0);
}

static void hang_up(const char *answer)
{
    rig_program_forget(&stage.echo);
    rig_child_signal(&stage.echo, SIGHUP);
    rig_child_await_text(&stage.echo, answer);
}

/* What openssl, which verifies it, sees of a new connection. */
static void expect_shown(const char *name)
{
    struct rig_child child;
    char command[512];
    char subject[64];

    snprintf(command, sizeof command,
             "openssl s_client -connect 127.0.0.1:%u -CAfile %s -verify_return_error "
             "-verify_hostname localhost </dev/null 2>&1",
             stage.port, pki("ca.pem"));
    snprintf(subject, sizeof subject, "subject=O = Causeway tests, CN = %s\n", name);
    cr_expect_eq(rig_run_words(&child, RIG_WORDS("sh", "-c", command)), 0, "%s", child.text);
    cr_expect_not_null(strstr(child.text, subject), "%s in: %s", subject, child.text);
}

static struct rig_child visit(void)
{
    struct rig_child child;
    char address[32];

    snprintf(address, sizeof address, "127.0.0.1:%u", stage.port);
    rig_start_words_fed(&child, RIG_WORDS("openssl", "s_client", "-quiet", "-CAfile", pki("ca.pem"),
                                          "-verify_return_error", "-connect", address));
    return child;
}

/* It stays at the end of its own input. */
static void leave(struct rig_child *child)
{
    rig_child_signal(child, SIGTERM);
    rig_child_join(child);
}

static void talk(struct rig_child *child)
{
    rig_child_forget(child);
    rig_child_type(child, "as it was said");
    rig_child_await_text(child, "as it was said");
}

Test(config_program, a_hangup_brings_certificates_and_limits_and_says_what_needs_a_new_start)
{
    struct rig_child old;
    struct rig_child idle;
    struct rig_child refused;

    begin("  max_connections: 50\n  tcp: {timeout: 3600}\n");
    expect_shown("server");
    old = visit();
    talk(&old);
    put_certificate("next.pem", "next.key");
    write_down("  max_connections: 2\n  workers: 2\n  tcp: {timeout: 1500ms}\n"
               "  log: {level: debug}\n");
    hang_up(
        "reload: changed: certificates of 1 listener, conns_max, conns_per_ip_max, idle_ms, log level; "
        "unchanged until a new start: server.workers\n");
    expect_shown("next");
    talk(&old);
    idle = visit();
    talk(&idle);
    refused = visit();
    cr_expect_neq(rig_child_join(&refused), 0, "two are the most, this was the third");
    rig_child_join(&idle); /* at its new time-out */
    talk(&old);            /* its own is the old one */
    leave(&old);
    end();
}

Test(config_program, a_hangup_with_a_file_that_does_not_pass_names_the_place_and_changes_nothing)
{
    struct rig_child peer;

    begin("  max_connections: 50\n  tcp: {timeout: 3600}\n");
    put_certificate("next.pem", "next.key");
    write_down("  max_connections: 1\n  tcp: {tiemout: 1}\n");
    hang_up("server.yaml:6: server.tcp.tiemout: unknown key; did you mean timeout?");
    expect_shown("server");
    peer = visit();
    talk(&peer);
    expect_shown("server"); /* a second one beside it: max_connections is what it was */
    write_down("  max_connections: [\n");
    hang_up("server.yaml:");
    write_down("  max_connections: many\n");
    hang_up("server.yaml:5: server.max_connections: ");
    talk(&peer);
    write_down("  max_connections: 50\n  tcp: {timeout: 3600}\n");
    hang_up("reload: changed: certificates of 1 listener");
    expect_shown("next");
    talk(&peer);
    leave(&peer);
    end();
}

Test(config_program, a_key_that_does_not_belong_to_the_certificate_keeps_the_old_pair)
{
    begin("");
    copy_file(pki("next.pem"), stage.cert);
    hang_up("cert.pem");
    expect_shown("server");
    copy_file(pki("next.key"), stage.key);
    hang_up("reload: changed: certificates of 1 listener");
    expect_shown("next");
    end();
}

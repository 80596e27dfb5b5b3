/* Clients of ours against openssl s_server and nginx. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/secure.h"
#include "support/silent.h"
#include "support/wait.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
    if (!pki_made()) {
        cr_skip_test("the openssl command was missing when this was built");
    }
}

TestSuite(tls_client, .init = init, .fini = rig_expect_no_leak, .timeout = 60);

static struct rig_child server;
static struct rig_visit visit;
static char address[64];

static void serve(const char *name, const char *const *more)
{
    uint16_t port = rig_s_server(&server, name, more);

    snprintf(address, sizeof address, "localhost:%u", port);
}

static void by_address(void)
{
    char text[64];

    snprintf(text, sizeof text, "127.0.0.1%s", strrchr(address, ':'));
    memcpy(address, text, sizeof address);
}

static void go(const struct cw_tls_options *options)
{
    rig_visit(&visit, address, options);
}

/* One connection that was opened, verified, and ended in good order. */
static const struct rig_said *expect_visit(void)
{
    cr_assert_eq(visit.failed, 0, "%s", visit.report.text);
    cr_expect_eq(visit.opened, 1);
    cr_expect_eq(visit.closed, 1);
    cr_expect_eq(visit.reason.code, CW_BY_APP, "%s", visit.reason.text);
    cr_expect_str_eq(visit.got, "olleh\n");
    cr_expect(visit.said[0].encrypted);
    return &visit.said[0];
}

static void expect_refusal(int alert, const char *words)
{
    char text[CW_ADDRESS_TEXT_MAX];

    cr_expect_eq(visit.opened, 0);
    cr_assert_eq(visit.failed, 1);
    cr_expect_eq(visit.report.code, CW_ECERT, "%s", visit.report.text);
    cr_expect_eq(visit.report.tls_alert, alert, "%d: %s", visit.report.tls_alert, visit.report.text);
    cr_expect_not_null(strstr(visit.report.text, words), "%s", visit.report.text);
    cr_assert_not_null(visit.report.address);
    cw_address_print(visit.report.address, text);
    cr_expect_not_null(strstr(text, strrchr(address, ':')), "%s", text);
}

/* The other side saw the same alert. */
static void expect_their_alert(int alert)
{
    char words[64];

    snprintf(words, sizeof words, "SSL alert number %d", alert);
    rig_child_await_text(&server, words);
}

/* ---- who is trusted ---- */

Test(tls_client, a_server_of_our_ca_is_verified_and_both_sides_say_the_same)
{
    struct cw_tls_options options = {.ca = pki("ca.pem")};
    const struct rig_said *said;
    char line[128];
    char name[64];

    serve("server", NULL);
    go(&options);
    said = expect_visit();
    cr_expect(said->info.has_peer_cert);
    cr_expect(said->info.verified, "%s", said->info.why_not);
    cr_expect_str_eq(said->info.why_not, "");
    cr_expect_str_eq(said->cert.subject, "O=Causeway tests, CN=server");
    cr_expect_str_eq(said->server_name, "localhost");
    cr_expect_str_eq(said->group, "x25519");
    cr_expect_not(said->info.resumed);
    snprintf(line, sizeof line, "Protocol version: %s\n", said->version);
    rig_child_await_text(&server, line);
    snprintf(line, sizeof line, "Ciphersuite: %s\n", rig_openssl_cipher(said, name, sizeof name));
    rig_child_await_text(&server, line);
    rig_child_await_text(&server, "CONNECTION CLOSED");
    rig_s_server_end(&server);
    cr_expect_str_eq(said->version, rig_has_tls_1_3() ? "TLSv1.3" : "TLSv1.2");
}

Test(tls_client, a_client_without_options_trusts_the_systems_store_alone)
{
    struct cw_tls_options options = {0};

    serve("server", NULL);
    go(&options);
    expect_refusal(48, "unknown CA");
    expect_their_alert(48);
    rig_s_server_end(&server);
}

Test(tls_client, a_server_that_the_systems_store_vouches_for_is_verified)
{
    struct cw_tls_options options = {0};

    setenv("SSL_CERT_FILE", pki("ca.pem"), 1);
    serve("server", NULL);
    go(&options);
    cr_expect(expect_visit()->info.verified);
    rig_s_server_end(&server);
}

Test(tls_client, a_chain_with_an_intermediate_is_verified)
{
    struct cw_tls_options options = {.ca = pki("ca.pem")};

    serve("chain", NULL);
    go(&options);
    cr_expect(expect_visit()->info.verified);
    cr_expect_str_eq(visit.said[0].cert.subject, "O=Causeway tests, CN=chain");
    rig_s_server_end(&server);
}

Test(tls_client, an_rsa_server_is_verified)
{
    struct cw_tls_options options = {.ca = pki("ca.pem")};

    serve("server_rsa", NULL);
    go(&options);
    cr_expect(expect_visit()->info.verified);
    rig_s_server_end(&server);
}

/* ---- names ---- */

Test(tls_client, an_address_is_verified_as_an_address_and_asks_for_no_name)
{
    struct cw_tls_options options = {.ca = pki("ca.pem")};

    serve("server", NULL);
    by_address();
    go(&options);
    cr_expect(expect_visit()->info.verified);
    cr_expect_str_eq(visit.said[0].server_name, "");
    rig_s_server_end(&server);
}

Test(tls_client, an_address_that_the_certificate_does_not_name_is_refused)
{
    struct cw_tls_options options = {.ca = pki("ca.pem")};

    serve("other", NULL);
    by_address();
    go(&options);
    expect_refusal(42, "127.0.0.1");
    expect_their_alert(42);
    rig_s_server_end(&server);
}

Test(tls_client, an_ipv6_address_is_verified)
{
    struct cw_tls_options options = {.ca = pki("ca.pem")};
    const char *words[] = {"openssl", "s_server",        "-accept", "[::1]:0",         "-rev",
                           "-cert",   pki("server.pem"), "-key",    pki("server.key"), NULL};
    const char *at;

    if (access("/proc/net/if_inet6", R_OK) != 0) {
        cr_skip_test("no IPv6 here");
    }
    rig_start_words(&server, words);
    rig_child_await_text(&server, "ACCEPT ");
    at = strrchr(strstr(server.text, "ACCEPT "), ':');
    snprintf(address, sizeof address, "[::1]:%.*s", (int)strspn(at + 1, "0123456789"), at + 1);
    go(&options);
    cr_expect(expect_visit()->info.verified);
    rig_s_server_end(&server);
}

Test(tls_client, another_name_may_be_asked_for_and_verified)
{
    struct cw_tls_options options = {.ca = pki("ca.pem"), .server_name = "alt.example"};

    serve("server", RIG_WORDS("-servername", "alt.example", "-cert2", pki("other.pem"), "-key2",
                              pki("other.key")));
    by_address();
    go(&options);
    cr_expect(expect_visit()->info.verified);
    cr_expect_str_eq(visit.said[0].cert.subject, "O=Causeway tests, CN=other");
    cr_expect_str_eq(visit.said[0].server_name, "alt.example");
    rig_s_server_end(&server);
}

Test(tls_client, a_wildcard_stands_for_one_label)
{
    struct cw_tls_options options = {.ca = pki("ca.pem"), .server_name = "one.wild.example"};

    serve("other", NULL);
    go(&options);
    cr_expect(expect_visit()->info.verified);
    memset(&visit, 0, sizeof visit);
    options.server_name = "two.one.wild.example";
    go(&options);
    expect_refusal(42, "two.one.wild.example");
    rig_s_server_end(&server);
}

/* ---- a certificate of ours ---- */

static void expect_certificate_shown(const char *version)
{
    struct cw_tls_options options = rig_identity("client.pem", "client.key");

    options.ca = pki("ca.pem");
    serve("server",
          RIG_WORDS(version, "-Verify", "1", "-CAfile", pki("ca.pem"), "-verify_return_error"));
    go(&options);
    cr_expect(expect_visit()->info.verified);
    rig_child_await_text(&server, "Peer certificate: O = Causeway tests, CN = client");
    rig_child_await_text(&server, "Verification: OK");
    rig_s_server_end(&server);
}

Test(tls_client, a_server_that_asks_is_shown_our_certificate)
{
    expect_certificate_shown("-tls1_2");
}

Test(tls_client, a_server_that_asks_is_shown_our_certificate_under_1_3)
{
    if (!rig_has_tls_1_3()) {
        cr_skip_test("this library has no TLS 1.3");
    }
    expect_certificate_shown("-tls1_3");
}

Test(tls_client, a_server_that_asks_in_vain_and_does_not_insist_is_spoken_to)
{
    struct cw_tls_options options = {.ca = pki("ca.pem")};

    serve("server", RIG_WORDS("-verify", "1", "-CAfile", pki("ca.pem")));
    go(&options);
    cr_expect(expect_visit()->info.verified);
    rig_child_await_text(&server, "No peer certificate");
    rig_s_server_end(&server);
}

/* ---- back again ---- */

static void expect_resumed(const char *version, const char *how)
{
    struct cw_tls_options options = {.ca = pki("ca.pem")};

    serve("server", RIG_WORDS(version, how));
    visit.rounds = 3;
    go(&options);
    cr_assert_eq(visit.opened, 3, "%s", visit.report.text);
    cr_expect_eq(visit.failed, 0, "%s", visit.report.text);
    for (unsigned i = 0; i < 3; i++) {
        cr_expect_eq(visit.said[i].info.resumed, i > 0, "%u", i);
        cr_expect(visit.said[i].info.verified, "%u: %s", i, visit.said[i].info.why_not);
    }
    rig_s_server_end(&server);
}

Test(tls_client, a_reconnect_resumes_by_ticket)
{
    expect_resumed("-tls1_2", NULL);
}

Test(tls_client, a_reconnect_resumes_by_session_id)
{
    expect_resumed("-tls1_2", "-no_ticket");
}

Test(tls_client, a_reconnect_resumes_under_1_3)
{
    if (!rig_has_tls_1_3()) {
        cr_skip_test("this library has no TLS 1.3");
    }
    expect_resumed("-tls1_3", NULL);
}

Test(tls_client, a_client_without_resumption_comes_anew)
{
    struct cw_tls_options options = {.ca = pki("ca.pem"), .resumption = CW_TLS_NO_RESUMPTION};

    serve("server", NULL);
    visit.rounds = 2;
    go(&options);
    cr_assert_eq(visit.opened, 2, "%s", visit.report.text);
    cr_expect_not(visit.said[1].info.resumed);
    rig_s_server_end(&server);
}

/* ---- a pinned certificate ---- */

static const char *fingerprint(void)
{
    static char text[80];
    FILE *file = fopen(pki("server.sha256"), "re");

    cr_assert_not_null(file);
    cr_assert_not_null(fgets(text, sizeof text, file));
    fclose(file);
    text[strcspn(text, "\n")] = '\0';
    return text;
}

Test(tls_client, the_pinned_certificate_is_accepted_without_a_ca)
{
    struct cw_tls_options options = {.fingerprint = fingerprint(),
                                     .server_name = "whatever.invalid"};

    serve("server", NULL);
    go(&options);
    cr_expect(expect_visit()->info.verified, "%s", visit.said[0].info.why_not);
    cr_expect_str_eq(visit.said[0].cert.fingerprint, fingerprint());
    rig_s_server_end(&server);
}

Test(tls_client, any_other_than_the_pinned_certificate_is_refused_though_the_ca_is_ours)
{
    struct cw_tls_options options = {.fingerprint = fingerprint(), .ca = pki("ca.pem")};

    serve("next", NULL);
    go(&options);
    expect_refusal(42, "fingerprint");
    expect_their_alert(42);
    rig_s_server_end(&server);
}

/* ---- without verification ---- */

static struct {
    pthread_mutex_t lock;
    char lines[4096];
} logged = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void keep_line(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    size_t len;

    pthread_mutex_lock(&logged.lock);
    len = strlen(logged.lines);
    snprintf(logged.lines + len, sizeof logged.lines - len, "%s: %s\n", cw_log_level_name(level),
             text);
    pthread_mutex_unlock(&logged.lock);
}

Test(tls_client, insecure_accepts_anybody_says_so_and_is_logged)
{
    struct cw_tls_options options = {.insecure = true};

    cw_log_set(keep_line, NULL);
    cw_log_set_level(CW_LOG_WARNING);
    serve("self_signed", NULL);
    go(&options);
    expect_visit();
    cr_expect_not(visit.said[0].info.verified);
    cr_expect(visit.said[0].info.has_peer_cert);
    cr_expect_not_null(strstr(visit.said[0].info.why_not, "self-signed"), "%s",
                       visit.said[0].info.why_not);
    cr_expect_not_null(strstr(logged.lines, "warning: "), "%s", logged.lines);
    cr_expect_not_null(strstr(logged.lines, "insecure"), "%s", logged.lines);
    rig_s_server_end(&server);
    cw_log_set(NULL, NULL);
}

/* ---- nginx ---- */

static char nginx_folder[64];

static void nginx_write_configuration(uint16_t port)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof path, "%s/nginx.conf", nginx_folder);
    file = fopen(path, "we");
    cr_assert_not_null(file);
    fprintf(file,
            "daemon off;\nmaster_process off;\npid %s/pid;\nerror_log stderr warn;\n"
            "events {}\nhttp {\n  access_log off;\n  client_body_temp_path %s/body;\n"
            "  proxy_temp_path %s/proxy;\n  fastcgi_temp_path %s/fastcgi;\n"
            "  uwsgi_temp_path %s/uwsgi;\n  scgi_temp_path %s/scgi;\n  server {\n"
            "    listen 127.0.0.1:%u ssl;\n    ssl_protocols TLSv1.2 TLSv1.3;\n"
            "    ssl_certificate %s;\n    ssl_certificate_key %s;\n"
            "    ssl_client_certificate %s;\n    ssl_verify_client optional;\n"
            "    ssl_session_cache shared:tests:1m;\n"
            "    location / { return 200 \"$ssl_protocol $ssl_cipher reused=$ssl_session_reused "
            "client=$ssl_client_verify name=$ssl_server_name.\\n\"; }\n  }\n}\n",
            nginx_folder, nginx_folder, nginx_folder, nginx_folder, nginx_folder, nginx_folder,
            port, pki("server.pem"), pki("server.key"), pki("ca.pem"));
    fclose(file);
}

static void nginx_start(void)
{
    char conf[128];
    uint16_t port = rig_free_port();

    if (!rig_has_program("nginx")) {
        cr_skip_test("nginx is not installed");
    }
    snprintf(nginx_folder, sizeof nginx_folder, "/tmp/cw-nginx-XXXXXX");
    cr_assert_not_null(mkdtemp(nginx_folder));
    nginx_write_configuration(port);
    snprintf(conf, sizeof conf, "%s/nginx.conf", nginx_folder);
    rig_start_words(&server, RIG_WORDS("nginx", "-c", conf, "-p", nginx_folder, "-e", "stderr"));
    rig_await(rig_port_is_open(port));
    snprintf(address, sizeof address, "localhost:%u", port);
    visit.says = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    visit.hears = ".\n";
}

static void nginx_end(void)
{
    rig_child_signal(&server, SIGTERM);
    rig_child_join(&server);
    rig_run_words(&server, RIG_WORDS("rm", "-r", nginx_folder));
}

/* What nginx says of the last connection is what our side says. */
static void expect_answer(const struct rig_said *said, const char *client)
{
    char words[256];
    char name[64];

    snprintf(words, sizeof words, "%s %s reused=%s client=%s name=localhost.\n", said->version,
             rig_openssl_cipher(said, name, sizeof name), said->info.resumed ? "r" : ".", client);
    cr_expect_not_null(strstr(visit.got, words), "%s in: %s", words, visit.got);
    cr_expect_not_null(strstr(visit.got, "HTTP/1.1 200 OK"), "%s", visit.got);
}

static void expect_nginx(enum cw_tls_version most)
{
    struct cw_tls_options options = rig_identity("client.pem", "client.key");

    options.ca = pki("ca.pem");
    options.max_version = most;
    nginx_start();
    visit.rounds = 2;
    go(&options);
    cr_assert_eq(visit.opened, 2, "%s", visit.report.text);
    cr_expect_not(visit.said[0].info.resumed);
    cr_expect(visit.said[1].info.resumed);
    cr_expect(visit.said[1].info.verified, "%s", visit.said[1].info.why_not);
    expect_answer(&visit.said[1], "SUCCESS");
    nginx_end();
}

Test(tls_client, nginx_answers_a_client_with_a_certificate_and_resumes)
{
    expect_nginx(CW_TLS_ANY);
}

Test(tls_client, nginx_answers_a_client_with_a_certificate_and_resumes_under_1_2)
{
    expect_nginx(CW_TLS_1_2);
}

Test(tls_client, nginx_answers_a_client_without_a_certificate)
{
    struct cw_tls_options options = {.ca = pki("ca.pem")};

    nginx_start();
    go(&options);
    cr_assert_eq(visit.opened, 1, "%s", visit.report.text);
    expect_answer(&visit.said[0], "NONE");
    nginx_end();
}

Test(tls_client, nginx_under_another_name_is_refused)
{
    struct cw_tls_options options = {.ca = pki("ca.pem"), .server_name = "nginx.invalid"};

    nginx_start();
    go(&options);
    expect_refusal(42, "nginx.invalid");
    nginx_end();
}

/* Our client against other people's servers: nginx, Node, Python; and TLS. */
#include "support/child.h"
#include "support/http_script.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/secure.h"
#include "support/tls_tap.h"
#include "support/wait.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static struct rig_child server;
static struct ask ask;
static char base[64];
static char folder[64];

static void init(void)
{
    cw_log_set_level(CW_LOG_SILENT);
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
}

TestSuite(http_client_peers, .init = init, .fini = rig_expect_no_leak, .timeout = 120);

/* ---- asking ---- */

static struct cw_http_request *ask_path(const char *path)
{
    char url[256];

    snprintf(url, sizeof url, "%s%s", base, path);
    return ask_for(&ask, NULL, url);
}

static void expect(size_t i, int status, const char *body)
{
    cr_assert_eq(ask.answers[i].error, 0, "%zu: %s", i, ask.answers[i].text);
    cr_expect_eq(ask.answers[i].status, status, "%zu: %d", i, ask.answers[i].status);
    cr_expect_str_eq(ask.answers[i].body, body, "%zu", i);
}

/* ---- programs ---- */

static uint16_t start(const char *const *words)
{
    const char *port;

    rig_start_words(&server, words);
    rig_child_await_text(&server, ";");
    port = strstr(server.text, "port=");
    cr_assert_not_null(port, "%s", server.text);
    return (uint16_t)strtoul(port + 5, NULL, 10);
}

static void end(void)
{
    rig_child_signal(&server, SIGTERM);
    rig_child_join(&server);
}

static void start_node(const char *cert, const char *key)
{
    uint16_t port;

    if (!rig_has_program("node")) {
        cr_skip_test("node is not installed");
    }
    port = start(RIG_WORDS("node", CW_SOURCE_DIR "/tests/support/http_server.js", cert, key));
    snprintf(base, sizeof base, cert ? "https://localhost:%u" : "http://127.0.0.1:%u", port);
}

static const struct cw_http_pair own[] = {{"X-Own", "a b"}, {"Cookie", "c=d"}, {NULL, NULL}};

static void ask_node(const struct cw_tls_options *tls)
{
    ask_begin(&ask);
    ask_path("/hello");
    ask_path("/chunks");
    ask_path("/gzip");
    ask_path("/deflate");
    ask_path("/trailers");
    ask_path("/early");
    ask_path("/go");
    ask_path("/none");
    ask_path("/nowhere");
    ask_path("/hello")->method = "HEAD";
    ask_path("/fields")->fields = own;
    ask_path("/echo")->body = cw_span_text("to and fro");
    ask_path("/destroy");
    ask_path("/hello");
    for (size_t i = 0; i < ask.count; i++) {
        ask.requests[i].tls = tls;
    }
    ask_run(&ask);
}

static void expect_node(void)
{
    expect(0, 200, "hello from node");
    cr_expect_not_null(strstr(ask.answers[1].body, "piece 50\n"));
    cr_expect_not_null(strstr(ask.answers[1].body, "piece 1\n"));
    cr_expect_eq(ask.answers[2].len, 1u << 20, "%s", ask.answers[2].text);
    cr_expect_eq(ask.answers[3].len, 1u << 20, "%s", ask.answers[3].text);
    expect(4, 200, "body");
    expect(5, 200, "late");
    expect(6, 200, "hello from node");
    cr_expect_eq(ask.answers[6].redirects, 1);
    expect(7, 204, "");
    expect(8, 404, "not here");
    expect(9, 200, "");
    expect(11, 200, "to and fro");
    cr_expect_not_null(strstr(ask.answers[10].body, "\"x-own\":\"a b\",\"cookie\":\"c=d\""), "%s",
                       ask.answers[10].body);
    cr_expect_lt(ask.answers[12].error, 0);
    expect(13, 200, "hello from node");
    ask_release(&ask);
}

Test(http_client_peers, node_is_understood)
{
    start_node(NULL, NULL);
    ask_node(NULL);
    end();
    expect_node();
}

Test(http_client_peers, node_is_understood_over_tls)
{
    const struct cw_tls_options tls = {.ca = pki("ca.pem")};

    start_node(pki("server.pem"), pki("server.key"));
    ask_node(&tls);
    end();
    expect_node();
}

/* An echo of a body in chunks while it is still being sent. */
struct echo {
    uint64_t left;
    uint64_t got;
};

static ptrdiff_t pull(uint8_t *buffer, size_t cap, void *user)
{
    struct echo *echo = user;
    size_t n = echo->left < cap ? (size_t)echo->left : cap;

    memset(buffer, 'e', n);
    echo->left -= n;
    return (ptrdiff_t)n;
}

static int on_body(struct cw_http_response *response, struct cw_span piece, void *user)
{
    struct ask_one *one = user;
    struct echo *echo = one->ask->user;

    echo->got += piece.len;
    return 0;
}

Test(http_client_peers, node_echoes_a_long_body_while_it_is_sent)
{
    const uint64_t size = 30u << 20;
    struct echo echo = {.left = size};
    struct cw_http_request *request;

    start_node(NULL, NULL);
    ask_begin(&ask);
    ask.user = &echo;
    request = ask_path("/echo");
    request->pull = pull;
    request->pull_user = &echo;
    request->body_len = CW_NO_LIMIT;
    request->body_max_bytes = CW_NO_LIMIT;
    request->on_body = on_body;
    ask_run(&ask);
    end();
    expect(0, 200, "");
    cr_expect_eq(echo.got, size);
    ask_release(&ask);
}

static void expect_python(const char *version)
{
    uint16_t port;

    if (!rig_has_program("python3")) {
        cr_skip_test("python3 is not installed");
    }
    port = start(RIG_WORDS("python3", CW_SOURCE_DIR "/tests/support/http_server.py", version));
    snprintf(base, sizeof base, "http://127.0.0.1:%u", port);
    ask_begin(&ask);
    ask_path("/");
    ask_path("/until-end");
    ask_path("/")->method = "HEAD";
    ask_path("/")->body = cw_span_text("abc");
    ask_run(&ask);
    end();
    expect(0, 200, "hello from python");
    expect(1, 200, "hello from python");
    expect(2, 200, "");
    expect(3, 201, "cba");
    ask_release(&ask);
}

Test(http_client_peers, python_is_understood)
{
    expect_python("HTTP/1.1");
    expect_python("HTTP/1.0");
}

/* ---- nginx ---- */

static void write_nginx(uint16_t port, uint16_t tls_port)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof path, "%s/nginx.conf", folder);
    file = fopen(path, "we");
    cr_assert_not_null(file);
    fprintf(
        file,
        "daemon off;\nmaster_process off;\npid %s/pid;\nerror_log stderr warn;\n"
        "events {}\nhttp {\n  access_log off;\n  client_body_temp_path %s/body;\n"
        "  proxy_temp_path %s/proxy;\n  fastcgi_temp_path %s/fastcgi;\n"
        "  uwsgi_temp_path %s/uwsgi;\n  scgi_temp_path %s/scgi;\n"
        "  gzip on; gzip_min_length 1; gzip_types *; keepalive_requests 3;\n  server {\n"
        "    listen 127.0.0.1:%u;\n    listen 127.0.0.1:%u ssl;\n"
        "    ssl_certificate %s;\n    ssl_certificate_key %s;\n"
        "    client_max_body_size 1k;\n    root %s;\n"
        "    location /say { return 200 \"conn=$connection_requests $scheme $request_method\"; }\n"
        "    location /down { return 301 http://127.0.0.1:%u/say; }\n"
        "    location /up { return 301 https://localhost:%u/say; }\n"
        "    location /last { keepalive_timeout 0; return 200 last; }\n  }\n}\n",
        folder, folder, folder, folder, folder, folder, port, tls_port, pki("server.pem"),
        pki("server.key"), folder, port, tls_port);
    fclose(file);
    snprintf(path, sizeof path, "%s/large.txt", folder);
    file = fopen(path, "we");
    cr_assert_not_null(file);
    for (int i = 0; i < 100000; i++) {
        fprintf(file, "line %d\n", i);
    }
    fclose(file);
}

static uint16_t tls_port;

static void start_nginx(void)
{
    char conf[128];
    uint16_t port = rig_free_port();

    if (!rig_has_program("nginx") || !pki_made()) {
        cr_skip_test("nginx or openssl is not installed");
    }
    tls_port = rig_free_port();
    snprintf(folder, sizeof folder, "/tmp/cw-nginx-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    write_nginx(port, tls_port);
    snprintf(conf, sizeof conf, "%s/nginx.conf", folder);
    rig_start_words(&server, RIG_WORDS("nginx", "-c", conf, "-p", folder, "-e", "stderr"));
    rig_await(rig_port_is_open(port) && rig_port_is_open(tls_port));
    snprintf(base, sizeof base, "http://127.0.0.1:%u", port);
}

static void end_nginx(void)
{
    end();
    rig_run_words(&server, RIG_WORDS("rm", "-r", folder));
}

Test(http_client_peers, nginx_is_understood_and_keeps_the_connection_as_long_as_it_likes)
{
    static char large[1 << 16];
    struct cw_http_request *request;

    start_nginx();
    ask_begin(&ask);
    for (size_t i = 0; i < 7; i++) {
        ask_path("/say");
    }
    ask_path("/large.txt");
    ask_path("/last");
    ask_path("/say")->method = "DELETE";
    request = ask_path("/say");
    request->body = cw_span_of(large, sizeof large);
    ask_path("/say");
    ask_run(&ask);
    end_nginx();
    expect(0, 200, "conn=1 http GET");
    expect(1, 200, "conn=2 http GET");
    expect(2, 200, "conn=3 http GET");
    expect(3, 200, "conn=1 http GET");
    expect(6, 200, "conn=1 http GET");
    cr_expect_eq(ask.answers[7].len, 1088890, "%zu", ask.answers[7].len);
    cr_expect_eq(strncmp(ask.answers[7].body, "line 0\nline 1\n", 14), 0);
    expect(8, 200, "last");
    cr_expect_not_null(strstr(ask.answers[9].body, "DELETE"));
    cr_expect_eq(ask.answers[10].status, 413, "%s", ask.answers[10].text);
    cr_expect_eq(ask.answers[11].status, 200, "%s", ask.answers[11].text);
    ask_release(&ask);
}

Test(http_client_peers, nginx_over_tls_and_from_http_to_https_but_not_back)
{
    const struct cw_tls_options tls = {.ca = pki("ca.pem")};
    char url[64];

    start_nginx();
    ask_begin(&ask);
    ask_path("/up");
    snprintf(url, sizeof url, "https://localhost:%u/say", tls_port);
    ask_for(&ask, NULL, url);
    snprintf(url, sizeof url, "https://localhost:%u/down", tls_port);
    ask_for(&ask, NULL, url);
    for (size_t i = 0; i < ask.count; i++) {
        ask.requests[i].tls = &tls;
    }
    ask_run(&ask);
    end_nginx();
    expect(0, 200, "conn=1 https GET");
    cr_expect_eq(ask.answers[0].redirects, 1);
    expect(1, 200, "conn=2 https GET");
    cr_expect_eq(ask.answers[2].error, CW_EPROTO);
    cr_expect_not_null(strstr(ask.answers[2].text, "from https to http"), "%s", ask.answers[2].text);
    ask_release(&ask);
}

Test(http_client_peers, whom_nobody_vouches_for_is_not_spoken_to)
{
    const struct cw_tls_options fingerprint = {
        .fingerprint = "0000000000000000000000000000000000000000000000000000000000000000"};
    const struct cw_tls_options insecure = {.insecure = true};
    const struct cw_tls_options broken = {.ca = "/nowhere/ca.pem"};
    char url[64];

    start_nginx();
    ask_begin(&ask);
    snprintf(url, sizeof url, "https://localhost:%u/say", tls_port);
    ask_for(&ask, NULL, url);
    ask_for(&ask, NULL, url)->tls = &fingerprint;
    ask_for(&ask, NULL, url)->tls = &insecure;
    ask_for(&ask, NULL, url); /* what the last one trusted is its own affair */
    ask_for(&ask, NULL, url)->tls = &broken;
    ask_run(&ask);
    end_nginx();
    cr_expect_eq(ask.answers[0].error, CW_ECERT);
    cr_expect_not_null(strstr(ask.answers[0].text, "unknown CA"), "%s", ask.answers[0].text);
    cr_expect_eq(ask.answers[1].error, CW_ECERT);
    expect(2, 200, "conn=1 https GET");
    cr_expect_eq(ask.answers[3].error, CW_ECERT);
    cr_expect_eq(ask.answers[4].error, CW_EINVAL);
    ask_release(&ask);
}

/* ---- an end that somebody in between could have made ---- */

struct tap {
    struct rig_silent listener;
    const char *answer;
    bool notifies;
};

static void *serve_tap(void *arg)
{
    struct tap *tap = arg;
    struct rig_tap tls;
    char request[4];

    rig_tap_open(
        &tls, (struct rig_peer){.fd = rig_silent_accept(&tap->listener)},
        &(struct rig_tap_setup){.is_server = true, .pem = "server.pem", .key = "server.key"});
    rig_check(rig_tap_handshake(&tls) == 0);
    rig_tap_read(&tls, request, sizeof request);
    rig_tap_write(&tls, tap->answer, strlen(tap->answer));
    if (tap->notifies) {
        rig_tap_notify(&tls);
    }
    rig_peer_shut(&tls.peer);
    rig_tap_end(&tls);
    rig_tap_close(&tls);
    return NULL;
}

static void ask_tap(const char *answer, bool notifies)
{
    const struct cw_tls_options tls = {.ca = pki("ca.pem")};
    struct tap tap = {.answer = answer, .notifies = notifies};
    pthread_t thread;
    char url[64];

    rig_silent_open(&tap.listener, "127.0.0.1", 0, 0);
    rig_check(pthread_create(&thread, NULL, serve_tap, &tap) == 0);
    ask_begin(&ask);
    snprintf(url, sizeof url, "https://127.0.0.1:%u/", tap.listener.port);
    ask_for(&ask, NULL, url)->tls = &tls;
    ask_run(&ask);
    pthread_join(thread, NULL);
    rig_silent_close(&tap.listener);
}

Test(http_client_peers, a_body_up_to_the_end_counts_over_tls_only_if_the_end_is_proven)
{
    if (!pki_made()) {
        cr_skip_test("openssl was missing");
    }
    ask_tap("HTTP/1.1 200 OK\r\n\r\nall there is", true);
    expect(0, 200, "all there is");
    ask_release(&ask);
    ask_tap("HTTP/1.1 200 OK\r\n\r\nall there is", false);
    cr_expect_eq(ask.answers[0].error, CW_ETRUNCATED, "%s", ask.answers[0].text);
    cr_expect_not_null(strstr(ask.answers[0].text, "close_notify"), "%s", ask.answers[0].text);
    ask_release(&ask);
    ask_tap("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false); /* its length proves it */
    expect(0, 200, "ok");
    ask_release(&ask);
}

/* Our client against other people's servers: the package ws of Node, websockets of Python; with nginx in between. */
#include "support/child.h"
#include "support/leak.h"
#include "support/pki.h"
#include "support/secure.h"
#include "support/silent.h"
#include "support/wait.h"
#include "support/ws_visit.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

enum { LONG = 200000 };

static struct rig_child server;
static struct rig_child proxy;
static struct ws_visit visit;
static char base[64];
static char folder[] = "/tmp/causeway_wsp_XXXXXX";
static bool compress;

static void init(void)
{
    const char *path = getenv("PATH");
    char own[4096];

    /* The system's own Python first, which is the one that has the system's packages. */
    snprintf(own, sizeof own, "/usr/bin:%s", path ? path : "/bin:/usr/sbin");
    setenv("PATH", own, 1);
    cw_log_set_level(CW_LOG_SILENT);
    unsetenv("SSL_CERT_FILE");
    unsetenv("SSL_CERT_DIR");
}

TestSuite(ws_client_peers, .init = init, .fini = rig_expect_no_leak, .timeout = 100);

/* ---- servers ---- */

struct kind {
    const char *program;
    const char *script;
};

static const struct kind node = {"node", CW_SOURCE_DIR "/tests/support/ws_server.js"};

static const struct kind python = {"python3", CW_SOURCE_DIR "/tests/support/ws_server.py"};

static uint16_t start(const struct kind *kind, bool tls)
{
    const char *port;

    if (!rig_has_program(kind->program) || !pki_made()) {
        cr_skip_test("%s or openssl is not installed", kind->program);
    }
    rig_start_words(&server, RIG_WORDS(kind->program, kind->script, compress ? "yes" : "no",
                                       tls ? pki("server.pem") : NULL, pki("server.key")));
    rig_child_await_text(&server, ";");
    port = strstr(server.text, "port=");
    if (!port) {
        rig_child_join(&server);
        cr_skip_test("%s has no package for WebSockets", kind->program);
    }
    port += 5;
    snprintf(base, sizeof base, tls ? "wss://localhost:%lu" : "ws://127.0.0.1:%lu",
             strtoul(port, NULL, 10));
    return (uint16_t)strtoul(port, NULL, 10);
}

static void end(struct rig_child *child)
{
    rig_child_signal(child, SIGTERM);
    rig_child_join(child);
}

/* ---- nginx ---- */

static void write_nginx(FILE *file, uint16_t upstream, uint16_t port, bool tls)
{
    const char *const temporary[] = {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"};

    fprintf(file,
            "daemon off;\nmaster_process off;\npid %s/pid;\nerror_log stderr crit;\n"
            "events {}\nhttp {\n  access_log off;\n",
            folder);
    for (size_t i = 0; i < sizeof temporary / sizeof temporary[0]; i++) {
        fprintf(file, "  %s_temp_path %s/%s;\n", temporary[i], folder, temporary[i]);
    }
    fprintf(file,
            "  server {\n    listen 127.0.0.1:%u%s;\n    ssl_certificate %s;\n"
            "    ssl_certificate_key %s;\n    location / {\n"
            "      proxy_pass http://127.0.0.1:%u;\n      proxy_http_version 1.1;\n"
            "      proxy_set_header Upgrade $http_upgrade;\n"
            "      proxy_set_header Connection upgrade;\n      proxy_set_header Host $host;\n"
            "    }\n  }\n}\n",
            port, tls ? " ssl" : "", pki("server.pem"), pki("server.key"), upstream);
}

static void start_nginx(uint16_t upstream, bool tls)
{
    uint16_t port = rig_free_port();
    char conf[64];
    FILE *file;

    cr_assert_not_null(mkdtemp(folder));
    snprintf(conf, sizeof conf, "%s/nginx.conf", folder);
    file = fopen(conf, "we");
    cr_assert_not_null(file);
    write_nginx(file, upstream, port, tls);
    fclose(file);
    rig_start_words(&proxy, RIG_WORDS("nginx", "-c", conf, "-p", folder, "-e", "stderr"));
    rig_await(rig_port_is_open(port));
    snprintf(base, sizeof base, tls ? "wss://localhost:%u" : "ws://127.0.0.1:%u", port);
}

static void end_nginx(void)
{
    end(&proxy);
    rig_run_words(&proxy, RIG_WORDS("rm", "-r", folder));
}

/* ---- what is tried with each ---- */

static void go(const char *path)
{
    const struct cw_tls_options tls = {.ca = pki("ca.pem")};

    visit.options.compress = compress;
    visit.connect.tls = &tls;
    ws_visit_begin(&visit);
    cr_assert_gt(ws_visit_to(&visit, "%s%s", base, path), 0);
    ws_visit_run(&visit);
}

static void try_echo(const char *path, const char *text)
{
    visit = (struct ws_visit){.says = text, .rounds = 1, .options.subprotocols = "v1, v2"};
    go(path);
    cr_expect_eq(visit.opened, 1, "%s: %s", path, visit.report.text);
    cr_expect_str_eq(visit.subprotocol, "v2");
    cr_expect_eq(visit.compressed, compress);
    cr_expect(strncmp(visit.got, text, sizeof visit.got - 1) == 0, "%s: %.80s", path, visit.got);
    cr_expect_eq(visit.reason.code, CW_BY_APP, "%s", visit.reason.text);
    cr_expect_eq(visit.failed, 0, "%s", visit.report.text);
}

/* Something that compresses, and is no run of one byte. */
static const char *long_text(void)
{
    static char text[LONG + 1];
    size_t len = 0;

    for (unsigned i = 0; len < LONG - 64; i++) {
        len += (size_t)snprintf(text + len, LONG - len,
                                "{\"id\": %u, \"name\": \"n\xc3\xa4me %u\"}\n", i, i * 7919);
    }
    return text;
}

static void send_back(struct ws_visit *self, struct cw_conn *conn, const struct cw_message *msg)
{
    rig_check(cw_conn_send(conn, msg) >= 0);
}

/* One message after the other, each compressed with what came before it. */
static void try_kept_contexts(void)
{
    visit = (struct ws_visit){.says = "{\"again\": \"and again\"}", .rounds = 6, .then = send_back};
    visit.options.deflate = (struct cw_websocket_deflate){
        .above_bytes = 1, .level = 6, .keep_context = true, .keep_peer_context = true};
    go("/");
    cr_expect_eq(visit.messages, 6, "%s", visit.reason.text);
    cr_expect_eq(visit.len, 6 * strlen(visit.says), "%s", visit.got);
    cr_expect_eq(visit.compressed, compress);
}

static void try_close(void)
{
    visit = (struct ws_visit){.says = "x", .rounds = 1};
    go("/close");
    cr_expect_eq(visit.reason.code, CW_BY_PEER, "%s", visit.reason.text);
    cr_expect_eq(visit.reason.peer_code, 4001);
    cr_expect_str_eq(visit.reason.text, "enough");
    cr_expect_eq(visit.failed, 0, "%s", visit.report.text);
}

static void try_refusal(void)
{
    visit = (struct ws_visit){.says = "x"};
    go("/closed");
    cr_expect_eq(visit.opened, 0);
    cr_expect_eq(visit.status, 401);
    cr_expect_eq(visit.report.code, CW_EDENIED, "%s", visit.report.text);
}

static void close_when_ponged(struct ws_visit *self, struct cw_conn *conn,
                              const struct cw_message *msg)
{
    cw_conn_close(conn);
}

static void try_ping_of_the_server(void)
{
    visit = (struct ws_visit){.then = close_when_ponged};
    go("/pinged");
    cr_expect_str_eq(visit.got, "ponged mark");
}

static char pong[16];

static void on_pong(struct cw_conn *conn, struct cw_span payload, uint64_t round_trip_us, void *user)
{
    snprintf(pong, sizeof pong, "%.*s", (int)payload.len, (const char *)payload.data);
    cw_conn_close(conn);
}

static void send_ping(struct ws_visit *self, struct cw_conn *conn, const struct cw_message *msg)
{
    rig_check(cw_websocket_ping(conn, cw_span_text("ours")) == 0);
}

static void try_ping_of_ours(void)
{
    visit = (struct ws_visit){.says = "x", .then = send_ping, .options.on_pong = on_pong};
    memset(pong, 0, sizeof pong);
    go("/");
    cr_expect_str_eq(pong, "ours");
}

static void try_all(void)
{
    try_echo("/", "hello");
    try_echo("/", long_text());
    try_echo("/pieces", "h\xc3\xa4llo in pieces");
    try_echo("/pieces", long_text());
    try_kept_contexts();
    try_close();
    try_refusal();
    try_ping_of_the_server();
    try_ping_of_ours();
}

static void meet(const struct kind *kind, bool tls, bool with_compression)
{
    compress = with_compression;
    start(kind, tls);
    try_all();
    end(&server);
}

static void meet_behind_nginx(const struct kind *kind, bool tls, bool with_compression)
{
    compress = with_compression;
    if (!rig_has_program("nginx")) {
        cr_skip_test("nginx is not installed");
    }
    start_nginx(start(kind, false), tls);
    try_all();
    end_nginx();
    end(&server);
}

Test(ws_client_peers, ws_of_node)
{
    meet(&node, false, false);
}

Test(ws_client_peers, ws_of_node_compressed)
{
    meet(&node, false, true);
}

Test(ws_client_peers, ws_of_node_over_tls)
{
    meet(&node, true, false);
}

Test(ws_client_peers, ws_of_node_over_tls_compressed)
{
    meet(&node, true, true);
}

Test(ws_client_peers, websockets_of_python)
{
    meet(&python, false, false);
}

Test(ws_client_peers, websockets_of_python_compressed)
{
    meet(&python, false, true);
}

Test(ws_client_peers, websockets_of_python_over_tls)
{
    meet(&python, true, false);
}

Test(ws_client_peers, websockets_of_python_over_tls_compressed)
{
    meet(&python, true, true);
}

Test(ws_client_peers, ws_of_node_behind_nginx)
{
    meet_behind_nginx(&node, false, true);
}

Test(ws_client_peers, ws_of_node_behind_nginx_over_tls)
{
    meet_behind_nginx(&node, true, true);
}

Test(ws_client_peers, websockets_of_python_behind_nginx_over_tls)
{
    meet_behind_nginx(&python, true, false);
}

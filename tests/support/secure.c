/* TLS over real sockets. */
#include "support/secure.h"

#include "support/pki.h"
#include "support/wait.h"

#include <causeway/tcp.h>

#include <mbedtls/version.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS_MAX = 48, PATH_CAP = 512 };

bool rig_has_tls_1_3(void)
{
    return MBEDTLS_VERSION_MAJOR >= 3;
}

/* ---- what is said ---- */

#define KEEP(said, member)                                                                         \
    (snprintf((said)->member, sizeof(said)->member, "%s", (said)->info.member),                    \
     (said)->info.member = (said)->member)

void rig_said_note(struct rig_said *said, const struct cw_conn *conn)
{
    memset(said, 0, sizeof *said);
    said->encrypted = cw_conn_is_encrypted(conn);
    said->has_cert = cw_conn_peer_cert(conn, &said->cert) == CW_OK;
    if (cw_conn_tls(conn, &said->info) == CW_OK) {
        KEEP(said, version);
        KEEP(said, cipher);
        KEEP(said, group);
        KEEP(said, server_name);
        KEEP(said, alpn);
    }
}

/* From its name at IANA; those of TLS 1.3 have but one. */
const char *rig_openssl_cipher(const struct rig_said *said, char *text, size_t cap)
{
    static const char *const parts[][2] = {
        {"TLS_", ""}, {"_WITH", ""}, {"AES_", "AES"}, {"POLY1305_SHA256", "POLY1305"}, {"_", "-"}};
    bool is_1_3 = !strstr(said->cipher, "_WITH_");
    const char *at = said->cipher;

    *text = '\0';
    while (*at && !is_1_3) {
        size_t i = 0;

        while (i < sizeof parts / sizeof parts[0] &&
               strncmp(at, parts[i][0], strlen(parts[i][0])) != 0) {
            i++;
        }
        bool found = i < sizeof parts / sizeof parts[0];
        size_t len = strlen(text);
        snprintf(text + len, cap - len, "%.*s", found ? 16 : 1, found ? parts[i][1] : at);
        at += found ? strlen(parts[i][0]) : 1;
    }
    return is_1_3 ? said->cipher : text;
}

/* ---- the server ---- */

static void on_connection(struct cw_conn *conn, void *user)
{
    struct rig_secure *secure = user;
    unsigned n = atomic_load(&secure->opened);

    rig_check(n < RIG_SAID_MAX);
    rig_said_note(&secure->said[n], conn);
    atomic_store(&secure->opened, n + 1);
}

static void on_secure(struct cw_conn *conn, void *user)
{
    struct rig_secure *secure = user;

    rig_said_note(&secure->said[atomic_load(&secure->opened) - 1], conn);
    atomic_fetch_add(&secure->secured, 1);
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    if (msg->body.len >= 3 && memcmp(msg->body.data, "bye", 3) == 0) {
        cw_conn_close(conn);
        return;
    }
    cw_conn_send(conn, msg);
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct rig_secure *secure = user;
    unsigned n = atomic_load(&secure->closed);

    secure->reasons[n] = *reason;
    atomic_store(&secure->closed, n + 1);
}

static void on_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    struct rig_secure *secure = user;
    unsigned n = atomic_load(&secure->failed);

    rig_check(n < RIG_SAID_MAX);
    secure->reports[n] = *report;
    secure->reports[n].address = NULL;
    if (report->address) {
        secure->addresses[n] = *report->address;
        secure->reports[n].address = &secure->addresses[n];
    }
    atomic_store(&secure->failed, n + 1);
}

static void on_reload(struct cw_server *server, int error, void *user)
{
    struct rig_secure *secure = user;

    rig_check(error == CW_OK);
    atomic_fetch_add(&secure->reloaded, 1);
}

const struct cw_hooks rig_secure_hooks = {.on_connection = on_connection,
                                          .on_secure = on_secure,
                                          .on_data = on_data,
                                          .on_close = on_close,
                                          .on_error = on_error,
                                          .on_reload = on_reload};

static void listen_at(struct cw_server *server, const struct cw_tls_options *tls)
{
    struct cw_listen_options listen = {.host = "127.0.0.1", .tls = tls};

    if (cw_server_listen(server, &listen) != CW_OK) {
        rig_fail(__FILE__, __LINE__, "listen: %s", cw_server_error(server));
    }
}

void rig_secure_start(struct rig_secure *secure, const struct cw_protocol *protocol,
                      const struct cw_tls_options *tls, const struct cw_hooks *hooks)
{
    rig_secure_start_two(secure, protocol, tls, NULL, hooks);
}

void rig_secure_start_two(struct rig_secure *secure, const struct cw_protocol *protocol,
                          const struct cw_tls_options *tls, const struct cw_tls_options *other,
                          const struct cw_hooks *hooks)
{
    struct cw_server *server = cw_create_server(protocol);

    rig_check(server);
    listen_at(server, tls);
    if (other) {
        listen_at(server, other);
    }
    rig_secure_run(secure, server, hooks);
}

void rig_secure_run(struct rig_secure *secure, struct cw_server *server,
                    const struct cw_hooks *hooks)
{
    memset(secure, 0, sizeof *secure);
    secure->host = rig_host_start(server, hooks ? hooks : &rig_secure_hooks, secure);
    if (rig_host_has_ended(secure->host)) {
        rig_fail(__FILE__, __LINE__, "start: %s", cw_server_error(server));
    }
    rig_secure_choose(secure, 0);
}

void rig_secure_choose(struct rig_secure *secure, unsigned listener)
{
    secure->port = rig_host_port(secure->host, listener);
    snprintf(secure->address, sizeof secure->address, "127.0.0.1:%u", secure->port);
}

const struct rig_said *rig_secure_said(struct rig_secure *secure, unsigned n)
{
    rig_await(atomic_load(&secure->opened) > n);
    return &secure->said[n];
}

const struct cw_error_report *rig_secure_report(struct rig_secure *secure, unsigned n)
{
    rig_await(atomic_load(&secure->failed) > n);
    return &secure->reports[n];
}

const struct cw_close_reason *rig_secure_reason(struct rig_secure *secure, unsigned n)
{
    rig_await(atomic_load(&secure->closed) > n);
    return &secure->reasons[n];
}

void rig_secure_end(struct rig_secure *secure)
{
    rig_host_end(secure->host);
    rig_check(atomic_load(&secure->opened) == atomic_load(&secure->closed));
}

struct cw_tls_options rig_identity(const char *cert, const char *key)
{
    return (struct cw_tls_options){.cert = pki(cert), .key = pki(key)};
}

/* ---- the client ---- */

static void visit_opened(struct cw_conn *conn, void *user)
{
    struct rig_visit *visit = user;

    rig_check(visit->opened < RIG_VISITS_MAX);
    rig_said_note(&visit->said[visit->opened++], conn);
    visit->len = 0;
    rig_check(cw_conn_send_bytes(conn, visit->says, strlen(visit->says)) >= 0);
}

static void visit_got(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct rig_visit *visit = user;

    rig_check(msg->body.len < sizeof visit->got - visit->len);
    memcpy(visit->got + visit->len, msg->body.data, msg->body.len);
    visit->len += msg->body.len;
    visit->got[visit->len] = '\0';
    if (strstr(visit->got, visit->hears)) {
        cw_conn_close(conn);
    }
}

static void visit_closed(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct rig_visit *visit = user;

    visit->reason = *reason;
    if (++visit->closed >= visit->rounds) {
        cw_client_stop(visit->loop, visit->client);
    }
}

static void visit_failed(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    struct rig_visit *visit = user;

    visit->failed++;
    visit->report = *report;
    visit->report.address = NULL;
    if (report->address) {
        visit->address = *report->address;
        visit->report.address = &visit->address;
    }
}

static const struct cw_hooks visit_hooks = {.on_connection = visit_opened,
                                            .on_data = visit_got,
                                            .on_close = visit_closed,
                                            .on_error = visit_failed};

void rig_visit(struct rig_visit *visit, const char *address, const struct cw_tls_options *tls)
{
    const struct cw_protocol *protocol = visit->protocol ? visit->protocol : &cw_tcp;
    const struct cw_connect_options options = {.tls = tls,
                                               .connect_ms = visit->connect_ms ? visit->connect_ms
                                                                               : RIG_DEADLINE_MS,
                                               .reconnect = visit->rounds > 1,
                                               .reconnect_min_ms = 1,
                                               .attempts_max = visit->rounds > 1 ? 8 : 0};

    visit->says = visit->says ? visit->says : "hello\n";
    visit->hears = visit->hears ? visit->hears : "olleh\n";
    visit->loop = cw_loop_new();
    rig_check(visit->loop);
    visit->client =
        cw_connect(visit->loop, cw_service(protocol, &visit_hooks, visit), address, &options);
    if (visit->client < 0) {
        rig_fail(__FILE__, __LINE__, "connect %s: %s", address, cw_strerror((int)visit->client));
    }
    rig_check(cw_loop_run(visit->loop) == CW_OK);
    cw_loop_free(visit->loop);
    visit->loop = NULL;
}

/* ---- programs ---- */

/* In the folders of PATH, as a shell would. */
static bool find_program(const char *name, char *path, size_t cap)
{
    const char *at = getenv("PATH");

    at = at ? at : "/usr/local/bin:/usr/bin:/bin";
    while (*at) {
        size_t len = strcspn(at, ":");

        snprintf(path, cap, "%.*s/%s", (int)len, at, name);
        if (len > 0 && access(path, X_OK) == 0) {
            return true;
        }
        at += len + (at[len] == ':');
    }
    return false;
}

bool rig_has_program(const char *name)
{
    char path[PATH_CAP];

    return find_program(name, path, sizeof path);
}

static void start(struct rig_child *child, const char *const *words,
                  void (*fn)(struct rig_child *child, const char *path, char *const *arguments))
{
    char path[PATH_CAP];
    char *argv[WORDS_MAX + 1] = {NULL};

    rig_check(find_program(words[0], path, sizeof path));
    for (size_t i = 0; words[i]; i++) {
        rig_check(i < WORDS_MAX);
        argv[i] = (char *)(uintptr_t)words[i];
    }
    fn(child, path, argv);
}

void rig_start_words(struct rig_child *child, const char *const *words)
{
    start(child, words, rig_child_start);
}

void rig_start_words_fed(struct rig_child *child, const char *const *words)
{
    start(child, words, rig_child_start_fed);
}

int rig_run_words(struct rig_child *child, const char *const *words)
{
    rig_start_words_fed(child, words);
    return rig_child_join(child);
}

static void join_words(const char **words, size_t count, const char *const *more)
{
    for (size_t i = 0; more && more[i]; i++) {
        rig_check(count < WORDS_MAX - 1);
        words[count++] = more[i];
    }
    words[count] = NULL;
}

void rig_s_client(struct rig_child *child, const struct rig_secure *secure, const char *const *more)
{
    const char *words[WORDS_MAX] = {"openssl",          "s_client",  "-connect",
                                    secure->address,    "-CAfile",   pki("ca.pem"),
                                    "-verify_hostname", "localhost", "-verify_return_error"};

    join_words(words, 9, more);
    rig_start_words_fed(child, words);
}

void rig_s_client_talk(struct rig_child *child)
{
    int status;

    rig_child_type(child, "a line of text");
    rig_child_await_text(child, "a line of text");
    status = rig_child_join(child);
    if (status != 0) {
        rig_fail(__FILE__, __LINE__, "s_client ended with %d: %s", status, child->text);
    }
}

void rig_s_client_visit(struct rig_child *child, const struct rig_secure *secure,
                        const char *const *more)
{
    rig_s_client(child, secure, more);
    rig_s_client_talk(child);
}

uint16_t rig_s_server(struct rig_child *child, const char *name, const char *const *more)
{
    static const char line[] = "ACCEPT ";
    char cert[64];
    char key[64];
    const char *at;
    unsigned port;

    snprintf(cert, sizeof cert, "%s.pem", name);
    snprintf(key, sizeof key, "%s.key", name);
    const char *words[WORDS_MAX] = {"openssl", "s_server",    "-accept", "127.0.0.1:0",
                                    "-rev",    "-cert",       pki(cert), "-key",
                                    pki(key),  "-cert_chain", pki(cert)};
    join_words(words, 11, more);
    rig_start_words(child, words);
    rig_child_await_text(child, line);
    at = strrchr(strstr(child->text, line), ':');
    rig_check(at && sscanf(at, ":%u", &port) == 1);
    return (uint16_t)port;
}

void rig_s_server_end(struct rig_child *child)
{
    rig_child_signal(child, SIGTERM);
    rig_child_join(child);
}

void rig_expect_text(const struct rig_child *child, const char *text)
{
    if (!strstr(child->text, text)) {
        rig_fail(__FILE__, __LINE__, "no \"%s\" in: %s", text, child->text);
    }
}

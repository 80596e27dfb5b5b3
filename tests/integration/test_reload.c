/* Certificates and files read again while a server runs: by call and by SIGHUP. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/program.h"
#include "support/scene.h"
#include "support/secure.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/protocol.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(reload, .fini = rig_expect_no_leak, .timeout = 90);

enum { DEAD_BY_SIGNAL = 1000 };

/* ---- SIGHUP ---- */

static void start_echo(struct rig_child *child, const char *const *arguments)
{
    if (!rig_program_start(child, "echo", arguments)) {
        cr_skip_test("the examples were left out of this build");
    }
}

Test(reload, a_hangup_ends_a_server_that_has_nothing_to_read_again)
{
    struct rig_child echo;

    start_echo(&echo, (const char *const[]){"--port", "0", NULL});
    rig_program_port(&echo);
    rig_child_signal(&echo, SIGHUP);
    rig_program_expect_status(&echo, DEAD_BY_SIGNAL + SIGHUP);
}

Test(reload, hangups_are_not_counted_as_the_first_or_second_signal_to_end)
{
    struct rig_child echo;
    char cert[512];
    char key[512];

    if (!pki_made()) {
        cr_skip_test("there are no certificates in this build");
    }
    snprintf(cert, sizeof cert, "%s", pki("server.pem"));
    snprintf(key, sizeof key, "%s", pki("server.key"));
    start_echo(&echo,
               (const char *const[]){"--port", "0", "--tls-cert", cert, "--tls-key", key, NULL});
    struct rig_peer peer = rig_peer_tcp(rig_program_port_of(&echo, "tls"));
    for (int i = 0; i < 20; i++) {
        rig_child_signal(&echo, SIGHUP);
    }
    rig_child_await_text(&echo, "info: reload: changed: certificates of 1 listener");
    rig_child_signal(&echo, SIGTERM);
    for (int i = 0; i < 20; i++) {
        rig_child_signal(&echo, SIGHUP);
    }
    rig_peer_expect_end(&peer);
    rig_peer_close(&peer);
    rig_program_expect_status(&echo, 0);
}

static void never(struct cw_loop *loop, void *user) {}

static void say_running(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    puts("running");
    fflush(stdout);
}

static int run_loop_main(void *arg)
{
    struct cw_loop *loop = cw_loop_new();

    rig_check(cw_timer_start(loop, 3600000, 0, never, NULL));
    rig_check(cw_loop_post(loop, say_running, NULL) == CW_OK);
    return cw_loop_main(loop);
}

Test(reload, a_program_that_only_connects_ends_by_a_hangup_as_it_always_has)
{
    struct rig_child child;

    rig_child_fork(&child, run_loop_main, NULL);
    rig_child_await_text(&child, "running");
    rig_child_signal(&child, SIGHUP);
    cr_expect_eq(rig_child_join(&child), DEAD_BY_SIGNAL + SIGHUP);
}

/* ---- a terminal ---- */

struct seat {
    int master;
    bool tls;
    bool ignores; /* as nohup has it */
    char cert[512];
    char key[512];
};

static void say_ready(struct cw_server *server, const struct cw_address *address, const char *text,
                      void *user)
{
    puts("ready");
    fflush(stdout);
}

/* A server that somebody tries out: its standard input is a terminal, which it belongs to. */
static int serve_at_terminal(void *arg)
{
    const struct seat *seat = arg;
    const struct cw_tls_options tls = {.cert = seat->cert, .key = seat->key};
    const struct cw_hooks hooks = {.on_listening = say_ready};
    struct cw_server *server = cw_create_server(&cw_tcp);
    int terminal = open(ptsname(seat->master), O_RDWR | O_NOCTTY);

    rig_check(terminal >= 0);
    rig_check(setsid() > 0);
    rig_check(ioctl(terminal, TIOCSCTTY, 0) == 0);
    rig_check(dup2(terminal, STDIN_FILENO) == STDIN_FILENO);
    close(seat->master);
    signal(SIGHUP, seat->ignores ? SIG_IGN : SIG_DFL);
    cw_server_set_hooks(server, &hooks, NULL);
    cw_server_listen(
        server, &(struct cw_listen_options){.host = "127.0.0.1", .tls = seat->tls ? &tls : NULL});
    return cw_server_main(server);
}

static void sit_down(struct seat *seat, struct rig_child *child)
{
    if (!pki_made()) {
        cr_skip_test("there are no certificates in this build");
    }
    snprintf(seat->cert, sizeof seat->cert, "%s", pki("server.pem"));
    snprintf(seat->key, sizeof seat->key, "%s", pki("server.key"));
    seat->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (seat->master < 0) {
        cr_skip_test("there are no terminals here (/dev/pts)");
    }
    cr_assert_eq(grantpt(seat->master), 0);
    cr_assert_eq(unlockpt(seat->master), 0);
    rig_child_fork(child, serve_at_terminal, seat);
    rig_child_await_text(child, "ready");
}

Test(reload, a_server_whose_terminal_is_closed_drains_and_ends)
{
    struct seat seat = {.tls = true};
    struct rig_child child;

    sit_down(&seat, &child);
    rig_child_signal(&child, SIGHUP);
    rig_child_await_text(&child, "info: reload: changed: certificates of 1 listener");
    close(seat.master);
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
    cr_expect_not_null(strstr(child.text, "stopped"), "%s", child.text);
}

Test(reload, a_server_with_nothing_to_read_again_ends_with_its_terminal)
{
    struct seat seat = {.tls = false};
    struct rig_child child;

    sit_down(&seat, &child);
    close(seat.master);
    cr_expect_eq(rig_child_join(&child), DEAD_BY_SIGNAL + SIGHUP, "%s", child.text);
}

Test(reload, a_server_that_was_told_to_ignore_hangups_outlives_its_terminal)
{
    struct seat seat = {.tls = true, .ignores = true};
    struct rig_child child;

    sit_down(&seat, &child);
    close(seat.master);
    rig_child_await_text(&child, "info: reload: changed: certificates of 1 listener");
    rig_child_signal(&child, SIGTERM);
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
}

/* ---- by call ---- */

struct stage {
    struct rig_story story; /* first: the story's hooks get it as their `user` */
    atomic_uint reloads;
    atomic_int last_error;
    atomic_bool let_go;
};

static void on_reload(struct cw_server *server, int error, void *user)
{
    struct stage *stage = user;

    atomic_store(&stage->last_error, error);
    atomic_fetch_add(&stage->reloads, 1);
}

static struct cw_hooks hooks_of_reload(void)
{
    struct cw_hooks hooks = rig_story_with_data(rig_echo);

    hooks.on_reload = on_reload;
    return hooks;
}

Test(reload, each_reload_that_has_begun_is_told_once)
{
    struct cw_hooks hooks = hooks_of_reload();
    struct stage stage = {.last_error = 1};
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, NULL), &hooks, &stage);

    for (unsigned i = 1; i <= 5; i++) {
        int answer = cw_server_reload(rig_host_server(host));
        while (answer == CW_EAGAIN) { /* the hook has been called; the state behind it not yet */
            rig_rest(0);
            answer = cw_server_reload(rig_host_server(host));
        }
        cr_assert_eq(answer, CW_OK);
        rig_await(atomic_load(&stage.reloads) >= i);
    }
    cr_expect_eq(atomic_load(&stage.last_error), CW_OK);
    rig_host_end(host);
}

/* Keeps the only helper busy. */
static void wait_for_go(void *arg)
{
    struct stage *stage = arg;

    rig_await(atomic_load(&stage->let_go));
}

static void occupy(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(cw_work(loop, wait_for_go, NULL, arg) == CW_OK);
}

Test(reload, one_that_is_asked_for_meanwhile_is_done_behind_it_and_only_once)
{
    struct cw_server_options options = {.work_threads = 1};
    struct cw_hooks hooks = hooks_of_reload();
    struct stage stage = {.last_error = 1};
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, &options), &hooks, &stage);

    rig_host_run(host, 0, occupy, &stage);
    cr_expect_eq(cw_server_reload(rig_host_server(host)), CW_OK);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(cw_server_reload(rig_host_server(host)), CW_EAGAIN);
    }
    cr_expect_eq(atomic_load(&stage.reloads), 0);
    atomic_store(&stage.let_go, true);
    rig_await(atomic_load(&stage.reloads) == 2);
    for (int i = 0; i < 10; i++) {
        rig_host_run(host, 0, rig_pass, NULL);
    }
    cr_expect_eq(atomic_load(&stage.reloads), 2);
    rig_host_end(host);
    cr_expect_eq(atomic_load(&stage.reloads), 2);
}

Test(reload, a_stop_meanwhile_does_not_wait_for_it_and_the_hook_is_told)
{
    struct cw_server_options options = {.work_threads = 1, .drain_ms = 100};
    struct cw_hooks hooks = hooks_of_reload();
    struct stage stage = {.last_error = 1};
    struct rig_host *host = rig_host_start(rig_server(&cw_tcp, &options), &hooks, &stage);

    rig_host_run(host, 0, occupy, &stage);
    cr_expect_eq(cw_server_reload(rig_host_server(host)), CW_OK);
    cr_expect_eq(cw_server_reload(rig_host_server(host)), CW_EAGAIN);
    cw_server_stop(rig_host_server(host));
    rig_await(atomic_load(&stage.reloads) == 1); /* it had not begun */
    cr_expect_eq(atomic_load(&stage.last_error), CW_ESTOPPED);
    cr_expect_eq(atomic_load(&stage.story.errors), 1);
    atomic_store(&stage.let_go, true);
    rig_host_end(host);
    cr_expect_eq(atomic_load(&stage.reloads), 1);
}

Test(reload, a_server_that_does_not_run_answers_so)
{
    struct cw_server *server = rig_server(&cw_tcp, NULL);
    struct rig_host *host;

    cr_expect_eq(cw_server_reload(NULL), CW_ESTOPPED);
    cr_expect_eq(cw_server_reload(server), CW_ESTOPPED);
    host = rig_host_start(server, NULL, NULL);
    rig_host_stop(host);
    cr_expect_eq(cw_server_reload(server), CW_ESTOPPED);
    rig_host_free(host);
}

/* ---- certificates ---- */

/* A folder with cert.pem and key.pem. */
struct shelf {
    char folder[64];
    char cert[96];
    char key[96];
};

static void copy_file(const char *from, const char *to)
{
    char bytes[16384];
    FILE *in = fopen(from, "r");
    FILE *out = fopen(to, "w");
    size_t len;

    rig_check(in && out);
    len = fread(bytes, 1, sizeof bytes, in);
    rig_check(fwrite(bytes, 1, len, out) == len);
    rig_check(fclose(in) == 0);
    rig_check(fclose(out) == 0);
}

static void put_cert(const struct shelf *shelf, bool next)
{
    copy_file(pki(next ? "next.pem" : "server.pem"), shelf->cert);
}

static void put_key(const struct shelf *shelf, bool next)
{
    copy_file(pki(next ? "next.key" : "server.key"), shelf->key);
    cr_assert_eq(chmod(shelf->key, 0600), 0);
}

static struct shelf shelf_new(void)
{
    struct shelf shelf = {.folder = "/tmp/causeway-test-XXXXXX"};

    if (!pki_made()) {
        cr_skip_test("there are no certificates in this build");
    }
    if (!rig_has_program("python3")) {
        cr_skip_test("python3 is not installed");
    }
    cr_assert_not_null(mkdtemp(shelf.folder));
    snprintf(shelf.cert, sizeof shelf.cert, "%s/cert.pem", shelf.folder);
    snprintf(shelf.key, sizeof shelf.key, "%s/key.pem", shelf.folder);
    put_cert(&shelf, false);
    put_key(&shelf, false);
    return shelf;
}

static void shelf_free(const struct shelf *shelf)
{
    unlink(shelf->cert);
    unlink(shelf->key);
    cr_expect_eq(rmdir(shelf->folder), 0);
}

static void listen_with(struct cw_server *server, const struct shelf *shelf)
{
    struct cw_tls_options tls = {.cert = shelf->cert, .key = shelf->key};

    cr_assert_eq(
        cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1", .tls = &tls}),
        CW_OK);
}

static struct rig_host *start_with(const struct shelf *one, const struct shelf *other,
                                   const struct cw_server_options *options, struct stage *stage)
{
    struct cw_hooks hooks = hooks_of_reload();
    struct cw_server *server = cw_create_server(&cw_tcp);

    cr_assert_eq(cw_server_configure(server, options), CW_OK);
    listen_with(server, one);
    if (other) {
        listen_with(server, other);
    }
    return rig_host_start(server, &hooks, stage);
}

/* Visits in another process, and waits. */
static void begin_visits(struct rig_child *child, uint16_t port, unsigned visits)
{
    static char script[] = CW_SOURCE_DIR "/tests/programs/tls_visits.py";
    char texts[2][16];
    char ca[512];
    char *arguments[] = {"env", "python3", script, texts[0], ca, texts[1], "8", NULL};

    snprintf(texts[0], sizeof texts[0], "%u", port);
    snprintf(texts[1], sizeof texts[1], "%u", visits);
    snprintf(ca, sizeof ca, "%s", pki("ca.pem"));
    rig_child_start(child, "/usr/bin/env", arguments);
}

static void expect_shown(const struct rig_host *host, unsigned listener, const char *line)
{
    struct rig_child child;

    begin_visits(&child, rig_host_port(host, listener), 1);
    cr_expect_eq(rig_child_join(&child), 0, "%s", child.text);
    cr_expect_str_eq(child.text, line);
}

static void reload_and_wait(const struct rig_host *host, struct stage *stage, int error)
{
    unsigned before = atomic_load(&stage->reloads);
    int answer = cw_server_reload(rig_host_server(host));

    while (answer == CW_EAGAIN) {
        rig_await(atomic_load(&stage->reloads) > before);
        before = atomic_load(&stage->reloads);
        answer = cw_server_reload(rig_host_server(host));
    }
    cr_assert_eq(answer, CW_OK);
    rig_await(atomic_load(&stage->reloads) > before);
    cr_expect_eq(atomic_load(&stage->last_error), error, "%d", atomic_load(&stage->last_error));
}

Test(reload, a_certificate_that_cannot_be_read_is_the_servers_first_error)
{
    struct cw_tls_options tls = {.cert = "/nowhere/server.pem", .key = "/nowhere/server.key"};
    struct cw_listen_options listen = {.host = "127.0.0.1", .port = 1, .tls = &tls};
    struct cw_server *server = cw_create_server(&cw_tcp);

    cr_expect_eq(cw_server_listen(server, &listen), CW_OK);
    cr_expect_eq(cw_server_run(server), CW_ENOPATH);
    cr_expect_str_eq(cw_server_error(server),
                     "listen 127.0.0.1:1: tls.cert: /nowhere/server.pem: no such file");
    cw_server_free(server);
}

static const struct cw_protocol *plain_and_secret(struct cw_protocol *copy)
{
    *copy = cw_tcp;
    copy->scheme = "ape";
    copy->scheme_tls = "apes";
    return copy;
}

Test(reload, the_address_of_a_listener_says_whether_it_speaks_tls)
{
    struct cw_hooks hooks = hooks_of_reload();
    struct cw_server *server = cw_create_server(&cw_tcp);
    struct shelf shelf = shelf_new();
    struct cw_protocol own;
    struct cw_service service = cw_service(plain_and_secret(&own), NULL, NULL);
    struct cw_tls_options tls = {.cert = shelf.cert, .key = shelf.key};
    struct cw_tls_options later = {.cert = shelf.cert, .key = shelf.key, .start_tls = true};
    struct cw_listen_options options[] = {
        {.host = "127.0.0.1"},
        {.host = "127.0.0.1", .tls = &tls},
        {.host = "127.0.0.1", .tls = &later},
        {.host = "127.0.0.1", .service = service},
        {.host = "127.0.0.1", .service = service, .tls = &tls},
        {.host = "127.0.0.1", .service = service, .tls = &later},
    };
    static const char *const starts[] = {"tcp://", "tls://",  "tcp://",
                                         "ape://", "apes://", "ape://"};
    struct stage stage = {0};
    struct rig_host *host;

    for (int i = 0; i < 6; i++) {
        cr_assert_eq(cw_server_listen(server, &options[i]), CW_OK);
    }
    host = rig_host_start(server, &hooks, &stage);
    for (unsigned i = 0; i < 6; i++) {
        const char *text = rig_host_text(host, i);
        cr_expect_eq(strncmp(text, starts[i], strlen(starts[i])), 0, "%s", text);
    }
    rig_host_end(host);
    shelf_free(&shelf);
}

Test(reload, new_connections_get_the_new_certificate_and_an_open_one_stays)
{
    struct cw_server_options options = {0};
    struct stage stage = {0};
    struct shelf shelf = shelf_new();
    struct rig_host *host = start_with(&shelf, NULL, &options, &stage);

    expect_shown(host, 0, "server=1\n");
    put_cert(&shelf, true);
    put_key(&shelf, true);
    expect_shown(host, 0, "server=1\n"); /* nobody has asked for it */
    reload_and_wait(host, &stage, CW_OK);
    expect_shown(host, 0, "next=1\n");
    cr_expect_eq(atomic_load(&stage.story.errors), 0);
    rig_host_end(host);
    shelf_free(&shelf);
}

Test(reload, a_listener_whose_files_do_not_pass_keeps_the_old_ones_and_the_others_are_renewed)
{
    struct cw_server_options options = {0};
    struct stage stage = {0};
    struct shelf broken = shelf_new();
    struct shelf good = shelf_new();
    struct rig_host *host = start_with(&broken, &good, &options, &stage);
    char text[CW_REPORT_TEXT_MAX];
    FILE *file;

    put_cert(&good, true);
    put_key(&good, true);
    put_cert(&broken, true);
    file = fopen(broken.key, "w");
    cr_assert_not_null(file);
    fputs("this is no key\n", file);
    fclose(file);
    reload_and_wait(host, &stage, CW_ECERT);
    cr_expect_eq(atomic_load(&stage.story.errors), 1);
    cr_expect_eq(stage.story.report_address.port, rig_host_port(host, 0));
    snprintf(text, sizeof text,
             "reload: listen 127.0.0.1:%u: tls.key: %s: ", rig_host_port(host, 0), broken.key);
    cr_expect_eq(strncmp(stage.story.report.text, text, strlen(text)), 0, "%s",
                 stage.story.report.text);
    expect_shown(host, 0, "server=1\n");
    expect_shown(host, 1, "next=1\n");
    unlink(broken.key);
    reload_and_wait(host, &stage, CW_ENOPATH);
    expect_shown(host, 0, "server=1\n");
    put_key(&broken, true);
    reload_and_wait(host, &stage, CW_OK);
    expect_shown(host, 0, "next=1\n");
    rig_host_end(host);
    shelf_free(&broken);
    shelf_free(&good);
}

/* CW_RELOAD_VISITS=10000 for the whole thing: a minute of two processors. */
static unsigned visits_wanted(void)
{
    const char *wanted = getenv("CW_RELOAD_VISITS");

    return wanted ? (unsigned)strtoul(wanted, NULL, 10) : 2000;
}

Test(reload, while_certificates_change_a_hundred_times_nobody_is_refused_or_shown_a_mixture,
     .timeout = 600)
{
    enum { CHANGES = 100 };
    const unsigned wanted = visits_wanted();
    struct cw_server_options options = {.workers = 2};
    struct stage stage = {0};
    struct shelf shelf = shelf_new();
    struct rig_host *host = start_with(&shelf, NULL, &options, &stage);
    struct cw_server_stats stats;
    struct rig_child visits;
    unsigned shown[2] = {0, 0};

    begin_visits(&visits, rig_host_port(host, 0), wanted);
    for (unsigned i = 1; i <= CHANGES; i++) {
        rig_await(atomic_load(&stage.story.opened) >= i * (wanted / CHANGES) - wanted / CHANGES / 2);
        put_cert(&shelf, i % 2);
        if (i % 10 == 0) { /* in the middle of a change nothing fits together */
            reload_and_wait(host, &stage, CW_ECERT);
        }
        put_key(&shelf, i % 2);
        reload_and_wait(host, &stage, CW_OK);
    }
    cr_expect_eq(rig_child_join(&visits), 0, "%s", visits.text);
    cr_expect_eq(sscanf(visits.text, "next=%u server=%u\n", &shown[0], &shown[1]), 2, "%s",
                 visits.text);
    cr_expect_eq(shown[0] + shown[1], wanted);
    cr_expect_gt(shown[0], wanted / 10);
    cr_expect_gt(shown[1], wanted / 10);
    expect_shown(host, 0, "server=1\n");
    cw_server_stats(rig_host_server(host), &stats);
    cr_expect_eq(stats.conns_total, wanted + 1);
    cr_expect_eq(stats.handshakes_failed, 0);
    cr_expect_eq(atomic_load(&stage.story.errors), CHANGES / 10);
    rig_host_end(host);
    shelf_free(&shelf);
}

/* ---- the configuration file ---- */

static struct {
    pthread_mutex_t lock;
    char text[4000];
} logged = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void keep_line(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    size_t len;

    pthread_mutex_lock(&logged.lock);
    len = strlen(logged.text);
    snprintf(logged.text + len, sizeof logged.text - len, "%s\n", text);
    pthread_mutex_unlock(&logged.lock);
}

static void expect_logged(const char *line)
{
    pthread_mutex_lock(&logged.lock);
    cr_expect(strstr(logged.text, line), "%s", logged.text);
    logged.text[0] = '\0';
    pthread_mutex_unlock(&logged.lock);
}

/* A file of its own with a listener over TLS. */
struct paper {
    struct shelf shelf;
    char path[96];
};

static void write_down(const struct paper *paper, const char *limits)
{
    FILE *file = fopen(paper->path, "w");

    cr_assert_not_null(file);
    fprintf(file,
            "server:\n  bind: 127.0.0.1\n  port: 0\n"
            "  tls: {enabled: true, cert: %s, key: %s}\n%s",
            paper->shelf.cert, paper->shelf.key, limits);
    cr_assert_eq(fclose(file), 0);
}

static struct rig_host *start_by_file(struct paper *paper, struct stage *stage)
{
    struct cw_hooks hooks = hooks_of_reload();
    struct cw_server *server = cw_create_server(&cw_tcp);

    paper->shelf = shelf_new();
    snprintf(paper->path, sizeof paper->path, "%s/server.yaml", paper->shelf.folder);
    write_down(paper, "  max_connections: 20\n  tcp: {timeout: 3600}\n");
    cr_assert_eq(cw_config_load(server, paper->path, NULL), CW_OK, "%s", cw_server_error(server));
    cw_log_set(keep_line, NULL);
    return rig_host_start(server, &hooks, stage);
}

static void end_of_file(struct rig_host *host, const struct paper *paper)
{
    rig_host_end(host);
    cw_log_set(NULL, NULL);
    unlink(paper->path);
    shelf_free(&paper->shelf);
}

Test(reload, the_file_is_read_again_and_one_line_says_what_has_come_of_it)
{
    struct stage stage = {0};
    struct paper paper;
    struct rig_host *host = start_by_file(&paper, &stage);

    expect_shown(host, 0, "server=1\n");
    put_cert(&paper.shelf, true);
    put_key(&paper.shelf, true);
    write_down(&paper, "  max_connections: 30\n  workers: 2\n  tcp: {timeout: 7200}\n"
                       "  log: {level: warning}\n");
    reload_and_wait(host, &stage, CW_OK);
    expect_logged("reload: changed: certificates of 1 listener, conns_max, "
                  "idle_ms, log level; unchanged until a new start: server.workers\n");
    expect_shown(host, 0, "next=1\n");
    write_down(&paper, "  max_connections: 30\n  workers: 2\n  tcp: {timeout: 7200}\n"
                       "  log: {level: info}\n");
    reload_and_wait(host, &stage, CW_OK);
    expect_logged("reload: changed: certificates of 1 listener, log level; "
                  "unchanged until a new start: server.workers\n");
    cr_expect_eq(atomic_load(&stage.story.errors), 0);
    end_of_file(host, &paper);
}

Test(reload, a_file_that_does_not_pass_changes_nothing_at_all)
{
    struct stage stage = {0};
    struct paper paper;
    struct rig_host *host = start_by_file(&paper, &stage);
    static const char text[] = "reload: server.yaml:6: server.tcp.no_such_key: unknown key";

    put_cert(&paper.shelf, true);
    put_key(&paper.shelf, true);
    write_down(&paper, "  max_connections: 1\n  tcp: {no_such_key: 7200}\n");
    reload_and_wait(host, &stage, CW_ECONFIG);
    cr_expect_eq(atomic_load(&stage.story.errors), 1);
    cr_expect_eq(stage.story.report.code, CW_ECONFIG);
    cr_expect_eq(strncmp(stage.story.report.text, text, strlen(text)), 0, "%s",
                 stage.story.report.text);
    expect_shown(host, 0, "server=1\n");
    unlink(paper.path);
    reload_and_wait(host, &stage, CW_ENOPATH);
    expect_shown(host, 0, "server=1\n");
    write_down(&paper, "");
    reload_and_wait(host, &stage, CW_OK);
    expect_shown(host, 0, "next=1\n");
    end_of_file(host, &paper);
}

Test(reload, another_certificate_that_the_file_names_is_taken)
{
    struct stage stage = {0};
    struct paper paper;
    struct paper other;
    struct rig_host *host = start_by_file(&paper, &stage);

    other = paper;
    other.shelf = shelf_new();
    put_cert(&other.shelf, true);
    put_key(&other.shelf, true);
    write_down(&other, "");
    reload_and_wait(host, &stage, CW_OK);
    expect_shown(host, 0, "next=1\n");
    shelf_free(&other.shelf);
    end_of_file(host, &paper);
}

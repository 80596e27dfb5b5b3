/* Each kind of trouble reaches the application under its own code. */
#include "support/leak.h"
#include "support/scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

TestSuite(errors, .fini = rig_expect_no_leak, .timeout = 60);

static void expect_story(struct rig_scene *scene, int code, int os_errno)
{
    rig_scene_await_closed(scene, code);
    cr_expect_eq(scene->story.reason.os_errno, os_errno, "errno %d", scene->story.reason.os_errno);
    cr_expect_eq(atomic_load(&scene->story.errors), 1);
    cr_expect_eq(scene->story.report.code, code);
    cr_expect_eq(scene->story.report.os_errno, os_errno);
    cr_expect_eq(scene->story.report.tls_alert, CW_NO_ALERT);
    cr_expect_eq(scene->story.report.conn_id, atomic_load(&scene->story.conn_id));
    cr_expect_neq(scene->story.report_address.port, 0);
    cr_expect_not_null(strstr(scene->story.report.text, cw_strerror(code)), "%s",
                       scene->story.report.text);
}

Test(errors, a_reset_is_a_reset)
{
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_conn(&scene);
    rig_peer_reset(&scene.peer);
    expect_story(&scene, CW_ERESET, ECONNRESET);
    rig_scene_end(&scene);
}

static void keep_sending(struct cw_conn *conn, void *user)
{
    cw_conn_send_text(conn, "more");
}

static void start_sending(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(cw_conn_after(conn, 1, 5, keep_sending, NULL) == CW_OK);
}

static void ignore_end(struct cw_conn *conn, void *user) {}

/* Half-open: we have seen the peer's end, and only writing can tell that it is gone. A close without unread input gives
 * an end first, then a reset to the first bytes, then a broken pipe. */
Test(errors, a_peer_that_no_longer_reads_is_a_broken_pipe)
{
    struct cw_server_options options = {.half_open = true};
    struct cw_hooks hooks = rig_story_hooks;
    struct rig_scene scene;

    hooks.on_end = ignore_end;
    rig_scene_begin(&scene, &cw_tcp, &options, &hooks);
    rig_scene_conn(&scene);
    rig_peer_close(&scene.peer);
    rig_scene_run(&scene, start_sending, NULL);
    expect_story(&scene, CW_EPIPE, EPIPE);
    rig_scene_end(&scene);
}

/* From now on the kernel drops every packet for this peer, as if the cable were cut. */
static void cut_off(struct rig_peer *peer)
{
    struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = {.len = 1, .filter = &drop};

    cr_assert_eq(setsockopt(peer->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), 0);
}

static void set_user_timeout(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    rig_check(cw_conn_set_tcp(conn, &(struct cw_tcp_options){.user_timeout_ms = 400}) == CW_OK);
}

Test(errors, a_network_that_no_longer_reaches_the_peer_is_a_time_out)
{
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, set_user_timeout, NULL);
    cut_off(&scene.peer);
    rig_scene_run(&scene, rig_send_text, "into the void");
    expect_story(&scene, CW_ETIMEDOUT, ETIMEDOUT);
    rig_scene_end(&scene);
}

static void set_keepalive(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct cw_tcp_options options = {.keepalive_ms = 1000,
                                     .keepalive_interval_ms = 1000,
                                     .keepalive_probes = 1,
                                     .user_timeout_ms = CW_OFF};

    rig_check(cw_conn_set_tcp(conn, &options) == CW_OK);
}

Test(errors, a_silent_dead_peer_is_found_by_keepalive)
{
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, set_keepalive, NULL);
    cut_off(&scene.peer);
    expect_story(&scene, CW_ETIMEDOUT, ETIMEDOUT);
    rig_scene_end(&scene);
}

static void pause_reading(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    cw_conn_pause(conn);
}

Test(errors, a_reset_is_found_though_we_do_not_read)
{
    struct rig_scene scene;

    rig_scene_begin(&scene, &cw_tcp, NULL, &rig_story_hooks);
    rig_scene_run(&scene, pause_reading, NULL);
    rig_peer_reset(&scene.peer);
    expect_story(&scene, CW_ERESET, ECONNRESET);
    rig_scene_end(&scene);
}

/* ---- from the errno to the code ---- */

Test(errors, every_errno_of_a_network_has_its_code)
{
    static const struct {
        int os_errno;
        int code;
    } pairs[] = {
        {ECONNRESET, CW_ERESET},
        {ECONNABORTED, CW_ERESET},
        {EPIPE, CW_EPIPE},
        {ETIMEDOUT, CW_ETIMEDOUT},
        {ECONNREFUSED, CW_EREFUSED},
        {EHOSTUNREACH, CW_EUNREACHABLE},
        {ENETUNREACH, CW_EUNREACHABLE},
        {ENETDOWN, CW_EUNREACHABLE},
        {EADDRINUSE, CW_EADDRINUSE},
        {EADDRNOTAVAIL, CW_EADDRNOTAVAIL},
        {EACCES, CW_EACCESS},
        {EPERM, CW_EACCESS},
        {ENOENT, CW_ENOPATH},
        {ENOTDIR, CW_ENOPATH},
        {EMFILE, CW_EDESCRIPTORS},
        {ENFILE, CW_EDESCRIPTORS},
        {ENOMEM, CW_ENOMEM},
        {EIO, CW_EOS},
    };

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        cr_expect_eq(cw_error_from_errno(pairs[i].os_errno), pairs[i].code, "errno %d",
                     pairs[i].os_errno);
    }
}

Test(errors, every_code_has_a_name_and_a_sentence_of_its_own)
{
#define CODE(name, number, text) {name, #name},
    static const struct {
        int code;
        const char *name;
    } codes[] = {{CW_OK, "CW_OK"},
                 CW_ERRORS(CODE){CW_BY_PEER, "CW_BY_PEER"},
                 {CW_BY_APP, "CW_BY_APP"},
                 {CW_BY_ABORT, "CW_BY_ABORT"},
                 {CW_BY_STOP, "CW_BY_STOP"},
                 {CW_SWITCHED, "CW_SWITCHED"},
                 {CW_BY_PROTOCOL, "CW_BY_PROTOCOL"}};
#undef CODE
    const size_t count = sizeof codes / sizeof codes[0];

    for (size_t i = 0; i < count; i++) {
        cr_expect_str_eq(cw_error_name(codes[i].code), codes[i].name);
        cr_expect_str_neq(cw_strerror(codes[i].code), "unknown code", "%s", codes[i].name);
        for (size_t j = 0; j < i; j++) {
            cr_expect_str_neq(cw_strerror(codes[i].code), cw_strerror(codes[j].code));
            cr_expect_neq(codes[i].code, codes[j].code);
        }
    }
    cr_expect_str_eq(cw_error_name(-9999), "CW_UNKNOWN");
    cr_expect_str_eq(cw_strerror(12345), "unknown code");
}

/* ---- errors of the application's own making ---- */

static int refuse_them(struct cw_conn_middleware *self, struct cw_conn *conn, void *slot,
                       const struct cw_message *msg)
{
    return CW_EDENIED;
}

Test(errors, a_middlewares_refusal_closes_with_its_code)
{
    static struct cw_conn_middleware strict = {.name = "strict", .on_message = refuse_them};
    struct rig_story story = {0};
    struct cw_server *server = rig_server(&cw_tcp, NULL);
    struct rig_host *host;
    struct rig_peer peer;

    cr_assert_eq(cw_server_use(server, &strict), CW_OK);
    host = rig_host_start(server, &rig_story_hooks, &story);
    peer = rig_peer_tcp(rig_host_port(host, 0));
    rig_peer_send_text(&peer, "hello");
    rig_peer_expect_end(&peer);
    rig_await(atomic_load(&story.closed) == 1);
    cr_expect_eq(story.reason.code, CW_EDENIED);
    cr_expect_eq(story.report.code, CW_EDENIED);
    cr_expect_eq(atomic_load(&story.messages), 0);
    rig_peer_close(&peer);
    rig_host_end(host);
}

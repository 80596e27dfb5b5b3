/* Certificates and files read again while a server runs: by call and by SIGHUP. */
#include "support/leak.h"
#include "support/pki.h"
#include "support/program.h"
#include "support/scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(reload, .fini = rig_expect_no_leak, .timeout = 90);

enum { DEAD_BY_SIGNAL = 1000 };

/* ---- SIGHUP ---- */

static uint16_t start_echo(struct rig_child *child)
{
    static const char *const arguments[] = {"--port", "0", NULL};

    if (!rig_program_start(child, "echo", arguments)) {
        cr_skip_test("the examples were left out of this build");
    }
    return rig_program_port(child);
}

static void expect_echo(struct rig_peer *peer)
{
    char buffer[8];

    rig_peer_send_frame(peer, "hello", 5);
    cr_assert_eq(rig_peer_receive_frame(peer, buffer, sizeof buffer), 5);
    cr_expect_arr_eq(buffer, "hello", 5);
}

Test(reload, a_hangup_does_not_end_a_server_that_has_nothing_to_read_again)
{
    struct rig_child echo;
    struct rig_peer peer = rig_peer_tcp(start_echo(&echo));

    expect_echo(&peer);
    for (int i = 0; i < 3; i++) {
        rig_program_forget(&echo);
        rig_child_signal(&echo, SIGHUP);
        rig_child_await_text(&echo, "info: reload: there is nothing to read again: no TLS");
        expect_echo(&peer);
    }
    rig_peer_close(&peer);
    rig_program_end(&echo);
}

Test(reload, hangups_are_not_counted_as_the_first_or_second_signal_to_end)
{
    struct rig_child echo;
    struct rig_peer peer = rig_peer_tcp(start_echo(&echo));

    expect_echo(&peer);
    for (int i = 0; i < 20; i++) {
        rig_child_signal(&echo, SIGHUP);
    }
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

/* Pools over real sockets. The pool's loop runs on the test's own thread. */
#include "support/fault.h"
#include "support/host.h"
#include "support/leak.h"
#include "support/silent.h"
#include "support/wait.h"

#include <causeway/client.h>
#include <causeway/framed.h>
#include <causeway/log.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void be_quiet(void)
{
    cw_log_set_level(CW_LOG_SILENT);
}

TestSuite(pool, .init = be_quiet, .fini = rig_expect_no_leak, .timeout = 60);

enum { ANSWERS_MAX = 64 };

/* What a pool's callers were told, in order. */
struct story {
    struct cw_loop *loop;
    struct cw_pool *pool;
    unsigned opened; /* heard by the service's hooks */
    unsigned closed;
    unsigned failed;
    unsigned messages;
    struct {
        int code;
        uint64_t conn;
        unsigned caller;
    } answers[ANSWERS_MAX];
    unsigned answered;
    bool inside;                       /* of a call that must not answer */
    void (*then)(struct story *story); /* after each answer */
    struct rig_silent *listener;
};

struct caller {
    struct story *story;
    unsigned number;
};

static struct caller callers[ANSWERS_MAX];
static unsigned caller_count;

static void on_connection(struct cw_conn *conn, void *user)
{
    struct story *story = user;

    story->opened++;
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct story *story = user;

    story->messages++;
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct story *story = user;

    story->closed++;
}

static void on_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    struct story *story = user;

    story->failed++;
}

static const struct cw_hooks hooks = {
    .on_connection = on_connection, .on_data = on_data, .on_close = on_close, .on_error = on_error};

static void on_answer(struct cw_loop *loop, struct cw_conn *conn, int code, void *user)
{
    struct caller *caller = user;
    struct story *story = caller->story;

    rig_check(!story->inside);
    rig_check((conn != NULL) == (code == CW_OK));
    rig_check(story->answered < ANSWERS_MAX);
    story->answers[story->answered].code = code;
    story->answers[story->answered].conn = conn ? cw_conn_id(conn) : 0;
    story->answers[story->answered].caller = caller->number;
    story->answered++;
    if (story->then) {
        story->then(story);
    }
}

static int ask(struct story *story)
{
    struct caller *caller = &callers[caller_count];
    int answer;

    rig_check(caller_count < ANSWERS_MAX);
    *caller = (struct caller){story, caller_count};
    story->inside = true;
    answer = cw_pool_acquire(story->pool, on_answer, caller);
    story->inside = false;
    caller_count += answer == CW_OK;
    return answer;
}

static void begin(struct story *story, uint16_t port, const struct cw_pool_options *options)
{
    char address[64];

    memset(story, 0, sizeof *story);
    caller_count = 0;
    story->loop = cw_loop_new();
    cr_assert_not_null(story->loop);
    snprintf(address, sizeof address, "127.0.0.1:%u", port);
    story->pool = cw_pool_new(story->loop, cw_service(&cw_framed, &hooks, story), address, options);
    cr_assert_not_null(story->pool);
}

static void finish(struct story *story)
{
    cr_assert_eq(cw_loop_run(story->loop), CW_OK);
    cw_pool_free(story->pool);
    cw_loop_free(story->loop);
}

static struct cw_pool_stats stats_of(const struct story *story)
{
    struct cw_pool_stats stats;

    cw_pool_stats(story->pool, &stats);
    return stats;
}

static uint64_t conn_of(const struct story *story, unsigned answer)
{
    return story->answers[answer].conn;
}

/* Ends the story: what is idle would keep the loop for a minute. */
static void stop(struct story *story)
{
    cw_loop_stop(story->loop);
}

static void echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_conn_send(conn, msg);
}

static struct rig_host *start_echo(void)
{
    return rig_host_start(rig_server(&cw_framed, NULL), &(struct cw_hooks){.on_data = echo}, NULL);
}

/* ---- lending ---- */

static void two_then_the_others(struct story *story)
{
    struct cw_pool_stats stats = stats_of(story);

    rig_check(stats.conns_open <= 2);
    if (story->answered < 2) {
        return;
    }
    rig_check(stats.conns_busy == 2);
    rig_check(stats.waiting == 5 - story->answered);
    if (story->answered == 5) {
        stop(story);
    } else {
        cw_pool_release(story->pool, conn_of(story, story->answered - 2));
    }
}

Test(pool, no_more_than_conns_max_are_out_and_who_waited_longest_is_next)
{
    struct rig_host *host = start_echo();
    struct story story;

    begin(&story, rig_host_port(host, 0), &(struct cw_pool_options){.conns_max = 2});
    story.then = two_then_the_others;
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(ask(&story), CW_OK);
    }
    finish(&story);
    cr_expect_eq(story.answered, 5);
    for (unsigned i = 0; i < 5; i++) {
        cr_expect_eq(story.answers[i].code, CW_OK);
        cr_expect_eq(story.answers[i].caller, i);
    }
    cr_expect_eq(story.opened, 2, "the service's own hooks hear of them");
    cr_expect_eq(story.closed, 2);
    rig_host_end(host);
}

static void one_after_the_other(struct story *story)
{
    cw_pool_release(story->pool, conn_of(story, story->answered - 1));
    if (story->answered == 10) {
        stop(story);
    } else {
        rig_check(ask(story) == CW_OK);
    }
}

Test(pool, connections_are_made_only_when_they_are_wanted)
{
    struct rig_host *host = start_echo();
    struct story story;

    begin(&story, rig_host_port(host, 0), NULL);
    cr_expect_eq(stats_of(&story).conns_connecting, 0);
    cr_expect(stats_of(&story).healthy);
    story.then = one_after_the_other;
    cr_assert_eq(ask(&story), CW_OK);
    finish(&story);
    cr_expect_eq(story.answered, 10);
    cr_expect_eq(story.opened, 1);
    rig_host_end(host);
}

static void give_back_in_order(struct story *story)
{
    if (story->answered == 3) {
        for (unsigned i = 0; i < 3; i++) {
            cw_pool_release(story->pool, conn_of(story, i));
        }
        rig_check(ask(story) == CW_OK);
    } else if (story->answered == 4) {
        stop(story);
    }
}

Test(pool, the_last_one_given_back_is_handed_out_first)
{
    struct rig_host *host = start_echo();
    struct story story;

    begin(&story, rig_host_port(host, 0), NULL);
    story.then = give_back_in_order;
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(ask(&story), CW_OK);
    }
    finish(&story);
    cr_expect_eq(story.opened, 3);
    cr_expect_eq(conn_of(&story, 3), conn_of(&story, 2));
    rig_host_end(host);
}

static void use_up(struct story *story)
{
    cw_pool_release(story->pool, conn_of(story, story->answered - 1));
    if (story->answered == 6) {
        stop(story);
    } else {
        rig_check(ask(story) == CW_OK);
    }
}

Test(pool, a_connection_is_replaced_after_use_max_uses)
{
    struct rig_host *host = start_echo();
    struct story story;

    begin(&story, rig_host_port(host, 0), &(struct cw_pool_options){.conns_max = 1, .use_max = 2});
    story.then = use_up;
    cr_assert_eq(ask(&story), CW_OK);
    finish(&story);
    cr_expect_eq(story.answered, 6);
    cr_expect_eq(story.opened, 3);
    cr_expect_eq(conn_of(&story, 0), conn_of(&story, 1));
    cr_expect_neq(conn_of(&story, 1), conn_of(&story, 2));
    rig_host_end(host);
}

static void give_back_wrongly(struct story *story)
{
    cw_pool_release(story->pool, 0);
    cw_pool_release(story->pool, UINT64_MAX);
    cw_pool_release(story->pool, conn_of(story, 0) + 1);
    rig_check(stats_of(story).conns_busy == 1);
    cw_pool_release(story->pool, conn_of(story, 0));
    cw_pool_release(story->pool, conn_of(story, 0));
    rig_check(stats_of(story).conns_busy == 0);
    rig_check(stats_of(story).conns_open == 1);
    stop(story);
}

Test(pool, ids_that_are_not_out_are_ignored)
{
    struct rig_host *host = start_echo();
    struct story story;

    begin(&story, rig_host_port(host, 0), NULL);
    story.then = give_back_wrongly;
    cr_assert_eq(ask(&story), CW_OK);
    finish(&story);
    cr_expect_eq(story.opened, 1);
    rig_host_end(host);
}

static void give_back_paused(struct story *story)
{
    if (story->answered == 1) {
        cw_conn_pause(cw_loop_conn(story->loop, conn_of(story, 0)));
        cw_pool_release(story->pool, conn_of(story, 0));
        rig_check(ask(story) == CW_OK);
    } else {
        stop(story);
    }
}

Test(pool, a_connection_given_back_paused_is_not_handed_out_again)
{
    struct rig_host *host = start_echo();
    struct story story;

    begin(&story, rig_host_port(host, 0), NULL);
    story.then = give_back_paused;
    cr_assert_eq(ask(&story), CW_OK);
    finish(&story);
    cr_expect_eq(story.answers[1].code, CW_OK);
    cr_expect_neq(conn_of(&story, 0), conn_of(&story, 1));
    rig_host_end(host);
}

static void close_and_ask(struct story *story)
{
    if (story->answered == 1) {
        rig_check(ask(story) == CW_OK);
        cw_conn_close(cw_loop_conn(story->loop, conn_of(story, 0)));
    } else {
        cw_pool_release(story->pool, conn_of(story, 0));
        rig_check(stats_of(story).conns_busy == 1);
        stop(story);
    }
}

Test(pool, the_place_of_a_connection_that_was_closed_is_filled_anew)
{
    struct rig_host *host = start_echo();
    struct story story;

    begin(&story, rig_host_port(host, 0), &(struct cw_pool_options){.conns_max = 1});
    story.then = close_and_ask;
    cr_assert_eq(ask(&story), CW_OK);
    finish(&story);
    cr_expect_eq(story.answered, 2);
    cr_expect_eq(story.answers[1].code, CW_OK);
    cr_expect_eq(story.opened, 2);
    rig_host_end(host);
}

/* ---- health ---- */

/* The peer acts in the very turn in which the connection is handed out again, before the loop has had a look at its
 * socket. */
static struct {
    int fd;
    const char *bytes; /* NULL: it leaves */
} peer_act;

static void act(struct cw_loop *loop, void *user)
{
    if (peer_act.bytes) {
        rig_check(send(peer_act.fd, peer_act.bytes, 5, 0) == 5);
    } else {
        close(peer_act.fd);
    }
}

static void ask_when_the_peer_acts(struct cw_loop *loop, void *user)
{
    struct story *story = user;

    rig_check(cw_timer_start(loop, 0, 0, act, NULL));
    rig_check(ask(story) == CW_OK);
}

static void first_is_disturbed(struct story *story)
{
    if (story->answered == 1) {
        peer_act.fd = rig_silent_accept(story->listener);
        cw_pool_release(story->pool, conn_of(story, 0));
        rig_check(cw_timer_start(story->loop, 30, 0, ask_when_the_peer_acts, story));
    } else {
        rig_check(story->messages == 0);
        stop(story);
    }
}

static void ask_later(struct cw_loop *loop, void *user)
{
    struct story *story = user;

    rig_check(story->messages == 1);
    rig_check(ask(story) == CW_OK);
}

static void peer_spoke(struct story *story)
{
    int fd;

    if (story->answered == 1) {
        fd = rig_silent_accept(story->listener);
        cw_pool_release(story->pool, conn_of(story, 0));
        rig_check(send(fd, "\0\0\0\1x", 5, 0) == 5);
        rig_check(cw_timer_start(story->loop, 50, 0, ask_later, story));
    } else {
        stop(story);
    }
}

static void expect_another(void (*then)(struct story *story))
{
    struct rig_silent listener;
    struct story story;

    rig_silent_open(&listener, "127.0.0.1", 0, 0);
    begin(&story, listener.port, NULL);
    story.listener = &listener;
    story.then = then;
    cr_assert_eq(ask(&story), CW_OK);
    finish(&story);
    cr_expect_eq(story.answered, 2);
    cr_expect_eq(story.answers[1].code, CW_OK);
    cr_expect_neq(conn_of(&story, 1), conn_of(&story, 0));
    cr_expect_eq(story.opened, 2);
    cr_expect_eq(story.closed, 2);
    rig_silent_close(&listener);
}

Test(pool, an_unused_connection_that_the_peer_has_ended_is_not_handed_out)
{
    peer_act.bytes = NULL;
    expect_another(first_is_disturbed);
}

Test(pool, an_unused_connection_with_unread_bytes_is_not_handed_out)
{
    peer_act.bytes = "\0\0\0\1x";
    expect_another(first_is_disturbed);
}

Test(pool, an_unused_connection_that_got_a_message_is_not_handed_out)
{
    expect_another(peer_spoke);
}

static void give_back(struct story *story)
{
    cw_pool_release(story->pool, conn_of(story, story->answered - 1));
}

Test(pool, unused_connections_are_closed_after_idle_ms_and_the_loop_ends_by_itself)
{
    struct rig_host *host = start_echo();
    struct story story;
    uint64_t began = rig_now_ms();

    begin(&story, rig_host_port(host, 0), &(struct cw_pool_options){.idle_ms = 50});
    story.then = give_back;
    cr_assert_eq(ask(&story), CW_OK);
    cr_assert_eq(cw_loop_run(story.loop), CW_OK);
    cr_expect_geq(rig_now_ms() - began, 40, "libevent's clock is a few milliseconds behind");
    cr_expect_eq(story.closed, 1);
    cr_expect_eq(stats_of(&story).conns_open, 0);
    finish(&story);
    rig_host_end(host);
}

/* ---- failures ---- */

Test(pool, without_any_connection_those_who_wait_get_the_attempts_code_at_once)
{
    struct story story;
    uint64_t began = rig_now_ms();

    begin(&story, rig_free_port(), &(struct cw_pool_options){.waiting_ms = 36000000});
    cr_assert_eq(ask(&story), CW_OK);
    cr_assert_eq(ask(&story), CW_OK);
    cr_assert_eq(ask(&story), CW_OK);
    cr_assert_eq(cw_loop_run(story.loop), CW_OK);
    cr_expect_lt(rig_now_ms() - began, 5000);
    cr_expect_eq(story.answered, 3);
    for (unsigned i = 0; i < story.answered; i++) {
        cr_expect_eq(story.answers[i].code, CW_EREFUSED);
    }
    cr_expect_eq(story.failed, 3, "each attempt is reported");
    cr_expect_eq(stats_of(&story).failed, 3);
    cr_expect_not(stats_of(&story).healthy);
    finish(&story);
}

static void ask_on(struct story *story)
{
    if (story->answered < 20) {
        rig_check(ask(story) == CW_OK);
    }
}

Test(pool, in_the_pause_after_a_failure_nothing_is_tried)
{
    struct story story;

    begin(&story, rig_free_port(),
          &(struct cw_pool_options){.connect = {.reconnect_min_ms = 36000000}});
    story.then = ask_on;
    cr_assert_eq(ask(&story), CW_OK);
    finish(&story);
    cr_expect_eq(story.answered, 20);
    cr_expect_eq(story.answers[19].code, CW_EREFUSED);
    cr_expect_eq(story.failed, 1);
}

static uint16_t later_port;
static struct rig_silent later;

static void open_later(struct story *story)
{
    const int last = story->answers[story->answered - 1].code;

    if (story->answered == 1) {
        rig_check(last == CW_EREFUSED);
        rig_silent_open(&later, "127.0.0.1", later_port, 0);
    }
    if (last == CW_OK) {
        rig_check(stats_of(story).healthy);
        stop(story);
    }
}

static void ask_again(struct cw_loop *loop, void *user)
{
    rig_check(ask(user) == CW_OK);
}

Test(pool, after_the_pause_it_connects_again)
{
    struct story story;

    later_port = rig_free_port();
    begin(&story, later_port, &(struct cw_pool_options){.connect = {.reconnect_min_ms = 40}});
    story.then = open_later;
    cr_assert_eq(ask(&story), CW_OK);
    cr_assert_not_null(cw_timer_start(story.loop, 100, 0, ask_again, &story));
    finish(&story);
    cr_expect_eq(story.answered, 2);
    cr_expect_eq(story.answers[1].code, CW_OK);
    cr_expect_eq(story.failed, 1);
    rig_silent_close(&later);
}

static void ask_without_end(struct story *story)
{
    if (story->answered == 1) {
        rig_check(ask(story) == CW_OK);
        rig_check(ask(story) == CW_OK);
    } else if (story->answered == 3) {
        stop(story);
    }
}

Test(pool, when_all_are_busy_for_too_long_the_caller_is_told)
{
    struct rig_host *host = start_echo();
    struct story story;

    begin(&story, rig_host_port(host, 0),
          &(struct cw_pool_options){.conns_max = 1, .waiting_ms = 50});
    story.then = ask_without_end;
    cr_assert_eq(ask(&story), CW_OK);
    finish(&story);
    cr_expect_eq(story.answers[0].code, CW_OK);
    cr_expect_eq(story.answers[1].code, CW_ECONNECTTIME);
    cr_expect_eq(story.answers[2].code, CW_ECONNECTTIME);
    rig_host_end(host);
}

Test(pool, no_more_than_waiting_max_wait)
{
    struct story story;

    begin(&story, rig_free_port(), &(struct cw_pool_options){.waiting_max = 2});
    cr_expect_eq(ask(&story), CW_OK);
    cr_expect_eq(ask(&story), CW_OK);
    cr_expect_eq(ask(&story), CW_EFULL);
    cr_expect_eq(stats_of(&story).waiting, 2);
    finish(&story);
    cr_expect_eq(story.answered, 2);
}

/* ---- the end ---- */

static void free_it(struct cw_loop *loop, void *user)
{
    struct story *story = user;

    rig_check(story->answered == 1 && stats_of(story).waiting == 2);
    cw_pool_free(story->pool);
    story->pool = NULL;
    rig_check(story->answered == 3);
}

static void free_soon(struct story *story)
{
    if (story->answered == 1) {
        rig_check(ask(story) == CW_OK);
        rig_check(ask(story) == CW_OK);
        rig_check(cw_timer_start(story->loop, 20, 0, free_it, story));
    } else {
        rig_check(ask(story) == CW_ECLOSED);
    }
}

Test(pool, freed_it_answers_those_who_wait_and_closes_its_connections)
{
    struct rig_host *host = start_echo();
    struct story story;

    begin(&story, rig_host_port(host, 0), &(struct cw_pool_options){.conns_max = 1});
    story.then = free_soon;
    cr_assert_eq(ask(&story), CW_OK);
    finish(&story);
    cr_expect_eq(story.answered, 3);
    cr_expect_eq(story.answers[1].code, CW_ECLOSED);
    cr_expect_eq(story.answers[2].code, CW_ECLOSED);
    cr_expect_eq(story.closed, 1);
    rig_host_end(host);
}

static void stop_with_waiters(struct story *story)
{
    if (story->answered == 1) {
        rig_check(ask(story) == CW_OK);
        stop(story);
    } else {
        rig_check(ask(story) == CW_ESTOPPED);
    }
}

Test(pool, when_the_loop_stops_those_who_wait_are_told)
{
    struct rig_host *host = start_echo();
    struct story story;

    begin(&story, rig_host_port(host, 0), &(struct cw_pool_options){.conns_max = 1});
    story.then = stop_with_waiters;
    cr_assert_eq(ask(&story), CW_OK);
    finish(&story);
    cr_expect_eq(story.answered, 2);
    cr_expect_eq(story.answers[1].code, CW_ESTOPPED);
    cr_expect_eq(story.closed, 1);
    rig_host_end(host);
}

Test(pool, a_pool_that_was_never_used_is_freed)
{
    struct story story;

    begin(&story, 1, NULL);
    cw_pool_free(story.pool);
    cw_pool_free(NULL);
    cr_assert_eq(cw_loop_run(story.loop), CW_OK);
    cw_loop_free(story.loop);
}

/* ---- options ---- */

static char logged[512];

static void keep_line(enum cw_log_level level, uint64_t conn_id, const char *text, void *user)
{
    snprintf(logged, sizeof logged, "%s", text);
}

static void expect_refused(const char *address, struct cw_pool_options options, const char *text)
{
    struct cw_loop *loop = cw_loop_new();

    logged[0] = '\0';
    cr_expect_null(cw_pool_new(loop, cw_service(&cw_framed, NULL, NULL), address, &options), "%s",
                   text);
    cr_expect_not_null(strstr(logged, text), "\"%s\" is not in \"%s\"", text, logged);
    cw_loop_free(loop);
}

Test(pool, options_that_are_not_allowed_are_refused_by_name)
{
    cw_log_set_level(CW_LOG_INFO);
    cw_log_set(keep_line, NULL);
    expect_refused("a:1", (struct cw_pool_options){.conns_max = CW_NO_LIMIT}, "pool: conns_max");
    expect_refused("a:1", (struct cw_pool_options){.waiting_max = CW_NO_LIMIT}, "pool: waiting_max");
    expect_refused("a:1", (struct cw_pool_options){.waiting_ms = CW_OFF}, "pool: waiting_ms");
    expect_refused("a:1", (struct cw_pool_options){.idle_ms = CW_NO_LIMIT}, "pool: idle_ms");
    expect_refused("a:1", (struct cw_pool_options){.connect = {.connect_ms = CW_OFF}}, "connect_ms");
    expect_refused("a", (struct cw_pool_options){0}, "the port is missing");
    cw_log_set(NULL, NULL);
}

/* ---- out of memory ---- */

static void once_more(struct story *story)
{
    const unsigned last = story->answered - 1;

    if (story->answers[last].conn != 0) {
        cw_pool_release(story->pool, story->answers[last].conn);
    }
    if (story->answered < 3) {
        ask(story);
    }
}

static bool run_with_fault(size_t nth, const char *address)
{
    struct story story = {.then = once_more};
    int asked = CW_ENOMEM;
    bool came;

    caller_count = 0;
    fault_arm(nth);
    story.loop = cw_loop_new();
    if (story.loop) {
        story.pool = cw_pool_new(story.loop, cw_service(&cw_framed, &hooks, &story), address,
                                 &(struct cw_pool_options){.idle_ms = 1});
    }
    if (story.pool) {
        asked = ask(&story);
        cw_loop_run(story.loop);
    }
    came = fault_disarm();
    rig_check(asked == CW_ENOMEM || (asked == CW_OK && story.answered > 0));
    cw_pool_free(story.pool);
    cw_loop_free(story.loop);
    rig_check(story.opened == story.closed);
    return came;
}

Test(pool, when_any_allocation_fails_there_is_an_answer_and_no_leak)
{
    struct rig_silent listener;
    char address[64];
    size_t n = 1;

    rig_silent_open(&listener, "127.0.0.1", 0, 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", listener.port);
    fault_install();
    while (run_with_fault(n, address)) {
        n++;
    }
    fault_remove();
    cr_expect_gt(n, 10);
    rig_silent_close(&listener);
}

/* ---- without pauses ---- */

static void stop_at_three(struct story *story)
{
    if (story->answered == 3) {
        stop(story);
    }
}

Test(pool, without_pauses_each_caller_is_told_of_an_attempt_of_his_own)
{
    struct story story;

    begin(&story, rig_free_port(),
          &(struct cw_pool_options){
              .conns_max = 1, .no_pause = true, .connect = {.reconnect_min_ms = 60000}});
    story.then = stop_at_three;
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(ask(&story), CW_OK);
    }
    finish(&story);
    cr_expect_eq(story.answered, 3);
    for (unsigned i = 0; i < 3; i++) {
        cr_expect_eq(story.answers[i].code, CW_EREFUSED);
        cr_expect_eq(story.answers[i].caller, i);
    }
    cr_expect_eq(story.failed, 3);
}

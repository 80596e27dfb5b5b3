/* A kernel that is full, takes a part, is interrupted, or refuses: what waits, what is dropped, what is counted. The calls that
 * take and give datagrams are the test's. */
#include "support/leak.h"
#include "support/party.h"
#include "support/udp_scene.h"
#include "support/wait.h"

#include <causeway/causeway.h>
#include <causeway/log.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

TestSuite(udp_faults, .fini = rig_expect_no_leak, .timeout = 60);

/* ---- the kernel ---- */

static struct {
    atomic_int send_error;    /* what sendmmsg says; 0: nothing */
    atomic_int send_errors;   /* … so often */
    atomic_uint take_at_most; /* messages in one call; 0: all */
    atomic_int run_error;     /* what is said of runs of datagrams */
    atomic_uint runs;         /* that came */
    atomic_int receive_error;
    atomic_int receive_errors;
} kernel;

int __real_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);
int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags);
int __real_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout);
int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout);

/* Whether one of so many errors is due. */
static bool is_due(atomic_int *left)
{
    int n = atomic_load(left);

    while (n > 0 && !atomic_compare_exchange_weak(left, &n, n - 1)) {}
    return n > 0;
}

static bool is_run(struct msghdr *head)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c; c = CMSG_NXTHDR(head, c)) {
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_SEGMENT) {
            return true;
        }
    }
    return false;
}

int __wrap_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags)
{
    unsigned most = atomic_load(&kernel.take_at_most);

    if (is_due(&kernel.send_errors)) {
        errno = atomic_load(&kernel.send_error);
        return -1;
    }
    for (unsigned i = 0; i < count; i++) {
        if (is_run(&messages[i].msg_hdr)) {
            atomic_fetch_add(&kernel.runs, 1);
            if (atomic_load(&kernel.run_error) != 0 && i == 0) {
                errno = atomic_load(&kernel.run_error);
                return -1;
            }
            count = atomic_load(&kernel.run_error) != 0 ? i : count;
        }
    }
    return __real_sendmmsg(fd, messages, most > 0 && count > most ? most : count, flags);
}

int __wrap_recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags,
                    struct timespec *timeout)
{
    if (is_due(&kernel.receive_errors)) {
        errno = atomic_load(&kernel.receive_error);
        return -1;
    }
    return __real_recvmmsg(fd, messages, count, flags, timeout);
}

static void fail_sends(int error, int times)
{
    atomic_store(&kernel.send_error, error);
    atomic_store(&kernel.send_errors, times);
}

static void fail_no_sends(void)
{
    atomic_store(&kernel.send_errors, 0);
}

/* ---- what is sent ---- */

static struct rig_scene scene;
static struct rig_udp peer;
static uint64_t id;

static void note_drain(struct cw_conn *conn, void *user)
{
    struct rig_story *story = user;

    atomic_fetch_add(&story->drained, 1);
}

static void begin(const struct cw_datagram_options *datagram)
{
    struct cw_hooks hooks = rig_story_with_data(rig_udp_echo);

    cw_log_set_level(CW_LOG_SILENT);
    hooks.on_drain = note_drain;
    rig_udp_begin(&scene, &(struct rig_udp_setup){.datagram = *datagram, .hooks = &hooks});
    peer = rig_udp_peer(&scene);
    id = rig_udp_meet(&scene, &peer);
}

static void end(void)
{
    fail_no_sends();
    rig_udp_expect_echo(&peer, "still well");
    rig_udp_expect_nothing(&peer);
    rig_udp_close(&peer);
    rig_scene_end(&scene);
}

/* Numbers, sent in one turn: to one peer, of different lengths, so that they are no run. */
struct burst {
    int first;
    int count;
    bool equal;  /* in length */
    int refused; /* calls that said so */
    int answer;  /* the last other one */
};

static void word(char *text, int number, bool equal)
{
    snprintf(text, 64, "%*d", equal ? 20 : 4 + number * 7 % 30, number);
}

static void send_burst(struct cw_loop *loop, struct cw_conn *conn, void *arg)
{
    struct burst *burst = arg;
    char text[64];

    rig_check(conn);
    cw_conn_set_proven(conn);
    for (int i = 0; i < burst->count; i++) {
        int answer;

        word(text, burst->first + i, burst->equal);
        answer = cw_conn_send_text(conn, text);
        burst->refused += answer == CW_EFULL;
        burst->answer = answer;
    }
}

static struct burst send_numbers(int first, int count, bool equal)
{
    struct burst burst = {.first = first, .count = count, .equal = equal};

    rig_host_run(scene.host, id, send_burst, &burst);
    rig_host_run(scene.host, id, rig_pass, NULL); /* … and the turn is over */
    return burst;
}

static void expect_numbers(int first, int count, bool equal)
{
    char text[64];

    for (int i = 0; i < count; i++) {
        word(text, first + i, equal);
        rig_udp_expect(&peer, text);
    }
}

Test(udp_faults, what_a_full_kernel_does_not_take_waits_in_its_order)
{
    begin(&(struct cw_datagram_options){0});
    fail_sends(EAGAIN, INT_MAX);
    for (int i = 0; i < 5; i++) {
        cr_expect_eq(send_numbers(i * 40, 40, i % 2).refused, 0);
    }
    rig_udp_expect_nothing(&peer);
    fail_no_sends();
    for (int i = 0; i < 5; i++) {
        expect_numbers(i * 40, 40, i % 2);
    }
    rig_udp_await(&scene, dropped_full, 0);
    end();
}

Test(udp_faults, a_kernel_that_takes_one_at_a_time_gets_all)
{
    begin(&(struct cw_datagram_options){0});
    atomic_store(&kernel.take_at_most, 1);
    for (int i = 0; i < 10; i++) {
        send_numbers(i * 50, 50, false);
        expect_numbers(i * 50, 50, false);
    }
    rig_udp_await(&scene, sent, 1 + 500);
    end();
}

Test(udp_faults, an_interrupted_call_is_made_again)
{
    begin(&(struct cw_datagram_options){0});
    for (int i = 0; i < 10; i++) {
        fail_sends(EINTR, i);
        send_numbers(i * 20, 20, false);
        expect_numbers(i * 20, 20, false);
    }
    rig_udp_await(&scene, dropped_error, 0);
    end();
}

Test(udp_faults, the_queue_has_a_bound_and_what_is_above_it_is_dropped_and_counted)
{
    struct burst burst;

    begin(&(struct cw_datagram_options){.queue_max_bytes = 4096});
    fail_sends(EAGAIN, INT_MAX);
    send_numbers(0, 1, false); /* the kernel is known to be full from here on */
    burst = send_numbers(1, 200, false);
    cr_expect_gt(burst.refused, 100);
    cr_expect_lt(burst.refused, 200);
    cr_expect_eq(burst.answer, CW_EFULL);
    rig_udp_await(&scene, dropped_full, (uint64_t)burst.refused);
    cr_expect_eq(atomic_load(&scene.story.drained), 0);
    fail_no_sends();
    expect_numbers(0, 201 - burst.refused, false);
    rig_await(atomic_load(&scene.story.drained) == 1);
    cr_expect_eq(atomic_load(&scene.story.closed), 0);
    end();
}

Test(udp_faults, each_peer_that_was_refused_is_told_of_room_and_nobody_else)
{
    enum { OTHERS = 30 };
    struct rig_udp others[OTHERS];
    uint64_t ids[OTHERS];

    begin(&(struct cw_datagram_options){.queue_max_bytes = 4096, .amplification = CW_NO_LIMIT});
    for (int i = 0; i < OTHERS; i++) {
        others[i] = rig_udp_peer(&scene);
        ids[i] = rig_udp_meet(&scene, &others[i]);
    }
    fail_sends(EAGAIN, INT_MAX);
    send_numbers(0, 1, false);
    send_numbers(1, 200, false);
    for (int i = 0; i < OTHERS; i += 3) {
        struct burst burst = {.count = 2};

        rig_host_run(scene.host, ids[i], send_burst, &burst);
        cr_expect_eq(burst.refused, 2);
    }
    rig_host_run(scene.host, ids[3], rig_close, NULL); /* one of them does not wait for it */
    fail_no_sends();
    rig_await(atomic_load(&scene.story.drained) == 1 + OTHERS / 3 - 1);
    for (int i = 0; i < OTHERS; i++) {
        rig_udp_expect_echo(&others[i], "well");
        rig_udp_close(&others[i]);
    }
    cr_expect_eq(atomic_load(&scene.story.drained), 1 + OTHERS / 3 - 1);
    while (rig_udp_forget(&peer) > 0) {}
    end();
}

Test(udp_faults, who_leaves_while_his_datagrams_wait_is_no_trouble)
{
    begin(&(struct cw_datagram_options){0});
    fail_sends(EAGAIN, INT_MAX);
    send_numbers(0, 100, false);
    rig_host_run(scene.host, id, rig_close, NULL);
    rig_scene_await_closed(&scene, CW_BY_APP);
    fail_no_sends();
    expect_numbers(0, 100, false); /* what was accepted is sent */
    end();
}

Test(udp_faults, a_stop_with_a_full_kernel_ends_in_time)
{
    struct cw_server *server = rig_udp_server(&(struct rig_udp_setup){.server = {.drain_ms = 100}});

    rig_udp_begin_server(&scene, server, NULL);
    peer = rig_udp_peer(&scene);
    id = rig_udp_meet(&scene, &peer);
    fail_sends(EAGAIN, INT_MAX);
    send_numbers(0, 100, false);
    rig_scene_end(&scene);
    cr_expect_eq(atomic_load(&scene.story.closed), 1);
    rig_udp_close(&peer);
}

/* ---- what is refused ---- */

static void expect_one_lost(int error, size_t counter)
{
    struct cw_datagram_stats stats;
    uint64_t lost;

    begin(&(struct cw_datagram_options){0});
    fail_sends(error, 1);
    send_numbers(0, 40, false);
    expect_numbers(1, 39, false);
    stats = rig_udp_stats(&scene);
    memcpy(&lost, (uint8_t *)&stats + counter, sizeof lost);
    cr_expect_eq(lost, 1);
    cr_expect_eq(atomic_load(&scene.story.closed), 0);
    end();
}

Test(udp_faults, what_the_kernel_refuses_is_dropped_alone_and_counted_by_its_reason)
{
    expect_one_lost(EPERM, offsetof(struct cw_datagram_stats, dropped_error));
    expect_one_lost(EINVAL, offsetof(struct cw_datagram_stats, dropped_error));
    expect_one_lost(EACCES, offsetof(struct cw_datagram_stats, dropped_error));
    expect_one_lost(ENOBUFS, offsetof(struct cw_datagram_stats, dropped_full));
    expect_one_lost(ENOMEM, offsetof(struct cw_datagram_stats, dropped_full));
    expect_one_lost(EMSGSIZE, offsetof(struct cw_datagram_stats, dropped_too_big));
}

/* An error of what was sent earlier, which the kernel tells whoever calls next. */
Test(udp_faults, an_error_of_an_earlier_datagram_does_not_lose_the_next_one)
{
    begin(&(struct cw_datagram_options){0});
    for (int i = 0; i < 10; i++) {
        fail_sends(ECONNREFUSED, 1);
        send_numbers(i * 20, 20, false);
        expect_numbers(i * 20, 20, false);
    }
    rig_udp_await(&scene, dropped_error, 0);
    end();
}

/* ---- runs ---- */

Test(udp_faults, datagrams_of_one_length_go_out_as_a_run)
{
    begin(&(struct cw_datagram_options){0});
    send_numbers(0, 60, true);
    expect_numbers(0, 60, true);
    cr_expect_geq(atomic_load(&kernel.runs), 1);
    rig_udp_await(&scene, sent, 61);
    end();
}

Test(udp_faults, without_offload_there_are_no_runs)
{
    begin(&(struct cw_datagram_options){.no_offload = true});
    send_numbers(0, 60, true);
    expect_numbers(0, 60, true);
    cr_expect_eq(atomic_load(&kernel.runs), 0);
    end();
}

static void expect_runs_apart(int error)
{
    unsigned runs;

    atomic_store(&kernel.runs, 0);
    begin(&(struct cw_datagram_options){0});
    atomic_store(&kernel.run_error, error);
    send_numbers(0, 60, true);
    expect_numbers(0, 60, true);
    runs = atomic_load(&kernel.runs);
    cr_expect_geq(runs, 1);
    send_numbers(100, 60, true);
    expect_numbers(100, 60, true);
    cr_expect_leq(atomic_load(&kernel.runs), runs, "nobody tries in vain twice");
    rig_udp_await(&scene, sent, 121);
    rig_udp_await(&scene, dropped_error, 0);
    rig_udp_await(&scene, dropped_too_big, 0);
    atomic_store(&kernel.run_error, 0);
    end();
}

Test(udp_faults, runs_that_the_device_or_the_path_does_not_take_go_one_by_one)
{
    expect_runs_apart(EIO);
    expect_runs_apart(EINVAL);
    expect_runs_apart(EMSGSIZE);
}

/* ---- what is received ---- */

static void fail_receives(int error, int times)
{
    atomic_store(&kernel.receive_error, error);
    atomic_store(&kernel.receive_errors, times);
}

Test(udp_faults, an_error_on_receipt_loses_nothing)
{
    const int errors[] = {EINTR, ECONNREFUSED, ENOMEM, ENOBUFS, EAGAIN};

    begin(&(struct cw_datagram_options){0});
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        fail_receives(errors[i], 3);
        rig_udp_expect_echo(&peer, "here I am");
    }
    cr_expect_eq(atomic_load(&scene.story.closed), 0);
    cr_expect_eq(atomic_load(&scene.story.opened), 1);
    end();
}

/* ---- rooms ---- */

/* Members are an ordinary connection and a peer of datagrams, for whom the kernel is full. */
static void expect_room(enum cw_slow_policy slow)
{
    enum { MESSAGES = 200, LENGTH = 100 };
    static struct rig_party party;
    char text[LENGTH + 1] = "";
    struct cw_server *server = rig_server(&cw_framed, NULL);
    struct cw_datagram_stats stats;
    struct rig_member framed;
    struct rig_udp guest;
    size_t got;

    cw_server_listen(server, &(struct cw_listen_options){
                                 .host = "127.0.0.1",
                                 .datagram = {.amplification = CW_NO_LIMIT, .queue_max_bytes = 8192},
                                 .service = cw_service(&cw_udp, &rig_story_hooks, &party.story)});
    rig_party_begin(&party, server, NULL);
    rig_check(cw_room_configure(party.server, "r", &(struct cw_room_options){.slow = slow}) ==
              CW_OK);
    framed = rig_party_enter_room(&party, "r", RIG_ANY_WORKER);
    guest = rig_udp_to(rig_host_port(party.host, 1));
    rig_udp_send_text(&guest, "knock");
    rig_await(atomic_load(&party.story.opened) == 2);
    rig_check(rig_party_join(&party, atomic_load(&party.story.conn_id), "r") == CW_OK);

    fail_sends(EAGAIN, INT_MAX);
    memset(text, 'x', LENGTH);
    for (int i = 0; i < MESSAGES; i++) {
        cr_assert_eq(rig_party_send(&party, "r", text), CW_OK);
        rig_member_expect(&framed, text);
    }
    cw_server_datagram_stats(party.server, &stats);
    cr_expect_gt(stats.dropped_full, MESSAGES / 2);
    cr_expect_lt(stats.dropped_full, MESSAGES);
    cr_expect_gt(rig_party_stats(&party, "r").dropped_slow, 0);
    cr_expect_eq(rig_party_stats(&party, "r").closed_slow, 0, "whatever the policy");
    fail_no_sends();
    for (got = 0; got < MESSAGES - stats.dropped_full; got++) {
        rig_udp_expect(&guest, text);
    }
    cr_assert_eq(rig_party_send(&party, "r", "at last"), CW_OK);
    rig_udp_expect(&guest, "at last");
    rig_member_expect(&framed, "at last");
    cr_expect_eq(atomic_load(&party.story.closed), 0);
    rig_peer_close(&framed.peer);
    rig_udp_close(&guest);
    rig_party_end(&party);
}

Test(udp_faults, a_member_of_a_room_whose_socket_is_full_misses_messages_and_stays)
{
    expect_room(CW_SLOW_DROP_NEWEST);
    expect_room(CW_SLOW_DROP_OLDEST);
    expect_room(CW_SLOW_KEEP_LATEST);
    expect_room(CW_SLOW_CLOSE);
}

/* Handshakes as a load: connect, handshake, one echo, close, and at once the next. The echo shows
 * that the server has ended the handshake too. */
#include "load_impl.h"
#include "load_tls.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EVENTS_MAX = 64, ERRORS_MAX = 100 };

static const uint64_t stall_ns = 5000000000u;

struct handshake_count {
    _Atomic uint64_t done;
    _Atomic uint64_t errors;
};

static bool is_own_message(struct load *load, struct conn *conn)
{
    uint8_t head[HEAD_MAX];

    load_fill_head(load, head, conn->index, conn->in_seq);
    return memcmp(head, conn->in_head, load->shape.head_len) == 0;
}

/* The first handshake of a load that resumes has nothing to resume. */
static void handshake_done(struct load *load, struct conn *conn, bool resumed)
{
    if (tls_resumed(conn) != resumed) {
        conn_fail(load, conn, resumed ? "session was not resumed" : "session was resumed");
        return;
    }
    load->messages++;
    histogram_add(&load->latency, load->now_ns - conn->began_ns);
    conn_close(load, conn);
}

static void handshakes_turn(struct load *load, bool resumed)
{
    struct epoll_event events[EVENTS_MAX];
    int ready = epoll_wait(load->epoll, events, EVENTS_MAX, 100);

    load->now_ns = clock_ns();
    for (int i = 0; i < ready; i++) {
        struct conn *conn = events[i].data.ptr;
        if (conn_serve(load, conn, events[i].events) > 0)
            handshake_done(load, conn, resumed);
    }
}

static void begin_closed(struct load *load)
{
    for (uint32_t i = 0; i < load->options.connections; i++) {
        if (load->conns[i].phase == CONN_CLOSED)
            conn_begin(load, &load->conns[i]);
    }
}

/* Turns until `end_ns`, until a pipe is closed (-1: none), or until nothing goes on any more. */
static bool handshakes_until(struct load *load, uint64_t end_ns, int pipe_fd)
{
    struct pollfd ended = {.fd = pipe_fd};
    uint64_t heard_ns = load->now_ns = clock_ns();

    while (load->now_ns < end_ns && poll(&ended, 1, 0) == 0) {
        uint64_t before = load->setup.count;
        begin_closed(load);
        handshakes_turn(load, load->options.resume);
        if (load->setup.count != before)
            heard_ns = load->now_ns;
        if (load->now_ns - heard_ns > stall_ns || load->errors > ERRORS_MAX) {
            fputs("load: no handshakes any more\n", stderr);
            return false;
        }
    }
    return true;
}

static bool get_session(struct load *load)
{
    uint64_t began_ns = load->now_ns = clock_ns();

    conn_begin(load, &load->conns[0]);
    while (load->conns[0].phase != CONN_CLOSED && load->now_ns - began_ns < stall_ns)
        handshakes_turn(load, false);
    if (!tls_has_session())
        fputs("load: the server gives no session to resume\n", stderr);
    return tls_has_session();
}

static uint64_t after(double seconds)
{
    return clock_ns() + (uint64_t)(seconds * 1e9);
}

bool load_run_handshakes(struct load *load)
{
    load->on_message = is_own_message;
    if (load->options.resume && !get_session(load))
        return false;
    if (!handshakes_until(load, after(load->options.warmup_seconds), -1))
        return false;
    load_window_begin(load);
    bool whole = handshakes_until(load, after(load->options.seconds), -1);
    load_window_end(load);
    load_close_all(load);
    return whole;
}

/* The other process. It waits for a byte and ends when the pipe does. */

static void run_handshakers(const struct load *parent, struct handshake_count *shared, int go)
{
    static struct load load;
    char byte;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    load.options = parent->options;
    load.options.connections = parent->options.beside;
    load.options.mode = LOAD_HANDSHAKES;
    load.options.size = 64;
    load.options.depth = 1;
    load.shape.length_len = parent->shape.length_len;
    load.on_message = is_own_message;
    load.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load.epoll < 0 || !load_init(&load) || read(go, &byte, 1) != 1)
        return;
    /* Short pieces, so that the parent sees the count grow. */
    bool whole = true;
    for (struct pollfd ended = {.fd = go}; whole && poll(&ended, 1, 0) == 0;) {
        whole = handshakes_until(&load, after(0.01), go);
        shared->done = load.messages;
        shared->errors = load.errors + !whole;
    }
}

bool handshakers_fork(const struct load *load, struct handshakers *handshakers)
{
    int ends[2];

    handshakers->shared = mmap(NULL, sizeof *handshakers->shared, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (handshakers->shared == MAP_FAILED || pipe(ends) != 0)
        return false;
    handshakers->go = ends[1];
    handshakers->pid = fork();
    if (handshakers->pid == 0) {
        close(ends[1]);
        run_handshakers(load, handshakers->shared, ends[0]);
        _exit(0);
    }
    close(ends[0]);
    return handshakers->pid > 0;
}

void handshakers_go(struct handshakers *handshakers)
{
    if (write(handshakers->go, "g", 1) != 1)
        perror("load: pipe");
}

uint64_t handshakers_done(const struct handshakers *handshakers)
{
    return handshakers->shared->done;
}

void handshakers_end(struct load *load, struct handshakers *handshakers)
{
    close(handshakers->go);
    waitpid(handshakers->pid, NULL, 0);
    load->errors += handshakers->shared->errors;
    munmap(handshakers->shared, sizeof *handshakers->shared);
}

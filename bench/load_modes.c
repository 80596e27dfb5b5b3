/* What the load program does with its connections. */
#include "load_impl.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS_MAX = 1024, PRIMING_ROUNDS = 50 };

static const uint64_t second_ns = 1000000000u;
static const uint64_t stall_ns = 5 * 1000000000ull;
static const uint64_t drain_quiet_ns = 2000000000u;
static const uint64_t priming_quiet_ns = 300000000u;

static uint64_t later(const struct load *load, double seconds)
{
    return load->now_ns + (uint64_t)(seconds * (double)second_ns);
}

/* Waits at most `wait_ms`, serves what is ready and returns how many messages arrived. */
static uint32_t turn(struct load *load, int wait_ms, bool answer)
{
    static struct epoll_event events[EVENTS_MAX];
    int ready = epoll_wait(load->epoll, events, EVENTS_MAX, wait_ms);
    uint32_t total = 0;

    load->now_ns = clock_ns();
    for (int i = 0; i < ready; i++) {
        struct conn *conn = events[i].data.ptr;
        uint32_t arrived = conn_serve(load, conn, events[i].events);
        if (answer && arrived > 0 && conn->phase == CONN_OPEN)
            conn_send(load, conn, arrived);
        total += arrived;
    }
    return total;
}

/* Echo: each reply is answered by the next message, so `depth` are always in flight. */

static bool is_own_message(struct load *load, struct conn *conn)
{
    uint8_t head[HEAD_MAX];

    load_fill_head(load, head, conn->index, conn->in_seq);
    return memcmp(head, conn->in_head, load->shape.head_len) == 0;
}

static bool echo_on_message(struct load *load, struct conn *conn)
{
    if (load->measuring) {
        load->messages++;
        histogram_add(&load->latency,
                      load->now_ns - conn->asked_ns[conn->in_seq % load->options.depth]);
    }
    return is_own_message(load, conn);
}

static bool echo_until(struct load *load, uint64_t end_ns)
{
    uint64_t heard_ns = load->now_ns;

    while (load->now_ns < end_ns) {
        if (turn(load, 100, true) > 0)
            heard_ns = load->now_ns;
        if (load->now_ns - heard_ns > stall_ns || load->open_count == 0) {
            fprintf(stderr, "load: no reply any more, %u connections are left\n", load->open_count);
            load->errors++;
            return false;
        }
    }
    return true;
}

/* Counts a connection as an error on which a message is never answered. */
static void echo_drain(struct load *load)
{
    uint64_t heard_ns = load->now_ns = clock_ns();
    uint32_t unanswered = load->open_count;

    while (unanswered > 0 && load->now_ns - heard_ns < drain_quiet_ns) {
        if (turn(load, 10, false) > 0)
            heard_ns = load->now_ns;
        unanswered = 0;
        for (uint32_t i = 0; i < load->options.connections; i++) {
            const struct conn *conn = &load->conns[i];
            unanswered += conn->phase == CONN_OPEN && conn->in_seq != conn->asked;
        }
    }
    load->errors += unanswered;
    if (unanswered > 0)
        fprintf(stderr, "load: %u connections have messages without a reply\n", unanswered);
}

static bool echo_start(struct load *load)
{
    load->on_message = echo_on_message;
    if (!load_open_all(load))
        return false;
    load->now_ns = clock_ns();
    for (uint32_t i = 0; i < load->options.connections; i++)
        conn_send(load, &load->conns[i], load->options.depth);
    return true;
}

static bool echo_measure(struct load *load)
{
    if (!echo_until(load, later(load, load->options.warmup_seconds)))
        return false;
    load_window_begin(load);
    bool whole = echo_until(load, later(load, load->options.seconds));
    load_window_end(load);
    return whole;
}

bool load_run_echo(struct load *load)
{
    bool whole = echo_start(load) && echo_measure(load);

    if (whole)
        echo_drain(load);
    load_close_all(load);
    return whole;
}

/* Busy: echo alone, then the same beside others that do nothing but handshakes. */

static double per_second(const struct load *load, uint64_t count)
{
    return (double)count * (double)second_ns / (double)load->window_ns;
}

static bool busy_beside(struct load *load, struct handshakers *handshakers)
{
    load->alone_per_second = per_second(load, load->messages);
    handshakers_go(handshakers);
    if (!echo_until(load, later(load, load->options.warmup_seconds)))
        return false;
    load_window_begin(load);
    uint64_t before = handshakers_done(handshakers);
    bool whole = echo_until(load, later(load, load->options.seconds));
    uint64_t after = handshakers_done(handshakers);
    load_window_end(load);
    load->handshakes_per_second = per_second(load, after - before);
    return whole;
}

bool load_run_busy(struct load *load)
{
    struct handshakers handshakers;

    if (!handshakers_fork(load, &handshakers))
        return false;
    bool whole = echo_start(load) && echo_measure(load) && busy_beside(load, &handshakers);
    handshakers_end(load, &handshakers);
    if (whole)
        echo_drain(load);
    load_close_all(load);
    return whole;
}

/* Rooms: in each round every member sends `depth` messages and gets those of all others. */

static uint64_t room_mix(uint32_t index, uint32_t seq)
{
    uint64_t mixed = ((uint64_t)index << 32 | seq) * 0x9e3779b97f4a7c15u;

    return mixed ^ mixed >> 29;
}

static bool room_on_message(struct load *load, struct conn *conn)
{
    const uint8_t *head = conn->in_head;
    uint32_t from = load_be32(head + 4);

    if (load_be32(head) != load->options.size || from >= load->options.connections ||
        from == conn->index)
        return false;
    conn->checksum += room_mix(from, load_be32(head + 8));
    if (load->measuring) {
        load->deliveries++;
        histogram_add(&load->latency, load->now_ns - load->round_began_ns);
    }
    return true;
}

static uint64_t round_messages(struct load *load)
{
    uint32_t first = load->round_first_seq;

    load->now_ns = load->round_began_ns = clock_ns();
    for (uint32_t i = 0; i < load->options.connections; i++) {
        load->conns[i].checksum = 0;
        conn_send(load, &load->conns[i], load->options.depth);
    }
    load->round_first_seq = first + load->options.depth;
    return (uint64_t)load->options.connections * load->options.depth;
}

/* The checksum of what a member must have received is that of all messages less its own. */
static bool round_is_right(const struct load *load)
{
    uint32_t first = load->round_first_seq - load->options.depth;
    uint64_t all = 0;

    for (uint32_t i = 0; i < load->options.connections; i++) {
        for (uint32_t j = 0; j < load->options.depth; j++)
            all += room_mix(i, first + j);
    }
    for (uint32_t i = 0; i < load->options.connections; i++) {
        uint64_t own = 0;
        for (uint32_t j = 0; j < load->options.depth; j++)
            own += room_mix(i, first + j);
        if (load->conns[i].checksum != all - own)
            return false;
    }
    return true;
}

/* Returns whether every delivery of a round came before it was quiet for `quiet_ns`. */
static bool room_round(struct load *load, uint64_t quiet_ns)
{
    uint64_t sent = round_messages(load);
    uint64_t missing = sent * (load->options.connections - 1);
    uint64_t heard_ns = load->now_ns;

    while (missing > 0 && load->failed_count == 0) {
        uint32_t arrived = turn(load, 50, false);
        if (arrived > 0)
            heard_ns = load->now_ns;
        missing -= arrived < missing ? arrived : missing;
        if (load->now_ns - heard_ns > quiet_ns)
            return false;
    }
    if (load->measuring)
        load->messages += sent;
    return round_is_right(load);
}

/* The kernel's handshake ends before the server accepts: the first rounds may miss late members. */
static bool room_is_full(struct load *load)
{
    for (int i = 0; i < PRIMING_ROUNDS && load->failed_count == 0; i++) {
        if (room_round(load, priming_quiet_ns))
            return true;
    }
    fprintf(stderr, "load: the room never had all its members\n");
    return false;
}

static bool rooms_until(struct load *load, uint64_t end_ns)
{
    while (load->now_ns < end_ns) {
        if (room_round(load, stall_ns))
            continue;
        fprintf(stderr, "load: deliveries are missing, repeated or wrong\n");
        load->errors++;
        return false;
    }
    return true;
}

bool load_run_rooms(struct load *load)
{
    load->on_message = room_on_message;
    if (!load_open_all(load) || !room_is_full(load) ||
        !rooms_until(load, later(load, load->options.warmup_seconds)))
        return false;
    load_window_begin(load);
    bool whole = rooms_until(load, later(load, load->options.seconds));
    load_window_end(load);
    load_close_all(load);
    return whole;
}

/* Broadcast: the first connection keeps `depth` messages in flight; one that all have got, itself too, is
 * followed by the next. */

static bool broadcast_on_message(struct load *load, struct conn *conn)
{
    uint32_t slot = conn->in_seq % load->options.depth;

    if (load->measuring) {
        load->deliveries++;
        histogram_add(&load->latency, load->now_ns - load->conns[0].asked_ns[slot]);
    }
    if (++load->delivered[slot] == load->options.connections) {
        load->delivered[slot] = 0;
        load->all_delivered++;
        load->messages += load->measuring;
    }
    return true;
}

static bool broadcast_until(struct load *load, uint64_t end_ns)
{
    uint64_t heard_ns = load->now_ns;

    while (load->now_ns < end_ns || load->all_delivered < load->options.depth) {
        if (load->all_delivered > 0 && load->now_ns < end_ns) {
            conn_send(load, &load->conns[0], load->all_delivered);
            load->all_delivered = 0;
        }
        if (turn(load, 100, false) > 0)
            heard_ns = load->now_ns;
        if (load->now_ns - heard_ns > stall_ns || load->failed_count > 0) {
            fprintf(stderr, "load: deliveries are missing or wrong\n");
            load->errors++;
            return false;
        }
    }
    return true;
}

bool load_run_broadcast(struct load *load)
{
    load->on_message = broadcast_on_message;
    load->delivered = calloc(load->options.depth, sizeof *load->delivered);
    if (load->delivered == NULL || !load_open_all(load))
        return false;
    load->all_delivered = load->options.depth;
    bool whole = broadcast_until(load, later(load, load->options.warmup_seconds));
    load_window_begin(load);
    whole = whole && broadcast_until(load, later(load, load->options.seconds));
    load_window_end(load);
    load_close_all(load);
    free(load->delivered);
    return whole;
}

/* Accepts: connections are begun at a fixed rate; each is closed after its first echo. */

static void accepts_end(struct load *load, struct conn *conn)
{
    if (load->measuring) {
        load->messages++;
        histogram_add(&load->latency, load->now_ns - conn->began_ns);
    }
    conn_close(load, conn);
}

static void accepts_turn(struct load *load)
{
    struct epoll_event events[256];
    int ready = epoll_wait(load->epoll, events, 256, 1);

    load->now_ns = clock_ns();
    for (int i = 0; i < ready; i++) {
        struct conn *conn = events[i].data.ptr;
        if (conn_serve(load, conn, events[i].events) > 0)
            accepts_end(load, conn);
    }
}

static bool accepts_until(struct load *load, uint64_t end_ns)
{
    uint64_t began_ns = load->now_ns;
    uint64_t heard_ns = load->now_ns;
    uint64_t before = load->setup.count;
    uint64_t begun = 0;
    uint32_t next = 0;

    while (load->now_ns < end_ns) {
        uint64_t due = (load->now_ns - began_ns) * load->options.rate / second_ns;
        for (uint32_t i = 0; i < load->options.connections && begun < due; i++) {
            struct conn *conn = &load->conns[next++ % load->options.connections];
            if (conn->phase != CONN_CLOSED)
                continue;
            conn_begin(load, conn);
            begun++;
        }
        accepts_turn(load);
        if (load->setup.count != before)
            heard_ns = load->now_ns;
        before = load->setup.count;
        if (load->now_ns - heard_ns > stall_ns)
            return false;
    }
    return true;
}

bool load_run_accepts(struct load *load)
{
    load->on_message = is_own_message;
    load->now_ns = clock_ns();
    if (!accepts_until(load, later(load, load->options.warmup_seconds)))
        return false;
    load_window_begin(load);
    bool whole = accepts_until(load, later(load, load->options.seconds));
    load_window_end(load);
    load_close_all(load);
    return whole;
}

/* Idle: open and wait, close and wait, and again, for as long as lines come. */

static bool wait_for_line(const struct load *load)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char line[64];

    return poll(&input, 1, (int)load->options.wait_seconds * 1000) > 0 &&
           read(STDIN_FILENO, line, sizeof line) > 0;
}

static void say(const char *what, uint32_t count)
{
    printf("%s %u\n", what, count);
    fflush(stdout);
}

bool load_run_idle(struct load *load)
{
    load->on_message = is_own_message;
    load_window_begin(load);
    do {
        if (!load_open_all(load))
            return false;
        load->messages += load->open_count;
        say("opened", load->open_count);
        bool more = wait_for_line(load);
        load_close_all(load);
        say("closed", load->options.connections);
        if (!more)
            break;
    } while (wait_for_line(load));
    load_window_end(load);
    return true;
}

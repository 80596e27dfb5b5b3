/* What the load for datagrams does with its sockets. */
#include "load_udp_impl.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IDLE_WINDOW = 256, IDLE_TRIES = 20, JOIN_TRIES = 50 };

static const uint64_t lost_ns = 500000000u;
static const uint64_t scan_ns = 100000000u;
static const uint64_t stall_ns = 5 * 1000000000ull;
static const uint64_t idle_lost_ns = 300000000u;

static const uint8_t hello[] = {'h', 'i'};

static uint64_t later(const struct udp_load *load, double seconds)
{
    return load->now_ns + (uint64_t)(seconds * 1e9);
}

static void ask(struct udp_load *load, struct peer *peer, uint32_t seq)
{
    peer->flights[seq % load->options.depth] =
        (struct flight){.seq = seq, .asked_ns = load->now_ns};
    udp_ask(load, peer, peer->index, seq);
}

/* What follows, in a room, on what all have got: sent when the turn is over, for a batch is of one socket. */
static void say_due(struct udp_load *load)
{
    for (uint32_t i = 0; i < load->due_count; i++)
        ask(load, &load->peers[0], load->due[i]);
    udp_flush(load, &load->peers[0]);
    load->due_count = 0;
}

/* Runs until then; `scan` is called now and then to look for what is lost. False: nothing comes any more. */
static bool run_until(struct udp_load *load, uint64_t end_ns, void (*scan)(struct udp_load *load))
{
    uint64_t scanned_ns = load->now_ns;

    load->heard_ns = load->now_ns;
    while (load->now_ns < end_ns) {
        bool all = udp_turn(load, 50);
        say_due(load);
        if (all && load->now_ns - scanned_ns > scan_ns) {
            scanned_ns = load->now_ns;
            scan(load);
        }
        if (load->now_ns - load->heard_ns > stall_ns) {
            fputs("load: no answer any more\n", stderr);
            return false;
        }
    }
    return true;
}

static bool measure(struct udp_load *load, void (*scan)(struct udp_load *load))
{
    if (!run_until(load, later(load, load->options.warmup_seconds), scan))
        return false;
    udp_window_begin(load);
    bool whole = run_until(load, later(load, load->options.seconds), scan);
    udp_window_end(load);
    return whole;
}

/* ---- echo: each answer is followed by the next datagram, so `depth` are always in flight ---- */

static void take_echo(struct udp_load *load, struct peer *peer, const uint8_t *data, size_t len)
{
    if (!udp_is_whole(load, data, len))
        return;
    uint32_t seq = udp_be32(data + 4);
    const struct flight *flight = &peer->flights[seq % load->options.depth];
    if (udp_be32(data) != peer->index) {
        load->errors++;
    } else if (flight->seq != seq) {
        load->late++;
    } else {
        load->heard_ns = load->now_ns;
        load->messages++;
        if (load->measuring)
            histogram_add(&load->latency, load->now_ns - flight->asked_ns);
        ask(load, peer, seq + load->options.depth);
    }
}

static void scan_echo(struct udp_load *load)
{
    for (uint32_t i = 0; i < load->options.sockets; i++) {
        struct peer *peer = &load->peers[i];
        for (uint32_t j = 0; j < load->options.depth; j++) {
            const struct flight *flight = &peer->flights[j];
            if (load->now_ns - flight->asked_ns < lost_ns)
                continue;
            load->lost++;
            ask(load, peer, flight->seq + load->options.depth);
        }
        udp_flush(load, peer);
    }
}

bool udp_run_echo(struct udp_load *load)
{
    load->take = take_echo;
    load->now_ns = clock_ns();
    for (uint32_t i = 0; i < load->options.sockets; i++) {
        for (uint32_t j = 0; j < load->options.depth; j++)
            ask(load, &load->peers[i], j);
        udp_flush(load, &load->peers[i]);
    }
    return measure(load, scan_echo);
}

/* ---- room: the first member keeps `depth` datagrams in flight; one that all have got, itself too, is followed by the next ---- */

static void take_hello(struct udp_load *load, struct peer *peer, const uint8_t *data, size_t len)
{
    peer->joined |= len == sizeof hello && memcmp(data, hello, sizeof hello) == 0;
}

static bool join_all(struct udp_load *load)
{
    uint32_t joined = 0;

    load->take = take_hello;
    for (int i = 0; i < JOIN_TRIES && joined < load->options.sockets; i++) {
        for (uint32_t j = 0; j < load->options.sockets; j++) {
            if (!load->peers[j].joined)
                send(load->peers[j].fd, hello, sizeof hello, 0);
        }
        uint64_t end_ns = clock_ns() + scan_ns;
        do {
            udp_turn(load, 10);
            joined = 0;
            for (uint32_t j = 0; j < load->options.sockets; j++)
                joined += load->peers[j].joined;
        } while (joined < load->options.sockets && load->now_ns < end_ns);
    }
    if (joined < load->options.sockets)
        fprintf(stderr, "load: %u of %u could join\n", joined, load->options.sockets);
    return joined == load->options.sockets;
}

/* Members note what they have got, so that nothing counts twice. */
static void take_room(struct udp_load *load, struct peer *peer, const uint8_t *data, size_t len)
{
    if (len == sizeof hello || !udp_is_whole(load, data, len))
        return;
    uint32_t seq = udp_be32(data + 4);
    uint32_t slot = seq % load->options.depth;
    struct flight *flight = &load->peers[0].flights[slot];
    uint32_t *got = &peer->flights[slot].got;
    if (udp_be32(data) != 0) {
        load->errors++;
    } else if (flight->seq != seq || *got == seq + 1) {
        load->late++;
    } else {
        *got = seq + 1;
        load->heard_ns = load->now_ns;
        load->deliveries++;
        if (load->measuring)
            histogram_add(&load->latency, load->now_ns - flight->asked_ns);
        if (++flight->delivered < load->options.sockets)
            return;
        load->messages++;
        load->due[load->due_count++] = seq + load->options.depth;
    }
}

static void scan_room(struct udp_load *load)
{
    for (uint32_t i = 0; i < load->options.depth; i++) {
        const struct flight *flight = &load->peers[0].flights[i];
        if (flight->delivered == load->options.sockets || load->now_ns - flight->asked_ns < lost_ns)
            continue;
        load->lost += load->options.sockets - flight->delivered;
        load->due[load->due_count++] = flight->seq + load->options.depth;
    }
}

bool udp_run_room(struct udp_load *load)
{
    if (!join_all(load))
        return false;
    load->take = take_room;
    for (uint32_t i = 0; i < load->options.depth; i++)
        load->due[load->due_count++] = i;
    say_due(load);
    return measure(load, scan_room);
}

/* ---- idle: each peer is answered once, and then there is silence, for as long as lines come ---- */

/* Peer i speaks from an address of its own, 127.1.0.1 and up, as far as the sockets do not share it. */
static struct in_addr address_of(const struct udp_load *load, uint32_t i)
{
    return (struct in_addr){htonl(0x7f010001 + i / load->options.sockets)};
}

static void send_from(struct udp_load *load, uint32_t i)
{
    uint8_t data[UDP_SIZE_MAX];
    alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in_pktinfo))] = {0};
    struct in_pktinfo info = {.ipi_spec_dst = address_of(load, i)};
    struct iovec part = {data, load->options.size};
    struct msghdr message = {.msg_name = &load->options.address,
                             .msg_namelen = sizeof load->options.address,
                             .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};

    udp_fill(load, data, i, load->pass);
    struct cmsghdr *origin = CMSG_FIRSTHDR(&message);
    *origin = (struct cmsghdr){
        .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO, .cmsg_len = CMSG_LEN(sizeof info)};
    memcpy(CMSG_DATA(origin), &info, sizeof info);
    sendmsg(load->peers[i % load->options.sockets].fd, &message, 0);
}

static void take_idle(struct udp_load *load, struct peer *peer, const uint8_t *data, size_t len)
{
    if (!udp_is_whole(load, data, len))
        return;
    uint32_t i = udp_be32(data);
    bool right = i < load->options.peers && i % load->options.sockets == peer->index;
    if (!right || udp_be32(data + 4) > load->pass) {
        load->errors++;
    } else if (load->answered[i] == udp_be32(data + 4)) {
        load->late++;
    } else {
        load->answered[i] = load->pass;
        load->messages++;
        load->heard_ns = load->now_ns;
    }
}

/* Asks for a few at a time, and again for those that do not answer. */
static bool ask_window(struct udp_load *load, uint32_t first, uint32_t end)
{
    uint32_t missing = end - first;

    for (int i = 0; i < IDLE_TRIES && missing > 0; i++) {
        for (uint32_t j = first; j < end; j++) {
            if (load->answered[j] != load->pass)
                send_from(load, j);
        }
        uint64_t end_messages = load->messages + missing;
        load->heard_ns = clock_ns();
        do
            udp_turn(load, 50);
        while (load->messages < end_messages && load->now_ns - load->heard_ns < idle_lost_ns);
        load->lost += end_messages - load->messages;
        missing = (uint32_t)(end_messages - load->messages);
    }
    if (missing > 0)
        fprintf(stderr, "load: peers up to %u: %u have no answer\n", end, missing);
    return missing == 0;
}

static bool ask_all(struct udp_load *load)
{
    load->pass++;
    for (uint32_t i = 0; i < load->options.peers; i += IDLE_WINDOW) {
        uint32_t left = load->options.peers - i;
        if (!ask_window(load, i, i + (left < IDLE_WINDOW ? left : IDLE_WINDOW)))
            return false;
    }
    return true;
}

static bool wait_for_line(const struct udp_load *load)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char line[64];

    return poll(&input, 1, (int)load->options.wait_seconds * 1000) > 0 &&
           read(STDIN_FILENO, line, sizeof line) > 0;
}

bool udp_run_idle(struct udp_load *load)
{
    load->take = take_idle;
    load->answered = calloc(load->options.peers, sizeof *load->answered);
    if (load->answered == NULL)
        return false;
    udp_window_begin(load);
    do {
        if (!ask_all(load))
            return false;
        printf("answered %u\n", load->options.peers);
        fflush(stdout);
    } while (wait_for_line(load));
    udp_window_end(load);
    return true;
}

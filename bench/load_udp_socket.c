/* The load's sockets: datagrams out and in, several with each call. */
#include "load_udp_impl.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 256,
    RUN_MAX = 65000,
    GRO_BYTES = 65536,
    LINE_BYTES = 64,
    BUFFER_BYTES = 4 << 20,
};

static void store_be32(uint8_t *p, uint32_t number)
{
    p[0] = (uint8_t)(number >> 24);
    p[1] = (uint8_t)(number >> 16);
    p[2] = (uint8_t)(number >> 8);
    p[3] = (uint8_t)number;
}

uint32_t udp_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void udp_fill(const struct udp_load *load, uint8_t *at, uint32_t index, uint32_t seq)
{
    store_be32(at, index);
    store_be32(at + 4, seq);
    memcpy(at + UDP_HEAD, load->pattern + UDP_HEAD, load->options.size - UDP_HEAD);
}

bool udp_is_whole(struct udp_load *load, const uint8_t *data, size_t len)
{
    size_t size = load->options.size;
    bool whole =
        len == size && memcmp(data + UDP_HEAD, load->pattern + UDP_HEAD, size - UDP_HEAD) == 0;

    load->errors += !whole;
    return whole;
}

/* ---- out ---- */

/* The bytes of the batch lie behind one another: one part for all that a packet takes. */
static void send_runs(struct udp_load *load, const struct peer *peer)
{
    uint32_t size = load->options.size;
    uint32_t most = RUN_MAX / size;

    for (uint32_t at = 0; at < load->out.count;) {
        uint32_t run = load->out.count - at < most ? load->out.count - at : most;
        send(peer->fd, load->out.bytes + (size_t)at * size, (size_t)run * size, 0);
        at += run;
    }
}

/* What cannot be sent is noticed as lost. */
void udp_flush(struct udp_load *load, struct peer *peer)
{
    struct udp_batch *out = &load->out;

    if (peer->dtls != NULL) {
        for (uint32_t i = 0; i < out->count; i++)
            udp_dtls_send(peer, out->parts[i].iov_base, out->parts[i].iov_len);
    } else if (load->options.gso) {
        send_runs(load, peer);
    } else {
        for (uint32_t at = 0; at < out->count;) {
            int sent = sendmmsg(peer->fd, out->messages + at, out->count - at, 0);
            at += sent > 0 ? (uint32_t)sent : 1;
        }
    }
    out->count = 0;
}

void udp_ask(struct udp_load *load, struct peer *peer, uint32_t index, uint32_t seq)
{
    uint8_t *at = load->out.parts[load->out.count].iov_base;

    store_be32(at, index);
    store_be32(at + 4, seq);
    if (++load->out.count == UDP_BATCH)
        udp_flush(load, peer);
}

/* ---- in ---- */

struct control {
    alignas(struct cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(int))];
};

/* The length of each datagram in a packet, or of the one that it is. */
static size_t segment_of(struct msghdr *message, size_t len)
{
    struct cmsghdr *part = CMSG_FIRSTHDR(message);
    int size;

    if (part == NULL || part->cmsg_level != SOL_UDP || part->cmsg_type != UDP_GRO)
        return len;
    memcpy(&size, CMSG_DATA(part), sizeof size);
    return size > 0 ? (size_t)size : len;
}

static void take_packet(struct udp_load *load, struct peer *peer, struct mmsghdr *packet)
{
    const uint8_t *data = packet->msg_hdr.msg_iov->iov_base;
    size_t left = packet->msg_len;
    size_t segment = segment_of(&packet->msg_hdr, left);

    do {
        size_t len = left < segment ? left : segment;
        load->take(load, peer, data, len);
        data += len;
        left -= len;
    } while (left > 0);
}

static int receive(const struct udp_load *load, const struct peer *peer, struct mmsghdr *packets)
{
    static struct iovec parts[UDP_BATCH];
    static struct control controls[UDP_BATCH];

    for (size_t i = 0; i < UDP_BATCH; i++) {
        parts[i] = (struct iovec){load->in + i * load->in_stride, load->in_stride};
        packets[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
        if (load->options.gro) {
            packets[i].msg_hdr.msg_control = controls[i].bytes;
            packets[i].msg_hdr.msg_controllen = sizeof controls[i].bytes;
        }
    }
    return recvmmsg(peer->fd, packets, UDP_BATCH, MSG_DONTWAIT, NULL);
}

static void serve(struct udp_load *load, struct peer *peer)
{
    static struct mmsghdr packets[UDP_BATCH];
    int len = 0;

    if (peer->dtls != NULL) {
        for (int i = 0; i < UDP_BATCH && len >= 0; i++) {
            len = udp_dtls_receive(peer, load->in, load->in_stride);
            if (len == 0)
                break;
            if (len > 0)
                load->take(load, peer, load->in, (size_t)len);
        }
        load->errors += len < 0;
    } else {
        int count = receive(load, peer, packets);
        for (int i = 0; i < count; i++)
            take_packet(load, peer, &packets[i]);
    }
    udp_flush(load, peer);
}

bool udp_turn(struct udp_load *load, int wait_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int ready = epoll_wait(load->epoll, events, EVENTS_MAX, wait_ms);

    load->now_ns = clock_ns();
    for (int i = 0; i < ready; i++)
        serve(load, events[i].data.ptr);
    return ready < EVENTS_MAX;
}

/* ---- sockets ---- */

static bool set_up(const struct udp_load *load, int fd)
{
    const struct udp_options *options = &load->options;
    int size = (int)options->size;
    int buffer = BUFFER_BYTES;
    int on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) != 0)
        return false;
    if (options->gro && setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on) != 0)
        return false;
    if (options->gso && setsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, sizeof size) != 0)
        return false;
    if (options->mode != UDP_IDLE)
        return connect(fd, (const struct sockaddr *)&options->address, sizeof options->address) == 0;
    const struct sockaddr_in any = {.sin_family = AF_INET};
    return setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) == 0 &&
           bind(fd, (const struct sockaddr *)&any, sizeof any) == 0;
}

static bool open_socket(struct udp_load *load, uint32_t index)
{
    struct peer *peer = &load->peers[index];
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};

    peer->index = index;
    peer->flights = calloc(load->options.depth, sizeof *peer->flights);
    peer->fd =
        socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | (load->options.dtls ? SOCK_NONBLOCK : 0), 0);
    if (peer->fd >= 0 && peer->flights != NULL && set_up(load, peer->fd) &&
        epoll_ctl(load->epoll, EPOLL_CTL_ADD, peer->fd, &event) == 0)
        return true;
    fprintf(stderr, "load: socket %u: %s\n", index, strerror(errno));
    return false;
}

static bool prepare(struct udp_load *load)
{
    size_t size = load->options.size;
    struct udp_batch *out = &load->out;

    load->in_stride = (load->options.gro ? GRO_BYTES : UDP_SIZE_MAX) + LINE_BYTES;
    load->in = malloc(UDP_BATCH * load->in_stride);
    load->pattern = malloc(size);
    out->bytes = malloc(UDP_BATCH * size);
    load->peers = calloc(load->options.sockets, sizeof *load->peers);
    load->due = calloc(load->options.depth, sizeof *load->due);
    if (load->in == NULL || load->due == NULL || load->pattern == NULL || out->bytes == NULL ||
        load->peers == NULL)
        return false;
    for (uint32_t i = 0; i < load->options.sockets; i++)
        load->peers[i].fd = -1;
    for (size_t i = 0; i < size; i++)
        load->pattern[i] = (uint8_t)(i * 37 + 11);
    for (size_t i = 0; i < UDP_BATCH; i++) {
        out->parts[i] = (struct iovec){out->bytes + i * size, size};
        out->messages[i].msg_hdr = (struct msghdr){.msg_iov = &out->parts[i], .msg_iovlen = 1};
        udp_fill(load, out->parts[i].iov_base, 0, 0);
    }
    return true;
}

bool udp_open(struct udp_load *load)
{
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load->epoll < 0 || !prepare(load))
        return false;
    for (uint32_t i = 0; i < load->options.sockets; i++) {
        if (!open_socket(load, i))
            return false;
    }
    return !load->options.dtls || udp_dtls_open(load);
}

void udp_close(struct udp_load *load)
{
    if (load->options.dtls)
        udp_dtls_close(load);
    for (uint32_t i = 0; load->peers != NULL && i < load->options.sockets; i++) {
        if (load->peers[i].fd >= 0)
            close(load->peers[i].fd);
        free(load->peers[i].flights);
    }
    free(load->peers);
    free(load->due);
    free(load->answered);
    free(load->in);
    free(load->pattern);
    free(load->out.bytes);
}

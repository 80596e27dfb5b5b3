/* The floor of datagrams: what an echo costs when nothing but the echo is done.
 *
 * One socket, one epoll loop: recvmmsg of up to 64, sendmmsg of as many, each datagram its own packet for the
 * kernel. Nothing is kept of who sends. The buffers are staggered, or their beginnings would all want the same few
 * lines of the first cache.
 *
 * --gso     runs from one address go back as one packet that the kernel cuts (UDP_SEGMENT)
 * --single  one recvfrom and one sendto for each datagram
 * --room    a datagram of less than 8 bytes makes its sender a member and is echoed; any other goes to all members */
#include "listen.h"

#include <getopt.h>
#include <netinet/udp.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
    BATCH = 64,
    DATAGRAM_MAX = 2048,
    STRIDE = DATAGRAM_MAX + 64,
    SEGMENTS_MAX = 64,
    RUN_MAX = 65000,
    MEMBERS_MAX = 4096,
    HELLO_MAX = 7,
};

struct segment_size {
    alignas(struct cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
};

static uint8_t buffers[BATCH][STRIDE];
static struct sockaddr_in from[BATCH];
static struct iovec in_parts[BATCH];
static struct mmsghdr in[BATCH];
static struct iovec out_parts[BATCH];
static struct mmsghdr out[BATCH];
static unsigned out_count;
static struct segment_size segments[BATCH];
static struct sockaddr_in members[MEMBERS_MAX];
static unsigned member_count;

static void prepare(void)
{
    for (int i = 0; i < BATCH; i++) {
        in_parts[i] = (struct iovec){buffers[i], DATAGRAM_MAX};
        in[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                        .msg_namelen = sizeof from[i],
                                        .msg_iov = &in_parts[i],
                                        .msg_iovlen = 1};
    }
}

/* The socket blocks: what does not fit its buffer waits here. What cannot be sent is left out. */
static void flush(int fd)
{
    for (unsigned at = 0; at < out_count;) {
        int sent = sendmmsg(fd, out + at, out_count - at, 0);
        at += sent > 0 ? (unsigned)sent : 1;
    }
    out_count = 0;
}

static void put(int fd, struct sockaddr_in *to, uint8_t *data, size_t len)
{
    out_parts[out_count] = (struct iovec){data, len};
    out[out_count].msg_hdr = (struct msghdr){.msg_name = to,
                                             .msg_namelen = sizeof *to,
                                             .msg_iov = &out_parts[out_count],
                                             .msg_iovlen = 1};
    if (++out_count == BATCH)
        flush(fd);
}

static void echo_batch(int fd, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        put(fd, &from[i], buffers[i], in[i].msg_len);
    flush(fd);
}

static bool is_same_peer(const struct sockaddr_in *one, const struct sockaddr_in *two)
{
    return one->sin_port == two->sin_port && one->sin_addr.s_addr == two->sin_addr.s_addr;
}

/* A run ends with a datagram that is shorter, the last one of a packet that the kernel cuts. */
static unsigned run_length(unsigned first, unsigned count)
{
    unsigned size = in[first].msg_len;
    unsigned total = size;
    unsigned end = first + 1;

    while (end < count && end - first < SEGMENTS_MAX && is_same_peer(&from[end], &from[first]) &&
           in[end].msg_len <= size && in[end].msg_len > 0 && total + size <= RUN_MAX) {
        total += size;
        if (in[end++].msg_len < size)
            break;
    }
    return end - first;
}

static void mark_segments(struct msghdr *message, struct segment_size *control, uint16_t size)
{
    message->msg_control = control->bytes;
    message->msg_controllen = sizeof control->bytes;
    struct cmsghdr *part = CMSG_FIRSTHDR(message);
    *part = (struct cmsghdr){
        .cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof size)};
    memcpy(CMSG_DATA(part), &size, sizeof size);
}

static void echo_runs(int fd, unsigned count)
{
    unsigned run;

    for (unsigned i = 0; i < count; i += run) {
        run = run_length(i, count);
        struct msghdr *message = &out[out_count].msg_hdr;
        *message = (struct msghdr){.msg_name = &from[i],
                                   .msg_namelen = sizeof from[i],
                                   .msg_iov = &out_parts[i],
                                   .msg_iovlen = run};
        for (unsigned j = i; j < i + run; j++)
            out_parts[j] = (struct iovec){buffers[j], in[j].msg_len};
        if (run > 1)
            mark_segments(message, &segments[out_count], (uint16_t)in[i].msg_len);
        out_count++;
    }
    flush(fd);
}

static void join(const struct sockaddr_in *peer)
{
    for (unsigned i = 0; i < member_count; i++) {
        if (is_same_peer(&members[i], peer))
            return;
    }
    if (member_count < MEMBERS_MAX)
        members[member_count++] = *peer;
}

static void tell_members(int fd, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (in[i].msg_len <= HELLO_MAX) {
            join(&from[i]);
            put(fd, &from[i], buffers[i], in[i].msg_len);
            continue;
        }
        for (unsigned j = 0; j < member_count; j++)
            put(fd, &members[j], buffers[i], in[i].msg_len);
    }
    flush(fd);
}

static void serve_batches(int fd, void (*serve)(int fd, unsigned count))
{
    int count;

    do {
        count = recvmmsg(fd, in, BATCH, MSG_DONTWAIT, NULL);
        if (count > 0)
            serve(fd, (unsigned)count);
    } while (count == BATCH);
}

static void serve_single(int fd)
{
    struct sockaddr_in peer;

    for (int i = 0; i < BATCH; i++) {
        socklen_t peer_len = sizeof peer;
        ssize_t len = recvfrom(fd, buffers[0], DATAGRAM_MAX, MSG_DONTWAIT, (struct sockaddr *)&peer,
                               &peer_len);
        if (len < 0)
            return;
        sendto(fd, buffers[0], (size_t)len, 0, (const struct sockaddr *)&peer, peer_len);
    }
}

static int parse(int argc, char **argv, int *mode)
{
    static const struct option options[] = {
        {"host", required_argument, NULL, 'h'}, {"port", required_argument, NULL, 'p'},
        {"gso", no_argument, NULL, 'g'},        {"single", no_argument, NULL, 's'},
        {"room", no_argument, NULL, 'r'},       {0}};
    struct sockaddr_in address = listen_default();
    int letter;

    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (letter == 'g' || letter == 's' || letter == 'r') {
            *mode = letter;
        } else if (!listen_parse(&address, letter, optarg)) {
            fprintf(stderr, "usage: %s [--host ADDRESS] [--port N] [--gso | --single | --room]\n",
                    argv[0]);
            return -1;
        }
    }
    return listen_datagrams_at(&address);
}

int main(int argc, char **argv)
{
    struct epoll_event event = {.events = EPOLLIN};
    int mode = 'b';
    int fd = parse(argc, argv, &mode);
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    if (fd < 0 || epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        return 1;
    prepare();
    for (;;) {
        if (epoll_wait(epoll, &event, 1, -1) <= 0)
            continue;
        if (mode == 's')
            serve_single(fd);
        else
            serve_batches(fd, mode == 'g' ? echo_runs : mode == 'r' ? tell_members : echo_batch);
    }
}

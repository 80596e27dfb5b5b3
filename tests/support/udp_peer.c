/* A plain peer of datagrams. */
#include "support/udp_peer.h"

#include "address_impl.h"
#include "support/wait.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define fail(...) rig_fail(__FILE__, __LINE__, __VA_ARGS__)

enum { BATCH_MAX = 64 };

/* ---- open ---- */

struct cw_address rig_address(const char *text)
{
    struct cw_address address;

    if (cw_address_parse(text, &address) != 0) {
        fail("%s is no address", text);
    }
    return address;
}

struct rig_udp rig_udp_open_at(const struct cw_address *own, const struct cw_address *to,
                               int receive_buffer)
{
    struct sockaddr_storage system;
    socklen_t len = cw_address_to_sockaddr(own, &system);
    struct rig_udp peer = {.fd = socket(system.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    char text[CW_ADDRESS_TEXT_MAX];

    rig_check(peer.fd >= 0);
    if (to) {
        peer.to = *to;
    }
    if (receive_buffer > 0) {
        rig_check(setsockopt(peer.fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer,
                             sizeof receive_buffer) == 0);
    }
    if (bind(peer.fd, (struct sockaddr *)&system, len) < 0) {
        fail("bind %s: %s", cw_address_print(own, text), strerror(errno));
    }
    return peer;
}

struct rig_udp rig_udp_open(const char *own, const char *to)
{
    struct cw_address from = rig_address(own);
    struct cw_address there = to ? rig_address(to) : (struct cw_address){0};

    return rig_udp_open_at(&from, &there, 0);
}

struct rig_udp rig_udp_to(uint16_t port)
{
    struct rig_udp peer = rig_udp_open("127.0.0.1", "127.0.0.1");

    peer.to.port = port;
    return peer;
}

void rig_udp_pair(struct rig_udp pair[2])
{
    pair[0] = rig_udp_to(0);
    pair[1] = rig_udp_to(rig_udp_port(&pair[0]));
    pair[0].to.port = rig_udp_port(&pair[1]);
}

void rig_udp_turn(struct rig_udp *peer, const char *to)
{
    uint16_t port = peer->to.port;

    peer->to = rig_address(to);
    if (peer->to.port == 0) {
        peer->to.port = port;
    }
}

void rig_udp_turn_port(struct rig_udp *peer, uint16_t port)
{
    peer->to.port = port;
}

bool rig_udp_has_ipv6(void)
{
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&loopback, sizeof loopback) == 0;

    if (fd >= 0) {
        close(fd);
    }
    return has;
}

/* ---- send ---- */

int rig_udp_try_send(struct rig_udp *peer, const void *data, size_t len)
{
    struct sockaddr_storage system;
    socklen_t size = cw_address_to_sockaddr(&peer->to, &system);

    rig_check(peer->to.port != 0);
    while (sendto(peer->fd, data, len, 0, (struct sockaddr *)&system, size) < 0) {
        if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

void rig_udp_send(struct rig_udp *peer, const void *data, size_t len)
{
    char text[CW_ADDRESS_TEXT_MAX];
    int error = rig_udp_try_send(peer, data, len);

    if (error != 0) {
        fail("send %zu bytes to %s: %s", len, cw_address_print(&peer->to, text), strerror(error));
    }
}

void rig_udp_send_text(struct rig_udp *peer, const char *text)
{
    rig_udp_send(peer, text, strlen(text));
}

bool rig_udp_send_run(struct rig_udp *peer, const void *data, size_t len, uint16_t segment)
{
    alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof segment)] = {0};
    struct cmsghdr *header = (void *)control;
    struct iovec body = {(void *)(uintptr_t)data, len};
    struct sockaddr_storage system;
    struct msghdr message = {.msg_name = &system,
                             .msg_namelen = cw_address_to_sockaddr(&peer->to, &system),
                             .msg_iov = &body,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};

    header->cmsg_level = IPPROTO_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof segment);
    memcpy(CMSG_DATA(header), &segment, sizeof segment);
    return sendmsg(peer->fd, &message, 0) == (ssize_t)len;
}

/* The source of one message: its control part. */
struct source {
    alignas(struct cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
};

static void set_source(struct source *control, const struct cw_address *from)
{
    struct cmsghdr *header = (void *)control->bytes;
    struct in_pktinfo info = {0};

    rig_check(from->family == CW_IPV4);
    memcpy(&info.ipi_spec_dst, from->ip, sizeof info.ipi_spec_dst);
    memset(control, 0, sizeof *control);
    header->cmsg_level = IPPROTO_IP;
    header->cmsg_type = IP_PKTINFO;
    header->cmsg_len = CMSG_LEN(sizeof info);
    memcpy(CMSG_DATA(header), &info, sizeof info);
}

size_t rig_udp_send_as(struct rig_udp *peer, const struct cw_address *from, size_t count,
                       const void *data, size_t len)
{
    struct sockaddr_storage system;
    socklen_t size = cw_address_to_sockaddr(&peer->to, &system);
    struct iovec body = {(void *)(uintptr_t)data, len};
    struct source sources[BATCH_MAX];
    struct mmsghdr messages[BATCH_MAX];
    int sent;

    rig_check(count <= BATCH_MAX);
    for (size_t i = 0; i < count; i++) {
        set_source(&sources[i], &from[i]);
        messages[i].msg_hdr = (struct msghdr){.msg_name = &system,
                                              .msg_namelen = size,
                                              .msg_iov = &body,
                                              .msg_iovlen = 1,
                                              .msg_control = &sources[i],
                                              .msg_controllen = sizeof sources[i]};
    }
    sent = sendmmsg(peer->fd, messages, (unsigned)count, 0);
    if (sent < 0) {
        fail("send as others: %s", strerror(errno));
    }
    return (size_t)sent;
}

/* ---- receive ---- */

static ssize_t receive(struct rig_udp *peer, void *buffer, size_t cap, struct cw_address *from)
{
    struct sockaddr_storage system;
    socklen_t len = sizeof system;
    ssize_t n =
        recvfrom(peer->fd, buffer, cap, MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&system, &len);

    if (n >= 0) {
        rig_check(cw_address_from_sockaddr((struct sockaddr *)&system, len, from) == 0);
    }
    return n;
}

size_t rig_udp_receive_from(struct rig_udp *peer, void *buffer, size_t cap, struct cw_address *from)
{
    ssize_t n;

    do {
        if (!rig_is_ready(peer->fd, POLLIN, RIG_DEADLINE_MS)) {
            fail("receive: nothing comes");
        }
        n = receive(peer, buffer, cap, from);
    } while (n < 0 && (errno == EAGAIN || errno == EINTR));
    if (n < 0) {
        fail("receive: %s", strerror(errno));
    }
    if ((size_t)n > cap) {
        fail("receive: a datagram of %zd bytes came, there is room for %zu", n, cap);
    }
    return (size_t)n;
}

size_t rig_udp_receive(struct rig_udp *peer, void *buffer, size_t cap)
{
    struct cw_address from;
    size_t len = rig_udp_receive_from(peer, buffer, cap, &from);
    char texts[2][CW_ADDRESS_TEXT_MAX];

    if (from.port != peer->to.port || !cw_address_same_host(&from, &peer->to)) {
        fail("receive: %zu bytes came from %s, not from %s", len, cw_address_print(&from, texts[0]),
             cw_address_print(&peer->to, texts[1]));
    }
    return len;
}

void rig_udp_expect_bytes(struct rig_udp *peer, const void *data, size_t len)
{
    static _Thread_local uint8_t buffer[65536];
    size_t got = rig_udp_receive(peer, buffer, sizeof buffer);

    if (got != len || memcmp(buffer, data, len) != 0) {
        fail("received %zu bytes where %zu were expected, or others: \"%.*s\"", got, len,
             got < 80 ? (int)got : 80, (const char *)buffer);
    }
}

void rig_udp_expect(struct rig_udp *peer, const char *text)
{
    static _Thread_local char buffer[65536];
    size_t len = rig_udp_receive(peer, buffer, sizeof buffer - 1);

    buffer[len] = '\0';
    if (len != strlen(text) || memcmp(buffer, text, len) != 0) {
        fail("received \"%s\" where \"%s\" was expected", buffer, text);
    }
}

ptrdiff_t rig_udp_try_receive(struct rig_udp *peer, void *buffer, size_t cap)
{
    return recv(peer->fd, buffer, cap, MSG_DONTWAIT);
}

size_t rig_udp_forget(struct rig_udp *peer)
{
    size_t count = 0;
    uint8_t byte;

    while (rig_udp_try_receive(peer, &byte, sizeof byte) >= 0) {
        count++;
    }
    return count;
}

void rig_udp_expect_nothing(struct rig_udp *peer)
{
    char buffer[80];
    ptrdiff_t n = rig_udp_try_receive(peer, buffer, sizeof buffer);

    if (n >= 0) {
        fail("\"%.*s\" came where nothing was expected", (int)n, buffer);
    }
}

void rig_udp_expect_echo(struct rig_udp *peer, const char *text)
{
    rig_udp_send_text(peer, text);
    rig_udp_expect(peer, text);
}

/* ---- end ---- */

void rig_udp_close(struct rig_udp *peer)
{
    if (peer->fd >= 0) {
        close(peer->fd);
    }
    peer->fd = -1;
}

struct cw_address rig_udp_address(const struct rig_udp *peer)
{
    struct sockaddr_storage system;
    socklen_t len = sizeof system;
    struct cw_address address;

    rig_check(getsockname(peer->fd, (struct sockaddr *)&system, &len) == 0);
    rig_check(cw_address_from_sockaddr((struct sockaddr *)&system, len, &address) == 0);
    return address;
}

uint16_t rig_udp_port(const struct rig_udp *peer)
{
    return rig_udp_address(peer).port;
}

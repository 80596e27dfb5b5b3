/* A scripted peer on a blocking socket. */
#include "support/peer.h"

#include "support/wait.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define fail(...) rig_fail(__FILE__, __LINE__, __VA_ARGS__)

/* ---- connect ---- */

static void set_number(int fd, int level, int name, int value)
{
    rig_check(setsockopt(fd, level, name, &value, sizeof value) == 0);
}

static struct addrinfo *numeric(const char *host, uint16_t port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found;
    char service[8];

    snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(host, service, &hints, &found) != 0) {
        fail("%s is no address", host);
    }
    return found;
}

struct rig_peer rig_peer_tcp_from(const char *source, const char *host, uint16_t port,
                                  int receive_buffer)
{
    struct addrinfo *to = numeric(host, port);
    struct rig_peer peer = {socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};

    rig_check(peer.fd >= 0);
    if (receive_buffer > 0) {
        set_number(peer.fd, SOL_SOCKET, SO_RCVBUF, receive_buffer);
    }
    if (source) {
        struct addrinfo *from = numeric(source, 0);
        rig_check(bind(peer.fd, from->ai_addr, from->ai_addrlen) == 0);
        freeaddrinfo(from);
    }
    if (connect(peer.fd, to->ai_addr, to->ai_addrlen) < 0) {
        fail("connect to %s port %u: %s", host, port, strerror(errno));
    }
    set_number(peer.fd, IPPROTO_TCP, TCP_NODELAY, 1);
    freeaddrinfo(to);
    return peer;
}

struct rig_peer rig_peer_tcp(uint16_t port)
{
    return rig_peer_tcp_from(NULL, "127.0.0.1", port, 0);
}

struct rig_peer rig_peer_unix(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct rig_peer peer = {socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};

    rig_check(peer.fd >= 0);
    rig_check(strlen(path) < sizeof to.sun_path);
    memcpy(to.sun_path, path, strlen(path) + 1);
    if (connect(peer.fd, (const struct sockaddr *)&to, sizeof to) < 0) {
        fail("connect to %s: %s", path, strerror(errno));
    }
    return peer;
}

struct rig_peer rig_peer_try_tcp(uint16_t port)
{
    struct addrinfo *to = numeric("127.0.0.1", port);
    struct rig_peer peer = {socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};

    rig_check(peer.fd >= 0);
    if (connect(peer.fd, to->ai_addr, to->ai_addrlen) < 0) {
        close(peer.fd);
        peer.fd = -1;
    }
    freeaddrinfo(to);
    return peer;
}

bool rig_port_is_open(uint16_t port)
{
    struct rig_peer peer = rig_peer_try_tcp(port);
    bool is_open = peer.fd >= 0;

    if (is_open) {
        close(peer.fd);
    }
    return is_open;
}

/* ---- send ---- */

ptrdiff_t rig_peer_try_send(struct rig_peer *peer, const void *data, size_t len)
{
    ssize_t n = send(peer->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    return n;
}

void rig_peer_send(struct rig_peer *peer, const void *data, size_t len)
{
    const uint8_t *bytes = data;

    while (len > 0) {
        ptrdiff_t n;
        if (!rig_is_ready(peer->fd, POLLOUT, RIG_DEADLINE_MS)) {
            fail("send: the other side takes nothing, %zu bytes are left", len);
        }
        n = rig_peer_try_send(peer, bytes, len);
        if (n < 0) {
            fail("send: %s, %zu bytes are left", strerror(errno), len);
        }
        bytes += n;
        len -= (size_t)n;
    }
}

void rig_peer_send_text(struct rig_peer *peer, const char *text)
{
    rig_peer_send(peer, text, strlen(text));
}

bool rig_peer_has_arrived(const struct rig_peer *peer)
{
    int unsent = 0;

    return ioctl(peer->fd, SIOCOUTQ, &unsent) < 0 || unsent == 0;
}

void rig_peer_send_slowly(struct rig_peer *peer, const void *data, size_t len, size_t piece)
{
    const uint8_t *bytes = data;

    while (len > 0) {
        size_t n = len < piece ? len : piece;
        rig_peer_send(peer, bytes, n);
        rig_await(rig_peer_has_arrived(peer));
        bytes += n;
        len -= n;
    }
}

void rig_peer_send_frame(struct rig_peer *peer, const void *data, size_t len)
{
    uint32_t header = htonl((uint32_t)len);
    struct iovec iov[2] = {{&header, sizeof header}, {(void *)(uintptr_t)data, len}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    ssize_t n = sendmsg(peer->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    size_t sent = n < 0 ? 0 : (size_t)n;

    if (sent < sizeof header) {
        rig_peer_send(peer, (const uint8_t *)&header + sent, sizeof header - sent);
        sent = sizeof header;
    }
    rig_peer_send(peer, (const uint8_t *)data + (sent - sizeof header),
                  len - (sent - sizeof header));
}

/* ---- receive ---- */

ptrdiff_t rig_peer_receive_some(struct rig_peer *peer, void *buffer, size_t cap)
{
    if (!rig_is_ready(peer->fd, POLLIN, RIG_DEADLINE_MS)) {
        fail("receive: nothing comes");
    }
    return recv(peer->fd, buffer, cap, 0);
}

void rig_peer_receive(struct rig_peer *peer, void *buffer, size_t len)
{
    uint8_t *bytes = buffer;
    size_t got = 0;

    while (got < len) {
        ptrdiff_t n;
        if (!rig_is_ready(peer->fd, POLLIN, RIG_DEADLINE_MS)) {
            fail("receive: nothing comes after %zu of %zu bytes", got, len);
        }
        n = recv(peer->fd, bytes + got, len - got, 0);
        if (n <= 0) {
            fail("receive: %s after %zu of %zu bytes", n == 0 ? "the end" : strerror(errno), got,
                 len);
        }
        got += (size_t)n;
    }
}

void rig_peer_expect(struct rig_peer *peer, const char *text)
{
    char buffer[4096];
    size_t len = strlen(text);

    rig_check(len < sizeof buffer);
    rig_peer_receive(peer, buffer, len);
    buffer[len] = '\0';
    if (strcmp(buffer, text) != 0) {
        fail("received \"%s\" where \"%s\" was expected", buffer, text);
    }
}

size_t rig_peer_receive_frame(struct rig_peer *peer, void *buffer, size_t cap)
{
    uint32_t header;
    size_t len;

    rig_peer_receive(peer, &header, sizeof header);
    len = ntohl(header);
    if (len > cap) {
        fail("a frame of %zu bytes came, there is room for %zu", len, cap);
    }
    rig_peer_receive(peer, buffer, len);
    return len;
}

size_t rig_peer_receive_all(struct rig_peer *peer)
{
    static _Thread_local uint8_t buffer[65536];
    size_t total = 0;
    ptrdiff_t n;

    while ((n = rig_peer_receive_some(peer, buffer, sizeof buffer)) > 0) {
        total += (size_t)n;
    }
    if (n < 0) {
        fail("receive: %s after %zu bytes, an end was expected", strerror(errno), total);
    }
    return total;
}

void rig_peer_expect_end(struct rig_peer *peer)
{
    size_t more = rig_peer_receive_all(peer);

    if (more > 0) {
        fail("%zu more bytes came before the end", more);
    }
}

void rig_peer_expect_reset(struct rig_peer *peer)
{
    uint8_t buffer[4096];
    ptrdiff_t n;

    do {
        n = rig_peer_receive_some(peer, buffer, sizeof buffer);
    } while (n > 0);
    if (n == 0 || errno != ECONNRESET) {
        fail("%s came, a reset was expected", n == 0 ? "the end" : strerror(errno));
    }
}

void rig_peer_expect_gone(struct rig_peer *peer)
{
    uint8_t byte;
    ptrdiff_t n = rig_peer_receive_some(peer, &byte, sizeof byte);

    if (n > 0) {
        fail("a byte came where nothing was expected");
    }
}

void rig_peer_expect_silence(struct rig_peer *peer, int ms)
{
    if (rig_is_ready(peer->fd, POLLIN, ms)) {
        fail("something came where silence was expected");
    }
}

/* ---- end ---- */

void rig_peer_shut(struct rig_peer *peer)
{
    rig_check(shutdown(peer->fd, SHUT_WR) == 0);
}

void rig_peer_reset(struct rig_peer *peer)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    rig_check(setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
    rig_peer_close(peer);
}

void rig_peer_close(struct rig_peer *peer)
{
    if (peer->fd >= 0) {
        close(peer->fd);
    }
    peer->fd = -1;
}

uint16_t rig_peer_port(const struct rig_peer *peer)
{
    struct sockaddr_storage own;
    socklen_t len = sizeof own;

    rig_check(getsockname(peer->fd, (struct sockaddr *)&own, &len) == 0);
    return ntohs(own.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&own)->sin6_port
                                           : ((struct sockaddr_in *)&own)->sin_port);
}

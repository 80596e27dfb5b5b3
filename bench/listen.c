/* A listening socket for the floor servers. */
#include "listen.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct sockaddr_in listen_default(void)
{
    return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

bool listen_parse(struct sockaddr_in *address, int letter, const char *text)
{
    if (letter == 'h')
        return inet_pton(AF_INET, text, &address->sin_addr) == 1;
    if (letter != 'p')
        return false;
    address->sin_port = htons((uint16_t)strtoul(text, NULL, 10));
    return true;
}

static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void announce(const struct sockaddr_in *address, const char *scheme)
{
    char host[INET_ADDRSTRLEN];

    inet_ntop(AF_INET, &address->sin_addr, host, sizeof host);
    printf("listening on %s://%s:%u\n", scheme, host, (unsigned)ntohs(address->sin_port));
    fflush(stdout);
}

int listen_at(const struct sockaddr_in *wanted, const char *scheme)
{
    struct sockaddr_in address = *wanted;
    socklen_t address_len = sizeof address;
    int on = 1;

    signal(SIGPIPE, SIG_IGN);
    raise_descriptors();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &address_len) != 0) {
        perror("listen");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    announce(&address, scheme);
    return fd;
}

int listen_datagrams_at(const struct sockaddr_in *wanted)
{
    struct sockaddr_in address = *wanted;
    socklen_t address_len = sizeof address;
    int buffer = DATAGRAM_BUFFER_BYTES;

    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &address_len) != 0) {
        perror("listen");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    announce(&address, "udp");
    return fd;
}

int listen_from_arguments(int argc, char **argv)
{
    static const struct option options[] = {
        {"host", required_argument, NULL, 'h'}, {"port", required_argument, NULL, 'p'}, {0}};
    struct sockaddr_in address = listen_default();
    int letter;

    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (listen_parse(&address, letter, optarg))
            continue;
        fprintf(stderr, "usage: %s [--host ADDRESS] [--port N]\n", argv[0]);
        return -1;
    }
    return listen_at(&address, "tcp");
}

int accept_one(int listener)
{
    int on = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

/* The floor over TLS: what an encrypted echo costs when nothing but the echo is done.
 *
 * The loop of floor.c with a TLS library between: one recv of ciphertext into one buffer, from which
 * the library reads its records; one send of all the ciphertext that it has made of them. Ciphertext
 * that a socket does not take is kept, and that connection is not read until it has gone. */
#include "floor_tls.h"
#include "listen.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FDS_MAX = 1 << 20, EVENTS_MAX = 1024, ACCEPTS_PER_TURN = 64 };

struct rest {
    size_t at;
    size_t len;
    bool last; /* the session has ended: the connection too, once this is sent */
    uint8_t bytes[];
};

static struct tls_session *sessions[FDS_MAX]; /* by descriptor; untouched pages cost nothing */
static struct rest *rests[FDS_MAX];
static uint8_t scratch[WIRE_BYTES];
static struct floor_wire wire;

int wire_take(struct floor_wire *from, uint8_t *bytes, size_t len)
{
    if (from->in_len == 0)
        return -1;
    if (len > from->in_len)
        len = from->in_len;
    memcpy(bytes, from->in, len);
    from->in += len;
    from->in_len -= len;
    return (int)len;
}

int wire_add(struct floor_wire *to, const uint8_t *bytes, size_t len)
{
    if (len > sizeof to->out - to->out_len)
        return -1;
    memcpy(to->out + to->out_len, bytes, len);
    to->out_len += len;
    return (int)len;
}

static void watch(int epoll, int op, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    epoll_ctl(epoll, op, fd, &event);
}

static void drop(int fd)
{
    tls_close(sessions[fd]);
    sessions[fd] = NULL;
    free(rests[fd]);
    rests[fd] = NULL;
    close(fd);
}

static void accept_some(int epoll, int listener)
{
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept_one(listener);
        if (fd < 0)
            return;
        if (fd >= FDS_MAX || (sessions[fd] = tls_open()) == NULL)
            close(fd);
        else
            watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
    }
}

static void keep(int epoll, int fd, size_t at, bool last)
{
    size_t len = wire.out_len - at;
    struct rest *rest = malloc(sizeof *rest + len);

    if (rest == NULL) {
        drop(fd);
        return;
    }
    *rest = (struct rest){.len = len, .last = last};
    memcpy(rest->bytes, wire.out + at, len);
    rests[fd] = rest;
    watch(epoll, EPOLL_CTL_MOD, fd, EPOLLOUT);
}

static void send_out(int epoll, int fd, bool last)
{
    ssize_t sent = wire.out_len > 0 ? send(fd, wire.out, wire.out_len, MSG_NOSIGNAL) : 0;

    if (sent < 0 && errno == EAGAIN)
        sent = 0;
    if (sent < 0 || (last && (size_t)sent == wire.out_len))
        drop(fd);
    else if ((size_t)sent < wire.out_len)
        keep(epoll, fd, (size_t)sent, last);
}

static void serve(int epoll, int fd)
{
    ssize_t got = recv(fd, scratch, sizeof scratch, 0);

    if (got <= 0) {
        if (got == 0 || errno != EAGAIN)
            drop(fd);
        return;
    }
    wire.in = scratch;
    wire.in_len = (size_t)got;
    wire.out_len = 0;
    bool alive = tls_serve(sessions[fd]);
    send_out(epoll, fd, !alive);
}

static void send_rest(int epoll, int fd)
{
    struct rest *rest = rests[fd];
    ssize_t sent = send(fd, rest->bytes + rest->at, rest->len - rest->at, MSG_NOSIGNAL);

    if (sent < 0) {
        if (errno != EAGAIN)
            drop(fd);
        return;
    }
    rest->at += (size_t)sent;
    if (rest->at < rest->len)
        return;
    if (rest->last) {
        drop(fd);
        return;
    }
    free(rest);
    rests[fd] = NULL;
    watch(epoll, EPOLL_CTL_MOD, fd, EPOLLIN);
}

/* NULL is in every list. */
static bool is_one_of(const char *name, const char *const *names)
{
    while (name != NULL && *names != NULL && strcmp(name, *names) != 0)
        names++;
    return name == NULL || *names != NULL;
}

static bool are_right(const struct floor_options *options)
{
    static const char *const ciphers[] = {"chacha20", "aes128", "aes256", NULL};
    static const char *const groups[] = {"x25519", "p256", NULL};

    return options->cert != NULL && options->key != NULL && is_one_of(options->cipher, ciphers) &&
           is_one_of(options->group, groups);
}

static bool parse(int argc, char **argv, struct floor_options *options, struct sockaddr_in *address)
{
    static const struct option known[] = {{"host", required_argument, NULL, 'h'},
                                          {"port", required_argument, NULL, 'p'},
                                          {"cert", required_argument, NULL, 'c'},
                                          {"key", required_argument, NULL, 'k'},
                                          {"cipher", required_argument, NULL, 's'},
                                          {"group", required_argument, NULL, 'g'},
                                          {0}};
    int letter;

    while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (letter == 'c')
            options->cert = optarg;
        else if (letter == 'k')
            options->key = optarg;
        else if (letter == 's')
            options->cipher = optarg;
        else if (letter == 'g')
            options->group = optarg;
        else if (!listen_parse(address, letter, optarg))
            return false;
    }
    return are_right(options) && optind == argc;
}

static void run(int epoll, int listener)
{
    static struct epoll_event events[EVENTS_MAX];

    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN);
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_some(epoll, listener);
            else if (rests[fd] != NULL)
                send_rest(epoll, fd);
            else
                serve(epoll, fd);
        }
    }
}

int main(int argc, char **argv)
{
    struct floor_options options = {0};
    struct sockaddr_in address = listen_default();

    if (argc == 2 && strcmp(argv[1], "--library") == 0) {
        puts(tls_library());
        return 0;
    }
    if (!parse(argc, argv, &options, &address)) {
        fprintf(stderr,
                "usage: %s --cert FILE --key FILE [--host ADDRESS] [--port N]\n"
                "          [--cipher chacha20|aes128|aes256] [--group x25519|p256]\n"
                "       %s --library\n",
                argv[0], argv[0]);
        return 2;
    }
    if (!tls_setup(&options, &wire))
        return 1;
    int listener = listen_at(&address, "tls");
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (listener < 0 || epoll < 0)
        return 1;
    run(epoll, listener);
}

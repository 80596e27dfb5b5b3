/* Raw echo on libevent's bufferevents, the way its documentation shows it. */
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void echo(struct bufferevent *peer, void *user)
{
    (void)user;
    bufferevent_write_buffer(peer, bufferevent_get_input(peer));
}

static void ended(struct bufferevent *peer, short what, void *user)
{
    (void)what;
    (void)user;
    bufferevent_free(peer);
}

static void accept_peer(struct evconnlistener *listener, evutil_socket_t fd,
                        struct sockaddr *address, int address_len, void *user)
{
    int on = 1;
    struct event_base *base = evconnlistener_get_base(listener);
    struct bufferevent *peer = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

    (void)address;
    (void)address_len;
    (void)user;
    if (peer == NULL) {
        evutil_closesocket(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    bufferevent_setcb(peer, echo, NULL, ended, NULL);
    bufferevent_enable(peer, EV_READ | EV_WRITE);
}

static struct event_base *new_base(void)
{
    struct event_config *config = event_config_new();

    if (config == NULL)
        return NULL;
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

int main(int argc, char **argv)
{
    int port = argc == 3 && strcmp(argv[1], "--port") == 0 ? (int)strtol(argv[2], NULL, 10) : 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    socklen_t address_len = sizeof address;
    struct event_base *base = new_base();

    signal(SIGPIPE, SIG_IGN);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (base == NULL)
        return 1;
    struct evconnlistener *listener =
        evconnlistener_new_bind(base, accept_peer, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE,
                                4096, (struct sockaddr *)&address, sizeof address);
    if (listener == NULL ||
        getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&address, &address_len)) {
        fputs("cannot listen\n", stderr);
        return 1;
    }
    printf("listening on tcp://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return event_base_dispatch(base);
}

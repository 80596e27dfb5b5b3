/* Hello on libevent's evhttp, the way its documentation shows it. */
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static void hello(struct evhttp_request *request, void *user)
{
    struct evbuffer *body = evbuffer_new();

    (void)user;
    if (body == NULL)
        return;
    evbuffer_add_reference(body, "Hello, world!", 13, NULL, NULL);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                      "text/plain; charset=utf-8");
    evhttp_send_reply(request, 200, "OK", body);
    evbuffer_free(body);
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
    struct sockaddr_in address = {0};
    socklen_t address_len = sizeof address;
    struct rlimit limit;
    struct event_base *base = new_base();
    struct evhttp *http = base != NULL ? evhttp_new(base) : NULL;

    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (http == NULL)
        return 1;
    evhttp_set_gencb(http, hello, NULL);
    struct evhttp_bound_socket *bound =
        evhttp_bind_socket_with_handle(http, "127.0.0.1", (unsigned short)port);
    if (bound == NULL || getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&address,
                                     &address_len) != 0) {
        fputs("cannot listen\n", stderr);
        return 1;
    }
    printf("listening on http://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return event_base_dispatch(base);
}

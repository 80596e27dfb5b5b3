/* Hello on GNU libmicrohttpd: its own thread on epoll, one response made once. */
#include <microhttpd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 20000 };

static enum MHD_Result hello(void *user, struct MHD_Connection *connection, const char *url,
                             const char *method, const char *version, const char *upload,
                             size_t *upload_len, void **request)
{
    static int seen;

    (void)url;
    (void)method;
    (void)version;
    (void)upload;
    (void)upload_len;
    if (*request == NULL) {
        *request = &seen;
        return MHD_YES;
    }
    return MHD_queue_response(connection, MHD_HTTP_OK, user);
}

int main(int argc, char **argv)
{
    int port = argc == 3 && strcmp(argv[1], "--port") == 0 ? (int)strtol(argv[2], NULL, 10) : 0;
    struct rlimit limit;
    static char body[] = "Hello, world!";
    struct MHD_Response *response =
        MHD_create_response_from_buffer(13, body, MHD_RESPMEM_PERSISTENT);

    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    MHD_add_response_header(response, "Content-Type", "text/plain; charset=utf-8");
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO, (uint16_t)port, NULL, NULL, hello, response,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        daemon != NULL ? MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (info == NULL) {
        fputs("cannot listen\n", stderr);
        return 1;
    }
    printf("listening on http://127.0.0.1:%u\n", (unsigned)info->port);
    fflush(stdout);
    for (;;)
        pause();
}

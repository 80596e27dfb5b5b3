/* `Hello, world!` over HTTP, as in the README; with --log FILE and --metrics what a real server has beside it. */
#include <causeway/causeway.h>
#include <causeway/middleware/access_log.h>
#include <causeway/middleware/http_metrics.h>
#include <getopt.h>
#include <stdio.h>

enum { CONNECTIONS_MAX = 15000 };

static void hello(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, "Hello, world!");
}

static void tell(struct cw_server *server, const struct cw_address *address, const char *text,
                 void *user)
{
    printf("listening on %s\n", text);
    fflush(stdout);
}

static bool parse(int argc, char **argv, struct cw_server *server)
{
    static const struct option known[] = {
        {"log", required_argument, NULL, 'l'}, {"metrics", no_argument, NULL, 'm'}, {0}};
    int letter;

    while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (letter == 'l')
            cw_http_use(server, cw_access_log(&(struct cw_access_log_options){.path = optarg}));
        else if (letter == 'm')
            cw_http_use(server, cw_http_metrics(NULL));
        else
            return false;
    }
    return optind == argc;
}

int main(int argc, char **argv)
{
    struct cw_server *server = cw_create_server(&cw_http);

    if (!parse(argc, argv, server)) {
        fprintf(stderr, "usage: %s [--log FILE] [--metrics]\n", argv[0]);
        cw_server_free(server);
        return 2;
    }
    cw_http_route(server, "GET /", hello, NULL);
    cw_http_configure(server, &(struct cw_http_options){.requests_max = CW_NO_LIMIT});
    cw_server_configure(server, &(struct cw_server_options){.conns_max = CONNECTIONS_MAX,
                                                            .conns_per_ip_max = CONNECTIONS_MAX});
    cw_server_set_hooks(server, &(struct cw_hooks){.on_listening = tell}, NULL);
    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1"});
    return cw_server_main(server);
}

/* `Hello, world!` over HTTP, as in the README; with --log and --metrics what a real server has beside it. */
#include <causeway/causeway.h>
#include <causeway/middleware/http_metrics.h>
#include <stdio.h>

enum { CONNECTIONS_MAX = 20000 };

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

int main(int argc, char **argv)
{
    struct cw_server *server = cw_create_server(&cw_http);

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--metrics") == 0)
            cw_http_use(server, cw_http_metrics(NULL));
    }
    cw_http_route(server, "GET /", hello, NULL);
    cw_http_configure(server, &(struct cw_http_options){.requests_max = CW_NO_LIMIT});
    cw_server_configure(server, &(struct cw_server_options){.conns_max = CONNECTIONS_MAX,
                                                            .conns_per_ip_max = CONNECTIONS_MAX});
    cw_server_set_hooks(server, &(struct cw_hooks){.on_listening = tell}, NULL);
    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1"});
    return cw_server_main(server);
}

#include <causeway/causeway.h>

int main(void)
{
    struct cw_server *server = cw_create_server(&cw_tcp);
    cw_server_configure(server,
                        &(struct cw_server_options){.out_high_bytes = 2000, .out_max_bytes = 1000});
    cw_server_configure(server, &(struct cw_server_options){.workers = 100000});
    cw_server_listen(server, &(struct cw_listen_options){.port = 7000});
    return cw_server_main(server);
}

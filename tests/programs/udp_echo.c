#include <causeway/causeway.h>

static void echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_conn_send(conn, msg);
}

int main(void)
{
    struct cw_server *server = cw_create_server(&cw_udp);
    cw_server_set_hooks(server, &(struct cw_hooks){.on_data = echo}, NULL);
    cw_server_listen(server, &(struct cw_listen_options){.port = 7000});
    return cw_server_main(server);
}

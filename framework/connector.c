#include "connector_impl.h"
void cw_clients_stop_all(struct cw_loop *loop)
{
    (void)loop;
}
void cw_client_conn_ended(struct cw_conn *conn)
{
    (void)conn;
}
void cw_resolver_free(struct cw_loop *loop)
{
    (void)loop;
}

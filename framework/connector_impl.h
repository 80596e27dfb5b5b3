/* Outgoing connections as the core needs them. */
#ifndef CW_CONNECTOR_IMPL_H
#define CW_CONNECTOR_IMPL_H

#include <causeway/client.h>

struct cw_client;
struct cw_resolver;

/* The loop stops: no client tries again; those that are connecting give up. */
void cw_clients_stop_all(struct cw_loop *loop);

/* A client's connection is gone: connect again, or forget the client. */
void cw_client_conn_ended(struct cw_conn *conn);

void cw_resolver_free(struct cw_loop *loop);

#endif

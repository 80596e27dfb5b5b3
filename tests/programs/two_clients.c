#include <causeway/causeway.h>
#include <stdio.h>

static void greet(struct cw_conn *conn, void *user)
{
    cw_conn_send_text(conn, "hello");
}

static void show(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    printf("%.*s\n", (int)msg->body.len, (const char *)msg->body.data);
    fflush(stdout);
}

static const struct cw_hooks hooks = {.on_connection = greet, .on_data = show};

int main(void)
{
    struct cw_loop *loop = cw_loop_new();
    cw_connect(loop, cw_service(&cw_framed, &hooks, NULL), "localhost:7340",
               &(struct cw_connect_options){.reconnect = true});
    cw_websocket_connect(loop, "ws://localhost:8080/chat", &hooks, NULL,
                         &(struct cw_connect_options){.reconnect = true});
    int error = cw_loop_main(loop);
    cw_loop_free(loop);
    return error < 0;
}

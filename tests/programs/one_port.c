#include <causeway/causeway.h>
#include <causeway/middleware/access_log.h>
#include <causeway/middleware/http_static.h>

static void join(struct cw_conn *conn, void *user)
{
    cw_room_join(conn, "lobby");
}

static void say(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_room_send(cw_conn_server(conn), "lobby", msg,
                 &(struct cw_room_send_options){.except = cw_conn_id(conn)});
}

static void hello(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_text(http, 200, "Hello, world!");
}

static const struct cw_hooks chat = {.on_connection = join, .on_data = say};

int main(void)
{
    struct cw_server *server = cw_create_server(&cw_http);
    cw_http_use(server, cw_access_log(NULL));
    cw_http_route(server, "GET /", hello, NULL);
    cw_http_static(server, "/assets", "public", NULL);
    cw_websocket_route(server, "/chat", &chat,
                       &(struct cw_websocket_options){.ping_interval_ms = 30000});
    cw_server_listen(server, &(struct cw_listen_options){.port = 8080});
    cw_server_listen(server, &(struct cw_listen_options){
                                 .port = 7340, .service = cw_service(&cw_framed, &chat, NULL)});
    return cw_server_main(server);
}

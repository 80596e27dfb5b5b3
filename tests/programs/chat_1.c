#include <causeway/causeway.h>
#include <cjson/cJSON.h>

/* {"join":"tea"} joins a room; {"room":"tea","text":"hello"} is passed on to all who are in it. */
static void hear(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct cJSON *json;
    cw_json_parse(msg->body, NULL, &json); /* NULL, when it is not JSON */
    const char *join = cw_json_text(json, "join");
    const char *room = cw_json_text(json, "room");
    if (join != NULL) {
        cw_room_join(conn, join);
    }
    if (room != NULL) {
        cw_room_send(cw_conn_server(conn), room, msg, NULL);
    }
    cJSON_Delete(json);
}

int main(void)
{
    struct cw_server *server = cw_create_server(&cw_http);
    cw_websocket_route(server, "/chat", &(struct cw_hooks){.on_data = hear}, NULL);
    cw_server_listen(server, &(struct cw_listen_options){.port = 8080});
    return cw_server_main(server);
}

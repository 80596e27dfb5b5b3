#include <causeway/causeway.h>
#include <cjson/cJSON.h>

static const char page[] =
    "<!doctype html>\n"
    "<title>Chat</title>\n"
    "<ul id=\"log\"></ul>\n"
    "<form id=\"form\"><input id=\"text\" aria-label=\"Message\" autofocus></form>\n"
    "<script>\n"
    "const room = location.hash.slice(1) || 'lobby';\n"
    "const socket = new WebSocket(location.origin.replace('http', 'ws') + '/chat');\n"
    "const send = message => socket.send(JSON.stringify(message));\n"
    "socket.onopen = () => send({ join: room });\n"
    "socket.onmessage = event => {\n"
    "    const line = document.createElement('li');\n"
    "    line.textContent = JSON.parse(event.data).text;\n"
    "    document.getElementById('log').append(line);\n"
    "};\n"
    "document.getElementById('form').onsubmit = event => {\n"
    "    const field = document.getElementById('text');\n"
    "    event.preventDefault();\n"
    "    send({ room, text: field.value });\n"
    "    field.value = '';\n"
    "};\n"
    "</script>\n";

static void show(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_html(http, 200, page);
}

static void hear(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct cJSON *json;
    cw_json_parse(msg->body, NULL, &json);
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
    cw_http_route(server, "GET /", show, NULL);
    cw_websocket_route(server, "/chat", &(struct cw_hooks){.on_data = hear}, NULL);
    cw_server_listen(server, &(struct cw_listen_options){.port = 8080});
    return cw_server_main(server);
}

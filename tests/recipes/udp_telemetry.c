/* udp_telemetry: sensors send their readings over UDP; browsers see them come, over a WebSocket, and so do others over UDP.
 *
 * ```text
 * echo -n 'kitchen 21.5' | nc -u -w0 127.0.0.1 7000
 * ``` */
#include <causeway/causeway.h>
#include <stdlib.h>

static const char page[] =
    "<!doctype html><title>Readings</title><pre id=log></pre><script>\n"
    "const socket = new WebSocket(location.origin.replace('http', 'ws') + '/live');\n"
    "socket.onmessage = event => { document.getElementById('log').textContent += event.data + '\\n'; };\n"
    "</script>";

static void show(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_html(http, 200, page);
}

static void look(struct cw_conn *conn, void *user)
{
    cw_room_join(conn, "readings");
}

/* Who wants to look on over UDP says `watch`, and again what he is sent: a room's messages are for addresses that are real. */
static bool watch(struct cw_conn *conn, struct cw_span body)
{
    uint8_t token[CW_TOKEN_BYTES];

    if (cw_span_equal(body, cw_span_text("watch please"))) {
        if (cw_conn_token(conn, token) == CW_OK) {
            cw_conn_send_bytes(conn, token, sizeof token);
        }
        return true;
    }
    return body.len == CW_TOKEN_BYTES && cw_conn_prove(conn, body) == CW_OK &&
           cw_room_join(conn, "readings") == CW_OK;
}

/* A reading is text, whoever sends it, or the browsers would not take it. One that was lost is followed by the next one. */
static void take(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    if (!watch(conn, msg->body) && cw_span_is_utf8(msg->body)) {
        cw_room_send(cw_conn_server(conn), "readings", msg, NULL);
    }
}

int main(int argc, char **argv)
{
    static const struct cw_hooks viewers = {.on_connection = look};
    static const struct cw_hooks sensors = {.on_data = take};
    static const struct cw_udp_options readings = {.datagram_max_bytes = 200, .kind = CW_TEXT};
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 8080;
    uint16_t udp_port = argc > 2 ? (uint16_t)strtoul(argv[2], NULL, 10) : 7000;
    struct cw_server *server = cw_create_server(&cw_http);

    cw_http_route(server, "GET /", show, NULL);
    cw_websocket_route(server, "/live", &viewers, NULL);
    cw_server_listen(server, &(struct cw_listen_options){.port = port});
    cw_server_listen(
        server, &(struct cw_listen_options){.port = udp_port,
                                            .service = cw_udp_service(&readings, &sensors, NULL)});
    return cw_server_main(server);
}

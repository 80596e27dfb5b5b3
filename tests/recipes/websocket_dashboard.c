/* websocket_dashboard: once a second, everybody who looks is told how busy the server is and was in the last minute. */
#include <causeway/causeway.h>
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

enum { SECONDS = 60 };

static double past[SECONDS]; /* bytes out in each second, the newest last */

static const char page[] =
    "<!doctype html><title>Dashboard</title><pre id=now></pre><script>\n"
    "const socket = new WebSocket(location.origin.replace('http', 'ws') + '/live');\n"
    "socket.onmessage = event => { document.getElementById('now').textContent = event.data; };\n"
    "</script>";

static void show(struct cw_http_exchange *http, void *user)
{
    cw_http_reply_html(http, 200, page);
}

static void look(struct cw_conn *conn, void *user)
{
    cw_room_join(conn, "dashboard");
}

static struct cJSON *figures(const struct cw_server *server)
{
    static uint64_t before;
    struct cJSON *json = cJSON_CreateObject();
    struct cw_server_stats stats;

    cw_server_stats(server, &stats);
    memmove(past, past + 1, sizeof past - sizeof past[0]);
    past[SECONDS - 1] = (double)(stats.bytes_out - before);
    before = stats.bytes_out;
    cJSON_AddNumberToObject(json, "connections", (double)stats.conns_open);
    cJSON_AddNumberToObject(json, "messages", (double)stats.messages_out);
    cJSON_AddItemToObject(json, "bytesPerSecond", cJSON_CreateDoubleArray(past, SECONDS));
    return json;
}

/* Encoded and compressed once, whoever looks and on whatever thread. */
static void tell_all(struct cw_loop *loop, void *user)
{
    struct cw_server *server = user;
    struct cJSON *json = figures(server);
    char *text = cJSON_PrintUnformatted(json);

    if (text != NULL) {
        const struct cw_message msg = cw_message_text(text);
        cw_room_send(server, "dashboard", &msg, NULL);
    }
    cJSON_free(text);
    cJSON_Delete(json);
}

/* Each worker calls this; one clock will do. */
static void start_clock(struct cw_server *server, struct cw_loop *loop, void *user)
{
    if (cw_loop_worker(loop) == 0) {
        cw_timer_start(loop, 1000, 1000, tell_all, server);
    }
}

int main(int argc, char **argv)
{
    static const struct cw_hooks own = {.on_worker_start = start_clock};
    static const struct cw_hooks viewers = {.on_connection = look};
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 8080;
    struct cw_server *server = cw_create_server(&cw_http);

    cw_server_set_hooks(server, &own, NULL);
    cw_http_route(server, "GET /", show, NULL);
    /* A viewer has nothing to say: 1 KiB is plenty. */
    cw_websocket_route(server, "/live", &viewers,
                       &(struct cw_websocket_options){.compress = true, .message_max_bytes = 1024});
    /* Who reads too slowly misses what is old by then. */
    cw_room_configure(server, NULL, &(struct cw_room_options){.slow = CW_SLOW_KEEP_LATEST});
    cw_server_listen(server, &(struct cw_listen_options){.port = port});
    return cw_server_main(server);
}

/* json: requests and answers in JSON, each behind a 4-byte length. */
#include <causeway/causeway.h>
#include <cjson/cJSON.h>
#include <stdlib.h>

static void reply(struct cw_conn *conn, const char *name, const char *text)
{
    cJSON *json = cJSON_CreateObject();

    if (json == NULL || cJSON_AddStringToObject(json, name, text) == NULL ||
        cw_conn_send_json(conn, json) < 0) {
        cw_conn_close(conn); /* a peer that waits for an answer should learn that none comes */
    }
    cJSON_Delete(json);
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cJSON *json;
    const char *name;

    if (cw_json_parse(msg->body, NULL, &json) < 0) {
        reply(conn, "error", "not JSON");
        return;
    }
    name = cw_json_text(json, "name");
    if (name == NULL) {
        reply(conn, "error", "no name");
    } else {
        reply(conn, "hello", name);
    }
    cJSON_Delete(json);
}

int main(int argc, char **argv)
{
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 7000;
    struct cw_server *server = cw_create_server(&cw_framed);

    /* Text, so that receivers that tell kinds apart are sent text. The limit is judged before a byte is awaited. */
    cw_framed_configure(server,
                        &(struct cw_framed_options){.kind = CW_TEXT, .frame_max_bytes = 16384});
    cw_server_set_hooks(server, &(struct cw_hooks){.on_data = on_data}, NULL);
    cw_server_listen(server, &(struct cw_listen_options){.port = port});
    return cw_server_main(server);
}

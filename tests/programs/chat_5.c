#include <causeway/causeway.h>
#include <causeway/middleware/http_security_headers.h>
#include <causeway/middleware/http_static.h>
#include <causeway/middleware/rate_limit.h>
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { NAME_CAP = 65, KEY_CAP = 80 };

/* What we know of one connection. A room of the chat is `#tea` here, and each client is alone in a room of his own, `@` and
 * his id, where private messages find him: on any worker, whatever he speaks. */
struct client {
    char id[CW_ADDRESS_TEXT_MAX];
    char nickname[NAME_CAP]; /* "": has not logged in */
    char room[KEY_CAP];      /* "": is in none */
};

/* ---- messages ---- */

static struct cJSON *message_of(const char *type)
{
    struct cJSON *message = cJSON_CreateObject();
    cJSON_AddStringToObject(message, "type", type);
    return message;
}

/* Who, and under which name of a field: `nickname` where somebody comes or goes, `from` where he says something. */
static struct cJSON *news_of(const char *type, const struct client *client, const char *name)
{
    struct cJSON *news = message_of(type);
    cJSON_AddStringToObject(news, "clientId", client->id);
    cJSON_AddStringToObject(news, name, client->nickname);
    return news;
}

static struct cJSON *words_of(const char *type, const struct client *client, const char *text)
{
    struct cJSON *message = news_of(type, client, "from");
    cJSON_AddStringToObject(message, "message", text);
    cJSON_AddNumberToObject(message, "timestamp", (double)time(NULL) * 1000);
    return message;
}

static void answer(struct cw_conn *conn, struct cJSON *message)
{
    if (cw_conn_send_json(conn, message) < 0) {
        cw_conn_abort(conn); /* out of step: better it comes again */
    }
    cJSON_Delete(message);
}

static void complain(struct cw_conn *conn, const char *code, const char *text)
{
    struct cJSON *message = message_of("error");
    cJSON_AddStringToObject(message, "code", code);
    cJSON_AddStringToObject(message, "message", text);
    answer(conn, message);
}

/* To everybody in a room but this connection. */
static void tell(struct cw_conn *conn, const char *room, struct cJSON *message)
{
    char *text = cJSON_PrintUnformatted(message);
    if (text != NULL) {
        const struct cw_message msg = cw_message_text(text);
        cw_room_send(cw_conn_server(conn), room, &msg,
                     &(struct cw_room_send_options){.except = cw_conn_id(conn)});
    }
    cJSON_free(text);
    cJSON_Delete(message);
}

/* ---- what clients may ask ---- */

static void ping(struct cw_conn *conn, struct client *client, const struct cJSON *request)
{
    struct cJSON *pong = message_of("pong");
    cJSON_AddNumberToObject(pong, "timestamp", (double)time(NULL) * 1000);
    answer(conn, pong);
}

/* The text of a field that is a name, or NULL, and the client has been told. */
static const char *name_in(struct cw_conn *conn, const struct cJSON *request, const char *field)
{
    const char *name = cw_json_text(request, field);
    if (name == NULL || name[0] == '\0' || strlen(name) >= NAME_CAP) {
        complain(conn, "bad_name", "a name has 1 to 64 bytes");
        return NULL;
    }
    return name;
}

static void login(struct cw_conn *conn, struct client *client, const struct cJSON *request)
{
    const char *nickname = name_in(conn, request, "nickname");
    struct cJSON *message;
    char key[KEY_CAP];
    if (nickname == NULL) {
        return;
    }
    snprintf(key, sizeof key, "@%s", client->id);
    cw_room_join(conn, key);
    snprintf(client->nickname, NAME_CAP, "%s", nickname);
    message = message_of("login_success");
    cJSON_AddStringToObject(message, "clientId", client->id);
    cJSON_AddStringToObject(message, "message", "Welcome!");
    answer(conn, message);
}

static void leave(struct cw_conn *conn, struct client *client)
{
    if (client->room[0] != '\0') {
        cw_room_leave(conn, client->room);
        tell(conn, client->room, news_of("user_left", client, "nickname"));
        client->room[0] = '\0';
    }
}

/* Everybody in the room, from the presence that each has joined with. */
static void list_members(struct cw_conn *conn, const char *room)
{
    struct cw_room_members *members = cw_room_members_new(cw_conn_server(conn), room);
    struct cJSON *message = message_of("room_joined");
    struct cJSON *list = cJSON_AddArrayToObject(message, "members");
    cJSON_AddStringToObject(message, "room", room + 1); /* behind the # */
    for (size_t i = 0; members != NULL && i < members->count; i++) {
        struct cJSON *member;
        cw_json_parse(members->entries[i].presence, NULL, &member);
        cJSON_AddItemToArray(list, member);
    }
    answer(conn, message);
    cw_room_members_free(members);
}

static void join(struct cw_conn *conn, struct client *client, const struct cJSON *request)
{
    const char *name = name_in(conn, request, "room");
    struct cJSON *presence;
    char room[KEY_CAP];
    char *text;
    if (name == NULL) {
        return;
    }
    leave(conn, client);
    snprintf(room, sizeof room, "#%s", name);
    presence = news_of("member", client, "nickname");
    text = cJSON_PrintUnformatted(presence);
    if (text != NULL && cw_room_join_as(conn, room, cw_span_text(text)) == 0) {
        snprintf(client->room, sizeof client->room, "%s", room);
        tell(conn, room, news_of("user_joined", client, "nickname"));
        list_members(conn, room);
    } else {
        complain(conn, "busy", "this room cannot be joined now");
    }
    cJSON_free(text);
    cJSON_Delete(presence);
}

static void list_rooms(struct cw_conn *conn, struct client *client, const struct cJSON *request)
{
    struct cw_room_list *rooms = cw_room_list_new(cw_conn_server(conn), "#");
    struct cJSON *message = message_of("rooms");
    struct cJSON *list = cJSON_AddArrayToObject(message, "rooms");
    for (size_t i = 0; rooms != NULL && i < rooms->count; i++) {
        struct cJSON *room = cJSON_CreateObject();
        cJSON_AddStringToObject(room, "room", rooms->entries[i].name + 1);
        cJSON_AddNumberToObject(room, "count", (double)rooms->entries[i].members);
        cJSON_AddItemToArray(list, room);
    }
    answer(conn, message);
    cw_room_list_free(rooms);
}

static void say(struct cw_conn *conn, struct client *client, const struct cJSON *request)
{
    const char *text = cw_json_text(request, "message");
    if (text == NULL || client->room[0] == '\0') {
        complain(conn, "missing_field", "a room to say it in, or what to say, is missing");
        return;
    }
    tell(conn, client->room, words_of("chat_message", client, text));
}

static void say_to(struct cw_conn *conn, struct client *client, const struct cJSON *request)
{
    const char *to = cw_json_text(request, "to");
    const char *text = cw_json_text(request, "message");
    char key[KEY_CAP];
    if (to == NULL || text == NULL) {
        complain(conn, "missing_field", "whom to tell, or what, is missing");
        return;
    }
    snprintf(key, sizeof key, "@%s", to);
    if (cw_room_count(cw_conn_server(conn), key) == 0) {
        complain(conn, "no_such_client", "nobody is here under that clientId");
        return;
    }
    tell(conn, key, words_of("private_message", client, text));
}

static const struct {
    const char *type;
    void (*run)(struct cw_conn *conn, struct client *client, const struct cJSON *request);
    bool for_strangers; /* also before login */
} requests[] = {
    {"ping", ping, true},
    {"login", login, true},
    {"join_room", join, false},
    {"chat_message", say, false},
    {"list_rooms", list_rooms, false},
    {"private_message", say_to, false},
};

/* ---- hooks ---- */

static void arrive(struct cw_conn *conn, void *user)
{
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        cw_conn_abort(conn);
        return;
    }
    cw_address_print(cw_conn_peer(conn), client->id);
    cw_conn_set_user(conn, client);
}

static void hear(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct client *client = cw_conn_user(conn);
    struct cJSON *request;
    cw_json_parse(msg->body, NULL, &request);
    const char *type = cw_json_text(request, "type");
    size_t i = 0;
    while (i < sizeof requests / sizeof requests[0] &&
           (type == NULL || strcmp(type, requests[i].type) != 0)) {
        i++;
    }
    if (i == sizeof requests / sizeof requests[0]) {
        complain(conn, "unknown_type", "no request is of that type");
    } else if (client->nickname[0] == '\0' && !requests[i].for_strangers) {
        complain(conn, "not_logged_in", "log in first");
    } else {
        requests[i].run(conn, client, request);
    }
    cJSON_Delete(request);
}

static void go(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct client *client = cw_conn_user(conn);
    if (client != NULL) {
        leave(conn, client);
    }
    free(client);
}

static const struct cw_hooks chat = {.on_connection = arrive, .on_data = hear, .on_close = go};

static void slow_down(struct cw_conn *conn, void *user)
{
    complain(conn, "too_fast", "too many messages a second; they wait, none is lost");
}

/* A file may set the server's limits and times and say where to listen, with TLS or without: chat_5 server.yaml. */
static void set_limits(struct cw_server *server)
{
    cw_server_configure(server, &(struct cw_server_options){.workers = CW_PER_CORE,
                                                            .conns_max = 5000,
                                                            .conns_per_ip_max = 50,
                                                            .rooms_max = 10000});
    cw_server_use(server, cw_rate_limit(&(struct cw_rate_limit_options){
                              .messages_per_s = 20, .messages_burst = 40, .on_limit = slow_down}));
    cw_room_configure(server, NULL, &(struct cw_room_options){.slow = CW_SLOW_CLOSE});
}

static void add_routes(struct cw_server *server)
{
    cw_http_use(server, cw_http_security_headers(&(struct cw_http_security_headers_options){
                            .preset = CW_SECURITY_STRICT}));
    cw_http_static(server, "/", "page", NULL);
    cw_websocket_route(server, "/chat", &chat,
                       &(struct cw_websocket_options){.message_max_bytes = 65536, .compress = true});
}

int main(int argc, char **argv)
{
    struct cw_server *server = cw_create_server(&cw_http);
    const struct cw_service terminal =
        cw_framed_service(&(struct cw_framed_options){.kind = CW_TEXT}, &chat, NULL);
    set_limits(server);
    add_routes(server);
    if (argc > 1) {
        cw_config_load(server, argv[1],
                       &(struct cw_config_options){.services = &terminal, .service_count = 1});
    } else {
        cw_server_listen(server, &(struct cw_listen_options){.port = 8080});
        cw_server_listen(server, &(struct cw_listen_options){.port = 7340, .service = terminal});
    }
    return cw_server_main(server);
}

/* The chat's server: one JSON object a message, answered, or passed on through rooms. The hooks are the same for browsers
 * (WebSocket) and for framed TCP; nothing in them asks which of the two it is.
 *
 * Connections share nothing but rooms, so any number of workers will do. Chat room R is the room "room/R",
 * whose members carry their clientId and nickname as presence; and whoever has logged in is alone in the
 * room "client/ID", where a private message finds him from any worker. */
#include "chat_server.h"

#include "chat_page.h"
#include "chat_protocol.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <causeway/causeway.h>
#include <causeway/middleware/http_cors.h>
#include <causeway/middleware/http_static.h>
#include <causeway/middleware/rate_limit.h>

enum {
    CONNS_MAX_DEFAULT = 10000,
    FRAME_MAX_DEFAULT = 65536,
    KEY_CAP = 128,        /* "client/" or "room/", and a name */
    ENTRY_MIN_BYTES = 22, /* of a list */
};

#define ROOM_PREFIX "room/"

/* What all clients may know; it does not change while the server runs. */
struct chat {
    struct chat_limits limits;
};

struct client {
    struct cw_conn *conn;
    const struct chat *chat;
    char id[CW_ADDRESS_TEXT_MAX];
    char nickname[CHAT_NAME_MAX_BYTES + 1]; /* empty: has not logged in */
    char room[CHAT_NAME_MAX_BYTES + 1];     /* empty: is in none */
};

struct key {
    char text[KEY_CAP];
};

static struct key room_key(const char *room)
{
    struct key key;

    snprintf(key.text, sizeof key.text, ROOM_PREFIX "%s", room);
    return key;
}

static struct key client_key(const char *id)
{
    struct key key;

    snprintf(key.text, sizeof key.text, "client/%s", id);
    return key;
}

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);

    int64_t ms = now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;

    return (double)ms;
}

/* ---- to the client itself ---- */

static int send_json(struct client *client, struct cJSON *message)
{
    int sent = message == NULL ? CW_ENOMEM : cw_conn_send_json(client->conn, message);

    cJSON_Delete(message);
    return sent;
}

/* A client that misses an answer is out of step: better it connects again. */
static void answer(struct client *client, struct cJSON *message)
{
    int sent = send_json(client, message);

    if (sent < 0 && sent != CW_ECLOSED) {
        cw_log(CW_LOG_WARNING, cw_conn_id(client->conn), "answer lost: %s", cw_strerror(sent));
        cw_conn_abort(client->conn);
    }
}

static void complain(struct client *client, const char *code, const char *text)
{
    struct cJSON *error = chat_message_new("error");

    chat_put_text(&error, "code", code);
    chat_put_text(&error, "message", text);
    answer(client, error);
}

/* The same for what the server could not do. */
static void complain_of(struct client *client, int code)
{
    switch (code) {
    case CW_ETOOBIG:
        complain(client, "too_long", "the message is too long to be passed on");
        break;
    case CW_EFULL:
        complain(client, "busy", "the server is full or busy; try again");
        break;
    default:
        complain(client, "unavailable", cw_strerror(code));
    }
}

/* ---- to others ---- */

/* Begins news of a client: who, under the name that its kind of news has for it. */
static struct cJSON *news_new(const char *type, const struct client *client, const char *name)
{
    struct cJSON *news = chat_message_new(type);

    chat_put_text(&news, "clientId", client->id);
    chat_put_text(&news, name, client->nickname);
    return news;
}

/* Sends to a room and frees the message. What a member could not be sent is refused for all of them. */
static int tell(struct client *client, struct key key, struct cJSON *message, uint64_t except)
{
    char *text = message == NULL ? NULL : cJSON_PrintUnformatted(message);
    int sent = CW_ENOMEM;

    cJSON_Delete(message);
    if (text != NULL) {
        const struct cw_message msg = cw_message_text(text);
        const struct cw_room_send_options options = {.except = except};

        sent = msg.body.len > client->chat->limits.message_max_bytes
                   ? CW_ETOOBIG
                   : cw_room_send(cw_conn_server(client->conn), key.text, &msg, &options);
    }
    cJSON_free(text);
    return sent;
}

/* Tells the others in the client's room what he did. He need not know whether all have heard of it. */
static void announce(struct client *client, struct cJSON *news)
{
    uint64_t id = cw_conn_id(client->conn);
    int sent = tell(client, room_key(client->room), news, id);

    if (sent < 0) {
        cw_log(CW_LOG_WARNING, id, "news for a room lost: %s", cw_strerror(sent));
    }
}

static void announce_move(struct client *client, const char *type, const char *verb)
{
    struct cJSON *news = news_new(type, client, "nickname");
    char sentence[2 * CHAT_NAME_MAX_BYTES];

    snprintf(sentence, sizeof sentence, "%s %s the room", client->nickname, verb);
    chat_put_text(&news, "message", sentence);
    announce(client, news);
}

/* Passes on what a client said. */
static void pass_on(struct client *client, struct key key, struct cJSON *message, uint64_t except)
{
    int sent = tell(client, key, message, except);

    if (sent < 0) {
        complain_of(client, sent);
    }
}

/* ---- fields ---- */

__attribute__((format(printf, 3, 4))) static const char *refuse(struct client *client,
                                                                const char *code,
                                                                const char *format, ...)
{
    char sentence[100];
    va_list args;

    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    complain(client, code, sentence);
    return NULL;
}

/* The text of a field. NULL: it is missing or no text, and the client has been told. */
static const char *text_field(struct client *client, const struct cJSON *request, const char *name)
{
    const struct cJSON *field = cJSON_GetObjectItemCaseSensitive(request, name);

    if (field == NULL) {
        return refuse(client, "missing_field", "the field \"%s\" is missing", name);
    }
    if (!cJSON_IsString(field)) {
        return refuse(client, "wrong_kind", "the field \"%s\" is not a text", name);
    }
    return field->valuestring;
}

/* The same for a nickname or the name of a room. */
static const char *name_field(struct client *client, const struct cJSON *request, const char *name)
{
    const char *text = text_field(client, request, name);
    const char *trouble = text == NULL ? NULL : chat_name_trouble(text);

    if (trouble != NULL) {
        return refuse(client, "bad_name", "the %s cannot be taken: %s", name, trouble);
    }
    return text;
}

/* ---- coming and going ---- */

/* Joins the room, or, as a member, changes the nickname that it shows. */
static int enter(struct client *client, const char *room)
{
    struct cJSON *presence = cJSON_CreateObject();

    chat_put_text(&presence, "clientId", client->id);
    chat_put_text(&presence, "nickname", client->nickname);
    char *text = presence == NULL ? NULL : cJSON_PrintUnformatted(presence);
    int entered = text == NULL
                      ? CW_ENOMEM
                      : cw_room_join_as(client->conn, room_key(room).text, cw_span_text(text));
    cJSON_free(text);
    cJSON_Delete(presence);
    return entered;
}

static void leave(struct client *client)
{
    if (client->room[0] != '\0') {
        cw_room_leave(client->conn, room_key(client->room).text);
        announce_move(client, "user_left", "left");
        client->room[0] = '\0';
    }
}

static void rename_in_room(struct client *client, const char *from)
{
    int entered = enter(client, client->room);
    struct cJSON *news = news_new("user_renamed", client, "nickname");

    if (entered < 0) {
        cw_log(CW_LOG_WARNING, cw_conn_id(client->conn), "old nickname shown on: %s",
               cw_strerror(entered));
    }
    chat_put_text(&news, "from", from);
    announce(client, news);
}

/* ---- answers with lists ---- */

/* Fills an answer with up to count entries of a list. */
typedef struct cJSON *(*page_fn)(struct client *client, const void *list, size_t count);

/* An answer that would be over the limit on frames says less, and how much it leaves out: a room of
 * thousands can be joined all the same. What cannot fit is not even written: strangers may ask often. */
static void answer_list(struct client *client, page_fn page, const void *list, size_t total)
{
    uint64_t most = client->chat->limits.message_max_bytes / ENTRY_MIN_BYTES;
    size_t count = total < most ? total : (size_t)most;
    int sent;

    do {
        struct cJSON *message = page(client, list, count);

        if (count < total) {
            chat_put_number(&message, "omitted", (double)(total - count));
        }
        sent = send_json(client, message);
        count /= 2;
    } while (sent == CW_ETOOBIG && count > 0);
    if (sent < 0 && sent != CW_ECLOSED) {
        complain_of(client, sent);
    }
}

/* The latest members, so the one who asks is among them. */
static struct cJSON *members_page(struct client *client, const void *list, size_t count)
{
    const struct cw_room_members *members = list;
    struct cJSON *users = cJSON_CreateArray();
    struct cJSON *known = cJSON_CreateArray();
    struct cJSON *message = chat_message_new("room_joined");

    for (size_t i = members->count - count; i < members->count; i++) {
        struct cJSON *member;

        cw_json_parse(members->entries[i].presence, NULL, &member);
        chat_append(&users,
                    cJSON_CreateString(member == NULL ? "" : cw_json_text(member, "nickname")));
        chat_append(&known, member);
    }
    chat_put_text(&message, "room", client->room);
    chat_put(&message, "users", users);
    chat_put(&message, "members", known);
    return message;
}

static struct cJSON *rooms_page(struct client *client, const void *list, size_t count)
{
    const struct cw_room_list *all = list;
    struct cJSON *rooms = cJSON_CreateArray();
    struct cJSON *message = chat_message_new("rooms");

    for (size_t i = 0; i < count; i++) {
        struct cJSON *room = cJSON_CreateObject();

        chat_put_text(&room, "room", all->entries[i].name + strlen(ROOM_PREFIX));
        chat_put_number(&room, "count", (double)all->entries[i].members);
        chat_append(&rooms, room);
    }
    chat_put(&message, "rooms", rooms);
    return message;
}

/* ---- what a client may ask ---- */

static void ping(struct client *client, const struct cJSON *request)
{
    struct cJSON *pong = chat_message_new("pong");

    chat_put_number(&pong, "timestamp", now_ms());
    answer(client, pong);
}

static void welcome(struct client *client)
{
    struct cJSON *message = chat_message_new("login_success");
    char sentence[2 * CHAT_NAME_MAX_BYTES];

    snprintf(sentence, sizeof sentence, "Welcome, %s!", client->nickname);
    chat_put_text(&message, "clientId", client->id);
    chat_put_text(&message, "message", sentence);
    answer(client, message);
}

static void login(struct client *client, const struct cJSON *request)
{
    const char *nickname = name_field(client, request, "nickname");
    char old[sizeof client->nickname];

    if (nickname == NULL) {
        return;
    }
    int reachable = cw_room_join(client->conn, client_key(client->id).text);
    if (reachable < 0) {
        complain_of(client, reachable);
        return;
    }
    memcpy(old, client->nickname, sizeof old);
    snprintf(client->nickname, sizeof client->nickname, "%s", nickname);
    welcome(client);
    if (client->room[0] != '\0' && strcmp(old, nickname) != 0) {
        rename_in_room(client, old);
    }
}

static void join_room(struct client *client, const struct cJSON *request)
{
    const char *room = name_field(client, request, "room");

    if (room == NULL) {
        return;
    }
    leave(client);
    int entered = enter(client, room);
    if (entered == CW_EFULL) {
        complain(client, "room_full", "the room has no place left");
        return;
    }
    if (entered < 0) {
        complain_of(client, entered);
        return;
    }
    snprintf(client->room, sizeof client->room, "%s", room);
    announce_move(client, "user_joined", "joined");

    struct cw_room_members *members =
        cw_room_members_new(cw_conn_server(client->conn), room_key(room).text);
    if (members == NULL) {
        complain_of(client, CW_ENOMEM);
        return;
    }
    answer_list(client, members_page, members, members->count);
    cw_room_members_free(members);
}

static void list_rooms(struct client *client, const struct cJSON *request)
{
    struct cw_room_list *rooms = cw_room_list_new(cw_conn_server(client->conn), ROOM_PREFIX);

    if (rooms == NULL) {
        complain_of(client, CW_ENOMEM);
        return;
    }
    answer_list(client, rooms_page, rooms, rooms->count);
    cw_room_list_free(rooms);
}

static void leave_room(struct client *client, const struct cJSON *request)
{
    leave(client);
}

static struct cJSON *said(const char *type, const struct client *client, const char *text)
{
    struct cJSON *message = news_new(type, client, "from");

    chat_put_text(&message, "message", text);
    chat_put_number(&message, "timestamp", now_ms());
    return message;
}

static void say(struct client *client, const struct cJSON *request)
{
    const char *text = text_field(client, request, "message");

    if (text != NULL && client->room[0] != '\0') {
        pass_on(client, room_key(client->room), said("chat_message", client, text),
                cw_conn_id(client->conn));
    }
}

static void say_to(struct client *client, const struct cJSON *request)
{
    const char *to = text_field(client, request, "to");
    const char *text = to == NULL ? NULL : text_field(client, request, "message");

    if (text == NULL) {
        return;
    }
    struct key key = client_key(strlen(to) < sizeof client->id ? to : "");
    if (cw_room_count(cw_conn_server(client->conn), key.text) == 0) {
        complain(client, "no_such_client", "nobody is here under that clientId");
        return;
    }
    pass_on(client, key, said("private_message", client, text), 0);
}

static const struct {
    const char *type;
    void (*run)(struct client *client, const struct cJSON *request);
    bool for_strangers; /* also before login */
} requests[] = {
    {"ping", ping, true},
    {"login", login, true},
    {"join_room", join_room, false},
    {"list_rooms", list_rooms, false},
    {"leave_room", leave_room, false},
    {"chat_message", say, false},
    {"private_message", say_to, false},
};

static void serve(struct client *client, const struct cJSON *request)
{
    const char *type = text_field(client, request, "type");

    if (type == NULL) {
        return;
    }
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        if (strcmp(type, requests[i].type) != 0) {
            continue;
        }
        if (client->nickname[0] == '\0' && !requests[i].for_strangers) {
            complain(client, "not_logged_in", "log in first");
        } else {
            requests[i].run(client, request);
        }
        return;
    }
    complain(client, "unknown_type", "no request is of that type");
}

/* ---- hooks ---- */

static void on_connection(struct cw_conn *conn, void *user)
{
    const struct cw_address *peer = cw_conn_peer(conn);
    struct client *client = calloc(1, sizeof *client);

    cw_conn_set_user(conn, client);
    if (client == NULL) {
        cw_conn_abort(conn);
        return;
    }
    client->conn = conn;
    client->chat = user;
    cw_address_print(peer, client->id);
    if (peer->family == CW_UNIX) {
        /* They have no address of their own. */
        snprintf(client->id, sizeof client->id, "unix:%llu", (unsigned long long)cw_conn_id(conn));
    }
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct client *client = cw_conn_user(conn);
    struct cJSON *request;
    int read = cw_json_parse(msg->body, NULL, &request);

    if (read == CW_ENOMEM) {
        complain_of(client, read);
    } else if (read < 0) {
        complain(client, "not_json", cw_strerror(read));
    } else if (!cJSON_IsObject(request)) {
        complain(client, "not_object", "a message is a JSON object");
    } else {
        serve(client, request);
    }
    cJSON_Delete(request);
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct client *client = cw_conn_user(conn);

    /* When all of them go, nobody is left to be told. */
    if (client != NULL && reason->code != CW_BY_STOP) {
        leave(client);
    }
    free(client);
}

/* Whoever started this program waits for the line, so it must not stay in a buffer. */
static void on_listening(struct cw_server *server, const struct cw_address *address,
                         const char *text, void *user)
{
    printf("listening on %s\n", text);
    fflush(stdout);
}

static const struct cw_hooks hooks = {.on_connection = on_connection,
                                      .on_data = on_data,
                                      .on_close = on_close,
                                      .on_listening = on_listening};

/* Each client has a room of his own and may be alone in another. */
static void make_room(struct cw_server_options *options)
{
    if (options->rooms_max == 0) {
        options->rooms_max = options->conns_max == CW_NO_LIMIT ? CW_NO_LIMIT
                             : options->conns_max == 0         ? 2 * CONNS_MAX_DEFAULT
                                                               : 2 * options->conns_max;
    }
}

struct setup {
    const struct command_line *line;
    const struct chat_server_options *options;
    const struct cw_service *page;
    struct chat *chat;
};

/* The page is served beside what a file says, where that names no listener that speaks HTTP. */
static struct cw_listen_options *page_listener(struct cw_config *config, const struct setup *setup)
{
    size_t count = config->listener_count;
    struct cw_listen_options *page = &config->listeners[count].options;

    for (size_t i = 0; i < count; i++) {
        if (config->listeners[i].options.service.protocol == &cw_http) {
            return &config->listeners[i].options;
        }
    }
    if (count == CW_CONFIG_LISTENERS_MAX) {
        return NULL;
    }
    config->listeners[count] = config->listeners[0];
    config->listener_count = count + 1;
    page->host = page->host == NULL ? "127.0.0.1" : page->host;
    page->port = setup->options->page_port;
    page->unix_path = NULL;
    page->service = *setup->page;
    page->service.options = cw_config_protocol_options(config, &cw_http);
    return page;
}

/* Asked again by a reload, on another thread: the limit on messages is that of the start then. */
static void override(struct cw_config *config, void *user)
{
    const struct setup *setup = user;
    const struct cw_framed_options *framed = cw_config_protocol_options(config, &cw_framed);
    struct cw_websocket_options *websocket = cw_config_protocol_options(config, &cw_websocket);
    struct chat_limits *limits = &setup->chat->limits;

    command_line_override(config, (void *)(uintptr_t)setup->line);
    struct cw_listen_options *page = page_listener(config, setup);
    if (page != NULL && setup->options->page_port_given) {
        page->port = setup->options->page_port;
        page->unix_path = NULL;
    }
    make_room(&config->server);
    if (limits->message_max_bytes == 0) {
        limits->message_max_bytes =
            config->max_frame_size == 0 ? framed->frame_max_bytes : config->max_frame_size;
    }
    if (websocket != NULL && websocket->message_max_bytes == 0) {
        websocket->message_max_bytes = limits->message_max_bytes;
    }
}

static void set_up_by_file(struct cw_server *server, struct setup *setup)
{
    cw_framed_configure(
        server, &(struct cw_framed_options){.frame_max_bytes = FRAME_MAX_DEFAULT, .kind = CW_TEXT});
    cw_config_load(server, setup->line->config,
                   &(struct cw_config_options){.services = setup->page,
                                               .service_count = 1,
                                               .ignored = COMMAND_LINE_IGNORED,
                                               .override = override,
                                               .user = setup});
}

static void set_up(struct cw_server *server, struct setup *setup)
{
    const struct command_line *line = setup->line;
    struct cw_server_options options = line->server;
    struct cw_listen_options page = line->listen;
    uint64_t frame_max_bytes =
        line->frame_max_bytes == 0 ? FRAME_MAX_DEFAULT : line->frame_max_bytes;

    setup->chat->limits.message_max_bytes = frame_max_bytes;
    make_room(&options);
    cw_server_configure(server, &options);
    cw_framed_configure(
        server, &(struct cw_framed_options){.frame_max_bytes = frame_max_bytes, .kind = CW_TEXT});
    page.host = page.host == NULL ? "127.0.0.1" : page.host;
    page.port = setup->options->page_port;
    page.unix_path = NULL;
    page.service = *setup->page;
    cw_server_listen(server, &page);
    cw_server_listen(server, &line->listen);
}

static void tell_limit(struct cw_conn *conn, void *user)
{
    complain(cw_conn_user(conn), "too_fast", "too many messages a second; they wait, none is lost");
}

static void add_rules(struct cw_server *server, uint64_t messages_per_s)
{
    if (messages_per_s != CW_OFF) {
        cw_server_use(server, cw_rate_limit(&(struct cw_rate_limit_options){
                                  .messages_per_s = messages_per_s,
                                  .messages_burst = 2 * messages_per_s,
                                  .on_limit = tell_limit}));
    }
    /* Who cannot keep up connects again and knows it, instead of missing what was said. */
    cw_room_configure(server, NULL, &(struct cw_room_options){.slow = CW_SLOW_CLOSE});
}

/* Before a file is loaded: what they leave at zero is as that says. */
static void add_routes(struct cw_server *server, const struct setup *setup)
{
    const struct command_line *line = setup->line;
    struct cw_websocket_options options = line->websocket;

    options.user = setup->chat;
    if (line->config == NULL && options.message_max_bytes == 0) {
        options.message_max_bytes = FRAME_MAX_DEFAULT;
    }
    cw_http_use(server, cw_http_cors(NULL));
    chat_page_serve(server, &setup->chat->limits);
    cw_websocket_route(server, "/chat", &hooks, &options);
    if (line->static_dir != NULL) {
        cw_http_static(server, "/static", line->static_dir, NULL);
    }
}

int chat_serve(const struct command_line *line, const struct chat_server_options *options)
{
    static const struct cw_hooks none;
    const struct cw_service page = cw_http_service(&line->http, &none, NULL);
    struct chat chat = {.limits = {.messages_per_s = options->messages_per_s}};
    struct setup setup = {line, options, &page, &chat};
    struct cw_server *server = cw_create_server(&cw_framed);

    cw_server_set_hooks(server, &hooks, &chat);
    add_routes(server, &setup);
    if (line->config != NULL) {
        set_up_by_file(server, &setup);
    } else {
        set_up(server, &setup);
    }
    add_rules(server, options->messages_per_s);
    return cw_server_main(server);
}

/* The chat in a terminal: a loop of its own, one connection that is made again when it breaks, and
 * standard input as one more descriptor of the loop.
 *
 * Whatever is typed becomes a message in `kept` first and leaves from there in order, at once while we are
 * logged in. So nothing that is typed while the server is away is lost. */
#include "chat_client.h"

#include "chat_lines.h"
#include "chat_protocol.h"
#include "chat_screen.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <causeway/causeway.h>

enum {
    KEPT_MAX = 1000,      /* messages that wait to be sent */
    LEAVE_MS = 5000,      /* for them when we are to leave */
    FRAME_MAX = 16777216, /* the server chooses how much it lists */
};

enum phase {
    OFFLINE,
    LOGGING_IN,
    READY,
};

struct terminal {
    struct cw_loop *loop;
    struct cw_watch *input;
    int64_t client; /* of cw_connect */
    uint64_t ping_ms;
    enum phase phase;
    bool leaving;
    bool pong_due;
    bool told_failure; /* further attempts to connect fail in silence */
    bool was_connected;
    int status;           /* of the program */
    struct cJSON *kept;   /* messages to be sent, oldest first */
    struct cJSON *others; /* members of our room as the server told us; NULL: none */
    char nickname[CHAT_NAME_MAX_BYTES + 1];
    char room[CHAT_NAME_MAX_BYTES + 1]; /* empty: none */
    struct lines lines;
};

static void set_name(char *place, const char *name)
{
    snprintf(place, CHAT_NAME_MAX_BYTES + 1, "%s", name);
}

/* A text out of a message; one that is missing shows. */
static const char *text_of(const struct cJSON *message, const char *name)
{
    const char *text = cw_json_text(message, name);

    return text == NULL ? "?" : text;
}

/* ---- sending ---- */

/* Sends one message, which is freed. Returns as cw_conn_send. */
static int send_now(struct cw_conn *conn, struct cJSON *message)
{
    int sent = message == NULL ? CW_ENOMEM : cw_conn_send_json(conn, message);

    cJSON_Delete(message);
    return sent;
}

static struct cJSON *login_message(const struct terminal *terminal)
{
    struct cJSON *message = chat_message_new("login");

    chat_put_text(&message, "nickname", terminal->nickname);
    return message;
}

static struct cJSON *join_message(const char *room)
{
    struct cJSON *message = chat_message_new("join_room");

    chat_put_text(&message, "room", room);
    return message;
}

static void forget_room(struct terminal *terminal)
{
    terminal->room[0] = '\0';
    cJSON_Delete(terminal->others);
    terminal->others = NULL;
}

/* Remembers what a message that has been sent means for the room we are in. */
static void note_room(struct terminal *terminal, const struct cJSON *message)
{
    if (chat_is(message, "join_room")) {
        set_name(terminal->room, text_of(message, "room"));
    } else if (chat_is(message, "leave_room")) {
        forget_room(terminal);
    }
}

/* Sends the oldest kept message. False: not now. */
static bool send_kept(struct terminal *terminal, struct cw_conn *conn)
{
    const struct cJSON *message = cJSON_GetArrayItem(terminal->kept, 0);

    if (message == NULL) {
        return false;
    }
    if (chat_is(message, "chat_message") && terminal->room[0] == '\0') {
        screen_print("! not sent, you are in no room: /join ROOM");
    } else {
        int sent = cw_conn_send_json(conn, message);
        if (sent == CW_EFULL || sent == CW_ECLOSED || sent == CW_ENOMEM) {
            return false;
        }
        if (sent < 0) {
            screen_print("! not sent: %s", cw_strerror(sent));
        }
        note_room(terminal, message);
    }
    cJSON_DeleteItemFromArray(terminal->kept, 0);
    return true;
}

static void send_all_kept(struct terminal *terminal)
{
    struct cw_conn *conn = cw_client_conn(terminal->loop, terminal->client);

    while (terminal->phase == READY && conn != NULL && send_kept(terminal, conn)) {}
    if (terminal->leaving && cJSON_GetArraySize(terminal->kept) == 0) {
        cw_loop_stop(terminal->loop);
    }
}

/* The terminal may send anything; JSON is UTF-8. */
static bool is_utf8(const struct cJSON *message)
{
    struct cJSON *copy = NULL;
    char *text = cJSON_PrintUnformatted(message);
    bool fine = text != NULL && cw_json_parse(cw_span_text(text), NULL, &copy) == CW_OK;

    cJSON_free(text);
    cJSON_Delete(copy);
    return fine;
}

/* Takes over what was typed. */
static void keep(struct terminal *terminal, struct cJSON *message)
{
    if (!is_utf8(message)) {
        screen_print("! not sent: this is not UTF-8");
    } else if (cJSON_GetArraySize(terminal->kept) == KEPT_MAX) {
        screen_print("! not sent: %d messages are waiting already", KEPT_MAX);
    } else if (cJSON_AddItemToArray(terminal->kept, message)) {
        if (terminal->phase != READY && cJSON_GetArraySize(terminal->kept) == 1) {
            screen_print("* kept until we are connected");
        }
        send_all_kept(terminal);
        return;
    }
    cJSON_Delete(message);
}

/* ---- commands ---- */

static void join(struct terminal *terminal, char *room)
{
    const char *trouble = chat_name_trouble(room);

    if (trouble != NULL) {
        screen_print("! not a room's name: %s", trouble);
    } else {
        keep(terminal, join_message(room));
    }
}

static void leave(struct terminal *terminal, char *unused)
{
    keep(terminal, chat_message_new("leave_room"));
}

static void ask_rooms(struct terminal *terminal, char *unused)
{
    keep(terminal, chat_message_new("list_rooms"));
}

static void show_members(struct terminal *terminal, char *unused)
{
    const struct cJSON *member;

    if (terminal->room[0] == '\0') {
        screen_print("* you are in no room");
        return;
    }
    screen_print("* in %s:", terminal->room);
    cJSON_ArrayForEach(member, terminal->others)
    {
        screen_print("    %s (%s)", text_of(member, "nickname"), text_of(member, "clientId"));
    }
}

static void say_to(struct terminal *terminal, char *words)
{
    struct cJSON *message = chat_message_new("private_message");
    const char *to = strsep(&words, " ");

    if (words == NULL || words[0] == '\0') {
        screen_print("! /msg CLIENT_ID TEXT; /who shows ids");
        cJSON_Delete(message);
        return;
    }
    chat_put_text(&message, "to", to);
    chat_put_text(&message, "message", words);
    keep(terminal, message);
}

static void rename_to(struct terminal *terminal, char *nickname)
{
    const char *trouble = chat_name_trouble(nickname);

    if (trouble != NULL) {
        screen_print("! not a nickname: %s", trouble);
        return;
    }
    set_name(terminal->nickname, nickname);
    if (terminal->phase != OFFLINE) {
        keep(terminal, login_message(terminal));
    }
}

static void give_up(struct cw_loop *loop, void *user)
{
    cw_loop_stop(loop);
}

/* Reads no more, and ends as soon as nothing is kept, or soon after. */
static void quit(struct terminal *terminal, char *unused)
{
    cw_watch_stop(terminal->input);
    terminal->input = NULL;
    terminal->leaving = true;
    if (cw_timer_start(terminal->loop, LEAVE_MS, 0, give_up, NULL) == NULL) {
        cw_loop_stop(terminal->loop);
    }
    send_all_kept(terminal);
}

static void show_help(struct terminal *terminal, char *unused);

static const struct {
    const char *name;
    void (*run)(struct terminal *terminal, char *words);
    const char *usage;
    const char *about;
} commands[] = {
    {"/join", join, "/join ROOM", "leave the room and join another"},
    {"/leave", leave, "/leave", "leave the room"},
    {"/rooms", ask_rooms, "/rooms", "list all rooms"},
    {"/who", show_members, "/who", "list who is in the room"},
    {"/msg", say_to, "/msg CLIENT_ID TEXT", "tell one client only"},
    {"/nick", rename_to, "/nick NAME", "change your nickname"},
    {"/quit", quit, "/quit", "leave (so does Ctrl-D)"},
    {"/help", show_help, "/help", "this list"},
};

enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static void show_help(struct terminal *terminal, char *unused)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        screen_print("    %-22s%s", commands[i].usage, commands[i].about);
    }
}

static void run_command(struct terminal *terminal, char *line)
{
    char *words = line;
    const char *name = strsep(&words, " ");
    char nothing[] = "";

    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(name, commands[i].name) == 0) {
            commands[i].run(terminal, words == NULL ? nothing : words);
            return;
        }
    }
    screen_print("! no such command: %s (/help lists them)", name);
}

static void on_line(char *line, void *user)
{
    struct terminal *terminal = user;

    if (terminal->leaving) {
        return;
    }
    if (line == NULL) {
        screen_print("! not sent: a line takes at most %d bytes", LINE_MAX_BYTES);
    } else if (line[0] == '/') {
        run_command(terminal, line);
    } else if (line[0] != '\0') {
        struct cJSON *message = chat_message_new("chat_message");
        chat_put_text(&message, "message", line);
        keep(terminal, message);
    }
}

static void on_input(struct cw_loop *loop, int fd, unsigned events, void *user)
{
    struct terminal *terminal = user;
    bool more = lines_read(&terminal->lines, fd, on_line, terminal);

    if (!more && !terminal->leaving) {
        quit(terminal, NULL);
    }
}

/* ---- what the server tells ---- */

static void remove_member(struct terminal *terminal, const struct cJSON *news)
{
    struct cJSON *member;
    int index = 0;

    cJSON_ArrayForEach(member, terminal->others)
    {
        if (strcmp(text_of(member, "clientId"), text_of(news, "clientId")) == 0) {
            cJSON_DeleteItemFromArray(terminal->others, index);
            return;
        }
        index++;
    }
}

/* The list and the news of a member can cross: nobody is listed twice. */
static void add_member(struct terminal *terminal, const struct cJSON *news)
{
    remove_member(terminal, news);
    if (terminal->others != NULL) {
        chat_append(&terminal->others, cJSON_Duplicate(news, true));
    }
}

static void on_login(struct terminal *terminal, struct cw_conn *conn, struct cJSON *news)
{
    screen_print("* you are %s (%s)", terminal->nickname, text_of(news, "clientId"));
    if (terminal->phase == READY) {
        return;
    }
    terminal->phase = READY;
    if (terminal->room[0] != '\0') {
        (void)send_now(conn, join_message(terminal->room)); /* the queue is empty */
    }
    send_all_kept(terminal);
}

static void on_room(struct terminal *terminal, struct cw_conn *conn, struct cJSON *news)
{
    cJSON_Delete(terminal->others);
    terminal->others = cJSON_DetachItemFromObjectCaseSensitive(news, "members");
    screen_print("* you are in %s, %d here (/who)", text_of(news, "room"),
                 cJSON_GetArraySize(terminal->others));
}

static void on_rooms(struct terminal *terminal, struct cw_conn *conn, struct cJSON *news)
{
    const struct cJSON *rooms = cJSON_GetObjectItemCaseSensitive(news, "rooms");
    const struct cJSON *room;

    screen_print("* %d rooms:", cJSON_GetArraySize(rooms));
    cJSON_ArrayForEach(room, rooms)
    {
        const struct cJSON *count = cJSON_GetObjectItemCaseSensitive(room, "count");
        screen_print("    %s (%d)", text_of(room, "room"), count == NULL ? 0 : count->valueint);
    }
}

static void on_joined(struct terminal *terminal, struct cw_conn *conn, struct cJSON *news)
{
    add_member(terminal, news);
    screen_print("* %s (%s) joined", text_of(news, "nickname"), text_of(news, "clientId"));
}

static void on_left(struct terminal *terminal, struct cw_conn *conn, struct cJSON *news)
{
    remove_member(terminal, news);
    screen_print("* %s (%s) left", text_of(news, "nickname"), text_of(news, "clientId"));
}

static void on_renamed(struct terminal *terminal, struct cw_conn *conn, struct cJSON *news)
{
    add_member(terminal, news);
    screen_print("* %s is now %s", text_of(news, "from"), text_of(news, "nickname"));
}

static void on_said(struct terminal *terminal, struct cw_conn *conn, struct cJSON *news)
{
    screen_print("%s: %s", text_of(news, "from"), text_of(news, "message"));
}

static void on_said_to_us(struct terminal *terminal, struct cw_conn *conn, struct cJSON *news)
{
    screen_print("%s (%s), to you only: %s", text_of(news, "from"), text_of(news, "clientId"),
                 text_of(news, "message"));
}

static void on_pong(struct terminal *terminal, struct cw_conn *conn, struct cJSON *news)
{
    terminal->pong_due = false;
}

static void on_refused(struct terminal *terminal, struct cw_conn *conn, struct cJSON *news)
{
    screen_print("! %s (%s)", text_of(news, "message"), text_of(news, "code"));
    if (strcmp(text_of(news, "code"), "room_full") == 0) {
        forget_room(terminal);
    } else if (terminal->phase == LOGGING_IN) {
        cw_conn_close(conn); /* and try again, after a pause */
    }
}

static const struct {
    const char *type;
    void (*tell)(struct terminal *terminal, struct cw_conn *conn, struct cJSON *news);
} tellers[] = {
    {"login_success", on_login}, {"room_joined", on_room},
    {"rooms", on_rooms},         {"user_joined", on_joined},
    {"user_left", on_left},      {"user_renamed", on_renamed},
    {"chat_message", on_said},   {"private_message", on_said_to_us},
    {"pong", on_pong},           {"error", on_refused},
};

/* What a newer server may say besides is passed over. */
static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct terminal *terminal = user;
    struct cJSON *news;
    int read = cw_json_parse(msg->body, &(struct cw_json_limits){.bytes_max = FRAME_MAX}, &news);

    if (read < 0) {
        screen_print("! the server sent what is no message: %s", cw_strerror(read));
    }
    for (size_t i = 0; i < sizeof tellers / sizeof tellers[0]; i++) {
        if (chat_is(news, tellers[i].type)) {
            tellers[i].tell(terminal, conn, news);
            break;
        }
    }
    cJSON_Delete(news);
}

/* ---- the connection ---- */

/* A path can be dead without a word from the network; only an answer proves that it is not. */
static void ping(struct cw_conn *conn, void *user)
{
    struct terminal *terminal = user;

    if (terminal->pong_due) {
        screen_print("! the server does not answer");
        cw_conn_abort(conn);
        return;
    }
    terminal->pong_due = send_now(conn, chat_message_new("ping")) >= 0;
}

static void tell_tls(const struct cw_conn *conn)
{
    struct cw_tls_info tls;

    if (cw_conn_tls(conn, &tls) == CW_OK) {
        screen_print("* encrypted: %s, %s, %s%s", tls.version, tls.cipher,
                     tls.verified ? "verified" : "NOT VERIFIED: ", tls.verified ? "" : tls.why_not);
    }
}

static void on_connection(struct cw_conn *conn, void *user)
{
    struct terminal *terminal = user;

    tell_tls(conn);
    terminal->was_connected = true;
    terminal->phase = LOGGING_IN;
    terminal->pong_due = false;
    terminal->told_failure = false;
    if (send_now(conn, login_message(terminal)) < 0 ||
        cw_conn_after(conn, terminal->ping_ms, terminal->ping_ms, ping, terminal) < 0) {
        cw_conn_abort(conn);
    }
}

static void on_drain(struct cw_conn *conn, void *user)
{
    send_all_kept(user);
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    struct terminal *terminal = user;

    terminal->phase = OFFLINE;
    if (reason->code != CW_BY_STOP) {
        screen_print("! connection lost: %s; trying to get it back", reason->text);
    }
}

static void on_error(struct cw_server *server, const struct cw_error_report *report, void *user)
{
    struct terminal *terminal = user;

    /* A certificate that is refused now will be refused in a moment too. */
    if (report->code == CW_ECERT && !terminal->was_connected) {
        screen_print("! %s", report->text);
        terminal->status = 1;
        cw_loop_stop(terminal->loop);
        return;
    }
    /* on_close tells of those that were open. */
    if (terminal->phase == OFFLINE && !terminal->told_failure) {
        screen_print("! %s; trying again", report->text);
        terminal->told_failure = true;
    }
}

static const struct cw_hooks hooks = {.on_connection = on_connection,
                                      .on_data = on_data,
                                      .on_drain = on_drain,
                                      .on_close = on_close,
                                      .on_error = on_error};

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "chat: %s: %s\n", what, why);
    return 1;
}

/* Files and /dev/null are always ready, so the kernel refuses to wait for them. */
static bool can_be_watched(int fd)
{
    struct stat about;

    return isatty(fd) ||
           (fstat(fd, &about) == 0 && (S_ISFIFO(about.st_mode) || S_ISSOCK(about.st_mode)));
}

static int run(struct terminal *terminal, const struct chat_client_options *options)
{
    const char *address = options->address;
    const struct cw_framed_options framed = {.frame_max_bytes = FRAME_MAX, .kind = CW_TEXT};

    if (terminal->loop == NULL || terminal->kept == NULL) {
        return complain("start", cw_strerror(CW_ENOMEM));
    }
    if (!can_be_watched(STDIN_FILENO)) {
        return complain("standard input", "neither a terminal nor a pipe");
    }
    terminal->input = cw_loop_watch(terminal->loop, STDIN_FILENO, CW_READABLE, on_input, terminal);
    if (terminal->input == NULL) {
        return complain("standard input", "it cannot be watched");
    }
    terminal->client = cw_connect(
        terminal->loop, cw_framed_service(&framed, &hooks, terminal), address,
        &(struct cw_connect_options){
            .reconnect = true, .reconnect_max_ms = 5000, .idle_ms = CW_OFF, .tls = options->tls});
    if (terminal->client < 0) {
        return terminal->client == CW_ENOMEM ? complain(address, cw_strerror(CW_ENOMEM))
                                             : 1; /* what is wrong has been logged */
    }
    int ended = cw_loop_main(terminal->loop);
    if (ended < 0) {
        return complain("run", cw_strerror(ended));
    }
    int unsent = cJSON_GetArraySize(terminal->kept);
    if (unsent > 0) {
        fprintf(stderr, "chat: messages not sent: %d\n", unsent);
    }
    return terminal->status;
}

int chat_in_terminal(const struct chat_client_options *options)
{
    struct terminal *terminal = calloc(1, sizeof *terminal);
    int status;

    if (terminal == NULL) {
        return complain("start", cw_strerror(CW_ENOMEM));
    }
    set_name(terminal->nickname, options->nickname);
    set_name(terminal->room, options->room == NULL ? "" : options->room);
    terminal->ping_ms = options->ping_ms;
    terminal->loop = cw_loop_new();
    terminal->kept = cJSON_CreateArray();
    status = run(terminal, options);
    cw_loop_free(terminal->loop);
    cJSON_Delete(terminal->others);
    cJSON_Delete(terminal->kept);
    free(terminal);
    return status;
}

/* chat: a chat server, and with --connect a chat in a terminal. */
#include "chat_client.h"
#include "chat_protocol.h"
#include "chat_server.h"

#include <stdio.h>

struct settings {
    struct chat_client_options client;
    struct chat_server_options server;
};

static int refuse(const char *option, const char *value, const char *trouble)
{
    fprintf(stderr, "chat: --%s %s: %s\n", option, value, trouble);
    return 1;
}

static int run_client(const struct chat_client_options *client)
{
    const char *trouble = chat_name_trouble(client->nickname);

    if (trouble != NULL) {
        return refuse("nickname", client->nickname, trouble);
    }
    trouble = client->room == NULL ? NULL : chat_name_trouble(client->room);
    return trouble != NULL ? refuse("room", client->room, trouble) : chat_in_terminal(client);
}

int main(int argc, char **argv)
{
    struct settings settings = {.client = {.nickname = "guest", .ping_ms = 20000},
                                .server = {.page_port = CHAT_PAGE_PORT, .messages_per_s = 20}};
    const struct option_entry own[] = {
        {.name = "port",
         .kind = OPTION_PORT,
         .into = &settings.server.page_port,
         .value = "N",
         .standard = "8080",
         .about = "the page and its WebSocket; 0: any free one",
         .given = &settings.server.page_port_given},
        {.name = "connect",
         .kind = OPTION_TEXT,
         .into = &settings.client.address,
         .value = "[tls://]HOST:PORT",
         .about = "chat in this terminal; serve nothing"},
        {.name = "nickname",
         .kind = OPTION_TEXT,
         .into = &settings.client.nickname,
         .value = "NAME",
         .standard = "guest",
         .about = "with --connect: yours"},
        {.name = "room",
         .kind = OPTION_TEXT,
         .into = &settings.client.room,
         .value = "ROOM",
         .about = "with --connect: join it at once"},
        {.name = "ping-every",
         .kind = OPTION_DURATION,
         .into = &settings.client.ping_ms,
         .value = "TIME",
         .standard = "20s",
         .about = "with --connect: ask whether the server is there",
         .most = 3600000},
        {.name = "messages-per-second",
         .kind = OPTION_COUNT,
         .into = &settings.server.messages_per_s,
         .value = "N|off",
         .standard = "20",
         .about = "of one client, twice as many at once; then it waits",
         .most = 1000000,
         .word = "off",
         .word_means = CW_OFF},
    };
    const struct program program = {.name = "chat",
                                    .about =
                                        "A chat with rooms, in the browser and over framed TCP.",
                                    .port = CHAT_PORT,
                                    .port_name = "tcp-port",
                                    .own = own,
                                    .own_count = sizeof own / sizeof own[0],
                                    .connect = &settings.client.address,
                                    .http = &cw_http,
                                    .websocket = &cw_websocket};
    struct command_line line;

    switch (command_line_read(&line, &program, argv, stdout, stderr)) {
    case COMMAND_LINE_HELP:
        return 0;
    case COMMAND_LINE_WRONG:
        return 1;
    case COMMAND_LINE_RUN:
        break;
    }
    command_line_set_log(&line);
    command_line_set_memory(&line);
    settings.client.tls = line.connect_tls;
    return settings.client.address == NULL ? chat_serve(&line, &settings.server)
                                           : run_client(&settings.client);
}

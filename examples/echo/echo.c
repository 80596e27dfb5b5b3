/* echo: sends back what it receives, over any protocol. */
#include "command_line.h"
#include "echo_http.h"
#include "echo_websocket.h"

#include <causeway/causeway.h>
#include <stdio.h>

static void echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_conn_send(conn, msg);
}

/* Whoever started this program waits for the line, so it must not stay in a buffer. */
static void print_listening(struct cw_server *server, const struct cw_address *address,
                            const char *text, void *user)
{
    printf("listening on %s\n", text);
    fflush(stdout);
}

static const struct cw_hooks hooks = {.on_data = echo, .on_listening = print_listening};

/* In the order of their names for --protocol. */
enum { TCP, FRAMED, LINE, UDP, HTTP, WEBSOCKET, PROTOCOL_COUNT };
static const char *const names[] = {"tcp", "framed", "line", "udp", "http", "websocket", NULL};
static const struct cw_protocol *const protocols[] = {&cw_tcp, &cw_framed, &cw_line,
                                                      &cw_udp, &cw_http,   &cw_websocket};

static void set_options(struct cw_server *server, size_t protocol, const struct command_line *line)
{
    if (protocol == FRAMED) {
        cw_framed_configure(server,
                            &(struct cw_framed_options){.frame_max_bytes = line->frame_max_bytes});
    } else if (protocol == LINE) {
        cw_line_configure(server,
                          &(struct cw_line_options){.line_max_bytes = line->frame_max_bytes});
    } else if (protocol == UDP) {
        cw_udp_configure(server,
                         &(struct cw_udp_options){.datagram_max_bytes = line->frame_max_bytes});
    } else if (protocol == HTTP) {
        cw_http_configure(server, &line->http);
    } else if (protocol == WEBSOCKET) {
        cw_websocket_configure(server, &line->websocket);
    }
}

/* A server to try clients with: pages of all origins may connect. It has a site without routes, so that each path is an echo. */
static void finish_websocket(struct cw_websocket_options *options, struct cw_http_options *requests)
{
    requests->site = "websocket";
    options->http = requests;
    options->origins = "*";
}

int main(int argc, char **argv)
{
    size_t protocol = TCP;
    const struct option_entry own[] = {
        {.name = "protocol",
         .kind = OPTION_CHOICE,
         .into = &protocol,
         .value = "tcp|framed|line|udp|http|websocket",
         .standard = "tcp",
         .about = "what to speak",
         .choices = names},
    };
    const struct program program = {.name = "echo",
                                    .about = "Sends back what it receives.",
                                    .port = 7000,
                                    .own = own,
                                    .own_count = 1,
                                    .http = &cw_http,
                                    .websocket = &cw_websocket,
                                    .datagrams = &cw_udp};
    struct command_line line;

    switch (command_line_read(&line, &program, argv, stdout, stderr)) {
    case COMMAND_LINE_HELP:
        return 0;
    case COMMAND_LINE_WRONG:
        return 1;
    case COMMAND_LINE_RUN:
        break;
    }

    struct cw_http_options requests = line.http;

    finish_websocket(&line.websocket, &requests);
    /* What a listener of --config may speak. */
    const struct cw_service services[PROTOCOL_COUNT] = {
        cw_service(&cw_tcp, &hooks, NULL),  cw_service(&cw_framed, &hooks, NULL),
        cw_service(&cw_line, &hooks, NULL), cw_service(&cw_udp, &hooks, NULL),
        cw_service(&cw_http, &hooks, NULL), cw_websocket_service(&line.websocket, &hooks, NULL)};

    command_line_set_log(&line);
    command_line_set_memory(&line);
    struct cw_server *server = cw_create_server(protocols[protocol]);
    cw_server_set_hooks(server, &hooks, NULL);
    set_options(server, protocol, &line);
    /* A file may name a listener that speaks HTTP. */
    if (protocol == HTTP || line.config != NULL) {
        echo_http_set_up(server, line.static_dir);
        echo_websocket_set_up(server, &hooks, &line.websocket);
    }
    command_line_set_up(server, &line, services, PROTOCOL_COUNT);
    return cw_server_main(server);
}

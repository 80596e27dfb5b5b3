/* echo: sends back what it receives, over any stream protocol. */
#include "command_line.h"

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
enum { TCP, FRAMED, LINE };
static const char *const names[] = {"tcp", "framed", "line", NULL};
static const struct cw_protocol *const protocols[] = {&cw_tcp, &cw_framed, &cw_line};

static void limit_frames(struct cw_server *server, size_t protocol, uint64_t max_bytes)
{
    if (protocol == FRAMED) {
        cw_framed_configure(server, &(struct cw_framed_options){.frame_max_bytes = max_bytes});
    } else if (protocol == LINE) {
        cw_line_configure(server, &(struct cw_line_options){.line_max_bytes = max_bytes});
    }
}

int main(int argc, char **argv)
{
    size_t protocol = TCP;
    const struct option_entry own[] = {
        {.name = "protocol",
         .kind = OPTION_CHOICE,
         .into = &protocol,
         .value = "tcp|framed|line",
         .standard = "tcp",
         .about = "what to speak",
         .choices = names},
    };
    const struct program program = {.name = "echo",
                                    .about = "Sends back what it receives.",
                                    .port = 7000,
                                    .own = own,
                                    .own_count = 1};
    /* What a listener of --config may speak. */
    const struct cw_service services[] = {cw_service(&cw_tcp, &hooks, NULL),
                                          cw_service(&cw_framed, &hooks, NULL),
                                          cw_service(&cw_line, &hooks, NULL)};
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
    struct cw_server *server = cw_create_server(protocols[protocol]);
    cw_server_set_hooks(server, &hooks, NULL);
    limit_frames(server, protocol, line.frame_max_bytes);
    command_line_set_up(server, &line, services, sizeof services / sizeof services[0]);
    return cw_server_main(server);
}

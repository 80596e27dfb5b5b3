/* The command line that the example programs share.
 *
 * A program names itself, adds the options that are its own, and gets two filled structs back, ready for
 * cw_server_configure and cw_server_listen. */
#ifndef EXAMPLES_COMMON_COMMAND_LINE_H
#define EXAMPLES_COMMON_COMMAND_LINE_H

#include "datagram_settings.h"
#include "option_entry.h"
#include "tls_settings.h"

#include <causeway/config.h>
#include <causeway/http.h>
#include <causeway/server.h>
#include <causeway/websocket.h>
#include <stdio.h>

/* A program, and the options it adds to the common ones. */
struct program {
    const char *name;
    const char *about; /* a sentence for --help */
    uint16_t port;     /* the default of --port */
    const struct option_entry *own;
    size_t own_count;
    const char *port_name; /* what --port is called here. NULL: port */
    const char *arguments; /* for --help: what stands between the name and the options. NULL: nothing */
    bool own_only;         /* it does not listen: there are no common options */
    const char *
        *connect; /* where the address to connect to stands when all is read, for a program that can
                              connect: a `tls://` or `tcp://` before it is taken off. NULL: it cannot */
    const struct cw_protocol *http; /* &cw_http: it serves that, and has its options. NULL: none */
    const struct cw_protocol *websocket; /* &cw_websocket: the same */
    const struct cw_protocol *datagrams; /* &cw_udp: the same */
    bool datagrams_alone; /* it speaks nothing but these, and has none of the options of TCP */
};

/* The index of a choice that was not made. */
#define COMMAND_LINE_UNSET SIZE_MAX

/* What the common options fill in. */
struct command_line {
    struct cw_server_options server;
    struct cw_listen_options listen;
    struct tls_settings tls;
    struct datagram_settings datagrams; /* of them listen.datagram */
    const struct cw_tls_options
        *connect_tls;         /* for cw_connect, into `tls`, as is listen.tls. NULL: plain */
    uint64_t frame_max_bytes; /* 0: the protocol's default */
    const struct cw_protocol *http_protocol; /* as the program says */
    struct cw_http_options http;             /* zeros: the defaults */
    struct option_words cors_origins;        /* what http.cors_origin points to, */
    struct option_words trusted_proxies;     /* and server.trusted_proxies */
    const struct cw_protocol *websocket_protocol;
    struct cw_websocket_options
        websocket;          /* zeros: the defaults; message_max_bytes is frame_max_bytes */
    const char *static_dir; /* files to be served; NULL: none */
    size_t log_level;       /* enum cw_log_level, or COMMAND_LINE_UNSET */
    size_t log_format;      /* enum cw_log_format, or COMMAND_LINE_UNSET */
    bool quiet;
    const char *config; /* a file to read options from; NULL: none */
    bool host_given;    /* else listen.host and listen.port are the defaults */
    bool port_given;
};

enum command_line_outcome {
    COMMAND_LINE_RUN,  /* go on */
    COMMAND_LINE_HELP, /* --help was asked for and printed on out: exit 0 */
    COMMAND_LINE_WRONG /* one line on err says what is wrong: exit 1 */
};

/* Reads the command line. Texts are borrowed from argv and the environment; *line points into itself. */
enum command_line_outcome command_line_read(struct command_line *line, const struct program *program,
                                            char *const *argv, FILE *out, FILE *err);

/* Sections of a file that one example program reads and another does not know. */
#define COMMAND_LINE_IGNORED "framed, line, udp, http, websocket"

/* Sets up a server: options and a listener by the command line, or by its file, where the command line goes over the
 * file. The server keeps the first error.
 *
 * line      has to live as long as the server
 * services  what listeners of the file may name as their protocol, beside the server's own */
void command_line_set_up(struct cw_server *server, const struct command_line *line,
                         const struct cw_service *services, size_t service_count);

/* The `override` of cw_config_load for programs that call it themselves; user: the struct command_line. */
void command_line_override(struct cw_config *config, void *user);

/* Sets the log as the command line says; what it does not say stays as it is. */
void command_line_set_log(const struct command_line *line);

/* Sets malloc for many TLS connections when the command line asks for TLS, or names a file, which may. */
void command_line_set_memory(const struct command_line *line);

#endif

/* The inside of configuration from a file, and the seam to the reload. */
#ifndef CW_CONFIG_IMPL_H
#define CW_CONFIG_IMPL_H

#include "arena.h"
#include "config_keys.h"
#include "config_yaml.h"
#include "networks.h"

#include <causeway/protocol.h>

struct cw_server;

/* ---- for the reload ---- */

/* Reads and checks the server's file again and asks its `override`. The running configuration is server->config. Blocks.
 *
 * returns  0, *config is the caller's; or an enum cw_error with the complaint worded
 * thread   any, one at a time */
int cw_config_reread(struct cw_server *server, struct cw_config **config,
                     struct cw_complaint *complaint);

/* Wipes and frees it. NULL is allowed. */
void cw_config_free(struct cw_config *config);

/* Names the keys that differ and need a new start: `server.workers, server.listeners[1]`.
 *
 * text     filled in up to cap; ends in `…` when there are more
 * returns  how many there are */
size_t cw_config_differs(const struct cw_config *running, const struct cw_config *read, char *text,
                         size_t cap);

/* The TLS of a listener. NULL: it is plain. */
const struct cw_tls_options *cw_config_listener_tls(const struct cw_config *config, size_t listener);

/* Sets the process's log as the file says, where it says something. */
void cw_config_set_log(const struct cw_config *config);

/* ---- what was asked for ---- */

enum { CW_CONFIG_GUESTS_MAX = 8 };

/* What a server remembers of cw_config_load. */
struct cw_config_source {
    struct cw_arena arena;
    const char *path;
    struct cw_config_options options; /* copied, with services and texts; the defaults filled in */
    struct cw_server_options base;    /* what the program had set before */
    struct cw_service own;            /* the server's, with the options it had */
    const struct cw_protocol *guests[CW_CONFIG_GUESTS_MAX]; /* that no listener may name */
    size_t guest_count;
};

void cw_config_source_free(struct cw_config_source *source);

/* ---- what was read ---- */

/* `tcp` of the server or of a listener. */
struct cw_config_tcp {
    struct cw_tcp_options options;
    uint64_t backlog;
    bool keep_alive_off;
};

/* `tls` of the server or of a listener. */
struct cw_config_tls {
    struct cw_tls_options options;
    bool enabled;
    unsigned request_cert; /* 0: false, 1: true, 2: optional */
};

/* One of `listeners`, while it is read. */
struct cw_config_draft {
    struct cw_config_listener listener;
    struct cw_config_tcp tcp;
    struct cw_config_tls tls;
    bool own_tls;
    bool tls_wanted; /* `tls: true` */
    unsigned line;
};

/* Which key stood where. */
struct cw_config_said {
    struct cw_config_said *next;
    const void *into;
    unsigned line;
};

enum { CW_CONFIG_SERVICES_MAX = 32 };

struct cw_config_file {
    struct cw_config config; /* the first member: one is the other */
    struct cw_arena arena;
    const struct cw_config_source *source;
    struct cw_service services[CW_CONFIG_SERVICES_MAX + 1 +
                               CW_CONFIG_GUESTS_MAX]; /* the server's own first, guests last */
    size_t service_count;
    size_t listed_count;          /* of these, listeners may name so many */
    struct cw_config_draft place; /* bind, port, unix: the short form of one listener */
    struct cw_config_tcp tcp;
    struct cw_config_tls tls;
    uint64_t max_frame_size;
    struct cw_config_draft drafts[CW_CONFIG_LISTENERS_MAX];
    size_t draft_count;
    bool said_listeners;
    struct cw_config_said *said;
    unsigned server_line;
    bool again; /* not the first reading: what was told once is not told again */
};

enum { CW_CONFIG_TEXT_MAX = 320, CW_CONFIG_PATH_MAX = 128 };

/* One reading of a file. */
struct cw_config_reader {
    struct cw_config_file *file;
    const char *directory;
    const char *name;              /* of the file, for messages */
    char path[CW_CONFIG_PATH_MAX]; /* of the key that is being read */
    size_t path_len;
    size_t room;     /* of who shows the text: longer ones lose the file's folder */
    unsigned column; /* of what is not YAML; 0: the line is enough */
    int code;
    char text[2 * CW_CONFIG_TEXT_MAX];
};

/* The line of a key, by where its value goes. 0: it is not in the file. */
unsigned cw_config_line(const struct cw_config_file *file, const void *into);

/* The line of the first key whose value went into these bytes. 0: there is none. */
unsigned cw_config_line_within(const struct cw_config_file *file, const void *begin, size_t size);

/* ---- config_read.c ---- */

/* Words what is wrong at a line and the reader's path; returns code. */
int cw_config_fail(struct cw_config_reader *reader, int code, unsigned line, const char *format,
                   ...) __attribute__((format(printf, 4, 5)));

/* Fills the file's structs from the tree. 0, or an error worded in the reader. */
int cw_config_take(struct cw_config_reader *reader, const struct cw_yaml_node *root);

/* ---- config_values.c ---- */

/* Reads the value of one key into its place. 0, or an error worded in the reader, whose path names the key. */
int cw_config_value(struct cw_config_reader *reader, const struct cw_config_key *key,
                    const struct cw_yaml_node *node, void *into);

/* The value was not allowed. */
int cw_config_not_allowed(struct cw_config_reader *reader, const struct cw_config_key *key,
                          const struct cw_yaml_node *node);

/* A copy of the node's text with the variables of the environment in their places. NULL: an error is worded. */
const char *cw_config_expand(struct cw_config_reader *reader, const struct cw_yaml_node *node);

/* Nothing was written behind the colon, or a word that means that. */
bool cw_config_is_null(const struct cw_yaml_node *node);

/* ---- config_finish.c ---- */

/* Puts what was read together into `config`: listeners, TLS, protocols' options. Before `override`. */
int cw_config_settle(struct cw_config_reader *reader);

/* Checks all of it. Behind `override`. */
int cw_config_check(struct cw_config_reader *reader);

#endif

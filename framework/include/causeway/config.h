/* Options from a file (YAML). docs/options.md names every key, its unit and its default.
 *
 * ```text
 * struct cw_server *server = cw_create_server(&cw_framed);
 * cw_server_set_hooks(server, &hooks, NULL);
 * cw_config_load(server, "server.yaml", NULL);
 * return cw_server_main(server);
 * ``` */
#ifndef CAUSEWAY_CONFIG_H
#define CAUSEWAY_CONFIG_H

#include <causeway/log.h>
#include <causeway/server.h>
#include <causeway/tls.h>
#include <causeway/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Listeners that one file may have. */
enum { CW_CONFIG_LISTENERS_MAX = 64 };

/* One listener of a file. */
struct cw_config_listener {
    struct cw_listen_options
        options; /* options.tls: its own; NULL: what tls_enabled and tls of the file say */
    bool plain;  /* it said `tls: false` */
};

/* What a file says, on top of what the program has set before. Texts live until `override` returns; those that it sets
 * have to live as long as the server, because a reload asks it again. */
struct cw_config {
    struct cw_server_options server;
    const char *bind;          /* server.bind, NULL: none; in each listener already, */
    struct cw_tcp_options tcp; /* and so is server.tcp, */
    uint64_t backlog;          /* with its backlog, */
    struct cw_datagram_options
        datagram; /* and server.datagram: for listeners that `override` adds. Of tcp and datagram counts, for each listener,
                     what its protocol has */
    bool tls_enabled;
    struct cw_tls_options tls;
    struct cw_config_listener listeners[CW_CONFIG_LISTENERS_MAX];
    size_t listener_count; /* 0: the file names none; the program may add its own to the server */
    enum cw_log_level log_level;
    enum cw_log_format log_format;
    uint64_t max_frame_size; /* what `override` sets here goes over all that the file says of it, for each protocol that
                                  has such a limit; bytes. 0, as it is at first: as the file says */
};

/* The options of a protocol as the file says, on top of those its service had: to be read or changed by `override`.
 *
 * returns  of the protocol's own type; zero is still the default in it. NULL: no service of the server and of
 *          `services` speaks it, or it has no options
 * thread   of `override`, while it runs */
void *cw_config_protocol_options(struct cw_config *config, const struct cw_protocol *protocol);

/* How a file is read. Zero means the default in every member. */
struct cw_config_options {
    /* What a listener may name as its `protocol` beside the server's own, by the protocol's name; their protocols' own
     * sections may stand in the file. */
    const struct cw_service *services;
    size_t service_count; /* at most 32 */

    /* Sections that other programs read from the same file ("http, websocket"): not looked into. At the top or in
     * `server`. */
    const char *ignored;

    /* Called behind each reading, and before anything is checked against something else: what the command line says goes
     * over what the file says. Runs on the thread of the call, and for a reload on a helper thread. */
    void (*override)(struct cw_config *config, void *user);
    void *user;

    uint64_t file_max_bytes; /* 0: 1048576 */
    uint64_t depth_max;      /* collections in collections. 0: 16 */
};

/* Reads a file and sets the server up by it: options, listeners, TLS, and the process's log. As all set-up calls it keeps
 * the first error: `server.yaml:12: server.tcp.keep_alive_probes: 500 is not allowed; 1 to 127`. The server
 * remembers the file: cw_server_reload, and so SIGHUP, reads it again.
 *
 * What the program has set before with cw_server_configure and its protocol's own call is the default of keys that the file
 * does not name; so call it behind them. An unknown key, a value of the wrong kind or out of range, a file that cannot be
 * read: nothing is set. A value may name variables of the environment (`${NAME}`). Relative paths begin at the file's
 * folder.
 *
 * options  copied, with the services, their options and hooks. NULL: the defaults
 * returns  0; CW_ECONFIG; CW_ENOPATH, CW_EACCESS, CW_ETOOBIG; CW_ENOMEM; CW_ESTATE: the server runs, or has one;
 *          CW_EINVAL: no path, or a service without a protocol
 * thread   before it runs */
int cw_config_load(struct cw_server *server, const char *path,
                   const struct cw_config_options *options);

/* ---- for those who write a protocol ---- */

/* What a key of a protocol's section takes, and so what it is in the options struct. */
enum cw_setting_kind {
    CW_SETTING_COUNT,      /* a number; uint64_t, as the next two */
    CW_SETTING_BYTES,      /* bytes, or with K, M, G */
    CW_SETTING_DURATION,   /* seconds, or with ms, s, m, h; milliseconds in the struct */
    CW_SETTING_SWITCH,     /* true, false; bool */
    CW_SETTING_SWITCH_OFF, /* true, false; a bool that is the opposite of the key */
    CW_SETTING_CHOICE,     /* one of `choices`; an enum, its index */
    CW_SETTING_TEXT,       /* a text, not empty; const char *, good as long as the server */
};

/* One key. A protocol whose options may stand in a file points `settings` to an array of them that ends with a NULL key.
 * A key `max_frame_size` is also set by `server.max_frame_size`. */
struct cw_setting {
    const char *key; /* of the section that has the protocol's name: `max_frame_size` */
    enum cw_setting_kind kind;
    size_t offset; /* in the options struct */
    uint64_t least;
    uint64_t most;              /* 0: the struct's own check decides */
    const char *const *choices; /* NULL at the end */
    bool may_be_off;            /* `off` stands for CW_OFF, */
    bool may_be_unlimited;      /* and `unlimited` for CW_NO_LIMIT, in place of a number */
};

#ifdef __cplusplus
}
#endif

#endif

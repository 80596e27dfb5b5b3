/* The inside of a server. */
#ifndef CW_SERVER_IMPL_H
#define CW_SERVER_IMPL_H

#include "loop_impl.h"
#include "networks.h"
#include "service_impl.h"

#include <causeway/middleware.h>
#include <causeway/server.h>

struct cw_config;
struct cw_config_source;
struct cw_ip_table;
struct cw_room_registry;
struct cw_tls;

enum { CW_SERVER_GUESTS_MAX = 8 }; /* protocols that no listener names */
enum { CW_WHERE_TEXT_MAX = 128 };  /* `unix:` and the longest path */

/* One call of cw_server_listen. */
struct cw_listen_entry {
    struct cw_listen_entry *next;
    struct cw_listen_options options; /* texts are copies */
    bool own_keepalive;               /* options.tcp.keepalive_ms is not the server's */
    struct cw_origin *origin;         /* made when the server runs; each listener holds its own */
    struct cw_origin *next_origin;    /* while an update is being made */
    struct cw_tls *tls;               /* made when the server runs. NULL: plain */
    atomic_size_t peers;              /* of its datagram sockets, all workers together */
    unsigned from_file; /* which listener of the configuration file, from 1. 0: the program's own */
};

/* Numbers that may change while loops read them: cw_live. */
struct cw_live_options {
    atomic_uint_least64_t conns_max;
    atomic_uint_least64_t conns_per_ip_max;
    atomic_uint_least64_t accepts_per_turn;
};

enum cw_server_phase { CW_SERVER_NEW, CW_SERVER_RUNNING, CW_SERVER_STOPPED };

struct cw_server {
    atomic_size_t holds;
    const struct cw_protocol *protocol;
    struct cw_hooks hooks;
    void *user;
    void *protocol_options;         /* NULL: the defaults */
    struct cw_server_options given; /* as the last cw_server_configure said; its texts are copies */
    struct cw_server_options options; /* the defaults filled in. While it runs: those of the start */
    struct cw_live_options live;
    pthread_mutex_t
        update_lock; /* of the next, and while it runs of the entries, their origins and lists of listeners */
    struct cw_server_options current; /* filled in */
    atomic_uint updates; /* so many; a listener that has seen fewer takes what is new */
    struct cw_listen_entry *listens;
    struct cw_listen_entry **listens_tail;
    struct cw_conn_middleware *middleware;
    struct cw_conn_middleware **middleware_tail;
    struct cw_conn_middleware *datagram_middleware; /* the first with on_datagram. NULL: none has it */
    struct cw_server_part_entry *parts;             /* parts.c */
    uint64_t message_max;                           /* of services behind others. 0: none */
    const struct cw_protocol *guests[CW_SERVER_GUESTS_MAX]; /* cw_server_expect_protocol */
    size_t guest_count;
    int first_error;
    char error[2 * CW_REPORT_TEXT_MAX];

    pthread_mutex_t lock; /* of the next four */
    unsigned stops;
    bool taking_stops;
    atomic_bool stopping; /* a stop has been asked for; read on every thread */
    bool reloading;
    bool reload_again; /* asked for meanwhile */
    atomic_int phase;  /* enum cw_server_phase; loops are there while it is not NEW */
    struct cw_loop **loops;
    unsigned workers;
    struct cw_service_ref *service; /* of its own: where server-wide hooks go */
    struct cw_ip_table *addresses;
    struct cw_networks trusted; /* trusted_proxies */
    atomic_size_t conns_open;
    struct cw_work_pool *work;
    struct cw_work_pool *handshakes; /* NULL: the loops do them */
    struct cw_room_registry *rooms;
    struct cw_config_source *config_source;
    struct cw_signals *signals; /* of cw_server_main; NULL: nobody's */
    struct cw_config *config;   /* of the start. NULL: no file */
    struct cw_config *reread;   /* of the last reload. NULL: there was none */
};

/* Keeps the first error; returns its code. */
int cw_server_fail(struct cw_server *server, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* 0, or CW_ESTATE, kept: the server runs already or has run. NULL: CW_ENOMEM. */
int cw_server_check_new(struct cw_server *server, const char *call);

/* Checks and fills in. 0, or CW_EINVAL with the complaint worded. */
int cw_options_fill(struct cw_server_options *options, struct cw_complaint *complaint);

/* The limits of connections that these options make, for a service. */
void cw_limits_fill(struct cw_limits *limits, const struct cw_server_options *options,
                    const struct cw_service_ref *service, bool out_max_given);

/* A message of so many bytes must fit into the queue under default options. */
void cw_limits_expect(struct cw_limits *limits, uint64_t message, bool out_max_given);

/* The loop a connection id or worker number belongs to. 0, CW_ENOTFOUND or CW_ESTOPPED. thread: any */
int cw_server_loop_of(struct cw_server *server, uint64_t target, struct cw_loop **loop);

static inline uint64_t cw_live(const atomic_uint_least64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

/* ---- server_update.c ---- */

/* Names, parted by commas. What does not fit is left out. */
struct cw_name_list {
    char text[400];
};

void cw_name_list_add(struct cw_name_list *list, const char *name);

/* What an update has come to. */
struct cw_changes {
    struct cw_name_list done;
    struct cw_name_list refused; /* they need a new start */
};

/* cw_server_update without its words: adds to the names. 0, CW_EINVAL or CW_ENOMEM. thread: any, while it runs */
int cw_server_change(struct cw_server *server, const struct cw_server_options *options,
                     struct cw_changes *changes);

/* The soft limit on descriptors follows conns_max as far as it may. */
void cw_server_raise_descriptors(const struct cw_server *server, uint64_t conns_max);

/* The options that the loops read from here on. */
void cw_server_publish(struct cw_server *server, const struct cw_server_options *filled);

/* The loop takes what updates have brought since it looked last; on its thread. */
void cw_server_refresh(struct cw_loop *loop);

/* ---- server_listen.c ---- */

/* A copy, or NULL for NULL; *failed is set when memory runs out. */
void *cw_copy(const void *memory, size_t size, bool *failed);

/* Makes the origin of one entry, with the limits of the server's options, and its TLS. 0, or the error, kept. */
int cw_listen_prepare(struct cw_server *server, struct cw_listen_entry *entry);
void cw_listen_free(struct cw_listen_entry *entry);

/* ---- listener.c, listener_open.c ---- */

/* `0.0.0.0:7443`, `unix:/run/x`, `descriptor 3`. address: the real one, or NULL. text: CW_WHERE_TEXT_MAX bytes. */
void cw_listen_where(const struct cw_listen_options *options, const struct cw_address *address,
                     char *text, size_t cap);

/* The real address of an entry on this loop; NULL: it does not listen, or no more. */
const struct cw_address *cw_listener_address(const struct cw_loop *loop,
                                             const struct cw_listen_entry *entry);

/* Binds all listeners of the server on all its loops. 0, or the first error, kept. */
int cw_listeners_open(struct cw_server *server);

/* Starts accepting; on the loop's thread. */
int cw_listeners_start(struct cw_loop *loop);

/* A loop stops: nothing new is taken. Datagram sockets stay, for their peers and because closing one moves the peers of the
 * others. */
void cw_listeners_close(struct cw_loop *loop);

/* All loops have ended: the rest; under the update lock. */
void cw_listeners_free(struct cw_loop *loop);

/* Counts one more connection: 0, or why it may not be. Undone by cw_dismiss. */
int cw_admit(struct cw_loop *loop, const struct cw_address *peer, bool exempt, uint64_t *limit);
void cw_dismiss(struct cw_loop *loop, const struct cw_address *peer, bool exempt);

/* Counts one that cw_admit, or want of memory, has refused. */
void cw_count_refused(struct cw_loop *loop, int code);

/* The listeners take the origins and TCP options of their entries; under the update lock, on the loop's thread. */
void cw_listeners_refresh(struct cw_loop *loop);

/* Descriptors or places have become free. */
void cw_listeners_wake(struct cw_loop *loop);

/* Tells on_listening of every listener. */
void cw_listeners_tell(struct cw_server *server);

/* ---- middleware.c ---- */

int cw_middleware_accept(struct cw_server *server, struct cw_loop *loop,
                         const struct cw_address *peer, uint64_t *limit);
void cw_middleware_gone(struct cw_server *server, struct cw_loop *loop,
                        const struct cw_address *peer);

/* Asks about a datagram of a listener. 0, or the enum cw_error for which it is to be dropped. */
int cw_middleware_ask_datagram(struct cw_server *server, struct cw_loop *loop,
                               const struct cw_datagram *from, size_t len);

static inline int cw_middleware_datagram(struct cw_server *server, struct cw_loop *loop,
                                         const struct cw_datagram *from, size_t len)
{
    return server->datagram_middleware ? cw_middleware_ask_datagram(server, loop, from, len) : 0;
}

/* ---- ends ---- */

/* A connection is gone: give back what it counted for. */
void cw_conn_ended(struct cw_conn *conn);

#endif

/* Outgoing connections as the core needs them.
 *
 * ```text
 * client  (connector.c)  tries again, owns the attempt and then the connection
 *   dial  (dial.c)       one attempt: all addresses of one target, until a socket is connected
 *     lookup (resolver.c)  a name, one family
 * pool    (pool.c)       watches clients that do not try again by themselves
 * ``` */
#ifndef CW_CONNECTOR_IMPL_H
#define CW_CONNECTOR_IMPL_H

#include "address_impl.h"
#include "service_impl.h"

#include <causeway/client.h>

struct cw_client;
struct cw_dial;
struct cw_lookup;

enum { CW_TARGET_TEXT_MAX = 272 };

/* Where to connect, how, and what is spoken there: checked, filled in, counted. One loop's. */
struct cw_target {
    size_t holds;
    struct cw_service_ref *service;
    struct cw_tls *tls; /* NULL: plain */
    struct cw_limits limits;
    struct cw_connect_options
        options;      /* filled in; local_host is NULL, texts of `datagram` are its own */
    bool is_datagram; /* its protocol is */
    struct cw_endpoint endpoint;
    struct cw_address numeric;     /* the endpoint's, when it is no name */
    struct cw_address local;       /* to connect from */
    char text[CW_TARGET_TEXT_MAX]; /* `host:port`, `unix:/path` */
};

/* NULL: *error is CW_ENOMEM or CW_EINVAL; the latter has been logged. */
struct cw_target *cw_target_new(struct cw_service service, const char *address,
                                const struct cw_connect_options *options, int *error);
struct cw_target *cw_target_hold(struct cw_target *target);
void cw_target_drop(struct cw_target *target);

/* ---- resolver.c ---- */

enum { CW_LOOKUP_MAX = 16 };

/* The answer about one family. */
struct cw_lookup_answer {
    enum cw_family family;
    struct cw_address addresses[CW_LOOKUP_MAX]; /* without ports */
    size_t count;
    int code;        /* why there are none */
    const char *why; /* … in words */
};

/* Told once. */
typedef void (*cw_lookup_fn)(void *arg, const struct cw_lookup_answer *answer);

/* Asks for the addresses of one family. fn may be called from inside.
 *
 * returns NULL: fn has been called */
struct cw_lookup *cw_lookup_start(struct cw_loop *loop, const char *host, enum cw_family family,
                                  cw_lookup_fn fn, void *arg);

/* fn will not be called. NULL is allowed. */
void cw_lookup_cancel(struct cw_lookup *lookup);

/* Reads other files than the system's; before the first lookup. 0 or CW_ENOMEM. */
int cw_resolver_open(struct cw_loop *loop, const char *resolv_conf, const char *hosts);
void cw_resolver_free(struct cw_loop *loop);

/* ---- dial.c ---- */

/* How an attempt ended. */
struct cw_dial_result {
    int fd; /* -1: it failed */
    int code;
    int os_errno;
    struct cw_address address;     /* CW_FAMILY_NONE: it did not come to one */
    char text[CW_REPORT_TEXT_MAX]; /* why it failed, innermost steps only */
};

/* Told once; the attempt is gone. The descriptor is the callee's. */
typedef void (*cw_dial_fn)(void *arg, struct cw_dial_result *result);

/* Makes an attempt. NULL: no memory.
 *
 * behind  of several addresses it begins with the one after this. CW_FAMILY_NONE: with the first */
struct cw_dial *cw_dial_new(struct cw_loop *loop, struct cw_target *target,
                            const struct cw_address *behind, cw_dial_fn fn, void *arg);

/* Begins it. fn may be called from inside. */
void cw_dial_go(struct cw_dial *dial);

/* Gives it up; fn is not called. NULL is allowed. */
void cw_dial_cancel(struct cw_dial *dial);

/* ---- connector.c ---- */

/* Told what becomes of a client, never from inside the calls below. Must not call hooks. */
struct cw_client_watcher {
    void (*opened)(struct cw_client_watcher *watcher, struct cw_conn *conn);

    /* The client is gone. code: why its attempt failed or its connection ended, negative. */
    void (*ended)(struct cw_client_watcher *watcher, int code);
};

/* A client that does not try again by itself, for somebody who watches it. NULL: no memory. */
struct cw_client *cw_client_watched(struct cw_loop *loop, struct cw_target *target,
                                    struct cw_client_watcher *watcher);

/* Ends a watched client without a word to its watcher; its connection stays. */
void cw_client_forget(struct cw_client *client);

/* Who watches the client of this connection; NULL: nobody. */
struct cw_client_watcher *cw_conn_watcher(const struct cw_conn *conn);

/* The pause after so many failures in a row, with its jitter. */
uint64_t cw_backoff_ms(const struct cw_connect_options *options, uint64_t failures);

/* The loop stops: no client tries again; those that are connecting give up. */
void cw_clients_stop_all(struct cw_loop *loop);
void cw_clients_free(struct cw_loop *loop);

/* A client's connection is open: on_connection follows. */
void cw_client_conn_opened(struct cw_conn *conn);

/* The end of a client's connection has been told: connect again, or forget the client. */
void cw_client_conn_ended(struct cw_conn *conn);

/* Where a client is connecting to whose connection has been made but is not open yet: TLS, or its protocol, has not come
 * to its end. NULL: it is open, or no client's. */
const char *cw_client_connecting_to(const struct cw_conn *conn);

#endif

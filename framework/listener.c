/* Listeners: accept with a budget per turn, rest when descriptors run out, end. */
#include "address_impl.h"
#include "conn_impl.h"
#include "ip_table.h"
#include "listener_impl.h"
#include "report.h"
#include "server_impl.h"
#include "tcp_options.h"
#include "timer_impl.h"
#include "tls/tls.h"

#include <causeway/log.h>

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { REST_MS = 100 };

/* ---- on a loop ---- */

/* The listener's socket of datagrams. False: no memory. */
static bool add_datagrams(struct cw_listener *listener)
{
    struct cw_datagram_options options = listener->entry->options.datagram;
    struct cw_datagram_setup setup = {.loop = listener->loop,
                                      .origin = listener->origin,
                                      .entry = listener->entry,
                                      .options = &options,
                                      .fd = listener->fd};

    cw_datagram_options_fill(&options);
    listener->datagrams = cw_datagram_socket_new(&setup);
    return listener->datagrams != NULL;
}

struct cw_listener *cw_listener_add(struct cw_loop *loop, struct cw_listen_entry *entry, int fd)
{
    struct cw_listener *listener = cw_alloc_zero(sizeof *listener);
    struct cw_listener **link = &loop->listeners;
    struct sockaddr_storage system = {0};
    socklen_t len = sizeof system;

    if (!listener) {
        close(fd);
        return NULL;
    }
    listener->loop = loop;
    listener->entry = entry;
    listener->origin = cw_origin_hold(entry->origin);
    listener->fd = fd;
    if (getsockname(fd, (struct sockaddr *)&system, &len) == 0) {
        cw_address_from_sockaddr((const struct sockaddr *)&system, len, &listener->address);
    }
    if (cw_listener_is_of_datagrams(entry) && !add_datagrams(listener)) {
        close(fd);
        cw_origin_drop(listener->origin);
        cw_release(listener);
        return NULL;
    }
    while (*link) {
        link = &(*link)->next;
    }
    *link = listener;
    return listener;
}

/* ---- words ---- */

/* `unix:PATH`; an inherited socket is asked for its path, an abstract one's begins with `@`. */
static void print_unix(const struct cw_listener *listener, char *text, size_t cap)
{
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    socklen_t len = sizeof path;
    size_t head = offsetof(struct sockaddr_un, sun_path);

    if (getsockname(listener->fd, (struct sockaddr *)&path, &len) < 0 || len <= head) {
        len = (socklen_t)head;
    } else if (path.sun_path[0] == '\0') {
        path.sun_path[0] = '@';
    }
    snprintf(text, cap, "unix:%.*s", (int)(len - head), path.sun_path);
}

static void print_listener(const struct cw_listener *listener, char *text, size_t cap)
{
    char where[CW_ADDRESS_TEXT_MAX];

    if (listener->address.family == CW_UNIX) {
        print_unix(listener, text, cap);
    } else {
        snprintf(text, cap, "%s://%s", cw_origin_scheme(listener->origin),
                 cw_address_print(&listener->address, where));
    }
}

const struct cw_address *cw_listener_address(const struct cw_loop *loop,
                                             const struct cw_listen_entry *entry)
{
    const struct cw_listener *listener = loop->listeners;

    while (listener && listener->entry != entry) {
        listener = listener->next;
    }
    return listener ? &listener->address : NULL;
}

void cw_listeners_tell(struct cw_server *server)
{
    for (struct cw_listener *l = server->loops[0]->listeners; l; l = l->next) {
        char text[sizeof(struct sockaddr_un) + 32];

        print_listener(l, text, sizeof text);
        if (server->hooks.on_listening) {
            server->hooks.on_listening(server, &l->address, text, server->user);
        } else {
            cw_log(CW_LOG_INFO, 0, "listening on %s", text);
        }
    }
}

/* ---- accepting ---- */

void cw_count_refused(struct cw_loop *loop, int code)
{
    struct cw_loop_counters *counters = &loop->counters;

    if (code == CW_ECONNSMAX) {
        cw_count(&counters->refused_conns_max, 1);
    } else if (code == CW_EADDRESSMAX) {
        cw_count(&counters->refused_conns_per_ip, 1);
    } else {
        cw_count(&counters->refused_middleware, 1);
    }
}

static void refuse(struct cw_listener *listener, int fd, int code, const struct cw_address *peer,
                   uint64_t limit)
{
    cw_count_refused(listener->loop, code);
    close(fd); /* behind the count: who sees the end finds it counted */
    cw_report_refused(listener->loop, listener->origin->service, code, peer, limit);
}

/* Counts one more connection of an address, unless it is exempt. 0, or why it may not be. */
static int admit_address(struct cw_server *server, const struct cw_address *peer, bool exempt,
                         uint64_t *limit)
{
    uint64_t max = cw_live(&server->live.conns_per_ip_max);
    int error = exempt ? CW_OK : cw_ip_table_enter(server->addresses, peer, max);

    if (error < 0) {
        *limit = error == CW_EADDRESSMAX ? max : 0;
    }
    return error;
}

int cw_admit(struct cw_loop *loop, const struct cw_address *peer, bool exempt, uint64_t *limit)
{
    struct cw_server *server = loop->server;
    uint64_t conns_max = cw_live(&server->live.conns_max);
    int error;

    if (atomic_fetch_add(&server->conns_open, 1) >= conns_max) {
        atomic_fetch_sub(&server->conns_open, 1);
        *limit = conns_max;
        return CW_ECONNSMAX;
    }
    error = cw_middleware_accept(server, loop, peer, limit);
    if (error < 0) {
        atomic_fetch_sub(&server->conns_open, 1);
        return error;
    }
    error = admit_address(server, peer, exempt, limit);
    if (error < 0) {
        cw_middleware_gone(server, loop, peer);
        atomic_fetch_sub(&server->conns_open, 1);
    }
    return error;
}

void cw_dismiss(struct cw_loop *loop, const struct cw_address *peer, bool exempt)
{
    if (!exempt) {
        cw_ip_table_leave(loop->server->addresses, peer);
    }
    cw_middleware_gone(loop->server, loop, peer);
    atomic_fetch_sub(&loop->server->conns_open, 1);
}

static void trace(const struct cw_listener *listener, const struct cw_conn *conn)
{
    char text[sizeof(struct sockaddr_un) + 32];

    if (cw_log_takes(CW_LOG_DEBUG)) {
        print_listener(listener, text, sizeof text);
        cw_trace_accepted(conn, text);
    }
}

static void take(struct cw_listener *listener, int fd, const struct cw_address *peer)
{
    struct cw_loop *loop = listener->loop;
    bool exempt = cw_networks_hold(&loop->server->trusted, peer);
    struct cw_conn *conn;
    uint64_t limit = 0;
    int error = cw_admit(loop, peer, exempt, &limit);

    if (error == CW_ECONNSMAX && cw_datagrams_make_room(loop)) {
        error = cw_admit(loop, peer, exempt, &limit);
    }
    if (error < 0) {
        refuse(listener, fd, error, peer, limit);
        return;
    }
    conn = cw_conn_with_stream(loop, listener->origin, fd, peer);
    if (!conn) {
        cw_dismiss(loop, peer, exempt);
        refuse(listener, fd, CW_ENOMEM, peer, 0);
        return;
    }
    conn->flags |= exempt ? CW_COUNTED | CW_EXEMPT : CW_COUNTED;
    cw_count(&loop->counters.conns_total, 1);
    trace(listener, conn);
    cw_conn_start(conn);
}

static void rest(struct cw_listener *listener, int os_errno)
{
    struct timeval moment = cw_timeval(REST_MS);
    struct cw_loop *loop = listener->loop;

    cw_count(&loop->counters.refused_descriptors, 1);
    event_del(listener->event);
    listener->resting = true;
    event_add(listener->rest, &moment);
    cw_report_refused(loop, listener->origin->service, cw_error_from_errno(os_errno),
                      &listener->address, 0);
}

static void wake(struct cw_listener *listener)
{
    if (listener->resting) { /* never one of datagrams */
        listener->resting = false;
        event_del(listener->rest);
        event_add(listener->event, NULL);
    }
}

static void on_rest_over(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    wake(arg);
}

void cw_listeners_wake(struct cw_loop *loop)
{
    for (struct cw_listener *listener = loop->listeners; listener; listener = listener->next) {
        wake(listener);
    }
}

static void on_accept(evutil_socket_t ignored, short events, void *arg)
{
    struct cw_listener *listener = arg;
    uint64_t budget = cw_live(&listener->loop->server->live.accepts_per_turn);

    (void)ignored;
    (void)events;
    cw_loop_wake(listener->loop);
    cw_server_refresh(listener->loop);
    while (budget-- > 0) {
        struct sockaddr_storage system;
        socklen_t len = sizeof system;
        struct cw_address peer;
        int fd =
            accept4(listener->fd, (struct sockaddr *)&system, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                rest(listener, errno);
                return;
            }
            if (errno == EAGAIN) {
                return;
            }
            continue; /* a peer that has gone again already, or a signal */
        }
        cw_address_from_sockaddr((const struct sockaddr *)&system, len, &peer);
        take(listener, fd, &peer);
    }
}

void cw_listeners_refresh(struct cw_loop *loop)
{
    for (struct cw_listener *listener = loop->listeners; listener; listener = listener->next) {
        struct cw_listen_entry *entry = listener->entry;

        if (listener->origin != entry->origin) {
            cw_origin_drop(listener->origin);
            listener->origin = cw_origin_hold(entry->origin);
        }
        if (listener->datagrams) {
            cw_datagram_socket_set_origin(listener->datagrams, listener->origin);
        } else if (listener->address.family != CW_UNIX &&
                   cw_tcp_options_apply(listener->fd, &entry->options.tcp, true) < 0) {
            cw_log(CW_LOG_WARNING, 0, "update: keepalive_ms: the system does not take it");
        }
    }
}

int cw_listeners_start(struct cw_loop *loop)
{
    for (struct cw_listener *listener = loop->listeners; listener; listener = listener->next) {
        if (listener->datagrams) {
            if (cw_datagram_socket_start(listener->datagrams) < 0) {
                return CW_ENOMEM;
            }
            continue;
        }
        listener->event =
            event_new(loop->base, listener->fd, EV_READ | EV_PERSIST, on_accept, listener);
        listener->rest = evtimer_new(loop->base, on_rest_over, listener);
        if (!listener->event || !listener->rest || event_add(listener->event, NULL) < 0) {
            return CW_ENOMEM;
        }
    }
    return CW_OK;
}

static void remove_path(const struct cw_listener *listener)
{
    const char *path = listener->entry->options.unix_path;
    struct stat info;

    /* Only if it is still ours: another process may have replaced it. */
    if (listener->owns_path && lstat(path, &info) == 0 && info.st_dev == listener->path_device &&
        info.st_ino == listener->path_inode) {
        unlink(path);
    }
}

static void free_listener(struct cw_listener *listener)
{
    remove_path(listener);
    if (listener->event) {
        event_free(listener->event);
    }
    if (listener->rest) {
        event_free(listener->rest);
    }
    if (listener->datagrams) {
        cw_datagram_socket_free(listener->datagrams);
    } else {
        close(listener->fd);
    }
    cw_origin_drop(listener->origin);
    cw_release(listener);
}

static void close_streams(struct cw_loop *loop)
{
    struct cw_listener **link = &loop->listeners;

    while (*link) {
        struct cw_listener *listener = *link;

        if (listener->datagrams) {
            cw_datagram_socket_drain(listener->datagrams);
            link = &listener->next;
        } else {
            *link = listener->next;
            free_listener(listener);
        }
    }
}

/* Under the lock, as other threads look for the sockets of datagrams among them. */
void cw_listeners_close(struct cw_loop *loop)
{
    if (loop->server) {
        pthread_mutex_lock(&loop->server->update_lock);
        close_streams(loop);
        pthread_mutex_unlock(&loop->server->update_lock);
    }
}

void cw_listeners_free(struct cw_loop *loop)
{
    close_streams(loop);
    while (loop->listeners) {
        struct cw_listener *listener = loop->listeners;

        loop->listeners = listener->next;
        free_listener(listener);
    }
}

int cw_datagram_fd_of(struct cw_loop *loop, const struct cw_address *listener, size_t n)
{
    for (const struct cw_listener *l = loop->listeners; l; l = l->next) {
        bool is_meant =
            l->datagrams && (!listener || (cw_address_same_host(&l->address, listener) &&
                                           l->address.port == listener->port));
        if (is_meant && n-- == 0) {
            return l->fd;
        }
    }
    return -1;
}

/* Listeners: bind, accept with a budget per turn, rest when descriptors run out. */
#include "address_impl.h"
#include "conn_impl.h"
#include "ip_table.h"
#include "report.h"
#include "server_impl.h"
#include "tcp_options.h"
#include "timer_impl.h"
#include "tls/tls.h"

#include <causeway/log.h>

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { REST_MS = 100, BACKLOG = 511 };

/* One socket on one loop. */
struct cw_listener {
    struct cw_listener *next;
    struct cw_loop *loop;
    struct cw_listen_entry *entry;
    struct cw_origin *origin; /* of the connections from here on */
    int fd;
    struct cw_datagram_socket *datagrams; /* in the place of the next three; owns fd */
    struct event *event;
    struct event *rest;
    bool resting;
    bool owns_path;
    dev_t path_device;
    ino_t path_inode;
    struct cw_address address;
};

/* ---- words ---- */

void cw_listen_where(const struct cw_listen_options *options, const struct cw_address *address,
                     char *text, size_t cap)
{
    if (options->unix_path) {
        snprintf(text, cap, "unix:%s", options->unix_path);
    } else if (address && address->family != CW_FAMILY_NONE) {
        char printed[CW_ADDRESS_TEXT_MAX];
        snprintf(text, cap, "%s", cw_address_print(address, printed));
    } else if (options->fd > 0) {
        snprintf(text, cap, "descriptor %d", options->fd);
    } else {
        snprintf(text, cap, "%s:%u", options->host ? options->host : "*", options->port);
    }
}

static int fail(struct cw_server *server, const struct cw_listen_entry *entry,
                const struct cw_address *address, const char *step, int os_errno)
{
    int code = cw_error_from_errno(os_errno);
    char where[CW_WHERE_TEXT_MAX];

    cw_listen_where(&entry->options, address, where, sizeof where);
    return cw_server_fail(server, code, "listen %s: %s: %s", where, step,
                          code == CW_EOS || code == CW_EINVAL ? strerror(os_errno)
                                                              : cw_strerror(code));
}

/* ---- sockets ---- */

struct binding {
    struct cw_server *server;
    struct cw_listen_entry *entry;
    struct sockaddr_storage system;
    socklen_t len;
    bool dual; /* IPv6 that takes IPv4 too */
};

static const struct cw_address *binding_address(const struct binding *binding,
                                                struct cw_address *address)
{
    return cw_address_from_sockaddr((const struct sockaddr *)&binding->system, binding->len,
                                    address) == 0
               ? address
               : NULL;
}

static int binding_fail(const struct binding *binding, const char *step)
{
    struct cw_address address;

    return fail(binding->server, binding->entry, binding_address(binding, &address), step, errno);
}

/* The same for options of datagrams, which have codes and words of their own. */
static int fail_datagram(struct cw_server *server, const struct cw_listen_entry *entry,
                         const struct cw_address *address, const char *step, int code)
{
    const char *why = cw_datagram_options_why(code, errno);
    char where[CW_WHERE_TEXT_MAX];

    cw_listen_where(&entry->options, address, where, sizeof where);
    return cw_server_fail(server, code, "listen %s: %s: %s", where, step, why);
}

static void set_flag(int fd, int level, int name, int value)
{
    setsockopt(fd, level, name, &value, sizeof value);
}

static bool is_of_datagrams(const struct cw_listen_entry *entry)
{
    return entry->origin->service->protocol->transport == CW_DATAGRAM;
}

/* Several programs of a machine may be members of a group at one port. Others must not share a port of datagrams, which this
 * flag would let them do in silence. */
static bool is_reused(const struct binding *binding)
{
    struct cw_address address;

    if (!is_of_datagrams(binding->entry)) {
        return true;
    }
    return binding->entry->options.datagram.group_count > 0 ||
           (binding_address(binding, &address) && cw_address_is_multicast(&address));
}

/* What kind it is decides about the rest. */
static int set_up_socket(const struct binding *binding, int fd)
{
    const struct cw_listen_options *options = &binding->entry->options;
    const char *step = "";
    struct cw_address address;
    int error;

    if (is_of_datagrams(binding->entry)) {
        error = cw_datagram_options_apply(fd, binding->system.ss_family, &options->datagram, &step);
        return error < 0 ? fail_datagram(binding->server, binding->entry,
                                         binding_address(binding, &address), step, error)
                         : CW_OK;
    }
    error = cw_tcp_options_apply(fd, &options->tcp, true);
    if (error < 0) {
        return binding_fail(binding, "tcp options");
    }
    if (listen(fd, options->backlog ? (int)options->backlog : BACKLOG) < 0) {
        return binding_fail(binding, "listen");
    }
    return CW_OK;
}

/* The first socket of a group is bound without SO_REUSEPORT, which would join another process's group in silence;
 * the flag is set behind bind, so that the loops' other sockets may join this one. */
static int bind_socket(const struct binding *binding, bool first, bool shared, int *fd)
{
    int kind = is_of_datagrams(binding->entry) ? SOCK_DGRAM : SOCK_STREAM;
    int family = binding->system.ss_family;

    *fd = socket(family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0) {
        return binding_fail(binding, "socket");
    }
    if (is_reused(binding)) {
        set_flag(*fd, SOL_SOCKET, SO_REUSEADDR, 1);
    }
    if (family == AF_INET6) {
        set_flag(*fd, IPPROTO_IPV6, IPV6_V6ONLY, binding->dual ? 0 : 1);
    }
    if (!first) {
        set_flag(*fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    if (bind(*fd, (const struct sockaddr *)&binding->system, binding->len) < 0) {
        return binding_fail(binding, "bind");
    }
    if (first && shared) {
        set_flag(*fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    return set_up_socket(binding, *fd);
}

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

static struct cw_listener *add_listener(struct cw_loop *loop, struct cw_listen_entry *entry, int fd)
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
    if (is_of_datagrams(entry) && !add_datagrams(listener)) {
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

static void keep_port(struct binding *binding, const struct cw_listener *listener)
{
    if (binding->system.ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)&binding->system)->sin6_port = htons(listener->address.port);
    } else {
        ((struct sockaddr_in *)&binding->system)->sin_port = htons(listener->address.port);
    }
}

/* How many loops have a socket of it. The kernel chooses one by the two addresses: it could be another's for a peer that moves. */
static unsigned sockets_of(const struct binding *binding)
{
    const struct cw_listen_entry *entry = binding->entry;
    struct cw_address address = {0};
    bool one = is_of_datagrams(entry) &&
               ((entry->tls && cw_tls_has_moving_peers(entry->tls)) ||
                cw_datagram_options_want_one(&entry->options.datagram,
                                             binding_address(binding, &address)));

    return one ? 1 : binding->server->workers;
}

/* One socket for each loop. */
static int open_group(struct binding *binding, uint16_t *port)
{
    struct cw_server *server = binding->server;
    unsigned sockets = sockets_of(binding);

    for (unsigned i = 0; i < sockets; i++) {
        struct cw_listener *listener;
        int fd = -1;
        int error = bind_socket(binding, i == 0, sockets > 1, &fd);

        if (error < 0) {
            if (fd >= 0) {
                close(fd);
            }
            return error;
        }
        listener = add_listener(server->loops[i], binding->entry, fd);
        if (!listener) {
            return cw_server_fail(server, CW_ENOMEM, "listen: %s", cw_strerror(CW_ENOMEM));
        }
        *port = listener->address.port;
        keep_port(binding, listener);
    }
    return CW_OK;
}

/* Every address: IPv6 that takes IPv4 too, or IPv4 alone where the machine has no IPv6. */
static int open_any(struct binding *binding)
{
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6,
                                .sin6_port = htons(binding->entry->options.port)};
    struct sockaddr_in any4 = {.sin_family = AF_INET,
                               .sin_port = htons(binding->entry->options.port)};
    int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint16_t port;
    bool has_ipv6 = probe >= 0 &&
                    bind(probe, (struct sockaddr *)&(struct sockaddr_in6){.sin6_family = AF_INET6},
                         sizeof any6) == 0;

    if (probe >= 0) {
        close(probe);
    }
    if (has_ipv6 || binding->entry->options.ipv6_only) {
        memcpy(&binding->system, &any6, sizeof any6);
        binding->len = sizeof any6;
        binding->dual = !binding->entry->options.ipv6_only;
    } else {
        memcpy(&binding->system, &any4, sizeof any4);
        binding->len = sizeof any4;
    }
    return open_group(binding, &port);
}

static int open_host(struct binding *binding)
{
    const struct cw_listen_options *options = &binding->entry->options;
    struct addrinfo hints = {.ai_socktype =
                                 is_of_datagrams(binding->entry) ? SOCK_DGRAM : SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    uint16_t port = options->port;
    char service[8];
    int error;

    snprintf(service, sizeof service, "%u", options->port);
    error = getaddrinfo(options->host, service, &hints, &found);
    if (error != 0) {
        return cw_server_fail(binding->server, CW_ERESOLVE, "listen %s:%u: host: %s", options->host,
                              options->port, gai_strerror(error));
    }
    error = CW_OK;
    for (struct addrinfo *each = found; each && error == CW_OK; each = each->ai_next) {
        memcpy(&binding->system, each->ai_addr, each->ai_addrlen);
        binding->len = each->ai_addrlen;
        binding->dual =
            each->ai_family == AF_INET6 && !options->ipv6_only &&
            IN6_IS_ADDR_UNSPECIFIED(&((struct sockaddr_in6 *)&binding->system)->sin6_addr);
        if (options->port == 0 && each != found) {
            keep_port(binding, &(struct cw_listener){.address = {.port = port}});
        }
        error = open_group(binding, &port);
    }
    freeaddrinfo(found);
    return error;
}

/* A socket that nobody listens on any more is in the way; anything else at that path is left alone. */
static int clear_path(struct cw_server *server, struct cw_listen_entry *entry,
                      const struct sockaddr_un *path)
{
    struct stat info;
    int probe;
    int connected;

    if (lstat(path->sun_path, &info) < 0) {
        return CW_OK;
    }
    if (!S_ISSOCK(info.st_mode)) {
        return cw_server_fail(server, CW_EADDRINUSE,
                              "listen unix:%s: bind: the path exists and is no socket",
                              path->sun_path);
    }
    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) {
        return fail(server, entry, NULL, "socket", errno);
    }
    connected = connect(probe, (const struct sockaddr *)path, sizeof *path);
    if (connected < 0 && errno == ECONNREFUSED) {
        unlink(path->sun_path);
        close(probe);
        return CW_OK;
    }
    close(probe);
    return fail(server, entry, NULL, "bind", EADDRINUSE);
}

/* Every loop waits on the same socket; the kernel has no groups for these. */
static int share(struct cw_server *server, struct cw_listen_entry *entry, int fd)
{
    for (unsigned i = 0; i < server->workers; i++) {
        int own = i == 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, 3);

        if (own < 0) {
            return fail(server, entry, NULL, "dup", errno);
        }
        if (!add_listener(server->loops[i], entry, own)) {
            return cw_server_fail(server, CW_ENOMEM, "listen: %s", cw_strerror(CW_ENOMEM));
        }
    }
    return CW_OK;
}

static int bind_unix(struct cw_server *server, struct cw_listen_entry *entry, int fd,
                     const struct sockaddr_un *path)
{
    mode_t mode = entry->options.unix_mode ? (mode_t)entry->options.unix_mode : 0600;

    /* Before bind, so that the path never has wider permissions than it should; and behind it, for what the
     * umask has taken away. */
    if (fchmod(fd, mode) < 0 || bind(fd, (const struct sockaddr *)path, sizeof *path) < 0) {
        return fail(server, entry, NULL, "bind", errno);
    }
    if (chmod(path->sun_path, mode) < 0) {
        unlink(path->sun_path);
        return fail(server, entry, NULL, "permissions", errno);
    }
    if (listen(fd, entry->options.backlog ? (int)entry->options.backlog : BACKLOG) < 0) {
        unlink(path->sun_path);
        return fail(server, entry, NULL, "listen", errno);
    }
    return CW_OK;
}

static int open_unix(struct cw_server *server, struct cw_listen_entry *entry)
{
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    struct stat info;
    int error;
    int fd;

    if (strlen(entry->options.unix_path) >= sizeof path.sun_path) {
        return cw_server_fail(server, CW_EINVAL, "listen unix:%s: a path has at most %zu bytes",
                              entry->options.unix_path, sizeof path.sun_path - 1);
    }
    memcpy(path.sun_path, entry->options.unix_path, strlen(entry->options.unix_path) + 1);
    error = clear_path(server, entry, &path);
    if (error < 0) {
        return error;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return fail(server, entry, NULL, "socket", errno);
    }
    error = bind_unix(server, entry, fd, &path);
    if (error < 0) {
        close(fd);
        return error;
    }
    error = share(server, entry, fd);
    if (error == CW_OK && stat(path.sun_path, &info) == 0) {
        struct cw_listener *listener = server->loops[0]->listeners;
        while (listener->entry != entry) {
            listener = listener->next;
        }
        listener->owns_path = true;
        listener->path_device = info.st_dev;
        listener->path_inode = info.st_ino;
    }
    return error;
}

/* A bound socket that somebody else has made. It is worker 0's: there is no group of it. */
static int open_inherited_datagrams(struct cw_server *server, struct cw_listen_entry *entry)
{
    struct sockaddr_storage system = {0};
    const char *step = "";
    socklen_t len = sizeof system;
    int kind = 0;
    socklen_t kind_len = sizeof kind;
    int fd = entry->options.fd;
    int error;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &kind, &kind_len) < 0 ||
        getsockname(fd, (struct sockaddr *)&system, &len) < 0) {
        return fail(server, entry, NULL, "descriptor", errno);
    }
    if (kind != SOCK_DGRAM || (system.ss_family != AF_INET && system.ss_family != AF_INET6)) {
        return cw_server_fail(server, CW_EINVAL,
                              "listen descriptor %d: it is not a socket of datagrams over IP", fd);
    }
    error = cw_datagram_options_apply(fd, system.ss_family, &entry->options.datagram, &step);
    if (error < 0) {
        return fail_datagram(server, entry, NULL, step, error);
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (!add_listener(server->loops[0], entry, fd)) {
        return cw_server_fail(server, CW_ENOMEM, "listen: %s", cw_strerror(CW_ENOMEM));
    }
    return CW_OK;
}

static int open_inherited(struct cw_server *server, struct cw_listen_entry *entry)
{
    int listening = 0;
    socklen_t len = sizeof listening;
    int fd = entry->options.fd;
    struct sockaddr_storage system = {0};
    socklen_t system_len = sizeof system;

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0) {
        return fail(server, entry, NULL, "descriptor", errno);
    }
    if (!listening) {
        return cw_server_fail(server, CW_EINVAL,
                              "listen descriptor %d: it is not a listening socket", fd);
    }
    if (getsockname(fd, (struct sockaddr *)&system, &system_len) == 0) {
        int error = cw_tcp_options_apply(fd, &entry->options.tcp, system.ss_family != AF_UNIX);
        if (error < 0) {
            return fail(server, entry, NULL, "tcp options", errno);
        }
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    return share(server, entry, fd);
}

static int open_entry(struct cw_server *server, struct cw_listen_entry *entry)
{
    struct binding binding = {.server = server, .entry = entry};

    if (entry->options.unix_path) {
        return open_unix(server, entry);
    }
    if (entry->options.fd > 0) {
        return is_of_datagrams(entry) ? open_inherited_datagrams(server, entry)
                                      : open_inherited(server, entry);
    }
    if (!entry->options.host) {
        return open_any(&binding);
    }
    return open_host(&binding);
}

int cw_listeners_open(struct cw_server *server)
{
    for (struct cw_listen_entry *entry = server->listens; entry; entry = entry->next) {
        int error = open_entry(server, entry);
        if (error < 0) {
            return error;
        }
    }
    return CW_OK;
}

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

static void refuse(struct cw_listener *listener, int fd, int code, const struct cw_address *peer,
                   uint64_t limit)
{
    struct cw_loop_counters *counters = &listener->loop->counters;

    if (code == CW_ECONNSMAX) {
        cw_count(&counters->refused_conns_max, 1);
    } else if (code == CW_EADDRESSMAX) {
        cw_count(&counters->refused_conns_per_ip, 1);
    } else {
        cw_count(&counters->refused_middleware, 1);
    }
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

/* Binds what a server listens on: addresses, paths, descriptors that somebody else has made. */
#include "address_impl.h"
#include "conn_impl.h"
#include "datagram_impl.h"
#include "listener_impl.h"
#include "server_impl.h"
#include "tcp_options.h"
#include "tls/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 511 };

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

bool cw_listener_is_of_datagrams(const struct cw_listen_entry *entry)
{
    return entry->origin->service->protocol->transport == CW_DATAGRAM;
}

/* Several programs of a machine may be members of a group at one port. Others must not share a port of datagrams, which this
 * flag would let them do in silence. */
static bool is_reused(const struct binding *binding)
{
    struct cw_address address;

    if (!cw_listener_is_of_datagrams(binding->entry)) {
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

    if (cw_listener_is_of_datagrams(binding->entry)) {
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
    int kind = cw_listener_is_of_datagrams(binding->entry) ? SOCK_DGRAM : SOCK_STREAM;
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

static void keep_port(struct binding *binding, uint16_t port)
{
    if (binding->system.ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)&binding->system)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)&binding->system)->sin_port = htons(port);
    }
}

/* How many loops have a socket of it. */
static unsigned sockets_of(const struct binding *binding)
{
    const struct cw_listen_entry *entry = binding->entry;
    struct cw_address address = {0};
    bool one = cw_listener_is_of_datagrams(entry) &&
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
        listener = cw_listener_add(server->loops[i], binding->entry, fd);
        if (!listener) {
            return cw_server_fail(server, CW_ENOMEM, "listen: %s", cw_strerror(CW_ENOMEM));
        }
        *port = listener->address.port;
        keep_port(binding, *port);
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
    struct addrinfo hints = {
        .ai_socktype = cw_listener_is_of_datagrams(binding->entry) ? SOCK_DGRAM : SOCK_STREAM,
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
            keep_port(binding, port);
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
        if (!cw_listener_add(server->loops[i], entry, own)) {
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
    if (!cw_listener_add(server->loops[0], entry, fd)) {
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
        return cw_listener_is_of_datagrams(entry) ? open_inherited_datagrams(server, entry)
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

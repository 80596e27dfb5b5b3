/* Listeners that nobody serves. */
#include "support/silent.h"

#include "support/system_address.h"
#include "support/wait.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PORT_FIRST = 10000, PORTS_LEAST = 2000 };

/* Connects until the kernel answers no more; a backlog of 0 holds one. */
static void fill(struct rig_silent *silent, const struct sockaddr_storage *address, socklen_t len)
{
    for (int i = 0; i < RIG_SILENT_FILL; i++) {
        int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        rig_check(fd >= 0);
        silent->fillers[i] = fd;
        if (connect(fd, (const struct sockaddr *)address, len) < 0 && errno == EAGAIN) {
            return;
        }
    }
}

static void open_at(struct rig_silent *silent, struct sockaddr_storage *address, socklen_t len,
                    int full)
{
    int one = 1;

    memset(silent->fillers, -1, sizeof silent->fillers);
    silent->fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    rig_check(silent->fd >= 0);
    if (address->ss_family == AF_INET6) {
        setsockopt(silent->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    }
    setsockopt(silent->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    rig_check(bind(silent->fd, (const struct sockaddr *)address, len) == 0);
    rig_check(listen(silent->fd, full ? 0 : 64) == 0);
    rig_check(getsockname(silent->fd, (struct sockaddr *)address, &len) == 0);
    silent->port = ntohs(((struct sockaddr_in *)address)->sin_port);
    if (full) {
        fill(silent, address, len);
    }
}

void rig_silent_open(struct rig_silent *silent, const char *host, uint16_t port, int full)
{
    struct sockaddr_storage address;
    socklen_t len = rig_system_address(host, port, &address);

    open_at(silent, &address, len, full);
}

void rig_silent_open_unix(struct rig_silent *silent, const char *path, int full)
{
    struct sockaddr_storage address;
    struct sockaddr_un *own = (struct sockaddr_un *)&address;

    memset(&address, 0, sizeof address);
    own->sun_family = AF_UNIX;
    rig_check(strlen(path) < sizeof own->sun_path);
    snprintf(own->sun_path, sizeof own->sun_path, "%s", path);
    open_at(silent, &address, sizeof *own, full);
}

int rig_silent_accept(struct rig_silent *silent)
{
    int fd = accept4(silent->fd, NULL, NULL, SOCK_CLOEXEC);

    rig_check(fd >= 0);
    return fd;
}

void rig_silent_close(struct rig_silent *silent)
{
    for (int i = 0; i < RIG_SILENT_FILL; i++) {
        if (silent->fillers[i] >= 0) {
            close(silent->fillers[i]);
        }
    }
    close(silent->fd);
}

/* A socket of that kind at every address. False: the port is taken. */
static bool is_free(uint16_t port, int kind)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET6, kind | SOCK_CLOEXEC, 0);
    bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)&six, sizeof six) == 0;
    bool taken = fd >= 0 && !bound && errno == EADDRINUSE;

    if (!bound && !taken) { /* a machine without IPv6 */
        if (fd >= 0) {
            close(fd);
        }
        fd = socket(AF_INET, kind | SOCK_CLOEXEC, 0);
        rig_check(fd >= 0);
        bound = bind(fd, (const struct sockaddr *)&four, sizeof four) == 0;
    }
    close(fd);
    return bound;
}

/* Where the system's own choices begin; ports below it are nobody's who has not asked for them. */
static uint16_t system_begins(void)
{
    FILE *file = fopen("/proc/sys/net/ipv4/ip_local_port_range", "r");
    unsigned first = 0;

    if (!file || fscanf(file, "%u", &first) != 1 || first < PORT_FIRST + PORTS_LEAST) {
        first = PORT_FIRST + PORTS_LEAST;
    }
    if (file) {
        fclose(file);
    }
    return (uint16_t)first;
}

uint16_t rig_free_port(void)
{
    uint64_t deadline = rig_now_ms() + RIG_DEADLINE_MS;
    uint16_t many = (uint16_t)(system_begins() - PORT_FIRST);
    uint16_t port;

    do {
        uint16_t chance = 0;

        rig_check(getrandom(&chance, sizeof chance, 0) == sizeof chance);
        port = (uint16_t)(PORT_FIRST + chance % many);
        rig_check(rig_now_ms() < deadline);
    } while (!is_free(port, SOCK_STREAM) || !is_free(port, SOCK_DGRAM));
    return port;
}

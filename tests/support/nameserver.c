/* A nameserver of a few lines. */
#include "support/nameserver.h"

#include "connector_impl.h"
#include "support/wait.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER = 12, TYPE_A = 1, TYPE_AAAA = 28, NO_NAME = 3, FAILURE = 2 };

static void write_file(char *path, const char *text)
{
    int fd = mkstemp(path);

    rig_check(fd >= 0);
    rig_check(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

/* Where the type of the only question stands: behind its name. */
static size_t type_at(const uint8_t *query, size_t len)
{
    size_t at = HEADER;

    while (at < len && query[at] != 0) {
        at += query[at] + 1u;
    }
    rig_check(at + 5 <= len);
    return at + 1;
}

static size_t add_record(uint8_t *reply, size_t len, unsigned type)
{
    static const uint8_t head[] = {0xc0, HEADER, 0, 0,  0, 1,
                                   0,    0,      0, 60, 0, 0}; /* name: as asked */
    static const uint8_t addresses[2][16] = {{127, 0, 0, 1}, {[15] = 1}};
    size_t size = type == TYPE_A ? 4 : 16;

    memcpy(reply + len, head, sizeof head);
    reply[len + 3] = (uint8_t)type;
    reply[len + 11] = (uint8_t)size;
    memcpy(reply + len + sizeof head, addresses[type != TYPE_A], size);
    reply[7] = 1; /* answers */
    return len + sizeof head + size;
}

static void on_question(struct cw_loop *loop, int fd, unsigned events, void *user)
{
    struct rig_nameserver *server = user;
    struct sockaddr_storage from;
    socklen_t from_len = sizeof from;
    uint8_t packet[600];
    ssize_t n = recvfrom(fd, packet, 512, 0, (struct sockaddr *)&from, &from_len);
    size_t at = type_at(packet, (size_t)n);
    unsigned type = (unsigned)packet[at] << 8 | packet[at + 1];
    enum rig_dns_answer answer = type == TYPE_A ? server->a : server->aaaa;
    size_t len = at + 4;

    server->questions++;
    rig_check(type == TYPE_A || type == TYPE_AAAA);
    packet[2] = 0x81; /* an answer, recursion desired and available */
    packet[3] = answer == RIG_DNS_NO_NAME   ? 0x80 | NO_NAME
                : answer == RIG_DNS_FAILURE ? 0x80 | FAILURE
                                            : 0x80;
    memset(packet + 6, 0, 6); /* no records */
    if (answer == RIG_DNS_LOOPBACK) {
        len = add_record(packet, len, type);
    }
    if (answer != RIG_DNS_SILENCE) {
        rig_check(sendto(fd, packet, len, 0, (struct sockaddr *)&from, from_len) == (ssize_t)len);
    }
}

void rig_nameserver_open(struct rig_nameserver *server, struct cw_loop *loop, const char *hosts,
                         bool has_server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    char text[64] = "";

    server->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    rig_check(server->fd >= 0);
    rig_check(bind(server->fd, (const struct sockaddr *)&address, len) == 0);
    rig_check(getsockname(server->fd, (struct sockaddr *)&address, &len) == 0);
    if (has_server) {
        snprintf(text, sizeof text, "nameserver 127.0.0.1:%u\n", ntohs(address.sin_port));
    }
    snprintf(server->resolv_conf, sizeof server->resolv_conf, "/tmp/causeway_resolv_XXXXXX");
    snprintf(server->hosts, sizeof server->hosts, "/tmp/causeway_hosts_XXXXXX");
    write_file(server->resolv_conf, text);
    write_file(server->hosts, hosts);
    rig_check(cw_resolver_open(loop, server->resolv_conf, server->hosts) == CW_OK);
    unlink(server->resolv_conf);
    unlink(server->hosts);
    server->watch =
        has_server ? cw_loop_watch(loop, server->fd, CW_READABLE, on_question, server) : NULL;
    rig_check(server->watch || !has_server);
}

void rig_nameserver_rest(struct rig_nameserver *server)
{
    cw_watch_stop(server->watch);
    server->watch = NULL;
}

void rig_nameserver_close(struct rig_nameserver *server)
{
    rig_nameserver_rest(server);
    close(server->fd);
}

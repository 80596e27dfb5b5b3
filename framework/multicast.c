/* Groups: joined and left, on one descriptor. */
#include "address_impl.h"
#include "datagram_impl.h"

#include <causeway/error.h>

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

bool cw_address_is_multicast(const struct cw_address *address)
{
    return (address->family == CW_IPV4 && address->ip[0] >> 4 == 0xe) ||
           (address->family == CW_IPV6 && address->ip[0] == 0xff);
}

/* ---- interfaces ---- */

static bool is_at(const struct ifaddrs *entry, const struct cw_address *address)
{
    struct cw_address own;
    socklen_t len = entry->ifa_addr && entry->ifa_addr->sa_family == AF_INET6
                        ? sizeof(struct sockaddr_in6)
                        : sizeof(struct sockaddr_in);

    if (!entry->ifa_addr || cw_address_from_sockaddr(entry->ifa_addr, len, &own) < 0) {
        return false;
    }
    /* A link-local address may be given without its interface, which is what is looked for. */
    own.scope = address->scope ? own.scope : 0;
    return cw_address_same_host(&own, address);
}

static unsigned index_of_address(const struct cw_address *address)
{
    struct ifaddrs *all = NULL;
    unsigned index = 0;

    if (getifaddrs(&all) < 0) {
        return 0;
    }
    for (const struct ifaddrs *each = all; each && index == 0; each = each->ifa_next) {
        index = is_at(each, address) ? if_nametoindex(each->ifa_name) : 0;
    }
    freeifaddrs(all);
    return index;
}

unsigned cw_interface_index(const char *text, struct cw_address *own)
{
    unsigned index = if_nametoindex(text);

    *own = (struct cw_address){0};
    if (index == 0 && cw_address_parse(text, own) == CW_OK) {
        index = index_of_address(own);
    }
    return index;
}

/* ---- one descriptor ---- */

/* A membership as the kernel wants it: by the number of the interface, 0 where it is to choose. */
struct membership {
    int level;
    uint32_t interface;
    struct sockaddr_storage group;
    struct sockaddr_storage source;
    bool has_source;
};

static int refuse(int code, int os_errno)
{
    errno = os_errno;
    return code;
}

static bool takes_ipv4(int fd, int family)
{
    int ipv6_only = 0;
    socklen_t len = sizeof ipv6_only;

    return family == AF_INET ||
           (getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &ipv6_only, &len) == 0 && !ipv6_only);
}

static int read_addresses(const struct cw_multicast_group *group, struct membership *membership,
                          struct cw_address *address)
{
    struct cw_address source;

    if (!group->group || cw_address_parse(group->group, address) < 0 || address->port != 0 ||
        !cw_address_is_multicast(address)) {
        return refuse(CW_EINVAL, EINVAL);
    }
    cw_address_to_sockaddr(address, &membership->group);
    membership->interface = address->scope;
    if (!group->source) {
        return CW_OK;
    }
    if (cw_address_parse(group->source, &source) < 0 || source.port != 0 ||
        source.family != address->family || cw_address_is_multicast(&source)) {
        return refuse(CW_EINVAL, EINVAL);
    }
    cw_address_to_sockaddr(&source, &membership->source);
    membership->has_source = true;
    return CW_OK;
}

static int read_group(int fd, int family, const struct cw_multicast_group *group,
                      struct membership *membership)
{
    struct cw_address address;
    struct cw_address own;
    int error = read_addresses(group, membership, &address);

    if (error < 0) {
        return error;
    }
    if (address.family == CW_IPV4 ? !takes_ipv4(fd, family) : family != AF_INET6) {
        return refuse(CW_EINVAL, EAFNOSUPPORT);
    }
    membership->level = address.family == CW_IPV4 ? IPPROTO_IP : IPPROTO_IPV6;
    if (group->interface) {
        membership->interface = cw_interface_index(group->interface, &own);
        return membership->interface != 0 ? CW_OK : refuse(CW_ENOTFOUND, ENXIO);
    }
    return CW_OK;
}

/* The kernel would narrow a membership in the whole group to the one source, in silence. */
static bool is_whole_member(int fd, const struct membership *membership)
{
    socklen_t len =
        membership->level == IPPROTO_IP ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    uint32_t mode = MCAST_INCLUDE;
    uint32_t sources = 0;

    return getsourcefilter(fd, membership->interface, (const struct sockaddr *)&membership->group,
                           len, &mode, &sources, NULL) == 0 &&
           mode == MCAST_EXCLUDE;
}

static int code_of(int os_errno, bool join)
{
    switch (os_errno) {
    case EADDRINUSE:
        return CW_EADDRINUSE;
    case EADDRNOTAVAIL: /* to join: the source is listed already */
        return join ? CW_EADDRINUSE : CW_ENOTFOUND;
    case EINVAL: /* to leave a source: no member of the group */
        return join ? CW_EINVAL : CW_ENOTFOUND;
    case ENODEV:
    case ENXIO:
        return CW_ENOTFOUND;
    case ENOBUFS:
    case ENOMEM:
        return CW_EFULL;
    default:
        return CW_EOS;
    }
}

static int change_source(int fd, const struct membership *membership, bool join)
{
    const struct group_source_req request = {
        .gsr_interface = membership->interface,
        .gsr_group = membership->group,
        .gsr_source = membership->source,
    };

    if (is_whole_member(fd, membership)) {
        return refuse(join ? CW_EADDRINUSE : CW_ENOTFOUND, join ? EADDRINUSE : EADDRNOTAVAIL);
    }
    return setsockopt(fd, membership->level,
                      join ? MCAST_JOIN_SOURCE_GROUP : MCAST_LEAVE_SOURCE_GROUP, &request,
                      sizeof request) == 0
               ? CW_OK
               : code_of(errno, join);
}

static int change_whole(int fd, const struct membership *membership, bool join)
{
    const struct group_req request = {
        .gr_interface = membership->interface,
        .gr_group = membership->group,
    };

    return setsockopt(fd, membership->level, join ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP, &request,
                      sizeof request) == 0
               ? CW_OK
               : code_of(errno, join);
}

int cw_multicast_change(int fd, int family, const struct cw_multicast_group *group, bool join)
{
    struct membership membership = {0};
    int error = read_group(fd, family, group, &membership);

    if (error < 0) {
        return error;
    }
    return membership.has_source ? change_source(fd, &membership, join)
                                 : change_whole(fd, &membership, join);
}

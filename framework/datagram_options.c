/* Options of datagram sockets: what is allowed, what zero means, copies, and how they are set on a descriptor. */
#include "address_impl.h"
#include "datagram_impl.h"
#include "loop_impl.h"
#include "options.h"
#include "server_impl.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

enum { GROUPS_MAX = 64, TTL_MAX = 255, AMPLIFICATION_MAX = 1000000 };

#define RULE(member, standard, max, flags)                                                         \
    {                                                                                              \
        "datagram." #member, offsetof(struct cw_datagram_options, member), standard, max, flags    \
    }

static int apply_numbers(struct cw_datagram_options *options, struct cw_complaint *complaint)
{
    static const struct cw_option_rule rules[] = {
        RULE(peers_max, 0, CW_SLOTS_MAX, 0),
        RULE(peer_idle_ms, 60000, 0, CW_IS_DURATION | CW_MAY_OFF),
        RULE(peer_silent_ms, 300000, 0, CW_IS_DURATION | CW_MAY_OFF),
        RULE(amplification, 3, AMPLIFICATION_MAX, CW_MAY_NO_LIMIT),
        RULE(queue_max_bytes, 1048576, 1ull << 40, 0),
        RULE(receive_buffer_bytes, 0, INT_MAX, 0),
        RULE(send_buffer_bytes, 0, INT_MAX, 0),
        RULE(datagrams_per_turn, 1024, 65536, 0),
        RULE(ttl, 0, TTL_MAX, 0),
        RULE(multicast_ttl, 1, TTL_MAX, 0),
    };

    return cw_options_apply(options, rules, sizeof rules / sizeof rules[0], complaint);
}

void cw_datagram_options_fill(struct cw_datagram_options *options)
{
    struct cw_complaint unused;

    (void)apply_numbers(options, &unused);
}

/* ---- checks ---- */

static int complain(struct cw_complaint *complaint, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int complain(struct cw_complaint *complaint, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(complaint->text, sizeof complaint->text, format, args);
    va_end(args);
    return CW_EINVAL;
}

static bool may_be_interface(const char *text)
{
    struct cw_address address;

    return text[0] && (strlen(text) < IF_NAMESIZE ||
                       (cw_address_parse(text, &address) == CW_OK && address.port == 0));
}

static int check_source(size_t i, const char *source, const struct cw_address *group,
                        struct cw_complaint *complaint)
{
    struct cw_address address;

    if (!source) {
        return CW_OK;
    }
    if (cw_address_parse(source, &address) < 0 || address.port != 0 ||
        cw_address_is_multicast(&address)) {
        return complain(complaint,
                        "datagram.groups[%zu].source: '%s' is not the address of a sender", i,
                        source);
    }
    if (address.family != group->family) {
        return complain(complaint,
                        "datagram.groups[%zu].source: '%s' is of another family than the group", i,
                        source);
    }
    return CW_OK;
}

static int check_group(size_t i, const struct cw_multicast_group *group,
                       struct cw_complaint *complaint)
{
    struct cw_address address;

    if (!group->group) {
        return complain(complaint, "datagram.groups[%zu].group: missing", i);
    }
    if (cw_address_parse(group->group, &address) < 0 || address.port != 0 ||
        !cw_address_is_multicast(&address)) {
        return complain(complaint,
                        "datagram.groups[%zu].group: '%s' is not a multicast address (239.1.2.3, "
                        "ff15::1)",
                        i, group->group);
    }
    if (group->interface && !may_be_interface(group->interface)) {
        return complain(complaint,
                        "datagram.groups[%zu].interface: '%s' is neither the name of an interface "
                        "nor an address",
                        i, group->interface);
    }
    return check_source(i, group->source, &address, complaint);
}

static int check_groups(const struct cw_datagram_options *options, struct cw_complaint *complaint)
{
    int error = CW_OK;

    if (options->group_count > GROUPS_MAX) {
        return complain(complaint, "datagram.groups: at most %d are allowed", GROUPS_MAX);
    }
    if (options->group_count > 0 && !options->groups) {
        return complain(complaint, "datagram.groups: missing, group_count says there are %zu",
                        options->group_count);
    }
    if (options->group_count == 0 && options->groups) {
        return complain(complaint, "datagram.groups: group_count has to say how many there are");
    }
    for (size_t i = 0; i < options->group_count && error == CW_OK; i++) {
        error = check_group(i, &options->groups[i], complaint);
    }
    return error;
}

int cw_datagram_options_check(const struct cw_datagram_options *options, enum cw_role role,
                              struct cw_complaint *complaint)
{
    struct cw_datagram_options filled = *options;
    int error = apply_numbers(&filled, complaint);

    if (error < 0) {
        return error;
    }
    if (options->multicast_interface && !may_be_interface(options->multicast_interface)) {
        return complain(complaint,
                        "datagram.multicast_interface: '%s' is neither the name of an interface nor "
                        "an address",
                        options->multicast_interface);
    }
    return role == CW_SERVER ? check_groups(options, complaint) : CW_OK;
}

bool cw_datagram_options_are_given(const struct cw_datagram_options *options)
{
    return options->peers_max || options->peer_idle_ms || options->peer_silent_ms ||
           options->amplification || options->queue_max_bytes || options->receive_buffer_bytes ||
           options->send_buffer_bytes || options->datagrams_per_turn || options->ttl ||
           options->dont_fragment || options->no_offload || options->one_worker ||
           options->groups || options->group_count || options->multicast_interface ||
           options->multicast_ttl || options->multicast_no_loop || options->broadcast;
}

bool cw_datagram_options_want_one(const struct cw_datagram_options *options,
                                  const struct cw_address *address)
{
    static const uint8_t everybody[4] = {255, 255, 255, 255};

    return options->one_worker || options->group_count > 0 || options->broadcast ||
           cw_address_is_multicast(address) ||
           (address->family == CW_IPV4 && memcmp(address->ip, everybody, sizeof everybody) == 0);
}

/* ---- copies ---- */

static const char *copy_text(const char *text, bool *failed)
{
    return cw_copy(text, text ? strlen(text) + 1 : 0, failed);
}

static void release_text(const char *text)
{
    cw_release((void *)(uintptr_t)text);
}

static struct cw_multicast_group *copy_groups(const struct cw_datagram_options *from, bool *failed)
{
    struct cw_multicast_group *groups =
        from->group_count > 0 ? cw_alloc_zero(from->group_count * sizeof *groups) : NULL;

    for (size_t i = 0; groups && i < from->group_count; i++) {
        groups[i].group = copy_text(from->groups[i].group, failed);
        groups[i].interface = copy_text(from->groups[i].interface, failed);
        groups[i].source = copy_text(from->groups[i].source, failed);
    }
    *failed = *failed || (!groups && from->group_count > 0);
    return groups;
}

bool cw_datagram_options_copy(struct cw_datagram_options *to, const struct cw_datagram_options *from)
{
    bool failed = false;

    *to = *from;
    to->groups = copy_groups(from, &failed);
    to->group_count = to->groups ? from->group_count : 0;
    to->multicast_interface = copy_text(from->multicast_interface, &failed);
    if (failed) {
        cw_datagram_options_release(to);
    }
    return !failed;
}

void cw_datagram_options_release(struct cw_datagram_options *options)
{
    for (size_t i = 0; i < options->group_count; i++) {
        release_text(options->groups[i].group);
        release_text(options->groups[i].interface);
        release_text(options->groups[i].source);
    }
    cw_release((void *)(uintptr_t)options->groups);
    release_text(options->multicast_interface);
    options->groups = NULL;
    options->group_count = 0;
    options->multicast_interface = NULL;
}

/* ---- on a socket ---- */

/* One option, by the names it has on both levels; a socket that may carry IPv4 as well has to be told on both. */
struct knob {
    const char *name;
    int ipv4;
    int ipv6;
    bool given;
    uint64_t value;
};

static int set(int fd, int level, int name, uint64_t value)
{
    int number = value > INT_MAX ? INT_MAX : (int)value;

    return setsockopt(fd, level, name, &number, sizeof number) == 0 ? CW_OK
                                                                    : cw_error_from_errno(errno);
}

static int set_levels(int fd, int family, const struct knob *knob)
{
    int error = set(fd, IPPROTO_IP, knob->ipv4, knob->value);

    return error < 0 || family != AF_INET6 ? error : set(fd, IPPROTO_IPV6, knob->ipv6, knob->value);
}

static int set_buffers(int fd, const struct cw_datagram_options *options, const char **step)
{
    int error = CW_OK;

    *step = "datagram.receive_buffer_bytes";
    if (options->receive_buffer_bytes > 0) {
        error = set(fd, SOL_SOCKET, SO_RCVBUF, options->receive_buffer_bytes);
    }
    if (error == CW_OK && options->send_buffer_bytes > 0) {
        *step = "datagram.send_buffer_bytes";
        error = set(fd, SOL_SOCKET, SO_SNDBUF, options->send_buffer_bytes);
    }
    if (error == CW_OK && options->broadcast) {
        *step = "datagram.broadcast";
        error = set(fd, SOL_SOCKET, SO_BROADCAST, 1);
    }
    return error;
}

static int set_knobs(int fd, int family, const struct cw_datagram_options *options,
                     const char **step)
{
    const struct knob knobs[] = {
        {"datagram.ttl", IP_TTL, IPV6_UNICAST_HOPS, options->ttl > 0, options->ttl},
        {"datagram.dont_fragment", IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, options->dont_fragment,
         IP_PMTUDISC_DO},
        {"datagram.multicast_ttl", IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS,
         options->multicast_ttl > 0, options->multicast_ttl},
        {"datagram.multicast_no_loop", IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP,
         options->multicast_no_loop, 0},
    };
    const struct knob all = {.ipv4 = IP_MULTICAST_ALL, .ipv6 = IPV6_MULTICAST_ALL};
    int error = CW_OK;

    /* Otherwise the kernel hands over what comes to any group that anybody on this machine has joined. Old ones do not have
     * it for IPv6. */
    (void)set_levels(fd, family, &all);
    for (size_t i = 0; i < sizeof knobs / sizeof knobs[0] && error == CW_OK; i++) {
        *step = knobs[i].name;
        error = knobs[i].given ? set_levels(fd, family, &knobs[i]) : CW_OK;
    }
    return error;
}

static int set_interface(int fd, int family, const char *text)
{
    struct cw_address own;
    struct ip_mreqn way = {.imr_ifindex = (int)cw_interface_index(text, &own)};

    if (way.imr_ifindex == 0) {
        errno = ENXIO;
        return CW_ENOTFOUND;
    }
    if (own.family == CW_IPV4) {
        memcpy(&way.imr_address, own.ip, sizeof way.imr_address);
    }
    if (family == AF_INET6) {
        int error = set(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (uint64_t)way.imr_ifindex);
        if (error < 0) {
            return error;
        }
    }
    return setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &way, sizeof way) == 0
               ? CW_OK
               : cw_error_from_errno(errno);
}

static bool is_any(const struct cw_address *address)
{
    static const uint8_t none[16];

    return memcmp(address->ip, none, address->family == CW_IPV4 ? 4 : 16) == 0;
}

/* The kernel gives a group's datagrams to sockets that are bound to all addresses, or to the group. */
static void warn_of_deafness(int fd)
{
    struct sockaddr_storage system = {0};
    socklen_t len = sizeof system;
    struct cw_address address;
    char text[CW_ADDRESS_TEXT_MAX];

    if (getsockname(fd, (struct sockaddr *)&system, &len) == 0 &&
        cw_address_from_sockaddr((struct sockaddr *)&system, len, &address) == 0 &&
        !is_any(&address) && !cw_address_is_multicast(&address)) {
        cw_log(CW_LOG_WARNING, 0,
               "listen %s: nothing that is sent to a group comes to this address; listen at "
               "0.0.0.0 or ::, or at the group itself",
               cw_address_print(&address, text));
    }
}

int cw_datagram_options_apply(int fd, int family, const struct cw_datagram_options *options,
                              const char **step)
{
    int error = set_buffers(fd, options, step);

    error = error < 0 ? error : set_knobs(fd, family, options, step);
    if (error == CW_OK && options->multicast_interface) {
        *step = options->multicast_interface;
        error = set_interface(fd, family, options->multicast_interface);
    }
    for (size_t i = 0; error == CW_OK && i < options->group_count; i++) {
        error = cw_multicast_change(fd, family, &options->groups[i], true);
        *step = error == CW_ENOTFOUND && options->groups[i].interface ? options->groups[i].interface
                                                                      : options->groups[i].group;
    }
    if (error == CW_OK && options->group_count > 0) {
        warn_of_deafness(fd);
    }
    return error;
}

const char *cw_datagram_options_why(int code, int os_errno)
{
    switch (code) {
    case CW_ENOTFOUND:
        return os_errno == ENXIO ? "there is no such interface"
                                 : "the system does not know by which interface; name one";
    case CW_EADDRINUSE:
        return "it is joined already";
    case CW_EFULL:
        return "the system allows no more groups (net.ipv4.igmp_max_memberships)";
    case CW_EINVAL:
    case CW_EOS:
        return os_errno == EAFNOSUPPORT ? "it is of another family than the listener"
                                        : strerror(os_errno);
    default:
        return cw_strerror(code);
    }
}

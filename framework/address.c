/* Addresses: text, the system's form, prefixes, and the key that limits count by. */
#include "address_impl.h"

#include <arpa/inet.h>
#include <causeway/error.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>

enum { IPV4_BYTES = 4, IPV6_BYTES = 16, MAPPED_BITS = 96 };

static const uint8_t mapped_prefix[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* ---- the system's form ---- */

static void take_ipv4(struct cw_address *address, const void *ip)
{
    memset(address->ip, 0, sizeof address->ip);
    memcpy(address->ip, ip, IPV4_BYTES);
    address->scope = 0;
    address->family = CW_IPV4;
}

static void take_ipv6(struct cw_address *address, const uint8_t *ip, uint32_t scope)
{
    if (memcmp(ip, mapped_prefix, sizeof mapped_prefix) == 0) {
        take_ipv4(address, ip + sizeof mapped_prefix);
        return;
    }
    memcpy(address->ip, ip, IPV6_BYTES);
    address->scope = scope;
    address->family = CW_IPV6;
}

int cw_address_from_sockaddr(const struct sockaddr *system, socklen_t len,
                             struct cw_address *address)
{
    *address = (struct cw_address){0};
    if (len < sizeof(sa_family_t)) {
        return CW_EINVAL;
    }
    if (system->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in in;
        memcpy(&in, system, sizeof in);
        take_ipv4(address, &in.sin_addr);
        address->port = ntohs(in.sin_port);
        return CW_OK;
    }
    if (system->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 in6;
        memcpy(&in6, system, sizeof in6);
        take_ipv6(address, in6.sin6_addr.s6_addr, in6.sin6_scope_id);
        address->port = ntohs(in6.sin6_port);
        return CW_OK;
    }
    if (system->sa_family == AF_UNIX) {
        address->family = CW_UNIX;
        return CW_OK;
    }
    return CW_EINVAL;
}

socklen_t cw_address_to_sockaddr(const struct cw_address *address, struct sockaddr_storage *system)
{
    memset(system, 0, sizeof *system);
    if (address->family == CW_IPV4) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(address->port)};
        memcpy(&in.sin_addr, address->ip, IPV4_BYTES);
        memcpy(system, &in, sizeof in);
        return sizeof in;
    }
    if (address->family == CW_IPV6) {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
                                   .sin6_port = htons(address->port),
                                   .sin6_scope_id = address->scope};
        memcpy(&in6.sin6_addr, address->ip, IPV6_BYTES);
        memcpy(system, &in6, sizeof in6);
        return sizeof in6;
    }
    return 0;
}

/* ---- printing ---- */

static void print_ipv6(const struct cw_address *address, char *text)
{
    char ip[INET6_ADDRSTRLEN];

    inet_ntop(AF_INET6, address->ip, ip, sizeof ip);
    if (address->scope != 0) {
        snprintf(text, CW_ADDRESS_TEXT_MAX, "[%s%%%u]:%u", ip, address->scope, address->port);
    } else {
        snprintf(text, CW_ADDRESS_TEXT_MAX, "[%s]:%u", ip, address->port);
    }
}

char *cw_address_print(const struct cw_address *address, char *text)
{
    const uint8_t *ip = address->ip;

    switch (address->family) {
    case CW_IPV4:
        snprintf(text, CW_ADDRESS_TEXT_MAX, "%u.%u.%u.%u:%u", ip[0], ip[1], ip[2], ip[3],
                 address->port);
        break;
    case CW_IPV6:
        print_ipv6(address, text);
        break;
    default:
        snprintf(text, CW_ADDRESS_TEXT_MAX, "%s", address->family == CW_UNIX ? "unix" : "none");
        break;
    }
    return text;
}

/* ---- parsing ---- */

/* Digits only, as many as `max` has and no more, so that nothing overflows on the way. */
static bool read_number(const char *text, size_t len, uint32_t max, uint32_t *number)
{
    uint64_t value = 0;

    if (len == 0 || len > 10) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *number = (uint32_t)value;
    return value <= max;
}

static bool read_port(const char *text, uint16_t *port)
{
    uint32_t number = 0;

    if (!read_number(text, strlen(text), UINT16_MAX, &number)) {
        return false;
    }
    *port = (uint16_t)number;
    return true;
}

/* The name or number of an interface, behind the % of an address that is of no use without one. */
static bool read_scope(const char *text, const struct in6_addr *ip, uint32_t *scope)
{
    if (!IN6_IS_ADDR_LINKLOCAL(ip) && !IN6_IS_ADDR_MC_LINKLOCAL(ip)) {
        return false;
    }
    if (!read_number(text, strlen(text), UINT32_MAX, scope)) {
        *scope = if_nametoindex(text);
    }
    return *scope != 0;
}

static bool read_ipv6(const char *text, size_t len, struct cw_address *address)
{
    char copy[INET6_ADDRSTRLEN + IF_NAMESIZE];
    struct in6_addr ip;
    uint32_t scope = 0;

    if (len >= sizeof copy) {
        return false;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    char *percent = strchr(copy, '%');
    if (percent != NULL) {
        *percent = '\0';
    }
    if (inet_pton(AF_INET6, copy, &ip) != 1) {
        return false;
    }
    if (percent != NULL && !read_scope(percent + 1, &ip, &scope)) {
        return false;
    }
    take_ipv6(address, ip.s6_addr, scope);
    return true;
}

static bool read_ipv4(const char *text, size_t len, struct cw_address *address)
{
    char copy[INET_ADDRSTRLEN];
    struct in_addr ip;

    if (len >= sizeof copy) {
        return false;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (inet_pton(AF_INET, copy, &ip) != 1) {
        return false;
    }
    take_ipv4(address, &ip);
    return true;
}

static bool read_bracketed(const char *text, struct cw_address *address)
{
    const char *end = strchr(text, ']');

    if (end == NULL || !read_ipv6(text + 1, (size_t)(end - text) - 1, address)) {
        return false;
    }
    return end[1] == '\0' || (end[1] == ':' && read_port(end + 2, &address->port));
}

static bool read_address(const char *text, struct cw_address *address)
{
    if (text[0] == '[') {
        return read_bracketed(text, address);
    }
    const char *colon = strchr(text, ':');
    if (colon == NULL) {
        return read_ipv4(text, strlen(text), address);
    }
    if (strchr(colon + 1, ':') != NULL) {
        return read_ipv6(text, strlen(text), address);
    }
    return read_ipv4(text, (size_t)(colon - text), address) && read_port(colon + 1, &address->port);
}

int cw_address_parse(const char *text, struct cw_address *address)
{
    *address = (struct cw_address){0};
    if (read_address(text, address)) {
        return CW_OK;
    }
    *address = (struct cw_address){0};
    return CW_EINVAL;
}

/* ---- comparing ---- */

static unsigned bits_of(const struct cw_address *address)
{
    switch (address->family) {
    case CW_IPV4:
        return 8 * IPV4_BYTES;
    case CW_IPV6:
        return 8 * IPV6_BYTES;
    default:
        return 0;
    }
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned rest = bits % 8;
    uint8_t mask = (uint8_t)(0xff00U >> rest);

    return memcmp(a, b, bits / 8) == 0 && (rest == 0 || ((a[bits / 8] ^ b[bits / 8]) & mask) == 0);
}

bool cw_address_same_host(const struct cw_address *a, const struct cw_address *b)
{
    return a->family == b->family && a->family != CW_FAMILY_NONE && a->scope == b->scope &&
           same_bits(a->ip, b->ip, bits_of(a));
}

/* ---- prefixes ---- */

static bool zero_behind(const struct cw_address *address, unsigned bits)
{
    for (unsigned bit = bits; bit < bits_of(address); bit++) {
        if ((address->ip[bit / 8] & (0x80U >> bit % 8)) != 0) {
            return false;
        }
    }
    return true;
}

static bool read_prefix(const char *text, size_t len, struct cw_address *network)
{
    bool with_colon = memchr(text, ':', len) != NULL;

    if (memchr(text, '%', len) != NULL) {
        return false;
    }
    return with_colon ? read_ipv6(text, len, network) : read_ipv4(text, len, network);
}

static bool read_cidr(const char *text, struct cw_cidr *cidr)
{
    size_t len = strcspn(text, "/");

    if (!read_prefix(text, len, &cidr->network)) {
        return false;
    }
    unsigned bits_max = bits_of(&cidr->network);
    cidr->bits = bits_max;
    if (text[len] == '\0') {
        return true;
    }
    /* `::ffff:10.0.0.0/104` has become 10.0.0.0, which leaves 8 of its bits. */
    unsigned mapped = memchr(text, ':', len) != NULL && bits_max < MAPPED_BITS ? MAPPED_BITS : 0;
    const char *digits = text + len + 1;
    uint32_t bits = 0;
    if (!read_number(digits, strlen(digits), bits_max + mapped, &bits) || bits < mapped) {
        return false;
    }
    cidr->bits = bits - mapped;
    return zero_behind(&cidr->network, cidr->bits);
}

int cw_cidr_parse(const char *text, struct cw_cidr *cidr)
{
    *cidr = (struct cw_cidr){.bits = 0};
    if (read_cidr(text, cidr)) {
        return CW_OK;
    }
    *cidr = (struct cw_cidr){.bits = 0};
    return CW_EINVAL;
}

bool cw_cidr_contains(const struct cw_cidr *cidr, const struct cw_address *address)
{
    unsigned bits_max = bits_of(address);

    return bits_max != 0 && cidr->network.family == address->family && cidr->bits <= bits_max &&
           same_bits(cidr->network.ip, address->ip, cidr->bits);
}

bool cw_address_limit_key(const struct cw_address *address, uint64_t *key)
{
    unsigned bytes = address->family == CW_IPV4 ? IPV4_BYTES : IPV6_BYTES / 2;

    *key = 0;
    if (bits_of(address) == 0) {
        return false;
    }
    /* ff00::/8 is multicast: no peer comes from there, so IPv4 addresses may take its place. */
    uint64_t number = address->family == CW_IPV4 ? UINT32_MAX : 0;
    for (unsigned i = 0; i < bytes; i++) {
        number = number << 8 | address->ip[i];
    }
    *key = number;
    return true;
}

/* ---- where to connect ---- */

__attribute__((format(printf, 2, 3))) static int complain(struct cw_complaint *complaint,
                                                          const char *format, ...)
{
    if (complaint != NULL) {
        va_list args;
        va_start(args, format);
        vsnprintf(complaint->text, sizeof complaint->text, format, args);
        va_end(args);
    }
    return CW_EINVAL;
}

static int parse_unix(const char *path, struct cw_endpoint *endpoint, struct cw_complaint *complaint)
{
    size_t len = strlen(path);

    if (len == 0) {
        return complain(complaint, "unix: the path is missing");
    }
    if (len >= sizeof endpoint->unix_path) {
        return complain(complaint, "unix:%.40s...: the path is longer than %zu bytes", path,
                        sizeof endpoint->unix_path - 1);
    }
    memcpy(endpoint->unix_path, path, len + 1);
    return CW_OK;
}

static bool name_fits(const char *name, size_t len)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";

    return len > 0 && len <= 253 && strspn(name, allowed) >= len;
}

static int parse_host(const char *text, size_t len, struct cw_endpoint *endpoint,
                      struct cw_complaint *complaint)
{
    struct cw_address unused;
    bool bracketed = text[0] == '[';

    if (bracketed && (len < 2 || text[len - 1] != ']')) {
        return complain(complaint, "%.60s: expected [address]:port", text);
    }
    const char *host = bracketed ? text + 1 : text;
    size_t host_len = bracketed ? len - 2 : len;
    if (bracketed && !read_ipv6(host, host_len, &unused)) {
        return complain(complaint, "%.60s: not an IPv6 address between the brackets", text);
    }
    if (!bracketed && memchr(host, ':', host_len) != NULL) {
        return complain(complaint, "%.60s: an IPv6 address stands in brackets, as in [::1]:7000",
                        text);
    }
    if (!bracketed && !name_fits(host, host_len)) {
        return complain(complaint, "%.60s: %s", text,
                        host_len == 0 ? "the host is missing" : "not a host name");
    }
    memcpy(endpoint->host, host, host_len);
    endpoint->host[host_len] = '\0';
    return CW_OK;
}

int cw_endpoint_parse(const char *text, struct cw_endpoint *endpoint, struct cw_complaint *complaint)
{
    memset(endpoint, 0, sizeof *endpoint);
    if (strncmp(text, "unix:", 5) == 0) {
        return parse_unix(text + 5, endpoint, complaint);
    }
    const char *colon = strrchr(text, ':');
    if (colon == NULL || strchr(colon, ']') != NULL) {
        return complain(complaint, "%.60s: the port is missing, as in host:7000", text);
    }
    int code = parse_host(text, (size_t)(colon - text), endpoint, complaint);
    if (code < 0) {
        return code;
    }
    if (!read_port(colon + 1, &endpoint->port) || endpoint->port == 0) {
        return complain(complaint, "%.60s: the port is a number from 1 to 65535", text);
    }
    return CW_OK;
}

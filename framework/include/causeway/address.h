/* Addresses of peers and listeners: parse, print, compare. */
#ifndef CAUSEWAY_ADDRESS_H
#define CAUSEWAY_ADDRESS_H

#include <causeway/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What kind of address it is. */
enum cw_family {
    CW_FAMILY_NONE = 0,
    CW_IPV4 = 4,
    CW_IPV6 = 6,
    CW_UNIX = 1,
};

/* One end of a connection, 24 bytes. IPv4 uses the first four bytes of `ip`. An IPv4 peer of a dual
 * stack listener is CW_IPV4, never a mapped IPv6 address. A unix socket has no ip and no port. */
struct cw_address {
    uint8_t ip[16];
    uint32_t scope; /* interface of a link-local IPv6 address */
    uint16_t port;  /* host byte order */
    uint8_t family; /* enum cw_family */
    uint8_t unused;
};

/* An IP prefix, as in 10.0.0.0/8 or 2001:db8::/32. */
struct cw_cidr {
    struct cw_address network;
    unsigned bits;
};

/* Room for any address as text, with its terminator. */
enum { CW_ADDRESS_TEXT_MAX = 72 };

/* Writes `127.0.0.1:7000`, `[::1]:7000`, `[fe80::1%2]:7000` or `unix` (`none` for CW_FAMILY_NONE), and a
 * terminator.
 *
 * text     at least CW_ADDRESS_TEXT_MAX bytes
 * returns  text
 * thread   any */
char *cw_address_print(const struct cw_address *address, char *text);

/* Reads `127.0.0.1:7000`, `[::1]:7000`, or either without its port (`[::1]`, `::1`: port 0). No names are
 * looked up, except that of an interface (`fe80::1%eth0`). A mapped IPv4 address becomes CW_IPV4.
 *
 * returns  0 or CW_EINVAL; *address is then CW_FAMILY_NONE
 * thread   any */
int cw_address_parse(const char *text, struct cw_address *address);

/* Whether both are the same address, ports left aside. Two peers on unix sockets are both this machine;
 * CW_FAMILY_NONE is the same as nothing.
 *
 * thread   any */
bool cw_address_same_host(const struct cw_address *a, const struct cw_address *b);

/* Reads `10.0.0.0/8`, `2001:db8::/32`, or an address alone (all its bits).
 *
 * returns  0, or CW_EINVAL: not an address, too many bits, or bits set behind the prefix
 * thread   any */
int cw_cidr_parse(const char *text, struct cw_cidr *cidr);

/* Whether the address lies in the prefix. False across families.
 *
 * thread   any */
bool cw_cidr_contains(const struct cw_cidr *cidr, const struct cw_address *address);

/* The number that limits count an address by: one for each IPv4 address, one for each IPv6 /64, because
 * whoever has one IPv6 address has all of its /64. Never the same for two that may both connect.
 *
 * returns  false: not counted (unix sockets, CW_FAMILY_NONE); *key is then 0
 * thread   any */
bool cw_address_limit_key(const struct cw_address *address, uint64_t *key);

#ifdef __cplusplus
}
#endif

#endif

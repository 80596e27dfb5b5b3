/* Addresses as the rest of the core needs them: to and from the system's form, as a key for limits, and
 * as text that names where to connect. */
#ifndef CAUSEWAY_ADDRESS_IMPL_H
#define CAUSEWAY_ADDRESS_IMPL_H

#include <causeway/address.h>
#include <causeway/protocol.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Takes over what accept, getpeername and getaddrinfo return. A mapped IPv4 address becomes CW_IPV4.
 *
 * returns  0, or CW_EINVAL: another family, or fewer bytes than the family has; *address is then
 *          CW_FAMILY_NONE
 * thread   any */
int cw_address_from_sockaddr(const struct sockaddr *system, socklen_t len,
                             struct cw_address *address);

/* The other way, for bind and connect. A unix address has lost its path and has no such form.
 *
 * returns  the length to pass on; 0: not IPv4 or IPv6
 * thread   any */
socklen_t cw_address_to_sockaddr(const struct cw_address *address, struct sockaddr_storage *system);

/* Where to connect: a unix path, or a host and a port. */
struct cw_endpoint {
    char unix_path[sizeof((struct sockaddr_un *)NULL)->sun_path]; /* "": host and port instead */
    char host[256]; /* a name, or an address without brackets */
    uint16_t port;  /* never 0 beside a host */
};

/* Reads `host:port`, `127.0.0.1:7000`, `[::1]:7000` or `unix:/path`. No names are looked up.
 *
 * complaint  words what is wrong; may be NULL
 * returns    0 or CW_EINVAL
 * thread     any */
int cw_endpoint_parse(const char *text, struct cw_endpoint *endpoint,
                      struct cw_complaint *complaint);

#endif

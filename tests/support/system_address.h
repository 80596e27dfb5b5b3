#ifndef CAUSEWAY_TESTS_SYSTEM_ADDRESS_H
#define CAUSEWAY_TESTS_SYSTEM_ADDRESS_H

#include <stdint.h>
#include <sys/socket.h>

/* The address of a host, IPv4 or IPv6 in numbers, as the socket calls take it. Returns its length. */
socklen_t rig_system_address(const char *host, uint16_t port, struct sockaddr_storage *address);

#endif

/* Addresses as the socket calls take them. */
#include "support/system_address.h"

#include "support/wait.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

socklen_t rig_system_address(const char *host, uint16_t port, struct sockaddr_storage *address)
{
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
    struct sockaddr_in *four = (struct sockaddr_in *)address;

    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET6, host, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        return sizeof *six;
    }
    rig_check(inet_pton(AF_INET, host, &four->sin_addr) == 1);
    four->sin_family = AF_INET;
    four->sin_port = htons(port);
    return sizeof *four;
}

/* The load for datagrams without OpenSSL. */
#include "load_udp_impl.h"

#include <stdio.h>

bool udp_dtls_open(struct udp_load *load)
{
    (void)load;
    fputs("load: built without OpenSSL: no DTLS\n", stderr);
    return false;
}

void udp_dtls_close(struct udp_load *load)
{
    (void)load;
}

int udp_dtls_receive(struct peer *peer, uint8_t *data, size_t cap)
{
    (void)peer;
    (void)data;
    (void)cap;
    return -1;
}

bool udp_dtls_send(struct peer *peer, const uint8_t *data, size_t len)
{
    (void)peer;
    (void)data;
    (void)len;
    return false;
}

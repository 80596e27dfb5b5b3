/* In place of load_tls.c where there is no OpenSSL. */
#include "load_tls.h"

#include <stdio.h>

bool tls_init(const struct load_options *options)
{
    fputs("load: built without OpenSSL (Debian: libssl-dev), so there is no --tls\n", stderr);
    return false;
}

void tls_release(void) {}

bool tls_begin(struct conn *conn)
{
    return false;
}

void tls_end(struct conn *conn) {}

int tls_handshake(struct conn *conn)
{
    return -1;
}

ssize_t tls_send(struct conn *conn, const uint8_t *bytes, size_t len)
{
    return -1;
}

ssize_t tls_recv(struct conn *conn, uint8_t *bytes, size_t cap)
{
    return -1;
}

bool tls_resumed(const struct conn *conn)
{
    return false;
}

bool tls_has_session(void)
{
    return false;
}

void tls_describe(const struct conn *conn, char *text, size_t cap)
{
    text[0] = '\0';
}

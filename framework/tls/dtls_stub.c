/* DTLS is refused until it is there. */
#include "../datagram_impl.h"

struct cw_dtls_gate *cw_dtls_gate_new(struct cw_datagram_socket *socket, struct cw_loop *loop)
{
    return NULL;
}

void cw_dtls_gate_free(struct cw_dtls_gate *gate) {}

struct cw_stream *cw_dtls_gate_admit(struct cw_dtls_gate *gate, struct cw_tls *tls,
                                     struct cw_datagram *from, uint8_t *data, size_t len)
{
    return NULL;
}

uint64_t cw_dtls_gate_find(struct cw_dtls_gate *gate, const uint8_t *data, size_t len)
{
    return 0;
}

bool cw_dtls_moved(const struct cw_conn *conn)
{
    return false;
}

struct cw_stream *cw_dtls_stream_new(struct cw_tls *tls, struct cw_loop *loop)
{
    return NULL;
}

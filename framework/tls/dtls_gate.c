/* In front of the peers of a socket: who begins to speak DTLS shows first that the address is his (RFC 6347 §4.2.1). */
#include "dtls_impl.h"

#include <causeway/log.h>

#include "../work.h"

struct cw_dtls_gate {
    struct cw_datagram_socket *socket;
    struct cw_loop *loop;
};

struct cw_dtls_gate *cw_dtls_gate_new(struct cw_datagram_socket *socket, struct cw_loop *loop)
{
    struct cw_dtls_gate *gate = cw_alloc(sizeof *gate);

    if (gate) {
        *gate = (struct cw_dtls_gate){socket, loop};
    }
    return gate;
}

void cw_dtls_gate_free(struct cw_dtls_gate *gate)
{
    cw_release(gate);
}

static struct cw_stream *ignore(struct cw_dtls_gate *gate)
{
    cw_count(&gate->loop->datagram_counters.dtls_ignored, 1);
    return NULL;
}

/* The library is asked for nothing here: a hello without a cookie costs two hashes. */
static struct cw_stream *ask_for_cookie(struct cw_dtls_gate *gate, struct cw_tls *tls,
                                        struct cw_datagram *from, const struct cw_dtls_hello *hello)
{
    uint8_t verify[CW_DTLS_VERIFY_BYTES];
    struct cw_span bytes = cw_span_of(verify, sizeof verify);

    if (!cw_dtls_make_verify(tls, &from->peer, hello, verify)) {
        return ignore(gate);
    }
    cw_count(&gate->loop->datagram_counters.dtls_cookies, 1);
    (void)cw_datagram_answer(gate->socket, from, &bytes, 1);
    return NULL;
}

/* A cookie costs its owner nothing, a handshake us some 40 KB. */
static bool is_crowded(const struct cw_loop *loop)
{
    size_t most = loop->handshakes ? cw_work_pool_max(loop->handshakes) : CW_HANDSHAKES_MAX;

    return loop->tls && loop->tls->dtls_handshakes >= most;
}

struct cw_stream *cw_dtls_gate_admit(struct cw_dtls_gate *gate, struct cw_tls *tls,
                                     struct cw_datagram *from, uint8_t *data, size_t len)
{
    struct cw_tls_stream *stream;
    struct cw_dtls_hello hello;

    if (!cw_dtls_read_hello(cw_span_of(data, len), &hello)) {
        return ignore(gate);
    }
    if (!cw_dtls_cookie_is_good(tls, &from->peer, hello.cookie)) {
        return ask_for_cookie(gate, tls, from, &hello);
    }
    stream = is_crowded(gate->loop) ? NULL : cw_dtls_accept(tls, gate->loop, &from->peer, &hello);
    if (!stream) {
        return ignore(gate);
    }
    cw_dtls_put(stream, data, len);
    return &stream->stream;
}

uint64_t cw_dtls_gate_find(struct cw_dtls_gate *gate, const uint8_t *data, size_t len)
{
    struct cw_span datagram = cw_span_of(data, len);
    struct cw_dtls_record record;
    uint64_t id = 0;

    (void)gate;
    if (!cw_dtls_next_record(&datagram, CW_DTLS_CID_BYTES, &record) || !record.cid) {
        return 0;
    }
    for (size_t i = 0; i < CW_DTLS_CID_BYTES; i++) {
        id = id << 8 | record.cid[i];
    }
    return id;
}

/* Bytes as they come: the smallest protocol there is. */
#include <causeway/payload.h>
#include <causeway/protocol.h>
#include <causeway/tcp.h>

static ptrdiff_t deliver_all(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    const struct cw_message msg = {.body = {data, len}};

    /* The answer does not matter: nothing is left over, whatever it is. */
    (void)cw_conn_deliver(conn, &msg);
    return (ptrdiff_t)len;
}

/* A piece of a long message is bytes like any other; its beginning and its end are none. */
static int send_bytes(struct cw_conn *conn, void *state, const struct cw_message *msg)
{
    return msg->body.len > 0 ? cw_conn_write(conn, &msg->body, 1) : CW_OK;
}

static int allow_raw(struct cw_conn *conn, void *state, uint64_t len)
{
    return CW_OK;
}

static int encode_bytes(const struct cw_wire_format *format, const struct cw_message *msg,
                        struct cw_payload **payload)
{
    *payload = cw_payload_new(&msg->body, 1);
    return *payload != NULL ? CW_OK : CW_ENOMEM;
}

const struct cw_protocol cw_tcp = {
    .name = "tcp",
    .on_bytes = deliver_all,
    .send = send_bytes,
    .send_raw = allow_raw,
    .encode = encode_bytes,
};

/* parcel: a length byte, a body, and a byte that makes the sum of them all zero. */
#include <causeway/causeway.h>
#include <causeway/protocol.h>

enum { BODY_MAX = 200 };

static uint8_t sum_of(struct cw_span bytes)
{
    unsigned sum = 0;

    for (size_t i = 0; i < bytes.len; i++) {
        sum += bytes.data[i];
    }
    return (uint8_t)sum;
}

static ptrdiff_t read_parcel(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    const struct cw_message msg = cw_message_of(data + 1, data[0]);
    const size_t whole = 1 + msg.body.len + 1;

    if (msg.body.len > BODY_MAX) {
        return cw_conn_fail(conn, CW_ETOOBIG, "parcel of %zu bytes", msg.body.len);
    }
    if (len < whole) {
        return 0;
    }
    if (sum_of(cw_span_of(data, whole)) != 0) {
        return cw_conn_fail(conn, CW_EPROTO, "the sum is not zero");
    }
    cw_conn_deliver(conn, &msg);
    return (ptrdiff_t)whole;
}

static int send_parcel(struct cw_conn *conn, void *state, const struct cw_message *msg)
{
    const uint8_t head = (uint8_t)msg->body.len;
    const uint8_t tail = (uint8_t)(0u - head - sum_of(msg->body));
    const struct cw_span parts[] = {{&head, 1}, msg->body, {&tail, 1}};

    if (msg->part != CW_WHOLE) {
        return CW_EKIND;
    }
    return msg->body.len > BODY_MAX ? CW_ETOOBIG : cw_conn_write(conn, parts, 3);
}

static const struct cw_protocol parcel = {
    .name = "parcel", .on_bytes = read_parcel, .send = send_parcel};

static void echo(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    cw_conn_send(conn, msg);
}

int main(void)
{
    struct cw_server *server = cw_create_server(&parcel);
    cw_server_set_hooks(server, &(struct cw_hooks){.on_data = echo}, NULL);
    cw_server_listen(server, &(struct cw_listen_options){.host = "127.0.0.1", .port = 7000});
    return cw_server_main(server);
}

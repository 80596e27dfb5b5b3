/* One datagram, one message. */
#include <causeway/config.h>
#include <causeway/payload.h>
#include <causeway/protocol.h>
#include <causeway/tls.h>
#include <causeway/udp.h>

#include <stdio.h>

/* RFC 768: the length of 16 bits counts 8 bytes of its own header, RFC 791: and 20 of IPv4's. */
enum { DATAGRAM_MAX = UINT16_MAX - 8 - 20 };

/* ---- options ---- */

static int check_options(void *memory, struct cw_complaint *complaint)
{
    struct cw_udp_options *options = memory;

    if (options->datagram_max_bytes == 0 || options->datagram_max_bytes == CW_NO_LIMIT) {
        options->datagram_max_bytes = DATAGRAM_MAX;
    }
    if (options->datagram_max_bytes > DATAGRAM_MAX) {
        snprintf(complaint->text, sizeof complaint->text,
                 "datagram_max_bytes: %llu, but %d is the most a datagram can hold",
                 (unsigned long long)options->datagram_max_bytes, DATAGRAM_MAX);
        return CW_EINVAL;
    }
    if (options->kind != CW_BINARY && options->kind != CW_TEXT) {
        snprintf(complaint->text, sizeof complaint->text, "kind: neither CW_BINARY nor CW_TEXT");
        return CW_EINVAL;
    }
    return CW_OK;
}

static uint64_t longest_message(const void *memory)
{
    const struct cw_udp_options *options = memory;

    return options->datagram_max_bytes;
}

/* Said at the first peer: options do not know what lies under them. */
static int open_peer(struct cw_conn *conn, void *state, void *handover)
{
    const struct cw_udp_options *options = cw_conn_options(conn);
    struct cw_tls_info info;

    if (options->on_datagram != NULL && cw_conn_role(conn) == CW_SERVER &&
        cw_conn_tls(conn, &info) == CW_OK) {
        return cw_conn_fail(conn, CW_EINVAL, "on_datagram: not over DTLS, use the hook on_data");
    }
    return CW_OK;
}

/* ---- in ---- */

static ptrdiff_t deliver_datagram(struct cw_conn *conn, void *state, uint8_t *data, size_t len)
{
    const struct cw_udp_options *options = cw_conn_options(conn);
    const struct cw_message msg = {.body = {data, len}, .kind = options->kind};

    /* The answer does not matter: nothing is left over, whatever it is. */
    (void)cw_conn_deliver(conn, &msg);
    return (ptrdiff_t)len;
}

static int answer_datagram(struct cw_loop *loop, const void *memory, void *user,
                           struct cw_datagram *from, struct cw_span data)
{
    const struct cw_udp_options *options = memory;
    const struct cw_message msg = {.body = data, .kind = options->kind};

    if (options->on_datagram == NULL) {
        return 0;
    }
    options->on_datagram(loop, from, &msg, user);
    return 1;
}

/* ---- out ---- */

static int check_message(const struct cw_udp_options *options, const struct cw_message *msg)
{
    if (msg->part != CW_WHOLE) {
        return CW_EKIND;
    }
    return msg->body.len > options->datagram_max_bytes ? CW_ETOOBIG : CW_OK;
}

static int send_datagram(struct cw_conn *conn, void *state, const struct cw_message *msg)
{
    int code = check_message(cw_conn_options(conn), msg);

    return code < 0 ? code : cw_conn_write(conn, &msg->body, 1);
}

static int encode_datagram(const struct cw_wire_format *format, const struct cw_message *msg,
                           struct cw_payload **payload)
{
    int code = check_message(format->options, msg);

    if (code < 0) {
        return code;
    }
    *payload = cw_payload_new(&msg->body, 1);
    return *payload != NULL ? CW_OK : CW_ENOMEM;
}

/* The bytes are always the same, what is refused is not. */
static uint64_t key_of(struct cw_conn *conn, const void *state)
{
    const struct cw_udp_options *options = cw_conn_options(conn);

    return options->datagram_max_bytes;
}

/* ---- public ---- */

int cw_udp_configure(struct cw_server *server, const struct cw_udp_options *options)
{
    return cw_server_set_protocol_options(server, &cw_udp, options);
}

/* What an application's hooks have to know of stays out of files: kind, on_datagram. */
static const struct cw_setting settings[] = {
    {.key = "max_frame_size",
     .kind = CW_SETTING_BYTES,
     .offset = offsetof(struct cw_udp_options, datagram_max_bytes),
     .least = 1,
     .most = DATAGRAM_MAX},
    {.key = NULL},
};

const struct cw_protocol cw_udp = {
    .name = "udp",
    .transport = CW_DATAGRAM,
    .options_size = sizeof(struct cw_udp_options),
    .configure = check_options,
    .message_max = longest_message,
    .open = open_peer,
    .on_bytes = deliver_datagram,
    .on_datagram = answer_datagram,
    .send = send_datagram,
    .encode = encode_datagram,
    .wire_key = key_of,
    .settings = settings,
};

/* upload: long messages that are never in memory as a whole, acknowledged as they are taken. */
#include <causeway/causeway.h>
#include <stdlib.h>

/* A sender that keeps at most 256 KiB beyond the last "got" never waits in vain, and never runs ahead. */
enum { ACK_EVERY = 65536, PIECES_ABOVE = 16384 };

struct upload {
    uint64_t got;
    uint64_t acknowledged;
};

static void on_connection(struct cw_conn *conn, void *user)
{
    struct upload *upload = calloc(1, sizeof *upload);

    cw_conn_set_user(conn, upload);
    if (upload == NULL) {
        cw_conn_abort(conn);
    }
}

/* Where a real server writes to a file: in cw_work, with cw_conn_pause until it has been written. */
static void take(struct cw_conn *conn, struct upload *upload, struct cw_span bytes)
{
    upload->got += bytes.len;
    if (upload->got - upload->acknowledged >= ACK_EVERY) {
        upload->acknowledged = upload->got;
        cw_conn_sendf(conn, "got %llu", (unsigned long long)upload->got);
    }
}

static void on_data(struct cw_conn *conn, const struct cw_message *msg, void *user)
{
    struct upload *upload = cw_conn_user(conn);

    switch (msg->part) {
    case CW_BEGIN: /* msg->total says how long it will be */
        *upload = (struct upload){0};
        break;
    case CW_CHUNK:
        take(conn, upload, msg->body);
        break;
    case CW_WHOLE: /* a short one */
        *upload = (struct upload){.got = msg->body.len};
        cw_conn_sendf(conn, "done %zu", msg->body.len);
        break;
    case CW_END:
        cw_conn_sendf(conn, "done %llu", (unsigned long long)upload->got);
        break;
    }
}

static void on_close(struct cw_conn *conn, const struct cw_close_reason *reason, void *user)
{
    free(cw_conn_user(conn));
}

int main(int argc, char **argv)
{
    static const struct cw_hooks hooks = {
        .on_connection = on_connection, .on_data = on_data, .on_close = on_close};
    uint16_t port = argc > 1 ? (uint16_t)strtoul(argv[1], NULL, 10) : 7000;
    struct cw_server *server = cw_create_server(&cw_framed);

    cw_framed_configure(server, &(struct cw_framed_options){.stream_above_bytes = PIECES_ABOVE});
    cw_server_set_hooks(server, &hooks, NULL);
    cw_server_listen(server, &(struct cw_listen_options){.port = port});
    return cw_server_main(server);
}

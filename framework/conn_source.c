/* Bytes out that are not there yet: sources and files, queued among the others. */
#include "conn_impl.h"

#include <fcntl.h>
#include <unistd.h>

static int check_source(struct cw_conn *conn, uint64_t len)
{
    const struct cw_protocol *protocol = conn->service->protocol;

    cw_loop_assert_thread(conn->loop);
    if (!cw_conn_may_write(conn, false)) {
        return CW_ECLOSED;
    }
    if (conn->datagram) {
        return CW_EKIND;
    }
    if (!cw_conn_extra(conn)) {
        return CW_ENOMEM;
    }
    if (conn->extra->sources >= CW_SOURCES_MAX) {
        conn->flags |= CW_WANT_DRAIN;
        return CW_EFULL;
    }
    if (!cw_outq_ensure(&conn->out, &conn->loop->out_pool, conn->loop->now)) {
        return CW_ENOMEM;
    }
    return protocol->send_raw ? protocol->send_raw(conn, cw_conn_state_of(conn), len) : CW_EKIND;
}

static void source_queued(struct cw_conn *conn)
{
    conn->extra->sources++;
    if (!conn->origin->limits.read_while_full) {
        cw_conn_hold_by_output(conn);
    }
    cw_conn_at_turn_end(conn, CW_TURN_FLUSH);
}

int cw_conn_send_source(struct cw_conn *conn, uint64_t len, cw_source_fn pull,
                        cw_source_done_fn done, void *user)
{
    struct cw_out_source source = {
        .pull = pull, .done = done, .user = user, .left = len == CW_OFF ? 0 : len};
    struct cw_out_node *node = cw_outq_source_node(&conn->loop->out_pool);
    int error = node ? check_source(conn, len) : CW_ENOMEM;

    if (error < 0) {
        cw_outq_unused_node(&conn->loop->out_pool, node);
        cw_conn_settle(conn);
        return error;
    }
    cw_outq_add_source(conn->out, node, &source);
    source_queued(conn);
    return CW_OK;
}

int cw_conn_send_file(struct cw_conn *conn, const struct cw_file_range *range,
                      cw_source_done_fn done, void *user)
{
    struct cw_out_file file = {.fd = fcntl(range->fd, F_DUPFD_CLOEXEC, 3),
                               .offset = range->offset,
                               .len = range->len,
                               .done = done,
                               .user = user};
    struct cw_out_node *node = cw_outq_source_node(&conn->loop->out_pool);
    int error = node ? CW_OK : CW_ENOMEM;

    if (error == CW_OK && file.fd < 0) {
        error = CW_EDESCRIPTORS;
    }
    if (error == CW_OK) {
        error = check_source(conn, range->len);
    }
    if (error < 0) {
        if (file.fd >= 0) {
            close(file.fd);
        }
        cw_outq_unused_node(&conn->loop->out_pool, node);
        cw_conn_settle(conn);
        return error;
    }
    cw_outq_add_file(conn->out, node, &file);
    source_queued(conn);
    return CW_OK;
}

void cw_conn_source_ready(struct cw_conn *conn)
{
    cw_loop_assert_thread(conn->loop);
    if (conn->out && cw_outq_wake_sources(conn->out) && conn->phase != CW_PHASE_CLOSED) {
        conn->out->since = conn->loop->now; /* the peer could not take anything meanwhile */
        cw_conn_at_turn_end(conn, CW_TURN_FLUSH);
    }
}

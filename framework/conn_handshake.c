/* Which stream a connection gets, and the handshake of that: at its beginning, or in the middle of its life. */
#include "conn_impl.h"

#include "tls/tls.h"

struct cw_conn *cw_conn_with_stream(struct cw_loop *loop, struct cw_origin *origin, int fd,
                                    const struct cw_address *peer)
{
    struct cw_stream *stream = &cw_stream_plain;
    struct cw_conn *conn;

    if (origin->tls && !cw_tls_begins_plain(origin->tls)) {
        stream = cw_tls_stream_new(origin->tls, loop);
    }
    conn = stream ? cw_conn_new(loop, origin, stream, fd, peer) : NULL;
    if (!conn && stream && stream != &cw_stream_plain) {
        cw_tls_stream_drop(stream);
    }
    return conn;
}

/* The peer has an answer or an alert to read, so the socket is not reset. */
static void fail_handshake(struct cw_conn *conn, int code)
{
    cw_count(&conn->loop->counters.handshakes_failed, 1);
    if (!cw_conn_is_of_tls(code)) {
        cw_conn_break_with(conn, code, conn->loop->os_errno, NULL);
        return;
    }
    cw_conn_clear_out(conn);
    cw_conn_break(conn, code);
    conn->phase = CW_PHASE_DRAINING;
    conn->deadline = conn->loop->now + conn->origin->limits.drain;
    if (conn->stream->owes) {
        cw_conn_keep_out(conn);
    }
}

/* The connection was open before, and goes on. */
static void secured(struct cw_conn *conn)
{
    const struct cw_hooks *hooks = &conn->service->hooks;

    conn->flags &= ~(uint32_t)CW_SECURING;
    conn->phase = CW_PHASE_OPEN; /* the one way back that there is */
    conn->last_in = conn->last_out = conn->loop->now;
    if ((conn->flags & CW_OPENED) && hooks->on_secure) {
        hooks->on_secure(conn, conn->service->user);
    }
    cw_conn_at_turn_end(conn, CW_TURN_READY | CW_TURN_FLUSH);
    cw_conn_schedule(conn);
}

void cw_conn_handshake(struct cw_conn *conn)
{
    bool waits = (conn->flags & CW_SECURING) && conn->in;
    int answer = CW_OK;

    if (conn->flags & CW_CLOSING) {
        return;
    }
    if (waits) {
        answer = cw_conn_fail(conn, CW_EPLAIN, "bytes in the clear came behind cw_conn_start_tls");
    } else if (conn->stream->ops->handshake) {
        answer = conn->stream->ops->handshake(conn);
    }
    if (answer == CW_STREAM_AGAIN) {
        cw_conn_schedule(conn);
    } else if (answer < 0) {
        fail_handshake(conn, answer);
    } else if (conn->flags & CW_SECURING) {
        secured(conn);
    } else {
        cw_conn_open(conn);
        if (conn->stream->owes) { /* the last of the handshake */
            conn->flags &= ~(uint32_t)CW_BLOCKED;
            cw_conn_at_turn_end(conn, CW_TURN_FLUSH);
        }
    }
    if (answer == CW_OK && cw_conn_has_more(conn)) {
        cw_conn_at_turn_end(conn, CW_TURN_READY);
    }
    cw_conn_update_events(conn);
}

void cw_conn_start(struct cw_conn *conn)
{
    if (conn->stream->ops->handshake && conn->origin->role == CW_SERVER) {
        cw_conn_schedule(conn); /* the first word is the peer's */
        cw_conn_update_events(conn);
        return;
    }
    cw_conn_handshake(conn);
}

int cw_conn_start_tls(struct cw_conn *conn)
{
    struct cw_stream *stream;

    cw_loop_assert_thread(conn->loop);
    if (conn->flags & (CW_CLOSING | CW_SWITCHING)) {
        return CW_ECLOSED;
    }
    if (!conn->origin->tls || conn->stream != &cw_stream_plain || (conn->flags & CW_MESSAGE_OPEN)) {
        return CW_ESTATE;
    }
    if (!cw_conn_extra(conn)) {
        return CW_ENOMEM;
    }
    cw_conn_flush_quiet(conn);
    if (conn->out) {
        conn->flags |= CW_WANT_DRAIN;
        return CW_EFULL;
    }
    stream = conn->phase == CW_PHASE_OPEN ? cw_tls_stream_new(conn->origin->tls, conn->loop) : NULL;
    if (!stream) {
        return conn->phase == CW_PHASE_OPEN ? CW_ENOMEM : CW_ECLOSED;
    }
    conn->stream = stream;
    conn->extra->securing = conn->loop->now;
    conn->flags |= CW_SECURING;
    conn->phase = CW_PHASE_HANDSHAKING;
    cw_conn_at_turn_end(conn, CW_TURN_READY);
    return CW_OK;
}

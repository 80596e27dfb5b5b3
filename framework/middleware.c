/* Runs the connection middleware. */
#include "conn_impl.h"
#include "server_impl.h"

#include <causeway/log.h>
#include <causeway/middleware.h>

#include <assert.h>

enum { SLOT_ALIGN = 16 };

static size_t slot_bytes(const struct cw_conn_middleware *middleware)
{
    return (middleware->conn_size + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN;
}

static uint8_t *slots_of(const struct cw_conn *conn)
{
    return conn->extra ? conn->extra->middleware : NULL;
}

/* Undoes accept for those before `end`. */
static void gone_until(struct cw_server *server, struct cw_loop *loop,
                       const struct cw_address *peer, const struct cw_conn_middleware *end)
{
    for (struct cw_conn_middleware *m = server->middleware; m != end; m = m->next) {
        if (m->on_gone) {
            m->on_gone(m, loop, peer);
        }
    }
}

int cw_middleware_accept(struct cw_server *server, struct cw_loop *loop,
                         const struct cw_address *peer, uint64_t *limit)
{
    for (struct cw_conn_middleware *m = server->middleware; m; m = m->next) {
        int error = m->on_accept ? m->on_accept(m, loop, peer, limit) : CW_OK;

        if (error < 0) {
            gone_until(server, loop, peer, m);
            return error;
        }
    }
    return CW_OK;
}

void cw_middleware_gone(struct cw_server *server, struct cw_loop *loop,
                        const struct cw_address *peer)
{
    gone_until(server, loop, peer, NULL);
}

int cw_middleware_ask_datagram(struct cw_server *server, struct cw_loop *loop,
                               const struct cw_datagram *from, size_t len)
{
    for (struct cw_conn_middleware *m = server->datagram_middleware; m; m = m->next) {
        int error = m->on_datagram ? m->on_datagram(m, loop, from, len) : CW_OK;

        if (error < 0) {
            return error;
        }
    }
    return CW_OK;
}

static void close_until(struct cw_conn *conn, const struct cw_conn_middleware *end)
{
    uint8_t *slot = slots_of(conn);

    for (struct cw_conn_middleware *m = conn->loop->server->middleware; m != end; m = m->next) {
        if (m->on_close) {
            m->on_close(m, conn, slot);
        }
        slot = slot ? slot + slot_bytes(m) : NULL;
    }
}

int cw_middleware_open(struct cw_conn *conn)
{
    struct cw_server *server = conn->loop->server;
    size_t size = 0;
    uint8_t *slot;

    if (!server->middleware || conn->origin->role != CW_SERVER) {
        return CW_OK;
    }
    for (struct cw_conn_middleware *m = server->middleware; m; m = m->next) {
        size += slot_bytes(m);
    }
    if (size > 0) {
        if (cw_conn_extra(conn)) {
            conn->extra->middleware = cw_alloc_zero(size);
        }
        if (!slots_of(conn)) {
            cw_conn_break(conn, CW_ENOMEM);
            return CW_ENOMEM;
        }
    }
    slot = slots_of(conn);
    for (struct cw_conn_middleware *m = server->middleware; m; m = m->next) {
        int error = m->on_open ? m->on_open(m, conn, slot) : CW_OK;

        if (error < 0) {
            close_until(conn, m);
            cw_conn_break(conn, error);
            return error;
        }
        slot = slot ? slot + slot_bytes(m) : NULL;
    }
    conn->flags |= CW_HAS_MIDDLEWARE;
    return CW_OK;
}

int cw_middleware_message(struct cw_conn *conn, const struct cw_message *msg)
{
    uint8_t *slot = slots_of(conn);

    for (struct cw_conn_middleware *m = conn->loop->server->middleware; m; m = m->next) {
        int verdict = m->on_message ? m->on_message(m, conn, slot, msg) : CW_PASS;

        if (verdict < 0) {
            cw_conn_break(conn, verdict);
            return verdict;
        }
        if (verdict == CW_DROP) {
            cw_conn_count_dropped(conn);
            return CW_DROP;
        }
        slot = slot ? slot + slot_bytes(m) : NULL;
    }
    return conn->flags & CW_CLOSING ? (int)CW_DROP : (int)CW_PASS;
}

void cw_middleware_close(struct cw_conn *conn)
{
    conn->flags &= ~(uint32_t)CW_HAS_MIDDLEWARE;
    close_until(conn, NULL);
}

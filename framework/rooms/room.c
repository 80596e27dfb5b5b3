/* What applications ask of rooms from any thread. */
#include "conn_impl.h"
#include "report.h"
#include "rooms/backplane.h"
#include "rooms/room_impl.h"
#include "server_impl.h"

#include <causeway/log.h>

#include <stdio.h>

int cw_room_send(struct cw_server *server, const char *room, const struct cw_message *msg,
                 const struct cw_room_send_options *options)
{
    int error = cw_room_deliver(server, room, msg, options);
    struct cw_backplane *backplane = error == CW_OK ? server->rooms->backplane : NULL;

    if (backplane) {
        backplane->ops->publish(backplane, room, msg);
    }
    return error;
}

/* ---- by id ---- */

/* A join or a leave on its way to the connection's loop. */
struct errand {
    bool joins;
    size_t presence_len;
    const uint8_t *presence;
    char room[]; /* and behind it the value */
};

static int carry_out(struct cw_conn *conn, const struct errand *errand)
{
    if (!errand->joins) {
        return cw_room_leave(conn, errand->room);
    }
    return cw_room_join_as(conn, errand->room, cw_span_of(errand->presence, errand->presence_len));
}

static void report_failure(struct cw_conn *conn, const struct errand *errand, int error)
{
    struct cw_error_report report = {
        .code = error, .conn_id = cw_conn_id(conn), .conn = conn, .address = &conn->peer};

    snprintf(report.text, sizeof report.text, "room: %s: %s", errand->joins ? "join" : "leave",
             cw_strerror(error));
    cw_report(conn->loop, conn->service, &report);
}

static void run_errand(struct cw_loop *loop, struct cw_mail *mail)
{
    struct errand *errand = mail->arg;
    struct cw_conn *conn = cw_loop_conn(loop, mail->conn_id);
    int error = conn ? carry_out(conn, errand) : CW_OK; /* gone: the normal case */

    if (errand->joins) {
        atomic_fetch_sub(&loop->server->rooms->joins_under_way, 1);
    }
    if (error < 0 && !(conn->flags & CW_CLOSING)) {
        report_failure(conn, errand, error);
    }
    cw_release(errand);
}

static struct errand *errand_new(const char *room, const struct cw_span *presence)
{
    size_t size = strlen(room) + 1;
    size_t len = presence ? presence->len : 0;
    struct errand *errand = cw_alloc(sizeof *errand + size + len);

    if (errand) {
        memcpy(errand->room, room, size);
        if (len > 0) {
            memcpy(errand->room + size, presence->data, len);
        }
        errand->joins = presence != NULL;
        errand->presence = (const uint8_t *)errand->room + size;
        errand->presence_len = len;
    }
    return errand;
}

/* The joins under way are counted before they can be seen, see room_deliver.c. */
static int post(struct cw_server *server, struct cw_loop *loop, uint64_t conn_id,
                struct errand *errand)
{
    struct cw_mail mail = {.fn = run_errand, .conn_id = conn_id, .arg = errand};
    size_t joins;
    int error;

    if (!errand) {
        return CW_ENOMEM;
    }
    joins = errand->joins;
    mail.bytes = sizeof *errand + errand->presence_len;
    atomic_fetch_add(&server->rooms->joins_under_way, joins);
    error = cw_mailbox_put(&loop->mailbox, &mail, CW_MAIL_BOUNDED);
    if (error < 0) {
        atomic_fetch_sub(&server->rooms->joins_under_way, joins);
        cw_release(errand);
    }
    return error;
}

/* On the connection's own thread it is done at once: what this thread sends next finds it done wherever the
 * connection lives. */
static int do_here(struct cw_loop *loop, uint64_t conn_id, const char *room,
                   const struct cw_span *presence)
{
    struct cw_conn *conn = cw_loop_conn(loop, conn_id);

    if (!conn) {
        return CW_ENOTFOUND;
    }
    return presence ? cw_room_join_as(conn, room, *presence) : cw_room_leave(conn, room);
}

/* presence NULL: leave. */
static int by_id(struct cw_server *server, uint64_t conn_id, const char *room,
                 const struct cw_span *presence)
{
    struct cw_loop *loop;
    struct cw_name name;
    int error = cw_server_loop_of(server, conn_id, &loop);

    if (error < 0) {
        return error;
    }
    if (cw_room_name(server, room, &name) < 0) {
        return CW_EINVAL;
    }
    if (presence && presence->len > server->options.room_presence_max_bytes) {
        return CW_ETOOBIG;
    }
    if (loop == cw_loop_here()) {
        return do_here(loop, conn_id, room, presence);
    }
    return post(server, loop, conn_id, errand_new(room, presence));
}

int cw_room_join_id(struct cw_server *server, uint64_t conn_id, const char *room,
                    struct cw_span presence)
{
    return by_id(server, conn_id, room, &presence);
}

int cw_room_leave_id(struct cw_server *server, uint64_t conn_id, const char *room)
{
    return by_id(server, conn_id, room, NULL);
}

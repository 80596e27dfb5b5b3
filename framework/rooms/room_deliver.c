/* A message on its way to the members of a room: those of this loop at once, those of other loops by one parcel for
 * each. What one sender sends goes both ways in its order, so it arrives in that order. */
#include "conn_impl.h"
#include "rooms/backplane.h"
#include "rooms/room_impl.h"
#include "server_impl.h"

#include <causeway/log.h>

#include <assert.h>
#include <ctype.h>

enum {
    EXCEPT_MAX = 64,
    SKIP_MAX = EXCEPT_MAX + 1,
    ENCODED_MAX = 8, /* wire formats that travel with a parcel */
    NAME_SHOWN = 48, /* bytes of a room's name in a report */
};

/* What `encode` made, or why it did not. */
struct encoded {
    const struct cw_protocol *protocol;
    enum cw_role role;
    uint64_t key;
    struct cw_payload *payload;
    int error;
};

/* A message for other loops: one copy for all of them. */
struct parcel {
    atomic_size_t holds;
    atomic_bool counted; /* as sent, by the first loop that knows the room */
    struct cw_name name;
    struct cw_message msg;
    const uint64_t *except;
    size_t except_count;
    size_t encoded_count;
    struct encoded encoded[ENCODED_MAX];
    uint64_t except_ids[]; /* and behind them the name and the body */
};

/* One send on one loop. */
struct delivery {
    struct cw_loop *loop;
    const struct cw_message *msg;
    const struct encoded *encoded; /* by the sender's loop */
    size_t encoded_count;
    struct cw_room *room;
    enum cw_slow_policy slow;
    uint64_t queue_max; /* 0: half of the member's out_max */
    size_t skip_count;
    const struct cw_conn *skip[SKIP_MAX];
    uint64_t delivered;
    uint64_t dropped_slow;
    uint64_t dropped_kind;
    uint64_t closed_slow;
};

/* ---- encoding ---- */

static void use_encoded(struct cw_wire *wire, const struct encoded *encoded)
{
    wire->payload = encoded->payload ? cw_payload_hold(encoded->payload) : NULL;
    wire->error = encoded->error;
}

/* Once for each wire and send; what another loop has made already is taken over. */
static void encode(const struct delivery *d, struct cw_wire *wire)
{
    struct cw_room_set *set = d->loop->rooms;

    wire->send = set->send;
    wire->next_used = set->used;
    set->used = wire;
    for (size_t i = 0; i < d->encoded_count; i++) {
        const struct encoded *made = &d->encoded[i];
        if (made->key == wire->key && made->protocol == wire->protocol && made->role == wire->role) {
            use_encoded(wire, made);
            return;
        }
    }
    wire->payload = NULL;
    wire->error = wire->protocol->encode(&(struct cw_wire_format){.loop = d->loop,
                                                                  .options = wire->service->options,
                                                                  .role = wire->role,
                                                                  .key = wire->key},
                                         d->msg, &wire->payload);
}

/* The send is over on this loop: queues have holds of their own. */
static void forget_encoded(struct cw_room_set *set)
{
    while (set->used) {
        struct cw_wire *wire = set->used;
        set->used = wire->next_used;
        cw_payload_drop(wire->payload);
        wire->payload = NULL;
    }
}

/* ---- one member ---- */

static size_t queue_max(const struct delivery *d, const struct cw_conn *conn)
{
    size_t out_max = conn->origin->limits.out_max;

    if (d->queue_max == 0) {
        return out_max / 2;
    }
    return d->queue_max < out_max ? (size_t)d->queue_max : out_max;
}

/* For a protocol that has to write each message itself. */
static int send_alone(const struct delivery *d, struct cw_conn *conn, size_t max)
{
    const struct cw_protocol *protocol = conn->service->protocol;

    if (!protocol->send) {
        return CW_EKIND;
    }
    if (cw_conn_excess(conn, 0, max) > 0) {
        return CW_EFULL;
    }
    return protocol->send(conn, cw_conn_state_of(conn), d->msg);
}

static int offer(const struct delivery *d, struct cw_place *place, size_t max)
{
    struct cw_wire *wire = place->wire;

    if (!wire) {
        return send_alone(d, place->conn, max);
    }
    if (wire->send != d->loop->rooms->send) {
        encode(d, wire);
    }
    return wire->error < 0 ? wire->error
                           : cw_conn_share(place->conn, wire->payload, &place->mark, max);
}

static void count_dropped(const struct delivery *d, struct cw_conn *conn, size_t count)
{
    conn->extra->messages_dropped += count; /* a member has that part */
    cw_count(&d->loop->counters.messages_dropped, count);
}

static size_t wire_len(const struct delivery *d, const struct cw_place *place)
{
    return place->wire ? cw_payload_span(place->wire->payload).len : d->msg->body.len;
}

static void forget_waiting(struct delivery *d, struct cw_conn *conn, size_t count)
{
    d->dropped_slow += count;
    count_dropped(d, conn, count);
}

/* Room messages that wait make way, as many as it takes. */
static int drop_oldest(struct delivery *d, struct cw_place *place, size_t max)
{
    struct cw_conn *conn = place->conn;
    size_t len = wire_len(d, place);
    size_t need = cw_conn_excess(conn, len, max);
    size_t count = 0;

    if (conn->out) {
        /* Nothing in excess: what all queues of the loop may hold together is used up. */
        count = cw_outq_drop_oldest(conn->out, &d->loop->out_pool, need > 0 ? need : len);
    }
    forget_waiting(d, conn, count);
    return count > 0 ? offer(d, place, max) : CW_EFULL;
}

/* All of this room's messages that wait make way. The latest one is kept also when it is others' bytes that are too
 * many: it is one, for the next one drops it. */
static int keep_latest(struct delivery *d, struct cw_place *place, size_t max)
{
    struct cw_conn *conn = place->conn;

    if (!conn->out || !place->wire) {
        return CW_EFULL;
    }
    forget_waiting(d, conn, cw_outq_drop_marked(conn->out, &d->loop->out_pool, &place->mark));
    return offer(d, place, max + cw_conn_excess(conn, 0, max));
}

/* Names are chosen by peers: what does not print is not shown. */
static void show_name(const struct cw_room *room, char shown[NAME_SHOWN + 1])
{
    size_t len = room->named.name.len < NAME_SHOWN ? room->named.name.len : NAME_SHOWN;

    for (size_t i = 0; i < len; i++) {
        shown[i] = room->text[i];
        if (iscntrl((unsigned char)shown[i])) {
            shown[i] = '?';
        }
    }
    shown[len] = '\0';
}

static void close_slow(struct delivery *d, struct cw_conn *conn)
{
    char name[NAME_SHOWN + 1];

    show_name(d->room, name);
    cw_conn_fail(conn, CW_ESLOW, "too slow for room %s", name);
    cw_conn_break(conn, CW_ESLOW);
    d->closed_slow++;
}

/* Its queue has no room: what the policy says. */
static int deal_with_slow(struct delivery *d, struct cw_place *place, size_t max)
{
    struct cw_conn *conn = place->conn;
    int answer = CW_EFULL;

    if (d->slow == CW_SLOW_CLOSE && cw_conn_excess(conn, wire_len(d, place), max) > 0) {
        close_slow(d, conn);
        return CW_ECLOSED;
    }
    if (d->slow == CW_SLOW_DROP_OLDEST) {
        answer = drop_oldest(d, place, max);
    } else if (d->slow == CW_SLOW_KEEP_LATEST) {
        answer = keep_latest(d, place, max);
    }
    cw_conn_settle(conn);
    return answer;
}

enum {
    READY = CW_OPENED | CW_PROTOCOL_OPEN,
    NOT_READY = CW_CLOSING | CW_SWITCHING | CW_MESSAGE_OPEN,
};

/* Why a member gets nothing now. */
static int why_not(const struct cw_conn *conn)
{
    if (conn->flags & CW_CLOSING) {
        return CW_ECLOSED;
    }
    return conn->flags & CW_MESSAGE_OPEN ? CW_EFULL : CW_EKIND;
}

/* False: nothing has happened. */
static bool give_small(struct delivery *d, struct cw_place *place)
{
    const uint32_t ended = CW_OUTPUT_ENDED | CW_ENDING | CW_TOLD;
    const struct cw_wire *wire = place->wire;
    struct cw_conn *conn = place->conn;

    if (!wire || wire->send != d->loop->rooms->send || wire->error < 0 ||
        (conn->flags & (READY | NOT_READY | ended)) != READY || conn->phase == CW_PHASE_CLOSED ||
        !cw_conn_share_small(conn, cw_payload_span(wire->payload), queue_max(d, conn))) {
        return false;
    }
    d->loop->shared_to++;
    conn->messages_out++;
    d->delivered++;
    return true;
}

static void give(struct delivery *d, struct cw_place *place)
{
    struct cw_conn *conn = place->conn;
    bool ready = (conn->flags & (READY | NOT_READY)) == READY;
    int answer = ready ? offer(d, place, queue_max(d, conn)) : why_not(conn);

    if (answer == CW_EFULL && ready) {
        answer = deal_with_slow(d, place, queue_max(d, conn));
    }
    if (answer >= 0) {
        conn->messages_out++;
        d->delivered++;
    } else if (answer == CW_EFULL || answer == CW_ENOMEM) {
        d->dropped_slow++;
        count_dropped(d, conn, 1);
    } else if (answer != CW_ECLOSED) {
        d->dropped_kind++;
        count_dropped(d, conn, 1);
    }
}

/* ---- all members of a loop ---- */

static bool is_skipped(const struct delivery *d, const struct cw_conn *conn)
{
    for (size_t i = 0; i < d->skip_count; i++) {
        if (d->skip[i] == conn) {
            return true;
        }
    }
    return false;
}

static void skip_id(struct delivery *d, uint64_t conn_id)
{
    const struct cw_conn *conn = conn_id ? cw_loop_conn(d->loop, conn_id) : NULL;

    if (conn) {
        d->skip[d->skip_count++] = conn;
    }
}

static void add(atomic_uint_least64_t *counter, uint64_t n)
{
    if (n > 0) {
        atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
    }
}

static void count_up(const struct delivery *d)
{
    add(&d->room->delivered, d->delivered);
    add(&d->room->dropped_slow, d->dropped_slow);
    add(&d->room->dropped_kind, d->dropped_kind);
    add(&d->room->closed_slow, d->closed_slow);
    cw_count(&d->loop->counters.messages_out, d->delivered);
}

/* Only queues and marks: no hook runs, so nobody joins or leaves meanwhile. */
static void deliver(struct delivery *d, struct cw_local_room *local)
{
    d->room = local->room;
    d->slow = (enum cw_slow_policy)atomic_load_explicit(&d->room->slow, memory_order_relaxed);
    d->queue_max = atomic_load_explicit(&d->room->queue_max, memory_order_relaxed);
    d->loop->rooms->send++;
    for (size_t i = 0; i < local->count; i++) {
        struct cw_place *place = &local->places[i];

        if ((d->skip_count == 0 || !is_skipped(d, place->conn)) && !give_small(d, place)) {
            give(d, place);
        }
    }
    count_up(d);
}

/* ---- parcels ---- */

static void parcel_drop(struct parcel *parcel)
{
    if (atomic_fetch_sub_explicit(&parcel->holds, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < parcel->encoded_count; i++) {
        cw_payload_drop(parcel->encoded[i].payload);
    }
    cw_release(parcel);
}

static size_t copy_except(uint64_t *to, const struct cw_room_send_options *options)
{
    size_t count = 0;

    if (options && options->except) {
        to[count++] = options->except;
    }
    for (size_t i = 0; options && i < options->except_count; i++) {
        to[count++] = options->except_ids[i];
    }
    return count;
}

static struct parcel *parcel_new(const struct cw_name *name, const struct cw_message *msg,
                                 const struct cw_room_send_options *options)
{
    size_t ids = options ? options->except_count + 1 : 0;
    size_t fixed = sizeof(struct parcel) + ids * sizeof(uint64_t) + name->len;
    struct parcel *parcel =
        msg->body.len < SIZE_MAX - fixed ? cw_alloc(fixed + msg->body.len) : NULL;
    char *to;

    if (!parcel) {
        return NULL;
    }
    to = (char *)(parcel->except_ids + ids);
    atomic_init(&parcel->holds, 1);
    atomic_init(&parcel->counted, false);
    parcel->name = (struct cw_name){to, name->len, name->hash};
    parcel->msg = *msg;
    parcel->msg.body.data = (const uint8_t *)to + name->len;
    parcel->except_count = copy_except(parcel->except_ids, options);
    parcel->encoded_count = 0;
    memcpy(to, name->text, name->len);
    if (msg->body.len > 0) {
        memcpy(to + name->len, msg->body.data, msg->body.len);
    }
    return parcel;
}

/* What this loop has encoded need not be encoded again. */
static void add_encoded(struct parcel *parcel, const struct cw_room_set *set)
{
    for (const struct cw_wire *wire = set->used; wire && parcel->encoded_count < ENCODED_MAX;
         wire = wire->next_used) {
        if (wire->error == CW_ENOMEM) {
            continue;
        }
        parcel->encoded[parcel->encoded_count++] =
            (struct encoded){wire->protocol, wire->role, wire->key,
                             wire->payload ? cw_payload_hold(wire->payload) : NULL, wire->error};
    }
}

static void open_parcel(struct cw_loop *loop, struct cw_mail *mail)
{
    struct parcel *parcel = mail->arg;
    struct cw_local_room *local = cw_room_local(loop, &parcel->name);
    struct delivery d;

    if (local) {
        d = (struct delivery){.loop = loop,
                              .msg = &parcel->msg,
                              .encoded = parcel->encoded,
                              .encoded_count = parcel->encoded_count};
        for (size_t i = 0; i < parcel->except_count; i++) {
            skip_id(&d, parcel->except_ids[i]);
        }
        if (!atomic_exchange(&parcel->counted, true)) {
            add(&local->room->sent, 1);
        }
        deliver(&d, local);
        forget_encoded(loop->rooms);
    }
    parcel_drop(parcel);
}

/* ---- from here to the others ---- */

/* Which other loops are to get a parcel. A loop with members in the room can see who else has some. A join that was
 * posted before this send has to be there before it, so while one is under way everybody gets it; and so does
 * everybody from a thread that sees nothing. */
static bool wants(const struct cw_server *server, const struct cw_room *room, unsigned worker)
{
    if (!room || atomic_load_explicit(&server->rooms->joins_under_way, memory_order_acquire) > 0) {
        return true;
    }
    return atomic_load_explicit(&room->workers[worker / 64], memory_order_acquire) >> worker % 64 &
           1;
}

/* Tells what the answers of the others add up to. A loop that has stopped has no members left. */
static int add_up(int error, int answer, bool *taken)
{
    if (answer == CW_OK) {
        *taken = true;
    }
    return answer < 0 && (error == CW_OK || error == CW_ESTOPPED) ? answer : error;
}

static int post(struct cw_server *server, const struct cw_room *room, const struct cw_loop *here,
                struct parcel *parcel)
{
    struct cw_mail mail = {.fn = open_parcel, .arg = parcel};
    bool taken = here != NULL;
    int error = CW_OK;

    mail.bytes = sizeof *parcel + parcel->msg.body.len;
    for (unsigned i = 0; i < server->workers; i++) {
        int answer;

        if (server->loops[i] == here || !wants(server, room, i)) {
            continue;
        }
        atomic_fetch_add_explicit(&parcel->holds, 1, memory_order_relaxed);
        answer = cw_mailbox_put(&server->loops[i]->mailbox, &mail, CW_MAIL_BOUNDED);
        error = add_up(error, answer, &taken);
        if (answer < 0) {
            parcel_drop(parcel);
        }
    }
    return error == CW_ESTOPPED && taken ? CW_OK : error;
}

static bool others_want(const struct cw_server *server, const struct cw_room *room,
                        const struct cw_loop *here)
{
    bool any = false;

    for (unsigned i = 0; i < server->workers && !any; i++) {
        any = server->loops[i] != here && wants(server, room, i);
    }
    return any;
}

/* `here` is NULL on a thread that is none of this server's. */
static int forward(struct cw_server *server, const struct cw_room *room, const struct cw_loop *here,
                   struct parcel *parcel)
{
    int error;

    if (!parcel) {
        return CW_ENOMEM;
    }
    if (here) {
        add_encoded(parcel, here->rooms);
    }
    atomic_store(&parcel->counted, room != NULL);
    error = post(server, room, here, parcel);
    parcel_drop(parcel);
    return error;
}

static struct cw_room *deliver_here(struct cw_loop *loop, const struct cw_name *name,
                                    const struct cw_message *msg,
                                    const struct cw_room_send_options *options)
{
    struct delivery d = {.loop = loop, .msg = msg};
    struct cw_local_room *local = cw_room_local(loop, name);

    if (!local) {
        return NULL;
    }
    if (options) {
        skip_id(&d, options->except);
        for (size_t i = 0; i < options->except_count; i++) {
            skip_id(&d, options->except_ids[i]);
        }
    }
    add(&local->room->sent, 1);
    deliver(&d, local);
    return local->room;
}

static int check(struct cw_server *server, const char *text, const struct cw_message *msg,
                 const struct cw_room_send_options *options, struct cw_name *name)
{
    if (!server || atomic_load(&server->phase) != CW_SERVER_RUNNING) {
        return CW_ESTOPPED;
    }
    if (msg->part != CW_WHOLE || (options && options->except_count > EXCEPT_MAX)) {
        return CW_EINVAL;
    }
    if (msg->body.len > atomic_load_explicit(&server->rooms->message_max, memory_order_relaxed)) {
        return CW_ETOOBIG;
    }
    return cw_room_name(server, text, name);
}

int cw_room_deliver(struct cw_server *server, const char *room, const struct cw_message *msg,
                    const struct cw_room_send_options *options)
{
    struct cw_loop *here = cw_loop_here();
    struct cw_room *found = NULL;
    struct cw_name name;
    int error = check(server, room, msg, options, &name);

    if (error < 0) {
        return error;
    }
    here = here && here->server == server ? here : NULL;
    if (here) {
        found = deliver_here(here, &name, msg, options);
    }
    if (others_want(server, found, here)) {
        error = forward(server, found, here, parcel_new(&name, msg, options));
    }
    if (here) {
        forget_encoded(here->rooms);
    }
    return error;
}

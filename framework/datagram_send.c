/* Datagrams out: gathered, sent in one call, kept for a while when the kernel has no room. */
#include "datagram_socket_impl.h"

#include "address_impl.h"

#include <causeway/log.h>

#include <errno.h>
#include <netinet/udp.h>

enum { TRIES = 4 };

/* What is given to the kernel in one call. */
struct shipment {
    const struct cw_dgram_run *run;
    const uint8_t *bytes;
};

/* ---- names and control messages ---- */

static socklen_t name_of(const struct cw_datagram_socket *socket, const struct cw_address *peer,
                         union cw_dgram_name *name)
{
    struct sockaddr_storage system;
    socklen_t len;

    if (socket->family == AF_INET6 && peer->family == CW_IPV4) {
        memset(&name->ipv6, 0, sizeof name->ipv6);
        name->ipv6.sin6_family = AF_INET6;
        name->ipv6.sin6_port = htons(peer->port);
        name->ipv6.sin6_addr.s6_addr[10] = name->ipv6.sin6_addr.s6_addr[11] = 0xff;
        memcpy(name->ipv6.sin6_addr.s6_addr + 12, peer->ip, 4);
        return sizeof name->ipv6;
    }
    len = cw_address_to_sockaddr(peer, &system);
    memcpy(name, &system, len < sizeof *name ? len : sizeof *name);
    return len;
}

static uint8_t *add_control(uint8_t *at, int level, int type, struct cw_span value)
{
    struct cmsghdr head = {.cmsg_len = CMSG_LEN(value.len), .cmsg_level = level, .cmsg_type = type};

    memset(at, 0, CMSG_SPACE(value.len));
    memcpy(at, &head, sizeof head);
    memcpy(at + CMSG_LEN(0), value.data, value.len);
    return at + CMSG_SPACE(value.len);
}

static uint8_t *add_local(uint8_t *at, const struct cw_datagram_socket *socket,
                          const struct cw_dgram_run *run)
{
    struct in_pktinfo four = {0};
    struct in6_pktinfo six = {0};

    if (socket->family == AF_INET) {
        memcpy(&four.ipi_spec_dst, run->local_ip, sizeof four.ipi_spec_dst);
        return add_control(at, IPPROTO_IP, IP_PKTINFO, cw_span_of(&four, sizeof four));
    }
    if (run->local_family == CW_IPV4) {
        six.ipi6_addr.s6_addr[10] = six.ipi6_addr.s6_addr[11] = 0xff;
        memcpy(six.ipi6_addr.s6_addr + 12, run->local_ip, 4);
    } else {
        memcpy(&six.ipi6_addr, run->local_ip, sizeof six.ipi6_addr);
    }
    return add_control(at, IPPROTO_IPV6, IPV6_PKTINFO, cw_span_of(&six, sizeof six));
}

static size_t write_control(uint8_t *control, const struct cw_datagram_socket *socket,
                            const struct cw_dgram_run *run)
{
    uint8_t *at = control;

    if (socket->is_told && run->local_family != 0) {
        at = add_local(at, socket, run);
    }
    if (run->count > 1) {
        at = add_control(at, IPPROTO_UDP, UDP_SEGMENT,
                         cw_span_of(&run->segment, sizeof run->segment));
    }
    return (size_t)(at - control);
}

/* ---- to the kernel ---- */

/* The messages of one call. */
struct call {
    struct mmsghdr heads[CW_DGRAM_BATCH];
    struct iovec iov[CW_DGRAM_BATCH];
    _Alignas(struct cmsghdr) uint8_t controls[CW_DGRAM_BATCH][CW_DGRAM_CONTROL];
};

static void set_head(struct call *call, size_t i, const struct cw_datagram_socket *socket,
                     const struct shipment *shipment)
{
    const struct cw_dgram_run *run = shipment->run;
    struct msghdr *head = &call->heads[i].msg_hdr;

    call->iov[i].iov_base = (void *)(uintptr_t)shipment->bytes;
    call->iov[i].iov_len = run->len;
    head->msg_name = run->name_len > 0 ? (void *)(uintptr_t)&run->name : NULL;
    head->msg_namelen = run->name_len;
    head->msg_iov = &call->iov[i];
    head->msg_iovlen = 1;
    head->msg_control = call->controls[i];
    head->msg_controllen = write_control(call->controls[i], socket, run);
    if (head->msg_controllen == 0) {
        head->msg_control = NULL;
    }
    head->msg_flags = 0;
}

static bool is_soft(int error)
{
    return error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH ||
           error == EHOSTDOWN || error == ENETDOWN || error == ENOPROTOOPT || error == EPROTO;
}

static void count_lost(struct cw_datagram_socket *socket, const struct cw_dgram_run *run, int error)
{
    if (error == EMSGSIZE) {
        CW_DGRAM_COUNT(socket->loop, dropped_too_big, run->count);
    } else if (error == ENOBUFS || error == ENOMEM) {
        CW_DGRAM_COUNT(socket->loop, dropped_full, run->count);
    } else {
        CW_DGRAM_COUNT(socket->loop, dropped_error, run->count);
        socket->lost_errno = error;
        socket->lost_name = run->name;
        socket->lost_name_len = run->name_len;
        cw_dgram_look_soon(socket); /* hooks are not called from here */
    }
}

static size_t transmit(struct cw_datagram_socket *socket, const struct shipment *all, size_t count);

static uint64_t sent_so_far(const struct cw_datagram_socket *socket)
{
    return atomic_load_explicit(&socket->loop->datagram_counters.sent, memory_order_relaxed);
}

/* Its datagrams go one by one. Where that is possible it is the path or the device that does not take runs, and so will the next
 * ones of that size; who cannot be sent anything has taught nothing about others. False: the kernel is full. */
static bool send_apart(struct cw_datagram_socket *socket, const struct shipment *shipment, int error)
{
    struct cw_dgram_run runs[CW_DGRAM_RUN_MAX];
    struct shipment parts[CW_DGRAM_RUN_MAX];
    const struct cw_dgram_run *whole = shipment->run;
    uint64_t before = sent_so_far(socket);
    size_t done;

    for (uint16_t i = 0; i < whole->count; i++) {
        uint32_t at = (uint32_t)i * whole->segment;

        runs[i] = *whole;
        runs[i].count = 1;
        runs[i].len = whole->len - at < whole->segment ? whole->len - at : whole->segment;
        parts[i] = (struct shipment){&runs[i], shipment->bytes + at};
    }
    done = transmit(socket, parts, whole->count);
    if (sent_so_far(socket) != before && error == EIO) {
        socket->gathers = false;
    } else if (sent_so_far(socket) != before) {
        socket->segment_max = (uint16_t)(whole->segment - 1);
    }
    if (done < whole->count) {
        CW_DGRAM_COUNT(socket->loop, dropped_full, whole->count - done);
    }
    return done == whole->count;
}

enum verdict {
    ONCE_MORE,
    DEALT_WITH,  /* gone, or lost and counted */
    KERNEL_FULL, /* it waits, and those behind it */
    FULL_BEHIND, /* those behind it wait */
};

/* What the kernel has said about the first of them. */
static enum verdict judge(struct cw_datagram_socket *socket, const struct shipment *first,
                          int error, int tries)
{
    const struct cw_dgram_run *run = first->run;

    if (error == EINTR) {
        return ONCE_MORE;
    }
    if (error == EAGAIN || error == EWOULDBLOCK) {
        return KERNEL_FULL;
    }
    if (run->count > 1 && (error == EINVAL || error == EMSGSIZE || error == EIO)) {
        return send_apart(socket, first, error) ? DEALT_WITH : FULL_BEHIND;
    }
    if (is_soft(error) && tries < TRIES) {
        return ONCE_MORE; /* of one that was sent before. Its queue of errors tells more, when it is read */
    }
    count_lost(socket, run, error);
    return DEALT_WITH;
}

/* Returns how many of them need not be thought of any more: sent, or lost and counted. Fewer than all: the kernel is full. */
static size_t transmit(struct cw_datagram_socket *socket, const struct shipment *all, size_t count)
{
    struct call call;
    size_t done = 0;
    int tries = 0;

    for (size_t i = 0; i < count; i++) {
        set_head(&call, i, socket, &all[i]);
    }
    while (done < count) {
        int n = sendmmsg(socket->fd, call.heads + done, (unsigned)(count - done),
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        socket->interrupted |= n < 0 || (size_t)n < count - done;
        for (int i = 0; i < n && done < count; i++) {
            CW_DGRAM_COUNT(socket->loop, sent, all[done++].run->count);
        }
        if (n > 0) {
            tries = 0;
            continue;
        }
        switch (judge(socket, &all[done], errno, tries++)) {
        case ONCE_MORE:
            break;
        case DEALT_WITH:
            done++;
            tries = 0;
            break;
        case KERNEL_FULL:
            return done;
        case FULL_BEHIND:
            return done + 1;
        }
    }
    return done;
}

/* ---- what has to wait ---- */

static int refuse_full(struct cw_datagram_socket *socket, struct cw_conn *conn, uint64_t count)
{
    CW_DGRAM_COUNT(socket->loop, dropped_full, count);
    if (conn && !(conn->flags & CW_WANT_DRAIN)) {
        conn->flags |= CW_WANT_DRAIN;
        socket->refused++;
    }
    return CW_EFULL;
}

static struct cw_dgram_waiting *wait_behind(struct cw_datagram_socket *socket,
                                            const struct cw_dgram_run *run)
{
    size_t cost = sizeof(struct cw_dgram_waiting) + run->len;
    struct cw_dgram_waiting *waiting =
        socket->waiting_bytes + cost <= socket->queue_max ? cw_alloc(cost) : NULL;

    if (waiting) {
        waiting->next = NULL;
        waiting->run = *run;
        waiting->run.conn = NULL; /* it may leave before; nobody has to look for it here then */
        *socket->waiting_tail = waiting;
        socket->waiting_tail = &waiting->next;
        socket->waiting_bytes += cost;
    }
    return waiting;
}

static void drop_first(struct cw_datagram_socket *socket)
{
    struct cw_dgram_waiting *first = socket->waiting;

    socket->waiting = first->next;
    if (!socket->waiting) {
        socket->waiting_tail = &socket->waiting;
    }
    socket->waiting_bytes -= sizeof *first + first->run.len;
    cw_release(first);
}

void cw_dgram_drop_waiting(struct cw_datagram_socket *socket)
{
    while (socket->waiting) {
        CW_DGRAM_COUNT(socket->loop, dropped_full, socket->waiting->run.count);
        drop_first(socket);
    }
}

static void keep_rest(struct cw_datagram_loop *shared, size_t from)
{
    struct cw_datagram_socket *socket = shared->owner;
    bool watches = cw_dgram_watch_writable(socket, true);

    for (size_t i = from; i < shared->run_count; i++) {
        const struct cw_dgram_run *run = &shared->runs[i];
        struct cw_dgram_waiting *waiting = watches ? wait_behind(socket, run) : NULL;

        if (waiting) {
            memcpy(waiting->bytes, shared->out + run->start, run->len);
        } else {
            refuse_full(socket, run->conn, run->count);
        }
    }
}

/* As transmit, for all that was gathered. */
static size_t transmit_runs(const struct cw_datagram_loop *shared)
{
    size_t done = 0;

    while (done < shared->run_count) {
        struct shipment all[CW_DGRAM_BATCH];
        size_t left = shared->run_count - done;
        size_t count = left < CW_DGRAM_BATCH ? left : CW_DGRAM_BATCH;
        size_t sent;

        for (size_t i = 0; i < count; i++) {
            const struct cw_dgram_run *run = &shared->runs[done + i];

            all[i] = (struct shipment){run, shared->out + run->start};
        }
        sent = transmit(shared->owner, all, count);
        done += sent;
        if (sent < count) {
            break;
        }
    }
    return done;
}

void cw_dgram_flush(struct cw_datagram_loop *shared)
{
    size_t done;

    if (shared->run_count == 0) {
        return;
    }
    done = transmit_runs(shared);
    if (done < shared->run_count) {
        keep_rest(shared, done);
    }
    shared->run_count = 0;
    shared->out_len = 0;
    shared->last_start = 0;
    shared->last_len = 0;
    shared->owner = NULL;
}

void cw_datagrams_flush(struct cw_loop *loop)
{
    if (loop->datagrams) {
        cw_dgram_flush(loop->datagrams);
    }
}

static bool wants_room(struct cw_conn *conn)
{
    if (!(conn->flags & CW_WANT_DRAIN)) {
        return false;
    }
    cw_conn_at_turn_end(conn, CW_TURN_FLUSH);
    return true;
}

/* Those that were refused were heard of lately, most of them: the search ends with the last one. */
static void tell_of_room(struct cw_datagram_socket *socket)
{
    uint32_t left = socket->refused;

    socket->refused = 0;
    if (socket->client) {
        (void)wants_room(socket->client);
        return;
    }
    for (int rank = 0; rank < CW_RANKS; rank++) {
        uint32_t slot = socket->order[rank].newest;

        while (slot != 0 && left > 0) {
            struct cw_conn *conn = cw_slots_at(&socket->loop->slots, slot - 1)->conn;

            left -= wants_room(conn);
            slot = conn->peer_link.older;
        }
    }
}

void cw_dgram_on_writable(struct cw_datagram_socket *socket)
{
    while (socket->waiting) {
        struct shipment all[CW_DGRAM_BATCH];
        size_t count = 0;
        size_t done;

        for (struct cw_dgram_waiting *w = socket->waiting; w && count < CW_DGRAM_BATCH;
             w = w->next) {
            all[count++] = (struct shipment){&w->run, w->bytes};
        }
        done = transmit(socket, all, count);
        for (size_t i = 0; i < done; i++) {
            drop_first(socket);
        }
        if (done < count) {
            return;
        }
    }
    cw_dgram_watch_writable(socket, false);
    if (socket->refused > 0) {
        tell_of_room(socket);
    }
}

/* ---- one more ---- */

void cw_dgram_forget(struct cw_datagram_socket *socket, const struct cw_conn *conn)
{
    struct cw_datagram_loop *shared = socket->loop->datagrams;

    for (size_t i = 0; shared->owner == socket && i < shared->run_count; i++) {
        if (shared->runs[i].conn == conn) {
            shared->runs[i].conn = NULL;
        }
    }
}

/* What one datagram is made of. */
struct body {
    const struct cw_span *parts;
    size_t count;
    size_t len;
};

static struct body body_of(const struct cw_span *parts, size_t count)
{
    return (struct body){parts, count, cw_spans_total(parts, count)};
}

static void copy_body(uint8_t *to, const struct body *body)
{
    for (size_t i = 0; i < body->count; i++) {
        if (body->parts[i].len > 0) {
            memcpy(to, body->parts[i].data, body->parts[i].len);
            to += body->parts[i].len;
        }
    }
}

/* Whether the last run of a peer can take so many bytes more as one datagram. */
static bool can_grow(const struct cw_datagram_socket *socket, const struct cw_dgram_run *run,
                     size_t len)
{
    return socket->gathers && len > 0 && len <= run->segment &&
           run->segment <= socket->segment_max && run->count < CW_DGRAM_RUN_MAX &&
           run->len == (uint32_t)run->segment * run->count && run->len + len <= CW_DGRAM_MOST;
}

/* The latest run of this connection; NULL: it has none, or it is not known any more. */
static struct cw_dgram_run *run_of(struct cw_datagram_loop *shared, const struct cw_conn *conn)
{
    uint16_t at = conn ? shared->run_at[conn->slot % CW_DGRAM_RUNS] : 0;

    return conn && at < shared->run_count && shared->runs[at].conn == conn ? &shared->runs[at]
                                                                           : NULL;
}

/* Sends the batch if it cannot take one more; the kernel may be full then. */
static void make_room(struct cw_datagram_socket *socket, size_t len)
{
    struct cw_datagram_loop *shared = socket->loop->datagrams;

    if (shared->owner != socket || shared->out_len + len > sizeof shared->out ||
        shared->run_count == CW_DGRAM_RUNS) {
        cw_dgram_flush(shared);
    }
}

/* Whether the bytes are those that were put there last. So it is with what goes to a room: it lies there once for all members. */
static bool is_again(const struct cw_datagram_loop *shared, const struct body *body)
{
    const uint8_t *at = shared->out + shared->last_start;

    if (body->len != shared->last_len) {
        return false;
    }
    for (size_t i = 0; i < body->count; i++) {
        if (body->parts[i].len > 0 && memcmp(at, body->parts[i].data, body->parts[i].len) != 0) {
            return false;
        }
        at += body->parts[i].len;
    }
    return true;
}

static void put(struct cw_datagram_loop *shared, const struct body *body)
{
    shared->last_start = shared->out_len;
    shared->last_len = body->len;
    copy_body(shared->out + shared->out_len, body);
    shared->out_len += body->len;
}

/* One datagram more for a run, whose bytes have to lie behind each other. False: it cannot take it. */
static bool grow(const struct cw_datagram_socket *socket, struct cw_dgram_run *run,
                 const struct body *body)
{
    struct cw_datagram_loop *shared = socket->loop->datagrams;
    size_t end = (size_t)run->start + run->len;

    if (!can_grow(socket, run, body->len) || (end != shared->out_len && end != shared->last_start)) {
        return false;
    }
    if (end == shared->out_len) {
        put(shared, body);
    } else if (!is_again(shared, body)) {
        return false;
    }
    run->len += (uint32_t)body->len;
    run->count++;
    return true;
}

/* Its address is still to be set. */
static struct cw_dgram_run *begin_run(struct cw_datagram_loop *shared, struct cw_conn *conn,
                                      const struct body *body)
{
    struct cw_dgram_run *run = &shared->runs[shared->run_count];

    if (!is_again(shared, body)) {
        put(shared, body);
    }
    run->conn = conn;
    run->start = (uint32_t)shared->last_start;
    run->len = (uint32_t)body->len;
    run->segment = (uint16_t)body->len;
    run->count = 1;
    if (conn) {
        shared->run_at[conn->slot % CW_DGRAM_RUNS] = (uint16_t)shared->run_count;
    }
    shared->run_count++;
    return run;
}

static void set_address(const struct cw_datagram_socket *socket, struct cw_dgram_run *run,
                        const struct cw_address *peer, const struct cw_address *local)
{
    run->name_len = socket->connected ? 0 : name_of(socket, peer, &run->name);
    run->local_family = local->family;
    memcpy(run->local_ip, local->ip, sizeof run->local_ip);
}

/* Who gets it, from where. */
struct target {
    struct cw_conn *conn; /* NULL: a peer that there is not */
    const struct cw_address *peer;
    struct cw_address local;
};

/* Behind what waits already. */
static int add_waiting(struct cw_datagram_socket *socket, const struct target *target,
                       const struct body *body)
{
    struct cw_dgram_run run = {.conn = target->conn,
                               .len = (uint32_t)body->len,
                               .segment = (uint16_t)body->len,
                               .count = 1};
    struct cw_dgram_waiting *waiting;

    set_address(socket, &run, target->peer, &target->local);
    waiting = wait_behind(socket, &run);
    if (!waiting) {
        return refuse_full(socket, target->conn, 1);
    }
    copy_body(waiting->bytes, body);
    return CW_OK;
}

static int add(struct cw_datagram_socket *socket, const struct target *target,
               const struct body *body)
{
    struct cw_datagram_loop *shared = socket->loop->datagrams;
    struct cw_dgram_run *run;

    if (!socket->is_full) {
        make_room(socket, body->len);
    }
    if (socket->is_full) {
        return add_waiting(socket, target, body);
    }
    shared->owner = socket;
    run = run_of(shared, target->conn);
    if (!run || !grow(socket, run, body)) {
        run = begin_run(shared, target->conn, body);
        set_address(socket, run, target->peer, &target->local);
    }
    return CW_OK;
}

static int too_big(struct cw_loop *loop)
{
    CW_DGRAM_COUNT(loop, dropped_too_big, 1);
    return CW_ETOOBIG;
}

int cw_datagram_send(struct cw_conn *conn, const struct cw_span *parts, size_t count)
{
    struct cw_peer_link *link = &conn->peer_link;
    struct cw_datagram_socket *socket = link->socket;
    const struct body body = body_of(parts, count);
    struct target target = {.conn = conn, .peer = &conn->peer};

    if (body.len > CW_DGRAM_MOST) {
        return too_big(conn->loop);
    }
    if (link->rank != CW_RANK_PROVEN && socket->amplification != CW_NO_LIMIT) {
        if (body.len > link->credit) {
            CW_DGRAM_COUNT(conn->loop, dropped_unproven, 1);
            return CW_EUNPROVEN;
        }
        link->credit -= (uint32_t)body.len;
    }
    link->answered = true;
    target.local.family = link->local_family;
    memcpy(target.local.ip, link->local_ip, sizeof target.local.ip);
    return add(socket, &target, &body);
}

int cw_datagram_answer(struct cw_datagram_socket *socket, struct cw_datagram *to,
                       const struct cw_span *parts, size_t count)
{
    struct target target = {.peer = &to->peer, .local = to->local};
    const struct body body = body_of(parts, count);
    int error;

    if (body.len > CW_DGRAM_MOST) {
        return too_big(socket->loop);
    }
    if (body.len > to->credit) {
        CW_DGRAM_COUNT(socket->loop, dropped_unproven, 1);
        return CW_EUNPROVEN;
    }
    error = add(socket, &target, &body);
    if (error == CW_OK && to->credit != CW_NO_LIMIT) {
        to->credit -= body.len;
    }
    return error;
}

int cw_datagram_reply(struct cw_loop *loop, struct cw_datagram *to, struct cw_span body)
{
    struct cw_datagram_socket *socket = loop->datagrams ? loop->datagrams->sockets : NULL;
    int error;

    cw_loop_assert_thread(loop);
    while (socket && socket->number != to->socket) {
        socket = socket->next;
    }
    error = socket ? cw_datagram_answer(socket, to, &body, 1) : CW_ENOTFOUND;
    if (error == CW_OK) {
        cw_count(&loop->counters.messages_out, 1);
        cw_count(&loop->counters.bytes_out, body.len);
    }
    return error;
}

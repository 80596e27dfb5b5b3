/* Sockets of datagrams: made, read from, ended. */
#include "datagram_socket_impl.h"

#include "address_impl.h"
#include "report.h"
#include "tls/tls.h"

#include <causeway/log.h>

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <unistd.h>

/* ---- what the sockets of a loop share ---- */

static void lay_out(struct cw_datagram_loop *shared)
{
    for (size_t i = 0; i < CW_DGRAM_BATCH; i++) {
        shared->in_iov[i].iov_base = shared->buffers + i * CW_DGRAM_STRIDE;
        shared->in_iov[i].iov_len = 65536;
        shared->in[i].msg_hdr.msg_iov = &shared->in_iov[i];
        shared->in[i].msg_hdr.msg_iovlen = 1;
        shared->in[i].msg_hdr.msg_name = &shared->names[i];
        shared->in[i].msg_hdr.msg_control = shared->controls[i];
    }
}

static void release_shared(struct cw_datagram_loop *shared)
{
    if (shared) {
        cw_release(shared->buffers);
        cw_release(shared);
    }
}

static struct cw_datagram_loop *shared_of(struct cw_loop *loop)
{
    struct cw_datagram_loop *shared = loop->datagrams;

    if (shared) {
        return shared;
    }
    shared = cw_alloc(sizeof *shared);
    if (!shared) {
        return NULL;
    }
    memset(shared, 0, offsetof(struct cw_datagram_loop, out));
    shared->buffers = cw_alloc((size_t)CW_DGRAM_BATCH * CW_DGRAM_STRIDE);
    if (!shared->buffers || cw_hash_seed(&shared->seed) < 0) {
        release_shared(shared);
        return NULL;
    }
    lay_out(shared);
    loop->datagrams = shared;
    return shared;
}

void cw_datagrams_free(struct cw_loop *loop)
{
    release_shared(loop->datagrams);
    loop->datagrams = NULL;
}

/* ---- made and freed ---- */

static void set_flag(int fd, int level, int name)
{
    int on = 1;

    setsockopt(fd, level, name, &on, sizeof on);
}

static bool is_any(const struct cw_address *address)
{
    static const uint8_t none[16];

    return memcmp(address->ip, none, address->family == CW_IPV4 ? 4 : 16) == 0;
}

/* What the kernel is to tell with each datagram. None of it is needed: an old kernel just tells less. */
static void ask(struct cw_datagram_socket *socket, const struct cw_datagram_options *options)
{
    int fd = socket->fd;

    socket->is_told = !socket->connected && is_any(&socket->address);
    set_flag(fd, SOL_SOCKET, SO_RXQ_OVFL);
    set_flag(fd, IPPROTO_IP, IP_RECVERR);
    if (socket->family == AF_INET6) {
        set_flag(fd, IPPROTO_IPV6, IPV6_RECVERR);
    }
    /* Of a datagram over IPv4 the second alone tells an address of ours when it went to a group or to all. */
    if (socket->is_told && socket->family == AF_INET6) {
        set_flag(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
    }
    if (socket->is_told) {
        set_flag(fd, IPPROTO_IP, IP_PKTINFO);
    }
    if (!options->no_offload) {
        set_flag(fd, IPPROTO_UDP, UDP_GRO);
        socket->gathers = true;
    }
}

static void take_options(struct cw_datagram_socket *socket,
                         const struct cw_datagram_options *options)
{
    socket->amplification = socket->connected ? CW_NO_LIMIT : options->amplification;
    socket->queue_max = options->queue_max_bytes;
    socket->per_turn = options->datagrams_per_turn;
    socket->peers_max = options->peers_max == 0 ? CW_NO_LIMIT : options->peers_max;
    socket->idle = cw_ticks(options->peer_idle_ms);
    socket->silent = socket->connected ? 0 : cw_ticks(options->peer_silent_ms);
    socket->segment_max = CW_DGRAM_SEGMENT_MAX;
}

static void on_readable(evutil_socket_t fd, short events, void *arg);
static void on_writable(evutil_socket_t fd, short events, void *arg);

static void set_limit(struct cw_datagram_socket *socket)
{
    const struct cw_service_ref *service = socket->origin->service;

    socket->message_max = service->protocol->message_max && !socket->origin->tls
                              ? service->protocol->message_max(service->options)
                              : CW_DGRAM_MOST;
}

static void fill_in(struct cw_datagram_socket *socket, const struct cw_datagram_setup *setup)
{
    struct sockaddr_storage system = {0};
    socklen_t len = sizeof system;

    socket->loop = setup->loop;
    socket->origin = cw_origin_hold(setup->origin);
    socket->entry = setup->entry;
    socket->fd = setup->fd;
    socket->connected = setup->peer != NULL;
    socket->waiting_tail = &socket->waiting;
    if (getsockname(setup->fd, (struct sockaddr *)&system, &len) == 0) {
        socket->family = system.ss_family;
        cw_address_from_sockaddr((const struct sockaddr *)&system, len, &socket->address);
    }
    take_options(socket, setup->options);
    set_limit(socket);
    ask(socket, setup->options);
}

struct cw_datagram_socket *cw_datagram_socket_new(const struct cw_datagram_setup *setup)
{
    struct cw_datagram_loop *shared = shared_of(setup->loop);
    struct cw_datagram_socket *socket = shared ? cw_alloc_zero(sizeof *socket) : NULL;

    if (!socket) {
        return NULL;
    }
    socket->readable =
        event_new(setup->loop->base, setup->fd, EV_READ | EV_PERSIST, on_readable, socket);
    if (!socket->readable) {
        cw_release(socket);
        return NULL;
    }
    fill_in(socket, setup);
    if (!socket->connected) { /* of clients there may be thousands, and nobody looks for them */
        socket->number = ++shared->last_number;
        socket->next = shared->sockets;
        shared->sockets = socket;
    }
    cw_count(&setup->loop->datagram_counters.sockets, 1);
    return socket;
}

static void take_out(struct cw_datagram_socket *socket)
{
    struct cw_datagram_socket **link = &socket->loop->datagrams->sockets;

    while (*link && *link != socket) {
        link = &(*link)->next;
    }
    if (*link) {
        *link = socket->next;
    }
}

void cw_datagram_socket_free(struct cw_datagram_socket *socket)
{
    struct cw_datagram_loop *shared = socket->loop->datagrams;

    if (shared->owner == socket) {
        cw_dgram_flush(shared);
    }
    cw_dgram_drop_waiting(socket);
    take_out(socket);
    atomic_fetch_sub(&socket->loop->datagram_counters.sockets, 1);
    event_free(socket->readable);
    if (socket->writable) {
        event_free(socket->writable);
    }
    if (socket->fd >= 0) {
        close(socket->fd);
    }
    cw_dtls_gate_free(socket->gate);
    cw_peers_release(socket);
    cw_origin_drop(socket->origin);
    cw_release(socket);
}

int cw_datagram_socket_start(struct cw_datagram_socket *socket)
{
    if (socket->origin->tls && !socket->client) {
        socket->gate = cw_dtls_gate_new(socket, socket->loop);
        if (!socket->gate) {
            return CW_ENOMEM;
        }
    }
    return event_add(socket->readable, NULL) < 0 ? CW_ENOMEM : CW_OK;
}

void cw_datagram_socket_drain(struct cw_datagram_socket *socket)
{
    socket->draining = true;
}

void cw_datagram_socket_set_origin(struct cw_datagram_socket *socket, struct cw_origin *origin)
{
    cw_origin_drop(socket->origin);
    socket->origin = cw_origin_hold(origin);
    set_limit(socket);
}

int cw_datagram_socket_fd(const struct cw_datagram_socket *socket)
{
    return socket->fd;
}

uint32_t cw_datagram_idle(const struct cw_conn *conn)
{
    const struct cw_datagram_socket *socket = conn->peer_link.socket;

    return socket ? socket->idle : conn->origin->limits.idle;
}

uint32_t cw_datagram_silent(const struct cw_conn *conn)
{
    const struct cw_datagram_socket *socket = conn->datagram ? conn->peer_link.socket : NULL;

    return socket ? socket->silent : 0;
}

void cw_datagram_expired(struct cw_conn *conn)
{
    CW_DGRAM_COUNT(conn->loop, peers_expired, 1);
    cw_conn_end_with(conn, CW_EXPIRED);
}

int cw_datagram_local(const struct cw_conn *conn, struct cw_address *address)
{
    const struct cw_peer_link *link = &conn->peer_link;

    if (!link->socket) {
        return CW_ENOTFOUND;
    }
    *address = link->socket->address;
    if (link->local_family != 0) {
        address->family = link->local_family;
        memcpy(address->ip, link->local_ip, sizeof address->ip);
    }
    return CW_OK;
}

/* ---- a peer's end ---- */

/* The peer is not found any more, and a client's socket goes with it. */
void cw_datagram_leave(struct cw_conn *conn)
{
    struct cw_datagram_socket *socket = conn->peer_link.socket;

    if (!socket) {
        return;
    }
    cw_peers_remove(socket, conn);
    cw_dgram_forget(socket, conn);
    if (socket->client == conn) {
        socket->client = NULL;
        cw_datagram_socket_free(socket);
    }
    conn->peer_link.socket = NULL;
}

static void datagram_close(struct cw_conn *conn, bool reset)
{
    (void)reset;
    cw_datagram_leave(conn);
}

static void datagram_end(struct cw_conn *conn)
{
    (void)conn;
}

static const struct cw_stream_ops datagram_ops = {
    .name = "datagram",
    .send = cw_datagram_send,
    .receive = cw_conn_feed_datagram,
    .end = datagram_end,
    .close = datagram_close,
    .short_read_is_empty = true,
};

struct cw_stream cw_stream_datagram = {.ops = &datagram_ops};

/* ---- what has come ---- */

/* One datagram, or several of one size that the kernel has put together. */
struct arrival {
    struct cw_datagram from;
    uint8_t *data;
    size_t len;
    size_t segment; /* 0: one */
    bool truncated;
};

void cw_dgram_read_local(struct cmsghdr *control, struct cw_datagram *from)
{
    if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;

        memcpy(&info, CMSG_DATA(control), sizeof info);
        from->local.family = CW_IPV4;
        /* With an error of what was sent there is no way back yet, and the other one says where it was sent from. */
        memcpy(from->local.ip, info.ipi_spec_dst.s_addr != 0 ? &info.ipi_spec_dst : &info.ipi_addr,
               4);
        from->interface = (uint32_t)info.ipi_ifindex;
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo info;

        memcpy(&info, CMSG_DATA(control), sizeof info);
        from->interface = info.ipi6_ifindex;
        if (!IN6_IS_ADDR_V4MAPPED(&info.ipi6_addr) && !IN6_IS_ADDR_MULTICAST(&info.ipi6_addr)) {
            from->local.family = CW_IPV6;
            memcpy(from->local.ip, &info.ipi6_addr, 16);
        }
    }
}

static void read_drops(struct cw_datagram_socket *socket, const struct cmsghdr *control)
{
    uint32_t drops;

    memcpy(&drops, CMSG_DATA(control), sizeof drops);
    CW_DGRAM_COUNT(socket->loop, dropped_kernel, drops - socket->kernel_drops);
    socket->kernel_drops = drops;
}

static void read_control(struct cw_datagram_socket *socket, struct msghdr *head,
                         struct arrival *arrival)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c; c = CMSG_NXTHDR(head, c)) {
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            int segment;

            memcpy(&segment, CMSG_DATA(c), sizeof segment);
            arrival->segment = segment > 0 ? (size_t)segment : 0;
        } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
            read_drops(socket, c);
        } else {
            cw_dgram_read_local(c, &arrival->from);
        }
    }
    arrival->from.local.port =
        arrival->from.local.family != CW_FAMILY_NONE ? socket->address.port : 0;
}

static uint64_t credit_of(const struct cw_datagram_socket *socket, size_t len)
{
    return socket->amplification == CW_NO_LIMIT ? CW_NO_LIMIT : len * socket->amplification;
}

/* Somebody nobody knows. NULL: it has been dealt with. */
static struct cw_conn *meet(struct cw_datagram_socket *socket, struct arrival *arrival,
                            uint8_t *data, size_t len)
{
    struct cw_stream *stream = NULL;
    struct cw_conn *conn;

    if (socket->draining) {
        CW_DGRAM_COUNT(socket->loop, dropped_rule, 1);
        return NULL;
    }
    if (socket->gate) {
        stream = cw_dtls_gate_admit(socket->gate, socket->origin->tls, &arrival->from, data, len);
        if (!stream) {
            return NULL;
        }
    }
    conn =
        cw_peers_welcome(socket, &(struct cw_newcomer){.from = &arrival->from, .stream = stream});
    if (!conn) {
        if (stream) {
            cw_tls_stream_drop(stream);
        }
        return NULL;
    }
    if (!stream) {
        cw_peers_give_credit(conn, len);
    }
    cw_conn_handshake(conn);
    return stream ? NULL : conn;
}

/* A record with a connection id finds its peer from wherever it comes. */
static bool take_moved(struct cw_datagram_socket *socket, struct arrival *arrival, uint8_t *data,
                       size_t len)
{
    uint64_t id = socket->gate ? cw_dtls_gate_find(socket->gate, data, len) : 0;
    struct cw_conn *conn = id != 0 ? cw_loop_conn(socket->loop, id) : NULL;

    if (!conn || !conn->datagram || conn->peer_link.socket != socket) {
        return false;
    }
    cw_dtls_receive_from(conn, &arrival->from, data, len);
    return true;
}

void cw_datagram_begin_again(struct cw_conn *conn, uint8_t *data, size_t len)
{
    const struct cw_peer_link *link = &conn->peer_link;
    struct cw_datagram_socket *socket = link->socket;
    struct arrival arrival = {
        .from = {.peer = conn->peer, .socket = socket->number, .credit = credit_of(socket, len)}};

    if (link->local_family != 0) {
        arrival.from.local = socket->address;
        arrival.from.local.family = link->local_family;
        memcpy(arrival.from.local.ip, link->local_ip, sizeof link->local_ip);
    }
    cw_peers_remove(socket, conn);
    cw_conn_end_now(conn, CW_BY_PEER);
    (void)meet(socket, &arrival, data, len);
}

static bool is_answered_without_peer(struct cw_datagram_socket *socket, struct arrival *arrival,
                                     struct cw_span data)
{
    const struct cw_service_ref *service = socket->origin->service;
    struct cw_loop *loop = socket->loop;

    if (!service->protocol->on_datagram || socket->gate ||
        service->protocol->on_datagram(loop, service->options, service->user, &arrival->from,
                                       data) == 0) {
        return false;
    }
    cw_count(&loop->counters.messages_in, 1);
    cw_count(&loop->counters.bytes_in, data.len);
    return true;
}

static void take_for_peer(struct cw_datagram_socket *socket, struct arrival *arrival, uint8_t *data,
                          size_t len)
{
    struct cw_peer_key key;
    struct cw_conn *conn;

    cw_peer_key_of(&key, &arrival->from);
    conn = cw_peers_find(socket, &key);
    if (conn) {
        cw_peers_heard(conn, len);
    } else if (!take_moved(socket, arrival, data, len)) {
        conn = meet(socket, arrival, data, len);
    }
    if (conn) {
        conn->stream->ops->receive(conn, data, len);
    }
}

static void take_one(struct cw_datagram_socket *socket, struct arrival *arrival, uint8_t *data,
                     size_t len)
{
    struct cw_loop *loop = socket->loop;

    CW_DGRAM_COUNT(loop, received, 1);
    loop->reads++;
    arrival->from.credit = credit_of(socket, len);
    if (!socket->client && cw_middleware_datagram(loop->server, loop, &arrival->from, len) < 0) {
        CW_DGRAM_COUNT(loop, dropped_rule, 1);
        return;
    }
    if (arrival->truncated || len > socket->message_max) {
        cw_dgram_too_long(loop,
                          &(struct cw_dgram_excess){socket->origin->service, &arrival->from.peer,
                                                    len, socket->message_max, arrival->truncated});
        return;
    }
    if (socket->client) {
        socket->client->last_in = loop->now;
        socket->client->stream->ops->receive(socket->client, data, len);
        return;
    }
    if (!is_answered_without_peer(socket, arrival, cw_span_of(data, len))) {
        take_for_peer(socket, arrival, data, len);
    }
}

/* Whoever looks at one segment may change the bytes behind it, which are the next one's. */
static void take_segments(struct cw_datagram_socket *socket, struct arrival *arrival)
{
    uint8_t behind[CW_SCRATCH_PAD];
    size_t at = 0;

    do {
        size_t left = arrival->len - at;
        size_t len = left < arrival->segment ? left : arrival->segment;
        uint8_t *next = arrival->data + at + len;

        memcpy(behind, next, sizeof behind);
        take_one(socket, arrival, arrival->data + at, len);
        memcpy(next, behind, sizeof behind);
        at += len;
    } while (at < arrival->len);
}

static void take(struct cw_datagram_socket *socket, struct mmsghdr *received)
{
    struct msghdr *head = &received->msg_hdr;
    struct arrival arrival = {.data = head->msg_iov->iov_base,
                              .len = received->msg_len,
                              .truncated = (head->msg_flags & MSG_TRUNC) != 0};

    if (!socket->connected) {
        cw_address_from_sockaddr(head->msg_name, head->msg_namelen, &arrival.from.peer);
        arrival.from.socket = socket->number;
    } else {
        arrival.from.peer = socket->client->peer;
    }
    if (head->msg_controllen > 0) {
        read_control(socket, head, &arrival);
    }
    if (arrival.segment > 0 && arrival.segment < arrival.len) {
        take_segments(socket, &arrival);
    } else {
        take_one(socket, &arrival, arrival.data, arrival.len);
    }
    cw_poison(arrival.data, arrival.len); /* also what went to no connection */
}

/* ---- reading ---- */

static int receive_batch(struct cw_datagram_socket *socket, uint64_t budget)
{
    struct cw_datagram_loop *shared = socket->loop->datagrams;
    unsigned most = budget < CW_DGRAM_BATCH ? (unsigned)budget : CW_DGRAM_BATCH;

    for (unsigned i = 0; i < most; i++) {
        shared->in[i].msg_hdr.msg_namelen = sizeof shared->names[i];
        shared->in[i].msg_hdr.msg_controllen = CW_DGRAM_CONTROL;
    }
    return recvmmsg(socket->fd, shared->in, most, MSG_DONTWAIT, NULL);
}

/* Nothing came; whether it is worth another look. Who was woken for nothing was woken for the queue of errors. */
static bool goes_on(struct cw_datagram_socket *socket, int os_errno, bool first)
{
    if (os_errno == EAGAIN || os_errno == EWOULDBLOCK) {
        if (first) {
            cw_dgram_read_errors(socket);
        }
        return false;
    }
    if (os_errno != EINTR && !cw_dgram_read_errors(socket)) {
        cw_dgram_failed(socket, os_errno);
    }
    return true;
}

static bool is_over(const struct cw_datagram_socket *socket)
{
    return socket->connected && (!socket->client || socket->client->phase == CW_PHASE_CLOSED);
}

static void on_readable(evutil_socket_t fd, short events, void *arg)
{
    struct cw_datagram_socket *socket = arg;
    uint64_t budget = socket->per_turn;

    (void)fd;
    (void)events;
    cw_loop_wake(socket->loop);
    if (socket->entry) {
        cw_server_refresh(socket->loop);
    }
    if (socket->interrupted) {
        cw_dgram_read_errors(socket);
    }
    while (budget > 0 && !is_over(socket)) {
        int n = receive_batch(socket, budget);

        if (n <= 0) {
            if (!goes_on(socket, errno, budget == socket->per_turn)) {
                return;
            }
            budget--;
            continue;
        }
        for (int i = 0; i < n && !is_over(socket); i++) {
            take(socket, &socket->loop->datagrams->in[i]);
        }
        cw_datagrams_flush(socket->loop);
        budget -= (uint64_t)n;
        if (n < CW_DGRAM_BATCH) {
            return;
        }
    }
}

void cw_dgram_look_soon(struct cw_datagram_socket *socket)
{
    event_active(socket->readable, EV_READ, 0);
}

/* ---- writing ---- */

static void on_writable(evutil_socket_t fd, short events, void *arg)
{
    struct cw_datagram_socket *socket = arg;

    (void)fd;
    (void)events;
    cw_loop_wake(socket->loop);
    cw_dgram_on_writable(socket);
}

bool cw_dgram_watch_writable(struct cw_datagram_socket *socket, bool watch)
{
    if (!watch) {
        if (socket->writable) {
            event_del(socket->writable);
        }
        socket->is_full = false;
        return true;
    }
    if (!socket->writable) {
        socket->writable =
            event_new(socket->loop->base, socket->fd, EV_WRITE | EV_PERSIST, on_writable, socket);
    }
    socket->is_full = socket->writable && event_add(socket->writable, NULL) == 0;
    return socket->is_full;
}

/* ---- a client ---- */

struct cw_conn *cw_datagram_client(struct cw_loop *loop, struct cw_origin *origin, int fd,
                                   const struct cw_address *peer)
{
    static const struct cw_datagram_options none;
    struct cw_datagram_options options = origin->datagram ? *origin->datagram : none;
    struct cw_stream *stream = &cw_stream_datagram;
    struct cw_datagram_socket *socket;
    struct cw_conn *conn;

    cw_datagram_options_fill(&options);
    socket = cw_datagram_socket_new(&(struct cw_datagram_setup){
        .loop = loop, .origin = origin, .options = &options, .fd = fd, .peer = peer});
    if (!socket) {
        return NULL;
    }
    if (origin->tls) {
        stream = cw_dtls_stream_new(origin->tls, loop);
    }
    conn = stream && event_add(socket->readable, NULL) == 0
               ? cw_conn_new(loop, origin, stream, -1, peer)
               : NULL;
    if (!conn) {
        if (stream && stream != &cw_stream_datagram) {
            cw_tls_stream_drop(stream);
        }
        socket->fd = -1; /* it stays the caller's */
        cw_datagram_socket_free(socket);
        return NULL;
    }
    conn->datagram = 1;
    conn->peer_link.socket = socket;
    conn->peer_link.rank = CW_RANK_PROVEN;
    socket->client = conn;
    return conn;
}

/* ---- figures ---- */

void cw_loop_datagram_stats(const struct cw_loop *loop, struct cw_datagram_stats *stats)
{
    *stats = (struct cw_datagram_stats){0};
    cw_datagram_stats_add(loop, stats);
}

void cw_datagram_stats_add(const struct cw_loop *loop, struct cw_datagram_stats *stats)
{
#define ADD(name)                                                                                  \
    stats->name += atomic_load_explicit(&loop->datagram_counters.name, memory_order_relaxed);
    CW_DATAGRAM_COUNTERS(ADD)
#undef ADD
}

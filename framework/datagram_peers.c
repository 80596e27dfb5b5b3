/* The peers of a datagram socket: found by their addresses, kept in the order in which they were heard of, ended when there
 * are too many. */
#include "datagram_socket_impl.h"
#include "report.h"
#include "tls/tls.h"

#include <causeway/log.h>

#include <assert.h>
#include <stdio.h>

enum { TABLE_LEAST = 64, ACTIVE_TICKS = 63 /* a second */ };

/* Of the places, for strangers: one in so many. And after which part of peer_idle_ms somebody makes way for them. */
enum {
    STRANGERS_SHARE = 8,
    LONG_SILENT_PART = 4,
    LONG_SILENT_TICKS = 938 /* where there is none */
};

#define SLOT_BITS (CW_SLOTS_MAX - 1u)

/* ---- keys ---- */

void cw_peer_key_of(struct cw_peer_key *key, const struct cw_datagram *from)
{
    memset(key, 0, sizeof *key);
    memcpy(key->peer_ip, from->peer.ip, sizeof key->peer_ip);
    key->scope = from->peer.scope;
    key->port = from->peer.port;
    key->family = from->peer.family;
    if (from->local.family != CW_FAMILY_NONE) {
        memcpy(key->local_ip, from->local.ip, sizeof key->local_ip);
        key->local_family = from->local.family;
    }
}

/* Of IPv4 the key is mostly zeros: what is not fits two words. */
static size_t shorten(const struct cw_peer_key *key, uint8_t *text)
{
    memcpy(text, key->peer_ip, 4);
    memcpy(text + 4, &key->port, sizeof key->port);
    text[6] = key->family;
    text[7] = key->local_family;
    memcpy(text + 8, key->local_ip, 4);
    return key->local_family == CW_FAMILY_NONE ? 8 : 12;
}

static uint32_t hash_of(const struct cw_datagram_socket *socket, const struct cw_peer_key *key)
{
    uint8_t text[12];

    if (key->family == CW_IPV4) {
        size_t len = shorten(key, text);

        return (uint32_t)cw_hash(&socket->loop->datagrams->seed, cw_span_of(text, len));
    }
    return (uint32_t)cw_hash(&socket->loop->datagrams->seed, cw_span_of(key, sizeof *key));
}

static bool is_of(const struct cw_conn *conn, const struct cw_peer_key *key)
{
    const struct cw_peer_link *link = &conn->peer_link;

    return conn->peer.port == key->port && conn->peer.family == key->family &&
           link->local_family == key->local_family && conn->peer.scope == key->scope &&
           memcmp(conn->peer.ip, key->peer_ip, sizeof key->peer_ip) == 0 &&
           memcmp(link->local_ip, key->local_ip, sizeof key->local_ip) == 0;
}

/* ---- the table ---- */

static struct cw_conn *at_slot(const struct cw_datagram_socket *socket, uint32_t slot_1)
{
    return cw_slots_at(&socket->loop->slots, slot_1 - 1)->conn;
}

static uint32_t entry_of(uint32_t slot_1, uint32_t hash)
{
    return slot_1 | (hash & ~SLOT_BITS);
}

static struct cw_conn *search(const struct cw_datagram_socket *socket, const struct cw_peer_key *key)
{
    const struct cw_peer_table *table = &socket->table;
    uint32_t hash = hash_of(socket, key);
    uint32_t mask = table->size - 1;

    for (uint32_t i = hash & mask; table->entries[i] != 0; i = (i + 1) & mask) {
        uint32_t entry = table->entries[i];

        if ((entry & ~SLOT_BITS) == (hash & ~SLOT_BITS)) {
            struct cw_conn *conn = at_slot(socket, entry & SLOT_BITS);

            if (is_of(conn, key)) {
                return conn;
            }
        }
    }
    return NULL;
}

/* Datagrams of one peer often come behind each other. */
struct cw_conn *cw_peers_find(struct cw_datagram_socket *socket, const struct cw_peer_key *key)
{
    if (socket->recent && is_of(socket->recent, key)) {
        return socket->recent;
    }
    if (socket->table.size == 0) {
        return NULL;
    }
    socket->recent = search(socket, key);
    return socket->recent;
}

static void put(struct cw_peer_table *table, uint32_t entry, uint32_t hash)
{
    uint32_t mask = table->size - 1;
    uint32_t i = hash & mask;

    while (table->entries[i] != 0) {
        i = (i + 1) & mask;
    }
    table->entries[i] = entry;
}

static bool resize(struct cw_datagram_socket *socket, uint32_t size)
{
    struct cw_peer_table made = {.size = size, .count = socket->table.count};

    made.entries = cw_alloc_zero(size * sizeof *made.entries);
    if (!made.entries) {
        return false;
    }
    for (uint32_t i = 0; i < socket->table.size; i++) {
        uint32_t entry = socket->table.entries[i];

        if (entry != 0) {
            put(&made, entry, at_slot(socket, entry & SLOT_BITS)->peer_link.hash);
        }
    }
    cw_release(socket->table.entries);
    socket->table = made;
    return true;
}

bool cw_peers_reserve(struct cw_datagram_socket *socket)
{
    const struct cw_peer_table *table = &socket->table;

    if (table->count + 1 <= table->size / 5 * 4) {
        return true;
    }
    return resize(socket, table->size > 0 ? table->size * 2 : TABLE_LEAST);
}

static uint32_t place_of(const struct cw_datagram_socket *socket, const struct cw_conn *conn)
{
    const struct cw_peer_table *table = &socket->table;
    uint32_t entry = entry_of(conn->slot + 1, conn->peer_link.hash);
    uint32_t i = conn->peer_link.hash & (table->size - 1);

    while (table->entries[i] != entry) {
        assert(table->entries[i] != 0);
        i = (i + 1) & (table->size - 1);
    }
    return i;
}

/* Those behind it move up, so that no search ends too early. */
static void close_gap(struct cw_datagram_socket *socket, uint32_t gap)
{
    struct cw_peer_table *table = &socket->table;
    uint32_t mask = table->size - 1;

    for (uint32_t i = (gap + 1) & mask; table->entries[i] != 0; i = (i + 1) & mask) {
        uint32_t home = at_slot(socket, table->entries[i] & SLOT_BITS)->peer_link.hash & mask;

        if (((i - home) & mask) >= ((i - gap) & mask)) {
            table->entries[gap] = table->entries[i];
            gap = i;
        }
    }
    table->entries[gap] = 0;
}

/* ---- the order ---- */

static void take_out(struct cw_datagram_socket *socket, struct cw_conn *conn)
{
    struct cw_peer_link *link = &conn->peer_link;
    struct cw_peer_order *order = &socket->order[link->rank];

    if (link->newer != 0) {
        at_slot(socket, link->newer)->peer_link.older = link->older;
    } else {
        order->newest = link->older;
    }
    if (link->older != 0) {
        at_slot(socket, link->older)->peer_link.newer = link->newer;
    } else {
        order->oldest = link->newer;
    }
    order->count--;
}

static void put_newest(struct cw_datagram_socket *socket, struct cw_conn *conn)
{
    struct cw_peer_link *link = &conn->peer_link;
    struct cw_peer_order *order = &socket->order[link->rank];

    link->newer = 0;
    link->older = order->newest;
    if (link->older != 0) {
        at_slot(socket, link->older)->peer_link.newer = conn->slot + 1;
    } else {
        order->oldest = conn->slot + 1;
    }
    order->newest = conn->slot + 1;
    order->count++;
}

void cw_peers_add(struct cw_datagram_socket *socket, struct cw_conn *conn)
{
    struct cw_datagram from = {.peer = conn->peer, .local.family = conn->peer_link.local_family};
    struct cw_peer_key key;
    uint32_t hash;

    memcpy(from.local.ip, conn->peer_link.local_ip, sizeof from.local.ip);
    cw_peer_key_of(&key, &from);
    hash = hash_of(socket, &key);
    conn->peer_link.socket = socket;
    conn->peer_link.hash = hash;
    conn->peer_link.listed = true;
    put(&socket->table, entry_of(conn->slot + 1, hash), hash);
    socket->table.count++;
    put_newest(socket, conn);
    if (socket->entry) {
        atomic_fetch_add_explicit(&socket->entry->peers, 1, memory_order_relaxed);
    }
}

void cw_peers_remove(struct cw_datagram_socket *socket, struct cw_conn *conn)
{
    if (!conn->peer_link.listed) {
        return;
    }
    take_out(socket, conn);
    close_gap(socket, place_of(socket, conn));
    conn->peer_link.listed = false;
    socket->recent = socket->recent == conn ? NULL : socket->recent;
    socket->table.count--;
    if (socket->entry) {
        atomic_fetch_sub_explicit(&socket->entry->peers, 1, memory_order_relaxed);
    }
    if (socket->table.size > TABLE_LEAST && socket->table.count < socket->table.size / 8) {
        (void)resize(socket, socket->table.size / 2); /* too large is no harm */
    }
}

void cw_peers_release(struct cw_datagram_socket *socket)
{
    cw_release(socket->table.entries);
    socket->table = (struct cw_peer_table){0};
}

static void set_rank(struct cw_conn *conn, enum cw_peer_rank rank)
{
    struct cw_datagram_socket *socket = conn->peer_link.socket;

    if (conn->peer_link.listed) {
        take_out(socket, conn);
    }
    conn->peer_link.rank = (uint8_t)rank;
    if (conn->peer_link.listed) {
        put_newest(socket, conn);
    }
}

void cw_peers_give_credit(struct cw_conn *conn, size_t len)
{
    const struct cw_datagram_socket *socket = conn->peer_link.socket;
    uint64_t more = socket->amplification == CW_NO_LIMIT ? 0 : len * socket->amplification;
    uint64_t credit = conn->peer_link.credit + more;

    conn->peer_link.credit = credit < UINT32_MAX ? (uint32_t)credit : UINT32_MAX;
}

void cw_peers_heard(struct cw_conn *conn, size_t len)
{
    struct cw_peer_link *link = &conn->peer_link;
    uint32_t now = conn->loop->now;

    if (link->rank != CW_RANK_PROVEN) {
        cw_peers_give_credit(conn, len);
    }
    if (conn->last_in == now || !link->listed) {
        return; /* it is among the newest already */
    }
    if (link->rank == CW_RANK_STRANGER && link->answered) {
        set_rank(conn, CW_RANK_RETURNING);
    } else {
        take_out(link->socket, conn);
        put_newest(link->socket, conn);
    }
}

/* ---- too many ---- */

/* The longest silent of a rank, if it is silent for so long. */
static struct cw_conn *silent_one(const struct cw_datagram_socket *socket, int rank, uint32_t ticks)
{
    uint32_t slot = socket->order[rank].oldest;
    struct cw_conn *conn = slot != 0 ? at_slot(socket, slot) : NULL;

    return conn && socket->loop->now - conn->last_in >= ticks ? conn : NULL;
}

/* The one that leaves: of the lowest rank there is, who was not heard of for longest. Who has shown that there is somebody leaves
 * only when he has been silent for a second, and nobody of a higher rank leaves in his place. But strangers have a share, at the
 * cost of those who came back and have long been silent: without it newcomers to a full house would push out each other before
 * they can come back. NULL: nobody. */
static struct cw_conn *longest_idle(const struct cw_datagram_socket *socket)
{
    uint32_t long_ago = socket->idle > 0 ? socket->idle / LONG_SILENT_PART : LONG_SILENT_TICKS;
    struct cw_conn *conn = NULL;
    int rank = CW_RANK_STRANGER;

    if (socket->order[CW_RANK_STRANGER].count < socket->table.count / STRANGERS_SHARE) {
        conn = silent_one(socket, CW_RANK_RETURNING,
                          long_ago > ACTIVE_TICKS ? long_ago : ACTIVE_TICKS);
    }
    while (rank < CW_RANKS - 1 && socket->order[rank].oldest == 0) {
        rank++;
    }
    return conn ? conn : silent_one(socket, rank, rank == CW_RANK_STRANGER ? 0 : ACTIVE_TICKS);
}

static bool make_room(struct cw_datagram_socket *socket, const struct cw_newcomer *newcomer)
{
    struct cw_conn *conn = newcomer->in_hook ? NULL : longest_idle(socket);

    if (!conn) {
        return false;
    }
    CW_DGRAM_COUNT(socket->loop, peers_replaced, 1);
    cw_peers_remove(socket, conn);
    socket->makes_room = true;
    cw_conn_end_now(conn, CW_REPLACED);
    socket->makes_room = false;
    return true;
}

bool cw_datagrams_make_room(struct cw_loop *loop)
{
    struct cw_datagram_socket *socket = loop->datagrams ? loop->datagrams->sockets : NULL;

    while (socket && socket->order[CW_RANK_STRANGER].oldest == 0) {
        socket = socket->next;
    }
    return socket && make_room(socket, &(struct cw_newcomer){.in_hook = false});
}

static bool is_crowded(const struct cw_datagram_socket *socket)
{
    return socket->entry &&
           atomic_load_explicit(&socket->entry->peers, memory_order_relaxed) >= socket->peers_max;
}

static void refuse(struct cw_datagram_socket *socket, const struct cw_datagram *from, int code,
                   uint64_t limit)
{
    CW_DGRAM_COUNT(socket->loop, peers_refused, 1);
    cw_count_refused(socket->loop, code);
    cw_report_refused(socket->loop, socket->origin->service, code, &from->peer, limit);
}

/* 0, or why there can be no more. */
static int admit(struct cw_datagram_socket *socket, const struct cw_newcomer *newcomer, bool exempt)
{
    const struct cw_address *peer = &newcomer->from->peer;
    uint64_t limit = 0;
    int error;

    if (is_crowded(socket) && !make_room(socket, newcomer)) {
        refuse(socket, newcomer->from, CW_ECONNSMAX, socket->peers_max);
        return CW_ECONNSMAX;
    }
    error = cw_admit(socket->loop, peer, exempt, &limit);
    if (error == CW_ECONNSMAX && !newcomer->in_hook &&
        (make_room(socket, newcomer) || cw_datagrams_make_room(socket->loop))) {
        error = cw_admit(socket->loop, peer, exempt, &limit);
    }
    if (error == CW_OK && !cw_peers_reserve(socket)) {
        cw_dismiss(socket->loop, peer, exempt);
        error = CW_ENOMEM;
    }
    if (error < 0) {
        refuse(socket, newcomer->from, error, limit);
    }
    return error;
}

static void enter(struct cw_conn *conn, struct cw_datagram_socket *socket,
                  const struct cw_datagram *from)
{
    struct cw_peer_link *link = &conn->peer_link;

    conn->datagram = 1;
    memcpy(link->local_ip, from->local.ip, sizeof link->local_ip);
    link->local_family = from->local.family;
    link->rank = conn->stream == &cw_stream_datagram ? CW_RANK_STRANGER : CW_RANK_PROVEN;
    cw_peers_add(socket, conn);
}

static void trace(const struct cw_datagram_socket *socket, const struct cw_conn *conn)
{
    char address[CW_ADDRESS_TEXT_MAX];
    char text[CW_ADDRESS_TEXT_MAX + 32];

    if (cw_log_takes(CW_LOG_DEBUG)) {
        snprintf(text, sizeof text, "%.24s://%s", cw_origin_scheme(socket->origin),
                 cw_address_print(&socket->address, address));
        cw_trace_accepted(conn, text);
    }
}

struct cw_conn *cw_peers_welcome(struct cw_datagram_socket *socket,
                                 const struct cw_newcomer *newcomer)
{
    struct cw_loop *loop = socket->loop;
    const struct cw_address *peer = &newcomer->from->peer;
    bool exempt = cw_networks_hold(&loop->server->trusted, peer);
    struct cw_stream *stream = newcomer->stream ? newcomer->stream : &cw_stream_datagram;
    struct cw_conn *conn;

    if (admit(socket, newcomer, exempt) < 0) {
        return NULL;
    }
    conn = cw_conn_new(loop, socket->origin, stream, -1, peer);
    if (!conn) {
        cw_dismiss(loop, peer, exempt);
        refuse(socket, newcomer->from, CW_ENOMEM, 0);
        return NULL;
    }
    conn->flags |= exempt ? CW_COUNTED | CW_EXEMPT : CW_COUNTED;
    cw_count(&loop->counters.conns_total, 1);
    enter(conn, socket, newcomer->from);
    trace(socket, conn);
    return conn;
}

/* ---- a peer that moves ---- */

/* The limits and rules about addresses ask for the new one. False: they refuse it, and the connection ends. */
static bool count_elsewhere(struct cw_conn *conn, const struct cw_address *peer)
{
    struct cw_loop *loop = conn->loop;
    uint64_t limit = 0;
    bool exempt;
    int error;

    if (!(conn->flags & CW_COUNTED)) {
        return true;
    }
    cw_dismiss(loop, &conn->peer, (conn->flags & CW_EXEMPT) != 0);
    exempt = cw_networks_hold(&loop->server->trusted, peer);
    error = cw_admit(loop, peer, exempt, &limit);
    conn->flags = exempt ? conn->flags | CW_EXEMPT : conn->flags & ~CW_EXEMPT;
    if (error < 0) {
        conn->flags &= ~(uint32_t)CW_COUNTED;
        cw_conn_break_with(conn, error, 0, NULL);
    }
    return error == CW_OK;
}

/* The record is the peer's, the address before it is what anybody can write: it is not proven yet (RFC 9146 §6). */
static void settle_at(struct cw_conn *conn, const struct cw_datagram *from)
{
    struct cw_peer_link *link = &conn->peer_link;

    conn->peer = from->peer;
    memcpy(link->local_ip, from->local.ip, sizeof link->local_ip);
    link->local_family = from->local.family;
    link->rank = CW_RANK_RETURNING;
    link->credit = from->credit < UINT32_MAX ? (uint32_t)from->credit : UINT32_MAX;
}

bool cw_datagram_move(struct cw_conn *conn, const struct cw_datagram *from)
{
    struct cw_datagram_socket *socket = conn->peer_link.socket;
    struct cw_peer_key key;

    cw_peer_key_of(&key, from);
    if (!conn->peer_link.listed || cw_peers_find(socket, &key)) {
        return false;
    }
    if (!count_elsewhere(conn, &from->peer)) {
        return false;
    }
    cw_peers_remove(socket, conn);
    cw_dgram_forget(socket, conn); /* a run to where it was does not grow */
    settle_at(conn, from);
    cw_peers_add(socket, conn); /* there is the room of the place it has left */
    return true;
}

/* ---- what a peer has proved ---- */

bool cw_conn_is_datagram(const struct cw_conn *conn)
{
    return conn->datagram != 0;
}

void cw_conn_set_proven(struct cw_conn *conn)
{
    cw_loop_assert_thread(conn->loop);
    if (conn->datagram && conn->peer_link.rank != CW_RANK_PROVEN) {
        set_rank(conn, CW_RANK_PROVEN);
    }
}

bool cw_conn_is_proven(const struct cw_conn *conn)
{
    return !conn->datagram || conn->peer_link.rank == CW_RANK_PROVEN;
}

uint64_t cw_conn_credit(const struct cw_conn *conn)
{
    const struct cw_datagram_socket *socket = conn->datagram ? conn->peer_link.socket : NULL;

    if (cw_conn_is_proven(conn) || !socket || socket->amplification == CW_NO_LIMIT) {
        return CW_NO_LIMIT;
    }
    return conn->peer_link.credit;
}

/* ---- tokens ---- */

enum { TOKEN_TICKS = 1875 }; /* half a minute */

/* Two hashes of the address and of the half minute it is, under the loop's secret. */
static void make_token(const struct cw_conn *conn, uint32_t period, uint8_t token[CW_TOKEN_BYTES])
{
    struct {
        struct cw_peer_key key;
        uint32_t period;
        uint32_t half;
    } text;
    struct cw_datagram from = {.peer = conn->peer};

    memset(&text, 0, sizeof text);
    cw_peer_key_of(&text.key, &from);
    text.period = period;
    for (uint32_t half = 0; half < 2; half++) {
        uint64_t sum;

        text.half = half + 1;
        sum = cw_hash(&conn->loop->datagrams->seed, cw_span_of(&text, sizeof text));
        memcpy(token + half * sizeof sum, &sum, sizeof sum);
    }
}

int cw_conn_token(const struct cw_conn *conn, uint8_t token[CW_TOKEN_BYTES])
{
    cw_loop_assert_thread(conn->loop);
    if (!conn->loop->datagrams) {
        return CW_ESTATE;
    }
    make_token(conn, conn->loop->now / TOKEN_TICKS, token);
    return CW_OK;
}

/* In the same time whatever is wrong. */
static bool is_same(const uint8_t *a, const uint8_t *b, size_t len)
{
    unsigned differs = 0;

    for (size_t i = 0; i < len; i++) {
        differs |= (unsigned)(a[i] ^ b[i]);
    }
    return differs == 0;
}

int cw_conn_prove(struct cw_conn *conn, struct cw_span token)
{
    uint32_t period = conn->loop->now / TOKEN_TICKS;
    uint8_t good[CW_TOKEN_BYTES];

    cw_loop_assert_thread(conn->loop);
    for (uint32_t age = 0; age < 2 && conn->loop->datagrams; age++) {
        make_token(conn, period - age, good);
        if (token.len == sizeof good && is_same(token.data, good, sizeof good)) {
            cw_conn_set_proven(conn);
            return CW_OK;
        }
    }
    return CW_EUNPROVEN;
}

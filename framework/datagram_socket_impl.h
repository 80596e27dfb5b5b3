/* What the files of a datagram socket share: the socket itself, its table of peers, its batches. */
#ifndef CW_DATAGRAM_SOCKET_IMPL_H
#define CW_DATAGRAM_SOCKET_IMPL_H

#include "conn_impl.h"
#include "datagram_impl.h"
#include "server_impl.h"

#include <causeway/hash.h>

#include <netinet/in.h>
#include <sys/socket.h>

enum {
    CW_DGRAM_BATCH = 64,   /* datagrams, or runs of them, in one system call */
    CW_DGRAM_MOST = 65507, /* bytes that one may have */
    CW_DGRAM_STRIDE =
        65536 + CW_SCRATCH_PAD + 192, /* so that no two buffers begin in the same cache set */
    CW_DGRAM_CONTROL = 128,
    CW_DGRAM_OUT = 128 << 10, /* bytes of what is gathered before it is sent */
    CW_DGRAM_RUNS =
        1024, /* … and runs of it: enough for what a turn brings to a room of that many */
    CW_DGRAM_RUN_MAX = 64, /* segments of a run (UDP_MAX_SEGMENTS) */
    CW_DGRAM_SEGMENT_MAX =
        1452, /* longer ones do not fit the most common paths, and go one by one */
};

union cw_dgram_name {
    struct sockaddr system;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

/* Datagrams of one size to one peer, behind each other; the last may be shorter. */
struct cw_dgram_run {
    struct cw_conn *conn; /* whose; NULL: nobody's, or gone */
    union cw_dgram_name name;
    socklen_t name_len; /* 0: the socket is connected */
    uint8_t local_ip[16];
    uint8_t local_family; /* 0: the kernel chooses */
    uint32_t start;
    uint32_t len;
    uint16_t segment;
    uint16_t count;
};

/* What waits while the kernel's buffer is full. */
struct cw_dgram_waiting {
    struct cw_dgram_waiting *next;
    struct cw_dgram_run run;
    uint8_t bytes[];
};

/* One loop's, shared by its sockets. */
struct cw_datagram_loop {
    struct cw_datagram_socket *sockets; /* of listeners */
    uint32_t last_number;
    struct cw_hash_seed seed;

    /* in */
    uint8_t *buffers;
    struct mmsghdr in[CW_DGRAM_BATCH];
    struct iovec in_iov[CW_DGRAM_BATCH];
    union cw_dgram_name names[CW_DGRAM_BATCH];
    _Alignas(struct cmsghdr) uint8_t controls[CW_DGRAM_BATCH][CW_DGRAM_CONTROL];

    /* out */
    struct cw_datagram_socket *owner; /* of the batch; NULL: it is empty */
    size_t run_count;
    size_t out_len;
    size_t last_start; /* of the bytes that were put there last */
    size_t last_len;
    uint16_t run_at[CW_DGRAM_RUNS]; /* by the slot of a connection: perhaps its latest run */
    struct cw_dgram_run runs[CW_DGRAM_RUNS];
    uint8_t out[CW_DGRAM_OUT];
};

/* Slots of connections by the hash of their addresses: 24 bits of slot + 1, 8 bits of the hash. Never full. */
struct cw_peer_table {
    uint32_t *entries;
    uint32_t size; /* a power of two, or 0 */
    uint32_t count;
};

struct cw_peer_order {
    uint32_t newest; /* slot + 1 */
    uint32_t oldest;
    uint32_t count;
};

struct cw_datagram_socket {
    struct cw_datagram_socket *next;
    struct cw_loop *loop;
    struct cw_origin *origin;
    struct cw_listen_entry *entry; /* NULL: a client's */
    struct cw_conn *client;        /* of a client's, which has no table */
    struct event *readable;
    struct event *writable; /* NULL: was never needed */
    struct cw_dtls_gate *gate;
    int fd;
    int family;
    uint32_t number;
    struct cw_address address;
    bool is_told; /* the kernel says where to a datagram came, and is told where an answer leaves */
    bool gathers; /* UDP_SEGMENT */
    bool interrupted; /* a call that sends stopped early: perhaps for an error that the queue tells of */
    bool is_full; /* waits to be writable */
    bool draining;
    bool connected;
    bool makes_room; /* one leaves for a newcomer, whose place no hook may take */
    uint64_t amplification;
    uint64_t queue_max;
    uint64_t per_turn;
    uint64_t peers_max;
    uint64_t message_max;
    uint32_t idle;   /* ticks, as the next */
    uint32_t silent; /* 0: it may be so for ever */
    uint32_t kernel_drops;
    uint32_t refused; /* peers that wait to be told of room */
    int lost_errno;   /* why the last one was lost that could not be sent; 0: it has been told */
    union cw_dgram_name lost_name;
    socklen_t lost_name_len;
    uint16_t segment_max;
    struct cw_conn *recent; /* found last; NULL: nobody, or gone */
    struct cw_peer_table table;
    struct cw_peer_order order[CW_RANKS];
    struct cw_dgram_waiting *waiting;
    struct cw_dgram_waiting **waiting_tail;
    size_t waiting_bytes;
};

#define CW_DGRAM_COUNT(loop, name, n) cw_count(&(loop)->datagram_counters.name, (n))

/* ---- datagram_peers.c ---- */

/* The two addresses of a peer, as one run of bytes without holes. */
struct cw_peer_key {
    uint8_t peer_ip[16];
    uint8_t local_ip[16];
    uint32_t scope;
    uint16_t port;
    uint8_t family;
    uint8_t local_family;
};

void cw_peer_key_of(struct cw_peer_key *key, const struct cw_datagram *from);

/* The peer, or NULL. */
struct cw_conn *cw_peers_find(struct cw_datagram_socket *socket, const struct cw_peer_key *key);

/* Makes the table large enough for one more. False: no memory. */
bool cw_peers_reserve(struct cw_datagram_socket *socket);
void cw_peers_add(struct cw_datagram_socket *socket, struct cw_conn *conn);
void cw_peers_remove(struct cw_datagram_socket *socket, struct cw_conn *conn);
void cw_peers_release(struct cw_datagram_socket *socket);

/* It was heard of: it is the newest of its rank now, which may have changed. */
void cw_peers_heard(struct cw_conn *conn, size_t len);

/* It may be sent more, for so many bytes that came. */
void cw_peers_give_credit(struct cw_conn *conn, size_t len);

/* Where a first datagram came from, and how. */
struct cw_newcomer {
    const struct cw_datagram *from;
    struct cw_stream *stream; /* NULL: the plain one */
    bool in_hook;             /* nobody may be ended for it now */
};

/* The peer for it: counted and admitted, not yet opened. NULL: refused, and counted. */
struct cw_conn *cw_peers_welcome(struct cw_datagram_socket *socket,
                                 const struct cw_newcomer *newcomer);

/* ---- datagram_send.c ---- */

/* Sends the batch of the loop, whosever it is. */
void cw_dgram_flush(struct cw_datagram_loop *shared);

/* The kernel takes more again. */
void cw_dgram_on_writable(struct cw_datagram_socket *socket);

/* The connection is gone: nothing is added to its run any more. */
void cw_dgram_forget(struct cw_datagram_socket *socket, const struct cw_conn *conn);
void cw_dgram_drop_waiting(struct cw_datagram_socket *socket);

/* ---- datagram_errors.c ---- */

/* Reads the socket's queue of errors, and tells; also of what could not be sent since the last time. Returns whether the queue
 * had one. */
bool cw_dgram_read_errors(struct cw_datagram_socket *socket);

/* A call of the kernel's failed, and the queue does not tell why. */
void cw_dgram_failed(struct cw_datagram_socket *socket, int os_errno);

/* ---- conn_datagram.c ---- */

/* A datagram above the protocol's limit. */
struct cw_dgram_excess {
    const struct cw_service_ref *service;
    const struct cw_address *peer;
    size_t len;
    uint64_t limit;
    bool truncated; /* it was even longer */
};

/* Counts and tells that it was dropped. */
void cw_dgram_too_long(struct cw_loop *loop, const struct cw_dgram_excess *excess);

/* ---- datagram.c ---- */

/* Takes over what a control message says of our own address and interface, if it is one that does. */
void cw_dgram_read_local(struct cmsghdr *control, struct cw_datagram *from);

/* Has it read from in the next turn, its errors first. */
void cw_dgram_look_soon(struct cw_datagram_socket *socket);

/* Watches for room, or does not any more. False: no memory. */
bool cw_dgram_watch_writable(struct cw_datagram_socket *socket, bool watch);

#endif

/* Datagrams: how a socket of a datagram protocol (`udp`) behaves, what its peers may be sent, and answers without peers.
 *
 * On UDP a connection is a *peer*: it begins with the first datagram from an address, is found again by the two addresses,
 * and ends with a silence. The hooks, cw_conn_send, rooms, ids and limits are those of every connection. Two things are
 * not: what cannot be sent now is dropped and counted, and an address that has proved nothing is sent only a few times what
 * it has sent itself.
 *
 * ```text
 * cw_server_listen(server, &(struct cw_listen_options){.port = 7000, .datagram = {.peer_idle_ms = 10000}});
 * ``` */
#ifndef CAUSEWAY_DATAGRAM_H
#define CAUSEWAY_DATAGRAM_H

#include <causeway/address.h>
#include <causeway/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cw_listen_options;

/* A multicast group to be a member of. Texts are addresses without a port; an interface is its name or an address of it. */
struct cw_multicast_group {
    const char *group;     /* `239.1.2.3`, `ff15::1` */
    const char *interface; /* NULL: the system chooses */
    const char *source;    /* only what this address sends (RFC 4607). NULL: whoever does */
};

/* A socket of datagrams, of a listener or a client. Zero means the default in every member. */
struct cw_datagram_options {
    /* Peers; of a listener, all its workers together. */
    uint64_t peers_max; /* at once; for one more, one leaves, strangers first. 0: what conns_max allows */
    uint64_t peer_idle_ms; /* neither a datagram from it nor one to it. 0: 60000; CW_OFF */
    uint64_t peer_silent_ms; /* of a listener: no datagram from it, whatever it is sent. 0: 300000; CW_OFF */
    uint64_t amplification; /* bytes that an unproven peer is sent for each that it has sent. 0: 3 (as RFC 9000 §8.1);
                               CW_NO_LIMIT, where nobody can lie about his address */

    /* The socket. */
    uint64_t queue_max_bytes; /* wait while the kernel's buffer is full, above that dropped. 0: 1048576 */
    uint64_t receive_buffer_bytes; /* SO_RCVBUF. 0: the system's */
    uint64_t send_buffer_bytes;    /* SO_SNDBUF. 0: the system's */
    uint64_t datagrams_per_turn;   /* read before the others' turn. 0: 1024 */
    uint64_t ttl;                  /* hops of what is sent, 1 to 255. 0: the system's */
    bool dont_fragment; /* what does not fit the path is refused and not cut (RFC 8085 §3.2) */
    bool no_offload; /* neither UDP_SEGMENT nor UDP_GRO: one datagram, one packet for the kernel */
    bool one_worker; /* the socket is worker 0's alone. So it is with groups, broadcast and multicast addresses */

    /* Multicast and broadcast. */
    const struct cw_multicast_group *
        groups; /* joined when the server runs; heard where host is 0.0.0.0, ::, NULL or the group. Copied with their texts */
    size_t group_count;              /* at most 64 */
    const char *multicast_interface; /* where what is sent to a group leaves. NULL: the system chooses */
    uint64_t multicast_ttl;          /* hops of it, 1 to 255. 0: 1 */
    bool multicast_no_loop;          /* what is sent to a group is not for this machine */
    bool broadcast;                  /* broadcast addresses may be sent to */
};

/* Where one datagram has come from. A plain value: it may be kept, and answered later on the same loop. */
struct cw_datagram {
    struct cw_address peer;
    struct cw_address
        local; /* where to; without an address when the socket has one alone and need not be told */
    uint32_t interface; /* where it came in; 0: not known */
    uint32_t socket;    /* of the loop */
    uint64_t credit;    /* bytes that may still be sent in answer */
};

/* Answers a datagram without a peer: for on_datagram of struct cw_udp_options, and later. It leaves from the address that
 * was sent to.
 *
 * to       its credit goes down by what was sent
 * returns  0: on its way; CW_EUNPROVEN: more than the credit (docs/udp.md "Amplification"), CW_ETOOBIG: no datagram can be so
 *          large, CW_EFULL: the queue of the socket is full; all of them counted as dropped. CW_ENOTFOUND: the socket is gone
 * thread   loop thread */
int cw_datagram_reply(struct cw_loop *loop, struct cw_datagram *to, struct cw_span body);

/* ---- peers ---- */

/* The peer at an address, made if it is not there: for a server that speaks first, to a group or to somebody it has been told
 * of. One that is made here counts as proven, and on_connection is called from inside. Nobody leaves to make room for it.
 *
 * listener  which, by its address as on_listening told it; NULL: the first of the loop that speaks datagrams
 * returns   NULL: refused by a limit, peers_max among them, or from the on_close of one that has had to make room (CW_REPLACED);
 *           no such listener on this loop, or it speaks DTLS, where the peer begins; the address has no port or is not of the
 *           listener's family; the server stops, the peer is being closed, or memory ran out
 * thread    loop thread */
struct cw_conn *cw_datagram_peer(struct cw_loop *loop, const struct cw_address *listener,
                                 const struct cw_address *peer);

/* A peer's address is proven when it has answered what only its owner can have got. DTLS does that by its handshake; plain UDP,
 * and a peer of DTLS that has gone on from another address, have to say it in their own words: send a token, see it come back.
 *
 * ```text
 * cw_conn_token(conn, token);                          // to whoever says hello
 * if (cw_conn_prove(conn, token_that_came) == CW_OK)   // from here on amplification is not limited
 * ```
 *
 * A token is made from the address and a secret of the loop; nothing is kept for it. It is good for half a minute to a
 * minute. */
enum { CW_TOKEN_BYTES = 16 };

/* Writes the token for this peer's address.
 *
 * returns  0, or CW_EOS: the system has no random numbers
 * thread   loop thread */
int cw_conn_token(const struct cw_conn *conn, uint8_t token[CW_TOKEN_BYTES]);

/* Takes a token that has come back: the address is proven if it is the right one.
 *
 * returns  0, or CW_EUNPROVEN: it is not, or too old
 * thread   loop thread */
int cw_conn_prove(struct cw_conn *conn, struct cw_span token);

/* Takes the address for proven: the application has its own way to know.
 *
 * thread   loop thread */
void cw_conn_set_proven(struct cw_conn *conn);

/* Whether the peer's address is proven. Of a connection that is no peer of datagrams: always.
 *
 * thread   loop thread */
bool cw_conn_is_proven(const struct cw_conn *conn);

/* Bytes that an unproven peer may still be sent; CW_NO_LIMIT: as many as you like.
 *
 * thread   loop thread */
uint64_t cw_conn_credit(const struct cw_conn *conn);

/* Whether the connection is a peer of datagrams: nothing it is sent is sure to arrive.
 *
 * thread   loop thread */
bool cw_conn_is_datagram(const struct cw_conn *conn);

/* ---- multicast, while the server runs ---- */

/* Joins or leaves a group on a listener. With several workers what comes to the group is worker 0's. A listener at one address
 * of this machine may join and hears nothing. A group is joined as a whole or source by source, not both; without a source it
 * is left with all of them.
 *
 * listener  which, by its address as on_listening told it; NULL: all of datagrams whose family it is, together or none
 * returns   0; CW_EINVAL: no multicast address, or of another family than the listener; CW_ENOTFOUND: no such listener or
 *           interface, or it is no member; CW_EADDRINUSE: it is a member; CW_EFULL: the kernel allows no more
 *           (net.ipv4.igmp_max_memberships); CW_ESTOPPED: the server does not run; CW_EOS
 * thread    any */
int cw_multicast_join(struct cw_server *server, const struct cw_address *listener,
                      const struct cw_multicast_group *group);
int cw_multicast_leave(struct cw_server *server, const struct cw_address *listener,
                       const struct cw_multicast_group *group);

/* ---- figures ---- */

/* What the datagram sockets of a server have done, all workers together. Datagrams handed over and sent are messages_in and
 * messages_out of struct cw_server_stats. */
struct cw_datagram_stats {
    uint64_t sockets;           /* open now, those of clients too */
    uint64_t received;          /* by the sockets */
    uint64_t sent;              /* taken by the kernel */
    uint64_t peers_expired;     /* by peer_idle_ms */
    uint64_t peers_replaced;    /* had to make room for another */
    uint64_t peers_refused;     /* first datagrams that got no peer: a limit, or a rule */
    uint64_t dropped_kernel;    /* SO_RXQ_OVFL: its receive buffer was full */
    uint64_t dropped_truncated; /* longer than the protocol allows */
    uint64_t dropped_paused;    /* came while the connection was paused */
    uint64_t dropped_rule;      /* by middleware, or to a server that stops */
    uint64_t dropped_unproven;  /* to send them would have been too much for an unproven peer */
    uint64_t dropped_too_big;   /* to send: larger than a datagram, or than the path allows */
    uint64_t dropped_full;      /* to send: queue_max_bytes was reached */
    uint64_t dropped_error;     /* to send: the kernel refused for another reason */
    uint64_t errors_refused;    /* ICMP: nobody listens there */
    uint64_t errors_unreachable;
    uint64_t errors_other;
    uint64_t dtls_cookies; /* hellos without a good cookie, answered with one; nothing is kept for these */
    uint64_t dtls_ignored; /* datagrams without a peer that were no hello */
};

/* Adds up the figures; a snapshot that is a moment old.
 *
 * thread   any */
void cw_server_datagram_stats(const struct cw_server *server, struct cw_datagram_stats *stats);

/* The same of one loop, its clients included.
 *
 * thread   loop thread */
void cw_loop_datagram_stats(const struct cw_loop *loop, struct cw_datagram_stats *stats);

#ifdef __cplusplus
}
#endif

#endif

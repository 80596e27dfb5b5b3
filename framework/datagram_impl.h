/* Sockets of datagrams and their peers.
 *
 * ```text
 * socket   one of a listener on one loop, or a client's   recvmmsg ─► peers ─► protocol
 *   peers  a table by the two addresses, and the order in which they were heard of
 *   batch  what is to be sent: one sendmmsg, runs to one peer by UDP_SEGMENT
 * ```
 *
 * A peer is a connection without a descriptor. What it needs of its socket lies where a connection of bytes has libevent's
 * event. */
#ifndef CW_DATAGRAM_IMPL_H
#define CW_DATAGRAM_IMPL_H

#include "datagram_counters.h"
#include "service_impl.h"
#include "stream.h"

#include <causeway/datagram.h>

#include <stdatomic.h>

struct cw_datagram_socket;
struct cw_dtls_gate;
struct cw_listen_entry;
struct cw_loop;
struct cw_server;

/* How well a peer's address is known; when there are too many, those of the lowest rank leave first. */
enum cw_peer_rank {
    CW_RANK_STRANGER, /* has sent something */
    CW_RANK_RETURNING, /* has sent something a while after it was answered: more than a burst of made-up addresses does */
    CW_RANK_PROVEN,
    CW_RANKS,
};

/* In a connection: at most 48 bytes. */
struct cw_peer_link {
    struct cw_datagram_socket *socket;
    uint8_t local_ip[16];
    uint32_t newer; /* slot + 1, in the order of its rank; 0: none */
    uint32_t older;
    uint32_t credit; /* bytes it may be sent while it is not proven */
    uint32_t hash;
    uint8_t local_family; /* 0: the socket's own address */
    uint8_t rank;         /* enum cw_peer_rank */
    bool answered;        /* something was sent to it since it was heard of last … */
    bool listed;
};

/* ---- options: datagram_options.c ---- */

/* Checks without the system's help. 0, or CW_EINVAL with the complaint worded. */
int cw_datagram_options_check(const struct cw_datagram_options *options, enum cw_role role,
                              struct cw_complaint *complaint);

/* Puts the defaults in place of zeros. */
void cw_datagram_options_fill(struct cw_datagram_options *options);

/* A copy's texts and groups are its own. False: no memory, and the copy holds nothing. */
bool cw_datagram_options_copy(struct cw_datagram_options *to,
                              const struct cw_datagram_options *from);
void cw_datagram_options_release(struct cw_datagram_options *options);

/* Whether a member is not zero. */
bool cw_datagram_options_are_given(const struct cw_datagram_options *options);

/* Whether one socket on worker 0 has to do. address: what is bound to. */
bool cw_datagram_options_want_one(const struct cw_datagram_options *options,
                                  const struct cw_address *address);

/* Sets them on a socket, and joins the groups. family: AF_INET, AF_INET6. 0, or an enum cw_error with errno set, or 0, and
 * *step the name of the option, or the interface or group. */
int cw_datagram_options_apply(int fd, int family, const struct cw_datagram_options *options,
                              const char **step);

/* Why it was not possible, in words. os_errno: what errno was. */
const char *cw_datagram_options_why(int code, int os_errno);

/* ---- multicast: multicast.c ---- */

/* One group more or less, for a socket of family AF_INET or AF_INET6 (whose IPv4 side may join too, if it has one). 0, or an
 * enum cw_error with errno set: those of cw_multicast_join. thread: any */
int cw_multicast_change(int fd, int family, const struct cw_multicast_group *group, bool join);

bool cw_address_is_multicast(const struct cw_address *address);

/* The number of an interface, named as such or by an address of it, which *own receives then. 0: there is none. thread: any */
unsigned cw_interface_index(const char *text, struct cw_address *own);

/* ---- sockets: datagram.c ---- */

/* What a socket is made of. */
struct cw_datagram_setup {
    struct cw_loop *loop;
    struct cw_origin *origin;                  /* held by the socket */
    struct cw_listen_entry *entry;             /* NULL: a client's */
    const struct cw_datagram_options *options; /* filled in; looked at when the socket is made */
    int fd;                                    /* bound, or connected; the socket's from here on */
    const struct cw_address *peer;             /* of a client. NULL: a listener's */
};

/* NULL: no memory; the descriptor is still the caller's. */
struct cw_datagram_socket *cw_datagram_socket_new(const struct cw_datagram_setup *setup);

/* Frees it and closes the descriptor. It has no peers any more. */
void cw_datagram_socket_free(struct cw_datagram_socket *socket);

/* Begins to read. 0 or CW_ENOMEM. */
int cw_datagram_socket_start(struct cw_datagram_socket *socket);

/* A listener's that stops: peers go on, no new ones are made. */
void cw_datagram_socket_drain(struct cw_datagram_socket *socket);

/* New connections get this origin. */
void cw_datagram_socket_set_origin(struct cw_datagram_socket *socket, struct cw_origin *origin);

int cw_datagram_socket_fd(const struct cw_datagram_socket *socket);

/* The descriptor of the n-th socket of datagrams, from 0, that listeners have on this loop. -1: there are no more.
 *
 * listener  only those at this address, as on_listening told it; NULL: all
 * thread    any that holds the server's update_lock: whoever closes such a socket, or takes it from its list, holds it too */
int cw_datagram_fd_of(struct cw_loop *loop, const struct cw_address *listener, size_t n);

/* A peer that is a stranger leaves for somebody who comes by another listener, where no hook is running: who makes addresses up
 * does not keep others out. False: this loop has none. */
bool cw_datagrams_make_room(struct cw_loop *loop);

/* Sends what was gathered in this turn, on all sockets of the loop. */
void cw_datagrams_flush(struct cw_loop *loop);

/* The connection of a client over its own connected socket. NULL: no memory; the descriptor is still the caller's. */
struct cw_conn *cw_datagram_client(struct cw_loop *loop, struct cw_origin *origin, int fd,
                                   const struct cw_address *peer);

/* The sockets of a loop are gone: what they shared goes too. */
void cw_datagrams_free(struct cw_loop *loop);

void cw_datagram_stats_add(const struct cw_loop *loop, struct cw_datagram_stats *stats);

/* ---- peers, for the connection ---- */

/* Ticks of silence after which it ends: in both directions, and of the peer alone; 0: never. */
uint32_t cw_datagram_idle(const struct cw_conn *conn);
uint32_t cw_datagram_silent(const struct cw_conn *conn);

/* They are over. */
void cw_datagram_expired(struct cw_conn *conn);

/* Our own address as the peer sees it. 0 or CW_ENOTFOUND. */
int cw_datagram_local(const struct cw_conn *conn, struct cw_address *address);

/* What every stream of datagrams does in its `close`: the peer is not found any more, and a client's socket is closed. */
void cw_datagram_leave(struct cw_conn *conn);

/* ---- peers, for what lies over their sockets ---- */

extern struct cw_stream cw_stream_datagram;

/* Sends one datagram to the peer, as it stands: what cw_stream_datagram does, and what DTLS sends its records with. 0, or an
 * enum cw_error, counted. */
int cw_datagram_send(struct cw_conn *conn, const struct cw_span *parts, size_t count);

/* Gives a datagram to the protocol in charge. */
void cw_conn_feed_datagram(struct cw_conn *conn, uint8_t *data, size_t len);

/* The peer goes on from another address, which what came from there has proved. False: that one is another peer's. */
bool cw_datagram_move(struct cw_conn *conn, const struct cw_datagram *from);

/* The peer has lost all it knew and begins again from its address: this connection ends at once, and the datagram is looked at as
 * a stranger's. Only of a server's; conn is gone behind it. */
void cw_datagram_begin_again(struct cw_conn *conn, uint8_t *data, size_t len);

/* Answers by the socket without a peer; credit counts. 0 or an enum cw_error, counted. */
int cw_datagram_answer(struct cw_datagram_socket *socket, struct cw_datagram *to,
                       const struct cw_span *parts, size_t count);

/* ---- DTLS: tls/dtls_gate.c, tls/dtls_stream.c ---- */

/* In front of the peers of one socket: hellos are asked for a cookie, and nothing is kept for them (RFC 6347 §4.2.1). NULL: no
 * memory. */
struct cw_dtls_gate *cw_dtls_gate_new(struct cw_datagram_socket *socket, struct cw_loop *loop);
void cw_dtls_gate_free(struct cw_dtls_gate *gate); /* NULL is allowed */

/* Looks at a datagram of an address that has no peer.
 *
 * returns  NULL: answered, or not worth an answer; counted. Otherwise the stream for a new peer, whose hello had a good cookie; its
 *          first answer is sent when the connection has started its handshake (`handshake` of its ops). Drop it with
 *          cw_tls_stream_drop if there can be no peer */
struct cw_stream *cw_dtls_gate_admit(struct cw_dtls_gate *gate, struct cw_tls *tls,
                                     struct cw_datagram *from, uint8_t *data, size_t len);

/* The connection whose connection id this record has; 0: none. It may be gone. What has come is for cw_dtls_receive_from. */
uint64_t cw_dtls_gate_find(struct cw_dtls_gate *gate, const uint8_t *data, size_t len);

/* As `receive`, of a datagram with the connection's id from an address that is not its own: it moves there (cw_datagram_move)
 * when that is the peer's and newer than all before it, and its messages are handed over behind that. */
void cw_dtls_receive_from(struct cw_conn *conn, const struct cw_datagram *from, uint8_t *data,
                          size_t len);

/* A client's stream. NULL: no memory. */
struct cw_stream *cw_dtls_stream_new(struct cw_tls *tls, struct cw_loop *loop);

#endif

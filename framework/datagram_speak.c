/* Peers that are spoken to first. */
#include "datagram_socket_impl.h"

#include "address_impl.h"

#include <unistd.h>

/* The loop's list has the newest first. */
static struct cw_datagram_socket *socket_at(const struct cw_loop *loop,
                                            const struct cw_address *listener)
{
    struct cw_datagram_socket *socket = loop->datagrams ? loop->datagrams->sockets : NULL;
    struct cw_datagram_socket *found = NULL;

    for (; socket; socket = socket->next) {
        if (!socket->connected &&
            (!listener || (listener->port == socket->address.port &&
                           cw_address_same_host(listener, &socket->address)))) {
            found = socket;
        }
    }
    return found;
}

static bool may_speak_to(const struct cw_datagram_socket *socket, const struct cw_address *peer)
{
    bool fits = peer->family == CW_IPV4 || (peer->family == CW_IPV6 && socket->family == AF_INET6);

    return fits && peer->port != 0 && !socket->draining && !socket->origin->tls;
}

/* The address of ours that the kernel would send from: the peer's answer comes to it, and is found by it. None for a group, whose
 * members answer each for himself, and where there is no way. */
static void choose_local(const struct cw_datagram_socket *speaker, struct cw_datagram *from)
{
    struct sockaddr_storage system;
    socklen_t len = cw_address_to_sockaddr(&from->peer, &system);
    int fd;

    if (!speaker->is_told || cw_address_is_multicast(&from->peer)) {
        return;
    }
    fd = socket(system.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    if (connect(fd, (const struct sockaddr *)&system, len) == 0) {
        len = sizeof system;
        if (getsockname(fd, (struct sockaddr *)&system, &len) == 0) {
            cw_address_from_sockaddr((const struct sockaddr *)&system, len, &from->local);
        }
    }
    close(fd);
}

struct cw_conn *cw_datagram_peer(struct cw_loop *loop, const struct cw_address *listener,
                                 const struct cw_address *peer)
{
    struct cw_datagram_socket *socket = socket_at(loop, listener);
    struct cw_datagram from = {.peer = *peer};
    struct cw_peer_key key;
    struct cw_conn *conn;

    cw_loop_assert_thread(loop);
    if (!socket || !may_speak_to(socket, peer)) {
        return NULL;
    }
    choose_local(socket, &from);
    cw_peer_key_of(&key, &from);
    conn = cw_peers_find(socket, &key);
    if (!conn && !socket->makes_room) {
        conn = cw_peers_welcome(socket, &(struct cw_newcomer){.from = &from, .in_hook = true});
        if (conn) {
            cw_conn_set_proven(conn);
            cw_conn_handshake(conn);
        }
    }
    return conn && !(conn->flags & CW_CLOSING) ? conn : NULL;
}

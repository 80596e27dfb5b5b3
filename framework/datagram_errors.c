/* What the network says about datagrams that were sent: ICMP, by the socket's queue of errors. */
#include "datagram_socket_impl.h"

#include "address_impl.h"
#include "report.h"

#include <causeway/log.h>

#include <errno.h>
#include <linux/errqueue.h>
#include <stdio.h>

enum { ERRORS_PER_LOOK = 64 };

struct told {
    int os_errno;
    uint32_t mtu;             /* 0: it did not say */
    struct cw_datagram where; /* whom it was sent to, and by which of our addresses */
};

static void count(struct cw_datagram_socket *socket, int os_errno)
{
    if (os_errno == ECONNREFUSED) {
        CW_DGRAM_COUNT(socket->loop, errors_refused, 1);
    } else if (os_errno == EHOSTUNREACH || os_errno == ENETUNREACH) {
        CW_DGRAM_COUNT(socket->loop, errors_unreachable, 1);
    } else {
        CW_DGRAM_COUNT(socket->loop, errors_other, 1);
    }
}

static struct cw_conn *peer_of(struct cw_datagram_socket *socket, const struct told *told)
{
    struct cw_peer_key key;

    if (socket->client) {
        return socket->client;
    }
    cw_peer_key_of(&key, &told->where);
    return told->where.peer.family != CW_FAMILY_NONE ? cw_peers_find(socket, &key) : NULL;
}

static void word(const struct told *told, int code, struct cw_error_report *report)
{
    char peer[CW_ADDRESS_TEXT_MAX] = "the peer";

    if (told->where.peer.family != CW_FAMILY_NONE) {
        cw_address_print(&told->where.peer, peer);
    }
    if (told->os_errno == EMSGSIZE) {
        snprintf(report->text, sizeof report->text,
                 "datagram to %.60s: larger than the path takes (%u bytes with headers)", peer,
                 told->mtu);
    } else {
        snprintf(report->text, sizeof report->text, "datagram to %.60s: %s", peer,
                 code == CW_EOS ? strerror(told->os_errno) : cw_strerror(code));
    }
}

/* Who has proved who he is by DTLS is not gone because of a word that anybody may have forged. */
static bool ends_client(const struct cw_conn *conn, int code)
{
    bool is_proven = conn->stream != &cw_stream_datagram && conn->phase != CW_PHASE_HANDSHAKING &&
                     conn->phase != CW_PHASE_CLOSED;

    return code == CW_EREFUSED && !is_proven;
}

static void tell(struct cw_datagram_socket *socket, const struct told *told)
{
    int code = told->os_errno == EMSGSIZE ? CW_ETOOBIG : cw_error_from_errno(told->os_errno);
    struct cw_conn *conn = peer_of(socket, told);
    struct cw_error_report report = {
        .code = code, .os_errno = told->os_errno, .tls_alert = CW_NO_ALERT};

    count(socket, told->os_errno);
    word(told, code, &report);
    if (socket->client && ends_client(conn, code)) {
        cw_conn_break_with(conn, code, told->os_errno,
                           conn->phase == CW_PHASE_HANDSHAKING ? NULL : report.text);
        return;
    }
    if (conn && !(conn->flags & CW_CLOSING)) {
        report.conn = conn;
        report.conn_id = cw_conn_id(conn);
    }
    if (told->where.peer.family != CW_FAMILY_NONE) {
        report.address = &told->where.peer;
    }
    (socket->client ? cw_report : cw_report_datagram)(socket->loop, socket->origin->service,
                                                      &report);
}

void cw_dgram_failed(struct cw_datagram_socket *socket, int os_errno)
{
    struct told told = {.os_errno = os_errno};

    if (socket->client) {
        told.where.peer = socket->client->peer;
    }
    tell(socket, &told);
}

static void read_control(struct msghdr *head, const struct cw_datagram_socket *socket,
                         struct told *told)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c; c = CMSG_NXTHDR(head, c)) {
        bool four = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR;
        bool six = c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR;

        if (four || six) {
            struct sock_extended_err error;

            memcpy(&error, CMSG_DATA(c), sizeof error);
            told->os_errno = (int)error.ee_errno;
            told->mtu = error.ee_errno == EMSGSIZE ? error.ee_info : 0;
        } else if (socket->is_told) {
            cw_dgram_read_local(c, &told->where);
        }
    }
}

static void tell_lost(struct cw_datagram_socket *socket)
{
    struct told told = {.os_errno = socket->lost_errno};

    if (socket->lost_errno == 0) {
        return;
    }
    socket->lost_errno = 0;
    if (socket->client) {
        told.where.peer = socket->client->peer;
    } else {
        cw_address_from_sockaddr(&socket->lost_name.system, socket->lost_name_len, &told.where.peer);
    }
    tell(socket, &told);
}

bool cw_dgram_read_errors(struct cw_datagram_socket *socket)
{
    bool any = false;

    socket->interrupted = false;
    tell_lost(socket);
    for (int i = 0; i < ERRORS_PER_LOOK; i++) {
        _Alignas(struct cmsghdr) uint8_t control[512];
        union cw_dgram_name name;
        struct told told = {0};
        struct msghdr head = {.msg_name = &name,
                              .msg_namelen = sizeof name,
                              .msg_control = control,
                              .msg_controllen = sizeof control};

        if (recvmsg(socket->fd, &head, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
            break;
        }
        any = true;
        cw_address_from_sockaddr(&name.system, head.msg_namelen, &told.where.peer);
        read_control(&head, socket, &told);
        tell(socket, &told);
    }
    return any;
}

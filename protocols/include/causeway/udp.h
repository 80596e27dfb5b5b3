/* udp: one datagram, one message.
 *
 * ```text
 * struct cw_server *server = cw_create_server(&cw_udp);
 * cw_server_set_hooks(server, &(struct cw_hooks){.on_data = echo}, NULL);
 * ```
 *
 * A connection is a peer (causeway/datagram.h). Nothing that is sent is sure to arrive, to arrive once, or in its order;
 * docs/udp.md says when that is the right thing. With `tls` of a listener or client it is DTLS. */
#ifndef CAUSEWAY_UDP_H
#define CAUSEWAY_UDP_H

#include <causeway/datagram.h>
#include <causeway/server.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The protocol. An empty datagram is an empty message. */
extern const struct cw_protocol cw_udp;

/* What a server without peers does with each datagram: a service like DNS or NTP. `from` may be kept as a value and answered
 * later. msg is borrowed for the call. */
typedef void (*cw_udp_datagram_fn)(struct cw_loop *loop, struct cw_datagram *from,
                                   const struct cw_message *msg, void *user);

/* Options of udp. Zero means the default in every member. */
struct cw_udp_options {
    uint64_t datagram_max_bytes; /* both ways; a longer one that comes is dropped and counted. 0: 65507, the most there is */
    enum cw_kind kind; /* what on_data is given */

    /* Server without peers: called in the place of all hooks of connections, with the service's `user`. NULL: peers. Over DTLS
     * there are always peers: with this set, each of them fails with CW_EINVAL. */
    cw_udp_datagram_fn on_datagram;
};

/* Sets the options of a server that speaks udp.
 *
 * options  copied
 * returns  0; CW_EINVAL: not allowed, or not this server's protocol; CW_ESTATE
 * thread   before it runs */
int cw_udp_configure(struct cw_server *server, const struct cw_udp_options *options);

/* A service with options, for a listener or a client. Borrows options and hooks until it is used.
 *
 * thread   any */
static inline struct cw_service cw_udp_service(const struct cw_udp_options *options,
                                               const struct cw_hooks *hooks, void *user)
{
    struct cw_service service = {&cw_udp, options, hooks, user};
    return service;
}

#ifdef __cplusplus
}
#endif

#endif
